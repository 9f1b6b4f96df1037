/* Seeded bugs: what a library would do that breaks one promise. A test program is linked with one of them in place of the
   function that it wraps (-Wl,--wrap=...), and must fail: so it is known to bite. tests/c/twins.rs has the list. */

#include "kit.h"

#define WRAP(name, parameters, body) \
    mb_status __real_##name parameters; \
    mb_status __wrap_##name parameters; \
    mb_status __wrap_##name parameters { body }

/* One status in the place of another. */
#define INSTEAD(call, wrong, right) \
    mb_status status = call; \
    return status == (right) ? (wrong) : status;

#if defined(CHILD_IS_NOT_TOLD)
WRAP(mb_batcher_seal, (mb_batcher *batcher), INSTEAD(__real_mb_batcher_seal(batcher), MB_OK, MB_ERR_FORKED))

#elif defined(EXIT_DRAINS_NOTHING)
WRAP(mb_batcher_new, (const mb_options *options, mb_batcher **batcher, mb_error **error),
     mb_options wrong = *options; wrong.drain_at_exit = 0; return __real_mb_batcher_new(&wrong, batcher, error);)

#elif defined(NO_MEMORY_IS_NOT_TOLD)
WRAP(mb_batcher_push_string, (mb_batcher *batcher, const char *data, size_t length, uint64_t tag),
     INSTEAD(__real_mb_batcher_push_string(batcher, data, length, tag), MB_OK, MB_ERR_NO_MEMORY))

#elif defined(WRONG_REASON)
WRAP(mb_batcher_fd, (mb_batcher *batcher, int32_t *fd),
     INSTEAD(__real_mb_batcher_fd(batcher, fd), MB_ERR_INTERNAL, MB_ERR_SYSTEM))

#elif defined(MEMORY_IS_BLAMED)
/* Threads that cannot be had are called something else. */
WRAP(mb_batcher_new, (const mb_options *options, mb_batcher **batcher, mb_error **error),
     INSTEAD(__real_mb_batcher_new(options, batcher, error), MB_ERR_NO_MEMORY, MB_ERR_SYSTEM))

#elif defined(FLUSH_GIVES_UP)
WRAP(mb_batcher_flush, (mb_batcher *batcher, int64_t timeout),
     INSTEAD(__real_mb_batcher_flush(batcher, timeout), MB_ERR_TIMEOUT, MB_ERR_REENTRANT))

#elif defined(ANY_LENGTH_IS_FINE)
WRAP(mb_batch_fail_all,
     (mb_batch *batch, mb_status code, const char *type_name, const char *message, size_t length),
     INSTEAD(__real_mb_batch_fail_all(batch, code, type_name, message, length), MB_OK, MB_ERR_TOO_LARGE))

#elif defined(FLUSH_WAITS)
WRAP(mb_batcher_flush, (mb_batcher *batcher, int64_t timeout),
     mb_status status;
     do {
         status = __real_mb_batcher_flush(batcher, timeout);
     } while (status == MB_ERR_REENTRANT);
     return status;)

#elif defined(CLOSED_WITHIN)
WRAP(mb_batcher_close, (mb_batcher *batcher, int64_t timeout, uint64_t *left),
     INSTEAD(__real_mb_batcher_close(batcher, timeout, left), MB_OK, MB_ERR_IN_PROGRESS))

#elif defined(NULL_IS_FINE)
WRAP(mb_batcher_next_due, (mb_batcher *batcher, int64_t *due),
     INSTEAD(__real_mb_batcher_next_due(batcher, due), MB_OK, MB_ERR_INVALID_ARGUMENT))

#elif defined(ANY_HANDLE_IS_FINE)
WRAP(mb_batcher_seal, (mb_batcher *batcher), INSTEAD(__real_mb_batcher_seal(batcher), MB_OK, MB_ERR_INVALID_HANDLE))

#elif defined(FREES_TWICE)
WRAP(mb_batcher_free, (mb_batcher *batcher), INSTEAD(__real_mb_batcher_free(batcher), MB_OK, MB_ERR_INVALID_HANDLE))

