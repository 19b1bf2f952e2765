# shellcheck shell=bash
#
# lib.sh: what every script of the private test environment stands on. It is sourced, never run.
#
# The model. All that is built, run or logged lives in one work folder, HOTDASH_BUILD (.build in the
# checkout unless the caller names another). Whoever calls `make` builds; PostgreSQL and everything
# that talks to it runs as the *server user*: the caller, or, because PostgreSQL refuses root, the
# system user postgres (else nobody) when the caller is root. The server user may be unable to read
# the checkout, so tests run from a copy of the tree inside the work folder, and where even that is out
# of its reach (a checkout below a folder of mode 700) the work folder moves to /var/tmp.
#
# Exported to tests, the demo and the benchmarks, all absolute paths:
#   HOTDASH_BUILD     the work folder                     HOTDASH_TREE  the readable copy of the tree
#   HOTDASH_RUN       a folder the server user may write  HOTDASH_LOG   the logs, below HOTDASH_RUN
#   HOTDASH_PG_MAJOR  15, unless the caller says else     HOTDASH_PG    bin's parent of the private copy
#   HOTDASH_EDGE      the edge's program                  PG_REGRESS, PERL5LIB, PATH as TAP tests need
#   TMPDIR            short, the server user's, removed at the end
# and while the private server runs: PGHOST, PGPORT, PGUSER, PGDATABASE.
#
# Caveats: one run at a time in one work folder (a lock refuses the second); any number in different
# ones.

set -euo pipefail
umask 022

HOTDASH_SRC=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
HOTDASH_PG_MAJOR=${HOTDASH_PG_MAJOR:-15}
HD_SHARED_TMP=/var/tmp
export HOTDASH_PG_MAJOR

say()
{
	printf '%s\n' "$*"
}

die()
{
	printf 'hotdash: %s\n' "$*" >&2
	exit 1
}

is_root()
{
	[ "$(id -u)" -eq 0 ]
}

# Only root has to become somebody else; the name is asked for late, since installing PostgreSQL
# is what creates the user.
server_user()
{
	if ! is_root; then
		id -un
	elif getent passwd postgres >/dev/null; then
		echo postgres
	else
		echo nobody
	fi
}

# as_server COMMAND...: run as the server user, in a folder it can read. setpriv and env execute the
# command in place, so signals and process groups stay as they are.
HD_AS=()
as_server()
{
	"${HD_AS[@]}" "$@" 9>&-
}

as_server_prepare()
{
	HD_AS=(env -C "$HOTDASH_RUN")
	if is_root; then
		local user
		user=$(server_user)
		HD_AS=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --init-groups --
			env -C "$HOTDASH_RUN" "HOME=$HOTDASH_RUN" "USER=$user" "LOGNAME=$user")
	fi
}

# guarded [-t SECONDS] COMMAND...: in the background and waited for, because only so does bash
# answer a signal at once; guard passes it on to the whole group of the command.
declare -A HD_GUARDS=()
guarded()
{
	local status=0
	guarded_start "$@"
	wait "$HD_GUARD" || status=$?
	unset "HD_GUARDS[$HD_GUARD]"
	return "$status"
}

# guarded_start [-t SECONDS] COMMAND...: the same without waiting; HD_GUARD is the process to wait for, and
# whoever has waited takes it out of HD_GUARDS.
HD_GUARD=
guarded_start()
{
	perl "$HOTDASH_SRC/regress/env/guard" "$@" 9>&- &
	HD_GUARD=$!
	HD_GUARDS[$HD_GUARD]=1
}

