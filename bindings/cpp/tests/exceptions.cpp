// Exceptions out of every callback: each fails its part with the object thrown, or is logged.
#include "kit.hpp"

#include <functional>
#include <map>

namespace {

using Hazards = Counting;

struct sql_error : std::runtime_error {
    sql_error(int of, const std::string& text) : std::runtime_error(text), code(of) {}
    int code;
};

TEST_F(Hazards, p17_throw_in_a_handler_fails_its_part_with_the_object_thrown) {
    mb::batcher<std::int64_t> batcher{mb::options{}.max_batch_size(4), [](auto& batch) {
                                          for (auto& row : batch) row.set_result(row.value());
                                          if (batch[0].value() < 0) throw sql_error(19, "constraint failed");
                                      }};
    auto bad = batcher.submit(-1);
    try {
        static_cast<void>(bad.get());
        FAIL() << "nothing was thrown";
    } catch (const sql_error& error) {
        EXPECT_EQ(error.code, 19);
        EXPECT_STREQ(error.what(), "constraint failed");
    }
    // The batcher goes on.
    EXPECT_EQ(batcher.submit(5).get(), 5);

    // Without throwing: code, words, type, and the exception beside them.
    auto again = batcher.submit(-2);
    const auto got = again.try_get();
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code(), MB_ERR_HANDLER_FAILED);
    EXPECT_EQ(got.error().message(), "constraint failed");
    EXPECT_NE(std::string(got.error().type_name()).find("sql_error"), std::string::npos) << got.error().type_name();
    EXPECT_EQ(got.error().handled(), mb::handled::yes);
    EXPECT_THROW(std::rethrow_exception(got.error().cause()), sql_error);
}

TEST_F(Hazards, p17_whatever_is_thrown_becomes_words) {
    std::function<void()> raise;
    mb::batcher<std::int64_t> batcher{timeless(), [&](auto&) { raise(); }};
    const auto failure = [&](std::function<void()> what) {
        raise = std::move(what);
        auto future = batcher.submit(1);
        batcher.flush();
        auto got = future.try_get();
        EXPECT_FALSE(got);
        return got.error();
    };
    EXPECT_EQ(failure([] { throw std::string("a string"); }).message(), "a string");
    EXPECT_EQ(failure([] { throw "a literal"; }).message(), "a literal");
    const auto number = failure([] { throw 42; });
    EXPECT_STREQ(number.type_name(), "int");
    EXPECT_EQ(number.code(), MB_ERR_HANDLER_FAILED);
    EXPECT_EQ(failure([] { throw std::bad_alloc(); }).code(), MB_ERR_HANDLER_FAILED);
    // One's own codes travel as they are, and so do the library's.
    const auto coded = failure([] { throw mb::error(1234, "with a code", "my kind"); });
    EXPECT_EQ(coded.code(), 1234);
    EXPECT_STREQ(coded.type_name(), "my kind");
    EXPECT_EQ(failure([] { throw mb::error(0, "zero is no failure"); }).code(), MB_ERR_HANDLER_FAILED);
    // An exception's text can be anything.
    EXPECT_EQ(failure([] { throw std::runtime_error("caf\xe9"); }).message(), "caf?");
    EXPECT_EQ(failure([] { throw std::runtime_error(""); }).message(), "");
}

TEST_F(Hazards, p13_a_throwing_part_fails_alone) {
    std::map<std::uint64_t, mb_status> codes;
    std::map<std::uint64_t, std::string> causes;
    mb::batcher<> batcher{timeless(), mb::handler_for(mb::kind::int64, [](auto&) { throw std::range_error("integers"); }),
                          mb::handler_for(mb::kind::string, echo), mb::handler([](auto&) { throw sql_error(1, "the rest"); }),
                          mb::on_result([&](const auto& results) {
                              for (const auto& row : results) {
                                  codes[row.tag()] = row.ok() ? MB_OK : row.error().code();
                                  if (row.ok()) continue;
                                  try {
                                      std::rethrow_exception(row.error().cause());
                                  } catch (const std::range_error&) {
                                      causes[row.tag()] = "range";
                                  } catch (const sql_error&) {
                                      causes[row.tag()] = "sql";
                                  }
                              }
                          })};
    batcher.push(1, 1);
    batcher.push("a", 2);
    batcher.push(nullptr, 3);
    batcher.push(2, 4);
    batcher.push(2.5, 5);
    batcher.flush();
    EXPECT_EQ(codes[2], MB_OK);
    EXPECT_EQ(causes, (std::map<std::uint64_t, std::string>{{1, "range"}, {3, "sql"}, {4, "range"}, {5, "sql"}}));
}

TEST_F(Hazards, throw_in_on_result_is_logged_and_nothing_is_lost) {
    std::vector<std::string> lines;
    std::vector<std::uint64_t> delivered;
    {
        mb::batcher<std::int64_t> batcher{timeless().max_batch_size(1), echo, mb::on_result([&](const auto& results) {
                                              delivered.push_back(results.tags()[0]);
                                              throw std::runtime_error("from on_result");
                                          }),
                                          mb::on_log([&](int level, std::string_view line) {
                                              lines.push_back(std::to_string(level) + ' ' + std::string(line));
                                              throw 1;
                                          })};
        for (std::uint64_t tag = 0; tag < 3; ++tag) batcher.push(1, tag);
        batcher.flush();
        EXPECT_EQ(batcher.stats().ok, 3U);
    }
    EXPECT_EQ(delivered, (std::vector<std::uint64_t>{0, 1, 2}));
    ASSERT_GE(lines.size(), 3U);
    EXPECT_EQ(lines[0], "3 on_result threw std::runtime_error: from on_result");
}

