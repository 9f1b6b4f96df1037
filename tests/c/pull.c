/* P29, P19: a host that pulls takes whole batches and whole sets of results from threads of its own. */

#include "kit.h"

#include <poll.h>

static mb_batcher *batcher;
static ledger book;

/* ---- threaded: some threads take batches, some take results --------------------------------------------- */

static uint64_t handled;
static uint64_t ended;

static void *take_batches(void *unused)
{
    mb_status status;
    mb_batch *batch = NULL;
    (void)unused;
    while ((status = mb_batcher_next_batch(batcher, MB_FOREVER, &batch)) == MB_OK) {
        mb_batch_view view = batch_view(batch);
        CHECK(view.count > 0 && view.positions == NULL);
        __atomic_add_fetch(&handled, view.count, __ATOMIC_SEQ_CST);
        answer_all(batch);
        CHECK_OK(mb_batch_complete(batch));
    }
    CHECK_STATUS(status, MB_ERR_CLOSED);
    count_up(&ended);
    return NULL;
}

static void *take_results(void *unused)
{
    mb_status status;
    mb_results *results = NULL;
    (void)unused;
    while ((status = mb_batcher_next_results(batcher, MB_FOREVER, &results)) == MB_OK) {
        ledger_note(&book, results);
        CHECK_OK(mb_results_free(results));
    }
    CHECK_STATUS(status, MB_ERR_CLOSED);
    count_up(&ended);
    return NULL;
}

/* Threads of this process. */
static size_t thread_count(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    int count = 0;
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "Threads: %d", &count) == 1) {
            break;
        }
    }
    fclose(file);
    return (size_t)count;
}

#define PUSHED 20000

static void in_threads(void)
{
    mb_options options = defaults();
    size_t before = thread_count();
    pthread_t threads[5];
    uint64_t tag;
    size_t at;
    ledger_open(&book, PUSHED);
    options.results = MB_RESULTS_PULL;
    options.max_in_flight = 3;
    options.max_batch_size = 64;
    batcher = made(&options);
    /* One thread for time, none for handlers. */
    CHECK_EQ(thread_count(), before + 1);
    for (at = 0; at < 5; at++) {
        threads[at] = started(at < 3 ? take_batches : take_results, NULL);
    }
    for (tag = 0; tag < PUSHED; tag++) {
        CHECK_OK(tag % 16 == 0 ? mb_batcher_push_string(batcher, "text", 4, tag)
                               : mb_batcher_push_int64(batcher, (int64_t)tag, tag));
    }
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    for (at = 0; at < 5; at++) {
        joined(threads[at]);
    }
    CHECK_EQ(ended, 5);
    CHECK_EQ(handled, PUSHED);
    CHECK_EXACTLY_ONCE(&book, PUSHED);
    CHECK_EQ(book.by_outcome[MB_OUTCOME_OK], PUSHED);
    for (tag = 0; tag < PUSHED; tag++) {
        if (tag % 16 == 0) {
            CHECK_TEXT(RESULT(&book, tag)->text, "text");
        } else {
            CHECK_EQ(RESULT(&book, tag)->cell, tag);
        }
    }
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EQ(thread_count(), before);
    ledger_close(&book);
}

/* ---- time-outs ------------------------------------------------------------------------------------------ */

static int64_t monotonic(void)
{
    struct timespec now;
    CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return now.tv_sec * MB_S + now.tv_nsec;
}

static void timeouts(void)
{
    mb_options options = defaults();
    mb_batch *batch = NULL;
    mb_results *results = NULL;
    int64_t began;
    int64_t now;
    options.results = MB_RESULTS_PULL;
    batcher = made(&options);
    began = monotonic();
    CHECK_OK(mb_batcher_now(batcher, &now));
    CHECK(now >= began && now <= monotonic());
    CHECK_STATUS(mb_batcher_next_batch(batcher, 0, &batch), MB_ERR_TIMEOUT);
    CHECK_STATUS(mb_batcher_next_results(batcher, 0, &results), MB_ERR_TIMEOUT);
    CHECK_STATUS(mb_batcher_next_batch(batcher, 20 * MB_MS, &batch), MB_ERR_TIMEOUT);
    CHECK(monotonic() - began >= 20 * MB_MS);
    CHECK_STATUS(mb_batcher_next_results(batcher, 20 * MB_MS, &results), MB_ERR_TIMEOUT);
    CHECK(monotonic() - began >= 40 * MB_MS);
    CHECK(batch == NULL && results == NULL);

    /* The batch goes first, then its results; closed and empty is CLOSED. */
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
    CHECK_EQ(batch_view(batch).trigger, MB_TRIGGER_IDLE);
    CHECK_STATUS(mb_batcher_next_results(batcher, MB_MS, &results), MB_ERR_TIMEOUT);
    CHECK_OK(mb_batch_complete_ok(batch));
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_OK(mb_batcher_next_results(batcher, MB_FOREVER, &results));
    CHECK_OK(mb_results_free(results));
    CHECK_STATUS(mb_batcher_next_results(batcher, MB_FOREVER, &results), MB_ERR_CLOSED);
    CHECK_STATUS(mb_batcher_next_batch(batcher, MB_FOREVER, &batch), MB_ERR_CLOSED);
    CHECK_OK(mb_batcher_free(batcher));
}

