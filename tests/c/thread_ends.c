/* P32: threads of the host that end with something of the library in their hands: producers, values just pushed, batches;
   and threads that are cancelled, which no call of the library acts upon: it returns first. */

#include "calls.h"
#include "end.h"

static ledger book;
static mb_batcher *batcher;
static uint64_t objects_released;

static void object_release(void *user_data, uint64_t word)
{
    (void)user_data;
    (void)word;
    count_up(&objects_released);
}

static mb_options noted(mb_options options, size_t tags)
{
    ledger_open(&book, tags);
    objects_released = 0;
    options.owner = 1;
    options.on_result = note_results;
    options.result_data = &book;
    options.object_release = object_release;
    return options;
}

/* ---- producers ---------------------------------------------------------------------------------------------- */

#define PUSHERS 6
#define EACH 40

typedef struct pusher {
    uint64_t first;
    mb_producer *producer;
    uint64_t pushed;
} pusher;

/* Pushes through a producer of its own and beside it, and ends without a word: values are waiting in the producer. */
static void *pushes_and_ends(void *argument)
{
    pusher *self = argument;
    uint64_t at;
    CHECK_OK(mb_producer_new(batcher, &self->producer));
    for (at = 0; at < EACH; at++) {
        uint64_t tag = self->first + at;
        mb_status status = at % 4 == 0   ? mb_producer_push_string(self->producer, "a string", 8, tag)
                           : at % 4 == 1 ? mb_producer_push_object(self->producer, 1, tag, 0, tag)
                           : at % 4 == 2 ? mb_batcher_push_int64(batcher, 1, tag)
                                         : mb_producer_push_int64(self->producer, 1, tag);
        CHECK_OK(status);
        self->pushed += 1;
    }
    end_thread();
    return NULL;
}

/* What they pushed has its results; their producers are good for whoever has them now. */
static void leave_producers(uint32_t mode)
{
    mb_options options = noted(mode == MB_MODE_MANUAL ? timeless() : defaults(), PUSHERS * (EACH + 1));
    pusher pushers[PUSHERS];
    pthread_t threads[PUSHERS];
    int at;
    options.handler = echo;
    options.max_batch_size = 16;
    options.max_delay = MB_FOREVER;
    batcher = made(&options);
    memset(pushers, 0, sizeof pushers);
    for (at = 0; at < PUSHERS; at++) {
        pushers[at].first = (uint64_t)at * EACH;
        threads[at] = started(pushes_and_ends, &pushers[at]);
        if (at % 2) {
            /* The next one may get its place, and its number. */
            joined(threads[at]);
        }
    }
    for (at = 0; at < PUSHERS; at += 2) {
        joined(threads[at]);
    }
    CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
    CHECK_EXACTLY_ONCE(&book, PUSHERS * EACH);
    CHECK_EQ(book.by_outcome[MB_OUTCOME_OK], PUSHERS * EACH);
    for (at = 0; at < PUSHERS; at++) {
        CHECK_EQ(pushers[at].pushed, EACH);
        CHECK_OK(mb_producer_push_int64(pushers[at].producer, 1, PUSHERS * EACH + (uint64_t)at));
        if (at % 2) {
            CHECK_OK(mb_producer_free(pushers[at].producer));
        }
    }
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_EXACTLY_ONCE(&book, PUSHERS * (EACH + 1));
    CHECK_OK(mb_batcher_free(batcher));
    for (at = 0; at < PUSHERS; at += 2) {
        CHECK_OK(mb_producer_free(pushers[at].producer));
    }
    CHECK_EQ(objects_released, PUSHERS * EACH / 4);
    ledger_close(&book);
}

/* ---- holders ------------------------------------------------------------------------------------------------ */

static mb_batch *pulled;
static mb_results *taken;

/* Takes a batch and a set of results, and ends. */
static void *takes_and_ends(void *unused)
{
    (void)unused;
    CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &pulled));
    CHECK_OK(mb_batch_set_int64(pulled, 0, 5));
    CHECK_OK(mb_batcher_next_results(batcher, MB_FOREVER, &taken));
    end_thread();
    return NULL;
}

