/*
 * jobs_views.sql: what can be seen of the jobs, and why one does not run.
 *
 * The policies are for whoever reads them: the functions act as the
 * extension's owner, whom policies do not bind, and filter by themselves.
 */

ALTER TABLE hotdash._job ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._job USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._job IS 'A session bound to a tenant sees that tenant alone';
ALTER TABLE hotdash._job_history ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._job_history USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._job_history IS
	'A session bound to a tenant sees that tenant alone';
ALTER TABLE hotdash._job_attempt ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._job_attempt USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._job_attempt IS
	'A session bound to a tenant sees that tenant alone';
ALTER TABLE hotdash._job_dead ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._job_dead USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._job_dead IS 'A session bound to a tenant sees that tenant alone';

ALTER TABLE hotdash._job_approval ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._job_approval USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._job_approval IS
	'A session bound to a tenant sees that tenant alone';
ALTER TABLE hotdash._batch ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._batch USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._batch IS 'A session bound to a tenant sees that tenant alone';
ALTER TABLE hotdash._job_progress ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._job_progress USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._job_progress IS
	'A session bound to a tenant sees that tenant alone';

CREATE VIEW hotdash.jobs WITH (security_invoker = true) AS
	SELECT j.id, j.kind, j.queue,
		CASE WHEN r.id IS NOT NULL THEN 'running'
			WHEN j.hold & 1 <> 0 THEN 'waiting_approval'
			WHEN j.hold IS NOT NULL OR j.at = 'infinity' THEN 'blocked'
			WHEN j.shelf AND j.at > hotdash._now() THEN 'scheduled'
			ELSE 'ready' END AS state,
		j.priority::int AS priority,
		(j.attempt + (r.id IS NOT NULL)::int)::int AS attempt,
		j.max_attempts::int AS max_attempts,
		j.at AS run_at, j.enqueued_at, r.started_at, NULL::timestamptz AS finished_at, r.worker,
		j.last_error, j.tenant, j.unique_key, j.order_key, j.tags, j.payload,
		NULL::jsonb AS result,
		CASE WHEN p.job_id IS NOT NULL THEN jsonb_build_object('percent', p.percent, 'note', p.note,
			'attempt', p.attempt, 'reported_at', p.reported_at) END AS progress
	FROM hotdash._job j LEFT JOIN hotdash._job_running() r ON r.id = j.id
		LEFT JOIN hotdash._job_progress p ON p.job_id = j.id
	UNION ALL
	SELECT h.id, h.kind, h.queue, h.state, h.priority, h.attempt, h.max_attempts, NULL,
		h.enqueued_at, h.started_at, h.finished_at, h.worker, NULL, h.tenant, h.unique_key, h.order_key,
		h.tags, NULL, h.result, NULL
	FROM hotdash._job_history h
	UNION ALL
	SELECT d.id, d.kind, d.queue, 'dead', d.priority, d.attempt, d.max_attempts, NULL,
		d.enqueued_at, NULL, d.died_at, NULL, d.last_error, d.tenant, d.unique_key, d.order_key,
		d.tags, d.payload, NULL, NULL
	FROM hotdash._job_dead d;
COMMENT ON VIEW hotdash.jobs IS 'Every job: waiting, running and ended';

CREATE VIEW hotdash.job_attempts WITH (security_invoker = true) AS
	SELECT job_id, attempt::int AS attempt, outcome, started_at, finished_at,
		finished_at - started_at AS duration, cpu_us * interval '1 microsecond' AS cpu, wal_bytes,
		worker, error, traceparent
	FROM hotdash._job_attempt
	UNION ALL
	SELECT id, attempt, state, started_at, finished_at, finished_at - started_at,
		cpu_us * interval '1 microsecond', wal_bytes, worker, NULL, NULL
	FROM hotdash._job_history WHERE state = 'completed';
