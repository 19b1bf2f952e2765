/*
 * limits.sql: rate limits.
 */

CREATE FUNCTION hotdash._limit_take(key text, count int, period interval, algorithm text, want int,
		whole bool DEFAULT false, OUT granted bigint, OUT remaining bigint, OUT retry_at timestamptz,
		OUT next_at timestamptz, OUT reset_at timestamptz)
	AS 'MODULE_PATHNAME', 'hd_limits_sql_take' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash._limit_take(text, int, interval, text, int, bool) IS
	'Take up to want units from a bucket, or all of them or none; algorithm gcra, log, or null: never more than count in any window. When want units fit, one more, all';
REVOKE ALL ON FUNCTION hotdash._limit_take(text, int, interval, text, int, bool) FROM PUBLIC;

CREATE FUNCTION hotdash._limit_refund(key text, count int, period interval, algorithm text, n int,
		taken_at timestamptz) RETURNS bigint
	AS 'MODULE_PATHNAME', 'hd_limits_sql_refund' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash._limit_refund(text, int, interval, text, int, timestamptz) IS
	'Give back units that were taken and not used; how many the bucket took back';
REVOKE ALL ON FUNCTION hotdash._limit_refund(text, int, interval, text, int, timestamptz) FROM PUBLIC;

