/* P34: structs that know their size. A shorter one, of an older version, counts as filled up with zeros and is filled as
   far as it goes; a longer one than the library's is fine while its tail is zero, and is filled with zeros there;
   nothing beyond the size that the caller gave is read or written; a size that was not set, or that no version had, is
   refused. */

#include "kit.h"

/* Beyond a struct of this version: what a later one may have. */
#define TAIL 64
/* After that: nobody's. */
#define BEYOND 64

/* Sizes in version 0.1. A struct grows at its end, so these stay. */
enum {
    FIRST_OPTIONS = 400,
    FIRST_PUSH_OPTIONS = 40,
    FIRST_BATCH_VIEW = 96,
    FIRST_COLUMN = 48,
    FIRST_RESULTS_VIEW = 80,
    FIRST_ROW_ERROR = 40,
    FIRST_MAP_OPTIONS = 32,
    FIRST_STATS = 2544,
    FIRST_SHARED = 24
};

/* Room for any struct of the header, with a tail. */
static union {
    size_t struct_size;
    unsigned char bytes[4096 + TAIL + BEYOND];
} place;

static mb_batcher *batcher;
static mb_batch *batch;
static mb_results *results;
static mb_results *failed;

/* Sizes that no version will ever have, and memory that was never set. */
static const size_t ABSURD[] = { (size_t)-1, (size_t)-8, SIZE_MAX / 2 + 1, 1 << 20, (size_t)0x5a5a5a5a5a5a5a5au };

/* ---- outputs -------------------------------------------------------------------------------------------- */

static mb_status fill_batch_view(void *to) { return mb_batch_get_view(batch, to); }
static mb_status fill_batch_column(void *to) { return mb_batch_gather(batch, MB_KIND_INT64, to); }
static mb_status fill_results_view(void *to) { return mb_results_get_view(results, to); }
static mb_status fill_results_column(void *to) { return mb_results_strings(results, to); }
static mb_status fill_row_error(void *to) { return mb_results_error(failed, 0, to); }
static mb_status fill_stats(void *to) { return mb_batcher_stats(batcher, to); }
static mb_status fill_shared(void *to) { return mb_batcher_share(batcher, to); }

/* All bytes from one place to another are this. */
static int all_are(size_t from, size_t to, unsigned char byte)
{
    for (; from < to; from++) {
        if (place.bytes[from] != byte) {
            return 0;
        }
    }
    return 1;
}

static void check_filled(const char *name, mb_status (*fill)(void *), size_t first, size_t size)
{
    static unsigned char exact[4096];
    size_t given;
    size_t at;

    memset(&place, 0x5a, sizeof place);
    place.struct_size = size;
    CHECK_STATUS(fill(&place), MB_OK);
    CHECK_EQ(place.struct_size, size);
    CHECK(all_are(size, sizeof place.bytes, 0x5a));
    memcpy(exact, place.bytes, size);
    memset(&place, 0xa5, sizeof place);
    place.struct_size = size;
    CHECK_STATUS(fill(&place), MB_OK);
    if (strcmp(name, "mb_stats") != 0 && memcmp(exact, place.bytes, size) != 0) {
        FAIL("%s is not filled to its end", name);
    }

    /* From a later version: the same, and zeros behind. */
    for (given = size + 1; given <= size + TAIL; given++) {
        memset(&place, 0x5a, sizeof place);
        place.struct_size = given;
        CHECK_STATUS(fill(&place), MB_OK);
        CHECK_EQ(place.struct_size, given);
        if (strcmp(name, "mb_stats") != 0) {
            CHECK(memcmp(exact + sizeof(size_t), place.bytes + sizeof(size_t), size - sizeof(size_t)) == 0);
        }
        CHECK(all_are(size, given, 0));
        CHECK(all_are(given, sizeof place.bytes, 0x5a));
    }

    /* From an earlier version: what it knows, and no byte more. */
    for (given = first; given < size; given++) {
        memset(&place, 0x5a, sizeof place);
        place.struct_size = given;
        CHECK_STATUS(fill(&place), MB_OK);
        CHECK_EQ(place.struct_size, given);
        CHECK(all_are(given, sizeof place.bytes, 0x5a));
    }

    /* Sizes that no version has: 0 is one that was not set. */
    for (given = 0; given < first; given++) {
        memset(&place, 0x5a, sizeof place);
        place.struct_size = given;
        CHECK_STATUS(fill(&place), MB_ERR_INVALID_ARGUMENT);
        CHECK_EQ(place.struct_size, given);
        CHECK(all_are(sizeof(size_t), sizeof place.bytes, 0x5a));
    }
    for (at = 0; at < sizeof ABSURD / sizeof ABSURD[0]; at++) {
        memset(&place, 0x5a, sizeof place);
        place.struct_size = ABSURD[at];
        CHECK_STATUS(fill(&place), MB_ERR_INVALID_ARGUMENT);
        CHECK(all_are(sizeof(size_t), sizeof place.bytes, 0x5a));
    }
}

