/* P12, P18: a pinned batch keeps its columns past the end of the batch and of the batcher, and what the values carry; nothing
   is set or ended through it. */

#include "kit.h"

static ledger book;
static mb_batch *pinned;
static int released;

static void release(void *data)
{
    (void)data;
    released++;
}

static mb_status pin(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    CHECK_OK(mb_batch_pin(batch, &pinned));
    answer_all(batch);
    return MB_OK;
}

static void check_columns(size_t count, const int64_t *address)
{
    mb_batch_view view = batch_view(pinned);
    size_t row;
    CHECK_EQ(view.count, count);
    CHECK(view.values == address);
    for (row = 0; row < count; row++) {
        CHECK_EQ(((const int64_t *)view.values)[row], (int64_t)row * 3);
        CHECK_EQ(view.tags[row], row);
    }
}

/* Later batches go elsewhere; the memory is where it was. */
static void outlives_batch_and_batcher(void)
{
    mb_options options = defaults();
    mb_batcher *batcher;
    const int64_t *address;
    int64_t row;
    ledger_open(&book, 1000);
    options.handler = pin;
    options.on_result = note_results;
    options.result_data = &book;
    options.max_delay = MB_FOREVER;
    batcher = made(&options);
    for (row = 0; row < 100; row++) {
        CHECK_OK(mb_batcher_push_int64(batcher, row * 3, (uint64_t)row));
    }
    CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
    address = batch_view(pinned).values;
    check_columns(100, address);
    CHECK_STATUS(mb_batch_set_int64(pinned, 0, 1), MB_ERR_WRONG_MODE);
    CHECK_STATUS(mb_batch_fail_all(pinned, 1, NULL, NULL, 0), MB_ERR_WRONG_MODE);
    CHECK_STATUS(mb_batch_keep(pinned), MB_ERR_WRONG_MODE);
    CHECK_STATUS(mb_batch_pin(pinned, &pinned), MB_ERR_WRONG_MODE);
    {
        mb_batch *first = pinned;
        for (row = 100; row < 1000; row++) {
            CHECK_OK(mb_batcher_push_int64(batcher, -1, (uint64_t)row));
            if (row % 50 == 49) {
                CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
                CHECK_OK(mb_batch_free(pinned));
            }
        }
        pinned = first;
    }
    check_columns(100, address);
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_OK(mb_batcher_free(batcher));
    check_columns(100, address);
    CHECK_OK(mb_batch_free(pinned));
    CHECK_STATUS(mb_batch_get_view(pinned, NULL), MB_ERR_INVALID_HANDLE);
    CHECK_EXACTLY_ONCE(&book, 1000);
    ledger_close(&book);
}

/* Owned bytes are shown as long as the batch is pinned, so their release waits. */
static void what_values_carry(void)
{
    static const char TEXT[] = "owned";
    mb_options options = defaults();
    mb_batcher *batcher;
    mb_push_options push;
    mb_value value;
    memset(&push, 0, sizeof push);
    push.struct_size = sizeof push;
    push.release = release;
    memset(&value, 0, sizeof value);
    value.kind = MB_KIND_STRING;
    value.as.string.data = TEXT;
    value.as.string.length = 5;
    options.mode = MB_MODE_MANUAL;
    options.handler = pin;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_value(batcher, &value, 0, &push));
    CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
    CHECK_EQ(stats_of(batcher).undelivered, 0);
    CHECK_EQ(released, 0);
    CHECK_OK(mb_batch_value(pinned, 0, &value));
    CHECK(value.as.string.data == TEXT);
    CHECK_OK(mb_batch_free(pinned));
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_EQ(released, 1);
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EQ(released, 1);
}

static mb_status refuse(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    CHECK_STATUS(mb_batch_pin(batch, &pinned), MB_ERR_WRONG_MODE);
    answer_all(batch);
    return MB_OK;
}

static void not_inside_map(void)
{
    int64_t values[3] = { 1, 2, 3 };
    mb_results *results;
    CHECK_OK(mb_map_int64s(values, NULL, 3, NULL, refuse, NULL, &results, NULL));
    CHECK_OK(mb_results_free(results));
}

/* One that was pulled and completed with its set taken. */
static void pulled(void)
{
    mb_options options = defaults();
    mb_batcher *batcher;
    mb_batch *batch;
    mb_results *results;
    options.results = MB_RESULTS_PULL;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 0, 0));
    CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
    CHECK_OK(mb_batch_pin(batch, &pinned));
    answer_all(batch);
    CHECK_OK(mb_batch_complete_next(batch, &results));
    check_columns(1, batch_view(pinned).values);
    CHECK_OK(mb_results_free(results));
    CHECK_OK(mb_batcher_free(batcher));
    check_columns(1, batch_view(pinned).values);
    CHECK_STATUS(mb_batch_complete(pinned), MB_ERR_WRONG_MODE);
    CHECK_STATUS(mb_batch_free(pinned), MB_ERR_TOO_LATE);
}

int main(void)
{
    watchdog();
    outlives_batch_and_batcher();
    what_values_carry();
    not_inside_map();
    pulled();
    return 0;
}
