/* What the engine calls: handlers, results, objects given back, lines of log. JavaScript is reached on its own thread, or not at all. */

#include "glue.h"

#include <string.h>

static bool can_call(const struct host *host)
{
    return !host->gone && pthread_equal(host->thread, pthread_self());
}

/* Calls function(core, arguments...). False if it threw, which it does only when the environment is being stopped. */
bool call(struct host *host, napi_ref function, size_t argc, napi_value *argv, napi_value *result)
{
    napi_value callee, thrown;
    napi_get_reference_value(host->env, host->core, &argv[0]);
    if (argv[0] == NULL || napi_get_reference_value(host->env, function, &callee) != napi_ok) {
        return false;
    }
    if (napi_call_function(host->env, argv[0], callee, argc, argv, result) == napi_ok) {
        return true;
    }
    napi_get_and_clear_last_exception(host->env, &thrown);
    return false;
}

static bool is_number(uint32_t kind)
{
    return kind == MB_KIND_FLOAT64 || kind == MB_KIND_INT64;
}

/* What a handler answered: a status; how many float64 results stand in the columns; or a typed array of results. A wrong
   number of them fails the part with words of the library's, and what comes too late is counted there. */
static mb_status take_answer(const struct host *host, mb_batch *batch, const mb_api *api, napi_value answer)
{
    napi_typedarray_type type;
    size_t count;
    void *data;
    int32_t number;
    mb_status status;
    if (napi_get_value_int32(host->env, answer, &number) == napi_ok) {
        if (number <= 0) {
            return number;
        }
        status = api->mb_batch_set_float64s(batch, (const double *)host->state->columns->cells, NULL, (size_t)number);
    } else if (napi_get_typedarray_info(host->env, answer, &type, &count, &data, NULL, NULL) != napi_ok) {
        return MB_ERR_HANDLER_FAILED;
    } else if (type == napi_float64_array) {
        status = api->mb_batch_set_float64s(batch, count == 0 ? (const double *)"" : data, NULL, count);
    } else {
        status = api->mb_batch_set_int64s(batch, count == 0 ? (const int64_t *)"" : data, NULL, count);
    }
    return status == MB_ERR_RESULT_COUNT || status == MB_ERR_TOO_LATE ? MB_OK : status;
}

/* Puts numbers where JavaScript's next array will be, if they fit, and else in the columns. A user can take the memory of an
   array away, and that of the slab with it: then it is no longer there. */
static void place(const struct host *host, const void *numbers, size_t count)
{
    struct columns *columns = host->state->columns;
    size_t bytes = count * sizeof *columns->cells, cut = (size_t)columns->out[OUT_CUT] * sizeof *columns->cells;
    size_t length = 0;
    napi_value slab = NULL;
    char *memory = NULL;
    if (count <= SLAB_ROWS && host->state->slab != NULL
        && napi_get_reference_value(host->env, host->state->slab, &slab) == napi_ok
        && napi_get_arraybuffer_info(host->env, slab, (void **)&memory, &length) == napi_ok && cut + bytes <= length) {
        memcpy(memory + cut, numbers, bytes);
        columns->out[OUT_PLACE] = PLACE_SLAB;
    } else if (count <= COLUMN_ROWS) {
        memcpy(columns->cells, numbers, bytes);
        columns->out[OUT_PLACE] = PLACE_COLUMNS;
    }
}

/* Leaves in `out` what a batch is, and its numbers where they fit. */
mb_status tell_batch(const struct host *host, mb_batch *batch)
{
    struct columns *columns = host->state->columns;
    mb_batch_view view = {.struct_size = sizeof view};
    mb_status status = host->api->mb_batch_get_view(batch, &view);
    if (status != MB_OK) {
        return status;
    }
    columns->out[OUT_COUNT] = (double)view.count;
    columns->out[OUT_KIND] = view.kind;
    columns->out[OUT_NUMBER] = (double)view.number;
    columns->out[OUT_TRIGGER] = view.trigger;
    columns->out[OUT_PLACE] = PLACE_NOWHERE;
    columns->handle = (uint64_t)(uintptr_t)batch;
    if (is_number(view.kind)) {
        place(host, view.values, view.count);
    }
    return MB_OK;
}

