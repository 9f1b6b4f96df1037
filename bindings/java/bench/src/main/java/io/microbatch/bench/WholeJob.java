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
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
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
 * WINDOW values and has all their results.
 */
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(value = 3, jvmArgsAppend = "-Xmx1g")
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@State(Scope.Benchmark)
public class WholeJob {
    /** A multiple of the batch, so that no remainder waits for the delay. */
    private static final int WINDOW = 256 * 40;

    private static final int BATCH = 256;

    // ---- ours ----

    private Batcher<Long, Long> byTag;
    private Batcher<Long, Long> byFuture;
    private Producer<Long> producer;
    private final AtomicLong sum = new AtomicLong();
    private volatile CountDownLatch done;
    private long left;
    private final long[] values = new long[WINDOW];

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
                                    left -= results.size();
                                    if (left == 0) {
                                        done.countDown();
                                    }
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

    private void window() {
        left = WINDOW;
        done = new CountDownLatch(1);
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long microbatchTag() throws InterruptedException {
        window();
        for (int at = 0; at < WINDOW; at++) {
            byTag.pushInt64(at, at);
        }
        done.await();
        return sum.get();
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long microbatchProducer() throws InterruptedException {
        window();
        for (int at = 0; at < WINDOW; at++) {
            producer.pushInt64(at, at);
        }
        done.await();
        return sum.get();
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long microbatchBulk() throws InterruptedException {
        window();
        byTag.pushMany(values, 0);
        done.await();
        return sum.get();
    }

    @Benchmark
    @OperationsPerInvocation(WINDOW)
    public long microbatchFuture() {
        List<CompletableFuture<Long>> futures = new ArrayList<>(WINDOW);
        for (long at = 0; at < WINDOW; at++) {
            futures.add(byFuture.submit(at));
        }
        long total = 0;
        for (CompletableFuture<Long> future : futures) {
            total += future.join();
        }
        return total;
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
        long total = 0;
        for (CompletableFuture<Long> future : futures) {
            total += future.join();
        }
        return total;
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
        long total = 0;
        for (CompletableFuture<Long> future : futures) {
            total += future.join();
        }
        return total;
    }
}
