// The program that using the binding should feel like: coalesced database writes from many threads.
#include "kit.hpp"

#include <map>

namespace {

struct Ergonomics : Counting {};

struct Order {
    std::int64_t customer;
    std::string article;
};

struct sql_error : std::runtime_error {
    using std::runtime_error::runtime_error;
    int code() const { return 19; }
};

// A database with transactions, as far as this program needs one.
class database {
public:
    void begin() { written_.clear(); }
    std::int64_t insert(const Order& order) {
        if (order.article.empty()) throw sql_error("NOT NULL constraint failed: order.article");
        written_.push_back(order);
        return next_id_++;
    }
    void commit() {
        if (fails_next_.exchange(false)) throw sql_error("disk is full");
        stored_.insert(stored_.end(), written_.begin(), written_.end());
    }
    void fail_next() { fails_next_ = true; }
    std::size_t size() const { return stored_.size(); }

private:
    std::vector<Order> written_, stored_;
    std::int64_t next_id_ = 1;
    std::atomic<bool> fails_next_{false};
};

TEST_F(Ergonomics, coalesced_database_writes_from_many_threads) {
    database db;
    std::atomic<std::int64_t> logged{0};
    const auto log_id = [&](std::int64_t id) { logged += id > 0 ? 1 : 0; };
    {
        mb::batcher<Order, std::int64_t> orders{
            mb::options{}.max_batch_size(512).max_delay(2ms),
            [&](auto& batch) {                        // engine thread, one at a time
              db.begin();
              for (auto& row : batch)
                try { row.set_result(db.insert(row.value())); }
                catch (const sql_error& e) { row.fail(e.code(), e.what()); }
              db.commit();                            // if it throws, all fail
            }};

        std::vector<std::thread> threads;
        for (int thread = 0; thread < 4; ++thread)
            threads.emplace_back([&, thread] {
                for (int at = 0; at < 100; ++at) {
                    Order order{thread, "article " + std::to_string(at)};
                    auto id = orders.submit(std::move(order));    // any thread
                    log_id(id.get());                             // mb::error: code, retriable, handled
                }
            });
        for (auto& thread : threads) thread.join();
        EXPECT_EQ(logged, 400);
        EXPECT_EQ(db.size(), 400U);

        auto bad = orders.submit(Order{1, ""});
        auto good = orders.submit(Order{1, "fine"});
        const auto error = error_of([&] { log_id(bad.get()); });
        EXPECT_EQ(error.code(), 19);
        EXPECT_EQ(error.message(), "NOT NULL constraint failed: order.article");
        EXPECT_FALSE(error.retriable());
        EXPECT_EQ(error.handled(), mb::handled::yes);
        log_id(good.get());

        db.fail_next();
        auto lost = orders.submit(Order{1, "lost"});
        EXPECT_THROW(log_id(lost.get()), sql_error);

        auto left = orders.close(5s);
        EXPECT_EQ(left, 0U);
    }
    EXPECT_EQ(db.size(), 401U);
}

}  // namespace
