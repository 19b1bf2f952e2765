/*
 * webhooks_request.sql: HTTP requests of any kind, with the durability, retries and limits of deliveries.
 *
 * Model. A request is a job of kind http.request in queue webhooks, with a row in _delivery that names no endpoint, so
 * that it has an attempt log like any delivery. Requests to one host are one flow, so that a slow host holds up none
 * but its own. Whatever answer is not to be tried again completes the request: 404 is an answer. Only a request that
 * got none is dead.
 *
 * The answer is kept in the request's row until gone_at, when a tick deletes both.
 */

CREATE TABLE hotdash._http_request (
	id bigint PRIMARY KEY,                  -- the job's id
	created_at timestamptz NOT NULL,
	gone_at timestamptz NOT NULL,           -- until it has ended: never
	tenant text NOT NULL,
	url text NOT NULL,
	method text NOT NULL,
	headers jsonb NOT NULL,                 -- values may be secret, so never shown
	timeout interval NOT NULL,
	keep interval NOT NULL,
	max_response int NOT NULL,              -- bytes of the answer's body that are kept
	retry_statuses int[],
	body bytea,
	status int,
	answer_headers jsonb,
	answer_body bytea,
	answer_cut bool,                        -- it had more than max_response, or broke off
	error text,
	duration_us int,
	traceparent text
);
CREATE INDEX _http_request_gone ON hotdash._http_request (gone_at) WHERE gone_at < 'infinity';
COMMENT ON TABLE hotdash._http_request IS 'HTTP requests and their answers';
SELECT pg_catalog.pg_extension_config_dump('hotdash._http_request', '');

CREATE TYPE hotdash.http_result AS (
	state text,
	status int,
	headers jsonb,
	body bytea,
	error text,
	duration_ms numeric
);
COMMENT ON TYPE hotdash.http_result IS
	'What became of a request; state: ready, scheduled, running, completed, dead or cancelled';

