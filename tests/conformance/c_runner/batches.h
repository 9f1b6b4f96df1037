/* What is done with a batch: actions on one in a handler or held, and how held ones end. */
#ifndef CONFORMANCE_BATCHES_H
#define CONFORMANCE_BATCHES_H

#include "trace.h"

static mb_status set(mb_batch *batch, size_t row, const mb_value *value)
{
    switch (value->kind) {
    case MB_KIND_NULL: return mb_batch_set_null(batch, row);
    case MB_KIND_BOOL: return mb_batch_set_bool(batch, row, (int32_t)value->as.int64);
    case MB_KIND_INT64: return mb_batch_set_int64(batch, row, value->as.int64);
    case MB_KIND_FLOAT64: return mb_batch_set_float64(batch, row, value->as.float64);
    case MB_KIND_STRING: return mb_batch_set_string(batch, row, value->as.string.data, value->as.string.length);
    case MB_KIND_BYTES: return mb_batch_set_bytes(batch, row, value->as.string.data, value->as.string.length);
    default: return mb_batch_set_value(batch, row, value);
    }
}

static mb_status act(mb_batch *batch, char **words)
{
    mb_status status = MB_OK;
    if (strcmp(words[0], "echo") == 0 || strcmp(words[0], "double") == 0) {
        mb_batch_view view;
        memset(&view, 0, sizeof view);
        view.struct_size = sizeof view;
        status = mb_batch_get_view(batch, &view); /* leaves the count at 0 if there is no such batch */
        for (size_t row = 0; row < view.count; row++) {
            mb_value value;
            mb_status answer = mb_batch_value(batch, row, &value);
            if (*words[0] == 'd' && value.kind == MB_KIND_INT64) value.as.int64 = (int64_t)(2 * (uint64_t)value.as.int64);
            if (answer == MB_OK) answer = mb_batch_set_value(batch, row, &value);
            if (answer != MB_OK) status = answer;
        }
    } else if (strcmp(words[0], "set") == 0) {
        mb_value value = parse(words[2]);
        status = set(batch, (size_t)atoi(words[1]), &value);
    } else if (strcmp(words[0], "set_int64s") == 0) {
        int64_t values[WORDS];
        int count = atoi(words[1]);
        for (int i = 0; i < count; i++) values[i] = atoi(words[2]) + i;
        status = mb_batch_set_int64s(batch, values, NULL, (size_t)count);
    } else if (strcmp(words[0], "fail") == 0 || strcmp(words[0], "fail_all") == 0) {
        char **reason = words + (strcmp(words[0], "fail") == 0 ? 2 : 1);
        size_t type_length, length;
        const char *type = unescape_or_dash(reason[1], &type_length), *message = unescape_or_dash(reason[2], &length);
        if (type_length == 0) type = NULL;
        if (reason == words + 1) status = mb_batch_fail_all(batch, atoi(reason[0]), type, message, length);
        else status = mb_batch_fail(batch, (size_t)atoi(words[1]), atoi(reason[0]), type, message, length);
    } else {
        die("no action", words[0]);
    }
    return status;
}

static mb_status on_held(int at, char **words)
{
    if (at >= held_count) return MB_ERR_INVALID_HANDLE;
    if (strcmp(words[0], "complete") == 0) { consumed[at] = 1; return mb_batch_complete(held[at]); }
    if (strcmp(words[0], "complete_ok") == 0) { consumed[at] = 1; return mb_batch_complete_ok(held[at]); }
    if (strcmp(words[0], "free") == 0) { consumed[at] = 1; return mb_batch_free(held[at]); }
    if (strcmp(words[0], "keep") == 0) return mb_batch_keep(held[at]);
    if (strcmp(words[0], "complete_next") == 0) {
        mb_results *results = NULL;
        mb_status status = mb_batch_complete_next(held[at], &results);
        consumed[at] = 1;
        if (results != NULL) {
            depth++;
            show_results(results, 0);
            depth--;
            mb_results_free(results);
        }
        return status;
    }
    return act(held[at], words);
}

#endif
