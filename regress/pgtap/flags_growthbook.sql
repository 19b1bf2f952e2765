-- Flags from GrowthBook: what documents become, conditions as JavaScript understands them, rules and experiments,
-- prerequisites, sticky buckets, what is refused, and the way back. Rolls back; needs no preload. What is expected was
-- asked of GrowthBook's own SDK. The public cases are run by regress/conformance/growthbook.
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set ON_ERROR_ROLLBACK 1
\set ON_ERROR_STOP true

BEGIN;
SELECT * FROM no_plan();

SET LOCAL hotdash.environment = '';
SET LOCAL hotdash.flag_context = '';

CREATE FUNCTION pg_temp.import_one(rules jsonb, shared jsonb DEFAULT '{}') RETURNS int LANGUAGE sql AS $$
	SELECT hotdash.flags_import(shared || jsonb_build_object('features', jsonb_build_object('tap-gb', jsonb_build_object('defaultValue', 'no', 'rules', rules))), 'growthbook')
$$;

-- the value of a feature whose only rule is this one
CREATE FUNCTION pg_temp.by_rule(rule jsonb, context jsonb, shared jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_temp.import_one(jsonb_build_array(rule), shared);
		RETURN (hotdash.flag_evaluate('tap-gb', 'null', context)).value;
	END
$$;

CREATE FUNCTION pg_temp.details(context jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT r.metadata -> 'growthbook' || jsonb_build_object('value', r.value, 'variant', r.variant, 'reason', r.reason)
		FROM hotdash.flag_evaluate('tap-gb', 'null', context) AS r
$$;

/*
 * What a feature becomes
 */

SELECT is(hotdash.flags_import('{"status": 200, "dateUpdated": "2026-01-01", "features": {
	"tap-gb": {"defaultValue": "no", "rules": [{"force": "a"}, {"id": "fr_1", "force": ["b"]}, {"id": "fr_1", "force": null},
		{"key": "exp", "hashVersion": 2, "variations": [1, {"x": 2}, null], "meta": [{"key": "control"}, {}, {"key": "c", "name": "See"}]},
		{"variations": [true, false], "tracks": [1]}, {"parentConditions": [{"id": "tap-other", "gate": true}]}]},
	"tap-plain": {"defaultValue": true}, "tap-empty": {}}}', 'growthbook'), 3, 'the number of flags');
SELECT is(definition -> 'variants', '{"default": "no", "rule/1": "a", "rule/fr_1": ["b"], "rule/fr_1#2": null, "exp/control": 1, "exp/1": {"x": 2},
	"exp/c": null, "tap-gb/0": true, "tap-gb/1": false, "prerequisite": null}', 'values are variants with lasting names')
	FROM hotdash._flag WHERE kind = 'f' AND key = 'tap-gb';
SELECT is(definition - '{variants,targeting}'::text[], '{"state": "ENABLED", "defaultVariant": "default", "bucketing": "growthbook-2"}', 'the rest of the definition')
	FROM hotdash._flag WHERE kind = 'f' AND key = 'tap-gb';
SELECT is(definition #>> '{bucketing}', 'growthbook-1', 'the bucketing of a feature that hashes nothing') FROM hotdash._flag WHERE kind = 'f' AND key = 'tap-plain';
SELECT row_eq($$SELECT value, variant, reason, error_code, error_message, metadata FROM hotdash.flag_evaluate('tap-plain', 'false')$$,
	ROW('true'::jsonb, 'default'::text, 'STATIC'::text, NULL::text, NULL::text, '{"growthbook": {"source": "defaultValue", "ruleId": ""}}'::jsonb), 'a feature without rules is STATIC');
SELECT row_eq($$SELECT value, variant, reason, error_code FROM hotdash.flag_evaluate('tap-empty', '"mine"')$$,
	ROW('"mine"'::jsonb, 'default'::text, 'STATIC'::text, NULL::text), 'a value that is null gives the default of the caller');
SELECT ok(NOT hotdash.flag_enabled('tap-empty', default_value => true), 'and is off whatever the default');
SELECT is(hotdash.flags_import('{}', 'growthbook'), 0, 'a document of nothing');
SELECT is(hotdash.flags_import('{"features": null, "experiments": null, "savedGroups": null}', 'growthbook'), 0, 'nor is null anything');

CREATE FUNCTION pg_temp.is_on(value jsonb) RETURNS bool LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM hotdash.flags_import(jsonb_build_object('features', jsonb_build_object('tap-gb', jsonb_build_object('defaultValue', value))), 'growthbook');
		RETURN hotdash.flag_enabled('tap-gb');
	END
$$;
SELECT is(pg_temp.is_on(v.value), v.on_, format('isOn of %s', v.value))
	FROM (VALUES ('true'::jsonb, true), ('false', false), ('0', false), ('""', false), ('null', false), ('"0"', true), ('"false"', true), ('[]', true), ('{}', true), ('-1', true)) AS v (value, on_);

/*
 * Conditions
 */

SELECT is(pg_temp.by_rule(jsonb_build_object('force', 'yes', 'condition', v.condition::jsonb), v.context::jsonb) = '"yes"', v.holds, format('%s for %s', v.condition, v.context))
FROM (VALUES
	-- JavaScript's conversions
	('{"a": "1"}', '{"a": 1}', true), ('{"a": "1.5"}', '{"a": 1.50}', true), ('{"a": "1e+21"}', '{"a": 1000000000000000000000}', true),
	('{"a": "null"}', '{}', true), ('{"a": "true"}', '{"a": true}', true), ('{"a": "1,2"}', '{"a": [1, 2]}', true),
	('{"a": "[object Object]"}', '{"a": {"b": 1}}', true), ('{"a": ""}', '{"a": []}', true),
	('{"a": 0}', '{}', true), ('{"a": 1}', '{"a": true}', true), ('{"a": 5}', '{"a": " 5 "}', true), ('{"a": 5}', '{"a": [5]}', true),
	('{"a": 0}', '{"a": {}}', false), ('{"a": true}', '{"a": []}', true), ('{"a": false}', '{"a": ""}', true), ('{"a": false}', '{"a": 0}', true),
	('{"a": null}', '{"a": false}', false),
	-- whole arrays and objects
	('{"a": {}}', '{"a": {}}', true), ('{"a": []}', '{"a": []}', true), ('{"a": [1, 2]}', '{"a": [1.0, 2]}', true), ('{"a": {"b": [1]}}', '{"a": {"b": [1]}}', true),
	('{"a": ["1"]}', '{"a": [1]}', false), ('{"a": {"b": 1, "$c": 2}}', '{"a": {"b": 1, "$c": 2}}', true), ('{"a": []}', '{}', false),
	-- paths
	('{"a.b.c": 1}', '{"a": {"b": {"c": 1}}}', true), ('{"a.length": 2}', '{"a": [5, 6]}', true), ('{"a.1": 6}', '{"a": [5, 6]}', true),
	('{"a.01": 6}', '{"a": [5, 6]}', false), ('{"a.b": null}', '{"a": "text"}', true), ('{"a.length": 4}', '{"a": "text"}', false),
	-- comparisons
	('{"a": {"$eq": 1}}', '{"a": "1"}', false), ('{"a": {"$eq": [1]}}', '{"a": [1]}', false), ('{"a": {"$ne": [1]}}', '{"a": [1]}', true),
	('{"a": {"$ne": 1}}', '{}', true), ('{"a": {"$eq": null}}', '{}', true), ('{"a": {"$gt": "10"}}', '{"a": "9"}', true), ('{"a": {"$gt": 10}}', '{"a": "9"}', false),
	('{"a": {"$lte": null}}', '{"a": 0}', true), ('{"a": {"$lt": "x"}}', '{"a": 1}', false), ('{"a": {"$gte": "x"}}', '{"a": 1}', false),
	('{"a": {"$lt": [3]}}', '{"a": 2}', true), ('{"a": {"$lt": "￿"}}', '{"a": "😀"}', true), ('{"a": {"$exists": 1}}', '{"a": 0}', true), ('{"a": {"$exists": ""}}', '{"a": null}', true),
	-- sets
	('{"a": {"$in": [null]}}', '{}', true), ('{"a": {"$in": ["1", 2]}}', '{"a": 1}', false), ('{"a": {"$in": [[1]]}}', '{"a": [1]}', false), ('{"a": {"$in": [1, 1.5, true]}}', '{"a": [0, true]}', true),
	('{"a": {"$ini": ["ÉCOLE"]}}', '{"a": "école"}', true), ('{"a": {"$ini": ["ΟΔΟΣ"]}}', '{"a": "οδος"}', true), ('{"a": {"$nini": ["x", 1]}}', '{"a": ["X"]}', false),
	('{"a": {"$inGroup": "nobody"}}', '{"a": 1}', false), ('{"a": {"$notInGroup": "nobody"}}', '{"a": 1}', true),
	-- elements
	('{"a": {"$elemMatch": {"$lt": 1}}}', '{"a": [0, ""]}', false), ('{"a": {"$elemMatch": {"b": 1, "c.d": 2}}}', '{"a": [1, {"b": 1, "c": {"d": 2}}]}', true),
	('{"a": {"$elemMatch": {"b": null}}}', '{"a": ["text"]}', true), ('{"a": {"$elemMatch": {"$not": {"$gt": 3}}}}', '{"a": [5, 2]}', true),
	('{"a": {"$all": [1, {"$gt": 5}]}}', '{"a": ["1", 6]}', true), ('{"a": {"$all": []}}', '{"a": []}', true), ('{"a": {"$alli": ["É", "null"]}}', '{"a": ["é", null]}', true),
	('{"a": {"$size": {"$in": [1, 2]}}}', '{"a": [7]}', true), ('{"a": {"$size": "1"}}', '{"a": [7]}', true), ('{"a": {"$size": 0}}', '{}', false),
	-- types
	('{"a": {"$type": "null"}}', '{}', true), ('{"a": {"$type": "array"}}', '{"a": []}', true), ('{"a": {"$type": ["array"]}}', '{"a": []}', false),
	-- several at once, and what is not known
	('{"$or": [{"a": 1}], "$nor": [{"a": 2}], "$and": [], "$not": {"a": 3}}', '{"a": 1}', true), ('{"$nor": []}', '{}', false),
	('{"a": {"$unknown": 1}}', '{"a": 1}', false), ('{"a": {"$not": {"$unknown": 1}}}', '{"a": 1}', true), ('{"$unknown": 1}', '{"$unknown": 1}', true),
	-- versions
	('{"a": {"$vgt": "1.9"}}', '{"a": "1.10"}', true), ('{"a": {"$veq": "0"}}', '{}', true), ('{"a": {"$veq": "1.5"}}', '{"a": 1.50}', true), ('{"a": {"$vlt": "1.0.0"}}', '{"a": "1.0.0-rc.1+5"}', true),
	('{"a": {"$veq": "1.2.3"}}', '{"a": "v1.2.3+x"}', true), ('{"a": {"$veq": "1.2.3"}}', '{"a": "V1.2.3"}', false), ('{"a": {"$vgt": "99999.0.0"}}', '{"a": "100000.0.0"}', false), ('{"a": {"$vne": true}}', '{"a": {}}', false)
) AS v (condition, context, holds);

SELECT is(pg_temp.by_rule(jsonb_build_object('force', 'yes', 'condition', jsonb_build_object('a', jsonb_build_object(v.op, v.pattern))), jsonb_build_object('a', v.subject)) = '"yes"',
	v.matches, format('%s %s on %s', v.op, v.pattern, to_json(v.subject)))
FROM (VALUES
	('$regex', '^a.c$', 'abc', true), ('$regex', '^a.c$', E'a\nc', false), ('$regex', '^a.c$', E'a\u2028c', false), ('$regex', '^..$', '😀', true), ('$regex', '^.$', '😀', false), ('$regex', '^[^x]+$', E'a\nb', true),
	('$regex', 'b$', E'b\n', false), ('$regex', '^b', E'a\nb', false), ('$regex', '\bfoo\b', 'a foo b', true), ('$regex', '\bfoo\b', 'éfoo', true), ('$regex', '\Boo', 'foo', true), ('$regex', '^\w+$', 'é', false), ('$regex', '^\d+$', '٣', false),
	('$regex', '^\s$', E'\uFEFF', true), ('$regex', '^[\w-]+$', 'a-b', true), ('$regex', '[]', 'x', false), ('$regex', '^[^]$', E'\n', true), ('$regex', '^[\b]$', E'\b', true),
	('$regex', '^\x41\u0042\103\cJ$', E'ABC\n', true), ('$regex', '^\u{2}$', 'uu', true), ('$regex', '^a{,2}$', 'a{,2}', true), ('$regex', '^a{2,}?$', 'aaa', true), ('$regex', '^]}$', ']}', true), ('$regex', '^\_\-\/$', '_-/', true),
	('$regex', '^(?=.*\d)(?!.*x).{3}$', 'a1b', true), ('$regex', '(?<=\$)\d', '$5', true), ('$regex', '(?<!\$)5', '$5', false), ('$regex', '^(?<year>\d{4})-(?:a||b)$', '2026-', true), ('$regex', '^\8$', '8', true), ('$regex', '[z-a]', 'b', false), ('$regex', '^(?=x)*a', 'a', true), ('$regex', '^(?!a){1,2}a', 'a', false),
	('$regex', 'a**', 'a', false), ('$regex', '(', '(', false), ('$regex', ')', ')', false), ('$regex', 'a{3,2}', 'aaa', false), ('$regex', '^*', '*', false), ('$regex', '\', '\', false), ('$regex', '{2}', '{2}', false), ('$regex', '(?<a', 'a', false),
	('$regexi', '^É[a-c]$', 'éB', true), ('$regexi', '^[а-я]+$', 'ПРИВЕТ', true), ('$regexi', 'ς', 'Σ', true), ('$regexi', '[^k]', E'\u212A', true), ('$regexi', '^k$', E'\u212A', false), ('$regexi', 'ss', 'ß', false), ('$regexi', '\u0041', 'a', true),
	('$regex', 'a/b', 'a/b', true), ('$regex', '^[^a/]+$', 'a/', false), ('$regex', '', '', true)
) AS v (op, pattern, subject, matches);
SELECT is(pg_temp.by_rule('{"force": "yes", "condition": {"a": {"$regex": "^null$"}}}', '{}'), '"yes"', 'a missing attribute is the text null to a pattern');
SELECT is(pg_temp.by_rule('{"force": "yes", "condition": {"a": {"$regex": 5}}}', '{"a": 5}'), '"no"', 'a pattern that is no string matches nothing');

SELECT is(pg_temp.by_rule('{"force": "yes", "condition": {"id": {"$inGroup": "g"}, "tags": {"$notInGroup": "h"}}}', v.context::jsonb, '{"savedGroups": {"g": [1, "2", null], "h": ["x"], "unused": [1]}}') = '"yes"', v.holds, 'saved groups for ' || v.context)
	FROM (VALUES ('{"id": 1}', true), ('{"id": "1"}', false), ('{"id": "2"}', true), ('{}', true), ('{"id": 1, "tags": ["y", "x"]}', false), ('{"id": [7, "2"]}', true)) AS v (context, holds);
SELECT is(definition #> '{targeting,hd_growthbook,savedGroups}', '{"g": [1, "2", null], "h": ["x"]}', 'a flag keeps the groups that it names') FROM hotdash._flag WHERE kind = 'f' AND key = 'tap-gb';

/*
 * Rules
 */

-- UTF-16: é and an emoji hash as their units
SELECT is(hotdash.flag_bucket('growthbook-1', '', 'é'), 0.94::float8, 'é is one unit');
SELECT is(pg_temp.by_rule('{"force": "yes", "seed": "s", "hashVersion": 2, "range": [0.2801, 0.2802]}', '{"id": "😀"}'), '"yes"', 'an emoji is two');
SELECT is(pg_temp.by_rule(v.rule::jsonb, v.context::jsonb), v.value::jsonb, format('rule %s for %s', v.rule, v.context))
FROM (VALUES
	('{"force": "yes", "coverage": 1}', '{"id": "u"}', '"yes"'), ('{"force": "yes", "coverage": 1}', '{}', '"no"'), ('{"force": "yes", "coverage": 1}', '{"targetingKey": "u"}', '"yes"'),
	('{"force": "yes", "coverage": 1}', '{"targetingKey": "u", "id": null}', '"no"'), ('{"force": "yes", "coverage": 1}', '{"id": 0}', '"no"'), ('{"force": "yes", "coverage": 1}', '{"id": [1]}', '"yes"'),
	('{"force": "yes", "coverage": 1, "hashAttribute": "company"}', '{"id": "u"}', '"no"'), ('{"force": "yes", "coverage": 1, "hashAttribute": "company"}', '{"company": 7}', '"yes"'),
	('{"force": "yes", "coverage": 1, "fallbackAttribute": "device"}', '{"device": "d"}', '"no"'), ('{"force": "yes", "coverage": 1, "fallbackAttribute": "device"}', '{"device": "d", "$growthbook": {"stickyBucketAssignmentDocs": {}}}', '"yes"'),
	('{"force": "yes", "coverage": 0}', '{"id": "u"}', '"no"'), ('{"force": "yes", "range": [0, 1], "coverage": 0}', '{"id": "u"}', '"yes"'), ('{"force": "yes", "hashVersion": 3, "coverage": 1}', '{"id": "u"}', '"no"'),
	('{"force": "yes", "filters": []}', '{}', '"yes"'), ('{"force": "yes", "filters": [{"seed": "s", "ranges": [[0, 1]]}]}', '{}', '"no"'), ('{"force": "yes", "filters": [{"seed": "s", "ranges": [[0, 0.5], [0.5, 1]], "attribute": "d"}]}', '{"d": 1}', '"yes"'),
	('{"variations": ["yes"]}', '{"id": "u"}', '"no"'), ('{"variations": null}', '{"id": "u"}', '"no"'), ('{"variations": ["yes", "yes"], "condition": {"a": 1}}', '{"id": "u"}', '"no"'),
	('{"variations": ["a", "yes"], "weights": [0, 1], "seed": ""}', '{"id": "u"}', '"yes"'), ('{"variations": ["yes", "b"], "weights": [0, 2], "ranges": [[0, 1]]}', '{"id": "u"}', '"yes"'),
	('{"variations": ["a", "b"], "ranges": [[0, 0], [0, 0], [0, 1]]}', '{"id": "u"}', '"no"'), ('{"variations": ["a", "yes"], "weights": [0, 1], "meta": [{}, {"passthrough": true}]}', '{"id": "u"}', '"no"'),
	('{"key": "e", "variations": ["a", "yes"]}', '{"$growthbook": {"forcedVariations": {"e": 1}}}', '"yes"'), ('{"key": "e", "variations": ["a", "yes"]}', '{"$growthbook": {"forcedVariations": {"e": 2}}}', '"no"'),
	('{"key": "e", "variations": ["a", "yes"]}', '{"$growthbook": {"url": "/p?x&e=1&e=0#e=0"}}', '"yes"'), ('{"key": "e", "variations": ["a", "yes"]}', '{"$growthbook": {"url": "/p?e=0x1"}}', '"yes"'),
	('{"key": "e", "variations": ["a", "yes"]}', '{"$growthbook": {"url": "/p?e"}}', '"no"'), ('{"key": "e", "variations": ["a", "yes"]}', '{"$growthbook": {"url": "/p?a=1?e=1"}}', '"no"'),
	('{"key": "e", "variations": ["a", "yes"], "weights": [0, 1]}', '{"id": 1, "$growthbook": {"qaMode": true}}', '"no"'), ('{"key": "e", "variations": ["a", "yes"], "weights": [0, 1]}', '{"id": 1, "$growthbook": {"enabled": false}}', '"no"'),
	('{"key": "e", "variations": ["a", "yes"], "weights": [0, 1], "namespace": ["n", 0, 0]}', '{"id": 1}', '"no"'), ('{"key": "e", "variations": ["a", "yes"], "weights": [0, 1], "namespace": ["n", 0, 0], "filters": []}', '{"id": 1}', '"yes"')
) AS v (rule, context, value);

SELECT is(pg_temp.import_one('[{"id": "half", "force": "half", "coverage": 0.5}, {"id": "exp", "key": "e", "hashVersion": 2, "variations": ["a", "b"], "meta": [{"key": "x", "name": "Ex"}, {"key": "y"}]}]'), 1, 'a rollout and an experiment');
SELECT is(pg_temp.details('{"id": "u3"}'), '{"source": "force", "ruleId": "half", "value": "half", "variant": "rule/half", "reason": "SPLIT"}', 'in the rollout');
SELECT is(pg_temp.details('{"id": "u4"}') - 'bucket', '{"source": "experiment", "ruleId": "exp", "value": "a", "variant": "e/x", "reason": "SPLIT", "experiment": "e", "key": "x", "name": "Ex", "variationId": 0,
	"inExperiment": true, "hashUsed": true, "hashAttribute": "id", "hashValue": "u4", "stickyBucketUsed": false}', 'in the experiment');
SELECT is(pg_temp.details('{"id": "u4"}') -> 'bucket', '0.0924', 'its bucket');
SELECT is(pg_temp.details('{"$growthbook": {"forcedVariations": {"e": 1}}}') - '{experiment,key,variationId,inExperiment}'::text[],
	'{"source": "experiment", "ruleId": "exp", "value": "b", "variant": "e/y", "reason": "TARGETING_MATCH", "hashUsed": false, "hashAttribute": "id", "hashValue": "", "stickyBucketUsed": false}', 'forced into it');
SELECT is(pg_temp.details('{}'), '{"source": "defaultValue", "ruleId": "", "value": "no", "variant": "default", "reason": "DEFAULT"}', 'in neither');
SELECT ok(hotdash.flag_enabled_for('tap-gb', 'u3'), 'flag_enabled_for takes the key for the id');
SELECT is(hotdash.flag_text('tap-gb', 'mine', '{"id": "u3"}'), 'half', 'flag_text');
SELECT is(count(DISTINCT pg_temp.details(jsonb_build_object('id', 'v' || i)) ->> 'variant'), 3::bigint, 'units spread over the variants') FROM generate_series(1, 40) AS i;

/*
 * Prerequisites
 */

SELECT is(hotdash.flags_import('{"features": {
	"tap-parent": {"defaultValue": "silver", "rules": [{"condition": {"country": "US"}, "force": "gold"}]},
	"tap-gate": {"defaultValue": true, "rules": [{"parentConditions": [{"id": "tap-parent", "condition": {"value": "gold"}, "gate": true}]}]},
	"tap-skip": {"defaultValue": "no", "rules": [{"parentConditions": [{"id": "tap-parent", "condition": {"value": "gold"}}], "force": "yes"}]},
	"tap-absent": {"defaultValue": "no", "rules": [{"parentConditions": [{"id": "tap-nowhere", "condition": {"value": null}}], "force": "yes"}]},
	"tap-two": {"defaultValue": "no", "rules": [{"parentConditions": [{"id": "tap-parent"}, {"id": "tap-parent", "condition": {"value": {"$regex": "^g"}}}], "force": "yes"}]},
	"tap-native": {"defaultValue": "no", "rules": [{"parentConditions": [{"id": "tap-flagd", "condition": {"value": {"$gt": 1}}}], "force": "yes"}]},
	"tap-ring-1": {"defaultValue": 1, "rules": [{"parentConditions": [{"id": "tap-ring-2"}], "force": 2}]},
	"tap-ring-2": {"defaultValue": 1, "rules": [{"parentConditions": [{"id": "tap-ring-1"}], "force": 2, "condition": {"x": 1}}]},
	"tap-ring-3": {"defaultValue": 1, "rules": [{"parentConditions": [{"id": "tap-ring-1"}]}]},
	"tap-far-ring": {"defaultValue": 1, "rules": [{"force": 5, "condition": {"y": 1}}, {"parentConditions": [{"id": "tap-far-ring"}]}]}}}', 'growthbook'), 10, 'flags that ask each other, in circles too');
SELECT hotdash.flag_set('tap-flagd', '{"state": "ENABLED", "variants": {"one": 1, "two": 2}, "defaultVariant": "one", "targeting": {"if": [{"var": "two"}, "two", null]}}') \g /dev/null
SELECT row_eq(format('SELECT value, variant, reason, error_code FROM hotdash.flag_evaluate(%L, ''null'', %L)', v.key, v.context),
	ROW(v.value::jsonb, v.variant, v.reason, v.error), format('%s for %s', v.key, v.context))
FROM (VALUES
	('tap-gate', '{"country": "US"}', 'true', 'default', 'DEFAULT', NULL), ('tap-gate', '{}', 'null', 'prerequisite', 'TARGETING_MATCH', NULL),
	('tap-skip', '{"country": "US"}', '"yes"', 'rule/1', 'TARGETING_MATCH', NULL), ('tap-skip', '{}', '"no"', 'default', 'DEFAULT', NULL),
	('tap-absent', '{}', '"yes"', 'rule/1', 'TARGETING_MATCH', NULL), ('tap-two', '{"country": "US"}', '"yes"', 'rule/1', 'TARGETING_MATCH', NULL),
	('tap-native', '{"two": true}', '"yes"', 'rule/1', 'TARGETING_MATCH', NULL), ('tap-native', '{}', '"no"', 'default', 'DEFAULT', NULL),
	('tap-ring-1', '{}', 'null', NULL, 'ERROR', 'GENERAL'), ('tap-ring-2', '{}', 'null', NULL, 'ERROR', 'GENERAL'), ('tap-ring-3', '{}', 'null', NULL, 'ERROR', 'GENERAL'),
	('tap-far-ring', '{"y": 1}', '5', 'rule/1', 'TARGETING_MATCH', NULL), ('tap-far-ring', '{}', 'null', NULL, 'ERROR', 'GENERAL')
) AS v (key, context, value, variant, reason, error);
SELECT is((hotdash.flag_evaluate('tap-gate', 'null', '{}')).metadata #>> '{growthbook,source}', 'prerequisite', 'the source of a closed gate');

/*
 * Experiments of a document
 */

SELECT is(hotdash.flags_import('{"experiments": [{"key": "tap-exp", "variations": ["a", "b"], "weights": [0, 1], "urlPatterns": [{"type": "simple", "include": true, "pattern": "*.example.com/shop/*?lang=en"},
		{"type": "regex", "include": false, "pattern": "/shop/admin"}], "parentConditions": [{"id": "tap-parent", "condition": {"value": {"$ne": "gold"}}}]},
	{"key": "tap-forced", "variations": ["a", "b"], "force": 1, "status": "running"}, {"key": "tap-draft", "variations": ["a", "b"], "status": "draft"},
	{"key": "tap-stopped", "variations": ["a", "b"], "weights": [0, 1], "status": "stopped"}, {"key": "tap-groups", "variations": ["a", "b"], "weights": [0, 1], "groups": ["beta"]}]}', 'growthbook'), 5, 'experiments are flags');
SELECT row_eq(format('SELECT value, variant, reason, error_code FROM hotdash.flag_evaluate(%L, ''null'', %L)', v.key, v.context),
	ROW(v.value::jsonb, v.variant, v.reason, v.error), format('%s for %s', v.key, v.context))
FROM (VALUES
	('tap-exp', '{"id": 1, "$growthbook": {"url": "https://www.Example.com:443/x/../shop/shoes/?a=1&lang=EN#top"}}', '"b"', 'tap-exp/1', 'SPLIT', NULL),
	('tap-exp', '{"id": 1, "$growthbook": {"url": "https://www.example.com/shop/shoes?lang=de"}}', '"a"', 'default', 'DEFAULT', NULL),
	('tap-exp', '{"id": 1, "$growthbook": {"url": "https://www.example.com:8443/shop/shoes?lang=en"}}', '"a"', 'default', 'DEFAULT', NULL),
	('tap-exp', '{"id": 1, "$growthbook": {"url": "https://www.example.com/shop/admin/?lang=en"}}', '"a"', 'default', 'DEFAULT', NULL),
	('tap-exp', '{"id": 1, "country": "US", "$growthbook": {"url": "https://www.example.com/shop/shoes?lang=en"}}', '"a"', 'default', 'DEFAULT', NULL),
	('tap-exp', '{"id": 1}', '"a"', 'default', 'DEFAULT', NULL),
	('tap-exp', '{"id": 1, "$growthbook": {"url": "https://me:secret@www.example.com/"}}', 'null', NULL, 'ERROR', 'GENERAL'),
	('tap-forced', '{"id": 1}', '"b"', 'tap-forced/1', 'TARGETING_MATCH', NULL), ('tap-draft', '{"id": 1}', '"a"', 'default', 'DEFAULT', NULL),
	('tap-stopped', '{"id": 1}', '"a"', 'default', 'DEFAULT', NULL), ('tap-groups', '{"id": 1}', '"a"', 'default', 'DEFAULT', NULL),
	('tap-groups', '{"id": 1, "$growthbook": {"groups": {"beta": true}}}', '"b"', 'tap-groups/1', 'SPLIT', NULL)
) AS v (key, context, value, variant, reason, error);

/*
 * Sticky buckets
 */

SELECT is(pg_temp.import_one('[{"key": "e", "hashAttribute": "id", "fallbackAttribute": "device", "bucketVersion": 2, "minBucketVersion": 1, "variations": ["a", "b"], "weights": [1, 0], "meta": [{"key": "x"}, {"key": "y"}]}]'), 1, 'a rule with sticky buckets');
SELECT is(pg_temp.details(jsonb_build_object('id', 1, 'device', 'd', '$growthbook', jsonb_build_object('stickyBucketAssignmentDocs', v.documents::jsonb))) - '{source,ruleId,reason,experiment,bucket,hashUsed,variant,variationId,inExperiment,value,hashValue}'::text[],
	v.details::jsonb, 'with documents ' || v.documents)
FROM (VALUES
	('{}', '{"key": "x", "hashAttribute": "id", "stickyBucketUsed": false, "stickyBucketAssignmentDoc": {"attributeName": "id", "attributeValue": "1", "assignments": {"e__2": "x"}}}'),
	('{"id||1": {"attributeName": "id", "attributeValue": "1", "assignments": {"e__2": "y", "f__0": "z"}}}', '{"key": "y", "hashAttribute": "id", "stickyBucketUsed": true}'),
	('{"id||1": {"assignments": {"e__3": "y"}}}', '{"key": "x", "hashAttribute": "id", "stickyBucketUsed": false, "stickyBucketAssignmentDoc": {"attributeName": "id", "attributeValue": "1", "assignments": {"e__2": "x", "e__3": "y"}}}'),
	('{"id||1": {"assignments": {"e__2": "unknown"}}}', '{"key": "x", "hashAttribute": "id", "stickyBucketUsed": false, "stickyBucketAssignmentDoc": {"attributeName": "id", "attributeValue": "1", "assignments": {"e__2": "x"}}}'),
	('[{"attributeName": "device", "attributeValue": "d", "assignments": {"e__2": "y"}}]', '{"key": "y", "hashAttribute": "id", "stickyBucketUsed": true, "stickyBucketAssignmentDoc": {"attributeName": "id", "attributeValue": "1", "assignments": {"e__2": "y"}}}'),
	('[{"attributeName": "device", "attributeValue": "d", "assignments": {"e__2": "y"}}, {"attributeName": "id", "attributeValue": "1", "assignments": {"e__2": "x"}}]', '{"key": "x", "hashAttribute": "id", "stickyBucketUsed": true}'),
	('{"device||d": {"assignments": {"e__0": "y"}}}', '{}')
) AS v (documents, details);

/*
 * Contextual bandits
 */

SELECT is(pg_temp.import_one('[{"key": "cb", "contextualBanditRef": "b", "contextualVariations": ["a", "b"], "weights": [0.5, 0.5]}]',
	'{"contextualBandits": {"b": {"banditVersion": 3, "contexts": [{"leafId": 1, "condition": {"plan": "pro"}, "weights": [0, 1]}]}, "unused": {}}}'), 1, 'a contextual bandit');
SELECT is(pg_temp.details('{"id": 1, "plan": "pro"}') - '{source,ruleId,reason,experiment,bucket,hashUsed,hashValue,hashAttribute,stickyBucketUsed,inExperiment,variationId,variant}'::text[],
	'{"key": "1", "value": "b", "leafId": 1, "variationWeights": [0, 1], "banditVersion": 3}', 'by its leaf');
SELECT is(pg_temp.details('{"id": 1}') -> 'leafId', '-1', 'by the weights of the rule');
SELECT is(definition #> '{targeting,hd_growthbook,contextualBandits}', '{"b": {"banditVersion": 3, "contexts": [{"leafId": 1, "condition": {"plan": "pro"}, "weights": [0, 1]}]}}', 'a flag keeps the bandit that it names')
	FROM hotdash._flag WHERE kind = 'f' AND key = 'tap-gb';

/*
 * What is refused, with its name
 */

SELECT throws_ok(format('SELECT pg_temp.import_one(%L)', jsonb_build_array(v.rule::jsonb)), '22023', 'feature "tap-gb" of GrowthBook cannot be imported', 'rule ' || v.rule)
FROM (VALUES
	('{"force": 1, "condition": 5}'), ('{"force": 1, "condition": {"$or": {}}}'), ('{"force": 1, "condition": {"$not": null}}'), ('{"force": 1, "condition": {"$and": [1]}}'), ('{"force": 1, "condition": {"a": {"$elemMatch": 1}}}'),
	('{"force": 1, "condition": {"a": {"$inGroup": 1}}}'), ('{"force": 1, "condition": {"a": {"$regex": "(a)\\1"}}}'), ('{"force": 1, "condition": {"a": {"$regex": "(?<n>a)\\k<n>"}}}'), ('{"force": 1, "condition": {"a": {"$regex": "a{256}"}}}'),
	('{"force": 1, "condition": {"a": {"$regex": "(?i:a)"}}}'), ('{"force": 1, "coverage": "1"}'), ('{"force": 1, "coverage": null}'), ('{"force": 1, "range": [0]}'), ('{"force": 1, "hashVersion": "2"}'),
	('{"force": 1, "seed": 5}'), ('{"force": 1, "hashAttribute": ["id"]}'), ('{"force": 1, "filters": {}}'), ('{"force": 1, "filters": [{"ranges": []}]}'), ('{"force": 1, "filters": [{"seed": "s"}]}'), ('{"force": 1, "parentConditions": {}}'),
	('{"force": 1, "parentConditions": [{}]}'), ('{"variations": {}}'), ('{"variations": [1, 2], "meta": [{}]}'), ('{"variations": [1, 2], "meta": [{"key": 1}, {}]}'), ('{"variations": [1, 2], "weights": ["1"]}'), ('{"variations": [1, 2], "ranges": {}}'),
	('{"variations": [1, 2], "namespace": ["n", 0]}'), ('{"variations": [1, 2], "bucketVersion": 1.5}'), ('{"variations": [1, 2], "minBucketVersion": 10001}'), ('{"variations": [1, 2], "key": 1}'), ('{"force": 1, "id": 7}'), ('5')
) AS v (rule);
SELECT throws_ok(format('SELECT hotdash.flags_import(%L, ''growthbook'')', v.document), '22023', v.message, 'document ' || v.document)
FROM (VALUES
	('[]', 'a GrowthBook document must be a JSON object'), ('{"features": []}', '"features" of a GrowthBook document must be a JSON object'), ('{"experiments": {}}', '"experiments" of a GrowthBook document must be a JSON array'),
	('{"features": {"f": null}}', 'feature "f" of GrowthBook cannot be imported'), ('{"features": {"f": {"rules": {}}}}', 'feature "f" of GrowthBook cannot be imported'),
	('{"savedGroups": {"g": 1}, "features": {"f": {"rules": [{"force": 1, "condition": {"a": {"$inGroup": "g"}}}]}}}', 'feature "f" of GrowthBook cannot be imported'),
	('{"encryptedFeatures": "abc.def"}', '"encryptedFeatures" of a GrowthBook document cannot be imported'), ('{"experiments": [{}]}', 'experiment 1 of a GrowthBook document has no key'), ('{"experiments": [{"key": "a", "variations": [1, 2]}, {"key": 3}]}', 'experiment 2 of a GrowthBook document has no key'),
	('{"experiments": [{"key": "e", "variations": [1, 2]}, {"key": "e", "variations": [1, 2]}]}', 'experiment "e" of GrowthBook cannot be imported'), ('{"features": {"e": {}}, "experiments": [{"key": "e", "variations": [1, 2]}]}', 'experiment "e" of GrowthBook cannot be imported'),
	('{"experiments": [{"key": "e"}]}', 'experiment "e" of GrowthBook cannot be imported'), ('{"experiments": [{"key": "e", "variations": [1, 2], "url": "^/x"}]}', 'experiment "e" of GrowthBook cannot be imported'),
	('{"experiments": [{"key": "e", "variations": [1, 2], "urlPatterns": [{"type": "simple", "pattern": "http://me@x/"}]}]}', 'experiment "e" of GrowthBook cannot be imported')
) AS v (document, message);
SELECT is(hotdash.flags_import('{"features": {"tap-e": {}}, "experiments": [{"key": "tap-e"}]}', 'growthbook', '{"experiments": false}'), 1, 'experiments left out');
SELECT throws_ok($$SELECT hotdash.flags_import('{}', 'growthbook', '{"unknown": 1}')$$, '22023', 'unrecognized option "unknown"', 'an unknown option');
SELECT throws_ok($$SELECT hotdash.flags_import('{}', 'growthbook', '{"experiments": 1}')$$, '22023', 'option "experiments" must be a JSON boolean', 'an option of the wrong type');
SELECT throws_ok(format('SELECT pg_temp.import_one(%L)', jsonb_build_array(jsonb_build_object('force', 1, 'condition', (repeat('{"$not":', 200) || '{}' || repeat('}', 200))::jsonb))), '22023', NULL, 'a condition nested too deeply');
SELECT throws_ok(format('SELECT pg_temp.import_one(%L)', jsonb_build_array(jsonb_build_object('force', 1, 'condition', jsonb_build_object('a', jsonb_build_object('$regex', repeat('a', 5000)))))), '22023', NULL, 'a pattern that is too long');
SELECT is(pg_temp.import_one((SELECT jsonb_agg('{"id": "x", "force": 1}'::jsonb) FROM generate_series(1, 999))), 1, 'many rules of one name');
SELECT throws_ok(format('SELECT pg_temp.import_one(%L)', jsonb_build_array(jsonb_build_object('force', 1, 'condition', jsonb_build_object('a', jsonb_build_object('$regex', '((a{1,255}){1,255}){1,255}'))))), '22023', NULL, 'a pattern that is too large');
SELECT throws_ok(format('SELECT pg_temp.import_one(%L)', jsonb_build_array(jsonb_build_object('force', 1, 'condition', jsonb_build_object('a', jsonb_build_object('$regex', repeat('(', 1000) || repeat(')', 1000)))))), '22023', NULL, 'a pattern that is nested too deeply');

/*
 * And back
 */

DELETE FROM hotdash._flag;
CREATE TEMPORARY TABLE document AS SELECT '{"features": {"tap-a": {"defaultValue": 1.50, "rules": [{"id": "r", "force": {"b": [1, null]}, "condition": {"id": {"$inGroup": "g"}}, "tracks": [{"x": 1}], "unknown": {"y": 2}}]},
	"tap-b": {"rules": [{"contextualBanditRef": "cb", "contextualVariations": [1, 2]}, {"force": true, "condition": {"x": {"$notInGroup": "g"}}}]}, "tap-c": {}},
	"experiments": [{"key": "tap-x", "variations": [{}, {"css": "a"}], "manual": true}],
	"savedGroups": {"g": [1, "1"]}, "contextualBandits": {"cb": {"contexts": []}}}'::jsonb AS d;
SELECT is(hotdash.flags_import(d, 'growthbook'), 4, 'a document') FROM document;
SELECT is(hotdash.flags_export('growthbook'), d, 'comes back as it was') FROM document;
SELECT hotdash.flag_set('tap-native', '{"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"}') \g /dev/null
SELECT is(hotdash.flags_export('growthbook'), d, 'without flags from elsewhere') FROM document;
SELECT hotdash.flag_set('tap-c', (SELECT definition || '{"metadata": {"team": "x"}}' FROM hotdash._flag WHERE kind = 'f' AND key = 'tap-c')) \g /dev/null
SELECT is(hotdash.flags_export('growthbook'), d, 'and without metadata') FROM document;
SELECT is(count(*), 0::bigint, 'the same document again changes nothing but that') FROM document, hotdash.flags_import(d, 'growthbook'), hotdash._flag WHERE key LIKE 'tap-_' AND key <> 'tap-c' AND version > 1;
SELECT hotdash.flag_set('tap-b', (SELECT definition || '{"state": "DISABLED"}' FROM hotdash._flag WHERE kind = 'f' AND key = 'tap-b')) \g /dev/null
SELECT throws_ok($$SELECT hotdash.flags_export('growthbook')$$, '22023', 'flag "tap-b" cannot be told to GrowthBook', 'a flag that was changed');
SELECT is(hotdash.flags_import(d, 'growthbook'), 4, 'set right again') FROM document;
SELECT is(hotdash.flags_import(jsonb_set(d, '{savedGroups,g}', '[2]') #- '{features,tap-b}', 'growthbook'), 3, 'another meaning of a group') FROM document;
SELECT throws_ok($$SELECT hotdash.flags_export('growthbook')$$, '22023', '"g" of savedGroups differs between flags imported from GrowthBook', 'one group, two meanings');

SELECT * FROM finish();
ROLLBACK;
