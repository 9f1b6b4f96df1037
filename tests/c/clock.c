/* P9, P20, P21: the wall clock jumps by years at every look, in both directions: delays, deadlines, time-outs and waits are
   as long as they were asked to be, and end.

   clock_gettime, gettimeofday and time are this program's own. CLOCK_MONOTONIC is the kernel's. */

#include "kit.h"

#include <sys/syscall.h>
#include <sys/time.h>

#ifndef JUMPING
#define JUMPING CLOCK_REALTIME
#endif

static uint64_t looks;

/* Years ahead, years back, and so on. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    long answer = syscall(SYS_clock_gettime, clock, now);
    if (answer == 0 && clock == JUMPING) {
        now->tv_sec += (count_up(&looks) % 2 ? 1 : -1) * 5L * 365 * 24 * 3600;
    }
    return (int)answer;
}

int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now != NULL) {
        *now = precise.tv_sec;
    }
    return precise.tv_sec;
}

/* What the kernel says, past all that. */
static int64_t kernel(void)
{
    struct timespec now;
    CHECK_EQ(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now), 0);
    return now.tv_sec * MB_S + now.tv_nsec;
}

static ledger book;
static int64_t handled_at[64];
static uint64_t handled;

static mb_status note_time(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = batch_view(batch);
    (void)user_data;
    (void)api;
    CHECK_EQ(view.trigger, MB_TRIGGER_DELAY);
    CHECK(view.age >= 5 * MB_MS && view.age < 600 * MB_S);
    handled_at[view.tags[0]] = kernel();
    mb_batch_complete_ok(batch);
    count_up(&handled);
    return MB_OK;
}

/* A batch waits for its delay, neither less nor for years. */
static void delays(void)
{
    mb_options options = defaults();
    mb_batcher *batcher;
    uint64_t tag;
    options.max_delay = 5 * MB_MS;
    options.handler = note_time;
    batcher = made(&options);
    for (tag = 0; tag < 20; tag++) {
        int64_t began = kernel();
        CHECK_OK(mb_batcher_push_int64(batcher, 1, tag));
        wait_count(&handled, tag + 1);
        CHECK(handled_at[tag] - began >= 5 * MB_MS);
    }
    CHECK_OK(mb_batcher_free(batcher));
}

/* So do waits of the host. */
static void waits(void)
{
    mb_options options = defaults();
    mb_batcher *batcher;
    mb_batch *batch = NULL;
    mb_results *results = NULL;
    uint64_t mark;
    int64_t began;
    options.results = MB_RESULTS_PULL;
    options.queue_capacity = 1;
    options.push_timeout = 10 * MB_MS;
    batcher = made(&options);
    began = kernel();
    CHECK_STATUS(mb_batcher_next_batch(batcher, 10 * MB_MS, &batch), MB_ERR_TIMEOUT);
    CHECK(kernel() - began >= 10 * MB_MS);
    began = kernel();
    CHECK_STATUS(mb_batcher_next_results(batcher, 10 * MB_MS, &results), MB_ERR_TIMEOUT);
    CHECK(kernel() - began >= 10 * MB_MS);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    began = kernel();
    CHECK_STATUS(mb_batcher_push_int64(batcher, 1, 1), MB_ERR_QUEUE_FULL);
    CHECK(kernel() - began >= 10 * MB_MS);
    CHECK_OK(mb_batcher_flush_begin(batcher, &mark));
    began = kernel();
    CHECK_STATUS(mb_batcher_flush_end(batcher, mark, 10 * MB_MS), MB_ERR_TIMEOUT);
    CHECK(kernel() - began >= 10 * MB_MS);
    began = kernel();
    CHECK_STATUS(mb_batcher_close(batcher, 10 * MB_MS, NULL), MB_ERR_TIMEOUT);
    CHECK(kernel() - began >= 10 * MB_MS);
    CHECK_OK(mb_batcher_free(batcher));
}

/* Deadlines and time-outs of handlers come, and not before their time. */
static void expiries(void)
{
    static door closed = DOOR;
    mb_options options = defaults();
    mb_push_options push = push_options();
    mb_value value = int64_value(1);
    mb_batcher *batcher;
    int64_t now;
    int64_t began;
    options.max_batch_size = 1;
    options.handler = stop_at_door;
    options.handler_data = &closed;
    options.handler_timeout = 20 * MB_MS;
    options.on_result = note_results;
    options.result_data = &book;
    ledger_open(&book, 2);
    batcher = made(&options);
    began = kernel();
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 0));
    door_wait(&closed, 1);
    CHECK_OK(mb_batcher_now(batcher, &now));
    push.deadline = now + 30 * MB_MS;
    CHECK_OK(mb_batcher_push_value(batcher, &value, 1, &push));
    ledger_wait(&book, 1);
    CHECK(kernel() - began >= 20 * MB_MS);
    ledger_wait(&book, 2);
    CHECK(kernel() - began >= 30 * MB_MS);
    CHECK_STATUS(RESULT(&book, 0)->code, MB_ERR_HANDLER_TIMEOUT);
    CHECK_STATUS(RESULT(&book, 1)->code, MB_ERR_DEADLINE);
    door_open(&closed);
    CHECK_OK(mb_batcher_free(batcher));
    ledger_close(&book);
}

int main(void)
{
    struct timespec one;
    struct timespec other;
    watchdog();
    clock_gettime(JUMPING, &one);
    clock_gettime(JUMPING, &other);
    CHECK(one.tv_sec - other.tv_sec > 3600 || other.tv_sec - one.tv_sec > 3600);
    delays();
    waits();
    expiries();
    return 0;
}
