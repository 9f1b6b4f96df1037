/* P31: a fork between any two calls of a batcher's life, and at any moment of other threads' lives: the child gets FORKED
   at once, frees what it inherited, lives a life of its own and exits by exit(); the parent's life goes on as if
   nothing had happened. */

#include "calls.h"

#include <sys/wait.h>

static ledger book;
static mb_batcher *batcher;
static mb_producer *producer;
static mb_batch *batch;
static mb_results *results;

/* ---- what a child does -------------------------------------------------------------------------------------- */

/* A whole life, with a hook for exit. */
static void live(uint32_t mode)
{
    mb_options options = mode == MB_MODE_MANUAL ? timeless() : defaults();
    mb_batcher *mine;
    mb_producer *through = NULL;
    mb_error *error = NULL;
    mb_results *mapped = NULL;
    ledger child_book;
    uint64_t tag;
    ledger_open(&child_book, 40);
    options.handler = echo;
    options.on_result = note_results;
    options.result_data = &child_book;
    options.drain_at_exit = 20 * MB_S;
    mine = made(&options);
    CHECK_OK(mb_producer_new(mine, &through));
    for (tag = 0; tag < 40; tag++) {
        CHECK_OK(tag % 2 ? mb_batcher_push_string(mine, "text", 4, tag) : mb_producer_push_int64(through, 5, tag));
    }
    CHECK_OK(mb_producer_free(through));
    CHECK_OK(mb_batcher_flush(mine, MB_FOREVER));
    CHECK_OK(mb_batcher_close(mine, MB_FOREVER, NULL));
    CHECK_OK(mb_batcher_free(mine));
    CHECK_EXACTLY_ONCE(&child_book, 40);
    ledger_close(&child_book);
    CHECK_STATUS(mb_options_set(&options, "max_delay", "soon", &error), MB_ERR_INVALID_OPTION);
    mb_error_free(error);
    CHECK_OK(mb_map_int64s(call_int64s, NULL, 2, NULL, echo, NULL, &mapped, NULL));
    CHECK_OK(mb_results_free(mapped));
}

static void check_inherited(enum handle takes, void *handle)
{
    size_t at;
    for (at = 0; handle != NULL && at < CALL_COUNT; at++) {
        if (CALLS[at].takes == takes && !CALLS[at].ends) {
            outputs_reset();
            check_call(&CALLS[at], handle, MB_ERR_FORKED, "what was inherited");
        }
    }
}

/* Everything of the parent's that the child has, which may be nothing yet, or no more. */
static void use_inherited(int and_free)
{
    mb_status status;
    check_inherited(BATCHER, batcher);
    check_inherited(PRODUCER, producer);
    check_inherited(BATCH, batch);
    check_inherited(RESULTS, results);
    if (and_free) {
        status = mb_batch_free(batch);
        CHECK(status == MB_OK || status == MB_ERR_FORKED);
        CHECK_OK(mb_results_free(results));
        CHECK_OK(mb_producer_free(producer));
        status = mb_batcher_free(batcher);
        CHECK(status == MB_OK || status == MB_ERR_FORKED);
    }
}

static uint64_t forks;

#ifdef WITHOUT_BUSY_FORKS
/* In a fork of a process with threads, what their stacks pointed to looks leaked. The leak sanitizer asks this first. */
static int in_a_fork;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return in_a_fork;
}
#endif

static void fork_here(int line)
{
    int status = 0;
    uint64_t number = forks++;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        watchdog();
#ifdef WITHOUT_BUSY_FORKS
        in_a_fork = 1;
#endif
        use_inherited((int)(number & 1));
        live(number & 2 ? MB_MODE_MANUAL : MB_MODE_THREADED);
        if (number & 4) {
            exit(42);
        }
        _exit(42);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 42) {
        FAIL("the child forked at line %d (fork %d) ended with %d", line, (int)number, status);
    }
}

#define HERE fork_here(__LINE__)

/* ---- between the calls of a life ---------------------------------------------------------------------------- */

static mb_status forks_and_echoes(void *user_data, mb_batch *given, const mb_api *api)
{
    batch = given;
    HERE;
    echo(user_data, given, api);
    HERE;
    batch = NULL;
    return MB_OK;
}

static void forks_and_notes(void *user_data, const mb_results *given, const mb_api *api)
{
    HERE;
    note_results(user_data, given, api);
    HERE;
}

