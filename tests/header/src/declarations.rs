//! cbindgen's output, taken apart into declarations.

use crate::Result;

/// One declaration with its doc comment, line by line.
pub struct Item {
    /// The comment, without marks.
    pub docs: Vec<String>,
    /// What is declared.
    pub code: Code,
}

/// What is declared.
pub enum Code {
    /// `#define name value`.
    Constant {
        /// The name.
        name: String,
        /// The value as C wants it.
        value: String,
    },
    /// A struct or union with its fields.
    Fields {
        /// `struct` or `union`.
        keyword: String,
        /// The name.
        name: String,
        /// The fields, in order.
        fields: Vec<Field>,
    },
    /// Another type: the whole declaration.
    Type(String),
    /// A function.
    Function(Function),
}

/// A field of a struct.
pub struct Field {
    /// Its comment.
    pub docs: Vec<String>,
    /// Its declaration, without the semicolon.
    pub code: String,
}

/// A function.
pub struct Function {
    /// The name.
    pub name: String,
    /// The type of what it answers.
    pub answer: String,
    /// The parameters; one `void` if there is none.
    pub parameters: Vec<String>,
}

impl Code {
    /// The name that is declared.
    pub fn name(&self) -> &str {
        match self {
            Code::Constant { name, .. } | Code::Fields { name, .. } => name,
            Code::Function(function) => &function.name,
            // A function pointer has its name in parentheses, other types have it last.
            Code::Type(code) => match code.split_once("(*") {
                Some((_, rest)) => rest.split(')').next().unwrap_or_default(),
                None => code.trim_end_matches(';').rsplit(' ').next().unwrap_or_default(),
            },
        }
    }
}

impl Field {
    /// The field's name.
    pub fn name(&self) -> &str {
        let declared = self.code.split('[').next().unwrap_or_default();
        declared.rsplit([' ', '*']).next().unwrap_or_default()
    }
}

/// Takes cbindgen's output apart. `source` is the Rust module it comes from.
pub fn parse(output: &str, source: &str) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let mut docs = Vec::new();
    let mut code = Vec::new();
    for line in output.lines().chain([""]) {
        if let (true, Some(doc)) = (code.is_empty(), line.strip_prefix("//")) {
            docs.push(doc.strip_prefix(' ').unwrap_or(doc).to_owned());
        } else if !line.is_empty() {
            code.push(line);
        } else if !code.is_empty() {
            let code = item(&std::mem::take(&mut code), source)?;
            items.push(Item {
                docs: without_safety(std::mem::take(&mut docs)),
                code,
            });
        }
    }
    // cbindgen has an order of its own; the module's is the book's.
    items.sort_by_key(|item| place(item.code.name(), source));
    Ok(items)
}

/// Where a module declares a name.
fn place(name: &str, source: &str) -> Option<usize> {
    let words = ["struct", "union", "type", "const", "fn"];
    let ends = ['(', ':', ' ', '='];
    let mut found = words.iter().flat_map(|word| {
        source
            .match_indices(&format!("{word} {name}"))
            .collect::<Vec<_>>()
    });
    found
        .find(|(at, start)| source[at + start.len()..].starts_with(ends))
        .map(|(at, _)| at)
}

/// Rust's section about safety says what the opening page says once for all.
fn without_safety(mut docs: Vec<String>) -> Vec<String> {
    if let Some(at) = docs.iter().position(|line| line == "# Safety") {
        docs.truncate(at);
    }
    while docs.last().is_some_and(String::is_empty) {
        docs.pop();
    }
    docs
}

fn item(lines: &[&str], source: &str) -> Result<Code> {
    let first = lines[0];
    if let Some(constant) = first.strip_prefix("#define ") {
        let (name, value) = constant
            .split_once(' ')
            .ok_or(format!("a constant without a value: {first}"))?;
        return Ok(Code::Constant {
            name: name.to_owned(),
            value: value_in_c(name, value, source),
        });
    }
    let of_fields = ["struct", "union"]
        .iter()
        .find(|word| first.starts_with(&format!("typedef {word} ")));
    if let (Some(keyword), true) = (of_fields, first.ends_with('{')) {
        let name = first.split(' ').nth(2).unwrap_or_default().to_owned();
        let fields = fields(&lines[1..lines.len() - 1]);
        return Ok(Code::Fields {
            keyword: (*keyword).to_owned(),
            name,
            fields,
        });
    }
    let whole = plain(&lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" "));
    if whole.starts_with("typedef ") {
        return Ok(Code::Type(whole));
    }
    function(&whole)
        .map(Code::Function)
        .ok_or(format!("neither constant, type nor function: {whole}"))
}

/// `struct mb_x` is `mb_x`, as every struct has a typedef.
fn plain(code: &str) -> String {
    if code.starts_with("typedef struct ") {
        code.to_owned()
    } else {
        code.replace("struct ", "").replace("union ", "")
    }
}

fn fields(lines: &[&str]) -> Vec<Field> {
    let (mut fields, mut docs) = (Vec::new(), Vec::new());
    for line in lines.iter().map(|line| line.trim()) {
        match line.strip_prefix("//") {
            Some(doc) => docs.push(doc.trim().to_owned()),
            None => {
                let code = plain(line.trim_end_matches(';'));
                fields.push(Field {
                    docs: std::mem::take(&mut docs),
                    code,
                });
            }
        }
    }
    fields
}

fn function(code: &str) -> Option<Function> {
    let (head, parameters) = code.strip_suffix(");")?.split_once('(')?;
    let at = head.rfind([' ', '*'])? + 1;
    Some(Function {
        name: head[at..].to_owned(),
        answer: head[..at].trim().to_owned(),
        parameters: parameters
            .split(',')
            .map(|parameter| parameter.trim().to_owned())
            .collect(),
    })
}

/// A constant of the right type in every version of C: negative ones in parentheses, wide ones with a cast.
fn value_in_c(name: &str, value: &str, source: &str) -> String {
    let is_wide = source.contains(&format!("pub const {name}: i64 "));
    match value {
        // C++98 may hide INT64_MAX, and C89 has no suffix for it.
        "INT64_MAX" => "((int64_t)(~(uint64_t)0 >> 1))".to_owned(),
        value if is_wide => format!("((int64_t){value})"),
        value if value.starts_with('-') => format!("({value})"),
        value => value.to_owned(),
    }
}
