// How a C++ type travels: as which kind, how it is read where it arrives, and what a future keeps of it.
//
//     bool, integers, enumerations      bool, int64           by value; what does not fit is OUT_OF_RANGE
//     float, double                     float64               by value
//     std::string, std::string_view     string (UTF-8)        read as std::string_view, kept as std::string
//     mb::bytes, vectors of bytes       bytes                 read as mb::bytes_view, kept as that vector
//     std::optional of the above        that kind, or null    read as std::optional
//     void (results only)               null
//     mb::value                         any kind              read as mb::value_view, kept as mb::value
//     any other type                    object                read as T&: the same object, moved in and out
#ifndef MICROBATCH_CODEC_HPP
#define MICROBATCH_CODEC_HPP

#include "cell.hpp"

#include <limits>

MB_CPP_BEGIN
namespace detail {

// T where T is an object; the specializations are what it is not. `view`: what is read; `owned`: what a future keeps;
// `param`: what pushes and set_result take.
template <class T, class = void>
struct codec {
    static_assert(std::is_same_v<T, bare<T>> && std::is_object_v<T> && !std::is_array_v<T>,
                  "a batcher's types are plain ones: no references, const or arrays");
    static constexpr std::uint32_t kind = MB_KIND_OBJECT;
    using view = T&;
    using owned = T;
    using param = const T&;
};

template <class T>
inline constexpr bool is_object = codec<T>::kind == MB_KIND_OBJECT;

template <class T>
struct codec<T, std::enable_if_t<is_number<T> || std::is_enum_v<T>>> {
    static constexpr std::uint32_t kind = std::is_same_v<T, bool>            ? MB_KIND_BOOL
                                          : std::is_floating_point_v<T> ? MB_KIND_FLOAT64
                                                                        : MB_KIND_INT64;
    using view = T;
    using owned = T;
    using param = T;

    static mb_value encode(T value) noexcept {
        if constexpr (std::is_enum_v<T>) return number(static_cast<std::underlying_type_t<T>>(value));
        else return number(value);
    }

    static mb_status decode(const mb_value& raw, std::optional<view>& into) noexcept {
        if (raw.kind != kind) return MB_ERR_INVALID_ARGUMENT;
        if constexpr (std::is_floating_point_v<T>) {
            const auto narrowed = static_cast<T>(raw.as.float64);
            const auto back = static_cast<double>(narrowed);
            if ((back < raw.as.float64 || back > raw.as.float64) && raw.as.float64 == raw.as.float64)
                return MB_ERR_OUT_OF_RANGE;
            into = narrowed;
        } else if constexpr (std::is_same_v<T, bool>) {
            into = raw.as.int64 != 0;
        } else {
            const auto narrowed = static_cast<T>(raw.as.int64);
            if (encode(narrowed).kind != kind || encode(narrowed).as.int64 != raw.as.int64) return MB_ERR_OUT_OF_RANGE;
            into = narrowed;
        }
        return MB_OK;
    }
    static owned own(view value) noexcept { return value; }
};

template <>
struct codec<std::string> {
    static constexpr std::uint32_t kind = MB_KIND_STRING;
    using view = std::string_view;
    using owned = std::string;
    using param = std::string_view;

    static mb_value encode(param value) noexcept { return text(kind, value.data(), value.size()); }
    static mb_status decode(const mb_value& raw, std::optional<view>& into) noexcept {
        if (raw.kind != kind) return MB_ERR_INVALID_ARGUMENT;
        into = view(static_cast<const char*>(raw.as.string.data), raw.as.string.length);
        return MB_OK;
    }
    static owned own(view value) { return owned(value); }
};

template <>
struct codec<std::string_view> : codec<std::string> {};
template <>
struct codec<const char*> : codec<std::string> {};

template <class T>
struct codec<T, std::enable_if_t<is_bytes<const T> && !std::is_array_v<T>>> {
    static_assert(std::is_constructible_v<T, const element<const T>*, const element<const T>*> ||
                      std::is_same_v<T, bytes_view>,
                  "bytes travel as vectors of std::byte or unsigned char");
    static constexpr std::uint32_t kind = MB_KIND_BYTES;
    using view = bytes_view;
    using owned = std::conditional_t<std::is_same_v<T, bytes_view>, bytes, T>;
    using param = const T&;

