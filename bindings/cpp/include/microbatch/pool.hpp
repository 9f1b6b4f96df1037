// Where the states of futures live: slots in chunks that never move, found by the tag of their value.
#ifndef MICROBATCH_POOL_HPP
#define MICROBATCH_POOL_HPP

#include "results.hpp"

#include <condition_variable>
#include <thread>

MB_CPP_BEGIN
namespace detail {

// Someone who goes on when a future is ready, instead of waiting: a coroutine.
struct continuation {
    void (*run)(continuation*);
    continuation* next = nullptr;
};

// What a future and its batcher share. Its word says who is done with it: the batcher sets `ready` once, after it wrote
// the result; the future sets `dropped` if it goes first. Who comes second gives the slot back.
template <class R>
struct slot {
    static constexpr std::uint32_t ready = 1;
    static constexpr std::uint32_t failed = 2;   // with ready: an error is in the place of the result
    static constexpr std::uint32_t dropped = 4;  // nobody will look
    static constexpr std::uint32_t parked = 8;   // somebody sleeps until it is ready
    static constexpr std::uint32_t chained = 16; // a continuation waits
    static constexpr std::uint32_t live = 32;    // a value was, or is about to be, pushed with its tag
    static constexpr unsigned generation_shift = 8;
    static constexpr std::uint32_t generation_mask = 0xFFFFFF;

    // An object stays in its cell: the future shares it.
    using kept = std::conditional_t<is_object<R>, cell*, owned_of<R>>;

    slot() noexcept : next(nullptr) {}
    ~slot() {}

    void drop_payload() noexcept {
        if ((word.load(std::memory_order_relaxed) & failed) != 0) failure.~error();
        else if constexpr (is_object<R>) value->release();
        else value.~kept();
    }

    std::atomic<std::uint32_t> word{0};  // flags, and from generation_shift on the generation
    std::uint32_t index = 0;
    union {
        slot* next;          // while it is free
        continuation* then;  // while it is chained
    };
    union {
        kept value;
        error failure;
        slot* chain;  // of the first of a free chain: the next chain
    };
};

// Values pushed with futures have tags with the highest bit set: then a generation of 24 bits and the slot's index. So a
// tag that somebody else made up, in another language for example, is recognized and never followed.
inline constexpr std::uint64_t future_tag = std::uint64_t{1} << 63;

// The slots of one batcher. Free ones are kept in small stacks, one for a few threads each, and move between them in
// chains. It goes when the batcher is gone and all slots are back.
template <class R>
class pool {
public:
    using slot = detail::slot<R>;

    pool(const mb_api* api, bool manual) noexcept : api_(api), manual_(manual) {}
    pool(const pool&) = delete;
    pool& operator=(const pool&) = delete;

    const mb_api* api() const noexcept { return api_; }
    bool is_manual() const noexcept { return manual_; }
    mb_batcher* batcher() const noexcept { return batcher_.load(std::memory_order_acquire); }
    void attach(mb_batcher* batcher) noexcept { batcher_.store(batcher, std::memory_order_release); }

    // A slot for one value; nullptr without memory.
    slot* take() noexcept {
        stack& mine = here();
        const locked lock(mine);
        if (mine.loaded.head == nullptr) {
            std::swap(mine.loaded, mine.spare);
            if (mine.loaded.head == nullptr && !refill(mine.loaded)) return nullptr;
        }
        slot* taken = mine.loaded.head;
        mine.loaded.head = taken->next;
        --mine.loaded.count;
        ++mine.out;
        taken->word.store(taken->word.load(std::memory_order_relaxed) | slot::live, std::memory_order_relaxed);
        return taken;
    }

