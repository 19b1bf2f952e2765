-- SLA clocks: policies, states, cycles, events out of order, other targets, explanations, tenants.

BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgtap;
SELECT no_plan();

SET LOCAL timezone = 'UTC';
SET LOCAL intervalstyle = 'postgres';
SET LOCAL hotdash.now_override = '2024-03-11 20:00:00+00';

CREATE FUNCTION pg_temp.clock(subject text, metric text) RETURNS SETOF hotdash.sla_clocks LANGUAGE sql AS
	$$ SELECT * FROM hotdash.sla_clocks AS c WHERE c.subject = $1 AND c.metric = $2 ORDER BY c.cycle DESC LIMIT 1 $$;

-- Rows by what they show: columns of names have another collation than literals.
CREATE FUNCTION pg_temp.rows_of(query text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		shown text;
	BEGIN
		EXECUTE format('SELECT string_agg(r::text, E''\n'') FROM (%s) AS r', query) INTO shown;
		RETURN shown;
	END
	$$;
CREATE FUNCTION pg_temp.rows_are(query text, expected text, name text) RETURNS text LANGUAGE sql AS
	$$ SELECT is(pg_temp.rows_of(query), pg_temp.rows_of(expected), name) $$;

/*
 * Policies
 */

SELECT hotdash.calendar_set('office', '{"time_zone": "UTC", "hours": {"mon": [["09:00", "17:00"]], "tue": [["09:00", "17:00"]],
	"wed": [["09:00", "17:00"]], "thu": [["09:00", "17:00"]], "fri": [["09:00", "17:00"]]}}');
SELECT lives_ok($$ SELECT hotdash.sla_policy_set('desk', '{"calendar": "office", "metrics": {
	"first_response": {"target": "15 minutes", "targets": {"urgent": "5 minutes"},
		"warnings": [{"at": "50%"}, {"at": "7 minutes", "name": "seven"}], "escalations": [{"after": "30 minutes"}]},
	"next_response": {"target": "1 hour"},
	"resolution": {"target": "8 hours", "targets": {"low": "16 hours"}},
	"periodic_update": {"target": "2 hours"}}}') $$, 'a policy');
SELECT pg_temp.rows_are($$ SELECT version, calendar FROM hotdash.sla_policies WHERE name = 'desk' $$,
	$$ VALUES (1, 'office'::text) $$, 'is shown');
SELECT lives_ok($$ SELECT hotdash.sla_policy_set('desk', definition) FROM hotdash.sla_policies WHERE name = 'desk' $$,
	'stating it again');
SELECT is((SELECT version FROM hotdash.sla_policies WHERE name = 'desk'), 1, 'makes no version');
SELECT pg_temp.rows_are($$ SELECT t.priority, t.steps, t.offsets FROM hotdash._sla_target AS t
		JOIN hotdash._sla_policy AS p ON p.version_id = t.version_id AND p.name = 'desk'
		WHERE t.metric = 'first_response' ORDER BY t.priority $$,
	$$ VALUES ('', '{1,2,0,50}'::smallint[], '{-450000000,-420000000,0,1800000000}'::bigint[]),
		('urgent', '{1,0,50}', '{-150000000,0,1800000000}') $$,
	'steps in due order; a warning longer than the target is left out');

CREATE FUNCTION pg_temp.metric(body text) RETURNS text LANGUAGE sql AS
	$$ SELECT format('SELECT hotdash.sla_policy_set(%L, %L)', 'bad', format('{"metrics": {"m": %s}}', body)) $$;
SELECT throws_ok(pg_temp.metric('{"target": "0 minutes"}'), '22023', 'a duration must be longer than 0', 'target 0');
SELECT throws_ok(pg_temp.metric('{"target": "-5 minutes"}'), '22023', 'a duration must be longer than 0', 'a negative target');
SELECT throws_ok(pg_temp.metric('{"target": "1 month"}'), '22023', 'a duration must not contain months or years', 'a month');
SELECT throws_ok(pg_temp.metric('{"target": "soon"}'), '22023', '"soon" is no duration', 'no duration');
SELECT throws_ok(pg_temp.metric('{}'), '22023', 'a duration such as "15 minutes" is expected', 'no target');
SELECT throws_ok(pg_temp.metric('{"target": "1 hour", "goal": 1}'), '22023', 'unknown key "goal"', 'an unknown key');
SELECT throws_ok(pg_temp.metric('{"target": "1 hour", "reopen": "never"}'), '22023', 'reopen must be continue, restart or ignore',
	'an unknown way to reopen');
