/* What the engine calls: handlers and results in manual mode, and the ends of references to objects. */

#include "glue.h"

#include <stdlib.h>

jmethodID core_on_batch;
jmethodID core_on_results;
jmethodID core_on_release;

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

void host_on_result(void *user_data, const mb_results *results, const mb_api *api)
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
void host_release_object(void *user_data, uint64_t word)
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

METHODS(callbacks_methods, METHOD(drainReleased, "(" CORE "J[J)I"));
