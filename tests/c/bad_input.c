/* P4, P8, P22, P35, P36: what cannot be is refused with a status and, where there is a place for words, with a message
   that names the option or value and what would be accepted. Nothing is consumed. */

#include "kit.h"

/* ---- options by field ----------------------------------------------------------------------------------- */

static const mb_option_info *table;
static size_t table_count;

static void put(mb_options *options, const mb_option_info *info, int64_t value)
{
    char *field = (char *)options + info->offset;
    if (info->width == 4) {
        uint32_t narrow = (uint32_t)value;
        memcpy(field, &narrow, 4);
    } else {
        CHECK_EQ(info->width, 8);
        memcpy(field, &value, 8);
    }
}

static int64_t got(const mb_options *options, const mb_option_info *info)
{
    const char *field = (const char *)options + info->offset;
    int64_t value = 0;
    uint32_t narrow;
    if (info->width == 4) {
        memcpy(&narrow, field, 4);
        return narrow;
    }
    memcpy(&value, field, 8);
    return value;
}

static int is(const mb_option_info *info, const char *type_name)
{
    return strcmp(info->type_name, type_name) == 0;
}

/* The message says what an option accepts. */
static void check_accepted(const mb_option_info *info, const char *message)
{
    char number[32];
    CHECK_CONTAINS(message, info->name);
    if (is(info, "choice")) {
        char choices[128];
        char *name;
        snprintf(choices, sizeof choices, "%s", info->choices);
        for (name = strtok(choices, ","); name; name = strtok(NULL, ",")) {
            CHECK_CONTAINS(message, name);
        }
    } else if (is(info, "count")) {
        snprintf(number, sizeof number, "%lld", (long long)info->maximum);
        CHECK_CONTAINS(message, number);
    } else if (is(info, "duration")) {
        CHECK_CONTAINS(message, "forever");
    } else {
        CHECK(is(info, "bytes"));
        CHECK_CONTAINS(message, " to ");
    }
}

static void refuse_field(const mb_option_info *info, int64_t value)
{
    mb_options options = defaults();
    mb_batcher *batcher = NULL;
    mb_error *error = NULL;
    if (info->width == 4 && (value < 0 || value > UINT32_MAX)) {
        return;
    }
    put(&options, info, value);
    CHECK_STATUS(mb_batcher_new(&options, &batcher, &error), MB_ERR_INVALID_OPTION);
    CHECK(batcher == NULL);
    CHECK_STATUS(mb_error_code(error), MB_ERR_INVALID_OPTION);
    CHECK_TEXT(mb_error_subject(error), info->name);
    check_accepted(info, mb_error_message(error));
    mb_error_free(error);
}

static void fields_out_of_range(void)
{
    size_t at;
    mb_options all = defaults();
    mb_batcher *batcher = NULL;
    mb_error *error = NULL;
    CHECK_OK(mb_option_table(&table, &table_count));
    CHECK(table_count >= 18);
    for (at = 0; at < table_count; at++) {
        const mb_option_info *info = &table[at];
        int64_t low;
        CHECK(info->minimum >= 0 && info->maximum > info->minimum);
        CHECK(info->offset + info->width <= sizeof(mb_options) && info->offset >= sizeof(size_t));
        CHECK(strlen(info->name) && strlen(info->default_text) && strlen(info->doc));
        if (info->maximum < INT64_MAX) {
            refuse_field(info, info->maximum + 1);
            refuse_field(info, UINT32_MAX > info->maximum ? (int64_t)UINT32_MAX : INT64_MAX);
        }
        for (low = 1; low < info->minimum; low++) {
            refuse_field(info, low);
        }
        refuse_field(info, -1);
        refuse_field(info, INT64_MIN);
        if (!is(info, "count") || info->maximum < UINT32_MAX) {
            put(&all, info, info->width == 4 ? (int64_t)UINT32_MAX : -1);
        }
    }
    /* Everything that is wrong is said at once. */
    CHECK_STATUS(mb_batcher_new(&all, &batcher, &error), MB_ERR_INVALID_OPTION);
    for (at = 0; at < table_count; at++) {
        if (got(&all, &table[at]) != 0) {
            check_accepted(&table[at], mb_error_message(error));
        }
    }
    mb_error_free(error);
}

static void contradictions(void)
{
    static const struct { const char *first, *first_value, *second, *second_value; } PAIRS[] = {
        { "max_batch_size", "11", "queue_capacity", "10" },
        { "max_batch_bytes", "101", "queue_bytes", "100" },
        { "threads", "2", "mode", "manual" },
        { "clock", "given", "mode", "threaded" },
        { "clock", "given", "mode", "default" },
    };
    size_t at;
    mb_batcher *batcher = NULL;
    mb_error *error = NULL;
    mb_options options;
    for (at = 0; at < sizeof PAIRS / sizeof PAIRS[0]; at++) {
        options = defaults();
        CHECK_OK(mb_options_set(&options, PAIRS[at].first, PAIRS[at].first_value, NULL));
        CHECK_OK(mb_options_set(&options, PAIRS[at].second, PAIRS[at].second_value, NULL));
        CHECK_STATUS(mb_batcher_new(&options, &batcher, &error), MB_ERR_INVALID_OPTION);
        CHECK_TEXT(mb_error_subject(error), PAIRS[at].first);
        CHECK_CONTAINS(mb_error_message(error), PAIRS[at].first_value);
        CHECK_CONTAINS(mb_error_message(error), PAIRS[at].second);
        mb_error_free(error);
    }
    options = defaults();
    options.results = MB_RESULTS_PULL;
    options.handler = echo;
    options.on_result = note_results;
    CHECK_STATUS(mb_batcher_new(&options, &batcher, &error), MB_ERR_INVALID_OPTION);
    CHECK_TEXT(mb_error_subject(error), "results");
    CHECK_CONTAINS(mb_error_message(error), "on_result");
    mb_error_free(error);
    CHECK(batcher == NULL);
}

