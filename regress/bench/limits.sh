# shellcheck shell=bash
#
# limits.sh: what the benchmarks of rate limits share. Sourced after lib.sh.

# The functions of noop.c that these use.
noop_functions()
{
	local library=$RAW/noop.so
	cc -O2 -shared -fPIC -I"$("$HOTDASH_PG/bin/pg_config" --includedir-server)" -o "$library" "$HERE/noop.c"
	chmod 755 "$library"
	PGOPTIONS='-c client_min_messages=error' sql >/dev/null <<-SQL
		CREATE SCHEMA IF NOT EXISTS bench;
		CREATE OR REPLACE FUNCTION bench.allow(name text, key text, cost int DEFAULT 1) RETURNS bool
			LANGUAGE c VOLATILE AS '$library', 'noop_true';
		CREATE OR REPLACE FUNCTION bench.take(name text, key text, cost int DEFAULT 1, OUT allowed bool, OUT quota int,
			OUT remaining int, OUT retry_after float8, OUT reset_after float8)
			LANGUAGE c VOLATILE AS '$library', 'noop_null';
		CREATE OR REPLACE FUNCTION bench.touch(megabytes int, key text) RETURNS bool
			LANGUAGE c VOLATILE AS '$library', 'noop_touch';
		CREATE OR REPLACE FUNCTION bench.latencies(function regprocedure, name text, first int, n int) RETURNS int[]
			LANGUAGE c VOLATILE AS '$library', 'noop_latencies';
	SQL
}

# A limit whose keys stay in debt and are granted all that is asked, one for a single key, and one that refuses.
set_limits()
{
	sql -c "SELECT hotdash.limit_set('bench', 10000, '1 day', durability => 'none'),
		hotdash.limit_set('bench-hot', 2000000000, '1 s', durability => 'none'),
		hotdash.limit_set('bench-shut', 1, '10000 days', durability => 'none')" >/dev/null
}

forget_limits()
{
	sql -c "SELECT hotdash.limit_delete(name) FROM (SELECT name FROM hotdash._limit WHERE name LIKE 'bench%' OFFSET 0) AS l" >/dev/null
}
