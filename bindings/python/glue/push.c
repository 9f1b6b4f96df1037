/* Pushing one value: the type that Batcher is made from, so that a push is one call in C. */

#include "push.h"
#include "reply.h"

#include <string.h>

/* ---- Through the batcher, or one of its producers ---- */

/* What a push goes through: a producer if there is one. if_full: see MB_IF_FULL_*; 0 where the engine never waits. */
static mb_status push_once(struct host *host, mb_producer *producer, const mb_value *value, uint64_t tag, int64_t deadline,
                           uint64_t if_full)
{
    const mb_api *api = host->api;
    mb_push_options options;
    mb_status status;
    if (producer == NULL && deadline == 0 && if_full == 0 && !host->attached) {
        switch (value->kind) {
        case MB_KIND_INT64:
            return api->mb_batcher_push_int64(host->batcher, value->as.int64, tag);
        case MB_KIND_FLOAT64:
            return api->mb_batcher_push_float64(host->batcher, value->as.float64, tag);
        case MB_KIND_STRING:
            return api->mb_batcher_push_string(host->batcher, value->as.string.data, value->as.string.length, tag);
        default:
            break;
        }
    }
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.deadline = deadline;
    options.if_full = if_full;
    if (!host->attached) {
        return producer == NULL ? api->mb_batcher_push_value(host->batcher, value, tag, &options)
                                : api->mb_producer_push_value(producer, value, tag, &options);
    }
    Py_BEGIN_ALLOW_THREADS /* its owner may have it block */
    status = producer == NULL ? api->mb_batcher_push_value(host->batcher, value, tag, &options)
                              : api->mb_producer_push_value(producer, value, tag, &options);
    Py_END_ALLOW_THREADS
    return status;
}

/* Whether this thread may wait for room: not on a loop, and not in a callback. */
static bool may_wait(const struct host *host)
{
    PyObject *loop;
    if (host_inside(host)) {
        return false;
    }
    loop = PyObject_CallFunctionObjArgs(get_running_loop, NULL);
    Py_XDECREF(loop);
    return loop == Py_None;
}

PyObject *host_may_wait(PyObject *self, PyObject *ignored)
{
    (void)ignored;
    return PyBool_FromLong(may_wait(HOST(self)));
}

/* Pushes, and waits for room where that is wanted. false: an error is set. */
bool push_object(struct host *host, mb_producer *producer, PyObject *object, uint64_t tag, int64_t deadline)
{
    mb_value value;
    PyObject *keep;
    mb_status status = value_read(host, object, &value, &keep);
    if (status != MB_OK) {
        value_refused(host, status, object, NULL);
        return false;
    }
    status = push_once(host, producer, &value, tag, deadline, host->asks);
    if (status == MB_ERR_WOULD_WAIT) {
        int64_t begun = clock_now();
        int64_t limit = may_wait(host) ? host->push_timeout : 0;
        while (status == MB_ERR_WOULD_WAIT && remaining(limit, begun) > 0) {
            mb_status room = wait_room_for(host, remaining(limit, begun));
            status = room == MB_OK ? push_once(host, producer, &value, tag, deadline, host->asks)
                   : is_full(room) ? MB_ERR_WOULD_WAIT
                                   : room;
        }
        if (status == MB_ERR_WOULD_WAIT) {
            status = push_once(host, producer, &value, tag, deadline, MB_IF_FULL_REFUSE);
        }
    }
    if (status != MB_OK) {
        if (PyErr_Occurred() == NULL) {
            value_refused(host, status, object, &value);
        }
        value_forget(host, &value);
    }
    Py_XDECREF(keep);
    return status == MB_OK;
}

/* ---- Arguments ---- */

