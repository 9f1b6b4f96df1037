/* P38: the numbers of a snapshot, each after what it counts, on a clock that the test moves; and the same as text for
   Prometheus. */

#include "kit.h"

static mb_batcher *batcher;

static mb_status fail_odd(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = batch_view(batch);
    size_t row;
    (void)user_data;
    (void)api;
    for (row = 0; row < view.count; row++) {
        if (view.tags[row] % 2) {
            CHECK_OK(mb_batch_fail(batch, row, 9, NULL, NULL, 0));
        } else {
            CHECK_OK(mb_batch_set_null(batch, row));
        }
    }
    return MB_OK;
}

static void push(uint64_t count)
{
    uint64_t tag;
    for (tag = 0; tag < count; tag++) {
        CHECK_OK(mb_batcher_push_int64(batcher, 1, tag));
    }
}

static void at(int64_t now)
{
    CHECK_OK(mb_batcher_advance(batcher, now));
    CHECK_OK(mb_batcher_run(batcher));
}

/* ---- outcomes, triggers, refusals --------------------------------------------------------------------------- */

static uint64_t undelivered_inside;
static uint64_t delivering_inside;
static uint64_t outstanding_inside;

static void look_inside(void *user_data, const mb_results *results, const mb_api *api)
{
    mb_stats stats = stats_of(batcher);
    (void)user_data;
    (void)results;
    (void)api;
    undelivered_inside = stats.undelivered;
    delivering_inside = stats.delivering;
    outstanding_inside = stats.outstanding;
}

static void outcomes(void)
{
    mb_options options = timeless();
    mb_push_options deadline = push_options();
    mb_value value = int64_value(1);
    mb_stats stats;
    options.handler = fail_odd;
    options.on_result = look_inside;
    options.queue_capacity = 20;
    options.max_batch_size = 10;
    options.on_full = MB_FULL_DISCARD_OLDEST;
    batcher = made(&options);

    stats = stats_of(batcher);
    CHECK_EQ(stats.accepted, 0);
    CHECK_EQ(stats.oldest_in_flight_age, 0);
    push(5);
    CHECK_OK(mb_batcher_push_string(batcher, "twelve bytes", 12, 6));
    stats = stats_of(batcher);
    CHECK_EQ(stats.accepted, 6);
    CHECK_EQ(stats.waiting, 6);
    CHECK_EQ(stats.waiting_bytes, 6 * 8 + 12);
    CHECK_EQ(stats.outstanding, 6);
    CHECK(stats.bytes_in_use > 0);
    CHECK_OK(mb_batcher_flush(batcher, 0));
    stats = stats_of(batcher);
    CHECK_EQ(stats.ok, 4);
    CHECK_EQ(stats.failed, 2);
    CHECK_EQ(stats.waiting, 0);
    CHECK_EQ(stats.waiting_bytes, 0);
    CHECK_EQ(stats.undelivered, 0);
    CHECK_EQ(stats.batches, 1);
    CHECK_EQ(outstanding_inside, 0);
    CHECK_EQ(undelivered_inside, 6);

    CHECK_OK(mb_batcher_push_int64(batcher, 1, 70));
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 70));
    CHECK_OK(mb_batcher_cancel(batcher, 70, NULL));
    deadline.deadline = 5;
    CHECK_OK(mb_batcher_push_value(batcher, &value, 71, &deadline));
    at(5);
    push(19);
    push(5);
    stats = stats_of(batcher);
    CHECK_EQ(stats.cancelled, 2);
    CHECK_EQ(stats.expired, 1);
    CHECK_EQ(stats.discarded, 4);
    CHECK_EQ(stats.waiting, 20);
    CHECK_STATUS(mb_batcher_close(batcher, 0, NULL), MB_ERR_TIMEOUT);
    stats = stats_of(batcher);
    CHECK_EQ(stats.discarded, 24);
    CHECK_EQ(stats.accepted, 33);
    CHECK_EQ(stats.outstanding, 0);
    CHECK_OK(mb_batcher_free(batcher));
}

