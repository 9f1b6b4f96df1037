/* The batcher: made, shared, driven, waited for, closed; and its callbacks in manual mode. */

#include "glue.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
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

/* ---- Callbacks ---- */

/* A handler in manual mode or of a map: the thread is one that called in. */
mb_status handle(void *user_data, mb_batch *batch, const mb_api *api)
{
    const struct handler *handler = user_data;
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *object = batch_new(handler->host, batch, false);
    PyObject *answer = NULL;
    mb_status status = MB_ERR_HANDLER_FAILED;
    (void)api;
    if (object != NULL) {
        answer = PyObject_CallFunction(handler->host->on_batch, "Oi", object, handler->which);
        batch_end((BatchObject *)object);
    }
    if (answer != NULL) {
        status = (mb_status)PyLong_AsLong(answer);
    }
    if (PyErr_Occurred() != NULL) {
        PyErr_WriteUnraisable(handler->host->on_batch);
        status = MB_ERR_HANDLER_FAILED;
    }
    Py_XDECREF(answer);
    Py_XDECREF(object);
    PyGILState_Release(state);
    return status;
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    struct host *host = user_data;
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *columns = results_columns(host, results, false);
    PyObject *answer = columns == NULL ? NULL : PyObject_CallFunctionObjArgs(host->on_results, columns, NULL);
    (void)api;
    if (answer == NULL) {
        PyErr_WriteUnraisable(host->on_results);
    }
    Py_XDECREF(columns);
    Py_XDECREF(answer);
    PyGILState_Release(state);
}

/* The engine's reference to an object ends. Its own threads only note it; in manual mode the thread may enter Python. */
static void release_object(void *user_data, uint64_t word)
{
    struct host *host = user_data;
    struct reference *reference = (struct reference *)(uintptr_t)word;
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
    reference->next = atomic_load(&host->released);
    while (!atomic_compare_exchange_weak(&host->released, &reference->next, reference)) {
    }
}

void host_drain(struct host *host)
{
    struct reference *reference = NULL;
    struct reference *in_order = NULL;
    if (atomic_load_explicit(&host->released, memory_order_relaxed) == NULL) {
        return;
    }
    reference = atomic_exchange(&host->released, NULL);
    while (reference != NULL) {
        struct reference *next = reference->next;
        reference->next = in_order;
        in_order = reference;
        reference = next;
    }
    while (in_order != NULL) {
        struct reference *next = in_order->next;
        reference_dispose(host, in_order, !host->map);
        in_order = next;
    }
}

/* ---- Life ---- */

struct host *host_new(const mb_api *api)
{
    struct host *host = calloc(1, sizeof *host);
    if (host == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    host->api = api;
    host->shared.struct_size = sizeof host->shared;
    atomic_init(&host->holds, 1);
    for (int at = 0; at <= DEFAULT_HANDLER; at++) {
        host->handlers[at].host = host;
        host->handlers[at].which = at;
    }
    return host;
}

/* Any thread, without the GIL. */
void host_unhold(struct host *host)
{
    if (atomic_fetch_sub(&host->holds, 1) == 1) {
        free(host);
    }
}

static void unhold(void *user_data)
{
    host_unhold(user_data);
}

static void free_batcher(struct host *host)
{
    mb_batcher *batcher = host->batcher;
    if (batcher != NULL && !host->attached && host->freeing == 0) {
        host->freeing = PyThread_get_thread_ident();
        Py_BEGIN_ALLOW_THREADS
        if (atomic_load(&host->closers) > 0) {
            host->api->mb_batcher_close(batcher, 0, NULL); /* an interrupted close goes on, and ends with this */
            while (atomic_load(&host->closers) > 0) {
                struct timespec pause = {0, 100000};
                nanosleep(&pause, NULL);
            }
        }
        host->api->mb_batcher_free(batcher);
        Py_END_ALLOW_THREADS
        host_drain(host);
    }
    host->batcher = NULL;
}

bool host_enter(struct host *host)
{
    bool inside = host->freeing != 0 && host->freeing == PyThread_get_thread_ident();
    if (host->batcher == NULL || (host->closing && !inside)) {
        raise_status(MB_ERR_CLOSED, "the batcher is freed");
        return false;
    }
    atomic_fetch_add(&host->users, 1);
    return true;
}

void host_leave(struct host *host)
{
    if (atomic_fetch_sub(&host->users, 1) == 1 && host->closing && host->freeing == 0) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        free_batcher(host);
        PyErr_Restore(type, value, traceback);
    }
    host_drain(host);
}

