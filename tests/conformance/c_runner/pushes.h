/* Pushes one by one and in bulk, and map, which takes its values as bulk pushes do. */
#ifndef CONFORMANCE_PUSHES_H
#define CONFORMANCE_PUSHES_H

#include "callbacks.h"

static const mb_push_options *push_options(char **words, int count, char *data, size_t length)
{
    static mb_push_options options;
    const char *deadline = option(words, count, "deadline="), *id = option(words, count, "owned=");
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    if (deadline) options.deadline = strtoll(deadline, NULL, 10);
    if (id) {
        struct owned push = { atoi(id), data, length };
        owned[owned_count] = push;
        options.release = on_owned;
        options.release_data = &owned[owned_count++];
    }
    return deadline || id ? &options : NULL;
}

#define PUSH_TYPED(to, value, tag) \
    switch ((value)->kind) { \
    case MB_KIND_NULL: return mb_##to##_push_null(to, tag); \
    case MB_KIND_BOOL: return mb_##to##_push_bool(to, (int32_t)(value)->as.int64, tag); \
    case MB_KIND_INT64: return mb_##to##_push_int64(to, (value)->as.int64, tag); \
    case MB_KIND_FLOAT64: return mb_##to##_push_float64(to, (value)->as.float64, tag); \
    case MB_KIND_STRING: return mb_##to##_push_string(to, (value)->as.string.data, (value)->as.string.length, tag); \
    case MB_KIND_BYTES: return mb_##to##_push_bytes(to, (value)->as.string.data, (value)->as.string.length, tag); \
    default: return mb_##to##_push_object(to, (value)->owner, (value)->as.object.word, (value)->as.object.size, tag); \
    }

static mb_status push_typed(const mb_value *value, uint64_t tag) { PUSH_TYPED(batcher, value, tag) }

static mb_status push_through_producer(const mb_value *value, uint64_t tag) { PUSH_TYPED(producer, value, tag) }

static mb_status push(char **words, int count)
{
    mb_value value = parse(words[1]);
    uint64_t tag = strtoull(words[2], NULL, 10);
    int has_bytes = value.kind == MB_KIND_STRING || value.kind == MB_KIND_BYTES;
    char *data = has_bytes ? (char *)value.as.string.data : NULL;
    size_t length = has_bytes ? value.as.string.length : 0;
    const mb_push_options *options = push_options(words, count, data, length);
    mb_status status;
    if (options && producer) status = mb_producer_push_value(producer, &value, tag, options);
    else if (options) status = mb_batcher_push_value(batcher, &value, tag, options);
    else status = producer ? push_through_producer(&value, tag) : push_typed(&value, tag);
    if (has_bytes && (options == NULL || options->release == NULL)) memset(data, '#', length);
    return status;
}

/* Values as the bulk calls and map take them. */
struct columns {
    size_t count;
    mb_value values[WORDS];
    int64_t int64s[WORDS];
    double float64s[WORDS];
    uint8_t validity[WORDS / 8 + 1];
    char bytes[LINE];
    int32_t offsets[WORDS + 1];
    int64_t large_offsets[WORDS + 1];
};

static void columns(struct columns *all, char **words, int count)
{
    memset(all, 0, sizeof *all);
    for (int i = 0; i < count; i++) {
        if (strchr(words[i], '=')) continue;
        size_t row = all->count++;
        mb_value value = all->values[row] = parse(words[i]);
        int32_t end = all->offsets[row];
        if (value.kind != MB_KIND_NULL) all->validity[row / 8] |= (uint8_t)(1 << row % 8);
        if (value.kind == MB_KIND_INT64) all->int64s[row] = value.as.int64;
        if (value.kind == MB_KIND_FLOAT64) all->float64s[row] = value.as.float64;
        if (value.kind == MB_KIND_STRING) {
            memcpy(all->bytes + end, value.as.string.data, value.as.string.length);
            end += (int32_t)value.as.string.length;
        }
        all->offsets[row + 1] = end;
        all->large_offsets[row + 1] = end;
    }
}

static mb_status push_many(char **words, int count, size_t *accepted)
{
    static struct columns all;
    uint64_t array[WORDS], *tags = NULL, first = strtoull(words[2], NULL, 10);
    char *text = words[2], *bytes;
    columns(&all, words + 3, count - 3);
    if (strchr(text, ',')) {
        tags = array;
        for (size_t i = 0; i < all.count; i++) {
            tags[i] = strtoull(text, &text, 10);
            text += *text == ',';
        }
    }
    bytes = malloc((size_t)all.offsets[all.count] + 1); /* an owned array outlives the call; freed with the process */
    memcpy(bytes, all.bytes, (size_t)all.offsets[all.count]);
    const mb_push_options *options = push_options(words, count, bytes, (size_t)all.offsets[all.count]);
    mb_status status = MB_OK;
    if (producer) /* it takes values one by one */
        for (*accepted = 0; *accepted < all.count; ++*accepted) {
            uint64_t tag = tags ? tags[*accepted] : first + *accepted;
            status = mb_producer_push_value(producer, &all.values[*accepted], tag, options);
            if (status != MB_OK) break;
        }
    else if (strcmp(words[1], "int64s") == 0)
        status = mb_batcher_push_int64s(batcher, all.int64s, all.validity, all.count, tags, first, options, accepted);
    else if (strcmp(words[1], "float64s") == 0)
        status = mb_batcher_push_float64s(batcher, all.float64s, all.validity, all.count, tags, first, options, accepted);
    else if (strcmp(words[1], "strings") == 0)
        status = mb_batcher_push_strings(batcher, bytes, all.offsets, all.validity, all.count, tags, first, options, accepted);
    else if (strcmp(words[1], "large_strings") == 0)
        status = mb_batcher_push_large_strings(batcher, bytes, all.large_offsets, all.validity, all.count, tags, first, options, accepted);
    else
        status = mb_batcher_push_values(batcher, all.values, all.count, tags, first, options, accepted);
    if (options == NULL || options->release == NULL) free(bytes);
    return status;
}

static mb_status map(char **words, int count)
{
    static struct columns all;
    static int which = MAP;
    mb_map_options options;
    mb_results *results = NULL;
    mb_status status;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    if (strcmp(words[2], "size") == 0) options.max_batch_size = strtoull(words[3], NULL, 10);
    else options.batches = strtoull(words[3], NULL, 10);
    columns(&all, words + 4, count - 4);
    if (strcmp(words[1], "int64s") == 0)
        status = mb_map_int64s(all.int64s, all.validity, all.count, &options, on_batch, &which, &results, NULL);
    else if (strcmp(words[1], "float64s") == 0)
        status = mb_map_float64s(all.float64s, all.validity, all.count, &options, on_batch, &which, &results, NULL);
    else if (strcmp(words[1], "strings") == 0)
        status = mb_map_strings(all.bytes, all.offsets, all.validity, all.count, &options, on_batch, &which, &results, NULL);
    else
        status = mb_map_values(all.values, all.count, &options, on_batch, &which, &results, NULL);
    if (status == MB_OK) {
        depth++;
        show_results(results, 1);
        depth--;
        mb_results_free(results);
    }
    return status;
}

#endif
