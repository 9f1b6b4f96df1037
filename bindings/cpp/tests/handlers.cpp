// Handlers: by kind, by what they return, keeping, native ones, and guests that push from elsewhere.
#include "kit.hpp"

#include <list>
#include <map>

namespace {

using Flow = Counting;

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

}  // namespace
