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
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** The batcher with threads: values and handlers. */
class ThreadedTest {
    private static Builder<Object, Object> echo() {
        return Batcher.<Object, Object>builder().handler(Batch::values);
    }

    // ---- values ----

    @Test
    void p03_everyKindComesBackToTheLastBit() throws Exception {
        Object thing = new Object();
        List<Object> values =
                Arrays.asList(
                        null, true, false, Long.MIN_VALUE, Long.MAX_VALUE, 0L, -1L, -0.0, 0.0,
                        Double.longBitsToDouble(0x7ff8_dead_beef_0001L), Double.NEGATIVE_INFINITY, Double.MIN_VALUE,
                        "", "\0", "a\0b", "\uD83D\uDE00", "é", "x".repeat(100_000), new byte[0],
                        new byte[] {0, -1, -128}, thing);
        try (var batcher = echo().maxDelay(Duration.ofMillis(1)).build()) {
            List<CompletableFuture<Object>> futures = new ArrayList<>();
            values.forEach(value -> futures.add(batcher.submit(value)));
            for (int at = 0; at < values.size(); at++) {
                assertSameValue(values.get(at), futures.get(at).get());
            }
            // narrower types widen
            assertEquals(7L, batcher.submit((short) 7).get());
            assertEquals(-7L, batcher.submit((byte) -7).get());
            assertEquals(7L, batcher.submit(7).get());
            assertEquals(0.5, batcher.submit(0.5f).get());
        }
    }

    private static void assertSameValue(Object expected, Object actual) {
        if (expected instanceof Double number) {
            assertEquals(Double.doubleToRawLongBits(number), Double.doubleToRawLongBits((Double) actual));
        } else if (expected instanceof byte[] bytes) {
            assertArrayEquals(bytes, (byte[]) actual);
        } else if (expected != null && expected.getClass() == Object.class) {
            assertSame(expected, actual);
        } else {
            assertEquals(expected, actual);
        }
    }

    @Test
    void p03_loneSurrogatesAreRefusedBeforeEncoding() throws Exception {
        try (var batcher = echo().build()) {
            for (String bad : List.of("\uD800", "ab\uDC00c", "\uD83D\uD83D\uDE00", "x\uDBFF")) {
                var refused = assertRefused("INVALID_UTF8", () -> batcher.push(bad, 1));
                assertTrue(refused.getMessage().contains("lone surrogate"), refused.getMessage());
                assertRefused("INVALID_UTF8", () -> batcher.submit(bad));
                assertRefused("INVALID_UTF8", () -> batcher.check(bad));
            }
            assertEquals("\uD83D\uDE00", batcher.submit("\uD83D\uDE00").get());
            // two futures: the one above, and none of the refused
            assertEquals(1, batcher.stats().accepted());
        }
        try (var batcher = Batcher.<Long, Object>builder().handler(batch -> List.of("\uD800")).build()) {
            var failure = failureOf(batcher.submit(1L));
            assertEquals("HANDLER_FAILED", failure.name());
            assertTrue(failure.getMessage().contains("lone surrogate"));
        }
    }

    // ---- handlers ----

    @Test
    void p13_handlersPerKind() throws Exception {
        Map<Long, List<String>> calls = new ConcurrentHashMap<>();
        var builder = Batcher.<Object, Object>builder().maxBatchSize(6).maxDelay(LONG);
        builder.handler(Kind.INT64, batch -> {
            calls.computeIfAbsent(batch.number(), n -> Collections.synchronizedList(new ArrayList<>())).add("int64");
            return Arrays.stream(batch.int64s()).map(v -> v * 2).boxed().toList();
        });
        builder.batchHandler(Kind.STRING, batch -> {
            calls.get(batch.number()).add("string");
            throw new IllegalStateException("no strings");
        });
        builder.batchHandler(batch -> {
            calls.get(batch.number()).add("default");
            for (int row = 0; row < batch.size(); row++) {
                batch.set(row, "d" + batch.value(row));
            }
        });
        try (var batcher = builder.build()) {
            var first = batcher.submit(1);
            var text = batcher.submit("a");
            var none = batcher.submit(null);
            var second = batcher.submit(2);
            var truth = batcher.submit(true);
            var number = batcher.submit(1.5);
            assertEquals(2L, first.get());
            assertEquals(4L, second.get());
            assertEquals("dnull", none.get());
            assertEquals("dtrue", truth.get());
            assertEquals("d1.5", number.get());
            var failure = failureOf(text);
            assertEquals("java.lang.IllegalStateException", failure.typeName());
            assertEquals("no strings", failure.getMessage());
            assertEquals(List.of("int64", "string", "default"), calls.get(1L));
        }
    }

