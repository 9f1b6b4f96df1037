// What is done with a batcher besides pushing: sealing, flushing, closing, driving, looking.
#ifndef MICROBATCH_CONTROL_HPP
#define MICROBATCH_CONTROL_HPP

#include "options.hpp"

MB_CPP_BEGIN

// One consistent snapshot: the fields of mb_stats, with accepted = ok + failed + expired + cancelled + discarded +
// outstanding.
struct stats : mb_stats {
    // Batches sealed for this reason.
    std::uint64_t sealed_by(mb::trigger why) const noexcept { return triggers[static_cast<std::size_t>(why)]; }
    // Pushes refused with this status.
    std::uint64_t refused(status why) const noexcept {
        const auto at = static_cast<std::size_t>(-static_cast<std::int64_t>(why.code()));
        return at < sizeof refusals / sizeof *refusals ? refusals[at] : 0;
    }
};

// A point in the stream of accepted values: see flush_begin.
class mark {
public:
    mark() noexcept = default;
    explicit mark(std::uint64_t raw) noexcept : raw_(raw) {}
    std::uint64_t raw() const noexcept { return raw_; }

private:
    std::uint64_t raw_ = 0;
};

// What a close came to.
struct closed {
    mb::status status;   // OK; TIMEOUT if values were discarded; IN_PROGRESS in a callback or if a manual batcher is not done
    std::uint64_t left;  // how many were discarded
};

// A batcher without its types; it owns nothing. Copies are as good as the first while the batcher exists, and answer
// INVALID_HANDLE afterwards.
class control {
public:
    // Seals the open batch, whatever it holds, and does not wait.
    mb::status try_seal() const noexcept { return api_->mb_batcher_seal(handle_); }

    // Seals and waits until everything accepted before is delivered. A manual batcher does what run does instead and
    // answers IN_PROGRESS if something is left. REENTRANT in a callback of this batcher.
    mb::status try_flush(timeout limit = forever) const noexcept {
        return api_->mb_batcher_flush(handle_, limit.ns());
    }
    // The first half of a flush: seals, and answers a mark behind everything accepted so far.
    expected<mark> try_flush_begin() const noexcept {
        std::uint64_t raw = 0;
        const auto code = api_->mb_batcher_flush_begin(handle_, &raw);
        return detail::expect(api_, code, mark(raw));
    }
    // The second half: waits until everything before the mark is delivered.
    mb::status try_flush_end(mark until, timeout limit = forever) const noexcept {
        return api_->mb_batcher_flush_end(handle_, until.raw(), limit.ns());
    }

    // Stops acceptance at once, waits until everything is delivered, and discards what is left at the time-out.
    closed try_close(timeout limit = forever) const noexcept {
        std::uint64_t left = 0;
        const auto code = api_->mb_batcher_close(handle_, limit.ns(), &left);
        return {code, left};
    }

    // Waits until there is room for a value of 8 bytes. At the time-out it says what is lacking: QUEUE_FULL,
    // QUEUE_FULL_BYTES or RESULTS_FULL.
    mb::status try_room(timeout limit) const noexcept { return api_->mb_batcher_room(handle_, limit.ns()); }
    // Cancels every waiting value with this tag, and says how many. NOT_FOUND, or TOO_LATE if one is in flight.
    expected<std::uint64_t> try_cancel(std::uint64_t tag) const noexcept {
        std::uint64_t count = 0;
        const auto code = api_->mb_batcher_cancel(handle_, tag, &count);
        return detail::expect(api_, code, count);
    }
    // Why a value would be refused now, in words, without pushing it.
    expected<void> try_check(const value_view& value) const noexcept {
        if (const auto code = detail::refusal_of(value.raw())) return mb::error::of(api_, code);
        mb_error* error = nullptr;
        const auto code = api_->mb_batcher_check(handle_, &value.raw(), &error);
        if (code != MB_OK) return mb::error::of(api_, code, error);
        return {};
    }

