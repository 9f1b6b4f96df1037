#ifndef MICROBATCH_H
#define MICROBATCH_H

/* microbatch: pushes single values, handles them in batches, routes each result back.

   This file is made from src/ffi of the project. Change it there.

       producer threads --push--> open batch --seal--> dispatch --handler--> results --on_result--> owner

   WHAT IT DOES

   Any thread pushes values into a batcher, one at a time. The batcher collects them in an open batch and
   seals it when it is full (SIZE, BYTES), old enough (DELAY, IDLE), in the way (FULL) or asked for (FLUSH,
   CLOSE). A sealed batch is dispatched to a handler: a function of yours that works on the whole batch at
   once and gives each value a result. Results go back a batch at a time, each with the tag its value was
   pushed with. Every accepted value gets exactly one result, whatever happens: OK, FAILED, EXPIRED, CANCELLED
   or DISCARDED.

       static mb_status insert_rows(void *database, mb_batch *batch, const mb_api *api)
       {
           mb_batch_view view;
           view.struct_size = sizeof view;
           mb_batch_get_view(batch, &view);
           ... one transaction with view.count rows; for each, one of
           mb_batch_set_int64(batch, row, id);
           mb_batch_fail(batch, row, code, "sqlite", message, strlen(message));
           return MB_OK;
       }

       mb_options_init(&options, sizeof options);
       options.handler = insert_rows;
       options.handler_data = database;
       mb_batcher_new(&options, &batcher, &error);
       mb_batcher_push_string(batcher, line, strlen(line), line_number);
       mb_batcher_close(batcher, MB_FOREVER, NULL);
       mb_batcher_free(batcher);

   WORDS

   tag: your number for a value. in flight: dispatched and not finished. slot: the right to have one batch in
   flight; there are max_in_flight. part: a handler's share of a batch of several kinds. outstanding: waiting
   or in flight. delivered: on_result has returned, next_results has handed it out, or it was only counted.

   OWNERSHIP

   A function ending in _new gives, one ending in _free takes, and _free(NULL) does nothing. Everything else
   that goes in is borrowed for the call: pushed bytes are copied. What a view points to belongs to the batch
   or set of results. A callback borrows what it is handed until it returns, unless it keeps it. Static texts
   and tables are never freed.

   Every pointer must be NULL or good for its use: as many elements as the length beside it says. NULL where
   something is needed, and other arguments that cannot be, answer MB_ERR_INVALID_ARGUMENT. Strings and bytes
   have lengths and need no NUL; names of options and types end with one. Structs that begin with struct_size
   must have it set: that is how programs and libraries of different versions understand each other. A struct
   of an older version counts as filled up with zeros, a size that no version had is refused, a longer struct
   is fine while it has only zeros where the library knows nothing, and the library fills no more than it was
   given.

   THREADS

   Every function may be called from any thread at any time, on the same handle too, with three exceptions: a
   handle must not be freed while another thread is in a call with it; a producer is for one thread at a time;
   and a batch is completed by one thread, once. The threads that the library starts block all signals.

   INSIDE CALLBACKS

   What a handler, on_result, a release function or the log may do with the batcher that called it:

       push, check, cancel, seal, stats, room      yes; a push never waits there
       flush_begin, flush_reached                  yes
       flush, flush_end, run, advance              MB_ERR_REENTRANT, and nothing happens
       next_batch, next_results                    MB_ERR_REENTRANT, and nothing happens
       close                                       begins, and answers MB_ERR_IN_PROGRESS
       free                                        is abandon: what the callback uses goes when it returns

   Another batcher is as outside, except that two batchers that wait for each other do so until a time-out
   ends it.

   ERRORS

   Functions return an mb_status. Where words help, a function takes a place for an mb_error, which says what
   was wrong and what would be accepted. Nothing is kept in thread-local state. A call that fails has changed
   nothing. Running out of memory is a status too, and a fault inside the library is MB_ERR_INTERNAL, not a
   crash.

   TIME

   Times are nanoseconds in an int64_t: 5 * MB_MS. Time-outs are literal: 0 is at once, MB_FOREVER never ends,
   and a negative one is an invalid argument. In options 0 is the default.

   FORK

   A child process may free the batchers of its parent, and make its own. Every other call on an old handle
   answers MB_ERR_FORKED there, at once; errors and what map made belong to no batcher and are as good as
   before. The parent notices nothing. */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ========================================================================================================
   Status

   Every function that can fail returns a status: 0 is success, negative numbers are the library's, positive
   numbers are the codes of your own handlers, which appear in results only. Numbers are never reused. On
   failure outputs are untouched, except counts, which are always written, and error.

   ======================================================================================================== */

#define MB_OK                       0 /* The call succeeded. */

#define MB_ERR_INVALID_ARGUMENT  (-1) /* An argument is missing, NULL or outside what the call accepts. */
#define MB_ERR_INVALID_OPTION    (-2) /* An option is unknown, unreadable, out of range or contradicts
                                         another one. */
#define MB_ERR_INVALID_HANDLE    (-3) /* The handle is NULL, freed, of another type or was never given out. */
#define MB_ERR_INVALID_UTF8      (-4) /* The string is not valid UTF-8; what is not text can be pushed as
                                         bytes. */
#define MB_ERR_OUT_OF_RANGE      (-5) /* A number does not fit 64 bits, or a row lies outside its batch. */
#define MB_ERR_WRONG_OWNER       (-6) /* The object belongs to another owner than the batcher's, or the
                                         batcher has none. */
#define MB_ERR_TOO_LARGE         (-7) /* The value weighs more than max_batch_bytes, so it fits in no
                                         batch. */
#define MB_ERR_NO_HANDLER        (-8) /* No handler is registered for this kind of value and there is no
                                         default handler. */
#define MB_ERR_QUEUE_FULL        (-9) /* As many values wait as queue_capacity allows. */
#define MB_ERR_QUEUE_FULL_BYTES (-10) /* The waiting values leave less of queue_bytes than this value
                                         weighs. */
#define MB_ERR_RESULTS_FULL     (-11) /* Every place of result_capacity is held by a value whose result was
                                         not taken yet. */
#define MB_ERR_NO_MEMORY        (-12) /* Memory for the call could not be had; nothing was changed. */
#define MB_ERR_CLOSED           (-13) /* The batcher is closed: it takes no more values, or has none left
                                         to hand out. */
#define MB_ERR_TIMEOUT          (-14) /* The time-out passed before what was asked for had happened. */
#define MB_ERR_IN_PROGRESS      (-15) /* What was asked for has begun and is not finished yet. */
#define MB_ERR_REENTRANT        (-16) /* The call is not allowed inside a callback of the same batcher. */
#define MB_ERR_FORKED           (-17) /* The handle was made before a fork and can only be freed in the
                                         child process. */
#define MB_ERR_NOT_FOUND        (-18) /* No value with that tag is waiting or in flight. */
#define MB_ERR_TOO_LATE         (-19) /* The value or batch was already dispatched, completed or given up. */
#define MB_ERR_WRONG_MODE       (-20) /* The batcher's mode, clock, handlers or results option does not
                                         allow the call. */
#define MB_ERR_UNSUPPORTED      (-21) /* This version of the library or this platform lacks what was asked
                                         for. */
#define MB_ERR_SYSTEM           (-22) /* The operating system refused a thread or a descriptor; the message
                                         has its errno. */
#define MB_ERR_INTERNAL         (-23) /* A fault inside the library was caught; this is a bug to report. */
#define MB_ERR_WOULD_WAIT       (-24) /* There is no room now, and the host waits for it by itself. */
#define MB_ERR_HANDLER_FAILED   (-30) /* The handler failed the value or the whole part it belonged to.
                                         From here on: in results only. */
#define MB_ERR_NO_RESULT        (-31) /* The handler finished without setting a result for the value. */
#define MB_ERR_RESULT_COUNT     (-32) /* The handler returned another number of results than the part has
                                         values. */
#define MB_ERR_HANDLER_TIMEOUT  (-33) /* The handler did not finish the batch within handler_timeout. */
#define MB_ERR_DEADLINE         (-34) /* The value's deadline passed before it was dispatched. */
#define MB_ERR_CANCELLED        (-35) /* The value was cancelled while it waited. */
#define MB_ERR_DISCARDED        (-36) /* The value was given up to make room, or at the end of close. */
#define MB_ERR_THREAD_ENDED     (-37) /* The thread that ran the handler ended inside it. */

/* What a call, or one value, came to. */
typedef int32_t mb_status;

/* One status of the library. */
typedef struct mb_status_info {
    int32_t code;                   /* The number. */
    int32_t retriable;              /* 1 if the same call, repeated unchanged later, may succeed; otherwise
                                       0. */
    const char *name;               /* The name without prefix, for example "QUEUE_FULL". */
    const char *text;               /* The cause in one sentence. */
} mb_status_info;

/* Hands out the table of all statuses, for bindings that make exceptions or constants from it.

   Returns: MB_OK; MB_ERR_INVALID_ARGUMENT if table or count is NULL.
   Ownership: the table is static.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_status_table(const mb_status_info **table, size_t *count);

/* The name of a status, for example "QUEUE_FULL"; "USER_CODE" for positive numbers, "UNKNOWN_CODE" for
   negative ones that this version does not list. Never NULL.

   Ownership: the text is static.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
const char *mb_status_name(mb_status status);

/* The cause behind a status, in one sentence. Never NULL.

   Ownership: the text is static.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
const char *mb_status_text(mb_status status);

/* ========================================================================================================
   Version

   The constants say what a program was compiled against, the functions what it runs with. Within one major
   ABI version nothing is removed and nothing changes its meaning: structs grow at their ends, and new
   functions come last in the function table.

   ======================================================================================================== */

#define MB_VERSION_MAJOR     0 /* Version of this header: MAJOR.MINOR.PATCH. */
#define MB_VERSION_MINOR     1 /* See MB_VERSION_MAJOR. */
#define MB_VERSION_PATCH     0 /* See MB_VERSION_MAJOR. */
#define MB_VERSION_NUMBER 1000 /* Version of this header as one number: 1,000,000 x MAJOR + 1,000 x MINOR +
                                  PATCH. */

#define MB_ABI_VERSION       1 /* Version of the binary interface. It grows when something is added. */

/* The version of the library as a number, to be compared with MB_VERSION_NUMBER.

   Threads: any, also in callbacks and in a forked child.
   Blocks: never.
   Since: 0.1. */
uint32_t mb_version_number(void);

/* The version of the library as text, for example "0.1.0".

   Ownership: the text is static.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
const char *mb_version_string(void);

/* The version of the library's binary interface, to be compared with MB_ABI_VERSION.

   Threads: any.
   Blocks: never.
   Since: 0.1. */
uint32_t mb_abi_version(void);

