/* Results, read whole in one call, and map. */

#include "glue.h"

#include <stdlib.h>

#define RESULTS(value) ((mb_results *)(uintptr_t)word_from(env, value))

static napi_value values_to_js(napi_env env, const mb_api *api, const mb_results *results, const mb_results_view *view)
{
    napi_value values;
    if (view->kind == MB_KIND_FLOAT64) {
        return typed_copy(env, napi_float64_array, view->values, view->count, 8);
    }
    if (view->kind == MB_KIND_INT64) {
        return typed_copy(env, napi_bigint64_array, view->values, view->count, 8);
    }
    napi_create_array_with_length(env, view->count, &values);
    for (size_t row = 0; row < view->count; row++) {
        napi_handle_scope scope;
        mb_value value;
        napi_open_handle_scope(env, &scope);
        if (api->mb_results_value(results, row, &value) == MB_OK) {
            napi_set_element(env, values, (uint32_t)row, value_to_js(env, &value));
        }
        napi_close_handle_scope(env, scope);
    }
    return values;
}

/* [row, code, type, message, row, ...] of the rows that are not OK */
static napi_value errors_to_js(napi_env env, const mb_api *api, const mb_results *results, const mb_results_view *view)
{
    napi_value errors;
    uint32_t at = 0;
    napi_create_array(env, &errors);
    for (size_t row = 0; !view->all_ok && row < view->count; row++) {
        napi_handle_scope scope;
        mb_row_error error = {.struct_size = sizeof error};
        napi_open_handle_scope(env, &scope);
        if (api->mb_results_error(results, row, &error) == MB_OK) {
            napi_set_element(env, errors, at++, number_of(env, (double)row));
            napi_set_element(env, errors, at++, number_of(env, error.code));
            napi_set_element(env, errors, at++, text_of(env, error.type_name, NAPI_AUTO_LENGTH));
            napi_set_element(env, errors, at++, text_of(env, error.message, error.length));
        }
        napi_close_handle_scope(env, scope);
    }
    return errors;
}

/* resultsRead(host, results) -> [count, kind, batch, tags, values, kinds, outcomes, handled, errors] or a status. The last
   four are undefined if all rows are OK and of one kind, but for objects. */
static napi_value results_read(napi_env env, napi_callback_info info)
{
    const mb_api *api;
    mb_results *results;
    mb_results_view view = {.struct_size = sizeof view};
    mb_status status;
    napi_value told;
    ARGUMENTS(2)
    api = host_of(env, argv[0])->api;
    results = RESULTS(argv[1]);
    status = api->mb_results_get_view(results, &view);
    if (status != MB_OK) {
        return number_of(env, status);
    }
    napi_create_array_with_length(env, 9, &told);
    napi_set_element(env, told, 0, number_of(env, (double)view.count));
    napi_set_element(env, told, 1, number_of(env, view.kind));
    napi_set_element(env, told, 2, number_of(env, (double)view.batch));
    napi_set_element(env, told, 3, typed_copy(env, napi_biguint64_array, view.tags, view.count, 8));
    napi_set_element(env, told, 4, values_to_js(env, api, results, &view));
    if (view.kind == MB_KIND_MIXED || view.kind == MB_KIND_OBJECT) {
        napi_set_element(env, told, 5, typed_copy(env, napi_uint8_array, view.kinds, view.count, 1));
    }
    if (view.outcomes != NULL) {
        napi_set_element(env, told, 6, typed_copy(env, napi_uint8_array, view.outcomes, view.count, 1));
    }
    if (view.handled != NULL) {
        napi_set_element(env, told, 7, typed_copy(env, napi_uint8_array, view.handled, view.count, 1));
    }
    if (!view.all_ok) {
        napi_set_element(env, told, 8, errors_to_js(env, api, results, &view));
    }
    return told;
}

/* resultsFree(host, results) -> status */
static napi_value results_free(napi_env env, napi_callback_info info)
{
    ARGUMENTS(2)
    return number_of(env, host_of(env, argv[0])->api->mb_results_free(RESULTS(argv[1])));
}

/* map(host, values, kinds, maxBatchSize, batches) -> a set of results, or [status, message]. Without kinds, values are a
   Float64Array (or, with a last argument of true, a BigInt64Array). */
static napi_value map(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_map_options options = {.struct_size = sizeof options};
    mb_results *results = NULL;
    mb_error *error = NULL;
    mb_status status = MB_ERR_NO_MEMORY;
    struct rows rows;
    size_t count = 0;
    bool int64s = false;
    napi_value answer;
    ARGUMENTS(6)
    host = host_of(env, argv[0]);
    options.max_batch_size = word_from(env, argv[3]);
    options.batches = word_from(env, argv[4]);
    options.owner = host->owner;
    napi_get_value_bool(env, argv[5], &int64s);
    if (is_undefined(env, argv[2])) {
        const void *values = typed_from(env, argv[1], &count);
        void *handler = &host->handlers[DEFAULT_HANDLER];
        status = int64s ? host->api->mb_map_int64s(values, NULL, count, &options, run_handler, handler, &results, &error)
                        : host->api->mb_map_float64s(values, NULL, count, &options, run_handler, handler, &results, &error);
    } else if (rows_from(env, host, argv[1], argv[2], &rows, &count)) {
        status = host->api->mb_map_values(
            rows.values, count, &options, run_handler, &host->handlers[DEFAULT_HANDLER], &results, &error);
        rows_free(&rows);
    }
    if (status == MB_OK) {
        tell_results(host, results);
        return word_of(env, results);
    }
    napi_create_array_with_length(env, 2, &answer);
    napi_set_element(env, answer, 0, number_of(env, status));
    napi_set_element(env, answer, 1, text_of(env, host->api->mb_error_message(error), NAPI_AUTO_LENGTH));
    host->api->mb_error_free(error);
    return answer;
}

void results_functions(napi_env env, napi_value exports)
{
    define(env, exports, "resultsRead", results_read);
    define(env, exports, "resultsFree", results_free);
    define(env, exports, "map", map);
}
