/* Batchers that other environments, or other copies of the library, push into. A batcher of this copy is not freed while
   another thread is in a call with it; one of somebody else's is theirs to keep until nobody uses it. */

#include "glue.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_rwlock_t gate = PTHREAD_RWLOCK_INITIALIZER;
static struct share *shares;

bool share_enter(const struct host *host)
{
    if (!host->attached || host->share == NULL) {
        return true;
    }
    pthread_rwlock_rdlock(&gate);
    if (host->share->ended) {
        pthread_rwlock_unlock(&gate);
        return false;
    }
    return true;
}

void share_leave(const struct host *host)
{
    if (host->attached && host->share != NULL) {
        pthread_rwlock_unlock(&gate);
    }
}

/* The batcher is about to be freed: who is in a call leaves it first, and nobody enters any more. */
void share_end(struct host *host)
{
    if (host->share != NULL) {
        pthread_rwlock_wrlock(&gate);
        host->share->ended = true;
        pthread_rwlock_unlock(&gate);
    }
}

void share_unhold(struct host *host)
{
    struct share *share = host->share, **at = &shares;
    if (share == NULL) {
        return;
    }
    pthread_rwlock_wrlock(&gate);
    if (--share->holds == 0) {
        while (*at != share) {
            at = &(*at)->next;
        }
        *at = share->next;
        free(share);
    }
    pthread_rwlock_unlock(&gate);
}

/* share(host) -> the address of an mb_shared, or a status */
static napi_value share(napi_env env, napi_callback_info info)
{
    struct host *host;
    struct share *share;
    mb_status status;
    ARGUMENTS(1)
    host = host_of(env, argv[0]);
    if (host->share == NULL) {
        share = calloc(1, sizeof *share);
        if (share == NULL) {
            return number_of(env, MB_ERR_NO_MEMORY);
        }
        share->shared.struct_size = sizeof share->shared;
        status = host->api->mb_batcher_share(host->batcher, &share->shared);
        if (status != MB_OK) {
            free(share);
            return number_of(env, status);
        }
        pthread_rwlock_wrlock(&gate);
        share->holds = 1;
        share->next = shares;
        shares = host->share = share;
        pthread_rwlock_unlock(&gate);
    }
    return word_of(env, &host->share->shared);
}

/* The part of a table that says which functions it has. */
#define TABLE_HEAD (offsetof(mb_api, mb_abi_check) + sizeof(void *))

/* Whether something can be read there: nothing else stands between a wrong number and a crash, which JavaScript does not know.
   Where the system does not say, it is taken to be so. */
static bool can_read(const void *place, size_t size)
{
    char room[TABLE_HEAD > sizeof(mb_shared) ? TABLE_HEAD : sizeof(mb_shared)];
    struct iovec to = {room, size}, from = {(void *)place, size};
    return place != NULL
        && (process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)size || errno == EPERM || errno == ENOSYS);
}

/* attach(core, address of an mb_shared) -> external, or a status */
static napi_value attach(napi_env env, napi_callback_info info)
{
    const mb_shared *shared;
    struct share *share;
    struct host *host;
    mb_status status;
    napi_value external;
    ARGUMENTS(2)
    shared = (const mb_shared *)(uintptr_t)word_from(env, argv[1]);
    if ((uintptr_t)shared % _Alignof(mb_shared) != 0 || !can_read(shared, sizeof *shared)
        || shared->struct_size < sizeof *shared || !can_read(shared->api, TABLE_HEAD)) {
        return number_of(env, MB_ERR_INVALID_ARGUMENT);
    }
    status = shared->api->mb_abi_check(MB_ABI_VERSION);
    if (status != MB_OK) {
        return number_of(env, status);
    }
    host = host_new(env, argv[0], &external);
    if (host == NULL) {
        return number_of(env, MB_ERR_NO_MEMORY);
    }
    host->attached = true;
    pthread_rwlock_wrlock(&gate);
    for (share = shares; share != NULL && &share->shared != shared; share = share->next) {
    }
    host->share = share;
    if (share != NULL) {
        share->holds++;
    }
    pthread_rwlock_unlock(&gate);
    host->api = shared->api;
    host->batcher = shared->batcher;
    return external;
}

/* What a function answers when the batcher it is for is freed: its own answer otherwise. */
static napi_value guard(napi_env env, napi_callback_info info)
{
    void *function;
    size_t argc = 1;
    napi_value argv[1], answer;
    struct host *host;
    if (napi_get_cb_info(env, info, &argc, argv, NULL, &function) != napi_ok) {
        return NULL;
    }
    host = host_of(env, argv[0]);
    if (!share_enter(host)) {
        return bulk_done(env, host, MB_ERR_INVALID_HANDLE, 0);
    }
    answer = ((napi_callback)function)(env, info);
    share_leave(host);
    return answer;
}

void guarded(napi_env env, napi_value exports, const char *name, napi_callback function)
{
    napi_value made;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, guard, (void *)function, &made);
    napi_set_named_property(env, exports, name, made);
}

void share_functions(napi_env env, napi_value exports)
{
    define(env, exports, "share", share);
    define(env, exports, "attach", attach);
}
