package io.microbatch;

/** What host.cpp calls: the Java side of batchers that live in another copy of the engine. */
final class HostSide {
    private HostSide() {}

    /** Pushes every value into one batcher, which C++ handles, and handles those that C++ pushed into the other. */
    static void serve(long cppHandles, long javaHandles, int count) throws Exception {
        try (Batcher<Object, Object> batcher = Batcher.attach(cppHandles)) {
            for (int tag = 0; tag < Awkward.VALUES.size(); tag++) {
                batcher.push(Awkward.VALUES.get(tag), tag);
            }
            // An object of this side is none of that batcher's.
            Kit.assertRefused("WRONG_OWNER", () -> batcher.push(new Object(), 1));
            Kit.assertRefused("WRONG_MODE", () -> batcher.submit(1L));
            batcher.flush(Kit.LONG);
            if (batcher.stats().ok() != Awkward.VALUES.size()) {
                throw new AssertionError(batcher.statsText());
            }
        }
        try (Batcher<Object, Object> batcher = Batcher.attach(javaHandles)) {
            for (int done = 0; done < count; ) {
                try (HeldBatch<Object> batch = batcher.nextBatch(Kit.LONG)) {
                    for (int row = 0; row < batch.size(); row++) {
                        Object value = batch.value(row);
                        int tag = (int) batch.tag(row);
                        if (tag == 1000 ? !(value instanceof ForeignObject) : !Awkward.is(tag, value)) {
                            throw new AssertionError(tag + " arrived as " + value);
                        }
                    }
                    batch.setAll(batch.values());
                    batch.complete();
                    done += batch.size();
                }
            }
        }
    }
}