/* ---- inputs --------------------------------------------------------------------------------------------- */

static mb_batcher *new_batcher;
static mb_results *new_results;
static int refuses;
static const int64_t numbers[3] = { 1, 2, 3 };

static mb_status take_options(const void *from) { return mb_batcher_new(from, &new_batcher, NULL); }

static const double fractions[3] = { 0.5, 1.5, 2.5 };
static const int32_t offsets[4] = { 0, 1, 2, 3 };
static const int64_t large_offsets[4] = { 0, 1, 2, 3 };
static mb_value values[3];
static mb_producer *producer;

#define PUSHES(name, expression) \
    static mb_status name(const void *from) { return expression; }

PUSHES(take_push_value, mb_batcher_push_value(batcher, values, 1, from))
PUSHES(take_push_int64s, mb_batcher_push_int64s(batcher, numbers, NULL, 1, NULL, 0, from, NULL))
PUSHES(take_push_float64s, mb_batcher_push_float64s(batcher, fractions, NULL, 1, NULL, 0, from, NULL))
PUSHES(take_push_strings, mb_batcher_push_strings(batcher, "abc", offsets, NULL, 1, NULL, 0, from, NULL))
PUSHES(take_push_large_strings,
       mb_batcher_push_large_strings(batcher, "abc", large_offsets, NULL, 1, NULL, 0, from, NULL))
PUSHES(take_push_values, mb_batcher_push_values(batcher, values, 1, NULL, 0, from, NULL))
PUSHES(take_producer_push_value, mb_producer_push_value(producer, values, 1, from))

#define MAPS(name, expression) \
    static mb_status name(const void *from) \
    { \
        mb_handler_fn handler = refuses ? never : echo; \
        return expression; \
    }

MAPS(take_map_int64s, mb_map_int64s(numbers, NULL, 3, from, handler, NULL, &new_results, NULL))
MAPS(take_map_float64s, mb_map_float64s(fractions, NULL, 3, from, handler, NULL, &new_results, NULL))
MAPS(take_map_strings, mb_map_strings("abc", offsets, NULL, 3, from, handler, NULL, &new_results, NULL))
MAPS(take_map_values, mb_map_values(values, 3, from, handler, NULL, &new_results, NULL))

static void undo(void)
{
    CHECK_OK(mb_batcher_free(new_batcher));
    CHECK_OK(mb_results_free(new_results));
    new_batcher = NULL;
    new_results = NULL;
}

