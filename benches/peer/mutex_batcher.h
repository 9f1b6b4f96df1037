// The peer: the batcher a good C++ engineer writes for this job in an afternoon. A mutex, a vector that the worker
// swaps out, and condition variables that are notified only when somebody sleeps who has something to do now.
#ifndef MUTEX_BATCHER_H
#define MUTEX_BATCHER_H

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

struct Item {
    std::uint64_t tag;
    std::int64_t value;
};

// An Entry is whatever goes in; the handler writes the result into it.
template <class Entry>
class BasicMutexBatcher {
public:
    // The handler turns values into results where they are; the callback sees them with their tags.
    using Handler = std::function<void(Entry *items, std::size_t count)>;
    using Callback = std::function<void(Entry *items, std::size_t count)>;

    struct Options {
        std::size_t max_batch_size = 256;
        std::size_t capacity = 16384;  // outstanding: waiting or in the worker's hands
        std::chrono::nanoseconds max_delay = std::chrono::milliseconds(1);
        bool held = false;  // nothing is taken before flush
    };

    BasicMutexBatcher(Options options, Handler handler, Callback callback)
        : options_(options), handler_(std::move(handler)), callback_(std::move(callback)) {
        waiting_.reserve(options_.max_batch_size);
        worker_ = std::thread([this] { run(); });
    }

    BasicMutexBatcher(const BasicMutexBatcher &) = delete;
    BasicMutexBatcher &operator=(const BasicMutexBatcher &) = delete;

    // Takes no more values, delivers those it has.
    ~BasicMutexBatcher() {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            closed_ = true;
        }
        work_.notify_one();
        room_.notify_all();
        worker_.join();
    }

    // Waits while the queue is full. False if the batcher is closed.
    bool push(Entry &&item) {
        bool wake;
        {
            std::unique_lock<std::mutex> lock(mutex_);
            if (outstanding_ >= options_.capacity) wait_for_room(lock);
            if (closed_) return false;
            // The clock is read once a swap, not once a value.
            if (waiting_.empty()) opened_at_ = Clock::now();
            waiting_.push_back(std::move(item));
            ++outstanding_;
            wake = waiting_.size() >= wake_at_;
            if (wake) wake_at_ = never;
        }
        if (wake) work_.notify_one();
        return true;
    }

    // Many at once, as if one by one: as many under one lock as there is room for.
    bool push_many(const Entry *items, std::size_t count) {
        while (count > 0) {
            bool wake;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                if (outstanding_ >= options_.capacity) wait_for_room(lock);
                if (closed_) return false;
                if (waiting_.empty()) opened_at_ = Clock::now();
                auto some = std::min(count, options_.capacity - outstanding_);
                waiting_.insert(waiting_.end(), items, items + some);
                outstanding_ += some;
                items += some;
                count -= some;
                wake = waiting_.size() >= wake_at_;
                if (wake) wake_at_ = never;
            }
            if (wake) work_.notify_one();
        }
        return true;
    }

    // Waits until everything pushed so far is delivered.
    void flush() {
        std::unique_lock<std::mutex> lock(mutex_);
        flushing_ = true;
        wake_at_ = never;
        work_.notify_one();
        done_.wait(lock, [this] { return outstanding_ == 0; });
        flushing_ = false;
    }

private:
    using Clock = std::chrono::steady_clock;
    static constexpr std::size_t never = SIZE_MAX;

    void wait_for_room(std::unique_lock<std::mutex> &lock) {
        ++blocked_;
        room_.wait(lock, [this] { return outstanding_ < options_.capacity || closed_; });
        --blocked_;
    }

    // Whether the worker should take what waits; sleeps if not.
    bool due(std::unique_lock<std::mutex> &lock) {
        if (closed_ || (flushing_ && !waiting_.empty())) return true;
        if (options_.held || waiting_.empty()) {
            wake_at_ = options_.held ? never : 1;
            work_.wait(lock);
        } else if (waiting_.size() >= options_.max_batch_size) {
            return true;
        } else {
            auto due = opened_at_ + options_.max_delay;
            if (Clock::now() >= due) return true;
            wake_at_ = options_.max_batch_size;
            work_.wait_until(lock, due);
        }
        wake_at_ = never;
        return false;
    }

    void run() {
        std::vector<Entry> taken;
        taken.reserve(options_.max_batch_size);
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            while (!due(lock)) {}
            if (waiting_.empty()) return;
            taken.swap(waiting_);
            lock.unlock();
            for (std::size_t at = 0; at < taken.size(); at += options_.max_batch_size) {
                auto count = std::min(options_.max_batch_size, taken.size() - at);
                handler_(taken.data() + at, count);
                callback_(taken.data() + at, count);
                deliver(count);
            }
            taken.clear();
            lock.lock();
        }
    }

    void deliver(std::size_t count) {
        bool room, done;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            outstanding_ -= count;
            // Producers that wait are woken once there is room for a while, not for every batch.
            room = blocked_ > 0 && outstanding_ <= options_.capacity / 2;
            done = outstanding_ == 0 && flushing_;
        }
        if (room) room_.notify_all();
        if (done) done_.notify_all();
    }

    const Options options_;
    const Handler handler_;
    const Callback callback_;
    std::mutex mutex_;
    std::condition_variable work_, room_, done_;
    std::vector<Entry> waiting_;
    Clock::time_point opened_at_;      // when the first of waiting_ came
    std::size_t outstanding_ = 0;
    std::size_t wake_at_ = never;      // size of waiting_ at which the sleeping worker wants to be woken
    std::size_t blocked_ = 0;          // producers in wait_for_room
    bool flushing_ = false;
    bool closed_ = false;
    std::thread worker_;               // last: it uses all of the above
};

using MutexBatcher = BasicMutexBatcher<Item>;

#endif
