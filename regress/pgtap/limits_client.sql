-- Clients as keys of limits. regress/unit/client_test.c has more of the same.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(37);

SELECT is(hotdash.client_key(header, hops), key, format('%L behind %s: %s', header, hops, what))
FROM (VALUES
	('192.0.2.1', 1, '192.0.2.1', 'as one proxy saw it'),
	('6.6.6.6, 192.0.2.1', 1, '192.0.2.1', 'what the client sent does not count'),
	('6.6.6.6, 192.0.2.1, 10.0.0.1', 2, '192.0.2.1', 'two proxies'),
	('192.0.2.1', 5, '192.0.2.1', 'fewer addresses than proxies'),
	(' 192.0.2.1	,10.0.0.1, ', 2, '192.0.2.1', 'blanks, and nothing between commas'),
	('192.0.2.1:8080', 1, '192.0.2.1', 'a port'),
	('[2001:db8:1:2::9]:443', 1, '2001:db8:1:2::/64', 'brackets and a port'),
	('2001:0DB8:0:0:0:0:0:1', 1, '2001:db8::/64', 'one spelling'),
	('2001:0:0:1::9', 1, '2001:0:0:1::/64', 'the longest run of zeros'),
	('::ffff:192.0.2.1', 1, '192.0.2.1', 'IPv4 that is written in IPv6'),
	('::1', 1, '::/64', 'this machine'),
	('unknown', 1, 'unknown', 'a proxy that does not know'),
	('192.0.2.1, _hidden', 1, 'unknown', 'or does not tell'),
	('192.0.2.1, 1.2.3', 1, 'unknown', 'three numbers'),
	('192.0.2.1, 1.2.3.04', 1, 'unknown', 'a number as C reads it'),
	('192.0.2.1, 1.2.3.4 5', 1, 'unknown', 'two in one'),
	('192.0.2.1, fe80::1%eth0', 1, 'unknown', 'a zone'),
	('192.0.2.1, [::1', 1, 'unknown', 'half a bracket'),
	(repeat('x', 100), 1, 'unknown', 'far too long')) AS v (header, hops, key, what);

-- The server's own types say the same.
SELECT is(count(*) FILTER (WHERE hotdash.client_key(address) <> network(set_masklen(address::inet, 64))::text), 0::bigint, 'random addresses, as network() has them')
FROM (SELECT regexp_replace(left(md5(i::text), 32), '(....)(?=.)', '\1:', 'g') AS address FROM generate_series(1, 1000) AS i) AS r;
SELECT is(hotdash.client_key('1.2.3.4'), '1.2.3.4', 'one proxy by default');
SELECT is(hotdash.client_key('9.9.9.9, 1.2.3.4', NULL), '1.2.3.4', 'NULL is the default');

/*
 * The session's own
 */

CREATE TEMPORARY TABLE own AS SELECT CASE WHEN inet_client_addr() IS NULL THEN 'local' WHEN family(inet_client_addr()) = 4 THEN host(inet_client_addr())
	ELSE network(set_masklen(inet_client_addr(), 64))::text END AS key;
SELECT is(hotdash.client_key(), key, 'the address of this session') FROM own;
SELECT is(hotdash.client_key(), key, 'again') FROM own;
SELECT is(hotdash.client_key(NULL, 3), key, 'no header') FROM own;
SELECT is(hotdash.client_key('', 1), key, 'an empty one') FROM own;
SELECT is(hotdash.client_key(' , ,', 1), key, 'one of nothing') FROM own;
SELECT is(hotdash.client_key('1.2.3.4', 0), key, 'a header that nobody vouches for') FROM own;
SELECT is(hotdash.client_key(NULL, NULL), key, 'all by default') FROM own;

/*
 * Hostile ones
 */

CREATE TEMPORARY TABLE hostile AS SELECT fill, repeat(fill, 1000000 / length(fill)) AS header FROM unnest(ARRAY['1.2.3.4,', ',', 'x', '[']) AS fill;
SELECT is(hotdash.client_key(header || ', 192.0.2.1', 1), '192.0.2.1', format('a megabyte of %L before the address', fill)) FROM hostile;
SELECT is(hotdash.client_key(header, 2147483647), 'unknown', 'and no end of proxies') FROM hostile WHERE fill = '1.2.3.4,';

SELECT throws_ok($$SELECT hotdash.client_key('1.2.3.4', -1)$$, '22023', NULL, 'fewer than no proxies');
SELECT throws_ok($$SELECT hotdash.client_key('1.2.3.4', -2147483648)$$, '22023', NULL, 'far fewer');
SELECT is(hotdash.limit_allow('api', hotdash.client_key(gen_random_uuid()::text)), true, 'a key');

SELECT finish();
ROLLBACK;
