// P25, P26: every call inside every callback of its batcher has the answer that the header gives it, and none hangs.
// tests/cpp.rs compares the names of this table with those in the headers.
#include "kit.hpp"

#include <array>
#include <functional>
#include <memory>
#include <optional>

namespace {

enum class place { handler, handler_for, handler_of_futures, on_result, object_release, push_release, log };
constexpr std::array places{place::handler,   place::handler_for,    place::handler_of_futures,
                            place::on_result, place::object_release, place::push_release, place::log};
constexpr std::array names{"handler",           "handler_for",      "handler of futures", "on_result",
                           "on_object_release", "a push's release", "on_log"};

struct act {
    const char* name;
    mb_status threaded;
    mb_status manual;
    std::function<mb_status(mb::batcher<>&)> call;
};

// What a call throws.
template <class F>
auto thrown(F call) {
    return [call](mb::batcher<>& self) -> mb_status {
        try {
            static_cast<void>(call(self));
            return MB_OK;
        } catch (const mb::error& error) {
            return error.code();
        }
    };
}

mb_status nothing() { return MB_OK; }

std::vector<act> acts(bool futures) {
    using batcher = mb::batcher<>;
    const std::vector<std::int64_t> numbers{1, 2, 3};
    const std::vector<double> fractions{0.5, 1.5};
    const mb_status no_future = futures ? MB_OK : MB_ERR_WRONG_MODE;
    const mb_status waits = futures ? MB_ERR_REENTRANT : MB_ERR_WRONG_MODE;
    return {
        {"try_push", MB_OK, MB_OK, [](batcher& b) { return b.try_push(std::string_view("text"), 1).code(); }},
        {"push", MB_OK, MB_OK, thrown([](batcher& b) { return b.push(1, 1), nothing(); })},
        {"try_submit", no_future, no_future, [](batcher& b) { return b.try_submit(1).status().code(); }},
        {"submit", no_future, no_future, thrown([](batcher& b) { return static_cast<void>(b.submit(1)), nothing(); })},
        {"try_push_many", MB_OK, MB_OK, [=](batcher& b) { return b.try_push_many(numbers).status.code(); }},
        {"push_many", MB_OK, MB_OK, thrown([=](batcher& b) { return b.push_many(fractions), nothing(); })},
        {"submit_many", no_future, no_future,
         [=](batcher& b) {
             auto made = b.submit_many(numbers);
             return made.size() == 3 && made[0].valid() && !made[0].ready() ? MB_OK : made[0].try_get(0s).status().code();
         }},
        {"try_producer", MB_OK, MB_OK, [](batcher& b) { return b.try_producer().status().code(); }},
        {"make_producer", MB_OK, MB_OK,
         thrown([](batcher& b) {
             auto producer = b.make_producer();
             producer.push(1, 1);
             return producer.try_push(0.5, 2).code();
         })},
        {"try_check", MB_OK, MB_OK, [](batcher& b) { return b.try_check(1).status().code(); }},
        {"check", MB_OK, MB_OK, thrown([](batcher& b) { return b.check(1), nothing(); })},
        {"try_cancel", MB_ERR_NOT_FOUND, MB_ERR_NOT_FOUND, [](batcher& b) { return b.try_cancel(77).status().code(); }},
        {"cancel", MB_ERR_NOT_FOUND, MB_ERR_NOT_FOUND, thrown([](batcher& b) { return b.cancel(77); })},
        {"try_room", MB_OK, MB_OK, [](batcher& b) { return b.try_room(1h).code(); }},
        {"room", MB_OK, MB_OK, thrown([](batcher& b) { return b.room(1h), nothing(); })},
        {"try_seal", MB_OK, MB_OK, [](batcher& b) { return b.try_seal().code(); }},
        {"seal", MB_OK, MB_OK, thrown([](batcher& b) { return b.seal(), nothing(); })},
        {"try_flush", MB_ERR_REENTRANT, MB_ERR_REENTRANT, [](batcher& b) { return b.try_flush().code(); }},
        {"flush", MB_ERR_REENTRANT, MB_ERR_REENTRANT, thrown([](batcher& b) { return b.flush(), nothing(); })},
        {"try_flush_begin", MB_OK, MB_OK, [](batcher& b) { return b.try_flush_begin().status().code(); }},
        {"flush_begin", MB_OK, MB_OK, thrown([](batcher& b) { return b.flush_begin(), nothing(); })},
        {"try_flush_end", MB_ERR_REENTRANT, MB_ERR_REENTRANT,
         [](batcher& b) { return b.try_flush_end(b.flush_begin()).code(); }},
        {"flush_end", MB_ERR_REENTRANT, MB_ERR_REENTRANT,
         thrown([](batcher& b) { return b.flush_end(b.flush_begin()), nothing(); })},
        {"try_run", MB_ERR_WRONG_MODE, MB_ERR_REENTRANT, [](batcher& b) { return b.try_run().code(); }},
        {"run", MB_ERR_WRONG_MODE, MB_ERR_REENTRANT, thrown([](batcher& b) { return b.run(), nothing(); })},
        {"try_advance", MB_ERR_WRONG_MODE, MB_ERR_REENTRANT, [](batcher& b) { return b.try_advance(1ns).code(); }},
        {"advance", MB_ERR_WRONG_MODE, MB_ERR_REENTRANT, thrown([](batcher& b) { return b.advance(1ns), nothing(); })},
        {"try_next_due", MB_OK, MB_OK, [](batcher& b) { return b.try_next_due().status().code(); }},
        {"next_due", MB_OK, MB_OK, thrown([](batcher& b) { return b.next_due(), nothing(); })},
        {"try_now", MB_OK, MB_OK, [](batcher& b) { return b.try_now().status().code(); }},
        {"now", MB_OK, MB_OK, thrown([](batcher& b) { return b.now(), nothing(); })},
        {"try_fd", MB_OK, MB_OK, [](batcher& b) { return b.try_fd().status().code(); }},
        {"fd", MB_OK, MB_OK, thrown([](batcher& b) { return b.fd(), nothing(); })},
        {"try_stats", MB_OK, MB_OK, [](batcher& b) { return b.try_stats().status().code(); }},
        {"stats", MB_OK, MB_OK, thrown([](batcher& b) { return b.stats(), nothing(); })},
        {"try_stats_text", MB_OK, MB_OK, [](batcher& b) { return b.try_stats_text().status().code(); }},
        {"stats_text", MB_OK, MB_OK, thrown([](batcher& b) { return b.stats_text(), nothing(); })},
        {"try_share", MB_OK, MB_OK, [](batcher& b) { return b.try_share().status().code(); }},
        {"share", MB_OK, MB_OK, thrown([](batcher& b) { return b.share(), nothing(); })},
        {"try_next_batch", MB_ERR_WRONG_MODE, MB_ERR_WRONG_MODE,
         [](batcher& b) { return b.try_next_batch().status().code(); }},
        {"next_batch", MB_ERR_WRONG_MODE, MB_ERR_WRONG_MODE, thrown([](batcher& b) { return b.next_batch(), nothing(); })},
        {"try_next_results", MB_ERR_WRONG_MODE, MB_ERR_WRONG_MODE,
         [](batcher& b) { return b.try_next_results().status().code(); }},
        {"next_results", MB_ERR_WRONG_MODE, MB_ERR_WRONG_MODE,
         thrown([](batcher& b) { return b.next_results(), nothing(); })},
        {"ref", MB_OK, MB_OK, [](batcher& b) { return b.ref().try_push(1, 1).code(); }},
        {"a future's try_wait", waits, waits,
         [](batcher& b) {
             auto made = b.try_submit(1);
             return made.status().ok() ? made->try_wait().code() : made.status().code();
         }},
        {"a future's get", waits, waits, thrown([](batcher& b) { return b.submit(1).get(), nothing(); })},
        {"another batcher, and map", MB_OK, MB_OK,
         [](batcher&) {
             mb::batcher<std::int64_t> other{mb::options{}, echo};
             EXPECT_EQ(other.submit(5).get(), 5);
             other.flush();
             return other.try_close().status.code();
         }},
    };
}

// What ends the batcher, each in one of its own.
std::vector<act> ends() {
    using batcher = mb::batcher<>;
    return {
        {"try_close", MB_ERR_IN_PROGRESS, MB_ERR_IN_PROGRESS, [](batcher& b) { return b.try_close().status.code(); }},
        {"close", MB_ERR_IN_PROGRESS, MB_ERR_IN_PROGRESS, thrown([](batcher& b) { return b.close(), nothing(); })},
        {"try_free", MB_OK, MB_OK, [](batcher& b) { return b.try_free().code(); }},
        {"abandon", MB_OK, MB_OK, [](batcher& b) { return b.abandon().code(); }},
    };
}

// A batcher that does something once, in a callback. What its callbacks use lives as long as they do.
class scene {
public:
    scene(place where, bool manual, std::function<void(mb::batcher<>&)> once) : state_(std::make_shared<state>()) {
        state_->where = where;
        state_->once = std::move(once);
        std::uint32_t owner = 0;
        EXPECT_EQ(mb_owner_new(&owner), MB_OK);
        std::optional results = mb::on_result([here = state_](const auto&) {
            here->visit(place::on_result);
            if (here->where == place::log) throw std::runtime_error("for the log");
        });
        if (where == place::handler_of_futures) results.reset();
        std::optional of_objects = mb::handler_for(mb::kind::object, [here = state_](auto& batch) {
            here->visit(place::handler_for);
            for (auto& row : batch) row.set_result(nullptr);
        });
        if (where != place::handler_for) of_objects.reset();
        batcher_.emplace(manual ? timeless() : mb::options{}, std::move(of_objects), mb::handler([here = state_](auto& batch) {
                             here->visit(place::handler);
                             here->visit(place::handler_of_futures);
                             for (auto& row : batch) row.set_result(nullptr);
                         }),
                         std::move(results),
                         mb::on_object_release(owner, [here = state_](std::uint64_t) { here->visit(place::object_release); }),
                         mb::on_log([here = state_](int, std::string_view) { here->visit(place::log); }));
        state_->self = &*batcher_;
        static const char text[] = "stays where it is";
        const auto released = [](void* given) {
            const std::unique_ptr<std::shared_ptr<state>> here(static_cast<std::shared_ptr<state>*>(given));
            (*here)->visit(place::push_release);
        };
        batcher_->push(mb::object_word{owner, 1}, 1);
        batcher_->push(std::string_view(text), 2, mb::push_options{}.release(released, new std::shared_ptr<state>(state_)));
        state_->made.open();
    }

