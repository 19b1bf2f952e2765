-- JSON Schema: what validate says of a value, which schemas are refused, and payloads held against the
-- schema of their kind.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(312);

-- "path rule" of each error, in order; "fits" when there is none.
CREATE FUNCTION pg_temp.verdict(schema jsonb, value jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(concat_ws(' ', nullif(path, ''), rule), ', ' ORDER BY path COLLATE "C", rule COLLATE "C"),
		'fits')
	FROM hotdash.validate(schema, value)
$$;

/*
 * Each keyword, with values that fit and values that do not
 */

CREATE TEMPORARY TABLE schema_case (schema jsonb, value jsonb, verdict text);
INSERT INTO schema_case VALUES
	-- schemas that are no objects
	('true', '1', 'fits'), ('true', 'null', 'fits'), ('false', '1', 'false'), ('false', '{}', 'false'), ('{}', '[]', 'fits'),
	-- type
	('{"type":"null"}', 'null', 'fits'), ('{"type":"null"}', 'false', 'type'), ('{"type":"null"}', '""', 'type'),
	('{"type":"boolean"}', 'true', 'fits'), ('{"type":"boolean"}', '0', 'type'),
	('{"type":"string"}', '"1"', 'fits'), ('{"type":"string"}', '1', 'type'),
	('{"type":"number"}', '1.5', 'fits'), ('{"type":"number"}', '"1.5"', 'type'),
	('{"type":"integer"}', '1', 'fits'), ('{"type":"integer"}', '1.0', 'fits'), ('{"type":"integer"}', '1e40', 'fits'),
	('{"type":"integer"}', '1.01', 'type'), ('{"type":"integer"}', '"1"', 'type'),
	('{"type":"array"}', '[]', 'fits'), ('{"type":"array"}', '{}', 'type'),
	('{"type":"object"}', '{}', 'fits'), ('{"type":"object"}', '[]', 'type'), ('{"type":"object"}', 'null', 'type'),
	('{"type":["string","null"]}', 'null', 'fits'), ('{"type":["string","null"]}', '1', 'type'),
	('{"type":["integer","number"]}', '1.5', 'fits'),
	-- enum, const
	('{"enum":[1,"a",null,[1,{"b":2}]]}', '1.00', 'fits'), ('{"enum":[1,"a",null,[1,{"b":2}]]}', '[1,{"b":2.0}]', 'fits'),
	('{"enum":[1,"a",null,[1,{"b":2}]]}', 'null', 'fits'), ('{"enum":[1,"a",null,[1,{"b":2}]]}', '"1"', 'enum'),
	('{"enum":[1,"a",null,[1,{"b":2}]]}', '[{"b":2},1]', 'enum'), ('{"enum":[0]}', 'false', 'enum'),
	('{"enum":[[0]]}', '0', 'enum'), ('{"enum":[]}', '0', 'enum'), ('{"enum":[{}]}', '[]', 'enum'),
	('{"const":{"a":[1,2]}}', '{"a":[1,2.0]}', 'fits'), ('{"const":{"a":[1,2]}}', '{"a":[2,1]}', 'const'),
	('{"const":{"a":1}}', '{"a":1,"b":1}', 'const'), ('{"const":null}', 'null', 'fits'), ('{"const":false}', '0', 'const'),
	('{"const":[1]}', '1', 'const'), ('{"const":1}', '[1]', 'const'),
	-- numbers
	('{"minimum":1.5}', '1.5', 'fits'), ('{"minimum":1.5}', '1.4999999999999999999', 'minimum'), ('{"minimum":1}', '"0"', 'fits'),
	('{"maximum":-2}', '-2', 'fits'), ('{"maximum":-2}', '-1.9', 'maximum'),
	('{"exclusiveMinimum":0}', '1e-200', 'fits'), ('{"exclusiveMinimum":0}', '0.0', 'exclusiveMinimum'),
	('{"exclusiveMaximum":3}', '2.999', 'fits'), ('{"exclusiveMaximum":3}', '3', 'exclusiveMaximum'),
	('{"minimum":5,"maximum":1}', '3', 'maximum, minimum'),
	('{"multipleOf":0.01}', '19.99', 'fits'), ('{"multipleOf":0.01}', '1e300', 'fits'), ('{"multipleOf":0.01}', '0.005', 'multipleOf'),
	('{"multipleOf":3}', '-9', 'fits'), ('{"multipleOf":3}', '0', 'fits'), ('{"multipleOf":3}', '10', 'multipleOf'),
	-- strings: characters count, not bytes
	('{"minLength":2}', '"ab"', 'fits'), ('{"minLength":2}', '"ä"', 'minLength'), ('{"minLength":2}', '"💡"', 'minLength'),
	('{"minLength":2}', '7', 'fits'), ('{"maxLength":2}', '"äö"', 'fits'), ('{"maxLength":2}', '"💡💡"', 'fits'),
	('{"maxLength":2}', '"abc"', 'maxLength'), ('{"maxLength":0}', '""', 'fits'), ('{"maxLength":2.0}', '"abc"', 'maxLength'),
	('{"maxLength":1e30}', '"abc"', 'fits'), ('{"minLength":1e30}', '"abc"', 'minLength'),
	-- pattern: anywhere unless anchored, and only strings
	('{"pattern":"b+"}', '"abbc"', 'fits'), ('{"pattern":"^b+$"}', '"abbc"', 'pattern'), ('{"pattern":"^b+$"}', '1', 'fits'),
	('{"pattern":"^\\d{3}$"}', '"123"', 'fits'), ('{"pattern":"^\\d{3}$"}', '"١٢٣"', 'pattern'),
	('{"pattern":"^\\w+$"}', '"ä"', 'pattern'), ('{"pattern":"^.$"}', '"ä"', 'fits'), ('{"pattern":"^a$"}', '"b\na"', 'pattern'),
	('{"pattern":"\\yred\\y"}', '"a red car"', 'fits'), ('{"pattern":"^(?!no)"}', '"none"', 'pattern'), ('{"pattern":"[\\b]"}', '"\b"', 'fits'),
	('{"pattern":""}', '""', 'fits'), ('{"pattern":"(?i)^RED$"}', '"red"', 'fits'),
	-- arrays
	('{"items":{"type":"integer"}}', '[]', 'fits'), ('{"items":{"type":"integer"}}', '[1,2]', 'fits'),
	('{"items":{"type":"integer"}}', '[1,"2",3,null]', '/1 type, /3 type'), ('{"items":{"type":"integer"}}', '"x"', 'fits'),
	('{"items":false}', '[]', 'fits'), ('{"items":false}', '[1]', '/0 items'),
	('{"prefixItems":[{"type":"string"},{"minimum":3}]}', '["a",3,null]', 'fits'), ('{"prefixItems":[{"type":"string"},{"minimum":3}]}', '["a"]', 'fits'),
	('{"prefixItems":[{"type":"string"},{"minimum":3}]}', '[1,2]', '/0 type, /1 minimum'),
	('{"prefixItems":[true],"items":false}', '[1]', 'fits'), ('{"prefixItems":[true],"items":false}', '[1,2,3]', '/1 items, /2 items'),
	('{"prefixItems":[false]}', '[1]', '/0 prefixItems'),
	('{"minItems":1}', '[null]', 'fits'), ('{"minItems":1}', '[]', 'minItems'), ('{"minItems":1}', '{}', 'fits'),
	('{"maxItems":1}', '[1]', 'fits'), ('{"maxItems":1}', '[1,2]', 'maxItems'),
	('{"uniqueItems":true}', '[1,"1",true,[1],{"a":1},null,0,false]', 'fits'), ('{"uniqueItems":true}', '[1,2,1.0]', 'uniqueItems'),
	('{"uniqueItems":true}', '[{"a":1,"b":[2]},{"b":[2],"a":1}]', 'uniqueItems'), ('{"uniqueItems":true}', '[[],[]]', 'uniqueItems'),
	('{"uniqueItems":true}', '[[1,2],[2,1],[[1],2]]', 'fits'), ('{"uniqueItems":false}', '[1,1]', 'fits'),
	('{"contains":{"type":"string"}}', '[1,"a"]', 'fits'), ('{"contains":{"type":"string"}}', '[1]', 'contains'), ('{"contains":true}', '[]', 'contains'),
	('{"contains":{"type":"string"},"minContains":2}', '["a",1,"b"]', 'fits'), ('{"contains":{"type":"string"},"minContains":2}', '["a",1]', 'minContains'),
	('{"contains":{"type":"string"},"maxContains":1}', '["a",1]', 'fits'), ('{"contains":{"type":"string"},"maxContains":1}', '["a","b"]', 'maxContains'),
	('{"contains":{"type":"string"},"minContains":0}', '[]', 'fits'), ('{"minContains":3}', '[]', 'fits'),
	-- objects
	('{"properties":{"a":{"type":"string"},"bb":{"minimum":2}}}', '{"a":"x","bb":2,"c":null}', 'fits'), ('{"properties":{"a":{"type":"string"}}}', '{}', 'fits'),
	('{"properties":{"a":{"type":"string"},"bb":{"minimum":2}}}', '{"a":1,"bb":1}', '/a type, /bb minimum'), ('{"properties":{"a":false}}', '{"a":1}', '/a properties'),
	('{"properties":{"a":false}}', '[1]', 'fits'), ('{"properties":{"b":{"type":"null"}}}', '{"a":1,"b":2,"c":3}', '/b type'),
	('{"required":["a","b"]}', '{"a":null,"b":0}', 'fits'), ('{"required":["a","b"]}', '{"c":1}', 'required, required'), ('{"required":["a"]}', '["a"]', 'fits'), ('{"required":[]}', '{}', 'fits'),
	('{"properties":{"a":true},"additionalProperties":false}', '{"a":1}', 'fits'), ('{"properties":{"a":true},"additionalProperties":false}', '{"a":1,"b":2,"":3}', '/ additionalProperties, /b additionalProperties'),
	('{"additionalProperties":{"type":"integer"}}', '{"a":1}', 'fits'), ('{"additionalProperties":{"type":"integer"}}', '{"a":"1"}', '/a type'),
	('{"patternProperties":{"^x-":{"type":"string"}},"additionalProperties":false}', '{"x-a":"1"}', 'fits'),
	('{"patternProperties":{"^x-":{"type":"string"}},"additionalProperties":false}', '{"x-a":1,"y":1}', '/x-a type, /y additionalProperties'),
	('{"properties":{"ab":{"minimum":5}},"patternProperties":{"^a":{"maximum":3},"b$":{"multipleOf":2}}}', '{"ab":4}', '/ab maximum, /ab minimum'),
	('{"patternProperties":{"a":false}}', '{"ba":1,"c":1}', '/ba patternProperties'),
	('{"propertyNames":{"maxLength":2}}', '{"ab":1}', 'fits'), ('{"propertyNames":{"maxLength":2}}', '{"abc":1}', '/abc propertyNames'), ('{"propertyNames":false}', '{}', 'fits'),
	('{"propertyNames":false}', '{"a":1}', '/a propertyNames'), ('{"propertyNames":{"enum":["a"]}}', '{"b":1}', '/b propertyNames'),
	('{"minProperties":1}', '{"a":1}', 'fits'), ('{"minProperties":1}', '{}', 'minProperties'), ('{"minProperties":1}', '[]', 'fits'),
	('{"maxProperties":1}', '{"a":1}', 'fits'), ('{"maxProperties":1}', '{"a":1,"b":1}', 'maxProperties'),
	('{"dependentRequired":{"card":["name","zip"]}}', '{"name":1}', 'fits'), ('{"dependentRequired":{"card":["name","zip"]}}', '{"card":1,"name":1}', 'dependentRequired'),
	('{"dependentSchemas":{"card":{"required":["name"]},"x":false}}', '{"y":1}', 'fits'), ('{"dependentSchemas":{"card":{"required":["name"]},"x":false}}', '{"card":1}', 'required'),
	('{"dependentSchemas":{"card":{"required":["name"]},"x":false}}', '{"x":1}', 'false'),
	-- several schemas for one value
	('{"allOf":[{"minimum":1},{"maximum":3}]}', '2', 'fits'), ('{"allOf":[{"minimum":1},{"maximum":3},{"multipleOf":2}]}', '5', 'maximum, multipleOf'),
	('{"anyOf":[{"type":"string"},{"minimum":3}]}', '3', 'fits'), ('{"anyOf":[{"type":"string"},{"minimum":3}]}', '2', 'anyOf'),
	('{"oneOf":[{"multipleOf":2},{"multipleOf":3}]}', '4', 'fits'), ('{"oneOf":[{"multipleOf":2},{"multipleOf":3}]}', '6', 'oneOf'), ('{"oneOf":[{"multipleOf":2},{"multipleOf":3}]}', '5', 'oneOf'),
	('{"not":{"type":"string"}}', '1', 'fits'), ('{"not":{"type":"string"}}', '"a"', 'not'), ('{"not":{"not":{"type":"string"}}}', '"a"', 'fits'), ('{"not":{}}', '1', 'not'),
	('{"if":{"required":["a"]},"then":{"required":["b"]},"else":{"required":["c"]}}', '{"a":1,"b":1}', 'fits'),
	('{"if":{"required":["a"]},"then":{"required":["b"]},"else":{"required":["c"]}}', '{"c":1}', 'fits'),
	('{"if":{"required":["a"]},"then":{"maxProperties":1},"else":{"required":["c"]}}', '{"a":1,"b":1}', 'maxProperties'),
	('{"if":{"required":["a"]},"then":{"maxProperties":1},"else":{"required":["c"]}}', '{}', 'required'), ('{"then":false,"else":false}', '1', 'fits'), ('{"if":false,"then":false}', '1', 'fits'),
	-- references
	('{"$ref":"#/$defs/a","$defs":{"a":{"type":"string"}}}', '"x"', 'fits'), ('{"$ref":"#/$defs/a","$defs":{"a":{"type":"string"}}}', '1', 'type'),
	('{"$ref":"#/$defs/a","minimum":3,"$defs":{"a":{"maximum":1}}}', '2', 'maximum, minimum'),
	('{"properties":{"next":{"$ref":"#"},"v":{"type":"integer"}},"additionalProperties":false}', '{"v":1,"next":{"v":2,"next":{"v":"3","w":1}}}', '/next/next/v type, /next/next/w additionalProperties'),
	('{"$ref":"#/$defs/a~1b~0c%25","$defs":{"a/b~c%":{"type":"null"}}}', '1', 'type'), ('{"$ref":"#/x/1","x":[false,{"type":"null"}]}', '1', 'type'),
	('{"$ref":"#/definitions/a","definitions":{"a":{"$ref":"#/definitions/b"},"b":false}}', '1', 'false'), ('{"properties":{"$ref":{"type":"string"}}}', '{"$ref":1}', '/$ref type'),
	('{"properties":{"a":{"$ref":"#/properties/b"},"b":{"minLength":2}}}', '{"a":"x","b":"y"}', '/a minLength, /b minLength'),
	('{"$defs":{"l":{"prefixItems":[true,{"anyOf":[{"type":"null"},{"$ref":"#/$defs/l"}]}],"minItems":2}},"$ref":"#/$defs/l"}', '[1,[2,[3,null]]]', 'fits'),
	('{"$defs":{"l":{"prefixItems":[true,{"anyOf":[{"type":"null"},{"$ref":"#/$defs/l"}]}],"minItems":2}},"$ref":"#/$defs/l"}', '[1,[2,[3]]]', '/1 anyOf'),
	-- unevaluated parts
	('{"properties":{"a":true},"allOf":[{"properties":{"b":true}}],"unevaluatedProperties":false}', '{"a":1,"b":1}', 'fits'),
	('{"properties":{"a":true},"allOf":[{"properties":{"b":true}}],"unevaluatedProperties":false}', '{"a":1,"c":1}', '/c unevaluatedProperties'),
	('{"anyOf":[{"properties":{"a":{"type":"string"}}},{"properties":{"b":true}}],"unevaluatedProperties":false}', '{"a":"x","b":1}', 'fits'),
	('{"anyOf":[{"properties":{"a":{"type":"string"}}},{"properties":{"b":true}}],"unevaluatedProperties":false}', '{"a":1}', '/a unevaluatedProperties'),
	('{"not":{"not":{"properties":{"a":true},"required":["a"]}},"unevaluatedProperties":false}', '{"a":1}', '/a unevaluatedProperties'),
	('{"if":{"properties":{"k":{"const":1}},"required":["k"]},"then":{"properties":{"a":true}},"unevaluatedProperties":false}', '{"k":1,"a":1}', 'fits'),
	('{"if":{"properties":{"k":{"const":1}},"required":["k"]},"then":{"properties":{"a":true}},"unevaluatedProperties":false}', '{"k":2,"a":1}', '/a unevaluatedProperties, /k unevaluatedProperties'),
	('{"$ref":"#/$defs/base","properties":{"z":true},"unevaluatedProperties":false,"$defs":{"base":{"properties":{"a":true}}}}', '{"a":1,"z":1}', 'fits'),
	('{"unevaluatedProperties":{"type":"string"},"patternProperties":{"^x":true}}', '{"x":1,"y":1}', '/y type'),
	('{"properties":{"o":{"properties":{"p":true}}},"unevaluatedProperties":false}', '{"o":{"q":1}}', 'fits'),
	('{"prefixItems":[true],"unevaluatedItems":false}', '[1]', 'fits'), ('{"prefixItems":[true],"unevaluatedItems":false}', '[1,2]', '/1 unevaluatedItems'),
	('{"contains":{"type":"string"},"unevaluatedItems":{"type":"integer"}}', '["a",1,null]', '/2 type'), ('{"items":true,"unevaluatedItems":false}', '[1]', 'fits'),
	('{"allOf":[{"unevaluatedProperties":true}],"unevaluatedProperties":false}', '{"a":1}', 'fits'),
	-- places that need escaping, and words that are not rules
	('{"additionalProperties":{"items":{"type":"null"}}}', '{"a/b~c":[null,1]}', '/a~1b~0c/1 type'), ('{"additionalProperties":{"type":"null"}}', '{"":1,"ä ":1}', '/ type, /ä  type'),
	('{"title":1,"description":[],"default":"x","format":"email","contentEncoding":"base64","x-own":{"type":5},"examples":3}', '1', 'fits'), ('{"$id":"https://example.com/a","$schema":"https://json-schema.org/draft/2020-12/schema","$anchor":"a","$comment":"c"}', '1', 'fits'),
	('{"const":{"$ref":"nowhere","type":"what"}}', '{"$ref":"nowhere","type":"what"}', 'fits');

