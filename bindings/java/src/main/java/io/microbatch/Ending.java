package io.microbatch;

import java.util.concurrent.atomic.AtomicBoolean;

/** The end of a batcher, which comes once: by its user, or by the Cleaner, for one that nobody closed. */
final class Ending implements Runnable {
    private final Core core;
    private final AtomicBoolean begun = new AtomicBoolean();

    Ending(Core core) {
        this.core = core;
    }

    /** By the Cleaner. */
    @Override
    public void run() {
        if (begin()) {
            core.log(System.Logger.Level.WARNING, "a batcher was lost without having been closed", null);
            end(0, true);
        }
    }

    /** Answers whether it is this call that ends the batcher. */
    boolean begin() {
        return !begun.getAndSet(true);
    }

    /** behind: the calling thread does not wait. */
    void end(long timeout, boolean behind) {
        ExitHook.remove(core);
        if (core.settings.attached) {
            Native.letGo(core, core.host);
        } else if (core.settings.manual) {
            Closing.begin(core, timeout);
            Native.letGo(core, core.host);
            core.drain();
            core.drainLog();
        } else {
            Closing closing = Closing.begin(core, timeout);
            if (behind) {
                Thread thread = new Thread(() -> end(closing), "microbatch-free");
                thread.setDaemon(true);
                thread.start();
            } else {
                end(closing);
            }
        }
    }

    private void end(Closing closing) {
        boolean interrupted = false;
        for (; ; ) {
            try {
                closing.await();
                break;
            } catch (InterruptedException interrupt) {
                // Draining ends; the discarded values have their results, and those are still delivered.
                interrupted = true;
                Native.close(core, core.host, 0, new long[1]);
            }
        }
        Native.letGo(core, core.host);
        core.drain();
        core.drainLog();
        if (closing.left() > 0 && closing.drains()) {
            core.log(
                    System.Logger.Level.WARNING,
                    closing.left() + " values were discarded when a batcher was closed",
                    null);
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
