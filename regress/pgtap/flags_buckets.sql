-- Where units fall, in the ways of seven systems: the known answers of their own suites, and flagd's
-- rules for keys and weights. A million random units are compared by regress/conformance/buckets.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT * FROM no_plan();

--
-- flag_bucket
--

CREATE TEMPORARY TABLE bucket (algorithm text, salt text, unit text, place float8);
INSERT INTO bucket VALUES
	('flagd-v1', 'fractional-flag', 'jack', 1612168224 / 2147483647::float8),
	('flagd-v1', '', 'ejOoVL', 0),
	('flagd-v1', '', 'ceQdGm', 1 / 2147483647::float8),
	('flagd-v1', '', 'SI7p-', 1),
	('flagd-v1', '', '6LvT0', 2147483648 / 2147483647::float8),
	('flagd-v2', 'fractional-flag', 'jack', 2682799072 / 4294967296::float8),
	('flagd-v2', '', 'ejOoVL', 0),
	('flagd-v2', '', 'ceQdGm', 4294967295 / 4294967296::float8),
	('flagd-v2', 'jon@', 'company.com', 1557731397 / 4294967296::float8),
	('flagd-v3', 'fractional-flag-shorthand', 'user-1', 1080331339 / 4294967296::float8),
	('unleash', 'Feature.flexibleRollout.10', '174', 0.09),
	('unleash', 'Feature.flexibleRollout.10', '499', 0.31),
	('unleash', 'Feature.flexibleRollout.userId.55', '25', 0.54),
	('growthbook-1', '', 'a', 0.22),
	('growthbook-1', '', 'b', 0.077),
	('growthbook-1', 'b', 'a', 0.946),
	('growthbook-1', 'ef', 'd', 0.652),
	('growthbook-1', 'asdf', '8952klfjas09ujk', 0.549),
	('growthbook-1', '', '123', 0.011),
	('growthbook-1', '', '___)((*":&', 0.563),
	('growthbook-1', '', 'é', 0.94),
	('growthbook-2', 'seed', 'a', 0.0505),
	('growthbook-2', 'seed', 'b', 0.2696),
	('growthbook-2', 'foo', 'ab', 0.2575),
	('growthbook-2', 'foo', 'def', 0.2019),
	('growthbook-2', '89123klj', '8952klfjas09ujkasdf', 0.124),
	('growthbook-2', '90850943850283058242805', '123', 0.7516),
	('growthbook-2', '()**(%$##$%#$#', '___)((*":&', 0.0128),
	('launchdarkly', 'hashKey.saltyA', 'userKeyA', 0.4215758743392494),
	('launchdarkly', 'hashKey.saltyA', 'userKeyB', 0.6708484965703435),
	('launchdarkly', 'hashKey.saltyA', 'userKeyC', 0.1034310617276969),
	('launchdarkly', '61', 'userKeyA', 0.0980120652476667),
	('launchdarkly', '61', 'userKeyB', 0.1448377737757314),
	('launchdarkly', '61', 'userKeyC', 0.9242640945125551);

SELECT is(hotdash.flag_bucket(algorithm, salt, unit), place, format('%s of %L and %L', algorithm, salt, unit))
FROM bucket;

SELECT throws_ok($$SELECT hotdash.flag_bucket('murmur', 'a', 'b')$$, '22023', 'there is no bucketing "murmur"',
	'an unknown algorithm is refused');
SELECT throws_ok(format('SELECT hotdash.flag_bucket(%L, %L, %L)', a, s, u), '22004', NULL, 'NULL is refused')
FROM (VALUES (NULL, 'a', 'b'), ('unleash', NULL, 'b'), ('unleash', 'a', NULL)) AS t (a, s, u);

--
-- flagd-v3: values of every type, the vectors of flagd's own suite
--

