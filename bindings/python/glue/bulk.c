/* Many values in one call: from buffers in place, or from a list. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>

/* One bulk push: what is the same for all forms. */
struct bulk {
    Py_buffer tags;              /* uint64 each; or none: they count up from first. */
    unsigned long long first;
    long long deadline;
    int wait;
};

/* Pushes from one place on; answers how many were accepted. */
typedef mb_status (*push_fn)(struct host *host, const void *what, size_t from, size_t count, const uint64_t *tags,
                             uint64_t first, const mb_push_options *options, size_t *accepted);

/* Pushes, and what is left again as room comes, without the GIL: it is asked back when a slice of waiting is over, for
   signals to be looked at. Answers (accepted, status). */
static PyObject *push_all(struct host *host, push_fn push, const void *what, size_t count, struct bulk *bulk,
                          size_t *accepted)
{
    mb_push_options options;
    int64_t begun = clock_now();
    const uint64_t *tags = bulk->tags.buf;
    size_t done = 0;
    mb_status status;
    bool interrupted = false;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.deadline = bulk->deadline;
    options.if_full = host->asks;
    do {
        Py_BEGIN_ALLOW_THREADS
        for (;;) {
            int64_t left;
            size_t more = 0;
            status = push(host, what, done, count - done, tags == NULL ? NULL : tags + done, bulk->first + done, &options,
                          &more);
            done += more;
            if (status != MB_ERR_WOULD_WAIT) {
                break;
            }
            begun = more > 0 ? clock_now() : begun; /* push_timeout is a value's */
            left = bulk->wait ? remaining(host->push_timeout, begun) : 0;
            if (left == 0) {
                options.if_full = MB_IF_FULL_REFUSE;
                continue;
            }
            status = host->api->mb_batcher_room(host->batcher, left < SLICE ? left : SLICE);
            if (is_full(status)) {
                status = MB_ERR_WOULD_WAIT; /* a slice is over */
                break;
            }
            if (status != MB_OK) {
                break;
            }
        }
        Py_END_ALLOW_THREADS
        interrupted = status == MB_ERR_WOULD_WAIT && PyErr_CheckSignals() < 0;
    } while (status == MB_ERR_WOULD_WAIT && !interrupted);
    *accepted = done;
    return interrupted ? NULL : Py_BuildValue("ni", (Py_ssize_t)done, (int)status);
}

struct cells {
    const void *values;
    const uint8_t *validity;
    int floats;
};

static mb_status push_cells(struct host *host, const void *what, size_t from, size_t count, const uint64_t *tags,
                            uint64_t first, const mb_push_options *options, size_t *accepted)
{
    const struct cells *cells = what;
    uint8_t *shifted = NULL;
    const uint8_t *validity = cells->validity;
    mb_status status;
    if (validity != NULL && from > 0) {
        if (from % 8 == 0) {
            validity += from / 8;
        } else {
            shifted = calloc(count / 8 + 1, 1);
            if (shifted == NULL) {
                return MB_ERR_NO_MEMORY;
            }
            for (size_t at = 0; at < count; at++) {
                shifted[at / 8] |= (uint8_t)((validity[(from + at) / 8] >> (from + at) % 8 & 1) << at % 8);
            }
            validity = shifted;
        }
    }
    if (cells->floats) {
        status = host->api->mb_batcher_push_float64s(host->batcher, (const double *)cells->values + from, validity,
                                                     count, tags, first, options, accepted);
    } else {
        status = host->api->mb_batcher_push_int64s(host->batcher, (const int64_t *)cells->values + from, validity,
                                                   count, tags, first, options, accepted);
    }
    free(shifted);
    return status;
}

/* claim_tags(): whoever pushes has tags from REPLY_TAGS on */
PyObject *host_claim_tags(PyObject *self, PyObject *ignored)
{
    struct host *host = HOST(self);
    (void)ignored;
    if (host->submits) {
        return raise_status(MB_ERR_INVALID_ARGUMENT, "tags are below 2**63 in a batcher that submit is used with");
    }
    host->high_tags = true;
    Py_RETURN_NONE;
}