    // Gives a slot back: its payload is gone, and so are both who used it.
    void give(slot* back) noexcept {
        const std::uint32_t word = back->word.load(std::memory_order_relaxed);
        back->word.store(((word >> slot::generation_shift) + 1) << slot::generation_shift, std::memory_order_relaxed);
        bool last = false;
        {
            stack& mine = here();
            const locked lock(mine);
            if (mine.loaded.count == chain_size) {
                if (mine.spare.head != nullptr) shelve(mine.spare);
                mine.spare = std::exchange(mine.loaded, chain{});
            }
            back->next = mine.loaded.head;
            mine.loaded.head = back;
            ++mine.loaded.count;
            --mine.out;
            last = closing_.load(std::memory_order_relaxed);
        }
        if (last && left_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

    static std::uint64_t tag_of(const slot* of) noexcept {
        const std::uint32_t generation = of->word.load(std::memory_order_relaxed) >> slot::generation_shift;
        return future_tag | static_cast<std::uint64_t>(generation) << 32 | of->index;
    }

    // The slot of a tag, if that is the tag of one that waits for its result; else nullptr.
    slot* find(std::uint64_t tag) const noexcept {
        if ((tag & future_tag) == 0 || (tag << 1 >> 57) != 0) return nullptr;
        const auto index = static_cast<std::uint32_t>(tag);
        if (index >= made_.load(std::memory_order_acquire)) return nullptr;
        slot* found = at(index);
        const std::uint32_t word = found->word.load(std::memory_order_relaxed);
        const bool same = word >> slot::generation_shift == static_cast<std::uint32_t>(tag >> 32 & slot::generation_mask);
        return same && (word & (slot::ready | slot::live)) == slot::live ? found : nullptr;
    }

    // Has the slot of a tag brought near, if there is one.
    void fetch(std::uint64_t tag) const noexcept {
        const auto index = static_cast<std::uint32_t>(tag);
        if ((tag & future_tag) != 0 && index < made_.load(std::memory_order_relaxed)) __builtin_prefetch(at(index), 1);
    }

    // Says that a slot's payload is written. Answers the continuation that waits for it, if one does.
    continuation* finish(slot* of, std::uint32_t flags) noexcept {
        // SYNC: release publishes the payload to whoever sees `ready`; acquire sees the continuation.
        const std::uint32_t before = of->word.fetch_or(slot::ready | flags, std::memory_order_acq_rel);
        if ((before & (slot::dropped | slot::parked | slot::chained)) == 0) return nullptr;
        if ((before & slot::dropped) != 0) {
            of->drop_payload();
            give(of);
        } else if ((before & slot::chained) != 0) {
            return of->then;
        } else {
            // From here on the slot may be somebody else's: only its address is used.
            bed& sleeper = bed_of(of);
            { const std::lock_guard<std::mutex> lock(sleeper.mutex); }
            sleeper.woken.notify_all();
        }
        return nullptr;
    }

    // Sleeps until the slot is ready, or until `limit` has passed; says whether it is.
    bool wait(slot* of, timeout limit) {
        bed& sleeper = bed_of(of);
        std::unique_lock<std::mutex> lock(sleeper.mutex);
        // SYNC: either the finisher sees `parked` and takes the mutex before it notifies, or this sees `ready`.
        of->word.fetch_or(slot::parked, std::memory_order_acq_rel);
        const auto is_ready = [of] { return (of->word.load(std::memory_order_acquire) & slot::ready) != 0; };
        if (limit.ns() == MB_FOREVER) return sleeper.woken.wait(lock, is_ready), true;
        // Longer than the clock can say is forever, too.
        const auto now = std::chrono::steady_clock::now();
        const auto most = std::chrono::steady_clock::time_point::max() - now;
        const auto length = std::chrono::nanoseconds(limit.ns());
        return sleeper.woken.wait_until(lock, length < most ? now + length : now + most / 2, is_ready);
    }

    // The batcher is gone: the pool goes when the last slot is back.
    void close() noexcept {
        std::int64_t out = 0;
        for (auto& each : stacks_) each.lock();
        for (auto& each : stacks_) out += each.out;
        // One more for this function itself, which still touches the stacks.
        left_.store(out + 1, std::memory_order_relaxed);
        closing_.store(true, std::memory_order_relaxed);
        for (auto& each : stacks_) each.unlock();
        if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

private:
    static constexpr std::uint32_t chain_size = 64;
    static constexpr std::uint32_t first_chunk = 64;
    static constexpr std::size_t chunks = 26;  // each twice the one before: 2^32 slots in all
    static constexpr std::size_t stack_count = 8;
    static constexpr std::size_t bed_count = 16;

    struct chain {
        slot* head = nullptr;
        std::uint32_t count = 0;
    };

    // The free slots near some threads, under a lock that is hardly ever taken.
    struct alignas(64) stack {
        void lock() noexcept {
            while (busy.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
        }
        void unlock() noexcept { busy.store(false, std::memory_order_release); }

        std::atomic<bool> busy{false};
        std::int64_t out = 0;  // taken here and given back elsewhere counts as well: only the sum means something
        chain loaded, spare;
    };
    struct locked {
        explicit locked(stack& of) noexcept : held(of) { held.lock(); }
        locked(const locked&) = delete;
        locked& operator=(const locked&) = delete;
        ~locked() { held.unlock(); }
        stack& held;
    };

    struct bed {
        std::mutex mutex;
        std::condition_variable woken;
    };

    ~pool() {
        for (std::size_t number = 0; number < chunks; ++number) delete[] chunks_[number].load(std::memory_order_relaxed);
    }

    stack& here() noexcept {
        static thread_local char mine = 0;
        const auto address = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(&mine));
        return stacks_[(address >> 6) * 0x9E3779B97F4A7C15U >> 61];
    }
    static_assert(stack_count == 8, "here() takes three bits");

    bed& bed_of(const slot* of) noexcept {
        return beds_[reinterpret_cast<std::uintptr_t>(of) / sizeof(slot) % bed_count];
    }

    // Chunk k begins at first_chunk * (2^k - 1).
    static std::size_t chunk_of(std::uint32_t index) noexcept {
        const std::uint64_t place = (static_cast<std::uint64_t>(index) + first_chunk) / first_chunk;
        return static_cast<std::size_t>(63 - __builtin_clzll(place));
    }
    static std::uint64_t begin_of(std::size_t chunk) noexcept {
        return first_chunk * ((std::uint64_t{1} << chunk) - 1);
    }
    slot* at(std::uint32_t index) const noexcept {
        const std::size_t number = chunk_of(index);
        return chunks_[number].load(std::memory_order_acquire) + (index - begin_of(number));
    }

    void shelve(chain full) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        full.head->chain = shelf_;
        shelf_ = full.head;
    }

    bool refill(chain& into) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (shelf_ != nullptr) {
            into = chain{shelf_, chain_size};
            shelf_ = shelf_->chain;
            return true;
        }
        const std::uint32_t first = made_.load(std::memory_order_relaxed);
        const std::size_t number = chunk_of(first);
        if (number >= chunks) return false;
        slot* chunk = chunks_[number].load(std::memory_order_relaxed);
        if (chunk == nullptr) {
            chunk = new (std::nothrow) slot[first_chunk << number];
            if (chunk == nullptr) return false;
            chunks_[number].store(chunk, std::memory_order_release);
        }
        slot* fresh = chunk + (first - begin_of(number));
        for (std::uint32_t at = 0; at < chain_size; ++at) {
            fresh[at].index = first + at;
            // Any first generation will do; 0 would be the one that made-up tags have.
            fresh[at].word.store((0x5A17C3U + (first + at) * 0x9E37U) << slot::generation_shift, std::memory_order_relaxed);
            fresh[at].next = at + 1 < chain_size ? &fresh[at + 1] : nullptr;
        }
        into = chain{fresh, chain_size};
        made_.store(first + chain_size, std::memory_order_release);
        return true;
    }

    const mb_api* const api_;
    const bool manual_;
    std::atomic<mb_batcher*> batcher_{nullptr};
    stack stacks_[stack_count];
    bed beds_[bed_count];
    std::atomic<slot*> chunks_[chunks] = {};
    std::atomic<std::uint32_t> made_{0};
    std::mutex mutex_;  // guards the shelf and the making of slots
    slot* shelf_ = nullptr;
    std::atomic<bool> closing_{false};
    std::atomic<std::int64_t> left_{0};
};

}  // namespace detail
MB_CPP_END

#endif
