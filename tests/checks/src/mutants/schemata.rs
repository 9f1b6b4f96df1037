//! All mutants of a file in one source: each stands beside what it replaces and is chosen when the process starts.

use std::collections::HashMap;
use std::ops::Range;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::list::{Genre, Mutant};

/// A file with its mutants in it.
pub(crate) struct Rewritten {
    pub(crate) text: String,
    /// Where each mutant's own text is.
    pub(crate) own: Vec<(Range<usize>, u32)>,
    /// Arms without which nothing takes what they took.
    pub(crate) refused: Vec<u32>,
    /// Where what a mutant replaces is, with the mutant.
    pub(crate) around: Vec<(Range<usize>, u32)>,
}

/// Writes the mutants of a file into it.
///
/// # Errors
/// The file is no Rust.
pub(crate) fn rewrite(source: &str, mutants: &[&Mutant]) -> Result<Rewritten, String> {
    let file = syn::parse_file(source).map_err(|error| error.to_string())?;
    let mut finder = Finder {
        at: HashMap::new(),
        evaluated: 0,
        refused: Vec::new(),
        sites: Vec::new(),
    };
    let lines = starts_of_lines(source);
    for mutant in mutants {
        let start = offset(source, &lines, mutant.start);
        finder
            .at
            .entry((mutant.genre, start))
            .or_default()
            .push((*mutant).clone());
    }
    finder.visit_file(&file);
    let mut sites = finder.sites;
    sites.sort_by_key(|site| (site.range.start, std::cmp::Reverse(site.range.end)));
    let mut writer = Writer {
        source,
        sites: &sites,
        out: String::new(),
        own: Vec::new(),
        around: Vec::new(),
    };
    writer.mutated(0..source.len(), 0);
    let (own, around) = (writer.own, writer.around);
    Ok(Rewritten {
        text: writer.out,
        own,
        refused: finder.refused,
        around,
    })
}

fn starts_of_lines(source: &str) -> Vec<usize> {
    let ends = source.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(ends).collect()
}

/// Where a line and a column, both from 1, are.
fn offset(source: &str, lines: &[usize], (line, column): (usize, usize)) -> usize {
    let start = lines.get(line - 1).copied().unwrap_or(source.len());
    let rest = source[start..].char_indices().nth(column - 1);
    start + rest.map_or(0, |(at, _)| at)
}

/// A place with mutants. Places lie in one another, and never cross.
struct Site {
    range: Range<usize>,
    what: What,
    mutants: Vec<Mutant>,
}

enum What {
    /// `left operator right`
    Binary { left: Range<usize>, right: Range<usize> },
    /// An operator before an operand, which goes.
    Unary { operand: Range<usize> },
    /// The start of a function's body.
    Body,
    /// The condition of an arm, with what deletes the arm.
    Guard,
    /// The end of the pattern of an arm without a condition.
    Arm,
}

struct Finder {
    at: HashMap<(Genre, usize), Vec<Mutant>>,
    /// How deep this is in what the compiler evaluates.
    evaluated: usize,
    refused: Vec<u32>,
    sites: Vec<Site>,
}

impl Finder {
    fn take(&mut self, genre: Genre, start: usize) -> Vec<Mutant> {
        if self.evaluated > 0 {
            return Vec::new();
        }
        self.at.remove(&(genre, start)).unwrap_or_default()
    }

    fn add(&mut self, range: Range<usize>, what: What, mutants: Vec<Mutant>) {
        if !mutants.is_empty() {
            self.sites.push(Site { range, what, mutants });
        }
    }

    fn evaluated(&mut self, is_evaluated: bool, visit: impl FnOnce(&mut Finder)) {
        self.evaluated += usize::from(is_evaluated);
        visit(self);
        self.evaluated -= usize::from(is_evaluated);
    }

