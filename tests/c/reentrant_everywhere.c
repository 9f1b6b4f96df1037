/* P25: every function of the header from inside every callback of the header: the whole table. None deadlocks, each has the
   answer that the header gives it, and what was accepted, given and held comes back.

   A scene is one batcher and one place where its host's code is called; there every function is called once, the last of
   them ends the batcher. tests/c/tables.rs compares the functions and the places with the header. */

#include "calls.h"

/* Who calls: a callback of a batcher that lives, one that comes when it is gone, or one of no batcher. */
enum group { INSIDE, GONE, OUTSIDE };

enum place {
    IN_HANDLER, IN_HANDLER_OF_KIND, IN_ON_RESULT, IN_OBJECT_RELEASE, IN_PUSH_RELEASE, IN_LOG,
    IN_HANDLER_RELEASE, IN_RELEASE_OF_KIND, IN_RESULT_RELEASE, IN_OBJECT_DATA_RELEASE, IN_LOG_RELEASE,
    IN_MAP_INT64S, IN_MAP_FLOAT64S, IN_MAP_STRINGS, IN_MAP_VALUES, PLACES
};

static const struct { const char *name; enum group group; } PLACE[] = {
    { "mb_options.handler", INSIDE },            { "mb_handler.call", INSIDE },
    { "mb_options.on_result", INSIDE },          { "mb_options.object_release", INSIDE },
    { "mb_push_options.release", INSIDE },       { "mb_options.log", INSIDE },
    { "mb_options.handler_release", GONE },      { "mb_handler.release", GONE },
    { "mb_options.result_release", GONE },       { "mb_options.object_data_release", GONE },
    { "mb_options.log_release", GONE },
    { "mb_map_int64s.handler", OUTSIDE },        { "mb_map_float64s.handler", OUTSIDE },
    { "mb_map_strings.handler", OUTSIDE },       { "mb_map_values.handler", OUTSIDE },
};

/* Batches that are held while the scene is played, one for each call that ends one. */
#define HELD 4

static enum place the_place;
static int manual;
/* No handlers: the host pulls batches. Or it pulls results. */
static int pulled;
static int pulls_results;
static int abandons;

static mb_batcher *batcher;
static mb_producer *producer;
static mb_batch *held[HELD];
static uint64_t held_count;
/* What the callback borrows, if it borrows one; the others are held. */
static mb_batch *borrowed_batch;
static mb_results *borrowed_results;
static mb_results *own_results;

static uint64_t visits;
static uint64_t acted;
static uint64_t released;
static uint64_t objects_given;
static uint64_t objects_released;
static uint64_t pushes_released;
/* By place: which functions were called there. */
static int made_there[PLACES][CALL_COUNT];

/* ---- what each call answers ------------------------------------------------------------------------------- */

static int is_one_of(const call *made, mb_status (*const *makes)(void *), size_t count)
{
    size_t at;
    for (at = 0; at < count; at++) {
        if (made->make == makes[at]) {
            return 1;
        }
    }
    return 0;
}

#define IS_ONE_OF(made, ...) \
    is_one_of(made, (mb_status (*const[])(void *)) { __VA_ARGS__ }, \
              sizeof((mb_status (*const[])(void *)) { __VA_ARGS__ }) / sizeof(mb_status (*)(void *)))

static mb_status of_batcher(const call *made)
{
    if (PLACE[the_place].group == GONE) {
        return MB_ERR_INVALID_HANDLE;
    }
    if (made->make == call_cancel) {
        return MB_ERR_NOT_FOUND;
    }
    if (!manual && IS_ONE_OF(made, call_run, call_advance)) {
        return MB_ERR_WRONG_MODE;
    }
    if ((!pulled && made->make == call_next_batch) || (!pulls_results && made->make == call_next_results)) {
        return MB_ERR_WRONG_MODE;
    }
    if (PLACE[the_place].group == OUTSIDE) {
        /* What was pushed here waits for somebody who pulls. */
        return made->make == call_flush ? MB_ERR_IN_PROGRESS : made->make == call_close ? MB_ERR_TIMEOUT : MB_OK;
    }
    if (IS_ONE_OF(made, call_flush, call_flush_end, call_run, call_advance, call_next_batch, call_next_results)) {
        return MB_ERR_REENTRANT;
    }
    return made->make == call_close ? MB_ERR_IN_PROGRESS : MB_OK;
}

