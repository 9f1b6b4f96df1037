/* What threads and loops of Python's do for a batcher: take batches, have them handled, bring results. A batch is one turn of
   a loop in C; of Python it calls the handler alone. */

#include "glue.h"

/* How long a thread that always finds another batch keeps the GIL from others that want it. */
#define KEEPS_GIL (500 * MB_US)

/* The next batch, whole or a part; waits without the GIL, and gives it up now and then where there is nothing to wait for. */
static mb_status take(struct host *host, mb_batch **batch, int64_t *released)
{
    mb_status status = MB_ERR_TIMEOUT;
    if (!host->woke && remaining(KEEPS_GIL, *released) > 0) {
        status = host->api->mb_batcher_next_batch(host->batcher, 0, batch);
    }
    if (status == MB_ERR_TIMEOUT) {
        mb_batcher *batcher = host->batcher;
        host->woke = false;
        Py_BEGIN_ALLOW_THREADS
        status = host->api->mb_batcher_next_batch(batcher, MB_FOREVER, batch);
        Py_END_ALLOW_THREADS
        *released = clock_now();
    }
    return status;
}

static bool is_end(mb_status status)
{
    return status == MB_ERR_TIMEOUT || status == MB_ERR_CLOSED || status == MB_ERR_FORKED;
}

/* Completes a pulled batch whose handler has returned, unless it was kept, and brings a set of results that is ready then. */
static void finish(BatchObject *batch, PusherObject *pusher)
{
    struct host *host = batch->host;
    mb_batch *ended = batch->batch;
    mb_results *results = NULL;
    mb_status status;
    if (!batch->held || batch->kept || ended == NULL) {
        return;
    }
    batch->batch = NULL;
    Py_CLEAR(batch->pin);
    if (!host->delivers) {
        status = host->api->mb_batch_complete(ended);
    } else {
        status = host->api->mb_batch_complete_next(ended, &results);
    }
    if (results != NULL) {
        deliver(host, pusher, results);
    } else if (status != MB_OK && status != MB_ERR_TOO_LATE && status != MB_ERR_FORKED) {
        raise_status(status, NULL);
        told_of("microbatch: a batch could not be completed");
    }
    host_drain(host); /* at once: nobody may call in for long, and the main thread be deaf */
}

PyObject *batch_finish(PyObject *object, PyObject *ignored)
{
    BatchObject *self = (BatchObject *)object;
    PusherObject *pusher = pusher_of(self->host);
    (void)ignored;
    if (pusher != NULL) {
        finish(self, pusher);
        Py_DECREF((PyObject *)pusher);
    }
    Py_RETURN_NONE;
}

/* serve_batches(): handles one batch after another until there will be none. While it waits it holds the Host alone: a batcher
   that is only forgotten could never be freed otherwise. */
PyObject *host_serve_batches(PyObject *self, PyObject *ignored)
{
    struct host *host = HOST(self);
    int64_t released = 0;
    (void)ignored;
    while (host_is_open(host)) {
        mb_batch *taken = NULL;
        PusherObject *pusher;
        BatchObject *batch;
        struct running running;
        mb_status status;
        host_enter(host);
        status = take(host, &taken, &released);
        pusher = status == MB_OK ? pusher_of(host) : NULL;
        batch = pusher == NULL ? NULL : (BatchObject *)batch_new(host, taken, batch_class);
        if (status == MB_OK && pusher == NULL) {
            host->api->mb_batch_free(taken);
        }
        host_leave(host);
        if (batch == NULL) {
            Py_XDECREF((PyObject *)pusher);
            return status == MB_OK && PyErr_Occurred() != NULL ? NULL
                 : status == MB_OK || is_end(status)          ? Py_NewRef(Py_None)
                                                              : none_or_raise(status);
        }
        running.number = batch->view.number;
        running_begin(host, &running);
        handler_run(batch, work_of(pusher, batch->view.kind));
        running_end(host, &running);
        finish(batch, pusher);
        Py_DECREF((PyObject *)batch);
        Py_DECREF((PyObject *)pusher);
    }
    Py_RETURN_NONE;
}

static mb_status take_set(struct host *host, mb_results **results, int64_t limit)
{
    mb_batcher *batcher = host->batcher;
    mb_status status;
    if (limit == 0) {
        return host->api->mb_batcher_next_results(batcher, 0, results);
    }
    Py_BEGIN_ALLOW_THREADS
    status = host->api->mb_batcher_next_results(batcher, limit, results);
    Py_END_ALLOW_THREADS
    return status;
}

/* Brings sets as they come; with limit 0 those that are there. */
static PyObject *serve(struct host *host, int64_t limit)
{
    mb_status status = MB_OK;
    while (status == MB_OK && host_is_open(host)) {
        mb_results *results = NULL;
        PusherObject *pusher;
        host_enter(host);
        status = take_set(host, &results, limit);
        pusher = status == MB_OK ? pusher_of(host) : NULL;
        if (pusher != NULL) {
            deliver(host, pusher, results);
        } else if (status == MB_OK) {
            host->api->mb_results_free(results);
            status = MB_ERR_CLOSED;
        }
        host_leave(host);
        Py_XDECREF((PyObject *)pusher);
    }
    return status == MB_OK || is_end(status) ? Py_NewRef(Py_None) : none_or_raise(status);
}

/* serve_results(): brings results until there will be none */
PyObject *host_serve_results(PyObject *self, PyObject *ignored)
{
    PyObject *answer = serve(HOST(self), MB_FOREVER);
    (void)ignored;
    delivery_end(HOST(self));
    return answer;
}

/* take_results(): brings what is there */
PyObject *host_take_results(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    return serve(HOST(self), 0);
}

/* take_batch() -> a Batch that is there, or None: for a loop */
PyObject *host_take_batch(PyObject *self, PyObject *ignored)
{
    struct host *host = HOST(self);
    mb_batch *batch = NULL;
    mb_status status;
    PyObject *object = NULL;
    (void)ignored;
    if (!host_is_open(host)) {
        Py_RETURN_NONE;
    }
    host_enter(host);
    status = host->api->mb_batcher_next_batch(host->batcher, 0, &batch);
    if (status == MB_OK) {
        object = batch_new(host, batch, batch_class);
    }
    host_leave(host);
    return status == MB_OK ? object : is_end(status) ? Py_NewRef(Py_None) : none_or_raise(status);
}