    mb::batcher<>& batcher() { return *batcher_; }
    void await() { state_->acted.wait(); }

private:
    struct state {
        place where{};
        std::function<void(mb::batcher<>&)> once;
        mb::batcher<>* self = nullptr;
        std::atomic<bool> visited{false};
        door made;
        door acted;

        void visit(place here) {
            if (here != where || visited.exchange(true)) return;
            made.wait();
            once(*self);
            acted.open();
        }
    };

    std::shared_ptr<state> state_;
    std::optional<mb::batcher<>> batcher_;
};

TEST(Reentrancy, p25_every_call_inside_every_callback) {
    for (const auto where : places) {
        for (const bool manual : {false, true}) {
            SCOPED_TRACE(std::string(names[static_cast<std::size_t>(where)]) + (manual ? ", manual" : ", threaded"));
            scene set(where, manual, [&](mb::batcher<>& self) {
                for (const auto& one : acts(where == place::handler_of_futures)) {
                    EXPECT_EQ(mb::status(one.call(self)), mb::status(manual ? one.manual : one.threaded)) << one.name;
                }
            });
            static_cast<void>(set.batcher().try_flush());
            set.await();  // a release comes after what flush waits for
            set.batcher().flush();  // what was pushed inside
            const auto stats = set.batcher().stats();
            EXPECT_EQ(stats.outstanding, 0U);
            EXPECT_EQ(stats.accepted, stats.ok + stats.failed + stats.expired + stats.cancelled + stats.discarded);
            EXPECT_EQ(set.batcher().close(), 0U);
        }
    }
}

TEST(Reentrancy, p25_p26_every_end_inside_every_callback) {
    for (const auto& end : ends()) {
        for (const auto where : places) {
            for (const bool manual : {false, true}) {
                SCOPED_TRACE(std::string(end.name) + " in " + names[static_cast<std::size_t>(where)]
                             + (manual ? ", manual" : ", threaded"));
                scene set(where, manual, [&end, manual](mb::batcher<>& self) {
                    EXPECT_EQ(mb::status(end.call(self)), mb::status(manual ? end.manual : end.threaded));
                    const auto refused = self.try_push(1);
                    EXPECT_TRUE(refused == MB_ERR_CLOSED || refused == MB_ERR_INVALID_HANDLE) << refused.name();
                });
                    if (manual) static_cast<void>(set.batcher().try_flush());
                set.await();
                static_cast<void>(set.batcher().try_free());
            }
        }
    }
}

// Inside map every batcher is another: what waits in a callback of its own does so, and comes to an end.
TEST(Reentrancy, p25_every_call_inside_map) {
    for (const bool manual : {false, true}) {
        mb::batcher<> batcher{manual ? timeless() : mb::options{}, mb::handler([](auto& batch) {
                                  for (auto& row : batch) row.set_result(nullptr);
                              })};
        int visits = 0;
        const auto mapped = mb::map(std::vector<std::int64_t>{1}, mb::split{}, [&](auto& batch) {
            ++visits;
            for (const auto& one : acts(true)) {
                // Nobody runs a manual batcher for a future.
                if (manual && std::string_view(one.name).substr(0, 8) == "a future") continue;
                const auto inside = manual ? one.manual : one.threaded;
                EXPECT_EQ(mb::status(one.call(batcher)), mb::status(inside == MB_ERR_REENTRANT ? MB_OK : inside)) << one.name;
            }
            for (auto& row : batch) row.set_result(1);
        });
        EXPECT_EQ(visits, 1);
        EXPECT_EQ(mapped.size(), 1U);
        EXPECT_EQ(batcher.close(), 0U);
        EXPECT_EQ(batcher.stats().outstanding, 0U);
    }
}

// The calls of a host that pulls.
TEST(Reentrancy, p25_pulling_inside_a_callback) {
    std::optional<mb::held_batch<mb::value, mb::value>> second;
    mb::batcher<>* self = nullptr;
    int visits = 0;
    mb::batcher<> batcher{timeless().max_in_flight(2), mb::on_result([&](const auto&) {
                              if (visits++ > 0) return;
                              EXPECT_EQ(self->try_next_batch().status(), MB_ERR_REENTRANT);
                              EXPECT_EQ(error_of([&] { self->next_batch(); }).code(), MB_ERR_REENTRANT);
                              auto next = self->try_complete_next(*second);
                              EXPECT_EQ(next.status(), MB_OK);
                              EXPECT_FALSE(next->has_value()) << "on_result has the results";
                              EXPECT_EQ(self->try_complete_next(*second).status(), MB_ERR_TOO_LATE);
                              EXPECT_EQ(error_of([&] { self->complete_next(*second); }).code(), MB_ERR_TOO_LATE);
                          })};
    self = &batcher;
    batcher.push(1);
    batcher.seal();
    batcher.push(2);
    batcher.seal();
    auto first = batcher.next_batch();
    second.emplace(batcher.next_batch());
    EXPECT_EQ(first.try_complete(), MB_OK);
    batcher.run();
    EXPECT_EQ(visits, 2);
    EXPECT_EQ(batcher.close(), 0U);
}

}  // namespace