static mb_status of_producer(const call *made)
{
    return PLACE[the_place].group == GONE && !made->ends ? MB_ERR_CLOSED : MB_OK;
}

static mb_status of_batch(const call *made, int is_borrowed)
{
    int reads = IS_ONE_OF(made, call_batch_view, call_batch_value, call_batch_gather);
    if (PLACE[the_place].group == OUTSIDE) {
        /* Batches of map are neither kept nor completed nor pinned. */
        return made->ends || IS_ONE_OF(made, call_batch_keep, call_batch_pin) ? MB_ERR_WRONG_MODE
               : made->make == call_set_object                                 ? MB_ERR_WRONG_OWNER
                                                                               : MB_OK;
    }
    if (PLACE[the_place].group == GONE) {
        return reads || IS_ONE_OF(made, call_batch_free, call_batch_pin) ? MB_OK : MB_ERR_TOO_LATE;
    }
    return made->make == call_batch_keep && !is_borrowed ? MB_ERR_INVALID_ARGUMENT : MB_OK;
}

static mb_status of_results(const call *made, int is_borrowed)
{
    return made->make == call_results_error  ? MB_ERR_NOT_FOUND
           : is_borrowed && made->ends       ? MB_ERR_WRONG_MODE
                                             : MB_OK;
}

/* ---- all calls -------------------------------------------------------------------------------------------- */

static void make(size_t at, void *handle, mb_status expected)
{
    mb_status status;
    outputs_reset();
    outputs.producer = NULL;
    outputs.results = NULL;
    status = CALLS[at].make(handle);
    if (status != expected) {
        FAIL("%s in %s, %s, %s, answers %s, not %s", CALLS[at].name, PLACE[the_place].name,
             manual ? "manual" : "threaded", pulled ? "pulled" : "handled", mb_status_name(status),
             mb_status_name(expected));
    }
    made_there[the_place][at] += 1;
    if (status == MB_OK) {
        objects_given += (uint64_t)IS_ONE_OF(&CALLS[at], call_push_object, call_producer_push_object, call_set_object);
        if (IS_ONE_OF(&CALLS[at], call_batch_pin, call_next_batch)) {
            CHECK_OK(mb_batch_free(outputs.batch));
        }
        if (CALLS[at].make == call_next_results) {
            CHECK_OK(mb_results_free(outputs.results));
        }
        if (CALLS[at].make == call_producer_new) {
            CHECK_OK(mb_producer_free(outputs.producer));
        }
    }
}

static void make_all_of_batcher(void)
{
    enum group group = PLACE[the_place].group;
    size_t at;
    for (at = 0; at < CALL_COUNT; at++) {
        if (CALLS[at].takes == BATCHER && !CALLS[at].ends && CALLS[at].make != call_close) {
            make(at, batcher, of_batcher(&CALLS[at]));
        }
    }
    /* What would wait for ever. */
    if (group == INSIDE) {
        CHECK_STATUS(mb_batcher_flush(batcher, MB_FOREVER), MB_ERR_REENTRANT);
        CHECK_STATUS(mb_batcher_flush_end(batcher, 0, MB_FOREVER), MB_ERR_REENTRANT);
        CHECK_STATUS(mb_batcher_next_batch(batcher, MB_FOREVER, &outputs.batch),
                     pulled ? MB_ERR_REENTRANT : MB_ERR_WRONG_MODE);
        CHECK_STATUS(mb_batcher_next_results(batcher, MB_FOREVER, &outputs.results),
                     pulls_results ? MB_ERR_REENTRANT : MB_ERR_WRONG_MODE);
        CHECK_OK(mb_batcher_room(batcher, MB_FOREVER));
        stats_of(batcher);
    }
}

