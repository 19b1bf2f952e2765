# shellcheck shell=bash
#
# lib.sh: what the parts of the benchmark share. Sourced by run and by the parts that are files of
# their own, which run starts once the queue bench stands.
#
# measure runs pgbench and prints one line: rate, latency, ratio to a rate of the same run, WAL and
# transaction ids a job. goal says what is wanted and what came out; run repeats all of them at the end.

set -euo pipefail

# shellcheck disable=SC2034 # of those who source this
HERE=$(dirname "${BASH_SOURCE[0]}")
SECONDS_EACH=${BENCH_SECONDS:-8}
CLIENTS=${BENCH_CLIENTS:-8}
RAW=$HOTDASH_LOG/bench
GOALS=$RAW/goals
mkdir -p "$RAW"

sql()
{
	psql -XAtq -v ON_ERROR_STOP=1 "$@"
}

# sum EXPRESSION: awk's arithmetic
sum()
{
	awk "BEGIN { printf \"%.${2:-2}f\", $1 }"
}

heading()
{
	printf '\n%s\n' "$*"
	printf '  %-44s %10s %9s %9s %8s %9s %9s\n' '' per/s 'p50 ms' 'p99 ms' ratio 'WAL B/job' xids/job
}

# goal WHAT WANTED GOT CONDITION: the condition is awk's
goal()
{
	local verdict=missed
	if awk "BEGIN { exit !($4) }"; then
		verdict=reached
	fi
	printf '  goal: %s: %s; %s: %s\n' "$1" "$2" "$3" "$verdict" | tee -a "$GOALS"
}

# time_row TABLE ROWS RUNS EXPRESSION NOOP: what an expression costs a row of a table of so many rows, beside one that
# does nothing; the median of RUNS, taken in turns, of one session. Nanoseconds of both, and of the difference.
time_row()
{
	sql -v table="$1" -v rows="$2" -v runs="$3" -v with="$4" -v without="$5" <<-'SQL'
		SET max_parallel_workers_per_gather = 0;
		SET jit = off;
		SELECT set_config('bench.with', :'with', false), set_config('bench.without', :'without', false), set_config('bench.table', :'table', false),
			set_config('bench.runs', :'runs', false), set_config('bench.rows', :'rows', false) \g /dev/null
		CREATE TEMPORARY TABLE took (run int, what text, ns float8);
		DO $$
		DECLARE
			began timestamptz;
			what text;
		BEGIN
			FOR run IN 0 .. current_setting('bench.runs')::int LOOP
				FOREACH what IN ARRAY ARRAY['without', 'with'] LOOP
					began := clock_timestamp();
					EXECUTE format('SELECT count(%s) FROM %s', current_setting('bench.' || what), current_setting('bench.table'));
					-- the first of each finds nothing in memory
					INSERT INTO took SELECT run, what, extract(epoch FROM clock_timestamp() - began) * 1e9 / current_setting('bench.rows')::int WHERE run > 0;
				END LOOP;
			END LOOP;
		END
		$$;
		SELECT concat_ws(' ', round(percentile_cont(0.5) WITHIN GROUP (ORDER BY w.ns)::numeric, 1), round(percentile_cont(0.5) WITHIN GROUP (ORDER BY n.ns)::numeric, 1),
			round(percentile_cont(0.5) WITHIN GROUP (ORDER BY w.ns - n.ns)::numeric, 1))
		FROM took AS w JOIN took AS n USING (run) WHERE w.what = 'with' AND n.what = 'without';
	SQL
}

# percentiles CONDITION FILE...: p50, p99 and mean of the lines of pgbench's transaction logs for which awk's
# condition holds ($1 client, $2 number of its transaction, $5 second of its end), in milliseconds
percentiles()
{
	local condition=$1
	shift
	cat "$@" | awk "$condition { print \$3 }" | sort -n | awk '
		{ v[NR] = $1; all += $1 }
		END {
			if (NR == 0) { print "- - -"; exit }
			high = int(NR * 0.99) + 1
			if (high > NR) high = NR
			printf "%.3f %.3f %.3f\n", v[int((NR + 1) / 2)] / 1000, v[high] / 1000, all / NR / 1000
		}'
}

# run_pgbench SLUG ARGUMENT...: its output stays in RAW, its transaction logs until drop_logs
run_pgbench()
{
	local slug=$1
	shift
	pgbench -n -l --log-prefix="$RAW/$slug" "$@" >"$RAW/$slug.out" 2>&1 || {
		cat "$RAW/$slug.out" >&2
		return 1
	}
}

drop_logs()
{
	rm -f "$RAW/$1".[0-9]*
}