SELECT throws_ok(pg_temp.metric('{"target": "1 hour", "warnings": [{"at": "100%"}]}'), '22023',
	'a warning must lie between 0 and 100 percent of the target', 'a warning at 100 percent');
SELECT throws_ok(pg_temp.metric('{"target": "1 hour", "warnings": [{"at": "0%"}]}'), '22023',
	'a warning must lie between 0 and 100 percent of the target', 'a warning at 0 percent');
SELECT throws_ok(pg_temp.metric('{"target": "1 hour", "escalations": [{"name": "x"}]}'), '22023',
	'a duration such as "15 minutes" is expected', 'an escalation without a time');
SELECT throws_ok(pg_temp.metric('{"target": "1 hour", "pause": "pending"}'), '22023',
	'an array of at most 50 names of events is expected', 'events that are no array');
SELECT throws_ok($$ SELECT hotdash.sla_policy_set('bad', '{"metrics": {}}') $$, '22023',
	'metrics must be an object with at least one metric', 'no metrics');
SELECT throws_ok($$ SELECT hotdash.sla_policy_set('bad', '{"calendar": "moon", "metrics": {"m": {"target": "1 hour"}}}') $$, '42704',
	NULL, 'an unknown calendar');
SELECT throws_ok($$ SELECT hotdash.sla_policy_set(NULL, '{}') $$, '22004', NULL, 'no name');
SELECT is_empty($$ SELECT FROM hotdash.sla_policies WHERE name = 'bad' $$, 'what was refused left nothing');

SELECT hotdash.sla_policy_set('secret', '{"metrics": {"m": {"target": "1 hour", "breach": {"actions": [{"call":
	{"url": "https://example.com/", "headers": {"authorization": "Bearer abc"}}}]}}}}');
