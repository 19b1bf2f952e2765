/*
 * sla_policies.sql: what clocks are held to: targets by metric and priority, which event does what, the steps.
 *
 * A policy is stated whole. Each statement that differs from the last makes a version; clocks keep the version that they
 * began with until sla_retarget, so a due date can be explained by what was in force.
 */

CREATE FUNCTION hotdash._sla_refuse(message text, path text, hint text DEFAULT '') RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = message,
			DETAIL = format('At %s of the definition.', path), HINT = hint;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_refuse(text, text, text) IS 'Raises 22023 and says where in a definition';
REVOKE ALL ON FUNCTION hotdash._sla_refuse(text, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_check_keys(object jsonb, known text[], path text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		unknown text;
	BEGIN
		IF object IS NULL OR jsonb_typeof(object) <> 'object' THEN
			PERFORM hotdash._sla_refuse('an object is expected', path);
		END IF;
		SELECT k INTO unknown FROM jsonb_object_keys(object) AS k WHERE k <> ALL (known) ORDER BY k LIMIT 1;
		IF FOUND THEN
			PERFORM hotdash._sla_refuse(format('unknown key "%s"', left(unknown, 64)), path,
				format('Known are %s.', array_to_string(known, ', ')));
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_check_keys(jsonb, text[], text) IS 'Raises 22023 for what is no object of these keys';
REVOKE ALL ON FUNCTION hotdash._sla_check_keys(jsonb, text[], text) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_duration(value jsonb, path text) RETURNS bigint
	LANGUAGE plpgsql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	SET intervalstyle = 'postgres'
	AS $$
	/* Microseconds. A day counts 24 hours, of business time where a calendar counts; months have no length. */
	DECLARE
		duration interval;
		us numeric;
	BEGIN
		IF jsonb_typeof(value) IS DISTINCT FROM 'string' THEN
			PERFORM hotdash._sla_refuse('a duration such as "15 minutes" is expected', path);
		END IF;
		BEGIN
			duration := value #>> '{}';
		EXCEPTION WHEN data_exception THEN
			PERFORM hotdash._sla_refuse(format('"%s" is no duration', left(value #>> '{}', 64)), path,
				'Write it as "15 minutes" or "8 hours".');
		END;
		IF extract(year FROM duration) <> 0 OR extract(month FROM duration) <> 0 THEN
			PERFORM hotdash._sla_refuse('a duration must not contain months or years', path,
				'Write it in days, hours, minutes or seconds; a day counts 24 hours.');
		END IF;
		us := extract(epoch FROM duration) * 1000000;
		IF us <= 0 THEN
			PERFORM hotdash._sla_refuse('a duration must be longer than 0', path);
		ELSIF us > 3155760000000000 THEN
			PERFORM hotdash._sla_refuse('a duration must not be longer than 36525 days', path);
		END IF;
		RETURN us;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_duration(jsonb, text) IS 'Microseconds of a duration in a definition, or 22023';
REVOKE ALL ON FUNCTION hotdash._sla_duration(jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_words(value jsonb, otherwise jsonb, path text) RETURNS text[]
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		value := coalesce(value, otherwise, '[]');
		IF jsonb_typeof(value) <> 'array' OR jsonb_array_length(value) > 50
			OR EXISTS (SELECT FROM jsonb_array_elements(value) AS v
				WHERE jsonb_typeof(v) <> 'string' OR v #>> '{}' !~ '^[a-zA-Z0-9_.:-]{1,100}$')
		THEN
			PERFORM hotdash._sla_refuse('an array of at most 50 names of events is expected', path,
				'A name has letters, digits and characters _ . : -.');
		END IF;
		RETURN ARRAY(SELECT jsonb_array_elements_text(value));
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_words(jsonb, jsonb, text) IS 'Names of events in a definition, or 22023';
REVOKE ALL ON FUNCTION hotdash._sla_words(jsonb, jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_metric_usual(metric text) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- What help desks mean by these. The customer waits for an answer whatever the ticket's state, so the first
		-- two do not pause; work on a ticket does.
		SELECT coalesce(CASE metric
			WHEN 'first_response' THEN '{"start": ["created"], "meet": ["agent_reply"], "cancel": ["deleted", "merged"],
				"reopen": "ignore"}'::jsonb
			WHEN 'next_response' THEN '{"start": ["customer_message"], "meet": ["agent_reply", "solved"],
				"cancel": ["deleted", "merged"], "reopen": "ignore"}'
			WHEN 'resolution' THEN '{"start": ["created"], "meet": ["solved"], "pause": ["pending", "on_hold"],
				"resume": ["open", "customer_message"], "reopens": ["reopened"], "cancel": ["deleted", "merged"]}'
			WHEN 'periodic_update' THEN '{"start": ["created", "reopened"], "meet": ["agent_reply", "update"],
				"pause": ["pending", "on_hold"], "resume": ["open", "customer_message"],
				"cancel": ["solved", "deleted", "merged"], "restarts": true, "reopen": "ignore"}'
			END, '{}')
	$$;
COMMENT ON FUNCTION hotdash._sla_metric_usual(text) IS 'Which events do what to a well-known metric, unless a policy says otherwise';
REVOKE ALL ON FUNCTION hotdash._sla_metric_usual(text) FROM PUBLIC;

/* A step as its definition has it: due at percent of the target, before the due point or after it. */
CREATE TYPE hotdash._sla_step_due AS (
	step smallint,
	percent numeric,
	before_us bigint,
	after_us bigint
);
COMMENT ON TYPE hotdash._sla_step_due IS 'When a step is due: one of the three';
REVOKE ALL ON TYPE hotdash._sla_step_due FROM PUBLIC;

CREATE FUNCTION hotdash._sla_step_read(entry jsonb, kind text, step smallint, path text, OUT due hotdash._sla_step_due,
		OUT name text, OUT actions jsonb)
	LANGUAGE plpgsql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		word text;
	BEGIN
		PERFORM hotdash._sla_check_keys(entry, CASE kind WHEN 'warning' THEN '{at,name,actions}'
			WHEN 'escalation' THEN '{after,name,actions}' ELSE '{name,actions}' END::text[], path);
		due.step := step;
		IF kind = 'escalation' THEN
			due.after_us := hotdash._sla_duration(entry -> 'after', path || '.after');
		ELSIF kind = 'breach' THEN
			due.after_us := 0;
		ELSIF entry ->> 'at' ~ '^\s*\d{1,2}(\.\d{1,4})?\s*%\s*$' THEN
			due.percent := rtrim(btrim(entry ->> 'at'), '% ');
			IF due.percent <= 0 THEN
				PERFORM hotdash._sla_refuse('a warning must lie between 0 and 100 percent of the target', path || '.at');
			END IF;
		ELSIF entry ->> 'at' ~ '%' THEN
			PERFORM hotdash._sla_refuse('a warning must lie between 0 and 100 percent of the target', path || '.at',
				'Write it as "80%".');
		ELSE
			due.before_us := hotdash._sla_duration(entry -> 'at', path || '.at');
		END IF;
		word := CASE kind WHEN 'warning' THEN (entry ->> 'at') WHEN 'escalation' THEN format('level %s', step - 49)
			ELSE 'breach' END;
		name := coalesce(entry ->> 'name', word);
		IF octet_length(name) NOT BETWEEN 1 AND 200 THEN
			PERFORM hotdash._sla_refuse('a name has 1 to 200 bytes', path || '.name');
		END IF;
		actions := coalesce(entry -> 'actions', '[]');
		PERFORM hotdash._sla_actions_check(actions, path || '.actions');
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_step_read(jsonb, text, smallint, text) IS 'A step of a definition, or 22023';
REVOKE ALL ON FUNCTION hotdash._sla_step_read(jsonb, text, smallint, text) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_metric_steps(version_id int, metric text, body jsonb, path text)
	RETURNS hotdash._sla_step_due[]
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		dues hotdash._sla_step_due[] := '{}';
		entry record;
		found record;
	BEGIN
		FOR entry IN
			SELECT 'breach' AS kind, 0::smallint AS step, coalesce(body -> 'breach', '{}') AS body, path || '.breach' AS path
			UNION ALL
			SELECT 'warning', w.n::smallint, w.body, format('%s.warnings[%s]', path, w.n - 1)
			FROM jsonb_array_elements(coalesce(body -> 'warnings', '[]')) WITH ORDINALITY AS w (body, n)
			UNION ALL
			SELECT 'escalation', (49 + e.n)::smallint, e.body, format('%s.escalations[%s]', path, e.n - 1)
			FROM jsonb_array_elements(coalesce(body -> 'escalations', '[]')) WITH ORDINALITY AS e (body, n)
		LOOP
			found := hotdash._sla_step_read(entry.body, entry.kind, entry.step, entry.path);
			INSERT INTO hotdash._sla_step AS s (version_id, metric, step, kind, name, actions)
				VALUES (version_id, metric, entry.step, entry.kind, found.name, found.actions);
			dues := dues || found.due;
		END LOOP;
		RETURN dues;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_metric_steps(int, text, jsonb, text) IS 'Writes the steps of a metric; returns when they are due';
REVOKE ALL ON FUNCTION hotdash._sla_metric_steps(int, text, jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_target_set(version_id int, metric text, priority text, target bigint,
		dues hotdash._sla_step_due[]) RETURNS void
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- A warning that would come before the start is left out: the target is shorter than its notice.
		INSERT INTO hotdash._sla_target AS t (version_id, metric, priority, target, steps, offsets)
		SELECT _sla_target_set.version_id, _sla_target_set.metric, _sla_target_set.priority, _sla_target_set.target,
			array_agg(d.step ORDER BY d.at, (d.step + 50) % 100), array_agg(d.at ORDER BY d.at, (d.step + 50) % 100)
		FROM (SELECT u.step,
				coalesce(trunc(u.percent * _sla_target_set.target / 100)::bigint - _sla_target_set.target, -u.before_us,
					u.after_us) AS at
			FROM unnest(dues) AS u) AS d
		WHERE d.at > -_sla_target_set.target
	$$;
COMMENT ON FUNCTION hotdash._sla_target_set(int, text, text, bigint, hotdash._sla_step_due[]) IS
	'Writes a target and where its steps lie';
REVOKE ALL ON FUNCTION hotdash._sla_target_set(int, text, text, bigint, hotdash._sla_step_due[]) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_metric_set(version_id int, metric text, body jsonb, at_open bool) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		path constant text := 'metrics.' || left(metric, 64);
		usual constant jsonb := hotdash._sla_metric_usual(metric);
		dues hotdash._sla_step_due[];
		target record;
	BEGIN
		IF metric !~ '^[a-z][a-z0-9_]{0,62}$' THEN
			PERFORM hotdash._sla_refuse('invalid name of a metric', path,
				'It begins with a small letter and has small letters, digits and _, 63 at most.');
		END IF;
		PERFORM hotdash._sla_check_keys(body, '{target,targets,start,pause,resume,meet,reopens,cancel,reopen,restarts,warnings,breach,escalations}',
			path);
		IF coalesce(body ->> 'reopen', 'continue') NOT IN ('continue', 'restart', 'ignore') THEN
			PERFORM hotdash._sla_refuse('reopen must be continue, restart or ignore', path || '.reopen');
		END IF;
		IF jsonb_typeof(coalesce(body -> 'restarts', 'false')) <> 'boolean' THEN
			PERFORM hotdash._sla_refuse('restarts must be true or false', path || '.restarts');
		END IF;
		IF coalesce(jsonb_typeof(body -> 'warnings'), 'array') <> 'array'
			OR jsonb_array_length(coalesce(body -> 'warnings', '[]')) > 49
			OR coalesce(jsonb_typeof(body -> 'escalations'), 'array') <> 'array'
			OR jsonb_array_length(coalesce(body -> 'escalations', '[]')) > 50
		THEN
			PERFORM hotdash._sla_refuse('warnings and escalations are arrays of at most 49 and 50 steps', path);
		END IF;
		INSERT INTO hotdash._sla_metric AS m (version_id, metric, at_open, reopen, restarts, starts, pauses, resumes, meets,
				reopens, cancels)
			VALUES (version_id, metric, at_open, coalesce(body ->> 'reopen', usual ->> 'reopen', 'continue'),
				coalesce((body -> 'restarts')::bool, (usual -> 'restarts')::bool, false),
				hotdash._sla_words(body -> 'start', usual -> 'start', path || '.start'),
				hotdash._sla_words(body -> 'pause', usual -> 'pause', path || '.pause'),
				hotdash._sla_words(body -> 'resume', usual -> 'resume', path || '.resume'),
				hotdash._sla_words(body -> 'meet', usual -> 'meet', path || '.meet'),
				hotdash._sla_words(body -> 'reopens', usual -> 'reopens', path || '.reopens'),
				hotdash._sla_words(body -> 'cancel', usual -> 'cancel', path || '.cancel'));
		dues := hotdash._sla_metric_steps(version_id, metric, body, path);
		PERFORM hotdash._sla_target_set(version_id, metric, '', hotdash._sla_duration(body -> 'target', path || '.target'),
			dues);
		IF jsonb_typeof(coalesce(body -> 'targets', '{}')) <> 'object' THEN
			PERFORM hotdash._sla_refuse('targets must be an object', path || '.targets',
				'As in {"urgent": "5 minutes"}.');
		END IF;
		FOR target IN SELECT t.key, t.value FROM jsonb_each(coalesce(body -> 'targets', '{}')) AS t LOOP
			IF octet_length(target.key) NOT BETWEEN 1 AND 63 THEN
				PERFORM hotdash._sla_refuse('a priority has 1 to 63 bytes', path || '.targets');
			END IF;
			PERFORM hotdash._sla_target_set(version_id, metric, target.key,
				hotdash._sla_duration(target.value, format('%s.targets.%s', path, target.key)), dues);
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_metric_set(int, text, jsonb, bool) IS 'Writes a metric of a version of a policy, or raises 22023';
REVOKE ALL ON FUNCTION hotdash._sla_metric_set(int, text, jsonb, bool) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_policy_check(name text, definition jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(name, 'name');
		PERFORM hotdash._require_arg(definition, 'definition');
		IF name = '' OR octet_length(name) > 63 OR name ~ '[[:cntrl:]]' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'invalid name of an SLA policy',
				DETAIL = 'It has 1 to 63 bytes and no control characters.';
		END IF;
		IF octet_length(definition::text) > 1048576 THEN
			RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
				MESSAGE = 'definition of an SLA policy must not be longer than 1 MB';
		END IF;
		PERFORM hotdash._sla_check_keys(definition, '{calendar,at_close,description,metrics}', 'the top');
		IF coalesce(jsonb_typeof(definition -> 'calendar'), 'string') NOT IN ('string', 'null') THEN
			PERFORM hotdash._sla_refuse('the name of a calendar is expected', 'calendar');
		END IF;
		IF coalesce(definition ->> 'at_close', 'close') NOT IN ('close', 'open') THEN
			PERFORM hotdash._sla_refuse('at_close must be close or open', 'at_close',
				'It says whether a due point at closing time means that, or the next opening.');
		END IF;
		IF jsonb_typeof(definition -> 'metrics') IS DISTINCT FROM 'object' OR definition -> 'metrics' = '{}' THEN
			PERFORM hotdash._sla_refuse('metrics must be an object with at least one metric', 'metrics',
				'As in {"first_response": {"target": "15 minutes"}}.');
		END IF;
		IF (SELECT count(*) FROM jsonb_object_keys(definition -> 'metrics')) > 50 THEN
			PERFORM hotdash._sla_refuse('a policy has at most 50 metrics', 'metrics');
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_policy_check(text, jsonb) IS 'Raises 22023 for what is no policy, but for its metrics';
REVOKE ALL ON FUNCTION hotdash._sla_policy_check(text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.sla_policy_set(name text, definition jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	#variable_conflict use_variable
	DECLARE
		calendar_id int;
		policy_id int;
		version_id constant int := nextval('hotdash._sla_policy_id');
		last hotdash._sla_policy_version;
	BEGIN
		PERFORM hotdash._sla_policy_check(name, definition);
		IF definition ->> 'calendar' IS NOT NULL THEN
			calendar_id := hotdash._calendar_id(definition ->> 'calendar');
		END IF;
		PERFORM hotdash._instance_use();
		INSERT INTO hotdash._sla_policy AS p (id, version_id, calendar, name) VALUES (version_id, version_id, calendar_id, name)
			ON CONFLICT ON CONSTRAINT _sla_policy_name_key DO UPDATE SET version_id = p.version_id
			RETURNING p.id INTO policy_id;
		SELECT * INTO last FROM hotdash._sla_policy_version AS v WHERE v.policy = policy_id ORDER BY v.version DESC LIMIT 1;
		IF last.definition = definition AND last.calendar IS NOT DISTINCT FROM calendar_id THEN
			RETURN;
		END IF;
		INSERT INTO hotdash._sla_policy_version AS v (id, policy, version, calendar, set_at, set_by, definition)
			VALUES (version_id, policy_id, coalesce(last.version, 0) + 1, calendar_id, hotdash._now(),
				hotdash._acting_role(), definition);
		PERFORM hotdash._sla_metric_set(version_id, m.key, m.value, coalesce(definition ->> 'at_close', 'close') = 'open')
			FROM jsonb_each(definition -> 'metrics') AS m;
		UPDATE hotdash._sla_policy AS p SET version_id = version_id, calendar = calendar_id WHERE p.id = policy_id;
	END
	$$;
COMMENT ON FUNCTION hotdash.sla_policy_set(text, jsonb) IS
	'States an SLA policy: metrics with targets by priority, the calendar, events, warnings, breach and escalations; for clocks that begin from then on';
REVOKE ALL ON FUNCTION hotdash.sla_policy_set(text, jsonb) FROM PUBLIC;