CREATE TEMPORARY TABLE cell (unit jsonb, n int);
INSERT INTO cell VALUES
	('true', 5),
	('false', 1),
	('"user1"', 22),
	('"user2"', 16),
	('123', 20),
	('456', 12),
	('1.23', 14),
	('4.56', 18),
	('"123"', 22),
	('"true"', 24),
	('"false"', 1),
	('"null"', 8),
	('"1.23"', 4),
	('0', 8),
	('1.0', 23),
	('1', 23),
	('1.0000000000000001', 23),
	('-2.0', 12),
	('-2', 12),
	('9007199254740992.0', 10),
	('9007199254740992', 10),
	('0.0', 8),
	('-0.0', 8),
	('0', 8),
	('2147483647', 10),
	('2147483648', 25),
	('-2147483648', 8),
	('-2147483649', 18),
	('9007199254740991', 2),
	('23', 21),
	('24', 11),
	('255', 13),
	('256', 13),
	('65535', 4),
	('65536', 11),
	('4294967295', 14),
	('4294967296', 19),
	('-24', 4),
	('-25', 16),
	('1e20', 19),
	('-1e20', 25),
	('65504.0', 16),
	('-65504.0', 9),
	('0.00006103515625', 22),
	('0.000000059604644775390625', 23),
	('65505.0', 17),
	('-65505.0', 17),
	('3.4028234663852886e+38', 10),
	('-3.4028234663852886e+38', 3),
	('1.1754943508222875e-38', 24),
	('3.5e+38', 1),
	('-3.5e+38', 6),
	('1.7976931348623157e+308', 17),
	('-1.7976931348623157e+308', 9),
	('2.2250738585072014e-308', 11),
	('4.9406564584124654e-324', 2),
	('{"a": 1, "b": 2}', 23),
	('{"b": 2, "a": 1}', 23),
	('{"a": 1, "b": 2, "c": 3}', 18),
	('{"c": 3, "a": 1, "b": 2}', 18),
	('{"z": 1, "aa": 2}', 21),
	('{"aa": 2, "z": 1}', 21),
	('{"a": {"b": 1}, "b": 2}', 9),
	('{"b": 2, "a": {"b": 1}}', 9),
	('{"a": true, "bbb": 1, "c": "text", "dddd": 2.5}', 25),
	('{"c": "text", "bbb": 1, "a": true, "dddd": 2.5}', 25),
	('{"aaa": 1, "ÿ": 2}', 12),
	('{"ÿ": 2, "aaa": 1}', 12),
	('{"": 2, "abc": 1}', 25),
	('{"key": -0.0}', 10),
	('{"key": 0}', 10),
	('{"key": 0.0}', 10),
	('{"b": -0.0, "a": {"b": 1}, "c": 0.0}', 8),
	('{"c": 0.0, "b": -0.0, "a": {"b": 1}}', 8),
	('{"café": "façade", "b": {"résumé": {"ÿ": true}}}', 22),
	('{}', 3),
	('{"a": {} }', 20),
	('{"b": 2, "a": {} }', 20),
	('{"a": {}, "b": {}}', 21),
	('{"a": {}, "b": []}', 7),
	('{"c": 0.0, "a": []}', 18),
	('{"c": 0.0, "b": -0.0, "a": {"b": []}}', 9),
	('{"a": [] }', 12),
	('{"a": [1, [], 3], "b": null}', 3),
	('{"a": ["a", "b", {}], "b": [1, null, 2]}', 23),
	('{"a": [1, "two", true, [], null]}', 23),
	('{"a": [false, 2.5, ""], "b": [], "c": [{}], "c": null}', 15),
	('{"x": [{"a": 1}, {"b": 2}, {"b": null}]}', 3),
	('{"x": [{"a": {"b": []}}] }', 16),
	('{"x": [{"a": {"b": null}}] }', 6),
	('{"x": [{"a": {"b": {}}}] }', 2),
	('{"": "", "": [], "": {}, "": null}', 25),
	('{"": {"": ""}, "": ["", {"": ""}], "": {"": {"": ""}}}', 11),
	('{"a": [[[[[]]]]] }', 15),
	('{"a": [[[[null]]]] }', 7),
	('{"a": {"b": {"c": {"d": {}}} } }', 21),
	('{"a": {"b": {"c": {"d": null}} } }', 19),
	('""', 4),
	('"a"', 6),
	('"12345678901234567890123"', 4),
	('"123456789012345678901234"', 14),
	(to_jsonb(repeat('a', 255)), 18),
	(to_jsonb(repeat('a', 256)), 7),
	('"あいうえおかき"', 17),
	('"あいうえおかきく"', 16),
	('"ééééééééééé"', 16),
	('"éééééééééééé"', 19),
	('"café façade résumé café"', 9),
	('"A\\u0000B"', 15),
	('"e\\u0301"', 7),
	('"\\uD83D\\uDE00"', 23);

