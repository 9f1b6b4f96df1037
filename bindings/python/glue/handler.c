/* What a handler of Python's is given, and what becomes of its answer; and who is inside a callback just now. */

#include "glue.h"

/* ---- Inside callbacks ---- */

void inside_enter(struct host *host, struct inside *me)
{
    me->thread = PyThread_get_thread_ident();
    me->next = host->inside;
    host->inside = me;
}

void inside_leave(struct host *host, struct inside *me)
{
    struct inside **at = &host->inside;
    while (*at != me) {
        at = &(*at)->next;
    }
    *at = me->next;
}

bool host_inside(const struct host *host)
{
    unsigned long thread = PyThread_get_thread_ident();
    for (const struct inside *at = host->inside; at != NULL; at = at->next) {
        if (at->thread == thread) {
            return true;
        }
    }
    return false;
}

/* ---- Handlers ---- */

/* Takes the exception that is set, complete with its traceback. */
PyObject *take_exception(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

/* Ctrl-C or SystemExit in a callback of manual mode ends the call that ran it; elsewhere nobody waits for it. */
static void keep_interrupt(struct host *host, PyObject *failure)
{
    if (!host->pulls && host->interrupt == NULL && !PyErr_GivenExceptionMatches(failure, PyExc_Exception)) {
        host->interrupt = Py_NewRef(failure);
    }
}

/* What a handler threw for a value that somebody may get the very exception of. */
void thrown_put(struct host *host, uint64_t tag, PyObject *failure)
{
    PyObject *key;
    if (host->thrown == NULL || (!host->map && (!host->submits || tag < REPLY_TAGS))) {
        return;
    }
    key = PyLong_FromUnsignedLongLong(tag);
    if (key == NULL || PyDict_SetItem(host->thrown, key, failure) < 0) {
        PyErr_Clear(); /* they get it as code, type name and message then */
    }
    Py_XDECREF(key);
}

/* Reads a Work of _batch.py; None is no handler. */
bool work_read(struct work *work, PyObject *from)
{
    PyObject *takes_batch = NULL;
    if (from == NULL || from == Py_None) {
        return from != NULL;
    }
    work->function = PyObject_GetAttrString(from, "function");
    takes_batch = work->function == NULL ? NULL : PyObject_GetAttrString(from, "takes_batch");
    work->takes_batch = takes_batch == Py_True;
    Py_XDECREF(takes_batch);
    return takes_batch != NULL;
}

/* Calls the handler of a part; what it raises fails the part. */
void handler_run(BatchObject *batch, const struct work *work)
{
    struct host *host = batch->host;
    struct inside inside;
    PyObject *given, *answer = NULL, *failure, *told;
    bool good;
    if (host->map && host->interrupt != NULL) {
        return;
    }
    inside_enter(host, &inside);
    given = work->takes_batch ? Py_NewRef((PyObject *)batch) : batch_list(batch);
    if (given != NULL) {
        answer = PyObject_CallFunctionObjArgs(work->function, given, NULL);
        Py_DECREF(given);
    }
    good = answer != NULL;
    if (good && !work->takes_batch) {
        good = batch_answer(batch, answer);
    }
    if (!good) {
        failure = take_exception();
        keep_interrupt(host, failure);
        told = PyObject_CallFunctionObjArgs(tell_failure, (PyObject *)batch, failure, NULL);
        if (told == NULL) {
            PyErr_WriteUnraisable((PyObject *)batch);
        }
        Py_XDECREF(told);
        Py_DECREF(failure);
    }
    Py_XDECREF(answer);
    inside_leave(host, &inside);
}

/* Hands a set to on_result. */
void hand_results(struct host *host, PyObject *on_result, PyObject *columns)
{
    struct inside inside;
    PyObject *results, *answer = NULL, *failure;
    inside_enter(host, &inside);
    results = PyObject_CallFunctionObjArgs(results_class, columns, NULL);
    if (results != NULL) {
        answer = PyObject_CallFunctionObjArgs(on_result, results, NULL);
        Py_DECREF(results);
    }
    if (answer == NULL) {
        failure = take_exception();
        keep_interrupt(host, failure);
        if (host->interrupt != failure) {
            PyErr_SetObject((PyObject *)Py_TYPE(failure), failure);
            told_of("microbatch: on_result failed");
        }
        Py_DECREF(failure);
    }
    Py_XDECREF(answer);
    inside_leave(host, &inside);
}

/* Tells of the exception that is set what has nobody to be raised to, the way Python does. */
void told_of(const char *what)
{
    PyObject *type, *value, *traceback, *text;
    PyErr_Fetch(&type, &value, &traceback);
    text = PyUnicode_FromString(what);
    PyErr_Restore(type, value, traceback);
    PyErr_WriteUnraisable(text);
    Py_XDECREF(text);
}

/* ---- Whose they are ---- */

/* The Batcher of a host, with its handlers; NULL if it is gone. */
PusherObject *pusher_of(struct host *host)
{
    PyObject *pusher = host->me == NULL ? NULL : PyWeakref_GetObject(host->me);
    return pusher == NULL || pusher == Py_None ? NULL : (PusherObject *)Py_NewRef(pusher);
}

/* The handler of a part, which is of one kind that has one of its own, or for the default. */
const struct work *work_of(const PusherObject *pusher, uint32_t kind)
{
    return &pusher->works[kind < MB_KINDS && pusher->works[kind].function != NULL ? kind : DEFAULT_HANDLER];
}
