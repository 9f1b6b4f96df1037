package io.microbatch;

import java.util.List;

/**
 * How often each magnitude was seen.
 *
 * @param count how many numbers were recorded
 * @param sum their sum
 * @param max the largest of them, 0 without any
 * @param buckets how many each bucket counted: bucket 0 counts 0 and 1, bucket i counts 2^i to 2^(i+1) - 1
 */
public record Histogram(long count, long sum, long max, List<Long> buckets) {
    static final int NUMBERS = 3 + 64;

    static Histogram read(long[] numbers, int at) {
        Long[] buckets = new Long[64];
        for (int bucket = 0; bucket < 64; bucket++) {
            buckets[bucket] = numbers[at + 3 + bucket];
        }
        return new Histogram(numbers[at], numbers[at + 1], numbers[at + 2], List.of(buckets));
    }
}
