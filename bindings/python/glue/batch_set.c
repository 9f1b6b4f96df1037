/* How results are set: one, a list of them, a column; and failures. */

#include "glue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SELF(object) ((BatchObject *)(object))

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

PyObject *batch_set(PyObject *object, PyObject *args)
{
    BatchObject *self = SELF(object);
    PyObject *at, *value;
    Py_ssize_t row;
    mb_status status;
    if (!PyArg_ParseTuple(args, "OO:set", &at, &value) || batch_gone(self)) {
        return NULL;
    }
    row = PyNumber_AsSsize_t(at, NULL);
    if (row < 0 || (size_t)row >= self->view.count) {
        PyErr_Clear();
        return PyObject_CallMethod(object, "_row", "O", at); /* which says what is wrong */
    }
    status = set_one(self, (size_t)row, value);
    return status == MB_OK ? batch_done(self, status) : refused(self, status, value);
}

/* A list of integers alone, or of floats alone, goes in one call. NOT_TAKEN: it is not such a list. */
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

/* Sets the results in a list; an exception among them fails the value in its place, and a list of another length the part.
   false: an error is set. */
static bool set_list(BatchObject *self, PyObject *list)
{
    mb_status status;
    size_t count = (size_t)PyList_Size(list);
    if (batch_gone(self)) {
        return false;
    }
    if (count != self->view.count) {
        char text[96];
        int length = snprintf(text, sizeof text, "the handler returned %zu results for %zu values", count, self->view.count);
        status = self->host->api->mb_batch_fail_all(self->batch, MB_ERR_RESULT_COUNT, "", text, (size_t)length);
        if (status != MB_OK) {
            raise_status(status, NULL);
        }
        return status == MB_OK;
    }
    status = set_alike(self, list, count);
    for (Py_ssize_t at = 0; status == NOT_TAKEN && at < PyList_Size(list); at++) {
        PyObject *value = Py_NewRef(PyList_GetItem(list, at));
        if (PyExceptionInstance_Check(value)) {
            PyObject *told = PyObject_CallMethod((PyObject *)self, "fail", "nO", at, value);
            status = told == NULL ? MB_ERR_HANDLER_FAILED : NOT_TAKEN;
            Py_XDECREF(told);
        } else if ((status = set_one(self, (size_t)at, value)) == MB_OK) {
            status = NOT_TAKEN; /* on to the next */
        } else {
            refused(self, status, value);
        }
        Py_DECREF(value);
    }
    if (PyErr_Occurred() == NULL && status != MB_OK && status != NOT_TAKEN) {
        raise_status(status, NULL);
    }
    host_drain(self->host);
    return PyErr_Occurred() == NULL;
}

/* _set_numbers(bytes-like of 8-byte cells, whether they are floats, validity bytes or None) */
PyObject *batch_set_numbers(PyObject *object, PyObject *args)
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
    return batch_done(self, status);
}

/* _set_strings(data, int32 offsets, validity bytes or None) */
PyObject *batch_set_strings(PyObject *object, PyObject *args)
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
    return batch_done(self, status);
}

/* Sets a plain buffer of int64 or float64. 1: it is set; 0: it is none; -1: an error is set. */
static int set_buffer(BatchObject *self, PyObject *source)
{
    Py_buffer cells;
    const char *format;
    char letter;
    mb_status status;
    if (batch_gone(self)) {
        return -1;
    }
    if (!PyObject_CheckBuffer(source)) {
        return 0;
    }
    if (PyObject_GetBuffer(source, &cells, PyBUF_ND | PyBUF_FORMAT) < 0) {
        PyErr_Clear(); /* not contiguous, or nothing that can be read: others look closer */
        return 0;
    }
    format = cells.format == NULL ? "B" : cells.format;
    letter = format[format[0] == '@' || format[0] == '=' || format[0] == '<'];
    if (cells.ndim != 1 || cells.itemsize != 8 || strchr("lqd", letter) == NULL || letter == '\0') {
        PyBuffer_Release(&cells);
        return 0;
    }
    status = letter == 'd' ? self->host->api->mb_batch_set_float64s(self->batch, cells.buf, NULL, (size_t)cells.len / 8)
                           : self->host->api->mb_batch_set_int64s(self->batch, cells.buf, NULL, (size_t)cells.len / 8);
    PyBuffer_Release(&cells);
    if (status != MB_OK) {
        raise_status(status, NULL);
    }
    host_drain(self->host);
    return status == MB_OK ? 1 : -1;
}

/* Sets what a handler answers, or gives to set_all, in the cheapest way that it offers. false: an error is set. */
static bool set_results(BatchObject *self, PyObject *results)
{
    PyObject *answer;
    int set;
    if (PyList_Check(results)) {
        return set_list(self, results);
    }
    set = set_buffer(self, results);
    if (set != 0) {
        return set > 0;
    }
    answer = PyObject_CallFunctionObjArgs(set_column, (PyObject *)self, results, NULL);
    Py_XDECREF(answer);
    return answer != NULL;
}

bool batch_answer(BatchObject *self, PyObject *results)
{
    if (results == Py_None) {
        PyErr_SetString(PyExc_TypeError, "the handler returned None instead of a sequence of results");
        return false;
    }
    if (set_results(self, results)) {
        return true;
    }
    if (is_error(MB_ERR_RESULT_COUNT)) {
        PyErr_Clear(); /* the part says so itself */
        return true;
    }
    return false;
}

/* _answer(what an async handler returned) */
PyObject *batch_take_answer(PyObject *object, PyObject *results)
{
    return batch_answer(SELF(object), results) ? Py_NewRef(Py_None) : NULL;
}

PyObject *batch_set_all(PyObject *object, PyObject *results)
{
    return set_results(SELF(object), results) ? Py_NewRef(Py_None) : NULL;
}

/* _fail(row, exception, code, type name, message); row -1: the whole part */
PyObject *batch_fail(PyObject *object, PyObject *args)
{
    BatchObject *self = SELF(object);
    Py_ssize_t row, length;
    PyObject *failure;
    int code;
    const char *type_name, *message;
    mb_status status;
    if (!PyArg_ParseTuple(args, "nOiss#", &row, &failure, &code, &type_name, &message, &length) || batch_gone(self)) {
        return NULL;
    }
    status = row < 0
               ? self->host->api->mb_batch_fail_all(self->batch, code, type_name, message, (size_t)length)
               : self->host->api->mb_batch_fail(self->batch, (size_t)row, code, type_name, message, (size_t)length);
    for (size_t at = row < 0 ? 0 : (size_t)row; status == MB_OK && at < (row < 0 ? self->view.count : (size_t)row + 1); at++) {
        thrown_put(self->host, self->view.tags[at], failure);
    }
    return batch_done(self, status);
}
