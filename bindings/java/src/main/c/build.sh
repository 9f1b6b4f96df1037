#!/bin/sh
# Makes the one native library of the jar: the glue and the engine's static library, everything else hidden.
#
#   build.sh OUTPUT JAVA_HOME
#
# The engine is built by cargo in its release profile, unless MICROBATCH_STATICLIB names a libmicrobatch.a. CC names
# another C compiler.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../../../.." && pwd)
output=$1
java_home=$2

engine=${MICROBATCH_STATICLIB:-}
if [ -z "$engine" ]; then
    cargo build --quiet --release --lib --locked --manifest-path "$root/Cargo.toml"
    engine=${CARGO_TARGET_DIR:-$root/target}/release/libmicrobatch.a
fi

# Thread-local data by descriptors, where that is not the default: a push looks at it.
tls=-mtls-dialect=gnu2
${CC:-cc} $tls -x c -c /dev/null -o /dev/null 2>/dev/null || tls=

mkdir -p "$(dirname "$output")"
# nodelete: a thread that pushed may end after the library's class loader is gone, and its thread-local data with it.
# Debug information stays out of the jar.
${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -fPIC -fvisibility=hidden $tls -pthread -Wall -Wextra -Werror \
    -I"$root/include" -I"$java_home/include" -I"$java_home/include/linux" \
    -shared "$here"/*.c -o "$output" \
    -Wl,--whole-archive "$engine" -Wl,--no-whole-archive -Wl,--gc-sections \
    -Wl,--version-script="$here/exports.map" -Wl,-soname,"$(basename "$output")" \
    -Wl,-z,nodelete,-z,relro,-z,now,-z,defs -Wl,-Bsymbolic -Wl,-s \
    -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
