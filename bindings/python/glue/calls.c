/* Short calls of a batcher, and those that call back in manual mode. */

#include "glue.h"

PyObject *host_check(PyObject *self, PyObject *object)
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

#define SIMPLE(name)                                                 \
    PyObject *host_##name(PyObject *self, PyObject *ignored)  \
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

PyObject *host_advance(PyObject *self, PyObject *arg)
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

PyObject *host_cancel(PyObject *self, PyObject *arg)
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
    PyObject *host_##name(PyObject *self, PyObject *ignored)  \
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

/* The address of an mb_shared, good as long as the batcher is. */
PyObject *host_share(PyObject *self, PyObject *ignored)
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

PyObject *host_drain_released(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    host_drain(HOST(self));
    Py_RETURN_NONE;
}

PyObject *host_in_callback(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    return PyBool_FromLong(host_inside(HOST(self)));
}

/* take_interrupt() -> what a callback of manual mode was ended by, for the call that ran it; or None */
PyObject *host_take_interrupt(PyObject *self, PyObject *ignored)
{
    PyObject *interrupt = HOST(self)->interrupt;
    (void)ignored;
    HOST(self)->interrupt = NULL;
    return interrupt == NULL ? Py_NewRef(Py_None) : interrupt;
}
