/* P30: NULL for each pointer of each function is a status; nothing is consumed and no output is written.

   The header says of each function which pointers may be NULL. All others are here, one line each, by hand. */

#include "calls.h"

/* Functions of the header without a handle: with CALLS they are all there are. */
#define WITHOUT_HANDLE 26

static mb_batcher *batcher;
static mb_producer *producer;
static mb_batch *batch;
static mb_results *results;
static mb_stats before;

/* Nothing was pushed, taken or completed since `before`. */
static void nothing_consumed(const char *what)
{
    mb_stats now = stats_of(batcher);
    if (now.accepted != before.accepted || now.outstanding != before.outstanding || now.in_flight != before.in_flight
        || now.undelivered != before.undelivered || now.waiting != before.waiting || now.late != before.late) {
        FAIL("%s changed the batcher", what);
    }
}

/* A call that is refused, leaves its outputs and consumes nothing. */
#define REFUSED(call, status) \
    do { \
        outputs_reset(); \
        CHECK_STATUS(call, status); \
        outputs_untouched(#call); \
        nothing_consumed(#call); \
    } while (0)

#define MISSING(call) REFUSED(call, MB_ERR_INVALID_ARGUMENT)

/* An error output says the same as the status, and is the caller's. */
static void check_error(mb_error *error, mb_status status, const char *subject)
{
    CHECK(error != NULL);
    CHECK_STATUS(mb_error_code(error), status);
    CHECK_TEXT(mb_error_subject(error), subject);
    CHECK(strlen(mb_error_message(error)) > 0);
    mb_error_free(error);
}

static void handles(void)
{
    size_t at;
    outputs_reset();
    for (at = 0; at < CALL_COUNT; at++) {
        mb_status expected = CALLS[at].ends == 1 ? MB_OK : MB_ERR_INVALID_HANDLE;
        check_call(&CALLS[at], NULL, expected, "NULL");
        outputs_untouched(CALLS[at].name);
        nothing_consumed(CALLS[at].name);
    }
    CHECK_STATUS(mb_error_code(NULL), MB_ERR_INVALID_HANDLE);
    CHECK_TEXT(mb_error_message(NULL), "");
    CHECK_TEXT(mb_error_subject(NULL), "");
    mb_error_free(NULL);

    CHECK_EQ(sizeof(mb_api), offsetof(mb_api, mb_status_table) + (CALL_COUNT + WITHOUT_HANDLE) * sizeof(void (*)(void)));
    CHECK_EQ(mb_api_table()->struct_size, sizeof(mb_api));
}

/* On failure counts are written: 0, as nothing was counted. */
static void counts(void)
{
    outputs_reset();
    CHECK_STATUS(call_cancel(NULL), MB_ERR_INVALID_HANDLE);
    CHECK_EQ(call_cancelled, 0);
    CHECK_STATUS(call_push_int64s(NULL), MB_ERR_INVALID_HANDLE);
    CHECK_EQ(call_accepted, 0);
    outputs_reset();
    CHECK_STATUS(call_push_values(NULL), MB_ERR_INVALID_HANDLE);
    CHECK_EQ(call_accepted, 0);
    outputs_reset();
    CHECK_STATUS(call_push_strings(NULL), MB_ERR_INVALID_HANDLE);
    CHECK_EQ(call_accepted, 0);
    CHECK_STATUS(call_close(NULL), MB_ERR_INVALID_HANDLE);
    CHECK_EQ(call_left, 0);
    outputs_reset();
    CHECK_STATUS(mb_batcher_close(batcher, -1, &call_left), MB_ERR_INVALID_ARGUMENT);
    CHECK_EQ(call_left, 0);
}

static void without_handles(void)
{
    const mb_status_info *statuses = NULL;
    const mb_option_info *table = NULL;
    size_t count = 0;
    mb_options options = timeless();
    mb_error *error = NULL;
    mb_batcher *other = NULL;
    int64_t length = -1;
    mb_options unset;

    CHECK_STATUS(mb_status_table(NULL, &count), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_status_table(&statuses, NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_option_table(NULL, &count), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_option_table(&table, NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK(statuses == NULL && table == NULL);
    CHECK_STATUS(mb_duration_parse(NULL, &length, &error), MB_ERR_INVALID_ARGUMENT);
    check_error(error, MB_ERR_INVALID_ARGUMENT, "text");
    CHECK_STATUS(mb_duration_parse("2ms", NULL, &error), MB_ERR_INVALID_ARGUMENT);
    check_error(error, MB_ERR_INVALID_ARGUMENT, "ns");
    CHECK_STATUS(mb_duration_parse("2 moons", &length, NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK_EQ(length, -1);
    CHECK_OK(mb_duration_parse("2ms", &length, NULL));
    CHECK_EQ(length, 2 * MB_MS);
    CHECK_STATUS(mb_owner_new(NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_options_init(NULL, sizeof(mb_options)), MB_ERR_INVALID_ARGUMENT);

    CHECK_STATUS(mb_options_set(NULL, "threads", "1", &error), MB_ERR_INVALID_ARGUMENT);
    check_error(error, MB_ERR_INVALID_ARGUMENT, "options");
    CHECK_STATUS(mb_options_set(&options, NULL, "1", &error), MB_ERR_INVALID_ARGUMENT);
    check_error(error, MB_ERR_INVALID_ARGUMENT, "name");
    CHECK_STATUS(mb_options_set(&options, "threads", NULL, &error), MB_ERR_INVALID_ARGUMENT);
    check_error(error, MB_ERR_INVALID_ARGUMENT, "threads");
    CHECK_EQ(options.threads, 0);
    CHECK_STATUS(mb_options_set(NULL, NULL, NULL, NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK_OK(mb_options_set(&options, "max_batch_size", "7", NULL));
    CHECK_EQ(options.max_batch_size, 7);

    CHECK_STATUS(mb_batcher_new(NULL, &other, &error), MB_ERR_INVALID_ARGUMENT);
    check_error(error, MB_ERR_INVALID_ARGUMENT, "options");
    CHECK_STATUS(mb_batcher_new(&options, NULL, &error), MB_ERR_INVALID_ARGUMENT);
    check_error(error, MB_ERR_INVALID_ARGUMENT, "batcher");
    memset(&unset, 0, sizeof unset);
    CHECK_STATUS(mb_batcher_new(&unset, &other, &error), MB_ERR_INVALID_ARGUMENT);
    check_error(error, MB_ERR_INVALID_ARGUMENT, "struct_size");
    CHECK_STATUS(mb_batcher_new(NULL, NULL, NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK(other == NULL);
    /* An error that nobody wants is none that leaks. */
    options.threads = 9999999;
    CHECK_STATUS(mb_batcher_new(&options, &other, NULL), MB_ERR_INVALID_OPTION);
    CHECK(other == NULL);
}

static void batchers(void)
{
    mb_value strings[1];
    mb_value value;
    uint8_t none = 0;

    MISSING(mb_batcher_flush_begin(batcher, NULL));
    MISSING(mb_batcher_push_string(batcher, NULL, 1, 0));
    MISSING(mb_batcher_push_bytes(batcher, NULL, 1, 0));
    MISSING(mb_batcher_push_value(batcher, NULL, 0, NULL));
    value = text_value(MB_KIND_STRING, NULL, 3);
    MISSING(mb_batcher_push_value(batcher, &value, 0, NULL));
    MISSING(mb_batcher_check(batcher, &value, NULL));
    value = text_value(MB_KIND_BYTES, NULL, 3);
    MISSING(mb_batcher_push_value(batcher, &value, 0, NULL));
    MISSING(mb_batcher_check(batcher, NULL, NULL));
    MISSING(mb_producer_new(batcher, NULL));
    MISSING(mb_batcher_next_due(batcher, NULL));
    MISSING(mb_batcher_now(batcher, NULL));
    MISSING(mb_batcher_fd(batcher, NULL));
    MISSING(mb_batcher_next_batch(batcher, 0, NULL));
    MISSING(mb_batcher_next_results(batcher, 0, NULL));
    MISSING(mb_batcher_stats(batcher, NULL));
    MISSING(mb_batcher_stats_text(batcher, NULL, 1, NULL));
    MISSING(mb_batcher_share(batcher, NULL));

    MISSING(mb_batcher_push_int64s(batcher, NULL, NULL, 1, NULL, 0, NULL, NULL));
    MISSING(mb_batcher_push_float64s(batcher, NULL, NULL, 1, NULL, 0, NULL, NULL));
    MISSING(mb_batcher_push_strings(batcher, NULL, call_offsets, NULL, 2, NULL, 0, NULL, NULL));
    MISSING(mb_batcher_push_strings(batcher, "ab", NULL, NULL, 2, NULL, 0, NULL, NULL));
    MISSING(mb_batcher_push_large_strings(batcher, NULL, call_large_offsets, NULL, 2, NULL, 0, NULL, NULL));
    MISSING(mb_batcher_push_large_strings(batcher, "ab", NULL, NULL, 2, NULL, 0, NULL, NULL));
    MISSING(mb_batcher_push_values(batcher, NULL, 1, NULL, 0, NULL, NULL));
    strings[0] = text_value(MB_KIND_STRING, NULL, 1);
    MISSING(mb_batcher_push_values(batcher, strings, 1, NULL, 0, NULL, NULL));
    /* Also when validity would leave nothing to read. */
    MISSING(mb_batcher_push_int64s(batcher, NULL, &none, 1, NULL, 0, NULL, NULL));

    call_accepted = 77;
    CHECK_STATUS(mb_batcher_push_int64s(batcher, NULL, NULL, 1, NULL, 0, NULL, &call_accepted),
                 MB_ERR_INVALID_ARGUMENT);
    CHECK_EQ(call_accepted, 0);

    /* The error output, where it is wanted. */
    CHECK_STATUS(mb_batcher_check(batcher, NULL, &outputs.error), MB_ERR_INVALID_ARGUMENT);
    check_error(outputs.error, MB_ERR_INVALID_ARGUMENT, "value");
    CHECK_STATUS(mb_batcher_check(NULL, call_values, &outputs.error), MB_ERR_INVALID_HANDLE);
    check_error(outputs.error, MB_ERR_INVALID_HANDLE, "batcher");
}

static void producers(void)
{
    mb_value value = text_value(MB_KIND_STRING, NULL, 3);
    MISSING(mb_producer_push_string(producer, NULL, 1, 0));
    MISSING(mb_producer_push_bytes(producer, NULL, 1, 0));
    MISSING(mb_producer_push_value(producer, NULL, 0, NULL));
    MISSING(mb_producer_push_value(producer, &value, 0, NULL));
}

static void batches(void)
{
    mb_value value = text_value(MB_KIND_STRING, NULL, 3);
    mb_value two[2];
    mb_value seen;
    two[0] = int64_value(1);
    two[1] = text_value(MB_KIND_BYTES, NULL, 3);

    MISSING(mb_batch_get_view(batch, NULL));
    MISSING(mb_batch_pin(batch, NULL));
    MISSING(mb_batch_value(batch, 0, NULL));
    MISSING(mb_batch_gather(batch, MB_KIND_INT64, NULL));
    MISSING(mb_batch_set_string(batch, 0, NULL, 1));
    MISSING(mb_batch_set_bytes(batch, 0, NULL, 1));
    MISSING(mb_batch_set_value(batch, 0, NULL));
    MISSING(mb_batch_set_value(batch, 0, &value));
    MISSING(mb_batch_set_int64s(batch, NULL, NULL, 2));
    MISSING(mb_batch_set_float64s(batch, NULL, NULL, 2));
    MISSING(mb_batch_set_strings(batch, NULL, call_offsets, NULL, 2));
    MISSING(mb_batch_set_strings(batch, "ab", NULL, NULL, 2));
    MISSING(mb_batch_set_values(batch, NULL, 2));
    MISSING(mb_batch_set_values(batch, two, 2));
    MISSING(mb_batch_fail(batch, 0, 1, NULL, NULL, 1));
    MISSING(mb_batch_fail_all(batch, 1, NULL, NULL, 1));

    CHECK_OK(mb_batch_value(batch, 0, &seen));
    CHECK_EQ(seen.as.int64, 1);
    CHECK_OK(mb_batch_set_int64s(batch, call_int64s, NULL, 2));
}

static void result_sets(void)
{
    MISSING(mb_results_get_view(results, NULL));
    MISSING(mb_results_value(results, 0, NULL));
    MISSING(mb_results_strings(results, NULL));
    MISSING(mb_results_error(results, 0, NULL));
}

static void maps(void)
{
    mb_results *made_results = NULL;
    mb_error *error = NULL;
    mb_value string = text_value(MB_KIND_STRING, NULL, 1);

    CHECK_STATUS(mb_map_int64s(NULL, NULL, 2, NULL, never, NULL, &made_results, &error), MB_ERR_INVALID_ARGUMENT);
    check_error(error, MB_ERR_INVALID_ARGUMENT, "values");
    CHECK_STATUS(mb_map_int64s(call_int64s, NULL, 2, NULL, NULL, NULL, &made_results, &error),
                 MB_ERR_INVALID_ARGUMENT);
    check_error(error, MB_ERR_INVALID_ARGUMENT, "handler");
    CHECK_STATUS(mb_map_int64s(call_int64s, NULL, 2, NULL, never, NULL, NULL, &error), MB_ERR_INVALID_ARGUMENT);
    check_error(error, MB_ERR_INVALID_ARGUMENT, "results");
    CHECK_STATUS(mb_map_float64s(NULL, NULL, 2, NULL, never, NULL, &made_results, NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_map_float64s(call_float64s, NULL, 2, NULL, NULL, NULL, &made_results, NULL),
                 MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_map_float64s(call_float64s, NULL, 2, NULL, never, NULL, NULL, NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_map_strings(NULL, call_offsets, NULL, 2, NULL, never, NULL, &made_results, NULL),
                 MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_map_strings("ab", NULL, NULL, 2, NULL, never, NULL, &made_results, NULL),
                 MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_map_strings("ab", call_offsets, NULL, 2, NULL, NULL, NULL, &made_results, NULL),
                 MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_map_strings("ab", call_offsets, NULL, 2, NULL, never, NULL, NULL, NULL),
                 MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_map_values(NULL, 2, NULL, never, NULL, &made_results, NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_map_values(&string, 1, NULL, never, NULL, &made_results, NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_map_values(call_values, 2, NULL, NULL, NULL, &made_results, NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_map_values(call_values, 2, NULL, never, NULL, NULL, NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK(made_results == NULL);
}

/* What may be NULL is fine. */
static void allowed(void)
{
    mb_results *empty = NULL;
    mb_results_view view;
    size_t accepted = 77;
    uint64_t pushed = before.accepted;

    CHECK_OK(mb_batcher_push_string(batcher, NULL, 0, 10));
    CHECK_OK(mb_batcher_push_bytes(batcher, NULL, 0, 11));
    CHECK_OK(mb_batcher_push_value(batcher, call_values, 12, NULL));
    CHECK_OK(mb_producer_push_string(producer, NULL, 0, 13));
    CHECK_OK(mb_batcher_check(batcher, call_values, NULL));
    CHECK_OK(mb_batcher_cancel(batcher, 12, NULL));
    CHECK_OK(mb_batcher_push_int64s(batcher, NULL, NULL, 0, NULL, 0, NULL, &accepted));
    CHECK_EQ(accepted, 0);
    CHECK_OK(mb_batcher_push_strings(batcher, NULL, NULL, NULL, 0, NULL, 0, NULL, NULL));
    CHECK_OK(mb_batcher_push_values(batcher, NULL, 0, NULL, 0, NULL, NULL));
    CHECK_OK(mb_batcher_push_int64s(batcher, call_int64s, NULL, 2, NULL, 0, NULL, NULL));
    CHECK_OK(mb_batcher_stats_text(batcher, NULL, 0, NULL));
    CHECK_OK(mb_batch_set_string(batch, 0, NULL, 0));
    CHECK_OK(mb_batch_set_bytes(batch, 1, NULL, 0));
    CHECK_OK(mb_batch_fail(batch, 0, 5, NULL, NULL, 0));
    CHECK_EQ(stats_of(batcher).accepted, pushed + 6);

    CHECK_OK(mb_map_int64s(NULL, NULL, 0, NULL, never, NULL, &empty, NULL));
    view = results_view(empty);
    CHECK_EQ(view.count, 0);
    CHECK_OK(mb_results_free(empty));
    empty = NULL;
    CHECK_OK(mb_map_strings(NULL, NULL, NULL, 0, NULL, never, NULL, &empty, NULL));
    CHECK_OK(mb_results_free(empty));
}

int main(void)
{
    mb_options options = timeless();
    watchdog();
    calls_ready();
    options.results = MB_RESULTS_PULL;
    batcher = made(&options);

    /* A set of results that was pulled, a batch that was, and a producer. */
    hold_both(batcher, &batch, &results);
    CHECK_OK(mb_producer_new(batcher, &producer));
    before = stats_of(batcher);
    CHECK_EQ(before.outstanding, 2);

    handles();
    without_handles();
    batchers();
    producers();
    batches();
    result_sets();
    maps();
    allowed();
    counts();

    CHECK_OK(mb_batch_complete(batch));
    CHECK_OK(mb_results_free(results));
    CHECK_OK(mb_producer_free(producer));
    CHECK_OK(mb_batcher_free(batcher));
    return 0;
}
