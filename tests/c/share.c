/* P29: two copies of the library in one process. Each has its own table and state; a batcher travels as an mb_shared, and
   a handler given by address gets the table of the copy that calls it.

   Arguments: the path of another copy of the library, and that of share_lib, which is linked to nothing. */

#include "kit.h"

#include <dlfcn.h>

static const mb_api *copies[2];

static struct {
    int (*push)(const mb_shared *shared, int64_t first, int count);
    mb_handler_fn handler;
    mb_result_fn on_result;
    mb_handler_fn forward;
    const mb_api *(*last_table)(void);
    int64_t (*sum)(void);
} lib;

static void *loaded(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        FAIL("%s", dlerror());
    }
    return library;
}

static void find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);
    CHECK(symbol != NULL);
    memcpy(function, &symbol, sizeof symbol);
}

/* Two tables, no function of which is the same. */
static void tables(void)
{
    void *const *first = (void *const *)(const void *)&copies[0]->mb_status_table;
    void *const *second = (void *const *)(const void *)&copies[1]->mb_status_table;
    size_t count = (sizeof(mb_api) - offsetof(mb_api, mb_status_table)) / sizeof(void *);
    size_t at;
    CHECK(copies[0] == mb_api_table());
    CHECK(copies[0] != copies[1]);
    for (at = 0; at < 2; at++) {
        CHECK_EQ(copies[at]->struct_size, sizeof(mb_api));
        CHECK_EQ(copies[at]->abi_version, MB_ABI_VERSION);
        CHECK_EQ(copies[at]->mb_version_number(), MB_VERSION_NUMBER);
        CHECK(copies[at]->mb_api_table() == copies[at]);
    }
    for (at = 0; at < count; at++) {
        CHECK(first[at] != NULL && second[at] != NULL);
        if (first[at] == second[at]) {
            FAIL("function %d of the table is the same in both copies", (int)at);
        }
    }
}

static mb_batcher *made_in(const mb_api *api, const mb_options *options, mb_shared *shared)
{
    mb_batcher *batcher = NULL;
    CHECK_STATUS(api->mb_batcher_new(options, &batcher, NULL), MB_OK);
    memset(shared, 0, sizeof *shared);
    shared->struct_size = sizeof *shared;
    CHECK_STATUS(api->mb_batcher_share(batcher, shared), MB_OK);
    CHECK(shared->api == api);
    CHECK(shared->batcher == batcher);
    CHECK_EQ(shared->struct_size, sizeof *shared);
    return batcher;
}

/* A batcher of each copy, with handler and on_result of the library that is linked to nothing. */
static void handlers_by_address(const mb_api *api)
{
    mb_options options;
    mb_shared shared;
    mb_batcher *batcher;
    mb_stats stats;
    CHECK_STATUS(api->mb_options_init(&options, sizeof options), MB_OK);
    options.handler = lib.handler;
    options.on_result = lib.on_result;
    batcher = made_in(api, &options, &shared);
    CHECK_EQ(lib.push(&shared, 1, 100), 0);
    CHECK_STATUS(api->mb_batcher_close(batcher, MB_FOREVER, NULL), MB_OK);
    stats.struct_size = sizeof stats;
    CHECK_STATUS(api->mb_batcher_stats(batcher, &stats), MB_OK);
    CHECK_EQ(stats.accepted, 100);
    CHECK_EQ(stats.ok, 100);
    CHECK(lib.last_table() == api);
    CHECK_EQ(lib.sum(), 2 * 5050);
    CHECK_EQ(lib.push(&shared, 1, 1), 4);
    CHECK_STATUS(api->mb_batcher_free(batcher), MB_OK);
    CHECK_EQ(lib.push(&shared, 1, 1), 3);
}

