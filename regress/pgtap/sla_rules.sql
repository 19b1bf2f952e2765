-- Escalation rules: what may be one, what they look at, when they are raised and cleared, what they do, what fails, depth.

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL hotdash.now_override = '2041-03-04 10:00:00+00';
SELECT plan(126);

CREATE FUNCTION pg_temp.at(later interval) RETURNS text LANGUAGE sql AS $$
	SELECT set_config('hotdash.now_override', ('2041-03-04 10:00:00+00'::timestamptz + later)::text, true)
$$;

-- What is raised now, and how often each rule was: "rule subject, …"
CREATE FUNCTION pg_temp.raised() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(rule || ' ' || subject, ', ' ORDER BY rule, subject), '')
	FROM hotdash.escalations WHERE state = 'raised'
$$;
CREATE FUNCTION pg_temp.times(rule text) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM hotdash.escalations AS e WHERE e.rule = times.rule
$$;
CREATE FUNCTION pg_temp.jobs(kind text) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM hotdash._job AS j WHERE j.kind = jobs.kind
$$;
CREATE FUNCTION pg_temp.set(name text, condition jsonb, kind text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	SELECT hotdash.escalation_rule_set(name, condition, CASE WHEN kind IS NULL THEN '[]'
		ELSE jsonb_build_object('job', jsonb_build_object('kind', kind)) END)
$$;

SELECT hotdash.job_kind_set(k) FROM unnest('{noop,warned,big,thrown,after,own,deep,bounds,waiting}'::text[]) AS k \g /dev/null
SELECT hotdash.sla_policy_set('frt', '{"metrics": {"first_response": {"target": "15 minutes", "targets": {"urgent": "5 minutes"},
	"warnings": [{"at": "50%"}],
	"escalations": [{"after": "30 minutes", "name": "lead"}, {"after": "1 hour", "name": "boss"}]}}}') \g /dev/null

/*
 * What may be a rule
 */

