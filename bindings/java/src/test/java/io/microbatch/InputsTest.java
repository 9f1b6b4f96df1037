package io.microbatch;

import static io.microbatch.Kit.LONG;
import static io.microbatch.Kit.assertRefused;
import static io.microbatch.Kit.waitUntil;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** Wrong inputs of every public method: the error names what is wrong and what would be accepted, and nothing is kept. */
class InputsTest {
    private static final Duration MINUS = Duration.ofNanos(-5);

    /** What a call is made on. */
    private record Objects(
            Batcher<Object, Object> batcher, Appender appender, Producer<Object> producer, HeldBatch<Object> batch,
            Results<Object> results) {}

    @FunctionalInterface
    private interface Call {
        void on(Objects objects) throws Exception;
    }

    /** A call, and what its error says. */
    private record Wrong(String method, Call call, String... says) {}

    private static Builder<Object, Object> builder() {
        return Batcher.builder();
    }

    private static Wrong wrong(String method, Call call, String... says) {
        return new Wrong(method, call, says);
    }

    private static final String ZERO_ON = "a time from zero on";
    private static final String ROWS = "row = 9: 0 to 1 are expected";

    private static final List<Wrong> WRONGS = List.of(
            // Batcher
            wrong("Batcher.submit(Object,Duration)", o -> o.batcher.submit(1L, null), "within = null", "Duration"),
            wrong("Batcher.push(Object,long,Duration)", o -> o.batcher.push(1L, 1, null), "within = null", "Duration"),
            wrong("Batcher.pushMany(long[],long)", o -> o.batcher.pushMany((long[]) null, 1), "values = null", "values"),
            wrong("Batcher.pushMany(long[],long[])", o -> o.batcher.pushMany(new long[1], null), "tags = null", "each"),
            wrong("Batcher.pushMany(long[],long[])", o -> o.batcher.pushMany(new long[2], new long[1]), "1 tags", "2 values"),
            wrong("Batcher.pushMany(double[],long)", o -> o.batcher.pushMany((double[]) null, 1), "values = null", "values"),
            wrong("Batcher.pushMany(double[],long[])", o -> o.batcher.pushMany(new double[1], null), "tags = null", "each"),
            wrong("Batcher.pushMany(double[],long[])", o -> o.batcher.pushMany(new double[2], new long[3]), "3 tags", "2"),
            wrong("Batcher.pushMany(List,long)", o -> o.batcher.pushMany((List<Object>) null, 1), "values = null", "values"),
            wrong("Batcher.pushMany(List,long[])", o -> o.batcher.pushMany(List.of(1L), null), "tags = null", "each"),
            wrong("Batcher.pushMany(List,long[])", o -> o.batcher.pushMany(List.of(1L), new long[0]), "0 tags", "1 values"),
            wrong("Batcher.appender(int)", o -> o.batcher.appender(0), "capacity = 0", "1 to 1048576"),
            wrong("Batcher.appender(int)", o -> o.batcher.appender((1 << 20) + 1), "capacity = 1048577", "1 to 1048576"),
            wrong("Batcher.cancel(long)", o -> o.batcher.cancel(987_654_321), "NOT_FOUND"),
            wrong("Batcher.room(Duration)", o -> o.batcher.room(null), "timeout = null", "Duration"),
            wrong("Batcher.room(Duration)", o -> o.batcher.room(MINUS), "timeout = PT-0.000000005S", ZERO_ON),
            wrong("Batcher.flush(Duration)", o -> o.batcher.flush(null), "timeout = null", "Duration"),
            wrong("Batcher.flush(Duration)", o -> o.batcher.flush(MINUS), "timeout = PT-0.000000005S", ZERO_ON),
            wrong("Batcher.flushEnd(Mark,Duration)", o -> o.batcher.flushEnd(null, LONG), "mark = null", "flushBegin"),
            wrong("Batcher.flushEnd(Mark,Duration)", o -> o.batcher.flushEnd(new Mark(1), null), "timeout = null", "Dur"),
            wrong("Batcher.flushEnd(Mark,Duration)", o -> o.batcher.flushEnd(new Mark(1), MINUS), "timeout = PT-", ZERO_ON),
            wrong("Batcher.advance(Duration)", o -> o.batcher.advance(null), "now = null", "Duration"),
            wrong("Batcher.nextBatch(Duration)", o -> o.batcher.nextBatch(null), "timeout = null", "Duration"),
            wrong("Batcher.nextBatch(Duration)", o -> o.batcher.nextBatch(MINUS), "timeout = PT-", ZERO_ON),
            wrong("Batcher.nextResults(Duration)", o -> o.batcher.nextResults(null), "timeout = null", "Duration"),
            wrong("Batcher.nextResults(Duration)", o -> o.batcher.nextResults(MINUS), "timeout = PT-", ZERO_ON),
            wrong("Batcher.nextResults(Duration,Consumer)", o -> o.batcher.nextResults(LONG, null), "consumer = null", "fun"),
            wrong("Batcher.close(Duration)", o -> o.batcher.close(null), "timeout = null", "Duration"),
            wrong("Batcher.close(Duration)", o -> o.batcher.close(MINUS), "timeout = PT-", ZERO_ON),
            wrong("Batcher.attach(long)", o -> Batcher.attach(0), "INVALID_ARGUMENT"),
            wrong("Batcher.map(List,Split,Handler)", o -> Batcher.map((List<Object>) null, Split.size(1), Batch::values),
                    "values = null", "to map"),
            wrong("Batcher.map(List,Split,Handler)", o -> Batcher.map(List.of(1L), null, Batch::values),
                    "split = null", "Split.size or Split.batches"),
            wrong("Batcher.map(List,Split,Handler)", o -> Batcher.map(List.of(1L), Split.size(1), (Handler<Long, Long>) null),
                    "handler = null", "function"),
            wrong("Batcher.map(long[],Split,BatchHandler)", o -> Batcher.map((long[]) null, Split.size(1), b -> {}),
                    "values = null", "to map"),
            wrong("Batcher.map(long[],Split,BatchHandler)", o -> Batcher.map(new long[1], Split.size(1), null),
                    "handler = null", "function"),
            wrong("Batcher.map(double[],Split,BatchHandler)", o -> Batcher.map(new double[1], null, b -> {}),
                    "split = null", "Split.size"),
            wrong("Batcher.mapBatches(List,Split,BatchHandler)", o -> Batcher.mapBatches(null, Split.size(1), b -> {}),
                    "values = null", "to map"),
            // Builder
            wrong("Builder.option(String,String)", o -> builder().option(null, "1"), "name = null", "option's name"),
            wrong("Builder.option(String,String)", o -> builder().option("max_delay", null), "max_delay = null", "text"),
            wrong("Builder.option(String,String)", o -> builder().option("max\0delay", "1").build(), "max\u2400delay", "NUL"),
            wrong("Builder.option(String,String)", o -> builder().option("max_delya", "1").build(), "did you mean max_delay?"),
            wrong("Builder.option(String,String)", o -> builder().option("max_delay", "\uD800").build(), "lone surrogate"),
            wrong("Builder.maxBatchSize(long)", o -> builder().maxBatchSize(-1).build(), "max_batch_size = \"-1\"", "16777216"),
            wrong("Builder.maxBatchBytes(long)", o -> builder().maxBatchBytes(7).build(), "max_batch_bytes = \"7\"", "8 bytes"),
            wrong("Builder.maxDelay(Duration)", o -> builder().maxDelay(MINUS).build(), "max_delay = \"-5\"", "0 ns to"),
            wrong("Builder.maxDelay(Duration)", o -> builder().maxDelay(null), "max_delay = null", "Duration"),
            wrong("Builder.maxInFlight(long)", o -> builder().maxInFlight(-1).build(), "max_in_flight = \"-1\"", "1 to 65536"),
            wrong("Builder.threads(long)", o -> builder().threads(1025).build(), "threads = \"1025\"", "1 to 1024"),
            wrong("Builder.queueCapacity(long)", o -> builder().queueCapacity(-1).build(), "queue_capacity = \"-1\"", "1 to"),
            wrong("Builder.handlerTimeout(Duration)", o -> builder().handlerTimeout(MINUS).build(), "handler_timeout", "1 ns"),
            wrong("Builder.pushTimeout(Duration)", o -> builder().pushTimeout(null), "push_timeout = null", "Duration"),
            wrong("Builder.onFull(String)", o -> builder().onFull("drop").build(), "on_full = \"drop\"", "discard_oldest"),
            wrong("Builder.onFull(String)", o -> builder().onFull(null), "on_full = null", "text"),
            wrong("Builder.closeTimeout(Duration)", o -> builder().closeTimeout(MINUS).build(), "close_timeout = \"-5\"", "1 ns"),
            wrong("Builder.drainAtExit(Duration)", o -> builder().drainAtExit(MINUS).build(), "drain_at_exit = \"-5\"", "0 ns"),
            wrong("Builder.delaySpin(Duration)", o -> builder().delaySpin(null), "delay_spin = null", "Duration"),
            wrong("Builder.handler(Handler)", o -> builder().handler(null), "handler = null", "function"),
            wrong("Builder.handler(Kind,Handler)", o -> builder().handler(null, Batch::values), "kind = null", "kinds"),
            wrong("Builder.handler(Kind,Handler)", o -> builder().handler(Kind.INT64, null), "handler = null", "function"),
            wrong("Builder.asyncHandler(AsyncHandler)", o -> builder().asyncHandler(null), "handler = null", "function"),
            wrong("Builder.asyncHandler(Kind,AsyncHandler)", o -> builder().asyncHandler(null, b -> null), "kind = null", "kinds"),
            wrong("Builder.batchHandler(BatchHandler)", o -> builder().batchHandler(null), "handler = null", "function"),
            wrong("Builder.batchHandler(Kind,BatchHandler)", o -> builder().batchHandler(null, b -> {}), "kind = null", "kinds"),
            wrong("Builder.nativeHandler(long,long)", o -> builder().nativeHandler(0, 0), "function = 0", "address"),
            wrong("Builder.nativeHandler(Kind,long,long)", o -> builder().nativeHandler(null, 1, 0), "kind = null", "kinds"),
            wrong("Builder.pullHandler(Kind)", o -> builder().pullHandler(null), "kind = null", "kinds"),
            wrong("Builder.onResult(Consumer)", o -> builder().onResult(null), "onResult = null", "function"),
            wrong("Builder.onRelease(Consumer)", o -> builder().onRelease(null), "onRelease = null", "function"),
            wrong("Builder.log(Log)", o -> builder().log(null), "log = null", "function"),
            wrong("Builder.objectSize(ToLongFunction)", o -> builder().objectSize(null), "objectSize = null", "function"),
            wrong("Builder.executor(Executor)", o -> builder().executor(null), "executor = null", "Executor"),
            wrong("Builder.threadFactory(ThreadFactory)", o -> builder().threadFactory(null), "threadFactory = null", "Thread"),
            // Appender and Producer
            wrong("Appender.append(String,long)", o -> o.appender.append((String) null, 1), "value = null", "String"),
            wrong("Appender.append(String,long)", o -> o.appender.append("\uDC00", 1), "INVALID_UTF8", "index 0", "in pairs"),
            wrong("Appender.append(byte[],long)", o -> o.appender.append((byte[]) null, 1), "value = null", "byte[]"),
            wrong("Producer.push(Object,long,Duration)", o -> o.producer.push(1L, 1, null), "within = null", "Duration"),
            wrong("Producer.push(Object,long)", o -> o.producer.push("\uD800x", 1), "INVALID_UTF8", "U+D800", "in pairs"),
            // Batch and HeldBatch
            wrong("Batch.tag(int)", o -> o.batch.tag(9), ROWS),
            wrong("Batch.kind(int)", o -> o.batch.kind(9), ROWS),
            wrong("Batch.value(int)", o -> o.batch.value(-1), "row = -1: 0 to 1 are expected"),
            wrong("Batch.set(int,Object)", o -> o.batch.set(9, 1L), ROWS),
            wrong("Batch.setAll(List)", o -> o.batch.setAll(null), "results = null", "each row"),
            wrong("Batch.setInt64s(long[])", o -> o.batch.setInt64s(null), "results = null", "each row"),
            wrong("Batch.setFloat64s(double[])", o -> o.batch.setFloat64s(null), "results = null", "each row"),
            wrong("Batch.fail(int,int,String)", o -> o.batch.fail(9, 1, ""), ROWS),
            wrong("Batch.fail(int,int,String)", o -> o.batch.fail(0, 0, ""), "code = 0", "positive number"),
            wrong("Batch.fail(int,int,String,String)", o -> o.batch.fail(2, 1, "", ""), "row = 2: 0 to 1"),
            wrong("Batch.fail(int,Throwable)", o -> o.batch.fail(0, null), "failure = null", "thrown"),
            wrong("Batch.failAll(int,String)", o -> o.batch.failAll(0, ""), "code = 0", "positive number"),
            wrong("Batch.failAll(int,String,String)", o -> o.batch.failAll(0, "", ""), "code = 0", "positive number"),
            // Results
            wrong("Results.tag(int)", o -> o.results.tag(9), ROWS),
            wrong("Results.outcome(int)", o -> o.results.outcome(9), ROWS),
            wrong("Results.handled(int)", o -> o.results.handled(9), ROWS),
            wrong("Results.value(int)", o -> o.results.value(9), ROWS),
            wrong("Results.error(int)", o -> o.results.error(9), ROWS),
            wrong("Results.get(int)", o -> o.results.get(9), ROWS),
            // the rest
            wrong("Split.size(long)", o -> Split.size(0), "values = 0", "from 1 on"),
            wrong("Split.batches(long)", o -> Split.batches(-2), "batches = -2", "from 1 on"),
            wrong("Status.named(String)", o -> Status.named(null), "name = null", "status's name"),
            wrong("Status.named(String)", o -> Status.named("FULL"), "no status is called FULL", "QUEUE_FULL"),
            wrong("NativeSymbol.find(Path,String)", o -> NativeSymbol.find(null, "f"), "library = null", "shared library"),
            wrong("NativeSymbol.find(Path,String)", o -> NativeSymbol.find(Path.of("x.so"), null), "name = null", "symbol"),
            wrong("NativeSymbol.find(Path,String)", o -> NativeSymbol.find(Path.of(""), "f"), "library = \"\"", "a file"),
            wrong("NativeSymbol.find(Path,String)", o -> NativeSymbol.find(Path.of("x.so"), "f\0g"), "f\u2400g", "NUL"),
            wrong("NativeSymbol.find(Path,String)", o -> NativeSymbol.find(Path.of("/no/such.so"), "f"), "/no/such.so"));

