/*
 * sla_rules.sql: escalation rules: a condition over what happens to a subject, and what is done when it turns true.
 *
 * Rules. A condition is JsonLogic (dialect js, as that of flags) over facts, and is looked at with each sla_start, each
 * sla_event and each step of a clock, in the transaction of that; or it is {"depth":…}, which the tick looks at. Presets
 * are code (_escalation_presets) and off until escalation_rule_enable: actions reach out of the database, so nobody gets
 * them unasked. A row of _escalation_rule with a condition goes before the preset of its name, one without switches it on.
 *
 * States. An escalation is a row of _escalation from the moment that a rule turns true for a subject to the moment that it
 * turns false:
 *
 *		(none) -- true --> raised, actions performed -- false --> cleared
 *
 * and true while it is raised, or false while it is not, is nothing. A rule that asks for the language of a message says
 * nothing about an event without one: then false leaves it as it is.
 *
 * Once. At most one escalation of a rule, tenant and subject is open, by a unique index; who inserts the row performs
 * the actions, in the same subtransaction. Two transactions at the same subject wait for each other at its clocks
 * anyway; where they did not, the second waits for the first, but 50 ms at most. Who would wait longer, or is in a
 * snapshot in which what the first did cannot be seen, writes down what it found in _escalation_left; who comes to the
 * subject next, at the latest the tick, applies that first. So no rule makes an application wait for another's commit,
 * or keeps it in a deadlock, none raises twice, and none is lost.
 *
 * Failures. A condition or an action that fails undoes nothing but itself: it is counted, noted in _escalation_failure
 * (of each rule at most every ten seconds), and health() tells of it.
 *
 * Locks: clocks of the subject, before escalations of the subject in the order of the rules' names.
 */

/*
 * Tables
 */

CREATE TABLE hotdash._escalation_rule (
	name text COLLATE "C" PRIMARY KEY,
	enabled bool NOT NULL,
	condition jsonb,
	actions jsonb,
	reads text[] COLLATE "C",
	changed_at timestamptz NOT NULL,
	changed_by text NOT NULL
);
COMMENT ON TABLE hotdash._escalation_rule IS 'Escalation rules of this installation, and presets that are switched on';
COMMENT ON COLUMN hotdash._escalation_rule.condition IS 'Null: condition and actions are those of the preset of that name';
COMMENT ON COLUMN hotdash._escalation_rule.reads IS 'Facts that the condition reads; * stands for all';
SELECT pg_catalog.pg_extension_config_dump('hotdash._escalation_rule', '');

CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hotdash._escalation_rule
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._escalation_changed();
ALTER TABLE hotdash._escalation_rule ENABLE ALWAYS TRIGGER changed;
CREATE TRIGGER applied AFTER INSERT OR UPDATE OR DELETE ON hotdash._escalation_rule
	FOR EACH ROW EXECUTE FUNCTION hotdash._escalation_changed();
ALTER TABLE hotdash._escalation_rule ENABLE REPLICA TRIGGER applied;

CREATE SEQUENCE hotdash._escalation_id AS bigint MAXVALUE 4503599627370495;
COMMENT ON SEQUENCE hotdash._escalation_id IS 'Low 52 bits of the ids of escalations, and of what was left or failed';
SELECT pg_catalog.pg_extension_config_dump('hotdash._escalation_id', '');

