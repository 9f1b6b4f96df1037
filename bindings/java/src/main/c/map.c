/* Known values, handled on the calling thread. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>

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
        status = tell_results(env, host, results, info);                   \
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

METHODS(
    map_methods,
    METHOD(mapHost, "([J)I"),
    METHOD(mapInt64s, "(" CORE "J[JJJ[J[[B)I"),
    METHOD(mapFloat64s, "(" CORE "J[DJJ[J[[B)I"),
    METHOD(mapRows, "(" CORE "J[J[BIJJ[J[[B)I"));