/* `take` accepts the struct at `exact`, of `size` bytes. */
static void check_read(mb_status (*take)(const void *), const void *exact, size_t first, size_t size)
{
    size_t given;
    size_t at;
    for (given = size; given <= size + TAIL; given++) {
        /* Zeros up to the size given; what is beyond is not looked at. */
        memset(&place, 0x5a, sizeof place);
        memset(&place, 0, given);
        memcpy(&place, exact, size);
        place.struct_size = given;
        refuses = 0;
        CHECK_STATUS(take(&place), MB_OK);
        undo();

        /* A field that this version does not know is set. */
        refuses = 1;
        for (at = size; at < given; at++) {
            place.bytes[at] = 1;
            CHECK_STATUS(take(&place), MB_ERR_UNSUPPORTED);
            place.bytes[at] = 0;
        }
    }
    for (given = first; given < size; given++) {
        /* What is behind its end is not looked at. */
        memset(&place, 0x5a, sizeof place);
        memcpy(&place, exact, given);
        place.struct_size = given;
        refuses = 0;
        CHECK_STATUS(take(&place), MB_OK);
        undo();
    }
    refuses = 1;
    for (given = 0; given < first; given++) {
        memcpy(&place, exact, size);
        place.struct_size = given;
        CHECK_STATUS(take(&place), MB_ERR_INVALID_ARGUMENT);
    }
    for (at = 0; at < sizeof ABSURD / sizeof ABSURD[0]; at++) {
        place.struct_size = ABSURD[at];
        CHECK_STATUS(take(&place), MB_ERR_INVALID_ARGUMENT);
    }
    CHECK(new_batcher == NULL && new_results == NULL);
}

/* mb_options_init writes as far as it is told, and mb_options_set leaves what it does not know. */
static void options_of_other_versions(void)
{
    mb_options *options = (mb_options *)(void *)&place;
    mb_error *error = NULL;
    size_t given;
    for (given = sizeof *options; given <= sizeof *options + TAIL; given++) {
        memset(&place, 0x5a, sizeof place);
        CHECK_OK(mb_options_init(options, given));
        CHECK_EQ(options->struct_size, given);
        CHECK(all_are(sizeof(size_t), given, 0));
        CHECK(all_are(given, sizeof place.bytes, 0x5a));
        CHECK_OK(mb_options_set(options, "max_delay", "2ms", NULL));
        CHECK_EQ(options->max_delay, 2 * MB_MS);
        CHECK(all_are(given, sizeof place.bytes, 0x5a));
    }
    memset(&place, 0x5a, sizeof place);
    CHECK_STATUS(mb_options_init(options, 0), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_options_init(options, FIRST_OPTIONS - 1), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_options_init(options, (size_t)-1), MB_ERR_INVALID_ARGUMENT);
    CHECK(all_are(0, sizeof place.bytes, 0x5a));

    CHECK_OK(mb_options_init(options, sizeof *options + TAIL));
    place.bytes[sizeof *options] = 1;
    CHECK_STATUS(mb_options_set(options, "max_delay", "2ms", &error), MB_ERR_UNSUPPORTED);
    CHECK_EQ(options->max_delay, 0);
    CHECK_TEXT(mb_error_subject(error), "struct_size");
    mb_error_free(error);
    options->struct_size = 0;
    CHECK_STATUS(mb_options_set(options, "max_delay", "2ms", &error), MB_ERR_INVALID_ARGUMENT);
    CHECK_CONTAINS(mb_error_message(error), "mb_options_init");
    mb_error_free(error);
}

/* Every function that fills a struct that knows its size, and every one that reads one, but for mb_options_init and
   mb_options_set, which are below. tests/c/tables.rs compares both with the header. */
static const struct { const char *function, *type; mb_status (*fill)(void *); size_t first, size; } FILLED[] = {
    { "mb_batch_get_view", "mb_batch_view", fill_batch_view, FIRST_BATCH_VIEW, sizeof(mb_batch_view) },
    { "mb_batch_gather", "mb_column", fill_batch_column, FIRST_COLUMN, sizeof(mb_column) },
    { "mb_results_get_view", "mb_results_view", fill_results_view, FIRST_RESULTS_VIEW, sizeof(mb_results_view) },
    { "mb_results_strings", "mb_column", fill_results_column, FIRST_COLUMN, sizeof(mb_column) },
    { "mb_results_error", "mb_row_error", fill_row_error, FIRST_ROW_ERROR, sizeof(mb_row_error) },
    { "mb_batcher_stats", "mb_stats", fill_stats, FIRST_STATS, sizeof(mb_stats) },
    { "mb_batcher_share", "mb_shared", fill_shared, FIRST_SHARED, sizeof(mb_shared) },
};

