/* P32: the threads of the library block all signals, so a host's signals come to the host's threads; and a storm of them
   while the host pushes, waits and pulls changes no count. The library installs no signal handler of its own. */

#include "kit.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <sys/time.h>

static pthread_t main_thread;
static volatile sig_atomic_t storms;
static volatile sig_atomic_t elsewhere;

static void on_alarm(int number)
{
    (void)number;
    storms += 1;
    if (!pthread_equal(pthread_self(), main_thread)) {
        elsewhere += 1;
    }
}

/* SIGALRM is the storm here; the watchdog has a timer of its own. */
static void watchdog_by_another_signal(void)
{
    struct sigevent event;
    struct itimerspec when;
    timer_t timer;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGUSR2;
    signal(SIGUSR2, watchdog_barks);
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    memset(&when, 0, sizeof when);
    when.it_value.tv_sec = WATCHDOG_SECONDS;
    CHECK_EQ(timer_settime(timer, 0, &when, NULL), 0);
}

static void storm(long microseconds)
{
    struct itimerval every;
    memset(&every, 0, sizeof every);
    every.it_interval.tv_usec = every.it_value.tv_usec = microseconds;
    CHECK_EQ(setitimer(ITIMER_REAL, &every, NULL), 0);
}

/* What the kernel says of the library's threads; answers how many have their names. */
static int look_at_threads(void)
{
    /* SIGKILL and SIGSTOP can't be blocked; the C library keeps 32 and 33 to itself. */
    const unsigned long long blockable =
        ~(1ULL << (SIGKILL - 1) | 1ULL << (SIGSTOP - 1) | 1ULL << 31 | 1ULL << 32);
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *task;
    int found = 0;
    CHECK(tasks != NULL);
    while ((task = readdir(tasks)) != NULL) {
        char path[300];
        char line[256];
        char name[64] = "";
        unsigned long long blocked = 0;
        FILE *file;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        if (task->d_name[0] == '.' || (file = fopen(path, "r")) == NULL) {
            continue;
        }
        while (fgets(line, sizeof line, file)) {
            sscanf(line, "Name: %63s", name);
            sscanf(line, "SigBlk: %llx", &blocked);
        }
        fclose(file);
        if (strncmp(name, "mb-", 3) == 0) {
            found += 1;
            if ((blocked & blockable) != blockable) {
                FAIL("%s blocks %llx only", name, blocked);
            }
        }
    }
    closedir(tasks);
    return found;
}

/* The dispositions of all signals, as far as they can be asked for. */
static void dispositions(void (*all[65])(int))
{
    int number;
    for (number = 1; number < 65; number++) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        all[number] = sigaction(number, NULL, &action) == 0 ? action.sa_handler : SIG_ERR;
    }
}

#define PUSHED 60000

static void push_in_a_storm(void)
{
    mb_options options = defaults();
    mb_batcher *batcher;
    mb_producer *producer = NULL;
    ledger book;
    sigset_t before;
    sigset_t after;
    uint64_t tag;
    mb_stats stats;

    ledger_open(&book, PUSHED);
    options.handler = echo;
    options.on_result = note_results;
    options.result_data = &book;
    options.threads = 2;
    /* Pushes wait for room over and over, and are interrupted in it. */
    options.queue_capacity = 64;
    options.max_batch_size = 32;
    options.push_timeout = MB_FOREVER;
    memset(&before, 0, sizeof before);
    memset(&after, 0, sizeof after);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
    batcher = made(&options);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    CHECK(memcmp(&before, &after, sizeof before) == 0);
    /* A thread gives itself its name. */
    while (look_at_threads() < 3) {
        sched_yield();
    }
    CHECK_EQ(look_at_threads(), 3);
    CHECK_OK(mb_producer_new(batcher, &producer));
    storm(100);
    for (tag = 0; tag < PUSHED; tag++) {
        CHECK_OK(tag % 3 == 0   ? mb_batcher_push_string(batcher, "in a storm", 10, tag)
                 : tag % 3 == 1 ? mb_batcher_push_int64(batcher, 1, tag)
                                : mb_producer_push_int64(producer, 1, tag));
    }
    CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
    stats = stats_of(batcher);
    CHECK_EQ(stats.accepted, PUSHED);
    CHECK_EQ(stats.ok, PUSHED);
    CHECK_OK(mb_producer_free(producer));
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_OK(mb_batcher_free(batcher));
    storm(0);
    CHECK_EXACTLY_ONCE(&book, PUSHED);
    CHECK(storms > 0);
    CHECK_EQ(elsewhere, 0);
    ledger_close(&book);
}

/* A wait is as long as it was asked to be, however often it is interrupted. */
static int64_t monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * MB_S + now.tv_nsec;
}

static void wait_in_a_storm(void)
{
    mb_options options = defaults();
    mb_batcher *batcher;
    mb_batch *batch = NULL;
    mb_results *results = NULL;
    int64_t began;
    uint64_t mark;
    options.results = MB_RESULTS_PULL;
    options.queue_capacity = 1;
    options.push_timeout = 30 * MB_MS;
    batcher = made(&options);
    storm(100);
    began = monotonic();
    CHECK_STATUS(mb_batcher_next_batch(batcher, 30 * MB_MS, &batch), MB_ERR_TIMEOUT);
    CHECK(monotonic() - began >= 30 * MB_MS);
    began = monotonic();
    CHECK_STATUS(mb_batcher_next_results(batcher, 30 * MB_MS, &results), MB_ERR_TIMEOUT);
    CHECK(monotonic() - began >= 30 * MB_MS);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    began = monotonic();
    CHECK_STATUS(mb_batcher_push_int64(batcher, 1, 1), MB_ERR_QUEUE_FULL);
    CHECK(monotonic() - began >= 30 * MB_MS);
    began = monotonic();
    CHECK(mb_batcher_room(batcher, 30 * MB_MS) != MB_OK);
    CHECK(monotonic() - began >= 30 * MB_MS);
    CHECK_OK(mb_batcher_flush_begin(batcher, &mark));
    began = monotonic();
    CHECK_STATUS(mb_batcher_flush_end(batcher, mark, 30 * MB_MS), MB_ERR_TIMEOUT);
    CHECK(monotonic() - began >= 30 * MB_MS);
    began = monotonic();
    CHECK_STATUS(mb_batcher_close(batcher, 30 * MB_MS, NULL), MB_ERR_TIMEOUT);
    CHECK(monotonic() - began >= 30 * MB_MS);
    storm(0);
    CHECK_OK(mb_batcher_free(batcher));
}

int main(void)
{
    static void (*before[65])(int);
    static void (*after[65])(int);
    struct sigaction action;
    main_thread = pthread_self();
    watchdog_by_another_signal();
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm; /* and no SA_RESTART: every call of the system is interrupted */
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    dispositions(before);
    push_in_a_storm();
    wait_in_a_storm();
    dispositions(after);
    CHECK(memcmp(before, after, sizeof before) == 0);
    return 0;
}
