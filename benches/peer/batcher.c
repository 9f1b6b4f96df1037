/* microbatch behind the calls of side.h, as a C program uses it: pushes to the batcher, and through producers. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "../../include/microbatch.h"
#include "side.h"

#include <stdlib.h>

struct batcher {
    struct side_tally tally;
    struct side_config config;
    char *text;
    int64_t *array; /* for bulk pushes: side_value of any tag on, side_config.bulk of them */
    mb_batcher *batcher;
    mb_producer **producers; /* NULL: pushes go to the batcher */
    /* One handler thread. */
    int64_t *int64s;
    double *float64s;
};

char *side_text_new(uint64_t bytes) {
    uint64_t i;
    char *text = malloc(bytes + SIDE_TEXTS);
    if (text == NULL) abort();
    for (i = 0; i < bytes + SIDE_TEXTS; ++i) text[i] = (char)('a' + i * 31 % 23);
    return text;
}

static mb_status handle(void *user_data, mb_batch *batch, const mb_api *api) {
    struct batcher *ours = user_data;
    mb_batch_view view;
    size_t i;
    mb_status status;
    (void)api;
    view.struct_size = sizeof view;
    status = mb_batch_get_view(batch, &view);
    if (status != MB_OK) return status;
    if (view.kind == MB_KIND_INT64) {
        const int64_t *values = view.values;
        for (i = 0; i < view.count; ++i) ours->int64s[i] = side_double(values[i]);
    } else if (view.kind == MB_KIND_FLOAT64) {
        const double *values = view.values;
        for (i = 0; i < view.count; ++i) ours->float64s[i] = 2 * values[i];
        return mb_batch_set_float64s(batch, ours->float64s, NULL, view.count);
    } else {
        for (i = 0; i < view.count; ++i)
            ours->int64s[i] = side_measure(view.bytes + view.offsets[i], (uint64_t)(view.offsets[i + 1] - view.offsets[i]));
    }
    side_work(&ours->config);
    return mb_batch_set_int64s(batch, ours->int64s, NULL, view.count);
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api) {
    struct batcher *ours = user_data;
    mb_results_view view;
    uint64_t sum = 0;
    size_t i;
    (void)api;
    view.struct_size = sizeof view;
    if (mb_results_get_view(results, &view) != MB_OK || !view.all_ok) return;
    if (ours->config.payload == SIDE_FLOAT64) {
        const double *values = view.values;
        for (i = 0; i < view.count; ++i) sum += (uint64_t)(int64_t)values[i];
    } else {
        const int64_t *values = view.values;
        for (i = 0; i < view.count; ++i) sum += (uint64_t)values[i];
    }
    ours->tally.sum += sum;
    ours->tally.expected += side_expected(&ours->config, ours->text, view.tags, view.count, sizeof *view.tags);
    side_delivered(&ours->tally, &ours->config, view.count);
}

static void destroy(void *side) {
    struct batcher *ours = side;
    uint64_t i;
    for (i = 0; ours->producers != NULL && i < ours->config.producers; ++i) mb_producer_free(ours->producers[i]);
    mb_batcher_free(ours->batcher);
    free(ours->producers);
    free(ours->int64s);
    free(ours->float64s);
    free(ours->array);
    free(ours->text);
    free(ours);
}

static void *create(const struct side_config *config) {
    mb_options options;
    uint64_t i, weight = 8 + (config->payload == SIDE_STRING ? config->bytes : 0);
    struct batcher *ours = calloc(1, sizeof *ours);
    if (ours == NULL) return NULL;
    ours->config = *config;
    ours->text = side_text_new(config->bytes);
    ours->int64s = calloc(config->max_batch_size, 8);
    ours->float64s = calloc(config->max_batch_size, 8);
    if (config->bulk > 0) ours->array = calloc(SIDE_PERIOD + config->bulk, 8);
    for (i = 0; ours->array != NULL && i < SIDE_PERIOD + config->bulk; ++i) {
        int64_t value = side_value(i);
        double real = (double)value;
        memcpy(ours->array + i, config->payload == SIDE_FLOAT64 ? (void *)&real : (void *)&value, 8);
    }
    mb_options_init(&options, sizeof options);
    options.mode = config->consumer ? MB_MODE_THREADED : MB_MODE_MANUAL;
    options.max_batch_size = config->max_batch_size;
    options.max_batch_bytes = 16 * 1024 * 1024;
    if (options.max_batch_bytes < config->max_batch_size * weight) options.max_batch_bytes = config->max_batch_size * weight;
    options.queue_capacity = config->outstanding;
    options.result_capacity = config->outstanding;
    options.queue_bytes = weight * config->outstanding + 4 * options.max_batch_bytes;
    options.max_delay = config->max_delay_ns;
    options.delay_spin = config->delay_spin_ns;
    options.on_full = MB_FULL_BLOCK;
    options.push_timeout = MB_FOREVER;
    options.handler = handle;
    options.handler_data = ours;
    options.on_result = on_result;
    options.result_data = ours;
    if (mb_batcher_new(&options, &ours->batcher, NULL) != MB_OK) {
        destroy(ours);
        return NULL;
    }
    return ours;
}

