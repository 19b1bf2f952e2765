/*
 * webhooks_replay.sql: deliveries that have ended are sent again.
 */

CREATE FUNCTION hotdash.delivery_replay(id bigint) RETURNS bool
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * A dead delivery goes on under its id; one that was completed or cancelled is followed by another. Its message
	 * starts anew then too, or it could go with its part while that delivery waits.
	 */
	DECLARE
		d hotdash._delivery;
		m hotdash._message;
	BEGIN
		PERFORM hotdash._require_arg(id, 'id');
		SELECT * INTO d FROM hotdash._delivery AS x
			WHERE x.id = delivery_replay.id AND hotdash._tenant_sees(x.tenant);
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('delivery %s does not exist', id),
				HINT = format('Deliveries are kept for hotdash.webhook_history_retention, which is %s.',
					current_setting('hotdash.webhook_history_retention'));
		END IF;
		IF EXISTS (SELECT FROM hotdash._job AS j WHERE j.id = d.id) THEN
			RETURN false;
		END IF;
		IF d.endpoint_id IS NOT NULL AND NOT EXISTS (SELECT FROM hotdash._endpoint AS e WHERE e.id = d.endpoint_id) THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object',
				MESSAGE = format('endpoint %s of delivery %s does not exist any more', d.endpoint_id, id);
		END IF;
		IF (EXISTS (SELECT FROM hotdash._message AS x WHERE x.id = d.message_id)
				OR d.message_id IS NULL AND EXISTS (SELECT FROM hotdash._http_request AS q WHERE q.id = d.id))
			AND hotdash._job_revive(ARRAY[d.id]) = 1
		THEN
			RETURN true;
		END IF;
		-- Somebody else may have brought it back, and was waited for.
		IF EXISTS (SELECT FROM hotdash._job AS j WHERE j.id = d.id) THEN
			RETURN false;
		END IF;
		m := hotdash._message_refile(d.message_id);
		IF m.id IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object',
				MESSAGE = format('message of delivery %s does not exist any more', id),
				DETAIL = CASE WHEN d.message_id IS NULL THEN 'It was a request of its own.' ELSE
					format('%s was published by %s; bodies are kept for hotdash.webhook_message_retention, which is %s.',
						d.message_id, d.created_at, current_setting('hotdash.webhook_message_retention')) END,
				HINT = CASE WHEN d.message_id IS NULL THEN 'Call http_request again.' ELSE 'Publish the event again.' END;
		END IF;
		PERFORM hotdash._deliver(m, ARRAY[d.endpoint_id]);
		RETURN true;
	END
	$$;
COMMENT ON FUNCTION hotdash.delivery_replay(bigint) IS 'Sends a delivery that has ended once more; false when it has not ended';
REVOKE ALL ON FUNCTION hotdash.delivery_replay(bigint) FROM PUBLIC;

CREATE FUNCTION hotdash.endpoint_replay(id bigint, since timestamptz, until_ts timestamptz DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	-- For a million.
	SET work_mem = '64MB'
	AS $$
	DECLARE
		e hotdash._endpoint := hotdash._endpoint_get(id);
	BEGIN
		PERFORM hotdash._require_arg(since, 'since');
		RETURN hotdash._job_revive(ARRAY(
			SELECT d.id FROM hotdash._delivery AS d JOIN hotdash._job_dead AS x ON x.id = d.id
			WHERE d.endpoint_id = e.id AND d.created_at >= since AND d.created_at < coalesce(until_ts, 'infinity')
				AND EXISTS (SELECT FROM hotdash._message AS m WHERE m.id = d.message_id)
				AND NOT EXISTS (SELECT FROM hotdash._delivery_attempt AS a
					WHERE a.delivery_id = d.id AND a.reason = 'delivered')
			FOR UPDATE OF x SKIP LOCKED));
	END
	$$;
COMMENT ON FUNCTION hotdash.endpoint_replay(bigint, timestamptz, timestamptz) IS
	'Starts again the dead deliveries to an endpoint of events published since then whose bodies are kept; returns how many';
REVOKE ALL ON FUNCTION hotdash.endpoint_replay(bigint, timestamptz, timestamptz) FROM PUBLIC;
