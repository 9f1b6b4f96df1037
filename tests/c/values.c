/* P1, P3, P5, P12: every awkward value arrives at the handler and comes back with its result to the last bit, by every
   way in and every way out, with its tag and with the kind that was said. */

#include "kit.h"

#define TEXT(kind, bytes) { kind, bytes, sizeof bytes - 1 }

/* Numbers by their bits; floats are told by kind. */
static const struct { uint32_t kind; uint64_t bits; } NUMBERS[] = {
    { MB_KIND_NULL, 0 },
    { MB_KIND_BOOL, 0 },
    { MB_KIND_BOOL, 1 },
    { MB_KIND_INT64, 0 },
    { MB_KIND_INT64, UINT64_MAX },            /* -1 */
    { MB_KIND_INT64, UINT64_C(1) << 63 },     /* the smallest */
    { MB_KIND_INT64, UINT64_MAX >> 1 },       /* the largest */
    { MB_KIND_INT64, UINT64_C(1) << 53 | 1 }, /* no double has it */
    { MB_KIND_INT64, UINT32_MAX },
    { MB_KIND_FLOAT64, 0 },
    { MB_KIND_FLOAT64, UINT64_C(1) << 63 },          /* -0.0 */
    { MB_KIND_FLOAT64, 1 },                          /* the smallest above 0 */
    { MB_KIND_FLOAT64, UINT64_C(0x8000000000000001) },
    { MB_KIND_FLOAT64, UINT64_C(0x000fffffffffffff) },
    { MB_KIND_FLOAT64, UINT64_C(0x7fefffffffffffff) }, /* the largest */
    { MB_KIND_FLOAT64, UINT64_C(0x7ff0000000000000) }, /* infinities */
    { MB_KIND_FLOAT64, UINT64_C(0xfff0000000000000) },
    { MB_KIND_FLOAT64, UINT64_C(0x7ff8000000000000) }, /* quiet NaNs, some with a payload */
    { MB_KIND_FLOAT64, UINT64_C(0xfff8000000000000) },
    { MB_KIND_FLOAT64, UINT64_C(0x7ff8dead0000beef) },
    { MB_KIND_FLOAT64, UINT64_C(0xffffffffffffffff) },
    { MB_KIND_FLOAT64, UINT64_C(0x3ff0000000000000) }, /* 1.0, which stays a float */
    { MB_KIND_FLOAT64, UINT64_C(0x3fb999999999999a) }, /* 0.1 */
};

static const struct { uint32_t kind; const char *bytes; size_t length; } TEXTS[] = {
    TEXT(MB_KIND_STRING, ""),
    TEXT(MB_KIND_STRING, "a"),
    TEXT(MB_KIND_STRING, "\0"),
    TEXT(MB_KIND_STRING, "\0\0a\0"),
    TEXT(MB_KIND_STRING, "ends with a NUL\0"),
    TEXT(MB_KIND_STRING, "\x7f\xc2\x80\xdf\xbf"),
    TEXT(MB_KIND_STRING, "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"),
    TEXT(MB_KIND_STRING, "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"), /* beyond the BMP: the first and the last */
    TEXT(MB_KIND_STRING, "\xf0\x9f\x98\x80 \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7"),
    TEXT(MB_KIND_STRING, "\xef\xbb\xbf with a mark"),
    TEXT(MB_KIND_STRING, "e\xcc\x81 is not \xc3\xa9"),
    TEXT(MB_KIND_STRING, "\r\n\t\x1b[31m"),
    TEXT(MB_KIND_BYTES, ""),
    TEXT(MB_KIND_BYTES, "\xff\xfe\x00\x80\xc0\xc1"),
    TEXT(MB_KIND_BYTES, "text too"),
};

#define NUMBER_COUNT (sizeof NUMBERS / sizeof NUMBERS[0])
#define TEXT_COUNT (sizeof TEXTS / sizeof TEXTS[0])
#define COUNT (NUMBER_COUNT + TEXT_COUNT)

static mb_value values[COUNT];

/* Tags are any 64 bits. */
static uint64_t tag_of(size_t at)
{
    return at == 0 ? 0 : UINT64_MAX / at;
}

