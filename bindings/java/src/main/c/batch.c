/* Batches: taken, read in bulk, answered, completed. A handle is checked by the library at every call, and Batch.java lets
   no call run beside the completion of its batch. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>

/* info: handle, count, kind, trigger, age, number; then 1 if positions are given, and 1 if there is log to fetch. */
#define BATCH_INFO 8

static mb_status tell_batch(JNIEnv *env, struct host *host, mb_batch *batch, jlongArray info)
{
    mb_batch_view view;
    mb_status status;
    view.struct_size = sizeof view;
    status = host->api->mb_batch_get_view(batch, &view);
    if (status == MB_OK) {
        jlong told[BATCH_INFO] = {
            (jlong)(uintptr_t)batch, (jlong)view.count, view.kind, view.trigger, view.age, (jlong)view.number,
            view.positions != NULL, has_log(host),
        };
        (*env)->SetLongArrayRegion(env, info, 0, BATCH_INFO, told);
    }
    return status;
}

static jint nextBatch(JNIEnv *env, jclass class, jobject core, jlong address, jlong timeout, jlongArray info)
{
    struct host *host = HOST(address);
    struct call call;
    mb_batch *batch = NULL;
    mb_status status;
    (void)class;
    if (!call_begin(&call, host, env, core)) {
        return MB_ERR_CLOSED;
    }
    status = host->api->mb_batcher_next_batch(host->batcher, timeout, &batch);
    if (status == MB_OK) {
        status = tell_batch(env, host, batch, info);
    }
    call_end(&call);
    return status;
}

static jint batchInfo(JNIEnv *env, jclass class, jobject core, jlong address, jlong batch, jlongArray info)
{
    (void)class;
    (void)core;
    return tell_batch(env, HOST(address), BATCH(batch), info);
}

static jint batchKeep(JNIEnv *env, jclass class, jobject core, jlong address, jlong batch)
{
    (void)env;
    (void)class;
    (void)core;
    return HOST(address)->api->mb_batch_keep(BATCH(batch));
}

/* Ending a batch may give objects back, and it outlives its batcher: it is a call also when the batcher is gone. */
#define END_BATCH(expression)                           \
    struct host *host = HOST(address);                  \
    struct call call;                                   \
    mb_status status;                                   \
    bool counted = call_begin(&call, host, env, core);  \
    (void)class;                                        \
    status = host->api->expression;                     \
    if (counted) {                                      \
        call_end(&call);                                \
    }                                                   \
    return status

/* or_null: rows without a result are OK, with null. */
static jint batchComplete(JNIEnv *env, jclass class, jobject core, jlong address, jlong batch, jboolean or_null)
{
    if (or_null) {
        END_BATCH(mb_batch_complete_ok(BATCH(batch)));
    } else {
        END_BATCH(mb_batch_complete(BATCH(batch)));
    }
}

/* The same, and takes the next set of results, if one is ready: info is about it, or 0 in its first place. */
static jint batchCompleteNext(JNIEnv *env, jclass class, jobject core, jlong address, jlong batch, jlongArray info)
{
    struct host *host = HOST(address);
    struct call call;
    mb_results *results = NULL;
    mb_status status;
    bool counted = call_begin(&call, host, env, core);
    (void)class;
    status = host->api->mb_batch_complete_next(BATCH(batch), &results);
    if (results != NULL) {
        tell_results(env, host, results, info);
    } else {
        jlong none = 0;
        (*env)->SetLongArrayRegion(env, info, 0, 1, &none);
    }
    if (counted) {
        call_end(&call);
    }
    return status;
}

static jint batchFree(JNIEnv *env, jclass class, jobject core, jlong address, jlong batch)
{
    END_BATCH(mb_batch_free(BATCH(batch)));
}

/* ---- Results of a handler ---- */

/* As many results as are read onto the stack. */
#define SMALL 1024

#define SET_MANY(jtype, ctype, function, get)                                                       \
    jtype small[SMALL];                                                                             \
    jsize count = (*env)->GetArrayLength(env, values);                                              \
    jtype *chunk = count <= SMALL ? small : malloc((size_t)count * sizeof *chunk);                  \
    mb_status status;                                                                               \
    (void)class;                                                                                    \
    (void)core;                                                                                     \
    if (chunk == NULL) {                                                                            \
        return MB_ERR_NO_MEMORY;                                                                    \
    }                                                                                               \
    (*env)->get(env, values, 0, count, chunk);                                                      \
    status = HOST(address)->api->function(BATCH(batch), (const ctype *)chunk, NULL, (size_t)count); \
    if (chunk != small) {                                                                           \
        free(chunk);                                                                                \
    }                                                                                               \
    return status

