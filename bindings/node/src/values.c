/* Values between JavaScript and C. JavaScript has decided the kinds and refused what has no form; here bytes are copied. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>

napi_value number_of(napi_env env, double number)
{
    napi_value made = NULL;
    napi_create_double(env, number, &made);
    return made;
}

napi_value word_of(napi_env env, const void *handle)
{
    napi_value made = NULL;
    napi_create_bigint_uint64(env, (uint64_t)(uintptr_t)handle, &made);
    return made;
}

napi_value text_of(napi_env env, const char *text, size_t length)
{
    napi_value made = NULL;
    napi_create_string_utf8(env, text, length, &made);
    return made;
}

int32_t int32_from(napi_env env, napi_value value)
{
    int32_t number = 0;
    napi_get_value_int32(env, value, &number);
    return number;
}

uint64_t word_from(napi_env env, napi_value value)
{
    int64_t number = 0;
    uint64_t word = 0;
    bool lossless;
    if (napi_get_value_int64(env, value, &number) == napi_ok) {
        return (uint64_t)number;
    }
    napi_get_value_bigint_uint64(env, value, &word, &lossless);
    return word;
}

int64_t int64_from(napi_env env, napi_value value)
{
    int64_t number = 0;
    bool lossless;
    if (napi_get_value_bigint_int64(env, value, &number, &lossless) != napi_ok) {
        napi_get_value_int64(env, value, &number);
    }
    return number;
}

bool is_undefined(napi_env env, napi_value value)
{
    napi_valuetype type = napi_undefined;
    napi_typeof(env, value, &type);
    return type == napi_undefined;
}

char *text_from(napi_env env, napi_value value, size_t *length)
{
    size_t needed = 0;
    char *text;
    napi_get_value_string_utf8(env, value, NULL, 0, &needed);
    text = malloc(needed + 1);
    if (text != NULL) {
        text[0] = '\0';
        napi_get_value_string_utf8(env, value, text, needed + 1, &needed);
        if (length != NULL) {
            *length = needed;
        }
    }
    return text;
}

napi_value typed_copy(napi_env env, napi_typedarray_type type, const void *data, size_t count, size_t width)
{
    napi_value buffer = NULL, made = NULL;
    void *memory = NULL;
    if (napi_create_arraybuffer(env, count * width, &memory, &buffer) != napi_ok) {
        return NULL;
    }
    if (count > 0) {
        memcpy(memory, data, count * width);
    }
    napi_create_typedarray(env, type, count, buffer, 0, &made);
    return made;
}

const void *typed_from(napi_env env, napi_value value, size_t *count)
{
    void *data = NULL;
    size_t length = 0;
    if (napi_get_typedarray_info(env, value, NULL, &length, &data, NULL, NULL) != napi_ok) {
        return NULL;
    }
    if (count != NULL) {
        *count = length;
    }
    /* an empty array may have no memory, and NULL would say that there is no array */
    return data == NULL ? "" : data;
}

napi_value value_to_js(napi_env env, const mb_value *value)
{
    napi_value made = NULL;
    switch (value->kind) {
    case MB_KIND_BOOL:
        napi_get_boolean(env, value->as.int64 != 0, &made);
        break;
    case MB_KIND_INT64:
        napi_create_bigint_int64(env, value->as.int64, &made);
        break;
    case MB_KIND_FLOAT64:
        napi_create_double(env, value->as.float64, &made);
        break;
    case MB_KIND_STRING:
        made = text_of(env, value->as.string.data, value->as.string.length);
        break;
    case MB_KIND_BYTES:
        made = typed_copy(env, napi_uint8_array, value->as.string.data, value->as.string.length, 1);
        break;
    case MB_KIND_OBJECT:
        napi_create_double(env, (double)value->as.object.word, &made);
        break;
    default:
        napi_get_null(env, &made);
    }
    return made;
}

/* Room for a string's bytes in *at, or, where `at` is NULL, memory of its own in *data. */
static bool text_value(napi_env env, napi_value payload, mb_value *value, char **data, char **at, size_t room)
{
    size_t length = 0;
    if (at != NULL) {
        napi_get_value_string_utf8(env, payload, *at, room, &length);
        value->as.string.data = *at;
        value->as.string.length = length;
        *at += length;
        return true;
    }
    *data = text_from(env, payload, &length);
    value->as.string.data = *data;
    value->as.string.length = length;
    return *data != NULL;
}