static PyObject *wrong_tags(void)
{
    return raise_status(MB_ERR_INVALID_ARGUMENT, "there must be one tag for each value");
}

/* push_numbers(cells, floats, validity or None, tags or None, first tag, deadline, wait) -> (accepted, status) */
PyObject *host_push_numbers(PyObject *self, PyObject *args)
{
    struct host *host = HOST(self);
    Py_buffer cells, validity;
    struct cells what;
    struct bulk bulk;
    size_t count, accepted;
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*pz*z*KLp", &cells, &what.floats, &validity, &bulk.tags, &bulk.first, &bulk.deadline,
                          &bulk.wait)) {
        return NULL;
    }
    count = (size_t)cells.len / 8;
    what.values = cells.buf;
    what.validity = validity.buf;
    if (bulk.tags.buf != NULL && (size_t)bulk.tags.len / 8 != count) {
        wrong_tags();
    } else if (host_enter(host)) {
        answer = push_all(host, push_cells, &what, count, &bulk, &accepted);
        host_leave(host);
    }
    PyBuffer_Release(&cells);
    PyBuffer_Release(&validity);
    PyBuffer_Release(&bulk.tags);
    return answer;
}

static mb_status push_mixed(struct host *host, const void *what, size_t from, size_t count, const uint64_t *tags,
                            uint64_t first, const mb_push_options *options, size_t *accepted)
{
    return host->api->mb_batcher_push_values(host->batcher, (const mb_value *)what + from, count, tags, first, options,
                                             accepted);
}

/* Reads a list as values up to the first that is none; its place is *count then, and *status says why. */
mb_value *read_list(struct host *host, PyObject *list, size_t *count, PyObject **keeps, mb_status *status)
{
    size_t length = (size_t)PyList_Size(list);
    mb_value *values = malloc((length + 1) * sizeof *values);
    *keeps = PyList_New(0);
    *status = MB_OK;
    *count = 0;
    if (values == NULL || *keeps == NULL) {
        free(values);
        Py_CLEAR(*keeps);
        PyErr_NoMemory();
        return NULL;
    }
    for (; *count < length; ++*count) {
        PyObject *keep;
        *status = value_read(host, PyList_GetItem(list, (Py_ssize_t)*count), &values[*count], &keep);
        if (*status != MB_OK) {
            break;
        }
        if (keep != NULL && PyList_Append(*keeps, keep) < 0) {
            *status = NOT_TAKEN;
            Py_DECREF(keep);
            break;
        }
        Py_XDECREF(keep);
    }
    return values;
}

bool list_alike(PyObject *list, size_t count, struct alike *to)
{
    PyObject *first = count == 0 ? NULL : PyList_GetItem(list, 0);
    int64_t *cells;
    double *numbers;
    size_t at;
    to->floats = first != NULL && PyFloat_CheckExact(first);
    if (first == NULL || (!to->floats && !PyLong_CheckExact(first)) || (cells = malloc(count * sizeof *cells)) == NULL) {
        return false;
    }
    numbers = (double *)cells;
    for (at = 0; at < count; at++) {
        PyObject *object = PyList_GetItem(list, (Py_ssize_t)at);
        if (to->floats) {
            if (!PyFloat_CheckExact(object)) {
                break;
            }
            numbers[at] = PyFloat_AsDouble(object);
        } else {
            int overflow;
            if (!PyLong_CheckExact(object)) {
                break;
            }
            cells[at] = PyLong_AsLongLongAndOverflow(object, &overflow);
            if (overflow) {
                break;
            }
        }
    }
    if (at < count) {
        free(cells);
        return false;
    }
    to->cells = cells;
    return true;
}

/* push_values(list, tags or None, first tag, deadline, wait) -> (accepted, status). Values before one that cannot be read
   are pushed, and the status is that one's. */
