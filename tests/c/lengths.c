/* P30: lengths, counts, rows and sizes that nothing in memory has, for each parameter of each function that is one: each
   call answers a status, reads nothing, consumes nothing, and leaves its outputs. tests/c/tables.rs compares the table with
   the header. */

#include "calls.h"

static mb_batcher *batcher;
static mb_producer *producer;
static mb_batch *batch;
static mb_results *results;
static mb_stats before;

/* All that there is, where a length says there is more. */
static const char text[] = "text";

static mb_value long_text(uint32_t kind, size_t length)
{
    return text_value(kind, text, length);
}

/* ---- one call for each ------------------------------------------------------------------------------------ */

#define ABSURD(name, expression) \
    static mb_status name(size_t n) { return expression; }

static mb_options some_options;

ABSURD(options_init, mb_options_init(&some_options, n))
ABSURD(push_string, mb_batcher_push_string(batcher, text, n, 0))
ABSURD(push_bytes, mb_batcher_push_bytes(batcher, text, n, 0))
ABSURD(push_object, mb_batcher_push_object(batcher, 1, 1, n, 0))
ABSURD(push_int64s, mb_batcher_push_int64s(batcher, call_int64s, NULL, n, NULL, 0, NULL, &call_accepted))
ABSURD(push_float64s, mb_batcher_push_float64s(batcher, call_float64s, NULL, n, NULL, 0, NULL, &call_accepted))
ABSURD(push_strings, mb_batcher_push_strings(batcher, text, call_offsets, NULL, n, NULL, 0, NULL, &call_accepted))
ABSURD(push_large_strings,
       mb_batcher_push_large_strings(batcher, text, call_large_offsets, NULL, n, NULL, 0, NULL, &call_accepted))
ABSURD(push_values, mb_batcher_push_values(batcher, call_values, n, NULL, 0, NULL, &call_accepted))
ABSURD(producer_push_string, mb_producer_push_string(producer, text, n, 0))
ABSURD(producer_push_bytes, mb_producer_push_bytes(producer, text, n, 0))
ABSURD(producer_push_object, mb_producer_push_object(producer, 1, 1, n, 0))
ABSURD(batch_value, mb_batch_value(batch, n, &outputs.value))
ABSURD(set_null, mb_batch_set_null(batch, n))
ABSURD(set_bool, mb_batch_set_bool(batch, n, 1))
ABSURD(set_int64, mb_batch_set_int64(batch, n, 1))
ABSURD(set_float64, mb_batch_set_float64(batch, n, 1))
ABSURD(set_string_row, mb_batch_set_string(batch, n, text, 4))
ABSURD(set_string, mb_batch_set_string(batch, 0, text, n))
ABSURD(set_bytes_row, mb_batch_set_bytes(batch, n, text, 4))
ABSURD(set_bytes, mb_batch_set_bytes(batch, 0, text, n))
ABSURD(set_object_row, mb_batch_set_object(batch, n, 1, 1, 0))
ABSURD(set_object, mb_batch_set_object(batch, 0, 1, 1, n))
ABSURD(set_value_row, mb_batch_set_value(batch, n, call_values))
ABSURD(set_int64s, mb_batch_set_int64s(batch, call_int64s, NULL, n))
ABSURD(set_float64s, mb_batch_set_float64s(batch, call_float64s, NULL, n))
ABSURD(set_strings, mb_batch_set_strings(batch, text, call_offsets, NULL, n))
ABSURD(set_values, mb_batch_set_values(batch, call_values, n))
ABSURD(fail_row, mb_batch_fail(batch, n, 1, "type", text, 4))
ABSURD(fail, mb_batch_fail(batch, 0, 1, "type", text, n))
ABSURD(fail_all, mb_batch_fail_all(batch, 1, "type", text, n))
ABSURD(results_value, mb_results_value(results, n, &outputs.value))
ABSURD(results_error, mb_results_error(results, n, &outputs.row_error))
ABSURD(stats_text, mb_batcher_stats_text(batcher, outputs.text, n, &outputs.needed))
ABSURD(map_int64s, mb_map_int64s(call_int64s, NULL, n, NULL, never, NULL, &outputs.results, NULL))
ABSURD(map_float64s, mb_map_float64s(call_float64s, NULL, n, NULL, never, NULL, &outputs.results, NULL))
ABSURD(map_strings, mb_map_strings(text, call_offsets, NULL, n, NULL, never, NULL, &outputs.results, NULL))
ABSURD(map_values, mb_map_values(call_values, n, NULL, never, NULL, &outputs.results, NULL))

