// The peer: a mutex, a vector that the worker swaps out, condition variables, and a std::promise for each value. What a
// good C++ engineer writes for this job in an afternoon.
#ifndef PROMISE_BATCHER_HPP
#define PROMISE_BATCHER_HPP

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

class promise_batcher {
public:
    promise_batcher(std::size_t max_batch_size, std::chrono::nanoseconds max_delay)
        : max_batch_size_(max_batch_size), max_delay_(max_delay), worker_([this] { run(); }) {}
    promise_batcher(const promise_batcher&) = delete;
    promise_batcher& operator=(const promise_batcher&) = delete;
    ~promise_batcher() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            closed_ = true;
        }
        work_.notify_one();
        worker_.join();
    }

    std::future<std::int64_t> submit(std::int64_t value) {
        std::promise<std::int64_t> promise;
        auto future = promise.get_future();
        bool wake = false;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            // The clock is read once a batch, not once a value.
            if (waiting_.empty()) opened_at_ = clock::now();
            waiting_.push_back(item{value, std::move(promise)});
            // The worker sleeps until there is a first value, or a full batch: only those wake it.
            wake = waiting_.size() == 1 || waiting_.size() == max_batch_size_;
        }
        if (wake) work_.notify_one();
        return future;
    }

private:
    using clock = std::chrono::steady_clock;
    struct item {
        std::int64_t value;
        std::promise<std::int64_t> promise;
    };

    void run() {
        std::vector<item> taken;
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            while (waiting_.size() < max_batch_size_ && !closed_) {
                if (waiting_.empty()) work_.wait(lock);
                else if (work_.wait_until(lock, opened_at_ + max_delay_) == std::cv_status::timeout) break;
            }
            if (waiting_.empty() && closed_) return;
            taken.swap(waiting_);
            lock.unlock();
            for (std::size_t from = 0; from < taken.size(); from += max_batch_size_) {
                const auto to = std::min(from + max_batch_size_, taken.size());
                for (auto at = from; at < to; ++at) taken[at].value *= 2;  // the handler
                for (auto at = from; at < to; ++at) taken[at].promise.set_value(taken[at].value);
            }
            taken.clear();
            lock.lock();
        }
    }

    const std::size_t max_batch_size_;
    const std::chrono::nanoseconds max_delay_;
    std::mutex mutex_;
    std::condition_variable work_;
    std::vector<item> waiting_;
    clock::time_point opened_at_;
    bool closed_ = false;
    std::thread worker_;  // last: it uses all of the above
};

#endif