COMMENT ON VIEW hotdash.job_attempts IS
	'Attempts that ended, with their errors; cpu and wal_bytes where a handler ran in the server';

CREATE VIEW hotdash.dead_jobs WITH (security_invoker = true) AS
	SELECT id, kind, queue, reason, attempt::int AS attempt, max_attempts::int AS max_attempts,
		enqueued_at, died_at, last_error, tenant, unique_key, tags, payload
	FROM hotdash._job_dead;
COMMENT ON VIEW hotdash.dead_jobs IS 'Jobs that gave up, with the reason';

-- The numbers of the queues: from memory where it knows them, see extension/jobs/tally.h.
CREATE FUNCTION hotdash._queue_tally()
	RETURNS TABLE (queue text, ready bigint, scheduled bigint, running bigint, dead bigint, held bigint,
		oldest_ready_at timestamptz, live bool)
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_queue_tally' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION hotdash._queue_tally() IS
	'Numbers of jobs by queue, as of now; live: from memory, not counted';
REVOKE ALL ON FUNCTION hotdash._queue_tally() FROM PUBLIC;

CREATE FUNCTION hotdash._queue_count()
	RETURNS TABLE (queue text, ready bigint, scheduled bigint, running bigint, dead bigint, held bigint,
		oldest_ready_at timestamptz)
	LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER ROWS 10
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = on
	AS $$
		WITH job AS (
			SELECT j.queue, j.at, r.id IS NOT NULL AS is_running, j.hold IS NOT NULL OR j.at = 'infinity' AS is_held,
				j.hold IS NULL AND j.shelf AND j.at > hotdash._now() AND j.at < 'infinity' AS is_scheduled
			FROM hotdash._job j LEFT JOIN hotdash._job_running() r ON r.id = j.id
			WHERE hotdash._tenant_sees(j.tenant)
		), live AS (
			SELECT j.queue, count(*) FILTER (WHERE is_scheduled) AS scheduled,
				count(*) FILTER (WHERE is_held) AS held,
				count(*) FILTER (WHERE is_running AND NOT is_scheduled AND NOT is_held) AS running,
				count(*) FILTER (WHERE NOT is_running AND NOT is_scheduled AND NOT is_held) AS ready,
				min(j.at) FILTER (WHERE NOT is_running AND NOT is_scheduled AND NOT is_held) AS oldest
			FROM job j GROUP BY j.queue
		), dead AS (
			SELECT d.queue, count(*) AS dead FROM hotdash._job_dead d
			WHERE hotdash._tenant_sees(d.tenant) GROUP BY d.queue
		)
		SELECT coalesce(l.queue, d.queue), coalesce(l.ready, 0), coalesce(l.scheduled, 0), coalesce(l.running, 0),
			coalesce(d.dead, 0), coalesce(l.held, 0), l.oldest
		FROM live l FULL JOIN dead d ON d.queue = l.queue
	$$;
COMMENT ON FUNCTION hotdash._queue_count() IS
	'Numbers of jobs by queue, counted in the tables as of the query''s snapshot';
REVOKE ALL ON FUNCTION hotdash._queue_count() FROM PUBLIC;

CREATE FUNCTION hotdash._queue_tally_check()
	RETURNS TABLE (queue text, problem text)
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		WITH tally AS MATERIALIZED (SELECT * FROM hotdash._queue_tally())
		SELECT coalesce(t.queue, c.queue), CASE WHEN NOT t.live THEN 'not from memory'
			ELSE format('memory has %s ready, %s scheduled, %s running, %s dead, %s held; the tables %s, %s, %s, %s, %s',
				t.ready, t.scheduled, t.running, t.dead, t.held, c.ready, c.scheduled, c.running, c.dead, c.held) END
		FROM tally AS t FULL JOIN hotdash._queue_count() AS c ON c.queue = t.queue
		WHERE NOT t.live
			OR (coalesce(t.ready, 0), coalesce(t.scheduled, 0), coalesce(t.running, 0), coalesce(t.dead, 0), coalesce(t.held, 0))
				<> (coalesce(c.ready, 0), coalesce(c.scheduled, 0), coalesce(c.running, 0), coalesce(c.dead, 0), coalesce(c.held, 0))
	$$;
