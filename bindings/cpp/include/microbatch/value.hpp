// Values of any kind: mb::value_view borrows, mb::value owns.
#ifndef MICROBATCH_VALUE_HPP
#define MICROBATCH_VALUE_HPP

#include "error.hpp"

#include <memory>
#include <string>
#include <variant>
#include <vector>

MB_CPP_BEGIN

// Bytes of any content: somebody else's, and one's own.
using bytes_view = span<const std::byte>;
using bytes = std::vector<std::byte>;

// An object as the library sees it: a word that only its owner can read. For words of your own, with
// mb::on_object_release; C++ objects travel by themselves.
struct object_word {
    std::uint32_t owner;      // from mb_owner_new
    std::uint64_t word;       // yours
    std::uint64_t size = 0;   // in bytes, for the byte limits
};

namespace detail {

// What tells the types of objects apart, without RTTI.
template <class T>
struct type_key {
    static inline char here = 0;
};
using key = const void*;
template <class T>
key key_of() noexcept {
    return &type_key<T>::here;
}

// The numbers that are no kind of value: refused with OUT_OF_RANGE when they are pushed.
inline mb_value out_of_range() noexcept {
    mb_value raw{};
    raw.kind = MB_KIND_NONE;
    raw.as.int64 = MB_ERR_OUT_OF_RANGE;
    return raw;
}

template <class N>
mb_value number(N from) noexcept {
    mb_value raw{};
    if constexpr (std::is_same_v<N, bool>) {
        raw.kind = MB_KIND_BOOL;
        raw.as.int64 = from ? 1 : 0;
    } else if constexpr (std::is_integral_v<N>) {
        if constexpr (std::is_unsigned_v<N> && sizeof(N) >= sizeof(std::int64_t))
            if (from > static_cast<N>(INT64_MAX)) return out_of_range();
        if constexpr (std::is_signed_v<N> && sizeof(N) > sizeof(std::int64_t))
            if (from > INT64_MAX || from < INT64_MIN) return out_of_range();
        raw.kind = MB_KIND_INT64;
        raw.as.int64 = static_cast<std::int64_t>(from);
    } else {
        const auto narrowed = static_cast<double>(from);
        if constexpr (sizeof(N) > sizeof(double)) {
            // Exactly, or not at all; what is no number stays none.
            const auto back = static_cast<N>(narrowed);
            if ((back < from || back > from) && from == from) return out_of_range();
        }
        raw.kind = MB_KIND_FLOAT64;
        raw.as.float64 = narrowed;
    }
    return raw;
}

inline mb_value text(std::uint32_t kind, const void* data, std::size_t size) noexcept {
    mb_value raw{};
    raw.kind = kind;
    raw.as.string.data = data;
    raw.as.string.length = size;
    return raw;
}

template <class T>
inline constexpr bool is_number = std::is_arithmetic_v<T>;
template <class T>
inline constexpr bool is_text =
    std::is_convertible_v<const T&, std::string_view> && !std::is_same_v<T, std::nullptr_t>;
template <class T>
using element = std::remove_cv_t<element_of<T>>;
template <class T, class = void>
inline constexpr bool is_bytes = false;
template <class T>
inline constexpr bool is_bytes<T, std::enable_if_t<is_contiguous<T>::value>> =
    std::is_same_v<element<T>, std::byte> || std::is_same_v<element<T>, unsigned char>;

}  // namespace detail

// A value of any kind, borrowed: strings and bytes are somebody else's. It is an mb_value with C++ around it.
class value_view {
public:
    constexpr value_view() noexcept : raw_{} {}
    constexpr value_view(std::nullptr_t) noexcept : raw_{} {}
    template <class N, std::enable_if_t<detail::is_number<N>, int> = 0>
    value_view(N number) noexcept : raw_(detail::number(number)) {}
    template <class S, std::enable_if_t<detail::is_text<S>, int> = 0>
    value_view(const S& string) noexcept {
        const std::string_view text = string;
        raw_ = detail::text(MB_KIND_STRING, text.data(), text.size());
    }
    template <class B, std::enable_if_t<detail::is_bytes<const B> && !detail::is_text<B>, int> = 0>
    value_view(const B& data) noexcept : raw_(detail::text(MB_KIND_BYTES, data.data(), data.size())) {}
    value_view(object_word object) noexcept : raw_{} {
        raw_.kind = MB_KIND_OBJECT;
        raw_.owner = object.owner;
        raw_.as.object.word = object.word;
        raw_.as.object.size = object.size;
    }
    explicit constexpr value_view(const mb_value& raw) noexcept : raw_(raw) {}

    mb::kind kind() const noexcept { return static_cast<mb::kind>(raw_.kind); }
    bool is_null() const noexcept { return raw_.kind == MB_KIND_NULL; }
    // The value, if it is of that kind; nothing is converted.
    std::optional<bool> as_bool() const noexcept {
        return if_kind(MB_KIND_BOOL, [](const mb_value& raw) { return raw.as.int64 != 0; });
    }
    std::optional<std::int64_t> as_int64() const noexcept {
        return if_kind(MB_KIND_INT64, [](const mb_value& raw) { return raw.as.int64; });
    }
    std::optional<double> as_float64() const noexcept {
        return if_kind(MB_KIND_FLOAT64, [](const mb_value& raw) { return raw.as.float64; });
    }
    std::optional<std::string_view> as_string() const noexcept {
        return if_kind(MB_KIND_STRING, [](const mb_value& raw) {
            return std::string_view(static_cast<const char*>(raw.as.string.data), raw.as.string.length);
        });
    }
    std::optional<bytes_view> as_bytes() const noexcept {
        return if_kind(MB_KIND_BYTES, [](const mb_value& raw) {
            return bytes_view(static_cast<const std::byte*>(raw.as.string.data), raw.as.string.length);
        });
    }
    std::optional<object_word> as_object() const noexcept {
        return if_kind(MB_KIND_OBJECT, [](const mb_value& raw) {
            return object_word{raw.owner, raw.as.object.word, raw.as.object.size};
        });
    }

