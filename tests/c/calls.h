/* Every function of the header that takes a handle, as one table: whoever adds a function adds it here. */

#ifndef CALLS_H
#define CALLS_H

#include "kit.h"

enum handle { BATCHER, PRODUCER, BATCH, RESULTS, HANDLES };

/* A call with good arguments but for the handle. */
typedef struct call {
    const char *name;
    enum handle takes;
    mb_status (*make)(void *handle);
    /* It ends its handle, so NULL is fine for it, and it comes last when calls are made in turn. */
    int ends;
} call;

/* Outputs of the calls: looked at by tests that want them untouched. */
static struct outputs {
    uint64_t mark;
    int64_t time;
    int32_t fd;
    mb_error *error;
    mb_producer *producer;
    mb_batch *batch;
    mb_results *results;
    mb_value value;
    size_t needed;
    char text[64];
    mb_batch_view batch_view;
    mb_results_view results_view;
    mb_column column;
    mb_row_error row_error;
    mb_stats stats;
    mb_shared shared;
} outputs;

/* Counts, which are written on failure too. */
static uint64_t call_left;
static uint64_t call_cancelled;
static size_t call_accepted;

static int64_t call_int64s[2] = { 1, 2 };
static double call_float64s[2] = { 1.0, 2.0 };
static int32_t call_offsets[3] = { 0, 1, 2 };
static int64_t call_large_offsets[3] = { 0, 1, 2 };
static mb_value call_values[2];

/* Fills the outputs with a pattern, and the struct sizes that calls need. */
static inline void outputs_reset(void)
{
    memset(&outputs, 0x5a, sizeof outputs);
    outputs.batch_view.struct_size = sizeof outputs.batch_view;
    outputs.results_view.struct_size = sizeof outputs.results_view;
    outputs.column.struct_size = sizeof outputs.column;
    outputs.row_error.struct_size = sizeof outputs.row_error;
    outputs.stats.struct_size = sizeof outputs.stats;
    outputs.shared.struct_size = sizeof outputs.shared;
    call_left = call_cancelled = 77;
    call_accepted = 77;
}

/* No output was written since the reset. */
static inline void outputs_untouched(const char *name)
{
    static struct outputs is;
    memcpy(&is, &outputs, sizeof is);
    outputs_reset();
    if (memcmp(&is, &outputs, sizeof is) != 0) {
        FAIL("%s failed and wrote an output", name);
    }
}

#define BATCHER_CALL(name, expression) \
    static mb_status name(void *handle) { mb_batcher *batcher = handle; return expression; }
#define PRODUCER_CALL(name, expression) \
    static mb_status name(void *handle) { mb_producer *producer = handle; return expression; }
#define BATCH_CALL(name, expression) \
    static mb_status name(void *handle) { mb_batch *batch = handle; return expression; }
#define RESULTS_CALL(name, expression) \
    static mb_status name(void *handle) { mb_results *results = handle; return expression; }

BATCHER_CALL(call_seal, mb_batcher_seal(batcher))
BATCHER_CALL(call_flush, mb_batcher_flush(batcher, 0))
BATCHER_CALL(call_flush_begin, mb_batcher_flush_begin(batcher, &outputs.mark))
BATCHER_CALL(call_flush_end, mb_batcher_flush_end(batcher, 0, 0))
BATCHER_CALL(call_flush_reached, mb_batcher_flush_reached(batcher, 0))
BATCHER_CALL(call_close, mb_batcher_close(batcher, 0, &call_left))
BATCHER_CALL(call_free, mb_batcher_free(batcher))
BATCHER_CALL(call_abandon, mb_batcher_abandon(batcher))
BATCHER_CALL(call_push_null, mb_batcher_push_null(batcher, 0))
BATCHER_CALL(call_push_bool, mb_batcher_push_bool(batcher, 1, 0))
BATCHER_CALL(call_push_int64, mb_batcher_push_int64(batcher, 1, 0))
BATCHER_CALL(call_push_float64, mb_batcher_push_float64(batcher, 1.0, 0))
BATCHER_CALL(call_push_string, mb_batcher_push_string(batcher, "a", 1, 0))
BATCHER_CALL(call_push_bytes, mb_batcher_push_bytes(batcher, "a", 1, 0))
BATCHER_CALL(call_push_object, mb_batcher_push_object(batcher, 1, 1, 0, 0))
BATCHER_CALL(call_push_value, mb_batcher_push_value(batcher, call_values, 0, NULL))
BATCHER_CALL(call_check, mb_batcher_check(batcher, call_values, NULL))
BATCHER_CALL(call_cancel, mb_batcher_cancel(batcher, 99, &call_cancelled))
BATCHER_CALL(call_room, mb_batcher_room(batcher, 0))
BATCHER_CALL(call_push_int64s,
             mb_batcher_push_int64s(batcher, call_int64s, NULL, 2, NULL, 0, NULL, &call_accepted))
