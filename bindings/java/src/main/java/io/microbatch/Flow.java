package io.microbatch;

import static io.microbatch.Given.given;

import java.time.Duration;

/** What a batcher does between pushes and its end: waiting values, flushes, time. */
abstract sealed class Flow<T, R> extends Pushes<T, R> permits Batcher {
    Flow(Core core) {
        super(core);
    }

    /**
     * Cancels every waiting value with this tag.
     *
     * @param tag the tag
     * @return how many there were, at least 1
     * @throws MicrobatchException TOO_LATE if one is in flight and none waits; NOT_FOUND
     */
    public long cancel(long tag) {
        long[] out = new long[1];
        Status.check(Native.cancel(core, core.host, tag, out));
        return out[0];
    }

    /**
     * Waits until there is room for a value, without pushing one.
     *
     * @param timeout how long; in callbacks and in manual mode it never waits
     * @throws MicrobatchException what is lacking: QUEUE_FULL, QUEUE_FULL_BYTES, RESULTS_FULL; CLOSED
     * @throws InterruptedException if the thread is interrupted while it waits
     */
    public void room(Duration timeout) throws InterruptedException {
        int[] status = {Native.room(core, core.host, 0)};
        long nanos = Times.positive(timeout);
        if (Status.isFull(status[0]) && nanos > 0 && !core.settings.manual && !core.inCallback()) {
            core.waits.await(() -> !Status.isFull(status[0] = Native.room(core, core.host, 0)), nanos);
        }
        Status.check(status[0]);
    }

    /**
     * Closes the open batch and does not wait.
     *
     * @throws MicrobatchException CLOSED
     */
    public void seal() {
        Status.check(Native.seal(core, core.host));
    }

    /**
     * Seals and waits until every value accepted before is delivered: its future completed and its onResult returned. In
     * manual mode it does what {@link #run} does and never waits.
     *
     * @param timeout how long
     * @throws MicrobatchException TIMEOUT; IN_PROGRESS in manual mode, or with no time, if something is left; CLOSED; REENTRANT
     * @throws InterruptedException if the thread is interrupted while it waits
     */
    public void flush(Duration timeout) throws InterruptedException {
        long nanos = Times.positive(timeout);
        if (core.settings.manual) {
            driven(Native.flush(core, core.host, nanos));
            return;
        }
        core.refuseInCallback("flush");
        Flush.await(core, flushBegin(), nanos);
    }

    /**
     * The first half of a flush: seals, and marks the place behind everything accepted so far.
     *
     * @return the mark
     * @throws MicrobatchException CLOSED
     */
    public Mark flushBegin() {
        long[] out = new long[1];
        Status.check(Native.flushBegin(core, core.host, out));
        return new Mark(out[0]);
    }

    /**
     * The second half: waits until everything before the mark is delivered.
     *
     * @param mark the place
     * @param timeout how long
     * @throws MicrobatchException TIMEOUT; IN_PROGRESS in manual mode, or with no time, if something is left; REENTRANT
     * @throws InterruptedException if the thread is interrupted while it waits
     */
    public void flushEnd(Mark mark, Duration timeout) throws InterruptedException {
        given(mark, "mark", "what flushBegin answered");
        long nanos = Times.positive(timeout);
        if (core.settings.manual) {
            driven(Native.flushEnd(core, core.host, mark.number(), nanos));
            return;
        }
        core.refuseInCallback("flushEnd");
        Flush.await(core, mark, nanos);
    }

    // ---- manual mode ----

    /**
     * Does everything that is due now, in manual mode: deadlines, time-outs, handlers, results.
     *
     * @throws MicrobatchException WRONG_MODE in threaded mode; REENTRANT; CLOSED
     */
    public void run() {
        driven(Native.run(core, core.host));
    }

    /**
     * Sets a given clock. Backwards is ignored, and nothing else happens before {@link #run}.
     *
     * @param now the time since zero
     * @throws MicrobatchException WRONG_MODE unless {@code clock} is {@code given}; REENTRANT; CLOSED
     */
    public void advance(Duration now) {
        driven(Native.advance(core, core.host, Times.nanos("now", now)));
    }

    /**
     * When {@link #run} or a pull will have something to do, on the batcher's clock.
     *
     * @return the time, not after {@link #now} if there is something already, {@link Batcher#FOREVER} if nothing is in sight
     */
    public Duration nextDue() {
        long[] out = new long[1];
        Status.check(Native.nextDue(core, core.host, out));
        return out[0] == Core.FOREVER ? Batcher.FOREVER : Duration.ofNanos(out[0]);
    }

    /**
     * The time on the batcher's clock.
     *
     * @return the time since its zero
     */
    public Duration now() {
        long[] out = new long[1];
        Status.check(Native.now(core, core.host, out));
        return Duration.ofNanos(out[0]);
    }

    /** After a call that does the engine's work on this thread. */
    private void driven(int status) {
        core.drainLog();
        Status.check(status);
    }
}
