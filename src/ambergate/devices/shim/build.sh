#!/bin/sh
# Compile the shim: build.sh TARGET.so [FLAG...]; more flags come last, e.g. -g -fsanitize=address,undefined.
# CC: the compiler, cc when not set. Used by scripts/build-shim, by the wheel's build and by shim_build.py.
set -eu

if [ $# -lt 1 ]; then
    echo "usage: $0 TARGET.so [FLAG...]" >&2
    exit 2
fi
target=$1
shift
exec "${CC:-cc}" -std=c11 -D_GNU_SOURCE -U_FORTIFY_SOURCE -Wall -Wextra -Wshadow -Werror -O2 -fPIC \
    -fvisibility=hidden -shared -Wl,-z,now -Wl,-z,relro -Wl,-soname,libamber_dev.so \
    -o "$target" "$(dirname "$0")"/*.c -ldl "$@"
