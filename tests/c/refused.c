/* P33, P32: the system refuses: threads, descriptors, thread-local keys, hooks, membarrier; each call that asks for one is
   refused in turn, once and for good. Every call answers a status whose message has the errno, every accepted value has
   exactly one result, and once the system gives again everything works.

   The functions that ask the system are this program's own. RLIMIT_NPROC does not bind root, so threads are refused here;
   descriptors also run out for real. */

#include "kit.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- a system that refuses ---------------------------------------------------------------------------------- */

enum asked { THREAD, TIMER, KEY, FORK_HOOK, EXIT_HOOK, BARRIER, ASKED };

static const char *const NAMES[ASKED] = { "threads", "descriptors", "keys", "fork hooks", "exit hooks", "membarrier" };
static enum asked refusing;
/* The call that is refused (0: none), and whether all after it are too. */
static uint64_t refuse_at;
static int for_good;
static uint64_t calls;
static uint64_t refused;

static int refuses(enum asked what)
{
    uint64_t number;
    if (counted(&refuse_at) == 0 || what != refusing) {
        return 0;
    }
    number = count_up(&calls);
    if (number == refuse_at || (for_good && number > refuse_at)) {
        count_up(&refused);
        return 1;
    }
    return 0;
}

static void *real(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    CHECK(found != NULL);
    return found;
}

/* ISO C has no cast between object and function pointers. */
#define REAL(variable, name) \
    do { \
        void *found_ = real(name); \
        memcpy(&variable, &found_, sizeof variable); \
    } while (0)

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*entry)(void *), void *argument)
{
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (refuses(THREAD)) {
        return EAGAIN;
    }
    REAL(next, "pthread_create");
    return next(thread, attributes, entry, argument);
}

int epoll_create1(int flags)
{
    if (refuses(TIMER)) {
        errno = EMFILE;
        return -1;
    }
    return (int)syscall(SYS_epoll_create1, flags);
}

int eventfd(unsigned count, int flags)
{
    if (refuses(TIMER)) {
        errno = EMFILE;
        return -1;
    }
    return (int)syscall(SYS_eventfd2, count, flags);
}

int timerfd_create(int clock, int flags)
{
    if (refuses(TIMER)) {
        errno = EMFILE;
        return -1;
    }
    return (int)syscall(SYS_timerfd_create, clock, flags);
}

int pthread_key_create(pthread_key_t *key, void (*destroy)(void *))
{
    int (*next)(pthread_key_t *, void (*)(void *));
    if (refuses(KEY)) {
        return EAGAIN;
    }
    REAL(next, "pthread_key_create");
    return next(key, destroy);
}

int __register_atfork(void (*before)(void), void (*parent)(void), void (*child)(void), void *object);

int pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    return refuses(FORK_HOOK) ? ENOMEM : __register_atfork(before, parent, child, NULL);
}

int __cxa_atexit(void (*hook)(void *), void *argument, void *object);

static void run_hook(void *hook)
{
    void (*call)(void);
    memcpy(&call, &hook, sizeof call);
    call();
}

int atexit(void (*hook)(void))
{
    void *argument;
    memcpy(&argument, &hook, sizeof argument);
    return refuses(EXIT_HOOK) ? 1 : __cxa_atexit(run_hook, argument, NULL);
}

