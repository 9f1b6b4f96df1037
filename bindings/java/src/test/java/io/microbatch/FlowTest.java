package io.microbatch;

import static io.microbatch.Kit.LONG;
import static io.microbatch.Kit.assertRefused;
import static io.microbatch.Kit.failureOf;
import static io.microbatch.Kit.waitUntil;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** The batcher with threads: pushes, flow, the end, pulling and seeing. */
class FlowTest {
    private static Builder<Object, Object> echo() {
        return Batcher.<Object, Object>builder().handler(Batch::values);
    }

    // ---- pushes ----

    @Test
    void p36_everythingThatIsWrongWithOptionsIsSaid() {
        var builder =
                Batcher.builder().maxBatchSize(-1).option("max_delya", "2ms").onFull("drop").handler(Batch::values);
        String message = Kit.assertRefused("INVALID_OPTION", builder::build).getMessage();
        for (String part : List.of("max_batch_size = \"-1\"", "did you mean max_delay?", "on_full = \"drop\"")) {
            assertTrue(message.contains(part), message);
        }
    }

    @Test
    void p05_tagsAndResultsByBatch() throws Exception {
        Map<Long, Object> seen = new ConcurrentHashMap<>();
        try (var batcher = Batcher.<Object, Object>builder().handler(batch -> batch.values())
                .onResult(results -> {
                    for (var result : results) {
                        seen.put(result.tag(), result.value());
                    }
                }).build()) {
            batcher.pushInt64(5, -1);
            batcher.pushFloat64(0.5, Long.MIN_VALUE);
            batcher.push("x", 3);
            batcher.flush(LONG);
            assertEquals(Map.of(-1L, 5L, Long.MIN_VALUE, 0.5, 3L, "x"), seen);
            assertThrows(IllegalArgumentException.class, () -> batcher.submit(1L));
        }
    }

    @Test
    void futuresAndTagsBesideEachOther() throws Exception {
        Map<Long, Object> seen = new ConcurrentHashMap<>();
        try (var batcher = echo().onResult(results -> results.forEach(r -> seen.put(r.tag(), r.value()))).build()) {
            var future = batcher.submit(1L);
            batcher.push(2L, 0);
            assertThrows(IllegalArgumentException.class, () -> batcher.push(3L, -1));
            batcher.flush(LONG);
            assertEquals(1L, future.get());
            assertEquals(2L, seen.get(0L));
        }
    }

    @Test
    void p06_bulkPushes() throws Exception {
        AtomicLong sum = new AtomicLong();
        AtomicLong count = new AtomicLong();
        try (var batcher = echo().onResult(results -> {
            for (var result : results) {
                sum.addAndGet(result.tag());
                count.incrementAndGet();
            }
        }).build()) {
            long[] numbers = new long[100_000];
            double[] doubles = new double[5_000];
            batcher.pushMany(numbers, 0);
            batcher.pushMany(doubles, 0);
            batcher.pushMany(new long[] {1, 2}, new long[] {7, 7});
            batcher.pushMany(Arrays.asList("a", null, 1L, new Object()), 1);
            batcher.flush(LONG);
            assertEquals(105_006, count.get());
            assertEquals(100_000L * 99_999 / 2 + 5_000L * 4_999 / 2 + 14 + 10, sum.get());
            var refused = assertThrows(PushManyException.class, () -> batcher.pushMany(Arrays.asList("a", "\uD800"), 1));
            assertEquals(1, refused.accepted());
            assertEquals("INVALID_UTF8", refused.name());
            assertThrows(IllegalArgumentException.class, () -> batcher.pushMany(numbers, new long[1]));
        }
    }

    @Test
    void appenderCollectsAndPushes() throws Exception {
        List<Object> seen = Collections.synchronizedList(new ArrayList<>());
        try (var batcher = echo().onResult(results -> results.forEach(r -> seen.add(r.tag() + ":" + r.value()))).build()) {
            try (var appender = batcher.appender(3)) {
                appender.append(1L, 1);
                appender.append(0.5, 2);
                assertEquals(2, appender.size());
                assertEquals(0, batcher.stats().accepted());
                appender.append("\uD83D\uDE00", 3);
                appender.append("", 4);
                assertEquals(1, appender.size());
                appender.append("y".repeat(1000), 5);
                assertRefused("INVALID_UTF8", () -> appender.append("\uD800", 6));
            }
            batcher.flush(LONG);
            assertEquals(
                    List.of("1:1", "2:0.5", "3:\uD83D\uDE00", "4:", "5:" + "y".repeat(1000)), List.copyOf(seen));
        }
    }

