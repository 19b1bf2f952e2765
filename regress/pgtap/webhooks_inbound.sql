-- Inbound webhooks: sources, every answer of inbound_receive, routing, contracts, replays. Rolls back; needs no preload.
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set ON_ERROR_ROLLBACK 1
\set ON_ERROR_STOP true

BEGIN;
SELECT * FROM no_plan();

SET LOCAL hotdash.now_override = '2026-03-04 12:00:00+00';	-- Unix second 1772625600

-- HMAC-SHA256 by its definition, so that the tests do not check the code with itself.
CREATE FUNCTION pg_temp.hmac(secret text, message bytea) RETURNS bytea LANGUAGE plpgsql AS $$
	DECLARE
		key bytea := convert_to(secret, 'UTF8');
		inner_pad bytea := '';
		outer_pad bytea := '';
	BEGIN
		key := key || decode(repeat('00', 64 - length(key)), 'hex');
		FOR b IN 0 .. 63 LOOP
			inner_pad := inner_pad || decode(lpad(to_hex(get_byte(key, b) # 54), 2, '0'), 'hex');
			outer_pad := outer_pad || decode(lpad(to_hex(get_byte(key, b) # 92), 2, '0'), 'hex');
		END LOOP;
		RETURN sha256(outer_pad || sha256(inner_pad || message));
	END
$$;
SELECT is(encode(pg_temp.hmac('It''s a Secret to Everybody', 'Hello, World!'), 'hex'), '757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17', 'the helper is right');

-- A signed request of a scheme: its headers.
CREATE FUNCTION pg_temp.headers(scheme text, secret text, body text, id text DEFAULT 'd1', event text DEFAULT NULL, at bigint DEFAULT 1772625600) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_strip_nulls(CASE scheme
		WHEN 'standard' THEN jsonb_build_object('Webhook-Id', id, 'Webhook-Timestamp', at::text, 'Webhook-Signature', hotdash.webhook_sign(secret, id, to_timestamp(at), b))
		WHEN 'stripe' THEN jsonb_build_object('Stripe-Signature', format('t=%s,v1=%s', at, encode(pg_temp.hmac(secret, convert_to(at || '.', 'UTF8') || b), 'hex')))
		WHEN 'github' THEN jsonb_build_object('X-GitHub-Event', event, 'X-GitHub-Delivery', id, 'X-Hub-Signature-256', 'sha256=' || encode(pg_temp.hmac(secret, b), 'hex'))
		WHEN 'slack' THEN jsonb_build_object('X-Slack-Request-Timestamp', at::text, 'X-Slack-Signature', 'v0=' || encode(pg_temp.hmac(secret, convert_to('v0:' || at || ':', 'UTF8') || b), 'hex'))
		WHEN 'shopify' THEN jsonb_build_object('X-Shopify-Topic', event, 'X-Shopify-Webhook-Id', id, 'X-Shopify-Hmac-SHA256', encode(pg_temp.hmac(secret, b), 'base64'))
		WHEN 'chatwoot' THEN jsonb_build_object('X-Chatwoot-Delivery', id, 'X-Chatwoot-Timestamp', at::text, 'X-Chatwoot-Signature', 'sha256=' || encode(pg_temp.hmac(secret, convert_to(at || '.', 'UTF8') || b), 'hex'))
	END) FROM convert_to(body, 'UTF8') AS b
$$;
CREATE TEMPORARY TABLE secrets AS SELECT * FROM (VALUES ('standard', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'), ('stripe', 'whsec_test_secret'), ('github', 'hush'), ('slack', '8f742231b10e8888abcd99yyyzzz85a5'),
	('shopify', 'shpss_1'), ('chatwoot', 'cw-secret')) AS v (scheme, secret);
-- Source tap-SCHEME, one request to it: "status reason id".
CREATE FUNCTION pg_temp.send(scheme text, body text, id text DEFAULT 'd1', event text DEFAULT NULL, at bigint DEFAULT 1772625600, secret text DEFAULT NULL, source text DEFAULT NULL, more jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', r.status, r.reason, r.message_id) FROM secrets AS s,
		hotdash.inbound_receive(coalesce(source, 'tap-' || s.scheme), pg_temp.headers(s.scheme, coalesce(send.secret, s.secret), body, id, event, at) || more, convert_to(body, 'UTF8')) AS r
	WHERE s.scheme = send.scheme
$$;
-- The newest job of a source: kind, and payload without what is the same everywhere.
CREATE FUNCTION pg_temp.job(source text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', j.kind, j.payload - 'source' - 'message_id' - 'content_type') FROM hotdash.inbound_messages AS m JOIN hotdash.jobs AS j ON j.id = m.job_id
	WHERE m.source = job.source ORDER BY j.id DESC LIMIT 1
$$;

SELECT hotdash.job_kind_set(k) FROM unnest(ARRAY['order', 'paid', 'risk', 'all', 'ab']) AS k;
SELECT hotdash.queue_set(q) FROM unnest(ARRAY['default', 'money']) AS q;
SELECT lives_ok(format('SELECT hotdash.inbound_set(%L, %L, %L)', 'tap-' || scheme, scheme, secret), 'inbound_set: ' || scheme) FROM secrets;

/*
 * Each scheme: where the id and the event type are
 */

SELECT is(pg_temp.send(scheme, body, 'd1', event), expected, scheme || ': taken') FROM (VALUES
	('standard', '{"type":"order.created","n":1}', NULL, '200 enqueued d1'), ('stripe', '{"id":"evt_1","type":"charge.failed"}', NULL, '200 enqueued evt_1'),
	('github', '{"action":"opened"}', 'issues', '200 enqueued d1'), ('slack', '{"type":"event_callback","event_id":"Ev1","event":{"type":"message"}}', NULL, '200 enqueued Ev1'),
	('shopify', '{"id":5}', 'orders/create', '200 enqueued d1'), ('chatwoot', '{"event":"message_created","id":"1"}', NULL, '200 enqueued d1')) AS v (scheme, body, event, expected);
SELECT results_eq($$SELECT source, event_type FROM hotdash.inbound_messages WHERE source LIKE 'tap-%' ORDER BY 1$$,
	$$VALUES ('tap-chatwoot' COLLATE "C", 'message_created'), ('tap-github', 'issues.opened'), ('tap-shopify', 'orders.create'), ('tap-slack', 'message'), ('tap-standard', 'order.created'), ('tap-stripe', 'charge.failed')$$, 'event types');
SELECT is(pg_temp.job('tap-standard'), 'process-webhook {"payload": {"n": 1, "type": "order.created"}, "event_type": "order.created"}', 'what the job is given');
SELECT is(pg_temp.send(scheme, body, 'd1', event), expected, scheme || ': comes again') FROM (VALUES
	('standard', '{"type":"order.created","n":1}', NULL, '200 duplicate d1'), ('standard', '{"changed":true}', NULL, '200 duplicate d1'), ('stripe', '{"id":"evt_1"}', NULL, '200 duplicate evt_1'),
	('github', '{}', 'push', '200 duplicate d1'), ('slack', '{"type":"event_callback","event_id":"Ev1"}', NULL, '200 duplicate Ev1'),
	('shopify', '{"id":6}', 'orders/create', '200 duplicate d1'), ('chatwoot', '{"event":"x"}', NULL, '200 duplicate d1')) AS v (scheme, body, event, expected);
SELECT is(pg_temp.send('slack', '{"type":"event_callback","event_id":"Ev1"}', at => 1772625630), '200 duplicate Ev1', 'slack: a retry with a new time is known by the event''s id');
SELECT matches(pg_temp.send('slack', 'command=%2Fdeploy&text=now'), '^200 enqueued sha256:[0-9a-f]{64}$', 'slack: a command is known by time and body');
SELECT is(pg_temp.job('tap-slack'), 'process-webhook {"text": "command=%2Fdeploy&text=now", "event_type": null}', 'a body that is not JSON is given as text');
SELECT matches(pg_temp.send('slack', 'command=%2Fdeploy&text=now'), '^200 duplicate ', 'comes again');
SELECT matches(pg_temp.send('slack', 'command=%2Fdeploy&text=now', at => 1772625601), '^200 enqueued ', 'a second later it is another');
SELECT is(pg_temp.send('slack', '{"type":"url_verification","challenge":"3eZbrw1aB"}'), '200 challenge 3eZbrw1aB', 'slack: the challenge of a new URL');
SELECT is(pg_temp.send('slack', '{"type":"url_verification","challenge":"3eZbrw1aB"}', secret => 'x'), '401 mismatch', 'not for strangers');
SELECT is(pg_temp.send('slack', '{"type":"url_verification","challenge":"a\nb"}'), '400 missing_id', 'a challenge is one line of text');
SELECT is(pg_temp.send('github', '{"zen":"x"}', 'd2', 'ping'), '200 ping d2', 'github: a ping is answered');
SELECT is(pg_temp.send('github', '{}', NULL, 'push'), '400 missing_id', 'github: without a delivery id');
SELECT is(pg_temp.send('stripe', body), '400 missing_id', 'stripe: ' || body) FROM unnest(ARRAY['{"id":null}', '{}', '[]', '"evt_1"', 'x', '{"id":"a b"}', '{"id":""}']) AS body;
SELECT is((SELECT count(*)::int FROM hotdash.inbound_messages WHERE source LIKE 'tap-%'), 8, 'nothing else was written');

-- Among many headers, and such as are no texts; a name in two spellings is not there.
SELECT is(pg_temp.send('standard', '{}', 'many' || n, more => (SELECT jsonb_object_agg(repeat('x', g % 40) || 'X-' || g, CASE g % 4 WHEN 0 THEN to_jsonb(g) WHEN 1 THEN '{"webhook-id":"x"}' WHEN 2 THEN '[1]' ELSE to_jsonb(repeat('v', g)) END) FROM generate_series(1, n) AS g)),
	format('200 enqueued many%s', n), format('among %s headers', n)) FROM unnest(ARRAY[1, 31, 32, 33, 100, 300]) AS n;
SELECT is(hotdash._webhook_header(h, name), expected, format('header %s of %s', name, h)) FROM (VALUES
	('{"A":"1"}'::jsonb, 'a', '1'), ('{"A":"1","a":"1"}', 'a', NULL), ('{"A":1}', 'a', NULL), ('{"A":null}', 'a', NULL), ('{"A":["1"]}', 'a', NULL), ('{"A":{"a":"1"}}', 'a', NULL), ('{"B":{"a":"1"}}', 'a', NULL),
	('{"A":""}', 'a', ''), ('{}', 'a', NULL), ('[]', 'a', NULL), ('["a"]', 'a', NULL), ('"a"', 'a', NULL), ('null', 'a', NULL), ('{"Ä":"1"}', 'ä', NULL), ('{"ä":"1"}', 'ä', '1'), ('{"":"1"}', '', '1')) AS v (h, name, expected);
DELETE FROM hotdash._inbound_message WHERE message_id LIKE 'many%';

/*
 * Refusals
 */

SELECT is(pg_temp.send(scheme, '{}', 'd9', secret => 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD'), '401 mismatch', scheme || ': another secret') FROM secrets;
SELECT is(pg_temp.send(scheme, '{}', 'd9', at => 1772625600 - 301), '401 too_old', scheme || ': too old') FROM secrets WHERE scheme IN ('standard', 'stripe', 'slack', 'chatwoot');
SELECT is(pg_temp.send(scheme, '{}', 'd9', at => 1772625600 + 301), '401 too_new', scheme || ': from the future') FROM secrets WHERE scheme IN ('standard', 'stripe', 'slack', 'chatwoot');
SELECT is((SELECT reason FROM hotdash.inbound_receive('tap-' || scheme, '{}', '')), 'missing_header', scheme || ': no headers') FROM secrets;
SELECT is(pg_temp.send('github', '{}', source => 'tap-none'), '404 unknown_source', 'unknown source');
SELECT throws_ok(call, state, NULL, call) FROM (VALUES ($$SELECT hotdash.inbound_receive(NULL, '{}', '')$$, '22004'), ($$SELECT hotdash.inbound_receive('x', NULL, '')$$, '22004'), ($$SELECT hotdash.inbound_receive('x', '{}', NULL)$$, '22004'),
	($$SELECT hotdash.inbound_receive('x', '[]', '')$$, '22023')) AS v (call, state);
SELECT hotdash.inbound_set('tap-github', 'github', 'hush', options => '{"enabled":false,"max_payload":20}');
SELECT is(pg_temp.send('github', '{}', 'd9', 'push'), '403 disabled', 'disabled');
SELECT is(pg_temp.send('github', '{}', 'd9', 'push', secret => 'x'), '401 mismatch', 'strangers do not learn it');
SELECT is(pg_temp.send('github', repeat('x', 20), 'd9', 'push'), '403 disabled', 'as large as allowed');
SELECT is(pg_temp.send('github', repeat('x', 21), 'd9', 'push'), '413 too_large', 'one byte more');
SET LOCAL hotdash.webhook_max_payload = '1kB';
SELECT is((SELECT status FROM hotdash.inbound_receive('tap-none', '{}', convert_to(repeat('x', 1025), 'UTF8'))), 413, 'an unknown source has the usual limit');
RESET hotdash.webhook_max_payload;
SET LOCAL hotdash.job_max_payload = '1kB';
SELECT is(pg_temp.send('shopify', to_jsonb(repeat('x', 1100))::text, 'big', 'orders/create'), '413 too_large big', 'more than a job may hold');
RESET hotdash.job_max_payload;

/*
 * Routing
 */

SELECT hotdash.inbound_set('tap-shopify', 'shopify', 'shpss_1', '{"orders.*":"order","orders.paid":{"kind":"paid","queue":"money","priority":1,"order_key":"$.customer"},"orders.risk.*":"risk","orders.edited":null}',
	options => '{"headers":["X-Shopify-Shop-Domain","x-none"]}');
SELECT is(pg_temp.send('shopify', '{"customer":7}', 'r-' || event, event, more => '{"X-Shopify-Shop-Domain":"a.example"}'), expected || ' r-' || event, 'route of ' || event) FROM (VALUES
	('orders/create', '200 enqueued'), ('orders/paid', '200 enqueued'), ('orders/risk/high', '200 enqueued'), ('orders/edited', '200 ignored'), ('orders', '200 ignored'), ('carts/update', '200 ignored')) AS v (event, expected);
SELECT results_eq($$SELECT m.event_type, j.kind COLLATE "default", j.queue COLLATE "default", j.priority::int, j.order_key COLLATE "default" FROM hotdash.inbound_messages AS m JOIN hotdash.jobs AS j ON j.id = m.job_id WHERE m.message_id LIKE 'r-%' ORDER BY 1$$,
	$$VALUES ('orders.create', 'order', 'default', 5, NULL), ('orders.paid', 'paid', 'money', 1, '7'), ('orders.risk.high', 'risk', 'default', 5, NULL)$$, 'its own before the longest prefix, an ordering key from the body');
SELECT is(j.payload -> 'headers', '{"x-none":null,"x-shopify-shop-domain":"a.example"}', 'headers that were asked for') FROM hotdash.inbound_messages AS m JOIN hotdash.jobs AS j ON j.id = m.job_id WHERE m.message_id = 'r-orders/paid';
SELECT is(pg_temp.send('shopify', '{}', 'r-none', NULL), '200 ignored r-none', 'no event type and no route for all');
SELECT hotdash.inbound_set('tap-standard', 'standard', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '{"*":"all","a.b":"ab"}', options => '{"event_path":"$.data.kind"}');
SELECT is(pg_temp.send('standard', '{"type":"x","data":{"kind":"a.b"}}', 'e1'), '200 enqueued e1', 'event type at a path of its own');
SELECT matches(pg_temp.job('tap-standard'), '^ab ', 'is routed');
SELECT is(pg_temp.send('standard', '{"data":{"kind":"a b; drop"}}', 'e2'), '200 enqueued e2', 'an event type that is none');
SELECT matches(pg_temp.job('tap-standard'), '^all .*"event_type": null', 'goes to the route for all');
-- Whatever a path meets in a body: the sender is answered, and the message taken.
CREATE TEMPORARY TABLE paths AS SELECT * FROM (VALUES (1, '$.k', '{"k":"a.b"}', 'a.b'), (2, '$.at.datetime() < "2030-01-01T00:00:00+00:00".datetime()', '{"at":"2026-01-01T00:00:00"}', NULL),
	(3, '$.k ? (@ > $x)', '{"k":1}', NULL), (4, '$.at.datetime("HH24:MI:ZZ")', '{"at":"1:"}', NULL), (5, '$.k', '{"k":""}', NULL), (6, '$.k', '{"k":null}', NULL),
	(7, '$.k', '{"k":"' || repeat('k', 1025) || '"}', 'sha256:' || encode(sha256(repeat('k', 1025)::bytea), 'hex'))) AS v (n, path, body, key);
CREATE FUNCTION pg_temp.follow(p paths) RETURNS text LANGUAGE sql AS $$
	SELECT hotdash.inbound_set('tap-standard', 'standard', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
		jsonb_build_object('*', jsonb_build_object('kind', 'all', 'order_key', p.path)), options => jsonb_build_object('event_path', p.path));
	SELECT pg_temp.send('standard', p.body, 'p' || p.n)
$$;
SELECT is(pg_temp.follow(p), '200 enqueued p' || n, format('path %s over %s', path, left(body, 40))) FROM paths AS p ORDER BY n;
SELECT is(j.order_key COLLATE "default", p.key, 'ordering key by ' || path) FROM paths AS p JOIN hotdash.inbound_messages AS m ON m.message_id = 'p' || p.n JOIN hotdash.jobs AS j ON j.id = m.job_id ORDER BY p.n;
SELECT hotdash.inbound_set('tap-standard', 'standard', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '{"a.b":"ab"}', options => '{"event_header":"X-Event"}');
SELECT is(pg_temp.send('standard', '{}', 'e3', more => '{"x-EVENT":"a.b"}'), '200 enqueued e3', 'event type in a header of its own');
SELECT is((SELECT reason FROM hotdash.inbound_receive('tap-standard', h || '{"X-Event":"a.b"}', b)), 'enqueued', 'bytes that are no text') FROM
	(SELECT '\xff00'::bytea AS b) AS b, LATERAL (SELECT jsonb_build_object('webhook-id', 'e4', 'webhook-timestamp', '1772625600', 'webhook-signature', hotdash.webhook_sign('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'e4', to_timestamp(1772625600), b)) AS h) AS h;
SELECT is(pg_temp.job('tap-standard'), 'ab {"base64": "/wA=", "event_type": "a.b"}', 'are given as base64');

/*
 * The contract
 */

SELECT hotdash.inbound_set('tap-chatwoot', 'chatwoot', 'cw-secret', payload_schema => '{"type":"object","required":["event","id"],"properties":{"id":{"type":"string"},"list":{"items":{"type":"integer"}}}}');
SELECT is(pg_temp.send('chatwoot', body, 'c1'), expected, 'contract: ' || body) FROM (VALUES
	('{"event":"x"}', '422 invalid_payload: required c1'), ('{"event":"x","id":7}', '422 invalid_payload: /id type c1'), ('{"event":"x","id":"7","list":[1,"s3cr3t",2.5]}', '422 invalid_payload: /list/1 type, /list/2 type c1'),
	('{', '422 invalid_payload: not JSON c1'), ('{"event":"x","id":"7"}', '200 enqueued c1'), ('{"event":"x"}', '200 duplicate c1')) AS v (body, expected);

/*
 * Trace, replay for as long as ids are kept, another way to tell them
 */

SELECT is(pg_temp.send('chatwoot', '{"event":"x","id":"7"}', 'tr' || n, more => jsonb_build_object('Traceparent', traceparent)), '200 enqueued tr' || n, 'traceparent ' || traceparent)
FROM (VALUES (1, '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'), (2, '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01'), (3, 'x')) AS v (n, traceparent);
SELECT is((SELECT x.traceparent FROM hotdash._job AS x JOIN hotdash.inbound_messages AS m ON m.job_id = x.id WHERE m.message_id = 'tr1'), '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'is continued by the job');
SELECT matches((SELECT x.traceparent FROM hotdash._job AS x JOIN hotdash.inbound_messages AS m ON m.job_id = x.id WHERE m.message_id = 'tr' || n), '^00-(?!0af7)[0-9a-f]{32}-[0-9a-f]{16}-0[0-9a-f]$', 'or a new one') FROM generate_series(2, 3) AS n;

SELECT hotdash.inbound_set('tap-github', 'github', 'hush', options => '{"keep":"1 hour","tolerance":"1 minute"}');
SELECT is(pg_temp.send('github', '{"k":1}', 'k1', 'push'), '200 enqueued k1', 'kept for an hour');
SET LOCAL hotdash.now_override = '2026-03-04 12:59:59+00';
SELECT is(hotdash._inbound_sweep(1000), 0::bigint, 'nothing to forget yet');
SELECT is(pg_temp.send('github', '{"k":1}', 'k1', 'push'), '200 duplicate k1', 'is known a second before its end');
SET LOCAL hotdash.now_override = '2026-03-04 13:00:00+00';
SELECT is(hotdash._inbound_sweep(1000), 1::bigint, 'the sweep forgets it, and nothing else');
SELECT is(pg_temp.send('github', '{"k":1}', 'k1', 'push'), '200 enqueued k1', 'then it is new');
SET LOCAL hotdash.now_override = '2026-03-12 12:00:00+00';
SELECT is(hotdash._inbound_sweep(3), 3::bigint, 'no more at once than it is told');
SELECT hotdash._webhooks_tidy();
SELECT is_empty($$SELECT FROM hotdash.inbound_messages WHERE source LIKE 'tap-%'$$, 'the tick''s part of it takes the rest');
SELECT hotdash.inbound_set('tap-github', 'github', 'hush', options => '{"dedupe":"body"}');
SELECT is(pg_temp.send('github', '{"b":1}', 'b1', 'push') ~ '^200 enqueued sha256:', true, 'known by the body');
SELECT is(pg_temp.send('github', '{"b":1}', 'b2', 'push') ~ '^200 duplicate sha256:', true, 'whatever id it comes with');
SET LOCAL hotdash.now_override = '2026-03-04 12:00:00+00';

/*
 * Secrets
 */

SELECT hotdash.inbound_set('tap-github', 'github', 'hush');
SELECT hotdash.inbound_rotate_secret('tap-github', 'hush2', '1 hour');
SELECT is(pg_temp.send('github', '{}', 's-' || secret, 'push', secret => secret), '200 enqueued s-' || secret, 'during the overlap: ' || secret) FROM unnest(ARRAY['hush', 'hush2']) AS secret;
SELECT is(pg_temp.send('github', '{}', 's3', 'push', secret => 'hush3'), '401 mismatch', 'and no other');
SET LOCAL hotdash.now_override = '2026-03-04 13:00:00+00';
SELECT is(pg_temp.send('github', '{}', 's4', 'push', secret => 'hush'), '401 mismatch', 'afterwards the old one is refused');
SELECT hotdash._webhooks_tidy();
SELECT is((SELECT count(*)::int FROM hotdash._inbound_key WHERE source = 'tap-github'), 1, 'and deleted');
SELECT hotdash.inbound_rotate_secret('tap-github', 'hush5');
SELECT hotdash.inbound_rotate_secret('tap-github', 'hush6', '0');
SELECT is(pg_temp.send('github', '{}', 's6', 'push', secret => 'hush5'), '401 mismatch', 'without an overlap at once');
SELECT hotdash.inbound_set('tap-github', 'github', 'hush');
SELECT is(pg_temp.send('github', '{}', 's7', 'push', secret => 'hush6'), '401 mismatch', 'inbound_set states the secret anew');
SET LOCAL hotdash.now_override = '2026-03-04 12:00:00+00';
SELECT unalike(string_agg(to_jsonb(s)::text, ''), '%hush%', 'no view shows a secret') FROM hotdash.inbound_sources AS s;

SELECT throws_ok(call, state, NULL, call) FROM (VALUES
	($$SELECT hotdash.inbound_set(NULL, 'github', 's')$$, '22004'), ($$SELECT hotdash.inbound_set('x', NULL, 's')$$, '22004'), ($$SELECT hotdash.inbound_set('x', 'github', NULL)$$, '22004'),
	($$SELECT hotdash.inbound_set('', 'github', 's')$$, '22023'), ($$SELECT hotdash.inbound_set('a/b', 'github', 's')$$, '22023'), ($$SELECT hotdash.inbound_set('..', 'github', 's')$$, '22023'), ($$SELECT hotdash.inbound_set(repeat('a', 65), 'github', 's')$$, '22023'),
	($$SELECT hotdash.inbound_set('x', 'md5', 's')$$, '22023'), ($$SELECT hotdash.inbound_set('x', 'github', '')$$, '22023'), ($$SELECT hotdash.inbound_set('x', 'github', repeat('s', 513))$$, '22023'),
	($$SELECT hotdash.inbound_set('x', 'standard', 'whsec_')$$, '22023'), ($$SELECT hotdash.inbound_set('x', 'standard', 'not base64!')$$, '22023'), ($$SELECT hotdash.inbound_set('x', 'standard', 'whpk_AAAA!')$$, '22023'),
	($$SELECT hotdash.inbound_set('x', 'github', 's', '[]')$$, '22023'), ($$SELECT hotdash.inbound_set('x', 'github', 's', '{"a b":"k"}')$$, '22023'), ($$SELECT hotdash.inbound_set('x', 'github', 's', '{"a":1}')$$, '22023'),
	($$SELECT hotdash.inbound_set('x', 'github', 's', '{"a":{}}')$$, '22023'), ($$SELECT hotdash.inbound_set('x', 'github', 's', '{"a":{"kind":"k","colour":"red"}}')$$, '22023'), ($$SELECT hotdash.inbound_set('x', 'github', 's', '{"a":{"kind":"k","priority":10}}')$$, '22023'),
	($$SELECT hotdash.inbound_set('x', 'github', 's', '{"a":{"kind":"k","order_key":"$["}}')$$, '22023'), ($$SELECT hotdash.inbound_set('x', 'github', 's', '{"a":{"kind":"k","priority":"x"}}')$$, '22023'),
	($$SELECT hotdash.inbound_set('x', 'github', 's', options => '{"tolerance":"x"}')$$, '22023'), ($$SELECT hotdash.inbound_set('x', 'github', 's', options => '{"max_payload":1e20}')$$, '22023'),
	($$SELECT hotdash.inbound_set('x', 'github', 's', options => '{"enabled":"x"}')$$, '22023'), ($$SELECT hotdash.inbound_set('x', 'github', 's', options => '{"event_path":"$["}')$$, '22023'),
	($$SELECT hotdash.inbound_set('x', 'github', 's', '{"a":"webhook.delivery"}')$$, '42501'), ($$SELECT hotdash.inbound_set('x', 'github', 's', '{"a":{"kind":"k","queue":"webhooks"}}')$$, '42501'), ($$SELECT hotdash.inbound_set('x', 'github', 's', '{"a":""}')$$, '22023'),
	($$SELECT hotdash.inbound_set('x', 'github', 's', payload_schema => '{"type":"lunar"}')$$, '22023'), ($$SELECT hotdash.inbound_set('x', 'github', 's', options => '{"colour":"red"}')$$, '22023'),
	($$SELECT hotdash.inbound_set('x', 'github', 's', options => '{"tolerance":"0"}')$$, '22023'), ($$SELECT hotdash.inbound_set('x', 'github', 's', options => '{"tolerance":"1 hour","keep":"1 hour"}')$$, '22023'),
	($$SELECT hotdash.inbound_set('x', 'github', 's', options => '{"keep":"1 month"}')$$, '22023'), ($$SELECT hotdash.inbound_set('x', 'github', 's', options => '{"max_payload":0}')$$, '22023'), ($$SELECT hotdash.inbound_set('x', 'github', 's', options => '{"dedupe":"never"}')$$, '22023'),
	($$SELECT hotdash.inbound_set('x', 'github', 's', options => '{"headers":"x"}')$$, '22023'), ($$SELECT hotdash.inbound_rotate_secret('tap-none', 's')$$, '42704'), ($$SELECT hotdash.inbound_rotate_secret('tap-github', NULL)$$, '22004'),
	($$SELECT hotdash.inbound_rotate_secret('tap-github', 's', '8 days')$$, '22023'), ($$SELECT hotdash.inbound_rotate_secret('tap-standard', 'x!')$$, '22023'), ($$SELECT hotdash.inbound_delete('tap-none')$$, '42704')) AS v (call, state);
SELECT lives_ok($$SELECT hotdash.inbound_set('tap-pair', 'standard', 'whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=')$$, 'a public key');
SELECT is(pg_temp.send('standard', '{}', 'p1', secret => 'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==', source => 'tap-pair'), '200 enqueued p1', 'verifies what the private one signed');

/*
 * Tenants
 */

SELECT hotdash.inbound_set('tap-own', 'github', 'hush', options => '{"tenant":"tap-a"}');
SELECT is(pg_temp.send('github', '{}', 'o1', 'push', source => 'tap-own'), '200 enqueued o1', 'a listener that is bound to no tenant takes for all');
SELECT is((SELECT j.tenant FROM hotdash.jobs AS j JOIN hotdash.inbound_messages AS m ON m.job_id = j.id WHERE m.message_id = 'o1'), 'tap-a', 'the job is the tenant''s');
SET LOCAL hotdash.tenant = 'tap-b';
SELECT is(pg_temp.send('github', '{}', 'o2', 'push', source => 'tap-own'), '404 unknown_source', 'one that is bound to another knows nothing of it');
SELECT throws_ok($$SELECT hotdash.inbound_set('tap-own', 'github', 'mine')$$, '42501', NULL, 'nor can it be taken over');
SELECT throws_ok($$SELECT hotdash.inbound_rotate_secret('tap-own', 'mine')$$, '42704', NULL, 'or its secret');
SELECT throws_ok($$SELECT hotdash.inbound_delete('tap-own')$$, '42704', NULL, 'or be deleted');
SELECT throws_ok($$SELECT hotdash.inbound_set('tap-new', 'github', 'mine', options => '{"tenant":"tap-a"}')$$, '42501', NULL, 'or made');
SELECT is_empty($$SELECT source FROM hotdash.inbound_sources WHERE source LIKE 'tap-%'$$, 'or seen');
SELECT is_empty($$SELECT message_id FROM hotdash.inbound_messages$$, 'nor what came');
SET LOCAL hotdash.tenant = '';
SELECT hotdash.inbound_delete('tap-own');
SELECT is(pg_temp.send('github', '{}', 'o3', 'push', source => 'tap-own'), '404 unknown_source', 'deleted');
SELECT hotdash.inbound_set('tap-own', 'github', 'hush');
SELECT is(pg_temp.send('github', '{}', 'o1', 'push', source => 'tap-own'), '200 duplicate o1', 'made again it knows what it has taken');

SELECT * FROM finish();
ROLLBACK;
