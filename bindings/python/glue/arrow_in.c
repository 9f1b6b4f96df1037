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

/* Refuses what a method of the protocol answered. */
static PyObject *no_capsule(PyObject *source, const char *method, const char *wanted, PyObject *came)
{
    PyObject *type = PyType_GetName(Py_TYPE(source));
    PyObject *text = type == NULL ? NULL
                                  : PyUnicode_FromFormat("%s of a %U answers %s, as pyarrow's does, not %.200A", method, type,
                                                         wanted, came);
    Py_XDECREF(type);
    if (text != NULL) {
        raise_status(MB_ERR_INVALID_ARGUMENT, PyUnicode_AsUTF8AndSize(text, NULL));
        Py_DECREF(text);
    }
    return NULL;
}

/* arrow_array(source) -> (format, length, null count, offset, buffers) of what its __arrow_c_array__ answers */
PyObject *arrow_array(PyObject *module, PyObject *source)
{
    PyObject *pair = PyObject_CallMethod(source, "__arrow_c_array__", NULL);
    PyObject *schema, *taken, *answer;
    struct ArrowArray *array;
    (void)module;
    if (pair == NULL) {
        return NULL;
    }
    schema = PyTuple_Check(pair) && PyTuple_Size(pair) == 2 ? PyTuple_GetItem(pair, 0) : NULL;
    taken = schema == NULL ? NULL : PyTuple_GetItem(pair, 1);
    if (!PyCapsule_IsValid(schema, "arrow_schema") || !PyCapsule_IsValid(taken, "arrow_array")) {
        answer = no_capsule(source, "__arrow_c_array__", "a schema and an array in capsules", pair);
    } else if ((array = PyCapsule_GetPointer(taken, "arrow_array"))->release == NULL) {
        answer = raise_status(MB_ERR_INVALID_ARGUMENT, "the Arrow array was taken before");
    } else {
        answer = take(PyCapsule_GetPointer(schema, "arrow_schema"), array);
    }
    Py_DECREF(pair);
    return answer;
}

static PyObject *chunks_of(struct ArrowArrayStream *stream)
{
    struct ArrowSchema schema;
    PyObject *chunks;
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

/* arrow_stream(source) -> list of what arrow_array answers, one for each chunk of what its __arrow_c_stream__ answers */
PyObject *arrow_stream(PyObject *module, PyObject *source)
{
    PyObject *capsule = PyObject_CallMethod(source, "__arrow_c_stream__", NULL);
    PyObject *answer;
    struct ArrowArrayStream *given, stream;
    (void)module;
    if (capsule == NULL) {
        return NULL;
    }
    if (!PyCapsule_IsValid(capsule, "arrow_array_stream")) {
        answer = no_capsule(source, "__arrow_c_stream__", "a stream in a capsule", capsule);
    } else if ((given = PyCapsule_GetPointer(capsule, "arrow_array_stream"))->release == NULL) {
        answer = raise_status(MB_ERR_INVALID_ARGUMENT, "the Arrow stream was taken before");
    } else {
        stream = *given;
        given->release = NULL; /* whoever took it before would find nothing in it, and no sign of that */
        answer = chunks_of(&stream);
        stream.release(&stream);
    }
    Py_DECREF(capsule);
    return answer;
}
