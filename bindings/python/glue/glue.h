/* What the files of the glue share. The glue knows microbatch.h and the limited API of Python 3.11; it holds no limits, no
   defaults and no codes of its own. Every call goes through the function table of the copy of the library that the batcher
   lives in. Everything here runs with the GIL held unless it says otherwise. */

#ifndef MICROBATCH_GLUE_H
#define MICROBATCH_GLUE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "microbatch.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* The index of the default handler, after those of the kinds. */
#define DEFAULT_HANDLER MB_KINDS

/* Tags of replies have this bit; a batcher that uses submit leaves it to them. */
#define REPLY_TAGS ((uint64_t)1 << 63)

struct host;

/* A reference to a Python object that the engine holds: the word of an object is its address. */
struct reference {
    struct reference *next;   /* In the list of those given back. */
    PyObject *object;
    atomic_int state;         /* HELD, HANDING or RELEASED. */
};

enum {
    HELD,
    HANDING,                  /* A call that hands it over is under way: a release only marks. */
    RELEASED
};

/* The slots of replies, see reply.c. */
struct replies {
    struct slot *slots;
    uint32_t count;
    uint32_t free;
};

/* A handler of Python's. */
struct work {
    PyObject *function;          /* NULL: there is none. */
    bool takes_batch;            /* Instead of a list of values. */
};

/* A thread that is in a callback. */
struct inside {
    struct inside *next;
    unsigned long thread;
};

/* A handler that runs on a thread of Python's. */
struct running {
    struct running *next;
    uint64_t number;             /* Of its batch. */
};

/* A thread that waits for something of Python's. */
struct thread_wait {
    struct thread_wait *next;
    PyThread_type_lock lock;
    bool woken;
};

/* See delivery.c. */
struct delivery {
    struct turn *waiting;        /* Sets that were taken, and not delivered yet. */
    struct thread_wait *waiters; /* For it to go on. */
    uint64_t done;               /* The turn of the last set whose delivery has begun. */
    uint64_t values;             /* How many were delivered: a flush waits for as many as the engine has handed out. */
    bool busy;                   /* A thread is in on_result. */
    bool running;                /* There is a thread that takes results. */
};

/* A batcher as Python holds it. The Python object owns one hold on the memory, the engine another as long as it may call
   back, and so does every batch that Python holds. */
struct host {
    const mb_api *api;
    mb_batcher *batcher;         /* NULL once it is freed. */
    uint32_t owner;
    bool attached;               /* Somebody else's batcher: it is never freed here. */
    bool map;                    /* No batcher: references live until the map has ended. */
    bool manual;                 /* Callbacks run inside calls, on threads that may enter Python. */
    bool delivers;               /* Its results are taken here, so that submit can promise them. */
    bool pulls;                  /* Threads or a loop of Python's take its batches and results: no call runs callbacks. */
    bool submits;                /* Tags from REPLY_TAGS on are those of replies; */
    bool high_tags;              /* or of whoever pushes. */
    bool closing;                /* Nobody enters a call any more; the last to leave frees the batcher. */
    bool woke;                   /* A thread was woken that wants the GIL. */
    unsigned forks;              /* What `forks` was when it was made. */
    uint64_t asks;               /* if_full of pushes: a push that finds no room waits here, without the GIL; or 0. */
    int64_t push_timeout;
    unsigned long freeing;       /* The thread that frees the batcher: callbacks inside may still call. */
    atomic_uint users;           /* Calls under way without the GIL. */
    atomic_uint closers;         /* Threads inside the engine's close, see host_close. */
    atomic_uint holds;           /* Who may still read this struct. */
    _Atomic(struct reference *) released;   /* Given back by threads that cannot enter Python. */
    _Atomic(struct line *) lines; /* Lines of log that wait for a thread that may enter Python, */
    atomic_uint lines_waiting;   /* how many, */
    atomic_uint lines_dropped;   /* and how many found no place. */
    mb_shared shared;
    struct replies replies;
    struct delivery delivery;
    struct inside *inside;       /* Threads in callbacks. */
    struct running *running;     /* Handlers on threads of Python's, */
    struct thread_wait *turns;   /* threads whose handler waits for one to return, */
    int64_t max_running;         /* and how many may run beside each other, */
    int64_t threads;             /* of how many. */
    struct work map_work;        /* The handler of a map. */
    PyObject *interrupt;         /* Of a callback in manual mode, for the call that ran it; or NULL. */
    PyObject *thrown;            /* {tag: exception} of values that a handler of Python's failed, until they are delivered. */
    PyObject *self;              /* The Host, borrowed; NULL once it goes. */
    PyObject *me;                /* A weak reference to the Batcher. */
    PyObject *on_log;            /* Called with (level, message), levels as logging has them; or NULL. */
    PyObject *on_release;        /* Called with an object that was given back; or NULL. */
    PyObject *object_size;       /* The declared size of an object; or NULL. */
};