/* ---- manual, by the descriptor -------------------------------------------------------------------------- */

static int readable(int timeout)
{
    struct pollfd at;
    int32_t fd = -1;
    CHECK_OK(mb_batcher_fd(batcher, &fd));
    at.fd = fd;
    at.events = POLLIN;
    at.revents = 0;
    return poll(&at, 1, timeout) == 1;
}

static void by_descriptor(void)
{
    mb_options options = defaults();
    size_t before = thread_count();
    mb_batch *batch = NULL;
    mb_results *results = NULL;
    int round;
    ledger_open(&book, 64);
    options.mode = MB_MODE_MANUAL;
    options.results = MB_RESULTS_PULL;
    options.max_delay = 2 * MB_MS;
    options.max_batch_size = 4;
    batcher = made(&options);
    CHECK(!readable(0));
    for (round = 0; round < 8; round++) {
        uint64_t tag;
        for (tag = 0; tag < 6; tag++) {
            CHECK_OK(mb_batcher_push_int64(batcher, round, (uint64_t)round * 6 + tag));
        }
        /* Four by SIZE at once, two by DELAY. */
        CHECK(readable(-1));
        CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
        CHECK_EQ(batch_view(batch).trigger, MB_TRIGGER_SIZE);
        answer_all(batch);
        CHECK_OK(mb_batch_complete(batch));
        CHECK(readable(-1));
        CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
        ledger_note(&book, results);
        CHECK_OK(mb_results_free(results));
        CHECK(readable(-1));
        CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
        CHECK_EQ(batch_view(batch).trigger, MB_TRIGGER_DELAY);
        CHECK_EQ(batch_view(batch).count, 2);
        CHECK(batch_view(batch).age >= 2 * MB_MS);
        CHECK_OK(mb_batch_complete_ok(batch));
        CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
        ledger_note(&book, results);
        CHECK_OK(mb_results_free(results));
        CHECK(!readable(0));
    }
    CHECK_EXACTLY_ONCE(&book, 48);
    CHECK_EQ(thread_count(), before);
    CHECK_OK(mb_batcher_free(batcher));
    ledger_close(&book);
}

/* P23: asking whether a mark is reached drives nothing, and the descriptor is not for those who ask so. */
static void reached(void)
{
    mb_options options = timeless();
    mb_batch *batch = NULL;
    mb_results *results = NULL;
    uint64_t mark = 0, empty = 0;
    options.results = MB_RESULTS_PULL;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_flush_begin(batcher, &mark));
    CHECK_STATUS(mb_batcher_flush_reached(batcher, mark), MB_ERR_IN_PROGRESS);
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    CHECK_OK(mb_batch_complete_ok(batch));
    CHECK_STATUS(mb_batcher_flush_reached(batcher, mark), MB_ERR_IN_PROGRESS);
    CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
    CHECK_OK(mb_results_free(results));
    CHECK(!readable(0));
    CHECK_OK(mb_batcher_flush_reached(batcher, mark));
    CHECK_OK(mb_batcher_flush_begin(batcher, &empty));
    CHECK(readable(-1));
    CHECK_OK(mb_batcher_flush_reached(batcher, empty));
    CHECK(!readable(0));
    CHECK_OK(mb_batcher_free(batcher));
}

/* ---- the wrong mode ------------------------------------------------------------------------------------- */

