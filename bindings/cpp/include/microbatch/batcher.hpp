// The batcher: what values of one type are pushed into, and results of another come out of.
#ifndef MICROBATCH_BATCHER_HPP
#define MICROBATCH_BATCHER_HPP

#include "push.hpp"

MB_CPP_BEGIN

template <class T, class R>
class producer;

// Takes values of type T, has them handled in batches, and delivers results of type R. `batcher<>` takes values of any kind.
//
// Where results go is fixed at creation: to futures (submit), or to on_result, or to next_results (pull_results), or they
// are only counted (count_results). A batcher without handlers is pulled: see next_batch.
//
// Destroyed, it closes with the option close_timeout, then frees everything, waiting for callbacks that run in other
// threads. In a callback of its own it is abandoned instead: what the callback uses goes when it returns.
template <class T = value, class R = T>
class batcher : public control, public detail::pushing<batcher<T, R>, T, R> {
public:
    using value_type = T;
    using result_type = R;

#if MB_CPP_EXCEPTIONS
    // Makes a batcher of options, handlers and other parts (see parts.hpp). Throws mb::error: INVALID_OPTION names all
    // options that are wrong; SYSTEM; NO_MEMORY.
    template <class... Parts>
    explicit batcher(const options& options, Parts&&... parts)
        : batcher(std::move(make(options, std::forward<Parts>(parts)...).value())) {}
#endif
    template <class... Parts>
    static expected<batcher> create(const options& options, Parts&&... parts) {
#if MB_CPP_EXCEPTIONS
        try {
            return make(options, std::forward<Parts>(parts)...);
        } catch (const std::bad_alloc&) {
            return mb::error::of(mb_api_table(), MB_ERR_NO_MEMORY);
        }
#else
        return make(options, std::forward<Parts>(parts)...);
#endif
    }

    batcher(batcher&& other) noexcept
        : control(other.api_, std::exchange(other.handle_, nullptr)), hub_(std::move(other.hub_)),
          owned_(std::exchange(other.owned_, false)) {}
    batcher& operator=(batcher&& other) noexcept {
        if (this == &other) return *this;
        end();
        handle_ = std::exchange(other.handle_, nullptr);
        hub_ = std::move(other.hub_);
        owned_ = std::exchange(other.owned_, false);
        return *this;
    }
    ~batcher() { end(); }

    // Closes with 0 and gives everything back now; in a callback of this batcher it abandons. Every other call answers
    // INVALID_HANDLE afterwards.
    mb::status try_free() noexcept {
        owned_ = false;
        return api_->mb_batcher_free(handle_);
    }
    // Frees without waiting: outstanding values are discarded, and what a running callback uses goes when it returns.
    mb::status abandon() noexcept {
        owned_ = false;
        return api_->mb_batcher_abandon(handle_);
    }

    // Pushes a range of values, with tags that count up from the first or one for each. It takes them in order and stops
    // at the first that is refused. int64_t and double go in place, in one call; a release in the options is for strings
    // and bytes, covers the whole range, and runs once.
    template <class Range>
    pushed try_push_many(const Range& values, const tags& tags = 0, const push_options& options = {}) const {
        return push_range(values, tags, options);
    }
    // Pushes a range and returns a future for each value, in order. Those of refused values have the refusal.
    template <class Range>
    std::vector<future<R>> submit_many(const Range& values, const push_options& options = {}) const;

    // A way in for one thread: faster, with an order of its own.
    expected<producer<T, R>> try_producer() const noexcept {
        mb_producer* made = nullptr;
        const auto code = api_->mb_producer_new(handle_, &made);
        if (code != MB_OK) return mb::error::of(api_, code);
        return producer<T, R>(api_, made, handle_, hub_);
    }

    // A batcher without handlers: takes a whole batch as soon as one is due and a slot is free. TIMEOUT if none came (a
    // manual batcher: at once), CLOSED when none will.
    expected<held_batch<T, R>> try_next_batch(timeout limit = forever) const noexcept {
        mb_batch* taken = nullptr;
        const auto code = api_->mb_batcher_next_batch(handle_, limit.ns(), &taken);
        if (code != MB_OK) return mb::error::of(api_, code);
        return held_batch<T, R>(api_, taken, hub_.get(), hub_.get());
    }
    // With pull_results: takes the next set of results. TIMEOUT if none came, CLOSED when none will.
    expected<owned_results<R>> try_next_results(timeout limit = forever) const noexcept {
        mb_results* taken = nullptr;
        const auto code = api_->mb_batcher_next_results(handle_, limit.ns(), &taken);
        if (code != MB_OK) return mb::error::of(api_, code);
        return owned(taken);
    }

