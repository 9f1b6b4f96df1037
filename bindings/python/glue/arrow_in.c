/* Arrow arrays and streams of others, handed over in PyCapsules, as buffers of Python's. */

#include "arrow.h"
#include "glue.h"

#include <stdlib.h>
#include <string.h>

static void owned_array_free(PyObject *capsule)
{
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, "microbatch.array");
    if (array != NULL) {
        if (array->release != NULL) {
            array->release(array);
        }
        free(array);
    }
}

/* How many bytes one row of a buffer takes, from the format; 0 for bits and for what is not known here. */
static int width_of(const char *format)
{
    if (format[0] == '\0' || format[1] != '\0') {
        return 0;
    }
    switch (format[0]) {
    case 'c': case 'C': return 1;
    case 's': case 'S': case 'e': return 2;
    case 'i': case 'I': case 'f': return 4;
    case 'l': case 'L': case 'g': return 8;
    default: return 0;
    }
}

/* Takes the array out of `from` and answers (format, length, null count, offset, buffers). */
static PyObject *take(const struct ArrowSchema *schema, struct ArrowArray *from)
{
    struct ArrowArray *array;
    PyObject *owner, *buffers, *answer;
    const char *format = schema->format;
    int64_t rows;
    int width = width_of(format);
    if (schema->dictionary != NULL || schema->n_children != 0) {
        format = schema->dictionary != NULL ? "a dictionary" : format;
        return Py_BuildValue("sLLL[]", format, (long long)from->length, 0LL, 0LL);
    }
    array = malloc(sizeof *array);
    if (array == NULL) {
        return PyErr_NoMemory();
    }
    *array = *from;
    from->release = NULL;
    owner = PyCapsule_New(array, "microbatch.array", owned_array_free);
    if (owner == NULL) {
        array->release(array);
        free(array);
        return NULL;
    }
    rows = array->length + array->offset;
    buffers = PyList_New(0);
    for (int64_t at = 0; buffers != NULL && at < array->n_buffers; at++) {
        int64_t length = 0;
        PyObject *buffer;
        if (at == 0) {
            length = (rows + 7) / 8;
        } else if (format[0] == 'b') {
            length = (rows + 7) / 8;
        } else if (width > 0) {
            length = rows * width;
        } else if (format[0] == 'w' && format[1] == ':') {
            length = rows * atoi(format + 2);
        } else if (format[0] == 'v') {
            /* views, then buffers of data whose sizes the last one has */
            const int64_t *sizes = array->buffers[array->n_buffers - 1];
            length = at == 1 ? rows * 16 : at == array->n_buffers - 1 ? (array->n_buffers - 3) * 8 : sizes[at - 2];
        } else if (format[0] == 'u' || format[0] == 'z') {
            const int32_t *offsets = array->buffers[1];
            length = at == 1 ? (rows + 1) * 4 : offsets == NULL || rows == 0 ? 0 : offsets[rows];
        } else if (format[0] == 'U' || format[0] == 'Z') {
            const int64_t *offsets = array->buffers[1];
            length = at == 1 ? (rows + 1) * 8 : offsets == NULL || rows == 0 ? 0 : offsets[rows];
        }
        buffer = buffer_of(array->buffers[at], (size_t)length, 'B', owner);
        if (buffer == NULL || PyList_Append(buffers, buffer) < 0) {
            Py_CLEAR(buffers);
        }
        Py_XDECREF(buffer);
    }
    answer = buffers == NULL ? NULL
                             : Py_BuildValue("sLLLN", format, (long long)array->length, (long long)array->null_count,
                                             (long long)array->offset, buffers);
    Py_DECREF(owner); /* without buffers this frees the array */
    return answer;
}

/* arrow_array(schema capsule, array capsule) -> (format, length, null count, offset, buffers) */
PyObject *arrow_array(PyObject *module, PyObject *args)
{
    PyObject *schema_capsule, *array_capsule;
    struct ArrowSchema *schema;
    struct ArrowArray *array;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &schema_capsule, &array_capsule)) {
        return NULL;
    }
    schema = PyCapsule_GetPointer(schema_capsule, "arrow_schema");
    array = schema == NULL ? NULL : PyCapsule_GetPointer(array_capsule, "arrow_array");
    if (array == NULL) {
        return NULL;
    }
    if (array->release == NULL) {
        return raise_status(MB_ERR_INVALID_ARGUMENT, "the Arrow array was taken before");
    }
    return take(schema, array);
}

/* arrow_stream(capsule) -> list of what arrow_array answers */
PyObject *arrow_stream(PyObject *module, PyObject *capsule)
{
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, "arrow_array_stream");
    struct ArrowSchema schema;
    PyObject *chunks;
    (void)module;
    if (stream == NULL) {
        return NULL;
    }
    if (stream->release == NULL) {
        return raise_status(MB_ERR_INVALID_ARGUMENT, "the Arrow stream was taken before");
    }
    memset(&schema, 0, sizeof schema);
    if (stream->get_schema(stream, &schema) != 0) {
        const char *reason = stream->get_last_error(stream);
        return raise_status(MB_ERR_INVALID_ARGUMENT, reason == NULL ? "the Arrow stream has no schema" : reason);
    }
    chunks = PyList_New(0);
    while (chunks != NULL) {
        struct ArrowArray array;
        PyObject *chunk;
        memset(&array, 0, sizeof array);
        if (stream->get_next(stream, &array) != 0) {
            const char *reason = stream->get_last_error(stream);
            Py_CLEAR(chunks);
            raise_status(MB_ERR_INVALID_ARGUMENT, reason == NULL ? "the Arrow stream failed" : reason);
            break;
        }
        if (array.release == NULL) {
            break;
        }
        chunk = take(&schema, &array);
        if (array.release != NULL) {
            array.release(&array);
        }
        if (chunk == NULL || PyList_Append(chunks, chunk) < 0) {
            Py_CLEAR(chunks);
        }
        Py_XDECREF(chunk);
    }
    if (schema.release != NULL) {
        schema.release(&schema);
    }
    return chunks;
}
