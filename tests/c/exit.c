/* P32: with drain_at_exit, exit() waits a bounded time for what is queued; without it, it does not. Both end. */

#include "kit.h"

#include <sys/mman.h>
#include <sys/wait.h>

#define PUSHED 500

/* Shared with the child, and there still when it is gone. */
static struct board {
    uint64_t handled;
    uint64_t delivered;
    uint64_t started;
    uint64_t released;
} *board;

/* This process is a fork of one that had threads. */
static int without_parents_threads;

#ifdef WITHOUT_LEAKS_OF_FORKS
/* The leak sanitizer asks this before it looks. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return without_parents_threads;
}
#endif

static mb_status slow(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = batch_view(batch);
    struct timespec pause = { 0, 1000000 };
    count_up(&board->started);
    nanosleep(&pause, NULL);
    __atomic_add_fetch(&board->handled, view.count, __ATOMIC_SEQ_CST);
    (void)user_data;
    (void)api;
    /* Too late, if the batcher was freed meanwhile. */
    mb_batch_complete_ok(batch);
    return MB_OK;
}

static mb_status never_returns(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)batch;
    (void)api;
    count_up(&board->started);
    for (;;) {
        pause();
    }
    return MB_OK;
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    (void)user_data;
    (void)api;
    __atomic_add_fetch(&board->delivered, results_view(results).count, __ATOMIC_SEQ_CST);
}

static mb_batcher *with_values(mb_handler_fn handler, int64_t drain)
{
    mb_options options = defaults();
    mb_batcher *batcher;
    int at;
    options.handler = handler;
    options.on_result = on_result;
    options.drain_at_exit = drain;
    options.max_batch_size = 10;
    options.result_release = count_release;
    options.result_data = &board->released;
    batcher = made(&options);
    for (at = 0; at < PUSHED; at++) {
        CHECK_OK(mb_batcher_push_int64(batcher, at, (uint64_t)at));
    }
    return batcher;
}

/* ---- what children do -------------------------------------------------------------------------------------- */

static void drains(void)
{
    with_values(slow, 20 * MB_S);
}

/* Two of them, and one that was freed before. */
static void drains_all(void)
{
    mb_batcher *freed = with_values(slow, 20 * MB_S);
    with_values(slow, 20 * MB_S);
    with_values(slow, 20 * MB_S);
    CHECK_OK(mb_batcher_close(freed, MB_FOREVER, NULL));
    CHECK_OK(mb_batcher_free(freed));
}

static void does_not(void)
{
    with_values(slow, 0);
}

static void is_bounded(void)
{
    with_values(never_returns, 30 * MB_MS);
    wait_count(&board->started, 1);
}

static void was_freed(void)
{
    CHECK_OK(mb_batcher_free(with_values(slow, 20 * MB_S)));
}

/* A manual batcher is driven by exit. */
static void by_hand(void)
{
    mb_options options = timeless();
    mb_batcher *batcher;
    int at;
    options.handler = slow;
    options.on_result = on_result;
    options.drain_at_exit = 20 * MB_S;
    options.max_batch_size = 10;
    batcher = made(&options);
    for (at = 0; at < PUSHED; at++) {
        CHECK_OK(mb_batcher_push_int64(batcher, at, (uint64_t)at));
    }
}