SELECT is((SELECT definition #> '{metrics,m,breach,actions,0,call,headers}' FROM hotdash.sla_policies WHERE name = 'secret'),
	'{"authorization": "…"}', 'what headers of calls say is not shown');

/*
 * A clock's life
 */

CREATE TEMP TABLE id AS SELECT hotdash.sla_start('desk', 't/1', 'first_response', at => '2024-03-11 10:00Z') AS a;
SELECT pg_temp.rows_are($$ SELECT state, breached, due_at, elapsed, remaining, next_step FROM pg_temp.clock('t/1', 'first_response') $$,
	$$ VALUES ('running', false, '2024-03-11 10:15Z'::timestamptz, '7:00:00'::interval, '-6:45:00'::interval, '50%') $$,
	'a clock runs; nothing has looked at it yet');
SELECT is(hotdash.sla_start('desk', 't/1', 'first_response', at => '2024-03-11 10:05Z'), (SELECT a FROM id),
	'starting what is open returns it');
SELECT is((SELECT started_at FROM pg_temp.clock('t/1', 'first_response')), '2024-03-11 10:00Z', 'and leaves it as it was');
SELECT lives_ok($$ SELECT hotdash.sla_pause(a, '2024-03-11 10:05Z') FROM id $$, 'pause');
SELECT lives_ok($$ SELECT hotdash.sla_pause(a, '2024-03-11 10:06Z') FROM id $$, 'pause again');
SELECT pg_temp.rows_are($$ SELECT state, due_at, elapsed, remaining FROM pg_temp.clock('t/1', 'first_response') $$,
	$$ VALUES ('paused', NULL::timestamptz, '00:05:00'::interval, '00:10:00'::interval) $$, 'a paused clock has no due point');
SELECT is(hotdash.sla_scan(), 0, 'nor can it breach');
SELECT lives_ok($$ SELECT hotdash.sla_resume(a, '2024-03-11 16:55Z') FROM id $$, 'resume before closing time');
SELECT lives_ok($$ SELECT hotdash.sla_resume(a, '2024-03-11 16:56Z') FROM id $$, 'resume again');
SELECT is((SELECT due_at FROM pg_temp.clock('t/1', 'first_response')), '2024-03-12 09:05Z', 'due the next morning');
SELECT lives_ok($$ SELECT hotdash.sla_meet(a, '2024-03-11 18:00Z') FROM id $$, 'meet');
SELECT lives_ok($$ SELECT hotdash.sla_meet(a, '2024-03-11 18:30Z') FROM id $$, 'meet again');
SELECT pg_temp.rows_are($$ SELECT state, breached, due_at, met_at, elapsed FROM pg_temp.clock('t/1', 'first_response') $$,
	$$ VALUES ('met', false, '2024-03-12 09:05Z'::timestamptz, '2024-03-11 18:00Z'::timestamptz, '00:10:00'::interval) $$, 'met in time');
SELECT throws_ok($$ SELECT hotdash.sla_pause(a) FROM id $$, '55000', NULL, 'pausing a clock that is met');
SELECT throws_ok($$ SELECT hotdash.sla_resume(a) FROM id $$, '55000', NULL, 'resuming one');
SELECT throws_ok($$ SELECT hotdash.sla_cancel(a) FROM id $$, '55000', NULL, 'canceling one');
SELECT throws_ok($$ SELECT hotdash.sla_retarget(a, priority => 'urgent') FROM id $$, '55000', NULL, 'another target for one');
SELECT is((SELECT count(*) FROM hotdash.sla_events AS e WHERE e.clock = (SELECT a FROM id)), 9::bigint, 'nothing was noted of that');
SELECT throws_ok($$ SELECT hotdash.sla_pause(-1) $$, '42704', NULL, 'a clock that is none');
SELECT throws_ok($$ SELECT hotdash.sla_pause(NULL) $$, '22004', NULL, 'no clock');
SELECT throws_ok($$ SELECT hotdash.sla_start('nowhere', 't/1') $$, '42704', NULL, 'a policy that is none');
SELECT throws_ok($$ SELECT hotdash.sla_start('desk', 't/1', 'mood') $$, '42704', NULL, 'a metric that is none');
SELECT throws_ok($$ SELECT hotdash.sla_start('desk', '') $$, '22023', NULL, 'a subject without a name');
SELECT throws_ok($$ SELECT hotdash.sla_start('desk', 't/1', attributes => '[]') $$, '22023', NULL, 'attributes that are no object');
SELECT throws_ok($$ SELECT hotdash.sla_start('desk', 't/1', at => 'infinity') $$, '22008', NULL, 'a start that is never');

-- The due point itself is in time, a microsecond later is not.
CREATE TEMP TABLE edge AS SELECT hotdash.sla_start('desk', 'e/' || n, 'first_response', at => '2024-03-11 10:00Z') AS id, n
	FROM generate_series(1, 2) AS n;
SELECT hotdash.sla_meet(id, '2024-03-11 10:15Z'::timestamptz + (n - 1) * interval '1 microsecond') FROM edge;
SELECT pg_temp.rows_are($$ SELECT breached FROM hotdash.sla_clocks WHERE subject LIKE 'e/%' ORDER BY subject $$,
	$$ VALUES (false), (true) $$, 'met at the due point is in time');
SELECT pg_temp.rows_are($$ SELECT step, at FROM hotdash.sla_events WHERE clock = (SELECT id FROM edge WHERE n = 2) AND step IS NOT NULL
		ORDER BY at $$,
	$$ VALUES ('50%', '2024-03-11 10:07:30Z'::timestamptz), ('seven', '2024-03-11 10:08Z'), ('breach', '2024-03-11 10:15Z') $$,
	'steps that were due before it are there, as of when they were due');

/*
 * Events
 */

SELECT is(hotdash.sla_start('desk', 'c/1', at => '2024-03-11 09:00Z', attributes => '{"vip": true}'),
	(SELECT id FROM pg_temp.clock('c/1', 'first_response')), 'without a metric all that begin with the subject start');
SELECT pg_temp.rows_are($$ SELECT metric FROM hotdash.sla_clocks WHERE subject = 'c/1' ORDER BY 1 $$,
	$$ VALUES ('first_response'), ('periodic_update'), ('resolution') $$, 'these');
SELECT is(hotdash.sla_event('c/1', 'agent_reply', '2024-03-11 09:10Z'), 2, 'a reply concerns two');
SELECT pg_temp.rows_are($$ SELECT metric, cycle, state FROM hotdash.sla_clocks WHERE subject = 'c/1' ORDER BY 1, 2 $$,
	$$ VALUES ('first_response', 1, 'met'), ('periodic_update', 1, 'met'), ('periodic_update', 2, 'running'), ('resolution', 1, 'running') $$,
	'it answers, and the next update is due from then');
SELECT is(hotdash.sla_event('c/1', 'customer_message', '2024-03-11 10:00Z'), 3, 'a message starts the next response');
SELECT is(hotdash.sla_event('c/1', 'customer_message', '2024-03-11 10:30Z'), 3, 'a second message');
SELECT is((SELECT due_at FROM pg_temp.clock('c/1', 'next_response')), '2024-03-11 11:00Z', 'does not move its due point');
SELECT is(hotdash.sla_event('c/1', 'agent_reply', '2024-03-11 10:40Z'), 3, 'the answer');
SELECT is((SELECT state FROM pg_temp.clock('c/1', 'next_response')), 'met', 'clears it');
SELECT is(hotdash.sla_event('c/1', 'pending', '2024-03-11 11:00Z'), 2, 'waiting for the customer');
SELECT pg_temp.rows_are($$ SELECT metric, state FROM hotdash.sla_clocks WHERE subject = 'c/1' AND closed_at IS NULL ORDER BY 1 $$,
	$$ VALUES ('periodic_update', 'paused'), ('resolution', 'paused') $$, 'pauses the work');
SELECT hotdash.sla_event('c/1', 'customer_message', '2024-03-11 13:00Z');
SELECT pg_temp.rows_are($$ SELECT cycle, due_at FROM pg_temp.clock('c/1', 'next_response') $$,
	$$ VALUES (2, '2024-03-11 14:00Z'::timestamptz) $$, 'the next message is the next cycle');
SELECT is((SELECT due_at FROM pg_temp.clock('c/1', 'resolution')), '2024-03-12 11:00Z', 'two hours of waiting do not count');
SELECT hotdash.sla_event('c/1', 'solved', '2024-03-11 13:30Z');
SELECT is((SELECT count(*) FROM hotdash.sla_clocks WHERE subject = 'c/1' AND closed_at IS NULL), 0::bigint, 'solved ends all');
SELECT hotdash.sla_event('c/1', 'reopened', '2024-03-11 14:30Z');
SELECT pg_temp.rows_are($$ SELECT cycle, state, due_at, elapsed FROM pg_temp.clock('c/1', 'resolution') $$,
	$$ VALUES (1, 'running', '2024-03-12 12:00Z'::timestamptz, '05:00:00'::interval) $$,
	'a resolution goes on where it was; the hour between does not count');
SELECT is((SELECT cycle FROM pg_temp.clock('c/1', 'periodic_update')), 4, 'updates begin again');
SELECT is(hotdash.sla_event('nobody', 'agent_reply'), 0, 'a subject without clocks has none that follow');
SELECT throws_ok($$ SELECT hotdash.sla_event('c/1', 'agent_reply', '2024-03-12 09:00Z') $$, '22023', NULL, 'an event to come');
SELECT hotdash.sla_event('c/1', 'note', attributes => '{"plan": "gold", "message": "hello"}');
SELECT is((SELECT attributes FROM pg_temp.clock('c/1', 'resolution')), '{"vip": true, "plan": "gold"}', 'attributes are merged, messages not kept');

/*
 * Reopening
 */

SELECT hotdash.sla_policy_set('again', '{"metrics": {
	"r": {"target": "1 hour", "start": ["created"], "meet": ["done"], "reopens": ["back"], "reopen": "restart"},
	"i": {"target": "1 hour", "start": ["created"], "meet": ["done"], "reopens": ["back"], "reopen": "ignore"},
	"c": {"target": "1 hour", "start": ["created"], "meet": ["done"], "reopens": ["back"]}}}');
