-- Steps of SLA clocks: found in the order in which they were due, fired once, and their actions: what they may be, what
-- they are told, for whom they are performed, what is kept of them.

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL hotdash.now_override = '2031-01-06 12:00:00+00';
SELECT plan(65);

-- On a live database there may be others.
DELETE FROM hotdash._sla_event;
DELETE FROM hotdash._sla_clock;
DELETE FROM hotdash._endpoint;
SELECT hotdash.instance_adopt() WHERE hotdash._instance_state() = 'copy';
CREATE FUNCTION pg_temp.at(later interval) RETURNS text LANGUAGE sql AS $$
	SELECT set_config('hotdash.now_override', ('2031-01-06 12:00:00+00'::timestamptz + later)::text, true)
$$;
-- Steps that were fired, in the order of their rows.
CREATE FUNCTION pg_temp.fired(prefix text DEFAULT '') RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(c.subject || ' ' || e.kind, ', ' ORDER BY e.id), '')
	FROM hotdash._sla_event AS e JOIN hotdash._sla_clock AS c ON c.id = e.clock
	WHERE e.step IS NOT NULL AND c.subject ^@ prefix
$$;

/*
 * What actions may be
 */

SELECT lives_ok($$ SELECT hotdash._sla_actions_check('[]', 'x') $$, 'no actions');
SELECT lives_ok($$ SELECT hotdash._sla_actions_check('[
	{"job":{"kind":"a","queue":"default","payload":{"b":1},"priority":-3,"max_attempts":2}}, {"event":{"type":"a.b"}},
	{"alert":{"name":"x","severity":"info","message":"m"}}, {"call":{"url":"https://example.com/","method":"get"}},
	{"call":{"url":"https://example.com/","headers":{"authorization":"x"},"body":{},"timeout":"5 seconds"}}]', 'x') $$, 'one of each kind');
SELECT throws_ok(format('SELECT hotdash._sla_actions_check(%L, %L)', a, 'a.b'), '22023', m, m)
FROM (VALUES
	('{}', 'a.b: must be an array of at most 20 actions'),
	(NULL, 'a.b: must be an array of at most 20 actions'),
	((SELECT jsonb_agg('{"event":{"type":"a"}}'::jsonb) FROM generate_series(1, 21))::text, 'a.b: must be an array of at most 20 actions'),
	('[7]', 'a.b[0]: must be an object with one key'),
	('[{}]', 'a.b[0]: must be an object with one key'),
	('[{"mail":{}}]', 'a.b[0]: must be an object with one key'),
	('[{"job":{"kind":"a"},"event":{"type":"a"}}]', 'a.b[0]: must be an object with one key'),
	('[{"job":{"kind":"a"}},{"job":{}}]', 'a.b[1].job: "kind" is missing'),
	('[{"job":null}]', 'a.b[0].job: must be a JSON object'),
	('[{"job":{"kind":"a","when":1}}]', 'a.b[0].job: unrecognized key "when"'),
	('[{"job":{"kind":7}}]', 'a.b[0].job: "kind" must be a text that is not empty'),
	('[{"job":{"kind":"a","payload":[]}}]', 'a.b[0].job: "payload" must be a JSON object'),
	('[{"job":{"kind":"a","priority":1.5}}]', 'a.b[0].job: "priority" must be a whole number between -32768 and 32767'),
	('[{"job":{"kind":"a","max_attempts":0}}]', 'a.b[0].job: "max_attempts" must be a whole number between 1 and 1000'),
	('[{"event":{"type":"hotdash.a"}}]', 'a.b[0].event: event types that begin with "hotdash." are reserved'),
	('[{"event":{"type":""}}]', 'a.b[0].event: "type" must be a text that is not empty'),
	('[{"alert":{"name":"x","severity":"bad","message":"m"}}]', 'a.b[0].alert: unrecognized severity of an alert'),
	('[{"alert":{"name":"x","severity":"info"}}]', 'a.b[0].alert: "message" is missing'),
	('[{"call":{"url":"ftp://x"}}]', 'a.b[0].call: malformed URL: it does not begin with http:// or https://'),
	('[{"call":{"url":"https://x.y","headers":{"Host":"z"}}}]', 'a.b[0].call: header "Host" is the sender''s to decide'),
	('[{"call":{"url":"https://x.y","timeout":"soon"}}]', 'a.b[0].call: malformed timeout: "soon"'),
	('[{"call":{"url":"https://x.y","method":"GET","body":{}}}]', 'a.b[0].call: a GET request has no body')) AS v (a, m);
SELECT throws_ok($$ SELECT hotdash._sla_actions_check('[{"call":{"service":"crm"}}]', 'x') $$, '0A000', NULL, 'services have no calls yet');
SELECT throws_ok($$ SELECT hotdash.sla_policy_set('bad', '{"metrics":{"m":{"target":"1 hour","breach":{"actions":[{"job":{}}]}}}}') $$,
	'22023', NULL, 'a policy is refused for its actions');

/*
 * Finding steps
 */

SELECT hotdash.job_kind_set('tell');
SELECT hotdash.sla_policy_set('p', '{"metrics":{"m":{"target":"10 minutes","warnings":[{"at":"5 minutes"},{"at":"80%"}],"escalations":[{"after":"10 minutes"}]}}}');
SELECT hotdash.sla_start('p', s, 'm', at => '2031-01-06 12:00:00+00'::timestamptz + i)
	FROM (VALUES ('b', interval '0'), ('a', interval '1 minute'), ('c', interval '1 minute'), ('d', interval '30 minutes')) AS v (s, i);
SELECT is(hotdash._sla_scan_first(), '2031-01-06 12:05:00+00', 'the earliest step');
SELECT is(hotdash.sla_scan(), 0, 'nothing is due');
SELECT pg_temp.at('5 minutes');
SELECT is(hotdash.sla_scan(), 0, 'nothing at the very instant');
SELECT pg_temp.at('5 minutes 0.000001 seconds');
SELECT is(hotdash.sla_scan(), 1, 'but a microsecond later');
SELECT is(hotdash.sla_scan(), 0, 'once');
SELECT pg_temp.at('11 minutes');
SELECT is(hotdash.sla_scan(2), 2, 'up to so many');
SELECT is(pg_temp.fired(), 'b warning, a warning, c warning', 'the earliest first, ties by clock');
SELECT is(hotdash.sla_scan(1), 1, 'a step of one clock');
SELECT is(pg_temp.fired(), 'b warning, a warning, c warning, b warning', 'comes where it belongs among those of others');
SELECT is(hotdash.sla_scan(NULL), 3, 'NULL is the default');
SELECT is(pg_temp.fired(), 'b warning, a warning, c warning, b warning, a warning, c warning, b breach', 'in due order');
SELECT results_eq($$ SELECT e.at, e.recorded_at FROM hotdash._sla_event AS e WHERE e.kind = 'breach' $$,
	$$ VALUES ('2031-01-06 12:10:00+00'::timestamptz, '2031-01-06 12:11:00+00'::timestamptz) $$, 'a step is where it was due, whenever it was found');
SELECT results_eq($$ SELECT c.subject COLLATE "default", c.breached_at, c.due_at, c.next_step FROM hotdash._sla_clock AS c WHERE c.next_step > 0 ORDER BY 1 $$,
	$$ VALUES ('a', NULL::timestamptz, NULL::timestamptz, 2::smallint), ('b', '2031-01-06 12:10:00+00', '2031-01-06 12:10:00+00', 3::smallint), ('c', NULL, NULL, 2::smallint) $$,
	'the clocks say so');
SELECT pg_temp.at('1 day');
SELECT is(hotdash.sla_scan(), 9, 'what was left lying for a day');
SELECT is(pg_temp.fired('b'), 'b warning, b warning, b breach, b escalation', 'each step of a clock once');
SELECT is((SELECT count(*) FROM (SELECT at < lag(at) OVER (ORDER BY id) AS back FROM hotdash._sla_event WHERE step IS NOT NULL) AS x WHERE back), 0::bigint,
	'all in due order');
SELECT is(hotdash._sla_scan_first(), NULL, 'nothing is to come');
SELECT throws_ok('SELECT hotdash.sla_scan(0)', '22023', 'up_to must be between 1 and 100000', 'not none');
SELECT throws_ok('SELECT hotdash.sla_scan(100001)', '22023', 'up_to must be between 1 and 100000', 'not too many');
SELECT throws_ok($$ DO 'BEGIN SET LOCAL transaction_read_only = on; PERFORM hotdash.sla_scan(); END' $$, '25006', NULL, 'not in a transaction that is read only');
SELECT throws_ok($$ DO 'BEGIN SET LOCAL hotdash.tenant = ''acme''; PERFORM hotdash.sla_scan(); END' $$, '42501', NULL, 'not for one tenant');

/*
 * Performing actions
 */

SELECT hotdash.endpoint_create('https://example.com/hook', events => ARRAY['sla.*'], tenant => 'acme') > 0;
SELECT hotdash.sla_policy_set('acts', '{"metrics":{"m":{"target":"10 minutes",
	"warnings":[{"at":"5 minutes","actions":[{"job":{"kind":"tell","payload":{"to":"us"},"priority":7}}]}],
	"breach":{"actions":[{"job":{"kind":"nowhere"}},{"event":{"type":"sla.breach","payload":{"x":1}}},
		{"alert":{"name":"sla:late","severity":"critical","message":"late"}},
		{"call":{"url":"https://example.com/call","headers":{"authorization":"Bearer s3cret"},"body":{"y":2}}}]},
	"escalations":[{"after":"10 minutes","name":"lead","actions":[{"job":{"kind":"tell"}}]}]}}}');
