// Flushing, closing, and a host that drives by descriptor and clock.
#include "kit.hpp"

#include <poll.h>

namespace {

using Flow = Counting;

TEST_F(Flow, p23_flush_in_two_halves) {
    mb::batcher<std::int64_t> batcher{mb::options{}.max_delay(mb::forever), echo};
    auto future = batcher.submit(1);
    const auto mark = batcher.flush_begin();
    batcher.flush_end(mark);
    EXPECT_TRUE(future.ready());
    EXPECT_EQ(batcher.try_flush_end(mb::mark(99)), MB_ERR_INVALID_ARGUMENT);
    batcher.push(2);
    batcher.seal();
    batcher.flush(1h);
    EXPECT_EQ(batcher.try_flush(-1s), MB_ERR_INVALID_ARGUMENT);
}

TEST_F(Flow, p24_close_says_how_many_are_left) {
    mb::batcher<std::int64_t> batcher{timeless(), echo};
    batcher.push_many(numbers(7, 1));
    EXPECT_EQ(batcher.close(0s), 7U);
    EXPECT_EQ(batcher.try_close().left, 7U) << "closing again asks";
    EXPECT_EQ(error_of([&] { batcher.push(1); }).code(), MB_ERR_CLOSED);
    EXPECT_EQ(batcher.try_seal(), MB_ERR_CLOSED);
}

TEST_F(Flow, p25_calls_inside_callbacks) {
    std::vector<mb_status> answers;
    mb::batcher<std::int64_t>* self = nullptr;
    mb::batcher<std::int64_t> batcher{timeless(), [&](auto& batch) {
                                          answers = {self->try_seal().code(), self->try_flush().code(),
                                                     self->try_run().code(), self->try_room(1h).code(),
                                                     self->try_close().status.code(), self->try_stats().status().code()};
                                          echo(batch);
                                      }};
    self = &batcher;
    batcher.push(1);
    static_cast<void>(batcher.try_flush());
    EXPECT_EQ(answers, (std::vector<mb_status>{MB_OK, MB_ERR_REENTRANT, MB_ERR_REENTRANT, MB_OK, MB_ERR_IN_PROGRESS, MB_OK}));
}

TEST_F(Flow, p28_a_host_drives_by_descriptor_and_clock) {
    mb::batcher<std::int64_t> batcher{timeless().max_delay(5ns), echo};
    pollfd descriptor{batcher.fd(), POLLIN, 0};
    EXPECT_EQ(poll(&descriptor, 1, 0), 0);
    EXPECT_EQ(batcher.next_due(), std::chrono::nanoseconds::max());
    auto future = batcher.submit(1);
    EXPECT_EQ(batcher.next_due(), 5ns);
    EXPECT_EQ(batcher.now(), 0ns);
    batcher.advance(5ns);
    EXPECT_EQ(poll(&descriptor, 1, 1000), 1);
    batcher.run();
    EXPECT_EQ(future.get(), 1);
    mb::batcher<std::int64_t> threaded{mb::options{}, echo};
    EXPECT_EQ(threaded.try_run(), MB_ERR_WRONG_MODE);
    EXPECT_EQ(error_of([&] { threaded.advance(1ns); }).code(), MB_ERR_WRONG_MODE);
}

TEST_F(Flow, p22_room_is_waited_for) {
    mb::batcher<std::int64_t> batcher{timeless().on_full(mb::on_full::reject).queue_capacity(1).max_batch_size(1), echo};
    batcher.room(0s);
    batcher.push(1);
    EXPECT_EQ(error_of([&] { batcher.room(0s); }).code(), MB_ERR_QUEUE_FULL);
    batcher.run();
    batcher.room(0s);
}

}  // namespace