SELECT hotdash.sla_start('again', 'r/1', at => '2024-03-11 10:00Z');
SELECT hotdash.sla_event('r/1', 'done', '2024-03-11 10:10Z');
SELECT hotdash.sla_event('r/1', 'back', '2024-03-11 10:20Z');
SELECT pg_temp.rows_are($$ SELECT metric, cycle, state, due_at FROM hotdash.sla_clocks WHERE subject = 'r/1' ORDER BY 1, 2 $$,
	$$ VALUES ('c', 1, 'running', '2024-03-11 11:10Z'::timestamptz), ('i', 1, 'met', '2024-03-11 11:00Z'),
		('r', 1, 'met', '2024-03-11 11:00Z'), ('r', 2, 'running', '2024-03-11 11:20Z') $$,
	'continue, ignore, restart');

/*
 * Out of order
 */

CREATE FUNCTION pg_temp.shape(subject text) RETURNS TABLE (metric text, cycle int, state text, breached bool, started_at timestamptz,
		due_at timestamptz, closed_at timestamptz, breached_at timestamptz, remaining interval) LANGUAGE sql AS
	$$ SELECT c.metric, c.cycle, c.state, c.breached, c.started_at, c.due_at, c.closed_at, c.breached_at, c.remaining
		FROM hotdash.sla_clocks AS c WHERE c.subject = $1 $$;
