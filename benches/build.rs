//! Compiles the two sides of the bench: the peer in C++, and the C program that uses microbatch.

fn main() {
    println!("cargo:rerun-if-changed=peer");
    println!("cargo:rerun-if-changed=../include/microbatch.h");
    let mut peer = cc::Build::new();
    peer.cpp(true).std("c++17").warnings(true).extra_warnings(true);
    peer.file("peer/peer.cpp").compile("side_peer");
    let mut ours = cc::Build::new();
    ours.std("c11").warnings(true).extra_warnings(true);
    ours.file("peer/ours.c").compile("side_ours");
}
