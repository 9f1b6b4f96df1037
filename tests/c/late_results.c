/* P21: what a handler stores while its time-out ends the batch, or after, shows nowhere. */

#include "kit.h"

enum { ROWS = 4096, ROUNDS = 60 };

static uint64_t expired;

/* Stores to all rows, over and over, until it is told that it is too late. */
static mb_status overrun(void *user_data, mb_batch *batch, const mb_api *api)
{
    static int64_t stored[ROWS];
    mb_batch_view view;
    mb_status status;
    (void)user_data;
    (void)api;
    view.struct_size = sizeof view;
    CHECK_OK(mb_batch_get_view(batch, &view));
    do {
        status = mb_batch_set_int64s(batch, stored, NULL, view.count);
    } while (status == MB_OK);
    CHECK_STATUS(status, MB_ERR_TOO_LATE);
    return MB_OK;
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    mb_results_view view;
    size_t row;
    (void)user_data;
    (void)api;
    view.struct_size = sizeof view;
    CHECK_OK(mb_results_get_view(results, &view));
    CHECK(!view.all_ok);
    for (row = 0; row < view.count; row++) {
        CHECK_EQ(view.outcomes[row], MB_OUTCOME_EXPIRED);
        CHECK_EQ(view.kinds[row], MB_KIND_NONE);
        CHECK_EQ(((const int64_t *)view.values)[row], MB_ERR_HANDLER_TIMEOUT);
    }
    count_up(&expired);
}

int main(void)
{
    mb_options options = defaults();
    mb_batcher *batcher;
    int64_t values[ROWS] = { 0 };
    int round;
    watchdog();
    options.max_batch_size = ROWS;
    options.max_delay = MB_FOREVER;
    options.handler_timeout = 200 * MB_US;
    options.handler = overrun;
    options.on_result = on_result;
    batcher = made(&options);
    for (round = 0; round < ROUNDS; round++) {
        CHECK_OK(mb_batcher_push_int64s(batcher, values, NULL, ROWS, NULL, 0, NULL, NULL));
        CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
    }
    CHECK_EQ(expired, ROUNDS);
    CHECK_OK(mb_batcher_free(batcher));
    return 0;
}
