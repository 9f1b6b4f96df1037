//! The functions that a header declares, found in its text: any header, also one of long ago that no source is left of.

#![allow(dead_code, reason = "not every test crate wants all of it")]

use std::collections::BTreeSet;

/// A function.
pub(crate) struct Prototype {
    /// Its name.
    pub(crate) name: String,
    /// Its declaration, without the semicolon.
    pub(crate) code: String,
}

/// All functions that `header` declares, in order.
pub(crate) fn prototypes(header: &str) -> Vec<Prototype> {
    let code = without_comments(header);
    let lines = code.lines().filter(|line| !line.starts_with('#'));
    let mut found = Vec::new();
    let (mut depth, mut statement) = (0, String::new());
    for line in lines {
        if line == "extern \"C\" {" || (line == "}" && depth == 0) {
            continue;
        }
        statement.push_str(line);
        statement.push('\n');
        depth += line.matches('{').count();
        depth -= line.matches('}').count();
        if depth == 0 && line.trim_end().ends_with(';') {
            let whole = std::mem::take(&mut statement);
            let whole = whole.trim().trim_end_matches(';');
            let head = whole.split_once('(').map(|(head, _)| head);
            let is_type = ["typedef", "struct", "union"]
                .iter()
                .any(|word| whole.starts_with(word));
            if let (Some(head), false) = (head, is_type) {
                found.push(Prototype {
                    name: head
                        .rsplit([' ', '*', '\n'])
                        .next()
                        .unwrap_or_default()
                        .to_owned(),
                    code: whole.to_owned(),
                });
            }
        }
    }
    found
}

/// Their names.
pub(crate) fn names(header: &str) -> BTreeSet<String> {
    prototypes(header)
        .into_iter()
        .map(|prototype| prototype.name)
        .collect()
}

pub(crate) fn without_comments(text: &str) -> String {
    let mut pieces = text.split("/*");
    let mut code = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        code.push_str(piece.split_once("*/").map_or("", |(_, after)| after));
    }
    code
}