SELECT hotdash.sla_start('desk', 'o/' || n, at => '2024-03-11 09:00Z') FROM generate_series(1, 3) AS n;
CREATE TEMP TABLE story (n int, event text, at timestamptz);
INSERT INTO story VALUES (1, 'pending', '2024-03-11 09:05Z'), (2, 'open', '2024-03-11 09:30Z'), (3, 'agent_reply', '2024-03-11 09:45Z'),
	(4, 'customer_message', '2024-03-11 10:00Z'), (5, 'agent_reply', '2024-03-11 10:50Z'), (6, 'customer_message', '2024-03-11 11:00Z'),
	(7, 'solved', '2024-03-11 12:00Z'), (8, 'reopened', '2024-03-11 13:00Z'), (9, 'on_hold', '2024-03-11 14:00Z');
SELECT hotdash.sla_event('o/1', event, at) FROM story ORDER BY n;
SELECT hotdash.sla_event('o/2', event, at) FROM story ORDER BY n DESC;
SELECT hotdash.sla_event('o/3', event, at) FROM story ORDER BY n % 3, n % 2, n;
SELECT set_eq($$ SELECT * FROM pg_temp.shape('o/2') $$, $$ SELECT * FROM pg_temp.shape('o/1') $$, 'backwards is as in order');
SELECT set_eq($$ SELECT * FROM pg_temp.shape('o/3') $$, $$ SELECT * FROM pg_temp.shape('o/1') $$, 'mixed is as in order');
SELECT pg_temp.rows_are($$ SELECT step FROM hotdash.sla_events WHERE subject = 'o/1' AND metric = 'first_response' AND step IS NOT NULL
		ORDER BY at $$,
	$$ VALUES ('50%'), ('seven'), ('breach') $$, 'and its steps are there');

-- Found late, told later: the scan has seen a breach that was none.
SELECT hotdash.sla_start('desk', 'w/1', 'first_response', at => '2024-03-11 09:00Z');
SELECT cmp_ok(hotdash.sla_scan(), '>', 2, 'a scan finds what was due');
SELECT is((SELECT breached FROM pg_temp.clock('w/1', 'first_response')), true, 'a breach');
SELECT hotdash.sla_event('w/1', 'agent_reply', '2024-03-11 09:14Z');
SELECT pg_temp.rows_are($$ SELECT state, breached, breached_at, due_at FROM pg_temp.clock('w/1', 'first_response') $$,
	$$ VALUES ('met', false, NULL::timestamptz, '2024-03-11 09:15Z'::timestamptz) $$, 'is withdrawn when the reply was in time');
