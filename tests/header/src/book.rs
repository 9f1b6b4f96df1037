//! Prints the header: the opening page, then section after section, in comments and declarations that C89 and C++98 read
//! without a warning.

use crate::Section;
use crate::declarations::{Code, Field, Function, Item};
use std::fmt::Write;

/// Longest line.
const WIDTH: usize = 110;

const TOP: &str = "#ifndef MICROBATCH_H\n#define MICROBATCH_H\n\n";
const BEGIN: &str =
    "#include <stddef.h>\n#include <stdint.h>\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n";
const END: &str = "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n";

/// The header.
pub fn write(opening: &str, sections: &[Section]) -> String {
    let mut book = String::from(TOP);
    comment(
        &mut book,
        "",
        &opening.trim().lines().map(str::to_owned).collect::<Vec<_>>(),
    );
    book.push('\n');
    book.push_str(BEGIN);
    for section in sections {
        write_section(&mut book, section, sections);
    }
    book.push_str(END);
    book
}

fn write_section(book: &mut String, section: &Section, all: &[Section]) {
    let line = "=".repeat(WIDTH - 6);
    let mut text = vec![line.clone(), section.title.clone()];
    text.extend(section.introduction.iter().cloned());
    text.push(String::new());
    text.push(line);
    book.push('\n');
    comment(book, "", &text);
    let mut constants = Vec::new();
    for item in &section.items {
        if let Code::Constant { name, value } = &item.code {
            constants.push((name, value, &item.docs));
        }
    }
    if !constants.is_empty() {
        book.push('\n');
        write_constants(book, &constants);
    }
    for item in &section.items {
        write_item(book, item);
    }
    match section.module.as_str() {
        "handle" => book.push_str("\n/* The functions of one copy of the library: see the last section. */\ntypedef struct mb_api mb_api;\n"),
        "api" => write_table(book, all),
        _ => {}
    }
}

/// Constants of a section, in blocks by the beginning of their names, each with its comment beside it.
fn write_constants(book: &mut String, constants: &[(&String, &String, &Vec<String>)]) {
    let mut last = "";
    for (place, (name, value, docs)) in constants.iter().enumerate() {
        let alike = constants
            .iter()
            .filter(|(_, other, _)| is_wide(other) == is_wide(value));
        let (names, values) = alike.fold((0, 0), |(names, values), (name, value, _)| {
            (names.max(name.len()), values.max(value.len()))
        });
        let family = if is_wide(value) { "" } else { family(name) };
        if place > 0 && family != last {
            book.push('\n');
        }
        last = family;
        beside(book, &format!("#define {name:names$} {value:>values$}"), docs);
    }
}

fn is_wide(value: &str) -> bool {
    value.contains("int64_t")
}

/// `MB_ERR` of `MB_ERR_CLOSED`; names without a second part belong to no family.
fn family(name: &str) -> &str {
    match name.match_indices('_').nth(1) {
        Some((at, _)) => &name[..at],
        None => "",
    }
}

