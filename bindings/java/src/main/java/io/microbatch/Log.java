package io.microbatch;

/**
 * Takes the log of a batcher: {@link Builder#log}. What has an answer is not logged: refusals, failures, time-outs. Logged is
 * what nobody would hear of otherwise, such as what {@code onResult} throws, values that a close discarded, or a native
 * handler that ended its thread.
 */
@FunctionalInterface
public interface Log {
    /**
     * Takes a line. Several threads may be in it at a time. What it throws goes no further.
     *
     * @param level how grave it is
     * @param message what happened
     * @param thrown what was thrown, or {@code null}
     */
    void log(System.Logger.Level level, String message, Throwable thrown);
}
