-- Jobs: bad input and its SQLSTATE, what the functions store, backoff policies, states and explanations.
-- Rolls back; needs preload. The clock stands still, so jobs of this very transaction can be claimed.
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set ON_ERROR_ROLLBACK 1
\set ON_ERROR_STOP true

BEGIN;
SELECT * FROM no_plan();
SET LOCAL hotdash.now_override = '2030-01-01 00:00:00+00';

CREATE SCHEMA tap;
GRANT USAGE ON SCHEMA tap TO PUBLIC;
CREATE FUNCTION tap.handler(job jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT job';

CREATE FUNCTION pg_temp.rows_there() RETURNS bigint LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM hotdash._job) + (SELECT count(*) FROM hotdash._kind)
		+ (SELECT count(*) FROM hotdash._queue) + (SELECT count(*) FROM hotdash._job_unique)
		+ (SELECT count(*) FROM hotdash._job_history) + (SELECT count(*) FROM hotdash._job_dead)
		+ (SELECT count(*) FROM hotdash._job_attempt)
$$;

SELECT lives_ok($$SELECT hotdash.queue_set('tap')$$, 'queue_set');
SELECT lives_ok($$SELECT hotdash.job_kind_set('tap', queue => 'tap', max_attempts => 2)$$, 'job_kind_set');
SELECT lives_ok($$SELECT hotdash.job_enqueue('tap', '0')$$, 'a first job, which writes the instance');
SELECT pg_temp.rows_there() AS before \gset

/*
 * Bad input: one clear error each, nothing half-written
 */

