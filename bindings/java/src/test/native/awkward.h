/* The awkward values, which Java has too (NativeTest.java): value i is pushed with tag i and must arrive to the last bit. */

#ifndef AWKWARD_H
#define AWKWARD_H

#include "microbatch.h"

typedef struct awkward {
    uint32_t kind;
    uint64_t cell; /* the number, the bits of the float, the truth, or the length */
    const char *data;
} awkward;

#define AWKWARD_COUNT 22

static const awkward awkward_values[AWKWARD_COUNT] = {
    {MB_KIND_NULL, 0, 0},
    {MB_KIND_BOOL, 0, 0},
    {MB_KIND_BOOL, 1, 0},
    {MB_KIND_INT64, UINT64_C(0x8000000000000000), 0},
    {MB_KIND_INT64, UINT64_C(0x7fffffffffffffff), 0},
    {MB_KIND_INT64, UINT64_C(0xffffffffffffffff), 0},
    {MB_KIND_INT64, 0, 0},
    {MB_KIND_FLOAT64, UINT64_C(0x8000000000000000), 0}, /* -0.0 */
    {MB_KIND_FLOAT64, UINT64_C(0x7ff8deadbeef0001), 0}, /* a NaN with a payload */
    {MB_KIND_FLOAT64, UINT64_C(0xfff0000000000000), 0}, /* -infinity */
    {MB_KIND_FLOAT64, UINT64_C(0x0000000000000001), 0}, /* the smallest */
    {MB_KIND_FLOAT64, UINT64_C(0x7fefffffffffffff), 0}, /* the largest */
    {MB_KIND_STRING, 0, ""},
    {MB_KIND_STRING, 1, "\0"},
    {MB_KIND_STRING, 3, "a\0b"},
    {MB_KIND_STRING, 4, "\xF0\x9F\x98\x80"},
    {MB_KIND_STRING, 2, "\xC3\xA9"},
    {MB_KIND_STRING, 4, "\xF4\x8F\xBF\xBF"},
    {MB_KIND_STRING, 3, "\xEF\xBB\xBF"},
    {MB_KIND_BYTES, 0, ""},
    {MB_KIND_BYTES, 3, "\x00\xFF\x80"},
    {MB_KIND_BYTES, 5, "\xED\xA0\x80\xC0\x80"}
};

/* No memcmp: the handlers are linked to nothing. */
static int awkward_is(const mb_value *value, uint64_t tag)
{
    const awkward *expected;
    uint64_t at;
    if (tag >= AWKWARD_COUNT) {
        return 0;
    }
    expected = &awkward_values[tag];
    if (value->kind != expected->kind) {
        return 0;
    }
    if (value->kind == MB_KIND_STRING || value->kind == MB_KIND_BYTES) {
        const char *data = (const char *)value->as.string.data;
        if (value->as.string.length != expected->cell) {
            return 0;
        }
        for (at = 0; at < expected->cell; at++) {
            if (data[at] != expected->data[at]) {
                return 0;
            }
        }
        return 1;
    }
    return value->kind == MB_KIND_NULL || (uint64_t)value->as.int64 == expected->cell;
}

static void awkward_get(uint64_t tag, mb_value *value)
{
    const awkward *from = &awkward_values[tag % AWKWARD_COUNT];
    value->kind = from->kind;
    value->owner = 0;
    if (from->kind == MB_KIND_STRING || from->kind == MB_KIND_BYTES) {
        value->as.string.data = from->data;
        value->as.string.length = (size_t)from->cell;
    } else {
        value->as.int64 = (int64_t)from->cell;
    }
}

#endif
