/*
 * story.sql: the SQL of the demo, in the chapters that regress/demo/run plays.
 *
 * A shop takes a thousand orders. What has to follow from an order, mail, stock and webhooks to several
 * receivers, is said in the transaction that inserts it.
 *
 * Chapters 4 to 6, 9 and 10 run as the application's role, shop, which has no more rights than that takes;
 * the others as a superuser. :receiver is the receiver's URL.
 */

-- Chapter 1: Install
--
-- Once per database. pg_cron ticks every minute; the background worker gives latency.

CREATE EXTENSION pg_cron;
CREATE EXTENSION hotdash;

CREATE ROLE shop LOGIN;
CREATE ROLE shop_worker LOGIN;
CREATE ROLE shop_edge LOGIN;
SELECT hotdash.access_grant('shop', 'producer');
SELECT hotdash.access_grant('shop_worker', 'worker');
SELECT hotdash.access_grant('shop_edge', 'edge');

ALTER SYSTEM SET hotdash.worker_role = 'shop_worker';
SELECT pg_reload_conf();
SELECT hotdash.cron_install(run_as => 'shop_worker');

-- Chapter 2: The shop and its jobs
--
-- A handler is a function that takes a job and returns its result. It runs in a transaction of its
-- own, which also completes the job: the mail below is written exactly once per order.

CREATE SCHEMA shop AUTHORIZATION shop;
SET ROLE shop;

CREATE TABLE shop.orders (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	customer text NOT NULL,
	sku text NOT NULL,
	quantity int NOT NULL,
	total numeric NOT NULL,
	depot int -- where an express parcel leaves from
);
CREATE TABLE shop.stock (sku text PRIMARY KEY, quantity int NOT NULL);
CREATE TABLE shop.mail (order_id bigint NOT NULL, sent_to text NOT NULL, attempt int NOT NULL);
INSERT INTO shop.stock VALUES ('mug', 100000), ('shirt', 100000), ('poster', 100000);

CREATE FUNCTION shop.send_email(job jsonb) RETURNS jsonb
	LANGUAGE plpgsql
	AS $$
DECLARE
	attempt int := job ->> 'attempt';
	recipient text := job #>> '{payload,to}';
