-- SLA clocks: answers that are known from elsewhere, in which pauses, new targets and what comes too late or in another
-- order count. Each story is told as it happens and once more when it is over, from its end to its begin.

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL TimeZone = 'UTC';
SET LOCAL intervalstyle = 'postgres';
SELECT plan(90);

CREATE FUNCTION pg_temp.now(at text) RETURNS void LANGUAGE sql AS $$
	SELECT set_config('hotdash.now_override', at::timestamptz::text, true)
$$;

CREATE FUNCTION pg_temp.calendar(name text, zone text, days text[], hours text, holidays text[] DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
	SELECT hotdash.calendar_set('tap-' || name, jsonb_build_object('time_zone', zone, 'holidays', to_jsonb(holidays),
		'hours', (SELECT jsonb_object_agg(day, jsonb_build_array(jsonb_build_array(split_part(hours, '-', 1), split_part(hours, '-', 2)))) FROM unnest(days) AS day)))
$$;

-- One metric, which has no events of its own; by the close, and by the opening after it.
CREATE FUNCTION pg_temp.policy(calendar text, target text) RETURNS void LANGUAGE sql AS $$
	SELECT hotdash.sla_policy_set(format('tap-%s-%s-%s', calendar, replace(target, ' ', ''), rule), jsonb_build_object('calendar', 'tap-' || calendar,
		'at_close', rule, 'metrics', jsonb_build_object('work', jsonb_build_object('target', target))))
	FROM unnest('{close,open}'::text[]) AS rule
$$;

CREATE SEQUENCE pg_temp.subject;

CREATE FUNCTION pg_temp.tell(clock bigint, input text, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CASE input
		WHEN 'pause' THEN PERFORM hotdash.sla_pause(clock, at);
		WHEN 'resume' THEN PERFORM hotdash.sla_resume(clock, at);
		WHEN 'meet' THEN PERFORM hotdash.sla_meet(clock, at);
		WHEN 'scan' THEN PERFORM hotdash.sla_scan();
		WHEN 'look' THEN NULL;
	END CASE;
END
$$;

CREATE FUNCTION pg_temp.seen(clock bigint) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', c.state, 'due ' || to_char(c.due_at, 'MM-DD HH24:MI:SS'), 'after ' || c.elapsed, CASE WHEN c.breached THEN 'breached' END)
	FROM hotdash.sla_clocks AS c WHERE c.id = clock
$$;

-- Inputs as 'pause 2013-06-04 09:30Z', the first of which is the start.
CREATE FUNCTION pg_temp.live(policy text, inputs text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	clock bigint;
	input text;
BEGIN
	PERFORM pg_temp.now(split_part(inputs[1], ' ', 2) || ' ' || split_part(inputs[1], ' ', 3));
	clock := hotdash.sla_start('tap-' || policy, 'tap:' || nextval('pg_temp.subject'), 'work');
	FOREACH input IN ARRAY inputs[2:] LOOP
		PERFORM pg_temp.now(substring(input FROM ' (.*)'));
		PERFORM pg_temp.tell(clock, split_part(input, ' ', 1), NULL);
	END LOOP;
	RETURN pg_temp.seen(clock);
END
$$;

CREATE FUNCTION pg_temp.late(policy text, inputs text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	clock bigint;
	input text;
BEGIN
	PERFORM pg_temp.now(substring(inputs[cardinality(inputs)] FROM ' (.*)'));
	clock := hotdash.sla_start('tap-' || policy, 'tap:' || nextval('pg_temp.subject'), 'work', at => substring(inputs[1] FROM ' (.*)')::timestamptz);
	FOR input IN SELECT i FROM unnest(inputs[2:]) WITH ORDINALITY AS given (i, place) ORDER BY place DESC LOOP
		PERFORM pg_temp.tell(clock, split_part(input, ' ', 1), substring(input FROM ' (.*)')::timestamptz);
	END LOOP;
	RETURN pg_temp.seen(clock);
END
$$;

CREATE TEMPORARY TABLE story (place int GENERATED ALWAYS AS IDENTITY, policy text, what text, wanted text, inputs text[]);

SELECT pg_temp.calendar('office', 'UTC', '{mon,tue,wed,thu,fri}', '09:00-17:00');
SELECT pg_temp.calendar('new-york', 'America/New_York', '{mon,tue,wed,thu,fri}', '09:00-17:00');
SELECT pg_temp.calendar('berlin', 'Europe/Berlin', '{mon,tue,wed,thu,fri}', '08:00-18:00');
SELECT pg_temp.calendar('daily', 'Europe/Berlin', '{mon,tue,wed,thu,fri,sat,sun}', '09:00-18:00');
SELECT pg_temp.calendar('november', 'Europe/Berlin', '{mon,tue,wed,thu,fri}', '08:00-20:00', '{2016-11-01}');
SELECT pg_temp.calendar('september', 'Europe/Berlin', '{mon,tue,wed,thu,fri}', '09:00-17:00', '{2015-09-22}');
SELECT pg_temp.calendar('always', 'Europe/Berlin', '{mon,tue,wed,thu,fri,sat,sun}', '00:00-24:00', '{2024-04-01}');
SELECT pg_temp.policy(calendar, target)
FROM (VALUES ('office', '4 h'), ('office', '8 h'), ('office', '15 min'), ('new-york', '15 min'), ('berlin', '60 min'), ('berlin', '120 min'), ('berlin', '180 min'), ('daily', '120 min'),
	('november', '120 min'), ('november', '1200 min'), ('september', '120 min'), ('september', '240 min'), ('always', '60 h')) AS given (calendar, target);

INSERT INTO story (policy, what, wanted, inputs) VALUES
	-- a quarter of an hour
	('new-york-15min-close', 'over a weekend into summer time', 'running due 03-11 13:05:00 after 00:10:00', '{start 2024-03-08 21:50Z,look 2024-03-11 13:00Z}'),
	('new-york-15min-close', 'exactly at closing time', 'running due 03-08 22:00:00 after 00:14:00', '{start 2024-03-08 21:45Z,look 2024-03-08 21:59Z}'),
	('new-york-15min-open', 'or the next opening', 'running due 03-11 13:00:00 after 00:14:00', '{start 2024-03-08 21:45Z,look 2024-03-08 21:59Z}'),
	('new-york-15min-close', 'done when it is due', 'met due 03-08 22:00:00 after 00:15:00', '{start 2024-03-08 21:45Z,meet 2024-03-08 22:00Z}'),
	('new-york-15min-close', 'a microsecond later', 'met due 03-08 22:00:00 after 00:15:00 breached', '{start 2024-03-08 21:45Z,meet 2024-03-08 22:00:00.000001Z}'),
	('new-york-15min-open', 'which the other rule allows', 'met due 03-11 13:00:00 after 00:15:00', '{start 2024-03-08 21:45Z,meet 2024-03-11 13:00Z}'),
	('new-york-15min-open', 'but no more', 'met due 03-11 13:00:00 after 00:15:00.000001 breached', '{start 2024-03-08 21:45Z,meet 2024-03-11 13:00:00.000001Z}'),
	('new-york-15min-close', 'open when it is due: no breach', 'running due 03-08 22:00:00 after 00:15:00', '{start 2024-03-08 21:45Z,scan 2024-03-08 22:00Z}'),
	('new-york-15min-close', 'open and later: a breach', 'running due 03-08 22:00:00 after 00:15:00 breached', '{start 2024-03-08 21:45Z,scan 2024-03-08 22:00:00.000001Z}'),

	-- Zammad
	('berlin-60min-open', 'an hour', 'running due 03-21 10:30:00 after 00:00:00', '{start 2013-03-21 09:30Z,look 2013-03-21 09:30Z}'),
	('berlin-120min-open', 'two', 'running due 03-21 11:30:00 after 00:00:00', '{start 2013-03-21 09:30Z,look 2013-03-21 09:30Z}'),
	('berlin-180min-open', 'three', 'running due 03-21 12:30:00 after 00:00:00', '{start 2013-03-21 09:30Z,look 2013-03-21 09:30Z}'),
	('berlin-60min-open', '30 minutes, 30 left', 'met due 03-21 10:30:00 after 00:30:00', '{start 2013-03-21 09:30Z,meet 2013-03-21 10:00Z}'),
	('berlin-60min-open', '270 minutes, 210 too many', 'met due 03-21 10:30:00 after 04:30:00 breached', '{start 2013-03-21 09:30Z,meet 2013-03-21 14:00Z}'),
	('daily-120min-open', 'two pauses', 'running due 06-04 11:45:00 after 00:45:00',
		'{start 2013-06-04 09:00Z,pause 2013-06-04 09:30Z,resume 2013-06-04 09:45Z,pause 2013-06-04 10:00Z,resume 2013-06-04 10:30Z,look 2013-06-04 10:30Z}'),
	('daily-120min-open', 'a long one, to the next opening', 'running due 06-05 07:00:00 after 01:00:00', '{start 2013-06-04 09:00Z,pause 2013-06-04 10:00Z,resume 2013-06-04 15:00Z,look 2013-06-04 15:00Z}'),
	('daily-120min-close', 'or to the close', 'running due 06-04 16:00:00 after 01:00:00', '{start 2013-06-04 09:00Z,pause 2013-06-04 10:00Z,resume 2013-06-04 15:00Z,look 2013-06-04 15:00Z}'),
	('daily-120min-open', 'a reply after 75 minutes', 'met due 06-04 11:30:00 after 01:15:00', '{start 2013-06-04 09:00Z,pause 2013-06-04 10:00Z,resume 2013-06-04 10:30Z,meet 2013-06-04 10:45Z}'),
	('daily-120min-open', 'closed after 150', 'met due 06-04 11:30:00 after 02:30:00 breached', '{start 2013-06-04 09:00Z,pause 2013-06-04 10:00Z,resume 2013-06-04 10:30Z,meet 2013-06-04 12:00Z}'),
	('daily-120min-open', 'paused when it was made, and closed so', 'met due 06-04 14:00:00 after 00:00:00', '{start 2013-06-04 09:00Z,pause 2013-06-04 09:00Z,meet 2013-06-04 12:00Z}'),
	('daily-120min-open', 'open for half an hour', 'met due 06-04 13:30:00 after 00:30:00',
		'{start 2013-06-04 09:00Z,pause 2013-06-04 09:00Z,resume 2013-06-04 10:30Z,pause 2013-06-04 11:00Z,meet 2013-06-04 12:00Z}'),
	('daily-120min-open', 'and for another', 'met due 06-04 13:00:00 after 01:00:00',
		'{start 2013-06-04 09:00Z,pause 2013-06-04 09:00Z,resume 2013-06-04 10:30Z,pause 2013-06-04 11:00Z,resume 2013-06-04 11:30Z,meet 2013-06-04 12:00Z}'),
	('november-120min-open', 'from a holiday', 'running due 11-02 09:00:00 after 00:00:00', '{start 2016-11-01 13:56:21Z,look 2016-11-01 14:00Z}'),
	('november-1200min-open', 'from a holiday, two days', 'running due 11-03 15:00:00 after 00:00:00', '{start 2016-11-01 13:56:21Z,look 2016-11-01 14:00Z}'),
	('november-1200min-open', 'paused to the second', 'running due 11-09 09:26:36 after 00:00:00', '{start 2016-11-01 13:56:21Z,pause 2016-11-01 13:56:24Z,resume 2016-11-07 13:26:36Z,look 2016-11-07 13:26:36Z}'),
	('september-120min-open', 'over a holiday', 'running due 09-23 08:30:00 after 00:30:00', '{start 2015-09-21 14:30Z,look 2015-09-22 12:00Z}'),
	('september-240min-open', 'over a holiday, twice as long', 'running due 09-23 10:30:00 after 00:30:00', '{start 2015-09-21 14:30Z,look 2015-09-22 12:00Z}'),

	-- holding
	('office-4h-close', 'over a weekend', 'running due 01-15 13:30:00 after 00:30:00', '{start 2024-01-12 16:00Z,pause 2024-01-12 16:30Z,resume 2024-01-15 10:00Z,look 2024-01-15 10:00Z}'),
	('office-8h-close', 'paused twice, once', 'running due 01-16 10:00:00 after 03:00:00',
		'{start 2024-01-15 09:00Z,pause 2024-01-15 10:00Z,pause 2024-01-15 10:30Z,resume 2024-01-15 11:00Z,look 2024-01-15 13:00Z}'),
	('office-8h-close', 'resumed twice, once', 'running due 01-16 10:00:00 after 03:00:00',
		'{start 2024-01-15 09:00Z,pause 2024-01-15 10:00Z,resume 2024-01-15 11:00Z,resume 2024-01-15 12:30Z,look 2024-01-15 13:00Z}'),
	('office-8h-close', 'resumed without a pause', 'running due 01-15 17:00:00 after 03:00:00', '{start 2024-01-15 09:00Z,resume 2024-01-15 11:00Z,look 2024-01-15 12:00Z}'),
	('office-8h-close', 'a pause outside of hours adds nothing', 'running due 01-16 12:00:00 after 05:00:00',
		'{start 2024-01-15 12:00Z,pause 2024-01-15 18:00Z,resume 2024-01-16 08:00Z,look 2024-01-16 09:00Z}'),
	('office-8h-close', 'one that ends in them adds what lies in them', 'running due 01-16 13:00:00 after 05:00:00',
		'{start 2024-01-15 12:00Z,pause 2024-01-15 18:00Z,resume 2024-01-16 10:00Z,look 2024-01-16 10:00Z}'),
	('office-8h-close', 'from one moment to the same', 'running due 01-15 17:00:00 after 03:00:00', '{start 2024-01-15 09:00Z,pause 2024-01-15 10:00Z,resume 2024-01-15 10:00Z,look 2024-01-15 12:00Z}'),
	('always-60h-close', 'over midnight, a change of the clock and a holiday', 'running due 04-03 10:00:00 after 24:00:00',
		'{start 2024-03-29 22:00Z,pause 2024-03-30 22:00Z,resume 2024-03-31 22:00Z,look 2024-03-31 22:00Z}'),
	('always-60h-close', 'over a change of the clock', 'running due 04-01 23:00:00 after 59:00:00', '{start 2024-03-29 11:00Z,look 2024-03-31 22:00Z}'),
	('office-8h-close', 'what is paused is never in breach', 'paused after 03:00:00', '{start 2024-01-15 09:00Z,pause 2024-01-15 12:00Z,scan 2024-01-19 12:00Z}'),
	('office-8h-close', 'and goes on where it was', 'running due 01-22 14:00:00 after 03:00:00', '{start 2024-01-15 09:00Z,pause 2024-01-15 12:00Z,resume 2024-01-20 12:00Z,scan 2024-01-20 12:00Z}'),
	('office-8h-close', 'paused when it is due', 'paused after 08:00:00', '{start 2024-01-15 09:00Z,pause 2024-01-15 17:00Z,scan 2024-01-15 20:00Z}');

SELECT is(pg_temp.live(policy, inputs), wanted, format('%s: %s', policy, what)) FROM story ORDER BY place;
-- of what happens at one moment the order is that in which it is told
SELECT is(pg_temp.late(policy, inputs), wanted, format('%s: %s, told from the end', policy, what)) FROM story
WHERE inputs::text NOT LIKE '%scan%' AND what <> 'from one moment to the same' ORDER BY place;

/*
 * Another target: elapsed time and pauses are kept
 */

SELECT hotdash.sla_policy_set('tap-retarget', '{"calendar": "tap-office", "metrics": {"work": {"target": "8 h", "targets": {"urgent": "4 h"}}}}');
SELECT pg_temp.now('2024-01-15 10:00Z');
CREATE TEMPORARY TABLE held AS SELECT hotdash.sla_start('tap-retarget', 'tap:held', 'work') AS clock;
SELECT pg_temp.now('2024-01-15 12:00Z');
SELECT hotdash.sla_pause(clock) FROM held;
SELECT pg_temp.now('2024-01-15 14:00Z');
SELECT hotdash.sla_resume(clock) FROM held;
SELECT is(pg_temp.seen(clock), 'running due 01-16 12:00:00 after 02:00:00', 'eight hours from Monday 10:00, paused from noon to two') FROM held;
SELECT pg_temp.now('2024-01-15 15:00Z');
SELECT hotdash.sla_retarget(clock, priority => 'urgent') FROM held;
SELECT is(pg_temp.seen(clock), 'running due 01-15 16:00:00 after 03:00:00', 'four hours: due at 16:00, not at 14:00') FROM held;
SELECT hotdash.sla_retarget(clock, policy => 'tap-office-8h-close') FROM held;
SELECT is(pg_temp.seen(clock), 'running due 01-16 12:00:00 after 03:00:00', 'and by another policy') FROM held;

/*
 * Answers to a customer
 */

SELECT hotdash.sla_policy_set('tap-desk', '{"calendar": "tap-office", "metrics": {"first_response": {"target": "1 h"}, "next_response": {"target": "1 h"}, "resolution": {"target": "8 h"},
	"requester_wait": {"target": "8 h", "start": ["created"], "pause": ["pending"], "resume": ["open", "on_hold"], "meet": ["solved"]}}}');

CREATE FUNCTION pg_temp.happens(event text, at text, subject text DEFAULT 'tap:desk') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.now(at);
	PERFORM hotdash.sla_event(subject, event);
END
$$;
CREATE FUNCTION pg_temp.desk(metric text, subject text DEFAULT 'tap:desk') RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(pg_temp.seen(c.id), ', ' ORDER BY c.cycle) FROM hotdash.sla_clocks AS c WHERE c.subject = $2 AND c.metric = $1
$$;

SELECT pg_temp.now('2024-01-15 09:00Z');
SELECT hotdash.sla_start('tap-desk', 'tap:desk');
SELECT is(pg_temp.desk('next_response'), NULL, 'nobody waits for a next answer yet');
SELECT pg_temp.happens('agent_reply', '2024-01-15 09:30Z');
SELECT is(pg_temp.desk('first_response'), 'met due 01-15 10:00:00 after 00:30:00', 'the first answer');
SELECT pg_temp.happens('customer_message', '2024-01-15 10:00Z');
SELECT pg_temp.happens('customer_message', '2024-01-15 10:05Z');
SELECT is(pg_temp.desk('next_response'), 'running due 01-15 11:00:00 after 00:05:00', 'a second message does not move what is due');
SELECT pg_temp.happens('agent_reply', '2024-01-15 10:10Z');
SELECT is(pg_temp.desk('next_response'), 'met due 01-15 11:00:00 after 00:10:00', 'an answer clears it');
SELECT pg_temp.happens('agent_reply', '2024-01-15 10:12Z');
SELECT is(pg_temp.desk('next_response'), 'met due 01-15 11:00:00 after 00:10:00', 'another changes nothing');
SELECT pg_temp.happens('customer_message', '2024-01-15 12:00Z');
SELECT pg_temp.happens('agent_reply', '2024-01-15 12:05Z');
SELECT is(pg_temp.desk('next_response'), 'met due 01-15 11:00:00 after 00:10:00, met due 01-15 13:00:00 after 00:05:00', 'an exchange of its own');
SELECT is((SELECT max(elapsed) FROM hotdash.sla_clocks WHERE subject = 'tap:desk' AND metric = 'next_response'), '00:10:00', 'the longest is kept');
SELECT is(pg_temp.desk('first_response'), 'met due 01-15 10:00:00 after 00:30:00', 'the first answer stays what it was');

-- waiting for the requester stops both, being on hold the work of agents alone
SELECT pg_temp.happens('pending', '2024-01-15 13:00Z');
SELECT pg_temp.happens('on_hold', '2024-01-15 14:00Z');
SELECT pg_temp.happens('open', '2024-01-15 15:00Z');
SELECT is(pg_temp.desk('resolution'), 'running due 01-16 11:00:00 after 04:00:00', 'agents'' work: paused from one to three');
SELECT is(pg_temp.desk('requester_wait'), 'running due 01-16 10:00:00 after 05:00:00', 'what the requester waits for: from one to two');

/*
 * Opened again
 */

SELECT hotdash.sla_policy_set('tap-' || reopen, jsonb_build_object('calendar', 'tap-office', 'metrics', jsonb_build_object('resolution', jsonb_build_object('target', '8 h', 'reopen', reopen))))
FROM unnest('{continue,restart,ignore}'::text[]) AS reopen;
SELECT pg_temp.now('2024-01-15 09:00Z');
SELECT hotdash.sla_start('tap-' || reopen, 'tap:' || reopen) FROM unnest('{continue,restart,ignore}'::text[]) AS reopen;
SELECT pg_temp.happens('solved', '2024-01-15 12:00Z', 'tap:' || reopen) FROM unnest('{continue,restart,ignore}'::text[]) AS reopen;
SELECT pg_temp.happens('reopened', '2024-01-16 10:00Z', 'tap:' || reopen) FROM unnest('{continue,restart,ignore}'::text[]) AS reopen;
SELECT is(pg_temp.desk('resolution', 'tap:continue'), 'running due 01-16 15:00:00 after 03:00:00', 'continue: what lay between does not count');
SELECT is(pg_temp.desk('resolution', 'tap:restart'), 'met due 01-15 17:00:00 after 03:00:00, running due 01-17 10:00:00 after 00:00:00', 'restart: another from the begin');
SELECT is(pg_temp.desk('resolution', 'tap:ignore'), 'met due 01-15 17:00:00 after 03:00:00', 'ignore');

SELECT throws_ok($$SELECT hotdash.sla_pause(id) FROM hotdash.sla_clocks WHERE subject = 'tap:ignore'$$, '55000', NULL, 'what was met cannot be paused');
SELECT is(pg_temp.desk('resolution', 'tap:ignore'), 'met due 01-15 17:00:00 after 03:00:00', 'and is not');

SELECT * FROM finish();
ROLLBACK;
