package io.microbatch;

/** Whether a handler ever saw a value: whether trying again can do something twice. */
public enum Handled {
    /** No handler saw it. */
    NO,
    /** A handler had it and did not answer. */
    MAYBE,
    /** A handler had it and answered. */
    YES;

    static final Handled[] ALL = values();
}
