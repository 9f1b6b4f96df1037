/* What the files of the glue share. The glue knows microbatch.h and jni.h; it holds no limits, no defaults and no codes of
   its own. Every call goes through the function table of the copy of the library that the batcher lives in. */

#ifndef MICROBATCH_GLUE_H
#define MICROBATCH_GLUE_H

#include "microbatch.h"

#include <jni.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* The index of the default handler, after those of the kinds. */
#define DEFAULT_HANDLER MB_KINDS

struct host;

/* What a handler's trampoline is handed: whose it is and which. */
struct handler {
    struct host *host;
    jint which;
};

/* What begins no more with a batcher: nothing yet, pushes and seals, any use. */
enum closing { OPEN, CLOSED_TO_VALUES, LET_GO };

/* A batcher as Java holds it. Java's Core owns one hold on the memory, the engine another as long as it may call back. */
struct host {
    const mb_api *api;
    _Atomic(mb_batcher *) batcher;
    uint32_t owner;
    bool attached;               /* Somebody else's batcher: it is never freed here. */
    bool upcalls;                /* Callbacks run inside the calls of Java threads: manual mode. */
    atomic_uchar closing;        /* What begins no more: an enum closing. */
    atomic_uint users;           /* Calls under way that may last, and one for Java; the last one frees the batcher. */
    atomic_uint holds;           /* Who may still read this struct. */
    struct handler handlers[MB_KINDS + 1];
    mb_shared shared;
    pthread_mutex_t lock;        /* Guards what follows. */
    uint64_t *released;          /* Words of objects whose references ended; Java fetches them. */
    size_t released_count;
    size_t released_capacity;    /* At least as many as there are references, so that a release needs no memory. */
    size_t references;
    struct line *lines;          /* Of log, for Java to fetch. */
    size_t line_count;
    size_t lines_dropped;
    atomic_bool has_log;         /* Read without the lock: there is something to fetch. */
};

/* A producer as Java holds it. */
struct producer {
    struct host *host;
    mb_producer *handle;
    atomic_uchar closing;        /* OPEN or LET_GO. */
};

/* The Java side of a call under way: callbacks inside it find their way up by this. Calls nest. */
struct call {
    struct call *outer;
    struct host *host;
    JNIEnv *env;
    jobject core;
};

/* in_use.c: close racing with any call is safe. */

/* What a thread is pushing to. */
struct record {
    struct record *next;
    _Atomic(const void *) host;
    _Atomic(const void *) producer;
};

extern _Thread_local struct record *my_record;
extern bool in_use_has_barrier;
struct record *make_record(void);

/* The mark before the look at `closing`. */
static inline void use_order(void)
{
    if (in_use_has_barrier) {
        atomic_signal_fence(memory_order_seq_cst); /* await_unused has the other half */
    } else {
        atomic_thread_fence(memory_order_seq_cst);
    }
}

/* A short call that never calls back: answers the thread's record, or NULL if the batcher is let go. */
static inline struct record *use_begin(struct host *host)
{
    struct record *record = my_record;
    if (record == NULL && (record = make_record()) == NULL) {
        return NULL;
    }
    atomic_store_explicit(&record->host, host, memory_order_relaxed);
    use_order();
    if (atomic_load_explicit(&host->closing, memory_order_acquire)) {
        atomic_store_explicit(&record->host, NULL, memory_order_release);
        return NULL;
    }
    return record;
}

static inline void use_end(struct record *record)
{
    atomic_store_explicit(&record->host, NULL, memory_order_release);
}

static inline void use_end_producer(struct record *record)
{
    atomic_store_explicit(&record->producer, NULL, memory_order_release);
    use_end(record);
}

static inline struct record *use_begin_producer(struct producer *producer)
{
    struct record *record = use_begin(producer->host);
    if (record == NULL) {
        return NULL;
    }
    atomic_store_explicit(&record->producer, producer, memory_order_relaxed);
    use_order();
    if (atomic_load_explicit(&producer->closing, memory_order_acquire)) {
        use_end_producer(record);
        return NULL;
    }
    return record;
}

bool call_begin(struct call *call, struct host *host, JNIEnv *env, jobject core);  /* any other call */
void call_end(struct call *call);
struct call *call_of(const struct host *host);                   /* the call of this thread, or NULL */
void await_unused(const void *host_or_producer);
void in_use_setup(void);

/* host.c */
void host_unhold(struct host *host);
struct host *host_for_map(void);

/* options.c */
mb_status set_options(JNIEnv *env, const mb_api *api, mb_options *options, jbyteArray texts, jobjectArray error);
void host_set_error(JNIEnv *env, jobjectArray error, const mb_api *api, mb_error *text);   /* into error[0]; frees it */

/* callbacks.c */
bool host_reserve_reference(struct host *host);                  /* before an object is handed over */
void host_unreserve_reference(struct host *host);                /* when it was refused */
mb_status host_handle(void *user_data, mb_batch *batch, const mb_api *api);
void host_on_result(void *user_data, const mb_results *results, const mb_api *api);
void host_release_object(void *user_data, uint64_t word);

/* log.c */
void host_log(void *user_data, int32_t level, const char *message, size_t length);
void host_forget_log(struct host *host);
static inline bool has_log(struct host *host)
{
    return atomic_load_explicit(&host->has_log, memory_order_relaxed);
}

/* The methods of Core.java that callbacks call. */
extern jmethodID core_on_batch;
extern jmethodID core_on_results;
extern jmethodID core_on_release;

/* results.c */
mb_status tell_results(JNIEnv *env, struct host *host, const mb_results *results, jlongArray info);

/* rows.c */

/* A byte[] read into memory of C: on the stack if it is short. */
struct bytes {
    char *data;
    size_t length;
    char small[512];
};
bool bytes_read(JNIEnv *env, jbyteArray array, jint length, struct bytes *bytes);   /* false: no memory */
void bytes_done(struct bytes *bytes);
jbyteArray bytes_to_java(JNIEnv *env, const void *data, size_t length);

/* Rows of Java: three longs each, laid out as an mb_value whose strings begin at offsets into data. */
struct rows {
    mb_value *values;
    struct bytes bytes;
};
bool rows_read(JNIEnv *env, jlongArray words, jint from, jint count, jbyteArray data, struct rows *rows);
void rows_done(struct rows *rows);
void value_of(jlong head, jlong first, jlong second, const struct bytes *bytes, mb_value *value);

/* The methods of Native.java, by file. */
struct methods {
    const JNINativeMethod *list;
    jint count;
};
#define METHOD(name, signature) {(char *)#name, (char *)signature, (void *)name}
#define METHODS(name, ...)                                                  \
    static const JNINativeMethod name##_list[] = {__VA_ARGS__};             \
    const struct methods name = {name##_list, (jint)(sizeof name##_list / sizeof *name##_list)}
#define CORE "Lio/microbatch/Core;"

extern const struct methods library_methods, options_methods, host_methods, callbacks_methods, calls_methods, push_methods,
    log_methods, many_methods, producer_methods, batch_methods, columns_methods, results_methods, map_methods;

#define HOST(address) ((struct host *)(uintptr_t)(address))
#define BATCH(word) ((mb_batch *)(uintptr_t)(word))
#define RESULTS(word) ((mb_results *)(uintptr_t)(word))

#endif