SELECT hotdash.sla_start('acts', 'vip', 'm', priority => 'high', attributes => '{"plan":"gold"}', tenant => 'acme');
SELECT pg_temp.at('1 day 1 hour');
SELECT is(hotdash.sla_scan(), 3, 'steps with actions');
SELECT is((SELECT count(*) FROM hotdash._job WHERE kind = 'tell' AND tenant = 'acme'), 2::bigint, 'jobs belong to the clock''s tenant');
SELECT is((SELECT (payload ->> 'to') || priority FROM hotdash._job WHERE kind = 'tell' ORDER BY id LIMIT 1), 'us7', 'and say what the policy says');
SELECT is((SELECT (payload -> 'sla') - 'clock' FROM hotdash._job WHERE kind = 'tell' ORDER BY id LIMIT 1),
	'{"subject":"vip","tenant":"acme","policy":"acts","metric":"m","priority":"high","cycle":1,"step":1,"kind":"warning","name":"5 minutes",
	"at":"2031-01-07T12:05:00+00:00","due_at":"2031-01-07T12:10:00+00:00","breached_at":null,"target":600,"elapsed":300,"attributes":{"plan":"gold"}}'::jsonb
	|| jsonb_build_object('name', (SELECT s.name FROM hotdash._sla_step AS s JOIN hotdash._sla_policy AS p ON p.version_id = s.version_id AND p.name = 'acts' WHERE s.step = 1)),
	'and what happened');
