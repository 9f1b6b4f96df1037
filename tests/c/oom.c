/* P33: memory runs out at each allocation there is, once, and from there on for good. Every call answers a status, nothing
   aborts, every accepted value has exactly one result, every reference and owned array comes back, nothing leaks.

   malloc and its relatives are this program's own: they count, and fail when told. So the library is linked static, and
   no sanitizer has malloc instead. */

#include "kit.h"

#include <errno.h>
#include <sys/wait.h>

/* ---- an allocator that fails ------------------------------------------------------------------------------- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

/* Allocations since the scenario began, the one that fails (0: none), whether all fail from there on. */
static uint64_t asked;
static uint64_t failing;
static int for_good;
static uint64_t failed;
/* Blocks that are not freed. */
static int64_t live;

static int refuses(void)
{
    uint64_t number;
    if (counted(&failing) == 0) {
        return 0;
    }
    number = count_up(&asked);
    if (number == failing || (for_good && number > failing)) {
        count_up(&failed);
        errno = ENOMEM;
        return 1;
    }
    return 0;
}

static void *given(void *memory)
{
    if (memory != NULL) {
        __atomic_add_fetch(&live, 1, __ATOMIC_SEQ_CST);
    }
    return memory;
}

void *malloc(size_t size)
{
    return refuses() ? NULL : given(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return refuses() ? NULL : given(__libc_calloc(count, size));
}

void *realloc(void *memory, size_t size)
{
    if (memory == NULL) {
        return malloc(size);
    }
    return refuses() ? NULL : __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size)
{
    return refuses() ? NULL : given(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    void *made_here = memalign(alignment, size);
    if (made_here == NULL) {
        return ENOMEM;
    }
    *memory = made_here;
    return 0;
}

void free(void *memory)
{
    if (memory != NULL) {
        __atomic_sub_fetch(&live, 1, __ATOMIC_SEQ_CST);
        __libc_free(memory);
    }
}

/* ---- what happened ------------------------------------------------------------------------------------------- */

#define TAGS 512

static struct {
    int accepted[TAGS];
    uint64_t results[TAGS];
    uint64_t next_tag;
    uint64_t owned_accepted;
    uint64_t owned_released;
    uint64_t objects_given;
    uint64_t objects_released;
    uint64_t data_released;
    uint64_t no_memory;
    uint64_t logged;
} now;

static const char *scene;

/* Where a scenario fails, and at which allocation. */
#define OOM_CHECK(condition) \
    ((condition) ? (void)0 \
     : FAIL("%s, allocation %d%s: not so: %s", scene, (int)failing, for_good ? " and all after it" : "", #condition))

#define OOM_EQ(is, expected) \
    ((long long)(is) == (long long)(expected) ? (void)0 \
     : FAIL("%s, allocation %d%s: %s is %lld, not %lld", scene, (int)failing, for_good ? " and all after it" : "", #is, \
            (long long)(is), (long long)(expected)))

/* A status that a call may answer when there is no memory: this, or NO_MEMORY if any was refused at all. */
static mb_status one_of(int line, const char *what, mb_status is, mb_status expected)
{
    if (is == MB_ERR_NO_MEMORY && counted(&failed) > 0) {
        count_up(&now.no_memory);
    } else if (is != expected) {
        FAIL("%s, allocation %d%s: line %d: %s answers %s", scene, (int)failing, for_good ? " and all after it" : "", line,
             what, mb_status_name(is));
    }
    return is;
}

#define OK_OR_NO_MEMORY(call) one_of(__LINE__, #call, (call), MB_OK)
#define ALWAYS_OK(call) \
    do { \
        mb_status status_ = (call); \
        if (status_ != MB_OK) { \
            FAIL("%s, allocation %d%s: %s answers %s", scene, (int)failing, for_good ? " and all after it" : "", #call, \
                 mb_status_name(status_)); \
        } \
    } while (0)

static void note_result(uint64_t tag)
{
    OOM_CHECK(tag < TAGS);
    count_up(&now.results[tag]);
}

static void read_all(const mb_results *results)
{
    mb_results_view view;
    mb_column column;
    size_t row;
    view.struct_size = sizeof view;
    ALWAYS_OK(mb_results_get_view(results, &view));
    for (row = 0; row < view.count; row++) {
        mb_value value;
        mb_row_error why;
        mb_status status = mb_results_value(results, row, &value);
        uint32_t outcome = view.outcomes ? view.outcomes[row] : MB_OUTCOME_OK;
        OOM_CHECK((status == MB_OK) == (outcome == MB_OUTCOME_OK));
        why.struct_size = sizeof why;
        one_of(__LINE__, "mb_results_error", mb_results_error(results, row, &why),
               status == MB_OK ? MB_ERR_NOT_FOUND : MB_OK);
    }
    column.struct_size = sizeof column;
    OK_OR_NO_MEMORY(mb_results_strings(results, &column));
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    mb_results_view view;
    size_t row;
    (void)user_data;
    (void)api;
    view.struct_size = sizeof view;
    ALWAYS_OK(mb_results_get_view(results, &view));
    for (row = 0; row < view.count; row++) {
        note_result(view.tags[row]);
    }
    read_all(results);
}

static void release_owned(void *user_data)
{
    (void)user_data;
    count_up(&now.owned_released);
}

static void release_object(void *user_data, uint64_t word)
{
    (void)user_data;
    (void)word;
    count_up(&now.objects_released);
}

static void release_data(void *user_data)
{
    (void)user_data;
    count_up(&now.data_released);
}

static void log_line(void *user_data, int32_t level, const char *message, size_t length)
{
    (void)user_data;
    OOM_CHECK(level >= 0 && level <= 3 && length > 0 && message[0] != 0);
    count_up(&now.logged);
}

/* ---- handlers: all that a handler can do -------------------------------------------------------------------- */

static uint32_t owner;
/* Handlers answer with objects too. */
static int object_results;

static void answer(mb_batch *batch)
{
    mb_batch_view view;
    mb_column column;
    uint32_t kind;
    size_t row;
    view.struct_size = sizeof view;
    ALWAYS_OK(mb_batch_get_view(batch, &view));
    column.struct_size = sizeof column;
    for (kind = 0; kind < MB_KINDS; kind++) {
        OK_OR_NO_MEMORY(mb_batch_gather(batch, kind, &column));
    }
    for (row = 0; row < view.count; row++) {
        mb_value value;
        mb_status status;
        ALWAYS_OK(mb_batch_value(batch, row, &value));
        switch (view.tags[row] % (object_results ? 5 : 3)) {
        case 0:
            ALWAYS_OK(mb_batch_set_int64(batch, row, 1));
            break;
        case 1:
            OK_OR_NO_MEMORY(mb_batch_set_string(batch, row, "a string of some length as a result", 35));
            break;
        case 2:
            OK_OR_NO_MEMORY(mb_batch_fail(batch, row, 5, "Type", "a message of some length that says why", 38));
            break;
        case 3:
            /* Replaced by another, and that by a number. */
            status = OK_OR_NO_MEMORY(mb_batch_set_object(batch, row, owner, 5, 0));
            now.objects_given += status == MB_OK;
            status = OK_OR_NO_MEMORY(mb_batch_set_object(batch, row, owner, 6, 0));
            now.objects_given += status == MB_OK;
            break;
        default:
            status = OK_OR_NO_MEMORY(mb_batch_set_object(batch, row, owner, 7, 0));
            now.objects_given += status == MB_OK;
            OK_OR_NO_MEMORY(mb_batch_set_float64(batch, row, 0.5));
        }
    }
}

static mb_status handler(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    answer(batch);
    return MB_OK;
}

/* Keeps its batch if there is memory for that, and finishes it in another way each time. */
static mb_batch *kept[TAGS];
static size_t kept_count;

static mb_status keeping(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    answer(batch);
    if (OK_OR_NO_MEMORY(mb_batch_keep(batch)) == MB_OK) {
        kept[kept_count++] = batch;
    }
    return MB_OK;
}

static void finish_kept(void)
{
    while (kept_count > 0) {
        mb_batch *batch = kept[--kept_count];
        if (kept_count % 3 == 0) {
            OK_OR_NO_MEMORY(mb_batch_fail_all(batch, 6, "All", "of them", 7));
        }
        ALWAYS_OK(kept_count % 2 ? mb_batch_free(batch) : mb_batch_complete(batch));
    }
}

/* Sets all rows at once, in another way each time. The object comes last: it is given if all of them are. */
#define MOST_ROWS 32

static void answer_at_once(mb_batch *batch, int in_map)
{
    static const int64_t integers[MOST_ROWS];
    static const double numbers[MOST_ROWS];
    static const uint8_t validity[MOST_ROWS / 8] = { 0x55, 0xaa, 0x55, 0xaa };
    int32_t offsets[MOST_ROWS + 1];
    mb_value values[MOST_ROWS];
    mb_batch_view view;
    mb_batch *pinned = NULL;
    size_t row;
    view.struct_size = sizeof view;
    ALWAYS_OK(mb_batch_get_view(batch, &view));
    OOM_CHECK(view.count <= MOST_ROWS);
    if (!in_map && OK_OR_NO_MEMORY(mb_batch_pin(batch, &pinned)) == MB_OK) {
        ALWAYS_OK(mb_batch_free(pinned));
    }
    for (row = 0; row < view.count; row++) {
        offsets[row] = (int32_t)(5 * row);
        values[row] = row % 2 ? int64_value(1) : text_value(MB_KIND_BYTES, "some bytes as a result", 22);
    }
    offsets[view.count] = (int32_t)(5 * view.count);
    switch (view.number % 4) {
    case 0:
        OK_OR_NO_MEMORY(mb_batch_set_int64s(batch, integers, validity, view.count));
        break;
    case 1:
        OK_OR_NO_MEMORY(mb_batch_set_float64s(batch, numbers, NULL, view.count));
        break;
    case 2: {
        static const char text[5 * MOST_ROWS] = "text of the first row, and nothing but NULs for the others";
        OK_OR_NO_MEMORY(mb_batch_set_strings(batch, text, offsets, validity, view.count));
        break;
    }
    default:
        if (!in_map) {
            values[view.count - 1] = object_value(owner, 9, 0);
        }
        if (OK_OR_NO_MEMORY(mb_batch_set_values(batch, values, view.count)) == MB_OK && !in_map) {
            now.objects_given += 1;
        }
    }
    if (view.number % 3 == 0) {
        OK_OR_NO_MEMORY(mb_batch_set_bytes(batch, 0, "a row of its own once more", 26));
        values[0] = text_value(MB_KIND_STRING, "and once more as a value", 24);
        OK_OR_NO_MEMORY(mb_batch_set_value(batch, 0, &values[0]));
    }
}

static mb_status at_once(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    answer_at_once(batch, 0);
    return MB_OK;
}

static mb_status at_once_in_map(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    answer_at_once(batch, 1);
    return MB_OK;
}

static mb_status fails(void *user_data, mb_batch *batch, const mb_api *api)
{
    (void)user_data;
    (void)api;
    answer(batch);
    return 9;
}

/* ---- pushing all there is ------------------------------------------------------------------------------------ */

static uint64_t tag(void)
{
    OOM_CHECK(now.next_tag < TAGS);
    return now.next_tag++;
}

static int took(mb_status status, uint64_t of)
{
    now.accepted[of] += status == MB_OK;
    return status == MB_OK;
}

static void push_all(mb_batcher *batcher, mb_producer *producer)
{
    static const int64_t integers[5] = { 1, 2, 3, 4, 5 };
    static const uint8_t validity[1] = { 0x15 };
    static const int32_t offsets[4] = { 0, 3, 6, 9 };
    static const int64_t large_offsets[4] = { 0, 3, 6, 9 };
    static const double numbers[2] = { 0.5, 1.5 };
    mb_push_options options = push_options();
    mb_value value = int64_value(1);
    mb_value many[4];
    uint64_t of;
    uint64_t first;
    size_t accepted;
    size_t at;
    of = tag();
    took(OK_OR_NO_MEMORY(mb_batcher_push_null(batcher, of)), of);
    of = tag();
    took(OK_OR_NO_MEMORY(mb_batcher_push_bool(batcher, 1, of)), of);
    of = tag();
    took(OK_OR_NO_MEMORY(mb_batcher_push_int64(batcher, 1, of)), of);
    of = tag();
    took(OK_OR_NO_MEMORY(mb_batcher_push_float64(batcher, 1, of)), of);
    of = tag();
    took(OK_OR_NO_MEMORY(mb_batcher_push_string(batcher, "a string", 8, of)), of);
    of = tag();
    took(OK_OR_NO_MEMORY(mb_batcher_push_bytes(batcher, "bytes", 5, of)), of);
    of = tag();
    now.objects_given += (uint64_t)took(OK_OR_NO_MEMORY(mb_batcher_push_object(batcher, owner, 1, 100, of)), of);
    options.deadline = 50;
    of = tag();
    took(OK_OR_NO_MEMORY(mb_batcher_push_value(batcher, &value, of, &options)), of);
    options.deadline = 0;
    options.release = release_owned;
    value = text_value(MB_KIND_STRING, "an owned string", 15);
    of = tag();
    now.owned_accepted += (uint64_t)took(OK_OR_NO_MEMORY(mb_batcher_push_value(batcher, &value, of, &options)), of);

    first = now.next_tag;
    now.next_tag += 5;
    OK_OR_NO_MEMORY(mb_batcher_push_int64s(batcher, integers, validity, 5, NULL, first, NULL, &accepted));
    for (at = 0; at < accepted; at++) {
        now.accepted[first + at] += 1;
    }
    first = now.next_tag;
    now.next_tag += 3;
    OK_OR_NO_MEMORY(mb_batcher_push_strings(batcher, "onetwosix", offsets, NULL, 3, NULL, first, &options, &accepted));
    now.owned_accepted += accepted > 0;
    for (at = 0; at < accepted; at++) {
        now.accepted[first + at] += 1;
    }
    many[0] = int64_value(1);
    many[1] = text_value(MB_KIND_BYTES, "some bytes", 10);
    many[2] = object_value(owner, 2, 0);
    many[3] = value_of(MB_KIND_NULL);
    first = now.next_tag;
    now.next_tag += 4;
    OK_OR_NO_MEMORY(mb_batcher_push_values(batcher, many, 4, NULL, first, NULL, &accepted));
    now.objects_given += accepted > 2;
    for (at = 0; at < accepted; at++) {
        now.accepted[first + at] += 1;
    }
    first = now.next_tag;
    now.next_tag += 2;
    OK_OR_NO_MEMORY(mb_batcher_push_float64s(batcher, numbers, NULL, 2, NULL, first, NULL, &accepted));
    for (at = 0; at < accepted; at++) {
        now.accepted[first + at] += 1;
    }
    first = now.next_tag;
    now.next_tag += 3;
    OK_OR_NO_MEMORY(
        mb_batcher_push_large_strings(batcher, "onetwosix", large_offsets, validity, 3, NULL, first, NULL, &accepted));
    for (at = 0; at < accepted; at++) {
        now.accepted[first + at] += 1;
    }
    if (producer) {
        of = tag();
        took(OK_OR_NO_MEMORY(mb_producer_push_null(producer, of)), of);
        of = tag();
        took(OK_OR_NO_MEMORY(mb_producer_push_bool(producer, 1, of)), of);
        of = tag();
        took(OK_OR_NO_MEMORY(mb_producer_push_float64(producer, 1, of)), of);
        of = tag();
        took(OK_OR_NO_MEMORY(mb_producer_push_bytes(producer, "bytes", 5, of)), of);
        of = tag();
        now.objects_given += (uint64_t)took(OK_OR_NO_MEMORY(mb_producer_push_object(producer, owner, 3, 0, of)), of);
        of = tag();
        now.owned_accepted += (uint64_t)took(OK_OR_NO_MEMORY(mb_producer_push_value(producer, &value, of, &options)), of);
        for (at = 0; at < 5; at++) {
            of = tag();
            took(OK_OR_NO_MEMORY(mb_producer_push_int64(producer, 1, of)), of);
        }
        of = tag();
        took(OK_OR_NO_MEMORY(mb_producer_push_string(producer, "by a producer", 13, of)), of);
    }
}

/* ---- scenarios ----------------------------------------------------------------------------------------------- */

static mb_batcher *new_batcher(mb_options options)
{
    mb_batcher *batcher = NULL;
    mb_error *error = NULL;
    mb_status status;
    options.owner = owner;
    options.object_release = release_object;
    options.log = log_line;
    options.handler_release = options.result_release = options.object_data_release = options.log_release = release_data;
    status = mb_batcher_new(&options, &batcher, &error);
    if (status == MB_OK) {
        OOM_CHECK(batcher != NULL && error == NULL);
        return batcher;
    }
    OOM_CHECK(counted(&failed) > 0);
    OOM_CHECK(status == MB_ERR_NO_MEMORY || status == MB_ERR_SYSTEM);
    /* There is an error even so. */
    OOM_CHECK(batcher == NULL && error != NULL);
    OOM_EQ(mb_error_code(error), status);
    OOM_CHECK(strlen(mb_error_message(error)) > 0);
    mb_error_free(error);
    OOM_EQ(now.data_released, 0);
    return NULL;
}

static void look(mb_batcher *batcher)
{
    char page[256];
    mb_value value = text_value(MB_KIND_STRING, "\xff", 1);
    mb_error *error = NULL;
    mb_stats stats;
    mb_shared shared;
    int64_t time;
    int32_t fd;
    stats.struct_size = sizeof stats;
    ALWAYS_OK(mb_batcher_stats(batcher, &stats));
    OOM_EQ(stats.accepted,
           stats.ok + stats.failed + stats.expired + stats.cancelled + stats.discarded + stats.outstanding);
    ALWAYS_OK(mb_batcher_stats_text(batcher, page, sizeof page, NULL));
    shared.struct_size = sizeof shared;
    ALWAYS_OK(mb_batcher_share(batcher, &shared));
    ALWAYS_OK(mb_batcher_next_due(batcher, &time));
    ALWAYS_OK(mb_batcher_now(batcher, &time));
    ALWAYS_OK(mb_batcher_fd(batcher, &fd));
    ALWAYS_OK(mb_batcher_room(batcher, 0));
    /* An error has a code and words, whatever memory there is. */
    OOM_EQ(mb_batcher_check(batcher, &value, &error), MB_ERR_INVALID_UTF8);
    OOM_EQ(mb_error_code(error), MB_ERR_INVALID_UTF8);
    OOM_CHECK(strlen(mb_error_message(error)) > 0);
    mb_error_free(error);
}

static void settle_accounts(int batcher_was_made)
{
    uint64_t of;
    for (of = 0; of < TAGS; of++) {
        if (now.results[of] != (uint64_t)now.accepted[of]) {
            FAIL("%s, allocation %d%s: value %d was accepted %d times and has %d results", scene, (int)failing,
                 for_good ? " and all after it" : "", (int)of, now.accepted[of], (int)now.results[of]);
        }
    }
    OOM_EQ(now.owned_released, now.owned_accepted);
    OOM_EQ(now.objects_released, now.objects_given);
    OOM_EQ(now.data_released, batcher_was_made ? 4 : 0);
}

/* Manual, on a given clock: everything in one thread. */
static void by_hand(mb_handler_fn of_integers)
{
    mb_options options = timeless();
    mb_batcher *batcher;
    mb_producer *producer = NULL;
    mb_status status;
    uint64_t cancelled;
    uint64_t mark;
    int round;
    options.handler = handler;
    options.by_kind[MB_KIND_INT64].call = of_integers;
    options.by_kind[MB_KIND_STRING].call = handler;
    options.on_result = on_result;
    options.max_batch_size = 12;
    options.max_in_flight = 3;
    options.delivery = MB_DELIVERY_ORDERED;
    batcher = new_batcher(options);
    if (batcher == NULL) {
        settle_accounts(0);
        return;
    }
    OK_OR_NO_MEMORY(mb_producer_new(batcher, &producer));
    for (round = 0; round < 2; round++) {
        uint64_t first = now.next_tag;
        push_all(batcher, producer);
        look(batcher);
        status = mb_batcher_cancel(batcher, first + 2, &cancelled);
        one_of(__LINE__, "mb_batcher_cancel", status, now.accepted[first + 2] ? MB_OK : MB_ERR_NOT_FOUND);
        OOM_EQ(cancelled, status == MB_OK);
        ALWAYS_OK(mb_batcher_advance(batcher, 50 * (round + 1)));
        ALWAYS_OK(mb_batcher_flush_begin(batcher, &mark));
        ALWAYS_OK(mb_batcher_run(batcher));
        finish_kept();
        ALWAYS_OK(mb_batcher_run(batcher));
        finish_kept();
        look(batcher);
    }
    ALWAYS_OK(mb_producer_free(producer));
    for (round = 0; round < 10; round++) {
        status = mb_batcher_close(batcher, MB_FOREVER, NULL);
        finish_kept();
        if (status == MB_OK) {
            break;
        }
        OOM_EQ(status, MB_ERR_IN_PROGRESS);
    }
    ALWAYS_OK(mb_batcher_free(batcher));
    finish_kept();
    settle_accounts(1);
}

static void handled(void)
{
    by_hand(handler);
}

static void with_objects(void)
{
    by_hand(handler);
}

static void failing_with_objects(void)
{
    by_hand(fails);
}

static void kept_batches(void)
{
    by_hand(keeping);
}

static void set_at_once(void)
{
    by_hand(at_once);
}

/* Freed without waiting, with values in every state. */
static void abandoned(void)
{
    mb_options options = timeless();
    mb_batcher *batcher;
    mb_producer *producer = NULL;
    options.handler = keeping;
    options.on_result = on_result;
    options.max_batch_size = 10;
    options.max_in_flight = 2;
    batcher = new_batcher(options);
    if (batcher == NULL) {
        settle_accounts(0);
        return;
    }
    OK_OR_NO_MEMORY(mb_producer_new(batcher, &producer));
    push_all(batcher, producer);
    ALWAYS_OK(mb_batcher_run(batcher));
    push_all(batcher, producer);
    ALWAYS_OK(mb_batcher_abandon(batcher));
    while (kept_count > 0) {
        mb_batch *batch = kept[--kept_count];
        mb_status status = kept_count % 2 ? mb_batch_free(batch) : mb_batch_complete(batch);
        OOM_CHECK(status == MB_OK || status == MB_ERR_TOO_LATE);
    }
    ALWAYS_OK(mb_producer_free(producer));
    settle_accounts(1);
}

static void failing_parts(void)
{
    by_hand(fails);
}

/* Waiting values are discarded for room, time-outs end batches, free ends the rest. */
static void discarded(void)
{
    mb_options options = timeless();
    mb_batcher *batcher;
    options.handler = keeping;
    options.on_result = on_result;
    options.queue_capacity = 10;
    options.result_capacity = TAGS;
    options.max_batch_size = 10;
    options.on_full = MB_FULL_DISCARD_OLDEST;
    options.handler_timeout = 5;
    batcher = new_batcher(options);
    if (batcher == NULL) {
        settle_accounts(0);
        return;
    }
    push_all(batcher, NULL);
    ALWAYS_OK(mb_batcher_run(batcher));
    push_all(batcher, NULL);
    ALWAYS_OK(mb_batcher_advance(batcher, 20));
    ALWAYS_OK(mb_batcher_run(batcher));
    look(batcher);
    push_all(batcher, NULL);
    ALWAYS_OK(mb_batcher_free(batcher));
    while (kept_count > 0) {
        mb_batch *batch = kept[--kept_count];
        mb_status status = mb_batch_free(batch);
        OOM_CHECK(status == MB_OK || status == MB_ERR_TOO_LATE);
    }
    settle_accounts(1);
}

/* A host that pulls both ways. */
static void pulled(void)
{
    mb_options options = timeless();
    mb_batcher *batcher;
    mb_batch *batch = NULL;
    mb_results *results = NULL;
    mb_status status;
    int lack;
    options.results = MB_RESULTS_PULL;
    options.max_batch_size = 7;
    options.max_in_flight = 4;
    batcher = new_batcher(options);
    if (batcher == NULL) {
        settle_accounts(0);
        return;
    }
    push_all(batcher, NULL);
    ALWAYS_OK(mb_batcher_seal(batcher));
    for (lack = 0; lack < 3;) {
        status = mb_batcher_next_batch(batcher, 0, &batch);
        if (status == MB_OK) {
            answer(batch);
            ALWAYS_OK(mb_batch_complete_ok(batch));
        } else if (status == MB_ERR_TIMEOUT) {
            break;
        } else {
            OOM_CHECK(status == MB_ERR_NO_MEMORY && counted(&failed) > 0);
            lack += 1;
        }
    }
    for (lack = 0; lack < 3;) {
        status = mb_batcher_next_results(batcher, 0, &results);
        if (status == MB_OK) {
            on_result(NULL, results, NULL);
            ALWAYS_OK(mb_results_free(results));
        } else if (status == MB_ERR_TIMEOUT) {
            break;
        } else {
            OOM_CHECK(status == MB_ERR_NO_MEMORY && counted(&failed) > 0);
            lack += 1;
        }
    }
    look(batcher);
    if (lack < 3) {
        ALWAYS_OK(mb_batcher_free(batcher));
    } else {
        /* With memory again the results are there: nothing was lost. */
        failing = 0;
        mb_batcher_close(batcher, 0, NULL);
        while ((status = mb_batcher_next_results(batcher, 0, &results)) == MB_OK) {
            on_result(NULL, results, NULL);
            ALWAYS_OK(mb_results_free(results));
        }
        OOM_EQ(status, MB_ERR_CLOSED);
        ALWAYS_OK(mb_batcher_free(batcher));
    }
    settle_accounts(1);
}

/* A host that pulls the parts of batches, holds some, and takes results as it completes others. */
static void pulled_parts(void)
{
    mb_options options = timeless();
    mb_batcher *batcher;
    mb_producer *producer = NULL;
    mb_batch *held[TAGS];
    size_t count = 0;
    mb_results *results;
    mb_status status;
    int lack = 0;
    int way = 0;
    options.pull_handlers = 1 << MB_KIND_INT64 | 1 << MB_KIND_STRING | MB_PULL_DEFAULT;
    options.results = MB_RESULTS_PULL;
    options.max_batch_size = 7;
    options.max_in_flight = 3;
    batcher = new_batcher(options);
    if (batcher == NULL) {
        settle_accounts(0);
        return;
    }
    OK_OR_NO_MEMORY(mb_producer_new(batcher, &producer));
    push_all(batcher, producer);
    ALWAYS_OK(mb_batcher_seal(batcher));
    for (;;) {
        mb_batch *batch = NULL;
        status = mb_batcher_next_batch(batcher, 0, &batch);
        if (status == MB_ERR_TIMEOUT && count > 0) {
            ALWAYS_OK(mb_batch_complete(held[--count]));
            continue;
        }
        if (status != MB_OK) {
            OOM_CHECK(status == MB_ERR_TIMEOUT || (status == MB_ERR_NO_MEMORY && counted(&failed) > 0));
            if (status == MB_ERR_TIMEOUT || ++lack == 3) {
                break;
            }
            continue;
        }
        answer_at_once(batch, 0);
        way += 1;
        results = NULL;
        if (way % 4 == 0 && OK_OR_NO_MEMORY(mb_batch_keep(batch)) == MB_OK) {
            held[count++] = batch;
        } else if (way % 4 == 1) {
            ALWAYS_OK(mb_batch_complete_next(batch, &results));
            if (results != NULL) {
                on_result(NULL, results, NULL);
                ALWAYS_OK(mb_results_free(results));
            }
        } else {
            ALWAYS_OK(way % 4 == 2 ? mb_batch_complete_ok(batch) : mb_batch_free(batch));
        }
    }
    look(batcher);
    while (count > 0) {
        ALWAYS_OK(mb_batch_free(held[--count]));
    }
    /* With memory again the results are there: nothing was lost. */
    failing = 0;
    mb_batcher_close(batcher, 0, NULL);
    while ((status = mb_batcher_next_results(batcher, 0, &results)) == MB_OK) {
        on_result(NULL, results, NULL);
        ALWAYS_OK(mb_results_free(results));
    }
    OOM_EQ(status, MB_ERR_CLOSED);
    ALWAYS_OK(mb_producer_free(producer));
    ALWAYS_OK(mb_batcher_free(batcher));
    settle_accounts(1);
}

static void mapped(void)
{
    static const int64_t integers[5] = { 1, 2, 3, 4, 5 };
    static const int32_t offsets[4] = { 0, 3, 6, 9 };
    static const double numbers[5] = { 1, 2, 3, 4, 5 };
    mb_value values[3];
    mb_map_options options;
    mb_results *results = NULL;
    mb_results_view view;
    mb_error *error = NULL;
    mb_status status;
    int way;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.batches = 2;
    values[0] = int64_value(1);
    values[1] = text_value(MB_KIND_STRING, "text", 4);
    values[2] = value_of(MB_KIND_NULL);
    for (way = 0; way < 5; way++) {
        results = NULL;
        error = NULL;
        status = way == 3   ? mb_map_float64s(numbers, NULL, 5, NULL, fails, NULL, &results, &error)
                 : way == 4 ? mb_map_float64s(numbers, NULL, 5, &options, at_once_in_map, NULL, &results, &error)
                 : way == 0 ? mb_map_int64s(integers, NULL, 5, &options, echo, NULL, &results, &error)
                 : way == 1 ? mb_map_strings("onetwosix", offsets, NULL, 3, &options, handler, NULL, &results, &error)
                            : mb_map_values(values, 3, &options, handler, NULL, &results, &error);
        if (OK_OR_NO_MEMORY(status) == MB_OK) {
            OOM_CHECK(error == NULL);
            view.struct_size = sizeof view;
            ALWAYS_OK(mb_results_get_view(results, &view));
            OOM_EQ(view.count, way == 1 || way == 2 ? 3 : 5);
            read_all(results);
            ALWAYS_OK(mb_results_free(results));
        } else {
            OOM_CHECK(results == NULL && error != NULL);
            OOM_EQ(mb_error_code(error), MB_ERR_NO_MEMORY);
            mb_error_free(error);
        }
    }
}

/* What needs no values: options by name, errors, tables, text, flushes of nothing. */
static void asked_for(void)
{
    mb_options options = timeless();
    int64_t length;
    uint32_t fresh;
    mb_error *error = NULL;
    mb_batcher *batcher;
    mb_status status;
    ALWAYS_OK(mb_options_set(&options, "max_delay", "2ms", &error));
    status = mb_options_set(&options, "max_delay", "soon", &error);
    OOM_EQ(status, MB_ERR_INVALID_OPTION);
    OOM_EQ(mb_error_code(error), status);
    OOM_CHECK(strlen(mb_error_message(error)) > 0);
    mb_error_free(error);
    error = NULL;
    status = mb_options_set(&options, "no such option", "1", &error);
    OOM_EQ(status, MB_ERR_INVALID_OPTION);
    mb_error_free(error);
    error = NULL;
    status = mb_duration_parse("2 moons", &length, &error);
    OOM_EQ(status, MB_ERR_INVALID_ARGUMENT);
    OOM_EQ(mb_error_code(error), status);
    OOM_CHECK(strlen(mb_error_message(error)) > 0);
    mb_error_free(error);
    error = NULL;
    ALWAYS_OK(mb_owner_new(&fresh));
    options.threads = 99999;
    one_of(__LINE__, "mb_batcher_new", mb_batcher_new(&options, &batcher, &error), MB_ERR_INVALID_OPTION);
    OOM_CHECK(strlen(mb_error_message(error)) > 0);
    mb_error_free(error);
    options = timeless();
    options.handler = handler;
    options.drain_at_exit = MB_S;
    batcher = new_batcher(options);
    if (batcher != NULL) {
        uint64_t mark;
        ALWAYS_OK(mb_batcher_flush(batcher, 0));
        ALWAYS_OK(mb_batcher_flush_begin(batcher, &mark));
        ALWAYS_OK(mb_batcher_flush_end(batcher, mark, 0));
        look(batcher);
        ALWAYS_OK(mb_batcher_close(batcher, 0, NULL));
        ALWAYS_OK(mb_batcher_free(batcher));
    }
    settle_accounts(batcher != NULL);
}

/* With threads: the library's own allocate too. */
static void threaded(void)
{
    mb_options options = defaults();
    mb_batcher *batcher;
    mb_producer *producer = NULL;
    mb_status status;
    options.handler = handler;
    options.by_kind[MB_KIND_INT64].call = handler;
    options.on_result = on_result;
    options.max_batch_size = 8;
    options.drain_at_exit = MB_S;
    batcher = new_batcher(options);
    if (batcher == NULL) {
        settle_accounts(0);
        return;
    }
    OK_OR_NO_MEMORY(mb_producer_new(batcher, &producer));
    push_all(batcher, producer);
    ALWAYS_OK(mb_producer_free(producer));
    /* Where memory lacked once only, nothing needs to wait for this to end. */
    status = mb_batcher_close(batcher, for_good ? 20 * MB_MS : 5 * MB_S, NULL);
    OOM_CHECK(status == MB_OK || (for_good && status == MB_ERR_TIMEOUT));
    ALWAYS_OK(mb_batcher_free(batcher));
    settle_accounts(1);
}

/* Where memory lacks for good, no room may come in the few milliseconds that are waited for it: neither in the queue nor for
   results, whichever lacks when they are over. */
static int in_vain(mb_status status)
{
    return for_good && (status == MB_ERR_QUEUE_FULL || status == MB_ERR_RESULTS_FULL);
}

/* With threads, and pushes that wait for room, time-outs of handlers, deadlines, a descriptor. */
static void waiting(void)
{
    mb_options options = defaults();
    mb_batcher *batcher;
    mb_status status;
    uint64_t mark;
    int32_t fd;
    int at;
    options.handler = handler;
    options.on_result = on_result;
    options.threads = 2;
    options.queue_capacity = 6;
    options.max_batch_size = 4;
    options.handler_timeout = 60 * MB_S;
    options.push_timeout = for_good ? 5 * MB_MS : 60 * MB_S;
    batcher = new_batcher(options);
    if (batcher == NULL) {
        settle_accounts(0);
        return;
    }
    ALWAYS_OK(mb_batcher_fd(batcher, &fd));
    for (at = 0; at < 40; at++) {
        uint64_t of = tag();
        status = at % 3 ? mb_batcher_push_string(batcher, "a string", 8, of) : mb_batcher_push_int64(batcher, 1, of);
        if (!in_vain(status)) {
            one_of(__LINE__, "a push that waits", status, MB_OK);
        }
        took(status, of);
        if (at % 8 == 0) {
            status = mb_batcher_room(batcher, options.push_timeout);
            OOM_CHECK(status == MB_OK || in_vain(status));
        }
    }
    ALWAYS_OK(mb_batcher_flush_begin(batcher, &mark));
    status = mb_batcher_flush_end(batcher, mark, for_good ? 5 * MB_MS : 60 * MB_S);
    OOM_CHECK(status == MB_OK || (for_good && status == MB_ERR_TIMEOUT));
    status = mb_batcher_close(batcher, for_good ? 20 * MB_MS : 60 * MB_S, NULL);
    OOM_CHECK(status == MB_OK || (for_good && status == MB_ERR_TIMEOUT));
    ALWAYS_OK(mb_batcher_free(batcher));
    settle_accounts(1);
}

/* ---- at every allocation ------------------------------------------------------------------------------------- */

static void begin(uint64_t fail_at, int and_after)
{
    memset(&now, 0, sizeof now);
    kept_count = 0;
    asked = failed = 0;
    for_good = and_after;
    failing = fail_at;
}

/* True if an allocation was refused: there may be more. */
static int play(void (*scenario)(void), uint64_t fail_at, int and_after)
{
    uint64_t refused;
    object_results = scenario == with_objects || scenario == failing_with_objects;
    begin(fail_at, and_after);
    scenario();
    refused = counted(&failed);
    failing = 0;
    return refused > 0;
}

/* In a process that has used the library before: what is not given back is a leak. */
static void warm(const char *name, void (*scenario)(void), int and_after)
{
    uint64_t fail_at = 1;
    int64_t before;
    scene = name;
    play(scenario, 0, 0);
    before = live;
    while (play(scenario, fail_at, and_after)) {
        int again;
        OOM_CHECK(fail_at < 2000);
        /* The C library keeps a block for each thread that ever ran beside the others, so once more there may be; a leak
           of ours comes every time. */
        for (again = 0; live > before; again++) {
            if (again == 3) {
                FAIL("%s, allocation %d%s: %d blocks are not freed", name, (int)fail_at,
                     and_after ? " and all after it" : "", (int)(live - before));
            }
            before = live;
            play(scenario, fail_at, and_after);
        }
        fail_at += 1;
    }
    /* Otherwise this test tests nothing. */
    OOM_CHECK(fail_at > 5);
}

/* In a new process each time: also what the library makes once. Answers how often it failed; each has said how. */
static int cold(const char *name, void (*scenario)(void), int and_after)
{
    uint64_t fail_at = 1;
    int failures = 0;
    int status = 0;
    scene = name;
    do {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            watchdog();
            _exit(play(scenario, fail_at, and_after) ? 42 : 43);
        }
        CHECK_EQ(waitpid(child, &status, 0), child);
        if (!WIFEXITED(status) || (WEXITSTATUS(status) != 42 && WEXITSTATUS(status) != 43)) {
            check_tell(__FILE__, __LINE__, "%s in a new process, allocation %d%s: the process ended with %d", name,
                       (int)fail_at, and_after ? " and all after it" : "", status);
            failures += 1;
        }
        fail_at += 1;
    } while ((!WIFEXITED(status) || WEXITSTATUS(status) != 43) && failures < 5);
    OOM_CHECK(fail_at > 5);
    return failures;
}

int main(void)
{
    static const struct { const char *name; void (*scenario)(void); } SCENARIOS[] = {
        { "handled", handled },           { "kept", kept_batches }, { "failing", failing_parts },
        { "discarded", discarded },       { "pulled", pulled },     { "mapped", mapped },
        { "threaded", threaded },         { "objects", with_objects },
        { "failing objects", failing_with_objects }, { "asked for", asked_for },
        { "set at once", set_at_once },   { "abandoned", abandoned }, { "parts", pulled_parts },
        { "waiting", waiting },
    };
    size_t at;
    int and_after;
    int status = 0;
    pid_t colds;
    watchdog();
    owner = 7;
    /* The two halves beside each other. */
    colds = fork();
    CHECK(colds >= 0);
    for (and_after = 0; and_after < 2; and_after++) {
        for (at = 0; at < sizeof SCENARIOS / sizeof SCENARIOS[0]; at++) {
            if (colds > 0) {
                warm(SCENARIOS[at].name, SCENARIOS[at].scenario, and_after);
            } else {
                status += cold(SCENARIOS[at].name, SCENARIOS[at].scenario, and_after);
            }
        }
    }
    if (colds == 0) {
        _exit(status != 0);
    }
    CHECK_EQ(waitpid(colds, &status, 0), colds);
    CHECK_EQ(status, 0);
    return 0;
}
