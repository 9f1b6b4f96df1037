/* Columns of ours as Arrow arrays and streams, in PyCapsules. */

#include "arrow.h"
#include "glue.h"

#include <stdlib.h>
#include <string.h>

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
