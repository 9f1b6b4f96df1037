/* P1: a batcher holds one reference to each object it accepted, and gives it back once, on every path; a refused object
   stays its owner's; an object result hands over a reference of its own. */

#include "kit.h"

/* References by word: pushed ones are this high, those of results higher. */
#define WORDS 64
#define RESULT_WORDS 32
static uint64_t given_back[WORDS];
static uint64_t given_back_count;
static uint32_t owner;
static uint32_t other_owner;
static mb_batcher *batcher;
static ledger book;

static void object_release(void *user_data, uint64_t word)
{
    CHECK(user_data == given_back);
    CHECK(word < WORDS);
    count_up(&given_back[word]);
    count_up(&given_back_count);
}

static mb_batcher *with_objects(mb_options options)
{
    memset(given_back, 0, sizeof given_back);
    given_back_count = 0;
    options.owner = owner;
    options.object_release = object_release;
    options.object_data = given_back;
    return made(&options);
}

static mb_options noted(mb_options options)
{
    ledger_open(&book, WORDS);
    options.on_result = note_results;
    options.result_data = &book;
    return options;
}

static void check_given_back(uint64_t word, uint64_t times)
{
    if (counted(&given_back[word]) != times) {
        FAIL("object %d was given back %d times, not %d", (int)word, (int)given_back[word], (int)times);
    }
}

static mb_status look(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = batch_view(batch);
    size_t row;
    (void)user_data;
    for (row = 0; row < view.count; row++) {
        mb_value value;
        CHECK_OK(mb_batch_value(batch, row, &value));
        CHECK_EQ(value.kind, MB_KIND_OBJECT);
        CHECK_EQ(value.owner, owner);
        CHECK_EQ(value.as.object.word, view.tags[row]);
        CHECK_EQ(((const uint64_t *)view.values)[row], view.tags[row]);
        /* A handler borrows. */
        check_given_back(value.as.object.word, 0);
    }
    return echo(NULL, batch, api);
}

static void delivered(void)
{
    mb_options options = noted(timeless());
    mb_value many[4];
    size_t at;
    options.handler = look;
    batcher = with_objects(options);
    CHECK_OK(mb_batcher_push_object(batcher, owner, 0, 0, 0));
    CHECK_OK(mb_batcher_push_object(batcher, owner, 1, 100, 1));
    many[0] = object_value(owner, 2, 0);
    CHECK_OK(mb_batcher_push_value(batcher, many, 2, NULL));
    for (at = 0; at < 4; at++) {
        many[at] = object_value(owner, 3 + at, 50);
    }
    CHECK_OK(mb_batcher_push_values(batcher, many, 4, NULL, 3, NULL, NULL));
    CHECK_EQ(stats_of(batcher).waiting_bytes, 7 * 8 + 100 + 4 * 50);
    CHECK_EQ(given_back_count, 0);
    CHECK_OK(mb_batcher_flush(batcher, 0));
    CHECK_EQ(given_back_count, 7);
    for (at = 0; at < 7; at++) {
        check_given_back(at, 1);
        CHECK_EQ(RESULT(&book, at)->cell, at);
    }
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EQ(given_back_count, 7);
    ledger_close(&book);
}

/* The same word twice is two references. */
static void twice(void)
{
    mb_options options = timeless();
    options.handler = echo;
    batcher = with_objects(options);
    CHECK_OK(mb_batcher_push_object(batcher, owner, 5, 0, 0));
    CHECK_OK(mb_batcher_push_object(batcher, owner, 5, 0, 0));
    CHECK_OK(mb_batcher_free(batcher));
    check_given_back(5, 2);
}

