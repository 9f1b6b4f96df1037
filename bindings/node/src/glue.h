/* What the files of the glue share. The glue knows microbatch.h, Node-API and the handles of libuv; it holds no limits, no
   defaults and no codes of its own.

   JavaScript is called on the thread of its environment (the main thread or a worker) only, and only inside a call that
   this thread made. A batcher with handlers in JavaScript is in manual mode, its descriptor watched by the environment's
   loop. One whose handlers are all native is threaded: the loop pulls its results, and what the engine's threads have to
   say besides (objects given back, the end of a close) waits in the host's mail until the loop reads it. No other thread
   ever touches the environment, so a worker can be terminated at any time. */

#ifndef MICROBATCH_GLUE_H
#define MICROBATCH_GLUE_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <uv.h>

#include "microbatch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The index of the default handler, after those of the kinds. */
#define DEFAULT_HANDLER MB_KINDS

/* Rows of the columns through which numbers go between C and JavaScript without an object for each batch. Larger batches
   take typed arrays of their own. */
#define COLUMN_ROWS 4096

/* Rows that a slab has room for at any time. A slab is memory of JavaScript's from which it cuts the arrays that users get:
   numbers that fit stand where the next array will be, so that nothing is copied twice. */
#define SLAB_ROWS 1024

/* What calls leave in `out` for JavaScript, by its index; the last is JavaScript's word: rows of the slab that are cut off. */
enum { OUT_COUNT, OUT_KIND, OUT_NUMBER, OUT_TRIGGER, OUT_COUNTS_UP, OUT_HANDLER, OUT_PLACE, OUT_CUT, OUTPUTS };

/* Where numbers stand. */
enum { PLACE_NOWHERE, PLACE_COLUMNS, PLACE_SLAB };

/* Memory that JavaScript reads and writes too, one for each environment. Whoever wrote last owns it until the next call. */
struct columns {
    double out[OUTPUTS];
    uint64_t handle;         /* Of the batch or the set of results that the glue tells of. */
    uint64_t cells[COLUMN_ROWS];
    uint64_t tags[COLUMN_ROWS];
    uint8_t kinds[COLUMN_ROWS];
};

/* What belongs to one environment. */
struct state {
    napi_ref on_ready;
    napi_ref on_batch;
    napi_ref on_results;
    napi_ref on_release;
    napi_ref on_closed;
    napi_ref on_log;
    napi_ref memory;         /* Keeps the buffer alive that `columns` is. */
    struct columns *columns;
    napi_ref slab;
};

struct host;

/* What a shared batcher and those who reach it from other environments have in common: their calls and its end exclude each
   other. Known by the address of its mb_shared. */
struct share {
    struct share *next;
    mb_shared shared;
    bool ended;
    unsigned holds;
};

/* What a handler's trampoline is handed: whose it is and which. */
struct handler {
    struct host *host;
    int32_t which;
};

/* A thread that waits in a close, so that the loop need not. */
struct closer {
    struct closer *next;
    struct host *host;
    pthread_t thread;
    int64_t timeout;
    uint64_t left;
    mb_status status;
    bool done;
};

/* A line of log. */
struct line {
    struct line *next;
    int32_t level;
    size_t length;
    char text[];
};

/* Lines that wait for the loop at most. What comes beyond is counted, and the loop told how much it was. */
#define MAIL_LINES 256

/* What other threads have for the loop. */
struct mail {
    pthread_mutex_t lock;
    uv_async_t *async;       /* NULL if the batcher is not threaded, or once the loop reads no more. */
    unsigned sources;        /* Callbacks of the engine that may still come. */
    struct line *lines;
    struct line **last_line;
    size_t line_count;
    uint64_t dropped_lines;
    uint64_t *words;         /* Objects that were given back. */
    size_t count;
    size_t capacity;
    struct closer *closers;
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
    bool threaded;
    atomic_bool gone;        /* The environment goes away, or JavaScript lost it: nothing is called any more. */
    pthread_t thread;
    uv_poll_t *poll;
    bool referenced;         /* The poll handle keeps the process alive. */
    unsigned closing;        /* Handles on their way out: the environment waits for them. */
    napi_async_cleanup_hook_handle hook;
    atomic_uint holds;       /* The external of JavaScript, the engine, each handle of the loop. */
    struct mail mail;
    struct handler handlers[MB_KINDS + 1];
    struct share *share;
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
struct host *host_new(napi_env env, napi_value core, napi_value *external);
void host_unhold(void *host);
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
bool staged_from(napi_env env, struct host *host, const uint64_t *cells, const uint8_t *kinds, size_t count, napi_value texts,
                 struct rows *rows);
void rows_free(struct rows *rows);
const mb_push_options *deadline_from(napi_env env, napi_value value, mb_push_options *options);
napi_value bulk_done(napi_env env, const struct host *host, mb_status status, size_t accepted);

/* Callbacks of the engine. */
mb_status run_handler(void *user_data, mb_batch *batch, const mb_api *api);
void on_result(void *user_data, const mb_results *results, const mb_api *api);
void release_object(void *user_data, uint64_t word);
void log_line(void *user_data, int32_t level, const char *message, size_t length);
void tell_line(struct host *host, int32_t level, const char *text, size_t length);
bool call(struct host *host, napi_ref function, size_t argc, napi_value *argv, napi_value *result);
mb_status tell_batch(const struct host *host, mb_batch *batch);
void tell_results(const struct host *host, const mb_results *results);

/* Mail. */
bool mail_open(struct host *host);
void mail_hurry(struct host *host);
void mail_source(struct host *host);
void mail_over(void *host);
void mail_free(struct mail *mail);
void mail_close(struct host *host);
void read_mail(struct host *host);
void mail_word(struct host *host, uint64_t word);
void mail_line(struct host *host, int32_t level, const char *message, size_t length);

/* The loop. */
void handle_closed(uv_handle_t *handle);
void loop_calls(struct host *host);
void unhook(struct host *host);

/* Sharing. */
void share_end(struct host *host);
void share_unhold(struct host *host);
bool share_enter(const struct host *host);
void share_leave(const struct host *host);
void guarded(napi_env env, napi_value exports, const char *name, napi_callback function);

/* The functions of each file, by name. */
void host_functions(napi_env env, napi_value exports);
void call_functions(napi_env env, napi_value exports);
void watch_functions(napi_env env, napi_value exports);
void mail_functions(napi_env env, napi_value exports);
void share_functions(napi_env env, napi_value exports);
void producer_functions(napi_env env, napi_value exports);
void push_functions(napi_env env, napi_value exports);
void batch_functions(napi_env env, napi_value exports);
void results_functions(napi_env env, napi_value exports);
void table_functions(napi_env env, napi_value exports);
void define(napi_env env, napi_value exports, const char *name, napi_callback function);

#endif
