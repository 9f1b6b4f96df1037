//! Link arguments of the C library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A thread that touched the library may end after dlclose; its thread-local destructors must still be mapped.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,relro,-z,now");
    // The function table names this copy's own functions, whatever other copies the process has loaded.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    // Programs ask at run time for the file that cargo makes; a release gives both a version.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libmicrobatch.so");
}
