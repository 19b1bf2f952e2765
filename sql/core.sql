/*
 * core.sql: the schema and what every module stands on.
 *
 * Pieces are concatenated in the order that extension/pgxs.mk lists. This one
 * comes first: it guards against being run by hand and pins the search path of
 * the whole script.
 */
\echo Use "CREATE EXTENSION hotdash" to load this file. \quit

SET LOCAL search_path TO pg_catalog, pg_temp;

-- Bodies, headers and JSON are UTF-8; another encoding would break signatures.
DO $$
BEGIN
	IF (SELECT pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database
		WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) OPERATOR(pg_catalog.<>) 'UTF8'
	THEN
		RAISE EXCEPTION USING
			ERRCODE = 'feature_not_supported',
			MESSAGE = 'hotdash needs a database with encoding UTF8',
			HINT = 'Create one with CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0.';
	END IF;
END
$$;

-- Plain, so that a schema planted beforehand is an error and this one is a member.
CREATE SCHEMA hotdash;
REVOKE ALL ON SCHEMA hotdash FROM PUBLIC;
COMMENT ON SCHEMA hotdash IS 'Job queue, webhooks and operations core (extension hotdash)';

CREATE FUNCTION hotdash._now() RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'hd_clock_sql_now' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash._now() IS
	'The one clock of hotdash; hotdash.now_override moves it for tests';
REVOKE ALL ON FUNCTION hotdash._now() FROM PUBLIC;

CREATE FUNCTION hotdash._now_real() RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'hd_clock_sql_real' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._now_real() IS
	'Real time, which no setting moves: to measure how long something takes';
REVOKE ALL ON FUNCTION hotdash._now_real() FROM PUBLIC;

CREATE FUNCTION hotdash._tenant_sees(tenant text) RETURNS bool
	LANGUAGE sql STABLE PARALLEL SAFE
	AS $$ SELECT tenant OPERATOR(pg_catalog.=)
		COALESCE(NULLIF(pg_catalog.current_setting('hotdash.tenant', true), ''), tenant) $$;
COMMENT ON FUNCTION hotdash._tenant_sees(text) IS
	'Whether this session may see rows of the tenant: all, unless hotdash.tenant binds it to one';
REVOKE ALL ON FUNCTION hotdash._tenant_sees(text) FROM PUBLIC;

CREATE FUNCTION hotdash._counters() RETURNS TABLE (name text, value bigint)
	AS 'MODULE_PATHNAME', 'hd_counters_sql_list' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._counters() IS
	'Counters in shared memory, of the whole cluster, since the server started';
REVOKE ALL ON FUNCTION hotdash._counters() FROM PUBLIC;

CREATE FUNCTION hotdash.trace_new() RETURNS text
	AS 'MODULE_PATHNAME', 'hd_trace_sql_new' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash.trace_new() IS
	'A new W3C traceparent, sampled, with random trace and parent ids';
REVOKE ALL ON FUNCTION hotdash.trace_new() FROM PUBLIC;

CREATE FUNCTION hotdash.trace_child(traceparent text) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_trace_sql_child' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash.trace_child(text) IS
	'A child of a traceparent: same trace, new parent id; a new trace where it is not valid';
REVOKE ALL ON FUNCTION hotdash.trace_child(text) FROM PUBLIC;

CREATE FUNCTION hotdash.trace_current() RETURNS text
	AS 'MODULE_PATHNAME', 'hd_trace_sql_current' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash.trace_current() IS
	'The traceparent of this transaction, null when there is none';
REVOKE ALL ON FUNCTION hotdash.trace_current() FROM PUBLIC;

CREATE FUNCTION hotdash.trace_set(traceparent text) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_trace_sql_set' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.trace_set(text) IS
	'The jobs and messages of this transaction belong to a trace; null ends that';
REVOKE ALL ON FUNCTION hotdash.trace_set(text) FROM PUBLIC;

CREATE FUNCTION hotdash._trace_check(traceparent text) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_trace_sql_check' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._trace_check(text) IS 'A traceparent that is valid, as it is; 22023 for any other text';
REVOKE ALL ON FUNCTION hotdash._trace_check(text) FROM PUBLIC;

CREATE FUNCTION hotdash._trace_attempt(traceparent text, origin text, id bigint, token bigint) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_trace_sql_attempt' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._trace_attempt(text, text, bigint, bigint) IS
	'The traceparent that an attempt sends: of the trace given, else of that which belongs to the origin';
REVOKE ALL ON FUNCTION hotdash._trace_attempt(text, text, bigint, bigint) FROM PUBLIC;

CREATE FUNCTION hotdash._require_arg(value anyelement, name text) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_errors_sql_require_arg' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._require_arg(anyelement, text) IS 'Raises 22004 for a required argument that is NULL';
REVOKE ALL ON FUNCTION hotdash._require_arg(anyelement, text) FROM PUBLIC;

CREATE FUNCTION hotdash._acting_role() RETURNS name
	LANGUAGE plpgsql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RETURN coalesce(nullif(current_setting('role'), 'none'), session_user);
	END
	$$;
COMMENT ON FUNCTION hotdash._acting_role() IS 'Who asks: the role that was set, else that of the session';
REVOKE ALL ON FUNCTION hotdash._acting_role() FROM PUBLIC;

CREATE FUNCTION hotdash._core_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT l, o
		FROM unnest(ARRAY['viewer', 'producer', 'worker', 'edge', 'operator', 'admin']) AS l,
			unnest(ARRAY['hotdash._now()', 'hotdash.trace_new()', 'hotdash.trace_child(text)',
				'hotdash.trace_current()', 'hotdash.trace_set(text)']) AS o
	$$;
COMMENT ON FUNCTION hotdash._core_rights() IS 'What each access level may use of the core';
REVOKE ALL ON FUNCTION hotdash._core_rights() FROM PUBLIC;