/* ---- options by name ------------------------------------------------------------------------------------ */

static void refuse_name(const char *name, const char *value, const mb_option_info *info)
{
    mb_options options = defaults();
    mb_options before = options;
    mb_error *error = NULL;
    CHECK_STATUS(mb_options_set(&options, name, value, &error), MB_ERR_INVALID_OPTION);
    CHECK(memcmp(&options, &before, sizeof options) == 0);
    CHECK_STATUS(mb_error_code(error), MB_ERR_INVALID_OPTION);
    CHECK_TEXT(mb_error_subject(error), name);
    CHECK_CONTAINS(mb_error_message(error), name);
    if (info) {
        CHECK_CONTAINS(mb_error_message(error), value);
        CHECK(strlen(mb_error_message(error)) > strlen(name) + strlen(value) + 10);
    }
    mb_error_free(error);
}

static void names_out_of_range(void)
{
    static const char *const NEVER[] = { "", " ", "x", "1 x", "--1", "1e3", "0x10", "1..5", ".", "5.", ".5", "+1",
                                         "99999999999999999999999999999999999999999", "one" };
    size_t at;
    size_t text;
    char number[64];
    mb_options options;
    mb_error *error = NULL;
    for (at = 0; at < table_count; at++) {
        const mb_option_info *info = &table[at];
        for (text = 0; text < sizeof NEVER / sizeof NEVER[0]; text++) {
            refuse_name(info->name, NEVER[text], info);
        }
        refuse_name(info->name, "-1", info);
        if (is(info, "choice")) {
            refuse_name(info->name, "neither", info);
            refuse_name(info->name, "99", info);
        } else {
            if (info->maximum < INT64_MAX) {
                snprintf(number, sizeof number, "%lld", (long long)info->maximum + 1);
                refuse_name(info->name, number, info);
            }
            refuse_name(info->name, "9223372036854775808", info);
        }
        if (is(info, "count")) {
            refuse_name(info->name, "1.5", info);
            refuse_name(info->name, "5ms", info);
            refuse_name(info->name, "forever", info);
        }
        if (is(info, "duration")) {
            refuse_name(info->name, "5 KiB", info);
            refuse_name(info->name, "0.5ns", info);
        }
        if (is(info, "bytes")) {
            refuse_name(info->name, "5ms", info);
            refuse_name(info->name, "7", info);
        }
    }
    refuse_name("linger", "5ms", NULL);
    refuse_name("", "5ms", NULL);
    refuse_name("max_dela", "5ms", NULL);

    options = defaults();
    CHECK_STATUS(mb_options_set(&options, "maxDelay", "5ms", &error), MB_ERR_INVALID_OPTION);
    CHECK_CONTAINS(mb_error_message(error), "max_delay");
    mb_error_free(error);
    CHECK_STATUS(mb_options_set(&options, "max_delay\xff", "5ms", &error), MB_ERR_INVALID_UTF8);
    mb_error_free(error);
    CHECK_STATUS(mb_options_set(&options, "max_delay", "5ms\xff", &error), MB_ERR_INVALID_UTF8);
    CHECK_TEXT(mb_error_subject(error), "max_delay");
    mb_error_free(error);
}

/* The ends of each range are in it, by field and by name. */
static void ends_of_ranges(void)
{
    size_t at;
    char number[64];
    mb_options options;
    for (at = 0; at < table_count; at++) {
        const mb_option_info *info = &table[at];
        if (is(info, "choice")) {
            char choices[128];
            char *name;
            int64_t code = 1;
            snprintf(choices, sizeof choices, "%s", info->choices);
            for (name = strtok(choices, ","); name; name = strtok(NULL, ",")) {
                options = defaults();
                CHECK_OK(mb_options_set(&options, info->name, name, NULL));
                CHECK_EQ(got(&options, info), code);
                code += 1;
            }
            CHECK_EQ(info->minimum, 1);
            CHECK_EQ(info->maximum, code - 1);
        } else {
            options = defaults();
            snprintf(number, sizeof number, "%lld", (long long)info->maximum);
            CHECK_OK(mb_options_set(&options, info->name, number, NULL));
            CHECK_EQ(got(&options, info), info->maximum);
            snprintf(number, sizeof number, "%lld", (long long)info->minimum);
            CHECK_OK(mb_options_set(&options, info->name, number, NULL));
            CHECK_EQ(got(&options, info), info->minimum);
        }
        CHECK_OK(mb_options_set(&options, info->name, "default", NULL));
        CHECK_EQ(got(&options, info), 0);
    }
    options = defaults();
    CHECK_OK(mb_options_set(&options, "max_delay", "1.5ms", NULL));
    CHECK_EQ(options.max_delay, 1500 * MB_US);
    CHECK_OK(mb_options_set(&options, "max_delay", "forever", NULL));
    CHECK_EQ(options.max_delay, MB_FOREVER);
    CHECK_OK(mb_options_set(&options, "max_batch_bytes", "16MiB", NULL));
    CHECK_EQ(options.max_batch_bytes, 16 << 20);
}

