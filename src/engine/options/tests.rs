#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use super::shown::Shown;
use super::text::parse_duration;
use super::*;

fn set(name: &str, text: &str) -> Result<Options, Error> {
    let mut options = Options::default();
    options.set(name, text).map(|()| options)
}

fn refusal(name: &str, text: &str) -> String {
    let error = set(name, text).unwrap_err();
    assert_eq!(error.status(), Status::INVALID_OPTION);
    assert_eq!(error.subject(), name);
    error.message().to_owned()
}

#[test]
fn p36_the_table_is_well_formed() {
    for info in Options::table() {
        assert!(info.width == 4 || info.width == 8);
        assert!(!info.doc.is_empty() && info.doc.ends_with('.') && !info.doc.contains(['\n', '|']));
        assert!(info.min <= info.max && !info.default.is_empty());
        assert_eq!(info.choices.is_empty(), info.kind != OptionKind::Choice);
        for (code, choice) in (info.min..).zip(info.choices) {
            assert_eq!(i64::from(choice.code), code, "codes are dense");
        }
        // Both ends of each range survive being stored and checked.
        for value in [info.min, info.max] {
            let mut options = Options::default();
            options.store(info.name, value);
            let (_, stored) = options.rows().find(|(row, _)| row.name == info.name).unwrap();
            assert_eq!(stored, i128::from(value), "{}", info.name);
        }
    }
    assert_eq!(Options::table().len(), 19);
    let bytes: usize = Options::table().iter().map(|info| info.width).sum();
    assert_eq!(bytes, size_of::<Options>(), "no padding between the fields");
}

#[test]
fn p36_the_default_texts_are_true() {
    let defaults = Options::default().resolve(true).unwrap();
    for info in Options::table() {
        let Ok(value) = info.parse(info.default) else {
            let told = [
                "max_in_flight",
                "queue_capacity",
                "queue_bytes",
                "result_capacity",
                "owner",
            ];
            assert!(
                told.contains(&info.name) || info.default.starts_with("0 ("),
                "{}",
                info.name
            );
            continue;
        };
        let mut options = Options::default();
        options.store(info.name, value);
        assert_eq!(options.resolve(true).unwrap(), defaults, "{}", info.name);
    }
}

#[test]
fn p36_the_default_numbers_are_what_the_texts_say() {
    for info in Options::table() {
        let told = info.parse(info.default).unwrap_or(0);
        assert_eq!(info.default_value, told, "{}", info.name);
        let managed = if info.name == "drain_at_exit" {
            parse_duration("5s").unwrap()
        } else {
            told
        };
        assert_eq!(info.managed_default, managed, "{}", info.name);
    }
}

#[test]
fn p36_a_duration_alone_is_read_as_in_options() {
    for (text, length) in [
        ("2ms", 2_000_000),
        (" 1.5 s", 1_500_000_000),
        ("0", 0),
        ("Forever", FOREVER),
    ] {
        assert_eq!(parse_duration(text), Ok(length), "{text}");
    }
    for (text, told) in [
        (
            "2 parsecs",
            "\"2 parsecs\": unknown unit \"parsecs\"; write a number with ns, us, ms, s, m or h, a plain number of ns, or forever",
        ),
        ("-1s", "\"-1s\": must be 0 ns to forever"),
        (
            "default",
            "\"default\": write a number with ns, us, ms, s, m or h, a plain number of ns, or forever",
        ),
    ] {
        let error = parse_duration(text).unwrap_err();
        assert_eq!(
            (error.status(), error.subject(), error.message()),
            (Status::INVALID_ARGUMENT, text, told)
        );
    }
}