TEST_F(Hazards, throw_in_on_object_release_is_logged) {
    std::uint32_t owner = 0;
    ASSERT_EQ(mb_owner_new(&owner), MB_OK);
    std::string logged;
    int released = 0;
    {
        mb::batcher<> batcher{timeless(), mb::handler([](auto& batch) {
                                  for (auto& row : batch) row.set_result(nullptr);
                              }),
                              mb::on_object_release(owner, [&](std::uint64_t) {
                                  ++released;
                                  throw std::logic_error("from release");
                              }),
                              mb::on_log([&](int, std::string_view line) { logged = line; })};
        batcher.push(mb::object_word{owner, 1});
        batcher.push(mb::object_word{owner, 2});
        batcher.flush();
    }
    EXPECT_EQ(released, 2);
    EXPECT_EQ(logged, "on_object_release threw std::logic_error: from release");
}

TEST_F(Hazards, throw_in_a_copy_leaves_nothing_behind) {
    struct bomb {
        bomb() = default;
        bomb(const bomb& other) : fuse(other.fuse) {
            if (fuse) throw std::runtime_error("copied");
        }
        bomb(bomb&&) noexcept = default;
        bomb& operator=(const bomb&) = default;
        counted witness;
        bool fuse = false;
    };
    mb::batcher<bomb> batcher{timeless(), [](auto& batch) {
                                  batch[0].set_result(bomb());
                                  batch[0].value().fuse = true;
                                  batch[0].set_result(batch[0].value());
                              }};
    bomb armed;
    armed.fuse = true;
    EXPECT_THROW(batcher.push(armed), std::runtime_error);
    EXPECT_EQ(batcher.stats().accepted, 0U);
    auto future = batcher.submit(bomb());
    batcher.flush();
    EXPECT_THROW(static_cast<void>(future.get()), std::runtime_error);
}

TEST_F(Hazards, p18_throw_after_keep_fails_the_part_with_its_words) {
    // The held batch is unwound together with the handler.
    mb::batcher<std::int64_t> batcher{timeless(), [](auto& batch) {
                                          auto held = batch.keep();
                                          held[0].set_result(1);
                                          throw sql_error(3, "thrown while it was held");
                                      }};
    auto future = batcher.submit(1);
    batcher.flush();
    EXPECT_THROW(static_cast<void>(future.get()), sql_error);
    EXPECT_EQ(batcher.stats().in_flight, 0U) << "its slot is free again";

    // Or somebody has it already, who finishes it.
    mb::held_batch<std::int64_t, std::int64_t> held;
    EXPECT_EQ(held.try_complete(), MB_ERR_INVALID_HANDLE);
    mb::batcher<std::int64_t> other{timeless(), [&](auto& batch) {
                                        held = batch.keep();
                                        throw std::runtime_error("after it was given away");
                                    }};
    auto second = other.submit(1);
    EXPECT_EQ(other.try_flush(), MB_ERR_IN_PROGRESS);
    held.complete();
    other.flush();
    const auto error = error_of([&] { static_cast<void>(second.get()); });
    EXPECT_EQ(error.message(), "after it was given away");
}

TEST_F(Hazards, p21_throw_after_the_time_out_is_too_late) {
    door exit;
    std::uint64_t thrown = 0;
    {
        mb::batcher<std::int64_t> batcher{mb::options{}.handler_timeout(1ms), [&](auto& batch) {
                                              if (batch[0].value() == 1) {
                                                  exit.wait();
                                                  ++thrown;
                                                  throw std::runtime_error("nobody waits any more");
                                              }
                                              echo(batch);
                                          }};
        auto late = batcher.submit(1);
        EXPECT_EQ(error_of([&] { static_cast<void>(late.get()); }).code(), MB_ERR_HANDLER_TIMEOUT);
        exit.open();
    }
    EXPECT_EQ(thrown, 1U);
}

TEST_F(Hazards, p17_results_of_the_wrong_number) {
    mb::batcher<std::int64_t> batcher{timeless().max_batch_size(3), [](auto& batch) {
                                          return std::vector<std::int64_t>(batch.size() - 1, 7);
                                      }};
    std::vector<mb::future<std::int64_t>> futures;
    for (int number = 0; number < 3; ++number) futures.push_back(batcher.submit(number));
    batcher.flush();
    for (auto& future : futures) {
        const auto error = error_of([&] { static_cast<void>(future.get()); });
        EXPECT_EQ(error.code(), MB_ERR_RESULT_COUNT);
        EXPECT_NE(error.message().find('2'), std::string_view::npos) << error.what();
        EXPECT_NE(error.message().find('3'), std::string_view::npos) << error.what();
    }
}

}  // namespace