static void refused(void)
{
    mb_options options = timeless();
    mb_producer *producer = NULL;
    mb_batcher *none;
    options.by_kind[MB_KIND_OBJECT].call = echo;
    options.queue_capacity = 1;
    options.on_full = MB_FULL_REJECT;
    options.max_batch_bytes = 50;
    batcher = with_objects(options);
    CHECK_OK(mb_producer_new(batcher, &producer));
    CHECK_STATUS(mb_batcher_push_object(batcher, other_owner, 1, 0, 0), MB_ERR_WRONG_OWNER);
    CHECK_STATUS(mb_batcher_push_object(batcher, 0, 1, 0, 0), MB_ERR_WRONG_OWNER);
    CHECK_STATUS(mb_producer_push_object(producer, other_owner, 1, 0, 0), MB_ERR_WRONG_OWNER);
    CHECK_STATUS(mb_batcher_push_object(batcher, owner, 1, 43, 0), MB_ERR_TOO_LARGE);
    CHECK_OK(mb_batcher_push_object(batcher, owner, 0, 42, 0));
    CHECK_STATUS(mb_batcher_push_object(batcher, owner, 1, 0, 0), MB_ERR_QUEUE_FULL);
    CHECK_STATUS(mb_batcher_close(batcher, 0, NULL), MB_ERR_TIMEOUT);
    check_given_back(0, 1);
    CHECK_STATUS(mb_batcher_push_object(batcher, owner, 1, 0, 0), MB_ERR_CLOSED);
    CHECK_STATUS(mb_producer_push_object(producer, owner, 1, 0, 0), MB_ERR_CLOSED);
    CHECK_OK(mb_producer_free(producer));
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_STATUS(mb_batcher_push_object(batcher, owner, 1, 0, 0), MB_ERR_INVALID_HANDLE);
    check_given_back(1, 0);
    CHECK_EQ(given_back_count, 1);

    /* A batcher without an owner takes none. */
    options = timeless();
    none = made(&options);
    CHECK_STATUS(mb_batcher_push_object(none, owner, 1, 0, 0), MB_ERR_WRONG_OWNER);
    CHECK_STATUS(mb_batcher_push_object(none, 0, 1, 0, 0), MB_ERR_WRONG_OWNER);
    CHECK_OK(mb_batcher_free(none));
}

static mb_batch *next(void)
{
    mb_batch *batch = NULL;
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    return batch;
}

static void every_ending(void)
{
    mb_options options = noted(timeless());
    mb_push_options deadline = push_options();
    mb_value value = object_value(owner, 2, 0);
    mb_value seen;
    mb_batch *batch;
    uint64_t word;

    options.handler_timeout = 5;
    options.max_in_flight = 4;
    options.queue_capacity = 3;
    options.max_batch_size = 3;
    options.on_full = MB_FULL_DISCARD_OLDEST;
    batcher = with_objects(options);
    CHECK_OK(mb_batcher_push_object(batcher, owner, 0, 0, 0)); /* to be discarded for room */
    CHECK_OK(mb_batcher_push_object(batcher, owner, 1, 0, 1)); /* cancelled */
    deadline.deadline = 1;
    CHECK_OK(mb_batcher_push_value(batcher, &value, 2, &deadline)); /* expired */
    CHECK_OK(mb_batcher_push_object(batcher, owner, 3, 0, 3)); /* given up by its holder */
    CHECK_OK(mb_batcher_cancel(batcher, 1, NULL));
    CHECK_EQ(given_back_count, 0);
    CHECK_OK(mb_batcher_advance(batcher, 1));
    CHECK_OK(mb_batcher_run(batcher));
    for (word = 0; word < 3; word++) {
        check_given_back(word, 1);
    }
    batch = next();
    CHECK_OK(mb_batch_free(batch));
    CHECK_OK(mb_batcher_run(batcher));
    check_given_back(3, 1);

    /* Timed out: not while its holder may look at it. */
    CHECK_OK(mb_batcher_push_object(batcher, owner, 4, 0, 4));
    batch = next();
    CHECK_OK(mb_batcher_advance(batcher, 100));
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_STATUS(RESULT(&book, 4)->code, MB_ERR_HANDLER_TIMEOUT);
    CHECK_OK(mb_batch_value(batch, 0, &seen));
    CHECK_EQ(seen.as.object.word, 4);
    check_given_back(4, 0);
    CHECK_STATUS(mb_batch_complete_ok(batch), MB_ERR_TOO_LATE);
    CHECK_OK(mb_batcher_run(batcher));
    check_given_back(4, 1);

    /* Discarded by free: one that waits, and one in a batch that is held, which goes with the batch. */
    CHECK_OK(mb_batcher_push_object(batcher, owner, 5, 0, 5));
    batch = next();
    CHECK_OK(mb_batcher_push_object(batcher, owner, 6, 0, 6));
    CHECK_OK(mb_batcher_free(batcher));
    check_given_back(6, 1);
    check_given_back(5, 0);
    CHECK_OK(mb_batch_value(batch, 0, &seen));
    CHECK_EQ(seen.as.object.word, 5);
    CHECK_OK(mb_batch_free(batch));
    check_given_back(5, 1);
    CHECK_EXACTLY_ONCE(&book, 7);
    CHECK_EQ(given_back_count, 7);
    ledger_close(&book);
}

