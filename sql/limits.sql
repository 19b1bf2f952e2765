/*
 * limits.sql: rate limits.
 */

CREATE FUNCTION hotdash._limit_take(key text, count int, period interval, algorithm text, want int,
		OUT granted bigint, OUT next_at timestamptz)
	AS 'MODULE_PATHNAME', 'hd_limits_sql_take' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash._limit_take(text, int, interval, text, int) IS
	'Take up to want units from a bucket; algorithm null: never more than count in any window. next_at: when one more fits';
REVOKE ALL ON FUNCTION hotdash._limit_take(text, int, interval, text, int) FROM PUBLIC;

