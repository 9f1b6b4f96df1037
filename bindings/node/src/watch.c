/* The descriptor in the environment's loop. */

#include "glue.h"

#include <stdlib.h>

/* The loop found something to do: onReady(core). */
void loop_calls(struct host *host)
{
    napi_handle_scope scope;
    napi_value core = NULL, function, result, thrown;
    if (host->gone || napi_open_handle_scope(host->env, &scope) != napi_ok) {
        return;
    }
    napi_get_reference_value(host->env, host->core, &core);
    if (core != NULL && napi_get_reference_value(host->env, host->state->on_ready, &function) == napi_ok
        && napi_make_callback(host->env, NULL, core, function, 1, &core, &result) == napi_pending_exception
        && napi_get_and_clear_last_exception(host->env, &thrown) == napi_ok) {
        napi_fatal_exception(host->env, thrown);
    }
    napi_close_handle_scope(host->env, scope);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    loop_calls(poll->data);
}

/* Once nothing of a freed batcher is in the loop, the environment need not wait for it. */
void unhook(struct host *host)
{
    if (host->batcher == NULL && host->poll == NULL && host->mail.async == NULL && host->closing == 0
        && host->hook != NULL) {
        napi_remove_async_cleanup_hook(host->hook);
        host->hook = NULL;
    }
}

void handle_closed(uv_handle_t *handle)
{
    struct host *host = handle->data;
    host->closing--;
    unhook(host);
    free(handle);
    host_unhold(host);
}

/* watch(host, on) -> status: whether the loop looks at the descriptor. */
static napi_value watch(napi_env env, napi_callback_info info)
{
    struct host *host;
    bool on = false;
    int32_t fd;
    uv_loop_t *loop;
    mb_status status;
    ARGUMENTS(2)
    host = host_of(env, argv[0]);
    napi_get_value_bool(env, argv[1], &on);
    if (host->batcher == NULL) {
        return number_of(env, MB_ERR_INVALID_HANDLE);
    }
    if (host->poll == NULL && on) {
        status = host->api->mb_batcher_fd(host->batcher, &fd);
        if (status != MB_OK) {
            return number_of(env, status);
        }
        host->poll = calloc(1, sizeof *host->poll);
        if (host->poll == NULL) {
            return number_of(env, MB_ERR_NO_MEMORY);
        }
        if (napi_get_uv_event_loop(env, &loop) != napi_ok || uv_poll_init(loop, host->poll, fd) != 0) {
            free(host->poll);
            host->poll = NULL;
            return number_of(env, MB_ERR_SYSTEM);
        }
        host->poll->data = host;
        host->holds++;
        if (!host->referenced) {
            uv_unref((uv_handle_t *)host->poll);
        }
    }
    if (host->poll != NULL && on) {
        uv_poll_start(host->poll, UV_READABLE, on_poll);
    } else if (host->poll != NULL) {
        uv_poll_stop(host->poll);
    }
    return number_of(env, MB_OK);
}

/* reference(host, on): whether the watched descriptor keeps the process alive. */
static napi_value reference(napi_env env, napi_callback_info info)
{
    struct host *host;
    ARGUMENTS(2)
    host = host_of(env, argv[0]);
    napi_get_value_bool(env, argv[1], &host->referenced);
    if (host->poll != NULL && host->referenced) {
        uv_ref((uv_handle_t *)host->poll);
    } else if (host->poll != NULL) {
        uv_unref((uv_handle_t *)host->poll);
    }
    return NULL;
}

void watch_functions(napi_env env, napi_value exports)
{
    define(env, exports, "watch", watch);
    define(env, exports, "reference", reference);
}
