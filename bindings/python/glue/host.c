/* The batcher as Python holds it: made, shared, called, given back. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

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
    host->forks = forks;
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
        replies_discard(host);
    }
    host->batcher = NULL;
}

bool host_is_open(struct host *host)
{
    bool inside = host->freeing != 0 && host->freeing == PyThread_get_thread_ident();
    return host->batcher != NULL && (!host->closing || inside);
}

bool host_enter(struct host *host)
{
    if (!host_is_open(host)) {
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

/* Host(me, options, handlers, on_release, object_size, on_log, delivers, pulls, kinds): me is a weak reference to the Batcher; options
   is a list of pairs of texts; handlers has, for each kind and the default, None, True (Python's, in manual mode) or (function,
   user data, release). delivers: results are brought to its replies and its
   on_result; pulls: by who pulls them. kinds: pull_handlers. */
static PyObject *host_create(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    const mb_api *api = mb_api_table();
    PyObject *me, *pairs, *handlers, *on_release, *object_size, *on_log;
    int delivers, pulls;
    unsigned int kinds;
    mb_options options;
    mb_batcher *batcher = NULL;
    mb_error *error = NULL;
    mb_status status;
    HostObject *self;
    struct host *host;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OO!O!OOOppI", &me, &PyList_Type, &pairs, &PyList_Type, &handlers, &on_release, &object_size,
                          &on_log, &delivers, &pulls, &kinds)
        || !options_set(api, &options, pairs)) {
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
    host->threads = option_value(api, &options, "threads");
    host->max_running = option_value(api, &options, "max_in_flight");
    if (host->max_running == 0) {
        host->max_running = host->threads;
    }
    host->push_timeout = option_value(api, &options, "push_timeout");
    if (!host->manual && option_value(api, &options, "on_full") == MB_FULL_BLOCK) {
        host->asks = MB_IF_FULL_ASK; /* the waiting is done here, without the GIL */
    }
    options.pull_handlers = kinds; /* bit MB_KINDS, the place of the default, is MB_PULL_DEFAULT */
    options.drain_at_exit = 0; /* Python's own hook drains */
    if (delivers && pulls) {
        options.results = MB_RESULTS_PULL;
    } else if (delivers) {
        options.on_result = on_result;
        options.result_data = host;
    }
    if (on_log != Py_None) {
        options.log = on_line;
        options.log_data = host;
        options.log_release = unhold;
        atomic_fetch_add(&host->holds, 1);
    }
    host->delivers = delivers != 0;
    host->pulls = pulls != 0;
    host->delivery.running = delivers && !host->manual; /* its thread is started next */
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
            handler.user_data = host;
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
    host->thrown = PyDict_New();
    if (host->thrown == NULL) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    atomic_fetch_add(&host->holds, 1); /* the engine's, given back by unhold */
    Py_BEGIN_ALLOW_THREADS
    status = api->mb_batcher_new(&options, &batcher, &error);
    Py_END_ALLOW_THREADS
    if (status != MB_OK) {
        host_unhold(host);
        if (on_log != Py_None) {
            host_unhold(host);
        }
        Py_DECREF((PyObject *)self);
        return raise_error(api, status, error);
    }
    host->batcher = batcher;
    host->on_log = on_log == Py_None ? NULL : Py_NewRef(on_log);
    host->me = Py_NewRef(me);
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
        Py_VISIT(host->me);
        Py_VISIT(host->on_release);
        Py_VISIT(host->object_size);
        Py_VISIT(host->on_log);
        Py_VISIT(host->thrown);
        Py_VISIT(host->interrupt);
        return replies_visit(host, visit, arg);
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
        Py_CLEAR(host->me);
        Py_CLEAR(host->on_release);
        Py_CLEAR(host->object_size);
        Py_CLEAR(host->on_log);
        Py_CLEAR(host->interrupt);
        if (host->thrown != NULL) {
            PyDict_Clear(host->thrown);
        }
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
        Py_CLEAR(HOST(self)->thrown);
        replies_free(HOST(self));
        HOST(self)->replies.slots = NULL;
        HOST(self)->replies.count = 0;
        delivery_free(&HOST(self)->delivery);
        host_unhold(HOST(self));
    }
    PyObject_GC_Del(self);
    Py_DECREF(type);
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

#define METHOD(name, how) {#name, host_##name, how, NULL}
static PyMethodDef host_methods[] = {
    {"attach", host_attach, METH_O | METH_CLASS, NULL},
    METHOD(push_numbers, METH_VARARGS),
    METHOD(push_strings, METH_VARARGS),
    METHOD(push_values, METH_VARARGS),
    METHOD(claim_tags, METH_NOARGS),
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
    METHOD(serve_batches, METH_NOARGS),
    METHOD(serve_results, METH_NOARGS),
    METHOD(take_batch, METH_NOARGS),
    METHOD(take_results, METH_NOARGS),
    METHOD(await_delivered, METH_VARARGS),
    METHOD(await_end, METH_VARARGS),
    METHOD(in_callback, METH_NOARGS),
    METHOD(may_wait, METH_NOARGS),
    METHOD(take_interrupt, METH_NOARGS),
    METHOD(has_room, METH_NOARGS),
    METHOD(close, METH_VARARGS),
    METHOD(abandon, METH_NOARGS),
    METHOD(stats, METH_NOARGS),
    METHOD(stats_text, METH_NOARGS),
    METHOD(share, METH_NOARGS),
    METHOD(drain_released, METH_NOARGS),
    {NULL, NULL, 0, NULL},
};

static PyObject *host_get_thrown(PyObject *self, void *closure)
{
    (void)closure;
    return Py_NewRef(HOST(self)->thrown == NULL ? Py_None : HOST(self)->thrown);
}

static PyObject *host_get_threads(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromLongLong(HOST(self)->threads);
}

static PyGetSetDef host_attributes[] = {
    {"threads", host_get_threads, NULL, NULL, NULL},
    {"thrown", host_get_thrown, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot host_slots[] = {
    {Py_tp_getset, host_attributes},
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
