package io.microbatch;

/** Whose callbacks a thread is in. */
final class Frames {
    private record Frame(Core core, Frame outer) {}

    /** A place for the innermost frame: of a class of the platform's, so that a thread keeps nothing of this class loader. */
    private static final ThreadLocal<Object[]> PLACE = ThreadLocal.withInitial(() -> new Object[1]);

    private Frames() {}

    static void enter(Core core) {
        Object[] place = PLACE.get();
        place[0] = new Frame(core, (Frame) place[0]);
    }

    static void leave() {
        Object[] place = PLACE.get();
        place[0] = ((Frame) place[0]).outer;
    }

    static boolean isIn(Core core) {
        for (Frame frame = (Frame) PLACE.get()[0]; frame != null; frame = frame.outer) {
            if (frame.core == core) {
                return true;
            }
        }
        return false;
    }
}
