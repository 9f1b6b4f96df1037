// Options, stats and errors.
#include "kit.hpp"

#include <cstring>
#include <set>

namespace {

using Flow = Counting;

TEST_F(Flow, p36_every_option_has_a_setter_that_sets_its_field) {
    // One setter after another, each with a value of its own; then every field of the library's table must be set.
    mb::options all;
    all.mode(mb::mode::manual).threads(2).max_in_flight(3).on_full(mb::on_full::reject).delivery(mb::delivery::ordered);
    all.clock(mb::clock::given).pull_results().owner(4).max_batch_size(5).max_batch_bytes(6).queue_capacity(7);
    all.queue_bytes(8).result_capacity(9).max_delay(10us).push_timeout(11ms).handler_timeout(12s).close_timeout(13min);
    all.drain_at_exit(14h).delay_spin(15us);
    std::set<std::uint64_t> values;
    const auto* bytes = reinterpret_cast<const unsigned char*>(&all.raw());
    for (const auto& option : mb::option_table()) {
        std::uint64_t value = 0;
        std::memcpy(&value, bytes + option.offset, option.width);
        EXPECT_NE(value, 0U) << option.name << " has no setter";
    }
    EXPECT_EQ(all.raw().max_delay, 10 * MB_US);
    EXPECT_EQ(all.raw().drain_at_exit, 14 * 3600 * MB_S);
    EXPECT_EQ(all.raw().delay_spin, 15 * MB_US);
    EXPECT_EQ(mb::options{}.max_delay(mb::forever).raw().max_delay, MB_FOREVER);
    EXPECT_EQ(mb::options{}.max_delay(std::chrono::duration<double>(0.5)).raw().max_delay, MB_S / 2);
    EXPECT_EQ(mb::options{}.max_delay(std::chrono::hours::max()).raw().max_delay, MB_FOREVER);
}

TEST_F(Flow, p36_options_by_name_and_their_errors) {
    mb::options options;
    options.set("max_delay", "2ms").set("on_full", "reject").set("max_batch_bytes", "1MiB");
    EXPECT_EQ(options.raw().max_delay, 2 * MB_MS);
    const auto error = error_of([&] { options.set("max_dealy", "2ms"); });
    EXPECT_EQ(error.code(), MB_ERR_INVALID_OPTION);
    EXPECT_NE(error.message().find("max_dealy"), std::string_view::npos) << error.what();
    const auto made = mb::batcher<>::create(mb::options{}.max_delay(-1s), echo);
    ASSERT_FALSE(made);
    EXPECT_STREQ(made.error().subject(), "max_delay");
    EXPECT_THROW((mb::batcher<>{mb::options{}.threads(100'000), echo}), mb::error);
}

TEST_F(Flow, p38_stats_are_typed_and_printed) {
    mb::batcher<std::int64_t> batcher{timeless().max_batch_size(2).queue_capacity(4).on_full(mb::on_full::reject), echo};
    batcher.push_many(numbers(4, 1));
    EXPECT_EQ(batcher.try_push(5), MB_ERR_QUEUE_FULL);
    batcher.flush();
    const auto stats = batcher.stats();
    EXPECT_EQ(stats.accepted, 4U);
    EXPECT_EQ(stats.ok, 4U);
    EXPECT_EQ(stats.sealed_by(mb::trigger::size), 2U);
    EXPECT_EQ(stats.refused(MB_ERR_QUEUE_FULL), 1U);
    EXPECT_EQ(stats.refused(-1000), 0U);
    EXPECT_EQ(stats.batch_size.max, 2U);
    const auto text = batcher.stats_text();
    EXPECT_NE(text.find("accepted"), std::string::npos);
    EXPECT_EQ(text.find('\0'), std::string::npos);
    EXPECT_EQ(text.back(), '\n');
}

TEST_F(Flow, errors_are_values) {
    const mb::error original(5, std::string_view("with\0nul", 8), "type");
    const mb::error copy = original;
    EXPECT_EQ(copy.message(), std::string_view("with\0nul", 8));
    EXPECT_EQ(copy.message().data(), original.message().data()) << "copies share their words";
    EXPECT_STREQ(copy.name(), "USER_CODE");
    EXPECT_FALSE(copy.retriable());
    EXPECT_EQ(copy.cause(), nullptr);
    EXPECT_TRUE(mb::status(MB_ERR_QUEUE_FULL).retriable());
    EXPECT_FALSE(mb::status(MB_ERR_TOO_LARGE).retriable());
    mb::expected<int> number = 3;
    EXPECT_EQ(number.value(), 3);
    EXPECT_EQ(std::move(number).value_or(4), 3);
    mb::expected<int> none = original;
    EXPECT_THROW(static_cast<void>(none.value()), mb::error);
    EXPECT_EQ(std::move(none).value_or(4), 4);
}

}  // namespace
