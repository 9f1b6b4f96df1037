/* Lines of log. The engine's threads never enter the virtual machine: lines wait here, and Java's threads fetch them. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>

/* How many lines wait at most, and how long one may be; more are dropped, and counted. */
#define LINES 256
#define LONGEST 4096

struct line {
    struct line *next;
    int32_t level;
    size_t length;
    char text[];
};

void host_log(void *user_data, int32_t level, const char *message, size_t length)
{
    struct host *host = user_data;
    struct line *line = length > LONGEST ? NULL : malloc(sizeof *line + length);
    if (line != NULL) {
        line->next = NULL;
        line->level = level;
        line->length = length;
        memcpy(line->text, message, length);
    }
    pthread_mutex_lock(&host->lock);
    if (line == NULL || host->line_count == LINES) {
        host->lines_dropped++;
        free(line);
    } else {
        struct line **end = &host->lines;
        while (*end != NULL) {
            end = &(*end)->next;
        }
        *end = line;
        host->line_count++;
    }
    atomic_store_explicit(&host->has_log, true, memory_order_relaxed); /* a hint: Java's threads pass again */
    pthread_mutex_unlock(&host->lock);
}

/* The oldest line, or NULL if none waits; out: its level, and how many lines were dropped since the last answer. */
static jbyteArray nextLine(JNIEnv *env, jclass class, jobject core, jlong address, jlongArray out)
{
    struct host *host = HOST(address);
    struct line *line;
    jbyteArray text = NULL;
    jlong told[2] = {0, 0};
    (void)class;
    (void)core;
    pthread_mutex_lock(&host->lock);
    line = host->lines;
    if (line != NULL) {
        host->lines = line->next;
        host->line_count--;
        told[0] = line->level;
    }
    told[1] = (jlong)host->lines_dropped;
    host->lines_dropped = 0;
    atomic_store_explicit(&host->has_log, host->lines != NULL, memory_order_relaxed);
    pthread_mutex_unlock(&host->lock);
    if (line != NULL) {
        text = bytes_to_java(env, line->text, line->length);
        free(line);
    }
    if (!(*env)->ExceptionCheck(env)) {
        (*env)->SetLongArrayRegion(env, out, 0, 2, told);
    }
    return text;
}

void host_forget_log(struct host *host)
{
    while (host->lines != NULL) {
        struct line *line = host->lines;
        host->lines = line->next;
        free(line);
    }
}

METHODS(log_methods, METHOD(nextLine, "(" CORE "J[J)[B"));
