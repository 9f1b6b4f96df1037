package io.microbatch;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * The futures of values that are on their way, by tag. Tags count up, so the table is a ring of chunks: a chunk lives while
 * a future of its range does, and the ring grows when an old chunk is in the way of a new one.
 */
final class Replies {
    /** Tags of futures have this bit; see Core.checkTag. */
    static final long MARK = Long.MIN_VALUE;

    private static final int CHUNK_BITS = 10;
    private static final int CHUNK = 1 << CHUNK_BITS;

    private static final class Chunk extends AtomicReferenceArray<Reply<?>> {
        private static final long serialVersionUID = 1;

        final long number;
        final transient AtomicInteger gone = new AtomicInteger();

        Chunk(long number) {
            super(CHUNK);
            this.number = number;
        }
    }

    private final AtomicLong next = new AtomicLong();
    private volatile AtomicReferenceArray<Chunk> ring = new AtomicReferenceArray<>(16);

    /** Gives a future its tag. */
    long add(Reply<?> reply) {
        long ticket = next.getAndIncrement();
        Chunk chunk = find(ticket >>> CHUNK_BITS);
        if (chunk == null) {
            chunk = make(ticket >>> CHUNK_BITS);
        }
        reply.tag = MARK | ticket;
        // What publishes it is the push that follows.
        chunk.setRelease((int) ticket & CHUNK - 1, reply);
        return reply.tag;
    }

    /** Takes one future out: that of a value that was refused. */
    void take(long tag) {
        Taker taker = taker();
        taker.take(tag);
        taker.end();
    }

    Taker taker() {
        return new Taker();
    }

    /** Takes out futures, most often of tags that follow each other. Each tag is taken once, by one thread. */
    final class Taker {
        private Chunk chunk;
        private int taken;

        /** Null if the tag is none of a future. */
        Reply<?> take(long tag) {
            long ticket = tag & ~MARK;
            long number = ticket >>> CHUNK_BITS;
            if (chunk == null || chunk.number != number) {
                end();
                chunk = find(number);
                if (chunk == null) {
                    chunk = search(number);
                }
                if (chunk == null) {
                    return null;
                }
            }
            int place = (int) ticket & CHUNK - 1;
            Reply<?> reply = chunk.getAcquire(place);
            if (reply != null) {
                chunk.setRelease(place, null);
                taken++;
            }
            return reply;
        }

        /** Counts what was taken: a chunk all of whose futures are gone goes too. */
        void end() {
            if (taken > 0 && chunk.gone.addAndGet(taken) == CHUNK) {
                drop(chunk);
            }
            taken = 0;
            chunk = null;
        }
    }

    private Chunk find(long number) {
        AtomicReferenceArray<Chunk> ring = this.ring;
        Chunk chunk = ring.get((int) number & ring.length() - 1);
        return chunk != null && chunk.number == number ? chunk : null;
    }

    private synchronized Chunk search(long number) {
        return find(number);
    }

    private synchronized Chunk make(long number) {
        Chunk chunk = find(number);
        if (chunk != null) {
            return chunk;
        }
        while (ring.get((int) number & ring.length() - 1) != null) {
            grow();
        }
        chunk = new Chunk(number);
        ring.set((int) number & ring.length() - 1, chunk);
        return chunk;
    }

    /** Twice as long: chunks that had places of their own have them still. */
    private void grow() {
        AtomicReferenceArray<Chunk> before = ring;
        AtomicReferenceArray<Chunk> after = new AtomicReferenceArray<>(Math.multiplyExact(before.length(), 2));
        for (int at = 0; at < before.length(); at++) {
            Chunk chunk = before.get(at);
            if (chunk != null) {
                after.set((int) chunk.number & after.length() - 1, chunk);
            }
        }
        ring = after;
    }

    private synchronized void drop(Chunk chunk) {
        ring.compareAndSet((int) chunk.number & ring.length() - 1, chunk, null);
    }
}
