//! Pushes under callgrind: how many instructions a push takes, and where.
//!
//! ```text
//! cargo build -p microbatch-bench --release --bin callgrind_push
//! valgrind --tool=callgrind --callgrind-out-file=/tmp/push.out target/release/callgrind_push 199680
//! valgrind --tool=callgrind --callgrind-out-file=/tmp/more.out target/release/callgrind_push 399360
//! ```
//! The difference of the two totals, divided by 199,680, is a value's whole way: pushed, handled, delivered, with its
//! share of sealing and opening. For the pushes alone add `--toggle-collect=mb_batcher_push_int64`; then
//! `callgrind_annotate --auto=yes /tmp/push.out` says where they spend it. The peer: a second argument `peer`, and
//! `--toggle-collect=peer_push_int64`.
//!
//! Manual mode on one thread, windows of 9,984 values: what callgrind counts does not depend on the scheduler.

use microbatch_bench::rounds::WINDOW;
use microbatch_bench::side::{Config, Name, Side};

fn main() {
    let mut args = std::env::args().skip(1);
    let count: u64 = args
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or(20 * WINDOW);
    let name = if args.next().as_deref() == Some("peer") {
        Name::Peer
    } else {
        Name::Ours
    };
    let config = Config {
        max_batch_size: 256,
        outstanding: WINDOW,
        max_delay_ns: 1_000_000,
        consumer: 0,
    };
    let side = Side::new(name, config);
    let mut pushed = 0;
    while pushed < count {
        let some = WINDOW.min(count - pushed);
        side.push(pushed, some);
        pushed += some;
        side.drain();
    }
    side.check(pushed);
    println!("{pushed} values");
}