    /** What takes any value of its types. */
    private static final Set<String> TAKE_ANYTHING = Set.of(
            "Batcher.submit(Object)", "Batcher.push(Object,long)", "Batcher.pushInt64(long,long)",
            "Batcher.pushFloat64(double,long)", "Batcher.check(Object)", "Appender.append(long,long)",
            "Appender.append(double,long)", "Producer.pushInt64(long,long)", "Producer.pushFloat64(double,long)");

    @Test
    void whatIsWrongIsNamedAndNothingIsKept() throws Exception {
        List<String> unclear = new ArrayList<>();
        try (var batcher = builder().handler(Batch::values).build();
                var pulled = builder().option("results", "pull").build()) {
            pulled.push(1L, 1);
            pulled.push(2L, 2);
            pulled.seal();
            HeldBatch<Object> whole = pulled.nextBatch(LONG);
            whole.setAll(List.of(1L, 2L));
            whole.complete();
            Results<Object> results = pulled.nextResults(LONG);
            pulled.push(1L, 1);
            pulled.push("two", 2);
            pulled.seal();
            try (var appender = batcher.appender(4); var producer = batcher.producer();
                    var batch = pulled.nextBatch(LONG)) {
                Objects objects = new Objects(batcher, appender, producer, batch, results);
                for (Wrong wrong : WRONGS) {
                    Objects on = wrong.method.matches("Batcher.next.*") ? new Objects(pulled, null, null, null, null) : objects;
                    Throwable error = thrown(wrong.call, on);
                    for (String part : wrong.says) {
                        if (error == null || error.getMessage() == null || !error.getMessage().contains(part)) {
                            unclear.add(wrong.method + " does not say " + part + ": " + error);
                        }
                    }
                }
                assertEquals(0, appender.size());
                // what was refused is neither in the batch nor in its way
                batch.set(0, "fine");
                batch.set(1, "too");
                batch.complete();
                assertEquals(List.of("fine", "too"), pulled.nextResults(LONG).stream().map(Result::value).toList());
            }
            assertEquals(0, batcher.stats().accepted());
        }
        assertEquals(List.of(), unclear);
    }

