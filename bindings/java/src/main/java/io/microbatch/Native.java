package io.microbatch;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Locale;

/**
 * The functions of the native library. Each takes the address of the glue's host; the Core beside it keeps that memory
 * while the call lasts, and where there is none, whoever calls sees to it. Statuses come back as they are.
 */
final class Native {
    /** Names another library file than the one in the jar. */
    private static final String LIBRARY = "microbatch.library";

    static {
        load();
    }

    private Native() {}

    /** Every class loader gets a file of its own: the same one cannot be loaded twice. */
    private static void load() {
        String path = System.getProperty(LIBRARY);
        if (path != null) {
            System.load(path);
            return;
        }
        String platform =
                (System.getProperty("os.name") + "-" + System.getProperty("os.arch")).toLowerCase(Locale.ROOT);
        String resource = "/META-INF/native/" + platform + "/libmicrobatch_jni.so";
        try (InputStream library = Native.class.getResourceAsStream(resource)) {
            if (library == null) {
                throw new UnsatisfiedLinkError(
                        "microbatch has no library for " + platform + " (" + resource + "); -D" + LIBRARY + " names one");
            }
            Path file = Files.createTempFile("libmicrobatch_jni", ".so");
            try {
                Files.copy(library, file, StandardCopyOption.REPLACE_EXISTING);
                System.load(file.toString());
            } finally {
                Files.delete(file);
            }
        } catch (IOException error) {
            throw new UncheckedIOException("the library of microbatch cannot be written to java.io.tmpdir", error);
        }
    }

    // library.c
    static native byte[] statusTable();

    static native byte[] optionTable();

    static native byte[] version();

    static native long symbol(byte[] path, byte[] name, byte[][] error);

    // options.c
    static native int optionValues(byte[] texts, long[] values, byte[][] error);

    // host.c
    static native int create(
            byte[] texts, int flags, int kinds, int pulls, long[] natives, long[] out, byte[][] error);

    static native int attach(long shared, long[] out);

    static native long share(Core core, long host);

    static native void letGo(Core core, long host);

    static native void freeHost(long host);

    // log.c
    static native byte[] nextLine(Core core, long host, long[] out);

    // callbacks.c
    static native int drainReleased(Core core, long host, long[] words);

    // calls.c
    static native void closeToValues(Core core, long host, boolean closed);

    static native int seal(Core core, long host);

    static native int run(Core core, long host);

    static native int advance(Core core, long host, long now);

    static native int room(Core core, long host, long timeout);

    static native int flush(Core core, long host, long timeout);

    static native int flushBegin(Core core, long host, long[] out);

    static native int flushEnd(Core core, long host, long mark, long timeout);

    static native int nextDue(Core core, long host, long[] out);

    static native int now(Core core, long host, long[] out);

    static native int close(Core core, long host, long timeout, long[] out);

    static native int cancel(Core core, long host, long tag, long[] out);

    static native int stats(Core core, long host, long[] numbers);

    static native byte[] statsText(Core core, long host);

    // push.c
    static native int pushInt64(long host, long value, long tag);

    static native int pushFloat64(long host, double value, long tag);

    static native void plainPushes(long[] out);

    static native int push(
            Core core, long host, long head, long first, long second, byte[] data, long tag, long within, boolean last);

    static native int check(
            Core core, long host, long head, long first, long second, byte[] data, byte[][] error);

    // many.c
    static native long pushInt64s(
            Core core, long host, long[] values, int from, int count, long[] tags, long firstTag, boolean last);

    static native long pushFloat64s(
            Core core, long host, double[] values, int from, int count, long[] tags, long firstTag, boolean last);

    static native long pushRows(
            Core core,
            long host,
            long[] words,
            byte[] data,
            int from,
            int count,
            long[] tags,
            long firstTag,
            boolean last);

    static native long pushStaged(Core core, long host, long values, long tags, int count, boolean last);

    static native long bufferAddress(ByteBuffer buffer);

    // producer.c
    static native int producerNew(Core core, long host, long[] out);

    static native void producerClose(Producer<?> owner, long producer);

    static native void producerFree(long producer);

    static native int producerPushInt64(long producer, long value, long tag);

    static native int producerPushFloat64(long producer, double value, long tag);

    static native void plainProducerPushes(long[] out);

    static native int producerPush(
            Producer<?> owner,
            long producer,
            long head,
            long first,
            long second,
            byte[] data,
            long tag,
            long within,
            boolean last);

    // batch.c
    static native int nextBatch(Core core, long host, long timeout, long[] info);

    static native int batchInfo(Core core, long host, long batch, long[] info);

    static native int batchKeep(Core core, long host, long batch);

    static native int batchComplete(Core core, long host, long batch, boolean orNull);

    static native int batchCompleteNext(Core core, long host, long batch, long[] info);

    static native int batchFree(Core core, long host, long batch);

    static native int setInt64s(Core core, long host, long batch, long[] values);

    static native int setFloat64s(Core core, long host, long batch, double[] values);

    static native long setRows(
            Core core, long host, long batch, long[] words, byte[] data, int count, int[] targets);

    static native int fail(
            Core core, long host, long batch, int row, int code, byte[] type, byte[] message);

    // columns.c
    static native int columns(
            Core core,
            long host,
            long handle,
            boolean results,
            long[] tags,
            long[] cells,
            byte[] kinds,
            byte[] outcomes,
            byte[] handled);

    static native int doubles(Core core, long host, long handle, boolean results, double[] numbers);

    static native byte[] strings(Core core, long host, long handle, boolean results, int[] offsets);

    static native int object(Core core, long host, long handle, boolean results, int row, long[] out);

    // results.c
    static native int nextResults(Core core, long host, long timeout, long[] info);

    static native int resultsInfo(Core core, long host, long results, long[] info);

    static native byte[] resultsError(Core core, long host, long results, int row);

    static native void resultsFree(Core core, long host, long results);

    // map.c
    static native int mapHost(long[] out);

    static native int mapInt64s(
            Core core, long host, long[] values, long size, long batches, long[] info, byte[][] error);

    static native int mapFloat64s(
            Core core, long host, double[] values, long size, long batches, long[] info, byte[][] error);

    static native int mapRows(
            Core core,
            long host,
            long[] words,
            byte[] data,
            int count,
            long size,
            long batches,
            long[] info,
            byte[][] error);
}
