/* The batcher: made, shared, driven, closed; and its callbacks. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

_Static_assert(MB_KIND_NULL == 0 && MB_KIND_BOOL == 1 && MB_KIND_INT64 == 2 && MB_KIND_FLOAT64 == 3 && MB_KIND_STRING == 4
                   && MB_KIND_BYTES == 5 && MB_KIND_OBJECT == 6 && MB_KINDS == 7,
               "Kind.java names the kinds in this order");
_Static_assert(MB_OUTCOME_OK == 0 && MB_OUTCOME_FAILED == 1 && MB_OUTCOME_EXPIRED == 2 && MB_OUTCOME_CANCELLED == 3
                   && MB_OUTCOME_DISCARDED == 4,
               "Outcome.java names the outcomes in this order");
_Static_assert(MB_HANDLED_NO == 0 && MB_HANDLED_MAYBE == 1 && MB_HANDLED_YES == 2, "and Handled.java");
_Static_assert(MB_TRIGGER_SIZE == 1 && MB_TRIGGER_CLOSE == 7, "and Trigger.java");
_Static_assert(sizeof(mb_value) == 3 * sizeof(jlong), "Rows.java writes values as three longs");

/* What Java asks for besides options; Core.java has the same numbers. */
#define FLAG_PULL_RESULTS 1
#define FLAG_ON_RESULT 2
#define FLAG_UPCALLS 4      /* Callbacks run inside the calls of Java threads: manual mode. Else Java pulls. */

jmethodID core_on_batch;
jmethodID core_on_results;
jmethodID core_on_release;

/* ---- Texts ---- */

jbyteArray bytes_to_java(JNIEnv *env, const void *data, size_t length)
{
    jbyteArray array = length > INT32_MAX ? NULL : (*env)->NewByteArray(env, (jsize)length);
    if (array != NULL) {
        (*env)->SetByteArrayRegion(env, array, 0, (jsize)length, data);
    }
    return array;
}

bool bytes_read(JNIEnv *env, jbyteArray array, jint length, struct bytes *bytes)
{
    bytes->length = array == NULL ? 0 : (size_t)length;
    bytes->data = bytes->length < sizeof bytes->small ? bytes->small : malloc(bytes->length + 1);
    if (bytes->data == NULL) {
        return false;
    }
    if (array != NULL) {
        (*env)->GetByteArrayRegion(env, array, 0, length, (jbyte *)bytes->data);
    }
    bytes->data[bytes->length] = '\0';
    return true;
}

void bytes_done(struct bytes *bytes)
{
    if (bytes->data != bytes->small) {
        free(bytes->data);
    }
}

/* Puts the text of an error into error[0] and frees it. */
void host_set_error(JNIEnv *env, jobjectArray error, const mb_api *api, mb_error *text)
{
    if (error != NULL && text != NULL) {
        const char *message = api->mb_error_message(text);
        jbyteArray bytes = bytes_to_java(env, message, strlen(message));
        if (bytes != NULL) {
            (*env)->SetObjectArrayElement(env, error, 0, bytes);
            (*env)->DeleteLocalRef(env, bytes);
        }
    }
    api->mb_error_free(text);
}

/* ---- Options ---- */

/* Sets options from a text of names and values, each ended by a NUL. */
static mb_status set_options(
    JNIEnv *env, const mb_api *api, mb_options *options, jbyteArray texts, jobjectArray error)
{
    struct bytes bytes;
    mb_status status = api->mb_options_init(options, sizeof *options);
    if (status != MB_OK) {
        return status;
    }
    if (!bytes_read(env, texts, (*env)->GetArrayLength(env, texts), &bytes)) {
        return MB_ERR_NO_MEMORY;
    }
    for (const char *at = bytes.data, *end = at + bytes.length; at < end && status == MB_OK;) {
        const char *value = at + strlen(at) + 1;
        mb_error *text = NULL;
        status = api->mb_options_set(options, at, value, &text);
        host_set_error(env, error, api, text);
        at = value + strlen(value) + 1;
    }
    bytes_done(&bytes);
    return status;
}

