// Pushing: one by one and in bulk, columns, owned memory, producers, and refusals with their words.
#include "kit.hpp"

#include <array>
#include <list>

namespace {

using Flow = Counting;

TEST_F(Flow, p06_bulk_pushes_of_every_range) {
    ledger taken;
    mb::batcher<std::int64_t> batcher{timeless(), echo, taken.taker()};
    batcher.push_many(numbers{1, 2, 3}, 100);
    batcher.push_many(std::array<std::int64_t, 2>{4, 5}, std::vector<std::uint64_t>{7, 9});
    batcher.push_many(std::list<int>{6, 7}, 200);
    batcher.push_many(std::vector<short>{8}, 300);
    const std::int64_t plain[] = {9, 10};
    batcher.push_many(mb::span<const std::int64_t>(plain), 400);
    EXPECT_EQ(batcher.try_push_many(numbers{1, 2}, std::vector<std::uint64_t>{1}).status, MB_ERR_INVALID_ARGUMENT);
    EXPECT_EQ(batcher.try_push_many(numbers{}).status, MB_OK);
    batcher.flush();
    EXPECT_EQ(taken.ok[101], 2);
    EXPECT_EQ(taken.ok[9], 5);
    EXPECT_EQ(taken.ok[201], 7);
    EXPECT_EQ(taken.ok[300], 8);
    EXPECT_EQ(taken.ok[401], 10);
}

TEST_F(Flow, p06_a_bulk_push_takes_a_prefix) {
    const auto options = timeless().on_full(mb::on_full::reject).queue_capacity(5).max_batch_size(5).count_results();
    {
        mb::batcher<std::int64_t> batcher{options, echo};
        const auto answer = batcher.try_push_many(numbers(8, 1));
        EXPECT_EQ(answer.status, MB_ERR_QUEUE_FULL);
        EXPECT_EQ(answer.accepted, 5U);
    }
    mb::batcher<std::uint64_t> batcher{options, echo};
    const auto answer = batcher.try_push_many(std::vector<std::uint64_t>{1, 2, UINT64_MAX, 3});
    EXPECT_EQ(answer.status, MB_ERR_OUT_OF_RANGE);
    EXPECT_EQ(answer.accepted, 2U);
    const auto error = error_of([&] { batcher.push_many(std::vector<std::uint64_t>(9, 1)); });
    EXPECT_EQ(error.code(), MB_ERR_QUEUE_FULL);
    EXPECT_EQ(error.accepted(), 3U);
    EXPECT_TRUE(error.retriable());
}

TEST_F(Flow, p06_bulk_pushes_of_strings_values_and_objects) {
    std::vector<std::string> seen;
    mb::batcher<std::string> strings{timeless().max_batch_size(10'000).count_results(), [&](auto& batch) {
                                         for (auto& row : batch) seen.emplace_back(row.value());
                                         echo(batch);
                                     }};
    std::vector<std::string> many;
    for (int number = 0; number < 1000; ++number) many.push_back(std::to_string(number));
    strings.push_many(many);
    strings.push_many(std::vector<std::string_view>{"a view"});
    strings.flush();
    many.emplace_back("a view");
    EXPECT_EQ(seen, many);

    mb::batcher<> values{timeless(), echo};
    auto futures = values.submit_many(std::vector<mb::value>{1, "two", 3.0, nullptr, mb::object::make<counted>(4)});
    values.flush();
    EXPECT_EQ(*futures[0].get().as_int64(), 1);
    EXPECT_EQ(*futures[1].get().as_string(), "two");
    EXPECT_EQ(futures[4].get().as_object()->get<counted>()->value, 4);

    mb::batcher<counted, std::int64_t> objects{timeless(), [](auto& batch) {
                                                   for (auto& row : batch) row.set_result(row.value().value);
                                               }};
    auto numbered = objects.submit_many(std::vector<counted>(3, counted(8)));
    objects.flush();
    for (auto& future : numbered) EXPECT_EQ(future.get(), 8);
}

TEST_F(Flow, p06_arrow_shaped_columns) {
    std::vector<std::string> seen;
    mb::batcher<> batcher{timeless().count_results(), [&](auto& batch) {
                              for (auto& row : batch) {
                                  const auto text = row.value().as_string();
                                  seen.push_back(text ? std::string(*text) : "-");
                              }
                              echo(batch);
                          }};
    const std::int32_t offsets[] = {0, 1, 1, 3};
    const std::int64_t large[] = {0, 3};
    const std::uint8_t validity = 0b101;
    batcher.ref().push_strings("abc", offsets, 0, &validity);
    batcher.ref().push_large_strings("abc", large, 10);
    batcher.ref().push_int64s(numbers{1, 2, 3}, 0, &validity);
    const mb::value_view views[] = {1, "z", nullptr};
    batcher.ref().push_values(views, 0);
    EXPECT_EQ(error_of([&] { batcher.ref().push_large_strings("\xff\xff\xff", large, 5); }).code(), MB_ERR_INVALID_UTF8);
    batcher.flush();
    EXPECT_EQ(seen, (std::vector<std::string>{"a", "-", "bc", "abc", "-", "-", "-", "-", "z", "-"}));
}

TEST_F(Flow, p04_owned_pushes_keep_their_memory) {
    static int released;
    released = 0;
    std::string text = "not copied, and long enough to live on the heap";
    mb::batcher<std::string> batcher{timeless().count_results(), [&](auto& batch) {
                                         EXPECT_EQ(batch[0].value().data(), text.data());
                                         echo(batch);
                                     }};
    mb::push_options owned;
    owned.release([](void* count) { ++*static_cast<int*>(count); }, &released);
    batcher.push(text, 0, owned);
    EXPECT_EQ(released, 0);
    batcher.flush();
    EXPECT_EQ(released, 1);
    EXPECT_EQ(batcher.try_push("\xff", 0, owned), MB_ERR_INVALID_UTF8);
    EXPECT_EQ(released, 1);
    // For a whole range it runs once.
    const std::vector<std::string> many(700, text);
    mb::batcher<std::string> bulk{timeless().count_results(), echo};
    bulk.push_many(many, 0, owned);
    bulk.flush();
    EXPECT_EQ(released, 2);
}

TEST_F(Flow, producers_are_a_way_in_of_their_own) {
    ledger taken;
    mb::batcher<std::int64_t> batcher{mb::options{}, echo, taken.taker()};
    {
        auto one = batcher.make_producer(), two = batcher.make_producer();
        std::thread thread([&] {
            for (std::uint64_t tag = 0; tag < 1000; ++tag) one.push(static_cast<std::int64_t>(tag), tag);
        });
        for (std::uint64_t tag = 1000; tag < 2000; ++tag) two.push(static_cast<std::int64_t>(tag), tag);
        thread.join();
    }
    batcher.flush();
    EXPECT_EQ(taken.ok.size(), 2000U);

    mb::batcher<> any{mb::options{}, echo};
    auto producer = any.make_producer();
    EXPECT_EQ(*producer.submit("text").get().as_string(), "text");
    EXPECT_EQ(*producer.submit(mb::bytes{std::byte{1}}).get().as_bytes(), mb::bytes{std::byte{1}});
    EXPECT_EQ(*producer.submit(true).get().as_bool(), true);
    EXPECT_EQ(*producer.submit(1.5).get().as_float64(), 1.5);
    EXPECT_TRUE(producer.submit(nullptr).get().is_null());
    EXPECT_EQ(producer.submit(mb::object::make<counted>(1)).get().as_object()->get<counted>()->value, 1);
    EXPECT_EQ(producer.try_push("late", 0, mb::push_options{}.expires_in(1h)), MB_OK);
}

TEST_F(Flow, p35_a_refusal_says_why) {
    mb::batcher<std::string> batcher{timeless().max_batch_bytes(64), echo};
    const auto error = error_of([&] { batcher.push(std::string(100, 'x')); });
    EXPECT_EQ(error.code(), MB_ERR_TOO_LARGE);
    EXPECT_STREQ(error.name(), "TOO_LARGE");
    EXPECT_NE(error.message().find("64"), std::string_view::npos) << error.what();
    EXPECT_FALSE(error.retriable());
    EXPECT_EQ(batcher.try_check(std::string(100, 'x')).error().message(), error.message());
    EXPECT_TRUE(batcher.try_check("fine"));
    const auto submitted = batcher.try_submit(std::string(100, 'x'));
    EXPECT_EQ(submitted.error().message(), error.message());
}

}  // namespace
