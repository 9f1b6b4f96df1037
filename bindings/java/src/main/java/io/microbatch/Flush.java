package io.microbatch;

/** Waiting until everything before a mark is delivered. */
final class Flush {
    private Flush() {}

    /** The engine's part is done when it has handed the results out, Java's when they went all the way. */
    static void await(Core core, Mark mark, long timeout) throws InterruptedException {
        int[] status = {Status.IN_PROGRESS};
        long[] needed = {-1};
        core.waits.await(
                () -> {
                    if (status[0] != Status.OK) {
                        status[0] = Native.flushEnd(core, core.host, mark.number(), 0);
                        if (status[0] == Status.OK && core.workers() != null && core.workers().takesResults()) {
                            long[] numbers = new long[Stats.NUMBERS];
                            if (Native.stats(core, core.host, numbers) == Status.OK) {
                                needed[0] = numbers[0] - numbers[6] - numbers[7];
                            }
                        }
                    }
                    if (status[0] != Status.OK) {
                        return status[0] != Status.IN_PROGRESS;
                    }
                    return needed[0] < 0 || core.workers().delivered() >= needed[0];
                },
                timeout);
        core.drainLog();
        boolean all = status[0] == Status.OK && (needed[0] < 0 || core.workers().delivered() >= needed[0]);
        if (!all) {
            boolean waited = timeout > 0 && (status[0] == Status.IN_PROGRESS || status[0] == Status.OK);
            throw MicrobatchException.of(
                    waited ? Status.TIMEOUT : status[0] == Status.OK ? Status.IN_PROGRESS : status[0]);
        }
    }
}
