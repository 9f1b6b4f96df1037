package io.microbatch;

import static io.microbatch.Kit.LONG;
import static io.microbatch.Kit.assertLaw;
import static io.microbatch.Kit.assertRefused;
import static io.microbatch.Kit.failureOf;
import static io.microbatch.Kit.waitUntil;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.ref.WeakReference;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** What goes wrong in a virtual machine, by name. */
class HazardTest {
    // ---- close racing with everything ----

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

    // ---- the garbage collector ----

    @Test
    void collectionsDuringCalls() throws Exception {
        AtomicInteger released = new AtomicInteger();
        AtomicReference<Thread> collector = new AtomicReference<>(new Thread(() -> {
            while (!Thread.interrupted()) {
                System.gc();
            }
        }));
        collector.get().start();
        int objects = 300;
        try (var batcher = Batcher.<Object, Object>builder().maxBatchSize(32).onRelease(o -> released.incrementAndGet())
                .handler(Batch::values).build()) {
            for (int at = 0; at < objects; at++) {
                int[] content = {at};
                var future = batcher.submit(content);
                batcher.push(new String("text" + at), at);
                batcher.push(new byte[100], at);
                batcher.pushMany(new long[500], 0);
                future.thenAccept(same -> assertEquals(content, same));
            }
            batcher.flush(LONG);
            waitUntil(() -> released.get() == 2 * objects);
            assertEquals(0, batcher.stats().failed());
        }
        collector.get().interrupt();
        collector.get().join();
    }

    @Test
    void aLostBatcherIsClosed() throws Exception {
        var future = lose();
        while (!future.isDone()) {
            System.gc();
            Thread.sleep(5);
        }
        // Its only value was to wait for 100 s: it is discarded, unless the idle handler is quicker than the end.
        assertTrue(!future.isCompletedExceptionally() || failureOf(future).name().equals("DISCARDED"));
    }

    private static CompletableFuture<Object> lose() {
        return Batcher.<Object, Object>builder().maxDelay(LONG).handler(Batch::values).build().submit("lost");
    }

    @Test
    void aLostManualBatcherIsClosed() throws Exception {
        AtomicInteger delivered = new AtomicInteger();
        Batcher.<Object, Object>builder().manual().handler(Batch::values)
                .onResult(results -> delivered.addAndGet(results.size())).build().push(1L, 1);
        while (delivered.get() == 0) {
            System.gc();
            Thread.sleep(5);
        }
        assertEquals(1, delivered.get());
    }

    // ---- creation without growth ----

    @Test
    void aHundredThousandBatchersComeAndGo() throws Exception {
        int count = 100_000;
        // first the machine warms up
        comeAndGo(count / 10, true);
        comeAndGo(count / 100, false);
        settle();
        long threads = threadsOfProcess();
        long heap = usedHeap();
        long native_ = residentBytes();
        comeAndGo(count, true);
        comeAndGo(count / 50, false);
        settle();
        waitUntil(() -> threadsOfProcess() <= threads + 2);
        long heapGrowth = usedHeap() - heap;
        long nativeGrowth = residentBytes() - native_;
        System.out.println("heap grew by " + heapGrowth + " bytes, the process by " + nativeGrowth);
        // 100,000 of anything that stays is more
        assertTrue(heapGrowth < 4 << 20, "the heap grew by " + heapGrowth);
        assertTrue(nativeGrowth < 48 << 20, "the process grew by " + nativeGrowth);
    }

    private static void comeAndGo(int count, boolean manual) throws Exception {
        for (int at = 0; at < count; at++) {
            var builder = Batcher.<Object, Object>builder().handler(Batch::values);
            try (var batcher = manual ? builder.manual().build() : builder.build()) {
                var future = batcher.submit(manual ? new Object() : (Object) 1L);
                if (at % 2 == 0) {
                    batcher.flush(LONG);
                    assertNotNull(future.get());
                }
            }
            if (at % 1000 == 999) {
                System.gc(); // the Cleaner gives the glue's memory back
            }
        }
    }

    private static void settle() throws InterruptedException {
        for (int round = 0; round < 10; round++) {
            System.gc();
            Thread.sleep(20);
        }
    }

    private static long usedHeap() {
        Runtime runtime = Runtime.getRuntime();
        return runtime.totalMemory() - runtime.freeMemory();
    }

    /** Anonymous memory of the process that is not the heap of the virtual machine: its size is what malloc and stacks use. */
    private static long residentBytes() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("RssAnon:")) {
                long kib = Long.parseLong(line.replaceAll("[^0-9]", ""));
                return kib * 1024 - Runtime.getRuntime().totalMemory();
            }
        }
        throw new AssertionError("no RssAnon");
    }

    private static long threadsOfProcess() {
        String[] tasks = Path.of("/proc/self/task").toFile().list();
        return tasks == null ? 0 : tasks.length;
    }

    @Test
    void aManualBatcherStartsNoThread() {
        try (var first = Batcher.<Object, Object>builder().manual().handler(Batch::values).build()) {
            first.push(1L, 1);
            long before = Thread.getAllStackTraces().keySet().stream().filter(HazardTest::isOurs).count();
            try (var second = Batcher.<Object, Object>builder().manual().handler(Batch::values).build()) {
                second.push(1L, 1);
                second.run();
                long after = Thread.getAllStackTraces().keySet().stream().filter(HazardTest::isOurs).count();
                assertEquals(before, after);
            }
        }
    }

    private static boolean isOurs(Thread thread) {
        return thread.getName().startsWith("microbatch");
    }

    // ---- class loaders ----

    @Test
    void aClassLoaderComesAgain() throws Exception {
        URL[] classes = {Path.of(Batcher.class.getProtectionDomain().getCodeSource().getLocation().toURI()).toUri().toURL(),
            Path.of(HazardTest.class.getProtectionDomain().getCodeSource().getLocation().toURI()).toUri().toURL()};
        List<WeakReference<ClassLoader>> gone = new ArrayList<>();
        for (int round = 0; round < 5; round++) {
            gone.add(useInLoaderOfItsOwn(classes));
        }
        for (WeakReference<ClassLoader> loader : gone) {
            while (loader.get() != null) {
                System.gc();
                Thread.sleep(5);
            }
            assertNull(loader.get());
        }
    }

    private static WeakReference<ClassLoader> useInLoaderOfItsOwn(URL[] classes) throws Exception {
        URLClassLoader loader = new URLClassLoader(classes, ClassLoader.getPlatformClassLoader());
        Class<?> body = Class.forName("io.microbatch.ReloadBody", true, loader);
        assertTrue(body != ReloadBody.class);
        assertEquals("42", body.getMethod("run").invoke(null));
        loader.close();
        return new WeakReference<>(loader);
    }

    // ---- exceptions in every callback ----

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

    // ---- interrupts in every wait ----

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
