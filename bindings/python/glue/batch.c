/* A batch, or a part of one, in the hands of Python: its class is microbatch.Batch, which is made from this. */

#include "glue.h"

#define SELF(object) ((BatchObject *)(object))

/* of: the class, which says whose the batch is: a HeldBatch is completed or freed by its holder. */
static BatchObject *make(struct host *host, mb_batch *batch, PyObject *of, bool held)
{
    BatchObject *self = (BatchObject *)PyType_GenericAlloc((PyTypeObject *)of, 0);
    mb_status status;
    if (self == NULL) {
        return NULL;
    }
    atomic_fetch_add(&host->holds, 1);
    self->host = host;
    self->owner = Py_XNewRef(host->self);
    self->batch = batch;
    self->held = held;
    self->view.struct_size = sizeof self->view;
    status = host->api->mb_batch_get_view(batch, &self->view);
    if (status != MB_OK) {
        self->batch = NULL;
        Py_DECREF((PyObject *)self);
        raise_status(status, NULL);
        return NULL;
    }
    return self;
}

PyObject *batch_new(struct host *host, mb_batch *batch, PyObject *of)
{
    BatchObject *self = make(host, batch, of, true);
    if (self == NULL) {
        host->api->mb_batch_free(batch);
    }
    return (PyObject *)self;
}

BatchObject *batch_lend(struct host *host, mb_batch *batch)
{
    return make(host, batch, batch_class, false);
}

void batch_end(BatchObject *self)
{
    if (!self->held) {
        self->batch = NULL;
        Py_CLEAR(self->pin); /* only views that somebody has keep the memory from now on */
    }
}

static void batch_dealloc(PyObject *object)
{
    BatchObject *self = SELF(object);
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->host != NULL) {
        if (self->held && self->batch != NULL) {
            self->host->api->mb_batch_free(self->batch);
            host_drain(self->host);
        }
        Py_XDECREF(self->pin);
        Py_XDECREF(self->owner);
        host_unhold(self->host);
    }
    PyObject_GC_Del(object);
    Py_DECREF(type);
}

static int batch_traverse(PyObject *object, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(object));
    Py_VISIT(SELF(object)->owner);
    return 0;
}

bool batch_gone(BatchObject *self)
{
    if (self->batch == NULL) {
        raise_status(MB_ERR_TOO_LATE, "the batch was completed, or its handler has returned");
        return true;
    }
    return false;
}

PyObject *batch_done(BatchObject *self, mb_status status)
{
    host_drain(self->host);
    return none_or_raise(status);
}

/* ---- What it holds ---- */

static Py_ssize_t batch_length(PyObject *object)
{
    return (Py_ssize_t)SELF(object)->view.count;
}

static PyObject *one_value(BatchObject *self, size_t row)
{
    const mb_batch_view *view = &self->view;
    mb_value value;
    mb_status status;
    switch (view->kind) {
    case MB_KIND_INT64:
        return PyLong_FromLongLong(((const int64_t *)view->values)[row]);
    case MB_KIND_FLOAT64:
        return PyFloat_FromDouble(((const double *)view->values)[row]);
    case MB_KIND_STRING:
        if (view->offsets != NULL) {
            return PyUnicode_DecodeUTF8((const char *)view->bytes + view->offsets[row],
                                        view->offsets[row + 1] - view->offsets[row], NULL);
        }
        break;
    default:
        break;
    }
    status = self->host->api->mb_batch_value(self->batch, row, &value);
    return status == MB_OK ? value_make(self->host, &value) : raise_status(status, NULL);
}

