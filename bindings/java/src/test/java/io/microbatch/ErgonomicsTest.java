package io.microbatch;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Batched calls per tenant, as a user writes them. */
class ErgonomicsTest {
    record Call(URI uri, String body) {}

    /** Stands for a client that posts many calls at once. */
    private static final class Http {
        final AtomicInteger requests = new AtomicInteger();

        CompletionStage<List<String>> postAll(List<Call> calls) {
            requests.incrementAndGet();
            return CompletableFuture.supplyAsync(
                    () -> calls.stream().map(call -> call.uri().getPath() + " took " + call.body()).toList());
        }
    }

    @Test
    void batchedCallsPerTenant() {
        Http http = new Http();
        List<CompletableFuture<Void>> printed = new ArrayList<>();
        List<String> lines = java.util.Collections.synchronizedList(new ArrayList<>());
        try (var replies =
                Batcher.<Call, String>builder()
                        .maxBatchSize(50)
                        .maxDelay(Duration.ofMillis(5))
                        .maxInFlight(4)
                        .asyncHandler(batch -> http.postAll(batch.values()))
                        .build()) {
            for (int at = 0; at < 500; at++) {
                URI uri = URI.create("http://localhost/tenant/" + at % 3);
                CompletableFuture<String> reply = replies.submit(new Call(uri, "body " + at), Duration.ofMinutes(2));
                printed.add(reply.thenAccept(lines::add));
            }
        }
        printed.forEach(CompletableFuture::join);
        assertEquals(500, lines.size());
        assertEquals(1, lines.stream().filter("/tenant/1 took body 499"::equals).count());
    }
}
