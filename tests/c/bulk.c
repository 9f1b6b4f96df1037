/* P6: bulk pushes act as their values pushed one by one: validity bitmaps, 32 and 64-bit offsets, tags, a prefix that is
   taken up to the first refusal, one release for an owned array. */

#include "kit.h"

/* What the handler saw, in order. */
#define MOST 400
static struct seen { uint64_t tag; uint32_t kind; uint64_t cell; char text[32]; size_t length; int64_t deadline; } seen[MOST];
static size_t seen_count;
static uint64_t releases;

static mb_status note(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = batch_view(batch);
    size_t row;
    for (row = 0; row < view.count; row++) {
        struct seen *to = &seen[seen_count++];
        mb_value value;
        CHECK(seen_count <= MOST);
        memset(to, 0, sizeof *to);
        CHECK_OK(mb_batch_value(batch, row, &value));
        to->tag = view.tags[row];
        to->kind = value.kind;
        to->deadline = view.deadlines ? view.deadlines[row] : 0;
        if (value.kind == MB_KIND_STRING || value.kind == MB_KIND_BYTES) {
            CHECK(value.as.string.length < sizeof to->text);
            to->length = value.as.string.length;
            if (to->length > 0) {
                memcpy(to->text, value.as.string.data, to->length);
            }
        } else {
            memcpy(&to->cell, &value.as, 8);
        }
    }
    return echo(user_data, batch, api);
}

static mb_batcher *noting(mb_options options)
{
    options.handler = note;
    seen_count = 0;
    return made(&options);
}

static void done(mb_batcher *batcher)
{
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_OK(mb_batcher_free(batcher));
}

/* Bit i % 8 of byte i / 8. */
static int is_valid(const uint8_t *validity, size_t at)
{
    return validity == NULL || (validity[at / 8] >> (at % 8) & 1);
}

static void numbers(void)
{
    /* 19 values: a last byte that is not full, whose other bits mean nothing. */
    static const uint8_t VALIDITY[3] = { 0x55, 0x0f, 0xfb };
    int64_t integers[19];
    double floats[19];
    uint64_t tags[19];
    int with_validity;
    int with_tags;
    int with_deadline;
    int of_floats;
    size_t at;
    for (at = 0; at < 19; at++) {
        integers[at] = (int64_t)(at * UINT64_C(0x0123456789abcdef));
        floats[at] = -0.5 * (double)at;
        tags[at] = UINT64_MAX - at * at;
    }
    for (with_validity = 0; with_validity < 2; with_validity++) {
        for (with_tags = 0; with_tags < 2; with_tags++) {
            for (with_deadline = 0; with_deadline < 2; with_deadline++) {
                for (of_floats = 0; of_floats < 2; of_floats++) {
                    mb_options options = timeless();
                    mb_push_options push = push_options();
                    mb_batcher *batcher;
                    const uint8_t *validity = with_validity ? VALIDITY : NULL;
                    size_t accepted = 77;
                    /* Batches end in the middle of the array. */
                    options.max_batch_size = 4;
                    batcher = noting(options);
                    push.deadline = with_deadline ? 5 * MB_S : 0;
                    CHECK_OK(of_floats
                                 ? mb_batcher_push_float64s(batcher, floats, validity, 19, with_tags ? tags : NULL, 1000,
                                                            &push, &accepted)
                                 : mb_batcher_push_int64s(batcher, integers, validity, 19, with_tags ? tags : NULL, 1000,
                                                          &push, &accepted));
                    CHECK_EQ(accepted, 19);
                    done(batcher);
                    CHECK_EQ(seen_count, 19);
                    for (at = 0; at < 19; at++) {
                        CHECK_EQ(seen[at].tag, with_tags ? tags[at] : 1000 + at);
                        CHECK_EQ(seen[at].deadline, push.deadline);
                        if (!is_valid(validity, at)) {
                            CHECK_EQ(seen[at].kind, MB_KIND_NULL);
                        } else {
                            CHECK_EQ(seen[at].kind, of_floats ? MB_KIND_FLOAT64 : MB_KIND_INT64);
                            CHECK(memcmp(&seen[at].cell, of_floats ? (void *)&floats[at] : (void *)&integers[at], 8) == 0);
                        }
                    }
                }
            }
        }
    }
}

