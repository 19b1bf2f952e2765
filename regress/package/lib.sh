# shellcheck shell=bash
#
# lib.sh: what the packaging tests share. Sourced. Each gets an empty scratch folder in $scratch that is
# removed when it ends well, and the PG_CONFIG of the private copy in $pg_config.

set -euo pipefail

pg_config=$HOTDASH_PG/bin/pg_config
scratch=$HOTDASH_BUILD/package/$(basename "$0")
rm -rf "$scratch"
mkdir -p "$scratch"

fail()
{
	printf '%s\n' "$*"
	exit 1
}

# The installed files of a DESTDIR, relative, in order.
installed()
{
	(cd "$1" && find . -type f | sort)
}

# What a complete installation is: the library, the control file, the script, the sample settings.
expect_installation()
{
	local root=$1 version name
	version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" "$HOTDASH_SRC/control/hotdash.control")
	for name in "$("$pg_config" --pkglibdir)/hotdash.so" \
		"$("$pg_config" --sharedir)/extension/hotdash.control" \
		"$("$pg_config" --sharedir)/extension/hotdash--$version.sql" \
		"$("$pg_config" --sharedir)/extension/hotdash.conf.sample"; do
		[ -s "$root$name" ] || fail "not installed: $name"
	done
}