/* Whether the library serves a program compiled against another header. A program that loads the library
   itself asks first: mb_abi_check(MB_ABI_VERSION).

   Returns: MB_OK; MB_ERR_UNSUPPORTED if the header is newer than the library, or too old for it.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_abi_check(uint32_t header_abi_version);

/* ========================================================================================================
   Handles

   A handle is a word typed as a pointer; it never points anywhere. Every function checks its handles: NULL, a
   freed handle, any other word and a handle of another type answer MB_ERR_INVALID_HANDLE.

   ======================================================================================================== */

/* Takes values, forms batches, has them handled and delivers the results. */
typedef struct mb_batcher mb_batcher;

/* A way into a batcher for one thread. */
typedef struct mb_producer mb_producer;

/* A batch, or a handler's part of one. */
typedef struct mb_batch mb_batch;

/* A set of results. */
typedef struct mb_results mb_results;

/* Why a call failed, in words. */
typedef struct mb_error mb_error;

/* The functions of one copy of the library: see the last section. */
typedef struct mb_api mb_api;

/* ========================================================================================================
   Errors

   Functions whose failure needs words take a place for an error, last and optional: pass NULL if the status
   is enough. It is written on failure only, and what is written there is yours to free.

       mb_error *error = NULL;
       if (mb_batcher_new(&options, &batcher, &error) != MB_OK) {
           fprintf(stderr, "%s\n", mb_error_message(error));
           mb_error_free(error);
       }

   ======================================================================================================== */

/* The status that came with the error.

   Returns: that status; MB_ERR_INVALID_HANDLE if there is no such error.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_error_code(const mb_error *error);

/* What was wrong and what would be accepted. Never NULL; "" if there is no such error.

   Ownership: the text belongs to the error and is valid until it is freed.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
const char *mb_error_message(const mb_error *error);

/* The option or value that was wrong, for example "max_delay". Never NULL; "" if there is none to name.

   Ownership: the text belongs to the error and is valid until it is freed.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
const char *mb_error_subject(const mb_error *error);

/* Frees an error. NULL is fine, and so is an error freed before.

   Threads: any.
   Blocks: never.
   Since: 0.1. */
void mb_error_free(mb_error *error);

/* ========================================================================================================
   Values

   A value is null, a bool, a 64-bit integer, a 64-bit floating-point number, a string, bytes or an object.
   Its kind is what you say it is and never depends on the number. Strings are UTF-8, counted, and may hold
   NULs.

   An object is a 64-bit word that means something to its owner only: an index, or a pointer to something of
   your own. A batcher takes objects of one owner, the one in its options; that number comes from
   mb_owner_new. It holds one reference from acceptance until the result is delivered and every batch that
   shows it is completed, and then calls object_release once. A refused push keeps nothing.

   ======================================================================================================== */

#define MB_KIND_NULL      0 /* No value. */
#define MB_KIND_BOOL      1 /* as.int64 is 0 or 1. */
#define MB_KIND_INT64     2 /* as.int64. */
#define MB_KIND_FLOAT64   3 /* as.float64. */
#define MB_KIND_STRING    4 /* as.string: UTF-8. */
#define MB_KIND_BYTES     5 /* as.string: bytes of any content. */
#define MB_KIND_OBJECT    6 /* as.object, and owner. */
#define MB_KIND_NONE    254 /* Only in views of results: a row that has no value. */
#define MB_KIND_MIXED   255 /* Only in views: rows of several kinds. */

#define MB_KINDS          7 /* How many kinds there are. */

/* The bytes of a string. */
typedef struct mb_string {
    const void *data;               /* The first byte; may be NULL if there are none. Not ended by a NUL. */
    size_t length;                  /* How many. */
} mb_string;

/* An object. */
typedef struct mb_object {
    uint64_t word;                  /* The word. */
    uint64_t size;                  /* Its size in bytes for the byte limits, as you declare it. */
} mb_object;

/* What a value is, by its kind. */
typedef union mb_value_as {
    int64_t int64;                  /* Integers and bools. */
    double float64;                 /* Floating-point numbers. */
    mb_string string;               /* Strings and bytes. */
    mb_object object;               /* Objects. */
} mb_value_as;

/* Any value: 24 bytes, which never change. */
typedef struct mb_value {
    uint32_t kind;                  /* MB_KIND_*. */
    uint32_t owner;                 /* The owner of an object; of other kinds it is not looked at. */
    mb_value_as as;                 /* The value itself. */
} mb_value;

/* The name of a kind, for example "int64"; "unknown" for a number that this version does not list. Never
   NULL.

   Ownership: the text is static.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
const char *mb_kind_name(uint32_t kind);

/* A new owner number, which no other owner has in this copy of the library.

   Returns: MB_OK; MB_ERR_INVALID_ARGUMENT if owner is NULL; MB_ERR_NO_MEMORY once 2^32 - 1 numbers were given
     out.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_owner_new(uint32_t *owner);

/* ========================================================================================================
   Callbacks

   Functions of your own that the batcher calls, each with a pointer of your own. user_data is handed back as
   it is; its release function, if there is one, is called once, after the last call that could use it. If
   mb_batcher_new fails, none is called and everything stays yours.

   In threaded mode callbacks run on the batcher's own threads, in manual mode inside mb_batcher_run, flush,
   close and free; never inside push, cancel, seal, stats or complete, and never with a lock of the library
   held. on_result never runs beside itself. A callback must return: an exception or a longjmp must not leave
   it. (A thread that ends in a callback by pthread_exit fails what it held, and the batcher goes on; not so
   in a release function or the log, which must return.)

   Every callback gets the function table of the library that calls it. A handler that lives in another shared
   library calls api->mb_batch_set_int64(...) and needs not be linked to anything.

   ======================================================================================================== */

/* Works on a batch. batch is borrowed until the handler returns, unless it is kept.

   MB_OK: what was set counts, rows without a result get MB_ERR_NO_RESULT. A positive number: every value of
   the batch fails with this code of yours, also those already set. A negative number: they fail with that
   status, or with MB_ERR_HANDLER_FAILED if it is none. To give a reason in words, call mb_batch_fail_all
   first and return MB_OK. The answer does not count for a batch that was kept or completed inside the
   handler. */
typedef mb_status (*mb_handler_fn)(void *user_data, mb_batch *batch, const mb_api *api);

/* Takes the results of a batch, borrowed until it returns. */
typedef void (*mb_result_fn)(void *user_data, const mb_results *results, const mb_api *api);

/* Gives user_data back: nobody will use it any more. */
typedef void (*mb_release_fn)(void *user_data);

/* Gives an object back: the batcher's reference to it ends. */
typedef void (*mb_object_release_fn)(void *user_data, uint64_t word);

/* Takes a line of log. level: 0 debug, 1 information, 2 warning, 3 error. message has length bytes of UTF-8
   and is not ended by a NUL. */
typedef void (*mb_log_fn)(void *user_data, int32_t level, const char *message, size_t length);

/* A handler with its pointer. */
typedef struct mb_handler {
    mb_handler_fn call;             /* The handler; NULL if there is none. */
    void *user_data;                /* Handed to it. */
    mb_release_fn release;          /* Releases user_data; may be NULL. */
} mb_handler;

/* ========================================================================================================
   Options

   Start with mb_options_init, then set fields, or options by name, in any order. 0 is the default in every
   field and never means anything else. mb_batcher_new checks everything together and says all that is wrong.

       mb_options options;
       mb_options_init(&options, sizeof options);
       options.max_batch_size = 100;
       options.max_delay = 2 * MB_MS;
       options.handler = insert_rows;
       mb_options_set(&options, "on_full", "reject", NULL);

   Times are nanoseconds in an int64_t.

   ======================================================================================================== */

#define MB_US                     ((int64_t)1000) /* A microsecond. */
#define MB_MS                  ((int64_t)1000000) /* A millisecond. */
#define MB_S                ((int64_t)1000000000) /* A second. */
#define MB_FOREVER ((int64_t)(~(uint64_t)0 >> 1)) /* No time limit. */

#define MB_MODE_THREADED           1 /* mode: handlers run on the batcher's own threads (the default). */
#define MB_MODE_MANUAL             2 /* mode: no thread is started; the host calls mb_batcher_run. */

#define MB_FULL_BLOCK              1 /* on_full: a push that finds no room waits up to push_timeout (the
                                        default). */
#define MB_FULL_REJECT             2 /* on_full: it is refused at once. */
#define MB_FULL_DISCARD_OLDEST     3 /* on_full: the oldest waiting values are discarded until there is
                                        room. */

#define MB_DELIVERY_AS_COMPLETED   1 /* delivery: results come as batches finish (the default). */
#define MB_DELIVERY_ORDERED        2 /* delivery: results come in the order in which batches were
                                        dispatched. */

#define MB_CLOCK_MONOTONIC         1 /* clock: the system's monotonic clock (the default). */
#define MB_CLOCK_GIVEN             2 /* clock: time moves by mb_batcher_advance only, from 0; manual mode
                                        only. */

#define MB_RESULTS_AUTO            1 /* results: to on_result if it is set, and else only counted (the
                                        default). */
#define MB_RESULTS_PULL            2 /* results: to whoever calls mb_batcher_next_results. */

#define MB_PULL_DEFAULT          128 /* pull_handlers: the host has a default handler, which takes every
                                        kind that has none of its own. */

/* Everything a batcher is made from. mb_option_table has the ranges and defaults of all fields that are
   numbers. */
