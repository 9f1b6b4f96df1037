// P1 to P5: every kind goes in and comes out to the last bit, by every way; what does not fit is refused.
#include "kit.hpp"

#include <cmath>
#include <cstring>
#include <limits>

namespace {

std::uint64_t bits_of(double number) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &number, sizeof bits);
    return bits;
}

const double floats[] = {0.0,
                         -0.0,
                         1.0,
                         0.1,
                         std::numeric_limits<double>::denorm_min(),
                         std::numeric_limits<double>::min(),
                         std::numeric_limits<double>::max(),
                         std::numeric_limits<double>::lowest(),
                         std::numeric_limits<double>::infinity(),
                         -std::numeric_limits<double>::infinity(),
                         9007199254740993.0};
const std::int64_t integers[] = {0, 1, -1, INT64_MAX, INT64_MIN, 9007199254740993, -9007199254740993};
const std::string_view strings[] = {"", std::string_view("\0", 1), std::string_view("a\0b", 3), "h\u00e4",
                                    "\U0001F600 beyond the BMP", "\uFEFF", "\u2028"};

TEST(Values, p03_integers_round_trip) {
    mb::batcher<std::int64_t> batcher{mb::options{}, echo};
    for (const auto number : integers) EXPECT_EQ(batcher.submit(number).get(), number);
}

TEST(Values, p03_floats_round_trip_to_the_bit) {
    mb::batcher<double> batcher{mb::options{}, echo};
    for (const auto number : floats) EXPECT_EQ(bits_of(batcher.submit(number).get()), bits_of(number)) << number;
    EXPECT_TRUE(std::isnan(batcher.submit(std::nan("")).get()));
}

TEST(Values, p03_strings_round_trip) {
    mb::batcher<std::string> batcher{mb::options{}, echo};
    for (const auto text : strings) EXPECT_EQ(batcher.submit(text).get(), text);
    const std::string long_text(100'000, 'x');
    EXPECT_EQ(batcher.submit(long_text).get(), long_text);
}

TEST(Values, p03_bytes_round_trip) {
    mb::batcher<mb::bytes> batcher{mb::options{}, echo};
    mb::bytes all;
    for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<std::byte>(byte));
    EXPECT_EQ(batcher.submit(all).get(), all);
    EXPECT_EQ(batcher.submit(mb::bytes{}).get(), mb::bytes{});

    mb::batcher<std::vector<unsigned char>, std::vector<unsigned char>> plain{
        mb::options{}, [](auto& batch) {
            for (auto& row : batch) {
                const auto seen = row.value();
                const auto* begin = reinterpret_cast<const unsigned char*>(seen.data());
                row.set_result(std::vector<unsigned char>(begin, begin + seen.size()));
            }
        }};
    const std::vector<unsigned char> some{0, 255, 0x80};
    EXPECT_EQ(plain.submit(some).get(), some);
}

TEST(Values, p02_every_arithmetic_type_travels) {
    const auto check = [](auto number) {
        using T = decltype(number);
        mb::batcher<T> batcher{mb::options{}, [](auto& batch) {
                                   for (auto& row : batch) {
                                       const auto expected = std::is_same_v<T, bool>              ? mb::kind::boolean
                                                             : std::is_floating_point_v<T> ? mb::kind::float64
                                                                                           : mb::kind::int64;
                                       EXPECT_EQ(row.kind(), expected);
                                       row.set_result(row.value());
                                   }
                               }};
        EXPECT_EQ(batcher.submit(number).get(), number);
        EXPECT_EQ(batcher.submit(std::numeric_limits<T>::max()).get(), std::numeric_limits<T>::max());
        EXPECT_EQ(batcher.submit(std::numeric_limits<T>::lowest()).get(), std::numeric_limits<T>::lowest());
    };
    check(true);
    check('x');
    check(static_cast<signed char>(-1));
    check(static_cast<unsigned char>(1));
    check(static_cast<short>(-2));
    check(static_cast<unsigned short>(2));
    check(3);
    check(3U);
    check(4L);
    check(5LL);
    check(0.5F);
    check(0.5);
    enum class color { red = 7 };
    mb::batcher<color> colors{mb::options{}, echo};
    EXPECT_EQ(colors.submit(color::red).get(), color::red);
}

