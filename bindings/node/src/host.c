/* The batcher: made, watched, driven, closed, freed. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>

/* What makes an external one of ours: another addon's is refused. */
static const napi_type_tag HOST_TAG = {0x6d6963726f626174, 0x63685f686f737431};

void host_unhold(void *data)
{
    struct host *host = data;
    if (atomic_fetch_sub(&host->holds, 1) == 1) {
        share_unhold(host);
        pthread_mutex_destroy(&host->mail.lock);
        free(host->mail.words);
        free(host);
    }
}

struct host *host_of(napi_env env, napi_value value)
{
    void *host = NULL;
    napi_get_value_external(env, value, &host);
    return host;
}

/* ---- The descriptor in the environment's loop ---- */

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
static void unhook(struct host *host)
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

/* ---- The end ---- */

/* Stops watching and gives the batcher back. The handles are closed by the loop's next turn. */
static mb_status end(struct host *host, bool abandon)
{
    mb_batcher *batcher = host->batcher;
    mb_status status = MB_ERR_INVALID_HANDLE;
    if (batcher != NULL && !host->attached) {
        /* the descriptor is the batcher's: it leaves the loop before it is closed */
        if (host->poll != NULL) {
            uv_poll_stop(host->poll);
        }
        share_end(host);
        mail_hurry(host);
        /* callbacks inside still have the handle, as the header promises */
        status = abandon ? host->api->mb_batcher_abandon(batcher) : host->api->mb_batcher_free(batcher);
        read_mail(host);
    }
    host->batcher = NULL;
    if (host->poll != NULL) {
        host->closing++;
        uv_close((uv_handle_t *)host->poll, handle_closed);
        host->poll = NULL;
    }
    if (host->gone) {
        mail_close(host);
    }
    unhook(host);
    return status;
}

/* The environment goes away: nothing can be called any more, and every value gets its outcome. A native handler that runs on
   a thread of the engine is not waited for. */
static void on_environment_end(napi_async_cleanup_hook_handle hook, void *data)
{
    struct host *host = data;
    (void)hook;
    host->gone = true;
    end(host, host->threaded);
}

/* JavaScript lost the batcher. */
static void host_lost(napi_env env, void *data, void *hint)
{
    struct host *host = data;
    (void)hint;
    host->gone = true;
    end(host, host->threaded);
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

struct host *host_new(napi_env env, napi_value core, napi_value *external)
{
    struct host *host = calloc(1, sizeof *host);
    if (host == NULL) {
        return NULL;
    }
    napi_get_instance_data(env, (void **)&host->state);
    host->env = env;
    host->api = mb_api_table();
    host->thread = pthread_self();
    pthread_mutex_init(&host->mail.lock, NULL);
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

/* newBatcher(core, texts, scriptHandlers, nativeHandlers, takesResults, owner) -> external, or [status, message]; in out
   close_timeout, drain_at_exit and max_delay in nanoseconds and max_batch_size, 0 for the default. texts: names and values of options.
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
        host->state->columns->out[0] = (double)options.close_timeout;
        host->state->columns->out[1] = (double)options.drain_at_exit;
        host->state->columns->out[2] = (double)options.max_delay;
        host->state->columns->out[3] = (double)options.max_batch_size;
        host->threaded = options.mode != MB_MODE_MANUAL;
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
        options.object_data_release = mail_over;
        status = host->threaded && !mail_open(host) ? MB_ERR_SYSTEM : mb_batcher_new(&options, &host->batcher, &error);
    }
    if (status == MB_OK) {
        host->holds++;
        napi_add_async_cleanup_hook(env, on_environment_end, host, &host->hook);
        return external;
    }
    if (host != NULL) {
        mail_close(host);
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
    host->state->columns->out[0] = (double)count;
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
    host->state->columns->out[0] = (double)left;
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
    host->state->columns->out[0] = (double)mark;
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

/* flushReached(host, mark) -> status; drives nothing */
static napi_value flush_reached(napi_env env, napi_callback_info info)
{
    struct host *host;
    ARGUMENTS(2)
    host = host_of(env, argv[0]);
    return number_of(env, host->api->mb_batcher_flush_reached(host->batcher, word_from(env, argv[1])));
}

/* nextBatch(host) -> a batch, with what tell_batch says of it, or a status */
static napi_value next_batch(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_batch *batch = NULL;
    mb_status status;
    ARGUMENTS(1)
    host = host_of(env, argv[0]);
    status = host->api->mb_batcher_next_batch(host->batcher, 0, &batch);
    if (status == MB_OK) {
        status = tell_batch(host, batch);
    }
    return status == MB_OK ? word_of(env, batch) : number_of(env, status);
}

/* nextResults(host) -> a set of results, with what tell_results says of it, or a status */
static napi_value next_results(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_results *results = NULL;
    mb_status status;
    ARGUMENTS(1)
    host = host_of(env, argv[0]);
    status = host->api->mb_batcher_next_results(host->batcher, 0, &results);
    if (status != MB_OK) {
        return number_of(env, status);
    }
    tell_results(host, results);
    return word_of(env, results);
}

void host_functions(napi_env env, napi_value exports)
{
    define(env, exports, "newBatcher", new_batcher);
    define(env, exports, "newMap", new_map);
    define(env, exports, "free", free_batcher);
    define(env, exports, "watch", watch);
    define(env, exports, "reference", reference);
    define(env, exports, "run", run);
    guarded(env, exports, "seal", seal);
    guarded(env, exports, "room", room);
    define(env, exports, "advance", advance);
    define(env, exports, "flush", flush);
    guarded(env, exports, "now", now);
    define(env, exports, "nextDue", next_due);
    guarded(env, exports, "cancel", cancel);
    define(env, exports, "close", close_batcher);
    guarded(env, exports, "flushBegin", flush_begin);
    define(env, exports, "flushEnd", flush_end);
    guarded(env, exports, "flushReached", flush_reached);
    define(env, exports, "nextBatch", next_batch);
    define(env, exports, "nextResults", next_results);
}