SELECT is((SELECT (payload -> 'sla') - 'clock' - 'attributes' FROM hotdash._job WHERE kind = 'tell' ORDER BY id DESC LIMIT 1),
	'{"subject":"vip","tenant":"acme","policy":"acts","metric":"m","priority":"high","cycle":1,"step":50,"kind":"escalation","name":"lead",
	"at":"2031-01-07T12:20:00+00:00","due_at":"2031-01-07T12:10:00+00:00","breached_at":"2031-01-07T12:10:00+00:00","target":600,"elapsed":1200}'::jsonb,
	'an escalation names the breach');
SELECT is((SELECT payload #>> '{sla,clock}' FROM hotdash._job WHERE kind = 'tell' ORDER BY id LIMIT 1), (SELECT id::text FROM hotdash._sla_clock WHERE subject = 'vip'),
	'ids are texts');
SELECT results_eq($$ SELECT event_type COLLATE "default", tenant COLLATE "default", order_key COLLATE "default", convert_from(body, 'UTF8')::jsonb ->> 'x' FROM hotdash._message WHERE event_type = 'sla.breach' $$,
	$$ SELECT 'sla.breach', 'acme', 'sla/' || id, '1' FROM hotdash._sla_clock WHERE subject = 'vip' $$, 'an event, in the order of its clock''s');
SELECT is((SELECT count(*) FROM hotdash._delivery AS d JOIN hotdash._message AS m ON m.id = d.message_id WHERE m.event_type = 'sla.breach'), 1::bigint, 'and its delivery');
SELECT results_eq($$ SELECT tenant COLLATE "default", severity, fields #>> '{sla,subject}' FROM hotdash.alerts WHERE name = 'sla:late' $$,
	$$ VALUES ('acme', 'critical', 'vip') $$, 'an alert');
SELECT results_eq($$ SELECT tenant, method, headers ->> 'content-type', convert_from(body, 'UTF8')::jsonb #>> '{sla,kind}' FROM hotdash._http_request WHERE url = 'https://example.com/call' $$,
	$$ VALUES ('acme', 'POST', 'application/json', 'breach') $$, 'a request');
SELECT results_eq($$ SELECT a ->> 'action', a ->> 'sqlstate', a ->> 'message', a ? 'id' FROM hotdash._sla_event AS e, jsonb_array_elements(e.detail -> 'actions') AS a WHERE e.kind = 'breach' AND e.detail IS NOT NULL $$,
	$$ VALUES ('job', '42704', 'job kind "nowhere" does not exist', false), ('event', NULL, NULL, true), ('alert', NULL, NULL, true), ('call', NULL, NULL, true) $$,
	'what each came to is kept, and one that fails keeps none from happening');
SELECT is((SELECT string_agg(e.detail::text, '') FROM hotdash._sla_event AS e) LIKE '%s3cret%', false, 'without its secrets');
SELECT is((SELECT (h ->> 'status') || (h ->> 'failed_actions') FROM (SELECT hotdash._health_sla() AS h) AS x), 'degraded1', 'health counts what failed');
SELECT is((SELECT set_config('hotdash.tenant', 'acme', true) || (hotdash._health_sla() ? 'failed_actions')::text), 'acmefalse', 'but tells a tenant nothing of it');
SELECT set_config('hotdash.tenant', '', true);
SELECT is(hotdash._sla_fire(c.id, 0::smallint, c.breached_at), false, 'a step that was fired is not fired again') FROM hotdash._sla_clock AS c WHERE c.subject = 'vip';
SELECT is((SELECT count(*) FROM hotdash._message WHERE event_type = 'sla.breach'), 1::bigint, 'nor are its actions performed');
SELECT pg_temp.at('1 day 2 hours 1 second');
SELECT is(hotdash._health_sla() ->> 'status', 'healthy', 'an hour later health has forgotten');
SELECT hotdash.sla_start('p', 'forgotten', 'm');
SELECT pg_temp.at('1 day 3 hours');
SELECT is((SELECT (h ->> 'status') || (h ->> 'late_seconds') FROM (SELECT hotdash._health_sla() AS h) AS x), 'degraded3299', 'steps that nobody looks for are late');

SELECT * FROM finish();
ROLLBACK;