SELECT throws_ok(format('SELECT hotdash.escalation_rule_set(%L, %L, %L)', name, condition, action), code, message, condition || action)
FROM (VALUES
	(NULL, '{"var": "vip"}', '[]', '22004', NULL),
	('a', NULL, '[]', '22004', NULL),
	('a', '{"var": "vip"}', NULL, '22004', NULL),
	('', '{"var": "vip"}', '[]', '22023', 'invalid name of an escalation rule'),
	('a b', '{"var": "vip"}', '[]', '22023', 'invalid name of an escalation rule'),
	('a', 'true', '[]', '22023', 'condition: it reads no fact and would always say the same'),
	('a', '{"==": [1, 1]}', '[]', '22023', 'condition: it reads no fact and would always say the same'),
	('a', '{"and": [{"var": "vip"}, {"frobnicate": [1]}]}', '[]', '22023', 'condition/and/1: there is no operator "frobnicate"'),
	('a', '{"!": {"==": [{"vra": "vip"}, 1]}}', '[]', '22023', 'condition/!/==/0: there is no operator "vra"'),
	('a', '{"or": [{"var": "vip"}, {"var": "a", "b": 1}]}', '[]', '22023', 'condition/or/1: an operation is an object with one member'),
	('a', '{"==": [{"var": "plan"}, "pro"]}', '[]', '22023', 'condition/==/0/var: there is no fact "plan"'),
	('a', '{"==": [{"var": ["customer.plan", 1]}, "pro"]}', '[]', '22023', 'condition/==/0/var: there is no fact "customer"'),
	('a', '{"val": ["customer", "plan"]}', '[]', '22023', 'condition/val: there is no fact "customer"'),
	('a', '{"missing": ["vip", "plan"]}', '[]', '22023', 'condition/missing/1: there is no fact "plan"'),
	('a', '{"missing_some": [1, ["plan"]]}', '[]', '22023', 'condition/missing_some/0: there is no fact "plan"'),
	('a', '{"var": "language.mood"}', '[]', '22023', 'condition/var: there is no fact "language.mood"'),
	('a', '{"and": [{"var": "vip"}, {"hd_segment": ["gold"]}]}', '[]', '22023', 'condition: a rule cannot ask flags, segments or evaluators'),
	('a', '{"var": "vip"}', '{"shout": 1}', '22023', NULL),
	('a', '{"var": "vip"}', '[{"event": {"type": "a"}}, {"job": {}}]', '22023', 'action[1].job: "kind" is missing'),
	('a', '{"var": "vip"}', '{"advance": 0}', '22023', 'action[0].advance: must be a whole number between 1 and 50'),
	('a', '{"var": "vip"}', '{"advance": "two"}', '22023', 'action[0].advance: must be a whole number between 1 and 50'),
	('a', '{"var": "vip"}', '{"retarget": {}}', '22023', NULL),
	('a', '{"var": "vip"}', '{"retarget": {"tenant": "x"}}', '22023', NULL),
	('a', '{"var": "vip"}', '{"retarget": 1}', '22023', NULL),
	('a', '{"depth": 1}', '[]', '22023', 'condition/depth: must be an object, and all of the condition'),
	('a', '{"depth": {}, "var": "vip"}', '[]', '22023', 'condition/depth: must be an object, and all of the condition'),
	('a', '{"depth": {"length": 1}}', '[]', '22023', 'condition/depth/length: unrecognized key'),
	('a', '{"depth": {"alert_at": 0}}', '[]', '22023', 'condition/depth/alert_at: must be a number between 1 and 1000000000'),
	('a', '{"depth": {"alert_at": "50"}}', '[]', '22023', 'condition/depth/alert_at: must be a number between 1 and 1000000000'),
	('a', '{"depth": {"queue": 1}}', '[]', '22023', 'condition/depth/queue: must be a text of at most 200 bytes'),
	('a', '{"depth": {"queue": "q", "policy": "p"}}', '[]', '22023', 'condition/depth: a queue is that of all policies and tenants'),
	('a', '{"depth": {"alert_at": 50, "escalate_at": 40}}', '[]', '22023', NULL),
	('a', '{"depth": {"alert_at": 50, "clear_below": 60}}', '[]', '22023', NULL),
	('a', '{"depth": {}}', '{"advance": 1}', '22023', 'action[0].advance: a rule about depth has no subject whose clocks it could change')
) AS t (name, condition, action, code, message);
SELECT throws_ok(format('SELECT hotdash.escalation_rule_set(''a'', %L, ''[]'')',
	jsonb_build_object('in', jsonb_build_array('{"var":"subject"}'::jsonb, repeat('x', 20000)))), '54000', NULL, 'a condition that is too long');
SELECT is_empty($$SELECT FROM hotdash._escalation_rule$$, 'none of these is one');
SELECT results_eq($$SELECT hotdash._escalation_check_condition('{"and": [{"var": "attributes.plan"}, {"some": [{"var": "attributes.tags"},
	{"==": [{"var": "name"}, "x"]}]}, {">": [{"var": ["language.score", 0]}, 2]}]}')$$, $$VALUES ('{attributes,language}'::text[])$$,
	'the facts that a condition reads, those of elements aside');
SELECT results_eq($$SELECT hotdash._escalation_check_condition('{"var": {"cat": ["v", "ip"]}}')$$, $$VALUES ('{*}'::text[])$$,
	'or all, where that is known later');

/*
 * Nothing where there are none; presets
 */

SELECT results_eq($$SELECT name COLLATE "default", enabled, preset FROM hotdash.escalation_rules ORDER BY name$$,
	$$VALUES ('angry', false, true), ('breach', false, true), ('pending', false, true), ('vip', false, true)$$,
	'the presets are off');
