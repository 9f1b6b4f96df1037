package io.microbatch;

import static io.microbatch.Kit.LONG;
import static io.microbatch.Kit.assertRefused;
import static io.microbatch.Kit.failureOf;
import static io.microbatch.Kit.waitUntil;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** The batcher with threads: cancelling, deadlines, waits, the end. */
class FlowTest {
    private static Builder<Object, Object> echo() {
        return Batcher.<Object, Object>builder().handler(Batch::values);
    }

    @Test
    void p20_cancellingAFutureCancelsAWaitingValue() throws Exception {
        AtomicInteger handled = new AtomicInteger();
        try (var batcher = Batcher.<Long, Long>builder().maxDelay(LONG).handler(batch -> {
            handled.addAndGet(batch.size());
            return batch.values();
        }).build()) {
            var gone = batcher.submit(1L);
            var stays = batcher.submit(2L);
            assertTrue(gone.cancel(false));
            batcher.seal();
            assertEquals(2L, stays.get());
            assertEquals(1, handled.get());
            assertTrue(gone.isCancelled());
            batcher.flush(LONG);
            assertEquals(1, batcher.stats().cancelled());
            assertFalse(stays.cancel(true));
        }
    }

    @Test
    void p20_deadlines() throws Exception {
        CountDownLatch go = new CountDownLatch(1);
        try (var batcher = Batcher.<Long, Long>builder().maxBatchSize(1).handler(batch -> {
            go.await();
            return batch.values();
        }).build()) {
            var first = batcher.submit(1L);
            var late = batcher.submit(2L, Duration.ofMillis(5));
            var past = batcher.submit(3L, Duration.ofMillis(-5));
            var failure = failureOf(late);
            assertEquals("DEADLINE", failure.name());
            assertEquals(Handled.NO, failure.handled());
            assertEquals("DEADLINE", failureOf(past).name());
            go.countDown();
            assertEquals(1L, first.get());
        }
    }

    @Test
    void p22_aPushWaitsForRoom() throws Exception {
        CountDownLatch go = new CountDownLatch(1);
        try (var batcher = Batcher.<Long, Long>builder().maxBatchSize(1).queueCapacity(1).handler(batch -> {
            go.await();
            return batch.values();
        }).build()) {
            batcher.push(1L, 1);
            waitUntil(() -> batcher.stats().inFlight() == 1);
            batcher.push(2L, 2);
            Thread pusher = new Thread(() -> batcher.push(3L, 3));
            pusher.start();
            waitUntil(() -> pusher.getState() == Thread.State.TIMED_WAITING);
            assertRefused("QUEUE_FULL", () -> batcher.room(Duration.ofMillis(1)));
            go.countDown();
            pusher.join();
            batcher.room(LONG);
            batcher.flush(LONG);
            assertEquals(3, batcher.stats().ok());
        }
        try (var batcher = Batcher.<Long, Long>builder().maxBatchSize(1).queueCapacity(1)
                .pushTimeout(Duration.ofMillis(5)).maxDelay(LONG).batchHandler(Batch::keep).build()) {
            batcher.push(1L, 1);
            waitUntil(() -> batcher.stats().inFlight() == 1);
            batcher.push(2L, 2);
            var refused = assertRefused("QUEUE_FULL", () -> batcher.push(3L, 3));
            assertTrue(refused.retriable());
            batcher.close(Duration.ZERO);
        }
    }

    @Test
    void p23_flushEndsWhenResultsAreDelivered() throws Exception {
        AtomicInteger delivered = new AtomicInteger();
        try (var batcher = echo().maxDelay(LONG).onResult(results -> {
            try {
                Thread.sleep(1);
            } catch (InterruptedException interrupt) {
                return;
            }
            delivered.addAndGet(results.size());
        }).build()) {
            for (int round = 1; round <= 50; round++) {
                batcher.push(1L, 1);
                batcher.flush(LONG);
                assertEquals(round, delivered.get());
            }
            batcher.push(1L, 1);
            Mark mark = batcher.flushBegin();
            batcher.flushEnd(mark, LONG);
            assertEquals(51, delivered.get());
        }
    }

    @Test
    void p24_closeSaysWhatWasLeft() throws Exception {
        CountDownLatch go = new CountDownLatch(1);
        var batcher = Batcher.<Long, Long>builder().maxBatchSize(1).handler(batch -> {
            go.await();
            return batch.values();
        }).build();
        var first = batcher.submit(1L);
        var second = batcher.submit(2L);
        waitUntil(() -> batcher.stats().inFlight() == 1);
        assertEquals(2, batcher.close(Duration.ofMillis(5)));
        assertEquals("DISCARDED", failureOf(first).name());
        assertEquals(Handled.MAYBE, failureOf(first).handled());
        assertEquals(Handled.NO, failureOf(second).handled());
        assertRefused("CLOSED", () -> batcher.push(3L, 3));
        assertEquals(2, batcher.stats().discarded());
        go.countDown();
        batcher.close();
        assertRefused("CLOSED", batcher::stats);
        assertRefused("CLOSED", () -> batcher.submit(1L));
        assertRefused("CLOSED", batcher::producer);
        batcher.close();
        batcher.abandon();
    }

