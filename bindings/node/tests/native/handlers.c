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

/* Pushes every value into the batcher that user_data is an mb_shared of, and answers with the statuses. */
mb_status forward(void *user_data, mb_batch *batch, const mb_api *api)
{
    const mb_shared *to = user_data;
    mb_batch_view view;
    mb_value value;
    size_t row;
    mb_status status;
    view.struct_size = sizeof view;
    status = api->mb_batch_get_view(batch, &view);
    for (row = 0; status == MB_OK && row < view.count; row++) {
        status = api->mb_batch_value(batch, row, &value);
        if (status == MB_OK) {
            status = api->mb_batch_set_int64(batch, row, to->api->mb_batcher_push_value(to->batcher, &value, row, 0));
        }
    }
    return status;
}

/* What no value is: a lone surrogate, half a character, a kind that there is not, an object of nobody's. Each is tried as a
   push into the batcher of user_data and as a result of row 0; the statuses are the results of the rows after it, and row 0 is
   null. */
mb_status no_values(void *user_data, mb_batch *batch, const mb_api *api)
{
    static const char *const texts[] = {"\xed\xa0\x80", "a\xe2\x82"};
    const mb_shared *to = user_data;
    mb_value values[4];
    size_t at;
    mb_status status;
    for (at = 0; at < 4; at++) {
        values[at].kind = at < 2 ? MB_KIND_STRING : at == 2 ? 99 : MB_KIND_OBJECT;
        values[at].owner = 0;
        values[at].as.string.data = at < 2 ? texts[at] : 0;
        values[at].as.string.length = at < 2 ? 3 : 0;
    }
    status = api->mb_batch_set_null(batch, 0);
    for (at = 0; status == MB_OK && at < 4; at++) {
        status = api->mb_batch_set_int64(batch, 1 + 2 * at, to->api->mb_batcher_push_value(to->batcher, &values[at], 1, 0));
        if (status == MB_OK) {
            status = api->mb_batch_set_int64(batch, 2 + 2 * at, api->mb_batch_set_value(batch, 0, &values[at]));
        }
    }
    return status;
}

/* What wait_for waits for: 0 is shut. */
int gate_one = 0;
int gate_two = 0;

/* Waits until somebody opens the gate that user_data points to, then answers as echo. */
mb_status wait_for(void *user_data, mb_batch *batch, const mb_api *api)
{
    volatile int *gate = user_data;
    while (*gate == 0) {
    }
    return echo(0, batch, api);
}

/* Opens the gate. */
mb_status open_gate(void *user_data, mb_batch *batch, const mb_api *api)
{
    volatile int *gate = user_data;
    *gate = 1;
    return echo(0, batch, api);
}

/* Shuts the gate. */
mb_status shut_gate(void *user_data, mb_batch *batch, const mb_api *api)
{
    volatile int *gate = user_data;
    *gate = 0;
    return echo(0, batch, api);
}

/* Takes every value for a failure of its own. */
mb_status refuse(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)batch;
    (void)api;
    return 77;
}

/* Calls the function that user_data is the address of, which does not return. */
mb_status end_thread(void *user_data, mb_batch *batch, const mb_api *api)
{
    void (*end)(void *value);
    (void)batch;
    (void)api;
    *(void **)(void *)&end = user_data;
    end(0);
    return MB_OK;
}

/* Counts how often what user_data points to was given back. */
int releases = 0;

void count_release(void *user_data)
{
    ++*(int *)user_data;
}

/* Answers how often. */
mb_status count(void *user_data, mb_batch *batch, const mb_api *api)
{
    return api->mb_batch_set_int64(batch, 0, *(int *)user_data);
}

static mb_status serves_nobody(uint32_t header_abi_version)
{
    (void)header_abi_version;
    return MB_ERR_UNSUPPORTED;
}

static mb_api nothing;

/* A batcher of a copy of the library that has no function but to say that it does not serve others. */
mb_shared of_another_age = {sizeof(mb_shared), &nothing, 0};

__attribute__((constructor)) static void make(void)
{
    nothing.struct_size = sizeof nothing;
    nothing.mb_abi_check = serves_nobody;
}