COMMENT ON FUNCTION hotdash._queue_tally_check() IS
	'Queues whose numbers in memory are not those of the tables; with nobody else at work there is none';
REVOKE ALL ON FUNCTION hotdash._queue_tally_check() FROM PUBLIC;

CREATE VIEW hotdash.queues WITH (security_invoker = true) AS
	WITH names AS (
		SELECT queue, paused FROM hotdash._queue
		UNION ALL
		SELECT 'default', false
		WHERE NOT EXISTS (SELECT FROM hotdash._queue WHERE queue = 'default')
	)
	SELECT n.queue, coalesce(t.ready, 0) AS ready, coalesce(t.scheduled, 0) AS scheduled,
		coalesce(t.running, 0) AS running, coalesce(t.dead, 0) AS dead,
		hotdash._now() - t.oldest_ready_at AS oldest_ready_age, n.paused, coalesce(t.held, 0) AS held
	FROM names n LEFT JOIN hotdash._queue_tally() t ON t.queue = n.queue;
COMMENT ON VIEW hotdash.queues IS
	'Queues with the numbers of their jobs: as of now, at little cost however many there are';

CREATE VIEW hotdash.workers WITH (security_invoker = true) AS
	SELECT worker, count(*) AS running, min(started_at) AS oldest_started_at,
		min(lease_expires) AS next_lease_expires
	FROM hotdash._job_running()
	GROUP BY worker;
COMMENT ON VIEW hotdash.workers IS 'Workers that hold jobs now';

CREATE VIEW hotdash.approvals WITH (security_invoker = true) AS
	SELECT a.job_id, j.kind, j.queue, coalesce(a.decision, 'waiting') AS state, a.requested_at,
		CASE WHEN a.decided_at IS NULL THEN hotdash._now() ELSE a.decided_at END - a.requested_at AS waited,
		a.why, a.confidence, a.sources, j.payload, j.expires_at, a.decided_at, a.decided_by, a.decided_role, a.note,
		a.payload_before, a.tenant
	FROM hotdash._job_approval a LEFT JOIN hotdash._job j ON j.id = a.job_id;
COMMENT ON VIEW hotdash.approvals IS
	'Approvals asked for: waiting, approved, rejected, cancelled or expired, by whom and after how long';

CREATE VIEW hotdash.batches WITH (security_invoker = true) AS
	SELECT b.id,
		CASE WHEN j.hold & 4 <> 0 THEN 'open' WHEN j.hold & 2 <> 0 THEN 'closed'
			WHEN b.ended_at IS NOT NULL THEN 'ended' ELSE 'cancelled' END AS state,
		c.pending + c.completed + c.dead + c.cancelled AS members, c.pending, c.completed, c.dead, c.cancelled,
		b.id AS callback_job_id, b.created_at, b.closed_at, b.ended_at, b.tenant
	FROM hotdash._batch b LEFT JOIN hotdash._job j ON j.id = b.id
		CROSS JOIN LATERAL hotdash._batch_counts(b.id) c;
COMMENT ON VIEW hotdash.batches IS
	'Batches with the numbers of their members; state open, closed, ended (the callback may run) or cancelled';

CREATE FUNCTION hotdash.job_get(id bigint) RETURNS jsonb
	LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT to_jsonb(j) || jsonb_build_object('id', j.id::text)
		FROM hotdash.jobs j WHERE j.id = $1 AND hotdash._tenant_sees(j.tenant)
	$$;
COMMENT ON FUNCTION hotdash.job_get(bigint) IS 'One job as JSON, null when it is not known';
REVOKE ALL ON FUNCTION hotdash.job_get(bigint) FROM PUBLIC;

