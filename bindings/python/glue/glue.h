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

/* What a handler's trampoline is handed: whose it is and which. */
struct handler {
    struct host *host;
    int which;
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
    bool blocks;                 /* A push that finds no room waits: here, without the GIL. */
    bool closing;                /* Nobody enters a call any more; the last to leave frees the batcher. */
    int64_t push_timeout;
    atomic_uint users;           /* Calls under way without the GIL. */
    atomic_uint closers;         /* Threads inside the engine's close, see host_close. */
    atomic_uint holds;           /* Who may still read this struct. */
    _Atomic(struct reference *) released;   /* Given back by threads that cannot enter Python. */
    struct handler handlers[MB_KINDS + 1];
    mb_shared shared;
    unsigned long freeing;       /* The thread that frees the batcher: callbacks inside may still call. */
    PyObject *self;              /* The Host, borrowed; NULL once it goes. */
    PyObject *on_batch;          /* Called in manual mode: (Batch, which). */
    PyObject *on_results;        /* Called in manual mode: (tuple of columns). */
    PyObject *on_release;        /* Called with an object that was given back; or NULL. */
    PyObject *object_size;       /* The declared size of an object; or NULL. */
};

typedef struct {
    PyObject_HEAD
    struct host *host;
} HostObject;

typedef struct {
    PyObject_HEAD
    struct host *host;
    PyObject *owner;             /* The Host: its callbacks are wanted as long as the batch may give objects back. */
    mb_batch *batch;             /* NULL once it was completed, freed, or its handler returned. */
    bool held;                   /* Kept or pulled: completed or freed here. */
} BatchObject;

/* module.c */
extern PyObject *make_error;         /* microbatch._error.make(code, message) */
extern PyObject *foreign_class;      /* microbatch._error.ForeignObject */
extern PyTypeObject *host_type;
extern PyTypeObject *batch_type;
PyObject *raise_status(mb_status status, const char *message);           /* always NULL */
PyObject *raise_error(const mb_api *api, mb_status status, mb_error *error); /* frees error */
bool is_full(mb_status status);

/* host.c */
void host_unhold(struct host *host);
void host_drain(struct host *host);          /* gives back what waits to be given back */
bool host_enter(struct host *host);          /* before a call without the GIL; false: closed, an error is set */
void host_leave(struct host *host);          /* after it */
void batch_end(BatchObject *self);           /* its handler has returned */
PyObject *batch_new(struct host *host, mb_batch *batch, bool held);
mb_status handle(void *user_data, mb_batch *batch, const mb_api *api);
struct host *host_new(const mb_api *api);
int64_t remaining(int64_t timeout, int64_t begun);   /* of a time-out that began then */
int64_t clock_now(void);
extern PyType_Spec host_spec;
extern PyType_Spec batch_spec;

/* value.c */
#define NOT_TAKEN ((mb_status)0x7fffffff)    /* a Python error is set */
/* Reads a Python value. An object gets a reference that is the caller's to hand over or to forget. Strings and bytes are
   borrowed from the Python object; *keep, if it is not NULL afterwards, must live as long as the value. */
mb_status value_read(struct host *host, PyObject *object, mb_value *value, PyObject **keep);
void value_forget(struct host *host, const mb_value *value);
void value_handing(struct host *host, const mb_value *value);        /* before a call that hands it over */
void value_handed(struct host *host, const mb_value *value);         /* after it succeeded */
PyObject *value_refused(struct host *host, mb_status status, PyObject *object, const mb_value *value);
PyObject *value_make(const struct host *host, const mb_value *value);
void reference_dispose(struct host *host, struct reference *reference, bool tell);

/* results.c */
PyObject *results_columns(struct host *host, const mb_results *results, bool pulled);  /* pulled: freed with them */

/* bulk.c */
PyObject *host_push_numbers(PyObject *self, PyObject *args);
PyObject *host_push_strings(PyObject *self, PyObject *args);
PyObject *host_push_values(PyObject *self, PyObject *args);
PyObject *map_numbers(PyObject *module, PyObject *args);
PyObject *map_values(PyObject *module, PyObject *args);

/* arrow.c */
extern PyTypeObject *buffer_type;
extern PyType_Spec buffer_spec;
PyObject *arrow_array(PyObject *module, PyObject *args);
PyObject *arrow_stream(PyObject *module, PyObject *capsule);
PyObject *arrow_export(PyObject *module, PyObject *args);
PyObject *arrow_export_stream(PyObject *module, PyObject *args);

#define HOST(self) (((HostObject *)(self))->host)

#endif