/* The number that an option comes to. */
static int64_t effective(const mb_api *api, const mb_options *options, const char *name)
{
    const mb_option_info *table;
    size_t count = 0;
    api->mb_option_table(&table, &count);
    for (size_t at = 0; at < count; at++) {
        if (strcmp(table[at].name, name) == 0) {
            const char *field = (const char *)options + table[at].offset;
            int64_t wide = 0;
            uint32_t narrow = 0;
            memcpy(table[at].width == 4 ? (void *)&narrow : (void *)&wide, field, table[at].width);
            wide = table[at].width == 4 ? narrow : wide;
            return wide == 0 ? table[at].default_value : wide;
        }
    }
    return 0;
}

static bool set_options(const mb_api *api, mb_options *options, PyObject *pairs)
{
    mb_status status = api->mb_options_init(options, sizeof *options);
    if (status != MB_OK) {
        raise_status(status, NULL);
        return false;
    }
    for (Py_ssize_t at = 0, count = PyList_Size(pairs); at < count; at++) {
        const char *name, *text;
        mb_error *error = NULL;
        if (!PyArg_ParseTuple(PyList_GetItem(pairs, at), "ss", &name, &text)) {
            return false;
        }
        status = api->mb_options_set(options, name, text, &error);
        if (status != MB_OK) {
            raise_error(api, status, error);
            return false;
        }
    }
    return PyErr_Occurred() == NULL;
}

/* Host(options, handlers, on_batch, on_results, on_release, object_size, pull): options is a list of pairs of texts;
   handlers has, for each kind and the default, None, True (Python's, in manual mode) or (function, user data, release). */
static PyObject *host_create(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    const mb_api *api = mb_api_table();
    PyObject *pairs, *handlers, *on_batch, *on_results, *on_release, *object_size;
    int pull;
    mb_options options;
    mb_batcher *batcher = NULL;
    mb_error *error = NULL;
    mb_status status;
    HostObject *self;
    struct host *host;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "O!O!OOOOp", &PyList_Type, &pairs, &PyList_Type, &handlers, &on_batch, &on_results,
                          &on_release, &object_size, &pull)
        || !set_options(api, &options, pairs)) {
        return NULL;
    }
    host = host_new(api);
    if (host == NULL) {
        return NULL;
    }
    status = api->mb_owner_new(&host->owner);
    if (status != MB_OK) {
        host_unhold(host);
        return raise_status(status, NULL);
    }
    host->manual = options.mode == MB_MODE_MANUAL;
    host->blocks = effective(api, &options, "on_full") <= MB_FULL_BLOCK;
    host->push_timeout = effective(api, &options, "push_timeout");
    if (host->blocks && !host->manual) {
        options.on_full = MB_FULL_REJECT; /* the waiting is done here, without the GIL */
    }
    options.drain_at_exit = 0; /* Python's own hook drains */
    if (pull) {
        options.results = MB_RESULTS_PULL;
    } else if (on_results != Py_None) {
        options.on_result = on_result;
        options.result_data = host;
    }
    options.owner = host->owner;
    options.object_release = release_object;
    options.object_data = host;
    options.object_data_release = unhold;
    for (int at = 0; at <= DEFAULT_HANDLER; at++) {
        PyObject *given = PyList_GetItem(handlers, at);
        mb_handler handler = {NULL, NULL, NULL};
        if (given == NULL) {
            host_unhold(host);
            return NULL;
        }
        if (given == Py_True) {
            handler.call = handle;
            handler.user_data = &host->handlers[at];
        } else if (given != Py_None) {
            unsigned long long function, data, release;
            void *address;
            if (!PyArg_ParseTuple(given, "KKK", &function, &data, &release)) {
                host_unhold(host);
                return NULL;
            }
            address = (void *)(uintptr_t)function;
            memcpy(&handler.call, &address, sizeof address);
            handler.user_data = (void *)(uintptr_t)data;
            address = (void *)(uintptr_t)release;
            memcpy(&handler.release, &address, sizeof address);
        }
        if (at == DEFAULT_HANDLER) {
            options.handler = handler.call;
            options.handler_data = handler.user_data;
            options.handler_release = handler.release;
        } else {
            options.by_kind[at] = handler;
        }
    }
    self = (HostObject *)PyType_GenericAlloc(type, 0);
    if (self == NULL) {
        host_unhold(host);
        return NULL;
    }
    self->host = host;
    host->self = (PyObject *)self;
    atomic_fetch_add(&host->holds, 1); /* the engine's, given back by unhold */
    Py_BEGIN_ALLOW_THREADS
    status = api->mb_batcher_new(&options, &batcher, &error);
    Py_END_ALLOW_THREADS
    if (status != MB_OK) {
        host_unhold(host);
        Py_DECREF((PyObject *)self);
        return raise_error(api, status, error);
    }
    host->batcher = batcher;
    host->on_batch = on_batch == Py_None ? NULL : Py_NewRef(on_batch);
    host->on_results = on_results == Py_None ? NULL : Py_NewRef(on_results);
    host->on_release = on_release == Py_None ? NULL : Py_NewRef(on_release);
    host->object_size = object_size == Py_None ? NULL : Py_NewRef(object_size);
    return (PyObject *)self;
}

