/* The module: its state in each environment, and its functions. */

#include "glue.h"

#include <stdlib.h>

void define(napi_env env, napi_value exports, const char *name, napi_callback function)
{
    napi_value made;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &made);
    napi_set_named_property(env, exports, name, made);
}

static napi_value view(napi_env env, napi_typedarray_type type, size_t count, napi_value buffer, size_t offset)
{
    napi_value made = NULL;
    napi_create_typedarray(env, type, count, buffer, offset, &made);
    return made;
}

/* setup(onReady, onBatch, onResults, onRelease, onClosed, onLog): what the glue calls. Answers the memory that both sides read and
   write: [out, float64 cells, int64 cells, tags, halves of tags, kinds, handle, handle in halves] */
static napi_value setup(napi_env env, napi_callback_info info)
{
    struct state *state;
    napi_value buffer, views;
    void *data;
    ARGUMENTS(6)
    napi_get_instance_data(env, (void **)&state);
    napi_create_reference(env, argv[0], 1, &state->on_ready);
    napi_create_reference(env, argv[1], 1, &state->on_batch);
    napi_create_reference(env, argv[2], 1, &state->on_results);
    napi_create_reference(env, argv[3], 1, &state->on_release);
    napi_create_reference(env, argv[4], 1, &state->on_closed);
    napi_create_reference(env, argv[5], 1, &state->on_log);
    if (napi_create_arraybuffer(env, sizeof *state->columns, &data, &buffer) != napi_ok) {
        return NULL;
    }
    napi_create_reference(env, buffer, 1, &state->memory);
    state->columns = data;
    napi_create_array_with_length(env, 8, &views);
    napi_set_element(env, views, 0, view(env, napi_float64_array, OUTPUTS, buffer, offsetof(struct columns, out)));
    napi_set_element(env, views, 1,
                     view(env, napi_float64_array, COLUMN_ROWS, buffer, offsetof(struct columns, cells)));
    napi_set_element(env, views, 2,
                     view(env, napi_bigint64_array, COLUMN_ROWS, buffer, offsetof(struct columns, cells)));
    napi_set_element(env, views, 3,
                     view(env, napi_biguint64_array, COLUMN_ROWS, buffer, offsetof(struct columns, tags)));
    napi_set_element(env, views, 4,
                     view(env, napi_uint32_array, 2 * COLUMN_ROWS, buffer, offsetof(struct columns, tags)));
    napi_set_element(env, views, 5, view(env, napi_uint8_array, COLUMN_ROWS, buffer, offsetof(struct columns, kinds)));
    napi_set_element(env, views, 6, view(env, napi_biguint64_array, 1, buffer, offsetof(struct columns, handle)));
    napi_set_element(env, views, 7, view(env, napi_uint32_array, 2, buffer, offsetof(struct columns, handle)));
    return views;
}

/* useSlab(ArrayBuffer): what numbers are put in from here on. */
static napi_value use_slab(napi_env env, napi_callback_info info)
{
    struct state *state;
    ARGUMENTS(1)
    napi_get_instance_data(env, (void **)&state);
    if (state->slab != NULL) {
        napi_delete_reference(env, state->slab);
    }
    napi_create_reference(env, argv[0], 1, &state->slab);
    return NULL;
}

static void state_free(napi_env env, void *data, void *hint)
{
    (void)env;
    (void)hint;
    free(data);
}

NAPI_MODULE_INIT()
{
    struct state *state = calloc(1, sizeof *state);
    if (state == NULL || napi_set_instance_data(env, state, state_free, NULL) != napi_ok) {
        free(state);
        napi_throw_error(env, NULL, "microbatch: no memory");
        return NULL;
    }
    define(env, exports, "setup", setup);
    define(env, exports, "useSlab", use_slab);
    host_functions(env, exports);
    call_functions(env, exports);
    watch_functions(env, exports);
    mail_functions(env, exports);
    share_functions(env, exports);
    producer_functions(env, exports);
    push_functions(env, exports);
    batch_functions(env, exports);
    results_functions(env, exports);
    table_functions(env, exports);
    return exports;
}
