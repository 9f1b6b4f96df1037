//! Completing a held batch inside a release callback, after the batcher was freed, calls nothing back there either: the
//! model ran the releases of the completed batch at once, inside the one under way.

#[test]
fn p19_complete_in_a_release_of_a_held_batch_calls_nothing_back() {
    super::same_as_the_model(
        "owner 1
option max_in_flight 2
option max_batch_size 1
handler default keep
on_release do h2 complete
on_release
new
push object:1/1/0 0
push object:1/2/0 0
run
free
h1 free",
    );
}