/* Values with handlers, in both modes. */
static void handled(uint32_t mode)
{
    mb_options options = mode == MB_MODE_MANUAL ? timeless() : defaults();
    mb_producer *ending;
    uint64_t mark;
    ledger_open(&book, 3);
    options.handler = forks_and_echoes;
    options.on_result = forks_and_notes;
    options.result_data = &book;
    options.drain_at_exit = 20 * MB_S;
    HERE;
    batcher = made(&options);
    HERE;
    CHECK_OK(mb_producer_new(batcher, &producer));
    HERE;
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 0));
    HERE;
    CHECK_OK(mb_producer_push_string(producer, "text", 4, 1));
    HERE;
    CHECK_OK(mb_batcher_seal(batcher));
    HERE;
    CHECK_OK(mb_batcher_flush_begin(batcher, &mark));
    HERE;
    CHECK_OK(mb_batcher_flush_end(batcher, mark, MB_FOREVER));
    HERE;
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 2));
    HERE;
    /* Forgotten first: a handler may fork in between, and a handle that has ended is no handle of the parent's. */
    ending = producer;
    producer = NULL;
    CHECK_OK(mb_producer_free(ending));
    HERE;
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    HERE;
    CHECK_OK(mb_batcher_free(batcher));
    batcher = NULL;
    HERE;
    CHECK_EXACTLY_ONCE(&book, 3);
    ledger_close(&book);
}

/* A host that pulls both ways. */
static void pulled(uint32_t mode)
{
    mb_options options = mode == MB_MODE_MANUAL ? timeless() : defaults();
    options.results = MB_RESULTS_PULL;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64s(batcher, call_int64s, NULL, 2, NULL, 0, NULL, NULL));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, MB_FOREVER, &batch));
    HERE;
    CHECK_OK(mb_batch_set_int64s(batch, call_int64s, NULL, 2));
    HERE;
    CHECK_OK(mb_batch_complete(batch));
    batch = NULL;
    HERE;
    CHECK_OK(mb_batcher_next_results(batcher, MB_FOREVER, &results));
    HERE;
    CHECK_OK(mb_results_free(results));
    results = NULL;
    HERE;
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_OK(mb_batcher_free(batcher));
    batcher = NULL;
}

/* Free may come while it runs. */
static mb_status may_be_late(void *user_data, mb_batch *given, const mb_api *api)
{
    mb_status status = mb_batch_complete_ok(given);
    (void)user_data;
    (void)api;
    CHECK(status == MB_OK || status == MB_ERR_TOO_LATE);
    return MB_OK;
}

/* ---- in all other callbacks, and between all other calls ------------------------------------------------------ */

static uint64_t releases;
static uint64_t objects;
static uint64_t lines;
static uint64_t ended;
static mb_batch *kept;
static uint64_t keeps;

static void forks_in_release(void *user_data)
{
    (void)user_data;
    HERE;
    count_up(&releases);
}

static void forks_in_object_release(void *user_data, uint64_t word)
{
    (void)user_data;
    (void)word;
    HERE;
    count_up(&objects);
}

static void forks_in_log(void *user_data, int32_t level, const char *message, size_t length)
{
    (void)user_data;
    (void)level;
    (void)message;
    (void)length;
    HERE;
    count_up(&lines);
}

/* Keeps integers, ends its thread once over a string, answers the rest. */
static mb_status of_all_sorts(void *user_data, mb_batch *given, const mb_api *api)
{
    mb_batch_view view = batch_view(given);
    (void)user_data;
    (void)api;
    batch = given;
    HERE;
    batch = NULL;
    if (view.kind == MB_KIND_INT64) {
        CHECK_OK(mb_batch_keep(given));
        kept = given;
        count_up(&keeps);
    } else if (view.kind == MB_KIND_STRING && count_up(&ended) == 1) {
        pthread_exit(NULL);
    } else {
        may_be_late(NULL, given, api);
    }
    return MB_OK;
}

static void *run_it(void *unused)
{
    (void)unused;
    mb_batcher_run(batcher);
    return NULL;
}

static void drive(uint32_t mode)
{
    CHECK_OK(mb_batcher_seal(batcher));
    if (mode == MB_MODE_MANUAL) {
        joined(started(run_it, NULL));
    }
}

