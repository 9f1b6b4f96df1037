/* Parts of a batch: their handlers run one after another, also where one lets go of its part before it returns; and what a host
   that takes parts itself does with them. */

#include "glue.h"

/* A part that was kept or completed lets the next one come, and a batch that was completed gives its slot back: for a handler
   of Python's only its return does. */
static bool must_wait(const struct host *host, uint64_t number)
{
    int64_t count = 0;
    for (const struct running *at = host->running; at != NULL; at = at->next) {
        count++;
        if (at->number == number) {
            return true;
        }
    }
    return count >= host->max_running;
}

void running_begin(struct host *host, struct running *me)
{
    while (must_wait(host, me->number)) {
        if (!thread_sleep(&host->turns, MB_FOREVER)) {
            told_of("microbatch: a handler could not wait for another");
            break;
        }
    }
    me->next = host->running;
    host->running = me;
}

void running_end(struct host *host, struct running *me)
{
    struct running **at = &host->running;
    while (*at != me) {
        at = &(*at)->next;
    }
    *at = me->next;
    for (struct thread_wait *wait = host->turns; wait != NULL; wait = wait->next) {
        thread_wake(wait);
    }
}

/* complete_next() -> Results that are ready then, or None */
PyObject *batch_complete_next(PyObject *object, PyObject *ignored)
{
    BatchObject *self = (BatchObject *)object;
    mb_batch *batch = self->batch;
    mb_results *results = NULL;
    mb_status status;
    PyObject *columns, *set;
    (void)ignored;
    if (batch_gone(self)) {
        return NULL;
    }
    if (self->held) {
        self->batch = NULL;
        Py_CLEAR(self->pin);
    }
    status = self->host->api->mb_batch_complete_next(batch, &results);
    if (results == NULL) {
        return batch_done(self, status);
    }
    columns = results_columns(self->host, results, true);
    set = columns == NULL ? NULL : PyObject_CallFunctionObjArgs(results_class, columns, NULL);
    Py_XDECREF(columns);
    host_drain(self->host);
    return set;
}
