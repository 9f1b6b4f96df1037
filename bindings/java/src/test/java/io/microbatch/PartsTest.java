package io.microbatch;

import static io.microbatch.Kit.LONG;
import static io.microbatch.Kit.assertRefused;
import static io.microbatch.Kit.failureOf;
import static io.microbatch.Kit.waitUntil;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** What the engine does for a host that pulls: parts one after another, refusals that count once, results in order. */
class PartsTest {
    @Test
    void p13_refusedKindsAreCounted() throws Exception {
        try (var batcher = Batcher.<Object, Object>builder().handler(Kind.INT64, Batch::values).build()) {
            assertRefused("NO_HANDLER", () -> batcher.push("text", 1));
            assertRefused("NO_HANDLER", () -> batcher.submit(0.5));
            assertRefused("NO_HANDLER", () -> batcher.check(true));
            PushManyException many = null;
            try {
                batcher.pushMany(Arrays.asList(1L, 2L, "text", 3L), 10);
            } catch (PushManyException refused) {
                many = refused;
            }
            assertEquals(2, many.accepted());
            assertEquals(Map.of("NO_HANDLER", 3L), batcher.stats().refusals());
        }
    }

    @Test
    void p21_finishedPartsKeepTheirResults() throws Exception {
        CountDownLatch hang = new CountDownLatch(1);
        try (var batcher =
                Batcher.<Object, Object>builder()
                        .maxDelay(Duration.ofSeconds(100))
                        .handlerTimeout(Duration.ofMillis(50))
                        .handler(Kind.INT64, Batch::values)
                        .handler(
                                Kind.STRING,
                                batch -> {
                                    hang.await();
                                    return batch.values();
                                })
                        .handler(Batch::values)
                        .build()) {
            CompletableFuture<Object> other = batcher.submit(true);
            CompletableFuture<Object> text = batcher.submit("text");
            CompletableFuture<Object> number = batcher.submit(7L);
            batcher.seal();
            assertEquals(7L, number.get());
            assertEquals("HANDLER_TIMEOUT", failureOf(text).name());
            assertEquals(Handled.MAYBE, failureOf(text).handled());
            assertEquals("HANDLER_TIMEOUT", failureOf(other).name());
            assertEquals(Handled.NO, failureOf(other).handled());
            hang.countDown();
            waitUntil(() -> batcher.stats().late() == 1);
            CompletableFuture<Object> next = batcher.submit(8L);
            batcher.seal();
            assertEquals(8L, next.get());
        } finally {
            hang.countDown();
        }
    }

    /** A handler that answers later has returned: the next one begins, and the parts end in any order. */
    @Test
    void p13_theNextHandlerBeginsWhenOneHasReturned() throws Exception {
        CompletableFuture<List<Object>> later = new CompletableFuture<>();
        AtomicReference<HeldBatch<Object>> held = new AtomicReference<>();
        AtomicInteger inside = new AtomicInteger();
        try (var batcher =
                Batcher.<Object, Object>builder()
                        .maxDelay(Duration.ofSeconds(100))
                        .threads(3)
                        .maxInFlight(1)
                        .asyncHandler(Kind.INT64, batch -> later)
                        .batchHandler(
                                Kind.STRING,
                                batch -> {
                                    assertEquals(1, inside.incrementAndGet());
                                    held.set(batch.keep());
                                    Thread.sleep(20);
                                    inside.decrementAndGet();
                                })
                        .batchHandler(
                                batch -> {
                                    assertEquals(1, inside.incrementAndGet());
                                    batch.set(0, "last");
                                    inside.decrementAndGet();
                                })
                        .build()) {
            CompletableFuture<Object> truth = batcher.submit(true);
            CompletableFuture<Object> text = batcher.submit("text");
            CompletableFuture<Object> number = batcher.submit(7L);
            batcher.seal();
            waitUntil(() -> held.get() != null && batcher.stats().inFlight() == 1);
            assertFalse(truth.isDone());
            later.complete(List.of(14L));
            held.get().set(0, "kept");
            held.get().complete();
            assertEquals("last", truth.get());
            assertEquals("kept", text.get());
            assertEquals(14L, number.get());
            assertEquals(1, batcher.stats().batches());
        }
    }