static void triggers(void)
{
    mb_options options = timeless();
    char page[100];
    mb_stats stats;
    memset(page, 'x', sizeof page);
    options.handler = fail_odd;
    options.max_batch_size = 4;
    options.max_batch_bytes = 200;
    options.queue_capacity = 4;
    options.on_full = MB_FULL_REJECT;
    options.max_delay = 10;
    batcher = made(&options);
    push(4);
    CHECK_OK(mb_batcher_run(batcher)); /* SIZE */
    CHECK_OK(mb_batcher_push_bytes(batcher, page, 100, 0));
    CHECK_OK(mb_batcher_push_bytes(batcher, page, 100, 0)); /* BYTES */
    CHECK_OK(mb_batcher_seal(batcher));                     /* FLUSH */
    CHECK_OK(mb_batcher_run(batcher));
    push(1);
    at(10); /* DELAY */
    push(1);
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL)); /* CLOSE */
    CHECK_STATUS(mb_batcher_push_int64(batcher, 1, 1), MB_ERR_CLOSED);
    stats = stats_of(batcher);
    CHECK_EQ(stats.triggers[0], 0);
    CHECK_EQ(stats.triggers[MB_TRIGGER_SIZE], 1);
    CHECK_EQ(stats.triggers[MB_TRIGGER_BYTES], 1);
    CHECK_EQ(stats.triggers[MB_TRIGGER_DELAY], 1);
    CHECK_EQ(stats.triggers[MB_TRIGGER_IDLE], 0);
    CHECK_EQ(stats.triggers[MB_TRIGGER_FULL], 0);
    CHECK_EQ(stats.triggers[MB_TRIGGER_FLUSH], 1);
    CHECK_EQ(stats.triggers[MB_TRIGGER_CLOSE], 1);
    CHECK_EQ(stats.refusals[-MB_ERR_CLOSED], 1);
    CHECK_OK(mb_batcher_free(batcher));

    options.max_delay = 0;
    options.max_batch_bytes = 0;
    options.max_batch_size = 4;
    options.queue_capacity = 4;
    options.queue_bytes = 40;
    batcher = made(&options);
    push(1);
    CHECK_STATUS(mb_batcher_push_bytes(batcher, page, 33, 0), MB_ERR_TOO_LARGE);
    CHECK_OK(mb_batcher_run(batcher)); /* IDLE */
    CHECK_EQ(stats_of(batcher).triggers[MB_TRIGGER_IDLE], 1);
    CHECK_EQ(stats_of(batcher).refusals[-MB_ERR_TOO_LARGE], 1);
    CHECK_OK(mb_batcher_free(batcher));

    options.max_delay = MB_FOREVER;
    options.queue_bytes = 100;
    batcher = made(&options);
    push(3);
    CHECK_STATUS(mb_batcher_push_bytes(batcher, page, 90, 0), MB_ERR_QUEUE_FULL_BYTES);
    CHECK_OK(mb_batcher_run(batcher)); /* FULL */
    CHECK_EQ(stats_of(batcher).triggers[MB_TRIGGER_FULL], 1);
    CHECK_EQ(stats_of(batcher).refusals[-MB_ERR_QUEUE_FULL_BYTES], 1);
    CHECK_OK(mb_batcher_free(batcher));
}

/* ---- histograms and ages ----------------------------------------------------------------------------------- */

/* The bucket of a magnitude: 0 for 0 and 1, i for 2^i to 2^(i+1) - 1. */
static int bucket(uint64_t value)
{
    int number = 0;
    while (value > 1) {
        value >>= 1;
        number += 1;
    }
    return number;
}

static void check_histogram(const mb_histogram *histogram, const uint64_t *values, size_t count)
{
    uint64_t buckets[64];
    uint64_t sum = 0;
    uint64_t max = 0;
    size_t number;
    memset(buckets, 0, sizeof buckets);
    for (number = 0; number < count; number++) {
        sum += values[number];
        max = values[number] > max ? values[number] : max;
        buckets[bucket(values[number])] += 1;
    }
    CHECK_EQ(histogram->count, count);
    CHECK_EQ(histogram->sum, sum);
    CHECK_EQ(histogram->max, max);
    CHECK(memcmp(histogram->buckets, buckets, sizeof buckets) == 0);
}

static const uint64_t WORKS[5] = { 5, 0, 70000, 1, 2 };
static mb_histogram pulled_times;

