# shellcheck shell=bash disable=SC2034 # the flags are used by build.sh
#
# variants.sh: the same tests on a server that watches memory. Sourced by regress/check after lib.sh.
#
#   asan      extension and edge built with the address and undefined behaviour sanitizers, their
#             library preloaded into everything that runs; a report is a failure, also where the
#             test itself passed (a backend may be killed on purpose, and then nobody sees it die)
#   valgrind  Debian's server under memcheck; only reports with a frame in hotdash.so count, since the
#             server itself writes uninitialised padding to WAL and files. What it cannot see in a
#             server built without USE_VALGRIND: overflows inside palloc's blocks below 8 kB.

variant_prepare()
{
	HD_WATCH=$HOTDASH_LOG/watch
	case $HD_VARIANT in
		'') ;;
		asan) variant_asan ;;
		valgrind) ;;
		*) die "there is no variant \"$HD_VARIANT\": asan, valgrind" ;;
	esac
	place_names
	rm -f "$HD_WATCH".*
}

# On Debian 12 a preloaded libasan hangs at start: a library's constructor and the sanitizer's lazy
# initialisation wait for each other in gettext's lock. One malloc before any other constructor
# runs initialises it in time; -z initfirst makes ours the first.
variant_asan()
{
	local early=$HOTDASH_BUILD/early options
	cat >"$early.c" <<-'SOURCE'
		#include <stdlib.h>
		__attribute__((constructor)) static void early(void) { free(malloc(1)); }
	SOURCE
	gcc -shared -fPIC -O0 -Wl,-z,initfirst -o "$early.so" "$early.c"
	HD_EXTENSION_CFLAGS='-O1 -g -fno-wrapv -fno-omit-frame-pointer -U_FORTIFY_SOURCE'
	HD_EXTENSION_CFLAGS+=' -fsanitize=address,undefined -fno-sanitize-recover=undefined'
	HD_EXTENSION_LDFLAGS='-fsanitize=address,undefined'
	HD_EDGE_SANITIZE=address,undefined
	options=log_path=$HD_WATCH:abort_on_error=1:print_stacktrace=1
	HD_AS+=(env "LD_PRELOAD=$(gcc -print-file-name=libasan.so):$early.so"
		"ASAN_OPTIONS=detect_leaks=0:$options" "UBSAN_OPTIONS=$options")
}

# The server's program is replaced by a script in the private copy; only the server itself runs
# under valgrind, initdb's helpers do not.
variant_valgrind_wrap()
{
	local postgres=$HOTDASH_PG/bin/postgres
	[ ! -e "$postgres.real" ] || return 0
	mv "$postgres" "$postgres.real"
	cat >"$postgres" <<-SCRIPT
		#!/bin/sh
		case \$1 in
			-D) exec valgrind --quiet --leak-check=no --num-callers=30 \\
				--log-file='$HD_WATCH.%p' '$postgres.real' "\$@" ;;
			*) exec '$postgres.real' "\$@" ;;
		esac
	SCRIPT
	chmod 755 "$postgres"
}

# variant_verdict LOG: fails when a watcher reported something since the last call; the report is
# moved to the end of LOG.
variant_verdict()
{
	local report bad=0
	[ -n "$HD_VARIANT" ] || return 0
	for report in "$HD_WATCH".*; do
		[ -s "$report" ] || continue
		if [ "$HD_VARIANT" = asan ] || grep -q 'hotdash\.so' "$report"; then
			printf '\n=== report of %s\n' "$HD_VARIANT" >>"$1"
			cat "$report" >>"$1"
			bad=1
		fi
		# emptied, not removed: the process may still be writing to it
		: >"$report"
	done
	return "$bad"
}