/* One copy's handler pushes into the other copy's batcher. */
static void across(const mb_api *from, const mb_api *to)
{
    mb_options options;
    mb_shared first;
    mb_shared second;
    mb_batcher *sends;
    mb_batcher *takes;
    CHECK_STATUS(to->mb_options_init(&options, sizeof options), MB_OK);
    options.handler = lib.handler;
    options.on_result = lib.on_result;
    takes = made_in(to, &options, &second);
    CHECK_STATUS(from->mb_options_init(&options, sizeof options), MB_OK);
    options.handler = lib.forward;
    options.handler_data = &second;
    sends = made_in(from, &options, &first);
    CHECK_EQ(lib.push(&first, 1, 50), 0);
    CHECK_STATUS(from->mb_batcher_close(sends, MB_FOREVER, NULL), MB_OK);
    CHECK_STATUS(to->mb_batcher_close(takes, MB_FOREVER, NULL), MB_OK);
    CHECK(lib.last_table() == to);
    CHECK_EQ(lib.sum(), 2 * 1275);
    CHECK_STATUS(from->mb_batcher_free(sends), MB_OK);
    CHECK_STATUS(to->mb_batcher_free(takes), MB_OK);
}

/* The state of the copies is apart: freeing everything of one leaves the other alone. */
static void apart(void)
{
    mb_options options = timeless();
    mb_batcher *mine[20];
    mb_batcher *theirs[20];
    mb_shared shared;
    size_t at;
    options.handler = echo;
    for (at = 0; at < 20; at++) {
        mine[at] = made_in(copies[0], &options, &shared);
        theirs[at] = made_in(copies[1], &options, &shared);
        CHECK_STATUS(copies[0]->mb_batcher_push_int64(mine[at], 1, 0), MB_OK);
    }
    for (at = 0; at < 20; at++) {
        CHECK_STATUS(copies[1]->mb_batcher_free(theirs[at]), MB_OK);
    }
    for (at = 0; at < 20; at++) {
        CHECK_EQ(stats_of(mine[at]).waiting, 1);
        CHECK_OK(mb_batcher_flush(mine[at], 0));
        CHECK_EQ(stats_of(mine[at]).ok, 1);
        CHECK_OK(mb_batcher_free(mine[at]));
    }
}

/* Threads of one copy are at home in the other: their callbacks are told apart by batcher. */
static mb_status flush_the_other(void *user_data, mb_batch *batch, const mb_api *api)
{
    const mb_shared *other = user_data;
    if (other->api->mb_batcher_push_int64(other->batcher, 1, 0) != MB_OK
        || other->api->mb_batcher_flush(other->batcher, MB_FOREVER) != MB_OK) {
        return 1;
    }
    return api->mb_batch_complete_ok(batch);
}

static void waits_for_the_other(void)
{
    mb_options options = defaults();
    mb_shared inner;
    mb_shared outer;
    mb_batcher *waited_for;
    mb_batcher *waits;
    mb_stats stats;
    options.handler = lib.handler;
    waited_for = made_in(copies[1], &options, &inner);
    options.handler = flush_the_other;
    options.handler_data = &inner;
    waits = made_in(copies[0], &options, &outer);
    CHECK_EQ(lib.push(&outer, 1, 10), 0);
    CHECK_OK(mb_batcher_close(waits, MB_FOREVER, NULL));
    stats = stats_of(waits);
    CHECK_EQ(stats.ok, 10);
    CHECK_OK(mb_batcher_free(waits));
    CHECK_STATUS(copies[1]->mb_batcher_free(waited_for), MB_OK);
}

int main(int count, char **arguments)
{
    const mb_api *(*table)(void);
    void *library;
    watchdog();
    CHECK_EQ(count, 3);
    find(loaded(arguments[1]), "mb_api_table", &table);
    copies[0] = mb_api_table();
    copies[1] = table();
    library = loaded(arguments[2]);
    find(library, "share_push", &lib.push);
    find(library, "share_handler", &lib.handler);
    find(library, "share_on_result", &lib.on_result);
    find(library, "share_forward", &lib.forward);
    find(library, "share_last_table", &lib.last_table);
    find(library, "share_sum", &lib.sum);
    tables();
    handlers_by_address(copies[0]);
    handlers_by_address(copies[1]);
    across(copies[0], copies[1]);
    across(copies[1], copies[0]);
    apart();
    waits_for_the_other();
    return 0;
}
