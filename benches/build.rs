//! Compiles the sides that are C and C++, and finds out which of the peers' libraries are installed.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=peer");
    println!("cargo:rerun-if-changed=../include/microbatch.h");
    println!("cargo:rerun-if-changed=../bindings/cpp/include");
    // While one of these is missing it is looked for at every build, so that it is found when it comes.
    println!("cargo:rerun-if-changed=/usr/include/concurrentqueue");
    println!("cargo:rerun-if-changed=/usr/include/librdkafka");
    println!("cargo:rustc-check-cfg=cfg(has_moodycamel, has_rdkafka)");

    c(cc::Build::new().file("peer/batcher.c"), "side_batcher");
    cpp(cc::Build::new().file("peer/mutex.cpp"), "side_mutex");
    let ours = ["../include", "../bindings/cpp/include"];
    cpp(
        cc::Build::new().file("peer/future.cpp").includes(ours),
        "side_future",
    );

    // Debian puts its header into a folder of its own, upstream does not.
    let folders = [
        "/usr/include/concurrentqueue",
        "/usr/local/include/concurrentqueue",
    ];
    let installed = folders.iter().any(|folder| Path::new(folder).exists());
    if installed || compiles("#include <blockingconcurrentqueue.h>\n", "concurrentqueue") {
        println!("cargo:rustc-cfg=has_moodycamel");
        let mut build = cc::Build::new();
        build.flag_if_supported("-isystem/usr/include/concurrentqueue");
        build.flag_if_supported("-isystem/usr/local/include/concurrentqueue");
        cpp(build.file("peer/moodycamel.cpp"), "side_moodycamel");
    }
    if compiles("#include <librdkafka/rdkafka.h>\n", "rdkafka") {
        println!("cargo:rustc-cfg=has_rdkafka");
        c(cc::Build::new().file("peer/rdkafka.c"), "side_rdkafka");
        println!("cargo:rustc-link-lib=rdkafka");
    }
}

fn c(build: &mut cc::Build, name: &str) {
    build.std("c11").warnings(true).extra_warnings(true).compile(name);
}

fn cpp(build: &mut cc::Build, name: &str) {
    build
        .cpp(true)
        .std("c++17")
        .warnings(true)
        .extra_warnings(true)
        .compile(name);
}

/// Whether a C++ file with this text compiles.
fn compiles(text: &str, name: &str) -> bool {
    let Some(out) = std::env::var_os("OUT_DIR") else {
        return false;
    };
    let file = Path::new(&out).join(format!("has_{name}.cpp"));
    std::fs::write(&file, text).is_ok()
        && cc::Build::new()
            .cpp(true)
            .file(&file)
            .cargo_metadata(false)
            .cargo_warnings(false)
            .try_compile(&format!("has_{name}"))
            .is_ok()
}
