/* The life of a batcher: made, attached, shared, let go. */

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

/* What Java asks for besides options; Core.java has the same numbers. */
#define FLAG_PULL_RESULTS 1
#define FLAG_ON_RESULT 2
#define FLAG_UPCALLS 4      /* Callbacks run inside the calls of Java threads: manual mode. Else Java pulls. */

void host_unhold(struct host *host)
{
    if (atomic_fetch_sub(&host->holds, 1) == 1) {
        pthread_mutex_destroy(&host->lock);
        free(host->released);
        host_forget_log(host);
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

/* Makes a batcher. kinds: the handlers Java has, as bits; pulls: those of whoever pulls; natives: function and user data for each kind and the default,
   zeros for none. out[0] is the host, out[1] the owner. */
static jint create(
    JNIEnv *env, jclass class, jbyteArray texts, jint flags, jint kinds, jint pulls, jlongArray natives, jlongArray out,
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
    options.pull_handlers = (uint64_t)pulls;
    if (flags & FLAG_PULL_RESULTS) {
        options.results = MB_RESULTS_PULL;
    }
    if (flags & FLAG_ON_RESULT) {
        options.on_result = host_on_result;
        options.result_data = host;
    }
    options.object_release = host_release_object;
    options.object_data = host;
    options.object_data_release = unhold;
    options.log = host_log;
    options.log_data = host;
    options.log_release = unhold;
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
    atomic_fetch_add(&host->holds, 2); /* the engine's, given back by unhold */
    status = api->mb_batcher_new(&options, &batcher, &text);
    host_set_error(env, error, api, text);
    if (status != MB_OK) {
        atomic_fetch_sub(&host->holds, 2);
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
    if (atomic_exchange(&host->closing, LET_GO) != LET_GO) {
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

METHODS(
    host_methods,
    METHOD(create, "([BIII[J[J[[B)I"),
    METHOD(attach, "(J[J)I"),
    METHOD(share, "(" CORE "J)J"),
    METHOD(letGo, "(" CORE "J)V"),
    METHOD(freeHost, "(J)V"));
