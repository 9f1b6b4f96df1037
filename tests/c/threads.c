/* P11, P15, P16: eight threads push by every way there is, while others cancel, look at the stats and flush. Every
   accepted value has exactly one result; what one thread pushed is dispatched in its order; the law holds in every
   snapshot, and a snapshot includes what was pushed before it. */

#include "kit.h"

#define PRODUCERS 8
#define EACH 6000

static mb_batcher *batcher;
static ledger book;
static uint64_t accepted[PRODUCERS];
static uint64_t refused;
static uint64_t finished;
/* By producer: the number of the last value of its that a handler saw. With one handler thread they only grow. */
static int64_t last[PRODUCERS];
static int check_order;
static int failing;
/* Pushes wait for room. */
static int blocks;

static uint64_t tag_of(size_t producer, uint64_t number)
{
    return producer * EACH + number;
}

static mb_status handler(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = batch_view(batch);
    static uint64_t calls;
    size_t row;
    (void)user_data;
    (void)api;
    for (row = 0; row < view.count && check_order; row++) {
        size_t producer = view.tags[row] / EACH;
        int64_t number = (int64_t)(view.tags[row] % EACH);
        CHECK(producer < PRODUCERS);
        if (number <= last[producer]) {
            FAIL("value %d of thread %d came after %d", (int)number, (int)producer, (int)last[producer]);
        }
        last[producer] = number;
    }
    if (failing && count_up(&calls) % 7 == 0) {
        return 13;
    }
    answer_all(batch);
    if (failing) {
        mb_batch_fail(batch, 0, 14, "Row", "this row only", 13);
    }
    return MB_OK;
}

static void note(mb_status status, size_t producer, uint64_t tag)
{
    if (status == MB_OK) {
        accepted[producer] += 1;
    } else {
        CHECK(status == (blocks ? MB_OK : MB_ERR_QUEUE_FULL) || status == (blocks ? MB_OK : MB_ERR_RESULTS_FULL));
        count_up(&refused);
        /* Its result will not come: so that the tag is seen once all the same. */
        pthread_mutex_lock(&book.lock);
        book.entries[tag].times += 1;
        book.rows += 1;
        pthread_mutex_unlock(&book.lock);
    }
}

/* Each thread goes round all the ways to push. */
static void *produce(void *argument)
{
    size_t me = (size_t)argument;
    mb_producer *producer = NULL;
    uint64_t number = 0;
    int64_t integers[16];
    double floats[16];
    int32_t offsets[17];
    mb_value values[16];
    size_t at;
    if (me % 2 == 1) {
        CHECK_OK(mb_producer_new(batcher, &producer));
    }
    while (number < EACH) {
        uint64_t tag = tag_of(me, number);
        size_t many = EACH - number < 16 ? EACH - number : 16;
        size_t taken = 77;
        mb_status status = MB_OK;
        for (at = 0; at < many; at++) {
            integers[at] = (int64_t)(tag + at);
            floats[at] = (double)(tag + at);
            offsets[at] = (int32_t)at;
            values[at] = at % 2 ? text_value(MB_KIND_STRING, "value", 5) : int64_value((int64_t)(tag + at));
        }
        offsets[many] = (int32_t)many;
        if (producer) {
            status = number % 5 == 4 ? mb_producer_push_string(producer, "by producer", 11, tag)
                                     : mb_producer_push_int64(producer, (int64_t)tag, tag);
            note(status, me, tag);
            number += 1;
            continue;
        }
        switch (number / 16 % 7) {
        case 0:
            status = mb_batcher_push_int64s(batcher, integers, NULL, many, NULL, tag, NULL, &taken);
            break;
        case 1:
            status = mb_batcher_push_float64s(batcher, floats, NULL, many, NULL, tag, NULL, &taken);
            break;
        case 2:
            status = mb_batcher_push_strings(batcher, "sixteen bytes ..", offsets, NULL, many, NULL, tag, NULL, &taken);
            break;
        case 3:
            status = mb_batcher_push_values(batcher, values, many, NULL, tag, NULL, &taken);
            break;
        default:
            for (at = 0; at < many; at++) {
                note(at % 3 ? mb_batcher_push_int64(batcher, (int64_t)tag, tag + at)
                            : mb_batcher_push_string(batcher, "one", 3, tag + at),
                     me, tag + at);
            }
            number += many;
            continue;
        }
        for (at = 0; at < taken; at++) {
            note(MB_OK, me, tag + at);
        }
        for (at = taken; at < many; at++) {
            note(status, me, tag + at);
        }
        number += many;
    }
    CHECK_OK(mb_producer_free(producer));
    count_up(&finished);
    return NULL;
}

