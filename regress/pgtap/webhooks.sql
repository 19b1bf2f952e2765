-- Webhooks: signatures, Retry-After, the outcome matrix, endpoints, publishing. Rolls back; needs no preload.
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set ON_ERROR_ROLLBACK 1
\set ON_ERROR_STOP true

BEGIN;
SELECT * FROM no_plan();

/*
 * Signing and verifying: vectors of the schemes' own documents and libraries
 */

SET LOCAL hotdash.now_override = '2021-02-25 15:02:10+00';	-- Unix second 1614265330

CREATE FUNCTION pg_temp.standard(signature text, secret text DEFAULT 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
		at text DEFAULT '1614265330', body text DEFAULT '{"test": 2432232314}') RETURNS text
	LANGUAGE sql AS $$
		SELECT coalesce(reason, 'ok') FROM hotdash.webhook_verify_detail('standard', secret,
			jsonb_build_object('Webhook-Id', 'msg_p5jXN8AQM9LWM0D4loKWxJek', 'webhook-timestamp', at,
				'WEBHOOK-SIGNATURE', signature), convert_to(body, 'UTF8'))
	$$;

SELECT is(hotdash.webhook_sign(secret, 'msg_p5jXN8AQM9LWM0D4loKWxJek', to_timestamp(1614265330), convert_to(body, 'UTF8')),
	expected, 'webhook_sign: ' || what)