    @Test
    void p13_aKindWithoutHandlerIsRefused() {
        try (var batcher = Batcher.<Object, Object>builder().handler(Kind.INT64, Batch::values).build()) {
            assertRefused("NO_HANDLER", () -> batcher.push("a", 1));
            assertRefused("NO_HANDLER", () -> batcher.pushFloat64(1.5, 1));
            assertRefused("NO_HANDLER", () -> batcher.check(null));
            assertRefused("NO_HANDLER", () -> batcher.pushMany(new double[] {1}, 1));
            var refused = assertThrows(PushManyException.class, () -> batcher.pushMany(Arrays.asList(1L, 2L, "a"), 1));
            assertEquals(2, refused.accepted());
            assertEquals("NO_HANDLER", refused.name());
            batcher.push(1L, 9);
        }
    }

    @Test
    void p17_theErrorIsTheObjectThrown() throws Exception {
        var thrown = new IllegalArgumentException("row");
        var all = new java.io.IOException("all");
        try (var batcher = Batcher.<Long, Long>builder().maxBatchSize(2).maxDelay(LONG).batchHandler(batch -> {
            if (batch.value(0) == 0) {
                throw all;
            }
            batch.set(0, 10L);
            batch.fail(1, thrown);
        }).build()) {
            var a = batcher.submit(1L);
            var b = batcher.submit(2L);
            assertEquals(10L, a.get());
            assertSame(thrown, failureOf(b).getCause());
            assertEquals(Handled.YES, failureOf(b).handled());
            var c = batcher.submit(0L);
            var d = batcher.submit(0L);
            assertSame(all, failureOf(c).getCause());
            assertSame(all, failureOf(d).getCause());
            assertEquals("HANDLER_FAILED", failureOf(d).name());
            assertEquals("java.io.IOException", failureOf(d).typeName());
        }
    }

    @Test
    void p17_errorsOfEverySort() throws Exception {
        List<Throwable> thrown = List.of(
                new StackOverflowError("deep"), new OutOfMemoryError("full"), new HandlerException(42, "mine"),
                new AssertionError("wrong"), new InterruptedException("stop"));
        AtomicInteger at = new AtomicInteger();
        try (var batcher = Batcher.<Long, Long>builder().maxBatchSize(1).batchHandler(batch -> {
            Throwable next = thrown.get(at.getAndIncrement());
            if (next instanceof Error error) {
                throw error;
            }
            throw (Exception) next;
        }).build()) {
            for (Throwable expected : thrown) {
                var failure = failureOf(batcher.submit(1L));
                assertSame(expected, failure.getCause());
                assertEquals(expected instanceof HandlerException ? 42 : Status.named("HANDLER_FAILED").code(), failure.code());
            }
        }
    }

    @Test
    void p17_aListOfAnotherLengthFailsTheBatch() throws Exception {
        try (var batcher = Batcher.<Object, Object>builder().maxBatchSize(2).maxDelay(LONG)
                .handler(batch -> List.of(1L)).build()) {
            var first = batcher.submit(1L);
            var second = batcher.submit("a");
            assertEquals("RESULT_COUNT", failureOf(first).name());
            assertTrue(failureOf(second).getMessage().contains("1") && failureOf(second).getMessage().contains("2"));
        }
        try (var batcher = Batcher.<Object, Object>builder().maxBatchSize(3).maxDelay(LONG)
                .handler(Kind.INT64, batch -> List.of(1L)).handler(batch -> null).build()) {
            var first = batcher.submit(1L);
            var second = batcher.submit(2L);
            var third = batcher.submit("a");
            assertEquals("RESULT_COUNT", failureOf(first).name());
            assertEquals("RESULT_COUNT", failureOf(second).name());
            assertEquals("java.lang.NullPointerException", failureOf(third).typeName());
        }
    }

    @Test
    void asyncHandlersOverlapUpToMaxInFlight() throws Exception {
        List<CompletableFuture<List<Long>>> stages = Collections.synchronizedList(new ArrayList<>());
        try (var batcher = Batcher.<Long, Long>builder().maxBatchSize(1).maxInFlight(3).asyncHandler(batch -> {
            var stage = new CompletableFuture<List<Long>>();
            stages.add(stage);
            return stage;
        }).build()) {
            var futures = List.of(batcher.submit(1L), batcher.submit(2L), batcher.submit(3L), batcher.submit(4L));
            waitUntil(() -> stages.size() == 3);
            assertEquals(3, batcher.stats().inFlight());
            stages.get(2).complete(List.of(30L));
            assertEquals(30L, futures.get(2).get());
            waitUntil(() -> stages.size() == 4);
            var broken = new IllegalStateException("broken");
            stages.get(0).completeExceptionally(broken);
            assertSame(broken, failureOf(futures.get(0)).getCause());
            stages.get(1).complete(List.of());
            assertEquals("RESULT_COUNT", failureOf(futures.get(1)).name());
            stages.get(3).complete(List.of(40L));
            assertEquals(40L, futures.get(3).get());
        }
    }

