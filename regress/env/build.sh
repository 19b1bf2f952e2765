# shellcheck shell=bash
#
# build.sh: fill the work folder: a private copy of PostgreSQL, the extension installed into it,
# the edge, and the readable copy of the tree. Sourced after lib.sh. Everything that is up to date is
# left alone, so a second run costs about a second. Every function returns non-zero on failure.

# PostgreSQL's programs find lib and share relative to themselves, so a copy of the three folders is
# a whole installation that needs no root and that nobody else uses. The headers are copied and not
# linked, since installing headers would follow the link. Renewed when a package changes.
build_postgres()
{
	local system=/usr/lib/postgresql/$HOTDASH_PG_MAJOR stamp
	if [ ! -x "$system/bin/postgres" ]; then
		say "PostgreSQL $HOTDASH_PG_MAJOR is not installed in $system" >&2
		return 1
	fi
	stamp=$(dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n' \
		"postgresql*-$HOTDASH_PG_MAJOR*" libpq-dev 2>/dev/null | grep ' ii' || true)
	if [ "$(cat "$HD_COPY/stamp" 2>/dev/null || true)" = "$stamp" ]; then
		return
	fi
	say "copying PostgreSQL $HOTDASH_PG_MAJOR to $HD_COPY"
	rm -rf "$HD_COPY" &&
		mkdir -p "$HD_COPY/usr/lib/postgresql" "$HD_COPY/usr/share/postgresql" "$HD_COPY/usr/include" &&
		cp -a "$system" "$HD_COPY/usr/lib/postgresql/" &&
		cp -a "/usr/share/postgresql/$HOTDASH_PG_MAJOR" "$HD_COPY/usr/share/postgresql/" &&
		cp -a /usr/include/postgresql "$HD_COPY/usr/include/" || return
	[ "${HD_VARIANT:-}" != valgrind ] || variant_valgrind_wrap || return
	printf '%s\n' "$stamp" >"$HD_COPY/stamp"
}

# quietly LOG COMMAND...: keep the output in a file, show its end only when the command fails.
quietly()
{
	local log=$1
	shift
	if ! guarded "$@" >"$log" 2>&1; then
		tail -n 40 "$log" >&2
		return 1
	fi
}

# The flags are part of the folder's name: objects built with others are never reused.
build_extension()
{
	local objects=$HOTDASH_BUILD/extension-$HOTDASH_PG_MAJOR${HD_VARIANT:+-$HD_VARIANT}
	local flags=(with_llvm=no "PG_CONFIG=$HOTDASH_PG/bin/pg_config")
	objects=$objects${HD_STRICT:+-strict}
	[ -z "${HD_STRICT:-}" ] || flags+=(WERROR=1)
	[ -z "${HD_EXTENSION_CFLAGS:-}" ] || flags+=("HOTDASH_CFLAGS=$HD_EXTENSION_CFLAGS")
	[ -z "${HD_EXTENSION_LDFLAGS:-}" ] || flags+=("HOTDASH_LDFLAGS=$HD_EXTENSION_LDFLAGS")
	mkdir -p "$objects" "$HOTDASH_BUILD/log"
	quietly "$HOTDASH_BUILD/log/build-extension.log" \
		make -C "$objects" -f "$HOTDASH_SRC/extension/pgxs.mk" "${flags[@]}" all install
}

build_edge()
{
	mkdir -p "$(dirname "$HOTDASH_EDGE")" "$HOTDASH_BUILD/log"
	quietly "$HOTDASH_BUILD/log/build-edge.log" \
		make -C "$HOTDASH_SRC/edge" "BUILD=$(dirname "$HOTDASH_EDGE")" \
		${HD_STRICT:+WERROR=1} ${HD_EDGE_SANITIZE:+"SANITIZE=$HD_EDGE_SANITIZE" OPTIMIZE='-O1 -g'} all || return
	[ "${HD_VARIANT:-}" != valgrind-edge ] || variant_valgrind_edge_wrap
}

# What tests and demo read: the tree without what git or we keep in it.
build_tree()
{
	rm -rf "$HOTDASH_TREE" || return
	mkdir -p "$HOTDASH_TREE" || return
	tar -C "$HOTDASH_SRC" --exclude=./.git --exclude=./.build --exclude=./edge/build --exclude='*.o' -cf - . |
		tar -C "$HOTDASH_TREE" --no-same-owner -xf - || return
	chmod -R u+rwX,go+rX "$HOTDASH_TREE"
}
