/* P4: an owned push keeps the caller's pointer. Its release runs exactly once, after the value's result is delivered,
   never inside push, and never for a value that was refused. */

#include "kit.h"

static ledger book;
static mb_batcher *batcher;
/* A push is under way in this thread. */
static __thread int inside_push;

/* One owned string. */
typedef struct owned {
    char text[16];
    uint64_t tag;
    uint64_t released;
} owned;

static void release(void *user_data)
{
    owned *mine = user_data;
    CHECK(!inside_push);
    CHECK_EQ(count_up(&mine->released), 1);
    /* The result came before. */
    CHECK_EQ(book.entries[mine->tag].times, 1);
    memset(mine->text, '!', sizeof mine->text);
}

static owned *owned_new(uint64_t tag)
{
    owned *mine = calloc(1, sizeof *mine);
    CHECK(mine != NULL);
    snprintf(mine->text, sizeof mine->text, "owned %d", (int)tag);
    mine->tag = tag;
    return mine;
}

static mb_status push_with(owned *mine, uint32_t kind, int64_t deadline)
{
    mb_push_options options = push_options();
    mb_value value = text_value(kind, mine->text, strlen(mine->text));
    mb_status status;
    options.release = release;
    options.release_data = mine;
    options.deadline = deadline;
    inside_push = 1;
    status = mb_batcher_push_value(batcher, &value, mine->tag, &options);
    inside_push = 0;
    return status;
}

static mb_status push(owned *mine)
{
    return push_with(mine, mine->tag % 2 ? MB_KIND_STRING : MB_KIND_BYTES, 0);
}

static void released_once(owned *mine)
{
    CHECK_EQ(counted(&mine->released), 1);
    free(mine);
}

static void never_released(owned *mine)
{
    CHECK_EQ(counted(&mine->released), 0);
    free(mine);
}

/* The bytes are where they were pushed from. */
static mb_status look(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = batch_view(batch);
    mb_column column;
    size_t row;
    (void)user_data;
    CHECK(view.offsets == NULL);
    column.struct_size = sizeof column;
    CHECK_OK(mb_batch_gather(batch, MB_KIND_STRING, &column));
    for (row = 0; row < column.count; row++) {
        CHECK(memcmp(column.bytes + column.offsets[row], "owned ", 6) == 0);
    }
    for (row = 0; row < view.count; row++) {
        char expected[16];
        mb_value value;
        CHECK_OK(mb_batch_value(batch, row, &value));
        snprintf(expected, sizeof expected, "owned %d", (int)view.tags[row]);
        CHECK_EQ(value.as.string.length, strlen(expected));
        CHECK(memcmp(value.as.string.data, expected, strlen(expected)) == 0);
    }
    return echo(NULL, batch, api);
}

static mb_options noted(mb_options options)
{
    ledger_open(&book, 2000);
    options.on_result = note_results;
    options.result_data = &book;
    return options;
}

static void delivered(void)
{
    mb_options options = noted(timeless());
    owned *mine[50];
    uint64_t at;
    options.handler = look;
    options.max_batch_size = 8;
    batcher = made(&options);
    for (at = 0; at < 50; at++) {
        mine[at] = owned_new(at);
        CHECK_OK(push(mine[at]));
    }
    CHECK_EQ(mine[0]->released, 0);
    CHECK_OK(mb_batcher_flush(batcher, 0));
    for (at = 0; at < 50; at++) {
        released_once(mine[at]);
        CHECK_EQ(RESULT(&book, at)->outcome, MB_OUTCOME_OK);
        CHECK(memcmp(RESULT(&book, at)->text, "owned ", 6) == 0);
    }
    CHECK_OK(mb_batcher_free(batcher));
    ledger_close(&book);
}