static void *create_with_producers(const struct side_config *config) {
    struct batcher *ours = create(config);
    uint64_t i;
    if (ours == NULL) return NULL;
    ours->producers = calloc(config->producers, sizeof *ours->producers);
    for (i = 0; i < config->producers; ++i)
        if (mb_producer_new(ours->batcher, &ours->producers[i]) != MB_OK) {
            destroy(ours);
            return NULL;
        }
    return ours;
}

static uint64_t push_in_bulk(struct batcher *ours, uint64_t first, uint64_t count) {
    uint64_t at;
    for (at = 0; at < count; at += ours->config.bulk) {
        uint64_t some = count - at < ours->config.bulk ? count - at : ours->config.bulk;
        const int64_t *values = ours->array + (first + at) % SIDE_PERIOD;
        size_t accepted = 0;
        mb_status status =
            ours->config.payload == SIDE_FLOAT64
                ? mb_batcher_push_float64s(ours->batcher, (const double *)values, NULL, some, NULL, first + at, NULL, &accepted)
                : mb_batcher_push_int64s(ours->batcher, values, NULL, some, NULL, first + at, NULL, &accepted);
        if (status != MB_OK) return at + accepted;
    }
    return count;
}

static uint64_t push(void *side, uint64_t producer, uint64_t first, uint64_t count) {
    struct batcher *ours = side;
    mb_batcher *batcher = ours->batcher;
    uint64_t i;
    (void)producer;
    if (ours->config.bulk > 0) return push_in_bulk(ours, first, count);
    if (ours->config.payload == SIDE_STRING) {
        for (i = 0; i < count; ++i)
            if (mb_batcher_push_string(batcher, side_text(ours->text, first + i), ours->config.bytes, first + i) != MB_OK)
                return i;
    } else if (ours->config.payload == SIDE_FLOAT64) {
        for (i = 0; i < count; ++i)
            if (mb_batcher_push_float64(batcher, (double)side_value(first + i), first + i) != MB_OK) return i;
    } else {
        for (i = 0; i < count; ++i)
            if (mb_batcher_push_int64(batcher, side_value(first + i), first + i) != MB_OK) return i;
    }
    return count;
}

static uint64_t push_through_producer(void *side, uint64_t number, uint64_t first, uint64_t count) {
    struct batcher *ours = side;
    mb_producer *producer = ours->producers[number];
    uint64_t i;
    if (ours->config.payload == SIDE_STRING) {
        for (i = 0; i < count; ++i)
            if (mb_producer_push_string(producer, side_text(ours->text, first + i), ours->config.bytes, first + i) != MB_OK)
                return i;
    } else {
        for (i = 0; i < count; ++i)
            if (mb_producer_push_int64(producer, side_value(first + i), first + i) != MB_OK) return i;
    }
    return count;
}

static void drain(void *side) {
    struct batcher *ours = side;
    if (ours->config.consumer) {
        mb_batcher_flush(ours->batcher, MB_FOREVER);
    } else {
        mb_batcher_seal(ours->batcher);
        mb_batcher_run(ours->batcher);
    }
}

static const struct side_tally *tally(void *side) { return &((struct batcher *)side)->tally; }

static uint64_t bytes_in_use(void *side) {
    mb_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    return mb_batcher_stats(((struct batcher *)side)->batcher, &stats) == MB_OK ? stats.bytes_in_use : 0;
}

const struct side_calls side_batcher = {create, push, drain, tally, bytes_in_use, destroy};
const struct side_calls side_producer = {create_with_producers, push_through_producer, drain, tally, bytes_in_use, destroy};
