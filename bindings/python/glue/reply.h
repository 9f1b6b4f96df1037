/* What replies.c and reply.c share: how replies are found, answered and their waiters woken. */

#ifndef MICROBATCH_REPLY_H
#define MICROBATCH_REPLY_H

#include "glue.h"

enum {
    PENDING,
    DONE,                        /* value is the result. */
    FAILED,                      /* value is the exception. */
    GIVEN_UP                     /* Cancelled on this side; value is the message of the cancel, or NULL. */
};

/* Whoever waits is woken once for a whole set: callbacks are gathered by loop, as callback, context, reply, ... */
struct wakes {
    PyObject *loop;              /* Borrowed: the list keeps it. NULL for callbacks that no loop runs. */
    PyObject *list;
    PyObject *others;            /* [loop or None, list, ...] of further loops. */
};

/* asyncio's _get_running_loop and CancelledError, contextvars' copy_context, "run", our own wake. */
extern PyObject *get_running_loop, *cancelled_error, *copy_context, *run_name, *wake_function;

/* wakes.c */
bool gather_for(struct wakes *wakes, PyObject *loop, PyObject *callback, PyObject *context, PyObject *reply);
void wake_all(struct wakes *wakes);
PyObject *reply_add_done_callback(PyObject *object, PyObject *args, PyObject *kwargs);
PyObject *reply_remove_done_callback(PyObject *object, PyObject *callback);

/* replies.c */
void answer(ReplyObject *self, int state, PyObject *value, struct wakes *wakes);     /* takes the value */
void slot_leave(struct host *host, ReplyObject *reply);      /* the slot stays until the result has come */
void track(ReplyObject *self);                               /* for the collector: it may be in a cycle */

#endif
