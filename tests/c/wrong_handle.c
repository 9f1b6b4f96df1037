/* P30: a handle of another type, an address, a random word: every function answers INVALID_HANDLE to each, looks at
   nothing behind it and changes nothing. */

#include "calls.h"

/* One live object of each type. */
static void *live[HANDLES];
static mb_error *error;
/* A batch that was completed: what changes it comes too late. */
static mb_batch *completed;

static void open_all(void)
{
    mb_options options = timeless();
    mb_batcher *batcher;
    mb_producer *producer = NULL;
    mb_batch *batch = NULL;
    mb_results *results = NULL;
    options.results = MB_RESULTS_PULL;
    options.max_in_flight = 2;
    batcher = made(&options);
    CHECK_OK(mb_producer_new(batcher, &producer));
    CHECK_OK(mb_batcher_push_int64(batcher, 1, 1));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    CHECK_OK(mb_batch_complete_ok(batch));
    completed = batch;
    CHECK_OK(mb_batcher_next_results(batcher, 0, &results));
    CHECK_OK(mb_batcher_push_int64s(batcher, call_int64s, NULL, 2, NULL, 0, NULL, NULL));
    CHECK_OK(mb_batcher_seal(batcher));
    CHECK_OK(mb_batcher_next_batch(batcher, 0, &batch));
    CHECK_STATUS(mb_options_set(&options, "max_delay", "soon", &error), MB_ERR_INVALID_OPTION);
    live[BATCHER] = batcher;
    live[PRODUCER] = producer;
    live[BATCH] = batch;
    live[RESULTS] = results;
}

static void close_all(void)
{
    mb_value value;
    mb_stats stats = stats_of(live[BATCHER]);
    CHECK_EQ(stats.accepted, 3);
    CHECK_EQ(stats.outstanding, 2);
    CHECK_EQ(stats.late, 0);
    CHECK_OK(mb_batch_value(live[BATCH], 1, &value));
    CHECK_EQ(value.as.int64, 2);
    CHECK_OK(mb_results_value(live[RESULTS], 0, &value));
    CHECK_TEXT(mb_error_subject(error), "max_delay");
    CHECK_OK(mb_batch_complete_ok(live[BATCH]));
    CHECK_OK(mb_results_free(live[RESULTS]));
    CHECK_OK(mb_producer_free(live[PRODUCER]));
    CHECK_OK(mb_batcher_free(live[BATCHER]));
    mb_error_free(error);
}

/* The word is no error that this program has. For when memory lacks each status has an error with a word of its own,
   which looks like other errors' on top; such a word answers its status. */
static void check_no_error(const void *word)
{
    mb_status code = mb_error_code(word);
    int fixed = (uintptr_t)word >> 56 == (uintptr_t)error >> 56 && code < 0 && code > -100
        && strcmp(mb_status_name(code), "UNKNOWN_CODE") != 0;
    CHECK_STATUS(code, fixed ? code : MB_ERR_INVALID_HANDLE);
    if (!fixed) {
        CHECK_TEXT(mb_error_message(word), "");
    }
    CHECK_TEXT(mb_error_subject(word), "");
    mb_error_free((mb_error *)word);
}

/* No function takes this word for anything. */
static void check_word(uintptr_t word, const char *what)
{
    int type;
    for (type = 0; type < HANDLES; type++) {
        check_calls((enum handle)type, (void *)word, MB_ERR_INVALID_HANDLE, what);
    }
    check_no_error((void *)word);
}

static void other_types(void)
{
    int type;
    int other;
    for (type = 0; type < HANDLES; type++) {
        for (other = 0; other < HANDLES; other++) {
            if (other != type) {
                check_calls((enum handle)type, live[other], MB_ERR_INVALID_HANDLE, "a handle of another type");
            }
        }
        check_calls((enum handle)type, error, MB_ERR_INVALID_HANDLE, "an error");
        check_no_error(live[type]);
    }
}

static void addresses(void)
{
    static int data;
    int local;
    int *heap = malloc(sizeof *heap);
    check_word((uintptr_t)&data, "an address of data");
    check_word((uintptr_t)&local, "an address on the stack");
    check_word((uintptr_t)heap, "an address on the heap");
    check_word((uintptr_t)&check_word, "an address of code");
    check_word((uintptr_t)mb_api_table(), "an address in the library");
    free(heap);
}

/* Words that differ in one bit from one that is good. */
static void near_misses(void)
{
    int type;
    int bit;
    for (type = 0; type < HANDLES; type++) {
        for (bit = 0; bit < 64; bit++) {
            uintptr_t word = (uintptr_t)live[type] ^ (uintptr_t)1 << bit;
            int is_live = word == (uintptr_t)error || word == (uintptr_t)completed;
            int other;
            for (other = 0; other < HANDLES; other++) {
                is_live = is_live || word == (uintptr_t)live[other];
            }
            if (!is_live) {
                check_word(word, "a word that differs in one bit");
            }
        }
    }
    for (bit = 0; bit < 64; bit++) {
        check_no_error((void *)((uintptr_t)error ^ (uintptr_t)1 << bit));
    }
}

static void random_words(void)
{
    uint64_t state = 0x9e3779b97f4a7c15u;
    int round;
    for (round = 0; round < 3000; round++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        check_word((uintptr_t)state, "a random word");
        /* With the top and the bottom of a good one. */
        check_word((uintptr_t)((state & 0x00ffffffffffffffu) | ((uintptr_t)live[round % HANDLES] & 0xff00000000000000u)),
                   "a random word that looks good on top");
    }
    for (round = 0; round < 4096; round++) {
        check_no_error((void *)(((uintptr_t)error & 0xff00000000000000u) + (uintptr_t)round));
    }
    for (round = 0; round < 64; round++) {
        check_word((uintptr_t)round + 1, "a small number");
        check_word((uintptr_t)0 - (uintptr_t)round - 1, "a small negative number");
    }
}

int main(void)
{
    watchdog();
    calls_ready();
    open_all();
    other_types();
    addresses();
    near_misses();
    random_words();
    close_all();
    return 0;
}