static void make_all_of_producer(void)
{
    size_t at;
    for (at = 0; at < CALL_COUNT; at++) {
        if (CALLS[at].takes == PRODUCER) {
            make(at, producer, of_producer(&CALLS[at]));
        }
    }
    producer = NULL;
}

/* One batch for everything that does not end it and for the first that does, another for each of the others. */
static void make_all_of_batch(void)
{
    mb_batch *one = borrowed_batch != NULL ? borrowed_batch : held[0];
    size_t next = 1;
    size_t at;
    for (at = 0; at < CALL_COUNT; at++) {
        if (CALLS[at].takes == BATCH && !CALLS[at].ends) {
            make(at, one, of_batch(&CALLS[at], borrowed_batch != NULL));
        }
    }
    for (at = 0; at < CALL_COUNT; at++) {
        if (CALLS[at].takes == BATCH && CALLS[at].ends) {
            make(at, one, of_batch(&CALLS[at], borrowed_batch != NULL));
            if (PLACE[the_place].group != OUTSIDE) {
                one = next < HELD ? held[next++] : NULL;
            }
        }
    }
    if (borrowed_batch != NULL && PLACE[the_place].group != OUTSIDE) {
        CHECK_OK(mb_batch_free(held[0]));
    }
}

static void make_all_of_results(void)
{
    mb_results *one = borrowed_results != NULL ? borrowed_results : own_results;
    size_t at;
    for (at = 0; at < CALL_COUNT; at++) {
        if (CALLS[at].takes == RESULTS) {
            make(at, one, of_results(&CALLS[at], borrowed_results != NULL));
        }
    }
    if (borrowed_results != NULL) {
        CHECK_OK(mb_results_free(own_results));
    }
    own_results = NULL;
}

static void make_the_last(void)
{
    size_t at;
    for (at = 0; at < CALL_COUNT; at++) {
        if (CALLS[at].make == call_close) {
            make(at, batcher, of_batcher(&CALLS[at]));
        }
    }
    for (at = 0; at < CALL_COUNT; at++) {
        if (CALLS[at].make == (abandons ? call_abandon : call_free)) {
            make(at, batcher, of_batcher(&CALLS[at]));
        }
    }
    check_calls(BATCHER, batcher, MB_ERR_INVALID_HANDLE, "a batcher that was freed in its callback");
}

static void visit(enum place here)
{
    if (here != the_place || counted(&held_count) < HELD || count_up(&visits) > 1) {
        return;
    }
    make_plain_calls();
    make_all_of_batcher();
    make_all_of_producer();
    make_all_of_batch();
    make_all_of_results();
    make_the_last();
    if (PLACE[here].group == INSIDE) {
        /* What this callback may still use is not gone. */
        CHECK_EQ(counted(&released), 0);
    }
    count_up(&acted);
}

/* ---- the places ------------------------------------------------------------------------------------------- */

static mb_status of_any_kind(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    if (the_place == IN_LOG && counted(&visits) == 0) {
        pthread_exit(NULL);
    }
    borrowed_batch = batch;
    visit(IN_HANDLER);
    borrowed_batch = NULL;
    /* Too late, where all was done. */
    mb_batch_complete_ok(batch);
    return MB_OK;
}

/* Keeps the first batches. */
static mb_status of_integers(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    if (counted(&held_count) < HELD) {
        CHECK_OK(mb_batch_keep(batch));
        held[held_count] = batch;
        count_up(&held_count);
        return MB_OK;
    }
    borrowed_batch = batch;
    visit(IN_HANDLER_OF_KIND);
    borrowed_batch = NULL;
    mb_batch_complete_ok(batch);
    return MB_OK;
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    (void)user_data;
    (void)api;
    memcpy(&borrowed_results, &results, sizeof borrowed_results);
    visit(IN_ON_RESULT);
    borrowed_results = NULL;
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
    CHECK(level >= 0 && level <= 3 && length > 0 && message[0] != 0);
    visit(IN_LOG);
}

