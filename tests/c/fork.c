/* P31: after a fork the child gets FORKED from every call on an old handle, at once, may free it, and makes batchers of
   its own; the parent notices nothing. */

#include "calls.h"

#include <sys/wait.h>

static mb_batcher *batcher;
static mb_producer *producer;
static mb_batch *batch;
static mb_results *results;
static mb_error *error;
static ledger book;

/* Runs a part of the test in a child; its end is checked here. */
static void in_child(void (*part)(void))
{
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        watchdog();
        part();
        _exit(42);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 42) {
        FAIL("the child ended with %d", status);
    }
}

/* What the old handles of a batcher answer: every function, at once. */
static void old_batcher(void)
{
    size_t at;
    for (at = 0; at < CALL_COUNT; at++) {
        if ((CALLS[at].takes == BATCHER || CALLS[at].takes == PRODUCER) && !CALLS[at].ends) {
            void *handle = CALLS[at].takes == BATCHER ? (void *)batcher : (void *)producer;
            outputs_reset();
            check_call(&CALLS[at], handle, MB_ERR_FORKED, "the parent's handle");
            outputs_untouched(CALLS[at].name);
        }
    }
    CHECK_STATUS(mb_batcher_flush(batcher, MB_FOREVER), MB_ERR_FORKED);
    CHECK_STATUS(mb_batcher_close(batcher, MB_FOREVER, NULL), MB_ERR_FORKED);
    CHECK_STATUS(mb_batcher_room(batcher, MB_FOREVER), MB_ERR_FORKED);
    CHECK_STATUS(mb_batcher_next_batch(batcher, MB_FOREVER, &outputs.batch), MB_ERR_FORKED);
    CHECK_STATUS(mb_batcher_next_results(batcher, MB_FOREVER, &outputs.results), MB_ERR_FORKED);
}

/* Frees what can be freed; afterwards the handles are none. */
static void free_old(void)
{
    mb_status status = mb_batcher_free(batcher);
    CHECK(status == MB_OK || status == MB_ERR_FORKED);
    CHECK_STATUS(mb_batcher_stats(batcher, &outputs.stats), MB_ERR_INVALID_HANDLE);
    CHECK_STATUS(mb_batcher_free(batcher), MB_ERR_INVALID_HANDLE);
    CHECK_OK(mb_producer_free(producer));
    CHECK_STATUS(mb_producer_push_int64(producer, 1, 1), MB_ERR_INVALID_HANDLE);
}

/* New batchers work in the child. */
static void new_batchers(void)
{
    int manual;
    for (manual = 0; manual < 2; manual++) {
        mb_options options = manual ? timeless() : defaults();
        mb_batcher *mine;
        ledger child_book;
        uint64_t tag;
        ledger_open(&child_book, 100);
        options.handler = echo;
        options.on_result = note_results;
        options.result_data = &child_book;
        mine = made(&options);
        for (tag = 0; tag < 100; tag++) {
            CHECK_OK(mb_batcher_push_int64(mine, 5, tag));
        }
        CHECK_OK(mb_batcher_flush(mine, MB_FOREVER));
        CHECK_OK(mb_batcher_close(mine, MB_FOREVER, NULL));
        CHECK_OK(mb_batcher_free(mine));
        CHECK_EXACTLY_ONCE(&child_book, 100);
        ledger_close(&child_book);
    }
}

static void grandchild(void)
{
    old_batcher();
    new_batchers();
}

static void child(void)
{
    old_batcher();
    new_batchers();
    /* The old ones are old still, after new ones. */
    old_batcher();
    in_child(grandchild);
    free_old();
    new_batchers();
}

static void child_that_abandons(void)
{
    mb_status status = mb_batcher_abandon(batcher);
    CHECK(status == MB_OK || status == MB_ERR_FORKED);
    CHECK_STATUS(mb_batcher_stats(batcher, &outputs.stats), MB_ERR_INVALID_HANDLE);
}

/* Batches and results that the parent held. */
static void child_with_holdings(void)
{
    CHECK_STATUS(mb_batch_complete(batch), MB_ERR_FORKED);
    CHECK_STATUS(mb_batch_complete(batch), MB_ERR_TOO_LATE);
    CHECK_OK(mb_results_free(results));
    CHECK_STATUS(mb_results_free(results), MB_ERR_INVALID_HANDLE);
    CHECK_TEXT(mb_error_subject(error), "max_delay");
    mb_error_free(error);
    free_old();
}

static void child_that_frees_holdings(void)
{
    mb_status status = mb_batch_free(batch);
    CHECK(status == MB_OK || status == MB_ERR_FORKED);
    CHECK_STATUS(mb_batch_free(batch), MB_ERR_TOO_LATE);
}

/* "From every call": batches and sets of the parent too. */
static void child_with_every_call(void)
{
    size_t at;
    for (at = 0; at < CALL_COUNT; at++) {
        if (CALLS[at].takes == BATCH && !CALLS[at].ends) {
            outputs_reset();
            check_call(&CALLS[at], batch, MB_ERR_FORKED, "the parent's batch");
        }
    }
    for (at = 0; at < CALL_COUNT; at++) {
        if (CALLS[at].takes == RESULTS && !CALLS[at].ends) {
            outputs_reset();
            check_call(&CALLS[at], results, MB_ERR_FORKED, "the parent's results");
        }
    }
}

#ifndef WITHOUT_BUSY_FORKS

/* ---- while the parent's threads are busy ----------------------------------------------------------------- */

static uint64_t stop_pushing;
static uint64_t pushed;