typedef struct {
    PyObject_HEAD
    struct host *host;
} HostObject;

/* What Batcher is made from. */
typedef struct {
    PyObject_HEAD
    PyObject *host;              /* The Host; NULL once the batcher is freed. */
    struct work works[MB_KINDS + 1];
    PyObject *on_result;         /* Or NULL. */
} PusherObject;

/* See reply.c. */
typedef struct {
    PyObject_HEAD
    PyObject *pusher;            /* The Batcher, and its Host, until the result is there. */
    PyObject *host;
    uint64_t tag;
    PyObject *value;             /* The result, the exception, or the message of a cancel. */
    PyObject *callback;          /* The first that is to be told, and in which context on which loop (None: on none). */
    PyObject *context;
    PyObject *loop;
    PyObject *more;              /* [loop, callback, context, ...] of others. */
    struct thread_wait *threads; /* That wait for it. */
    uint8_t state;
    uint8_t handled;             /* Of one that was cancelled. */
    bool kept;                   /* Somebody is to be told: its slot owns it. */
    bool blocking;               /* asyncio's sign that a task really awaits it. */
} ReplyObject;

typedef struct {
    PyObject_HEAD
    struct host *host;
    PyObject *owner;             /* The Host: its callbacks are wanted as long as the batch may give objects back. */
    mb_batch *batch;             /* NULL once it was completed, freed, or its handler returned. */
    mb_batch_view view;          /* Good as long as batch is. */
    bool held;                   /* Kept or pulled: completed or freed here. */
    bool kept;                   /* Past its handler. */
    PyObject *pin;               /* Keeps the memory for views; NULL if nobody has looked. */
} BatchObject;

/* module.c */
extern PyObject *make_error;         /* microbatch._error.make(code, message) */
extern PyObject *make_row_error;     /* microbatch._error.of_row(code, type name, message, outcome, handled) */
extern PyObject *foreign_class;      /* microbatch.ForeignObject */
extern PyObject *batch_class;        /* microbatch.Batch */
extern PyObject *held_class;         /* microbatch.HeldBatch */
extern PyObject *results_class;      /* microbatch.Results */
extern PyObject *set_column;         /* microbatch._batch.set_column(batch, results): those that come in no plain list or buffer */
extern PyObject *tell_failure;       /* microbatch._batch.tell_failure(batch, exception) */
extern PyTypeObject *host_type;
extern PyTypeObject *batch_type;
extern PyTypeObject *pusher_type;
PyObject *raise_status(mb_status status, const char *message);           /* always NULL */
PyObject *raise_error(const mb_api *api, mb_status status, mb_error *error); /* frees error */
bool is_full(mb_status status);
bool is_error(mb_status status);     /* Whether the exception that is set is an Error of this status. */

/* callback.c */
mb_status handle(void *user_data, mb_batch *batch, const mb_api *api);
void on_result(void *user_data, const mb_results *results, const mb_api *api);
void on_line(void *user_data, int32_t level, const char *message, size_t length);
void release_object(void *user_data, uint64_t word);
void host_drain(struct host *host);          /* gives back what waits to be given back, and tells lines of log */

/* wait.c */
int64_t remaining(int64_t timeout, int64_t begun);   /* of a time-out that began then */
int64_t clock_now(void);
typedef mb_status (*wait_fn)(struct host *host, void *what, int64_t timeout);
#define SLICE (50 * MB_MS)           /* How long a wait lasts before signals are looked at: Ctrl-C is noticed that late at most. */
mb_status wait_for(struct host *host, wait_fn wait, void *what, int64_t timeout);
mb_status wait_room_for(struct host *host, int64_t timeout);
PyObject *none_or_raise(mb_status status);
PyObject *host_room(PyObject *self, PyObject *args);
PyObject *host_flush(PyObject *self, PyObject *args);
PyObject *host_flush_begin(PyObject *self, PyObject *ignored);
PyObject *host_flush_end(PyObject *self, PyObject *args);
PyObject *host_next_batch(PyObject *self, PyObject *args);
PyObject *host_next_results(PyObject *self, PyObject *args);
PyObject *host_has_room(PyObject *self, PyObject *ignored);
void thread_wake(struct thread_wait *wait);
bool thread_sleep(struct thread_wait **waits, int64_t limit);

