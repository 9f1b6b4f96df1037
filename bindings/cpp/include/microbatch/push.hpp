// Pushing: values of any kind, values of a type, arrays; and producers, which are a way in for one thread.
#ifndef MICROBATCH_PUSH_HPP
#define MICROBATCH_PUSH_HPP

#include "parts.hpp"

MB_CPP_BEGIN

// The tags of a bulk push: a first one that counts up, or an array with one for each value.
class tags {
public:
    template <class N, std::enable_if_t<std::is_integral_v<N>, int> = 0>
    tags(N first) noexcept : first_(static_cast<std::uint64_t>(first)) {}
    template <class C, std::enable_if_t<std::is_convertible_v<const C&, span<const std::uint64_t>>, int> = 0>
    tags(const C& each) noexcept : each_(each), counts_up_(false) {}

    bool fit(std::size_t count) const noexcept { return counts_up_ || each_.size() == count; }
    // From the value at `at` on, as the library takes them.
    const std::uint64_t* array(std::size_t at) const noexcept { return counts_up_ ? nullptr : each_.data() + at; }
    std::uint64_t first(std::size_t at) const noexcept { return counts_up_ ? first_ + at : 0; }
    tags part(std::size_t at, std::size_t size) const noexcept {
        return counts_up_ ? tags(first_ + at) : tags(span<const std::uint64_t>(each_.data() + at, size));
    }

private:
    std::uint64_t first_ = 0;
    span<const std::uint64_t> each_;
    bool counts_up_ = true;
};

// What a bulk push came to: how many values were taken, which is the index of the refused one if the status is not OK.
struct pushed {
    mb::status status;
    std::size_t accepted;
};

namespace detail {

// The two ways in. A typed push of the library each, or its general one if there is something to say besides.
struct batcher_door {
    const mb_api* api;
    mb_batcher* to;

    mb_batcher* batcher() const noexcept { return to; }
    mb_status plain(const mb_value& raw, std::uint64_t tag) const noexcept {
        switch (raw.kind) {
        case MB_KIND_NULL: return api->mb_batcher_push_null(to, tag);
        case MB_KIND_BOOL: return api->mb_batcher_push_bool(to, static_cast<std::int32_t>(raw.as.int64), tag);
        case MB_KIND_INT64: return api->mb_batcher_push_int64(to, raw.as.int64, tag);
        case MB_KIND_FLOAT64: return api->mb_batcher_push_float64(to, raw.as.float64, tag);
        case MB_KIND_STRING:
            return api->mb_batcher_push_string(to, static_cast<const char*>(raw.as.string.data), raw.as.string.length, tag);
        case MB_KIND_BYTES: return api->mb_batcher_push_bytes(to, raw.as.string.data, raw.as.string.length, tag);
        case MB_KIND_OBJECT:
            return api->mb_batcher_push_object(to, raw.owner, raw.as.object.word, raw.as.object.size, tag);
        case MB_KIND_NONE: return refusal_of(raw);
        default: return api->mb_batcher_push_value(to, &raw, tag, nullptr);
        }
    }
    mb_status general(const mb_value& raw, std::uint64_t tag, const mb_push_options& options) const noexcept {
        return api->mb_batcher_push_value(to, &raw, tag, &options);
    }
};

struct producer_door {
    const mb_api* api;
    mb_producer* to;
    mb_batcher* of;