#[test]
fn p36_defaults_follow_the_contract() {
    let limits = Options::default().resolve(true).unwrap();
    assert_eq!(
        (limits.mode, limits.threads, limits.max_in_flight),
        (Mode::Threaded, 1, 1)
    );
    assert_eq!((limits.max_batch_size, limits.max_batch_bytes), (256, 16 << 20));
    assert_eq!((limits.queue_capacity, limits.queue_bytes), (16_384, 64 << 20));
    assert_eq!(limits.result_capacity, 2 * 16_384 + 256);
    assert_eq!((limits.max_delay, limits.drain_at_exit), (0, 0));
    assert_eq!(
        (limits.push_timeout, limits.close_timeout),
        (30 * SECOND, 30 * SECOND)
    );
    assert_eq!(limits.handler_timeout, FOREVER);
    assert_eq!(limits.on_full, OnFull::Block);

    let wide = Options {
        threads: 8,
        max_batch_size: 10_000,
        ..Options::default()
    };
    let limits = wide.resolve(true).unwrap();
    assert_eq!((limits.max_in_flight, limits.queue_capacity), (8, 40_000));
    assert_eq!(limits.result_capacity, 2 * 40_000 + 8 * 10_000);

    let pulled = wide.resolve(false).unwrap();
    assert_eq!(
        (pulled.threads, pulled.max_in_flight),
        (0, 8),
        "no handler, no handler thread"
    );
    let manual = Options {
        mode: 2,
        clock: 2,
        ..Options::default()
    }
    .resolve(true)
    .unwrap();
    assert_eq!((manual.mode, manual.clock), (Mode::Manual, Clock::Given));
    assert_eq!((manual.threads, manual.max_in_flight), (0, 1));
}

#[test]
fn p08_a_batch_limit_left_alone_shrinks_to_fit() {
    let small = Options {
        queue_capacity: 10,
        queue_bytes: 100,
        ..Options::default()
    };
    let limits = small.resolve(true).unwrap();
    assert_eq!((limits.max_batch_size, limits.max_batch_bytes), (10, 100));
    assert_eq!((limits.queue_capacity, limits.queue_bytes), (10, 100));
    assert_eq!(limits.result_capacity, 2 * 10 + 10);
}

#[test]
fn p08_limits_that_contradict_each_other_are_refused() {
    let error = Options {
        max_batch_size: 500,
        queue_capacity: 100,
        ..Options::default()
    }
    .resolve(true)
    .unwrap_err();
    assert_eq!(
        (error.status(), error.subject()),
        (Status::INVALID_OPTION, "max_batch_size")
    );
    assert_eq!(
        error.to_string(),
        "max_batch_size = 500 values: must not be above queue_capacity = 100 values; \
         lower max_batch_size to 100 values or raise queue_capacity to 500 values"
    );
    for options in [
        Options {
            max_batch_bytes: 1000,
            queue_bytes: 999,
            ..Options::default()
        },
        Options {
            max_batch_bytes: 1 << 31,
            ..Options::default()
        },
        Options {
            max_batch_bytes: 7,
            ..Options::default()
        },
    ] {
        assert_eq!(options.resolve(true).unwrap_err().subject(), "max_batch_bytes");
    }
    let fits = Options {
        max_batch_bytes: 1000,
        queue_bytes: 1000,
        ..Options::default()
    };
    assert!(fits.resolve(true).is_ok());
    let fits = Options {
        max_batch_bytes: (1 << 31) - 1,
        ..Options::default()
    };
    assert_eq!(fits.resolve(true).unwrap().queue_bytes, 4 * ((1 << 31) - 1));
}

#[test]
fn p28_a_given_clock_and_threads_depend_on_the_mode() {
    for mode in [0, 1] {
        let error = Options {
            mode,
            clock: 2,
            ..Options::default()
        }
        .resolve(true)
        .unwrap_err();
        assert_eq!(error.subject(), "clock");
    }
    let error = Options {
        mode: 2,
        threads: 2,
        ..Options::default()
    }
    .resolve(true)
    .unwrap_err();
    assert_eq!(error.subject(), "threads");
    assert!(error.message().contains("mode = threaded"));
}

