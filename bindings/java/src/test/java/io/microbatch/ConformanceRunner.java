package io.microbatch;

import static io.microbatch.ConformanceText.KINDS;
import static io.microbatch.ConformanceText.kindName;
import static io.microbatch.ConformanceText.parse;
import static io.microbatch.ConformanceText.show;
import static io.microbatch.ConformanceText.values;

import io.microbatch.ConformanceText.NoText;
import io.microbatch.ConformanceText.Thing;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Plays a scenario of {@code tests/conformance} through the public API and gives its trace. What the formats are is said in
 * the README there.
 */
final class ConformanceRunner {
    /** What Java has no form for: an owned push keeps the caller's bytes where they are, and Java's collector moves them. */
    static final Set<String> LACKS = Set.of("owned");

    private static final class Script {
        final List<String> lines = new ArrayList<>();
        int calls;
    }

    private final StringBuilder trace = new StringBuilder();
    private final Map<String, Script> scripts = new HashMap<>();
    private final Map<String, String> options = new LinkedHashMap<>();
    private final List<HeldBatch<Object>> held = new ArrayList<>();
    private final List<String> pulls = new ArrayList<>();
    private final List<Mark> marks = new ArrayList<>();
    private Batcher<Object, Object> batcher;
    private int owner;
    private int depth;

    static String play(String scenario) {
        ConformanceRunner runner = new ConformanceRunner();
        runner.playLines(scenario);
        return runner.trace.toString();
    }

