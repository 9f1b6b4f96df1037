package io.microbatch.bench;

import com.lmax.disruptor.BlockingWaitStrategy;
import com.lmax.disruptor.RingBuffer;
import com.lmax.disruptor.WaitStrategy;
import com.lmax.disruptor.YieldingWaitStrategy;
import com.lmax.disruptor.dsl.Disruptor;
import com.lmax.disruptor.dsl.ProducerType;
import com.lmax.disruptor.util.DaemonThreadFactory;
import io.microbatch.Appender;
import io.microbatch.Batch;
import io.microbatch.Batcher;
import io.microbatch.Builder;
import io.microbatch.Producer;
import io.microbatch.Results;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Push an 8-byte value, batch by 256 or a delay of 1 ms, double it, bring the result back to its owner. One invocation pushes
 * WINDOW values and has the results of the WINDOW before, so that about 10,000 values are outstanding all the time; the same
 * for everybody. Whoever has futures joins them; whoever has tags waits for a count, looking out for a while before it
 * parks, as the threads of the others do. Only the threads of the one that is measured are there.
 */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(value = 3, jvmArgsAppend = "-Xmx1g")
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class WholeJob {
    /** A multiple of the batch, so that no remainder waits for the delay. */
    private static final int WINDOW = 256 * 20;

    private static final int BATCH = 256;

    /** Counts results; one thread waits for a number of them. */
    private static final class Progress {
        private volatile long received;
        private volatile long wanted = Long.MAX_VALUE;
        private volatile Thread waiter;
        private long pushed;

        /** Called by one thread at a time. */
        void add(int count) {
            long now = received + count;
            received = now;
            if (now >= wanted) {
                wanted = Long.MAX_VALUE;
                LockSupport.unpark(waiter);
            }
        }

        /** Waits until only the last `outstanding` of what was pushed have no result. */
        void pushed(int count, int outstanding) {
            pushed += count;
            long target = pushed - outstanding;
            for (int looks = 0; looks < 2000 && received < target; looks++) {
                Thread.onSpinWait();
            }
            if (received < target) {
                waiter = Thread.currentThread();
                wanted = target;
                while (received < target) {
                    LockSupport.park(this);
                }
                wanted = Long.MAX_VALUE;
            }
        }
    }

    /** The futures of the window before. */
    private static final class Futures {
        private List<CompletableFuture<Long>> before = List.of();

        long join(List<CompletableFuture<Long>> futures) {
            long total = 0;
            for (CompletableFuture<Long> future : before) {
                total += future.join();
            }
            before = futures;
            return total;
        }
    }

    // ---- ours ----

    private static Builder<Long, Long> builder() {
        return Batcher.<Long, Long>builder()
                .maxBatchSize(BATCH)
                .maxDelay(Duration.ofMillis(1))
                .batchHandler(WholeJob::twice);
    }

    private static void twice(Batch<Long> batch) {
        long[] numbers = batch.int64s();
        for (int row = 0; row < numbers.length; row++) {
            numbers[row] *= 2;
        }
        batch.setInt64s(numbers);
    }

    /** A tag per value; results come a batch at a time. */
    @State(Scope.Benchmark)
    public static class Tagged {
        private final AtomicLong sum = new AtomicLong();
        private final Progress progress = new Progress();
        private final long[] values = new long[WINDOW];
        private Batcher<Long, Long> batcher;
        private Producer<Long> producer;
        private Appender appender;

        @Setup
        public void begin() {
            batcher = builder().onResult(this::take).build();
            producer = batcher.producer();
            appender = batcher.appender(BATCH);
        }

        private void take(Results<Long> results) {
            long more = 0;
            for (long value : results.int64s()) {
                more += value;
            }
            sum.addAndGet(more);
            progress.add(results.size());
        }

        @TearDown
        public void end() {
            appender.close();
            producer.close();
            batcher.close();
        }
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long microbatchTag(Tagged ours) {
        for (int at = 0; at < WINDOW; at++) {
            ours.batcher.pushInt64(at, at);
        }
        ours.progress.pushed(WINDOW, WINDOW);
        return ours.sum.get();
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long microbatchProducer(Tagged ours) {
        for (int at = 0; at < WINDOW; at++) {
            ours.producer.pushInt64(at, at);
        }
        ours.progress.pushed(WINDOW, WINDOW);
        return ours.sum.get();
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long microbatchAppender(Tagged ours) {
        for (int at = 0; at < WINDOW; at++) {
            ours.appender.append((long) at, at);
        }
        ours.appender.flush();
        ours.progress.pushed(WINDOW, WINDOW);
        return ours.sum.get();
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long microbatchBulk(Tagged ours) {
        ours.batcher.pushMany(ours.values, 0);
        ours.progress.pushed(WINDOW, WINDOW);
        return ours.sum.get();
    }

    /** A future per value. */
    @State(Scope.Benchmark)
    public static class Submitted {
        private final Futures futures = new Futures();
        private Batcher<Long, Long> batcher;

        @Setup
        public void begin() {
            batcher = builder().build();
        }

        @TearDown
        public void end() {
            batcher.close();
        }
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long microbatchFuture(Submitted ours) {
        List<CompletableFuture<Long>> futures = new ArrayList<>(WINDOW);
        for (long at = 0; at < WINDOW; at++) {
            futures.add(ours.batcher.submit(at));
        }
        return ours.futures.join(futures);
    }

    // ---- Disruptor and CompletableFuture ----

    /** A place of the ring. */
    private static final class Event {
        long value;
        CompletableFuture<Long> future;
    }

    /** Blocking is its default, yielding is said to be a compromise between speed and use of the processor. */
    @State(Scope.Benchmark)
    public static class Ring {
        @Param({"blocking", "yielding"})
        public String waiting;

        private final Futures futures = new Futures();
        private final Event[] gathered = new Event[BATCH];
        private int count;
        private Disruptor<Event> disruptor;
        private RingBuffer<Event> ring;

        @Setup
        public void begin() {
            WaitStrategy strategy =
                    waiting.equals("blocking") ? new BlockingWaitStrategy() : new YieldingWaitStrategy();
            disruptor =
                    new Disruptor<>(
                            Event::new, 16384, DaemonThreadFactory.INSTANCE, ProducerType.SINGLE, strategy);
            disruptor.handleEventsWith(this::take);
            ring = disruptor.start();
        }

        /** Gathers up to 256, or what has come, and handles them together; on the one consumer thread. */
        private void take(Event event, long sequence, boolean endOfBatch) {
            gathered[count++] = event;
            if (endOfBatch || count == BATCH) {
                for (int at = 0; at < count; at++) {
                    Event one = gathered[at];
                    CompletableFuture<Long> future = one.future;
                    one.future = null;
                    future.complete(one.value * 2);
                }
                count = 0;
            }
        }

        @TearDown
        public void end() {
            disruptor.shutdown();
        }
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long disruptorFuture(Ring peer) {
        List<CompletableFuture<Long>> futures = new ArrayList<>(WINDOW);
        for (long at = 0; at < WINDOW; at++) {
            CompletableFuture<Long> future = new CompletableFuture<>();
            long place = peer.ring.next();
            Event event = peer.ring.get(place);
            event.value = at;
            event.future = future;
            peer.ring.publish(place);
            futures.add(future);
        }
        return peer.futures.join(futures);
    }

    // ---- LinkedBlockingQueue and CompletableFuture ----

    private record Item(long value, CompletableFuture<Long> future) {}

    /** A thread that gathers. */
    @State(Scope.Benchmark)
    public static class Queue {
        private final Futures futures = new Futures();
        private final LinkedBlockingQueue<Item> queue = new LinkedBlockingQueue<>(16384);
        private Thread consumer;

        @Setup
        public void begin() {
            consumer = new Thread(this::consume, "queue");
            consumer.setDaemon(true);
            consumer.start();
        }

        private void consume() {
            List<Item> batch = new ArrayList<>(BATCH);
            try {
                for (; ; ) {
                    batch.add(queue.take());
                    long due = System.nanoTime() + 1_000_000;
                    queue.drainTo(batch, BATCH - batch.size());
                    while (batch.size() < BATCH) {
                        Item next = queue.poll(due - System.nanoTime(), TimeUnit.NANOSECONDS);
                        if (next == null) {
                            break;
                        }
                        batch.add(next);
                        queue.drainTo(batch, BATCH - batch.size());
                    }
                    for (Item item : batch) {
                        item.future.complete(item.value * 2);
                    }
                    batch.clear();
                }
            } catch (InterruptedException end) {
                Thread.currentThread().interrupt();
            }
        }

        @TearDown
        public void end() {
            consumer.interrupt();
        }
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long queueFuture(Queue peer) throws InterruptedException {
        List<CompletableFuture<Long>> futures = new ArrayList<>(WINDOW);
        for (long at = 0; at < WINDOW; at++) {
            CompletableFuture<Long> future = new CompletableFuture<>();
            peer.queue.put(new Item(at, future));
            futures.add(future);
        }
        return peer.futures.join(futures);
    }
}