    static mb_value encode(param value) noexcept { return text(kind, value.data(), value.size()); }
    static mb_status decode(const mb_value& raw, std::optional<view>& into) noexcept {
        if (raw.kind != kind) return MB_ERR_INVALID_ARGUMENT;
        into = view(static_cast<const std::byte*>(raw.as.string.data), raw.as.string.length);
        return MB_OK;
    }
    static owned own(view value) {
        const auto* begin = reinterpret_cast<const element<const owned>*>(value.data());
        return owned(begin, begin + value.size());
    }
};

template <class T>
struct codec<std::optional<T>, std::enable_if_t<!is_object<T>>> {
    static constexpr std::uint32_t kind = MB_KIND_MIXED;
    using view = std::optional<typename codec<T>::view>;
    using owned = std::optional<typename codec<T>::owned>;
    using param = const std::optional<T>&;

    static mb_value encode(param value) noexcept { return value ? codec<T>::encode(*value) : mb_value{}; }
    static mb_status decode(const mb_value& raw, std::optional<view>& into) noexcept {
        into.emplace();
        return raw.kind == MB_KIND_NULL ? MB_OK : codec<T>::decode(raw, *into);
    }
    static owned own(const view& value) { return value ? owned(codec<T>::own(*value)) : owned(); }
};

// Of results only: done, without a value.
template <>
struct codec<void> {
    static constexpr std::uint32_t kind = MB_KIND_NULL;
    using view = std::monostate;
    using owned = std::monostate;
    using param = std::monostate;

    static mb_value encode(param) noexcept { return mb_value{}; }
    static mb_status decode(const mb_value&, std::optional<view>& into) noexcept {
        into.emplace();
        return MB_OK;
    }
    static owned own(view value) noexcept { return value; }
};

template <>
struct codec<value> {
    static constexpr std::uint32_t kind = MB_KIND_MIXED;
    using view = value_view;
    using owned = value;
    using param = value_view;

