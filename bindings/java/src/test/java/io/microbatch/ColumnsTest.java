package io.microbatch;

import static io.microbatch.Kit.LONG;
import static io.microbatch.Kit.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What can be read of batches and results, and until when. */
class ColumnsTest {
    private static final Object THING = new Object();

    private static final List<Object> EVERY_KIND =
            Arrays.asList(null, true, 7L, -0.0, "é\0", new byte[] {0, -1}, THING);

    /** Delivers what `body` does with the results of these values, on the thread that pushes. */
    private static Results<Object> delivered(List<Object> values, boolean kept, BatchHandler<Object> handler)
            throws Exception {
        List<Results<Object>> seen = new ArrayList<>();
        try (var batcher =
                Batcher.<Object, Object>builder()
                        .manual()
                        .batchHandler(handler)
                        .onResult(results -> seen.add(kept ? results.keep() : results))
                        .build()) {
            batcher.pushMany(values, 1);
            batcher.flush(LONG);
        }
        assertEquals(1, seen.size());
        return seen.get(0);
    }

    @Test
    void p19_resultsAreBorrowedUntilOnResultReturns() throws Exception {
        Results<Object> results = delivered(EVERY_KIND, false, batch -> batch.setAll(batch.values()));
        assertEquals(EVERY_KIND.size(), results.size());
        assertRefused("TOO_LATE", () -> results.tag(0));
        assertRefused("TOO_LATE", () -> results.value(2));
        assertRefused("TOO_LATE", results::tags);
        assertRefused("TOO_LATE", results::keep);
    }

    @Test
    void p19_whatIsKeptCanBeReadWhenTheBatcherIsGone() throws Exception {
        Results<Object> results = delivered(EVERY_KIND, true, batch -> batch.setAll(batch.values()));
        assertTrue(results.allOk());
        for (int row = 0; row < EVERY_KIND.size(); row++) {
            assertEquals(row + 1, results.tag(row));
            assertEquals(Outcome.OK, results.outcome(row));
            if (EVERY_KIND.get(row) instanceof byte[] bytes) {
                assertArrayEquals(bytes, (byte[]) results.value(row));
            } else {
                assertEquals(EVERY_KIND.get(row), results.value(row));
            }
        }
        assertSame(THING, results.value(6));
    }

    @Test
    void p19_failuresAreKeptToo() throws Exception {
        IllegalStateException thrown = new IllegalStateException("no");
        Results<Object> results =
                delivered(
                        List.of(1L, 2L),
                        true,
                        batch -> {
                            batch.set(0, "one");
                            batch.fail(1, thrown);
                        });
        assertFalse(results.allOk());
        assertEquals("one", results.get(0).value());
        assertEquals(Outcome.FAILED, results.outcome(1));
        assertEquals(Handled.YES, results.handled(1));
        assertSame(thrown, results.error(1).getCause());
        assertRefused("HANDLER_FAILED", () -> results.value(1));
    }

    @Test
    void p12_columnsAreTheCallersOwn() throws Exception {
        Results<Object> results =
                delivered(
                        List.of(1L, 2L, 3L),
                        true,
                        batch -> {
                            long[] numbers = batch.int64s();
                            numbers[0] = 99;
                            assertArrayEquals(new long[] {1, 2, 3}, batch.int64s());
                            assertEquals(List.of(1L, 2L, 3L), batch.values());
                            numbers = batch.int64s();
                            numbers[1] = 99;
                            assertEquals(List.of(1L, 2L, 3L), batch.values());
                            batch.setInt64s(new long[] {4, 5, 6});
                        });
        long[] numbers = results.int64s();
        numbers[0] = 99;
        assertArrayEquals(new long[] {4, 5, 6}, results.int64s());
        long[] tags = results.tags();
        tags[0] = 99;
        assertArrayEquals(new long[] {1, 2, 3}, results.tags());
        Results<Object> fractions =
                delivered(
                        List.of(0.5, -0.0),
                        true,
                        batch -> {
                            double[] read = batch.float64s();
                            assertEquals(List.of(0.5, -0.0), batch.values());
                            assertArrayEquals(batch.float64s(), read);
                            batch.setFloat64s(read);
                        });
        assertArrayEquals(new double[] {0.5, -0.0}, fractions.float64s());
    }

    @Test
    void p12_aBatchIsReadUntilItsHandlerReturns() throws Exception {
        List<Batch<Object>> seen = new ArrayList<>();
        delivered(
                List.of(1L, "two"),
                true,
                batch -> {
                    seen.add(batch);
                    assertEquals(Kind.STRING, batch.kind(1));
                });
        Batch<Object> batch = seen.get(0);
        assertEquals(Kind.INT64, batch.kind(0));
        assertRefused("TOO_LATE", () -> batch.value(1));
        assertRefused("TOO_LATE", batch::tags);
    }

    @Test
    void p18_aHeldBatchIsReadAlsoWhenItHasEnded() throws Exception {
        List<HeldBatch<Object>> held = new ArrayList<>();
        try (var batcher = Batcher.<Object, Object>builder().manual().batchHandler(batch -> held.add(batch.keep())).build()) {
            batcher.pushMany(List.of(1L, "two"), 10);
            batcher.run();
            held.get(0).completeOk();
        }
        assertEquals(List.of(1L, "two"), held.get(0).values());
        long[] tags = held.get(0).tags();
        assertArrayEquals(new long[] {10, 11}, tags);
        tags[0] = 99;
        assertEquals(10, held.get(0).tag(0));
    }

    @Test
    void p19_resultsOfThreadsAreBorrowedUntilOnResultReturnsToo() throws Exception {
        List<Results<Object>> seen = new ArrayList<>();
        try (var batcher = Batcher.<Object, Object>builder().handler(Batch::values).onResult(seen::add).build()) {
            batcher.pushMany(List.of(1L, "two"), 1);
            batcher.flush(LONG);
            assertRefused("TOO_LATE", () -> seen.get(0).tag(0));
            assertRefused("TOO_LATE", () -> seen.get(0).value(0));
        }
    }

    @Test
    void p12_columnsOfAnotherKindAreRefused() throws Exception {
        Results<Object> texts =
                delivered(
                        List.of(1L, 2L),
                        true,
                        batch -> {
                            assertSays("INT64, not FLOAT64", batch::float64s);
                            assertEquals(Kind.INT64, batch.kind(1));
                            batch.values().forEach(value -> assertEquals(Long.class, value.getClass()));
                            assertSays("INT64, not FLOAT64", batch::float64s);
                            batch.setAll(List.of("one", "two"));
                        });
        assertSays("STRING, not INT64", texts::int64s);
        assertSays("STRING, not FLOAT64", texts::float64s);
        Results<Object> several = delivered(EVERY_KIND, true, batch -> batch.setAll(batch.values()));
        assertSays("several kinds", several::int64s);
    }

    private static void assertSays(String words, org.junit.jupiter.api.function.Executable call) {
        String message = assertThrows(IllegalStateException.class, call).getMessage();
        assertTrue(message.contains(words), message);
    }
}
