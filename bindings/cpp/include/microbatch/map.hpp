// Known data: a whole array handled in one call, on the calling thread, without a batcher.
#ifndef MICROBATCH_MAP_HPP
#define MICROBATCH_MAP_HPP

#include "batcher.hpp"

MB_CPP_BEGIN

// How to divide an array.
class split {
public:
    // Batches of the default max_batch_size.
    split() noexcept = default;
    // Batches of this many values, but for the last.
    static split size(std::uint64_t values) noexcept { return split(values, 0); }
    // This many batches; the first count % batches of them get one value more than the others.
    static split batches(std::uint64_t count) noexcept { return split(0, count); }

    mb_map_options raw(std::uint32_t owner) const noexcept {
        mb_map_options made{};
        made.struct_size = sizeof made;
        made.max_batch_size = size_;
        made.batches = batches_;
        made.owner = owner;
        return made;
    }

private:
    split(std::uint64_t size, std::uint64_t batches) noexcept : size_(size), batches_(batches) {}

    std::uint64_t size_ = 0;
    std::uint64_t batches_ = 0;
};

#if MB_CPP_EXCEPTIONS
// What map throws when values failed: the first failure, and all of them by row.
class map_error : public error {
public:
    struct failure {
        std::size_t row;
        mb::error why;
    };
    explicit map_error(std::vector<failure> all)
        : error(all.front().why), failures_(std::make_shared<const std::vector<failure>>(std::move(all))) {}
    const std::vector<failure>& failures() const noexcept { return *failures_; }

private:
    std::shared_ptr<const std::vector<failure>> failures_;
};
#endif

namespace detail {

// The type that a handler of map sees for an array's elements.
template <class E>
using mapped = std::conditional_t<std::is_same_v<E, value_view>, value, E>;

// The owner of the objects of all maps; a word is read only inside the call that it was made for.
inline std::uint32_t map_owner(const mb_api* api) noexcept {
    static const std::uint32_t number = [api] {
        std::uint32_t made = 0;
        return api->mb_owner_new(&made) == MB_OK ? made : 0;
    }();
    return number;
}

template <class E>
mb_value in_place(E& element, std::uint32_t owner) {
    using type = std::remove_const_t<E>;
    const auto object_at = [owner](const auto* address) {
        mb_value raw{};
        raw.kind = MB_KIND_OBJECT;
        raw.owner = owner;
        raw.as.object.word = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(address));
        return raw;
    };
    if constexpr (std::is_same_v<type, value>) {
        const auto* shared = element.as_object();
        return shared == nullptr ? element.view().raw() : object_at(shared);
    } else if constexpr (is_object<type>) {
        static_assert(!std::is_const_v<E>, "objects are handled where they are, and may be moved from: not in a const array");
        return object_at(&element);
    } else {
        return codec<type>::encode(element);
    }
}

template <class T, class R, class F>
struct map_call {
    F& handler;
    typename owned_results<R>::keepsake* keeps;

    static mb_status run(void* self, mb_batch* batch, const mb_api* api) {
        auto& call = *static_cast<map_call*>(self);
        return run_handler<T, R>(call.handler, batch, api, call.keeps, nullptr, &call.keeps->causes);
    }
};

}  // namespace detail

// Handles the array batch by batch: calls the handler with mb::batch<T, R>&, as a batcher would, and returns all results
// in order. OK says that every value has an outcome, also if some failed. Handlers here cannot keep their batch. Objects
// stay in the array; T and R are the array's type unless R is given: `mb::try_map<double>(...)`.
template <class R, class Range, class F>
expected<owned_results<R>> try_map(Range&& values, split how, F&& handler) {
    using element = detail::element_of<Range>;
    using item = std::remove_const_t<element>;
    using T = detail::mapped<item>;
    using keepsake = typename owned_results<R>::keepsake;
    const auto* api = mb_api_table();
    const std::uint32_t owner = detail::may_be_object<T> || detail::may_be_object<R> ? detail::map_owner(api) : 0;
    std::unique_ptr<keepsake> keeps(new (std::nothrow) keepsake(owner, true));
    if (keeps == nullptr) return mb::error::of(api, MB_ERR_NO_MEMORY);
    using call_type = detail::map_call<T, R, std::remove_reference_t<F>>;
    call_type call{handler, keeps.get()};
    const auto options = how.raw(owner);
    mb_results* made = nullptr;
    mb_error* trouble = nullptr;
    mb_status code = MB_OK;
    const std::size_t count = values.size();
    if constexpr (std::is_same_v<item, std::int64_t>) {
        code = api->mb_map_int64s(values.data(), nullptr, count, &options, &call_type::run, &call, &made, &trouble);
    } else if constexpr (std::is_same_v<item, double>) {
        code = api->mb_map_float64s(values.data(), nullptr, count, &options, &call_type::run, &call, &made, &trouble);
    } else if constexpr (std::is_same_v<item, value_view>) {
        const auto* raw = reinterpret_cast<const mb_value*>(values.data());
        code = api->mb_map_values(raw, count, &options, &call_type::run, &call, &made, &trouble);
    } else {
        std::vector<mb_value> raw;
        raw.reserve(count);
        for (auto& each : values) {
            raw.push_back(detail::in_place(each, owner));
            if (const auto refused = detail::refusal_of(raw.back())) return mb::error::of(api, refused);
        }
        code = api->mb_map_values(raw.data(), count, &options, &call_type::run, &call, &made, &trouble);
        // The results own what they show.
    }
    if (code != MB_OK) return mb::error::of(api, code, trouble);
    return owned_results<R>(api, made, nullptr, std::move(keeps));
}
template <class Range, class F>
auto try_map(Range&& values, split how, F&& handler) {
    using item = std::remove_const_t<detail::element_of<Range>>;
    return try_map<detail::mapped<item>>(std::forward<Range>(values), how, std::forward<F>(handler));
}

#if MB_CPP_EXCEPTIONS
// The same, with the results as a vector. If values failed it throws one mb::map_error that has all failures.
template <class R, class Range, class F>
auto map(Range&& values, split how, F&& handler) {
    const auto all = std::move(try_map<R>(std::forward<Range>(values), how, std::forward<F>(handler)).value());
    std::vector<map_error::failure> failures;
    std::vector<detail::owned_of<R>> made;
    made.reserve(all.size());
    for (const auto& row : all) {
        if (!row.ok()) {
            failures.push_back({row.index(), row.error()});
        } else if constexpr (detail::is_object<R>) {
            made.push_back(std::move(row.value()));
        } else if constexpr (std::is_same_v<R, value>) {
            const auto* shared = row.object();
            made.push_back(shared != nullptr ? value(*shared) : value(row.value()));
        } else {
            made.push_back(detail::codec<R>::own(row.value()));
        }
    }
    if (!failures.empty()) throw map_error(std::move(failures));
    return made;
}
template <class Range, class F>
auto map(Range&& values, split how, F&& handler) {
    using item = std::remove_const_t<detail::element_of<Range>>;
    return map<detail::mapped<item>>(std::forward<Range>(values), how, std::forward<F>(handler));
}
#endif

MB_CPP_END

#endif
