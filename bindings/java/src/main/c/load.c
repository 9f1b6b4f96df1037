/* What the virtual machine calls: the methods of Native.java get their functions, and the upcalls their ids. */

#include "glue.h"

static const struct methods *const METHODS_BY_FILE[] = {
    &library_methods, &options_methods, &host_methods, &callbacks_methods, &calls_methods, &log_methods, &push_methods,
    &many_methods, &producer_methods, &batch_methods, &columns_methods, &results_methods, &map_methods,
};

/* The ids live as long as their class, which nothing here keeps: a class loader may go. */
static bool find_upcalls(JNIEnv *env)
{
    jclass core = (*env)->FindClass(env, "io/microbatch/Core");
    if (core == NULL) {
        return false;
    }
    core_on_batch = (*env)->GetMethodID(env, core, "onBatch", "(JI)I");
    core_on_results = core_on_batch == NULL ? NULL : (*env)->GetMethodID(env, core, "onResults", "(J)V");
    core_on_release = core_on_results == NULL ? NULL : (*env)->GetMethodID(env, core, "onRelease", "(J)V");
    (*env)->DeleteLocalRef(env, core);
    return core_on_release != NULL;
}

JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM *vm, void *reserved)
{
    JNIEnv *env = NULL;
    jclass natives;
    bool registered;
    (void)reserved;
    if ((*vm)->GetEnv(vm, (void **)&env, JNI_VERSION_1_8) != JNI_OK || mb_abi_check(MB_ABI_VERSION) != MB_OK
        || mb_api_table()->struct_size < sizeof(mb_api)) { /* the header and the engine are of one build */
        return JNI_ERR;
    }
    in_use_setup();
    natives = (*env)->FindClass(env, "io/microbatch/Native");
    if (natives == NULL) {
        return JNI_ERR;
    }
    registered = true;
    for (size_t at = 0; at < sizeof METHODS_BY_FILE / sizeof *METHODS_BY_FILE && registered; at++) {
        const struct methods *methods = METHODS_BY_FILE[at];
        registered = (*env)->RegisterNatives(env, natives, methods->list, methods->count) == JNI_OK;
    }
    (*env)->DeleteLocalRef(env, natives);
    return registered && find_upcalls(env) ? JNI_VERSION_1_8 : JNI_ERR;
}

/* The class loader is gone, and with it every batcher. Nothing global is held; the code stays mapped (nodelete), because
   threads that pushed still end in forget_record. */
JNIEXPORT void JNICALL JNI_OnUnload(JavaVM *vm, void *reserved)
{
    (void)vm;
    (void)reserved;
}