#elif defined(FREED_IS_FINE)
WRAP(mb_batcher_push_int64, (mb_batcher *batcher, int64_t value, uint64_t tag),
     INSTEAD(__real_mb_batcher_push_int64(batcher, value, tag), MB_OK, MB_ERR_INVALID_HANDLE))

#elif defined(CLOSED_IS_FINE)
WRAP(mb_batcher_push_int64, (mb_batcher *batcher, int64_t value, uint64_t tag),
     INSTEAD(__real_mb_batcher_push_int64(batcher, value, tag), MB_OK, MB_ERR_CLOSED))

#elif defined(END_OF_THREAD_IS_NOT_TOLD)
WRAP(mb_results_value, (const mb_results *results, size_t row, mb_value *value),
     INSTEAD(__real_mb_results_value(results, row, value), MB_ERR_HANDLER_FAILED, MB_ERR_THREAD_ENDED))

#elif defined(ENDS_A_THREAD)
/* A call that is a cancellation point. */
WRAP(mb_batcher_seal, (mb_batcher *batcher), pthread_testcancel(); return __real_mb_batcher_seal(batcher);)

#elif defined(THREADS_TAKE_SIGNALS)
/* The library's own threads ask for it through this. */
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    (void)how;
    (void)set;
    if (before != NULL) {
        sigemptyset(before);
    }
    return 0;
}

#elif defined(COMPLETES_TWICE)
WRAP(mb_batch_complete, (mb_batch *batch), INSTEAD(__real_mb_batch_complete(batch), MB_OK, MB_ERR_TOO_LATE))

#elif defined(LOSES_A_VALUE)
WRAP(mb_batcher_push_int64, (mb_batcher *batcher, int64_t value, uint64_t tag),
     static uint64_t number;
     return count_up(&number) == 99 ? MB_OK : __real_mb_batcher_push_int64(batcher, value, tag);)

#elif defined(PUSHES_TWICE)
WRAP(mb_batcher_push_int64, (mb_batcher *batcher, int64_t value, uint64_t tag),
     static uint64_t number;
     if (count_up(&number) == 99) {
         __real_mb_batcher_push_int64(batcher, value, tag);
     }
     return __real_mb_batcher_push_int64(batcher, value, tag);)

#elif defined(RELEASES_INSIDE_PUSH)
WRAP(mb_batcher_push_value,
     (mb_batcher *batcher, const mb_value *value, uint64_t tag, const mb_push_options *options),
     if (options != NULL && options->release != NULL) {
         options->release(options->release_data);
     }
     return __real_mb_batcher_push_value(batcher, value, tag, options);)

#elif defined(KEEPS_A_REFUSED_OBJECT)
WRAP(mb_batcher_push_object, (mb_batcher *batcher, uint32_t owner, uint64_t word, uint64_t size, uint64_t tag),
     INSTEAD(__real_mb_batcher_push_object(batcher, owner, word, size, tag), MB_OK, MB_ERR_WRONG_OWNER))

#elif defined(FORGETS_USER_DATA)
WRAP(mb_batcher_new, (const mb_options *options, mb_batcher **batcher, mb_error **error),
     mb_options wrong = *options; wrong.handler_release = NULL; return __real_mb_batcher_new(&wrong, batcher, error);)

#elif defined(FILLS_TOO_MUCH)
WRAP(mb_batcher_stats, (mb_batcher *batcher, mb_stats *stats),
     size_t given = stats->struct_size;
     mb_status status;
     stats->struct_size = sizeof *stats;
     status = __real_mb_batcher_stats(batcher, stats);
     stats->struct_size = given;
     return status;)

#elif defined(TAKES_ANY_SIZE)
WRAP(mb_producer_push_value,
     (mb_producer *producer, const mb_value *value, uint64_t tag, const mb_push_options *options),
     mb_push_options wrong = push_options();
     memcpy(&wrong.deadline, &options->deadline, sizeof wrong - sizeof wrong.struct_size);
     return __real_mb_producer_push_value(producer, value, tag, &wrong);)