static void *keep_pushing(void *unused)
{
    (void)unused;
    while (!counted(&stop_pushing)) {
        CHECK_OK(mb_batcher_push_string(batcher, "a string of the parent", 22, 0));
        count_up(&pushed);
    }
    return NULL;
}

/* Forks when any lock of the library may be held by a thread that the child does not have. */
static void while_busy(void)
{
    mb_options options = defaults();
    pthread_t pushers[2];
    int round;
    mb_stats stats;
    options.handler = echo;
    options.threads = 2;
    batcher = made(&options);
    CHECK_OK(mb_producer_new(batcher, &producer));
    pushers[0] = started(keep_pushing, NULL);
    pushers[1] = started(keep_pushing, NULL);
    for (round = 0; round < 25; round++) {
        wait_count(&pushed, counted(&pushed) + 50);
        in_child(round % 5 == 0 ? child : round % 2 ? old_batcher : new_batchers);
        in_child(free_old);
    }
    count_up(&stop_pushing);
    joined(pushers[0]);
    joined(pushers[1]);
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    stats = stats_of(batcher);
    CHECK_EQ(stats.accepted, pushed);
    CHECK_EQ(stats.ok, pushed);
    CHECK_OK(mb_producer_free(producer));
    CHECK_OK(mb_batcher_free(batcher));
}

#endif

/* ---- inside a callback ------------------------------------------------------------------------------------ */

static mb_status fork_in_handler(void *user_data, mb_batch *given, const mb_api *api)
{
    (void)user_data;
    in_child(old_batcher);
    in_child(new_batchers);
    return echo(NULL, given, api);
}

static void inside_a_handler(void)
{
    int manual;
    for (manual = 0; manual < 2; manual++) {
        mb_options options = manual ? timeless() : defaults();
        options.handler = fork_in_handler;
        batcher = made(&options);
        CHECK_OK(mb_producer_new(batcher, &producer));
        CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
        CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
        CHECK_EQ(stats_of(batcher).ok, 1);
        CHECK_OK(mb_producer_free(producer));
        CHECK_OK(mb_batcher_free(batcher));
    }
}

/* ---- a quiet parent --------------------------------------------------------------------------------------- */

static void parent_is_untouched(uint32_t mode, int pulled)
{
    mb_options options = mode == MB_MODE_MANUAL ? timeless() : defaults();
    mb_stats before;
    mb_stats after;
    int round;
    ledger_open(&book, 10);
    options.max_in_flight = 2;
    if (pulled) {
        options.results = MB_RESULTS_PULL;
    } else {
        options.max_delay = MB_FOREVER;
        options.handler = echo;
        options.on_result = note_results;
        options.result_data = &book;
    }
    batcher = made(&options);
    CHECK_OK(mb_producer_new(batcher, &producer));
    if (pulled) {
        CHECK_OK(mb_batcher_push_int64(batcher, 1, 0));
        CHECK_OK(mb_batcher_seal(batcher));
        CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
        CHECK_OK(mb_batch_complete_ok(batch));
        CHECK_OK(mb_batcher_next_results(batcher, MB_FOREVER, &results));
        CHECK_OK(mb_batcher_push_int64(batcher, 1, 0));
        CHECK_OK(mb_batcher_push_int64(batcher, 2, 0));
        CHECK_OK(mb_batcher_seal(batcher));
        CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
        options = defaults();
        CHECK_STATUS(mb_options_set(&options, "max_delay", "soon", &error), MB_ERR_INVALID_OPTION);
    } else {
        for (round = 0; round < 5; round++) {
            CHECK_OK(mb_batcher_push_int64(batcher, round, (uint64_t)round));
        }
    }
    before = stats_of(batcher);
    in_child(child);
    in_child(child_that_abandons);
    if (pulled) {
        in_child(child_with_holdings);
        in_child(child_that_frees_holdings);
    }
    after = stats_of(batcher);
    CHECK_EQ(after.accepted, before.accepted);
    CHECK_EQ(after.outstanding, before.outstanding);
    CHECK_EQ(after.late, 0);
    CHECK_EQ(memcmp(after.refusals, before.refusals, sizeof after.refusals), 0);
    if (pulled) {
        mb_value value;
        CHECK_OK(mb_batch_value(batch, 1, &value));
        CHECK_EQ(value.as.int64, 2);
        CHECK_OK(mb_batch_complete_ok(batch));
        CHECK_OK(mb_results_free(results));
        mb_error_free(error);
    } else {
        CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
        CHECK_EXACTLY_ONCE(&book, 5);
    }
    CHECK_OK(mb_producer_free(producer));
    CHECK_OK(mb_batcher_free(batcher));
    ledger_close(&book);
}

static void every_call(void)
{
    mb_options options = timeless();
    options.results = MB_RESULTS_PULL;
    options.max_in_flight = 2;
    batcher = made(&options);
    hold_both(batcher, &batch, &results);
    in_child(child_with_every_call);
    CHECK_OK(mb_batch_complete_ok(batch));
    CHECK_OK(mb_results_free(results));
    CHECK_OK(mb_batcher_free(batcher));
}

int main(void)
{
    watchdog();
    calls_ready();
    parent_is_untouched(MB_MODE_THREADED, 0);
    parent_is_untouched(MB_MODE_MANUAL, 0);
    parent_is_untouched(MB_MODE_THREADED, 1);
    parent_is_untouched(MB_MODE_MANUAL, 1);
    inside_a_handler();
#ifndef WITHOUT_BUSY_FORKS
    while_busy();
#endif
    every_call();
    return 0;
}
