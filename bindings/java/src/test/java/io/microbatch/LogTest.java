package io.microbatch;

import static io.microbatch.Kit.LONG;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The log: Java's own lines, and those of the engine's threads, which never enter the virtual machine. */
class LogTest {
    private static final Path HANDLERS = Path.of(System.getProperty("microbatch.native.tests"), "handlers_c.so");

    private record Line(System.Logger.Level level, String message, Throwable thrown) {}

    private static final class Lines implements Log {
        final List<Line> all = Collections.synchronizedList(new ArrayList<>());

        @Override
        public void log(System.Logger.Level level, String message, Throwable thrown) {
            all.add(new Line(level, message, thrown));
        }
    }

    /** Each batch ends the engine thread that handles it, which the engine logs. */
    private static Builder<Long, Long> endingThreads() {
        return Batcher.<Long, Long>builder()
                .maxBatchSize(1)
                .nativeHandler(
                        NativeSymbol.find(HANDLERS, "end_thread_in_c"),
                        NativeSymbol.find(Path.of("libc.so.6"), "pthread_exit"));
    }

    @Test
    void p39_theLogIsSilentWhileEverythingHasAnAnswer() throws Exception {
        for (boolean manual : new boolean[] {false, true}) {
            Lines lines = new Lines();
            var builder =
                    Batcher.<Object, Object>builder()
                            .log(lines)
                            .onFull("reject")
                            .maxBatchSize(1)
                            .queueCapacity(1)
                            .handler(
                                    batch -> {
                                        throw new IllegalStateException("on purpose");
                                    });
            var batcher = manual ? builder.manual().build() : builder.build();
            var failed = batcher.submit("value");
            if (manual) {
                batcher.run();
            }
            assertEquals("on purpose", Kit.failureOf(failed).getMessage());
            batcher.close();
            Kit.assertRefused("CLOSED", () -> batcher.push(1, 1));
            assertEquals(List.of(), lines.all);
        }
    }

    @Test
    void p39_whatOnResultThrowsIsLoggedOnceByItsOwnBatcher() throws Exception {
        IllegalStateException thrown = new IllegalStateException("onResult broke");
        for (boolean manual : new boolean[] {false, true}) {
            Lines lines = new Lines();
            Lines quiet = new Lines();
            var builder =
                    Batcher.<Long, Long>builder()
                            .log(lines)
                            .handler(Batch::values)
                            .onResult(
                                    results -> {
                                        throw thrown;
                                    });
            var other = Batcher.<Long, Long>builder().log(quiet).handler(Batch::values).build();
            try (var batcher = manual ? builder.manual().build() : builder.build();
                    other) {
                batcher.push(1L, 1);
                batcher.flush(LONG);
                other.submit(1L).get();
            }
            assertEquals(1, lines.all.size(), lines.all.toString());
            assertEquals(System.Logger.Level.ERROR, lines.all.get(0).level);
            assertSame(thrown, lines.all.get(0).thrown);
            assertEquals(List.of(), quiet.all);
        }
    }

    @Test
    void p39_linesOfTheEnginesThreadsReachJava() throws Exception {
        Lines lines = new Lines();
        try (var batcher = endingThreads().log(lines).build()) {
            assertEquals("THREAD_ENDED", Kit.failureOf(batcher.submit(1L)).name());
            batcher.stats();
            assertEquals(1, lines.all.size(), lines.all.toString());
        }
        assertEquals(1, lines.all.size(), lines.all.toString());
        Line line = lines.all.get(0);
        assertEquals(System.Logger.Level.ERROR, line.level);
        assertEquals("an engine thread ended inside a callback", line.message);
        assertNull(line.thrown);
    }

    /** Nobody of Java's passes: lines wait, and not more than so many. */
    @Test
    void p39_linesThatWaitAreBoundedAndDropsAreSaid() throws Exception {
        Lines lines = new Lines();
        try (var batcher = endingThreads().countResults().log(lines).build()) {
            for (long tag = 0; tag < 400; tag++) {
                batcher.pushInt64(tag, tag);
            }
            batcher.flush(LONG);
            long engine = lines.all.stream().filter(line -> line.level == System.Logger.Level.ERROR).count();
            List<Line> said = lines.all.stream().filter(line -> line.level == System.Logger.Level.WARNING).toList();
            assertEquals(256, engine, "as many as in other languages");
            assertEquals(1, said.size(), lines.all.toString());
            assertEquals("144 lines of log were dropped: too many waited", said.get(0).message);
        }
    }

    @Test
    void p39_aLogThatThrowsChangesNothing() throws Exception {
        Log broken =
                (level, message, thrown) -> {
                    throw new IllegalStateException("the log broke");
                };
        for (boolean manual : new boolean[] {false, true}) {
            var builder =
                    Batcher.<Long, Long>builder()
                            .log(broken)
                            .handler(Batch::values)
                            .onResult(
                                    results -> {
                                        throw new IllegalStateException("onResult broke");
                                    });
            try (var batcher = manual ? builder.manual().build() : builder.build()) {
                for (long tag = 0; tag < 3; tag++) {
                    batcher.push(tag, tag);
                    batcher.flush(LONG);
                }
                assertEquals(3, batcher.stats().ok());
                assertEquals(0, batcher.close(LONG));
            }
        }
    }
}