SELECT hotdash.sla_start('frt', 'none', attributes => '{"vip": true}') \g /dev/null
SELECT is(pg_temp.raised(), '', 'and do nothing');
SELECT throws_ok($$SELECT hotdash.escalation_rule_delete('vip')$$, '42704');
SELECT throws_ok($$SELECT hotdash.escalation_rule_enable('nobody')$$, '42704');
SELECT throws_ok($$SELECT hotdash.escalation_rule_disable('nobody')$$, '42704');
SELECT lives_ok($$SELECT hotdash.escalation_rule_disable('vip')$$, 'what is off can be switched off');
SELECT hotdash.escalation_rule_enable('vip') \g /dev/null
SELECT hotdash.escalation_rule_enable('angry') \g /dev/null
SELECT lives_ok($$SELECT hotdash.escalation_rule_enable('angry')$$, 'and on twice');
SELECT is_empty($$SELECT FROM hotdash._escalation_rule WHERE condition IS NOT NULL OR actions IS NOT NULL$$,
	'what a preset says is in no table');

SAVEPOINT secret;
SELECT hotdash.escalation_rule_set('call', '{"var": "vip"}', '{"call": {"url": "https://example.com/", "headers": {"Authorization": "hush"}}}') \g /dev/null
SELECT is((SELECT action FROM hotdash.escalation_rules WHERE name = 'call'),
	'[{"call": {"url": "https://example.com/", "headers": {"Authorization": "…"}}}]'::jsonb, 'what a header says is not shown');
SELECT hotdash.escalation_rule_set('call', '{"var": "vip"}', '[]') \g /dev/null
SELECT is((SELECT action FROM hotdash.escalation_rules WHERE name = 'call'), '[]'::jsonb, 'no action is one too');
ROLLBACK TO secret;

/*
 * VIP: the clocks of the subject are held to another priority, at once
 */

SELECT hotdash.sla_start('frt', 'v', attributes => '{"customer": {"tags": ["new", "VIP"]}}') AS clock \gset
SELECT is(pg_temp.raised(), 'vip v', 'a VIP customer');
SELECT results_eq($$SELECT priority COLLATE "default", target FROM hotdash.sla_clocks WHERE subject = 'v'$$,
	$$VALUES ('urgent', interval '5 minutes')$$, 'gets the urgent target');
