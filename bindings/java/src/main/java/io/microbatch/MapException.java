package io.microbatch;

/** Some values of a {@code map} failed. Carries all results, those that are there and those that failed. */
public final class MapException extends MicrobatchException {
    private static final long serialVersionUID = 1;

    /** All results, in the order of the values. */
    private final transient Results<?> results;

    MapException(MicrobatchException first, long failed, Results<?> results) {
        super(
                first.code(),
                first.typeName(),
                failed + " of " + results.size() + " values failed, the first with " + first.getMessage(),
                first.handled(),
                first);
        this.results = results;
    }

    /**
     * All results.
     *
     * @return them in the order of the values
     */
    public Results<?> results() {
        return results;
    }
}
