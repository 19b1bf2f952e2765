# shellcheck shell=bash
#
# flags.sh: what the benchmarks of flags share: flags as an application has them. Sourced after lib.sh.

# flag KEY [TARGETING]: on and off, off where the rule says nothing
flag()
{
	sql -c "SELECT hotdash.flag_set('$1', jsonb_build_object('state', 'ENABLED', 'variants', '{\"on\": true, \"off\": false}'::jsonb,
		'defaultVariant', 'off')${2:+ || jsonb_build_object('targeting', \$rule\$$2\$rule\$::jsonb)})" >/dev/null
}

# Flags, history and segments of the benchmarks are gone.
forget_flags()
{
	sql -c "SELECT count(hotdash.flag_delete(key)) FROM (SELECT key FROM hotdash._flag WHERE kind = 'f' AND key LIKE 'bench%' OFFSET 0) AS f" \
		-c "DELETE FROM hotdash._flag_history WHERE key LIKE 'bench%'" >/dev/null
}

# shellcheck disable=SC2034 # of those who source this
ROLLOUT='{"fractional": [["on", 10], ["off", 90]]}'
