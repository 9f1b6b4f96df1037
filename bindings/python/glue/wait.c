/* Waits without the GIL, a slice at a time, so that Ctrl-C is noticed. */

#include "glue.h"

#include <time.h>

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
   set if a signal handler raised. */
mb_status wait_for(struct host *host, wait_fn wait, void *what, int64_t timeout)
{
    int64_t begun = clock_now();
    for (;;) {
        int64_t left = remaining(timeout, begun);
        int64_t slice = left > SLICE ? SLICE : left;
        mb_status status;
        Py_BEGIN_ALLOW_THREADS
        status = wait(host, what, slice);
        Py_END_ALLOW_THREADS
        if (host->manual || (status != MB_ERR_TIMEOUT && !is_full(status))) {
            return status; /* with something that came, too: a signal waits until the caller has it */
        }
        if (PyErr_CheckSignals() < 0) {
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
    return wait_for(host, wait_room, NULL, timeout);
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
    status = wait_for(host, wait_room, NULL, timeout);
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
            status = wait_for(host, wait_flush, &mark, timeout);
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
    status = wait_for(host, wait_flush, &mark, timeout);
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
    status = wait_for(host, wait_batch, &batch, timeout);
    if (status == MB_OK) {
        object = batch_new(host, batch, held_class);
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
    status = wait_for(host, wait_results, &results, timeout);
    if (status == MB_OK) {
        columns = results_columns(host, results, true);
    }
    host_leave(host);
    return status == MB_OK ? columns : none_or_raise(status);
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

/* ---- Threads that wait for something of Python's, which changes under the GIL ---- */

void thread_wake(struct thread_wait *wait)
{
    if (!wait->woken) {
        wait->woken = true;
        PyThread_release_lock(wait->lock);
    }
}

/* Sleeps until it is woken, the limit is over, or a signal came; false: an error is set. The caller looks again at what it
   waits for. */
bool thread_sleep(struct thread_wait **waits, int64_t limit)
{
    struct thread_wait me, **at = waits;
    PyLockStatus got;
    me.lock = PyThread_allocate_lock();
    if (me.lock == NULL) {
        PyErr_NoMemory();
        return false;
    }
    PyThread_acquire_lock(me.lock, 0);
    me.woken = false;
    me.next = *waits;
    *waits = &me;
    limit = limit > 3600 * MB_S ? 3600 * MB_S : limit;
    Py_BEGIN_ALLOW_THREADS
    got = PyThread_acquire_lock_timed(me.lock, (limit + 999) / 1000, 1);
    Py_END_ALLOW_THREADS
    while (*at != &me) {
        at = &(*at)->next;
    }
    *at = me.next;
    if (got != PY_LOCK_ACQUIRED) {
        PyThread_acquire_lock(me.lock, 0); /* it is locked when it goes, whether or not it was woken just now */
    }
    PyThread_release_lock(me.lock);
    PyThread_free_lock(me.lock);
    return got != PY_LOCK_INTR || PyErr_CheckSignals() == 0;
}