/* ---- object results ------------------------------------------------------------------------------------- */

static void set_result(mb_batch *batch, uint64_t word)
{
    CHECK_OK(mb_batch_set_object(batch, 0, owner, word, 0));
}

static mb_status answer_objects(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = batch_view(batch);
    mb_value value = object_value(owner, RESULT_WORDS + view.tags[0], 0);
    (void)api;
    switch (*(int *)user_data) {
    case 0: /* delivered */
        CHECK_OK(mb_batch_set_value(batch, 0, &value));
        return MB_OK;
    case 1: /* replaced, by another object and by a number */
        set_result(batch, RESULT_WORDS + 10);
        set_result(batch, RESULT_WORDS + 11);
        CHECK_OK(mb_batch_set_int64(batch, 0, 1));
        return MB_OK;
    case 2: /* replaced by a failure */
        set_result(batch, RESULT_WORDS + 10);
        CHECK_OK(mb_batch_fail(batch, 0, 5, NULL, NULL, 0));
        return MB_OK;
    case 3: /* set, and then the part fails */
        set_result(batch, RESULT_WORDS + 10);
        return 5;
    case 4:
        set_result(batch, RESULT_WORDS + 10);
        CHECK_OK(mb_batch_fail_all(batch, 5, NULL, NULL, 0));
        return MB_OK;
    default: /* refused: they stay the handler's */
        CHECK_STATUS(mb_batch_set_object(batch, 0, other_owner, RESULT_WORDS + 10, 0), MB_ERR_WRONG_OWNER);
        CHECK_STATUS(mb_batch_set_object(batch, 1, owner, RESULT_WORDS + 10, 0), MB_ERR_OUT_OF_RANGE);
        CHECK_OK(mb_batch_set_null(batch, 0));
        return MB_OK;
    }
}

static void object_results(void)
{
    /* How often the words 32 + 10 and 32 + 11 come back. */
    static const uint64_t EXPECTED[6][2] = { { 0, 0 }, { 1, 1 }, { 1, 0 }, { 1, 0 }, { 1, 0 }, { 0, 0 } };
    int way;
    for (way = 0; way < 6; way++) {
        mb_options options = noted(timeless());
        options.handler = answer_objects;
        options.handler_data = &way;
        batcher = with_objects(options);
        CHECK_OK(mb_batcher_push_object(batcher, owner, 1, 0, 1));
        CHECK_OK(mb_batcher_flush(batcher, 0));
        check_given_back(1, 1);
        if (way == 0) {
            CHECK_EQ(RESULT(&book, 1)->kind, MB_KIND_OBJECT);
            CHECK_EQ(RESULT(&book, 1)->cell, RESULT_WORDS + 1);
            check_given_back(RESULT_WORDS + 1, 1);
        }
        check_given_back(RESULT_WORDS + 10, EXPECTED[way][0]);
        check_given_back(RESULT_WORDS + 11, EXPECTED[way][1]);
        CHECK_OK(mb_batcher_free(batcher));
        CHECK_EQ(given_back_count, 1 + (way == 0) + EXPECTED[way][0] + EXPECTED[way][1]);
        ledger_close(&book);
    }
}

