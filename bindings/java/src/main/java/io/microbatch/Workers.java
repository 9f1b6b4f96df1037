package io.microbatch;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The threads of a threaded batcher. They are Java's and call in: handler threads take whole batches, one thread takes
 * results. They end when the batcher is closed and empty.
 */
final class Workers {
    /** How long the results thread sleeps at most while objects are held: those of late batches come back unannounced. */
    private static final long LOOK_FOR_RELEASES = 50_000_000;

    private static final AtomicInteger NUMBER = new AtomicInteger();

    private final Core core;
    private final Work[] handlers;

    /** The one handler, if there is no other. */
    private final Work only;

    /** The kinds that have a handler, as bits. */
    private final int handled;

    private final List<Thread> threads = new ArrayList<>();

    /** Rows whose results went all the way. */
    private final AtomicLong delivered = new AtomicLong();

    /** How many sets the results thread has begun and finished. */
    private volatile long begun;

    private volatile long finished;
    private volatile boolean resultsEnded;

    Workers(Core core) {
        this.core = core;
        handlers = core.settings.handlers;
        int kinds = core.settings.kinds();
        only = kinds == 1 << Core.DEFAULT_HANDLER ? handlers[Core.DEFAULT_HANDLER] : null;
        boolean all = kinds == 0 || handlers[Core.DEFAULT_HANDLER] != null || core.settings.hasNativeHandler;
        handled = all ? -1 : kinds;
    }

    boolean lacksHandler(Kind kind) {
        return handled != -1 && (handled & 1 << kind.ordinal()) == 0;
    }

    void start() {
        Core.Settings settings = core.settings;
        ThreadFactory factory = settings.threadFactory == null ? Workers::daemon : settings.threadFactory;
        int number = NUMBER.incrementAndGet();
        if (settings.kinds() != 0) {
            int count = settings.executor == null ? settings.threads : 1;
            for (int at = 1; at <= count; at++) {
                add(factory, "microbatch-" + number + "-handler-" + at, this::handle);
            }
        }
        if (takesResults()) {
            add(factory, "microbatch-" + number + "-results", this::takeResults);
        } else {
            resultsEnded = true;
        }
        threads.forEach(Thread::start);
    }

    private void add(ThreadFactory factory, String name, Runnable body) {
        Thread thread = factory.newThread(body);
        if (thread == null) {
            throw new IllegalStateException("the ThreadFactory made no thread");
        }
        thread.setName(name);
        threads.add(thread);
    }

    private static Thread daemon(Runnable body) {
        Thread thread = new Thread(body);
        thread.setDaemon(true);
        return thread;
    }

    boolean takesResults() {
        return !core.settings.countsOnly && !core.settings.pullsResults;
    }

    // ---- batches ----

    private void handle() {
        long[] info = new long[7];
        for (; ; ) {
            int status = Native.nextBatch(core, core.host, Core.FOREVER, info);
            if (status == Status.OK) {
                core.waits.signal();
                Flight flight = new Flight(core, info, true);
                Batch<Object> batch = new Batch<>(flight, info);
                if (core.settings.executor == null) {
                    handle(batch);
                } else {
                    execute(batch);
                }
            } else if (status != Status.TIMEOUT) {
                if (status != Status.CLOSED) {
                    Core.report("no more batches can be taken", MicrobatchException.of(status));
                }
                core.waits.signal();
                return;
            }
        }
    }

    private void execute(Batch<Object> batch) {
        try {
            core.settings.executor.execute(() -> handle(batch));
        } catch (Throwable refused) {
            try {
                batch.failAll(refused);
            } catch (MicrobatchException late) {
                Core.report("the executor refused a batch that had ended", refused);
            }
            batch.flight.complete(false);
        }
    }

    private void handle(Batch<Object> batch) {
        Frames.enter(core);
        try {
            Work work = only;
            if (work == null && batch.kind() != null) {
                work = handlerOf(batch.kind().ordinal());
            }
            if (work != null) {
                work.pulled(batch, () -> batch.flight.complete(false));
            } else {
                handleParts(batch);
            }
        } catch (Throwable failure) {
            Core.report("a batch could not be handled", failure);
            batch.flight.complete(false);
        } finally {
            Frames.leave();
        }
    }

    private Work handlerOf(int kind) {
        return handlers[kind] == null ? handlers[Core.DEFAULT_HANDLER] : handlers[kind];
    }

    /** Parts in order of kind code, then those of the default handler together. */
    private void handleParts(Batch<Object> batch) {
        byte[] kinds = batch.rawKinds();
        int[][] rows = new int[Core.DEFAULT_HANDLER + 1][kinds.length];
        int[] counts = new int[rows.length];
        for (int row = 0; row < kinds.length; row++) {
            int place = handlers[kinds[row]] == null ? Core.DEFAULT_HANDLER : kinds[row];
            rows[place][counts[place]++] = row;
        }
        int parts = 0;
        for (int count : counts) {
            parts += count > 0 ? 1 : 0;
        }
        batch.flight.divide(parts);
        for (int place = 0; place < rows.length; place++) {
            if (counts[place] > 0) {
                int[] mine = java.util.Arrays.copyOf(rows[place], counts[place]);
                Kind kind = kinds[mine[0]] >= 0 && oneKind(kinds, mine) ? Kind.ALL[kinds[mine[0]]] : null;
                Batch<Object> part = new Batch<>(batch, kind, mine);
                handlers[place].pulled(part, () -> batch.flight.partDone(mine, false));
            }
        }
    }

    private static boolean oneKind(byte[] kinds, int[] rows) {
        for (int row : rows) {
            if (kinds[row] != kinds[rows[0]]) {
                return false;
            }
        }
        return true;
    }

    // ---- results ----

    private void takeResults() {
        long[] info = new long[5];
        for (; ; ) {
            long timeout = core.slots.size() == 0 ? Core.FOREVER : LOOK_FOR_RELEASES;
            int status = Native.nextResults(core, core.host, timeout, info);
            if (status == Status.OK) {
                begun++;
                take(info);
                finished++;
                core.waits.signal();
            } else if (status == Status.TIMEOUT) {
                core.drain();
            } else {
                if (status != Status.CLOSED) {
                    Core.report("no more results can be taken", MicrobatchException.of(status));
                }
                core.drain();
                resultsEnded = true;
                core.waits.signal();
                return;
            }
        }
    }

    private void take(long[] info) {
        int count = (int) info[1];
        Frames.enter(core);
        try {
            Results<Object> results = new Results<>(core, info);
            try {
                core.deliver(results);
            } finally {
                Native.resultsFree(core, core.host, info[0]);
                core.drain();
            }
        } catch (Throwable failure) {
            Core.report("results could not be delivered, or onResult failed", failure);
        } finally {
            Frames.leave();
            delivered.addAndGet(count);
        }
    }

    /** Rows that were delivered all the way. */
    long delivered() {
        return delivered.get();
    }

    boolean resultsEnded() {
        return resultsEnded;
    }

    /** The set that is being delivered, or 0: the same number later says that it still is. */
    long delivering() {
        long now = begun;
        return now == finished ? 0 : now;
    }
}
