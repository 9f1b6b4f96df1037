/* P30: a handle is freed once; freeing it again is a status, frees nothing else, and what lives goes on. */

#include "kit.h"

static uint64_t released;

static mb_batcher *pulled_batcher(void)
{
    mb_options options = timeless();
    options.results = MB_RESULTS_PULL;
    options.result_release = count_release;
    options.result_data = &released;
    return made(&options);
}

static mb_batch *batch_of(mb_batcher *batcher, int64_t number)
{
    mb_batch *batch = NULL;
    CHECK_OK(mb_batcher_push_int64(batcher, number, (uint64_t)number));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    return batch;
}

static void check_alive(mb_batcher *batcher)
{
    mb_batch *batch = batch_of(batcher, 5);
    mb_results *results = NULL;
    mb_value value;
    CHECK_OK(mb_batch_set_int64(batch, 0, 6));
    CHECK_OK(mb_batch_complete(batch));
    CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
    CHECK_OK(mb_results_value(results, 0, &value));
    CHECK_EQ(value.as.int64, 6);
    CHECK_OK(mb_results_free(results));
}

static void batchers(void)
{
    mb_batcher *first = pulled_batcher();
    mb_batcher *second;
    int round;
    released = 0;
    CHECK_OK(mb_batcher_free(first));
    CHECK_EQ(released, 1);
    CHECK_STATUS(mb_batcher_free(first), MB_ERR_INVALID_HANDLE);
    CHECK_STATUS(mb_batcher_abandon(first), MB_ERR_INVALID_HANDLE);
    CHECK_EQ(released, 1);

    /* Whatever place the next one gets, the old handle is not its. */
    for (round = 0; round < 100; round++) {
        second = pulled_batcher();
        CHECK(second != first);
        CHECK_STATUS(mb_batcher_free(first), MB_ERR_INVALID_HANDLE);
        check_alive(second);
        first = second;
        CHECK_OK(round % 2 == 0 ? mb_batcher_free(second) : mb_batcher_abandon(second));
        CHECK_STATUS(mb_batcher_abandon(second), MB_ERR_INVALID_HANDLE);
        CHECK_EQ(released, round + 2);
    }
}

static void producers(void)
{
    mb_batcher *batcher = pulled_batcher();
    mb_producer *first = NULL;
    mb_producer *second = NULL;
    CHECK_OK(mb_producer_new(batcher, &first));
    CHECK_OK(mb_producer_free(first));
    CHECK_STATUS(mb_producer_free(first), MB_ERR_INVALID_HANDLE);
    CHECK_OK(mb_producer_new(batcher, &second));
    CHECK_STATUS(mb_producer_free(first), MB_ERR_INVALID_HANDLE);
    CHECK_OK(mb_producer_push_int64(second, 1, 1));
    CHECK_EQ(stats_of(batcher).accepted, 1);
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_OK(mb_producer_free(second));
    CHECK_STATUS(mb_producer_free(second), MB_ERR_INVALID_HANDLE);
}

static void batches(void)
{
    mb_batcher *batcher = pulled_batcher();
    mb_batch *first = batch_of(batcher, 1);
    mb_batch *second;
    mb_results *results = NULL;
    mb_stats stats;

    CHECK_OK(mb_batch_free(first));
    CHECK_STATUS(mb_batch_free(first), MB_ERR_TOO_LATE);
    CHECK_STATUS(mb_batch_complete(first), MB_ERR_TOO_LATE);
    CHECK_STATUS(mb_batch_complete_ok(first), MB_ERR_TOO_LATE);
    stats = stats_of(batcher);
    CHECK_EQ(stats.failed, 1);
    CHECK_EQ(stats.late, 2);

    second = batch_of(batcher, 2);
    CHECK(second != first);
    CHECK(mb_batch_free(first) != MB_OK);
    CHECK(mb_batch_complete(first) != MB_OK);
    CHECK_OK(mb_batch_complete_ok(second));
    CHECK_STATUS(mb_batch_free(second), MB_ERR_TOO_LATE);
    CHECK_STATUS(mb_batch_complete(second), MB_ERR_TOO_LATE);
    stats = stats_of(batcher);
    CHECK_EQ(stats.ok, 1);
    CHECK_EQ(stats.accepted, 2);

    CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
    CHECK_OK(mb_results_free(results));
    CHECK_STATUS(mb_results_free(results), MB_ERR_INVALID_HANDLE);
    CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_OK(mb_results_free(results));
    CHECK_STATUS(mb_results_free(results), MB_ERR_INVALID_HANDLE);
    CHECK_STATUS(mb_batch_free(second), MB_ERR_TOO_LATE);
}

static void errors(void)
{
    mb_error *first = NULL;
    mb_error *second = NULL;
    mb_options options = defaults();
    CHECK_STATUS(mb_options_set(&options, "max_delay", "soon", &first), MB_ERR_INVALID_OPTION);
    mb_error_free(first);
    mb_error_free(first);
    CHECK_STATUS(mb_options_set(&options, "threads", "many", &second), MB_ERR_INVALID_OPTION);
    mb_error_free(first);
    CHECK_TEXT(mb_error_subject(second), "threads");
    CHECK_STATUS(mb_error_code(first), MB_ERR_INVALID_HANDLE);
    CHECK_TEXT(mb_error_message(first), "");
    mb_error_free(second);
}

/* Of many threads that free one handle, one does. */

static pthread_barrier_t together;
static void *contended;
static uint64_t freed;
static mb_status (*free_contended)(void *);

static mb_status free_batcher(void *handle) { return mb_batcher_free(handle); }
static mb_status free_producer(void *handle) { return mb_producer_free(handle); }
static mb_status free_batch(void *handle) { return mb_batch_free(handle); }
static mb_status free_results(void *handle) { return mb_results_free(handle); }

static void *free_it(void *argument)
{
    mb_status status;
    (void)argument;
    pthread_barrier_wait(&together);
    status = free_contended(contended);
    if (status == MB_OK) {
        count_up(&freed);
    } else {
        CHECK(status == MB_ERR_INVALID_HANDLE || status == MB_ERR_TOO_LATE);
    }
    return NULL;
}

static void contend(void *handle, mb_status (*ending)(void *))
{
    pthread_t threads[8];
    size_t at;
    contended = handle;
    free_contended = ending;
    freed = 0;
    CHECK_EQ(pthread_barrier_init(&together, NULL, 8), 0);
    for (at = 0; at < 8; at++) {
        threads[at] = started(free_it, NULL);
    }
    for (at = 0; at < 8; at++) {
        joined(threads[at]);
    }
    pthread_barrier_destroy(&together);
    CHECK_EQ(freed, 1);
}

static void races(void)
{
    int round;
    for (round = 0; round < 20; round++) {
        mb_batcher *batcher = pulled_batcher();
        mb_producer *producer = NULL;
        mb_results *results = NULL;
        released = 0;
        CHECK_OK(mb_producer_new(batcher, &producer));
        contend(batch_of(batcher, 1), free_batch);
        CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
        contend(results, free_results);
        contend(producer, free_producer);
        contend(batcher, free_batcher);
        CHECK_EQ(released, 1);
    }
}

int main(void)
{
    watchdog();
    batchers();
    producers();
    batches();
    errors();
    races();
    return 0;
}
