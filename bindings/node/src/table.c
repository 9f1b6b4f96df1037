/* What the library tells of itself: statuses, options, names, stats; and addresses of native handlers. */

#include "glue.h"

#include <dlfcn.h>
#include <stdlib.h>

static void set(napi_env env, napi_value object, const char *name, napi_value value)
{
    napi_set_named_property(env, object, name, value);
}

static napi_value word_text(napi_env env, const char *text)
{
    return text_of(env, text, NAPI_AUTO_LENGTH);
}

static napi_value statuses(napi_env env)
{
    const mb_status_info *table;
    size_t count = 0;
    napi_value all;
    mb_status_table(&table, &count);
    napi_create_array_with_length(env, count, &all);
    for (size_t at = 0; at < count; at++) {
        napi_value one, retriable;
        napi_create_object(env, &one);
        napi_get_boolean(env, table[at].retriable != 0, &retriable);
        set(env, one, "code", number_of(env, table[at].code));
        set(env, one, "name", word_text(env, table[at].name));
        set(env, one, "text", word_text(env, table[at].text));
        set(env, one, "retriable", retriable);
        napi_set_element(env, all, (uint32_t)at, one);
    }
    return all;
}

static napi_value bigint_of(napi_env env, int64_t number)
{
    napi_value value = NULL;
    napi_create_bigint_int64(env, number, &value);
    return value;
}

static napi_value options(napi_env env)
{
    const mb_option_info *table;
    size_t count = 0;
    napi_value all;
    mb_option_table(&table, &count);
    napi_create_array_with_length(env, count, &all);
    for (size_t at = 0; at < count; at++) {
        napi_value one;
        napi_create_object(env, &one);
        set(env, one, "name", word_text(env, table[at].name));
        set(env, one, "type", word_text(env, table[at].type_name));
        set(env, one, "unit", word_text(env, table[at].unit));
        set(env, one, "default", word_text(env, table[at].default_text));
        set(env, one, "choices", word_text(env, table[at].choices));
        set(env, one, "doc", word_text(env, table[at].doc));
        set(env, one, "managedDefault", bigint_of(env, table[at].managed_default));
        set(env, one, "defaultValue", number_of(env, (double)table[at].default_value));
        napi_set_element(env, all, (uint32_t)at, one);
    }
    return all;
}

/* durationParse(text) -> nanoseconds as a bigint, or [status, message] */
static napi_value duration_parse(napi_env env, napi_callback_info info)
{
    char *text;
    int64_t ns = 0;
    mb_error *error = NULL;
    mb_status status;
    napi_value answer;
    ARGUMENTS(1)
    text = text_from(env, argv[0], NULL);
    status = mb_duration_parse(text, &ns, &error);
    free(text);
    if (status == MB_OK) {
        return bigint_of(env, ns);
    }
    napi_create_array_with_length(env, 2, &answer);
    napi_set_element(env, answer, 0, number_of(env, status));
    napi_set_element(env, answer, 1, text_of(env, mb_error_message(error), NAPI_AUTO_LENGTH));
    mb_error_free(error);
    return answer;
}

/* Names by their numbers, up to the first that the library does not list. */
static napi_value names(napi_env env, const char *(*name)(uint32_t), uint32_t first, uint32_t count)
{
    napi_value all;
    napi_create_array(env, &all);
    for (uint32_t at = first; at < first + count; at++) {
        napi_set_element(env, all, at, word_text(env, name(at)));
    }
    return all;
}

/* tables() -> everything that does not change */
static napi_value tables(napi_env env, napi_callback_info info)
{
    napi_value all;
    (void)info;
    napi_create_object(env, &all);
    set(env, all, "statuses", statuses(env));
    set(env, all, "options", options(env));
    set(env, all, "kinds", names(env, mb_kind_name, 0, MB_KINDS));
    set(env, all, "triggers", names(env, mb_trigger_name, MB_TRIGGER_SIZE, MB_TRIGGER_CLOSE));
    set(env, all, "outcomes", names(env, mb_outcome_name, MB_OUTCOME_OK, MB_OUTCOME_DISCARDED + 1));
    set(env, all, "handled", names(env, mb_handled_name, MB_HANDLED_NO, MB_HANDLED_YES + 1));
    set(env, all, "version", word_text(env, mb_version_string()));
    set(env, all, "forever", bigint_of(env, MB_FOREVER));
    return all;
}

/* newOwner() -> a number */
static napi_value new_owner(napi_env env, napi_callback_info info)
{
    uint32_t owner = 0;
    (void)info;
    mb_owner_new(&owner);
    return number_of(env, owner);
}