# measure NAME JOBS-PER-TRANSACTION BASE PGBENCH-ARGUMENT...: one line; sets RATE, RATIO, P50, P99, MEAN. BASE
# is the rate that the ratio is against, 0 for none. What the caller may set: LENGTH, pgbench's -T or -t;
# COUNT, a query whose growth is the number of jobs, where transactions may find less than they ask for;
# LOGGED, a condition of percentiles.
measure()
{
	local name=$1 per=$2 base=$3
	shift 3
	local slug=${name//[^a-z0-9_]/-} lsn xid before=0 tps n jobs
	rm -f "$RAW/$slug".*
	sql -c 'CHECKPOINT'
	[ -z "${COUNT:-}" ] || before=$(sql -c "$COUNT")
	lsn=$(sql -c 'SELECT pg_current_wal_lsn()')
	xid=$(sql -c 'SELECT pg_snapshot_xmax(pg_current_snapshot())')
	# shellcheck disable=SC2086 # an option and its value
	run_pgbench "$slug" -M prepared ${LENGTH:--T $SECONDS_EACH} "$@"
	local wal xids
	wal=$(sql -c "SELECT pg_current_wal_lsn() - '$lsn'")
	xids=$(sql -c "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - $xid")
	tps=$(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$RAW/$slug.out")
	n=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$RAW/$slug.out")
	jobs=$((n * per))
	[ -z "${COUNT:-}" ] || jobs=$(($(sql -c "$COUNT") - before))
	# shellcheck disable=SC2034 # MEAN is for those who source this
	read -r P50 P99 MEAN < <(percentiles "${LOGGED:-1}" "$RAW/$slug".[0-9]*)
	drop_logs "$slug"
	RATE=$(sum "$jobs * $tps / $n" 0)
	RATIO=-
	[ "$base" -eq 0 ] || RATIO=$(sum "$RATE / $base")
	printf '  %-44s %10d %9s %9s %8s %9.0f %9.2f\n' "$name" "$RATE" "$P50" "$P99" "$RATIO" \
		"$(sum "$wal / $jobs")" "$(sum "$xids / $jobs" 4)"
}

# plain_insert: the base that others are compared with, measured once a run; sets PLAIN
plain_insert()
{
	if [ -z "${PLAIN:-}" ]; then
		measure 'plain insert' 1 0 -c "$CLIENTS" -f "$HERE/insert.pgbench"
		PLAIN=$RATE
	fi
}

# fill N: jobs that are ready
fill()
{
	sql -c "SELECT count(*) FROM unnest(hotdash.job_enqueue_many('bench',
		array_fill('{\"order\": 123456, \"to\": \"someone@example.com\"}'::jsonb, ARRAY[$1])))" >/dev/null
}

# copies N TABLE CONDITION SET [ID]: N rows like each of those rows t of the table; SET is what of them differs, as
# (column, expression of i) after a comma; ID is the expression of column id, a new id of a job without it
copies()
{
	sql <<-SQL >/dev/null
		SELECT format('INSERT INTO $2 (%s) SELECT %s FROM $2 AS t, generate_series(1, $1) AS i WHERE %s',
			string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
			string_agg(coalesce(changed.expression, 't.' || quote_ident(a.attname)), ', ' ORDER BY a.attnum), \$condition\$$3\$condition\$)
		FROM pg_attribute AS a LEFT JOIN (VALUES ('id', \$id\$${5:-nextval('hotdash._job_id')}\$id\$) $4) AS changed (attname, expression)
			ON changed.attname = a.attname
		WHERE a.attrelid = '$2'::regclass AND a.attnum > 0 AND NOT a.attisdropped
		\gexec
	SQL
}

# Everything of before is gone, from memory too.
empty()
{
	sql -c "TRUNCATE hotdash._job, hotdash._job_dead, hotdash._job_history, bench.plain" -c 'VACUUM' \
		-c 'SELECT hotdash._job_reload()' >/dev/null
	sql -c "SELECT count(*) FROM hotdash.job_claim(NULL, 10000)" >/dev/null
}

# ticks PID...: user and system time so far, in clock ticks; those that are gone count as nothing
ticks()
{
	local pid total=0 one
	for pid in "$@"; do
		one=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | awk '{ print $12 + $13 }') || continue
		total=$((total + ${one:-0}))
	done
	echo "$total"
}

# until_true SECONDS QUERY: ask until it says t
until_true()
{
	local deadline=$((SECONDS + $1))
	until [ "$(sql -c "$2")" = t ]; do
		if [ "$SECONDS" -ge "$deadline" ]; then
			echo "not within $1 s: $2" >&2
			return 1
		fi
		sleep 0.05
	done
}

# without_autovacuum / with_autovacuum: where it would count what it does, or see what shall be stale
without_autovacuum()
{
	sql -c 'ALTER SYSTEM SET autovacuum = off' -c 'SELECT pg_reload_conf()' >/dev/null
	until_true 10 "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type LIKE 'autovacuum%')"
}

with_autovacuum()
{
	sql -c 'ALTER SYSTEM RESET autovacuum' -c 'SELECT pg_reload_conf()' >/dev/null
}

# restarted_with SETTING...: the server is started anew with settings such as "shared_buffers = '1GB'"; those that have
# no value are as they were.
restarted_with()
{
	local setting
	for setting in "$@"; do
		case $setting in
			*=*) sql -c "ALTER SYSTEM SET $setting" ;;
			*) sql -c "ALTER SYSTEM RESET $setting" ;;
		esac
	done
	pg_ctl restart -w -s -t 60 -m fast -D "$(sql -c 'SHOW data_directory')" -l "$HOTDASH_LOG/server.log" >/dev/null
}