-- Which jobs are in the way; those of other tenants are not told.
CREATE FUNCTION hotdash._job_culprits(ids bigint[]) RETURNS text
	LANGUAGE sql STABLE PARALLEL RESTRICTED
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT ': ' || string_agg(j.id || coalesce(' (' || r.worker || ')', ''), ', ' ORDER BY j.id)
		FROM hotdash._job j LEFT JOIN hotdash._job_running() r ON r.id = j.id
		WHERE j.id = ANY (ids[:20]) AND hotdash._tenant_sees(j.tenant)
	$$;
COMMENT ON FUNCTION hotdash._job_culprits(bigint[]) IS 'Running jobs that are in the way, with their workers';
REVOKE ALL ON FUNCTION hotdash._job_culprits(bigint[]) FROM PUBLIC;

CREATE FUNCTION hotdash._job_flow_barrier(flow text, OUT code text, OUT why text)
	LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	limits hotdash._job_flow;
	state record;
BEGIN
	SELECT * INTO limits FROM hotdash._job_flow f WHERE f.hash = hotdash._job_flow_hash(_job_flow_barrier.flow);
	SELECT * INTO state FROM hotdash._job_flow_state(_job_flow_barrier.flow);
	IF limits.held_until > hotdash._now() THEN
		code := 'flow_held';
		why := format('Nothing of flow %s begins before %s: %s.', flow,
			CASE limits.held_until WHEN 'infinity' THEN 'that is changed' ELSE limits.held_until::text END,
			coalesce(limits.held_reason, 'no reason given'));
	ELSIF state.running >= coalesce(state.width, limits.concurrency) THEN
		code := 'flow_cap';
		why := format('The concurrency of flow %s is %s, and used up.', flow,
			coalesce(state.width, limits.concurrency)) || CASE WHEN state.soft IS NOT NULL
			THEN format(' It is %s, more while its jobs end fast, fewer while they fail.', state.soft) ELSE '' END;
	ELSIF state.shut AND limits.rate IS NOT NULL AND state.opens_at > hotdash._now() THEN
		code := 'flow_rate';
		why := format('The rate of flow %s is %s in %s%s; the next job may begin at %s.', flow, limits.rate,
			limits.rate_period_us * interval '1 microsecond', coalesce(', since ' || limits.rate_reason, ''), state.opens_at);
	END IF;
END
$$;
COMMENT ON FUNCTION hotdash._job_flow_barrier(text) IS 'Why a flow does not let a job begin; null when it does';
REVOKE ALL ON FUNCTION hotdash._job_flow_barrier(text) FROM PUBLIC;

-- Why a job that is ready does not run: the first that holds, from the job outward.
CREATE FUNCTION hotdash._job_barrier(id bigint, OUT code text, OUT why text)
	LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	job hotdash._job;
	kind hotdash._kind;
	queue hotdash._queue;
	state record;
	busy bigint[];
	first bigint;
	first_at timestamptz; -- null: it was not scheduled