    mb_batcher* batcher() const noexcept { return of; }
    mb_status plain(const mb_value& raw, std::uint64_t tag) const noexcept {
        switch (raw.kind) {
        case MB_KIND_NULL: return api->mb_producer_push_null(to, tag);
        case MB_KIND_BOOL: return api->mb_producer_push_bool(to, static_cast<std::int32_t>(raw.as.int64), tag);
        case MB_KIND_INT64: return api->mb_producer_push_int64(to, raw.as.int64, tag);
        case MB_KIND_FLOAT64: return api->mb_producer_push_float64(to, raw.as.float64, tag);
        case MB_KIND_STRING:
            return api->mb_producer_push_string(to, static_cast<const char*>(raw.as.string.data), raw.as.string.length,
                                                tag);
        case MB_KIND_BYTES: return api->mb_producer_push_bytes(to, raw.as.string.data, raw.as.string.length, tag);
        case MB_KIND_OBJECT:
            return api->mb_producer_push_object(to, raw.owner, raw.as.object.word, raw.as.object.size, tag);
        case MB_KIND_NONE: return refusal_of(raw);
        default: return api->mb_producer_push_value(to, &raw, tag, nullptr);
        }
    }
    mb_status general(const mb_value& raw, std::uint64_t tag, const mb_push_options& options) const noexcept {
        return api->mb_producer_push_value(to, &raw, tag, &options);
    }
};

template <class Door>
mb_status push_raw(const Door& door, const mb_value& raw, std::uint64_t tag, const push_options& options) noexcept {
    if (options.is_plain()) return door.plain(raw, tag);
    if (const auto refused = refusal_of(raw)) return refused;
    mb_push_options native;
    const auto status = options.raw(door.api, door.batcher(), native);
    return status != MB_OK ? status : door.general(raw, tag, native);
}

// Why a push was refused, in words: what check says, if it says the same.
inline error explain(const mb_api* api, mb_batcher* batcher, const mb_value& raw, mb_status code) noexcept {
    mb_error* words = nullptr;
    if (refusal_of(raw) == MB_OK && api->mb_batcher_check(batcher, &raw, &words) == code)
        return error::of(api, code, words);
    api->mb_error_free(words);
    return error::of(api, code);
}

// Pushes an object: moved or copied into a cell whose reference the library takes. Refused, what was moved is moved back.
template <class T, class Door, class U>
mb_status push_object(const Door& door, std::uint32_t owner, U&& from, std::uint64_t tag, const push_options& options,
                      std::optional<error>* why) {
    constexpr bool moves = !std::is_lvalue_reference_v<U>;
    static_assert(!moves || std::is_move_assignable_v<T>,
                  "a refused value is moved back: use a std::unique_ptr for a type that cannot be assigned");
    auto* made = cell_of<T>::make(std::forward<U>(from));
    mb_value raw{};
    raw.kind = MB_KIND_OBJECT;
    raw.owner = owner;
    raw.as.object.size = options.size();
    raw.as.object.word = made == nullptr ? 0 : made->word();
    const auto status = made == nullptr ? MB_ERR_NO_MEMORY : push_raw(door, raw, tag, options);
    if (status == MB_OK) return MB_OK;
    if (why != nullptr) *why = explain(door.api, door.batcher(), raw, status);
    if (made == nullptr) return status;
    struct releaser {
        cell* of;
        ~releaser() { of->release(); }
    } const after{made};
    if constexpr (moves) from = std::move(made->value);
    return status;
}

// The C++ object that a view shows, if it is one of this owner.
inline const object* shown_object(const mb_value& raw, std::uint32_t owner) noexcept {
    if (raw.kind != MB_KIND_OBJECT || owner == 0 || raw.owner != owner) return nullptr;
    cell* shown = cell::of(raw.as.object.word);
    return shown->type == key_of<object>() ? &static_cast<cell_of<object>*>(shown)->value : nullptr;
}

// Pushing values of one type, one by one: what batchers and producers have in common. Self has api(), door(), owner() and
// pool().
template <class Self, class T, class R>
class pushing {
public:
    // Pushes a value. Its tag comes back with its result; tags need not be unique. Where results go to futures, nobody sees
    // the result of a value pushed like this, and tags from 2^63 on belong to the futures.
    template <class U = T>
    mb::status try_push(U&& from, std::uint64_t tag = 0, const push_options& options = {}) const {
        return send(std::forward<U>(from), tag, options, nullptr);
    }

