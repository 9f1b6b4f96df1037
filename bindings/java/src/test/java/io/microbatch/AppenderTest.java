package io.microbatch;

import static io.microbatch.Kit.LONG;
import static io.microbatch.Kit.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** What an appender collects arrives whole and in order, however the buffer and the batcher divide it. */
class AppenderTest {
    private static String shown(long tag, Object value) {
        return tag + ":" + (value instanceof byte[] bytes ? List.of(bytes.length, java.util.Arrays.hashCode(bytes)) : value);
    }

    /** Echoes, and notes what comes back. */
    private static Builder<Object, Object> noting(List<String> seen) {
        return Batcher.<Object, Object>builder().handler(Batch::values)
                .onResult(results -> results.forEach(result -> seen.add(shown(result.tag(), result.value()))));
    }

    /** Appends a value of some kind; texts fit the buffer, fill it, pass it, or fit in none. */
    private static Object append(Appender appender, int capacity, Random random, long tag) {
        byte[] bytes = new byte[random.nextInt(4) == 0 ? random.nextInt(80 * capacity) : random.nextInt(70)];
        random.nextBytes(bytes);
        switch (random.nextInt(4)) {
            case 0 -> {
                appender.append(tag * 3, tag);
                return tag * 3;
            }
            case 1 -> {
                appender.append(tag / 7.0, tag);
                return tag / 7.0;
            }
            case 2 -> {
                String text = "\u00e9" + "x".repeat(bytes.length) + tag;
                appender.append(text, tag);
                return text;
            }
            default -> {
                appender.append(bytes, tag);
                return bytes;
            }
        }
    }

    @Test
    void everyKindArrivesInOrder() throws Exception {
        for (int capacity : new int[] {1, 2, 7, 64}) {
            List<String> seen = Collections.synchronizedList(new ArrayList<>());
            List<String> expected = new ArrayList<>();
            Random random = new Random(capacity);
            try (var batcher = noting(seen).build()) {
                try (var appender = batcher.appender(capacity)) {
                    for (long tag = 0; tag < 400; tag++) {
                        expected.add(shown(tag, append(appender, capacity, random, tag)));
                        assertTrue(appender.size() <= capacity);
                    }
                }
                batcher.flush(LONG);
            }
            assertEquals(expected, seen, "capacity " + capacity);
        }
    }

    /** Room for a part of them comes again and again: each push goes on where the last one stopped. */
    @Test
    void p22_whatWaitsForRoomGoesOnWhereItStopped() throws Exception {
        List<String> seen = Collections.synchronizedList(new ArrayList<>());
        List<String> expected = new ArrayList<>();
        Random random = new Random(22);
        try (var batcher = noting(seen).maxBatchSize(2).queueCapacity(3).build()) {
            try (var appender = batcher.appender(16)) {
                for (long tag = 0; tag < 300; tag++) {
                    expected.add(shown(tag, append(appender, 16, random, tag)));
                }
            }
            batcher.flush(LONG);
        }
        assertEquals(expected, seen);
    }

    @Test
    void p22_whatIsRefusedStaysWhole() throws Exception {
        List<String> seen = new ArrayList<>();
        List<String> expected = new ArrayList<>();
        Random random = new Random(4);
        try (var batcher = noting(seen).manual().onFull("reject").maxBatchSize(3).queueCapacity(3).build();
                var appender = batcher.appender(16)) {
            for (long tag = 0; tag < 11; tag++) {
                expected.add(shown(tag, append(appender, 1, random, tag)));
            }
            for (int left = 8; left > 0; left -= 3) {
                assertRefused("QUEUE_FULL", appender::flush);
                assertEquals(left, appender.size());
                batcher.run();
            }
            appender.flush();
            batcher.flush(LONG);
            assertEquals(expected, seen);
        }
    }

    @Test
    void tagsOfFuturesAreRefusedBeforeAnythingIsCollected() throws Exception {
        try (var batcher = Batcher.<Object, Object>builder().handler(Batch::values).build();
                var appender = batcher.appender(1 << 20)) {
            batcher.submit(1L).get();
            assertThrows(IllegalArgumentException.class, () -> appender.append(1L, -1));
            assertThrows(IllegalArgumentException.class, () -> appender.append(0.5, -1));
            assertThrows(IllegalArgumentException.class, () -> appender.append("text", -1));
            assertThrows(IllegalArgumentException.class, () -> appender.append(new byte[1], Long.MIN_VALUE));
            assertEquals(0, appender.size());
        }
    }

    /** What fits in no buffer goes by itself, and asks the same before. */
    @Test
    void longTextsAreRefusedAsShortOnesAre() throws Exception {
        String text = "x".repeat(65);
        try (var batcher = Batcher.<Object, Object>builder().handler(Batch::values).build()) {
            batcher.submit(1L).get();
            var appender = batcher.appender(1);
            assertThrows(IllegalArgumentException.class, () -> appender.append(text, -1));
            appender.close();
            assertRefused("CLOSED", () -> appender.append(text, 1));
            batcher.flush(LONG);
            assertEquals(1, batcher.stats().accepted());
        }
    }
}
