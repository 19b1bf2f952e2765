/*
 * sla_actions.sql: a step's row, and what is done beside it: jobs, webhook events, alerts, HTTP requests.
 *
 * Model. Actions are an array of objects of one key each, in a policy or an escalation rule:
 *
 *		{"job":{"kind":…,"queue":…,"payload":{…},"priority":…,"max_attempts":…}}
 *		{"event":{"type":…,"payload":{…}}}
 *		{"alert":{"name":…,"severity":…,"message":…}}
 *		{"call":{"url":…,"method":…,"headers":{…},"body":{…},"timeout":…,"max_attempts":…}}
 *
 * Facts of the clock go with each as key "sla" of the payload, of the alert's fields or of the body. All of them are
 * caused in the transaction that found the step, by the extension's owner: whoever makes a clock move need not be allowed
 * to enqueue or to publish, since an administrator wrote the policy. They belong to the clock's tenant.
 *
 * Once. The row comes first, and its unique index is what decides: who inserts it performs the actions, and both are
 * there or neither is. An action that fails undoes neither the row nor the others: it is a subtransaction of its own,
 * and what it came to is kept in the row, where health() counts it. Only a failure that comes of other transactions
 * (class 40: serialization, deadlock) goes up, since the whole transaction has to be done again then.
 *
 * What is kept of an action is a number, a name, or an error's code and message: no header, body or payload.
 */

/*
 * What actions may be
 */

CREATE FUNCTION hotdash._sla_action_keys(what text) RETURNS text[]
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT CASE what
			WHEN 'job' THEN '{kind,max_attempts,payload,priority,queue}'::text[]
			WHEN 'event' THEN '{payload,type}'
			WHEN 'alert' THEN '{message,name,severity}'
			WHEN 'call' THEN '{body,headers,max_attempts,method,timeout,url}'
		END
	$$;
COMMENT ON FUNCTION hotdash._sla_action_keys(text) IS 'What an action of that kind may say; NULL: there is no such kind';
REVOKE ALL ON FUNCTION hotdash._sla_action_keys(text) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_action_text(given jsonb, name text, needed bool DEFAULT false) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		IF coalesce(jsonb_typeof(given -> name), 'null') = 'null' THEN
			IF needed THEN
				RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('"%s" is missing', name);
			END IF;
			RETURN NULL;
		END IF;
		IF jsonb_typeof(given -> name) <> 'string' OR given ->> name = '' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('"%s" must be a text that is not empty', name);
		END IF;
		RETURN given ->> name;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_action_text(jsonb, text, bool) IS 'A text of an action, or 22023';
REVOKE ALL ON FUNCTION hotdash._sla_action_text(jsonb, text, bool) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_action_int(given jsonb, name text, low int, high int) RETURNS int
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		value jsonb := given -> name;
	BEGIN
		IF coalesce(jsonb_typeof(value), 'null') = 'null' THEN
			RETURN NULL;
		END IF;
		IF jsonb_typeof(value) <> 'number' OR value::numeric NOT BETWEEN low AND high
				OR value::numeric <> trunc(value::numeric) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('"%s" must be a whole number between %s and %s', name, low, high);
		END IF;
		RETURN value::numeric;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_action_int(jsonb, text, int, int) IS 'A number of an action, NULL where it has none, or 22023';