SET LOCAL hotdash.flag_bucketing = 'flagd-v3';
SELECT is(hotdash.jsonlogic((SELECT jsonb_build_object('fractional', '[{"var": "unit"}]' || jsonb_agg(jsonb_build_array(n, 4) ORDER BY n))
	FROM generate_series(1, 25) AS n), jsonb_build_object('unit', unit)), to_jsonb(n), format('flagd-v3 of %s', left(unit::text, 60)))
FROM cell;

--
-- fractional: keys, weights and cuts
--

CREATE TEMPORARY TABLE split (bucketing text, arguments jsonb, data jsonb, variant jsonb, why text);
INSERT INTO split VALUES
	('flagd-v1', '["fractional-flagjack", ["clubs", 25], ["diamonds", 25], ["hearts", 25], ["spades", 25]]', '{}', '"spades"', 'a constant key'),
	('flagd-v2', '["fractional-flagjack", ["clubs", 25], ["diamonds", 25], ["hearts", 25], ["spades", 25]]', '{}', '"hearts"', 'a constant key'),
	('flagd-v3', '["fractional-flagjack", ["clubs", 25], ["diamonds", 25], ["hearts", 25], ["spades", 25]]', '{}', '"diamonds"', 'a constant key'),
	('flagd-v2', '[{"cat": ["fractional-flag", {"var": "name"}]}, ["clubs", 25], ["diamonds", 25], ["hearts", 25], ["spades", 25]]', '{"name": "jack"}', '"hearts"', 'a key in parts'),
	('flagd-v3', '[{"cat": ["fractional-flag", {"var": "name"}]}, ["clubs", 25], ["diamonds", 25], ["hearts", 25], ["spades", 25]]', '{"name": "jack"}', '"diamonds"', 'a key in parts'),
	('flagd-v2', '[{"cat": ["jon@", {"var": "absent"}, "company.com"]}, ["a", 36], ["b", 1], ["c", 63]]', '{}', '"b"', 'a missing part is nothing'),
	('flagd-v2', '[{"cat": ["x", 12]}, ["a", 1], ["b", 1]]', '{}', to_jsonb(CASE WHEN hotdash.flag_bucket('flagd-v2', 'x', '12') < 0.5 THEN 'a' ELSE 'b' END), 'a part that is a number'),
	('flagd-v2', '[{"var": "k"}, ["lower", 50], ["upper", 50]]', '{"k": "ejOoVL"}', '"lower"', 'hash 0'),
	('flagd-v2', '[{"var": "k"}, ["lower", 50], ["upper", 50]]', '{"k": "SI7p-"}', '"lower"', 'hash 2^31 - 1'),
	('flagd-v2', '[{"var": "k"}, ["lower", 50], ["upper", 50]]', '{"k": "6LvT0"}', '"upper"', 'hash 2^31'),
	('flagd-v2', '[{"var": "k"}, ["lower", 50], ["upper", 50]]', '{"k": "ceQdGm"}', '"upper"', 'hash 2^32 - 1'),
	('flagd-v1', '[{"var": "k"}, ["lower", 50], ["upper", 50]]', '{"k": "ejOoVL"}', '"lower"', 'hash 0'),
	('flagd-v1', '[{"var": "k"}, ["lower", 50], ["upper", 50]]', '{"k": "SI7p-"}', 'null', 'hash 2^31 - 1 falls nowhere'),
	('flagd-v1', '[{"var": "k"}, ["lower", 50], ["upper", 50]]', '{"k": "6LvT0"}', 'null', 'hash 2^31 falls nowhere'),
	('flagd-v1', '[{"var": "k"}, ["lower", 50], ["upper", 50]]', '{"k": "ceQdGm"}', '"lower"', 'hash 2^32 - 1 is -1'),
	('flagd-v2', '[["a", 36], ["b", 1], ["c", 63]]', '{"targetingKey": "jon@company.com"}', '"b"', 'the targeting key'),
	('flagd-v2', '[{"var": "absent"}, ["a", 36], ["b", 1], ["c", 63]]', '{"targetingKey": "jon@company.com"}', '"b"', 'a missing key is the targeting key'),
	('flagd-v2', '[null, ["a", 36], ["b", 1], ["c", 63]]', '{"targetingKey": "jon@company.com"}', '"b"', 'a null key likewise'),
	('flagd-v3', '[{"var": "absent"}, ["a", 1]]', '{"targetingKey": "jon@company.com"}', 'null', 'but not from v3 on'),
	('flagd-v2', '[["a", 1]]', '{}', 'null', 'no key at all'),
	('flagd-v2', '[["a", 1]]', '{"targetingKey": ""}', 'null', 'an empty targeting key'),
	('flagd-v2', '[["a", 1]]', '{"targetingKey": 7}', 'null', 'a targeting key that is no string'),
	('flagd-v3', '[["a", 1]]', '{"targetingKey": 7}', 'null', 'a targeting key that is no string'),
	('flagd-v2', '[{"var": "k"}, ["a", 1]]', '{"k": "", "targetingKey": "t"}', '"a"', 'an empty key is a key'),
	('flagd-v2', '[{"var": "k"}, ["a", 1]]', '{"k": 7, "targetingKey": "t"}', 'null', 'a number is no key'),
	('flagd-v2', '[{"var": "k"}, ["a", 1]]', '{"k": true, "targetingKey": "t"}', 'null', 'a boolean is no key'),
	('flagd-v3', '[{"var": "k"}, ["a", 1]]', '{"k": 7}', '"a"', 'from v3 on a number is one'),
	('flagd-v2', '[{"var": "k"}, ["b", 1]]', '{"k": ["a", 1], "targetingKey": "ejOoVL"}', '"a"', 'an array is a weight and no key'),
	('flagd-v2', '[]', '{"targetingKey": "t"}', 'null', 'nothing to split'),
	('flagd-v2', '["k"]', '{}', 'null', 'a key and nothing to split'),
	('flagd-v2', '[["a", 1]]', '{"targetingKey": "t"}', '"a"', 'one variant'),
	('flagd-v1', '[["a", 1]]', '{"targetingKey": "t"}', 'null', 'one variant, which v1 does not take'),
	('flagd-v1', '[["a", 1], ["b", 0]]', '{"targetingKey": ""}', '"a"', 'an empty targeting key, which it does'),
	('flagd-v2', '[["a"], ["b", null]]', '{"targetingKey": "6LvT0"}', '"b"', 'a weight that is missing or null is 1'),
	('flagd-v2', '[["a", 0.5], ["b", 0.5]]', '{"targetingKey": "t"}', 'null', 'a weight with a fraction'),
	('flagd-v1', '[["a", 1.9], ["b", 0.9]]', '{"targetingKey": "ejOoVL"}', '"a"', 'v1 cuts fractions off'),
	('flagd-v2', '[["a", "x"], ["b", 1]]', '{"targetingKey": "t"}', 'null', 'a weight that is no number'),
	('flagd-v1', '[["a", "x"], ["b", 0]]', '{"targetingKey": "ejOoVL"}', '"a"', 'which is 1 in v1'),
	('flagd-v2', '[["a", -50], ["b", 100]]', '{"targetingKey": "ejOoVL"}', '"b"', 'a weight below 0 is 0'),
	('flagd-v1', '[["a", -50], ["b", 100]]', '{"targetingKey": "ejOoVL"}', '"b"', 'a weight below 0 in v1'),
	('flagd-v2', '[["a", 0], ["b", 0]]', '{"targetingKey": "t"}', 'null', 'no weight at all'),
	('flagd-v1', '[["a", 0], ["b", 0]]', '{"targetingKey": "t"}', 'null', 'no weight at all'),
	('flagd-v2', '[["a", 1], ["b", 2147483646]]', '{"targetingKey": "bY9fO-"}', '"a"', 'the largest sum'),
	('flagd-v2', '[["a", 1], ["b", 2147483647]]', '{"targetingKey": "t"}', 'null', 'one that is larger'),
	('flagd-v2', '[["a", 1e300], ["b", -1e300]]', '{"targetingKey": "t"}', 'null', 'one that is much larger'),
	('flagd-v2', '[[], ["b", 1]]', '{"targetingKey": "t"}', 'null', 'a pair without a variant'),
	('flagd-v2', '["k", "a", "b"]', '{}', 'null', 'variants without brackets'),
	('flagd-v2', '[[true, 1]]', '{"targetingKey": "t"}', 'true', 'a variant that is a boolean'),
	('flagd-v2', '[[null, 1]]', '{"targetingKey": "t"}', 'null', 'a variant that is null'),
	('flagd-v2', '[[["a"], 1]]', '{"targetingKey": "t"}', 'null', 'a variant that is an array'),
	('flagd-v2', '[[{"var": "v"}, {"var": "w"}], ["b", 1]]', '{"targetingKey": "ejOoVL", "v": "x", "w": 5}', '"x"', 'a variant and a weight that are rules'),
	('flagd-v2', '[{"var": "k"}, [{"var": "v"}, {"var": "w"}], ["b", 1]]', '{"k": "ejOoVL", "v": "x", "w": 0}', '"b"', 'and a key'),
	('flagd-v2', '[{"var": "k"}, [{"var": "v"}, 1], ["b", 1]]', '{"k": "6LvT0", "v": {"an": "object"}}', 'null', 'all variants are read, also those not chosen'),
	('flagd-v2', '{"var": "all"}', '{"all": ["ejOoVL", ["a", 1], ["b", 1]]}', '"a"', 'all of it comes out of the data'),
	('unleash', '["Feature.Variants.C:232", ["a", 33], ["b", 33], ["c", 33]]', '{}', '"a"', 'place 18 of 99'),
	('unleash', '["Feature.Variants.C:607", ["a", 33], ["b", 33], ["c", 33]]', '{}', '"b"', 'place 58'),
	('unleash', '["Feature.Variants.C:656", ["a", 33], ["b", 33], ["c", 33]]', '{}', '"c"', 'place 94'),
	('unleash', '["Feature.Variants.C:232", ["a", 17], ["b", 1], ["c", 81]]', '{}', '"b"', 'places begin with 1'),
	('growthbook-1', '["a", ["a", 22], ["b", 78]]', '{}', '"b"', 'the end of a range is not in it'),
	('growthbook-1', '["a", ["a", 0.221], ["b", 0.779]]', '{}', '"a"', 'weights may have a fraction'),
	('growthbook-2', '["seeda", ["a", 505], ["b", 9495]]', '{}', '"b"', 'the end of a range'),
	('growthbook-2', '["seeda", ["a", 506], ["b", 9494]]', '{}', '"a"', 'before it'),
	('launchdarkly', '["hashKey.saltyA.userKeyA", ["a", 42157], ["b", 57843]]', '{}', '"b"', 'of 100000'),
	('launchdarkly', '["hashKey.saltyA.userKeyA", ["a", 42158], ["b", 57842]]', '{}', '"a"', 'of 100000'),
	('launchdarkly', '["61.userKeyC", ["a", 0.5], ["b", 0.494], ["c", 0]]', '{}', '"b"', 'weights that sum to about 1'),
	('growthbook-1', '[{"var": "absent"}, ["a", 1]]', '{"targetingKey": "t"}', 'null', 'a missing key is none, as from v3 on');

