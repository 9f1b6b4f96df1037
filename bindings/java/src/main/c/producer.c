/* Producers: ways in for one thread at a time. */

#include "glue.h"
#include "way.h"

#include <stdlib.h>

#define PRODUCER(address) ((struct producer *)(uintptr_t)(address))

static jint producerNew(JNIEnv *env, jclass class, jobject core, jlong address, jlongArray out)
{
    struct host *host = HOST(address);
    struct call call;
    struct producer *producer;
    mb_producer *handle = NULL;
    mb_status status;
    jlong made;
    (void)class;
    if (!call_begin(&call, host, env, core)) {
        return MB_ERR_CLOSED;
    }
    status = host->api->mb_producer_new(host->batcher, &handle);
    if (status == MB_OK) {
        producer = calloc(1, sizeof *producer);
        if (producer == NULL) {
            host->api->mb_producer_free(handle);
            status = MB_ERR_NO_MEMORY;
        } else {
            producer->host = host;
            producer->handle = handle;
            atomic_fetch_add(&host->holds, 1);
            made = (jlong)(uintptr_t)producer;
            (*env)->SetLongArrayRegion(env, out, 0, 1, &made);
        }
    }
    call_end(&call);
    return status;
}

/* No push begins any more; the engine's producer goes, the struct stays until producerFree. */
static void close_producer(struct producer *producer)
{
    if (atomic_exchange(&producer->closing, LET_GO) != LET_GO) {
        await_unused(producer);
        producer->host->api->mb_producer_free(producer->handle);
    }
}

static void producerClose(JNIEnv *env, jclass class, jobject owner, jlong address)
{
    (void)env;
    (void)class;
    (void)owner;
    close_producer(PRODUCER(address));
}

static void producerFree(JNIEnv *env, jclass class, jlong address)
{
    struct producer *producer = PRODUCER(address);
    struct host *host = producer->host;
    (void)env;
    (void)class;
    close_producer(producer);
    free(producer);
    host_unhold(host);
}

/* As those of the batcher: plain, and for the virtual machine. */
#define PRODUCER_PUSH_NUMBER(name, jtype, kind)                                             \
    static jint plain_##name(jlong address, jtype value, jlong tag)                         \
    {                                                                                       \
        struct producer *producer = PRODUCER(address);                                      \
        const mb_value number = number_of(kind, &value);                                    \
        struct record *record = use_begin_producer(producer);                               \
        mb_status status;                                                                   \
        if (record == NULL) {                                                               \
            return MB_ERR_CLOSED;                                                           \
        }                                                                                   \
        status = producer->host->api->mb_producer_push_value(                               \
            producer->handle, &number, (uint64_t)tag, manner(producer->host, false));       \
        use_end_producer(record);                                                           \
        return status;                                                                      \
    }                                                                                       \
                                                                                            \
    static jint name(JNIEnv *env, jclass class, jlong address, jtype value, jlong tag)      \
    {                                                                                       \
        (void)env;                                                                          \
        (void)class;                                                                        \
        return plain_##name(address, value, tag);                                           \
    }

PRODUCER_PUSH_NUMBER(producerPushInt64, jlong, MB_KIND_INT64)
PRODUCER_PUSH_NUMBER(producerPushFloat64, jdouble, MB_KIND_FLOAT64)

static void plainProducerPushes(JNIEnv *env, jclass class, jlongArray out)
{
    jlong addresses[2] = {
        (jlong)(uintptr_t)plain_producerPushInt64, (jlong)(uintptr_t)plain_producerPushFloat64};
    (void)class;
    (*env)->SetLongArrayRegion(env, out, 0, 2, addresses);
}

static jint producerPush(
    JNIEnv *env, jclass class, jobject owner, jlong address, jlong head, jlong first, jlong second, jbyteArray data,
    jlong tag, jlong within, jboolean last)
{
    struct producer *producer = PRODUCER(address);
    struct host *host = producer->host;
    struct record *record;
    struct bytes bytes = {bytes.small, 0, ""};
    mb_push_options options;
    mb_value value;
    mb_status status = MB_OK;
    bool ours;
    (void)class;
    (void)owner;
    if (data != NULL && !bytes_read(env, data, (*env)->GetArrayLength(env, data), &bytes)) {
        return MB_ERR_NO_MEMORY;
    }
    value_of(head, first, second, &bytes, &value);
    record = use_begin_producer(producer);
    if (record == NULL) {
        bytes_done(&bytes);
        return MB_ERR_CLOSED;
    }
    ours = is_ours(host, &value);
    options = *manner(host, last);
    if (ours && !host_reserve_reference(host)) {
        status = MB_ERR_NO_MEMORY;
    } else {
        status = within == NO_DEADLINE ? MB_OK : set_deadline(host, within, &options);
        if (status == MB_OK) {
            status = host->api->mb_producer_push_value(producer->handle, &value, (uint64_t)tag, &options);
        }
        if (status != MB_OK && ours) {
            host_unreserve_reference(host);
        }
    }
    use_end_producer(record);
    bytes_done(&bytes);
    return status;
}

METHODS(
    producer_methods,
    METHOD(producerNew, "(" CORE "J[J)I"),
    METHOD(producerClose, "(Lio/microbatch/Producer;J)V"),
    METHOD(producerFree, "(J)V"),
    METHOD(producerPushInt64, "(JJJ)I"),
    METHOD(producerPushFloat64, "(JDJ)I"),
    METHOD(plainProducerPushes, "([J)V"),
    METHOD(producerPush, "(Lio/microbatch/Producer;JJJJ[BJJZ)I"));
