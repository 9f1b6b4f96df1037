package io.microbatch;

import static io.microbatch.Kit.LONG;
import static io.microbatch.Kit.failureOf;
import static io.microbatch.Kit.threadsOfProcess;
import static io.microbatch.Kit.waitUntil;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.ref.WeakReference;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** What comes, goes and leaves nothing: values, batchers and class loaders under the garbage collector. */
class LifetimeTest {
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

    @Test
    void aManualBatcherStartsNoThread() {
        try (var first = Batcher.<Object, Object>builder().manual().handler(Batch::values).build()) {
            first.push(1L, 1);
            long before = Thread.getAllStackTraces().keySet().stream().filter(LifetimeTest::isOurs).count();
            try (var second = Batcher.<Object, Object>builder().manual().handler(Batch::values).build()) {
                second.push(1L, 1);
                second.run();
                long after = Thread.getAllStackTraces().keySet().stream().filter(LifetimeTest::isOurs).count();
                assertEquals(before, after);
            }
        }
    }

    private static boolean isOurs(Thread thread) {
        return thread.getName().startsWith("microbatch");
    }

    @Test
    void aClassLoaderComesAgain() throws Exception {
        URL[] classes = {Path.of(Batcher.class.getProtectionDomain().getCodeSource().getLocation().toURI()).toUri().toURL(),
            Path.of(LifetimeTest.class.getProtectionDomain().getCodeSource().getLocation().toURI()).toUri().toURL()};
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
}
