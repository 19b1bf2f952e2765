-- Webhooks: how long messages, deliveries and keys are kept. Drops nothing: the parts are those that are there. Rolls
-- back; needs no preload.
\set QUIET 1
\pset format unaligned
\pset tuples_only true
\pset pager off
\set ON_ERROR_ROLLBACK 1
\set ON_ERROR_STOP true

BEGIN;
SELECT * FROM no_plan();

SET LOCAL hotdash.now_override = '2031-05-01 12:00:00+00';
SET LOCAL hotdash.tenant = 'tap-retention';
CREATE TEMP TABLE made (name text, id text);
INSERT INTO made SELECT 'endpoint', hotdash.endpoint_create('https://example.com/', events => '{a}')::text;
INSERT INTO made SELECT 'message', hotdash.event_publish('a', '{"n": 1}', idempotency_key => 'once');

/*
 * Settings and classes
 */

SELECT is((SELECT array_agg(s.name || ' ' || s.boot_val || ' ' || s.unit || ' ' || s.context ORDER BY s.name) FROM pg_settings AS s
		WHERE s.name ~ '^hotdash\.webhook_.*_retention$'),
	'{hotdash.webhook_history_retention 129600 min sighup,hotdash.webhook_message_retention 43200 min sighup}',
	'the settings, 90 and 30 days');
SELECT is(hotdash._webhook_class(s), hotdash._part_days(nullif(current_setting(s)::interval, '0')), 'the class of ' || s)
FROM unnest(ARRAY['hotdash.webhook_history_retention', 'hotdash.webhook_message_retention']) AS s
WHERE current_setting(s)::interval > '0';
SELECT is((SELECT m.kept_until FROM hotdash.messages AS m JOIN made AS x USING (id)),
	hotdash._now() + nullif(current_setting('hotdash.webhook_message_retention')::interval, '0'), 'messages.kept_until');

/*
 * Where rows go
 */

SELECT is((SELECT m.part FROM hotdash._message AS m JOIN made AS x USING (id)), hotdash._part_open('webhook_messages'),
	'a message is in the part that takes rows now');
SELECT is((SELECT d.part FROM hotdash._delivery AS d JOIN made AS x ON x.id = d.message_id),
	hotdash._part_open('webhook_history'), 'its delivery too');
SELECT is((SELECT j.payload - 'endpoint' FROM hotdash._job AS j JOIN hotdash._delivery AS d USING (id) JOIN made AS x ON x.id = d.message_id),
	jsonb_build_object('message', x.id, 'part', hotdash._part_open('webhook_messages')), 'and the job knows it')
FROM made AS x WHERE name = 'message';
SELECT is(hotdash._webhook_file('{}'::hotdash._message[]), hotdash._part_open('webhook_messages'), 'no rows are rows');
SELECT throws_ok($$SELECT hotdash._webhook_file('{}'::hotdash._endpoint[])$$, '42804', NULL, 'rows of another table');
SELECT is((hotdash._message_refile(id)).part, hotdash._part_open('webhook_messages'), 'a message is filed anew') FROM made WHERE name = 'message';
SELECT is(convert_from(hotdash.message_body(id), 'UTF8'), '{"n": 1}', 'and is what it was') FROM made WHERE name = 'message';
SELECT is((SELECT count(*) FROM hotdash._message AS m JOIN made AS x USING (id)), 1::bigint, 'once');
SELECT is(hotdash._message_refile('msg_none'), NULL, 'one that is not there');

/*
 * Keys
 */

SELECT is(hotdash.event_publish('a', '2', idempotency_key => 'once'), id, 'a key is remembered') FROM made WHERE name = 'message';
SELECT set_config('hotdash.now_override', (hotdash._message_expires(hotdash._now()) - interval '1 microsecond')::text, true)
	WHERE hotdash._message_expires(hotdash._now()) IS NOT NULL;
SELECT is(hotdash.event_publish('a', '3', idempotency_key => 'once'), id, 'until the last microsecond') FROM made WHERE name = 'message';
SELECT is(hotdash._messages_forget_keys() IS NOT NULL AND EXISTS (SELECT FROM hotdash._message_key WHERE key = 'once' AND tenant = 'tap-retention'), true,
	'and not deleted before');
SELECT set_config('hotdash.now_override', (hotdash._now() + interval '1 microsecond')::text, true);
SELECT isnt(hotdash.event_publish('a', '4', idempotency_key => 'once'), id, 'then it is free, tick or no tick')
FROM made WHERE name = 'message' AND hotdash._message_expires(hotdash._now()) IS NOT NULL;
SELECT set_config('hotdash.now_override', (hotdash._now() + interval '365 days')::text, true);
SELECT is(hotdash._messages_forget_keys(), false, 'keys are deleted');
SELECT is(count(*), 0::bigint, 'those that have had their time') FROM hotdash._message_key
WHERE key = 'once' AND tenant = 'tap-retention' AND hotdash._message_expires(created_at) <= hotdash._now();

/*
 * What has no body any more
 */

DELETE FROM hotdash._message AS m USING made AS x WHERE x.id = m.id;
SELECT is(hotdash.message_body(id), NULL, 'no body') FROM made WHERE name = 'message';
SELECT is((SELECT array_agg(d.event_type || ' ' || d.body_kept) FROM hotdash.deliveries AS d JOIN made AS x ON x.id = d.message_id), '{a false}', 'deliveries.body_kept');
SELECT hotdash.job_cancel(d.id) FROM hotdash._delivery AS d JOIN made AS x ON x.id = d.message_id;
SELECT throws_ok(format('SELECT hotdash.delivery_replay(%s)', d.id), '42704',
	format('message of delivery %s does not exist any more', d.id), 'delivery_replay of what is not kept')
FROM hotdash._delivery AS d JOIN made AS x ON x.id = d.message_id;
SELECT is(hotdash.endpoint_replay(id::bigint, '-infinity'), 0::bigint, 'endpoint_replay passes it over') FROM made WHERE name = 'endpoint';

SELECT * FROM finish();
ROLLBACK;
