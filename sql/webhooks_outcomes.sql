/*
 * webhooks_outcomes.sql: what becomes of deliveries without a report, and of reports that come again.
 *
 * Lost attempts. A lease that ran out, or a session or server that stopped, ends an attempt without a report. The
 * engine says so (HdJobWatch in extension/jobs/jobs.h) when it takes the delivery back, and the attempt gets its row
 * then, reason lost; nothing is written for it before. When its report comes after all, late, that takes the
 * row's place: one attempt, one row, one span.
 *
 * Deaths. Whoever ends a delivery as dead (a report, a claim that finds it too old, the tick) leaves a note, if
 * anybody of its tenant asks for event hotdash.delivery.dead. The notes are told of by the report that left them and
 * by the tick, in small batches, since there may be a million at once and those who leave them must not wait for
 * that. Pattern * is not enough to be told: there may be as many of these events as there are deliveries.
 * No loops: what tells how deliveries do (_event_echoes) may die untold.
 *
 * Reports that come again. An edge whose connection broke does not know whether its report arrived, and sends it
 * again. An attempt is known by its token, so a result that is in the log already is answered as it was and does
 * nothing. One with another status or error than the one before it is late, like any of a stale token.
 *
 * Locks: a note after its job; the jobs of stale tokens, shared, in the order of ids.
 */

CREATE TABLE hotdash._delivery_death (
	id bigint PRIMARY KEY,                  -- of the delivery
	died_at timestamptz NOT NULL,
	attempt smallint NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	reason text NOT NULL,
	last_error text
);
COMMENT ON TABLE hotdash._delivery_death IS 'Dead deliveries of which somebody is to be told';
SELECT pg_catalog.pg_extension_config_dump('hotdash._delivery_death', '');

-- Who is told: mostly nobody, so that it costs nothing to see that.
CREATE INDEX _endpoint_told ON hotdash._endpoint (tenant)
	WHERE enabled AND events && '{hotdash.delivery.dead,hotdash.delivery.*,hotdash.*}'::text[];

CREATE FUNCTION hotdash._deliveries_died(ids bigint[]) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	AS $$
	/* Runs wherever a delivery ends, so it reads nothing that could be malformed. */
	BEGIN
		IF NOT EXISTS (SELECT FROM hotdash._endpoint AS e
				WHERE e.enabled AND e.events && '{hotdash.delivery.dead,hotdash.delivery.*,hotdash.*}'::text[]) THEN
			RETURN;
		END IF;
		INSERT INTO hotdash._delivery_death AS n (id, died_at, attempt, tenant, reason, last_error)
			SELECT x.id, x.died_at, x.attempt, x.tenant, x.reason, x.last_error
			FROM hotdash._job_dead AS x
			WHERE x.id = ANY (ids) AND EXISTS (SELECT FROM hotdash._endpoint AS e WHERE e.tenant = x.tenant
				AND e.enabled AND e.events && '{hotdash.delivery.dead,hotdash.delivery.*,hotdash.*}'::text[])
			ORDER BY x.id
			ON CONFLICT (id) DO UPDATE SET died_at = excluded.died_at, attempt = excluded.attempt,
				reason = excluded.reason, last_error = excluded.last_error;
	END
	$$;
COMMENT ON FUNCTION hotdash._deliveries_died(bigint[]) IS 'Leaves a note of each dead delivery whose tenant wants to be told';
REVOKE ALL ON FUNCTION hotdash._deliveries_died(bigint[]) FROM PUBLIC;

CREATE FUNCTION hotdash._deliveries_tell(up_to int) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	AS $$
	/* Where the message is gone nobody knows what it told of; if it was of our own, it stays untold. */
	DECLARE
		n hotdash._delivery_death;
		taken int := 0;
	BEGIN
		FOR n IN
			WITH gone AS (
				DELETE FROM hotdash._delivery_death AS x WHERE x.id = ANY (ARRAY(
					SELECT y.id FROM hotdash._delivery_death AS y WHERE hotdash._tenant_sees(y.tenant)
					ORDER BY y.id LIMIT up_to FOR UPDATE SKIP LOCKED))
				RETURNING x.*)
			SELECT * FROM gone ORDER BY id
		LOOP
			taken := taken + 1;
			PERFORM hotdash._event_operational('hotdash.delivery.dead', jsonb_strip_nulls(jsonb_build_object(
					'delivery', n.id::text, 'message', d.message_id, 'endpoint', d.endpoint_id::text,
					'event_type', d.event_type, 'tenant', n.tenant, 'reason', n.reason, 'attempt', n.attempt,
					'last_error', left(n.last_error, 500), 'died_at', n.died_at)), NULL, n.tenant, d.endpoint_id)
				FROM hotdash._delivery AS d
				LEFT JOIN hotdash._message AS m ON m.id = d.message_id
				WHERE d.id = n.id AND NOT CASE WHEN m.id IS NULL THEN d.event_type ^@ 'hotdash.'
					ELSE hotdash._event_echoes(m.event_type, m.order_key) END;
		END LOOP;
		RETURN taken = up_to;
	END
	$$;
