/* P18, P21: a kept batch is finished later, from any thread, once. Freed instead it fails with NO_RESULT; too late it says
   so and is counted; it outlives its batcher. */

#include "kit.h"

static ledger book;

/* Batches that handlers kept, for other threads to take. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    mb_batch *batches[64];
    size_t count;
} shelf = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, { NULL }, 0 };

static mb_status keep(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    CHECK_OK(mb_batch_keep(batch));
    CHECK_STATUS(mb_batch_keep(batch), MB_ERR_INVALID_ARGUMENT);
    pthread_mutex_lock(&shelf.lock);
    shelf.batches[shelf.count++] = batch;
    pthread_cond_broadcast(&shelf.changed);
    pthread_mutex_unlock(&shelf.lock);
    /* What a handler returns for a batch that it kept does not count. */
    return 77;
}

static mb_batch *take(void)
{
    mb_batch *batch;
    pthread_mutex_lock(&shelf.lock);
    while (shelf.count == 0) {
        pthread_cond_wait(&shelf.changed, &shelf.lock);
    }
    batch = shelf.batches[--shelf.count];
    pthread_mutex_unlock(&shelf.lock);
    return batch;
}

static mb_options keeping(mb_options options, size_t tags)
{
    ledger_open(&book, tags);
    options.handler = keep;
    options.on_result = note_results;
    options.result_data = &book;
    return options;
}

/* Finishes one kept batch, in one of the ways there are. */
static void *finish(void *way)
{
    mb_batch *batch = take();
    mb_batch_view view = batch_view(batch);
    switch (*(int *)way) {
    case 0:
        answer_all(batch);
        CHECK_OK(mb_batch_complete(batch));
        break;
    case 1:
        CHECK_OK(mb_batch_complete_ok(batch));
        break;
    case 2:
        CHECK_OK(mb_batch_complete(batch));
        break;
    case 3:
        CHECK_OK(mb_batch_free(batch));
        break;
    default:
        CHECK_OK(mb_batch_set_int64(batch, 0, 1));
        CHECK_OK(mb_batch_fail_all(batch, 5, "Broken", "it broke", 8));
        CHECK_OK(mb_batch_complete(batch));
    }
    CHECK_EQ(view.count, 1);
    CHECK_STATUS(mb_batch_complete(batch), MB_ERR_TOO_LATE);
    CHECK_STATUS(mb_batch_set_int64(batch, 0, 9), MB_ERR_TOO_LATE);
    return NULL;
}

static void from_another_thread(void)
{
    static const struct { uint32_t outcome, handled; mb_status code; } EXPECTED[5] = {
        { MB_OUTCOME_OK, MB_HANDLED_YES, MB_OK },
        { MB_OUTCOME_OK, MB_HANDLED_YES, MB_OK },
        { MB_OUTCOME_FAILED, MB_HANDLED_YES, MB_ERR_NO_RESULT },
        { MB_OUTCOME_FAILED, MB_HANDLED_MAYBE, MB_ERR_NO_RESULT },
        { MB_OUTCOME_FAILED, MB_HANDLED_YES, 5 },
    };
    mb_options options = keeping(defaults(), 5);
    mb_batcher *batcher;
    int way;
    batcher = made(&options);
    for (way = 0; way < 5; way++) {
        pthread_t finisher = started(finish, &way);
        const entry *result;
        CHECK_OK(mb_batcher_push_int64(batcher, 42, (uint64_t)way));
        ledger_wait(&book, (uint64_t)way + 1);
        joined(finisher);
        result = RESULT(&book, (uint64_t)way);
        CHECK_EQ(result->outcome, EXPECTED[way].outcome);
        CHECK_EQ(result->handled, EXPECTED[way].handled);
        CHECK_STATUS(result->code, EXPECTED[way].code);
    }
    CHECK_EQ(RESULT(&book, 0)->cell, 42);
    CHECK_EQ(RESULT(&book, 1)->kind, MB_KIND_NULL);
    CHECK_TEXT(RESULT(&book, 4)->type_name, "Broken");
    CHECK_TEXT(RESULT(&book, 4)->message, "it broke");
    CHECK_EQ(stats_of(batcher).late, 5);
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_OK(mb_batcher_free(batcher));
    ledger_close(&book);
}

