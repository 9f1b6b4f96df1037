/* What tests/instructions.rs counts the instructions of: windows of values, pushed and then handled on this one thread, so
   that nothing depends on a scheduler. The argument says how many windows of each kind.

   To see where a push spends them:

       cargo build --release
       cc -O2 -g tests/instructions/rounds.c target/release/libmicrobatch.a -lpthread -lm -ldl -o rounds
       valgrind --tool=callgrind --callgrind-out-file=out ./rounds 20 && callgrind_annotate --auto=yes out */
#include "../../include/microbatch.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH  256
#define WINDOW (39 * BATCH)

/* Inclusive costs are found by these names. */
#define COUNTED __attribute__((noinline))

static int64_t values[WINDOW], doubled[BATCH];
static uint64_t wrong, delivered;

static mb_status handle(void *user_data, mb_batch *batch, const mb_api *api) {
    mb_batch_view view;
    size_t i;
    (void)user_data;
    (void)api;
    view.struct_size = sizeof view;
    if (mb_batch_get_view(batch, &view) != MB_OK) return 1;
    for (i = 0; i < view.count; ++i)
        doubled[i] = view.kind == MB_KIND_INT64 ? 2 * ((const int64_t *)view.values)[i] : view.bytes[view.offsets[i]];
    return mb_batch_set_int64s(batch, doubled, NULL, view.count);
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api) {
    mb_results_view view;
    const int64_t *got;
    size_t i;
    (void)user_data;
    (void)api;
    view.struct_size = sizeof view;
    if (mb_results_get_view(results, &view) != MB_OK || !view.all_ok) {
        wrong = 1;
        return;
    }
    got = view.values;
    for (i = 0; i < view.count; ++i)
        if (got[i] != 2 * (int64_t)view.tags[i] && got[i] != 'a') ++wrong;
    delivered += view.count;
}

static mb_batcher *batcher;
static mb_producer *producer;

static void expect(mb_status status) {
    if (status == MB_OK) return;
    fprintf(stderr, "%s\n", mb_status_name(status));
    exit(1);
}

static void run(void) {
    mb_batcher_seal(batcher);
    expect(mb_batcher_run(batcher));
}

COUNTED void round_int64(void) {
    uint64_t i;
    for (i = 0; i < WINDOW; ++i) expect(mb_batcher_push_int64(batcher, values[i], i));
    run();
}

COUNTED void round_producer(void) {
    uint64_t i;
    for (i = 0; i < WINDOW; ++i) expect(mb_producer_push_int64(producer, values[i], i));
    run();
}

COUNTED void round_string(void) {
    uint64_t i;
    for (i = 0; i < WINDOW; ++i) expect(mb_batcher_push_string(batcher, "a string of 16 b", 16, i));
    run();
}

COUNTED void round_bulk(void) {
    size_t accepted;
    expect(mb_batcher_push_int64s(batcher, values, NULL, WINDOW, NULL, 0, NULL, &accepted));
    run();
}

int main(int argc, char **argv) {
    int windows = argc > 1 ? atoi(argv[1]) : 1, window, i;
    mb_options options;
    for (i = 0; i < WINDOW; ++i) values[i] = i;
    mb_options_init(&options, sizeof options);
    options.mode = MB_MODE_MANUAL;
    options.max_batch_size = BATCH;
    options.max_delay = MB_FOREVER;
    options.handler = handle;
    options.on_result = on_result;
    expect(mb_batcher_new(&options, &batcher, NULL));
    expect(mb_producer_new(batcher, &producer));
    for (window = 0; window < windows; ++window) {
        round_int64();
        round_producer();
        round_string();
        round_bulk();
    }
    mb_producer_free(producer);
    mb_batcher_free(batcher);
    printf("%llu values\n", (unsigned long long)delivered);
    return wrong != 0 || delivered != 4ull * WINDOW * (unsigned long long)windows;
}