    /// A function that returns a type without a name has one such type, and not another for a mutant.
    fn body(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let is_nameless = matches!(&signature.output, syn::ReturnType::Type(_, kind) if matches!(**kind, syn::Type::ImplTrait(_)));
        self.evaluated(is_nameless || signature.constness.is_some(), |finder| {
            if let Some(first) = block.stmts.first() {
                let mutants = finder.take(Genre::FnValue, first.span().byte_range().start);
                let at = block.brace_token.span.open().byte_range().end;
                finder.add(at..at, What::Body, mutants);
            }
        });
    }
}

/// Whether an expression is part of a condition with patterns: none can stand in another expression.
fn has_pattern(expression: &syn::Expr) -> bool {
    match expression {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => has_pattern(&binary.left) || has_pattern(&binary.right),
        _ => false,
    }
}

/// Whether a pattern takes whatever comes.
fn is_anything(pattern: &syn::Pat) -> bool {
    match pattern {
        syn::Pat::Wild(_) => true,
        syn::Pat::Ident(name) => {
            name.subpat.is_none()
                && name
                    .ident
                    .to_string()
                    .starts_with(|first: char| first.is_lowercase())
        }
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_expr_binary(&mut self, node: &'ast syn::ExprBinary) {
        if !has_pattern(&node.left) && !has_pattern(&node.right) {
            let mutants = self.take(Genre::Binary, node.op.span().byte_range().start);
            let [left, right] = [&node.left, &node.right].map(|operand| operand.span().byte_range());
            self.add(node.span().byte_range(), What::Binary { left, right }, mutants);
        }
        visit::visit_expr_binary(self, node);
    }

    fn visit_expr_unary(&mut self, node: &'ast syn::ExprUnary) {
        let mutants = self.take(Genre::Unary, node.op.span().byte_range().start);
        let operand = node.expr.span().byte_range();
        self.add(node.span().byte_range(), What::Unary { operand }, mutants);
        visit::visit_expr_unary(self, node);
    }

    fn visit_expr_match(&mut self, node: &'ast syn::ExprMatch) {
        let takes_all = |arm: &&syn::Arm| arm.guard.is_none() && is_anything(&arm.pat);
        let last = node
            .arms
            .iter()
            .find(takes_all)
            .map(|arm| arm.span().byte_range().start);
        for start in node.arms.iter().map(|arm| arm.span().byte_range().start) {
            if last.is_none_or(|last| last == start) {
                let refused = self.take(Genre::Arm, start);
                self.refused.extend(refused.iter().map(|mutant| mutant.id));
            }
        }
        visit::visit_expr_match(self, node);
    }

    fn visit_arm(&mut self, node: &'ast syn::Arm) {
        let mut mutants = self.take(Genre::Arm, node.span().byte_range().start);
        if let Some((_, guard)) = &node.guard {
            let range = guard.span().byte_range();
            mutants.extend(self.take(Genre::Guard, range.start));
            self.add(range, What::Guard, mutants);
        } else {
            let end = node.pat.span().byte_range().end;
            self.add(end..end, What::Arm, mutants);
        }
        visit::visit_arm(self, node);
    }

    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        self.body(&node.sig, &node.block);
        self.evaluated(node.sig.constness.is_some(), |finder| {
            visit::visit_item_fn(finder, node)
        });
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.body(&node.sig, &node.block);
        self.evaluated(node.sig.constness.is_some(), |finder| {
            visit::visit_impl_item_fn(finder, node);
        });
    }

    fn visit_trait_item_fn(&mut self, node: &'ast syn::TraitItemFn) {
        if let Some(block) = &node.default {
            self.body(&node.sig, block);
        }
        visit::visit_trait_item_fn(self, node);
    }

    fn visit_item_const(&mut self, node: &'ast syn::ItemConst) {
        self.evaluated(true, |finder| visit::visit_item_const(finder, node));
    }

    fn visit_item_static(&mut self, node: &'ast syn::ItemStatic) {
        self.evaluated(true, |finder| visit::visit_item_static(finder, node));
    }

    fn visit_impl_item_const(&mut self, node: &'ast syn::ImplItemConst) {
        self.evaluated(true, |finder| visit::visit_impl_item_const(finder, node));
    }

    fn visit_trait_item_const(&mut self, node: &'ast syn::TraitItemConst) {
        self.evaluated(true, |finder| visit::visit_trait_item_const(finder, node));
    }

    fn visit_expr_const(&mut self, node: &'ast syn::ExprConst) {
        self.evaluated(true, |finder| visit::visit_expr_const(finder, node));
    }

    fn visit_type(&mut self, node: &'ast syn::Type) {
        self.evaluated(true, |finder| visit::visit_type(finder, node));
    }

    fn visit_variant(&mut self, node: &'ast syn::Variant) {
        self.evaluated(true, |finder| visit::visit_variant(finder, node));
    }

    fn visit_pat(&mut self, node: &'ast syn::Pat) {
        self.evaluated(true, |finder| visit::visit_pat(finder, node));
    }

    fn visit_expr_repeat(&mut self, node: &'ast syn::ExprRepeat) {
        self.visit_expr(&node.expr);
        self.evaluated(true, |finder| finder.visit_expr(&node.len));
    }
}