/* handler.c */
void inside_enter(struct host *host, struct inside *me);
void inside_leave(struct host *host, struct inside *me);
bool host_inside(const struct host *host);   /* whether this thread is in a callback of it */
bool work_read(struct work *work, PyObject *from);
void handler_run(BatchObject *batch, const struct work *work);
void hand_results(struct host *host, PyObject *on_result, PyObject *columns);
void thrown_put(struct host *host, uint64_t tag, PyObject *failure);
void told_of(const char *what);
PyObject *take_exception(void);
PusherObject *pusher_of(struct host *host);
const struct work *work_of(const PusherObject *pusher, uint32_t kind);

/* parts.c */
void running_begin(struct host *host, struct running *me);
void running_end(struct host *host, struct running *me);
PyObject *batch_complete_next(PyObject *object, PyObject *ignored);

/* delivery.c */
void deliver(struct host *host, PusherObject *pusher, mb_results *results);
void delivery_end(struct host *host);
void delivery_free(struct delivery *delivery);
PyObject *host_await_delivered(PyObject *self, PyObject *args);
PyObject *host_await_end(PyObject *self, PyObject *args);

/* serve.c */
PyObject *host_serve_batches(PyObject *self, PyObject *ignored);
PyObject *host_serve_results(PyObject *self, PyObject *ignored);
PyObject *host_take_batch(PyObject *self, PyObject *ignored);
PyObject *host_take_results(PyObject *self, PyObject *ignored);
PyObject *batch_finish(PyObject *object, PyObject *ignored);

/* calls.c */
PyObject *host_check(PyObject *self, PyObject *object);
PyObject *host_seal(PyObject *self, PyObject *ignored);
PyObject *host_run(PyObject *self, PyObject *ignored);
PyObject *host_advance(PyObject *self, PyObject *arg);
PyObject *host_cancel(PyObject *self, PyObject *arg);
PyObject *host_now(PyObject *self, PyObject *ignored);
PyObject *host_next_due(PyObject *self, PyObject *ignored);
PyObject *host_fd(PyObject *self, PyObject *ignored);
PyObject *host_share(PyObject *self, PyObject *ignored);
PyObject *host_drain_released(PyObject *self, PyObject *ignored);
PyObject *host_in_callback(PyObject *self, PyObject *ignored);
PyObject *host_take_interrupt(PyObject *self, PyObject *ignored);

/* close.c */
PyObject *host_close(PyObject *self, PyObject *args);

/* stats.c */
PyObject *host_stats(PyObject *self, PyObject *ignored);
PyObject *host_stats_text(PyObject *self, PyObject *ignored);

/* reply.c */
extern unsigned forks;               /* How often this process is the child of a fork. */
extern PyTypeObject *reply_type;
extern PyType_Spec reply_spec;
bool reply_setup(PyObject *module);
ReplyObject *reply_new(PyObject *pusher, PyObject *host);
void reply_refused(ReplyObject *self);                               /* its push was: takes it */
/* Answers the replies of a set; how many rows are no replies', and of how many. */
size_t replies_resolve(struct host *host, const mb_results *results, size_t *count);
void replies_discard(struct host *host);
void replies_free(struct host *host);
int replies_visit(struct host *host, visitproc visit, void *arg);
PyObject *wake(PyObject *module, PyObject *list);

/* push.c */
extern PyType_Spec pusher_spec;
extern PyTypeObject *producer_type;
extern PyType_Spec producer_spec;
PyObject *producer_new(PyObject *module, PyObject *pusher);
PyObject *host_may_wait(PyObject *self, PyObject *ignored);

/* options.c */
int64_t option_value(const mb_api *api, const mb_options *options, const char *name);
bool options_set(const mb_api *api, mb_options *options, PyObject *pairs);

/* host.c */
void host_unhold(struct host *host);
bool host_is_open(struct host *host);
bool host_enter(struct host *host);          /* before a call without the GIL; false: closed, an error is set */
void host_leave(struct host *host);          /* after it */
struct host *host_new(const mb_api *api);
extern PyType_Spec host_spec;
extern PyType_Spec batch_spec;

