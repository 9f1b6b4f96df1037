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
        chunk.set((int) ticket & CHUNK - 1, reply);
        return reply.tag;
    }

    /** Takes the future of a tag out; null if the tag is none of a future. */
    Reply<?> take(long tag) {
        long ticket = tag & ~MARK;
        Chunk chunk = find(ticket >>> CHUNK_BITS);
        if (chunk == null) {
            chunk = search(ticket >>> CHUNK_BITS);
        }
        Reply<?> reply = chunk == null ? null : chunk.getAndSet((int) ticket & CHUNK - 1, null);
        if (reply != null && chunk.gone.incrementAndGet() == CHUNK) {
            drop(chunk);
        }
        return reply;
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
