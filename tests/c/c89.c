/* P34: a whole program in strict C89: values of every kind through a batcher without threads, results noted by tag. */

#include <stdio.h>
#include <string.h>

#include "microbatch.h"

#define COUNT 12

struct notes {
    int times[COUNT];
    mb_status codes[COUNT];
    int64_t sum;
};

static mb_status double_it(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view;
    size_t row;
    (void)user_data;
    view.struct_size = sizeof view;
    if (api->mb_batch_get_view(batch, &view) != MB_OK) {
        return 1;
    }
    for (row = 0; row < view.count; row++) {
        mb_value value;
        mb_batch_value(batch, row, &value);
        if (value.kind == MB_KIND_INT64) {
            mb_batch_set_int64(batch, row, 2 * value.as.int64);
        } else if (value.kind == MB_KIND_STRING) {
            mb_batch_fail(batch, row, 7, "Text", "no text here", 12);
        } else {
            mb_batch_set_value(batch, row, &value);
        }
    }
    return MB_OK;
}

static void note(void *user_data, const mb_results *results, const mb_api *api)
{
    struct notes *notes = (struct notes *)user_data;
    mb_results_view view;
    size_t row;
    (void)api;
    view.struct_size = sizeof view;
    mb_results_get_view(results, &view);
    for (row = 0; row < view.count; row++) {
        mb_value value;
        mb_status status = mb_results_value(results, row, &value);
        notes->times[view.tags[row]] += 1;
        notes->codes[view.tags[row]] = status;
        if (status == MB_OK && value.kind == MB_KIND_INT64) {
            notes->sum += value.as.int64;
        }
    }
}

static int fail(const char *what)
{
    fprintf(stderr, "c89.c: %s\n", what);
    return 1;
}

int main(void)
{
    mb_options options;
    mb_batcher *batcher = NULL;
    mb_error *error = NULL;
    struct notes notes;
    uint64_t tag;
    uint64_t left = 0;
    memset(&notes, 0, sizeof notes);
    if (mb_abi_check(MB_ABI_VERSION) != MB_OK || mb_version_number() != MB_VERSION_NUMBER) {
        return fail("another library");
    }
    if (mb_options_init(&options, sizeof options) != MB_OK) {
        return fail("no options");
    }
    options.mode = MB_MODE_MANUAL;
    options.clock = MB_CLOCK_GIVEN;
    options.max_batch_size = 5;
    options.max_delay = 5 * MB_MS;
    options.handler = double_it;
    options.on_result = note;
    options.result_data = &notes;
    if (mb_options_set(&options, "on_full", "reject", &error) != MB_OK) {
        return fail(mb_error_message(error));
    }
    if (mb_batcher_new(&options, &batcher, &error) != MB_OK) {
        return fail(mb_error_message(error));
    }
    for (tag = 0; tag < COUNT; tag++) {
        mb_status status = MB_OK;
        switch (tag % 6) {
        case 0:
            status = mb_batcher_push_null(batcher, tag);
            break;
        case 1:
            status = mb_batcher_push_bool(batcher, 1, tag);
            break;
        case 2:
            status = mb_batcher_push_int64(batcher, (int64_t)tag, tag);
            break;
        case 3:
            status = mb_batcher_push_float64(batcher, 0.5, tag);
            break;
        case 4:
            status = mb_batcher_push_string(batcher, "text", 4, tag);
            break;
        default:
            status = mb_batcher_push_bytes(batcher, "\377", 1, tag);
        }
        if (status != MB_OK) {
            return fail(mb_status_name(status));
        }
    }
    if (mb_batcher_advance(batcher, 5 * MB_MS) != MB_OK || mb_batcher_run(batcher) != MB_OK) {
        return fail("it does not run");
    }
    if (mb_batcher_close(batcher, MB_FOREVER, &left) != MB_OK || left != 0) {
        return fail("something is left");
    }
    for (tag = 0; tag < COUNT; tag++) {
        if (notes.times[tag] != 1 || notes.codes[tag] != (tag % 6 == 4 ? 7 : MB_OK)) {
            return fail("a result is wrong");
        }
    }
    if (notes.sum != 2 * (2 + 8)) {
        return fail("the sum is wrong");
    }
    return mb_batcher_free(batcher) == MB_OK ? 0 : fail("it is not freed");
}