SELECT is((SELECT array_agg(kind ORDER BY id) FROM hotdash.sla_events WHERE subject = 'w/1'),
	'{start,warning,warning,breach,escalation,meet,withdrawn}', 'and the log says so');

/*
 * Another target: elapsed time and pauses are kept.
 */

SELECT hotdash.sla_policy_set('gear', '{"calendar": "office", "metrics": {"m": {"target": "8 hours", "targets": {"high": "4 hours"}}}}');
CREATE TEMP TABLE g AS SELECT hotdash.sla_start('gear', 'g/1', 'm', at => '2024-03-11 10:00Z') AS id;
SELECT hotdash.sla_pause(id, '2024-03-11 12:00Z') FROM g;
SELECT hotdash.sla_resume(id, '2024-03-11 14:00Z') FROM g;
SELECT is((SELECT due_at FROM pg_temp.clock('g/1', 'm')), '2024-03-12 12:00Z', 'eight hours, two of them paused');
SET LOCAL hotdash.now_override = '2024-03-11 15:00:00+00';
SELECT hotdash.sla_retarget(id, priority => 'high') FROM g;
SELECT pg_temp.rows_are($$ SELECT due_at, elapsed, priority FROM pg_temp.clock('g/1', 'm') $$,
	$$ VALUES ('2024-03-11 16:00Z'::timestamptz, '03:00:00'::interval, 'high'::text) $$, 'four hours: due at 16:00, not at 14:00');
SET LOCAL hotdash.now_override = '2024-03-11 16:30:00+00';
SELECT hotdash.sla_scan();
SELECT is((SELECT breached FROM pg_temp.clock('g/1', 'm')), true, 'breached');
SELECT hotdash.sla_policy_set('gear', '{"calendar": "office", "metrics": {"m": {"target": "8 hours", "targets": {"high": "6 hours"}}}}');
SELECT is((SELECT target FROM pg_temp.clock('g/1', 'm')), interval '4 hours', 'a policy that changes leaves open clocks alone');
SELECT hotdash.sla_retarget(id) FROM g;
SELECT pg_temp.rows_are($$ SELECT breached, due_at, policy_version FROM pg_temp.clock('g/1', 'm') $$,
	$$ VALUES (false, '2024-03-12 10:00Z'::timestamptz, 2) $$, 'until it is held to what the policy says now');
SELECT hotdash.sla_policy_set('wall', '{"metrics": {"m": {"target": "1 day"}, "n": {"target": "1 day"}}}');
SELECT hotdash.sla_retarget(id, 'wall') FROM g;
SELECT pg_temp.rows_are($$ SELECT policy, due_at FROM pg_temp.clock('g/1', 'm') $$,
	$$ VALUES ('wall', '2024-03-12 12:00Z'::timestamptz) $$, 'another policy, another calendar: the pause is kept');
SELECT throws_ok($$ SELECT hotdash.sla_retarget(id, 'desk') FROM g $$, '22023', NULL, 'a policy without that metric');
SELECT throws_ok($$ SELECT hotdash.sla_retarget(id, 'nowhere') FROM g $$, '42704', NULL, 'a policy that is none');

/*
 * A calendar that changes
 */

SET LOCAL hotdash.now_override = '2024-03-11 16:30:00+00';
CREATE TEMP TABLE k AS SELECT hotdash.sla_start('gear', 'k/1', 'm') AS id;
SELECT is((SELECT due_at FROM pg_temp.clock('k/1', 'm')), '2024-03-12 16:30Z', 'a clock that ends tomorrow');
CREATE TEMP TABLE place AS SELECT c.ctid AS at, c.xmin AS by FROM hotdash._sla_clock AS c WHERE c.id = (SELECT id FROM k);
SELECT hotdash.calendar_set('office', (SELECT definition || '{"holidays": [{"date": "2024-03-12", "name": "Day off"}]}'
	FROM hotdash.calendars WHERE name = 'office'));