SELECT is(pg_temp.verdict(schema, value), verdict, format('%s: %s', schema, value)) FROM schema_case;

-- All that the checks above report, they report when nobody listens too: not, anyOf and if do not.
SELECT is_empty(
	$$SELECT schema, value FROM schema_case
		WHERE schema::text !~ '"[$](ref|id)": "'
			AND (pg_temp.verdict(jsonb_build_object('not', schema), value) = 'fits') = (verdict = 'fits')$$,
	'a schema under not says the opposite');

/*
 * Messages: what was asked for, never what was found
 */

SELECT results_eq(
	$$SELECT rule, message FROM hotdash.validate('{
		"type": ["object", "null"], "required": ["to"], "maxProperties": 1, "propertyNames": {"maxLength": 3},
		"properties": {
			"n": {"minimum": 1, "multipleOf": 0.5, "exclusiveMaximum": -7},
			"s": {"enum": ["a", {"b": 1}], "const": [1], "pattern": "^a", "minLength": 9, "maxLength": 1},
			"a": {"minItems": 1, "contains": {"const": 1}, "maxItems": 0},
			"w": {"type": ["string", "null"]}, "o": {"oneOf": [true, true]}, "p": {"not": true}, "q": {"anyOf": [false]}},
		"additionalProperties": false}',
		'{"n": 0.3, "s": "hidden", "a": [], "w": 1, "o": 1, "p": 1, "q": 1, "long": 1}') ORDER BY path COLLATE "C", rule COLLATE "C"$$,
	$$VALUES ('maxProperties', 'must have at most 1 property'), ('required', 'must have the property "to"'),
		('contains', 'must have at least 1 item that fits the schema'), ('minItems', 'must have at least 1 item'),
		('additionalProperties', 'must not be there'), ('propertyNames', 'must have a name that fits the schema'),
		('exclusiveMaximum', 'must be less than -7'), ('minimum', 'must be at least 1'), ('multipleOf', 'must be a multiple of 0.5'),
		('oneOf', 'must fit exactly one of 2 schemas, and fits more than one'), ('not', 'must not fit the schema'),
		('anyOf', 'must fit at least one of 1 schemas'), ('const', 'must be [1]'), ('enum', 'must be one of ["a", {"b": 1}]'),
		('maxLength', 'must have at most 1 character'), ('minLength', 'must have at least 9 characters'),
		('pattern', 'must match the pattern "^a"'), ('type', 'must be of type null or string')$$,
	'messages say what was asked for');