    // Pushes a value and returns a future of its result. WRONG_MODE if results go elsewhere. A refusal consumes nothing.
    template <class U = T>
    expected<future<R>> try_submit(U&& from, const push_options& options = {}) const {
        std::optional<mb::error> why;
        auto* slot = send_with_future(std::forward<U>(from), options, why);
        if (slot == nullptr) return *std::move(why);
        return future<R>(self().pool(), slot);
    }

#if MB_CPP_EXCEPTIONS
    template <class U = T>
    void push(U&& from, std::uint64_t tag = 0, const push_options& options = {}) const {
        std::optional<mb::error> why;
        if (send(std::forward<U>(from), tag, options, &why) != MB_OK) throw *why;
    }
    template <class U = T>
    future<R> submit(U&& from, const push_options& options = {}) const {
        std::optional<mb::error> why;
        auto* slot = send_with_future(std::forward<U>(from), options, why);
        if (slot == nullptr) throw *why;
        return future<R>(self().pool(), slot);
    }
#endif

protected:
    // Pushes a value under the tag of a slot for its result; nullptr if it is refused, and then `why`.
    template <class U>
    slot<R>* send_with_future(U&& from, const push_options& options, std::optional<mb::error>& why) const {
        auto* futures = self().pool();
        auto* taken = futures == nullptr ? nullptr : futures->take();
        if (taken == nullptr) {
            why = mb::error::of(self().api(), futures == nullptr ? MB_ERR_WRONG_MODE : MB_ERR_NO_MEMORY);
            return nullptr;
        }
        // Also if copying the value throws.
        struct holder {
            mb::detail::pool<R>* pool;
            mb::detail::slot<R>* slot;
            ~holder() {
                if (slot != nullptr) pool->give(slot);
            }
        } held{futures, taken};
        if (send(std::forward<U>(from), detail::pool<R>::tag_of(taken), options, &why) != MB_OK) return nullptr;
        return std::exchange(held.slot, nullptr);
    }

    // One value on its way; if it is refused, `why` says so in words.
    template <class U>
    mb_status send(U&& from, std::uint64_t tag, const push_options& options, std::optional<mb::error>* why) const {
        const auto& door = self().door();
        const auto owner = self().owner();
        if constexpr (is_object<T>) {
            if constexpr (std::is_same_v<U, T>) return push_object<T>(door, owner, std::move(from), tag, options, why);
            else if constexpr (std::is_same_v<bare<U>, T>)
                return push_object<T>(door, owner, static_cast<const T&>(from), tag, options, why);
            else return push_object<T>(door, owner, T(std::forward<U>(from)), tag, options, why);
        } else if constexpr (std::is_same_v<T, value> && std::is_same_v<bare<U>, object>) {
            return push_object<object>(door, owner, static_cast<const object&>(from), tag, options, why);
        } else {
            [[maybe_unused]] const object* shared = nullptr;
            if constexpr (std::is_same_v<bare<U>, value>) shared = from.as_object();
            // Seen in one of this batcher's rows, and pushed again: by another reference.
            if constexpr (std::is_same_v<bare<U>, value_view>) shared = shown_object(from.raw(), owner);
            if constexpr (std::is_same_v<T, value>)
                if (shared != nullptr) return push_object<object>(door, owner, *shared, tag, options, why);
            if constexpr (encodes_in_place<T, bare<U>>()) {
                return encoded(encode_as<T>(from), tag, options, why);
            } else {
                const T made(std::forward<U>(from));
                return encoded(codec<T>::encode(made), tag, options, why);
            }
        }
    }

private:
    mb_status encoded(const mb_value& raw, std::uint64_t tag, const push_options& options,
                      std::optional<mb::error>* why) const {
        const auto status = push_raw(self().door(), raw, tag, options);
        if (status != MB_OK && why != nullptr) *why = explain(self().api(), self().door().batcher(), raw, status);
        return status;
    }

    const Self& self() const noexcept { return static_cast<const Self&>(*this); }
};

}  // namespace detail

// A batcher without its types, for pushing values of any kind: one's own by batcher::ref(), or that of another language
// or another copy of the library, by what mb_batcher_share made. It owns nothing.
class batcher_ref : public control {
public:
    explicit batcher_ref(const mb_shared& shared) noexcept : control(shared.api, shared.batcher) {}
    batcher_ref(const mb_api* api, mb_batcher* handle) noexcept : control(api, handle) {}

    mb::status try_push(const value_view& value, std::uint64_t tag, const push_options& options = {}) const noexcept {
        return detail::push_raw(detail::batcher_door{api_, handle_}, value.raw(), tag, options);
    }

