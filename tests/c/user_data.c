/* P26: each user data is released exactly once, after the last call that could use it; none when no batcher was made. */

#include "kit.h"

/* All the places in mb_options that have a user data. */
#define PLACES 12

typedef struct data {
    uint64_t uses;
    uint64_t released;
} data;

static data all[PLACES];

static void use(void *user_data)
{
    data *mine = user_data;
    CHECK(mine >= all && mine < all + PLACES);
    CHECK_EQ(counted(&mine->released), 0);
    count_up(&mine->uses);
}

static void release(void *user_data)
{
    data *mine = user_data;
    CHECK(mine >= all && mine < all + PLACES);
    CHECK_EQ(count_up(&mine->released), 1);
}

static mb_status handler(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)batch;
    (void)api;
    use(user_data);
    /* No result is set: a batcher that is being freed would refuse it. */
    return MB_OK;
}

static mb_batch *kept;

static mb_status keep(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)api;
    use(user_data);
    CHECK_OK(mb_batch_keep(batch));
    kept = batch;
    return MB_OK;
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    (void)results;
    (void)api;
    use(user_data);
}

static void object_release(void *user_data, uint64_t word)
{
    (void)word;
    use(user_data);
}

static void log_line(void *user_data, int32_t level, const char *message, size_t length)
{
    (void)level;
    (void)message;
    (void)length;
    use(user_data);
}

/* Everything set, each with a user data of its own. */
static mb_options full(mb_options options)
{
    int kind;
    memset(all, 0, sizeof all);
    options.owner = 1;
    for (kind = 0; kind < MB_KINDS; kind++) {
        options.by_kind[kind].call = handler;
        options.by_kind[kind].user_data = &all[kind];
        options.by_kind[kind].release = release;
    }
    options.handler = handler;
    options.handler_data = &all[7];
    options.handler_release = release;
    options.on_result = on_result;
    options.result_data = &all[8];
    options.result_release = release;
    options.object_release = object_release;
    options.object_data = &all[9];
    options.object_data_release = release;
    options.log = log_line;
    options.log_data = &all[10];
    options.log_release = release;
    return options;
}

static void released(uint64_t times)
{
    int place;
    for (place = 0; place < 11; place++) {
        if (counted(&all[place].released) != times) {
            FAIL("user data %d was released %d times, not %d", place, (int)all[place].released, (int)times);
        }
    }
}

static void push_kinds(mb_batcher *batcher)
{
    CHECK_OK(mb_batcher_push_null(batcher, 0));
    CHECK_OK(mb_batcher_push_bool(batcher, 1, 0));
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 0));
    CHECK_OK(mb_batcher_push_float64(batcher, 1, 0));
    CHECK_OK(mb_batcher_push_string(batcher, "a", 1, 0));
    CHECK_OK(mb_batcher_push_bytes(batcher, "a", 1, 0));
    CHECK_OK(mb_batcher_push_object(batcher, 1, 1, 0, 0));
}

static void freed(void)
{
    static mb_status (*const ENDS[2])(mb_batcher *) = { mb_batcher_free, mb_batcher_abandon };
    int manual;
    int end;
    int closed;
    for (manual = 0; manual < 2; manual++) {
        for (end = 0; end < 2; end++) {
            for (closed = 0; closed < 2; closed++) {
                mb_options options = full(manual ? timeless() : defaults());
                mb_batcher *batcher = made(&options);
                int kind;
                push_kinds(batcher);
                if (closed) {
                    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
                    for (kind = 0; kind < MB_KINDS; kind++) {
                        CHECK_EQ(all[kind].uses, 1);
                    }
                    CHECK_EQ(all[9].uses, 1);
                }
                released(0);
                CHECK_OK(ENDS[end](batcher));
                if (end == 0 || manual) {
                    released(1);
                } else {
                    wait_count(&all[10].released, 1);
                    released(1);
                }
            }
        }
    }
}

/* A failure leaves everything with the caller. */
static void not_made(void)
{
    mb_options options = full(defaults());
    mb_options other;
    mb_batcher *batcher = NULL;
    options.threads = 1025;
    CHECK_STATUS(mb_batcher_new(&options, &batcher, NULL), MB_ERR_INVALID_OPTION);
    options.threads = 0;
    options.results = MB_RESULTS_PULL;
    CHECK_STATUS(mb_batcher_new(&options, &batcher, NULL), MB_ERR_INVALID_OPTION);
    options.results = 0;
    CHECK_STATUS(mb_batcher_new(&options, NULL, NULL), MB_ERR_INVALID_ARGUMENT);
    other = options;
    other.struct_size = 1;
    CHECK_STATUS(mb_batcher_new(&other, &batcher, NULL), MB_ERR_INVALID_ARGUMENT);
    released(0);
    /* And can be used again. */
    batcher = made(&options);
    CHECK_OK(mb_batcher_free(batcher));
    released(1);
}

/* Sets no result: a batcher that is being freed would refuse it. */
static mb_status nothing(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)batch;
    (void)api;
    return MB_OK;
}

/* A release without its function, and one that is used in two places: once for each place. */
static void without_functions(void)
{
    mb_options options = defaults();
    mb_batcher *batcher;
    uint64_t count = 0;
    options.handler_data = &count;
    options.handler_release = count_release;
    options.result_data = &count;
    options.result_release = count_release;
    options.by_kind[MB_KIND_BYTES].user_data = &count;
    options.by_kind[MB_KIND_BYTES].release = count_release;
    batcher = made(&options);
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EQ(count, 3);

    options = defaults();
    options.handler = nothing;
    options.handler_data = &count;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_free(batcher));
}

/* Of a held batch's batcher: what the batch may still call stays. */
static void held(void)
{
    mb_options options = full(timeless());
    mb_batcher *batcher;
    mb_value value;
    options.by_kind[MB_KIND_OBJECT].call = keep;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_object(batcher, 1, 5, 0, 0));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_run(batcher));
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EQ(all[8].uses, 1);
    CHECK_EQ(all[9].uses, 0);
    /* object_release is to come. */
    CHECK_EQ(all[9].released, 0);
    CHECK_OK(mb_batch_value(kept, 0, &value));
    CHECK_EQ(value.as.object.word, 5);
    CHECK_STATUS(mb_batch_complete_ok(kept), MB_ERR_TOO_LATE);
    CHECK_EQ(all[9].uses, 1);
    released(1);
}

/* A handler that runs while its batcher is abandoned uses its user data to its end. */
static door stuck = DOOR;
static uint64_t returned;

static mb_status stop(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)batch;
    (void)api;
    use(user_data);
    door_stop(&stuck);
    use(user_data);
    count_up(&returned);
    return MB_OK;
}

static void abandoned(void)
{
    mb_options options = full(defaults());
    mb_batcher *batcher;
    options.by_kind[MB_KIND_INT64].call = stop;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    door_wait(&stuck, 1);
    CHECK_OK(mb_batcher_abandon(batcher));
    released(0);
    door_open(&stuck);
    wait_count(&all[10].released, 1);
    CHECK_EQ(returned, 1);
    released(1);
}

int main(void)
{
    watchdog();
    freed();
    not_made();
    without_functions();
    held();
    abandoned();
    return 0;
}