static int64_t option_value(const mb_options *options, const mb_option_info *info)
{
    const char *field = (const char *)options + info->offset;
    if (info->width == 4) {
        uint32_t narrow;
        memcpy(&narrow, field, sizeof narrow);
        return narrow;
    } else {
        int64_t wide;
        memcpy(&wide, field, sizeof wide);
        return wide;
    }
}

/* What each option of the table is after these texts; where that is the default and one number, that number. */
static jint optionValues(JNIEnv *env, jclass class, jbyteArray texts, jlongArray values, jobjectArray error)
{
    const mb_api *api = mb_api_table();
    const mb_option_info *table;
    mb_options options;
    size_t count = 0;
    mb_status status = set_options(env, api, &options, texts, error);
    (void)class;
    if (status != MB_OK || (status = api->mb_option_table(&table, &count)) != MB_OK) {
        return status;
    }
    for (size_t at = 0; at < count; at++) {
        jlong value = option_value(&options, &table[at]);
        value = value == 0 ? table[at].default_value : value;
        (*env)->SetLongArrayRegion(env, values, (jsize)at, 1, &value);
    }
    return MB_OK;
}

/* ---- Callbacks ---- */

/* A handler in manual mode: runs on the Java thread that is inside a call. */
mb_status host_handle(void *user_data, mb_batch *batch, const mb_api *api)
{
    const struct handler *handler = user_data;
    const struct call *call = call_of(handler->host);
    jint status;
    (void)api;
    if (call == NULL) {
        return MB_ERR_HANDLER_FAILED;
    }
    status = (*call->env)->CallIntMethod(
        call->env, call->core, core_on_batch, (jlong)(uintptr_t)batch, handler->which);
    if ((*call->env)->ExceptionCheck(call->env)) {
        (*call->env)->ExceptionClear(call->env);
        return MB_ERR_HANDLER_FAILED;
    }
    return status;
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    const struct call *call = call_of(user_data);
    (void)api;
    if (call == NULL) {
        return;
    }
    (*call->env)->CallVoidMethod(call->env, call->core, core_on_results, (jlong)(uintptr_t)results);
    if ((*call->env)->ExceptionCheck(call->env)) {
        (*call->env)->ExceptionClear(call->env);
    }
}

/* An object's reference ended: on a Java thread in manual mode it is told at once, otherwise it is noted. */
static void release_object(void *user_data, uint64_t word)
{
    struct host *host = user_data;
    const struct call *call = host->upcalls ? call_of(host) : NULL;
    pthread_mutex_lock(&host->lock);
    host->references--;
    if (call == NULL) {
        host->released[host->released_count++] = word;
    }
    pthread_mutex_unlock(&host->lock);
    if (call != NULL) {
        (*call->env)->CallVoidMethod(call->env, call->core, core_on_release, (jlong)word);
        if ((*call->env)->ExceptionCheck(call->env)) {
            (*call->env)->ExceptionClear(call->env);
        }
    }
}

bool host_reserve_reference(struct host *host)
{
    bool reserved = true;
    pthread_mutex_lock(&host->lock);
    if (host->references + host->released_count >= host->released_capacity) {
        size_t capacity = 2 * host->released_capacity + 64;
        uint64_t *released = realloc(host->released, capacity * sizeof *released);
        if (released == NULL) {
            reserved = false;
        } else {
            host->released = released;
            host->released_capacity = capacity;
        }
    }
    host->references += reserved;
    pthread_mutex_unlock(&host->lock);
    return reserved;
}

void host_unreserve_reference(struct host *host)
{
    pthread_mutex_lock(&host->lock);
    host->references--;
    pthread_mutex_unlock(&host->lock);
}

