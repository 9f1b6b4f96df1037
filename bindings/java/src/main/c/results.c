/* Sets of results, and map. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>

/* info: handle, count, kind, all_ok, batch, turn. */
#define RESULTS_INFO 6

mb_status tell_results(JNIEnv *env, const mb_api *api, const mb_results *results, jlongArray info)
{
    mb_results_view view;
    mb_status status;
    view.struct_size = sizeof view;
    status = api->mb_results_get_view(results, &view);
    if (status == MB_OK) {
        jlong told[RESULTS_INFO] = {
            (jlong)(uintptr_t)results, (jlong)view.count, view.kind, view.all_ok, (jlong)view.batch,
            (jlong)view.turn,
        };
        (*env)->SetLongArrayRegion(env, info, 0, RESULTS_INFO, told);
    }
    return status;
}

static jint nextResults(JNIEnv *env, jclass class, jobject core, jlong address, jlong timeout, jlongArray info)
{
    struct host *host = HOST(address);
    struct call call;
    mb_results *results = NULL;
    mb_status status;
    (void)class;
    if (!call_begin(&call, host, env, core)) {
        return MB_ERR_CLOSED;
    }
    status = host->api->mb_batcher_next_results(host->batcher, timeout, &results);
    if (status == MB_OK) {
        status = tell_results(env, host->api, results, info);
    }
    call_end(&call);
    return status;
}

static jint resultsInfo(JNIEnv *env, jclass class, jobject core, jlong address, jlong results, jlongArray info)
{
    (void)class;
    (void)core;
    return tell_results(env, HOST(address)->api, RESULTS(results), info);
}

/* Copies the columns; arrays may be NULL, and those of columns that are not there stay as they are. */
static jint resultsColumns(
    JNIEnv *env, jclass class, jobject core, jlong address, jlong results, jlongArray tags, jlongArray cells,
    jbyteArray kinds, jbyteArray outcomes, jbyteArray handled)
{
    mb_results_view view;
    mb_status status;
    jsize count;
    (void)class;
    (void)core;
    view.struct_size = sizeof view;
    status = HOST(address)->api->mb_results_get_view(RESULTS(results), &view);
    if (status != MB_OK) {
        return status;
    }
    count = (jsize)view.count;
    (*env)->SetLongArrayRegion(env, tags, 0, count, (const jlong *)view.tags);
    (*env)->SetLongArrayRegion(env, cells, 0, count, view.values);
    if (kinds != NULL) {
        (*env)->SetByteArrayRegion(env, kinds, 0, count, (const jbyte *)view.kinds);
    }
    if (outcomes != NULL && view.outcomes != NULL) {
        (*env)->SetByteArrayRegion(env, outcomes, 0, count, (const jbyte *)view.outcomes);
    }
    if (handled != NULL && view.handled != NULL) {
        (*env)->SetByteArrayRegion(env, handled, 0, count, (const jbyte *)view.handled);
    } else if (handled != NULL) {
        jbyte yes = MB_HANDLED_YES;
        for (jsize at = 0; at < count; at++) {
            (*env)->SetByteArrayRegion(env, handled, at, 1, &yes);
        }
    }
    return MB_OK;
}

static jbyteArray resultsStrings(
    JNIEnv *env, jclass class, jobject core, jlong address, jlong results, jintArray offsets)
{
    mb_column column;
    (void)class;
    (void)core;
    column.struct_size = sizeof column;
    if (HOST(address)->api->mb_results_strings(RESULTS(results), &column) != MB_OK) {
        return NULL;
    }
    (*env)->SetIntArrayRegion(env, offsets, 0, (jsize)column.count + 1, column.offsets);
    return bytes_to_java(env, column.bytes, (size_t)column.offsets[column.count]);
}

/* Why a row is not OK: the type's name, a NUL, the message. */
static jbyteArray resultsError(JNIEnv *env, jclass class, jobject core, jlong address, jlong results, jint row)
{
    mb_row_error error;
    jbyteArray array;
    size_t type;
    (void)class;
    (void)core;
    error.struct_size = sizeof error;
    if (HOST(address)->api->mb_results_error(RESULTS(results), (size_t)row, &error) != MB_OK) {
        return NULL;
    }
    type = strlen(error.type_name) + 1;
    array = (*env)->NewByteArray(env, (jsize)(type + error.length));
    if (array != NULL) {
        (*env)->SetByteArrayRegion(env, array, 0, (jsize)type, (const jbyte *)error.type_name);
        (*env)->SetByteArrayRegion(env, array, (jsize)type, (jsize)error.length, (const jbyte *)error.message);
    }
    return array;
}

static jint resultsObject(
    JNIEnv *env, jclass class, jobject core, jlong address, jlong results, jint row, jlongArray out)
{
    mb_value value;
    mb_status status = HOST(address)->api->mb_results_value(RESULTS(results), (size_t)row, &value);
    (void)class;
    (void)core;
    if (status == MB_OK) {
        jlong told[2] = {value.owner, (jlong)value.as.object.size};
        (*env)->SetLongArrayRegion(env, out, 0, 2, told);
    }
    return status;
}

