-- The numbers of view queues: from memory they are what a count finds, and who may see them.
-- Rolls back; needs preload. The clock stands still where it is not moved.
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set ON_ERROR_ROLLBACK 1
\set ON_ERROR_STOP true

-- The list is loaded and all rows are counted before this transaction changes some.
BEGIN;
SELECT count(*) AS claimed FROM hotdash.job_claim(ARRAY['default']) \gset
ROLLBACK;
SELECT count(*) AS rows FROM hotdash._queue_tally() \gset

BEGIN;
SELECT * FROM no_plan();
SET LOCAL hotdash.now_override = '2030-01-01 00:00:00+00';
SELECT hotdash.queue_set('tap'), hotdash.queue_set('tap2') \gset
SELECT hotdash.job_kind_set('tap', queue => 'tap', max_attempts => 1) \gset

CREATE FUNCTION pg_temp.numbers(name text) RETURNS text LANGUAGE sql AS $$
	SELECT format('%s ready, %s scheduled, %s running, %s dead, %s held', ready, scheduled, running, dead, held)
	FROM hotdash.queues WHERE queue = name
$$;
-- The same from memory, and counted: says where they differ.
CREATE FUNCTION pg_temp.problems() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(problem, ';'), 'none') FROM hotdash._queue_tally_check() WHERE queue LIKE 'tap%'
$$;
CREATE FUNCTION pg_temp.age(name text) RETURNS interval LANGUAGE sql AS $$ SELECT oldest_ready_age FROM hotdash.queues WHERE queue = name $$;

SELECT is(pg_temp.numbers('tap'), '0 ready, 0 scheduled, 0 running, 0 dead, 0 held', 'an empty queue');
SELECT is(pg_temp.age('tap'), NULL, 'in which nothing waits');
SELECT ok(bool_and(live), 'the numbers are from memory') FROM (SELECT hotdash.job_enqueue('tap')) AS e, hotdash._queue_tally() WHERE queue = 'tap';

/*
 * What counts as what
 */

SELECT hotdash.job_enqueue('tap', run_at => '2030-01-01 01:00:00+00') AS later, hotdash.job_enqueue('tap', needs_approval => true) AS held,
	hotdash.job_enqueue('tap', run_at => 'infinity') AS parked, hotdash.job_enqueue('tap', queue => 'tap2') AS other \gset
SELECT is(pg_temp.numbers('tap'), '1 ready, 1 scheduled, 0 running, 0 dead, 2 held', 'ready, scheduled, held and parked');
SELECT is(pg_temp.numbers('tap2'), '1 ready, 0 scheduled, 0 running, 0 dead, 0 held', 'by their queues');
SELECT is(pg_temp.problems(), 'none', 'as a count says');

SELECT id, token FROM hotdash.job_claim(ARRAY['tap']) \gset c_
SELECT is(pg_temp.numbers('tap'), '0 ready, 1 scheduled, 1 running, 0 dead, 2 held', 'claimed');
SELECT is(hotdash.job_fail(:c_id, :c_token, 'no'), 'dead', 'failed');
SELECT is(pg_temp.numbers('tap'), '0 ready, 1 scheduled, 0 running, 1 dead, 2 held', 'dead');
SELECT is(pg_temp.problems(), 'none', 'as a count says');
UPDATE hotdash._job_dead SET id = -1 WHERE id = :c_id;
SELECT is(hotdash.job_retry(-1), true, 'brought back, under an id that this transaction has not ended');
SELECT is(hotdash.job_approve(:held, 'tap') IS NOT NULL, true, 'approved');
SELECT is(hotdash._job_reschedule(ARRAY[:parked]::bigint[], '2030-01-01 02:00:00+00'), 1, 'no longer parked');
SELECT is(pg_temp.numbers('tap'), '2 ready, 2 scheduled, 0 running, 0 dead, 0 held', 'all of it shows');
SELECT is(pg_temp.problems(), 'none', 'as a count says');

-- Time goes by, and back
SET LOCAL hotdash.now_override = '2030-01-01 01:30:00+00';
SELECT is(pg_temp.numbers('tap'), '3 ready, 1 scheduled, 0 running, 0 dead, 0 held', 'what was scheduled is ready when its time has come');
SELECT is(pg_temp.problems(), 'none', 'as a count says');
SET LOCAL hotdash.now_override = '2030-01-01 00:00:00+00';
SELECT is(pg_temp.numbers('tap'), '2 ready, 2 scheduled, 0 running, 0 dead, 0 held', 'and scheduled again when the clock goes back');