static void histograms(void)
{
    static const uint64_t SIZES[5] = { 1, 2, 3, 7, 8 };
    static const uint64_t WAITS[5] = { 0, 1, 1000, 1023, 1024 };
    static const uint64_t DELIVERIES[5] = { 3, 0, 1, 4, 9 };
    mb_options options = timeless();
    mb_batch *batch = NULL;
    mb_results *results = NULL;
    mb_stats stats;
    int64_t now = 0;
    size_t round;
    options.results = MB_RESULTS_PULL;
    batcher = made(&options);
    for (round = 0; round < 5; round++) {
        push(SIZES[round]);
        now += (int64_t)WAITS[round];
        CHECK_OK(mb_batcher_advance(batcher, now));
        CHECK_OK(mb_batcher_seal(batcher));
        CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
        CHECK_EQ(batch_view(batch).age, WAITS[round]);
        now += (int64_t)WORKS[round];
        CHECK_OK(mb_batcher_advance(batcher, now));
        stats = stats_of(batcher);
        CHECK_EQ(stats.in_flight, 1);
        CHECK_EQ(stats.oldest_in_flight_age, (int64_t)WORKS[round]);
        CHECK_OK(mb_batch_complete_ok(batch));
        now += (int64_t)DELIVERIES[round];
        CHECK_OK(mb_batcher_advance(batcher, now));
        stats = stats_of(batcher);
        CHECK_EQ(stats.in_flight, 0);
        CHECK_EQ(stats.oldest_in_flight_age, 0);
        CHECK_EQ(stats.undelivered, SIZES[round]);
        CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
        CHECK_EQ(stats_of(batcher).undelivered, 0);
        CHECK_OK(mb_results_free(results));
    }
    stats = stats_of(batcher);
    check_histogram(&stats.batch_size, SIZES, 5);
    check_histogram(&stats.queue_time, WAITS, 5);
    CHECK_OK(mb_batcher_free(batcher));
    check_histogram(&stats.delivery_time, DELIVERIES, 5);
    pulled_times = stats.handler_time;
}

/* The same with handlers and on_result. */

static mb_status work(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    return mb_batch_complete_ok(batch);
}

static void handled_histograms(void)
{
    static const uint64_t ZERO[3] = { 0, 0, 0 };
    static const uint64_t SIZES[3] = { 4, 4, 4 };
    mb_options options = timeless();
    mb_stats stats;
    options.handler = work;
    options.on_result = look_inside;
    options.max_batch_size = 4;
    batcher = made(&options);
    push(12);
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_OK(mb_batcher_run(batcher));
    stats = stats_of(batcher);
    check_histogram(&stats.batch_size, SIZES, 3);
    check_histogram(&stats.handler_time, ZERO, 3);
    check_histogram(&stats.delivery_time, ZERO, 3);
    CHECK_OK(mb_batcher_free(batcher));
}

/* ---- late and stuck ------------------------------------------------------------------------------------------ */

static void late_and_stuck(void)
{
    mb_options options = defaults();
    door stuck = DOOR;
    mb_stats stats;
    options.handler = stop_at_door;
    options.handler_data = &stuck;
    options.handler_timeout = MB_MS;
    batcher = made(&options);
    push(1);
    door_wait(&stuck, 1);
    CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
    stats = stats_of(batcher);
    CHECK_EQ(stats.expired, 1);
    CHECK_EQ(stats.stuck, 1);
    CHECK_EQ(stats.late, 0);
    door_open(&stuck);
    do {
        stats = stats_of(batcher);
        sched_yield();
    } while (stats.stuck > 0);
    CHECK_EQ(stats.late, 1);
    CHECK_OK(mb_batcher_free(batcher));
}

/* ---- text ---------------------------------------------------------------------------------------------------- */

/* The value of a series, which must be there once. */
static double series(const char *page, const char *name)
{
    const char *found = page;
    double value = -1;
    int times = 0;
    size_t length = strlen(name);
    while ((found = strstr(found, name)) != NULL) {
        if ((found == page || found[-1] == '\n') && found[length] == ' ') {
            CHECK_EQ(sscanf(found + length, " %lf", &value), 1);
            times += 1;
        }
        found += length;
    }
    if (times != 1) {
        FAIL("%s is in the page %d times", name, times);
    }
    return value;
}

/* Each line is a comment that names a metric, or a series with a number. */
static void check_page(const char *page)
{
    char line[512];
    const char *next = page;
    char metric[128] = "";
    int lines = 0;
    CHECK(*page != 0);
    while (*next) {
        const char *end = strchr(next, '\n');
        char *rest;
        CHECK(end != NULL && (size_t)(end - next) < sizeof line);
        memcpy(line, next, (size_t)(end - next));
        line[end - next] = 0;
        if (strncmp(line, "# HELP ", 7) == 0) {
            sscanf(line + 7, "%127s", metric);
            CHECK(strncmp(metric, "microbatch_", 11) == 0);
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            CHECK(strncmp(line + 7, metric, strlen(metric)) == 0);
            CHECK(strstr(line, " counter") || strstr(line, " gauge") || strstr(line, " histogram"));
        } else {
            CHECK(strncmp(line, metric, strlen(metric)) == 0);
            rest = strrchr(line, ' ');
            CHECK(rest != NULL);
            strtod(rest + 1, &rest);
            CHECK(*rest == 0);
        }
        lines += 1;
        next = end + 1;
    }
    CHECK(lines > 60);
}

