/*
 * jobs_own.sql: jobs that are the server's own (extension/jobs/own.h).
 *
 * No level may call these; functions that check who asks for what do.
 */

CREATE FUNCTION hotdash._job_enqueue(kind text, payload jsonb DEFAULT NULL, queue text DEFAULT NULL,
	priority int DEFAULT NULL, run_at timestamptz DEFAULT NULL, max_attempts int DEFAULT NULL,
	unique_key text DEFAULT NULL, if_exists text DEFAULT NULL, order_key text DEFAULT NULL,
	tenant text DEFAULT NULL, after bigint[] DEFAULT NULL, needs_approval bool DEFAULT NULL,
	tags text[] DEFAULT NULL, options jsonb DEFAULT NULL)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_enqueue_own' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_enqueue IS
	'job_enqueue of kinds, queues and flows that are the server''s own';
REVOKE ALL ON FUNCTION hotdash._job_enqueue FROM PUBLIC;

CREATE FUNCTION hotdash._job_enqueue_many(kind text, payloads jsonb[], queue text DEFAULT NULL,
	priority int DEFAULT NULL, run_at timestamptz DEFAULT NULL, max_attempts int DEFAULT NULL,
	unique_keys text[] DEFAULT NULL, order_keys text[] DEFAULT NULL, tenant text DEFAULT NULL,
	tags text[] DEFAULT NULL, options jsonb DEFAULT NULL)
	RETURNS bigint[]
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_enqueue_many_own' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_enqueue_many IS
	'job_enqueue_many of kinds, queues and flows that are the server''s own';
REVOKE ALL ON FUNCTION hotdash._job_enqueue_many FROM PUBLIC;

CREATE FUNCTION hotdash._job_token_given(id bigint, token bigint) RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_token_given' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_token_given(bigint, bigint) IS
	'Whether a job may have been claimed under a token, now or before; not whether the token is still good';
REVOKE ALL ON FUNCTION hotdash._job_token_given(bigint, bigint) FROM PUBLIC;

CREATE FUNCTION hotdash._job_refuse_own(kind text, queue text) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_own_refuse' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._job_refuse_own(text, text) IS
	'Raises 42501 for a kind or a queue that is the server''s own';
REVOKE ALL ON FUNCTION hotdash._job_refuse_own(text, text) FROM PUBLIC;
