/*
 * webhooks_request.sql: HTTP requests of any kind, with the durability, retries and limits of deliveries.
 *
 * Model. A request is a job of kind http.request in queue webhooks, with a row in _delivery that names no endpoint, so
 * that it has an attempt log like any delivery. Requests to one host are one flow, so that a slow host holds up none
 * but its own. Whatever answer is not to be tried again completes the request: 404 is an answer. Only a request that
 * got none is dead.
 *
 * The answer is kept in the request's row until gone_at, when a tick deletes it; the attempts stay for as long as those
 * of deliveries. gone_at is set by the report that ends the request. What ends otherwise (cancelled, past its time, its
 * edge killed once too often) leaves a row without a job, which _http_settle finds within the hour. The other way round,
 * a row with a job, whatever its gone_at says, is open: somebody has brought a dead request back.
 *
 * Locks: jobs first, then _http_request. What a tick finds locked is left for the next.
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
	traceparent text,
	ended text                              -- completed, by an answer that may be late; dead, cancelled; NULL: not known yet
);
CREATE INDEX _http_request_gone ON hotdash._http_request (gone_at) WHERE gone_at < 'infinity';
-- A sixtieth of what is open, for _http_settle.
CREATE INDEX _http_request_open ON hotdash._http_request ((id % 60)) WHERE gone_at = 'infinity';
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
		PERFORM hotdash._webhook_check_header_room(headers);
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
		max_age interval;
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
		q.keep := hotdash._webhook_read(options ->> 'keep', 'keep', interval '1 day');
		q.max_response := hotdash._webhook_read(options ->> 'max_response', 'max_response', 65536);
		q.retry_statuses := hotdash._webhook_read(hotdash._json_texts(nullif(options -> 'retry_statuses', 'null'),
			'retry_statuses')::text, 'retry_statuses', NULL::int[]);
		q.traceparent := coalesce(options ->> 'traceparent', hotdash.trace_current());
		q.created_at := now;
		q.gone_at := 'infinity';
		PERFORM hotdash._http_check(q);
		max_age := hotdash._webhook_read(options ->> 'max_age', 'max_age', interval '3 days');
		PERFORM hotdash._webhook_check_duration('max_age', max_age, '1 second', '365 days');
		PERFORM hotdash._webhook_register();
		q.id := hotdash._job_enqueue('http.request', '{}', queue => 'webhooks', max_attempts => coalesce(max_attempts, 5),
			tenant => q.tenant,
			options => jsonb_strip_nulls(jsonb_build_object(
				'backoff', coalesce(nullif(options -> 'backoff', 'null'), hotdash._delivery_backoff()),
				'expires_at', now + max_age,
				'traceparent', q.traceparent,
				'flow', hotdash._http_flow(url, q.tenant))));
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
		j record;
	BEGIN
		PERFORM hotdash._require_arg(id, 'id');
		SELECT * INTO q FROM hotdash._http_request AS x
			WHERE x.id = http_response.id AND hotdash._tenant_sees(x.tenant);
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('request %s does not exist', id),
				HINT = 'An answer is kept for a day, or as long as option "keep" said.';
		END IF;
		SELECT x.state, x.last_error INTO j FROM hotdash.jobs AS x WHERE x.id = q.id;
		-- An answer counts that came when the job had been given up or cancelled for it; history may be gone before the row.
		IF q.ended = 'completed' AND j.state IN ('dead', 'cancelled') THEN
			j.state := q.ended;
		END IF;
		RETURN (coalesce(j.state, q.ended, 'cancelled'), q.status, q.answer_headers, q.answer_body,
			coalesce(q.error, CASE WHEN j.state = 'dead' AND q.status IS NULL THEN j.last_error END),
			round(q.duration_us / 1000.0, 3))::hotdash.http_result;
	END
	$$;
COMMENT ON FUNCTION hotdash.http_response(bigint) IS
	'What became of a request: its state, and the last answer; error: why there is none, or that its body was cut; 42704 when it is not kept any more';
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
	AS $$
		-- What was cut may be JSON still, and say something else: 12 of 1234.
		SELECT hotdash._json_or_null(r.body) FROM hotdash.http_response(id) AS r
		WHERE NOT EXISTS (SELECT FROM hotdash._http_request AS q WHERE q.id = http_response_json.id AND q.answer_cut)
	$$;
COMMENT ON FUNCTION hotdash.http_response_json(bigint) IS
	'The body of the answer to a request as JSON; null when it is none, or was cut';
REVOKE ALL ON FUNCTION hotdash.http_response_json(bigint) FROM PUBLIC;

/*
 * For the edge
 */