TEST(Values, p02_what_does_not_fit_is_refused) {
    mb::batcher<std::uint64_t> batcher{mb::options{}, echo};
    EXPECT_EQ(batcher.submit(std::uint64_t{INT64_MAX}).get(), std::uint64_t{INT64_MAX});
    EXPECT_EQ(batcher.try_push(std::uint64_t{INT64_MAX} + 1), MB_ERR_OUT_OF_RANGE);
    EXPECT_EQ(batcher.try_push(UINT64_MAX), MB_ERR_OUT_OF_RANGE);
    EXPECT_EQ(batcher.try_push(-1), MB_ERR_OUT_OF_RANGE) << "no unsigned number is negative";

    mb::batcher<std::int8_t> small{mb::options{}, echo};
    EXPECT_EQ(small.try_push(127), MB_OK);
    EXPECT_EQ(small.try_push(128), MB_ERR_OUT_OF_RANGE);
    EXPECT_EQ(small.try_push(-129), MB_ERR_OUT_OF_RANGE);

    mb::batcher<double> doubles{mb::options{}, echo};
    EXPECT_EQ(doubles.submit(7).get(), 7.0);
    EXPECT_EQ(doubles.try_push(INT64_MAX), MB_ERR_OUT_OF_RANGE) << "no double is this integer";
    EXPECT_EQ(doubles.try_push((std::int64_t{1} << 53) + 1), MB_ERR_OUT_OF_RANGE);

    mb::batcher<> any{mb::options{}, echo};
    EXPECT_EQ(any.try_push(UINT64_MAX), MB_ERR_OUT_OF_RANGE);
    const auto error = error_of([&] { any.push(UINT64_MAX); });
    EXPECT_EQ(error.code(), MB_ERR_OUT_OF_RANGE);
    EXPECT_STREQ(error.name(), "OUT_OF_RANGE");
    EXPECT_EQ(any.try_push(1.5L), MB_OK);
    if constexpr (sizeof(long double) > sizeof(double)) {
        EXPECT_EQ(any.try_push(1.0L + std::numeric_limits<long double>::epsilon()), MB_ERR_OUT_OF_RANGE);
    }

    // A result that is none of R's numbers is an error of the row, not another number.
    mb::batcher<std::int64_t, std::int8_t> narrow{mb::options{}, [](auto& batch) {
                                                      for (auto& row : batch) row.set_result(row.value());
                                                  }};
    EXPECT_EQ(narrow.submit(5).get(), 5);
    EXPECT_EQ(error_of([&] { static_cast<void>(narrow.submit(500).get()); }).code(), MB_ERR_OUT_OF_RANGE);
}

TEST(Values, p02_what_arrives_and_does_not_fit_is_refused) {
    // ref() takes what the type does not hold: so may other languages.
    std::vector<mb_status> codes;
    const auto note = [&](auto& batch) {
        for (auto& row : batch) codes.push_back(row.try_value().status().code());
    };
    mb::batcher<std::int8_t> small{timeless(), note};
    for (const int number : {127, 128, -128, -129}) small.ref().push(number, 0);
    small.flush();
    mb::batcher<std::uint64_t> positive{timeless(), note};
    positive.ref().push(-1, 0);
    positive.flush();
    mb::batcher<float> single{timeless(), note};
    for (const double number : {0.5, 0.1, std::nan(""), 1e300}) single.ref().push(number, 0);
    single.flush();
    EXPECT_EQ(codes, (std::vector<mb_status>{MB_OK, MB_ERR_OUT_OF_RANGE, MB_OK, MB_ERR_OUT_OF_RANGE, MB_ERR_OUT_OF_RANGE,
                                             MB_OK, MB_ERR_OUT_OF_RANGE, MB_OK, MB_ERR_OUT_OF_RANGE}));
}

TEST(Values, p03_invalid_utf8_is_refused_in_both_directions) {
    mb::batcher<std::string> batcher{mb::options{}, [](auto& batch) {
                                         for (auto& row : batch) row.set_result("\xff");
                                     }};
    for (const char* text : {"\xff", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
        EXPECT_EQ(batcher.try_push(text), MB_ERR_INVALID_UTF8);
        const auto refused = batcher.try_submit(text);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code(), MB_ERR_INVALID_UTF8);
        EXPECT_FALSE(refused.error().retriable());
    }
    EXPECT_EQ(error_of([&] { batcher.submit("fine").get(); }).code(), MB_ERR_INVALID_UTF8);
}

