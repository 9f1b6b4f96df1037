package io.microbatch;

import static io.microbatch.Kit.LONG;
import static io.microbatch.Kit.assertLaw;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Collectors;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.api.Test;

/** P25: every public method of a batcher inside each of its callbacks has its answer, and none of them hangs. */
class ReentrancyTest {
    /** Where user's code is called. */
    enum Place {
        HANDLER,
        KIND_HANDLER,
        ASYNC_HANDLER,
        BATCH_HANDLER,
        EXECUTOR,
        ON_RESULT,
        FUTURE,
        ON_RELEASE,
        LOG,
        OBJECT_SIZE,
        MAP;

        /** The batcher calls nobody meanwhile: a push asks, or map, which has no batcher. */
        boolean isOutside() {
            return this == OBJECT_SIZE || this == MAP;
        }
    }

    @FunctionalInterface
    private interface Call {
        Object on(Batcher<Object, Object> batcher) throws Exception;
    }

    /** What a call answers in threaded and in manual mode. */
    private record Act(String threaded, String manual, Call call) {}

    private static final Map<String, Act> ACTS = new LinkedHashMap<>();

    private static void act(String method, String answer, Call call) {
        act(method, answer, answer, call);
    }

    private static void act(String method, String threaded, String manual, Call call) {
        ACTS.put(method, new Act(threaded, manual, call));
    }

    /** A call that answers nothing. */
    @FunctionalInterface
    private interface Deed {
        void on(Batcher<Object, Object> batcher) throws Exception;
    }

    private static Call deed(Deed deed) {
        return batcher -> {
            deed.on(batcher);
            return null;
        };
    }

    static {
        act("submit(Object)", "OK", b -> b.submit(1L));
        act("submit(Object,Duration)", "OK", b -> b.submit(1L, LONG));
        act("push(Object,long)", "OK", deed(b -> b.push("text", 1)));
        act("push(Object,long,Duration)", "OK", deed(b -> b.push(1L, 1, LONG)));
        act("pushInt64(long,long)", "OK", deed(b -> b.pushInt64(1, 1)));
        act("pushFloat64(double,long)", "OK", deed(b -> b.pushFloat64(1, 1)));
        act("pushMany(long[],long)", "OK", deed(b -> b.pushMany(new long[3], 1)));
        act("pushMany(long[],long[])", "OK", deed(b -> b.pushMany(new long[3], new long[3])));
        act("pushMany(double[],long)", "OK", deed(b -> b.pushMany(new double[3], 1)));
        act("pushMany(double[],long[])", "OK", deed(b -> b.pushMany(new double[3], new long[3])));
        act("pushMany(List,long)", "OK", deed(b -> b.pushMany(List.of(1L, "two"), 1)));
        act("pushMany(List,long[])", "OK", deed(b -> b.pushMany(List.of(1L, "two"), new long[2])));
        act("check(Object)", "OK", deed(b -> b.check("text")));
        act(
                "appender(int)",
                "OK",
                b -> {
                    try (var appender = b.appender(4)) {
                        appender.append(1L, 1);
                        appender.append("text", 2);
                    }
                    return null;
                });
        act(
                "producer()",
                "OK",
                b -> {
                    try (var producer = b.producer()) {
                        producer.pushInt64(1, 1);
                        producer.pushFloat64(1, 1);
                        producer.push("text", 1);
                        producer.push("text", 1, LONG);
                    }
                    return null;
                });
        act("cancel(long)", "NOT_FOUND", b -> b.cancel(987_654_321));
        act("room(Duration)", "OK", deed(b -> b.room(LONG)));
        act("seal()", "OK", deed(Batcher::seal));
        act("flush(Duration)", "REENTRANT", deed(b -> b.flush(LONG)));
        act("flushBegin()", "OK", Batcher::flushBegin);
        act("flushEnd(Mark,Duration)", "REENTRANT", deed(b -> b.flushEnd(b.flushBegin(), LONG)));
        act("run()", "WRONG_MODE", "REENTRANT", deed(Batcher::run));
        act("advance(Duration)", "WRONG_MODE", "REENTRANT", deed(b -> b.advance(Duration.ofNanos(1))));
        act("nextDue()", "OK", Batcher::nextDue);
        act("now()", "OK", Batcher::now);
        act("nextBatch(Duration)", "WRONG_MODE", b -> b.nextBatch(LONG));
        act("nextResults(Duration)", "WRONG_MODE", b -> b.nextResults(LONG));
        act("nextResults(Duration,Consumer)", "WRONG_MODE", b -> b.nextResults(LONG, results -> {}));
        act("stats()", "OK", Batcher::stats);
        act("statsText()", "OK", Batcher::statsText);
        act("shared()", "OK", Batcher::shared);
        act("toString()", "OK", Batcher::toString);
        // Waiting for one's own futures.
        act("future.get()", "REENTRANT", b -> b.submit(1L).get());
        act("future.get(long,TimeUnit)", "REENTRANT", b -> b.submit(1L).get(100, TimeUnit.SECONDS));
        act("future.join()", "REENTRANT", b -> b.submit(1L).join());
        act("future.cancel(boolean)", "OK", b -> b.submit(1L).cancel(false));
        act(
                "map, and another batcher",
                "OK",
                b -> {
                    assertEquals(List.of(1L, 2L), Batcher.map(List.of(1L, 2L), Split.size(1), Batch::values));
                    try (var other = Batcher.<Object, Object>builder().handler(Batch::values).build()) {
                        assertEquals(1L, other.submit(1L).get());
                        other.push(1L, 1);
                        other.flush(LONG);
                        assertEquals(0, other.close(LONG));
                    }
                    return null;
                });
    }