SELECT is(
	(SELECT count(*) FROM hotdash.validate('{"items": false}', (SELECT jsonb_agg(i) FROM generate_series(1, 1500) AS i))),
	1000::bigint, 'no more than a thousand errors');
SELECT ok(
	(SELECT max(octet_length(path)) < 1100 AND max(octet_length(message)) < 400 FROM hotdash.validate(
		jsonb_build_object('required', jsonb_build_array(repeat('r', 5000)), 'additionalProperties', false),
		jsonb_build_object(repeat('ü', 5000), 1))), 'long names are cut, between characters');

SELECT throws_ok($$SELECT hotdash.validate(NULL, '1')$$, '22004', 'argument "schema" must not be null', 'no schema');
SELECT throws_ok($$SELECT hotdash.validate('{}', NULL)$$, '22004', 'argument "value" must not be null', 'no value');
SELECT is((SELECT provolatile FROM pg_catalog.pg_proc WHERE oid = 'hotdash.validate(jsonb, jsonb)'::regprocedure), 'i',
	'validate is immutable');
SELECT set_eq(
	$$SELECT level FROM hotdash._access_rights() WHERE object = 'hotdash.validate(jsonb, jsonb)'$$,
	ARRAY['viewer', 'producer', 'worker', 'operator', 'admin'], 'all levels but the edge may call it');