    @Test
    void appenderKeepsWhatIsRefused() throws Exception {
        try (var batcher = Batcher.<Long, Long>builder().onFull("reject").queueCapacity(2).maxBatchSize(2)
                .manual().handler(Batch::values).countResults().build();
                var appender = batcher.appender(8)) {
            for (int at = 0; at < 5; at++) {
                appender.append(at, at);
            }
            assertRefused("QUEUE_FULL", appender::flush);
            assertEquals(3, appender.size());
            batcher.run();
            assertRefused("QUEUE_FULL", appender::flush);
            assertEquals(1, appender.size());
            batcher.run();
        }
    }

    @Test
    void p11_producersKeepTheirOrder() throws Exception {
        Map<Long, Long> last = new ConcurrentHashMap<>();
        AtomicInteger wrong = new AtomicInteger();
        try (var batcher = Batcher.<Object, Object>builder().batchHandler(batch -> {
            for (int row = 0; row < batch.size(); row++) {
                long tag = batch.tag(row);
                long value = (Long) batch.value(row);
                Long before = last.put(tag, value);
                wrong.addAndGet(before != null && before >= value ? 1 : 0);
                batch.set(row, null);
            }
        }).build()) {
            List<Thread> threads = new ArrayList<>();
            for (int id = 0; id < 4; id++) {
                int tag = id;
                threads.add(new Thread(() -> {
                    try (var producer = batcher.producer()) {
                        for (long at = 0; at < 20_000; at++) {
                            producer.pushInt64(at, tag);
                        }
                    }
                }));
            }
            threads.forEach(Thread::start);
            for (Thread thread : threads) {
                thread.join();
            }
            batcher.flush(LONG);
            assertEquals(0, wrong.get());
            assertEquals(80_000, batcher.stats().ok());
            var producer = batcher.producer();
            producer.close();
            assertRefused("CLOSED", () -> producer.pushInt64(1, 1));
        }
    }

    // ---- flow ----

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

    // ---- pull, map, seeing ----

    @Test
    void p29_aHostThatPulls() throws Exception {
        try (var batcher = Batcher.<Object, Object>builder().option("results", "pull").build()) {
            batcher.push("a", 1);
            HeldBatch<Object> batch = batcher.nextBatch(LONG);
            batch.set(0, "A");
            batch.complete();
            assertEquals("A", batcher.nextResults(LONG).value(0));
            assertRefused("TIMEOUT", () -> batcher.nextBatch(Duration.ofMillis(1)));
            assertRefused("TIMEOUT", () -> batcher.nextResults(Duration.ZERO));
            assertRefused("WRONG_MODE", () -> batcher.submit(1L));
            batcher.close(LONG);
            assertRefused("CLOSED", () -> batcher.nextBatch(LONG));
            assertRefused("CLOSED", () -> batcher.nextResults(LONG));
        }
        try (var batcher = echo().build()) {
            assertRefused("WRONG_MODE", () -> batcher.nextBatch(LONG));
            assertRefused("WRONG_MODE", () -> batcher.nextResults(LONG));
            assertRefused("WRONG_MODE", batcher::run);
        }
    }

    @Test
    void p14_map() {
        List<Object> seen = new ArrayList<>();
        List<Object> mapped = Batcher.map(Arrays.asList(1L, "a", null, 2.5), Split.batches(2), (Batch<Object> batch) -> {
            seen.add(batch.size());
            return batch.values();
        });
        assertEquals(Arrays.asList(1L, "a", null, 2.5), mapped);
        assertEquals(List.of(2, 2), seen);
        Object thing = new Object();
        assertSame(thing, Batcher.map(List.of(thing), Split.size(1), Batch::values).get(0));
        var failed = assertThrows(MapException.class, () -> Batcher.<Long, Long>map(List.of(1L, 2L, 3L), Split.size(2), batch -> {
            if (batch.size() == 2) {
                throw new IllegalStateException("two");
            }
            return batch.values();
        }));
        assertEquals(3, failed.results().size());
        assertEquals(3L, failed.results().value(2));
        assertEquals("two", failed.results().error(0).getMessage());
        Results<Long> doubled = Batcher.map(new long[] {1, 2, 3}, Split.size(2),
                batch -> batch.setInt64s(Arrays.stream(batch.int64s()).map(v -> v * 2).toArray()));
        assertArrayEquals(new long[] {2, 4, 6}, doubled.int64s());
        assertRefused("WRONG_MODE", () -> {
            try {
                Batcher.map(new long[] {1}, Split.size(1), Batch::keep);
            } catch (MapException kept) {
                throw MicrobatchException.of(Status.named("WRONG_MODE").code(), kept.getMessage());
            }
        });
    }

