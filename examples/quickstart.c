/* Micro-batching shown in two parts: values of every kind through a handler for each kind, and 20,000 flights
   into an SQLite database, once with one transaction a row and once in batches.

       cargo build --release
       cc -std=c99 -O2 -Iinclude examples/quickstart.c target/release/libmicrobatch.a \
          -lsqlite3 -lpthread -lm -ldl -o target/quickstart                 (Debian: apt install libsqlite3-dev)
       target/quickstart [flights.csv [seconds]]

   tests/examples builds it with the SQLite that comes with Rust's rusqlite instead of a system package.

   `seconds` bounds the one-transaction-a-row run (default 3). Lines that begin with `rate` are measured and differ
   from run to run; every other line is always the same. examples/quickstart is the same program in Rust. */

#define _XOPEN_SOURCE 700
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "microbatch.h"

/* ---- Errors ------------------------------------------------------------------------------------------------- */

static void die(const char *what, const char *message)
{
    fprintf(stderr, "quickstart: %s: %s\n", what, message);
    exit(EXIT_FAILURE);
}

static void check(mb_status status, const char *what)
{
    if (status != MB_OK)
        die(what, mb_status_text(status));
}

static void check_sql(int code, sqlite3 *database, const char *what)
{
    if (code != SQLITE_OK)
        die(what, sqlite3_errmsg(database));
}