BEGIN
	IF recipient LIKE 'full.mailbox@%' AND attempt < 3 THEN
		RAISE EXCEPTION 'mailbox of % is full', recipient;
	END IF;
	INSERT INTO shop.mail VALUES ((job #>> '{payload,order}')::bigint, recipient, attempt);
	RETURN jsonb_build_object('sent_to', recipient);
END
$$;

CREATE FUNCTION shop.sync_inventory(job jsonb) RETURNS jsonb
	LANGUAGE sql
	AS $$
		UPDATE shop.stock SET quantity = quantity - (job #>> '{payload,quantity}')::int
		WHERE sku = job #>> '{payload,sku}'
		RETURNING jsonb_build_object('left', quantity)
	$$;

RESET ROLE;
SELECT hotdash.job_kind_set('send-email', 'shop.send_email(jsonb)', run_as => 'shop',
	backoff => '{"type": "list", "delays": ["1s", "2s", "4s"]}');
SELECT hotdash.job_kind_set('sync-inventory', 'shop.sync_inventory(jsonb)', run_as => 'shop');

-- Chapter 3: Five receivers
--
-- accounting  is well
-- warehouse   is busy: it answers 429 with Retry-After: 2 once
-- carrier     answers 503 twice to each message; it has an endpoint for each of its twenty depots
-- loyalty     is broken: it answers 500, always; it only wants orders over 400
-- on-call     is well; it wants to know when somebody waits too long for an answer
--
-- What is told of them stays true with a circuit breaker that stops sending to an endpoint after
-- three failures in five minutes, without using up attempts. A depot gets one message, so it fails
-- twice and not a third time. Accounting never fails, and 429 is no failure but a request to wait.
-- Loyalty's deliveries use up three attempts in about three seconds; where a breaker holds them back,
-- max_age ends them, dead either way.
--
-- The timeouts are short for the demo's sake: what a killed edge had in flight is sent again when its
-- lease has ended, which is the longest timeout and ten seconds later.

CREATE SCHEMA story;
CREATE TABLE story.receivers (name text, path text, endpoint_id bigint);
CREATE TABLE story.never_sent (message_id text);
CREATE TABLE story.received (path text, message_id text, requests int, accepted int);
GRANT USAGE ON SCHEMA story TO shop;
GRANT INSERT ON story.never_sent TO shop;

INSERT INTO story.receivers
SELECT 'accounting', '/healthy',
	hotdash.endpoint_create(:'receiver' || '/healthy?delay=20', '{order.created}', timeout => '2 s')
UNION ALL
SELECT 'warehouse', '/busy',
	hotdash.endpoint_create(:'receiver' || '/busy?delay=20', '{order.created}', timeout => '2 s')
UNION ALL
SELECT 'loyalty', '/broken',
	hotdash.endpoint_create(:'receiver' || '/broken', '{order.created}', timeout => '2 s',
		filter => '$.total > 400',
		max_attempts => 3, max_age => '15 s',
		backoff => '{"type": "list", "delays": ["1s", "2s"]}')
UNION ALL
SELECT 'on-call', '/healthy/on-call',
	hotdash.endpoint_create(:'receiver' || '/healthy/on-call', '{support.breached}', timeout => '2 s')
UNION ALL
SELECT 'carrier', '/flaky/' || depot,
	hotdash.endpoint_create(:'receiver' || '/flaky/' || depot, ARRAY['parcel.depot-' || depot],
		timeout => '2 s', backoff => '{"type": "list", "delays": ["1s", "2s", "4s"]}')
FROM generate_series(1, 20) AS depot;

-- The receivers get the secrets they check signatures with; the server made them.
SELECT jsonb_object_agg(path, hotdash.endpoint_secret(endpoint_id)) FROM story.receivers;

-- Chapter 4: One order, and one that never was

BEGIN;
INSERT INTO shop.orders (customer, sku, quantity, total)
	VALUES ('full.mailbox@example.com', 'mug', 2, 99.50) RETURNING id AS order_id \gset
SELECT hotdash.event_publish('order.created', to_jsonb(o)) FROM shop.orders AS o WHERE id = :order_id;
SELECT hotdash.job_enqueue('send-email',
	jsonb_build_object('order', :order_id, 'to', 'full.mailbox@example.com'), tags => '{full-mailbox}');
SELECT hotdash.job_enqueue('sync-inventory', '{"sku": "mug", "quantity": 2}');
COMMIT;

BEGIN;
INSERT INTO shop.orders (customer, sku, quantity, total)
	VALUES ('changed.my.mind@example.com', 'shirt', 1, 450) RETURNING id AS order_id \gset
SELECT hotdash.event_publish('order.created', to_jsonb(o)) AS message_id
	FROM shop.orders AS o WHERE id = :order_id \gset
SELECT hotdash.job_enqueue('send-email',
	jsonb_build_object('order', :order_id, 'to', 'changed.my.mind@example.com'));
ROLLBACK;
INSERT INTO story.never_sent VALUES (:'message_id');

-- Chapter 5: A job for later, and one that is there once

SELECT hotdash.job_enqueue('send-email', '{"order": 1, "to": "full.mailbox@example.com"}',
	run_at => now() + interval '7 days', tags => '{ask-for-review}');

-- A full count of the stock: whoever asks while one is waiting gets that one. Three transactions.
SELECT hotdash.job_enqueue('sync-inventory', '{"sku": "all", "quantity": 0}', unique_key => 'full-count',
	run_at => now() + interval '5 seconds', tags => '{full-count}') AS first \gset
SELECT hotdash.job_enqueue('sync-inventory', '{"sku": "all", "quantity": 0}', unique_key => 'full-count',
	run_at => now() + interval '5 seconds', tags => '{full-count}') AS second \gset
SELECT hotdash.job_enqueue('sync-inventory', '{"sku": "all", "quantity": 0}', unique_key => 'full-count',
	run_at => now() + interval '5 seconds', tags => '{full-count}') AS third \gset

-- Chapter 6: A thousand orders
--
-- Each in a transaction of its own. One in forty is large, one in fifty goes by express.

CREATE PROCEDURE shop.take_orders(how_many int)
	LANGUAGE plpgsql
	AS $$
DECLARE
	placed shop.orders;
BEGIN
	FOR n IN 1 .. how_many LOOP
		INSERT INTO shop.orders (customer, sku, quantity, total, depot)
			VALUES (format('customer%s@example.com', n), (ARRAY['mug', 'shirt', 'poster'])[1 + n % 3],
				1 + n % 4, CASE WHEN n % 40 = 0 THEN 450 ELSE 20 + n % 70 END,
				CASE WHEN n % 50 = 0 THEN n / 50 END)
			RETURNING * INTO placed;
		PERFORM hotdash.event_publish('order.created', to_jsonb(placed));
		IF placed.depot IS NOT NULL THEN
			PERFORM hotdash.event_publish('parcel.depot-' || placed.depot,
				jsonb_build_object('order', placed.id));
		END IF;
		PERFORM hotdash.job_enqueue('send-email',
			jsonb_build_object('order', placed.id, 'to', placed.customer));
		PERFORM hotdash.job_enqueue('sync-inventory',
			jsonb_build_object('sku', placed.sku, 'quantity', placed.quantity));
		COMMIT;
	END LOOP;
END
$$;
CALL shop.take_orders(1000);

-- Chapter 7: Five flags
--
-- As flagd has them, with an operator of hotdash's own for environments. They are data: this is one transaction,
-- and what rolls back was never on.

SELECT hotdash.flags_import($${
	"flags": {
		"picker-payments": {
			"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
			"targeting": {"if": [{"hd_environment": ["dev", "development", "staging"]}, "on", "off"]}
		},
		"seo-pulse-refinement": {
			"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"
		},
		"performance-monitoring": {
			"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"
		},
		"advanced-analytics": {
			"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
			"targeting": {"fractional": [["on", 10], ["off", 90]]}
		},
		"live-chat-widget": {
			"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
			"targeting": {"if": [{"==": [{"var": "shop"}, "berlin"]}, "on", "off"]}
		}
	}
}$$);

BEGIN;
SELECT hotdash.flag_set('seo-pulse-refinement',
	'{"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"}');
ROLLBACK;

-- Chapter 8: An answer within fifteen minutes
--
-- Of business time: support is in New York, from nine to five. Who chats is answered within two seconds, at any
-- hour, or those on call are told, in the transaction that finds it.

SELECT hotdash.calendar_set('support', '{
	"time_zone": "America/New_York",
	"hours": {
		"mon": [["09:00", "17:00"]], "tue": [["09:00", "17:00"]], "wed": [["09:00", "17:00"]],
		"thu": [["09:00", "17:00"]], "fri": [["09:00", "17:00"]]
	}
}');
SELECT hotdash.sla_policy_set('mail', '{
	"calendar": "support",
	"metrics": {"first_response": {"target": "15 minutes"}}
}');
SELECT hotdash.sla_policy_set('chat', '{
	"metrics": {"first_response": {
		"target": "2 seconds", "pause": ["pending"], "resume": ["open"],
		"breach": {"actions": [{"event": {"type": "support.breached", "payload": {"tell": "who is on call"}}}]}
	}}
}');

-- Chapter 9: Three messages
--
-- One comes on the next Friday at 16:50 in New York, whatever the clocks there show by then: ten minutes of its
-- fifteen are left for Monday. The other two come now; one of them asks the customer something, and waits.

SELECT hotdash.sla_start('mail', 'friday', 'first_response',
	at => (today + 1 + (11 - extract(dow FROM today)::int) % 7 + time '16:50') AT TIME ZONE 'America/New_York') AS friday
	FROM (SELECT (now() AT TIME ZONE 'America/New_York')::date AS today) AS x \gset
SELECT hotdash.sla_start('chat', 'nobody answers', 'first_response') AS unanswered \gset
SELECT hotdash.sla_start('chat', 'waits for the customer', 'first_response') AS waiting \gset
SELECT hotdash.sla_event('waits for the customer', 'pending') AS paused \gset
SELECT hotdash.sla_explain(:friday) ->> 'words';

-- Chapter 10: The customer is back, and is answered

SELECT hotdash.sla_event('waits for the customer', 'open');
SELECT hotdash.sla_event('waits for the customer', 'agent_reply');

-- Chapter 11: What came of it

\pset footer off
\pset border 0
\pset null ''
\echo

SELECT r.name AS "Webhooks to", w.answers AS "which answers", count(*) AS published,
	count(*) FILTER (WHERE d.state = 'completed') AS delivered,
	count(*) FILTER (WHERE d.attempt > 1) AS retried,
	count(*) FILTER (WHERE l.attempts > 0) AS "cut off by the kill",
	count(*) FILTER (WHERE g.accepted > 1) AS "arrived twice",
	count(*) FILTER (WHERE d.state = 'dead') AS dead
FROM story.receivers AS r
JOIN (VALUES ('accounting', '200'), ('warehouse', '429 once, then 200'),
	('carrier', '503 twice, then 200'), ('loyalty', '500, always'), ('on-call', '200')) AS w (name, answers) USING (name)
JOIN hotdash.deliveries AS d USING (endpoint_id)
CROSS JOIN LATERAL (SELECT count(*) AS attempts FROM hotdash.delivery_attempts AS a
	WHERE a.delivery_id = d.id AND a.reason = 'lost') AS l
LEFT JOIN story.received AS g ON g.path = r.path AND g.message_id = d.message_id
GROUP BY 1, 2 ORDER BY 3 DESC, 1;

SELECT CASE coalesce(tags[1], '')
		WHEN '' THEN kind
		WHEN 'full-mailbox' THEN kind || ', mailbox full twice'
		WHEN 'ask-for-review' THEN kind || ', in seven days'
		WHEN 'full-count' THEN kind || ', unique, enqueued three times'
	END AS "Jobs",
	count(*) AS jobs,
	count(*) FILTER (WHERE state = 'completed') AS completed,
	count(*) FILTER (WHERE attempt > 1) AS retried,
	count(*) FILTER (WHERE state = 'scheduled') AS scheduled,
	count(*) FILTER (WHERE state = 'dead') AS dead
FROM hotdash.jobs
WHERE kind IN ('send-email', 'sync-inventory')
GROUP BY 1 ORDER BY 2 DESC, 1;

SELECT f.key AS "Flags",
	hotdash.flag_enabled(f.key, '{"environment": "staging", "shop": "berlin"}') AS "staging, berlin",
	hotdash.flag_enabled(f.key, '{"environment": "production", "shop": "paris"}') AS "production, paris",
	(SELECT count(*) FROM shop.orders AS o WHERE hotdash.flag_enabled_for(f.key, o.customer)) AS "orders by those it is on for"
FROM hotdash.flags AS f
ORDER BY f.key;

SELECT policy || ', ' || translate(metric, '_', ' ') AS "Service levels", pending, paused, overdue, started, met AS "met in time", breached,
	adherence_pct AS "adherence %", resolved_today AS "resolved today"
FROM hotdash.sla_summary
ORDER BY policy;

-- Chapter 12: Does it add up
--
-- Everything that differs, a line each; nothing when the database and the receiver agree.
-- :stats is what the receiver counted in all.

WITH here AS (
	SELECT r.path, d.message_id, d.state,
		(SELECT count(*) FROM hotdash.delivery_attempts AS a WHERE a.delivery_id = d.id AND a.reason <> 'lost') AS answered,
		(SELECT count(*) FROM hotdash.delivery_attempts AS a WHERE a.delivery_id = d.id AND a.reason = 'lost') AS lost
	FROM story.receivers AS r JOIN hotdash.deliveries AS d USING (endpoint_id)
), there AS (
	SELECT path, message_id, requests, accepted FROM story.received
), checks (problem, wrong) AS (
	SELECT 'deliveries that are completed here and were not accepted there',
		(SELECT count(*) FROM here LEFT JOIN there USING (path, message_id)
			WHERE here.state = 'completed' AND coalesce(there.accepted, 0) = 0)
	UNION ALL
	SELECT 'messages that were accepted there and are not completed here',
		(SELECT count(*) FROM there LEFT JOIN here USING (path, message_id)
			WHERE there.accepted > 0 AND here.state IS DISTINCT FROM 'completed')
	UNION ALL
	SELECT 'messages that arrived there and are unknown here',
		(SELECT count(*) FROM there LEFT JOIN here USING (path, message_id) WHERE here.path IS NULL)
	UNION ALL
	SELECT 'messages of a transaction that rolled back',
		(SELECT count(*) FROM there JOIN story.never_sent USING (message_id))
		+ (SELECT count(*) FROM hotdash.messages JOIN story.never_sent ON message_id = id)
		+ abs((SELECT count(*) FROM story.never_sent) - 1)
	UNION ALL
	-- A request without a report was cut off by the kill; its lease has ended since.
	SELECT 'messages with other requests there than attempts here',
		(SELECT count(*) FROM here LEFT JOIN there USING (path, message_id)
			WHERE coalesce(there.requests, 0) NOT BETWEEN answered AND answered + lost)
	UNION ALL
	SELECT 'deliveries that have not ended',
		(SELECT count(*) FROM here WHERE state NOT IN ('completed', 'dead'))
	UNION ALL
	SELECT 'orders that accounting or the warehouse was not told of',
		(SELECT count(*) FROM (VALUES ('/healthy'), ('/busy')) AS p (path),
			LATERAL (SELECT count(*) AS n FROM here WHERE here.path = p.path AND state = 'completed') AS done
			WHERE done.n <> (SELECT count(*) FROM shop.orders))
	UNION ALL
	SELECT 'parcels that the carrier was not told of',
		abs((SELECT count(*) FROM here WHERE path LIKE '/flaky/%' AND state = 'completed' AND answered + lost >= 3)
			- (SELECT count(*) FROM shop.orders WHERE depot IS NOT NULL))
	UNION ALL
	SELECT 'large orders that are not dead for loyalty',
		abs((SELECT count(*) FROM here WHERE path = '/broken' AND state = 'dead')
			- (SELECT count(*) FROM shop.orders WHERE total > 400))
	UNION ALL
	SELECT 'requests whose signature was wrong', (:'stats'::jsonb #>> '{total,refused}')::bigint
	UNION ALL
	SELECT 'requests whose signature could not be checked',
		(:'stats'::jsonb #>> '{total,unchecked}')::bigint
	UNION ALL
	SELECT 'requests before the time that Retry-After asked for',
		(:'stats'::jsonb #>> '{total,early}')::bigint
	UNION ALL
	SELECT 'requests that a Retry-After should have kept back, but never was there',
		((:'stats'::jsonb #>> '{paths,/busy,returned_after_ms}') IS NULL)::int
	UNION ALL
	SELECT 'orders without exactly one mail',
		(SELECT count(*) FROM (SELECT o.id FROM shop.orders AS o LEFT JOIN shop.mail AS m
			ON m.order_id = o.id GROUP BY o.id HAVING count(m.order_id) <> 1) AS x)
	UNION ALL
	SELECT 'mails to the full mailbox that did not take three attempts',
		abs((SELECT count(*) FROM shop.mail WHERE sent_to LIKE 'full.mailbox@%' AND attempt = 3) - 1)
	UNION ALL
	SELECT 'pieces by which the stock is wrong',
		abs(300000 - (SELECT sum(quantity) FROM shop.stock) - (SELECT sum(quantity) FROM shop.orders))
	UNION ALL
	SELECT 'jobs for later that are not scheduled',
		abs((SELECT count(*) FROM hotdash.jobs WHERE 'ask-for-review' = ANY (tags) AND state = 'scheduled') - 1)
	UNION ALL
	SELECT 'messages of Friday 16:50 that are not due on Monday 09:05, New York',
		abs((SELECT count(*) FROM hotdash.sla_clocks WHERE subject = 'friday'
			AND to_char(started_at AT TIME ZONE 'America/New_York', 'Dy HH24:MI:SS') = 'Fri 16:50:00'
			AND to_char(due_at AT TIME ZONE 'America/New_York', 'Dy HH24:MI:SS') = 'Mon 09:05:00'
			AND due_at - started_at BETWEEN interval '63 hours' AND interval '66 hours') - 1)
	UNION ALL
	SELECT 'chats that did not come to what they should',
		abs((SELECT count(*) FROM hotdash.sla_clocks WHERE (subject, state, breached) IN
			(('nobody answers', 'running', true), ('waits for the customer', 'met', false))) - 2)
	UNION ALL
	SELECT 'breaches that those on call were not told of once',
		abs((SELECT count(*) FROM here WHERE path = '/healthy/on-call' AND state = 'completed') - 1)
	UNION ALL
	SELECT 'counts of service levels that are not those of the clocks',
		(SELECT count(*) FROM hotdash._sla_counts_audit())
	UNION ALL
	SELECT 'full counts beside the one',
		abs((SELECT count(*) FROM hotdash.jobs WHERE 'full-count' = ANY (tags) AND state = 'completed') - 1)
)
SELECT wrong || ' ' || problem FROM checks WHERE wrong <> 0;
