/* P25, P26: what ends a batcher, and other batchers, from inside every callback of its: close and free answer what the header
   says, nothing deadlocks, and everything comes back. (All other calls: reentrant_everywhere.c.)

   A scene is one batcher, one place where its host's code is called, and one act there. */

#include "calls.h"

enum place { IN_HANDLER, IN_ON_RESULT, IN_OBJECT_RELEASE, IN_PUSH_RELEASE, IN_LOG, PLACES };
enum act { USE_ANOTHER, CLOSE_SLOWLY, CLOSE_AT_ONCE, FREE, ABANDON, ACTS };

static const char *const PLACE_NAMES[] = { "the handler", "on_result", "object_release", "a push's release", "the log" };

static enum place the_place;
static enum act the_act;
static int manual;
/* No handlers: the host pulls. */
static int pulled;
static mb_batcher *batcher;
static uint64_t visits;
static uint64_t acted;
static uint64_t released;
static uint64_t objects_released;
static uint64_t pushes_released;

/* Another batcher is as outside, and so is map. */
static void use_another(void)
{
    plain_batcher_new();
    plain_map_int64s();
}

static void close_inside(int64_t timeout)
{
    uint64_t left = 77;
    CHECK_STATUS(mb_batcher_close(batcher, timeout, &left), MB_ERR_IN_PROGRESS);
    CHECK_EQ(left, 0);
    CHECK_STATUS(mb_batcher_push_int64(batcher, 1, 0), MB_ERR_CLOSED);
    CHECK_STATUS(mb_batcher_seal(batcher), MB_ERR_CLOSED);
    CHECK_STATUS(mb_batcher_flush_begin(batcher, &outputs.mark), MB_ERR_CLOSED);
    CHECK_STATUS(mb_batcher_flush(batcher, 0), MB_ERR_REENTRANT);
    CHECK_STATUS(mb_batcher_close(batcher, timeout, &left), MB_ERR_IN_PROGRESS);
    stats_of(batcher);
}

static void free_inside(mb_status (*free_it)(mb_batcher *))
{
    mb_batcher *gone = batcher;
    CHECK_OK(free_it(gone));
    /* Nothing that this callback may still use is gone: the user data is not released before it returns. */
    CHECK_EQ(counted(&released), 0);
    CHECK_STATUS(mb_batcher_push_int64(gone, 1, 0), MB_ERR_INVALID_HANDLE);
    CHECK_STATUS(mb_batcher_stats(gone, &outputs.stats), MB_ERR_INVALID_HANDLE);
    CHECK_STATUS(mb_batcher_free(gone), MB_ERR_INVALID_HANDLE);
}

static void visit(enum place here)
{
    if (here != the_place || count_up(&visits) > 1) {
        return;
    }
    switch (the_act) {
    case USE_ANOTHER:
        use_another();
        break;
    case CLOSE_SLOWLY:
        close_inside(MB_FOREVER);
        break;
    case CLOSE_AT_ONCE:
        close_inside(0);
        break;
    case FREE:
        free_inside(mb_batcher_free);
        break;
    default:
        free_inside(mb_batcher_abandon);
    }
    count_up(&acted);
}

static mb_status handler(void *user_data, mb_batch *batch, const mb_api *api)
{
    static __thread int left;
    (void)user_data;
    (void)api;
    if (the_place == IN_LOG && counted(&visits) == 0 && !left) {
        left = 1;
        pthread_exit(NULL);
    }
    visit(IN_HANDLER);
    /* After a close with time-out 0 this comes too late. */
    mb_batch_set_null(batch, 0);
    return MB_OK;
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    (void)user_data;
    (void)results;
    (void)api;
    visit(IN_ON_RESULT);
}

static void object_release(void *user_data, uint64_t word)
{
    (void)user_data;
    (void)word;
    count_up(&objects_released);
    visit(IN_OBJECT_RELEASE);
}

static void push_release(void *user_data)
{
    (void)user_data;
    count_up(&pushes_released);
    visit(IN_PUSH_RELEASE);
}

static void log_line(void *user_data, int32_t level, const char *message, size_t length)
{
    (void)user_data;
    CHECK(level >= 0 && level <= 3);
    CHECK(length > 0 && message[0] != 0);
    visit(IN_LOG);
}