/* Fetches words that were noted; answers how many. */
static jint drainReleased(JNIEnv *env, jclass class, jobject core, jlong address, jlongArray words)
{
    struct host *host = HOST(address);
    size_t most = (size_t)(*env)->GetArrayLength(env, words);
    (void)class;
    (void)core;
    pthread_mutex_lock(&host->lock);
    if (most > host->released_count) {
        most = host->released_count;
    }
    host->released_count -= most;
    (*env)->SetLongArrayRegion(
        env, words, 0, (jsize)most, (const jlong *)(const void *)(host->released + host->released_count));
    pthread_mutex_unlock(&host->lock);
    return (jint)most;
}

/* ---- Life ---- */

void host_unhold(struct host *host)
{
    if (atomic_fetch_sub(&host->holds, 1) == 1) {
        pthread_mutex_destroy(&host->lock);
        free(host->released);
        free(host);
    }
}

static void unhold(void *user_data)
{
    host_unhold(user_data);
}

static struct host *host_new(const mb_api *api)
{
    struct host *host = calloc(1, sizeof *host);
    if (host == NULL) {
        return NULL;
    }
    host->api = api;
    host->shared.struct_size = sizeof host->shared;
    atomic_init(&host->users, 1);
    atomic_init(&host->holds, 1);
    pthread_mutex_init(&host->lock, NULL);
    for (jint at = 0; at <= DEFAULT_HANDLER; at++) {
        host->handlers[at].host = host;
        host->handlers[at].which = at;
    }
    return host;
}

/* A host for one map, with an owner of its own and no batcher. */
struct host *host_for_map(void)
{
    struct host *host = host_new(mb_api_table());
    if (host != NULL) {
        host->upcalls = true;
        if (host->api->mb_owner_new(&host->owner) != MB_OK) {
            host_unhold(host);
            return NULL;
        }
    }
    return host;
}

/* Makes a batcher. kinds: the handlers Java has, as bits; natives: function and user data for each kind and the default,
   zeros for none. out[0] is the host, out[1] the owner. */
static jint create(
    JNIEnv *env, jclass class, jbyteArray texts, jint flags, jint kinds, jlongArray natives, jlongArray out,
    jobjectArray error)
{
    const mb_api *api = mb_api_table();
    struct host *host = host_new(api);
    jlong addresses[2 * (MB_KINDS + 1)];
    jlong made[2];
    mb_options options;
    mb_batcher *batcher = NULL;
    mb_error *text = NULL;
    mb_status status;
    (void)class;
    if (host == NULL) {
        return MB_ERR_NO_MEMORY;
    }
    host->upcalls = (flags & FLAG_UPCALLS) != 0;
    status = set_options(env, api, &options, texts, error);
    if (status == MB_OK) {
        status = api->mb_owner_new(&host->owner);
    }
    if (status != MB_OK) {
        host_unhold(host);
        return status;
    }
    options.owner = host->owner;
    options.drain_at_exit = 0; /* the virtual machine's own hook drains */
    if (!host->upcalls) {
        options.pull_handlers = (uint64_t)kinds;
        kinds = 0;
    }
    if (flags & FLAG_PULL_RESULTS) {
        options.results = MB_RESULTS_PULL;
    }
    if (flags & FLAG_ON_RESULT) {
        options.on_result = on_result;
        options.result_data = host;
    }
    options.object_release = release_object;
    options.object_data = host;
    options.object_data_release = unhold;
    (*env)->GetLongArrayRegion(env, natives, 0, 2 * (MB_KINDS + 1), addresses);
    for (int at = 0; at <= MB_KINDS; at++) {
        mb_handler handler = {NULL, NULL, NULL};
        if (addresses[2 * at] != 0) {
            void *function = (void *)(uintptr_t)addresses[2 * at];
            memcpy(&handler.call, &function, sizeof function);
            handler.user_data = (void *)(uintptr_t)addresses[2 * at + 1];
        } else if (kinds & 1 << at) {
            handler.call = host_handle;
            handler.user_data = &host->handlers[at];
        }
        if (at == DEFAULT_HANDLER) {
            options.handler = handler.call;
            options.handler_data = handler.user_data;
        } else {
            options.by_kind[at] = handler;
        }
    }
    atomic_fetch_add(&host->holds, 1); /* the engine's, given back by unhold */
    status = api->mb_batcher_new(&options, &batcher, &text);
    host_set_error(env, error, api, text);
    if (status != MB_OK) {
        atomic_fetch_sub(&host->holds, 1);
        host_unhold(host);
        return status;
    }
    host->batcher = batcher;
    made[0] = (jlong)(uintptr_t)host;
    made[1] = host->owner;
    (*env)->SetLongArrayRegion(env, out, 0, 2, made);
    return MB_OK;
}