/// A declaration with its comment beside it, on as many lines as it takes.
fn beside(book: &mut String, code: &str, docs: &[String]) {
    let column = code.len() + 4;
    let mut line = format!("{code} /*");
    for word in clean(&docs.join(" ")).split(' ') {
        if line.len() + 1 + word.len() + 3 > WIDTH && line.len() > column {
            let _ = writeln!(book, "{line}");
            line = " ".repeat(column - 1);
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(book, "{line} */");
}

fn write_item(book: &mut String, item: &Item) {
    match &item.code {
        Code::Constant { .. } => {}
        Code::Type(code) => {
            book.push('\n');
            comment(book, "", &item.docs);
            let _ = writeln!(book, "{code}");
        }
        Code::Fields {
            keyword,
            name,
            fields,
        } => {
            book.push('\n');
            comment(book, "", &item.docs);
            let _ = writeln!(book, "typedef {keyword} {name} {{");
            for field in fields {
                write_field(book, field);
            }
            let _ = writeln!(book, "}} {name};");
        }
        Code::Function(function) => {
            book.push('\n');
            comment(book, "", &item.docs);
            let head = format!("{}{}(", typed(&function.answer), function.name);
            write_parameters(book, "", &head, &function.parameters);
        }
    }
}

fn write_field(book: &mut String, field: &Field) {
    beside(
        book,
        &format!("    {:31}", format!("{};", field.code)),
        &field.docs,
    );
}

/// A type before a name: with a space, unless it ends with a star.
fn typed(code: &str) -> String {
    if code.ends_with('*') {
        code.to_owned()
    } else {
        format!("{code} ")
    }
}

fn write_parameters(book: &mut String, indent: &str, head: &str, parameters: &[String]) {
    let line = format!("{indent}{head}{});", parameters.join(", "));
    if line.len() <= WIDTH {
        let _ = writeln!(book, "{line}");
        return;
    }
    let _ = writeln!(book, "{indent}{head}");
    let mut line = format!("{indent}    ");
    for (place, parameter) in parameters.iter().enumerate() {
        let end = if place + 1 == parameters.len() { ");" } else { ", " };
        if line.len() + parameter.len() + end.len() > WIDTH {
            let _ = writeln!(book, "{}", line.trim_end());
            line = format!("{indent}    ");
        }
        line.push_str(parameter);
        line.push_str(end);
    }
    let _ = writeln!(book, "{line}");
}

/// The function table: a pointer for each function, typed after it.
fn write_table(book: &mut String, all: &[Section]) {
    let functions: Vec<&Function> = all
        .iter()
        .flat_map(|section| &section.items)
        .filter_map(of_function)
        .collect();
    let text = [
        "The functions of one copy of the library, in the order of this header. Later versions add theirs at the end.",
    ];
    book.push('\n');
    comment(book, "", &text.map(str::to_owned));
    book.push_str("struct mb_api {\n");
    for (code, docs) in [
        ("size_t struct_size", "The size of this table in bytes."),
        ("uint32_t abi_version", "MB_ABI_VERSION of the library."),
        ("uint32_t reserved", "0."),
    ] {
        write_field(
            book,
            &Field {
                docs: vec![docs.to_owned()],
                code: code.to_owned(),
            },
        );
    }
    for name in microbatch::ffi::api::FUNCTIONS {
        // A name without a function stays out; the tests compare the two lists.
        if let Some(function) = functions.iter().find(|function| function.name == name) {
            let head = format!("{}(*{name})(", typed(&function.answer));
            write_parameters(book, "    ", &head, &function.parameters);
        }
    }
    book.push_str("};\n");
}

/// The function of an item that is one.
pub fn of_function(item: &Item) -> Option<&Function> {
    match &item.code {
        Code::Function(function) => Some(function),
        _ => None,
    }
}

/// Text without Rust's marks, and without what would end or begin a comment.
fn clean(text: &str) -> String {
    text.replace('`', "").replace("*/", "* /").replace("/*", "/ *")
}

/// A comment of paragraphs filled to the width. Indented lines and ruled ones stand as they are.
fn comment(book: &mut String, indent: &str, lines: &[String]) {
    let width = WIDTH - indent.len() - 3;
    let mut filled: Vec<String> = Vec::new();
    let mut open = false;
    for line in lines.iter().flat_map(|line| labelled(&clean(line))) {
        let as_it_is = line.is_empty() || line.starts_with(' ') || line.starts_with("==");
        let label = LABELS.iter().any(|label| line.starts_with(label));
        if as_it_is {
            filled.push(line);
            open = false;
            continue;
        }
        for word in line.split(' ').enumerate() {
            match filled.last_mut() {
                Some(last) if open && !(label && word.0 == 0) && last.len() + 1 + word.1.len() <= width => {
                    last.push(' ');
                    last.push_str(word.1);
                }
                // What a label says goes on indented.
                _ => {
                    let hang =
                        open && !(label && word.0 == 0) && filled.last().is_some_and(|last| hangs(last));
                    filled.push(format!("{}{}", if hang { "  " } else { "" }, word.1));
                    open = true;
                }
            }
        }
    }
    let one_line = filled.len() == 1;
    for (place, line) in filled.iter().enumerate() {
        let start = if place == 0 { "/* " } else { "   " };
        let end = if place + 1 == filled.len() { " */" } else { "" };
        let line = format!("{indent}{start}{line}{end}");
        let fits = line.len() <= WIDTH || !end.is_empty() && line.len() <= WIDTH + 3 || one_line;
        debug_assert!(fits || line.contains("    "), "too long: {line}");
        let _ = writeln!(book, "{}", line.trim_end());
    }
}

/// What begins a line of its own in the docs of a function.
const LABELS: [&str; 6] = [
    "Returns: ",
    "Ownership: ",
    "Threads: ",
    "Blocks: ",
    "Calls back",
    "Since: ",
];

fn hangs(line: &str) -> bool {
    line.starts_with("  ") || LABELS.iter().any(|label| line.starts_with(label))
}

/// Breaks a line before each label in it.
fn labelled(line: &str) -> Vec<String> {
    if line.starts_with(' ') {
        return vec![line.to_owned()];
    }
    let mut rest = line;
    let mut lines = Vec::new();
    'next: loop {
        for (at, _) in rest.match_indices(". ") {
            if LABELS.iter().any(|label| rest[at + 2..].starts_with(label)) {
                lines.push(rest[..=at].to_owned());
                rest = &rest[at + 2..];
                continue 'next;
            }
        }
        lines.push(rest.to_owned());
        return lines;
    }
}
