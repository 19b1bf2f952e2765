/*
 * webhooks_retention.sql: how long messages, deliveries and attempts are kept.
 *
 * Two families of core_parts.sql, of one class each: webhook_messages (_message, bodies among it) for
 * hotdash.webhook_message_retention, and webhook_history (_delivery, _delivery_attempt) for
 * hotdash.webhook_history_retention. Parts go as a whole. What a setting says now holds for all parts, those that
 * are there too; 0 stands for a class that no clock reaches.
 *
 * What a part holds of deliveries that have not ended must not go with it. There may be one such message among
 * millions: parked, put off, or behind an endpoint that is down. To let its part wait would keep all the others past
 * their time, and for good where the endpoint stays disabled; so what is still needed moves to the part that takes
 * rows now, a batch at a time, and then the part goes. This deletes rows, but only those few. Dead deliveries hold
 * nothing: they can be replayed as long as their message is kept, and no longer.
 *
 * Which these are must not cost a look at all messages, nor at all jobs. Jobs say which message they are about, and
 * their ids rise: a mark, taken when a part was closed and its last writer had gone, is as high as the id of any job
 * about its messages, so only open jobs up to the mark are looked at, which are those that are old. Whatever makes a
 * new job about an old message (delivery_replay) therefore files the message anew. For deliveries the highest id in
 * the part does the same. A dead job that is revived just when its message goes is dead again when it is claimed, and
 * says why.
 *
 * Readers (edge_claim, edge_report) go through the parents, so these locks are never free under load: the tick waits
 * a twentieth of a second for each, once a minute, when a part is due, and every reader who comes meanwhile waits
 * behind it. A publisher locks the part that it writes to and no parent, but for a session's first look at the type of
 * a table's rows.
 *
 * Idempotency keys are rows of one table and are deleted as rows: what is unique over all of them cannot lie in parts.
 * A key is remembered for the retention of messages, to the microsecond, whenever the tick comes; its message is kept
 * longer than that, since a part is.
 *
 * Locks: _part, then a closed part against writers, then, to drop it, its parents and it alone.
 */

CREATE FUNCTION hotdash._webhook_file(rows anyarray) RETURNS smallint
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_file' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._webhook_file(anyarray) IS
	'Files rows of _message, _delivery or _delivery_attempt into the part that takes them now, and returns it';
REVOKE ALL ON FUNCTION hotdash._webhook_file(anyarray) FROM PUBLIC;

CREATE FUNCTION hotdash._message_expires(created_at timestamptz) RETURNS timestamptz
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT created_at + nullif(current_setting('hotdash.webhook_message_retention')::interval, interval '0')
	$$;
COMMENT ON FUNCTION hotdash._message_expires(timestamptz) IS
	'Until when a message of that time is kept at least, and its idempotency key exactly; NULL: for good';