/* Takes up somebody else's batcher, which an mb_shared names. */
static jint attach(JNIEnv *env, jclass class, jlong address, jlongArray out)
{
    const mb_shared *shared = (const mb_shared *)(uintptr_t)address;
    struct host *host;
    jlong made;
    mb_stats stats;
    mb_status status;
    (void)class;
    if (shared == NULL || shared->struct_size < sizeof *shared || shared->api == NULL) {
        return MB_ERR_INVALID_ARGUMENT;
    }
    status = shared->api->mb_abi_check(MB_ABI_VERSION);
    if (status != MB_OK) {
        return status;
    }
    if (shared->api->struct_size < sizeof(mb_api)) { /* it lacks functions that are called here */
        return MB_ERR_UNSUPPORTED;
    }
    stats.struct_size = sizeof stats;
    status = shared->api->mb_batcher_stats(shared->batcher, &stats); /* is there such a batcher? */
    if (status != MB_OK) {
        return status;
    }
    host = host_new(shared->api);
    if (host == NULL) {
        return MB_ERR_NO_MEMORY;
    }
    host->attached = true;
    host->batcher = shared->batcher;
    made = (jlong)(uintptr_t)host;
    (*env)->SetLongArrayRegion(env, out, 0, 1, &made);
    return MB_OK;
}

/* The address of an mb_shared, good until the batcher is let go; 0 if it is. */
static jlong share(JNIEnv *env, jclass class, jobject core, jlong address)
{
    struct host *host = HOST(address);
    struct call call;
    mb_status status = MB_ERR_CLOSED;
    (void)class;
    if (call_begin(&call, host, env, core)) {
        pthread_mutex_lock(&host->lock);
        status = host->api->mb_batcher_share(host->batcher, &host->shared);
        pthread_mutex_unlock(&host->lock);
        call_end(&call);
    }
    return status == MB_OK ? (jlong)(uintptr_t)&host->shared : 0;
}

/* No call begins any more; the last one under way frees the batcher, which may be this one. */
static void letGo(JNIEnv *env, jclass class, jobject core, jlong address)
{
    struct host *host = HOST(address);
    struct call call;
    (void)class;
    if (!call_begin(&call, host, env, core)) {
        return;
    }
    if (!atomic_exchange(&host->closing, true)) {
        await_unused(host);
        if (host->attached) {
            while (atomic_load(&host->users) > 2) { /* its owner may free it when this returns */
                struct timespec pause = {0, 100000};
                nanosleep(&pause, NULL);
            }
        }
        atomic_fetch_sub(&host->users, 1); /* Java's */
    }
    call_end(&call);
}

/* Java's hold on the memory ends: its Core is gone. */
static void freeHost(JNIEnv *env, jclass class, jlong address)
{
    (void)env;
    (void)class;
    host_unhold(HOST(address));
}

/* ---- Calls ---- */

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

static jint seal(JNIEnv *env, jclass class, jobject core, jlong address)
{
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

const JNINativeMethod host_methods[] = {
    METHOD(optionValues, "([B[J[[B)I"),
    METHOD(create, "([BII[J[J[[B)I"),
    METHOD(attach, "(J[J)I"),
    METHOD(share, "(" CORE "J)J"),
    METHOD(letGo, "(" CORE "J)V"),
    METHOD(freeHost, "(J)V"),
    METHOD(drainReleased, "(" CORE "J[J)I"),
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
    METHOD(statsText, "(" CORE "J)[B"),
};
const size_t host_method_count = sizeof host_methods / sizeof *host_methods;
