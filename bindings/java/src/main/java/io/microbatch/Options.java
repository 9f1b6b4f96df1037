package io.microbatch;

import static io.microbatch.Given.given;

import java.io.ByteArrayOutputStream;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;

/** The options of a batcher to be made, by name and with their types. */
abstract sealed class Options<T, R> permits Builder {
    final Map<String, String> options = new LinkedHashMap<>();

    @SuppressWarnings("unchecked")
    private Builder<T, R> self() {
        return (Builder<T, R>) this;
    }

    /**
     * Sets an option by its name, from text: {@code "2ms"}, {@code "16MiB"}, {@code "forever"}, {@code "reject"}, or a plain
     * number in the option's unit.
     *
     * @param name the name, see {@link Option#all}
     * @param value the text
     * @return this
     */
    public Builder<T, R> option(String name, String value) {
        options.put(given(name, "name", "an option's name"), given(value, name, "text"));
        return self();
    }

    private Builder<T, R> duration(String name, Duration value) {
        long nanos = Times.nanos(name, value);
        return option(name, nanos == Core.FOREVER ? "forever" : Long.toString(nanos));
    }

    /**
     * Values in a batch at most.
     *
     * @param values how many
     * @return this
     */
    public Builder<T, R> maxBatchSize(long values) {
        return option("max_batch_size", Long.toString(values));
    }

    /**
     * Bytes in a batch at most.
     *
     * @param bytes 8 a value, plus the length of its string or the declared size of its object
     * @return this
     */
    public Builder<T, R> maxBatchBytes(long bytes) {
        return option("max_batch_bytes", Long.toString(bytes));
    }

    /**
     * The longest wait of a batch's first value for company.
     *
     * @param delay the time; zero is at once, {@link Batcher#FOREVER} no time limit
     * @return this
     */
    public Builder<T, R> maxDelay(Duration delay) {
        return duration("max_delay", delay);
    }

    /**
     * Batches dispatched and not finished at any time.
     *
     * @param batches how many
     * @return this
     */
    public Builder<T, R> maxInFlight(long batches) {
        return option("max_in_flight", Long.toString(batches));
    }

    /**
     * Handler threads.
     *
     * @param threads how many
     * @return this
     */
    public Builder<T, R> threads(long threads) {
        return option("threads", Long.toString(threads));
    }

    /**
     * Values that wait at most.
     *
     * @param values how many
     * @return this
     */
    public Builder<T, R> queueCapacity(long values) {
        return option("queue_capacity", Long.toString(values));
    }

    /**
     * The longest time from a batch's dispatch to its end; what is not answered by then expires.
     *
     * @param timeout the time
     * @return this
     */
    public Builder<T, R> handlerTimeout(Duration timeout) {
        return duration("handler_timeout", timeout);
    }

    /**
     * The longest wait of a push that finds no room, if {@code on_full} is {@code block}.
     *
     * @param timeout the time
     * @return this
     */
    public Builder<T, R> pushTimeout(Duration timeout) {
        return duration("push_timeout", timeout);
    }

    /**
     * What a push does that finds no room.
     *
     * @param choice {@code block}, {@code reject} or {@code discard_oldest}
     * @return this
     */
    public Builder<T, R> onFull(String choice) {
        return option("on_full", choice);
    }

    /**
     * Results in the order in which batches were dispatched.
     *
     * @return this
     */
    public Builder<T, R> ordered() {
        return option("delivery", "ordered");
    }

    /**
     * The longest drain of {@link Batcher#close()}.
     *
     * @param timeout the time
     * @return this
     */
    public Builder<T, R> closeTimeout(Duration timeout) {
        return duration("close_timeout", timeout);
    }

    /**
     * The longest drain when the virtual machine exits; zero leaves what is outstanding.
     *
     * @param timeout the time; 5 s if it is not set
     * @return this
     */
    public Builder<T, R> drainAtExit(Duration timeout) {
        return duration("drain_at_exit", timeout);
    }

    /**
     * The last stretch of {@code max_delay} that the thread waiting for it spins out instead of sleeping: less late, for a core.
     *
     * @param span the stretch; none if it is not set
     * @return this
     */
    public Builder<T, R> delaySpin(Duration span) {
        return duration("delay_spin", span);
    }

    /**
     * Manual mode: no thread is started, and {@link Batcher#run} does what is due.
     *
     * @return this
     */
    public Builder<T, R> manual() {
        return option("mode", "manual");
    }

    /** The options as the glue takes them. */
    byte[] texts() {
        ByteArrayOutputStream texts = new ByteArrayOutputStream();
        options.forEach(
                (name, value) -> {
                    if (name.indexOf(0) >= 0 || value.indexOf(0) >= 0) {
                        throw new IllegalArgumentException(
                                name.replace('\0', '\u2400') + " = \"" + value.replace('\0', '\u2400')
                                        + "\": a NUL (\u2400) is in no option; names and values as Option.all() has them are"
                                        + " expected");
                    }
                    texts.writeBytes(Text.encode(name));
                    texts.write(0);
                    texts.writeBytes(Text.encode(value));
                    texts.write(0);
                });
        return texts.toByteArray();
    }
}
