-- Rules of the house that the catalogs can prove, for the whole extension. A failing test lists what
-- breaks the rule.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(21);

/*
 * What the extension consists of
 */

CREATE TEMPORARY VIEW member AS
	SELECT d.classid, d.objid, o.type, o.schema, o.identity
	FROM pg_catalog.pg_depend AS d
	JOIN pg_catalog.pg_extension AS e
		ON d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.refobjid = e.oid
	CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) AS o
	WHERE e.extname = 'hotdash' AND d.deptype = 'e';

CREATE TEMPORARY VIEW routine AS
	SELECT p.*, l.lanname, p.oid::regprocedure::text AS signature,
		p.proname NOT LIKE '\_%' AS public,
		coalesce((SELECT s FROM unnest(p.proconfig) AS s WHERE s LIKE 'search\_path=%'), '') AS path
	FROM member AS m
	JOIN pg_catalog.pg_proc AS p
		ON m.classid = 'pg_catalog.pg_proc'::regclass AND m.objid = p.oid
	JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang;

CREATE TEMPORARY VIEW relation AS
	SELECT c.*, c.oid::regclass::text AS name
	FROM member AS m
	JOIN pg_catalog.pg_class AS c
		ON m.classid = 'pg_catalog.pg_class'::regclass AND m.objid = c.oid;

SELECT is_empty(
	$$SELECT type, identity FROM member
		WHERE schema IS DISTINCT FROM 'hotdash' AND (type, identity) <> ('schema', 'hotdash')$$,
	'every member lies in schema hotdash');

SELECT is_empty(
	$$SELECT c.oid::regclass FROM pg_catalog.pg_class AS c
		WHERE c.relnamespace = 'hotdash'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
			AND NOT c.relispartition
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
				WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid
					AND d.deptype IN ('e', 'i', 'a'))$$,
	'every relation in the schema is a member');

/*
 * Comments
 */

SELECT is_empty(
	$$SELECT signature FROM routine
		WHERE coalesce(pg_catalog.obj_description(oid, 'pg_proc'), '') = ''$$,
	'every function and procedure has a comment');

SELECT is_empty(
	$$SELECT name FROM relation
		WHERE relkind IN ('r', 'p', 'v', 'm')
			AND coalesce(pg_catalog.obj_description(oid, 'pg_class'), '') = ''$$,
	'every table and view has a comment');

SELECT is_empty(
	$$SELECT t.oid::regtype
		FROM pg_catalog.pg_type AS t
		LEFT JOIN pg_catalog.pg_class AS c ON c.oid = t.typrelid
		WHERE t.typnamespace = 'hotdash'::regnamespace AND t.typelem = 0 AND t.typtype <> 'm'
			AND (c.relkind IS NULL OR c.relkind = 'c')
			AND coalesce(pg_catalog.obj_description(t.oid, 'pg_type'), '') = ''$$,
	'every type of its own has a comment');

/*
 * Privileges
 */

SELECT is_empty(
	$$SELECT signature FROM routine WHERE pg_catalog.has_function_privilege('public', oid, 'EXECUTE')$$,
	'PUBLIC may execute nothing');

SELECT is_empty(
	$$SELECT name FROM relation, pg_catalog.aclexplode(relacl) AS e WHERE e.grantee = 0
		UNION ALL
		SELECT a.attrelid::regclass::text || '.' || a.attname
		FROM relation AS r
		JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid,
		pg_catalog.aclexplode(a.attacl) AS e WHERE e.grantee = 0
		UNION ALL
		SELECT nspname FROM pg_catalog.pg_namespace, pg_catalog.aclexplode(nspacl) AS e
		WHERE nspname = 'hotdash' AND e.grantee = 0$$,
	'PUBLIC has no right on a table, a view, a column or the schema');

SELECT is_empty(
	$$SELECT name FROM relation
		WHERE relkind = 'v'
			AND NOT coalesce(reloptions && ARRAY['security_invoker=true', 'security_invoker=on'], false)$$,
	'every view is security_invoker');

