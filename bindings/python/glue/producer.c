/* Producers: a way in for one thread. */

#include "push.h"

typedef struct {
    PyObject_HEAD
    PyObject *pusher;            /* The Batcher. */
    PyObject *host;
    mb_producer *producer;       /* NULL once it is freed. */
    unsigned long pushing;       /* The thread whose push waits for room: a producer is for one at a time. */
} ProducerObject;

PyTypeObject *producer_type;

/* producer() of a Batcher */
PyObject *producer_new(PyObject *module, PyObject *pusher)
{
    PyObject *of;
    ProducerObject *self;
    mb_status status;
    (void)module;
    if (!PyObject_TypeCheck(pusher, pusher_type)) {
        PyErr_SetString(PyExc_TypeError, "a Batcher");
        return NULL;
    }
    of = open_host(pusher);
    self = of == NULL ? NULL : (ProducerObject *)PyType_GenericAlloc(producer_type, 0);
    if (self == NULL) {
        Py_XDECREF(of);
        return NULL;
    }
    self->host = of;
    status = HOST(of)->api->mb_producer_new(HOST(of)->batcher, &self->producer);
    if (status != MB_OK) {
        self->producer = NULL;
        Py_DECREF((PyObject *)self);
        return raise_status(status, NULL);
    }
    self->pusher = Py_NewRef(pusher);
    return (PyObject *)self;
}

/* The last look before a push: what runs before it may free the producer. */
static struct host *producer_host(ProducerObject *self)
{
    if (!still_open(HOST(self->host))) {
        return NULL;
    }
    if (self->producer == NULL) {
        raise_status(MB_ERR_CLOSED, "the producer is freed");
        return NULL;
    }
    if (self->pushing != 0) {
        raise_status(MB_ERR_INVALID_ARGUMENT, "another thread is pushing through this producer: it is for one at a time");
        return NULL;
    }
    return HOST(self->host);
}

static PyObject *producer_push(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    ProducerObject *self = (ProducerObject *)object;
    struct arguments given;
    struct host *host;
    uint64_t tag;
    int64_t deadline;
    bool pushed;
    if (!parse("push", args, count, names, true, &given) || (deadline = deadline_of(self->pusher, &given)) < 0
        || !tag_of(HOST(self->host), given.tag, &tag) || (host = producer_host(self)) == NULL || !host_enter(host)) {
        return NULL;
    }
    self->pushing = PyThread_get_thread_ident();
    pushed = push_object(host, self->producer, given.value, tag, deadline);
    self->pushing = 0;
    host_leave(host);
    return pushed ? Py_NewRef(Py_None) : NULL;
}

static PyObject *producer_submit(PyObject *object, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    ProducerObject *self = (ProducerObject *)object;
    struct arguments given;
    PyObject *reply;
    int64_t deadline;
    if (!parse("submit", args, count, names, false, &given) || (deadline = deadline_of(self->pusher, &given)) < 0
        || producer_host(self) == NULL) {
        return NULL;
    }
    self->pushing = PyThread_get_thread_ident();
    reply = submit_object(self->pusher, self->host, self->producer, given.value, deadline);
    self->pushing = 0;
    return reply;
}

static PyObject *producer_free(PyObject *object, PyObject *ignored)
{
    ProducerObject *self = (ProducerObject *)object;
    (void)ignored;
    if (self->pushing != 0) {
        return raise_status(MB_ERR_INVALID_ARGUMENT, "another thread is pushing through this producer");
    }
    if (self->producer != NULL) {
        HOST(self->host)->api->mb_producer_free(self->producer);
        self->producer = NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *producer_enter(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    return Py_NewRef(object);
}

static PyObject *producer_exit(PyObject *object, PyObject *ignored)
{
    return producer_free(object, ignored);
}

static int producer_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(((ProducerObject *)object)->pusher);
    Py_VISIT(((ProducerObject *)object)->host);
    return 0;
}

static int producer_clear(PyObject *object)
{
    ProducerObject *self = (ProducerObject *)object;
    if (self->producer != NULL) {
        HOST(self->host)->api->mb_producer_free(self->producer);
        self->producer = NULL;
    }
    Py_CLEAR(self->pusher);
    Py_CLEAR(self->host);
    return 0;
}

static void producer_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    producer_clear(object);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyMethodDef producer_methods[] = {
    {"push", KEYWORDS(producer_push), "push(value, tag=0, *, deadline=None, timeout=None)\n--\n\nAs Batcher.push."},
    {"submit", KEYWORDS(producer_submit), "submit(value, *, deadline=None, timeout=None)\n--\n\nAs Batcher.submit."},
    {"free", producer_free, METH_NOARGS, "Frees it; what it pushed goes its way. Also the end of `with`."},
    {"__enter__", producer_enter, METH_NOARGS, NULL},
    {"__exit__", producer_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot producer_slots[] = {
    {Py_tp_doc, "A way into a batcher for one thread: its values keep their order among themselves, and not with those of others."},
    {Py_tp_dealloc, producer_dealloc},
    {Py_tp_traverse, producer_traverse},
    {Py_tp_clear, producer_clear},
    {Py_tp_methods, producer_methods},
    {0, NULL},
};

PyType_Spec producer_spec = {
    "microbatch.Producer", sizeof(ProducerObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, producer_slots,
};
