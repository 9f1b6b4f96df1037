package io.microbatch;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.ArrayList;
import java.util.List;

/**
 * One option of a batcher, as the library's own table has it.
 *
 * @param name the name, the same in every language
 * @param type {@code duration}, {@code count}, {@code bytes} or {@code choice}
 * @param unit what it counts, or empty
 * @param defaultText what it is if it is not set
 * @param choices the names a choice accepts
 * @param minimum the smallest number accepted
 * @param maximum the largest
 * @param defaultValue what it is in Java if it is not set, as a number; 0 if other options decide
 * @param doc what it is for, in one line
 */
public record Option(
        String name,
        String type,
        String unit,
        String defaultText,
        List<String> choices,
        long minimum,
        long maximum,
        long defaultValue,
        String doc) {
    private static final List<Option> TABLE = new ArrayList<>();

    static {
        for (String line : new String(Native.optionTable(), UTF_8).split("\n")) {
            String[] cells = line.split("\t", -1);
            TABLE.add(
                    new Option(
                            cells[0],
                            cells[1],
                            cells[2],
                            cells[3],
                            cells[4].isEmpty() ? List.of() : List.of(cells[4].split(",")),
                            Long.parseLong(cells[5]),
                            Long.parseLong(cells[6]),
                            Long.parseLong(cells[7]),
                            cells[8]));
        }
    }

    /**
     * All options.
     *
     * @return them in the order of the table
     */
    public static List<Option> all() {
        return List.copyOf(TABLE);
    }

    /** What an option comes to where it is not set. */
    static long defaultOf(String name) {
        return TABLE.get(place(name)).defaultValue;
    }

    /** Where an option stands in the table. */
    static int place(String name) {
        for (int at = 0; at < TABLE.size(); at++) {
            if (TABLE.get(at).name.equals(name)) {
                return at;
            }
        }
        throw new IllegalArgumentException("no option is called " + name);
    }

    /** The code of a choice: the place of its name, from 1 on. */
    static int choice(String option, String name) {
        return TABLE.get(place(option)).choices.indexOf(name) + 1;
    }
}
