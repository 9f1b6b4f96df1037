/* What other threads have for the loop of a threaded batcher: objects that were given back, and closes that ended. */

#include "glue.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* A close needs little. */
#define CLOSER_STACK (256 * 1024)

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

/* Takes what came, on the loop's thread: the words, and the closers that are done. */
static size_t take(struct host *host, uint64_t **words, struct closer **done)
{
    struct mail *mail = &host->mail;
    struct closer **at = &mail->closers;
    size_t count;
    *done = NULL;
    pthread_mutex_lock(&mail->lock);
    *words = mail->words;
    count = mail->count;
    mail->words = NULL;
    mail->count = mail->capacity = 0;
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
    return count;
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
    uint64_t *words;
    struct closer *done, *next;
    size_t count = take(host, &words, &done);
    for (size_t at = 0; at < count; at++) {
        tell(host, host->state->on_release, (double)words[at], 0);
    }
    free(words);
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
    over = host->mail.over;
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

/* The engine has called for the last time. */
void mail_over(void *data)
{
    struct host *host = data;
    pthread_mutex_lock(&host->mail.lock);
    host->mail.over = true;
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
