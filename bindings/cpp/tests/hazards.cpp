// What goes wrong in C++, by name: objects that were moved from, destruction at bad moments, threads that end where they
// should not.
#include "kit.hpp"

#include <future>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using Hazards = Counting;

mb::batcher<std::int64_t>*& batcher_of_test() {
    static mb::batcher<std::int64_t>* here = nullptr;
    return here;
}

TEST_F(Hazards, moved_from_objects_answer_and_do_nothing) {
    mb::batcher<std::int64_t> first{timeless(), echo};
    auto future = first.submit(1);
    auto producer = first.make_producer();
    auto second = std::move(first);
    EXPECT_EQ(first.try_push(1), MB_ERR_INVALID_HANDLE);
    EXPECT_EQ(first.try_seal(), MB_ERR_INVALID_HANDLE);
    EXPECT_EQ(first.try_close().status, MB_ERR_INVALID_HANDLE);
    EXPECT_EQ(first.try_submit(1).status(), MB_ERR_WRONG_MODE);
    EXPECT_FALSE(first.try_producer());
    EXPECT_EQ(first.try_stats().status(), MB_ERR_INVALID_HANDLE);
    EXPECT_EQ(first.try_free(), MB_OK) << "nothing is free already";

    auto moved_producer = std::move(producer);
    EXPECT_EQ(producer.try_push(1), MB_ERR_INVALID_HANDLE);
    EXPECT_EQ(moved_producer.try_push(2), MB_OK);

    auto moved_future = std::move(future);
    EXPECT_FALSE(future.valid());
    EXPECT_EQ(future.try_wait(), MB_ERR_INVALID_HANDLE);
    EXPECT_EQ(future.try_get().status(), MB_ERR_INVALID_HANDLE);
    EXPECT_EQ(future.try_cancel(), MB_ERR_INVALID_HANDLE);
    second.flush();
    EXPECT_EQ(moved_future.get(), 1);
    EXPECT_EQ(error_of([&] { static_cast<void>(moved_future.get()); }).code(), MB_ERR_INVALID_HANDLE);

    // Assigned over, the old one ends as if destroyed.
    auto outstanding = second.submit(3);
    second = mb::batcher<std::int64_t>{timeless(), echo};
    EXPECT_EQ(outstanding.get(), 3) << "it was drained";
    EXPECT_EQ(moved_producer.try_push(4), MB_ERR_CLOSED);
    second.push(1);
    moved_future = mb::future<std::int64_t>{};

    mb::batcher<std::int64_t> pulled{timeless().pull_results()};
    pulled.push(1);
    pulled.seal();
    auto batch = pulled.next_batch(0s);
    auto moved_batch = std::move(batch);
    EXPECT_EQ(batch.size(), 0U);
    EXPECT_EQ(batch.try_complete(), MB_ERR_INVALID_HANDLE);
    EXPECT_EQ(moved_batch.try_complete_ok(), MB_OK);
    EXPECT_EQ(moved_batch.try_complete(), MB_ERR_TOO_LATE);
    auto results = pulled.next_results(0s);
    auto moved_results = std::move(results);
    EXPECT_EQ(results.size(), 0U);
    EXPECT_EQ(moved_results.size(), 1U);
    moved_results = std::move(results);
}

TEST_F(Hazards, p24_destroyed_with_values_outstanding_it_drains) {
    std::vector<mb::future<std::int64_t>> futures;
    {
        mb::batcher<std::int64_t> batcher{mb::options{}.max_delay(mb::forever), echo};
        for (int number = 0; number < 1000; ++number) futures.push_back(batcher.submit(number));
    }
    std::int64_t expected = 0;
    for (auto& future : futures) EXPECT_EQ(future.get(), expected++);
}

TEST_F(Hazards, p24_destroyed_it_drains_no_longer_than_close_timeout) {
    door exit;
    mb::future<std::int64_t> stuck, waiting;
    std::thread opener;
    {
        mb::batcher<std::int64_t> batcher{mb::options{}.close_timeout(1ms), [&](auto&) { exit.wait(); }};
        stuck = batcher.submit(1);
        exit.await_somebody();
        waiting = batcher.submit(2);
        opener = std::thread([&] {
            // The destructor has discarded both before the handler returns.
            static_cast<void>(stuck.try_wait());
            exit.open();
        });
    }
    opener.join();
    EXPECT_EQ(error_of([&] { static_cast<void>(stuck.get()); }).code(), MB_ERR_DISCARDED);
    const auto error = error_of([&] { static_cast<void>(waiting.get()); });
    EXPECT_EQ(error.code(), MB_ERR_DISCARDED);
    EXPECT_EQ(error.handled(), mb::handled::no);
}

