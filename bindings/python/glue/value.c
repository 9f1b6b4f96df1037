/* Python values as the engine's, and back. */

#include "glue.h"

#include <stdlib.h>

/* numpy.generic, if numpy is loaded: a scalar of numpy's cannot come from anywhere else. */
static PyObject *numpy_scalar(PyObject *object)
{
    PyObject *name = PyUnicode_FromString("numpy");
    PyObject *numpy = name == NULL ? NULL : PyImport_GetModule(name);
    PyObject *generic = numpy == NULL ? NULL : PyObject_GetAttrString(numpy, "generic");
    PyObject *item = NULL;
    Py_XDECREF(name);
    Py_XDECREF(numpy);
    if (generic != NULL && PyObject_IsInstance(object, generic) == 1) {
        PyObject *dtype = PyObject_GetAttrString(object, "dtype");
        PyObject *kind = dtype == NULL ? NULL : PyObject_GetAttrString(dtype, "kind");
        Py_UCS4 letter = kind == NULL ? 0 : PyUnicode_ReadChar(kind, 0);
        /* other dtypes (complex numbers, dates, records) are no value of ours */
        if (letter == 'b' || letter == 'i' || letter == 'u' || letter == 'f') {
            item = PyObject_CallMethod(object, "item", NULL);
        }
        Py_XDECREF(dtype);
        Py_XDECREF(kind);
    }
    Py_XDECREF(generic);
    PyErr_Clear();
    return item;
}

/* Reads a number without a sign; false: an error says what it must be. */
bool read_unsigned(const char *what, PyObject *given, unsigned long long maximum, uint64_t *to)
{
    PyObject *index = PyNumber_Index(given), *text;
    bool is_integer = index != NULL;
    if (is_integer) {
        *to = PyLong_AsUnsignedLongLong(index);
        Py_DECREF(index);
        if (*to <= maximum && (*to != UINT64_MAX || PyErr_Occurred() == NULL)) {
            return true;
        }
    } else if (!PyErr_ExceptionMatches(PyExc_TypeError)) {
        return false; /* an error of its own */
    }
    PyErr_Clear();
    text = PyUnicode_FromFormat("%s is an integer from 0 to %llu, not %.200A", what, maximum, given);
    if (text != NULL) {
        raise_status(is_integer ? MB_ERR_OUT_OF_RANGE : MB_ERR_INVALID_ARGUMENT, PyUnicode_AsUTF8AndSize(text, NULL));
        Py_DECREF(text);
    }
    return false;
}

/* unsigned(what, given) -> int of 64 bits without a sign, as the engine's tags, marks and addresses are */
PyObject *unsigned_of(PyObject *module, PyObject *args)
{
    const char *what;
    PyObject *given;
    uint64_t number;
    (void)module;
    if (!PyArg_ParseTuple(args, "sO", &what, &given) || !read_unsigned(what, given, UINT64_MAX, &number)) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(number);
}

