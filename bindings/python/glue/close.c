/* Close: a wait that the engine does in one go. */

#include "glue.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

/* The engine's close waits in one go, and its time-out is final. So a thread of the glue waits in it, which never enters
   Python, and the caller waits for that thread in slices. */
struct closing {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    struct host *host;
    mb_batcher *batcher;
    int64_t timeout;
    uint64_t left;
    mb_status status;
    bool done;
    atomic_uint holds;
};

static void closing_unhold(struct closing *closing)
{
    if (atomic_fetch_sub(&closing->holds, 1) == 1) {
        pthread_cond_destroy(&closing->ended);
        pthread_mutex_destroy(&closing->lock);
        host_unhold(closing->host);
        free(closing);
    }
}

static void *close_thread(void *argument)
{
    struct closing *closing = argument;
    uint64_t left = 0;
    mb_status status = closing->host->api->mb_batcher_close(closing->batcher, closing->timeout, &left);
    atomic_fetch_sub(&closing->host->closers, 1);
    pthread_mutex_lock(&closing->lock);
    closing->status = status;
    closing->left = left;
    closing->done = true;
    pthread_cond_signal(&closing->ended);
    pthread_mutex_unlock(&closing->lock);
    closing_unhold(closing);
    return NULL;
}

static mb_status wait_closing(struct host *host, void *what, int64_t timeout)
{
    struct closing *closing = what;
    struct timespec until;
    bool done;
    (void)host;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += timeout % MB_S;
    until.tv_sec += timeout / MB_S + until.tv_nsec / MB_S;
    until.tv_nsec %= MB_S;
    pthread_mutex_lock(&closing->lock);
    if (!closing->done) {
        pthread_cond_timedwait(&closing->ended, &closing->lock, &until);
    }
    done = closing->done;
    pthread_mutex_unlock(&closing->lock);
    return done ? MB_OK : MB_ERR_TIMEOUT;
}

/* close(timeout) -> (status, left): in manual mode, and for a batcher of others, the engine's own. */
PyObject *host_close(PyObject *self, PyObject *args)
{
    struct host *host = HOST(self);
    struct closing *closing;
    long long timeout;
    uint64_t left = 0;
    mb_status status;
    pthread_t thread;
    pthread_condattr_t monotonic;
    if (!PyArg_ParseTuple(args, "L", &timeout) || !host_enter(host)) {
        return NULL;
    }
    if (host->manual || timeout <= 0) {
        Py_BEGIN_ALLOW_THREADS
        status = host->api->mb_batcher_close(host->batcher, timeout, &left);
        Py_END_ALLOW_THREADS
        host_leave(host);
        return Py_BuildValue("iK", (int)status, (unsigned long long)left);
    }
    closing = calloc(1, sizeof *closing);
    if (closing == NULL) {
        host_leave(host);
        return PyErr_NoMemory();
    }
    pthread_mutex_init(&closing->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&closing->ended, &monotonic);
    pthread_condattr_destroy(&monotonic);
    closing->host = host;
    closing->batcher = host->batcher;
    closing->timeout = timeout;
    atomic_init(&closing->holds, 2);
    atomic_fetch_add(&host->holds, 1);
    atomic_fetch_add(&host->closers, 1);
    if (pthread_create(&thread, NULL, close_thread, closing) != 0) {
        atomic_fetch_sub(&host->closers, 1);
        closing_unhold(closing);
        closing_unhold(closing);
        host_leave(host);
        return raise_status(MB_ERR_SYSTEM, "no thread could be started to wait for the close");
    }
    pthread_detach(thread);
    status = wait_for(host, wait_closing, closing, MB_FOREVER);
    if (status == NOT_TAKEN) {
        /* interrupted: the close goes on, see free_batcher */
        closing_unhold(closing);
        host_leave(host);
        return NULL;
    }
    status = closing->status;
    left = closing->left;
    closing_unhold(closing);
    host_leave(host);
    return Py_BuildValue("iK", (int)status, (unsigned long long)left);
}