/* Gives a set back, and with it the objects in it. It may outlive its batcher. */
static void resultsFree(JNIEnv *env, jclass class, jobject core, jlong address, jlong results)
{
    struct host *host = HOST(address);
    struct call call;
    bool counted = call_begin(&call, host, env, core);
    (void)class;
    host->api->mb_results_free(RESULTS(results));
    if (counted) {
        call_end(&call);
    }
}

/* ---- Map ---- */

/* A host for one map: no batcher, only the way up and an owner. out[0] is the host, out[1] the owner. */
static jint mapHost(JNIEnv *env, jclass class, jlongArray out)
{
    struct host *host = host_for_map();
    jlong made[2];
    (void)class;
    if (host == NULL) {
        return MB_ERR_NO_MEMORY;
    }
    made[0] = (jlong)(uintptr_t)host;
    made[1] = host->owner;
    (*env)->SetLongArrayRegion(env, out, 0, 2, made);
    return MB_OK;
}

static mb_map_options map_options(const struct host *host, jlong size, jlong batches)
{
    mb_map_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.max_batch_size = (uint64_t)size;
    options.batches = (uint64_t)batches;
    options.owner = host->owner;
    return options;
}

#define MAP(expression)                                                         \
    struct host *host = HOST(address);                                          \
    struct call call;                                                           \
    mb_map_options options = map_options(host, size, batches);                  \
    void *user_data = &host->handlers[DEFAULT_HANDLER];                         \
    mb_results *results = NULL;                                                 \
    mb_error *text = NULL;                                                      \
    mb_status status;                                                           \
    call_begin(&call, host, env, core);                                         \
    status = host->api->expression;                                             \
    call_end(&call);                                                            \
    host_set_error(env, error, host->api, text);                                \
    if (status == MB_OK) {                                                      \
        status = tell_results(env, host->api, results, info);                   \
    }                                                                           \
    return status

static jint map_int64s(
    JNIEnv *env, jobject core, jlong address, const int64_t *values, size_t count, jlong size, jlong batches,
    jlongArray info, jobjectArray error)
{
    MAP(mb_map_int64s(values, NULL, count, &options, host_handle, user_data, &results, &text));
}

static jint map_float64s(
    JNIEnv *env, jobject core, jlong address, const double *values, size_t count, jlong size, jlong batches,
    jlongArray info, jobjectArray error)
{
    MAP(mb_map_float64s(values, NULL, count, &options, host_handle, user_data, &results, &text));
}

static jint map_values(
    JNIEnv *env, jobject core, jlong address, const mb_value *values, size_t count, jlong size, jlong batches,
    jlongArray info, jobjectArray error)
{
    MAP(mb_map_values(values, count, &options, host_handle, user_data, &results, &text));
}

#define COPY_AND_MAP(jtype, ctype, get, function)                                                               \
    jsize count = (*env)->GetArrayLength(env, values);                                                          \
    jtype *copy = malloc((size_t)count * sizeof *copy + 1);                                                     \
    jint status = MB_ERR_NO_MEMORY;                                                                             \
    (void)class;                                                                                                \
    if (copy != NULL) {                                                                                         \
        (*env)->get(env, values, 0, count, copy);                                                               \
        status = function(                                                                                      \
            env, core, address, (const ctype *)copy, (size_t)count, size, batches, info, error);                \
    }                                                                                                           \
    free(copy);                                                                                                 \
    return status

static jint mapInt64s(
    JNIEnv *env, jclass class, jobject core, jlong address, jlongArray values, jlong size, jlong batches,
    jlongArray info, jobjectArray error)
{
    COPY_AND_MAP(jlong, int64_t, GetLongArrayRegion, map_int64s);
}

static jint mapFloat64s(
    JNIEnv *env, jclass class, jobject core, jlong address, jdoubleArray values, jlong size, jlong batches,
    jlongArray info, jobjectArray error)
{
    COPY_AND_MAP(jdouble, double, GetDoubleArrayRegion, map_float64s);
}

static jint mapRows(
    JNIEnv *env, jclass class, jobject core, jlong address, jlongArray words, jbyteArray data, jint count, jlong size,
    jlong batches, jlongArray info, jobjectArray error)
{
    struct rows rows;
    jint status;
    (void)class;
    if (!rows_read(env, words, 0, count, data, &rows)) {
        return MB_ERR_NO_MEMORY;
    }
    status = map_values(env, core, address, rows.values, (size_t)count, size, batches, info, error);
    rows_done(&rows);
    return status;
}

const JNINativeMethod results_methods[] = {
    METHOD(nextResults, "(" CORE "JJ[J)I"),
    METHOD(resultsInfo, "(" CORE "JJ[J)I"),
    METHOD(resultsColumns, "(" CORE "JJ[J[J[B[B[B)I"),
    METHOD(resultsStrings, "(" CORE "JJ[I)[B"),
    METHOD(resultsError, "(" CORE "JJI)[B"),
    METHOD(resultsObject, "(" CORE "JJI[J)I"),
    METHOD(resultsFree, "(" CORE "JJ)V"),
    METHOD(mapHost, "([J)I"),
    METHOD(mapInt64s, "(" CORE "J[JJJ[J[[B)I"),
    METHOD(mapFloat64s, "(" CORE "J[DJJ[J[[B)I"),
    METHOD(mapRows, "(" CORE "J[J[BIJJ[J[[B)I"),
};
const size_t results_method_count = sizeof results_methods / sizeof *results_methods;
