#!/bin/sh
# Fails when an object file compiled for one instruction set (named x86/*) defines a symbol that the linker may share
# with other files: a weak one (V, W, v, w) or a unique one (u). Such a copy would run on processors without the set.
# usage: no_shared_code.sh NM OBJECT...
nm=$1
shift
status=0
seen=0
for object in "$@"; do
  case $object in */x86/*) ;; *) continue ;; esac
  seen=$((seen + 1))
  # DW.ref.* and asan.module_* are data of the toolchain, not code.
  shared=$("$nm" --defined-only -C "$object" | grep ' [WVwvu] ' | grep -v -e ' DW\.ref\.' -e ' asan\.module_')
  if [ -n "$shared" ]; then
    echo "$object shares with the rest of the program:"
    echo "$shared"
    status=1
  fi
done
if [ "$seen" -eq 0 ]; then
  echo "no object file of x86/ was given"
  exit 1
fi
exit $status