SELECT throws_ok(call, state, NULL, format('%s: %s', state, call)) FROM (VALUES
	-- kinds
	($$SELECT hotdash.job_kind_set(NULL)$$, '22004'),
	($$SELECT hotdash.job_kind_set('')$$, '22023'),
	($$SELECT hotdash.job_kind_set('a b')$$, '22023'),
	($$SELECT hotdash.job_kind_set('é')$$, '22023'),
	($$SELECT hotdash.job_kind_set(repeat('k', 64))$$, '22023'),
	($$SELECT hotdash.job_kind_set('k', queue => 'unknown')$$, '42704'),
	($$SELECT hotdash.job_kind_set('k', max_attempts => 0)$$, '22023'),
	($$SELECT hotdash.job_kind_set('k', max_attempts => 1001)$$, '22023'),
	($$SELECT hotdash.job_kind_set('k', timeout => '-1 s')$$, '22023'),
	($$SELECT hotdash.job_kind_set('k', timeout => '0')$$, '22023'),
	($$SELECT hotdash.job_kind_set('k', timeout => '1 month')$$, '22023'),
	($$SELECT hotdash.job_kind_set('k', timeout => '106751000 days')$$, '22015'),
	($$SELECT hotdash.job_kind_set('k', retention => '0')$$, '22023'),
	($$SELECT hotdash.job_kind_set('k', retention => '-1 day')$$, '22023'),
	($$SELECT hotdash.job_kind_set('k', retention => '1 year')$$, '22023'),
	($$SELECT hotdash.job_kind_set('k', retention => '366 days')$$, '22023'),
	($$SELECT hotdash.job_kind_set('k', options => '{"x":1}')$$, '22023'),
	($$SELECT hotdash.job_kind_set('k', options => '[]')$$, '22023'),
	($$SELECT hotdash.job_kind_set('k', handler => 'pg_catalog.now()', run_as => 'pg_monitor')$$, '42P13'),
	($$SELECT hotdash.job_kind_set('k', handler => 'pg_catalog.jsonb_array_length(jsonb)', run_as => 'pg_monitor')$$, '42P13'),
	($$SELECT hotdash.job_kind_set('k', handler => 'pg_catalog.jsonb_array_elements(jsonb)', run_as => 'pg_monitor')$$, '42P13'),
	($$SELECT hotdash.job_kind_set('k', handler => 'pg_catalog.jsonb_agg(anyelement)', run_as => 'pg_monitor')$$, '42P13'),
	($$SELECT hotdash.job_kind_set('k', handler => 4294967295::oid::regprocedure, run_as => 'pg_monitor')$$, '42883'),
	($$SELECT hotdash.job_kind_set('k', handler => 'tap.handler(jsonb)')$$, '42501'),
	($$SELECT hotdash.job_kind_set('k', handler => 'tap.handler(jsonb)', run_as => 4294967295::oid::regrole)$$, '42704'),
	-- queues
	($$SELECT hotdash.queue_set(NULL)$$, '22004'),
	($$SELECT hotdash.queue_set('')$$, '22023'),
	($$SELECT hotdash.queue_set('q', options => '{"x":1}')$$, '22023'),
	($$SELECT hotdash.queue_pause('unknown')$$, '42704'),
	($$SELECT hotdash.queue_pause(NULL)$$, '22004'),
	($$SELECT hotdash.queue_resume('unknown')$$, '42704'),
	-- enqueue
	($$SELECT hotdash.job_enqueue(NULL)$$, '22004'),
	($$SELECT hotdash.job_enqueue('unknown')$$, '42704'),
	($$SELECT hotdash.job_enqueue(repeat('k', 100))$$, '42704'),
	($$SELECT hotdash.job_enqueue('tap', queue => 'unknown')$$, '42704'),
	($$SELECT hotdash.job_enqueue('tap', priority => -1)$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', priority => 10)$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', max_attempts => 0)$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', max_attempts => 1001)$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', unique_key => 'k', if_exists => 'maybe')$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', options => '{"unknown":1}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', options => '[]')$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', options => '"x"')$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', options => '{"timeout":5}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', options => '{"timeout":"0s"}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', options => '{"timeout":"1 month"}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', options => '{"timeout":"soon"}')$$, '22007'),
	($$SELECT hotdash.job_enqueue('tap', options => '{"expires_at":"soon"}')$$, '22007'),
	($$SELECT hotdash.job_enqueue('tap', options => '{"expires_at":5}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', options => '{"traceparent":"00-0"}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', options => '{"traceparent":null}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('tap', options => '{"backoff":"fast"}')$$, '22023'),
	($$SELECT hotdash.job_enqueue_many(NULL, '{}')$$, '22004'),
	($$SELECT hotdash.job_enqueue_many('tap', NULL)$$, '22004'),
	($$SELECT hotdash.job_enqueue_many('unknown', ARRAY['1']::jsonb[])$$, '42704'),
	($$SELECT hotdash.job_enqueue_many('tap', ARRAY['1']::jsonb[], priority => 11)$$, '22023'),
	($$SELECT hotdash.job_enqueue_many('tap', ARRAY['1', '2']::jsonb[], unique_keys => ARRAY['a'])$$, '2202E'),
	($$SELECT hotdash.job_enqueue_many('tap', ARRAY['1']::jsonb[], unique_keys => ARRAY['a', 'b'])$$, '2202E'),
	-- claim
	($$SELECT * FROM hotdash.job_claim(batch => 0)$$, '22023'),
	($$SELECT * FROM hotdash.job_claim(batch => -1)$$, '22023'),
	($$SELECT * FROM hotdash.job_claim(batch => 10001)$$, '22023'),
	($$SELECT * FROM hotdash.job_claim(lease => '-1 s')$$, '22023'),
	($$SELECT * FROM hotdash.job_claim(lease => '0')$$, '22023'),
	($$SELECT * FROM hotdash.job_claim(lease => '1 year')$$, '22023'),
	($$SELECT * FROM hotdash.job_claim(lease => '106751000 days')$$, '22015'),
	($$SELECT * FROM hotdash.job_claim(ARRAY['unknown'])$$, '42704'),
	($$SELECT * FROM hotdash.job_claim(ARRAY[NULL]::text[])$$, '22004'),
	($$SELECT * FROM hotdash.job_claim(kinds => ARRAY['unknown'])$$, '42704'),
	($$SELECT * FROM hotdash.job_claim(kinds => ARRAY[NULL]::text[])$$, '22004'),
	($$SELECT * FROM hotdash.job_claim(kinds => '{}')$$, '22023'),
	($$SELECT * FROM hotdash.job_next(NULL, 1)$$, '22004'),
	($$SELECT * FROM hotdash.job_next(1, NULL)$$, '22004'),
	($$SELECT * FROM hotdash.job_next(1, 1, lease => '-1 s')$$, '22023'),
	-- ends
	($$SELECT hotdash.job_complete(NULL, 1)$$, '22004'),
	($$SELECT hotdash.job_complete(1, NULL)$$, '22004'),
	($$SELECT * FROM hotdash.job_complete_many(NULL, '{}')$$, '22004'),
	($$SELECT * FROM hotdash.job_complete_many('{1}', '{1,2}')$$, '2202E'),
	($$SELECT * FROM hotdash.job_complete_many('{1,NULL}', '{1,2}')$$, '22004'),
	($$SELECT * FROM hotdash.job_complete_many('{1}', '{NULL}')$$, '22004'),
	($$SELECT * FROM hotdash.job_complete_many('{1}', '{1}', ARRAY['1', '2']::jsonb[])$$, '2202E'),
	($$SELECT hotdash.job_fail(NULL, 1, 'x')$$, '22004'),
	($$SELECT hotdash.job_fail(1, NULL, 'x')$$, '22004'),
	($$SELECT hotdash.job_fail(1, 1, NULL)$$, '22004'),
	($$SELECT hotdash.job_fail(1, 1, 'x', '-1 s')$$, '22023'),
	($$SELECT hotdash.job_fail(1, 1, 'x', '1 month')$$, '22023'),
	($$SELECT * FROM hotdash.job_fail_many('{1}', '{1}', NULL)$$, '22004'),
	($$SELECT * FROM hotdash.job_fail_many('{1}', '{1}', '{x,y}')$$, '2202E'),
	($$SELECT * FROM hotdash.job_fail_many('{1}', '{1}', '{x}', '{1 s,2 s}')$$, '2202E'),
	($$SELECT * FROM hotdash.job_fail_many('{1}', '{1}', '{x}', '{-1 s}')$$, '22023'),
	($$SELECT * FROM hotdash.job_fail_many('{1}', '{1}', '{x}', NULL, '{t,f}')$$, '2202E'),
	($$SELECT hotdash.job_snooze(1, 1, NULL)$$, '22004'),
	($$SELECT hotdash.job_snooze(1, 1, '-1 s')$$, '22023'),
	($$SELECT hotdash.job_snooze(NULL, 1, '1 s')$$, '22004'),
	($$SELECT * FROM hotdash.job_renew(NULL, '{1}')$$, '22004'),
	($$SELECT * FROM hotdash.job_renew('{1}', '{1,2}')$$, '2202E'),
	($$SELECT * FROM hotdash.job_renew('{NULL}', '{1}')$$, '22004'),
	($$SELECT * FROM hotdash.job_renew('{1}', '{1}', '-1 s')$$, '22023'),
	($$SELECT hotdash.job_cancel(NULL)$$, '22004'),
	($$SELECT hotdash.job_retry(NULL)$$, '22004'),
	($$SELECT hotdash.dead_retry(up_to => 0)$$, '22023'),
	($$SELECT hotdash.job_explain(NULL)$$, '22004'),
	($$SELECT hotdash._job_reschedule(NULL, now())$$, '22004'),
	($$SELECT hotdash._job_reschedule('{1}', NULL)$$, '22004'),
	-- blocking calls in a transaction
	($$CALL hotdash.job_wait()$$, '2D000'),
	($$CALL hotdash.job_work()$$, '2D000'),
	($$CALL hotdash.job_wait(wait => '-1 s')$$, '22023'),
	($$CALL hotdash.job_wait(ARRAY[NULL]::text[])$$, '22004')
) AS v (call, state);
SELECT is(pg_temp.rows_there(), :before::bigint, 'none of these left anything behind');
SELECT throws_like($$SELECT hotdash.job_enqueue('tap', options => '{"speed":1}')$$, '%"speed"%', 'an unknown option is named');
DO $$
DECLARE
	hint text;
BEGIN
	PERFORM hotdash.job_enqueue('tap', options => '{"speed":1}');
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	PERFORM set_config('tap.hint', hint, true);
END $$;
SELECT ok(current_setting('tap.hint') LIKE '%' || word || '%', 'and the hint knows ' || word)
FROM unnest(ARRAY['approval', 'backoff', 'batch', 'expires_at', 'on_failure', 'timeout', 'traceparent']) AS word;

/*
 * Retention: the class of a kind decides which part of the history takes its rows
 */

SELECT is(hotdash._history_days(wanted)::int, days, format('kept %s: class of %s days', wanted, days)) FROM (VALUES
	('1 minute'::interval, 1), ('24 hours', 1), ('25 hours', 3), ('3 days', 3), ('8 days', 14), ('30 days', 30),
	('31 days', 90), ('365 days', 365)) AS v (wanted, days);
SELECT is(hotdash._history_days(NULL), hotdash._history_days(current_setting('hotdash.job_retention')::interval), 'the setting is the default');
SELECT lives_ok($$SELECT hotdash.job_kind_set('tap-kept', retention => '2 days')$$, 'a kind with a retention of its own');
SELECT is((SELECT retention FROM hotdash._kind WHERE kind = 'tap-kept'), '2 days'::interval, 'is kept');
SELECT lives_ok($$SELECT hotdash.job_kind_set('tap-kept')$$, 'stated anew without');
SELECT is((SELECT retention FROM hotdash._kind WHERE kind = 'tap-kept'), NULL, 'it has none');

/*
 * Stale and unknown: false, lost; never an error
 */

SELECT is(hotdash.job_complete(-5, 5), false, 'completing what never was');
SELECT is(hotdash.job_fail(-5, 5, 'x'), 'lost', 'failing what never was');
SELECT is(hotdash.job_snooze(-5, 5, '1 s'), false, 'snoozing what never was');
SELECT is(hotdash.job_cancel(-5), false, 'cancelling what never was');
SELECT is(hotdash.job_retry(-5), false, 'retrying what never was');
SELECT is(hotdash.job_get(-5), NULL, 'getting what never was');
SELECT is(hotdash.job_explain(-5) ->> 'code', 'unknown', 'explaining what never was');
SELECT is((SELECT string_agg(state, ',') FROM hotdash.job_renew('{-5}', '{5}')), 'lost', 'renewing what never was');
SELECT is((SELECT count(*) FROM hotdash.job_complete_many('{}', '{}')), 0::bigint, 'completing nothing');
SELECT is(hotdash.job_enqueue_many('tap', '{}'), '{}', 'enqueueing nothing');

/*
 * Backoff
 */

SELECT throws_ok(format('SELECT hotdash._backoff_delay(%L)', policy), state, NULL, format('backoff %s: %s', state, policy)) FROM (VALUES
	('[]', '22023'), ('1', '22023'), ('{"typ":"fixed"}', '22023'), ('{"type":"fibonacci"}', '22023'), ('{"type":1}', '22023'),
	('{"base":1}', '22023'), ('{"base":"-1s"}', '22023'), ('{"base":"x"}', '22007'), ('{"base":"1 month"}', '22023'),
	('{"base":"31 days"}', '22023'), ('{"cap":"31 days"}', '22023'), ('{"factor":"2"}', '22023'), ('{"factor":0.5}', '22023'),
	('{"factor":101}', '22023'), ('{"factor":"NaN"}', '22023'), ('{"jitter":"some"}', '22023'), ('{"jitter":null}', '22023'),
	('{"type":"list"}', '22023'), ('{"type":"list","delays":[]}', '22023'), ('{"type":"list","delays":"1s"}', '22023'),
	('{"type":"list","delays":[1]}', '22023'), ('{"type":"list","delays":["-1s"]}', '22023'), ('{"type":"list","delays":{"a":"1s"}}', '22023'),
	('{"type":"fixed","delays":["1s"]}', '22023'), ('{"delays":["1s"]}', '22023'), ('{"type":"list","delays":[["1s"]]}', '22023')
) AS v (policy, state);
SELECT throws_ok(format('SELECT hotdash._backoff_delay(%L)', jsonb_build_object('type', 'list', 'delays',
	(SELECT jsonb_agg('1s'::text) FROM generate_series(1, 33)))), '22023', NULL, 'backoff 22023: 33 delays');
SELECT is((SELECT string_agg(extract(epoch FROM hotdash._backoff_delay(policy::jsonb, n))::float8::text, ' ' ORDER BY n)
	FROM generate_series(1, 6) AS n), delays, policy) FROM (VALUES
	('{"jitter":"none"}', '1 2 4 8 16 32'),
	('{"jitter":"none","factor":3,"cap":"20s"}', '1 3 9 20 20 20'),
	('{"jitter":"none","type":"linear","base":"500ms"}', '0.5 1 1.5 2 2.5 3'),
	('{"jitter":"none","type":"linear","base":"2s","cap":"5s"}', '2 4 5 5 5 5'),
	('{"jitter":"none","type":"fixed","base":"7s"}', '7 7 7 7 7 7'),
	('{"type":"list","delays":["1s","2s","4s"]}', '1 2 4 4 4 4'),
	('{"type":"fixed","base":"0s","jitter":"full"}', '0 0 0 0 0 0')
) AS v (policy, delays);
SELECT is(hotdash._backoff_delay('{"jitter":"none","cap":"30 days"}', 2147483647), '720:00:00'::interval, 'the largest attempt is at the cap');
SELECT is(hotdash._backoff_delay('{"jitter":"none"}', 0), '1 s', 'an attempt below one counts as the first');
SELECT is(hotdash._backoff_delay('{"base":"0s","factor":100}', 900), '0 s', 'no delay stays none, whatever its factor');
SELECT ok(min(d) >= '2 s' AND max(d) <= '4 s' AND max(d) - min(d) > '1 s', 'equal jitter: between half and all')
FROM (SELECT hotdash._backoff_delay('{"jitter":"equal"}', 3) AS d FROM generate_series(1, 500)) AS s;
SELECT ok(min(d) >= '0 s' AND max(d) <= '4 s' AND max(d) - min(d) > '3 s', 'full jitter: between nothing and all')
FROM (SELECT hotdash._backoff_delay('{"jitter":"full"}', 3) AS d FROM generate_series(1, 500)) AS s;
SELECT ok(min(d) >= '0.5 s' AND max(d) <= '1 s' AND max(d) > min(d), 'the default: a second, equal jitter')
FROM (SELECT hotdash._backoff_delay(NULL) AS d FROM generate_series(1, 500)) AS s;

/*
 * *_set states the whole object
 */

SELECT hotdash.job_kind_set('whole', handler => 'tap.handler(jsonb)', queue => 'tap', run_as => 'pg_monitor',
	max_attempts => 9, backoff => '{"type":"fixed"}', timeout => '5 s');
SELECT results_eq($$SELECT handler, queue, run_as::text, max_attempts::int, backoff, timeout FROM hotdash._kind WHERE kind = 'whole'$$,
	$$VALUES ('tap.handler(pg_catalog.jsonb)', 'tap' COLLATE "C", 'pg_monitor', 9, '{"type":"fixed"}'::jsonb, '5 s'::interval)$$,
	'all that was given is stored, the handler as qualified text');
SELECT hotdash.job_kind_set('whole');
SELECT results_eq($$SELECT handler, queue, run_as::text, max_attempts::int, backoff, timeout FROM hotdash._kind WHERE kind = 'whole'$$,
	$$VALUES (NULL::text, 'default' COLLATE "C", NULL::text, 5, NULL::jsonb, NULL::interval)$$, 'what is not given goes back to its default');
SELECT hotdash.queue_pause('tap');
SELECT hotdash.queue_set('tap');
SELECT is((SELECT paused FROM hotdash.queues WHERE queue = 'tap'), true, 'queue_set leaves a pause alone');
SELECT hotdash.queue_resume('tap');
SELECT hotdash.job_kind_set(repeat('k', 63));
SELECT ok(hotdash.job_enqueue(repeat('k', 63), queue => 'tap') > 0, 'the longest name');

/*
 * run_as: who may say what
 */

CREATE ROLE tap_one;
CREATE ROLE tap_two;
SELECT hotdash.access_grant('tap_one', 'admin');
SET ROLE tap_one;
SELECT throws_ok($$SELECT hotdash.job_kind_set('mine', handler => 'tap.handler(jsonb)', run_as => 'tap_two')$$,
	'42501', NULL, 'not a member of the role');
SELECT lives_ok($$SELECT hotdash.job_kind_set('mine', handler => 'tap.handler(jsonb)')$$, 'the caller by default');
RESET ROLE;
SELECT is((SELECT run_as::text FROM hotdash._kind WHERE kind = 'mine'), 'tap_one', 'is the one who really calls');
GRANT tap_two TO tap_one;
SET ROLE tap_one;
SELECT lives_ok($$SELECT hotdash.job_kind_set('mine', handler => 'tap.handler(jsonb)', run_as => 'tap_two')$$, 'a member');
SELECT throws_ok($$SELECT * FROM hotdash._job$$, '42501', NULL, 'an admin reads no table');
RESET ROLE;
SET ROLE tap_two;
SELECT throws_ok($$SELECT hotdash.job_enqueue('tap')$$, '42501', NULL, 'nobody without a level enqueues');
RESET ROLE;

/*
 * The life of a job
 */

SELECT hotdash.job_kind_set('tap', queue => 'tap', max_attempts => 2, backoff => '{"type":"fixed","base":"10s","jitter":"none"}');
DELETE FROM hotdash._job WHERE queue = 'tap';
SELECT hotdash.job_enqueue('tap', '{"n":1}', priority => 3, tags => '{a,b}', tenant => 't', unique_key => 'u',
	options => '{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}') AS id \gset
SELECT is(hotdash.job_explain(:id) ->> 'code', 'no_worker', 'explain: no_worker');
SELECT hotdash.queue_pause('tap');
SELECT is(hotdash.job_explain(:id) ->> 'code', 'queue_paused', 'explain: queue_paused');
SELECT is((SELECT count(*) FROM hotdash.job_claim(ARRAY['tap'])), 0::bigint, 'nothing to claim from a paused queue');
SELECT hotdash.queue_resume('tap');
SELECT id, token, kind, payload, queue, attempt, max_attempts, tenant, order_key, traceparent, lease_expires, tags
FROM hotdash.job_claim(ARRAY['tap'], worker => repeat('é', 40), lease => '90 s') \gset c_
SELECT is(:c_id::bigint, :id::bigint, 'claimed');
SELECT is(ROW(:'c_kind', :'c_payload'::jsonb, :'c_queue', :c_attempt, :c_max_attempts, :'c_tenant', :'c_traceparent', :'c_tags'::text[])::text,
	ROW('tap', '{"n":1}'::jsonb, 'tap', 1, 2, 't', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', ARRAY['a', 'b'])::text, 'with all it was given');
SELECT is(:'c_lease_expires'::timestamptz, '2030-01-01 00:01:30+00', 'for as long as was asked');
SELECT is(hotdash.job_explain(:id) ->> 'code', 'running', 'explain: running');
SELECT is((SELECT worker FROM hotdash.workers WHERE worker LIKE 'é%'), repeat('é', 31), 'a long name of a worker is cut between characters');
SELECT is((SELECT state || attempt FROM hotdash.jobs WHERE id = :id), 'running1', 'jobs: running');
SELECT is((SELECT running FROM hotdash.queues WHERE queue = 'tap'), 1::bigint, 'queues: running');
SELECT is(hotdash.job_cancel(:id), true, 'the end of a running job is asked for, when this commits');
SELECT is((SELECT string_agg(state || lease_expires, '') FROM hotdash.job_renew(ARRAY[:id]::bigint[], ARRAY[:c_token]::bigint[], '1 hour')),
	'renewed2030-01-01 01:00:00+00', 'renewed');
SELECT is(hotdash.job_fail(:id, :c_token, E'broken\x01\nline'), 'scheduled', 'failed once');
SELECT is(hotdash.job_fail(:id, :c_token, 'again'), 'lost', 'a token is good once');
SELECT results_eq(format('SELECT attempt::int, at, last_error FROM hotdash._job WHERE id = %s', :id),
	$$VALUES (1, '2030-01-01 00:00:10+00'::timestamptz, E'broken \nline')$$, 'retried by the policy of its kind, without control characters');
SELECT is((SELECT string_agg(outcome, ',') FROM hotdash.job_attempts WHERE job_id = :id), 'failed', 'job_attempts');
SELECT is((SELECT num_nulls(cpu, wal_bytes) FROM hotdash.job_attempts WHERE job_id = :id), 2, 'what a worker outside took is not known');

-- What happens to a job between two commits happens once, so each end has a job of its own.
CREATE FUNCTION pg_temp.claim_one(max_attempts int DEFAULT 1, OUT id bigint, OUT token bigint) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM hotdash.job_enqueue('tap', '"own"', max_attempts => claim_one.max_attempts, unique_key => 'own' || max_attempts);
	SELECT c.id, c.token INTO id, token FROM hotdash.job_claim(ARRAY['tap']) AS c;
END $$;
SELECT id, token FROM pg_temp.claim_one(5) \gset c_
SELECT is(hotdash.job_snooze(:c_id, :c_token, '5 s'), true, 'snoozed');
SELECT is((SELECT attempt || ' ' || at FROM hotdash._job WHERE id = :c_id), '0 2030-01-01 00:00:05+00', 'which charges nothing');
SELECT id, token FROM pg_temp.claim_one(6) \gset c_
SELECT is(hotdash.job_fail(:c_id, :c_token, 'x', retry_in => '1 day'), 'scheduled', 'failed with a delay of its own');
SELECT is((SELECT attempt || ' ' || at FROM hotdash._job WHERE id = :c_id), '1 2030-01-02 00:00:00+00', 'which is obeyed');
SELECT id, token FROM pg_temp.claim_one(7) \gset c_
SELECT is(hotdash.job_fail(:c_id, :c_token, 'x', final => true), 'dead', 'failed for good');
SELECT is((SELECT reason || attempt FROM hotdash.dead_jobs WHERE id = :c_id), 'final1', 'dead_jobs: final');
SELECT id, token FROM pg_temp.claim_one() \gset c_
SELECT is(hotdash.job_fail(:c_id, :c_token, repeat('é', 9000)), 'dead', 'failed for the last time');
SELECT ok((SELECT octet_length(last_error) BETWEEN 8000 AND 8192 FROM hotdash.dead_jobs WHERE id = :c_id), 'a long error is cut');
SELECT is(hotdash.job_explain(:c_id) ->> 'code', 'dead', 'explain: dead');
SELECT is((SELECT reason FROM hotdash.dead_jobs WHERE id = :c_id), 'attempts', 'dead_jobs: attempts');
SELECT is(hotdash.job_retry(:c_id), true, 'brought back');
SELECT is(hotdash.job_retry(:c_id), false, 'once');
SELECT is((SELECT attempt::int FROM hotdash._job WHERE id = :c_id), 0, 'with all its attempts');
SELECT is(hotdash.job_enqueue('tap', unique_key => 'own1'), :c_id::bigint, 'and its key');
SELECT hotdash.job_cancel(:c_id);
DELETE FROM hotdash._job WHERE queue = 'tap';
SELECT id, token FROM pg_temp.claim_one(8) \gset c_
SELECT is(hotdash.job_complete(:c_id, :c_token, '{"done":true}'), true, 'completed');
SELECT is(hotdash.job_get(:c_id) ->> 'state', 'completed', 'job_get');
SELECT is(hotdash.job_get(:c_id) -> 'result', '{"done":true}', 'with the result');
SELECT is(hotdash.job_explain(:c_id) ->> 'code', 'completed', 'explain: completed');
SELECT is(hotdash.job_retry(:c_id), false, 'what completed is not retried');
SELECT is(hotdash.job_cancel(:c_id), false, 'nor cancelled');
SELECT isnt(hotdash.job_enqueue('tap', unique_key => 'own8'), :c_id::bigint, 'its key is free');

SELECT hotdash.job_enqueue('tap', run_at => '2031-01-01') AS later, hotdash.job_enqueue('tap', run_at => 'infinity') AS parked,
	hotdash.job_enqueue('tap', options => '{"expires_at":"2030-01-01 00:00:00+00"}') AS expired,
	hotdash.job_enqueue('tap', run_at => '-infinity') AS early \gset
SELECT is(hotdash.job_explain(:later) ->> 'code', 'scheduled', 'explain: scheduled');
SELECT is(hotdash.job_explain(:parked) ->> 'code', 'parked', 'explain: parked');
SELECT is((SELECT count(*) FROM hotdash.job_claim(ARRAY['tap'], 10) WHERE id IN (:later, :parked, :expired)), 0::bigint, 'neither of these is claimed');
SELECT is((SELECT reason || attempt FROM hotdash.dead_jobs WHERE id = :expired), 'expired0', 'an expired job is dead and was never tried');
SELECT is(hotdash.job_explain(:early) ->> 'code', 'running', 'a time in the past is now');
SELECT is(hotdash._job_reschedule(ARRAY[:parked, NULL, -5]::bigint[], '2031-01-01'), 1, 'only what waits is moved');
SELECT is(hotdash.job_cancel(:later), true, 'cancelled');
SELECT is(hotdash.job_explain(:later) ->> 'code', 'cancelled', 'explain: cancelled');
SELECT is(hotdash.dead_retry(queue => 'tap', kind => 'tap', since => '2029-01-01', up_to => 2), 2::bigint, 'dead_retry');

-- Kinds, order, several queues
SELECT hotdash.queue_set('tap2');
SELECT hotdash.job_enqueue('tap', '"5"', queue => 'tap2'), hotdash.job_enqueue('tap', '"0"', queue => 'tap2', priority => 0),
	hotdash.job_enqueue('whole', '"w"', queue => 'tap2', priority => 1), hotdash.job_enqueue('tap', '"9"', queue => 'tap2', priority => 9);
SELECT is((SELECT string_agg(payload #>> '{}', ' ') FROM hotdash.job_claim(ARRAY['tap2'], kinds => ARRAY['whole'])), 'w', 'only the kinds that are asked for');
SELECT is((SELECT string_agg(payload #>> '{}', ' ') FROM hotdash.job_claim(ARRAY['tap2'], 10)), '0 5 9', 'by priority');
SELECT hotdash.job_enqueue_many('tap', ARRAY['"b"', '"a"', NULL]::jsonb[], queue => 'tap2', unique_keys => ARRAY['b', 'a', NULL]) AS ids \gset
SELECT is((SELECT string_agg(payload #>> '{}', ' ' ORDER BY i) FROM unnest(:'ids'::bigint[]) WITH ORDINALITY AS u (id, i) JOIN hotdash._job USING (id)), 'b a', 'ids in the order of the payloads');
SELECT is((SELECT string_agg(coalesce(payload #>> '{}', '-'), ' ') FROM hotdash.job_claim(ARRAY['tap2'], 10)), 'b a -', 'and so they run');

/*
 * Read-only transactions
 */

CREATE FUNCTION pg_temp.read_only(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	-- An exception takes the setting back.
	SET TRANSACTION READ ONLY;
	EXECUTE call;
	RAISE EXCEPTION 'went through';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END
$$;
SELECT hotdash.job_enqueue('tap', queue => 'tap2'), hotdash.job_enqueue('tap', queue => 'tap2') AS waiting \gset
SELECT id, token FROM hotdash.job_claim(ARRAY['tap2']) \gset r_
SELECT is(pg_temp.read_only(format(call, :r_id, :r_token, :waiting)), '25006', 'read-only: ' || call) FROM (VALUES
	('SELECT hotdash.job_claim(ARRAY[''tap2''])'), ('SELECT hotdash.job_next(%1$s, %2$s)'),
	('SELECT hotdash.job_complete(%1$s, %2$s)'), ('SELECT hotdash.job_complete_many(ARRAY[%1$s], ARRAY[%2$s])'),
	('SELECT hotdash.job_fail(%1$s, %2$s, ''no'')'), ('SELECT hotdash.job_fail_many(ARRAY[%1$s], ARRAY[%2$s], ARRAY[''no''])'),
	('SELECT hotdash.job_snooze(%1$s, %2$s, ''1 s'')'), ('SELECT hotdash._job_release_many(ARRAY[%1$s], ARRAY[%2$s])'),
	('SELECT hotdash.job_cancel(%1$s)'), ('SELECT hotdash.job_cancel(%3$s)'), ('SELECT hotdash.job_enqueue(''tap'')'),
	('SELECT hotdash.job_progress(%1$s, %2$s, 5)')) AS v (call);
SELECT is(hotdash.job_complete(:r_id, :r_token), true, 'and nothing of it has happened');

/*
 * Ids
 */

SELECT is(hotdash.job_get(:early) ->> 'id', (:early)::text, 'an id is a string in JSON');
SELECT is(jsonb_typeof(hotdash.job_explain(:early) -> 'id'), 'string', 'always');
SELECT is((3::bigint << 52) + 7 > (1::bigint << 53), true, 'an id of node 3 passes what a double can count');
SELECT is(hotdash.job_explain((3::bigint << 52) + 7) ->> 'id', '13510798882111495', 'and is exact in JSON');

/*
 * What the views show
 */

SELECT is((SELECT string_agg(attname::text, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = ('hotdash.' || name)::regclass AND attnum > 0),
	columns, 'columns of ' || name) FROM (VALUES
	('jobs', 'id kind queue state priority attempt max_attempts run_at enqueued_at started_at finished_at worker last_error tenant unique_key order_key tags payload result progress'),
	('queues', 'queue ready scheduled running dead oldest_ready_age paused held'),
	('workers', 'worker running oldest_started_at next_lease_expires'),
	('claimed_job', 'id token kind payload queue attempt max_attempts tenant order_key traceparent lease_expires tags')
) AS v (name, columns);
SELECT is((SELECT string_agg(queue, '') FROM hotdash.queues WHERE queue = 'default'), 'default', 'the default queue is there without a row');

SELECT * FROM finish();
ROLLBACK;
