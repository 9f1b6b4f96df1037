/* A set of results as Python columns: copied at once, so that the set can be freed. */

#include "glue.h"

static PyObject *row_error(struct host *host, const mb_results *results, size_t row)
{
    mb_row_error error;
    mb_status status;
    error.struct_size = sizeof error;
    status = host->api->mb_results_error(results, row, &error);
    if (status != MB_OK) {
        return raise_status(status, NULL);
    }
    return Py_BuildValue("(iss#)", (int)error.code, error.type_name, error.message, (Py_ssize_t)error.length);
}

/* A pulled set gives its objects back when it is freed, which is when Python lets it go. */
static void set_free(PyObject *capsule)
{
    mb_results *results = PyCapsule_GetPointer(capsule, "microbatch.results");
    PyObject *owner = PyCapsule_GetContext(capsule);
    HOST(owner)->api->mb_results_free(results);
    host_drain(HOST(owner));
    Py_DECREF(owner);
}

static PyObject *set_of(struct host *host, mb_results *results)
{
    PyObject *capsule = PyCapsule_New(results, "microbatch.results", NULL);
    if (capsule == NULL) {
        host->api->mb_results_free(results);
        return NULL;
    }
    PyCapsule_SetContext(capsule, Py_NewRef(host->self));
    PyCapsule_SetDestructor(capsule, set_free);
    return capsule;
}

/* (batch, kind, tags, outcomes or None, handled or None, values, set): tags as bytes of uint64; values as bytes of int64 or
   float64 if all are OK and of this kind, and else as a list; a row that is not OK has (code, type name, message) there. */
PyObject *results_columns(struct host *host, const mb_results *results, bool pulled)
{
    mb_results_view view;
    PyObject *tags, *outcomes, *handled, *values;
    PyObject *set = pulled ? set_of(host, (mb_results *)(uintptr_t)results) : Py_NewRef(Py_None);
    mb_status status;
    if (set == NULL) {
        return NULL;
    }
    view.struct_size = sizeof view;
    status = host->api->mb_results_get_view(results, &view);
    if (status != MB_OK) {
        Py_DECREF(set);
        return raise_status(status, NULL);
    }
    tags = PyBytes_FromStringAndSize((const char *)view.tags, (Py_ssize_t)(view.count * sizeof *view.tags));
    outcomes = view.outcomes == NULL ? Py_NewRef(Py_None)
                                     : PyBytes_FromStringAndSize((const char *)view.outcomes, (Py_ssize_t)view.count);
    handled = view.handled == NULL ? Py_NewRef(Py_None)
                                   : PyBytes_FromStringAndSize((const char *)view.handled, (Py_ssize_t)view.count);
    if (view.kind == MB_KIND_INT64 || view.kind == MB_KIND_FLOAT64) {
        values = PyBytes_FromStringAndSize(view.values, (Py_ssize_t)(view.count * 8));
    } else {
        values = PyList_New((Py_ssize_t)view.count);
        for (size_t row = 0; values != NULL && row < view.count; row++) {
            mb_value value;
            PyObject *object;
            if (view.outcomes != NULL && view.outcomes[row] != MB_OUTCOME_OK) {
                object = row_error(host, results, row);
            } else if (host->api->mb_results_value(results, row, &value) == MB_OK) {
                object = value_make(host, &value);
            } else {
                object = raise_status(MB_ERR_INTERNAL, NULL);
            }
            if (object == NULL || PyList_SetItem(values, (Py_ssize_t)row, object) < 0) {
                Py_CLEAR(values);
            }
        }
    }
    if (tags == NULL || outcomes == NULL || handled == NULL || values == NULL) {
        Py_XDECREF(tags);
        Py_XDECREF(outcomes);
        Py_XDECREF(handled);
        Py_XDECREF(values);
        Py_DECREF(set);
        return NULL;
    }
    return Py_BuildValue("(KINNNNN)", (unsigned long long)view.batch, (unsigned int)view.kind, tags, outcomes, handled,
                         values, set);
}