static void make_values(void)
{
    size_t at;
    for (at = 0; at < NUMBER_COUNT; at++) {
        values[at] = value_of(NUMBERS[at].kind);
        memcpy(&values[at].as, &NUMBERS[at].bits, 8);
    }
    for (at = 0; at < TEXT_COUNT; at++) {
        values[NUMBER_COUNT + at] = text_value(TEXTS[at].kind, TEXTS[at].bytes, TEXTS[at].length);
    }
}

static int is_text(const mb_value *value)
{
    return value->kind == MB_KIND_STRING || value->kind == MB_KIND_BYTES;
}

static void check_same(const mb_value *is, const mb_value *expected, size_t at)
{
    if (is->kind != expected->kind) {
        FAIL("value %zu came as kind %u", at, is->kind);
    }
    if (is_text(expected)) {
        CHECK_EQ(is->as.string.length, expected->as.string.length);
        CHECK(is->as.string.length == 0
              || memcmp(is->as.string.data, expected->as.string.data, is->as.string.length) == 0);
    } else if (memcmp(&is->as, &expected->as, 8) != 0) {
        FAIL("value %zu came with other bits", at);
    }
}

/* Which setter the handler uses. */
static int by_type;
static size_t handled;

static void set_by_type(mb_batch *batch, size_t row, const mb_value *value)
{
    switch (value->kind) {
    case MB_KIND_NULL:
        CHECK_OK(mb_batch_set_null(batch, row));
        break;
    case MB_KIND_BOOL:
        CHECK_OK(mb_batch_set_bool(batch, row, (int32_t)value->as.int64));
        break;
    case MB_KIND_INT64:
        CHECK_OK(mb_batch_set_int64(batch, row, value->as.int64));
        break;
    case MB_KIND_FLOAT64:
        CHECK_OK(mb_batch_set_float64(batch, row, value->as.float64));
        break;
    case MB_KIND_STRING:
        CHECK_OK(mb_batch_set_string(batch, row, value->as.string.data, value->as.string.length));
        break;
    default:
        CHECK_OK(mb_batch_set_bytes(batch, row, value->as.string.data, value->as.string.length));
    }
}

/* Finds the value of a tag: tags are told apart. */
static size_t index_of(uint64_t tag)
{
    size_t at;
    for (at = 0; at < COUNT; at++) {
        if (tag_of(at) == tag) {
            return at;
        }
    }
    FAIL("a tag that nobody gave: %llu", (unsigned long long)tag);
    return 0;
}

static mb_status handler(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = batch_view(batch);
    size_t row;
    (void)user_data;
    CHECK_EQ(api->abi_version, MB_ABI_VERSION);
    for (row = 0; row < view.count; row++) {
        size_t at = index_of(view.tags[row]);
        mb_value value;
        CHECK_OK(mb_batch_value(batch, row, &value));
        check_same(&value, &values[at], at);
        CHECK_EQ(view.kinds[row], values[at].kind);
        if (is_text(&value)) {
            if (view.offsets) {
                CHECK_EQ(view.offsets[row + 1] - view.offsets[row], (int64_t)values[at].as.string.length);
                CHECK(memcmp(view.bytes + view.offsets[row], values[at].as.string.data,
                             values[at].as.string.length) == 0);
            }
        } else {
            CHECK(memcmp((const uint64_t *)view.values + row, &values[at].as, 8) == 0);
            if (view.offsets) {
                CHECK_EQ(view.offsets[row + 1], view.offsets[row]);
            }
        }
        if (by_type) {
            set_by_type(batch, row, &value);
        } else {
            CHECK_OK(mb_batch_set_value(batch, row, &value));
        }
        handled += 1;
    }
    return MB_OK;
}

static size_t delivered;

static void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    mb_results_view view = results_view(results);
    mb_column column;
    size_t row;
    (void)user_data;
    (void)api;
    CHECK_EQ(view.all_ok, 1);
    CHECK(view.outcomes == NULL && view.handled == NULL);
    column.struct_size = sizeof column;
    CHECK_OK(mb_results_strings(results, &column));
    CHECK_EQ(column.count, view.count);
    CHECK(column.values == NULL && column.positions == NULL);
    for (row = 0; row < view.count; row++) {
        size_t at = index_of(view.tags[row]);
        mb_value value;
        CHECK_OK(mb_results_value(results, row, &value));
        check_same(&value, &values[at], at);
        CHECK_EQ(view.kinds[row], values[at].kind);
        if (is_text(&value)) {
            CHECK_EQ(column.offsets[row + 1] - column.offsets[row], (int64_t)values[at].as.string.length);
            CHECK(memcmp(column.bytes + column.offsets[row], values[at].as.string.data,
                         values[at].as.string.length) == 0);
        } else {
            CHECK_EQ(column.offsets[row + 1], column.offsets[row]);
            CHECK(memcmp((const uint64_t *)view.values + row, &values[at].as, 8) == 0);
        }
        delivered += 1;
    }
}