static void *run_it(void *unused)
{
    (void)unused;
    mb_batcher_run(batcher);
    return NULL;
}

/* Lets the batcher do what was pushed. */
static void drive(void)
{
    if (pulled) {
        mb_batch *batch = NULL;
        while (mb_batcher_next_batch(batcher, 0, &batch) == MB_OK) {
            /* After a close with time-out 0 it comes too late. */
            mb_batch_complete_ok(batch);
        }
    }
    if (!manual) {
        return;
    }
    if (the_place == IN_LOG) {
        /* A thread that may end. */
        joined(started(run_it, NULL));
    }
    mb_batcher_run(batcher);
}

/* Where a scene fails. */
#define SCENE_EQ(is, expected) \
    ((long long)(is) == (long long)(expected) ? (void)0 \
     : FAIL("%s is %lld, not %lld, after act %d in %s, %s, %s", #is, (long long)(is), (long long)(expected), \
            (int)the_act, PLACE_NAMES[the_place], manual ? "manual" : "threaded", pulled ? "pulled" : "handled"))

static void play(void)
{
    mb_options options = defaults();
    mb_push_options owned = push_options();
    mb_value text = text_value(MB_KIND_STRING, "owned", 5);
    int ended = the_act == FREE || the_act == ABANDON;
    uint64_t left;
    mb_status status;

    visits = acted = released = objects_released = pushes_released = 0;
    if (manual) {
        options.mode = MB_MODE_MANUAL;
        options.clock = MB_CLOCK_GIVEN;
    }
    options.owner = 1;
    if (!pulled) {
        options.handler = handler;
    }
    options.handler_release = options.result_release = options.object_data_release = options.log_release =
        count_release;
    options.handler_data = options.result_data = options.object_data = options.log_data = &released;
    options.on_result = on_result;
    options.object_release = object_release;
    options.log = log_line;
    /* Everything goes in before anything happens. */
    options.max_delay = MB_FOREVER;
    batcher = made(&options);
    owned.release = push_release;
    CHECK_OK(mb_batcher_push_object(batcher, 1, 7, 0, 0));
    CHECK_OK(mb_batcher_push_value(batcher, &text, 0, &owned));
    CHECK_OK(mb_batcher_seal(batcher));
    drive();

    if (ended) {
        wait_count(&acted, 1);
        wait_count(&released, 4);
        CHECK_STATUS(mb_batcher_free(batcher), MB_ERR_INVALID_HANDLE);
    } else {
        while (counted(&acted) == 0) {
            drive();
            sched_yield();
        }
        if (pulled) {
            /* What the callback pushed is handed out once it is sealed. */
            mb_batcher_seal(batcher);
            drive();
        }
        do {
            status = mb_batcher_close(batcher, MB_FOREVER, &left);
            if (status == MB_ERR_IN_PROGRESS && !manual) {
                FAIL("a threaded close does not wait");
            }
        } while (status == MB_ERR_IN_PROGRESS);
        if (the_act == CLOSE_AT_ONCE) {
            /* Its time-out came, with values left or while on_result was running. */
            SCENE_EQ(status, left > 0 ? MB_ERR_TIMEOUT : status);
            SCENE_EQ(status, status == MB_OK ? MB_OK : MB_ERR_TIMEOUT);
        } else {
            SCENE_EQ(status, MB_OK);
            SCENE_EQ(left, 0);
        }
        CHECK_EQ(stats_of(batcher).outstanding, 0);
        SCENE_EQ(released, 0);
        CHECK_OK(mb_batcher_free(batcher));
        SCENE_EQ(released, 4);
    }
    SCENE_EQ(acted, 1);
    SCENE_EQ(pushes_released, 1);
    SCENE_EQ(objects_released, 1);
}

static void play_at(enum place place)
{
    int act;
    the_place = place;
    for (act = 0; act < ACTS; act++) {
        the_act = (enum act)act;
        pulled = 0;
        play();
        pulled = place != IN_HANDLER && place != IN_LOG;
        if (pulled) {
            play();
        }
    }
}

int main(void)
{
    int place;
    watchdog();
    for (manual = 0; manual < 2; manual++) {
        for (place = 0; place < IN_LOG; place++) {
            play_at((enum place)place);
        }
    }
    for (manual = 0; manual < 2; manual++) {
        play_at(IN_LOG);
    }
    return 0;
}