SELECT is_empty(
	$$SELECT DISTINCT r.name
		FROM relation AS v
		CROSS JOIN LATERAL hotdash._access_view_needs(v.oid) AS n
		JOIN relation AS r ON n.kind = 'column' AND r.relname = (parse_ident(n.object))[2]
		JOIN pg_catalog.pg_attribute AS a
			ON a.attrelid = r.oid AND a.attname = 'tenant' AND NOT a.attisdropped
		WHERE v.relkind = 'v' AND r.relkind IN ('r', 'p')
			AND NOT (r.relrowsecurity
				AND EXISTS (SELECT FROM pg_catalog.pg_policy AS p WHERE p.polrelid = r.oid))$$,
	'a table whose columns a view makes readable filters rows by tenant itself');

/*
 * Search path: no function may depend on its caller's.
 */

SELECT is_empty(
	$$SELECT signature, path FROM routine
		WHERE prosecdef AND path <> 'search_path=pg_catalog, pg_temp'$$,
	'every SECURITY DEFINER function pins search_path = pg_catalog, pg_temp');

-- Those listed leave the clause out, so that they can be inlined, and qualify every name instead.
SELECT is_empty(
	$$SELECT signature FROM routine
		WHERE prokind = 'f' AND lanname <> 'c' AND path <> 'search_path=pg_catalog, pg_temp'
			AND signature NOT IN ('hotdash._tenant_sees(text)', 'hotdash._delivery_backoff()',
				'hotdash._delivery_endpoint(jsonb)', 'hotdash._delivery_part(jsonb)', 'hotdash._request_bytes(integer,jsonb)',
				'hotdash._endpoint_flow_name(bigint)', 'hotdash._event_echoes(text,text)',
				'hotdash._endpoint_grade(integer,integer,integer,boolean)')$$,
	'every function in SQL and PL/pgSQL pins it, but for these');

SELECT is_empty(
	$$SELECT signature FROM routine WHERE lanname = 'c' AND prosecdef$$,
	'C functions are SECURITY INVOKER');

SELECT is_empty(
	$$SELECT signature FROM routine WHERE prokind = 'p' AND (prosecdef OR proconfig IS NOT NULL)$$,
	'procedures, which commit, are SECURITY INVOKER without SET');

/*
 * Dump and restore
 */

SELECT is_empty(
	$$SELECT r.name FROM relation AS r
		WHERE r.relkind IN ('r', 'p', 'S')
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension AS e
				WHERE e.extname = 'hotdash' AND r.oid = ANY (e.extconfig))
			AND r.name <> 'hotdash._limit_state'	-- made anew for what is restored into _limit
		$$,
	'the rows of every table and the state of every sequence are dumped');

SELECT is_empty(
	$$SELECT r.name, a.attname, a.atttypid::regtype
		FROM relation AS r
		JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
		LEFT JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
		WHERE r.relkind IN ('r', 'p', 'c')
			AND (CASE WHEN t.typelem <> 0 THEN t.typelem ELSE t.oid END)::regtype::text ~ '^reg'
			AND (CASE WHEN t.typelem <> 0 THEN t.typelem ELSE t.oid END)::regtype::text
				NOT IN ('regclass', 'regrole', 'regtype')$$,
	'no column holds an object identifier that pg_upgrade refuses');

SELECT is_empty(
	$$SELECT d.objid::regclass FROM pg_catalog.pg_depend AS d
		JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'hotdash'
		JOIN pg_catalog.pg_class AS c ON c.oid = d.objid AND c.relispartition
		WHERE d.classid = 'pg_catalog.pg_class'::regclass
			AND d.refclassid = 'pg_catalog.pg_extension'::regclass
			AND pg_catalog.pg_get_expr(c.relpartbound, c.oid) NOT IN ('DEFAULT', $q$FOR VALUES IN ('0')$q$)$$,
	'the script creates no partition but those that are always there');

