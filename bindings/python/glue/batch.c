/* A batch, or a handler's part of one, as Python holds it. */

#include "glue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SELF(object) ((BatchObject *)(object))

PyObject *batch_new(struct host *host, mb_batch *batch, bool held)
{
    BatchObject *self = (BatchObject *)PyType_GenericAlloc(batch_type, 0);
    if (self == NULL) {
        if (held) {
            host->api->mb_batch_free(batch);
        }
        return NULL;
    }
    atomic_fetch_add(&host->holds, 1);
    self->host = host;
    self->owner = Py_XNewRef(host->self);
    self->batch = batch;
    self->held = held;
    return (PyObject *)self;
}

void batch_end(BatchObject *self)
{
    if (!self->held) {
        self->batch = NULL;
        Py_CLEAR(self->pin); /* only views that somebody has keep the memory from now on */
    }
}

static void batch_dealloc(PyObject *object)
{
    BatchObject *self = SELF(object);
    PyTypeObject *type = Py_TYPE(object);
    if (self->host != NULL) {
        if (self->held && self->batch != NULL) {
            self->host->api->mb_batch_free(self->batch);
            host_drain(self->host);
        }
        Py_XDECREF(self->pin);
        Py_XDECREF(self->owner);
        host_unhold(self->host);
    }
    PyObject_Free(object);
    Py_DECREF(type);
}

bool batch_gone(BatchObject *self)
{
    if (self->batch == NULL) {
        raise_status(MB_ERR_TOO_LATE, "the batch was completed, or its handler has returned");
        return true;
    }
    return false;
}

static PyObject *done(BatchObject *self, mb_status status)
{
    host_drain(self->host);
    return status == MB_OK ? Py_NewRef(Py_None) : status == NOT_TAKEN ? NULL : raise_status(status, NULL);
}

bool batch_view(BatchObject *self, mb_batch_view *view)
{
    mb_status status;
    if (batch_gone(self)) {
        return false;
    }
    view->struct_size = sizeof *view;
    status = self->host->api->mb_batch_get_view(self->batch, view);
    if (status != MB_OK) {
        raise_status(status, NULL);
    }
    return status == MB_OK;
}

/* info() -> (count, kind, trigger, age, number) */
static PyObject *batch_info(PyObject *object, PyObject *ignored)
{
    mb_batch_view view;
    (void)ignored;
    if (!batch_view(SELF(object), &view)) {
        return NULL;
    }
    return Py_BuildValue("nIILK", (Py_ssize_t)view.count, (unsigned int)view.kind, (unsigned int)view.trigger,
                         (long long)view.age, (unsigned long long)view.number);
}

static PyObject *one_value(BatchObject *self, const mb_batch_view *view, size_t row)
{
    mb_value value;
    mb_status status;
    switch (view->kind) {
    case MB_KIND_INT64:
        return PyLong_FromLongLong(((const int64_t *)view->values)[row]);
    case MB_KIND_FLOAT64:
        return PyFloat_FromDouble(((const double *)view->values)[row]);
    case MB_KIND_STRING:
        if (view->offsets != NULL) {
            return PyUnicode_DecodeUTF8((const char *)view->bytes + view->offsets[row],
                                        view->offsets[row + 1] - view->offsets[row], NULL);
        }
        break;
    default:
        break;
    }
    status = self->host->api->mb_batch_value(self->batch, row, &value);
    return status == MB_OK ? value_make(self->host, &value) : raise_status(status, NULL);
}

