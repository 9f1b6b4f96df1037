/* P13, P21, P22, P29: a host with handlers of its own. It pulls parts, waits for room by itself, and takes results as it
   completes. */

#include "kit.h"

#include <poll.h>

static mb_batcher *batcher;
static ledger book;

#define HANDLERS ((1 << MB_KIND_INT64) | (1 << MB_KIND_STRING) | MB_PULL_DEFAULT)

/* ---- parts, from many threads --------------------------------------------------------------------------- */

#define PUSHED 20000
#define BATCHES (PUSHED + 1)

/* By number of batch: whether a handler is at work on it, and the rank of the last part that was handed out. */
static int busy[BATCHES];
static int rank[BATCHES];
static uint64_t parts_of_two;

/* The order in which the parts of a batch must come. */
static int rank_of(const mb_batch_view *view)
{
    return view->kind == MB_KIND_INT64 ? 1 : view->kind == MB_KIND_STRING ? 2 : 3;
}

static uint64_t turns;

static void note(mb_results *results)
{
    mb_results_view view = results_view(results);
    CHECK(view.turn > 0);
    __atomic_add_fetch(&turns, view.turn, __ATOMIC_SEQ_CST);
    ledger_note(&book, results);
    CHECK_OK(mb_results_free(results));
}

static void *take_parts(void *unused)
{
    mb_status status;
    mb_batch *batch = NULL;
    mb_results *results = NULL;
    (void)unused;
    while ((status = mb_batcher_next_batch(batcher, MB_FOREVER, &batch)) == MB_OK) {
        mb_batch_view view = batch_view(batch);
        CHECK(view.number < BATCHES);
        /* One handler of a batch at a time, in order of kind; the handler before happened before. */
        CHECK_EQ(__atomic_exchange_n(&busy[view.number], 1, __ATOMIC_ACQ_REL), 0);
        CHECK(rank[view.number] < rank_of(&view));
        if (rank[view.number] > 0) {
            CHECK(view.positions != NULL);
            __atomic_add_fetch(&parts_of_two, 1, __ATOMIC_RELAXED);
        }
        rank[view.number] = rank_of(&view);
        answer_all(batch);
        CHECK_EQ(__atomic_exchange_n(&busy[view.number], 0, __ATOMIC_ACQ_REL), 1);
        if (view.tags[0] % 3 == 0) {
            /* The handler has returned; whoever holds the part completes it a little later. */
            CHECK_OK(mb_batch_keep(batch));
            sched_yield();
            CHECK_OK(mb_batch_complete(batch));
        } else {
            CHECK_OK(mb_batch_complete_next(batch, &results));
            if (results != NULL) {
                note(results);
            }
        }
    }
    CHECK_STATUS(status, MB_ERR_CLOSED);
    return NULL;
}

static void *take_results(void *unused)
{
    mb_status status;
    mb_results *results = NULL;
    (void)unused;
    while ((status = mb_batcher_next_results(batcher, MB_FOREVER, &results)) == MB_OK) {
        note(results);
    }
    CHECK_STATUS(status, MB_ERR_CLOSED);
    return NULL;
}

static void in_threads(void)
{
    mb_options options = defaults();
    pthread_t threads[4];
    uint64_t tag;
    size_t at;
    ledger_open(&book, PUSHED);
    options.pull_handlers = HANDLERS;
    options.results = MB_RESULTS_PULL;
    options.max_in_flight = 2;
    options.max_batch_size = 32;
    batcher = made(&options);
    for (at = 0; at < 4; at++) {
        threads[at] = started(at < 3 ? take_parts : take_results, NULL);
    }
    for (tag = 0; tag < PUSHED; tag++) {
        CHECK_OK(tag % 5 == 0   ? mb_batcher_push_string(batcher, "text", 4, tag)
                 : tag % 5 == 1 ? mb_batcher_push_float64(batcher, 0.5, tag)
                 : tag % 5 == 2 ? mb_batcher_push_null(batcher, tag)
                                : mb_batcher_push_int64(batcher, (int64_t)tag, tag));
    }
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    for (at = 0; at < 4; at++) {
        joined(threads[at]);
    }
    CHECK(parts_of_two > 0);
    CHECK_EXACTLY_ONCE(&book, PUSHED);
    CHECK_EQ(book.by_outcome[MB_OUTCOME_OK], PUSHED);
    /* Every turn once. */
    CHECK_EQ(turns, book.sets * (book.sets + 1) / 2);
    CHECK_EQ(RESULT(&book, 3)->cell, 3);
    CHECK_EQ(RESULT(&book, 7)->kind, MB_KIND_NULL);
    CHECK_TEXT(RESULT(&book, 5)->text, "text");
    CHECK_OK(mb_batcher_free(batcher));
    ledger_close(&book);
}

