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

/* Free may come while it runs. */
static mb_status may_be_late(void *user_data, mb_batch *given, const mb_api *api)
{
    mb_status status = mb_batch_complete_ok(given);
    (void)user_data;
    (void)api;
    CHECK(status == MB_OK || status == MB_ERR_TOO_LATE);
    return MB_OK;
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
    handled(MB_MODE_THREADED);
    handled(MB_MODE_MANUAL);
    pulled(MB_MODE_THREADED);
    pulled(MB_MODE_MANUAL);
#ifndef WITHOUT_BUSY_FORKS
    at_any_moment();
#endif
    return 0;
}