TEST_F(Hazards, p25_self_destruction_in_a_handler) {
    // Destroyed by itself, but not while another thread is in a call with it.
    std::promise<void> submitted;
    auto* batcher = new mb::batcher<std::int64_t>{mb::options{}, [&](auto& batch) {
                                                      submitted.get_future().wait();
                                                      delete std::exchange(batcher_of_test(), nullptr);
                                                      echo(batch);
                                                  }};
    batcher_of_test() = batcher;
    auto future = batcher->submit(1);
    submitted.set_value();
    const auto got = future.try_get();
    // Closing with its handler at work it waits for nobody: the value is discarded, or was answered in time.
    if (!got) {
        EXPECT_EQ(got.error().code(), MB_ERR_DISCARDED);
    }
    EXPECT_EQ(batcher_of_test(), nullptr);
}

TEST_F(Hazards, p25_self_destruction_in_on_result_and_in_manual_mode) {
    for (const auto mode : {mb::mode::threaded, mb::mode::manual}) {
        std::promise<void> pushed, gone;
        auto* batcher = new mb::batcher<std::int64_t>{mb::options{}.mode(mode), echo, mb::on_result([&](const auto& results) {
                                                          pushed.get_future().wait();
                                                          EXPECT_EQ(results.size(), 1U);
                                                          delete std::exchange(batcher_of_test(), nullptr);
                                                          EXPECT_EQ(results[0].value(), 7);
                                                          gone.set_value();
                                                      })};
        batcher_of_test() = batcher;
        batcher->push(7);
        pushed.set_value();
        if (mode == mb::mode::manual) static_cast<void>(batcher->try_flush());
        gone.get_future().wait();
    }
}

TEST_F(Hazards, p25_self_destruction_when_an_object_is_released) {
    struct last {
        std::unique_ptr<mb::batcher<std::unique_ptr<last>, void>> holds;
        counted witness;
    };
    auto batcher = std::make_unique<mb::batcher<std::unique_ptr<last>, void>>(timeless(), [](auto& batch) {
        for (auto& row : batch) row.set_result();
    });
    auto& ref = *batcher;
    auto value = std::make_unique<last>();
    value->holds = std::move(batcher);
    ref.push(std::move(value));
    // The object owns the batcher that holds it: both go when it is released, inside this call.
    static_cast<void>(ref.ref().try_flush());
}

TEST_F(Hazards, p25_waiting_for_ones_own_future_in_a_callback_is_refused) {
    mb::batcher<std::int64_t> batcher{mb::options{}, [](auto& batch) {
                                          auto* self = batcher_of_test();
                                          if (batch[0].value() == 1) {
                                              auto inner = self->submit(2);
                                              EXPECT_EQ(inner.try_wait(), MB_ERR_REENTRANT);
                                              EXPECT_EQ(error_of([&] { inner.get(); }).code(), MB_ERR_REENTRANT);
                                              EXPECT_TRUE(inner.valid());
                                              EXPECT_EQ(self->try_flush(), MB_ERR_REENTRANT);
                                              EXPECT_EQ(self->try_push(3), MB_OK);
                                          }
                                          echo(batch);
                                      }};
    batcher_of_test() = &batcher;
    EXPECT_EQ(batcher.submit(1).get(), 1);
    batcher.flush();
}

TEST_F(Hazards, p27_a_manual_batchers_future_runs_it_and_never_waits) {
    mb::batcher<std::int64_t> batcher{timeless().max_delay(5ms), echo};
    auto future = batcher.submit(1);
    EXPECT_EQ(future.try_wait(), MB_ERR_IN_PROGRESS);
    batcher.advance(5ms);
    EXPECT_EQ(future.get(), 1);
}

TEST_F(Hazards, p32_a_thread_that_ends_inside_a_handler_fails_what_it_held) {
    std::atomic<bool> unwound{false};
    {
        mb::batcher<std::int64_t> batcher{mb::options{}.threads(2), [&](auto& batch) {
                                              struct guard {
                                                  std::atomic<bool>& flag;
                                                  ~guard() { flag = true; }
                                              } const guarded{unwound};
                                              if (batch[0].value() == 1) pthread_exit(nullptr);
                                              echo(batch);
                                          }};
        auto ended = batcher.submit(1);
        EXPECT_EQ(error_of([&] { ended.get(); }).code(), MB_ERR_THREAD_ENDED);
        EXPECT_EQ(batcher.submit(2).get(), 2);
    }
    EXPECT_TRUE(unwound) << "the handler's own objects were destroyed";
}

