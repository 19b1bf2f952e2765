-- Secrets: ed25519, replacing them with an overlap, what is shown of them. Rolls back; needs no preload. What
-- needs a key file is in regress/e2e/420_secrets.pl.
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set ON_ERROR_ROLLBACK 1
\set ON_ERROR_STOP true

BEGIN;
SELECT * FROM no_plan();

SET LOCAL hotdash.now_override = '2021-02-25 15:02:10+00';	-- Unix second 1614265330

/*
 * ed25519: the vector of a sender's own tests, and what is close to it
 */

CREATE TEMPORARY TABLE pair AS SELECT 'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=='::text AS private,
	'whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4='::text AS public,
	'v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=='::text AS signature;
CREATE FUNCTION pg_temp.standard(secret text, signature text, body text DEFAULT '{"test": 2432232314}', at text DEFAULT '1614265330') RETURNS text
	LANGUAGE sql AS $$
		SELECT coalesce(reason, 'ok') FROM hotdash.webhook_verify_detail('standard', secret,
			jsonb_build_object('webhook-id', 'msg_p5jXN8AQM9LWM0D4loKWxJek', 'webhook-timestamp', at, 'webhook-signature', signature),
			convert_to(body, 'UTF8'))
	$$;
SELECT is(hotdash.webhook_sign(private, 'msg_p5jXN8AQM9LWM0D4loKWxJek', to_timestamp(1614265330), '{"test": 2432232314}'), signature, 'webhook_sign with a private key') FROM pair;
SELECT is(pg_temp.standard(public, signature), 'ok', 'the public key verifies') FROM pair;
SELECT is(pg_temp.standard(private, signature), 'ok', 'so does the private one') FROM pair;
SELECT is(pg_temp.standard(public, 'v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2a,x ' || signature || ' v1,x'), 'ok', 'one of several') FROM pair;
SELECT is(pg_temp.standard(public, signature, body => '{"test": 2432232315}'), 'mismatch', 'another body') FROM pair;
SELECT is(pg_temp.standard(public, signature, at => '1614265331'), 'mismatch', 'another time') FROM pair;
SELECT is(pg_temp.standard(public, signature, at => '1614265631'), 'too_new', 'from the future') FROM pair;
SELECT is(pg_temp.standard(public, replace(signature, 'v1a,', 'v1,')), 'mismatch', 'another version') FROM pair;
SELECT is(pg_temp.standard(public, rtrim(signature, '=')), 'ok', 'without padding it is the same signature') FROM pair;
SELECT is(pg_temp.standard(public, overlay(signature PLACING 'B' FROM length(signature) - 2)), 'mismatch', 'bits that no byte has') FROM pair;
SELECT is(pg_temp.standard(public, wrong), 'mismatch', 'signature ' || quote_literal(wrong)) FROM pair, unnest(ARRAY['', 'v1a,', 'v1a,AAAA', 'v1a,' || repeat('A', 88), 'v1a']) AS wrong;
SELECT is(pg_temp.standard(public, repeat('v1a,' || repeat('A', 86) || '== ', 4) || signature), 'mismatch', 'of many signatures a few are tried') FROM pair;
SELECT is(pg_temp.standard(wrong, signature), 'bad_secret', 'secret ' || quote_literal(wrong)) FROM pair,
	unnest(ARRAY['whpk_', 'whpk_AAAA', 'whsk_', 'whsk_' || repeat('A', 43) || '=', left(public, -2), public || 'AAAA']) AS wrong;