    /** Each in a batcher of its own. */
    private static final Map<String, Act> ENDS = new LinkedHashMap<>();

    static {
        ENDS.put("close(Duration)", new Act("IN_PROGRESS", "IN_PROGRESS", b -> b.close(LONG)));
        ENDS.put("close()", new Act("OK", "OK", deed(Batcher::close)));
        ENDS.put("abandon()", new Act("OK", "OK", deed(Batcher::abandon)));
    }

    private static String answer(Batcher<Object, Object> batcher, Call call) {
        try {
            call.on(batcher);
            return "OK";
        } catch (MicrobatchException refused) {
            return refused.name();
        } catch (Throwable other) {
            return other.toString();
        }
    }

    /** The table is whole. */
    @Test
    void everyPublicMethodIsInTheTable() {
        Set<String> methods = new TreeSet<>();
        for (Class<?> declares = Batcher.class; declares != Object.class; declares = declares.getSuperclass()) {
            for (Method method : declares.getDeclaredMethods()) {
                int modifiers = method.getModifiers();
                if (Modifier.isPublic(modifiers) && !Modifier.isStatic(modifiers) && !method.isSynthetic()) {
                    String parameters =
                            Arrays.stream(method.getParameterTypes())
                                    .map(Class::getSimpleName)
                                    .collect(Collectors.joining(","));
                    methods.add(method.getName() + "(" + parameters + ")");
                }
            }
        }
        Set<String> told = new TreeSet<>(ENDS.keySet());
        ACTS.keySet().stream().filter(name -> !name.startsWith("future.") && !name.startsWith("map")).forEach(told::add);
        assertEquals(methods, told);
    }

    /** What a call answers at a place. */
    private static String expected(String method, Act act, Place place, boolean manual) {
        boolean waits = place.isOutside() && (act.threaded.equals("REENTRANT") || act.manual.equals("REENTRANT"));
        return waits && !(act.threaded.equals("WRONG_MODE") && !manual) ? "OK" : manual ? act.manual : act.threaded;
    }

    /** A batcher whose callback at a place does something, the first time it is called. */
    private static Batcher<Object, Object> batcher(
            Place place, boolean manual, CountDownLatch provoked, Runnable once) {
        AtomicBoolean done = new AtomicBoolean();
        Runnable act =
                () -> {
                    if (!done.getAndSet(true)) {
                        once.run();
                    }
                };
        Builder<Object, Object> builder = Batcher.<Object, Object>builder().maxBatchSize(4);
        if (manual) {
            builder.manual().option("clock", "given");
        }
        switch (place) {
            case HANDLER ->
                    builder.handler(
                            batch -> {
                                act.run();
                                return batch.values();
                            });
            case KIND_HANDLER ->
                    builder.handler(Batch::values)
                            .handler(
                                    Kind.OBJECT,
                                    batch -> {
                                        act.run();
                                        return batch.values();
                                    });
            case OBJECT_SIZE ->
                    builder.handler(Batch::values)
                            .objectSize(
                                    object -> {
                                        act.run();
                                        return 8;
                                    });
            case ASYNC_HANDLER ->
                    builder.asyncHandler(
                            batch -> {
                                act.run();
                                return CompletableFuture.completedFuture(batch.values());
                            });
            case BATCH_HANDLER ->
                    builder.batchHandler(
                            batch -> {
                                act.run();
                                batch.setAll(batch.values());
                            });
            case EXECUTOR ->
                    builder.handler(Batch::values)
                            .executor(
                                    command -> {
                                        act.run();
                                        command.run();
                                    });
            // A future that is complete already would call on the thread that asks.
            case FUTURE ->
                    builder.handler(
                            batch -> {
                                provoked.await();
                                return batch.values();
                            });
            default -> builder.handler(Batch::values);
        }
        if (place == Place.ON_RESULT) {
            builder.onResult(results -> act.run());
        }
        if (place == Place.ON_RELEASE) {
            builder.onRelease(object -> act.run());
        }
        if (place == Place.LOG) {
            builder.log((level, message, thrown) -> act.run())
                    .onResult(
                            results -> {
                                throw new IllegalStateException("for the log");
                            });
        } else {
            builder.log((level, message, thrown) -> {});
        }
        return builder.build();
    }