/* ---- what is left when time is up ----------------------------------------------------------------------- */

/* A caller of next_batch sleeps while another has the first part; the second is its, or nobody's. */
static void *take_one(void *answer)
{
    mb_batch *batch = NULL;
    *(mb_status *)answer = mb_batcher_next_batch(batcher, MB_FOREVER, &batch);
    if (batch != NULL) {
        CHECK_EQ(batch_view(batch).kind, MB_KIND_STRING);
        CHECK_OK(mb_batch_complete_ok(batch));
    }
    return NULL;
}

static void push_two(void)
{
    CHECK_OK(mb_batcher_push_string(batcher, "text", 4, 0));
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_seal(batcher));
}

static void sleepers(void)
{
    mb_options options = defaults();
    mb_batch *batch = NULL;
    mb_batch *other = NULL;
    mb_status answer = MB_OK;
    pthread_t thread;
    int how;
    options.pull_handlers = HANDLERS;
    options.max_delay = MB_FOREVER;
    for (how = 0; how < 4; how++) {
        options.handler_timeout = how == 3 ? 20 * MB_MS : 0;
        batcher = made(&options);
        push_two();
        CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
        CHECK_EQ(batch_view(batch).kind, MB_KIND_INT64);
        CHECK_STATUS(mb_batcher_next_batch(batcher, 0, &other), MB_ERR_TIMEOUT);
        thread = started(take_one, &answer);
        if (how == 0) {
            CHECK_OK(mb_batch_complete_ok(batch));
        } else if (how == 1) {
            CHECK_OK(mb_batch_keep(batch));
        } else if (how == 2) {
            CHECK_OK(mb_batch_free(batch));
        } else {
            /* Its part expires with the one in hand, and the next batch is its. */
            while (stats_of(batcher).expired < 2) {
                sched_yield();
            }
            CHECK_STATUS(mb_batch_complete(batch), MB_ERR_TOO_LATE);
            CHECK_OK(mb_batcher_push_string(batcher, "text", 4, 2));
            CHECK_OK(mb_batcher_seal(batcher));
        }
        joined(thread);
        CHECK_OK(answer);
        if (how == 1) {
            CHECK_OK(mb_batch_complete_ok(batch));
        }
        CHECK_EQ(stats_of(batcher).in_flight, 0);
        CHECK_OK(mb_batcher_free(batcher));
    }
}

/* A waiting puller hears of the end, when the last part is handed out and when it is discarded. */
static void closers(void)
{
    mb_options options = defaults();
    mb_batch *batch = NULL;
    mb_batch *second = NULL;
    mb_status answer = MB_OK;
    pthread_t thread;
    uint64_t left = 0;
    options.pull_handlers = HANDLERS;
    options.max_delay = MB_FOREVER;

    batcher = made(&options);
    push_two();
    CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
    CHECK_STATUS(mb_batcher_close(batcher, MB_MS, &left), MB_ERR_TIMEOUT);
    CHECK_EQ(left, 2);
    CHECK_STATUS(mb_batcher_next_batch(batcher, MB_FOREVER, &second), MB_ERR_CLOSED);
    CHECK_STATUS(mb_batch_keep(batch), MB_ERR_TOO_LATE);
    CHECK_STATUS(mb_batch_complete(batch), MB_ERR_TOO_LATE);
    CHECK_OK(mb_batcher_free(batcher));

    batcher = made(&options);
    push_two();
    CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
    thread = started(take_one, &answer);
    CHECK_STATUS(mb_batcher_close(batcher, 0, NULL), MB_ERR_TIMEOUT);
    joined(thread);
    CHECK_STATUS(answer, MB_ERR_CLOSED);
    CHECK_STATUS(mb_batch_complete(batch), MB_ERR_TOO_LATE);
    CHECK_OK(mb_batcher_free(batcher));

    /* A part that outlives the batcher. */
    batcher = made(&options);
    push_two();
    CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EQ(batch_view(batch).count, 1);
    CHECK_EQ(((const int64_t *)batch_view(batch).values)[0], 1);
    CHECK_STATUS(mb_batch_keep(batch), MB_ERR_TOO_LATE);
    CHECK_OK(mb_batch_free(batch));
}

