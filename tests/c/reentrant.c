/* P25, P26: every call from inside every callback has the answer that the header gives it, and none deadlocks.

   A scene is one batcher, one place where its host's code is called, and one act there. */

#include "calls.h"

enum place { IN_HANDLER, IN_ON_RESULT, IN_OBJECT_RELEASE, IN_PUSH_RELEASE, IN_LOG, PLACES };
enum act { MAKE_EVERY_CALL, USE_ANOTHER, CLOSE_SLOWLY, CLOSE_AT_ONCE, FREE, ABANDON, ACTS };

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

/* What each call answers inside a callback of its batcher. */
static mb_status inside(const call *made)
{
    static const struct { const char *name; mb_status answer; } ANSWERS[] = {
        { "mb_batcher_flush", MB_ERR_REENTRANT },
        { "mb_batcher_flush_end", MB_ERR_REENTRANT },
        { "mb_batcher_cancel", MB_ERR_NOT_FOUND },
        { "mb_batcher_run", MB_ERR_REENTRANT },
        { "mb_batcher_advance", MB_ERR_REENTRANT },
        { "mb_batcher_next_batch", MB_ERR_REENTRANT },
        { "mb_batcher_next_results", MB_ERR_REENTRANT },
    };
    size_t at;
    if (!manual && (made->make == call_run || made->make == call_advance)) {
        return MB_ERR_WRONG_MODE;
    }
    if (!pulled && made->make == call_next_batch) {
        return MB_ERR_WRONG_MODE;
    }
    if (made->make == call_next_results) {
        return MB_ERR_WRONG_MODE;
    }
    for (at = 0; at < sizeof ANSWERS / sizeof ANSWERS[0]; at++) {
        if (strcmp(ANSWERS[at].name, made->name) == 0) {
            return ANSWERS[at].answer;
        }
    }
    return MB_OK;
}

/* What the callback borrows. */
static mb_batch *the_batch;
static mb_results *the_results;

/* Of a producer, batch or set: they work as outside. What gives objects is left out, as objects are counted here. */
static void make_every_call_of(enum handle takes, void *handle)
{
    size_t at;
    for (at = 0; at < CALL_COUNT; at++) {
        mb_status status;
        if (CALLS[at].takes != takes || CALLS[at].ends || CALLS[at].make == call_batch_keep
            || CALLS[at].make == call_set_object || CALLS[at].make == call_producer_push_object) {
            continue;
        }
        outputs_reset();
        status = CALLS[at].make(handle);
        if (CALLS[at].make == call_batch_pin) {
            CHECK_OK(mb_batch_free(outputs.batch));
        }
        /* Two rows are set where the batch may have one; the results are those of the batch that is delivered. */
        if (status != MB_OK && status != MB_ERR_RESULT_COUNT && status != MB_ERR_NOT_FOUND && status <= 0) {
            FAIL("%s in %s answers %s", CALLS[at].name, PLACE_NAMES[the_place], mb_status_name(status));
        }
    }
}

static void make_calls_without_handle(void)
{
    const mb_status_info *statuses;
    const mb_option_info *table;
    mb_options options = defaults();
    mb_error *error = NULL;
    size_t count;
    uint32_t owner;
    CHECK_OK(mb_status_table(&statuses, &count));
    CHECK_OK(mb_option_table(&table, &count));
    CHECK_OK(mb_owner_new(&owner));
    CHECK_STATUS(mb_options_set(&options, "max_delay", "soon", &error), MB_ERR_INVALID_OPTION);
    CHECK_STATUS(mb_error_code(error), MB_ERR_INVALID_OPTION);
    CHECK_TEXT(mb_error_subject(error), "max_delay");
    CHECK(strlen(mb_error_message(error)) > 0);
    mb_error_free(error);
    CHECK_OK(mb_abi_check(MB_ABI_VERSION));
    CHECK(mb_api_table() != NULL);
}

static void make_every_call(void)
{
    size_t at;
    for (at = 0; at < CALL_COUNT; at++) {
        if (CALLS[at].takes == BATCHER && !CALLS[at].ends && CALLS[at].make != call_close) {
            outputs_reset();
            outputs.producer = NULL;
            check_call(&CALLS[at], batcher, inside(&CALLS[at]), PLACE_NAMES[the_place]);
            if (CALLS[at].make == call_producer_new) {
                mb_producer *producer = outputs.producer;
                make_every_call_of(PRODUCER, producer);
                CHECK_OK(mb_producer_free(producer));
            }
        }
    }
    CHECK_STATUS(mb_batcher_flush(batcher, MB_FOREVER), MB_ERR_REENTRANT);
    CHECK_STATUS(mb_batcher_flush_end(batcher, 0, MB_FOREVER), MB_ERR_REENTRANT);
    CHECK_OK(mb_batcher_room(batcher, MB_FOREVER));
    stats_of(batcher);
    if (the_place == IN_HANDLER) {
        make_every_call_of(BATCH, the_batch);
    }
    if (the_place == IN_ON_RESULT) {
        make_every_call_of(RESULTS, the_results);
    }
    make_calls_without_handle();
}

/* Another batcher is as outside, and so is map. */
static void use_another(void)
{
    static const int64_t numbers[3] = { 1, 2, 3 };
    mb_options options = defaults();
    mb_results *results = NULL;
    mb_batcher *other;
    int round;
    options.handler = echo;
    for (round = 0; round < 2; round++) {
        options.mode = round == 0 ? MB_MODE_THREADED : MB_MODE_MANUAL;
        other = made(&options);
        CHECK_OK(mb_batcher_push_int64(other, 1, 1));
        CHECK_OK(mb_batcher_flush(other, MB_FOREVER));
        CHECK_EQ(stats_of(other).ok, 1);
        CHECK_OK(mb_batcher_close(other, MB_FOREVER, NULL));
        CHECK_OK(mb_batcher_free(other));
    }
    CHECK_OK(mb_map_int64s(numbers, NULL, 3, NULL, echo, NULL, &results, NULL));
    CHECK_EQ(results_view(results).count, 3);
    CHECK_OK(mb_results_free(results));
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
    case MAKE_EVERY_CALL:
        make_every_call();
        break;
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
    the_batch = batch;
    visit(IN_HANDLER);
    /* After a close with time-out 0 this comes too late. */
    mb_batch_set_null(batch, 0);
    return MB_OK;
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    (void)user_data;
    (void)api;
    memcpy(&the_results, &results, sizeof the_results);
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
    /* The one pushed here, and in MAKE_EVERY_CALL one more. */
    SCENE_EQ(objects_released, the_act == MAKE_EVERY_CALL ? 2 : 1);
}

/* The user data is released when the batcher is no more. */
static void release_of_user_data(void *user_data)
{
    count_up(user_data);
    check_calls(BATCHER, batcher, MB_ERR_INVALID_HANDLE, "a batcher that releases its user data");
}

/* Free may come while it runs. */
static mb_status may_be_late(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    mb_batch_set_null(batch, 0);
    return MB_OK;
}

static void in_the_last_release(void)
{
    mb_options options = manual ? timeless() : defaults();
    released = 0;
    options.handler = may_be_late;
    options.handler_data = &released;
    options.handler_release = release_of_user_data;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EQ(released, 1);
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
    calls_ready();
    for (manual = 0; manual < 2; manual++) {
        for (place = 0; place < IN_LOG; place++) {
            play_at((enum place)place);
        }
        in_the_last_release();
    }
    for (manual = 0; manual < 2; manual++) {
        play_at(IN_LOG);
    }
    return 0;
}
