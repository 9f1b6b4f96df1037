//! Threads as guests: signals, names, who makes and who frees (P32).

use super::*;

/// What SigBlk says of a thread.
fn blocked(task: &str) -> u64 {
    let page = std::fs::read_to_string(format!("/proc/self/task/{task}/status")).unwrap();
    let mask = page
        .lines()
        .find_map(|line| line.strip_prefix("SigBlk:"))
        .unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap()
}

/// Fails if an engine thread can be picked to run a signal handler of the host, has no name, or std's stack size.
#[test]
fn p32_engine_threads_block_all_signals_and_have_names_and_a_stack() {
    alone(
        "p32_engine_threads_block_all_signals_and_have_names_and_a_stack",
        || {
            let _watchdog = watchdog();
            // SAFETY: takes nothing.
            let me = unsafe { libc::gettid() }.to_string();
            let own = blocked(&me);
            let stacks: Arc<Mutex<Vec<usize>>> = Arc::default();
            let seen = stacks.clone();
            let look = move || {
                let mut attributes = std::mem::MaybeUninit::uninit();
                // SAFETY: has no preconditions.
                let me = unsafe { libc::pthread_self() };
                // SAFETY: the calling thread; initializes the attributes.
                unsafe { libc::pthread_getattr_np(me, attributes.as_mut_ptr()) };
                let mut stack = 0;
                // SAFETY: initialized above.
                unsafe { libc::pthread_attr_getstacksize(attributes.as_ptr(), &raw mut stack) };
                // SAFETY: initialized above.
                unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
                seen.lock().unwrap().push(stack);
            };
            let look_too = look.clone();
            let batcher = Batcher::builder().threads(3).handler(move |batch| {
                look();
                echo(batch)
            });
            let batcher = batcher.on_result(move |_| look_too()).build().unwrap();
            batcher.push(1, 1).unwrap();
            batcher.flush(FOREVER).unwrap();
            // A thread gives itself its name.
            wait_until(|| engine_threads().len() == 4);
            let threads = engine_threads();
            // SIGKILL and SIGSTOP cannot be blocked; the C library keeps signals 32 and 33 to itself.
            let blockable = !(1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1) | 1_u64 << 31 | 1 << 32);
            for (task, name) in &threads {
                assert_eq!(blocked(task) & blockable, blockable, "{name}");
            }
            assert_eq!(blocked(&me), own, "the host's own mask is as it was");
            let stacks = stacks.lock().unwrap();
            assert!(
                stacks.len() == 2 && stacks.iter().all(|stack| *stack == 1 << 20),
                "1 MiB, not std's: {stacks:?}"
            );
        },
    );
}

/// Fails if the library, which has its own panics unprinted, keeps the host's from the hook that was there before.
#[test]
fn p30_panics_of_the_host_go_to_its_own_hook() {
    static HEARD: AtomicUsize = AtomicUsize::new(0);
    alone("p30_panics_of_the_host_go_to_its_own_hook", || {
        std::panic::set_hook(Box::new(|_| {
            HEARD.fetch_add(1, SeqCst);
        }));
        let nothing = std::ptr::null_mut();
        // SAFETY: without options nothing is made; but it sees to panics first.
        let status =
            unsafe { microbatch::ffi::batcher::mb_batcher_new(std::ptr::null(), nothing, nothing.cast()) };
        assert_eq!(status, Status::INVALID_ARGUMENT.code());
        assert!(catch_unwind(|| panic!("the host's own")).is_err());
        assert_eq!(HEARD.load(SeqCst), 1);
    });
}

/// Who ran the host's signal handler: a thread id, once seen in an engine thread.
static STORM_HIT: AtomicI32 = AtomicI32::new(0);
static STORM_COUNT: AtomicU64 = AtomicU64::new(0);

extern "C" fn in_a_storm(_: i32) {
    // SAFETY: takes nothing; safe in a signal handler.
    let task = unsafe { libc::syscall(libc::SYS_gettid) } as i32;
    STORM_COUNT.fetch_add(1, SeqCst);
    let mut name = [0_u8; 16];
    // SAFETY: writes 16 bytes; a plain system call, safe in a signal handler.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr(), 0_usize, 0_usize, 0_usize) };
    if name.starts_with(b"mb-") {
        STORM_HIT.store(task, SeqCst);
    }
}

