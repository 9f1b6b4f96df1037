/* Plays one scenario through the C API and prints its trace: cc -std=c99 runner.c -lmicrobatch; ./a.out FILE.mbt
   README.md beside this file describes both formats. Everything here uses the public header only. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "microbatch.h"

enum { LINE = 1 << 14, WORDS = 600, LINES = 16, HANDLES = 1024, DEFAULT = MB_KINDS, MAP, ON_RESULT, ON_RELEASE, SCRIPTS };

static const char *const SCRIPT[SCRIPTS] = { "null", "bool", "int64", "float64", "string", "bytes", "object",
                                             "default", "map", "on_result", "on_release" };
static const char *const TRIGGER[] = { "", "SIZE", "BYTES", "DELAY", "IDLE", "FULL", "FLUSH", "CLOSE" };
static const char *const OUTCOME[] = { "OK", "FAILED", "EXPIRED", "CANCELLED", "DISCARDED" };
static const char *const HANDLED[] = { "NO", "MAYBE", "YES" };

static mb_batcher *batcher;
static mb_producer *producer;                 /* what pushes go through, after the step producer */
static int freed, depth, held_count, mark_count;
static uint32_t owners[3];
static char *script[SCRIPTS][LINES];          /* call n of a callback does what line n says, then the last one */
static int script_lines[SCRIPTS], calls[SCRIPTS];
static mb_batch *held[HANDLES];               /* h1 is held[0]; a handle stays here after its batch is completed */
static int consumed[HANDLES];
static uint64_t marks[HANDLES];
static struct owned { int id; char *data; size_t length; } owned[HANDLES];
static int owned_count;

static void step(const char *text);

static void die(const char *what, const char *which)
{
    fprintf(stderr, "runner: %s %s\n", what, which);
    exit(2);
}

/* ---- words and values ---- */

static int split(char *text, char **words)
{
    int count = 0;
    for (char *word = strtok(text, " "); word != NULL && count < WORDS; word = strtok(NULL, " ")) words[count++] = word;
    return count;
}

static const char *option(char **words, int count, const char *key)
{
    for (int i = 0; i < count; i++)
        if (strncmp(words[i], key, strlen(key)) == 0) return words[i] + strlen(key);
    return NULL;
}

/* Decoded bytes live until the process ends; what was copied by the library is overwritten after the call. */
static char *unescape(const char *text, size_t *length)
{
    static char arena[1 << 20];
    static size_t used;
    char *data = arena + used;
    *length = 0;
    if (used + strlen(text) + 1 > sizeof arena) die("no room for", text);
    for (; *text != '\0'; text++) {
        unsigned byte = (unsigned char)*text;
        if (*text == '%') {
            sscanf(text + 1, "%2x", &byte);
            text += 2;
        }
        data[(*length)++] = (char)byte;
    }
    data[*length] = '\0';
    used += *length + 1;
    return data;
}

static char *unescape_or_dash(const char *text, size_t *length)
{
    return unescape(strcmp(text, "-") == 0 ? "" : text, length);
}

static void escape(const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned byte = (unsigned char)data[i];
        int plain = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
        printf(plain || byte == '_' || byte == '.' ? "%c" : "%%%02X", byte);
    }
}

static void escape_or_dash(const char *data, size_t length)
{
    if (length == 0) printf("-");
    escape(data, length);
}

static mb_value parse(const char *token)
{
    const char *text = strchr(token, ':') ? strchr(token, ':') + 1 : "";
    mb_value value;
    memset(&value, 0, sizeof value);
    while (strncmp(token, SCRIPT[value.kind], strlen(SCRIPT[value.kind])) != 0)
        if (++value.kind == MB_KINDS) die("no value", token);
    switch (value.kind) {
    case MB_KIND_BOOL: value.as.int64 = *text == '1'; break;
    case MB_KIND_INT64: value.as.int64 = strtoll(text, NULL, 10); break;
    case MB_KIND_FLOAT64: {
        uint64_t bits = strtoull(text, NULL, 16);
        memcpy(&value.as.float64, &bits, sizeof bits);
        break;
    }
    case MB_KIND_STRING:
    case MB_KIND_BYTES: value.as.string.data = unescape(text, &value.as.string.length); break;
    case MB_KIND_OBJECT: {
        unsigned owner = 0;
        sscanf(text, "%u/%" SCNu64 "/%" SCNu64, &owner, &value.as.object.word, &value.as.object.size);
        value.owner = owners[owner];
        break;
    }
    }
    return value;
}

