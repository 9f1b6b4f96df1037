/* Memory of others, as a read-only buffer of Python's. */

#include "glue.h"

typedef struct {
    PyObject_HEAD
    const void *data;
    Py_ssize_t rows;
    Py_ssize_t width;            /* Bytes a row. */
    char format[2];              /* As struct has it. */
    PyObject *owner;             /* Keeps the memory. */
} BufferObject;

PyTypeObject *buffer_type;

static int buffer_get(PyObject *self, Py_buffer *view, int flags)
{
    BufferObject *buffer = (BufferObject *)self;
    static const char empty[1];
    if (flags & PyBUF_WRITABLE) {
        view->obj = NULL;
        PyErr_SetString(PyExc_BufferError, "it is only to be read");
        return -1;
    }
    view->obj = Py_NewRef(self);
    view->buf = (void *)(uintptr_t)(buffer->data == NULL ? empty : buffer->data);
    view->len = buffer->rows * buffer->width;
    view->readonly = 1;
    view->itemsize = buffer->width;
    view->format = flags & PyBUF_FORMAT ? buffer->format : NULL;
    view->ndim = 1;
    view->shape = (flags & PyBUF_ND) == PyBUF_ND ? &buffer->rows : NULL;
    view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? &buffer->width : NULL;
    view->suboffsets = NULL;
    view->internal = NULL;
    return 0;
}

static void buffer_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((BufferObject *)self)->owner);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot buffer_slots[] = {
    {Py_tp_dealloc, buffer_dealloc},
    {Py_bf_getbuffer, buffer_get},
    {0, NULL},
};

PyType_Spec buffer_spec = {
    "microbatch._microbatch.Buffer", sizeof(BufferObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, buffer_slots,
};

PyObject *buffer_of(const void *data, size_t rows, char format, PyObject *owner)
{
    BufferObject *buffer;
    if (data == NULL) {
        return Py_NewRef(Py_None);
    }
    buffer = (BufferObject *)PyType_GenericAlloc(buffer_type, 0);
    if (buffer != NULL) {
        buffer->data = data;
        buffer->rows = (Py_ssize_t)rows;
        buffer->width = format == 'B' ? 1 : 8;
        buffer->format[0] = format;
        buffer->owner = Py_NewRef(owner);
    }
    return (PyObject *)buffer;
}

PyObject *buffer_copy(const void *data, size_t rows, char format)
{
    PyObject *bytes = PyBytes_FromStringAndSize(data, (Py_ssize_t)(format == 'B' ? rows : 8 * rows));
    PyObject *buffer = bytes == NULL ? NULL : buffer_of(PyBytes_AsString(bytes), rows, format, bytes);
    Py_XDECREF(bytes);
    return buffer;
}
