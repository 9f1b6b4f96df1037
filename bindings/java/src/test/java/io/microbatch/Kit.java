package io.microbatch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.fail;

import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.function.Executable;

/** What the tests share. */
final class Kit {
    static final Duration LONG = Duration.ofSeconds(100);

    private Kit() {}

    /** Lets other threads go on until the condition holds; the watchdog ends it if that never comes. */
    static void waitUntil(BooleanSupplier condition) throws InterruptedException {
        while (!condition.getAsBoolean()) {
            Thread.sleep(0, 200_000);
        }
    }

    static MicrobatchException assertRefused(String name, Executable call) {
        MicrobatchException refused = assertThrows(MicrobatchException.class, call);
        assertEquals(name, refused.name(), refused.getMessage());
        return refused;
    }

    /** The failure of a future. */
    static MicrobatchException failureOf(CompletableFuture<?> future) throws InterruptedException {
        try {
            Object value = future.get();
            return fail("the future has the value " + value);
        } catch (ExecutionException failure) {
            return (MicrobatchException) failure.getCause();
        }
    }

    /** The law of every snapshot. */
    static void assertLaw(Stats s) {
        assertEquals(
                s.accepted(), s.ok() + s.failed() + s.expired() + s.cancelled() + s.discarded() + s.outstanding());
    }

    static long threadsOfProcess() {
        String[] tasks = Path.of("/proc/self/task").toFile().list();
        return tasks == null ? 0 : tasks.length;
    }
}