-- The schema of the call before is kept compiled; it must not be taken for another.
SELECT results_eq(
	$$SELECT i, (SELECT count(*) FROM hotdash.validate(jsonb_build_object('minimum', i % 3), '1')) FROM generate_series(0, 5) AS i$$,
	$$VALUES (0, 0::bigint), (1, 0), (2, 1), (3, 0), (4, 0), (5, 1)$$, 'each row its own schema');

/*
 * Schemas that are refused, with the place of the mistake
 */

CREATE TEMPORARY TABLE bad_schema (schema jsonb, place text, problem text);
INSERT INTO bad_schema VALUES
	('1', '', 'must be a schema, that is an object or a boolean'), ('[]', '', 'must be a schema, that is an object or a boolean'), ('null', '', 'must be a schema, that is an object or a boolean'),
	('{"type":"text"}', '/type', '"text" is not a type'), ('{"type":["null","x"]}', '/type', '"x" is not a type'), ('{"type":[]}', '/type', 'must name a type'),
	('{"type":{}}', '/type', 'must be an array of strings'), ('{"type":[1]}', '/type/0', 'must be a string'),
	('{"enum":1}', '/enum', 'must be an array'), ('{"minimum":"1"}', '/minimum', 'must be a number'), ('{"multipleOf":0}', '/multipleOf', 'must be greater than 0'),
	('{"multipleOf":-1}', '/multipleOf', 'must be greater than 0'), ('{"minLength":-1}', '/minLength', 'must not be negative'), ('{"maxItems":1.5}', '/maxItems', 'must be an integer'),
	('{"maxProperties":"1"}', '/maxProperties', 'must be an integer'), ('{"contains":true,"minContains":-1}', '/minContains', 'must not be negative'), ('{"maxContains":[]}', '/maxContains', 'must be an integer'),
	('{"uniqueItems":1}', '/uniqueItems', 'must be a boolean'), ('{"required":"a"}', '/required', 'must be an array of strings'), ('{"required":["a",1]}', '/required/1', 'must be a string'),
	('{"properties":[]}', '/properties', 'must be an object'), ('{"properties":{"a":{"properties":{"b/c":1}}}}', '/properties/a/properties/b~1c', 'must be a schema, that is an object or a boolean'),
	('{"items":[{}]}', '/items', 'must be a schema, that is an object or a boolean'), ('{"prefixItems":[]}', '/prefixItems', 'must be an array of one or more schemas'),
	('{"allOf":[]}', '/allOf', 'must be an array of one or more schemas'), ('{"anyOf":[{},2]}', '/anyOf/1', 'must be a schema, that is an object or a boolean'), ('{"oneOf":{}}', '/oneOf', 'must be an array of one or more schemas'),
	('{"not":"x"}', '/not', 'must be a schema, that is an object or a boolean'), ('{"then":1}', '/then', 'must be a schema, that is an object or a boolean'), ('{"if":true,"else":1}', '/else', 'must be a schema, that is an object or a boolean'),
	('{"dependentRequired":{"a":"b"}}', '/dependentRequired/a', 'must be an array of strings'), ('{"dependentSchemas":{"a":[]}}', '/dependentSchemas/a', 'must be a schema, that is an object or a boolean'),
	('{"$defs":{"unused":{"type":"x"}}}', '/$defs/unused/type', '"x" is not a type'), ('{"additionalProperties":0}', '/additionalProperties', 'must be a schema, that is an object or a boolean'),
	('{"unevaluatedItems":0}', '/unevaluatedItems', 'must be a schema, that is an object or a boolean'), ('{"propertyNames":{"pattern":"("}}', '/propertyNames/pattern', 'not a regular expression: parentheses () not balanced'),
	('{"pattern":1}', '/pattern', 'must be a string'), ('{"pattern":"\\bred"}', '/pattern', '\b is not about words in PostgreSQL, write \y'), ('{"pattern":"[a]\\B"}', '/pattern', '\B is not about words in PostgreSQL, write \Y'),
	('{"pattern":"\\p{L}"}', '/pattern', 'not a regular expression: invalid escape \ sequence'), ('{"patternProperties":{"[":true}}', '/patternProperties/[', 'not a regular expression: brackets [] not balanced'),
	('{"pattern":"((((x{255}){255}){255}){255}){255}"}', '/pattern', 'not a regular expression: regular expression is too complex'),
	('{"$ref":1}', '/$ref', 'must be a string'), ('{"$ref":"#/$defs/none"}', '/$ref', 'there is nothing at "#/$defs/none"'), ('{"$ref":"#/x/01","x":[{},{}]}', '/$ref', 'there is nothing at "#/x/01"'),
	('{"$ref":"#/x/2","x":[{},{}]}', '/$ref', 'there is nothing at "#/x/2"'), ('{"$ref":"#/a/b","a":1}', '/$ref', 'there is nothing at "#/a/b"'), ('{"$ref":"#/x","x":1}', '/x', 'must be a schema, that is an object or a boolean'),
	('{"$ref":"#/a~2"}', '/$ref', '~ must be followed by 0 or 1'), ('{"$ref":"#/a%2"}', '/$ref', '% must be followed by two hexadecimal digits'),
	('{"$ref":""}', '/$ref', 'only # and #/… are supported, references into the same document'), ('{"$ref":"https://example.com/a"}', '/$ref', 'only # and #/… are supported, references into the same document'),
	('{"$ref":"#name"}', '/$ref', 'only # and #/… are supported, references into the same document'), ('{"$dynamicRef":"#a"}', '/$dynamicRef', 'dynamic references are not supported'),
	('{"items":{"$id":"b"}}', '/items/$id', '$id is supported at the root only'), ('{"$id":1}', '/$id', 'must be a string'),
	('{"$schema":"http://json-schema.org/draft-07/schema#"}', '/$schema', 'only https://json-schema.org/draft/2020-12/schema is supported');

