/*
 * webhooks_delete.sql: endpoints that are given up for good.
 *
 * Model. The endpoint's row goes in the transaction that deletes it, and with it its secrets, its options and its
 * health: nothing can be built for it any more. What waits for it is held by its flow, at no cost, and cancelled by the
 * tick, a batch at a time, so that deleting takes no longer for a million deliveries than for one. What is under way is
 * left to its edge: the attempt is recorded, a success completes it, and there is no other attempt. The history stays
 * as long as any (webhooks_retention.sql).
 *
 * _endpoint_deleted holds what is still to be done, and is empty but for that. A delivery whose publisher had seen the
 * endpoint and commits after the tick has passed is dead when it is claimed, and says why (_edge_bury).
 *
 * Locks: the row of the endpoint, then what hangs on it; the tick skips what somebody else holds.
 */

CREATE TABLE hotdash._endpoint_deleted (
	endpoint_id bigint PRIMARY KEY,
	deleted_at timestamptz NOT NULL,
	swept_to timestamptz NOT NULL,          -- deliveries up to then were looked at; infinity: all
	under_way bigint[] NOT NULL             -- those of them that had not ended
);
COMMENT ON TABLE hotdash._endpoint_deleted IS 'Endpoints that are gone, while deliveries to them are not';
SELECT pg_catalog.pg_extension_config_dump('hotdash._endpoint_deleted', '');

CREATE FUNCTION hotdash.endpoint_delete(id bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		now constant timestamptz := hotdash._now();
		e hotdash._endpoint := hotdash._endpoint_get(id);
		flow constant text := hotdash._endpoint_flow_name(e.id);
	BEGIN
		PERFORM hotdash._consent_drop(e.id);
		PERFORM hotdash._endpoint_alert(e.id, NULL, NULL, false);
		DELETE FROM hotdash._endpoint AS x WHERE x.id = e.id;
		INSERT INTO hotdash._endpoint_deleted VALUES (e.id, now, '-infinity', '{}');
		INSERT INTO hotdash._job_flow AS f (hash, flow, held_until, held_reason)
			VALUES (hotdash._job_flow_hash(flow), flow, 'infinity', 'endpoint ' || e.id || ' was deleted')
			ON CONFLICT (hash) DO UPDATE SET held_until = excluded.held_until, held_reason = excluded.held_reason;
		PERFORM hotdash._event_operational('hotdash.endpoint.deleted', jsonb_build_object('endpoint', e.id::text,
				'tenant', e.tenant, 'deleted_at', now), 'hotdash.alert/endpoint:' || e.id, e.tenant, e.id);
	END
	$$;
COMMENT ON FUNCTION hotdash.endpoint_delete(bigint) IS
	'Deletes an endpoint and its secrets; what waits for it is cancelled within minutes, what was sent stays on record';
REVOKE ALL ON FUNCTION hotdash.endpoint_delete(bigint) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_sweep(d hotdash._endpoint_deleted) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * So many of its deliveries, ended or not, in the order in which they were made. Of one instant there may be more;
	 * what is too much for one transaction has its turn with the next.
	 */
	DECLARE
		at_once constant int := hotdash._job_at_once();
		batch record;
		open bigint[];
	BEGIN
		SELECT array_agg(x.id) AS ids, max(x.created_at) AS last, count(*) AS n INTO batch
			FROM (SELECT y.id, y.created_at FROM hotdash._delivery AS y
				WHERE y.endpoint_id = d.endpoint_id AND y.created_at > d.swept_to
				ORDER BY y.created_at FETCH FIRST at_once ROWS WITH TIES) AS x;
		open := ARRAY(SELECT j.id FROM hotdash._job AS j WHERE j.id = ANY (batch.ids)
			EXCEPT SELECT u.id FROM unnest(d.under_way) AS u (id));
		PERFORM hotdash._job_cancel_many(open[:at_once]);
		UPDATE hotdash._endpoint_deleted AS x
			SET swept_to = CASE WHEN cardinality(open) > at_once THEN x.swept_to WHEN batch.n < at_once THEN 'infinity'
					ELSE batch.last END,
				under_way = x.under_way || ARRAY(SELECT j.id FROM hotdash._job AS j WHERE j.id = ANY (open[:at_once]))
			WHERE x.endpoint_id = d.endpoint_id;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_sweep(hotdash._endpoint_deleted) IS
	'Cancels a batch of what waits for an endpoint that is gone';
REVOKE ALL ON FUNCTION hotdash._endpoint_sweep(hotdash._endpoint_deleted) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_swept(d hotdash._endpoint_deleted) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* What was being claimed or ended could not be cancelled then. The flow stays held until nothing is left. */
	DECLARE
		open bigint[] := ARRAY(SELECT j.id FROM hotdash._job AS j WHERE j.id = ANY (d.under_way));
	BEGIN
		IF open <> '{}' THEN
			PERFORM hotdash._job_cancel_many(open);
			UPDATE hotdash._endpoint_deleted AS x SET under_way = open WHERE x.endpoint_id = d.endpoint_id;
		ELSE
			DELETE FROM hotdash._job_flow AS f
				WHERE f.hash = hotdash._job_flow_hash(hotdash._endpoint_flow_name(d.endpoint_id));
			DELETE FROM hotdash._endpoint_deleted AS x WHERE x.endpoint_id = d.endpoint_id;
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_swept(hotdash._endpoint_deleted) IS
	'Forgets an endpoint that is gone once the last delivery to it has ended';
REVOKE ALL ON FUNCTION hotdash._endpoint_swept(hotdash._endpoint_deleted) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoints_sweep() RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		d hotdash._endpoint_deleted;
	BEGIN
		SELECT * INTO d FROM hotdash._endpoint_deleted AS x WHERE x.swept_to < 'infinity'
			ORDER BY x.deleted_at LIMIT 1 FOR UPDATE SKIP LOCKED;
		IF FOUND THEN
			PERFORM hotdash._endpoint_sweep(d);
			RETURN true;
		END IF;
		PERFORM hotdash._endpoint_swept(x.*)
			FROM (SELECT * FROM hotdash._endpoint_deleted AS y WHERE y.swept_to = 'infinity' FOR UPDATE SKIP LOCKED) AS x;
		RETURN false;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoints_sweep() IS
	'Cancels what waits for endpoints that are gone, one batch; true when there is more to do at once';
REVOKE ALL ON FUNCTION hotdash._endpoints_sweep() FROM PUBLIC;