static void wrong_modes(void)
{
    mb_options options = defaults();
    mb_batch *batch = NULL;
    mb_results *results = NULL;
    options.handler = echo;
    batcher = made(&options);
    CHECK_STATUS(mb_batcher_next_batch(batcher, 0, &batch), MB_ERR_WRONG_MODE);
    CHECK_STATUS(mb_batcher_next_results(batcher, 0, &results), MB_ERR_WRONG_MODE);
    CHECK_STATUS(mb_batcher_run(batcher), MB_ERR_WRONG_MODE);
    CHECK_STATUS(mb_batcher_advance(batcher, 1), MB_ERR_WRONG_MODE);
    CHECK_OK(mb_batcher_free(batcher));
    options.mode = MB_MODE_MANUAL;
    batcher = made(&options);
    CHECK_STATUS(mb_batcher_advance(batcher, 1), MB_ERR_WRONG_MODE);
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_OK(mb_batcher_free(batcher));
}

/* Handlers and pulled results together. */
static void results_only(void)
{
    mb_options options = defaults();
    mb_results *results = NULL;
    uint64_t rows = 0;
    uint64_t tag;
    options.handler = echo;
    options.results = MB_RESULTS_PULL;
    ledger_open(&book, 100);
    batcher = made(&options);
    for (tag = 0; tag < 100; tag++) {
        CHECK_OK(mb_batcher_push_int64(batcher, 5, tag));
    }
    while (rows < 100) {
        CHECK_OK(mb_batcher_next_results(batcher, MB_FOREVER, &results));
        rows += results_view(results).count;
        ledger_note(&book, results);
        CHECK_OK(mb_results_free(results));
    }
    CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
    CHECK_EXACTLY_ONCE(&book, 100);
    CHECK_OK(mb_batcher_free(batcher));
    ledger_close(&book);
}

/* A set has no more than there is: errors and columns of what failed. */
static void failures(void)
{
    mb_options options = timeless();
    mb_batch *batch = NULL;
    mb_results *results = NULL;
    mb_results_view view;
    mb_row_error why;
    mb_column column;
    mb_value value;
    options.results = MB_RESULTS_PULL;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 10));
    CHECK_OK(mb_batcher_push_int64(batcher, 2, 11));
    CHECK_OK(mb_batcher_push_int64(batcher, 3, 12));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    CHECK_OK(mb_batch_set_string(batch, 0, "fine", 4));
    CHECK_OK(mb_batch_fail(batch, 1, 7, "IOError", "no space left\0 at all", 21));
    CHECK_OK(mb_batch_complete(batch));
    CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
    view = results_view(results);
    CHECK_EQ(view.count, 3);
    CHECK_EQ(view.all_ok, 0);
    CHECK_EQ(view.kind, MB_KIND_MIXED);
    CHECK_EQ(view.batch, 1);
    CHECK(view.outcomes[0] == MB_OUTCOME_OK && view.outcomes[1] == MB_OUTCOME_FAILED);
    CHECK_EQ(view.kinds[0], MB_KIND_STRING);
    CHECK_EQ(view.kinds[1], MB_KIND_NONE);
    CHECK_EQ(((const int64_t *)view.values)[1], 7);
    CHECK_EQ(((const int64_t *)view.values)[2], MB_ERR_NO_RESULT);
    why.struct_size = sizeof why;
    CHECK_OK(mb_results_error(results, 1, &why));
    CHECK_TEXT(why.type_name, "IOError");
    CHECK_EQ(why.length, 21);
    CHECK(memcmp(why.message, "no space left\0 at all", 22) == 0);
    CHECK_OK(mb_results_error(results, 2, &why));
    CHECK_TEXT(why.type_name, "");
    CHECK_TEXT(why.message, mb_status_text(MB_ERR_NO_RESULT));
    CHECK_STATUS(mb_results_value(results, 1, &value), 7);
    CHECK_STATUS(mb_results_value(results, 2, &value), MB_ERR_NO_RESULT);
    column.struct_size = sizeof column;
    CHECK_OK(mb_results_strings(results, &column));
    CHECK_EQ(column.offsets[0], 0);
    CHECK_EQ(column.offsets[1], 4);
    CHECK_EQ(column.offsets[3], 4);
    CHECK_OK(mb_results_free(results));
    CHECK_OK(mb_batcher_free(batcher));
}

int main(void)
{
    watchdog();
    in_threads();
    timeouts();
    by_descriptor();
    reached();
    wrong_modes();
    results_only();
    failures();
    return 0;
}
