package io.microbatch;

import java.util.HashMap;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Delivers sets of results one at a time, in the order in which they were taken from the engine. The thread of a handler
 * takes and delivers what it has completed, if nobody else delivers; the results thread takes everything else.
 */
final class Deliveries {
    private final Consumer<long[]> deliver;

    /** Somebody delivers. */
    private boolean busy;

    /** The turn that is delivered next. */
    private long next = 1;

    /** Somebody waits until nobody does. */
    private boolean awaited;

    /** Sets whose turn has not come, because the results thread holds one before them. */
    private final Map<Long, long[]> aside = new HashMap<>();

    /** deliver: delivers a set that a native call told of, and does not fail. */
    Deliveries(Consumer<long[]> deliver) {
        this.deliver = deliver;
    }

    /** Before a set is taken, by a thread that has something else to do if somebody delivers. */
    synchronized boolean tryBegin() {
        boolean free = !busy;
        busy = true;
        return free;
    }

    /** For the thread that has nothing else to do. */
    synchronized void begin() {
        boolean interrupted = false;
        while (busy) {
            awaited = true;
            try {
                wait();
            } catch (InterruptedException interrupt) {
                interrupted = true;
            }
        }
        busy = true;
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** Delivers the set that was taken, or lays it aside, and what its turn lets go; info: null if none was. */
    void end(long[] info) {
        long[] set = info;
        for (; ; ) {
            if (set != null && set[5] == next) {
                deliver.accept(set);
                next++;
            } else if (set != null) {
                synchronized (this) {
                    aside.put(set[5], set.clone());
                }
            }
            synchronized (this) {
                set = aside.isEmpty() ? null : aside.remove(next);
                if (set == null) {
                    busy = false;
                    if (awaited) {
                        awaited = false;
                        notifyAll();
                    }
                    return;
                }
            }
        }
    }
}
