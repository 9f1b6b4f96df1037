// One value's result to come: waited for, or awaited by a coroutine.
#ifndef MICROBATCH_FUTURE_HPP
#define MICROBATCH_FUTURE_HPP

#include "pool.hpp"

#if defined(__cpp_impl_coroutine)
#include <coroutine>
#endif

MB_CPP_BEGIN

// What submit returns. It is for one thread at a time, gives its result once, and may outlive the batcher. Destroyed
// early, the value goes its way and its result is forgotten. About the size of three pointers; no allocation of its own.
template <class R>
class [[nodiscard]] future {
public:
    // What it gives: R itself, a std::string for a std::string_view, nothing for void.
    using result_type = std::conditional_t<std::is_void_v<R>, void, detail::owned_of<R>>;

    future() noexcept = default;
    future(future&& other) noexcept
        : pool_(other.pool_), slot_(std::exchange(other.slot_, nullptr)),
          refusal_(std::exchange(other.refusal_, MB_ERR_INVALID_HANDLE)) {}
    future& operator=(future&& other) noexcept {
        if (this == &other) return *this;
        drop();
        pool_ = other.pool_;
        slot_ = std::exchange(other.slot_, nullptr);
        refusal_ = std::exchange(other.refusal_, MB_ERR_INVALID_HANDLE);
        return *this;
    }
    ~future() { drop(); }

    // Whether it has a result to give, now or later: not if it was moved from or gave it already.
    bool valid() const noexcept { return slot_ != nullptr || refusal_ != MB_ERR_INVALID_HANDLE; }
    // Whether try_get would return without waiting.
    bool ready() const noexcept {
        return slot_ == nullptr || (slot_->word.load(std::memory_order_acquire) & slot::ready) != 0;
    }

    // Waits for the result. TIMEOUT; REENTRANT in a callback of its own batcher; FORKED in a child process. A manual
    // batcher does what run does instead, and answers IN_PROGRESS if the result is not there then. INVALID_HANDLE if the
    // future is not valid.
    mb::status try_wait(timeout limit = forever) const {
        if (slot_ == nullptr) return valid() ? MB_OK : MB_ERR_INVALID_HANDLE;
        if (ready()) return MB_OK;
        if (limit.ns() < 0) return MB_ERR_INVALID_ARGUMENT;
        const auto* api = pool_->api();
        if (pool_->is_manual()) {
            const auto code = api->mb_batcher_run(pool_->batcher());
            if (ready()) return MB_OK;
            return code == MB_OK ? MB_ERR_IN_PROGRESS : code;
        }
        // The library knows on which threads its callbacks run; a mark that was never given out asks for nothing else.
        const auto code = api->mb_batcher_flush_end(pool_->batcher(), UINT64_MAX, 0);
        if (code == MB_ERR_REENTRANT || code == MB_ERR_FORKED) return ready() ? MB_OK : code;
        return pool_->wait(slot_, limit) ? MB_OK : MB_ERR_TIMEOUT;
    }

    // Waits, and gives the result or why there is none: mb::error has the code, the words, whether a handler saw the
    // value, and as cause() the exception itself if a handler of this program threw one. After a wait that failed
    // (TIMEOUT and the like) the future is valid as before; else it is not any more.
    expected<result_type> try_get(timeout limit = forever) {
        const auto waited = try_wait(limit);
        if (!waited.ok()) return error::of(table(), waited.code());
        if (slot_ == nullptr) return error::of(table(), std::exchange(refusal_, MB_ERR_INVALID_HANDLE));
        const given_back holder(*this);
        if (failed()) return slot_->failure;
        if constexpr (std::is_void_v<R>) return {};
        else return result();
    }