SELECT throws_ok(format('SELECT hotdash.validate(%L, 1::text::jsonb)', schema), '22023', format('invalid schema at "%s": %s', place, problem),
	format('refused: %s', schema)) FROM bad_schema;
SELECT throws_ok(format('SELECT hotdash.validate(%L, 1::text::jsonb)', schema), '22023', 'invalid schema: a reference leads back to itself',
	format('a circle: %s', schema))
FROM (VALUES ('{"$ref":"#"}'), ('{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"allOf":[{"$ref":"#/$defs/a"}]}}}'), ('{"anyOf":[true,{"not":{"$ref":"#"}}]}'),
	('{"if":true,"then":{"$ref":"#"}}'), ('{"dependentSchemas":{"a":{"$ref":"#"}}}')) AS v (schema);
SELECT throws_ok(format('SELECT hotdash.validate(%L, 1::text::jsonb)', jsonb_build_object('pattern', repeat('a', 5000))), '22023',
	'invalid schema at "/pattern": a regular expression may have up to 4096 bytes', 'a pattern that is too long');

/*
 * Large and hostile
 */

SELECT is(pg_temp.verdict('{"items":{"type":"integer","minimum":0},"uniqueItems":true}', (SELECT jsonb_agg(i) FROM generate_series(1, 100000) AS i)), 'fits',
	'a hundred thousand unique items');
