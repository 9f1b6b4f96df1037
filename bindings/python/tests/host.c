/* A C host that embeds Python and shares a batcher of its own copy of the library with it: Python pushes, C handles. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "microbatch.h"

#include <stdio.h>

static uint64_t results_seen;
static int64_t sum;

static mb_status triple(void *user_data, mb_batch *batch, const mb_api *api)
{
    mb_batch_view view;
    (void)user_data;
    view.struct_size = sizeof view;
    api->mb_batch_get_view(batch, &view);
    for (size_t row = 0; row < view.count; row++) {
        mb_value value;
        api->mb_batch_value(batch, row, &value);
        if (value.kind == MB_KIND_INT64) {
            value.as.int64 *= 3;
        }
        api->mb_batch_set_value(batch, row, &value);
    }
    return MB_OK;
}

static void on_result(void *user_data, const mb_results *results, const mb_api *api)
{
    mb_results_view view;
    (void)user_data;
    view.struct_size = sizeof view;
    api->mb_results_get_view(results, &view);
    for (size_t row = 0; row < view.count; row++) {
        mb_value value;
        if (api->mb_results_value(results, row, &value) == MB_OK && value.kind == MB_KIND_INT64) {
            sum += value.as.int64;
        }
        results_seen++;
    }
}

static int python(const mb_shared *shared)
{
    char program[1024];
    snprintf(program, sizeof program,
             "import array, microbatch\n"
             "b = microbatch.Batcher.attach(%llu)\n"
             "for n in range(100): b.push(n, n)\n"
             "b.push_many(array.array('q', range(100, 200)))\n"
             "b.push('text'); b.push(None); b.push(2.5)\n"
             "try: b.push(object())\n"
             "except microbatch.Error as e: assert e.name == 'WRONG_OWNER', e\n"
             "else: raise AssertionError('an object of Python\\'s was taken')\n"
             "try: b.submit(1)\n"
             "except microbatch.Error as e: assert e.name == 'WRONG_MODE', e\n"
             "else: raise AssertionError('a reply was promised')\n"
             "b.flush(60)\n"
             "b.close()\n",
             (unsigned long long)(uintptr_t)shared);
    return PyRun_SimpleString(program);
}

int main(void)
{
    mb_options options;
    mb_batcher *batcher;
    mb_shared shared;
    int failed;
    mb_options_init(&options, sizeof options);
    options.handler = triple;
    options.on_result = on_result;
    options.max_batch_size = 16;
    if (mb_batcher_new(&options, &batcher, NULL) != MB_OK) {
        return 2;
    }
    shared.struct_size = sizeof shared;
    if (mb_batcher_share(batcher, &shared) != MB_OK) {
        return 3;
    }
    Py_InitializeEx(0);
    failed = python(&shared);
    if (Py_FinalizeEx() != 0 || failed != 0) {
        return 4;
    }
    mb_batcher_free(batcher);
    printf("%llu results, sum %lld\n", (unsigned long long)results_seen, (long long)sum);
    return 0;
}
