package io.microbatch.bench;

import com.lmax.disruptor.BlockingWaitStrategy;
import com.lmax.disruptor.RingBuffer;
import com.lmax.disruptor.dsl.Disruptor;
import com.lmax.disruptor.dsl.ProducerType;
import com.lmax.disruptor.util.DaemonThreadFactory;
import io.microbatch.Batch;
import io.microbatch.Batcher;
import io.microbatch.Producer;
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
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Push an 8-byte value, batch by 256 or a delay of 1 ms, double it, bring the result back to its owner. One invocation pushes
 * WINDOW values and has the results of the WINDOW before, so that about 10,000 values are outstanding all the time; the same
 * for everybody. Whoever has futures joins them; whoever has tags waits for a count, looking out for a while before it
 * parks, as the threads of the others do.
 */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(value = 3, jvmArgsAppend = "-Xmx1g")
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@State(Scope.Benchmark)
public class WholeJob {
    /** A multiple of the batch, so that no remainder waits for the delay. */
    private static final int WINDOW = 256 * 20;

    private static final int BATCH = 256;

    // ---- ours ----

    private Batcher<Long, Long> byTag;
    private Batcher<Long, Long> byFuture;
    private Producer<Long> producer;
    private final AtomicLong sum = new AtomicLong();
    private final Progress progress = new Progress();
    private final long[] values = new long[WINDOW];

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

    @Setup
    public void begin() {
        byTag =
                Batcher.<Long, Long>builder()
                        .maxBatchSize(BATCH)
                        .maxDelay(Duration.ofMillis(1))
                        .batchHandler(WholeJob::twice)
                        .onResult(
                                results -> {
                                    long more = 0;
                                    for (long value : results.int64s()) {
                                        more += value;
                                    }
                                    sum.addAndGet(more);
                                    progress.add(results.size());
                                })
                        .build();
        producer = byTag.producer();
        byFuture =
                Batcher.<Long, Long>builder()
                        .maxBatchSize(BATCH)
                        .maxDelay(Duration.ofMillis(1))
                        .batchHandler(WholeJob::twice)
                        .build();
        disruptor =
                new Disruptor<>(
                        Event::new,
                        16384,
                        DaemonThreadFactory.INSTANCE,
                        ProducerType.SINGLE,
                        new BlockingWaitStrategy());
        disruptor.handleEventsWith(WholeJob::onEvent);
        ring = disruptor.start();
        consumer = new Thread(this::consume, "queue");
        consumer.setDaemon(true);
        consumer.start();
    }

    private static void twice(Batch<Long> batch) {
        long[] numbers = batch.int64s();
        for (int row = 0; row < numbers.length; row++) {
            numbers[row] *= 2;
        }
        batch.setInt64s(numbers);
    }

    @TearDown
    public void end() {
        producer.close();
        byTag.close();
        byFuture.close();
        disruptor.shutdown();
        consumer.interrupt();
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long microbatchTag() {
        for (int at = 0; at < WINDOW; at++) {
            byTag.pushInt64(at, at);
        }
        progress.pushed(WINDOW, WINDOW);
        return sum.get();
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long microbatchProducer() {
        for (int at = 0; at < WINDOW; at++) {
            producer.pushInt64(at, at);
        }
        progress.pushed(WINDOW, WINDOW);
        return sum.get();
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long microbatchBulk() {
        byTag.pushMany(values, 0);
        progress.pushed(WINDOW, WINDOW);
        return sum.get();
    }

    /** The futures of the window before. */
    private List<CompletableFuture<Long>> before = List.of();

    private long join(List<CompletableFuture<Long>> futures) {
        long total = 0;
        for (CompletableFuture<Long> future : before) {
            total += future.join();
        }
        before = futures;
        return total;
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long microbatchFuture() {
        List<CompletableFuture<Long>> futures = new ArrayList<>(WINDOW);
        for (long at = 0; at < WINDOW; at++) {
            futures.add(byFuture.submit(at));
        }
        return join(futures);
    }

    // ---- Disruptor and CompletableFuture ----

    /** A place of the ring. */
    public static final class Event {
        long value;
        CompletableFuture<Long> future;
        private static final Event[] GATHERED = new Event[BATCH];
        private static int count;
    }

    private Disruptor<Event> disruptor;
    private RingBuffer<Event> ring;

    /** Gathers up to 256, or what has come, and handles them together; on the one consumer thread. */
    private static void onEvent(Event event, long sequence, boolean endOfBatch) {
        Event.GATHERED[Event.count++] = event;
        if (endOfBatch || Event.count == BATCH) {
            for (int at = 0; at < Event.count; at++) {
                Event one = Event.GATHERED[at];
                CompletableFuture<Long> future = one.future;
                one.future = null;
                future.complete(one.value * 2);
            }
            Event.count = 0;
        }
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long disruptorFuture() {
        List<CompletableFuture<Long>> futures = new ArrayList<>(WINDOW);
        for (long at = 0; at < WINDOW; at++) {
            CompletableFuture<Long> future = new CompletableFuture<>();
            long place = ring.next();
            Event event = ring.get(place);
            event.value = at;
            event.future = future;
            ring.publish(place);
            futures.add(future);
        }
        return join(futures);
    }

    // ---- LinkedBlockingQueue and CompletableFuture ----

    private record Item(long value, CompletableFuture<Long> future) {}

    private final LinkedBlockingQueue<Item> queue = new LinkedBlockingQueue<>(16384);
    private Thread consumer;

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

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long queueFuture() throws InterruptedException {
        List<CompletableFuture<Long>> futures = new ArrayList<>(WINDOW);
        for (long at = 0; at < WINDOW; at++) {
            CompletableFuture<Long> future = new CompletableFuture<>();
            queue.put(new Item(at, future));
            futures.add(future);
        }
        return join(futures);
    }
}
