//! What the text of an option means.

use std::fmt;

use super::shown::{Accepted, BYTE_UNITS, DURATION_UNITS, Quoted, Range, Told};
use super::{FOREVER, OptionInfo, OptionKind, duration};
use crate::engine::error::{Error, Status};

/// Why a text is no value of an option.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault<'a> {
    /// Not written the way the option's kind is.
    Unreadable,
    /// A number with a unit the option does not know.
    Unit(&'a str),
    /// A fraction finer than the base unit.
    Fraction,
    /// A number, and not one the option accepts.
    OutOfRange,
}

impl<'a> Fault<'a> {
    /// The fault and what would be accepted instead.
    pub(super) fn about(self, info: &'static OptionInfo) -> impl fmt::Display + use<'a> {
        Told(move |f: &mut fmt::Formatter<'_>| {
            match self {
                Fault::Unreadable => {}
                Fault::Unit(unit) => write!(f, "unknown unit {}; ", Quoted(unit))?,
                Fault::Fraction => write!(f, "not a whole number of {}; ", info.unit)?,
                Fault::OutOfRange => return write!(f, "{}", Accepted(info)),
            }
            match info.kind {
                OptionKind::Duration => {
                    f.write_str("write a number with ns, us, ms, s, m or h, a plain number of ns, or forever")
                }
                OptionKind::Bytes => f.write_str(
                    "write a plain number of bytes or one with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB",
                ),
                OptionKind::Count => write!(f, "write a plain whole number, {}", Range(info)),
                OptionKind::Choice => write!(f, "{}", Accepted(info)),
            }
        })
    }
}

impl OptionInfo {
    /// Whether the option accepts this number. 0, the default, is asked for separately.
    pub(super) fn accepts(&self, value: i128) -> bool {
        (i128::from(self.min)..=i128::from(self.max)).contains(&value)
    }

    /// The value that a text means, in the base unit; 0 for the default.
    pub(super) fn parse<'a>(&self, text: &'a str) -> Result<i64, Fault<'a>> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("default") {
            return Ok(0);
        }
        let value = match self.kind {
            OptionKind::Choice => {
                let named = self
                    .choices
                    .iter()
                    .find(|choice| choice.name.eq_ignore_ascii_case(text));
                return named
                    .map(|choice| i64::from(choice.code))
                    .ok_or(Fault::Unreadable);
            }
            OptionKind::Duration => scaled_duration(text)?,
            OptionKind::Bytes => parse_scaled(text, |unit| {
                BYTE_UNITS
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                    .map(|(_, scale)| *scale)
            })?,
            OptionKind::Count if text.contains('.') => return Err(Fault::Unreadable),
            OptionKind::Count => parse_scaled(text, |_| None)?,
        };
        match i64::try_from(value) {
            Ok(value) if value == 0 || self.accepts(value.into()) => Ok(value),
            _ => Err(Fault::OutOfRange),
        }
    }
}

/// Nanoseconds, of any size.
fn scaled_duration(text: &str) -> Result<i128, Fault<'_>> {
    if text.eq_ignore_ascii_case("forever") {
        return Ok(i128::from(FOREVER));
    }
    parse_scaled(text, |unit| {
        let known = DURATION_UNITS.iter().find(|(name, _)| *name == unit);
        known.map(|(_, scale)| *scale)
    })
}

/// The nanoseconds that a text such as `"2ms"` or `"forever"` means: how durations of options are read, for
/// time-outs in calls. A plain number is nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Result<i64, Error> {
    const ANY: OptionInfo = duration(0);
    let read = scaled_duration(text.trim()).and_then(|value| match i64::try_from(value) {
        Ok(value) if value >= 0 => Ok(value),
        _ => Err(Fault::OutOfRange),
    });
    read.map_err(|fault| {
        let (status, quoted) = (Status::INVALID_ARGUMENT, Quoted(text));
        let told = Told(move |f: &mut fmt::Formatter<'_>| match fault {
            Fault::OutOfRange => write!(f, "must be {}", Range(&ANY)),
            other => write!(f, "{}", other.about(&ANY)),
        });
        Error::new(status, text, format_args!("{quoted}: {told}"))
    })
}

/// Reads `digits[.digits][unit]`, exactly: what is not a whole number of the base unit is refused, not
/// rounded.
fn parse_scaled(text: &str, scale_of: impl Fn(&str) -> Option<u64>) -> Result<i128, Fault<'_>> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim_start());
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction.trim_end_matches('0')),
        Some(_) => return Err(Fault::Unreadable),
        None => (number, ""),
    };
    if whole.is_empty() || fraction.contains('.') {
        return Err(Fault::Unreadable);
    }
    let scale = match unit {
        "" => 1,
        unit => scale_of(unit).ok_or(Fault::Unit(unit))?,
    };
    let mut value: u128 = 0;
    let mut parts: u128 = 1;
    for (digit, is_fraction) in whole
        .bytes()
        .map(|digit| (digit, false))
        .chain(fraction.bytes().map(|digit| (digit, true)))
    {
        let grown = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(u128::from(digit - b'0')));
        value = grown.ok_or(Fault::OutOfRange)?;
        if is_fraction {
            // No scale has that many factors of ten.
            parts = parts.checked_mul(10).ok_or(Fault::Fraction)?;
        }
    }
    let scaled = value.checked_mul(u128::from(scale)).ok_or(Fault::OutOfRange)?;
    if scaled % parts != 0 {
        return Err(Fault::Fraction);
    }
    let value = i128::try_from(scaled / parts).map_err(|_| Fault::OutOfRange)?;
    Ok(if negative { -value } else { value })
}
