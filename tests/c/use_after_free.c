/* P30, P18, P26: what was freed, completed or borrowed too long answers a status; what may outlive its batcher does. */

#include "calls.h"

static mb_batch *batch_of(mb_batcher *batcher, int64_t number)
{
    mb_batch *batch = NULL;
    CHECK_OK(mb_batcher_push_int64(batcher, number, (uint64_t)number));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    return batch;
}

static mb_batcher *pulled_batcher(void)
{
    mb_options options = timeless();
    options.results = MB_RESULTS_PULL;
    options.max_in_flight = 8;
    return made(&options);
}

/* A batch that is over: reading it finds no batch, changing it comes too late. */
static void check_over(mb_batch *batch, const char *what)
{
    size_t at;
    for (at = 0; at < CALL_COUNT; at++) {
        if (CALLS[at].takes == BATCH) {
            int reads = CALLS[at].make == call_batch_view || CALLS[at].make == call_batch_value
                || CALLS[at].make == call_batch_gather || CALLS[at].make == call_batch_pin;
            outputs_reset();
            check_call(&CALLS[at], batch, reads ? MB_ERR_INVALID_HANDLE : MB_ERR_TOO_LATE, what);
            outputs_untouched(CALLS[at].name);
        }
    }
}

static void freed_handles(void)
{
    mb_batcher *batcher = pulled_batcher();
    mb_producer *producer = NULL;
    mb_results *results = NULL;
    mb_batch *completed = batch_of(batcher, 1);
    mb_batch *given_up = batch_of(batcher, 2);

    CHECK_OK(mb_producer_new(batcher, &producer));
    CHECK_OK(mb_batch_complete_ok(completed));
    CHECK_OK(mb_batch_free(given_up));
    CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
    CHECK_OK(mb_results_free(results));
    CHECK_OK(mb_producer_free(producer));

    check_over(completed, "a completed batch");
    check_over(given_up, "a freed batch");
    check_calls(RESULTS, results, MB_ERR_INVALID_HANDLE, "a freed set");
    check_calls(PRODUCER, producer, MB_ERR_INVALID_HANDLE, "a freed producer");
    CHECK_OK(mb_batcher_free(batcher));
    check_calls(BATCHER, batcher, MB_ERR_INVALID_HANDLE, "a freed batcher");
    check_over(completed, "a completed batch of a freed batcher");

    batcher = pulled_batcher();
    CHECK_OK(mb_batcher_abandon(batcher));
    check_calls(BATCHER, batcher, MB_ERR_INVALID_HANDLE, "an abandoned batcher");
}

/* Producers, batches and results may outlive their batcher. */
static void outliving(void)
{
    mb_batcher *batcher = pulled_batcher();
    mb_producer *producer = NULL;
    mb_results *results = NULL;
    mb_batch *batch;
    mb_value value;
    mb_results_view view;

    CHECK_OK(mb_producer_new(batcher, &producer));
    batch = batch_of(batcher, 1);
    CHECK_OK(mb_batch_set_string(batch, 0, "an answer", 9));
    CHECK_OK(mb_batch_complete(batch));
    CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
    CHECK_OK(mb_batcher_push_string(batcher, "a question", 10, 3));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    CHECK_OK(mb_batcher_free(batcher));

    CHECK_STATUS(mb_producer_push_int64(producer, 1, 1), MB_ERR_CLOSED);
    CHECK_STATUS(mb_producer_push_string(producer, "a", 1, 1), MB_ERR_CLOSED);
    CHECK_STATUS(mb_producer_push_value(producer, call_values, 1, NULL), MB_ERR_CLOSED);
    CHECK_OK(mb_producer_free(producer));

    view = results_view(results);
    CHECK_EQ(view.count, 1);
    CHECK_EQ(view.tags[0], 1);
    CHECK_OK(mb_results_value(results, 0, &value));
    CHECK(value.as.string.length == 9 && memcmp(value.as.string.data, "an answer", 9) == 0);
    CHECK_OK(mb_results_free(results));

    CHECK_OK(mb_batch_value(batch, 0, &value));
    CHECK(value.as.string.length == 10 && memcmp(value.as.string.data, "a question", 10) == 0);
    CHECK_STATUS(mb_batch_set_int64(batch, 0, 1), MB_ERR_TOO_LATE);
    CHECK_STATUS(mb_batch_complete(batch), MB_ERR_TOO_LATE);
    CHECK_STATUS(mb_batch_value(batch, 0, &value), MB_ERR_INVALID_HANDLE);

    /* The same by free. */
    batcher = pulled_batcher();
    batch = batch_of(batcher, 4);
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_OK(mb_batch_value(batch, 0, &value));
    CHECK_EQ(value.as.int64, 4);
    CHECK_OK(mb_batch_free(batch));
}

