-- What reports say of endpoints, and the pace that 429 brings about: the rules of sql/webhooks_pace.sql alone. Rolls
-- back; needs no preload. What comes of them with edges and receivers is in regress/e2e/422_pace.pl.
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set ON_ERROR_ROLLBACK 1
\set ON_ERROR_STOP true

BEGIN;
SELECT * FROM no_plan();

SELECT is(hotdash._endpoint_grade(g.answers, g.failed, g.slowest_us, g.refused), g.grade, format('%s answers, %s failed, slowest %s us, 429 %s', g.answers, g.failed, g.slowest_us, g.refused))
FROM (VALUES
	(64, 0, 250000, false, 1), (64, 0, 250001, false, 0), (64, 0, 1000000, false, 0), (64, 0, 1000001, false, -1),
	(64, 0, NULL, false, 0), (64, 0, 100, true, -1), (64, 1, 100, false, -1), (64, 31, 100, false, -1), (64, 32, 100, false, -2),
	(1, 1, 15000000, false, -2), (3, 1, 100, false, -1), (2, 1, 100, true, -2), (1, 0, 0, false, 1)
	) AS g (answers, failed, slowest_us, refused, grade);

CREATE FUNCTION pg_temp.h(pace float8, pace_step float8, pace_ago interval, refused_ago interval, refusals int, paused interval)
	RETURNS hotdash._endpoint_health LANGUAGE sql AS $$
	SELECT jsonb_populate_record(NULL::hotdash._endpoint_health, jsonb_build_object('endpoint_id', 1, 'failed_at', '{}', 'opened', 0,
		'unauthorized', 0, 'pace', pace, 'pace_step', pace_step, 'pace_at', timestamptz '2026-01-01Z' - pace_ago,
		'refused_at', timestamptz '2026-01-01Z' - refused_ago, 'refusals', refusals, 'paused_until', timestamptz '2026-01-01Z' + paused))
$$;
CREATE FUNCTION pg_temp.news(taken int, taken_us int, refused_us int) RETURNS hotdash._endpoint_news LANGUAGE sql AS $$
	SELECT jsonb_populate_record(NULL::hotdash._endpoint_news, jsonb_build_object('endpoint_id', 1, 'failures', 0,
		'unauthorized', 0, 'gone', false, 'echo', false, 'taken', taken, 'taken_us', taken_us, 'refused_us', refused_us))
$$;

-- pace, what a second adds, seconds since it changed, 429s in a row, seconds of pause from now
CREATE FUNCTION pg_temp.after(h hotdash._endpoint_health, news hotdash._endpoint_news) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', round(a.pace::numeric, 3), coalesce(round(a.pace_step::numeric, 4)::text, '-'),
		extract(epoch FROM timestamptz '2026-01-01Z' - a.pace_at)::int, a.refusals,
		coalesce(extract(epoch FROM a.paused_until - timestamptz '2026-01-01Z')::int::text, '-'))
	FROM hotdash._endpoint_pace_after(h, news, '2026-01-01Z') AS a
$$;