/* Whatever becomes of a value, its release runs once, after that. */
static void otherwise_ended(void)
{
    mb_options options = noted(timeless());
    owned *cancelled = owned_new(1);
    owned *expired = owned_new(2);
    owned *evicted = owned_new(3);
    owned *failed = owned_new(4);
    owned *late = owned_new(5);
    owned *left = owned_new(6);
    mb_batch *batch = NULL;

    options.queue_capacity = 3;
    options.on_full = MB_FULL_DISCARD_OLDEST;
    options.handler_timeout = 5;
    options.max_in_flight = 2;
    batcher = made(&options);
    CHECK_OK(push(evicted));
    CHECK_OK(push(cancelled));
    CHECK_OK(push_with(expired, MB_KIND_STRING, 1));
    CHECK_OK(mb_batcher_push_int64(batcher, 0, 0));
    CHECK_EQ(evicted->released, 0);
    CHECK_OK(mb_batcher_cancel(batcher, 1, NULL));
    CHECK_EQ(cancelled->released, 0);
    CHECK_OK(mb_batcher_advance(batcher, 1));
    CHECK_OK(mb_batcher_run(batcher));
    released_once(evicted);
    released_once(cancelled);
    released_once(expired);
    CHECK_EQ(RESULT(&book, 3)->outcome, MB_OUTCOME_DISCARDED);
    CHECK_EQ(RESULT(&book, 1)->outcome, MB_OUTCOME_CANCELLED);
    CHECK_EQ(RESULT(&book, 2)->outcome, MB_OUTCOME_EXPIRED);

    CHECK_OK(push(failed));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    CHECK_OK(mb_batch_free(batch));
    CHECK_OK(mb_batcher_run(batcher));
    released_once(failed);
    CHECK_STATUS(RESULT(&book, 4)->code, MB_ERR_NO_RESULT);

    /* A batch that its holder still looks at keeps its bytes although its result was delivered. */
    CHECK_OK(push(late));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    CHECK_OK(mb_batcher_advance(batcher, 100));
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_STATUS(RESULT(&book, 5)->code, MB_ERR_HANDLER_TIMEOUT);
    CHECK_EQ(late->released, 0);
    {
        mb_value value;
        CHECK_OK(mb_batch_value(batch, 0, &value));
        CHECK(value.as.string.data == late->text);
    }
    CHECK_STATUS(mb_batch_complete(batch), MB_ERR_TOO_LATE);
    CHECK_OK(mb_batcher_run(batcher));
    released_once(late);

    CHECK_OK(push(left));
    CHECK_OK(mb_batcher_free(batcher));
    released_once(left);
    CHECK_EQ(RESULT(&book, 6)->outcome, MB_OUTCOME_DISCARDED);
    ledger_close(&book);
}

static void refused(void)
{
    mb_options options = noted(timeless());
    owned *mine[8];
    mb_push_options owned_push = push_options();
    mb_value number = int64_value(1);
    uint64_t at;
    for (at = 0; at < 8; at++) {
        mine[at] = owned_new(at);
    }
    options.queue_capacity = 1;
    options.on_full = MB_FULL_REJECT;
    options.max_batch_bytes = 15;
    batcher = made(&options);
    CHECK_OK(push(mine[0]));
    CHECK_STATUS(push(mine[1]), MB_ERR_QUEUE_FULL);
    strcpy(mine[2]->text, "too long");
    CHECK_STATUS(push(mine[2]), MB_ERR_TOO_LARGE);
    strcpy(mine[3]->text, "\xff");
    CHECK_STATUS(push(mine[3]), MB_ERR_INVALID_UTF8);
    owned_push.release = release;
    owned_push.release_data = mine[4];
    CHECK_STATUS(mb_batcher_push_value(batcher, &number, 4, &owned_push), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batcher_close(batcher, 0, NULL), MB_ERR_TIMEOUT);
    CHECK_STATUS(push(mine[5]), MB_ERR_CLOSED);
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_STATUS(push(mine[6]), MB_ERR_INVALID_HANDLE);
    released_once(mine[0]);
    for (at = 1; at < 8; at++) {
        never_released(mine[at]);
    }
    ledger_close(&book);
}

