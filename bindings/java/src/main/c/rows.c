/* Bytes and values of Java, read into memory of C, and bytes on their way back. */

#include "glue.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(mb_value) == 3 * sizeof(jlong), "Rows.java writes values as three longs");

jbyteArray bytes_to_java(JNIEnv *env, const void *data, size_t length)
{
    jbyteArray array = length > INT32_MAX ? NULL : (*env)->NewByteArray(env, (jsize)length);
    if (array != NULL) {
        (*env)->SetByteArrayRegion(env, array, 0, (jsize)length, data);
    }
    return array;
}

bool bytes_read(JNIEnv *env, jbyteArray array, jint length, struct bytes *bytes)
{
    bytes->length = array == NULL ? 0 : (size_t)length;
    bytes->data = bytes->length < sizeof bytes->small ? bytes->small : malloc(bytes->length + 1);
    if (bytes->data == NULL) {
        return false;
    }
    if (array != NULL) {
        (*env)->GetByteArrayRegion(env, array, 0, length, (jbyte *)bytes->data);
    }
    bytes->data[bytes->length] = '\0';
    return true;
}

void bytes_done(struct bytes *bytes)
{
    if (bytes->data != bytes->small) {
        free(bytes->data);
    }
}

void value_of(jlong head, jlong first, jlong second, const struct bytes *bytes, mb_value *value)
{
    jlong words[3] = {head, first, second};
    memcpy(value, words, sizeof *value);
    if (value->kind == MB_KIND_STRING || value->kind == MB_KIND_BYTES) {
        value->as.string.data = bytes->data + first;
    }
}

bool rows_read(JNIEnv *env, jlongArray words, jint from, jint count, jbyteArray data, struct rows *rows)
{
    rows->values = malloc((size_t)count * sizeof *rows->values + 1);
    if (rows->values == NULL) {
        return false;
    }
    if (!bytes_read(env, data, data == NULL ? 0 : (*env)->GetArrayLength(env, data), &rows->bytes)) {
        free(rows->values);
        return false;
    }
    (*env)->GetLongArrayRegion(env, words, 3 * from, 3 * count, (jlong *)(void *)rows->values);
    for (jint at = 0; at < count; at++) {
        mb_value *value = &rows->values[at];
        if (value->kind == MB_KIND_STRING || value->kind == MB_KIND_BYTES) {
            jlong offset;
            memcpy(&offset, &value->as, sizeof offset);
            value->as.string.data = rows->bytes.data + offset;
        }
    }
    return true;
}

void rows_done(struct rows *rows)
{
    free(rows->values);
    bytes_done(&rows->bytes);
}
