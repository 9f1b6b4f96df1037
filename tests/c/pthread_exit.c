/* P32: a thread that ends inside a callback, by pthread_exit or by cancellation, fails what it held; nothing hangs, the
   batcher goes on, and in the end everything is given back. */

#include "end.h"

static ledger book;
static mb_batcher *batcher;
static uint64_t released;
static uint64_t logged;
static uint64_t objects_released;
/* Values that end their handler's thread. */
#define FATAL 13

static mb_status handler(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = batch_view(batch);
    size_t row;
    (void)user_data;
    for (row = 0; row < view.count; row++) {
        mb_value value;
        CHECK_OK(mb_batch_value(batch, row, &value));
        if (value.kind == MB_KIND_INT64 && value.as.int64 == FATAL) {
            /* Also what is set already fails. */
            CHECK_OK(mb_batch_set_int64(batch, 0, 1));
            end_thread();
        }
    }
    return echo(NULL, batch, api);
}

static void log_line(void *user_data, int32_t level, const char *message, size_t length)
{
    (void)user_data;
    CHECK(level == 3 && length > 0 && message != NULL);
    count_up(&logged);
}

static void object_release(void *user_data, uint64_t word)
{
    (void)user_data;
    (void)word;
    count_up(&objects_released);
}

static mb_options noted(mb_options options, size_t tags)
{
    ledger_open(&book, tags);
    released = logged = objects_released = 0;
    options.owner = 1;
    options.handler = handler;
    options.handler_data = options.result_data = options.object_data = options.log_data = &released;
    options.handler_release = options.result_release = options.object_data_release = options.log_release = count_release;
    options.on_result = note_results;
    options.result_data = &book;
    options.result_release = NULL;
    options.object_release = object_release;
    options.log = log_line;
    return options;
}

static void gone(void)
{
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EQ(released, 3);
    ledger_close(&book);
}

/* ---- handlers --------------------------------------------------------------------------------------------- */

static void in_handlers(uint32_t threads)
{
    mb_options options = noted(defaults(), 200);
    uint64_t tag;
    options.threads = threads;
    options.max_batch_size = 4;
    batcher = made(&options);
    for (tag = 0; tag < 200; tag++) {
        CHECK_OK(tag % 10 == 5 ? mb_batcher_push_object(batcher, 1, tag, 0, tag)
                               : mb_batcher_push_int64(batcher, tag % 50 == 3 ? FATAL : 1, tag));
        if (tag % 50 == 3) {
            CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
        }
    }
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_EXACTLY_ONCE(&book, 200);
    CHECK_EQ(logged, 4);
    CHECK_EQ(objects_released, 20);
    for (tag = 3; tag < 200; tag += 50) {
        const entry *result = RESULT(&book, tag);
        CHECK_EQ(result->outcome, MB_OUTCOME_FAILED);
        CHECK_EQ(result->handled, MB_HANDLED_MAYBE);
        CHECK_STATUS(result->code, MB_ERR_THREAD_ENDED);
        CHECK_TEXT(result->message, mb_status_text(MB_ERR_THREAD_ENDED));
    }
    CHECK(book.by_outcome[MB_OUTCOME_FAILED] >= 4 && book.by_outcome[MB_OUTCOME_FAILED] <= 16);
    CHECK_EQ(book.by_outcome[MB_OUTCOME_OK] + book.by_outcome[MB_OUTCOME_FAILED], 200);
    gone();
}

/* The parts of a mixed batch that come after go on, those before keep their results. */
static void between_parts(void)
{
    mb_options options = noted(defaults(), 4);
    options.max_delay = MB_FOREVER;
    options.by_kind[MB_KIND_NULL].call = echo;
    options.by_kind[MB_KIND_STRING].call = echo;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_string(batcher, "after", 5, 0));
    CHECK_OK(mb_batcher_push_int64(batcher, FATAL, 1));
    CHECK_OK(mb_batcher_push_null(batcher, 2));
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 3));
    CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
    CHECK_EXACTLY_ONCE(&book, 4);
    CHECK_EQ(RESULT(&book, 2)->outcome, MB_OUTCOME_OK);
    CHECK_STATUS(RESULT(&book, 1)->code, MB_ERR_THREAD_ENDED);
    CHECK_STATUS(RESULT(&book, 3)->code, MB_ERR_THREAD_ENDED);
    CHECK_EQ(RESULT(&book, 0)->outcome, MB_OUTCOME_OK);
    gone();
}

/* A batch that was kept is its holder's, whatever becomes of the thread. */
static mb_batch *kept;
static uint64_t keeps;

static mb_status keep_and_end(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    CHECK_OK(mb_batch_keep(batch));
    kept = batch;
    count_up(&keeps);
    end_thread();
    return MB_OK;
}