static void leave_holdings(void)
{
    mb_options options = defaults();
    mb_batch *first = NULL;
    options.results = MB_RESULTS_PULL;
    options.max_in_flight = 2;
    options.max_batch_size = 1;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_push_int64(batcher, 2, 2));
    CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &first));
    CHECK_OK(mb_batch_complete_ok(first));
    joined(started(takes_and_ends, NULL));
    /* Another thread goes on where that one ended. */
    CHECK_EQ(results_view(taken).count, 1);
    CHECK_OK(mb_results_free(taken));
    CHECK_OK(mb_batch_complete(pulled));
    CHECK_OK(mb_batcher_next_results(batcher, MB_FOREVER, &taken));
    CHECK_EQ(((const int64_t *)results_view(taken).values)[0], 5);
    CHECK_OK(mb_results_free(taken));
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_OK(mb_batcher_free(batcher));
}

/* ---- cancelled before a call -------------------------------------------------------------------------------- */

static mb_producer *producer;
static mb_batch *batch;
static mb_results *results;
static uint64_t calls_made;

static void make(const call *made, void *handle)
{
    mb_status status;
    outputs_reset();
    outputs.producer = NULL;
    status = made->make(handle);
    CHECK(status != MB_ERR_INVALID_HANDLE && status != MB_ERR_INTERNAL);
    if (status == MB_OK && made->make == call_producer_new) {
        CHECK_OK(mb_producer_free(outputs.producer));
    }
    if (status == MB_OK && (made->make == call_batch_pin || made->make == call_next_batch)) {
        CHECK_OK(mb_batch_free(outputs.batch));
    }
    if (status == MB_OK && made->make == call_next_results) {
        CHECK_OK(mb_results_free(outputs.results));
    }
    count_up(&calls_made);
}

/* A thread whose cancellation is pending makes every call: none is a place where it ends. */
static void *makes_every_call(void *unused)
{
    static const enum handle ORDER[HANDLES] = { RESULTS, BATCH, PRODUCER, BATCHER };
    void *handles[HANDLES];
    size_t type;
    size_t at;
    int ending;
    (void)unused;
    CHECK_EQ(pthread_cancel(pthread_self()), 0);
    handles[BATCHER] = batcher;
    handles[PRODUCER] = producer;
    handles[BATCH] = batch;
    handles[RESULTS] = results;
    make_plain_calls();
    for (type = 0; type < HANDLES; type++) {
        for (ending = 0; ending < 2; ending++) {
            for (at = 0; at < CALL_COUNT; at++) {
                int is_last = CALLS[at].make == call_batch_free || CALLS[at].make == call_abandon;
                /* Of those that end a handle one is made. */
                if (CALLS[at].takes == ORDER[type] && CALLS[at].make != call_close
                    && (ending ? CALLS[at].ends == 1 && !is_last : CALLS[at].ends == 0)) {
                    make(&CALLS[at], handles[ORDER[type]]);
                }
            }
        }
        if (ORDER[type] == BATCH) {
            CHECK_OK(mb_batch_complete_ok(batch));
        }
    }
    be_cancelled();
    return NULL;
}

static void while_pending(uint32_t mode)
{
    mb_options options = mode == MB_MODE_MANUAL ? timeless() : defaults();
    void *end = NULL;
    calls_made = 0;
    options.results = MB_RESULTS_PULL;
    options.max_in_flight = 2;
    options.owner = 1;
    options.object_release = object_release;
    batcher = made(&options);
    CHECK_OK(mb_producer_new(batcher, &producer));
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
    CHECK_OK(mb_batch_complete_ok(batch));
    CHECK_OK(mb_batcher_next_results(batcher, MB_FOREVER, &results));
    CHECK_OK(mb_batcher_push_int64s(batcher, call_int64s, NULL, 2, NULL, 0, NULL, NULL));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
    CHECK_EQ(pthread_join(started(makes_every_call, NULL), &end), 0);
    CHECK(end == PTHREAD_CANCELED);
    CHECK(calls_made > 60);
    CHECK_STATUS(mb_batcher_seal(batcher), MB_ERR_INVALID_HANDLE);
}

/* ---- cancelled inside a call that waits ---------------------------------------------------------------------- */

enum wait {
    IN_PUSH, IN_PRODUCER, IN_BULK, IN_ROOM, IN_NEXT_BATCH, IN_NEXT_RESULTS, IN_FLUSH, IN_FLUSH_END, IN_CLOSE, WAITS
};