SELECT is((SELECT outcome #>> '{0,clocks,0}' FROM hotdash.escalations WHERE subject = 'v'), :'clock', 'as the outcome tells');
SELECT hotdash.sla_event('v', 'note') \g /dev/null
SELECT is(pg_temp.times('vip'), 1::bigint, 'once as long as it is true');
SELECT hotdash.sla_event('v', 'agent_reply') \g /dev/null
SELECT is(pg_temp.raised(), '', 'with the last clock it ends');
SELECT hotdash.sla_start('frt', 'v', attributes => '{"vip": true}') \g /dev/null
SELECT is(pg_temp.times('vip'), 2::bigint, 'and begins again with the next');
SELECT results_eq($$SELECT hotdash._escalation_is_vip(a::jsonb) FROM (VALUES ('{"vip": true}'), ('{"vip": "yes"}'), ('{"tier": "VIP"}'),
	('{"tags": ["vip"]}'), ('{"customer": {"vip": 1}}'), ('{}'), ('{"vip": false}'), ('{"vip": null}'), ('{"tags": "vip"}'),
	('{"tags": {"vip": 1}}'), ('{"customer": "vip"}'), ('{"tags": [1, {"vip": true}]}')) AS t (a)$$,
	ARRAY[true, true, true, true, true, false, false, false, false, false, false, false], 'who is one');
SELECT hotdash.escalation_rule_disable('vip') \g /dev/null
SELECT is(pg_temp.raised(), '', 'a rule that is switched off raises nothing any more');

/*
 * Angry language: the next step of the ladder
 */

SELECT hotdash.sla_start('frt', 'a', attributes => '{"message": "Where is my order?"}') AS clock \gset
SELECT is(pg_temp.raised(), '', 'a question');
SELECT hotdash.sla_event('a', 'customer_message', attributes => '{"message": "This is unacceptable!", "language": "en"}') \g /dev/null
SELECT is(pg_temp.raised(), 'angry a', 'an angry message');
SELECT results_eq($$SELECT step FROM hotdash._sla_event WHERE clock = $$ || :'clock' || $$ AND step IS NOT NULL$$, $$VALUES (50::smallint)$$,
	'fires the first step of the ladder');
SELECT is((SELECT facts #>> '{language,matches,0}' FROM hotdash.escalations WHERE subject = 'a'), 'unacceptable', 'and why is kept');
SELECT ok(NOT (SELECT facts ? 'attributes' FROM hotdash.escalations WHERE subject = 'a'), 'but not the message');
SELECT hotdash.sla_event('a', 'note') \g /dev/null
SELECT is(pg_temp.raised(), 'angry a', 'without a message nothing is said about its language');
SELECT hotdash.sla_event('a', 'customer_message', attributes => '{"message": "Unacceptable, I say"}') \g /dev/null
SELECT is(pg_temp.times('angry'), 1::bigint, 'a second angry one changes nothing');
SELECT hotdash.sla_event('a', 'customer_message', attributes => '{"content": "Thank you"}') \g /dev/null
SELECT is(pg_temp.raised(), '', 'a calm one ends it');
SELECT hotdash.sla_event('a', 'customer_message', attributes => '{"message": "Das ist eine Frechheit", "language": "de"}') \g /dev/null
SELECT is(pg_temp.raised(), 'angry a', 'the next angry one begins it again');
SELECT results_eq($$SELECT step FROM hotdash._sla_event WHERE clock = $$ || :'clock' || $$ AND step IS NOT NULL ORDER BY 1$$,
	$$VALUES (50::smallint), (51::smallint)$$, 'with the next step');
SELECT pg_temp.at('10 minutes') \g /dev/null
SELECT hotdash.sla_scan() \g /dev/null
SELECT pg_temp.at('3 hours') \g /dev/null
SELECT hotdash.sla_scan() \g /dev/null
SELECT results_eq($$SELECT step, count(*) FROM hotdash._sla_event WHERE clock = $$ || :'clock' || $$ AND step IS NOT NULL GROUP BY 1 ORDER BY 1$$,
	$$SELECT s::smallint, 1::bigint FROM unnest('{0,1,50,51}'::int[]) AS s$$, 'when they are due they have been fired');
SELECT hotdash.escalation_rule_disable('angry') \g /dev/null

/*
 * Breaches and other steps
 */

SELECT pg_temp.at('0') \g /dev/null
SELECT hotdash.escalation_rule_enable('breach') \g /dev/null
SELECT pg_temp.set('warned', '{"==": [{"var": "event"}, "warning"]}', 'warned') \g /dev/null
SELECT hotdash.sla_start('frt', 'b') \g /dev/null
SELECT pg_temp.at('8 minutes') \g /dev/null
SELECT hotdash.sla_scan() \g /dev/null
SELECT is(pg_temp.jobs('warned'), 1::bigint, 'a warning is an event to the rules');
SELECT results_eq($$SELECT payload #>> '{sla,rule}', payload #>> '{sla,subject}', payload #>> '{sla,event}' FROM hotdash._job WHERE kind = 'warned'$$,
	$$VALUES ('warned', 'b', 'warning')$$, 'and its facts go with the action');
SELECT pg_temp.at('16 minutes') \g /dev/null
SELECT hotdash.sla_scan() \g /dev/null
SELECT ok(pg_temp.raised() LIKE '%breach b%' AND pg_temp.raised() NOT LIKE '%warned b%', 'a breach is the next');
SELECT hotdash.sla_event('b', 'agent_reply') \g /dev/null
SELECT ok(pg_temp.raised() NOT LIKE '%breach b%', 'which ends with the clock');
SELECT hotdash.escalation_rule_disable('breach') \g /dev/null
SELECT hotdash.escalation_rule_delete('warned') \g /dev/null
SELECT is(pg_temp.raised(), '', 'nothing is left raised of rules that are gone');

/*
 * Attributes, of clocks and events; the queue; odd data
 */

SELECT pg_temp.at('4 hours') \g /dev/null
SELECT pg_temp.set('big', '{">": [{"var": "attributes.order.value"}, 1000]}', 'big') \g /dev/null
SELECT pg_temp.set('policy', '{"and": [{"==": [{"var": "policy"}, "frt"]}, {"==": [{"var": "priority"}, "high"]}]}') \g /dev/null
SELECT pg_temp.set('long', '{">=": [{"val": ["queue", "tap-depth"]}, 2]}') \g /dev/null
SELECT hotdash.sla_start('frt', 'c', priority => 'high', attributes => '{"order": {"value": 2000}}') \g /dev/null
SELECT is(pg_temp.raised(), 'big c, policy c', 'attributes of the clock, its policy and priority');
SELECT hotdash.sla_event('c', 'note', attributes => '{"order": {"value": 10}}') \g /dev/null
SELECT is(pg_temp.raised(), 'policy c', 'those of an event go before');
SELECT lives_ok(format('SELECT hotdash.sla_event(''c'', ''note'', attributes => %L)', a), 'odd: ' || a) FROM (VALUES
	('{"order": "none"}'), ('{"order": {"value": "many"}}'), ('{"order": {"value": null}}'), ('{"message": 1}'),
	('{"message": {"a": "b"}, "language": ["en"]}'), ('{"vip": {}, "customer": [1]}')) AS t (a);
SELECT ok(NOT EXISTS (SELECT FROM hotdash._escalation_failure), 'is false in dialect js, and no failure');
SELECT hotdash.queue_set('tap-depth') \g /dev/null
SELECT hotdash.job_enqueue_many('noop', ARRAY['1', '2']::jsonb[], queue => 'tap-depth') \g /dev/null
SELECT hotdash.sla_event('c', 'note') \g /dev/null
SELECT ok(EXISTS (SELECT FROM hotdash.escalations WHERE rule = 'long' AND state = 'raised')
	OR (SELECT ready FROM hotdash.queues WHERE queue = 'tap-depth') < 2, 'the depth of a queue, as the queue''s numbers have it');

/*
 * Failures undo nothing but themselves
 */

SELECT pg_temp.set('thrown', '{"throw": {"cat": ["no ", {"var": "event"}]}}', 'thrown') \g /dev/null
SELECT hotdash.escalation_rule_set('spoilt', '{"==": [{"var": "event"}, "spoil"]}',
	'[{"retarget": {"policy": "nobody"}}, {"job": {"kind": "after"}}]') \g /dev/null
SELECT is(hotdash.sla_event('c', 'spoil') IS NOT NULL, true, 'the event is told');
SELECT is(pg_temp.jobs('after'), 1::bigint, 'the other actions are performed');
SELECT results_eq($$SELECT rule COLLATE "default", what, sqlstate FROM hotdash._escalation_failure ORDER BY rule$$,
	$$VALUES ('spoilt', 'retarget', '42704'), ('thrown', 'condition', '22023')$$, 'what failed is noted');
SELECT is((SELECT outcome #>> '{0,sqlstate}' FROM hotdash.escalations WHERE rule = 'spoilt'), '42704', 'also with the escalation');
SELECT hotdash.sla_event('c', 'note') \g /dev/null
SELECT is((SELECT count(*) FROM hotdash._escalation_failure WHERE rule = 'thrown'), 1::bigint, 'at most every ten seconds');
SELECT pg_temp.at('4 hours 11 seconds') \g /dev/null
SELECT hotdash.sla_event('c', 'note') \g /dev/null
SELECT is((SELECT count(*) FROM hotdash._escalation_failure WHERE rule = 'thrown'), 2::bigint, 'then again');
SELECT is(hotdash._health_escalations() ->> 'status', 'degraded', 'health tells');
SELECT is(hotdash._health_escalations() #>> '{last,rule}', 'thrown', 'of which rule');
SET LOCAL hotdash.tenant = 'other';
SELECT is(hotdash._health_escalations() ->> 'status', 'healthy', 'but not another tenant');
SELECT ok(NOT hotdash._health_escalations() ?| '{rules,failed,last}', 'nor numbers');
SET LOCAL hotdash.tenant = '';
SELECT hotdash.escalation_rule_delete('thrown') \g /dev/null
SELECT hotdash.escalation_rule_delete('spoilt') \g /dev/null

/*
 * Tenants, and the transaction
 */

SELECT hotdash.sla_start('frt', 'same', attributes => '{"order": {"value": 2000}}', tenant => 'x') \g /dev/null
SELECT hotdash.sla_start('frt', 'same', attributes => '{"order": {"value": 5}}', tenant => 'y') \g /dev/null
SELECT results_eq($$SELECT tenant COLLATE "default" FROM hotdash.escalations WHERE rule = 'big' AND subject = 'same'$$, $$VALUES ('x')$$, 'each tenant for itself');
SELECT is((SELECT tenant FROM hotdash._job WHERE kind = 'big' AND payload #>> '{sla,subject}' = 'same'), 'x', 'actions are the tenant''s');
SAVEPOINT undone;
SELECT hotdash.sla_start('frt', 'undone', attributes => '{"order": {"value": 2000}}') \g /dev/null
SELECT ok(pg_temp.raised() LIKE '%big undone%', 'raised in the transaction');
ROLLBACK TO undone;
SELECT ok(pg_temp.raised() NOT LIKE '%big undone%', 'and undone with it');
SAVEPOINT rule;
SELECT pg_temp.set('vip', '{"var": "vip"}', 'own') \g /dev/null
SELECT results_eq($$SELECT enabled, preset FROM hotdash.escalation_rules WHERE name = 'vip'$$, $$VALUES (true, false)$$,
	'a rule of our own goes before the preset of its name');
SELECT hotdash.escalation_rule_delete('vip') \g /dev/null
SELECT results_eq($$SELECT enabled, preset FROM hotdash.escalation_rules WHERE name = 'vip'$$, $$VALUES (false, true)$$,
	'which is there again when that is deleted');
ROLLBACK TO rule;

/*
 * Several at once, by the hundred, and what is too old
 */

SELECT hotdash.sla_start('frt', 'n' || i, attributes => jsonb_build_object('order', jsonb_build_object('value', i * 100)))
FROM generate_series(1, 40) AS i \g /dev/null
SELECT is((SELECT count(*) FROM hotdash.escalations WHERE rule = 'big' AND subject LIKE 'n%'), 30::bigint, 'each subject for itself');
SELECT hotdash.sla_event('n' || i, e) FROM generate_series(1, 40) AS i, unnest('{note,agent_reply,note}'::text[]) AS e \g /dev/null
SELECT is((SELECT count(*) FROM hotdash.escalations WHERE rule = 'big' AND subject LIKE 'n%' AND state = 'raised'), 0::bigint, 'ended');
SELECT is((SELECT count(*) FROM hotdash.escalations WHERE rule = 'big' AND subject LIKE 'n%'), 30::bigint, 'once each');
SELECT pg_temp.at('89 days') \g /dev/null
SELECT is(hotdash._escalation_sweep(1000), false, 'sweep');
SELECT cmp_ok(pg_temp.times('big'), '>', 30::bigint, 'what is not old is kept');
SELECT pg_temp.at('91 days') \g /dev/null
SELECT is(hotdash._escalation_sweep(1000), false, 'sweep');
SELECT is((SELECT string_agg(rule || subject, ' ' ORDER BY rule, subject) FROM hotdash.escalations WHERE state = 'cleared'), NULL, 'what is old goes');
SELECT ok(pg_temp.raised() LIKE '%policy c%', 'but not while its subject has an open clock');
SELECT is_empty($$SELECT FROM hotdash._escalation_failure$$, 'failures too');

/*
 * Depth, by random walks: the alert and the actions against a model of two thresholds that end at four fifths
 */

SELECT pg_temp.set('deep', '{"depth": {"queue": "tap-depth"}}', 'deep') \g /dev/null
SELECT pg_temp.set('bounds', '{"depth": {"queue": "tap-depth", "alert_at": 10, "clear_below": 5, "escalate_at": 12, "ease_below": 9}}', 'bounds') \g /dev/null

CREATE FUNCTION pg_temp.walk(rule text, steps int, highest int, stride int)
	RETURNS TABLE (raised int, escalated int, want_raised int, want_escalated int, wrong int) LANGUAGE plpgsql AS $$
	DECLARE
		r constant hotdash._escalation_rule := (SELECT x FROM hotdash._escalation_rule AS x WHERE x.name = walk.rule);
		depth constant jsonb := r.condition -> 'depth';
		alert_at constant float8 := coalesce((depth ->> 'alert_at')::float8, 50);
		clear_below constant float8 := coalesce((depth ->> 'clear_below')::float8, alert_at * 0.8);
		escalate_at constant float8 := coalesce((depth ->> 'escalate_at')::float8, alert_at * 2);
		ease_below constant float8 := coalesce((depth ->> 'ease_below')::float8, escalate_at * 0.8);
		value int := 0;
		level int := 0;
		acting bool := false;
		is_level int;
	BEGIN
		want_raised := 0; want_escalated := 0; wrong := 0;
		FOR i IN 1 .. steps LOOP
			value := greatest(0, least(highest, value + floor(random() * (2 * stride + 1))::int - stride));
			PERFORM pg_temp.at('100 days'::interval + i * interval '10 seconds');
			IF value < clear_below THEN
				level := 0;
			ELSIF level = 2 AND value < ease_below THEN
				level := 1;
			END IF;
			IF value >= alert_at AND level = 0 THEN
				level := 1;
				want_raised := want_raised + 1;
			END IF;
			IF value >= escalate_at AND level = 1 THEN
				level := 2;
			END IF;
			IF value >= escalate_at AND NOT acting THEN
				acting := true;
				want_escalated := want_escalated + 1;
			ELSIF value < ease_below THEN
				acting := false;
			END IF;
			PERFORM hotdash._escalation_depth_is(r.name, depth, r.actions, value);
			is_level := (SELECT CASE severity WHEN 'critical' THEN 2 ELSE 1 END FROM hotdash.alerts
				WHERE name = 'sla:' || walk.rule AND state = 'open');
			wrong := wrong + (coalesce(is_level, 0) <> level)::int
				+ (EXISTS (SELECT FROM hotdash.escalations AS e WHERE e.rule = walk.rule AND e.state = 'raised') <> acting)::int;
		END LOOP;
		raised := (SELECT count(*) FROM hotdash.alerts WHERE name = 'sla:' || walk.rule);
		escalated := pg_temp.jobs(walk.rule);
		RETURN NEXT;
	END
	$$;
SELECT setseed(0.4711) \g /dev/null
CREATE TEMPORARY TABLE walked AS
	SELECT 'deep' AS rule, w.* FROM pg_temp.walk('deep', 3000, 130, 30) AS w
	UNION ALL SELECT 'bounds', w.* FROM pg_temp.walk('bounds', 1500, 20, 3) AS w;
SELECT is(wrong, 0, rule || ': the alert is as high as it should be after each step, and actions are under way when they should')
FROM walked ORDER BY rule;
SELECT is(raised, want_raised, format('%s: one alert for each of %s crossings', rule, want_raised)) FROM walked ORDER BY rule;
SELECT is(escalated, want_escalated, format('%s: actions once for each of %s escalations', rule, want_escalated)) FROM walked ORDER BY rule;
SELECT ok(want_raised > 10 AND want_escalated > 10, rule || ': and there were many') FROM walked ORDER BY rule;

-- What the tick sees
SELECT hotdash.escalation_rule_delete('deep') \g /dev/null
SELECT hotdash.escalation_rule_delete('bounds') \g /dev/null
SELECT pg_temp.set('waiting', '{"depth": {"policy": "frt", "tenant": "deep", "alert_at": 3, "escalate_at": 5}}', 'waiting') \g /dev/null
SELECT hotdash.sla_start('frt', 'd' || i, tenant => 'deep') FROM generate_series(1, 5) AS i \g /dev/null
SELECT hotdash._escalation_depths() \g /dev/null
SELECT results_eq($$SELECT tenant COLLATE "default", severity, fields ->> 'value' FROM hotdash.alerts WHERE name = 'sla:waiting'$$, $$VALUES ('deep', 'critical', '5')$$,
	'open clocks of a policy and tenant');
SELECT is(pg_temp.jobs('waiting'), 1::bigint, 'escalated');
SELECT hotdash.sla_event('d' || i, 'agent_reply', tenant => 'deep') FROM generate_series(1, 3) AS i \g /dev/null
SELECT hotdash._escalation_depths() \g /dev/null
SELECT results_eq($$SELECT state FROM hotdash.alerts WHERE name = 'sla:waiting'$$, $$VALUES ('cleared')$$, 'and when they were met');
SELECT hotdash.sla_start('frt', 'e' || i, tenant => 'deep') FROM generate_series(1, 3) AS i \g /dev/null
SELECT hotdash._escalation_depths() \g /dev/null
SELECT is((SELECT count(*) FROM hotdash.alerts WHERE name = 'sla:waiting' AND state = 'open'), 1::bigint, 'raised again');
SELECT hotdash.escalation_rule_disable('waiting') \g /dev/null
SELECT hotdash._escalation_depths() \g /dev/null
SELECT is((SELECT count(*) FROM hotdash.alerts WHERE name = 'sla:waiting' AND state = 'open'), 0::bigint, 'cleared with the rule');

/*
 * What was left is applied in order, and not over what came later
 */

SELECT pg_temp.set('later', '{"var": "attributes.hot"}', 'later') \g /dev/null
SELECT pg_temp.at('110 days') \g /dev/null
INSERT INTO hotdash._escalation_left VALUES
	(hotdash._escalation_next_id(), hotdash._now(), true, 'later', '', 'l1', '{"tenant": "", "subject": "l1"}'),
	(hotdash._escalation_next_id(), hotdash._now(), true, 'later', '', 'l1', '{"tenant": "", "subject": "l1"}'),
	(hotdash._escalation_next_id(), hotdash._now(), true, 'later', '', 'l2', '{"tenant": "", "subject": "l2"}'),
	(hotdash._escalation_next_id(), hotdash._now(), false, 'later', '', 'l2', '{"tenant": "", "subject": "l2"}'),
	(hotdash._escalation_next_id(), hotdash._now(), true, 'gone', '', 'l3', '{"tenant": "", "subject": "l3"}');
SELECT is(hotdash._escalation_catch_up(100), false, 'all of it');
SELECT results_eq($$SELECT subject COLLATE "default", state FROM hotdash.escalations WHERE rule = 'later' ORDER BY subject$$,
	$$VALUES ('l1', 'raised'), ('l2', 'cleared')$$, 'raised once, raised and cleared, and none of a rule that is gone');
INSERT INTO hotdash._escalation_left VALUES
	(hotdash._escalation_next_id(), hotdash._now() - interval '1 minute', false, 'later', '', 'l1', '{"tenant": "", "subject": "l1"}');
SELECT is(hotdash._escalation_catch_up(100), false, 'what is older than the escalation');
SELECT ok(pg_temp.raised() LIKE '%later l1%', 'says nothing about it');
SELECT is_empty($$SELECT FROM hotdash._escalation_left$$, 'nothing is left');
DELETE FROM hotdash._escalation_rule WHERE name = 'later';
SELECT hotdash._escalation_sweep(1000) \g /dev/null
SELECT ok(pg_temp.raised() NOT LIKE '%later l1%', 'what is raised of a rule that is gone ends');

SELECT * FROM finish();
ROLLBACK;
