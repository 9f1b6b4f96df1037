/* Who is in a call with which batcher, so that it is freed when nobody is.

   A push is a matter of nanoseconds and happens on every thread: it marks its batcher in a record of its own thread, with
   plain stores. Whoever closes sets `closing`, makes every thread pass a barrier, and waits until no record shows the
   batcher. Calls that may last or call back are counted instead; the last of them to end frees the batcher. */

#include "glue.h"

#include <linux/membarrier.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t records_lock = PTHREAD_MUTEX_INITIALIZER;
static struct record *records;
static pthread_key_t record_key;
static bool has_key;
bool in_use_has_barrier;

_Thread_local struct record *my_record;
static _Thread_local struct call *my_calls;

static void forget_record(void *pointer)
{
    struct record *gone = pointer;
    my_record = NULL;
    pthread_mutex_lock(&records_lock);
    for (struct record **at = &records; *at != NULL; at = &(*at)->next) {
        if (*at == gone) {
            *at = gone->next;
            break;
        }
    }
    pthread_mutex_unlock(&records_lock);
    free(gone);
}

void in_use_setup(void)
{
    if (!has_key) {
        has_key = pthread_key_create(&record_key, forget_record) == 0;
    }
    in_use_has_barrier = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

struct record *make_record(void)
{
    struct record *record = has_key ? calloc(1, sizeof *record) : NULL;
    if (record == NULL) {
        return NULL;
    }
    if (pthread_setspecific(record_key, record) != 0) {
        free(record);
        return NULL;
    }
    pthread_mutex_lock(&records_lock);
    record->next = records;
    records = record;
    pthread_mutex_unlock(&records_lock);
    my_record = record;
    return record;
}

/* Called after `closing` was set: returns when no push that did not see it is left. */
void await_unused(const void *host_or_producer)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (in_use_has_barrier) {
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    }
    for (;;) {
        bool used = false;
        pthread_mutex_lock(&records_lock);
        for (struct record *record = records; record != NULL && !used; record = record->next) {
            used = atomic_load_explicit(&record->host, memory_order_acquire) == host_or_producer
                || atomic_load_explicit(&record->producer, memory_order_acquire) == host_or_producer;
        }
        pthread_mutex_unlock(&records_lock);
        if (!used) {
            return;
        }
        sched_yield();
    }
}

bool call_begin(struct call *call, struct host *host, JNIEnv *env, jobject core)
{
    atomic_fetch_add(&host->users, 1);
    call->outer = my_calls;
    call->host = host;
    call->env = env;
    call->core = core;
    my_calls = call;
    if (atomic_load(&host->closing) == LET_GO) {
        call_end(call);
        return false;
    }
    return true;
}

/* The last user frees the batcher, still inside its call, so that callbacks find their way. */
void call_end(struct call *call)
{
    struct host *host = call->host;
    if (atomic_fetch_sub(&host->users, 1) == 1 && !host->attached) {
        mb_batcher *batcher = atomic_exchange(&host->batcher, NULL);
        if (batcher != NULL) {
            host->api->mb_batcher_free(batcher);
        }
    }
    my_calls = call->outer;
}

struct call *call_of(const struct host *host)
{
    for (struct call *call = my_calls; call != NULL; call = call->outer) {
        if (call->host == host) {
            return call;
        }
    }
    return NULL;
}