    private static void provoke(
            Batcher<Object, Object> batcher, Place place, boolean manual, CountDownLatch provoked, Runnable once) {
        if (place == Place.FUTURE) {
            batcher.submit(1L).thenRun(once);
        } else if (place == Place.MAP) {
            Batcher.map(
                    List.of(1L),
                    Split.size(1),
                    batch -> {
                        once.run();
                        return batch.values();
                    });
        } else {
            // What ends the batcher may have ended it before the object is there.
            answer(batcher, deed(b -> b.push(new Object(), 0)));
        }
        provoked.countDown();
        if (manual) {
            answer(batcher, deed(Batcher::run));
        }
    }

    private static boolean exists(Place place, boolean manual) {
        return place != Place.EXECUTOR || !manual;
    }

    @ParameterizedTest
    @EnumSource
    void p25_everyCallInsideEveryCallback(Place place) throws Exception {
        for (boolean manual : new boolean[] {false, true}) {
            if (!exists(place, manual)) {
                continue;
            }
            List<String> wrong = new ArrayList<>();
            CountDownLatch made = new CountDownLatch(1);
            CountDownLatch provoked = new CountDownLatch(1);
            List<Batcher<Object, Object>> self = new ArrayList<>();
            Runnable everything =
                    () -> {
                        try {
                            ACTS.forEach(
                                    (method, act) -> {
                                        if (place.isOutside() && manual && method.startsWith("future.")) {
                                            // It waits for somebody to run the batcher, who is outside too.
                                            return;
                                        }
                                        String expected = expected(method, act, place, manual);
                                        String answer = answer(self.get(0), act.call);
                                        if (!answer.equals(expected)) {
                                            wrong.add(method + ": " + answer + ", not " + expected);
                                        }
                                    });
                        } finally {
                            made.countDown();
                        }
                    };
            try (var batcher = batcher(place, manual, provoked, everything)) {
                self.add(batcher);
                provoke(batcher, place, manual, provoked, everything);
                assertTrue(made.await(100, TimeUnit.SECONDS), place + " was not called");
                assertEquals(List.of(), wrong, place + (manual ? ", manual" : ", threaded"));
                batcher.flush(LONG);
                Stats stats = batcher.stats();
                assertLaw(stats);
                assertEquals(0, stats.outstanding());
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void p25_p26_everyEndInsideEveryCallback(Place place) throws Exception {
        for (boolean manual : new boolean[] {false, true}) {
            for (var end : ENDS.entrySet()) {
                if (!exists(place, manual)) {
                    continue;
                }
                String[] answer = {null};
                CountDownLatch made = new CountDownLatch(1);
                CountDownLatch provoked = new CountDownLatch(1);
                List<Batcher<Object, Object>> self = new ArrayList<>();
                Runnable ending =
                        () -> {
                            answer[0] = answer(self.get(0), end.getValue().call);
                            for (String call : List.of("pushInt64(long,long)", "seal()", "flushBegin()")) {
                                String after = answer(self.get(0), ACTS.get(call).call);
                                answer[0] += after.equals("CLOSED") ? "" : "; then " + call + ": " + after;
                            }
                            made.countDown();
                        };
                var batcher = batcher(place, manual, provoked, ending);
                self.add(batcher);
                provoke(batcher, place, manual, provoked, ending);
                assertTrue(made.await(100, TimeUnit.SECONDS), place + " was not called");
                boolean drains = place.isOutside() && end.getKey().equals("close(Duration)");
                assertEquals(drains ? "OK" : end.getValue().threaded, answer[0], place + ": " + end.getKey() + ", manual " + manual);
                batcher.close();
                Kit.assertRefused("CLOSED", () -> batcher.push(1L, 1));
            }
        }
    }
}