    @Test
    void handlersRunOnTheExecutor() throws Exception {
        ExecutorService executor = Executors.newFixedThreadPool(2, body -> new Thread(body, "mine"));
        try (var batcher = Batcher.<Long, String>builder().executor(executor)
                .handler(batch -> Collections.nCopies(batch.size(), Thread.currentThread().getName())).build()) {
            assertEquals("mine", batcher.submit(1L).get());
            executor.shutdown();
            var failure = failureOf(batcher.submit(2L));
            assertTrue(failure.getCause() instanceof RejectedExecutionException);
        }
    }

    /** The engine never brings a thread of its own into the virtual machine. */
    @Test
    void p29_usersCodeRunsOnThreadsThatJavaOwns() throws Exception {
        Set<Thread> made = ConcurrentHashMap.newKeySet();
        Set<Thread> seen = ConcurrentHashMap.newKeySet();
        AtomicInteger released = new AtomicInteger();
        AtomicInteger logged = new AtomicInteger();
        Runnable look = () -> seen.add(Thread.currentThread());
        try (var batcher = Batcher.<Object, Object>builder().maxBatchSize(4).maxDelay(LONG).threads(2)
                .handlerTimeout(Duration.ofMillis(5))
                .threadFactory(body -> {
                    Thread thread = new Thread(body);
                    made.add(thread);
                    return thread;
                })
                .handler(batch -> {
                    look.run();
                    return batch.values();
                })
                .onResult(results -> {
                    look.run();
                    throw new IllegalStateException("for the log");
                })
                .onRelease(object -> {
                    look.run();
                    released.incrementAndGet();
                })
                .log((level, message, thrown) -> {
                    look.run();
                    logged.incrementAndGet();
                }).build()) {
            batcher.push(new Object(), 1, Duration.ofMillis(1)); // expires by the engine's own clock
            waitUntil(() -> released.get() == 1);
            for (int at = 0; at < 40; at++) {
                batcher.submit(new Object()).whenComplete((value, failure) -> look.run());
                batcher.push(new Object(), at, at % 2 == 0 ? Duration.ZERO : LONG);
            }
            batcher.flush(LONG);
            waitUntil(() -> batcher.core.slots.size() == 0 && logged.get() > 0);
        }
        seen.remove(Thread.currentThread());
        assertTrue(made.containsAll(seen), seen + " of " + made);
        assertFalse(seen.isEmpty());
    }

    @Test
    void p18_keptBatches() throws Exception {
        AtomicReference<HeldBatch<Object>> held = new AtomicReference<>();
        try (var batcher = Batcher.<Object, Object>builder().maxBatchSize(2).maxDelay(LONG)
                .batchHandler(batch -> held.set(batch.keep())).build()) {
            var first = batcher.submit(1L);
            var second = batcher.submit("b");
            waitUntil(() -> held.get() != null);
            assertFalse(first.isDone());
            held.get().set(0, 5L);
            held.get().completeOk();
            assertEquals(5L, first.get());
            assertEquals(null, second.get());
            assertRefused("TOO_LATE", () -> held.get().complete());
            assertRefused("TOO_LATE", () -> held.get().set(0, 1L));
            assertEquals("b", held.get().value(1));
        }
    }

    @Test
    void p18_keptPartsOfAMixedBatch() throws Exception {
        AtomicReference<HeldBatch<Object>> held = new AtomicReference<>();
        try (var batcher = Batcher.<Object, Object>builder().maxBatchSize(2).maxDelay(LONG)
                .batchHandler(Kind.INT64, batch -> held.set(batch.keep())).handler(Batch::values).build()) {
            var first = batcher.submit(1L);
            var second = batcher.submit("b");
            waitUntil(() -> held.get() != null);
            held.get().set(0, "late");
            held.get().complete();
            assertEquals("late", first.get());
            assertEquals("b", second.get());
        }
    }

    @Test
    void p18_aHeldBatchThatIsLostFailsItsValues() throws Exception {
        try (var batcher = Batcher.<Object, Object>builder().batchHandler(Batch::keep).build()) {
            var future = batcher.submit(1L);
            while (!future.isDone()) {
                System.gc();
                Thread.sleep(5);
            }
            assertEquals("NO_RESULT", failureOf(future).name());
        }
    }
}