/* Tags that count up go round at the end of their 64 bits. */
static void tags_wrap(void)
{
    int64_t two[2] = { 1, 2 };
    mb_batcher *batcher = noting(timeless());
    CHECK_OK(mb_batcher_push_int64s(batcher, two, NULL, 2, NULL, UINT64_MAX, NULL, NULL));
    done(batcher);
    CHECK(seen[0].tag == UINT64_MAX && seen[1].tag == 0);
}

static void check_string(size_t at, const char *text, size_t length)
{
    CHECK_EQ(seen[at].kind, MB_KIND_STRING);
    CHECK_EQ(seen[at].length, length);
    CHECK(memcmp(seen[at].text, text, length) == 0);
}

static void strings(void)
{
    static const char DATA[] = "..abc\0d\xc3\xa9zz";
    /* They need not begin at 0. */
    static const int32_t OFFSETS[6] = { 2, 5, 5, 7, 9, 11 };
    static const int64_t LARGE[6] = { 2, 5, 5, 7, 9, 11 };
    static const uint8_t VALIDITY[1] = { 0x17 }; /* not the fourth */
    int large;
    int with_validity;
    int owned;
    for (large = 0; large < 2; large++) {
        for (with_validity = 0; with_validity < 2; with_validity++) {
            for (owned = 0; owned < 2; owned++) {
                mb_batcher *batcher = noting(timeless());
                mb_push_options push = push_options();
                const uint8_t *validity = with_validity ? VALIDITY : NULL;
                size_t accepted = 77;
                push.release = owned ? count_release : NULL;
                push.release_data = &releases;
                releases = 0;
                CHECK_OK(large ? mb_batcher_push_large_strings(batcher, DATA, LARGE, validity, 5, NULL, 0, &push, &accepted)
                               : mb_batcher_push_strings(batcher, DATA, OFFSETS, validity, 5, NULL, 0, &push, &accepted));
                CHECK_EQ(accepted, 5);
                CHECK_EQ(releases, 0);
                done(batcher);
                CHECK_EQ(releases, owned);
                CHECK_EQ(seen_count, 5);
                check_string(0, "abc", 3);
                check_string(1, "", 0);
                check_string(2, "\0d", 2);
                if (with_validity) {
                    CHECK_EQ(seen[3].kind, MB_KIND_NULL);
                } else {
                    check_string(3, "\xc3\xa9", 2);
                }
                check_string(4, "zz", 2);
            }
        }
    }
}

/* Without a value there is no data to point to. */
static void empty_strings(void)
{
    static const int32_t NONE[4] = { 0, 0, 0, 0 };
    static const int32_t ANY[3] = { 5, 5, 5 };
    static const int32_t GARBAGE[3] = { 3, -7, 2 };
    static const uint8_t INVALID[1] = { 0 };
    mb_batcher *batcher = noting(timeless());
    CHECK_OK(mb_batcher_push_strings(batcher, NULL, NONE, NULL, 3, NULL, 0, NULL, NULL));
    CHECK_OK(mb_batcher_push_strings(batcher, NULL, ANY, NULL, 2, NULL, 0, NULL, NULL));
    CHECK_OK(mb_batcher_push_strings(batcher, NULL, NONE, NULL, 0, NULL, 0, NULL, NULL));
    /* Offsets of nulls are not looked at. */
    CHECK_OK(mb_batcher_push_strings(batcher, NULL, GARBAGE, INVALID, 2, NULL, 0, NULL, NULL));
    done(batcher);
    CHECK_EQ(seen_count, 7);
    check_string(4, "", 0);
    CHECK_EQ(seen[6].kind, MB_KIND_NULL);
}

