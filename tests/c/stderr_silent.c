/* P30, P32: whatever goes wrong, the library writes nothing to the host's descriptors 1 and 2, or to any other that it was
   not given, and it reads no environment. */

#include "calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

/* Asked for by name by whoever reads the environment. */
static int environment_reads;
static int counts_reads;

char *getenv(const char *name)
{
    extern char **environ;
    char **at;
    size_t length = strlen(name);
    if (counts_reads) {
        environment_reads += 1;
    }
    for (at = environ; at && *at; at++) {
        if (strncmp(*at, name, length) == 0 && (*at)[length] == '=') {
            return *at + length + 1;
        }
    }
    return NULL;
}

static mb_status fails(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    mb_batch_fail_all(batch, 5, "Bad", "it went wrong", 13);
    mb_batch_set_int64(batch, 77, 1);
    mb_batch_set_string(batch, 0, "\xff", 1);
    mb_batcher_flush((mb_batcher *)batch, 1);
    (void)api;
    return MB_OK;
}

static mb_status ends(void *user_data, mb_batch *batch, const mb_api *api)
{
    static uint64_t times;
    (void)user_data;
    if (count_up(&times) == 1) {
        pthread_exit(NULL);
    }
    return echo(NULL, batch, api);
}

static void misuse(void)
{
    mb_options options = defaults();
    mb_batcher *batcher;
    mb_error *error = NULL;
    mb_batch *batch = NULL;
    int64_t number = 1;
    size_t at;
    options.handler = fails;
    options.handler_timeout = MB_MS;
    batcher = made(&options);
    for (at = 0; at < CALL_COUNT; at++) {
        CALLS[at].make(NULL);
        CALLS[at].make((void *)(uintptr_t)0x1234567812345678u);
        if (CALLS[at].takes != BATCHER) {
            CALLS[at].make(batcher);
        }
    }
    for (at = 0; at < 100; at++) {
        CHECK_OK(mb_batcher_push_int64(batcher, 1, at));
        CHECK(mb_batcher_push_string(batcher, "\xff", 1, at) != MB_OK);
        CHECK(mb_batcher_push_int64s(batcher, &number, NULL, SIZE_MAX, NULL, 0, NULL, NULL) != MB_OK);
    }
    CHECK(mb_options_set(&options, "nonsense", "\xff", &error) != MB_OK);
    mb_error_free(error);
    options.threads = 1 << 30;
    CHECK(mb_batcher_new(&options, &batcher, NULL) != MB_OK);
    CHECK(mb_batcher_next_batch(batcher, 0, &batch) != MB_OK);
    CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
    CHECK_OK(mb_batcher_free(batcher));
    CHECK(mb_batcher_free(batcher) != MB_OK);

    /* A thread that ends in a callback is told to the log, and there is none. */
    options = defaults();
    options.handler = ends;
    batcher = made(&options);
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_flush(batcher, MB_FOREVER));
    CHECK_EQ(stats_of(batcher).ok, 1);
    CHECK_OK(mb_batcher_abandon(batcher));
}

/* How many descriptors are open. */
static int open_descriptors(void)
{
    DIR *all = opendir("/proc/self/fd");
    int count = 0;
    CHECK(all != NULL);
    while (readdir(all) != NULL) {
        count += 1;
    }
    closedir(all);
    return count;
}

static off_t size_of(int descriptor)
{
    struct stat about;
    CHECK_EQ(fstat(descriptor, &about), 0);
    return about.st_size;
}

int main(void)
{
    FILE *file = tmpfile();
    int taken;
    int before;
    int32_t fd = -1;
    mb_options options = timeless();
    mb_batcher *batcher;
    watchdog();
    calls_ready();
    CHECK(file != NULL);
    taken = fileno(file);
    check_output = fcntl(2, F_DUPFD, 100);
    CHECK(check_output >= 100);
    CHECK_EQ(dup2(taken, 1), 1);
    CHECK_EQ(dup2(taken, 2), 2);
    before = open_descriptors();

    counts_reads = 1;
    misuse();
    counts_reads = 0;
    CHECK_EQ(size_of(taken), 0);
    CHECK_EQ(environment_reads, 0);
    CHECK_EQ(open_descriptors(), before);

    /* The one descriptor that there is, for who asks for it, and the two behind it; and they are closed again. */
    batcher = made(&options);
    CHECK_EQ(open_descriptors(), before);
    CHECK_OK(mb_batcher_fd(batcher, &fd));
    CHECK_OK(mb_batcher_fd(batcher, &fd));
    CHECK_EQ(open_descriptors(), before + 3);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK_OK(mb_batcher_free(batcher));
    CHECK_EQ(open_descriptors(), before);
    CHECK_EQ(size_of(taken), 0);
    fclose(file);
    return 0;
}
