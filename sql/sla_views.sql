/*
 * sla_views.sql: what clocks show, and why.
 */

CREATE VIEW hotdash.sla_clocks WITH (security_invoker = true) AS
	SELECT c.id, c.tenant, p.name AS policy, v.version AS policy_version, c.subject, c.metric, c.priority, c.cycle, c.state,
		c.breached_at IS NOT NULL AS breached, c.started_at,
		coalesce(c.due_at, hotdash._business_instant(c.lane, c.due_b)) AS due_at,
		CASE WHEN c.state = 'met' THEN c.closed_at END AS met_at, c.closed_at, c.breached_at,
		c.target * interval '1 microsecond' AS target,
		(c.target - r.remaining) * interval '1 microsecond' AS elapsed, r.remaining * interval '1 microsecond' AS remaining,
		s.name AS next_step, hotdash._business_instant(c.lane, c.next_b) AS next_step_at, c.attributes
	FROM hotdash._sla_clock AS c
	JOIN hotdash._sla_policy AS p ON p.id = c.policy
	JOIN hotdash._sla_policy_version AS v ON v.id = c.version_id
	CROSS JOIN LATERAL (SELECT coalesce(c.remaining,
		c.due_b - hotdash._business_at(c.lane, greatest(hotdash._now(), c.started_at))) AS remaining) AS r
	LEFT JOIN LATERAL (SELECT x.steps[c.next_step + 1] AS step FROM hotdash._sla_target AS x
		WHERE x.version_id = c.version_id AND x.metric = c.metric AND x.priority IN (c.priority, '')
		ORDER BY x.priority DESC LIMIT 1) AS t ON c.next_b IS NOT NULL
	LEFT JOIN hotdash._sla_step AS s ON s.version_id = c.version_id AND s.metric = c.metric AND s.step = t.step
	WHERE hotdash._tenant_sees(c.tenant);
COMMENT ON VIEW hotdash.sla_clocks IS
	'SLA clocks: due_at of one that is paused is null, since it moves; elapsed and remaining are business time, remaining negative when late';

CREATE VIEW hotdash.sla_events WITH (security_invoker = true) AS
	SELECT e.id, e.clock, c.tenant, p.name AS policy, c.subject, c.metric, c.cycle, e.kind, e.at, e.recorded_at, s.name AS step,
		e.detail
	FROM hotdash._sla_event AS e
	JOIN hotdash._sla_clock AS c ON c.id = e.clock
	JOIN hotdash._sla_policy AS p ON p.id = c.policy
	LEFT JOIN hotdash._sla_step AS s ON s.version_id = c.version_id AND s.metric = c.metric AND s.step = e.step
	WHERE hotdash._tenant_sees(c.tenant);
COMMENT ON VIEW hotdash.sla_events IS
	'What happened to SLA clocks, and the steps that were found due: at is when, recorded_at when it became known';

CREATE FUNCTION hotdash._sla_policy_shown(version_id int) RETURNS jsonb
	LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$ SELECT hotdash._sla_masked(v.definition) FROM hotdash._sla_policy_version AS v WHERE v.id = version_id $$;
COMMENT ON FUNCTION hotdash._sla_policy_shown(int) IS 'Definition of a version of a policy, without what headers of calls say';
REVOKE ALL ON FUNCTION hotdash._sla_policy_shown(int) FROM PUBLIC;

CREATE VIEW hotdash.sla_policies WITH (security_invoker = true) AS
	SELECT p.name, v.version, k.name AS calendar, v.set_at, v.set_by, hotdash._sla_policy_shown(v.id) AS definition
	FROM hotdash._sla_policy AS p
	JOIN hotdash._sla_policy_version AS v ON v.id = p.version_id
	LEFT JOIN hotdash._calendar AS k ON k.id = v.calendar;
COMMENT ON VIEW hotdash.sla_policies IS
	'SLA policies as they are now; without a calendar the wall clock counts; of headers of calls the names alone';

/*
 * Why
 */

/* Stretches of time in which a clock ran, was paused, or was met before it was opened again. */
CREATE TYPE hotdash._sla_period AS (
	state text,
	began timestamptz,
	ended timestamptz,
	business_us bigint
);
COMMENT ON TYPE hotdash._sla_period IS 'A stretch of a clock''s life, and how much business time of it counted';
REVOKE ALL ON TYPE hotdash._sla_period FROM PUBLIC;

