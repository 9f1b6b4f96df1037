package io.microbatch;

/** Whose callbacks a thread is in. */
final class Frames {
    private record Frame(Core core, Frame outer) {}

    private static final ThreadLocal<Frame> INNERMOST = new ThreadLocal<>();

    private Frames() {}

    static void enter(Core core) {
        INNERMOST.set(new Frame(core, INNERMOST.get()));
    }

    static void leave() {
        Frame outer = INNERMOST.get().outer;
        if (outer == null) {
            INNERMOST.remove();
        } else {
            INNERMOST.set(outer);
        }
    }

    static boolean isIn(Core core) {
        for (Frame frame = INNERMOST.get(); frame != null; frame = frame.outer) {
            if (frame.core == core) {
                return true;
            }
        }
        return false;
    }
}