long syscall(long number, ...)
{
    long (*next)(long, ...);
    long a[6];
    int at;
    va_list list;
    va_start(list, number);
    for (at = 0; at < 6; at++) {
        a[at] = va_arg(list, long);
    }
    va_end(list);
    if (number == SYS_membarrier && refuses(BARRIER)) {
        errno = ENOSYS;
        return -1;
    }
    REAL(next, "syscall");
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- a life under it ------------------------------------------------------------------------------------------ */

#define COUNT 300

static ledger book;
static uint64_t released;

static mb_batcher *asked_for(mb_options options)
{
    mb_batcher *batcher = NULL;
    mb_error *error = NULL;
    mb_status status;
    options.handler_release = options.result_release = count_release;
    options.handler_data = &released;
    options.result_data = &released;
    released = 0;
    status = mb_batcher_new(&options, &batcher, &error);
    if (status == MB_OK) {
        CHECK(batcher != NULL && error == NULL);
        return batcher;
    }
    if (counted(&refused) == 0) {
        FAIL("%s refused to nobody: %s", NAMES[refusing], mb_error_message(error));
    }
    CHECK_STATUS(status, MB_ERR_SYSTEM);
    CHECK(batcher == NULL && error != NULL);
    CHECK_STATUS(mb_error_code(error), status);
    if (refusing != EXIT_HOOK) {
        CHECK_CONTAINS(mb_error_message(error), "errno");
    }
    mb_error_free(error);
    /* What was not taken is not given back. */
    CHECK_EQ(released, 0);
    return NULL;
}

static void note(void *user_data, const mb_results *results, const mb_api *api)
{
    (void)user_data;
    (void)api;
    ledger_note(&book, results);
}

static void check_descriptor(mb_batcher *batcher)
{
    int32_t fd = -7;
    mb_status status = mb_batcher_fd(batcher, &fd);
    if (status != MB_OK) {
        CHECK(counted(&refused) > 0);
        CHECK_STATUS(status, MB_ERR_SYSTEM);
        CHECK_EQ(fd, -7);
        /* It works once there is one. */
        refuse_at = 0;
        CHECK_OK(mb_batcher_fd(batcher, &fd));
    }
    CHECK(fd >= 0);
}

static void *push_half(void *batcher)
{
    uint64_t tag;
    for (tag = 0; tag < COUNT / 2; tag++) {
        CHECK_OK(mb_batcher_push_string(batcher, "text", 4, tag));
    }
    return NULL;
}

static void threaded(void)
{
    mb_options options = defaults();
    mb_batcher *batcher;
    mb_producer *producer = NULL;
    uint64_t tag;
    uint64_t of_pusher = 0;
    pthread_t pusher;
    options.handler = echo;
    options.on_result = note;
    options.threads = 2;
    options.handler_timeout = 60 * MB_S;
    options.drain_at_exit = MB_S;
    batcher = asked_for(options);
    if (batcher == NULL) {
        return;
    }
    if (pthread_create(&pusher, NULL, push_half, batcher) == 0) {
        of_pusher = COUNT / 2;
    }
    CHECK_OK(mb_producer_new(batcher, &producer));
    for (tag = of_pusher; tag < COUNT; tag++) {
        CHECK_OK(tag % 2 ? mb_batcher_push_int64(batcher, 1, tag) : mb_producer_push_int64(producer, 1, tag));
    }
    if (of_pusher) {
        joined(pusher);
    }
    check_descriptor(batcher);
    CHECK_OK(mb_producer_free(producer));
    CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EXACTLY_ONCE(&book, COUNT);
    CHECK_EQ(released, 2);
}

static void by_hand(void)
{
    mb_options options = timeless();
    mb_batcher *batcher;
    uint64_t tag;
    options.handler = echo;
    options.on_result = note;
    options.drain_at_exit = MB_S;
    batcher = asked_for(options);
    if (batcher == NULL) {
        return;
    }
    check_descriptor(batcher);
    for (tag = 0; tag < COUNT; tag++) {
        CHECK_OK(mb_batcher_push_int64(batcher, 1, tag));
    }
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EXACTLY_ONCE(&book, COUNT);
    CHECK_EQ(released, 2);
}

/* The only handler thread ends inside its handler, and no other can be had in its place: what it held fails, the rest is
   discarded by close, nothing hangs. */
static mb_status ends(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)batch;
    (void)api;
    pthread_exit(NULL);
    return MB_OK;
}

static void no_thread_in_its_place(void)
{
    mb_options options = defaults();
    mb_batcher *batcher;
    uint64_t left = 77;
    uint64_t tag;
    refusing = THREAD;
    calls = refused = 0;
    for_good = 1;
    options.handler = ends;
    options.on_result = note;
    options.max_batch_size = 10;
    ledger_open(&book, COUNT);
    batcher = asked_for(options);
    refuse_at = 1;
    for (tag = 0; tag < 50; tag++) {
        CHECK_OK(mb_batcher_push_int64(batcher, 1, tag));
    }
    wait_count(&refused, 1);
    CHECK_STATUS(mb_batcher_close(batcher, 50 * MB_MS, &left), MB_ERR_TIMEOUT);
    CHECK(left >= 40 && left < 50);
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EXACTLY_ONCE(&book, 50);
    CHECK_EQ(book.by_outcome[MB_OUTCOME_FAILED] + book.by_outcome[MB_OUTCOME_DISCARDED], 50);
    CHECK_STATUS(RESULT(&book, 0)->code, MB_ERR_THREAD_ENDED);
    ledger_close(&book);
    refuse_at = 0;
}

/* While the only time thread is in on_result, a second one looks at the clock. Where none can be had, a handler thread
   that sleeps does, also for what comes while it sleeps. */
static uint64_t inside;
static uint64_t handler_may_go;
static uint64_t result_may_go;

static mb_status stays(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)batch;
    (void)api;
    count_up(&inside);
    wait_count(&handler_may_go, 1);
    return MB_OK;
}

static void stays_too(void *user_data, const mb_results *results, const mb_api *api)
{
    note(user_data, results, api);
    count_up(&inside);
    wait_count(&result_may_go, 1);
}

static void push_that_expires(mb_batcher *batcher, uint64_t tag, int64_t in)
{
    mb_push_options options = { 0 };
    mb_value value = { 0 };
    int64_t now = 0;
    options.struct_size = sizeof options;
    value.kind = MB_KIND_INT64;
    CHECK_OK(mb_batcher_now(batcher, &now));
    options.deadline = now + in;
    CHECK_OK(mb_batcher_push_value(batcher, &value, tag, &options));
}