/* value.c */
#define NOT_TAKEN ((mb_status)0x7fffffff)    /* a Python error is set */
/* Reads a Python value. An object gets a reference that is the caller's to hand over or to forget. Strings and bytes are
   borrowed from the Python object; *keep, if it is not NULL afterwards, must live as long as the value. */
mb_status value_read(struct host *host, PyObject *object, mb_value *value, PyObject **keep);
bool read_unsigned(const char *what, PyObject *given, unsigned long long maximum, uint64_t *to);
PyObject *unsigned_of(PyObject *module, PyObject *args);
void value_forget(struct host *host, const mb_value *value);
void value_handing(struct host *host, const mb_value *value);        /* before a call that hands it over */
void value_handed(struct host *host, const mb_value *value);         /* after it succeeded */
PyObject *value_refused(struct host *host, mb_status status, PyObject *object, const mb_value *value);
PyObject *value_make(const struct host *host, const mb_value *value);
void reference_dispose(struct host *host, struct reference *reference, bool tell);

/* batch.c */
PyObject *batch_new(struct host *host, mb_batch *batch, PyObject *of);   /* takes the batch, whatever is returned */
BatchObject *batch_lend(struct host *host, mb_batch *batch);             /* for a handler that the engine calls */
void batch_end(BatchObject *self);                                       /* which has returned */
bool batch_gone(BatchObject *self);                                      /* true: it has ended, and an error is set */
PyObject *batch_done(BatchObject *self, mb_status status);
PyObject *batch_list(BatchObject *self);                                 /* its values */

/* batch_set.c */
bool batch_answer(BatchObject *self, PyObject *results);                 /* what a handler returned; false: an error is set */
PyObject *batch_take_answer(PyObject *object, PyObject *results);
PyObject *batch_set(PyObject *object, PyObject *args);
PyObject *batch_set_all(PyObject *object, PyObject *results);
PyObject *batch_set_numbers(PyObject *object, PyObject *args);
PyObject *batch_set_strings(PyObject *object, PyObject *args);
PyObject *batch_fail(PyObject *object, PyObject *args);

/* batch_view.c */
PyObject *batch_get_tags(PyObject *object, void *closure);
PyObject *batch_get_numbers(PyObject *object, void *closure);
PyObject *batch_texts(PyObject *object, PyObject *ignored);

/* results.c */
PyObject *results_columns(struct host *host, const mb_results *results, bool pulled);  /* pulled: freed with them */
PyObject *results_for_others(struct host *host, const mb_results *results, size_t others, size_t count, bool pulled);
PyObject *set_values(PyObject *module, PyObject *set);
PyObject *set_texts(PyObject *module, PyObject *set);

/* bulk.c */
/* The cells of a list of integers alone or of floats alone; free them. */
struct alike {
    void *cells;
    bool floats;
};
bool list_alike(PyObject *list, size_t count, struct alike *to);     /* false: it is another list, or there is no memory */
/* Reads a list as values up to the first that is none; its place is *count then, and *status says why. */
mb_value *read_list(struct host *host, PyObject *list, size_t *count, PyObject **keeps, mb_status *status);
PyObject *host_claim_tags(PyObject *self, PyObject *ignored);
PyObject *host_push_numbers(PyObject *self, PyObject *args);
PyObject *host_push_strings(PyObject *self, PyObject *args);
PyObject *host_push_values(PyObject *self, PyObject *args);

/* map.c */
PyObject *map_numbers(PyObject *module, PyObject *args);
PyObject *map_strings(PyObject *module, PyObject *args);
PyObject *map_values(PyObject *module, PyObject *args);

/* columns.c */
PyObject *widen(PyObject *module, PyObject *args);
PyObject *views(PyObject *module, PyObject *args);

/* buffer.c */
extern PyTypeObject *buffer_type;
extern PyType_Spec buffer_spec;
/* A read-only buffer that keeps the owner; format: B, or a letter of struct of 8 bytes. Without data it is None. */
PyObject *buffer_of(const void *data, size_t rows, char format, PyObject *owner);
PyObject *buffer_copy(const void *data, size_t rows, char format);

/* arrow_in.c, arrow_out.c */
PyObject *arrow_array(PyObject *module, PyObject *source);
PyObject *arrow_stream(PyObject *module, PyObject *source);
PyObject *arrow_export(PyObject *module, PyObject *args);
PyObject *arrow_export_stream(PyObject *module, PyObject *args);

#define HOST(self) (((HostObject *)(self))->host)

#endif
