/* What the files of the glue share. The glue knows microbatch.h, Node-API and the poll handle of libuv; it holds no limits, no
   defaults and no codes of its own.

   Everything here runs on the thread of one environment (the main thread or a worker): the batcher is in manual mode, its
   descriptor is watched by the environment's own loop, and handlers run inside the calls of that thread. No other thread ever
   touches the environment, so a worker can be terminated at any time. */

#ifndef MICROBATCH_GLUE_H
#define MICROBATCH_GLUE_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <uv.h>

#include "microbatch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The index of the default handler, after those of the kinds. */
#define DEFAULT_HANDLER MB_KINDS

#define OUTPUTS 4

/* What belongs to one environment. */
struct state {
    napi_ref on_ready;
    napi_ref on_batch;
    napi_ref on_results;
    napi_ref on_release;
    napi_ref outputs;        /* Keeps the array alive whose memory `out` is. */
    double *out;             /* Where calls leave numbers for JavaScript. */
};

struct host;

/* What a handler's trampoline is handed: whose it is and which. */
struct handler {
    struct host *host;
    int32_t which;
};

/* A batcher as JavaScript holds it. */
struct host {
    napi_env env;
    struct state *state;
    const mb_api *api;       /* Of the copy of the library that the batcher lives in. */
    mb_batcher *batcher;     /* NULL once freed, and for map. */
    napi_ref core;           /* The JavaScript side, weak. */
    uint32_t owner;
    bool attached;           /* Somebody else's: never freed here. */
    bool gone;               /* The environment goes away, or JavaScript lost it: nothing is called any more. */
    pthread_t thread;
    uv_poll_t *poll;
    bool closing;            /* The poll handle is on its way out: the environment waits for it. */
    bool referenced;         /* The poll handle keeps the process alive. */
    napi_async_cleanup_hook_handle hook;
    unsigned holds;          /* The external of JavaScript, the engine, the poll handle. */
    struct handler handlers[MB_KINDS + 1];
    mb_shared shared;
};

/* Values read from JavaScript: strings and bytes point into `data`. */
struct rows {
    mb_value *values;
    char *data;
};

/* One argument list, read in one call. */
#define ARGUMENTS(count)                                                        \
    napi_value argv[count];                                                     \
    size_t argc = count;                                                        \
    if (napi_get_cb_info(env, info, &argc, argv, NULL, NULL) != napi_ok) {      \
        return NULL;                                                            \
    }

struct host *host_of(napi_env env, napi_value value);
napi_value number_of(napi_env env, double number);
napi_value word_of(napi_env env, const void *handle);
napi_value text_of(napi_env env, const char *text, size_t length);
int32_t int32_from(napi_env env, napi_value value);
uint64_t word_from(napi_env env, napi_value value);       /* A number or a bigint. */
int64_t int64_from(napi_env env, napi_value value);       /* A bigint, or a whole number. */
bool is_undefined(napi_env env, napi_value value);
char *text_from(napi_env env, napi_value value, size_t *length);   /* NULL: no memory. Free it. */
napi_value typed_copy(napi_env env, napi_typedarray_type type, const void *data, size_t count, size_t width);
const void *typed_from(napi_env env, napi_value value, size_t *count);   /* NULL if undefined. */
napi_value value_to_js(napi_env env, const mb_value *value);
bool value_from(napi_env env, struct host *host, uint32_t kind, napi_value payload, uint64_t size, mb_value *value,
                char **data);
bool rows_from(napi_env env, struct host *host, napi_value values, napi_value kinds, struct rows *rows, size_t *count);
void rows_free(struct rows *rows);
mb_status run_handler(void *user_data, mb_batch *batch, const mb_api *api);

/* The functions of each file, by name. */
void host_functions(napi_env env, napi_value exports);
void push_functions(napi_env env, napi_value exports);
void batch_functions(napi_env env, napi_value exports);
void results_functions(napi_env env, napi_value exports);
void table_functions(napi_env env, napi_value exports);
void define(napi_env env, napi_value exports, const char *name, napi_callback function);

#endif