SELECT is(pg_temp.after(a.h, a.news), a.after, a.what) FROM (VALUES
	('without a pace a success changes nothing', pg_temp.h(NULL, NULL, NULL, NULL, 0, NULL), pg_temp.news(9, 5, NULL), '- 0 -'),
	('the first 429: what was taken beside it', pg_temp.h(NULL, NULL, NULL, NULL, 0, NULL), pg_temp.news(40, 5, 5), '40.000 - 0 1 1'),
	('the first 429, nothing taken: one a second', pg_temp.h(NULL, NULL, NULL, NULL, 0, NULL), pg_temp.news(0, NULL, 5), '1.000 - 0 1 1'),
	('429 of what was sent before the pause', pg_temp.h(40, NULL, '0.5 s', '0.5 s', 1, '0.5 s'), pg_temp.news(0, NULL, 5), '40.000 - 1 1 1'),
	('success of what was sent before it', pg_temp.h(40, NULL, '9 s', '9 s', 1, '-1 s'), pg_temp.news(1, 1500000, NULL), '40.000 - 9 1 -1'),
	('429 after the pause: no slower, a longer pause', pg_temp.h(40, NULL, '2 s', '2 s', 1, '-1 s'), pg_temp.news(0, NULL, 5), '40.000 - 0 2 2'),
	('the seventh', pg_temp.h(40, NULL, '2 s', '2 s', 6, '-1 s'), pg_temp.news(0, NULL, 5), '40.000 - 0 7 60'),
	('the thousandth', pg_temp.h(40, NULL, '2 s', '2 s', 999, '-1 s'), pg_temp.news(0, NULL, 5), '40.000 - 0 1000 60'),
	('taken within the second', pg_temp.h(40, NULL, '0.9 s', '2 s', 2, '-1 s'), pg_temp.news(1, 5, NULL), '40.000 - 1 0 -1'),
	('taken a second later: twice as fast', pg_temp.h(40, NULL, '1 s', '2 s', 2, '-1 s'), pg_temp.news(1, 5, NULL), '80.000 - 0 0 -1'),
	('taken ten seconds later: twice as fast', pg_temp.h(40, NULL, '10 s', '10 s', 0, '-9 s'), pg_temp.news(1, 5, NULL), '80.000 - 0 0 -9'),
	('as fast as it gets', pg_temp.h(40000, NULL, '10 s', '10 s', 0, '-9 s'), pg_temp.news(1, 5, NULL), '50000.000 - 0 0 -9'),
	('429 while doubling: half, and a fortieth a second from then on', pg_temp.h(80, NULL, '0.5 s', '9 s', 0, '-8 s'), pg_temp.news(1, 5, 5), '40.000 1.0000 0 1 1'),
	('then ten seconds', pg_temp.h(40, 1, '10 s', '10 s', 1, '-9 s'), pg_temp.news(1, 5, NULL), '50.000 1.0000 0 0 -9'),
	('429 again: four fifths', pg_temp.h(50, 1, '0.5 s', '9 s', 0, '-8 s'), pg_temp.news(1, 5, 5), '40.000 1.0000 0 1 1'),
	('no slower than once a minute', pg_temp.h(0.02, 0.001, '0.5 s', '99 s', 0, '-80 s'), pg_temp.news(0, NULL, 5), '0.017 0.0004 0 1 1'),
	('a pause that the receiver asked for is not cut', pg_temp.h(50, 1, '0.5 s', '9 s', 0, NULL), pg_temp.news(0, NULL, 5), '40.000 1.0000 0 1 1'),
	('five minutes without 429', pg_temp.h(50, 1, '1 s', '301 s', 0, '-300 s'), pg_temp.news(1, 5, NULL), '- 0 -300'),
	('five minutes, and then 429', pg_temp.h(50, 1, '1 s', '301 s', 0, '-300 s'), pg_temp.news(7, 5, 5), '7.000 - 0 1 1')
	) AS a (what, h, news, after);

SELECT is(concat_ws(' ', p.rate, p.period_us, p.paced), r.expected, r.what) FROM (VALUES
	('neither pace nor rate', NULL::float8, NULL::int, NULL::interval, 'f'),
	('a rate, with its slack', NULL, 50, '1 s', '50 1050000 f'),
	('a pace in small portions', 1000, NULL, NULL, '20 20000 t'),
	('one at a time', 40, NULL, NULL, '1 25000 t'),
	('once a minute', 1.0 / 60, NULL, NULL, '1 60000000 t'),
	('the fastest', 50000, NULL, NULL, '1000 20000 t'),
	('a pace that keeps the rate, too', 40, 50, '1 s', '1 25000 t'),
	('one that just does', 47, 50, '1 s', '1 21277 t'),
	('one that does not, by the slack', 48, 50, '1 s', '50 1050000 f'),
	('nor over a day', 1, 1000, '1 day', '1000 86401000000 f'),
	('one that does over a day', 0.01, 1000, '1 day', '1 100000000 t')
	) AS r (what, pace, own_rate, own_period, expected),
	hotdash._endpoint_pace_rate(r.pace, r.own_rate, r.own_period) AS p;

SELECT is((SELECT count(*) FROM generate_series(1, 400) AS i,
		(VALUES (1, '1 s'::interval), (7, '1 s'), (50, '1 s'), (100, '1 minute'), (5000, '1 s'), (1000, '1 day')) AS s (rate, period),
		hotdash._endpoint_pace_rate(0.02 * 1.04 ^ i, s.rate, s.period) AS p
	WHERE p.rate IS NULL OR p.period_us IS NULL OR p.rate < 1 OR p.period_us < 1
		OR p.paced AND p.rate::numeric * 1000000 / p.period_us > s.rate / extract(epoch FROM s.period)), 0::bigint,
	'what takes the place of a rate is never above it');

SELECT lives_ok($$SELECT hotdash._job_flow_grade('{}', '{}')$$, 'no flows, no grades');
SELECT lives_ok($$SELECT hotdash._job_flow_grade('{endpoint:0,none}', '{1,-2}')$$, 'flows that memory does not know');

SELECT * FROM finish();
ROLLBACK;