static void show(const mb_value *value)
{
    uint64_t bits;
    printf("%s", SCRIPT[value->kind]);
    switch (value->kind) {
    case MB_KIND_BOOL:
    case MB_KIND_INT64: printf(":%" PRId64, value->as.int64); break;
    case MB_KIND_FLOAT64: memcpy(&bits, &value->as.float64, sizeof bits); printf(":%016" PRIx64, bits); break;
    case MB_KIND_STRING:
    case MB_KIND_BYTES: printf(":"); escape(value->as.string.data, value->as.string.length); break;
    case MB_KIND_OBJECT: printf(":%" PRIu64, value->as.object.word); break;
    }
}

static const char *kind_name(uint32_t kind) { return kind < MB_KINDS ? SCRIPT[kind] : "mixed"; }

static void indent(void) { printf("%*s", 2 * depth, ""); }

/* ---- batches ---- */

static void show_batch(mb_batch *batch, const char *name, int is_map)
{
    mb_batch_view view;
    memset(&view, 0, sizeof view);
    view.struct_size = sizeof view;
    if (mb_batch_get_view(batch, &view) != MB_OK) die("no view of a batch for", name);
    indent();
    printf("batch %" PRIu64 " %s %s %s age %" PRId64 ":", view.number, name, is_map ? "-" : TRIGGER[view.trigger],
           kind_name(view.kind), is_map ? 0 : view.age);
    for (size_t row = 0; row < view.count; row++) {
        mb_value value;
        if (mb_batch_value(batch, row, &value) != MB_OK) die("no value in a batch for", name);
        printf(" ");
        show(&value);
        printf("@%" PRIu64, view.tags[row]);
    }
    printf("\n");
}

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

static void show_results(const mb_results *results, int is_map);

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

/* ---- callbacks ---- */

/* Does what the script says for this call; answers what the handler is to return. */
static mb_status actions(int which, mb_batch *batch)
{
    mb_status returned = MB_OK;
    if (script_lines[which] == 0) return MB_OK;
    int line = calls[which] < script_lines[which] ? calls[which] : script_lines[which] - 1;
    calls[which]++;
    for (const char *rest = script[which][line]; rest != NULL && *rest != '\0';) {
        const char *end = strstr(rest, " ; ");
        char text[LINE], copy[LINE], *words[WORDS];
        size_t length = end ? (size_t)(end - rest) : strlen(rest);
        memcpy(text, rest, length);
        text[length] = '\0';
        rest = end ? end + 3 : NULL;
        split(strcpy(copy, text), words);
        if (strcmp(words[0], "do") == 0) {
            step(text + 3);
        } else if (strcmp(words[0], "return") == 0) {
            returned = atoi(words[1]);
        } else if (strcmp(words[0], "keep") == 0) {
            mb_status status = mb_batch_keep(batch);
            indent();
            printf("keep -> %s", mb_status_name(status));
            if (status == MB_OK) {
                held[held_count++] = batch;
                printf(" h%d", held_count);
            }
            printf("\n");
        } else {
            mb_status status = act(batch, words);
            if (status != MB_OK) {
                indent();
                printf("%s -> %s\n", text, mb_status_name(status));
            }
        }
    }
    return returned;
}

static mb_status on_batch(void *user_data, mb_batch *batch, const mb_api *api)
{
    int which = *(const int *)user_data;
    (void)api;
    depth++;
    show_batch(batch, SCRIPT[which], which == MAP);
    depth++;
    mb_status returned = actions(which, batch);
    depth -= 2;
    return returned;
}

static void show_results(const mb_results *results, int is_map)
{
    mb_results_view view;
    memset(&view, 0, sizeof view);
    view.struct_size = sizeof view;
    if (mb_results_get_view(results, &view) != MB_OK) die("no view of", "results");
    indent();
    if (is_map) printf("results map count %zu\n", view.count);
    else printf("results batch %" PRIu64 " count %zu %s\n", view.batch, view.count, kind_name(view.kind));
    depth++;
    for (size_t row = 0; row < view.count; row++) {
        int outcome = view.outcomes ? view.outcomes[row] : MB_OUTCOME_OK;
        indent();
        printf("%" PRIu64 " %s %s ", view.tags[row], OUTCOME[outcome], HANDLED[view.handled ? view.handled[row] : MB_HANDLED_YES]);
        if (outcome == MB_OUTCOME_OK) {
            mb_value value;
            if (mb_results_value(results, row, &value) != MB_OK) die("no value in", "results");
            show(&value);
        } else {
            mb_row_error error;
            memset(&error, 0, sizeof error);
            error.struct_size = sizeof error;
            if (mb_results_error(results, row, &error) != MB_OK) die("no error in", "results");
            if (error.code < 0) {
                printf("%s", mb_status_name(error.code));
            } else {
                printf("%d ", (int)error.code);
                escape_or_dash(error.type_name, error.type_name ? strlen(error.type_name) : 0);
                printf(" ");
                escape_or_dash(error.message, error.length);
            }
        }
        printf("\n");
    }
    depth--;
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    (void)user_data, (void)api;
    depth++;
    show_results(results, 0);
    depth++;
    actions(ON_RESULT, NULL);
    depth -= 2;
}