typedef struct mb_options {
    size_t struct_size;             /* sizeof(mb_options); mb_options_init sets it. */
    uint32_t mode;                  /* Who runs the handlers: MB_MODE_*. */
    uint32_t threads;               /* Handler threads; default 1. */
    uint32_t max_in_flight;         /* Batches dispatched and not finished at any time; default: threads. */
    uint32_t on_full;               /* What a push does that finds no room: MB_FULL_*. */
    uint32_t delivery;              /* Order of results: MB_DELIVERY_*. */
    uint32_t clock;                 /* What tells the time: MB_CLOCK_*. */
    uint32_t results;               /* Where results go: MB_RESULTS_*. */
    uint32_t owner;                 /* The only owner whose objects are taken; default: none. */
    uint64_t max_batch_size;        /* Values in a batch at most; default 256. */
    uint64_t max_batch_bytes;       /* Bytes in a batch at most; default 16 MiB. */
    uint64_t queue_capacity;        /* Values that wait at most; default 16,384 or 4 x max_batch_size. */
    uint64_t queue_bytes;           /* Bytes that wait at most; default 4 x max_batch_bytes. */
    uint64_t result_capacity;       /* Values accepted whose results are not delivered yet, at most;
                                       default 2 x queue_capacity + max_in_flight x max_batch_size. */
    int64_t max_delay;              /* Longest wait of a batch's first value for company; default 0, at
                                       once. 1 to 5 ms suit costly handlers. */
    int64_t push_timeout;           /* Longest wait of a push that blocks; default 30 s. */
    int64_t handler_timeout;        /* Longest time from a batch's dispatch to its end; default MB_FOREVER. */
    int64_t close_timeout;          /* Longest drain of wrappers that close at the end of a scope; default
                                       30 s. */
    int64_t drain_at_exit;          /* Longest drain when the process exits; default 0, off. */
    mb_handler_fn handler;          /* The default handler: takes every kind that has none of its own in
                                       by_kind. */
    void *handler_data;             /* Handed to handler. */
    mb_release_fn handler_release;  /* Releases handler_data. */
    mb_handler by_kind[MB_KINDS];   /* Handlers per kind; the index is MB_KIND_*. A batcher without any
                                       handler is pulled: see mb_batcher_next_batch. */
    uint64_t pull_handlers;         /* For a batcher without any handler: the kinds that the host has
                                       handlers for, 1 << MB_KIND_* each, and MB_PULL_DEFAULT for a
                                       default. Then other kinds are refused, and mb_batcher_next_batch
                                       hands out the parts of a batch one after another. 0: whole batches
                                       of every kind. */
    mb_result_fn on_result;         /* Takes results. */
    void *result_data;              /* Handed to on_result. */
    mb_release_fn result_release;   /* Releases result_data. */
    mb_object_release_fn object_release; /* Gives objects back. */
    void *object_data;              /* Handed to object_release. */
    mb_release_fn object_data_release; /* Releases object_data. */
    mb_log_fn log;                  /* Takes lines of log; default: silence. */
    void *log_data;                 /* Handed to log. */
    mb_release_fn log_release;      /* Releases log_data. */
    int64_t delay_spin;             /* Last stretch of max_delay that whoever waits for it spins out
                                       instead of sleeping; default 0, none. A wake is late by tens of
                                       microseconds: 100 of them spun out save most of that, for as much of
                                       a core's time a batch. */
} mb_options;

/* One option that has a name. */
typedef struct mb_option_info {
    const char *name;               /* The name, the same in every language and in mb_options. */
    const char *type_name;          /* "duration", "count", "bytes" or "choice". */
    const char *unit;               /* What it counts, for example "ns" or "values"; "" if nothing. */
    const char *default_text;       /* What 0 means. */
    const char *choices;            /* The names that a choice accepts, in order of their codes from 1 on,
                                       with a comma between them; "" for others. */
    const char *doc;                /* What it is for, in one line. */
    int64_t minimum;                /* The smallest value accepted besides 0. */
    int64_t maximum;                /* The largest. */
    size_t offset;                  /* Where its field is in mb_options, in bytes. */
    size_t width;                   /* The size of its field, 4 or 8. */
    int64_t default_value;          /* What 0 means as a number; 0 if other options decide, or if it is
                                       nothing. */
    int64_t managed_default;        /* What wrappers of managed languages set where their caller sets
                                       nothing: the default, but for drain_at_exit, which they drain by
                                       their host's own hook. */
} mb_option_info;

/* Makes every option its default and sets struct_size.

   struct_size: sizeof(mb_options) as the caller knows it.
   Returns: MB_OK; MB_ERR_INVALID_ARGUMENT if options is NULL or no version of the struct has this size.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_options_init(mb_options *options, size_t struct_size);

/* Sets an option by its name, from text: "2ms", "16MiB", "1.5s", "forever", "reject", "default", or a plain
   number in the option's base unit (ns, bytes, values).

   Returns: MB_OK; MB_ERR_INVALID_OPTION if there is no such option, or its value is unreadable or out of
     range; MB_ERR_INVALID_ARGUMENT if options, name or value is NULL or struct_size is not set;
     MB_ERR_INVALID_UTF8; MB_ERR_UNSUPPORTED if options has fields this library does not know.
   Ownership: name and value are borrowed for the call.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_options_set(mb_options *options, const char *name, const char *value, mb_error **error);

/* Hands out the table of all options, for bindings and documentation.

   Returns: MB_OK; MB_ERR_INVALID_ARGUMENT if table or count is NULL.
   Ownership: the table is static.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_option_table(const mb_option_info **table, size_t *count);

/* Reads a duration from text, the way options are read: "2ms", "1.5s", "forever", or a plain number of
   nanoseconds.

   Returns: MB_OK; MB_ERR_INVALID_ARGUMENT if text or ns is NULL, or the text is no duration;
     MB_ERR_INVALID_UTF8.
   Ownership: text is borrowed for the call.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_duration_parse(const char *text, int64_t *ns, mb_error **error);

/* ========================================================================================================
   The batcher

   Made from options, fed by pushes, closed, freed. Close stops acceptance and drains; free gives everything
   back.

   ======================================================================================================== */

/* Makes a batcher and starts its threads, if the mode has any.

   Returns: MB_OK; MB_ERR_INVALID_OPTION if options are out of range or contradict each other (the error names
     all of them); MB_ERR_INVALID_ARGUMENT if options or batcher is NULL, or struct_size is not set;
     MB_ERR_UNSUPPORTED if options has fields this library does not know; MB_ERR_SYSTEM if a thread could not
     be started; MB_ERR_NO_MEMORY.
   Ownership: free the batcher with mb_batcher_free. options is borrowed for the call; callbacks and user data
     are the batcher's from success on, and yours as before after a failure.
   Threads: any, also in callbacks.
   Blocks: until the threads run.
   Since: 0.1. */
mb_status mb_batcher_new(const mb_options *options, mb_batcher **batcher, mb_error **error);

/* Seals the open batch, whatever it holds, and does not wait for anything.

   Returns: MB_OK, also if there is no open batch; MB_ERR_CLOSED; MB_ERR_INVALID_HANDLE; MB_ERR_FORKED.
   Threads: any, also in callbacks.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batcher_seal(mb_batcher *batcher);

/* Seals and waits until every value accepted before the call is delivered: its on_result has returned,
   next_results has handed it out, or it is counted. In manual mode it does what mb_batcher_run does and never
   waits.

   timeout: nanoseconds, or MB_FOREVER.
   Returns: MB_OK; MB_ERR_TIMEOUT; MB_ERR_IN_PROGRESS in manual mode, or with time-out 0, if something is
     left; MB_ERR_CLOSED; MB_ERR_REENTRANT in a callback of this batcher; MB_ERR_INVALID_ARGUMENT if timeout
     is negative; MB_ERR_INVALID_HANDLE; MB_ERR_FORKED.
   Threads: any, not in callbacks.
   Blocks: up to timeout in threaded mode.
   Calls back in manual mode.
   Since: 0.1. */
mb_status mb_batcher_flush(mb_batcher *batcher, int64_t timeout);

/* The first half of a flush: seals and answers a mark behind everything accepted so far. The descriptor of
   mb_batcher_fd fires when all before the last mark is delivered.

   Returns: MB_OK; MB_ERR_CLOSED; MB_ERR_INVALID_ARGUMENT if mark is NULL; MB_ERR_INVALID_HANDLE;
     MB_ERR_FORKED.
   Threads: any, also in callbacks.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batcher_flush_begin(mb_batcher *batcher, uint64_t *mark);

/* The second half: waits until everything before the mark is delivered.

   Returns: MB_OK; MB_ERR_TIMEOUT; MB_ERR_IN_PROGRESS in manual mode, or with time-out 0, if something is
     left; MB_ERR_REENTRANT in a callback of this batcher; MB_ERR_INVALID_ARGUMENT if timeout is negative or
     mark was never given out; MB_ERR_INVALID_HANDLE; MB_ERR_FORKED. A closed batcher answers as any other.
   Threads: any, not in callbacks.
   Blocks: up to timeout in threaded mode.
   Calls back in manual mode.
   Since: 0.1. */
mb_status mb_batcher_flush_end(mb_batcher *batcher, uint64_t mark, int64_t timeout);

/* Whether everything before the mark is delivered. It does nothing else: for those who share a batcher that
   only its owner may drive. The descriptor no longer fires for this mark.

   Returns: MB_OK; MB_ERR_IN_PROGRESS; MB_ERR_INVALID_ARGUMENT if mark was never given out;
     MB_ERR_INVALID_HANDLE; MB_ERR_FORKED. A closed batcher answers as any other.
   Threads: any, also in callbacks.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batcher_flush_reached(mb_batcher *batcher, uint64_t mark);

/* Stops acceptance at once, waits until all values have their outcome and all results are delivered, and
   discards what is left when the time-out comes. Time-out 0 discards at once. Closing again waits too, and
   may bring the time-out forward. In manual mode it does what mb_batcher_run does and never waits; the
   time-out goes on under run.

   timeout: nanoseconds, or MB_FOREVER. left: how many values were discarded; may be NULL.
   Returns: MB_OK if none was discarded; MB_ERR_TIMEOUT if some were, or an on_result was still running at the
     time-out; MB_ERR_IN_PROGRESS in a callback of this batcher, or in manual mode if something is left: call
     again to ask; MB_ERR_INVALID_ARGUMENT if timeout is negative; MB_ERR_INVALID_HANDLE; MB_ERR_FORKED.
   Threads: any, also in callbacks.
   Blocks: up to timeout in threaded mode.
   Calls back in manual mode.
   Since: 0.1. */
mb_status mb_batcher_close(mb_batcher *batcher, int64_t timeout, uint64_t *left);

/* Closes with time-out 0, waits for callbacks that run in other threads, and gives everything back: threads,
   descriptors and memory. In a callback of this batcher it is mb_batcher_abandon. Batches and results that
   somebody holds keep their memory until they are freed. NULL is fine.

   Returns: MB_OK; MB_ERR_INVALID_HANDLE, also if another thread is freeing it; in a forked child, where the
     threads are not, the handle is freed and MB_OK or MB_ERR_FORKED answered.
   Ownership: takes the batcher. Inside the callbacks that free runs the handle is good still, and if one of
     them ends the thread it stays good: the batcher is closed, and to be freed again.
   Threads: any; no other thread may be in a call with this handle.
   Blocks: until running callbacks return.
   Calls back in manual mode.
   Since: 0.1. */
mb_status mb_batcher_free(mb_batcher *batcher);

/* Free without waiting: outstanding values are discarded, and what a running callback uses goes when it
   returns. NULL is fine.

   Returns: as mb_batcher_free.
   Ownership: takes the batcher.
   Threads: any, also in callbacks; no other thread may be in a call with this handle.
   Blocks: never.
   Calls back in manual mode, unless in a callback.
   Since: 0.1. */
mb_status mb_batcher_abandon(mb_batcher *batcher);

