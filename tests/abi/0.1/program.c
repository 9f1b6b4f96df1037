/* P37: a program of version 0.1. It calls every function of that version, directly and through the table, reads every
   struct, and prints what it saw. It is compiled against the header beside it, and runs with the library of today. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "microbatch.h"

static void expect(int line, long long is, long long expected)
{
    if (is != expected) {
        printf("line %d: %lld, not %lld\n", line, is, expected);
        exit(1);
    }
}

#define OK(call) expect(__LINE__, (call), MB_OK)
#define IS(is, expected) expect(__LINE__, (long long)(is), (long long)(expected))

static int released;
static int objects;
static long long sum;
static int rows[5];

static void release(void *user_data) { *(int *)user_data += 1; }

static void release_object(void *user_data, uint64_t word)
{
    (void)user_data;
    objects += (int)word;
}

static void log_line(void *user_data, int32_t level, const char *message, size_t length)
{
    (void)user_data;
    (void)level;
    (void)message;
    (void)length;
}

/* Numbers are doubled, everything else comes back as it is; a null fails. */
static mb_status handle(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view;
    mb_value value;
    size_t row;
    (void)user_data;
    memset(&view, 0, sizeof view);
    view.struct_size = sizeof view;
    OK(api->mb_batch_get_view(batch, &view));
    IS(view.struct_size, sizeof view);
    IS(view.trigger >= MB_TRIGGER_SIZE && view.trigger <= MB_TRIGGER_CLOSE, 1);
    for (row = 0; row < view.count; row++) {
        OK(mb_batch_value(batch, row, &value));
        IS(value.kind, view.kinds[row]);
        switch (value.kind) {
        case MB_KIND_NULL: OK(mb_batch_fail(batch, row, 7, "type", "message", 7)); break;
        case MB_KIND_BOOL: OK(mb_batch_set_bool(batch, row, (int32_t)value.as.int64)); break;
        case MB_KIND_INT64: OK(mb_batch_set_int64(batch, row, 2 * value.as.int64)); break;
        case MB_KIND_FLOAT64: OK(mb_batch_set_float64(batch, row, 2 * value.as.float64)); break;
        case MB_KIND_STRING:
            OK(mb_batch_set_string(batch, row, value.as.string.data, value.as.string.length));
            break;
        case MB_KIND_BYTES: OK(mb_batch_set_bytes(batch, row, value.as.string.data, value.as.string.length)); break;
        case MB_KIND_OBJECT: OK(mb_batch_set_int64(batch, row, (int64_t)value.as.object.word)); break;
        default: IS(value.kind, 0);
        }
    }
    return MB_OK;
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    mb_results_view view;
    mb_row_error error;
    mb_value value;
    size_t row;
    (void)user_data;
    memset(&view, 0, sizeof view);
    view.struct_size = sizeof view;
    OK(api->mb_results_get_view(results, &view));
    for (row = 0; row < view.count; row++) {
        uint32_t outcome = view.outcomes ? view.outcomes[row] : MB_OUTCOME_OK;
        rows[outcome] += 1;
        if (outcome != MB_OUTCOME_OK) {
            memset(&error, 0, sizeof error);
            error.struct_size = sizeof error;
            OK(mb_results_error(results, row, &error));
            IS(mb_results_value(results, row, &value), error.code);
            IS(strlen(error.message), error.length);
        } else {
            OK(mb_results_value(results, row, &value));
            if (value.kind == MB_KIND_INT64) {
                sum += value.as.int64;
            }
        }
    }
}

static const int64_t INTEGERS[3] = { 1, 2, 3 };
static const double FLOATS[3] = { 0.5, 1.5, 2.5 };
static const int32_t OFFSETS[4] = { 0, 1, 2, 3 };
static const int64_t LARGE_OFFSETS[4] = { 0, 1, 2, 3 };

static mb_value integer(int64_t number)
{
    mb_value value;
    memset(&value, 0, sizeof value);
    value.kind = MB_KIND_INT64;
    value.as.int64 = number;
    return value;
}

/* What needs no batcher. */
static void tables(void)
{
    const mb_status_info *statuses;
    const mb_option_info *options;
    size_t count;
    uint32_t owner;
    int64_t length;
    OK(mb_status_table(&statuses, &count));
    IS(count >= 31, 1);
    IS(statuses[0].code, 0);
    OK(mb_option_table(&options, &count));
    IS(count >= 18, 1);
    IS(options[0].width == 4 || options[0].width == 8, 1);
    IS(options[0].default_value, MB_MODE_THREADED);
    OK(mb_duration_parse("2ms", &length, NULL));
    IS(length, 2 * MB_MS);
    OK(mb_owner_new(&owner));
    OK(mb_abi_check(MB_ABI_VERSION));
    IS(mb_abi_version() >= MB_ABI_VERSION, 1);
    IS(mb_version_number() >= MB_VERSION_NUMBER, 1);
    IS(mb_version_string() != NULL, 1);
    printf("%s %d\n", mb_status_name(MB_ERR_QUEUE_FULL), mb_status_text(MB_ERR_QUEUE_FULL)[0] != 0);
    printf("%s %s %s %s\n", mb_kind_name(MB_KIND_STRING), mb_trigger_name(MB_TRIGGER_DELAY),
           mb_outcome_name(MB_OUTCOME_EXPIRED), mb_handled_name(MB_HANDLED_MAYBE));
}

