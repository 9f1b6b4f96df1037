/* Writing the trace: batches, results and stats as its lines. */
#ifndef CONFORMANCE_TRACE_H
#define CONFORMANCE_TRACE_H

#include "values.h"

static const char *const TRIGGER[] = { "", "SIZE", "BYTES", "DELAY", "IDLE", "FULL", "FLUSH", "CLOSE" };
static const char *const OUTCOME[] = { "OK", "FAILED", "EXPIRED", "CANCELLED", "DISCARDED" };
static const char *const HANDLED[] = { "NO", "MAYBE", "YES" };

static void show_batch(mb_batch *batch, const char *name, int is_map)
{
    mb_batch_view view;
    memset(&view, 0, sizeof view);
    view.struct_size = sizeof view;
    if (mb_batch_get_view(batch, &view) != MB_OK) die("no view of a batch for", name);
    indent();
    printf("batch %" PRIu64 " %s %s %s age %" PRId64 ":", view.number, name, is_map ? "-" : TRIGGER[view.trigger],
           kind_name(view.kind), is_map ? 0 : view.age);
    for (size_t row = 0; row < view.count; row++) {
        mb_value value;
        if (mb_batch_value(batch, row, &value) != MB_OK) die("no value in a batch for", name);
        printf(" ");
        show(&value);
        printf("@%" PRIu64, view.tags[row]);
    }
    printf("\n");
}

static void show_results(const mb_results *results, int is_map)
{
    mb_results_view view;
    memset(&view, 0, sizeof view);
    view.struct_size = sizeof view;
    if (mb_results_get_view(results, &view) != MB_OK) die("no view of", "results");
    indent();
    if (is_map) printf("results map count %zu\n", view.count);
    else printf("results batch %" PRIu64 " count %zu %s\n", view.batch, view.count, kind_name(view.kind));
    depth++;
    for (size_t row = 0; row < view.count; row++) {
        int outcome = view.outcomes ? view.outcomes[row] : MB_OUTCOME_OK;
        indent();
        printf("%" PRIu64 " %s %s ", view.tags[row], OUTCOME[outcome], HANDLED[view.handled ? view.handled[row] : MB_HANDLED_YES]);
        if (outcome == MB_OUTCOME_OK) {
            mb_value value;
            if (mb_results_value(results, row, &value) != MB_OK) die("no value in", "results");
            show(&value);
        } else {
            mb_row_error error;
            memset(&error, 0, sizeof error);
            error.struct_size = sizeof error;
            if (mb_results_error(results, row, &error) != MB_OK) die("no error in", "results");
            if (error.code < 0) {
                printf("%s", mb_status_name(error.code));
            } else {
                printf("%d ", (int)error.code);
                escape_or_dash(error.type_name, error.type_name ? strlen(error.type_name) : 0);
                printf(" ");
                escape_or_dash(error.message, error.length);
            }
        }
        printf("\n");
    }
    depth--;
}

static void show_stats(void)
{
    mb_stats s;
    memset(&s, 0, sizeof s);
    s.struct_size = sizeof s;
    mb_status status = mb_batcher_stats(batcher, &s);
    indent();
    if (status != MB_OK) {
        printf("stats -> %s\n", mb_status_name(status));
        return;
    }
    printf("stats -> accepted %" PRIu64 " ok %" PRIu64 " failed %" PRIu64 " expired %" PRIu64 " cancelled %" PRIu64
           " discarded %" PRIu64 " outstanding %" PRIu64 " undelivered %" PRIu64 " waiting %" PRIu64
           " waiting_bytes %" PRIu64 " in_flight %" PRIu64 " oldest %" PRId64 " batches %" PRIu64 " late %" PRIu64
           " batch_size %" PRIu64 "/%" PRIu64 "/%" PRIu64 " queue_time %" PRIu64 "/%" PRIu64 "/%" PRIu64 " triggers",
           s.accepted, s.ok, s.failed, s.expired, s.cancelled, s.discarded, s.outstanding, s.undelivered, s.waiting,
           s.waiting_bytes, s.in_flight, s.oldest_in_flight_age, s.batches, s.late, s.batch_size.count,
           s.batch_size.sum, s.batch_size.max, s.queue_time.count, s.queue_time.sum, s.queue_time.max);
    for (int i = 1; i <= MB_TRIGGER_CLOSE; i++)
        if (s.triggers[i]) printf(" %s=%" PRIu64, TRIGGER[i], s.triggers[i]);
    printf(" refusals");
    for (int i = -MB_ERR_WRONG_OWNER; i <= -MB_ERR_CLOSED; i++)
        if (s.refusals[i]) printf(" %s=%" PRIu64, mb_status_name(-i), s.refusals[i]);
    printf("\n");
}

#endif
