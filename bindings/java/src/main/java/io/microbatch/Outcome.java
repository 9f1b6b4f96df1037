package io.microbatch;

/** What became of a value. */
public enum Outcome {
    /** A handler answered with a value. */
    OK,
    /** A handler failed it, with a code and a message. */
    FAILED,
    /** Its deadline or the handler's time-out passed. */
    EXPIRED,
    /** It was cancelled while it waited. */
    CANCELLED,
    /** It was given up, for room or at the end of close. */
    DISCARDED;

    static final Outcome[] ALL = values();
}
