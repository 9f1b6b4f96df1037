// microbatch for C++ with a future for each value, which the producer waits for a window later.
#include <microbatch.hpp>

#include "peer.h"

namespace {

class Futures final : public Peer {
public:
    explicit Futures(const side_config &config)
        : Peer(config),
          batcher_{mb::options{}
                       .max_batch_size(config.max_batch_size)
                       .max_delay(std::chrono::nanoseconds(config.max_delay_ns))
                       .queue_capacity(config.outstanding)
                       .push_timeout(mb::forever),
                   [](auto &batch) {
                       static thread_local std::vector<std::int64_t> results;  // one handler thread
                       results.clear();
                       for (const auto value : batch.int64s()) results.push_back(side_double(value));
                       batch.set_results(results);
                   }} {}

    std::uint64_t push(std::uint64_t, std::uint64_t first, std::uint64_t count) override {
        const auto window = config_.outstanding / config_.producers;
        std::vector<mb::future<std::int64_t>> futures;
        futures.reserve(window);
        for (std::uint64_t at = 0; at < count; at += window) {
            const auto some = std::min(window, count - at);
            for (std::uint64_t i = 0; i < some; ++i) futures.push_back(batcher_.submit(side_value(first + at + i)));
            std::uint64_t sum = 0, expected = 0;
            for (std::uint64_t i = 0; i < some; ++i) {
                const std::uint64_t tag = first + at + i;
                sum += static_cast<std::uint64_t>(futures[i].get());
                expected += side_expected(&config_, text_, &tag, 1, sizeof tag);
            }
            futures.clear();
            __atomic_fetch_add(&tally.sum, sum, __ATOMIC_RELAXED);
            __atomic_fetch_add(&tally.expected, expected, __ATOMIC_RELAXED);
            __atomic_fetch_add(&tally.delivered, some, __ATOMIC_RELEASE);
        }
        return count;
    }

    void drain() override {}

private:
    mb::batcher<std::int64_t, std::int64_t> batcher_;
};

}  // namespace

extern "C" {
extern const side_calls side_future = peer_calls<Futures, Futures>();
}
