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
    return 0;
}
