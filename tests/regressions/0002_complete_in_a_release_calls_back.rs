//! Completing a held batch inside a release callback of a batcher that is being freed ran further release callbacks inside
//! complete, where P19 has none; they came in another order than the values.

#[test]
fn p19_complete_in_a_release_of_free_calls_nothing_back() {
    super::same_as_the_model(
        "owner 1
option results pull
handler object
handler object
handler object keep
on_release do h1 complete
new
push object:1/1/0 0
run
push object:1/2/0 0
run
push object:1/3/0 0
run",
    );
}
