package io.microbatch;

/**
 * A close under way. The engine's close blocks, so in threaded mode it runs in a thread of its own: whoever waits for it
 * waits in Java.
 */
final class Closing {
    private final Core core;
    private final long timeout;
    private final long begun = System.nanoTime();
    private volatile boolean done;
    private int status;
    private long left;

    private Closing(Core core, long timeout) {
        this.core = core;
        this.timeout = timeout;
    }

    /** In manual mode, and for batchers of others, it has ended when this returns. */
    static Closing begin(Core core, long timeout) {
        Closing closing = new Closing(core, timeout);
        if (core.workers() == null) {
            closing.close();
            closing.done = true;
        } else {
            // It is closed when this returns, although the thread is yet to begin.
            Native.closeToValues(core, core.host, true);
            Thread thread = new Thread(closing::run, "microbatch-close");
            thread.setDaemon(true);
            thread.start();
        }
        return closing;
    }

    private void run() {
        try {
            close();
        } finally {
            Native.closeToValues(core, core.host, false);
            done = true;
            core.waits.signal();
        }
    }

    private void close() {
        long[] out = new long[1];
        status = Native.close(core, core.host, timeout, out);
        left = out[0];
    }

    /** It was to wait for what is left. */
    boolean drains() {
        return timeout > 0;
    }

    int status() {
        return status;
    }

    long left() {
        return left;
    }

    /** Waits until the engine has closed and every result went all the way, or its delivery outlasts the time-out. */
    void await() throws InterruptedException {
        core.waits.await(() -> done, Core.FOREVER);
        Workers workers = core.workers();
        if (workers == null || status == Status.CLOSED || !workers.takesResults()) {
            return;
        }
        long[] seen = {0};
        core.waits.await(
                () -> {
                    if (workers.resultsEnded()) {
                        return true;
                    }
                    // A callback that is still the same one after the time-out: close does not wait for it.
                    long delivering = workers.delivering();
                    boolean late = timeout != Core.FOREVER && System.nanoTime() - begun >= timeout;
                    boolean same = late && delivering != 0 && delivering == seen[0];
                    seen[0] = late ? delivering : 0;
                    return same;
                },
                Core.FOREVER);
        if (!workers.resultsEnded() && status == Status.OK) {
            status = Status.TIMEOUT;
        }
    }
}