/* Lengths inside a value. */
#define OF_VALUE(name, made_of, expression) \
    static mb_status name(size_t n) { mb_value value = made_of; return expression; }

OF_VALUE(check_string, long_text(MB_KIND_STRING, n), mb_batcher_check(batcher, &value, NULL))
OF_VALUE(check_object, object_value(1, 1, n), mb_batcher_check(batcher, &value, NULL))
OF_VALUE(value_string, long_text(MB_KIND_STRING, n), mb_batcher_push_value(batcher, &value, 0, NULL))
OF_VALUE(value_bytes, long_text(MB_KIND_BYTES, n), mb_batcher_push_value(batcher, &value, 0, NULL))
OF_VALUE(value_object, object_value(1, 1, n), mb_batcher_push_value(batcher, &value, 0, NULL))
OF_VALUE(values_string, long_text(MB_KIND_STRING, n),
         mb_batcher_push_values(batcher, &value, 1, NULL, 0, NULL, &call_accepted))
OF_VALUE(values_bytes, long_text(MB_KIND_BYTES, n),
         mb_batcher_push_values(batcher, &value, 1, NULL, 0, NULL, &call_accepted))
OF_VALUE(values_object, object_value(1, 1, n),
         mb_batcher_push_values(batcher, &value, 1, NULL, 0, NULL, &call_accepted))
OF_VALUE(producer_value_string, long_text(MB_KIND_STRING, n), mb_producer_push_value(producer, &value, 0, NULL))
OF_VALUE(producer_value_bytes, long_text(MB_KIND_BYTES, n), mb_producer_push_value(producer, &value, 0, NULL))
OF_VALUE(producer_value_object, object_value(1, 1, n), mb_producer_push_value(producer, &value, 0, NULL))
OF_VALUE(set_value_string, long_text(MB_KIND_STRING, n), mb_batch_set_value(batch, 0, &value))
OF_VALUE(set_value_bytes, long_text(MB_KIND_BYTES, n), mb_batch_set_value(batch, 0, &value))
OF_VALUE(map_value_string, long_text(MB_KIND_STRING, n),
         mb_map_values(&value, 1, NULL, never, NULL, &outputs.results, NULL))
OF_VALUE(map_value_bytes, long_text(MB_KIND_BYTES, n),
         mb_map_values(&value, 1, NULL, never, NULL, &outputs.results, NULL))

static mb_status set_values_string(size_t n)
{
    mb_value two[2];
    two[0] = long_text(MB_KIND_BYTES, n);
    two[1] = int64_value(1);
    return mb_batch_set_values(batch, two, 2);
}

/* An owned push copies nothing, but it reads. */
static mb_status owned(size_t n)
{
    mb_value value = long_text(MB_KIND_BYTES, n);
    mb_push_options options = push_options();
    options.release = count_release;
    return mb_batcher_push_value(batcher, &value, 0, &options);
}

static mb_status producer_owned(size_t n)
{
    mb_value value = long_text(MB_KIND_STRING, n);
    mb_push_options options = push_options();
    options.release = count_release;
    return mb_producer_push_value(producer, &value, 0, &options);
}

typedef struct absurd {
    const char *function;
    const char *parameter;
    mb_status (*call)(size_t n);
    mb_status expected;
    /* Counted in things of so many bytes: fewer of them are as absurd. */
    size_t width;
} absurd;