    static mb_value encode(param value) noexcept { return value.raw(); }
    static mb_status decode(const mb_value& raw, std::optional<view>& into) noexcept {
        into.emplace(raw);
        return MB_OK;
    }
    static owned own(const view& value) { return mb::value(value); }
};

template <class T>
using view_of = typename codec<T>::view;
// What an expected holds of it: an object by its address.
template <class T>
using read_of = std::conditional_t<is_object<T>, std::remove_reference_t<view_of<T>>*, view_of<T>>;
template <class T>
using owned_of = typename codec<T>::owned;
template <class T>
using param_of = typename codec<T>::param;

// Whether C++ objects may be among values or results of these types, so that the batcher needs an owner number.
template <class T>
inline constexpr bool may_be_object = is_object<T> || std::is_same_v<T, value>;

// A value that is no number, by its status. The only kind that an encoded value has besides MB_KIND_*.
inline mb_status refusal_of(const mb_value& raw) noexcept {
    return raw.kind == MB_KIND_NONE ? static_cast<mb_status>(raw.as.int64) : MB_OK;
}

// A number as one of N's, or as what is refused.
template <class N, class From>
mb_value number_as(From from) noexcept {
    if constexpr (std::is_same_v<N, From>) {
        return codec<N>::encode(from);
    } else {
        static_assert(std::is_same_v<N, bool> == std::is_same_v<From, bool>, "a bool is no number, and no number is a bool");
        static_assert(std::is_floating_point_v<N> || !std::is_floating_point_v<From>,
                      "a floating-point number is no integer: convert it yourself");
        static_assert(!std::is_floating_point_v<From> || sizeof(From) <= sizeof(N),
                      "the number may not fit: convert it yourself");
        if constexpr (std::is_floating_point_v<N> && std::is_integral_v<From>) {
            // As far as every integer is a float, and no further.
            constexpr int digits = std::numeric_limits<N>::digits;
            if constexpr (std::numeric_limits<From>::digits > digits) {
                constexpr From most = static_cast<From>(From{1} << digits);
                if (from > most) return out_of_range();
                if constexpr (std::is_signed_v<From>)
                    if (from < -most) return out_of_range();
            }
            return codec<N>::encode(static_cast<N>(from));
        } else if constexpr (std::is_floating_point_v<N>) {
            return codec<N>::encode(static_cast<N>(from));
        } else {
            const auto converted = static_cast<N>(from);
            const bool same_sign = (converted < N{}) == (from < From{});
            if (static_cast<From>(converted) != from || !same_sign) return out_of_range();
            return codec<N>::encode(converted);
        }
    }
}

// What may stand for a value that is no object: whether U is that without anything made in between, and as what the library
// takes it. Strings and bytes are those of `from`.
template <class T>
struct optional_of {
    static constexpr bool is = false;
};
template <class T>
struct optional_of<std::optional<T>> {
    static constexpr bool is = true;
    using type = T;
};

template <class T, class U>
constexpr bool encodes_in_place() {
    if constexpr (optional_of<T>::is && std::is_same_v<U, std::nullopt_t>) return true;
    else if constexpr (optional_of<T>::is && optional_of<U>::is)
        return encodes_in_place<typename optional_of<T>::type, typename optional_of<U>::type>();
    else if constexpr (optional_of<T>::is) return encodes_in_place<typename optional_of<T>::type, U>();
    else if constexpr (codec<T>::kind == MB_KIND_STRING) return is_text<U>;
    else if constexpr (codec<T>::kind == MB_KIND_BYTES) return is_bytes<const U>;
    else return std::is_same_v<T, U> || std::is_arithmetic_v<T> || std::is_same_v<T, value>;
}

template <class T, class U>
mb_value encode_as(const U& from) {
    if constexpr (optional_of<T>::is && std::is_same_v<U, std::nullopt_t>) {
        return mb_value{};
    } else if constexpr (optional_of<T>::is && optional_of<U>::is) {
        return from ? encode_as<typename optional_of<T>::type>(*from) : mb_value{};
    } else if constexpr (optional_of<T>::is) {
        return encode_as<typename optional_of<T>::type>(from);
    } else if constexpr (codec<T>::kind == MB_KIND_BYTES) {
        return text(MB_KIND_BYTES, from.data(), from.size());
    } else if constexpr (std::is_arithmetic_v<T> && std::is_arithmetic_v<U>) {
        return number_as<T>(from);
    } else if constexpr (std::is_same_v<T, value> && std::is_same_v<U, value>) {
        return from.view().raw();
    } else {
        return codec<T>::encode(from);
    }
}

// Reads an object of type T: its word is a cell's, or, of the values of map, its own address.
template <class T>
T* object_in(const realm* realm, const mb_value& raw, bool in_place = false) noexcept {
    if (realm == nullptr || raw.kind != MB_KIND_OBJECT || raw.owner != realm->owner()) return nullptr;
    if (in_place) return reinterpret_cast<T*>(static_cast<std::uintptr_t>(raw.as.object.word));
    cell* object = cell::of(raw.as.object.word);
    return object->type == key_of<T>() ? &static_cast<cell_of<T>*>(object)->value : nullptr;
}

// What set_result puts into a row.
inline mb_status set_row(const mb_api* api, mb_batch* batch, std::size_t row, const mb_value& raw) noexcept {
    switch (raw.kind) {
    case MB_KIND_NULL: return api->mb_batch_set_null(batch, row);
    case MB_KIND_BOOL: return api->mb_batch_set_bool(batch, row, static_cast<std::int32_t>(raw.as.int64));
    case MB_KIND_INT64: return api->mb_batch_set_int64(batch, row, raw.as.int64);
    case MB_KIND_FLOAT64: return api->mb_batch_set_float64(batch, row, raw.as.float64);
    case MB_KIND_NONE: return refusal_of(raw);
    default: return api->mb_batch_set_value(batch, row, &raw);
    }
}

}  // namespace detail
MB_CPP_END

#endif
