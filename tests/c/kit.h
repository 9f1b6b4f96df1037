/* What programs here share besides the checks: options, handlers, a ledger of results, a door for handlers that do
   not return. */

#ifndef KIT_H
#define KIT_H

#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "microbatch.h"

static inline void check_status(const char *file, int line, const char *what, mb_status is, mb_status expected)
{
    if (is != expected) {
        check_tell(file, line, "%s answers %s (%d), not %s (%d)", what, mb_status_name(is), (int)is,
                   mb_status_name(expected), (int)expected);
        _exit(1);
    }
}

#define CHECK_STATUS(call, expected) check_status(__FILE__, __LINE__, #call, (call), (expected))
#define CHECK_OK(call) CHECK_STATUS(call, MB_OK)

/* ---- options -------------------------------------------------------------------------------------------- */

/* All defaults. */
static inline mb_options defaults(void)
{
    mb_options options;
    CHECK_OK(mb_options_init(&options, sizeof options));
    return options;
}

/* No thread, time stands still, no batch is due by time. */
static inline mb_options timeless(void)
{
    mb_options options = defaults();
    options.mode = MB_MODE_MANUAL;
    options.clock = MB_CLOCK_GIVEN;
    options.max_delay = MB_FOREVER;
    return options;
}

static inline mb_batcher *made(const mb_options *options)
{
    mb_batcher *batcher = NULL;
    mb_error *error = NULL;
    if (mb_batcher_new(options, &batcher, &error) != MB_OK) {
        FAIL("no batcher: %s", mb_error_message(error));
    }
    CHECK(batcher != NULL && error == NULL);
    return batcher;
}

/* ---- values --------------------------------------------------------------------------------------------- */

static inline mb_value value_of(uint32_t kind)
{
    mb_value value;
    memset(&value, 0, sizeof value);
    value.kind = kind;
    return value;
}

static inline mb_value int64_value(int64_t number)
{
    mb_value value = value_of(MB_KIND_INT64);
    value.as.int64 = number;
    return value;
}

static inline mb_value float64_value(double number)
{
    mb_value value = value_of(MB_KIND_FLOAT64);
    value.as.float64 = number;
    return value;
}

static inline mb_value text_value(uint32_t kind, const void *data, size_t length)
{
    mb_value value = value_of(kind);
    value.as.string.data = data;
    value.as.string.length = length;
    return value;
}

static inline mb_value object_value(uint32_t owner, uint64_t word, uint64_t size)
{
    mb_value value = value_of(MB_KIND_OBJECT);
    value.owner = owner;
    value.as.object.word = word;
    value.as.object.size = size;
    return value;
}

static inline mb_push_options push_options(void)
{
    mb_push_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    return options;
}

/* ---- handlers ------------------------------------------------------------------------------------------- */

static inline mb_batch_view batch_view(mb_batch *batch)
{
    mb_batch_view view;
    view.struct_size = sizeof view;
    CHECK_OK(mb_batch_get_view(batch, &view));
    return view;
}

static inline mb_results_view results_view(const mb_results *results)
{
    mb_results_view view;
    view.struct_size = sizeof view;
    CHECK_OK(mb_results_get_view(results, &view));
    return view;
}

/* Answers every value with itself; an object with its word, as an integer. */
static inline void answer_all(mb_batch *batch)
{
    mb_batch_view view = batch_view(batch);
    size_t row;
    for (row = 0; row < view.count; row++) {
        mb_value value;
        CHECK_OK(mb_batch_value(batch, row, &value));
        if (value.kind == MB_KIND_OBJECT) {
            CHECK_OK(mb_batch_set_int64(batch, row, (int64_t)value.as.object.word));
        } else {
            CHECK_OK(mb_batch_set_value(batch, row, &value));
        }
    }
}

/* A handler that does just that. */
static inline mb_status echo(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    answer_all(batch);
    return MB_OK;
}

/* ---- the ledger ----------------------------------------------------------------------------------------- */

