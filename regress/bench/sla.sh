# shellcheck shell=bash
#
# sla.sh: what the benchmarks of SLA clocks share. Sourced after lib.sh.

# Clocks, and what was counted of them.
forget_clocks()
{
	sql -c 'TRUNCATE hotdash._sla_clock, hotdash._sla_event' >/dev/null
}

# The worker scans or does not: it is at work, or another database is.
with_worker()
{
	sql -c 'ALTER SYSTEM RESET hotdash.databases' -c 'SELECT pg_reload_conf()' >/dev/null
	until_true 30 'SELECT worker_pid IS NOT NULL FROM hotdash._worker_status()'
}

without_worker()
{
	sql -c "ALTER SYSTEM SET hotdash.databases = 'none'" -c 'SELECT pg_reload_conf()' >/dev/null
	until_true 30 'SELECT worker_pid IS NULL FROM hotdash._worker_status()'
}