    const mb_value& raw() const noexcept { return raw_; }

private:
    template <class F>
    auto if_kind(std::uint32_t kind, F read) const noexcept -> std::optional<decltype(read(std::declval<const mb_value&>()))> {
        if (raw_.kind != kind) return std::nullopt;
        return read(raw_);
    }

    mb_value raw_;
};

static_assert(sizeof(value_view) == sizeof(mb_value), "arrays of one are arrays of the other");

// A C++ object of any type, shared by reference; what makes any type a value among values of other kinds.
class object {
public:
    object() noexcept = default;
    template <class T, class... Arguments>
    static object make(Arguments&&... arguments) {
        object made;
        made.held_ = std::make_shared<T>(std::forward<Arguments>(arguments)...);
        made.key_ = detail::key_of<T>();
        return made;
    }
    template <class T>
    static object of(std::shared_ptr<T> shared) noexcept {
        object made;
        made.held_ = std::move(shared);
        made.key_ = detail::key_of<T>();
        return made;
    }

    // The object, if it is exactly of that type, and else nullptr.
    template <class T>
    T* get() const noexcept {
        return key_ == detail::key_of<T>() ? static_cast<T*>(held_.get()) : nullptr;
    }
    explicit operator bool() const noexcept { return held_ != nullptr; }
    friend bool operator==(const object& left, const object& right) noexcept { return left.held_ == right.held_; }
    friend bool operator!=(const object& left, const object& right) noexcept { return !(left == right); }

private:
    std::shared_ptr<void> held_;
    detail::key key_ = nullptr;
};

// A value of any kind that owns its strings and bytes, and shares its objects.
class value {
public:
    value() noexcept = default;
    value(std::nullptr_t) noexcept {}
    template <class N, std::enable_if_t<detail::is_number<N>, int> = 0>
    value(N number) noexcept {
        *this = value(value_view(number));
    }
    value(std::string text) noexcept : held_(std::move(text)) {}
    value(std::string_view text) : held_(std::string(text)) {}
    value(const char* text) : held_(std::string(text)) {}
    value(bytes data) noexcept : held_(std::move(data)) {}
    value(bytes_view data) : held_(bytes(data.begin(), data.end())) {}
    value(mb::object shared) noexcept : held_(std::move(shared)) {}
    value(object_word word) noexcept : held_(word) {}
    // A copy of what a view shows. What does not fit 64 bits stays so, and is refused when it is pushed.
    explicit value(const value_view& view) {
        if (auto truth = view.as_bool()) held_ = *truth;
        if (auto number = view.as_int64()) held_ = *number;
        if (auto number = view.as_float64()) held_ = *number;
        if (auto text = view.as_string()) held_ = std::string(*text);
        if (auto data = view.as_bytes()) held_ = bytes(data->begin(), data->end());
        if (auto word = view.as_object()) held_ = *word;
        if (view.kind() == mb::kind::none) held_ = misfit{};
    }

    mb::kind kind() const noexcept {
        constexpr mb::kind kinds[] = {mb::kind::null,   mb::kind::boolean, mb::kind::int64,  mb::kind::float64,
                                      mb::kind::string, mb::kind::bytes,   mb::kind::object, mb::kind::object,
                                      mb::kind::none};
        return kinds[held_.index()];
    }
    bool is_null() const noexcept { return held_.index() == 0; }
    // The value, if it is of that kind, and else nullptr.
    const bool* as_bool() const noexcept { return std::get_if<bool>(&held_); }
    const std::int64_t* as_int64() const noexcept { return std::get_if<std::int64_t>(&held_); }
    const double* as_float64() const noexcept { return std::get_if<double>(&held_); }
    const std::string* as_string() const noexcept { return std::get_if<std::string>(&held_); }
    const mb::bytes* as_bytes() const noexcept { return std::get_if<mb::bytes>(&held_); }
    const mb::object* as_object() const noexcept { return std::get_if<mb::object>(&held_); }
    const object_word* as_object_word() const noexcept { return std::get_if<object_word>(&held_); }

    // The same value, borrowed. A shared C++ object has no view: it is null here.
    value_view view() const noexcept {
        switch (held_.index()) {
        case 1: return *as_bool();
        case 2: return *as_int64();
        case 3: return *as_float64();
        case 4: return *as_string();
        case 5: return *as_bytes();
        case 7: return *as_object_word();
        case 8: return value_view(detail::out_of_range());
        default: return nullptr;
        }
    }

private:
    struct misfit {};

    std::variant<std::monostate, bool, std::int64_t, double, std::string, mb::bytes, mb::object, object_word, misfit>
        held_;
};

MB_CPP_END

#endif
