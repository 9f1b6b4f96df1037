//! The values with which a producer filled a batch stayed with it: the batch was sealed when the next one came, or when its
//! delay had passed. With `max_delay = forever` it never was.

#[test]
fn p07_a_batch_that_a_producer_fills_is_sealed_at_once() {
    super::same_as_the_model(
        "option max_batch_size 8
option max_delay forever
handler default
new
producer
push int64:0 0
push int64:1 1
push int64:2 2
push int64:3 3
push int64:4 4
push int64:5 5
push int64:6 6
push int64:7 7
next_due
run
stats",
    );
}

#[test]
fn p07_the_bytes_of_staged_values_count() {
    super::same_as_the_model(
        "option max_batch_size 40
option max_batch_bytes 64
option max_delay forever
handler default
new
producer
push_many int64s 0 int64:0 int64:1 int64:2 int64:3 int64:4 int64:5 int64:6 int64:7
run
push int64:8 8
next_due
run
stats",
    );
}
