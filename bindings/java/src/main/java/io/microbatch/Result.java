package io.microbatch;

/**
 * What became of one value.
 *
 * @param tag the tag it was pushed with
 * @param outcome what became of it
 * @param handled whether a handler saw it
 * @param value the result, of OK ones; may be {@code null}
 * @param error why not, of all others; {@code null} of OK ones
 * @param <R> what comes back
 */
public record Result<R>(long tag, Outcome outcome, Handled handled, R value, MicrobatchException error) {}
