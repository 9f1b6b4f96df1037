package io.microbatch;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** The future of a value. Cancelling it cancels the value if that still waits. */
final class Reply<R> extends CompletableFuture<R> {
    private final Core core;

    /** The value's tag; 0 in futures that depend on another. */
    long tag;

    Reply(Core core) {
        this.core = core;
    }

    @Override
    public <U> CompletableFuture<U> newIncompleteFuture() {
        return new Reply<>(core);
    }

    @Override
    public boolean cancel(boolean mayInterruptIfRunning) {
        boolean cancelled = super.cancel(mayInterruptIfRunning);
        if (cancelled && tag != 0) {
            Native.cancel(core, core.host, tag, new long[1]);
        }
        return cancelled;
    }

    /** Its own callback would wait for itself. */
    private void checkWait() {
        if (!isDone() && core.inCallback()) {
            throw MicrobatchException.of(
                    Status.REENTRANT,
                    "waiting for a future inside a callback of its own batcher would wait for ever; use thenAccept");
        }
    }

    @Override
    public R get() throws InterruptedException, ExecutionException {
        checkWait();
        return super.get();
    }

    @Override
    public R get(long timeout, TimeUnit unit) throws InterruptedException, ExecutionException, TimeoutException {
        checkWait();
        return super.get(timeout, unit);
    }

    @Override
    public R join() {
        checkWait();
        return super.join();
    }
}