/* An array is taken up to the first value that is refused: accepted is its index. */
static void prefixes(void)
{
    int64_t integers[10] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    mb_value mixed[5];
    static const int32_t OFFSETS[5] = { 0, 1, 2, 3, 4 };
    static char page[100];
    mb_push_options push = push_options();
    mb_options options = timeless();
    mb_batcher *batcher;
    size_t accepted = 77;

    options.on_full = MB_FULL_REJECT;
    options.queue_capacity = 7;
    options.max_batch_size = 7;
    options.max_batch_bytes = 100;
    batcher = noting(options);
    CHECK_STATUS(mb_batcher_push_int64s(batcher, integers, NULL, 10, NULL, 0, NULL, &accepted), MB_ERR_QUEUE_FULL);
    CHECK_EQ(accepted, 7);
    CHECK_STATUS(mb_batcher_push_int64s(batcher, integers, NULL, 10, NULL, 0, NULL, &accepted), MB_ERR_QUEUE_FULL);
    CHECK_EQ(accepted, 0);
    CHECK_EQ(stats_of(batcher).refusals[-MB_ERR_QUEUE_FULL], 2);
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_EQ(seen_count, 7);

    mixed[0] = int64_value(1);
    mixed[1] = text_value(MB_KIND_STRING, "two", 3);
    mixed[2] = text_value(MB_KIND_BYTES, page, 100);
    mixed[3] = int64_value(4);
    mixed[4] = value_of(MB_KIND_NULL);
    CHECK_STATUS(mb_batcher_push_values(batcher, mixed, 5, NULL, 0, NULL, &accepted), MB_ERR_TOO_LARGE);
    CHECK_EQ(accepted, 2);
    mixed[2] = text_value(MB_KIND_STRING, "\xff", 1);
    CHECK_STATUS(mb_batcher_push_values(batcher, mixed, 5, NULL, 0, NULL, &accepted), MB_ERR_INVALID_UTF8);
    CHECK_EQ(accepted, 2);
    mixed[2] = object_value(1, 1, 0);
    CHECK_STATUS(mb_batcher_push_values(batcher, mixed, 3, NULL, 0, NULL, NULL), MB_ERR_WRONG_OWNER);
    CHECK_EQ(stats_of(batcher).waiting, 6);

    /* A release for a prefix: it runs if one value was taken, and never otherwise. */
    push.release = count_release;
    push.release_data = &releases;
    releases = 0;
    CHECK_STATUS(mb_batcher_push_strings(batcher, "abcd", OFFSETS, NULL, 4, NULL, 0, &push, &accepted),
                 MB_ERR_QUEUE_FULL);
    CHECK_EQ(accepted, 1);
    CHECK_STATUS(mb_batcher_push_strings(batcher, "abcd", OFFSETS, NULL, 4, NULL, 0, &push, &accepted),
                 MB_ERR_QUEUE_FULL);
    CHECK_EQ(accepted, 0);
    CHECK_EQ(releases, 0);
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_EQ(releases, 1);
    /* The second call took nothing. */
    done(batcher);
    CHECK_EQ(releases, 1);

    /* Closed in the middle of nothing. */
    batcher = noting(timeless());
    CHECK_OK(mb_batcher_close(batcher, 0, NULL));
    CHECK_STATUS(mb_batcher_push_int64s(batcher, integers, NULL, 10, NULL, 0, NULL, &accepted), MB_ERR_CLOSED);
    CHECK_EQ(accepted, 0);
    CHECK_OK(mb_batcher_push_int64s(batcher, integers, NULL, 0, NULL, 0, NULL, &accepted));
    CHECK_OK(mb_batcher_free(batcher));

    /* No handler for the kind of a value in the middle. */
    options = timeless();
    options.by_kind[MB_KIND_INT64].call = note;
    batcher = made(&options);
    {
        static const uint8_t VALIDITY[1] = { 0x0b };
        CHECK_STATUS(mb_batcher_push_int64s(batcher, integers, VALIDITY, 4, NULL, 0, NULL, &accepted),
                     MB_ERR_NO_HANDLER);
        CHECK_EQ(accepted, 2);
    }
    CHECK_OK(mb_batcher_free(batcher));
}

