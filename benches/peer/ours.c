/* microbatch behind the calls of side.h, as a C program uses it. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "../../include/microbatch.h"
#include "side.h"

#include <stdlib.h>
#include <string.h>

/* The largest max_batch_size that the bench asks for. */
#define ROWS 4096

struct ours {
    struct side_tally tally;
    mb_batcher *batcher;
    int32_t manual;
    int64_t doubled[ROWS]; /* one handler thread */
};

static mb_status handle(void *user_data, mb_batch *batch, const mb_api *api) {
    struct ours *ours = user_data;
    mb_batch_view view;
    const int64_t *values;
    size_t i;
    mb_status status;
    (void)api;
    view.struct_size = sizeof view;
    status = mb_batch_get_view(batch, &view);
    if (status != MB_OK) return status;
    values = view.values;
    for (i = 0; i < view.count; ++i) ours->doubled[i] = side_double(values[i]);
    return mb_batch_set_int64s(batch, ours->doubled, NULL, view.count);
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api) {
    struct ours *ours = user_data;
    mb_results_view view;
    const int64_t *values;
    size_t i;
    (void)api;
    view.struct_size = sizeof view;
    if (mb_results_get_view(results, &view) != MB_OK || !view.all_ok) return;
    values = view.values;
    for (i = 0; i < view.count; ++i) {
        ours->tally.sum += (uint64_t)values[i];
        ours->tally.expected += 2 * view.tags[i];
    }
    side_delivered(&ours->tally, view.count);
}

static void *create(const struct side_config *config) {
    mb_options options;
    struct ours *ours = calloc(1, sizeof *ours);
    if (ours == NULL || config->max_batch_size > ROWS) return NULL;
    mb_options_init(&options, sizeof options);
    options.mode = config->consumer ? MB_MODE_THREADED : MB_MODE_MANUAL;
    options.max_batch_size = config->max_batch_size;
    options.queue_capacity = config->outstanding;
    options.result_capacity = config->outstanding;
    options.queue_bytes = 8 * config->outstanding + 16 * 1024 * 1024; /* at least max_batch_bytes */
    options.max_delay = config->max_delay_ns;
    options.on_full = MB_FULL_BLOCK;
    options.push_timeout = MB_FOREVER;
    options.handler = handle;
    options.handler_data = ours;
    options.on_result = on_result;
    options.result_data = ours;
    ours->manual = !config->consumer;
    if (mb_batcher_new(&options, &ours->batcher, NULL) != MB_OK) {
        free(ours);
        return NULL;
    }
    return ours;
}

static uint64_t push(void *side, uint64_t first, uint64_t count) {
    mb_batcher *batcher = ((struct ours *)side)->batcher;
    uint64_t i;
    for (i = 0; i < count; ++i)
        if (mb_batcher_push_int64(batcher, (int64_t)(first + i), first + i) != MB_OK) return i;
    return count;
}

static void drain(void *side) {
    struct ours *ours = side;
    if (ours->manual) {
        mb_batcher_seal(ours->batcher);
        mb_batcher_run(ours->batcher);
    } else {
        mb_batcher_flush(ours->batcher, MB_FOREVER);
    }
}

static const struct side_tally *tally(void *side) { return &((struct ours *)side)->tally; }

static uint64_t bytes_in_use(void *side) {
    mb_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    return mb_batcher_stats(((struct ours *)side)->batcher, &stats) == MB_OK ? stats.bytes_in_use : 0;
}

static void destroy(void *side) {
    struct ours *ours = side;
    mb_batcher_free(ours->batcher);
    free(ours);
}

const struct side_calls side_ours = {create, push, drain, tally, bytes_in_use, destroy};