TEST(Values, a_batcher_of_any_kind) {
    mb::batcher<> batcher{mb::options{}, echo};
    EXPECT_TRUE(batcher.submit(nullptr).get().is_null());
    EXPECT_EQ(*batcher.submit(true).get().as_bool(), true);
    EXPECT_EQ(*batcher.submit(42).get().as_int64(), 42);
    EXPECT_EQ(bits_of(*batcher.submit(-0.0).get().as_float64()), bits_of(-0.0));
    EXPECT_EQ(*batcher.submit("text").get().as_string(), "text");
    EXPECT_EQ(batcher.submit(mb::bytes{std::byte{7}}).get().as_bytes()->size(), 1U);
    EXPECT_EQ(batcher.submit(1).get().kind(), mb::kind::int64);
    EXPECT_EQ(batcher.submit(1.0).get().kind(), mb::kind::float64) << "the kind is what the type says";
    EXPECT_EQ(batcher.submit(mb::value("owned")).get().kind(), mb::kind::string);

    // A C++ object among values of other kinds: the same one comes back.
    const auto shared = mb::object::make<std::string>("by reference");
    const auto back = batcher.submit(shared).get();
    ASSERT_NE(back.as_object(), nullptr);
    EXPECT_EQ(*back.as_object(), shared);
    EXPECT_EQ(back.as_object()->get<std::string>(), shared.get<std::string>());
    EXPECT_EQ(back.as_object()->get<int>(), nullptr) << "it is exactly of its type";
    EXPECT_EQ(*batcher.submit(mb::value(shared)).get().as_object(), shared);
}

TEST(Values, optionals_are_null_or_a_value) {
    mb::batcher<std::optional<std::int64_t>, std::optional<std::string>> batcher{
        mb::options{}, [](auto& batch) {
            for (auto& row : batch) {
                const auto seen = row.value();
                row.set_result(seen ? std::optional<std::string>(std::to_string(*seen)) : std::nullopt);
            }
        }};
    EXPECT_EQ(batcher.submit(std::nullopt).get(), std::nullopt);
    EXPECT_EQ(batcher.submit(7).get(), "7");
}

TEST(Values, a_result_of_nothing) {
    mb::batcher<std::int64_t, void> batcher{mb::options{}, [](auto& batch) {
                                                for (auto& row : batch) {
                                                    if (row.value() > 0) row.set_result();
                                                    else row.fail(3, "not positive");
                                                }
                                            }};
    batcher.submit(1).get();
    EXPECT_EQ(error_of([&] { batcher.submit(0).get(); }).code(), 3);
}

TEST(Values, p05_tags_and_times_are_seen_by_the_handler) {
    std::vector<std::uint64_t> seen;
    auto options = timeless().count_results();
    mb::batcher<std::int64_t> batcher{options, [&](auto& batch) {
                                          for (auto& row : batch) {
                                              seen.push_back(row.tag());
                                              EXPECT_EQ(row.deadline(), row.tag() == 3 ? 50ns : 0ns);
                                          }
                                          EXPECT_EQ(batch.age(), 7ns);
                                          EXPECT_EQ(batch.number(), 1U);
                                          EXPECT_EQ(batch.trigger(), mb::trigger::flush);
                                          EXPECT_EQ(batch.int64s().size(), 4U);
                                          EXPECT_TRUE(batch.float64s().empty());
                                          echo(batch);
                                      }};
    for (const auto tag : {UINT64_MAX, std::uint64_t{0}, std::uint64_t{0}}) batcher.push(1, tag);
    batcher.push(1, 3, mb::push_options{}.deadline(50ns));
    batcher.advance(7ns);
    batcher.flush();
    EXPECT_EQ(seen, (std::vector<std::uint64_t>{UINT64_MAX, 0, 0, 3}));
}

TEST(Values, a_value_of_another_kind_fails_its_row_only) {
    // ref() takes what the types do not: so may other languages.
    std::vector<mb_status> codes;
    mb::batcher<std::int64_t> batcher{timeless(),
                                      [&](auto& batch) {
                                          for (auto& row : batch) {
                                              const auto value = row.try_value();
                                              codes.push_back(value.status().code());
                                              if (value) row.set_result(*value);
                                          }
                                      },
                                      mb::on_result([](const auto&) {})};
    batcher.push(1, 0);
    batcher.ref().push("text", 1);
    batcher.ref().push(2.5, 2);
    batcher.flush();
    EXPECT_EQ(codes, (std::vector<mb_status>{MB_OK, MB_ERR_INVALID_ARGUMENT, MB_ERR_INVALID_ARGUMENT}));
}

}  // namespace