CREATE FUNCTION hotdash._sla_periods(c hotdash._sla_clock, until_ts timestamptz) RETURNS SETOF hotdash._sla_period
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		paused bool := c.began_paused AND c.cycle > 1;
		met bool := false;
		e record;
		p hotdash._sla_period;
	BEGIN
		FOR e IN
			SELECT x.kind, x.at, x.id FROM hotdash._sla_event AS x
			WHERE x.clock = c.id AND x.kind IN ('pause', 'resume', 'meet', 'reopen', 'cancel')
			UNION ALL SELECT 'end', coalesce(c.closed_at, until_ts), NULL
			ORDER BY 2, 3 NULLS LAST
		LOOP
			EXIT WHEN e.at > coalesce(c.closed_at, until_ts);
			IF e.at > c.started_at THEN
				p.state := CASE WHEN met THEN 'met' WHEN paused THEN 'paused' ELSE 'running' END;
				p.began := coalesce(p.ended, c.started_at);
				p.ended := e.at;
				p.business_us := CASE WHEN p.state = 'running'
					THEN hotdash._business_at(c.lane, p.ended) - hotdash._business_at(c.lane, p.began) ELSE 0 END;
				IF p.ended > p.began THEN
					RETURN NEXT p;
				END IF;
			END IF;
			paused := CASE e.kind WHEN 'pause' THEN true WHEN 'resume' THEN false ELSE paused END;
			met := CASE WHEN e.at < c.started_at THEN false WHEN e.kind = 'meet' THEN true WHEN e.kind = 'reopen' THEN false
				ELSE met END;
			EXIT WHEN e.kind IN ('end', 'cancel');
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_periods(hotdash._sla_clock, timestamptz) IS
	'How a clock has spent its time from its start to its end or to an instant';
REVOKE ALL ON FUNCTION hotdash._sla_periods(hotdash._sla_clock, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_told(at timestamptz, zone text) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	SET lc_time = 'C'
	AS $$ SELECT to_char(at AT TIME ZONE zone, 'Dy YYYY-MM-DD HH24:MI:SS') $$;
COMMENT ON FUNCTION hotdash._sla_told(timestamptz, text) IS 'An instant as a person in that zone reads it';
REVOKE ALL ON FUNCTION hotdash._sla_told(timestamptz, text) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_explain_days(calendar int, version int, zone text, from_ts timestamptz, to_ts timestamptz)
	RETURNS jsonb
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- A day a row; of a clock that runs for years the first and last days say what there is to say.
		SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('day', d.day, 'rule', d.rule, 'note', d.note,
				'open', d.open)) ORDER BY d.day) FILTER (WHERE d.n <= 62 OR d.n > d.of - 31), '[]')
		FROM (SELECT x.day, x.rule, x.note, row_number() OVER (ORDER BY x.day) AS n, count(*) OVER () AS of,
				jsonb_agg(to_char(x.opens AT TIME ZONE zone, 'HH24:MI:SS') || ' to '
					|| to_char(x.closes AT TIME ZONE zone, 'HH24:MI:SS') ORDER BY x.opens)
					FILTER (WHERE x.opens IS NOT NULL) AS open
			FROM hotdash._business_days(calendar, version, from_ts, to_ts) AS x
			GROUP BY x.day, x.rule, x.note) AS d
	$$;
COMMENT ON FUNCTION hotdash._sla_explain_days(int, int, text, timestamptz, timestamptz) IS
	'The days of a calendar: which rule governs each, and when it is open';
REVOKE ALL ON FUNCTION hotdash._sla_explain_days(int, int, text, timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_explain_steps(c hotdash._sla_clock) RETURNS jsonb
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('step', s.name, 'kind', s.kind,
				'due_at', coalesce(e.at, CASE WHEN c.due_b IS NOT NULL THEN hotdash._business_instant(c.lane, c.due_b + u.lead) END),
				'fired_at', e.recorded_at, 'outcome', e.detail -> 'actions')) ORDER BY u.n), '[]')
		FROM (SELECT x.steps, x.offsets FROM hotdash._sla_target AS x
			WHERE x.version_id = c.version_id AND x.metric = c.metric AND x.priority IN (c.priority, '')
			ORDER BY x.priority DESC LIMIT 1) AS t
		CROSS JOIN LATERAL unnest(t.steps, t.offsets) WITH ORDINALITY AS u (step, lead, n)
		JOIN hotdash._sla_step AS s ON s.version_id = c.version_id AND s.metric = c.metric AND s.step = u.step
		LEFT JOIN hotdash._sla_event AS e ON e.clock = c.id AND e.step = u.step
	$$;