static void kept_before(void)
{
    mb_options options = noted(defaults(), 1);
    options.handler = keep_and_end;
    keeps = 0;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 7, 0));
    wait_count(&keeps, 1);
    wait_count(&logged, 1);
    answer_all(kept);
    CHECK_OK(mb_batch_complete(kept));
    CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
    CHECK_EQ(RESULT(&book, 0)->outcome, MB_OUTCOME_OK);
    CHECK_EQ(RESULT(&book, 0)->cell, 7);
    gone();
}

/* Closed or freed while a handler's thread ends: neither hangs. */
static door at_the_end = DOOR;

static mb_status stop_and_end(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)batch;
    (void)api;
    door_stop(&at_the_end);
    end_thread();
    return MB_OK;
}

static void *open_soon(void *unused)
{
    struct timespec pause = { 0, 10000000 };
    (void)unused;
    nanosleep(&pause, NULL);
    door_open(&at_the_end);
    return NULL;
}

static void while_ending(int frees)
{
    static const door CLOSED = DOOR;
    mb_options options = noted(defaults(), 2);
    pthread_t opener;
    at_the_end = CLOSED;
    options.handler = stop_and_end;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 0));
    door_wait(&at_the_end, 1);
    opener = started(open_soon, NULL);
    if (!frees) {
        CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
        CHECK_STATUS(RESULT(&book, 0)->code, MB_ERR_THREAD_ENDED);
    }
    CHECK_OK(mb_batcher_free(batcher));
    joined(opener);
    CHECK_EXACTLY_ONCE(&book, 1);
    CHECK_EQ(released, 3);
    ledger_close(&book);
}

/* ---- on_result -------------------------------------------------------------------------------------------- */

static void end_in_on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    mb_results_view view = results_view(results);
    note_results(user_data, results, api);
    if (view.tags[0] % 4 == 1) {
        end_thread();
    }
}

static void in_on_result(void)
{
    mb_options options = noted(defaults(), 40);
    uint64_t tag;
    options.on_result = end_in_on_result;
    options.max_batch_size = 1;
    batcher = made(&options);
    for (tag = 0; tag < 40; tag++) {
        CHECK_OK(tag % 8 == 1 ? mb_batcher_push_object(batcher, 1, tag, 0, tag)
                              : mb_batcher_push_int64(batcher, 1, tag));
        if (tag % 3 == 0) {
            CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
        }
    }
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_EXACTLY_ONCE(&book, 40);
    CHECK_EQ(stats_of(batcher).undelivered, 0);
    CHECK_EQ(stats_of(batcher).ok, 40);
    CHECK_EQ(objects_released, 5);
    CHECK_EQ(logged, 10);
    gone();
}

/* ---- threads of the host ----------------------------------------------------------------------------------- */

static void *run_it(void *unused)
{
    (void)unused;
    mb_batcher_run(batcher);
    return NULL;
}

static void *flush_it(void *unused)
{
    (void)unused;
    mb_batcher_flush(batcher, 0);
    return NULL;
}

static void *close_it(void *unused)
{
    (void)unused;
    mb_batcher_close(batcher, MB_FOREVER, NULL);
    return NULL;
}

/* Inside run, flush and close of a manual batcher: what the thread held fails, and another may drive it. */
static void in_manual_mode(void *(*drive)(void *))
{
    mb_options options = noted(timeless(), 4);
    options.max_batch_size = 2;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, FATAL, 0));
    CHECK_OK(mb_batcher_push_object(batcher, 1, 1, 0, 1));
    CHECK_OK(mb_batcher_push_int64(batcher, 2, 2));
    CHECK_OK(mb_batcher_push_int64(batcher, 3, 3));
    joined(started(drive, NULL));
    CHECK_EQ(stats_of(batcher).failed, 2);
    CHECK_EQ(logged, 1);
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_EXACTLY_ONCE(&book, 4);
    CHECK_STATUS(RESULT(&book, 0)->code, MB_ERR_THREAD_ENDED);
    CHECK_EQ(RESULT(&book, 3)->outcome, MB_OUTCOME_OK);
    CHECK_EQ(objects_released, 1);
    /* A new thread may get the number of the one that ended: it is in no callback. */
    joined(started(run_it, NULL));
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    gone();
}

static void in_on_result_of_a_host(void)
{
    mb_options options = noted(timeless(), 4);
    options.on_result = end_in_on_result;
    options.max_batch_size = 1;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_push_int64(batcher, 0, 0));
    joined(started(run_it, NULL));
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_EXACTLY_ONCE(&book, 2);
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    gone();
}

