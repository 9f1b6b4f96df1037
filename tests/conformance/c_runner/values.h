/* Words of a scenario: options, escaped text and values, read and shown. */
#ifndef CONFORMANCE_VALUES_H
#define CONFORMANCE_VALUES_H

#include <inttypes.h>
#include <string.h>

#include "session.h"

static int split(char *text, char **words)
{
    int count = 0;
    for (char *word = strtok(text, " "); word != NULL && count < WORDS; word = strtok(NULL, " ")) words[count++] = word;
    return count;
}

static const char *option(char **words, int count, const char *key)
{
    for (int i = 0; i < count; i++)
        if (strncmp(words[i], key, strlen(key)) == 0) return words[i] + strlen(key);
    return NULL;
}

/* Decoded bytes live until the process ends; what was copied by the library is overwritten after the call. */
static char *unescape(const char *text, size_t *length)
{
    static char arena[1 << 20];
    static size_t used;
    char *data = arena + used;
    *length = 0;
    if (used + strlen(text) + 1 > sizeof arena) die("no room for", text);
    for (; *text != '\0'; text++) {
        unsigned byte = (unsigned char)*text;
        if (*text == '%') {
            sscanf(text + 1, "%2x", &byte);
            text += 2;
        }
        data[(*length)++] = (char)byte;
    }
    data[*length] = '\0';
    used += *length + 1;
    return data;
}

static char *unescape_or_dash(const char *text, size_t *length)
{
    return unescape(strcmp(text, "-") == 0 ? "" : text, length);
}

static void escape(const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned byte = (unsigned char)data[i];
        int plain = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
        printf(plain || byte == '_' || byte == '.' ? "%c" : "%%%02X", byte);
    }
}

static void escape_or_dash(const char *data, size_t length)
{
    if (length == 0) printf("-");
    escape(data, length);
}

static mb_value parse(const char *token)
{
    const char *text = strchr(token, ':') ? strchr(token, ':') + 1 : "";
    mb_value value;
    memset(&value, 0, sizeof value);
    while (strncmp(token, SCRIPT[value.kind], strlen(SCRIPT[value.kind])) != 0)
        if (++value.kind == MB_KINDS) die("no value", token);
    switch (value.kind) {
    case MB_KIND_BOOL: value.as.int64 = *text == '1'; break;
    case MB_KIND_INT64: value.as.int64 = strtoll(text, NULL, 10); break;
    case MB_KIND_FLOAT64: {
        uint64_t bits = strtoull(text, NULL, 16);
        memcpy(&value.as.float64, &bits, sizeof bits);
        break;
    }
    case MB_KIND_STRING:
    case MB_KIND_BYTES: value.as.string.data = unescape(text, &value.as.string.length); break;
    case MB_KIND_OBJECT: {
        unsigned owner = 0;
        sscanf(text, "%u/%" SCNu64 "/%" SCNu64, &owner, &value.as.object.word, &value.as.object.size);
        value.owner = owners[owner];
        break;
    }
    }
    return value;
}

static void show(const mb_value *value)
{
    uint64_t bits;
    printf("%s", SCRIPT[value->kind]);
    switch (value->kind) {
    case MB_KIND_BOOL:
    case MB_KIND_INT64: printf(":%" PRId64, value->as.int64); break;
    case MB_KIND_FLOAT64: memcpy(&bits, &value->as.float64, sizeof bits); printf(":%016" PRIx64, bits); break;
    case MB_KIND_STRING:
    case MB_KIND_BYTES: printf(":"); escape(value->as.string.data, value->as.string.length); break;
    case MB_KIND_OBJECT: printf(":%" PRIu64, value->as.object.word); break;
    }
}

static const char *kind_name(uint32_t kind) { return kind < MB_KINDS ? SCRIPT[kind] : "mixed"; }

#endif
