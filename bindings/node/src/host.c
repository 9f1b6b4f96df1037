/* The batcher: made, watched, driven, closed, freed; and its callbacks. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>

/* What makes an external one of ours: another addon's is refused. */
static const napi_type_tag HOST_TAG = {0x6d6963726f626174, 0x63685f686f737431};

static void host_unhold(void *data)
{
    struct host *host = data;
    if (--host->holds == 0) {
        free(host);
    }
}

struct host *host_of(napi_env env, napi_value value)
{
    void *host = NULL;
    napi_get_value_external(env, value, &host);
    return host;
}

/* ---- Callbacks: inside a call of the environment's own thread, or not at all ---- */

static napi_value function_of(const struct host *host, napi_ref reference)
{
    napi_value function = NULL;
    napi_get_reference_value(host->env, reference, &function);
    return function;
}

/* Whether JavaScript can be called: not from another thread that drives a shared batcher, not at the environment's end. */
static bool can_call(const struct host *host)
{
    return !host->gone && pthread_equal(host->thread, pthread_self());
}

/* Calls function(core, arguments...). False if it threw, which it does only when the environment is being stopped. */
static bool call(struct host *host, napi_ref function, size_t argc, napi_value *argv, napi_value *result)
{
    napi_value global, thrown;
    napi_get_reference_value(host->env, host->core, &argv[0]);
    if (argv[0] == NULL || napi_get_global(host->env, &global) != napi_ok) {
        return false;
    }
    if (napi_call_function(host->env, global, function_of(host, function), argc, argv, result) == napi_ok) {
        return true;
    }
    napi_get_and_clear_last_exception(host->env, &thrown);
    return false;
}

mb_status run_handler(void *user_data, mb_batch *batch, const mb_api *api)
{
    const struct handler *handler = user_data;
    struct host *host = handler->host;
    napi_handle_scope scope;
    napi_value argv[3], result = NULL;
    mb_status status = MB_ERR_HANDLER_FAILED;
    (void)api;
    if (!can_call(host) || napi_open_handle_scope(host->env, &scope) != napi_ok) {
        return status;
    }
    argv[1] = number_of(host->env, handler->which);
    argv[2] = word_of(host->env, batch);
    if (call(host, host->state->on_batch, 3, argv, &result)) {
        status = int32_from(host->env, result);
    }
    napi_close_handle_scope(host->env, scope);
    return status;
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    struct host *host = user_data;
    napi_handle_scope scope;
    napi_value argv[2], result;
    (void)api;
    if (!can_call(host) || napi_open_handle_scope(host->env, &scope) != napi_ok) {
        return;
    }
    argv[1] = word_of(host->env, results);
    call(host, host->state->on_results, 2, argv, &result);
    napi_close_handle_scope(host->env, scope);
}

static void release_object(void *user_data, uint64_t word)
{
    struct host *host = user_data;
    napi_handle_scope scope;
    napi_value argv[2], result;
    if (!can_call(host) || napi_open_handle_scope(host->env, &scope) != napi_ok) {
        return;
    }
    argv[1] = number_of(host->env, (double)word);
    call(host, host->state->on_release, 2, argv, &result);
    napi_close_handle_scope(host->env, scope);
}

/* ---- The descriptor in the environment's loop ---- */

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct host *host = poll->data;
    napi_handle_scope scope;
    napi_value core = NULL, result, thrown;
    (void)status;
    (void)events;
    if (host->gone || napi_open_handle_scope(host->env, &scope) != napi_ok) {
        return;
    }
    napi_get_reference_value(host->env, host->core, &core);
    if (core != NULL
        && napi_make_callback(host->env, NULL, core, function_of(host, host->state->on_ready), 1, &core, &result)
               == napi_pending_exception
        && napi_get_and_clear_last_exception(host->env, &thrown) == napi_ok) {
        napi_fatal_exception(host->env, thrown);
    }
    napi_close_handle_scope(host->env, scope);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct host *host = handle->data;
    if (host->hook != NULL) {
        napi_remove_async_cleanup_hook(host->hook);
    }
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

/* ---- The end ---- */

