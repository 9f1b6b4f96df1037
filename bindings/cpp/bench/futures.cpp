// The whole job: push an int64, batch by 256 or 1 ms, double it, and wait for its result, with 9,984 values outstanding.
//
//   ours, future        mb::batcher::submit, a future for each value
//   peer, std::promise  the hand-written batcher of benches/peer, with a std::promise for each value
//   ours, callback      push with a tag, results in on_result: what it costs without futures
//   C, callback         the same through the C API
//
// Repetitions of all are interleaved at random; the table at the end has medians and quartiles in nanoseconds a value, and
// how much faster a future of ours is than the peer's.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <future>
#include <map>
#include <string>
#include <vector>

#include "microbatch.hpp"
#include "mutex_batcher.h"

namespace {

using namespace std::chrono_literals;

constexpr std::size_t max_batch_size = 256;
constexpr std::size_t window = 39 * max_batch_size;  // a multiple: no remainder waits for the delay

mb::options job() {
    return mb::options{}.max_batch_size(max_batch_size).max_delay(1ms).queue_capacity(2 * window).push_timeout(mb::forever);
}

constexpr auto doubled = [](auto& batch) {
    // One handler thread.
    static thread_local std::vector<std::int64_t> results;
    results.clear();
    for (const auto value : batch.int64s()) results.push_back(2 * value);
    batch.set_results(results);
};

template <class Batcher>
void wait_for_futures(benchmark::State& state, Batcher& batcher) {
    using future = decltype(batcher.submit(std::int64_t{1}));
    std::vector<future> futures;
    futures.reserve(window);
    for (auto _ : state) {
        std::int64_t sum = 0;
        for (std::size_t at = 0; at < window; ++at) futures.push_back(batcher.submit(static_cast<std::int64_t>(at)));
        for (auto& each : futures) sum += each.get();
        futures.clear();
        if (sum != static_cast<std::int64_t>(window * (window - 1))) state.SkipWithError("a result is wrong");
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(window));
}

void ours_future(benchmark::State& state) {
    mb::batcher<std::int64_t> batcher{job(), doubled};
    wait_for_futures(state, batcher);
}

// The peer with futures: the promises stand in a ring, by tag.
class promise_batcher {
public:
    std::future<std::int64_t> submit(std::int64_t value) {
        auto& promise = promises_[next_] = std::promise<std::int64_t>();
        auto future = promise.get_future();
        batcher_.push({next_, value});
        next_ = (next_ + 1) % promises_.size();
        return future;
    }

private:
    std::size_t next_ = 0;
    std::vector<std::promise<std::int64_t>> promises_{window};
    MutexBatcher batcher_{{max_batch_size, window, 1ms, false},
                          [](Item* items, std::size_t count) {
                              for (std::size_t at = 0; at < count; ++at) items[at].value *= 2;
                          },
                          [this](const Item* items, std::size_t count) {
                              for (std::size_t at = 0; at < count; ++at) promises_[items[at].tag].set_value(items[at].value);
                          }};
};

void peer_promise(benchmark::State& state) {
    promise_batcher batcher;
    wait_for_futures(state, batcher);
}

// Pushes a window and waits until the callback has seen all of it.
template <class Push>
void wait_for_count(benchmark::State& state, const std::atomic<std::size_t>& delivered, Push push) {
    std::size_t sent = 0;
    for (auto _ : state) {
        for (std::size_t at = 0; at < window; ++at) push(static_cast<std::int64_t>(at), sent++);
        while (delivered.load(std::memory_order_acquire) < sent) std::this_thread::yield();
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(window));
}

void ours_callback(benchmark::State& state) {
    std::atomic<std::size_t> delivered{0};
    std::int64_t sum = 0;
    mb::batcher<std::int64_t> batcher{job(), doubled, mb::on_result([&](const auto& results) {
                                          for (const auto value : results.int64s()) sum += value;
                                          delivered.fetch_add(results.size(), std::memory_order_release);
                                      })};
    wait_for_count(state, delivered, [&](std::int64_t value, std::uint64_t tag) { batcher.push(value, tag); });
    benchmark::DoNotOptimize(sum);
}

struct c_job {
    std::atomic<std::size_t> delivered{0};
    std::int64_t sum = 0;
    std::int64_t results[max_batch_size];
};

void c_callback(benchmark::State& state) {
    c_job job_data;
    mb_options options = job().raw();
    options.handler = [](void* data, mb_batch* batch, const mb_api*) {
        auto& job = *static_cast<c_job*>(data);
        mb_batch_view view;
        view.struct_size = sizeof view;
        mb_batch_get_view(batch, &view);
        const auto* values = static_cast<const std::int64_t*>(view.values);
        for (std::size_t at = 0; at < view.count; ++at) job.results[at] = 2 * values[at];
        return mb_batch_set_int64s(batch, job.results, nullptr, view.count);
    };
    options.handler_data = &job_data;
    options.on_result = [](void* data, const mb_results* results, const mb_api*) {
        auto& job = *static_cast<c_job*>(data);
        mb_results_view view;
        view.struct_size = sizeof view;
        mb_results_get_view(results, &view);
        const auto* values = static_cast<const std::int64_t*>(view.values);
        for (std::size_t at = 0; at < view.count; ++at) job.sum += values[at];
        job.delivered.fetch_add(view.count, std::memory_order_release);
    };
    options.result_data = &job_data;
    mb_batcher* batcher = nullptr;
    if (mb_batcher_new(&options, &batcher, nullptr) != MB_OK) return state.SkipWithError("no batcher");
    wait_for_count(state, job_data.delivered, [&](std::int64_t value, std::uint64_t tag) {
        if (mb_batcher_push_int64(batcher, value, tag) != MB_OK) std::abort();
    });
    mb_batcher_free(batcher);
}

BENCHMARK(ours_future)->Name("ours, future")->UseRealTime();
BENCHMARK(peer_promise)->Name("peer, std::promise")->UseRealTime();
BENCHMARK(ours_callback)->Name("ours, callback")->UseRealTime();
BENCHMARK(c_callback)->Name("C, callback")->UseRealTime();

// Keeps each repetition, and compares them at the end.
class comparing : public benchmark::ConsoleReporter {
public:
    void ReportRuns(const std::vector<Run>& runs) override {
        for (const auto& run : runs)
            if (run.run_type == Run::RT_Iteration && !run.error_occurred)
                samples_[run.run_name.function_name].push_back(1e9 / run.counters.at("items_per_second").value);
    }
    void Finalize() override {
        std::printf("%-20s %10s %24s\n", "", "ns/value", "quartiles (repetitions)");
        for (auto& [name, of] : samples_) {
            std::sort(of.begin(), of.end());
            std::printf("%-20s %10.1f %12.1f to %.1f (%zu)\n", name.c_str(), at(of, 2), at(of, 1), at(of, 3), of.size());
        }
        const auto &ours = samples_["ours, future"], &peer = samples_["peer, std::promise"];
        if (!ours.empty() && !peer.empty()) std::printf("a future of ours is %.1f times faster\n", at(peer, 2) / at(ours, 2));
    }

private:
    static double at(const std::vector<double>& sorted, std::size_t quarter) {
        return sorted[(sorted.size() - 1) * quarter / 4];
    }
    std::map<std::string, std::vector<double>> samples_;
};

}  // namespace

int main(int argc, char** argv) {
    std::vector<char*> arguments(argv, argv + argc);
    // What is given on the command line comes later, and wins.
    std::string defaults[] = {"--benchmark_repetitions=15", "--benchmark_enable_random_interleaving=true",
                              "--benchmark_min_time=0.1"};
    std::size_t place = 1;
    for (auto& each : defaults) arguments.insert(arguments.begin() + static_cast<std::ptrdiff_t>(place++), each.data());
    int count = static_cast<int>(arguments.size());
    benchmark::Initialize(&count, arguments.data());
    comparing reporter;
    benchmark::RunSpecifiedBenchmarks(&reporter);
    return 0;
}