SELECT is(pg_temp.verdict('{"uniqueItems":true}', (SELECT jsonb_agg(jsonb_build_array(i, 0)) || '[[77, 0]]' FROM generate_series(1, 20000) AS i)), 'uniqueItems',
	'one of them twice');
SELECT is(pg_temp.verdict((SELECT jsonb_build_object('properties', jsonb_object_agg('p' || i, '{"type":"integer"}'::jsonb), 'additionalProperties', false)
	FROM generate_series(1, 20000) AS i), (SELECT jsonb_object_agg('p' || i, i) FROM generate_series(1, 20000) AS i)), 'fits', 'twenty thousand properties');
SELECT is(pg_temp.verdict((SELECT jsonb_build_object('enum', jsonb_agg(i)) FROM generate_series(1, 50000) AS i), '50000'), 'fits', 'a long enum');
CREATE TEMPORARY TABLE deep AS
	SELECT (repeat('[', 500) || '1' || repeat(']', 500))::jsonb AS value, (repeat('{"not":', 500) || 'true' || repeat('}', 500))::jsonb AS schema;
SELECT is(pg_temp.verdict('{"items":{"$ref":"#"},"type":"array"}', value), repeat('/0', 500) || ' type', '500 levels') FROM deep;
SET LOCAL max_stack_depth = '100kB';
SELECT throws_ok($$SELECT hotdash.validate('{"items":{"$ref":"#"}}', value) FROM deep$$, '54001', NULL, 'too many levels for the stack');
SELECT throws_ok($$SELECT hotdash.validate(schema, '1') FROM deep$$, '54001', NULL, 'the same for a schema');
RESET max_stack_depth;

CREATE FUNCTION pg_temp.interrupted(schema jsonb, value jsonb) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	PERFORM hotdash.validate(schema, value);
	RETURN false;
EXCEPTION WHEN query_canceled THEN
	RETURN true;
END
$$;
SET LOCAL statement_timeout = '200ms';
SELECT ok(pg_temp.interrupted(jsonb_object_agg('d' || i, jsonb_build_object('allOf', jsonb_build_array(
		jsonb_build_object('$ref', '#/d' || i + 1), jsonb_build_object('$ref', '#/d' || i + 1)))) || '{"d60":true,"$ref":"#/d0"}', '1'),
	'a schema that doubles at every step can be interrupted') FROM generate_series(0, 59) AS i;
SET LOCAL statement_timeout = 0;

/*
 * Random schemas against random values: whatever comes, what must hold between answers holds
 */

CREATE FUNCTION pg_temp.pick(words text[]) RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT words[1 + floor(random() * cardinality(words))::int]
$$;

CREATE FUNCTION pg_temp.random_value(depth int) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	result jsonb;
BEGIN
	IF depth = 0 OR random() < 0.5 THEN
		RETURN pg_temp.pick(ARRAY['null', 'true', 'false', '0', '1', '1.0', '2.5', '-3', '1e30', '""', '"a"', '"ab"', '"äb"', '[]', '{}']);
	END IF;
	IF random() < 0.5 THEN
		result := '[]';
		FOR i IN 1 .. floor(random() * 4) LOOP
			result := result || jsonb_build_array(pg_temp.random_value(depth - 1));
		END LOOP;
	ELSE
		result := '{}';
		FOR i IN 1 .. floor(random() * 4) LOOP
			result := result || jsonb_build_object(pg_temp.pick(ARRAY['a', 'b', 'ab', '']), pg_temp.random_value(depth - 1));
		END LOOP;
	END IF;
	RETURN result;
END
$$;

CREATE FUNCTION pg_temp.random_schema(depth int) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	result jsonb := '{}';
	word text;
