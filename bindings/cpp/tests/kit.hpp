// What the tests share: objects that are counted, batchers whose time stands still, a door for handlers that must wait,
// a ledger of results.
#ifndef KIT_HPP
#define KIT_HPP

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "microbatch.hpp"

using namespace std::chrono_literals;

// How GoogleTest shows a status.
namespace mb {
inline void PrintTo(const status& shown, std::ostream* out) { *out << shown.name(); }
}  // namespace mb

// An object that knows how many of its like there are. Moved-from ones are empty, and count as well.
struct counted {
    static inline std::atomic<int> alive{0};
    static inline std::atomic<int> copies{0};

    explicit counted(int number = 0) : value(number) { ++alive; }
    counted(const counted& other) : value(other.value) { ++alive, ++copies; }
    counted(counted&& other) noexcept : value(std::exchange(other.value, -1)) { ++alive; }
    counted& operator=(const counted& other) = default;
    counted& operator=(counted&& other) noexcept { return value = std::exchange(other.value, -1), *this; }
    ~counted() { --alive; }

    int value;
};

// A test that ends with as many objects as it began with.
struct Counting : testing::Test {
    void SetUp() override { counted::copies = 0; }
    void TearDown() override { EXPECT_EQ(counted::alive, 0); }
};

// Keeps a handler busy until it is opened.
class door {
public:
    void wait() {
        std::unique_lock<std::mutex> lock(mutex_);
        ++waiting_;
        changed_.notify_all();
        changed_.wait(lock, [this] { return open_; });
    }
    void await_somebody() {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return waiting_ > 0; });
    }
    void open() {
        const std::lock_guard<std::mutex> lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    int waiting_ = 0;
    bool open_ = false;
};

// No thread, time stands still, no batch is due by time.
inline mb::options timeless() {
    return mb::options{}.mode(mb::mode::manual).clock(mb::clock::given).max_delay(mb::forever);
}

// A handler that answers every row with its value.
inline constexpr auto echo = [](auto& batch) {
    for (auto& row : batch) row.set_result(row.value());
};

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

template <class F>
mb::error error_of(F call) {
    try {
        call();
    } catch (const mb::error& error) {
        return error;
    }
    ADD_FAILURE() << "nothing was thrown";
    return {MB_OK, ""};
}

#endif
