package io.microbatch;

import java.lang.ref.Cleaner;
import java.lang.ref.Reference;
import java.util.concurrent.Executor;
import java.util.concurrent.ThreadFactory;
import java.util.function.Consumer;
import java.util.function.ToLongFunction;

/**
 * What a batcher is behind its face: the glue's host, the tables of references and futures, and what to call. Threads and
 * futures hold the Core, so the face can be lost, and is then closed by the {@link Cleaner}.
 */
final class Core {
    static final Cleaner CLEANER = Cleaner.create();

    private static final System.Logger LOGGER = System.getLogger("io.microbatch");

    /** No time limit, as the header has it. */
    static final long FOREVER = Long.MAX_VALUE;

    /** No deadline. */
    static final long NO_DEADLINE = Long.MIN_VALUE;

    /** The place of the default handler, after those of the kinds. */
    static final int DEFAULT_HANDLER = Kind.ALL.length;

    /** The levels of the library's log, by their numbers. */
    private static final System.Logger.Level[] LEVELS = {
        System.Logger.Level.DEBUG, System.Logger.Level.INFO, System.Logger.Level.WARNING, System.Logger.Level.ERROR,
    };

    /** Words fetched from the glue at a time. */
    private static final int WORDS = 256;

    final long host;
    final int owner;
    final Slots slots = new Slots();
    final Replies replies = new Replies();
    final Thrown thrown = new Thrown();
    final Settings settings;
    final Waits waits;

    /** Numbers are pushed without JNI. A push into an attached batcher may wait, so it is not. */
    final boolean direct;

    /** The threads of a threaded batcher; null in manual mode, of one that is attached, and of a map. */
    private Workers workers;

    /** Who decides about tags below 0: futures, or the pushers. */
    private volatile boolean tagsOfFutures;

    private volatile boolean tagsOfPushers;

    /** What a batcher is made from besides options. */
    static final class Settings {
        final Work[] handlers = new Work[DEFAULT_HANDLER + 1];
        Consumer<Object> onResult;
        Consumer<Object> onRelease;
        ToLongFunction<Object> objectSize;
        Log log = LOGGER::log;
        Executor executor;
        ThreadFactory threadFactory;
        int threads;
        boolean manual;
        boolean attached;
        boolean countsOnly;
        boolean pullsResults;
        boolean hasNativeHandler;

        /** The kinds, and the default, that whoever pulls has a handler for, as bits. */
        int pulls;
        long pushTimeout;
        long closeTimeout;
        long drainAtExit;

        boolean hasHandlers() {
            return kinds() != 0 || hasNativeHandler;
        }

        /** The kinds, and the default, that have a handler of Java's, as bits. */
        int kinds() {
            int kinds = 0;
            for (int at = 0; at < handlers.length; at++) {
                kinds |= handlers[at] == null ? 0 : 1 << at;
            }
            return kinds;
        }
    }

    Core(long host, int owner, Settings settings) {
        this.host = host;
        this.owner = owner;
        this.settings = settings;
        waits = new Waits(this);
        direct = Direct.IS_AVAILABLE && !settings.attached;
        CLEANER.register(this, new Memory(host));
    }

    /** Gives the glue's memory back when nobody can call with it any more. */
    private record Memory(long host) implements Runnable {
        @Override
        public void run() {
            Native.freeHost(host);
        }
    }

    void start() {
        if (!settings.manual && !settings.attached) {
            workers = new Workers(this);
            workers.start();
        }
    }

    Workers workers() {
        return workers;
    }

    long sizeOf(Object object) {
        long size = settings.objectSize == null ? 0 : settings.objectSize.applyAsLong(object);
        if (size < 0) {
            throw new IllegalArgumentException("objectSize = " + size + ": a size in bytes from 0 on is expected");
        }
        return size;
    }

    // ---- callbacks ----

    boolean inCallback() {
        return Frames.isIn(this);
    }

    /** What Java's own threads refuse inside their callbacks; in manual mode the engine does. */
    void refuseInCallback(String call) {
        if (!settings.manual && inCallback()) {
            throw MicrobatchException.of(
                    Status.REENTRANT, call + " is not allowed inside a callback of the same batcher");
        }
    }

    /** Called by the glue: a handler in manual mode, or of a map. Answers a status. */
    int onBatch(long batch, int which) {
        Frames.enter(this);
        try {
            long[] info = new long[Batch.INFO];
            int status = Native.batchInfo(this, host, batch, info);
            if (status == Status.OK) {
                Flight flight = new Flight(this, info, false);
                settings.handlers[which].borrowed(new Batch<>(flight, info));
            }
            return status;
        } catch (Throwable failure) {
            report("a handler could not be run", failure);
            return Status.HANDLER_FAILED;
        } finally {
            Frames.leave();
        }
    }

    /** Called by the glue: results in manual mode. */
    void onResults(long results) {
        Frames.enter(this);
        try {
            long[] info = new long[Results.INFO];
            if (Native.resultsInfo(this, host, results, info) == Status.OK) {
                Results<Object> set = new Results<>(this, info);
                try {
                    deliver(set);
                } finally {
                    set.loan().end();
                }
            }
        } catch (Throwable failure) {
            report("results could not be delivered, or onResult failed", failure);
        } finally {
            Frames.leave();
        }
    }

    /** Called by the glue: a reference ended, in manual mode. */
    void onRelease(long word) {
        Frames.enter(this);
        try {
            release(word);
        } finally {
            Frames.leave();
        }
    }

