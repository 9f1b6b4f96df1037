package io.microbatch;

/**
 * What went wrong, as the library says it: a refused call, or the failure of one value.
 *
 * <p>The failure of a value whose handler threw in this virtual machine has what was thrown as its cause.
 */
public class MicrobatchException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** The code: a status of the library if negative, a handler's own if positive. */
    private final int code;

    /** What kind of failure, for example the name of an exception's class; empty if it was not said. */
    private final String typeName;

    /** Whether a handler saw the value. */
    private final Handled handled;

    MicrobatchException(int code, String typeName, String message, Handled handled, Throwable cause) {
        super(message, cause);
        this.code = code;
        this.typeName = typeName;
        this.handled = handled;
    }

    /** A refused call. */
    static MicrobatchException of(int code, String message) {
        return new MicrobatchException(code, "", name(code) + ": " + message, Handled.NO, null);
    }

    static MicrobatchException of(int code) {
        return of(code, Status.of(code).text());
    }

    private static String name(int code) {
        return Status.of(code).name();
    }

    /**
     * The code.
     *
     * @return a status of the library if negative, a handler's own code if positive
     */
    public int code() {
        return code;
    }

    /**
     * The name of the code.
     *
     * @return for example {@code QUEUE_FULL}; {@code USER_CODE} for positive codes
     */
    public String name() {
        return name(code);
    }

    /**
     * What kind of failure it was.
     *
     * @return the name that the handler gave, for example that of an exception's class, or an empty string
     */
    public String typeName() {
        return typeName;
    }

    /**
     * Whether the same call, repeated unchanged later, may succeed.
     *
     * @return what the library's table says of the code
     */
    public boolean retriable() {
        return Status.of(code).retriable();
    }

    /**
     * Whether a handler saw the value: if none did, trying again does nothing twice.
     *
     * @return {@link Handled#NO} also for refused calls
     */
    public Handled handled() {
        return handled;
    }
}