#[test]
fn p36_all_problems_come_in_one_message() {
    let options = Options {
        mode: 9,
        clock: 2,
        threads: 5000,
        max_delay: -5,
        queue_bytes: 1,
        ..Options::default()
    };
    let error = options.resolve(true).unwrap_err();
    assert_eq!(error.subject(), "mode");
    let lines: Vec<_> = error.message().lines().collect();
    assert_eq!(
        lines,
        [
            "mode = 9: must be threaded or manual (default: threaded)",
            "threads = 5000 threads: must be 0 (default: 1) or 1 to 1024 threads",
            "queue_bytes = 1 bytes: must be 0 (default: 4 x max_batch_bytes) or 8 bytes to 256 TiB",
            "max_delay = -5 ns: must be 0 ns to forever; the default is 0 (at once)",
        ]
    );
}

#[test]
fn p36_nothing_overflows() {
    let most = Options {
        mode: u32::MAX,
        threads: u32::MAX,
        max_batch_size: u64::MAX,
        queue_capacity: u64::MAX,
        result_capacity: u64::MAX,
        max_delay: i64::MIN,
        ..Options::default()
    };
    assert_eq!(most.resolve(true).unwrap_err().message().lines().count(), 6);
    let widest = Options {
        threads: 1024,
        max_in_flight: 65_536,
        owner: u32::MAX,
        max_batch_size: 16_777_216,
        max_batch_bytes: (1 << 31) - 1,
        queue_capacity: 1 << 32,
        queue_bytes: 1 << 48,
        max_delay: FOREVER,
        push_timeout: FOREVER,
        ..Options::default()
    };
    assert_eq!(
        widest.resolve(true).unwrap().result_capacity,
        1 << 40,
        "the default keeps to the range"
    );
}

#[test]
fn p36_durations_are_read_exactly() {
    for (text, ns) in [
        ("2ms", 2_000_000),
        ("1.5s", 1_500_000_000),
        ("50us", 50_000),
        ("10ns", 10),
        ("1m", 60 * SECOND),
        ("2h", 7200 * SECOND),
        (" 30 s ", 30 * SECOND),
        ("7", 7),
        ("0", 0),
        ("0.5us", 500),
        ("1.50ms", 1_500_000),
        ("default", 0),
        ("forever", FOREVER),
        ("FOREVER", FOREVER),
        ("9223372036854775807", FOREVER),
    ] {
        assert_eq!(set("max_delay", text).unwrap().max_delay, ns, "{text:?}");
    }
    for text in [
        "", " ", "ms", ".5s", "5.s", "1.2.3s", "1e3", "+5", "fast", "1_000", "\u{661}s", "--1",
    ] {
        assert!(
            refusal("max_delay", text).contains("write a number with ns, us, ms"),
            "{text:?}"
        );
    }
    assert_eq!(
        refusal("max_delay", "5 parsecs"),
        "max_delay = \"5 parsecs\": unknown unit \"parsecs\"; \
         write a number with ns, us, ms, s, m or h, a plain number of ns, or forever"
    );
    assert!(refusal("max_delay", "1.5ns").contains("not a whole number of ns"));
    assert!(refusal("max_delay", &format!("0.{}1s", "0".repeat(60))).contains("not a whole number"));
    for text in [
        "-5ms",
        "-1",
        "9223372036854775808",
        "99999999999h",
        &"9".repeat(50),
    ] {
        assert!(
            refusal("max_delay", text).contains("must be 0 ns to forever"),
            "{text:?}"
        );
    }
}

