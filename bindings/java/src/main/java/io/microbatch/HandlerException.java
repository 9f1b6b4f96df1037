package io.microbatch;

/** Thrown by a handler to fail its batch with a code of its own. */
public class HandlerException extends Exception {
    private static final long serialVersionUID = 1;

    /** The code. */
    private final int code;

    /**
     * A failure with a code.
     *
     * @param code a positive number of the handler's own, or a status of the library's; any other becomes HANDLER_FAILED
     * @param message what happened
     */
    public HandlerException(int code, String message) {
        super(message);
        this.code = code;
    }

    /**
     * The code.
     *
     * @return as it was given
     */
    public int code() {
        return code;
    }
}