/* ---- ways in -------------------------------------------------------------------------------------------- */

static void push_typed(mb_batcher *batcher, mb_producer *producer, size_t at)
{
    const mb_value *value = &values[at];
    uint64_t tag = tag_of(at);
    const char *data = value->as.string.data;
    size_t length = value->as.string.length;
    switch (value->kind) {
    case MB_KIND_NULL:
        CHECK_OK(producer ? mb_producer_push_null(producer, tag) : mb_batcher_push_null(batcher, tag));
        break;
    case MB_KIND_BOOL:
        CHECK_OK(producer ? mb_producer_push_bool(producer, (int32_t)value->as.int64, tag)
                          : mb_batcher_push_bool(batcher, (int32_t)value->as.int64, tag));
        break;
    case MB_KIND_INT64:
        CHECK_OK(producer ? mb_producer_push_int64(producer, value->as.int64, tag)
                          : mb_batcher_push_int64(batcher, value->as.int64, tag));
        break;
    case MB_KIND_FLOAT64:
        CHECK_OK(producer ? mb_producer_push_float64(producer, value->as.float64, tag)
                          : mb_batcher_push_float64(batcher, value->as.float64, tag));
        break;
    case MB_KIND_STRING:
        CHECK_OK(producer ? mb_producer_push_string(producer, data, length, tag)
                          : mb_batcher_push_string(batcher, data, length, tag));
        break;
    default:
        CHECK_OK(producer ? mb_producer_push_bytes(producer, data, length, tag)
                          : mb_batcher_push_bytes(batcher, data, length, tag));
    }
}

static void release_nothing(void *user_data)
{
    count_up(user_data);
}

enum way { TYPED, GENERAL, BY_PRODUCER, GENERAL_BY_PRODUCER, BULK, OWNED, WITH_DEADLINE, WAYS };

static void push_all(mb_batcher *batcher, enum way way, uint64_t *releases)
{
    mb_push_options options = push_options();
    mb_producer *producer = NULL;
    uint64_t tags[COUNT];
    size_t accepted = 0;
    size_t at;
    CHECK_OK(mb_producer_new(batcher, &producer));
    for (at = 0; at < COUNT; at++) {
        /* The caller's memory is its own again when a push returns, unless it is an owned push. */
        char copy[128];
        mb_value value = values[at];
        uint64_t tag = tags[at] = tag_of(at);
        if (is_text(&value) && value.as.string.length > 0 && way != OWNED) {
            CHECK(value.as.string.length < sizeof copy);
            memcpy(copy, value.as.string.data, value.as.string.length);
            value.as.string.data = copy;
        }
        options.deadline = way == WITH_DEADLINE ? MB_S : 0;
        options.release = way == OWNED && is_text(&value) ? release_nothing : NULL;
        options.release_data = releases;
        switch (way) {
        case TYPED:
            push_typed(batcher, NULL, at);
            break;
        case BY_PRODUCER:
            push_typed(batcher, producer, at);
            break;
        case GENERAL:
            CHECK_OK(mb_batcher_push_value(batcher, &value, tag, NULL));
            break;
        case GENERAL_BY_PRODUCER:
            CHECK_OK(mb_producer_push_value(producer, &value, tag, &options));
            break;
        case OWNED:
        case WITH_DEADLINE:
            CHECK_OK(mb_batcher_push_value(batcher, &value, tag, &options));
            break;
        default:
            break;
        }
        memset(copy, '!', sizeof copy);
    }
    if (way == BULK) {
        CHECK_OK(mb_batcher_push_values(batcher, values, COUNT, tags, 0, NULL, &accepted));
        CHECK_EQ(accepted, COUNT);
    }
    CHECK_OK(mb_producer_free(producer));
}

