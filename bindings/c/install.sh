#!/bin/sh
# Makes the C library for others to link with, and installs it: the shared library with a soname and versioned symbols,
# the static one, the header, a file for pkg-config, the licences.
#
#   install.sh PREFIX
#
# DESTDIR is put before PREFIX, for packages. LIBDIR is where libraries go under PREFIX, lib if not said. The engine is
# built by cargo in its release profile, unless MICROBATCH_STATICLIB names a libmicrobatch.a. CC and LDFLAGS as usual.
set -eu
[ $# -eq 1 ] || { echo "usage: install.sh PREFIX" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
prefix=${DESTDIR:-}$1
libdir=${LIBDIR:-lib}

engine=${MICROBATCH_STATICLIB:-}
if [ -z "$engine" ]; then
    cargo build --quiet --release --lib --locked --manifest-path "$root/Cargo.toml"
    engine=${CARGO_TARGET_DIR:-$root/target}/release/libmicrobatch.a
fi

number() { sed -n "s/^#define MB_VERSION_$1 *\([0-9]*\) .*/\1/p" "$root/include/microbatch.h"; }
major=$(number MAJOR)
version=$major.$(number MINOR).$(number PATCH)
soname=libmicrobatch.so.$major
file=libmicrobatch.so.$version

mkdir -p "$prefix/$libdir/pkgconfig" "$prefix/include" "$prefix/share/doc/microbatch"

# By hand: a version script for a library that rustc links is ignored by one linker and refused by another.
# nodelete: a thread that pushed may end after dlclose, and its thread-local data with it. Bsymbolic: the function table
# names this copy's functions, whatever other copies the process has loaded.
${CC:-cc} -shared -o "$prefix/$libdir/$file" \
    -Wl,--whole-archive "$engine" -Wl,--no-whole-archive -Wl,--gc-sections \
    -Wl,--version-script="$here/exports.map",--no-undefined-version -Wl,-soname,"$soname" \
    -Wl,-z,nodelete,-z,relro,-z,now,-z,noexecstack,-z,defs -Wl,-Bsymbolic -Wl,--strip-debug ${LDFLAGS:-} \
    -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
ln -sf "$file" "$prefix/$libdir/$soname"
ln -sf "$soname" "$prefix/$libdir/libmicrobatch.so"
cp "$engine" "$prefix/$libdir/libmicrobatch.a"
cp "$root/include/microbatch.h" "$prefix/include/"
cp "$root/LICENSE-APACHE" "$root/LICENSE-MIT" "$prefix/share/doc/microbatch/"

# The prefix is where the file is found, so that the whole may be moved.
cat > "$prefix/$libdir/pkgconfig/microbatch.pc" <<END
prefix=\${pcfiledir}/../$(echo "$libdir" | sed 's|[^/][^/]*|..|g')
libdir=\${prefix}/$libdir
includedir=\${prefix}/include

Name: microbatch
Description: An in-process micro-batching engine
Version: $version
Libs: -L\${libdir} -lmicrobatch
Libs.private: -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
Cflags: -I\${includedir}
END
