# shellcheck shell=bash
#
# lib.sh: what the rules share. Sourced. A rule prints what is wrong and ends with `verdict`; a line that
# begins with "warning:" is shown but fails nothing. Rules run by regress/check, which exports the
# variables of regress/env/lib.sh; those that need none of them can be run by hand.

set -euo pipefail
shopt -s lastpipe # so that `… | findings` counts in this shell
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export LC_ALL=C.UTF-8

FINDINGS=0

# finding TEXT...: one thing that is wrong.
finding()
{
	printf '%s\n' "$*"
	FINDINGS=$((FINDINGS + 1))
}

# findings: the same for each line of standard input.
findings()
{
	local line
	while IFS= read -r line; do
		[ -z "$line" ] || finding "$line"
	done
}

verdict()
{
	[ "$FINDINGS" -eq 0 ] || exit 1
}

need()
{
	local tool
	for tool in "$@"; do
		command -v "$tool" >/dev/null || {
			echo "$tool is not installed"
			exit 1
		}
	done
}

# Our C sources: c_files FOLDER... [-name PATTERN]
c_files()
{
	find "$@" -name '*.[ch]' -type f | sort
}

# Our scripts of one interpreter, by their first line or their name.
scripts()
{
	local interpreter=$1 suffix=$2
	find . -path ./.git -prune -o -path ./.build -prune -o -path ./edge/build -prune -o \
		-name node_modules -prune -o -type f -print | sort | while IFS= read -r file; do
		case $file in
			*."$suffix") echo "$file" ;;
			*) ! head -n 1 "$file" 2>/dev/null | grep -aqE "^#!.*[/ ]($interpreter)( |\$)" || echo "$file" ;;
		esac
	done
}
