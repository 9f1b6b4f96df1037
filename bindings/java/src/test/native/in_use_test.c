/* in_use.c by itself: who closes waits for every push that began before, refuses those that begin after, and the last call
   under way frees. Prints nothing and ends with 0 if all of it holds. */

#include "../../main/c/glue.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                         \
    do {                                                                         \
        if (!(condition)) {                                                      \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);      \
            exit(1);                                                             \
        }                                                                        \
    } while (0)

static struct host host;
static struct producer producer = {.host = &host};
static atomic_int inside, leave, unused, freed;

static mb_status count_free(mb_batcher *batcher)
{
    CHECK(batcher != NULL);
    freed++;
    return MB_OK;
}

static void *push(void *by_producer)
{
    struct record *record = by_producer != NULL ? use_begin_producer(&producer) : use_begin(&host);
    CHECK(record != NULL);
    inside++;
    while (!leave) {
        sched_yield();
    }
    use_end_producer(record);
    return NULL;
}

static void *wait_unused(void *what)
{
    await_unused(what);
    unused = 1;
    return NULL;
}

/* One thread pushes; closing waits for it, and for nothing else. */
static void close_waits(void *what, atomic_uchar *closing, void *by_producer)
{
    pthread_t pusher, closer;
    inside = leave = unused = 0;
    await_unused(what);
    CHECK(pthread_create(&pusher, NULL, push, by_producer) == 0);
    while (!inside) {
        sched_yield();
    }
    *closing = LET_GO;
    CHECK(pthread_create(&closer, NULL, wait_unused, what) == 0);
    for (int at = 0; at < 20000; at++) {
        CHECK(!unused);
        sched_yield();
    }
    CHECK(by_producer != NULL ? !use_begin_producer(&producer) : !use_begin(&host));
    leave = 1;
    pthread_join(pusher, NULL);
    pthread_join(closer, NULL);
    CHECK(unused);
}

int main(void)
{
    static mb_api api;
    struct call outer, inner, late;
    api.mb_batcher_free = count_free;
    in_use_setup();
    host.api = &api;
    host.batcher = (mb_batcher *)&host;
    atomic_init(&host.users, 1);

    close_waits(&producer, &producer.closing, &producer);
    close_waits(&host, &host.closing, NULL);
    host.closing = CLOSED_TO_VALUES;
    CHECK(!use_begin(&host));
    CHECK(call_begin(&outer, &host, NULL, NULL));
    call_end(&outer);
    host.closing = OPEN;

    /* calls nest, and the last one frees, once */
    CHECK(call_begin(&outer, &host, NULL, NULL));
    CHECK(call_begin(&inner, &host, NULL, NULL));
    CHECK(call_of(&host) == &inner);
    host.closing = LET_GO;
    atomic_fetch_sub(&host.users, 1); /* as letGo does */
    CHECK(!call_begin(&late, &host, NULL, NULL));
    call_end(&inner);
    CHECK(freed == 0);
    CHECK(call_of(&host) == &outer);
    call_end(&outer);
    CHECK(freed == 1);
    CHECK(call_of(&host) == NULL);
    CHECK(!call_begin(&late, &host, NULL, NULL));
    CHECK(freed == 1);
    return 0;
}