/* What came back for one tag. */
typedef struct entry {
    unsigned times;
    uint32_t outcome;
    uint32_t handled;
    uint32_t kind;
    mb_status code;
    uint64_t batch;
    uint64_t cell;       /* of numbers and objects: the bits */
    size_t length;       /* of text */
    char text[64];       /* how it begins */
    char type_name[32];  /* of a failure */
    char message[192];
} entry;

/* Results by tag, which must be below count. */
typedef struct ledger {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    entry *entries;
    size_t count;
    uint64_t rows;
    uint64_t sets;
    uint64_t by_outcome[5];
} ledger;

static inline void ledger_open(ledger *book, size_t count)
{
    memset(book, 0, sizeof *book);
    CHECK_EQ(pthread_mutex_init(&book->lock, NULL), 0);
    CHECK_EQ(pthread_cond_init(&book->changed, NULL), 0);
    book->entries = calloc(count, sizeof *book->entries);
    CHECK(book->entries != NULL);
    book->count = count;
}

static inline void ledger_close(ledger *book)
{
    free(book->entries);
    pthread_cond_destroy(&book->changed);
    pthread_mutex_destroy(&book->lock);
}

static inline void ledger_note_row(ledger *book, const mb_results *results, const mb_results_view *view, size_t row)
{
    mb_value value;
    entry *note;
    mb_status status;
    if (view->tags[row] >= book->count) {
        FAIL("a result with tag %llu", (unsigned long long)view->tags[row]);
    }
    note = &book->entries[view->tags[row]];
    note->times += 1;
    note->batch = view->batch;
    note->outcome = view->outcomes ? view->outcomes[row] : MB_OUTCOME_OK;
    note->handled = view->handled ? view->handled[row] : MB_HANDLED_YES;
    note->kind = view->kinds[row];
    memcpy(&note->cell, (const char *)view->values + 8 * row, 8);
    CHECK(note->outcome <= MB_OUTCOME_DISCARDED && note->handled <= MB_HANDLED_YES);
    book->by_outcome[note->outcome] += 1;
    status = mb_results_value(results, row, &value);
    note->code = status;
    if (note->outcome == MB_OUTCOME_OK) {
        CHECK_STATUS(status, MB_OK);
        CHECK_EQ(value.kind, note->kind);
        if (value.kind == MB_KIND_STRING || value.kind == MB_KIND_BYTES) {
            size_t most = sizeof note->text - 1;
            note->length = value.as.string.length;
            if (note->length > 0) {
                memcpy(note->text, value.as.string.data, note->length < most ? note->length : most);
            }
        }
    } else {
        mb_row_error why;
        why.struct_size = sizeof why;
        CHECK(status != MB_OK);
        CHECK_EQ(note->kind, MB_KIND_NONE);
        CHECK_EQ((int64_t)note->cell, status);
        CHECK_OK(mb_results_error(results, row, &why));
        CHECK_STATUS(why.code, status);
        CHECK_EQ(why.handled, note->handled);
        CHECK_EQ(strlen(why.message), why.length);
        snprintf(note->type_name, sizeof note->type_name, "%s", why.type_name);
        snprintf(note->message, sizeof note->message, "%s", why.message);
    }
}

/* Notes a set, which it only reads. */
static inline void ledger_note(ledger *book, const mb_results *results)
{
    mb_results_view view = results_view(results);
    size_t row;
    pthread_mutex_lock(&book->lock);
    for (row = 0; row < view.count; row++) {
        ledger_note_row(book, results, &view, row);
    }
    book->rows += view.count;
    book->sets += 1;
    pthread_cond_broadcast(&book->changed);
    pthread_mutex_unlock(&book->lock);
}

/* An on_result whose user data is the ledger. */
static inline void note_results(void *user_data, const mb_results *results, const mb_api *api)
{
    (void)api;
    ledger_note(user_data, results);
}

/* Waits until this many results came. */
static inline void ledger_wait(ledger *book, uint64_t rows)
{
    pthread_mutex_lock(&book->lock);
    while (book->rows < rows) {
        pthread_cond_wait(&book->changed, &book->lock);
    }
    pthread_mutex_unlock(&book->lock);
}

