/* Replies by their tags, which name a slot: bit 63, a generation, and the number of the slot. A set of results answers its
   replies in one go, and each loop is woken once for it. Everything here runs with the GIL. */

#include "reply.h"

#include <stdlib.h>

/* ---- Slots ---- */

#define NO_SLOT UINT32_MAX
#define GENERATION_SHIFT 32
#define GENERATIONS 0x7fffffffu

/* The reply is borrowed, unless somebody is to be told of it: one that nobody wants any more leaves its slot, which is free
   once the result has come. */
struct slot {
    ReplyObject *reply;
    uint32_t generation;
    uint32_t next;               /* The next free slot. */
};

unsigned forks;                  /* How often this process is the child of a fork. */

static uint64_t slot_take(struct host *host, ReplyObject *reply)
{
    struct replies *replies = &host->replies;
    uint32_t at;
    if (replies->free == NO_SLOT || replies->count == 0) {
        uint32_t count = replies->count == 0 ? 64 : 2 * replies->count;
        struct slot *slots = count < replies->count ? NULL : realloc(replies->slots, count * sizeof *slots);
        if (slots == NULL) {
            PyErr_NoMemory();
            return 0;
        }
        for (uint32_t fresh = replies->count; fresh < count; fresh++) {
            slots[fresh].reply = NULL;
            slots[fresh].generation = 0;
            slots[fresh].next = fresh + 1 < count ? fresh + 1 : NO_SLOT;
        }
        replies->free = replies->count;
        replies->slots = slots;
        replies->count = count;
    }
    at = replies->free;
    replies->free = replies->slots[at].next;
    replies->slots[at].reply = reply;
    return REPLY_TAGS | (uint64_t)replies->slots[at].generation << GENERATION_SHIFT | at;
}

static struct slot *slot_of(struct host *host, uint64_t tag)
{
    uint32_t at = (uint32_t)tag;
    struct slot *slot = tag >= REPLY_TAGS && at < host->replies.count ? &host->replies.slots[at] : NULL;
    return slot != NULL && slot->generation == (tag >> GENERATION_SHIFT & GENERATIONS) ? slot : NULL;
}

static void slot_free(struct host *host, struct slot *slot)
{
    slot->reply = NULL;
    slot->generation = (slot->generation + 1) & GENERATIONS;
    slot->next = host->replies.free;
    host->replies.free = (uint32_t)(slot - host->replies.slots);
}

void slot_leave(struct host *host, ReplyObject *reply)
{
    struct slot *slot = slot_of(host, reply->tag);
    if (slot != NULL && slot->reply == reply) {
        slot->reply = NULL;
    }
}

/* ---- Made, and answered ---- */

ReplyObject *reply_new(PyObject *pusher, PyObject *host)
{
    ReplyObject *self = PyObject_GC_New(ReplyObject, reply_type);
    if (self == NULL) {
        return NULL;
    }
    self->pusher = NULL;
    self->host = NULL;
    self->value = NULL;
    self->callback = self->context = self->loop = self->more = NULL;
    self->threads = NULL;
    self->state = PENDING;
    self->blocking = false;
    self->handled = MB_HANDLED_MAYBE;
    self->kept = false;
    self->tag = slot_take(HOST(host), self);
    if (self->tag == 0) {
        Py_DECREF((PyObject *)self);
        return NULL;
    }
    self->host = Py_NewRef(host);
    self->pusher = Py_NewRef(pusher);
    return self;
}

/* The collector looks only at replies that may be in a cycle: a plain number is in none. */
void track(ReplyObject *self)
{
    if (!PyObject_GC_IsTracked((PyObject *)self)) {
        PyObject_GC_Track((PyObject *)self);
    }
}

static bool is_plain(PyObject *value)
{
    return PyLong_CheckExact(value) || PyFloat_CheckExact(value) || PyUnicode_CheckExact(value) || value == Py_None
           || PyBool_Check(value) || PyBytes_CheckExact(value);
}

/* Answers a reply, whose slot is left already. Takes the value. */
void answer(ReplyObject *self, int state, PyObject *value, struct wakes *wakes)
{
    PyObject *host = self->host, *pusher = self->pusher;
    self->state = (uint8_t)state;
    self->value = value;
    self->host = self->pusher = NULL;
    if (value != NULL && !is_plain(value)) {
        track(self);
    }
    for (struct thread_wait *wait = self->threads; wait != NULL; wait = wait->next) {
        HOST(host)->woke = true;
        thread_wake(wait);
    }
    if (self->callback != NULL) {
        PyObject *more = self->more;
        bool good = gather_for(wakes, self->loop, self->callback, self->context, (PyObject *)self);
        self->more = NULL;
        for (Py_ssize_t at = 0; more != NULL && good && at + 2 < PyList_Size(more); at += 3) {
            good = gather_for(wakes, PyList_GetItem(more, at), PyList_GetItem(more, at + 1),
                              PyList_GetItem(more, at + 2), (PyObject *)self);
        }
        Py_XDECREF(more);
        Py_CLEAR(self->callback);
        Py_CLEAR(self->context);
        Py_CLEAR(self->loop);
        if (!good) {
            PyErr_WriteUnraisable((PyObject *)self);
        }
    }
    if (self->kept) {
        self->kept = false;
        Py_DECREF((PyObject *)self); /* the caller has another */
    }
    Py_XDECREF(pusher); /* may be the last to know the batcher, which is freed then */
    Py_XDECREF(host);
}

