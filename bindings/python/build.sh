#!/bin/sh
# Makes the one native file of the package: the glue and the engine's static library, everything else hidden.
#
#   build.sh OUTPUT PYTHON_INCLUDE
#
# The engine is built by cargo in its release profile, unless MICROBATCH_STATICLIB names a libmicrobatch.a. CC names
# another C compiler.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
output=$1
include=$2

engine=${MICROBATCH_STATICLIB:-}
if [ -z "$engine" ]; then
    cargo build --quiet --release --lib --locked --manifest-path "$root/Cargo.toml"
    engine=${CARGO_TARGET_DIR:-$root/target}/release/libmicrobatch.a
fi

mkdir -p "$(dirname "$output")"
# nodelete: a thread that pushed may end after the file is unloaded, and its thread-local data with it.
${CC:-cc} -std=c11 -D_GNU_SOURCE -DPy_LIMITED_API=0x030B0000 -O2 -fPIC -fvisibility=hidden -pthread \
    -Wall -Wextra -Werror -I"$root/include" -I"$include" \
    -shared "$here"/glue/*.c -o "$output" \
    -Wl,--whole-archive "$engine" -Wl,--no-whole-archive -Wl,--gc-sections \
    -Wl,--version-script="$here/glue/exports.map" \
    -Wl,-z,nodelete,-z,relro,-z,now -Wl,-Bsymbolic -Wl,-s \
    -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