    private void playLines(String scenario) {
        for (String line : scenario.split("\n")) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "", "#", "needs" -> {}
                case "owner" -> owner = Integer.parseInt(words[1]);
                case "option" -> options.put(words[1], words[2]);
                case "handler" -> script(words[1], rest(words, 2));
                case "pull" -> pulls.add(words[1]);
                case "on_result", "on_release" -> script(words[0], rest(words, 1));
                case "new" -> {
                    String status = make();
                    line("new -> " + status);
                    if (!status.equals("OK")) {
                        return;
                    }
                }
                default -> step(line);
            }
        }
        if (batcher != null) {
            step("free");
        }
        for (int at = 0; at < held.size(); at++) {
            if (held.get(at) != null) {
                step("h" + (at + 1) + " free");
            }
        }
    }

    private static String rest(String[] words, int from) {
        return String.join(" ", List.of(words).subList(Math.min(from, words.length), words.length));
    }

    // ---- scripts and lines ----

    private void script(String name, String line) {
        scripts.computeIfAbsent(name, key -> new Script()).lines.add(line);
    }

    private List<String> nextActions(String name) {
        Script script = scripts.get(name);
        if (script == null) {
            return List.of();
        }
        String line = script.lines.get(Math.min(script.calls++, script.lines.size() - 1));
        return line.isEmpty() ? List.of() : List.of(line.split(" ; "));
    }

    private void line(String text) {
        trace.append("  ".repeat(depth)).append(text).append('\n');
    }

    private void indented(int by, Runnable work) {
        depth += by;
        work.run();
        depth -= by;
    }

    // ---- making ----

    private String make() {
        Builder<Object, Object> builder =
                Batcher.<Object, Object>builder().manual().option("clock", "given").objectSize(ConformanceRunner::size);
        options.forEach(builder::option);
        for (Kind kind : Kind.values()) {
            String name = kindName(kind);
            if (scripts.containsKey(name)) {
                builder.batchHandler(kind, batch -> handle(name, batch));
            }
        }
        for (String kind : pulls) {
            if (kind.equals("default")) {
                builder.pullHandler();
            } else {
                builder.pullHandler(Kind.ALL[KINDS.indexOf(kind)]);
            }
        }
        if (scripts.containsKey("default")) {
            builder.batchHandler(batch -> handle("default", batch));
        }
        if (scripts.containsKey("on_result")) {
            builder.onResult(
                    results ->
                            indented(
                                    1,
                                    () -> {
                                        tell(results, "batch " + results.batch(), kindName(results.kind()));
                                        callback("on_result");
                                    }));
        } else if (!"pull".equals(options.get("results"))) {
            builder.countResults();
        }
        if (owner > 0) {
            builder.onRelease(
                    object ->
                            indented(
                                    1,
                                    () -> {
                                        line("release object " + Long.toUnsignedString(((Thing) object).word()));
                                        callback("on_release");
                                    }));
        }
        return status(() -> batcher = builder.build());
    }

    private static long size(Object object) {
        return ((Thing) object).size();
    }

    @FunctionalInterface
    interface Call {
        void call() throws Exception;
    }

    static String status(Call call) {
        try {
            call.call();
            return "OK";
        } catch (MicrobatchException refused) {
            return refused.name();
        } catch (Exception other) {
            throw new AssertionError(other);
        }
    }

    // ---- callbacks ----

    private void callback(String name) {
        indented(1, () -> nextActions(name).forEach(action -> step(action.substring(3))));
    }

    private void handle(String name, Batch<Object> batch) throws HandlerException {
        int[] returned = {0};
        indented(
                1,
                () -> {
                    line(show(batch, name));
                    indented(1, () -> nextActions(name).forEach(action -> act(batch, action, returned)));
                });
        if (returned[0] != 0) {
            throw new HandlerException(returned[0], "");
        }
    }

    private void act(Batch<Object> batch, String action, int[] returned) {
        String[] words = action.split(" ");
        switch (words[0]) {
            case "do" -> step(action.substring(3));
            case "return" -> returned[0] = Integer.parseInt(words[1]);
            case "keep" -> {
                held.add(batch.keep());
                line("keep -> OK h" + held.size());
            }
            default -> {
                String status = ConformanceBatches.answer(owner, batch, words);
                if (!status.equals("OK")) {
                    line(action + " -> " + status);
                }
            }
        }
    }

    private void tell(Results<Object> results, String title, String kind) {
        line("results " + title + " count " + results.size() + (kind == null ? "" : " " + kind));
        indented(1, () -> results.forEach(result -> line(show(result))));
    }

    // ---- steps ----

    private void step(String step) {
        String answer = answer(step.split(" "));
        if (answer != null) {
            line(step + " -> " + answer);
        }
    }

    private String answer(String[] words) {
        if (words[0].matches("h[0-9]+")) {
            return onHeld(Integer.parseInt(words[0].substring(1)) - 1, words);
        }
        if (words[0].equals("map")) {
            return map(words);
        }
        if (batcher == null) {
            return "INVALID_HANDLE";
        }
        return switch (words[0]) {
            case "push" -> new ConformancePushes(batcher, owner).push(words);
            case "push_many" -> new ConformancePushes(batcher, owner).pushMany(words);
            case "check" -> {
                Object value = parse(words[1], owner);
                yield value instanceof NoText ? "INVALID_UTF8" : status(() -> batcher.check(value));
            }
            case "room" -> status(() -> batcher.room(Duration.ZERO));
            case "cancel" -> number("OK ", () -> batcher.cancel(Long.parseUnsignedLong(words[1])));
            case "seal" -> status(() -> batcher.seal());
            case "run" -> status(() -> batcher.run());
            case "advance" -> status(() -> batcher.advance(Duration.ofNanos(Long.parseLong(words[1]))));
            case "now" -> Long.toString(batcher.now().toNanos());
            case "next_due" -> {
                Duration due = batcher.nextDue();
                yield due == Batcher.FOREVER ? "FOREVER" : Long.toString(due.toNanos());
            }
            case "flush" -> status(() -> batcher.flush(Duration.ZERO));
            case "flush_begin" ->
                    number(
                            "OK m",
                            () -> {
                                marks.add(batcher.flushBegin());
                                return marks.size();
                            });
            case "flush_end" -> {
                Mark mark = marks.get(Integer.parseInt(words[1].substring(1)) - 1);
                yield status(() -> batcher.flushEnd(mark, Duration.ZERO));
            }
            case "close" -> close(words[1]);
            case "free" -> {
                batcher.abandon();
                batcher = null;
                yield "OK";
            }
            case "next_batch" ->
                    number(
                            "OK h",
                            () -> {
                                HeldBatch<Object> batch = batcher.nextBatch(Duration.ZERO);
                                indented(1, () -> line(show(batch, "pulled")));
                                held.add(batch);
                                return held.size();
                            });
            case "next_results" ->
                    status(
                            () ->
                                    batcher.nextResults(
                                            Duration.ZERO,
                                            results ->
                                                    indented(
                                                            1,
                                                            () ->
                                                                    tell(
                                                                            results,
                                                                            "batch " + results.batch(),
                                                                            kindName(results.kind())))));
            case "stats" -> {
                line(show(batcher.stats()));
                yield null;
            }
            default -> throw new AssertionError("no step " + words[0]);
        };
    }

    @FunctionalInterface
    private interface NumberCall {
        long call() throws Exception;
    }

    private static String number(String before, NumberCall call) {
        String[] answer = new String[1];
        String status = status(() -> answer[0] = before + call.call());
        return answer[0] == null ? status : answer[0];
    }

    private String close(String timeout) {
        long[] left = {0};
        String status =
                status(
                        () ->
                                left[0] =
                                        batcher.close(
                                                timeout.equals("forever")
                                                        ? Batcher.FOREVER
                                                        : Duration.ofNanos(Long.parseLong(timeout))));
        return left[0] > 0 ? "TIMEOUT left " + left[0] : status;
    }

    private String map(String[] words) {
        List<Object> all = new ArrayList<>();
        values(words, 4).forEach(token -> all.add(parse(token, owner)));
        long number = Long.parseLong(words[3]);
        return status(
                () -> {
                    Split split = words[2].equals("size") ? Split.size(number) : Split.batches(number);
                    Results<?> results;
                    try {
                        results = mapAll(words[1], all, split);
                    } catch (MapException failed) {
                        results = failed.results();
                    }
                    @SuppressWarnings("unchecked")
                    Results<Object> shown = (Results<Object>) results;
                    indented(1, () -> tell(shown, "map", null));
                });
    }

    private Results<Object> mapAll(String form, List<Object> all, Split split) {
        if (form.equals("int64s") && all.stream().allMatch(Long.class::isInstance)) {
            long[] numbers = all.stream().mapToLong(value -> (Long) value).toArray();
            return Batcher.map(numbers, split, (Batch<Long> batch) -> handle("map", untyped(batch)));
        }
        if (form.equals("float64s") && all.stream().allMatch(Double.class::isInstance)) {
            double[] numbers = all.stream().mapToDouble(value -> (Double) value).toArray();
            return Batcher.map(numbers, split, (Batch<Double> batch) -> handle("map", untyped(batch)));
        }
        return Batcher.mapBatches(all, split, batch -> handle("map", batch));
    }

    @SuppressWarnings("unchecked")
    private static Batch<Object> untyped(Batch<?> batch) {
        return (Batch<Object>) batch;
    }

    // ---- batches ----

    private String onHeld(int at, String[] words) {
        HeldBatch<Object> batch = held.get(at);
        if (batch == null) {
            return "TOO_LATE";
        }
        String[] action = List.of(words).subList(1, words.length).toArray(String[]::new);
        switch (action[0]) {
            case "keep":
                return status(batch::keep);
            case "complete_next":
                held.set(at, null);
                return status(
                        () -> {
                            Results<Object> results = batch.completeNext();
                            if (results != null) {
                                indented(
                                        1,
                                        () ->
                                                tell(
                                                        results,
                                                        "batch " + results.batch(),
                                                        kindName(results.kind())));
                            }
                        });
            case "complete":
                held.set(at, null);
                return status(batch::complete);
            case "complete_ok":
                held.set(at, null);
                return status(batch::completeOk);
            case "free":
                held.set(at, null);
                return status(batch::close);
            default:
                return ConformanceBatches.answer(owner, batch, action);
        }
    }

}