/* Every push, a producer, a host that drives. */
static void driven(void)
{
    mb_options options;
    mb_push_options push;
    mb_batcher *batcher;
    mb_producer *producer;
    mb_shared shared;
    mb_stats stats;
    mb_error *error = NULL;
    mb_value values[3];
    mb_value value;
    uint64_t count;
    uint64_t mark;
    size_t accepted;
    int64_t time;
    int32_t fd;
    char page[64];

    OK(mb_options_init(&options, sizeof options));
    options.mode = MB_MODE_MANUAL;
    options.clock = MB_CLOCK_GIVEN;
    options.max_delay = 5 * MB_MS;
    options.owner = 9;
    options.handler = handle;
    options.handler_data = &released;
    options.handler_release = release;
    options.by_kind[MB_KIND_STRING].call = handle;
    options.by_kind[MB_KIND_STRING].user_data = &released;
    options.by_kind[MB_KIND_STRING].release = release;
    options.on_result = on_result;
    options.result_data = &released;
    options.result_release = release;
    options.object_release = release_object;
    options.object_data = &released;
    options.object_data_release = release;
    options.log = log_line;
    options.log_data = &released;
    options.log_release = release;
    IS(mb_options_set(&options, "max_delay", "soon", &error), MB_ERR_INVALID_OPTION);
    IS(mb_error_code(error), MB_ERR_INVALID_OPTION);
    printf("%s: %d\n", mb_error_subject(error), mb_error_message(error)[0] != 0);
    mb_error_free(error);
    OK(mb_options_set(&options, "max_batch_size", "64", NULL));
    OK(mb_batcher_new(&options, &batcher, NULL));
    OK(mb_producer_new(batcher, &producer));

    OK(mb_batcher_push_null(batcher, 1));
    OK(mb_batcher_push_bool(batcher, 1, 2));
    OK(mb_batcher_push_int64(batcher, 10, 3));
    OK(mb_batcher_push_float64(batcher, 0.5, 4));
    OK(mb_batcher_push_string(batcher, "text", 4, 5));
    OK(mb_batcher_push_bytes(batcher, "\xff", 1, 6));
    OK(mb_batcher_push_object(batcher, 9, 100, 0, 7));
    memset(&push, 0, sizeof push);
    push.struct_size = sizeof push;
    push.deadline = 1;
    value = integer(1000);
    OK(mb_batcher_push_value(batcher, &value, 8, &push));
    push.deadline = 0;
    push.release = release;
    push.release_data = &released;
    value.kind = MB_KIND_BYTES;
    value.as.string.data = "owned";
    value.as.string.length = 5;
    OK(mb_batcher_push_value(batcher, &value, 9, &push));
    value.kind = 99;
    IS(mb_batcher_check(batcher, &value, NULL), MB_ERR_INVALID_ARGUMENT);
    OK(mb_batcher_push_int64(batcher, 1000, 77));
    OK(mb_batcher_cancel(batcher, 77, &count));
    IS(count, 1);
    OK(mb_batcher_room(batcher, 0));

    OK(mb_batcher_push_int64s(batcher, INTEGERS, NULL, 3, NULL, 20, NULL, &accepted));
    OK(mb_batcher_push_float64s(batcher, FLOATS, NULL, 3, NULL, 20, NULL, &accepted));
    OK(mb_batcher_push_strings(batcher, "abc", OFFSETS, NULL, 3, NULL, 20, NULL, &accepted));
    OK(mb_batcher_push_large_strings(batcher, "abc", LARGE_OFFSETS, NULL, 3, NULL, 20, NULL, &accepted));
    values[0] = integer(1);
    values[1] = integer(2);
    values[2] = integer(3);
    OK(mb_batcher_push_values(batcher, values, 3, NULL, 20, NULL, &accepted));
    IS(accepted, 3);

    OK(mb_producer_push_null(producer, 1));
    OK(mb_producer_push_bool(producer, 0, 2));
    OK(mb_producer_push_int64(producer, 10, 3));
    OK(mb_producer_push_float64(producer, 0.5, 4));
    OK(mb_producer_push_string(producer, "text", 4, 5));
    OK(mb_producer_push_bytes(producer, "\xff", 1, 6));
    OK(mb_producer_push_object(producer, 9, 200, 0, 7));
    value = integer(5);
    OK(mb_producer_push_value(producer, &value, 8, NULL));
    OK(mb_producer_free(producer));

    OK(mb_batcher_fd(batcher, &fd));
    OK(mb_batcher_now(batcher, &time));
    IS(time, 0);
    OK(mb_batcher_next_due(batcher, &time));
    IS(time <= 5 * MB_MS, 1);
    OK(mb_batcher_advance(batcher, 5 * MB_MS));
    OK(mb_batcher_run(batcher));
    OK(mb_batcher_seal(batcher));
    OK(mb_batcher_flush_begin(batcher, &mark));
    OK(mb_batcher_flush_end(batcher, mark, 0));
    OK(mb_batcher_flush_reached(batcher, mark));
    OK(mb_batcher_flush(batcher, 0));

    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    OK(mb_batcher_stats(batcher, &stats));
    printf("accepted %d ok %d failed %d expired %d cancelled %d discarded %d outstanding %d\n", (int)stats.accepted,
           (int)stats.ok, (int)stats.failed, (int)stats.expired, (int)stats.cancelled, (int)stats.discarded,
           (int)stats.outstanding);
    IS(stats.batch_size.count, stats.batches);
    OK(mb_batcher_stats_text(batcher, page, sizeof page, &accepted));
    IS(accepted > sizeof page, 1);
    memset(&shared, 0, sizeof shared);
    shared.struct_size = sizeof shared;
    OK(mb_batcher_share(batcher, &shared));
    IS(shared.api == mb_api_table() && shared.batcher == batcher, 1);
    IS(shared.api->struct_size >= sizeof(mb_api), 1);
    OK(shared.api->mb_batcher_push_int64(batcher, 0, 0));
    OK(mb_batcher_close(batcher, MB_FOREVER, &count));
    OK(mb_batcher_free(batcher));
    printf("sum %lld, rows %d %d %d %d %d, released %d, objects %d\n", sum, rows[0], rows[1], rows[2], rows[3], rows[4],
           released, objects);
}

