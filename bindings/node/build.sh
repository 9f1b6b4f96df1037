#!/bin/sh
# Makes the one native file of the package: the glue and the engine's static library, everything else hidden.
#
#   build.sh [OUTPUT]
#
# The engine is built by cargo in its release profile, unless MICROBATCH_STATICLIB names a libmicrobatch.a. CC names
# another C compiler, MICROBATCH_NODE_INCLUDE the directory of node_api.h if it is not beside node.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=${MICROBATCH_ROOT:-$(cd "$here/../.." && pwd)}
output=${1:-$here/prebuilds/$(node -p 'process.platform + "-" + process.arch')/microbatch.node}

include=${MICROBATCH_NODE_INCLUDE:-$(node -p 'require("path").resolve(process.execPath, "../../include/node")')}
if [ ! -f "$include/node_api.h" ] || [ ! -f "$include/uv.h" ]; then
    echo "build.sh: no node_api.h and uv.h in $include: install node's headers (they come with node; Debian: apt install" \
        "libnode-dev) or name their directory in MICROBATCH_NODE_INCLUDE" >&2
    exit 1
fi

engine=${MICROBATCH_STATICLIB:-}
if [ -z "$engine" ]; then
    cargo build --quiet --release --lib --locked --manifest-path "$root/Cargo.toml"
    engine=${CARGO_TARGET_DIR:-$root/target}/release/libmicrobatch.a
fi

mkdir -p "$(dirname "$output")"
# nodelete: node unloads an addon when a worker's environment ends. Node-API and libuv come from node itself.
${CC:-cc} -std=c11 -D_GNU_SOURCE -O2 -fPIC -fvisibility=hidden -pthread -Wall -Wextra -Werror \
    -I"$root/include" -isystem "$include" \
    -shared "$here"/src/*.c -o "$output" \
    -Wl,--whole-archive "$engine" -Wl,--no-whole-archive -Wl,--gc-sections \
    -Wl,--version-script="$here/src/exports.map" -Wl,-soname,"$(basename "$output")" \
    -Wl,-z,nodelete,-z,relro,-z,now -Wl,-Bsymbolic -Wl,-s \
    -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