    private void release(long word) {
        try {
            Object object = slots.remove(word);
            if (settings.onRelease != null) {
                settings.onRelease.accept(object);
            }
        } catch (Throwable failure) {
            report("onRelease failed", failure);
        }
    }

    /** Releases what the engine's own threads have given back. */
    void drain() {
        if (owner == 0 || slots.size() == 0) {
            return;
        }
        long[] words = new long[WORDS];
        for (int count = WORDS; count == WORDS; ) {
            count = Native.drainReleased(this, host, words);
            for (int at = 0; at < count; at++) {
                Frames.enter(this);
                try {
                    release(words[at]);
                } finally {
                    Frames.leave();
                }
            }
        }
    }

    /** Futures first, then onResult; what that throws its caller reports, and it goes no further. */
    void deliver(Results<Object> results) {
        if (tagsOfFutures) {
            results.complete(replies.taker());
        }
        if (settings.onResult != null) {
            settings.onResult.accept(results);
        }
    }

    // ---- log ----

    void report(String what, Throwable failure) {
        log(System.Logger.Level.ERROR, what, failure);
    }

    void log(System.Logger.Level level, String message, Throwable thrown) {
        Frames.enter(this);
        try {
            settings.log.log(level, message, thrown);
        } catch (Throwable failure) {
            // There is nobody left to tell.
        } finally {
            Frames.leave();
        }
    }

    /** Passes on what the engine's own threads have logged. */
    void drainLog() {
        long[] out = new long[2];
        for (byte[] line; ; ) {
            line = Native.nextLine(this, host, out);
            if (out[1] > 0) {
                log(System.Logger.Level.WARNING, out[1] + " lines of log were dropped: too many waited", null);
            }
            if (line == null) {
                return;
            }
            log(LEVELS[(int) out[0]], Text.decode(line, 0, line.length), null);
        }
    }

    // ---- pushing ----

    /** Submit counts its tags from below 0 up; a push that uses one of these rules that out, and the other way round. */
    void checkTag(long tag) {
        if (tag < 0 && !tagsOfPushers) {
            synchronized (this) {
                if (tagsOfFutures) {
                    throw new IllegalArgumentException(
                            "tag "
                                    + tag
                                    + ": this batcher's futures take the tags below 0; tags from 0 on are accepted beside"
                                    + " submit");
                }
                tagsOfPushers = true;
            }
        }
    }

    /** Tags that count up. */
    void checkTags(long first, int count) {
        checkTag(first);
        checkTag(first + Math.max(count - 1, 0));
    }

    void claimTags() {
        if (!tagsOfFutures) {
            synchronized (this) {
                if (tagsOfPushers) {
                    throw new IllegalArgumentException(
                            "submit takes the tags below 0, and values were pushed with such tags into this batcher");
                }
                tagsOfFutures = true;
            }
        }
    }

    int pushInt64(long value, long tag) {
        int status = direct ? Direct.pushInt64(host, value, tag) : Native.pushInt64(host, value, tag);
        Reference.reachabilityFence(this);
        return status == Status.OK ? status : pushAgain(status, Kind.INT64, value, tag);
    }

    int pushFloat64(double value, long tag) {
        int status = direct ? Direct.pushFloat64(host, value, tag) : Native.pushFloat64(host, value, tag);
        Reference.reachabilityFence(this);
        return status == Status.OK ? status : pushAgain(status, Kind.FLOAT64, Double.doubleToRawLongBits(value), tag);
    }

    private int pushAgain(int status, Kind kind, long cell, long tag) {
        return waits.push(
                status,
                last -> Native.push(this, host, kind.ordinal(), cell, 0, null, tag, NO_DEADLINE, last));
    }

    /** Any value; within: nanoseconds from now to its deadline, or NO_DEADLINE. */
    int push(Object value, long tag, long within) {
        if (within == NO_DEADLINE) {
            if (value instanceof Long number) {
                return pushInt64(number, tag);
            }
            if (value instanceof Double number) {
                return pushFloat64(number, tag);
            }
        }
        Rows rows = Rows.of(this, value);
        int status = Status.INVALID_ARGUMENT;
        try {
            status = waits.push(pushRow(rows, tag, within, false), last -> pushRow(rows, tag, within, last));
        } finally {
            if (status != Status.OK) {
                rows.giveUp(0);
            }
        }
        return status;
    }

    private int pushRow(Rows rows, long tag, long within, boolean last) {
        byte[] data = Columns.isText((int) rows.head()) ? rows.data : null;
        return Native.push(this, host, rows.head(), rows.first(), rows.second(), data, tag, within, last);
    }

    /** Why the value would be refused now, as an exception; null if it would be taken. */
    MicrobatchException check(Object value) {
        Rows rows = Rows.of(this, value);
        try {
            byte[][] error = new byte[1][];
            byte[] data = Columns.isText((int) rows.head()) ? rows.data : null;
            int status = Native.check(this, host, rows.head(), rows.first(), rows.second(), data, error);
            return status == Status.OK ? null : MicrobatchException.of(status, Text.of(error, status));
        } finally {
            rows.giveUp(0);
        }
    }

    /** The words behind a refused push. */
    MicrobatchException refusal(int status, Object value) {
        if (status != Status.CLOSED && !Status.isFull(status)) {
            MicrobatchException inWords = check(value);
            if (inWords != null && inWords.code() == status) {
                return inWords;
            }
        }
        return MicrobatchException.of(status);
    }
}
