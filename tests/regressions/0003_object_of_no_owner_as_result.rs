//! A handler of a batcher without an owner could set an object of owner 0 as a result, which nobody would have released.

#[test]
fn p01_an_object_of_nobody_is_no_result() {
    super::same_as_the_model(
        "handler string set 0 object:0/9/0
on_result
new
push string:x 0
run",
    );
}