CREATE FUNCTION pg_temp.split(bucketing text, arguments jsonb, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('hotdash.flag_bucketing', bucketing, true);
	RETURN hotdash.jsonlogic(jsonb_build_object('fractional', arguments), data, 'js');
END
$$;
SELECT is(coalesce(pg_temp.split(bucketing, arguments, data), 'null'), variant, format('%s: %s', bucketing, why))
FROM split;

-- A number is a key to the vendors that hash it as it is written.
SELECT is(pg_temp.split(b, '[{"var": "k"}, ["a", 1], ["b", 1]]', '{"k": 1234}'), pg_temp.split(b, '[{"var": "k"}, ["a", 1], ["b", 1]]', '{"k": "1234"}'),
	format('%s: a number is its digits', b))
FROM unnest('{unleash,growthbook-1,growthbook-2,launchdarkly}'::text[]) AS b;

-- Without a key each system makes its own of an empty flag key here: what flag_bucket says of it decides.
SELECT is(count(*) FILTER (WHERE pg_temp.split(b, '[["on", 300], ["off", 700]]', jsonb_build_object('targetingKey', n::text)) =
	to_jsonb(CASE WHEN hotdash.flag_bucket(b, '', n::text) < 0.3 THEN 'on'::text ELSE 'off' END)), 1000::bigint,
	format('%s: 30 %% are those that flag_bucket has below 0.3', b))
FROM unnest('{flagd-v1,flagd-v2,flagd-v3,growthbook-1,growthbook-2,launchdarkly}'::text[]) AS b, generate_series(1, 1000) AS n
GROUP BY b;

--
-- hd_group
--

CREATE TEMPORARY TABLE part AS
SELECT hotdash.jsonlogic('{"hd_group": ["checkout", 0, 33.3]}', key)::bool AS a,
	hotdash.jsonlogic('{"hd_group": ["checkout", 33.3, 50, {"var": "targetingKey"}]}', key)::bool AS b,
	hotdash.jsonlogic('{"hd_group": ["checkout", 50, 100]}', key)::bool AS c
FROM generate_series(1, 1000) AS n, jsonb_build_object('targetingKey', 'user' || n) AS key;
SELECT is(count(*) FILTER (WHERE a::int + b::int + c::int = 1), 1000::bigint, 'each unit is in exactly one part of a group') FROM part;
SELECT cmp_ok(count(*) FILTER (WHERE a), '>', 250::bigint, 'and a part has about its share') FROM part;
SELECT is(count(*) FILTER (WHERE (hotdash.flag_bucket('flagd-v2', 'checkout:', n::text) < 0.4) =
	hotdash.jsonlogic('{"hd_group": ["checkout", 0, 40, {"var": "u"}]}', jsonb_build_object('u', n::text))::bool), 1000::bigint,
	'the place is that of murmur3 over the group, a colon and the unit')
FROM generate_series(1, 1000) AS n;
SELECT is(hotdash.jsonlogic('{"hd_group": ["checkout", 0, 100]}', '{}', 'js'), 'null', 'no unit is in no group');
SELECT throws_ok(format('SELECT hotdash.jsonlogic(%L, %L)', rule, '{}'), '22023', NULL, format('%s is refused', rule))
FROM unnest(ARRAY['{"hd_group": ["a"]}', '{"hd_group": ["a", 0, 101]}', '{"hd_group": ["a", "0", 10]}', '{"hd_group": "a"}']) AS rule;

SELECT * FROM finish();
ROLLBACK;