static void all_sorts(uint32_t mode, mb_status (*ending)(mb_batcher *))
{
    mb_options options = mode == MB_MODE_MANUAL ? timeless() : defaults();
    mb_push_options push = push_options();
    mb_value text = text_value(MB_KIND_STRING, "stays where it is", 17);
    mb_batcher *gone;
    mb_batch *pinned = NULL;
    mb_shared shared;
    mb_stats stats;
    int64_t time;
    int32_t fd;
    uint64_t mark;
    char page[64];
    releases = objects = lines = ended = keeps = 0;
    options.owner = 1;
    options.max_delay = MB_FOREVER;
    options.max_in_flight = 4;
    options.handler = of_all_sorts;
    options.on_result = forks_and_notes;
    options.result_data = &book;
    options.object_release = forks_in_object_release;
    options.log = forks_in_log;
    options.handler_release = options.result_release = options.object_data_release = options.log_release =
        forks_in_release;
    ledger_open(&book, 40);
    batcher = made(&options);
    CHECK_OK(mb_batcher_fd(batcher, &fd));
    HERE;
    CHECK_OK(mb_batcher_push_object(batcher, 1, 5, 0, 0));
    HERE;
    CHECK_OK(mb_batcher_push_null(batcher, 1));
    drive(mode);
    wait_count(&objects, 1);
    /* A kept batch. */
    CHECK_OK(mb_batcher_push_int64s(batcher, call_int64s, NULL, 2, NULL, 2, NULL, NULL));
    HERE;
    drive(mode);
    wait_count(&keeps, 1);
    batch = kept;
    HERE;
    CHECK_OK(mb_batch_pin(kept, &pinned));
    HERE;
    batch = NULL;
    CHECK_OK(mb_batch_complete_ok(kept));
    HERE;
    CHECK_OK(mb_batch_free(pinned));
    HERE;
    /* A thread that ends, of which the log tells; an owned push. */
    CHECK_OK(mb_batcher_push_string(batcher, "ends the thread", 15, 4));
    drive(mode);
    wait_count(&lines, 1);
    push.release = forks_in_release;
    CHECK_OK(mb_batcher_push_value(batcher, &text, 5, &push));
    HERE;
    drive(mode);
    wait_count(&releases, 1);
    /* What does not last. */
    CHECK_OK(mb_batcher_push_null(batcher, 6));
    CHECK_OK(mb_batcher_cancel(batcher, 6, NULL));
    HERE;
    push.release = NULL;
    push.deadline = 1;
    CHECK_OK(mb_batcher_push_value(batcher, &text, 7, &push));
    HERE;
    CHECK_OK(mb_batcher_room(batcher, 0));
    HERE;
    CHECK_OK(mb_batcher_check(batcher, &text, NULL));
    HERE;
    stats.struct_size = sizeof stats;
    CHECK_OK(mb_batcher_stats(batcher, &stats));
    HERE;
    CHECK_OK(mb_batcher_stats_text(batcher, page, sizeof page, NULL));
    HERE;
    shared.struct_size = sizeof shared;
    CHECK_OK(mb_batcher_share(batcher, &shared));
    HERE;
    CHECK_OK(mb_batcher_next_due(batcher, &time));
    CHECK_OK(mb_batcher_now(batcher, &time));
    HERE;
    if (mode == MB_MODE_MANUAL) {
        CHECK_OK(mb_batcher_advance(batcher, time + 10));
        HERE;
    }
    CHECK_OK(mb_batcher_flush_begin(batcher, &mark));
    CHECK(mb_batcher_flush_reached(batcher, mark) <= MB_OK);
    HERE;
    CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
    HERE;
    CHECK_OK(mb_batcher_push_object(batcher, 1, 6, 0, 8));
    CHECK_OK(mb_batcher_push_float64(batcher, 0.5, 9));
    /* Forgotten first, as it is no handle in the last releases. */
    gone = batcher;
    batcher = NULL;
    CHECK_OK(ending(gone));
    wait_count(&releases, 5);
    HERE;
    CHECK_EQ(releases, 5);
    CHECK_EQ(objects, 2);
    CHECK_EXACTLY_ONCE(&book, 10);
    ledger_close(&book);
}

/* Inside map, where there is no batcher: it goes on in both processes, and its results are both's. */
static pid_t forked_in_map;

static mb_status forks_in_map(void *user_data, mb_batch *given, const mb_api *api)
{
    HERE;
    if (batch_view(given).number == 1) {
        forked_in_map = fork();
        CHECK(forked_in_map >= 0);
    }
    return echo(user_data, given, api);
}

