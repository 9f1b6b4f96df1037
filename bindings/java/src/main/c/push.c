/* Pushes of one value by the batcher. */

#include "glue.h"
#include "way.h"

/* Numbers, without the Core: nothing is called back, and Java keeps the batcher meanwhile. As plain functions they are
   called by a virtual machine that needs to know nothing of it (Direct.java); not for attached batchers, which wait. */
#define PUSH_NUMBER(name, jtype, kind)                                                                      \
    static jint plain_##name(jlong address, jtype value, jlong tag)                                         \
    {                                                                                                       \
        struct host *host = HOST(address);                                                                  \
        const mb_value number = number_of(kind, &value);                                                    \
        struct record *record = use_begin(host);                                                            \
        mb_status status;                                                                                   \
        if (record == NULL) {                                                                               \
            return MB_ERR_CLOSED;                                                                           \
        }                                                                                                   \
        status = host->api->mb_batcher_push_value(host->batcher, &number, (uint64_t)tag, &ASK);             \
        use_end(record);                                                                                    \
        return status;                                                                                      \
    }                                                                                                       \
                                                                                                            \
    static jint name(JNIEnv *env, jclass class, jlong address, jtype value, jlong tag)                      \
    {                                                                                                       \
        struct host *host = HOST(address);                                                                  \
        const mb_value number = number_of(kind, &value);                                                    \
        struct call call;                                                                                   \
        mb_status status;                                                                                   \
        (void)class;                                                                                        \
        if (!host->attached) {                                                                              \
            return plain_##name(address, value, tag);                                                       \
        }                                                                                                   \
        if (!call_begin(&call, host, env, NULL)) {                                                          \
            return MB_ERR_CLOSED;                                                                           \
        }                                                                                                   \
        status = host->api->mb_batcher_push_value(host->batcher, &number, (uint64_t)tag, &WAIT);            \
        call_end(&call);                                                                                    \
        return status;                                                                                      \
    }

PUSH_NUMBER(pushInt64, jlong, MB_KIND_INT64)
PUSH_NUMBER(pushFloat64, jdouble, MB_KIND_FLOAT64)

/* The addresses of the plain functions. */
static void plainPushes(JNIEnv *env, jclass class, jlongArray out)
{
    jlong addresses[2] = {(jlong)(uintptr_t)plain_pushInt64, (jlong)(uintptr_t)plain_pushFloat64};
    (void)class;
    (*env)->SetLongArrayRegion(env, out, 0, 2, addresses);
}

/* Any value; within: nanoseconds from now until its deadline, or NO_DEADLINE. last: it is the last try. */
static jint push(
    JNIEnv *env, jclass class, jobject core, jlong address, jlong head, jlong first, jlong second, jbyteArray data,
    jlong tag, jlong within, jboolean last)
{
    struct host *host = HOST(address);
    struct way way;
    struct bytes bytes = {bytes.small, 0, ""};
    mb_push_options options;
    mb_value value;
    mb_status status;
    bool ours;
    (void)class;
    if (data != NULL && !bytes_read(env, data, (*env)->GetArrayLength(env, data), &bytes)) {
        return MB_ERR_NO_MEMORY;
    }
    value_of(head, first, second, &bytes, &value);
    if (!way_begin(&way, host, env, core)) {
        bytes_done(&bytes);
        return MB_ERR_CLOSED;
    }
    ours = is_ours(host, &value);
    options = *manner(host, last);
    status = ours && !host_reserve_reference(host) ? MB_ERR_NO_MEMORY : MB_OK;
    if (status == MB_OK) {
        status = within == NO_DEADLINE ? MB_OK : set_deadline(host, within, &options);
        if (status == MB_OK) {
            status = host->api->mb_batcher_push_value(host->batcher, &value, (uint64_t)tag, &options);
        }
        if (status != MB_OK && ours) {
            host_unreserve_reference(host);
        }
    }
    way_end(&way);
    bytes_done(&bytes);
    return status;
}

static jint check(
    JNIEnv *env, jclass class, jobject core, jlong address, jlong head, jlong first, jlong second, jbyteArray data,
    jobjectArray error)
{
    struct host *host = HOST(address);
    struct call call;
    struct bytes bytes = {bytes.small, 0, ""};
    mb_error *text = NULL;
    mb_value value;
    mb_status status;
    (void)class;
    if (data != NULL && !bytes_read(env, data, (*env)->GetArrayLength(env, data), &bytes)) {
        return MB_ERR_NO_MEMORY;
    }
    value_of(head, first, second, &bytes, &value);
    if (!call_begin(&call, host, env, core)) {
        bytes_done(&bytes);
        return MB_ERR_CLOSED;
    }
    status = host->api->mb_batcher_check(host->batcher, &value, &text);
    host_set_error(env, error, host->api, text);
    call_end(&call);
    bytes_done(&bytes);
    return status;
}

METHODS(
    push_methods,
    METHOD(pushInt64, "(JJJ)I"),
    METHOD(pushFloat64, "(JDJ)I"),
    METHOD(plainPushes, "([J)V"),
    METHOD(push, "(" CORE "JJJJ[BJJZ)I"),
    METHOD(check, "(" CORE "JJJJ[B[[B)I"));