static void round_trip(enum way way, uint32_t mode, int mixed)
{
    mb_options options = mode == MB_MODE_MANUAL ? timeless() : defaults();
    mb_batcher *batcher;
    uint64_t releases = 0;
    size_t at;
    if (mixed) {
        options.handler = handler;
    } else {
        /* A handler for each kind but objects: results merge in order. */
        for (at = 0; at < MB_KIND_OBJECT; at++) {
            options.by_kind[at].call = handler;
        }
    }
    options.on_result = on_result;
    options.max_batch_size = 7;
    handled = delivered = 0;
    batcher = made(&options);
    push_all(batcher, way, &releases);
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_EQ(handled, COUNT);
    CHECK_EQ(delivered, COUNT);
    CHECK_EQ(releases, way == OWNED ? TEXT_COUNT : 0);
    CHECK_OK(mb_batcher_free(batcher));
}

/* ---- columns -------------------------------------------------------------------------------------------- */

static mb_status look_at_columns(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = batch_view(batch);
    uint32_t kind;
    size_t seen = 0;
    (void)user_data;
    (void)api;
    for (kind = 0; kind < MB_KINDS; kind++) {
        mb_column column;
        size_t row;
        column.struct_size = sizeof column;
        CHECK_OK(mb_batch_gather(batch, kind, &column));
        for (row = 0; row < column.count; row++) {
            size_t whole = column.positions ? column.positions[row] : row;
            size_t at = index_of(view.tags[whole]);
            CHECK_EQ(values[at].kind, kind);
            if (is_text(&values[at])) {
                CHECK_EQ(column.offsets[row + 1] - column.offsets[row], (int64_t)values[at].as.string.length);
                CHECK(memcmp(column.bytes + column.offsets[row], values[at].as.string.data,
                             values[at].as.string.length) == 0);
            } else {
                CHECK(column.offsets == NULL && column.bytes == NULL);
                CHECK(memcmp((const uint64_t *)column.values + row, &values[at].as, 8) == 0);
            }
        }
        seen += column.count;
    }
    CHECK_EQ(seen, view.count);
    CHECK_EQ((uintptr_t)view.values % 64, 0);
    handled += seen;
    return echo(NULL, batch, api);
}

static void columns(enum way way)
{
    mb_options options = timeless();
    mb_batcher *batcher;
    uint64_t releases = 0;
    options.handler = look_at_columns;
    handled = 0;
    batcher = made(&options);
    push_all(batcher, way, &releases);
    CHECK_OK(mb_batcher_flush(batcher, 0));
    CHECK_EQ(handled, COUNT);
    CHECK_OK(mb_batcher_free(batcher));
}

/* A batch of one kind is a plain array. */
static mb_status sum_doubles(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = batch_view(batch);
    const double *numbers = view.values;
    mb_column column;
    size_t row;
    (void)api;
    CHECK_EQ(view.kind, MB_KIND_FLOAT64);
    CHECK(view.offsets == NULL && view.deadlines == NULL && view.positions == NULL);
    column.struct_size = sizeof column;
    CHECK_OK(mb_batch_gather(batch, MB_KIND_FLOAT64, &column));
    CHECK(column.values == view.values && column.positions == NULL);
    for (row = 0; row < view.count; row++) {
        *(double *)user_data += numbers[row];
    }
    CHECK_OK(mb_batch_set_float64s(batch, numbers, NULL, view.count));
    return MB_OK;
}

static void one_kind(void)
{
    mb_options options = timeless();
    mb_batcher *batcher;
    double sum = 0;
    int at;
    options.handler = sum_doubles;
    options.handler_data = &sum;
    batcher = made(&options);
    for (at = 1; at <= 100; at++) {
        CHECK_OK(mb_batcher_push_float64(batcher, at, (uint64_t)at));
    }
    CHECK_OK(mb_batcher_flush(batcher, 0));
    CHECK(sum == 5050.0);
    CHECK_OK(mb_batcher_free(batcher));
}

/* ---- map ------------------------------------------------------------------------------------------------ */

static mb_status map_handler(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = batch_view(batch);
    size_t row;
    (void)user_data;
    (void)api;
    CHECK_STATUS(mb_batch_keep(batch), MB_ERR_WRONG_MODE);
    for (row = 0; row < view.count; row++) {
        mb_value value;
        CHECK_OK(mb_batch_value(batch, row, &value));
        check_same(&value, &values[view.tags[row]], view.tags[row]);
        CHECK_OK(mb_batch_set_value(batch, row, &value));
    }
    return MB_OK;
}

