/* Options by name, and the words of what is wrong. */

#include "glue.h"

#include <string.h>

/* Puts the text of an error into a place of Java's array, if it has the place, and frees it. */
static void set_error_at(JNIEnv *env, jobjectArray error, jsize at, const mb_api *api, mb_error *text)
{
    if (text != NULL && at < (*env)->GetArrayLength(env, error)) {
        const char *message = api->mb_error_message(text);
        jbyteArray bytes = bytes_to_java(env, message, strlen(message));
        if (bytes != NULL) {
            (*env)->SetObjectArrayElement(env, error, at, bytes);
            (*env)->DeleteLocalRef(env, bytes);
        }
    }
    api->mb_error_free(text);
}

void host_set_error(JNIEnv *env, jobjectArray error, const mb_api *api, mb_error *text)
{
    set_error_at(env, error, 0, api, text);
}

/* Sets options from a text of names and values, each ended by a NUL. The answer is the first refusal; error has the words
   of each. */
mb_status set_options(
    JNIEnv *env, const mb_api *api, mb_options *options, jbyteArray texts, jobjectArray error)
{
    struct bytes bytes;
    jsize refused = 0;
    mb_status status = api->mb_options_init(options, sizeof *options);
    if (status != MB_OK) {
        return status;
    }
    if (!bytes_read(env, texts, (*env)->GetArrayLength(env, texts), &bytes)) {
        return MB_ERR_NO_MEMORY;
    }
    for (const char *at = bytes.data, *end = at + bytes.length; at < end;) {
        const char *value = at + strlen(at) + 1;
        mb_error *text = NULL;
        mb_status refusal = api->mb_options_set(options, at, value, &text);
        if (refusal != MB_OK) {
            status = status == MB_OK ? refusal : status;
            set_error_at(env, error, refused++, api, text);
        }
        at = value + strlen(value) + 1;
    }
    bytes_done(&bytes);
    return status;
}

static int64_t option_value(const mb_options *options, const mb_option_info *info)
{
    const char *field = (const char *)options + info->offset;
    if (info->width == 4) {
        uint32_t narrow;
        memcpy(&narrow, field, sizeof narrow);
        return narrow;
    } else {
        int64_t wide;
        memcpy(&wide, field, sizeof wide);
        return wide;
    }
}

/* What each option of the table is after these texts; where that is the default and one number, that number. */
static jint optionValues(JNIEnv *env, jclass class, jbyteArray texts, jlongArray values, jobjectArray error)
{
    const mb_api *api = mb_api_table();
    const mb_option_info *table;
    mb_options options;
    size_t count = 0;
    mb_status status = set_options(env, api, &options, texts, error);
    (void)class;
    if (status != MB_OK || (status = api->mb_option_table(&table, &count)) != MB_OK) {
        return status;
    }
    for (size_t at = 0; at < count; at++) {
        jlong value = option_value(&options, &table[at]);
        value = value == 0 ? table[at].default_value : value;
        (*env)->SetLongArrayRegion(env, values, (jsize)at, 1, &value);
    }
    return MB_OK;
}

METHODS(options_methods, METHOD(optionValues, "([B[J[[B)I"));
