/* Batches: read in bulk, answered in bulk, completed. The library checks a handle at every call. */

#include "glue.h"

#include <stdlib.h>

#define BATCH(value) ((mb_batch *)(uintptr_t)word_from(env, value))

static mb_status view_of(const struct host *host, mb_batch *batch, mb_batch_view *view)
{
    view->struct_size = sizeof *view;
    return host->api->mb_batch_get_view(batch, view);
}

/* batchAge(host, batch) -> a bigint, or a status */
static napi_value batch_age(napi_env env, napi_callback_info info)
{
    mb_batch_view view;
    mb_status status;
    napi_value age = NULL;
    ARGUMENTS(2)
    status = view_of(host_of(env, argv[0]), BATCH(argv[1]), &view);
    if (status != MB_OK) {
        return number_of(env, status);
    }
    napi_create_bigint_int64(env, view.age, &age);
    return age;
}

/* batchValues(host, batch) -> a Float64Array or BigInt64Array of a batch of numbers, or an array; a status on failure.
   Objects stand there as their words. */
static napi_value batch_values(napi_env env, napi_callback_info info)
{
    const struct host *host;
    mb_batch *batch;
    mb_batch_view view;
    mb_status status;
    napi_value values;
    ARGUMENTS(2)
    host = host_of(env, argv[0]);
    batch = BATCH(argv[1]);
    status = view_of(host, batch, &view);
    if (status != MB_OK) {
        return number_of(env, status);
    }
    if (view.kind == MB_KIND_FLOAT64) {
        return typed_copy(env, napi_float64_array, view.values, view.count, 8);
    }
    if (view.kind == MB_KIND_INT64) {
        return typed_copy(env, napi_bigint64_array, view.values, view.count, 8);
    }
    napi_create_array_with_length(env, view.count, &values);
    for (size_t row = 0; row < view.count; row++) {
        napi_handle_scope scope;
        mb_value value;
        napi_open_handle_scope(env, &scope);
        if (host->api->mb_batch_value(batch, row, &value) == MB_OK) {
            napi_set_element(env, values, (uint32_t)row, value_to_js(env, &value));
        }
        napi_close_handle_scope(env, scope);
    }
    return values;
}

/* batchColumn(host, batch, which) -> tags (0), kinds (1), deadlines (2; undefined if there are none) or positions (3) */
static napi_value batch_column(napi_env env, napi_callback_info info)
{
    mb_batch_view view;
    mb_status status;
    ARGUMENTS(3)
    status = view_of(host_of(env, argv[0]), BATCH(argv[1]), &view);
    if (status != MB_OK) {
        return number_of(env, status);
    }
    switch (int32_from(env, argv[2])) {
    case 0:
        return typed_copy(env, napi_biguint64_array, view.tags, view.count, 8);
    case 1:
        return typed_copy(env, napi_uint8_array, view.kinds, view.count, 1);
    case 2:
        return view.deadlines == NULL ? NULL : typed_copy(env, napi_bigint64_array, view.deadlines, view.count, 8);
    default:
        return view.positions == NULL ? NULL : typed_copy(env, napi_uint32_array, view.positions, view.count, 4);
    }
}

/* batchSet(host, batch, row, kind, payload, size, owner) -> status */
static napi_value batch_set(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_value value;
    char *data;
    mb_status status = MB_ERR_NO_MEMORY;
    ARGUMENTS(7)
    host = host_of(env, argv[0]);
    if (value_from(env, host, (uint32_t)int32_from(env, argv[3]), argv[4], word_from(env, argv[5]), &value, &data)) {
        if (!is_undefined(env, argv[6])) {
            value.owner = (uint32_t)word_from(env, argv[6]);
        }
        status = host->api->mb_batch_set_value(BATCH(argv[1]), (size_t)word_from(env, argv[2]), &value);
        free(data);
    }
    return number_of(env, status);
}