static void text(void)
{
    static char page[64 * 1024];
    static char again[64 * 1024];
    mb_options options = timeless();
    size_t needed = 0;
    size_t capacity;
    size_t same = 0;
    options.handler = fail_odd;
    options.max_batch_size = 4;
    options.queue_capacity = 8;
    options.on_full = MB_FULL_REJECT;
    batcher = made(&options);
    push(8);
    CHECK_STATUS(mb_batcher_push_int64(batcher, 1, 1), MB_ERR_QUEUE_FULL);
    CHECK_OK(mb_batcher_run(batcher));
    push(3);
    CHECK_OK(mb_batcher_stats_text(batcher, page, sizeof page, &needed));
    CHECK_EQ(needed, strlen(page) + 1);
    check_page(page);
    CHECK(series(page, "microbatch_accepted_total") == 11);
    CHECK(series(page, "microbatch_outcomes_total{outcome=\"ok\"}") == 4);
    CHECK(series(page, "microbatch_outcomes_total{outcome=\"failed\"}") == 4);
    CHECK(series(page, "microbatch_outcomes_total{outcome=\"expired\"}") == 0);
    CHECK(series(page, "microbatch_outstanding") == 3);
    CHECK(series(page, "microbatch_waiting") == 3);
    CHECK(series(page, "microbatch_sealed_total{trigger=\"size\"}") == 2);
    CHECK(series(page, "microbatch_refusals_total{status=\"QUEUE_FULL\"}") == 1);
    CHECK(series(page, "microbatch_batches_total") == 2);
    CHECK(series(page, "microbatch_batch_size_sum") == 8);
    CHECK(series(page, "microbatch_batch_size_count") == 2);
    CHECK(series(page, "microbatch_batch_size_bucket{le=\"+Inf\"}") == 2);

    /* Whatever room there is: cut, ended by a NUL, and nothing behind it. */
    for (capacity = 0; capacity <= needed + 8; capacity++) {
        memset(again, 0x5a, needed + 16);
        same = 77;
        CHECK_OK(mb_batcher_stats_text(batcher, capacity ? again : NULL, capacity, &same));
        CHECK_EQ(same, needed);
        if (capacity > 0) {
            size_t used = capacity < needed ? capacity - 1 : needed - 1;
            CHECK(memcmp(again, page, used) == 0);
            CHECK_EQ(again[used], 0);
        }
        CHECK_EQ(again[capacity], 0x5a);
    }
    CHECK_OK(mb_batcher_stats_text(batcher, NULL, 0, NULL));
    CHECK_OK(mb_batcher_free(batcher));
}

/* "Values in the result set that is being delivered." */
static void delivering(void)
{
    mb_options options = timeless();
    options.handler = fail_odd;
    options.on_result = look_inside;
    batcher = made(&options);
    push(5);
    CHECK_EQ(stats_of(batcher).delivering, 0);
    CHECK_OK(mb_batcher_flush(batcher, 0));
    CHECK_EQ(stats_of(batcher).delivering, 0);
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EQ(delivering_inside, 5);
}

/* "From each batch's dispatch until its last part was finished": once a batch, whoever finishes it, and when. */
static mb_batch *kept;

static mb_status keep(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    CHECK_OK(mb_batch_keep(batch));
    kept = batch;
    return MB_OK;
}

static void handler_times(void)
{
    static const uint64_t TIMES[2] = { 7, 300 };
    mb_options options = timeless();
    mb_stats stats;
    int mixed;
    for (mixed = 0; mixed < 2; mixed++) {
        int64_t now = 0;
        size_t round;
        options.handler = keep;
        options.by_kind[MB_KIND_NULL].call = mixed ? work : NULL;
        options.by_kind[MB_KIND_STRING].call = mixed ? work : NULL;
        batcher = made(&options);
        for (round = 0; round < 2; round++) {
            push(1);
            if (mixed) {
                CHECK_OK(mb_batcher_push_null(batcher, 1));
                CHECK_OK(mb_batcher_push_string(batcher, "a", 1, 2));
            }
            CHECK_OK(mb_batcher_seal(batcher));
            CHECK_OK(mb_batcher_run(batcher));
            now += (int64_t)TIMES[round];
            CHECK_OK(mb_batcher_advance(batcher, now));
            CHECK_OK(mb_batch_complete_ok(kept));
            CHECK_OK(mb_batcher_run(batcher));
        }
        stats = stats_of(batcher);
        CHECK_EQ(stats.ok, mixed ? 6 : 2);
        CHECK_EQ(stats.batches, 2);
        check_histogram(&stats.handler_time, TIMES, 2);
        CHECK_OK(mb_batcher_free(batcher));
    }
    check_histogram(&pulled_times, WORKS, 5);
}

int main(void)
{
    watchdog();
    outcomes();
    triggers();
    handled_histograms();
    late_and_stuck();
    text();
    histograms();
    delivering();
    handler_times();
    return 0;
}