/* Inside free and abandon of a manual batcher, which are not over then: another thread does what is left. */
static void *free_it(void *unused)
{
    (void)unused;
    mb_batcher_free(batcher);
    FAIL("free returns in a thread that ends");
    return NULL;
}

static void *abandon_it(void *unused)
{
    (void)unused;
    mb_batcher_abandon(batcher);
    FAIL("abandon returns in a thread that ends");
    return NULL;
}

static void in_free(void *(*ending)(void *), mb_status (*again)(mb_batcher *))
{
    mb_options options = noted(timeless(), 5);
    uint64_t tag;
    options.on_result = end_in_on_result;
    options.max_batch_size = 1;
    batcher = made(&options);
    for (tag = 0; tag < 5; tag++) {
        CHECK_OK(mb_batcher_push_object(batcher, 1, tag, 0, tag));
        if (tag == 1) {
            CHECK_OK(mb_batcher_cancel(batcher, 1, NULL));
        }
    }
    joined(started(ending, NULL));
    CHECK_EQ(released, 0);
    CHECK_STATUS(mb_batcher_push_int64(batcher, 1, 1), MB_ERR_CLOSED);
    CHECK_EQ(stats_of(batcher).outstanding, 0);
    CHECK_OK(again(batcher));
    CHECK_EXACTLY_ONCE(&book, 5);
    CHECK_EQ(objects_released, 5);
    CHECK_EQ(released, 3);
    CHECK_STATUS(mb_batcher_free(batcher), MB_ERR_INVALID_HANDLE);
    ledger_close(&book);
}

/* ---- cancelling from outside -------------------------------------------------------------------------------- */

static pthread_t handler_thread;
static door cancelled = DOOR;

static mb_status tell_thread(void *user_data, mb_batch *batch, const mb_api *api)
{
    handler_thread = pthread_self();
    if (cancelled.came == 0) {
        door_stop(&cancelled);
    }
    /* A cancellation point. */
    pthread_testcancel();
    return echo(user_data, batch, api);
}

/* Who cancels a thread that is not his has no effect: the library's threads do not act upon it. */
static void from_outside(void)
{
    mb_options options = noted(defaults(), 2);
    options.handler = tell_thread;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 0));
    door_wait(&cancelled, 1);
    CHECK_EQ(pthread_cancel(handler_thread), 0);
    door_open(&cancelled);
    CHECK_OK(mb_batcher_push_int64(batcher, 2, 1));
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_EXACTLY_ONCE(&book, 2);
    CHECK_EQ(book.by_outcome[MB_OUTCOME_OK], 2);
    gone();
}

/* A thread of the host that is cancelled while it waits in the library: calls of the library are no cancellation points
   before they return, so nothing of it is left locked. */
static void *flush_forever(void *unused)
{
    (void)unused;
    CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
    pthread_testcancel();
    FAIL("the thread was not cancelled");
    return NULL;
}

static void while_it_waits(void)
{
    static const door CLOSED = DOOR;
    mb_options options = noted(defaults(), 1);
    struct timespec pause = { 0, 20000000 };
    pthread_t waiter;
    void *end = NULL;
    at_the_end = CLOSED;
    options.handler = stop_at_door;
    options.handler_data = &at_the_end;
    options.handler_release = NULL;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 0));
    door_wait(&at_the_end, 1);
    waiter = started(flush_forever, NULL);
    nanosleep(&pause, NULL);
    CHECK_EQ(pthread_cancel(waiter), 0);
    nanosleep(&pause, NULL);
    stats_of(batcher);
    door_open(&at_the_end);
    CHECK_EQ(pthread_join(waiter, &end), 0);
    CHECK(end == PTHREAD_CANCELED);
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EQ(released, 2);
    ledger_close(&book);
}

int main(void)
{
    int way;
    watchdog();
    for (way = BY_EXIT; way < WAYS; way++) {
        the_way = (enum way)way;
        in_handlers(1);
        in_handlers(3);
        between_parts();
        while_ending(0);
        while_ending(1);
        in_on_result();
    }
    from_outside();
    while_it_waits();
    for (way = BY_EXIT; way < WAYS; way++) {
        the_way = (enum way)way;
        kept_before();
    }
    for (way = BY_EXIT; way < WAYS; way++) {
        the_way = (enum way)way;
        in_manual_mode(run_it);
        in_manual_mode(flush_it);
        in_manual_mode(close_it);
        in_on_result_of_a_host();
        in_free(free_it, mb_batcher_free);
        in_free(free_it, mb_batcher_abandon);
        in_free(abandon_it, mb_batcher_free);
        in_free(abandon_it, mb_batcher_abandon);
    }
    return 0;
}
