package io.microbatch;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;

/**
 * Waiting in Java, where it can be interrupted and a virtual thread gives up its carrier. Whoever waits looks again when
 * batches or results have passed through this virtual machine.
 */
final class Waits {
    /**
     * The longest time until whoever waits looks again: room, too, comes of what native handlers, other hosts and the clock
     * do, which passes nobody here.
     */
    private static final long LOOK_AGAIN = 5_000_000;

    private final Core core;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition progress = lock.newCondition();
    private volatile int waiters;

    Waits(Core core) {
        this.core = core;
    }

    /** Something passed. */
    void signal() {
        if (waiters > 0) {
            lock.lock();
            try {
                progress.signalAll();
            } finally {
                lock.unlock();
            }
        }
    }

    /** Waits until the condition holds or the time, of System.nanoTime, has come; answers whether it holds. */
    boolean await(BooleanSupplier condition, long timeout) throws InterruptedException {
        if (Thread.interrupted()) {
            throw new InterruptedException();
        }
        if (condition.getAsBoolean()) {
            return true;
        }
        long begun = System.nanoTime();
        lock.lock();
        waiters++;
        try {
            while (!condition.getAsBoolean()) {
                long left = timeout == Core.FOREVER ? Core.FOREVER : timeout - (System.nanoTime() - begun);
                if (left <= 0) {
                    return false;
                }
                progress.await(Math.min(left, LOOK_AGAIN), TimeUnit.NANOSECONDS);
            }
            return true;
        } finally {
            waiters--;
            lock.unlock();
        }
    }

    /** A push that is made again; last: it is refused, and counted, if there is no room. */
    @FunctionalInterface
    interface Push {
        int push(boolean last);
    }

    /**
     * What a push came to that asked for room: if it would wait, it is made again when room comes, up to push_timeout. In
     * callbacks nobody waits, and an interrupt ends the waiting with the refusal, and stays set.
     */
    int push(int status, Push again) {
        if (status != Status.WOULD_WAIT) {
            return status;
        }
        int[] latest = {status};
        try {
            if (!core.inCallback()) {
                await(
                        () -> {
                            if (!Status.isFull(Native.room(core, core.host, 0))) {
                                latest[0] = again.push(false);
                            }
                            return latest[0] != Status.WOULD_WAIT;
                        },
                        core.settings.pushTimeout);
            }
        } catch (InterruptedException interrupt) {
            Thread.currentThread().interrupt();
        }
        return latest[0] == Status.WOULD_WAIT ? again.push(true) : latest[0];
    }
}