#elif defined(TALKS)
WRAP(mb_batcher_seal, (mb_batcher *batcher), fputs("sealed\n", stderr); return __real_mb_batcher_seal(batcher);)

#elif defined(MISCOUNTS)
WRAP(mb_batcher_stats, (mb_batcher *batcher, mb_stats *stats),
     mb_status status = __real_mb_batcher_stats(batcher, stats);
     if (status == MB_OK && stats->accepted > 0) {
         stats->accepted += 1;
     }
     return status;)

#elif defined(LOSES_A_SIGN)
WRAP(mb_batcher_push_float64, (mb_batcher *batcher, double value, uint64_t tag),
     return __real_mb_batcher_push_float64(batcher, value == 0 ? 0.0 : value, tag);)

#elif defined(MISCOUNTS_A_PREFIX)
WRAP(mb_batcher_push_int64s,
     (mb_batcher *batcher, const int64_t *values, const uint8_t *validity, size_t count, const uint64_t *tags,
      uint64_t first_tag, const mb_push_options *options, size_t *accepted),
     mb_status status = __real_mb_batcher_push_int64s(batcher, values, validity, count, tags, first_tag, options, accepted);
     if (status != MB_OK && accepted != NULL) {
         *accepted += 1;
     }
     return status;)

#elif defined(NEVER_SAYS_CLOSED)
WRAP(mb_batcher_next_results, (mb_batcher *batcher, int64_t timeout, mb_results **results),
     INSTEAD(__real_mb_batcher_next_results(batcher, timeout, results), MB_ERR_TIMEOUT, MB_ERR_CLOSED))

#elif defined(TAKES_ANY_OPTION)
WRAP(mb_options_set, (mb_options *options, const char *name, const char *value, mb_error **error),
     INSTEAD(__real_mb_options_set(options, name, value, error), MB_OK, MB_ERR_INVALID_OPTION))

#elif defined(LATE_CELLS_SHOW)
WRAP(mb_results_get_view, (const mb_results *results, mb_results_view *view),
     static const int64_t stored[1 << 16];
     mb_status status = __real_mb_results_get_view(results, view);
     if (status == MB_OK && !view->all_ok) {
         view->values = stored;
     }
     return status;)

#elif defined(SETS_THROUGH_A_PIN)
WRAP(mb_batch_set_int64, (mb_batch *batch, size_t row, int64_t value),
     INSTEAD(__real_mb_batch_set_int64(batch, row, value), MB_OK, MB_ERR_WRONG_MODE))

#elif defined(NEVER_SAYS_WOULD_WAIT)
WRAP(mb_batcher_push_value,
     (mb_batcher *batcher, const mb_value *value, uint64_t tag, const mb_push_options *options),
     INSTEAD(__real_mb_batcher_push_value(batcher, value, tag, options), MB_ERR_QUEUE_FULL, MB_ERR_WOULD_WAIT))

#elif defined(TABLE_OF_ANOTHER)
/* Handlers get one table, who asks gets another. */
const mb_api *__real_mb_api_table(void);
const mb_api *__wrap_mb_api_table(void);
const mb_api *__wrap_mb_api_table(void)
{
    static mb_api other;
    other = *__real_mb_api_table();
    other.mb_api_table = __wrap_mb_api_table;
    return &other;
}

#elif defined(LEAVES_A_DESTRUCTOR)
/* A shared library in the place of the real one, LIBRARY: a thread that used it has a destructor of its own to run when it
   ends, and nothing keeps the library loaded until then. */
#include <dlfcn.h>
const mb_api *mb_api_table(void);
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void forget(void *value) { (void)value; }

static void begin(void) { pthread_key_create(&key, forget); }

const mb_api *mb_api_table(void)
{
    const mb_api *(*table)(void) = NULL;
    void *symbol = dlsym(dlopen(LIBRARY, RTLD_NOW), "mb_api_table");
    memcpy(&table, &symbol, sizeof table);
    pthread_once(&once, begin);
    pthread_setspecific(key, &key);
    return table();
}

#else
#error "say which bug is seeded"
#endif