COMMENT ON FUNCTION hotdash._sla_explain_steps(hotdash._sla_clock) IS 'The steps of a clock, due and fired';
REVOKE ALL ON FUNCTION hotdash._sla_explain_steps(hotdash._sla_clock) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_explain_words(facts jsonb, zone text) RETURNS text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT concat_ws(E'\n',
			format('%s of %s%s: %s of %s, by policy %s version %s.', facts ->> 'metric', facts ->> 'subject',
				CASE WHEN facts ->> 'cycle' <> '1' THEN format(' (cycle %s)', facts ->> 'cycle') ELSE '' END, facts ->> 'target',
				CASE WHEN facts ? 'calendar' THEN format('business time, calendar %s version %s in %s',
					facts #>> '{calendar,name}', facts #>> '{calendar,version}', zone) ELSE 'wall clock time' END,
				facts ->> 'policy', facts ->> 'policy_version')
				|| CASE WHEN facts ->> 'priority' <> '' THEN format(' Its priority is %s.', facts ->> 'priority') ELSE '' END,
			format('Started %s.', hotdash._sla_told((facts ->> 'started_at')::timestamptz, zone)),
			(SELECT string_agg(format('%s from %s to %s%s.', initcap(p ->> 'state'),
					hotdash._sla_told((p ->> 'from')::timestamptz, zone), hotdash._sla_told((p ->> 'to')::timestamptz, zone),
					CASE WHEN p ->> 'state' = 'running' THEN format(': %s counted', p ->> 'counted') ELSE ': nothing counted' END),
					E'\n' ORDER BY n)
				FROM jsonb_array_elements(facts -> 'periods') WITH ORDINALITY AS x (p, n)),
			(SELECT string_agg(format('%s %s: %s%s.', to_char((d ->> 'day')::date, 'Dy'), d ->> 'day', d ->> 'rule',
					coalesce(' ' || (d ->> 'note'), '') || coalesce(', open '
						|| (SELECT string_agg(o, ', ') FROM jsonb_array_elements_text(d -> 'open') AS o), '')),
					E'\n' ORDER BY n)
				FROM jsonb_array_elements(facts -> 'days') WITH ORDINALITY AS x (d, n) WHERE n <= 14),
			CASE WHEN jsonb_array_length(facts -> 'days') > 14 THEN 'Further days: see key days.' END,
			format('Elapsed %s, remaining %s.', facts ->> 'elapsed', facts ->> 'remaining'),
			CASE facts ->> 'state'
				WHEN 'paused' THEN 'Paused: it has no due point until it goes on.'
				ELSE format('Due %s.', hotdash._sla_told((facts ->> 'due_at')::timestamptz, zone)) END,
			CASE WHEN facts ? 'breached_at' THEN format('Breached: it was open after %s.',
				hotdash._sla_told((facts ->> 'breached_at')::timestamptz, zone)) END,
			CASE WHEN facts ? 'closed_at' THEN format('%s %s.', initcap(facts ->> 'state'),
				hotdash._sla_told((facts ->> 'closed_at')::timestamptz, zone)) END)
	$$;
COMMENT ON FUNCTION hotdash._sla_explain_words(jsonb, text) IS 'An explanation in words';
REVOKE ALL ON FUNCTION hotdash._sla_explain_words(jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash.sla_explain(clock bigint) RETURNS jsonb
	LANGUAGE plpgsql STABLE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	SET intervalstyle = 'postgres'
	AS $$
	DECLARE
		now_at constant timestamptz := hotdash._now();
		c hotdash._sla_clock;
		shown hotdash.sla_clocks;
		k record;
		zone text;
		facts jsonb;
	BEGIN
		PERFORM hotdash._require_arg(clock, 'clock');
		SELECT * INTO c FROM hotdash._sla_clock AS x WHERE x.id = clock AND hotdash._tenant_sees(x.tenant);
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('SLA clock %s does not exist', clock);
		END IF;
		SELECT * INTO shown FROM hotdash.sla_clocks AS s WHERE s.id = clock;
		SELECT x.id, x.name, coalesce(c.calendar_version, e.version) AS version, d.definition ->> 'time_zone' AS time_zone
			INTO k
			FROM hotdash._calendar_epoch AS e JOIN hotdash._calendar AS x ON x.id = e.calendar
			JOIN hotdash._calendar_version AS d
				ON d.calendar = x.id AND d.version = coalesce(c.calendar_version, e.version)
			WHERE e.id = c.lane >> 1;
		zone := coalesce(k.time_zone, 'UTC');
		facts := jsonb_strip_nulls(jsonb_build_object('clock', c.id::text, 'tenant', c.tenant, 'policy', shown.policy,
			'policy_version', shown.policy_version, 'subject', c.subject, 'metric', c.metric, 'priority', c.priority,
			'cycle', c.cycle, 'state', c.state, 'breached', shown.breached, 'target', shown.target, 'elapsed', shown.elapsed,
			'remaining', shown.remaining, 'started_at', c.started_at, 'due_at', shown.due_at, 'breached_at', c.breached_at,
			'closed_at', c.closed_at, 'at_close', CASE WHEN c.lane % 2 = 1 THEN 'open' ELSE 'close' END,
			'calendar', CASE WHEN k.id IS NOT NULL THEN
				jsonb_build_object('name', k.name, 'version', k.version, 'time_zone', k.time_zone) END));
		facts := facts || jsonb_build_object('periods', (
				SELECT coalesce(jsonb_agg(jsonb_build_object('state', p.state, 'from', p.began, 'to', p.ended,
					'counted', p.business_us * interval '1 microsecond') ORDER BY p.began), '[]')
				FROM hotdash._sla_periods(c, now_at) AS p),
			'days', CASE WHEN k.id IS NULL THEN '[]' ELSE hotdash._sla_explain_days(k.id, k.version, zone, c.started_at,
				greatest(c.started_at, coalesce(c.closed_at, now_at), CASE WHEN isfinite(shown.due_at) THEN shown.due_at END)) END,
			'steps', hotdash._sla_explain_steps(c),
			'log', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('at', e.at, 'kind', e.kind,
					'event', e.detail -> 'event', 'recorded_at', e.recorded_at)) ORDER BY e.at, e.id), '[]')
				FROM hotdash._sla_event AS e WHERE e.clock = c.id));
		RETURN facts || jsonb_build_object('words', hotdash._sla_explain_words(facts, zone));
	END
	$$;