BATCHER_CALL(call_push_float64s,
             mb_batcher_push_float64s(batcher, call_float64s, NULL, 2, NULL, 0, NULL, &call_accepted))
BATCHER_CALL(call_push_strings,
             mb_batcher_push_strings(batcher, "ab", call_offsets, NULL, 2, NULL, 0, NULL, &call_accepted))
BATCHER_CALL(call_push_large_strings,
             mb_batcher_push_large_strings(batcher, "ab", call_large_offsets, NULL, 2, NULL, 0, NULL,
                                           &call_accepted))
BATCHER_CALL(call_push_values, mb_batcher_push_values(batcher, call_values, 2, NULL, 0, NULL, &call_accepted))
BATCHER_CALL(call_producer_new, mb_producer_new(batcher, &outputs.producer))
BATCHER_CALL(call_run, mb_batcher_run(batcher))
BATCHER_CALL(call_advance, mb_batcher_advance(batcher, 1))
BATCHER_CALL(call_next_due, mb_batcher_next_due(batcher, &outputs.time))
BATCHER_CALL(call_now, mb_batcher_now(batcher, &outputs.time))
BATCHER_CALL(call_fd, mb_batcher_fd(batcher, &outputs.fd))
BATCHER_CALL(call_next_batch, mb_batcher_next_batch(batcher, 0, &outputs.batch))
BATCHER_CALL(call_next_results, mb_batcher_next_results(batcher, 0, &outputs.results))
BATCHER_CALL(call_stats, mb_batcher_stats(batcher, &outputs.stats))
BATCHER_CALL(call_stats_text, mb_batcher_stats_text(batcher, outputs.text, sizeof outputs.text, NULL))
BATCHER_CALL(call_share, mb_batcher_share(batcher, &outputs.shared))

PRODUCER_CALL(call_producer_push_null, mb_producer_push_null(producer, 0))
PRODUCER_CALL(call_producer_push_bool, mb_producer_push_bool(producer, 1, 0))
PRODUCER_CALL(call_producer_push_int64, mb_producer_push_int64(producer, 1, 0))
PRODUCER_CALL(call_producer_push_float64, mb_producer_push_float64(producer, 1.0, 0))
PRODUCER_CALL(call_producer_push_string, mb_producer_push_string(producer, "a", 1, 0))
PRODUCER_CALL(call_producer_push_bytes, mb_producer_push_bytes(producer, "a", 1, 0))
PRODUCER_CALL(call_producer_push_object, mb_producer_push_object(producer, 1, 1, 0, 0))
PRODUCER_CALL(call_producer_push_value, mb_producer_push_value(producer, call_values, 0, NULL))
PRODUCER_CALL(call_producer_free, mb_producer_free(producer))