/* Creation says in words what it refused. */
static mb_batcher *new_batcher(const mb_options *options)
{
    mb_batcher *batcher = NULL;
    mb_error *error = NULL;
    if (mb_batcher_new(options, &batcher, &error) != MB_OK)
        die("mb_batcher_new", mb_error_message(error));
    return batcher;
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (memory == NULL)
        die("calloc", "out of memory");
    return memory;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- The file: lines, and cells as the values they are ------------------------------------------------------ */

enum { COLUMNS = 19 };

struct text { const char *data; size_t length; };

struct flights { char *bytes; struct text *lines; size_t count; };

/* Reads the file and finds its lines, without the header. */
static struct flights read_flights(const char *path)
{
    struct flights file = { NULL, NULL, 0 };
    FILE *in = fopen(path, "rb");
    long size = -1;
    if (in == NULL)
        die(path, "cannot be opened");
    if (fseek(in, 0, SEEK_END) != 0 || (size = ftell(in)) < 0 || fseek(in, 0, SEEK_SET) != 0)
        die(path, "cannot be read");
    file.bytes = allocate((size_t)size + 1, 1);
    if (fread(file.bytes, 1, (size_t)size, in) != (size_t)size)
        die(path, "cannot be read");
    fclose(in);

    size_t newlines = 0;
    for (char *c = file.bytes; *c; c++)
        newlines += *c == '\n';
    file.lines = allocate(newlines + 1, sizeof *file.lines);
    char *header_end = strchr(file.bytes, '\n');
    for (char *line = header_end ? header_end + 1 : ""; *line;) {
        size_t length = strcspn(line, "\r\n");
        file.lines[file.count++] = (struct text){ line, length };
        line += length;
        line += strspn(line, "\r\n");
    }
    return file;
}

/* Takes the next cell off the line: an integer, nothing (NA in this file), or text. Returns 0 at the end. */
static int next_cell(struct text *line, mb_value *cell)
{
    if (line->data == NULL)
        return 0;
    const char *comma = memchr(line->data, ',', line->length);
    size_t length = comma ? (size_t)(comma - line->data) : line->length;
    char digits[24];
    char *end;

    memset(cell, 0, sizeof *cell);
    if (length == 0 || (length == 2 && memcmp(line->data, "NA", 2) == 0)) {
        cell->kind = MB_KIND_NULL;
    } else {
        size_t copied = length < sizeof digits ? length : 0;
        memcpy(digits, line->data, copied);
        digits[copied] = '\0';
        cell->as.int64 = strtoll(digits, &end, 10);
        cell->kind = MB_KIND_INT64;
        if (copied == 0 || *end != '\0') {
            cell->kind = MB_KIND_STRING;
            cell->as.string.data = line->data;
            cell->as.string.length = length;
        }
    }
    line->length = comma ? line->length - length - 1 : 0;
    line->data = comma ? comma + 1 : NULL;
    return 1;
}

/* ---- Part one: values of every kind, a handler for each kind, results back in push order -------------------- */

/* Flights by their place after the header: the first three, and the first that was cancelled. */
static const size_t CHOSEN[] = { 0, 1, 2, 375 };
enum { CHOSEN_COUNT = 4, SHOWN_SIZE = 64, MERGED_CAPACITY = 128 };

/* Results as people read them, in the order they came. */
struct merged { size_t count; char shown[MERGED_CAPACITY][SHOWN_SIZE]; };

static void show(const mb_value *value, char shown[SHOWN_SIZE])
{
    switch (value->kind) {
    case MB_KIND_INT64:
        snprintf(shown, SHOWN_SIZE, "%" PRId64, value->as.int64);
        break;
    case MB_KIND_FLOAT64:
        snprintf(shown, SHOWN_SIZE, "%.1f", value->as.float64);
        break;
    case MB_KIND_STRING:
        snprintf(shown, SHOWN_SIZE, "\"%.*s\"", (int)value->as.string.length, (const char *)value->as.string.data);
        break;
    default:
        snprintf(shown, SHOWN_SIZE, "null");
    }
}

static void print_values(const mb_value *values, size_t count)
{
    char shown[SHOWN_SIZE];
    for (size_t i = 0; i < count; i++) {
        show(&values[i], shown);
        printf("%s%s", i ? " " : "", shown);
    }
    printf("\n");
}

static void print_merged(const struct merged *results, size_t from, size_t to)
{
    printf("  -> ");
    for (size_t i = from; i < to; i++)
        printf("%s%s", i > from ? " " : "", results->shown[i]);
    printf("\n");
}

static const char *trigger_name(uint32_t trigger)
{
    static const char *const names[] = { "?", "SIZE", "BYTES", "DELAY", "IDLE", "FULL", "FLUSH", "CLOSE" };
    return names[trigger <= MB_TRIGGER_CLOSE ? trigger : 0];
}

static mb_batch_view view_of(mb_batch *batch)
{
    mb_batch_view view = { .struct_size = sizeof view };
    check(mb_batch_get_view(batch, &view), "mb_batch_get_view");
    return view;
}

static void print_rows(mb_batch *batch, size_t count)
{
    for (size_t row = 0; row < count; row++) {
        mb_value value;
        char shown[SHOWN_SIZE];
        check(mb_batch_value(batch, row, &value), "mb_batch_value");
        show(&value, shown);
        printf("%s%s", row ? " " : "", shown);
    }
    printf("\n");
}

static void report(const char *handler, mb_batch *batch)
{
    mb_batch_view view = view_of(batch);
    printf("     batch %" PRIu64 ", %-5s %-7s got %2zu: ", view.number, trigger_name(view.trigger), handler, view.count);
    print_rows(batch, view.count);
}

/* A batch of one kind is a plain array, and so are its results. */
static mb_status double_integers(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = view_of(batch);
    const int64_t *numbers = view.values;
    int64_t *doubled = allocate(view.count, sizeof *doubled);
    (void)user_data;
    (void)api;
    report("int64", batch);
    for (size_t row = 0; row < view.count; row++)
        doubled[row] = numbers[row] * 2;
    mb_status status = mb_batch_set_int64s(batch, doubled, NULL, view.count);
    free(doubled);
    return status;
}

static mb_status halve_floats(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = view_of(batch);
    const double *numbers = view.values;
    double *halved = allocate(view.count, sizeof *halved);
    (void)user_data;
    (void)api;
    report("float64", batch);
    for (size_t row = 0; row < view.count; row++)
        halved[row] = numbers[row] / 2;
    mb_status status = mb_batch_set_float64s(batch, halved, NULL, view.count);
    free(halved);
    return status;
}

static mb_status set_reversed(mb_batch *batch, size_t row, const mb_value *value)
{
    const char *data = value->as.string.data;
    size_t length = value->as.string.length;
    char *reversed = allocate(length, 1);
    for (size_t i = 0; i < length; i++) /* the text is ASCII */
        reversed[i] = data[length - 1 - i];
    mb_status status = mb_batch_set_string(batch, row, reversed, length);
    free(reversed);
    return status;
}

/* Any batch can be read and answered row by row. */
static mb_status reverse_strings(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = view_of(batch);
    mb_status status = MB_OK;
    (void)user_data;
    (void)api;
    report("string", batch);
    for (size_t row = 0; row < view.count && status == MB_OK; row++) {
        mb_value value;
        status = mb_batch_value(batch, row, &value);
        if (status == MB_OK)
            status = set_reversed(batch, row, &value);
    }
    return status;
}

/* A result need not be of its value's kind. */
static mb_status say_missing(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = view_of(batch);
    mb_status status = MB_OK;
    (void)user_data;
    (void)api;
    report("default", batch);
    for (size_t row = 0; row < view.count && status == MB_OK; row++)
        status = mb_batch_set_string(batch, row, "missing", 7);
    return status;
}

static void append_results(struct merged *into, const mb_results *results, size_t count)
{
    for (size_t row = 0; row < count && into->count < MERGED_CAPACITY; row++) {
        mb_value value;
        char *shown = into->shown[into->count++];
        if (mb_results_value(results, row, &value) == MB_OK)
            show(&value, shown);
        else
            snprintf(shown, SHOWN_SIZE, "failed");
    }
}

static void merge_results(void *user_data, const mb_results *results, const mb_api *api)
{
    mb_results_view view = { .struct_size = sizeof view };
    (void)api;
    check(mb_results_get_view(results, &view), "mb_results_get_view");
    printf("     batch %" PRIu64 ": %zu results\n", view.batch, view.count);
    append_results(user_data, results, view.count);
}

/* Pushes the values one by one and gathers what comes back, in the order it comes. */
static void through_handlers(const mb_value *values, size_t count, uint64_t max_batch_size, struct merged *results)
{
    mb_options options;
    check(mb_options_init(&options, sizeof options), "mb_options_init");
    options.mode = MB_MODE_MANUAL; /* no threads: handlers and on_result run inside flush */
    options.max_batch_size = max_batch_size;
    options.by_kind[MB_KIND_INT64].call = double_integers;
    options.by_kind[MB_KIND_FLOAT64].call = halve_floats;
    options.by_kind[MB_KIND_STRING].call = reverse_strings;
    options.handler = say_missing;
    options.on_result = merge_results;
    options.result_data = results;

    mb_batcher *batcher = new_batcher(&options);
    results->count = 0;
    for (size_t tag = 0; tag < count; tag++)
        check(mb_batcher_push_value(batcher, &values[tag], tag, NULL), "mb_batcher_push_value");
    check(mb_batcher_flush(batcher, MB_FOREVER), "mb_batcher_flush");
    check(mb_batcher_close(batcher, MB_FOREVER, NULL), "mb_batcher_close");
    check(mb_batcher_free(batcher), "mb_batcher_free");
}

static mb_status answer_any(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view = view_of(batch);
    mb_status status = MB_OK;
    (void)user_data;
    (void)api;
    printf("     batch %" PRIu64 ", map got %zu: ", view.number, view.count);
    print_rows(batch, view.count);
    for (size_t row = 0; row < view.count && status == MB_OK; row++) {
        mb_value value;
        status = mb_batch_value(batch, row, &value);
        if (status != MB_OK)
            break;
        switch (value.kind) {
        case MB_KIND_INT64:
            status = mb_batch_set_int64(batch, row, value.as.int64 * 2);
            break;
        case MB_KIND_FLOAT64:
            status = mb_batch_set_float64(batch, row, value.as.float64 / 2);
            break;
        case MB_KIND_STRING:
            status = set_reversed(batch, row, &value);
            break;
        default:
            status = mb_batch_set_string(batch, row, "missing", 7);
        }
    }
    return status;
}

/* One handler for all kinds, called on this thread for each batch in turn. */
static void through_map(const mb_value *values, size_t count, uint64_t batches, struct merged *merged_results)
{
    mb_map_options options = { .struct_size = sizeof options, .batches = batches };
    mb_results *results = NULL;
    mb_error *error = NULL;
    if (mb_map_values(values, count, &options, answer_any, NULL, &results, &error) != MB_OK)
        die("mb_map_values", mb_error_message(error));
    merged_results->count = 0;
    append_results(merged_results, results, count);
    mb_results_free(results);
}

static mb_value int64_value(int64_t number)
{
    return (mb_value){ .kind = MB_KIND_INT64, .as.int64 = number };
}

static mb_value float64_value(double number)
{
    return (mb_value){ .kind = MB_KIND_FLOAT64, .as.float64 = number };
}

static mb_value string_value(const char *string)
{
    return (mb_value){ .kind = MB_KIND_STRING, .as.string = { string, strlen(string) } };
}

static void values_of_every_kind(const struct flights *file)
{
    static struct merged results;
    mb_value cells[MERGED_CAPACITY];
    size_t count = 0;

    printf("1. Values of every kind\n");
    printf("   int64 is doubled, float64 halved, a string reversed; the default handler, here for null, says so.\n");

    for (size_t i = 0; i < CHOSEN_COUNT; i++) {
        if (CHOSEN[i] >= file->count)
            continue;
        for (struct text line = file->lines[CHOSEN[i]]; count < MERGED_CAPACITY && next_cell(&line, &cells[count]);)
            count++;
    }
    printf("\n   The %zu cells of four flights (the last was cancelled), in batches of up to 32:\n\n", count);
    through_handlers(cells, count, 32, &results);
    printf("\n   pushed, and the results in push order, a flight a line:\n");
    for (size_t from = 0; from < count; from += COLUMNS) {
        size_t to = from + COLUMNS < count ? from + COLUMNS : count;
        printf("     ");
        print_values(cells + from, to - from);
        print_merged(&results, from, to);
    }

    const mb_value list[] = {
        int64_value(1), float64_value(2.0), string_value("hello"), string_value("world"), int64_value(3),
        float64_value(4.0), int64_value(5), string_value("Python"), int64_value(6), float64_value(7.0),
        int64_value(8), string_value("deep"), string_value("learning"), int64_value(9), float64_value(10.0),
    };
    count = sizeof list / sizeof *list;
    printf("\n   A list of %zu, in 2 batches:\n\n", count);
    through_handlers(list, count, 8, &results);
    printf("\n     ");
    print_values(list, count);
    print_merged(&results, 0, results.count);

    printf("\n   The same list through map, which needs no batcher, in 2 batches:\n\n");
    through_map(list, count, 2, &results);
    printf("\n");
    print_merged(&results, 0, results.count);
}

/* ---- Progress: a bar on a terminal, plain lines otherwise; both go to standard error ------------------------ */

struct progress { const char *label; uint64_t total, done; };

static void progress_set(struct progress *progress, uint64_t done)
{
    uint64_t total = progress->total ? progress->total : 1;
    if (done > total)
        done = total;
    if (isatty(STDERR_FILENO)) {
        int percent = (int)(done * 100 / total), width = percent * 40 / 100;
        if (done * 100 / total != progress->done * 100 / total)
            fprintf(stderr, "\r   %s [%.*s%.*s] %d %%", progress->label, width,
                    "########################################", 40 - width,
                    "----------------------------------------", percent);
    } else if (done * 4 / total > progress->done * 4 / total) {
        fprintf(stderr, "   %s: %d %%\n", progress->label, (int)(done * 4 / total * 25));
    }
    progress->done = done;
}

static void progress_finish(struct progress *progress)
{
    progress_set(progress, progress->total);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%79s\r", "");
}

/* ---- Part two: 20,000 flights into SQLite, one transaction a row and then a transaction a batch ------------- */

static const char SCHEMA[] =
    "CREATE TABLE flights ("
    "    id             INTEGER PRIMARY KEY,"
    "    year           INTEGER NOT NULL,"
    "    month          INTEGER NOT NULL,"
    "    day            INTEGER NOT NULL,"
    "    dep_time       INTEGER,"
    "    sched_dep_time INTEGER NOT NULL,"
    "    dep_delay      INTEGER,"
    "    arr_time       INTEGER,"
    "    sched_arr_time INTEGER NOT NULL,"
    "    arr_delay      INTEGER,"
    "    carrier        TEXT NOT NULL,"
    "    flight         INTEGER NOT NULL,"
    "    tailnum        TEXT,"
    "    origin         TEXT NOT NULL,"
    "    dest           TEXT NOT NULL,"
    "    air_time       INTEGER,"
    "    distance       INTEGER NOT NULL CONSTRAINT distance_is_positive CHECK (distance > 0),"
    "    hour           INTEGER NOT NULL,"
    "    minute         INTEGER NOT NULL,"
    "    time_hour      TEXT NOT NULL,"
    "    UNIQUE (year, month, day, carrier, flight)"
    ") STRICT";

static const char INSERT[] =
    "INSERT INTO flights (year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay,"
    "                     carrier, flight, tailnum, origin, dest, air_time, distance, hour, minute, time_hour)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/* A flight of no distance, which the table does not take. */
static const char EXTRA[] =
    "2013,2,7,1531,1530,1,1828,1855,-27,AA,9999,N3DGAA,JFK,JFK,152,0,15,30,2013-02-07T20:00:00Z";

enum { PRODUCERS = 4 };

/* What became of one line: its row id, or the code and message of its failure. */
struct answer { int results; int64_t id; mb_status code; char message[120]; };

struct job {
    sqlite3 *database;
    sqlite3_stmt *insert;
    struct answer *answers; /* by tag */
    size_t count;
    struct progress progress;
};

struct producer {
    pthread_t thread;
    mb_batcher *batcher;
    const struct text *lines;
    size_t from, to;
    mb_status status;
};

static sqlite3 *open_database(const char *path, const char *schema)
{
    sqlite3 *database = NULL;
    check_sql(sqlite3_open(path, &database), database, path);
    if (schema != NULL)
        check_sql(sqlite3_exec(database, schema, NULL, NULL, NULL), database, "CREATE TABLE");
    return database;
}

static sqlite3_stmt *prepare(sqlite3 *database, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    check_sql(sqlite3_prepare_v2(database, sql, -1, &statement, NULL), database, sql);
    return statement;
}

/* Inserts one flight; SQLITE_DONE if it went well. What SQLite refuses is an error, and the transaction goes on. */
static int insert_flight(sqlite3_stmt *insert, struct text line)
{
    mb_value cell;
    int bound = SQLITE_OK;
    sqlite3_reset(insert);
    sqlite3_clear_bindings(insert);
    for (int column = 1; bound == SQLITE_OK && next_cell(&line, &cell); column++) {
        if (cell.kind == MB_KIND_INT64)
            bound = sqlite3_bind_int64(insert, column, cell.as.int64);
        else if (cell.kind == MB_KIND_STRING)
            bound = sqlite3_bind_text(insert, column, cell.as.string.data, (int)cell.as.string.length, SQLITE_STATIC);
        else
            bound = sqlite3_bind_null(insert, column);
    }
    return bound == SQLITE_OK ? sqlite3_step(insert) : bound;
}

/* Every INSERT is its own transaction. Stops at the time limit and returns how many rows it inserted. */
static size_t one_by_one(const char *path, const struct flights *file, double seconds)
{
    sqlite3 *database = open_database(path, SCHEMA);
    sqlite3_stmt *insert = prepare(database, INSERT);
    struct progress progress = { "one transaction a row", (uint64_t)(seconds * 1000), 0 };
    double begun = seconds_now();
    size_t count = 0;
    while (count < file->count) {
        if (insert_flight(insert, file->lines[count]) != SQLITE_DONE)
            die("INSERT", sqlite3_errmsg(database));
        sqlite3_reset(insert);
        count++;
        progress_set(&progress, (uint64_t)((seconds_now() - begun) * 1000));
        if (seconds_now() - begun >= seconds)
            break;
    }
    progress_finish(&progress);
    sqlite3_finalize(insert);
    sqlite3_close(database);
    return count;
}

/* The handler: a batch is one transaction. A status other than MB_OK fails the whole batch. */
static mb_status insert_batch(void *user_data, mb_batch *batch, const mb_api *api)
{
    struct job *job = user_data;
    mb_batch_view view = view_of(batch);
    (void)api;
    int code = sqlite3_exec(job->database, "BEGIN", NULL, NULL, NULL);
    for (size_t row = 0; code == SQLITE_OK && row < view.count; row++) {
        mb_value value;
        mb_status status = mb_batch_value(batch, row, &value);
        if (status == MB_OK) {
            struct text line = { value.as.string.data, value.as.string.length };
            if (insert_flight(job->insert, line) == SQLITE_DONE) {
                status = mb_batch_set_int64(batch, row, sqlite3_last_insert_rowid(job->database));
            } else {
                const char *message = sqlite3_errmsg(job->database);
                status = mb_batch_fail(batch, row, sqlite3_extended_errcode(job->database), "sqlite3", message,
                                       strlen(message));
            }
        }
        if (status != MB_OK) {
            sqlite3_exec(job->database, "ROLLBACK", NULL, NULL, NULL);
            return status;
        }
    }
    sqlite3_reset(job->insert);
    if (code == SQLITE_OK)
        code = sqlite3_exec(job->database, "COMMIT", NULL, NULL, NULL);
    if (code != SQLITE_OK) {
        const char *message = sqlite3_errmsg(job->database);
        mb_batch_fail_all(batch, code, "sqlite3", message, strlen(message));
        sqlite3_exec(job->database, "ROLLBACK", NULL, NULL, NULL);
    }
    return MB_OK;
}

/* Gives each line its answer. Never runs beside itself. */
static void take_results(void *user_data, const mb_results *results, const mb_api *api)
{
    struct job *job = user_data;
    mb_results_view view = { .struct_size = sizeof view };
    (void)api;
    check(mb_results_get_view(results, &view), "mb_results_get_view");
    for (size_t row = 0; row < view.count; row++) {
        mb_value value;
        mb_row_error error = { .struct_size = sizeof error };
        if (view.tags[row] >= job->count)
            die("result", "unknown tag");
        struct answer *answer = &job->answers[view.tags[row]];
        answer->results++;
        if (view.outcomes == NULL || view.outcomes[row] == MB_OUTCOME_OK) {
            check(mb_results_value(results, row, &value), "mb_results_value");
            answer->id = value.as.int64;
        } else {
            check(mb_results_error(results, row, &error), "mb_results_error");
            answer->code = error.code;
            snprintf(answer->message, sizeof answer->message, "%.*s", (int)error.length, error.message);
        }
    }
    progress_set(&job->progress, job->progress.done + view.count);
}

/* The tag of a value is the place of its line. */
static void *produce(void *argument)
{
    struct producer *producer = argument;
    for (size_t i = producer->from; i < producer->to && producer->status == MB_OK; i++)
        producer->status =
            mb_batcher_push_string(producer->batcher, producer->lines[i].data, producer->lines[i].length, i);
    return NULL;
}

/* Pushes every line from four threads; the handler inserts a batch in one transaction. Returns the answers by tag. */
static struct answer *in_batches(const char *path, const struct text *lines, size_t count)
{
    struct job job = { 0 };
    job.database = open_database(path, SCHEMA);
    job.insert = prepare(job.database, INSERT);
    job.answers = allocate(count, sizeof *job.answers);
    job.count = count;
    job.progress.label = "a transaction a batch";
    job.progress.total = count;

    mb_options options;
    check(mb_options_init(&options, sizeof options), "mb_options_init");
    options.max_batch_size = 512;
    options.max_delay = 2 * MB_MS;
    options.handler = insert_batch;
    options.handler_data = &job;
    options.on_result = take_results;
    options.result_data = &job;
    mb_batcher *batcher = new_batcher(&options);

    struct producer producers[PRODUCERS];
    size_t share = (count + PRODUCERS - 1) / PRODUCERS;
    for (size_t i = 0; i < PRODUCERS; i++) {
        size_t from = i * share < count ? i * share : count;
        size_t to = from + share < count ? from + share : count;
        producers[i] = (struct producer){ .batcher = batcher, .lines = lines, .from = from, .to = to, .status = MB_OK };
        if (pthread_create(&producers[i].thread, NULL, produce, &producers[i]) != 0)
            die("pthread_create", "no thread");
    }
    for (size_t i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i].thread, NULL);
        check(producers[i].status, "mb_batcher_push_string");
    }
    check(mb_batcher_flush(batcher, MB_FOREVER), "mb_batcher_flush");
    progress_finish(&job.progress);

    mb_stats stats = { .struct_size = sizeof stats };
    check(mb_batcher_stats(batcher, &stats), "mb_batcher_stats");
    printf("   %" PRIu64 " lines pushed one by one from %d threads\n", stats.accepted, PRODUCERS);
    printf("   %" PRIu64 " rows inserted, each answered with its row id\n", stats.ok);
    printf("   %" PRIu64 " row failed, alone\n", stats.failed);
    check(mb_batcher_close(batcher, MB_FOREVER, NULL), "mb_batcher_close");
    check(mb_batcher_free(batcher), "mb_batcher_free");
    sqlite3_finalize(job.insert);
    sqlite3_close(job.database);
    return job.answers;
}