/* Looks while the others push. */
static void *watch(void *unused)
{
    uint64_t before = 0;
    uint64_t round = 0;
    char text[20000];
    (void)unused;
    while (counted(&finished) < PRODUCERS) {
        mb_stats stats = stats_of(batcher);
        CHECK(stats.accepted >= before);
        if (stats.waiting > 3000) {
            FAIL("%d values wait, and the queue takes 3000", (int)stats.waiting);
        }
        before = stats.accepted;
        if (round % 8 == 1) {
            mb_batcher_cancel(batcher, round % (PRODUCERS * EACH), NULL);
        }
        if (round % 16 == 3) {
            CHECK_OK(mb_batcher_seal(batcher));
        }
        if (round % 64 == 5) {
            CHECK_OK(mb_batcher_stats_text(batcher, text, sizeof text, NULL));
        }
        if (round % 64 == 7) {
            mb_status status = mb_batcher_flush(batcher, MB_MS);
            CHECK(status == MB_OK || status == MB_ERR_TIMEOUT);
        }
        round += 1;
        sched_yield();
    }
    return NULL;
}

static void play(uint32_t threads, uint32_t on_full, int fails)
{
    mb_options options = defaults();
    pthread_t producers[PRODUCERS];
    pthread_t watcher;
    mb_stats stats;
    uint64_t all = 0;
    size_t at;

    refused = finished = 0;
    failing = fails;
    blocks = on_full == MB_FULL_BLOCK;
    /* Producers' handles give up order among themselves, not within one. */
    check_order = threads == 1;
    memset(accepted, 0, sizeof accepted);
    for (at = 0; at < PRODUCERS; at++) {
        last[at] = -1;
    }
    ledger_open(&book, PRODUCERS * EACH);
    options.handler = handler;
    options.on_result = note_results;
    options.result_data = &book;
    options.threads = threads;
    options.on_full = on_full;
    options.queue_capacity = 3000;
    options.max_batch_size = 100;
    batcher = made(&options);
    watcher = started(watch, NULL);
    for (at = 0; at < PRODUCERS; at++) {
        producers[at] = started(produce, (void *)at);
    }
    for (at = 0; at < PRODUCERS; at++) {
        joined(producers[at]);
    }
    joined(watcher);
    /* What was pushed before is in the snapshot. */
    for (at = 0; at < PRODUCERS; at++) {
        all += accepted[at];
    }
    CHECK_EQ(stats_of(batcher).accepted, all);
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_EXACTLY_ONCE(&book, PRODUCERS * EACH);
    stats = stats_of(batcher);
    CHECK_EQ(stats.outstanding, 0);
    CHECK_EQ(stats.undelivered, 0);
    CHECK_EQ(stats.ok, book.by_outcome[MB_OUTCOME_OK]);
    CHECK_EQ(stats.failed, book.by_outcome[MB_OUTCOME_FAILED]);
    CHECK_EQ(stats.cancelled, book.by_outcome[MB_OUTCOME_CANCELLED]);
    CHECK_EQ(stats.discarded, book.by_outcome[MB_OUTCOME_DISCARDED]);
    CHECK_EQ(all + refused, PRODUCERS * EACH);
    CHECK(fails == (stats.failed > 0));
    CHECK_OK(mb_batcher_free(batcher));
    ledger_close(&book);
}

/* P22: the queue's bound is never passed, whatever the values came by. In one thread: the places that producers hold and
   the batcher's own pushes must not count on the same room. */
static void bounded(uint64_t by_batcher)
{
    mb_options options = timeless();
    mb_producer *producers[2] = { NULL, NULL };
    uint64_t taken = 0;
    mb_stats stats;
    size_t at;
    size_t number;
    options.handler = echo;
    options.queue_capacity = 512;
    options.max_batch_size = 512;
    options.on_full = MB_FULL_REJECT;
    batcher = made(&options);
    for (at = 0; at < 2; at++) {
        CHECK_OK(mb_producer_new(batcher, &producers[at]));
        CHECK_OK(mb_producer_push_int64(producers[at], 1, 0));
        taken += 1;
    }
    while (taken < by_batcher && mb_batcher_push_int64(batcher, 1, 0) == MB_OK) {
        taken += 1;
    }
    for (at = 0; at < 2; at++) {
        /* As many as a producer may stage without asking. */
        for (number = 0; number < 64 && mb_producer_push_int64(producers[at], 1, 0) == MB_OK; number++) {
            taken += 1;
        }
    }
    stats = stats_of(batcher);
    CHECK_EQ(stats.accepted, taken);
    if (stats.waiting > 512) {
        FAIL("%d values wait, %d of them before the producers went on, and the queue takes 512", (int)stats.waiting,
             (int)by_batcher);
    }
    for (at = 0; at < 2; at++) {
        CHECK_OK(mb_producer_free(producers[at]));
    }
    CHECK_OK(mb_batcher_free(batcher));
}

int main(void)
{
    uint64_t by_batcher;
    watchdog();
    for (by_batcher = 2; by_batcher <= 512; by_batcher++) {
        bounded(by_batcher);
    }
    play(1, MB_FULL_BLOCK, 0);
    play(4, MB_FULL_BLOCK, 1);
    play(2, MB_FULL_REJECT, 0);
    play(1, MB_FULL_DISCARD_OLDEST, 1);
    return 0;
}