/* values(rows) -> list of the values of these rows, or of all if rows is None */
static PyObject *batch_values(PyObject *object, PyObject *rows)
{
    BatchObject *self = SELF(object);
    mb_batch_view view;
    PyObject *list;
    Py_ssize_t count;
    if (!batch_view(self, &view)) {
        return NULL;
    }
    count = rows == Py_None ? (Py_ssize_t)view.count : PyList_Size(rows);
    list = count < 0 ? NULL : PyList_New(count);
    for (Py_ssize_t at = 0; list != NULL && at < count; at++) {
        size_t row = rows == Py_None ? (size_t)at : PyLong_AsSize_t(PyList_GetItem(rows, at));
        PyObject *value = row < view.count ? one_value(self, &view, row) : raise_status(MB_ERR_OUT_OF_RANGE, NULL);
        if (value == NULL || PyList_SetItem(list, at, value) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static mb_status set_one(BatchObject *self, size_t row, PyObject *object)
{
    mb_value value;
    PyObject *keep;
    mb_status status = value_read(self->host, object, &value, &keep);
    if (status != MB_OK) {
        return status;
    }
    value_handing(self->host, &value);
    status = self->host->api->mb_batch_set_value(self->batch, row, &value);
    if (status == MB_OK || status == MB_ERR_TOO_LATE) {
        value_handed(self->host, &value); /* late ones are given back by the engine too */
    } else {
        value_forget(self->host, &value);
    }
    Py_XDECREF(keep);
    return status;
}

static PyObject *refused(BatchObject *self, mb_status status, PyObject *object)
{
    host_drain(self->host);
    if (status == MB_ERR_OUT_OF_RANGE || status == MB_ERR_INVALID_UTF8) {
        return value_refused(self->host, status, object, NULL);
    }
    return status == NOT_TAKEN ? NULL : raise_status(status, NULL);
}

static PyObject *batch_set(PyObject *object, PyObject *args)
{
    BatchObject *self = SELF(object);
    Py_ssize_t row;
    PyObject *value;
    mb_status status;
    if (!PyArg_ParseTuple(args, "nO", &row, &value) || batch_gone(self)) {
        return NULL;
    }
    status = row < 0 ? MB_ERR_OUT_OF_RANGE : set_one(self, (size_t)row, value);
    return status == MB_OK ? done(self, status) : row < 0 ? raise_status(status, NULL) : refused(self, status, value);
}

/* A list of integers alone, or of floats alone, goes in one call. NOT_TAKEN: it is not such a list, or no error is set. */
static mb_status set_alike(BatchObject *self, PyObject *list, size_t count)
{
    struct alike alike;
    mb_status status = NOT_TAKEN;
    if (!list_alike(list, count, &alike)) {
        return NOT_TAKEN;
    }
    status = alike.floats ? self->host->api->mb_batch_set_float64s(self->batch, alike.cells, NULL, count)
                          : self->host->api->mb_batch_set_int64s(self->batch, alike.cells, NULL, count);
    free(alike.cells);
    return status;
}

/* set_list(list) -> list of (place, exception) for the places that hold an exception: they are not set. A list of another
   length fails the part. */
static PyObject *batch_set_list(PyObject *object, PyObject *list)
{
    BatchObject *self = SELF(object);
    mb_batch_view view;
    mb_status status;
    PyObject *exceptions;
    size_t count = PyList_Check(list) ? (size_t)PyList_Size(list) : 0;
    if (!batch_view(self, &view)) {
        return NULL;
    }
    if (count != view.count) {
        char text[96];
        int length = snprintf(text, sizeof text, "the handler returned %zu results for %zu values", count, view.count);
        status = self->host->api->mb_batch_fail_all(self->batch, MB_ERR_RESULT_COUNT, "", text, (size_t)length);
        return status == MB_OK ? PyList_New(0) : done(self, status);
    }
    status = set_alike(self, list, count);
    if (status != NOT_TAKEN) {
        return status == MB_OK ? PyList_New(0) : done(self, status);
    }
    exceptions = PyList_New(0);
    for (Py_ssize_t at = 0; exceptions != NULL && at < PyList_Size(list); at++) {
        PyObject *value = Py_NewRef(PyList_GetItem(list, at));
        if (PyExceptionInstance_Check(value)) {
            PyObject *pair = Py_BuildValue("nO", at, value);
            if (pair == NULL || PyList_Append(exceptions, pair) < 0) {
                Py_CLEAR(exceptions);
            }
            Py_XDECREF(pair);
        } else if ((status = set_one(self, (size_t)at, value)) != MB_OK) {
            Py_CLEAR(exceptions);
            refused(self, status, value);
        }
        Py_DECREF(value);
    }
    host_drain(self->host);
    return exceptions;
}

/* set_numbers(bytes-like of 8-byte cells, whether they are floats, validity bytes or None) */
static PyObject *batch_set_numbers(PyObject *object, PyObject *args)
{
    BatchObject *self = SELF(object);
    Py_buffer cells, validity;
    int floats;
    const uint8_t *valid;
    size_t count;
    mb_status status;
    memset(&validity, 0, sizeof validity);
    if (batch_gone(self) || !PyArg_ParseTuple(args, "y*p|z*", &cells, &floats, &validity)) {
        return NULL;
    }
    valid = validity.buf;
    count = (size_t)cells.len / 8;
    status = floats ? self->host->api->mb_batch_set_float64s(self->batch, cells.buf, valid, count)
                    : self->host->api->mb_batch_set_int64s(self->batch, cells.buf, valid, count);
    PyBuffer_Release(&cells);
    if (validity.obj != NULL) {
        PyBuffer_Release(&validity);
    }
    return done(self, status);
}

/* set_buffer(object) -> whether it was a plain buffer of int64 or float64, which is set */
static PyObject *batch_set_buffer(PyObject *object, PyObject *source)
{
    BatchObject *self = SELF(object);
    Py_buffer cells;
    const char *format;
    char letter;
    mb_status status;
    if (batch_gone(self)) {
        return NULL;
    }
    if (!PyObject_CheckBuffer(source)) {
        Py_RETURN_FALSE;
    }
    if (PyObject_GetBuffer(source, &cells, PyBUF_ND | PyBUF_FORMAT) < 0) {
        PyErr_Clear(); /* not contiguous, or nothing that can be read: others look closer */
        Py_RETURN_FALSE;
    }
    format = cells.format == NULL ? "B" : cells.format;
    letter = format[format[0] == '@' || format[0] == '=' || format[0] == '<'];
    if (cells.ndim != 1 || cells.itemsize != 8 || strchr("lqd", letter) == NULL || letter == '\0') {
        PyBuffer_Release(&cells);
        Py_RETURN_FALSE;
    }
    status = letter == 'd' ? self->host->api->mb_batch_set_float64s(self->batch, cells.buf, NULL, (size_t)cells.len / 8)
                           : self->host->api->mb_batch_set_int64s(self->batch, cells.buf, NULL, (size_t)cells.len / 8);
    PyBuffer_Release(&cells);
    return status == MB_OK ? Py_NewRef(Py_True) : done(self, status);
}

/* set_strings(data, int32 offsets, validity bytes or None) */
static PyObject *batch_set_strings(PyObject *object, PyObject *args)
{
    BatchObject *self = SELF(object);
    Py_buffer data, offsets, validity;
    mb_status status;
    if (batch_gone(self) || !PyArg_ParseTuple(args, "y*y*z*", &data, &offsets, &validity)) {
        return NULL;
    }
    status = self->host->api->mb_batch_set_strings(self->batch, data.buf, offsets.buf, validity.buf,
                                                   offsets.len < 4 ? 0 : (size_t)offsets.len / 4 - 1);
    PyBuffer_Release(&data);
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&validity);
    return done(self, status);
}

/* fail(row, code, type name, message); row -1: the whole part */
static PyObject *batch_fail(PyObject *object, PyObject *args)
{
    BatchObject *self = SELF(object);
    Py_ssize_t row, length;
    int code;
    const char *type_name, *message;
    mb_status status;
    if (!PyArg_ParseTuple(args, "niss#", &row, &code, &type_name, &message, &length) || batch_gone(self)) {
        return NULL;
    }
    status = row < 0
               ? self->host->api->mb_batch_fail_all(self->batch, code, type_name, message, (size_t)length)
               : self->host->api->mb_batch_fail(self->batch, (size_t)row, code, type_name, message, (size_t)length);
    return done(self, status);
}

static PyObject *batch_keep(PyObject *object, PyObject *ignored)
{
    BatchObject *self = SELF(object);
    mb_status status;
    (void)ignored;
    if (batch_gone(self)) {
        return NULL;
    }
    status = self->host->api->mb_batch_keep(self->batch);
    self->held |= status == MB_OK;
    self->kept |= status == MB_OK;
    return done(self, status);
}

static PyObject *batch_is_kept(PyObject *object, PyObject *ignored)
{
    (void)ignored;
    return PyBool_FromLong(SELF(object)->kept || SELF(object)->batch == NULL);
}

#define ENDS(name)                                                    \
    static PyObject *batch_##name(PyObject *object, PyObject *ignored) \
    {                                                                 \
        BatchObject *self = SELF(object);                             \
        mb_batch *batch = self->batch;                                \
        mb_status status;                                             \
        (void)ignored;                                                \
        if (batch_gone(self)) {                                             \
            return NULL;                                              \
        }                                                             \
        if (self->held) {                                             \
            self->batch = NULL;                                       \
            Py_CLEAR(self->pin);                                      \
        }                                                             \
        Py_BEGIN_ALLOW_THREADS                                        \
        status = self->host->api->mb_batch_##name(batch);             \
        Py_END_ALLOW_THREADS                                          \
        return done(self, status);                                    \
    }

ENDS(complete)
ENDS(complete_ok)
ENDS(free)

/* finish() -> None, or a set of results that was ready then, as take_results hands it out. Its handler has returned: a pulled
   batch is completed, unless it was kept. */
static PyObject *batch_finish(PyObject *object, PyObject *ignored)
{
    BatchObject *self = SELF(object);
    mb_batch *batch = self->batch;
    mb_results *results = NULL;
    mb_status status;
    (void)ignored;
    if (!self->held || self->kept || batch == NULL) {
        Py_RETURN_NONE;
    }
    self->batch = NULL;
    Py_CLEAR(self->pin);
    if (!self->host->delivers) {
        status = self->host->api->mb_batch_complete(batch);
    } else {
        status = self->host->api->mb_batch_complete_next(batch, &results);
    }
    host_drain(self->host);
    if (results != NULL) {
        return results_taken(self->host, results);
    }
    return status == MB_OK || status == MB_ERR_TOO_LATE ? Py_NewRef(Py_None) : raise_status(status, NULL);
}

#define METHOD(name, how) {#name, batch_##name, how, NULL}
static PyMethodDef batch_methods[] = {
    METHOD(info, METH_NOARGS),
    METHOD(columns, METH_NOARGS),
    METHOD(cells, METH_NOARGS),
    METHOD(texts, METH_NOARGS),
    METHOD(values, METH_O),
    METHOD(set, METH_VARARGS),
    METHOD(set_list, METH_O),
    METHOD(set_buffer, METH_O),
    METHOD(set_strings, METH_VARARGS),
    METHOD(set_numbers, METH_VARARGS),
    METHOD(fail, METH_VARARGS),
    METHOD(keep, METH_NOARGS),
    METHOD(is_kept, METH_NOARGS),
    METHOD(finish, METH_NOARGS),
    METHOD(complete, METH_NOARGS),
    METHOD(complete_ok, METH_NOARGS),
    METHOD(free, METH_NOARGS),
    {NULL, NULL, 0, NULL},
};

static PyType_Slot batch_slots[] = {
    {Py_tp_dealloc, batch_dealloc},
    {Py_tp_methods, batch_methods},
    {0, NULL},
};

PyType_Spec batch_spec = {
    "microbatch._microbatch.Batch", sizeof(BatchObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, batch_slots,
};
