package io.microbatch;

import static io.microbatch.Given.given;

import java.util.ArrayList;
import java.util.List;

/** Known values handled in batches, on the calling thread: what Batcher.map does. */
final class Maps {
    private Maps() {}

    /** Refuses what is left out. */
    static <H> H given(Object values, Split split, H handler) {
        Given.given(values, "values", "the values to map");
        Given.given(split, "split", "Split.size or Split.batches");
        return Given.given(handler, "handler", "a function");
    }

    static <R> Results<R> rows(List<?> values, Split split, Work work) {
        return map(
                work,
                (core, info, error) -> {
                    Rows rows = Rows.of(core, values);
                    return Native.mapRows(
                            core,
                            core.host,
                            rows.words,
                            rows.data,
                            rows.count,
                            split.size,
                            split.batches,
                            info,
                            error);
                });
    }

    @FunctionalInterface
    interface Mapping {
        int map(Core core, long[] info, byte[][] error);
    }

    /** References are taken in a Core of the map's own, and gone with it. */
    static <R> Results<R> map(Work work, Mapping mapping) {
        long[] out = new long[2];
        int made = Native.mapHost(out);
        if (made != Status.OK) {
            throw MicrobatchException.of(made);
        }
        Core.Settings settings = new Core.Settings();
        settings.manual = true;
        settings.handlers[Core.DEFAULT_HANDLER] = work;
        Core core = new Core(out[0], (int) out[1], settings);
        long[] info = new long[Results.INFO];
        byte[][] error = new byte[1][];
        int status = mapping.map(core, info, error);
        if (status != Status.OK) {
            throw MicrobatchException.of(status, Text.of(error, status));
        }
        Results<R> results = new Results<>(core, info);
        try {
            return results.keep();
        } finally {
            results.end();
        }
    }

    /** The results, or an exception that carries them all. */
    static <R> Results<R> whole(Results<R> results) {
        long failed = 0;
        MicrobatchException first = null;
        for (int row = 0; !results.allOk() && row < results.size(); row++) {
            MicrobatchException error = results.error(row);
            if (error != null) {
                failed++;
                first = first == null ? error : first;
            }
        }
        if (first != null) {
            throw new MapException(first, failed, results);
        }
        return results;
    }

    static <R> List<R> values(Results<R> results) {
        whole(results);
        List<R> values = new ArrayList<>(results.size());
        for (int row = 0; row < results.size(); row++) {
            values.add(results.value(row));
        }
        return values;
    }
}
