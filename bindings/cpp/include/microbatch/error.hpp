// Failures in words: mb::error, and mb::expected for those who want no exceptions.
#ifndef MICROBATCH_ERROR_HPP
#define MICROBATCH_ERROR_HPP

#include "status.hpp"

#include <atomic>
#include <cstring>
#include <exception>
#include <new>
#include <optional>
#include <string_view>
#include <variant>
#include <version>

#if defined(__cpp_lib_expected)
#include <expected>
#endif

MB_CPP_BEGIN

namespace detail {

// The words of an error: shared by its copies, in one piece of memory with its texts. An error whose words found no
// memory has only its code.
struct error_words {
    std::atomic<std::uint32_t> references{1};
    std::size_t accepted = 0;
    std::exception_ptr cause;
    std::string_view message;
    const char* type_name = "";
    const char* subject = "";

    static error_words* make(std::string_view message, std::string_view type_name, std::string_view subject) noexcept {
        const std::size_t size = sizeof(error_words) + message.size() + type_name.size() + subject.size() + 3;
        void* memory = ::operator new(size, std::nothrow);
        if (memory == nullptr) return nullptr;
        auto* words = ::new (memory) error_words;
        char* place = static_cast<char*>(memory) + sizeof(error_words);
        words->message = std::string_view(copy(message, place), message.size());
        words->type_name = copy(type_name, place);
        words->subject = copy(subject, place);
        return words;
    }

    static void keep(error_words* words) noexcept {
        if (words != nullptr) words->references.fetch_add(1, std::memory_order_relaxed);
    }

    static void release(error_words* words) noexcept {
        if (words == nullptr || words->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
        words->~error_words();
        ::operator delete(words);
    }

private:
    static const char* copy(std::string_view text, char*& place) noexcept {
        char* begin = place;
        if (!text.empty()) std::memcpy(begin, text.data(), text.size());
        begin[text.size()] = '\0';
        place += text.size() + 1;
        return begin;
    }
};

}  // namespace detail

// Why a call or a value failed. Copies share their words; copying never fails. Throw or return one in a handler to fail
// its part with a code of yours: `throw mb::error(7, "no such table")`.
class error : public std::exception {
public:
    // A failure of your own: a positive code, or one of the library's, and words in UTF-8.
    error(mb_status code, std::string_view message, std::string_view type_name = {}) noexcept
        : words_(detail::error_words::make(message, type_name, {})), code_(code) {}

    error(const error& other) noexcept
        : std::exception(other), api_(other.api_), words_(other.words_), code_(other.code_), handled_(other.handled_) {
        detail::error_words::keep(words_);
    }
    error& operator=(const error& other) noexcept {
        detail::error_words::keep(other.words_);
        detail::error_words::release(words_);
        api_ = other.api_;
        words_ = other.words_;
        code_ = other.code_;
        handled_ = other.handled_;
        return *this;
    }
    ~error() override { detail::error_words::release(words_); }

    // A status of the library (MB_ERR_*), or the positive code that a handler gave.
    mb_status code() const noexcept { return code_; }
    // The code's name, for example "QUEUE_FULL".
    const char* name() const noexcept { return table()->mb_status_name(code_); }
    // What was wrong, with which value, and what would be accepted.
    const char* what() const noexcept override { return message().data(); }
    // The same with its length: a handler's words may have NULs in them.
    std::string_view message() const noexcept {
        if (words_ != nullptr) return words_->message;
        return api_ != nullptr ? api_->mb_status_text(code_) : "";
    }
    // The option or value that was wrong, for example "max_delay"; "" if there is none to name.
    const char* subject() const noexcept { return words_ != nullptr ? words_->subject : ""; }
    // What kind of failure a handler reported, for example the name of the exception's type; "" if it gave none.
    const char* type_name() const noexcept { return words_ != nullptr ? words_->type_name : ""; }
    // Whether the same call, repeated unchanged later, may succeed; the library's table says so.
    bool retriable() const noexcept {
        const auto* info = detail::info_of(table(), code_);
        return info != nullptr && info->retriable != 0;
    }
    // Whether a handler saw the value: if not, trying again does nothing twice.
    mb::handled handled() const noexcept { return handled_; }
    // Of a bulk push: how many values were taken, which is the index of the refused one.
    std::size_t accepted() const noexcept { return words_ != nullptr ? words_->accepted : 0; }
    // The very exception that a C++ handler threw; nullptr if it was none, or came from elsewhere.
    std::exception_ptr cause() const noexcept { return words_ != nullptr ? words_->cause : nullptr; }

