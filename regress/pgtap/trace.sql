-- W3C Trace Context, level 1: which traceparent is continued, and what is passed on.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(46);

CREATE TEMPORARY TABLE vector (given text, continued bool, why text);
INSERT INTO vector VALUES
	('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', true, 'sampled'),
	('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00', true, 'not sampled'),
	('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03', true, 'with the random flag'),
	('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff', true, 'with flags that nobody knows'),
	('00-00000000000000000000000000000001-0000000000000001-00', true, 'ids of almost nothing but zeros'),
	('cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', true, 'a version to come'),
	('cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-will-be-like', true, 'which may go on'),
	('cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-', true, 'with nothing after the dash'),
	('fe-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', true, 'the last version'),
	('cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what-the-future-will-be-like', false, 'but only after a dash'),
	('cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0', false, 'and not shorter'),
	('ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', false, 'version ff'),
	('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-', false, 'version 00 ends there'),
	('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what', false, 'and does not go on'),
	('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.', false, 'with anything'),
	('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1', false, 'flags of one digit'),
	('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-', false, 'no flags'),
	('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331', false, 'not even a dash'),
	('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-.0', false, 'flags that are no digits'),
	('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0A', false, 'capitals in the flags'),
	('.0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', false, 'a version that is no number'),
	('0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', false, 'a version of one digit'),
	('000-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', false, 'of three'),
	('FE-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', false, 'in capitals'),
	('00-00000000000000000000000000000000-b7ad6b7169203331-01', false, 'a trace of nothing'),
	('00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01', false, 'a parent of nothing'),
	('00-0af7651916cd43dd8448eb211c80319C-b7ad6b7169203331-01', false, 'capitals in the trace'),
	('00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333A-01', false, 'capitals in the parent'),
	('00-.af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', false, 'no digit in the trace'),
	('00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01', false, 'a trace too short'),
	('00-0af7651916cd43dd8448eb211c80319ca-b7ad6b7169203331-01', false, 'too long'),
	('00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01', false, 'a parent too short'),
	('00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01', false, 'no dashes'),
	(' 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', false, 'a space before'),
	('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ', false, 'and behind'),
	('', false, 'nothing');

SELECT is(
		(hotdash.trace_child(given) ~ '^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-[0-9a-f]{2}$'
			OR given LIKE '00-0%1-0%' AND hotdash.trace_child(given) LIKE '00-00000000000000000000000000000001-%'),
		continued, format('%s: %L', why, given))
	FROM vector;

SELECT is((SELECT string_agg(right(hotdash.trace_child('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-' || f), 2), ' ')
	FROM unnest(ARRAY['00', '01', '02', '03', 'fc', 'ff']) AS f), '00 01 02 03 00 03',
	'sampled and random are passed on, flags that nobody knows are not');
SELECT matches(hotdash.trace_child('no'), '^00-[0-9a-f]{32}-[0-9a-f]{16}-03$', 'what cannot be read starts a new trace');
SELECT is((SELECT count(DISTINCT hotdash.trace_new()) FROM generate_series(1, 100)), 100::bigint, 'each its own');

SELECT hotdash.trace_set('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
SELECT is(hotdash.trace_current(), '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'trace_set');
SELECT throws_ok($$SELECT hotdash.trace_set('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331')$$, '22023', NULL,
	'refuses what is none');
SELECT hotdash.trace_set(NULL);
SELECT is(hotdash.trace_current(), NULL, 'null ends it');

/*
 * What an attempt sends
 */

SELECT is(hotdash._trace_attempt(given, 'msg_a', 7, 9), hotdash._trace_attempt(given, 'msg_a', 7, 9),
	'an attempt''s traceparent can be made again')
	FROM vector WHERE why = 'sampled';
SELECT is(
	(SELECT count(DISTINCT hotdash._trace_attempt(given, 'msg_a', id, token)) FROM vector,
		generate_series(1, 100) AS id, generate_series(1, 100) AS token WHERE why = 'sampled'),
	10000::bigint, 'no other attempt has the same');
SELECT is(
	(SELECT string_agg(DISTINCT left(hotdash._trace_attempt(NULL, 'msg_a', id, 1), 36), ',') FROM generate_series(1, 9) AS id),
	left(hotdash._trace_attempt('no trace', 'msg_a', 10, 2), 36), 'without a trace, all attempts of a message share one');
SELECT isnt(left(hotdash._trace_attempt(NULL, 'msg_a', 1, 1), 36), left(hotdash._trace_attempt(NULL, 'msg_b', 1, 1), 36),
	'of its own');

SELECT * FROM finish();
ROLLBACK;
