package io.microbatch;

/**
 * A place behind everything that was accepted so far; {@link Batcher#flushBegin} gives it.
 *
 * @param number the library's number for it
 */
public record Mark(long number) {}
