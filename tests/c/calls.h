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

/* Of a batcher whose host pulls everything: a batch of two values, and the results of another. */
static inline void hold_both(mb_batcher *batcher, mb_batch **batch, mb_results **results)
{
    CHECK_OK(mb_batcher_push_int64(batcher, 7, 7));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, batch));
    CHECK_OK(mb_batch_set_int64(*batch, 0, 7));
    CHECK_OK(mb_batch_complete(*batch));
    CHECK_OK(mb_batcher_next_results(batcher, 0, results));
    CHECK_OK(mb_batcher_push_int64s(batcher, call_int64s, NULL, 2, NULL, 0, NULL, NULL));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, batch));
}

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

/* Every other function, as one table too: each call sees that it has its answer. */
typedef struct plain_call {
    const char *name;
    void (*make)(void);
} plain_call;

static inline mb_error *plain_error(void)
{
    mb_options options = defaults();
    mb_error *error = NULL;
    CHECK_STATUS(mb_options_set(&options, "max_delay", "soon", &error), MB_ERR_INVALID_OPTION);
    return error;
}

#define PLAIN_CALL(name, body) static void plain_##name(void) { body }
#define PLAIN_MAP(name, expression) \
    static void plain_##name(void) \
    { \
        mb_results *results = NULL; \
        CHECK_OK(expression); \
        CHECK_EQ(results_view(results).count, 2); \
        CHECK_OK(mb_results_free(results)); \
    }

PLAIN_CALL(status_table, const mb_status_info *table; size_t count; CHECK_OK(mb_status_table(&table, &count));)
PLAIN_CALL(status_name, CHECK_TEXT(mb_status_name(MB_OK), "OK");)
PLAIN_CALL(status_text, CHECK(strlen(mb_status_text(MB_ERR_CLOSED)) > 0);)
PLAIN_CALL(version_number, CHECK_EQ(mb_version_number(), MB_VERSION_NUMBER);)
PLAIN_CALL(version_string, CHECK(strlen(mb_version_string()) > 0);)
PLAIN_CALL(abi_version, CHECK_EQ(mb_abi_version(), MB_ABI_VERSION);)
PLAIN_CALL(abi_check, CHECK_OK(mb_abi_check(MB_ABI_VERSION));)
PLAIN_CALL(error_code, mb_error *error = plain_error(); CHECK_STATUS(mb_error_code(error), MB_ERR_INVALID_OPTION);
           mb_error_free(error);)
PLAIN_CALL(error_message, mb_error *error = plain_error(); CHECK(strlen(mb_error_message(error)) > 0);
           mb_error_free(error);)
PLAIN_CALL(error_subject, mb_error *error = plain_error(); CHECK_TEXT(mb_error_subject(error), "max_delay");
           mb_error_free(error);)
PLAIN_CALL(error_free, mb_error_free(plain_error());)
PLAIN_CALL(kind_name, CHECK_TEXT(mb_kind_name(MB_KIND_NULL), "null");)
PLAIN_CALL(owner_new, uint32_t owner = 0; CHECK_OK(mb_owner_new(&owner)); CHECK(owner != 0);)
PLAIN_CALL(options_init, mb_options options; CHECK_OK(mb_options_init(&options, sizeof options));)
PLAIN_CALL(options_set, mb_options options = defaults(); CHECK_OK(mb_options_set(&options, "max_delay", "2ms", NULL));)
PLAIN_CALL(option_table, const mb_option_info *table; size_t count; CHECK_OK(mb_option_table(&table, &count));)
PLAIN_CALL(duration_parse, int64_t ns; CHECK_OK(mb_duration_parse("2ms", &ns, NULL)); CHECK_EQ(ns, 2 * MB_MS);)
PLAIN_CALL(trigger_name, CHECK_TEXT(mb_trigger_name(MB_TRIGGER_SIZE), "size");)
PLAIN_CALL(outcome_name, CHECK_TEXT(mb_outcome_name(MB_OUTCOME_OK), "ok");)
PLAIN_CALL(handled_name, CHECK_TEXT(mb_handled_name(MB_HANDLED_NO), "no");)
PLAIN_CALL(api_table, CHECK(mb_api_table() != NULL);)
PLAIN_MAP(map_int64s, mb_map_int64s(call_int64s, NULL, 2, NULL, echo, NULL, &results, NULL))
PLAIN_MAP(map_float64s, mb_map_float64s(call_float64s, NULL, 2, NULL, echo, NULL, &results, NULL))
PLAIN_MAP(map_strings, mb_map_strings("ab", call_offsets, NULL, 2, NULL, echo, NULL, &results, NULL))
PLAIN_MAP(map_values, mb_map_values(call_values, 2, NULL, echo, NULL, &results, NULL))

/* A whole life, in both modes. */
static void plain_batcher_new(void)
{
    mb_options options = defaults();
    int round;
    options.handler = echo;
    for (round = 0; round < 2; round++) {
        mb_batcher *other;
        options.mode = round == 0 ? MB_MODE_THREADED : MB_MODE_MANUAL;
        other = made(&options);
        CHECK_OK(mb_batcher_push_int64(other, 1, 1));
        CHECK_OK(mb_batcher_flush(other, MB_FOREVER));
        CHECK_EQ(stats_of(other).ok, 1);
        CHECK_OK(mb_batcher_close(other, MB_FOREVER, NULL));
        CHECK_OK(mb_batcher_free(other));
    }
}

static const plain_call PLAIN_CALLS[] = {
    { "mb_status_table", plain_status_table },     { "mb_status_name", plain_status_name },
    { "mb_status_text", plain_status_text },       { "mb_version_number", plain_version_number },
    { "mb_version_string", plain_version_string }, { "mb_abi_version", plain_abi_version },
    { "mb_abi_check", plain_abi_check },           { "mb_error_code", plain_error_code },
    { "mb_error_message", plain_error_message },   { "mb_error_subject", plain_error_subject },
    { "mb_error_free", plain_error_free },         { "mb_kind_name", plain_kind_name },
    { "mb_owner_new", plain_owner_new },           { "mb_options_init", plain_options_init },
    { "mb_options_set", plain_options_set },       { "mb_option_table", plain_option_table },
    { "mb_duration_parse", plain_duration_parse }, { "mb_batcher_new", plain_batcher_new },
    { "mb_trigger_name", plain_trigger_name },     { "mb_outcome_name", plain_outcome_name },
    { "mb_handled_name", plain_handled_name },     { "mb_map_int64s", plain_map_int64s },
    { "mb_map_float64s", plain_map_float64s },     { "mb_map_strings", plain_map_strings },
    { "mb_map_values", plain_map_values },         { "mb_api_table", plain_api_table },
};

#define PLAIN_COUNT (sizeof PLAIN_CALLS / sizeof PLAIN_CALLS[0])

static inline void make_plain_calls(void)
{
    size_t at;
    for (at = 0; at < PLAIN_COUNT; at++) {
        PLAIN_CALLS[at].make();
    }
}

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
