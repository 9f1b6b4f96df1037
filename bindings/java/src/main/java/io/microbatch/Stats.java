package io.microbatch;

import java.time.Duration;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * One consistent snapshot: {@code accepted = ok + failed + expired + cancelled + discarded + outstanding}.
 *
 * @param accepted values taken by a push
 * @param ok values answered by a handler
 * @param failed values failed by a handler, or left without a result
 * @param expired values ended by their deadline or by {@code handler_timeout}
 * @param cancelled values cancelled while they waited
 * @param discarded values given up for room or at the end of close
 * @param outstanding values accepted and without an outcome yet
 * @param undelivered values with an outcome that is not delivered yet
 * @param triggers batches sealed, by trigger
 * @param refusals pushes refused, by the name of their status
 * @param batches batches dispatched
 * @param late completions that came after their batch had ended
 * @param stuck threads of the engine inside a handler whose batch has timed out
 * @param waiting values in the queue
 * @param waitingBytes what they weigh
 * @param inFlight batches dispatched and not finished
 * @param delivering values in the result set that is being delivered
 * @param bytesInUse memory held for batches and results, idle pools included
 * @param oldestInFlightAge how long ago the oldest batch in flight was dispatched; zero without one
 * @param batchSize values in each dispatched batch
 * @param queueTime nanoseconds from the acceptance of each batch's oldest value to its dispatch
 * @param handlerTime nanoseconds from each batch's dispatch until its last part was finished
 * @param deliveryTime nanoseconds from the moment each result set was ready until it was delivered
 */
public record Stats(
        long accepted,
        long ok,
        long failed,
        long expired,
        long cancelled,
        long discarded,
        long outstanding,
        long undelivered,
        Map<Trigger, Long> triggers,
        Map<String, Long> refusals,
        long batches,
        long late,
        long stuck,
        long waiting,
        long waitingBytes,
        long inFlight,
        long delivering,
        long bytesInUse,
        Duration oldestInFlightAge,
        Histogram batchSize,
        Histogram queueTime,
        Histogram handlerTime,
        Histogram deliveryTime) {
    private static final int TRIGGERS = 8;
    private static final int REFUSALS = 24;
    private static final int HISTOGRAMS = 8 + TRIGGERS + REFUSALS + 9;

    /** How many numbers the glue fills: the fields of mb_stats in their order. */
    static final int NUMBERS = HISTOGRAMS + 4 * Histogram.NUMBERS;

    static Stats read(long[] n) {
        Map<Trigger, Long> triggers = new EnumMap<>(Trigger.class);
        for (Trigger trigger : Trigger.ALL) {
            triggers.put(trigger, n[8 + trigger.ordinal() + 1]);
        }
        Map<String, Long> refusals = new LinkedHashMap<>();
        for (int code = 1; code < REFUSALS; code++) {
            long count = n[8 + TRIGGERS + code];
            if (count > 0) {
                refusals.put(Status.of(-code).name(), count);
            }
        }
        int at = 8 + TRIGGERS + REFUSALS;
        return new Stats(
                n[0],
                n[1],
                n[2],
                n[3],
                n[4],
                n[5],
                n[6],
                n[7],
                triggers,
                refusals,
                n[at],
                n[at + 1],
                n[at + 2],
                n[at + 3],
                n[at + 4],
                n[at + 5],
                n[at + 6],
                n[at + 7],
                Duration.ofNanos(n[at + 8]),
                Histogram.read(n, HISTOGRAMS),
                Histogram.read(n, HISTOGRAMS + Histogram.NUMBERS),
                Histogram.read(n, HISTOGRAMS + 2 * Histogram.NUMBERS),
                Histogram.read(n, HISTOGRAMS + 3 * Histogram.NUMBERS));
    }
}
