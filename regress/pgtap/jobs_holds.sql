-- Jobs that are held back: dependencies, approval, batches; progress; redrive. Bad input and its SQLSTATE,
-- what every end means for those that wait, who may decide, and what a bound tenant sees.
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

SELECT hotdash.queue_set('hold'), hotdash.queue_set('other');
SELECT hotdash.job_kind_set('hold', queue => 'hold', max_attempts => 1), hotdash.job_kind_set('done', queue => 'other');

-- What a job is called in these tests is its payload.
CREATE TEMPORARY TABLE names (name text PRIMARY KEY, id bigint, token bigint);
CREATE FUNCTION pg_temp.job(name text, after text[] DEFAULT '{}', options jsonb DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
	SELECT hotdash.job_enqueue('hold', to_jsonb(name), options => options,
		after => (SELECT array_agg(n.id) FROM pg_temp.names AS n WHERE n.name = ANY (after)))
$$;
CREATE FUNCTION pg_temp.make(name text, after text[] DEFAULT '{}', options jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	INSERT INTO pg_temp.names (name, id) VALUES (name, pg_temp.job(name, after, options)) RETURNING name
$$;
CREATE FUNCTION pg_temp.id(of text) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT n.id FROM pg_temp.names AS n WHERE n.name = of $$;
CREATE FUNCTION pg_temp.state(of text) RETURNS text LANGUAGE sql AS $$
	SELECT j.state FROM hotdash.jobs AS j WHERE j.id = pg_temp.id(of)
$$;
CREATE FUNCTION pg_temp.states(VARIADIC of text[]) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(o.name || ' ' || pg_temp.state(o.name), ', ' ORDER BY o.place) FROM unnest(of) WITH ORDINALITY AS o (name, place)
$$;
-- Claims what there is and remembers the tokens; the names that were claimed.
CREATE FUNCTION pg_temp.claim(n int DEFAULT 100) RETURNS text LANGUAGE sql AS $$
	WITH claimed AS (SELECT * FROM hotdash.job_claim(ARRAY['hold'], n)),
		noted AS (UPDATE pg_temp.names AS m SET token = c.token FROM claimed AS c WHERE c.id = m.id RETURNING m.name)
	SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM noted
$$;
CREATE FUNCTION pg_temp.done(of text) RETURNS bool LANGUAGE sql AS $$
	SELECT hotdash.job_complete(n.id, n.token) FROM pg_temp.names AS n WHERE n.name = of
$$;
CREATE FUNCTION pg_temp.fail(of text) RETURNS text LANGUAGE sql AS $$
	SELECT hotdash.job_fail(n.id, n.token, 'no') FROM pg_temp.names AS n WHERE n.name = of
$$;
CREATE FUNCTION pg_temp.rows_there() RETURNS bigint LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM hotdash._job) + (SELECT count(*) FROM hotdash._job_unique)
		+ (SELECT count(*) FROM hotdash._job_history) + (SELECT count(*) FROM hotdash._job_dependency)
		+ (SELECT count(*) FROM hotdash._job_approval) + (SELECT count(*) FROM hotdash._job_deadline)
		+ (SELECT count(*) FROM hotdash._batch) + (SELECT count(*) FROM hotdash._batch_tally)
		+ (SELECT count(*) FROM hotdash._job WHERE awaited) + (SELECT count(*) FROM hotdash._job_progress)
$$;

/*
 * Bad input: one clear error each, nothing half-written
 */

SELECT pg_temp.make('there');
SELECT pg_temp.rows_there() AS before \gset
SELECT throws_ok(call, state, NULL, format('%s: %s', state, call)) FROM (VALUES
	($$SELECT hotdash.job_enqueue('hold', after => ARRAY[NULL]::bigint[])$$, '22004'),
	($$SELECT hotdash.job_enqueue('hold', after => ARRAY[-5])$$, '42704'),
	($$SELECT hotdash.job_enqueue('hold', after => ARRAY[0])$$, '42704'),
	($$SELECT hotdash.job_enqueue('hold', after => ARRAY[pg_temp.id('there'), 9223372036854775807])$$, '42704'),
	($$SELECT hotdash.job_enqueue('hold', after => ARRAY(SELECT generate_series(1, 10001)))$$, '54000'),
	($$SELECT hotdash.job_enqueue('hold', after => ARRAY[pg_temp.id('there')], options => '{"on_failure":"maybe"}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('hold', after => ARRAY[pg_temp.id('there')], options => '{"on_failure":1}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('hold', options => '{"on_failure":"run"}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('hold', after => '{}', options => '{"on_failure":"run"}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('hold', after => ARRAY[pg_temp.id('there')], unique_key => 'k', if_exists => 'replace')$$, '22023'),
	($$SELECT hotdash.job_enqueue('hold', needs_approval => true, unique_key => 'k', if_exists => 'throttle')$$, '22023'),
	($$SELECT hotdash.job_enqueue('hold', options => '{"approval":true}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('hold', options => '{"approval":[]}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('hold', options => '{"approval":{"reason":"x"}}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('hold', options => '{"approval":{"why":1}}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('hold', options => '{"approval":{"confidence":"high"}}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('hold', options => '{"approval":{"confidence":1.1}}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('hold', options => '{"approval":{"confidence":-0.1}}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('hold', needs_approval => false, options => '{"approval":{}}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('hold', options => '{"batch":-5}')$$, '42704'),
	($$SELECT hotdash.job_enqueue('hold', options => '{"batch":0}')$$, '42704'),
	($$SELECT hotdash.job_enqueue('hold', options => '{"batch":"x"}')$$, '22P02'),
	($$SELECT hotdash.job_enqueue('hold', options => '{"batch":true}')$$, '22023'),
	($$SELECT hotdash.job_enqueue('hold', options => '{"batch":1e30}')$$, '22003'),
	($$SELECT hotdash.job_enqueue('hold', options => jsonb_build_object('batch', pg_temp.id('there')))$$, '42704'),
	($$SELECT hotdash.job_enqueue_many('hold', ARRAY['1']::jsonb[], options => '{"batch":"-5"}')$$, '42704'),
	($$SELECT hotdash.job_approve(NULL, 'ann')$$, '22004'),
	($$SELECT hotdash.job_approve(1, NULL)$$, '22004'),
	($$SELECT hotdash.job_approve(1, ' ')$$, '22023'),
	($$SELECT hotdash.job_reject(NULL, 'ann')$$, '22004'),
	($$SELECT hotdash.job_reject(1, NULL)$$, '22004'),
	($$SELECT hotdash.job_reject(1, '')$$, '22023'),
	($$SELECT hotdash.batch_create(NULL)$$, '22004'),
	($$SELECT hotdash.batch_create('unknown')$$, '42704'),
	($$SELECT hotdash.batch_create('done', '[]')$$, '22023'),
	($$SELECT hotdash.batch_create('done', '1')$$, '22023'),
	($$SELECT hotdash.batch_create('done', options => '[]')$$, '22023'),
	($$SELECT hotdash.batch_create('done', options => '{"speed":1}')$$, '22023'),
	($$SELECT hotdash.batch_create('done', options => '{"priority":"high"}')$$, '22023'),
	($$SELECT hotdash.batch_create('done', options => '{"priority":10}')$$, '22023'),
	($$SELECT hotdash.batch_create('done', options => '{"queue":"unknown"}')$$, '42704'),
	($$SELECT hotdash.batch_create('done', options => '{"batch":-5}')$$, '42704'),
	($$SELECT hotdash.batch_close(NULL)$$, '22004'),
	($$SELECT hotdash.batch_close(-5)$$, '42704'),
	($$SELECT hotdash.batch_close(pg_temp.id('there'))$$, '42704'),
	($$SELECT hotdash.job_progress(NULL, 1)$$, '22004'),
	($$SELECT hotdash.job_progress(1, NULL)$$, '22004'),
	($$SELECT hotdash.job_progress(1, 1, -1)$$, '22023'),
	($$SELECT hotdash.job_progress(1, 1, 100.1)$$, '22023'),
	($$SELECT hotdash.job_progress(1, 1, 'NaN')$$, '22023'),
	($$SELECT hotdash.job_progress(1, 1, 'Infinity')$$, '22023')
) AS v (call, state);
SELECT is(pg_temp.rows_there(), :before::bigint, 'none of these left anything behind');
SELECT is(hotdash.job_approve(-5, 'ann'), false, 'approving what never was');
SELECT is(hotdash.job_approve(pg_temp.id('there'), 'ann'), false, 'approving what needs none');
SELECT is(hotdash.job_reject(pg_temp.id('there'), 'ann'), false, 'rejecting what needs no approval');
SELECT is((SELECT count(*) FROM hotdash._job_approval WHERE job_id = pg_temp.id('there')), 0::bigint, 'leaves no record');
SELECT hotdash.job_cancel(pg_temp.id('there'));

/*
 * Dependencies
 */

SELECT pg_temp.make('a'), pg_temp.make('b', '{a}'), pg_temp.make('c', '{a,b}'), pg_temp.make('d', '{c}');
SELECT is(pg_temp.states('a', 'b', 'c', 'd'), 'a ready, b blocked, c blocked, d blocked', 'those that wait are blocked');
SELECT is((SELECT (ready, held) FROM hotdash.queues WHERE queue = 'hold'), (1::bigint, 3::bigint), 'and not counted as ready');
SELECT is(hotdash.job_explain(pg_temp.id('c')) ->> 'code', 'waiting_for_jobs', 'explain: the code');
SELECT is(hotdash.job_explain(pg_temp.id('c')) ->> 'why', format('It waits for jobs %s, %s.', pg_temp.id('a'), pg_temp.id('b')), 'explain: which jobs');
SELECT is(pg_temp.claim(), 'a', 'only the first can be claimed');
SELECT is(pg_temp.done('a'), true, 'and completed');
SELECT is(pg_temp.states('a', 'b', 'c', 'd'), 'a completed, b ready, c blocked, d blocked', 'which lets go those that waited for it alone');
SELECT is(pg_temp.claim(), 'b', 'the second');
SELECT pg_temp.done('b');
SELECT is(pg_temp.claim(), 'c', 'the third waited for both');
SELECT pg_temp.done('c');
SELECT is(pg_temp.claim(), 'd', 'the last');
SELECT pg_temp.done('d');
SELECT pg_temp.make('e', '{a,b,c,d}');
SELECT is(pg_temp.state('e'), 'ready', 'what completed before counts as done');
SELECT is((SELECT count(*) FROM hotdash._job_dependency), 0::bigint, 'nothing is left behind');
SELECT pg_temp.claim(), pg_temp.done('e');
SELECT pg_temp.make('f');
SELECT is(hotdash.job_enqueue('hold', '"g"', run_at => '2031-01-01', after => ARRAY[pg_temp.id('f'), pg_temp.id('f')]) > 0, true, 'named twice');
INSERT INTO names SELECT 'g', id FROM hotdash._job WHERE payload = '"g"';
SELECT pg_temp.claim(), pg_temp.done('f');
SELECT is(pg_temp.state('g'), 'scheduled', 'a time holds as well');
SELECT hotdash.job_cancel(pg_temp.id('g'));

-- how the other one ends
SELECT pg_temp.make('f1'), pg_temp.make('wait', '{f1}'), pg_temp.make('cancel', '{f1}', '{"on_failure":"cancel"}'),
	pg_temp.make('run', '{f1}', '{"on_failure":"run"}'), pg_temp.make('then', '{cancel}'), pg_temp.make('anyway', '{cancel}', '{"on_failure":"run"}');
SELECT pg_temp.claim();
SELECT is(pg_temp.fail('f1'), 'dead', 'it dies');
SELECT is(pg_temp.states('wait', 'cancel', 'run', 'then', 'anyway'),
	'wait blocked, cancel cancelled, run ready, then cancelled, anyway ready', 'wait, cancel and run; and those that waited for what was cancelled');
SELECT is(hotdash.job_explain(pg_temp.id('cancel')) ->> 'code', 'dependency_failed', 'explain: cancelled why');
SELECT ok(hotdash.job_explain(pg_temp.id('wait')) ->> 'why' LIKE format('%%job_retry(%s)%%', pg_temp.id('f1')), 'explain: what brings it on');
SELECT pg_temp.make('late wait', '{f1}'), pg_temp.make('late cancel', '{f1}', '{"on_failure":"cancel"}'), pg_temp.make('late run', '{f1}', '{"on_failure":"run"}');
SELECT is(pg_temp.states('late wait', 'late cancel', 'late run'), 'late wait blocked, late cancel cancelled, late run ready', 'the same for what comes later');
SELECT is(hotdash.job_retry(pg_temp.id('f1')), true, 'the dead one is retried');
-- what a transaction has failed it cannot claim again: that it goes on is in the isolation specs
SELECT is(pg_temp.states('wait', 'late wait'), 'wait blocked, late wait blocked', 'and is waited for as before');
SELECT hotdash.job_cancel(pg_temp.id('f1'));
SELECT is(pg_temp.states('wait', 'late wait'), 'wait cancelled, late wait cancelled', 'until it is cancelled in the end');
SELECT is(pg_temp.claim(), 'anyway late run run', 'the others run');
SELECT pg_temp.done(name) FROM names WHERE name IN ('run', 'late run', 'anyway');
SELECT pg_temp.make('c1'), pg_temp.make('c wait', '{c1}'), pg_temp.make('c run', '{c1}', '{"on_failure":"run"}');
SELECT hotdash.job_cancel(pg_temp.id('c1'));
SELECT is(pg_temp.states('c wait', 'c run'), 'c wait cancelled, c run ready', 'a cancelled one never completes: what waits is cancelled with it');
SELECT pg_temp.make('c late', '{c1}');
SELECT is(pg_temp.state('c late'), 'cancelled', 'the same for what comes later');
SELECT pg_temp.claim(), pg_temp.done('c run');
SELECT pg_temp.make('h1'), pg_temp.make('h2', '{h1}'), pg_temp.make('h3', '{h2}');
SELECT is(hotdash.job_cancel(pg_temp.id('h2')), true, 'a blocked job can be cancelled');
SELECT is(pg_temp.states('h1', 'h2', 'h3'), 'h1 ready, h2 cancelled, h3 cancelled', 'and those behind it');
SELECT pg_temp.claim(), pg_temp.done('h1');
SELECT is((SELECT count(*) FROM hotdash._job_dependency), 0::bigint, 'nothing is left behind');
SELECT is(hotdash._job_reschedule(ARRAY[pg_temp.id('h2')], now()), 0, 'what has ended is not moved');

-- a long chain is cancelled without recursion
DO $$
DECLARE
	last bigint := hotdash.job_enqueue('hold', '"chain"');
BEGIN
	FOR i IN 1 .. 3000 LOOP
		last := hotdash.job_enqueue('hold', '"chain"', after => ARRAY[last]);
	END LOOP;
END $$;
SELECT is(hotdash.job_cancel((SELECT min(id) FROM hotdash._job WHERE payload = '"chain"')), true, 'the head of a long chain');
SELECT is((SELECT count(*) FROM hotdash._job WHERE payload = '"chain"'), 0::bigint, 'and all behind it');

-- with a unique key
SELECT pg_temp.make('u1');
SELECT hotdash.job_enqueue('hold', '"u2"', unique_key => 'u', after => ARRAY[pg_temp.id('u1')]) AS u2 \gset
SELECT is(hotdash.job_enqueue('hold', '"u3"', unique_key => 'u', after => ARRAY[pg_temp.id('u1')]), :u2::bigint, 'keep: the one that is there');
SELECT is((SELECT count(*) FROM hotdash._job_dependency), 1::bigint, 'which waits for nothing more');
SELECT is(hotdash.job_enqueue('hold', '"u4"', unique_key => 'u', if_exists => 'replace'), :u2::bigint, 'replace: a new payload for a blocked job');
SELECT is((SELECT (state, payload #>> '{}')::text FROM hotdash.jobs WHERE id = :u2), '(blocked,u4)', 'which stays blocked');
SELECT is(pg_temp.claim(), 'u1', 'and is not claimed');
SELECT pg_temp.done('u1');
SELECT is((SELECT state FROM hotdash.jobs WHERE id = :u2), 'ready', 'until what it waits for is done');
SELECT hotdash.job_cancel(:u2);

/*
 * Approval
 */

SELECT hotdash.job_enqueue('hold', '"buy 100"', needs_approval => true,
	options => '{"approval":{"why":"more than usual","confidence":0.7,"sources":["order 5",{"sku":"x"}]}}') AS ask \gset
SELECT is((SELECT state FROM hotdash.jobs WHERE id = :ask), 'waiting_approval', 'it waits for approval');
SELECT is(hotdash.job_explain(:ask) ->> 'code', 'waiting_approval', 'explain: approval');
SELECT is((SELECT (state, why, confidence, sources, payload #>> '{}')::text FROM hotdash.approvals WHERE job_id = :ask),
	'(waiting,"more than usual",0.7,"[""order 5"", {""sku"": ""x""}]","buy 100")', 'the view shows what was asked');
SELECT is((SELECT count(*) FROM hotdash.job_claim(ARRAY['hold'], 10)), 0::bigint, 'it is not claimed');
SET LOCAL hotdash.now_override = '2030-01-01 00:00:20+00';
SELECT is(hotdash.job_approve(:ask, 'ann', 'fewer', '"buy 50"'), true, 'approved with another payload');
SELECT is((SELECT (state, decided_by, note, payload #>> '{}', payload_before #>> '{}', waited)::text FROM hotdash.approvals WHERE job_id = :ask),
	'(approved,ann,fewer,"buy 50","buy 100",00:00:20)', 'who, why, what it was before, and how long it took');
SELECT is(hotdash.job_approve(:ask, 'bob'), false, 'once');
SELECT is(hotdash.job_reject(:ask, 'bob'), false, 'and for good');
SELECT is((SELECT string_agg(payload #>> '{}', ',') FROM hotdash.job_claim(ARRAY['hold'], 10)), 'buy 50', 'now it is claimed, with the new payload');

SELECT hotdash.job_enqueue('hold', '"r"', options => '{"approval":{}}') AS ask \gset
SELECT pg_temp.make('p1');
SELECT hotdash.job_enqueue('hold', '"behind"', after => ARRAY[:ask]) AS behind \gset
SELECT is(hotdash.job_reject(:ask, 'ann', 'no'), true, 'rejected; the option alone asks for approval');
SELECT is((SELECT (state, result)::text FROM hotdash.jobs WHERE id = :ask), '(cancelled,"{""rejected"": {""by"": ""ann"", ""note"": ""no""}}")', 'is cancelled, with the reason');
SELECT is((SELECT state FROM hotdash.jobs WHERE id = :behind), 'cancelled', 'and so is what waited for it');
SELECT is(hotdash.job_explain(:ask) ->> 'code', 'rejected', 'explain: rejected');

SELECT hotdash.job_enqueue('hold', '"both"', needs_approval => true, after => ARRAY[pg_temp.id('p1')]) AS ask \gset
SELECT is(hotdash.job_approve(:ask, 'ann'), true, 'approved before what it waits for');
SELECT is((SELECT state FROM hotdash.jobs WHERE id = :ask), 'blocked', 'it waits for that');
SELECT pg_temp.claim(), pg_temp.done('p1');
SELECT is((SELECT state FROM hotdash.jobs WHERE id = :ask), 'ready', 'and then may run');
SELECT hotdash.job_cancel(:ask);
SELECT throws_ok(format($$SELECT hotdash.job_approve(%s, 'ann', payload => to_jsonb(repeat('x', 2000000)))$$, :ask), '54000', NULL, 'a payload has its limit');

SELECT hotdash.job_enqueue('hold', '"x"', needs_approval => true, options => '{"expires_at":"2030-01-01 00:01+00"}') AS ask \gset
CALL hotdash._tick();
SELECT is((SELECT state FROM hotdash.jobs WHERE id = :ask), 'waiting_approval', 'not yet expired');
SET LOCAL hotdash.now_override = '2030-01-01 00:01:00+00';
CALL hotdash._tick();
SELECT is((SELECT (state, reason)::text FROM hotdash.dead_jobs JOIN hotdash.jobs USING (id) WHERE id = :ask), '(dead,expired)', 'nobody decided: the tick ends it');
SELECT is((SELECT state FROM hotdash.approvals WHERE job_id = :ask), 'expired', 'and its request');
SELECT is(hotdash.job_approve(:ask, 'ann'), false, 'too late');
SELECT is(hotdash.job_retry(:ask), true, 'it is brought back');
SELECT is((SELECT state FROM hotdash.jobs WHERE id = :ask), 'waiting_approval', 'and needs approval as before');
SELECT is(hotdash.job_approve(:ask, 'ann'), true, 'which it gets');
SELECT is((SELECT state FROM hotdash.jobs WHERE id = :ask), 'ready', 'now it may run');
SELECT hotdash.job_cancel(:ask);
SELECT is((SELECT count(*) FROM hotdash._job_deadline), 0::bigint, 'no deadline is left behind');
SELECT hotdash.job_enqueue('hold', '"x"', needs_approval => true, options => '{"expires_at":"2030-01-01 00:02+00"}') AS ask \gset
SELECT hotdash.job_approve(:ask, 'ann');
SELECT is((SELECT count(*) FROM hotdash._job_deadline), 0::bigint, 'nor after a decision');
SELECT hotdash.job_cancel(:ask);
SELECT pg_temp.make('y1');
SELECT hotdash.job_enqueue('hold', '"y2"', after => ARRAY[pg_temp.id('y1')], options => '{"expires_at":"2030-01-01 00:01:30+00"}') AS ask \gset
SET LOCAL hotdash.now_override = '2030-01-01 00:01:30+00';
CALL hotdash._tick();
SELECT is((SELECT reason FROM hotdash.dead_jobs WHERE id = :ask), 'expired', 'a blocked job expires as well');
SELECT hotdash.job_retry(:ask);
SELECT is((SELECT state FROM hotdash.jobs WHERE id = :ask), 'blocked', 'brought back, it waits for the same');
SELECT pg_temp.claim(), pg_temp.done('y1');
SELECT is((SELECT state FROM hotdash.jobs WHERE id = :ask), 'ready', 'until that is done');
SELECT hotdash.job_cancel(:ask);

/*
 * Batches
 */

SELECT hotdash.batch_create('done', '{"note":"x"}', '{"priority":2,"tags":["t"]}') AS batch \gset
SELECT pg_temp.make('m1', options => jsonb_build_object('batch', :batch)), pg_temp.make('m2', options => jsonb_build_object('batch', :'batch')),
	pg_temp.make('m3', options => jsonb_build_object('batch', :batch)), pg_temp.make('m4', '{m3}', jsonb_build_object('batch', :batch));
SELECT is(cardinality(hotdash.job_enqueue_many('hold', ARRAY['1', '2']::jsonb[], options => jsonb_build_object('batch', :batch))), 2, 'members in bulk');
SELECT is((SELECT (state, members, pending)::text FROM hotdash.batches WHERE id = :batch), '(open,6,6)', 'the view counts them');
SELECT is((SELECT (state, priority, tags)::text FROM hotdash.jobs WHERE id = :batch), '(blocked,2,{t})', 'the callback waits');
SELECT is(hotdash.job_explain(:batch) ->> 'code', 'waiting_for_batch', 'explain: a batch');
SELECT is(pg_temp.claim(3), 'm1 m2 m3', 'members run');
SELECT pg_temp.done('m1'), pg_temp.fail('m2'), pg_temp.done('m3');
SELECT is((SELECT (state, members, pending, completed, dead)::text FROM hotdash.batches WHERE id = :batch), '(open,6,3,2,1)', 'some have ended');
SELECT hotdash.job_cancel(pg_temp.id('m4'));
SELECT hotdash.batch_close(:batch), hotdash.batch_close(:batch);
SELECT throws_ok(format($$SELECT hotdash.job_enqueue('hold', options => '{"batch":%s}')$$, :batch), '55000', NULL, 'a closed batch takes no member');
SELECT is((SELECT (state, pending)::text FROM hotdash.batches WHERE id = :batch), '(closed,2)', 'closed, two are left');
SELECT is((SELECT count(*) FROM hotdash.job_claim(ARRAY['other'])), 0::bigint, 'the callback does not run yet');
SELECT is(hotdash.job_retry(pg_temp.id('m2')), true, 'the dead member is retried');
SELECT is((SELECT (pending, dead)::text FROM hotdash.batches WHERE id = :batch), '(3,0)', 'and waited for again');
CREATE TEMPORARY TABLE taken AS SELECT * FROM hotdash.job_claim(ARRAY['hold'], 10);
SELECT is((SELECT count(*) FROM hotdash.job_complete_many((SELECT array_agg(id) FROM taken), (SELECT array_agg(token) FROM taken)) WHERE accepted), 2::bigint, 'two in bulk');
SELECT hotdash.job_cancel(pg_temp.id('m2'));
SELECT is((SELECT count(*) FROM hotdash._batch_tally WHERE batch = :batch), 0::bigint, 'the tallies are summed up');
SELECT is((SELECT (state, members, pending, completed, dead, cancelled)::text FROM hotdash.batches WHERE id = :batch), '(ended,6,0,4,0,2)', 'and kept');
SELECT is((SELECT payload FROM hotdash.job_claim(ARRAY['other'])),
	jsonb_build_object('note', 'x', 'batch', jsonb_build_object('id', :'batch', 'members', 6, 'completed', 4, 'dead', 0, 'cancelled', 2)), 'the callback runs and knows the numbers');
SELECT throws_ok(format($$SELECT hotdash.job_enqueue('hold', options => '{"batch":%s}')$$, :batch), '55000', NULL, 'nor does one that has ended');

SELECT hotdash.batch_create('done') AS batch \gset
SELECT hotdash.batch_close(:batch);
SELECT is((SELECT payload -> 'batch' ->> 'members' FROM hotdash.job_claim(ARRAY['other'])), '0', 'without members it runs when it is closed');
SELECT hotdash.batch_create('done') AS batch \gset
SELECT pg_temp.make('n1', options => jsonb_build_object('batch', :batch));
SELECT is(hotdash.job_cancel(:batch), true, 'a batch is cancelled with its callback');
SELECT is((SELECT state FROM hotdash.batches WHERE id = :batch), 'cancelled', 'and says so');
SELECT throws_ok(format($$SELECT hotdash.job_enqueue('hold', options => '{"batch":%s}')$$, :batch), '55000', NULL, 'it takes no member');
SELECT hotdash.batch_close(:batch);
SELECT is(pg_temp.claim() || ' ' || pg_temp.done('n1'), 'n1 true', 'its members go on');
SELECT hotdash.batch_create('done', options => '{"needs_approval":true}') AS batch \gset
SELECT hotdash.batch_close(:batch);
SELECT is((SELECT state FROM hotdash.jobs WHERE id = :batch), 'waiting_approval', 'a callback may need approval');
SELECT hotdash.job_approve(:batch, 'ann');
SELECT is((SELECT count(*) FROM hotdash.job_claim(ARRAY['other'])), 1::bigint, 'and then runs');

-- many tallies become one
SELECT hotdash.batch_create('done') AS batch \gset
INSERT INTO hotdash._batch_tally SELECT :batch, 1, 0, i % 2 FROM generate_series(1, 1500) AS i;
SET LOCAL hotdash.now_override = '2030-01-01 00:05:00+00';
CALL hotdash._tick();
SELECT is((SELECT count(*) FROM hotdash._batch_tally WHERE batch = :batch), 1::bigint, 'the tick folds tallies');
SELECT is((SELECT (completed, dead, cancelled)::text FROM hotdash.batches WHERE id = :batch), '(1500,0,750)', 'and keeps the numbers');

-- batches and dependencies; cycles
SELECT hotdash.batch_create('done') AS one \gset
SELECT hotdash.batch_create('done') AS two \gset
SELECT hotdash.batch_create('done', options => jsonb_build_object('batch', :one)) AS inner \gset
INSERT INTO names (name, id) VALUES ('one', :one), ('two', :two), ('inner', :inner);
SELECT pg_temp.make('after one', '{one}'), pg_temp.make('after that', '{"after one"}');
SELECT throws_ok(format($$SELECT hotdash.job_enqueue('hold', after => ARRAY[%s::bigint], options => '{"batch":%s}')$$, pg_temp.id(waits), pg_temp.id(batch)),
	'22023', 'cyclic dependency', format('a member of %s that waits for %s', batch, waits))
FROM (VALUES ('one', 'one'), ('one', 'after one'), ('one', 'after that'), ('inner', 'inner'), ('inner', 'one'), ('inner', 'after that')) AS v (batch, waits);
SELECT lives_ok($$SELECT pg_temp.make('stage', '{one,"after that"}', jsonb_build_object('batch', pg_temp.id('two')))$$, 'a member of another batch may');
SELECT throws_ok($$SELECT pg_temp.make('x', '{two}', jsonb_build_object('batch', pg_temp.id('one')))$$, '22023', 'cyclic dependency', 'but not the other way round as well');
SELECT hotdash.batch_close(:inner), hotdash.batch_close(:two), hotdash.batch_close(:one);
SELECT is((SELECT string_agg(n.name, ' ') FROM hotdash.job_claim(ARRAY['other'], 10) AS c JOIN names AS n ON n.id = c.id), 'inner', 'the inner one ends first');

/*
 * Progress
 */

SELECT pg_temp.make('long');
SELECT pg_temp.claim();
SELECT hotdash.job_progress(n.id, n.token, 10, 'begun') FROM names AS n WHERE n.name = 'long';
SELECT is((SELECT (progress -> 'percent', progress ->> 'note', progress -> 'attempt')::text FROM hotdash.jobs WHERE id = pg_temp.id('long')), '(10,begun,1)', 'progress is shown');
SELECT hotdash.job_progress(n.id, n.token, 20) FROM names AS n WHERE n.name = 'long';
SELECT hotdash.job_progress(n.id, n.token, note => 'half') FROM names AS n WHERE n.name = 'long';
SELECT is((SELECT (progress -> 'percent', progress ->> 'note')::text FROM hotdash.jobs WHERE id = pg_temp.id('long')), '(20,half)', 'what is not given stays');
SELECT lives_ok($$SELECT hotdash.job_progress(pg_temp.id('long'), 5, 99)$$, 'a stale token is no error');
SELECT is((SELECT progress -> 'percent' FROM hotdash.jobs WHERE id = pg_temp.id('long')), '20', 'and changes nothing');
SELECT lives_ok($$SELECT hotdash.job_progress(-5, 5, 99)$$, 'nor does what never was');
SELECT pg_temp.done('long');
SELECT is((SELECT progress FROM hotdash.jobs WHERE id = pg_temp.id('long')), NULL, 'an ended job has none');

/*
 * Redrive
 */

SELECT hotdash.job_enqueue_many('hold', array_agg(to_jsonb(i)), unique_keys => array_agg('dead ' || i), tags => ARRAY['redrive']) IS NOT NULL AS enqueued
FROM generate_series(1, 500) AS i;
SELECT count(hotdash.job_fail(c.id, c.token, 'no')) AS dead FROM hotdash.job_claim(ARRAY['hold'], 1000) AS c;
SELECT hotdash.job_enqueue('hold', unique_key => 'dead 7') AS successor \gset
SELECT is(hotdash.dead_retry(kind => 'hold', up_to => 100), 100::bigint, 'the oldest hundred');
SELECT is(hotdash.dead_retry(kind => 'hold'), 400::bigint, 'the rest');
SELECT is((SELECT count(*) FROM hotdash._job WHERE tags = ARRAY['redrive'] AND shelf AND attempt = 0), 500::bigint, 'all are back');
SELECT is((SELECT count(unique_key) FROM hotdash._job WHERE tags = ARRAY['redrive']), 499::bigint, 'with their keys, but for the one that a successor has');

/*
 * Who may, and what a tenant sees
 */

CREATE ROLE hold_producer;
CREATE ROLE hold_worker;
CREATE ROLE hold_operator;
SELECT hotdash.access_grant('hold_producer', 'producer'), hotdash.access_grant('hold_worker', 'worker'), hotdash.access_grant('hold_operator', 'operator');
SELECT hotdash.job_enqueue('hold', needs_approval => true, tenant => 'red') AS red \gset
SELECT hotdash.job_enqueue('hold', needs_approval => true, tenant => 'blue') AS blue \gset
SELECT hotdash.batch_create('done', options => '{"tenant":"blue"}') AS batch \gset
SET ROLE hold_producer;
SELECT throws_ok(format($$SELECT hotdash.job_approve(%s, 'me')$$, :red), '42501', NULL, 'a producer does not approve');
SELECT lives_ok($$SELECT hotdash.batch_close(hotdash.batch_create('done'))$$, 'but may make batches');
SET ROLE hold_worker;
SELECT throws_ok(format($$SELECT hotdash.job_reject(%s, 'me')$$, :red), '42501', NULL, 'nor does a worker reject');
SELECT lives_ok($$SELECT hotdash.job_progress(1, 1, 1)$$, 'but may report progress');
SET ROLE hold_operator;
SELECT throws_ok($$SELECT hotdash._job_unhold('{1}', 1::smallint)$$, '42501', NULL, 'nobody goes around the gate');
RESET ROLE;
SET LOCAL hotdash.tenant = 'red';
SET ROLE hold_operator;
SELECT is((SELECT string_agg(tenant, ',') FROM hotdash.approvals WHERE state = 'waiting'), 'red', 'a bound operator sees requests of the own tenant');
SELECT is((SELECT count(*) FROM hotdash.batches), 0::bigint, 'and its batches');
SELECT is(hotdash.job_approve(:blue, 'me'), false, 'and cannot approve for another');
SELECT is(hotdash.job_reject(:blue, 'me'), false, 'nor reject');
SELECT throws_ok(format($$SELECT hotdash.job_enqueue('hold', after => ARRAY[%s::bigint])$$, :blue), '42704', NULL, 'nor wait for its jobs');
SELECT throws_ok(format($$SELECT hotdash.job_enqueue('hold', options => '{"batch":%s}')$$, :batch), '42704', NULL, 'nor join its batch');
SELECT throws_ok(format($$SELECT hotdash.batch_close(%s)$$, :batch), '42704', NULL, 'nor close it');
SELECT is(hotdash.job_approve(:red, 'me'), true, 'for its own it can');
SELECT is((SELECT decided_role FROM hotdash.approvals WHERE job_id = :red), session_user, 'the role is written down beside the name');
RESET ROLE;
SET LOCAL hotdash.tenant = '';
SELECT throws_ok(format($$SELECT hotdash.job_enqueue('hold', tenant => 'red', after => ARRAY[%s::bigint])$$, :blue), '42704', NULL, 'no session ties tenants together');

SELECT * FROM finish();
ROLLBACK;
