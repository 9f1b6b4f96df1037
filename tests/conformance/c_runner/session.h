/* What steps and callbacks share: the batcher, its scripts, what is held, and how deep the trace is. */
#ifndef CONFORMANCE_SESSION_H
#define CONFORMANCE_SESSION_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "microbatch.h"

enum { LINE = 1 << 14, WORDS = 600, LINES = 16, HANDLES = 1024, DEFAULT = MB_KINDS, MAP, ON_RESULT, ON_RELEASE, SCRIPTS };

static const char *const SCRIPT[SCRIPTS] = { "null", "bool", "int64", "float64", "string", "bytes", "object",
                                             "default", "map", "on_result", "on_release" };

static mb_batcher *batcher;
static mb_producer *producer;                 /* what pushes go through, after the step producer */
static int freed, depth, held_count, mark_count;
static uint32_t owners[3];
static char *script[SCRIPTS][LINES];          /* call n of a callback does what line n says, then the last one */
static int script_lines[SCRIPTS], calls[SCRIPTS];
static mb_batch *held[HANDLES];               /* h1 is held[0]; a handle stays here after its batch is completed */
static int consumed[HANDLES];
static uint64_t marks[HANDLES];
static struct owned { int id; char *data; size_t length; } owned[HANDLES];
static int owned_count;

static void step(const char *text);

static void die(const char *what, const char *which)
{
    fprintf(stderr, "runner: %s %s\n", what, which);
    exit(2);
}

static void indent(void) { printf("%*s", 2 * depth, ""); }

#endif
