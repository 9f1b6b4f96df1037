/* How a push enters a batcher.

   A push into a batcher of this glue never waits: it asks, and Java waits. So it is a short use. Somebody else's batcher
   waits as its owner said: such a push is counted as a call. */

#ifndef MICROBATCH_WAY_H
#define MICROBATCH_WAY_H

#include "glue.h"

#include <string.h>

#define NO_DEADLINE INT64_MIN

/* What a push says that has no deadline, by what becomes of a value without room. */
#define SAYING(if_full_value) {.struct_size = sizeof(mb_push_options), .if_full = if_full_value}
static const mb_push_options WAIT = SAYING(0);
static const mb_push_options ASK = SAYING(MB_IF_FULL_ASK);
static const mb_push_options REFUSE = SAYING(MB_IF_FULL_REFUSE);

/* last: Java has waited long enough. */
static inline const mb_push_options *manner(const struct host *host, bool last)
{
    return host->attached ? &WAIT : last ? &REFUSE : &ASK;
}

struct way {
    struct record *record;       /* NULL if the call is counted. */
    struct call call;
};

static inline bool way_begin(struct way *way, struct host *host, JNIEnv *env, jobject core)
{
    if (host->attached) {
        way->record = NULL;
        return call_begin(&way->call, host, env, core);
    }
    way->record = use_begin(host);
    return way->record != NULL;
}

static inline void way_end(struct way *way)
{
    if (way->record == NULL) {
        call_end(&way->call);
    } else {
        use_end(way->record);
    }
}

/* An object of the batcher's owner costs a place among the references. */
static inline bool is_ours(const struct host *host, const mb_value *value)
{
    return value->kind == MB_KIND_OBJECT && !host->attached && value->owner == host->owner;
}

static inline mb_status set_deadline(struct host *host, jlong within, mb_push_options *options)
{
    int64_t now = 0;
    mb_status status;
    status = host->api->mb_batcher_now(host->batcher, &now);
    if (status == MB_OK) {
        /* 0 would be no deadline; the past is the past */
        int64_t deadline = within > INT64_MAX - now ? INT64_MAX : now + within;
        options->deadline = deadline < 1 ? 1 : deadline;
    }
    return status;
}

/* A number as a value, written in whole words: the push reads it back at once. */
static inline mb_value number_of(jlong kind, const void *cell)
{
    jlong words[3] = {kind, 0, 0};
    mb_value value;
    memcpy(&words[1], cell, sizeof words[1]);
    memcpy(&value, words, sizeof value);
    return value;
}

#endif