/* ========================================================================================================
   Pushing one value

   A push takes a value or refuses it, and a refusal keeps nothing. Taken strings and bytes were copied when
   the push returns. tag is any number of yours that comes back with the result; tags need not be unique.
   Pushing is fine from any thread and in any callback; values pushed by one thread keep their order.

   Every push returns one of these:

       MB_OK                    the value is the batcher's
       MB_ERR_INVALID_ARGUMENT  data is NULL and length is not 0; a bool is neither 0 nor 1; the kind is unknown
       MB_ERR_INVALID_UTF8      a string is not UTF-8
       MB_ERR_WRONG_OWNER       an object is not of the owner in the options
       MB_ERR_CLOSED            the batcher was closed
       MB_ERR_NO_HANDLER        no handler takes this kind, and there is no default
       MB_ERR_TOO_LARGE         the value weighs more than max_batch_bytes: 8, plus its length or declared size
       MB_ERR_QUEUE_FULL        queue_capacity values wait
       MB_ERR_QUEUE_FULL_BYTES  the values that wait leave too little of queue_bytes
       MB_ERR_RESULTS_FULL      result_capacity values were accepted whose results nobody took
       MB_ERR_WOULD_WAIT        if_full asks, and there is no room now
       MB_ERR_NO_MEMORY         there is no memory for it
       MB_ERR_INVALID_HANDLE    there is no such batcher
       MB_ERR_FORKED            the batcher belongs to the parent process

   The three FULL codes come after a wait of up to push_timeout if on_full is BLOCK, and at once if it is
   REJECT, in manual mode and in callbacks of this batcher. mb_batcher_check says in words why a value would
   be refused.

   A host that must not sit in a push, because its threads belong to a runtime, waits by itself: it pushes
   with if_full = MB_IF_FULL_ASK, and when that answers MB_ERR_WOULD_WAIT it waits for room (mb_batcher_room,
   mb_batcher_fd) and pushes again; when its time is up it pushes with MB_IF_FULL_REFUSE, which counts as the
   one refusal of the value.

   ======================================================================================================== */

#define MB_IF_FULL_ASK    1 /* if_full: answer MB_ERR_WOULD_WAIT at once, which counts as nothing: the host
                               waits by itself and pushes again. */
#define MB_IF_FULL_REFUSE 2 /* if_full: be refused at once, as at the end of push_timeout. */

/* What a push may say besides the value. */
typedef struct mb_push_options {
    size_t struct_size;             /* sizeof(mb_push_options). */
    int64_t deadline;               /* When the value expires if it still waits, on the batcher's clock
                                       (mb_batcher_now); 0 is never. */
    mb_release_fn release;          /* Makes it an owned push: the string or bytes are not copied but stay
                                       where they are, unchanged, until this is called, once, after the
                                       result is delivered. Never called inside push, or for a refused
                                       value. NULL: copy. */
    void *release_data;             /* Handed to release. */
    uint64_t if_full;               /* What the push does where it would wait for room: 0, wait; or
                                       MB_IF_FULL_*. */
} mb_push_options;

/* Pushes null.

   Returns: see above.
   Threads: any, also in callbacks.
   Blocks: up to push_timeout if on_full is BLOCK.
   Since: 0.1. */
mb_status mb_batcher_push_null(mb_batcher *batcher, uint64_t tag);

/* Pushes a bool: 0 or 1.

   Returns: see above.
   Threads: any, also in callbacks.
   Blocks: up to push_timeout if on_full is BLOCK.
   Since: 0.1. */
mb_status mb_batcher_push_bool(mb_batcher *batcher, int32_t value, uint64_t tag);

/* Pushes an integer.

   Returns: see above.
   Threads: any, also in callbacks.
   Blocks: up to push_timeout if on_full is BLOCK.
   Since: 0.1. */
mb_status mb_batcher_push_int64(mb_batcher *batcher, int64_t value, uint64_t tag);

/* Pushes a floating-point number.

   Returns: see above.
   Threads: any, also in callbacks.
   Blocks: up to push_timeout if on_full is BLOCK.
   Since: 0.1. */
mb_status mb_batcher_push_float64(mb_batcher *batcher, double value, uint64_t tag);

/* Pushes a string: length bytes of UTF-8, copied.

   Returns: see above.
   Threads: any, also in callbacks.
   Blocks: up to push_timeout if on_full is BLOCK.
   Since: 0.1. */
mb_status mb_batcher_push_string(mb_batcher *batcher, const char *data, size_t length, uint64_t tag);

/* Pushes bytes of any content, copied.

   Returns: see above.
   Threads: any, also in callbacks.
   Blocks: up to push_timeout if on_full is BLOCK.
   Since: 0.1. */
mb_status mb_batcher_push_bytes(mb_batcher *batcher, const void *data, size_t length, uint64_t tag);

/* Pushes an object.

   owner: its owner, which must be the batcher's. word: the object. size: its size in bytes for the byte
   limits, or 0.
   Returns: see above.
   Ownership: from success on the batcher holds one reference, which object_release gives back; a refused one
     is yours.
   Threads: any, also in callbacks.
   Blocks: up to push_timeout if on_full is BLOCK.
   Since: 0.1. */
mb_status mb_batcher_push_object(
    mb_batcher *batcher, uint32_t owner, uint64_t word, uint64_t size, uint64_t tag);

/* Pushes any value, if need be with a deadline or as an owned push.

   options: may be NULL. A release with a value that is neither string nor bytes is an invalid argument.
   Returns: see above; also MB_ERR_UNSUPPORTED if options has fields this library does not know.
   Ownership: value and options are borrowed for the call; an owned push keeps the bytes until release.
   Threads: any, also in callbacks.
   Blocks: up to push_timeout if on_full is BLOCK.
   Since: 0.1. */
mb_status mb_batcher_push_value(
    mb_batcher *batcher, const mb_value *value, uint64_t tag, const mb_push_options *options);

/* Why a value would be refused now, in words, without pushing it.

   Returns: what mb_batcher_push_value would return without waiting; MB_OK if it would be taken.
   Ownership: value is borrowed for the call; free the error.
   Threads: any, also in callbacks.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batcher_check(mb_batcher *batcher, const mb_value *value, mb_error **error);

/* Cancels every waiting value with this tag. Their outcome is MB_OUTCOME_CANCELLED, at once.

   count: how many; may be NULL.
   Returns: MB_OK if at least one was cancelled; MB_ERR_TOO_LATE if one is in flight and none waits;
     MB_ERR_NOT_FOUND; MB_ERR_NO_MEMORY; MB_ERR_INVALID_HANDLE; MB_ERR_FORKED.
   Threads: any, also in callbacks.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batcher_cancel(mb_batcher *batcher, uint64_t tag, uint64_t *count);

/* Waits until there is room for a value of 8 bytes, without pushing one.

   timeout: nanoseconds, or MB_FOREVER; in manual mode and in callbacks of this batcher it never waits.
   Returns: MB_OK if there is room now (another thread may take it); after timeout what is lacking:
     MB_ERR_QUEUE_FULL, MB_ERR_QUEUE_FULL_BYTES or MB_ERR_RESULTS_FULL; MB_ERR_CLOSED; MB_ERR_INVALID_ARGUMENT
     if timeout is negative; MB_ERR_INVALID_HANDLE; MB_ERR_FORKED.
   Threads: any, also in callbacks.
   Blocks: up to timeout.
   Since: 0.1. */
mb_status mb_batcher_room(mb_batcher *batcher, int64_t timeout);

/* ========================================================================================================
   Pushing many values

   A bulk push acts as its values pushed one by one: it takes them in order, stops at the first that is
   refused and returns its status. accepted is always written (it may be NULL): the index of the refused
   value, or count.

   validity says which values there are, as in Arrow: bit i % 8 of byte i / 8, 0 for null; NULL if all are
   there. Value i has the tag tags[i], or first_tag + i if tags is NULL. A deadline in options is that of
   every value; a release covers the whole array, is for strings and bytes only, and runs once, after the last
   accepted value of the call is delivered; if none was accepted it never runs. Return values, threads and
   blocking are those of the pushes above; a whole argument that is missing is MB_ERR_INVALID_ARGUMENT with 0
   accepted.

   ======================================================================================================== */

/* Pushes integers.

   Since: 0.1. */
mb_status mb_batcher_push_int64s(
    mb_batcher *batcher, const int64_t *values, const uint8_t *validity, size_t count, const uint64_t *tags,
    uint64_t first_tag, const mb_push_options *options, size_t *accepted);

/* Pushes floating-point numbers.

   Since: 0.1. */
mb_status mb_batcher_push_float64s(
    mb_batcher *batcher, const double *values, const uint8_t *validity, size_t count, const uint64_t *tags,
    uint64_t first_tag, const mb_push_options *options, size_t *accepted);

/* Pushes strings in Arrow's shape: string i is data[offsets[i]] to data[offsets[i + 1]], so there are count +
   1 offsets. Offsets that are negative or go backwards are an invalid argument of that value.

   Since: 0.1. */
mb_status mb_batcher_push_strings(
    mb_batcher *batcher, const void *data, const int32_t *offsets, const uint8_t *validity, size_t count,
    const uint64_t *tags, uint64_t first_tag, const mb_push_options *options, size_t *accepted);

/* Pushes strings in Arrow's large shape, with 64-bit offsets.

   Since: 0.1. */
mb_status mb_batcher_push_large_strings(
    mb_batcher *batcher, const void *data, const int64_t *offsets, const uint8_t *validity, size_t count,
    const uint64_t *tags, uint64_t first_tag, const mb_push_options *options, size_t *accepted);

/* Pushes values of any kinds. With a release, objects are refused.

   Since: 0.1. */
mb_status mb_batcher_push_values(
    mb_batcher *batcher, const mb_value *values, size_t count, const uint64_t *tags, uint64_t first_tag,
    const mb_push_options *options, size_t *accepted);

/* ========================================================================================================
   Producers

   A producer is a way into a batcher for one thread. Values pushed through it keep their order; that among
   several producers, and between them and the batcher's own pushes, is given up for speed. Its pushes return,
   take and block as the batcher's do.

   ======================================================================================================== */

/* Makes a producer.

   Returns: MB_OK; MB_ERR_INVALID_ARGUMENT if producer is NULL; MB_ERR_NO_MEMORY; MB_ERR_INVALID_HANDLE;
     MB_ERR_FORKED.
   Ownership: free it with mb_producer_free, before or after the batcher.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_producer_new(mb_batcher *batcher, mb_producer **producer);

/* Frees a producer; what it pushed goes its way. NULL is fine.

   Returns: MB_OK; MB_ERR_INVALID_HANDLE.
   Ownership: takes the producer.
   Threads: any; no thread may be in a call with it.
   Blocks: never.
   Since: 0.1. */
mb_status mb_producer_free(mb_producer *producer);

/* Pushes null through a producer: see mb_batcher_push_null.

   Threads: one at a time.
   Since: 0.1. */