# Called by signal handlers: end what is running and wait until it is gone.
guarded_stop()
{
	[ ${#HD_GUARDS[@]} -gt 0 ] || return 0
	kill -TERM "${!HD_GUARDS[@]}" 2>/dev/null || true
	wait "${!HD_GUARDS[@]}" 2>/dev/null || true
	HD_GUARDS=()
}

# place_reachable FOLDER: can the server user enter it?
place_reachable()
{
	is_root || return 0
	local user
	user=$(server_user)
	setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups -- \
		env -C "$1" true 2>/dev/null
}

# A predictable name below /var/tmp could be planted by another user, so the folder's name is
# random and remembered inside the checkout's own .build, which only the caller can write.
place_elsewhere()
{
	local note=$1/elsewhere place=
	[ ! -r "$note" ] || place=$(cat "$note")
	if [ -z "$place" ] || [ -L "$place" ] || [ ! -O "$place" ] || [ ! -d "$place" ]; then
		place=$(mktemp -d "$HD_SHARED_TMP/hotdash-XXXXXX")
		chmod 755 "$place"
		printf '%s\n' "$place" >"$note"
		say "user $(server_user) cannot reach $1, so the work folder is $place" \
			"(\`make clean\` removes it)"
	fi
	HOTDASH_BUILD=$place
}

# Set while the work folder is locked by this run: what runs from it is then ours to end (server.sh).
# shellcheck disable=SC2034
HD_PLACE_MINE=

# Choose, create and lock the work folder; export the names that depend on it.
place_open()
{
	local asked=${HOTDASH_BUILD:-$HOTDASH_SRC/.build}
	mkdir -p "$asked" 2>/dev/null ||
		die "cannot create $asked: set HOTDASH_BUILD to a folder that $(id -un) can write"
	[ -w "$asked" ] || die "$asked belongs to $(stat -c %U "$asked"): remove it, or set" \
		"HOTDASH_BUILD to a folder that $(id -un) can write"
	HOTDASH_BUILD=$(cd "$asked" && pwd -P)
	place_reachable "$HOTDASH_BUILD" || place_elsewhere "$HOTDASH_BUILD"

	exec 9>>"$HOTDASH_BUILD/lock"
	flock -n 9 || die "another run is using $HOTDASH_BUILD: wait for it," \
		"or set HOTDASH_BUILD to another folder"
	# shellcheck disable=SC2034
	HD_PLACE_MINE=1

	HOTDASH_TREE=$HOTDASH_BUILD/tree
	HOTDASH_RUN=$HOTDASH_BUILD/run
	HOTDASH_LOG=$HOTDASH_RUN/log
	mkdir -p "$HOTDASH_LOG"
	if is_root; then
		chown "$(server_user):$(id -g "$(server_user)")" "$HOTDASH_RUN" "$HOTDASH_LOG"
	fi
	as_server_prepare
	place_tmp
	place_names
}

# Temporary files and sockets: a folder with a short name, since that of a socket may have 107 bytes;
# `leave` removes it with all that a killed test left in it.
HD_TMP=
place_tmp()
{
	HD_TMP=$(mktemp -d /tmp/hotdash.XXXXXX)
	if is_root; then
		chown "$(server_user)" "$HD_TMP"
	fi
	TMPDIR=$HD_TMP
	export TMPDIR
}

# The names that depend on which private copy of PostgreSQL is in use.
place_names()
{
	HD_COPY=$HOTDASH_BUILD/pg$HOTDASH_PG_MAJOR${HD_VARIANT:+-$HD_VARIANT}
	HOTDASH_PG=$HD_COPY/usr/lib/postgresql/$HOTDASH_PG_MAJOR
	HOTDASH_EDGE=$HOTDASH_BUILD/edge${HD_VARIANT:+-$HD_VARIANT}${HD_STRICT:+-strict}/hotdash-edge
	HD_PG_TEST=$HOTDASH_PG/lib/pgxs/src/test
	PG_REGRESS=$HD_PG_TEST/regress/pg_regress
	PERL5LIB=$HD_PG_TEST/perl:$HOTDASH_TREE/regress/e2e
	case ":$PATH:" in
		*":$HOTDASH_PG/bin:"*) ;;
		*) PATH=$HOTDASH_PG/bin:$PATH ;;
	esac
	LC_ALL=C.UTF-8
	export HOTDASH_BUILD HOTDASH_SRC HOTDASH_TREE HOTDASH_RUN HOTDASH_LOG HOTDASH_PG HOTDASH_EDGE \
		PG_REGRESS PERL5LIB PATH LC_ALL
	unset PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGPASSWORD PGPASSFILE PGSERVICE PGOPTIONS \
		PGDATA PGSSLMODE PGCLIENTENCODING PGTZ
}

# End, by process id, whatever still runs from the programs inside the work folder. The lock is
# ours, so these can only be leftovers of this run or of one that was killed.
sweep()
{
	local exe pid signal
	for signal in INT KILL; do
		for pid in $(sweep_list); do
			exe=$(readlink "/proc/$pid/exe" || true)
			say "ending a leftover process: $pid (${exe##*/})" >&2
			kill -s "$signal" "$pid" 2>/dev/null || true
		done
		for _ in $(seq 50); do
			[ -n "$(sweep_list)" ] || return 0
			sleep 0.1
		done
	done
}

sweep_list()
{
	local dir exe
	for dir in /proc/[0-9]*; do
		exe=$(readlink "$dir/exe" 2>/dev/null || true)
		case ${exe% (deleted)} in
			"$HOTDASH_BUILD"/pg*/bin/* | "$HOTDASH_BUILD"/edge*) echo "${dir#/proc/}" ;;
		esac
	done
}
