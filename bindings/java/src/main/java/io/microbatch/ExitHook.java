package io.microbatch;

import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.WeakHashMap;

/**
 * What happens to open batchers when the virtual machine exits: they drain, each up to its {@code drain_at_exit}, and what
 * was left is reported. The hook is there only while there are batchers, so that it keeps no class loader.
 */
final class ExitHook {
    private static final Set<Core> OPEN = Collections.newSetFromMap(new WeakHashMap<>());

    private static Thread hook;

    private ExitHook() {}

    static synchronized void add(Core core) {
        if (hook == null) {
            Thread thread = new Thread(ExitHook::drain, "microbatch-exit");
            try {
                Runtime.getRuntime().addShutdownHook(thread);
                hook = thread;
            } catch (IllegalStateException exiting) {
                return;
            }
        }
        OPEN.add(core);
    }

    static synchronized void remove(Core core) {
        OPEN.remove(core);
        if (OPEN.isEmpty() && hook != null) {
            try {
                Runtime.getRuntime().removeShutdownHook(hook);
                hook = null;
            } catch (IllegalStateException exiting) {
                // The hook runs, and finds nothing to do.
            }
        }
    }

    private static void drain() {
        List<Core> open;
        synchronized (ExitHook.class) {
            open = List.copyOf(OPEN);
        }
        for (Core core : open) {
            if (core.settings.drainAtExit == 0) {
                continue;
            }
            Closing closing = Closing.begin(core, core.settings.drainAtExit);
            try {
                closing.await();
            } catch (InterruptedException interrupt) {
                return;
            }
            long left = closing.status() == Status.OK ? 0 : Math.max(closing.left(), outstanding(core));
            if (left > 0) {
                // Not the logger, whose own hook may have run.
                System.err.println(
                        "microbatch: "
                                + left
                                + " values were discarded at exit: a batcher was not closed and did not drain in "
                                + core.settings.drainAtExit / 1_000_000
                                + " ms");
            }
        }
    }

    private static long outstanding(Core core) {
        long[] numbers = new long[Stats.NUMBERS];
        return Native.stats(core, core.host, numbers) == Status.OK ? Stats.read(numbers).outstanding() : 0;
    }
}
