// How C++ objects travel: each reference that the library holds is one cell, made at a push or as a result, released once.
#ifndef MICROBATCH_CELL_HPP
#define MICROBATCH_CELL_HPP

#include "value.hpp"

#include <mutex>

MB_CPP_BEGIN
namespace detail {

// An object on its way. Its word is its address.
struct cell {
    using destroy_fn = void (*)(cell*) noexcept;

    cell(key of, destroy_fn how) noexcept : type(of), destroy(how) {}

    static cell* of(std::uint64_t word) noexcept { return reinterpret_cast<cell*>(static_cast<std::uintptr_t>(word)); }
    std::uint64_t word() noexcept { return static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(this)); }

    void keep() noexcept { references.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy(this);
    }

    static constexpr std::uint8_t returned = 1;  // the library gave its reference back
    static constexpr std::uint8_t stray = 2;     // it may never do so: see realm::hand_over

    std::atomic<std::uint32_t> references{1};
    std::atomic<std::uint8_t> marks{0};
    const key type;
    const destroy_fn destroy;
};

template <class T>
struct cell_of final : cell {
    template <class U>
    explicit cell_of(U&& from) : cell(key_of<T>(), [](cell* self) noexcept { delete static_cast<cell_of*>(self); }),
                                 value(std::forward<U>(from)) {}

    // nullptr without memory; what T's own constructor throws goes through.
    template <class U>
    static cell_of* make(U&& from) {
        return new (std::nothrow) cell_of(std::forward<U>(from));
    }

    T value;
};

// One batcher's objects, or one call's of map: their owner number, and who answers for references handed over.
class realm {
public:
    realm() = default;
    realm(const realm&) = delete;
    realm& operator=(const realm&) = delete;

    std::uint32_t owner() const noexcept { return owner_; }
    // The objects of map stay in the caller's array: their word is their address, without a cell.
    bool in_place() const noexcept { return in_place_; }

    // Sets an object as a row's result, and hands one reference to the library if it takes it. If the batch is over
    // already (TOO_LATE) the library gives the reference back, but not when the batcher is gone by then. That it never
    // will is certain only when nothing of the batcher is left, so such cells wait for either. The library gives nothing
    // back in map: there all cells wait for the end.
    mb_status hand_over(const mb_api* api, mb_batch* batch, std::size_t row, cell* object, std::uint64_t size) {
        object->keep();
        const mb_status status = api->mb_batch_set_object(batch, row, owner_, object->word(), size);
        if (status == MB_ERR_TOO_LATE && !in_place_) {
            wait_for(object);
        } else if (in_place_ && status == MB_OK) {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (!remember(object)) {
                api->mb_batch_fail(batch, row, MB_ERR_NO_MEMORY, nullptr, nullptr, 0);
                object->release();
            }
        } else if (status != MB_OK) {
            object->release();
        }
        object->release();
        return status;
    }

    // The library gives a reference back.
    void take_back(std::uint64_t word) noexcept {
        cell* object = cell::of(word);
        if ((object->marks.fetch_or(cell::returned, std::memory_order_acq_rel) & cell::stray) != 0) {
            const std::lock_guard<std::mutex> lock(mutex_);
            for (auto& waiting : waiting_)
                if (waiting == object) waiting = nullptr;
        }
        object->release();
    }

protected:
    // Nothing is left that could give anything back.
    ~realm() {
        for (cell* object : waiting_)
            if (object != nullptr) object->release();
    }

    std::uint32_t owner_ = 0;
    bool in_place_ = false;

private:
    void wait_for(cell* object) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        if ((object->marks.fetch_or(cell::stray, std::memory_order_acq_rel) & cell::returned) != 0) return;
        // Without memory to remember it, it is left alone: lost rather than released twice.
        static_cast<void>(remember(object));
    }

    bool remember(cell* object) noexcept {
#if MB_CPP_EXCEPTIONS
        try {
#endif
            for (auto& free : waiting_)
                if (free == nullptr) return free = object, true;
            waiting_.push_back(object);
            return true;
#if MB_CPP_EXCEPTIONS
        } catch (...) {
            return false;
        }
#endif
    }

    std::mutex mutex_;
    std::vector<cell*> waiting_;
};

}  // namespace detail
MB_CPP_END

#endif