/* What a callback borrowed is no handle any more once it has returned. */

static mb_batch *borrowed_batch;
static const mb_results *borrowed_results;
static const mb_results *ended_inside;

static mb_status remember_batch(void *user_data, mb_batch *batch, const mb_api *api)
{
    borrowed_batch = batch;
    return echo(user_data, batch, api);
}

static void remember_results(void *user_data, const mb_results *results, const mb_api *api)
{
    mb_results_view view = results_view(results);
    (void)user_data;
    (void)api;
    borrowed_results = results;
    CHECK_STATUS(mb_results_free((mb_results *)results), MB_ERR_WRONG_MODE);
    view = results_view(results);
    CHECK_EQ(view.count, 1);
    ended_inside = results;
}

static mb_status end_batch_inside(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_value value;
    (void)api;
    borrowed_batch = batch;
    if (*(int *)user_data == 0) {
        CHECK_OK(mb_batch_complete_ok(batch));
        /* Its handler may still read it. */
        CHECK_OK(mb_batch_value(batch, 0, &value));
        CHECK_STATUS(mb_batch_set_int64(batch, 0, 9), MB_ERR_TOO_LATE);
        CHECK_STATUS(mb_batch_keep(batch), MB_ERR_TOO_LATE);
        CHECK_STATUS(mb_batch_complete(batch), MB_ERR_TOO_LATE);
    } else {
        CHECK_OK(mb_batch_free(batch));
        CHECK_STATUS(mb_batch_value(batch, 0, &value), MB_ERR_INVALID_HANDLE);
        CHECK_STATUS(mb_batch_set_int64(batch, 0, 9), MB_ERR_TOO_LATE);
        CHECK_STATUS(mb_batch_complete(batch), MB_ERR_TOO_LATE);
    }
    return 5;
}

static void borrowed_too_long(void)
{
    mb_options options = timeless();
    mb_batcher *batcher;
    mb_stats stats;
    int way = 0;

    options.handler = remember_batch;
    options.on_result = remember_results;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_flush(batcher, 0));
    CHECK(borrowed_batch != NULL && borrowed_results != NULL && ended_inside == borrowed_results);
    check_over(borrowed_batch, "a batch whose handler has returned");
    check_calls(RESULTS, (void *)borrowed_results, MB_ERR_INVALID_HANDLE, "a set whose on_result has returned");
    CHECK_OK(mb_batcher_free(batcher));

    options.on_result = NULL;
    options.handler = end_batch_inside;
    options.handler_data = &way;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_flush(batcher, 0));
    check_over(borrowed_batch, "a batch completed in its handler");
    way = 1;
    CHECK_OK(mb_batcher_push_int64(batcher, 2, 2));
    CHECK_OK(mb_batcher_flush(batcher, 0));
    check_over(borrowed_batch, "a batch freed in its handler");
    stats = stats_of(batcher);
    CHECK_EQ(stats.ok, 1);
    CHECK_EQ(stats.failed, 1);
    CHECK_OK(mb_batcher_free(batcher));
}

int main(void)
{
    watchdog();
    calls_ready();
    freed_handles();
    outliving();
    borrowed_too_long();
    return 0;
}