COMMENT ON FUNCTION hotdash.sla_explain(bigint) IS
	'Why an SLA clock is due when it is: target, calendar and its days, pauses, steps, log; key words tells it in words';
REVOKE ALL ON FUNCTION hotdash.sla_explain(bigint) FROM PUBLIC;

/*
 * Rights
 */

CREATE FUNCTION hotdash._sla_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT l, o
		FROM unnest(ARRAY['producer', 'worker', 'operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.sla_start(text,text,text,text,timestamptz,jsonb,text)',
				'hotdash.sla_pause(bigint,timestamptz)', 'hotdash.sla_resume(bigint,timestamptz)',
				'hotdash.sla_meet(bigint,timestamptz)', 'hotdash.sla_cancel(bigint)',
				'hotdash.sla_event(text,text,timestamptz,jsonb,text)']) AS o
		UNION ALL
		SELECT l, o
		FROM unnest(ARRAY['operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.sla_policy_set(text,jsonb)', 'hotdash.sla_retarget(bigint,text,text)']) AS o
		UNION ALL
		SELECT l, o
		FROM unnest(ARRAY['viewer', 'producer', 'worker', 'operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.sla_explain(bigint)']) AS o
		UNION ALL
		SELECT l, o
		FROM unnest(ARRAY['viewer', 'operator', 'admin']) AS l,
			unnest(ARRAY['view:sla_clocks', 'view:sla_events', 'view:sla_policies']) AS o
	$$;
COMMENT ON FUNCTION hotdash._sla_rights() IS 'What each access level may use of the SLA clocks';
REVOKE ALL ON FUNCTION hotdash._sla_rights() FROM PUBLIC;
