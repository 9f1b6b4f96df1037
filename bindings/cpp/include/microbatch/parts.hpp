// What a batcher is made of besides options: handlers and other callbacks, passed to its constructor in any order.
//
//     mb::batcher<> b{options, mb::handler_for(mb::kind::int64, f), mb::handler(g), mb::on_result(h)};
//
// A plain callable among them is the default handler; a std::optional of a part may be empty. Callables may be move-only;
// they run on the batcher's threads (in manual mode on the host's), must be fit for that, and live until after their last
// call.
//
// A handler is called with mb::batch<T, R>& and returns nothing, a status or code (not 0 fails its part), an mb::error, or
// all results as a range. on_result is called with const mb::results<R>&, once a batch.
#ifndef MICROBATCH_PARTS_HPP
#define MICROBATCH_PARTS_HPP

#include "typed_hub.hpp"

MB_CPP_BEGIN
namespace detail {

inline constexpr std::uint32_t every_kind = MB_KINDS;  // the place of the default handler

template <class F>
struct handler_part {
    std::uint32_t place;
    F call;
};
struct native_handler_part {
    std::uint32_t place;
    mb_handler entry;
};
template <class F>
struct on_result_part {
    F call;
};
struct native_on_result_part {
    mb_result_fn call;
    void* data;
    mb_release_fn release;
};
template <class F>
struct on_log_part {
    F call;
};
template <class F>
struct on_object_part {
    std::uint32_t owner;
    F call;
};
template <class F>
struct resume_part {
    F call;
};

}  // namespace detail

// The handler of every kind that has none of its own.
template <class F>
auto handler(F&& call) {
    return detail::handler_part<std::decay_t<F>>{detail::every_kind, std::forward<F>(call)};
}
// The handler of one kind.
template <class F>
auto handler_for(kind of, F&& call) {
    return detail::handler_part<std::decay_t<F>>{static_cast<std::uint32_t>(of), std::forward<F>(call)};
}
// A handler given by address, in C or in any library: values reach it without C++. `release` gives `data` back, once,
// unless the batcher could not be made.
inline auto native_handler(mb_handler_fn call, void* data = nullptr, mb_release_fn release = nullptr) {
    return detail::native_handler_part{detail::every_kind, {call, data, release}};
}
inline auto native_handler_for(kind of, mb_handler_fn call, void* data = nullptr, mb_release_fn release = nullptr) {
    return detail::native_handler_part{static_cast<std::uint32_t>(of), {call, data, release}};
}
// Takes the results, a batch at a time, never beside itself. Then there are no futures.
template <class F>
auto on_result(F&& call) {
    return detail::on_result_part<std::decay_t<F>>{std::forward<F>(call)};
}
inline auto native_on_result(mb_result_fn call, void* data = nullptr, mb_release_fn release = nullptr) {
    return detail::native_on_result_part{call, data, release};
}
// Takes lines of log: f(level, text), level 0 debug, 1 information, 2 warning, 3 error. Without it there is silence.
template <class F>
auto on_log(F&& call) {
    return detail::on_log_part<std::decay_t<F>>{std::forward<F>(call)};
}
// For object words of your own: their owner number (mb_owner_new), and f(word), which gives one reference back. C++
// objects need none of this, and do not travel in such a batcher.
template <class F>
auto on_object_release(std::uint32_t owner, F&& call) {
    return detail::on_object_part<std::decay_t<F>>{owner, std::forward<F>(call)};
}
// Where coroutines go on that awaited a future: f(resumption) has it called once, on a thread of its choice.
template <class F>
auto resume_with(F&& call) {
    return detail::resume_part<std::decay_t<F>>{std::forward<F>(call)};
}

// Runs a C++ handler inside a handler of your own that was given by address, in a library that needs not be linked to
// microbatch: everything goes through `api`. C++ objects are opaque there. Returns what that handler is to return.
template <class T, class R = T, class F>
mb_status handle(mb_batch* batch, const mb_api* api, F&& call) {
    return detail::run_handler<T, R>(call, batch, api, nullptr, nullptr, nullptr);
}

namespace detail {

template <class T, class R, class F>
void add(typed_hub<T, R>& to, mb_options&, handler_part<F>&& part) {
    struct bound final : typed_hub<T, R>::handler_base {
        explicit bound(F&& from) : call(std::move(from)) {}
        mb_status run(mb_batch* batch, const mb_api* api) override {
            auto* hub = this->home;
            return run_handler<T, R>(call, batch, api, hub, hub, hub->results_are_seen() ? &hub->causes() : nullptr);
        }
        F call;
    };
    to.handlers[part.place < MB_KINDS ? part.place : MB_KINDS] = std::make_unique<bound>(std::move(part.call));
}

template <class T, class R>
void add(typed_hub<T, R>&, mb_options& options, native_handler_part&& part) {
    if (part.place < MB_KINDS) {
        options.by_kind[part.place] = part.entry;
    } else {
        options.handler = part.entry.call;
        options.handler_data = part.entry.user_data;
        options.handler_release = part.entry.release;
    }
}

template <class T, class R, class F>
void add(typed_hub<T, R>& hub, mb_options&, on_result_part<F>&& part) {
    struct bound final : typed_hub<T, R>::on_result_base {
        explicit bound(F&& from) : call(std::move(from)) {}
        void run(const results<R>& set) override { call(set); }
        F call;
    };
    hub.on_result = std::make_unique<bound>(std::move(part.call));
}

template <class T, class R>
void add(typed_hub<T, R>&, mb_options& options, native_on_result_part&& part) {
    options.on_result = part.call;
    options.result_data = part.data;
    options.result_release = part.release;
}

template <class T, class R, class F>
void add(typed_hub<T, R>& hub, mb_options&, on_log_part<F>&& part) {
    struct bound final : typed_hub<T, R>::on_log_base {
        explicit bound(F&& from) : call(std::move(from)) {}
        void run(std::int32_t level, std::string_view line) override { call(level, line); }
        F call;
    };
    hub.on_log = std::make_unique<bound>(std::move(part.call));
}

template <class T, class R, class F>
void add(typed_hub<T, R>& hub, mb_options& options, on_object_part<F>&& part) {
    struct bound final : typed_hub<T, R>::on_object_base {
        explicit bound(F&& from) : call(std::move(from)) {}
        void run(std::uint64_t word) override { call(word); }
        F call;
    };
    options.owner = part.owner;
    hub.on_object = std::make_unique<bound>(std::move(part.call));
}

template <class T, class R, class F>
void add(typed_hub<T, R>& hub, mb_options&, resume_part<F>&& part) {
    struct bound final : typed_hub<T, R>::resume_base {
        explicit bound(F&& from) : call(std::move(from)) {}
        void run(resumption coroutine) override { call(coroutine); }
        F call;
    };
    hub.resume = std::make_unique<bound>(std::move(part.call));
}

// A part that may be missing.
template <class T, class R, class Part>
void add(typed_hub<T, R>& hub, mb_options& options, std::optional<Part>&& part) {
    if (part) add(hub, options, *std::move(part));
}

// A plain callable.
template <class T, class R, class F>
auto add(typed_hub<T, R>& hub, mb_options& options, F&& call)
    -> std::enable_if_t<std::is_invocable_v<std::decay_t<F>&, batch<T, R>&>> {
    add(hub, options, handler(std::forward<F>(call)));
}

}  // namespace detail
MB_CPP_END

#endif
