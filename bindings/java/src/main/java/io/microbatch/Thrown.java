package io.microbatch;

import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * What handlers of this virtual machine threw, until the results of the batch come: the engine carries the name and the
 * message, and a receiver in the same language gets the very object.
 */
final class Thrown {
    private final Map<Long, Map<String, Throwable>> byBatch = new ConcurrentHashMap<>();

    void put(long batch, String typeName, String message, Throwable failure) {
        byBatch.compute(
                batch,
                (number, failures) -> {
                    Map<String, Throwable> more = failures == null ? new HashMap<>() : failures;
                    more.put(typeName + '\0' + message, failure);
                    return more;
                });
    }

    void remove(long batch) {
        byBatch.remove(batch);
    }

    Map<String, Throwable> take(long batch) {
        Map<String, Throwable> failures = byBatch.isEmpty() ? null : byBatch.remove(batch);
        return failures == null ? Map.of() : failures;
    }
}