    // An error made from what the library says. Mostly for the wrapper itself.
    static error of(const mb_api* api, mb_status code) noexcept {
        error made(api, code, nullptr);
        made.words_ = detail::error_words::make(api->mb_status_text(code), {}, {});
        return made;
    }
    // Takes the library's error, and frees it; `native` may be nullptr.
    static error of(const mb_api* api, mb_status code, mb_error* native) noexcept {
        if (native == nullptr) return of(api, code);
        error made(api, code, nullptr);
        made.words_ =
            detail::error_words::make(api->mb_error_message(native), {}, api->mb_error_subject(native));
        api->mb_error_free(native);
        return made;
    }
    static error of(const mb_api* api, const mb_row_error& row, std::exception_ptr cause) noexcept {
        error made(api, row.code, nullptr);
        made.handled_ = static_cast<mb::handled>(row.handled);
        made.words_ =
            detail::error_words::make(std::string_view(row.message, row.length), row.type_name, {});
        if (made.words_ != nullptr) made.words_->cause = std::move(cause);
        return made;
    }
    error with_accepted(std::size_t accepted) && noexcept {
        if (words_ != nullptr) words_->accepted = accepted;
        return std::move(*this);
    }

private:
    error(const mb_api* api, mb_status code, detail::error_words* words) noexcept
        : api_(api), words_(words), code_(code) {}

    const mb_api* table() const noexcept { return api_ != nullptr ? api_ : mb_api_table(); }

    const mb_api* api_ = nullptr;
    detail::error_words* words_ = nullptr;
    mb_status code_ = MB_ERR_INTERNAL;
    mb::handled handled_ = mb::handled::no;
};

// A value, or the error that stands in its place. From C++23 on it converts into std::expected.
template <class T>
class [[nodiscard]] expected {
public:
    using value_type = T;
    using error_type = mb::error;

    template <class U = T, std::enable_if_t<std::is_constructible_v<T, U> && !std::is_same_v<detail::bare<U>, expected> &&
                                                !std::is_same_v<detail::bare<U>, mb::error>,
                                            int> = 0>
    expected(U&& value) : held_(std::in_place_index<0>, std::forward<U>(value)) {}
    expected(mb::error failure) noexcept : held_(std::in_place_index<1>, std::move(failure)) {}

    bool has_value() const noexcept { return held_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    // The value; undefined if there is none.
    T& operator*() & noexcept { return *std::get_if<0>(&held_); }
    const T& operator*() const& noexcept { return *std::get_if<0>(&held_); }
    T&& operator*() && noexcept { return std::move(*std::get_if<0>(&held_)); }
    T* operator->() noexcept { return std::get_if<0>(&held_); }
    const T* operator->() const noexcept { return std::get_if<0>(&held_); }
    // Why there is none; undefined if there is one.
    const mb::error& error() const noexcept { return *std::get_if<1>(&held_); }
    // The error's code; MB_OK with a value.
    mb::status status() const noexcept { return has_value() ? mb::status() : mb::status(error().code()); }

    template <class U>
    T value_or(U&& other) && {
        return has_value() ? std::move(**this) : static_cast<T>(std::forward<U>(other));
    }
#if defined(__cpp_lib_expected)
    operator std::expected<T, mb::error>() && {
        if (!has_value()) return std::unexpected<mb::error>(error());
        return std::move(**this);
    }
#endif
#if MB_CPP_EXCEPTIONS
    // The value; throws the error if there is none.
    T& value() & { return check(), **this; }
    const T& value() const& { return check(), **this; }
    T&& value() && { return check(), std::move(**this); }

private:
    void check() const {
        if (!has_value()) throw error();
    }
#endif

private:
    std::variant<T, mb::error> held_;
};

// Nothing, or the error that stands in its place.
template <>
class [[nodiscard]] expected<void> {
public:
    using value_type = void;
    using error_type = mb::error;

    expected() noexcept = default;
    expected(mb::error failure) noexcept : error_(std::move(failure)) {}

    bool has_value() const noexcept { return !error_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }
    const mb::error& error() const noexcept { return *error_; }
    mb::status status() const noexcept { return has_value() ? mb::status() : mb::status(error_->code()); }
#if MB_CPP_EXCEPTIONS
    void value() const {
        if (error_) throw *error_;
    }
#endif

private:
    std::optional<mb::error> error_;
};

namespace detail {

#if MB_CPP_EXCEPTIONS
inline void throw_unless_ok(const mb_api* api, status answer) {
    if (!answer.ok()) throw error::of(api, answer.code());
}
#endif

// A value, or what the library says about a status that is not OK.
template <class T>
expected<T> expect(const mb_api* api, mb_status code, T value) {
    if (code != MB_OK) return error::of(api, code);
    return expected<T>(std::move(value));
}

}  // namespace detail

MB_CPP_END

#endif
