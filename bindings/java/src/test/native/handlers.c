/* Handlers in C, in a shared library of their own that is linked to nothing at all: they reach the engine through the
   function table that they are handed. */

#include "awkward.h"

mb_status check_in_c(void *user_data, mb_batch *batch, const mb_api *api);
mb_status double_in_c(void *user_data, mb_batch *batch, const mb_api *api);
mb_status end_thread_in_c(void *user_data, mb_batch *batch, const mb_api *api);

/* Compares every value with the table and answers with the table's own; what differs fails with code 9. */
mb_status check_in_c(void *user_data, mb_batch *batch, const mb_api *api)
{
    static const char message[] = "the value is not what was pushed";
    mb_batch_view view;
    size_t row;
    mb_status status;
    (void)user_data;
    view.struct_size = sizeof view;
    status = api->mb_batch_get_view(batch, &view);
    for (row = 0; status == MB_OK && row < view.count; row++) {
        mb_value value;
        status = api->mb_batch_value(batch, row, &value);
        if (status == MB_OK && awkward_is(&value, view.tags[row])) {
            awkward_get(view.tags[row], &value);
            status = api->mb_batch_set_value(batch, row, &value);
        } else if (status == MB_OK) {
            status = api->mb_batch_fail(batch, row, 9, "check_in_c", message, sizeof message - 1);
        }
    }
    return status;
}

/* Doubles integers, adding what user_data is. */
mb_status double_in_c(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view;
    size_t row;
    mb_status status;
    view.struct_size = sizeof view;
    status = api->mb_batch_get_view(batch, &view);
    for (row = 0; status == MB_OK && row < view.count; row++) {
        int64_t value = ((const int64_t *)view.values)[row];
        status = api->mb_batch_set_int64(batch, row, 2 * value + (int64_t)(intptr_t)user_data);
    }
    return status;
}

/* Ends the thread it runs on: user_data is the address of pthread_exit. */
mb_status end_thread_in_c(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)batch;
    (void)api;
    ((void (*)(void *))user_data)(0);
    return MB_OK;
}
