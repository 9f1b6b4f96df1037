/* What the bench asks of each side. Both are driven from C through single calls of an extern "C" push, so both pay
   for the same calls; handler and result callback do the same work on both sides. */
#ifndef SIDE_H
#define SIDE_H

#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct side_config {
    uint64_t max_batch_size;
    /* Values accepted and not delivered at most; a push that finds no room waits. */
    uint64_t outstanding;
    int64_t max_delay_ns;
    /* 0: nothing is taken from the queue before side_calls.drain. */
    int32_t consumer;
};

/* The results as the callback saw them. One thread at a time writes. */
struct side_tally {
    uint64_t delivered;
    /* Sum of the results, and of what they should be by their tags. */
    uint64_t sum, expected;
    /* When the last batch of results came, on CLOCK_MONOTONIC. */
    int64_t last_at;
};

struct side_calls {
    void *(*create)(const struct side_config *config); /* NULL: failed */
    /* Pushes `count` values one by one; value and tag both count up from `first`. Answers how many were taken. */
    uint64_t (*push)(void *side, uint64_t first, uint64_t count);
    /* Waits until all values pushed so far are delivered. */
    void (*drain)(void *side);
    const struct side_tally *(*tally)(void *side);
    /* Bytes that the side says it holds; 0: it does not say. */
    uint64_t (*bytes_in_use)(void *side);
    void (*destroy)(void *side);
};

extern const struct side_calls side_peer;
extern const struct side_calls side_ours;

/* One lock and unlock of a std::mutex, `count` times. */
void side_bare_lock(uint64_t count);

static inline int64_t side_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * (int64_t)1000000000 + now.tv_nsec;
}

/* The work of the handler. */
static inline int64_t side_double(int64_t value) { return 2 * value; }

/* The end of the result callback: others may look now. */
static inline void side_delivered(struct side_tally *tally, uint64_t count) {
    __atomic_store_n(&tally->last_at, side_now(), __ATOMIC_RELAXED);
    __atomic_store_n(&tally->delivered, tally->delivered + count, __ATOMIC_RELEASE);
}

#ifdef __cplusplus
}
#endif
#endif
