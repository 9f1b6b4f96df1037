//! C and C++ compilers of every standard read the header without a word, and agree with Rust about it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod built;
mod tools;

use built::{library, scratch};
use microbatch::ffi;
use microbatch_header::declarations::Code;
use microbatch_header::{header_path, root, sections};
use std::fmt::Write as _;
use std::fs;
use std::mem::offset_of;
use std::path::PathBuf;
use std::process::Command;
use tools::run;

const STRICT: [&str; 4] = ["-pedantic-errors", "-Wall", "-Wextra", "-Werror"];

/// Whether a compiler is there. Without one the test says so and passes, except in CI.
fn have(compiler: &str) -> bool {
    tools::have(compiler, compiler, "the header is not compiled")
}

fn include() -> PathBuf {
    header_path().parent().unwrap().to_owned()
}

/// The header, twice in each of two files that are linked together.
fn compile_with(compiler: &str, standards: &[&str], ending: &str) {
    if !have(compiler) {
        return;
    }
    let directory = scratch(compiler);
    let twice = "#include \"microbatch.h\"\n#include \"microbatch.h\"\n";
    let first = directory.join(format!("first.{ending}"));
    let second = directory.join(format!("second.{ending}"));
    fs::write(
        &first,
        format!("{twice}int second(void);\nint main(void) {{ return second(); }}\n"),
    )
    .unwrap();
    let use_it = "int second(void);\nint second(void) { return MB_OK + (MB_FOREVER > 0 ? 0 : 1); }\n";
    fs::write(&second, format!("{twice}{use_it}")).unwrap();
    for standard in standards {
        let program = directory.join(standard.replace('+', "p"));
        let mut command = Command::new(compiler);
        command
            .arg(format!("-std={standard}"))
            .args(STRICT)
            .arg("-I")
            .arg(include());
        run(command.arg(&first).arg(&second).arg("-o").arg(&program));
        run(&mut Command::new(&program));
    }
}

#[test]
fn p34_c_of_every_standard() {
    compile_with("gcc", &["c89", "c99", "c11", "c17"], "c");
}

#[test]
fn p34_cpp_of_every_standard() {
    compile_with("g++", &["c++98", "c++11", "c++17", "c++20"], "cpp");
}

/// A struct as Rust lays it out: its size, and where its fields are.
type Layout = (&'static str, usize, Vec<(&'static str, usize)>);

macro_rules! layouts {
    ($($module:ident::$type:ident { $($field:ident),+ })+) => {
        vec![$((
            stringify!($type),
            size_of::<ffi::$module::$type>(),
            vec![$((stringify!($field).trim_start_matches("r#"), offset_of!(ffi::$module::$type, $field))),+],
        )),+]
    };
}

