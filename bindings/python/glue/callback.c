/* What the engine calls: handlers and results in manual mode, where threads may enter Python; releases and lines of log, which
   its own threads only note. */

#include "glue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A handler in manual mode or of a map: the thread is one that called in. */
mb_status handle(void *user_data, mb_batch *lent, const mb_api *api)
{
    struct host *host = user_data;
    PyGILState_STATE state = PyGILState_Ensure();
    PusherObject *pusher = pusher_of(host);
    BatchObject *batch = pusher == NULL && !host->map ? NULL : batch_lend(host, lent);
    (void)api;
    if (batch != NULL) {
        handler_run(batch, host->map ? &host->map_work : work_of(pusher, batch->view.kind));
        batch_end(batch);
        Py_DECREF((PyObject *)batch);
    } else if (PyErr_Occurred() != NULL) {
        told_of("microbatch: a batch could not be handled");
    }
    Py_XDECREF((PyObject *)pusher);
    PyGILState_Release(state);
    return batch == NULL ? MB_ERR_HANDLER_FAILED : MB_OK;
}

/* Results in manual mode. */
void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    struct host *host = user_data;
    PyGILState_STATE state = PyGILState_Ensure();
    PusherObject *pusher = pusher_of(host);
    PyObject *columns;
    size_t count, others = replies_resolve(host, results, &count);
    (void)api;
    if (others > 0 && pusher != NULL && pusher->on_result != NULL) {
        columns = results_for_others(host, results, others, count, false);
        if (columns == NULL) {
            told_of("microbatch: results could not be delivered");
        } else {
            hand_results(host, pusher->on_result, columns);
            Py_DECREF(columns);
        }
    }
    Py_XDECREF((PyObject *)pusher);
    PyGILState_Release(state);
}

static int drain_pending(void *user_data)
{
    struct host *host = user_data;
    host_drain(host);
    host_unhold(host);
    return 0;
}

/* Asks the main thread to look at what was noted, for nobody may call in for long. */
static void ask_for_drain(struct host *host)
{
    atomic_fetch_add(&host->holds, 1);
    if (Py_AddPendingCall(drain_pending, host) < 0) {
        host_unhold(host); /* whoever calls in next looks */
    }
}

/* The engine's reference to an object ends. Its own threads only note it; in manual mode the thread may enter Python. */
void release_object(void *user_data, uint64_t word)
{
    struct host *host = user_data;
    struct reference *reference = (struct reference *)(uintptr_t)word, *before;
    int handing = HANDING;
    if (atomic_compare_exchange_strong(&reference->state, &handing, RELEASED)) {
        return;
    }
    if (host->manual) {
        PyGILState_STATE state = PyGILState_Ensure();
        reference_dispose(host, reference, true);
        PyGILState_Release(state);
        return;
    }
    before = atomic_load(&host->released);
    do {
        reference->next = before;
    } while (!atomic_compare_exchange_weak(&host->released, &before, reference));
    if (before == NULL) {
        ask_for_drain(host); /* the reference may be gone already */
    }
}

/* ---- Lines of log ---- */

/* How many lines wait at most; more are dropped, and counted. */
#define LINES 256

/* The library's level of a line that says so. */
#define WARNING 2

struct line {
    struct line *next;
    int32_t level;
    size_t length;
    char message[];
};

static void tell(struct host *host, int32_t level, const char *message, size_t length)
{
    PyObject *answer = NULL;
    if (host->on_log != NULL) {
        answer = PyObject_CallFunction(host->on_log, "is#", 10 * ((int)level + 1), message, (Py_ssize_t)length);
        if (answer == NULL) {
            PyErr_WriteUnraisable(host->on_log);
        }
    }
    Py_XDECREF(answer);
}

/* The engine's own threads only note it. */
void on_line(void *user_data, int32_t level, const char *message, size_t length)
{
    struct host *host = user_data;
    struct line *line, *before;
    if (host->manual) {
        PyGILState_STATE state = PyGILState_Ensure();
        tell(host, level, message, length);
        PyGILState_Release(state);
        return;
    }
    line = atomic_fetch_add(&host->lines_waiting, 1) < LINES ? malloc(sizeof *line + length) : NULL;
    if (line == NULL) {
        atomic_fetch_sub(&host->lines_waiting, 1);
        atomic_fetch_add(&host->lines_dropped, 1);
        return;
    }
    line->level = level;
    line->length = length;
    memcpy(line->message, message, length);
    before = atomic_load(&host->lines);
    do {
        line->next = before;
    } while (!atomic_compare_exchange_weak(&host->lines, &before, line));
    if (before == NULL) {
        ask_for_drain(host);
    }
}

static void drain_lines(struct host *host)
{
    struct line *line = atomic_exchange(&host->lines, NULL);
    struct line *in_order = NULL;
    unsigned dropped;
    while (line != NULL) {
        struct line *next = line->next;
        line->next = in_order;
        in_order = line;
        line = next;
    }
    while (in_order != NULL) {
        struct line *next = in_order->next;
        atomic_fetch_sub(&host->lines_waiting, 1);
        tell(host, in_order->level, in_order->message, in_order->length);
        free(in_order);
        in_order = next;
    }
    dropped = atomic_exchange(&host->lines_dropped, 0);
    if (dropped > 0) {
        char text[64];
        int length = snprintf(text, sizeof text, "%u lines of log were dropped: too many waited", dropped);
        tell(host, WARNING, text, (size_t)length);
    }
}

/* What is called here are callbacks of the batcher: this thread may be one that it needs to go on. */
void host_drain(struct host *host)
{
    struct reference *in_order = NULL;
    struct reference *reference;
    struct inside inside;
    PyObject *type, *value, *traceback;
    bool has_lines = atomic_load_explicit(&host->lines, memory_order_relaxed) != NULL;
    /* a map's references are all given back at its end: its results are among them */
    bool has_released = !host->map && atomic_load_explicit(&host->released, memory_order_relaxed) != NULL;
    if (!has_lines && !has_released) {
        return;
    }
    PyErr_Fetch(&type, &value, &traceback); /* why a call is refused that ends with this */
    inside_enter(host, &inside);
    if (has_lines) {
        drain_lines(host);
    }
    reference = has_released ? atomic_exchange(&host->released, NULL) : NULL;
    while (reference != NULL) {
        struct reference *next = reference->next;
        reference->next = in_order;
        in_order = reference;
        reference = next;
    }
    while (in_order != NULL) {
        struct reference *next = in_order->next;
        reference_dispose(host, in_order, true);
        in_order = next;
    }
    inside_leave(host, &inside);
    PyErr_Restore(type, value, traceback);
}
