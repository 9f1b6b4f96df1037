/* Pushes of many values in one crossing. */

#include "glue.h"
#include "way.h"

#include <stdlib.h>

/* The answer of a bulk push in one number: the status above, how many were accepted below. */
static jlong answer_of(mb_status status, size_t accepted)
{
    return (jlong)((uint64_t)(uint32_t)status << 32 | (uint32_t)accepted);
}

/* The elements of a Java array: where they are, for a push that does not wait; else a copy. NULL if they cannot be had. */
#define ELEMENTS(Type, array)                                                                               \
    (host->attached ? (void *)(*env)->Get##Type##ArrayElements(env, array, NULL)                            \
                    : (*env)->GetPrimitiveArrayCritical(env, array, NULL))

#define ELEMENTS_DONE(Type, array, elements)                                                                \
    if (host->attached) {                                                                                   \
        (*env)->Release##Type##ArrayElements(env, array, elements, JNI_ABORT);                              \
    } else {                                                                                                \
        (*env)->ReleasePrimitiveArrayCritical(env, array, elements, JNI_ABORT);                             \
    }

/* tags: NULL for tags that count up from first_tag. */
#define PUSH_MANY(Type, jtype, ctype, function)                                                             \
    struct host *host = HOST(address);                                                                      \
    struct way way;                                                                                         \
    jtype *elements;                                                                                        \
    jlong *tag_elements = NULL;                                                                             \
    size_t accepted = 0;                                                                                    \
    mb_status status = MB_ERR_NO_MEMORY;                                                                    \
    (void)class;                                                                                            \
    if (!way_begin(&way, host, env, core)) {                                                                \
        return answer_of(MB_ERR_CLOSED, 0);                                                                 \
    }                                                                                                       \
    elements = ELEMENTS(Type, values);                                                                      \
    if (elements != NULL) {                                                                                 \
        tag_elements = tags == NULL ? NULL : ELEMENTS(Long, tags);                                          \
        if (tags == NULL || tag_elements != NULL) {                                                         \
            status = host->api->function(                                                                   \
                host->batcher, (const ctype *)elements + from, NULL, (size_t)count,                         \
                tags == NULL ? NULL : (const uint64_t *)tag_elements + from, (uint64_t)first_tag,           \
                manner(host, last), &accepted);                                                             \
        }                                                                                                   \
        if (tag_elements != NULL) {                                                                         \
            ELEMENTS_DONE(Long, tags, tag_elements);                                                        \
        }                                                                                                   \
        ELEMENTS_DONE(Type, values, elements);                                                              \
    }                                                                                                       \
    way_end(&way);                                                                                          \
    return answer_of(status, accepted)

static jlong pushInt64s(
    JNIEnv *env, jclass class, jobject core, jlong address, jlongArray values, jint from, jint count,
    jlongArray tags, jlong first_tag, jboolean last)
{
    PUSH_MANY(Long, jlong, int64_t, mb_batcher_push_int64s);
}

static jlong pushFloat64s(
    JNIEnv *env, jclass class, jobject core, jlong address, jdoubleArray values, jint from, jint count,
    jlongArray tags, jlong first_tag, jboolean last)
{
    PUSH_MANY(Double, jdouble, double, mb_batcher_push_float64s);
}

static jlong pushRows(
    JNIEnv *env, jclass class, jobject core, jlong address, jlongArray words, jbyteArray data, jint from, jint count,
    jlongArray tags, jlong first_tag, jboolean last)
{
    struct host *host = HOST(address);
    struct way way;
    struct rows rows;
    uint64_t *all_tags = NULL;
    size_t accepted = 0;
    mb_status status = MB_OK;
    jint reserved = 0;
    (void)class;
    if (tags != NULL) {
        all_tags = malloc((size_t)count * sizeof *all_tags + 1);
        if (all_tags == NULL) {
            return answer_of(MB_ERR_NO_MEMORY, 0);
        }
        (*env)->GetLongArrayRegion(env, tags, from, count, (jlong *)all_tags);
    }
    if (!rows_read(env, words, from, count, data, &rows)) {
        free(all_tags);
        return answer_of(MB_ERR_NO_MEMORY, 0);
    }
    if (!way_begin(&way, host, env, core)) {
        status = MB_ERR_CLOSED;
    } else {
        for (jint at = 0; at < count && status == MB_OK; at++) {
            if (is_ours(host, &rows.values[at])) {
                status = host_reserve_reference(host) ? MB_OK : MB_ERR_NO_MEMORY;
                reserved += status == MB_OK;
            }
        }
        if (status == MB_OK) {
            status = host->api->mb_batcher_push_values(
                host->batcher, rows.values, (size_t)count, all_tags, (uint64_t)first_tag, manner(host, last),
                &accepted);
        }
        for (size_t at = 0; at < accepted; at++) {
            reserved -= is_ours(host, &rows.values[at]);
        }
        while (reserved-- > 0) {
            host_unreserve_reference(host);
        }
        way_end(&way);
    }
    rows_done(&rows);
    free(all_tags);
    return answer_of(status, accepted);
}

/* Values and tags as an appender laid them out in its direct buffer. */
static jlong pushStaged(
    JNIEnv *env, jclass class, jobject core, jlong address, jlong values, jlong tags, jint count, jboolean last)
{
    struct host *host = HOST(address);
    struct way way;
    size_t accepted = 0;
    mb_status status;
    (void)class;
    if (!way_begin(&way, host, env, core)) {
        return answer_of(MB_ERR_CLOSED, 0);
    }
    status = host->api->mb_batcher_push_values(
        host->batcher, (const mb_value *)(uintptr_t)values, (size_t)count, (const uint64_t *)(uintptr_t)tags, 0,
        manner(host, last), &accepted);
    way_end(&way);
    return answer_of(status, accepted);
}

static jlong bufferAddress(JNIEnv *env, jclass class, jobject buffer)
{
    (void)class;
    return (jlong)(uintptr_t)(*env)->GetDirectBufferAddress(env, buffer);
}

METHODS(
    many_methods,
    METHOD(pushInt64s, "(" CORE "J[JII[JJZ)J"),
    METHOD(pushFloat64s, "(" CORE "J[DII[JJZ)J"),
    METHOD(pushRows, "(" CORE "J[J[BII[JJZ)J"),
    METHOD(pushStaged, "(" CORE "JJJIZ)J"),
    METHOD(bufferAddress, "(Ljava/nio/ByteBuffer;)J"));
