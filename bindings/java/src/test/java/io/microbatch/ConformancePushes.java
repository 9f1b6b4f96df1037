package io.microbatch;

import static io.microbatch.ConformanceRunner.status;
import static io.microbatch.ConformanceText.deadline;
import static io.microbatch.ConformanceText.parse;
import static io.microbatch.ConformanceText.values;

import io.microbatch.ConformanceText.NoText;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The pushes of a scenario: one value, and many in every form. */
record ConformancePushes(Batcher<Object, Object> batcher, int owner) {
    String push(String[] words) {
        Object value = parse(words[1], owner);
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

    String pushMany(String[] words) {
        List<String> tokens = values(words, 3);
        Long deadline = deadline(words);
        boolean countsUp = !words[2].contains(",");
        long[] listed = Arrays.stream(words[2].split(",")).mapToLong(Long::parseUnsignedLong).toArray();
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
            Object value = parse(token, owner);
            if (value instanceof NoText) {
                break;
            }
            all.add(value);
        }
        boolean cut = all.size() < tokens.size();
        long[] tags = Arrays.copyOf(listed, countsUp ? 1 : all.size());
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
}
