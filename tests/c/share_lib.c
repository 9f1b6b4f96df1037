/* The other side of share.c: a shared library that is linked to nothing at all, not even to the C library. It reaches
   every batcher through the function table of the copy that the batcher lives in. */

#include "microbatch.h"

int share_push(const mb_shared *shared, int64_t first, int count);
mb_status share_handler(void *user_data, mb_batch *batch, const mb_api *api);
void share_on_result(void *user_data, const mb_results *results, const mb_api *api);
mb_status share_forward(void *user_data, mb_batch *batch, const mb_api *api);
const mb_api *share_last_table(void);
int64_t share_sum(void);

static const mb_api *last_table;
static int64_t sum;

/* Pushes numbers into a batcher of whatever copy, by the batcher and by a producer. */
int share_push(const mb_shared *shared, int64_t first, int count)
{
    const mb_api *api = shared->api;
    mb_producer *producer = NULL;
    int at;
    if (shared->struct_size < sizeof *shared || api->struct_size < sizeof *api) {
        return 1;
    }
    if (api->mb_abi_check(MB_ABI_VERSION) != MB_OK || api->abi_version != MB_ABI_VERSION || api->reserved != 0) {
        return 2;
    }
    if (api->mb_producer_new(shared->batcher, &producer) != MB_OK) {
        return 3;
    }
    for (at = 0; at < count; at++) {
        mb_status status = at % 2 ? api->mb_producer_push_int64(producer, first + at, (uint64_t)at)
                                  : api->mb_batcher_push_int64(shared->batcher, first + at, (uint64_t)at);
        if (status != MB_OK) {
            return 4;
        }
    }
    return api->mb_producer_free(producer) == MB_OK ? 0 : 5;
}

/* A handler that is given by address: doubles numbers. */
mb_status share_handler(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view;
    size_t row;
    (void)user_data;
    last_table = api;
    view.struct_size = sizeof view;
    if (api->mb_batch_get_view(batch, &view) != MB_OK) {
        return 1;
    }
    for (row = 0; row < view.count; row++) {
        mb_value value;
        if (api->mb_batch_value(batch, row, &value) != MB_OK || value.kind != MB_KIND_INT64) {
            return 2;
        }
        if (api->mb_batch_set_int64(batch, row, 2 * value.as.int64) != MB_OK) {
            return 3;
        }
    }
    return MB_OK;
}

/* An on_result that is given by address: adds up the results. */
void share_on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    mb_results_view view;
    size_t row;
    (void)user_data;
    view.struct_size = sizeof view;
    if (api->mb_results_get_view(results, &view) != MB_OK || !view.all_ok || view.kind != MB_KIND_INT64) {
        return;
    }
    for (row = 0; row < view.count; row++) {
        sum += ((const int64_t *)view.values)[row];
    }
}

/* A handler that pushes what it gets into another batcher, which may live in another copy. */
mb_status share_forward(void *user_data, mb_batch *batch, const mb_api *api)
{
    const mb_shared *to = user_data;
    mb_batch_view view;
    size_t row;
    view.struct_size = sizeof view;
    if (api->mb_batch_get_view(batch, &view) != MB_OK) {
        return 1;
    }
    for (row = 0; row < view.count; row++) {
        int64_t number = ((const int64_t *)view.values)[row];
        if (to->api->mb_batcher_push_int64(to->batcher, number, view.tags[row]) != MB_OK) {
            return 2;
        }
    }
    return api->mb_batch_complete_ok(batch);
}

const mb_api *share_last_table(void)
{
    return last_table;
}

int64_t share_sum(void)
{
    int64_t all = sum;
    sum = 0;
    return all;
}