/* Stops watching and gives the batcher back. The poll handle is closed by the loop's next turn. */
static mb_status end(struct host *host, bool abandon)
{
    mb_batcher *batcher = host->batcher;
    mb_status status = MB_ERR_INVALID_HANDLE;
    if (batcher != NULL && !host->attached) {
        /* the descriptor is the batcher's: it leaves the loop before it is closed */
        if (host->poll != NULL) {
            uv_poll_stop(host->poll);
        }
        /* callbacks inside still have the handle, as the header promises */
        status = abandon ? host->api->mb_batcher_abandon(batcher) : host->api->mb_batcher_free(batcher);
    }
    host->batcher = NULL;
    if (host->poll != NULL) {
        uv_close((uv_handle_t *)host->poll, on_poll_closed);
        host->poll = NULL;
        host->closing = true;
    } else if (host->hook != NULL && !host->closing) {
        napi_remove_async_cleanup_hook(host->hook);
        host->hook = NULL;
    }
    return status;
}

/* The environment goes away: nothing can be called any more, and every value gets its outcome. */
static void on_environment_end(napi_async_cleanup_hook_handle hook, void *data)
{
    struct host *host = data;
    (void)hook;
    host->gone = true;
    end(host, false);
}

/* JavaScript lost the batcher. */
static void host_lost(napi_env env, void *data, void *hint)
{
    struct host *host = data;
    (void)hint;
    host->gone = true;
    if (host->batcher != NULL) {
        end(host, false);
    }
    napi_delete_reference(env, host->core);
    host_unhold(host);
}

/* free(host, abandon) -> status */
static napi_value free_batcher(napi_env env, napi_callback_info info)
{
    bool abandon = false;
    ARGUMENTS(2)
    napi_get_value_bool(env, argv[1], &abandon);
    return number_of(env, end(host_of(env, argv[0]), abandon));
}

/* ---- Made ---- */

static struct host *host_new(napi_env env, napi_value core, napi_value *external)
{
    struct host *host = calloc(1, sizeof *host);
    if (host == NULL) {
        return NULL;
    }
    napi_get_instance_data(env, (void **)&host->state);
    host->env = env;
    host->api = mb_api_table();
    host->thread = pthread_self();
    for (int32_t which = 0; which <= DEFAULT_HANDLER; which++) {
        host->handlers[which] = (struct handler){host, which};
    }
    if (napi_create_external(env, host, host_lost, NULL, external) != napi_ok) {
        free(host);
        return NULL;
    }
    napi_type_tag_object(env, *external, &HOST_TAG);
    napi_create_reference(env, core, 0, &host->core);
    host->holds = 1;
    return host;
}

static mb_status set_options(napi_env env, mb_options *options, napi_value texts, mb_error **error)
{
    uint32_t count = 0;
    mb_status status = mb_options_init(options, sizeof *options);
    napi_get_array_length(env, texts, &count);
    for (uint32_t at = 0; at + 1 < count && status == MB_OK; at += 2) {
        napi_value name, value;
        char *name_text, *value_text;
        napi_get_element(env, texts, at, &name);
        napi_get_element(env, texts, at + 1, &value);
        name_text = text_from(env, name, NULL);
        value_text = text_from(env, value, NULL);
        status = name_text == NULL || value_text == NULL ? MB_ERR_NO_MEMORY
                                                         : mb_options_set(options, name_text, value_text, error);
        free(name_text);
        free(value_text);
    }
    return status;
}

static void set_handlers(napi_env env, struct host *host, mb_options *options, uint32_t script, napi_value natives)
{
    uint32_t count = 0;
    for (uint32_t which = 0; which <= DEFAULT_HANDLER; which++) {
        if (script & 1u << which) {
            if (which == DEFAULT_HANDLER) {
                options->handler = run_handler;
                options->handler_data = &host->handlers[which];
            } else {
                options->by_kind[which] = (mb_handler){run_handler, &host->handlers[which], NULL};
            }
        }
    }
    napi_get_array_length(env, natives, &count);
    for (uint32_t at = 0; at + 2 < count; at += 3) {
        napi_value which, address, data;
        mb_handler handler = {NULL, NULL, NULL};
        napi_get_element(env, natives, at, &which);
        napi_get_element(env, natives, at + 1, &address);
        napi_get_element(env, natives, at + 2, &data);
        handler.call = (mb_handler_fn)(uintptr_t)word_from(env, address);
        handler.user_data = (void *)(uintptr_t)word_from(env, data);
        if (int32_from(env, which) == DEFAULT_HANDLER) {
            options->handler = handler.call;
            options->handler_data = handler.user_data;
        } else {
            options->by_kind[int32_from(env, which)] = handler;
        }
    }
}

