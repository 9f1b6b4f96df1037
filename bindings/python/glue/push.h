/* What push.c and producer.c share. */

#ifndef MICROBATCH_PUSH_H
#define MICROBATCH_PUSH_H

#include "glue.h"

/* value, tag (where there is one), deadline and timeout; by place only the first two. */
struct arguments {
    PyObject *value;
    PyObject *tag;
    PyObject *deadline;
    PyObject *timeout;
};

#define KEYWORDS(function) ((PyCFunction)(void (*)(void))function), METH_FASTCALL | METH_KEYWORDS

bool parse(const char *name, PyObject *const *args, Py_ssize_t count, PyObject *names, bool tagged, struct arguments *to);
bool tag_of(struct host *host, PyObject *given, uint64_t *tag);
int64_t deadline_of(PyObject *pusher, const struct arguments *from);     /* on the batcher's clock, 0 for none; -1: an error is set */
/* Gives back and tells what waits, which may free the batcher. false: it is freed, and an error is set. */
bool still_open(struct host *host);
/* The Host, for the length of a call: what runs in it, or another thread, may free the batcher. NULL: freed, and an error is set. */
PyObject *open_host(PyObject *self);
/* Pushes, and waits for room where that is wanted. false: an error is set. */
bool push_object(struct host *host, mb_producer *producer, PyObject *object, uint64_t tag, int64_t deadline);
/* The same; answers the Reply. of: the Host of the pusher. */
PyObject *submit_object(PyObject *pusher, PyObject *of, mb_producer *producer, PyObject *object, int64_t deadline);

#endif
