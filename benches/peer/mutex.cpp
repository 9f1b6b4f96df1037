// The hand-written batcher behind the calls of side.h, and the same with a std::promise for each value.
#include "peer.h"

#include <future>

namespace {

template <class T>
class Mutex final : public Peer {
public:
    explicit Mutex(const side_config &config)
        : Peer(config),
          batcher_({config.max_batch_size, config.outstanding, std::chrono::nanoseconds(config.max_delay_ns),
                    config.consumer == 0},
                   [this](T *items, std::size_t count) {
                       handle(items, count);
                       side_work(&config_);
                   },
                   [this](const T *items, std::size_t count) { callback(items, count); }) {}

    std::uint64_t push(std::uint64_t, std::uint64_t first, std::uint64_t count) override {
        if (config_.bulk > 0)
            return in_bulk<T>(first, count, [this](const T *items, std::size_t some) { return batcher_.push_many(items, some); });
        for (std::uint64_t i = 0; i < count; ++i)
            if (!push_one(first + i)) return i;
        return count;
    }

    void drain() override { batcher_.flush(); }

private:
    // The library's entry point as its user sees it: a call of its own, as ours is.
    __attribute__((noinline)) bool push_one(std::uint64_t tag) {
        T item;
        fill(item, config_, text_, tag);
        return batcher_.push(std::move(item));
    }

    BasicMutexBatcher<T> batcher_;
};

struct PromiseItem {
    std::uint64_t tag;
    std::int64_t value;
    std::promise<std::int64_t> promise;
};

// A future for each value, which the producer waits for a window later.
class Promises final : public Peer {
public:
    explicit Promises(const side_config &config)
        : Peer(config),
          batcher_({config.max_batch_size, config.outstanding, std::chrono::nanoseconds(config.max_delay_ns), false},
                   [](PromiseItem *items, std::size_t count) {
                       for (std::size_t i = 0; i < count; ++i) items[i].value = side_double(items[i].value);
                   },
                   [](PromiseItem *items, std::size_t count) {
                       for (std::size_t i = 0; i < count; ++i) items[i].promise.set_value(items[i].value);
                   }) {}

    std::uint64_t push(std::uint64_t, std::uint64_t first, std::uint64_t count) override {
        const auto window = config_.outstanding / config_.producers;
        std::vector<std::future<std::int64_t>> futures;
        futures.reserve(window);
        for (std::uint64_t at = 0; at < count; at += window) {
            const auto some = std::min(window, count - at);
            for (std::uint64_t i = 0; i < some; ++i) futures.push_back(submit(first + at + i));
            std::uint64_t sum = 0, expected = 0;
            for (std::uint64_t i = 0; i < some; ++i) {
                const std::uint64_t tag = first + at + i;
                sum += static_cast<std::uint64_t>(futures[i].get());
                expected += side_expected(&config_, text_, &tag, 1, sizeof tag);
            }
            futures.clear();
            __atomic_fetch_add(&tally.sum, sum, __ATOMIC_RELAXED);
            __atomic_fetch_add(&tally.expected, expected, __ATOMIC_RELAXED);
            __atomic_fetch_add(&tally.delivered, some, __ATOMIC_RELEASE);
        }
        return count;
    }

    void drain() override {}

private:
    __attribute__((noinline)) std::future<std::int64_t> submit(std::uint64_t tag) {
        std::promise<std::int64_t> promise;
        auto future = promise.get_future();
        batcher_.push({tag, side_value(tag), std::move(promise)});
        return future;
    }

    BasicMutexBatcher<PromiseItem> batcher_;
};

}  // namespace

extern "C" {
extern const side_calls side_mutex = peer_calls<Mutex<Item>, Mutex<TextItem>>();
extern const side_calls side_promise = peer_calls<Promises, Promises>();

void side_bare_lock(uint64_t count) {
    static std::mutex mutex;
    for (uint64_t i = 0; i < count; ++i) {
        mutex.lock();
        mutex.unlock();
    }
}
}