static void on_object(void *user_data, uint64_t word)
{
    (void)user_data;
    depth++;
    indent();
    printf("release object %" PRIu64 "\n", word);
    depth++;
    actions(ON_RELEASE, NULL);
    depth -= 2;
}

static void on_owned(void *user_data)
{
    struct owned *push = user_data;
    memset(push->data, '#', push->length);
    depth++;
    indent();
    printf("release owned %d\n", push->id);
    depth++;
    actions(ON_RELEASE, NULL);
    depth -= 2;
}

/* ---- pushes ---- */

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

/* ---- steps ---- */

static void show_stats(void)
{
    mb_stats s;
    memset(&s, 0, sizeof s);
    s.struct_size = sizeof s;
    mb_status status = mb_batcher_stats(batcher, &s);
    indent();
    if (status != MB_OK) {
        printf("stats -> %s\n", mb_status_name(status));
        return;
    }
    printf("stats -> accepted %" PRIu64 " ok %" PRIu64 " failed %" PRIu64 " expired %" PRIu64 " cancelled %" PRIu64
           " discarded %" PRIu64 " outstanding %" PRIu64 " undelivered %" PRIu64 " waiting %" PRIu64
           " waiting_bytes %" PRIu64 " in_flight %" PRIu64 " oldest %" PRId64 " batches %" PRIu64 " late %" PRIu64
           " batch_size %" PRIu64 "/%" PRIu64 "/%" PRIu64 " queue_time %" PRIu64 "/%" PRIu64 "/%" PRIu64 " triggers",
           s.accepted, s.ok, s.failed, s.expired, s.cancelled, s.discarded, s.outstanding, s.undelivered, s.waiting,
           s.waiting_bytes, s.in_flight, s.oldest_in_flight_age, s.batches, s.late, s.batch_size.count,
           s.batch_size.sum, s.batch_size.max, s.queue_time.count, s.queue_time.sum, s.queue_time.max);
    for (int i = 1; i <= MB_TRIGGER_CLOSE; i++)
        if (s.triggers[i]) printf(" %s=%" PRIu64, TRIGGER[i], s.triggers[i]);
    printf(" refusals");
    for (int i = -MB_ERR_WRONG_OWNER; i <= -MB_ERR_CLOSED; i++)
        if (s.refusals[i]) printf(" %s=%" PRIu64, mb_status_name(-i), s.refusals[i]);
    printf("\n");
}

static void step(const char *text)
{
    char copy[LINE], extra[64] = "", *words[WORDS];
    int count = split(strcpy(copy, text), words);
    const char *name = words[0];
    mb_status status = MB_OK;
    if (strcmp(name, "push") == 0) {
        status = push(words, count);
    } else if (strcmp(name, "push_many") == 0) {
        size_t accepted = 0;
        status = push_many(words, count, &accepted);
        sprintf(extra, " accepted %zu", accepted);
    } else if (strcmp(name, "check") == 0) {
        mb_value value = parse(words[1]);
        status = mb_batcher_check(batcher, &value, NULL);
    } else if (strcmp(name, "room") == 0) {
        status = mb_batcher_room(batcher, 0);
    } else if (strcmp(name, "cancel") == 0) {
        uint64_t cancelled = 0;
        status = mb_batcher_cancel(batcher, strtoull(words[1], NULL, 10), &cancelled);
        if (status == MB_OK) sprintf(extra, " %" PRIu64, cancelled);
    } else if (strcmp(name, "producer") == 0) {
        mb_producer_free(producer);
        status = mb_producer_new(batcher, &producer);
    } else if (strcmp(name, "seal") == 0) {
        status = mb_batcher_seal(batcher);
    } else if (strcmp(name, "advance") == 0) {
        status = mb_batcher_advance(batcher, strtoll(words[1], NULL, 10));
    } else if (strcmp(name, "now") == 0 || strcmp(name, "next_due") == 0) {
        int64_t time = 0;
        status = strcmp(name, "now") == 0 ? mb_batcher_now(batcher, &time) : mb_batcher_next_due(batcher, &time);
        indent();
        if (status != MB_OK) printf("%s -> %s\n", text, mb_status_name(status));
        else if (time == MB_FOREVER) printf("%s -> FOREVER\n", text);
        else printf("%s -> %" PRId64 "\n", text, time);
        return;
    } else if (strcmp(name, "run") == 0) {
        status = mb_batcher_run(batcher);
    } else if (strcmp(name, "flush") == 0) {
        status = mb_batcher_flush(batcher, 0);
    } else if (strcmp(name, "flush_begin") == 0) {
        status = mb_batcher_flush_begin(batcher, &marks[mark_count]);
        if (status == MB_OK) sprintf(extra, " m%d", ++mark_count);
    } else if (strcmp(name, "flush_end") == 0) {
        status = mb_batcher_flush_end(batcher, marks[atoi(words[1] + 1) - 1], 0);
    } else if (strcmp(name, "close") == 0) {
        uint64_t left = 0;
        status = mb_batcher_close(batcher, strcmp(words[1], "forever") == 0 ? MB_FOREVER : strtoll(words[1], NULL, 10), &left);
        if (status == MB_ERR_TIMEOUT) sprintf(extra, " left %" PRIu64, left);
    } else if (strcmp(name, "free") == 0) {
        freed = 1;
        mb_producer_free(producer);
        producer = NULL; /* it would answer CLOSED where the batcher's handle is invalid */
        status = mb_batcher_free(batcher);
    } else if (strcmp(name, "next_batch") == 0) {
        status = mb_batcher_next_batch(batcher, 0, &held[held_count]);
        if (status == MB_OK) {
            depth++;
            show_batch(held[held_count], "pulled", 0);
            depth--;
            sprintf(extra, " h%d", ++held_count);
        }
    } else if (strcmp(name, "next_results") == 0) {
        mb_results *results = NULL;
        status = mb_batcher_next_results(batcher, 0, &results);
        if (status == MB_OK) {
            depth++;
            show_results(results, 0);
            depth--;
            mb_results_free(results);
        }
    } else if (strcmp(name, "stats") == 0) {
        show_stats();
        return;
    } else if (strcmp(name, "map") == 0) {
        status = map(words, count);
    } else if (name[0] == 'h') {
        status = on_held(atoi(name + 1) - 1, words + 1);
    } else {
        die("no step", name);
    }
    indent();
    printf("%s -> %s%s\n", text, mb_status_name(status), extra);
}