static jint setInt64s(JNIEnv *env, jclass class, jobject core, jlong address, jlong batch, jlongArray values)
{
    SET_MANY(jlong, int64_t, mb_batch_set_int64s, GetLongArrayRegion);
}

static jint setFloat64s(JNIEnv *env, jclass class, jobject core, jlong address, jlong batch, jdoubleArray values)
{
    SET_MANY(jdouble, double, mb_batch_set_float64s, GetDoubleArrayRegion);
}

/* Sets one row; the reference of an object of ours is reserved first, and Java's again where the library says so. */
static mb_status set_value(struct host *host, mb_batch *batch, size_t row, const mb_value *value)
{
    bool ours = value->kind == MB_KIND_OBJECT && value->owner == host->owner && host->owner != 0;
    mb_status status;
    if (ours && !host_reserve_reference(host)) {
        return MB_ERR_NO_MEMORY;
    }
    status = host->api->mb_batch_set_value(batch, row, value);
    if (status != MB_OK && status != MB_ERR_TOO_LATE && ours) {
        host_unreserve_reference(host);
    }
    return status;
}

/* Rows of any kinds, for the rows that `targets` names, or 0, 1, 2, ... The answer is the first refusal and where it
   was; targets NULL sets all rows and lets the library compare their number with the batch's. */
static jlong setRows(
    JNIEnv *env, jclass class, jobject core, jlong address, jlong batch, jlongArray words, jbyteArray data, jint count,
    jintArray targets)
{
    struct host *host = HOST(address);
    struct call call;
    struct rows rows;
    mb_batch_view view;
    mb_status status = MB_OK;
    jint at = 0;
    bool counted;
    (void)class;
    if (!rows_read(env, words, 0, count, data, &rows)) {
        return (jlong)((uint64_t)(uint32_t)MB_ERR_NO_MEMORY << 32);
    }
    counted = call_begin(&call, host, env, core);
    view.struct_size = sizeof view;
    if (targets == NULL && host->api->mb_batch_get_view(BATCH(batch), &view) == MB_OK && view.count != (size_t)count) {
        /* nothing is set, so nothing is handed over: the library compares the lengths first and fails the part */
        status = host->api->mb_batch_set_values(BATCH(batch), rows.values, (size_t)count);
    } else {
        for (; at < count && status == MB_OK; at++) {
            jint row = at;
            if (targets != NULL) {
                (*env)->GetIntArrayRegion(env, targets, at, 1, &row);
            }
            status = set_value(host, BATCH(batch), (size_t)row, &rows.values[at]);
        }
    }
    if (counted) {
        call_end(&call);
    }
    rows_done(&rows);
    return (jlong)((uint64_t)(uint32_t)status << 32 | (uint32_t)at);
}

/* Fails a row, or with row -1 the whole part. */
static jint fail(
    JNIEnv *env, jclass class, jobject core, jlong address, jlong batch, jint row, jint code, jbyteArray type,
    jbyteArray message)
{
    const mb_api *api = HOST(address)->api;
    struct bytes name, text;
    mb_status status = MB_ERR_NO_MEMORY;
    (void)class;
    (void)core;
    if (!bytes_read(env, type, (*env)->GetArrayLength(env, type), &name)) {
        return status;
    }
    if (bytes_read(env, message, (*env)->GetArrayLength(env, message), &text)) {
        status = row < 0 ? api->mb_batch_fail_all(BATCH(batch), code, name.data, text.data, text.length)
                         : api->mb_batch_fail(BATCH(batch), (size_t)row, code, name.data, text.data, text.length);
        bytes_done(&text);
    }
    bytes_done(&name);
    return status;
}

METHODS(
    batch_methods,
    METHOD(nextBatch, "(" CORE "JJ[J)I"),
    METHOD(batchInfo, "(" CORE "JJ[J)I"),
    METHOD(batchKeep, "(" CORE "JJ)I"),
    METHOD(batchComplete, "(" CORE "JJZ)I"),
    METHOD(batchCompleteNext, "(" CORE "JJ[J)I"),
    METHOD(batchFree, "(" CORE "JJ)I"),
    METHOD(setInt64s, "(" CORE "JJ[J)I"),
    METHOD(setFloat64s, "(" CORE "JJ[D)I"),
    METHOD(setRows, "(" CORE "JJ[J[BI[I)J"),
    METHOD(fail, "(" CORE "JJII[B[B)I"));