static PyObject *list_of_cells(const void *cells, Py_ssize_t count, bool floats)
{
    PyObject *list = PyList_New(count);
    for (Py_ssize_t at = 0; list != NULL && at < count; at++) {
        PyObject *value = floats ? PyFloat_FromDouble(((const double *)cells)[at])
                                 : PyLong_FromLongLong(((const int64_t *)cells)[at]);
        if (value == NULL || PyList_SetItem(list, at, value) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

PyObject *batch_list(BatchObject *self)
{
    Py_ssize_t count = (Py_ssize_t)self->view.count;
    PyObject *list;
    if (batch_gone(self)) {
        return NULL;
    }
    if (self->view.kind == MB_KIND_INT64 || self->view.kind == MB_KIND_FLOAT64) {
        return list_of_cells(self->view.values, count, self->view.kind == MB_KIND_FLOAT64);
    }
    list = PyList_New(count);
    for (Py_ssize_t row = 0; list != NULL && row < count; row++) {
        PyObject *value = one_value(self, (size_t)row);
        if (value == NULL || PyList_SetItem(list, row, value) < 0) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *batch_get_values(PyObject *object, void *closure)
{
    (void)closure;
    return batch_list(SELF(object));
}

static PyObject *batch_item(PyObject *object, Py_ssize_t row)
{
    BatchObject *self = SELF(object);
    if (batch_gone(self)) {
        return NULL;
    }
    if (row < 0 || row >= batch_length(object)) {
        PyErr_Format(PyExc_IndexError, "row %zd of a batch of %zd", row, batch_length(object));
        return NULL;
    }
    return one_value(self, (size_t)row);
}

#define NUMBER(name, field, make)                                       \
    static PyObject *batch_get_##name(PyObject *object, void *closure)  \
    {                                                                   \
        (void)closure;                                                  \
        return make(SELF(object)->view.field);                          \
    }

NUMBER(kind, kind, PyLong_FromUnsignedLong)
NUMBER(trigger, trigger, PyLong_FromUnsignedLong)
NUMBER(age_ns, age, PyLong_FromLongLong)
NUMBER(number, number, PyLong_FromUnsignedLongLong)

static PyObject *batch_get_kept(PyObject *object, void *closure)
{
    (void)closure;
    return PyBool_FromLong(SELF(object)->kept || SELF(object)->batch == NULL);
}

/* ---- Whose it is ---- */

/* keep(): the same object, as a HeldBatch */
static PyObject *batch_keep(PyObject *object, PyObject *ignored)
{
    BatchObject *self = SELF(object);
    mb_status status;
    (void)ignored;
    if (batch_gone(self)) {
        return NULL;
    }
    status = self->host->api->mb_batch_keep(self->batch);
    host_drain(self->host);
    if (status != MB_OK) {
        return raise_status(status, NULL);
    }
    self->held = self->kept = true;
    return PyObject_SetAttrString(object, "__class__", held_class) < 0 ? NULL : Py_NewRef(object);
}

#define ENDS(name)                                                    \
    static PyObject *batch_##name(PyObject *object, PyObject *ignored) \
    {                                                                 \
        BatchObject *self = SELF(object);                             \
        mb_batch *batch = self->batch;                                \
        mb_status status;                                             \
        (void)ignored;                                                \
        if (batch_gone(self)) {                                       \
            return NULL;                                              \
        }                                                             \
        if (self->held) {                                             \
            self->batch = NULL;                                       \
            Py_CLEAR(self->pin);                                      \
        }                                                             \
        Py_BEGIN_ALLOW_THREADS                                        \
        status = self->host->api->mb_batch_##name(batch);             \
        Py_END_ALLOW_THREADS                                          \
        return batch_done(self, status);                              \
    }

ENDS(complete)
ENDS(complete_ok)
ENDS(free)

static PyMethodDef batch_methods[] = {
    {"set", batch_set, METH_VARARGS, "set(row, value)\n--\n\nMakes this the result of a row. Set twice, the last counts."},
    {"set_all", batch_set_all, METH_O,
     "set_all(results)\n--\n\nSets all results at once: a list, a buffer such as a numpy array, or an Arrow array. An exception "
     "in a list fails the value in its place. Another number of results than values fails the part with RESULT_COUNT."},
    {"keep", batch_keep, METH_NOARGS,
     "keep()\n--\n\nKeeps the batch past its handler, and answers it as a HeldBatch: complete what is answered, once, from any "
     "thread."},
    {"_answer", batch_take_answer, METH_O, NULL},
    {"_texts", batch_texts, METH_NOARGS, NULL},
    {"_set_strings", batch_set_strings, METH_VARARGS, NULL},
    {"_set_numbers", batch_set_numbers, METH_VARARGS, NULL},
    {"_fail", batch_fail, METH_VARARGS, NULL},
    {"_finish", batch_finish, METH_NOARGS, NULL},
    {"_complete", batch_complete, METH_NOARGS, NULL},
    {"_complete_next", batch_complete_next, METH_NOARGS, NULL},
    {"_complete_ok", batch_complete_ok, METH_NOARGS, NULL},
    {"_free", batch_free, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef batch_attributes[] = {
    {"values", batch_get_values, NULL, "The values as a list.", NULL},
    {"tags", batch_get_tags, NULL, "The tag of each value, as a memoryview of uint64.", NULL},
    {"numbers", batch_get_numbers, NULL,
     "The values of a batch of integers or floats as a memoryview of int64 or float64, read-only.", NULL},
    {"number", batch_get_number, NULL, "1, 2, 3, ... in order of dispatch.", NULL},
    {"age_ns", batch_get_age_ns, NULL, "Nanoseconds from the acceptance of its first value to its dispatch.", NULL},
    {"_kind", batch_get_kind, NULL, NULL, NULL},
    {"_trigger", batch_get_trigger, NULL, NULL, NULL},
    {"_kept", batch_get_kept, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot batch_slots[] = {
    {Py_tp_dealloc, batch_dealloc},
    {Py_tp_traverse, batch_traverse},
    {Py_tp_methods, batch_methods},
    {Py_tp_getset, batch_attributes},
    {Py_sq_length, batch_length},
    {Py_sq_item, batch_item},
    {0, NULL},
};

PyType_Spec batch_spec = {
    "microbatch._microbatch.Batch", sizeof(BatchObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION, batch_slots,
};
