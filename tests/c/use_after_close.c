/* P24: after close pushes, seal and new flushes answer CLOSED, and everything else works as before. */

#include "calls.h"

/* What each call answers, once everything is drained. */
static mb_status after_close(const call *made, int manual, int pulled)
{
    static const struct { const char *name; mb_status manual, threaded; } ANSWERS[] = {
        { "mb_batcher_flush_end", MB_OK, MB_OK },
        { "mb_batcher_flush_reached", MB_OK, MB_OK },
        { "mb_batcher_close", MB_OK, MB_OK },
        { "mb_batcher_cancel", MB_ERR_NOT_FOUND, MB_ERR_NOT_FOUND },
        { "mb_producer_new", MB_OK, MB_OK },
        { "mb_batcher_run", MB_OK, MB_ERR_WRONG_MODE },
        { "mb_batcher_advance", MB_OK, MB_ERR_WRONG_MODE },
        { "mb_batcher_next_due", MB_OK, MB_OK },
        { "mb_batcher_now", MB_OK, MB_OK },
        { "mb_batcher_fd", MB_OK, MB_OK },
        { "mb_batcher_stats", MB_OK, MB_OK },
        { "mb_batcher_stats_text", MB_OK, MB_OK },
        { "mb_batcher_share", MB_OK, MB_OK },
    };
    size_t at;
    for (at = 0; at < sizeof ANSWERS / sizeof ANSWERS[0]; at++) {
        if (strcmp(ANSWERS[at].name, made->name) == 0) {
            return manual ? ANSWERS[at].manual : ANSWERS[at].threaded;
        }
    }
    if (!pulled && (made->make == call_next_batch || made->make == call_next_results)) {
        return MB_ERR_WRONG_MODE;
    }
    return MB_ERR_CLOSED;
}

static void check_closed(mb_batcher *batcher, mb_producer *producer, int manual, int pulled)
{
    mb_stats before = stats_of(batcher);
    size_t at;
    for (at = 0; at < CALL_COUNT; at++) {
        if (CALLS[at].takes == BATCHER && !CALLS[at].ends) {
            outputs_reset();
            outputs.producer = NULL;
            check_call(&CALLS[at], batcher, after_close(&CALLS[at], manual, pulled), "a closed batcher");
            if (CALLS[at].make == call_producer_new) {
                CHECK_STATUS(mb_producer_push_int64(outputs.producer, 1, 1), MB_ERR_CLOSED);
                CHECK_OK(mb_producer_free(outputs.producer));
            }
        }
        if (CALLS[at].takes == PRODUCER && !CALLS[at].ends) {
            check_call(&CALLS[at], producer, MB_ERR_CLOSED, "a producer of a closed batcher");
        }
    }
    CHECK_EQ(stats_of(batcher).accepted, before.accepted);
}