/*
 * The contract: names, arguments (? marks one with a default) and results
 */

CREATE TEMPORARY TABLE contract (name text PRIMARY KEY, arguments text NOT NULL, result text NOT NULL);
INSERT INTO contract VALUES
	('job_enqueue', 'kind text, payload jsonb?, queue text?, priority int?, run_at timestamptz?, max_attempts int?, unique_key text?, if_exists text?, order_key text?, tenant text?, after bigint[]?, needs_approval bool?, tags text[]?, options jsonb?', 'bigint'),
	('job_enqueue_many', 'kind text, payloads jsonb[], queue text?, priority int?, run_at timestamptz?, max_attempts int?, unique_keys text[]?, order_keys text[]?, tenant text?, tags text[]?, options jsonb?', 'bigint[]'),
	('job_claim', 'queues text[]?, batch int?, worker text?, lease interval?, kinds text[]?, session_bound bool?', 'SETOF hotdash.claimed_job'),
	('job_wait', 'queues text[]?, wait interval?, ready bool?', ''),
	('job_complete', 'id bigint, token bigint, result jsonb?', 'bool'),
	('job_next', 'id bigint, token bigint, result jsonb?, queues text[]?, lease interval?', 'SETOF hotdash.claimed_job'),
	('job_complete_many', 'ids bigint[], tokens bigint[], results jsonb[]?', 'TABLE(id bigint, accepted bool)'),
	('job_fail', 'id bigint, token bigint, error text, retry_in interval?, final bool?', 'text'),
	('job_fail_many', 'ids bigint[], tokens bigint[], errors text[], retry_ins interval[]?, finals bool[]?', 'TABLE(id bigint, state text)'),
	('job_snooze', 'id bigint, token bigint, delay interval', 'bool'),
	('job_renew', 'ids bigint[], tokens bigint[], lease interval?', 'TABLE(id bigint, state text, lease_expires timestamptz)'),
	('job_cancel', 'id bigint', 'bool'),
	('job_retry', 'id bigint', 'bool'),
	('job_approve', 'id bigint, by text, note text?, payload jsonb?', 'bool'),
	('job_reject', 'id bigint, by text, note text?', 'bool'),
	('job_progress', 'id bigint, token bigint, percent float8?, note text?', 'void'),
	('batch_create', 'callback_kind text, callback_payload jsonb?, options jsonb?', 'bigint'),
	('batch_close', 'id bigint', 'void'),
	('job_get', 'id bigint', 'jsonb'),
	('job_explain', 'id bigint', 'jsonb'),
	('job_kind_set', 'kind text, handler regprocedure?, queue text?, run_as regrole?, max_attempts int?, backoff jsonb?, timeout interval?, concurrency int?, concurrency_per_key int?, payload_schema jsonb?, retention interval?, options jsonb?', 'void'),
	('queue_set', 'queue text, concurrency int?, rate int?, rate_period interval?, alert_at int?, escalate_at int?, notify bool?, options jsonb?', 'void'),
	('queue_pause', 'queue text', 'void'),
	('queue_resume', 'queue text', 'void'),
	('job_work', 'queues text[]?, max_runtime interval?, until_empty bool?', ''),
	('schedule_set', 'name text, cron text, kind text, payload jsonb?, time_zone text?, missed text?, overlap text?, options jsonb?', 'void'),
	('schedule_delete', 'name text', 'void'),
	('dead_retry', 'queue text?, kind text?, since timestamptz?, up_to int?', 'bigint'),
	('endpoint_create', 'url text, events text[]?, secret text?, tenant text?, headers jsonb?, timeout interval?, max_attempts int?, max_age interval?, backoff jsonb?, rate int?, rate_period interval?, concurrency int?, ordered bool?, filter jsonpath?, retry_statuses int[]?, options jsonb?', 'bigint'),
	('endpoint_update', 'id bigint, changes jsonb', 'void'),
	('endpoint_delete', 'id bigint', 'void'),
	('endpoint_enable', 'id bigint', 'void'),
	('endpoint_disable', 'id bigint, reason text?', 'void'),
	('endpoint_secret', 'id bigint', 'text'),
	('endpoint_rotate_secret', 'id bigint, overlap interval?', 'text'),
	('secret_reseal', '', 'bigint'),
	('inbound_set', 'source text, scheme text, secret text, routes jsonb?, payload_schema jsonb?, options jsonb?', 'void'),
	('inbound_rotate_secret', 'source text, new_secret text, overlap interval?', 'void'),
	('inbound_delete', 'source text', 'void'),
	('inbound_receive', 'source text, headers jsonb, body bytea', 'record'),
	('message_body', 'id text', 'bytea'),
	('event_publish', 'event_type text, payload jsonb, idempotency_key text?, order_key text?, tenant text?, options jsonb?', 'text'),
	('event_publish_raw', 'event_type text, body bytea, content_type text?, idempotency_key text?, order_key text?, tenant text?, options jsonb?', 'text'),
	('http_request', 'url text, method text?, headers jsonb?, body bytea?, timeout interval?, max_attempts int?, options jsonb?', 'bigint'),
	('http_response', 'id bigint', 'hotdash.http_result'),
	('http_response_json', 'id bigint', 'jsonb'),
	('http_response_text', 'id bigint', 'text'),
	('delivery_replay', 'id bigint', 'bool'),
	('endpoint_replay', 'id bigint, since timestamptz, until_ts timestamptz?', 'bigint'),
	('webhook_sign', 'secret text, message_id text, at timestamptz, body bytea', 'text'),
	('webhook_verify', 'scheme text, secret text, headers jsonb, body bytea, tolerance interval?', 'bool'),
	('webhook_verify_detail', 'scheme text, secret text, headers jsonb, body bytea, tolerance interval?', 'record'),
	('edge_hello', 'protocol int, edge text, version text', 'jsonb'),
	('edge_claim', 'edge text, up_to int', 'SETOF hotdash.edge_request'),
	('edge_report', 'edge text, results jsonb', 'TABLE(id bigint, state text)'),
	('edge_renew', 'edge text, ids bigint[], tokens bigint[], lease_ms int', 'TABLE(id bigint, state text)'),
	('edge_release', 'edge text, ids bigint[], tokens bigint[]', 'int'),
	('edge_wait', 'wait interval?, ready bool?', ''),
	('flag_set', 'key text, definition jsonb, by text?', 'void'),
	('flag_delete', 'key text, by text?', 'void'),
	('flag_rollback', 'key text, version int, by text?', 'void'),
	('flags_import', 'document jsonb, format text?, options jsonb?', 'int'),
	('flags_export', 'format text?', 'jsonb'),
	('flag_enabled', 'key text, context jsonb?, default_value bool?', 'bool'),
	('flag_enabled_for', 'key text, targeting_key text', 'bool'),
	('flag_require', 'key text, context jsonb?', 'void'),
	('flag_text', 'key text, default_value text, context jsonb?', 'text'),
	('flag_number', 'key text, default_value float8, context jsonb?', 'float8'),
	('flag_json', 'key text, default_value jsonb, context jsonb?', 'jsonb'),
	('flag_evaluate', 'key text, default_value jsonb, context jsonb?', 'hotdash.flag_result'),
	('flag_evaluate_all', 'context jsonb?', 'SETOF hotdash.flag_key_result'),
	('flag_evaluate_at', 'key text, at timestamptz, default_value jsonb, context jsonb?', 'hotdash.flag_result'),
	('flag_expose', 'key text, default_value jsonb, context jsonb?', 'hotdash.flag_result'),
	('flag_explain', 'key text, context jsonb?', 'jsonb'),
	('flag_audience', 'definition jsonb, relation regclass, key_column name, context_columns jsonb?', 'TABLE(variant text, units bigint)'),
	('flag_bucket', 'algorithm text, salt text, unit text', 'float8'),
	('jsonlogic', 'rule jsonb, data jsonb, dialect text?', 'jsonb'),
	('segment_add', 'segment text, members text[]', 'void'),
	('segment_remove', 'segment text, members text[]', 'void'),
	('calendar_set', 'name text, definition jsonb', 'void'),
	('calendar_delete', 'name text', 'void'),
	('business_time_between', 'calendar text, from_ts timestamptz, to_ts timestamptz', 'interval'),
	('business_time_add', 'calendar text, from_ts timestamptz, amount interval, at_close text?', 'timestamptz'),
	('business_open', 'calendar text, at timestamptz', 'bool'),
	('business_days_add', 'calendar text, from_ts timestamptz, days int', 'timestamptz'),
	('calendar_import_ics', 'name text, ics text', 'int'),
	('sla_policy_set', 'name text, definition jsonb', 'void'),
	('sla_start', 'policy text, subject text, metric text?, priority text?, at timestamptz?, attributes jsonb?, tenant text?', 'bigint'),
	('sla_pause', 'clock bigint, at timestamptz?', 'void'),
	('sla_resume', 'clock bigint, at timestamptz?', 'void'),
	('sla_meet', 'clock bigint, at timestamptz?', 'void'),
	('sla_cancel', 'clock bigint', 'void'),
	('sla_retarget', 'clock bigint, policy text?, priority text?', 'void'),
	('sla_event', 'subject text, event text, at timestamptz?, attributes jsonb?, tenant text?', 'int'),
	('sla_scan', 'up_to int?', 'int'),
	('sla_explain', 'clock bigint', 'jsonb'),
	('sla_report', 'from_ts timestamptz, to_ts timestamptz, tenant text?', 'jsonb'),
	('escalation_rule_set', 'name text, condition jsonb, action jsonb', 'void'),
	('escalation_rule_delete', 'name text', 'void'),
	('escalation_rule_enable', 'name text', 'void'),
	('escalation_rule_disable', 'name text', 'void'),
	('escalation_phrase_set', 'language text, phrase text, weight float8', 'void'),
	('escalation_phrase_delete', 'language text, phrase text', 'bool'),
	('escalation_language', 'message text, language text?', 'hotdash.language_result'),
	('limit_set', 'name text, count int, period interval, burst int?, algorithm text?, shadow bool?, durability text?, time_zone text?, options jsonb?', 'void'),
	('limit_delete', 'name text', 'void'),
	('limit_allow', 'name text, key text, cost int?', 'bool'),
	('limit_take', 'name text, key text, cost int?', 'record'),
	('limit_take_with', 'key text, count int, period interval, burst int?, cost int?, algorithm text?', 'record'),
	('limit_take_many', 'name text, keys text[], cost int?', 'bool[]'),
	('limit_take_all', 'names text[], key text, cost int?', 'bool'),
	('limit_refund', 'name text, key text, cost int', 'int'),
	('limit_reset', 'name text, key text', 'void'),
	('limit_explain', 'name text, key text', 'jsonb'),
	('limit_acquire', 'name text, key text', 'bool'),
	('limit_release', 'name text, key text', 'bool'),
	('limit_headers', 'name text, key text, style text?', 'jsonb'),
	('limit_enforce', 'name text, key text, cost int?', 'void'),
	('client_key', 'forwarded_for text?, trusted_hops int?', 'text'),
	('trace_new', '', 'text'),
	('trace_child', 'traceparent text', 'text'),
	('trace_current', '', 'text'),
	('trace_set', 'traceparent text', 'void'),
	('span_start', 'name text, attributes jsonb?', 'text'),
	('span_end', 'span text, ok bool?, attributes jsonb?', 'void'),
	('alert_raise', 'name text, severity text, message text, fields jsonb?', 'void'),
	('alert_clear', 'name text', 'void'),
	('alert_ack', 'id bigint, by text', 'void'),
	('alert_silence', 'name text, until_ts timestamptz, by text', 'void'),
	('health', '', 'jsonb'),
	('version', '', 'text'),
	('validate', 'schema jsonb, value jsonb', 'TABLE(path text, rule text, message text)'),
	('cron_install', 'run_as regrole?', 'SETOF text'),
	('cron_remove', '', 'SETOF text'),
	('instance_adopt', '', 'void'),
	('access_grant', 'role regrole, level text, tenant text?', 'void'),
	('access_revoke', 'role regrole', 'void');