    // Manual mode: does everything that is due now, on this thread.
    mb::status try_run() const noexcept { return api_->mb_batcher_run(handle_); }
    // clock = given: sets the time, from 0; backwards is ignored.
    mb::status try_advance(std::chrono::nanoseconds now) const noexcept {
        return api_->mb_batcher_advance(handle_, now.count());
    }
    // When run, next_batch or next_results will have something to do, on the batcher's clock; nanoseconds::max() if
    // nothing is in sight.
    expected<std::chrono::nanoseconds> try_next_due() const noexcept {
        std::int64_t due = 0;
        const auto code = api_->mb_batcher_next_due(handle_, &due);
        return detail::expect(api_, code, std::chrono::nanoseconds(due));
    }
    // The time on the batcher's clock: what deadlines are compared with.
    expected<std::chrono::nanoseconds> try_now() const noexcept {
        std::int64_t now = 0;
        const auto code = api_->mb_batcher_now(handle_, &now);
        return detail::expect(api_, code, std::chrono::nanoseconds(now));
    }
    // A descriptor for poll and its like: readable while there is something to do. It is the batcher's; only wait for it.
    expected<int> try_fd() const noexcept {
        std::int32_t fd = -1;
        const auto code = api_->mb_batcher_fd(handle_, &fd);
        return detail::expect(api_, code, static_cast<int>(fd));
    }

    expected<mb::stats> try_stats() const noexcept {
        mb::stats taken{};
        taken.struct_size = sizeof(mb_stats);
        const auto code = api_->mb_batcher_stats(handle_, &taken);
        return detail::expect(api_, code, taken);
    }
    // The same as text for Prometheus.
    expected<std::string> try_stats_text() const {
        std::string text;
        std::size_t needed = 0;
        // Counters grow between the calls: again until it fits.
        for (std::size_t room = 4096;; room = needed + 64) {
            text.resize(room);
            const auto code = api_->mb_batcher_stats_text(handle_, text.data(), text.size(), &needed);
            if (code != MB_OK) return mb::error::of(api_, code);
            if (needed <= text.size()) break;
        }
        text.resize(needed - 1);
        return text;
    }

    // The batcher's handle with the functions of its copy of the library, for code that has another copy or none.
    expected<mb_shared> try_share() const noexcept {
        mb_shared shared{};
        shared.struct_size = sizeof shared;
        const auto code = api_->mb_batcher_share(handle_, &shared);
        return detail::expect(api_, code, shared);
    }

#if MB_CPP_EXCEPTIONS
    // The same calls, which throw mb::error instead. close throws neither at the time-out: it says how many values were
    // discarded.
    void seal() const { detail::throw_unless_ok(api_, try_seal()); }
    void flush(timeout limit = forever) const { detail::throw_unless_ok(api_, try_flush(limit)); }
    mark flush_begin() const { return try_flush_begin().value(); }
    void flush_end(mark until, timeout limit = forever) const {
        detail::throw_unless_ok(api_, try_flush_end(until, limit));
    }
    std::uint64_t close(timeout limit = forever) const {
        const auto answer = try_close(limit);
        if (answer.status != MB_ERR_TIMEOUT) detail::throw_unless_ok(api_, answer.status);
        return answer.left;
    }
    void room(timeout limit) const { detail::throw_unless_ok(api_, try_room(limit)); }
    std::uint64_t cancel(std::uint64_t tag) const { return try_cancel(tag).value(); }
    void check(const value_view& value) const { try_check(value).value(); }
    void run() const { detail::throw_unless_ok(api_, try_run()); }
    void advance(std::chrono::nanoseconds now) const { detail::throw_unless_ok(api_, try_advance(now)); }
    std::chrono::nanoseconds next_due() const { return try_next_due().value(); }
    std::chrono::nanoseconds now() const { return try_now().value(); }
    int fd() const { return try_fd().value(); }
    mb::stats stats() const { return try_stats().value(); }
    std::string stats_text() const { return try_stats_text().value(); }
    mb_shared share() const { return try_share().value(); }
#endif

    // For the C API.
    mb_batcher* handle() const noexcept { return handle_; }
    const mb_api* api() const noexcept { return api_; }

protected:
    control(const mb_api* api, mb_batcher* handle) noexcept : api_(api), handle_(handle) {}
    control(const control&) noexcept = default;
    control& operator=(const control&) noexcept = default;
    ~control() = default;

    const mb_api* api_;
    mb_batcher* handle_;
};

MB_CPP_END

#endif
