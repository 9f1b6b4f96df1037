// P1: any C++ type travels by reference, and each reference is released exactly once, on every path.
#include "kit.hpp"

#include <memory>

namespace {

struct Objects : Counting {};

using order = counted;
mb::batcher<>* batcher_of_test = nullptr;

TEST_F(Objects, p01_the_same_object_arrives_and_nothing_is_copied) {
    mb::batcher<std::unique_ptr<order>, std::unique_ptr<order>> batcher{
        mb::options{}, [](auto& batch) {
            for (auto& row : batch) row.set_result(std::move(row.value()));
        }};
    auto sent = std::make_unique<order>(7);
    const auto* address = sent.get();
    auto back = batcher.submit(std::move(sent)).get();
    EXPECT_EQ(back.get(), address);
    EXPECT_EQ(order::copies, 0);
}

TEST_F(Objects, p01_moved_in_and_moved_out) {
    mb::batcher<order, order> batcher{mb::options{}, [](auto& batch) {
                                          for (auto& row : batch) {
                                              EXPECT_EQ(row.object(), nullptr) << "it is an order, and no mb::object";
                                              row.set_result(order(row.value().value + 1));
                                          }
                                      }};
    order mine(41);
    EXPECT_EQ(batcher.submit(std::move(mine)).get().value, 42);
    EXPECT_EQ(mine.value, -1) << "it was moved from";
    EXPECT_EQ(order::copies, 0);
    const order kept(1);
    EXPECT_EQ(batcher.submit(kept).get().value, 2);
    EXPECT_EQ(kept.value, 1);
    EXPECT_EQ(order::copies, 1) << "what is not given away is copied, once";
}

TEST_F(Objects, p04_a_refusal_consumes_nothing) {
    mb::batcher<order> batcher{timeless().on_full(mb::on_full::reject).queue_capacity(1).max_batch_size(1), echo};
    batcher.push(order(1));
    order mine(2);
    EXPECT_EQ(batcher.try_push(std::move(mine)), MB_ERR_QUEUE_FULL);
    EXPECT_EQ(mine.value, 2) << "it was moved back";
    EXPECT_FALSE(batcher.try_submit(std::move(mine)));
    EXPECT_EQ(mine.value, 2);
    batcher.close(0s);
    EXPECT_EQ(batcher.try_push(std::move(mine)), MB_ERR_CLOSED);
    EXPECT_EQ(mine.value, 2);
    EXPECT_EQ(order::alive, 1) << "what was refused is not kept";
}

TEST_F(Objects, p01_released_when_handled) {
    {
        mb::batcher<order, void> batcher{timeless(), [](auto& batch) {
                                             for (auto& row : batch) row.set_result();
                                         }};
        for (int number = 0; number < 1000; ++number) batcher.push(order(number));
        batcher.flush();
        EXPECT_EQ(order::alive, 0) << "after delivery";
    }
}

TEST_F(Objects, p01_released_when_only_counted) {
    mb::batcher<order> batcher{timeless().count_results(), echo};
    batcher.push(order(1));
    EXPECT_EQ(order::alive, 1);
    batcher.flush();
    EXPECT_EQ(order::alive, 0);
}

TEST_F(Objects, p01_released_when_cancelled) {
    mb::batcher<order> batcher{timeless(), echo};
    auto future = batcher.submit(order(1));
    batcher.push(order(2), 5);
    EXPECT_EQ(order::alive, 2);
    future.cancel();
    EXPECT_EQ(batcher.cancel(5), 1U);
    batcher.run();
    EXPECT_EQ(order::alive, 0);
    const auto error = error_of([&] { static_cast<void>(future.get()); });
    EXPECT_EQ(error.code(), MB_ERR_CANCELLED);
    EXPECT_EQ(error.handled(), mb::handled::no);
}

TEST_F(Objects, p01_released_when_discarded) {
    mb::batcher<order> batcher{timeless().on_full(mb::on_full::discard_oldest).queue_capacity(2).max_batch_size(2), echo};
    auto first = batcher.submit(order(1));
    auto second = batcher.submit(order(2)), third = batcher.submit(order(3));
    batcher.run();
    EXPECT_EQ(error_of([&] { static_cast<void>(first.get()); }).code(), MB_ERR_DISCARDED);
    EXPECT_EQ(second.get().value, 2);
    EXPECT_EQ(batcher.close(0s), 1U);
    EXPECT_EQ(error_of([&] { static_cast<void>(third.get()); }).code(), MB_ERR_DISCARDED);
}

TEST_F(Objects, p01_released_when_expired) {
    mb::batcher<order> batcher{timeless(), echo};
    auto future = batcher.submit(order(1), mb::push_options{}.expires_in(5ns));
    batcher.advance(5ns);
    batcher.run();
    EXPECT_EQ(order::alive, 0);
    EXPECT_EQ(error_of([&] { static_cast<void>(future.get()); }).code(), MB_ERR_DEADLINE);
}

TEST_F(Objects, p01_released_when_the_handler_hangs) {
    door exit;
    {
        mb::batcher<order> batcher{mb::options{}.handler_timeout(1ms), [&](auto& batch) {
                                       exit.wait();
                                       // Too late: the library gives back what it does not take.
                                       for (auto& row : batch)
                                           EXPECT_EQ(row.try_set_result(order(row.value().value)), MB_ERR_TOO_LATE);
                                   }};
        auto future = batcher.submit(order(1));
        EXPECT_EQ(error_of([&] { static_cast<void>(future.get()); }).code(), MB_ERR_HANDLER_TIMEOUT);
        EXPECT_EQ(order::alive, 1) << "the handler still sees it";
        exit.open();
    }
    EXPECT_EQ(order::alive, 0);
}

TEST_F(Objects, p01_released_when_the_handler_throws) {
    mb::batcher<order> batcher{mb::options{}, [](auto& batch) {
                                   for (auto& row : batch) row.set_result(order(9));
                                   throw std::runtime_error("after all results were set");
                               }};
    std::vector<mb::future<order>> futures;
    for (int number = 0; number < 100; ++number) futures.push_back(batcher.submit(order(number)));
    for (auto& future : futures) EXPECT_THROW(static_cast<void>(future.get()), std::runtime_error);
}

TEST_F(Objects, p01_results_are_released_when_replaced_failed_late_or_unread) {
    mb::held_batch<std::int64_t, order> held;
    {
        mb::batcher<std::int64_t, order> batcher{timeless().handler_timeout(10ns).max_in_flight(2), [&](auto& batch) {
                                                     if (batch.number() == 2) {
                                                         held = batch.keep();
                                                         return;
                                                     }
                                                     auto row = batch[0];
                                                     row.set_result(order(1));
                                                     row.set_result(order(2));
                                                     batch[1].set_result(order(3));
                                                     batch[1].fail(7, "after all");
                                                     batch[2].set_result(order(4));
                                                     batch[3].set_result(order(5));
                                                 }};
        auto first = batcher.submit(0), second = batcher.submit(1);
        auto unread = batcher.submit(2);
        static_cast<void>(batcher.submit(3));  // dropped at once
        batcher.flush();
        EXPECT_EQ(first.get().value, 2);
        EXPECT_EQ(error_of([&] { static_cast<void>(second.get()); }).code(), 7);

        auto late = batcher.submit(4);
        EXPECT_EQ(batcher.try_flush(), MB_ERR_IN_PROGRESS);
        batcher.advance(20ns);
        batcher.run();
        EXPECT_EQ(error_of([&] { static_cast<void>(late.get()); }).code(), MB_ERR_HANDLER_TIMEOUT);
        EXPECT_EQ(held[0].try_set_result(order(6)), MB_ERR_TOO_LATE);
        batcher.run();
    }
    // The batcher is gone, and with it whoever gives late references back.
    ASSERT_NE(held.handle(), nullptr);
    EXPECT_EQ(held[0].try_set_result(order(7)), MB_ERR_TOO_LATE);
    EXPECT_EQ(held[0].try_set_result(order(8)), MB_ERR_TOO_LATE);
    EXPECT_EQ(held.try_complete(), MB_ERR_TOO_LATE);
    const auto gone = held[0].try_set_result(order(9));
    EXPECT_TRUE(gone == MB_ERR_TOO_LATE || gone == MB_ERR_INVALID_HANDLE) << gone.name();
    held = {};
}

TEST_F(Objects, p01_released_when_the_batcher_goes_with_values_outstanding) {
    for (const bool abandoned : {false, true}) {
        mb::batcher<order> batcher{timeless(), echo};
        for (int number = 0; number < 10; ++number) batcher.push(order(number));
        EXPECT_EQ(abandoned ? batcher.abandon() : batcher.try_free(), MB_OK);
        EXPECT_EQ(order::alive, 0);
    }
}

TEST_F(Objects, p18_a_held_batch_keeps_its_objects_past_the_batcher) {
    mb::held_batch<order, order> held;
    mb::future<order> future;
    {
        mb::batcher<order> batcher{timeless(), [&](auto& batch) { held = batch.keep(); }};
        future = batcher.submit(order(5));
        static_cast<void>(batcher.try_flush());
        EXPECT_EQ(batcher.try_free(), MB_OK);
    }
    EXPECT_EQ(order::alive, 1);
    EXPECT_EQ(held[0].value().value, 5);
    held = {};
    EXPECT_EQ(order::alive, 0);
    EXPECT_EQ(error_of([&] { static_cast<void>(future.get()); }).code(), MB_ERR_DISCARDED);
}

TEST_F(Objects, p29_pulled_batches_and_results_release_theirs) {
    mb::batcher<order> batcher{timeless().pull_results()};
    for (int number = 0; number < 4; ++number) batcher.push(order(number), static_cast<std::uint64_t>(number));
    batcher.seal();
    {
        auto batch = batcher.next_batch(0s);
        for (auto& row : batch) row.set_result(order(row.value().value * 10));
        batch.complete();
    }
    {
        const auto results = batcher.next_results(0s);
        for (const auto& row : results) EXPECT_EQ(row.value().value, static_cast<int>(row.tag()) * 10);
        EXPECT_GT(order::alive, 0);
    }
    batcher.run();
    EXPECT_EQ(order::alive, 0);
    batcher.push(order(5));
    batcher.seal();
    { const auto unfinished = batcher.next_batch(0s); }
    { const auto unread = batcher.next_results(0s); }
}

TEST_F(Objects, a_value_shares_its_object) {
    mb::batcher<> batcher{timeless(), [&](auto& batch) {
                              // Seen, set as a result and pushed again: each time by a reference of its own.
                              for (auto& row : batch) {
                                  row.set_result(row.value());
                                  if (row.tag() == 1) batcher_of_test->push(row.value(), 2);
                              }
                          }};
    batcher_of_test = &batcher;
    auto shared = mb::object::make<order>(3);
    batcher.push(shared, 1);
    auto future = batcher.submit(shared);
    batcher.flush();
    batcher.flush();
    EXPECT_EQ(future.get().as_object()->get<order>(), shared.get<order>());
    EXPECT_EQ(order::alive, 1);
    shared = {};
    EXPECT_EQ(order::alive, 0);
}

TEST_F(Objects, p01_another_batchers_object_is_refused) {
    mb::batcher<> one{timeless(), [&](auto& batch) {
                          EXPECT_EQ(batcher_of_test->try_push(batch[0].value()), MB_ERR_WRONG_OWNER);
                          echo(batch);
                      }};
    mb::batcher<> other{timeless(), echo};
    batcher_of_test = &other;
    one.push(mb::object::make<order>(1));
    one.flush();
    mb::batcher<std::int64_t, mb::value> numbers{timeless(), echo};
    EXPECT_EQ(numbers.ref().try_push(mb::object_word{77, 1}, 0), MB_ERR_WRONG_OWNER);
}

TEST_F(Objects, words_of_ones_own_are_given_back) {
    std::uint32_t owner = 0;
    ASSERT_EQ(mb_owner_new(&owner), MB_OK);
    std::vector<std::uint64_t> released;
    {
        mb::batcher<> batcher{timeless(), echo,
                              mb::on_object_release(owner, [&](std::uint64_t word) { released.push_back(word); }),
                              mb::on_result([](const auto& results) {
                                  EXPECT_EQ(results[0].value().as_object()->word, 42U);
                              })};
        batcher.push(mb::object_word{owner, 42, 100});
        batcher.flush();
        EXPECT_EQ(released, (std::vector<std::uint64_t>{42, 42})) << "the value's reference and the result's";
    }
}

TEST_F(Objects, p08_a_declared_size_counts) {
    mb::batcher<order> batcher{timeless().max_batch_bytes(100), echo};
    EXPECT_EQ(batcher.try_push(order(1), 0, mb::push_options{}.size(92)), MB_OK);
    EXPECT_EQ(batcher.try_push(order(1), 0, mb::push_options{}.size(93)), MB_ERR_TOO_LARGE);
}

TEST_F(Objects, a_result_may_outlive_the_batcher) {
    mb::future<order> future;
    {
        mb::batcher<order> batcher{mb::options{}, [](auto& batch) {
                                       for (auto& row : batch) row.set_result(std::move(row.value()));
                                   }};
        future = batcher.submit(order(3));
    }
    EXPECT_EQ(future.get().value, 3);
    EXPECT_FALSE(future.valid());
}

}  // namespace