static const absurd TABLE[] = {
    { "mb_options_init", "struct_size", options_init, MB_ERR_INVALID_ARGUMENT, 1 },
    { "mb_batcher_push_string", "length", push_string, MB_ERR_TOO_LARGE, 1 },
    { "mb_batcher_push_bytes", "length", push_bytes, MB_ERR_TOO_LARGE, 1 },
    { "mb_batcher_push_object", "size", push_object, MB_ERR_TOO_LARGE, 1 },
    { "mb_batcher_push_int64s", "count", push_int64s, MB_ERR_INVALID_ARGUMENT, 8 },
    { "mb_batcher_push_float64s", "count", push_float64s, MB_ERR_INVALID_ARGUMENT, 8 },
    { "mb_batcher_push_strings", "count", push_strings, MB_ERR_INVALID_ARGUMENT, 4 },
    { "mb_batcher_push_large_strings", "count", push_large_strings, MB_ERR_INVALID_ARGUMENT, 8 },
    { "mb_batcher_push_values", "count", push_values, MB_ERR_INVALID_ARGUMENT, 16 },
    { "mb_producer_push_string", "length", producer_push_string, MB_ERR_TOO_LARGE, 1 },
    { "mb_producer_push_bytes", "length", producer_push_bytes, MB_ERR_TOO_LARGE, 1 },
    { "mb_producer_push_object", "size", producer_push_object, MB_ERR_TOO_LARGE, 1 },
    { "mb_batch_value", "row", batch_value, MB_ERR_OUT_OF_RANGE, 16 },
    { "mb_batch_set_null", "row", set_null, MB_ERR_OUT_OF_RANGE, 16 },
    { "mb_batch_set_bool", "row", set_bool, MB_ERR_OUT_OF_RANGE, 16 },
    { "mb_batch_set_int64", "row", set_int64, MB_ERR_OUT_OF_RANGE, 16 },
    { "mb_batch_set_float64", "row", set_float64, MB_ERR_OUT_OF_RANGE, 16 },
    { "mb_batch_set_string", "row", set_string_row, MB_ERR_OUT_OF_RANGE, 16 },
    { "mb_batch_set_string", "length", set_string, MB_ERR_TOO_LARGE, 1 },
    { "mb_batch_set_bytes", "row", set_bytes_row, MB_ERR_OUT_OF_RANGE, 16 },
    { "mb_batch_set_bytes", "length", set_bytes, MB_ERR_TOO_LARGE, 1 },
    { "mb_batch_set_object", "row", set_object_row, MB_ERR_OUT_OF_RANGE, 16 },
    /* No limit is one of results: a size is only a number. */
    { "mb_batch_set_object", "size", set_object, MB_OK, 1 },
    { "mb_batch_set_value", "row", set_value_row, MB_ERR_OUT_OF_RANGE, 16 },
    { "mb_batch_set_int64s", "count", set_int64s, MB_ERR_RESULT_COUNT, 8 },
    { "mb_batch_set_float64s", "count", set_float64s, MB_ERR_RESULT_COUNT, 8 },
    { "mb_batch_set_strings", "count", set_strings, MB_ERR_RESULT_COUNT, 4 },
    { "mb_batch_set_values", "count", set_values, MB_ERR_RESULT_COUNT, 16 },
    { "mb_batch_fail", "row", fail_row, MB_ERR_OUT_OF_RANGE, 16 },
    { "mb_batch_fail", "length", fail, MB_ERR_TOO_LARGE, 1 },
    { "mb_batch_fail_all", "length", fail_all, MB_ERR_TOO_LARGE, 1 },
    { "mb_results_value", "row", results_value, MB_ERR_OUT_OF_RANGE, 16 },
    { "mb_results_error", "row", results_error, MB_ERR_OUT_OF_RANGE, 16 },
    { "mb_batcher_stats_text", "capacity", stats_text, MB_ERR_INVALID_ARGUMENT, 1 },
    { "mb_map_int64s", "count", map_int64s, MB_ERR_INVALID_ARGUMENT, 8 },
    { "mb_map_float64s", "count", map_float64s, MB_ERR_INVALID_ARGUMENT, 8 },
    { "mb_map_strings", "count", map_strings, MB_ERR_INVALID_ARGUMENT, 4 },
    { "mb_map_values", "count", map_values, MB_ERR_INVALID_ARGUMENT, 16 },

    { "mb_batcher_check", "value", check_string, MB_ERR_TOO_LARGE, 1 },
    { "mb_batcher_check", "value", check_object, MB_ERR_TOO_LARGE, 1 },
    { "mb_batcher_push_value", "value", value_string, MB_ERR_TOO_LARGE, 1 },
    { "mb_batcher_push_value", "value", value_bytes, MB_ERR_TOO_LARGE, 1 },
    { "mb_batcher_push_value", "value", value_object, MB_ERR_TOO_LARGE, 1 },
    { "mb_batcher_push_value", "value", owned, MB_ERR_TOO_LARGE, 1 },
    { "mb_batcher_push_values", "values", values_string, MB_ERR_TOO_LARGE, 1 },
    { "mb_batcher_push_values", "values", values_bytes, MB_ERR_TOO_LARGE, 1 },
    { "mb_batcher_push_values", "values", values_object, MB_ERR_TOO_LARGE, 1 },
    { "mb_producer_push_value", "value", producer_value_string, MB_ERR_TOO_LARGE, 1 },
    { "mb_producer_push_value", "value", producer_value_bytes, MB_ERR_TOO_LARGE, 1 },
    { "mb_producer_push_value", "value", producer_value_object, MB_ERR_TOO_LARGE, 1 },
    { "mb_producer_push_value", "value", producer_owned, MB_ERR_TOO_LARGE, 1 },
    { "mb_batch_set_value", "value", set_value_string, MB_ERR_TOO_LARGE, 1 },
    { "mb_batch_set_value", "value", set_value_bytes, MB_ERR_TOO_LARGE, 1 },
    { "mb_batch_set_values", "values", set_values_string, MB_ERR_TOO_LARGE, 1 },
    { "mb_map_values", "values", map_value_string, MB_ERR_TOO_LARGE, 1 },
    { "mb_map_values", "values", map_value_bytes, MB_ERR_TOO_LARGE, 1 },
};

