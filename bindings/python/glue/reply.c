/* What submit returns: one object for each value, which is a future to asyncio (duck-typed: `isfuture` says so) without one
   inside, and which threads can wait for. */

#include "reply.h"

PyTypeObject *reply_type;
PyObject *get_running_loop, *cancelled_error, *copy_context, *run_name, *wake_function;

/* asyncio's own exception where a loop runs; elsewhere one that an `except Exception` sees. */
static PyObject *raise_cancelled(ReplyObject *self)
{
    PyObject *loop = PyObject_CallFunctionObjArgs(get_running_loop, NULL);
    if (loop == Py_None) {
        PyObject *error = PyObject_CallFunction(make_row_error, "isOii", MB_ERR_CANCELLED, "", Py_None,
                                                MB_OUTCOME_CANCELLED, (int)self->handled);
        Py_DECREF(loop);
        if (error != NULL) {
            PyErr_SetObject((PyObject *)Py_TYPE(error), error);
            Py_DECREF(error);
        }
        return NULL;
    }
    Py_XDECREF(loop);
    if (self->value != NULL) {
        PyErr_SetObject(cancelled_error, self->value);
    } else {
        PyErr_SetNone(cancelled_error);
    }
    return NULL;
}

static bool is_forked(const ReplyObject *self)
{
    return self->host != NULL && HOST(self->host)->forks != forks;
}

static PyObject *reply_get(ReplyObject *self)
{
    switch (self->state) {
    case DONE:
        return Py_NewRef(self->value);
    case FAILED:
        PyErr_SetObject((PyObject *)Py_TYPE(self->value), self->value);
        return NULL;
    default:
        return raise_cancelled(self);
    }
}

static PyObject *reply_await(PyObject *object)
{
    return Py_NewRef(object);
}

static PySendResult reply_send(PyObject *object, PyObject *ignored, PyObject **result)
{
    ReplyObject *self = (ReplyObject *)object;
    (void)ignored;
    if (self->state == PENDING) {
        if (is_forked(self)) {
            *result = raise_status(MB_ERR_FORKED, NULL);
            return PYGEN_ERROR;
        }
        self->blocking = true;
        *result = Py_NewRef(object);
        return PYGEN_NEXT;
    }
    *result = reply_get(self);
    return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

static PyObject *reply_next(PyObject *object)
{
    PyObject *result;
    PySendResult sent = reply_send(object, Py_None, &result);
    if (sent == PYGEN_RETURN) {
        PyObject *stop = PyObject_CallFunctionObjArgs(PyExc_StopIteration, result, NULL);
        Py_DECREF(result);
        if (stop != NULL) {
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
        return NULL;
    }
    return sent == PYGEN_NEXT ? result : NULL;
}

static PyObject *reply_done(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    return PyBool_FromLong(((ReplyObject *)object)->state != PENDING);
}

static PyObject *reply_cancelled(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    return PyBool_FromLong(((ReplyObject *)object)->state == GIVEN_UP);
}

/* Waits in a thread, where that may block. false: an error is set. */
static bool reply_wait(ReplyObject *self, PyObject *timeout)
{
    PyObject *answer;
    int64_t limit, begun;
    if (self->state != PENDING) {
        return true;
    }
    if (is_forked(self)) {
        raise_status(MB_ERR_FORKED, NULL);
        return false;
    }
    answer = PyObject_CallMethod(self->pusher, "_wait_limit", "O", timeout);
    if (answer == NULL) {
        return false;
    }
    limit = PyLong_AsLongLong(answer);
    Py_DECREF(answer);
    if (PyErr_Occurred() != NULL) {
        return false;
    }
    begun = clock_now();
    while (self->state == PENDING && remaining(limit, begun) > 0) {
        if (!thread_sleep(&self->threads, remaining(limit, begun))) {
            return false;
        }
    }
    if (self->state == PENDING) {
        PyObject *text = PyUnicode_FromFormat("no result came within %S s", timeout);
        raise_status(MB_ERR_TIMEOUT, text == NULL ? NULL : PyUnicode_AsUTF8AndSize(text, NULL));
        Py_XDECREF(text);
        return false;
    }
    return true;
}

static PyObject *result_or_exception(PyObject *object, PyObject *args, PyObject *kwargs, const char *format, bool exception)
{
    ReplyObject *self = (ReplyObject *)object;
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, format, names, &timeout)) {
        return NULL;
    }
    Py_INCREF(object);
    if (!reply_wait(self, timeout)) {
        timeout = NULL;
    } else if (!exception || self->state == GIVEN_UP) {
        timeout = reply_get(self);
    } else {
        timeout = Py_NewRef(self->state == FAILED ? self->value : Py_None);
    }
    Py_DECREF(object);
    return timeout;
}

