// Many threads, everything at once, and the accounts: each accepted value has one result, each object is released once.
#include "kit.hpp"

#include <random>

namespace {

struct Stress : Counting {};

TEST_F(Stress, p15_every_accepted_value_has_one_result) {
    constexpr int threads = 4, each = 5000;
    std::atomic<int> accepted{0}, refused{0}, ok{0}, failed{0}, dropped{0}, cancelled{0}, expired{0}, discarded{0};
    const auto settle = [&](mb::future<counted>& future, int number) {
        const auto got = future.try_get();
        if (got) {
            EXPECT_EQ(got->value, 2 * number);
            ++ok;
            return;
        }
        switch (got.error().code()) {
        case MB_ERR_CANCELLED: ++cancelled; break;
        case MB_ERR_DEADLINE: ++expired; break;
        case MB_ERR_DISCARDED: ++discarded; break;
        case MB_ERR_HANDLER_FAILED:
            EXPECT_NE(got.error().cause(), nullptr) << "thrown here, so it is here";
            ++failed;
            break;
        case 7: ++failed; break;
        default: ADD_FAILURE() << got.error().what();
        }
    };
    mb::stats stats{};
    {
        mb::batcher<counted> batcher{
            mb::options{}.max_batch_size(16).max_in_flight(2).threads(2).queue_capacity(64).on_full(mb::on_full::reject),
            [](auto& batch) {
                for (auto& row : batch) {
                    const int number = row.value().value;
                    if (number % 13 == 0) row.fail(7, "unlucky");
                    else row.set_result(counted(2 * number));
                }
                if (batch.number() % 10 == 0) throw std::runtime_error("every tenth batch");
            }};
        std::vector<std::thread> producers;
        for (int thread = 0; thread < threads; ++thread)
            producers.emplace_back([&, thread] {
                std::mt19937 random(static_cast<unsigned>(thread));
                std::vector<std::pair<mb::future<counted>, int>> window;
                const auto producer = batcher.make_producer();
                for (int at = 0; at < each; ++at) {
                    const int number = thread * each + at;
                    const auto options = random() % 50 == 0 ? mb::push_options{}.expires_in(1ns) : mb::push_options{};
                    auto made = random() % 2 == 0 ? producer.try_submit(counted(number), options)
                                                  : batcher.try_submit(counted(number), options);
                    if (!made) {
                        // Results whose delivery lags behind take places too.
                        const auto code = made.error().code();
                        EXPECT_TRUE(code == MB_ERR_QUEUE_FULL || code == MB_ERR_RESULTS_FULL) << code;
                        ++refused;
                        if (!window.empty()) settle(window.back().first, window.back().second), window.pop_back();
                        continue;
                    }
                    ++accepted;
                    if (random() % 20 == 0) static_cast<void>(made->try_cancel());
                    if (random() % 10 == 0) {
                        ++dropped;  // its future goes at once
                    } else {
                        window.emplace_back(*std::move(made), number);
                    }
                    if (window.size() > 32) {
                        for (auto& [future, of] : window) settle(future, of);
                        window.clear();
                    }
                }
                for (auto& [future, of] : window) settle(future, of);
            });
        for (auto& producer : producers) producer.join();
        batcher.flush();
        stats = batcher.stats();
    }
    EXPECT_EQ(accepted + refused, threads * each);
    EXPECT_EQ(ok + failed + cancelled + expired + discarded + dropped, accepted);
    EXPECT_EQ(stats.accepted, static_cast<std::uint64_t>(accepted));
    EXPECT_EQ(stats.ok + stats.failed + stats.expired + stats.cancelled + stats.discarded, stats.accepted);
    EXPECT_EQ(stats.outstanding, 0U);
}

TEST_F(Stress, p26_batchers_come_and_go_while_futures_live_on) {
    std::vector<mb::future<std::int64_t>> all;
    for (int round = 0; round < 300; ++round) {
        mb::batcher<std::int64_t> batcher{mb::options{}.max_batch_size(8), echo};
        for (int number = 0; number < 20; ++number) all.push_back(batcher.submit(number));
        if (round % 3 == 0) static_cast<void>(batcher.close(0s));
        if (round % 3 == 1) static_cast<void>(batcher.abandon());
    }
    int ok = 0, discarded = 0;
    for (std::size_t at = 0; at < all.size(); ++at) {
        const auto got = all[at].try_get();
        if (got) {
            EXPECT_EQ(*got, static_cast<std::int64_t>(at % 20));
            ++ok;
        } else {
            EXPECT_EQ(got.error().code(), MB_ERR_DISCARDED);
            ++discarded;
        }
    }
    EXPECT_EQ(ok + discarded, 300 * 20);
    EXPECT_GE(ok, 100 * 20) << "those that were drained";
}

TEST_F(Stress, futures_change_threads) {
    // Slots are taken by some threads and given back by others: they must find their way back.
    std::uint64_t most = 0;
    mb::batcher<std::int64_t> batcher{mb::options{}, [&](auto& batch) {
                                          for (const auto tag : batch.tags()) most = std::max(most, tag & 0xFFFFFFFF);
                                          echo(batch);
                                      }};
    for (int round = 0; round < 50; ++round) {
        std::vector<mb::future<std::int64_t>> futures;
        for (int number = 0; number < 1000; ++number) futures.push_back(batcher.submit(number));
        std::thread consumer([&] {
            for (std::size_t at = 0; at < futures.size(); ++at) EXPECT_EQ(futures[at].get(), static_cast<std::int64_t>(at));
        });
        consumer.join();
    }
    EXPECT_LT(most, 4096U) << "a thousand are out at a time, and some rest near each thread";
}

}  // namespace