/* attach(address of an mb_shared): somebody else's batcher, reached through the functions of its own copy. */
static PyObject *host_attach(PyObject *type, PyObject *arg)
{
    const mb_shared *shared = (const mb_shared *)(uintptr_t)PyLong_AsUnsignedLongLong(arg);
    HostObject *self;
    mb_status status;
    if (PyErr_Occurred() != NULL) {
        return NULL;
    }
    if (shared == NULL || shared->struct_size < sizeof *shared || shared->api == NULL) {
        return raise_status(MB_ERR_INVALID_ARGUMENT, "not the address of an mb_shared that mb_batcher_share filled");
    }
    status = shared->api->mb_abi_check(MB_ABI_VERSION);
    if (status != MB_OK) {
        return raise_status(status, NULL);
    }
    self = (HostObject *)PyType_GenericAlloc((PyTypeObject *)type, 0);
    if (self == NULL || (self->host = host_new(shared->api)) == NULL) {
        Py_XDECREF((PyObject *)self);
        return NULL;
    }
    self->host->attached = true;
    self->host->batcher = shared->batcher;
    return (PyObject *)self;
}

static int host_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct host *host = HOST(self);
    Py_VISIT(Py_TYPE(self));
    if (host != NULL) {
        Py_VISIT(host->on_batch);
        Py_VISIT(host->on_results);
        Py_VISIT(host->on_release);
        Py_VISIT(host->object_size);
    }
    return 0;
}

static int host_clear(PyObject *self)
{
    struct host *host = HOST(self);
    if (host != NULL) {
        host->closing = true;
        if (atomic_load(&host->users) == 0) {
            free_batcher(host); /* calls back for the last time */
        }
        Py_CLEAR(host->on_batch);
        Py_CLEAR(host->on_results);
        Py_CLEAR(host->on_release);
        Py_CLEAR(host->object_size);
    }
    return 0;
}

static void host_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (HOST(self) != NULL) {
        HOST(self)->self = NULL;
    }
    host_clear(self);
    if (HOST(self) != NULL) {
        host_unhold(HOST(self));
    }
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

/* ---- Waits ---- */

typedef mb_status (*wait_fn)(struct host *host, void *what, int64_t timeout);

/* Waits without the GIL, a slice at a time, until something else than TIMEOUT comes. Answers NOT_TAKEN with a Python error
   set if a signal handler raised. Threads that need no signals wait in one go: an idle batcher wakes nobody. */
