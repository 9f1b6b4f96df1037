// P14: known data, handled in one call, in place.
#include "kit.hpp"

#include <numeric>

namespace {

struct Map : Counting {};

TEST_F(Map, p14_in_place_and_in_order) {
    std::vector<std::int64_t> values(10);
    std::iota(values.begin(), values.end(), 0);
    std::vector<std::size_t> sizes;
    const auto doubled = mb::map(values, mb::split::batches(3), [&](auto& batch) {
        EXPECT_EQ(batch.int64s().data(), &values[static_cast<std::size_t>(batch.tags()[0])]) << "nothing is copied";
        sizes.push_back(batch.size());
        for (auto& row : batch) row.set_result(row.value() * 2);
    });
    EXPECT_EQ(sizes, (std::vector<std::size_t>{4, 3, 3}));
    for (std::size_t at = 0; at < values.size(); ++at) EXPECT_EQ(doubled[at], 2 * values[at]);
}

TEST_F(Map, p14_every_type) {
    const auto lengths = mb::map<std::int64_t>(std::vector<std::string>{"a", "", "ccc"}, mb::split::size(2), [](auto& batch) {
        for (auto& row : batch) row.set_result(row.value().size());
    });
    EXPECT_EQ(lengths, (std::vector<std::int64_t>{1, 0, 3}));
    const auto texts = mb::map<std::string>(std::vector<double>{0.5, -0.0}, mb::split{}, [](auto& batch) {
        for (auto& row : batch) row.set_result(std::to_string(row.value()));
    });
    EXPECT_EQ(texts[0], "0.500000");
    const std::vector<mb::value> any{1, "two", nullptr, mb::object::make<counted>(3)};
    const auto back = mb::map(any, mb::split::size(2), echo);
    EXPECT_EQ(*back[1].as_string(), "two");
    EXPECT_EQ(*back[3].as_object(), *any[3].as_object());
    const mb::value_view views[] = {1, 2.5};
    EXPECT_EQ(*mb::map(mb::span<const mb::value_view>(views), mb::split{}, echo)[1].as_float64(), 2.5);
    EXPECT_TRUE(mb::map(std::vector<std::int64_t>{}, mb::split{}, echo).empty());
}

TEST_F(Map, p14_objects_stay_in_the_array) {
    std::vector<counted> values(3);
    const auto results = mb::map<counted>(values, mb::split::size(2), [&](auto& batch) {
        for (auto& row : batch) {
            EXPECT_EQ(&row.value(), &values[row.tag()]);
            row.value().value = 7;
            row.set_result(counted(static_cast<int>(row.tag())));
        }
    });
    EXPECT_EQ(counted::copies, 0);
    EXPECT_EQ(values[2].value, 7);
    EXPECT_EQ(results[2].value, 2);
}

TEST_F(Map, p14_one_error_carries_all_failures) {
    std::vector<std::int64_t> values{1, 2, 3, 4, 5};
    try {
        mb::map<counted>(values, mb::split::size(2), [](auto& batch) {
            for (auto& row : batch) row.set_result(counted(1));
            if (batch.number() == 2) throw std::domain_error("the second part");
            if (batch.number() == 3) batch[0].fail(7, "the last value");
        });
        FAIL() << "nothing was thrown";
    } catch (const mb::map_error& error) {
        ASSERT_EQ(error.failures().size(), 3U);
        EXPECT_EQ(error.failures()[0].row, 2U);
        EXPECT_EQ(error.failures()[1].row, 3U);
        EXPECT_THROW(std::rethrow_exception(error.failures()[1].why.cause()), std::domain_error);
        EXPECT_EQ(error.failures()[2].why.code(), 7);
        EXPECT_EQ(error.failures()[2].why.cause(), nullptr);
        EXPECT_EQ(error.code(), MB_ERR_HANDLER_FAILED);
        EXPECT_EQ(error.message(), "the second part");
    }
    const auto all = mb::try_map(values, mb::split::size(2), [](auto& batch) {
        if (batch.number() != 2) echo(batch);
    });
    ASSERT_TRUE(all);
    EXPECT_EQ((*all)[0].value(), 1);
    EXPECT_EQ((*all)[2].error().code(), MB_ERR_NO_RESULT);
}

TEST_F(Map, p14_bad_input_is_refused) {
    EXPECT_EQ(mb::try_map(std::vector<std::uint64_t>{1, UINT64_MAX}, mb::split{}, echo).status(), MB_ERR_OUT_OF_RANGE);
    EXPECT_EQ(mb::try_map(std::vector<std::string>{"\xff"}, mb::split{}, echo).status(), MB_ERR_INVALID_UTF8);
    const auto kept = mb::try_map(std::vector<std::int64_t>{1}, mb::split{}, [](auto& batch) {
        EXPECT_EQ(batch.try_keep().status(), MB_ERR_WRONG_MODE);
        echo(batch);
    });
    EXPECT_EQ((*kept)[0].value(), 1);
}

}  // namespace
