// What a batcher is made from, and what a push may say besides its value.
#ifndef MICROBATCH_OPTIONS_HPP
#define MICROBATCH_OPTIONS_HPP

#include "codec.hpp"

#include <string>

MB_CPP_BEGIN

// The options of a batcher. One that is left alone, or set to 0, has its default; creation checks all of them together
// and names all that is wrong. The table in the README has ranges and defaults, and so does option_table().
class options {
public:
    options() noexcept {
        // Cannot fail: the struct is this header's own.
        static_cast<void>(mb_options_init(&raw_, sizeof raw_));
    }

    // Who runs the handlers: the batcher's own threads, or the host by calling in.
    options& mode(mb::mode choice) noexcept { return raw_.mode = static_cast<std::uint32_t>(choice), *this; }
    // Handler threads.
    options& threads(std::uint32_t count) noexcept { return raw_.threads = count, *this; }
    // Batches dispatched and not finished at any time.
    options& max_in_flight(std::uint32_t batches) noexcept { return raw_.max_in_flight = batches, *this; }
    // What a push does that finds no room.
    options& on_full(mb::on_full choice) noexcept { return raw_.on_full = static_cast<std::uint32_t>(choice), *this; }
    // The order of results.
    options& delivery(mb::delivery choice) noexcept {
        return raw_.delivery = static_cast<std::uint32_t>(choice), *this;
    }
    // What tells the time: the system, or the host by advance() (manual mode only).
    options& clock(mb::clock choice) noexcept { return raw_.clock = static_cast<std::uint32_t>(choice), *this; }
    // For a batcher without handlers: the host that pulls has a handler for this kind, or one for all other kinds. Then
    // kinds without one are refused with NO_HANDLER, and next_batch() hands out the parts of a batch one after another.
    options& pull_handler_for(mb::kind of) noexcept {
        return raw_.pull_handlers |= std::uint64_t{1} << static_cast<unsigned>(of), *this;
    }
    options& pull_handler() noexcept { return raw_.pull_handlers |= MB_PULL_DEFAULT, *this; }
    // Results are taken with next_results().
    options& pull_results() noexcept { return raw_.results = MB_RESULTS_PULL, *this; }
    // Results are only counted: neither futures nor a callback.
    options& count_results() noexcept { return counted_ = true, *this; }
    // The number of the only owner whose object_words are taken; see on_object_release.
    options& owner(std::uint32_t number) noexcept { return raw_.owner = number, *this; }
    // Values in a batch at most.
    options& max_batch_size(std::uint64_t values) noexcept { return raw_.max_batch_size = values, *this; }
    // Bytes in a batch at most: 8 a value, plus what strings, bytes and objects weigh.
    options& max_batch_bytes(std::uint64_t count) noexcept { return raw_.max_batch_bytes = count, *this; }
    // Values that wait at most.
    options& queue_capacity(std::uint64_t values) noexcept { return raw_.queue_capacity = values, *this; }
    // Bytes that wait at most.
    options& queue_bytes(std::uint64_t count) noexcept { return raw_.queue_bytes = count, *this; }
    // Values accepted whose results are not delivered yet, at most.
    options& result_capacity(std::uint64_t values) noexcept { return raw_.result_capacity = values, *this; }
    // Longest wait of a batch's first value for company; 0 is at once.
    options& max_delay(timeout length) noexcept { return raw_.max_delay = length.ns(), *this; }
    // Longest wait of a push that blocks.
    options& push_timeout(timeout length) noexcept { return raw_.push_timeout = length.ns(), *this; }
    // Longest time from a batch's dispatch to its end; what is not answered by then expires.
    options& handler_timeout(timeout length) noexcept { return raw_.handler_timeout = length.ns(), *this; }
    // Longest drain of the destructor; what is left then is discarded.
    options& close_timeout(timeout length) noexcept { return raw_.close_timeout = length.ns(), *this; }
    // Longest drain when the process exits; 0 is off.
    options& drain_at_exit(timeout length) noexcept { return raw_.drain_at_exit = length.ns(), *this; }
    options& delay_spin(timeout length) noexcept { return raw_.delay_spin = length.ns(), *this; }

    // Any option by its name, with a unit: ("max_delay", "2ms"). INVALID_OPTION names what would be accepted.
    expected<void> try_set(const std::string& name, const std::string& text) noexcept {
        mb_error* error = nullptr;
        const mb_status code = mb_options_set(&raw_, name.c_str(), text.c_str(), &error);
        if (code != MB_OK) return mb::error::of(mb_api_table(), code, error);
        return {};
    }
#if MB_CPP_EXCEPTIONS
    options& set(const std::string& name, const std::string& text) {
        try_set(name, text).value();
        return *this;
    }
#endif

    // The fields themselves.
    mb_options& raw() noexcept { return raw_; }
    const mb_options& raw() const noexcept { return raw_; }
    bool results_are_counted() const noexcept { return counted_; }

private:
    mb_options raw_{};
    bool counted_ = false;
};

// Every option with its type, range, default, unit and one line of doc, from the library.
inline span<const mb_option_info> option_table() noexcept {
    const mb_option_info* table = nullptr;
    std::size_t count = 0;
    static_cast<void>(mb_option_table(&table, &count));
    return {table, count};
}

// What a push may say besides the value.
class push_options {
public:
    // When the value expires if it still waits, on the batcher's clock (now()); 0 is never.
    push_options& deadline(std::chrono::nanoseconds at) noexcept { return deadline_ = at.count(), *this; }
    // The same, counted from the push.
    push_options& expires_in(timeout length) noexcept { return in_ = length.ns(), *this; }
    // What the push does where it would wait for room.
    push_options& if_full(mb::if_full choice) noexcept { return if_full_ = choice, *this; }
    // An object's size in bytes for the byte limits; 0 if not said.
    push_options& size(std::uint64_t count) noexcept { return size_ = count, *this; }
    // Makes it an owned push: string or bytes are not copied but stay where they are, unchanged, until `call`
    // is called with `data`, once, after the result is delivered; never inside push, never for a refused value.
    push_options& release(mb_release_fn call, void* data) noexcept {
        return release_ = call, release_data_ = data, *this;
    }

    std::uint64_t size() const noexcept { return size_; }
    bool has_release() const noexcept { return release_ != nullptr; }
    bool is_plain() const noexcept {
        return deadline_ == 0 && in_ == never && release_ == nullptr && if_full_ == mb::if_full::wait;
    }

    // As the library takes them; reads the clock for expires_in.
    mb_status raw(const mb_api* api, mb_batcher* batcher, mb_push_options& into) const noexcept {
        into = mb_push_options{};
        into.struct_size = sizeof into;
        into.deadline = deadline_;
        into.release = release_;
        into.release_data = release_data_;
        into.if_full = static_cast<std::uint64_t>(if_full_);
        if (in_ == never) return MB_OK;
        if (in_ < 0) return MB_ERR_INVALID_ARGUMENT;
        std::int64_t now = 0;
        const mb_status status = api->mb_batcher_now(batcher, &now);
        if (status != MB_OK) return status;
        // A deadline of 0 would be none, and the clock begins there.
        into.deadline = in_ > MB_FOREVER - now ? MB_FOREVER : now + in_ > 0 ? now + in_ : 1;
        return MB_OK;
    }

private:
    static constexpr std::int64_t never = MB_FOREVER;

    std::int64_t deadline_ = 0;
    std::int64_t in_ = never;
    std::uint64_t size_ = 0;
    mb_release_fn release_ = nullptr;
    void* release_data_ = nullptr;
    mb::if_full if_full_ = mb::if_full::wait;
};

MB_CPP_END

#endif
