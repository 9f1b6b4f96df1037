// What a call came to, and the numbers of the C header as enumerations.
#ifndef MICROBATCH_STATUS_HPP
#define MICROBATCH_STATUS_HPP

#include "config.hpp"

MB_CPP_BEGIN

// The kind of a value. It is what the C++ type says and never depends on the number.
enum class kind : std::uint32_t {
    null = MB_KIND_NULL,
    boolean = MB_KIND_BOOL,
    int64 = MB_KIND_INT64,
    float64 = MB_KIND_FLOAT64,
    string = MB_KIND_STRING,
    bytes = MB_KIND_BYTES,
    object = MB_KIND_OBJECT,
    none = MB_KIND_NONE,    // only in views of results: a row that has no value
    mixed = MB_KIND_MIXED,  // only in views: rows of several kinds
};

// Why a batch was sealed.
enum class trigger : std::uint32_t {
    size = MB_TRIGGER_SIZE,
    bytes = MB_TRIGGER_BYTES,
    delay = MB_TRIGGER_DELAY,
    idle = MB_TRIGGER_IDLE,
    full = MB_TRIGGER_FULL,
    flush = MB_TRIGGER_FLUSH,
    close = MB_TRIGGER_CLOSE,
};

// What became of a value.
enum class outcome : std::uint8_t {
    ok = MB_OUTCOME_OK,
    failed = MB_OUTCOME_FAILED,
    expired = MB_OUTCOME_EXPIRED,
    cancelled = MB_OUTCOME_CANCELLED,
    discarded = MB_OUTCOME_DISCARDED,
};

// Whether a handler saw the value: one that none saw can be pushed again without doing anything twice.
enum class handled : std::uint8_t { no = MB_HANDLED_NO, maybe = MB_HANDLED_MAYBE, yes = MB_HANDLED_YES };

enum class mode : std::uint32_t { threaded = MB_MODE_THREADED, manual = MB_MODE_MANUAL };
enum class on_full : std::uint32_t {
    block = MB_FULL_BLOCK,
    reject = MB_FULL_REJECT,
    discard_oldest = MB_FULL_DISCARD_OLDEST,
};
// What a push does where it would wait for room: answer WOULD_WAIT at once, counted nowhere, because the host waits by
// itself and pushes again; or be refused at once, because the host has waited long enough.
enum class if_full : std::uint64_t { wait = 0, ask = MB_IF_FULL_ASK, refuse = MB_IF_FULL_REFUSE };
enum class delivery : std::uint32_t { as_completed = MB_DELIVERY_AS_COMPLETED, ordered = MB_DELIVERY_ORDERED };
enum class clock : std::uint32_t { monotonic = MB_CLOCK_MONOTONIC, given = MB_CLOCK_GIVEN };

// Their names as the library has them, for example "size".
inline const char* name_of(kind of) noexcept { return mb_kind_name(static_cast<std::uint32_t>(of)); }
inline const char* name_of(trigger of) noexcept { return mb_trigger_name(static_cast<std::uint32_t>(of)); }
inline const char* name_of(outcome of) noexcept { return mb_outcome_name(static_cast<std::uint32_t>(of)); }
inline const char* name_of(handled of) noexcept { return mb_handled_name(static_cast<std::uint32_t>(of)); }

namespace detail {

// The library's entry about a status, or nullptr: positive numbers are codes of handlers, and have none.
inline const mb_status_info* info_of(const mb_api* api, mb_status code) noexcept {
    const mb_status_info* table = nullptr;
    std::size_t count = 0;
    if (api->mb_status_table(&table, &count) != MB_OK) return nullptr;
    for (std::size_t at = 0; at < count; ++at)
        if (table[at].code == code) return &table[at];
    return nullptr;
}

}  // namespace detail

// A status of the library (MB_OK, MB_ERR_*), or in results a positive code of a handler.
class [[nodiscard]] status {
public:
    constexpr status() noexcept = default;
    constexpr status(mb_status code) noexcept : code_(code) {}

    constexpr mb_status code() const noexcept { return code_; }
    constexpr bool ok() const noexcept { return code_ == MB_OK; }
    // The name without prefix, for example "QUEUE_FULL".
    const char* name() const noexcept { return mb_status_name(code_); }
    // The cause in one sentence.
    const char* text() const noexcept { return mb_status_text(code_); }
    // Whether the same call, repeated unchanged later, may succeed; the library's table says so.
    bool retriable() const noexcept {
        const auto* info = detail::info_of(mb_api_table(), code_);
        return info != nullptr && info->retriable != 0;
    }

    friend constexpr bool operator==(status left, status right) noexcept { return left.code_ == right.code_; }
    friend constexpr bool operator!=(status left, status right) noexcept { return left.code_ != right.code_; }

private:
    mb_status code_ = MB_OK;
};

MB_CPP_END

#endif
