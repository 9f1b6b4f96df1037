/* Who is told of replies: callbacks, on the loops where they were added. Whoever waits on a loop is woken once for a whole set. */

#include "reply.h"

static bool gather(PyObject *list, PyObject *callback, PyObject *context, PyObject *reply)
{
    return PyList_Append(list, callback) == 0 && PyList_Append(list, context) == 0 && PyList_Append(list, reply) == 0;
}

bool gather_for(struct wakes *wakes, PyObject *loop, PyObject *callback, PyObject *context, PyObject *reply)
{
    PyObject *list = NULL;
    bool good;
    if (wakes->list == NULL) {
        wakes->list = PyList_New(0);
        wakes->loop = Py_NewRef(loop);
    }
    if (wakes->list == NULL) {
        return false;
    }
    if (wakes->loop == loop) {
        return gather(wakes->list, callback, context, reply);
    }
    if (wakes->others == NULL && (wakes->others = PyList_New(0)) == NULL) {
        return false;
    }
    for (Py_ssize_t at = 0; at < PyList_Size(wakes->others); at += 2) {
        if (PyList_GetItem(wakes->others, at) == loop) {
            list = PyList_GetItem(wakes->others, at + 1);
            return gather(list, callback, context, reply);
        }
    }
    list = PyList_New(0);
    good = list != NULL && PyList_Append(wakes->others, loop) == 0 && PyList_Append(wakes->others, list) == 0
           && gather(list, callback, context, reply);
    Py_XDECREF(list);
    return good;
}

static void wake_on(PyObject *loop, PyObject *list)
{
    PyObject *running, *answer = NULL;
    if (loop == Py_None) {
        answer = PyObject_CallFunctionObjArgs(wake_function, list, NULL);
    } else if ((running = PyObject_CallFunctionObjArgs(get_running_loop, NULL)) != NULL) {
        answer = PyObject_CallMethod(loop, running == loop ? "call_soon" : "call_soon_threadsafe", "OO", wake_function,
                                     list);
        Py_DECREF(running);
    }
    if (answer == NULL) {
        if (PyErr_ExceptionMatches(PyExc_RuntimeError)) {
            PyErr_Clear(); /* the loop is closed, and nobody awaits on it */
        } else {
            PyErr_WriteUnraisable(loop);
        }
    }
    Py_XDECREF(answer);
}

void wake_all(struct wakes *wakes)
{
    if (wakes->list != NULL) {
        wake_on(wakes->loop, wakes->list);
        Py_DECREF(wakes->list);
        Py_DECREF(wakes->loop);
    }
    for (Py_ssize_t at = 0; wakes->others != NULL && at + 1 < PyList_Size(wakes->others); at += 2) {
        wake_on(PyList_GetItem(wakes->others, at), PyList_GetItem(wakes->others, at + 1));
    }
    Py_XDECREF(wakes->others);
}

/* ---- Added, and taken away ---- */

PyObject *reply_add_done_callback(PyObject *object, PyObject *args, PyObject *kwargs)
{
    ReplyObject *self = (ReplyObject *)object;
    static char *names[] = {"fn", "context", NULL};
    PyObject *callback, *context = Py_None, *loop;
    bool good;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$O:add_done_callback", names, &callback, &context)) {
        return NULL;
    }
    if (!PyCallable_Check(callback)) {
        PyErr_Format(PyExc_TypeError, "a callback is a function of the reply, not %R", callback);
        return NULL;
    }
    if (context != Py_None && !PyObject_HasAttrString(context, "run")) {
        PyErr_Format(PyExc_TypeError, "context is a contextvars.Context or None, not %R", context);
        return NULL;
    }
    context = context == Py_None ? PyObject_CallFunctionObjArgs(copy_context, NULL) : Py_NewRef(context);
    loop = context == NULL ? NULL : PyObject_CallFunctionObjArgs(get_running_loop, NULL);
    if (loop == NULL) {
        Py_XDECREF(context);
        return NULL;
    }
    if (self->state != PENDING) {
        struct wakes wakes = {NULL, NULL, NULL};
        good = gather_for(&wakes, loop, callback, context, object);
        wake_all(&wakes);
    } else if (self->callback == NULL) {
        self->callback = Py_NewRef(callback);
        self->context = Py_NewRef(context);
        self->loop = Py_NewRef(loop);
        track(self);
        if (!self->kept) {
            self->kept = true;
            Py_INCREF(object);
        }
        good = true;
    } else {
        good = (self->more != NULL || (self->more = PyList_New(0)) != NULL) && PyList_Append(self->more, loop) == 0
               && PyList_Append(self->more, callback) == 0 && PyList_Append(self->more, context) == 0;
    }
    Py_DECREF(context);
    Py_DECREF(loop);
    return good ? Py_NewRef(Py_None) : NULL;
}