BATCH_CALL(call_batch_view, mb_batch_get_view(batch, &outputs.batch_view))
BATCH_CALL(call_batch_value, mb_batch_value(batch, 0, &outputs.value))
BATCH_CALL(call_batch_gather, mb_batch_gather(batch, MB_KIND_INT64, &outputs.column))
BATCH_CALL(call_batch_keep, mb_batch_keep(batch))
BATCH_CALL(call_batch_complete, mb_batch_complete(batch))
BATCH_CALL(call_batch_complete_ok, mb_batch_complete_ok(batch))
BATCH_CALL(call_batch_complete_next, mb_batch_complete_next(batch, &outputs.results))
BATCH_CALL(call_batch_free, mb_batch_free(batch))
BATCH_CALL(call_batch_pin, mb_batch_pin(batch, &outputs.batch))
BATCH_CALL(call_set_null, mb_batch_set_null(batch, 0))
BATCH_CALL(call_set_bool, mb_batch_set_bool(batch, 0, 1))
BATCH_CALL(call_set_int64, mb_batch_set_int64(batch, 0, 1))
BATCH_CALL(call_set_float64, mb_batch_set_float64(batch, 0, 1.0))
BATCH_CALL(call_set_string, mb_batch_set_string(batch, 0, "a", 1))
BATCH_CALL(call_set_bytes, mb_batch_set_bytes(batch, 0, "a", 1))
BATCH_CALL(call_set_object, mb_batch_set_object(batch, 0, 1, 1, 0))
BATCH_CALL(call_set_value, mb_batch_set_value(batch, 0, call_values))
BATCH_CALL(call_set_int64s, mb_batch_set_int64s(batch, call_int64s, NULL, 2))
BATCH_CALL(call_set_float64s, mb_batch_set_float64s(batch, call_float64s, NULL, 2))
BATCH_CALL(call_set_strings, mb_batch_set_strings(batch, "ab", call_offsets, NULL, 2))
BATCH_CALL(call_set_values, mb_batch_set_values(batch, call_values, 2))
BATCH_CALL(call_fail, mb_batch_fail(batch, 0, 1, "type", "message", 7))
BATCH_CALL(call_fail_all, mb_batch_fail_all(batch, 1, "type", "message", 7))

RESULTS_CALL(call_results_view, mb_results_get_view(results, &outputs.results_view))
RESULTS_CALL(call_results_value, mb_results_value(results, 0, &outputs.value))
RESULTS_CALL(call_results_strings, mb_results_strings(results, &outputs.column))
RESULTS_CALL(call_results_error, mb_results_error(results, 0, &outputs.row_error))
RESULTS_CALL(call_results_free, mb_results_free(results))

