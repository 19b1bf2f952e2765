/*
 * limits_client.sql: rate limits of HTTP: who a client is, and what it is told.
 */

CREATE FUNCTION hotdash.client_key(forwarded_for text DEFAULT NULL, trusted_hops int DEFAULT 1) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_limits_sql_client_key' LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash.client_key(text, int) IS
	'A client''s address as key of a limit: of X-Forwarded-For the one that trusted_hops proxies vouch for (unknown where it is none), without it or with 0 the session''s own (local on a socket); IPv6 by its /64';
REVOKE ALL ON FUNCTION hotdash.client_key(text, int) FROM PUBLIC;

CREATE FUNCTION hotdash.limit_headers(name text, key text, style text DEFAULT 'legacy') RETURNS jsonb
	AS 'MODULE_PATHNAME', 'hd_limits_sql_headers' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash.limit_headers(text, text, text) IS
	'Fields of an HTTP answer by what the limit would say now, as an object of strings; takes nothing. Style legacy: X-RateLimit-* with Reset in seconds, legacy-epoch: as a Unix time, ietf: RateLimit and RateLimit-Policy; Retry-After where not one unit fits';
REVOKE ALL ON FUNCTION hotdash.limit_headers(text, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash.limit_enforce(name text, key text, cost int DEFAULT 1) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_limits_sql_enforce' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash.limit_enforce(text, text, int) IS
	'limit_allow that raises SQLSTATE PT429 when it refuses, which PostgREST answers with 429 Too Many Requests';
REVOKE ALL ON FUNCTION hotdash.limit_enforce(text, text, int) FROM PUBLIC;