/* A fork of a process that drains has nothing to drain. */
static void forked(void)
{
    int status = 0;
    pid_t child;
    with_values(slow, 20 * MB_S);
    child = fork();
    if (child == 0) {
        watchdog();
        without_parents_threads += 1;
        exit(42);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

/* A batcher of the child's own is drained, its parent's is not. */
static void own_in_a_fork(void)
{
    int status = 0;
    mb_batcher *parents = with_values(slow, 20 * MB_S);
    pid_t child;
    CHECK_OK(mb_batcher_close(parents, MB_FOREVER, NULL));
    child = fork();
    if (child == 0) {
        watchdog();
        without_parents_threads += 1;
        with_values(slow, 20 * MB_S);
        exit(42);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

/* Exit inside a callback: what that callback holds cannot end before it, and nobody waits for it. */
static uint64_t exits_in_handler;
static uint64_t exits_in_on_result;

static mb_status exits(void *user_data, mb_batch *batch, const mb_api *api)
{
    if (counted(&exits_in_handler)) {
        exit(42);
    }
    return slow(user_data, batch, api);
}

static void exits_on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    on_result(user_data, results, api);
    if (counted(&exits_in_on_result)) {
        exit(42);
    }
}

static void in_a_callback(uint32_t mode)
{
    mb_options options = mode == MB_MODE_MANUAL ? timeless() : defaults();
    mb_batcher *batcher;
    int at;
    options.handler = exits;
    options.on_result = exits_on_result;
    options.drain_at_exit = 20 * MB_S;
    options.max_delay = MB_FOREVER;
    batcher = made(&options);
    for (at = 0; at < 20; at++) {
        CHECK_OK(mb_batcher_push_int64(batcher, at, (uint64_t)at));
    }
    CHECK_OK(mb_batcher_seal(batcher));
    if (mode == MB_MODE_MANUAL) {
        mb_batcher_run(batcher);
        FAIL("exit returns");
    }
    for (;;) {
        pause();
    }
}

static void in_a_handler(void)
{
    exits_in_handler = 1;
    in_a_callback(MB_MODE_THREADED);
}

static void in_on_result(void)
{
    exits_in_on_result = 1;
    in_a_callback(MB_MODE_THREADED);
}

static void in_a_handler_by_hand(void)
{
    exits_in_handler = 1;
    in_a_callback(MB_MODE_MANUAL);
}

static void in_on_result_by_hand(void)
{
    exits_in_on_result = 1;
    in_a_callback(MB_MODE_MANUAL);
}

/* While threads push, through producers too, and others wait for results. */
static mb_batcher *busy;

static void *pushes(void *unused)
{
    mb_producer *producer = NULL;
    (void)unused;
    CHECK_OK(mb_producer_new(busy, &producer));
    count_up(&board->released);
    for (;;) {
        mb_status status = mb_batcher_push_string(busy, "a string", 8, 0);
        mb_status other = mb_producer_push_int64(producer, 1, 0);
        CHECK(status == MB_OK || status == MB_ERR_CLOSED);
        CHECK(other == MB_OK || other == MB_ERR_CLOSED);
    }
    return NULL;
}

static void *waits_for_all(void *unused)
{
    (void)unused;
    for (;;) {
        mb_status status = mb_batcher_flush(busy, MB_FOREVER);
        CHECK(status == MB_OK || status == MB_ERR_CLOSED);
    }
    return NULL;
}

static mb_status quick(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    mb_batch_complete_ok(batch);
    return MB_OK;
}

static void while_others_push(int64_t drain)
{
    mb_options options = defaults();
    int at;
    options.handler = quick;
    options.on_result = on_result;
    options.drain_at_exit = drain;
    busy = made(&options);
    for (at = 0; at < 3; at++) {
        started(pushes, NULL);
    }
    started(waits_for_all, NULL);
    wait_count(&board->released, 3);
    wait_count(&board->delivered, 1000);
}

static void while_others_push_and_drain(void)
{
    while_others_push(20 * MB_S);
}

static void while_others_push_and_do_not(void)
{
    while_others_push(0);
}

/* Runs a part in a child that ends with exit, as main's return does. */
static void in_child(void (*part)(void), uint64_t handled, uint64_t delivered, int exactly)
{
    int status = 0;
    pid_t child;
    memset(board, 0, sizeof *board);
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        watchdog();
        part();
        exit(42);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 42) {
        FAIL("the child ended with %d", status);
    }
    if (exactly) {
        CHECK_EQ(board->handled, handled);
        CHECK_EQ(board->delivered, delivered);
    } else {
        CHECK(board->handled <= handled && board->delivered <= delivered);
    }
}

int main(void)
{
    watchdog();
    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(board != MAP_FAILED);
    in_child(drains, PUSHED, PUSHED, 1);
    in_child(drains_all, 3 * PUSHED, 3 * PUSHED, 1);
    in_child(by_hand, PUSHED, PUSHED, 1);
    in_child(forked, PUSHED, PUSHED, 1);
    in_child(does_not, PUSHED, PUSHED, 0);
    in_child(was_freed, PUSHED, PUSHED, 0);
    CHECK_EQ(board->released, 1);
    /* What is left when the time is over is discarded, which is delivered. */
    in_child(is_bounded, 0, PUSHED, 0);
    CHECK_EQ(board->delivered, PUSHED);
    in_child(own_in_a_fork, 2 * PUSHED, 2 * PUSHED, 1);
    in_child(in_a_handler, 0, 20, 0);
    in_child(in_on_result, 20, 20, 0);
    in_child(in_a_handler_by_hand, 0, 20, 0);
    in_child(in_on_result_by_hand, 20, 20, 0);
    in_child(while_others_push_and_drain, UINT64_MAX, UINT64_MAX, 0);
    in_child(while_others_push_and_do_not, UINT64_MAX, UINT64_MAX, 0);
    return 0;
}