CREATE FUNCTION hotdash._http_check_headers(headers jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		h record;
	BEGIN
		IF jsonb_typeof(headers) <> 'object' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'headers must be a JSON object of names and texts';
		END IF;
		FOR h IN SELECT e.key, e.value, e.value #>> '{}' AS text, count(*) OVER (PARTITION BY lower(e.key)) AS n
				FROM jsonb_each(headers) AS e LOOP
			IF h.key !~ '^[!#$%&''*+.^_`|~0-9A-Za-z-]{1,100}$' THEN
				RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('invalid name of a header: "%s"',
					left(regexp_replace(h.key, '[^ -~]', '?', 'g'), 100));
			END IF;
			IF h.n > 1 THEN
				RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('header "%s" is given twice', h.key);
			END IF;
			IF lower(h.key) IN ('host', 'content-length', 'transfer-encoding', 'connection', 'expect', 'te', 'trailer',
					'upgrade', 'keep-alive') OR lower(h.key) LIKE 'proxy-%' THEN
				RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('header "%s" is the sender''s to decide', h.key);
			END IF;
			IF jsonb_typeof(h.value) <> 'string' OR h.text !~ '^[ -~\t]*$' OR length(h.text) > 8192 THEN
				RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('value of header "%s" must be a text of printable ASCII, at most 8192 long', h.key);
			END IF;
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash._http_check_headers(jsonb) IS 'Raises 22023 unless all headers of a request can be sent';
REVOKE ALL ON FUNCTION hotdash._http_check_headers(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._http_check(q hotdash._http_request) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._webhook_check_url(q.url);
		PERFORM hotdash._http_check_headers(q.headers);
		IF q.method NOT IN ('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS') THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('unknown method: "%s"', q.method),
				HINT = 'Use GET, POST, PUT, PATCH, DELETE, HEAD or OPTIONS.';
		END IF;
		IF q.method IN ('GET', 'HEAD') AND q.body IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('a %s request has no body', q.method);
		END IF;
		PERFORM hotdash._webhook_check_duration('timeout', q.timeout, '1 second', '60 seconds');
		PERFORM hotdash._webhook_check_duration('keep', q.keep, '1 second', '365 days');
		IF q.max_response NOT BETWEEN 1 AND 1048576 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'max_response must be between 1 and 1048576 bytes';
		END IF;
		IF EXISTS (SELECT FROM unnest(q.retry_statuses) AS s WHERE s IS NULL OR s NOT BETWEEN 300 AND 599) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'retry_statuses must be between 300 and 599';
		END IF;
		IF octet_length(q.body) > pg_size_bytes(current_setting('hotdash.webhook_max_payload')) THEN
			RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
				MESSAGE = format('body of a request is larger than %s', current_setting('hotdash.webhook_max_payload')),
				HINT = 'Raise hotdash.webhook_max_payload.';
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._http_check(hotdash._http_request) IS 'Raises 22023 or 54000 for what a request may not be';
REVOKE ALL ON FUNCTION hotdash._http_check(hotdash._http_request) FROM PUBLIC;

CREATE FUNCTION hotdash.http_request(url text, method text DEFAULT NULL, headers jsonb DEFAULT NULL,
		body bytea DEFAULT NULL, timeout interval DEFAULT NULL, max_attempts int DEFAULT NULL, options jsonb DEFAULT NULL)
	RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		now constant timestamptz := hotdash._now();
		q hotdash._http_request;
	BEGIN
		PERFORM hotdash._require_arg(url, 'url');
		PERFORM hotdash._webhook_check_options(options,
			ARRAY['backoff', 'keep', 'max_age', 'max_response', 'retry_statuses', 'tenant', 'traceparent']);
		q.tenant := hotdash._webhook_tenant(options ->> 'tenant');
		q.url := url;
		q.method := coalesce(upper(method), CASE WHEN body IS NULL THEN 'GET' ELSE 'POST' END);
		q.headers := coalesce(headers, '{}');
		q.body := body;
		q.timeout := coalesce(timeout, '15 seconds');
		q.keep := coalesce((options ->> 'keep')::interval, '1 day');
		q.max_response := coalesce((options ->> 'max_response')::int, 65536);
		q.retry_statuses := hotdash._json_texts(nullif(options -> 'retry_statuses', 'null'), 'retry_statuses')::int[];
		q.traceparent := coalesce(options ->> 'traceparent', hotdash.trace_current());
		q.created_at := now;
		q.gone_at := 'infinity';
		PERFORM hotdash._http_check(q);
		PERFORM hotdash._webhook_check_duration('max_age', (options ->> 'max_age')::interval, '1 second', '365 days');
		PERFORM hotdash._webhook_register();
		q.id := hotdash.job_enqueue('http.request', '{}', queue => 'webhooks', max_attempts => coalesce(max_attempts, 5),
			tenant => q.tenant,
			options => jsonb_strip_nulls(jsonb_build_object(
				'backoff', coalesce(nullif(options -> 'backoff', 'null'), hotdash._delivery_backoff()),
				'expires_at', now + coalesce((options ->> 'max_age')::interval, '3 days'),
				'traceparent', q.traceparent,
				'flow', 'host:' || left(substring(lower(url) FROM '^https?://([^/?#]*)'), 250))));
		INSERT INTO hotdash._http_request VALUES (q.*);
		PERFORM hotdash._webhook_file(ARRAY[ROW(q.id, NULL, now, 0, q.tenant, NULL, NULL)::hotdash._delivery]);
		RETURN q.id;
	END
	$$;
COMMENT ON FUNCTION hotdash.http_request(text, text, jsonb, bytea, interval, int, jsonb) IS
	'Sends an HTTP request when the transaction commits, retried like a delivery; returns its id for http_response';
REVOKE ALL ON FUNCTION hotdash.http_request(text, text, jsonb, bytea, interval, int, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.http_response(id bigint) RETURNS hotdash.http_result
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		q hotdash._http_request;
	BEGIN
		PERFORM hotdash._require_arg(id, 'id');
		SELECT * INTO q FROM hotdash._http_request AS x
			WHERE x.id = http_response.id AND hotdash._tenant_sees(x.tenant);
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('request %s does not exist', id),
				HINT = 'An answer is kept for a day, or as long as option "keep" said.';
		END IF;
		RETURN (coalesce((SELECT j.state FROM hotdash.jobs AS j WHERE j.id = q.id),
				CASE WHEN q.status IS NOT NULL THEN 'completed' WHEN q.gone_at < 'infinity' THEN 'dead' ELSE 'cancelled' END),
			q.status, q.answer_headers, q.answer_body, q.error, round(q.duration_us / 1000.0, 3))::hotdash.http_result;
	END
	$$;
COMMENT ON FUNCTION hotdash.http_response(bigint) IS
	'What became of a request: its state, and the last answer; 42704 when it is not kept any more';
REVOKE ALL ON FUNCTION hotdash.http_response(bigint) FROM PUBLIC;

CREATE FUNCTION hotdash.http_response_text(id bigint) RETURNS text
	LANGUAGE sql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- What is not UTF-8, or cannot be a text, is replaced.
		SELECT hotdash._clean_text(r.body, 1048576) FROM hotdash.http_response(id) AS r
	$$;
COMMENT ON FUNCTION hotdash.http_response_text(bigint) IS 'The body of the answer to a request as text; null while there is none';
REVOKE ALL ON FUNCTION hotdash.http_response_text(bigint) FROM PUBLIC;

CREATE FUNCTION hotdash.http_response_json(id bigint) RETURNS jsonb
	LANGUAGE sql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$ SELECT hotdash._json_or_null(r.body) FROM hotdash.http_response(id) AS r $$;
COMMENT ON FUNCTION hotdash.http_response_json(bigint) IS 'The body of the answer to a request as JSON; null when it is none';
REVOKE ALL ON FUNCTION hotdash.http_response_json(bigint) FROM PUBLIC;

/*
 * For the edge
 */

CREATE FUNCTION hotdash._http_traceparent(q hotdash._http_request, token bigint) RETURNS text
	LANGUAGE sql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- The caller may send one of his own; then the attempt is no span of ours.
		SELECT hotdash._trace_attempt(q.traceparent, 'request ' || q.id, q.id, token)
		WHERE NOT EXISTS (SELECT FROM jsonb_object_keys(q.headers) AS k (name) WHERE lower(k.name) = 'traceparent')
	$$;
COMMENT ON FUNCTION hotdash._http_traceparent(hotdash._http_request, bigint) IS
	'What an attempt of a request sends as traceparent; NULL when its headers have one';
REVOKE ALL ON FUNCTION hotdash._http_traceparent(hotdash._http_request, bigint) FROM PUBLIC;

CREATE FUNCTION hotdash._http_header_lines(headers jsonb, traceparent text) RETURNS text[]
	LANGUAGE sql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT ARRAY(SELECT h.key || ': ' || h.value FROM jsonb_each_text(headers) AS h)
			|| ARRAY(SELECT 'traceparent: ' || traceparent WHERE traceparent IS NOT NULL)
	$$;
COMMENT ON FUNCTION hotdash._http_header_lines(jsonb, text) IS 'Header lines of a request';
REVOKE ALL ON FUNCTION hotdash._http_header_lines(jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._http_parse_headers(block bytea) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		/* Names in lower case; lines of one name are joined as RFC 9110 says, set-cookie by line ends. */
		SELECT coalesce(jsonb_object_agg(h.name, h.value), '{}')
		FROM (
			SELECT lower(m[1]) AS name, string_agg(m[2], CASE WHEN lower(m[1]) = 'set-cookie' THEN E'\n' ELSE ', ' END) AS value
			FROM regexp_split_to_table(convert_from(block, 'LATIN1'), '\r?\n') AS l (line),
				regexp_match(l.line, '^([!#$%&''*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$') AS m
			WHERE m IS NOT NULL AND position('\x00'::bytea IN block) = 0
			GROUP BY lower(m[1])
			) AS h
	$$;
COMMENT ON FUNCTION hotdash._http_parse_headers(bytea) IS 'A header block as an object; bytes beyond ASCII are Latin-1';
REVOKE ALL ON FUNCTION hotdash._http_parse_headers(bytea) FROM PUBLIC;

CREATE FUNCTION hotdash._http_store(results hotdash._edge_result[], verdicts hotdash._edge_verdict[], states text[],
		at timestamptz)
	RETURNS void
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		/* The last report on a request stays; a late one only if it brought an answer and there was none. */
		UPDATE hotdash._http_request AS q
			SET status = r.status, answer_headers = hotdash._http_parse_headers(decode(r.headers, 'base64')),
				answer_body = coalesce(decode(r.excerpt, 'base64'), CASE WHEN r.status IS NOT NULL THEN ''::bytea END),
				answer_cut = r.truncated, duration_us = r.total_us,
				error = CASE WHEN r.status IS NULL THEN v.error END,
				gone_at = CASE WHEN states[v.ordinality] IN ('completed', 'dead') THEN at + q.keep ELSE q.gone_at END
			FROM unnest(verdicts) WITH ORDINALITY AS v
			JOIN unnest(results) WITH ORDINALITY AS r ON r.ordinality = v.result
			WHERE q.id = v.id AND v.endpoint_id IS NULL
				AND (states[v.ordinality] <> 'lost' OR (q.status IS NULL AND r.status IS NOT NULL))
	$$;
COMMENT ON FUNCTION hotdash._http_store(hotdash._edge_result[], hotdash._edge_verdict[], text[], timestamptz) IS
	'Keeps the answers to requests';
REVOKE ALL ON FUNCTION hotdash._http_store(hotdash._edge_result[], hotdash._edge_verdict[], text[], timestamptz)
	FROM PUBLIC;

CREATE FUNCTION hotdash._http_sweep() RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		swept constant int := 1000;
		ids bigint[];
	BEGIN
		ids := ARRAY(SELECT q.id FROM hotdash._http_request AS q WHERE q.gone_at <= hotdash._now()
			ORDER BY q.gone_at LIMIT swept FOR UPDATE SKIP LOCKED);
		IF ids = '{}' THEN
			RETURN false;
		END IF;
		DELETE FROM hotdash._http_request AS q WHERE q.id = ANY (ids);
		DELETE FROM hotdash._delivery AS d WHERE d.id = ANY (ids);
		RETURN cardinality(ids) = swept;
	END
	$$;
COMMENT ON FUNCTION hotdash._http_sweep() IS 'Deletes requests whose answers need not be kept any more; true when there may be more';
REVOKE ALL ON FUNCTION hotdash._http_sweep() FROM PUBLIC;