static PyObject *reply_result(PyObject *object, PyObject *args, PyObject *kwargs)
{
    return result_or_exception(object, args, kwargs, "|O:result", false);
}

static PyObject *reply_exception(PyObject *object, PyObject *args, PyObject *kwargs)
{
    return result_or_exception(object, args, kwargs, "|O:exception", true);
}

/* cancel(msg=None): the reply is given up at once; its value is cancelled if it still waits, and its batch never. */
static PyObject *reply_cancel(PyObject *object, PyObject *args, PyObject *kwargs)
{
    ReplyObject *self = (ReplyObject *)object;
    static char *names[] = {"msg", NULL};
    PyObject *message = Py_None;
    struct wakes wakes = {NULL, NULL, NULL};
    struct host *host;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:cancel", names, &message)) {
        return NULL;
    }
    if (self->state != PENDING || is_forked(self)) {
        Py_RETURN_FALSE;
    }
    host = HOST(self->host);
    Py_INCREF(object);
    slot_leave(host, self);
    if (host->batcher != NULL && !host->closing) {
        mb_status status = host->api->mb_batcher_cancel(host->batcher, self->tag, NULL);
        self->handled = status == MB_OK ? MB_HANDLED_NO : MB_HANDLED_MAYBE; /* in flight: its result is let go */
    }
    answer(self, GIVEN_UP, message == Py_None ? NULL : Py_NewRef(message), &wakes);
    wake_all(&wakes);
    Py_DECREF(object);
    Py_RETURN_TRUE;
}

/* A reply is of whatever loop asks. */
static PyObject *reply_get_loop(PyObject *object, PyObject *ignored)
{
    PyObject *loop = PyObject_CallFunctionObjArgs(get_running_loop, NULL);
    (void)object;
    (void)ignored;
    if (loop == Py_None) {
        Py_DECREF(loop);
        PyErr_SetString(PyExc_RuntimeError, "no running event loop");
        return NULL;
    }
    return loop;
}

static PyObject *reply_make_cancelled_error(PyObject *object, PyObject *ignored)
{
    ReplyObject *self = (ReplyObject *)object;
    (void)ignored;
    return PyObject_CallFunctionObjArgs(cancelled_error, self->state == GIVEN_UP ? self->value : NULL, NULL);
}

static PyObject *reply_get_blocking(PyObject *object, void *closure)
{
    (void)closure;
    return PyBool_FromLong(((ReplyObject *)object)->blocking);
}

static int reply_set_blocking(PyObject *object, PyObject *value, void *closure)
{
    int flag = value == NULL ? 0 : PyObject_IsTrue(value);
    (void)closure;
    ((ReplyObject *)object)->blocking = flag > 0;
    return flag < 0 ? -1 : 0;
}

static PyObject *reply_get_tag(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLongLong(((ReplyObject *)object)->tag);
}

static PyObject *reply_class_getitem(PyObject *type, PyObject *item)
{
    return Py_GenericAlias(type, item);
}

static int reply_traverse(PyObject *object, visitproc visit, void *arg)
{
    ReplyObject *self = (ReplyObject *)object;
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->pusher);
    Py_VISIT(self->host);
    Py_VISIT(self->value);
    Py_VISIT(self->callback);
    Py_VISIT(self->context);
    Py_VISIT(self->loop);
    Py_VISIT(self->more);
    return 0;
}