mb_status mb_producer_push_null(mb_producer *producer, uint64_t tag);

/* Pushes a bool through a producer: see mb_batcher_push_bool.

   Threads: one at a time.
   Since: 0.1. */
mb_status mb_producer_push_bool(mb_producer *producer, int32_t value, uint64_t tag);

/* Pushes an integer through a producer: see mb_batcher_push_int64.

   Threads: one at a time.
   Since: 0.1. */
mb_status mb_producer_push_int64(mb_producer *producer, int64_t value, uint64_t tag);

/* Pushes a floating-point number through a producer: see mb_batcher_push_float64.

   Threads: one at a time.
   Since: 0.1. */
mb_status mb_producer_push_float64(mb_producer *producer, double value, uint64_t tag);

/* Pushes a string through a producer: see mb_batcher_push_string.

   Threads: one at a time.
   Since: 0.1. */
mb_status mb_producer_push_string(mb_producer *producer, const char *data, size_t length, uint64_t tag);

/* Pushes bytes through a producer: see mb_batcher_push_bytes.

   Threads: one at a time.
   Since: 0.1. */
mb_status mb_producer_push_bytes(mb_producer *producer, const void *data, size_t length, uint64_t tag);

/* Pushes an object through a producer: see mb_batcher_push_object.

   Threads: one at a time.
   Since: 0.1. */
mb_status mb_producer_push_object(
    mb_producer *producer, uint32_t owner, uint64_t word, uint64_t size, uint64_t tag);

/* Pushes any value through a producer: see mb_batcher_push_value.

   Threads: one at a time.
   Since: 0.1. */
mb_status mb_producer_push_value(
    mb_producer *producer, const mb_value *value, uint64_t tag, const mb_push_options *options);

/* ========================================================================================================
   A host that drives

   In manual mode nothing happens between calls: mb_batcher_run does what is due. A descriptor for select,
   poll, epoll or an event loop says when, and mb_batcher_next_due says it as a time. With clock = given time
   stands still until mb_batcher_advance: for tests, and for hosts with a time of their own.

       int32_t fd;
       mb_batcher_fd(batcher, &fd);
       for (;;) {
           wait until fd is readable;
           mb_batcher_run(batcher);
       }

   ======================================================================================================== */

/* Does everything that is due now: deadlines, time-outs, handlers, on_result, releases. It handles at most
   what was accepted before the call, so that it ends even if callbacks push.

   Returns: MB_OK; MB_ERR_WRONG_MODE in threaded mode; MB_ERR_REENTRANT in a callback of this batcher;
     MB_ERR_INVALID_HANDLE; MB_ERR_FORKED.
   Threads: any, not in callbacks.
   Blocks: never, but for what callbacks do.
   Calls back.
   Since: 0.1. */
mb_status mb_batcher_run(mb_batcher *batcher);

/* Sets a given clock, in nanoseconds from 0. Backwards is ignored. Nothing else happens before run.

   Returns: MB_OK; MB_ERR_WRONG_MODE unless clock = given; MB_ERR_REENTRANT in a callback of this batcher;
     MB_ERR_INVALID_HANDLE; MB_ERR_FORKED.
   Threads: any, not in callbacks.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batcher_advance(mb_batcher *batcher, int64_t now);

/* When run, next_batch or next_results will have something to do, on the batcher's clock: a time not after
   now if there is something already, MB_FOREVER if nothing is in sight.

   Returns: MB_OK; MB_ERR_INVALID_ARGUMENT if due is NULL; MB_ERR_INVALID_HANDLE; MB_ERR_FORKED.
   Threads: any, also in callbacks.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batcher_next_due(mb_batcher *batcher, int64_t *due);

/* The time on the batcher's clock, in nanoseconds: what deadlines are compared with.

   Returns: MB_OK; MB_ERR_INVALID_ARGUMENT if now is NULL; MB_ERR_INVALID_HANDLE; MB_ERR_FORKED.
   Threads: any, also in callbacks.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batcher_now(mb_batcher *batcher, int64_t *now);

/* A descriptor that is readable while there is something to do for run, next_batch or next_results, when the
   last flush mark is reached, and when there is room again after a refused push. Only wait for it: do not
   read it.

   Returns: MB_OK; MB_ERR_SYSTEM if none could be made; MB_ERR_INVALID_ARGUMENT if fd is NULL;
     MB_ERR_INVALID_HANDLE; MB_ERR_FORKED.
   Ownership: the descriptor is the batcher's and is closed when it is freed; the same one every time.
   Threads: any, also in callbacks.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batcher_fd(mb_batcher *batcher, int32_t *fd);

/* ========================================================================================================
   Batches

   A handler borrows its batch until it returns. To finish it later, from any thread, it calls mb_batch_keep
   and whoever holds it then calls mb_batch_complete once. A host without handlers takes whole batches with
   mb_batcher_next_batch and completes them in the same way; with handlers of its own (pull_handlers) it takes
   parts.

   A batch is columns. values has 8 bytes a row: a batch of one kind is a plain array of int64_t or double,
   and it is the very memory that the pushes wrote. Strings are in Arrow's shape: offsets and bytes. A mixed
   batch is read row by row with mb_batch_value, or one kind after another with mb_batch_gather. When a batch
   has rows for several handlers, each gets its part: a batch of its rows alone.

   Pointers into a batch are good until the handler returns, or, of a kept or pulled batch, until it is
   completed or freed. Once that has happened its handle answers MB_ERR_TOO_LATE to whatever would change it.

   ======================================================================================================== */

#define MB_TRIGGER_SIZE  1 /* The batch was sealed because it held max_batch_size values. */
#define MB_TRIGGER_BYTES 2 /* The next value would have passed max_batch_bytes. */
#define MB_TRIGGER_DELAY 3 /* Its first value had waited for max_delay. */
#define MB_TRIGGER_IDLE  4 /* max_delay is 0 and a slot was free. */
#define MB_TRIGGER_FULL  5 /* A push had found no room. */
#define MB_TRIGGER_FLUSH 6 /* Somebody called seal or flush. */
#define MB_TRIGGER_CLOSE 7 /* The batcher was closed. */

/* The columns of a batch. Set struct_size before the call that fills it. */
typedef struct mb_batch_view {
    size_t struct_size;             /* sizeof(mb_batch_view). */
    size_t count;                   /* Rows. */
    uint32_t kind;                  /* MB_KIND_* of all rows, or MB_KIND_MIXED. */
    uint32_t trigger;               /* Why it was sealed: MB_TRIGGER_*. */
    int64_t age;                    /* Nanoseconds from the acceptance of its first value to its dispatch. */
    uint64_t number;                /* 1, 2, 3, ... in order of dispatch; the parts of a batch share its
                                       number. Inside map the parts count from 1. */
    const uint64_t *tags;           /* The tag of each row. */
    const uint8_t *kinds;           /* The kind of each row. */
    const void *values;             /* The cell of each row: int64_t, double, 0 or 1, or an object's word.
                                       Of strings and bytes it says nothing. */
    const int32_t *offsets;         /* Where each row's string begins in bytes, and where the last one
                                       ends: count + 1 of them, equal for rows without one. NULL if no row
                                       has one, or some are owned pushes: use mb_batch_gather then. */
    const uint8_t *bytes;           /* The bytes of all strings; NULL with offsets. */
    const int64_t *deadlines;       /* The deadline of each row, 0 for none; NULL if no row has one. */
    const uint32_t *positions;      /* The row of the whole batch that each row of this part is; NULL if
                                       this is the whole batch. */
} mb_batch_view;

/* The rows of one kind as columns. Set struct_size before the call that fills it. */
typedef struct mb_column {
    size_t struct_size;             /* sizeof(mb_column). */
    size_t count;                   /* Rows. */
    const void *values;             /* The cell of each row, as in a view; NULL in a column of text only. */
    const uint32_t *positions;      /* The row of the batch that each row is; NULL if they are the same. */
    const int32_t *offsets;         /* Of strings and bytes: count + 1 offsets into bytes; NULL for other
                                       kinds. */
    const uint8_t *bytes;           /* The bytes; NULL with offsets. */
} mb_column;