#define RELEASE(name, place) \
    static void name(void *user_data) \
    { \
        (void)user_data; \
        visit(place); \
        count_up(&released); \
    }

RELEASE(handler_release, IN_HANDLER_RELEASE)
RELEASE(release_of_kind, IN_RELEASE_OF_KIND)
RELEASE(result_release, IN_RESULT_RELEASE)
RELEASE(object_data_release, IN_OBJECT_DATA_RELEASE)
RELEASE(log_release, IN_LOG_RELEASE)

/* ---- scenes ----------------------------------------------------------------------------------------------- */

static void *run_it(void *unused)
{
    (void)unused;
    mb_batcher_run(batcher);
    return NULL;
}

/* Lets the batcher do what was pushed: in a thread that may end. */
static void drive(void)
{
    if (manual) {
        joined(started(run_it, NULL));
    }
}

static mb_options options_of_scene(void)
{
    mb_options options = manual ? timeless() : defaults();
    options.max_delay = MB_FOREVER;
    options.max_batch_size = 2;
    options.max_in_flight = 2 * HELD;
    options.owner = 1;
    if (!pulled) {
        options.handler = of_any_kind;
        options.by_kind[MB_KIND_INT64].call = of_integers;
    }
    options.by_kind[MB_KIND_INT64].release = release_of_kind;
    options.handler_release = handler_release;
    if (pulls_results) {
        options.results = MB_RESULTS_PULL;
    } else {
        options.on_result = on_result;
    }
    options.result_release = result_release;
    options.object_release = object_release;
    options.object_data_release = object_data_release;
    options.log = log_line;
    options.log_release = log_release;
    return options;
}

static void begin(void)
{
    visits = acted = released = objects_given = objects_released = pushes_released = held_count = 0;
    borrowed_batch = NULL;
    borrowed_results = NULL;
    CHECK_OK(mb_map_int64s(call_int64s, NULL, 2, NULL, echo, NULL, &own_results, NULL));
}

/* Of another batcher, which is gone: while batches of its own are held, a batcher keeps its user data. */
static void hold_batches_of_another(void)
{
    mb_options options = timeless();
    mb_batcher *other;
    int at;
    options.max_in_flight = HELD;
    options.owner = 1;
    other = made(&options);
    CHECK_OK(mb_producer_new(other, &producer));
    for (at = 0; at < HELD; at++) {
        CHECK_OK(mb_batcher_push_int64s(other, call_int64s, NULL, 2, NULL, 0, NULL, NULL));
        CHECK_OK(mb_batcher_seal(other));
        CHECK_OK(mb_batcher_next_batch(other, 0, &held[at]));
    }
    CHECK_OK(mb_batcher_free(other));
    held_count = HELD;
}

static void hold_batches(void)
{
    int at;
    CHECK_OK(mb_producer_new(batcher, &producer));
    for (at = 0; at < 2 * HELD; at++) {
        CHECK_OK(mb_batcher_push_int64(batcher, at, 0));
    }
    if (pulled) {
        for (at = 0; at < HELD; at++) {
            CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &held[at]));
        }
        held_count = HELD;
    }
    drive();
    wait_count(&held_count, HELD);
}