static PyObject *row_exception(struct host *host, const mb_results *results, const mb_results_view *view, size_t row,
                               PyObject *thrown)
{
    mb_row_error error;
    mb_status status;
    uint32_t outcome = view->outcomes == NULL ? MB_OUTCOME_OK : view->outcomes[row];
    if (thrown != NULL && outcome == MB_OUTCOME_FAILED) {
        return Py_NewRef(thrown);
    }
    error.struct_size = sizeof error;
    status = host->api->mb_results_error(results, row, &error);
    if (status != MB_OK) {
        return PyObject_CallFunction(make_error, "is", (int)status, NULL);
    }
    return PyObject_CallFunction(make_row_error, "iss#ii", (int)error.code, error.type_name, error.message,
                                 (Py_ssize_t)error.length, (int)outcome, (int)error.handled);
}

/* Takes what a handler of Python's threw for a value: the very exception. */
static PyObject *take_thrown(struct host *host, uint64_t tag)
{
    PyObject *key, *thrown;
    if ((key = PyLong_FromUnsignedLongLong(tag)) == NULL) {
        return NULL;
    }
    thrown = PyDict_GetItem(host->thrown, key);
    Py_XINCREF(thrown);
    if (thrown != NULL) {
        PyDict_DelItem(host->thrown, key);
    }
    Py_DECREF(key);
    return thrown;
}

size_t replies_resolve(struct host *host, const mb_results *results, size_t *count)
{
    mb_results_view view;
    struct wakes wakes = {NULL, NULL, NULL};
    struct inside inside;
    size_t others = 0;
    bool threw = host->thrown != NULL && PyDict_Size(host->thrown) > 0;
    view.struct_size = sizeof view;
    *count = 0;
    if (host->api->mb_results_get_view(results, &view) != MB_OK) {
        return 0;
    }
    *count = view.count;
    if (host->replies.count == 0) {
        return view.count;
    }
    for (size_t row = 0; row < view.count; row++) {
        uint64_t tag = view.tags[row];
        struct slot *slot = slot_of(host, tag);
        ReplyObject *reply;
        PyObject *value, *thrown;
        int state = DONE;
        if (slot == NULL) {
            others++;
            continue;
        }
        reply = slot->reply;
        Py_XINCREF((PyObject *)reply);
        slot_free(host, slot);
        thrown = threw ? take_thrown(host, tag) : NULL;
        if (reply == NULL || reply->state != PENDING) {
            Py_XDECREF((PyObject *)reply);
            Py_XDECREF(thrown);
            continue;
        }
        if (view.kind == MB_KIND_INT64) {
            value = PyLong_FromLongLong(((const int64_t *)view.values)[row]);
        } else if (view.kind == MB_KIND_FLOAT64) {
            value = PyFloat_FromDouble(((const double *)view.values)[row]);
        } else if (view.outcomes != NULL && view.outcomes[row] != MB_OUTCOME_OK) {
            state = FAILED;
            value = row_exception(host, results, &view, row, thrown);
        } else {
            mb_value read;
            mb_status status = host->api->mb_results_value(results, row, &read);
            value = status == MB_OK ? value_make(host, &read) : raise_status(status, NULL);
        }
        if (value == NULL) {
            value = take_exception();
            state = FAILED;
        }
        answer(reply, state, value, &wakes);
        Py_XDECREF(thrown);
        Py_DECREF((PyObject *)reply);
    }
    /* What waits for a reply may be called here, on a thread that the batcher needs to go on. */
    inside_enter(host, &inside);
    wake_all(&wakes);
    inside_leave(host, &inside);
    return others;
}

/* The batcher is freed: what nobody took the results of was discarded. */
void replies_discard(struct host *host)
{
    struct wakes wakes = {NULL, NULL, NULL};
    for (uint32_t at = 0; at < host->replies.count; at++) {
        ReplyObject *reply = host->replies.slots[at].reply;
        PyObject *value;
        if (reply == NULL) {
            continue;
        }
        host->replies.slots[at].reply = NULL;
        value = PyObject_CallFunction(make_row_error, "isOii", MB_ERR_DISCARDED, "", Py_None, MB_OUTCOME_DISCARDED,
                                      MB_HANDLED_MAYBE);
        if (value == NULL) {
            PyErr_WriteUnraisable((PyObject *)reply);
            value = Py_NewRef(PyExc_MemoryError);
        }
        Py_INCREF((PyObject *)reply);
        answer(reply, FAILED, value, &wakes);
        Py_DECREF((PyObject *)reply);
    }
    wake_all(&wakes);
}

/* A push that was refused: the reply was never handed out. */
void reply_refused(ReplyObject *self)
{
    struct slot *slot = slot_of(HOST(self->host), self->tag);
    if (slot != NULL) {
        slot_free(HOST(self->host), slot);
    }
    Py_DECREF((PyObject *)self);
}

int replies_visit(struct host *host, visitproc visit, void *arg)
{
    for (uint32_t at = 0; at < host->replies.count; at++) {
        ReplyObject *reply = host->replies.slots[at].reply;
        if (reply != NULL && reply->kept) {
            Py_VISIT((PyObject *)reply);
        }
    }
    return 0;
}

void replies_free(struct host *host)
{
    free(host->replies.slots);
}