/* Writes a row of the table as the line it came from. */
static void row_as_line(sqlite3_stmt *select, char *line, size_t capacity)
{
    size_t length = 0;
    for (int column = 1; column <= COLUMNS && length < capacity; column++) {
        const unsigned char *cell = sqlite3_column_text(select, column);
        length += (size_t)snprintf(line + length, capacity - length, "%s%s", column > 1 ? "," : "",
                                   cell ? (const char *)cell : "NA");
    }
}

/* Reads the table back: under each row id stands the line that was answered with it, and nothing else is there. */
static void verify(const char *path, const struct text *lines, size_t count, const struct answer *answers)
{
    const struct text **line_of = allocate(count + 1, sizeof *line_of); /* by row id: 1 to count */
    size_t expected = 0, found = 0;
    for (size_t i = 0; i < count; i++) {
        if (answers[i].results != 1)
            die("verify", answers[i].results ? "a line has two results" : "a line has no result");
        if (answers[i].code != MB_OK) {
            printf("   its outcome: FAILED, code %" PRId32 ", \"%s\"\n", answers[i].code, answers[i].message);
            continue;
        }
        if (answers[i].id < 1 || (uint64_t)answers[i].id > count || line_of[answers[i].id] != NULL)
            die("verify", "a row id came twice, or is none");
        line_of[answers[i].id] = &lines[i];
        expected++;
    }

    sqlite3 *database = open_database(path, NULL);
    sqlite3_stmt *select = prepare(database, "SELECT * FROM flights");
    int code;
    while ((code = sqlite3_step(select)) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(select, 0);
        char line[512];
        if (id < 1 || (uint64_t)id > count || line_of[id] == NULL)
            die("verify", "a row that nobody was answered with");
        row_as_line(select, line, sizeof line);
        if (strlen(line) != line_of[id]->length || memcmp(line, line_of[id]->data, line_of[id]->length) != 0)
            die("verify", "a row is not the line that was answered with it");
        found++;
    }
    if (code != SQLITE_DONE)
        die("SELECT", sqlite3_errmsg(database));
    if (found != expected)
        die("verify", "rows are missing");
    printf("   %zu rows read back, each line there exactly once\n", found);
    sqlite3_finalize(select);
    sqlite3_close(database);
    free(line_of);
}

