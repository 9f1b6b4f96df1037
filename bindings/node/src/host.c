/* The batcher: made and freed. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>

void host_unhold(void *data)
{
    struct host *host = data;
    if (atomic_fetch_sub(&host->holds, 1) == 1) {
        share_unhold(host);
        mail_free(&host->mail);
        free(host);
    }
}

struct host *host_of(napi_env env, napi_value value)
{
    void *host = NULL;
    napi_get_value_external(env, value, &host);
    return host;
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

/* [status, message] */
static napi_value refusal(napi_env env, mb_status status, mb_error *error)
{
    napi_value answer;
    napi_create_array_with_length(env, 2, &answer);
    napi_set_element(env, answer, 0, number_of(env, status));
    napi_set_element(env, answer, 1, text_of(env, mb_error_message(error), NAPI_AUTO_LENGTH));
    mb_error_free(error);
    return answer;
}

/* readOptions(texts) -> [manual, results are pulled, the clock is given, threads], or [status, message] */
static napi_value read_options(napi_env env, napi_callback_info info)
{
    mb_options options;
    mb_error *error = NULL;
    mb_status status;
    napi_value answer, flag;
    ARGUMENTS(1)
    status = set_options(env, &options, argv[0], &error);
    if (status != MB_OK) {
        return refusal(env, status, error);
    }
    napi_create_array_with_length(env, 4, &answer);
    napi_get_boolean(env, options.mode == MB_MODE_MANUAL, &flag);
    napi_set_element(env, answer, 0, flag);
    napi_get_boolean(env, options.results == MB_RESULTS_PULL, &flag);
    napi_set_element(env, answer, 1, flag);
    napi_get_boolean(env, options.clock == MB_CLOCK_GIVEN, &flag);
    napi_set_element(env, answer, 2, flag);
    napi_set_element(env, answer, 3, number_of(env, options.threads));
    return answer;
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
    for (uint32_t at = 0; at + 3 < count; at += 4) {
        napi_value which, address, data, release;
        mb_handler handler = {NULL, NULL, NULL};
        napi_get_element(env, natives, at, &which);
        napi_get_element(env, natives, at + 1, &address);
        napi_get_element(env, natives, at + 2, &data);
        napi_get_element(env, natives, at + 3, &release);
        handler.call = (mb_handler_fn)(uintptr_t)word_from(env, address);
        handler.user_data = (void *)(uintptr_t)word_from(env, data);
        handler.release = (mb_release_fn)(uintptr_t)word_from(env, release);
        if (int32_from(env, which) == DEFAULT_HANDLER) {
            options->handler = handler.call;
            options->handler_data = handler.user_data;
            options->handler_release = handler.release;
        } else {
            options->by_kind[int32_from(env, which)] = handler;
        }
    }
}

_Static_assert(MB_PULL_DEFAULT == 1u << DEFAULT_HANDLER, "the default handler has the bit after those of the kinds");

/* newBatcher(core, texts, scriptHandlers, nativeHandlers, pulledHandlers, takesResults, logs) -> external, or [status,
   message]; in out close_timeout, drain_at_exit and max_delay in nanoseconds, max_batch_size and max_in_flight, 0 for the
   default. texts: names and values of options. Handlers are bits, by kind; nativeHandlers: which, address, user_data, release, ... */
static napi_value new_batcher(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_options options;
    mb_error *error = NULL;
    mb_status status;
    bool takes_results = false, logs = false;
    napi_value external;
    ARGUMENTS(7)
    host = host_new(env, argv[0], &external);
    status = host == NULL ? MB_ERR_NO_MEMORY : set_options(env, &options, argv[1], &error);
    if (status == MB_OK) {
        host->state->columns->out[0] = (double)options.close_timeout;
        host->state->columns->out[1] = (double)options.drain_at_exit;
        host->state->columns->out[2] = (double)options.max_delay;
        host->state->columns->out[3] = (double)options.max_batch_size;
        host->state->columns->out[4] = options.max_in_flight;
        host->threaded = options.mode != MB_MODE_MANUAL;
        if (host->threaded && (options.on_full == 0 || options.on_full == MB_FULL_BLOCK)) {
            options.on_full = MB_FULL_REJECT; /* a push must not hold up the loop */
        }
        /* at exit JavaScript's own hook drains: the engine's would call into an environment that is gone */
        options.drain_at_exit = 0;
        set_handlers(env, host, &options, (uint32_t)int32_from(env, argv[2]), argv[3]);
        options.pull_handlers = (uint64_t)int32_from(env, argv[4]);
        napi_get_value_bool(env, argv[5], &takes_results);
        if (takes_results) {
            options.on_result = on_result;
            options.result_data = host;
        }
        napi_get_value_bool(env, argv[6], &logs);
        if (logs) {
            options.log = log_line;
            options.log_data = host;
            options.log_release = mail_over;
        }
        if (options.owner == 0) {
            /* words are places in a table of this batcher's: they mean nothing to another */
            status = mb_owner_new(&options.owner);
        }
        host->owner = options.owner;
        options.object_release = release_object;
        options.object_data = host;
        options.object_data_release = mail_over;
    }
    if (status == MB_OK) {
        status = host->threaded && !mail_open(host) ? MB_ERR_SYSTEM : mb_batcher_new(&options, &host->batcher, &error);
    }
    if (status == MB_OK) {
        mail_source(host);
        if (logs) {
            mail_source(host);
        }
        napi_add_async_cleanup_hook(env, on_environment_end, host, &host->hook);
        return external;
    }
    if (host != NULL) {
        mail_close(host);
    }
    return refusal(env, status, error);
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

void host_functions(napi_env env, napi_value exports)
{
    define(env, exports, "readOptions", read_options);
    define(env, exports, "newBatcher", new_batcher);
    define(env, exports, "newMap", new_map);
    define(env, exports, "free", free_batcher);
}
