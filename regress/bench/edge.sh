# shellcheck shell=bash
#
# edge.sh: what the parts about webhooks share: the receiver, edges, and the receiver's log as a table.
# Sourced by them in place of lib.sh, which it sources. What is started ends with the part.

source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

WORK=$(mktemp -d)
EDGES=()
RECEIVER=
trap clean_up EXIT

clean_up()
{
	{ kill -KILL ${EDGES[@]+"${EDGES[@]}"} ${RECEIVER:+"$RECEIVER"} && wait; } 2>/dev/null || true
	rm -rf "$WORK"
}

# receiver SEED: starts one, whose random behaviour follows from the seed; sets URL
receiver()
{
	[ -x "$WORK/receiver" ] || cc -O2 -Wall -Wextra -o "$WORK/receiver" "$HERE/receiver.c"
	: >"$WORK/port"
	"$WORK/receiver" "$WORK/log" "$1" >"$WORK/port" &
	RECEIVER=$!
	until [ -s "$WORK/port" ]; do sleep 0.02; done
	URL=http://127.0.0.1:$(cat "$WORK/port")
}

# received: how many requests there have been
received()
{
	echo $(($(curl -s "$URL/count")))
}

# seen: ends the receiver; what it has seen is in table bench.seen from then on
seen()
{
	kill -TERM "$RECEIVER"
	wait "$RECEIVER"
	RECEIVER=
	sql <<-SQL
		SET client_min_messages = warning;
		DROP TABLE IF EXISTS bench.seen;
		CREATE UNLOGGED TABLE bench.seen (message text, path text, key int, n bigint, status int,
			begun bigint, ended bigint, not_before bigint, form text);
		\\copy bench.seen FROM '$WORK/log'
		ANALYZE bench.seen;
	SQL
}

# edge NAME [SETTING...]: starts one; its process id is the last of EDGES
edge()
{
	local name=$1
	shift
	HOTDASH_EDGE_LOG_LEVEL=warning "$HOTDASH_EDGE" --database "dbname=$PGDATABASE" --allow_addresses 127.0.0.0/8 \
		--name "$name" "$@" 2>>"$RAW/edge.log" &
	EDGES+=($!)
}

# Not before the edges wait for work, which is how production finds them.
edges_wait()
{
	until_true 30 "SELECT count(*) = ${#EDGES[@]} FROM pg_stat_activity
		WHERE query LIKE 'CALL hotdash.edge_wait%' AND wait_event_type = 'Extension'"
}

stop_edges()
{
	local pid
	for pid in ${EDGES[@]+"${EDGES[@]}"}; do
		kill -TERM "$pid"
		wait "$pid" || true
	done
	EDGES=()
}

# The backends that serve edges.
edge_backends()
{
	sql -c "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'hotdash-edge%'"
}

# delivered SECONDS: waits until nothing is left to be delivered. Of the queue, so that looking costs nothing.
delivered()
{
	until_true "$1" "SELECT NOT EXISTS (SELECT FROM hotdash._job WHERE queue = 'webhooks')"
}

# forget: no endpoint, no message, nothing that waits. Parts before may have emptied the table of jobs under the
# list's feet, after which flows with a concurrency wait until no lease of before can be out: not for that are we
# here, so wait it out.
forget()
{
	sql -c "SELECT count(hotdash.job_cancel(id)) FROM hotdash._job WHERE queue = 'webhooks'" >/dev/null
	forget_tables
	sql -c "SELECT hotdash.endpoint_create('http://127.0.0.1:1/', events => ARRAY['bench.settled'], concurrency => 1)" \
		-c "SELECT hotdash.event_publish('bench.settled', '{}')" >/dev/null
	until_true 120 "SELECT count(*) = 1 FROM ($(report_of 1 200)) AS done"
	forget_tables
}

# report_of N STATUS: the query that claims up to N requests and reports that they were answered so
report_of()
{
	cat <<-SQL
		SELECT done.* FROM (SELECT coalesce(jsonb_agg(jsonb_build_object('id', id::text, 'token', token::text, 'class', 'http',
				'status', $2, 'sent', true)), '[]') AS results FROM hotdash.edge_claim('bench', $1)) AS claimed,
			hotdash.edge_report('bench', claimed.results) AS done
	SQL
}

forget_tables()
{
	sql -c 'TRUNCATE hotdash._endpoint, hotdash._endpoint_option, hotdash._endpoint_key, hotdash._endpoint_health, hotdash._message,
		hotdash._delivery, hotdash._delivery_attempt, hotdash._job_flow CASCADE' >/dev/null
}

# line NAME VALUE...: a line of figures
line()
{
	local name=$1
	shift
	printf '  %-44s' "$name"
	printf ' %10s' "$@"
	printf '\n'
}

# shellcheck disable=SC2034 # of those who source this
PUBLISHED='SET client_min_messages = warning; CREATE SCHEMA IF NOT EXISTS bench; DROP TABLE IF EXISTS bench.published;
	CREATE UNLOGGED TABLE bench.published (message text, at timestamptz)'

# publish_stamped RATE SECONDS FIRST LAST: an event a commit, of a type bench.I with I between the two at random; the
# moments after the commits are in bench.published. Several statements in one message need the simple protocol.
publish_stamped()
{
	pgbench -n -M simple -c 4 -T "$2" -R "$1" -D first="$3" -D last="$4" -f "$HERE/webhooks_publish.pgbench" \
		>"$RAW/webhooks-publish.out" 2>&1
}

# latencies CONDITION: how many, p50, p99 and the most, in ms, from commit to the first byte of the first request
latencies()
{
	sql -F ' ' -c "
		WITH first AS (SELECT DISTINCT ON (message) message, path, n, begun FROM bench.seen ORDER BY message, begun),
			took AS (SELECT round(f.begun / 1000.0 - extract(epoch FROM p.at) * 1000, 3) AS ms
				FROM bench.published AS p JOIN first AS f USING (message) WHERE $1)
		SELECT count(*), percentile_disc(0.5) WITHIN GROUP (ORDER BY ms), percentile_disc(0.99) WITHIN GROUP (ORDER BY ms),
			max(ms) FROM took"
}

# A port that is free on 127.0.0.1 now
free_port()
{
	perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1", LocalPort => 0)->sockport'
}