static mb_status read_object(struct host *host, PyObject *object, mb_value *value)
{
    struct reference *reference;
    int foreign = PyObject_IsInstance(object, foreign_class);
    if (foreign < 0) {
        return NOT_TAKEN;
    }
    value->kind = MB_KIND_OBJECT;
    if (foreign) {
        PyObject *owner = PyObject_GetAttrString(object, "owner");
        PyObject *word = PyObject_GetAttrString(object, "word");
        PyObject *size = PyObject_GetAttrString(object, "size");
        uint64_t number = 0;
        if (owner != NULL && word != NULL && size != NULL
            && read_unsigned("the owner of a ForeignObject", owner, UINT32_MAX, &number)
            && read_unsigned("the word of a ForeignObject", word, UINT64_MAX, &value->as.object.word)) {
            read_unsigned("the size of a ForeignObject", size, UINT64_MAX, &value->as.object.size);
        }
        value->owner = (uint32_t)number;
        Py_XDECREF(owner);
        Py_XDECREF(word);
        Py_XDECREF(size);
        if (PyErr_Occurred() == NULL && !host->attached && value->owner == host->owner && host->owner != 0) {
            /* its words are addresses: only references made here may carry one */
            raise_status(MB_ERR_WRONG_OWNER, "a ForeignObject cannot name the batcher's own owner");
        }
        return PyErr_Occurred() == NULL ? MB_OK : NOT_TAKEN;
    }
    if (host->attached) {
        return MB_ERR_WRONG_OWNER;
    }
    value->owner = host->owner;
    value->as.object.size = 0;
    if (host->object_size != NULL) {
        PyObject *size = PyObject_CallFunctionObjArgs(host->object_size, object, NULL);
        if (size != NULL) {
            read_unsigned("what object_size answers", size, UINT64_MAX, &value->as.object.size);
            Py_DECREF(size);
        }
        if (PyErr_Occurred() != NULL) {
            return NOT_TAKEN;
        }
    }
    reference = malloc(sizeof *reference);
    if (reference == NULL) {
        return MB_ERR_NO_MEMORY;
    }
    reference->next = NULL;
    reference->object = Py_NewRef(object);
    atomic_init(&reference->state, HELD);
    if (host->map) {
        reference->next = atomic_load(&host->released);
        atomic_store(&host->released, reference);
    }
    value->as.object.word = (uint64_t)(uintptr_t)reference;
    return MB_OK;
}

mb_status value_read(struct host *host, PyObject *object, mb_value *value, PyObject **keep)
{
    *keep = NULL;
    value->owner = 0;
    if (PyLong_CheckExact(object)) {
        int overflow;
        value->kind = MB_KIND_INT64;
        value->as.int64 = PyLong_AsLongLongAndOverflow(object, &overflow);
        return overflow ? MB_ERR_OUT_OF_RANGE : MB_OK;
    }
    if (PyFloat_CheckExact(object)) {
        value->kind = MB_KIND_FLOAT64;
        value->as.float64 = PyFloat_AsDouble(object);
        return MB_OK;
    }
    if (PyUnicode_Check(object)) {
        Py_ssize_t length;
        value->kind = MB_KIND_STRING;
        value->as.string.data = PyUnicode_AsUTF8AndSize(object, &length);
        value->as.string.length = (size_t)length;
        if (value->as.string.data == NULL) {
            if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
                PyErr_Clear();
                return MB_ERR_INVALID_UTF8;
            }
            return NOT_TAKEN;
        }
        return MB_OK;
    }
    if (object == Py_None) {
        value->kind = MB_KIND_NULL;
        value->as.int64 = 0;
        return MB_OK;
    }
    if (PyBool_Check(object)) {
        value->kind = MB_KIND_BOOL;
        value->as.int64 = object == Py_True;
        return MB_OK;
    }
    if (PyBytes_Check(object)) {
        char *data;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(object, &data, &length) < 0) {
            return NOT_TAKEN;
        }
        value->kind = MB_KIND_BYTES;
        value->as.string.data = data;
        value->as.string.length = (size_t)length;
        return MB_OK;
    }
    if (PyLong_Check(object)) {
        int overflow;
        value->kind = MB_KIND_INT64;
        value->as.int64 = PyLong_AsLongLongAndOverflow(object, &overflow);
        return overflow ? MB_ERR_OUT_OF_RANGE : PyErr_Occurred() != NULL ? NOT_TAKEN : MB_OK;
    }
    if (PyFloat_Check(object)) {
        value->kind = MB_KIND_FLOAT64;
        value->as.float64 = PyFloat_AsDouble(object);
        return PyErr_Occurred() != NULL ? NOT_TAKEN : MB_OK;
    }
    *keep = numpy_scalar(object);
    if (*keep != NULL && Py_TYPE(*keep) != Py_TYPE(object)) {
        PyObject *none;
        return value_read(host, *keep, value, &none);
    }
    Py_CLEAR(*keep);
    return read_object(host, object, value);
}

