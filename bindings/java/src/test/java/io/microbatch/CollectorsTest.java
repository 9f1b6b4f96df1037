package io.microbatch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Every collector, in a small heap, with many threads: virtual ones where there are such. Each runs a virtual machine. */
class CollectorsTest {
    @ParameterizedTest
    @ValueSource(strings = {"Serial", "Parallel", "G1", "Z", "Shenandoah"})
    void everyKindFromManyThreads(String collector) throws Exception {
        ExitTest.Exit exit = ExitTest.run(Body.class, List.of("-XX:+Use" + collector + "GC", "-Xmx64m"), "");
        if (exit.code() != 0 && exit.err().contains("not supported")) {
            System.out.println(collector + " is not in this virtual machine");
            return;
        }
        assertEquals(0, exit.code(), exit.out() + exit.err());
        assertTrue(exit.out().contains("every value came back"), exit.out());
        assertEquals("", exit.err().replaceAll("(?m)^(\\[|OpenJDK).*\\n", ""), "nothing is complained of");
    }

    static final class Body {
        private Body() {}

        public static void main(String[] arguments) throws Exception {
            try (var batcher =
                    Batcher.<Object, Object>builder()
                            .maxBatchSize(64)
                            .queueCapacity(256)
                            .maxDelay(Duration.ofMillis(1))
                            .handler(Batch::values)
                            .build()) {
                ExecutorService threads = threads();
                List<Future<?>> all = new ArrayList<>();
                for (int at = 0; at < 2000; at++) {
                    int number = at;
                    all.add(threads.submit(() -> roundTrip(batcher, number)));
                }
                for (Future<?> one : all) {
                    one.get();
                }
                threads.shutdown();
                batcher.flush(Duration.ofSeconds(100));
                assertEquals(0, batcher.stats().outstanding());
                assertEquals(2000 + 20 * 1000, batcher.stats().ok());
            }
            System.out.println("every value came back");
        }

        private static Object roundTrip(Batcher<Object, Object> batcher, int number) throws Exception {
            Object value =
                    switch (number % 4) {
                        case 0 -> (long) number;
                        case 1 -> "text " + number;
                        case 2 -> new Object();
                        default -> new byte[number];
                    };
            Object result = batcher.submit(value).get();
            if (value instanceof byte[] bytes) {
                assertTrue(Arrays.equals(bytes, (byte[]) result));
            } else {
                assertEquals(value, result);
            }
            if (number % 100 == 0) {
                // More than there is room for, from an array that the collector may move.
                batcher.pushMany(new long[1000], 0);
                System.gc();
            }
            return null;
        }

        private static ExecutorService threads() throws Exception {
            return Runtime.version().feature() < 21
                    ? Executors.newFixedThreadPool(16)
                    : (ExecutorService) Executors.class.getMethod("newVirtualThreadPerTaskExecutor").invoke(null);
        }
    }
}
