package io.microbatch;

/** What a value is. The kind is what Java's type says and never depends on the number. */
public enum Kind {
    /** {@code null}. */
    NULL,
    /** {@link Boolean}. */
    BOOL,
    /** {@link Long}, {@link Integer}, {@link Short} or {@link Byte}: read back as {@code Long}. */
    INT64,
    /** {@link Double} or {@link Float}: read back as {@code Double}. */
    FLOAT64,
    /** {@link String}. */
    STRING,
    /** {@code byte[]}, copied. */
    BYTES,
    /** Anything else: it travels as the reference it is. */
    OBJECT;

    static final Kind[] ALL = values();

    static final int MIXED = 255;

    /** The kind with this code, or null for rows of several kinds. */
    static Kind of(int code) {
        return code >= 0 && code < ALL.length ? ALL[code] : null;
    }
}
