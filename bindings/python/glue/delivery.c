/* Results on their way to on_result: taken by several threads, delivered by one at a time in the order of their turns. All of
   it under the GIL. */

#include "glue.h"

#include <stdlib.h>

/* One set whose turn has not come. */
struct turn {
    struct turn *next;
    uint64_t number;
    size_t count;
    PyObject *columns;           /* NULL: nothing of it is for on_result. */
};

static void wake_waiters(struct delivery *delivery)
{
    for (struct thread_wait *wait = delivery->waiters; wait != NULL; wait = wait->next) {
        thread_wake(wait);
    }
}

static struct turn *take_turn(struct delivery *delivery)
{
    struct turn **at = &delivery->waiting, *found;
    while (*at != NULL && (*at)->number != delivery->done + 1) {
        at = &(*at)->next;
    }
    found = *at;
    if (found != NULL) {
        *at = found->next;
    }
    return found;
}

/* One set after another as long as their turns have come. */
static void deliver_due(struct host *host, PyObject *on_result)
{
    struct delivery *delivery = &host->delivery;
    struct turn *turn;
    while (!delivery->busy && (turn = take_turn(delivery)) != NULL) {
        delivery->done++;
        if (turn->columns != NULL) {
            delivery->busy = true;
            hand_results(host, on_result, turn->columns);
            delivery->busy = false;
            Py_DECREF(turn->columns);
        }
        delivery->values += turn->count;
        free(turn);
        wake_waiters(delivery);
    }
}

/* Answers the replies of a set, and delivers the rest, or leaves it to the thread that delivers now. Takes the set. */
void deliver(struct host *host, PusherObject *pusher, mb_results *results)
{
    mb_results_view view;
    PyObject *columns = NULL;
    size_t others, count;
    struct turn *turn;
    view.struct_size = sizeof view;
    host->api->mb_results_get_view(results, &view);
    others = replies_resolve(host, results, &count);
    if (others > 0 && pusher->on_result != NULL) {
        columns = results_for_others(host, results, others, count, true);
        if (columns == NULL) {
            PyErr_WriteUnraisable(host->self); /* its turn must not be missed */
        }
    } else {
        host->api->mb_results_free(results);
    }
    turn = malloc(sizeof *turn);
    if (turn == NULL) {
        Py_FatalError("microbatch: no memory to deliver results");
    }
    turn->next = host->delivery.waiting;
    turn->number = view.turn;
    turn->count = view.count;
    turn->columns = columns;
    host->delivery.waiting = turn;
    deliver_due(host, pusher->on_result);
}

void delivery_end(struct host *host)
{
    host->delivery.running = false;
    wake_waiters(&host->delivery);
}

void delivery_free(struct delivery *delivery)
{
    while (delivery->waiting != NULL) {
        struct turn *turn = delivery->waiting;
        delivery->waiting = turn->next;
        Py_XDECREF(turn->columns);
        free(turn);
    }
}

/* await_delivered(limit, begun): until everything that the engine has handed out is delivered. Raises Timeout. */
PyObject *host_await_delivered(PyObject *self, PyObject *args)
{
    struct host *host = HOST(self);
    struct delivery *delivery = &host->delivery;
    mb_stats stats;
    uint64_t wanted;
    long long limit, begun;
    mb_status status;
    if (!PyArg_ParseTuple(args, "LL", &limit, &begun)) {
        return NULL;
    }
    if (!delivery->running || host->forks != forks) {
        Py_RETURN_NONE;
    }
    if (!host_enter(host)) {
        return NULL;
    }
    stats.struct_size = sizeof stats;
    status = host->api->mb_batcher_stats(host->batcher, &stats);
    host_leave(host);
    if (status != MB_OK) {
        return raise_status(status, NULL);
    }
    wanted = stats.ok + stats.failed + stats.expired + stats.cancelled + stats.discarded - stats.undelivered;
    while (delivery->values < wanted && (delivery->running || delivery->busy)) {
        if (remaining(limit, begun) <= 0) {
            return raise_status(limit == 0 ? MB_ERR_IN_PROGRESS : MB_ERR_TIMEOUT, NULL);
        }
        if (!thread_sleep(&delivery->waiters, remaining(limit, begun))) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

/* await_end(limit, begun, in_time): after a close, until the last set is delivered; not for a callback that outlasts the time */
PyObject *host_await_end(PyObject *self, PyObject *args)
{
    struct delivery *delivery = &HOST(self)->delivery;
    long long limit, begun;
    int in_time;
    if (!PyArg_ParseTuple(args, "LLp", &limit, &begun, &in_time)) {
        return NULL;
    }
    while ((delivery->running || delivery->busy) && HOST(self)->forks == forks) {
        if (!in_time && delivery->busy && remaining(limit, begun) <= 0) {
            break;
        }
        /* the callback that outlasts may begin only now */
        if (!thread_sleep(&delivery->waiters, in_time || limit == MB_FOREVER ? MB_FOREVER : 50 * MB_MS)) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}