/* newBatcher(core, texts, scriptHandlers, nativeHandlers, takesResults, owner) -> external, or [status, message]; in out[0]
   and out[1] close_timeout and drain_at_exit in nanoseconds, 0 for the default. texts: names and values of options.
   nativeHandlers: which, address, user_data, ... */
static napi_value new_batcher(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_options options;
    mb_error *error = NULL;
    mb_status status;
    bool takes_results = false;
    napi_value external, answer;
    ARGUMENTS(6)
    host = host_new(env, argv[0], &external);
    status = host == NULL ? MB_ERR_NO_MEMORY : set_options(env, &options, argv[1], &error);
    if (status == MB_OK) {
        host->state->out[0] = (double)options.close_timeout;
        host->state->out[1] = (double)options.drain_at_exit;
        /* at exit JavaScript's own hook drains: the engine's would call into an environment that is gone */
        options.drain_at_exit = 0;
        set_handlers(env, host, &options, (uint32_t)int32_from(env, argv[2]), argv[3]);
        napi_get_value_bool(env, argv[4], &takes_results);
        if (takes_results) {
            options.on_result = on_result;
            options.result_data = host;
        }
        host->owner = options.owner = (uint32_t)word_from(env, argv[5]);
        options.object_release = release_object;
        options.object_data = host;
        options.object_data_release = host_unhold;
        status = mb_batcher_new(&options, &host->batcher, &error);
    }
    if (status == MB_OK) {
        host->holds++;
        napi_add_async_cleanup_hook(env, on_environment_end, host, &host->hook);
        return external;
    }
    napi_create_array_with_length(env, 2, &answer);
    napi_set_element(env, answer, 0, number_of(env, status));
    napi_set_element(env, answer, 1, text_of(env, mb_error_message(error), NAPI_AUTO_LENGTH));
    mb_error_free(error);
    return answer;
}

/* newMap(core, owner) -> external: what the batches of a map belong to. */
static napi_value new_map(napi_env env, napi_callback_info info)
{
    napi_value external = NULL;
    struct host *host;
    ARGUMENTS(2)
    host = host_new(env, argv[0], &external);
    if (host != NULL) {
        host->owner = (uint32_t)word_from(env, argv[1]);
    }
    return external;
}

/* attach(core, address of an mb_shared) -> external, or a status */
static napi_value attach(napi_env env, napi_callback_info info)
{
    const mb_shared *shared;
    struct host *host;
    napi_value external;
    ARGUMENTS(2)
    shared = (const mb_shared *)(uintptr_t)word_from(env, argv[1]);
    if (shared == NULL || shared->struct_size < sizeof *shared || shared->api == NULL) {
        return number_of(env, MB_ERR_INVALID_ARGUMENT);
    }
    host = host_new(env, argv[0], &external);
    if (host == NULL) {
        return number_of(env, MB_ERR_NO_MEMORY);
    }
    host->attached = true;
    host->api = shared->api;
    host->batcher = shared->batcher;
    return external;
}

/* share(host) -> the address of an mb_shared, good until the host is freed; or a status */
static napi_value share(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_status status;
    ARGUMENTS(1)
    host = host_of(env, argv[0]);
    host->shared.struct_size = sizeof host->shared;
    status = host->api->mb_batcher_share(host->batcher, &host->shared);
    return status == MB_OK ? word_of(env, &host->shared) : number_of(env, status);
}

/* ---- Calls that are a status and at most one number ---- */

#define SIMPLE(name, function)                                                        \
    static napi_value name(napi_env env, napi_callback_info info)                     \
    {                                                                                 \
        struct host *host;                                                            \
        ARGUMENTS(1)                                                                  \
        host = host_of(env, argv[0]);                                                 \
        return number_of(env, host->api->function(host->batcher));                    \
    }
SIMPLE(run, mb_batcher_run)
SIMPLE(seal, mb_batcher_seal)

/* A function of the batcher and a time in nanoseconds. */
#define TIMED(name, function)                                                                  \
    static napi_value name(napi_env env, napi_callback_info info)                              \
    {                                                                                          \
        struct host *host;                                                                     \
        ARGUMENTS(2)                                                                           \
        host = host_of(env, argv[0]);                                                          \
        return number_of(env, host->api->function(host->batcher, int64_from(env, argv[1])));   \
    }
