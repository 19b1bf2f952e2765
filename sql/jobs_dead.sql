/*
 * jobs_dead.sql: bringing dead jobs back.
 *
 * Dead jobs come back under their id, with all attempts before them. What held a job back and was not
 * done when it died holds it back again: an approval that was not given, jobs that have not completed.
 */

CREATE FUNCTION hotdash._job_revive(ids bigint[]) RETURNS bigint
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	-- By their keys, whatever is thought of the size of an array.
	SET plan_cache_mode = force_generic_plan
	SET enable_seqscan = off
	SET enable_nestloop = off
	SET enable_mergejoin = off
	AS $$
DECLARE
	-- There may be a million: what is between the tables stays in memory.
	at_once constant int := 5000;
	now_at constant timestamptz := hotdash._now();
	-- Far from the fences of its life before, so that no token of then is good.
	new_fence constant int := extract(epoch FROM now_at)::bigint % 65536;
	holds constant bool := EXISTS (SELECT FROM hotdash._job_approval) OR EXISTS (SELECT FROM hotdash._job_dependency)
		OR EXISTS (SELECT FROM hotdash._batch);
	revived bigint := 0;
	got record;
BEGIN
	FOR i IN 1 .. cardinality(ids) BY at_once LOOP
		WITH dead AS MATERIALIZED (
			DELETE FROM hotdash._job_dead
			WHERE id = ANY (ids[i : i + at_once - 1]) AND hotdash._tenant_sees(tenant) RETURNING *
		), keyed AS (
			-- A successor may have the key by now; then this one runs without it.
			INSERT INTO hotdash._job_unique (kind, tenant, unique_key, id)
			SELECT d.kind, d.tenant, d.unique_key, d.id FROM dead AS d
			WHERE d.unique_key IS NOT NULL
			ORDER BY d.kind, d.tenant, d.unique_key, d.id
			ON CONFLICT DO NOTHING
			RETURNING id
		), back AS (
			INSERT INTO hotdash._job (id, at, enqueued_at, fence, priority, attempt, max_attempts,
				shelf, queue, kind, tenant, line, line_at, timeout_ms, hold, awaited, batch, unique_key,
				order_key, flow, backoff, tags, last_error, payload)
			SELECT d.id, now_at, d.enqueued_at, new_fence, d.priority, 0, d.max_attempts,
				d.hold IS NULL, d.queue, d.kind, d.tenant,
				CASE WHEN d.hold IS NULL THEN hotdash._job_line(d.queue, d.priority, d.kind, d.tenant,
					d.flow, d.order_key, c.concurrency_per_key) END,
				CASE WHEN d.hold IS NULL AND (d.order_key IS NULL OR c.concurrency_per_key IS NOT NULL)
					THEN now_at END,
				d.timeout_ms, d.hold, true, d.batch,
				CASE WHEN d.unique_key IS NOT NULL AND d.id IN (SELECT k.id FROM keyed AS k) THEN d.unique_key END,
				d.order_key, d.flow, d.backoff, d.tags, d.last_error, d.payload
			FROM (
				SELECT x.*, CASE WHEN holds THEN nullif(
					CASE WHEN EXISTS (SELECT FROM hotdash._job_approval AS a
						WHERE a.job_id = x.id AND a.decision IS DISTINCT FROM 'approved') THEN 1 ELSE 0 END
					| CASE WHEN EXISTS (SELECT FROM hotdash._batch AS b WHERE b.id = x.id AND b.ended_at IS NULL) THEN 10
						WHEN EXISTS (SELECT FROM hotdash._job_dependency AS p WHERE p.job_id = x.id) THEN 2
						ELSE 0 END, 0)::smallint END AS hold
				FROM dead AS x
				OFFSET 0	-- once for each row
				) AS d
			LEFT JOIN hotdash._kind AS c ON c.kind = d.kind
			RETURNING id, line, batch, hold
		)
		-- Of those in one line the first says it for all.
		SELECT count(*) AS n, array_agg(x.id) FILTER (WHERE x.batch IS NOT NULL) AS members,
			array_agg(x.id) FILTER (WHERE x.hold & 1 <> 0) AS asking, array_agg(x.id) FILTER (WHERE x.hold & 2 <> 0) AS blocked,
			(SELECT array_agg(y.id) FROM (SELECT min(z.id) AS id FROM back AS z WHERE z.hold IS NULL GROUP BY z.line) AS y) AS heads
			INTO got FROM back AS x;
		revived := revived + got.n;

		UPDATE hotdash._job_approval SET requested_at = now_at, decided_at = NULL, decision = NULL
			WHERE job_id = ANY (got.asking) AND decision <> 'approved';
		IF got.members IS NOT NULL THEN
			PERFORM hotdash._batch_rejoin(got.members);
		END IF;

		-- Those that they wait for may be ending at this moment, and not have seen them.
		INSERT INTO hotdash._job_recheck (job_id) SELECT unnest(got.blocked);
		PERFORM hotdash._job_announce(got.heads);
	END LOOP;
	RETURN revived;
END
$$;
COMMENT ON FUNCTION hotdash._job_revive(bigint[]) IS 'Puts dead jobs back into their queues';
REVOKE ALL ON FUNCTION hotdash._job_revive(bigint[]) FROM PUBLIC;

CREATE FUNCTION hotdash.job_retry(id bigint) RETURNS bool
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	PERFORM hotdash._require_arg(id, 'id');
	RETURN hotdash._job_revive(ARRAY[id]) = 1;
END
$$;
COMMENT ON FUNCTION hotdash.job_retry(bigint) IS
	'Brings a dead job back with all its attempts; false when it is not dead';
REVOKE ALL ON FUNCTION hotdash.job_retry(bigint) FROM PUBLIC;

CREATE FUNCTION hotdash.dead_retry(queue text DEFAULT NULL, kind text DEFAULT NULL,
	since timestamptz DEFAULT NULL, up_to int DEFAULT NULL)
	RETURNS bigint
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_column
BEGIN
	IF up_to < 1 THEN
		RAISE EXCEPTION 'up_to must be at least 1' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	RETURN hotdash._job_revive(ARRAY(
		SELECT d.id FROM hotdash._job_dead d
		WHERE (dead_retry.queue IS NULL OR d.queue = dead_retry.queue)
			AND (dead_retry.kind IS NULL OR d.kind = dead_retry.kind)
			AND (since IS NULL OR d.died_at >= since)
			AND hotdash._tenant_sees(d.tenant)
		ORDER BY d.died_at, d.id
		LIMIT up_to
		FOR UPDATE SKIP LOCKED));
END
$$;
COMMENT ON FUNCTION hotdash.dead_retry(text, text, timestamptz, int) IS
	'Brings dead jobs back, oldest first; returns how many';
REVOKE ALL ON FUNCTION hotdash.dead_retry(text, text, timestamptz, int) FROM PUBLIC;