SELECT is(pg_temp.standard('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', signature), 'mismatch', 'a shared secret does not verify it') FROM pair;
SELECT throws_ok(format('SELECT hotdash.webhook_sign(%L, ''m'', now(), '''')', wrong), '22023', NULL, 'webhook_sign with ' || quote_literal(wrong))
	FROM pair, unnest(ARRAY[public, 'whsk_', 'whsk_AAAA', left(private, -4)]) AS wrong;

/*
 * Endpoints that sign with a key pair
 */

CREATE TEMPORARY TABLE made (name text PRIMARY KEY, id bigint);
INSERT INTO made SELECT 'given', hotdash.endpoint_create('http://a', secret => private, tenant => 'tap-secrets', options => '{"signing":"ed25519"}') FROM pair;
INSERT INTO made VALUES ('random', hotdash.endpoint_create('http://a', tenant => 'tap-secrets', options => '{"signing":"ed25519"}')),
	('shared', hotdash.endpoint_create('http://a', secret => 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', tenant => 'tap-secrets', options => '{"signing":"hmac"}'));
SELECT is(hotdash.endpoint_secret(id), public, 'endpoint_secret shows the public half') FROM made, pair WHERE name = 'given';
SELECT results_eq($$SELECT e.signing, e.public_key FROM hotdash.endpoints AS e JOIN made AS m USING (id) WHERE m.name = 'given'$$,
	$$SELECT 'ed25519'::text, public FROM pair$$, 'the view shows it too');
SELECT matches(hotdash.endpoint_secret(id), '^whpk_[A-Za-z0-9+/]{43}=$', 'a random pair') FROM made WHERE name = 'random';
SELECT throws_ok(format('SELECT hotdash.endpoint_create(''http://a'', secret => %L, options => %L)', secret, options), '22023', NULL, format('secret %s…, options %s', left(secret, 8), options))
FROM pair, LATERAL (VALUES (private, '{}'), (private, '{"signing":"hmac"}'), (public, '{"signing":"ed25519"}'), ('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '{"signing":"ed25519"}'),
	(overlay(private PLACING 'AA' FROM 90), '{"signing":"ed25519"}'), (NULL, '{"signing":"rsa"}'), (NULL, '{"signing":1}')) AS v (secret, options);

-- What the edge sends verifies with what the receiver was given.
CREATE FUNCTION pg_temp.signature(endpoint bigint, body bytea DEFAULT 'b', at timestamptz DEFAULT hotdash._now()) RETURNS text LANGUAGE sql AS $$
	SELECT substr(l, length('webhook-signature: ') + 1) FROM unnest(hotdash._webhook_header_lines(endpoint,
		ARRAY(SELECT key FROM hotdash._endpoint_key WHERE endpoint_id = endpoint AND (retires_at IS NULL OR retires_at > at) ORDER BY version DESC),
		'msg_p5jXN8AQM9LWM0D4loKWxJek', at, body, 'text/plain', NULL, '{}')) AS l WHERE l LIKE 'webhook-signature: %'
$$;
SELECT is(pg_temp.standard(hotdash.endpoint_secret(id), pg_temp.signature(id), body => 'b'), 'ok', name || ': a delivery verifies') FROM made;

/*
 * Replacing
 */

CREATE TEMPORARY TABLE secrets (n serial, secret text);
INSERT INTO secrets (secret) SELECT hotdash.endpoint_secret(id) FROM made WHERE name = 'shared';
INSERT INTO secrets (secret) SELECT hotdash.endpoint_rotate_secret(id, '1 hour') FROM made WHERE name = 'shared';
SELECT matches(secret, '^whsec_[A-Za-z0-9+/]{43}=$', 'endpoint_rotate_secret returns a new secret') FROM secrets WHERE n = 2;
SELECT is(hotdash.endpoint_secret(id), secret, 'which is the current one') FROM made, secrets WHERE name = 'shared' AND n = 2;
SELECT is(array_length(string_to_array(pg_temp.signature(id), ' '), 1), 2, 'both signatures are sent') FROM made WHERE name = 'shared';
SELECT is(pg_temp.standard(secret, pg_temp.signature(id), body => 'b'), 'ok', format('secret %s verifies', n)) FROM made, secrets WHERE name = 'shared' ORDER BY n;
INSERT INTO secrets (secret) SELECT hotdash.endpoint_rotate_secret(id) FROM made WHERE name = 'shared';
SELECT is(pg_temp.standard(secret, pg_temp.signature(id), body => 'b'), 'ok', format('replaced again: secret %s verifies', n)) FROM made, secrets WHERE name = 'shared' ORDER BY n;
SET LOCAL hotdash.now_override = '2021-02-25 16:02:09+00';
SELECT is(array_length(string_to_array(pg_temp.signature(id), ' '), 1), 3, 'a second before the end of the overlap') FROM made WHERE name = 'shared';
SET LOCAL hotdash.now_override = '2021-02-25 16:02:10+00';
SELECT is(array_length(string_to_array(pg_temp.signature(id), ' '), 1), 2, 'at its end the old one is not used') FROM made WHERE name = 'shared';
SELECT hotdash._webhooks_tidy();
SELECT is((SELECT count(*)::int FROM hotdash._endpoint_key AS k JOIN made AS m ON m.id = k.endpoint_id WHERE m.name = 'shared'), 2, 'and deleted');
SET LOCAL hotdash.now_override = '2021-02-26 15:02:10+00';
SELECT hotdash._webhooks_tidy();
SELECT is((SELECT count(*)::int FROM hotdash._endpoint_key AS k JOIN made AS m ON m.id = k.endpoint_id WHERE m.name = 'shared'), 1, 'a day is the default');
INSERT INTO secrets (secret) SELECT hotdash.endpoint_rotate_secret(id) FROM made WHERE name = 'shared';
INSERT INTO secrets (secret) SELECT hotdash.endpoint_rotate_secret(id, '0') FROM made WHERE name = 'shared';
SELECT is((SELECT count(*)::int FROM hotdash._endpoint_key AS k JOIN made AS m ON m.id = k.endpoint_id WHERE m.name = 'shared'), 1, 'without an overlap the new one stands alone');
SELECT is(array_agg(pg_temp.standard(secret, pg_temp.signature(id), body => 'b', at => '1614351730') ORDER BY n), '{mismatch,mismatch,mismatch,mismatch,ok}', 'no old secret verifies') FROM made, secrets WHERE name = 'shared';
SELECT lives_ok(format('SELECT hotdash.endpoint_rotate_secret(%s, ''1 hour'')', id), format('replacement %s', n)) FROM made, generate_series(1, 4) AS n WHERE name = 'shared';
SELECT throws_ok(format('SELECT hotdash.endpoint_rotate_secret(%s)', id), '54000', NULL, 'no more than five at once') FROM made WHERE name = 'shared';
SELECT throws_ok(format('SELECT hotdash.endpoint_rotate_secret(%s, %L)', id, overlap), '22023', NULL, 'overlap ' || overlap) FROM made, unnest(ARRAY['-1 s', '7 days 1 s', '1 month']) AS overlap WHERE name = 'shared';
SELECT throws_ok('SELECT hotdash.endpoint_rotate_secret(-1)', '42704', NULL, 'unknown endpoint');
SELECT throws_ok('SELECT hotdash.endpoint_rotate_secret(NULL)', '22004', NULL, 'NULL endpoint');
SELECT is(hotdash.endpoint_rotate_secret(id), hotdash.endpoint_secret(id), 'a key pair: the public half is returned') FROM made WHERE name = 'given';
SELECT isnt(hotdash.endpoint_secret(id), public, 'and is another') FROM made, pair WHERE name = 'given';
SELECT is(pg_temp.standard(public, pg_temp.signature(id), body => 'b', at => '1614351730'), 'ok', 'the old one signs too') FROM made, pair WHERE name = 'given';

SELECT lives_ok(format($$SELECT hotdash.endpoint_update(%s, '{"options":{"signing":"hmac"}}')$$, id), 'endpoint_update to the other way to sign') FROM made WHERE name = 'random';
SELECT matches(pg_temp.signature(id), '^v1,[^ ]+ v1a,[^ ]+$', 'both ways for the overlap') FROM made WHERE name = 'random';
SELECT matches(hotdash.endpoint_secret(id), '^whsec_', 'and a secret of that way') FROM made WHERE name = 'random';
SELECT lives_ok(format($$SELECT hotdash.endpoint_update(%s, %L)$$, id, changes), 'endpoint_update ' || changes) FROM made, unnest(ARRAY['{"options":{"signing":"hmac"}}', '{"options":{}}', '{"options":null}']) AS changes WHERE name = 'random';
SELECT is((SELECT max(version) FROM hotdash._endpoint_key WHERE endpoint_id = id), 2, 'asking for what is there changes nothing') FROM made WHERE name = 'random';

/*
 * At rest
 */

SELECT is(hotdash._webhook_header_lines(1, ARRAY[wrong], 'm', now(), '', 'a/b', NULL, '{}'), NULL, 'a key that is damaged signs nothing: ' || coalesce(wrong::text, 'NULL'))
FROM unnest(ARRAY['\x', '\x01', '\x0103', '\x0102616200', '\x02aabb', '\x00', '\x01ff', '\x0101' || repeat('61', 28), '\x0141' || repeat('61', 200)]::bytea[]) AS wrong;
SELECT is(hotdash._secret_state('\x0068', 'p'), 'plain', 'not encrypted');
SELECT is(hotdash._secret_state(('\x010161' || repeat('00', 40))::bytea, 'p'), 'missing', 'a key that nobody has');
SELECT is(hotdash._secret_key_id(('\x010161' || repeat('00', 40))::bytea), 'a', 'its id');
SELECT is(hotdash._secret_state(wrong, 'p'), 'damaged', 'damaged: ' || wrong::text) FROM unnest(ARRAY['\x', '\x01', '\x7f00']::bytea[]) AS wrong;

SET LOCAL hotdash.tenant = 'tap-other';
SELECT throws_ok(format('SELECT hotdash.endpoint_rotate_secret(%s)', id), '42704', NULL, 'another tenant''s endpoint') FROM made WHERE name = 'shared';

SELECT * FROM finish();
ROLLBACK;
