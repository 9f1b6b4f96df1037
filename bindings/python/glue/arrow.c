/* The Arrow C data interface, by PyCapsules: arrays that others hand over as buffers, and ours for others. The structs are
   the interface's own, which is fixed: https://arrow.apache.org/docs/format/CDataInterface.html */

#include "glue.h"

#include <stdlib.h>
#include <string.h>

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

#define NULLABLE 2

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

/* ---- Ours, for others ---- */

/* What an exported array lives on: buffers of Python's. Its last user may be on any thread. */
struct exported {
    Py_buffer kept[3];
    const void *buffers[3];
};

static void exported_free(struct exported *exported)
{
    for (int at = 0; at < 3; at++) {
        if (exported->kept[at].obj != NULL) {
            PyBuffer_Release(&exported->kept[at]);
        }
    }
    free(exported);
}

static void export_release(struct ArrowArray *array)
{
    struct exported *exported = array->private_data;
    if (Py_IsInitialized()) {
        PyGILState_STATE state = PyGILState_Ensure();
        exported_free(exported);
        PyGILState_Release(state);
    }
    array->release = NULL;
}

static void schema_release(struct ArrowSchema *schema)
{
    free(schema->private_data);
    schema->release = NULL;
}

static bool fill_schema(struct ArrowSchema *schema, const char *format)
{
    char *copy = strdup(format);
    memset(schema, 0, sizeof *schema);
    if (copy == NULL) {
        PyErr_NoMemory();
        return false;
    }
    schema->format = copy;
    schema->name = "";
    schema->flags = NULLABLE;
    schema->release = schema_release;
    schema->private_data = copy;
    return true;
}

static bool fill_array(struct ArrowArray *array, Py_ssize_t length, Py_ssize_t nulls, PyObject *keep)
{
    struct exported *exported = calloc(1, sizeof *exported);
    Py_ssize_t count = PyTuple_Size(keep);
    memset(array, 0, sizeof *array);
    if (exported == NULL || count < 0 || count > 3) {
        free(exported);
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t at = 0; at < count; at++) {
        PyObject *buffer = PyTuple_GetItem(keep, at);
        if (buffer != Py_None && PyObject_GetBuffer(buffer, &exported->kept[at], PyBUF_SIMPLE) < 0) {
            exported_free(exported);
            return false;
        }
        exported->buffers[at] = buffer == Py_None ? NULL : exported->kept[at].buf;
    }
    array->length = length;
    array->null_count = nulls;
    array->n_buffers = count;
    array->buffers = exported->buffers;
    array->release = export_release;
    array->private_data = exported;
    return true;
}

static void schema_capsule_free(PyObject *capsule)
{
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");
    if (schema->release != NULL) {
        schema->release(schema);
    }
    free(schema);
}

static void array_capsule_free(PyObject *capsule)
{
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, "arrow_array");
    if (array->release != NULL) {
        array->release(array);
    }
    free(array);
}

static void stream_capsule_free(PyObject *capsule)
{
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, "arrow_array_stream");
    if (stream->release != NULL) {
        stream->release(stream);
    }
    free(stream);
}

/* arrow_export(format, length, nulls, buffers) -> (schema capsule, array capsule) */
PyObject *arrow_export(PyObject *module, PyObject *args)
{
    const char *format;
    Py_ssize_t length, nulls;
    PyObject *keep, *first, *second;
    struct ArrowSchema *schema = calloc(1, sizeof *schema);
    struct ArrowArray *array = calloc(1, sizeof *array);
    (void)module;
    if (schema == NULL || array == NULL
        || !PyArg_ParseTuple(args, "snnO!", &format, &length, &nulls, &PyTuple_Type, &keep)
        || !fill_schema(schema, format)) {
        free(schema);
        free(array);
        return PyErr_Occurred() != NULL ? NULL : PyErr_NoMemory();
    }
    first = PyCapsule_New(schema, "arrow_schema", schema_capsule_free);
    second = first != NULL && fill_array(array, length, nulls, keep)
               ? PyCapsule_New(array, "arrow_array", array_capsule_free)
               : NULL;
    if (second == NULL) {
        Py_XDECREF(first);
        free(array);
        return NULL;
    }
    return Py_BuildValue("NN", first, second);
}

struct one_chunk {
    char *format;
    struct ArrowArray array;
};

static int stream_schema(struct ArrowArrayStream *stream, struct ArrowSchema *schema)
{
    struct one_chunk *chunk = stream->private_data;
    char *copy = strdup(chunk->format);
    if (copy == NULL) {
        return 12; /* ENOMEM */
    }
    memset(schema, 0, sizeof *schema);
    schema->format = copy;
    schema->name = "";
    schema->flags = NULLABLE;
    schema->release = schema_release;
    schema->private_data = copy;
    return 0;
}

static int stream_next(struct ArrowArrayStream *stream, struct ArrowArray *array)
{
    struct one_chunk *chunk = stream->private_data;
    *array = chunk->array;
    chunk->array.release = NULL;
    return 0;
}

static const char *stream_error(struct ArrowArrayStream *stream)
{
    (void)stream;
    return "out of memory";
}

static void stream_release(struct ArrowArrayStream *stream)
{
    struct one_chunk *chunk = stream->private_data;
    if (chunk->array.release != NULL) {
        chunk->array.release(&chunk->array);
    }
    free(chunk->format);
    free(chunk);
    stream->release = NULL;
}

/* arrow_export_stream(format, length, nulls, buffers) -> stream capsule of one array */
PyObject *arrow_export_stream(PyObject *module, PyObject *args)
{
    const char *format;
    Py_ssize_t length, nulls;
    PyObject *keep, *capsule;
    struct ArrowArrayStream *stream;
    struct one_chunk *chunk;
    (void)module;
    if (!PyArg_ParseTuple(args, "snnO!", &format, &length, &nulls, &PyTuple_Type, &keep)) {
        return NULL;
    }
    stream = calloc(1, sizeof *stream);
    chunk = calloc(1, sizeof *chunk);
    if (stream == NULL || chunk == NULL || (chunk->format = strdup(format)) == NULL
        || !fill_array(&chunk->array, length, nulls, keep)) {
        free(chunk == NULL ? NULL : chunk->format);
        free(chunk);
        free(stream);
        return PyErr_Occurred() != NULL ? NULL : PyErr_NoMemory();
    }
    stream->get_schema = stream_schema;
    stream->get_next = stream_next;
    stream->get_last_error = stream_error;
    stream->release = stream_release;
    stream->private_data = chunk;
    capsule = PyCapsule_New(stream, "arrow_array_stream", stream_capsule_free);
    if (capsule == NULL) {
        stream->release(stream);
        free(stream);
    }
    return capsule;
}