    private static Throwable thrown(Call call, Objects objects) {
        try {
            call.on(objects);
            return null;
        } catch (Throwable error) {
            return error;
        }
    }

    /** The table is whole. */
    @Test
    void everyPublicMethodWithParametersIsInTheTable() {
        Set<String> methods = new TreeSet<>();
        List<Class<?>> faces = List.of(
                Batcher.class, Builder.class, Batch.class, HeldBatch.class, Results.class, Producer.class, Appender.class,
                Split.class, Status.class, Option.class, NativeSymbol.class);
        for (Class<?> face : faces) {
            for (Class<?> declares = face; declares != null; declares = declares.getSuperclass()) {
                boolean ours = declares == face || !Modifier.isPublic(declares.getModifiers());
                for (Method method : ours ? declares.getDeclaredMethods() : new Method[0]) {
                    boolean asked = Modifier.isPublic(method.getModifiers()) && !method.isSynthetic()
                            && method.getParameterCount() > 0 && !method.getName().equals("equals");
                    if (asked && declares.getName().startsWith("io.microbatch")) {
                        methods.add(face.getSimpleName() + "." + method.getName() + Arrays.stream(method.getParameterTypes())
                                .map(Class::getSimpleName).collect(Collectors.joining(",", "(", ")")));
                    }
                }
            }
        }
        Set<String> told = new TreeSet<>(TAKE_ANYTHING);
        WRONGS.forEach(wrong -> told.add(wrong.method));
        assertEquals(methods, told);
    }

