package io.microbatch;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.StringJoiner;

/** Strings on their way to the engine. */
final class Text {
    private Text() {}

    /** UTF-8; a lone surrogate is refused, because the encoder would replace it. */
    static byte[] encode(String text) {
        int lone = loneSurrogate(text);
        if (lone >= 0) {
            throw MicrobatchException.of(
                    Status.INVALID_UTF8,
                    String.format(
                            "the string of %d chars has the lone surrogate U+%04X at index %d; surrogates are accepted in "
                                    + "pairs, and what is not text as byte[]",
                            text.length(), (int) text.charAt(lone), lone));
        }
        return text.getBytes(UTF_8);
    }

    private static int loneSurrogate(String text) {
        int length = text.length();
        for (int at = 0; at < length; at++) {
            char unit = text.charAt(at);
            if (Character.isSurrogate(unit)) {
                boolean pair =
                        Character.isHighSurrogate(unit)
                                && at + 1 < length
                                && Character.isLowSurrogate(text.charAt(at + 1));
                if (!pair) {
                    return at;
                }
                at++;
            }
        }
        return -1;
    }

    /** For messages of exceptions, which are not refused: lone surrogates become what the encoder makes of them. */
    static byte[] lenient(String text) {
        return text == null ? new byte[0] : text.getBytes(UTF_8);
    }

    static String decode(byte[] bytes, int from, int to) {
        return new String(bytes, from, to - from, UTF_8);
    }

    /** The words of the errors that the glue put there, one a line, or the status's own. */
    static String of(byte[][] error, int code) {
        StringJoiner words = new StringJoiner("\n").setEmptyValue(Status.of(code).text());
        for (byte[] one : error) {
            if (one != null) {
                words.add(new String(one, UTF_8));
            }
        }
        return words.toString();
    }
}
