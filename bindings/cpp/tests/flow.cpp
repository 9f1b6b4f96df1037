// The calls of a batcher one by one: pushing, bulk, producers, futures, callbacks, pulling, flushing, closing, driving,
// options, stats.
#include "kit.hpp"

#include <array>
#include <cstring>
#include <future>
#include <list>
#include <map>
#include <poll.h>
#include <set>

namespace {

struct Flow : Counting {};

using numbers = std::vector<std::int64_t>;

// Takes results into a map by tag.
struct ledger {
    std::map<std::uint64_t, std::int64_t> ok;
    std::map<std::uint64_t, mb_status> failed;
    auto taker() {
        return mb::on_result([this](const auto& results) {
            for (const auto& row : results) {
                if (row.ok()) EXPECT_TRUE(ok.emplace(row.tag(), row.value()).second);
                else failed[row.tag()] = row.error().code();
            }
        });
    }
};

// ---- Pushing

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

// ---- Where results go

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

TEST_F(Flow, p18_kept_batches_are_finished_elsewhere) {
    std::thread worker;
    mb::batcher<std::int64_t> batcher{mb::options{}, [&](auto& batch) {
                                          worker = std::thread([held = batch.keep()]() mutable {
                                              for (auto& row : held) row.set_result(row.value() + 1);
                                              held.complete();
                                          });
                                      }};
    EXPECT_EQ(batcher.submit(1).get(), 2);
    worker.join();
    mb::batcher<std::int64_t, std::optional<std::int64_t>> partly{timeless(), [](auto& batch) {
                                                                      auto held = batch.keep();
                                                                      EXPECT_FALSE(batch.try_keep());
                                                                      held[0].set_result(5);
                                                                      if (held.size() == 2) held.complete_ok();
                                                                  }};
    auto first = partly.submit(1), second = partly.submit(2);
    partly.flush();
    EXPECT_EQ(first.get(), 5);
    EXPECT_EQ(second.get(), std::nullopt);
    auto lost = partly.submit(1);
    partly.flush();
    EXPECT_EQ(error_of([&] { static_cast<void>(lost.get()); }).code(), MB_ERR_NO_RESULT);
}

// ---- Handlers

TEST_F(Flow, p13_handlers_per_kind_and_none) {
    mb::batcher<> batcher{timeless(), mb::handler_for(mb::kind::int64, [](auto& batch) {
                              for (auto& row : batch) row.set_result(*row.value().as_int64() * 2);
                          }),
                          mb::handler_for(mb::kind::string, [](auto& batch) {
                              for (auto& row : batch) row.set_result("text");
                          })};
    auto number = batcher.submit(4), text = batcher.submit("x");
    const auto refused = batcher.try_submit(1.5);
    EXPECT_EQ(refused.status(), MB_ERR_NO_HANDLER);
    batcher.flush();
    EXPECT_EQ(*number.get().as_int64(), 8);
    EXPECT_EQ(*text.get().as_string(), "text");
}

TEST_F(Flow, handlers_return_what_suits_them) {
    const auto run = [](auto handler) {
        mb::batcher<std::int64_t> batcher{timeless(), std::move(handler)};
        auto future = batcher.submit(6);
        batcher.flush();
        const auto got = future.try_get();
        return got ? *got : -got.error().code();
    };
    EXPECT_EQ(run([](auto& batch) { return numbers{batch[0].value() * 7}; }), 42);
    EXPECT_EQ(run([](auto&) { return std::vector<int>{5}; }), 5);
    EXPECT_EQ(run([](auto&) { return 17; }), -17);
    EXPECT_EQ(run([](auto&) { return mb::status(18); }), -18);
    EXPECT_EQ(run([](auto&) { return mb::error(19, "words"); }), -19);
    EXPECT_EQ(run([](auto&) -> mb::expected<void> { return mb::error(20, "words"); }), -20);
    EXPECT_EQ(run([](auto& batch) -> mb::expected<void> {
                  echo(batch);
                  return {};
              }),
              6);
    EXPECT_EQ(run([move_only = std::make_unique<int>(3)](auto& batch) { batch[0].set_result(*move_only); }), 3);
    EXPECT_EQ(run([](auto&) {}), -MB_ERR_NO_RESULT);
    mb::batcher<std::int64_t, double> doubles{timeless(), [](auto&) { return std::vector<double>{0.5}; }};
    auto half = doubles.submit(1);
    doubles.flush();
    EXPECT_EQ(half.get(), 0.5);
    mb::batcher<std::int64_t, std::string> strings{timeless(), [](auto&) { return std::list<std::string>{"listed"}; }};
    auto text = strings.submit(1);
    strings.flush();
    EXPECT_EQ(text.get(), "listed");
}

TEST_F(Flow, p29_a_native_handler_is_given_by_address) {
    static int released;
    released = 0;
    {
        int factor = 3;
        mb::batcher<std::int64_t> batcher{
            mb::options{},
            mb::native_handler(
                [](void* data, mb_batch* batch, const mb_api* api) {
                    // The C++ forms work there as well.
                    return mb::handle<std::int64_t>(batch, api, [data](auto& rows) {
                        for (auto& row : rows) {
                            if (row.value() == 13) throw std::runtime_error("unlucky");
                            row.set_result(row.value() * *static_cast<int*>(data));
                        }
                    });
                },
                &factor, [](void*) { ++released; })};
        EXPECT_EQ(batcher.submit(5).get(), 15);
        const auto error = error_of([&] { static_cast<void>(batcher.submit(13).get()); });
        EXPECT_EQ(error.message(), "unlucky");
        EXPECT_EQ(released, 0);
    }
    EXPECT_EQ(released, 1);
}

TEST_F(Flow, p29_a_guest_pushes_by_handle_and_table) {
    ledger taken;
    mb::batcher<std::int64_t> batcher{mb::options{}, echo, taken.taker()};
    const mb_shared shared = batcher.share();
    const mb::batcher_ref guest(shared);
    guest.push(5, 50);
    guest.push_int64s(numbers{6, 7}, 60);
    guest.flush();
    EXPECT_EQ(taken.ok, (std::map<std::uint64_t, std::int64_t>{{50, 5}, {60, 6}, {61, 7}}));
}

// ---- Flushing, closing, driving

TEST_F(Flow, p23_flush_in_two_halves) {
    mb::batcher<std::int64_t> batcher{mb::options{}.max_delay(mb::forever), echo};
    auto future = batcher.submit(1);
    const auto mark = batcher.flush_begin();
    batcher.flush_end(mark);
    EXPECT_TRUE(future.ready());
    EXPECT_EQ(batcher.try_flush_end(mb::mark(99)), MB_ERR_INVALID_ARGUMENT);
    batcher.push(2);
    batcher.seal();
    batcher.flush(1h);
    EXPECT_EQ(batcher.try_flush(-1s), MB_ERR_INVALID_ARGUMENT);
}

TEST_F(Flow, p24_close_says_how_many_are_left) {
    mb::batcher<std::int64_t> batcher{timeless(), echo};
    batcher.push_many(numbers(7, 1));
    EXPECT_EQ(batcher.close(0s), 7U);
    EXPECT_EQ(batcher.try_close().left, 7U) << "closing again asks";
    EXPECT_EQ(error_of([&] { batcher.push(1); }).code(), MB_ERR_CLOSED);
    EXPECT_EQ(batcher.try_seal(), MB_ERR_CLOSED);
}

TEST_F(Flow, p25_calls_inside_callbacks) {
    std::vector<mb_status> answers;
    mb::batcher<std::int64_t>* self = nullptr;
    mb::batcher<std::int64_t> batcher{timeless(), [&](auto& batch) {
                                          answers = {self->try_seal().code(), self->try_flush().code(),
                                                     self->try_run().code(), self->try_room(1h).code(),
                                                     self->try_close().status.code(), self->try_stats().status().code()};
                                          echo(batch);
                                      }};
    self = &batcher;
    batcher.push(1);
    static_cast<void>(batcher.try_flush());
    EXPECT_EQ(answers, (std::vector<mb_status>{MB_OK, MB_ERR_REENTRANT, MB_ERR_REENTRANT, MB_OK, MB_ERR_IN_PROGRESS, MB_OK}));
}

TEST_F(Flow, p28_a_host_drives_by_descriptor_and_clock) {
    mb::batcher<std::int64_t> batcher{timeless().max_delay(5ns), echo};
    pollfd descriptor{batcher.fd(), POLLIN, 0};
    EXPECT_EQ(poll(&descriptor, 1, 0), 0);
    EXPECT_EQ(batcher.next_due(), std::chrono::nanoseconds::max());
    auto future = batcher.submit(1);
    EXPECT_EQ(batcher.next_due(), 5ns);
    EXPECT_EQ(batcher.now(), 0ns);
    batcher.advance(5ns);
    EXPECT_EQ(poll(&descriptor, 1, 1000), 1);
    batcher.run();
    EXPECT_EQ(future.get(), 1);
    mb::batcher<std::int64_t> threaded{mb::options{}, echo};
    EXPECT_EQ(threaded.try_run(), MB_ERR_WRONG_MODE);
    EXPECT_EQ(error_of([&] { threaded.advance(1ns); }).code(), MB_ERR_WRONG_MODE);
}

TEST_F(Flow, p22_room_is_waited_for) {
    mb::batcher<std::int64_t> batcher{timeless().on_full(mb::on_full::reject).queue_capacity(1).max_batch_size(1), echo};
    batcher.room(0s);
    batcher.push(1);
    EXPECT_EQ(error_of([&] { batcher.room(0s); }).code(), MB_ERR_QUEUE_FULL);
    batcher.run();
    batcher.room(0s);
}

// ---- Options and stats

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
