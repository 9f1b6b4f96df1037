package io.microbatch;

import static io.microbatch.Kit.LONG;
import static io.microbatch.Kit.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Pulling, mapping, options, and what a batcher tells of itself. */
class SeeingTest {
    private static Builder<Object, Object> echo() {
        return Batcher.<Object, Object>builder().handler(Batch::values);
    }

    @Test
    void p29_aHostThatPulls() throws Exception {
        try (var batcher = Batcher.<Object, Object>builder().option("results", "pull").build()) {
            batcher.push("a", 1);
            HeldBatch<Object> batch = batcher.nextBatch(LONG);
            batch.set(0, "A");
            batch.complete();
            assertEquals("A", batcher.nextResults(LONG).value(0));
            assertRefused("TIMEOUT", () -> batcher.nextBatch(Duration.ofMillis(1)));
            assertRefused("TIMEOUT", () -> batcher.nextResults(Duration.ZERO));
            assertRefused("WRONG_MODE", () -> batcher.submit(1L));
            batcher.close(LONG);
            assertRefused("CLOSED", () -> batcher.nextBatch(LONG));
            assertRefused("CLOSED", () -> batcher.nextResults(LONG));
        }
        try (var batcher = echo().build()) {
            assertRefused("WRONG_MODE", () -> batcher.nextBatch(LONG));
            assertRefused("WRONG_MODE", () -> batcher.nextResults(LONG));
            assertRefused("WRONG_MODE", batcher::run);
        }
    }

    @Test
    void p14_map() {
        List<Object> seen = new ArrayList<>();
        List<Object> mapped = Batcher.map(Arrays.asList(1L, "a", null, 2.5), Split.batches(2), (Batch<Object> batch) -> {
            seen.add(batch.size());
            return batch.values();
        });
        assertEquals(Arrays.asList(1L, "a", null, 2.5), mapped);
        assertEquals(List.of(2, 2), seen);
        Object thing = new Object();
        assertSame(thing, Batcher.map(List.of(thing), Split.size(1), Batch::values).get(0));
        var failed = assertThrows(MapException.class, () -> Batcher.<Long, Long>map(List.of(1L, 2L, 3L), Split.size(2), batch -> {
            if (batch.size() == 2) {
                throw new IllegalStateException("two");
            }
            return batch.values();
        }));
        assertEquals(3, failed.results().size());
        assertEquals(3L, failed.results().value(2));
        assertEquals("two", failed.results().error(0).getMessage());
        Results<Long> doubled = Batcher.map(new long[] {1, 2, 3}, Split.size(2),
                batch -> batch.setInt64s(Arrays.stream(batch.int64s()).map(v -> v * 2).toArray()));
        assertArrayEquals(new long[] {2, 4, 6}, doubled.int64s());
        assertRefused("WRONG_MODE", () -> {
            try {
                Batcher.map(new long[] {1}, Split.size(1), Batch::keep);
            } catch (MapException kept) {
                throw MicrobatchException.of(Status.named("WRONG_MODE").code(), kept.getMessage());
            }
        });
    }

    @Test
    void p36_optionsAreTheLibrarys() {
        var refused = assertRefused("INVALID_OPTION", () -> echo().option("max_delay", "5 parsecs").build());
        assertTrue(refused.getMessage().contains("parsecs"), refused.getMessage());
        assertRefused("INVALID_OPTION", () -> echo().option("nonsense", "1").build());
        assertRefused("INVALID_OPTION", () -> echo().maxBatchSize(10).queueCapacity(5).build());
        assertTrue(Option.all().stream().anyMatch(option -> option.name().equals("max_batch_size")));
        assertTrue(Status.all().size() > 20);
        assertEquals("QUEUE_FULL", Status.named("QUEUE_FULL").name());
        assertThrows(IllegalArgumentException.class, () -> Split.size(0));
        assertTrue(Batcher.version().matches("[0-9]+\\.[0-9]+\\.[0-9]+"));
    }

    @Test
    void p38_statsAndText() throws Exception {
        try (var batcher = echo().build()) {
            batcher.submit(1L).get();
            batcher.flush(LONG);
            Stats stats = batcher.stats();
            Kit.assertLaw(stats);
            assertEquals(1, stats.ok());
            assertEquals(1, stats.batchSize().count());
            assertEquals(1, stats.triggers().get(Trigger.IDLE));
            assertTrue(batcher.statsText().contains("# TYPE"), batcher.statsText());
        }
    }

    @Test
    void p36_everythingThatIsWrongWithOptionsIsSaid() {
        var builder =
                Batcher.builder().maxBatchSize(-1).option("max_delya", "2ms").onFull("drop").handler(Batch::values);
        String message = Kit.assertRefused("INVALID_OPTION", builder::build).getMessage();
        for (String part : List.of("max_batch_size = \"-1\"", "did you mean max_delay?", "on_full = \"drop\"")) {
            assertTrue(message.contains(part), message);
        }
    }
}