TEST_F(Hazards, p31_a_child_process_is_told_and_may_go) {
    mb::batcher<std::int64_t> batcher{mb::options{}.max_delay(mb::forever), echo};
    auto future = batcher.submit(1);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        const bool told = batcher.try_push(2) == MB_ERR_FORKED && future.try_wait() == MB_ERR_FORKED;
        { const auto gone = std::move(batcher); }
        _exit(told ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    batcher.flush();
    EXPECT_EQ(future.get(), 1) << "the parent notices nothing";
}

TEST_F(Hazards, futures_are_dropped_before_and_after_their_results) {
    mb::batcher<std::int64_t, counted> batcher{timeless(), [](auto& batch) {
                                                   for (auto& row : batch) row.set_result(counted(1));
                                               }};
    for (int number = 0; number < 300; ++number) static_cast<void>(batcher.submit(number));
    std::vector<mb::future<counted>> kept;
    for (int number = 0; number < 300; ++number) kept.push_back(batcher.submit(number));
    batcher.flush();
    kept.resize(150);
    for (auto& future : kept) EXPECT_EQ(future.get().value, 1);
}

TEST_F(Hazards, tags_that_somebody_made_up_reach_no_future) {
    // What other languages push into a batcher with futures has any tags.
    mb::batcher<std::int64_t> batcher{timeless(), echo};
    auto future = batcher.submit(1);
    const auto ref = batcher.ref();
    for (std::uint64_t tag : {std::uint64_t{1} << 63, UINT64_MAX, (std::uint64_t{1} << 63) + 1, std::uint64_t{0},
                              (std::uint64_t{1} << 63) + 0xFFFFFFFF, (std::uint64_t{1} << 63) + (std::uint64_t{1} << 32)})
        ref.push(99, tag);
    for (std::uint64_t bit = 0; bit < 63; ++bit) ref.push(99, (std::uint64_t{1} << 63) | (std::uint64_t{1} << bit));
    batcher.flush();
    EXPECT_EQ(future.get(), 1);
    // Not even the tag that a free slot will have next.
    std::vector<std::uint64_t> tags;
    mb::batcher<std::int64_t> told{timeless(), [&](auto& batch) {
                                       for (auto& row : batch) tags.push_back(row.tag());
                                       echo(batch);
                                   }};
    auto known = told.submit(5);
    told.flush();
    EXPECT_EQ(known.get(), 5);
    told.ref().push(99, tags.at(0) + (std::uint64_t{1} << 32));
    told.flush();
    auto next = told.submit(6);
    EXPECT_FALSE(next.ready()) << "its slot is the one that was free";
    told.flush();
    EXPECT_EQ(next.get(), 6);
    EXPECT_EQ(tags.at(2), tags.at(1));
    // Slots go on as before.
    for (int round = 0; round < 3; ++round) {
        std::vector<mb::future<std::int64_t>> many;
        for (int number = 0; number < 200; ++number) many.push_back(batcher.submit(number));
        batcher.flush();
        for (int number = 0; number < 200; ++number) EXPECT_EQ(many[static_cast<std::size_t>(number)].get(), number);
    }
}

TEST_F(Hazards, nothing_is_called_when_no_batcher_was_made) {
    int released = 0;
    const auto witness = std::make_shared<counted>();
    const auto made = mb::batcher<std::int64_t>::create(
        mb::options{}.queue_capacity(1).max_batch_size(2), [witness](auto&) {}, mb::on_result([witness](const auto&) {}),
        mb::native_handler_for(
            mb::kind::string, [](void*, mb_batch*, const mb_api*) -> mb_status { return 1; }, &released,
            [](void* count) { ++*static_cast<int*>(count); }));
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code(), MB_ERR_INVALID_OPTION);
    EXPECT_NE(made.error().message().find("max_batch_size"), std::string_view::npos) << made.error().what();
    EXPECT_EQ(released, 0) << "it is the caller's as before";
    EXPECT_EQ(witness.use_count(), 1) << "the lambdas are gone";
}

}  // namespace
