package io.microbatch;

import java.time.Duration;
import java.util.function.Consumer;
import java.util.function.LongToIntFunction;

/** Batches and results taken by whoever calls, who waits in native code, a slice at a time. */
final class Pulls {
    /** How long a pull stays in native code before it looks whether its thread was interrupted. */
    private static final long SLICE = 10_000_000;

    private Pulls() {}

    static <T> HeldBatch<T> batch(Core core, Duration timeout) throws InterruptedException {
        core.refuseInCallback("nextBatch");
        long[] info = new long[Batch.INFO];
        pull(core, timeout, slice -> Native.nextBatch(core, core.host, slice, info));
        return new HeldBatch<>(new Batch<>(new Flight(core, info, true), info));
    }

    static <R> Results<R> results(Core core, Duration timeout, Consumer<? super Results<R>> consumer)
            throws InterruptedException {
        if (!core.settings.pullsResults && !core.settings.attached) {
            throw MicrobatchException.of(
                    Status.WRONG_MODE, "the results of this batcher are taken already; results = pull leaves them");
        }
        core.refuseInCallback("nextResults");
        long[] info = new long[Results.INFO];
        pull(core, timeout, slice -> Native.nextResults(core, core.host, slice, info));
        return taken(core, info, consumer);
    }

    /** A set that a native call told of: kept, and given back. */
    static <R> Results<R> taken(Core core, long[] info, Consumer<? super Results<R>> consumer) {
        Results<R> results = new Results<>(core, info);
        try {
            consumer.accept(results.keep());
        } finally {
            results.end();
            core.drain();
            core.waits.signal();
        }
        return results;
    }

    private static void pull(Core core, Duration timeout, LongToIntFunction call) throws InterruptedException {
        long left = Times.positive(timeout);
        long begun = System.nanoTime();
        for (; ; ) {
            if (Thread.interrupted()) {
                throw new InterruptedException();
            }
            int status = call.applyAsInt(Math.min(left, SLICE));
            core.drainLog();
            if (status == Status.OK) {
                core.waits.signal();
                return;
            }
            if (timeout != Batcher.FOREVER) {
                left = Times.positive(timeout) - (System.nanoTime() - begun);
            }
            if (status != Status.TIMEOUT || left <= 0 || core.settings.manual) {
                throw MicrobatchException.of(status);
            }
        }
    }
}
