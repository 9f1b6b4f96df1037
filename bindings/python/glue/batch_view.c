/* Views of a batch: they show the engine's memory and keep it, past the end of the batch too. */

#include "glue.h"

#include <stdlib.h>

#define SELF(object) ((BatchObject *)(object))

struct pin {
    struct host *host;
    PyObject *owner;
    mb_batch *pinned;
};

static void pin_free(PyObject *capsule)
{
    struct pin *pin = PyCapsule_GetPointer(capsule, "microbatch.pin");
    pin->host->api->mb_batch_free(pin->pinned);
    host_drain(pin->host);
    Py_XDECREF(pin->owner);
    host_unhold(pin->host);
    free(pin);
}

/* Who keeps the columns of a batch, and in *pinned the handle to read them by. None inside map, where whoever looks has to
   copy. */
static PyObject *pin_of(BatchObject *self, mb_batch **pinned)
{
    struct pin *pin;
    mb_status status;
    *pinned = self->batch;
    if (self->host->map) {
        return Py_NewRef(Py_None);
    }
    if (self->pin == NULL) {
        pin = calloc(1, sizeof *pin);
        if (pin == NULL) {
            return PyErr_NoMemory();
        }
        status = self->host->api->mb_batch_pin(self->batch, &pin->pinned);
        self->pin = status == MB_OK ? PyCapsule_New(pin, "microbatch.pin", NULL) : raise_status(status, NULL);
        if (self->pin == NULL) {
            if (status == MB_OK) {
                self->host->api->mb_batch_free(pin->pinned);
            }
            free(pin);
            return NULL;
        }
        atomic_fetch_add(&self->host->holds, 1);
        pin->host = self->host;
        pin->owner = Py_XNewRef(self->owner);
        PyCapsule_SetDestructor(self->pin, pin_free);
    }
    pin = PyCapsule_GetPointer(self->pin, "microbatch.pin");
    *pinned = pin->pinned;
    return Py_NewRef(self->pin);
}

static PyObject *column(PyObject *pin, const void *data, size_t length)
{
    if (data == NULL) {
        return Py_NewRef(Py_None);
    }
    return pin == Py_None ? PyBytes_FromStringAndSize(data, (Py_ssize_t)length) : buffer_of(data, (int64_t)length, pin);
}

static PyObject *pinned_view(BatchObject *self, mb_batch_view *view)
{
    mb_batch *pinned;
    PyObject *pin = batch_gone(self) ? NULL : pin_of(self, &pinned);
    mb_status status;
    if (pin == NULL) {
        return NULL;
    }
    view->struct_size = sizeof *view;
    status = self->host->api->mb_batch_get_view(pinned, view);
    if (status != MB_OK) {
        Py_DECREF(pin);
        return raise_status(status, NULL);
    }
    return pin;
}

/* columns() -> (tags as uint64, kinds as uint8, deadlines as int64 or None), as buffers */
PyObject *batch_columns(PyObject *object, PyObject *ignored)
{
    mb_batch_view view;
    PyObject *pin = pinned_view(SELF(object), &view), *answer;
    (void)ignored;
    if (pin == NULL) {
        return NULL;
    }
    answer = Py_BuildValue("NNN", column(pin, view.tags, view.count * 8), column(pin, view.kinds, view.count),
                           column(pin, view.deadlines, view.count * 8));
    Py_DECREF(pin);
    return answer;
}

/* cells() -> the values of a batch of integers or floats as a buffer, 8 bytes each; None for others */
PyObject *batch_cells(PyObject *object, PyObject *ignored)
{
    mb_batch_view view;
    PyObject *pin = pinned_view(SELF(object), &view), *answer;
    (void)ignored;
    if (pin == NULL) {
        return NULL;
    }
    answer = view.kind == MB_KIND_INT64 || view.kind == MB_KIND_FLOAT64 ? column(pin, view.values, view.count * 8)
                                                                        : Py_NewRef(Py_None);
    Py_DECREF(pin);
    return answer;
}

/* texts() -> (int32 offsets, bytes) of a batch of strings alone or of bytes alone; None for others */
PyObject *batch_texts(PyObject *object, PyObject *ignored)
{
    BatchObject *self = SELF(object);
    mb_batch_view view;
    mb_column texts;
    mb_batch *pinned;
    PyObject *pin, *answer = NULL;
    mb_status status;
    (void)ignored;
    if (!batch_view(self, &view)) {
        return NULL;
    }
    if (view.kind != MB_KIND_STRING && view.kind != MB_KIND_BYTES) {
        Py_RETURN_NONE;
    }
    pin = pin_of(self, &pinned);
    if (pin == NULL) {
        return NULL;
    }
    texts.struct_size = sizeof texts;
    status = self->host->api->mb_batch_gather(pinned, view.kind, &texts);
    if (status == MB_OK) {
        answer = Py_BuildValue("NN", column(pin, texts.offsets, (texts.count + 1) * 4),
                               column(pin, texts.bytes, (size_t)texts.offsets[texts.count]));
    } else {
        raise_status(status, NULL);
    }
    Py_DECREF(pin);
    return answer;
}