-- Type names as the contract writes them.
CREATE FUNCTION pg_temp.short(type text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT replace(replace(replace(replace(type, 'timestamp with time zone', 'timestamptz'),
		'double precision', 'float8'), 'boolean', 'bool'), 'integer', 'int')
$$;

CREATE TEMPORARY VIEW surface AS
	SELECT r.proname::text COLLATE "default" AS name,
		coalesce(a.list, '') AS arguments,
		pg_temp.short(coalesce(pg_catalog.pg_get_function_result(r.oid), '')) AS result
	FROM routine AS r
	CROSS JOIN LATERAL (
		SELECT string_agg(
			format('%s %s%s', r.proargnames[i], pg_temp.short(pg_catalog.format_type(t.type, NULL)),
				CASE WHEN n > r.pronargs - r.pronargdefaults THEN '?' END), ', ' ORDER BY n) AS list
		FROM (
			SELECT u.i, u.type, row_number() OVER (ORDER BY u.i) AS n
			FROM unnest(coalesce(r.proallargtypes, r.proargtypes::oid[])) WITH ORDINALITY AS u (type, i)
			WHERE coalesce(r.proargmodes[u.i], 'i') IN ('i', 'b', 'v')
		) AS t) AS a
	WHERE r.public;

SELECT is_empty(
	$$SELECT proname, string_agg(signature, ', ') FROM routine WHERE public
		GROUP BY proname HAVING count(*) > 1$$,
	'no public name has two forms, so no literal can choose the wrong one');

SELECT is_empty(
	$$SELECT name FROM contract EXCEPT SELECT name FROM surface$$,
	'every function of the contract exists');

SELECT set_eq(
	$$SELECT s.name, s.arguments, s.result FROM surface AS s JOIN contract AS c USING (name)$$,
	$$SELECT c.name, c.arguments, c.result FROM contract AS c JOIN surface AS s USING (name)$$,
	'with exactly the arguments, defaults and result that were promised');

SELECT is_empty(
	$$SELECT name FROM surface EXCEPT SELECT name FROM contract$$,
	'and no public function is there that was not promised');

/*
 * NULL for everything
 */

-- Whoever may call a function may call it so; an error it may raise, but not one that says that ours is wrong, and
-- the server has to live. Some wait: they are given a moment.
CREATE FUNCTION pg_temp.call_with_nulls(r routine) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		arguments text := (SELECT string_agg('NULL::' || a::regtype, ', ') FROM unnest(r.proargtypes) AS a);
	BEGIN
		EXECUTE format('SELECT count(*) FROM (SELECT hotdash.%I(%s)) AS x', r.proname, arguments);
		RETURN NULL;
	EXCEPTION WHEN OTHERS THEN
		RETURN CASE WHEN SQLSTATE LIKE 'XX%' THEN r.signature || ': ' || SQLERRM END;
	END
$$;
SET LOCAL statement_timeout = '20s';
SELECT is_empty(
	$$SELECT x FROM (SELECT pg_temp.call_with_nulls(r) AS x FROM (SELECT * FROM routine ORDER BY oid) AS r
		WHERE r.prokind = 'f' AND r.prorettype <> 'trigger'::regtype AND r.prorettype <> 'event_trigger'::regtype
			AND NOT r.proisstrict) AS called WHERE x IS NOT NULL$$,
	'no function takes NULLs for something that cannot happen');
RESET statement_timeout;

SELECT * FROM finish();
ROLLBACK;
