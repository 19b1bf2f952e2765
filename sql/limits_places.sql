/*
 * limits_places.sql: places of rate limits: how many hold one at a time.
 *
 * Places are in shared memory (extension/limits/places.c) and belong to sessions.
 */

CREATE FUNCTION hotdash.limit_acquire(name text, key text) RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_limits_sql_acquire' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash.limit_acquire(text, text) IS
	'Takes one of the limit''s count places for the key, if one is free, and says whether; this session holds it until limit_release, DISCARD ALL or its end, and ROLLBACK changes nothing';
REVOKE ALL ON FUNCTION hotdash.limit_acquire(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash.limit_release(name text, key text) RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_limits_sql_release' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash.limit_release(text, text) IS
	'Gives back a place that this session holds for the key, or if it holds none, the oldest of another session of the same user; false when there is none';
REVOKE ALL ON FUNCTION hotdash.limit_release(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._limit_places(OUT name text, OUT key text, OUT pid int, OUT since timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'hd_limits_sql_places' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._limit_places() IS 'The places of limits that sessions of this database hold';
REVOKE ALL ON FUNCTION hotdash._limit_places() FROM PUBLIC;

CREATE VIEW hotdash.limit_places WITH (security_invoker = true) AS
	SELECT p.name, p.key, p.pid, p.since FROM hotdash._limit_places() AS p;
COMMENT ON VIEW hotdash.limit_places IS
	'Who holds places of limits: process pid since a time; a key beyond 100 bytes is cut and ends with an ellipsis';
REVOKE ALL ON hotdash.limit_places FROM PUBLIC;
