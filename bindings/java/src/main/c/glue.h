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

/* A batcher as Java holds it. Java's Core owns one hold on the memory, the engine another as long as it may call back. */
struct host {
    const mb_api *api;
    _Atomic(mb_batcher *) batcher;
    uint32_t owner;
    bool attached;               /* Somebody else's batcher: it is never freed here. */
    bool upcalls;                /* Callbacks run inside the calls of Java threads: manual mode. */
    atomic_bool closing;         /* No new use begins. */
    atomic_uint users;           /* Calls under way that may last, and one for Java; the last one frees the batcher. */
    atomic_uint holds;           /* Who may still read this struct. */
    struct handler handlers[MB_KINDS + 1];
    mb_shared shared;
    pthread_mutex_t lock;        /* Guards what follows. */
    uint64_t *released;          /* Words of objects whose references ended; Java fetches them. */
    size_t released_count;
    size_t released_capacity;    /* At least as many as there are references, so that a release needs no memory. */
    size_t references;
};

/* A producer as Java holds it. */
struct producer {
    struct host *host;
    mb_producer *handle;
    atomic_bool closing;
};

/* The Java side of a call under way: callbacks inside it find their way up by this. Calls nest. */
struct call {
    struct call *outer;
    struct host *host;
    JNIEnv *env;
    jobject core;
};

/* in_use.c: close racing with any call is safe. */
bool use_begin(struct host *host);                               /* a short call that never calls back */
bool use_begin_producer(struct producer *producer);
void use_end(void);
bool call_begin(struct call *call, struct host *host, JNIEnv *env, jobject core);  /* any other call */
void call_end(struct call *call);
struct call *call_of(const struct host *host);                   /* the call of this thread, or NULL */
void await_unused(const void *host_or_producer);
void in_use_setup(void);

/* results.c */
mb_status tell_results(JNIEnv *env, const mb_api *api, const mb_results *results, jlongArray info);

/* host.c */
void host_unhold(struct host *host);
struct host *host_for_map(void);
bool host_reserve_reference(struct host *host);                  /* before an object is handed over */
void host_unreserve_reference(struct host *host);                /* when it was refused */
mb_status host_handle(void *user_data, mb_batch *batch, const mb_api *api);
void host_set_error(JNIEnv *env, jobjectArray error, const mb_api *api, mb_error *text);
jbyteArray bytes_to_java(JNIEnv *env, const void *data, size_t length);

/* The methods of Core.java that callbacks call. */
extern jmethodID core_on_batch;
extern jmethodID core_on_results;
extern jmethodID core_on_release;

/* A byte[] read into memory of C: on the stack if it is short. */
struct bytes {
    char *data;
    size_t length;
    char small[512];
};
bool bytes_read(JNIEnv *env, jbyteArray array, jint length, struct bytes *bytes);   /* false: no memory */
void bytes_done(struct bytes *bytes);

/* Rows of Java: three longs each, laid out as an mb_value whose strings begin at offsets into data. */
struct rows {
    mb_value *values;
    struct bytes bytes;
};
bool rows_read(JNIEnv *env, jlongArray words, jint from, jint count, jbyteArray data, struct rows *rows);
void rows_done(struct rows *rows);
void value_of(jlong head, jlong first, jlong second, const struct bytes *bytes, mb_value *value);

extern const JNINativeMethod library_methods[];
extern const size_t library_method_count;
extern const JNINativeMethod host_methods[];
extern const size_t host_method_count;
extern const JNINativeMethod push_methods[];
extern const size_t push_method_count;
extern const JNINativeMethod batch_methods[];
extern const size_t batch_method_count;
extern const JNINativeMethod results_methods[];
extern const size_t results_method_count;

#define METHOD(name, signature) {(char *)#name, (char *)signature, (void *)name}
#define CORE "Lio/microbatch/Core;"

#define HOST(address) ((struct host *)(uintptr_t)(address))
#define BATCH(word) ((mb_batch *)(uintptr_t)(word))
#define RESULTS(word) ((mb_results *)(uintptr_t)(word))

#endif