/* ---- the head of a scenario ---- */

static char *copy_of(const char *text) { return strcpy(malloc(strlen(text) + 1), text); }

static void add_script(const char *name, const char *rest)
{
    int which = 0;
    while (strcmp(SCRIPT[which], name) != 0)
        if (++which == SCRIPTS) die("no callback", name);
    script[which][script_lines[which]++] = copy_of(rest);
}

static void create(mb_options *options)
{
    static int which[MAP + 1];
    for (int i = 0; i <= DEFAULT; i++) {
        mb_handler handler = { on_batch, &which[i], NULL };
        which[i] = i;
        if (script_lines[i] == 0) continue;
        if (i < DEFAULT) options->by_kind[i] = handler;
        else options->handler = handler.call, options->handler_data = handler.user_data;
    }
    if (script_lines[ON_RESULT]) options->on_result = on_result;
    mb_status status = mb_batcher_new(options, &batcher, NULL);
    printf("new -> %s\n", mb_status_name(status));
    if (status != MB_OK) exit(0);
}

int main(int argc, char **argv)
{
    char line[LINE];
    mb_options options;
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL) die("usage: runner FILE.mbt, and not", argc > 1 ? argv[1] : "nothing");
    mb_options_init(&options, sizeof options);
    options.mode = MB_MODE_MANUAL;
    options.clock = MB_CLOCK_GIVEN;
    if (mb_owner_new(&owners[1]) != MB_OK || mb_owner_new(&owners[2]) != MB_OK) die("no", "owner");
    while (fgets(line, sizeof line, file) != NULL) {
        char copy[LINE], *words[WORDS];
        line[strcspn(line, "\r\n")] = '\0';
        int count = split(strcpy(copy, line), words);
        if (count == 0 || *words[0] == '#' || strcmp(words[0], "needs") == 0) continue;
        if (strcmp(words[0], "owner") == 0) {
            options.owner = owners[atoi(words[1])];
            options.object_release = on_object;
        } else if (strcmp(words[0], "option") == 0) {
            mb_status status = mb_options_set(&options, words[1], words[2], NULL);
            if (status != MB_OK) {
                printf("new -> %s\n", mb_status_name(status));
                return 0;
            }
        } else if (strcmp(words[0], "handler") == 0) {
            add_script(words[1], count > 2 ? line + (words[2] - copy) : "");
        } else if (strcmp(words[0], "pull") == 0) {
            int which = 0;
            while (strcmp(SCRIPT[which], words[1]) != 0) which++;
            options.pull_handlers |= (uint64_t)1 << which;
        } else if (strcmp(words[0], "on_result") == 0 || strcmp(words[0], "on_release") == 0) {
            add_script(words[0], count > 1 ? line + (words[1] - copy) : "");
        } else if (strcmp(words[0], "new") == 0) {
            create(&options);
        } else {
            step(line);
        }
    }
    fclose(file);
    if (!freed) step("free");
    for (int i = 0; i < held_count; i++) {
        char text[32];
        sprintf(text, "h%d free", i + 1);
        if (!consumed[i]) step(text);
    }
    return 0;
}