    // Completes a batch, and takes the next set of results if one is ready then: nobody who waits for results is woken for
    // it. The status is that of try_complete; unless it is OK no set was taken.
    expected<std::optional<owned_results<R>>> try_complete_next(held_batch<T, R>& batch) const noexcept {
        mb_results* taken = nullptr;
        const auto code = batch.finish(api_->mb_batch_complete_next(batch.handle(), &taken));
        if (!code.ok()) return mb::error::of(api_, code.code());
        if (taken == nullptr) return std::optional<owned_results<R>>();
        return std::optional<owned_results<R>>(owned(taken));
    }

#if MB_CPP_EXCEPTIONS
    // The same, throwing mb::error. Of push_many it says how many were accepted.
    template <class Range>
    void push_many(const Range& values, const tags& tags = 0, const push_options& options = {}) const {
        const auto answer = push_range(values, tags, options);
        if (!answer.status.ok()) throw mb::error::of(api_, answer.status.code()).with_accepted(answer.accepted);
    }
    producer<T, R> make_producer() const { return *std::move(checked(try_producer())); }
    held_batch<T, R> next_batch(timeout limit = forever) const { return *std::move(checked(try_next_batch(limit))); }
    owned_results<R> next_results(timeout limit = forever) const {
        return *std::move(checked(try_next_results(limit)));
    }
    std::optional<owned_results<R>> complete_next(held_batch<T, R>& batch) const {
        return *std::move(checked(try_complete_next(batch)));
    }
#endif

    // The same batcher without its types: it takes values of any kind, as the C API does.
    batcher_ref ref() const noexcept { return {api_, handle_}; }

private:
    friend class detail::pushing<batcher, T, R>;
    friend class producer<T, R>;
    using hub_type = detail::typed_hub<T, R>;

    batcher(const mb_api* api, mb_batcher* handle, detail::hub_pointer hub) noexcept
        : control(api, handle), hub_(std::move(hub)) {}

    template <class... Parts>
    static expected<batcher> make(const options& options, Parts&&... parts) {
        const auto* api = mb_api_table();
        auto* hub = new (std::nothrow) hub_type(api);
        if (hub == nullptr) return mb::error::of(api, MB_ERR_NO_MEMORY);
        const detail::hub_pointer holder(hub);
        hub->release();
        mb_options raw = options.raw();
        (detail::add<T, R>(*hub, raw, std::forward<Parts>(parts)), ...);
        mb_batcher* made = nullptr;
        mb_error* trouble = nullptr;
        const auto code = hub->start(raw, options.results_are_counted(), made, trouble);
        if (code != MB_OK) return mb::error::of(api, code, trouble);
        return batcher(api, made, holder);
    }

#if MB_CPP_EXCEPTIONS
    template <class E>
    static E&& checked(E&& made) {
        static_cast<void>(made.value());
        return std::forward<E>(made);
    }
#endif

    owned_results<R> owned(const mb_results* taken) const noexcept {
        using keepsake = typename owned_results<R>::keepsake;
        return owned_results<R>(api_, taken, hub_.get(), std::unique_ptr<keepsake>(new (std::nothrow) keepsake));
    }

    detail::batcher_door door() const noexcept { return {api_, handle_}; }
    std::uint32_t owner() const noexcept { return hub_.get() == nullptr ? 0 : hub_.get()->owner(); }
    detail::pool<R>* pool() const noexcept {
        return hub_.get() == nullptr ? nullptr : static_cast<hub_type*>(hub_.get())->futures();
    }

    template <class Range>
    pushed push_range(const Range& values, const tags& tags, const push_options& options) const;

    void end() noexcept {
        if (!owned_) return;
        owned_ = false;
        static_cast<void>(api_->mb_batcher_close(handle_, close_timeout(), nullptr));
        static_cast<void>(api_->mb_batcher_free(handle_));
    }

    // What the option says, or the default of the library's table.
    std::int64_t close_timeout() const noexcept { return static_cast<hub_type*>(hub_.get())->close_timeout(); }

    detail::hub_pointer hub_;
    bool owned_ = true;
};

// A way into a batcher for one thread at a time. Values pushed through it keep their order; that among several producers,
// and between them and the batcher's own pushes, is given up for speed. It may outlive the batcher.
template <class T = value, class R = T>
class producer : public detail::pushing<producer<T, R>, T, R> {
public:
    producer(producer&& other) noexcept
        : api_(other.api_), handle_(std::exchange(other.handle_, nullptr)), of_(other.of_), hub_(std::move(other.hub_)) {}
    producer& operator=(producer&& other) noexcept {
        if (this == &other) return *this;
        static_cast<void>(api_->mb_producer_free(handle_));
        api_ = other.api_;
        handle_ = std::exchange(other.handle_, nullptr);
        of_ = other.of_;
        hub_ = std::move(other.hub_);
        return *this;
    }
    ~producer() { static_cast<void>(api_->mb_producer_free(handle_)); }

    // For the C API.
    mb_producer* handle() const noexcept { return handle_; }
    const mb_api* api() const noexcept { return api_; }

private:
    friend class detail::pushing<producer, T, R>;
    friend class batcher<T, R>;
    producer(const mb_api* api, mb_producer* handle, mb_batcher* of, detail::hub_pointer hub) noexcept
        : api_(api), handle_(handle), of_(of), hub_(std::move(hub)) {}

    detail::producer_door door() const noexcept { return {api_, handle_, of_}; }
    std::uint32_t owner() const noexcept { return hub_.get() == nullptr ? 0 : hub_.get()->owner(); }
    detail::pool<R>* pool() const noexcept {
        return hub_.get() == nullptr ? nullptr : static_cast<detail::typed_hub<T, R>*>(hub_.get())->futures();
    }

    const mb_api* api_;
    mb_producer* handle_;
    mb_batcher* of_;
    detail::hub_pointer hub_;
};

MB_CPP_END

#include "many.hpp"

#endif