/* A kept batch holds its slot; several may be held. */
static void slots(void)
{
    mb_options options = keeping(timeless(), 8);
    mb_batcher *batcher;
    uint64_t tag;
    options.max_batch_size = 1;
    options.max_in_flight = 3;
    batcher = made(&options);
    for (tag = 0; tag < 8; tag++) {
        CHECK_OK(mb_batcher_push_int64(batcher, (int64_t)tag, tag));
    }
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_EQ(shelf.count, 3);
    CHECK_EQ(stats_of(batcher).in_flight, 3);
    while (shelf.count > 0) {
        mb_batch *batch = take();
        answer_all(batch);
        CHECK_OK(mb_batch_complete(batch));
        CHECK_OK(mb_batcher_run(batcher));
    }
    CHECK_EXACTLY_ONCE(&book, 8);
    CHECK_EQ(stats_of(batcher).ok, 8);
    CHECK_OK(mb_batcher_free(batcher));
    ledger_close(&book);
}

static void too_late(void)
{
    mb_options options = keeping(timeless(), 4);
    mb_batcher *batcher;
    mb_batch *batch;
    mb_value value;
    options.handler_timeout = 10;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_string(batcher, "still here", 10, 0));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_run(batcher));
    batch = take();
    CHECK_OK(mb_batch_set_int64(batch, 0, 1));
    CHECK_OK(mb_batcher_advance(batcher, 9));
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_EQ(book.rows, 0);
    CHECK_OK(mb_batcher_advance(batcher, 10));
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_EQ(RESULT(&book, 0)->outcome, MB_OUTCOME_EXPIRED);
    CHECK_EQ(RESULT(&book, 0)->handled, MB_HANDLED_MAYBE);
    CHECK_STATUS(RESULT(&book, 0)->code, MB_ERR_HANDLER_TIMEOUT);
    /* The slot came back. */
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_EQ(shelf.count, 1);

    /* Its holder may still read it, not change it. */
    CHECK_OK(mb_batch_value(batch, 0, &value));
    CHECK(value.as.string.length == 10 && memcmp(value.as.string.data, "still here", 10) == 0);
    CHECK_STATUS(mb_batch_set_int64(batch, 0, 2), MB_ERR_TOO_LATE);
    CHECK_STATUS(mb_batch_set_string(batch, 0, "a", 1), MB_ERR_TOO_LATE);
    CHECK_STATUS(mb_batch_fail(batch, 0, 5, NULL, NULL, 0), MB_ERR_TOO_LATE);
    CHECK_STATUS(mb_batch_fail_all(batch, 5, NULL, NULL, 0), MB_ERR_TOO_LATE);
    CHECK_EQ(stats_of(batcher).late, 0);
    CHECK_STATUS(mb_batch_complete(batch), MB_ERR_TOO_LATE);
    CHECK_EQ(stats_of(batcher).late, 1);
    CHECK_STATUS(mb_batch_value(batch, 0, &value), MB_ERR_INVALID_HANDLE);
    CHECK_STATUS(mb_batch_complete(batch), MB_ERR_TOO_LATE);
    CHECK_EQ(stats_of(batcher).late, 2);

    /* Freed after its time: fine, it has its outcome. */
    batch = take();
    CHECK_OK(mb_batcher_advance(batcher, 30));
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_OK(mb_batch_free(batch));
    CHECK_STATUS(mb_batch_free(batch), MB_ERR_TOO_LATE);
    CHECK_EXACTLY_ONCE(&book, 2);
    CHECK_OK(mb_batcher_free(batcher));
    ledger_close(&book);
}