/* Moves the next callback to the first place. */
static void shift_callbacks(ReplyObject *self)
{
    PyObject *callback = self->callback, *context = self->context, *loop = self->loop;
    self->callback = self->context = self->loop = NULL;
    if (self->more != NULL && PyList_Size(self->more) >= 3) {
        self->loop = Py_NewRef(PyList_GetItem(self->more, 0));
        self->callback = Py_NewRef(PyList_GetItem(self->more, 1));
        self->context = Py_NewRef(PyList_GetItem(self->more, 2));
        PyList_SetSlice(self->more, 0, 3, NULL);
    }
    Py_XDECREF(callback);
    Py_XDECREF(context);
    Py_XDECREF(loop);
}

/* Answers how many were taken away. */
PyObject *reply_remove_done_callback(PyObject *object, PyObject *callback)
{
    ReplyObject *self = (ReplyObject *)object;
    long removed = 0;
    for (Py_ssize_t at = 0; self->more != NULL && at + 2 < PyList_Size(self->more);) {
        int same = PyObject_RichCompareBool(PyList_GetItem(self->more, at + 1), callback, Py_EQ);
        if (same < 0) {
            return NULL;
        }
        if (same) {
            PyList_SetSlice(self->more, at, at + 3, NULL);
            removed++;
        } else {
            at += 3;
        }
    }
    if (self->callback != NULL) {
        int same = PyObject_RichCompareBool(self->callback, callback, Py_EQ);
        if (same < 0) {
            return NULL;
        }
        if (same) {
            shift_callbacks(self);
            removed++;
        }
    }
    return PyLong_FromLong(removed);
}

/* ---- Woken ---- */

/* The rest is run all the same when an exception ends the loop's turn. */
static void wake_later(PyObject *list, Py_ssize_t from)
{
    PyObject *type, *value, *traceback, *rest, *loop;
    PyErr_Fetch(&type, &value, &traceback);
    rest = PyList_GetSlice(list, from, PyList_Size(list));
    loop = PyObject_CallFunctionObjArgs(get_running_loop, NULL);
    if (rest != NULL && loop != NULL && loop != Py_None && PyList_Size(rest) > 0) {
        Py_XDECREF(PyObject_CallMethod(loop, "call_soon", "OO", wake_function, rest));
    }
    Py_XDECREF(rest);
    Py_XDECREF(loop);
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
}

static void tell_loop(PyObject *reply)
{
    PyObject *type, *value, *traceback, *loop, *told = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    loop = PyObject_CallFunctionObjArgs(get_running_loop, NULL);
    if (loop != NULL && loop != Py_None) {
        told = PyObject_CallMethod(loop, "call_exception_handler", "{s:s,s:O,s:O}", "message",
                                   "a callback of a reply failed", "exception", value, "future", reply);
    }
    if (told == NULL) {
        PyErr_Restore(Py_XNewRef(type), Py_XNewRef(value), Py_XNewRef(traceback));
        PyErr_WriteUnraisable(reply);
    }
    Py_XDECREF(told);
    Py_XDECREF(loop);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

/* wake([callback, context, reply, ...]): in the loop's turn, one call for the whole set */
PyObject *wake(PyObject *module, PyObject *list)
{
    (void)module;
    for (Py_ssize_t at = 0; at + 2 < PyList_Size(list); at += 3) {
        PyObject *callback = PyList_GetItem(list, at), *context = PyList_GetItem(list, at + 1);
        PyObject *reply = PyList_GetItem(list, at + 2);
        PyObject *answer = PyObject_CallMethodObjArgs(context, run_name, callback, reply, NULL);
        if (answer == NULL) {
            if (PyErr_ExceptionMatches(PyExc_SystemExit) || PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
                wake_later(list, at + 3);
                return NULL;
            }
            tell_loop(reply);
        }
        Py_XDECREF(answer);
    }
    Py_RETURN_NONE;
}