void reference_dispose(struct host *host, struct reference *reference, bool tell)
{
    PyObject *object = reference->object;
    free(reference);
    if (tell && host->on_release != NULL) {
        PyObject *answer = PyObject_CallFunctionObjArgs(host->on_release, object, NULL);
        if (answer == NULL) {
            PyErr_WriteUnraisable(host->on_release);
        }
        Py_XDECREF(answer);
    }
    Py_DECREF(object);
}

static struct reference *reference_of(const struct host *host, const mb_value *value)
{
    bool ours = value->kind == MB_KIND_OBJECT && value->owner == host->owner && host->owner != 0 && !host->attached;
    return ours && !host->map ? (struct reference *)(uintptr_t)value->as.object.word : NULL;
}

void value_forget(struct host *host, const mb_value *value)
{
    struct reference *reference = reference_of(host, value);
    if (reference != NULL) {
        reference_dispose(host, reference, atomic_load(&reference->state) == RELEASED);
    }
}

void value_handing(struct host *host, const mb_value *value)
{
    struct reference *reference = reference_of(host, value);
    if (reference != NULL) {
        atomic_store(&reference->state, HANDING);
    }
}

void value_handed(struct host *host, const mb_value *value)
{
    struct reference *reference = reference_of(host, value);
    int handing = HANDING;
    if (reference != NULL && !atomic_compare_exchange_strong(&reference->state, &handing, HELD)) {
        reference_dispose(host, reference, true);
    }
}

/* Raises why a value was not taken. `value` may be NULL if it could not even be read. */
PyObject *value_refused(struct host *host, mb_status status, PyObject *object, const mb_value *value)
{
    PyObject *shown, *text;
    if (status == NOT_TAKEN) {
        return NULL;
    }
    if (value != NULL && host->batcher != NULL) {
        mb_error *error = NULL;
        if (host->api->mb_batcher_check(host->batcher, value, &error) == status) {
            return raise_error(host->api, status, error);
        }
        host->api->mb_error_free(error);
        return raise_status(status, NULL);
    }
    shown = PyObject_ASCII(object);
    text = shown == NULL ? NULL
                         : PyUnicode_FromFormat("%.200S: %s", shown,
                                                status == MB_ERR_OUT_OF_RANGE && PyLong_Check(object)
                                                    ? "integers are 64 bits with a sign, -9223372036854775808 to 9223372036854775807"
                                                    : host->api->mb_status_text(status));
    Py_XDECREF(shown);
    if (text != NULL) {
        raise_status(status, PyUnicode_AsUTF8AndSize(text, NULL));
        Py_DECREF(text);
    }
    return NULL;
}

PyObject *value_make(const struct host *host, const mb_value *value)
{
    switch (value->kind) {
    case MB_KIND_BOOL:
        return PyBool_FromLong(value->as.int64 != 0);
    case MB_KIND_INT64:
        return PyLong_FromLongLong(value->as.int64);
    case MB_KIND_FLOAT64:
        return PyFloat_FromDouble(value->as.float64);
    case MB_KIND_STRING:
        return PyUnicode_DecodeUTF8(value->as.string.data, (Py_ssize_t)value->as.string.length, NULL);
    case MB_KIND_BYTES:
        return PyBytes_FromStringAndSize(value->as.string.data, (Py_ssize_t)value->as.string.length);
    case MB_KIND_OBJECT:
        if (value->owner == host->owner && host->owner != 0 && !host->attached) {
            return Py_NewRef(((struct reference *)(uintptr_t)value->as.object.word)->object);
        }
        return PyObject_CallFunction(foreign_class, "IKK", (unsigned int)value->owner,
                                     (unsigned long long)value->as.object.word,
                                     (unsigned long long)value->as.object.size);
    default:
        return Py_NewRef(Py_None);
    }
}
