/*
 * sla_escalations.sql: escalation rules at work: facts, what turns true and false, actions, depth, the tick, health.
 *
 * The model, and the order of locks, stand at the head of sla_rules.sql. What is called for each event is PL/pgSQL, which
 * keeps its plans; functions of language SQL would be planned anew each time.
 */

/*
 * Facts
 */

CREATE FUNCTION hotdash._escalation_is_vip(attributes jsonb) RETURNS bool
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* As shops say it: a flag, a tier, or a tag, of the subject or of its customer. */
	DECLARE
		said jsonb;
	BEGIN
		FOREACH said IN ARRAY ARRAY[attributes, attributes -> 'customer'] LOOP
			IF lower(said ->> 'vip') IN ('true', 'yes', '1') OR lower(said ->> 'tier') = 'vip'
					OR jsonb_typeof(said -> 'tags') = 'array' AND lower(said ->> 'tags')::jsonb ? 'vip' THEN
				RETURN true;
			END IF;
		END LOOP;
		RETURN false;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_is_vip(jsonb) IS
	'Whether attributes, or their member customer, have vip true, tier vip or a tag vip';
REVOKE ALL ON FUNCTION hotdash._escalation_is_vip(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_is_late(tenant text, subject text) RETURNS bool
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RETURN EXISTS (SELECT FROM hotdash._sla_clock AS c
			WHERE c.tenant = _escalation_is_late.tenant AND c.subject = _escalation_is_late.subject
				AND c.closed_at IS NULL AND c.breached_at IS NOT NULL);
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_is_late(text, text) IS 'Whether a subject has an open clock that is breached';
REVOKE ALL ON FUNCTION hotdash._escalation_is_late(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_known(tenant text, subject text, attributes jsonb, message text, reads text[]) RETURNS jsonb
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Facts that take finding out, and only if a rule reads them. */
	DECLARE
		facts jsonb := '{}';
	BEGIN
		IF reads && '{vip,*}' THEN
			facts := facts || jsonb_build_object('vip', hotdash._escalation_is_vip(attributes));
		END IF;
		IF reads && '{breached,*}' THEN
			facts := facts || jsonb_build_object('breached', hotdash._escalation_is_late(tenant, subject));
		END IF;
		IF message IS NOT NULL AND reads && '{language,*}' THEN
			facts := facts || jsonb_build_object('language', to_jsonb(hotdash.escalation_language(message,
				coalesce(attributes ->> 'language', attributes ->> 'locale'))));
		END IF;
		IF reads && '{queue,*}' THEN
			facts := facts || jsonb_build_object('queue', (SELECT jsonb_object_agg(q.queue, q.ready) FROM hotdash.queues AS q));
		END IF;
		RETURN facts;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_known(text, text, jsonb, text, text[]) IS
	'Those of the facts vip, breached, language and queue that are read';
REVOKE ALL ON FUNCTION hotdash._escalation_known(text, text, jsonb, text, text[]) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_facts_of_event(tenant text, subject text, event text, given jsonb, at timestamptz, reads text[])
	RETURNS jsonb
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	SET timezone = 'UTC'
	AS $$
	/* Of several open clocks the one that began last says policy, metric and priority. */
	DECLARE
		facts jsonb;
		attributes jsonb;
	BEGIN
		SELECT jsonb_build_object('clock', c.id::text, 'policy', p.name, 'metric', c.metric, 'priority', c.priority),
				coalesce(c.attributes, '{}')
			INTO facts, attributes
			FROM hotdash._sla_clock AS c JOIN hotdash._sla_policy AS p ON p.id = c.policy
			WHERE c.tenant = _escalation_facts_of_event.tenant AND c.subject = _escalation_facts_of_event.subject
				AND c.closed_at IS NULL
			ORDER BY c.started_at DESC, c.id DESC LIMIT 1;
		attributes := coalesce(attributes, '{}') || coalesce(given, '{}');
		RETURN coalesce(facts, '{}')
			|| jsonb_build_object('event', event, 'at', at, 'tenant', tenant, 'subject', subject, 'attributes', attributes)
			|| hotdash._escalation_known(tenant, subject, attributes, coalesce(given ->> 'message', given ->> 'content'), reads);
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_facts_of_event(text, text, text, jsonb, timestamptz, text[]) IS
	'What rules look at when something has happened to a subject; given: the event''s own attributes, which hold the message';
REVOKE ALL ON FUNCTION hotdash._escalation_facts_of_event(text, text, text, jsonb, timestamptz, text[]) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_facts_of_step(clock bigint, step smallint, due timestamptz, reads text[]) RETURNS jsonb
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		facts constant jsonb := hotdash._sla_facts(clock, step, due);
	BEGIN
		-- The clock's row may not say yet that it is late.
		RETURN facts || jsonb_build_object('event', facts -> 'kind')
			|| hotdash._escalation_known(facts ->> 'tenant', facts ->> 'subject', facts -> 'attributes', NULL, reads)
			|| CASE WHEN facts ->> 'breached_at' IS NULL THEN '{}' ELSE '{"breached": true}'::jsonb END;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_facts_of_step(bigint, smallint, timestamptz, text[]) IS
	'What rules look at when a step of a clock is fired';
REVOKE ALL ON FUNCTION hotdash._escalation_facts_of_step(bigint, smallint, timestamptz, text[]) FROM PUBLIC;

/*
 * Failures
 */

CREATE FUNCTION hotdash._escalation_count_failure() RETURNS void
	AS 'MODULE_PATHNAME', 'hd_sla_sql_rule_failed' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._escalation_count_failure() IS 'Counts a failure in memory, also when it is rolled back';
REVOKE ALL ON FUNCTION hotdash._escalation_count_failure() FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_failed(rule text, facts jsonb, what text, sqlstate text, message text) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	#variable_conflict use_variable
	DECLARE
		now_at constant timestamptz := hotdash._now();
	BEGIN
		PERFORM hotdash._escalation_count_failure();
		INSERT INTO hotdash._escalation_failure
			SELECT hotdash._escalation_next_id(), now_at, rule, facts ->> 'tenant', facts ->> 'subject', what, sqlstate,
				hotdash._clean_text(message, 500)
			WHERE NOT EXISTS (SELECT FROM hotdash._escalation_failure AS f
				WHERE f.rule = _escalation_failed.rule AND f.at > now_at - interval '10 seconds' AND f.at <= now_at);
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_failed(text, jsonb, text, text, text) IS 'Counts and notes that a condition or an action failed';
REVOKE ALL ON FUNCTION hotdash._escalation_failed(text, jsonb, text, text, text) FROM PUBLIC;

/*
 * Actions
 */

CREATE FUNCTION hotdash._escalation_retarget(given jsonb, facts jsonb) RETURNS jsonb
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET lock_timeout = '50ms'
	AS $$
	/* A clock that another transaction is at is waited for shortly: then all of it is left for the tick. */
	DECLARE
		done text[] := '{}';
		c record;
	BEGIN
		FOR c IN SELECT x.id FROM hotdash._sla_clock AS x JOIN hotdash._sla_policy AS p ON p.id = x.policy
				WHERE x.tenant = facts ->> 'tenant' AND x.subject = facts ->> 'subject' AND x.closed_at IS NULL
					AND (x.priority <> given ->> 'priority' OR p.name <> given ->> 'policy')
				ORDER BY x.id LOOP
			PERFORM hotdash.sla_retarget(c.id, policy => given ->> 'policy', priority => given ->> 'priority');
			done := done || c.id::text;
		END LOOP;
		RETURN jsonb_build_object('action', 'retarget', 'clocks', to_jsonb(done));
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_retarget(jsonb, jsonb) IS 'Holds the open clocks of the subject to another priority or policy';
REVOKE ALL ON FUNCTION hotdash._escalation_retarget(jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_advance(n int, facts jsonb) RETURNS jsonb
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET lock_timeout = '50ms'
	AS $$
	/* The next n steps of the ladder of each open clock, as if they were due; when they are, they will have been fired. */
	DECLARE
		now_at constant timestamptz := hotdash._now();
		fired jsonb := '[]';
		s record;
	BEGIN
		FOR s IN SELECT c.id, l.step
				FROM hotdash._sla_clock AS c
				CROSS JOIN LATERAL (SELECT x.step FROM hotdash._sla_step AS x
					WHERE x.version_id = c.version_id AND x.metric = c.metric AND x.kind = 'escalation'
						AND NOT EXISTS (SELECT FROM hotdash._sla_event AS e WHERE e.clock = c.id AND e.step = x.step)
					ORDER BY x.step LIMIT n) AS l
				WHERE c.tenant = facts ->> 'tenant' AND c.subject = facts ->> 'subject' AND c.closed_at IS NULL
				ORDER BY c.id, l.step LOOP
			IF hotdash._sla_fire(s.id, s.step, now_at) THEN
				fired := fired || jsonb_build_object('clock', s.id::text, 'step', s.step);
			END IF;
		END LOOP;
		RETURN jsonb_build_object('action', 'advance', 'steps', fired);
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_advance(int, jsonb) IS 'Fires the next steps of the ladders of the subject''s open clocks at once';
REVOKE ALL ON FUNCTION hotdash._escalation_advance(int, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_act(actions jsonb, facts jsonb) RETURNS jsonb
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Each by itself. What only comes of other transactions goes up: then all of it is done later. */
	DECLARE
		outcomes jsonb := '[]';
		a jsonb;
		what text;
	BEGIN
		FOR a IN SELECT e FROM jsonb_array_elements(actions) AS e LOOP
			what := (SELECT k FROM jsonb_object_keys(a) AS k);
			IF what NOT IN ('advance', 'retarget') THEN
				outcomes := outcomes || hotdash._sla_act(jsonb_build_array(a), facts, facts ->> 'tenant');
				CONTINUE;
			END IF;
			BEGIN
				outcomes := outcomes || CASE what WHEN 'advance' THEN hotdash._escalation_advance((a ->> what)::int, facts)
					ELSE hotdash._escalation_retarget(a -> what, facts) END;
			EXCEPTION
				WHEN transaction_rollback OR lock_not_available THEN
					RAISE;
				WHEN OTHERS THEN
					outcomes := outcomes || jsonb_build_object('action', what, 'sqlstate', SQLSTATE,
						'message', hotdash._clean_text(SQLERRM, 500));
			END;
		END LOOP;
		RETURN outcomes;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_act(jsonb, jsonb) IS 'Performs the actions of a rule; returns what each came to';
REVOKE ALL ON FUNCTION hotdash._escalation_act(jsonb, jsonb) FROM PUBLIC;

/*
 * Turning true and false
 */

CREATE FUNCTION hotdash._escalation_open(rule text, facts jsonb) RETURNS bigint
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET lock_timeout = '50ms'
	AS $$
	#variable_conflict use_column
	DECLARE
		mine bigint;
	BEGIN
		INSERT INTO hotdash._escalation AS e (id, raised_at, rule, tenant, subject, facts)
			VALUES (hotdash._escalation_next_id(), hotdash._now(), rule, facts ->> 'tenant', facts ->> 'subject',
				facts - 'attributes')
			ON CONFLICT (tenant, subject, rule) WHERE cleared_at IS NULL DO NOTHING
			RETURNING e.id INTO mine;
		RETURN mine;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_open(text, jsonb) IS
	'The row of an escalation; NULL when there is one. Who else inserts it is waited for, but not for long';
REVOKE ALL ON FUNCTION hotdash._escalation_open(text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_close(rule text, facts jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET lock_timeout = '50ms'
	AS $$
	#variable_conflict use_variable
	BEGIN
		UPDATE hotdash._escalation AS e SET cleared_at = greatest(hotdash._now(), e.raised_at)
			WHERE e.tenant = facts ->> 'tenant' AND e.subject = facts ->> 'subject' AND e.rule = _escalation_close.rule
				AND e.cleared_at IS NULL;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_close(text, jsonb) IS 'Ends an escalation, if there is one';
REVOKE ALL ON FUNCTION hotdash._escalation_close(text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_raise(rule text, actions jsonb, facts jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		raised constant bigint := hotdash._escalation_open(rule, facts);
		outcomes jsonb;
		o jsonb;
	BEGIN
		IF raised IS NULL THEN
			RETURN;
		END IF;
		outcomes := hotdash._escalation_act(actions, facts || jsonb_build_object('rule', rule));
		UPDATE hotdash._escalation AS e SET outcome = outcomes WHERE e.id = raised;
		FOR o IN SELECT x FROM jsonb_array_elements(outcomes) AS x WHERE x ? 'sqlstate' LOOP
			PERFORM hotdash._escalation_failed(rule, facts, o ->> 'action', o ->> 'sqlstate', o ->> 'message');
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_raise(text, jsonb, jsonb) IS 'Raises an escalation and performs its actions, unless it is raised already';
REVOKE ALL ON FUNCTION hotdash._escalation_raise(text, jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_apply(rule text, actions jsonb, held bool, facts jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	#variable_conflict use_variable
	BEGIN
		IF held = EXISTS (SELECT FROM hotdash._escalation AS e
				WHERE e.tenant = facts ->> 'tenant' AND e.subject = facts ->> 'subject' AND e.rule = _escalation_apply.rule
					AND e.cleared_at IS NULL) THEN
			RETURN;
		END IF;
		IF held THEN
			PERFORM hotdash._escalation_raise(rule, actions, facts);
		ELSE
			PERFORM hotdash._escalation_close(rule, facts);
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_apply(text, jsonb, bool, jsonb) IS
	'What a rule was found to be for a subject: raises, clears, or does nothing';
REVOKE ALL ON FUNCTION hotdash._escalation_apply(text, jsonb, bool, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_take(rule text, facts jsonb) RETURNS SETOF hotdash._escalation_left
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	SET lock_timeout = '50ms'
	AS $$
		WITH gone AS (
			DELETE FROM hotdash._escalation_left AS l
			WHERE l.tenant = _escalation_take.facts ->> 'tenant' AND l.subject = _escalation_take.facts ->> 'subject'
				AND l.rule = _escalation_take.rule
			RETURNING l.*
		)
		SELECT * FROM gone ORDER BY id
	$$;
COMMENT ON FUNCTION hotdash._escalation_take(text, jsonb) IS 'Takes what was left of a rule and subject, in order';
REVOKE ALL ON FUNCTION hotdash._escalation_take(text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_drain(rule text, actions jsonb, facts jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	#variable_conflict use_variable
	/*
	 * What others had to leave comes before what is found now. What was found earlier than the escalation began or ended that
	 * is there says nothing about it any more.
	 */
	DECLARE
		l hotdash._escalation_left;
	BEGIN
		IF NOT EXISTS (SELECT FROM hotdash._escalation_left AS x
				WHERE x.tenant = facts ->> 'tenant' AND x.subject = facts ->> 'subject' AND x.rule = _escalation_drain.rule) THEN
			RETURN;
		END IF;
		FOR l IN SELECT * FROM hotdash._escalation_take(rule, facts) LOOP
			CONTINUE WHEN l.at < (SELECT max(greatest(e.raised_at, e.cleared_at)) FROM hotdash._escalation AS e
				WHERE e.tenant = l.tenant AND e.subject = l.subject AND e.rule = l.rule);
			PERFORM hotdash._escalation_apply(l.rule, actions, l.held, l.facts);
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_drain(text, jsonb, jsonb) IS 'Applies what was left of a rule and subject';
REVOKE ALL ON FUNCTION hotdash._escalation_drain(text, jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_turn(rule text, actions jsonb, held bool, facts jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._escalation_drain(rule, actions, facts);
		PERFORM hotdash._escalation_apply(rule, actions, held, facts);
	EXCEPTION
		WHEN transaction_rollback OR lock_not_available THEN
			INSERT INTO hotdash._escalation_left
				VALUES (hotdash._escalation_next_id(), hotdash._now(), held, rule, facts ->> 'tenant', facts ->> 'subject', facts);
		WHEN OTHERS THEN
			PERFORM hotdash._escalation_failed(rule, facts, 'escalation', SQLSTATE, SQLERRM);
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_turn(text, jsonb, bool, jsonb) IS
	'Applies what a rule was found to be for a subject, or leaves it for later';
REVOKE ALL ON FUNCTION hotdash._escalation_turn(text, jsonb, bool, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_holds(rule text, condition jsonb, facts jsonb) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RETURN hotdash.jsonlogic(jsonb_build_object('!!', jsonb_build_array(condition)), facts, 'js') = 'true';
	EXCEPTION WHEN OTHERS THEN
		PERFORM hotdash._escalation_failed(rule, facts, 'condition', SQLSTATE, SQLERRM);
		RETURN NULL;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_holds(text, jsonb, jsonb) IS 'Whether a condition is true; NULL when it failed';
REVOKE ALL ON FUNCTION hotdash._escalation_holds(text, jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_rules_of_events() RETURNS hotdash._escalation_rule[]
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RETURN ARRAY(SELECT r FROM hotdash._escalation_rules_in_force() AS r WHERE NOT r.condition ? 'depth' ORDER BY r.name);
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_rules_of_events() IS 'Rules that look at events and steps, in the order in which they do';
REVOKE ALL ON FUNCTION hotdash._escalation_rules_of_events() FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_reads_of(rules hotdash._escalation_rule[]) RETURNS text[]
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RETURN ARRAY(SELECT f FROM unnest(rules) AS r, unnest(r.reads) AS f);
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_reads_of(hotdash._escalation_rule[]) IS 'Facts that any of the rules reads';
REVOKE ALL ON FUNCTION hotdash._escalation_reads_of(hotdash._escalation_rule[]) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_all_hold(rules hotdash._escalation_rule[], facts jsonb) RETURNS bool[]
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* All in one subtransaction; only when one fails each has its own. */
	BEGIN
		RETURN ARRAY(SELECT hotdash.jsonlogic(jsonb_build_object('!!', jsonb_build_array(r.condition)), facts, 'js') = 'true'
			FROM unnest(rules) AS r);
	EXCEPTION WHEN OTHERS THEN
		RETURN ARRAY(SELECT hotdash._escalation_holds(r.name, r.condition, facts) FROM unnest(rules) AS r);
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_all_hold(hotdash._escalation_rule[], jsonb) IS
	'Which conditions are true, in the order of the rules; NULL for one that failed';
REVOKE ALL ON FUNCTION hotdash._escalation_all_hold(hotdash._escalation_rule[], jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_look(rules hotdash._escalation_rule[], facts jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	#variable_conflict use_variable
	DECLARE
		held constant bool[] := hotdash._escalation_all_hold(rules, facts);
		raised constant text[] := ARRAY(SELECT e.rule FROM hotdash._escalation AS e
			WHERE e.tenant = facts ->> 'tenant' AND e.subject = facts ->> 'subject' AND e.cleared_at IS NULL);
		is_left constant bool := EXISTS (SELECT FROM hotdash._escalation_left AS l
			WHERE l.tenant = facts ->> 'tenant' AND l.subject = facts ->> 'subject');
		r hotdash._escalation_rule;
	BEGIN
		FOR i IN 1 .. cardinality(rules) LOOP
			r := rules[i];
			CONTINUE WHEN held[i] IS NULL OR NOT is_left AND held[i] = (r.name = ANY (raised));
			-- Without a message nothing is said about its language.
			CONTINUE WHEN NOT held[i] AND r.reads && '{language,*}' AND NOT facts ? 'language';
			PERFORM hotdash._escalation_turn(r.name, r.actions, held[i], facts);
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_look(hotdash._escalation_rule[], jsonb) IS 'Holds rules against facts';
REVOKE ALL ON FUNCTION hotdash._escalation_look(hotdash._escalation_rule[], jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_event(tenant text, subject text, event text, given jsonb, at timestamptz) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		rules hotdash._escalation_rule[];
	BEGIN
		rules := hotdash._escalation_rules_of_events();
		PERFORM hotdash._escalation_look(rules, hotdash._escalation_facts_of_event(tenant, subject, event, given, at,
			hotdash._escalation_reads_of(rules)));
	EXCEPTION WHEN OTHERS THEN
		PERFORM hotdash._escalation_failed('', jsonb_build_object('tenant', tenant, 'subject', subject), 'facts', SQLSTATE, SQLERRM);
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_event(text, text, text, jsonb, timestamptz) IS
	'Holds all rules against an event, which no failure undoes';
REVOKE ALL ON FUNCTION hotdash._escalation_event(text, text, text, jsonb, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_step(clock bigint, step smallint, due timestamptz) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		rules hotdash._escalation_rule[];
	BEGIN
		rules := hotdash._escalation_rules_of_events();
		PERFORM hotdash._escalation_look(rules, hotdash._escalation_facts_of_step(clock, step, due,
			hotdash._escalation_reads_of(rules)));
	EXCEPTION WHEN OTHERS THEN
		PERFORM hotdash._escalation_failed('', jsonb_build_object('tenant', '', 'subject', clock::text), 'facts', SQLSTATE, SQLERRM);
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_step(bigint, smallint, timestamptz) IS
	'Holds all rules against a step that was fired, which no failure undoes';
REVOKE ALL ON FUNCTION hotdash._escalation_step(bigint, smallint, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_rules_event(tenant text, subject text, event text, attributes jsonb, at timestamptz) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_sla_sql_rules_event' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._sla_rules_event(text, text, text, jsonb, timestamptz) IS
	'Something happened to a subject: the rules look at it. Where there are none that costs nothing';
REVOKE ALL ON FUNCTION hotdash._sla_rules_event(text, text, text, jsonb, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_rules_step(clock bigint, step smallint, due timestamptz) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_sla_sql_rules_step' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._sla_rules_step(bigint, smallint, timestamptz) IS
	'A step of a clock was fired: the rules look at it. Where there are none that costs nothing';
REVOKE ALL ON FUNCTION hotdash._sla_rules_step(bigint, smallint, timestamptz) FROM PUBLIC;

/*
 * Depth
 */

CREATE FUNCTION hotdash._escalation_depth(depth jsonb) RETURNS bigint
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT CASE WHEN depth ? 'queue' THEN
				coalesce((SELECT q.ready FROM hotdash.queues AS q WHERE q.queue = depth ->> 'queue'), 0)
			ELSE
				(SELECT coalesce(sum(c.started - c.met - c.late - c.canceled), 0) FROM (
					SELECT t.policy, t.tenant, t.started, t.met, t.late, t.canceled
					FROM hotdash._sla_tally AS t WHERE t.bucket = '-infinity'
					UNION ALL
					SELECT d.policy, d.tenant, coalesce(d.started, 0), coalesce(d.met, 0), coalesce(d.late, 0),
						coalesce(d.canceled, 0)
					FROM hotdash._sla_delta AS d) AS c
				WHERE c.tenant = coalesce(depth ->> 'tenant', c.tenant) AND (NOT depth ? 'policy'
					OR c.policy = (SELECT p.id FROM hotdash._sla_policy AS p WHERE p.name = depth ->> 'policy')))
			END
	$$;
COMMENT ON FUNCTION hotdash._escalation_depth(jsonb) IS 'Ready jobs of the queue, or open clocks of the policy and tenant, that a rule is about';
REVOKE ALL ON FUNCTION hotdash._escalation_depth(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_depth_is(rule text, depth jsonb, actions jsonb, value bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * The alert has the bounds' hysteresis. The escalation, whose actions are performed once, has that of the upper two.
	 * Both ends are as the alert sees them: at clear_below the one has ended before, since that is no higher.
	 */
	DECLARE
		b constant hotdash._alert_bounds := hotdash._escalation_bounds(depth);
		what constant text := CASE WHEN depth ? 'queue' THEN 'queue:' || (depth ->> 'queue')
			WHEN depth ? 'policy' THEN 'policy:' || (depth ->> 'policy') ELSE 'clocks' END;
		facts constant jsonb := jsonb_build_object('event', 'depth', 'at', hotdash._now(), 'tenant', coalesce(depth ->> 'tenant', ''),
			'subject', what, 'depth', jsonb_strip_nulls(jsonb_build_object('value', value, 'queue', depth -> 'queue',
				'policy', depth -> 'policy', 'alert_at', b.warn_at, 'escalate_at', b.critical_at)));
	BEGIN
		PERFORM hotdash._alert_level('sla:' || rule, value, b, CASE WHEN depth ? 'queue'
				THEN format('%s jobs are ready in queue %s', value, depth ->> 'queue')
				ELSE format('%s SLA clocks are pending%s', value, ' of policy ' || (depth ->> 'policy')) END,
			facts -> 'depth' || jsonb_build_object('rule', rule), 'sla', facts ->> 'tenant');
		IF value >= b.critical_at THEN
			PERFORM hotdash._escalation_turn(rule, actions, true, facts);
		ELSIF value < b.ease_below THEN
			PERFORM hotdash._escalation_turn(rule, actions, false, facts);
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_depth_is(text, jsonb, jsonb, bigint) IS
	'What was counted for a rule about depth: alert sla:… by its bounds, and its actions once for each time that it escalates';
REVOKE ALL ON FUNCTION hotdash._escalation_depth_is(text, jsonb, jsonb, bigint) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_depths() RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		r record;
	BEGIN
		FOR r IN SELECT x.name, x.condition -> 'depth' AS depth, x.actions
				FROM hotdash._escalation_rules_in_force() AS x WHERE x.condition ? 'depth' ORDER BY x.name LOOP
			BEGIN
				PERFORM hotdash._escalation_depth_is(r.name, r.depth, r.actions, hotdash._escalation_depth(r.depth));
			EXCEPTION WHEN OTHERS THEN
				PERFORM hotdash._escalation_failed(r.name, jsonb_build_object('tenant', '', 'subject', ''), 'depth', SQLSTATE, SQLERRM);
			END;
		END LOOP;
		PERFORM hotdash._alert_clear(a.name, a.tenant)
			FROM hotdash._alert AS a
			WHERE a.name ^@ 'sla:' AND a.rule = 'sla' AND a.cleared_at IS NULL AND a.fields ? 'rule'
				AND NOT EXISTS (SELECT FROM hotdash._escalation_rules_in_force() AS x
					WHERE 'sla:' || x.name = a.name AND x.condition ? 'depth'
						AND coalesce(x.condition #>> '{depth,tenant}', '') = a.tenant);
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_depths() IS 'Alerts sla:…: looks at all rules about depth; those of rules that are gone are cleared';
REVOKE ALL ON FUNCTION hotdash._escalation_depths() FROM PUBLIC;

/*
 * The tick
 */

CREATE FUNCTION hotdash._escalation_catch_up(up_to int) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Subjects that somebody is at are left for the next time; what was left of a rule that is gone is forgotten. */
	DECLARE
		done int := 0;
		l record;
	BEGIN
		FOR l IN
			SELECT x.rule, r.actions, jsonb_build_object('tenant', x.tenant, 'subject', x.subject) AS facts
			FROM (SELECT y.rule, y.tenant, y.subject, min(y.id) AS id FROM hotdash._escalation_left AS y GROUP BY 1, 2, 3) AS x
			LEFT JOIN hotdash._escalation_rules_in_force() AS r ON r.name = x.rule
			ORDER BY x.id LIMIT up_to
		LOOP
			BEGIN
				IF l.actions IS NULL THEN
					PERFORM hotdash._escalation_take(l.rule, l.facts);
				ELSE
					PERFORM hotdash._escalation_drain(l.rule, l.actions, l.facts);
				END IF;
				done := done + 1;
			EXCEPTION
				WHEN transaction_rollback OR lock_not_available THEN
					NULL;
				WHEN OTHERS THEN
					PERFORM hotdash._escalation_failed(l.rule, l.facts, 'escalation', SQLSTATE, SQLERRM);
			END;
		END LOOP;
		RETURN done >= up_to;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_catch_up(int) IS
	'Applies what was left since others were at the same escalation, of so many subjects; true when that may not have been all';
REVOKE ALL ON FUNCTION hotdash._escalation_catch_up(int) FROM PUBLIC;

CREATE FUNCTION hotdash._escalation_sweep(up_to int) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * One that is still raised is kept as long as its subject has an open clock. A transaction may have raised it that
	 * had not ended when the rule was switched off.
	 */
	DECLARE
		old constant timestamptz := hotdash._now() - current_setting('hotdash.escalation_retention')::interval;
		rules constant text[] := ARRAY(SELECT r.name FROM hotdash._escalation_rules_in_force() AS r);
		gone int;
	BEGIN
		UPDATE hotdash._escalation AS e SET cleared_at = greatest(hotdash._now(), e.raised_at) WHERE e.id IN (
			SELECT x.id FROM hotdash._escalation AS x
			WHERE x.cleared_at IS NULL AND x.rule <> ALL (rules) LIMIT up_to FOR UPDATE SKIP LOCKED);
		DELETE FROM hotdash._escalation AS e WHERE e.id IN (
			SELECT x.id FROM hotdash._escalation AS x
			WHERE x.raised_at < old AND (x.cleared_at < old OR x.cleared_at IS NULL
				AND NOT EXISTS (SELECT FROM hotdash._sla_clock AS c
					WHERE c.tenant = x.tenant AND c.subject = x.subject AND c.closed_at IS NULL))
			ORDER BY x.raised_at LIMIT up_to FOR UPDATE SKIP LOCKED);
		GET DIAGNOSTICS gone = ROW_COUNT;
		DELETE FROM hotdash._escalation_failure AS f WHERE f.id IN (
			SELECT x.id FROM hotdash._escalation_failure AS x
			WHERE x.at < old ORDER BY x.at LIMIT up_to FOR UPDATE SKIP LOCKED);
		RETURN gone = up_to;
	END
	$$;
COMMENT ON FUNCTION hotdash._escalation_sweep(int) IS
	'Clears escalations of rules that are gone, deletes those and failures older than hotdash.escalation_retention; true when that may not be all';
REVOKE ALL ON FUNCTION hotdash._escalation_sweep(int) FROM PUBLIC;

/*
 * Health and rights
 */

CREATE FUNCTION hotdash._health_escalations() RETURNS jsonb
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- A session bound to a tenant learns nothing of the others' subjects or numbers.
		SELECT CASE WHEN f.n = 0 THEN jsonb_build_object('status', 'healthy')
				ELSE jsonb_build_object('status', 'degraded', 'detail', concat_ws(': ', 'escalation rules failed within the hour', nullif(f.rules, ''))) END
			|| CASE WHEN coalesce(current_setting('hotdash.tenant', true), '') <> '' THEN '{}' ELSE
				jsonb_build_object('rules', (SELECT count(*) FROM hotdash._escalation_rules_in_force()),
					'left', (SELECT count(*) FROM (SELECT FROM hotdash._escalation_left LIMIT 1000) AS l),
					'failed', (SELECT c.value FROM hotdash._counters() AS c WHERE c.name = 'sla_rules_failed'))
				|| CASE WHEN f.n = 0 THEN '{}' ELSE jsonb_build_object('last', f.last) END
			END
		FROM (
			SELECT count(*) AS n, string_agg(DISTINCT x.rule, ', ') AS rules,
				(array_agg(jsonb_build_object('rule', x.rule, 'at', x.at, 'what', x.what, 'sqlstate', x.sqlstate,
					'message', x.message) ORDER BY x.id DESC))[1] AS last
			FROM hotdash._escalation_failure AS x
			WHERE x.at > hotdash._now() - interval '1 hour' AND hotdash._tenant_sees(x.tenant)
		) AS f
	$$;
COMMENT ON FUNCTION hotdash._health_escalations() IS 'Health check: no escalation rule has failed within the hour';
REVOKE ALL ON FUNCTION hotdash._health_escalations() FROM PUBLIC;

CREATE FUNCTION hotdash._sla_rules_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT l, 'hotdash.escalation_language(text, text)'
		FROM unnest(ARRAY['viewer', 'producer', 'worker', 'operator', 'admin']) AS l
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['viewer', 'operator', 'admin']) AS l,
			unnest(ARRAY['view:escalation_rules', 'view:escalations', 'view:escalation_phrases']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.escalation_rule_set(text, jsonb, jsonb)', 'hotdash.escalation_rule_enable(text)',
				'hotdash.escalation_rule_disable(text)', 'hotdash.escalation_phrase_set(text, text, float8)',
				'hotdash.escalation_phrase_delete(text, text)']) AS o
		UNION ALL
		SELECT 'admin', 'hotdash.escalation_rule_delete(text)'
	$$;
COMMENT ON FUNCTION hotdash._sla_rules_rights() IS 'What each access level may use of escalation rules';
REVOKE ALL ON FUNCTION hotdash._sla_rules_rights() FROM PUBLIC;
