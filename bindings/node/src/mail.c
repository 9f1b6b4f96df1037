/* What other threads have for the loop of a threaded batcher: objects that were given back, lines of log, and closes that ended. */

#include "glue.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A close needs little. */
#define CLOSER_STACK (256 * 1024)

/* A level of log, as the header numbers them. */
#define LOG_WARNING 2

/* For those whose lock is held: after mail_end the loop reads no more. */
static void wake(struct host *host)
{
    if (host->mail.async != NULL) {
        uv_async_send(host->mail.async);
    }
}

void mail_word(struct host *host, uint64_t word)
{
    struct mail *mail = &host->mail;
    pthread_mutex_lock(&mail->lock);
    if (mail->count == mail->capacity) {
        size_t capacity = mail->capacity * 2 + 64;
        uint64_t *words = realloc(mail->words, capacity * sizeof *words);
        if (words != NULL) {
            mail->words = words;
            mail->capacity = capacity;
        }
    }
    /* without memory the object is kept until its batcher goes */
    if (mail->count < mail->capacity) {
        mail->words[mail->count++] = word;
    }
    wake(host);
    pthread_mutex_unlock(&mail->lock);
}

void mail_line(struct host *host, int32_t level, const char *message, size_t length)
{
    struct mail *mail = &host->mail;
    struct line *line;
    pthread_mutex_lock(&mail->lock);
    line = mail->line_count < MAIL_LINES ? malloc(sizeof *line + length) : NULL;
    if (line == NULL) {
        mail->dropped_lines++;
    } else {
        *line = (struct line){.level = level, .length = length};
        memcpy(line->text, message, length);
        *(mail->lines == NULL ? &mail->lines : mail->last_line) = line;
        mail->last_line = &line->next;
        mail->line_count++;
    }
    wake(host);
    pthread_mutex_unlock(&mail->lock);
}

static void lines_free(struct line *lines)
{
    struct line *next;
    for (; lines != NULL; lines = next) {
        next = lines->next;
        free(lines);
    }
}

/* What nobody read. */
void mail_free(struct mail *mail)
{
    pthread_mutex_destroy(&mail->lock);
    lines_free(mail->lines);
    free(mail->words);
}

/* Takes what came, on the loop's thread: *taken, and the closers that are done. */
static void take(struct host *host, struct mail *taken, struct closer **done)
{
    struct mail *mail = &host->mail;
    struct closer **at = &mail->closers;
    *done = NULL;
    pthread_mutex_lock(&mail->lock);
    *taken = *mail;
    mail->words = NULL;
    mail->count = mail->capacity = 0;
    mail->lines = NULL;
    mail->line_count = 0;
    mail->dropped_lines = 0;
    while (*at != NULL) {
        struct closer *closer = *at;
        if (closer->done) {
            *at = closer->next;
            closer->next = *done;
            *done = closer;
        } else {
            at = &closer->next;
        }
    }
    pthread_mutex_unlock(&mail->lock);
}

static void tell(struct host *host, napi_ref function, double number, double second)
{
    napi_handle_scope scope;
    napi_value argv[3], result;
    if (host->gone || napi_open_handle_scope(host->env, &scope) != napi_ok) {
        return;
    }
    argv[1] = number_of(host->env, number);
    argv[2] = number_of(host->env, second);
    call(host, function, 3, argv, &result);
    napi_close_handle_scope(host->env, scope);
}

void read_mail(struct host *host)
{
    struct mail taken;
    struct closer *done, *next;
    take(host, &taken, &done);
    for (const struct line *line = taken.lines; line != NULL; line = line->next) {
        tell_line(host, line->level, line->text, line->length);
    }
    lines_free(taken.lines);
    if (taken.dropped_lines > 0) {
        char text[96];
        int length = snprintf(text, sizeof text, "%llu lines of log were dropped: too many waited",
                              (unsigned long long)taken.dropped_lines);
        tell_line(host, LOG_WARNING, text, (size_t)length);
    }
    for (size_t at = 0; at < taken.count; at++) {
        tell(host, host->state->on_release, (double)taken.words[at], 0);
    }
    free(taken.words);
    for (; done != NULL; done = next) {
        next = done->next;
        pthread_join(done->thread, NULL);
        tell(host, host->state->on_closed, done->status, (double)done->left);
        free(done);
    }
}

