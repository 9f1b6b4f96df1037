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

static PyObject *column(PyObject *pin, const void *data, size_t rows, char format)
{
    if (data == NULL) {
        return Py_NewRef(Py_None);
    }
    return pin == Py_None ? buffer_copy(data, rows, format) : buffer_of(data, rows, format, pin);
}

/* The pinned columns of a batch; a pin has its own handle, and its columns may lie elsewhere. */
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

static PyObject *memoryview_of(PyObject *pin, const void *data, size_t rows, char format)
{
    PyObject *buffer = column(pin, data, rows, format);
    PyObject *view = buffer == NULL ? NULL : PyMemoryView_FromObject(buffer);
    Py_XDECREF(buffer);
    Py_DECREF(pin);
    return view;
}

PyObject *batch_get_tags(PyObject *object, void *closure)
{
    mb_batch_view view;
    PyObject *pin = pinned_view(SELF(object), &view);
    (void)closure;
    return pin == NULL ? NULL : memoryview_of(pin, view.tags, view.count, 'Q');
}

PyObject *batch_get_numbers(PyObject *object, void *closure)
{
    BatchObject *self = SELF(object);
    mb_batch_view view;
    PyObject *pin;
    (void)closure;
    if (self->view.kind != MB_KIND_INT64 && self->view.kind != MB_KIND_FLOAT64) {
        char text[96];
        PyOS_snprintf(text, sizeof text, "the batch is of kind %s, not int64 or float64",
                      self->view.kind < MB_KINDS ? self->host->api->mb_kind_name(self->view.kind) : "mixed");
        return batch_gone(self) ? NULL : raise_status(MB_ERR_INVALID_ARGUMENT, text);
    }
    pin = pinned_view(self, &view);
    return pin == NULL ? NULL : memoryview_of(pin, view.values, view.count, view.kind == MB_KIND_INT64 ? 'q' : 'd');
}

/* _texts() -> (int32 offsets, bytes) of a batch of strings alone or of bytes alone; None for others */
PyObject *batch_texts(PyObject *object, PyObject *ignored)
{
    BatchObject *self = SELF(object);
    mb_column texts;
    mb_batch *pinned;
    PyObject *pin, *answer = NULL;
    mb_status status;
    (void)ignored;
    if (batch_gone(self)) {
        return NULL;
    }
    if (self->view.kind != MB_KIND_STRING && self->view.kind != MB_KIND_BYTES) {
        Py_RETURN_NONE;
    }
    pin = pin_of(self, &pinned);
    if (pin == NULL) {
        return NULL;
    }
    texts.struct_size = sizeof texts;
    status = self->host->api->mb_batch_gather(pinned, self->view.kind, &texts);
    if (status == MB_OK) {
        answer = Py_BuildValue("NN", column(pin, texts.offsets, (texts.count + 1) * 4, 'B'),
                               column(pin, texts.bytes, (size_t)texts.offsets[texts.count], 'B'));
    } else {
        raise_status(status, NULL);
    }
    Py_DECREF(pin);
    return answer;
}
