// The other unit: the same templates again, to be merged by the linker.
#include "microbatch.hpp"

#if defined(__cpp_impl_coroutine)
#include <coroutine>
#endif

namespace {

#if defined(__cpp_impl_coroutine)
struct detached {
    struct promise_type {
        detached get_return_object() noexcept { return {}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() noexcept {}
        void unhandled_exception() noexcept {}
    };
};

detached add(const mb::batcher<std::int64_t>& batcher, std::int64_t number, long& sum) {
#if defined(__cpp_exceptions)
    sum += static_cast<long>(co_await batcher.submit(number));
#else
    auto submitted = batcher.try_submit(number);
    if (!submitted) co_return;
    const auto got = co_await *std::move(submitted);
    if (got) sum += static_cast<long>(*got);
#endif
}
#endif

}  // namespace

long in_another_unit() {
    long sum = 0;
    auto made = mb::batcher<std::int64_t>::create(mb::options{}.mode(mb::mode::manual), [](auto& batch) {
        for (auto& row : batch) static_cast<void>(row.try_set_result(*row.try_value() * 2));
    });
    if (!made) return -1;
#if defined(__cpp_impl_coroutine)
    add(*made, 1, sum);
    add(*made, 2, sum);
#else
    auto one = made->try_submit(1), two = made->try_submit(2);
    if (!one || !two) return -2;
#endif
    if (!made->try_flush().ok()) return -3;
#if defined(__cpp_lib_expected)
    const std::expected<std::uint64_t, mb::error> cancelled = made->try_cancel(99);
    if (cancelled || cancelled.error().code() != MB_ERR_NOT_FOUND) return -4;
#endif
#if !defined(__cpp_impl_coroutine)
    sum = static_cast<long>(*one->try_get() + *two->try_get());
#endif
    return sum;
}
