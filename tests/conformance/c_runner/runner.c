/* Plays one scenario through the C API and prints its trace: cc -std=c99 runner.c -lmicrobatch; ./a.out FILE.mbt
   README.md of the folder above describes both formats. Everything here uses the public header only. */
#include "pushes.h"

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
