package io.microbatch;

/** What the engine lends, a batch or a set of results: the handle, and that nothing is done with it beside or after its end. */
class Loan {
    final Core core;
    final long handle;

    /** A set of results, not a batch. */
    private final boolean results;

    boolean ended;

    Loan(Core core, long handle, boolean results) {
        this.core = core;
        this.handle = handle;
        this.results = results;
    }

    /** Copies columns out; arrays may be null, and those of columns that are not there stay as they are. */
    synchronized void columns(long[] tags, long[] cells, byte[] kinds, byte[] outcomes, byte[] handled) {
        Status.check(
                ended
                        ? Status.TOO_LATE
                        : Native.columns(core, core.host, handle, results, tags, cells, kinds, outcomes, handled));
    }

    synchronized void doubles(double[] numbers) {
        Status.check(ended ? Status.TOO_LATE : Native.doubles(core, core.host, handle, results, numbers));
    }

    synchronized byte[] strings(int[] offsets) {
        byte[] bytes = ended ? null : Native.strings(core, core.host, handle, results, offsets);
        if (bytes == null) {
            throw MicrobatchException.of(
                    Status.TOO_LATE, "the strings cannot be had: the batch has ended, or they pass 2 GiB");
        }
        return bytes;
    }

    synchronized Object object(int row, long word) {
        Status.check(ended ? Status.TOO_LATE : Status.OK);
        if (core.owner != 0) {
            return core.slots.get(word);
        }
        long[] out = new long[2];
        Status.check(Native.object(core, core.host, handle, results, row, out));
        return new ForeignObject((int) out[0], word, out[1]);
    }

    /** Why a row of a set is not OK, as the glue has it. */
    synchronized byte[] error(int row) {
        Status.check(ended ? Status.TOO_LATE : Status.OK);
        return Native.resultsError(core, core.host, handle, row);
    }

    /** It goes back to the engine: what was not read by now cannot be read. */
    synchronized void end() {
        ended = true;
    }
}
