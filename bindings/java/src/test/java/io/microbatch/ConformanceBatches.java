package io.microbatch;

import static io.microbatch.ConformanceRunner.status;
import static io.microbatch.ConformanceText.parse;
import static io.microbatch.ConformanceText.text;

import io.microbatch.ConformanceText.NoText;

/** What a scenario does with a batch: the actions of handlers and of those who hold one. */
final class ConformanceBatches {
    private ConformanceBatches() {}

    static String answer(int owner, Batch<Object> batch, String[] action) {
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
                Object value = parse(action[2], owner);
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
}