static mb_stats look(mb_batcher *batcher)
{
    mb_stats stats;
    stats.struct_size = sizeof stats;
    CHECK_OK(mb_batcher_stats(batcher, &stats));
    return stats;
}

static void no_second_time_thread(void)
{
    mb_options options = defaults();
    mb_batcher *batcher;
    uint64_t with_pool;
    refusing = THREAD;
    calls = refused = 0;
    for_good = 1;
    options.handler = stays;
    options.on_result = stays_too;
    options.max_delay = MB_FOREVER;
    ledger_open(&book, 4);
    batcher = asked_for(options);
    refuse_at = 1;
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 0));
    CHECK_OK(mb_batcher_seal(batcher));
    wait_count(&inside, 1);
    push_that_expires(batcher, 1, 5 * MB_MS);
    wait_count(&inside, 2); /* nobody else is free: the time thread is in on_result */
    wait_count(&refused, 1);
    with_pool = look(batcher).bytes_in_use;
    count_up(&handler_may_go);
    while (look(batcher).bytes_in_use >= with_pool) {
        between_looks(); /* then it sleeps without an end */
    }
    push_that_expires(batcher, 2, 20 * MB_MS);
    push_that_expires(batcher, 3, 5 * MB_MS);
    while (look(batcher).expired < 3) {
        between_looks();
    }
    count_up(&result_may_go);
    CHECK_OK(mb_batcher_close(batcher, MB_FOREVER, NULL));
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EXACTLY_ONCE(&book, 4);
    CHECK_EQ(book.by_outcome[MB_OUTCOME_EXPIRED], 3);
    ledger_close(&book);
    refuse_at = 0;
}

/* Descriptors run out for real. */
static void out_of_descriptors(void)
{
    mb_options options = timeless();
    mb_batcher *batcher;
    mb_error *error = NULL;
    struct rlimit limit;
    int held[256];
    int count = 0;
    int32_t fd;
    int32_t again;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 64;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    batcher = made(&options);
    while ((held[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
        count += 1;
    }
    CHECK_EQ(errno, EMFILE);
    CHECK_STATUS(mb_batcher_fd(batcher, &fd), MB_ERR_SYSTEM);
    /* Threads and batchers need none. */
    options = defaults();
    options.handler = echo;
    CHECK_OK(mb_batcher_free(made(&options)));
    /* It takes three, and gives back what it had when one is refused. */
    CHECK_EQ(close(held[--count]), 0);
    CHECK_STATUS(mb_batcher_fd(batcher, &fd), MB_ERR_SYSTEM);
    CHECK_EQ(close(held[--count]), 0);
    CHECK_STATUS(mb_batcher_fd(batcher, &fd), MB_ERR_SYSTEM);
    CHECK_EQ(close(held[--count]), 0);
    CHECK_OK(mb_batcher_fd(batcher, &fd));
    CHECK_OK(mb_batcher_fd(batcher, &again));
    CHECK_EQ(fd, again);
    while (count > 0) {
        CHECK_EQ(close(held[--count]), 0);
    }
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    mb_error_free(error);
}

/* ---- each in turn --------------------------------------------------------------------------------------------- */

/* How often a life asks for it. In a new process each time: some things are asked for once in a process. */
static uint64_t in_turn(void (*life)(void), enum asked what, int and_after)
{
    uint64_t at;
    for (at = 1; at < 100; at++) {
        int status = 0;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            watchdog();
            refusing = what;
            for_good = and_after;
            refuse_at = at;
            ledger_open(&book, COUNT);
            life();
            _exit(counted(&refused) > 0 ? 42 : 43);
        }
        CHECK_EQ(waitpid(child, &status, 0), child);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 43) {
            return at - 1;
        }
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 42) {
            FAIL("%s refused, call %d%s: the process ended with %d", NAMES[what], (int)at,
                 and_after ? " and all after it" : "", status);
        }
    }
    FAIL("a life asks for ever more %s", NAMES[what]);
    return 0;
}

int main(void)
{
    uint64_t asked[ASKED] = { 0 };
    int what;
    int and_after;
    watchdog();
    for (what = 0; what < ASKED; what++) {
        for (and_after = 0; and_after < 2; and_after++) {
            asked[what] += in_turn(threaded, (enum asked)what, and_after);
            asked[what] += in_turn(by_hand, (enum asked)what, and_after);
        }
        /* Otherwise this test tests nothing. */
        if (asked[what] == 0) {
            FAIL("nobody asks for %s", NAMES[what]);
        }
    }
    no_thread_in_its_place();
    no_second_time_thread();
    out_of_descriptors();
    return 0;
}