BEGIN
	SELECT * INTO job FROM hotdash._job j WHERE j.id = _job_barrier.id;
	IF NOT FOUND THEN
		code := 'ended';
		why := 'It ended while this was looked up.';
		RETURN;
	END IF;
	SELECT * INTO kind FROM hotdash._kind k WHERE k.kind = job.kind;
	SELECT * INTO queue FROM hotdash._queue q WHERE q.queue = job.queue;
	SELECT * INTO state FROM hotdash._job_queue_state(job.queue);

	IF state.horizon IS NOT NULL AND (job.order_key IS NOT NULL OR kind.concurrency IS NOT NULL
		OR queue.concurrency IS NOT NULL OR EXISTS (SELECT FROM hotdash._job_flow f
			WHERE f.hash = hotdash._job_flow_hash(job.flow) AND f.concurrency IS NOT NULL AND NOT f.soft)) THEN
		code := 'lost_leases';
		why := format('The server stopped and lost its leases; jobs with a key or a concurrency wait until '
			|| 'none of them can be out, at %s.', state.horizon);
		RETURN;
	END IF;
	IF job.order_key IS NOT NULL AND job.line_at IS NULL THEN
		SELECT j.id, CASE WHEN j.shelf THEN j.at END INTO first, first_at FROM hotdash._job j
			WHERE j.line = job.line AND j.line_at IS NULL AND j.id < job.id ORDER BY j.id LIMIT 1;
		IF first IS NULL THEN
			SELECT r.id INTO first FROM hotdash._job_running() r JOIN hotdash._job j ON j.id = r.id
				WHERE j.line = job.line AND r.id <> job.id LIMIT 1;
		END IF;
		IF first IS NOT NULL THEN
			code := 'key_blocked';
			why := format('Job %s has the same order key (%s) and comes first; it is %s.', first,
				job.order_key, CASE
				WHEN EXISTS (SELECT FROM hotdash._job_running() r WHERE r.id = first) THEN 'running'
				WHEN first_at > hotdash._now() THEN 'scheduled for ' || first_at
				ELSE 'ready' END);
			RETURN;
		END IF;
	ELSIF job.order_key IS NOT NULL AND kind.concurrency_per_key IS NOT NULL THEN
		SELECT array_agg(r.id ORDER BY r.id) INTO busy
			FROM hotdash._job_running() r JOIN hotdash._job j ON j.id = r.id WHERE j.line = job.line;
		IF cardinality(busy) >= kind.concurrency_per_key THEN
			code := 'key_cap';
			why := format('The concurrency of kind %s per key is %s, and its key (%s) uses it up: %s.',
				job.kind, kind.concurrency_per_key, job.order_key, array_to_string(busy[:20], ', '));
			RETURN;
		END IF;
	END IF;

	IF job.flow IS NOT NULL THEN
		SELECT b.code, b.why INTO code, why FROM hotdash._job_flow_barrier(job.flow) b WHERE b.code IS NOT NULL;
		IF code IS NOT NULL THEN
			RETURN;
		END IF;
	END IF;
	SELECT array_agg(r.id ORDER BY r.id) INTO busy
		FROM hotdash._job_running() r JOIN hotdash._job j ON j.id = r.id WHERE j.kind = job.kind;
	IF cardinality(busy) >= kind.concurrency THEN
		code := 'kind_cap';
		why := format('The concurrency of kind %s is %s, and used up%s.', job.kind, kind.concurrency,
			coalesce(hotdash._job_culprits(busy), ''));
		RETURN;
	END IF;
	SELECT array_agg(r.id ORDER BY r.id) INTO busy
		FROM hotdash._job_running() r JOIN hotdash._job j ON j.id = r.id WHERE j.queue = job.queue;
	IF cardinality(busy) >= queue.concurrency THEN
		code := 'queue_cap';
		why := format('The concurrency of queue %s is %s, and used up%s.', job.queue,
			queue.concurrency, coalesce(hotdash._job_culprits(busy), ''));
	ELSIF state.rate_at IS NOT NULL THEN
		code := 'rate';
		why := format('The rate of queue %s is %s in %s; the next job may begin at %s.', job.queue,
			queue.rate, queue.rate_period, state.rate_at);
	ELSIF coalesce(state.waiting, 0) = 0
		AND coalesce(state.asked_at, '-infinity') < hotdash._now() - interval '1 minute' THEN
		code := 'no_worker';
		why := format('It is ready since %s, but no worker claims from queue %s%s.', job.at, job.queue,
			coalesce('; the last did at ' || state.asked_at, ''));
	ELSE
		code := 'ready';
		why := format('It is ready since %s and waits for a worker of queue %s.', job.at, job.queue);
	END IF;
END
$$;
COMMENT ON FUNCTION hotdash._job_barrier(bigint) IS 'Why a job that is ready does not run';
REVOKE ALL ON FUNCTION hotdash._job_barrier(bigint) FROM PUBLIC;

