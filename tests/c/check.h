/* What every program here begins with: checks that say where they fail, and a watchdog.

   Include it before anything else. A program that reaches the end of main has passed; it prints nothing. */

#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where failures are told. */
static int check_output = 2;

/* No program runs longer than this; one that has a bug seeded, and waits for ever, not even so long. */
#ifndef WATCHDOG_SECONDS
#define WATCHDOG_SECONDS 150
#endif

/* What it says: tests/c.rs looks for it. */
#define WATCHDOG_TEXT "watchdog: the program hangs\n"

static inline void check_tell(const char *file, int line, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    int used = snprintf(text, sizeof text, "%s:%d: ", file, line);
    va_start(arguments, format);
    vsnprintf(text + used, sizeof text - (size_t)used - 1, format, arguments);
    va_end(arguments);
    strcat(text, "\n");
    if (write(check_output, text, strlen(text)) < 0) {
        abort();
    }
}

/* Fails the program at once, from whatever thread. */
#define FAIL(...) (check_tell(__FILE__, __LINE__, __VA_ARGS__), _exit(1))

#define CHECK(condition) ((condition) ? (void)0 : FAIL("not so: %s", #condition))

static inline void check_equal(const char *file, int line, const char *what, long long is, long long expected)
{
    if (is != expected) {
        check_tell(file, line, "%s is %lld, not %lld", what, is, expected);
        _exit(1);
    }
}

/* Whole numbers. */
#define CHECK_EQ(is, expected) check_equal(__FILE__, __LINE__, #is, (long long)(is), (long long)(expected))

static inline void check_text(const char *file, int line, const char *what, const char *is, const char *expected)
{
    if (is == NULL || strcmp(is, expected) != 0) {
        check_tell(file, line, "%s is \"%s\", not \"%s\"", what, is ? is : "(null)", expected);
        _exit(1);
    }
}

/* Text that ends with NUL. */
#define CHECK_TEXT(is, expected) check_text(__FILE__, __LINE__, #is, (is), (expected))

static inline void check_contains(const char *file, int line, const char *text, const char *piece)
{
    if (text == NULL || strstr(text, piece) == NULL) {
        check_tell(file, line, "\"%s\" does not contain \"%s\"", text ? text : "(null)", piece);
        _exit(1);
    }
}

#define CHECK_CONTAINS(text, piece) check_contains(__FILE__, __LINE__, (text), (piece))

static void watchdog_barks(int signal_number)
{
    static const char text[] = WATCHDOG_TEXT;
    (void)signal_number;
    /* Not by _exit: the leak sanitizer would have it wait for a look that does not end. */
    if (write(check_output, text, sizeof text - 1) < 0 || kill(getpid(), SIGKILL) != 0) {
        abort();
    }
}

/* A hang is a failure. In a forked child it is to be set again. */
static inline void watchdog(void)
{
    signal(SIGALRM, watchdog_barks);
    alarm(WATCHDOG_SECONDS);
}

#endif