PyObject *host_push_values(PyObject *self, PyObject *args)
{
    struct host *host = HOST(self);
    PyObject *given, *list, *keeps, *answer = NULL;
    struct bulk bulk;
    mb_value *values;
    size_t count, accepted = 0;
    mb_status status;
    if (!PyArg_ParseTuple(args, "O!z*KLp", &PyList_Type, &given, &bulk.tags, &bulk.first, &bulk.deadline, &bulk.wait)) {
        return NULL;
    }
    if (bulk.tags.buf != NULL && bulk.tags.len / 8 != PyList_Size(given)) {
        PyBuffer_Release(&bulk.tags);
        return wrong_tags();
    }
    {
        struct cells what = {NULL, NULL, 0};
        struct alike alike;
        count = (size_t)PyList_Size(given);
        if (list_alike(given, count, &alike)) {
            what.values = alike.cells;
            what.floats = alike.floats;
            if (host_enter(host)) {
                answer = push_all(host, push_cells, &what, count, &bulk, &accepted);
                host_leave(host);
            }
            free(alike.cells);
            PyBuffer_Release(&bulk.tags);
            return answer;
        }
    }
    /* strings are borrowed from the list while the GIL is free: it must not change */
    list = PyList_GetSlice(given, 0, PyList_Size(given));
    if (list == NULL || !host_enter(host)) {
        Py_XDECREF(list);
        PyBuffer_Release(&bulk.tags);
        return NULL;
    }
    values = read_list(host, list, &count, &keeps, &status);
    if (values != NULL && status != NOT_TAKEN) {
        answer = push_all(host, push_mixed, values, count, &bulk, &accepted);
        if (answer != NULL && accepted == count && status != MB_OK) {
            Py_DECREF(answer);
            answer = Py_BuildValue("ni", (Py_ssize_t)count, (int)status);
        }
    }
    if (values != NULL) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        for (size_t at = accepted; at < count; at++) {
            value_forget(host, &values[at]);
        }
        PyErr_Restore(type, value, traceback);
        Py_XDECREF(keeps);
    }
    free(values);
    Py_DECREF(list);
    PyBuffer_Release(&bulk.tags);
    host_leave(host);
    return answer;
}

struct strings {
    const void *data;
    const void *offsets;
    int large;
    const uint8_t *validity;
};

static mb_status push_texts(struct host *host, const void *what, size_t from, size_t count, const uint64_t *tags,
                            uint64_t first, const mb_push_options *options, size_t *accepted)
{
    const struct strings *strings = what;
    uint8_t *shifted = NULL;
    mb_status status;
    if (strings->validity != NULL) {
        shifted = calloc(count / 8 + 1, 1);
        if (shifted == NULL) {
            return MB_ERR_NO_MEMORY;
        }
        for (size_t at = 0; at < count; at++) {
            shifted[at / 8] |= (uint8_t)((strings->validity[(from + at) / 8] >> (from + at) % 8 & 1) << at % 8);
        }
    }
    if (strings->large) {
        status = host->api->mb_batcher_push_large_strings(host->batcher, strings->data,
                                                          (const int64_t *)strings->offsets + from, shifted, count,
                                                          tags, first, options, accepted);
    } else {
        status = host->api->mb_batcher_push_strings(host->batcher, strings->data,
                                                    (const int32_t *)strings->offsets + from, shifted, count, tags,
                                                    first, options, accepted);
    }
    free(shifted);
    return status;
}

/* push_strings(data, offsets, large, validity or None, tags or None, first tag, deadline, wait) -> (accepted, status) */
PyObject *host_push_strings(PyObject *self, PyObject *args)
{
    struct host *host = HOST(self);
    Py_buffer data, offsets, validity;
    struct strings what;
    struct bulk bulk;
    size_t count, accepted;
    PyObject *answer = NULL;
    if (!PyArg_ParseTuple(args, "y*y*pz*z*KLp", &data, &offsets, &what.large, &validity, &bulk.tags, &bulk.first,
                          &bulk.deadline, &bulk.wait)) {
        return NULL;
    }
    count = (size_t)offsets.len / (what.large ? 8 : 4);
    count -= count > 0;
    what.data = data.buf;
    what.offsets = offsets.buf;
    what.validity = validity.buf;
    if (bulk.tags.buf != NULL && (size_t)bulk.tags.len / 8 != count) {
        wrong_tags();
    } else if (host_enter(host)) {
        answer = push_all(host, push_texts, &what, count, &bulk, &accepted);
        host_leave(host);
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&validity);
    PyBuffer_Release(&bulk.tags);
    return answer;
}