    /** Every push that finds no room, and every way to make one, counts one refusal, however long it has waited. */
    @Test
    void p22_aRefusalCountsOnce() throws Exception {
        CountDownLatch hang = new CountDownLatch(1);
        var builder =
                Batcher.<Object, Object>builder()
                        .maxBatchSize(1)
                        .queueCapacity(1)
                        .option("push_timeout", "30ms")
                        .batchHandler(batch -> hang.await());
        try (var batcher = builder.build()) {
            batcher.pushInt64(1, 1);
            waitUntil(() -> batcher.stats().inFlight() == 1);
            batcher.pushInt64(2, 2);
            List<Runnable> pushes =
                    List.of(
                            () -> batcher.pushInt64(3, 3),
                            () -> batcher.pushFloat64(3, 3),
                            () -> batcher.push("text", 3),
                            () -> batcher.push(3L, 3, LONG),
                            () -> batcher.submit(3L),
                            () -> batcher.pushMany(new long[] {3, 4}, 3),
                            () -> batcher.pushMany(new double[] {3, 4}, new long[] {3, 4}),
                            () -> batcher.pushMany(List.of("a", "b"), 3),
                            () -> {
                                Appender appender = batcher.appender(4);
                                appender.append(3, 3);
                                appender.flush();
                            },
                            () -> {
                                try (var producer = batcher.producer()) {
                                    producer.pushInt64(3, 3);
                                }
                            },
                            () -> {
                                try (var producer = batcher.producer()) {
                                    producer.push("text", 3);
                                }
                            });
            long refused = 0;
            for (Runnable push : pushes) {
                long begun = System.nanoTime();
                assertRefused("QUEUE_FULL", push::run);
                assertTrue(System.nanoTime() - begun >= 30_000_000);
                assertEquals(Map.of("QUEUE_FULL", ++refused), batcher.stats().refusals());
            }
            // An interrupt ends the wait, with the one refusal.
            Thread.currentThread().interrupt();
            assertRefused("QUEUE_FULL", () -> batcher.pushInt64(3, 3));
            assertTrue(Thread.interrupted());
            assertEquals(Map.of("QUEUE_FULL", ++refused), batcher.stats().refusals());
            hang.countDown();
        } finally {
            hang.countDown();
        }
    }

    @Test
    void p22_aPushThatFoundRoomWasNotRefused() throws Exception {
        CountDownLatch hang = new CountDownLatch(1);
        try (var batcher =
                Batcher.<Object, Object>builder()
                        .maxBatchSize(1)
                        .queueCapacity(1)
                        .handler(
                                batch -> {
                                    hang.await();
                                    return batch.values();
                                })
                        .build()) {
            CompletableFuture<Object> first = batcher.submit(1L);
            waitUntil(() -> batcher.stats().inFlight() == 1);
            batcher.submit(2L);
            AtomicReference<CompletableFuture<Object>> third = new AtomicReference<>();
            Thread waits = new Thread(() -> third.set(batcher.submit(3L)));
            waits.start();
            waitUntil(() -> waits.getState() == Thread.State.TIMED_WAITING);
            hang.countDown();
            waits.join();
            assertEquals(1L, first.get());
            assertEquals(3L, third.get().get());
            assertEquals(Map.of(), batcher.stats().refusals());
        } finally {
            hang.countDown();
        }
    }

    /** Without an executor the thread of the handler delivers: no other is woken for it. */
    @Test
    void p19_theHandlersThreadDelivers() throws Exception {
        List<String> threads = new ArrayList<>();
        try (var batcher =
                Batcher.<Long, Long>builder()
                        .maxBatchSize(1)
                        .handler(Batch::values)
                        .onResult(results -> threads.add(Thread.currentThread().getName()))
                        .build()) {
            for (long value = 0; value < 100; value++) {
                batcher.push(value, value);
            }
            batcher.flush(LONG);
            assertEquals(100, threads.size());
            assertTrue(threads.stream().allMatch(name -> name.contains("handler")), threads.toString());
        }
    }

