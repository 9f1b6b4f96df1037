/* Stats as Python values. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>

static PyObject *histogram(const mb_histogram *from)
{
    PyObject *buckets = PyList_New(64);
    for (int at = 0; buckets != NULL && at < 64; at++) {
        PyList_SetItem(buckets, at, PyLong_FromUnsignedLongLong(from->buckets[at]));
    }
    return Py_BuildValue("KKKN", (unsigned long long)from->count, (unsigned long long)from->sum,
                         (unsigned long long)from->max, buckets);
}

/* stats() -> dict of numbers, lists and histograms (count, sum, max, buckets) */
PyObject *host_stats(PyObject *self, PyObject *ignored)
{
    struct host *host = HOST(self);
    mb_stats stats;
    mb_status status;
    PyObject *triggers, *refusals;
    (void)ignored;
    if (!host_enter(host)) {
        return NULL;
    }
    memset(&stats, 0, sizeof stats);
    stats.struct_size = sizeof stats;
    status = host->api->mb_batcher_stats(host->batcher, &stats);
    host_leave(host);
    if (status != MB_OK) {
        return raise_status(status, NULL);
    }
    triggers = PyList_New(8);
    refusals = PyList_New(24);
    for (int at = 0; triggers != NULL && at < 8; at++) {
        PyList_SetItem(triggers, at, PyLong_FromUnsignedLongLong(stats.triggers[at]));
    }
    for (int at = 0; refusals != NULL && at < 24; at++) {
        PyList_SetItem(refusals, at, PyLong_FromUnsignedLongLong(stats.refusals[at]));
    }
#define U(field) #field, (unsigned long long)stats.field
    return Py_BuildValue(
        "{sK sK sK sK sK sK sK sK sN sN sK sK sK sK sK sK sK sK sL sN sN sN sN}", U(accepted), U(ok), U(failed), U(expired),
        U(cancelled), U(discarded), U(outstanding), U(undelivered), "triggers", triggers, "refusals", refusals, U(batches),
        U(late), U(stuck), U(waiting), U(waiting_bytes), U(in_flight), U(delivering), U(bytes_in_use),
        "oldest_in_flight_age", (long long)stats.oldest_in_flight_age, "batch_size", histogram(&stats.batch_size),
        "queue_time", histogram(&stats.queue_time), "handler_time", histogram(&stats.handler_time), "delivery_time",
        histogram(&stats.delivery_time));
}

PyObject *host_stats_text(PyObject *self, PyObject *ignored)
{
    struct host *host = HOST(self);
    char *buffer = NULL;
    size_t capacity = 0, needed = 0;
    mb_status status;
    PyObject *text = NULL;
    (void)ignored;
    if (!host_enter(host)) {
        return NULL;
    }
    while ((status = host->api->mb_batcher_stats_text(host->batcher, buffer, capacity, &needed)) == MB_OK
           && needed > capacity) {
        free(buffer);
        buffer = malloc(capacity = needed);
        if (buffer == NULL) {
            status = MB_ERR_NO_MEMORY;
            break;
        }
    }
    host_leave(host);
    if (status == MB_OK) {
        text = PyUnicode_FromString(buffer);
    } else {
        raise_status(status, NULL);
    }
    free(buffer);
    return text;
}

