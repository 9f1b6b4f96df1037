package io.microbatch;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import java.util.function.IntSupplier;

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

    /**
     * A push found no room: if the batcher blocks, tries again when room comes, up to push_timeout. An interrupt ends the
     * waiting with the refusal, and stays set.
     */
    int push(int refusal, IntSupplier again) {
        if (!core.settings.blocks || core.inCallback()) {
            return refusal;
        }
        int[] status = {refusal};
        try {
            await(
                    () -> {
                        int room = Native.room(core, core.host, 0);
                        status[0] = room == Status.OK ? again.getAsInt() : room;
                        return !Status.isFull(status[0]);
                    },
                    core.settings.pushTimeout);
        } catch (InterruptedException interrupt) {
            Thread.currentThread().interrupt();
        }
        return status[0];
    }
}
