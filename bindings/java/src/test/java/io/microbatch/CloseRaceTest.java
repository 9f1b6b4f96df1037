package io.microbatch;

import static io.microbatch.Kit.LONG;
import static io.microbatch.Kit.assertLaw;
import static io.microbatch.Kit.waitUntil;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** Close racing with everything, and the one result of every value through all of it. */
class CloseRaceTest {
    @Test
    void closeRacingWithPush() throws Exception {
        for (int round = 0; round < 300; round++) {
            AtomicLong delivered = new AtomicLong();
            AtomicLong taken = new AtomicLong();
            AtomicLong released = new AtomicLong();
            AtomicLong objects = new AtomicLong();
            var batcher = Batcher.<Object, Object>builder().maxBatchSize(16).handler(Batch::values)
                    .onRelease(object -> released.incrementAndGet())
                    .onResult(results -> delivered.addAndGet(results.size())).build();
            List<Thread> threads = new ArrayList<>();
            CountDownLatch go = new CountDownLatch(1);
            for (int id = 0; id < 4; id++) {
                int way = id;
                threads.add(new Thread(() -> {
                    try (var producer = batcher.producer(); var appender = batcher.appender(4)) {
                        appender.flush();
                        go.await();
                        for (; ; ) {
                            switch (way) {
                                case 0 -> batcher.pushInt64(1, 1);
                                case 1 -> {
                                    batcher.push(new Object(), 1);
                                    objects.incrementAndGet();
                                }
                                case 2 -> producer.pushInt64(1, 1);
                                default -> batcher.push("text", 1);
                            }
                            taken.incrementAndGet();
                        }
                    } catch (MicrobatchException closed) {
                        assertEquals("CLOSED", closed.name());
                    } catch (InterruptedException interrupt) {
                        throw new AssertionError(interrupt);
                    }
                }));
            }
            List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
            threads.forEach(thread -> thread.setUncaughtExceptionHandler((t, failure) -> failures.add(failure)));
            threads.forEach(Thread::start);
            go.countDown();
            if (round % 3 == 0) {
                batcher.stats();
            }
            Thread closer = new Thread(batcher::close);
            closer.start();
            batcher.close();
            closer.join();
            for (Thread thread : threads) {
                thread.join();
            }
            assertEquals(List.of(), failures);
            assertEquals(taken.get(), delivered.get());
            // handlers answer with the same objects: two references each
            waitUntil(() -> released.get() >= objects.get());
            assertTrue(released.get() <= 2 * objects.get());
        }
    }

    /** A push of megabytes is inside the engine for a while after close has stopped acceptance. */
    @Test
    void closeRacingWithLongPushes() throws Exception {
        byte[] bytes = new byte[4 << 20];
        String text = "\u00e9".repeat(2 << 20);
        for (int round = 0; round < 40; round++) {
            var batcher = Batcher.<Object, Object>builder().onFull("discard_oldest")
                    .batchHandler(batch -> batch.set(0, null)).build();
            List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
            List<Thread> threads = new ArrayList<>();
            AtomicInteger pushing = new AtomicInteger();
            for (Object value : new Object[] {bytes, text, bytes, text}) {
                threads.add(new Thread(() -> {
                    try {
                        for (; ; ) {
                            batcher.push(value, 1);
                            pushing.incrementAndGet();
                        }
                    } catch (MicrobatchException closed) {
                        assertEquals("CLOSED", closed.name());
                    }
                }));
            }
            threads.forEach(thread -> thread.setUncaughtExceptionHandler((t, failure) -> failures.add(failure)));
            threads.forEach(Thread::start);
            waitUntil(() -> pushing.get() > 4);
            batcher.abandon();
            for (Thread thread : threads) {
                thread.join();
            }
            assertEquals(List.of(), failures);
        }
    }

    @Test
    void everyCallRacingWithClose() throws Exception {
        for (int round = 0; round < 60; round++) {
            var batcher = Batcher.<Object, Object>builder().handler(Batch::values).build();
            List<Throwable> failures = Collections.synchronizedList(new ArrayList<>());
            List<Thread> threads = new ArrayList<>();
            List<org.junit.jupiter.api.function.Executable> calls = List.of(
                    batcher::stats, batcher::statsText, batcher::seal, () -> batcher.flush(Duration.ofMillis(1)),
                    () -> batcher.room(Duration.ZERO), () -> batcher.cancel(1), () -> batcher.check(1L),
                    batcher::now, batcher::nextDue, () -> batcher.submit(1L), () -> batcher.pushMany(new long[10], 0),
                    () -> batcher.producer().close(), batcher::shared, () -> batcher.close(Duration.ofMillis(1)));
            for (var call : calls) {
                threads.add(new Thread(() -> {
                    for (; ; ) {
                        try {
                            call.execute();
                        } catch (MicrobatchException refused) {
                            if (refused.name().equals("CLOSED")) {
                                try {
                                    batcher.stats();
                                } catch (MicrobatchException gone) {
                                    return;
                                }
                            }
                        } catch (Throwable failure) {
                            failures.add(failure);
                            return;
                        }
                    }
                }));
            }
            threads.forEach(Thread::start);
            batcher.close();
            for (Thread thread : threads) {
                thread.join();
            }
            assertEquals(List.of(), failures);
        }
    }

    @Test
    void everyAcceptedValueHasOneResult() throws Exception {
        int threads = 8;
        int each = 20_000;
        AtomicInteger[] seen = new AtomicInteger[threads * each];
        java.util.Arrays.setAll(seen, at -> new AtomicInteger());
        AtomicInteger handled = new AtomicInteger();
        AtomicInteger futures = new AtomicInteger();
        Stats stats;
        try (var batcher = Batcher.<Object, Object>builder().threads(2).queueCapacity(512).maxBatchSize(64)
                .batchHandler(batch -> {
                    if (handled.incrementAndGet() % 10 == 0) {
                        throw new IllegalStateException("every tenth");
                    }
                    batch.setAll(batch.values());
                })
                .onResult(results -> {
                    for (var result : results) {
                        if (result.tag() >= 0) {
                            seen[(int) result.tag()].incrementAndGet();
                        }
                    }
                }).build()) {
            List<Thread> all = new ArrayList<>();
            for (int id = 0; id < threads; id++) {
                int first = id * each;
                all.add(new Thread(() -> {
                    for (int at = first; at < first + each; at++) {
                        Object value = at % 3 == 0 ? (Object) (long) at : at % 3 == 1 ? "s" + at : new Object();
                        if (at % 5 == 0) {
                            int tag = at;
                            batcher.submit(value).whenComplete((v, failure) -> {
                                seen[tag].incrementAndGet();
                                futures.incrementAndGet();
                            });
                        } else {
                            batcher.push(value, at);
                        }
                        if (at % 97 == 0) {
                            try {
                                batcher.cancel(at - 1);
                            } catch (MicrobatchException late) {
                                assertTrue(late.name().equals("TOO_LATE") || late.name().equals("NOT_FOUND"));
                            }
                        }
                    }
                }));
            }
            all.forEach(Thread::start);
            Thread law = new Thread(() -> {
                while (!Thread.interrupted()) {
                    assertLaw(batcher.stats());
                }
            });
            law.start();
            for (Thread thread : all) {
                thread.join();
            }
            batcher.flush(LONG);
            law.interrupt();
            law.join();
            stats = batcher.stats();
        }
        for (AtomicInteger count : seen) {
            assertEquals(1, count.get());
        }
        assertEquals(threads * each, stats.accepted());
        assertEquals(threads * each / 5, futures.get());
        assertEquals(0, stats.outstanding());
    }
}
