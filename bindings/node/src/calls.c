/* Calls of the batcher that are a status and at most one number, batch or set of results. */

#include "glue.h"

#define SIMPLE(name, function)                                                        \
    static napi_value name(napi_env env, napi_callback_info info)                     \
    {                                                                                 \
        struct host *host;                                                            \
        ARGUMENTS(1)                                                                  \
        host = host_of(env, argv[0]);                                                 \
        return number_of(env, host->api->function(host->batcher));                    \
    }
SIMPLE(run, mb_batcher_run)
SIMPLE(seal, mb_batcher_seal)

/* A function of the batcher and a time in nanoseconds. */
#define TIMED(name, function)                                                                  \
    static napi_value name(napi_env env, napi_callback_info info)                              \
    {                                                                                          \
        struct host *host;                                                                     \
        ARGUMENTS(2)                                                                           \
        host = host_of(env, argv[0]);                                                          \
        return number_of(env, host->api->function(host->batcher, int64_from(env, argv[1])));   \
    }
TIMED(room, mb_batcher_room)
TIMED(advance, mb_batcher_advance)
TIMED(flush, mb_batcher_flush)

/* A time on the batcher's clock as a bigint, or a status. */
#define CLOCK(name, function)                                                                  \
    static napi_value name(napi_env env, napi_callback_info info)                              \
    {                                                                                          \
        struct host *host;                                                                     \
        int64_t time = 0;                                                                      \
        mb_status status;                                                                      \
        napi_value answer = NULL;                                                              \
        ARGUMENTS(1)                                                                           \
        host = host_of(env, argv[0]);                                                          \
        status = host->api->function(host->batcher, &time);                                    \
        if (status != MB_OK) {                                                                 \
            return number_of(env, status);                                                     \
        }                                                                                      \
        napi_create_bigint_int64(env, time, &answer);                                          \
        return answer;                                                                         \
    }
CLOCK(now, mb_batcher_now)
CLOCK(next_due, mb_batcher_next_due)

/* cancel(host, tag) -> status; out[0]: how many */
static napi_value cancel(napi_env env, napi_callback_info info)
{
    struct host *host;
    uint64_t count = 0;
    mb_status status;
    ARGUMENTS(2)
    host = host_of(env, argv[0]);
    status = host->api->mb_batcher_cancel(host->batcher, word_from(env, argv[1]), &count);
    host->state->columns->out[0] = (double)count;
    return number_of(env, status);
}

/* close(host, timeout) -> status; out[0]: how many values were left */
static napi_value close_batcher(napi_env env, napi_callback_info info)
{
    struct host *host;
    uint64_t left = 0;
    mb_status status;
    ARGUMENTS(2)
    host = host_of(env, argv[0]);
    status = host->api->mb_batcher_close(host->batcher, int64_from(env, argv[1]), &left);
    host->state->columns->out[0] = (double)left;
    return number_of(env, status);
}

/* flushBegin(host) -> status; out[0]: the mark */
static napi_value flush_begin(napi_env env, napi_callback_info info)
{
    struct host *host;
    uint64_t mark = 0;
    mb_status status;
    ARGUMENTS(1)
    host = host_of(env, argv[0]);
    status = host->api->mb_batcher_flush_begin(host->batcher, &mark);
    host->state->columns->out[0] = (double)mark;
    return number_of(env, status);
}

/* flushEnd(host, mark) -> status */
static napi_value flush_end(napi_env env, napi_callback_info info)
{
    struct host *host;
    ARGUMENTS(2)
    host = host_of(env, argv[0]);
    return number_of(env, host->api->mb_batcher_flush_end(host->batcher, word_from(env, argv[1]), 0));
}

/* flushReached(host, mark) -> status; drives nothing */
static napi_value flush_reached(napi_env env, napi_callback_info info)
{
    struct host *host;
    ARGUMENTS(2)
    host = host_of(env, argv[0]);
    return number_of(env, host->api->mb_batcher_flush_reached(host->batcher, word_from(env, argv[1])));
}

/* nextBatch(host) -> a batch, with what tell_batch says of it, or a status */
static napi_value next_batch(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_batch *batch = NULL;
    mb_status status;
    ARGUMENTS(1)
    host = host_of(env, argv[0]);
    status = host->api->mb_batcher_next_batch(host->batcher, 0, &batch);
    if (status == MB_OK) {
        status = tell_batch(host, batch);
    }
    return status == MB_OK ? word_of(env, batch) : number_of(env, status);
}

/* nextResults(host) -> a set of results, with what tell_results says of it, or a status */
static napi_value next_results(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_results *results = NULL;
    mb_status status;
    ARGUMENTS(1)
    host = host_of(env, argv[0]);
    status = host->api->mb_batcher_next_results(host->batcher, 0, &results);
    if (status != MB_OK) {
        return number_of(env, status);
    }
    tell_results(host, results);
    return word_of(env, results);
}

void call_functions(napi_env env, napi_value exports)
{
    define(env, exports, "run", run);
    guarded(env, exports, "seal", seal);
    guarded(env, exports, "room", room);
    define(env, exports, "advance", advance);
    define(env, exports, "flush", flush);
    guarded(env, exports, "now", now);
    define(env, exports, "nextDue", next_due);
    guarded(env, exports, "cancel", cancel);
    define(env, exports, "close", close_batcher);
    guarded(env, exports, "flushBegin", flush_begin);
    define(env, exports, "flushEnd", flush_end);
    guarded(env, exports, "flushReached", flush_reached);
    define(env, exports, "nextBatch", next_batch);
    define(env, exports, "nextResults", next_results);
}