REVOKE ALL ON FUNCTION hotdash._message_expires(timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._message_refile(id text) RETURNS hotdash._message
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* A row that another session is filing anew is waited for, and looked for again. */
	DECLARE
		part smallint;
		m hotdash._message;
	BEGIN
		LOOP
			SELECT x.part INTO part FROM hotdash._message AS x WHERE x.id = _message_refile.id;
			IF NOT FOUND THEN
				RETURN NULL;
			END IF;
			BEGIN
				EXECUTE format('DELETE FROM hotdash._message_%s AS x WHERE x.id = $1 RETURNING x.*', part) INTO m USING id;
			EXCEPTION WHEN undefined_table THEN
				-- Dropped since the look.
			END;
			IF m.id IS NOT NULL THEN
				m.part := hotdash._webhook_file(ARRAY[m]);
				RETURN m;
			END IF;
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash._message_refile(text) IS
	'Moves a message to the part that takes rows now, so that it is kept from now on; NULL when it is gone';
REVOKE ALL ON FUNCTION hotdash._message_refile(text) FROM PUBLIC;

CREATE FUNCTION hotdash._messages_forget_keys() RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		at_once constant int := 20000;
		retention constant interval := current_setting('hotdash.webhook_message_retention');
		n int;
	BEGIN
		IF retention = interval '0' THEN
			RETURN false;
		END IF;
		DELETE FROM hotdash._message_key AS k WHERE (k.tenant, k.key) IN (
			SELECT x.tenant, x.key FROM hotdash._message_key AS x WHERE x.created_at <= hotdash._now() - retention
			ORDER BY x.created_at LIMIT at_once FOR UPDATE SKIP LOCKED);
		GET DIAGNOSTICS n = ROW_COUNT;
		RETURN n = at_once;
	END
	$$;
COMMENT ON FUNCTION hotdash._messages_forget_keys() IS
	'Deletes idempotency keys that have had their time; true when there may be more';
REVOKE ALL ON FUNCTION hotdash._messages_forget_keys() FROM PUBLIC;

/*
 * Parts
 */

CREATE FUNCTION hotdash._webhook_class(setting text) RETURNS smallint
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT CASE WHEN s.retention = interval '0' THEN 32767::smallint ELSE hotdash._part_days(s.retention) END
		FROM CAST(current_setting(setting) AS interval) AS s (retention)
	$$;
COMMENT ON FUNCTION hotdash._webhook_class(text) IS 'Class of retention that a setting asks for; 32767: for good';
REVOKE ALL ON FUNCTION hotdash._webhook_class(text) FROM PUBLIC;

CREATE FUNCTION hotdash._messages_mark() RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		p hotdash._part;
	BEGIN
		FOR p IN SELECT * FROM hotdash._part AS x
			WHERE x.family = 'webhook_messages' AND x.closed_at IS NOT NULL AND x.mark IS NULL
		LOOP
			BEGIN
				EXECUTE format('LOCK TABLE hotdash._message_%s IN SHARE MODE NOWAIT', p.part);
				UPDATE hotdash._part AS x
					SET mark = current_setting('hotdash.node_id')::bigint << 52 | (SELECT s.last_value FROM hotdash._job_id AS s)
					WHERE x.family = p.family AND x.part = p.part;
			EXCEPTION WHEN lock_not_available THEN
				-- Somebody who was there before it was closed still writes.
			END;
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash._messages_mark() IS
	'Marks closed parts whose writers have gone: jobs about their messages have ids no higher than any given out by now';
REVOKE ALL ON FUNCTION hotdash._messages_mark() FROM PUBLIC;

CREATE FUNCTION hotdash._messages_rescue(part smallint, at_once int) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		mark constant bigint := (SELECT p.mark FROM hotdash._part AS p
			WHERE p.family = 'webhook_messages' AND p.part = _messages_rescue.part);
		ids text[];
	BEGIN
		IF mark IS NULL THEN
			RETURN NULL;
		END IF;
		EXECUTE format('LOCK TABLE hotdash._message_%s IN SHARE MODE NOWAIT', part);
		EXECUTE format($q$
			WITH needed AS MATERIALIZED (
				SELECT DISTINCT j.payload ->> 'message' AS id FROM hotdash._job AS j
				WHERE j.id <= $1 AND j.kind = 'webhook.delivery')
			SELECT array_agg(c.id) FROM (
				SELECT m.id FROM needed AS n JOIN hotdash._message_%s AS m ON m.id = n.id LIMIT $2) AS c
			$q$, part) INTO ids USING mark, at_once;
		PERFORM hotdash._part_move('webhook_messages', '_message', part, ids);
		RETURN coalesce(cardinality(ids) < at_once, true);
	EXCEPTION WHEN lock_not_available THEN
		RETURN NULL;
	END
	$$;
COMMENT ON FUNCTION hotdash._messages_rescue(smallint, int) IS
	'Moves messages of open deliveries out of a part; true when it holds none any more, null when that cannot be told now';
REVOKE ALL ON FUNCTION hotdash._messages_rescue(smallint, int) FROM PUBLIC;

CREATE FUNCTION hotdash._deliveries_rescue(part smallint, at_once int) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		ids bigint[];
	BEGIN
		EXECUTE format('LOCK TABLE hotdash._delivery_%1$s, hotdash._delivery_attempt_%1$s IN SHARE MODE NOWAIT', part);
		EXECUTE format($q$
			WITH needed AS MATERIALIZED (
				SELECT j.id FROM hotdash._job AS j
				WHERE j.id <= (SELECT max(d.id) FROM hotdash._delivery_%1$s AS d)
					AND j.kind IN ('webhook.delivery', 'http.request'))
			SELECT array_agg(c.id) FROM (
				SELECT d.id FROM needed AS n JOIN hotdash._delivery_%1$s AS d ON d.id = n.id LIMIT $1) AS c
			$q$, part) INTO ids USING at_once;
		PERFORM hotdash._part_move('webhook_history', '_delivery', part, ids);
		RETURN coalesce(cardinality(ids) < at_once, true);
	EXCEPTION WHEN lock_not_available THEN
		RETURN NULL;
	END
	$$;
COMMENT ON FUNCTION hotdash._deliveries_rescue(smallint, int) IS
	'Moves open deliveries out of a part; true when it holds none any more, null when that cannot be told now';
REVOKE ALL ON FUNCTION hotdash._deliveries_rescue(smallint, int) FROM PUBLIC;

CREATE FUNCTION hotdash._webhooks_keep(patient bool DEFAULT true) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* One part of a family at a time: the locks that drop it are held until the transaction ends. */
	DECLARE
		at_once constant int := 10000;
		f record;
		class smallint;
		due smallint[];
		rescued bool;
		dropped bool;
		more bool := false;
	BEGIN
		LOCK TABLE hotdash._part IN SHARE ROW EXCLUSIVE MODE NOWAIT;
		PERFORM hotdash._messages_mark();
		FOR f IN SELECT * FROM (VALUES
			('webhook_messages', '{_message}'::text[], 'hotdash.webhook_message_retention'),
			('webhook_history', '{_delivery,_delivery_attempt}', 'hotdash.webhook_history_retention'))
			AS x (family, parents, setting)
		LOOP
			class := hotdash._webhook_class(f.setting);
			UPDATE hotdash._part AS p SET days = class WHERE p.family = f.family AND p.days <> class;
			due := ARRAY(SELECT p.part FROM hotdash._part AS p
				WHERE p.family = f.family AND p.closed_at + make_interval(days => class) <= hotdash._now()
				ORDER BY p.closed_at);
			rescued := true;
			IF due <> '{}' THEN
				rescued := CASE f.family WHEN 'webhook_messages' THEN hotdash._messages_rescue(due[1], at_once)
					ELSE hotdash._deliveries_rescue(due[1], at_once) END;
			END IF;
			dropped := hotdash._part_keep(f.family, f.parents, ARRAY[class], CASE WHEN rescued THEN due[2:] ELSE due END,
				patient);
			more := more OR rescued IS FALSE OR dropped AND coalesce(rescued, false) AND cardinality(due) > 1;
		END LOOP;
		RETURN more;
	EXCEPTION WHEN lock_not_available THEN
		RETURN false;
	END
	$$;
COMMENT ON FUNCTION hotdash._webhooks_keep(bool) IS
	'Closes, makes and drops parts of messages and of the history of deliveries, patient: waits a little for readers; true when there is more to do at once';
REVOKE ALL ON FUNCTION hotdash._webhooks_keep(bool) FROM PUBLIC;