COMMENT ON FUNCTION hotdash._deliveries_tell(int) IS
	'Publishes hotdash.delivery.dead for up to so many dead deliveries; true when there may be more';
REVOKE ALL ON FUNCTION hotdash._deliveries_tell(int) FROM PUBLIC;

CREATE FUNCTION hotdash._attempt_lost(id bigint, token bigint, attempt int, started_at timestamptz, worker text,
		state text, error text)
	RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	AS $$
	/* Its time is that of the lease: how long the request took, if it was sent at all, nobody knows. */
	DECLARE
		now constant timestamptz := hotdash._now();
		us constant int := least(greatest(extract(epoch FROM now - started_at) * 1000000, 0), 2147483647);
	BEGIN
		-- In the order of the table's columns.
		PERFORM hotdash._webhook_file(array_agg(ROW(d.id, token, now, attempt, NULL, NULL, NULL, NULL, us, NULL, 0, true,
				false, false, false, state, 'lost', d.tenant, worker, 'lost', _attempt_lost.error, NULL, NULL, NULL, NULL,
				CASE WHEN q.id IS NOT NULL THEN hotdash._http_traceparent(q, token)
					ELSE hotdash._trace_attempt(m.traceparent, d.message_id, d.id, token) END,
				substr(coalesce(q.traceparent, m.traceparent), 37, 16))::hotdash._delivery_attempt))
			FROM hotdash._delivery AS d
			LEFT JOIN hotdash._message AS m ON m.id = d.message_id
			LEFT JOIN hotdash._http_request AS q ON q.id = d.id AND d.endpoint_id IS NULL
			WHERE d.id = _attempt_lost.id;
	END
	$$;
COMMENT ON FUNCTION hotdash._attempt_lost(bigint, bigint, int, timestamptz, text, text, text) IS
	'The row of an attempt that ended without a report';
