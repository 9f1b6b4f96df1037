package io.microbatch;

/** What a class loader of its own runs: everything that could keep it, and then nothing does. */
public final class ReloadBody {
    private ReloadBody() {}

    public static String run() throws Exception {
        try (var batcher = Batcher.<Object, Object>builder().handler(Batch::values).build();
                var manual = Batcher.<Object, Object>builder().manual().handler(Batch::values).build()) {
            batcher.submit(new ReloadBody()).get();
            manual.submit(new ReloadBody());
            manual.run();
            return batcher.submit(42).get().toString();
        }
    }
}