/* ---- by the descriptor ---------------------------------------------------------------------------------- */

static int readable(void)
{
    struct pollfd at;
    int32_t fd = -1;
    CHECK_OK(mb_batcher_fd(batcher, &fd));
    at.fd = fd;
    at.events = POLLIN;
    at.revents = 0;
    return poll(&at, 1, 0) == 1;
}

static void by_descriptor(void)
{
    mb_options options = timeless();
    mb_batch *batch = NULL;
    int threaded;
    for (threaded = 0; threaded < 2; threaded++) {
        if (threaded) {
            options = defaults();
            options.max_delay = MB_FOREVER;
        }
        options.pull_handlers = HANDLERS;
        batcher = made(&options);
        CHECK(!readable());
        push_two();
        CHECK(readable());
        CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
        CHECK(!readable());
        CHECK_OK(mb_batch_complete_ok(batch));
        CHECK(readable());
        CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
        CHECK(!readable());
        CHECK_OK(mb_batch_complete_ok(batch));
        CHECK_OK(mb_batcher_free(batcher));
    }
}

/* ---- waiting for room ----------------------------------------------------------------------------------- */

/* Pushes in every way with if_full. */
static mb_status push_all_ways(int way, uint64_t if_full)
{
    static const int32_t offsets[2] = { 0, 1 };
    static const int64_t number = 1;
    static const double real = 0.5;
    mb_push_options push = push_options();
    mb_value value = int64_value(1);
    mb_value text = text_value(MB_KIND_STRING, "a", 1);
    mb_producer *producer = NULL;
    size_t accepted = 7;
    mb_status status;
    push.if_full = if_full;
    switch (way) {
    case 0:
        return mb_batcher_push_value(batcher, &value, 0, &push);
    case 1:
        return mb_batcher_push_value(batcher, &text, 0, &push);
    case 2:
        push.deadline = MB_FOREVER;
        return mb_batcher_push_value(batcher, &value, 0, &push);
    case 3:
        status = mb_batcher_push_int64s(batcher, &number, NULL, 1, NULL, 0, &push, &accepted);
        break;
    case 4:
        push.deadline = MB_FOREVER;
        status = mb_batcher_push_float64s(batcher, &real, NULL, 1, NULL, 0, &push, &accepted);
        break;
    case 5:
        status = mb_batcher_push_strings(batcher, "a", offsets, NULL, 1, NULL, 0, &push, &accepted);
        break;
    case 6:
        status = mb_batcher_push_values(batcher, &value, 1, NULL, 0, &push, &accepted);
        break;
    default:
        CHECK_OK(mb_producer_new(batcher, &producer));
        status = mb_producer_push_value(producer, way == 7 ? &value : &text, 0, &push);
        CHECK_OK(mb_producer_free(producer));
        return status;
    }
    CHECK_EQ(accepted, status == MB_OK ? 1 : 0);
    return status;
}

#define WAYS 9

