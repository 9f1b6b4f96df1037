/* The module: its state in each environment, and its functions. */

#include "glue.h"

#include <stdlib.h>

void define(napi_env env, napi_value exports, const char *name, napi_callback function)
{
    napi_value made;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &made);
    napi_set_named_property(env, exports, name, made);
}

/* setup(onReady, onBatch, onResults, onRelease): what callbacks call. Answers the array for numbers. */
static napi_value setup(napi_env env, napi_callback_info info)
{
    struct state *state;
    napi_value buffer, outputs;
    void *data;
    ARGUMENTS(4)
    napi_get_instance_data(env, (void **)&state);
    napi_create_reference(env, argv[0], 1, &state->on_ready);
    napi_create_reference(env, argv[1], 1, &state->on_batch);
    napi_create_reference(env, argv[2], 1, &state->on_results);
    napi_create_reference(env, argv[3], 1, &state->on_release);
    napi_create_arraybuffer(env, OUTPUTS * sizeof(double), &data, &buffer);
    napi_create_typedarray(env, napi_float64_array, OUTPUTS, buffer, 0, &outputs);
    napi_create_reference(env, outputs, 1, &state->outputs);
    state->out = data;
    return outputs;
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
    host_functions(env, exports);
    push_functions(env, exports);
    batch_functions(env, exports);
    results_functions(env, exports);
    table_functions(env, exports);
    return exports;
}
