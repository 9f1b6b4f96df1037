package io.microbatch;

import java.util.Arrays;

/**
 * The objects that the engine holds references to: a word is a place in this table and how often the place was used before,
 * so that a word of the past finds nothing.
 */
final class Slots {
    private static final int NONE = -1;

    private Object[] objects = new Object[0];
    private int[] uses = new int[0];
    private int[] nextFree = new int[0];
    private int free = NONE;
    private volatile int used;

    /** Takes a reference; the word stands for it. */
    synchronized long add(Object object) {
        if (free == NONE) {
            grow();
        }
        int place = free;
        free = nextFree[place];
        objects[place] = object;
        used++;
        return (long) uses[place] << 32 | place;
    }

    private void grow() {
        int before = objects.length;
        int size = before == 0 ? 16 : Math.multiplyExact(before, 2);
        objects = Arrays.copyOf(objects, size);
        uses = Arrays.copyOf(uses, size);
        nextFree = Arrays.copyOf(nextFree, size);
        for (int place = size - 1; place >= before; place--) {
            nextFree[place] = free;
            free = place;
        }
    }

    /** The object behind a word that the engine still holds. */
    synchronized Object get(long word) {
        return objects[place(word)];
    }

    /** Ends a reference and answers its object. */
    synchronized Object remove(long word) {
        int place = place(word);
        Object object = objects[place];
        objects[place] = null;
        uses[place]++;
        nextFree[place] = free;
        free = place;
        used--;
        return object;
    }

    private int place(long word) {
        int place = (int) word;
        if (place < 0 || place >= objects.length || uses[place] != (int) (word >>> 32) || objects[place] == null) {
            throw new IllegalStateException("the object " + Long.toHexString(word) + " was released before");
        }
        return place;
    }

    /** How many references there are. */
    int size() {
        return used;
    }
}
