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
#   valgrind-edge
#             the edge under memcheck, leaks included, in those end-to-end tests that start it; every report
#             counts. An edge that a test kills cannot tell what it leaked; those that end in order do

variant_prepare()
{
	HD_WATCH=$HOTDASH_LOG/watch
	case $HD_VARIANT in
		'') ;;
		asan) variant_asan ;;
		valgrind | valgrind-edge) ;;
		*) die "there is no variant \"$HD_VARIANT\": asan, valgrind, valgrind-edge" ;;
	esac
	place_names
	rm -f "$HOTDASH_BUILD/seen"
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
			-D) exec valgrind --quiet --leak-check=no --num-callers=30 --fullpath-after= \\
				--suppressions='$HOTDASH_TREE/regress/env/valgrind.supp' \\
				--log-file='$HD_WATCH.%p' '$postgres.real' "\$@" ;;
			*) exec '$postgres.real' "\$@" ;;
		esac
	SCRIPT
	chmod 755 "$postgres"
}

# A script takes the place of the edge's program; make goes on knowing the program itself.
variant_valgrind_edge_wrap()
{
	local program=$HOTDASH_EDGE
	export HOTDASH_EDGE=${program%/*}/watched/hotdash-edge
	mkdir -p "${HOTDASH_EDGE%/*}" &&
		cat >"$HOTDASH_EDGE" <<-SCRIPT && chmod 755 "$HOTDASH_EDGE"
			#!/bin/sh
			exec valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite \
				--num-callers=30 --log-file='$HD_WATCH.%p' '$program' "\$@"
		SCRIPT
}

# variant_wants FILE: is this end-to-end test one for the variant?
variant_wants()
{
	[ "$HD_VARIANT" != valgrind-edge ] || grep -q 'start_edge' "$1"
}

# variant_verdict LOG: fails when a watcher reported something since the last call; the reports are
# added to the end of LOG.
variant_verdict()
{
	local reports
	[ -n "$HD_VARIANT" ] || return 0
	reports=$("variant_reports_$HD_VARIANT")
	[ -n "$reports" ] || return 0
	printf '\n=== %s\n%s\n' "$HD_VARIANT" "$reports" >>"$1"
	return 1
}

# The address sanitizer writes files of its own. The other one writes to standard error, which is a
# server's or an edge's log, so which lines were seen there already has to be remembered.
variant_reports_asan()
{
	local seen=$HOTDASH_BUILD/seen
	cat "$HD_WATCH".* 2>/dev/null || true
	rm -f "$HD_WATCH".*
	touch "$seen"
	{ grep -rsn --include='*.log' 'runtime error: ' "$HOTDASH_RUN" || true; } | sort >"$seen.new"
	comm -13 "$seen" "$seen.new"
	mv "$seen.new" "$seen"
}

# The file of an edge that still runs is read again with the next test.
variant_reports_valgrind-edge()
{
	cat "$HD_WATCH".* 2>/dev/null || true
	truncate -s 0 "$HD_WATCH".* 2>/dev/null || true
}

# Only blocks with a frame of ours. The files are emptied and not removed: their processes go on
# writing.
variant_reports_valgrind()
{
	local report
	for report in "$HD_WATCH".*; do
		[ -s "$report" ] || continue
		awk -v RS='==[0-9]+== \n' -v ours="$HOTDASH_SRC/extension/" \
			'index($0, ours) || index($0, "hotdash.so")' "$report"
		: >"$report"
	done
}