SELECT is((SELECT due_at FROM pg_temp.clock('k/1', 'm')), '2024-03-13 16:30Z', 'a holiday puts it off');
SELECT pg_temp.rows_are($$ SELECT c.ctid FROM hotdash._sla_clock AS c WHERE c.id = (SELECT id FROM k) $$,
	$$ SELECT at FROM place $$, 'without its row being touched');
SELECT matches(hotdash.sla_explain((SELECT id FROM k)) ->> 'words', 'Tue 2024-03-12: holiday Day off', 'the explanation names the holiday');
SELECT hotdash.sla_start('gear', 'k/2', 'm', at => '2024-03-08 16:00Z');
SELECT is((SELECT due_at FROM pg_temp.clock('k/2', 'm')), '2024-03-11 16:00Z', 'one that began on Friday');
SELECT hotdash.calendar_set('office', (SELECT definition || '{"holidays": ["2024-03-11"]}' FROM hotdash.calendars WHERE name = 'office'));
SELECT is((SELECT due_at FROM pg_temp.clock('k/2', 'm')), '2024-03-12 16:00Z', 'counts anew when today turns out a holiday');
SELECT is((SELECT elapsed FROM pg_temp.clock('k/1', 'm')), interval '0', 'and so does the other');

/*
 * Explanations
 */

SELECT is(hotdash.sla_explain((SELECT id FROM pg_temp.clock('k/2', 'm'))) -> 'days' -> 1 ->> 'rule', 'closed', 'a Saturday is closed');
SELECT is(hotdash.sla_explain((SELECT a FROM id)) -> 'periods',
	'[{"state": "running", "from": "2024-03-11T10:00:00+00:00", "to": "2024-03-11T10:05:00+00:00", "counted": "00:05:00"},
	{"state": "paused", "from": "2024-03-11T10:05:00+00:00", "to": "2024-03-11T10:06:00+00:00", "counted": "00:00:00"},
	{"state": "paused", "from": "2024-03-11T10:06:00+00:00", "to": "2024-03-11T16:55:00+00:00", "counted": "00:00:00"},
	{"state": "running", "from": "2024-03-11T16:55:00+00:00", "to": "2024-03-11T16:56:00+00:00", "counted": "00:01:00"},
	{"state": "running", "from": "2024-03-11T16:56:00+00:00", "to": "2024-03-11T18:00:00+00:00", "counted": "00:04:00"}]',
	'periods of a clock');
SELECT throws_ok($$ SELECT hotdash.sla_explain(-1) $$, '42704', NULL, 'no clock to explain');

/*
 * Tenants
 */

SET LOCAL hotdash.now_override = '2024-03-11 20:00:00+00';
CREATE TEMP TABLE ten AS SELECT hotdash.sla_start('desk', 't/1', 'first_response', tenant => 'acme') AS id;
SELECT isnt((SELECT id FROM ten), (SELECT a FROM id), 'subjects of two tenants are two');
SET LOCAL hotdash.tenant = 'zeta';
SELECT throws_ok($$ SELECT hotdash.sla_meet(id) FROM ten $$, '42704', NULL, 'a session of another tenant finds no such clock');
SELECT throws_ok($$ SELECT hotdash.sla_explain(id) FROM ten $$, '42704', NULL, 'nor an explanation');
SELECT throws_ok($$ SELECT hotdash.sla_start('desk', 't/1', tenant => 'acme') $$, '42501', NULL, 'nor may it start one there');
SELECT is(hotdash.sla_event('t/1', 'agent_reply'), 0, 'its events are of its own subjects');
SELECT is_empty($$ SELECT FROM hotdash.sla_clocks $$, 'and it sees none');
SET LOCAL hotdash.tenant = 'acme';
SELECT is((SELECT count(*) FROM hotdash.sla_clocks), 1::bigint, 'the tenant sees its own');
SELECT is(hotdash.sla_event('t/1', 'agent_reply'), 1, 'and is heard');

SELECT * FROM finish();
ROLLBACK;
