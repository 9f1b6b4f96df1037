package io.microbatch;

import static io.microbatch.Given.given;

import java.util.List;

/** Pushes of many values: as if one by one, in as few crossings as there is room for. */
final class Many {
    private Many() {}

    /** A push of the values from `from` on: the status above, how many were taken below. */
    @FunctionalInterface
    private interface Push {
        long push(int from, int count, boolean last);
    }

    /** tags: null for tags that count up from firstTag. */
    static void int64s(Core core, long[] values, long[] tags, long firstTag) {
        given(values, "values", "the values to push");
        checkTags(core, values.length, tags, firstTag);
        push(
                core,
                values.length,
                (from, count, last) ->
                        Native.pushInt64s(core, core.host, values, from, count, tags, firstTag + from, last));
    }

    static void float64s(Core core, double[] values, long[] tags, long firstTag) {
        given(values, "values", "the values to push");
        checkTags(core, values.length, tags, firstTag);
        push(
                core,
                values.length,
                (from, count, last) ->
                        Native.pushFloat64s(core, core.host, values, from, count, tags, firstTag + from, last));
    }

    private static void checkTags(Core core, int values, long[] tags, long firstTag) {
        if (tags == null) {
            core.checkTags(firstTag, values);
            return;
        }
        if (tags.length != values) {
            throw new IllegalArgumentException(tags.length + " tags for " + values + " values");
        }
        for (long tag : tags) {
            core.checkTag(tag);
        }
    }

    private static void push(Core core, int count, Push push) {
        int[] taken = {0};
        int status = push(core, count, push, taken);
        if (status != Status.OK) {
            throw new PushManyException(MicrobatchException.of(status), taken[0]);
        }
    }

    private static int push(Core core, int count, Push push, int[] taken) {
        return core.waits.push(pushFrom(push, taken, count, false), last -> pushFrom(push, taken, count, last));
    }

    private static int pushFrom(Push push, int[] taken, int count, boolean last) {
        long answer = push.push(taken[0], count - taken[0], last);
        taken[0] += (int) answer;
        return (int) (answer >> 32);
    }

    /** What a value before them was refused for is not asked of those behind it: the rows end there. */
    static void rows(Core core, List<?> values, long[] tags, long firstTag) {
        given(values, "values", "the values to push");
        checkTags(core, values.size(), tags, firstTag);
        Rows rows = new Rows(core, values.size());
        MicrobatchException unfit = null;
        int[] taken = {0};
        int status;
        try {
            try {
                for (Object value : values) {
                    rows.add(value);
                }
            } catch (MicrobatchException refused) {
                unfit = refused;
            }
            status =
                    push(
                            core,
                            rows.count,
                            (from, size, last) ->
                                    Native.pushRows(
                                            core,
                                            core.host,
                                            rows.words,
                                            rows.data,
                                            from,
                                            size,
                                            tags,
                                            firstTag + from,
                                            last),
                            taken);
        } finally {
            rows.giveUp(taken[0]);
        }
        if (status != Status.OK) {
            throw new PushManyException(core.refusal(status, values.get(taken[0])), taken[0]);
        }
        if (unfit != null) {
            throw new PushManyException(unfit, taken[0]);
        }
    }
}
