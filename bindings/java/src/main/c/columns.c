/* The columns of a batch and of a set of results, copied out in bulk: one body for both. */

#include "glue.h"

#include <stdlib.h>

struct columns {
    size_t count;
    const uint64_t *tags;
    const void *values;
    const uint8_t *kinds;
    const uint8_t *outcomes;     /* NULL in a batch, or if all are OK. */
    const uint8_t *handled;      /* NULL in a batch, or if a handler saw all. */
    const int32_t *offsets;      /* Of a batch whose strings are together. */
    const uint8_t *bytes;
};

static mb_status look(const mb_api *api, jlong handle, jboolean of_results, struct columns *columns)
{
    mb_status status;
    if (of_results) {
        mb_results_view view;
        view.struct_size = sizeof view;
        status = api->mb_results_get_view(RESULTS(handle), &view);
        if (status == MB_OK) {
            *columns = (struct columns){
                view.count, view.tags, view.values, view.kinds, view.outcomes, view.handled, NULL, NULL};
        }
    } else {
        mb_batch_view view;
        view.struct_size = sizeof view;
        status = api->mb_batch_get_view(BATCH(handle), &view);
        if (status == MB_OK) {
            *columns = (struct columns){
                view.count, view.tags, view.values, view.kinds, NULL, NULL, view.offsets, view.bytes};
        }
    }
    return status;
}

static void copy_bytes(JNIEnv *env, jbyteArray to, const uint8_t *from, jsize count)
{
    if (to != NULL && from != NULL) {
        (*env)->SetByteArrayRegion(env, to, 0, count, (const jbyte *)from);
    }
}

/* Arrays may be NULL, and those of columns that are not there stay as they are. */
static jint columns(
    JNIEnv *env, jclass class, jobject core, jlong address, jlong handle, jboolean of_results, jlongArray tags,
    jlongArray cells, jbyteArray kinds, jbyteArray outcomes, jbyteArray handled)
{
    struct columns columns;
    mb_status status = look(HOST(address)->api, handle, of_results, &columns);
    (void)class;
    (void)core;
    if (status == MB_OK) {
        if (tags != NULL) {
            (*env)->SetLongArrayRegion(env, tags, 0, (jsize)columns.count, (const jlong *)columns.tags);
        }
        if (cells != NULL) {
            (*env)->SetLongArrayRegion(env, cells, 0, (jsize)columns.count, columns.values);
        }
        copy_bytes(env, kinds, columns.kinds, (jsize)columns.count);
        copy_bytes(env, outcomes, columns.outcomes, (jsize)columns.count);
        copy_bytes(env, handled, columns.handled, (jsize)columns.count);
    }
    return status;
}

/* The cells of rows that are numbers with a fraction: a double's bits are its cell. */
static jint doubles(
    JNIEnv *env, jclass class, jobject core, jlong address, jlong handle, jboolean of_results, jdoubleArray numbers)
{
    struct columns columns;
    mb_status status = look(HOST(address)->api, handle, of_results, &columns);
    (void)class;
    (void)core;
    if (status == MB_OK) {
        (*env)->SetDoubleArrayRegion(env, numbers, 0, (jsize)columns.count, columns.values);
    }
    return status;
}

static mb_status value_at(const mb_api *api, jlong handle, jboolean of_results, size_t row, mb_value *value)
{
    return of_results ? api->mb_results_value(RESULTS(handle), row, value)
                      : api->mb_batch_value(BATCH(handle), row, value);
}

static bool is_text(uint8_t kind)
{
    return kind == MB_KIND_STRING || kind == MB_KIND_BYTES;
}

/* The bytes of rows whose strings are not together: some are owned pushes, each where its owner has it. */
static jbyteArray gather(JNIEnv *env, const mb_api *api, jlong batch, const struct columns *columns, jintArray offsets)
{
    jint *ends = malloc((columns->count + 1) * sizeof *ends);
    jbyteArray bytes = NULL;
    jlong total = 0;
    if (ends == NULL) {
        return NULL;
    }
    ends[0] = 0;
    for (size_t row = 0; row < columns->count; row++) {
        mb_value value;
        if (is_text(columns->kinds[row]) && value_at(api, batch, false, row, &value) == MB_OK) {
            total += (jlong)value.as.string.length;
        }
        ends[row + 1] = (jint)total;
    }
    bytes = total > INT32_MAX ? NULL : (*env)->NewByteArray(env, (jsize)total);
    for (size_t row = 0; bytes != NULL && row < columns->count; row++) {
        mb_value value;
        if (is_text(columns->kinds[row]) && value_at(api, batch, false, row, &value) == MB_OK) {
            (*env)->SetByteArrayRegion(
                env, bytes, ends[row], (jsize)value.as.string.length, value.as.string.data);
        }
    }
    (*env)->SetIntArrayRegion(env, offsets, 0, (jsize)columns->count + 1, ends);
    free(ends);
    return bytes;
}

/* The bytes of all rows, and where each begins and the last one ends. NULL if they cannot be had. */
static jbyteArray strings(
    JNIEnv *env, jclass class, jobject core, jlong address, jlong handle, jboolean of_results, jintArray offsets)
{
    const mb_api *api = HOST(address)->api;
    struct columns columns;
    (void)class;
    (void)core;
    if (look(api, handle, of_results, &columns) != MB_OK) {
        return NULL;
    }
    if (of_results) {
        mb_column column;
        column.struct_size = sizeof column;
        if (api->mb_results_strings(RESULTS(handle), &column) != MB_OK) {
            return NULL;
        }
        columns.offsets = column.offsets;
        columns.bytes = column.bytes;
    } else if (columns.offsets == NULL) {
        return gather(env, api, handle, &columns, offsets);
    }
    (*env)->SetIntArrayRegion(env, offsets, 0, (jsize)columns.count + 1, columns.offsets);
    return bytes_to_java(env, columns.bytes, (size_t)columns.offsets[columns.count]);
}

/* The owner and declared size of an object: out[0], out[1]. */
static jint object(
    JNIEnv *env, jclass class, jobject core, jlong address, jlong handle, jboolean of_results, jint row,
    jlongArray out)
{
    mb_value value;
    mb_status status = value_at(HOST(address)->api, handle, of_results, (size_t)row, &value);
    (void)class;
    (void)core;
    if (status == MB_OK) {
        jlong told[2] = {value.owner, (jlong)value.as.object.size};
        (*env)->SetLongArrayRegion(env, out, 0, 2, told);
    }
    return status;
}

METHODS(
    columns_methods,
    METHOD(columns, "(" CORE "JJZ[J[J[B[B[B)I"),
    METHOD(doubles, "(" CORE "JJZ[D)I"),
    METHOD(strings, "(" CORE "JJZ[I)[B"),
    METHOD(object, "(" CORE "JJZI[J)I"));
