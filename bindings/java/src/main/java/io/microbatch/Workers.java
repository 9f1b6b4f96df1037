package io.microbatch;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;

/**
 * The threads of a threaded batcher. They are Java's and call in: handler threads take batches, part by part, and deliver
 * what they complete; one thread takes all other results. They end when the batcher is closed and empty.
 */
final class Workers {
    /** How long the results thread sleeps at most while objects are held: those of late batches come back unannounced. */
    private static final long LOOK_FOR_RELEASES = 50_000_000;

    private static final AtomicInteger NUMBER = new AtomicInteger();

    private final Core core;
    private final Work[] handlers;
    private final List<Thread> threads = new ArrayList<>();

    /** Numbers of batches in parts, one of whose handlers runs. */
    private final Set<Long> divided = new HashSet<>();

    private final Deliveries deliveries = new Deliveries(this::deliver);

    /** Rows whose results went all the way. */
    private final AtomicLong delivered = new AtomicLong();

    /** How many sets were begun and finished; whoever delivers counts. */
    private volatile long begun;

    private volatile long finished;
    private volatile boolean resultsEnded;

    Workers(Core core) {
        this.core = core;
        handlers = core.settings.handlers;
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
        Thread thread = factory.newThread(() -> inCallbacks(body));
        if (thread == null) {
            throw new IllegalStateException("the ThreadFactory made no thread");
        }
        thread.setName(name);
        threads.add(thread);
    }

    /** Whatever user's code one of these threads runs is a callback. */
    private void inCallbacks(Runnable body) {
        Frames.enter(core);
        try {
            body.run();
            core.drainLog();
        } finally {
            Frames.leave();
        }
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
        long[] info = new long[Batch.INFO];
        long[] set = new long[Results.INFO];
        Consumer<Flight> done = takesResults() ? flight -> completeAndDeliver(flight, set) : Workers::complete;
        for (; ; ) {
            int status = Native.nextBatch(core, core.host, Core.FOREVER, info);
            if (status == Status.OK) {
                core.waits.signal();
                if (info[7] != 0) {
                    core.drainLog();
                }
                Batch<Object> batch = new Batch<>(new Flight(core, info, true), info);
                if (core.settings.executor == null) {
                    handle(batch, done);
                } else {
                    execute(batch);
                }
            } else if (status != Status.TIMEOUT) {
                if (status != Status.CLOSED) {
                    core.report("no more batches can be taken", MicrobatchException.of(status));
                }
                core.waits.signal();
                return;
            }
        }
    }

    private static void complete(Flight flight) {
        flight.complete(false);
    }

    /** What the batch makes ready is delivered by this very thread, unless another one delivers: no thread is woken for it. */
    private void completeAndDeliver(Flight flight, long[] set) {
        if (!deliveries.tryBegin()) {
            flight.complete(false);
            return;
        }
        try {
            flight.completeNext(set);
        } finally {
            deliveries.end(set[0] == 0 ? null : set);
        }
    }

    private void execute(Batch<Object> batch) {
        try {
            core.settings.executor.execute(() -> handleElsewhere(batch));
        } catch (Throwable refused) {
            try {
                batch.failAll(refused);
            } catch (MicrobatchException late) {
                core.report("the executor refused a batch that had ended", refused);
            }
            batch.flight.complete(false);
        }
    }

    /** On an executor's thread. */
    private void handleElsewhere(Batch<Object> batch) {
        Frames.enter(core);
        try {
            handle(batch, Workers::complete);
        } finally {
            Frames.leave();
        }
    }

    /** A part is for the handler of its kind, or for the default one. */
    private void handle(Batch<Object> batch, Consumer<Flight> done) {
        if (!batch.isPart()) {
            answer(batch, done);
            return;
        }
        boolean[] inside = {true};
        beginPart(batch.number());
        try {
            answer(
                    batch,
                    flight -> {
                        endPart(inside, batch.number());
                        done.accept(flight);
                    });
        } finally {
            endPart(inside, batch.number());
        }
    }

    private void answer(Batch<Object> batch, Consumer<Flight> done) {
        try {
            Kind kind = batch.kind();
            Work own = kind == null ? null : handlers[kind.ordinal()];
            (own == null ? handlers[Core.DEFAULT_HANDLER] : own).pulled(batch, done);
        } catch (Throwable failure) {
            core.report("a batch could not be handled", failure);
            batch.flight.complete(false);
        }
    }

    /** A part that was kept may be completed before its handler returns; the next handler begins after that all the same. */
    private void beginPart(long number) {
        boolean interrupted = false;
        synchronized (divided) {
            while (!divided.add(number)) {
                try {
                    divided.wait();
                } catch (InterruptedException interrupt) {
                    interrupted = true;
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private void endPart(boolean[] inside, long number) {
        if (inside[0]) {
            inside[0] = false;
            synchronized (divided) {
                divided.remove(number);
                divided.notifyAll();
            }
        }
    }

    // ---- results ----

    private void takeResults() {
        long[] info = new long[Results.INFO];
        for (; ; ) {
            long timeout = core.slots.size() == 0 ? Core.FOREVER : LOOK_FOR_RELEASES;
            int status = Native.nextResults(core, core.host, timeout, info);
            if (status == Status.OK) {
                deliveries.begin();
                deliveries.end(info);
            } else if (status == Status.TIMEOUT) {
                core.drain();
            } else {
                if (status != Status.CLOSED) {
                    core.report("no more results can be taken", MicrobatchException.of(status));
                }
                core.drain();
                // Whoever took the last set delivers it still.
                deliveries.begin();
                resultsEnded = true;
                deliveries.end(null);
                core.waits.signal();
                return;
            }
        }
    }

    private void deliver(long[] info) {
        if (info[6] != 0) {
            core.drainLog();
        }
        begun++;
        int count = (int) info[1];
        try {
            Results<Object> results = new Results<>(core, info);
            try {
                core.deliver(results);
            } finally {
                results.end();
                core.drain();
            }
        } catch (Throwable failure) {
            core.report("results could not be delivered, or onResult failed", failure);
        } finally {
            delivered.addAndGet(count);
            finished++;
            core.waits.signal();
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