    // Arrays of one kind, in place. validity says which values there are, as in Arrow: bit i % 8 of byte i / 8, 0 for
    // null; nullptr if all are there.
    pushed try_push_int64s(span<const std::int64_t> values, const tags& tags, const std::uint8_t* validity = nullptr,
                           const push_options& options = {}) const noexcept {
        return many(values.size(), tags, options, [&](auto& from, auto* native, auto* accepted) {
            return api_->mb_batcher_push_int64s(handle_, values.data(), validity, values.size(), from.array(0),
                                                from.first(0), native, accepted);
        });
    }
    pushed try_push_float64s(span<const double> values, const tags& tags, const std::uint8_t* validity = nullptr,
                             const push_options& options = {}) const noexcept {
        return many(values.size(), tags, options, [&](auto& from, auto* native, auto* accepted) {
            return api_->mb_batcher_push_float64s(handle_, values.data(), validity, values.size(), from.array(0),
                                                  from.first(0), native, accepted);
        });
    }
    // Strings in Arrow's shape: string i is data[offsets[i]] to data[offsets[i + 1]], so there is one offset more.
    pushed try_push_strings(const char* data, span<const std::int32_t> offsets, const tags& tags,
                            const std::uint8_t* validity = nullptr, const push_options& options = {}) const noexcept {
        const auto count = offsets.empty() ? 0 : offsets.size() - 1;
        return many(count, tags, options, [&](auto& from, auto* native, auto* accepted) {
            return api_->mb_batcher_push_strings(handle_, data, offsets.data(), validity, count, from.array(0),
                                                 from.first(0), native, accepted);
        });
    }
    pushed try_push_large_strings(const char* data, span<const std::int64_t> offsets, const tags& tags,
                                  const std::uint8_t* validity = nullptr,
                                  const push_options& options = {}) const noexcept {
        const auto count = offsets.empty() ? 0 : offsets.size() - 1;
        return many(count, tags, options, [&](auto& from, auto* native, auto* accepted) {
            return api_->mb_batcher_push_large_strings(handle_, data, offsets.data(), validity, count, from.array(0),
                                                       from.first(0), native, accepted);
        });
    }
    // Values of any kinds.
    pushed try_push_values(span<const value_view> values, const tags& tags,
                           const push_options& options = {}) const noexcept {
        return many(values.size(), tags, options, [&](auto& from, auto* native, auto* accepted) {
            const auto* raw = reinterpret_cast<const mb_value*>(values.data());
            return api_->mb_batcher_push_values(handle_, raw, values.size(), from.array(0), from.first(0), native,
                                                accepted);
        });
    }

#if MB_CPP_EXCEPTIONS
    void push(const value_view& value, std::uint64_t tag, const push_options& options = {}) const {
        const auto answer = try_push(value, tag, options);
        if (!answer.ok()) throw detail::explain(api_, handle_, value.raw(), answer.code());
    }
    // Throw mb::error at the refused value; what was accepted before it is accepted, and the error says how many.
    void push_int64s(span<const std::int64_t> values, const tags& tags, const std::uint8_t* validity = nullptr,
                     const push_options& options = {}) const {
        all(try_push_int64s(values, tags, validity, options));
    }
    void push_float64s(span<const double> values, const tags& tags, const std::uint8_t* validity = nullptr,
                       const push_options& options = {}) const {
        all(try_push_float64s(values, tags, validity, options));
    }
    void push_strings(const char* data, span<const std::int32_t> offsets, const tags& tags,
                      const std::uint8_t* validity = nullptr, const push_options& options = {}) const {
        all(try_push_strings(data, offsets, tags, validity, options));
    }
    void push_large_strings(const char* data, span<const std::int64_t> offsets, const tags& tags,
                            const std::uint8_t* validity = nullptr, const push_options& options = {}) const {
        all(try_push_large_strings(data, offsets, tags, validity, options));
    }
    void push_values(span<const value_view> values, const tags& tags, const push_options& options = {}) const {
        all(try_push_values(values, tags, options));
    }
#endif

private:
    template <class Call>
    pushed many(std::size_t count, const tags& tags, const push_options& options, Call call) const noexcept {
        pushed answer{MB_ERR_INVALID_ARGUMENT, 0};
        if (!tags.fit(count)) return answer;
        mb_push_options native;
        if (!options.is_plain()) {
            answer.status = options.raw(api_, handle_, native);
            if (!answer.status.ok()) return answer;
        }
        answer.status = call(tags, options.is_plain() ? nullptr : &native, &answer.accepted);
        return answer;
    }

#if MB_CPP_EXCEPTIONS
    void all(const pushed& answer) const {
        if (!answer.status.ok()) throw mb::error::of(api_, answer.status.code()).with_accepted(answer.accepted);
    }
#endif
};

MB_CPP_END

#endif