CREATE FUNCTION hotdash._http_fit(claimed hotdash.claimed_job[], batch_bytes int) RETURNS hotdash.claimed_job[]
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET enable_hashjoin = off
	SET enable_mergejoin = off
	AS $$
	/*
	 * Deliveries alone are summed up as they are built into requests. Where requests of their own are among them, here:
	 * of those counts, too, what is to be kept of the answer, since an edge must have room for both. The rest goes back
	 * to where it was, uncharged; the first fits always.
	 */
	DECLARE
		kept_headers constant int := 64 * 1024;		-- of an answer, as the edge allows for
		fit int;
	BEGIN
		IF NOT EXISTS (SELECT FROM unnest(claimed) AS j WHERE j.kind = 'http.request') THEN
			RETURN claimed;
		END IF;
		SELECT count(*) FILTER (WHERE s.bytes_before < batch_bytes) INTO fit
			FROM (
				SELECT sum(z.bytes) OVER (ORDER BY j.ordinality) - z.bytes AS bytes_before
				FROM unnest(claimed) WITH ORDINALITY AS j
				CROSS JOIN LATERAL (SELECT coalesce(
					(SELECT hotdash._request_bytes(coalesce(octet_length(q.body), 0) + q.max_response + kept_headers, q.headers)
						FROM hotdash._http_request AS q WHERE q.id = j.id),
					(SELECT hotdash._request_bytes(m.bytes, e.headers) FROM hotdash._message AS m, hotdash._endpoint AS e
						WHERE m.id = j.payload ->> 'message' AND e.id = hotdash._delivery_endpoint(j.payload) LIMIT 1),
					0) AS bytes) AS z
				) AS s;
		PERFORM hotdash._job_release_many(array_agg(j.id), array_agg(j.token))
			FROM unnest(claimed[fit + 1:]) AS j
			HAVING count(*) > 0;
		RETURN claimed[:fit];
	END
	$$;
COMMENT ON FUNCTION hotdash._http_fit(hotdash.claimed_job[], int) IS
	'How much of what was claimed makes a batch, by size, where there are requests among it; releases the rest';
REVOKE ALL ON FUNCTION hotdash._http_fit(hotdash.claimed_job[], int) FROM PUBLIC;

CREATE FUNCTION hotdash._http_lease(claimed hotdash.claimed_job[], lease interval) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* A claim has one lease, as long as endpoints need: requests that need more get it here, before they are sent. */
	DECLARE
		slack constant interval := '10 seconds';
		slow record;
	BEGIN
		SELECT array_agg(j.id) AS ids, array_agg(j.token) AS tokens, max(q.timeout) + slack AS lease INTO slow
			FROM unnest(claimed) AS j JOIN hotdash._http_request AS q ON q.id = j.id
			WHERE q.timeout + slack > _http_lease.lease;
		IF slow.ids IS NOT NULL THEN
			PERFORM r.id FROM hotdash.job_renew(slow.ids, slow.tokens, slow.lease) AS r;
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._http_lease(hotdash.claimed_job[], interval) IS
	'Prolongs the leases of claimed requests to ten seconds more than their timeouts, where they are shorter';