REVOKE ALL ON FUNCTION hotdash._attempt_lost(bigint, bigint, int, timestamptz, text, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._attempt_take_back(delivery bigint, of_token bigint) RETURNS int
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	AS $$
	/* From its part, like all that is written: whoever writes through the parent locks all parts. */
	DECLARE
		part constant smallint := (SELECT a.part FROM hotdash._delivery_attempt AS a
			WHERE a.delivery_id = delivery AND a.token = of_token AND a.reason = 'lost' LIMIT 1);
		number int;
	BEGIN
		IF part IS NOT NULL THEN
			EXECUTE format('DELETE FROM hotdash._delivery_attempt_%s AS a
				WHERE a.delivery_id = $1 AND a.token = $2 AND a.reason = ''lost'' RETURNING a.attempt', part)
				INTO number USING delivery, of_token;
		END IF;
		RETURN number;
	END
	$$;
COMMENT ON FUNCTION hotdash._attempt_take_back(bigint, bigint) IS
	'Deletes the row of an attempt that was taken for lost, and returns its number; NULL when there is none';
REVOKE ALL ON FUNCTION hotdash._attempt_take_back(bigint, bigint) FROM PUBLIC;

CREATE FUNCTION hotdash._jobs_await(ids bigint[]) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET lock_timeout = '5s'
	AS $$
	/* Whoever has ended a job holds its row. Not for ever: it may be somebody's open session. */
	BEGIN
		PERFORM FROM hotdash._job AS j WHERE j.id = ANY (ids) ORDER BY j.id FOR SHARE;
	EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
	END
	$$;
COMMENT ON FUNCTION hotdash._jobs_await(bigint[]) IS 'Waits, up to five seconds each, for transactions that are ending these jobs';
REVOKE ALL ON FUNCTION hotdash._jobs_await(bigint[]) FROM PUBLIC;

CREATE FUNCTION hotdash._edge_late(results hotdash._edge_result[], INOUT verdicts hotdash._edge_verdict[], INOUT states text[],
		OUT repeats text[])
	RETURNS record
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	-- A plan kept from a time when the tables were empty must not scan them when they are full.
	SET enable_seqscan = off
	AS $$
	/*
	 * Takes out of a report what was reported before, and says for each result what it had come to then. The report that
	 * came first may be under way: it has the rows of its jobs, so it is waited for there, and what it did is seen by the
	 * statements after that. If it was rolled back, the tokens are good again.
	 */
	DECLARE
		fresh hotdash._edge_verdict[] := '{}';
		fresh_states text[] := '{}';
		seen text[];			-- by verdict
		again int[];
		ended text[];
		v hotdash._edge_verdict;
	BEGIN
		PERFORM hotdash._jobs_await(ARRAY(
			SELECT x.id FROM unnest(verdicts) WITH ORDINALITY AS x WHERE states[x.ordinality] = 'lost'));
		seen := ARRAY(SELECT (SELECT a.outcome FROM hotdash._delivery_attempt AS a
				WHERE states[x.ordinality] = 'lost' AND a.delivery_id = x.id AND a.token = x.token AND a.reason <> 'lost'
					AND (a.status, a.error_class) IS NOT DISTINCT FROM (results[x.result].status, results[x.result].class) LIMIT 1)
			FROM unnest(verdicts) WITH ORDINALITY AS x ORDER BY x.ordinality);
		again := ARRAY(SELECT n FROM generate_subscripts(states, 1) AS n WHERE states[n] = 'lost' AND seen[n] IS NULL ORDER BY n);
		ended := hotdash._edge_apply(ARRAY(SELECT verdicts[n] FROM unnest(again) WITH ORDINALITY AS x (n, i) ORDER BY x.i));
		FOR i IN 1 .. cardinality(again) LOOP
			states[again[i]] := ended[i];
		END LOOP;

		FOR i IN 1 .. cardinality(states) LOOP
			v := verdicts[i];
			IF states[i] = 'lost' AND seen[i] IS NULL THEN
				-- Twice in one report.
				seen[i] := (SELECT fresh_states[x.ordinality] FROM unnest(fresh) WITH ORDINALITY AS x
					WHERE x.id = v.id AND x.token = v.token AND (results[x.result].status, results[x.result].class)
						IS NOT DISTINCT FROM (results[v.result].status, results[v.result].class) LIMIT 1);
				v.attempt := coalesce(hotdash._attempt_take_back(v.id, v.token), (SELECT a.attempt
					FROM hotdash._delivery_attempt AS a WHERE a.delivery_id = v.id AND a.token = v.token LIMIT 1), v.attempt);
			END IF;
			IF seen[i] IS NULL THEN
				fresh := fresh || v;
				fresh_states := fresh_states || states[i];
			ELSE
				repeats[v.result] := seen[i];
			END IF;
		END LOOP;
		verdicts := fresh;
		states := fresh_states;
	END
	$$;
COMMENT ON FUNCTION hotdash._edge_late(hotdash._edge_result[], hotdash._edge_verdict[], text[]) IS
	'What of a report is new, where some of its tokens are stale; repeats: what the others had come to';
REVOKE ALL ON FUNCTION hotdash._edge_late(hotdash._edge_result[], hotdash._edge_verdict[], text[]) FROM PUBLIC;

CREATE FUNCTION hotdash._health_certificates() RETURNS jsonb
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- A hundred of each are named, those first that end first.
		SELECT jsonb_strip_nulls(jsonb_build_object(
			'status', CASE WHEN count(*) > 0 THEN 'degraded' ELSE 'healthy' END,
			'expired', nullif(count(*) FILTER (WHERE c.expired), 0),
			'expire_soon', nullif(count(*) FILTER (WHERE NOT c.expired), 0),
			'expired_at_endpoints', jsonb_agg(c.id ORDER BY c.n) FILTER (WHERE c.expired AND c.n <= 100),
			'expire_soon_at_endpoints', jsonb_agg(c.id ORDER BY c.n) FILTER (WHERE NOT c.expired AND c.n <= 100),
			'detail', CASE WHEN count(*) > 0 THEN 'Give these endpoints a new client_cert with endpoint_update.' END))
		FROM (
			SELECT e.id::text AS id, o.cert_not_after <= hotdash._now() AS expired,
				row_number() OVER (PARTITION BY o.cert_not_after <= hotdash._now() ORDER BY o.cert_not_after, e.id) AS n
			FROM hotdash._endpoint_option AS o
			JOIN hotdash._endpoint AS e ON e.id = o.endpoint_id
			WHERE o.cert_not_after <= hotdash._now() + interval '14 days' AND e.enabled AND hotdash._tenant_sees(e.tenant)
			) AS c
	$$;
COMMENT ON FUNCTION hotdash._health_certificates() IS
	'Health check: client certificates of enabled endpoints, those that end within two weeks';
REVOKE ALL ON FUNCTION hotdash._health_certificates() FROM PUBLIC;

CREATE FUNCTION hotdash._health_retention() RETURNS jsonb
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- A day is what a long read may take. Parts have rows of all tenants: to one alone they are not named.
		SELECT jsonb_strip_nulls(jsonb_build_object(
			'status', CASE WHEN count(*) > 0 THEN 'degraded' ELSE 'healthy' END,
			'overdue', CASE WHEN coalesce(current_setting('hotdash.tenant', true), '') = ''
				THEN jsonb_agg(p.family || ' ' || p.part ORDER BY p.closed_at, p.family, p.part) END,
			'detail', CASE WHEN count(*) > 0 THEN
				'Rows are kept longer than they should be: nobody ticks, or a transaction has read them for a day.' END))
		FROM hotdash._part AS p
		WHERE p.closed_at + make_interval(days => p.days) <= hotdash._now() - interval '1 day'
	$$;
COMMENT ON FUNCTION hotdash._health_retention() IS 'Health check: what was kept long enough is dropped, at most a day later';
REVOKE ALL ON FUNCTION hotdash._health_retention() FROM PUBLIC;
