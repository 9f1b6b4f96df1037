/* Handlers in a shared library of their own that links to nothing: everything comes through the table they are handed. */
#include "microbatch.h"

/* Answers every value with itself, and int64 with its successor; a string is also failed if user_data says so. */
mb_status echo(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view;
    mb_value value;
    size_t row;
    mb_status status;
    view.struct_size = sizeof view;
    status = api->mb_batch_get_view(batch, &view);
    for (row = 0; status == MB_OK && row < view.count; row++) {
        status = api->mb_batch_value(batch, row, &value);
        if (status == MB_OK && value.kind == MB_KIND_STRING && user_data != 0) {
            status = api->mb_batch_fail(batch, row, 41, "native", "no strings", 10);
        } else if (status == MB_OK) {
            status = api->mb_batch_set_value(batch, row, &value);
        }
    }
    return status;
}

/* Pushes numbers into a batcher of another copy of the library. */
mb_status push_into(const mb_shared *shared, int64_t first, int64_t count)
{
    mb_status status = MB_OK;
    int64_t at;
    for (at = 0; status == MB_OK && at < count; at++) {
        status = shared->api->mb_batcher_push_int64(shared->batcher, first + at, (uint64_t)at);
    }
    return status;
}