static mb_status wait_for(struct host *host, wait_fn wait, void *what, int64_t timeout, bool signals)
{
    int64_t begun = clock_now();
    for (;;) {
        int64_t left = remaining(timeout, begun);
        int64_t slice = signals && left > SLICE ? SLICE : left;
        mb_status status;
        Py_BEGIN_ALLOW_THREADS
        status = wait(host, what, slice);
        Py_END_ALLOW_THREADS
        if (PyErr_CheckSignals() < 0) {
            /* what came is not lost: the caller looks at `what` */
            return NOT_TAKEN;
        }
        if (host->manual || (status != MB_ERR_TIMEOUT && !is_full(status)) || slice == left) {
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

static PyObject *none_or_raise(mb_status status)
{
    return status == MB_OK ? Py_NewRef(Py_None) : status == NOT_TAKEN ? NULL : raise_status(status, NULL);
}

static PyObject *host_room(PyObject *self, PyObject *args)
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
static PyObject *host_flush(PyObject *self, PyObject *args)
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

static PyObject *host_flush_begin(PyObject *self, PyObject *ignored)
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

static PyObject *host_flush_end(PyObject *self, PyObject *args)
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

/* next_batch(timeout, signals) -> Batch */
static PyObject *host_next_batch(PyObject *self, PyObject *args)
{
    struct host *host = HOST(self);
    mb_batch *batch = NULL;
    long long timeout;
    int signals;
    mb_status status;
    PyObject *object = NULL;
    if (!PyArg_ParseTuple(args, "Lp", &timeout, &signals) || !host_enter(host)) {
        return NULL;
    }
    status = wait_for(host, wait_batch, &batch, timeout, signals);
    if (batch != NULL) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        object = batch_new(host, batch, true);
        if (type != NULL) {
            /* the batch of an interrupted wait is given up, and its values say so */
            Py_CLEAR(object);
            PyErr_Restore(type, value, traceback);
        }
    }
    host_leave(host);
    return status == MB_OK ? object : status == NOT_TAKEN ? NULL : raise_status(status, NULL);
}

/* next_results(timeout, signals) -> columns */
static PyObject *host_next_results(PyObject *self, PyObject *args)
{
    struct host *host = HOST(self);
    mb_results *results = NULL;
    long long timeout;
    int signals;
    mb_status status;
    PyObject *columns = NULL;
    if (!PyArg_ParseTuple(args, "Lp", &timeout, &signals) || !host_enter(host)) {
        return NULL;
    }
    status = wait_for(host, wait_results, &results, timeout, signals);
    if (results != NULL) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        columns = results_columns(host, results, true);
        if (type != NULL) {
            Py_CLEAR(columns);
            PyErr_Restore(type, value, traceback);
        }
    }
    host_leave(host);
    return status == MB_OK ? columns : status == NOT_TAKEN ? NULL : raise_status(status, NULL);
}

/* ---- Close ---- */

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
    timeout = timeout > SLICE ? SLICE : timeout;
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
static PyObject *host_close(PyObject *self, PyObject *args)
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
    status = wait_for(host, wait_closing, closing, MB_FOREVER, true);
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

/* abandon(): nobody enters any more, and the last one inside frees the batcher, which may be this call. */
static PyObject *host_abandon(PyObject *self, PyObject *ignored)
{
    struct host *host = HOST(self);
    (void)ignored;
    if (host->closing || host->batcher == NULL) {
        Py_RETURN_NONE;
    }
    atomic_fetch_add(&host->users, 1);
    host->closing = true;
    if (!host->attached && atomic_load(&host->users) > 1) {
        uint64_t left;
        /* whoever waits inside is woken; manual mode has nobody to wake, and free does it all */
        if (!host->manual) {
            Py_BEGIN_ALLOW_THREADS
            host->api->mb_batcher_close(host->batcher, 0, &left);
            Py_END_ALLOW_THREADS
        }
    }
    host_leave(host);
    Py_RETURN_NONE;
}

/* ---- Pushing one value ---- */

static mb_status push_once(struct host *host, const mb_value *value, uint64_t tag, int64_t deadline)
{
    mb_push_options options;
    mb_status status;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.deadline = deadline;
    if (host->attached) {
        /* its owner may have it block */
        Py_BEGIN_ALLOW_THREADS
        status = host->api->mb_batcher_push_value(host->batcher, value, tag, deadline != 0 ? &options : NULL);
        Py_END_ALLOW_THREADS
        return status;
    }
    switch (deadline != 0 ? MB_KINDS : value->kind) {
    case MB_KIND_INT64:
        return host->api->mb_batcher_push_int64(host->batcher, value->as.int64, tag);
    case MB_KIND_FLOAT64:
        return host->api->mb_batcher_push_float64(host->batcher, value->as.float64, tag);
    case MB_KIND_STRING:
        return host->api->mb_batcher_push_string(host->batcher, value->as.string.data, value->as.string.length, tag);
    default:
        return host->api->mb_batcher_push_value(host->batcher, value, tag, deadline != 0 ? &options : NULL);
    }
}

/* push(value, tag, deadline, wait): deadline on the batcher's clock, 0 for none; wait: whether this thread may wait for room. */
static PyObject *host_push(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct host *host = HOST(self);
    mb_value value;
    mb_status status;
    PyObject *keep;
    uint64_t tag;
    int64_t deadline;
    bool wait;
    if (count != 4) {
        PyErr_SetString(PyExc_TypeError, "push takes value, tag, deadline and wait");
        return NULL;
    }
    tag = PyLong_AsUnsignedLongLong(args[1]);
    if (tag == (uint64_t)-1 && PyErr_Occurred() != NULL) {
        return PyErr_ExceptionMatches(PyExc_OverflowError)
                 ? value_refused(host, (PyErr_Clear(), MB_ERR_OUT_OF_RANGE), args[1], NULL)
                 : NULL;
    }
    deadline = PyLong_AsLongLong(args[2]);
    if (deadline == -1 && PyErr_Occurred() != NULL) {
        return NULL;
    }
    wait = args[3] == Py_True && host->blocks && !host->manual;
    if (!host_enter(host)) {
        return NULL;
    }
    status = value_read(host, args[0], &value, &keep);
    if (status != MB_OK) {
        host_leave(host);
        return value_refused(host, status, args[0], NULL);
    }
    status = push_once(host, &value, tag, deadline);
    if (wait && is_full(status)) {
        int64_t begun = clock_now();
        while (is_full(status) && remaining(host->push_timeout, begun) > 0) {
            mb_status room = wait_for(host, wait_room, NULL, remaining(host->push_timeout, begun), true);
            status = room == MB_OK ? push_once(host, &value, tag, deadline) : room;
        }
    }
    if (status != MB_OK) {
        value_refused(host, status, args[0], &value);
        value_forget(host, &value);
    }
    Py_XDECREF(keep);
    host_leave(host);
    return status == MB_OK ? Py_NewRef(Py_None) : NULL;
}

static PyObject *host_check(PyObject *self, PyObject *object)
{
    struct host *host = HOST(self);
    mb_value value;
    mb_error *error = NULL;
    mb_status status;
    PyObject *keep;
    if (!host_enter(host)) {
        return NULL;
    }
    status = value_read(host, object, &value, &keep);
    if (status != MB_OK) {
        value_refused(host, status, object, NULL);
    } else {
        status = host->api->mb_batcher_check(host->batcher, &value, &error);
        if (status != MB_OK) {
            raise_error(host->api, status, error);
        }
        value_forget(host, &value);
        Py_XDECREF(keep);
    }
    host_leave(host);
    return status == MB_OK ? Py_NewRef(Py_None) : NULL;
}

/* ---- Short calls, and those that call back in manual mode ---- */

#define SIMPLE(name)                                                 \
    static PyObject *host_##name(PyObject *self, PyObject *ignored)  \
    {                                                                \
        struct host *host = HOST(self);                              \
        mb_status status;                                            \
        (void)ignored;                                               \
        if (!host_enter(host)) {                                     \
            return NULL;                                             \
        }                                                            \
        Py_BEGIN_ALLOW_THREADS                                       \
        status = host->api->mb_batcher_##name(host->batcher);        \
        Py_END_ALLOW_THREADS                                         \
        host_leave(host);                                            \
        return none_or_raise(status);                                \
    }

SIMPLE(seal)
SIMPLE(run)

static PyObject *host_advance(PyObject *self, PyObject *arg)
{
    struct host *host = HOST(self);
    int64_t now = PyLong_AsLongLong(arg);
    mb_status status;
    if (PyErr_Occurred() != NULL || !host_enter(host)) {
        return NULL;
    }
    status = host->api->mb_batcher_advance(host->batcher, now);
    host_leave(host);
    return none_or_raise(status);
}

static PyObject *host_cancel(PyObject *self, PyObject *arg)
{
    struct host *host = HOST(self);
    uint64_t tag = PyLong_AsUnsignedLongLong(arg);
    uint64_t count = 0;
    mb_status status;
    if (PyErr_Occurred() != NULL || !host_enter(host)) {
        return NULL;
    }
    status = host->api->mb_batcher_cancel(host->batcher, tag, &count);
    host_leave(host);
    return status == MB_OK ? PyLong_FromUnsignedLongLong(count) : raise_status(status, NULL);
}

#define NUMBER(name, type)                                           \
    static PyObject *host_##name(PyObject *self, PyObject *ignored)  \
    {                                                                \
        struct host *host = HOST(self);                              \
        type number;                                                 \
        mb_status status;                                            \
        (void)ignored;                                               \
        if (!host_enter(host)) {                                     \
            return NULL;                                             \
        }                                                            \
        status = host->api->mb_batcher_##name(host->batcher, &number); \
        host_leave(host);                                            \
        return status == MB_OK ? PyLong_FromLongLong(number) : raise_status(status, NULL); \
    }

NUMBER(now, int64_t)
NUMBER(next_due, int64_t)
NUMBER(fd, int32_t)

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
static PyObject *host_stats(PyObject *self, PyObject *ignored)
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

static PyObject *host_stats_text(PyObject *self, PyObject *ignored)
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

/* The address of an mb_shared, good as long as the batcher is. */
static PyObject *host_share(PyObject *self, PyObject *ignored)
{
    struct host *host = HOST(self);
    mb_status status;
    (void)ignored;
    if (!host_enter(host)) {
        return NULL;
    }
    status = host->api->mb_batcher_share(host->batcher, &host->shared);
    host_leave(host);
    return status == MB_OK ? PyLong_FromVoidPtr(&host->shared) : raise_status(status, NULL);
}

static PyObject *host_drain_released(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    host_drain(HOST(self));
    Py_RETURN_NONE;
}

#define FAST(name) {#name, (PyCFunction)(void (*)(void))host_##name, METH_FASTCALL, NULL}
#define METHOD(name, how) {#name, host_##name, how, NULL}
static PyMethodDef host_methods[] = {
    {"attach", host_attach, METH_O | METH_CLASS, NULL},
    FAST(push),
    METHOD(push_numbers, METH_VARARGS),
    METHOD(push_strings, METH_VARARGS),
    METHOD(push_values, METH_VARARGS),
    METHOD(check, METH_O),
    METHOD(cancel, METH_O),
    METHOD(room, METH_VARARGS),
    METHOD(seal, METH_NOARGS),
    METHOD(run, METH_NOARGS),
    METHOD(advance, METH_O),
    METHOD(now, METH_NOARGS),
    METHOD(next_due, METH_NOARGS),
    METHOD(fd, METH_NOARGS),
    METHOD(flush, METH_VARARGS),
    METHOD(flush_begin, METH_NOARGS),
    METHOD(flush_end, METH_VARARGS),
    METHOD(next_batch, METH_VARARGS),
    METHOD(next_results, METH_VARARGS),
    METHOD(close, METH_VARARGS),
    METHOD(abandon, METH_NOARGS),
    METHOD(stats, METH_NOARGS),
    METHOD(stats_text, METH_NOARGS),
    METHOD(share, METH_NOARGS),
    METHOD(drain_released, METH_NOARGS),
    {NULL, NULL, 0, NULL},
};

static PyType_Slot host_slots[] = {
    {Py_tp_new, host_create},
    {Py_tp_dealloc, host_dealloc},
    {Py_tp_traverse, host_traverse},
    {Py_tp_clear, host_clear},
    {Py_tp_methods, host_methods},
    {0, NULL},
};

PyType_Spec host_spec = {
    "microbatch._microbatch.Host", sizeof(HostObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, host_slots,
};