/* What makes the callback come. */
static void provoke(void)
{
    mb_push_options owned = push_options();
    mb_value text = text_value(MB_KIND_STRING, "owned", 5);
    mb_batch *batch = NULL;
    if (PLACE[the_place].group == GONE) {
        mb_batcher *gone = batcher;
        CHECK_OK(abandons ? mb_batcher_abandon(gone) : mb_batcher_free(gone));
        return;
    }
    owned.release = push_release;
    if (the_place == IN_HANDLER_OF_KIND) {
        CHECK_OK(mb_batcher_push_int64(batcher, 1, 0));
        CHECK_OK(mb_batcher_push_int64(batcher, 2, 0));
    } else {
        CHECK_OK(mb_batcher_push_object(batcher, 1, 7, 0, 0));
        objects_given += 1;
        CHECK_OK(mb_batcher_push_value(batcher, &text, 0, &owned));
    }
    if (pulled) {
        CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
        CHECK_OK(mb_batch_complete_ok(batch));
    }
    drive();
}

static void play(void)
{
    mb_options options = options_of_scene();
    begin();
    batcher = made(&options);
    if (PLACE[the_place].group == GONE) {
        hold_batches_of_another();
    } else {
        hold_batches();
    }
    provoke();
    wait_count(&acted, 1);
    wait_count(&released, 5);
    wait_count(&objects_released, objects_given);
    CHECK_EQ(released, 5);
    CHECK_EQ(objects_released, objects_given);
    CHECK_EQ(pushes_released, PLACE[the_place].group == GONE || the_place == IN_HANDLER_OF_KIND ? 0 : 1);
}

/* Inside map every batcher is another. */
static mb_status of_map(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)api;
    borrowed_batch = batch;
    visit(*(enum place *)user_data);
    borrowed_batch = NULL;
    return MB_OK;
}

static void play_map(void)
{
    mb_options options = timeless();
    mb_results *results = NULL;
    mb_status status;
    begin();
    held_count = HELD;
    options.owner = 1;
    options.object_release = object_release;
    options.results = MB_RESULTS_PULL;
    batcher = made(&options);
    CHECK_OK(mb_producer_new(batcher, &producer));
    /* So that there is a batch, and a set, to pull. */
    pulled = pulls_results = 1;
    manual = 1;
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &held[0]));
    CHECK_OK(mb_batch_complete_ok(held[0]));
    CHECK_OK(mb_batcher_push_int64(batcher, 2, 2));
    CHECK_OK(mb_batcher_seal(batcher));
    status = the_place == IN_MAP_INT64S ? mb_map_int64s(call_int64s, NULL, 2, NULL, of_map, &the_place, &results, NULL)
             : the_place == IN_MAP_FLOAT64S
                 ? mb_map_float64s(call_float64s, NULL, 2, NULL, of_map, &the_place, &results, NULL)
             : the_place == IN_MAP_STRINGS
                 ? mb_map_strings("ab", call_offsets, NULL, 2, NULL, of_map, &the_place, &results, NULL)
                 : mb_map_values(call_values, 2, NULL, of_map, &the_place, &results, NULL);
    CHECK_OK(status);
    CHECK_EQ(acted, 1);
    CHECK_OK(mb_results_free(results));
    CHECK_EQ(objects_released, objects_given);
    pulled = pulls_results = 0;
}

static void play_at(enum place place)
{
    the_place = place;
    if (PLACE[place].group == OUTSIDE) {
        play_map();
        return;
    }
    for (manual = 0; manual < 2; manual++) {
        pulled = pulls_results = 0;
        play();
        if (place == IN_HANDLER || place == IN_HANDLER_OF_KIND) {
            pulls_results = 1;
            play();
        } else if (PLACE[place].group == INSIDE && place != IN_LOG) {
            pulled = 1;
            play();
        }
    }
}

int main(void)
{
    int place;
    size_t at;
    watchdog();
    calls_ready();
    for (place = 0; place < PLACES; place++) {
        for (abandons = 0; abandons < 2; abandons++) {
            play_at((enum place)place);
        }
        for (at = 0; at < CALL_COUNT; at++) {
            if (made_there[place][at] == 0) {
                FAIL("%s was not called in %s", CALLS[at].name, PLACE[place].name);
            }
        }
    }
    return 0;
}