    /** What a user's function answers is an input too. */
    @Test
    void p04_aSizeBelowZeroRefusesTheValueAndKeepsNothing() throws Exception {
        AtomicInteger released = new AtomicInteger();
        Object unfit = new Object();
        try (var batcher = builder().handler(Batch::values).onRelease(object -> released.incrementAndGet())
                .objectSize(object -> object == unfit ? -3 : 8).build();
                var producer = batcher.producer()) {
            Consumer<org.junit.jupiter.api.function.Executable> refused = call -> assertEquals(
                    "objectSize = -3: a size in bytes from 0 on is expected",
                    assertThrows(IllegalArgumentException.class, call).getMessage());
            refused.accept(() -> batcher.push(unfit, 1));
            refused.accept(() -> batcher.submit(unfit));
            refused.accept(() -> batcher.check(unfit));
            refused.accept(() -> producer.push(unfit, 1));
            // what comes before it in a bulk push is not taken either: no reference to it stays
            refused.accept(() -> batcher.pushMany(List.of(new Object(), "text", unfit), 1));
            assertEquals(0, batcher.stats().accepted());
            assertEquals(0, batcher.core.slots.size());
            batcher.push(new Object(), 1);
            batcher.flush(LONG);
            // the value's reference and the result's
            waitUntil(() -> released.get() == 2);
        }
    }

    @Test
    void anAppenderThatIsClosedCollectsNothing() throws Exception {
        try (var batcher = builder().manual().onFull("reject").queueCapacity(1).maxBatchSize(1).handler(Batch::values)
                .countResults().build()) {
            var appender = batcher.appender(4);
            appender.append(1L, 1);
            appender.append(2L, 2);
            assertRefused("QUEUE_FULL", appender::close);
            // it was not closed: nothing is lost
            assertEquals(1, appender.size());
            batcher.run();
            appender.close();
            batcher.run();
            assertEquals(2, batcher.stats().ok());
            List<org.junit.jupiter.api.function.Executable> appends = List.of(
                    () -> appender.append(1L, 1), () -> appender.append(0.5, 1), () -> appender.append("x", 1),
                    () -> appender.append(new byte[1], 1));
            for (var append : appends) {
                assertTrue(assertRefused("CLOSED", append).getMessage().contains("the appender is closed"));
            }
            assertEquals(0, appender.size());
            assertDoesNotThrow(appender::flush);
            assertDoesNotThrow(appender::close);
        }
    }
}