/* A push that cannot be at all says so also after close. */
static void check_arguments_first(mb_batcher *batcher)
{
    mb_value unknown = value_of(77);
    mb_error *error = NULL;
    CHECK_STATUS(mb_batcher_push_string(batcher, "\xff", 1, 1), MB_ERR_INVALID_UTF8);
    CHECK_STATUS(mb_batcher_push_bool(batcher, 2, 1), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batcher_push_value(batcher, &unknown, 1, NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batcher_push_object(batcher, 99, 1, 0, 1), MB_ERR_WRONG_OWNER);
    CHECK_STATUS(mb_batcher_check(batcher, call_values, &error), MB_ERR_CLOSED);
    CHECK_CONTAINS(mb_error_message(error), "closed");
    mb_error_free(error);
}

static void in_mode(uint32_t mode, int pulled)
{
    int manual = mode == MB_MODE_MANUAL;
    mb_options options = manual ? timeless() : defaults();
    mb_batcher *batcher;
    mb_producer *producer = NULL;
    ledger book;
    uint64_t left = 77;

    ledger_open(&book, 4);
    options.owner = 1;
    if (pulled) {
        options.results = MB_RESULTS_PULL;
    } else {
        options.handler = echo;
        options.on_result = note_results;
        options.result_data = &book;
    }
    batcher = made(&options);
    CHECK_OK(mb_producer_new(batcher, &producer));
    if (!pulled) {
        CHECK_OK(mb_batcher_push_int64(batcher, 5, 0));
        CHECK_OK(mb_producer_push_int64(producer, 6, 1));
    }
    CHECK_OK(mb_batcher_close(batcher, 30 * MB_S, &left));
    CHECK_EQ(left, 0);
    if (!pulled) {
        CHECK_EXACTLY_ONCE(&book, 2);
        CHECK_EQ(RESULT(&book, 0)->cell, 5);
    }
    check_closed(batcher, producer, manual, pulled);
    check_arguments_first(batcher);
    CHECK_OK(mb_producer_free(producer));
    CHECK_OK(mb_batcher_free(batcher));
    ledger_close(&book);
}

/* What waits when a batcher closes: pushes that block, callers of room, next_batch and next_results, and a second
   closer. */

static mb_batcher *waited_for;

static void *push_and_wait(void *status)
{
    *(mb_status *)status = mb_batcher_push_int64(waited_for, 3, 3);
    return NULL;
}

static void *wait_for_room(void *status)
{
    *(mb_status *)status = mb_batcher_room(waited_for, MB_FOREVER);
    return NULL;
}

static void *wait_for_results(void *status)
{
    mb_results *results = NULL;
    while ((*(mb_status *)status = mb_batcher_next_results(waited_for, MB_FOREVER, &results)) == MB_OK) {
        CHECK_OK(mb_results_free(results));
    }
    return NULL;
}

static void *wait_for_batch(void *status)
{
    mb_batch *batch = NULL;
    while ((*(mb_status *)status = mb_batcher_next_batch(waited_for, MB_FOREVER, &batch)) == MB_OK) {
        CHECK_OK(mb_batch_complete_ok(batch));
    }
    return NULL;
}

static void *close_too(void *status)
{
    *(mb_status *)status = mb_batcher_close(waited_for, MB_FOREVER, NULL);
    return NULL;
}

static void pause_a_little(void)
{
    struct timespec pause = { 0, 20000000 };
    nanosleep(&pause, NULL);
}

static void waiters(void)
{
    mb_options options = defaults();
    pthread_t threads[5];
    mb_status answers[5];
    size_t at;
    door stuck = DOOR;
    uint64_t left = 77;

    /* One value in a handler that does not return, one that fills the queue. */
    options.handler = stop_at_door;
    options.handler_data = &stuck;
    options.queue_capacity = 1;
    options.push_timeout = MB_FOREVER;
    waited_for = made(&options);
    CHECK_OK(mb_batcher_push_int64(waited_for, 1, 1));
    door_wait(&stuck, 1);
    CHECK_OK(mb_batcher_push_int64(waited_for, 2, 2));
    threads[0] = started(push_and_wait, &answers[0]);
    threads[1] = started(push_and_wait, &answers[1]);
    threads[2] = started(wait_for_room, &answers[2]);
    pause_a_little();
    CHECK_STATUS(mb_batcher_close(waited_for, 20 * MB_MS, &left), MB_ERR_TIMEOUT);
    CHECK_EQ(left, 2);
    for (at = 0; at < 3; at++) {
        joined(threads[at]);
        CHECK_STATUS(answers[at], MB_ERR_CLOSED);
    }
    /* The discards stand although the handler is inside still. */
    CHECK_EQ(stats_of(waited_for).discarded, 2);
    CHECK_EQ(stats_of(waited_for).stuck, 1);
    door_open(&stuck);
    CHECK_OK(mb_batcher_free(waited_for));

    options = defaults();
    options.results = MB_RESULTS_PULL;
    waited_for = made(&options);
    threads[0] = started(wait_for_results, &answers[0]);
    threads[1] = started(wait_for_results, &answers[1]);
    threads[2] = started(wait_for_batch, &answers[2]);
    threads[3] = started(wait_for_batch, &answers[3]);
    CHECK_OK(mb_batcher_push_int64(waited_for, 1, 1));
    pause_a_little();
    threads[4] = started(close_too, &answers[4]);
    CHECK_OK(mb_batcher_close(waited_for, MB_FOREVER, &left));
    CHECK_EQ(left, 0);
    for (at = 0; at < 5; at++) {
        joined(threads[at]);
        CHECK_STATUS(answers[at], at < 4 ? MB_ERR_CLOSED : MB_OK);
    }
    CHECK_EQ(stats_of(waited_for).ok, 1);
    CHECK_OK(mb_batcher_free(waited_for));
}

int main(void)
{
    watchdog();
    calls_ready();
    in_mode(MB_MODE_MANUAL, 0);
    in_mode(MB_MODE_THREADED, 0);
    in_mode(MB_MODE_MANUAL, 1);
    in_mode(MB_MODE_THREADED, 1);
    waiters();
    return 0;
}