/* The name of a trigger, for example "size"; "unknown" for a number that this version does not list. Never
   NULL.

   Ownership: the text is static.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
const char *mb_trigger_name(uint32_t trigger);

/* Fills a view of a batch. Nothing is copied but the view itself.

   Returns: MB_OK; MB_ERR_INVALID_ARGUMENT if view is NULL or its struct_size is not set;
     MB_ERR_INVALID_HANDLE.
   Ownership: the columns are the batch's.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_get_view(mb_batch *batch, mb_batch_view *view);

/* Reads the value of one row.

   Returns: MB_OK; MB_ERR_OUT_OF_RANGE if there is no such row; MB_ERR_INVALID_ARGUMENT if value is NULL;
     MB_ERR_INVALID_HANDLE.
   Ownership: strings, bytes and objects are the batch's.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_value(mb_batch *batch, size_t row, mb_value *value);

/* The rows of one kind as contiguous columns. They are made at the first call, unless the batch has no other
   kind and its own columns serve.

   Returns: MB_OK, also if there is no such row (count is 0); MB_ERR_INVALID_ARGUMENT if kind is unknown,
     column is NULL or its struct_size is not set; MB_ERR_NO_MEMORY; MB_ERR_INVALID_HANDLE.
   Ownership: the columns are the batch's.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_gather(mb_batch *batch, uint32_t kind, mb_column *column);

/* Keeps a batch past its handler, which may then return at once; what it returns does not count. The slot
   stays taken until the batch is completed or handler_timeout ends it. Of a part that a host pulled for a
   handler of its own it says that the handler has returned and the part is held on: the next part of its
   batch may be pulled.

   Returns: MB_OK; MB_ERR_TOO_LATE if its outcomes stand already; MB_ERR_INVALID_ARGUMENT if it is kept
     already, or was pulled without pull_handlers; MB_ERR_WRONG_MODE inside map; MB_ERR_NO_MEMORY;
     MB_ERR_INVALID_HANDLE; MB_ERR_FORKED.
   Ownership: the batch is yours now: complete or free it, once.
   Threads: any, before the handler returns.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_keep(mb_batch *batch);

/* Completes a batch: what was set counts, rows without a result fail with MB_ERR_NO_RESULT. Also fine inside
   the handler of a batch that is not kept: what the handler returns does not count then.

   Returns: MB_OK; MB_ERR_TOO_LATE if its outcomes stood already, by a time-out, a close or a completion
     before this one (stats count it); MB_ERR_WRONG_MODE inside map; MB_ERR_INVALID_HANDLE; MB_ERR_FORKED.
   Ownership: takes a kept or pulled batch, whatever is returned.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_complete(mb_batch *batch);

/* The same, but rows without a result are OK, with null.

   Returns: as mb_batch_complete.
   Ownership: takes a kept or pulled batch, whatever is returned.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_complete_ok(mb_batch *batch);

/* Completes a batch and takes the next set of results that is ready then, for hosts that pull results: the
   same as mb_batch_complete and mb_batcher_next_results with time-out 0, but a thread that waits for results
   is not woken for the set that this call takes.

   results: NULL is put there if no set is ready, or none is pulled from this batcher, or in one of its
   callbacks.
   Returns: as mb_batch_complete; MB_ERR_INVALID_ARGUMENT if results is NULL: then the batch stays as it is.
     If the status is not MB_OK, no set was taken.
   Ownership: takes a kept or pulled batch, whatever else is returned; free the set with mb_results_free.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_complete_next(mb_batch *batch, mb_results **results);

/* Gives up a kept or pulled batch without completing it: its values fail with MB_ERR_NO_RESULT. NULL is fine.
   Inside the handler of a batch that is not kept it keeps the batch and gives it up.

   Returns: MB_OK; MB_ERR_TOO_LATE if it was completed or freed before; MB_ERR_WRONG_MODE inside map;
     MB_ERR_INVALID_HANDLE.
   Ownership: takes the batch.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_free(mb_batch *batch);

/* Pins the memory of a batch, for a host whose views may be looked at after the batch has ended: pinned is
   another batch of the same rows, whose columns stay until it is freed. Nothing can be set or completed
   through it. What the values carry, objects too, is given back only then.

   Returns: MB_OK; MB_ERR_WRONG_MODE inside map, where the memory is the caller's, and for a batch that is
     pinned itself; MB_ERR_INVALID_ARGUMENT if pinned is NULL; MB_ERR_NO_MEMORY; MB_ERR_INVALID_HANDLE;
     MB_ERR_FORKED.
   Ownership: free pinned with mb_batch_free; it may outlive the batcher.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_pin(mb_batch *batch, mb_batch **pinned);

/* Takes a whole batch from a batcher without handlers, as soon as one is sealed or due and a slot is free.

   If pull_handlers says which handlers the host has, a batch that is for several of them comes in parts, each
   a batch of its rows alone: in order of kind code, then what is for the default. The next part comes when
   the one before is completed, freed or kept; all of them have one slot. What a part is for shows in its
   view: a kind with a handler of its own, or else the default.

   timeout: nanoseconds, or MB_FOREVER; manual mode never waits.
   Returns: MB_OK; MB_ERR_TIMEOUT if none came; MB_ERR_CLOSED if the batcher is closed and nothing waits;
     MB_ERR_WRONG_MODE if it has handlers; MB_ERR_REENTRANT in a callback of this batcher;
     MB_ERR_INVALID_ARGUMENT if batch is NULL or timeout negative; MB_ERR_NO_MEMORY; MB_ERR_INVALID_HANDLE;
     MB_ERR_FORKED.
   Ownership: complete or free the batch, once; it may outlive the batcher.
   Threads: any, not in callbacks.
   Blocks: up to timeout in threaded mode.
   Since: 0.1. */
mb_status mb_batcher_next_batch(mb_batcher *batcher, int64_t timeout, mb_batch **batch);

/* ========================================================================================================
   Setting results

   A handler gives each row of its batch a value or a failure. Setting a row again replaces what was set.
   Nothing is final before the handler returns or the batch is completed; if it then fails, everything that
   was set is gone. Results need not be of the kind of their values.

   Every function here returns one of these, besides what it says itself:

       MB_OK
       MB_ERR_TOO_LATE          the outcomes stand: by a time-out, a close, or completion
       MB_ERR_OUT_OF_RANGE      there is no such row
       MB_ERR_INVALID_ARGUMENT  something is NULL that must not be, or a bool is neither 0 nor 1
       MB_ERR_INVALID_UTF8      a string is not UTF-8
       MB_ERR_TOO_LARGE         the strings of one batch come to more than 4 GiB
       MB_ERR_WRONG_MODE        the batch is pinned: it is only to be read
       MB_ERR_NO_MEMORY         there is no memory for it
       MB_ERR_INVALID_HANDLE    there is no such batch

   ======================================================================================================== */

/* Makes a row's result null.

   Returns: see above.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_set_null(mb_batch *batch, size_t row);

/* Makes a row's result a bool: 0 or 1.

   Returns: see above.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_set_bool(mb_batch *batch, size_t row, int32_t value);

/* Makes a row's result an integer.

   Returns: see above.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_set_int64(mb_batch *batch, size_t row, int64_t value);

/* Makes a row's result a floating-point number.

   Returns: see above.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_set_float64(mb_batch *batch, size_t row, double value);

/* Makes a row's result a string, copied.

   Returns: see above.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_set_string(mb_batch *batch, size_t row, const char *data, size_t length);

/* Makes a row's result bytes, copied.

   Returns: see above.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_set_bytes(mb_batch *batch, size_t row, const void *data, size_t length);

/* Makes a row's result an object.

   Returns: see above; MB_ERR_WRONG_OWNER if owner is not the batcher's.
   Ownership: hands over a reference, which object_release gives back after delivery, or once the result is
     replaced or its part fails. If this fails the reference stays yours, except with MB_ERR_TOO_LATE: then it
     is given back, if it is of the batcher's owner and the batcher is still there.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_set_object(mb_batch *batch, size_t row, uint32_t owner, uint64_t word, uint64_t size);

/* Makes a row's result any value.

   Returns: see above; MB_ERR_WRONG_OWNER for an object of another owner.
   Ownership: strings and bytes are copied; of an object it hands over a reference.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_set_value(mb_batch *batch, size_t row, const mb_value *value);

/* Sets all rows to integers.

   validity: as in bulk pushes. count: must be the batch's.
   Returns: see above; MB_ERR_RESULT_COUNT if count is another number: the part then fails with this code and
     a message with both lengths, and the handler may return MB_OK.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_set_int64s(mb_batch *batch, const int64_t *values, const uint8_t *validity, size_t count);

/* Sets all rows to floating-point numbers.

   Returns: as mb_batch_set_int64s.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_set_float64s(mb_batch *batch, const double *values, const uint8_t *validity, size_t count);

/* Sets all rows to strings in Arrow's shape, as in mb_batcher_push_strings.

   Returns: as mb_batch_set_int64s; rows before a bad one are set.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_set_strings(
    mb_batch *batch, const void *data, const int32_t *offsets, const uint8_t *validity, size_t count);

/* Sets all rows to values of any kinds.

   Returns: as mb_batch_set_int64s; rows before a bad one are set.
   Ownership: as mb_batch_set_value.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_set_values(mb_batch *batch, const mb_value *values, size_t count);

/* Fails one row.

   code: a positive number of yours, or a status of the library's; any other negative number becomes
   MB_ERR_HANDLER_FAILED. type_name: what kind of failure, for example the name of an exception, ended by a
   NUL; may be NULL. message: length bytes of UTF-8; may be NULL if length is 0.
   Returns: see above; MB_ERR_INVALID_ARGUMENT also if code is 0.
   Ownership: the texts are copied.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_fail(
    mb_batch *batch, size_t row, mb_status code, const char *type_name, const char *message, size_t length);

/* Fails the whole part when it completes, whatever else is set. Return MB_OK afterwards: another status from
   the handler would take its place.

   Parameters and ownership as mb_batch_fail.
   Returns: see above; MB_ERR_INVALID_ARGUMENT also if code is 0.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batch_fail_all(
    mb_batch *batch, mb_status code, const char *type_name, const char *message, size_t length);

/* ========================================================================================================
   Results

   Results come a batch at a time: on_result borrows them for its call; with results = pull,
   mb_batcher_next_results hands them out. Every accepted value appears in exactly one set, with its tag, its
   outcome, and whether a handler saw it: a value that none saw can be pushed again without doing anything
   twice.

   A set is columns too: when all rows are OK and of one kind, values is a plain array.

   ======================================================================================================== */

#define MB_OUTCOME_OK        0 /* The handler answered with a value. */
#define MB_OUTCOME_FAILED    1 /* The handler failed it, with a code and a message. */
#define MB_OUTCOME_EXPIRED   2 /* Its deadline or the handler's time-out passed. */
#define MB_OUTCOME_CANCELLED 3 /* It was cancelled while it waited. */
#define MB_OUTCOME_DISCARDED 4 /* It was given up, for room or at the end of close. */

#define MB_HANDLED_NO        0 /* No handler saw the value. */
#define MB_HANDLED_MAYBE     1 /* A handler had it and did not answer. */
#define MB_HANDLED_YES       2 /* A handler had it and answered. */

/* The columns of a set of results. Set struct_size before the call that fills it. */
typedef struct mb_results_view {
    size_t struct_size;             /* sizeof(mb_results_view). */
    size_t count;                   /* Rows. */
    uint32_t kind;                  /* MB_KIND_* of all rows if all are OK and of one kind, or
                                       MB_KIND_MIXED. */
    uint32_t all_ok;                /* 1 if every row is OK, or 0. */
    const uint64_t *tags;           /* The tag of each row. */
    const uint8_t *outcomes;        /* MB_OUTCOME_* of each row; NULL if all are OK. */
    const uint8_t *handled;         /* MB_HANDLED_* of each row; NULL if all are MB_HANDLED_YES. */
    const uint8_t *kinds;           /* The kind of each row's result; MB_KIND_NONE for rows that are not
                                       OK. */
    const void *values;             /* The cell of each row that is OK: int64_t, double, 0 or 1, or an
                                       object's word; of strings and bytes it says nothing. Of a row that
                                       is not OK: its status, as an int64_t. */
    uint64_t batch;                 /* The number of the batch; 0 if it was never dispatched. */
    uint64_t turn;                  /* 1, 2, 3, ... in the order in which sets were pulled, so that several
                                       threads can deliver in that order; 0 of a set that was not pulled. */
} mb_results_view;

/* Why a row is not OK. Set struct_size before the call that fills it. */
typedef struct mb_row_error {
    size_t struct_size;             /* sizeof(mb_row_error). */
    mb_status code;                 /* A status of the library's, or a positive number of the handler's. */
    uint32_t handled;               /* MB_HANDLED_*. */
    const char *type_name;          /* What kind of failure, ended by a NUL; "" if the handler gave none. */
    const char *message;            /* What happened; ended by a NUL. */
    size_t length;                  /* The length of message, without the NUL. */
} mb_row_error;

