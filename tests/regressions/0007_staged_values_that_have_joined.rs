//! When all staged values had joined, and filled the batch, the next of them still seemed due: `next_due` answered the time of
//! a place that the producer had kept.

#[test]
fn p27_nothing_is_due_once_staged_values_have_joined() {
    super::same_as_the_model(
        "option max_in_flight 2
option max_batch_size 8
option queue_capacity 40
new
producer
push int64:0 0
push int64:0 0
push int64:0 0
push int64:0 0
push_many int64s 0 int64:0 int64:0 int64:0
push int64:0 0
next_batch
next_due",
    );
}