static void room(void)
{
    mb_options options = defaults();
    mb_batch *batch = NULL;
    mb_results *results = NULL;
    int way;
    options.results = MB_RESULTS_PULL;
    options.max_batch_size = options.queue_capacity = 1;
    options.result_capacity = 2;
    options.push_timeout = 1;
    for (way = 0; way < WAYS; way++) {
        batcher = made(&options);
        CHECK_OK(push_all_ways(way, MB_IF_FULL_ASK));
        /* Asking counts as nothing, however often; then the value is refused once. */
        CHECK_STATUS(push_all_ways(way, MB_IF_FULL_ASK), MB_ERR_WOULD_WAIT);
        CHECK_STATUS(push_all_ways(way, MB_IF_FULL_ASK), MB_ERR_WOULD_WAIT);
        CHECK_EQ(stats_of(batcher).refusals[-MB_ERR_QUEUE_FULL], 0);
        CHECK_STATUS(push_all_ways(way, MB_IF_FULL_REFUSE), MB_ERR_QUEUE_FULL);
        CHECK_EQ(stats_of(batcher).refusals[-MB_ERR_QUEUE_FULL], 1);
        CHECK_STATUS(push_all_ways(way, 0), MB_ERR_QUEUE_FULL);
        CHECK_EQ(stats_of(batcher).refusals[-MB_ERR_QUEUE_FULL], 2);
        /* Who asked is told when there is room, by the descriptor and by room. */
        CHECK_STATUS(push_all_ways(way, MB_IF_FULL_ASK), MB_ERR_WOULD_WAIT);
        CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
        CHECK(readable());
        CHECK_OK(mb_batcher_room(batcher, MB_FOREVER));
        CHECK_OK(push_all_ways(way, MB_IF_FULL_ASK));
        CHECK_OK(mb_batch_complete_ok(batch));
        CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
        /* Without a result place, too: two values have no result that was taken. */
        CHECK_STATUS(push_all_ways(way, MB_IF_FULL_ASK), MB_ERR_WOULD_WAIT);
        CHECK_STATUS(push_all_ways(way, MB_IF_FULL_REFUSE), MB_ERR_RESULTS_FULL);
        CHECK_OK(mb_batcher_next_results(batcher, MB_FOREVER, &results));
        CHECK_OK(mb_results_free(results));
        CHECK_OK(push_all_ways(way, MB_IF_FULL_REFUSE));
        CHECK_OK(mb_batch_complete_ok(batch));
        CHECK_STATUS(push_all_ways(way, 3), MB_ERR_INVALID_ARGUMENT);
        CHECK_STATUS(mb_batcher_close(batcher, 0, NULL), MB_ERR_TIMEOUT);
        CHECK_STATUS(push_all_ways(way, MB_IF_FULL_ASK), MB_ERR_CLOSED);
        CHECK_EQ(stats_of(batcher).refusals[-MB_ERR_CLOSED], 1);
        CHECK_OK(mb_batcher_free(batcher));
    }
}

static mb_status push_inside(void *answers, mb_batch *batch, const mb_api *api)
{
    mb_status *answer = answers;
    (void)batch;
    (void)api;
    answer[0] = push_all_ways(0, MB_IF_FULL_ASK);
    answer[1] = push_all_ways(0, MB_IF_FULL_ASK);
    return MB_OK;
}

/* Where a push would not wait anyway, asking changes nothing. */
static void where_nobody_waits(void)
{
    mb_options options = timeless();
    mb_status answers[2] = { MB_ERR_INTERNAL, MB_ERR_INTERNAL };
    options.max_batch_size = options.queue_capacity = 1;
    batcher = made(&options);
    CHECK_OK(push_all_ways(0, MB_IF_FULL_ASK));
    CHECK_STATUS(push_all_ways(0, MB_IF_FULL_ASK), MB_ERR_QUEUE_FULL);
    CHECK_EQ(stats_of(batcher).refusals[-MB_ERR_QUEUE_FULL], 1);
    CHECK_OK(mb_batcher_free(batcher));

    options = defaults();
    options.max_batch_size = options.queue_capacity = 1;
    options.on_full = MB_FULL_REJECT;
    batcher = made(&options);
    CHECK_OK(push_all_ways(0, MB_IF_FULL_ASK));
    CHECK_STATUS(push_all_ways(0, MB_IF_FULL_ASK), MB_ERR_QUEUE_FULL);
    CHECK_EQ(stats_of(batcher).refusals[-MB_ERR_QUEUE_FULL], 1);
    CHECK_OK(mb_batcher_free(batcher));

    options.on_full = MB_FULL_DISCARD_OLDEST;
    batcher = made(&options);
    CHECK_OK(push_all_ways(0, MB_IF_FULL_ASK));
    CHECK_OK(push_all_ways(0, MB_IF_FULL_ASK));
    CHECK_EQ(stats_of(batcher).discarded, 1);
    CHECK_OK(mb_batcher_free(batcher));

    options.on_full = MB_FULL_BLOCK;
    options.handler = push_inside;
    options.handler_data = answers;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    while (stats_of(batcher).refusals[-MB_ERR_QUEUE_FULL] == 0) {
        sched_yield();
    }
    CHECK_OK(answers[0]);
    CHECK_STATUS(answers[1], MB_ERR_QUEUE_FULL);
    CHECK_OK(mb_batcher_free(batcher));
}

