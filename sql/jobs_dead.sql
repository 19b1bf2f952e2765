/*
 * jobs_dead.sql: bringing dead jobs back.
 *
 * Dead jobs come back under their id, with all attempts before them. What held a job back and was not
 * done when it died holds it back again: an approval that was not given, jobs that have not completed.
 */

CREATE FUNCTION hotdash._job_revive(ids bigint[]) RETURNS bigint
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	now_at timestamptz := hotdash._now();
	-- Far from the fences of its life before, so that no token of then is good.
	new_fence int := extract(epoch FROM now_at)::bigint % 65536;
	revived bigint[];
	members bigint[];
	blocked bigint[];
BEGIN
	WITH dead AS MATERIALIZED (
		DELETE FROM hotdash._job_dead WHERE id = ANY (ids) AND hotdash._tenant_sees(tenant) RETURNING *
	), keyed AS (
		-- A successor may have the key by now; then this one runs without it.
		INSERT INTO hotdash._job_unique (kind, tenant, unique_key, id)
		SELECT d.kind, d.tenant, d.unique_key, d.id FROM dead AS d
		WHERE d.unique_key IS NOT NULL
		ORDER BY d.kind, d.tenant, d.unique_key, d.id
		ON CONFLICT DO NOTHING
		RETURNING id
	), held AS (
		SELECT d.id, nullif(
			CASE WHEN EXISTS (SELECT FROM hotdash._job_approval AS a
				WHERE a.job_id = d.id AND a.decision IS DISTINCT FROM 'approved') THEN 1 ELSE 0 END
			| CASE WHEN EXISTS (SELECT FROM hotdash._batch AS b WHERE b.id = d.id AND b.ended_at IS NULL) THEN 10
				WHEN EXISTS (SELECT FROM hotdash._job_dependency AS p WHERE p.job_id = d.id) THEN 2
				ELSE 0 END, 0)::smallint AS hold
		FROM dead AS d
	), back AS (
		INSERT INTO hotdash._job (id, at, enqueued_at, fence, priority, attempt, max_attempts,
			shelf, queue, kind, tenant, line, line_at, timeout_ms, hold, awaited, batch, unique_key,
			order_key, flow, backoff, tags, last_error, payload)
		SELECT d.id, now_at, d.enqueued_at, new_fence, d.priority, 0, d.max_attempts,
			h.hold IS NULL, d.queue, d.kind, d.tenant,
			CASE WHEN h.hold IS NULL THEN hotdash._job_line(d.queue, d.priority, d.kind, d.tenant,
				d.flow, d.order_key, c.concurrency_per_key) END,
			CASE WHEN h.hold IS NULL AND (d.order_key IS NULL OR c.concurrency_per_key IS NOT NULL)
				THEN now_at END,
			d.timeout_ms, h.hold, true, d.batch,
			CASE WHEN k.id IS NOT NULL THEN d.unique_key END, d.order_key, d.flow, d.backoff, d.tags,
			d.last_error, d.payload
		FROM dead AS d JOIN held AS h ON h.id = d.id LEFT JOIN keyed AS k ON k.id = d.id
			LEFT JOIN hotdash._kind AS c ON c.kind = d.kind
		RETURNING id, batch, hold
	)
	SELECT array_agg(id), array_agg(id) FILTER (WHERE batch IS NOT NULL),
		array_agg(id) FILTER (WHERE hold & 2 <> 0)
		INTO revived, members, blocked FROM back;

	UPDATE hotdash._job_approval SET requested_at = now_at, decided_at = NULL, decision = NULL
		WHERE job_id = ANY (revived) AND decision <> 'approved';
	IF members IS NOT NULL THEN
		PERFORM hotdash._batch_rejoin(members);
	END IF;

	-- Those that they wait for may be ending at this moment, and not have seen them.
	INSERT INTO hotdash._job_recheck (job_id) SELECT unnest(blocked);

	PERFORM hotdash._job_announce(j.id) FROM hotdash._job AS j
		WHERE j.id = ANY (revived) AND j.hold IS NULL;
	RETURN coalesce(cardinality(revived), 0);
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
