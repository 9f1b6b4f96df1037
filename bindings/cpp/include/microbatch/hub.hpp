// What a batcher's callbacks share. It lives as long as the library may call one of them, or anybody holds a batch, a
// future or a producer.
#ifndef MICROBATCH_HUB_HPP
#define MICROBATCH_HUB_HPP

#include "control.hpp"

#include <algorithm>
#include <cstdlib>
#include <typeinfo>

#include <cxxabi.h>

MB_CPP_BEGIN
namespace detail {

// A handler at work on this thread: who unwinds a batch that it kept leaves it to the handler's trampoline.
struct frame {
    static frame*& top() noexcept {
        static thread_local frame* here = nullptr;
        return here;
    }

    explicit frame(mb_batch* of) noexcept : batch(of), below(top()) { top() = this; }
    frame(const frame&) = delete;
    frame& operator=(const frame&) = delete;
    ~frame() { top() = below; }

    mb_batch* const batch;
    frame* const below;
    bool adopted = false;
};

// The exceptions that handlers threw, until the results of their batches are delivered: so that whoever waits gets the
// object thrown, and not only its words.
class causes {
public:
    // Remembers the exception of a part, and answers a number by which to forget it alone; 0 if there is no memory:
    // then the failure still has its words. The parts of map have one set of results, whose rows are their tags.
    std::uint64_t add(const mb_batch_view& part, bool of_map, std::exception_ptr cause) noexcept {
#if MB_CPP_EXCEPTIONS
        try {
#endif
            entry made{of_map ? map : part.number, 0, {}, 0, part.count, std::move(cause)};
            if (!of_map && part.positions == nullptr) made.count = SIZE_MAX;
            if (of_map) made.first = part.tags[0];
            if (part.positions != nullptr) made.positions.assign(part.positions, part.positions + part.count);
            const std::lock_guard<std::mutex> lock(mutex_);
            made.serial = ++last_serial_;
            entries_.push_back(std::move(made));
            count_.store(entries_.size(), std::memory_order_release);
            return last_serial_;
#if MB_CPP_EXCEPTIONS
        } catch (...) {
            return 0;
        }
#endif
    }

    // The number under which those of map are found.
    static constexpr std::uint64_t map = UINT64_MAX;

    std::exception_ptr find(std::uint64_t number, std::size_t row) const noexcept {
        if (number == 0 || count_.load(std::memory_order_acquire) == 0) return nullptr;
        const std::lock_guard<std::mutex> lock(mutex_);
        for (const auto& each : entries_)
            if (each.number == number && each.covers(row)) return each.cause;
        return nullptr;
    }

    // The results of this batch are delivered.
    void forget(std::uint64_t number) noexcept {
        if (count_.load(std::memory_order_acquire) == 0) return;
        erase([number](const entry& each) { return each.number == number; });
    }
    // The outcomes of its part stood before it could fail.
    void forget_one(std::uint64_t serial) noexcept {
        erase([serial](const entry& each) { return each.serial == serial; });
    }

    // Moves those of one batch over: to results that are pulled.
    void move_to(causes& other, std::uint64_t number) noexcept {
        if (count_.load(std::memory_order_acquire) == 0) return;
#if MB_CPP_EXCEPTIONS
        try {
#endif
            const std::lock_guard<std::mutex> lock(mutex_);
            for (const auto& each : entries_)
                if (each.number == number) other.entries_.push_back(each);
#if MB_CPP_EXCEPTIONS
        } catch (...) {
            // As above.
        }
#endif
        other.count_.store(other.entries_.size(), std::memory_order_release);
        forget(number);
    }

private:
    struct entry {
        std::uint64_t number;
        std::uint64_t serial;
        std::vector<std::uint32_t> positions;  // the rows, in order; or, without any,
        std::uint64_t first;                   // the rows from here on
        std::uint64_t count;
        std::exception_ptr cause;

        bool covers(std::size_t row) const noexcept {
            if (positions.empty()) return row >= first && row - first < count;
            return std::binary_search(positions.begin(), positions.end(), static_cast<std::uint32_t>(row));
        }
    };

    template <class Is>
    void erase(Is is) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        entries_.erase(std::remove_if(entries_.begin(), entries_.end(), is), entries_.end());
        count_.store(entries_.size(), std::memory_order_release);
    }

    mutable std::mutex mutex_;
    std::uint64_t last_serial_ = 0;
    std::vector<entry> entries_;
    std::atomic<std::size_t> count_{0};
};

