package io.microbatch;

import static io.microbatch.Kit.LONG;
import static io.microbatch.Kit.assertRefused;
import static io.microbatch.Kit.failureOf;
import static io.microbatch.Kit.threadsOfProcess;
import static io.microbatch.Kit.waitUntil;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** Exceptions in every callback, interrupts in every wait. */
class HazardTest {
    @Test
    void exceptionsInEveryCallback() throws Exception {
        for (boolean manual : new boolean[] {false, true}) {
            List<Throwable> told = Collections.synchronizedList(new ArrayList<>());
            AtomicInteger results = new AtomicInteger();
            AtomicInteger releases = new AtomicInteger();
            var builder = Batcher.<Object, Object>builder().maxBatchSize(1)
                    .handler(batch -> {
                        throw new StackOverflowError("handler");
                    })
                    .onResult(set -> {
                        results.addAndGet(set.size());
                        throw new IllegalStateException("onResult");
                    })
                    .onRelease(object -> {
                        releases.incrementAndGet();
                        throw new IllegalStateException("onRelease");
                    });
            try (var batcher = (manual ? builder.manual() : builder).build()) {
                for (int at = 0; at < 100; at++) {
                    var future = batcher.submit(new Object());
                    future.whenComplete((value, failure) -> {
                        told.add(failure);
                        throw new IllegalStateException("dependent");
                    });
                    if (manual) {
                        batcher.run();
                    }
                }
                batcher.flush(LONG);
                waitUntil(() -> releases.get() == 100);
                assertEquals(100, told.size());
                assertEquals(100, results.get());
                assertEquals(100, batcher.stats().failed());
                // a size that throws refuses the value, and nothing of it stays
            }
            var sized = Batcher.<Object, Object>builder().handler(Batch::values).objectSize(object -> {
                throw new IllegalStateException("size");
            });
            try (var batcher = sized.build()) {
                assertThrows(IllegalStateException.class, () -> batcher.push(new Object(), 1));
                assertThrows(IllegalStateException.class, () -> batcher.submit(new Object()));
                assertEquals(0, batcher.stats().accepted());
            }
        }
    }

    @Test
    void aFailingThreadFactoryLeavesNothing() {
        long before = threadsOfProcess();
        for (int round = 0; round < 20; round++) {
            assertThrows(IllegalStateException.class, () -> Batcher.<Object, Object>builder().handler(Batch::values)
                    .threadFactory(body -> null).build());
        }
        assertTrue(threadsOfProcess() <= before + 5, "engines of batchers that were never made still run");
    }

    @Test
    void interruptsInEveryWait() throws Exception {
        CountDownLatch go = new CountDownLatch(1);
        var batcher = Batcher.<Object, Object>builder().maxBatchSize(1).queueCapacity(1).handler(batch -> {
            go.await();
            return batch.values();
        }).build();
        var pulled = Batcher.<Object, Object>builder().option("results", "pull").build();
        var future = batcher.submit(1L);
        waitUntil(() -> batcher.stats().inFlight() == 1);
        batcher.push(2L, 2);
        assertInterrupted(() -> batcher.flush(LONG));
        Mark mark = batcher.flushBegin();
        assertInterrupted(() -> batcher.flushEnd(mark, LONG));
        assertInterrupted(() -> batcher.room(LONG));
        assertInterrupted(() -> pulled.nextBatch(LONG));
        assertInterrupted(() -> pulled.nextResults(LONG));
        assertInterrupted(future::get);
        // pushes end with their refusal, and the interrupt stays
        assertKeepsInterrupt(() -> assertRefused("QUEUE_FULL", () -> batcher.push(3L, 3)));
        assertKeepsInterrupt(() -> assertRefused("QUEUE_FULL", () -> batcher.pushMany(new long[3], 3)));
        assertKeepsInterrupt(() -> assertRefused("QUEUE_FULL", () -> batcher.submit("x")));
        assertInterrupted(() -> batcher.close(LONG));
        // the close goes on
        assertRefused("CLOSED", () -> batcher.push(1L, 1));
        assertKeepsInterrupt(batcher::close);
        assertEquals("DISCARDED", failureOf(future).name());
        pulled.close();
        go.countDown();
    }

    private static void assertInterrupted(org.junit.jupiter.api.function.Executable wait) throws Exception {
        inInterruptedThread(() -> assertThrows(InterruptedException.class, wait));
    }

    private static void assertKeepsInterrupt(org.junit.jupiter.api.function.Executable wait) throws Exception {
        inInterruptedThread(() -> {
            wait.execute();
            assertTrue(Thread.interrupted());
        });
    }

    private static void inInterruptedThread(org.junit.jupiter.api.function.Executable body) throws Exception {
        AtomicReference<Throwable> failure = new AtomicReference<>();
        Thread thread = new Thread(() -> {
            try {
                body.execute();
            } catch (Throwable thrown) {
                failure.set(thrown);
            }
        });
        thread.start();
        waitUntil(() -> thread.getState() == Thread.State.TIMED_WAITING || thread.getState() == Thread.State.WAITING
                || inNative(thread) || !thread.isAlive());
        thread.interrupt();
        thread.join();
        if (failure.get() != null) {
            throw new AssertionError(failure.get());
        }
    }

    private static boolean inNative(Thread thread) {
        StackTraceElement[] stack = thread.getStackTrace();
        return stack.length > 0 && stack[0].isNativeMethod() && stack[0].getMethodName().startsWith("next");
    }
}