/* symbol(path, name) -> an address, or a message. The library stays loaded. */
static napi_value symbol(napi_env env, napi_callback_info info)
{
    char *path, *name;
    void *library, *found = NULL;
    napi_value answer;
    ARGUMENTS(2)
    path = text_from(env, argv[0], NULL);
    name = text_from(env, argv[1], NULL);
    library = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    found = library == NULL || name == NULL ? NULL : dlsym(library, name);
    if (found != NULL) {
        answer = word_of(env, found);
    } else {
        const char *reason = dlerror();
        answer = word_text(env, reason == NULL ? "no memory" : reason);
    }
    free(path);
    free(name);
    return answer;
}

/* ---- Stats ---- */

#define COUNTERS(of)                                                                                             \
    of(accepted) of(ok) of(failed) of(expired) of(cancelled) of(discarded) of(outstanding) of(undelivered)       \
    of(batches) of(late) of(stuck) of(waiting) of(waiting_bytes) of(in_flight) of(delivering) of(bytes_in_use)   \
    of(oldest_in_flight_age)
#define HISTOGRAMS(of) of(batch_size) of(queue_time) of(handler_time) of(delivery_time)

static napi_value numbers(napi_env env, const uint64_t *values, size_t count)
{
    napi_value all;
    napi_create_array_with_length(env, count, &all);
    for (size_t at = 0; at < count; at++) {
        napi_set_element(env, all, (uint32_t)at, number_of(env, (double)values[at]));
    }
    return all;
}

static napi_value histogram(napi_env env, const mb_histogram *histogram)
{
    napi_value one;
    napi_create_object(env, &one);
    set(env, one, "count", number_of(env, (double)histogram->count));
    set(env, one, "sum", number_of(env, (double)histogram->sum));
    set(env, one, "max", number_of(env, (double)histogram->max));
    set(env, one, "buckets", numbers(env, histogram->buckets, sizeof histogram->buckets / sizeof *histogram->buckets));
    return one;
}

/* stats(host) -> an object with the names of the header, or a status */
static napi_value stats(napi_env env, napi_callback_info info)
{
    const struct host *host;
    mb_stats stats = {.struct_size = sizeof stats};
    mb_status status;
    napi_value all;
    ARGUMENTS(1)
    host = host_of(env, argv[0]);
    status = host->api->mb_batcher_stats(host->batcher, &stats);
    if (status != MB_OK) {
        return number_of(env, status);
    }
    napi_create_object(env, &all);
#define COUNTER(name) set(env, all, #name, number_of(env, (double)stats.name));
#define HISTOGRAM(name) set(env, all, #name, histogram(env, &stats.name));
    COUNTERS(COUNTER)
    HISTOGRAMS(HISTOGRAM)
    set(env, all, "triggers", numbers(env, stats.triggers, sizeof stats.triggers / sizeof *stats.triggers));
    set(env, all, "refusals", numbers(env, stats.refusals, sizeof stats.refusals / sizeof *stats.refusals));
    return all;
}

/* outstanding(host) -> values without an outcome; out[0]: with one that is not delivered */
static napi_value outstanding(napi_env env, napi_callback_info info)
{
    const struct host *host;
    mb_stats stats = {.struct_size = sizeof stats};
    ARGUMENTS(1)
    host = host_of(env, argv[0]);
    if (host->api->mb_batcher_stats(host->batcher, &stats) != MB_OK) {
        stats.outstanding = stats.undelivered = 0;
    }
    host->state->columns->out[0] = (double)stats.undelivered;
    return number_of(env, (double)stats.outstanding);
}

/* statsText(host) -> text, or a status */
static napi_value stats_text(napi_env env, napi_callback_info info)
{
    const struct host *host;
    char *text = NULL;
    size_t needed = 4096, capacity = 0;
    mb_status status = MB_OK;
    napi_value answer;
    ARGUMENTS(1)
    host = host_of(env, argv[0]);
    while (status == MB_OK && needed > capacity) {
        free(text);
        capacity = needed;
        text = malloc(capacity);
        status = text == NULL ? MB_ERR_NO_MEMORY
                              : host->api->mb_batcher_stats_text(host->batcher, text, capacity, &needed);
    }
    answer = status == MB_OK ? text_of(env, text, needed - 1) : number_of(env, status);
    free(text);
    return answer;
}

void table_functions(napi_env env, napi_value exports)
{
    define(env, exports, "tables", tables);
    define(env, exports, "newOwner", new_owner);
    define(env, exports, "durationParse", duration_parse);
    define(env, exports, "symbol", symbol);
    guarded(env, exports, "stats", stats);
    guarded(env, exports, "outstanding", outstanding);
    guarded(env, exports, "statsText", stats_text);
}
