// Where results go: futures, callbacks, pulling; deadlines and cancel.
#include "kit.hpp"

#include <list>

namespace {

using Flow = Counting;

TEST_F(Flow, results_go_to_one_place) {
    mb::batcher<std::int64_t> told{timeless(), echo, mb::on_result([](const auto&) {})};
    EXPECT_EQ(told.try_submit(1).status(), MB_ERR_WRONG_MODE);
    EXPECT_EQ(told.submit_many(numbers{1})[0].try_get().status(), MB_ERR_WRONG_MODE);
    mb::batcher<std::int64_t> pulled{timeless().pull_results(), echo};
    EXPECT_EQ(pulled.try_submit(1).status(), MB_ERR_WRONG_MODE);
    mb::batcher<std::int64_t> counted_only{timeless().count_results(), echo};
    EXPECT_EQ(counted_only.try_submit(1).status(), MB_ERR_WRONG_MODE);
    EXPECT_EQ(counted_only.try_next_results().status(), MB_ERR_WRONG_MODE);
    mb::batcher<std::int64_t> futures{timeless(), echo};
    futures.push(5, 77);
    EXPECT_EQ(futures.try_next_results().status(), MB_ERR_WRONG_MODE);
    EXPECT_EQ(futures.try_next_batch().status(), MB_ERR_WRONG_MODE);
}

TEST_F(Flow, submit_many_gives_a_future_for_every_value) {
    mb::batcher<std::int64_t> batcher{
        timeless().on_full(mb::on_full::reject).queue_capacity(600).max_batch_size(600), echo};
    numbers values;
    for (int number = 0; number < 1000; ++number) values.push_back(number);
    auto futures = batcher.submit_many(values);
    ASSERT_EQ(futures.size(), 1000U);
    batcher.flush();
    for (std::size_t at = 0; at < 600; ++at) EXPECT_EQ(futures[at].get(), static_cast<std::int64_t>(at));
    for (std::size_t at = 600; at < 1000; ++at) {
        EXPECT_TRUE(futures[at].ready());
        const auto error = error_of([&] { static_cast<void>(futures[at].get()); });
        EXPECT_EQ(error.code(), MB_ERR_QUEUE_FULL);
        EXPECT_EQ(error.handled(), mb::handled::no);
    }
    auto listed = batcher.submit_many(std::list<std::int64_t>(500, 4));
    batcher.flush();
    for (auto& future : listed) EXPECT_EQ(future.get(), 4);
}

TEST_F(Flow, futures_are_waited_for) {
    door exit;
    mb::batcher<std::int64_t> batcher{mb::options{}, [&](auto& batch) {
                                          exit.wait();
                                          echo(batch);
                                      }};
    auto future = batcher.submit(3);
    EXPECT_FALSE(future.ready());
    EXPECT_TRUE(future.valid());
    EXPECT_FALSE(future.wait_for(1ms));
    EXPECT_EQ(future.try_get(0s).status(), MB_ERR_TIMEOUT);
    EXPECT_EQ(future.try_wait(-1s), MB_ERR_INVALID_ARGUMENT);
    EXPECT_TRUE(future.valid());
    exit.await_somebody();
    EXPECT_EQ(future.try_cancel(), MB_ERR_TOO_LATE);
    std::thread waiter([&] { EXPECT_EQ(future.get(), 3); });
    exit.open();
    waiter.join();
    EXPECT_FALSE(future.valid());
}

TEST_F(Flow, p20_deadlines_and_cancel) {
    mb::batcher<std::int64_t> batcher{timeless(), echo};
    auto dead = batcher.submit(1, mb::push_options{}.expires_in(10ns));
    auto alive = batcher.submit(2, mb::push_options{}.deadline(20ns));
    auto cancelled = batcher.submit(3);
    EXPECT_EQ(cancelled.try_cancel(), MB_OK);
    EXPECT_EQ(cancelled.try_cancel(), MB_ERR_NOT_FOUND) << "it waits for delivery only";
    batcher.advance(10ns);
    batcher.flush();
    EXPECT_EQ(error_of([&] { static_cast<void>(dead.get()); }).code(), MB_ERR_DEADLINE);
    EXPECT_EQ(alive.get(), 2);
    EXPECT_EQ(error_of([&] { static_cast<void>(cancelled.get()); }).code(), MB_ERR_CANCELLED);
    EXPECT_EQ(batcher.try_submit(1, mb::push_options{}.expires_in(-1ns)).status(), MB_ERR_INVALID_ARGUMENT);
    EXPECT_EQ(batcher.submit(1, mb::push_options{}.expires_in(mb::forever)).try_wait(), MB_ERR_IN_PROGRESS);
    auto never = batcher.submit(1, mb::push_options{}.expires_in(std::chrono::hours::max()));
    batcher.flush();
    EXPECT_EQ(never.get(), 1);
}

TEST_F(Flow, p19_on_result_sees_columns) {
    int sets = 0;
    mb::batcher<std::int64_t> batcher{timeless(),
                                      [](auto& batch) {
                                          echo(batch);
                                          if (batch.size() == 3) batch[1].fail(40, "the second", "kind");
                                      },
                                      mb::on_result([&](const auto& results) {
                                          ++sets;
                                          if (results.size() == 2) {
                                              EXPECT_TRUE(results.all_ok());
                                              EXPECT_EQ(results.kind(), mb::kind::int64);
                                              EXPECT_EQ(results.int64s()[1], 8);
                                              EXPECT_EQ(results.tags()[1], 71U);
                                              return;
                                          }
                                          EXPECT_EQ(results.batch(), 2U);
                                          EXPECT_FALSE(results.all_ok());
                                          EXPECT_TRUE(results.int64s().empty());
                                          EXPECT_EQ(results[0].value(), 1);
                                          EXPECT_EQ(results[0].error().code(), MB_ERR_NOT_FOUND);
                                          const auto row = results[1];
                                          EXPECT_EQ(row.outcome(), mb::outcome::failed);
                                          EXPECT_EQ(row.try_value().error().code(), 40);
                                          EXPECT_STREQ(row.error().type_name(), "kind");
                                          EXPECT_STREQ(row.error().name(), "USER_CODE");
                                          EXPECT_EQ(row.handled(), mb::handled::yes);
                                      })};
    batcher.push_many(numbers{7, 8}, 70);
    batcher.flush();
    batcher.push_many(numbers{1, 2, 3});
    batcher.flush();
    EXPECT_EQ(sets, 2);
}

TEST_F(Flow, p29_pulled_batches_and_results) {
    mb::batcher<std::int64_t> batcher{mb::options{}.max_batch_size(4).pull_results()};
    EXPECT_EQ(batcher.try_next_batch(0s).status(), MB_ERR_TIMEOUT);
    std::thread host([&] {
        for (;;) {
            auto batch = batcher.try_next_batch();
            if (!batch) {
                EXPECT_EQ(batch.status(), MB_ERR_CLOSED);
                return;
            }
            const auto in = batch->int64s();
            numbers out;
            for (const auto number : in) out.push_back(number * 2);
            batch->set_results(out);
            batch->complete();
        }
    });
    batcher.push_many(numbers(100, 21));
    std::size_t count = 0;
    while (count < 100) {
        const auto results = batcher.next_results();
        for (const auto number : results.int64s()) EXPECT_EQ(number, 42);
        count += results.size();
    }
    EXPECT_EQ(batcher.close(), 0U);
    host.join();
    EXPECT_EQ(batcher.try_next_results().status(), MB_ERR_CLOSED);
}

}  // namespace