/* ---- values --------------------------------------------------------------------------------------------- */

static mb_batcher *batcher;
static uint64_t released;

/* A refusal counts under its code and nowhere else. */
static void check_refused(const char *file, int line, const char *what, mb_status status, mb_status expected,
                          const mb_stats *before)
{
    mb_stats now = stats_of(batcher);
    check_status(file, line, what, status, expected);
    if (now.accepted != before->accepted || now.waiting != before->waiting || now.outstanding != before->outstanding) {
        check_tell(file, line, "%s was refused and consumed something", what);
        _exit(1);
    }
    check_equal(file, line, "refusals of its code", (long long)now.refusals[-expected],
                (long long)before->refusals[-expected] + 1);
}

#define REFUSED(call, status) \
    do { \
        mb_stats before_ = stats_of(batcher); \
        check_refused(__FILE__, __LINE__, #call, (call), (status), &before_); \
    } while (0)

/* A whole argument that cannot be: nothing is taken. */
#define UNTAKEN(call, status) \
    do { \
        mb_stats before_ = stats_of(batcher); \
        CHECK_STATUS(call, status); \
        CHECK_EQ(stats_of(batcher).accepted, before_.accepted); \
    } while (0)

static void refused_value(mb_value value, mb_status status, const char *words)
{
    mb_error *error = NULL;
    REFUSED(mb_batcher_push_value(batcher, &value, 1, NULL), status);
    REFUSED(mb_batcher_push_values(batcher, &value, 1, NULL, 0, NULL, NULL), status);
    CHECK_STATUS(mb_batcher_check(batcher, &value, &error), status);
    CHECK_STATUS(mb_error_code(error), status);
    CHECK(strlen(mb_error_subject(error)) > 0);
    CHECK_CONTAINS(mb_error_message(error), words);
    mb_error_free(error);
}

#define BYTES(text) { text, sizeof text - 1 }

static const struct { const char *bytes; size_t length; } NOT_UTF8[] = {
    BYTES("\xff"), BYTES("\xc3"), BYTES("\xc3\x28"), BYTES("\xa0\xa1"), BYTES("\xe2\x82"), BYTES("\xe2\x28\xa1"),
    BYTES("\xf0\x90\x28\xbc"), BYTES("\xf0\x9f\x98"),
    BYTES("\xed\xa0\x80"), BYTES("\xed\xbf\xbf"), /* lone surrogates */
    BYTES("\xc0\x80"),                             /* U+0000 in two bytes */
    BYTES("\xc1\xbf"), BYTES("\xe0\x80\xaf"), BYTES("\xf4\x90\x80\x80"), BYTES("\xf8\x88\x80\x80\x80"),
    BYTES("fine\0\xfe"), BYTES("a string of some length that ends badly: \xf0")
};

static void values(void)
{
    static const uint32_t UNKNOWN[] = { MB_KINDS, 8, MB_KIND_NONE, MB_KIND_MIXED, 256, 0x80000002u, UINT32_MAX };
    mb_push_options options = push_options();
    mb_producer *producer = NULL;
    mb_value value;
    size_t at;

    CHECK_OK(mb_producer_new(batcher, &producer));
    for (at = 0; at < sizeof UNKNOWN / sizeof UNKNOWN[0]; at++) {
        refused_value(value_of(UNKNOWN[at]), MB_ERR_INVALID_ARGUMENT, "value");
    }
    value = value_of(MB_KIND_BOOL);
    value.as.int64 = 2;
    refused_value(value, MB_ERR_INVALID_ARGUMENT, "value");
    value.as.int64 = -1;
    refused_value(value, MB_ERR_INVALID_ARGUMENT, "value");
    value.as.int64 = (int64_t)1 << 32;
    refused_value(value, MB_ERR_INVALID_ARGUMENT, "value");
    REFUSED(mb_batcher_push_bool(batcher, 2, 1), MB_ERR_INVALID_ARGUMENT);
    REFUSED(mb_batcher_push_bool(batcher, -1, 1), MB_ERR_INVALID_ARGUMENT);
    REFUSED(mb_producer_push_bool(producer, 2, 1), MB_ERR_INVALID_ARGUMENT);

    for (at = 0; at < sizeof NOT_UTF8 / sizeof NOT_UTF8[0]; at++) {
        const char *bytes = NOT_UTF8[at].bytes;
        size_t length = NOT_UTF8[at].length;
        REFUSED(mb_batcher_push_string(batcher, bytes, length, 1), MB_ERR_INVALID_UTF8);
        REFUSED(mb_producer_push_string(producer, bytes, length, 1), MB_ERR_INVALID_UTF8);
        refused_value(text_value(MB_KIND_STRING, bytes, length), MB_ERR_INVALID_UTF8, "UTF-8");
        /* What is not text can be pushed as bytes. */
        CHECK_OK(mb_batcher_push_bytes(batcher, bytes, length, 1));
    }
    CHECK_OK(mb_batcher_cancel(batcher, 1, NULL));

    refused_value(object_value(0, 1, 0), MB_ERR_WRONG_OWNER, "owner");
    refused_value(object_value(8, 1, 0), MB_ERR_WRONG_OWNER, "7");
    REFUSED(mb_batcher_push_object(batcher, 8, 1, 0, 1), MB_ERR_WRONG_OWNER);
    REFUSED(mb_producer_push_object(producer, 0, 1, 0, 1), MB_ERR_WRONG_OWNER);

    /* Only text can be an owned push. */
    options.release = count_release;
    options.release_data = &released;
    value = int64_value(1);
    REFUSED(mb_batcher_push_value(batcher, &value, 1, &options), MB_ERR_INVALID_ARGUMENT);
    REFUSED(mb_producer_push_value(producer, &value, 1, &options), MB_ERR_INVALID_ARGUMENT);
    value = object_value(7, 1, 0);
    REFUSED(mb_batcher_push_value(batcher, &value, 1, &options), MB_ERR_INVALID_ARGUMENT);
    REFUSED(mb_batcher_push_values(batcher, &value, 1, NULL, 0, &options, NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK_EQ(released, 0);
    CHECK_OK(mb_producer_free(producer));
}

static void lengths(void)
{
    static char page[201];
    int64_t number = 1;
    size_t accepted = 77;
    mb_error *error = NULL;
    mb_value value;

    /* max_batch_bytes is 200: 8 and a length of 192. */
    CHECK_OK(mb_batcher_push_bytes(batcher, page, 192, 1));
    REFUSED(mb_batcher_push_bytes(batcher, page, 193, 1), MB_ERR_TOO_LARGE);
    REFUSED(mb_batcher_push_string(batcher, page, 193, 1), MB_ERR_TOO_LARGE);
    CHECK_OK(mb_batcher_push_object(batcher, 7, 1, 192, 1));
    REFUSED(mb_batcher_push_object(batcher, 7, 1, 193, 1), MB_ERR_TOO_LARGE);
    REFUSED(mb_batcher_push_object(batcher, 7, 1, UINT64_MAX, 1), MB_ERR_TOO_LARGE);
    value = text_value(MB_KIND_BYTES, page, 201);
    CHECK_STATUS(mb_batcher_check(batcher, &value, &error), MB_ERR_TOO_LARGE);
    CHECK_CONTAINS(mb_error_message(error), "209");
    CHECK_CONTAINS(mb_error_message(error), "max_batch_bytes");
    CHECK_CONTAINS(mb_error_message(error), "200");
    mb_error_free(error);
    CHECK_OK(mb_batcher_cancel(batcher, 1, NULL));

    /* Lengths that nothing in memory has. */
    REFUSED(mb_batcher_push_bytes(batcher, page, SIZE_MAX, 1), MB_ERR_TOO_LARGE);
    REFUSED(mb_batcher_push_string(batcher, page, SIZE_MAX, 1), MB_ERR_TOO_LARGE);
    REFUSED(mb_batcher_push_string(batcher, page, (size_t)1 << 63, 1), MB_ERR_TOO_LARGE);
    refused_value(text_value(MB_KIND_STRING, page, SIZE_MAX), MB_ERR_TOO_LARGE, "value");
    UNTAKEN(mb_batcher_push_int64s(batcher, &number, NULL, SIZE_MAX, NULL, 0, NULL, &accepted),
            MB_ERR_INVALID_ARGUMENT);
    CHECK_EQ(accepted, 0);
    UNTAKEN(mb_batcher_push_int64s(batcher, &number, NULL, SIZE_MAX / 8, NULL, 0, NULL, &accepted),
            MB_ERR_INVALID_ARGUMENT);
    UNTAKEN(mb_batcher_push_strings(batcher, page, (const int32_t *)(const void *)page, NULL, SIZE_MAX, NULL, 0, NULL,
                                    &accepted),
            MB_ERR_INVALID_ARGUMENT);
    UNTAKEN(mb_batcher_push_large_strings(batcher, page, &number, NULL, SIZE_MAX, NULL, 0, NULL, &accepted),
            MB_ERR_INVALID_ARGUMENT);
    UNTAKEN(mb_batcher_push_values(batcher, &value, SIZE_MAX, NULL, 0, NULL, &accepted), MB_ERR_INVALID_ARGUMENT);
    UNTAKEN(mb_batcher_push_int64s(batcher, &number, (const uint8_t *)page, SIZE_MAX, NULL, 0, NULL, &accepted),
            MB_ERR_INVALID_ARGUMENT);
    CHECK_EQ(accepted, 0);
}

static void offsets(void)
{
    static const int32_t BACKWARDS[5] = { 0, 2, 4, 3, 6 };
    static const int32_t NEGATIVE[3] = { 0, 1, -1 };
    static const int32_t NEGATIVE_FIRST[3] = { -1, 1, 2 };
    static const int64_t LARGE_BACKWARDS[4] = { 0, 2, 1, 3 };
    static const int64_t LARGE_NEGATIVE[3] = { INT64_MIN, 1, 2 };
    static const int32_t BAD_TEXT[4] = { 0, 2, 3, 5 };
    size_t accepted;

    accepted = 77;
    CHECK_STATUS(mb_batcher_push_strings(batcher, "abcdef", BACKWARDS, NULL, 4, NULL, 1, NULL, &accepted),
                 MB_ERR_INVALID_ARGUMENT);
    CHECK_EQ(accepted, 2);
    CHECK_STATUS(mb_batcher_push_strings(batcher, "abcdef", NEGATIVE, NULL, 2, NULL, 1, NULL, &accepted),
                 MB_ERR_INVALID_ARGUMENT);
    CHECK_EQ(accepted, 1);
    CHECK_STATUS(mb_batcher_push_strings(batcher, "abcdef", NEGATIVE_FIRST, NULL, 2, NULL, 1, NULL, &accepted),
                 MB_ERR_INVALID_ARGUMENT);
    CHECK_EQ(accepted, 0);
    CHECK_STATUS(mb_batcher_push_large_strings(batcher, "abcdef", LARGE_BACKWARDS, NULL, 3, NULL, 1, NULL, &accepted),
                 MB_ERR_INVALID_ARGUMENT);
    CHECK_EQ(accepted, 1);
    CHECK_STATUS(mb_batcher_push_large_strings(batcher, "abcdef", LARGE_NEGATIVE, NULL, 2, NULL, 1, NULL, &accepted),
                 MB_ERR_INVALID_ARGUMENT);
    CHECK_EQ(accepted, 0);
    CHECK_STATUS(mb_batcher_push_strings(batcher, "ab\xff" "cd", BAD_TEXT, NULL, 3, NULL, 1, NULL, &accepted),
                 MB_ERR_INVALID_UTF8);
    CHECK_EQ(accepted, 1);
    /* What came before the bad values was taken: 2 + 1 + 0 + 1 + 0 + 1. */
    CHECK_EQ(stats_of(batcher).waiting, 5);
    CHECK_OK(mb_batcher_cancel(batcher, 1, NULL));
    CHECK_OK(mb_batcher_cancel(batcher, 2, NULL));
    CHECK_EQ(stats_of(batcher).waiting, 0);
}

/* Arrays that no compiler would lay out so. */
static void misaligned(void)
{
    static uint64_t memory[4];
    const void *odd = (const char *)memory + 1;
    size_t accepted = 77;
    UNTAKEN(mb_batcher_push_int64s(batcher, odd, NULL, 2, NULL, 0, NULL, &accepted), MB_ERR_INVALID_ARGUMENT);
    CHECK_EQ(accepted, 0);
    UNTAKEN(mb_batcher_push_float64s(batcher, odd, NULL, 2, NULL, 0, NULL, NULL), MB_ERR_INVALID_ARGUMENT);
    UNTAKEN(mb_batcher_push_strings(batcher, "ab", odd, NULL, 1, NULL, 0, NULL, NULL), MB_ERR_INVALID_ARGUMENT);
    UNTAKEN(mb_batcher_push_values(batcher, odd, 1, NULL, 0, NULL, NULL), MB_ERR_INVALID_ARGUMENT);
    UNTAKEN(mb_batcher_push_int64s(batcher, (const int64_t *)memory, NULL, 2, odd, 0, NULL, NULL),
            MB_ERR_INVALID_ARGUMENT);
}

static void times(void)
{
    uint64_t mark = 0;
    mb_batch *batch = NULL;
    mb_results *results = NULL;
    CHECK_STATUS(mb_batcher_flush(batcher, -1), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batcher_flush(batcher, INT64_MIN), MB_ERR_INVALID_ARGUMENT);
    CHECK_OK(mb_batcher_flush_begin(batcher, &mark));
    CHECK_STATUS(mb_batcher_flush_end(batcher, mark, -1), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batcher_flush_end(batcher, mark + 1, 0), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batcher_flush_end(batcher, UINT64_MAX, 0), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batcher_flush_reached(batcher, mark + 1), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batcher_room(batcher, -1), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batcher_next_batch(batcher, -1, &batch), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batcher_next_results(batcher, -1, &results), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batcher_close(batcher, -1, NULL), MB_ERR_INVALID_ARGUMENT);
    /* It was not closed. */
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_cancel(batcher, 1, NULL));
}

/* ---- a full queue --------------------------------------------------------------------------------------- */

static void full_queue(void)
{
    mb_options options = timeless();
    mb_value value = int64_value(1);
    mb_error *error = NULL;
    mb_batch *batch = NULL;
    int64_t numbers[4] = { 1, 2, 3, 4 };
    static const char page[100];
    size_t accepted = 77;

    options.on_full = MB_FULL_REJECT;
    options.results = MB_RESULTS_PULL;
    options.queue_capacity = 3;
    options.queue_bytes = 100;
    options.result_capacity = 5;
    batcher = made(&options);

    CHECK_STATUS(mb_batcher_push_int64s(batcher, numbers, NULL, 4, NULL, 1, NULL, &accepted), MB_ERR_QUEUE_FULL);
    CHECK_EQ(accepted, 3);
    REFUSED(mb_batcher_push_int64(batcher, 1, 1), MB_ERR_QUEUE_FULL);
    CHECK_STATUS(mb_batcher_room(batcher, 0), MB_ERR_QUEUE_FULL);
    CHECK_STATUS(mb_batcher_check(batcher, &value, &error), MB_ERR_QUEUE_FULL);
    CHECK_CONTAINS(mb_error_message(error), "queue_capacity");
    CHECK_CONTAINS(mb_error_message(error), "3");
    CHECK_TEXT(mb_error_subject(error), "queue_capacity");
    mb_error_free(error);

    CHECK_OK(mb_batcher_cancel(batcher, 1, NULL));
    CHECK_OK(mb_batcher_push_bytes(batcher, page, 70, 1));
    REFUSED(mb_batcher_push_int64(batcher, 1, 1), MB_ERR_QUEUE_FULL);
    CHECK_OK(mb_batcher_cancel(batcher, 2, NULL));
    REFUSED(mb_batcher_push_bytes(batcher, page, 30, 1), MB_ERR_QUEUE_FULL_BYTES);
    value = text_value(MB_KIND_BYTES, page, 30);
    CHECK_STATUS(mb_batcher_check(batcher, &value, &error), MB_ERR_QUEUE_FULL_BYTES);
    CHECK_TEXT(mb_error_subject(error), "queue_bytes");
    CHECK_CONTAINS(mb_error_message(error), "100");
    mb_error_free(error);

    /* Nobody takes results: 5 places are held, by what waits, flies and is ready. */
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    REFUSED(mb_batcher_push_int64(batcher, 1, 1), MB_ERR_RESULTS_FULL);
    value = int64_value(1);
    CHECK_STATUS(mb_batcher_check(batcher, &value, &error), MB_ERR_RESULTS_FULL);
    CHECK_TEXT(mb_error_subject(error), "result_capacity");
    CHECK_CONTAINS(mb_error_message(error), "5");
    mb_error_free(error);
    CHECK_OK(mb_batch_complete_ok(batch));
    CHECK_OK(mb_batcher_free(batcher));

    /* A kind that nobody handles. */
    options = timeless();
    options.by_kind[MB_KIND_INT64].call = echo;
    batcher = made(&options);
    refused_value(float64_value(1.0), MB_ERR_NO_HANDLER, "handler");
    REFUSED(mb_batcher_push_null(batcher, 1), MB_ERR_NO_HANDLER);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_free(batcher));
}

/* ---- batches and results -------------------------------------------------------------------------------- */

static void batch_calls(void)
{
    static const int32_t GOOD[3] = { 0, 1, 2 };
    static const int32_t BACKWARDS[3] = { 0, 2, 1 };
    mb_options options = timeless();
    mb_batch *batch = NULL;
    mb_results *results = NULL;
    mb_column column;
    mb_value value;
    mb_value two[2];
    mb_row_error why;
    mb_results_view view;
    int64_t numbers[3] = { 10, 20, 30 };
    static const size_t OUTSIDE[] = { 2, 3, 1 << 20, SIZE_MAX };
    size_t at;

    options.results = MB_RESULTS_PULL;
    options.owner = 7;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64s(batcher, numbers, NULL, 2, NULL, 1, NULL, NULL));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    value = int64_value(1);
    for (at = 0; at < sizeof OUTSIDE / sizeof OUTSIDE[0]; at++) {
        size_t row = OUTSIDE[at];
        mb_value untouched;
        memset(&untouched, 0x5a, sizeof untouched);
        CHECK_STATUS(mb_batch_value(batch, row, &untouched), MB_ERR_OUT_OF_RANGE);
        CHECK_EQ(untouched.kind, 0x5a5a5a5a);
        CHECK_STATUS(mb_batch_set_null(batch, row), MB_ERR_OUT_OF_RANGE);
        CHECK_STATUS(mb_batch_set_bool(batch, row, 1), MB_ERR_OUT_OF_RANGE);
        CHECK_STATUS(mb_batch_set_int64(batch, row, 1), MB_ERR_OUT_OF_RANGE);
        CHECK_STATUS(mb_batch_set_float64(batch, row, 1), MB_ERR_OUT_OF_RANGE);
        CHECK_STATUS(mb_batch_set_string(batch, row, "a", 1), MB_ERR_OUT_OF_RANGE);
        CHECK_STATUS(mb_batch_set_bytes(batch, row, "a", 1), MB_ERR_OUT_OF_RANGE);
        CHECK_STATUS(mb_batch_set_object(batch, row, 7, 1, 0), MB_ERR_OUT_OF_RANGE);
        CHECK_STATUS(mb_batch_set_value(batch, row, &value), MB_ERR_OUT_OF_RANGE);
        CHECK_STATUS(mb_batch_fail(batch, row, 1, NULL, NULL, 0), MB_ERR_OUT_OF_RANGE);
    }
    column.struct_size = sizeof column;
    CHECK_STATUS(mb_batch_gather(batch, MB_KINDS, &column), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batch_gather(batch, MB_KIND_MIXED, &column), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batch_set_bool(batch, 0, 2), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batch_set_bool(batch, 0, -1), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batch_set_string(batch, 0, "\xff", 1), MB_ERR_INVALID_UTF8);
    CHECK_STATUS(mb_batch_set_object(batch, 0, 8, 1, 0), MB_ERR_WRONG_OWNER);
    value = object_value(0, 1, 0);
    CHECK_STATUS(mb_batch_set_value(batch, 0, &value), MB_ERR_WRONG_OWNER);
    value = value_of(MB_KIND_NONE);
    CHECK_STATUS(mb_batch_set_value(batch, 0, &value), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batch_fail(batch, 0, 0, NULL, NULL, 0), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batch_fail(batch, 0, 1, "\xff", NULL, 0), MB_ERR_INVALID_UTF8);
    CHECK_STATUS(mb_batch_fail(batch, 0, 1, NULL, "\xff", 1), MB_ERR_INVALID_UTF8);
    CHECK_STATUS(mb_batch_fail_all(batch, 0, NULL, NULL, 0), MB_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(mb_batch_fail_all(batch, 1, NULL, "\xff", 1), MB_ERR_INVALID_UTF8);
    CHECK_STATUS(mb_batch_set_strings(batch, "ab", BACKWARDS, NULL, 2), MB_ERR_INVALID_ARGUMENT);
    two[0] = int64_value(1);
    two[1] = text_value(MB_KIND_STRING, "\xff", 1);
    CHECK_STATUS(mb_batch_set_values(batch, two, 2), MB_ERR_INVALID_UTF8);
    CHECK_STATUS(mb_batch_keep(batch), MB_ERR_INVALID_ARGUMENT);

    /* After all this the batch is as good as new. */
    CHECK_OK(mb_batch_set_int64s(batch, numbers, NULL, 2));
    CHECK_OK(mb_batch_complete(batch));
    CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
    view = results_view(results);
    CHECK(view.all_ok && view.kind == MB_KIND_INT64 && ((const int64_t *)view.values)[1] == 20);
    memset(&why, 0x5a, sizeof why);
    why.struct_size = sizeof why;
    for (at = 0; at < sizeof OUTSIDE / sizeof OUTSIDE[0]; at++) {
        CHECK_STATUS(mb_results_value(results, OUTSIDE[at], &value), MB_ERR_OUT_OF_RANGE);
        CHECK_STATUS(mb_results_error(results, OUTSIDE[at], &why), MB_ERR_OUT_OF_RANGE);
    }
    CHECK_STATUS(mb_results_error(results, 0, &why), MB_ERR_NOT_FOUND);
    CHECK_EQ(why.code, 0x5a5a5a5a);
    CHECK_OK(mb_results_free(results));

    /* A wrong count fails the part, with both lengths. */
    CHECK_OK(mb_batcher_push_int64s(batcher, numbers, NULL, 2, NULL, 1, NULL, NULL));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    CHECK_STATUS(mb_batch_set_strings(batch, "ab", GOOD, NULL, 1), MB_ERR_RESULT_COUNT);
    CHECK_STATUS(mb_batch_set_int64s(batch, numbers, NULL, 3), MB_ERR_RESULT_COUNT);
    CHECK_OK(mb_batch_complete(batch));
    CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
    CHECK_OK(mb_results_error(results, 1, &why));
    CHECK_STATUS(why.code, MB_ERR_RESULT_COUNT);
    CHECK_CONTAINS(why.message, "2");
    CHECK_CONTAINS(why.message, "3");
    CHECK_OK(mb_results_free(results));
    CHECK_OK(mb_batcher_free(batcher));
}

/* ---- map ------------------------------------------------------------------------------------------------ */

static void refused_map(mb_status is_status, mb_status status, mb_error *error, const char *subject, const char *words)
{
    CHECK_STATUS(is_status, status);
    CHECK_STATUS(mb_error_code(error), status);
    CHECK_TEXT(mb_error_subject(error), subject);
    CHECK_CONTAINS(mb_error_message(error), words);
    mb_error_free(error);
}

static void maps(void)
{
    static const int32_t BACKWARDS[3] = { 0, 2, 1 };
    static const int32_t BAD_TEXT[3] = { 0, 2, 3 };
    int64_t numbers[2] = { 1, 2 };
    mb_map_options options;
    mb_results *results = NULL;
    mb_error *error = NULL;
    mb_value two[2];
    mb_status status;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.max_batch_size = 1;
    options.batches = 2;
    status = mb_map_int64s(numbers, NULL, 2, &options, never, NULL, &results, &error);
    refused_map(status, MB_ERR_INVALID_OPTION, error, "batches", "max_batch_size");
    options.max_batch_size = 0;
    options.reserved = 1;
    status = mb_map_int64s(numbers, NULL, 2, &options, never, NULL, &results, &error);
    refused_map(status, MB_ERR_UNSUPPORTED, error, "options", "options");
    options.reserved = 0;
    status = mb_map_int64s(numbers, NULL, SIZE_MAX, NULL, never, NULL, &results, &error);
    refused_map(status, MB_ERR_INVALID_ARGUMENT, error, "values", "values");
    status = mb_map_strings("abc", BACKWARDS, NULL, 2, NULL, never, NULL, &results, &error);
    refused_map(status, MB_ERR_INVALID_ARGUMENT, error, "values", "value 1");
    status = mb_map_strings("ab\xff", BAD_TEXT, NULL, 2, NULL, never, NULL, &results, &error);
    refused_map(status, MB_ERR_INVALID_UTF8, error, "values", "value 1");
    status = mb_map_strings("abc", BACKWARDS, NULL, SIZE_MAX, NULL, never, NULL, &results, &error);
    refused_map(status, MB_ERR_INVALID_ARGUMENT, error, "offsets", "offsets");
    two[0] = int64_value(1);
    two[1] = object_value(3, 1, 0);
    status = mb_map_values(two, 2, &options, never, NULL, &results, &error);
    refused_map(status, MB_ERR_WRONG_OWNER, error, "values", "value 1");
    two[1] = value_of(MB_KIND_MIXED);
    status = mb_map_values(two, 2, &options, never, NULL, &results, &error);
    refused_map(status, MB_ERR_INVALID_ARGUMENT, error, "values", "value 1");
    CHECK(results == NULL);
}

/* With user data it returns a code that nobody knows, else it gives it to each value. */
static mb_status unknown_code(void *user_data, mb_batch *given, const mb_api *api)
{
    size_t row, count = batch_view(given).count;
    (void)api;
    for (row = 0; row < count && user_data == NULL; row++) {
        CHECK_OK(mb_batch_fail(given, row, -9999, NULL, NULL, 0));
    }
    return user_data == NULL ? MB_OK : -9999;
}

static void codes(void)
{
    static const int32_t OFFSETS[3] = { 0, 1, 1 };
    static const uint8_t FIRST_ALONE[1] = { 1 };
    mb_results *results = NULL;
    mb_results_view view;
    size_t returned, row;
    for (returned = 0; returned < 2; returned++) {
        void *data = returned ? &returned : NULL;
        CHECK_OK(mb_map_strings("a", OFFSETS, FIRST_ALONE, 2, NULL, unknown_code, data, &results, NULL));
        view = results_view(results);
        CHECK_EQ(view.count, 2);
        for (row = 0; row < view.count; row++) {
            CHECK_EQ(view.outcomes[row], MB_OUTCOME_FAILED);
            CHECK_EQ(((const int64_t *)view.values)[row], MB_ERR_HANDLER_FAILED);
        }
        CHECK_OK(mb_results_free(results));
    }
    CHECK_TEXT(mb_status_name(-9999), "UNKNOWN_CODE");
    CHECK_CONTAINS(mb_status_text(-9999), "does not know");
    CHECK_CONTAINS(mb_status_text(9999), "of its own");
}

/* A validity bitmap says which values are null, and null has a cell of 0. */
static mb_status check_nulls(void *user_data, mb_batch *given, const mb_api *api)
{
    mb_batch_view view = batch_view(given);
    (void)user_data;
    (void)api;
    CHECK_EQ(view.count, 2);
    CHECK_EQ(view.kinds[0], MB_KIND_STRING);
    CHECK_EQ(view.kinds[1], MB_KIND_NULL);
    answer_all(given);
    return MB_OK;
}

static void nulls_of_a_map(void)
{
    static const int32_t OFFSETS[3] = { 0, 1, 2 };
    static const uint8_t FIRST_ALONE[1] = { 1 };
    mb_results *results = NULL;
    CHECK_OK(mb_map_strings("ab", OFFSETS, FIRST_ALONE, 2, NULL, check_nulls, NULL, &results, NULL));
    CHECK_OK(mb_results_free(results));
}

/* A release is for what is kept: numbers are copied. */
static void releases_of_numbers(void)
{
    static const int64_t NUMBERS[1] = { 1 };
    mb_push_options push = push_options();
    mb_options options = timeless();
    batcher = made(&options);
    push.release = count_release;
    push.release_data = &released;
    REFUSED(mb_batcher_push_int64s(batcher, NUMBERS, NULL, 1, NULL, 0, &push, NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK_EQ(released, 0);
    CHECK_OK(mb_batcher_free(batcher));
}

/* A bulk push without its array is a push that was refused, and counts as one. */
static void missing_arrays_count(void)
{
    mb_options options = timeless();
    batcher = made(&options);
    REFUSED(mb_batcher_push_int64s(batcher, NULL, NULL, 1, NULL, 0, NULL, NULL), MB_ERR_INVALID_ARGUMENT);
    REFUSED(mb_batcher_push_float64s(batcher, NULL, NULL, 1, NULL, 0, NULL, NULL), MB_ERR_INVALID_ARGUMENT);
    REFUSED(mb_batcher_push_strings(batcher, "a", NULL, NULL, 1, NULL, 0, NULL, NULL), MB_ERR_INVALID_ARGUMENT);
    REFUSED(mb_batcher_push_large_strings(batcher, "a", NULL, NULL, 1, NULL, 0, NULL, NULL), MB_ERR_INVALID_ARGUMENT);
    REFUSED(mb_batcher_push_values(batcher, NULL, 1, NULL, 0, NULL, NULL), MB_ERR_INVALID_ARGUMENT);
    CHECK_OK(mb_batcher_free(batcher));
}

int main(void)
{
    mb_options options;
    watchdog();
    fields_out_of_range();
    contradictions();
    names_out_of_range();
    ends_of_ranges();

    options = timeless();
    options.owner = 7;
    options.max_batch_bytes = 200;
    options.results = MB_RESULTS_PULL;
    batcher = made(&options);
    values();
    lengths();
    offsets();
    misaligned();
    times();
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EQ(released, 0);

    full_queue();
    batch_calls();
    maps();
    codes();
    nulls_of_a_map();
    releases_of_numbers();
    missing_arrays_count();
    return 0;
}