FROM (VALUES
	('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '{"test": 2432232314}', 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=', 'the official vector'),
	('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '{"test": 2432232314}', 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=', 'secret without its prefix'),
	('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '', 'v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A=', 'empty body'),
	('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '{"t":"Łódź – ☃"}', 'v1,gPV0EVuW3zIZiRAGgD7kQfMDqxGU2vSJhX0/8irAsFU=', 'UTF-8'),
	('whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD', '{"test": 2432232314}', 'v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44=', 'another key')
) AS v (secret, body, expected, what);
SELECT is(hotdash.webhook_sign('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'm', to_timestamp(1614265330.999), ''),
	hotdash.webhook_sign('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'm', to_timestamp(1614265330), ''),
	'webhook_sign: the time is cut to whole seconds');
SELECT throws_ok($$SELECT hotdash.webhook_sign('whsec_', 'm', now(), '')$$, '22023', NULL, 'webhook_sign: secret without a key');
SELECT throws_ok($$SELECT hotdash.webhook_sign('whsec_MfKQ', 'm.1', now(), '')$$, '22023', NULL, 'webhook_sign: dot in the id');
SELECT throws_ok($$SELECT hotdash.webhook_sign(NULL, 'm', now(), '')$$, '22004', NULL, 'webhook_sign: NULL secret');

SELECT is(pg_temp.standard(signature), expected, 'standard: ' || what) FROM (VALUES
	('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=', 'ok', 'the official vector'),
	('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=', 'mismatch', 'last byte changed'),
	('v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=', 'mismatch', 'another signature'),
	('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=', 'mismatch', 'same bytes, other text'),
	('v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=', 'ok', 'one of several'),
	('v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=', 'mismatch', 'unknown version'),
	('v1,', 'mismatch', 'empty signature'),
	('v1,dawfeoifkpqwoekfpqoekf', 'mismatch', 'garbage'),
	('', 'mismatch', 'empty header')
) AS v (signature, expected, what);
SELECT is(pg_temp.standard('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=', secret), 'bad_secret', 'standard: secret ' || quote_literal(secret))
FROM unnest(ARRAY['', 'whsec_', 'whsec_*', 'whsec_A']) AS secret;
SELECT is(pg_temp.standard('v1,x', at => at), 'malformed_header', 'standard: time ' || quote_literal(at))
FROM unnest(ARRAY['hello', '', '-1', '1614265330.5', ' 1614265330', '9999999999999']) AS at;
SELECT is(pg_temp.standard(hotdash.webhook_sign('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'msg_p5jXN8AQM9LWM0D4loKWxJek',
	to_timestamp(1614265330 + shift), '{"test": 2432232314}'), at => (1614265330 + shift)::text), expected,
	format('standard: signed %s s from now', shift))
FROM (VALUES (300, 'ok'), (301, 'too_new'), (-300, 'ok'), (-301, 'too_old')) AS v (shift, expected);
SELECT is((hotdash.webhook_verify_detail('standard', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', jsonb_build_object('webhook-id', 'msg_p5jXN8AQM9LWM0D4loKWxJek',
	'webhook-timestamp', '1614265330', 'webhook-signature', 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=') - missing, '{"test": 2432232314}')).reason,
	'missing_header', 'standard: without ' || missing)
FROM unnest(ARRAY['webhook-id', 'webhook-timestamp', 'webhook-signature']) AS missing;
SELECT is((hotdash.webhook_verify_detail('github', 's', '{"X-Hub-Signature-256":"a","x-hub-signature-256":"b"}', '')).reason,
	'missing_header', 'a header that is there twice does not count');

-- Each scheme: the vector, a changed body, another secret.
CREATE TEMPORARY TABLE vectors AS SELECT * FROM (VALUES
	('github', 'It''s a Secret to Everybody', NULL::bigint, 'Hello, World!', jsonb_build_object('X-Hub-Signature-256', 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17')),
	('slack', '8f742231b10e8888abcd99yyyzzz85a5', 1531420618, 'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c',
		jsonb_build_object('X-Slack-Request-Timestamp', '1531420618', 'X-Slack-Signature', 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503')),
	('stripe', 'whsec_test_secret', 1614265330, '{"id":"evt_test_webhook","object":"event"}', jsonb_build_object('Stripe-Signature', 't=1614265330,v1=3c5817089d739023dd6190f70a3757e04f7a2fd8b5dab12c2e000f51970dccff')),
	('shopify', 'hush', NULL, '{"key":"value"}', jsonb_build_object('X-Shopify-Hmac-SHA256', 'JfJl0ynWv2kFhRZVS/iheM4VPI4TUWvdj3xK6fuN5n4=')),
	('chatwoot', 'test-secret', 1614265330, '{"event":"message_created","id":"1"}', jsonb_build_object('X-Chatwoot-Timestamp', '1614265330', 'X-Chatwoot-Signature', 'sha256=e88755ac986e8881a40d647131cfb8d7c0c149f991ba132daba4e68493003988'))
) AS v (scheme, secret, at, body, headers);

CREATE FUNCTION pg_temp.check(v vectors, secret text DEFAULT NULL, body text DEFAULT NULL, headers jsonb DEFAULT NULL, later int DEFAULT 0) RETURNS text
	LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM set_config('hotdash.now_override', (to_timestamp(coalesce(v.at, 0) + later))::text, true);
		RETURN (SELECT coalesce(reason, 'ok') FROM hotdash.webhook_verify_detail(v.scheme, coalesce(secret, v.secret), coalesce(headers, v.headers),
			convert_to(coalesce(body, v.body), 'UTF8')));
	END
	$$;
SELECT is(pg_temp.check(v), 'ok', scheme || ': the vector') FROM vectors AS v;
SELECT is(pg_temp.check(v, body => v.body || ' '), 'mismatch', scheme || ': another body') FROM vectors AS v;
SELECT is(pg_temp.check(v, secret => v.secret || '1'), 'mismatch', scheme || ': another secret') FROM vectors AS v;
SELECT is(pg_temp.check(v, secret => ''), 'bad_secret', scheme || ': empty secret') FROM vectors AS v;
SELECT is(pg_temp.check(v, headers => '{}'), 'missing_header', scheme || ': no headers') FROM vectors AS v;
SELECT is(pg_temp.check(v, later => 301), 'too_old', scheme || ': 301 s old') FROM vectors AS v WHERE at IS NOT NULL;
SELECT is(pg_temp.check(v, later => -301), 'too_new', scheme || ': from the future') FROM vectors AS v WHERE at IS NOT NULL;
SELECT is(pg_temp.check(v, headers => jsonb_build_object('Stripe-Signature', signature)), expected, 'stripe: ' || what)
FROM vectors AS v, (VALUES
	('v1=3c5817089d739023dd6190f70a3757e04f7a2fd8b5dab12c2e000f51970dccff,t=1614265330', 'ok', 't is not first'),
	('t=1614265330,v1=00,v1=3c5817089d739023dd6190f70a3757e04f7a2fd8b5dab12c2e000f51970dccff', 'ok', 'one of two'),
	('t=1614265330,v0=3c5817089d739023dd6190f70a3757e04f7a2fd8b5dab12c2e000f51970dccff', 'mismatch', 'another scheme does not count'),
	('v1=3c5817089d739023dd6190f70a3757e04f7a2fd8b5dab12c2e000f51970dccff', 'malformed_header', 'no time'),
	('t=1614265330,t=1614265330,v1=00', 'malformed_header', 'two times'),
	('t=Infinity,v1=00', 'malformed_header', 'time is not a number')
) AS w (signature, expected, what) WHERE v.scheme = 'stripe';
SELECT ok(hotdash.webhook_verify('shopify', secret, headers, convert_to(body, 'UTF8')), 'webhook_verify says yes') FROM vectors WHERE scheme = 'shopify';
SELECT ok(NOT hotdash.webhook_verify('shopify', 'x', headers, convert_to(body, 'UTF8')), 'webhook_verify says no') FROM vectors WHERE scheme = 'shopify';
SELECT throws_ok($$SELECT hotdash.webhook_verify('md5', 's', '{}', '')$$, '22023', NULL, 'unknown scheme');
SELECT throws_ok($$SELECT hotdash.webhook_verify('github', 's', '[]', '')$$, '22023', NULL, 'headers that are no object');
SELECT throws_ok($$SELECT hotdash.webhook_verify('github', 's', '{}', '', '-1 s')$$, '22023', NULL, 'negative tolerance');
SELECT throws_ok($$SELECT hotdash.webhook_verify('github', 's', NULL, '')$$, '22004', NULL, 'NULL headers');

/*
 * Retry-After
 */

SELECT is(hotdash._retry_after(header, '1994-11-06 08:49:30.25+00', date_header), expected::interval, format('Retry-After: %s, Date: %s', header, date_header))
FROM (VALUES
	('120', NULL, '120 s'), ('0', NULL, '0'), (E' \t5 ', NULL, '5 s'), ('1.2', NULL, '2 s'), ('2.0', NULL, '2 s'),
	('86401', NULL, '1 day'::interval::text), ('99999999999999999999999999', NULL, '24:00:00'),
	('Sun, 06 Nov 1994 08:49:37 GMT', NULL, '7.75 s'),
	('Sunday, 06-Nov-94 08:49:37 GMT', NULL, '7.75 s'),
	('Sun Nov  6 08:49:37 1994', NULL, '7.75 s'),
	('Sun, 06 Nov 1994 08:49:37 GMT', 'Sun, 06 Nov 1994 08:49:35 GMT', '2 s'),
	('Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 09:49:35 GMT', '0'),
	('Sun, 06 Nov 1994 08:49:37 GMT', 'yesterday', '7.75 s'),
	('Sun, 06 Nov 1994 08:49:60 GMT', NULL, '30.75 s'),
	('Sun, 06 Nov 1988 08:49:37 GMT', NULL, '0'),
	('Sun, 29 Feb 2032 08:49:37 GMT', NULL, '24:00:00'),
	('Sunday, 06-Nov-44 08:49:30 GMT', NULL, '24:00:00'), ('Sunday, 06-Nov-44 08:49:31 GMT', NULL, '0'),
	('', NULL, NULL), (NULL, NULL, NULL), ('-1', NULL, NULL), ('+1', NULL, NULL), ('1.', NULL, NULL), ('.5', NULL, NULL), ('1e3', NULL, NULL), ('soon', NULL, NULL),
	('1 2', NULL, NULL), ('Sun, 29 Feb 2031 08:49:37 GMT', NULL, NULL), ('Sun, 06 Nov 1994 24:00:00 GMT', NULL, NULL), ('Sun, 06 Nov 1994 08:49:37', NULL, NULL),
	('Sun, 06 Nov 1994 08:49:37 CET', NULL, NULL), ('Sun, 6 Nov 1994 08:49:37 GMT', NULL, NULL), ('1994-11-06 08:49:37', NULL, NULL)
) AS v (header, date_header, expected);
SELECT is(hotdash._retry_after('Monday, 01-Jan-01 00:00:10 GMT', '2099-12-31 23:59:59+00', 'Monday, 01-Jan-01 00:00:00 GMT'), '10 s', 'two-digit year of the next century');
SET LOCAL hotdash.webhook_retry_after_max = '30s';
SELECT is(hotdash._retry_after('31', now(), NULL), '30 s', 'hotdash.webhook_retry_after_max cuts');
SELECT is_empty($$
	SELECT header FROM (SELECT now() + random() * interval '20 s' AS until, now() + random() * interval '10 s' AS at FROM generate_series(1, 2000)) AS r,
		LATERAL (VALUES (to_char(until AT TIME ZONE 'UTC', 'Dy, DD Mon YYYY HH24:MI:SS "GMT"')), (to_char(until AT TIME ZONE 'UTC', 'FMDay, DD-Mon-YY HH24:MI:SS "GMT"'))) AS h (header)
	WHERE at + hotdash._retry_after(header, at, NULL) NOT BETWEEN greatest(at, until) AND greatest(at, until + interval '1 s')$$,
	'dates: never early, at most a second late');

/*
 * The outcome matrix
 */

SELECT is(hotdash._webhook_classify(status, class, attempt, sent, us, retry_after, extra)::text, expected,
	concat_ws(' ', class, status, 'attempt', attempt, 'sent', sent, 'Retry-After', retry_after, 'extra', extra))
FROM (VALUES
	(200, 'http', 1, true, 5, false, NULL::int[], '(complete,delivered,00:00:00,f,success)'),
	(204, 'http', 1, true, 5, true, NULL, '(complete,delivered,00:00:00,f,success)'),
	(299, 'http', 3, true, 5, false, '{299}', '(complete,delivered,00:00:00,f,success)'),
	(301, 'http', 1, true, 5, false, NULL, '(dead,redirect,00:00:00,f,neutral)'),
	(302, 'http', 1, true, 5, false, NULL, '(dead,redirect,00:00:00,f,neutral)'),
	(307, 'http', 1, true, 5, true, '{307}', '(retry,redirect,00:00:00,f,neutral)'),
	(400, 'http', 1, true, 5, false, NULL, '(dead,rejected,00:00:00,f,neutral)'),
	(401, 'http', 1, true, 5, false, NULL, '(dead,unauthorized,00:00:00,f,neutral)'),
	(403, 'http', 1, true, 5, false, NULL, '(dead,unauthorized,00:00:00,f,neutral)'),
	(404, 'http', 1, true, 5, false, NULL, '(dead,not_found,00:00:00,f,neutral)'),
	(404, 'http', 1, true, 5, false, '{400,404}', '(retry,not_found,00:00:00,f,neutral)'),
	(408, 'http', 1, true, 5, false, NULL, '(retry,request_timeout,00:00:00,f,failure)'),
	(409, 'http', 1, true, 5, false, NULL, '(dead,conflict,00:00:00,f,neutral)'),
	(409, 'http', 2, true, 5, false, NULL, '(dead,conflict_probable_duplicate,00:00:00,f,neutral)'),
	(410, 'http', 1, true, 5, false, '{410}', '(disable,gone,00:00:00,f,neutral)'),
	(413, 'http', 1, true, 5, false, NULL, '(dead,too_large,00:00:00,f,neutral)'),
	(413, 'http', 1, true, 5, true, NULL, '(retry,too_large,00:00:00,f,neutral)'),
	(422, 'http', 1, true, 5, false, NULL, '(dead,rejected,00:00:00,f,neutral)'),
	(425, 'http', 1, true, 5, false, NULL, '(retry,too_early,00:00:00,f,failure)'),
	(429, 'http', 1, true, 5, true, NULL, '(retry,rate_limited,00:00:00,t,neutral)'),
	(429, 'http', 1, true, 5, false, NULL, '(retry,rate_limited,00:01:00,t,neutral)'),
	(500, 'http', 1, true, 5, true, NULL, '(retry,server_error,00:00:00,f,failure)'),
	(501, 'http', 1, true, 5, false, NULL, '(retry,server_error,00:00:00,f,failure)'),
	(505, 'http', 1, true, 5, false, NULL, '(retry,server_error,00:00:00,f,failure)'),
	(502, 'http', 1, true, 5, false, NULL, '(retry,unavailable,00:00:00,f,failure)'),
	(503, 'http', 1, true, 5, true, NULL, '(retry,unavailable,00:00:00,t,failure)'),
	(504, 'http', 1, true, 5, true, NULL, '(retry,unavailable,00:00:00,t,failure)'),
	(600, 'http', 1, true, 5, false, NULL, '(retry,server_error,00:00:00,f,failure)'),
	(101, 'http', 1, true, 5, false, NULL, '(retry,protocol_error,00:00:00,f,failure)'),
	(NULL, 'http', 1, true, 5, false, NULL, '(retry,protocol_error,00:00:00,f,failure)'),
	(NULL, 'dns', 1, false, 5, false, NULL, '(retry,dns_failed,00:00:00,f,failure)'),
	(NULL, 'connect', 1, false, 999999, false, NULL, '(retry,connect_failed,,f,failure)'),
	(NULL, 'connect', 1, false, 1000000, false, NULL, '(retry,connect_failed,00:00:00,f,failure)'),
	(NULL, 'connect', 2, false, 5, false, NULL, '(retry,connect_failed,00:00:00,f,failure)'),
	(NULL, 'reset', 1, false, 5, false, NULL, '(retry,connection_reset,,f,failure)'),
	(NULL, 'reset', 1, true, 5, false, NULL, '(retry,unknown_outcome,00:00:00,f,failure)'),
	(NULL, 'timeout', 1, false, 5, false, NULL, '(retry,connect_timeout,00:00:00,f,failure)'),
	(NULL, 'timeout', 1, true, 5, false, NULL, '(retry,unknown_outcome,00:01:00,f,failure)'),
	(NULL, 'timeout', 1, NULL, 5, false, NULL, '(retry,unknown_outcome,00:01:00,f,failure)'),
	(NULL, 'tls', 1, false, 5, false, NULL, '(retry,tls_failed,00:05:00,f,failure)'),
	(NULL, 'proxy', 1, false, 5, false, NULL, '(snooze,proxy_failed,00:00:30,f,neutral)'),
	(NULL, 'protocol', 1, true, 5, false, NULL, '(retry,protocol_error,00:00:00,f,failure)'),
	(NULL, 'blocked', 1, false, 5, false, NULL, '(dead,address_blocked,00:00:00,f,neutral)'),
	(NULL, 'invalid', 1, false, 5, false, NULL, '(dead,invalid_request,00:00:00,f,neutral)')
) AS v (status, class, attempt, sent, us, retry_after, extra, expected);
SELECT throws_ok($$SELECT hotdash._webhook_classify(200, 'tea', 1, true, 1, false, NULL)$$, '22023', NULL, 'a class that the protocol does not know');

SELECT ok(wait BETWEEN least AND least + interval '0.5 s', format('retry after %s: %s', what, wait)) FROM (VALUES
	('Retry-After with a schedule', hotdash._delivery_retry_in('{"type":"list","delays":["1s"]}', 1, '0', '2 s', true), interval '2 s'),
	('Retry-After that is shorter than the schedule', hotdash._delivery_retry_in('{"type":"list","delays":["9s"]}', 1, '0', '2 s', true), '9 s'),
	('429 without Retry-After, with a schedule', hotdash._delivery_retry_in('{"type":"list","delays":["1s"]}', 1, '60 s', NULL, true), '1 s'),
	('429 without Retry-After', hotdash._delivery_retry_in('{"type":"list","delays":["1s"]}', 1, '60 s', NULL, true), '1 s'),
	('Retry-After without a schedule', hotdash._delivery_retry_in(NULL, 1, '0', '2 h', false), '2 h')
) AS v (what, wait, least);
SELECT ok(hotdash._delivery_retry_in(NULL, 1, '5 min', NULL, false) >= '5 min', 'a floor holds where there is no schedule');
SELECT is(hotdash._delivery_retry_in('{"type":"fixed","base":"1s"}', 1, '5 min', NULL, false), NULL, 'and gives way where there is one');
SELECT is(hotdash._delivery_retry_in(NULL, 1, NULL, NULL, false), '0', 'at once where nothing was sent');

/*
 * Text from outside
 */

SELECT is(hotdash._clean_text(bytes, 100), expected, format('%s is cleaned', bytes)) FROM (VALUES
	('\x48690a41'::bytea, 'Hi A'), ('\x00', ' '), ('\x41ff42', 'A' || U&'\FFFD' || 'B'), ('\xe28883', '∃'), ('\xe288', U&'\FFFD\FFFD'), ('\xc280', ' '),
	('\xeda080', U&'\FFFD\FFFD\FFFD'), ('\x1b5b33316d', ' [31m'), ('\x', '')
) AS v (bytes, expected);
SELECT is(octet_length(hotdash._clean_text(convert_to(repeat('☃', 10), 'UTF8'), 10)), 9, 'cut between characters');
SELECT is(hotdash._clean_text(E'a\tb☃'::text, 100), 'a b☃', 'of a text, too');

/*
 * Endpoints
 */

RESET hotdash.now_override;
CREATE TEMPORARY TABLE made (name text, id bigint);
INSERT INTO made VALUES ('plain', hotdash.endpoint_create('https://example.com/hooks?shop=1'));
SELECT results_eq($$SELECT url, events, timeout, max_attempts, max_age, backoff, enabled, header_names FROM hotdash.endpoints WHERE id = (SELECT id FROM made WHERE name = 'plain')$$,
	$$VALUES ('https://example.com/hooks?shop=1', '{*}'::text[], interval '15 s', 5, interval '3 days', NULL::jsonb, true, '{}'::text[])$$, 'defaults of an endpoint');
SELECT matches(hotdash.endpoint_secret(id), '^whsec_[A-Za-z0-9+/]{43}=$', 'a secret is made where none is given') FROM made WHERE name = 'plain';

INSERT INTO made VALUES ('full', hotdash.endpoint_create(url => 'http://10.0.0.1:8080/', events => '{order.*,refund}', secret => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', tenant => 'tap',
	headers => '{"X-Shop":"a","Authorization":"Bearer s3cr3t-in-header"}', timeout => '2 s', max_attempts => 3, max_age => '1 hour', backoff => '{"type":"list","delays":["1s","2s","4s"]}',
	filter => '$.total > 100', retry_statuses => '{404}', options => '{"signing":"hmac"}'));
SELECT is(hotdash.endpoint_secret(id), 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'endpoint_secret shows what was given') FROM made WHERE name = 'full';
SELECT unalike(string_agg(to_jsonb(e)::text, ''), '%s3cr3t%', 'no view shows the value of a header') FROM hotdash.endpoints AS e;
SELECT unalike(string_agg(to_jsonb(e)::text, ''), '%MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw%', 'or a secret') FROM hotdash.endpoints AS e;

CREATE FUNCTION pg_temp.refuses(url text, expected text) RETURNS text LANGUAGE sql AS
	$$ SELECT throws_ok(format('SELECT hotdash.endpoint_create(%L)', url), '22023', 'malformed URL: ' || expected, 'URL ' || quote_literal(url)) $$;
SELECT pg_temp.refuses(url, expected) FROM (VALUES
	('', 'it does not begin with http:// or https://'), ('example.com', 'it does not begin with http:// or https://'), ('ftp://example.com', 'it does not begin with http:// or https://'),
	('file:///etc/passwd', 'it does not begin with http:// or https://'), ('http:/example.com', 'it does not begin with http:// or https://'),
	('http://', 'it has no host'), ('http:///x', 'it has no host'), ('http://:80/', 'it has no host'),
	('http://user@example.com/', 'it contains user information; use a header instead'), ('http://user:pw@example.com', 'it contains user information; use a header instead'),
	('http://a b/', 'it contains a space or a control character'), (E'http://a/\r\nX-Evil: 1', 'it contains a space or a control character'), (E'http://a/\t', 'it contains a space or a control character'),
	('http://ex☃mple.com/', 'it contains a character that must be percent-encoded'), ('http://a/%2', 'it contains a percent sign that two hexadecimal digits do not follow'),
	('http://a\b/', 'it contains a character that is not allowed in a URL'), ('http://a/#b', 'it has a fragment, which is never sent'),
	('http://a:0/', 'its port is not a number from 1 to 65535'), ('http://a:65536/', 'its port is not a number from 1 to 65535'), ('http://a:/', 'its port is not a number from 1 to 65535'),
	('http://a:8o/', 'its port is not a number from 1 to 65535'), ('http://[::1/', 'its host is not an IPv6 address'), ('http://[::g]/', 'its host is not an IPv6 address'),
	('http://[::1]x/', 'something stands between its host and its path'), ('http://2130706433/', 'its host is a number that is not a plain IPv4 address'),
	('http://0x7f000001/', 'its host is a number that is not a plain IPv4 address'), ('http://127.1/', 'its host is a number that is not a plain IPv4 address'),
	('http://0177.0.0.1/', 'its host is a number that is not a plain IPv4 address'), ('http://1.2.3.256/', 'its host is a number that is not a plain IPv4 address'),
	('http://a..b/', 'a part of its host name is empty or too long'), ('http://-a/', 'a part of its host name begins or ends with a dash'), ('http://a!b/', 'its host name contains a character that is not allowed'),
	('http://' || repeat('a', 64) || '/', 'a part of its host name is empty or too long'), ('http://a/' || repeat('x', 2048), 'it is longer than 2048 characters')
) AS v (url, expected);
SELECT lives_ok(format('SELECT hotdash._webhook_check_url(%L)', url), 'URL ' || url)
FROM unnest(ARRAY['http://a', 'HTTPS://EXAMPLE.com:443/x/y?z=%20', 'http://127.0.0.1:1/', 'http://[2001:db8::1]:65535/', 'http://a_b.c-d.e/', 'http://1.example/', 'https://a?b@c']) AS url;

SELECT throws_ok(format('SELECT hotdash.endpoint_create(%L, %s)', 'http://a', args), state, NULL, 'endpoint_create refuses ' || args) FROM (VALUES
	($$headers => '{"Host":"x"}'$$, '22023'), ($$headers => '{"webhook-id":"x"}'$$, '22023'), ($$headers => '{"Content-Length":"1"}'$$, '22023'), ($$headers => '{"X A":"x"}'$$, '22023'),
	($$headers => '{"X-A":"a\r\nX-B: b"}'$$, '22023'), ($$headers => '{"X-A":"a\nb"}'$$, '22023'), ($$headers => '{"X-A":1}'$$, '22023'), ($$headers => '{"":"x"}'$$, '22023'), ($$headers => '{"X-A":""}'$$, '22023'),
	($$headers => (SELECT jsonb_object_agg('X-' || i, 'a') FROM generate_series(1, 201) AS i)$$, '22023'),
	($$headers => (SELECT jsonb_object_agg('X-' || i, repeat('a', 4000)) FROM generate_series(1, 66) AS i)$$, '22023'),
	($$headers => '{"X-A":"1","x-a":"2"}'$$, '22023'), ($$headers => '[]'$$, '22023'), ($$events => '{}'$$, '22023'), ($$events => '{NULL}'$$, '22023'), ($$events => '{or*er}'$$, '22023'), ($$events => '{.*}'$$, '22023'),
	($$timeout => '0.5 s'$$, '22023'), ($$timeout => '61 s'$$, '22023'), ($$timeout => '-1 s'$$, '22023'), ($$timeout => '1 month'$$, '22023'), ($$max_attempts => 0$$, '22023'), ($$max_age => '0'$$, '22023'), ($$max_age => '1 year'$$, '22023'),
	($$backoff => '{"type":"lunar"}'$$, '22023'), ($$retry_statuses => '{200}'$$, '22023'), ($$retry_statuses => '{410}'$$, '22023'), ($$retry_statuses => '{NULL}'$$, '22023'),
	($$secret => 'hush'$$, '22023'), ($$secret => 'whsec_aGk='$$, '22023'), ($$options => '{"colour":"red"}'$$, '22023'), ($$options => '[]'$$, '22023'),
	($$rate => 0$$, '22023'), ($$rate => 1000001$$, '22023'), ($$rate_period => '1 s'$$, '22023'), ($$rate => 5, rate_period => '2 days'$$, '22023'),
	($$rate => 5, rate_period => '0.5 s'$$, '22023'), ($$concurrency => 0$$, '22023'), ($$concurrency => -1$$, '22023'), ($$concurrency => 10001$$, '22023'),
	($$options => '{"proxy":"http://p"}'$$, '22023'), ($$options => '{"signing":"rsa"}'$$, '22023'), ($$options => '{"consent":"yes"}'$$, '22023'), ($$options => '{"client_cert":"x"}'$$, '22023')
) AS v (args, state);
SELECT throws_ok($$SELECT hotdash.endpoint_create(NULL)$$, '22004', NULL, 'endpoint_create refuses a NULL url');
SELECT lives_ok($$SELECT hotdash.endpoint_create('http://a', ordered => false)$$, 'ordered => false asks for nothing');

SELECT lives_ok(format($$SELECT hotdash.endpoint_update(%s, '{"url":"http://b/","timeout":"3 s","events":["a.b"],"filter":null,"headers":{"X-B":"2"},"retry_statuses":[404,409],"max_attempts":null}')$$, id), 'endpoint_update') FROM made WHERE name = 'full';
SELECT results_eq($$SELECT url, timeout, events, filter IS NULL, header_names, retry_statuses, max_attempts, max_age FROM hotdash.endpoints WHERE id = (SELECT id FROM made WHERE name = 'full')$$,
	$$VALUES ('http://b/', interval '3 s', '{a.b}'::text[], true, '{X-B}'::text[], '{404,409}'::int[], 5, interval '1 hour')$$, 'changes what is named, null means the default');
SELECT throws_ok(format('SELECT hotdash.endpoint_update(%s, %L)', id, changes), state, NULL, 'endpoint_update refuses ' || changes)
FROM made, (VALUES ('{"colour":"red"}', '22023'), ('{"secret":"x"}', '22023'), ('{"url":"ftp://x"}', '22023'), ('{"url":null}', '22004'), ('{"events":"x"}', '22023'), ('{"timeout":"90 s"}', '22023'),
	('{"timeout":"soon"}', '22023'), ('{"timeout":"99999999999 years"}', '22023'), ('{"timeout":["x"]}', '22023'), ('{"max_age":"1 fortnight of"}', '22023'), ('{"max_attempts":"5x"}', '22023'),
	('{"max_attempts":99999999999}', '22023'), ('{"filter":"$$$"}', '22023'), ('{"filter":"$.a like_regex \"(\""}', '22023'), ('{"retry_statuses":["a"]}', '22023'), ('{"retry_statuses":[[404]]}', '22023'),
	('{"rate":"many"}', '22023'), ('{"rate":5,"rate_period":"x"}', '22023'), ('{"concurrency":{}}', '22023'), ('{"rate":0}', '22023'), ('{"rate_period":"1 s"}', '22023'), ('{"concurrency":0}', '22023'), ('{"ordered":"often"}', '22023'), ('[]', '22023')) AS v (changes, state) WHERE name = 'full';
SELECT throws_ok('SELECT hotdash.endpoint_update(-1, ''{}'')', '42704', NULL, 'unknown endpoint');
SELECT throws_ok('SELECT hotdash.endpoint_enable(-1)', '42704', NULL, 'unknown endpoint');
SELECT throws_ok('SELECT hotdash.endpoint_disable(NULL)', '22004', NULL, 'NULL endpoint');

/*
 * Publishing
 */

SET LOCAL hotdash.tenant = 'tap-publish';
TRUNCATE made;
INSERT INTO made SELECT name, hotdash.endpoint_create('http://a', events, filter => filter::jsonpath) FROM (VALUES
	('all', NULL::text[], NULL), ('orders', '{order.*}', NULL), ('created', '{order.created,order.*}', NULL), ('refunds', '{refund.*}', NULL),
	('dear', NULL, '$.total > 100'), ('paid', NULL, '$.items[*] ? (@.paid == true)')) AS v (name, events, filter);
CREATE FUNCTION pg_temp.receivers(message text) RETURNS text LANGUAGE sql AS
	$$ SELECT string_agg(m.name, ' ' ORDER BY m.name) FROM hotdash.deliveries AS d JOIN made AS m ON m.id = d.endpoint_id WHERE d.message_id = message $$;
SELECT is(pg_temp.receivers(hotdash.event_publish(type, payload)), expected, format('%s %s', type, payload)) FROM (VALUES
	('order.created', '{"total":50}'::jsonb, 'all created orders'), ('order.created.v2', '{"total":150}', 'all created dear orders'), ('order', '{}', 'all'), ('orders.x', '{}', 'all'),
	('refund.made', '{"total":"x","items":[{"paid":true}]}', 'all paid refunds'), ('x', 'null', 'all')) AS v (type, payload, expected);
SELECT is(pg_temp.receivers(hotdash.event_publish_raw('x', '{"total":101}', 'application/json')), 'all dear', 'a raw body that is JSON is filtered');
SELECT is(pg_temp.receivers(hotdash.event_publish_raw('x', '\xff00')), 'all', 'one that is not does not pass a filter');
-- Whatever a filter meets in a payload, the publisher is not to fail for it.
INSERT INTO made SELECT 'wrong ' || n, hotdash.endpoint_create('http://a', '{wrong}', filter => filter::jsonpath) FROM (VALUES
	(1, '$.at.datetime() < "2030-01-01T00:00:00+00:00".datetime()'), (2, '$.n > $limit'), (3, '$.text.datetime("HH24:MI:ZZ") < 1'), (4, '$.n / $.zero > 1'), (5, '$.n > 1')) AS v (n, filter);
SELECT is(pg_temp.receivers(hotdash.event_publish('wrong', '{"at":"2026-01-01T00:00:00","n":2,"text":"1:","zero":0}')), 'all wrong 5', 'a filter that cannot be followed wants nothing');
SELECT is(pg_temp.receivers(hotdash.event_publish_raw('wrong', '{"at":"2026-01-01T00:00:00","n":2,"text":"1:","zero":0}')), 'all wrong 5', 'nor of a raw body');
SELECT lives_ok(format('SELECT hotdash.endpoint_disable(%s)', id), 'endpoint_disable') FROM made WHERE name = 'orders';
SELECT is(pg_temp.receivers(hotdash.event_publish('order.x', '{}')), 'all created', 'a disabled endpoint gets nothing new');
SELECT lives_ok(format('SELECT hotdash.endpoint_enable(%s)', id), 'endpoint_enable') FROM made WHERE name = 'orders';
SELECT is(pg_temp.receivers(hotdash.event_publish('order.x', '{}')), 'all created orders', 'until it is enabled');
SELECT is(pg_temp.receivers(hotdash.event_publish('order.x', '{}', tenant => NULL)), 'all created orders', 'NULL means the default');
SELECT throws_ok($$SELECT hotdash.event_publish('order.x', '{}', tenant => 'other')$$, '42501', NULL, 'a session bound to a tenant names no other');
SET LOCAL hotdash.tenant = 'tap-other';
SELECT is(pg_temp.receivers(hotdash.event_publish('order.x', '{}')), NULL, 'endpoints of another tenant get nothing');
SELECT is((SELECT count(*)::int FROM hotdash.endpoints), 0, 'and are not seen');
SELECT throws_ok(format('SELECT hotdash.endpoint_disable(%s)', id), '42704', NULL, 'nor found') FROM made WHERE name = 'all';
SELECT throws_ok(format('SELECT hotdash.endpoint_delete(%s)', id), '42704', NULL, 'nor deleted') FROM made WHERE name = 'all';
SET LOCAL hotdash.tenant = 'tap-publish';
INSERT INTO made VALUES ('watch', hotdash.endpoint_create('http://a/watch', '{hotdash.endpoint.*}'));
SELECT lives_ok(format('SELECT hotdash.endpoint_delete(%s)', id), 'endpoint_delete') FROM made WHERE name = 'created';
SELECT throws_ok(format('SELECT hotdash.endpoint_delete(%s)', id), '42704', NULL, 'once') FROM made WHERE name = 'created';
SELECT throws_ok('SELECT hotdash.endpoint_delete(NULL)', '22004', NULL, 'endpoint_delete: NULL');
SELECT is((SELECT count(*)::int FROM hotdash._endpoint_key WHERE endpoint_id = id), 0, 'its secret is gone') FROM made WHERE name = 'created';
SELECT is(pg_temp.receivers(hotdash.event_publish('order.created', '{}')), 'all orders', 'it gets nothing new');
SELECT is((SELECT string_agg(DISTINCT state, ' ') FROM hotdash.deliveries AS d WHERE d.endpoint_id = made.id), 'parked', 'what waits for it is held') FROM made WHERE name = 'created';
SELECT is((SELECT convert_from(hotdash.message_body(d.message_id), 'UTF8')::jsonb - 'deleted_at' FROM hotdash.deliveries AS d JOIN made AS w ON w.id = d.endpoint_id
	WHERE w.name = 'watch' AND d.event_type = 'hotdash.endpoint.deleted'), jsonb_build_object('endpoint', id::text, 'tenant', 'tap-publish'), 'others are told') FROM made WHERE name = 'created';
SET LOCAL hotdash.tenant = '';
SELECT ok(hotdash._endpoints_sweep(), 'the tick looks through what waits');
SELECT ok(NOT hotdash._endpoints_sweep(), 'to its end');
SELECT is((SELECT string_agg(DISTINCT state, ' ') FROM hotdash.deliveries AS d WHERE d.endpoint_id = made.id), 'cancelled', 'all is cancelled') FROM made WHERE name = 'created';
SELECT is((SELECT count(*)::int FROM hotdash._endpoint_deleted), 0, 'and the endpoint forgotten');
SELECT throws_ok(format('SELECT hotdash.delivery_replay(%s)', min(d.id)), '42704', format('endpoint %s of delivery %s does not exist any more', made.id, min(d.id)), 'it cannot be replayed')
FROM made JOIN hotdash.deliveries AS d ON d.endpoint_id = made.id WHERE name = 'created' GROUP BY made.id;

SELECT matches(hotdash.event_publish('a', '{}'), '^msg_[0-9a-hjkmnp-tv-z]{26}$', 'form of a message id');
CREATE TEMPORARY TABLE sent (what text, message text);
INSERT INTO sent VALUES ('json', hotdash.event_publish('a', '{"b":1,  "a":[2]}')), ('raw', hotdash.event_publish_raw('a', '\x00ff7b'));
SELECT is(hotdash.message_body(message), convert_to('{"a": [2], "b": 1}', 'UTF8'), 'the body is made of the payload once') FROM sent WHERE what = 'json';
SELECT is(hotdash.message_body(message), '\x00ff7b', 'a raw body stays as it is') FROM sent WHERE what = 'raw';
SELECT is(hotdash.message_body('msg_none'), NULL, 'no such message');
SELECT lives_ok($$SELECT hotdash.job_kind_set('http.request', queue => 'webhooks', concurrency => 512)$$, 'requests to all hosts together can be bounded');
SELECT is(hotdash.event_publish('a', '{"n":2}', 'tap-key'), hotdash.event_publish('a', '{"n":1}', 'tap-key'), 'same idempotency key, same message');
SELECT isnt(hotdash.event_publish('a', '{}', 'tap-key', tenant => 'tap-other'), hotdash.event_publish('a', '{}', 'tap-key'), 'the key is per tenant');
SELECT is((SELECT count(*)::int FROM hotdash.messages WHERE idempotency_key = 'tap-key'), 2, 'and nothing else was written');
SELECT throws_ok(call, state, NULL, call) FROM (VALUES
	($$SELECT hotdash.event_publish(NULL, '{}')$$, '22004'), ($$SELECT hotdash.event_publish('a', NULL)$$, '22004'), ($$SELECT hotdash.event_publish_raw('a', NULL)$$, '22004'),
	($$SELECT hotdash.event_publish('', '{}')$$, '22023'), ($$SELECT hotdash.event_publish('a b', '{}')$$, '22023'), ($$SELECT hotdash.event_publish('a*', '{}')$$, '22023'), ($$SELECT hotdash.event_publish('ä', '{}')$$, '22023'),
	($$SELECT hotdash.event_publish(repeat('a', 129), '{}')$$, '22023'), ($$SELECT hotdash.event_publish('a', '{}', '')$$, '22023'), ($$SELECT hotdash.event_publish('a', '{}', repeat('k', 256))$$, '22023'),
	($$SELECT hotdash.event_publish('a', '{}', order_key => '')$$, '22023'), ($$SELECT hotdash.event_publish('a', '{}', order_key => repeat('k', 256))$$, '22023'), ($$SELECT hotdash.event_publish('a', '{}', options => '{"x":1}')$$, '22023'),
	($$SELECT hotdash.event_publish('a', '{}', tenant => 'tap-nobody', options => '{"traceparent":"x"}')$$, '22023'), ($$SELECT hotdash.event_publish_raw('a', 'x', tenant => 'tap-nobody', options => '{"traceparent":{}}')$$, '22023'),
	($$SELECT hotdash.http_request('http://a', options => '{"keep":"x"}')$$, '22023'), ($$SELECT hotdash.http_request('http://a', options => '{"max_response":"x"}')$$, '22023'), ($$SELECT hotdash.http_request('http://a', options => '{"max_response":1e20}')$$, '22023'),
	($$SELECT hotdash.http_request('http://a', options => '{"max_age":"x"}')$$, '22023'), ($$SELECT hotdash.http_request('http://a', options => '{"max_age":"0"}')$$, '22023'), ($$SELECT hotdash.http_request('http://a', options => '{"retry_statuses":["x"]}')$$, '22023'),
	($$SELECT hotdash.event_publish_raw('a', 'x', E'text/plain\r\nX: 1')$$, '22023'), ($$SELECT hotdash.event_publish_raw('a', 'x', 'text')$$, '22023')) AS v (call, state);
SELECT lives_ok($$SELECT hotdash.event_publish_raw('a', 'x', 'text/plain; charset=utf-8')$$, 'content type with a parameter');
SET LOCAL hotdash.webhook_max_payload = '1kB';
SELECT lives_ok($$SELECT hotdash.event_publish_raw('a', convert_to(repeat('x', 1024), 'UTF8'))$$, 'as large as allowed');
SELECT throws_ok($$SELECT hotdash.event_publish_raw('a', convert_to(repeat('x', 1025), 'UTF8'))$$, '54000', NULL, 'one byte too large');
SELECT throws_ok($$SELECT hotdash.event_publish('a', to_jsonb(repeat('x', 1023)))$$, '54000', NULL, 'the quotes count');

/*
 * The edge's functions, as far as they go without shared memory
 */

SELECT is(hotdash.edge_hello(1, 'tap', '0') - 'server', '{"protocol":1,"backstop_ms":60000,"max_batch":512}', 'edge_hello');
SELECT throws_ok($$SELECT hotdash.edge_hello(2, 'tap', '9.9')$$, '0A000', 'protocol 2 of the edge is not supported', 'another protocol');
SELECT throws_ok(call, state, NULL, call) FROM (VALUES
	($$SELECT hotdash.edge_hello(NULL, 'tap', '0')$$, '22004'), ($$SELECT hotdash.edge_hello(1, '', '0')$$, '22023'), ($$SELECT hotdash.edge_claim(NULL, 1)$$, '22004'), ($$SELECT hotdash.edge_claim('tap', 0)$$, '22023'),
	($$SELECT hotdash.edge_claim('tap', 513)$$, '22023'), ($$SELECT hotdash.edge_report('tap', '{}')$$, '22023'), ($$SELECT hotdash.edge_report('tap', '[1]')$$, '22023'), ($$SELECT hotdash.edge_report('tap', NULL)$$, '22004'),
	($$SELECT hotdash.edge_report('tap', '[{"id":"1","token":"1"}]')$$, '22023'), ($$SELECT hotdash.edge_report('tap', '[{"id":"x","token":"1","class":"http"}]')$$, '22P02'),
	($$SELECT hotdash.edge_renew('tap', '{}', '{}', 0)$$, '22023'), ($$SELECT hotdash.edge_renew('tap', '{}', '{}', NULL)$$, '22004')) AS v (call, state);
SELECT is_empty($$SELECT * FROM hotdash.edge_report('tap', '[]')$$, 'an empty report');
SELECT is(hotdash.edge_report('tap', '[{"id":"-5","token":"1","class":"http","status":200}]')::text, '(-5,lost)', 'a delivery that nobody knows');

SELECT * FROM finish();
ROLLBACK;