/// Fails if an interrupted system call of the host's threads ends a wait early or loses a wake, or if an engine thread
/// takes a signal.
#[test]
fn p32_a_storm_of_signals_changes_nothing() {
    alone("p32_a_storm_of_signals_changes_nothing", || {
        let _watchdog = watchdog();
        // Without SA_RESTART: every system call that can be interrupted is.
        // SAFETY: a zeroed sigaction is a valid one, with an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = in_a_storm as *const () as usize;
        // SAFETY: installs a handler that only makes calls that are safe there.
        let set = unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) };
        assert_eq!(set, 0);
        let every = libc::timeval {
            tv_sec: 0,
            tv_usec: 200,
        };
        let timer = libc::itimerval {
            it_interval: every,
            it_value: every,
        };
        // SAFETY: reads one itimerval.
        let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
        assert_eq!(set, 0);
        for round in 0..20 {
            let ledger = Ledger::new();
            let batcher = Batcher::builder()
                .threads(2)
                .max_batch_size(8)
                .queue_capacity(32)
                .push_timeout(FOREVER);
            let batcher = batcher.max_delay(Duration::from_micros(round * 20));
            let batcher = batcher
                .handler(echo)
                .on_result(ledger.on_result())
                .build()
                .unwrap();
            thread::scope(|scope| {
                for producer in 0..3_u64 {
                    let (batcher, ledger) = (&batcher, &ledger);
                    scope.spawn(move || {
                        for tag in producer * 1000..producer * 1000 + 150 {
                            batcher.push(1, tag).unwrap();
                            ledger.pushed(tag);
                        }
                    });
                }
            });
            batcher.flush(FOREVER).unwrap();
            let start = Instant::now();
            let pulled = Batcher::builder().build().unwrap();
            assert_eq!(status(pulled.next_batch(ms(5))), Status::TIMEOUT);
            assert!(start.elapsed() >= ms(5), "a signal cut a wait short");
            assert_eq!(batcher.close(FOREVER).unwrap().left, 0);
            ledger.assert_exactly_one_result_each();
            assert_eq!(ledger.count(Outcome::Ok), 450);
        }
        wait_until(|| STORM_COUNT.load(SeqCst) > 100);
        assert_eq!(
            STORM_HIT.load(SeqCst),
            0,
            "an engine thread ran the host's handler"
        );
    });
}

/// The disposition of every signal.
fn dispositions() -> Vec<usize> {
    (1..=64)
        .map(|signal| {
            // SAFETY: a zeroed sigaction is a valid one.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: asks only; writes one sigaction. For 32 and 33 it answers an error and writes nothing.
            unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
            action.sa_sigaction
        })
        .collect()
}

/// Fails if the library installs a signal handler, or writes to any descriptor, its own included.
#[test]
fn p32_the_library_installs_no_signal_handler_and_writes_nothing() {
    alone(
        "p32_the_library_installs_no_signal_handler_and_writes_nothing",
        || {
            let _watchdog = watchdog();
            let before = dispositions();
            let calls = || {
                let page = std::fs::read_to_string("/proc/self/io").unwrap();
                page.lines()
                    .find(|line| line.starts_with("syscw"))
                    .unwrap()
                    .to_owned()
            };
            let written = calls();
            for threaded in [true, false] {
                let builder = if threaded { Batcher::builder() } else { manual() };
                let batcher = builder.max_batch_size(4).handler(|batch| {
                    batch.fail(0, 1, "on purpose")?;
                    Err(Failure::new(2, "all of it"))
                });
                let batcher = batcher
                    .on_result(|_| std::panic::resume_unwind(Box::new("unheard")))
                    .build()
                    .unwrap();
                batcher.fd().unwrap();
                for tag in 0..100 {
                    batcher.push("text", tag).unwrap();
                }
                let _ = batcher.cancel(5);
                batcher.flush(FOREVER).unwrap();
                let _ = batcher.close(ms(1));
                assert_eq!(status(batcher.push(1, 1)), Status::CLOSED);
                drop(batcher);
                assert!(Batcher::builder().threads(9999).handler(echo).build().is_err());
            }
            assert_eq!(calls(), written, "system calls that write");
            assert_eq!(dispositions(), before);
        },
    );
}

/// Fails if a batcher belongs to the thread that made it.
#[test]
fn p32_a_batcher_may_be_made_used_and_freed_by_different_threads() {
    let _watchdog = watchdog();
    let batcher = thread::spawn(|| Batcher::builder().pull_results().handler(echo).build().unwrap())
        .join()
        .unwrap();
    let batcher = Arc::new(batcher);
    let mut tags = HashSet::new();
    for tag in 0..20 {
        let pusher = batcher.clone();
        thread::spawn(move || pusher.push(1, tag).unwrap())
            .join()
            .unwrap();
        let puller = batcher.clone();
        let results = thread::spawn(move || puller.next_results(FOREVER).unwrap())
            .join()
            .unwrap();
        assert_eq!(
            (results.outcome(0), results.handled(0)),
            (Outcome::Ok, Handled::Yes)
        );
        tags.extend(thread::spawn(move || results.tags().to_vec()).join().unwrap());
    }
    assert_eq!(tags.len(), 20);
    thread::spawn(move || drop(batcher)).join().unwrap();
}
