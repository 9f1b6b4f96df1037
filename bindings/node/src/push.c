/* Pushing: one value, many numbers, many values. */

#include "glue.h"

#include <stdlib.h>

/* Fills options if a deadline is given; NULL otherwise. */
const mb_push_options *deadline_from(napi_env env, napi_value value, mb_push_options *options)
{
    if (value == NULL || is_undefined(env, value)) {
        return NULL;
    }
    *options = (mb_push_options){.struct_size = sizeof *options, .deadline = int64_from(env, value)};
    return options;
}

/* push(host, kind, payload, tag, deadline, size) -> status */
static napi_value push(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_push_options room;
    mb_value value;
    char *data;
    mb_status status = MB_ERR_NO_MEMORY;
    ARGUMENTS(6)
    host = host_of(env, argv[0]);
    if (value_from(env, host, (uint32_t)int32_from(env, argv[1]), argv[2], word_from(env, argv[5]), &value, &data)) {
        status = host->api->mb_batcher_push_value(
            host->batcher, &value, word_from(env, argv[3]), deadline_from(env, argv[4], &room));
        free(data);
    }
    return number_of(env, status);
}

/* pushForeign(host, owner, word, size, tag, deadline) -> status */
static napi_value push_foreign(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_push_options room;
    mb_value value = {.kind = MB_KIND_OBJECT};
    ARGUMENTS(6)
    host = host_of(env, argv[0]);
    value.owner = (uint32_t)word_from(env, argv[1]);
    value.as.object.word = word_from(env, argv[2]);
    value.as.object.size = word_from(env, argv[3]);
    return number_of(env, host->api->mb_batcher_push_value(
        host->batcher, &value, word_from(env, argv[4]), deadline_from(env, argv[5], &room)));
}

/* check(host, kind, payload, size, owner) -> status, or [status, message] */
static napi_value check(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_value value;
    char *data;
    mb_error *error = NULL;
    mb_status status = MB_ERR_NO_MEMORY;
    napi_value answer, text;
    ARGUMENTS(5)
    host = host_of(env, argv[0]);
    if (value_from(env, host, (uint32_t)int32_from(env, argv[1]), argv[2], word_from(env, argv[3]), &value, &data)) {
        if (!is_undefined(env, argv[4])) {
            value.owner = (uint32_t)word_from(env, argv[4]);
        }
        status = host->api->mb_batcher_check(host->batcher, &value, &error);
        free(data);
    }
    if (error == NULL) {
        return number_of(env, status);
    }
    text = text_of(env, host->api->mb_error_message(error), NAPI_AUTO_LENGTH);
    host->api->mb_error_free(error);
    napi_create_array_with_length(env, 2, &answer);
    napi_set_element(env, answer, 0, number_of(env, status));
    napi_set_element(env, answer, 1, text);
    return answer;
}

/* How bulk pushes end: the status, and in out[0] how many were accepted. */
napi_value bulk_done(napi_env env, const struct host *host, mb_status status, size_t accepted)
{
    host->state->columns->out[0] = (double)accepted;
    return number_of(env, status);
}

/* pushFloat64s(host, Float64Array, tags, firstTag, deadline) -> status */
static napi_value push_float64s(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_push_options room;
    size_t accepted = 0, count = 0;
    const double *values;
    mb_status status;
    ARGUMENTS(5)
    host = host_of(env, argv[0]);
    values = typed_from(env, argv[1], &count);
    status = host->api->mb_batcher_push_float64s(
        host->batcher, values, NULL, count, typed_from(env, argv[2], NULL), word_from(env, argv[3]),
        deadline_from(env, argv[4], &room), &accepted);
    return bulk_done(env, host, status, accepted);
}

/* pushInt64s(host, BigInt64Array, tags, firstTag, deadline) -> status */
static napi_value push_int64s(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_push_options room;
    size_t accepted = 0, count = 0;
    const int64_t *values;
    mb_status status;
    ARGUMENTS(5)
    host = host_of(env, argv[0]);
    values = typed_from(env, argv[1], &count);
    status = host->api->mb_batcher_push_int64s(
        host->batcher, values, NULL, count, typed_from(env, argv[2], NULL), word_from(env, argv[3]),
        deadline_from(env, argv[4], &room), &accepted);
    return bulk_done(env, host, status, accepted);
}

/* pushStaged(host, cells, kinds, tags, from, count, texts) -> status. `kinds` is undefined if all are float64; a string is in
   the array `texts`, where its cell says. */
static napi_value push_staged(napi_env env, napi_callback_info info)
{
    struct host *host;
    struct rows rows;
    size_t accepted = 0, from, count;
    const uint64_t *cells, *tags;
    const uint8_t *kinds;
    mb_status status = MB_ERR_NO_MEMORY;
    ARGUMENTS(7)
    host = host_of(env, argv[0]);
    from = (size_t)word_from(env, argv[4]);
    count = (size_t)word_from(env, argv[5]);
    cells = (const uint64_t *)typed_from(env, argv[1], NULL) + from;
    kinds = typed_from(env, argv[2], NULL);
    tags = (const uint64_t *)typed_from(env, argv[3], NULL) + from;
    if (kinds == NULL) {
        status = host->api->mb_batcher_push_float64s(
            host->batcher, (const double *)cells, NULL, count, tags, 0, NULL, &accepted);
    } else if (staged_from(env, host, cells, kinds + from, count, argv[6], &rows)) {
        status = host->api->mb_batcher_push_values(host->batcher, rows.values, count, tags, 0, NULL, &accepted);
        rows_free(&rows);
    }
    return bulk_done(env, host, status, accepted);
}

/* pushValues(host, values, kinds, tags, firstTag, deadline) -> status */
static napi_value push_values(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_push_options room;
    struct rows rows;
    size_t accepted = 0, count = 0;
    mb_status status = MB_ERR_NO_MEMORY;
    ARGUMENTS(6)
    host = host_of(env, argv[0]);
    if (rows_from(env, host, argv[1], argv[2], &rows, &count)) {
        status = host->api->mb_batcher_push_values(
            host->batcher, rows.values, count, typed_from(env, argv[3], NULL), word_from(env, argv[4]),
            deadline_from(env, argv[5], &room), &accepted);
        rows_free(&rows);
    }
    return bulk_done(env, host, status, accepted);
}

void push_functions(napi_env env, napi_value exports)
{
    guarded(env, exports, "push", push);
    define(env, exports, "pushStaged", push_staged);
    guarded(env, exports, "pushForeign", push_foreign);
    guarded(env, exports, "check", check);
    guarded(env, exports, "pushFloat64s", push_float64s);
    guarded(env, exports, "pushInt64s", push_int64s);
    guarded(env, exports, "pushValues", push_values);
}