static bool plain_value(napi_env env, struct host *host, uint32_t kind, napi_value payload, uint64_t size, mb_value *value)
{
    bool truth = false, lossless;
    memset(value, 0, sizeof *value);
    value->kind = kind;
    switch (kind) {
    case MB_KIND_BOOL:
        napi_get_value_bool(env, payload, &truth);
        value->as.int64 = truth;
        return true;
    case MB_KIND_INT64:
        napi_get_value_bigint_int64(env, payload, &value->as.int64, &lossless);
        return true;
    case MB_KIND_FLOAT64:
        napi_get_value_double(env, payload, &value->as.float64);
        return true;
    case MB_KIND_BYTES:
        value->as.string.data = typed_from(env, payload, &value->as.string.length);
        return true;
    case MB_KIND_OBJECT:
        value->owner = host->owner;
        value->as.object.word = word_from(env, payload);
        value->as.object.size = size;
        return true;
    default:
        return kind != MB_KIND_STRING;
    }
}

bool value_from(napi_env env, struct host *host, uint32_t kind, napi_value payload, uint64_t size, mb_value *value,
                char **data)
{
    *data = NULL;
    return plain_value(env, host, kind, payload, size, value) || text_value(env, payload, value, data, NULL, 0);
}

/* `kinds` is a Uint8Array beside the array `values`. False: no memory. */
bool rows_from(napi_env env, struct host *host, napi_value values, napi_value kinds, struct rows *rows, size_t *count)
{
    const uint8_t *kind = typed_from(env, kinds, count);
    size_t bytes = 0, row;
    char *at;
    napi_value one;
    napi_handle_scope scope;
    rows->values = malloc(*count * sizeof *rows->values + 1);
    rows->data = NULL;
    if (rows->values == NULL) {
        return false;
    }
    for (row = 0; row < *count; row++) {
        if (kind[row] == MB_KIND_STRING) {
            size_t length = 0;
            napi_open_handle_scope(env, &scope);
            napi_get_element(env, values, (uint32_t)row, &one);
            napi_get_value_string_utf8(env, one, NULL, 0, &length);
            bytes += length;
            napi_close_handle_scope(env, scope);
        }
    }
    at = rows->data = malloc(bytes + 1);
    if (at == NULL) {
        free(rows->values);
        return false;
    }
    for (row = 0; row < *count; row++) {
        napi_open_handle_scope(env, &scope);
        napi_get_element(env, values, (uint32_t)row, &one);
        if (!plain_value(env, host, kind[row], one, 0, &rows->values[row])) {
            text_value(env, one, &rows->values[row], NULL, &at, (size_t)(rows->data + bytes + 1 - at));
        }
        napi_close_handle_scope(env, scope);
    }
    return true;
}

/* Values as JavaScript staged them: cells, and for strings their place in `texts`. Each string is measured, then copied. False:
   no memory. */
bool staged_from(napi_env env, struct host *host, const uint64_t *cells, const uint8_t *kinds, size_t count, napi_value texts,
                 struct rows *rows)
{
    size_t bytes = 0, row;
    char *at;
    napi_value one;
    napi_handle_scope scope;
    rows->values = calloc(count + 1, sizeof *rows->values);
    rows->data = NULL;
    if (rows->values == NULL) {
        return false;
    }
    for (row = 0; row < count; row++) {
        mb_value *value = &rows->values[row];
        value->kind = kinds[row];
        if (kinds[row] == MB_KIND_OBJECT) {
            value->owner = host->owner;
            value->as.object.word = cells[row];
        } else if (kinds[row] == MB_KIND_STRING) {
            napi_open_handle_scope(env, &scope);
            napi_get_element(env, texts, (uint32_t)cells[row], &one);
            napi_get_value_string_utf8(env, one, NULL, 0, &value->as.string.length);
            bytes += value->as.string.length;
            napi_close_handle_scope(env, scope);
        } else {
            value->as.int64 = (int64_t)cells[row];
        }
    }
    at = rows->data = malloc(bytes + 1);
    if (at == NULL) {
        free(rows->values);
        return false;
    }
    for (row = 0; row < count; row++) {
        if (kinds[row] == MB_KIND_STRING) {
            napi_open_handle_scope(env, &scope);
            napi_get_element(env, texts, (uint32_t)cells[row], &one);
            text_value(env, one, &rows->values[row], NULL, &at, (size_t)(rows->data + bytes + 1 - at));
            napi_close_handle_scope(env, scope);
        }
    }
    return true;
}

void rows_free(struct rows *rows)
{
    free(rows->values);
    free(rows->data);
}
