//! The cases: every figure that is a cost per value has one whose id begins with its name.

use crate::case::{Bar, Case, Timed};
use crate::side::Name::{
    BatchAintOne, Batcher, Crossbeam, Future, Moodycamel, MoodycamelBlocking, Mutex, Producer, Promise,
    Rdkafka, Tokio, TowerBatch,
};
use crate::side::{Config, Name, Payload, WINDOW};

/// Values a round of a fast side.
const VALUES: u64 = 512_000;

/// All peers that can do the whole job on integers.
const EVERYBODY: [Name; 10] = [
    Batcher,
    Producer,
    Mutex,
    Moodycamel,
    MoodycamelBlocking,
    Rdkafka,
    Crossbeam,
    Tokio,
    TowerBatch,
    BatchAintOne,
];

fn case(
    figure: &'static str,
    id: String,
    title: String,
    timed: Timed,
    config: Config,
    sides: &[Name],
) -> Case {
    Case {
        figure,
        id,
        title,
        timed,
        config,
        values: VALUES,
        sides: sides.to_vec(),
        bars: Vec::new(),
        bare: false,
    }
}

/// All of them, in the order of the table. `long` adds the 10^8 values of F12.
pub fn all(long: bool) -> Vec<Case> {
    [
        pushes(),
        bulk(),
        jobs(),
        text(),
        futures(),
        growth(long),
        shapes(),
    ]
    .concat()
}

