/* The handlers and callbacks of a scenario: they do what its script says for this call. */
#ifndef CONFORMANCE_CALLBACKS_H
#define CONFORMANCE_CALLBACKS_H

#include "batches.h"

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

#endif