/* A host that pulls both ways, with every way to set results. */
static void pulled(void)
{
    mb_options options;
    mb_batcher *batcher;
    mb_batch *batch, *pinned;
    mb_results *results;
    mb_column column;
    mb_value values[3];
    int way;
    OK(mb_options_init(&options, sizeof options));
    options.results = MB_RESULTS_PULL;
    options.owner = 9;
    options.pull_handlers = 1 << MB_KIND_INT64;
    OK(mb_batcher_new(&options, &batcher, NULL));
    for (way = 0; way < 9; way++) {
        OK(mb_batcher_push_int64s(batcher, INTEGERS, NULL, 3, NULL, 0, NULL, NULL));
        OK(mb_batcher_seal(batcher));
        OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
        memset(&column, 0, sizeof column);
        column.struct_size = sizeof column;
        OK(mb_batch_gather(batch, MB_KIND_INT64, &column));
        IS(column.count, 3);
        values[0] = values[1] = values[2] = integer(4);
        switch (way) {
        case 0: OK(mb_batch_set_int64s(batch, INTEGERS, NULL, 3)); break;
        case 1: OK(mb_batch_set_float64s(batch, FLOATS, NULL, 3)); break;
        case 2: OK(mb_batch_set_strings(batch, "abc", OFFSETS, NULL, 3)); break;
        case 3: OK(mb_batch_set_values(batch, values, 3)); break;
        case 4: OK(mb_batch_set_null(batch, 0)); break;
        case 5: OK(mb_batch_set_object(batch, 1, 9, 1, 0)); break;
        case 6: OK(mb_batch_set_value(batch, 2, values)); break;
        case 7: OK(mb_batch_fail_all(batch, 8, "type", "message", 7)); break;
        default: OK(mb_batch_keep(batch));
        }
        OK(mb_batch_pin(batch, &pinned));
        OK(mb_batch_free(pinned));
        if (way == 5) {
            OK(mb_batch_complete_next(batch, &results));
        } else {
            OK(way == 8 ? mb_batch_free(batch) : way == 4 ? mb_batch_complete_ok(batch) : mb_batch_complete(batch));
            OK(mb_batcher_next_results(batcher, MB_FOREVER, &results));
        }
        memset(&column, 0, sizeof column);
        column.struct_size = sizeof column;
        OK(mb_results_strings(results, &column));
        printf("way %d: %d bytes of text\n", way, (int)column.offsets[column.count]);
        OK(mb_results_free(results));
    }
    OK(mb_batcher_abandon(batcher));
}

static void mapped(void)
{
    mb_map_options options;
    mb_results *results;
    mb_results_view view;
    mb_value values[1];
    int way;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.batches = 2;
    values[0] = integer(4);
    for (way = 0; way < 4; way++) {
        OK(way == 0   ? mb_map_int64s(INTEGERS, NULL, 3, &options, handle, NULL, &results, NULL)
           : way == 1 ? mb_map_float64s(FLOATS, NULL, 3, &options, handle, NULL, &results, NULL)
           : way == 2 ? mb_map_strings("abc", OFFSETS, NULL, 3, &options, handle, NULL, &results, NULL)
                      : mb_map_values(values, 1, &options, handle, NULL, &results, NULL));
        memset(&view, 0, sizeof view);
        view.struct_size = sizeof view;
        OK(mb_results_get_view(results, &view));
        printf("mapped %d: %s, all ok %d\n", (int)view.count, mb_kind_name(view.kind), (int)view.all_ok);
        OK(mb_results_free(results));
    }
}

int main(void)
{
    tables();
    driven();
    pulled();
    mapped();
    return 0;
}
