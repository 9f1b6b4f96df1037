package io.microbatch;

/** A bulk push stopped at a value that was refused. The values before it were taken. */
public final class PushManyException extends MicrobatchException {
    private static final long serialVersionUID = 1;

    /** How many values were taken. */
    private final int accepted;

    PushManyException(MicrobatchException refusal, int accepted) {
        super(
                refusal.code(),
                "",
                "value " + accepted + " was refused: " + refusal.getMessage(),
                Handled.NO,
                refusal);
        this.accepted = accepted;
    }

    /**
     * How many values were taken: the index of the refused one.
     *
     * @return the count
     */
    public int accepted() {
        return accepted;
    }
}