BEGIN
	IF random() < 0.1 THEN
		RETURN pg_temp.pick(ARRAY['true', 'false']);
	END IF;
	FOR i IN 0 .. floor(random() * 4) LOOP
		word := pg_temp.pick(ARRAY['type', 'enum', 'const', 'minimum', 'maximum', 'exclusiveMinimum', 'multipleOf', 'minLength', 'maxLength', 'pattern',
			'minItems', 'maxItems', 'uniqueItems', 'minProperties', 'maxProperties', 'required', 'dependentRequired', 'minContains', 'maxContains',
			'items', 'contains', 'additionalProperties', 'propertyNames', 'not', 'if', 'then', 'else', 'unevaluatedItems', 'unevaluatedProperties',
			'allOf', 'anyOf', 'oneOf', 'prefixItems', 'properties', 'patternProperties', 'dependentSchemas', '$ref']);
		result := result || jsonb_build_object(word, CASE
			WHEN word = 'type' THEN to_jsonb(ARRAY[pg_temp.pick(ARRAY['null', 'boolean', 'string', 'number']), pg_temp.pick(ARRAY['integer', 'array', 'object'])])
			WHEN word = 'enum' THEN jsonb_build_array(pg_temp.random_value(1), pg_temp.random_value(2))
			WHEN word = 'const' THEN pg_temp.random_value(2)
			WHEN word ~ '^(min|max|exclusive|multiple)' THEN to_jsonb(1 + floor(random() * 3))
			WHEN word = 'pattern' THEN to_jsonb(pg_temp.pick(ARRAY['a', '^.$', '^$', 'b$', '[^a]']))
			WHEN word = 'uniqueItems' THEN to_jsonb(random() < 0.7)
			WHEN word = 'required' THEN to_jsonb(ARRAY[pg_temp.pick(ARRAY['a', 'b', 'ab', ''])])
			WHEN word = 'dependentRequired' THEN '{"a": ["b"], "": ["ab", "a"]}'
			WHEN word = '$ref' THEN to_jsonb(pg_temp.pick(ARRAY['#/$defs/x', '#/$defs/y']))
			WHEN depth = 0 THEN CASE
				WHEN word ~ 'Of$|^prefix' THEN '[true, {"type": "string"}]'
				WHEN word ~ '^(properties|pattern|dependent)' THEN '{"a": {"type": "number"}, "b": false}'
				ELSE '{"minLength": 2, "minItems": 1}' END::jsonb
			WHEN word ~ 'Of$|^prefix' THEN jsonb_build_array(pg_temp.random_schema(depth - 1), pg_temp.random_schema(depth - 1))
			WHEN word ~ '^(properties|pattern|dependent)' THEN
				jsonb_build_object('a', pg_temp.random_schema(depth - 1), 'b', pg_temp.random_schema(depth - 1))
			ELSE pg_temp.random_schema(depth - 1) END);
	END LOOP;
	RETURN result;
END
$$;

CREATE FUNCTION pg_temp.fits(schema jsonb, value jsonb) RETURNS bool LANGUAGE sql AS $$
	SELECT NOT EXISTS (SELECT FROM hotdash.validate(
		jsonb_build_object('allOf', jsonb_build_array(schema), '$defs',
			'{"x": {"type": ["string", "array"], "items": {"$ref": "#/$defs/y"}}, "y": {"properties": {"a": {"$ref": "#/$defs/x"}}}}'::jsonb),
		value))
$$;

SELECT setseed(0.25);
CREATE TEMPORARY TABLE random_case AS
	SELECT pg_temp.random_schema(2) AS a, pg_temp.random_schema(1) AS b, pg_temp.random_value(3) AS value
	FROM generate_series(1, 3000);

SELECT ok(count(*) FILTER (WHERE pg_temp.fits(a, value)) > 300 AND count(*) FILTER (WHERE NOT pg_temp.fits(a, value)) > 300,
	'of the random values many fit and many do not') FROM random_case;
SELECT is_empty($$SELECT a, value FROM random_case
	WHERE pg_temp.fits(jsonb_build_object('not', a), value) = pg_temp.fits(a, value)$$, 'not says the opposite');
SELECT is_empty($$SELECT a, b, value FROM random_case
	WHERE pg_temp.fits(jsonb_build_object('allOf', jsonb_build_array(a, b)), value)
		<> (pg_temp.fits(a, value) AND pg_temp.fits(b, value))$$, 'allOf is and');
SELECT is_empty($$SELECT a, b, value FROM random_case
	WHERE pg_temp.fits(jsonb_build_object('anyOf', jsonb_build_array(a, b)), value)
		<> (pg_temp.fits(a, value) OR pg_temp.fits(b, value))$$, 'anyOf is or');
SELECT is_empty($$SELECT a, b, value FROM random_case
	WHERE pg_temp.fits(jsonb_build_object('oneOf', jsonb_build_array(a, b)), value)
		<> (pg_temp.fits(a, value) <> pg_temp.fits(b, value))$$, 'oneOf is either, or');
SELECT is_empty($$SELECT a, b, value FROM random_case
	WHERE pg_temp.fits(jsonb_build_object('if', a, 'then', b, 'else', false), value)
		<> (pg_temp.fits(a, value) AND pg_temp.fits(b, value))$$, 'if and then are and, where else is refused');
SELECT is_empty($$SELECT a, value FROM random_case
	WHERE pg_temp.fits(jsonb_build_object('items', a), jsonb_build_array(value, value)) <> pg_temp.fits(a, value)
		OR pg_temp.fits(jsonb_build_object('additionalProperties', a), jsonb_build_object('k', value)) <> pg_temp.fits(a, value)
		OR pg_temp.fits(jsonb_build_object('contains', a), jsonb_build_array(value)) <> pg_temp.fits(a, value)$$,
	'a part is judged as the same value would be by itself');
SELECT is_empty($$SELECT a, value FROM random_case
	WHERE NOT pg_temp.fits(jsonb_build_object('const', value), value) OR NOT pg_temp.fits(jsonb_build_object('enum', jsonb_build_array(1, value)), value)
		OR pg_temp.fits('{"uniqueItems": true}', jsonb_build_array(value, 'x', value))$$, 'every value equals itself');

/*
 * Payloads
 */

SELECT throws_ok($$SELECT hotdash.job_kind_set('tap.schema', payload_schema => '{"properties": {"to": {"type": "text"}}}')$$,
	'22023', 'invalid schema at "/properties/to/type": "text" is not a type', 'job_kind_set refuses a bad schema');
SELECT is_empty($$SELECT FROM hotdash._kind WHERE kind = 'tap.schema'$$, 'and has made no kind');
SELECT lives_ok($$SELECT hotdash.job_kind_set('tap.schema', payload_schema => '{"type": "object", "required": ["to"],
	"properties": {"to": {"type": "string", "minLength": 3}, "lines": {"items": {"type": "integer"}}}}')$$, 'a good one is taken');

CREATE FUNCTION pg_temp.written() RETURNS bigint LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM hotdash._job WHERE kind = 'tap.schema') + (SELECT count(*) FROM hotdash._job_unique WHERE kind = 'tap.schema')
$$;