static void mapped(void)
{
    mb_map_options options;
    mb_results *results = NULL;
    mb_results_view view;
    size_t row;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.batches = 5;
    CHECK_OK(mb_map_values(values, COUNT, &options, map_handler, NULL, &results, NULL));
    view = results_view(results);
    CHECK_EQ(view.count, COUNT);
    CHECK_EQ(view.all_ok, 1);
    for (row = 0; row < view.count; row++) {
        mb_value value;
        CHECK_EQ(view.tags[row], row);
        CHECK_OK(mb_results_value(results, row, &value));
        check_same(&value, &values[row], row);
    }
    CHECK_OK(mb_results_free(results));
}

/* Behind the first value of a batch there is a short way, for each push of a number. */
static void short_ways(void)
{
    mb_options options = timeless();
    mb_batcher *batcher;
    mb_producer *producer;
    mb_batch *batch = NULL;
    mb_batch_view view;
    mb_value value;
    size_t row;
    options.handler = NULL;
    batcher = made(&options);
    CHECK_OK(mb_producer_new(batcher, &producer));
    for (row = 0; row < 4; row++) {
        value = int64_value((int64_t)row);
        CHECK_OK(mb_batcher_push_value(batcher, &value, row, NULL));
    }
    for (; row < 12; row++) {
        value = float64_value((double)row);
        CHECK_OK(row % 2 ? mb_producer_push_value(producer, &value, row, NULL)
                         : mb_producer_push_float64(producer, (double)row, row));
    }
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    view = batch_view(batch);
    CHECK_EQ(view.count, 12);
    for (row = 0; row < 12; row++) {
        CHECK_EQ(view.tags[row], row);
        CHECK_OK(mb_batch_value(batch, row, &value));
        CHECK_EQ(value.kind, row < 4 ? MB_KIND_INT64 : MB_KIND_FLOAT64);
        CHECK(row < 4 ? value.as.int64 == (int64_t)row : value.as.float64 == (double)row);
    }
    CHECK_OK(mb_batch_complete_ok(batch));
    CHECK_OK(mb_producer_free(producer));
    CHECK_OK(mb_batcher_free(batcher));
}

static void named(uint32_t number, const char *name, const char *is)
{
    if (strcmp(is, name) != 0) {
        FAIL("number %u is called %s, not %s", (unsigned)number, is, name);
    }
}

/* Every number that a view holds has a name, and any other number is unknown. */
static void names(void)
{
    static const char *const KINDS[MB_KINDS] = { "null", "bool", "int64", "float64", "string", "bytes", "object" };
    static const char *const TRIGGERS[8] = { "unknown", "size", "bytes", "delay", "idle", "full", "flush", "close" };
    static const char *const OUTCOMES[5] = { "ok", "failed", "expired", "cancelled", "discarded" };
    static const char *const HANDLED[3] = { "no", "maybe", "yes" };
    uint32_t number;
    for (number = 0; number < 300; number++) {
        int mixed = number == MB_KIND_MIXED;
        const char *kind = mixed ? "mixed" : number == MB_KIND_NONE ? "none" : "unknown";
        named(number, number < MB_KINDS ? KINDS[number] : kind, mb_kind_name(number));
        named(number, number < 8 ? TRIGGERS[number] : "unknown", mb_trigger_name(number));
        named(number, number < 5 ? OUTCOMES[number] : "unknown", mb_outcome_name(number));
        named(number, number < 3 ? HANDLED[number] : "unknown", mb_handled_name(number));
    }
    named(UINT32_MAX, "unknown", mb_kind_name(UINT32_MAX));
}

int main(void)
{
    int way;
    int mode;
    int mixed;
    watchdog();
    make_values();
    for (way = 0; way < WAYS; way++) {
        for (mode = MB_MODE_THREADED; mode <= MB_MODE_MANUAL; mode++) {
            for (mixed = 0; mixed < 2; mixed++) {
                if (way == WITH_DEADLINE && mode == MB_MODE_THREADED) {
                    continue; /* its clock began long ago */
                }
                by_type = mixed;
                round_trip((enum way)way, (uint32_t)mode, mixed);
            }
        }
    }
    columns(TYPED);
    columns(OWNED);
    one_kind();
    short_ways();
    mapped();
    names();
    return 0;
}
