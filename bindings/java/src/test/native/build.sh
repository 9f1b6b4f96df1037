#!/bin/sh
# Makes what the tests need besides the jar: two libraries of handlers that are linked to nothing, and a C++ program that
# has an engine and a virtual machine of its own; and a C program that tries one file of the glue by itself.
#
#   build.sh DIRECTORY JAVA_HOME
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../../../.." && pwd)
directory=$1
java_home=$2
engine=${MICROBATCH_STATICLIB:-${CARGO_TARGET_DIR:-$root/target}/release/libmicrobatch.a}

mkdir -p "$directory"
loose="-shared -fPIC -nostdlib -Wl,-z,defs -O1 -Wall -Wextra -Werror"
${CC:-cc} -std=c99 $loose -I"$root/include" "$here/handlers.c" -o "$directory/handlers_c.so"
${CXX:-c++} -std=c++17 -fno-exceptions -fno-rtti $loose -I"$root/include" "$here/handlers.cpp" -o "$directory/handlers_cpp.so"
${CC:-cc} -std=c11 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror -I"$root/include" -I"$java_home/include" -I"$java_home/include/linux" \
    "$here/in_use_test.c" "$here/../../main/c/in_use.c" -o "$directory/in_use_test" -lpthread
${CXX:-c++} -std=c++17 -O1 -Wall -Wextra -Werror -I"$root/include" -I"$java_home/include" -I"$java_home/include/linux" \
    "$here/host.cpp" "$here/handlers.cpp" "$engine" -o "$directory/host" -lpthread -lm -ldl