SELECT throws_ok($$SELECT hotdash.job_enqueue('tap.schema', '{"to": "secret@example.com", "lines": [1, "secret"]}')$$, '22023',
	'payload of kind "tap.schema" breaks the rule "type" of its schema at "/lines/1"', 'a payload that does not fit');
SELECT throws_ok($$SELECT hotdash.job_enqueue('tap.schema', '{"to": "ab"}', unique_key => 'k')$$, '22023',
	'payload of kind "tap.schema" breaks the rule "minLength" of its schema at "/to"', 'one with a unique key');
SELECT throws_ok($$SELECT hotdash.job_enqueue('tap.schema', '{}', run_at => '2100-01-01', order_key => 'o')$$, '22023',
	'payload of kind "tap.schema" breaks the rule "required" of its schema at ""', 'one for later');
SELECT throws_ok($$SELECT hotdash.job_enqueue('tap.schema')$$, '22023',
	'payload of kind "tap.schema" breaks the rule "type" of its schema at ""', 'no payload is checked as null');
SELECT throws_ok($$SELECT hotdash.job_enqueue_many('tap.schema', ARRAY['{"to": "abc"}', '{"to": "abcd"}', '{"to": 5}']::jsonb[], unique_keys => ARRAY['a', 'b', 'c'])$$,
	'22023', 'payload of kind "tap.schema" breaks the rule "type" of its schema at "/to"', 'one of many');
SELECT throws_ok($$SELECT hotdash.job_enqueue_many('tap.schema', ARRAY['{"to": "abc"}', NULL]::jsonb[])$$,
	'22023', 'payload of kind "tap.schema" breaks the rule "type" of its schema at ""', 'a null among many');
SELECT is(pg_temp.written(), 0::bigint, 'nothing of them is written');

-- The same within one statement that goes on: what came before the refusal must not stay behind in memory.
SELECT lives_ok($test$DO $$ BEGIN
	BEGIN
		PERFORM hotdash.job_enqueue_many('tap.schema', ARRAY['{"to": "abc"}', '{"to": ""}']::jsonb[]);
	EXCEPTION WHEN invalid_parameter_value THEN
		PERFORM hotdash.job_enqueue('tap.schema', '{"to": "abc", "lines": [1, 2.0]}', unique_key => 'k');
	END;
END $$ $test$, 'a refusal can be caught');
SELECT is(pg_temp.written(), 2::bigint, 'and what is enqueued then is there: one job, one key');

SELECT throws_ok($$SELECT hotdash.job_enqueue('tap.schema', '{"to": "x"}', unique_key => 'k', if_exists => 'replace')$$, '22023',
	'payload of kind "tap.schema" breaks the rule "minLength" of its schema at "/to"', 'replace is checked too');
SELECT is((SELECT payload ->> 'to' FROM hotdash._job WHERE kind = 'tap.schema'), 'abc', 'the payload that was there stays');
SELECT is(cardinality(hotdash.job_enqueue_many('tap.schema', array_fill('{"to": "many"}'::jsonb, ARRAY[500]))), 500, 'many that fit');

SELECT hotdash.job_enqueue('tap.schema', '{"to": "before"}', needs_approval => true) AS held \gset
SELECT throws_ok(format($$SELECT hotdash.job_approve(%s, 'ann', payload => '{"to": 1}')$$, :held), '22023',
	'payload of kind "tap.schema" breaks the rule "type" of its schema at "/to"', 'what an approval changes is checked');
SELECT is((SELECT state FROM hotdash.jobs WHERE id = :held), 'waiting_approval', 'and the job still waits for one');
SELECT ok(hotdash.job_approve(:held, 'ann', payload => '{"to": "after"}'), 'a payload that fits');
SELECT is((SELECT payload ->> 'to' FROM hotdash._job WHERE id = :held), 'after', 'takes the place of the old one');

SELECT lives_ok($$SELECT hotdash.job_kind_set('tap.schema', payload_schema => '{"type": ["object", "null"]}')$$, 'another schema');
SELECT lives_ok($$SELECT hotdash.job_enqueue('tap.schema'), hotdash.job_enqueue('tap.schema', '{"to": 5}')$$, 'counts at once');
SELECT throws_ok($$SELECT hotdash.job_enqueue('tap.schema', '5')$$, '22023', NULL, 'for what does not fit it');
SELECT lives_ok($$SELECT hotdash.job_kind_set('tap.schema')$$, 'stated without one');
SELECT lives_ok($$SELECT hotdash.job_enqueue('tap.schema', '5')$$, 'the kind takes anything');

-- However a schema came into the table that is none, it stops enqueueing alone.
UPDATE hotdash._kind SET payload_schema = '{"type": "what"}' WHERE kind = 'tap.schema';
SELECT throws_ok($$SELECT hotdash.job_enqueue('tap.schema', '5')$$, '22023', 'invalid schema at "/type": "what" is not a type', 'a stored schema that is none is told');
SELECT lives_ok($$SELECT hotdash.job_explain(id), hotdash.job_cancel(id) FROM hotdash.jobs WHERE kind = 'tap.schema'$$, 'and jobs of the kind can be ended');

-- A schedule adds the time it was planned for, which the schema must allow.
SET LOCAL hotdash.now_override = '2031-01-03 06:30:00+00';
SELECT lives_ok($$SELECT hotdash.job_kind_set('tap.schema', payload_schema => '{"additionalProperties": false}'),
	hotdash.schedule_set('tap schema', '0 * * * *', 'tap.schema')$$, 'a schedule of the kind');
SET LOCAL hotdash.now_override = '2031-01-03 07:00:00+00';
CALL hotdash._tick();
SELECT is((SELECT last_error FROM hotdash.schedules WHERE name = 'tap schema'),
	'22023: payload of kind "tap.schema" breaks the rule "additionalProperties" of its schema at "/scheduled_for"',
	'what does not fit when it is due is told with the schedule');

SELECT * FROM finish();
ROLLBACK;