/* The databases live in a directory that goes when the program ends, however it ends. */
static char directory[400], slow_path[440], fast_path[440];

static void remove_directory(void)
{
    unlink(slow_path);
    unlink(fast_path);
    rmdir(directory);
}

static void make_directory(void)
{
    const char *temporary = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/microbatch-quickstart-XXXXXX", temporary ? temporary : "/tmp");
    if (mkdtemp(directory) == NULL)
        die(directory, "cannot be made");
    snprintf(slow_path, sizeof slow_path, "%s/one-by-one.db", directory);
    snprintf(fast_path, sizeof fast_path, "%s/in-batches.db", directory);
    atexit(remove_directory);
}

static void a_real_database(const struct flights *file, double seconds)
{
    make_directory();
    printf("\n2. A real database\n\n");
    double begun = seconds_now();
    size_t slow_rows = one_by_one(slow_path, file, seconds);
    double slow_time = seconds_now() - begun;

    /* The extra line travels in the middle of the others. */
    size_t middle = file->count / 2, count = file->count + 1;
    struct text *lines = allocate(count, sizeof *lines);
    memcpy(lines, file->lines, middle * sizeof *lines);
    lines[middle] = (struct text){ EXTRA, strlen(EXTRA) };
    memcpy(lines + middle + 1, file->lines + middle, (file->count - middle) * sizeof *lines);
    begun = seconds_now();
    struct answer *answers = in_batches(fast_path, lines, count);
    double fast_time = seconds_now() - begun;

    verify(fast_path, lines, count, answers);
    double slow = (double)slow_rows / slow_time, fast = (double)file->count / fast_time;
    printf("\n");
    printf("   rate  one transaction a row: %zu rows in %.2f s, %.0f rows/s\n", slow_rows, slow_time, slow);
    printf("   rate  a transaction a batch: %zu rows in %.2f s, %.0f rows/s\n", file->count, fast_time, fast);
    printf("   rate  ratio: %.1f\n", fast / slow);

    free(answers);
    free(lines);
}

int main(int argc, char **argv)
{
    struct flights file = read_flights(argc > 1 ? argv[1] : "examples/data/flights-2013-02.csv");
    values_of_every_kind(&file);
    a_real_database(&file, argc > 2 ? atof(argv[2]) : 3.0);
    free(file.lines);
    free(file.bytes);
    return EXIT_SUCCESS;
}
