// P34: a whole program in strict C++98: a batcher with threads behind a class, handlers with C linkage.

#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <pthread.h>

#include "microbatch.h"

namespace {

class Batcher {
public:
    explicit Batcher(const mb_options &options) : batcher_(NULL)
    {
        mb_error *error = NULL;
        if (mb_batcher_new(&options, &batcher_, &error) != MB_OK) {
            std::string message = mb_error_message(error);
            mb_error_free(error);
            throw message;
        }
    }

    ~Batcher() { mb_batcher_free(batcher_); }

    void push(const std::string &text, uint64_t tag)
    {
        check(mb_batcher_push_string(batcher_, text.data(), text.size(), tag));
    }

    void push(int64_t number, uint64_t tag) { check(mb_batcher_push_int64(batcher_, number, tag)); }

    void close() { check(mb_batcher_close(batcher_, MB_FOREVER, NULL)); }

    mb_batcher *handle() { return batcher_; }

private:
    Batcher(const Batcher &);
    Batcher &operator=(const Batcher &);

    static void check(mb_status status)
    {
        if (status != MB_OK) {
            throw std::string(mb_status_name(status));
        }
    }

    mb_batcher *batcher_;
};

struct Results {
    pthread_mutex_t lock;
    std::map<uint64_t, std::string> texts;
    std::map<uint64_t, mb_status> failures;
};

} // namespace

extern "C" {

static mb_status reverse(void *, mb_batch *batch, const mb_api *)
{
    mb_batch_view view;
    view.struct_size = sizeof view;
    mb_batch_get_view(batch, &view);
    for (std::size_t row = 0; row < view.count; ++row) {
        mb_value value;
        mb_batch_value(batch, row, &value);
        // An exception must not leave a callback: it becomes a failure of its row.
        try {
            if (value.kind != MB_KIND_STRING) {
                throw std::string("not a string");
            }
            const char *data = static_cast<const char *>(value.as.string.data);
            std::string text(data, data + value.as.string.length);
            std::string reversed(text.rbegin(), text.rend());
            mb_batch_set_string(batch, row, reversed.data(), reversed.size());
        } catch (const std::string &message) {
            mb_batch_fail(batch, row, 5, "std::string", message.data(), message.size());
        }
    }
    return MB_OK;
}

static void collect(void *user_data, const mb_results *results, const mb_api *)
{
    Results &all = *static_cast<Results *>(user_data);
    mb_results_view view;
    view.struct_size = sizeof view;
    mb_results_get_view(results, &view);
    pthread_mutex_lock(&all.lock);
    for (std::size_t row = 0; row < view.count; ++row) {
        mb_value value;
        mb_status status = mb_results_value(results, row, &value);
        if (status == MB_OK) {
            const char *data = static_cast<const char *>(value.as.string.data);
            all.texts[view.tags[row]].assign(data, value.as.string.length);
        } else {
            all.failures[view.tags[row]] = status;
        }
    }
    pthread_mutex_unlock(&all.lock);
}
}

static int fail(const char *what)
{
    std::fprintf(stderr, "cpp98.cpp: %s\n", what);
    return 1;
}

int main()
{
    Results all;
    pthread_mutex_init(&all.lock, NULL);
    try {
        mb_options options;
        mb_options_init(&options, sizeof options);
        options.handler = reverse;
        options.on_result = collect;
        options.result_data = &all;
        options.max_batch_size = 16;
        options.max_delay = 2 * MB_MS;
        options.threads = 2;
        {
            Batcher batcher(options);
            for (uint64_t tag = 0; tag < 1000; ++tag) {
                if (tag % 10 == 3) {
                    batcher.push(static_cast<int64_t>(tag), tag);
                } else {
                    batcher.push(std::string("text ") + static_cast<char>('a' + tag % 26), tag);
                }
            }
            batcher.close();
            mb_stats stats;
            stats.struct_size = sizeof stats;
            if (mb_batcher_stats(batcher.handle(), &stats) != MB_OK || stats.ok != 900 || stats.failed != 100) {
                return fail("the stats are wrong");
            }
        }
        options.max_batch_size = 2;
        options.queue_capacity = 1;
        try {
            Batcher batcher(options);
            return fail("options that contradict each other are taken");
        } catch (const std::string &message) {
            if (message.find("max_batch_size") == std::string::npos) {
                return fail(message.c_str());
            }
        }
    } catch (const std::string &message) {
        return fail(message.c_str());
    }
    if (all.texts.size() != 900 || all.failures.size() != 100) {
        return fail("results are missing");
    }
    if (all.texts[1] != "b txet" || all.failures[3] != 5) {
        return fail("a result is wrong");
    }
    pthread_mutex_destroy(&all.lock);
    return 0;
}
