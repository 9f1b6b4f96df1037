// What the peers written in C++ share: what goes into their queues, and the way behind the calls of side.h.
#ifndef PEER_H
#define PEER_H

#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "mutex_batcher.h"
#include "side.h"

struct TextItem {
    std::uint64_t tag;
    std::int64_t value;  // the result
    std::string text;
};

// A double is 8 bytes in a queue as an integer is: one peer serves both.
inline void fill(Item &item, const side_config &, const char *, std::uint64_t tag) { item = {tag, side_value(tag)}; }
inline void fill(TextItem &item, const side_config &config, const char *text, std::uint64_t tag) {
    item.tag = tag;
    item.text.assign(side_text(text, tag), config.bytes);
}

inline void handle(Item *items, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) items[i].value = side_double(items[i].value);
}
inline void handle(TextItem *items, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) items[i].value = side_measure(items[i].text.data(), items[i].text.size());
}

class Peer {
public:
    explicit Peer(const side_config &config) : config_(config), text_(side_text_new(config.bytes)) {}
    virtual ~Peer() { std::free(text_); }
    virtual std::uint64_t push(std::uint64_t producer, std::uint64_t first, std::uint64_t count) = 0;
    virtual void drain() = 0;

    side_tally tally{};

protected:
    template <class T>
    void callback(const T *items, std::size_t count) {
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < count; ++i) sum += static_cast<std::uint64_t>(items[i].value);
        tally.sum += sum;
        tally.expected += side_expected(&config_, text_, &items->tag, count, sizeof *items);
        side_delivered(&tally, &config_, count);
    }

    // Hands over arrays of config_.bulk values.
    template <class T, class Push>
    std::uint64_t in_bulk(std::uint64_t first, std::uint64_t count, const Push &push) {
        thread_local std::vector<T> items;
        items.resize(config_.bulk);
        for (std::uint64_t at = 0; at < count; at += config_.bulk) {
            auto some = std::min(config_.bulk, count - at);
            for (std::uint64_t i = 0; i < some; ++i) fill(items[i], config_, text_, first + at + i);
            if (!push(items.data(), some)) return at;
        }
        return count;
    }

    const side_config config_;
    char *const text_;
};

// The table of a peer that is made of its config: `Text` if it is about strings, else `Number`.
template <class Number, class Text>
constexpr side_calls peer_calls() {
    return {[](const side_config *config) -> void * {
                if (config->payload == SIDE_STRING) return static_cast<Peer *>(new (std::nothrow) Text(*config));
                return static_cast<Peer *>(new (std::nothrow) Number(*config));
            },
            [](void *side, std::uint64_t producer, std::uint64_t first, std::uint64_t count) {
                return static_cast<Peer *>(side)->push(producer, first, count);
            },
            [](void *side) { static_cast<Peer *>(side)->drain(); },
            [](void *side) -> const side_tally * { return &static_cast<Peer *>(side)->tally; },
            [](void *) -> std::uint64_t { return 0; },
            [](void *side) { delete static_cast<Peer *>(side); }};
}

#endif