static const call CALLS[] = {
    { "mb_batcher_seal", BATCHER, call_seal, 0 },
    { "mb_batcher_flush", BATCHER, call_flush, 0 },
    { "mb_batcher_flush_begin", BATCHER, call_flush_begin, 0 },
    { "mb_batcher_flush_end", BATCHER, call_flush_end, 0 },
    { "mb_batcher_flush_reached", BATCHER, call_flush_reached, 0 },
    { "mb_batcher_close", BATCHER, call_close, 0 },
    { "mb_batcher_push_null", BATCHER, call_push_null, 0 },
    { "mb_batcher_push_bool", BATCHER, call_push_bool, 0 },
    { "mb_batcher_push_int64", BATCHER, call_push_int64, 0 },
    { "mb_batcher_push_float64", BATCHER, call_push_float64, 0 },
    { "mb_batcher_push_string", BATCHER, call_push_string, 0 },
    { "mb_batcher_push_bytes", BATCHER, call_push_bytes, 0 },
    { "mb_batcher_push_object", BATCHER, call_push_object, 0 },
    { "mb_batcher_push_value", BATCHER, call_push_value, 0 },
    { "mb_batcher_check", BATCHER, call_check, 0 },
    { "mb_batcher_cancel", BATCHER, call_cancel, 0 },
    { "mb_batcher_room", BATCHER, call_room, 0 },
    { "mb_batcher_push_int64s", BATCHER, call_push_int64s, 0 },
    { "mb_batcher_push_float64s", BATCHER, call_push_float64s, 0 },
    { "mb_batcher_push_strings", BATCHER, call_push_strings, 0 },
    { "mb_batcher_push_large_strings", BATCHER, call_push_large_strings, 0 },
    { "mb_batcher_push_values", BATCHER, call_push_values, 0 },
    { "mb_producer_new", BATCHER, call_producer_new, 0 },
    { "mb_batcher_run", BATCHER, call_run, 0 },
    { "mb_batcher_advance", BATCHER, call_advance, 0 },
    { "mb_batcher_next_due", BATCHER, call_next_due, 0 },
    { "mb_batcher_now", BATCHER, call_now, 0 },
    { "mb_batcher_fd", BATCHER, call_fd, 0 },
    { "mb_batcher_next_batch", BATCHER, call_next_batch, 0 },
    { "mb_batcher_next_results", BATCHER, call_next_results, 0 },
    { "mb_batcher_stats", BATCHER, call_stats, 0 },
    { "mb_batcher_stats_text", BATCHER, call_stats_text, 0 },
    { "mb_batcher_share", BATCHER, call_share, 0 },
    { "mb_batcher_free", BATCHER, call_free, 1 },
    { "mb_batcher_abandon", BATCHER, call_abandon, 1 },

    { "mb_producer_push_null", PRODUCER, call_producer_push_null, 0 },
    { "mb_producer_push_bool", PRODUCER, call_producer_push_bool, 0 },
    { "mb_producer_push_int64", PRODUCER, call_producer_push_int64, 0 },
    { "mb_producer_push_float64", PRODUCER, call_producer_push_float64, 0 },
    { "mb_producer_push_string", PRODUCER, call_producer_push_string, 0 },
    { "mb_producer_push_bytes", PRODUCER, call_producer_push_bytes, 0 },
    { "mb_producer_push_object", PRODUCER, call_producer_push_object, 0 },
    { "mb_producer_push_value", PRODUCER, call_producer_push_value, 0 },
    { "mb_producer_free", PRODUCER, call_producer_free, 1 },

    { "mb_batch_get_view", BATCH, call_batch_view, 0 },
    { "mb_batch_value", BATCH, call_batch_value, 0 },
    { "mb_batch_gather", BATCH, call_batch_gather, 0 },
    { "mb_batch_keep", BATCH, call_batch_keep, 0 },
    { "mb_batch_set_null", BATCH, call_set_null, 0 },
    { "mb_batch_set_bool", BATCH, call_set_bool, 0 },
    { "mb_batch_set_int64", BATCH, call_set_int64, 0 },
    { "mb_batch_set_float64", BATCH, call_set_float64, 0 },
    { "mb_batch_set_string", BATCH, call_set_string, 0 },
    { "mb_batch_set_bytes", BATCH, call_set_bytes, 0 },
    { "mb_batch_set_object", BATCH, call_set_object, 0 },
    { "mb_batch_set_value", BATCH, call_set_value, 0 },
    { "mb_batch_set_int64s", BATCH, call_set_int64s, 0 },
    { "mb_batch_set_float64s", BATCH, call_set_float64s, 0 },
    { "mb_batch_set_strings", BATCH, call_set_strings, 0 },
    { "mb_batch_set_values", BATCH, call_set_values, 0 },
    { "mb_batch_fail", BATCH, call_fail, 0 },
    { "mb_batch_fail_all", BATCH, call_fail_all, 0 },
    { "mb_batch_complete", BATCH, call_batch_complete, 2 },
    { "mb_batch_complete_ok", BATCH, call_batch_complete_ok, 2 },
    { "mb_batch_complete_next", BATCH, call_batch_complete_next, 2 },
    { "mb_batch_free", BATCH, call_batch_free, 1 },
    { "mb_batch_pin", BATCH, call_batch_pin, 0 },

    { "mb_results_get_view", RESULTS, call_results_view, 0 },
    { "mb_results_value", RESULTS, call_results_value, 0 },
    { "mb_results_strings", RESULTS, call_results_strings, 0 },
    { "mb_results_error", RESULTS, call_results_error, 0 },
    { "mb_results_free", RESULTS, call_results_free, 1 },
};

#define CALL_COUNT (sizeof CALLS / sizeof CALLS[0])

static inline void check_call(const call *made, void *handle, mb_status expected, const char *what)
{
    mb_status status = made->make(handle);
    if (status != expected) {
        FAIL("%s of %s (%p) answers %s, not %s", made->name, what, handle, mb_status_name(status),
             mb_status_name(expected));
    }
}

/* Makes every call that takes this type of handle, those that end it too. */
static inline void check_calls(enum handle takes, void *handle, mb_status expected, const char *what)
{
    size_t at;
    for (at = 0; at < CALL_COUNT; at++) {
        if (CALLS[at].takes == takes) {
            outputs_reset();
            check_call(&CALLS[at], handle, expected, what);
            outputs_untouched(CALLS[at].name);
        }
    }
}

static inline void calls_ready(void)
{
    call_values[0] = int64_value(1);
    call_values[1] = int64_value(2);
}

#endif
