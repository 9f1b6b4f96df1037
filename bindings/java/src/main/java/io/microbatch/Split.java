package io.microbatch;

/** How {@code map} divides what it is given. */
public final class Split {
    final long size;
    final long batches;

    private Split(long size, long batches) {
        this.size = size;
        this.batches = batches;
    }

    /**
     * Batches of this many values, the last one of what is left.
     *
     * @param values how many, from 1
     * @return the division
     */
    public static Split size(long values) {
        return new Split(atLeastOne(values, "values"), 0);
    }

    /**
     * This many batches; the first {@code n mod batches} of them get one value more than the others.
     *
     * @param batches how many, from 1
     * @return the division
     */
    public static Split batches(long batches) {
        return new Split(0, atLeastOne(batches, "batches"));
    }

    private static long atLeastOne(long number, String what) {
        if (number < 1) {
            throw new IllegalArgumentException(what + " = " + number + ": a number from 1 on is expected");
        }
        return number;
    }
}
