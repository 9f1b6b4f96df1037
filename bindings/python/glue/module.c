/* The module: its tables, its types, its errors. */

#include "glue.h"

PyObject *make_error;
PyObject *make_row_error;
PyObject *foreign_class;
PyObject *batch_class;
PyObject *held_class;
PyObject *results_class;
PyObject *set_column;
PyObject *tell_failure;
PyTypeObject *host_type;
PyTypeObject *batch_type;
PyTypeObject *pusher_type;

PyObject *raise_status(mb_status status, const char *message)
{
    PyObject *error = PyObject_CallFunction(make_error, "is", (int)status, message);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

PyObject *raise_error(const mb_api *api, mb_status status, mb_error *error)
{
    const char *message = api->mb_error_message(error);
    raise_status(status, message[0] == '\0' ? NULL : message);
    api->mb_error_free(error);
    return NULL;
}

bool is_full(mb_status status)
{
    return status == MB_ERR_QUEUE_FULL || status == MB_ERR_QUEUE_FULL_BYTES || status == MB_ERR_RESULTS_FULL;
}

bool is_error(mb_status status)
{
    PyObject *type, *value, *traceback, *code;
    long number;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    code = value == NULL ? NULL : PyObject_GetAttrString(value, "code");
    number = code == NULL ? 0 : PyLong_AsLong(code);
    Py_XDECREF(code);
    PyErr_Clear();
    PyErr_Restore(type, value, traceback);
    return number == status;
}

/* What the glue uses of the package. */
static const struct {
    const char *name;
    PyObject **place;
} USED[] = {
    {"make", &make_error},         {"of_row", &make_row_error},    {"ForeignObject", &foreign_class},
    {"Batch", &batch_class},       {"HeldBatch", &held_class},     {"Results", &results_class},
    {"set_column", &set_column},   {"tell_failure", &tell_failure},
};

/* setup(name=...) */
static PyObject *setup(PyObject *module, PyObject *args, PyObject *given)
{
    (void)module;
    (void)args;
    for (size_t at = 0; given != NULL && at < sizeof USED / sizeof *USED; at++) {
        PyObject *value = PyDict_GetItemString(given, USED[at].name);
        if (value != NULL && *USED[at].place == NULL) {
            *USED[at].place = Py_NewRef(value);
        }
    }
    Py_RETURN_NONE;
}

/* [(code, retriable, name, text)] */
static PyObject *status_table(PyObject *module, PyObject *ignored)
{
    const mb_status_info *table;
    size_t count = 0;
    PyObject *list = PyList_New(0);
    (void)module;
    (void)ignored;
    mb_api_table()->mb_status_table(&table, &count);
    for (size_t at = 0; list != NULL && at < count; at++) {
        PyObject *row = Py_BuildValue("iiss", (int)table[at].code, (int)table[at].retriable, table[at].name,
                                      table[at].text);
        if (row == NULL || PyList_Append(list, row) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(row);
    }
    return list;
}

/* [(name, type, unit, default, choices, doc, minimum, maximum, default value in Python)] */
static PyObject *option_table(PyObject *module, PyObject *ignored)
{
    const mb_option_info *table;
    size_t count = 0;
    PyObject *list = PyList_New(0);
    (void)module;
    (void)ignored;
    mb_api_table()->mb_option_table(&table, &count);
    for (size_t at = 0; list != NULL && at < count; at++) {
        const mb_option_info *info = &table[at];
        PyObject *row = Py_BuildValue("ssssssLLL", info->name, info->type_name, info->unit, info->default_text,
                                      info->choices, info->doc, (long long)info->minimum, (long long)info->maximum,
                                      (long long)info->managed_default);
        if (row == NULL || PyList_Append(list, row) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(row);
    }
    return list;
}

/* names() -> (kinds, triggers from 1 on, outcomes, handled) as the library names them */
static PyObject *names(PyObject *module, PyObject *ignored)
{
    const mb_api *api = mb_api_table();
    PyObject *kinds = PyList_New(0), *triggers = PyList_New(0), *outcomes = PyList_New(0), *handled = PyList_New(0);
    (void)module;
    (void)ignored;
#define FILL(list, function, from, to)                                              \
    for (uint32_t at = from; at <= to; at++) {                                      \
        PyObject *name = PyUnicode_FromString(api->function(at));                   \
        if (name != NULL && list != NULL) {                                         \
            PyList_Append(list, name);                                              \
        }                                                                           \
        Py_XDECREF(name);                                                           \
    }
    FILL(kinds, mb_kind_name, 0, MB_KINDS - 1)
    FILL(triggers, mb_trigger_name, MB_TRIGGER_SIZE, MB_TRIGGER_CLOSE)
    FILL(outcomes, mb_outcome_name, MB_OUTCOME_OK, MB_OUTCOME_DISCARDED)
    FILL(handled, mb_handled_name, MB_HANDLED_NO, MB_HANDLED_YES)
    return Py_BuildValue("NNNN", kinds, triggers, outcomes, handled);
}

/* unraisable(exception, what): told by sys.unraisablehook */
static PyObject *unraisable(PyObject *module, PyObject *args)
{
    PyObject *failure, *what;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &failure, &what)) {
        return NULL;
    }
    PyErr_SetObject((PyObject *)Py_TYPE(failure), failure);
    PyErr_WriteUnraisable(what);
    Py_RETURN_NONE;
}

/* duration(text) -> nanoseconds, read as in options */
static PyObject *duration(PyObject *module, PyObject *text)
{
    const char *given = PyUnicode_AsUTF8AndSize(text, NULL);
    mb_error *error = NULL;
    int64_t ns = 0;
    mb_status status;
    (void)module;
    if (given == NULL) {
        return NULL;
    }
    status = mb_api_table()->mb_duration_parse(given, &ns, &error);
    return status == MB_OK ? PyLong_FromLongLong(ns) : raise_error(mb_api_table(), status, error);
}

/* forked(): in the child */
static PyObject *forked(PyObject *module, PyObject *ignored)
{
    (void)module;
    (void)ignored;
    forks++;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"set_values", set_values, METH_O, NULL},
    {"set_texts", set_texts, METH_O, NULL},
    {"widen", widen, METH_VARARGS, NULL},
    {"views", views, METH_VARARGS, NULL},
    {"forked", forked, METH_NOARGS, NULL},
    {"wake", wake, METH_O, NULL},
    {"producer", producer_new, METH_O, NULL},
    {"duration", duration, METH_O, NULL},
    {"unsigned", unsigned_of, METH_VARARGS, NULL},
    {"unraisable", unraisable, METH_VARARGS, NULL},
    {"setup", (PyCFunction)(void (*)(void))setup, METH_VARARGS | METH_KEYWORDS, NULL},
    {"status_table", status_table, METH_NOARGS, NULL},
    {"option_table", option_table, METH_NOARGS, NULL},
    {"names", names, METH_NOARGS, NULL},
    {"map_numbers", map_numbers, METH_VARARGS, NULL},
    {"map_values", map_values, METH_VARARGS, NULL},
    {"map_strings", map_strings, METH_VARARGS, NULL},
    {"arrow_array", arrow_array, METH_O, NULL},
    {"arrow_stream", arrow_stream, METH_O, NULL},
    {"arrow_export", arrow_export, METH_VARARGS, NULL},
    {"arrow_export_stream", arrow_export_stream, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int exec(PyObject *module)
{
    if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
        PyErr_SetString(PyExc_ImportError, "microbatch works in the main interpreter only: handlers enter Python by "
                                           "PyGILState, which does not know sub-interpreters");
        return -1;
    }
    struct {
        PyTypeObject **type;
        PyType_Spec *spec;
    } types[] = {{&host_type, &host_spec},     {&batch_type, &batch_spec}, {&buffer_type, &buffer_spec},
                 {&pusher_type, &pusher_spec}, {&reply_type, &reply_spec}, {&producer_type, &producer_spec}};
    for (size_t at = 0; at < sizeof types / sizeof *types; at++) {
        if (*types[at].type == NULL) {
            *types[at].type = (PyTypeObject *)PyType_FromSpec(types[at].spec);
        }
        if (*types[at].type == NULL || PyModule_AddType(module, *types[at].type) < 0) {
            return -1;
        }
    }
    return PyModule_AddStringConstant(module, "version", mb_api_table()->mb_version_string()) < 0 || !reply_setup(module)
             ? -1
             : 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)exec},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "microbatch._microbatch", NULL, 0, methods, slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__microbatch(void);

PyMODINIT_FUNC PyInit__microbatch(void)
{
    return PyModuleDef_Init(&definition);
}
