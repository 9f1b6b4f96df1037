/* Pushes: one value, many of one kind, rows of any kinds; by the batcher or by a producer.

   A push into a batcher of this glue never waits: it asks, and Java waits. So it is a short use. Somebody else's batcher
   waits as its owner said: such a push is counted as a call. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>

/* How many values of a Java array are copied at a time. */
#define CHUNK 1024

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

#define PUSH(expression)                                \
    struct host *host = HOST(address);                  \
    struct way way;                                     \
    mb_status status;                                   \
    (void)class;                                        \
    if (!way_begin(&way, host, env, core)) {            \
        return MB_ERR_CLOSED;                           \
    }                                                   \
    status = host->api->expression;                     \
    way_end(&way);                                      \
    return status

static jint pushInt64(JNIEnv *env, jclass class, jobject core, jlong address, jlong value, jlong tag)
{
    const mb_value number = {.kind = MB_KIND_INT64, .as.int64 = value};
    PUSH(mb_batcher_push_value(host->batcher, &number, (uint64_t)tag, manner(host, false)));
}

static jint pushFloat64(JNIEnv *env, jclass class, jobject core, jlong address, jdouble value, jlong tag)
{
    const mb_value number = {.kind = MB_KIND_FLOAT64, .as.float64 = value};
    PUSH(mb_batcher_push_value(host->batcher, &number, (uint64_t)tag, manner(host, false)));
}

/* ---- Rows ---- */

void value_of(jlong head, jlong first, jlong second, const struct bytes *bytes, mb_value *value)
{
    jlong words[3] = {head, first, second};
    memcpy(value, words, sizeof *value);
    if (value->kind == MB_KIND_STRING || value->kind == MB_KIND_BYTES) {
        value->as.string.data = bytes->data + first;
    }
}

bool rows_read(JNIEnv *env, jlongArray words, jint from, jint count, jbyteArray data, struct rows *rows)
{
    rows->values = malloc((size_t)count * sizeof *rows->values + 1);
    if (rows->values == NULL) {
        return false;
    }
    if (!bytes_read(env, data, data == NULL ? 0 : (*env)->GetArrayLength(env, data), &rows->bytes)) {
        free(rows->values);
        return false;
    }
    (*env)->GetLongArrayRegion(env, words, 3 * from, 3 * count, (jlong *)(void *)rows->values);
    for (jint at = 0; at < count; at++) {
        mb_value *value = &rows->values[at];
        if (value->kind == MB_KIND_STRING || value->kind == MB_KIND_BYTES) {
            jlong offset;
            memcpy(&offset, &value->as, sizeof offset);
            value->as.string.data = rows->bytes.data + offset;
        }
    }
    return true;
}

void rows_done(struct rows *rows)
{
    free(rows->values);
    bytes_done(&rows->bytes);
}

/* An object of the batcher's owner costs a place among the references. */
static bool is_ours(const struct host *host, const mb_value *value)
{
    return value->kind == MB_KIND_OBJECT && !host->attached && value->owner == host->owner;
}

static mb_status set_deadline(struct host *host, jlong within, mb_push_options *options)
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

/* ---- Many ---- */

/* The answer of a bulk push in one number: the status above, how many were accepted below. */
static jlong answer_of(mb_status status, size_t accepted)
{
    return (jlong)((uint64_t)(uint32_t)status << 32 | (uint32_t)accepted);
}