    @Test
    void p25_callbacksNeitherWaitNorDeadlock() throws Exception {
        AtomicReference<Batcher<Object, Object>> self = new AtomicReference<>();
        List<String> told = Collections.synchronizedList(new ArrayList<>());
        Runnable calls = () -> {
            var batcher = self.get();
            told.add(assertRefused("REENTRANT", () -> batcher.flush(LONG)).name());
            assertRefused("REENTRANT", () -> batcher.flushEnd(new Mark(0), LONG));
            var future = batcher.submit("inner");
            assertRefused("REENTRANT", future::join);
            assertRefused("REENTRANT", future::get);
            assertRefused("REENTRANT", () -> future.get(1, java.util.concurrent.TimeUnit.DAYS));
            assertRefused("REENTRANT", () -> future.thenApply(v -> v).join());
            batcher.stats();
            batcher.seal();
            batcher.check(1L);
        };
        try (var batcher = Batcher.<Object, Object>builder().handler(batch -> {
            if (batch.value(0).equals("outer")) {
                calls.run();
            }
            return batch.values();
        }).build()) {
            self.set(batcher);
            assertEquals("outer", batcher.submit("outer").get());
            // What depends on a future runs in a callback too; where it is attached late, it runs right here.
            batcher.submit("plain").thenAccept(value -> {
                if (Thread.currentThread().getName().contains("results")) {
                    calls.run();
                }
            }).get();
            batcher.flush(LONG);
            assertTrue(told.size() >= 1);
        }
    }

    @Test
    void p25_aPushInItsOwnHandlerIsRefusedAtOnce() throws Exception {
        AtomicReference<Batcher<Long, Long>> self = new AtomicReference<>();
        try (var batcher = Batcher.<Long, Long>builder().maxBatchSize(1).queueCapacity(1).handler(batch -> {
            if (batch.value(0) == 0) {
                self.get().push(1L, 1);
                assertRefused("QUEUE_FULL", () -> self.get().push(2L, 2));
                assertRefused("QUEUE_FULL", () -> self.get().room(LONG));
            }
            return batch.values();
        }).build()) {
            self.set(batcher);
            assertEquals(0L, batcher.submit(0L).get());
        }
    }

    @Test
    void p25_closeInACallbackBegins() throws Exception {
        AtomicReference<Batcher<Long, Long>> self = new AtomicReference<>();
        var batcher = Batcher.<Long, Long>builder().maxBatchSize(1).handler(batch -> {
            assertRefused("IN_PROGRESS", () -> self.get().close(LONG));
            self.get().close();
            return batch.values();
        }).build();
        self.set(batcher);
        assertEquals(1L, batcher.submit(1L).get());
        waitUntil(() -> {
            try {
                batcher.stats();
                return false;
            } catch (MicrobatchException closed) {
                return true;
            }
        });
    }

    @Test
    void p21_aHungHandlerExpiresAndItsObjectsComeBack() throws Exception {
        CountDownLatch go = new CountDownLatch(1);
        AtomicInteger released = new AtomicInteger();
        try (var batcher = Batcher.<Object, Object>builder().maxBatchSize(1).maxInFlight(2).threads(2)
                .handlerTimeout(Duration.ofMillis(5)).onRelease(object -> released.incrementAndGet())
                .handler(batch -> {
                    go.await();
                    return List.of(new Object());
                }).build()) {
            var future = batcher.submit(new Object());
            var failure = failureOf(future);
            assertEquals("HANDLER_TIMEOUT", failure.name());
            assertEquals(Handled.MAYBE, failure.handled());
            assertEquals(0, released.get());
            go.countDown();
            // the value, and the result that came too late
            waitUntil(() -> released.get() == 2);
            assertEquals(1, batcher.stats().late());
        }
    }

    @Test
    void p24_abandonTakesNothingMoreFromItsReturnOn() {
        for (int round = 0; round < 100; round++) {
            var batcher = Batcher.<Object, Object>builder().handler(Batch::values).build();
            batcher.abandon();
            assertRefused("CLOSED", () -> batcher.pushInt64(1, 1));
            assertRefused("CLOSED", () -> batcher.submit("text"));
            assertRefused("CLOSED", batcher::seal);
        }
    }
}