    /** A result that no handler's thread brings comes while the only one is busy. */
    @Test
    void p20_aCancelledValueDoesNotWaitForTheHandler() throws Exception {
        CountDownLatch hang = new CountDownLatch(1);
        try (var batcher =
                Batcher.<Object, Object>builder()
                        .maxBatchSize(1)
                        .handler(
                                batch -> {
                                    hang.await();
                                    return batch.values();
                                })
                        .onResult(results -> {})
                        .build()) {
            CompletableFuture<Object> first = batcher.submit(1L);
            waitUntil(() -> batcher.stats().inFlight() == 1);
            batcher.submit(2L).cancel(true);
            waitUntil(() -> batcher.stats().cancelled() == 1 && batcher.stats().undelivered() == 0);
            assertFalse(first.isDone());
            hang.countDown();
            assertEquals(1L, first.get());
        } finally {
            hang.countDown();
        }
    }

    /** Results come one set at a time and, if that was asked for, in order, whoever completes the batches. */
    @Test
    void p19_deliveryIsOrderedAndNeverBesideItself() throws Exception {
        int values = 20_000;
        var executor = Executors.newFixedThreadPool(3);
        for (boolean held : new boolean[] {false, true}) {
            List<Long> order = new ArrayList<>();
            AtomicInteger inside = new AtomicInteger();
            AtomicInteger most = new AtomicInteger();
            try (var batcher =
                    Batcher.<Long, Long>builder()
                            .option("delivery", "ordered")
                            .maxBatchSize(8)
                            .threads(4)
                            .batchHandler(
                                    batch -> {
                                        batch.setInt64s(batch.int64s());
                                        if (held && batch.number() % 3 == 0) {
                                            HeldBatch<Long> kept = batch.keep();
                                            executor.execute(kept::complete);
                                        } else if (ThreadLocalRandom.current().nextInt(8) == 0) {
                                            Thread.yield();
                                        }
                                    })
                            .onResult(
                                    results -> {
                                        most.accumulateAndGet(inside.incrementAndGet(), Math::max);
                                        for (Result<Long> result : results) {
                                            order.add(result.value());
                                        }
                                        inside.decrementAndGet();
                                    })
                            .build()) {
                for (long value = 0; value < values; value++) {
                    batcher.push(value, value);
                }
                batcher.flush(LONG);
                assertEquals(values, order.size());
                for (int at = 0; at < values; at++) {
                    assertEquals(at, order.get(at));
                }
                assertEquals(1, most.get());
            }
        }
        executor.shutdown();
    }

    // ---- pulled by the user ----

    @Test
    void p13_aPulledPartIsPassedOnOrCompletedWithTheNextResults() throws Exception {
        try (var batcher =
                Batcher.<Object, Object>builder()
                        .maxDelay(Batcher.FOREVER)
                        .option("results", "pull")
                        .pullHandler(Kind.INT64)
                        .pullHandler(Kind.STRING)
                        .build()) {
            batcher.push(1L, 1);
            batcher.push("two", 2);
            assertRefused("NO_HANDLER", () -> batcher.push(0.5, 3));
            batcher.seal();
            HeldBatch<Object> numbers = batcher.nextBatch(LONG);
            assertEquals(List.of(1L), numbers.values());
            assertSame(numbers, numbers.keep());
            assertRefused("INVALID_ARGUMENT", numbers::keep);
            HeldBatch<Object> strings = batcher.nextBatch(LONG);
            assertEquals(List.of("two"), strings.values());
            strings.setAll(List.of("zwei"));
            assertNull(strings.completeNext(), "the other part is under way");
            numbers.setAll(List.of("eins"));
            Results<Object> results = numbers.completeNext();
            assertEquals(List.of("eins", "zwei"), List.of(results.value(0), results.value(1)));
            assertRefused("TOO_LATE", numbers::completeNext);
        }
    }

    @Test
    void p29_whatTheBatchersOwnThreadsTakeIsNotTakenElsewhere() throws Exception {
        List<Object> delivered = new ArrayList<>();
        try (var batcher =
                Batcher.<Object, Object>builder()
                        .maxDelay(Duration.ZERO)
                        .onResult(results -> delivered.add(results.value(0)))
                        .build()) {
            batcher.push(1L, 1);
            HeldBatch<Object> held = batcher.nextBatch(LONG);
            held.set(0, 2L);
            assertRefused("WRONG_MODE", held::completeNext);
            held.complete();
            batcher.flush(LONG);
        }
        assertEquals(List.of(2L), delivered);
        var both = Batcher.<Object, Object>builder().pullHandler().handler(Batch::values);
        assertThrows(IllegalArgumentException.class, both::build);
    }
}
