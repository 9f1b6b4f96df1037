// C++20: a coroutine awaits its result, and goes on where it was told to.
#include "kit.hpp"

#include <coroutine>
#include <deque>
#include <future>
#include <span>

namespace {

struct Coroutines : Counting {};

// A coroutine that runs by itself and tells how it ended.
struct task {
    struct promise_type {
        std::promise<std::int64_t> done;
        task get_return_object() { return {done.get_future()}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_value(std::int64_t value) { done.set_value(value); }
        void unhandled_exception() { done.set_exception(std::current_exception()); }
    };
    std::future<std::int64_t> done;
};

TEST_F(Coroutines, a_result_is_awaited) {
    mb::batcher<std::int64_t> batcher{mb::options{}, echo};
    const auto sum = [](auto& of) -> task {
        std::int64_t total = 0;
        for (std::int64_t number = 1; number <= 100; ++number) total += co_await of.submit(number);
        co_return total;
    };
    std::vector<task> tasks;
    for (int at = 0; at < 10; ++at) tasks.push_back(sum(batcher));
    for (auto& each : tasks) EXPECT_EQ(each.done.get(), 5050);
}

TEST_F(Coroutines, what_the_handler_throws_comes_out_of_co_await) {
    mb::batcher<std::int64_t> batcher{mb::options{}, [](auto& batch) {
                                          if (batch[0].value() == 1) throw std::domain_error("awaited");
                                          batch[0].fail(7, "failed");
                                      }};
    const auto one = [](auto& of, std::int64_t number) -> task { co_return co_await of.submit(number); };
    EXPECT_THROW(one(batcher, 1).done.get(), std::domain_error);
    try {
        one(batcher, 2).done.get();
        FAIL();
    } catch (const mb::error& error) {
        EXPECT_EQ(error.code(), 7);
    }
    batcher.close();
    EXPECT_THROW(one(batcher, 3).done.get(), mb::error) << "a refusal is thrown at once";
}

TEST_F(Coroutines, coroutines_go_on_where_they_are_told_to) {
    std::mutex mutex;
    std::deque<mb::resumption> posted;
    mb::batcher<std::int64_t> batcher{timeless(), echo, mb::resume_with([&](mb::resumption coroutine) {
                                          const std::lock_guard<std::mutex> lock(mutex);
                                          posted.push_back(coroutine);
                                      })};
    const auto one = [](auto& of) -> task { co_return co_await of.submit(5); };
    auto running = one(batcher);
    batcher.flush();
    EXPECT_EQ(running.done.wait_for(0s), std::future_status::timeout);
    ASSERT_EQ(posted.size(), 1U);
    posted.front()();
    EXPECT_EQ(running.done.get(), 5);
}

TEST_F(Coroutines, a_ready_result_is_not_waited_for) {
    mb::batcher<std::int64_t> batcher{timeless(), echo};
    auto future = batcher.submit(3);
    batcher.flush();
    const auto one = [](auto of) -> task { co_return co_await std::move(of); };
    EXPECT_EQ(one(std::move(future)).done.get(), 3);
}

TEST_F(Coroutines, throw_in_a_coroutine_is_logged_and_the_others_go_on) {
    struct careless {
        struct promise_type {
            careless get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
            std::suspend_never initial_suspend() noexcept { return {}; }
            std::suspend_never final_suspend() noexcept { return {}; }
            void return_void() noexcept {}
            void unhandled_exception() { throw; }
        };
        // What throws here stays where it was, at its end.
        std::coroutine_handle<> frame;
    };
    std::string logged;
    mb::batcher<std::int64_t> batcher{timeless(), echo, mb::on_log([&](int, std::string_view line) { logged = line; })};
    const auto bad = [](auto& of) -> careless {
        co_await of.submit(1);
        throw std::runtime_error("nobody catches it");
    };
    const auto good = [](auto& of) -> task { co_return co_await of.submit(2); };
    const careless thrown = bad(batcher);
    auto after = good(batcher);
    batcher.flush();
    EXPECT_EQ(after.done.get(), 2);
    EXPECT_EQ(logged, "a coroutine threw std::runtime_error: nobody catches it");
    thrown.frame.destroy();
}

TEST_F(Coroutines, standard_spans_are_ranges_too) {
    mb::batcher<std::int64_t> batcher{timeless(), [](auto& batch) {
                                          const std::span<const std::int64_t> values = batch.int64s();
                                          batch.set_results(values);
                                      }};
    const std::int64_t plain[] = {9, 10};
    const std::span<const std::int64_t> standard(plain);
    batcher.push_many(standard);
    auto futures = batcher.submit_many(standard);
    batcher.flush();
    EXPECT_EQ(futures[1].get(), 10);
}

TEST_F(Coroutines, objects_are_moved_through) {
    mb::batcher<counted> batcher{mb::options{}, [](auto& batch) {
                                     for (auto& row : batch) row.set_result(std::move(row.value()));
                                 }};
    const auto one = [](auto& of) -> task {
        const auto got = co_await of.submit(counted(9));
        co_return got.value;
    };
    EXPECT_EQ(one(batcher).done.get(), 9);
    EXPECT_EQ(counted::copies, 0);
}

}  // namespace