    // Cancels the value if it still waits; then the result is CANCELLED. TOO_LATE once it is dispatched.
    mb::status try_cancel() const noexcept {
        if (slot_ == nullptr) return valid() ? MB_ERR_TOO_LATE : MB_ERR_INVALID_HANDLE;
        if (ready()) return MB_ERR_TOO_LATE;
        return pool_->api()->mb_batcher_cancel(pool_->batcher(), detail::pool<R>::tag_of(slot_), nullptr);
    }

#if MB_CPP_EXCEPTIONS
    // Waits, and gives the result. Throws what the handler threw, if it is of this program, and else mb::error.
    result_type get(timeout limit = forever) {
        if (slot_ == nullptr || !ready()) detail::throw_unless_ok(table(), try_wait(limit));
        if (slot_ == nullptr) throw error::of(table(), std::exchange(refusal_, MB_ERR_INVALID_HANDLE));
        const given_back holder(*this);
        if (failed()) {
            if (auto cause = slot_->failure.cause()) std::rethrow_exception(std::move(cause));
            throw error(slot_->failure);
        }
        if constexpr (!std::is_void_v<R>) return result();
    }
    void wait() const { detail::throw_unless_ok(table(), try_wait()); }
    // Whether the result came in time.
    bool wait_for(timeout limit) const {
        const auto answer = try_wait(limit);
        if (answer == MB_ERR_TIMEOUT) return false;
        detail::throw_unless_ok(table(), answer);
        return true;
    }
    void cancel() const { detail::throw_unless_ok(table(), try_cancel()); }
#endif

#if defined(__cpp_impl_coroutine)
    // `co_await batcher.submit(value)` gives what get() gives (without exceptions: what try_get gives). The coroutine goes
    // on in a callback of the batcher, where the rules of callbacks hold; mb::resume_with chooses another place.
    struct awaiter : detail::continuation {
        explicit awaiter(future&& from) noexcept : detail::continuation{&awaiter::resume}, held(std::move(from)) {}

        bool await_ready() const noexcept { return held.ready(); }
        bool await_suspend(std::coroutine_handle<> who) noexcept {
            waiting = who;
            held.slot_->then = this;
            // SYNC: release publishes `then` to pool::finish.
            const auto before = held.slot_->word.fetch_or(slot::chained, std::memory_order_acq_rel);
            return (before & slot::ready) == 0;
        }
#if MB_CPP_EXCEPTIONS
        result_type await_resume() { return held.get(); }
#else
        expected<result_type> await_resume() { return held.try_get(); }
#endif
        static void resume(detail::continuation* self) { static_cast<awaiter*>(self)->waiting.resume(); }

        future held;
        std::coroutine_handle<> waiting;
    };
    awaiter operator co_await() && noexcept { return awaiter(std::move(*this)); }
#endif

    // For the wrapper: a value that was accepted, and one that was refused.
    future(detail::pool<R>* pool, detail::slot<R>* taken) noexcept : pool_(pool), slot_(taken) {}
    explicit future(mb_status refusal) noexcept : refusal_(refusal) {}
    // Its value was refused after all.
    void undo() noexcept { pool_->give(std::exchange(slot_, nullptr)); }

private:
    using slot = detail::slot<R>;

    // At the end of try_get the slot is given back, even if moving the result out throws.
    struct given_back {
        explicit given_back(future& of) noexcept : from(of) {}
        given_back(const given_back&) = delete;
        given_back& operator=(const given_back&) = delete;
        ~given_back() { from.drop(); }
        future& from;
    };

    bool failed() const noexcept { return (slot_->word.load(std::memory_order_relaxed) & slot::failed) != 0; }

    auto&& result() noexcept {
        if constexpr (detail::is_object<R>) {
            static_assert(std::is_move_constructible_v<R>, "a result that cannot be moved: use a std::unique_ptr");
            return std::move(static_cast<detail::cell_of<R>*>(slot_->value)->value);
        } else {
            return std::move(slot_->value);
        }
    }

    const mb_api* table() const noexcept { return pool_ != nullptr ? pool_->api() : mb_api_table(); }

    void drop() noexcept {
        slot* mine = std::exchange(slot_, nullptr);
        refusal_ = MB_ERR_INVALID_HANDLE;
        if (mine == nullptr) return;
        std::uint32_t before = mine->word.load(std::memory_order_acquire);
        // SYNC: whoever comes second, this or pool::finish, sees what the other wrote, and gives the slot back.
        if ((before & slot::ready) == 0) before = mine->word.fetch_or(slot::dropped, std::memory_order_acq_rel);
        if ((before & slot::ready) == 0) return;
        mine->drop_payload();
        pool_->give(mine);
    }

    detail::pool<R>* pool_ = nullptr;
    slot* slot_ = nullptr;
    mb_status refusal_ = MB_ERR_INVALID_HANDLE;
};

MB_CPP_END

#endif
