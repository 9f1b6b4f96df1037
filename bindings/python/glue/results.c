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

/* One result; of a row that is not OK (code, type name, message). */
static PyObject *row_value(struct host *host, const mb_results *results, const mb_results_view *view, size_t row)
{
    mb_value value;
    if (view->outcomes != NULL && view->outcomes[row] != MB_OUTCOME_OK) {
        return row_error(host, results, row);
    }
    return host->api->mb_results_value(results, row, &value) == MB_OK ? value_make(host, &value)
                                                                      : raise_status(MB_ERR_INTERNAL, NULL);
}

/* The results of a set as a list. */
static PyObject *list_values(struct host *host, const mb_results *results, const mb_results_view *view)
{
    PyObject *values = PyList_New((Py_ssize_t)view->count);
    for (size_t row = 0; values != NULL && row < view->count; row++) {
        PyObject *object = row_value(host, results, view, row);
        if (object == NULL || PyList_SetItem(values, (Py_ssize_t)row, object) < 0) {
            Py_CLEAR(values);
        }
    }
    return values;
}

static const mb_results *results_of(PyObject *set, struct host **host, mb_results_view *view)
{
    const mb_results *results = PyCapsule_GetPointer(set, "microbatch.results");
    mb_status status;
    if (results == NULL) {
        return NULL;
    }
    *host = HOST((PyObject *)PyCapsule_GetContext(set));
    view->struct_size = sizeof *view;
    status = (*host)->api->mb_results_get_view(results, view);
    if (status != MB_OK) {
        raise_status(status, NULL);
        return NULL;
    }
    return results;
}

/* set_values(set) -> list of a pulled set, made when it is asked for */
PyObject *set_values(PyObject *module, PyObject *set)
{
    struct host *host;
    mb_results_view view;
    const mb_results *results = results_of(set, &host, &view);
    (void)module;
    return results == NULL ? NULL : list_values(host, results, &view);
}

/* set_texts(set) -> (int32 offsets, bytes) of a pulled set of strings alone or of bytes alone, in place */
PyObject *set_texts(PyObject *module, PyObject *set)
{
    struct host *host;
    mb_results_view view;
    mb_column texts;
    const mb_results *results = results_of(set, &host, &view);
    mb_status status;
    (void)module;
    if (results == NULL) {
        return NULL;
    }
    texts.struct_size = sizeof texts;
    status = host->api->mb_results_strings(results, &texts);
    return status != MB_OK ? raise_status(status, NULL)
                           : Py_BuildValue("NN", buffer_of(texts.offsets, (texts.count + 1) * 4, 'B', set),
                                           buffer_of(texts.bytes == NULL ? (const void *)"" : texts.bytes,
                                                     (size_t)texts.offsets[texts.count], 'B', set));
}

/* Of a pulled set a buffer that keeps the set, of a borrowed one a copy. */
static PyObject *column_of(PyObject *set, const void *data, size_t rows, char format)
{
    return set == Py_None ? buffer_copy(data, rows, format) : buffer_of(data, rows, format, set);
}

/* (batch, kind, tags, outcomes or None, handled or None, values, set): tags as a buffer of uint64; values as one of int64 or
   float64 if all are OK and of this kind; else None for a pulled set, which is read when it is asked for, and a list for a
   borrowed one. */
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
    tags = column_of(set, view.tags, view.count, 'Q');
    outcomes = view.outcomes == NULL ? Py_NewRef(Py_None)
                                     : PyBytes_FromStringAndSize((const char *)view.outcomes, (Py_ssize_t)view.count);
    handled = view.handled == NULL ? Py_NewRef(Py_None)
                                   : PyBytes_FromStringAndSize((const char *)view.handled, (Py_ssize_t)view.count);
    if (view.kind == MB_KIND_INT64 || view.kind == MB_KIND_FLOAT64) {
        values = column_of(set, view.values, view.count, view.kind == MB_KIND_INT64 ? 'q' : 'd');
    } else {
        values = pulled ? Py_NewRef(Py_None) : list_values(host, results, &view);
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

/* The same of the rows that are no replies', as copies. */
static PyObject *results_of_others(struct host *host, const mb_results *results, size_t others)
{
    mb_results_view view;
    PyObject *tags = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(8 * others)), *values = PyList_New(0);
    PyObject *outcomes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)others), *handled = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)others);
    PyObject *buffer, *answer = NULL;
    size_t to = 0;
    bool failed = false;
    view.struct_size = sizeof view;
    if (tags != NULL && values != NULL && outcomes != NULL && handled != NULL
        && host->api->mb_results_get_view(results, &view) == MB_OK) {
        for (size_t row = 0; row < view.count && to < others; row++) {
            PyObject *value;
            if (view.tags[row] >= REPLY_TAGS) {
                continue;
            }
            value = row_value(host, results, &view, row);
            if (value == NULL || PyList_Append(values, value) < 0) {
                Py_XDECREF(value);
                break;
            }
            Py_DECREF(value);
            ((uint64_t *)(void *)PyBytes_AsString(tags))[to] = view.tags[row];
            PyBytes_AsString(outcomes)[to] = (char)(view.outcomes == NULL ? MB_OUTCOME_OK : view.outcomes[row]);
            PyBytes_AsString(handled)[to] = (char)(view.handled == NULL ? MB_HANDLED_YES : view.handled[row]);
            failed |= view.outcomes != NULL && view.outcomes[row] != MB_OUTCOME_OK;
            to++;
        }
        buffer = to < others ? NULL : buffer_of(PyBytes_AsString(tags), others, 'Q', tags);
        if (buffer != NULL) {
            answer = Py_BuildValue("(KINOOOO)", (unsigned long long)view.batch,
                                   (unsigned int)(view.kind < MB_KINDS ? view.kind : MB_KIND_MIXED), buffer,
                                   failed ? outcomes : Py_None, failed ? handled : Py_None, values, Py_None);
        }
    }
    if (answer == NULL && PyErr_Occurred() == NULL) {
        raise_status(MB_ERR_INTERNAL, NULL);
    }
    Py_XDECREF(tags);
    Py_XDECREF(values);
    Py_XDECREF(outcomes);
    Py_XDECREF(handled);
    return answer;
}

/* Columns for on_result, of a set whose replies are answered; `others` rows are no replies'. Takes a pulled set. */
PyObject *results_for_others(struct host *host, const mb_results *results, size_t others, size_t count, bool pulled)
{
    PyObject *columns;
    if (others == count) {
        return results_columns(host, results, pulled);
    }
    columns = results_of_others(host, results, others);
    if (pulled) {
        host->api->mb_results_free((mb_results *)(uintptr_t)results);
    }
    return columns;
}
