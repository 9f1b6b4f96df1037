/* Known data: map, without a batcher. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>

/* A host for one map: an owner of its own and no batcher. what: its Work, and a dict that takes what is thrown, by tag. */
static struct host *map_host(PyObject *what)
{
    struct host *host;
    PyObject *work, *thrown;
    if (!PyArg_ParseTuple(what, "OO", &work, &thrown)) {
        return NULL;
    }
    host = host_new(mb_api_table());
    if (host != NULL) {
        host->map = host->manual = true;
        host->thrown = Py_NewRef(thrown);
        host->api->mb_owner_new(&host->owner);
        if (!work_read(&host->map_work, work)) {
            host_unhold(host);
            return NULL;
        }
    }
    return host;
}

static void map_free(struct host *host)
{
    host->map = false;
    host_drain(host);
    Py_CLEAR(host->map_work.function);
    Py_CLEAR(host->thrown);
    Py_CLEAR(host->interrupt);
    host_unhold(host);
}

static PyObject *map_done(struct host *host, mb_status status, mb_results *results, mb_error *error)
{
    PyObject *columns = NULL;
    if (status != MB_OK) {
        raise_error(host->api, status, error);
    } else {
        columns = results_columns(host, results, false);
        host->api->mb_results_free(results);
    }
    if (host->interrupt != NULL) {
        Py_CLEAR(columns);
        PyErr_SetObject((PyObject *)Py_TYPE(host->interrupt), host->interrupt);
    }
    map_free(host);
    return columns;
}

/* map_numbers((work, thrown), cells, floats, validity or None, size, batches) -> columns */
PyObject *map_numbers(PyObject *module, PyObject *args)
{
    PyObject *what;
    Py_buffer cells, validity;
    int floats;
    unsigned long long size, batches;
    mb_map_options options;
    mb_results *results = NULL;
    mb_error *error = NULL;
    mb_status status;
    struct host *host;
    (void)module;
    if (!PyArg_ParseTuple(args, "Oy*pz*KK", &what, &cells, &floats, &validity, &size, &batches)) {
        return NULL;
    }
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.max_batch_size = size;
    options.batches = batches;
    host = map_host(what);
    if (host != NULL) {
        status = floats ? host->api->mb_map_float64s(cells.buf, validity.buf, (size_t)cells.len / 8, &options, handle,
                                                     host, &results, &error)
                        : host->api->mb_map_int64s(cells.buf, validity.buf, (size_t)cells.len / 8, &options, handle,
                                                   host, &results, &error);
    }
    PyBuffer_Release(&cells);
    PyBuffer_Release(&validity);
    return host == NULL ? NULL : map_done(host, status, results, error);
}

/* map_strings((work, thrown), data, int32 offsets, validity or None, size, batches) -> columns */
PyObject *map_strings(PyObject *module, PyObject *args)
{
    PyObject *what;
    Py_buffer data, offsets, validity;
    unsigned long long size, batches;
    mb_map_options options;
    mb_results *results = NULL;
    mb_error *error = NULL;
    mb_status status = MB_OK;
    struct host *host;
    (void)module;
    if (!PyArg_ParseTuple(args, "Oy*y*z*KK", &what, &data, &offsets, &validity, &size, &batches)) {
        return NULL;
    }
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.max_batch_size = size;
    options.batches = batches;
    host = map_host(what);
    if (host != NULL) {
        status = host->api->mb_map_strings(data.buf, offsets.buf, validity.buf, (size_t)offsets.len / 4 - 1, &options,
                                           handle, host, &results, &error);
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&validity);
    return host == NULL ? NULL : map_done(host, status, results, error);
}

/* map_values((work, thrown), list, size, batches) -> columns */
PyObject *map_values(PyObject *module, PyObject *args)
{
    PyObject *what, *given, *list, *keeps = NULL;
    unsigned long long size, batches;
    mb_map_options options;
    mb_results *results = NULL;
    mb_error *error = NULL;
    mb_value *values;
    mb_status status;
    size_t count;
    struct host *host;
    PyObject *answer = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO!KK", &what, &PyList_Type, &given, &size, &batches)) {
        return NULL;
    }
    list = PyList_GetSlice(given, 0, PyList_Size(given));
    host = list == NULL ? NULL : map_host(what);
    if (host == NULL) {
        Py_XDECREF(list);
        return NULL;
    }
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.max_batch_size = size;
    options.batches = batches;
    options.owner = host->owner;
    values = read_list(host, list, &count, &keeps, &status);
    if (values == NULL || status != MB_OK) {
        if (values != NULL) {
            value_refused(host, status, PyList_GetItem(list, (Py_ssize_t)count), NULL);
        }
        map_free(host);
    } else {
        status = host->api->mb_map_values(values, count, &options, handle, host, &results,
                                          &error);
        answer = map_done(host, status, results, error);
    }
    free(values);
    Py_XDECREF(keeps);
    Py_DECREF(list);
    return answer;
}
