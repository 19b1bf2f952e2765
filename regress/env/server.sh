# shellcheck shell=bash
#
# server.sh: the private server: a fresh cluster on the private copy, on a socket in a folder of its
# own, gone afterwards. Sourced after lib.sh.
#
# Settings of the caller: HOTDASH_FSYNC=on (default off: the data lives for minutes),
# HOTDASH_LISTEN=1 (also 127.0.0.1, for clients that speak only TCP), HOTDASH_CONF=FILE (appended to
# postgresql.conf, last word wins).

HD_SOCKETS=
HD_DATA=

# Ask the kernel for a port that is free on the loopback now. The port also names the socket file,
# but its folder is our own, so only with HOTDASH_LISTEN=1 can anybody take it before we do.
free_port()
{
	perl -MIO::Socket::INET -e '
		my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1", LocalPort => 0)
			or die "no free port: $!\n";
		print $s->sockport;'
}

server_settings()
{
	cat <<-SETTINGS
		port = $PGPORT
		unix_socket_directories = '$HD_SOCKETS'
		listen_addresses = '${HOTDASH_LISTEN:+127.0.0.1}'
		shared_preload_libraries = 'pg_cron,hotdash'
		cron.database_name = '$PGDATABASE'
		cron.use_background_workers = on
		fsync = ${HOTDASH_FSYNC:-off}
		max_connections = 200
		max_worker_processes = 32
		max_prepared_transactions = 20
		max_wal_senders = 4
		jit = off
		timezone = 'UTC'
		log_line_prefix = '%m [%p] %q%u@%d %a '
		log_checkpoints = off
	SETTINGS
}

# Initialise, configure, start; export how to connect. Non-zero when it fails.
server_start()
{
	PGDATABASE=hotdash
	HD_DATA=$HOTDASH_RUN/data
	rm -rf "$HD_DATA"
	HD_SOCKETS=$(as_server mktemp -d "$TMPDIR/server.XXXXXX")
	PGHOST=$HD_SOCKETS
	PGPORT=$(free_port)
	PGUSER=postgres
	export PGHOST PGPORT PGUSER PGDATABASE

	as_server initdb -D "$HD_DATA" -U postgres -A trust -N -E UTF8 --locale=C.UTF-8 \
		>"$HOTDASH_LOG/initdb.log" 2>&1 || {
		cat "$HOTDASH_LOG/initdb.log" >&2
		return 1
	}
	server_settings >"$HOTDASH_BUILD/postgresql.conf"
	[ -z "${HOTDASH_CONF:-}" ] || cat "$HOTDASH_CONF" >>"$HOTDASH_BUILD/postgresql.conf"
	as_server tee -a "$HD_DATA/postgresql.conf" <"$HOTDASH_BUILD/postgresql.conf" >/dev/null
	# the variable switches on the cluster-wide test clock, which no other server accepts
	as_server env HOTDASH_TEST_CLUSTER=1 pg_ctl start -w -t 60 -s -D "$HD_DATA" \
		-l "$HOTDASH_LOG/server.log" || {
		tail -n 20 "$HOTDASH_LOG/server.log" >&2
		return 1
	}
	as_server createdb "$PGDATABASE"
}

# Safe to call at any time and more than once.
server_stop()
{
	if [ -n "$HD_DATA" ] && [ -f "$HD_DATA/postmaster.pid" ]; then
		as_server pg_ctl stop -w -t 30 -s -m fast -D "$HD_DATA" >/dev/null 2>&1 ||
			as_server pg_ctl stop -w -t 10 -s -m immediate -D "$HD_DATA" >/dev/null 2>&1 || true
	fi
	[ -z "$HD_DATA" ] || rm -rf "$HD_DATA"
	[ -z "$HD_SOCKETS" ] || rm -rf "$HD_SOCKETS"
	HD_DATA=
	HD_SOCKETS=
}

# One way out for success, failure and ctrl-C. Set by the scripts that start things:
#     trap 'leave $?' EXIT;  trap 'exit 130' INT;  trap 'exit 143' TERM HUP
leave()
{
	trap '' INT TERM HUP
	set +e
	guarded_stop
	server_stop
	[ -z "$HD_PLACE_MINE" ] || sweep
	[ -z "$HD_TMP" ] || rm -rf "$HD_TMP"
	exit "$1"
}