static int reply_clear(PyObject *object)
{
    ReplyObject *self = (ReplyObject *)object;
    if (self->host != NULL && self->state == PENDING) {
        slot_leave(HOST(self->host), self);
        if (self->kept) {
            self->kept = false;
            Py_DECREF(object); /* the collector has another */
        }
    }
    Py_CLEAR(self->pusher);
    Py_CLEAR(self->host);
    Py_CLEAR(self->value);
    Py_CLEAR(self->callback);
    Py_CLEAR(self->context);
    Py_CLEAR(self->loop);
    Py_CLEAR(self->more);
    return 0;
}

static void reply_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    reply_clear(object);
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static PyMethodDef reply_methods[] = {
    {"done", reply_done, METH_NOARGS, "Whether the result is there, or the reply was given up."},
    {"cancelled", reply_cancelled, METH_NOARGS, "Whether `cancel` gave it up."},
    {"result", (PyCFunction)(void (*)(void))reply_result, METH_VARARGS | METH_KEYWORDS,
     "result(timeout=None)\n--\n\nWaits for the result, or raises why there is none. Raises Timeout, a TimeoutError, when the "
     "time has passed: the value goes its way all the same."},
    {"exception", (PyCFunction)(void (*)(void))reply_exception, METH_VARARGS | METH_KEYWORDS,
     "exception(timeout=None)\n--\n\nWaits, and answers the error, or None."},
    {"cancel", (PyCFunction)(void (*)(void))reply_cancel, METH_VARARGS | METH_KEYWORDS,
     "cancel(msg=None)\n--\n\nGives the reply up: whoever awaits it gets CancelledError at once. The value is cancelled if it "
     "still waits; its batch never is. False if it was done."},
    {"add_done_callback", (PyCFunction)(void (*)(void))reply_add_done_callback, METH_VARARGS | METH_KEYWORDS,
     "add_done_callback(fn, *, context=None)\n--\n\nCalls fn(reply) on the running loop once it is done; without a loop, on the "
     "thread that brings the result."},
    {"remove_done_callback", reply_remove_done_callback, METH_O, "Takes a callback away; answers how many times it was there."},
    {"get_loop", reply_get_loop, METH_NOARGS, "The running loop: a reply is of no loop in particular."},
    {"_make_cancelled_error", reply_make_cancelled_error, METH_NOARGS, NULL},
    {"__class_getitem__", reply_class_getitem, METH_O | METH_CLASS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef reply_attributes[] = {
    {"_asyncio_future_blocking", reply_get_blocking, reply_set_blocking, NULL, NULL},
    {"tag", reply_get_tag, NULL, "The value's tag.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot reply_slots[] = {
    {Py_tp_doc, "The result to come of one value: `await reply` on a loop, `reply.result(timeout)` elsewhere. To asyncio it is a "
                "future."},
    {Py_tp_dealloc, reply_dealloc},
    {Py_tp_traverse, reply_traverse},
    {Py_tp_clear, reply_clear},
    {Py_tp_methods, reply_methods},
    {Py_tp_getset, reply_attributes},
    {Py_tp_iternext, reply_next},
    {Py_am_await, reply_await},
    {Py_am_send, reply_send},
    {0, NULL},
};

PyType_Spec reply_spec = {
    "microbatch.Reply", sizeof(ReplyObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, reply_slots,
};

/* What asyncio is asked with. */
bool reply_setup(PyObject *module)
{
    PyObject *events = PyImport_ImportModule("asyncio.events");
    PyObject *exceptions = PyImport_ImportModule("asyncio.exceptions");
    PyObject *contextvars = PyImport_ImportModule("contextvars");
    if (events != NULL && exceptions != NULL && contextvars != NULL) {
        get_running_loop = PyObject_GetAttrString(events, "_get_running_loop");
        cancelled_error = PyObject_GetAttrString(exceptions, "CancelledError");
        copy_context = PyObject_GetAttrString(contextvars, "copy_context");
        run_name = PyUnicode_InternFromString("run");
        wake_function = PyObject_GetAttrString(module, "wake");
    }
    Py_XDECREF(events);
    Py_XDECREF(exceptions);
    Py_XDECREF(contextvars);
    return PyErr_Occurred() == NULL;
}