fn plural(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// F1, F2: pushes alone, nothing is taken meanwhile; and with a consumer that takes.
fn pushes() -> Vec<Case> {
    let mut cases = Vec::new();
    for producers in [1, 2] {
        for consumer in [0, 1] {
            // Twice what is pushed before all is delivered: no push waits for room.
            let config = Config {
                producers,
                consumer,
                outstanding: 4 * producers * WINDOW,
                ..Config::default()
            };
            let how = if consumer == 0 {
                "nothing taken meanwhile"
            } else {
                "a consumer takes"
            };
            let id = format!(
                "F1/push/{producers}/{}",
                if consumer == 0 { "alone" } else { "consumer" }
            );
            let title = format!("push int64, {}, {how}", plural(producers, "thread"));
            let mut case = case(
                "F1",
                id,
                title,
                Timed::Pushes(WINDOW),
                config,
                &[Batcher, Mutex, Moodycamel],
            );
            case.values = 20 * WINDOW;
            if consumer == 0 {
                case.bare = producers == 1;
                case.bars = if producers == 1 {
                    vec![Bar::Faster(4.0, vec![Mutex]), Bar::Faster(1.0, vec![Moodycamel])]
                } else {
                    vec![Bar::Faster(1.0, vec![Mutex])]
                };
            }
            cases.push(case);
        }
    }
    for producers in [1, 2, 4] {
        let config = Config {
            producers,
            consumer: 0,
            outstanding: 4 * producers * WINDOW,
            ..Config::default()
        };
        let id = format!("F2/producer/{producers}");
        let title = format!(
            "push int64 through producer handles, {}",
            plural(producers, "thread")
        );
        let mut case = case(
            "F2",
            id,
            title,
            Timed::Pushes(WINDOW),
            config,
            &[Producer, Mutex, Moodycamel],
        );
        case.values = 20 * WINDOW;
        case.bars = if producers == 1 {
            vec![Bar::Faster(1.0, vec![Moodycamel])]
        } else {
            vec![Bar::Faster(5.0, vec![Mutex])]
        };
        cases.push(case);
    }
    cases
}

/// F3: bulk pushes.
fn bulk() -> Vec<Case> {
    let mut cases = Vec::new();
    for (payload, name) in [(Payload::Int64, "int64"), (Payload::Float64, "float64")] {
        for size in [256, 4096] {
            let config = Config {
                max_batch_size: size,
                bulk: 4096,
                outstanding: 8 * 4096,
                ..Config::default()
            };
            let title = format!("whole job, {name} in arrays of 4,096, batches of {size}");
            let id = format!("F3/bulk/{name}/{size}");
            let mut case = case(
                "F3",
                id,
                title,
                Timed::Job,
                config.of(payload),
                &[Batcher, Mutex, Moodycamel],
            );
            case.values = 512 * 4096;
            case.bars = vec![Bar::Within(1.5)];
            cases.push(case);
        }
    }
    cases
}

/// F4: the whole job.
fn jobs() -> Vec<Case> {
    let bars = || {
        vec![
            Bar::Faster(4.0, vec![Mutex, Moodycamel, MoodycamelBlocking]),
            Bar::Faster(40.0, vec![Rdkafka]),
            Bar::Faster(28.0, vec![Tokio]),
            Bar::Faster(100.0, vec![BatchAintOne]),
        ]
    };
    let mut cases = Vec::new();
    for producers in [1, 2] {
        let config = Config {
            producers,
            ..Config::default()
        };
        let title = format!("whole job, int64, {}", plural(producers, "producer"));
        let mut case = case(
            "F4",
            format!("F4/job/{producers}"),
            title,
            Timed::Job,
            config,
            &EVERYBODY,
        );
        case.bars = bars();
        cases.push(case);
    }
    for (outstanding, name) in [(4 * 256, "1,024"), (3906 * 256, "999,936")] {
        let config = Config {
            outstanding,
            ..Config::default()
        };
        let title = format!("whole job, int64, 1 producer, {name} outstanding");
        let id = format!("F4/outstanding/{outstanding}");
        let sides = [Batcher, Mutex, Moodycamel];
        let mut case = case("F4", id, title, Timed::Job, config, &sides);
        case.values = VALUES.max(2 * outstanding);
        cases.push(case);
    }
    cases
}

/// F5: strings.
fn text() -> Vec<Case> {
    let mut cases = Vec::new();
    for (bytes, name) in [(16, "16-byte"), (1024, "1-KiB")] {
        for producers in [1, 2] {
            let config = Config {
                producers,
                ..Config::default()
            }
            .of(Payload::Text(bytes));
            let title = format!("whole job, {name} strings, {}", plural(producers, "producer"));
            let id = format!("F5/job/{bytes}/{producers}");
            let mut case = case(
                "F5",
                id,
                title,
                Timed::Job,
                config,
                &[Batcher, Producer, Mutex, Moodycamel, Rdkafka],
            );
            case.values = if bytes == 16 { VALUES } else { VALUES / 4 };
            if bytes == 16 {
                case.bars = vec![Bar::Faster(5.0, vec![Mutex])];
            }
            cases.push(case);
        }
        let config = Config {
            consumer: 0,
            outstanding: 4 * WINDOW,
            ..Config::default()
        }
        .of(Payload::Text(bytes));
        let title = format!("push {name} strings, 1 thread");
        let id = format!("F5/push/{bytes}");
        let mut case = case(
            "F5",
            id,
            title,
            Timed::Pushes(WINDOW),
            config,
            &[Batcher, Mutex, Moodycamel],
        );
        case.values = if bytes == 16 { 20 * WINDOW } else { 4 * WINDOW };
        if bytes == 16 {
            case.bars = vec![Bar::Within(12.0)];
        }
        cases.push(case);
    }
    cases
}

/// F6: a future for each value.
fn futures() -> Vec<Case> {
    let title = "whole job, int64, a C++ future each".to_owned();
    let mut case = case(
        "F6",
        "F6/future".to_owned(),
        title,
        Timed::Job,
        Config::default(),
        &[Future, Promise],
    );
    case.values = 20 * WINDOW;
    case.bars = vec![Bar::Faster(6.0, vec![Promise])];
    vec![case]
}

/// F12: how many values, and how many producers.
fn growth(long: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    for (values, name) in [(4 * 256, "10^3"), (3906 * 256, "10^6"), (390_625 * 256, "10^8")] {
        if values > 10_000_000 && !long {
            continue;
        }
        let config = Config {
            consumer: 0,
            outstanding: 4 * 256,
            ..Config::default()
        };
        let title = format!("pushed and handled on one thread, {name} values");
        let mut one = case(
            "F12",
            format!("F12/values/{name}"),
            title,
            Timed::Pushes(4 * 256),
            config,
            &[Batcher],
        );
        one.values = values;
        cases.push(one);
        let title = format!("whole job from and to an idle batcher, {name} values");
        let sides = [Batcher, Mutex];
        let mut job = case(
            "F12",
            format!("F12/job/{name}"),
            title,
            Timed::Job,
            Config::default(),
            &sides,
        );
        job.values = values;
        cases.push(job);
    }
    for producers in [1, 2, 4, 16, 64] {
        let config = Config {
            producers,
            ..Config::default()
        };
        let title = format!("whole job, int64, {}", plural(producers, "producer"));
        let sides = [Batcher, Producer, Mutex, Moodycamel];
        cases.push(case(
            "F12",
            format!("F12/producers/{producers}"),
            title,
            Timed::Job,
            config,
            &sides,
        ));
    }
    cases
}

/// How the cost of a value grows with its size, and with that of its batch.
fn shapes() -> Vec<Case> {
    let mut cases = Vec::new();
    for bytes in [
        0,
        16,
        64,
        256,
        1 << 10,
        4 << 10,
        16 << 10,
        64 << 10,
        256 << 10,
        1 << 20,
    ] {
        // 4 MiB of text a batch at most, and 16 MiB outstanding.
        let size = (4 << 20 >> 8).min((4u64 << 20) / (bytes + 1)).clamp(4, 256);
        let config = Config {
            max_batch_size: size,
            outstanding: 8 * size,
            ..Config::default()
        };
        let title = format!("whole job, strings of {bytes} bytes, batches of {size}");
        let mut case = case(
            "growth",
            format!("growth/string/{bytes}"),
            title,
            Timed::Job,
            config.of(Payload::Text(bytes)),
            &[Batcher, Mutex],
        );
        case.values = ((64 << 20) / (bytes + 256) / size * size)
            .max(16 * size)
            .min(VALUES / 2);
        cases.push(case);
    }
    for size in [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536] {
        let config = Config {
            max_batch_size: size,
            outstanding: (8 * size).max(WINDOW),
            ..Config::default()
        };
        let title = format!("whole job, int64, batches of {size}");
        let sides = [Batcher, Mutex];
        let mut case = case(
            "growth",
            format!("growth/batch/{size}"),
            title,
            Timed::Job,
            config,
            &sides,
        );
        case.values = if size < 16 { 65_536 } else { 8 * 65_536 };
        cases.push(case);
    }
    cases
}
