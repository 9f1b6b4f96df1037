//! A batch whose first value was staged was as old as the place that the producer had kept for it, and its delay ended early.

#[test]
fn p09_delay_counts_from_the_first_staged_value() {
    super::same_as_the_model(
        "option max_batch_size 8
option max_delay 10
handler default
new
producer
push_many int64s 0 int64:0 int64:1 int64:2 int64:3 int64:4 int64:5 int64:6 int64:7
advance 9
push int64:8 8
push int64:9 9
run
next_due
advance 18
run
advance 19
run",
    );
}