CREATE FUNCTION hotdash.job_explain(id bigint) RETURNS jsonb
	LANGUAGE plpgsql STABLE PARALLEL RESTRICTED SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	job hotdash.jobs;
	attempts text;
	code text;
	why text;
BEGIN
	PERFORM hotdash._require_arg(job_explain.id, 'id');
	SELECT * INTO job FROM hotdash.jobs j
		WHERE j.id = job_explain.id AND hotdash._tenant_sees(j.tenant);
	attempts := format('attempt %s of %s', job.attempt, job.max_attempts);
	IF job.id IS NULL THEN
		code := 'unknown';
		why := 'There is no such job; its history may have been dropped.';
	ELSIF job.state = 'running' AND EXISTS (SELECT FROM hotdash._job_running() r
			WHERE r.id = job.id AND r.cancelled) THEN
		code := 'cancelling';
		why := format('It is to be cancelled; %s, which runs it, has not ended it yet.', job.worker);
	ELSIF job.state = 'running' THEN
		code := 'running';
		why := format('It is running since %s by %s, %s.', job.started_at, job.worker, attempts);
	ELSIF job.state = 'cancelled' AND job.result ? 'rejected' THEN
		code := 'rejected';
		why := format('It was rejected by %s at %s.', job.result -> 'rejected' ->> 'by', job.finished_at);
	ELSIF job.state = 'cancelled' AND job.result ? 'failed_dependency' THEN
		code := 'dependency_failed';
		why := format('It was cancelled at %s, because job %s, which it waited for, did not complete.',
			job.finished_at, job.result ->> 'failed_dependency');
	ELSIF job.state IN ('completed', 'cancelled') THEN
		code := job.state;
		why := format('It was %s at %s.', job.state, job.finished_at);
	ELSIF job.state = 'dead' THEN
		code := 'dead';
		why := format('It gave up at %s after %s: %s. job_retry(%s) brings it back.',
			job.finished_at, attempts,
			(SELECT d.reason FROM hotdash._job_dead d WHERE d.id = job_explain.id), job.id);
	ELSIF job.state IN ('waiting_approval', 'blocked') AND EXISTS (SELECT FROM hotdash._job_explain_hold(job.id)) THEN
		SELECT h.code, h.why INTO code, why FROM hotdash._job_explain_hold(job.id) AS h;
	ELSIF job.state = 'blocked' THEN
		code := 'parked';
		why := 'It is parked until whoever parked it moves it to a time.';
	ELSIF job.state = 'scheduled' AND job.attempt > 0 THEN
		code := 'retry_scheduled';
		why := format('Its last attempt failed; it runs again at %s.', job.run_at);
	ELSIF job.state = 'scheduled' THEN
		code := 'scheduled';
		why := format('It is scheduled for %s.', job.run_at);
	ELSIF hotdash._instance_state() = 'copy' THEN
		code := 'restored_copy';
		why := 'This is a restored copy of the data, which must not act; instance_adopt() says it is the live one.';
	ELSIF (SELECT q.paused FROM hotdash._queue q WHERE q.queue = job.queue) THEN
		code := 'queue_paused';
		why := format('Queue %s is paused; queue_resume(%L) goes on.', job.queue, job.queue);
	ELSE
		SELECT b.code, b.why INTO code, why FROM hotdash._job_barrier(job_explain.id) AS b;
	END IF;
	RETURN jsonb_strip_nulls(jsonb_build_object('id', job_explain.id::text, 'code', code,
		'why', why, 'state', job.state, 'run_at', job.run_at, 'last_error', job.last_error));
END
$$;
COMMENT ON FUNCTION hotdash.job_explain(bigint) IS
	'Why a job is not running: a code and a sentence';
REVOKE ALL ON FUNCTION hotdash.job_explain(bigint) FROM PUBLIC;
