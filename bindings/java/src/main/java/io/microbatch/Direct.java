package io.microbatch;

import java.lang.invoke.MethodHandle;
import java.lang.reflect.Array;
import java.lang.reflect.Method;

/**
 * The commonest pushes as calls that the virtual machine leaves alone. A JNI call says where its thread is and, on its way
 * back, waits until every store of the push is seen everywhere; that costs more than the push. Virtual machines from 22 on can
 * do without for functions that are short and never call back, as these are: one may wait for the short lock of another thread's
 * push or of a sealing, in sleeps of about 50 microseconds at most, but never for room, a handler or Java. On others, and where
 * native access is not enabled, JNI does the same.
 */
final class Direct {
    private static final MethodHandle PUSH_INT64;
    private static final MethodHandle PUSH_FLOAT64;
    private static final MethodHandle PRODUCER_PUSH_INT64;
    private static final MethodHandle PRODUCER_PUSH_FLOAT64;

    /** Whether there are such calls here. */
    static final boolean IS_AVAILABLE;

    static {
        MethodHandle[] handles = handles();
        IS_AVAILABLE = handles != null;
        PUSH_INT64 = IS_AVAILABLE ? handles[0] : null;
        PUSH_FLOAT64 = IS_AVAILABLE ? handles[1] : null;
        PRODUCER_PUSH_INT64 = IS_AVAILABLE ? handles[2] : null;
        PRODUCER_PUSH_FLOAT64 = IS_AVAILABLE ? handles[3] : null;
    }

    private Direct() {}

    /** By reflection: this class is compiled for virtual machines without java.lang.foreign. */
    private static MethodHandle[] handles() {
        long[] addresses = new long[4];
        long[] two = new long[2];
        Native.plainPushes(two);
        System.arraycopy(two, 0, addresses, 0, 2);
        Native.plainProducerPushes(two);
        System.arraycopy(two, 0, addresses, 2, 2);
        try {
            // Asked first: without it the virtual machine would print a warning.
            Method isEnabled = Module.class.getMethod("isNativeAccessEnabled");
            if (!(Boolean) isEnabled.invoke(Direct.class.getModule())) {
                return null;
            }
            Class<?> layouts = Class.forName("java.lang.foreign.ValueLayout");
            Class<?> layout = Class.forName("java.lang.foreign.MemoryLayout");
            Class<?> descriptors = Class.forName("java.lang.foreign.FunctionDescriptor");
            Class<?> segments = Class.forName("java.lang.foreign.MemorySegment");
            Class<?> linkers = Class.forName("java.lang.foreign.Linker");
            Class<?> option = Class.forName("java.lang.foreign.Linker$Option");
            Object int32 = layouts.getField("JAVA_INT").get(null);
            Object int64 = layouts.getField("JAVA_LONG").get(null);
            Object float64 = layouts.getField("JAVA_DOUBLE").get(null);
            Method of = descriptors.getMethod("of", layout, layout.arrayType());
            Method ofAddress = segments.getMethod("ofAddress", long.class);
            Method downcall = linkers.getMethod("downcallHandle", segments, descriptors, option.arrayType());
            Object linker = linkers.getMethod("nativeLinker").invoke(null);
            Object options = Array.newInstance(option, 1);
            Array.set(options, 0, option.getMethod("critical", boolean.class).invoke(null, false));
            MethodHandle[] handles = new MethodHandle[addresses.length];
            for (int at = 0; at < handles.length; at++) {
                Object parameters = Array.newInstance(layout, 3);
                Array.set(parameters, 0, int64);
                Array.set(parameters, 1, at % 2 == 0 ? int64 : float64);
                Array.set(parameters, 2, int64);
                Object function = of.invoke(null, int32, parameters);
                Object address = ofAddress.invoke(null, addresses[at]);
                handles[at] = (MethodHandle) downcall.invoke(linker, address, function, options);
            }
            return handles;
        } catch (ReflectiveOperationException | RuntimeException missing) {
            return null;
        }
    }

    static int pushInt64(long host, long value, long tag) {
        try {
            return (int) PUSH_INT64.invokeExact(host, value, tag);
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    static int pushFloat64(long host, double value, long tag) {
        try {
            return (int) PUSH_FLOAT64.invokeExact(host, value, tag);
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    static int producerPushInt64(long producer, long value, long tag) {
        try {
            return (int) PRODUCER_PUSH_INT64.invokeExact(producer, value, tag);
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }

    static int producerPushFloat64(long producer, double value, long tag) {
        try {
            return (int) PRODUCER_PUSH_FLOAT64.invokeExact(producer, value, tag);
        } catch (Throwable impossible) {
            throw new AssertionError(impossible);
        }
    }
}
