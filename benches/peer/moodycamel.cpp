// moodycamel::ConcurrentQueue by hand: a producer token for each thread, bulk dequeue with a consumer token, a handler, a
// callback for each batch. Twice: polled, which never sleeps while there is work and is the fastest; and blocking, which
// sleeps as a batcher has to.
#include "peer.h"

#include <blockingconcurrentqueue.h>
#include <concurrentqueue.h>

namespace {

using namespace std::chrono;

template <class T, bool blocking>
class Moodycamel final : public Peer {
    using Queue = std::conditional_t<blocking, moodycamel::BlockingConcurrentQueue<T>, moodycamel::ConcurrentQueue<T>>;

    // What one thread knows; written by it alone.
    struct alignas(128) Producer {
        explicit Producer(Queue &queue) : token(queue) {}
        moodycamel::ProducerToken token;
        std::atomic<std::uint64_t> granted{0}, pushed{0};
        std::uint64_t left = 0;  // granted and not used
    };

public:
    explicit Moodycamel(const side_config &config)
        : Peer(config), queue_(config.outstanding), grant_(std::max<std::uint64_t>(1, config.outstanding / (4 * config.producers))) {
        producers_.reserve(config.producers);
        for (std::uint64_t i = 0; i < config.producers; ++i) producers_.push_back(std::make_unique<Producer>(queue_));
        worker_ = std::thread([this] { run(); });
    }

    ~Moodycamel() override {
        closed_ = true;
        activate(true);
        if constexpr (blocking) queue_.enqueue(T{});  // wakes it
        worker_.join();
    }

    std::uint64_t push(std::uint64_t number, std::uint64_t first, std::uint64_t count) override {
        auto &producer = *producers_[number];
        if (config_.consumer != 0) activate(true);
        if (config_.bulk > 0) {
            count = in_bulk<T>(first, count, [&](const T *items, std::size_t some) {
                while (producer.left < some) ask(producer);
                producer.left -= some;
                return queue_.enqueue_bulk(producer.token, items, some);
            });
        } else {
            for (std::uint64_t i = 0; i < count; ++i) push_one(producer, first + i);
        }
        producer.pushed.store(producer.pushed.load(std::memory_order_relaxed) + count, std::memory_order_release);
        return count;
    }

    void drain() override {
        std::uint64_t all = 0;
        for (auto &producer : producers_) all += producer->pushed.load(std::memory_order_acquire);
        flushing_ = true;
        activate(true);
        while (delivered() < all) std::this_thread::yield();
        flushing_ = false;
        activate(false);
    }

private:
    __attribute__((noinline)) bool push_one(Producer &producer, std::uint64_t tag) {
        if (producer.left == 0) ask(producer);
        --producer.left;
        T item;
        fill(item, config_, text_, tag);
        return queue_.enqueue(producer.token, std::move(item));
    }

    // The bound on what is outstanding costs an addition now and then, not an atomic for each value.
    void ask(Producer &producer) {
        for (unsigned looks = 0;; ++looks) {
            std::uint64_t granted = 0;
            for (auto &each : producers_) granted += each->granted.load(std::memory_order_relaxed);
            if (granted + grant_ <= delivered() + config_.outstanding) break;
            if (looks % 64 == 63) std::this_thread::yield();
            __builtin_ia32_pause();
        }
        producer.left += grant_;
        producer.granted.store(producer.granted.load(std::memory_order_relaxed) + grant_, std::memory_order_relaxed);
    }

    std::uint64_t delivered() const { return __atomic_load_n(&tally.delivered, __ATOMIC_ACQUIRE); }

    // The polled queue has to be told when there is something to poll for.
    void activate(bool active) {
        if (active_.load(std::memory_order_relaxed) == active) return;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            active_ = active;
        }
        changed_.notify_one();
    }

    void run() {
        moodycamel::ConsumerToken token(queue_);
        std::vector<T> taken(config_.max_batch_size);
        std::size_t have = 0;
        steady_clock::time_point opened;
        while (!closed_ || have > 0) {
            if (have == 0 && !active_) {
                std::unique_lock<std::mutex> lock(mutex_);
                changed_.wait(lock, [this] { return active_.load(); });
            }
            const auto got = take(token, taken.data() + have, taken.size() - have, have, opened);
            if (have == 0 && got > 0 && got < taken.size() && config_.max_delay_ns > 0) opened = steady_clock::now();
            have += got;
            const bool due = have == taken.size() || (have > 0 && (config_.max_delay_ns == 0 || flushing_ || closed_ ||
                                                                   (got == 0 && steady_clock::now() >= opened + delay())));
            if (due && !closed_) {
                handle(taken.data(), have);
                side_work(&config_);
                this->template callback<T>(taken.data(), have);
            }
            if (due) have = 0;
            if (!blocking && !due) rest();
        }
    }

    // Looking again at once takes the line that the producers write from them: values then cost hundreds of nanoseconds.
    static void rest() {
        for (int i = 0; i < 64; ++i) __builtin_ia32_pause();
        std::this_thread::yield();
    }

    nanoseconds delay() const { return nanoseconds(config_.max_delay_ns); }

    std::size_t take(moodycamel::ConsumerToken &token, T *to, std::size_t room, std::size_t have,
                     steady_clock::time_point opened) {
        if constexpr (blocking) {
            if (have == 0) return queue_.wait_dequeue_bulk(token, to, room);
            const auto left = opened + delay() - steady_clock::now();
            if (left.count() <= 0 || flushing_) return queue_.try_dequeue_bulk(token, to, room);
            return queue_.wait_dequeue_bulk_timed(token, to, room, left);
        } else {
            (void)have;
            (void)opened;
            return queue_.try_dequeue_bulk(token, to, room);
        }
    }

    Queue queue_;
    std::vector<std::unique_ptr<Producer>> producers_;
    const std::uint64_t grant_;
    std::atomic<bool> active_{blocking}, flushing_{false}, closed_{false};
    std::mutex mutex_;
    std::condition_variable changed_;
    std::thread worker_;
};

}  // namespace

extern "C" {
extern const side_calls side_moodycamel = peer_calls<Moodycamel<Item, false>, Moodycamel<TextItem, false>>();
extern const side_calls side_moodycamel_blocking = peer_calls<Moodycamel<Item, true>, Moodycamel<TextItem, true>>();
}
