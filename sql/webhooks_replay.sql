/*
 * webhooks_replay.sql: deliveries that have ended are sent again.
 */

CREATE FUNCTION hotdash.delivery_replay(id bigint) RETURNS bool
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* A dead delivery goes on under its id; one that was completed or cancelled is followed by another. */
	DECLARE
		d hotdash._delivery;
		m record;
	BEGIN
		PERFORM hotdash._webhook_require(id, 'id');
		SELECT * INTO d FROM hotdash._delivery AS x
			WHERE x.id = delivery_replay.id AND hotdash._tenant_sees(x.tenant);
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('delivery %s does not exist', id);
		END IF;
		IF EXISTS (SELECT FROM hotdash._job AS j WHERE j.id = d.id) THEN
			RETURN false;
		END IF;
		IF hotdash._job_revive(ARRAY[d.id]) = 1 THEN
			RETURN true;
		END IF;
		SELECT x.id, x.order_key, x.traceparent INTO m FROM hotdash._message AS x WHERE x.id = d.message_id;
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object',
				MESSAGE = format('message of delivery %s does not exist any more', id);
		END IF;
		PERFORM hotdash._deliver(m.id, d.tenant, m.order_key, m.traceparent, ARRAY[d.endpoint_id]);
		RETURN true;
	END
	$$;
COMMENT ON FUNCTION hotdash.delivery_replay(bigint) IS 'Sends a delivery that has ended once more; false when it has not ended';
REVOKE ALL ON FUNCTION hotdash.delivery_replay(bigint) FROM PUBLIC;

CREATE FUNCTION hotdash.endpoint_replay(id bigint, since timestamptz, until_ts timestamptz DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		e hotdash._endpoint := hotdash._endpoint_get(id);
	BEGIN
		PERFORM hotdash._webhook_require(since, 'since');
		RETURN hotdash._job_revive(ARRAY(
			SELECT d.id FROM hotdash._delivery AS d JOIN hotdash._job_dead AS x ON x.id = d.id
			WHERE d.endpoint_id = e.id AND d.created_at >= since AND d.created_at < coalesce(until_ts, 'infinity')
				AND NOT EXISTS (SELECT FROM hotdash._delivery_attempt AS a
					WHERE a.delivery_id = d.id AND a.reason = 'delivered')
			ORDER BY d.created_at, d.id
			FOR UPDATE OF x SKIP LOCKED));
	END
	$$;
COMMENT ON FUNCTION hotdash.endpoint_replay(bigint, timestamptz, timestamptz) IS
	'Starts again the dead deliveries to an endpoint of events published since then; returns how many';
REVOKE ALL ON FUNCTION hotdash.endpoint_replay(bigint, timestamptz, timestamptz) FROM PUBLIC;
