/*
 * webhooks_edge.sql: what the edge calls, protocol 1, and what follows from the outcomes.
 */

CREATE TYPE hotdash.edge_request AS (
	id bigint,
	token bigint,
	url text,
	method text,
	headers text[],
	body bytea,
	timeout_ms int,
	lease_ms int,
	flags int,
	within_ms int,
	keep_bytes int,
	proxy text,
	proxy_login text,
	client_cert text
);
COMMENT ON TYPE hotdash.edge_request IS
	'One request as the edge sends it; flags: bit 0, private addresses are allowed; within_ms: of the claim, or not at all; keep_bytes: of the answer, with its headers; proxy: instead of the edge''s own, proxy_login: user:password for it; client_cert: PEM of certificates and their key';

CREATE TYPE hotdash._edge_result AS (
	id bigint,
	token bigint,
	status int,
	class text,
	error text,
	retry_after text,
	excerpt text,
	truncated bool,
	remote_ip text,
	reused bool,
	sent bool,
	dns_us int,
	connect_us int,
	tls_us int,
	ttfb_us int,
	total_us int,
	http_date text,
	headers text,
	sent_at bigint
);
COMMENT ON TYPE hotdash._edge_result IS 'One element of what edge_report takes';

CREATE FUNCTION hotdash._edge_check_name(edge text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(edge, 'edge');
		IF edge !~ '^[!-~]{1,63}$' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'name of the edge must be 1 to 63 printable ASCII characters without spaces';
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._edge_check_name(text) IS 'Raises 22004 or 22023 for a name that an edge cannot have';
REVOKE ALL ON FUNCTION hotdash._edge_check_name(text) FROM PUBLIC;

CREATE FUNCTION hotdash.edge_hello(protocol int, edge text, version text) RETURNS jsonb
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(protocol, 'protocol');
		PERFORM hotdash._edge_check_name(edge);
		IF protocol <> 1 THEN
			RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
				MESSAGE = format('protocol %s of the edge is not supported', protocol),
				HINT = format('The server speaks protocol 1, edge "%s" (version %s) speaks %s: install an edge of the '
					'server''s version.', edge, coalesce(version, 'unknown'), protocol);
		END IF;
		PERFORM hotdash._webhook_register();
		RETURN jsonb_build_object('protocol', 1, 'server', hotdash.version(), 'backstop_ms', 60000, 'max_batch', 512);
	END
	$$;
COMMENT ON FUNCTION hotdash.edge_hello(int, text, text) IS
	'First call of an edge: what the server speaks; 0A000 when the edge speaks something else';
REVOKE ALL ON FUNCTION hotdash.edge_hello(int, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._edge_lease() RETURNS interval
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Longer than any request of the batch can take, by what it takes to report it. */
	BEGIN
		RETURN coalesce((SELECT max(e.timeout) FROM hotdash._endpoint AS e WHERE e.enabled), '60 seconds')
			+ interval '10 seconds';
	END
	$$;
COMMENT ON FUNCTION hotdash._edge_lease() IS 'Lease of claimed deliveries: the longest timeout and ten seconds';
REVOKE ALL ON FUNCTION hotdash._edge_lease() FROM PUBLIC;

CREATE FUNCTION hotdash._payload_number(payload jsonb, key text, most bigint) RETURNS bigint
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_payload_number' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._payload_number(jsonb, text, bigint) IS
	'A number from 0 to most in a payload, NULL for anything else that may be there; never an error';
REVOKE ALL ON FUNCTION hotdash._payload_number(jsonb, text, bigint) FROM PUBLIC;

CREATE FUNCTION hotdash._delivery_endpoint(payload jsonb) RETURNS bigint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	AS $$ SELECT hotdash._payload_number(payload, 'endpoint', 9223372036854775807) $$;
COMMENT ON FUNCTION hotdash._delivery_endpoint(jsonb) IS 'The endpoint that the payload of a delivery names, NULL when none';
REVOKE ALL ON FUNCTION hotdash._delivery_endpoint(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._delivery_part(payload jsonb) RETURNS smallint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	AS $$ SELECT hotdash._payload_number(payload, 'part', 32767)::smallint $$;
COMMENT ON FUNCTION hotdash._delivery_part(jsonb) IS 'The part in which the payload of a delivery says its message is, NULL when none';
REVOKE ALL ON FUNCTION hotdash._delivery_part(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._request_bytes(body int, headers jsonb) RETURNS int
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	-- Part of the queries that call it, for each request, which a SET clause would prevent.
	AS $$
		SELECT body OPERATOR(pg_catalog.+) CASE WHEN headers OPERATOR(pg_catalog.=) '{}'::pg_catalog.jsonb THEN 0
			ELSE pg_catalog.octet_length(headers::pg_catalog.text) END
	$$;
COMMENT ON FUNCTION hotdash._request_bytes(int, jsonb) IS 'What a request with such a body and headers counts for in a batch';
REVOKE ALL ON FUNCTION hotdash._request_bytes(int, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._edge_bury(claimed hotdash.claimed_job[]) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * What cannot be built into a request never will be: dead, and visible, instead of claimed for ever. A payload can
	 * be anything here, written by hand; what it names in another tenant does not exist.
	 */
	BEGIN
		PERFORM hotdash.job_fail_many(array_agg(j.id), array_agg(j.token),
				array_agg(CASE WHEN j.kind = 'http.request' THEN 'the request is not kept any more: its option keep has passed'
					WHEN m.id IS NOT NULL THEN 'the endpoint does not exist any more'
					ELSE format('message %s does not exist any more: bodies are kept for '
						'hotdash.webhook_message_retention, which is %s', j.payload ->> 'message',
						current_setting('hotdash.webhook_message_retention')) END),
				finals => array_agg(true))
			FROM unnest(claimed) AS j
			LEFT JOIN hotdash._message AS m ON m.id = j.payload ->> 'message' AND m.tenant = j.tenant
			LEFT JOIN hotdash._endpoint AS e ON e.id = hotdash._delivery_endpoint(j.payload) AND e.tenant = j.tenant
			LEFT JOIN hotdash._endpoint_key AS k ON k.endpoint_id = e.id AND k.retires_at IS NULL
			WHERE CASE WHEN j.kind = 'http.request' THEN NOT EXISTS (
					SELECT FROM hotdash._http_request AS q WHERE q.id = j.id AND q.tenant = j.tenant)
				ELSE m.id IS NULL OR k.endpoint_id IS NULL END
			HAVING count(*) > 0;
	END
	$$;
COMMENT ON FUNCTION hotdash._edge_bury(hotdash.claimed_job[]) IS
	'Ends claimed deliveries whose message or endpoint is gone, and requests without their row';
REVOKE ALL ON FUNCTION hotdash._edge_bury(hotdash.claimed_job[]) FROM PUBLIC;

CREATE FUNCTION hotdash._edge_give_back(claimed hotdash.claimed_job[], batch_bytes int) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Claimed beyond what fits into a batch by size: ready again at once, in their place, uncharged. */
	BEGIN
		PERFORM hotdash._job_release_many(array_agg(r.id), array_agg(r.token))
			FROM (
				SELECT j.id, j.token, sum(z.bytes) OVER (ORDER BY j.ordinality) - z.bytes AS bytes_before
				FROM unnest(claimed) WITH ORDINALITY AS j
				JOIN hotdash._message AS m ON m.id = j.payload ->> 'message' AND m.tenant = j.tenant
				JOIN hotdash._endpoint AS e ON e.id = hotdash._delivery_endpoint(j.payload) AND e.tenant = j.tenant
				CROSS JOIN LATERAL hotdash._request_bytes(m.bytes, e.headers) AS z (bytes)
				WHERE EXISTS (SELECT FROM hotdash._endpoint_key AS k WHERE k.endpoint_id = e.id AND k.retires_at IS NULL)
				) AS r
			WHERE r.bytes_before >= batch_bytes
			HAVING count(*) > 0;
	END
	$$;
COMMENT ON FUNCTION hotdash._edge_give_back(hotdash.claimed_job[], int) IS
	'Releases claimed deliveries that would make a batch too large';
REVOKE ALL ON FUNCTION hotdash._edge_give_back(hotdash.claimed_job[], int) FROM PUBLIC;

CREATE FUNCTION hotdash.edge_claim(edge text, up_to int) RETURNS SETOF hotdash.edge_request
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	-- A plan kept from a time when the tables were empty must not scan them when they are full.
	SET enable_seqscan = off
	SET enable_hashjoin = off
	SET enable_mergejoin = off
	SET jit = off
	-- There is one good plan, and it has many parts of tables: not to be made for each call.
	SET plan_cache_mode = force_generic_plan
	-- What is returned, keys of client certificates among it, stays in memory: no file of a spilled result holds one.
	SET work_mem = '64MB'
	AS $$
	DECLARE
		lease constant interval := hotdash._edge_lease();
		batch_bytes constant int := 8 * 1024 * 1024;	-- of bodies, headers and answers to keep, then the batch is full
		at timestamptz;
		claimed hotdash.claimed_job[];
		requests int;
		others int;
		flags constant int := current_setting('hotdash.webhook_allow_private')::bool::int;
	BEGIN
		PERFORM hotdash._edge_check_name(edge);
		PERFORM hotdash._require_arg(up_to, 'up_to');
		IF up_to NOT BETWEEN 1 AND 512 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'up_to must be between 1 and 512';
		END IF;

		-- A batch may consist of deliveries that cannot be built: then look further, but not for long.
		FOR round IN 1 .. 8 LOOP
			claimed := ARRAY(SELECT j FROM hotdash.job_claim(ARRAY['webhooks'], up_to, edge, lease) AS j);
			EXIT WHEN cardinality(claimed) = 0;
			at := hotdash._now();
			claimed := hotdash._http_fit(claimed, batch_bytes);
			RETURN QUERY
				SELECT s.id, s.token, s.url, 'POST', s.lines, s.body, (extract(epoch FROM s.timeout) * 1000)::int,
					(extract(epoch FROM lease) * 1000)::int, flags, (extract(epoch FROM s.within) * 1000)::int, NULL::int,
					s.proxy, s.login, s.cert
				FROM (
					SELECT r.*, hotdash._webhook_header_lines(r.endpoint_id, r.keys, r.message_id, at, r.body, r.content_type,
							hotdash._trace_attempt(r.traceparent, r.message_id, r.id, r.token), r.headers) AS lines,
						hotdash._endpoint_egress_open(r.endpoint_id, 'proxy', r.sealed_login) AS login,
						hotdash._endpoint_egress_open(r.endpoint_id, 'cert', r.sealed_cert) AS cert
					FROM (
						SELECT j.id, j.token, m.traceparent, e.id AS endpoint_id, e.url, e.timeout,
							CASE WHEN o.consent IS NULL THEN e.headers
								ELSE e.headers || jsonb_build_object('WebHook-Request-Origin', o.consent_origin) END AS headers,
							CASE WHEN e.rate IS NOT NULL OR o.consent_rate IS NOT NULL THEN hotdash._endpoint_slack(
								(hotdash._endpoint_rate(e.rate, e.rate_period, o.consent_rate)).period) END AS within,
							m.id AS message_id, m.content_type,
							m.body, k.keys, sum(z.bytes) OVER (ORDER BY j.ordinality) - z.bytes AS bytes_before,
							o.proxy, o.proxy_login AS sealed_login, o.cert AS sealed_cert
						FROM unnest(claimed) WITH ORDINALITY AS j
						JOIN hotdash._endpoint AS e ON e.id = hotdash._delivery_endpoint(j.payload) AND e.tenant = j.tenant
						-- In the part that it was filed in; or it has moved since.
						CROSS JOIN LATERAL (
							SELECT x.id, x.content_type, x.traceparent, x.bytes, x.body FROM hotdash._message AS x
							WHERE x.part = hotdash._delivery_part(j.payload) AND x.id = j.payload ->> 'message'
								AND x.tenant = j.tenant
							UNION ALL
							SELECT x.id, x.content_type, x.traceparent, x.bytes, x.body FROM hotdash._message AS x
							WHERE x.id = j.payload ->> 'message' AND x.tenant = j.tenant
							LIMIT 1) AS m
						CROSS JOIN LATERAL (
							SELECT array_agg(x.key ORDER BY x.version DESC) AS keys FROM hotdash._endpoint_key AS x
							WHERE x.endpoint_id = e.id AND (x.retires_at IS NULL OR x.retires_at > at)) AS k
						LEFT JOIN hotdash._endpoint_option AS o ON o.endpoint_id = e.id
						CROSS JOIN LATERAL hotdash._request_bytes(m.bytes, e.headers) AS z (bytes)
						WHERE k.keys IS NOT NULL
						) AS r
					WHERE r.bytes_before < batch_bytes
					) AS s
				WHERE s.lines IS NOT NULL AND num_nulls(s.sealed_login, s.sealed_cert) = num_nulls(s.login, s.cert);
			GET DIAGNOSTICS requests = ROW_COUNT;
			IF requests < cardinality(claimed) THEN
				PERFORM hotdash._http_lease(claimed, lease);
				RETURN QUERY
					SELECT s.id, s.token, s.url, s.method, s.lines, s.body, (extract(epoch FROM s.timeout) * 1000)::int,
						(extract(epoch FROM greatest(lease, s.timeout + interval '10 seconds')) * 1000)::int, flags, NULL::int,
						s.max_response, s.proxy, s.login, s.cert
					FROM (
						SELECT j.id, j.token, q.url, q.method, q.body, q.timeout, q.max_response,
							hotdash._http_header_lines(q.headers, hotdash._http_traceparent(q, j.token)) AS lines,
							o.proxy, o.proxy_login AS sealed_login, o.cert AS sealed_cert,
							hotdash._endpoint_egress_open(o.endpoint_id, 'proxy', o.proxy_login) AS login,
							hotdash._endpoint_egress_open(o.endpoint_id, 'cert', o.cert) AS cert
						FROM unnest(claimed) AS j
						JOIN hotdash._http_request AS q ON q.id = j.id AND q.tenant = j.tenant
						LEFT JOIN hotdash._endpoint_option AS o ON o.consent_request = q.id
						) AS s
					WHERE num_nulls(s.sealed_login, s.sealed_cert) = num_nulls(s.login, s.cert);
				GET DIAGNOSTICS others = ROW_COUNT;
				requests := requests + others;
			END IF;
			IF requests < cardinality(claimed) THEN
				PERFORM hotdash._edge_bury(claimed);
				PERFORM hotdash._edge_give_back(claimed, batch_bytes);
				PERFORM hotdash._edge_await_key(claimed, at);
			END IF;
			EXIT WHEN requests > 0;
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash.edge_claim(text, int) IS
	'Requests to send now, signed, under a lease; empty when there is none; never waits';
REVOKE ALL ON FUNCTION hotdash.edge_claim(text, int) FROM PUBLIC;

CREATE TYPE hotdash._edge_verdict AS (
	result int,
	id bigint,
	token bigint,
	attempt int,
	tenant text,
	endpoint_id bigint,
	action text,
	reason text,
	asked interval,
	retry_in interval,
	pause bool,
	health text,
	error text,
	traceparent text,
	parent_id text,
	echo bool,
	moved bool,
	flow text,
	total_us int
);
COMMENT ON TYPE hotdash._edge_verdict IS
	'What follows from one reported result; moved: it was sent to an url that the endpoint does not have any more';

CREATE FUNCTION hotdash._edge_parse(results jsonb) RETURNS hotdash._edge_result[]
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		parsed hotdash._edge_result[];
	BEGIN
		PERFORM hotdash._require_arg(results, 'results');
		IF jsonb_typeof(results) <> 'array' OR jsonb_path_exists(results, 'strict $[*] ? (@.type() != "object")') THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'results must be a JSON array of objects';
		END IF;
		parsed := ARRAY(SELECT r FROM jsonb_populate_recordset(NULL::hotdash._edge_result, results) AS r);
		IF EXISTS (SELECT FROM unnest(parsed) AS r WHERE r.id IS NULL OR r.token IS NULL OR r.class IS NULL) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'a result has no id, no token or no class';
		END IF;
		RETURN parsed;
	END
	$$;
COMMENT ON FUNCTION hotdash._edge_parse(jsonb) IS 'Elements of a report; 22023 or 22P02 when malformed';
REVOKE ALL ON FUNCTION hotdash._edge_parse(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._delivery_retry_in(backoff jsonb, attempt int, floor interval, asked interval, pause bool)
	RETURNS interval
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * NULL leaves it to the job's schedule. What the receiver asked for binds always; a floor of ours only where the
	 * endpoint states no schedule of its own. A little is added, never taken away, so that not all come back at once.
	 */
	DECLARE
		shortest interval := greatest(asked, CASE WHEN backoff IS NULL THEN floor END);
	BEGIN
		IF backoff IS NULL AND floor IS NULL THEN
			RETURN interval '0';
		END IF;
		IF coalesce(shortest, interval '0') = interval '0' AND NOT pause THEN
			RETURN NULL;
		END IF;
		RETURN greatest(shortest, hotdash._backoff_delay(coalesce(backoff, hotdash._delivery_backoff()), attempt))
			+ random() * interval '0.5 seconds';
	END
	$$;
COMMENT ON FUNCTION hotdash._delivery_retry_in(jsonb, int, interval, interval, bool) IS
	'Time until the next attempt, NULL for the job''s own schedule';
REVOKE ALL ON FUNCTION hotdash._delivery_retry_in(jsonb, int, interval, interval, bool) FROM PUBLIC;

CREATE FUNCTION hotdash._edge_judge(results hotdash._edge_result[], at timestamptz)
	RETURNS SETOF hotdash._edge_verdict
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET enable_hashjoin = off
	SET enable_mergejoin = off
	SET jit = off
	SET plan_cache_mode = force_generic_plan
	AS $$
	/*
	 * What a delivery is, its job says while there is one; only reports that come late are looked for in the history.
	 * Not in SQL: the tables have many parts, and a statement of a function in SQL is planned at each call.
	 */
	#variable_conflict use_column
	BEGIN
		RETURN QUERY
		SELECT r.result::int, r.id, r.token, a.attempt, d.tenant, e.id, x.action, x.reason,
			CASE WHEN x.action = 'retry' THEN h.asked END,
			CASE WHEN x.action = 'retry' AND (h.asked IS NOT NULL OR v.pause OR v.floor IS DISTINCT FROM interval '0')
				THEN hotdash._delivery_retry_in(e.backoff, a.attempt, v.floor, h.asked, v.pause)
				WHEN x.action = 'snooze' THEN v.floor END,
			v.pause,
			-- A host that has answered a request of its own does well, whatever the answer.
			CASE WHEN d.endpoint_id IS NULL AND x.action = 'complete' THEN 'success' ELSE v.health END,
			CASE WHEN x.action <> 'complete' THEN concat_ws(': ',
				CASE WHEN r.class = 'http' THEN 'HTTP ' || r.status ELSE r.class END, x.reason,
				hotdash._clean_text(r.error, 500)) END,
			-- As it was sent: made of the same again.
			CASE WHEN q.id IS NOT NULL THEN hotdash._http_traceparent(q, r.token)
				ELSE hotdash._trace_attempt(m.traceparent, d.message_id, r.id, r.token) END,
			substr(coalesce(q.traceparent, m.traceparent), 37, 16),
			coalesce(hotdash._event_echoes(m.event_type, m.order_key), false),
			coalesce(_edge_judge.at - coalesce(r.total_us, 0) * interval '1 microsecond' < e.moved_at, false),
			coalesce(j.flow, CASE WHEN q.id IS NOT NULL THEN hotdash._http_flow(q.url, q.tenant) END), r.total_us
		FROM unnest(results) WITH ORDINALITY AS r (id, token, status, class, error, retry_after, excerpt, truncated,
			remote_ip, reused, sent, dns_us, connect_us, tls_us, ttfb_us, total_us, http_date,
			headers, sent_at, result)
		LEFT JOIN hotdash._job AS j ON j.id = r.id AND j.kind IN ('webhook.delivery', 'http.request')
		CROSS JOIN LATERAL (
			SELECT j.tenant, hotdash._delivery_endpoint(j.payload) AS endpoint_id, j.payload ->> 'message' AS message_id
			WHERE j.id IS NOT NULL
			UNION ALL
			SELECT x.tenant, x.endpoint_id, x.message_id FROM hotdash._delivery AS x WHERE x.id = r.id AND j.id IS NULL
			) AS d
		LEFT JOIN hotdash._endpoint AS e ON e.id = d.endpoint_id AND e.tenant = d.tenant
		LEFT JOIN hotdash._http_request AS q ON q.id = r.id AND d.endpoint_id IS NULL
		LEFT JOIN LATERAL (
			SELECT x.event_type, x.order_key, x.traceparent FROM hotdash._message AS x
			WHERE x.part = hotdash._delivery_part(j.payload) AND x.id = d.message_id
			UNION ALL
			SELECT x.event_type, x.order_key, x.traceparent FROM hotdash._message AS x WHERE x.id = d.message_id
			LIMIT 1) AS m ON true
		-- Without a row to look for, the index is not looked at.
		LEFT JOIN hotdash._endpoint_option AS o ON o.consent_request = CASE WHEN d.endpoint_id IS NULL THEN r.id END
		CROSS JOIN LATERAL (SELECT coalesce(j.attempt + 1,
			(SELECT max(x.attempt) FROM hotdash._delivery_attempt AS x WHERE x.delivery_id = r.id), 1) AS attempt) AS a
		CROSS JOIN LATERAL (SELECT hotdash._retry_after(r.retry_after, _edge_judge.at, r.http_date) AS asked) AS h
		CROSS JOIN LATERAL hotdash._webhook_classify(r.status, r.class, a.attempt, r.sent, r.total_us,
			-- Who asks for no wait has not said how to slow down, but has said that it may be tried again.
			h.asked > interval '0' OR r.status = 413 AND h.asked IS NOT NULL,
			coalesce(e.retry_statuses, q.retry_statuses)) AS v
		CROSS JOIN LATERAL (
			SELECT u.action, u.reason
			FROM hotdash._consent_verdict(r.status, r.headers, o.consent_origin, v.action, v.reason) AS u
			WHERE o.endpoint_id IS NOT NULL AND r.class = 'http'
			UNION ALL
			-- Whatever answers a request that is no delivery has answered it.
			SELECT CASE WHEN d.endpoint_id IS NULL AND r.class = 'http' AND v.action IN ('dead', 'disable')
				THEN 'complete' ELSE v.action END, v.reason
			WHERE o.endpoint_id IS NULL OR r.class <> 'http') AS x
		-- A report is believed of what its sender may see, and was given.
		WHERE hotdash._tenant_sees(d.tenant) AND hotdash._job_token_given(r.id, r.token);
	END
	$$;
COMMENT ON FUNCTION hotdash._edge_judge(hotdash._edge_result[], timestamptz) IS
	'A verdict on each result whose delivery is known';
REVOKE ALL ON FUNCTION hotdash._edge_judge(hotdash._edge_result[], timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._edge_apply(verdicts hotdash._edge_verdict[]) RETURNS text[]
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * Ends the claims, all of one kind in one call, and returns the state that each came to, in the order of the
	 * verdicts. The engine answers in the order in which it is asked, so answers are matched by position: one
	 * delivery can be in a report twice, under two tokens.
	 */
	DECLARE
		done record;
		failed record;
		put_off record;
	BEGIN
		SELECT array_agg(v.ordinality) AS n, array_agg(v.id) AS ids, array_agg(v.token) AS tokens INTO done
			FROM unnest(verdicts) WITH ORDINALITY AS v WHERE v.action = 'complete';
		SELECT array_agg(v.ordinality) AS n, array_agg(v.id) AS ids, array_agg(v.token) AS tokens,
				array_agg(v.error) AS errors, array_agg(v.retry_in) AS delays,
				array_agg(v.action = 'dead') AS finals INTO failed
			FROM unnest(verdicts) WITH ORDINALITY AS v WHERE v.action IN ('retry', 'dead');
		SELECT array_agg(v.ordinality) AS n, array_agg(v.id) AS ids, array_agg(v.token) AS tokens,
				array_agg(coalesce(v.retry_in, interval '0')) AS delays,
				array_agg(CASE WHEN v.action = 'disable' THEN 'parked' ELSE 'scheduled' END) AS states INTO put_off
			FROM unnest(verdicts) WITH ORDINALITY AS v WHERE v.action IN ('snooze', 'disable');

		RETURN ARRAY(
			SELECT x.state FROM (
				SELECT done.n[c.i], CASE WHEN c.accepted THEN 'completed' ELSE 'lost' END
					FROM hotdash.job_complete_many(done.ids, done.tokens) WITH ORDINALITY AS c (id, accepted, i)
					WHERE done.n IS NOT NULL
				UNION ALL
				SELECT failed.n[f.i], f.state
					FROM hotdash.job_fail_many(failed.ids, failed.tokens, failed.errors, failed.delays, failed.finals)
						WITH ORDINALITY AS f (id, state, i)
					WHERE failed.n IS NOT NULL
				UNION ALL
				SELECT put_off.n[s.i], CASE WHEN s.accepted THEN put_off.states[s.i] ELSE 'lost' END
					FROM hotdash._job_snooze_many(put_off.ids, put_off.tokens, put_off.delays)
						WITH ORDINALITY AS s (id, accepted, i)
					WHERE put_off.n IS NOT NULL
				) AS x (n, state)
			ORDER BY x.n);
	END
	$$;
COMMENT ON FUNCTION hotdash._edge_apply(hotdash._edge_verdict[]) IS
	'Ends the claims as judged; returns the state that each delivery came to, lost for a stale token';
REVOKE ALL ON FUNCTION hotdash._edge_apply(hotdash._edge_verdict[]) FROM PUBLIC;

CREATE FUNCTION hotdash._edge_log(edge text, results hotdash._edge_result[], verdicts hotdash._edge_verdict[],
		states text[], at timestamptz)
	RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET plan_cache_mode = force_generic_plan
	AS $$
	BEGIN
		-- In the order of the table's columns.
		PERFORM hotdash._webhook_file(array_agg(ROW(v.id, v.token, at, v.attempt, r.dns_us, r.connect_us, r.tls_us, r.ttfb_us,
			r.total_us, r.status, 0, coalesce(r.sent, true), coalesce(r.reused, false), coalesce(r.truncated, false),
			s.state = 'lost', s.state, v.reason, v.tenant, edge, r.class,
			hotdash._clean_text(r.error, 500), hotdash._clean_text(r.remote_ip, 64), v.asked, to_timestamp(r.sent_at / 1000000.0),
			hotdash._clean_text(decode(r.excerpt, 'base64'), 1024), v.traceparent, v.parent_id)::hotdash._delivery_attempt))
		FROM unnest(verdicts) WITH ORDINALITY AS v
		JOIN unnest(results) WITH ORDINALITY AS r ON r.ordinality = v.result
		CROSS JOIN LATERAL (SELECT states[v.ordinality] AS state) AS s;
	END
	$$;
COMMENT ON FUNCTION hotdash._edge_log(text, hotdash._edge_result[], hotdash._edge_verdict[], text[], timestamptz) IS
	'One row in the attempt log for each verdict';
REVOKE ALL ON FUNCTION hotdash._edge_log(text, hotdash._edge_result[], hotdash._edge_verdict[], text[], timestamptz)
	FROM PUBLIC;

CREATE FUNCTION hotdash._deliveries_done(ids bigint[]) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * A success that was reported late. One that has died meanwhile comes back for as long as it takes to end it well,
	 * so that those who wait for it learn of it, and nobody sends it again.
	 */
	BEGIN
		-- Unless somebody is telling of its death just now.
		DELETE FROM hotdash._delivery_death AS n WHERE n.id IN (
			SELECT x.id FROM hotdash._delivery_death AS x WHERE x.id = ANY (ids) FOR UPDATE SKIP LOCKED);
		PERFORM hotdash._job_revive(ids);
		PERFORM hotdash._job_done_many(ids);
	END
	$$;
COMMENT ON FUNCTION hotdash._deliveries_done(bigint[]) IS
	'Completes deliveries that turned out to have succeeded, and wait for a retry or are dead';
REVOKE ALL ON FUNCTION hotdash._deliveries_done(bigint[]) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoints_hold(news hotdash._endpoint_news[], verdicts hotdash._edge_verdict[], at timestamptz)
	RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * Who changes an endpoint locks its row, and then what belongs to it. So does a report that may switch one off:
	 * before it touches the health or the consent of any, and in the order of ids.
	 */
	DECLARE
		patience constant interval := current_setting('hotdash.webhook_disable_after')::interval;
	BEGIN
		PERFORM FROM hotdash._endpoint AS e
			WHERE e.id IN (
				SELECT n.endpoint_id FROM unnest(news) AS n
				LEFT JOIN hotdash._endpoint_health AS h ON h.endpoint_id = n.endpoint_id
				WHERE n.gone OR patience > interval '0' AND h.failing_since <= at - patience
				UNION ALL
				SELECT o.endpoint_id FROM unnest(verdicts) AS v
				JOIN hotdash._endpoint_option AS o ON o.consent_request = v.id
				WHERE v.endpoint_id IS NULL)
			ORDER BY e.id
			FOR NO KEY UPDATE;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoints_hold(hotdash._endpoint_news[], hotdash._edge_verdict[], timestamptz) IS
	'Locks endpoints that a report may switch off, and those whose consent it may bring';
REVOKE ALL ON FUNCTION hotdash._endpoints_hold(hotdash._endpoint_news[], hotdash._edge_verdict[], timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._edge_react(verdicts hotdash._edge_verdict[], states text[], at timestamptz) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * What concerns more than the one delivery. Mostly nothing: successes at endpoints of which nothing bad is
	 * remembered. What was sent before the endpoint got another url says nothing of whoever is there now. What is news
	 * of no endpoint is news of a host of requests, whose flow names it.
	 */
	DECLARE
		late bigint[] := ARRAY(SELECT v.id FROM unnest(verdicts) WITH ORDINALITY AS v
			WHERE v.action = 'complete' AND states[v.ordinality] = 'lost');
		news hotdash._endpoint_news[];
	BEGIN
		news := ARRAY(SELECT (v.endpoint_id,
					count(*) FILTER (WHERE v.health = 'failure' AND v.result > v.succeeded_at),
					count(*) FILTER (WHERE v.reason = 'unauthorized' AND v.result > v.succeeded_at),
					count(*) FILTER (WHERE v.refuses AND v.result > v.succeeded_at),
					bool_or(v.reason = 'not_found' AND v.result > v.succeeded_at),
					(array_agg(v.error ORDER BY v.result DESC) FILTER (WHERE v.refuses))[1],
					bool_or(v.reason = 'tls_failed' AND v.result > v.succeeded_at),
					min(coalesce(v.total_us, 0)) FILTER (WHERE v.health = 'failure' AND v.result > v.succeeded_at),
					max(at + v.asked) FILTER (WHERE v.pause AND v.asked > interval '0'), bool_or(v.action = 'disable'), bool_and(v.echo),
					min(v.flow), count(*), count(*) FILTER (WHERE v.health = 'failure'), max(v.total_us),
					count(*) FILTER (WHERE v.health = 'success'),
					min(coalesce(v.total_us, 0)) FILTER (WHERE v.health = 'success'),
					min(coalesce(v.total_us, 0)) FILTER (WHERE v.pause
						AND coalesce(v.asked, interval '0') = interval '0'))::hotdash._endpoint_news
				FROM (SELECT x.*, coalesce(max(x.result) FILTER (WHERE x.health = 'success')
						OVER (PARTITION BY x.endpoint_id, y.host), 0) AS succeeded_at, y.host,
						x.reason IN ('unauthorized', 'not_found', 'rejected', 'conflict', 'too_large', 'redirect',
							'address_blocked', 'invalid_request') AS refuses
					FROM unnest(verdicts) AS x
					CROSS JOIN LATERAL (SELECT CASE WHEN x.endpoint_id IS NULL THEN x.flow END AS host) AS y
					WHERE NOT x.moved AND (x.endpoint_id IS NOT NULL OR y.host ^@ 'host:')) AS v
				GROUP BY v.endpoint_id, v.host);
		IF cardinality(late) > 0 THEN
			PERFORM hotdash._deliveries_done(late);
		END IF;
		IF EXISTS (SELECT FROM unnest(verdicts) AS v WHERE v.endpoint_id IS NULL OR v.action <> 'complete') THEN
			PERFORM hotdash._endpoints_hold(news, verdicts, at);
		END IF;
		PERFORM hotdash._endpoint_react(e, at)
			FROM unnest(news) AS e
			WHERE e.endpoint_id IS NOT NULL AND (
				e.failures > 0 OR e.rejected > 0 OR e.paused_until IS NOT NULL OR e.refused_us IS NOT NULL OR e.gone
				OR (e.taken > 0 AND EXISTS (SELECT FROM hotdash._endpoint_health AS h WHERE h.endpoint_id = e.endpoint_id)))
			ORDER BY e.endpoint_id;
		PERFORM hotdash._http_host_react(e, at)
			FROM unnest(news) AS e
			WHERE e.endpoint_id IS NULL AND (
				e.failures > 0 OR e.paused_until IS NOT NULL OR e.refused_us IS NOT NULL
				OR (e.taken > 0 AND EXISTS (SELECT FROM hotdash._http_host AS h WHERE h.flow = e.flow)))
			ORDER BY e.flow COLLATE "C";
		PERFORM hotdash._job_flow_grade(array_agg(e.flow),
				array_agg(hotdash._endpoint_grade(e.answers, e.failed, e.slowest_us, e.refused_us IS NOT NULL)))
			FROM unnest(news) AS e WHERE e.flow IS NOT NULL;
	END
	$$;
COMMENT ON FUNCTION hotdash._edge_react(hotdash._edge_verdict[], text[], timestamptz) IS
	'Tells how endpoints do, and completes what was delivered after all';
REVOKE ALL ON FUNCTION hotdash._edge_react(hotdash._edge_verdict[], text[], timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash.edge_report(edge text, results jsonb) RETURNS TABLE (id bigint, state text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		at constant timestamptz := hotdash._now();
		parsed hotdash._edge_result[];
		verdicts hotdash._edge_verdict[];
		states text[];
		repeats text[];			-- by result: what it had come to before
	BEGIN
		PERFORM hotdash._edge_check_name(edge);
		parsed := hotdash._edge_parse(results);
		verdicts := ARRAY(SELECT v FROM hotdash._edge_judge(parsed, at) AS v);
		states := hotdash._edge_apply(verdicts);
		IF 'lost' = ANY (states) THEN
			SELECT l.verdicts, l.states, l.repeats INTO verdicts, states, repeats
				FROM hotdash._edge_late(parsed, verdicts, states) AS l;
		END IF;
		PERFORM hotdash._edge_log(edge, parsed, verdicts, states, at);
		PERFORM hotdash._edge_react(verdicts, states, at);
		IF 'dead' = ANY (states) THEN
			PERFORM hotdash._deliveries_tell(100);
		END IF;
		IF EXISTS (SELECT FROM unnest(verdicts) AS v WHERE v.endpoint_id IS NULL) THEN
			PERFORM hotdash._http_store(parsed, verdicts, states, at);
			PERFORM hotdash._consent_settle(parsed, verdicts, states, at);
		END IF;
		RETURN QUERY
			SELECT r.id, coalesce(states[v.ordinality], repeats[r.ordinality], 'lost')
			FROM unnest(parsed) WITH ORDINALITY AS r
			LEFT JOIN unnest(verdicts) WITH ORDINALITY AS v ON v.result = r.ordinality
			ORDER BY r.ordinality;
	END
	$$;
COMMENT ON FUNCTION hotdash.edge_report(text, jsonb) IS
	'What became of requests, in one transaction: completed, scheduled, dead, parked, cancelled, or lost for a stale token; reported again, the same as before';
REVOKE ALL ON FUNCTION hotdash.edge_report(text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.edge_renew(edge text, ids bigint[], tokens bigint[], lease_ms int)
	RETURNS TABLE (id bigint, state text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._edge_check_name(edge);
		PERFORM hotdash._require_arg(lease_ms, 'lease_ms');
		IF lease_ms NOT BETWEEN 1000 AND 3600000 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'lease_ms must be between 1000 and 3600000';
		END IF;
		RETURN QUERY
			SELECT r.id, r.state FROM hotdash.job_renew(ids, tokens, lease_ms * interval '1 millisecond') AS r;
	END
	$$;
COMMENT ON FUNCTION hotdash.edge_renew(text, bigint[], bigint[], int) IS
	'A new lease for requests that are still under way: renewed, cancelled or lost';
REVOKE ALL ON FUNCTION hotdash.edge_renew(text, bigint[], bigint[], int) FROM PUBLIC;

CREATE FUNCTION hotdash.edge_release(edge text, ids bigint[], tokens bigint[]) RETURNS int
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._edge_check_name(edge);
		RETURN (SELECT count(*) FROM hotdash._job_release_many(ids, tokens) AS r WHERE r.accepted);
	END
	$$;
COMMENT ON FUNCTION hotdash.edge_release(text, bigint[], bigint[]) IS
	'Gives back requests that were not sent; costs no attempt; returns how many';
REVOKE ALL ON FUNCTION hotdash.edge_release(text, bigint[], bigint[]) FROM PUBLIC;

-- Commits, so it has no SET clause and runs as its caller.
CREATE PROCEDURE hotdash.edge_wait(wait interval DEFAULT NULL, INOUT ready bool DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_edge_wait' LANGUAGE C;
COMMENT ON PROCEDURE hotdash.edge_wait(interval, bool) IS
	'Returns when there is a delivery to claim or the time is up (default one minute)';
REVOKE ALL ON PROCEDURE hotdash.edge_wait(interval, bool) FROM PUBLIC;
