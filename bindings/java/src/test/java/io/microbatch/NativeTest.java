package io.microbatch;

import static io.microbatch.Kit.LONG;
import static io.microbatch.Kit.assertRefused;
import static io.microbatch.Kit.failureOf;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Values of Java handled in C and C++, and values of C++ handled in Java. */
class NativeTest {
    private static final Path BUILT = Path.of(System.getProperty("microbatch.native.tests"));

    private static long address(String library, String name) {
        return NativeSymbol.find(BUILT.resolve(library), name);
    }

    /** A call with only an address loses it to the collector, whose Cleaner frees the memory in the middle of the call. */
    @Test
    void everyCallKeepsItsMemoryAlive() {
        Set<String> givesBackOrTakesAnothers = Set.of("freeHost", "producerFree", "attach");
        // The commonest pushes: their callers hold a reachabilityFence.
        Set<String> fenced = Set.of("pushInt64", "pushFloat64", "producerPushInt64", "producerPushFloat64");
        for (Method method : Native.class.getDeclaredMethods()) {
            Class<?>[] parameters = method.getParameterTypes();
            if (Modifier.isNative(method.getModifiers()) && parameters.length > 0 && parameters[0] == long.class) {
                String name = method.getName();
                assertTrue(givesBackOrTakesAnothers.contains(name) || fenced.contains(name), method.toString());
            }
        }
    }

    /** Which way numbers are pushed: what the other tests run is JNI on one virtual machine, and direct calls on another. */
    @Test
    void numbersAreCalledDirectlyWhereThatIsAllowed() throws Exception {
        int feature = Runtime.version().feature();
        boolean allowed =
                feature >= 22
                        && (Boolean) Module.class.getMethod("isNativeAccessEnabled").invoke(Native.class.getModule());
        assertEquals(allowed, Direct.IS_AVAILABLE);
        if (feature >= 24) {
            assertTrue(allowed, "who could load the library may call it");
        }
        try (var mine = Batcher.<Object, Object>builder().handler(Batch::values).build();
                Batcher<Object, Object> theirs = Batcher.attach(mine.shared())) {
            assertEquals(allowed, mine.core.direct);
            assertFalse(theirs.core.direct, "a push there may wait");
        }
    }

    @Test
    void p29_aHandlerInC() throws Exception {
        everyValue(address("handlers_c.so", "check_in_c"));
    }

    @Test
    void p29_aHandlerInCpp() throws Exception {
        everyValue(address("handlers_cpp.so", "check_in_cpp"));
    }

    /** By tag, and by future; threaded, and in manual mode. */
    private static void everyValue(long handler) throws Exception {
        AtomicInteger right = new AtomicInteger();
        List<String> wrong = new ArrayList<>();
        java.util.function.Consumer<Results<Object>> look =
                results -> {
                    for (Result<Object> result : results) {
                        if (result.error() == null && Awkward.is((int) result.tag(), result.value())) {
                            right.incrementAndGet();
                        } else {
                            wrong.add(result.toString());
                        }
                    }
                };
        try (var batcher = Batcher.<Object, Object>builder().nativeHandler(handler, 0).onResult(look).build()) {
            for (int tag = 0; tag < Awkward.VALUES.size(); tag++) {
                batcher.push(Awkward.VALUES.get(tag), tag);
            }
            batcher.pushMany(Awkward.VALUES, 0);
            try (var producer = batcher.producer()) {
                for (int tag = 0; tag < Awkward.VALUES.size(); tag++) {
                    producer.push(Awkward.VALUES.get(tag), tag);
                }
            }
            batcher.flush(LONG);
            assertEquals(List.of(), wrong);
            assertEquals(3 * Awkward.VALUES.size(), right.get());
            // the handler tells what is wrong
            batcher.push("other", 3);
            batcher.flush(LONG);
            assertEquals(1, wrong.size());
            assertTrue(wrong.get(0).contains("not what was pushed"), wrong.get(0));
        }
        right.set(0);
        wrong.clear();
        try (var batcher =
                Batcher.<Object, Object>builder().manual().nativeHandler(handler, 0).onResult(look).build()) {
            batcher.pushMany(Awkward.VALUES, 0);
            batcher.flush(LONG);
        }
        assertEquals(List.of(), wrong);
        assertEquals(Awkward.VALUES.size(), right.get());
    }