/* The name of an outcome, for example "ok"; "unknown" for a number that this version does not list. Never
   NULL.

   Ownership: the text is static.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
const char *mb_outcome_name(uint32_t outcome);

/* The name of a state of handled, for example "maybe"; "unknown" for a number that this version does not
   list. Never NULL.

   Ownership: the text is static.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
const char *mb_handled_name(uint32_t handled);

/* Fills a view of a set of results. Nothing is copied but the view itself.

   Returns: MB_OK; MB_ERR_INVALID_ARGUMENT if view is NULL or its struct_size is not set;
     MB_ERR_INVALID_HANDLE.
   Ownership: the columns are the set's.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_results_get_view(const mb_results *results, mb_results_view *view);

/* Reads the result of one row.

   Returns: MB_OK; if the row is not OK, its code, negative or positive; MB_ERR_OUT_OF_RANGE if there is no
     such row; MB_ERR_INVALID_ARGUMENT if value is NULL; MB_ERR_INVALID_HANDLE.
   Ownership: strings, bytes and objects are the set's.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_results_value(const mb_results *results, size_t row, mb_value *value);

/* The strings of all rows as an Arrow-shaped column: row i is bytes[offsets[i]] to bytes[offsets[i + 1]],
   empty for rows that have none. Bytes are in it too. It is made at the first call.

   Returns: MB_OK; MB_ERR_INVALID_ARGUMENT if column is NULL or its struct_size is not set; MB_ERR_NO_MEMORY,
     also if the column would pass 2 GiB; MB_ERR_INVALID_HANDLE.
   Ownership: the column is the set's.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_results_strings(const mb_results *results, mb_column *column);

/* Why a row is not OK.

   Returns: MB_OK; MB_ERR_NOT_FOUND if the row is OK; MB_ERR_OUT_OF_RANGE if there is no such row;
     MB_ERR_INVALID_ARGUMENT if error is NULL or its struct_size is not set; MB_ERR_NO_MEMORY;
     MB_ERR_INVALID_HANDLE.
   Ownership: the texts are the set's.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_results_error(const mb_results *results, size_t row, mb_row_error *error);

/* Gives a pulled set back. NULL is fine.

   Returns: MB_OK; MB_ERR_WRONG_MODE for the set that on_result borrows; MB_ERR_INVALID_HANDLE.
   Ownership: takes the set, and with it everything read from it.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
mb_status mb_results_free(mb_results *results);

/* Takes the next set of results from a batcher with results = pull.

   timeout: nanoseconds, or MB_FOREVER; manual mode never waits.
   Returns: MB_OK; MB_ERR_TIMEOUT if none came; MB_ERR_CLOSED if the batcher is closed and all results were
     taken; MB_ERR_WRONG_MODE unless results = pull; MB_ERR_REENTRANT in a callback of this batcher;
     MB_ERR_INVALID_ARGUMENT if results is NULL or timeout negative; MB_ERR_NO_MEMORY; MB_ERR_INVALID_HANDLE;
     MB_ERR_FORKED.
   Ownership: free the set with mb_results_free; it may outlive the batcher.
   Threads: any, not in callbacks.
   Blocks: up to timeout in threaded mode.
   Since: 0.1. */
mb_status mb_batcher_next_results(mb_batcher *batcher, int64_t timeout, mb_results **results);

/* ========================================================================================================
   Known data

   Map handles an array in one call, on the calling thread, without a batcher. The handler gets one batch
   after another, read from the caller's array in place; tags are 0 to count - 1. All results come back in one
   set, in order.

   MB_OK says that every value has an outcome, also if some failed. Handlers here can't keep their batch.

   ======================================================================================================== */

/* How to divide the array. NULL or zeros: batches of the default max_batch_size, 256. */
typedef struct mb_map_options {
    size_t struct_size;             /* sizeof(mb_map_options). */
    uint64_t max_batch_size;        /* Values in each batch but the last; or 0. */
    uint64_t batches;               /* How many batches; the first count % batches of them get one value
                                       more than the others. Or 0. */
    uint32_t owner;                 /* The owner of objects among the values. */
    uint32_t reserved;              /* 0. */
} mb_map_options;

/* Maps integers.

   values, validity, count: as in bulk pushes. options, error: may be NULL.
   Returns: MB_OK; MB_ERR_INVALID_OPTION if both max_batch_size and batches are given; MB_ERR_INVALID_ARGUMENT
     if handler, results or, with a count, values is NULL; MB_ERR_INVALID_UTF8; MB_ERR_TOO_LARGE;
     MB_ERR_UNSUPPORTED if options has fields this library does not know; MB_ERR_NO_MEMORY.
   Ownership: free the results; everything else is borrowed for the call.
   Threads: any, also in callbacks.
   Blocks: for what the handler does.
   Calls back.
   Since: 0.1. */
mb_status mb_map_int64s(
    const int64_t *values, const uint8_t *validity, size_t count, const mb_map_options *options,
    mb_handler_fn handler, void *user_data, mb_results **results, mb_error **error);

/* Maps floating-point numbers.

   Parameters, returns, ownership, threads and blocking as mb_map_int64s.
   Since: 0.1. */
mb_status mb_map_float64s(
    const double *values, const uint8_t *validity, size_t count, const mb_map_options *options,
    mb_handler_fn handler, void *user_data, mb_results **results, mb_error **error);

/* Maps strings in Arrow's shape, as in mb_batcher_push_strings.

   Parameters, returns, ownership, threads and blocking as mb_map_int64s.
   Since: 0.1. */
mb_status mb_map_strings(
    const void *data, const int32_t *offsets, const uint8_t *validity, size_t count,
    const mb_map_options *options, mb_handler_fn handler, void *user_data, mb_results **results,
    mb_error **error);

/* Maps values of any kinds.

   Parameters, returns, ownership, threads and blocking as mb_map_int64s; objects must be of the owner in
   options, and stay the caller's.
   Since: 0.1. */
mb_status mb_map_values(
    const mb_value *values, size_t count, const mb_map_options *options, mb_handler_fn handler,
    void *user_data, mb_results **results, mb_error **error);

/* ========================================================================================================
   Stats

   One consistent snapshot of what a batcher has done and holds. In every snapshot accepted = ok + failed +
   expired + cancelled + discarded + outstanding.

   ======================================================================================================== */

/* How often each magnitude was seen. Bucket 0 counts 0 and 1, bucket i counts 2^i to 2^(i+1) - 1. */
typedef struct mb_histogram {
    uint64_t count;                 /* How many values were recorded. */
    uint64_t sum;                   /* Their sum. */
    uint64_t max;                   /* The largest of them, 0 without any. */
    uint64_t buckets[64];           /* How many values each bucket counted. */
} mb_histogram;

/* A snapshot. Set struct_size before the call that fills it. */
typedef struct mb_stats {
    size_t struct_size;             /* sizeof(mb_stats). */
    uint64_t accepted;              /* Values taken by a push. */
    uint64_t ok;                    /* Values answered by a handler. */
    uint64_t failed;                /* Values failed by a handler, or left without a result. */
    uint64_t expired;               /* Values ended by their deadline or by handler_timeout. */
    uint64_t cancelled;             /* Values cancelled while they waited. */
    uint64_t discarded;             /* Values given up for room or at the end of close. */
    uint64_t outstanding;           /* Values accepted and without an outcome yet, waiting or in flight. */
    uint64_t undelivered;           /* Values with an outcome that is not delivered yet. */
    uint64_t triggers[8];           /* Batches sealed, by MB_TRIGGER_*. */
    uint64_t refusals[24];          /* Pushes refused, by their status times -1. */
    uint64_t batches;               /* Batches dispatched. */
    uint64_t late;                  /* Completions that came after their batch had ended. */
    uint64_t stuck;                 /* Threads inside a handler whose batch has timed out. */
    uint64_t waiting;               /* Values in the queue. */
    uint64_t waiting_bytes;         /* What they weigh. */
    uint64_t in_flight;             /* Batches dispatched and not finished. */
    uint64_t delivering;            /* Values in the result set that is being delivered. */
    uint64_t bytes_in_use;          /* Memory held for batches and results, idle pools included. */
    int64_t oldest_in_flight_age;   /* Nanoseconds since the oldest batch in flight was dispatched; 0
                                       without one. */
    mb_histogram batch_size;        /* Values in each dispatched batch. */
    mb_histogram queue_time;        /* Nanoseconds from the acceptance of each batch's oldest value to its
                                       dispatch. */
    mb_histogram handler_time;      /* Nanoseconds from each batch's dispatch until its last part was
                                       finished. */
    mb_histogram delivery_time;     /* Nanoseconds from the moment each result set was ready until it was
                                       delivered. */
} mb_stats;

/* Takes a snapshot.

   Returns: MB_OK; MB_ERR_INVALID_ARGUMENT if stats is NULL or its struct_size is not set;
     MB_ERR_INVALID_HANDLE; MB_ERR_FORKED.
   Threads: any, also in callbacks.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batcher_stats(mb_batcher *batcher, mb_stats *stats);

/* Writes a snapshot as text for Prometheus.

   needed: how many bytes the text and its NUL take; may be NULL. If that is more than capacity the text was
   cut: make room and call again. buffer may be NULL if capacity is 0.
   Returns: MB_OK, also if the text was cut; MB_ERR_INVALID_ARGUMENT if buffer is NULL with a capacity;
     MB_ERR_INVALID_HANDLE; MB_ERR_FORKED.
   Ownership: a text that was cut ends with a NUL too.
   Threads: any, also in callbacks.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batcher_stats_text(mb_batcher *batcher, char *buffer, size_t capacity, size_t *needed);

/* ========================================================================================================
   The function table

   Several copies of this library may live in one process: one inside each plug-in or language binding. A
   handle is good only in the copy that made it. So a batcher travels between copies as an mb_shared: its
   handle together with the functions of its copy. Every callback gets that table too.

       mb_shared shared;
       shared.struct_size = sizeof shared;
       mb_batcher_share(batcher, &shared);
       ... hand it to the other side, which pushes:
       shared.api->mb_batcher_push_int64(shared.batcher, 42, 0);

   A newer library has a longer table: look at struct_size before a function that your header's first version
   did not have.

   ======================================================================================================== */

/* A batcher together with the functions of the copy of the library that it lives in. */
typedef struct mb_shared {
    size_t struct_size;             /* sizeof(mb_shared). */
    const mb_api *api;              /* The functions. */
    mb_batcher *batcher;            /* The batcher. */
} mb_shared;

/* The function table of this copy of the library. Never NULL.

   Ownership: the table is static.
   Threads: any.
   Blocks: never.
   Since: 0.1. */
const mb_api *mb_api_table(void);

/* Makes a batcher ready to travel to another copy of the library.

   Returns: MB_OK; MB_ERR_INVALID_ARGUMENT if shared is NULL or its struct_size is not set;
     MB_ERR_INVALID_HANDLE; MB_ERR_FORKED.
   Ownership: the batcher stays whose it is: the other side must be done with it before it is freed.
   Threads: any, also in callbacks.
   Blocks: never.
   Since: 0.1. */