/* A blocking bulk push takes everything, as room comes. */
static void blocking(void)
{
    static int64_t integers[MOST];
    mb_options options = defaults();
    mb_batcher *batcher;
    size_t accepted = 0;
    size_t at;
    for (at = 0; at < MOST; at++) {
        integers[at] = (int64_t)at;
    }
    options.queue_capacity = 5;
    options.max_batch_size = 3;
    options.push_timeout = MB_FOREVER;
    batcher = noting(options);
    CHECK_OK(mb_batcher_push_int64s(batcher, integers, NULL, MOST, NULL, 0, NULL, &accepted));
    CHECK_EQ(accepted, MOST);
    done(batcher);
    CHECK_EQ(seen_count, MOST);
    for (at = 0; at < MOST; at++) {
        CHECK_EQ(seen[at].tag, at);
        CHECK_EQ(seen[at].cell, at);
    }
}

/* Results by the column: validity and counts as in a bulk push. */
static mb_status answer_columns(void *user_data, mb_batch *batch, const mb_api *api)
{
    static const uint8_t VALIDITY[1] = { 0x05 };
    static const int64_t INTEGERS[3] = { 7, 8, 9 };
    static const double FLOATS[3] = { 0.5, 1.5, 2.5 };
    static const int32_t OFFSETS[4] = { 0, 1, 3, 6 };
    mb_value values[3];
    values[0] = value_of(MB_KIND_NULL);
    values[1] = text_value(MB_KIND_BYTES, "\xff", 1);
    values[2] = int64_value(-1);
    (void)api;
    switch (*(int *)user_data) {
    case 0:
        CHECK_OK(mb_batch_set_int64s(batch, INTEGERS, VALIDITY, 3));
        break;
    case 1:
        CHECK_OK(mb_batch_set_float64s(batch, FLOATS, VALIDITY, 3));
        break;
    case 2:
        CHECK_OK(mb_batch_set_strings(batch, "abbccc", OFFSETS, VALIDITY, 3));
        break;
    default:
        CHECK_OK(mb_batch_set_values(batch, values, 3));
    }
    return MB_OK;
}

static void results_by_column(void)
{
    int64_t integers[3] = { 0, 1, 2 };
    int way;
    for (way = 0; way < 4; way++) {
        mb_options options = timeless();
        mb_batcher *batcher;
        ledger book;
        ledger_open(&book, 3);
        options.handler = answer_columns;
        options.handler_data = &way;
        options.on_result = note_results;
        options.result_data = &book;
        batcher = made(&options);
        CHECK_OK(mb_batcher_push_int64s(batcher, integers, NULL, 3, NULL, 0, NULL, NULL));
        done(batcher);
        CHECK_EXACTLY_ONCE(&book, 3);
        CHECK_EQ(book.by_outcome[MB_OUTCOME_OK], 3);
        if (way < 3) {
            CHECK_EQ(RESULT(&book, 1)->kind, MB_KIND_NULL);
        }
        if (way == 0) {
            CHECK_EQ(RESULT(&book, 0)->cell, 7);
            CHECK_EQ(RESULT(&book, 2)->cell, 9);
        } else if (way == 1) {
            CHECK_EQ(RESULT(&book, 2)->cell, 0x4004000000000000);
        } else if (way == 2) {
            CHECK_TEXT(RESULT(&book, 0)->text, "a");
            CHECK_TEXT(RESULT(&book, 2)->text, "ccc");
        } else {
            CHECK_EQ(RESULT(&book, 0)->kind, MB_KIND_NULL);
            CHECK_EQ(RESULT(&book, 1)->kind, MB_KIND_BYTES);
            CHECK_EQ(RESULT(&book, 2)->cell, -1);
        }
        ledger_close(&book);
    }
}

int main(void)
{
    watchdog();
    numbers();
    tags_wrap();
    strings();
    empty_strings();
    prefixes();
    blocking();
    results_by_column();
    return 0;
}