/* With pulled results references come back when the set is freed, also one that outlives the batcher. */
static void pulled_results(void)
{
    int outlives;
    int way = 0;
    for (outlives = 0; outlives < 2; outlives++) {
        mb_options options = timeless();
        mb_results *results = NULL;
        mb_value value;
        options.results = MB_RESULTS_PULL;
        options.handler = answer_objects;
        options.handler_data = &way;
        batcher = with_objects(options);
        CHECK_OK(mb_batcher_push_object(batcher, owner, 1, 0, 1));
        CHECK_OK(mb_batcher_seal(batcher));
        CHECK_OK(mb_batcher_run(batcher));
        CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
        CHECK_OK(mb_results_value(results, 0, &value));
        CHECK_EQ(value.as.object.word, RESULT_WORDS + 1);
        CHECK_EQ(value.owner, owner);
        if (outlives) {
            CHECK_OK(mb_batcher_free(batcher));
        }
        CHECK_EQ(given_back_count, 0);
        CHECK_OK(mb_results_free(results));
        check_given_back(1, 1);
        check_given_back(RESULT_WORDS + 1, 1);
        if (!outlives) {
            CHECK_OK(mb_batcher_free(batcher));
        }
        CHECK_EQ(given_back_count, 2);
    }
}

/* P1: an object set as a result is released when it is late; whether the handle is still good makes no difference. */
static void late_results(void)
{
    mb_options options = noted(timeless());
    mb_batch *batch;
    options.handler_timeout = 5;
    options.max_in_flight = 4;
    batcher = with_objects(options);

    CHECK_OK(mb_batcher_push_object(batcher, owner, 1, 0, 1));
    batch = next();
    CHECK_OK(mb_batcher_advance(batcher, 10));
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_STATUS(mb_batch_set_object(batch, 0, owner, RESULT_WORDS + 10, 0), MB_ERR_TOO_LATE);
    CHECK_STATUS(mb_batch_complete(batch), MB_ERR_TOO_LATE);
    CHECK_OK(mb_batcher_run(batcher));
    check_given_back(1, 1);
    check_given_back(RESULT_WORDS + 10, 1);
    CHECK_STATUS(mb_batch_set_object(batch, 0, owner, RESULT_WORDS + 11, 0), MB_ERR_TOO_LATE);
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_OK(mb_batcher_free(batcher));
    check_given_back(RESULT_WORDS + 11, 1);
    ledger_close(&book);
}

/* Objects of map stay the caller's; its results are borrowed words too. */
static void mapped(void)
{
    mb_value values[2];
    mb_map_options options;
    mb_results *results = NULL;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.owner = owner;
    values[0] = object_value(owner, 1, 0);
    values[1] = object_value(owner, 2, 0);
    given_back_count = 0;
    CHECK_OK(mb_map_values(values, 2, &options, echo, NULL, &results, NULL));
    CHECK_EQ(results_view(results).count, 2);
    CHECK_OK(mb_results_free(results));
    CHECK_EQ(given_back_count, 0);
}

static void owners(void)
{
    uint32_t numbers[1000];
    size_t at;
    size_t before;
    for (at = 0; at < 1000; at++) {
        CHECK_OK(mb_owner_new(&numbers[at]));
        CHECK(numbers[at] != 0);
        for (before = 0; before < at; before++) {
            CHECK(numbers[before] != numbers[at]);
        }
    }
    owner = numbers[0];
    other_owner = numbers[1];
}

int main(void)
{
    watchdog();
    owners();
    delivered();
    twice();
    refused();
    every_ending();
    object_results();
    pulled_results();
    mapped();
    late_results();
    return 0;
}
