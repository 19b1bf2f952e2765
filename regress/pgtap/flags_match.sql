-- Operators that compare: versions, beginnings and ends, expressions, networks and times.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT * FROM no_plan();

CREATE TEMPORARY TABLE comparison (operator text, arguments jsonb, expected jsonb);

--
-- Versions: flagd's order and spellings, null for what is none
--

INSERT INTO comparison VALUES
	('sem_ver', '["2.0.0", "=", "2.0.0"]', 'true'),
	('sem_ver', '["2.1.0", ">", "2.0.0"]', 'true'),
	('sem_ver', '["1.9.0", "<", "2.0.0"]', 'true'),
	('sem_ver', '["2.0.0-alpha", "<", "2.0.0"]', 'true'),
	('sem_ver', '["2.0.0-rc.2", "<=", "2.0.0-rc.10"]', 'true'),
	('sem_ver', '["2.0.0", "!=", "2.0.0"]', 'false'),
	('sem_ver', '["2.0.0", ">=", "2.0.1"]', 'false'),
	('sem_ver', '["3.0.1", "~", "3.0.0"]', 'true'),
	('sem_ver', '["3.1.0", "~", "3.0.0"]', 'false'),
	('sem_ver', '["3.1.0", "^", "3.9.9"]', 'true'),
	('sem_ver', '["4.0.0", "^", "3.0.0"]', 'false'),
	('sem_ver', '["v1.0.0", "=", "1"]', 'true'),
	('sem_ver', '["1.0.0+a", "=", "V1.0.0+b"]', 'true'),
	('sem_ver', '[1, "=", "1.0.0"]', 'true'),
	('sem_ver', '[1.2, ">", "1.1"]', 'true'),
	('sem_ver', '["1.2", ">", 1.1]', 'true'),
	('sem_ver', '[20260101, "=", "20260101.0.0"]', 'true'),
	('sem_ver', '["2.0.0.0", "=", "2.0.0"]', 'null'),
	('sem_ver', '["not-a-version", "!=", "1.0.0"]', 'null'),
	('sem_ver', '["1.0.0", "=", "01.0.0"]', 'null'),
	('sem_ver', '["1.0.0", "===", "1.0.0"]', 'null'),
	('sem_ver', '["1.0.0", 1, "1.0.0"]', 'null'),
	('sem_ver', '{"var": "versions"}', 'true'),
	('sem_ver', '["1.0.0", "="]', 'null'),
	('sem_ver', '["1.0.0", "=", "1.0.0", 1]', 'null'),
	('sem_ver', '[null, "=", "1.0.0"]', 'null'),
	('sem_ver', '[true, "=", "1.0.0"]', 'null'),
	('sem_ver', '[-1, "=", "1.0.0"]', 'null'),
	('sem_ver', '[1e300, "=", "1.0.0"]', 'null'),
	('sem_ver', '[["1.0.0"], "=", "1.0.0"]', 'null');

--
-- Beginnings and ends
--

INSERT INTO comparison VALUES
	('starts_with', '["abcdef", "abc"]', 'true'),
	('starts_with', '["abcdef", "bc"]', 'false'),
	('starts_with', '["ab", "abc"]', 'false'),
	('starts_with', '["ab", ""]', 'true'),
	('starts_with', '["", ""]', 'true'),
	('starts_with', '["été", "é"]', 'true'),
	('starts_with', '[123, "1"]', 'null'),
	('starts_with', '{"var": "texts"}', 'true'),
	('starts_with', '["abc"]', 'null'),
	('starts_with', '["abc", "a", "b"]', 'null'),
	('starts_with', '[null, "a"]', 'null'),
	('ends_with', '["uvwxyz", "xyz"]', 'true'),
	('ends_with', '["uvwxyz", "xy"]', 'false'),
	('ends_with', '["yz", "xyz"]', 'false'),
	('ends_with', '["yz", ""]', 'true'),
	('ends_with', '["123", 3]', 'null'),
	('ends_with', '["xyz"]', 'null');

--
-- Expressions
--

