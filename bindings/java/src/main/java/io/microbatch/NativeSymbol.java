package io.microbatch;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.file.Path;

/** Finds handlers that live in shared libraries: see {@link Builder#nativeHandler(long, long)}. */
public final class NativeSymbol {
    private NativeSymbol() {}

    /**
     * Loads a shared library, for good, and finds a symbol in it.
     *
     * @param library the file
     * @param name the symbol, for example a function of the type {@code mb_handler_fn}
     * @return its address
     * @throws UnsatisfiedLinkError if there is no such library or symbol
     */
    public static long find(Path library, String name) {
        byte[][] error = new byte[1][];
        long address = Native.symbol(library.toString().getBytes(UTF_8), name.getBytes(UTF_8), error);
        if (address == 0) {
            throw new UnsatisfiedLinkError(
                    error[0] == null ? name + " in " + library + " is NULL" : new String(error[0], UTF_8));
        }
        return address;
    }
}