static enum wait the_wait;
static uint64_t began;
static uint64_t waited;
static uint64_t mark;

/* Waits for what another thread will bring; it does what it was asked for, and then it ends. */
static void *waits(void *unused)
{
    mb_batch *late = NULL;
    mb_results *set = NULL;
    size_t accepted = 0;
    (void)unused;
    count_up(&began);
    switch (the_wait) {
    case IN_PUSH:
        CHECK_OK(mb_batcher_push_int64(batcher, 3, 3));
        break;
    case IN_PRODUCER:
        CHECK_OK(mb_producer_push_string(producer, "a string", 8, 3));
        break;
    case IN_BULK:
        CHECK_OK(mb_batcher_push_int64s(batcher, call_int64s, NULL, 2, NULL, 3, NULL, &accepted));
        CHECK_EQ(accepted, 2);
        break;
    case IN_ROOM:
        CHECK_OK(mb_batcher_room(batcher, MB_FOREVER));
        break;
    case IN_NEXT_BATCH:
        CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &late));
        CHECK_OK(mb_batch_complete_ok(late));
        break;
    case IN_NEXT_RESULTS:
        CHECK_OK(mb_batcher_next_results(batcher, MB_FOREVER, &set));
        CHECK_OK(mb_results_free(set));
        break;
    case IN_FLUSH:
        CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
        break;
    case IN_FLUSH_END:
        CHECK_OK(mb_batcher_flush_end(batcher, mark, MB_FOREVER));
        break;
    default:
        CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    }
    count_up(&waited);
    be_cancelled();
    return NULL;
}

static void cancel_in(enum wait which)
{
    struct timespec pause = { 0, 5000000 };
    mb_options options = defaults();
    mb_batch *one = NULL;
    mb_results *set = NULL;
    mb_stats stats;
    pthread_t waiter;
    void *end = NULL;
    int is_idle = which == IN_NEXT_BATCH || which == IN_NEXT_RESULTS;
    the_wait = which;
    began = waited = 0;
    options.results = MB_RESULTS_PULL;
    options.queue_capacity = 2;
    options.max_batch_size = 2;
    options.max_in_flight = 4;
    options.push_timeout = MB_FOREVER;
    batcher = made(&options);
    CHECK_OK(mb_producer_new(batcher, &producer));
    if (!is_idle) {
        CHECK_OK(mb_batcher_push_int64s(batcher, call_int64s, NULL, 2, NULL, 1, NULL, NULL));
    }
    CHECK_OK(mb_batcher_flush_begin(batcher, &mark));
    waiter = started(waits, NULL);
    wait_count(&began, 1);
    nanosleep(&pause, NULL);
    CHECK_EQ(pthread_cancel(waiter), 0);
    nanosleep(&pause, NULL);
    /* It waits still, and nothing of the library's is locked. */
    CHECK_EQ(counted(&waited), 0);
    stats_of(batcher);
    if (is_idle) {
        CHECK_OK(mb_batcher_push_int64s(batcher, call_int64s, NULL, 2, NULL, 1, NULL, NULL));
    }
    if (which != IN_NEXT_BATCH) {
        CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &one));
        CHECK_OK(mb_batch_complete_ok(one));
    }
    if (!is_idle) {
        CHECK_OK(mb_batcher_next_results(batcher, MB_FOREVER, &set));
        CHECK_OK(mb_results_free(set));
    }
    CHECK_EQ(pthread_join(waiter, &end), 0);
    CHECK(end == PTHREAD_CANCELED);
    CHECK_EQ(waited, 1);
    stats = stats_of(batcher);
    CHECK_EQ(stats.accepted, which == IN_BULK ? 4 : which == IN_PUSH || which == IN_PRODUCER ? 3 : 2);
    CHECK_OK(mb_producer_free(producer));
    CHECK_OK(mb_batcher_free(batcher));
}

int main(void)
{
    int way;
    int which;
    watchdog();
    calls_ready();
    for (way = 0; way < WAYS; way++) {
        the_way = (enum way)way;
        leave_producers(MB_MODE_THREADED);
        leave_producers(MB_MODE_MANUAL);
        leave_holdings();
    }
    while_pending(MB_MODE_THREADED);
    while_pending(MB_MODE_MANUAL);
    for (which = 0; which < WAITS; which++) {
        cancel_in((enum wait)which);
    }
    return 0;
}