// The untyped part of what callbacks share.
class hub : public realm {
public:
    void keep() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

    const mb_api* api() const noexcept { return api_; }
    mb::detail::causes& causes() noexcept { return causes_; }
    // Whether somebody is given results as C++ objects; else exceptions are not remembered.
    bool results_are_seen() const noexcept { return results_are_seen_; }

    // A line for the log callback, if there is one.
    virtual void log(std::int32_t level, std::string_view line) noexcept = 0;

    // Tells the log what was thrown by a callback that fails nothing.
    void log_current_exception(const char* where) noexcept;

protected:
    explicit hub(const mb_api* api) noexcept : api_(api) {}
    virtual ~hub() = default;

    const mb_api* const api_;
    bool results_are_seen_ = false;

private:
    std::atomic<std::uint32_t> references_{1};
    mb::detail::causes causes_;
};

// A counted reference to a hub; may be none.
class hub_pointer {
public:
    hub_pointer() noexcept = default;
    explicit hub_pointer(hub* to) noexcept : hub_(to) {
        if (hub_ != nullptr) hub_->keep();
    }
    hub_pointer(const hub_pointer& other) noexcept : hub_pointer(other.hub_) {}
    hub_pointer(hub_pointer&& other) noexcept : hub_(std::exchange(other.hub_, nullptr)) {}
    hub_pointer& operator=(hub_pointer other) noexcept { return std::swap(hub_, other.hub_), *this; }
    ~hub_pointer() {
        if (hub_ != nullptr) hub_->release();
    }

    hub* get() const noexcept { return hub_; }

private:
    hub* hub_ = nullptr;
};

// Fails a part with words. What is not UTF-8 in them is shown as '?': an exception's text can be anything.
inline mb_status fail_part(const mb_api* api, mb_batch* batch, const error& failure) noexcept {
    const mb_status code = failure.code() == MB_OK ? MB_ERR_HANDLER_FAILED : failure.code();
    const char* type_name = *failure.type_name() == '\0' ? nullptr : failure.type_name();
    const std::string_view message = failure.message();
    mb_status status = api->mb_batch_fail_all(batch, code, type_name, message.data(), message.size());
    if (status != MB_ERR_INVALID_UTF8) return status;
    const std::unique_ptr<char[]> plain(new (std::nothrow) char[message.size() + 1]);
    if (plain == nullptr) return status;
    for (std::size_t at = 0; at < message.size(); ++at)
        plain[at] = (static_cast<unsigned char>(message[at]) & 0x80U) != 0 ? '?' : message[at];
    status = api->mb_batch_fail_all(batch, code, type_name, plain.get(), message.size());
    if (status != MB_ERR_INVALID_UTF8) return status;
    return api->mb_batch_fail_all(batch, code, nullptr, plain.get(), message.size());
}

#if MB_CPP_EXCEPTIONS

// The words for the exception that is being handled: code, message, type. Call it inside a catch block.
inline error describe_current_exception() noexcept {
    const char* mangled = nullptr;
    if (const auto* type = abi::__cxa_current_exception_type()) mangled = type->name();
    int trouble = 0;
    char* readable = mangled == nullptr ? nullptr : abi::__cxa_demangle(mangled, nullptr, nullptr, &trouble);
    const char* type_name = readable != nullptr ? readable : mangled != nullptr ? mangled : "";
    const auto made = [type_name](std::string_view message) {
        return error(MB_ERR_HANDLER_FAILED, message, type_name);
    };
    const auto described = [&]() noexcept {
        try {
            throw;
        } catch (const error& thrown) {
            return thrown;
        } catch (const std::exception& thrown) {
            return made(thrown.what());
        } catch (const std::string& thrown) {
            return made(thrown);
        } catch (const char* thrown) {
            return made(thrown);
        } catch (...) {
            return made("the exception is no std::exception");
        }
    };
    error described_error = described();
    std::free(readable);
    return described_error;
}

inline void hub::log_current_exception(const char* where) noexcept {
    const error thrown = describe_current_exception();
    try {
        log(3, std::string(where).append(" threw ").append(thrown.type_name()).append(": ").append(thrown.message()));
    } catch (...) {
        log(3, where);
    }
}

#else

inline void hub::log_current_exception(const char*) noexcept {}

#endif

}  // namespace detail
MB_CPP_END

#endif