TIMED(room, mb_batcher_room)
TIMED(advance, mb_batcher_advance)
TIMED(flush, mb_batcher_flush)

/* A time on the batcher's clock as a bigint, or a status. */
#define CLOCK(name, function)                                                                  \
    static napi_value name(napi_env env, napi_callback_info info)                              \
    {                                                                                          \
        struct host *host;                                                                     \
        int64_t time = 0;                                                                      \
        mb_status status;                                                                      \
        napi_value answer = NULL;                                                              \
        ARGUMENTS(1)                                                                           \
        host = host_of(env, argv[0]);                                                          \
        status = host->api->function(host->batcher, &time);                                    \
        if (status != MB_OK) {                                                                 \
            return number_of(env, status);                                                     \
        }                                                                                      \
        napi_create_bigint_int64(env, time, &answer);                                          \
        return answer;                                                                         \
    }
CLOCK(now, mb_batcher_now)
CLOCK(next_due, mb_batcher_next_due)

/* cancel(host, tag) -> status; out[0]: how many */
static napi_value cancel(napi_env env, napi_callback_info info)
{
    struct host *host;
    uint64_t count = 0;
    mb_status status;
    ARGUMENTS(2)
    host = host_of(env, argv[0]);
    status = host->api->mb_batcher_cancel(host->batcher, word_from(env, argv[1]), &count);
    host->state->out[0] = (double)count;
    return number_of(env, status);
}

/* close(host, timeout) -> status; out[0]: how many values were left */
static napi_value close_batcher(napi_env env, napi_callback_info info)
{
    struct host *host;
    uint64_t left = 0;
    mb_status status;
    ARGUMENTS(2)
    host = host_of(env, argv[0]);
    status = host->api->mb_batcher_close(host->batcher, int64_from(env, argv[1]), &left);
    host->state->out[0] = (double)left;
    return number_of(env, status);
}

/* flushBegin(host) -> status; out[0]: the mark */
static napi_value flush_begin(napi_env env, napi_callback_info info)
{
    struct host *host;
    uint64_t mark = 0;
    mb_status status;
    ARGUMENTS(1)
    host = host_of(env, argv[0]);
    status = host->api->mb_batcher_flush_begin(host->batcher, &mark);
    host->state->out[0] = (double)mark;
    return number_of(env, status);
}

/* flushEnd(host, mark) -> status */
static napi_value flush_end(napi_env env, napi_callback_info info)
{
    struct host *host;
    ARGUMENTS(2)
    host = host_of(env, argv[0]);
    return number_of(env, host->api->mb_batcher_flush_end(host->batcher, word_from(env, argv[1]), 0));
}

/* nextBatch(host) -> a batch, or a status */
static napi_value next_batch(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_batch *batch = NULL;
    mb_status status;
    ARGUMENTS(1)
    host = host_of(env, argv[0]);
    status = host->api->mb_batcher_next_batch(host->batcher, 0, &batch);
    return status == MB_OK ? word_of(env, batch) : number_of(env, status);
}

/* nextResults(host) -> a set of results, or a status */
static napi_value next_results(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_results *results = NULL;
    mb_status status;
    ARGUMENTS(1)
    host = host_of(env, argv[0]);
    status = host->api->mb_batcher_next_results(host->batcher, 0, &results);
    return status == MB_OK ? word_of(env, results) : number_of(env, status);
}

void host_functions(napi_env env, napi_value exports)
{
    define(env, exports, "newBatcher", new_batcher);
    define(env, exports, "newMap", new_map);
    define(env, exports, "attach", attach);
    define(env, exports, "share", share);
    define(env, exports, "free", free_batcher);
    define(env, exports, "watch", watch);
    define(env, exports, "reference", reference);
    define(env, exports, "run", run);
    define(env, exports, "seal", seal);
    define(env, exports, "room", room);
    define(env, exports, "advance", advance);
    define(env, exports, "flush", flush);
    define(env, exports, "now", now);
    define(env, exports, "nextDue", next_due);
    define(env, exports, "cancel", cancel);
    define(env, exports, "close", close_batcher);
    define(env, exports, "flushBegin", flush_begin);
    define(env, exports, "flushEnd", flush_end);
    define(env, exports, "nextBatch", next_batch);
    define(env, exports, "nextResults", next_results);
}
