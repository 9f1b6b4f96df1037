/* Producers: ways into a batcher for one thread. */

#include "glue.h"

#include <stdlib.h>

#define PRODUCER(value) ((mb_producer *)(uintptr_t)word_from(env, value))

/* producerNew(host) -> a producer, or a status */
static napi_value producer_new(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_producer *producer = NULL;
    mb_status status;
    ARGUMENTS(1)
    host = host_of(env, argv[0]);
    status = host->api->mb_producer_new(host->batcher, &producer);
    return status == MB_OK ? word_of(env, producer) : number_of(env, status);
}

/* producerFree(host, producer) -> status */
static napi_value producer_free(napi_env env, napi_callback_info info)
{
    ARGUMENTS(2)
    return number_of(env, host_of(env, argv[0])->api->mb_producer_free(PRODUCER(argv[1])));
}

/* producerPush(host, producer, kind, payload, tag, deadline, size, owner) -> status */
static napi_value producer_push(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_push_options room;
    mb_value value;
    char *data;
    mb_status status = MB_ERR_NO_MEMORY;
    ARGUMENTS(8)
    host = host_of(env, argv[0]);
    if (value_from(env, host, (uint32_t)int32_from(env, argv[2]), argv[3], word_from(env, argv[6]), &value, &data)) {
        if (!is_undefined(env, argv[7])) {
            value.owner = (uint32_t)word_from(env, argv[7]);
        }
        status = host->api->mb_producer_push_value(
            PRODUCER(argv[1]), &value, word_from(env, argv[4]), deadline_from(env, argv[5], &room));
        free(data);
    }
    return number_of(env, status);
}

/* producerPushMany(host, producer, values, kinds, tags, firstTag, deadline) -> status; out[0]: how many. Without kinds, values
   are a Float64Array or a BigInt64Array. */
static napi_value producer_push_many(napi_env env, napi_callback_info info)
{
    struct host *host;
    mb_producer *producer;
    mb_push_options room;
    const mb_push_options *options;
    napi_typedarray_type type = napi_float64_array;
    struct rows rows = {NULL, NULL};
    const uint64_t *cells = NULL, *tags;
    uint64_t first;
    size_t accepted = 0, count = 0;
    mb_status status = MB_OK;
    ARGUMENTS(7)
    host = host_of(env, argv[0]);
    producer = PRODUCER(argv[1]);
    tags = typed_from(env, argv[4], NULL);
    first = word_from(env, argv[5]);
    options = deadline_from(env, argv[6], &room);
    if (is_undefined(env, argv[3])) {
        napi_get_typedarray_info(env, argv[2], &type, NULL, NULL, NULL, NULL);
        cells = typed_from(env, argv[2], &count);
    } else if (!rows_from(env, host, argv[2], argv[3], &rows, &count)) {
        return bulk_done(env, host, MB_ERR_NO_MEMORY, 0);
    }
    for (; accepted < count; accepted++) {
        uint64_t tag = tags == NULL ? first + accepted : tags[accepted];
        mb_value value = {0};
        if (rows.values != NULL) {
            value = rows.values[accepted];
        } else {
            value.kind = type == napi_float64_array ? MB_KIND_FLOAT64 : MB_KIND_INT64;
            value.as.int64 = (int64_t)cells[accepted];
        }
        status = host->api->mb_producer_push_value(producer, &value, tag, options);
        if (status != MB_OK) {
            break;
        }
    }
    rows_free(&rows);
    return bulk_done(env, host, status, accepted);
}

void producer_functions(napi_env env, napi_value exports)
{
    guarded(env, exports, "producerNew", producer_new);
    guarded(env, exports, "producerFree", producer_free);
    guarded(env, exports, "producerPush", producer_push);
    guarded(env, exports, "producerPushMany", producer_push_many);
}