/* The one result of a tag. */
static inline const entry *ledger_entry(const char *file, int line, const ledger *book, uint64_t tag)
{
    if (tag >= book->count || book->entries[tag].times != 1) {
        check_tell(file, line, "tag %llu has %u results", (unsigned long long)tag,
                   tag < book->count ? book->entries[tag].times : 0);
        _exit(1);
    }
    return &book->entries[tag];
}

#define RESULT(book, tag) ledger_entry(__FILE__, __LINE__, (book), (tag))

/* Every tag from 0 on, as many as said, has exactly one result, and no other has any. */
static inline void check_exactly_once(const char *file, int line, const ledger *book, uint64_t count)
{
    uint64_t tag;
    for (tag = 0; tag < book->count; tag++) {
        if (book->entries[tag].times != (tag < count ? 1u : 0u)) {
            check_tell(file, line, "tag %llu of %llu has %u results", (unsigned long long)tag,
                       (unsigned long long)count, book->entries[tag].times);
            _exit(1);
        }
    }
    check_equal(file, line, "results", (long long)book->rows, (long long)count);
}

#define CHECK_EXACTLY_ONCE(book, count) check_exactly_once(__FILE__, __LINE__, (book), (count))

/* ---- stats ---------------------------------------------------------------------------------------------- */

static inline mb_stats stats_of(mb_batcher *batcher)
{
    mb_stats stats;
    stats.struct_size = sizeof stats;
    CHECK_OK(mb_batcher_stats(batcher, &stats));
    CHECK_EQ(stats.accepted, stats.ok + stats.failed + stats.expired + stats.cancelled + stats.discarded
                                 + stats.outstanding);
    return stats;
}

/* ---- handlers that do not return ------------------------------------------------------------------------ */

/* Where callbacks stop until the test lets them go on. */
typedef struct door {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned came;
    int open;
} door;

#define DOOR { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0 }

static inline void door_stop(door *at)
{
    pthread_mutex_lock(&at->lock);
    at->came += 1;
    pthread_cond_broadcast(&at->changed);
    while (!at->open) {
        pthread_cond_wait(&at->changed, &at->lock);
    }
    pthread_mutex_unlock(&at->lock);
}

static inline void door_wait(door *at, unsigned came)
{
    pthread_mutex_lock(&at->lock);
    while (at->came < came) {
        pthread_cond_wait(&at->changed, &at->lock);
    }
    pthread_mutex_unlock(&at->lock);
}

static inline void door_open(door *at)
{
    pthread_mutex_lock(&at->lock);
    at->open = 1;
    pthread_cond_broadcast(&at->changed);
    pthread_mutex_unlock(&at->lock);
}

/* A handler that stops at the door in its user data and sets nothing. */
static inline mb_status stop_at_door(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)batch;
    (void)api;
    door_stop(user_data);
    return MB_OK;
}

/* ---- numbers that threads share ------------------------------------------------------------------------- */

static inline uint64_t counted(const uint64_t *number)
{
    return __atomic_load_n(number, __ATOMIC_SEQ_CST);
}

static inline uint64_t count_up(uint64_t *number)
{
    return __atomic_add_fetch(number, 1, __ATOMIC_SEQ_CST);
}

/* A release whose user data is a count. */
static inline void count_release(void *user_data)
{
    count_up(user_data);
}

/* A handler for calls that are refused. */
static inline mb_status never(void *user_data, mb_batch *given, const mb_api *api)
{
    (void)user_data;
    (void)given;
    (void)api;
    FAIL("a refused call runs its handler");
    return MB_OK;
}

/* Between two looks at what another thread will change: the watchdog bounds how many there are. */
static inline void between_looks(void)
{
    struct timespec pause = { 0, 200000 };
    nanosleep(&pause, NULL);
}

/* Waits for a count that another thread will reach. */
static inline void wait_count(const uint64_t *number, uint64_t expected)
{
    while (counted(number) < expected) {
        between_looks();
    }
}

static inline pthread_t started(void *(*entry)(void *), void *argument)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, entry, argument), 0);
    return thread;
}

static inline void joined(pthread_t thread)
{
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

#endif