INSERT INTO comparison VALUES
	('hd_regex', '["test@example.com", "^[^@]+@[^@]+$"]', 'true'),
	('hd_regex', '["a b@c@d", "^[^@]+@[^@]+$"]', 'false'),
	('hd_regex', '["user123", "^user\\d{3}$"]', 'true'),
	('hd_regex', '["user12", "^user\\d{3}$"]', 'false'),
	('hd_regex', '["a cat b", "\\bcat\\b"]', 'true'),
	('hd_regex', '["concatenate", "\\bcat\\b"]', 'false'),
	('hd_regex', '["concatenate", "\\Bcat\\B"]', 'true'),
	('hd_regex', '["AbC", "^(?i)abc$"]', 'true'),
	('hd_regex', '["AbC", "^abc$", "i"]', 'true'),
	('hd_regex', '["AbC", "^abc$"]', 'false'),
	('hd_regex', '["aBC", "^a(?i:b)c$"]', 'false'),
	('hd_regex', '["x\nfoo\ny", "(?m)^foo$"]', 'true'),
	('hd_regex', '["x\nfoo\ny", "^foo$"]', 'false'),
	('hd_regex', '["foo\n", "foo$"]', 'false'),
	('hd_regex', '["a\nb", "a.b"]', 'false'),
	('hd_regex', '["a\nb", "^(?s)a.b$"]', 'true'),
	('hd_regex', '["a\nb", "a.b", "s"]', 'true'),
	('hd_regex', '["a\nb", "a[^x]b"]', 'true'),
	('hd_regex', '["fo", "^(foo|fo)$"]', 'true'),
	('hd_regex', '["a___b___b", "^a.*?b$"]', 'true'),
	('hd_regex', '["é", "^.$"]', 'true'),
	('hd_regex', '["😀", "^.$"]', 'true'),
	('hd_regex', '["é", "^\\w$"]', 'false'),
	('hd_regex', '["é", "^\\W$"]', 'true'),
	('hd_regex', '["é", "^[\\D]$"]', 'true'),
	('hd_regex', '["_", "^[\\w]$"]', 'true'),
	('hd_regex', '["a]b-c", "^[]a-c-]+$"]', 'true'),
	('hd_regex', '["a{x}", "^a{x}$"]', 'true'),
	('hd_regex', '["", ""]', 'true'),
	('hd_regex', '["b", "a|"]', 'true'),
	('hd_regex', '["\u0001", "\\x01"]', 'true'),
	('hd_regex', '["aaa", "^(a?){3}$"]', 'true'),
	('hd_regex', '["aaaa", "^(a?){3}$"]', 'false'),
	('hd_regex', '["a", "(^a$)+"]', 'true'),
	('hd_regex', '[7, "7"]', 'null'),
	('hd_regex', '[null, "7"]', 'null');

--
-- Networks
--

INSERT INTO comparison VALUES
	('hd_cidr', '["10.1.2.3", "10.0.0.0/8"]', 'true'),
	('hd_cidr', '["11.1.2.3", "10.0.0.0/8"]', 'false'),
	('hd_cidr', '["192.168.1.7", ["10.0.0.0/8", "192.168.0.0/16"]]', 'true'),
	('hd_cidr', '["192.169.1.7", ["10.0.0.0/8", "192.168.0.0/16"]]', 'false'),
	('hd_cidr', '["2001:db8::7", "2001:db8::/32"]', 'true'),
	('hd_cidr', '["::ffff:10.1.2.3", "10.0.0.0/8"]', 'true'),
	('hd_cidr', '["10.1.2.3", []]', 'false'),
	('hd_cidr', '["10.1.2.3", {"var": "nets"}]', 'true'),
	('hd_cidr', '["10.1.2.3", {"var": "odd_nets"}]', 'true'),
	('hd_cidr', '["10.1.2.3", {"var": "absent"}]', 'false'),
	('hd_cidr', '["10.1.2.3:80", "10.0.0.0/8"]', 'null'),
	('hd_cidr', '[null, "10.0.0.0/8"]', 'null'),
	('hd_cidr', '[{"var": "address"}, "10.1.2.3"]', 'true');

--
-- Times
--

SET LOCAL hotdash.now_override = '2026-11-21 12:00:00+00';
INSERT INTO comparison VALUES
	('hd_before', '["now", "2026-11-21T12:00:01Z"]', 'true'),
	('hd_before', '["now", "2026-11-21T12:00:00Z"]', 'false'),
	('hd_after', '["now", "2026-11-21T12:59:59+01:00"]', 'true'),
	('hd_after', '["now", "2026-11-21T13:00:00+01:00"]', 'false'),
	('hd_after', '[{"var": "signed_up"}, "2026-01-01"]', 'true'),
	('hd_after', '[{"var": "epoch"}, "2026-11-21T12:00:00.25Z"]', 'false'),
	('hd_before', '[{"var": "epoch"}, "2026-11-21T12:00:00.250001Z"]', 'true'),
	('hd_between', '["now", "2026-11-21T12:00:00Z", "2026-11-22"]', 'true'),
	('hd_between', '["now", "2026-11-20", "2026-11-21T12:00:00Z"]', 'false'),
	('hd_between', '["2026-11-21", "now", "now"]', 'false'),
	('hd_before', '[{"var": "absent"}, "2026-01-01"]', 'null'),
	('hd_before', '[{"var": "address"}, "2026-01-01"]', 'null'),
	('hd_after', '[{"cat": ["n", "ow"]}, "2026-01-01"]', 'true');