static void outlives_its_batcher(void)
{
    mb_options options = keeping(timeless(), 4);
    mb_batcher *batcher;
    mb_batch *batch;
    mb_value value;
    mb_batch_view view;
    uint64_t left = 0;

    /* A close with a time-out discards it. */
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_string(batcher, "a string", 8, 0));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_run(batcher));
    batch = take();
    CHECK_STATUS(mb_batcher_close(batcher, MB_FOREVER, &left), MB_ERR_IN_PROGRESS);
    CHECK_STATUS(mb_batcher_close(batcher, 0, &left), MB_ERR_TIMEOUT);
    CHECK_EQ(left, 1);
    CHECK_EQ(RESULT(&book, 0)->outcome, MB_OUTCOME_DISCARDED);
    CHECK_EQ(RESULT(&book, 0)->handled, MB_HANDLED_MAYBE);
    CHECK_OK(mb_batcher_free(batcher));
    view = batch_view(batch);
    CHECK_EQ(view.count, 1);
    CHECK_OK(mb_batch_value(batch, 0, &value));
    CHECK(value.as.string.length == 8 && memcmp(value.as.string.data, "a string", 8) == 0);
    CHECK_STATUS(mb_batch_set_null(batch, 0), MB_ERR_TOO_LATE);
    CHECK_STATUS(mb_batch_complete_ok(batch), MB_ERR_TOO_LATE);
    ledger_close(&book);

    /* The same from another thread, with threads, after abandon. */
    options = keeping(defaults(), 4);
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    batch = take();
    CHECK_OK(mb_batcher_abandon(batcher));
    CHECK_OK(mb_batch_value(batch, 0, &value));
    CHECK_EQ(value.as.int64, 1);
    ledger_wait(&book, 1);
    CHECK_EQ(RESULT(&book, 1)->outcome, MB_OUTCOME_DISCARDED);
    CHECK_OK(mb_batch_free(batch));
    ledger_close(&book);
}

/* A mixed batch: parts are kept one by one, and finished in any order. */
static void parts(void)
{
    mb_options options = keeping(timeless(), 6);
    mb_batcher *batcher;
    mb_batch *of_strings;
    mb_batch *of_integers;
    options.handler = NULL;
    options.by_kind[MB_KIND_INT64].call = keep;
    options.by_kind[MB_KIND_STRING].call = keep;
    options.by_kind[MB_KIND_NULL].call = echo;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_string(batcher, "a", 1, 0));
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_push_null(batcher, 2));
    CHECK_OK(mb_batcher_push_string(batcher, "b", 1, 3));
    CHECK_OK(mb_batcher_push_int64(batcher, 4, 4));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_EQ(shelf.count, 2);
    of_strings = take();
    of_integers = take();
    CHECK_EQ(batch_view(of_strings).kind, MB_KIND_STRING);
    CHECK_EQ(batch_view(of_strings).positions[1], 3);
    CHECK_EQ(batch_view(of_integers).kind, MB_KIND_INT64);
    CHECK_EQ(batch_view(of_integers).number, batch_view(of_strings).number);
    answer_all(of_strings);
    CHECK_OK(mb_batch_complete(of_strings));
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_EQ(book.rows, 0);
    CHECK_OK(mb_batch_free(of_integers));
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_EXACTLY_ONCE(&book, 5);
    CHECK_EQ(book.sets, 1);
    CHECK_TEXT(RESULT(&book, 3)->text, "b");
    CHECK_STATUS(RESULT(&book, 4)->code, MB_ERR_NO_RESULT);
    CHECK_OK(mb_batcher_free(batcher));
    ledger_close(&book);
}

/* Completed by another thread before its handler has returned: its handler may look at it until then. */
static door gate_before = DOOR;
static mb_batch *passed_on;

static mb_status keep_and_wait(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = batch_view(batch);
    (void)user_data;
    (void)api;
    CHECK_OK(mb_batch_keep(batch));
    passed_on = batch;
    door_stop(&gate_before);
    CHECK_EQ(*(const int64_t *)view.values, 42);
    CHECK_EQ(view.tags[0], 0);
    return MB_OK;
}

static void completed_inside(void)
{
    mb_options options = keeping(defaults(), 1);
    mb_batcher *batcher;
    options.handler = keep_and_wait;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 42, 0));
    door_wait(&gate_before, 1);
    CHECK_OK(mb_batch_complete_ok(passed_on));
    ledger_wait(&book, 1);
    door_open(&gate_before);
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EXACTLY_ONCE(&book, 1);
    ledger_close(&book);
}

int main(void)
{
    watchdog();
    from_another_thread();
    slots();
    too_late();
    outlives_its_batcher();
    parts();
    completed_inside();
    return 0;
}
