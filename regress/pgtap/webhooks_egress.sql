-- Proxies, client certificates and consent of endpoints: what is taken and refused, what is shown, how rates are
-- bound. Rolls back; needs no preload. What an edge makes of them is in regress/e2e/440_egress.pl and 445_consent.pl.
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set ON_ERROR_ROLLBACK 1
\set ON_ERROR_STOP true

BEGIN;
SELECT * FROM no_plan();

SET LOCAL hotdash.now_override = '2030-01-01 00:00:00+00';
CREATE TEMPORARY TABLE pem (name text PRIMARY KEY, value text);
INSERT INTO pem VALUES
	('a', '-----BEGIN CERTIFICATE-----
MIIBojCCAUegAwIBAgIUehcTsbZoIHQN6j3NHR3VLCfMMPAwCgYIKoZIzj0EAwIw
JjERMA8GA1UECgwIaG90IGRhc2gxETAPBgNVBAMMCGNsaWVudCBhMB4XDTI2MTEy
MTA3NTI1M1oXDTM2MTExODA3NTI1M1owJjERMA8GA1UECgwIaG90IGRhc2gxETAP
BgNVBAMMCGNsaWVudCBhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEJUX77M8g
HTVvWdS2LTDaKPLW0z3jFdVfjDZLnPBnlV3P/eF/ngQCo9MT6DwJjapve+rA00yG
qlY1mLrokzpgxqNTMFEwHQYDVR0OBBYEFMujB82HUpJBq3RShT1UC4BUh/VrMB8G
A1UdIwQYMBaAFMujB82HUpJBq3RShT1UC4BUh/VrMA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDSQAwRgIhAKqZ1ukutxyaW5br04DnWUPk8T1uCTBIo5uizs5J
c1IzAiEAt2ECeL5lu6mnsf1UI3QHIjzzJtI+AWTSyKOsdTc3xq0=
-----END CERTIFICATE-----'),
	('a key', '-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgLnJS5iAP9t62aeM4
WDNRcIpDNnJVWaE1PrrRuYyWU3GhRANCAAQlRfvszyAdNW9Z1LYtMNoo8tbTPeMV
1V+MNkuc8GeVXc/94X+eBAKj0xPoPAmNqm976sDTTIaqVjWYuuiTOmDG
-----END PRIVATE KEY-----'),
	('b', '-----BEGIN CERTIFICATE-----
MIIBejCCASGgAwIBAgIUZz8ZbgwJwC2bGsCJvVzesjc+M2IwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIY2xpZW50IGIwHhcNMjYxMTIxMDc1MjUzWhcNMzYxMTE4MDc1
MjUzWjATMREwDwYDVQQDDAhjbGllbnQgYjBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABBJ1bsDWg/eKyElftuEYPWMs5HYRy1W58E5gS1MUNycAGphpcyxhTh7MEjFw
urWMOTsFZ23VUxCc+5TVf3Ot35CjUzBRMB0GA1UdDgQWBBQ5SLzTgdA8eYVUR5mY
kfL0ojDgJTAfBgNVHSMEGDAWgBQ5SLzTgdA8eYVUR5mYkfL0ojDgJTAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIErk6Fu/laLpeFGe/QlzdpTpplwc
MH04/771XQZAsUuYAiAF6LlJgKgmgK1iIli4vyH9LfuRldzq+y5wQjC8g2WedQ==
-----END CERTIFICATE-----'),
	('encrypted', '-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,BC51536E63CD78034CDFD64934A48AE6

Km9lB8oXzYjbjiIKXGAWmQ88lyyjZz0kyIvBReKHv0QsF8vRFvR4EXAIGcA+TS8J
G7y45ITXEAAEIG7Sx8b7jpxxntUAxNm3Sfl4xQqqIpBNvngywluPY65Ll8UZEDEV
XcTi3bj1ToZUNnzjVwEt/re+3smjCxb1d9r67AvTtEw=
-----END EC PRIVATE KEY-----');
CREATE FUNCTION pg_temp.pem(VARIADIC names text[]) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT jsonb_build_object('client_cert', string_agg(p.value, E'\n' ORDER BY n.i)) FROM unnest(names) WITH ORDINALITY AS n (name, i) JOIN pem AS p USING (name) $$;
CREATE FUNCTION pg_temp.made(options jsonb) RETURNS bigint LANGUAGE sql AS $$ SELECT hotdash.endpoint_create('http://a/', tenant => 'tap-egress', options => options) $$;
-- Of a new endpoint: a column of the view, and what its edge is handed of a sealed column.
CREATE FUNCTION pg_temp.shows(options jsonb, col text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE made bigint := pg_temp.made(options); BEGIN RETURN (SELECT to_jsonb(e) ->> col FROM hotdash.endpoints AS e WHERE e.id = made); END $$;
CREATE FUNCTION pg_temp.hands(options jsonb, what text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE made bigint := pg_temp.made(options);
	BEGIN RETURN (SELECT hotdash._endpoint_egress_open(made, what, CASE what WHEN 'cert' THEN o.cert ELSE o.proxy_login END) FROM hotdash._endpoint_option AS o WHERE o.endpoint_id = made); END $$;

/*
 * Proxies
 */

SELECT is(pg_temp.shows(jsonb_build_object('proxy', url), 'proxy'), shown, format('proxy %s', url)) FROM (VALUES
	('http://p:3128', 'http://p:3128'), ('HTTP://p.example:1', 'http://p.example:1'), ('http://10.0.0.1:8080/', 'http://10.0.0.1:8080'), ('socks5h://[::1]:1080', 'socks5h://[::1]:1080'),
	('http://user:secret@p:3128', 'http://p:3128'), ('http://user@p:3128', 'http://p:3128'), ('socks5h://u:a%40b@c@p:65535', 'socks5h://p:65535'), (NULL, NULL)) AS v (url, shown);
SELECT throws_ok(format('SELECT pg_temp.made(%L)', jsonb_build_object('proxy', url)), '22023', NULL, 'refused: ' || url) FROM unnest(ARRAY[
	'', 'p:3128', 'https://p:1', 'socks5://p:1', 'socks4://p:1', 'http://p', 'http://[::1]', 'http://:3128', 'http://p:0', 'http://p:65536', 'http://p:x', 'http://p:1/x', 'http://p:1?x', 'http://p:1#x',
	'http://@p:1', 'http://:x@p:1', 'http://%3a:x@p:1', 'http://u:%@p:1', 'http://u:%zz@p:1', 'http://u:%0a@p:1', 'http://u:%ff@p:1', 'http://' || repeat('u', 256) || '@p:1', 'http://u:' || repeat('u', 256) || '@p:1',
	'http://0x7f.1:1', 'http://2130706433:1', 'http://p q:1', E'http://p:1\r\nx', 'http://[::1:1', 'http://[x]:1']) AS url;
SELECT lives_ok(format('SELECT pg_temp.made(%L)', jsonb_build_object('proxy', 'http://' || repeat('u', 255) || ':' || repeat('p', 255) || '@p:1')), 'a login as long as it may be');
SELECT throws_ok($$SELECT pg_temp.made('{"proxy": 1}')$$, '22023', 'option "proxy" must be a JSON string', 'no text');
SELECT is(pg_temp.hands('{"proxy": "http://a%25:b:c%40@p:1"}', 'proxy'), 'a%:b:c@', 'the edge gets it decoded');
SELECT is(pg_temp.hands('{"proxy": "http://a@p:1"}', 'proxy'), 'a:', 'a user alone has an empty password');

/*
 * Client certificates
 */

SELECT results_eq(format($$SELECT client_cert_subject, client_cert_not_after, client_cert_fingerprint, client_cert_expires_soon FROM hotdash.endpoints WHERE id = %s$$, pg_temp.made(pg_temp.pem('a', 'a key'))),
	$$VALUES ('CN=client a,O=hot dash', timestamptz '2036-11-18 07:52:53+00', '755334af6471ac512858a8f4623b55f23054c46b9032182a360db40b571e6bde', false)$$, 'what is shown of one');
SELECT is(pg_temp.hands(pg_temp.pem('a key', 'a', 'b'), 'cert'),
	(SELECT string_agg(p.value || E'\n', '' ORDER BY p.name = 'a key', p.name) FROM pem AS p WHERE p.name IN ('a', 'a key', 'b')), 'the edge gets the chain, then the key, whatever their order');
SELECT throws_ok(format('SELECT pg_temp.made(%L)', options), '22023', 'malformed option "client_cert": ' || message, message) FROM (VALUES
	(pg_temp.pem('a'), 'it holds no private key in PEM format that is not encrypted'), (pg_temp.pem('b', 'encrypted'), 'it holds no private key in PEM format that is not encrypted'),
	(pg_temp.pem('a key'), 'it holds no certificate in PEM format'), (pg_temp.pem('b', 'a key'), 'its private key does not belong to its first certificate'),
	(pg_temp.pem('b', 'a', 'a key'), 'its private key does not belong to its first certificate'), ('{"client_cert": ""}', 'it holds no certificate in PEM format'),
	(jsonb_build_object('client_cert', '-----BEGIN CERTIFICATE-----' || E'\nAAAA\n' || '-----END CERTIFICATE-----'), 'it holds no certificate in PEM format'),
	(pg_temp.pem('a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a key'), 'it holds more than 7 certificates'),
	(jsonb_build_object('client_cert', repeat('x', 16385)), 'it is longer than 16 kB')) AS v (options, message);
SELECT throws_ok($$SELECT pg_temp.made('{"client_cert": {}}')$$, '22023', 'option "client_cert" must be a JSON string', 'no text');
SET LOCAL hotdash.now_override = '2036-11-18 07:52:53+00';
SELECT throws_ok(format('SELECT pg_temp.made(%L)', pg_temp.pem('a', 'a key')), '22023', 'malformed option "client_cert": its first certificate has expired', 'an expired one');
SELECT is(bool_and(client_cert_expires_soon), true, 'the view says when one does') FROM hotdash.endpoints WHERE client_cert_subject LIKE 'CN=client a%' AND tenant = 'tap-egress';
SET LOCAL hotdash.now_override = '2030-01-01 00:00:00+00';

/*
 * Changes
 */

CREATE TEMPORARY TABLE made AS SELECT pg_temp.made(pg_temp.pem('a', 'a key') || '{"proxy": "http://u:p@p:1", "consent": true, "signing": "ed25519"}') AS id;
CREATE FUNCTION pg_temp.shown() RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', proxy, client_cert_subject, consent, signing) FROM hotdash.endpoints JOIN made USING (id) $$;
CREATE FUNCTION pg_temp.change(changes jsonb) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM hotdash.endpoint_update(id, changes) FROM made; RETURN pg_temp.shown(); END $$;
SELECT is(pg_temp.shown(), 'http://p:1 CN=client a,O=hot dash pending ed25519', 'all options at once');
SELECT is(pg_temp.change('{"timeout": "3 s"}'), 'http://p:1 CN=client a,O=hot dash pending ed25519', 'what is not named stays');
SELECT is(pg_temp.change('{"options": {"proxy": "socks5h://q:2"}}'), 'socks5h://q:2 CN=client a,O=hot dash pending ed25519', 'another proxy');
SELECT is((SELECT o.proxy_login FROM hotdash._endpoint_option AS o JOIN made ON o.endpoint_id = made.id), NULL, 'has no login');
SELECT is(pg_temp.change('{"options": {"client_cert": null}}'), 'socks5h://q:2 pending ed25519', 'null takes one away');
SELECT throws_ok($$SELECT pg_temp.change('{"options": {"proxy": "q", "consent": false}}')$$, '22023', NULL, 'a wrong one');
SELECT is(pg_temp.shown(), 'socks5h://q:2 pending ed25519', 'changes nothing');
SELECT is(pg_temp.change('{"options": null}'), 'ed25519', 'null for all is none');
SELECT is((SELECT count(*) FROM hotdash._endpoint_option AS o JOIN made ON o.endpoint_id = made.id), 0::bigint, 'and no row is left');
SELECT is((SELECT f.held_until FROM hotdash._job_flow AS f JOIN made ON f.flow = hotdash._endpoint_flow_name(made.id)), NULL, 'nothing is held back any more');
SELECT throws_ok($$SELECT pg_temp.made('{"consent": "true"}')$$, '22023', 'option "consent" must be a JSON boolean', 'consent is yes or no');
SELECT is(pg_temp.shows('{"consent": false}', 'consent'), NULL, 'no is none');
SELECT is(pg_temp.shows('{"consent": true}', 'consent'), 'pending', 'yes waits for it');
SET LOCAL hotdash.tenant = 'tap-other';
SELECT is_empty($$SELECT FROM hotdash.endpoints WHERE proxy IS NOT NULL OR client_cert_subject IS NOT NULL OR consent IS NOT NULL$$, 'another tenant sees nothing of it');
RESET hotdash.tenant;

/*
 * Consent
 */

CREATE FUNCTION pg_temp.answer(status int, headers text) RETURNS text LANGUAGE sql AS
	$$ SELECT concat_ws(' ', a.granted, a.rate) FROM hotdash._consent_answer(status, encode(convert_to(headers, 'UTF8'), 'base64'), 'we.example') AS a $$;
SELECT is(pg_temp.answer(status, replace(headers, '|', E'\r\n')), expected, format('%s %s', status, headers)) FROM (VALUES
	(200, 'WebHook-Allowed-Origin: we.example|', 't'), (204, 'webhook-allowed-origin: WE.example|WEBHOOK-ALLOWED-RATE: 100|', 't 100'), (200, 'WebHook-Allowed-Origin: *|WebHook-Allowed-Rate: *|', 't'),
	(200, 'Allow: POST|', 'f'), (200, '', 'f'), (200, NULL, 'f'), (NULL, NULL, 'f'), (200, 'WebHook-Allowed-Origin: |', 'f'), (200, 'WebHook-Allowed-Origin: example|', 'f'), (200, 'WebHook-Allowed-Origin: *.example|', 'f'),
	(200, 'WebHook-Allowed-Origin: we.example|WebHook-Allowed-Origin: x|', 'f'), (200, 'WebHook-Allowed-Rate: 5|', 'f'), (200, 'WebHook-Allowed-Origin: *|WebHook-Allowed-Rate: 0|', 'f'),
	(200, 'WebHook-Allowed-Origin: *|WebHook-Allowed-Rate: -1|', 'f'), (200, 'WebHook-Allowed-Origin: *|WebHook-Allowed-Rate: many|', 'f'), (200, 'WebHook-Allowed-Origin: *|WebHook-Allowed-Rate: 99999999999|', 'f'),
	(302, 'WebHook-Allowed-Origin: *|', 'f'), (403, 'WebHook-Allowed-Origin: *|', 'f'), (500, 'WebHook-Allowed-Origin: *|', 'f')) AS v (status, headers, expected);

SELECT is((SELECT r.rate || ' in ' || r.period FROM hotdash._endpoint_rate(rate, period::interval, granted) AS r), expected, format('%s in %s, %s a minute', rate, period, granted)) FROM (VALUES
	(5, '1 s', NULL, '5 in 00:00:01'), (NULL, NULL, 30, '30 in 00:01:00'), (5, '1 s', 300, '5 in 00:00:01'), (5, '1 s', 120, '2 in 00:00:01'), (5, '1 s', 30, '5 in 00:01:00'), (50, '1 s', 30, '30 in 00:01:00'),
	(10, '7 s', 45, '5 in 00:00:07'), (100, '1 min', 30, '30 in 00:01:00'), (20, '1 h', 30, '20 in 01:00:00'), (100, '1 h', 30, '1 in 00:01:00'), (50, '1 h', 30, '30 in 01:00:00')) AS v (rate, period, granted, expected);
-- Whatever the two are: what keeps the one rate keeps both, in every window of a minute and of the endpoint's period.
SELECT is_empty($$
	SELECT a.rate, b.period, c.granted, r.*
	FROM unnest(ARRAY[1, 2, 7, 60, 1000, 1000000]) AS a (rate), unnest('{1 s,1.5 s,7 s,59 s,1 min,61 s,1 h,1 day}'::interval[]) AS b (period), unnest(ARRAY[1, 3, 59, 60, 61, 100000]) AS c (granted),
		hotdash._endpoint_rate(a.rate, b.period, c.granted) AS r
	WHERE r.rate < 1
		OR r.rate * ceil(60 / extract(epoch FROM r.period)) > c.granted
		OR r.rate * ceil(extract(epoch FROM b.period) / extract(epoch FROM r.period)) > a.rate$$, 'both rates are kept');

SELECT * FROM finish();
ROLLBACK;
