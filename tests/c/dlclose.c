/* P32: the library may be loaded at run time, used from any thread, and unloaded: threads that used it end afterwards
   without harm, and what was left alive lives on. Links to nothing of it; its path is the first argument. */

#include "check.h"

#include <dlfcn.h>
#include <pthread.h>

#include "microbatch.h"

#define ROUNDS 50

static const char *path;
static pthread_barrier_t used;
static pthread_barrier_t unloaded;

static mb_status count_rows(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view;
    view.struct_size = sizeof view;
    CHECK_EQ(api->mb_batch_get_view(batch, &view), MB_OK);
    __atomic_add_fetch((uint64_t *)user_data, view.count, __ATOMIC_SEQ_CST);
    return api->mb_batch_complete_ok(batch);
}

/* Everything that may leave something behind in a thread: pushes, waits, errors, a handler on this thread. */
static void use_from_here(const mb_api *api, uint32_t mode)
{
    mb_options options;
    mb_batcher *batcher = NULL;
    mb_producer *producer = NULL;
    mb_error *error = NULL;
    uint64_t rows = 0;
    int at;
    CHECK_EQ(api->mb_options_init(&options, sizeof options), MB_OK);
    options.mode = mode;
    options.handler = count_rows;
    options.handler_data = &rows;
    CHECK_EQ(api->mb_batcher_new(&options, &batcher, &error), MB_OK);
    CHECK_EQ(api->mb_producer_new(batcher, &producer), MB_OK);
    for (at = 0; at < 100; at++) {
        CHECK_EQ(api->mb_batcher_push_int64(batcher, at, 0), MB_OK);
        CHECK_EQ(api->mb_producer_push_string(producer, "text", 4, 0), MB_OK);
    }
    CHECK_EQ(api->mb_batcher_push_string(batcher, "\xff", 1, 0), MB_ERR_INVALID_UTF8);
    CHECK_EQ(api->mb_batcher_flush(batcher, MB_FOREVER), MB_OK);
    CHECK_EQ(rows, 200);
    CHECK_EQ(api->mb_options_set(&options, "max_delay", "soon", &error), MB_ERR_INVALID_OPTION);
    api->mb_error_free(error);
    CHECK_EQ(api->mb_producer_free(producer), MB_OK);
    CHECK_EQ(api->mb_batcher_free(batcher), MB_OK);
}

static void *use_and_end_later(void *library)
{
    const mb_api *(*table)(void);
    void *symbol = dlsym(library, "mb_api_table");
    CHECK(symbol != NULL);
    memcpy(&table, &symbol, sizeof table);
    use_from_here(table(), MB_MODE_THREADED);
    use_from_here(table(), MB_MODE_MANUAL);
    pthread_barrier_wait(&used);
    pthread_barrier_wait(&unloaded);
    /* The library was unloaded while this thread lives; now it ends. */
    return NULL;
}

/* What nobody freed before the library was unloaded: a batcher with threads, one without, a producer. They work on. */
#define LEFT 2

static struct left {
    const mb_api *api;
    mb_batcher *batcher;
    mb_producer *producer;
    uint64_t rows;
} left[LEFT];

static void leave_alive(void *library)
{
    const mb_api *(*table)(void);
    void *symbol = dlsym(library, "mb_api_table");
    int at;
    memcpy(&table, &symbol, sizeof table);
    for (at = 0; at < LEFT; at++) {
        mb_options options;
        left[at].api = table();
        CHECK_EQ(left[at].api->mb_options_init(&options, sizeof options), MB_OK);
        options.mode = at == 0 ? MB_MODE_THREADED : MB_MODE_MANUAL;
        options.handler = count_rows;
        options.handler_data = &left[at].rows;
        options.max_delay = MB_FOREVER;
        CHECK_EQ(left[at].api->mb_batcher_new(&options, &left[at].batcher, NULL), MB_OK);
        CHECK_EQ(left[at].api->mb_producer_new(left[at].batcher, &left[at].producer), MB_OK);
        CHECK_EQ(left[at].api->mb_batcher_push_int64(left[at].batcher, 1, 0), MB_OK);
    }
}

static void use_what_was_left(int is_last)
{
    int at;
    for (at = 0; at < LEFT; at++) {
        const mb_api *api = left[at].api;
        uint64_t before = left[at].rows;
        CHECK_EQ(api->mb_batcher_push_string(left[at].batcher, "text", 4, 0), MB_OK);
        CHECK_EQ(api->mb_producer_push_int64(left[at].producer, 1, 0), MB_OK);
        CHECK_EQ(api->mb_batcher_flush(left[at].batcher, MB_FOREVER), MB_OK);
        CHECK(left[at].rows >= before + 2);
        if (is_last) {
            CHECK_EQ(api->mb_producer_free(left[at].producer), MB_OK);
            CHECK_EQ(api->mb_batcher_free(left[at].batcher), MB_OK);
        }
    }
}

int main(int count, char **arguments)
{
    int round;
    watchdog();
    CHECK_EQ(count, 2);
    path = arguments[1];
    CHECK_EQ(pthread_barrier_init(&used, NULL, 3), 0);
    CHECK_EQ(pthread_barrier_init(&unloaded, NULL, 3), 0);
    for (round = 0; round < ROUNDS; round++) {
        pthread_t threads[2];
        void *library = dlopen(path, round % 2 ? RTLD_NOW : RTLD_LAZY | RTLD_GLOBAL);
        if (library == NULL) {
            FAIL("%s", dlerror());
        }
        CHECK_EQ(pthread_create(&threads[0], NULL, use_and_end_later, library), 0);
        CHECK_EQ(pthread_create(&threads[1], NULL, use_and_end_later, library), 0);
        pthread_barrier_wait(&used);
        if (round == 0) {
            leave_alive(library);
        }
        CHECK_EQ(dlclose(library), 0);
        use_what_was_left(round == ROUNDS - 1);
        pthread_barrier_wait(&unloaded);
        CHECK_EQ(pthread_join(threads[0], NULL), 0);
        CHECK_EQ(pthread_join(threads[1], NULL), 0);
    }
    return 0;
}
