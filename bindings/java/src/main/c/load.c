/* What the virtual machine calls: the methods of Native.java get their functions, and the upcalls their ids. */

#include "glue.h"

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
    registered = (*env)->RegisterNatives(env, natives, library_methods, (jint)library_method_count) == JNI_OK
        && (*env)->RegisterNatives(env, natives, host_methods, (jint)host_method_count) == JNI_OK
        && (*env)->RegisterNatives(env, natives, push_methods, (jint)push_method_count) == JNI_OK
        && (*env)->RegisterNatives(env, natives, batch_methods, (jint)batch_method_count) == JNI_OK
        && (*env)->RegisterNatives(env, natives, results_methods, (jint)results_method_count) == JNI_OK;
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
