package io.microbatch;

import static io.microbatch.Given.given;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * One status of the library, as its own table has it.
 *
 * @param code the number, negative
 * @param retriable whether the same call, repeated unchanged later, may succeed
 * @param name for example {@code QUEUE_FULL}
 * @param text the cause in one sentence
 */
public record Status(int code, boolean retriable, String name, String text) {
    static final int OK = 0;

    private static final List<Status> TABLE = new ArrayList<>();
    private static final Map<Integer, Status> BY_CODE = new HashMap<>();
    private static final Map<String, Status> BY_NAME = new HashMap<>();

    static {
        for (String line : new String(Native.statusTable(), UTF_8).split("\n")) {
            String[] cells = line.split("\t", -1);
            Status status =
                    new Status(Integer.parseInt(cells[0]), !cells[1].equals("0"), cells[2], cells[3]);
            TABLE.add(status);
            BY_CODE.put(status.code, status);
            BY_NAME.put(status.name, status);
        }
    }

    // The statuses that the binding itself answers with or looks for.
    static final int INVALID_ARGUMENT = named("INVALID_ARGUMENT").code;
    static final int INVALID_UTF8 = named("INVALID_UTF8").code;
    static final int WRONG_OWNER = named("WRONG_OWNER").code;
    static final int NO_HANDLER = named("NO_HANDLER").code;
    static final int QUEUE_FULL = named("QUEUE_FULL").code;
    static final int QUEUE_FULL_BYTES = named("QUEUE_FULL_BYTES").code;
    static final int RESULTS_FULL = named("RESULTS_FULL").code;
    static final int WOULD_WAIT = named("WOULD_WAIT").code;
    static final int CLOSED = named("CLOSED").code;
    static final int TIMEOUT = named("TIMEOUT").code;
    static final int IN_PROGRESS = named("IN_PROGRESS").code;
    static final int REENTRANT = named("REENTRANT").code;
    static final int NOT_FOUND = named("NOT_FOUND").code;
    static final int TOO_LATE = named("TOO_LATE").code;
    static final int WRONG_MODE = named("WRONG_MODE").code;
    static final int HANDLER_FAILED = named("HANDLER_FAILED").code;
    static final int RESULT_COUNT = named("RESULT_COUNT").code;
    static final int CANCELLED = named("CANCELLED").code;

    /**
     * All statuses of the library.
     *
     * @return them in the order of the table
     */
    public static List<Status> all() {
        return List.copyOf(TABLE);
    }

    /**
     * The status with this name.
     *
     * @param name for example {@code QUEUE_FULL}
     * @return the status
     * @throws IllegalArgumentException if there is none
     */
    public static Status named(String name) {
        Status status = BY_NAME.get(given(name, "name", "a status's name"));
        if (status == null) {
            throw new IllegalArgumentException("no status is called " + name + "; there are " + BY_NAME.keySet());
        }
        return status;
    }

    /** The status with this code; codes of users and of newer libraries get a name that says so. */
    static Status of(int code) {
        Status status = BY_CODE.get(code);
        if (status != null) {
            return status;
        }
        return code > 0
                ? new Status(code, false, "USER_CODE", "The handler failed the value with a code of its own.")
                : new Status(code, false, "UNKNOWN_CODE", "The library has a status that its table does not list.");
    }

    /** Throws what a call was refused with. */
    static void check(int status) {
        if (status != OK) {
            throw MicrobatchException.of(status);
        }
    }

    static boolean isFull(int code) {
        return code == QUEUE_FULL || code == QUEUE_FULL_BYTES || code == RESULTS_FULL;
    }
}
