/* Batching in plain C89: one select loop, no thread anywhere.

       cargo build --release
       cc -std=c89 -Iinclude examples/legacy.c target/release/libmicrobatch.a -lpthread -lm -ldl -o target/legacy
       target/legacy [option=value ...]                       such as max_batch_size=10 max_delay=1s

   Reads lines from standard input as they come and prints them in batches: when there are five of them, or when the
   oldest has waited for 200 ms. The arguments set any option of the batcher by its name. */

#define _POSIX_C_SOURCE 200112L
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

#include "microbatch.h"

static void die(const char *what, const char *message)
{
    fprintf(stderr, "legacy: %s: %s\n", what, message);
    exit(EXIT_FAILURE);
}

static void check(mb_status status, const char *what)
{
    if (status != MB_OK)
        die(what, mb_status_text(status));
}

static const char *trigger_name(size_t trigger)
{
    static const char *const names[] = { "?", "SIZE", "BYTES", "DELAY", "IDLE", "FULL", "FLUSH", "CLOSE" };
    return names[trigger <= MB_TRIGGER_CLOSE ? trigger : 0];
}

/* ---- The handler ------------------------------------------------------------------------------------------- */

/* Prints a batch. The tag of a line is its number. */
static mb_status print_batch(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view;
    mb_value line;
    mb_status status;
    size_t row;

    (void)user_data;
    (void)api;
    view.struct_size = sizeof view;
    status = mb_batch_get_view(batch, &view);
    if (status != MB_OK)
        return status;
    printf("batch %lu: %lu lines, %s\n", (unsigned long)view.number, (unsigned long)view.count,
           trigger_name(view.trigger));
    for (row = 0; row < view.count; row++) {
        status = mb_batch_value(batch, row, &line);
        if (status != MB_OK)
            return status;
        printf("%5lu: ", (unsigned long)view.tags[row]);
        fwrite(line.as.string.data, 1, line.as.string.length, stdout);
        putchar('\n');
        mb_batch_set_null(batch, row);
    }
    fflush(stdout);
    return MB_OK;
}

/* ---- Lines ------------------------------------------------------------------------------------------------- */

/* The line that is being read; its end may still be on the way. */
static char *line;
static size_t line_length, line_capacity;
static unsigned long line_number;

/* Pushes a whole line. A full queue is emptied by run; any other refusal is told, and the line is left out. */
static void push_line(mb_batcher *batcher, const char *data, size_t length)
{
    mb_status status;

    line_number++;
    status = mb_batcher_push_string(batcher, data, length, line_number);
    if (status == MB_ERR_QUEUE_FULL || status == MB_ERR_QUEUE_FULL_BYTES) {
        check(mb_batcher_run(batcher), "mb_batcher_run");
        status = mb_batcher_push_string(batcher, data, length, line_number);
    }
    if (status != MB_OK) {
        printf("line %lu refused: %s\n", line_number, mb_status_name(status));
        fflush(stdout);
    }
}

static void append(const char *data, size_t length)
{
    if (line_length + length >= line_capacity) {
        line_capacity = 2 * (line_length + length) + 80;
        line = realloc(line, line_capacity);
        if (line == NULL)
            die("realloc", "out of memory");
    }
    memcpy(line + line_length, data, length);
    line_length += length;
}

/* Reads what is there, once, and pushes the lines that it completes. Returns 0 at the end of the input. */
static int read_lines(mb_batcher *batcher)
{
    char chunk[4096];
    const char *rest = chunk, *newline;
    ssize_t count = read(STDIN_FILENO, chunk, sizeof chunk);

    if (count < 0) {
        if (errno == EINTR || errno == EAGAIN)
            return 1;
        die("read", strerror(errno));
    }
    if (count == 0) {
        if (line_length > 0)
            push_line(batcher, line, line_length); /* the last line has no newline */
        return 0;
    }
    while ((newline = memchr(rest, '\n', (size_t)(chunk + count - rest))) != NULL) {
        append(rest, (size_t)(newline - rest));
        push_line(batcher, line, line_length);
        line_length = 0;
        rest = newline + 1;
    }
    append(rest, (size_t)(chunk + count - rest));
    return 1;
}

/* ---- The program ------------------------------------------------------------------------------------------- */

static void set_options(mb_options *options, int argc, char **argv)
{
    mb_error *error = NULL;
    int i;

    check(mb_options_init(options, sizeof *options), "mb_options_init");
    options->mode = MB_MODE_MANUAL;
    options->max_batch_size = 5;
    options->max_delay = 200 * MB_MS;
    options->handler = print_batch;
    for (i = 1; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (equals == NULL)
            die(argv[i], "must be of the form option=value");
        *equals = '\0';
        if (mb_options_set(options, argv[i], equals + 1, &error) != MB_OK)
            die("option", mb_error_message(error)); /* says which, and what it would take */
    }
}

static void print_totals(mb_batcher *batcher)
{
    mb_stats stats;
    size_t trigger;

    stats.struct_size = sizeof stats;
    check(mb_batcher_stats(batcher, &stats), "mb_batcher_stats");
    printf("total: %lu lines accepted, %lu printed, %lu failed; %lu batches:", (unsigned long)stats.accepted,
           (unsigned long)stats.ok, (unsigned long)stats.failed, (unsigned long)stats.batches);
    for (trigger = MB_TRIGGER_SIZE; trigger <= MB_TRIGGER_CLOSE; trigger++)
        if (stats.triggers[trigger] > 0)
            printf(" %s %lu", trigger_name(trigger), (unsigned long)stats.triggers[trigger]);
    putchar('\n');
}

int main(int argc, char **argv)
{
    mb_options options;
    mb_batcher *batcher = NULL;
    mb_error *error = NULL;
    int32_t due; /* readable when the batcher has something to do */
    int reading = 1;

    set_options(&options, argc, argv);
    if (mb_batcher_new(&options, &batcher, &error) != MB_OK)
        die("mb_batcher_new", mb_error_message(error));
    check(mb_batcher_fd(batcher, &due), "mb_batcher_fd");

    while (reading) {
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(STDIN_FILENO, &readable);
        FD_SET(due, &readable);
        if (select(due + 1, &readable, NULL, NULL, NULL) < 0) {
            if (errno == EINTR)
                continue;
            die("select", strerror(errno));
        }
        if (FD_ISSET(STDIN_FILENO, &readable))
            reading = read_lines(batcher);
        check(mb_batcher_run(batcher), "mb_batcher_run"); /* prints what is full or has waited long enough */
    }

    check(mb_batcher_close(batcher, MB_FOREVER, NULL), "mb_batcher_close"); /* prints the rest */
    print_totals(batcher);
    check(mb_batcher_free(batcher), "mb_batcher_free");
    free(line);
    return EXIT_SUCCESS;
}
