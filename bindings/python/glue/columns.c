/* Columns of others that have another width or shape than the engine's: widened exactly, or laid out anew. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>

static bool is_valid(const uint8_t *validity, size_t at)
{
    return validity == NULL || (validity[at / 8] >> at % 8 & 1) != 0;
}

/* A half: every one is a float64 exactly. */
static double half(uint16_t bits)
{
    uint64_t sign = (uint64_t)(bits >> 15) << 63, exponent = bits >> 10 & 31, fraction = bits & 1023;
    uint64_t wide;
    double number;
    if (exponent == 0) {
        number = (double)fraction / 16777216.0; /* 2^-24 */
        memcpy(&wide, &number, sizeof wide);
        wide |= sign;
    } else {
        wide = sign | (exponent == 31 ? 2047 : exponent + 1008) << 52 | fraction << 42;
    }
    memcpy(&number, &wide, sizeof number);
    return number;
}

#define WIDEN(type, to, value)                                 \
    for (size_t at = 0; at < count; at++) {                    \
        type narrow;                                           \
        memcpy(&narrow, from + at * sizeof narrow, sizeof narrow); \
        ((to *)cells)[at] = value;                             \
    }                                                          \
    break;

/* widen(source, letter, validity or None) -> bytes of 8-byte cells: int64, or float64 for letters e and f. The letters are those
   of struct, of the sizes that Arrow and C have here. What needs more than 64 bits with a sign is refused. */
PyObject *widen(PyObject *module, PyObject *args)
{
    Py_buffer source, validity;
    const char *letter, *from;
    size_t count = 0, width;
    char *cells = NULL;
    PyObject *answer = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*sz*", &source, &letter, &validity)) {
        return NULL;
    }
    from = source.buf;
    width = strchr("bB", letter[0]) != NULL ? 1 : strchr("hHe", letter[0]) != NULL ? 2 : strchr("iIf", letter[0]) != NULL ? 4 : 8;
    count = (size_t)source.len / width;
    answer = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * 8));
    cells = answer == NULL ? NULL : PyBytes_AsString(answer);
    switch (cells == NULL ? '\0' : letter[0]) {
    case 'b': WIDEN(int8_t, int64_t, narrow)
    case 'B': WIDEN(uint8_t, int64_t, narrow)
    case 'h': WIDEN(int16_t, int64_t, narrow)
    case 'H': WIDEN(uint16_t, int64_t, narrow)
    case 'i': WIDEN(int32_t, int64_t, narrow)
    case 'I': WIDEN(uint32_t, int64_t, narrow)
    case 'e': WIDEN(uint16_t, double, half(narrow))
    case 'f': WIDEN(float, double, (double)narrow)
    case 'Q':
    case 'L':
        for (size_t at = 0; at < count; at++) {
            uint64_t wide;
            memcpy(&wide, from + at * 8, 8);
            if (wide > INT64_MAX && is_valid(validity.buf, at)) {
                char text[96];
                PyOS_snprintf(text, sizeof text, "%llu: integers are 64 bits with a sign, up to 9223372036854775807",
                              (unsigned long long)wide);
                Py_CLEAR(answer);
                raise_status(MB_ERR_OUT_OF_RANGE, text);
                break;
            }
        }
        if (answer != NULL) {
            memcpy(cells, from, count * 8);
        }
        break;
    default:
        if (cells != NULL) {
            memcpy(cells, from, count * 8);
        }
    }
    PyBuffer_Release(&source);
    if (validity.obj != NULL) {
        PyBuffer_Release(&validity);
    }
    return answer;
}

/* One string of Arrow's view layout: up to 12 bytes in place, others in one of several buffers. */
struct view {
    int32_t length;
    char prefix[4];
    int32_t buffer;
    int32_t offset;
};

static const char *view_data(const struct view *view, const Py_buffer *data, Py_ssize_t count)
{
    if (view->length <= 12) {
        return view->prefix;
    }
    return view->buffer >= 0 && view->buffer < count && view->offset >= 0
                   && (int64_t)view->offset + view->length <= data[view->buffer].len
             ? (const char *)data[view->buffer].buf + view->offset
             : NULL;
}

/* views(views, data buffers, validity or None) -> (bytes, int64 offsets) */
PyObject *views(PyObject *module, PyObject *args)
{
    Py_buffer source, validity;
    PyObject *list, *bytes = NULL, *offsets = NULL;
    Py_buffer *data;
    Py_ssize_t buffers, got = 0;
    int64_t end = 0, *ends;
    char *to;
    size_t rows;
    bool good = true;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*O!z*", &source, &PyList_Type, &list, &validity)) {
        return NULL;
    }
    rows = (size_t)source.len / sizeof(struct view);
    buffers = PyList_Size(list);
    data = calloc((size_t)buffers + 1, sizeof *data);
    for (; data != NULL && got < buffers; got++) {
        if (PyObject_GetBuffer(PyList_GetItem(list, got), &data[got], PyBUF_SIMPLE) < 0) {
            break;
        }
    }
    good = data != NULL && got == buffers;
    offsets = good ? PyBytes_FromStringAndSize(NULL, (Py_ssize_t)((rows + 1) * 8)) : NULL;
    ends = offsets == NULL ? NULL : (int64_t *)(void *)PyBytes_AsString(offsets);
    for (size_t at = 0; ends != NULL && at < rows; at++) {
        const struct view *view = (const struct view *)source.buf + at;
        ends[at] = end;
        end += is_valid(validity.buf, at) ? view->length : 0;
        if (is_valid(validity.buf, at) && view_data(view, data, buffers) == NULL) {
            raise_status(MB_ERR_INVALID_ARGUMENT, "an Arrow string view lies outside its buffers");
            ends = NULL;
        }
    }
    if (ends != NULL) {
        ends[rows] = end;
        bytes = PyBytes_FromStringAndSize(NULL, end);
        to = bytes == NULL ? NULL : PyBytes_AsString(bytes);
        for (size_t at = 0; to != NULL && at < rows; at++) {
            const struct view *view = (const struct view *)source.buf + at;
            if (ends[at + 1] > ends[at]) {
                memcpy(to + ends[at], view_data(view, data, buffers), (size_t)view->length);
            }
        }
    }
    while (got > 0) {
        PyBuffer_Release(&data[--got]);
    }
    free(data);
    PyBuffer_Release(&source);
    if (validity.obj != NULL) {
        PyBuffer_Release(&validity);
    }
    if (bytes == NULL) {
        Py_XDECREF(offsets);
        return PyErr_Occurred() != NULL ? NULL : PyErr_NoMemory();
    }
    return Py_BuildValue("NN", bytes, offsets);
}
