// What every other header here begins with: the namespace, spans, times.
#ifndef MICROBATCH_CONFIG_HPP
#define MICROBATCH_CONFIG_HPP

#include <microbatch.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#if defined(__cpp_exceptions)
#define MB_CPP_EXCEPTIONS 1
#else
#define MB_CPP_EXCEPTIONS 0
#endif

// Units compiled with and without exceptions or RTTI have different functions of the same names: each has a namespace of
// its own, so that a program may link both.
#if MB_CPP_EXCEPTIONS && defined(__cpp_rtti)
#define MB_CPP_VERSION v0
#elif MB_CPP_EXCEPTIONS
#define MB_CPP_VERSION v0_without_rtti
#elif defined(__cpp_rtti)
#define MB_CPP_VERSION v0_without_exceptions
#else
#define MB_CPP_VERSION v0_without_exceptions_and_rtti
#endif

#define MB_CPP_BEGIN namespace mb { inline namespace MB_CPP_VERSION {
#define MB_CPP_END }}

MB_CPP_BEGIN

namespace detail {

template <class T>
using bare = std::remove_cv_t<std::remove_reference_t<T>>;

// Where the elements of a contiguous container are, and how many.
template <class C>
using data_of = decltype(std::declval<C&>().data());
template <class C, class = void>
struct is_contiguous : std::false_type {};
template <class C>
struct is_contiguous<C, std::void_t<data_of<C>, decltype(std::declval<C&>().size())>>
    : std::is_pointer<data_of<C>> {};
template <class C>
using element_of = std::remove_pointer_t<data_of<C>>;

}  // namespace detail

// A contiguous array that belongs to somebody else: what std::span is from C++20 on, into which and from which it
// converts.
template <class T>
class span {
public:
    using element_type = T;
    using value_type = std::remove_cv_t<T>;

    constexpr span() noexcept = default;
    constexpr span(T* data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <std::size_t N>
    constexpr span(T (&array)[N]) noexcept : data_(array), size_(N) {}
    // Any contiguous container: vector, array, string, std::span.
    template <class C, std::enable_if_t<detail::is_contiguous<C>::value && !std::is_same_v<detail::bare<C>, span> &&
                                            std::is_convertible_v<detail::element_of<C> (*)[], T (*)[]>,
                                        int> = 0>
    constexpr span(C&& container) noexcept : data_(container.data()), size_(container.size()) {}

    constexpr T* data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T* begin() const noexcept { return data_; }
    constexpr T* end() const noexcept { return data_ + size_; }
    constexpr T& operator[](std::size_t at) const noexcept { return data_[at]; }

private:
    T* data_ = nullptr;
    std::size_t size_ = 0;
};

// A length of time, or mb::forever: any std::chrono duration converts. What passes 292 years is forever.
class timeout {
public:
    template <class Rep, class Period>
    constexpr timeout(std::chrono::duration<Rep, Period> length) noexcept : ns_(nanoseconds_of(length)) {}

    constexpr std::int64_t ns() const noexcept { return ns_; }

private:
    template <class Duration>
    static constexpr std::int64_t nanoseconds_of(Duration length) noexcept {
        const auto exact = std::chrono::duration<long double, std::nano>(length).count();
        if (exact >= static_cast<long double>(MB_FOREVER)) return MB_FOREVER;
        // What is no number is no time: the library refuses it as it does any negative one.
        if (!(exact > -static_cast<long double>(MB_FOREVER))) return -MB_FOREVER;
        return std::chrono::duration_cast<std::chrono::nanoseconds>(length).count();
    }

    std::int64_t ns_;
};

// No time limit.
inline constexpr timeout forever{std::chrono::nanoseconds(MB_FOREVER)};

MB_CPP_END

#endif
