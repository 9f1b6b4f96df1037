/* Sets of results: taken, told about, given back. */

#include "glue.h"

#include <string.h>

/* info: handle, count, kind, all_ok, batch, turn; then 1 if there is log to fetch. */
#define RESULTS_INFO 7

mb_status tell_results(JNIEnv *env, struct host *host, const mb_results *results, jlongArray info)
{
    mb_results_view view;
    mb_status status;
    view.struct_size = sizeof view;
    status = host->api->mb_results_get_view(results, &view);
    if (status == MB_OK) {
        jlong told[RESULTS_INFO] = {
            (jlong)(uintptr_t)results, (jlong)view.count, view.kind, view.all_ok, (jlong)view.batch,
            (jlong)view.turn, has_log(host),
        };
        (*env)->SetLongArrayRegion(env, info, 0, RESULTS_INFO, told);
    }
    return status;
}

static jint nextResults(JNIEnv *env, jclass class, jobject core, jlong address, jlong timeout, jlongArray info)
{
    struct host *host = HOST(address);
    struct call call;
    mb_results *results = NULL;
    mb_status status;
    (void)class;
    if (!call_begin(&call, host, env, core)) {
        return MB_ERR_CLOSED;
    }
    status = host->api->mb_batcher_next_results(host->batcher, timeout, &results);
    if (status == MB_OK) {
        status = tell_results(env, host, results, info);
    }
    call_end(&call);
    return status;
}

static jint resultsInfo(JNIEnv *env, jclass class, jobject core, jlong address, jlong results, jlongArray info)
{
    (void)class;
    (void)core;
    return tell_results(env, HOST(address), RESULTS(results), info);
}

/* Why a row is not OK: the type's name, a NUL, the message. */
static jbyteArray resultsError(JNIEnv *env, jclass class, jobject core, jlong address, jlong results, jint row)
{
    mb_row_error error;
    jbyteArray array;
    size_t type;
    (void)class;
    (void)core;
    error.struct_size = sizeof error;
    if (HOST(address)->api->mb_results_error(RESULTS(results), (size_t)row, &error) != MB_OK) {
        return NULL;
    }
    type = strlen(error.type_name) + 1;
    array = (*env)->NewByteArray(env, (jsize)(type + error.length));
    if (array != NULL) {
        (*env)->SetByteArrayRegion(env, array, 0, (jsize)type, (const jbyte *)error.type_name);
        (*env)->SetByteArrayRegion(env, array, (jsize)type, (jsize)error.length, (const jbyte *)error.message);
    }
    return array;
}

/* Gives a set back, and with it the objects in it. It may outlive its batcher. */
static void resultsFree(JNIEnv *env, jclass class, jobject core, jlong address, jlong results)
{
    struct host *host = HOST(address);
    struct call call;
    bool counted = call_begin(&call, host, env, core);
    (void)class;
    host->api->mb_results_free(RESULTS(results));
    if (counted) {
        call_end(&call);
    }
}

METHODS(
    results_methods,
    METHOD(nextResults, "(" CORE "JJ[J)I"),
    METHOD(resultsInfo, "(" CORE "JJ[J)I"),
    METHOD(resultsError, "(" CORE "JJI)[B"),
    METHOD(resultsFree, "(" CORE "JJ)V"));