static void mapped(void)
{
    mb_map_options halves;
    mb_results *all = NULL;
    int status = 0;
    memset(&halves, 0, sizeof halves);
    halves.struct_size = sizeof halves;
    halves.batches = 2;
    CHECK_OK(mb_map_int64s(call_int64s, NULL, 2, &halves, forks_in_map, NULL, &all, NULL));
    CHECK_EQ(results_view(all).count, 2);
    CHECK_EQ(((const int64_t *)results_view(all).values)[1], 2);
    HERE;
    CHECK_OK(mb_results_free(all));
    if (forked_in_map == 0) {
        _exit(42);
    }
    CHECK_EQ(waitpid(forked_in_map, &status, 0), forked_in_map);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

#ifndef WITHOUT_BUSY_FORKS

/* ---- while other threads live ------------------------------------------------------------------------------- */

static uint64_t over;
static uint64_t lives;
static uint64_t pushed;

/* Pushes all the time: the locks of the queue may be held at a fork. */
static void *pushes(void *unused)
{
    (void)unused;
    while (!counted(&over)) {
        CHECK_OK(mb_batcher_push_string(batcher, "a string of the parent", 22, 0));
        count_up(&pushed);
    }
    return NULL;
}

/* Makes and frees batchers all the time: so may what the library has once for all of them. */
static void *makes(void *mode)
{
    while (!counted(&over)) {
        mb_options options = mode ? timeless() : defaults();
        mb_batcher *mine;
        options.handler = may_be_late;
        options.drain_at_exit = 20 * MB_S;
        mine = made(&options);
        CHECK_OK(mb_batcher_push_int64(mine, 1, 1));
        CHECK_OK(mb_batcher_free(mine));
        count_up(&lives);
    }
    return NULL;
}

/* Makes and frees what is not a batcher. */
static void *asks(void *unused)
{
    (void)unused;
    while (!counted(&over)) {
        mb_options options = defaults();
        mb_error *error = NULL;
        mb_producer *mine = NULL;
        mb_results *mapped = NULL;
        CHECK_STATUS(mb_options_set(&options, "max_delay", "soon", &error), MB_ERR_INVALID_OPTION);
        mb_error_free(error);
        CHECK_OK(mb_producer_new(batcher, &mine));
        CHECK_OK(mb_producer_push_int64(mine, 1, 0));
        CHECK_OK(mb_producer_free(mine));
        count_up(&pushed);
        CHECK_OK(mb_map_int64s(call_int64s, NULL, 2, NULL, echo, NULL, &mapped, NULL));
        CHECK_OK(mb_results_free(mapped));
    }
    return NULL;
}

/* So many wait for exit that whoever is taken off their list holds its lock for long. */
#define CROWD 2000
#define FORKS 120

static void at_any_moment(void)
{
    static mb_batcher *crowd[CROWD];
    mb_options options = timeless();
    pthread_t threads[4];
    mb_stats stats;
    int at;
    options.handler = echo;
    options.drain_at_exit = 20 * MB_S;
    for (at = 0; at < CROWD; at++) {
        crowd[at] = made(&options);
    }
    options = defaults();
    options.handler = echo;
    batcher = made(&options);
    CHECK_OK(mb_producer_new(batcher, &producer));
    threads[0] = started(pushes, NULL);
    threads[1] = started(makes, NULL);
    threads[2] = started(makes, &options);
    threads[3] = started(asks, NULL);
    for (at = 0; at < FORKS; at++) {
        wait_count(&lives, counted(&lives) + 1);
        HERE;
    }
    count_up(&over);
    for (at = 0; at < 4; at++) {
        joined(threads[at]);
    }
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    stats = stats_of(batcher);
    CHECK_EQ(stats.accepted, pushed);
    CHECK_EQ(stats.ok, pushed);
    CHECK_OK(mb_producer_free(producer));
    CHECK_OK(mb_batcher_free(batcher));
    for (at = 0; at < CROWD; at++) {
        CHECK_OK(mb_batcher_free(crowd[at]));
    }
}

#endif

int main(void)
{
    watchdog();
    calls_ready();
    handled(MB_MODE_MANUAL);
    pulled(MB_MODE_THREADED);
    pulled(MB_MODE_MANUAL);
    all_sorts(MB_MODE_MANUAL, mb_batcher_free);
    all_sorts(MB_MODE_MANUAL, mb_batcher_abandon);
    mapped();
#ifndef WITHOUT_BUSY_FORKS
    handled(MB_MODE_THREADED);
    all_sorts(MB_MODE_THREADED, mb_batcher_free);
    all_sorts(MB_MODE_THREADED, mb_batcher_abandon);
    at_any_moment();
#endif
    return 0;
}
