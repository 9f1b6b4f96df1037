/* Calls that may last or call back, and the numbers of a batcher. */

#include "glue.h"

#include <stdlib.h>

/* The body of a call that may last or call back. */
#define CALL(expression)                                \
    struct host *host = HOST(address);                  \
    struct call call;                                   \
    mb_status status;                                   \
    (void)class;                                        \
    if (!call_begin(&call, host, env, core)) {          \
        return MB_ERR_CLOSED;                           \
    }                                                   \
    status = host->api->expression;                     \
    call_end(&call);                                    \
    return status

/* A close is about to begin in another thread: from now on pushes, seals and new flushes answer CLOSED; or it has begun, and
   the library answers that itself. */
static void closeToValues(JNIEnv *env, jclass class, jobject core, jlong address, jboolean closed)
{
    unsigned char before = closed ? OPEN : CLOSED_TO_VALUES;
    (void)env;
    (void)class;
    (void)core;
    atomic_compare_exchange_strong(&HOST(address)->closing, &before, closed ? CLOSED_TO_VALUES : OPEN);
}

static bool is_closed_to_values(jlong address)
{
    return atomic_load(&HOST(address)->closing) != OPEN;
}

static jint seal(JNIEnv *env, jclass class, jobject core, jlong address)
{
    if (is_closed_to_values(address)) {
        return MB_ERR_CLOSED;
    }
    CALL(mb_batcher_seal(host->batcher));
}

static jint run(JNIEnv *env, jclass class, jobject core, jlong address)
{
    CALL(mb_batcher_run(host->batcher));
}

static jint advance(JNIEnv *env, jclass class, jobject core, jlong address, jlong now)
{
    CALL(mb_batcher_advance(host->batcher, now));
}

static jint room(JNIEnv *env, jclass class, jobject core, jlong address, jlong timeout)
{
    CALL(mb_batcher_room(host->batcher, timeout));
}

static jint flush(JNIEnv *env, jclass class, jobject core, jlong address, jlong timeout)
{
    CALL(mb_batcher_flush(host->batcher, timeout));
}

static jint flushEnd(JNIEnv *env, jclass class, jobject core, jlong address, jlong mark, jlong timeout)
{
    CALL(mb_batcher_flush_end(host->batcher, (uint64_t)mark, timeout));
}

/* The same for calls that answer a number, in out[0]. */
#define CALL_FOR_NUMBER(type, expression)                       \
    struct host *host = HOST(address);                          \
    struct call call;                                           \
    mb_status status;                                           \
    type number = 0;                                            \
    jlong answer;                                               \
    (void)class;                                                \
    if (!call_begin(&call, host, env, core)) {                  \
        return MB_ERR_CLOSED;                                   \
    }                                                           \
    status = host->api->expression;                             \
    answer = (jlong)number;                                     \
    (*env)->SetLongArrayRegion(env, out, 0, 1, &answer);        \
    call_end(&call);                                            \
    return status

static jint nextDue(JNIEnv *env, jclass class, jobject core, jlong address, jlongArray out)
{
    CALL_FOR_NUMBER(int64_t, mb_batcher_next_due(host->batcher, &number));
}

static jint now(JNIEnv *env, jclass class, jobject core, jlong address, jlongArray out)
{
    CALL_FOR_NUMBER(int64_t, mb_batcher_now(host->batcher, &number));
}

static jint flushBegin(JNIEnv *env, jclass class, jobject core, jlong address, jlongArray out)
{
    if (is_closed_to_values(address)) {
        return MB_ERR_CLOSED;
    }
    CALL_FOR_NUMBER(uint64_t, mb_batcher_flush_begin(host->batcher, &number));
}

static jint close(JNIEnv *env, jclass class, jobject core, jlong address, jlong timeout, jlongArray out)
{
    CALL_FOR_NUMBER(uint64_t, mb_batcher_close(host->batcher, timeout, &number));
}

static jint cancel(JNIEnv *env, jclass class, jobject core, jlong address, jlong tag, jlongArray out)
{
    CALL_FOR_NUMBER(uint64_t, mb_batcher_cancel(host->batcher, (uint64_t)tag, &number));
}

/* ---- Stats ---- */

#define STATS_NUMBERS ((sizeof(mb_stats) - offsetof(mb_stats, accepted)) / sizeof(uint64_t))
_Static_assert(offsetof(mb_stats, accepted) + STATS_NUMBERS * sizeof(uint64_t) == sizeof(mb_stats),
               "Stats.java reads all of it as numbers of 64 bits, in this order");
_Static_assert(offsetof(mb_stats, batch_size) == 8 * 50, "and knows where the histograms begin");

static jint stats(JNIEnv *env, jclass class, jobject core, jlong address, jlongArray numbers)
{
    struct host *host = HOST(address);
    struct call call;
    mb_stats stats;
    mb_status status;
    (void)class;
    if (!call_begin(&call, host, env, core)) {
        return MB_ERR_CLOSED;
    }
    stats.struct_size = sizeof stats;
    status = host->api->mb_batcher_stats(host->batcher, &stats);
    if (status == MB_OK) {
        (*env)->SetLongArrayRegion(
            env, numbers, 0, (jsize)STATS_NUMBERS, (const jlong *)(const void *)&stats.accepted);
    }
    call_end(&call);
    return status;
}

static jbyteArray statsText(JNIEnv *env, jclass class, jobject core, jlong address)
{
    struct host *host = HOST(address);
    struct call call;
    jbyteArray array = NULL;
    size_t capacity = 16384;
    size_t needed = 0;
    (void)class;
    if (!call_begin(&call, host, env, core)) {
        return NULL;
    }
    for (;;) {
        char *text = malloc(capacity);
        if (text == NULL || host->api->mb_batcher_stats_text(host->batcher, text, capacity, &needed) != MB_OK) {
            free(text);
            break;
        }
        if (needed <= capacity) {
            array = bytes_to_java(env, text, needed - 1);
            free(text);
            break;
        }
        free(text);
        capacity = needed + 1024;
    }
    call_end(&call);
    return array;
}

METHODS(
    calls_methods,
    METHOD(closeToValues, "(" CORE "JZ)V"),
    METHOD(seal, "(" CORE "J)I"),
    METHOD(run, "(" CORE "J)I"),
    METHOD(advance, "(" CORE "JJ)I"),
    METHOD(room, "(" CORE "JJ)I"),
    METHOD(flush, "(" CORE "JJ)I"),
    METHOD(flushBegin, "(" CORE "J[J)I"),
    METHOD(flushEnd, "(" CORE "JJJ)I"),
    METHOD(nextDue, "(" CORE "J[J)I"),
    METHOD(now, "(" CORE "J[J)I"),
    METHOD(close, "(" CORE "JJ[J)I"),
    METHOD(cancel, "(" CORE "JJ[J)I"),
    METHOD(stats, "(" CORE "J[J)I"),
    METHOD(statsText, "(" CORE "J)[B"));