mb_status mb_batcher_share(mb_batcher *batcher, mb_shared *shared);

/* The functions of one copy of the library, in the order of this header. Later versions add theirs at the
   end. */
struct mb_api {
    size_t struct_size;             /* The size of this table in bytes. */
    uint32_t abi_version;           /* MB_ABI_VERSION of the library. */
    uint32_t reserved;              /* 0. */
    mb_status (*mb_status_table)(const mb_status_info **table, size_t *count);
    const char *(*mb_status_name)(mb_status status);
    const char *(*mb_status_text)(mb_status status);
    uint32_t (*mb_version_number)(void);
    const char *(*mb_version_string)(void);
    uint32_t (*mb_abi_version)(void);
    mb_status (*mb_abi_check)(uint32_t header_abi_version);
    mb_status (*mb_error_code)(const mb_error *error);
    const char *(*mb_error_message)(const mb_error *error);
    const char *(*mb_error_subject)(const mb_error *error);
    void (*mb_error_free)(mb_error *error);
    const char *(*mb_kind_name)(uint32_t kind);
    mb_status (*mb_owner_new)(uint32_t *owner);
    mb_status (*mb_options_init)(mb_options *options, size_t struct_size);
    mb_status (*mb_options_set)(mb_options *options, const char *name, const char *value, mb_error **error);
    mb_status (*mb_option_table)(const mb_option_info **table, size_t *count);
    mb_status (*mb_duration_parse)(const char *text, int64_t *ns, mb_error **error);
    mb_status (*mb_batcher_new)(const mb_options *options, mb_batcher **batcher, mb_error **error);
    mb_status (*mb_batcher_seal)(mb_batcher *batcher);
    mb_status (*mb_batcher_flush)(mb_batcher *batcher, int64_t timeout);
    mb_status (*mb_batcher_flush_begin)(mb_batcher *batcher, uint64_t *mark);
    mb_status (*mb_batcher_flush_end)(mb_batcher *batcher, uint64_t mark, int64_t timeout);
    mb_status (*mb_batcher_flush_reached)(mb_batcher *batcher, uint64_t mark);
    mb_status (*mb_batcher_close)(mb_batcher *batcher, int64_t timeout, uint64_t *left);
    mb_status (*mb_batcher_free)(mb_batcher *batcher);
    mb_status (*mb_batcher_abandon)(mb_batcher *batcher);
    mb_status (*mb_batcher_push_null)(mb_batcher *batcher, uint64_t tag);
    mb_status (*mb_batcher_push_bool)(mb_batcher *batcher, int32_t value, uint64_t tag);
    mb_status (*mb_batcher_push_int64)(mb_batcher *batcher, int64_t value, uint64_t tag);
    mb_status (*mb_batcher_push_float64)(mb_batcher *batcher, double value, uint64_t tag);
    mb_status (*mb_batcher_push_string)(mb_batcher *batcher, const char *data, size_t length, uint64_t tag);
    mb_status (*mb_batcher_push_bytes)(mb_batcher *batcher, const void *data, size_t length, uint64_t tag);
    mb_status (*mb_batcher_push_object)(
        mb_batcher *batcher, uint32_t owner, uint64_t word, uint64_t size, uint64_t tag);
    mb_status (*mb_batcher_push_value)(
        mb_batcher *batcher, const mb_value *value, uint64_t tag, const mb_push_options *options);
    mb_status (*mb_batcher_check)(mb_batcher *batcher, const mb_value *value, mb_error **error);
    mb_status (*mb_batcher_cancel)(mb_batcher *batcher, uint64_t tag, uint64_t *count);
    mb_status (*mb_batcher_room)(mb_batcher *batcher, int64_t timeout);
    mb_status (*mb_batcher_push_int64s)(
        mb_batcher *batcher, const int64_t *values, const uint8_t *validity, size_t count,
        const uint64_t *tags, uint64_t first_tag, const mb_push_options *options, size_t *accepted);
    mb_status (*mb_batcher_push_float64s)(
        mb_batcher *batcher, const double *values, const uint8_t *validity, size_t count,
        const uint64_t *tags, uint64_t first_tag, const mb_push_options *options, size_t *accepted);
    mb_status (*mb_batcher_push_strings)(
        mb_batcher *batcher, const void *data, const int32_t *offsets, const uint8_t *validity, size_t count,
        const uint64_t *tags, uint64_t first_tag, const mb_push_options *options, size_t *accepted);
    mb_status (*mb_batcher_push_large_strings)(
        mb_batcher *batcher, const void *data, const int64_t *offsets, const uint8_t *validity, size_t count,
        const uint64_t *tags, uint64_t first_tag, const mb_push_options *options, size_t *accepted);
    mb_status (*mb_batcher_push_values)(
        mb_batcher *batcher, const mb_value *values, size_t count, const uint64_t *tags, uint64_t first_tag,
        const mb_push_options *options, size_t *accepted);
    mb_status (*mb_producer_new)(mb_batcher *batcher, mb_producer **producer);
    mb_status (*mb_producer_free)(mb_producer *producer);
    mb_status (*mb_producer_push_null)(mb_producer *producer, uint64_t tag);
    mb_status (*mb_producer_push_bool)(mb_producer *producer, int32_t value, uint64_t tag);
    mb_status (*mb_producer_push_int64)(mb_producer *producer, int64_t value, uint64_t tag);
    mb_status (*mb_producer_push_float64)(mb_producer *producer, double value, uint64_t tag);
    mb_status (*mb_producer_push_string)(
        mb_producer *producer, const char *data, size_t length, uint64_t tag);
    mb_status (*mb_producer_push_bytes)(mb_producer *producer, const void *data, size_t length, uint64_t tag);
    mb_status (*mb_producer_push_object)(
        mb_producer *producer, uint32_t owner, uint64_t word, uint64_t size, uint64_t tag);
    mb_status (*mb_producer_push_value)(
        mb_producer *producer, const mb_value *value, uint64_t tag, const mb_push_options *options);
    mb_status (*mb_batcher_run)(mb_batcher *batcher);
    mb_status (*mb_batcher_advance)(mb_batcher *batcher, int64_t now);
    mb_status (*mb_batcher_next_due)(mb_batcher *batcher, int64_t *due);
    mb_status (*mb_batcher_now)(mb_batcher *batcher, int64_t *now);
    mb_status (*mb_batcher_fd)(mb_batcher *batcher, int32_t *fd);
    const char *(*mb_trigger_name)(uint32_t trigger);
    mb_status (*mb_batch_get_view)(mb_batch *batch, mb_batch_view *view);
    mb_status (*mb_batch_value)(mb_batch *batch, size_t row, mb_value *value);
    mb_status (*mb_batch_gather)(mb_batch *batch, uint32_t kind, mb_column *column);
    mb_status (*mb_batch_keep)(mb_batch *batch);
    mb_status (*mb_batch_complete)(mb_batch *batch);
    mb_status (*mb_batch_complete_ok)(mb_batch *batch);
    mb_status (*mb_batch_complete_next)(mb_batch *batch, mb_results **results);
    mb_status (*mb_batch_free)(mb_batch *batch);
    mb_status (*mb_batch_pin)(mb_batch *batch, mb_batch **pinned);
    mb_status (*mb_batcher_next_batch)(mb_batcher *batcher, int64_t timeout, mb_batch **batch);
    mb_status (*mb_batch_set_null)(mb_batch *batch, size_t row);
    mb_status (*mb_batch_set_bool)(mb_batch *batch, size_t row, int32_t value);
    mb_status (*mb_batch_set_int64)(mb_batch *batch, size_t row, int64_t value);
    mb_status (*mb_batch_set_float64)(mb_batch *batch, size_t row, double value);
    mb_status (*mb_batch_set_string)(mb_batch *batch, size_t row, const char *data, size_t length);
    mb_status (*mb_batch_set_bytes)(mb_batch *batch, size_t row, const void *data, size_t length);
    mb_status (*mb_batch_set_object)(
        mb_batch *batch, size_t row, uint32_t owner, uint64_t word, uint64_t size);
    mb_status (*mb_batch_set_value)(mb_batch *batch, size_t row, const mb_value *value);
    mb_status (*mb_batch_set_int64s)(
        mb_batch *batch, const int64_t *values, const uint8_t *validity, size_t count);
    mb_status (*mb_batch_set_float64s)(
        mb_batch *batch, const double *values, const uint8_t *validity, size_t count);
    mb_status (*mb_batch_set_strings)(
        mb_batch *batch, const void *data, const int32_t *offsets, const uint8_t *validity, size_t count);
    mb_status (*mb_batch_set_values)(mb_batch *batch, const mb_value *values, size_t count);
    mb_status (*mb_batch_fail)(
        mb_batch *batch, size_t row, mb_status code, const char *type_name, const char *message,
        size_t length);
    mb_status (*mb_batch_fail_all)(
        mb_batch *batch, mb_status code, const char *type_name, const char *message, size_t length);
    const char *(*mb_outcome_name)(uint32_t outcome);
    const char *(*mb_handled_name)(uint32_t handled);
    mb_status (*mb_results_get_view)(const mb_results *results, mb_results_view *view);
    mb_status (*mb_results_value)(const mb_results *results, size_t row, mb_value *value);
    mb_status (*mb_results_strings)(const mb_results *results, mb_column *column);
    mb_status (*mb_results_error)(const mb_results *results, size_t row, mb_row_error *error);
    mb_status (*mb_results_free)(mb_results *results);
    mb_status (*mb_batcher_next_results)(mb_batcher *batcher, int64_t timeout, mb_results **results);
    mb_status (*mb_map_int64s)(
        const int64_t *values, const uint8_t *validity, size_t count, const mb_map_options *options,
        mb_handler_fn handler, void *user_data, mb_results **results, mb_error **error);
    mb_status (*mb_map_float64s)(
        const double *values, const uint8_t *validity, size_t count, const mb_map_options *options,
        mb_handler_fn handler, void *user_data, mb_results **results, mb_error **error);
    mb_status (*mb_map_strings)(
        const void *data, const int32_t *offsets, const uint8_t *validity, size_t count,
        const mb_map_options *options, mb_handler_fn handler, void *user_data, mb_results **results,
        mb_error **error);
    mb_status (*mb_map_values)(
        const mb_value *values, size_t count, const mb_map_options *options, mb_handler_fn handler,
        void *user_data, mb_results **results, mb_error **error);
    mb_status (*mb_batcher_stats)(mb_batcher *batcher, mb_stats *stats);
    mb_status (*mb_batcher_stats_text)(mb_batcher *batcher, char *buffer, size_t capacity, size_t *needed);
    const mb_api *(*mb_api_table)(void);
    mb_status (*mb_batcher_share)(mb_batcher *batcher, mb_shared *shared);
};

#ifdef __cplusplus
}
#endif

#endif
