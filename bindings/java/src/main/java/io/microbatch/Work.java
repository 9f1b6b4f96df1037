package io.microbatch;

import java.util.List;
import java.util.concurrent.CompletionStage;
import java.util.function.Consumer;

/** A handler of any form: runs it on a batch and sees to it that the batch ends. */
final class Work {
    /** What the user gave, as a function that answers a stage if the batch ends later. */
    @FunctionalInterface
    private interface Body {
        CompletionStage<? extends List<?>> run(Batch<Object> batch) throws Exception;
    }

    private final Body body;

    private Work(Body body) {
        this.body = body;
    }

    @SuppressWarnings("unchecked")
    static Work of(Handler<?, ?> handler) {
        Handler<Object, Object> typed = (Handler<Object, Object>) handler;
        return new Work(
                batch -> {
                    answer(batch, typed.handle(batch));
                    return null;
                });
    }

    @SuppressWarnings("unchecked")
    static Work ofAsync(AsyncHandler<?, ?> handler) {
        AsyncHandler<Object, Object> typed = (AsyncHandler<Object, Object>) handler;
        return new Work(
                batch -> {
                    CompletionStage<? extends List<?>> stage = typed.handle(batch);
                    if (stage == null) {
                        throw new NullPointerException("the handler returned null instead of a CompletionStage");
                    }
                    return stage;
                });
    }

    @SuppressWarnings("unchecked")
    static Work ofBatch(BatchHandler<?> handler) {
        BatchHandler<Object> typed = (BatchHandler<Object>) handler;
        return new Work(
                batch -> {
                    typed.handle(batch);
                    return null;
                });
    }

    /** Sets what a handler returned. A wrong length fails the part, which the engine has noted when it says so. */
    private static void answer(Batch<Object> batch, List<?> results) {
        if (results == null) {
            throw new NullPointerException("the handler returned null instead of a list of results");
        }
        try {
            batch.setAll(results);
        } catch (MicrobatchException refused) {
            if (refused.code() != Status.RESULT_COUNT) {
                throw refused;
            }
        }
    }

    /** A batch that the engine lends for this call: in manual mode, or in a map. */
    void borrowed(Batch<Object> batch) {
        Flight flight = batch.flight;
        try {
            CompletionStage<? extends List<?>> stage = body.run(batch);
            if (stage != null) {
                HeldBatch<Object> held = batch.keep();
                stage.whenComplete((results, failure) -> later(held, results, failure));
            }
        } catch (Throwable failure) {
            fail(batch, failure);
        } finally {
            if (!batch.isKept()) {
                flight.end();
            }
        }
    }

    /** A batch that Java has pulled, or a part of one: `done` completes it when its handler has answered. */
    void pulled(Batch<Object> batch, Consumer<Flight> done) {
        try {
            CompletionStage<? extends List<?>> stage = body.run(batch);
            if (stage != null) {
                batch.loadAll();
                stage.whenComplete(
                        (results, failure) -> {
                            Frames.enter(batch.flight.core);
                            try {
                                finish(batch, results, failure);
                            } finally {
                                Frames.leave();
                            }
                            batch.flight.complete(false);
                        });
                batch.flight.pass();
                return;
            }
        } catch (Throwable failure) {
            fail(batch, failure);
        }
        if (batch.isKept()) {
            batch.flight.pass();
        } else {
            done.accept(batch.flight);
        }
    }

    private static void later(HeldBatch<Object> held, List<?> results, Throwable failure) {
        finish(held, results, failure);
        held.end(false);
    }

    private static void finish(Batch<Object> batch, List<?> results, Throwable failure) {
        try {
            if (failure == null) {
                answer(batch, results);
            } else {
                boolean wrapped =
                        failure instanceof java.util.concurrent.CompletionException && failure.getCause() != null;
                fail(batch, wrapped ? failure.getCause() : failure);
            }
        } catch (Throwable thrown) {
            fail(batch, thrown);
        }
    }

    /** What a handler threw fails its part; of a batch that it kept or that has ended, it is only told. */
    private static void fail(Batch<Object> batch, Throwable failure) {
        if (batch.isKept() && !(batch instanceof HeldBatch)) {
            batch.flight.core.report("a handler failed after it had kept its batch", failure);
            return;
        }
        try {
            batch.failAll(failure);
        } catch (MicrobatchException late) {
            batch.flight
                    .core
                    .log(System.Logger.Level.DEBUG, "a handler failed after its batch had ended", failure);
        }
    }
}