    @Test
    void p36_optionsAreTheLibrarys() {
        var refused = assertRefused("INVALID_OPTION", () -> echo().option("max_delay", "5 parsecs").build());
        assertTrue(refused.getMessage().contains("parsecs"), refused.getMessage());
        assertRefused("INVALID_OPTION", () -> echo().option("nonsense", "1").build());
        assertRefused("INVALID_OPTION", () -> echo().maxBatchSize(10).queueCapacity(5).build());
        assertTrue(Option.all().stream().anyMatch(option -> option.name().equals("max_batch_size")));
        assertTrue(Status.all().size() > 20);
        assertEquals("QUEUE_FULL", Status.named("QUEUE_FULL").name());
        assertThrows(IllegalArgumentException.class, () -> Split.size(0));
        assertTrue(Batcher.version().matches("[0-9]+\\.[0-9]+\\.[0-9]+"));
    }

    @Test
    void p38_statsAndText() throws Exception {
        try (var batcher = echo().build()) {
            batcher.submit(1L).get();
            batcher.flush(LONG);
            Stats stats = batcher.stats();
            Kit.assertLaw(stats);
            assertEquals(1, stats.ok());
            assertEquals(1, stats.batchSize().count());
            assertEquals(1, stats.triggers().get(Trigger.IDLE));
            assertTrue(batcher.statsText().contains("# TYPE"), batcher.statsText());
        }
    }

    @Test
    void p01_objectsAreReleasedOnceOnEveryPath() throws Exception {
        Map<Object, Integer> released = Collections.synchronizedMap(new java.util.IdentityHashMap<>());
        List<Object> things = new ArrayList<>();
        Object result = new Object();
        try (var batcher = Batcher.<Object, Object>builder().maxBatchSize(4).maxDelay(LONG)
                .onRelease(object -> released.merge(object, 1, Integer::sum))
                .batchHandler(batch -> {
                    batch.set(0, result);
                    batch.set(0, result); // replaced
                    for (int row = 1; row < batch.size(); row++) {
                        batch.set(row, batch.value(row));
                    }
                    if (batch.tag(0) == 100) {
                        throw new IllegalStateException("failed part");
                    }
                }).build()) {
            for (int at = 0; at < 4; at++) {
                things.add(new Object());
                batcher.push(things.get(at), at);
            }
            for (int at = 4; at < 8; at++) {
                things.add(new Object());
                batcher.push(things.get(at), 96 + at);
            }
            batcher.flush(LONG);
            Object cancelled = new Object();
            batcher.push(cancelled, 7);
            assertEquals(1, batcher.cancel(7));
            Object expired = new Object();
            batcher.push(expired, 8, Duration.ZERO);
            waitUntil(() -> released.containsKey(expired) && released.containsKey(cancelled));
            Object discarded = new Object();
            batcher.push(discarded, 9);
            // The idle handler may be quicker than the end: then it has set the result twice more.
            long left = batcher.close(Duration.ZERO);
            waitUntil(() -> released.containsKey(discarded));
            assertRefused("CLOSED", () -> batcher.push(new Object(), 10));
            for (int at = 0; at < 8; at++) {
                // pushed once; set as a result once unless it was in the first row
                assertEquals(at % 4 == 0 ? 1 : 2, released.get(things.get(at)), "object " + at);
            }
            assertEquals(left == 1 ? 4 : 6, released.get(result));
            assertEquals(1, released.get(cancelled));
            assertEquals(1, released.get(expired));
            assertEquals(1, released.get(discarded));
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