struct Writer<'a> {
    source: &'a str,
    sites: &'a [Site],
    out: String,
    own: Vec<(Range<usize>, u32)>,
    around: Vec<(Range<usize>, u32)>,
}

impl Writer<'_> {
    /// Writes a part of the source with the mutants of the sites from `next` on that lie in it.
    fn mutated(&mut self, range: Range<usize>, mut next: usize) {
        let mut at = range.start;
        while let Some(site) = self.sites.get(next) {
            next += 1;
            if site.range.start < at {
                continue;
            }
            if site.range.start >= range.end {
                break;
            }
            self.out += &self.source[at..site.range.start];
            let start = self.out.len();
            self.site(site, next);
            let written = start..self.out.len();
            let around = site.mutants.iter().map(|mutant| (written.clone(), mutant.id));
            self.around.extend(around);
            at = site.range.end;
        }
        self.out += &self.source[at..range.end];
    }

    /// Writes a site's mutants, each beside the last, and then what was there.
    fn site(&mut self, site: &Site, next: usize) {
        match &site.what {
            What::Binary { left, right } => {
                let [left, right] = [left, right].map(|operand| &self.source[operand.clone()]);
                self.beside(site, next, |mutant| {
                    format!("({left} {} {right})", mutant.replacement)
                });
            }
            What::Unary { operand } => {
                let operand = &self.source[operand.clone()];
                self.beside(site, next, |_| format!("({operand})"));
            }
            What::Body => {
                for mutant in &site.mutants {
                    let own = format!("return {};", mutant.replacement);
                    self.place(
                        &format!(" if crate::mutant::is({}) {{ ", mutant.id),
                        &own,
                        " }",
                        mutant.id,
                    );
                }
            }
            What::Guard => {
                let mut closing = 0;
                for mutant in &site.mutants {
                    let is = format!("crate::mutant::is({})", mutant.id);
                    if mutant.genre == Genre::Guard && mutant.replacement == "true" {
                        self.place("(", &is, " || (", mutant.id);
                    } else {
                        self.place("(!", &is, " && (", mutant.id);
                    }
                    closing += 2;
                }
                self.mutated(site.range.clone(), next);
                self.out += &")".repeat(closing);
            }
            What::Arm => {
                for mutant in &site.mutants {
                    let is = format!("crate::mutant::is({})", mutant.id);
                    self.place(" if !", &is, "", mutant.id);
                }
            }
        }
    }

    /// Writes an expression of which each mutant is a branch, with its `own` text, and what was there the last.
    fn beside(&mut self, site: &Site, next: usize, own: impl Fn(&Mutant) -> String) {
        self.out += "(";
        for mutant in &site.mutants {
            self.place(
                &format!("if crate::mutant::is({}) {{ ", mutant.id),
                &own(mutant),
                " } else ",
                mutant.id,
            );
        }
        self.out += "{ (";
        self.mutated(site.range.clone(), next);
        self.out += ") })";
    }

    fn place(&mut self, before: &str, own: &str, after: &str, id: u32) {
        self.out += before;
        let start = self.out.len();
        self.out += own;
        self.own.push((start..self.out.len(), id));
        self.out += after;
    }
}