/* Results that only count deliver too, and releases run for them. */
static void only_counted(void)
{
    mb_options options = timeless();
    uint64_t releases = 0;
    mb_push_options push_it = push_options();
    mb_value value = text_value(MB_KIND_STRING, "text", 4);
    options.handler = echo;
    push_it.release = count_release;
    push_it.release_data = &releases;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_value(batcher, &value, 1, &push_it));
    CHECK_OK(mb_batcher_cancel(batcher, 1, NULL));
    CHECK_EQ(releases, 0);
    CHECK_OK(mb_batcher_push_value(batcher, &value, 2, &push_it));
    CHECK_OK(mb_batcher_flush(batcher, 0));
    CHECK_EQ(releases, 2);
    CHECK_OK(mb_batcher_free(batcher));
}

/* Pulled results: when they are given back. */
static void pulled(void)
{
    mb_options options = timeless();
    uint64_t releases = 0;
    mb_push_options push_it = push_options();
    mb_value value = text_value(MB_KIND_STRING, "text", 4);
    mb_results *results = NULL;
    int freed_first;
    options.handler = echo;
    options.results = MB_RESULTS_PULL;
    push_it.release = count_release;
    push_it.release_data = &releases;
    for (freed_first = 0; freed_first < 2; freed_first++) {
        releases = 0;
        batcher = made(&options);
        CHECK_OK(mb_batcher_push_value(batcher, &value, 1, &push_it));
        CHECK_OK(mb_batcher_flush_begin(batcher, &(uint64_t){ 0 }));
        CHECK_OK(mb_batcher_run(batcher));
        CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
        CHECK_OK(mb_batcher_push_value(batcher, &value, 2, &push_it));
        CHECK_OK(mb_batcher_seal(batcher));
        CHECK_OK(mb_batcher_run(batcher));
        /* A result that nobody pulls is released with the batcher. */
        if (freed_first) {
            CHECK_OK(mb_batcher_free(batcher));
            CHECK_EQ(releases, 1);
            CHECK_OK(mb_results_free(results));
            CHECK_EQ(releases, 2);
        } else {
            CHECK_EQ(releases, 0);
            CHECK_OK(mb_results_free(results));
            CHECK_EQ(releases, 1);
            CHECK_OK(mb_batcher_free(batcher));
            CHECK_EQ(releases, 2);
        }
    }
}

/* In threads, under a stream of values. */
static void threaded(void)
{
    mb_options options = noted(defaults());
    owned *mine[2000];
    uint64_t at;
    options.handler = look;
    options.threads = 3;
    options.max_batch_size = 16;
    batcher = made(&options);
    for (at = 0; at < 2000; at++) {
        mine[at] = owned_new(at);
        CHECK_OK(push(mine[at]));
    }
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EXACTLY_ONCE(&book, 2000);
    for (at = 0; at < 2000; at++) {
        released_once(mine[at]);
    }
    ledger_close(&book);
}

/* One release for a whole array, after the last of its values. */
static void arrays(void)
{
    static const int32_t OFFSETS[7] = { 0, 1, 2, 3, 4, 5, 6 };
    mb_options options = noted(timeless());
    mb_push_options push_it = push_options();
    uint64_t releases = 0;
    size_t accepted = 0;
    options.handler = echo;
    options.max_batch_size = 2;
    batcher = made(&options);
    push_it.release = count_release;
    push_it.release_data = &releases;
    CHECK_OK(mb_batcher_push_strings(batcher, "abcdef", OFFSETS, NULL, 6, NULL, 0, &push_it, &accepted));
    CHECK_OK(mb_batcher_cancel(batcher, 5, NULL));
    CHECK_EQ(releases, 0);
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_OK(mb_batcher_flush(batcher, 0));
    CHECK_EQ(releases, 1);
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EQ(releases, 1);
    CHECK_EXACTLY_ONCE(&book, 6);
    ledger_close(&book);
}

int main(void)
{
    watchdog();
    delivered();
    otherwise_ended();
    refused();
    only_counted();
    pulled();
    threaded();
    arrays();
    return 0;
}