/* batchSetFloat64s(host, batch, Float64Array) -> status */
static napi_value batch_set_float64s(napi_env env, napi_callback_info info)
{
    size_t count = 0;
    const double *values;
    ARGUMENTS(3)
    values = typed_from(env, argv[2], &count);
    return number_of(env, host_of(env, argv[0])->api->mb_batch_set_float64s(BATCH(argv[1]), values, NULL, count));
}

/* batchSetInt64s(host, batch, BigInt64Array) -> status */
static napi_value batch_set_int64s(napi_env env, napi_callback_info info)
{
    size_t count = 0;
    const int64_t *values;
    ARGUMENTS(3)
    values = typed_from(env, argv[2], &count);
    return number_of(env, host_of(env, argv[0])->api->mb_batch_set_int64s(BATCH(argv[1]), values, NULL, count));
}

/* batchSetValues(host, batch, values, kinds) -> status */
static napi_value batch_set_values(napi_env env, napi_callback_info info)
{
    struct host *host;
    struct rows rows;
    size_t count = 0;
    mb_status status = MB_ERR_NO_MEMORY;
    ARGUMENTS(4)
    host = host_of(env, argv[0]);
    if (rows_from(env, host, argv[2], argv[3], &rows, &count)) {
        status = host->api->mb_batch_set_values(BATCH(argv[1]), rows.values, count);
        rows_free(&rows);
    }
    return number_of(env, status);
}

/* batchFail(host, batch, row, code, type, message) -> status; row -1 is the whole part */
static napi_value batch_fail(napi_env env, napi_callback_info info)
{
    const mb_api *api;
    mb_status status = MB_ERR_NO_MEMORY;
    size_t length = 0;
    int64_t row;
    char *type, *message;
    ARGUMENTS(6)
    api = host_of(env, argv[0])->api;
    row = int64_from(env, argv[2]);
    type = text_from(env, argv[4], NULL);
    message = text_from(env, argv[5], &length);
    if (type != NULL && message != NULL) {
        mb_status code = int32_from(env, argv[3]);
        status = row < 0 ? api->mb_batch_fail_all(BATCH(argv[1]), code, type, message, length)
                         : api->mb_batch_fail(BATCH(argv[1]), (size_t)row, code, type, message, length);
    }
    free(type);
    free(message);
    return number_of(env, status);
}

/* batchEnd(host, batch, how) -> status: keep (0), complete (1), complete_ok (2), free (3) */
static napi_value batch_end(napi_env env, napi_callback_info info)
{
    const mb_api *api;
    mb_batch *batch;
    ARGUMENTS(3)
    api = host_of(env, argv[0])->api;
    batch = BATCH(argv[1]);
    switch (int32_from(env, argv[2])) {
    case 0:
        return number_of(env, api->mb_batch_keep(batch));
    case 1:
        return number_of(env, api->mb_batch_complete(batch));
    case 2:
        return number_of(env, api->mb_batch_complete_ok(batch));
    default:
        return number_of(env, api->mb_batch_free(batch));
    }
}

/* batchCompleteNext(host, batch) -> a set of results, with what tell_results says of it, or a status; OK if no set is ready */
static napi_value batch_complete_next(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_results *results = NULL;
    mb_status status;
    ARGUMENTS(2)
    host = host_of(env, argv[0]);
    status = host->api->mb_batch_complete_next(BATCH(argv[1]), &results);
    if (results == NULL) {
        return number_of(env, status);
    }
    tell_results(host, results);
    return word_of(env, results);
}

void batch_functions(napi_env env, napi_value exports)
{
    define(env, exports, "batchAge", batch_age);
    define(env, exports, "batchValues", batch_values);
    define(env, exports, "batchColumn", batch_column);
    define(env, exports, "batchSet", batch_set);
    define(env, exports, "batchSetFloat64s", batch_set_float64s);
    define(env, exports, "batchSetInt64s", batch_set_int64s);
    define(env, exports, "batchSetValues", batch_set_values);
    define(env, exports, "batchFail", batch_fail);
    define(env, exports, "batchEnd", batch_end);
    define(env, exports, "batchCompleteNext", batch_complete_next);
}