bool parse(const char *name, PyObject *const *args, Py_ssize_t count, PyObject *names, bool tagged,
                  struct arguments *to)
{
    Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
    memset(to, 0, sizeof *to);
    if (count > (tagged ? 2 : 1)) {
        PyErr_Format(PyExc_TypeError, "%s takes %s; %zd came", name, tagged ? "a value and a tag" : "one value", count);
        return false;
    }
    to->value = count > 0 ? args[0] : NULL;
    to->tag = count > 1 ? args[1] : NULL;
    for (Py_ssize_t at = 0; at < named; at++) {
        PyObject *key = PyTuple_GetItem(names, at);
        PyObject **place = PyUnicode_CompareWithASCIIString(key, "deadline") == 0  ? &to->deadline
                         : PyUnicode_CompareWithASCIIString(key, "timeout") == 0   ? &to->timeout
                         : PyUnicode_CompareWithASCIIString(key, "value") == 0     ? &to->value
                         : tagged && PyUnicode_CompareWithASCIIString(key, "tag") == 0 ? &to->tag
                                                                                   : NULL;
        if (place == NULL || *place != NULL) {
            PyErr_Format(PyExc_TypeError, place == NULL ? "%s takes no argument %R" : "%s got %R twice", name, key);
            return false;
        }
        *place = args[count + at];
    }
    if (to->value == NULL) {
        PyErr_Format(PyExc_TypeError, "%s takes a value", name);
        return false;
    }
    return true;
}

/* The deadline on the batcher's clock, 0 for none; -1: an error is set. */
int64_t deadline_of(PyObject *pusher, const struct arguments *from)
{
    PyObject *answer;
    int64_t deadline;
    if ((from->deadline == NULL || from->deadline == Py_None) && (from->timeout == NULL || from->timeout == Py_None)) {
        return 0;
    }
    answer = PyObject_CallMethod(pusher, "_deadline", "OO", from->deadline == NULL ? Py_None : from->deadline,
                                 from->timeout == NULL ? Py_None : from->timeout);
    deadline = answer == NULL ? -1 : PyLong_AsLongLong(answer);
    Py_XDECREF(answer);
    if (PyErr_Occurred() != NULL) {
        return -1;
    }
    return deadline < 0 ? 1 : deadline; /* long past: it expires */
}

bool tag_of(struct host *host, PyObject *given, uint64_t *tag)
{
    *tag = 0;
    if (given != NULL && !read_unsigned("a tag", given, UINT64_MAX, tag)) {
        return false;
    }
    if (*tag >= REPLY_TAGS) {
        if (host->submits) {
            raise_status(MB_ERR_INVALID_ARGUMENT, "tags are below 2**63 in a batcher that submit is used with");
            return false;
        }
        host->high_tags = true;
    }
    return true;
}

/* ---- What Batcher is made from ---- */

bool still_open(struct host *host)
{
    host_drain(host);
    if (!host_is_open(host)) {
        raise_status(MB_ERR_CLOSED, "the batcher is freed");
        return false;
    }
    return true;
}

PyObject *open_host(PyObject *self)
{
    PyObject *object = ((PusherObject *)self)->host;
    if (object == NULL) {
        return raise_status(MB_ERR_CLOSED, "the batcher is freed");
    }
    Py_INCREF(object);
    if (!still_open(HOST(object))) {
        Py_CLEAR(object);
    }
    return object;
}

static PyObject *pusher_push(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    struct arguments given;
    PyObject *of;
    uint64_t tag;
    int64_t deadline;
    bool pushed = false;
    if (!parse("push", args, count, names, true, &given) || (deadline = deadline_of(self, &given)) < 0
        || (of = open_host(self)) == NULL) {
        return NULL;
    }
    if (tag_of(HOST(of), given.tag, &tag) && host_enter(HOST(of))) {
        pushed = push_object(HOST(of), NULL, given.value, tag, deadline);
        host_leave(HOST(of));
    }
    Py_DECREF(of);
    return pushed ? Py_NewRef(Py_None) : NULL;
}

PyObject *submit_object(PyObject *pusher, PyObject *of, mb_producer *producer, PyObject *object, int64_t deadline)
{
    struct host *host = HOST(of);
    ReplyObject *reply;
    bool pushed;
    if (!host->delivers) {
        return raise_status(MB_ERR_WRONG_MODE, "submit needs results: not with count_results, results=pull, or attached");
    }
    if (host->high_tags) {
        return raise_status(MB_ERR_INVALID_ARGUMENT, "tags from 2**63 on are in use by push, and submit needs them");
    }
    host->submits = true;
    reply = reply_new(pusher, of);
    if (reply == NULL) {
        return NULL;
    }
    if (!host_enter(host)) {
        reply_refused(reply);
        return NULL;
    }
    pushed = push_object(host, producer, object, reply->tag, deadline);
    host_leave(host);
    if (!pushed) {
        reply_refused(reply);
        return NULL;
    }
    return (PyObject *)reply;
}