/* tags: NULL for tags that count up from first_tag. */
#define PUSH_MANY(jtype, ctype, get, function)                                                              \
    struct host *host = HOST(address);                                                                      \
    struct way way;                                                                                         \
    size_t accepted = 0;                                                                                    \
    mb_status status = MB_OK;                                                                               \
    (void)class;                                                                                            \
    if (!way_begin(&way, host, env, core)) {                                                                \
        return answer_of(MB_ERR_CLOSED, 0);                                                                 \
    }                                                                                                       \
    for (jint at = 0; at < count && status == MB_OK; at += CHUNK) {                                         \
        jtype chunk[CHUNK];                                                                                 \
        jlong chunk_tags[CHUNK];                                                                            \
        jint size = count - at < CHUNK ? count - at : CHUNK;                                                \
        size_t taken = 0;                                                                                   \
        (*env)->get(env, values, from + at, size, chunk);                                                   \
        if (tags != NULL) {                                                                                 \
            (*env)->GetLongArrayRegion(env, tags, from + at, size, chunk_tags);                             \
        }                                                                                                   \
        status = host->api->function(                                                                       \
            host->batcher, (const ctype *)chunk, NULL, (size_t)size,                                        \
            tags == NULL ? NULL : (const uint64_t *)chunk_tags, (uint64_t)first_tag + (uint64_t)at,         \
            manner(host, last), &taken);                                                                    \
        accepted += taken;                                                                                  \
    }                                                                                                       \
    way_end(&way);                                                                                          \
    return answer_of(status, accepted)

static jlong pushInt64s(
    JNIEnv *env, jclass class, jobject core, jlong address, jlongArray values, jint from, jint count,
    jlongArray tags, jlong first_tag, jboolean last)
{
    PUSH_MANY(jlong, int64_t, GetLongArrayRegion, mb_batcher_push_int64s);
}

static jlong pushFloat64s(
    JNIEnv *env, jclass class, jobject core, jlong address, jdoubleArray values, jint from, jint count,
    jlongArray tags, jlong first_tag, jboolean last)
{
    PUSH_MANY(jdouble, double, GetDoubleArrayRegion, mb_batcher_push_float64s);
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

/* ---- Producers ---- */

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
    if (!atomic_exchange(&producer->closing, true)) {
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

#define PRODUCER_PUSH(expression)                       \
    struct producer *producer = PRODUCER(address);      \
    struct record *record;                              \
    mb_status status;                                   \
    (void)env;                                          \
    (void)class;                                        \
    (void)owner;                                        \
    record = use_begin_producer(producer);              \
    if (record == NULL) {                               \
        return MB_ERR_CLOSED;                           \
    }                                                   \
    status = producer->host->api->expression;           \
    use_end_producer(record);                           \
    return status

static jint producerPushInt64(JNIEnv *env, jclass class, jobject owner, jlong address, jlong value, jlong tag)
{
    const mb_value number = {.kind = MB_KIND_INT64, .as.int64 = value};
    PRODUCER_PUSH(mb_producer_push_value(producer->handle, &number, (uint64_t)tag, manner(producer->host, false)));
}

static jint producerPushFloat64(JNIEnv *env, jclass class, jobject owner, jlong address, jdouble value, jlong tag)
{
    const mb_value number = {.kind = MB_KIND_FLOAT64, .as.float64 = value};
    PRODUCER_PUSH(mb_producer_push_value(producer->handle, &number, (uint64_t)tag, manner(producer->host, false)));
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

const JNINativeMethod push_methods[] = {
    METHOD(pushInt64, "(" CORE "JJJ)I"),
    METHOD(pushFloat64, "(" CORE "JDJ)I"),
    METHOD(push, "(" CORE "JJJJ[BJJZ)I"),
    METHOD(check, "(" CORE "JJJJ[B[[B)I"),
    METHOD(pushInt64s, "(" CORE "J[JII[JJZ)J"),
    METHOD(pushFloat64s, "(" CORE "J[DII[JJZ)J"),
    METHOD(pushRows, "(" CORE "J[J[BII[JJZ)J"),
    METHOD(pushStaged, "(" CORE "JJJIZ)J"),
    METHOD(bufferAddress, "(Ljava/nio/ByteBuffer;)J"),
    METHOD(producerNew, "(" CORE "J[J)I"),
    METHOD(producerClose, "(Lio/microbatch/Producer;J)V"),
    METHOD(producerFree, "(J)V"),
    METHOD(producerPushInt64, "(Lio/microbatch/Producer;JJJ)I"),
    METHOD(producerPushFloat64, "(Lio/microbatch/Producer;JDJ)I"),
    METHOD(producerPush, "(Lio/microbatch/Producer;JJJJ[BJJZ)I"),
};
const size_t push_method_count = sizeof push_methods / sizeof *push_methods;