/* Calls onBatch(core). */
mb_status run_handler(void *user_data, mb_batch *batch, const mb_api *api)
{
    const struct handler *handler = user_data;
    struct host *host = handler->host;
    napi_handle_scope scope;
    napi_value argv[1], result = NULL;
    mb_status status = MB_ERR_HANDLER_FAILED;
    if (!can_call(host) || napi_open_handle_scope(host->env, &scope) != napi_ok) {
        return status;
    }
    host->state->columns->out[OUT_HANDLER] = handler->which;
    if (tell_batch(host, batch) == MB_OK && call(host, host->state->on_batch, 1, argv, &result)) {
        status = take_answer(host, batch, api, result);
    }
    napi_close_handle_scope(host->env, scope);
    return status;
}

/* Leaves in `out` what a set of results is and, of numbers that are all OK, where they fit, the numbers, and in the columns the
   tags: the first alone if they count up. */
void tell_results(const struct host *host, const mb_results *results)
{
    struct columns *columns = host->state->columns;
    mb_results_view view = {.struct_size = sizeof view};
    uint64_t differs = 0;
    if (host->api->mb_results_get_view(results, &view) != MB_OK) {
        view.count = 0;
    }
    columns->out[OUT_COUNT] = (double)view.count;
    columns->out[OUT_KIND] = view.all_ok ? view.kind : MB_KIND_MIXED;
    columns->out[OUT_NUMBER] = (double)view.batch;
    columns->out[OUT_PLACE] = PLACE_NOWHERE;
    columns->handle = (uint64_t)(uintptr_t)results;
    if (view.all_ok && is_number(view.kind) && view.count > 0 && view.count <= COLUMN_ROWS) {
        place(host, view.values, view.count);
        for (size_t row = 0; row < view.count; row++) {
            differs |= view.tags[row] ^ (view.tags[0] + row);
        }
        columns->out[OUT_COUNTS_UP] = differs == 0;
        memcpy(columns->tags, view.tags, (differs == 0 ? 1 : view.count) * sizeof *columns->tags);
    }
}

/* Calls onResults(core). */
void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    struct host *host = user_data;
    napi_handle_scope scope;
    napi_value argv[1], result;
    (void)api;
    if (!can_call(host) || napi_open_handle_scope(host->env, &scope) != napi_ok) {
        return;
    }
    tell_results(host, results);
    call(host, host->state->on_results, 1, argv, &result);
    napi_close_handle_scope(host->env, scope);
}

/* Calls onRelease(core, word), or leaves the word to the loop. */
void release_object(void *user_data, uint64_t word)
{
    struct host *host = user_data;
    napi_handle_scope scope;
    napi_value argv[2], result;
    if (!can_call(host)) {
        mail_word(host, word);
        return;
    }
    if (napi_open_handle_scope(host->env, &scope) != napi_ok) {
        return;
    }
    argv[1] = number_of(host->env, (double)word);
    call(host, host->state->on_release, 2, argv, &result);
    napi_close_handle_scope(host->env, scope);
}

/* Calls onLog(core, level, text). */
void tell_line(struct host *host, int32_t level, const char *text, size_t length)
{
    napi_handle_scope scope;
    napi_value argv[3], result;
    if (host->gone || napi_open_handle_scope(host->env, &scope) != napi_ok) {
        return;
    }
    argv[1] = number_of(host->env, level);
    argv[2] = text_of(host->env, text, length);
    call(host, host->state->on_log, 3, argv, &result);
    napi_close_handle_scope(host->env, scope);
}

void log_line(void *user_data, int32_t level, const char *message, size_t length)
{
    struct host *host = user_data;
    if (can_call(host)) {
        tell_line(host, level, message, length);
    } else {
        mail_line(host, level, message, length);
    }
}