-- By hand
UPDATE hotdash._job SET queue = 'tap2' WHERE id = :later;
SELECT is(pg_temp.numbers('tap2'), '1 ready, 1 scheduled, 0 running, 0 dead, 0 held', 'moved by hand');
UPDATE hotdash._job SET hold = 1 WHERE id = :later;
SELECT is(pg_temp.numbers('tap2'), '1 ready, 0 scheduled, 0 running, 0 dead, 1 held', 'held by hand');
DELETE FROM hotdash._job WHERE id IN (:later, :other);
SELECT is(pg_temp.numbers('tap2'), '0 ready, 0 scheduled, 0 running, 0 dead, 0 held', 'deleted by hand');
SELECT is(pg_temp.problems(), 'none', 'as a count says');
SAVEPOINT s;
TRUNCATE hotdash._job;
SELECT is(pg_temp.numbers('tap'), '0 ready, 0 scheduled, 0 running, 0 dead, 0 held', 'truncated');
ROLLBACK TO s;
SELECT is(pg_temp.numbers('tap'), '2 ready, 1 scheduled, 0 running, 0 dead, 0 held', 'not truncated');
SELECT is(pg_temp.problems(), 'none', 'as a count says');
DELETE FROM hotdash._job WHERE queue IN ('tap', 'tap2');

/*
 * The oldest that is ready
 */

SELECT hotdash.job_enqueue('tap', priority => 9) AS first \gset
SET LOCAL hotdash.now_override = '2030-01-01 00:10:00+00';
SELECT is(pg_temp.age('tap'), '10 min', 'the oldest');
SELECT hotdash.job_enqueue('tap', priority => 0) AS urgent, hotdash.job_enqueue('tap', run_at => '2030-01-01 00:15:00+00') AS soon \gset
SELECT is(pg_temp.age('tap'), '10 min', 'of whatever priority');
SELECT hotdash.job_cancel(:first) \gset
SELECT is(pg_temp.age('tap'), '00:00', 'the next when it is gone');
SELECT id, token FROM hotdash.job_claim(ARRAY['tap']) \gset c_
SELECT is(ROW(:c_id = :urgent, pg_temp.age('tap'))::text, '(t,)', 'what runs does not wait, nor what is scheduled');
SET LOCAL hotdash.now_override = '2030-01-01 00:20:00+00';
SELECT is(pg_temp.age('tap'), '5 min', 'until its time has come, though nobody has asked for it');
SELECT hotdash.job_cancel(:soon) \gset
SELECT count(hotdash.job_enqueue('tap', order_key => 'k')) AS keyed FROM generate_series(1, 100) \gset
SET LOCAL hotdash.now_override = '2030-01-01 00:21:00+00';
SELECT count(*) FROM hotdash.job_claim(ARRAY['tap'], 10) \gset
SELECT is(:count, 1, 'a key lets one through');
SELECT is(pg_temp.age('tap'), '1 min', 'those behind it wait');
SELECT is(pg_temp.numbers('tap'), '99 ready, 0 scheduled, 2 running, 0 dead, 0 held', 'and are ready');

/*
 * Who may see them
 */

CREATE ROLE tap_viewer;
SELECT hotdash.access_grant('tap_viewer', 'viewer') \gset
SELECT count(hotdash.job_enqueue('tap', tenant => 'one', queue => 'tap2')) AS tenants FROM generate_series(1, 2) \gset
SELECT hotdash.job_enqueue('tap', tenant => 'two', queue => 'tap2') AS two \gset
SET LOCAL ROLE tap_viewer;
SELECT is((SELECT ready FROM hotdash.queues WHERE queue = 'tap2'), 3::bigint, 'a viewer sees the numbers');
SELECT throws_ok('SELECT * FROM hotdash._queue_count()', '42501', NULL, 'and does not count');
RESET ROLE;
SET LOCAL hotdash.tenant = 'one';
SET LOCAL ROLE tap_viewer;
SELECT is((SELECT ready FROM hotdash.queues WHERE queue = 'tap2'), 2::bigint, 'a session of a tenant sees that tenant''s alone');
RESET ROLE;
SELECT is((SELECT count(*) FROM hotdash._queue_tally() WHERE live), 0::bigint, 'which memory cannot tell');
SET LOCAL hotdash.tenant = '';

SELECT throws_ok(format('SELECT hotdash.%s()', f), '39P01', NULL, f || ' is for triggers') FROM unnest(ARRAY['_job_tallied', '_job_dead_tallied']) AS f;

SELECT * FROM finish();
ROLLBACK;