static const struct { const char *function, *type; mb_status (*take)(const void *); size_t first, size; } READ[] = {
    { "mb_batcher_new", "mb_options", take_options, FIRST_OPTIONS, sizeof(mb_options) },
    { "mb_batcher_push_value", "mb_push_options", take_push_value, FIRST_PUSH_OPTIONS, sizeof(mb_push_options) },
    { "mb_batcher_push_int64s", "mb_push_options", take_push_int64s, FIRST_PUSH_OPTIONS, sizeof(mb_push_options) },
    { "mb_batcher_push_float64s", "mb_push_options", take_push_float64s, FIRST_PUSH_OPTIONS, sizeof(mb_push_options) },
    { "mb_batcher_push_strings", "mb_push_options", take_push_strings, FIRST_PUSH_OPTIONS, sizeof(mb_push_options) },
    { "mb_batcher_push_large_strings", "mb_push_options", take_push_large_strings, FIRST_PUSH_OPTIONS,
      sizeof(mb_push_options) },
    { "mb_batcher_push_values", "mb_push_options", take_push_values, FIRST_PUSH_OPTIONS, sizeof(mb_push_options) },
    { "mb_producer_push_value", "mb_push_options", take_producer_push_value, FIRST_PUSH_OPTIONS,
      sizeof(mb_push_options) },
    { "mb_map_int64s", "mb_map_options", take_map_int64s, FIRST_MAP_OPTIONS, sizeof(mb_map_options) },
    { "mb_map_float64s", "mb_map_options", take_map_float64s, FIRST_MAP_OPTIONS, sizeof(mb_map_options) },
    { "mb_map_strings", "mb_map_options", take_map_strings, FIRST_MAP_OPTIONS, sizeof(mb_map_options) },
    { "mb_map_values", "mb_map_options", take_map_values, FIRST_MAP_OPTIONS, sizeof(mb_map_options) },
};

int main(void)
{
    mb_options options = timeless();
    mb_push_options push = push_options();
    mb_map_options map;
    size_t at;
    watchdog();
    values[0] = values[1] = values[2] = int64_value(1);

    options.results = MB_RESULTS_PULL;
    options.max_in_flight = 2;
    batcher = made(&options);
    CHECK_OK(mb_producer_new(batcher, &producer));
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    CHECK_OK(mb_batch_set_string(batch, 0, "text", 4));
    CHECK_OK(mb_batch_complete(batch));
    CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
    CHECK_OK(mb_batcher_push_int64(batcher, 2, 2));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    CHECK_OK(mb_batch_fail(batch, 0, 7, "type", "message", 7));
    CHECK_OK(mb_batch_complete(batch));
    CHECK_OK(mb_batcher_next_results(batcher, 0, &failed));
    CHECK_OK(mb_batcher_push_int64(batcher, 3, 3));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));

    for (at = 0; at < sizeof FILLED / sizeof FILLED[0]; at++) {
        check_filled(FILLED[at].type, FILLED[at].fill, FILLED[at].first, FILLED[at].size);
    }
    options = timeless();
    memset(&map, 0, sizeof map);
    map.struct_size = sizeof map;
    map.max_batch_size = 2;
    for (at = 0; at < sizeof READ / sizeof READ[0]; at++) {
        const void *exact = READ[at].size == sizeof options ? (const void *)&options
                            : READ[at].size == sizeof push  ? (const void *)&push
                                                            : (const void *)&map;
        check_read(READ[at].take, exact, READ[at].first, READ[at].size);
    }

    options_of_other_versions();
    CHECK_EQ(sizeof(mb_value), 24);
    CHECK_EQ(offsetof(mb_api, mb_status_table), 16);

    CHECK_OK(mb_batch_complete_ok(batch));
    CHECK_OK(mb_results_free(results));
    CHECK_OK(mb_results_free(failed));
    CHECK_OK(mb_producer_free(producer));
    CHECK_OK(mb_batcher_free(batcher));
    return 0;
}