#[test]
fn p36_sizes_counts_and_choices_are_read() {
    for (text, bytes) in [
        ("16MiB", 16 << 20),
        ("64KiB", 64 << 10),
        ("1GiB", 1 << 30),
        ("1kB", 1_000),
        ("1MB", 1_000_000),
        ("1.5 kb", 1_500),
        ("0.5KiB", 512),
        ("4096", 4096),
        ("256TiB", 1 << 48),
        ("100 bytes", 100),
    ] {
        assert_eq!(set("queue_bytes", text).unwrap().queue_bytes, bytes, "{text:?}");
    }
    assert!(refusal("queue_bytes", "5").contains("8 bytes to 256 TiB"));
    assert!(refusal("queue_bytes", "257TiB").contains("8 bytes to 256 TiB"));
    assert!(refusal("queue_bytes", "1M").contains("unknown unit \"M\""));
    assert!(refusal("queue_bytes", "forever").contains("MiB"));
    assert!(refusal("queue_bytes", "1.3").contains("not a whole number of bytes"));

    assert_eq!(set("max_batch_size", "64").unwrap().max_batch_size, 64);
    for text in ["10_000", "1k", "1.0", "64 values", ""] {
        assert!(
            refusal("max_batch_size", text).contains("write a plain whole number, 1 to 16777216"),
            "{text:?}"
        );
    }
    assert!(refusal("max_batch_size", "16777217").contains("1 to 16777216 values"));

    assert_eq!(
        set("on_full", "Discard_Oldest").unwrap().on_full,
        OnFull::DiscardOldest.code()
    );
    assert_eq!(set("results", "pull").unwrap().results, ResultsMode::Pull.code());
    assert_eq!(
        refusal("on_full", "drop"),
        "on_full = \"drop\": must be block, reject or discard_oldest (default: block)"
    );
    assert!(refusal("mode", "1").contains("threaded or manual"));
}

#[test]
fn p36_a_refused_text_changes_nothing() {
    let mut options = Options {
        max_delay: 5,
        ..Options::default()
    };
    assert!(options.set("max_delay", "-1").is_err());
    assert!(options.set("max_dely", "1").is_err());
    assert_eq!(
        options,
        Options {
            max_delay: 5,
            ..Options::default()
        }
    );
}

#[test]
fn p36_an_unknown_name_is_answered_with_the_nearest() {
    for (name, near) in [
        ("max_dely", "did you mean max_delay?"),
        ("maxDelay", "did you mean max_delay?"),
        ("max-delay", "did you mean max_delay?"),
        ("batch_size", "did you mean max_batch_size?"),
        (
            "timeout",
            "did you mean push_timeout, handler_timeout or close_timeout?",
        ),
        ("thread", "did you mean threads?"),
        ("linger", "the options are mode, threads,"),
        ("", "the options are mode, threads,"),
    ] {
        let message = refusal(name, "1");
        assert!(message.contains(near), "{name}: {message}");
    }
    let long = refusal(&"x".repeat(10_000), "1");
    assert!(
        long.len() < 600 && long.contains("xxx...\" is not an option"),
        "{long}"
    );
    assert!(refusal("max_delay", &"1".repeat(10_000)).len() < 200);
}

#[test]
fn p36_what_is_shown_can_be_read_back() {
    for info in Options::table() {
        for value in [
            info.min.max(1),
            info.max,
            (info.min.max(1)).saturating_mul(1000).min(info.max),
        ] {
            if matches!(
                info.kind,
                OptionKind::Duration | OptionKind::Bytes | OptionKind::Choice
            ) {
                let text = Shown(info, value.into()).to_string();
                assert_eq!(info.parse(&text), Ok(value), "{} = {text}", info.name);
            }
        }
    }
}

#[test]
fn p36_the_markdown_table_has_every_option() {
    let page = Options::markdown_table();
    assert_eq!(page.lines().count(), 2 + Options::table().len());
    assert!(page.lines().all(|line| line.matches('|').count() == 6));
    assert!(page.contains("| `mode` | choice | threaded or manual | threaded | Who runs the handlers"));
    assert!(page.contains("| `max_batch_bytes` | bytes | 8 bytes to 2147483647 bytes | 16 MiB |"));
    assert!(page.contains("| `push_timeout` | duration | 1 ns to forever | 30 s |"));
}