static void on_mail(uv_async_t *async)
{
    struct host *host = async->data;
    bool over;
    pthread_mutex_lock(&host->mail.lock);
    over = host->mail.sources == 0;
    pthread_mutex_unlock(&host->mail.lock);
    loop_calls(host);
    if (over) {
        mail_close(host);
    }
}

bool mail_open(struct host *host)
{
    uv_loop_t *loop;
    uv_async_t *async = calloc(1, sizeof *async);
    if (async == NULL || napi_get_uv_event_loop(host->env, &loop) != napi_ok
        || uv_async_init(loop, async, on_mail) != 0) {
        free(async);
        return false;
    }
    async->data = host;
    uv_unref((uv_handle_t *)async);
    host->mail.async = async;
    host->holds++;
    return true;
}

/* One of the engine's callbacks may come, until mail_over. */
void mail_source(struct host *host)
{
    host->holds++;
    host->mail.sources++;
}

/* One of them has come for the last time. */
void mail_over(void *data)
{
    struct host *host = data;
    pthread_mutex_lock(&host->mail.lock);
    host->mail.sources--;
    wake(host);
    pthread_mutex_unlock(&host->mail.lock);
    host_unhold(host);
}

/* Closes under way end now: what they wait for is discarded. */
void mail_hurry(struct host *host)
{
    struct closer *closers, *next;
    pthread_mutex_lock(&host->mail.lock);
    closers = host->mail.closers;
    host->mail.closers = NULL;
    pthread_mutex_unlock(&host->mail.lock);
    if (closers != NULL) {
        host->api->mb_batcher_close(host->batcher, 0, NULL);
    }
    for (; closers != NULL; closers = next) {
        next = closers->next;
        pthread_join(closers->thread, NULL);
        free(closers);
    }
}

/* The loop reads no more. */
void mail_close(struct host *host)
{
    uv_async_t *async;
    pthread_mutex_lock(&host->mail.lock);
    async = host->mail.async;
    host->mail.async = NULL;
    pthread_mutex_unlock(&host->mail.lock);
    if (async != NULL) {
        host->closing++;
        uv_close((uv_handle_t *)async, handle_closed);
    }
}

static void *run_closer(void *data)
{
    struct closer *closer = data;
    struct host *host = closer->host;
    uint64_t left = 0;
    mb_status status = host->api->mb_batcher_close(host->batcher, closer->timeout, &left);
    pthread_mutex_lock(&host->mail.lock);
    closer->status = status;
    closer->left = left;
    closer->done = true;
    wake(host);
    pthread_mutex_unlock(&host->mail.lock);
    return NULL;
}

/* closeLater(host, timeout) -> status: a close of a threaded batcher that does not hold up the loop. Nothing is taken any more
   when this returns; onClosed says the rest. */
static napi_value close_later(napi_env env, napi_callback_info info)
{
    struct host *host;
    struct closer *closer;
    pthread_attr_t attributes;
    sigset_t all, before;
    int refused;
    ARGUMENTS(2)
    host = host_of(env, argv[0]);
    closer = calloc(1, sizeof *closer);
    if (closer == NULL) {
        return number_of(env, MB_ERR_NO_MEMORY);
    }
    closer->host = host;
    closer->timeout = int64_from(env, argv[1]);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, CLOSER_STACK);
    pthread_mutex_lock(&host->mail.lock);
    refused = pthread_create(&closer->thread, &attributes, run_closer, closer);
    if (refused == 0) {
        closer->next = host->mail.closers;
        host->mail.closers = closer;
    }
    pthread_mutex_unlock(&host->mail.lock);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (refused != 0) {
        free(closer);
        return number_of(env, MB_ERR_SYSTEM);
    }
    /* the thread is on its way into close, which seals too */
    while (host->api->mb_batcher_seal(host->batcher) == MB_OK) {
        sched_yield();
    }
    return number_of(env, MB_OK);
}

/* readMail(host): what came, now. */
static napi_value read_now(napi_env env, napi_callback_info info)
{
    ARGUMENTS(1)
    read_mail(host_of(env, argv[0]));
    return NULL;
}

void mail_functions(napi_env env, napi_value exports)
{
    define(env, exports, "closeLater", close_later);
    define(env, exports, "readMail", read_now);
}
