// Bulk pushes of a batcher: ranges of values, in place where they are arrays of int64_t or double, and else in pieces.
#ifndef MICROBATCH_MANY_HPP
#define MICROBATCH_MANY_HPP

#include "batcher.hpp"

MB_CPP_BEGIN
namespace detail {

inline constexpr std::size_t piece_size = 256;

// Whether a range is the library's own array of numbers.
template <class T, class Range, class Number, class = void>
inline constexpr bool is_array_of = false;
template <class T, class Range, class Number>
inline constexpr bool is_array_of<T, Range, Number, std::enable_if_t<is_contiguous<const Range>::value>> =
    std::is_same_v<element<const Range>, Number> && (std::is_same_v<T, Number> || std::is_same_v<T, value>);

// A part of a range that is no array.
template <class Iterator>
struct piece_of {
    Iterator first, last;
    Iterator begin() const { return first; }
    Iterator end() const { return last; }
};

}  // namespace detail

template <class T, class R>
template <class Range>
pushed batcher<T, R>::push_range(const Range& values, const tags& tags, const push_options& options) const {
    using item = detail::bare<decltype(*std::begin(values))>;
    const auto count = static_cast<std::size_t>(std::distance(std::begin(values), std::end(values)));
    if (!tags.fit(count)) return {MB_ERR_INVALID_ARGUMENT, 0};
    if constexpr (detail::is_array_of<T, Range, std::int64_t>) {
        return ref().try_push_int64s(values, tags, nullptr, options);
    } else if constexpr (detail::is_array_of<T, Range, double>) {
        return ref().try_push_float64s(values, tags, nullptr, options);
    } else {
        // Objects get a cell each, one by one; so do views of them.
        constexpr bool views = std::is_same_v<T, value> &&
                               (std::is_same_v<item, value> || std::is_same_v<item, value_view> ||
                                std::is_same_v<item, object>);
        constexpr bool pieces = !detail::is_object<T> && detail::encodes_in_place<T, item>() && !views;
        auto at = std::begin(values);
        std::size_t accepted = 0;
        if constexpr (pieces) {
            // One release is for the whole range: then it goes in one piece.
            const std::size_t size = options.has_release() ? count : detail::piece_size;
            std::vector<value_view> piece;
            piece.reserve(size < count ? size : count);
            while (accepted < count) {
                piece.clear();
                mb_status refusal = MB_OK;
                for (; piece.size() < size && at != std::end(values); ++at) {
                    piece.emplace_back(detail::encode_as<T>(*at));
                    if ((refusal = detail::refusal_of(piece.back().raw())) != MB_OK) break;
                }
                if (refusal != MB_OK) piece.pop_back();
                const auto part = tags.part(accepted, piece.size());
                const auto answer = ref().try_push_values(piece, part, options);
                accepted += answer.accepted;
                if (!answer.status.ok()) return {answer.status, accepted};
                if (refusal != MB_OK) return {refusal, accepted};
            }
        } else {
            for (; at != std::end(values); ++at, ++accepted) {
                const auto* array = tags.array(accepted);
                const auto answer = this->try_push(*at, array == nullptr ? tags.first(accepted) : *array, options);
                if (!answer.ok()) return {answer, accepted};
            }
        }
        return {MB_OK, accepted};
    }
}

template <class T, class R>
template <class Range>
std::vector<future<R>> batcher<T, R>::submit_many(const Range& values, const push_options& options) const {
    const auto count = static_cast<std::size_t>(std::distance(std::begin(values), std::end(values)));
    std::vector<future<R>> futures;
    futures.reserve(count);
    mb_status refusal = pool() == nullptr ? MB_ERR_WRONG_MODE : MB_OK;
    // One release is for the whole range: then it goes in one piece.
    const std::size_t most = options.has_release() || count < detail::piece_size ? count : detail::piece_size;
    std::vector<std::uint64_t> tags(most);
    auto at = std::begin(values);
    while (refusal == MB_OK && futures.size() < count) {
        // A future for each value of a piece, then the piece in one push; those of values that it refuses are undone.
        const std::size_t first = futures.size();
        std::size_t size = 0;
        for (; size < most && futures.size() < count; ++size) {
            auto* slot = pool()->take();
            if (slot == nullptr) break;
            tags[size] = detail::pool<R>::tag_of(slot);
            futures.emplace_back(pool(), slot);
        }
        if (size < most && futures.size() < count) refusal = MB_ERR_NO_MEMORY;
        const span<const std::uint64_t> piece_tags(tags.data(), size);
        pushed answer{MB_OK, 0};
        if constexpr (detail::is_contiguous<const Range>::value) {
            const span<const detail::element<const Range>> piece(values.data() + first, size);
            answer = push_range(piece, piece_tags, options);
        } else {
            const auto begin = at;
            std::advance(at, static_cast<std::ptrdiff_t>(size));
            answer = push_range(detail::piece_of<decltype(at)>{begin, at}, piece_tags, options);
        }
        while (futures.size() > first + answer.accepted) {
            futures.back().undo();
            futures.pop_back();
        }
        if (!answer.status.ok()) refusal = answer.status.code();
    }
    while (futures.size() < count) futures.emplace_back(refusal);
    return futures;
}

MB_CPP_END

#endif
