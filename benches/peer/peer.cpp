// The peer behind the calls of side.h.
#include "mutex_batcher.h"
#include "side.h"

#include <new>

namespace {

struct Peer {
    side_tally tally{};
    MutexBatcher batcher;

    explicit Peer(const side_config &config)
        : batcher(
              {config.max_batch_size, config.outstanding, std::chrono::nanoseconds(config.max_delay_ns),
               config.consumer == 0},
              [](Item *items, std::size_t count) {
                  for (std::size_t i = 0; i < count; ++i) items[i].value = side_double(items[i].value);
              },
              [this](const Item *items, std::size_t count) {
                  for (std::size_t i = 0; i < count; ++i) {
                      tally.sum += static_cast<std::uint64_t>(items[i].value);
                      tally.expected += 2 * items[i].tag;
                  }
                  side_delivered(&tally, count);
              }) {}
};

void *create(const side_config *config) { return new (std::nothrow) Peer(*config); }

// The library's entry point as C sees it: a call of its own, as ours is.
extern "C" __attribute__((noinline)) int32_t peer_push_int64(void *peer, int64_t value, uint64_t tag) {
    return static_cast<Peer *>(peer)->batcher.push(value, tag) ? 0 : -1;
}

uint64_t push(void *side, uint64_t first, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i)
        if (peer_push_int64(side, static_cast<int64_t>(first + i), first + i) != 0) return i;
    return count;
}

void drain(void *side) { static_cast<Peer *>(side)->batcher.flush(); }

const side_tally *tally(void *side) { return &static_cast<Peer *>(side)->tally; }

uint64_t bytes_in_use(void *) { return 0; }

void destroy(void *side) { delete static_cast<Peer *>(side); }

}  // namespace

extern "C" const side_calls side_peer = {create, push, drain, tally, bytes_in_use, destroy};

extern "C" void side_bare_lock(uint64_t count) {
    static std::mutex mutex;
    for (uint64_t i = 0; i < count; ++i) {
        mutex.lock();
        mutex.unlock();
    }
}
