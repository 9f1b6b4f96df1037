/* Waits without the GIL, a slice at a time, so that Ctrl-C is noticed. */

#include "glue.h"

#include <time.h>

/* How long a wait lasts before signals are looked at: Ctrl-C is noticed that late at most. */
#define SLICE (50 * MB_MS)

int64_t clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * MB_S + now.tv_nsec;
}

int64_t remaining(int64_t timeout, int64_t begun)
{
    int64_t passed = clock_now() - begun;
    return timeout == MB_FOREVER ? MB_FOREVER : passed >= timeout ? 0 : timeout - passed;
}

/* Waits without the GIL, a slice at a time, until something else than TIMEOUT comes. Answers NOT_TAKEN with a Python error
   set if a signal handler raised. Threads that need no signals wait in one go: an idle batcher wakes nobody. */
mb_status wait_for(struct host *host, wait_fn wait, void *what, int64_t timeout, bool signals)
{
    int64_t begun = clock_now();
    for (;;) {
        int64_t left = remaining(timeout, begun);
        int64_t slice = signals && left > SLICE ? SLICE : left;
        mb_status status;
        Py_BEGIN_ALLOW_THREADS
        status = wait(host, what, slice);
        Py_END_ALLOW_THREADS
        if (host->manual || (status != MB_ERR_TIMEOUT && !is_full(status))) {
            return status; /* with something that came, too: a signal waits until the caller has it */
        }
        if (signals && PyErr_CheckSignals() < 0) {
            return NOT_TAKEN;
        }
        if (slice == left) {
            return status;
        }
    }
}

static mb_status wait_flush(struct host *host, void *mark, int64_t timeout)
{
    return host->api->mb_batcher_flush_end(host->batcher, *(uint64_t *)mark, timeout);
}

static mb_status wait_batch(struct host *host, void *batch, int64_t timeout)
{
    return host->api->mb_batcher_next_batch(host->batcher, timeout, batch);
}

static mb_status wait_results(struct host *host, void *results, int64_t timeout)
{
    return host->api->mb_batcher_next_results(host->batcher, timeout, results);
}

static mb_status wait_room(struct host *host, void *nothing, int64_t timeout)
{
    (void)nothing;
    return host->api->mb_batcher_room(host->batcher, timeout);
}

/* For a push that found none. */
mb_status wait_room_for(struct host *host, int64_t timeout)
{
    return wait_for(host, wait_room, NULL, timeout, true);
}

PyObject *none_or_raise(mb_status status)
{
    return status == MB_OK ? Py_NewRef(Py_None) : status == NOT_TAKEN ? NULL : raise_status(status, NULL);
}

PyObject *host_room(PyObject *self, PyObject *args)
{
    struct host *host = HOST(self);
    long long timeout;
    mb_status status;
    if (!PyArg_ParseTuple(args, "L", &timeout) || !host_enter(host)) {
        return NULL;
    }
    status = wait_for(host, wait_room, NULL, timeout, true);
    host_leave(host);
    return none_or_raise(status);
}

/* flush(timeout): in manual mode the engine's own. */
PyObject *host_flush(PyObject *self, PyObject *args)
{
    struct host *host = HOST(self);
    long long timeout;
    uint64_t mark;
    mb_status status;
    if (!PyArg_ParseTuple(args, "L", &timeout) || !host_enter(host)) {
        return NULL;
    }
    if (host->manual || timeout < 0) {
        Py_BEGIN_ALLOW_THREADS
        status = host->api->mb_batcher_flush(host->batcher, timeout);
        Py_END_ALLOW_THREADS
    } else {
        status = host->api->mb_batcher_flush_begin(host->batcher, &mark);
        if (status == MB_OK) {
            status = wait_for(host, wait_flush, &mark, timeout, true);
        }
    }
    host_leave(host);
    return none_or_raise(status);
}

PyObject *host_flush_begin(PyObject *self, PyObject *ignored)
{
    struct host *host = HOST(self);
    uint64_t mark;
    mb_status status;
    (void)ignored;
    if (!host_enter(host)) {
        return NULL;
    }
    status = host->api->mb_batcher_flush_begin(host->batcher, &mark);
    host_leave(host);
    return status == MB_OK ? PyLong_FromUnsignedLongLong(mark) : raise_status(status, NULL);
}

PyObject *host_flush_end(PyObject *self, PyObject *args)
{
    struct host *host = HOST(self);
    unsigned long long given;
    long long timeout;
    uint64_t mark;
    mb_status status;
    if (!PyArg_ParseTuple(args, "KL", &given, &timeout) || !host_enter(host)) {
        return NULL;
    }
    mark = given;
    status = wait_for(host, wait_flush, &mark, timeout, true);
    host_leave(host);
    return none_or_raise(status);
}