static PyObject *pusher_submit(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    struct arguments given;
    PyObject *of, *reply;
    int64_t deadline;
    if (!parse("submit", args, count, names, false, &given) || (deadline = deadline_of(self, &given)) < 0
        || (of = open_host(self)) == NULL) {
        return NULL;
    }
    reply = submit_object(self, of, NULL, given.value, deadline);
    Py_DECREF(of);
    return reply;
}

static PyObject *pusher_get_host(PyObject *self, void *closure)
{
    PyObject *host = ((PusherObject *)self)->host;
    (void)closure;
    return Py_NewRef(host == NULL ? Py_None : host);
}

static int pusher_set_host(PyObject *self, PyObject *value, void *closure)
{
    PusherObject *pusher = (PusherObject *)self;
    PyObject *old = pusher->host;
    (void)closure;
    if (value != NULL && value != Py_None && Py_TYPE(value) != host_type) {
        PyErr_SetString(PyExc_TypeError, "a Host");
        return -1;
    }
    pusher->host = value == NULL || value == Py_None ? NULL : Py_NewRef(value);
    Py_XDECREF(old);
    return 0;
}

/* Its handlers, a Work or None for each kind and the default, and its on_result or None. They are the batcher's and not the
   host's: threads hold the host, and whom they held they would never let go. */
static PyObject *pusher_set_callbacks(PyObject *self, PyObject *args)
{
    PusherObject *pusher = (PusherObject *)self;
    PyObject *works, *on_result;
    if (!PyArg_ParseTuple(args, "O!O", &PyList_Type, &works, &on_result)) {
        return NULL;
    }
    for (int at = 0; at <= DEFAULT_HANDLER; at++) {
        if (!work_read(&pusher->works[at], PyList_GetItem(works, at))) {
            return NULL;
        }
    }
    pusher->on_result = on_result == Py_None ? NULL : Py_NewRef(on_result);
    Py_RETURN_NONE;
}

static int pusher_traverse(PyObject *self, visitproc visit, void *arg)
{
    PusherObject *pusher = (PusherObject *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(pusher->host);
    Py_VISIT(pusher->on_result);
    for (int at = 0; at <= DEFAULT_HANDLER; at++) {
        Py_VISIT(pusher->works[at].function);
    }
    return 0;
}

static int pusher_clear(PyObject *self)
{
    PusherObject *pusher = (PusherObject *)self;
    Py_CLEAR(pusher->host);
    Py_CLEAR(pusher->on_result);
    for (int at = 0; at <= DEFAULT_HANDLER; at++) {
        Py_CLEAR(pusher->works[at].function);
    }
    return 0;
}

static void pusher_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    pusher_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMethodDef pusher_methods[] = {
    {"submit", KEYWORDS(pusher_submit),
     "submit(value, *, deadline=None, timeout=None)\n--\n\n"
     "Pushes a value and returns its Reply: await it, or call its `result(timeout)`.\n\n"
     "deadline: when the value expires if it still waits, in seconds of the batcher's clock (`now`). timeout: the same, from\n"
     "now on. Where waiting for room would block a loop, a full queue raises QUEUE_FULL at once: `await aroom()`."},
    {"push", KEYWORDS(pusher_push),
     "push(value, tag=0, *, deadline=None, timeout=None)\n--\n\n"
     "Pushes a value whose result goes to on_result, with this tag: any number from 0 to 2**64 - 1; below 2**63 if `submit` is\n"
     "used too."},
    {"_set_callbacks", pusher_set_callbacks, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef pusher_attributes[] = {
    {"_host", pusher_get_host, pusher_set_host, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot pusher_slots[] = {
    {Py_tp_dealloc, pusher_dealloc},
    {Py_tp_traverse, pusher_traverse},
    {Py_tp_clear, pusher_clear},
    {Py_tp_methods, pusher_methods},
    {Py_tp_getset, pusher_attributes},
    {0, NULL},
};

PyType_Spec pusher_spec = {
    "microbatch._microbatch.Pusher", sizeof(PusherObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE, pusher_slots,
};
