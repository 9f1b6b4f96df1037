/* What the bench asks of each side that is written in C or C++. All are driven through single calls of an extern "C"
   push, so all pay for the same calls; handler and result callback do the same work on every side. */
#ifndef SIDE_H
#define SIDE_H

#include <stdint.h>
#include <string.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the values are. */
#define SIDE_INT64   0
#define SIDE_FLOAT64 1
#define SIDE_STRING  2

/* A batch of results: how many, and when they came. */
struct side_log {
    uint64_t count;
    int64_t at;
};

struct side_config {
    uint64_t max_batch_size;
    /* Values accepted and not delivered at most; a push that finds no room waits. */
    uint64_t outstanding;
    int64_t max_delay_ns;
    /* The last stretch of that wait that is spun out, where a side can. */
    int64_t delay_spin_ns;
    /* 0: nothing is taken from the queue before side_calls.drain. */
    int32_t consumer;
    int32_t payload;
    /* Length of a string. */
    uint64_t bytes;
    /* Threads that push, each with a number from 0 on. */
    uint64_t producers;
    /* Values a call of push hands over at once; 0: one by one. */
    uint64_t bulk;
    /* How long the handler takes for a batch, besides its loop. */
    int64_t handler_ns;
    /* Where the first log_room batches of results are written down. */
    struct side_log *log;
    uint64_t log_room;
};

/* The results as the callback saw them. One thread at a time writes. */
struct side_tally {
    uint64_t delivered;
    /* Sum of the results, and of what they should be by their tags. */
    uint64_t sum, expected;
    /* When the last batch of results came, on CLOCK_MONOTONIC. */
    int64_t last_at;
    uint64_t batches;
};

struct side_calls {
    void *(*create)(const struct side_config *config); /* NULL: failed */
    /* Pushes `count` values as this producer; tags count up from `first`, values are side_value of them. Answers how
       many were taken. */
    uint64_t (*push)(void *side, uint64_t producer, uint64_t first, uint64_t count);
    /* Waits until all values pushed so far are delivered. */
    void (*drain)(void *side);
    const struct side_tally *(*tally)(void *side);
    /* Bytes that the side says it holds; 0: it does not say. */
    uint64_t (*bytes_in_use)(void *side);
    void (*destroy)(void *side);
};

extern const struct side_calls side_mutex, side_batcher, side_producer, side_future, side_promise;
#ifdef SIDE_MOODYCAMEL
extern const struct side_calls side_moodycamel, side_moodycamel_blocking;
#endif
#ifdef SIDE_RDKAFKA
extern const struct side_calls side_rdkafka;
#endif

/* One lock and unlock of a std::mutex, `count` times. */
void side_bare_lock(uint64_t count);

static inline int64_t side_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * (int64_t)1000000000 + now.tv_nsec;
}

/* Values repeat after this many, so that arrays for bulk pushes are made once. */
#define SIDE_PERIOD 65536

static inline int64_t side_value(uint64_t tag) { return (int64_t)(tag % SIDE_PERIOD); }

/* The work of the handler. */
static inline int64_t side_double(int64_t value) { return 2 * value; }
static inline int64_t side_measure(const void *text, uint64_t length) {
    return length == 0 ? 0 : (int64_t)length + *(const unsigned char *)text;
}

/* The string of a tag: `bytes` of ASCII out of one long text (side_text_new). */
#define SIDE_TEXTS 1021
static inline const char *side_text(const char *text, uint64_t tag) { return text + tag % SIDE_TEXTS; }
char *side_text_new(uint64_t bytes);

/* What the results of `count` tags, each `stride` bytes from the last, should add up to. */
static inline uint64_t side_expected(const struct side_config *config, const char *text, const uint64_t *tags, uint64_t count,
                                     uint64_t stride) {
    const char *at = (const char *)tags;
    uint64_t sum = 0, i;
    if (config->payload == SIDE_STRING) {
        for (i = 0; i < count; ++i, at += stride)
            sum += (uint64_t)side_measure(side_text(text, *(const uint64_t *)at), config->bytes);
    } else {
        for (i = 0; i < count; ++i, at += stride) sum += (uint64_t)side_double(side_value(*(const uint64_t *)at));
    }
    return sum;
}

/* The end of the handler: it takes this long where a case says so. */
static inline void side_work(const struct side_config *config) {
    int64_t until;
    if (config->handler_ns == 0) return;
    for (until = side_now() + config->handler_ns; side_now() < until;) continue;
}

/* The end of the result callback: others may look now. */
static inline void side_delivered(struct side_tally *tally, const struct side_config *config, uint64_t count) {
    int64_t now = side_now();
    if (tally->batches < config->log_room) {
        config->log[tally->batches].count = count;
        config->log[tally->batches].at = now;
    }
    __atomic_store_n(&tally->last_at, now, __ATOMIC_RELAXED);
    __atomic_store_n(&tally->batches, tally->batches + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&tally->delivered, tally->delivered + count, __ATOMIC_RELEASE);
}

#ifdef __cplusplus
}
#endif
#endif