/* next_batch(timeout) -> Batch */
PyObject *host_next_batch(PyObject *self, PyObject *args)
{
    struct host *host = HOST(self);
    mb_batch *batch = NULL;
    long long timeout;
    mb_status status;
    PyObject *object = NULL;
    if (!PyArg_ParseTuple(args, "L", &timeout) || !host_enter(host)) {
        return NULL;
    }
    status = wait_for(host, wait_batch, &batch, timeout, true);
    if (status == MB_OK) {
        object = batch_new(host, batch, true);
    }
    host_leave(host);
    return status == MB_OK ? object : none_or_raise(status);
}

/* next_results(timeout) -> columns, for whoever pulls them */
PyObject *host_next_results(PyObject *self, PyObject *args)
{
    struct host *host = HOST(self);
    mb_results *results = NULL;
    long long timeout;
    mb_status status;
    PyObject *columns = NULL;
    if (!PyArg_ParseTuple(args, "L", &timeout) || !host_enter(host)) {
        return NULL;
    }
    status = wait_for(host, wait_results, &results, timeout, true);
    if (status == MB_OK) {
        columns = results_columns(host, results, true);
    }
    host_leave(host);
    return status == MB_OK ? columns : none_or_raise(status);
}

/* The end of a taking that found nothing: None says so, or that nothing will come any more. */
static PyObject *nothing(mb_status status)
{
    bool is_end = status == MB_ERR_TIMEOUT || status == MB_ERR_CLOSED || status == MB_ERR_FORKED;
    return is_end ? Py_NewRef(Py_None) : none_or_raise(status);
}

/* take_batch(timeout) -> Batch or None: for our own threads and the loop, which look at no signals */
PyObject *host_take_batch(PyObject *self, PyObject *timeout)
{
    struct host *host = HOST(self);
    int64_t limit = PyLong_AsLongLong(timeout);
    mb_batch *batch = NULL;
    mb_status status;
    PyObject *object = NULL;
    if (PyErr_Occurred() != NULL) {
        return NULL;
    }
    if (!host_is_open(host)) {
        Py_RETURN_NONE;
    }
    host_enter(host);
    status = limit == 0 ? wait_batch(host, &batch, 0) : wait_for(host, wait_batch, &batch, limit, false);
    if (status == MB_OK) {
        object = batch_new(host, batch, true);
    }
    host_leave(host);
    return status == MB_OK ? object : nothing(status);
}

/* What to do with a set: its replies are answered; (turn, how many values, columns): columns if it has rows of others and
   those are wanted, or None. Takes the set. */
PyObject *results_taken(struct host *host, mb_results *results)
{
    mb_results_view view;
    PyObject *columns = NULL;
    view.struct_size = sizeof view;
    host->api->mb_results_get_view(results, &view);
    if (replies_resolve(host, results) && host->wanted) {
        columns = results_columns(host, results, true);
        if (columns == NULL) {
            PyErr_WriteUnraisable(host->self); /* its turn must not be missed */
        }
    } else {
        host->api->mb_results_free(results);
    }
    columns = columns == NULL ? Py_NewRef(Py_None) : columns;
    return Py_BuildValue("KnN", (unsigned long long)view.turn, (Py_ssize_t)view.count, columns);
}

/* take_results(timeout) -> (turn, values, columns or None), or None */
PyObject *host_take_results(PyObject *self, PyObject *timeout)
{
    struct host *host = HOST(self);
    int64_t limit = PyLong_AsLongLong(timeout);
    mb_results *results = NULL;
    mb_status status;
    PyObject *taken = NULL;
    if (PyErr_Occurred() != NULL) {
        return NULL;
    }
    if (!host_is_open(host)) {
        Py_RETURN_NONE;
    }
    host_enter(host);
    status = limit == 0 ? wait_results(host, &results, 0) : wait_for(host, wait_results, &results, limit, false);
    if (status == MB_OK) {
        taken = results_taken(host, results);
    }
    host_leave(host);
    return status == MB_OK ? taken : nothing(status);
}

/* has_room() */
PyObject *host_has_room(PyObject *self, PyObject *ignored)
{
    struct host *host = HOST(self);
    mb_status status;
    (void)ignored;
    if (!host_enter(host)) {
        return NULL;
    }
    status = host->api->mb_batcher_room(host->batcher, 0);
    host_leave(host);
    return status == MB_OK ? Py_NewRef(Py_True) : is_full(status) ? Py_NewRef(Py_False) : none_or_raise(status);
}
