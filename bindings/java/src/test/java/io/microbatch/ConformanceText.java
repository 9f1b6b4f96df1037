package io.microbatch;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.util.List;

/** The words of scenarios and traces: values read and written, results and stats written. */
final class ConformanceText {
    static final List<String> KINDS =
            List.of("null", "bool", "int64", "float64", "string", "bytes", "object");

    /** An owner that no batcher has. */
    private static final int NOBODY_ELSE = 0x7fffffff;

    /** What stands for an object of owner 1. */
    record Thing(long word, long size) {}

    /** A string that is not UTF-8, which Java's cannot be. */
    record NoText(byte[] bytes) {}

    private ConformanceText() {}

    static byte[] unescape(String text) {
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

    static String escape(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte one : bytes) {
            boolean plain = one == '_' || one == '.' || one > 0 && one < 127 && Character.isLetterOrDigit(one);
            text.append(plain ? String.valueOf((char) one) : String.format("%%%02X", one));
        }
        return text.toString();
    }

    static String text(String word) {
        return word.equals("-") ? "" : new String(unescape(word), UTF_8);
    }

    static String dashed(String text) {
        return text.isEmpty() ? "-" : escape(text.getBytes(UTF_8));
    }

    /** owner: of the batcher, or 0. */
    static Object parse(String word, int owner) {
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

    static String show(Object value) {
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

    static String kindName(Kind kind) {
        return kind == null ? "mixed" : KINDS.get(kind.ordinal());
    }

    static List<String> values(String[] words, int from) {
        return List.of(words).subList(from, words.length).stream().filter(word -> !word.contains("=")).toList();
    }

    static Long deadline(String[] words) {
        for (String word : words) {
            if (word.startsWith("deadline=")) {
                return Long.parseLong(word.substring(9));
            }
        }
        return null;
    }

    static String show(Result<Object> result) {
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

    static String show(Stats s) {
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

    static String show(Histogram histogram) {
        return histogram.count() + "/" + histogram.sum() + "/" + histogram.max();
    }

    static String show(Batch<Object> batch, String name) {
        boolean map = name.equals("map");
        StringBuilder rows = new StringBuilder();
        for (int row = 0; row < batch.size(); row++) {
            rows.append(' ').append(show(batch.value(row))).append('@');
            rows.append(Long.toUnsignedString(batch.tag(row)));
        }
        return String.format(
                "batch %d %s %s %s age %d:%s",
                batch.number(),
                name,
                map ? "-" : batch.trigger(),
                kindName(batch.kind()),
                map ? 0 : batch.age().toNanos(),
                rows);
    }
}
