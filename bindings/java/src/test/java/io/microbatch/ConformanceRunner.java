package io.microbatch;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
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

    private static final List<String> KINDS =
            List.of("null", "bool", "int64", "float64", "string", "bytes", "object");

    /** An owner that no batcher has. */
    private static final int NOBODY_ELSE = 0x7fffffff;

    /** What stands for an object of owner 1. */
    private record Thing(long word, long size) {}

    /** A string that is not UTF-8, which Java's cannot be. */
    private record NoText(byte[] bytes) {}

    private static final class Script {
        final List<String> lines = new ArrayList<>();
        int calls;
    }

    private final StringBuilder trace = new StringBuilder();
    private final Map<String, Script> scripts = new HashMap<>();
    private final Map<String, String> options = new java.util.LinkedHashMap<>();
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

    // ---- reading and writing ----

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

    private static byte[] unescape(String text) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (int at = 0; at < text.length(); at++) {
            if (text.charAt(at) == '%') {
                bytes.write(Integer.parseInt(text.substring(at + 1, at + 3), 16));
                at += 2;
            } else {
                bytes.write(text.charAt(at));
            }
        }
        return bytes.toByteArray();
    }

    private static String escape(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte one : bytes) {
            boolean plain = one == '_' || one == '.' || one > 0 && one < 127 && Character.isLetterOrDigit(one);
            text.append(plain ? String.valueOf((char) one) : String.format("%%%02X", one));
        }
        return text.toString();
    }

    private static String text(String word) {
        return word.equals("-") ? "" : new String(unescape(word), UTF_8);
    }

    private static String dashed(String text) {
        return text.isEmpty() ? "-" : escape(text.getBytes(UTF_8));
    }

    private Object parse(String word) {
        String[] halves = word.split(":", 2);
        String content = halves.length > 1 ? halves[1] : "";
        switch (halves[0]) {
            case "null":
                return null;
            case "bool":
                return content.equals("1");
            case "int64":
                return Long.parseLong(content);
            case "float64":
                return Double.longBitsToDouble(Long.parseUnsignedLong(content, 16));
            case "bytes":
                return unescape(content);
            case "string":
                byte[] bytes = unescape(content);
                try {
                    return UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
                } catch (CharacterCodingException malformed) {
                    return new NoText(bytes);
                }
            default:
                String[] parts = content.split("/");
                int of = Integer.parseInt(parts[0]);
                long number = Long.parseUnsignedLong(parts[1]);
                long size = Long.parseUnsignedLong(parts[2]);
                if (of != 0 && of == owner) {
                    return new Thing(number, size);
                }
                return new ForeignObject(of == 0 ? 0 : NOBODY_ELSE, number, size);
        }
    }

    private static String show(Object value) {
        if (value == null) {
            return "null";
        } else if (value instanceof Boolean truth) {
            return truth ? "bool:1" : "bool:0";
        } else if (value instanceof Long number) {
            return "int64:" + number;
        } else if (value instanceof Double number) {
            return String.format("float64:%016x", Double.doubleToRawLongBits(number));
        } else if (value instanceof String string) {
            return "string:" + escape(string.getBytes(UTF_8));
        } else if (value instanceof byte[] bytes) {
            return "bytes:" + escape(bytes);
        }
        return "object:" + Long.toUnsignedString(((Thing) value).word);
    }

    private static String kindName(Kind kind) {
        return kind == null ? "mixed" : KINDS.get(kind.ordinal());
    }

    private static List<String> values(String[] words, int from) {
        return List.of(words).subList(from, words.length).stream().filter(word -> !word.contains("=")).toList();
    }

    private static Long deadline(String[] words) {
        for (String word : words) {
            if (word.startsWith("deadline=")) {
                return Long.parseLong(word.substring(9));
            }
        }
        return null;
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
                                        show(results, "batch " + results.batch(), kindName(results.kind()));
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
                                        line("release object " + Long.toUnsignedString(((Thing) object).word));
                                        callback("on_release");
                                    }));
        }
        return status(() -> batcher = builder.build());
    }

    private static long size(Object object) {
        return ((Thing) object).size;
    }

    @FunctionalInterface
    private interface Call {
        void call() throws Exception;
    }

    private static String status(Call call) {
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
                    show(batch, name);
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
                String status = onBatch(batch, words);
                if (!status.equals("OK")) {
                    line(action + " -> " + status);
                }
            }
        }
    }

    private void show(Batch<Object> batch, String name) {
        boolean map = name.equals("map");
        StringBuilder rows = new StringBuilder();
        for (int row = 0; row < batch.size(); row++) {
            rows.append(' ').append(show(batch.value(row))).append('@');
            rows.append(Long.toUnsignedString(batch.tag(row)));
        }
        line(
                String.format(
                        "batch %d %s %s %s age %d:%s",
                        batch.number(),
                        name,
                        map ? "-" : batch.trigger(),
                        kindName(batch.kind()),
                        map ? 0 : batch.age().toNanos(),
                        rows));
    }

    private void show(Results<Object> results, String title, String kind) {
        line("results " + title + " count " + results.size() + (kind == null ? "" : " " + kind));
        indented(1, () -> results.forEach(result -> line(show(result))));
    }

    private static String show(Result<Object> result) {
        String ends = Long.toUnsignedString(result.tag()) + " " + result.outcome() + " " + result.handled() + " ";
        MicrobatchException error = result.error();
        if (error == null) {
            return ends + show(result.value());
        }
        boolean own = error.code() > 0;
        return ends
                + (own
                        ? error.code() + " " + dashed(error.typeName()) + " " + dashed(error.getMessage())
                        : error.name());
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
            case "push" -> push(words);
            case "push_many" -> pushMany(words);
            case "check" -> {
                Object value = parse(words[1]);
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
                                indented(1, () -> show(batch, "pulled"));
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
                                                                    show(
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

    private String push(String[] words) {
        Object value = parse(words[1]);
        long tag = Long.parseUnsignedLong(words[2]);
        Long deadline = deadline(words);
        if (value instanceof NoText) {
            return "INVALID_UTF8";
        }
        return status(
                () -> {
                    if (deadline == null) {
                        batcher.push(value, tag);
                    } else {
                        batcher.push(value, tag, Duration.ofNanos(deadline).minus(batcher.now()));
                    }
                });
    }

    private String pushMany(String[] words) {
        List<String> tokens = values(words, 3);
        Long deadline = deadline(words);
        boolean countsUp = !words[2].contains(",");
        long[] listed = java.util.Arrays.stream(words[2].split(",")).mapToLong(Long::parseUnsignedLong).toArray();
        if (deadline != null) {
            // a bulk push acts as its values pushed one by one
            int accepted = 0;
            String status = "OK";
            for (String token : tokens) {
                long tag = countsUp ? listed[0] + accepted : listed[accepted];
                status = push(new String[] {"push", token, Long.toUnsignedString(tag), "deadline=" + deadline});
                if (!status.equals("OK")) {
                    break;
                }
                accepted++;
            }
            return status + " accepted " + accepted;
        }
        // what is before the first that is no text, then the refusal
        List<Object> all = new ArrayList<>();
        for (String token : tokens) {
            Object value = parse(token);
            if (value instanceof NoText) {
                break;
            }
            all.add(value);
        }
        boolean cut = all.size() < tokens.size();
        long[] tags = java.util.Arrays.copyOf(listed, countsUp ? 1 : all.size());
        int[] accepted = {all.size()};
        String status =
                status(
                        () -> {
                            try {
                                pushAll(words[1], all, countsUp, tags);
                            } catch (PushManyException refused) {
                                accepted[0] = refused.accepted();
                                throw refused;
                            }
                        });
        return (status.equals("OK") && cut ? "INVALID_UTF8" : status) + " accepted " + accepted[0];
    }

    private void pushAll(String form, List<Object> all, boolean countsUp, long[] tags) {
        if (form.equals("int64s") && all.stream().allMatch(Long.class::isInstance)) {
            long[] numbers = all.stream().mapToLong(value -> (Long) value).toArray();
            if (countsUp) {
                batcher.pushMany(numbers, tags[0]);
            } else {
                batcher.pushMany(numbers, tags);
            }
        } else if (form.equals("float64s") && all.stream().allMatch(Double.class::isInstance)) {
            double[] numbers = all.stream().mapToDouble(value -> (Double) value).toArray();
            if (countsUp) {
                batcher.pushMany(numbers, tags[0]);
            } else {
                batcher.pushMany(numbers, tags);
            }
        } else if (countsUp) {
            batcher.pushMany(all, tags[0]);
        } else {
            batcher.pushMany(all, tags);
        }
    }

    private String map(String[] words) {
        List<Object> all = new ArrayList<>();
        values(words, 4).forEach(token -> all.add(parse(token)));
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
                    indented(1, () -> show(shown, "map", null));
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
                                                show(
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
                return onBatch(batch, action);
        }
    }

    private String onBatch(Batch<Object> batch, String[] action) {
        switch (action[0]) {
            case "echo", "double":
                String last = "OK";
                for (int row = 0; row < batch.size(); row++) {
                    Object value = batch.value(row);
                    Object result = action[0].equals("double") && value instanceof Long number ? number * 2 : value;
                    int at = row;
                    String status = status(() -> batch.set(at, result));
                    last = status.equals("OK") ? last : status;
                }
                return last;
            case "set":
                Object value = parse(action[2]);
                return value instanceof NoText
                        ? "INVALID_UTF8"
                        : status(() -> batch.set(Integer.parseInt(action[1]), value));
            case "set_int64s":
                long[] numbers = new long[Integer.parseInt(action[1])];
                for (int place = 0; place < numbers.length; place++) {
                    numbers[place] = Long.parseLong(action[2]) + place;
                }
                return status(() -> batch.setInt64s(numbers));
            case "fail":
                return status(
                        () ->
                                batch.fail(
                                        Integer.parseInt(action[1]),
                                        Integer.parseInt(action[2]),
                                        text(action[3]),
                                        text(action[4])));
            case "fail_all":
                return status(() -> batch.failAll(Integer.parseInt(action[1]), text(action[2]), text(action[3])));
            default:
                throw new AssertionError("no action " + action[0]);
        }
    }

    private static String show(Stats s) {
        StringBuilder triggers = new StringBuilder();
        s.triggers().forEach((trigger, count) -> triggers.append(count > 0 ? " " + trigger + "=" + count : ""));
        StringBuilder refusals = new StringBuilder();
        int first = -Status.named("WRONG_OWNER").code();
        int last = -Status.named("CLOSED").code();
        s.refusals()
                .forEach(
                        (name, count) -> {
                            int code = -Status.named(name).code();
                            refusals.append(code >= first && code <= last ? " " + name + "=" + count : "");
                        });
        return "stats -> accepted " + s.accepted() + " ok " + s.ok() + " failed " + s.failed() + " expired " + s.expired()
                + " cancelled " + s.cancelled() + " discarded " + s.discarded() + " outstanding " + s.outstanding()
                + " undelivered " + s.undelivered() + " waiting " + s.waiting() + " waiting_bytes " + s.waitingBytes()
                + " in_flight " + s.inFlight() + " oldest " + s.oldestInFlightAge().toNanos() + " batches " + s.batches()
                + " late " + s.late() + " batch_size " + show(s.batchSize()) + " queue_time " + show(s.queueTime())
                + " triggers" + triggers + " refusals" + refusals;
    }

    private static String show(Histogram histogram) {
        return histogram.count() + "/" + histogram.sum() + "/" + histogram.max();
    }
}
