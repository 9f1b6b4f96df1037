/* What the library tells of itself, as text for Java to read; and symbols of other libraries. */

#include "glue.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Text that grows; `data` is NULL once memory ran out. */
struct text {
    char *data;
    size_t length;
    size_t capacity;
};

static void text_add(struct text *text, const char *more, char end)
{
    size_t length = strlen(more);
    if (text->data == NULL) {
        return;
    }
    if (text->capacity - text->length < length + 1) {
        char *data = realloc(text->data, text->capacity = 2 * (text->capacity + length));
        if (data == NULL) {
            free(text->data);
        }
        text->data = data;
        if (data == NULL) {
            return;
        }
    }
    memcpy(text->data + text->length, more, length);
    text->length += length;
    text->data[text->length++] = end;
}

static void text_add_number(struct text *text, int64_t number, char end)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%lld", (long long)number);
    text_add(text, digits, end);
}

static jbyteArray text_done(JNIEnv *env, struct text *text)
{
    jbyteArray array = text->data == NULL ? NULL : bytes_to_java(env, text->data, text->length);
    free(text->data);
    return array;
}

static struct text text_new(void)
{
    struct text text = {malloc(4096), 0, 4096};
    return text;
}

/* code TAB retriable TAB name TAB text NEWLINE */
static jbyteArray statusTable(JNIEnv *env, jclass class)
{
    const mb_status_info *table;
    size_t count = 0;
    struct text text = text_new();
    (void)class;
    mb_api_table()->mb_status_table(&table, &count);
    for (size_t at = 0; at < count; at++) {
        text_add_number(&text, table[at].code, '\t');
        text_add_number(&text, table[at].retriable, '\t');
        text_add(&text, table[at].name, '\t');
        text_add(&text, table[at].text, '\n');
    }
    return text_done(env, &text);
}

/* name TAB type TAB unit TAB default TAB choices TAB minimum TAB maximum TAB default of managed languages TAB doc NEWLINE */
static jbyteArray optionTable(JNIEnv *env, jclass class)
{
    const mb_option_info *table;
    size_t count = 0;
    struct text text = text_new();
    (void)class;
    mb_api_table()->mb_option_table(&table, &count);
    for (size_t at = 0; at < count; at++) {
        text_add(&text, table[at].name, '\t');
        text_add(&text, table[at].type_name, '\t');
        text_add(&text, table[at].unit, '\t');
        text_add(&text, table[at].default_text, '\t');
        text_add(&text, table[at].choices, '\t');
        text_add_number(&text, table[at].minimum, '\t');
        text_add_number(&text, table[at].maximum, '\t');
        text_add_number(&text, table[at].managed_default, '\t');
        text_add(&text, table[at].doc, '\n');
    }
    return text_done(env, &text);
}

static jbyteArray version(JNIEnv *env, jclass class)
{
    const char *text = mb_api_table()->mb_version_string();
    (void)class;
    return bytes_to_java(env, text, strlen(text));
}

/* The address of a symbol in a shared library; 0, and error[0], if there is none. The library stays loaded. */
static jlong symbol(JNIEnv *env, jclass class, jbyteArray path, jbyteArray name, jobjectArray error)
{
    struct bytes at, what;
    void *found = NULL;
    (void)class;
    if (!bytes_read(env, path, (*env)->GetArrayLength(env, path), &at)) {
        return 0;
    }
    if (bytes_read(env, name, (*env)->GetArrayLength(env, name), &what)) {
        void *library = dlopen(at.data, RTLD_NOW | RTLD_LOCAL);
        found = library == NULL ? NULL : dlsym(library, what.data);
        if (found == NULL) {
            const char *reason = dlerror();
            jbyteArray message = reason == NULL ? NULL : bytes_to_java(env, reason, strlen(reason));
            if (message != NULL) {
                (*env)->SetObjectArrayElement(env, error, 0, message);
            }
        }
        bytes_done(&what);
    }
    bytes_done(&at);
    return (jlong)(uintptr_t)found;
}

METHODS(
    library_methods,
    METHOD(statusTable, "()[B"),
    METHOD(optionTable, "()[B"),
    METHOD(version, "()[B"),
    METHOD(symbol, "([B[B[[B)J"));