    @Test
    void futuresOfValuesThatANativeHandlerAnswers() throws Exception {
        long handler = address("handlers_c.so", "double_in_c");
        try (var batcher =
                Batcher.<Object, Object>builder().threads(2).nativeHandler(Kind.INT64, handler, 5).build()) {
            List<CompletableFuture<Object>> futures = new ArrayList<>();
            for (long at = 0; at < 50_000; at++) {
                futures.add(batcher.submit(at));
            }
            for (long at = 0; at < 50_000; at++) {
                assertEquals(2 * at + 5, futures.get((int) at).get());
            }
            assertRefused("NO_HANDLER", () -> batcher.push("a", 1));
        }
    }

    @Test
    void inManualModeNativeAndJavaHandlersGoTogether() throws Exception {
        long handler = address("handlers_c.so", "double_in_c");
        try (var batcher =
                Batcher.<Object, Object>builder()
                        .manual()
                        .nativeHandler(Kind.INT64, handler, 0)
                        .handler(Kind.STRING, Batch::values)
                        .build()) {
            var number = batcher.submit(21L);
            var text = batcher.submit("a");
            batcher.flush(LONG);
            assertEquals(42L, number.get());
            assertEquals("a", text.get());
        }
        assertThrows(
                IllegalArgumentException.class,
                () -> Batcher.builder().nativeHandler(Kind.INT64, handler, 0).handler(Batch::values).build());
        assertThrows(UnsatisfiedLinkError.class, () -> address("handlers_c.so", "no_such_function"));
        assertThrows(UnsatisfiedLinkError.class, () -> address("no_such.so", "f"));
    }

    @Test
    void javaSharesItsBatcher() throws Exception {
        try (var mine = Batcher.<Object, Object>builder().handler(Batch::values).build()) {
            try (Batcher<Object, Object> theirs = Batcher.attach(mine.shared())) {
                theirs.push(1L, 1);
                for (int at = 0; at < 100; at++) {
                    assertRefused("WRONG_OWNER", () -> theirs.push(new Object(), 1));
                }
                theirs.pushMany(new long[1000], 0);
                theirs.flush(LONG);
            }
            mine.flush(LONG);
            assertEquals(1001, mine.stats().ok());
            assertEquals(7L, mine.submit(7).get());
        }
        assertRefused("INVALID_ARGUMENT", () -> Batcher.attach(0));
        var failed = Batcher.<Object, Object>builder().handler(batch -> List.of()).build();
        assertEquals("RESULT_COUNT", failureOf(failed.submit(1)).name());
        failed.close();
        assertRefused("CLOSED", failed::shared);
    }

    @Test
    void p29_aCppHostHandsItsBatcherToJava() throws Exception {
        Path libjvm = Path.of(System.getProperty("java.home"), "lib/server/libjvm.so");
        Process host =
                new ProcessBuilder(
                                BUILT.resolve("host").toString(),
                                libjvm.toString(),
                                System.getProperty("java.class.path"),
                                Runtime.version().feature() < 22
                                        ? "-Xmx128m"
                                        : "--enable-native-access=ALL-UNNAMED")
                        .redirectErrorStream(true)
                        .start();
        String output = new String(host.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
        assertEquals("every value came back\n", output);
        assertEquals(0, host.waitFor());
    }

    @Test
    void whoClosesWaitsForWhoPushes() throws Exception {
        Process test = new ProcessBuilder(BUILT.resolve("in_use_test").toString()).redirectErrorStream(true).start();
        assertEquals("", new String(test.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8));
        assertEquals(0, test.waitFor());
    }
}