REVOKE ALL ON FUNCTION hotdash._sla_action_int(jsonb, text, int, int) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_action_with(given jsonb, name text, facts jsonb) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		document constant jsonb := coalesce(nullif(given -> name, 'null'), '{}');
	BEGIN
		IF jsonb_typeof(document) <> 'object' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('"%s" must be a JSON object', name);
		END IF;
		RETURN document || jsonb_build_object('sla', facts);
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_action_with(jsonb, text, jsonb) IS 'A document of an action, with the facts as its key "sla"';
REVOKE ALL ON FUNCTION hotdash._sla_action_with(jsonb, text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_action_check(what text, given jsonb) RETURNS void
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* What can be known beforehand, by the checks that the call itself makes; a kind or an endpoint may come later. */
	DECLARE
		known constant text[] := hotdash._sla_action_keys(what);
		unknown text;
		q hotdash._http_request;
	BEGIN
		IF jsonb_typeof(given) <> 'object' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'must be a JSON object';
		END IF;
		SELECT k INTO unknown FROM jsonb_object_keys(given) AS k WHERE k <> ALL (known) ORDER BY k LIMIT 1;
		IF what = 'call' AND unknown = 'service' THEN
			RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
				MESSAGE = 'calls by the name of a service are not supported by this version', HINT = 'Name its "url".';
		ELSIF unknown IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('unrecognized key "%s"', left(unknown, 100)),
				DETAIL = format('Known are %s.', array_to_string(known, ', '));
		END IF;
		CASE what
			WHEN 'job' THEN
				PERFORM hotdash._name_check(hotdash._sla_action_text(given, 'kind', true), 'kind'),
					hotdash._name_check(hotdash._sla_action_text(given, 'queue'), 'queue'),
					hotdash._sla_action_int(given, 'priority', -32768, 32767),
					hotdash._sla_action_int(given, 'max_attempts', 1, 1000),
					hotdash._sla_action_with(given, 'payload', '{}');
			WHEN 'event' THEN
				PERFORM hotdash._message_check(hotdash._sla_action_text(given, 'type', true), 0),
					hotdash._sla_action_with(given, 'payload', '{}');
				IF given ->> 'type' ^@ 'hotdash.' THEN
					RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
						MESSAGE = 'event types that begin with "hotdash." are reserved';
				END IF;
			WHEN 'alert' THEN
				PERFORM hotdash._alert_check_name(hotdash._sla_action_text(given, 'name', true)),
					hotdash._alert_rank(hotdash._sla_action_text(given, 'severity', true)),
					hotdash._sla_action_text(given, 'message', true);
			WHEN 'call' THEN
				q := hotdash._sla_action_request(given, '{}');
				PERFORM hotdash._http_check(q), hotdash._sla_action_int(given, 'max_attempts', 1, 1000);
		END CASE;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_action_check(text, jsonb) IS 'Raises 22023 or 0A000 for an action that could never be performed';
REVOKE ALL ON FUNCTION hotdash._sla_action_check(text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_action_request(given jsonb, facts jsonb) RETURNS hotdash._http_request
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		q hotdash._http_request;
	BEGIN
		q.url := hotdash._sla_action_text(given, 'url', true);
		q.method := upper(coalesce(hotdash._sla_action_text(given, 'method'), 'POST'));
		q.headers := coalesce(nullif(given -> 'headers', 'null'), '{}');
		q.timeout := hotdash._webhook_read(hotdash._sla_action_text(given, 'timeout'), 'timeout', interval '15 seconds');
		q.keep := '1 day';
		q.max_response := 65536;
		IF q.method IN ('GET', 'HEAD') AND given ? 'body' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('a %s request has no body', q.method);
		END IF;
		IF q.method NOT IN ('GET', 'HEAD') THEN
			q.body := convert_to(hotdash._sla_action_with(given, 'body', facts)::text, 'UTF8');
			IF jsonb_typeof(q.headers) = 'object'
					AND NOT EXISTS (SELECT FROM jsonb_object_keys(q.headers) AS h WHERE lower(h) = 'content-type') THEN
				q.headers := q.headers || '{"content-type":"application/json"}';
			END IF;
		END IF;
		RETURN q;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_action_request(jsonb, jsonb) IS 'The HTTP request that a call stands for, with the facts in its body';
REVOKE ALL ON FUNCTION hotdash._sla_action_request(jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_actions_check(actions jsonb, path text) RETURNS void
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		most constant int := 20;
		i int := 0;
		action jsonb;
		what text;
		hint text;
		detail text;
	BEGIN
		IF (CASE jsonb_typeof(actions) WHEN 'array' THEN jsonb_array_length(actions) > most ELSE true END) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('%s: must be an array of at most %s actions', path, most);
		END IF;
		FOR action IN SELECT * FROM jsonb_array_elements(actions) LOOP
			what := CASE WHEN jsonb_typeof(action) = 'object' THEN
				(SELECT min(k) FROM jsonb_object_keys(action) AS k HAVING count(*) = 1) END;
			IF hotdash._sla_action_keys(what) IS NULL THEN
				RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('%s[%s]: must be an object with one key', path, i),
					DETAIL = 'Known are alert, call, event, job.';
			END IF;
			BEGIN
				PERFORM hotdash._sla_action_check(what, action -> what);
			EXCEPTION WHEN invalid_parameter_value OR program_limit_exceeded OR feature_not_supported THEN
				GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
				detail := concat_ws(' ', nullif(detail, ''), nullif(hint, ''));
				RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = format('%s[%s].%s: %s', path, i, what, SQLERRM),
					DETAIL = coalesce(nullif(detail, ''), format('Known are %s.', array_to_string(hotdash._sla_action_keys(what), ', ')));
			END;
			i := i + 1;
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_actions_check(jsonb, text) IS
	'Raises 22023, naming the path, for actions that could never be performed; 0A000 for one of a later version';
REVOKE ALL ON FUNCTION hotdash._sla_actions_check(jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_masked(document jsonb) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Headers of calls may be credentials: their names are shown and no more. */
	BEGIN
		RETURN CASE jsonb_typeof(document)
			WHEN 'object' THEN (
				SELECT coalesce(jsonb_object_agg(o.key, CASE
						WHEN o.key = 'headers' AND jsonb_typeof(o.value) = 'object' THEN
							(SELECT coalesce(jsonb_object_agg(h, '…'), '{}') FROM jsonb_object_keys(o.value) AS h)
						ELSE hotdash._sla_masked(o.value) END), '{}')
				FROM jsonb_each(document) AS o)
			WHEN 'array' THEN (
				SELECT coalesce(jsonb_agg(hotdash._sla_masked(a.value) ORDER BY a.n), '[]')
				FROM jsonb_array_elements(document) WITH ORDINALITY AS a (value, n))
			ELSE document END;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_masked(jsonb) IS 'A policy or actions without what headers of calls say';
REVOKE ALL ON FUNCTION hotdash._sla_masked(jsonb) FROM PUBLIC;

/*
 * Performing them
 */

CREATE FUNCTION hotdash._sla_action_perform(what text, given jsonb, facts jsonb, tenant text) RETURNS text
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		q hotdash._http_request;
		document jsonb;
	BEGIN
		CASE what
			WHEN 'job' THEN
				RETURN hotdash.job_enqueue(given ->> 'kind', hotdash._sla_action_with(given, 'payload', facts),
					queue => given ->> 'queue', priority => hotdash._sla_action_int(given, 'priority', -32768, 32767),
					max_attempts => hotdash._sla_action_int(given, 'max_attempts', 1, 1000), tenant => tenant);
			WHEN 'event' THEN
				document := hotdash._sla_action_with(given, 'payload', facts);
				RETURN hotdash._publish(given ->> 'type', convert_to(document::text, 'UTF8'), 'application/json', document, NULL,
					coalesce('sla/' || (facts ->> 'clock'), 'sla'), tenant, NULL);
			WHEN 'alert' THEN
				-- An alert's fields may not be longer than 16 kB, which attributes may.
				PERFORM hotdash._alert_raise(given ->> 'name', given ->> 'severity', given ->> 'message',
					jsonb_build_object('sla', facts - 'attributes'), tenant, rule => 'sla');
				RETURN given ->> 'name';
			WHEN 'call' THEN
				q := hotdash._sla_action_request(given, facts);
				RETURN hotdash.http_request(q.url, q.method, q.headers, q.body, q.timeout,
					hotdash._sla_action_int(given, 'max_attempts', 1, 1000), jsonb_build_object('tenant', tenant));
		END CASE;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_action_perform(text, jsonb, jsonb, text) IS
	'Performs one action; returns the id of the job, message or request, or the alert''s name';
REVOKE ALL ON FUNCTION hotdash._sla_action_perform(text, jsonb, jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_act(actions jsonb, facts jsonb, tenant text) RETURNS jsonb
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		outcomes jsonb := '[]';
		a record;
	BEGIN
		FOR a IN SELECT k.key AS what, k.value AS given
				FROM jsonb_array_elements(actions) WITH ORDINALITY AS e, jsonb_each(e.value) AS k ORDER BY e.ordinality LOOP
			BEGIN
				outcomes := outcomes || jsonb_build_object('action', a.what,
					'id', hotdash._sla_action_perform(a.what, a.given, facts, tenant));
			EXCEPTION
				WHEN transaction_rollback THEN
					RAISE;
				WHEN OTHERS THEN
					outcomes := outcomes || jsonb_build_object('action', a.what, 'sqlstate', SQLSTATE,
						'message', hotdash._clean_text(SQLERRM, 500));
			END;
		END LOOP;
		RETURN outcomes;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_act(jsonb, jsonb, text) IS
	'Performs actions for a tenant, each by itself; returns what each came to: an id, or SQLSTATE and message';
REVOKE ALL ON FUNCTION hotdash._sla_act(jsonb, jsonb, text) FROM PUBLIC;

/*
 * Steps
 */

CREATE FUNCTION hotdash._sla_facts(clock bigint, step smallint, due timestamptz) RETURNS jsonb
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
	-- Whoever comes by the step, its instants read the same.
	SET timezone = 'UTC'
	AS $$
		/*
		 * Of a step, by the schedule alone: the clock's row may be ahead of it, or behind. The due point is the step's own
		 * business time less its offset; once that is past it stays what was found then, since a pause moves the rest.
		 */
		SELECT jsonb_build_object('clock', c.id::text, 'subject', c.subject, 'tenant', c.tenant, 'policy', p.name,
			'metric', c.metric, 'priority', c.priority, 'cycle', c.cycle, 'step', s.step, 'kind', s.kind, 'name', s.name,
			'at', due, 'due_at', d.at, 'breached_at', CASE WHEN t.lead >= 0 THEN d.at END,
			'target', round(c.target / 1e6, 6), 'elapsed', round((c.target + t.lead) / 1e6, 6),
			'attributes', coalesce(c.attributes, '{}'))
		FROM hotdash._sla_clock AS c
		JOIN hotdash._sla_policy AS p ON p.id = c.policy
		JOIN hotdash._sla_step AS s ON s.version_id = c.version_id AND s.metric = c.metric AND s.step = _sla_facts.step
		CROSS JOIN LATERAL (
			SELECT x.offsets[array_position(x.steps, s.step)] AS lead
			FROM hotdash._sla_target AS x
			WHERE x.version_id = c.version_id AND x.metric = c.metric AND x.priority IN (c.priority, '')
			ORDER BY x.priority DESC LIMIT 1
			) AS t
		CROSS JOIN LATERAL (
			SELECT CASE WHEN t.lead = 0 THEN due
				WHEN t.lead > 0 AND c.breached_at IS NOT NULL THEN c.breached_at
				ELSE hotdash._business_instant(c.lane, hotdash._business_at(c.lane, due) - t.lead) END AS at
			) AS d
		WHERE c.id = _sla_facts.clock
	$$;
COMMENT ON FUNCTION hotdash._sla_facts(bigint, smallint, timestamptz) IS
	'What actions are told of a step: the clock, and in seconds of business time its target and what has elapsed';
REVOKE ALL ON FUNCTION hotdash._sla_facts(bigint, smallint, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_fire(clock bigint, step smallint, due timestamptz) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_column
	/* The clock's row is the caller's to lock and to change. */
	DECLARE
		event constant bigint := current_setting('hotdash.node_id')::bigint << 52 | nextval('hotdash._sla_clock_id');
		s record;
	BEGIN
		SELECT x.kind, x.actions, c.tenant INTO STRICT s
			FROM hotdash._sla_clock AS c
			JOIN hotdash._sla_step AS x ON x.version_id = c.version_id AND x.metric = c.metric AND x.step = _sla_fire.step
			WHERE c.id = _sla_fire.clock;
		INSERT INTO hotdash._sla_event AS e (clock, id, at, recorded_at, step, kind)
			VALUES (_sla_fire.clock, event, due, hotdash._now(), _sla_fire.step, s.kind)
			ON CONFLICT (clock, step) WHERE step IS NOT NULL DO NOTHING;
		IF NOT FOUND THEN
			RETURN false;
		END IF;
		IF s.actions <> '[]' THEN
			UPDATE hotdash._sla_event AS e
				SET detail = jsonb_build_object('actions',
					hotdash._sla_act(s.actions, hotdash._sla_facts(_sla_fire.clock, _sla_fire.step, due), s.tenant))
				WHERE e.clock = _sla_fire.clock AND e.id = event;
		END IF;
		PERFORM hotdash._sla_rules_step(_sla_fire.clock, _sla_fire.step, due);
		RETURN true;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_fire(bigint, smallint, timestamptz) IS
	'A step of a clock as a row, and if it was not there yet, its actions; whether it was not';
REVOKE ALL ON FUNCTION hotdash._sla_fire(bigint, smallint, timestamptz) FROM PUBLIC;

/*
 * Health
 */

CREATE INDEX _sla_event_failed ON hotdash._sla_event (recorded_at)
	WHERE detail @? '$.actions[*].sqlstate';
COMMENT ON INDEX hotdash._sla_event_failed IS 'Steps with an action that failed, for health';
