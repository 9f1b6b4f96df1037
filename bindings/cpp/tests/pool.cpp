// The slots of futures under the thread sanitizer. The engine is left out, as it is not compiled with it: a thread stands
// in for the batcher, and gives results by tag.
#include "microbatch.hpp"

#include <cstdio>
#include <deque>
#include <random>
#include <thread>

namespace {

// Tags on their way to the thread that answers them.
class queue {
public:
    void push(std::uint64_t tag) {
        const std::lock_guard<std::mutex> lock(mutex_);
        tags_.push_back(tag);
    }
    std::vector<std::uint64_t> take() {
        const std::lock_guard<std::mutex> lock(mutex_);
        std::vector<std::uint64_t> taken(tags_.begin(), tags_.end());
        tags_.clear();
        return taken;
    }

private:
    std::mutex mutex_;
    std::deque<std::uint64_t> tags_;
};

}  // namespace

int main() {
    // All that futures ask of the library before they wait: whether this is a callback.
    mb_api api{};
    api.mb_batcher_flush_end = [](mb_batcher*, std::uint64_t, std::int64_t) -> mb_status { return MB_ERR_INVALID_ARGUMENT; };
    auto* pool = new mb::detail::pool<std::int64_t>(&api, false);
    queue waiting;
    std::atomic<bool> ended{false};
    std::atomic<long> answered{0}, seen{0}, dropped{0};
    constexpr int threads = 3, each = 20'000;

    std::thread batcher([&] {
        for (bool last = false; !last;) {
            last = ended;
            for (const auto tag : waiting.take()) {
                pool->fetch(tag);
                auto* slot = pool->find(tag);
                if (slot == nullptr) std::abort();
                slot->value = static_cast<std::int64_t>(slot->index);
                pool->finish(slot, 0);
                ++answered;
            }
        }
    });
    std::vector<std::thread> producers;
    for (int thread = 0; thread < threads; ++thread)
        producers.emplace_back([&, thread] {
            std::mt19937 random(static_cast<unsigned>(thread));
            std::deque<std::pair<mb::future<std::int64_t>, std::uint32_t>> window;
            const auto settle = [&] {
                if (window.front().first.get() != window.front().second) std::abort();
                ++seen;
                window.pop_front();
            };
            for (int at = 0; at < each; ++at) {
                auto* slot = pool->take();
                const auto index = slot->index;
                const auto tag = pool->tag_of(slot);
                mb::future<std::int64_t> future(pool, slot);
                waiting.push(tag);
                if (random() % 4 == 0) ++dropped;  // goes here, before or after its result
                else window.emplace_back(std::move(future), index);
                while (window.size() > 100) settle();
            }
            while (!window.empty()) settle();
        });
    for (auto& producer : producers) producer.join();
    ended = true;
    batcher.join();
    pool->close();
    if (answered != threads * each || seen + dropped != threads * each) {
        std::fprintf(stderr, "%ld answered, %ld seen, %ld dropped\n", answered.load(), seen.load(), dropped.load());
        return 1;
    }
    return 0;
}
