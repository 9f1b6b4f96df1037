package io.microbatch;

import static io.microbatch.Kit.LONG;
import static io.microbatch.Kit.assertRefused;
import static io.microbatch.Kit.waitUntil;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** The batcher with threads: the ways in, and objects on all the ways out. */
class PushTest {
    private static Builder<Object, Object> echo() {
        return Batcher.<Object, Object>builder().handler(Batch::values);
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
}
