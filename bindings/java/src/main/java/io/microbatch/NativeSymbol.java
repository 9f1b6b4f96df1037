package io.microbatch;

import static io.microbatch.Given.given;
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
        String file = given(library, "library", "the file of a shared library").toString();
        // The loader takes no name for the program itself.
        if (file.isEmpty() || given(name, "name", "a symbol").indexOf(0) >= 0) {
            throw new IllegalArgumentException(
                    "library = \"" + file + "\", name = \"" + name.replace('\0', '\u2400')
                            + "\": a file, and a symbol without NUL (\u2400), are expected");
        }
        byte[][] error = new byte[1][];
        long address = Native.symbol(file.getBytes(UTF_8), name.getBytes(UTF_8), error);
        if (address == 0) {
            throw new UnsatisfiedLinkError(
                    error[0] == null ? name + " in " + library + " is NULL" : new String(error[0], UTF_8));
        }
        return address;
    }
}
