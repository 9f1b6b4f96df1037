//! Values of options, and what they accept, as text.

use std::fmt;

use super::{FOREVER, OptionInfo, OptionKind};

/// Units from small to large, so that showing a value finds the largest that divides it last.
pub(super) const DURATION_UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

pub(super) const BYTE_UNITS: &[(&str, u64)] = &[
    ("bytes", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// A value as a text that [`Options::set`] would read.
pub(super) struct Shown(pub(super) &'static OptionInfo, pub(super) i128);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(info, value) = *self;
        let units = match info.kind {
            OptionKind::Choice => {
                return match info
                    .choices
                    .iter()
                    .find(|choice| i128::from(choice.code) == value)
                {
                    Some(choice) => f.write_str(choice.name),
                    None => write!(f, "{value}"),
                };
            }
            OptionKind::Duration if value == i128::from(FOREVER) => return f.write_str("forever"),
            OptionKind::Duration => DURATION_UNITS,
            OptionKind::Bytes => BYTE_UNITS,
            OptionKind::Count => &[],
        };
        let divides = |scale: u64| value != 0 && value % i128::from(scale) == 0;
        match units.iter().rfind(|(_, scale)| *scale > 1 && divides(*scale)) {
            Some((unit, scale)) => write!(f, "{} {unit}", value / i128::from(*scale)),
            None if info.unit.is_empty() => write!(f, "{value}"),
            None => write!(f, "{value} {}", info.unit),
        }
    }
}

/// What an option accepts besides its default: `1 to 1024 threads`, `threaded or manual`.
pub(super) struct Range(pub(super) &'static OptionInfo);

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.0;
        match info.kind {
            OptionKind::Choice => write_list(f, info.choices.iter().map(|choice| choice.name), "or"),
            OptionKind::Count => write!(f, "{} to {}", info.min, Shown(info, info.max.into())),
            OptionKind::Duration | OptionKind::Bytes => {
                write!(
                    f,
                    "{} to {}",
                    Shown(info, info.min.into()),
                    Shown(info, info.max.into())
                )
            }
        }
    }
}

/// What an option accepts, as the end of a message.
pub(super) struct Accepted(pub(super) &'static OptionInfo);

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.0;
        match info.kind {
            OptionKind::Choice => write!(f, "must be {} (default: {})", Range(info), info.default),
            _ if info.min == 0 => write!(f, "must be {}; the default is {}", Range(info), info.default),
            _ => write!(f, "must be 0 (default: {}) or {}", info.default, Range(info)),
        }
    }
}

/// A caller's text in quotes, escaped, and cut where it would drown the message.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 60;
        match self.0.char_indices().nth(LONGEST) {
            Some((end, _)) => write!(f, "\"{}...\"", self.0[..end].escape_debug()),
            None => write!(f, "\"{}\"", self.0.escape_debug()),
        }
    }
}

/// A closure that writes.
pub(super) struct Told<F>(pub(super) F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for Told<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

/// `a, b or c`.
pub(super) fn write_list<'a>(
    w: &mut impl fmt::Write,
    names: impl Iterator<Item = &'a str> + Clone,
    last: &str,
) -> fmt::Result {
    let count = names.clone().count();
    for (place, name) in names.enumerate() {
        match place {
            0 => {}
            _ if place + 1 == count => write!(w, " {last} ")?,
            _ => w.write_str(", ")?,
        }
        w.write_str(name)?;
    }
    Ok(())
}
