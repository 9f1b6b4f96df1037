/* Options by name, and what they come to. */

#include "glue.h"

#include <string.h>

/* The number that an option comes to. */
int64_t option_value(const mb_api *api, const mb_options *options, const char *name)
{
    const mb_option_info *table;
    size_t count = 0;
    api->mb_option_table(&table, &count);
    for (size_t at = 0; at < count; at++) {
        if (strcmp(table[at].name, name) == 0) {
            const char *field = (const char *)options + table[at].offset;
            int64_t wide = 0;
            uint32_t narrow = 0;
            memcpy(table[at].width == 4 ? (void *)&narrow : (void *)&wide, field, table[at].width);
            wide = table[at].width == 4 ? narrow : wide;
            return wide == 0 ? table[at].default_value : wide;
        }
    }
    return 0;
}

bool options_set(const mb_api *api, mb_options *options, PyObject *pairs)
{
    mb_status status = api->mb_options_init(options, sizeof *options);
    if (status != MB_OK) {
        raise_status(status, NULL);
        return false;
    }
    for (Py_ssize_t at = 0, count = PyList_Size(pairs); at < count; at++) {
        const char *name, *text;
        mb_error *error = NULL;
        if (!PyArg_ParseTuple(PyList_GetItem(pairs, at), "ss", &name, &text)) {
            return false;
        }
        status = api->mb_options_set(options, name, text, &error);
        if (status != MB_OK) {
            raise_error(api, status, error);
            return false;
        }
    }
    return PyErr_Occurred() == NULL;
}
