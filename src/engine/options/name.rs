//! Names that are no option's, and the options that come nearest.

use super::TABLE;
use super::shown::{Quoted, write_list};
use crate::engine::error::{Error, Status, Text};

/// The error for a name that is no option's, with the names that come nearest.
pub(super) fn unknown(name: &str) -> Error {
    let distances = TABLE.iter().map(|info| distance(name, info.name));
    let nearest = distances.flatten().min();
    let near = TABLE
        .iter()
        .filter(|info| nearest.is_none() || distance(name, info.name) == nearest);
    let mut text = Text::default();
    let lead = if nearest.is_some() {
        "did you mean"
    } else {
        "the options are"
    };
    text.add(format_args!("{} is not an option; {lead} ", Quoted(name)));
    let (last, end) = if nearest.is_some() {
        ("or", "?")
    } else {
        ("and", "")
    };
    // The only failure is a lack of memory.
    let _ = write_list(&mut text, near.map(|info| info.name), last);
    text.add(format_args!("{end}"));
    Error::from_text(Status::INVALID_OPTION, name, text)
}

/// How far a misspelt name is from an option's: 0 if only case and separators differ, 1 if one contains the
/// other, else the number of edits; none if that is too many to be a slip.
fn distance(given: &str, option: &str) -> Option<usize> {
    const LONGEST: usize = 32;
    let letters = |name: &str| {
        let mut kept = [0u8; LONGEST];
        let mut count = 0;
        for byte in name.bytes().filter(u8::is_ascii_alphanumeric) {
            *kept.get_mut(count)? = byte.to_ascii_lowercase();
            count += 1;
        }
        Some((kept, count))
    };
    let ((given, given_count), (option, option_count)) = (letters(given)?, letters(option)?);
    let (given, option) = (&given[..given_count], &option[..option_count]);
    if given == option {
        return Some(0);
    }
    let contains =
        |long: &[u8], short: &[u8]| short.len() >= 4 && long.windows(short.len()).any(|w| w == short);
    if contains(option, given) || contains(given, option) {
        return Some(1);
    }
    // Row by row: edits[j] is the distance of the letters seen so far to the first j letters of the option.
    let mut edits: [usize; LONGEST + 1] = std::array::from_fn(|j| j);
    for (i, from) in given.iter().enumerate() {
        let mut diagonal = edits[0];
        edits[0] = i + 1;
        for (j, to) in option.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = edits[j + 1];
            edits[j + 1] = replaced.min(edits[j] + 1).min(diagonal + 1);
        }
    }
    let found = edits[option.len()];
    (found <= 1 + option.len() / 5).then_some(found)
}