CREATE TABLE hotdash._escalation (
	id bigint PRIMARY KEY,
	raised_at timestamptz NOT NULL,
	cleared_at timestamptz,
	rule text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	subject text COLLATE "C" NOT NULL,
	facts jsonb NOT NULL,
	outcome jsonb
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX _escalation_open ON hotdash._escalation (tenant, subject, rule) WHERE cleared_at IS NULL;
CREATE INDEX _escalation_subject ON hotdash._escalation (tenant, subject, id);
CREATE INDEX _escalation_old ON hotdash._escalation (raised_at);
COMMENT ON TABLE hotdash._escalation IS 'Escalations, a row from the moment that a rule turned true for a subject to its end';
COMMENT ON COLUMN hotdash._escalation.facts IS 'What the rule was true of, without the attributes';
COMMENT ON COLUMN hotdash._escalation.outcome IS 'What each of its actions came to';
SELECT pg_catalog.pg_extension_config_dump('hotdash._escalation', '');

CREATE TABLE hotdash._escalation_left (
	id bigint PRIMARY KEY,
	at timestamptz NOT NULL,
	held bool NOT NULL,
	rule text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	subject text COLLATE "C" NOT NULL,
	facts jsonb NOT NULL
);
CREATE INDEX _escalation_left_subject ON hotdash._escalation_left (tenant, subject, rule);
COMMENT ON TABLE hotdash._escalation_left IS 'What was found of a rule while another transaction was at the same escalation';
COMMENT ON COLUMN hotdash._escalation_left.held IS 'Whether the condition was true';
SELECT pg_catalog.pg_extension_config_dump('hotdash._escalation_left', '');

CREATE TABLE hotdash._escalation_failure (
	id bigint PRIMARY KEY,
	at timestamptz NOT NULL,
	rule text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	subject text NOT NULL,
	what text NOT NULL,
	sqlstate text NOT NULL,
	message text NOT NULL
);
CREATE INDEX _escalation_failure_rule ON hotdash._escalation_failure (rule, at);
COMMENT ON TABLE hotdash._escalation_failure IS 'Conditions and actions that failed, of each rule at most one every ten seconds';
COMMENT ON COLUMN hotdash._escalation_failure.what IS 'condition, or the kind of the action';
SELECT pg_catalog.pg_extension_config_dump('hotdash._escalation_failure', '');

REVOKE ALL ON hotdash._escalation_rule, hotdash._escalation, hotdash._escalation_left, hotdash._escalation_failure FROM PUBLIC;
REVOKE ALL ON SEQUENCE hotdash._escalation_id FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_next_id() RETURNS bigint
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RETURN current_setting('hotdash.node_id')::bigint << 52 | nextval('hotdash._escalation_id');
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_next_id() IS 'An id of an escalation';
REVOKE ALL ON FUNCTION hotdash._escalation_next_id() FROM PUBLIC;

/*
 * Rules in force
 */

CREATE FUNCTION hotdash._escalation_presets() RETURNS TABLE (name text, condition jsonb, actions jsonb, reads text[])
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE ROWS 4
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RETURN QUERY VALUES
			('vip', '{"var":"vip"}'::jsonb,
				'[{"retarget":{"priority":"urgent"}},{"event":{"type":"sla.escalation"}}]'::jsonb, '{vip}'::text[]),
			('angry', '{"var":"language.angry"}', '[{"advance":1},{"event":{"type":"sla.escalation"}}]', '{language}'),
			('breach', '{"var":"breached"}', '[{"event":{"type":"sla.escalation"}}]', '{breached}'),
			('pending', '{"depth":{"alert_at":50,"escalate_at":100}}', '[{"event":{"type":"sla.escalation"}}]', '{}');
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_presets() IS 'Rules that come with the extension, switched off';
REVOKE ALL ON FUNCTION hotdash._escalation_presets() FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_rules_in_force() RETURNS SETOF hotdash._escalation_rule
	LANGUAGE plpgsql STABLE ROWS 10
	SET search_path = pg_catalog, pg_temp
	AS $$
	-- Not of language SQL: it would be planned anew for each event.
	BEGIN
		RETURN QUERY SELECT r.name, r.enabled, coalesce(r.condition, p.condition), coalesce(r.actions, p.actions),
				CASE WHEN r.condition IS NULL THEN p.reads ELSE r.reads END, r.changed_at, r.changed_by
			FROM hotdash._escalation_rule AS r
			LEFT JOIN hotdash._escalation_presets() AS p ON r.condition IS NULL AND p.name = r.name
			WHERE r.enabled AND coalesce(r.condition, p.condition) IS NOT NULL;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_rules_in_force() IS 'Rules that are switched on, presets as if they were rows';
REVOKE ALL ON FUNCTION hotdash._escalation_rules_in_force() FROM PUBLIC;

/*
 * Conditions: what may be one
 */

CREATE FUNCTION hotdash._escalation_facts_known() RETURNS text[]
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT '{event,at,tenant,subject,clock,policy,metric,priority,step,kind,attributes,breached,vip,language,queue}'::text[]
	$$;
COMMENT ON FUNCTION hotdash._escalation_facts_known() IS 'Facts that a condition can read';
REVOKE ALL ON FUNCTION hotdash._escalation_facts_known() FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_refuse(path text, what text, hint text DEFAULT '') RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = format('%s: %s', path, what), HINT = hint;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_refuse(text, text, text) IS 'Raises 22023 with the path of what is wrong';
REVOKE ALL ON FUNCTION hotdash._escalation_refuse(text, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_problem(rule jsonb) RETURNS text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
	-- In strict an object with two members is a problem, which in js would be data, and is a slip here.
	AS $$
		SELECT hotdash._flag_check('', jsonb_build_object('variants', '{}'::jsonb, 'dialect', 'strict',
			'targeting', rule)) -> 'problems' ->> 0
	$$;
COMMENT ON FUNCTION hotdash._escalation_problem(jsonb) IS 'Why a rule of JsonLogic cannot be evaluated, NULL when it can';
REVOKE ALL ON FUNCTION hotdash._escalation_problem(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_parts(rule jsonb, at text) RETURNS TABLE (path text, part jsonb)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT at || '/' || (a.i - 1), a.part FROM jsonb_array_elements(
			CASE WHEN jsonb_typeof(rule) = 'array' THEN rule ELSE '[]' END) WITH ORDINALITY AS a (part, i)
		UNION ALL
		SELECT at || '/' || replace(replace(left(o.key, 64), '~', '~0'), '/', '~1'), o.value FROM jsonb_each(
			CASE WHEN jsonb_typeof(rule) = 'object' THEN rule ELSE '{}' END) AS o
	$$;
COMMENT ON FUNCTION hotdash._escalation_parts(jsonb, text) IS 'What a rule consists of, with JSON pointers';
REVOKE ALL ON FUNCTION hotdash._escalation_parts(jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_find_problem(rule jsonb, path text) RETURNS void
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* The innermost part that cannot be evaluated is the one to name. */
	DECLARE
		problem constant text := hotdash._escalation_problem(rule);
		p record;
	BEGIN
		IF problem IS NULL THEN
			RETURN;
		END IF;
		FOR p IN SELECT * FROM hotdash._escalation_parts(rule, path) LOOP
			PERFORM hotdash._escalation_find_problem(p.part, p.path);
		END LOOP;
		PERFORM hotdash._escalation_refuse(path, problem);
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_find_problem(jsonb, text) IS 'Raises 22023 with the path of what cannot be evaluated';
REVOKE ALL ON FUNCTION hotdash._escalation_find_problem(jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_names(operator text, arguments jsonb, at text) RETURNS TABLE (path text, names text[])
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		/* What an operator reads, name by name from the outside in; {*} where that is known only when it is evaluated. */
		WITH list AS (
			SELECT CASE jsonb_typeof(arguments) WHEN 'array' THEN arguments ELSE jsonb_build_array(arguments) END AS a
		)
		SELECT at, CASE
			WHEN jsonb_array_length(l.a) = 0 OR jsonb_typeof(l.a -> 0) NOT IN ('string', 'number') THEN '{*}'
			WHEN operator = 'var' THEN string_to_array(nullif(l.a ->> 0, ''), '.')
			ELSE ARRAY(SELECT jsonb_array_elements_text(l.a)) END
		FROM list AS l WHERE operator IN ('var', 'val', 'exists')
		UNION ALL
		SELECT at || '/' || (n.i - 1),
			CASE jsonb_typeof(n.name) WHEN 'string' THEN string_to_array(n.name #>> '{}', '.') ELSE '{*}' END
		FROM list AS l, jsonb_array_elements(CASE operator WHEN 'missing' THEN l.a
			WHEN 'missing_some' THEN CASE jsonb_typeof(l.a -> 1) WHEN 'array' THEN l.a -> 1 ELSE '[{}]' END
			ELSE '[]' END) WITH ORDINALITY AS n (name, i)
	$$;
COMMENT ON FUNCTION hotdash._escalation_names(text, jsonb, text) IS 'Facts that an operator reads by its arguments';
REVOKE ALL ON FUNCTION hotdash._escalation_names(text, jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_reads(rule jsonb, at text) RETURNS TABLE (path text, names text[])
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	#variable_conflict use_column
	DECLARE
		operator constant text := CASE jsonb_typeof(rule) WHEN 'object' THEN (SELECT min(k) FROM jsonb_object_keys(rule) AS k) END;
		within constant text := at || '/' || operator;
		p record;
	BEGIN
		IF operator IN ('map', 'filter', 'reduce', 'all', 'some', 'none') AND jsonb_typeof(rule -> operator) = 'array' THEN
			-- The rest is about the elements, and may climb out of them.
			RETURN QUERY SELECT * FROM hotdash._escalation_reads(rule -> operator -> 0, within || '/0');
			IF (rule -> operator)::text ~ '"val"|"exists"' THEN
				RETURN QUERY SELECT within, '{*}'::text[];
			END IF;
			RETURN;
		END IF;
		RETURN QUERY SELECT * FROM hotdash._escalation_names(operator, rule -> operator, within);
		FOR p IN SELECT * FROM hotdash._escalation_parts(rule, at) LOOP
			RETURN QUERY SELECT * FROM hotdash._escalation_reads(p.part, p.path);
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_reads(jsonb, text) IS 'Facts that a rule reads, and where';
REVOKE ALL ON FUNCTION hotdash._escalation_reads(jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_check_condition(condition jsonb) RETURNS text[]
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		known constant text[] := hotdash._escalation_facts_known();
		asked jsonb;
		reads text[] := '{}';
		r record;
	BEGIN
		IF octet_length(condition::text) > 16384 THEN
			RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded', MESSAGE = 'a condition must not be longer than 16 kB';
		END IF;
		PERFORM hotdash._escalation_find_problem(condition, 'condition');
		asked := hotdash._flag_check('', jsonb_build_object('variants', '{}'::jsonb, 'targeting', condition));
		IF asked -> 'flags' <> '[]' OR asked -> 'segments' <> '[]' OR asked -> 'refs' <> '[]' THEN
			PERFORM hotdash._escalation_refuse('condition', 'a rule cannot ask flags, segments or evaluators',
				'Let the application put what it knows of a customer into the attributes.');
		END IF;
		FOR r IN SELECT * FROM hotdash._escalation_reads(condition, 'condition') LOOP
			IF r.names IS NULL THEN
				r.names := '{*}';
			END IF;
			IF r.names[1] <> '*' AND r.names[1] <> ALL (known) THEN
				PERFORM hotdash._escalation_refuse(r.path, format('there is no fact "%s"', left(r.names[1], 64)),
					format('Facts are %s. What the application says of a subject is in attributes: {"var": "attributes.%s"}.',
						array_to_string(known, ', '), left(r.names[1], 64)));
			ELSIF r.names[1] = 'language' AND r.names[2] <> ALL ('{angry,score,matches,language}') THEN
				PERFORM hotdash._escalation_refuse(r.path, format('there is no fact "language.%s"', left(r.names[2], 64)),
					'There are language.angry, language.score, language.matches and language.language.');
			END IF;
			reads := array_append(reads, r.names[1]);
		END LOOP;
		IF reads = '{}' THEN
			PERFORM hotdash._escalation_refuse('condition', 'it reads no fact and would always say the same',
				format('Facts are %s; as in {"var": "vip"}.', array_to_string(known, ', ')));
		END IF;
		RETURN ARRAY(SELECT DISTINCT unnest(reads) ORDER BY 1);
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_check_condition(jsonb) IS
	'Facts that a condition reads; 22023 with the path for one that could not be evaluated';
REVOKE ALL ON FUNCTION hotdash._escalation_check_condition(jsonb) FROM PUBLIC;

/*
 * Actions: those of policies, and two that act on the subject's clocks
 */

CREATE FUNCTION hotdash._escalation_check_own(what text, given jsonb, path text) RETURNS void
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		wrong text;
	BEGIN
		IF what = 'advance' THEN
			IF jsonb_typeof(given) <> 'number' OR given::numeric NOT BETWEEN 1 AND 50 OR given::numeric <> trunc(given::numeric) THEN
				PERFORM hotdash._escalation_refuse(path, 'must be a whole number between 1 and 50',
					'So many steps of the ladder are fired at once.');
			END IF;
			RETURN;
		END IF;
		SELECT k INTO wrong FROM jsonb_each(CASE jsonb_typeof(given) WHEN 'object' THEN given ELSE '{"":""}' END) AS e (k, v)
			WHERE k NOT IN ('priority', 'policy') OR jsonb_typeof(v) <> 'string' OR octet_length(v #>> '{}') NOT BETWEEN 1 AND 63
			ORDER BY k LIMIT 1;
		IF FOUND OR given = '{}' THEN
			PERFORM hotdash._escalation_refuse(path, 'must have "priority", "policy" or both, each a text of 1 to 63 bytes',
				'As in {"retarget": {"priority": "urgent"}}.');
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_check_own(text, jsonb, text) IS 'Raises 22023 for advance or retarget that could not be done';
REVOKE ALL ON FUNCTION hotdash._escalation_check_own(text, jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_check_actions(action jsonb, has_subject bool) RETURNS jsonb
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		actions constant jsonb := CASE jsonb_typeof(action) WHEN 'array' THEN action ELSE jsonb_build_array(action) END;
		others jsonb := '[]';
		a record;
		path text;
		what text;
	BEGIN
		IF octet_length(actions::text) > 65536 THEN
			RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded', MESSAGE = 'actions of a rule must not be longer than 64 kB';
		END IF;
		FOR a IN SELECT e.value, e.ordinality - 1 AS i FROM jsonb_array_elements(actions) WITH ORDINALITY AS e LOOP
			what := CASE WHEN jsonb_typeof(a.value) = 'object' THEN
				(SELECT min(k) FROM jsonb_object_keys(a.value) AS k HAVING count(*) = 1) END;
			path := format('action[%s]%s', a.i, '.' || what);
			IF what IN ('advance', 'retarget') THEN
				IF NOT has_subject THEN
					PERFORM hotdash._escalation_refuse(path, 'a rule about depth has no subject whose clocks it could change');
				END IF;
				PERFORM hotdash._escalation_check_own(what, a.value -> what, path);
				-- Something in its place, so that the rest keep their numbers.
				others := others || '{"event":{"type":"own"}}'::jsonb;
			ELSE
				others := others || jsonb_build_array(a.value);
			END IF;
		END LOOP;
		PERFORM hotdash._sla_actions_check(others, 'action');
		RETURN actions;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_check_actions(jsonb, bool) IS 'An action or several as an array; 22023 with the path for what is none';
REVOKE ALL ON FUNCTION hotdash._escalation_check_actions(jsonb, bool) FROM PUBLIC;

/*
 * Depth
 */

CREATE FUNCTION hotdash._escalation_bounds(depth jsonb) RETURNS hotdash._alert_bounds
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT ROW(d.alert_at, coalesce((depth ->> 'clear_below')::float8, d.alert_at * 0.8), d.escalate_at,
			coalesce((depth ->> 'ease_below')::float8, d.escalate_at * 0.8))::hotdash._alert_bounds
		FROM (SELECT coalesce((depth ->> 'alert_at')::float8, 50) AS alert_at,
			coalesce((depth ->> 'escalate_at')::float8, 2 * coalesce((depth ->> 'alert_at')::float8, 50)) AS escalate_at) AS d
	$$;
COMMENT ON FUNCTION hotdash._escalation_bounds(jsonb) IS
	'Bounds of a depth: 50 and twice that where none are given, and four fifths of each to come back';
REVOKE ALL ON FUNCTION hotdash._escalation_bounds(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_check_depth(condition jsonb) RETURNS text[]
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		known constant text[] := '{alert_at,clear_below,ease_below,escalate_at,policy,queue,tenant}';
		depth constant jsonb := condition -> 'depth';
		b hotdash._alert_bounds;
		r record;
	BEGIN
		IF jsonb_typeof(depth) <> 'object' OR (SELECT count(*) FROM jsonb_object_keys(condition)) > 1 THEN
			PERFORM hotdash._escalation_refuse('condition/depth', 'must be an object, and all of the condition');
		END IF;
		FOR r IN SELECT k, v, 'condition/depth/' || left(k, 64) AS path FROM jsonb_each(depth) AS e (k, v) LOOP
			IF r.k <> ALL (known) THEN
				PERFORM hotdash._escalation_refuse(r.path, 'unrecognized key', format('Known are %s.', array_to_string(known, ', ')));
			ELSIF r.k IN ('policy', 'queue', 'tenant') THEN
				IF jsonb_typeof(r.v) <> 'string' OR octet_length(r.v #>> '{}') > 200 THEN
					PERFORM hotdash._escalation_refuse(r.path, 'must be a text of at most 200 bytes');
				END IF;
			ELSIF jsonb_typeof(r.v) <> 'number' OR r.v::numeric NOT BETWEEN 1 AND 1e9 THEN
				PERFORM hotdash._escalation_refuse(r.path, 'must be a number between 1 and 1000000000');
			END IF;
		END LOOP;
		IF depth ? 'queue' AND depth ?| '{policy,tenant}' THEN
			PERFORM hotdash._escalation_refuse('condition/depth', 'a queue is that of all policies and tenants',
				'Give "queue" for ready jobs, or "policy", "tenant" or neither for open clocks.');
		END IF;
		b := hotdash._escalation_bounds(depth);
		IF b.clear_below > b.warn_at OR b.ease_below > b.critical_at OR b.warn_at > b.critical_at OR b.clear_below > b.ease_below THEN
			PERFORM hotdash._escalation_refuse('condition/depth', format(
				'bounds are out of order: alert_at %s, clear_below %s, escalate_at %s, ease_below %s', b.warn_at, b.clear_below,
				b.critical_at, b.ease_below), 'clear_below is at most alert_at and ease_below; these are at most escalate_at.');
		END IF;
		RETURN '{}';
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_check_depth(jsonb) IS 'Raises 22023 with the path for a condition that is no depth; it reads no facts';
REVOKE ALL ON FUNCTION hotdash._escalation_check_depth(jsonb) FROM PUBLIC;

/*
 * Defining rules
 */

CREATE FUNCTION hotdash._escalation_check_name(name text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(name, 'name');
		IF name !~ '^[a-zA-Z0-9_.:/-]{1,63}$' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'invalid name of an escalation rule',
				DETAIL = 'It has 1 to 63 letters, digits and characters _ - . : /.';
		END IF;
		RETURN name;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_check_name(text) IS 'The name, or 22004 or 22023';
REVOKE ALL ON FUNCTION hotdash._escalation_check_name(text) FROM PUBLIC;

CREATE FUNCTION hotdash.escalation_rule_set(name text, condition jsonb, action jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	#variable_conflict use_column
	DECLARE
		is_depth constant bool := jsonb_typeof(condition) = 'object' AND condition ? 'depth';
		actions jsonb;
		reads text[];
	BEGIN
		PERFORM hotdash._escalation_check_name(name);
		PERFORM hotdash._require_arg(condition, 'condition');
		PERFORM hotdash._require_arg(action, 'action');
		reads := CASE WHEN is_depth THEN hotdash._escalation_check_depth(condition)
			ELSE hotdash._escalation_check_condition(condition) END;
		actions := hotdash._escalation_check_actions(action, NOT is_depth);
		PERFORM hotdash._instance_use();
		INSERT INTO hotdash._escalation_rule AS r
		VALUES (name, true, condition, actions, reads, hotdash._now(), hotdash._acting_role())
		ON CONFLICT ON CONSTRAINT _escalation_rule_pkey DO UPDATE SET enabled = true, condition = excluded.condition,
			actions = excluded.actions, reads = excluded.reads, changed_at = excluded.changed_at,
			changed_by = excluded.changed_by;
	END
	$$;
COMMENT ON FUNCTION hotdash.escalation_rule_set(text, jsonb, jsonb) IS
	'Defines an escalation rule, or defines it anew, and switches it on: JsonLogic over facts or {"depth":…}, and an action or an array of them, performed when the condition turns true';
REVOKE ALL ON FUNCTION hotdash.escalation_rule_set(text, jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_end(rule text) RETURNS void
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		UPDATE hotdash._escalation AS e SET cleared_at = greatest(hotdash._now(), e.raised_at)
		WHERE e.rule = _escalation_end.rule AND e.cleared_at IS NULL;
		DELETE FROM hotdash._escalation_left AS l WHERE l.rule = _escalation_end.rule;
	$$;
COMMENT ON FUNCTION hotdash._escalation_end(text) IS 'Clears all escalations of a rule that is no longer in force';
REVOKE ALL ON FUNCTION hotdash._escalation_end(text) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_unknown(name text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('escalation rule "%s" does not exist', left(name, 63)),
			HINT = 'View escalation_rules lists those there are, presets included; a preset can be switched off, not deleted.';
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_unknown(text) IS 'Raises 42704';
REVOKE ALL ON FUNCTION hotdash._escalation_unknown(text) FROM PUBLIC;

CREATE FUNCTION hotdash.escalation_rule_delete(name text) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(name, 'name');
		DELETE FROM hotdash._escalation_rule AS r
			WHERE r.name = escalation_rule_delete.name AND r.condition IS NOT NULL;
		IF NOT FOUND THEN
			PERFORM hotdash._escalation_unknown(name);
		END IF;
		PERFORM hotdash._escalation_end(name);
	END
	$$;
COMMENT ON FUNCTION hotdash.escalation_rule_delete(text) IS
	'Deletes an escalation rule and clears its escalations; a preset of the same name is there again, switched off';
REVOKE ALL ON FUNCTION hotdash.escalation_rule_delete(text) FROM PUBLIC;

CREATE FUNCTION hotdash.escalation_rule_enable(name text) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(name, 'name');
		PERFORM hotdash._instance_use();
		INSERT INTO hotdash._escalation_rule AS r (name, enabled, changed_at, changed_by)
			SELECT p.name, true, hotdash._now(), hotdash._acting_role()
			FROM hotdash._escalation_presets() AS p WHERE p.name = escalation_rule_enable.name
			ON CONFLICT DO NOTHING;
		IF FOUND THEN
			RETURN;
		END IF;
		UPDATE hotdash._escalation_rule AS r SET enabled = true, changed_at = hotdash._now(), changed_by = hotdash._acting_role()
			WHERE r.name = escalation_rule_enable.name AND NOT r.enabled;
		IF NOT FOUND AND NOT EXISTS (SELECT FROM hotdash._escalation_rule AS r WHERE r.name = escalation_rule_enable.name) THEN
			PERFORM hotdash._escalation_unknown(name);
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash.escalation_rule_enable(text) IS 'Switches a rule or a preset (vip, angry, breach, pending) on';
REVOKE ALL ON FUNCTION hotdash.escalation_rule_enable(text) FROM PUBLIC;

CREATE FUNCTION hotdash.escalation_rule_disable(name text) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(name, 'name');
		UPDATE hotdash._escalation_rule AS r
			SET enabled = false, changed_at = hotdash._now(), changed_by = hotdash._acting_role()
			WHERE r.name = escalation_rule_disable.name AND r.enabled;
		IF FOUND THEN
			PERFORM hotdash._escalation_end(name);
		ELSIF NOT EXISTS (SELECT FROM hotdash._escalation_rule AS r WHERE r.name = escalation_rule_disable.name
				UNION ALL SELECT FROM hotdash._escalation_presets() AS p WHERE p.name = escalation_rule_disable.name) THEN
			PERFORM hotdash._escalation_unknown(name);
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash.escalation_rule_disable(text) IS 'Switches a rule or a preset off and clears its escalations';
REVOKE ALL ON FUNCTION hotdash.escalation_rule_disable(text) FROM PUBLIC;

/*
 * Views
 */

ALTER TABLE hotdash._escalation ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._escalation USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._escalation IS 'A session bound to a tenant sees that tenant alone';

CREATE FUNCTION hotdash._escalation_action_shown(rule text) RETURNS jsonb
	LANGUAGE sql STABLE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT hotdash._sla_masked(coalesce(r.actions, p.actions))
		FROM (SELECT rule AS name) AS n
		LEFT JOIN hotdash._escalation_rule AS r ON r.name = n.name
		LEFT JOIN hotdash._escalation_presets() AS p ON p.name = n.name
	$$;
COMMENT ON FUNCTION hotdash._escalation_action_shown(text) IS 'Actions of a rule, without what headers of calls say';
REVOKE ALL ON FUNCTION hotdash._escalation_action_shown(text) FROM PUBLIC;

CREATE VIEW hotdash.escalation_rules WITH (security_invoker = true) AS
	SELECT coalesce(r.name, p.name) AS name, coalesce(r.enabled, false) AS enabled, r.condition IS NULL AS preset,
		coalesce(r.condition, p.condition) AS condition, hotdash._escalation_action_shown(coalesce(r.name, p.name)) AS action, r.changed_at, r.changed_by
	FROM hotdash._escalation_rule AS r
	FULL JOIN hotdash._escalation_presets() AS p ON p.name = r.name;
COMMENT ON VIEW hotdash.escalation_rules IS 'Escalation rules, with the presets; of headers of calls the names alone';

CREATE VIEW hotdash.escalations WITH (security_invoker = true) AS
	SELECT e.id, e.rule, e.tenant, e.subject, CASE WHEN e.cleared_at IS NULL THEN 'raised' ELSE 'cleared' END AS state,
		e.raised_at, e.cleared_at, e.facts, e.outcome
	FROM hotdash._escalation AS e
	WHERE hotdash._tenant_sees(e.tenant);
COMMENT ON VIEW hotdash.escalations IS
	'Escalations: which rule turned true for which subject, of what, until when, and what its actions came to';