fn layouts() -> Vec<Layout> {
    layouts! {
        status::mb_status_info { code, retriable, name, text }
        value::mb_string { data, length }
        value::mb_object { word, size }
        value::mb_value_as { int64, float64, string, object }
        value::mb_value { kind, owner, r#as }
        callback::mb_handler { call, user_data, release }
        options::mb_options {
            struct_size, mode, threads, max_in_flight, on_full, delivery, clock, results, owner, max_batch_size,
            max_batch_bytes, queue_capacity, queue_bytes, result_capacity, max_delay, push_timeout,
            handler_timeout, close_timeout, drain_at_exit, handler, handler_data, handler_release, by_kind,
            pull_handlers, on_result, result_data, result_release, object_release, object_data, object_data_release, log,
            log_data, log_release, delay_spin
        }
        options::mb_option_info {
            name, type_name, unit, default_text, choices, doc, minimum, maximum, offset, width, default_value,
            managed_default
        }
        push::mb_push_options { struct_size, deadline, release, release_data, if_full }
        batch::mb_batch_view {
            struct_size, count, kind, trigger, age, number, tags, kinds, values, offsets, bytes, deadlines,
            positions
        }
        batch::mb_column { struct_size, count, values, positions, offsets, bytes }
        results::mb_results_view {
            struct_size, count, kind, all_ok, tags, outcomes, handled, kinds, values, batch, turn
        }
        results::mb_row_error { struct_size, code, handled, type_name, message, length }
        map::mb_map_options { struct_size, max_batch_size, batches, owner, reserved }
        stats::mb_histogram { count, sum, max, buckets }
        stats::mb_stats {
            struct_size, accepted, ok, failed, expired, cancelled, discarded, outstanding, undelivered, triggers,
            refusals, batches, late, stuck, waiting, waiting_bytes, in_flight, delivering, bytes_in_use,
            oldest_in_flight_age, batch_size, queue_time, handler_time, delivery_time
        }
        api::mb_shared { struct_size, api, batcher }
    }
}

/// Every struct and union of the header is in the list above, with every field.
#[test]
fn p34_no_struct_is_left_out() {
    let sections = sections(&root()).unwrap();
    let mut declared = Vec::new();
    for item in sections.iter().flat_map(|section| &section.items) {
        if let Code::Fields { name, fields, .. } = &item.code {
            declared.push((
                name.as_str(),
                fields.iter().map(|field| field.name()).collect::<Vec<_>>(),
            ));
        }
    }
    let listed: Vec<(_, Vec<_>)> = layouts()
        .into_iter()
        .map(|(name, _, fields)| (name, fields.into_iter().map(|(field, _)| field).collect()))
        .collect();
    assert_eq!(declared, listed);
}

/// C's sizes and offsets are Rust's.
#[test]
fn p34_c_and_rust_agree_about_layout() {
    if !have("gcc") {
        return;
    }
    let layouts = layouts();
    let mut program = String::from("#include <stdio.h>\n#include \"microbatch.h\"\n\nint main(void)\n{\n");
    let mut expected = String::new();
    let mut say = |what: &str, code: &str, value: usize| {
        let _ = writeln!(program, "    printf(\"{what} %lu\\n\", (unsigned long)({code}));");
        let _ = writeln!(expected, "{what} {value}");
    };
    for (name, size, fields) in &layouts {
        say(name, &format!("sizeof({name})"), *size);
        for (field, offset) in fields {
            say(
                &format!("{name}.{field}"),
                &format!("offsetof({name}, {field})"),
                *offset,
            );
        }
    }
    say("mb_api", "sizeof(mb_api)", size_of::<ffi::api::mb_api>());
    for (place, function) in ffi::api::FUNCTIONS.iter().enumerate() {
        say(
            &format!("mb_api.{function}"),
            &format!("offsetof(mb_api, {function})"),
            16 + 8 * place,
        );
    }
    program.push_str("    return 0;\n}\n");
    let directory = scratch("layout");
    let (source, binary) = (directory.join("layout.c"), directory.join("layout"));
    fs::write(&source, program).unwrap();
    let mut gcc = Command::new("gcc");
    run(gcc
        .arg("-std=c89")
        .args(STRICT)
        .arg("-I")
        .arg(include())
        .arg(&source)
        .arg("-o")
        .arg(&binary));
    assert_eq!(run(&mut Command::new(&binary)), expected);
}

/// Each pointer of the function table is the function of its name.
#[test]
fn p29_the_table_holds_the_functions_of_their_names() {
    if !have("gcc") {
        return;
    }
    let mut program = String::from(
        "#include <dlfcn.h>\n#include <stdio.h>\n#include <string.h>\n#include \"microbatch.h\"\n\n\
         int main(int count, char **arguments)\n{\n    void *library = count > 1 ? dlopen(arguments[1], RTLD_NOW) : NULL;\n    \
         const mb_api *(*table)(void);\n    const mb_api *api;\n    void *found;\n\n    \
         if (library == NULL) {\n        puts(dlerror());\n        return 1;\n    }\n    \
         found = dlsym(library, \"mb_api_table\");\n    memcpy(&table, &found, sizeof table);\n    api = table();\n    \
         if (api->struct_size != sizeof *api || api->abi_version != MB_ABI_VERSION)\n        puts(\"head\");\n",
    );
    for name in ffi::api::FUNCTIONS {
        let _ = writeln!(
            program,
            "    found = dlsym(library, \"{name}\");\n    if (memcmp(&found, &api->{name}, sizeof found) != 0)\n        \
             puts(\"{name}\");"
        );
    }
    program.push_str("    return 0;\n}\n");
    let directory = scratch("table");
    let (source, binary) = (directory.join("table.c"), directory.join("table"));
    fs::write(&source, program).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.arg("-std=c99")
        .args(STRICT)
        .arg("-I")
        .arg(include())
        .arg(&source)
        .arg("-o")
        .arg(&binary)
        .arg("-ldl");
    run(&mut gcc);
    assert_eq!(
        run(Command::new(&binary).arg(library("libmicrobatch.so"))),
        "",
        "these are other functions in the table"
    );
}