SELECT is(hotdash.jsonlogic(jsonb_build_object(operator, arguments),
	'{"versions": ["1.2", "<", "1.10"], "texts": ["ab", "a"], "nets": ["10.0.0.0/8"], "odd_nets": ["nonsense", 7, "10.1.0.0/16"], "address": "10.1.2.3", "signed_up": "2026-02-03 04:05", "epoch": 1795262400.25}'),
	expected, operator || ' ' || arguments)
FROM comparison;

-- In the strict dialect what cannot be compared is an error.
SELECT throws_ok(format('SELECT hotdash.jsonlogic(%L, NULL, %L)', rule, 'strict'), '22023', 'Invalid Arguments', rule || ' throws')
FROM unnest(ARRAY['{"sem_ver": ["x", "=", "1"]}', '{"starts_with": ["x"]}', '{"hd_cidr": ["x", "10.0.0.0/8"]}']) AS rule;

--
-- What is refused when a rule is compiled
--

SELECT throws_ok(format('SELECT hotdash.jsonlogic(%L, NULL)', rule), '22023', NULL, left(rule, 80) || ' is refused')
FROM unnest(ARRAY['{"hd_regex": ["a", "(a"]}', '{"hd_regex": ["a", "(?=a)"]}', '{"hd_regex": ["a", "(a)\\1"]}', '{"hd_regex": ["a", {"var": "x"}]}',
	'{"hd_regex": ["a", "b", "x"]}', '{"hd_regex": ["a"]}', '{"hd_regex": "a"}', '{"hd_regex": ["a", 1]}',
	'{"hd_regex": ["a", "((a{30}){30}){30}"]}', '{"hd_regex": ["a", "' || repeat('a', 1001) || '"]}',
	'{"hd_cidr": ["1.2.3.4", "10.0.0.0/33"]}', '{"hd_cidr": ["1.2.3.4", ["10.0.0.0/8", 7]]}', '{"hd_cidr": ["1.2.3.4"]}',
	'{"hd_before": ["now", "tomorrow"]}', '{"hd_before": ["now"]}', '{"hd_after": ["now", true]}', '{"hd_after": ["now", 1e300]}',
	'{"hd_between": ["now", "2026-01-01"]}', '{"hd_between": "now"}']) AS rule;

--
-- Bounds of expressions
--

SELECT is(hotdash.jsonlogic('{"hd_regex": [{"var": "text"}, "a$"]}', jsonb_build_object('text', repeat('a', 60000))), 'true', 'a long text');
SELECT is(hotdash.jsonlogic('{"hd_regex": [{"var": "text"}, "a$"]}', jsonb_build_object('text', repeat('a', 70000))), 'null', 'one that is too long');

-- The worst that could be thought of: automata that grow with the text, repetitions of what may be empty, many
-- alternatives, sets of many characters. Either it is refused, or it takes no time that anybody could notice.
CREATE FUNCTION pg_temp.took(pattern text, subject text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
	started timestamptz := clock_timestamp();
BEGIN
	BEGIN
		PERFORM hotdash.jsonlogic(jsonb_build_object('hd_regex', jsonb_build_array('{"var": "text"}'::jsonb, pattern)), jsonb_build_object('text', subject));
	EXCEPTION WHEN invalid_parameter_value THEN
		NULL;
	END;
	RETURN extract(epoch FROM clock_timestamp() - started) * 1000;
END
$$;
SELECT cmp_ok(pg_temp.took(pattern, repeat(subject, 65536 / length(subject) / n)), '<', 2000::float8, format('%s on %s bytes', left(pattern, 60), 65536 / n))
FROM (VALUES
	('(a|b)*a(a|b){200}$', 'abbaabab'),
	('(a?){300}a{300}', 'a'),
	('(.*a){50}', 'ab'),
	('(a*)*b', 'a'),
	('((a+)+)+$', 'ab'),
	('([a-z]+)*[0-9]', 'abcdefgh'),
	('(x+x+)+y', 'x'),
	('(' || (SELECT string_agg(chr(97 + n % 26) || chr(97 + n % 25) || '?', '|') FROM generate_series(1, 240) AS n) || ')*z', 'abc'),
	('(' || (SELECT string_agg(chr(192 + n), '.*') FROM generate_series(1, 200) AS n) || ')', 'àáâ'),
	('(^|$|a)*b', 'a'),
	('((|a)(|a)(|a)(|a)(|a)(|a)(|a)(|a)){100}b', 'a'),
	('(?:[^\w\d\s]|\W|\D|\S){0,200}$', 'aé😀 ')) AS t (pattern, subject), unnest('{1, 16, 64}'::int[]) AS n;

SELECT * FROM finish();
ROLLBACK;