REVOKE ALL ON FUNCTION hotdash._http_lease(hotdash.claimed_job[], interval) FROM PUBLIC;

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
		/*
		 * The last report on a request stays, but nothing comes over an answer that completed it. A late one counts if it
		 * does that, or if there was no answer yet. Of one request there may be two in a report.
		 */
		UPDATE hotdash._http_request AS q
			SET status = n.status, answer_headers = hotdash._http_parse_headers(decode(n.headers, 'base64')),
				answer_body = coalesce(decode(n.excerpt, 'base64'), CASE WHEN n.status IS NOT NULL THEN ''::bytea END),
				answer_cut = n.truncated, duration_us = n.total_us,
				error = CASE WHEN n.status IS NULL THEN n.error
					WHEN n.truncated THEN concat_ws(': ', 'the body is not whole', nullif(hotdash._clean_text(n.cut, 500), '')) END,
				ended = CASE WHEN n.action = 'complete' THEN 'completed' WHEN n.state = 'dead' THEN 'dead' ELSE q.ended END,
				gone_at = CASE WHEN n.state IN ('completed', 'dead') OR n.state = 'lost' AND q.gone_at = 'infinity'
					AND NOT EXISTS (SELECT FROM hotdash._job AS j WHERE j.id = q.id) THEN at + q.keep ELSE q.gone_at END
			FROM (
				SELECT DISTINCT ON (v.id) v.id, v.action, v.error, s.state, r.status, r.headers, r.excerpt, r.truncated,
					r.total_us, r.error AS cut
				FROM unnest(verdicts) WITH ORDINALITY AS v
				JOIN unnest(results) WITH ORDINALITY AS r ON r.ordinality = v.result
				CROSS JOIN LATERAL (SELECT states[v.ordinality] AS state) AS s
				WHERE v.endpoint_id IS NULL
				ORDER BY v.id, v.action = 'complete' DESC, s.state = 'lost', v.ordinality DESC
				) AS n
			WHERE q.id = n.id AND q.ended IS DISTINCT FROM 'completed'
				AND (n.state <> 'lost' OR n.status IS NOT NULL AND (q.status IS NULL OR n.action = 'complete'))
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
		open bigint[];
	BEGIN
		ids := ARRAY(SELECT q.id FROM hotdash._http_request AS q WHERE q.gone_at <= hotdash._now()
			ORDER BY q.gone_at LIMIT swept FOR UPDATE SKIP LOCKED);
		IF ids = '{}' THEN
			RETURN false;
		END IF;
		open := ARRAY(SELECT j.id FROM hotdash._job AS j WHERE j.id = ANY (ids));
		UPDATE hotdash._http_request AS q SET gone_at = 'infinity' WHERE q.id = ANY (open);
		DELETE FROM hotdash._http_request AS q WHERE q.id = ANY (ids) AND q.id <> ALL (open);
		RETURN cardinality(ids) = swept;
	END
	$$;
COMMENT ON FUNCTION hotdash._http_sweep() IS 'Deletes requests whose answers need not be kept any more; true when there may be more';
REVOKE ALL ON FUNCTION hotdash._http_sweep() FROM PUBLIC;

CREATE FUNCTION hotdash._http_settle(sixtieth int) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET enable_hashjoin = off
	SET enable_mergejoin = off
	AS $$
	/*
	 * That a request ended without a report is seen by its job, which is not there any more; to look for that costs as
	 * much as there are open, so a sixtieth of them at a time, and the one before it, since a tick may be late. What is
	 * past its time behind a host that is held back is not claimed, and ended here.
	 */
	DECLARE
		now constant timestamptz := hotdash._now();
		at_once constant int := hotdash._job_at_once();
		due record;
		settled int;
	BEGIN
		SELECT array_agg(x.id) AS ids, array_agg(x.id) FILTER (WHERE x.waits) AS late INTO due
			FROM (
				SELECT q.id, j.id IS NOT NULL AS waits
				FROM hotdash._http_request AS q LEFT JOIN hotdash._job AS j ON j.id = q.id
				WHERE q.gone_at = 'infinity' AND q.id % 60 IN (sixtieth, (sixtieth + 59) % 60)
					AND (j.id IS NULL OR j.expires_at <= now)
				LIMIT at_once
				FOR UPDATE OF q SKIP LOCKED) AS x;
		IF due.late IS NOT NULL THEN
			PERFORM hotdash._job_expire(due.late);
		END IF;
		UPDATE hotdash._http_request AS q
			SET gone_at = now + q.keep, ended = CASE WHEN q.ended = 'completed' THEN q.ended
				WHEN EXISTS (SELECT FROM hotdash._job_dead AS d WHERE d.id = q.id) THEN 'dead' ELSE 'cancelled' END
			WHERE q.id = ANY (due.ids) AND NOT EXISTS (SELECT FROM hotdash._job AS j WHERE j.id = q.id);
		GET DIAGNOSTICS settled = ROW_COUNT;
		RETURN settled > 0 AND cardinality(due.ids) = at_once;
	END
	$$;
COMMENT ON FUNCTION hotdash._http_settle(int) IS
	'Finds requests that ended without a report among those whose id leaves that remainder, and ends what waited too long; true when there may be more';
REVOKE ALL ON FUNCTION hotdash._http_settle(int) FROM PUBLIC;