/* ---- completing and taking ------------------------------------------------------------------------------ */

static void *take_last(void *tag)
{
    mb_results *results = NULL;
    CHECK_OK(mb_batcher_next_results(batcher, MB_FOREVER, &results));
    *(uint64_t *)tag = results_view(results).tags[0];
    CHECK_OK(mb_results_free(results));
    return NULL;
}

/* The set that is ready is the completer's; whoever waits for results gets the others. */
static void completing(void)
{
    mb_options options = defaults();
    mb_batch *batch = NULL;
    mb_batch *other = NULL;
    mb_results *results = NULL;
    uint64_t tag = 0;
    pthread_t thread;
    options.results = MB_RESULTS_PULL;
    options.delivery = MB_DELIVERY_ORDERED;
    options.max_in_flight = 2;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
    CHECK_OK(mb_batcher_push_int64(batcher, 2, 2));
    CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &other));
    CHECK_OK(mb_batch_complete_next(other, &results));
    CHECK(results == NULL);
    CHECK_STATUS(mb_batch_complete_next(batch, NULL), MB_ERR_INVALID_ARGUMENT);
    thread = started(take_last, &tag);
    CHECK_OK(mb_batch_complete_next(batch, &results));
    CHECK_EQ(results_view(results).tags[0], 1);
    CHECK_EQ(results_view(results).turn, 1);
    joined(thread);
    CHECK_EQ(tag, 2);
    CHECK_OK(mb_results_free(results));
    results = (mb_results *)&tag;
    CHECK_STATUS(mb_batch_complete_next(batch, &results), MB_ERR_TOO_LATE);
    CHECK(results == (mb_results *)&tag);
    CHECK_EQ(stats_of(batcher).late, 1);
    CHECK_EQ(stats_of(batcher).undelivered, 0);

    /* A set that was taken outlives the batcher. */
    CHECK_OK(mb_batcher_push_int64(batcher, 3, 3));
    CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
    CHECK_OK(mb_batch_complete_next(batch, &results));
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EQ(results_view(results).tags[0], 3);
    CHECK_EQ(results_view(results).turn, 3);
    CHECK_OK(mb_results_free(results));
}

/* ---- what is refused at creation ------------------------------------------------------------------------ */

static void bad_options(void)
{
    mb_options options = defaults();
    mb_error *error = NULL;
    options.pull_handlers = 256;
    CHECK_STATUS(mb_batcher_new(&options, &batcher, &error), MB_ERR_INVALID_OPTION);
    CHECK_TEXT(mb_error_subject(error), "pull_handlers");
    CHECK_CONTAINS(mb_error_message(error), "pull_handlers = 256");
    CHECK_CONTAINS(mb_error_message(error), "at most 255");
    mb_error_free(error);
    error = NULL;
    options.pull_handlers = MB_PULL_DEFAULT;
    options.by_kind[MB_KIND_BYTES].call = echo;
    CHECK_STATUS(mb_batcher_new(&options, &batcher, &error), MB_ERR_INVALID_OPTION);
    CHECK_TEXT(mb_error_subject(error), "pull_handlers");
    mb_error_free(error);
}

int main(void)
{
    watchdog();
    in_threads();
    sleepers();
    closers();
    by_descriptor();
    room();
    where_nobody_waits();
    completing();
    bad_options();
    return 0;
}