static void each_of_the_table(void)
{
    size_t at;
    for (at = 0; at < sizeof TABLE / sizeof TABLE[0]; at++) {
        const absurd *row = &TABLE[at];
        /* More bytes than any object has. */
        size_t least = SIZE_MAX / 2 / row->width + 1;
        const size_t lengths[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 7, SIZE_MAX / 2 + 1, SIZE_MAX / 8 * 7, least, least + 1 };
        size_t which;
        for (which = 0; which < sizeof lengths / sizeof lengths[0]; which++) {
            int is_bulk = strncmp(row->function, "mb_batcher_push_", 16) == 0
                          && (strcmp(row->parameter, "count") == 0 || strcmp(row->parameter, "values") == 0);
            mb_stats now;
            mb_status status;
            outputs_reset();
            status = row->call(lengths[which]);
            CHECK_EQ(call_accepted, is_bulk ? 0 : 77);
            if (status != row->expected) {
                FAIL("%s with %s = %llx answers %s, not %s", row->function, row->parameter,
                     (unsigned long long)lengths[which], mb_status_name(status), mb_status_name(row->expected));
            }
            outputs_untouched(row->function);
            now = stats_of(batcher);
            if (now.accepted != before.accepted || now.waiting != before.waiting || now.in_flight != before.in_flight) {
                FAIL("%s with %s = %llx changed the batcher", row->function, row->parameter,
                     (unsigned long long)lengths[which]);
            }
        }
    }
}

/* Batches and results of map that nobody can have. */
static void parts_of_map(void)
{
    mb_map_options options;
    mb_results *all = NULL;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.max_batch_size = UINT64_MAX;
    CHECK_OK(mb_map_int64s(call_int64s, NULL, 2, &options, echo, NULL, &all, NULL));
    CHECK_EQ(results_view(all).count, 2);
    CHECK_OK(mb_results_free(all));
    options.max_batch_size = 0;
    options.batches = UINT64_MAX;
    CHECK_OK(mb_map_int64s(call_int64s, NULL, 2, &options, echo, NULL, &all, NULL));
    CHECK_EQ(results_view(all).count, 2);
    CHECK_OK(mb_results_free(all));
}

int main(void)
{
    mb_options options = timeless();
    mb_value value;
    mb_row_error why;
    watchdog();
    calls_ready();
    options.results = MB_RESULTS_PULL;
    options.owner = 1;
    batcher = made(&options);
    CHECK_OK(mb_producer_new(batcher, &producer));
    hold_both(batcher, &batch, &results);
    before = stats_of(batcher);
    each_of_the_table();
    parts_of_map();

    /* The batch is as it was, but that its results were of the wrong number. */
    CHECK_OK(mb_batch_value(batch, 1, &value));
    CHECK_EQ(value.as.int64, 2);
    CHECK_OK(mb_batch_complete_ok(batch));
    CHECK_OK(mb_results_free(results));
    CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
    why.struct_size = sizeof why;
    CHECK_OK(mb_results_error(results, 0, &why));
    CHECK_STATUS(why.code, MB_ERR_RESULT_COUNT);
    CHECK_OK(mb_results_free(results));
    CHECK_OK(mb_producer_free(producer));
    CHECK_OK(mb_batcher_free(batcher));
    return 0;
}
