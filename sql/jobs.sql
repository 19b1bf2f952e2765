/*
 * jobs.sql: the job engine's tables, functions and views.
 *
 * A job is one row of _job while it lives. Rows that are due at once, have no
 * key and fit into the list in shared memory have the primary key as their
 * only index entry; the others wait in a line as well, and those that are
 * scheduled are also found by their time (shelf = true). Ended jobs are in
 * _job_history or _job_dead.
 *
 * extension/jobs/table.h numbers the columns of _job and _job_history: keep them in step.
 */

CREATE SEQUENCE hotdash._job_id AS bigint MAXVALUE 4503599627370495;
COMMENT ON SEQUENCE hotdash._job_id IS 'Low 52 bits of job ids; the high bits are hotdash.node_id';

CREATE TABLE hotdash._queue (
	queue text COLLATE "C" NOT NULL PRIMARY KEY,
	paused bool NOT NULL,
	concurrency int
);
COMMENT ON TABLE hotdash._queue IS 'Queues made by queue_set; queue default exists without a row';

CREATE TABLE hotdash._kind (
	kind text COLLATE "C" NOT NULL PRIMARY KEY,
	handler text,
	queue text COLLATE "C" NOT NULL,
	run_as regrole,
	max_attempts smallint NOT NULL,
	backoff jsonb,
	timeout interval,
	concurrency int,
	concurrency_per_key int
);
COMMENT ON TABLE hotdash._kind IS 'Kinds of jobs made by job_kind_set';
COMMENT ON COLUMN hotdash._kind.handler IS 'Qualified signature, resolved when a job runs';

CREATE TABLE hotdash._job (
	id bigint NOT NULL CONSTRAINT _job_pkey PRIMARY KEY,
	at timestamptz NOT NULL,
	enqueued_at timestamptz NOT NULL,
	fence int NOT NULL,
	priority smallint NOT NULL,
	attempt smallint NOT NULL,
	max_attempts smallint NOT NULL,
	shelf bool NOT NULL,
	queue text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	expires_at timestamptz,
	line bigint,
	line_at timestamptz,
	timeout_ms int,
	hold smallint,
	unique_key text COLLATE "C",
	order_key text COLLATE "C",
	backoff jsonb,
	tags text[],
	traceparent text,
	last_error text,
	payload jsonb
);
CREATE INDEX _job_line ON hotdash._job (line, line_at, id) WHERE line IS NOT NULL;
CREATE INDEX _job_due ON hotdash._job (at, id) WHERE shelf;
COMMENT ON TABLE hotdash._job IS 'Jobs that have not ended';
COMMENT ON COLUMN hotdash._job.at IS 'Due from then on; orders jobs of one queue and priority';
COMMENT ON COLUMN hotdash._job.fence IS 'Raised by each change that makes earlier claims stale';
COMMENT ON COLUMN hotdash._job.attempt IS 'Attempts charged so far';
COMMENT ON COLUMN hotdash._job.shelf IS 'Scheduled: found by its time, through index _job_due';
COMMENT ON COLUMN hotdash._job.line IS
	'Number of the lane or gate it waits in; null when it was listed at enqueue, or is held';
COMMENT ON COLUMN hotdash._job.line_at IS 'Orders the line; null where ids alone do (order keys)';
COMMENT ON COLUMN hotdash._job.hold IS 'What it waits for: bit 1 approval, bit 2 other jobs; null nothing';

CREATE TABLE hotdash._job_unique (
	kind text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	unique_key text COLLATE "C" NOT NULL,
	id bigint NOT NULL,
	PRIMARY KEY (kind, tenant, unique_key)
);
COMMENT ON TABLE hotdash._job_unique IS 'Which job has a unique key; only jobs that ask have a row';

CREATE TABLE hotdash._job_history (
	id bigint NOT NULL,
	enqueued_at timestamptz NOT NULL,
	started_at timestamptz,
	finished_at timestamptz NOT NULL,
	priority smallint NOT NULL,
	attempt smallint NOT NULL,
	max_attempts smallint NOT NULL,
	state text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	queue text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	worker text,
	unique_key text COLLATE "C",
	order_key text COLLATE "C",
	tags text[],
	result jsonb
);
CREATE INDEX _job_history_id ON hotdash._job_history USING brin (id) WITH (autosummarize = on);
COMMENT ON TABLE hotdash._job_history IS 'Jobs that were completed or cancelled';

CREATE TABLE hotdash._job_attempt (
	job_id bigint NOT NULL,
	started_at timestamptz,
	finished_at timestamptz NOT NULL,
	attempt smallint NOT NULL,
	outcome text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	worker text,
	error text
);
CREATE INDEX _job_attempt_job ON hotdash._job_attempt (job_id);
COMMENT ON TABLE hotdash._job_attempt IS 'Attempts that failed: failed, lost (lease ran out), crashed';

CREATE TABLE hotdash._job_dead (
	id bigint NOT NULL PRIMARY KEY,
	enqueued_at timestamptz NOT NULL,
	died_at timestamptz NOT NULL,
	priority smallint NOT NULL,
	attempt smallint NOT NULL,
	max_attempts smallint NOT NULL,
	reason text COLLATE "C" NOT NULL,
	queue text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	timeout_ms int,
	unique_key text COLLATE "C",
	order_key text COLLATE "C",
	backoff jsonb,
	tags text[],
	last_error text,
	payload jsonb
);
COMMENT ON TABLE hotdash._job_dead IS
	'Jobs that gave up: attempts, final, expired; job_retry brings one back';

SELECT pg_catalog.pg_extension_config_dump('hotdash._job_id', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._queue', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._kind', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_unique', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_history', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_attempt', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_dead', '');

CREATE FUNCTION hotdash._config_changed() RETURNS trigger
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_config_changed' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._config_changed() IS 'Tells every session at commit that kinds or queues changed';
REVOKE ALL ON FUNCTION hotdash._config_changed() FROM PUBLIC;
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hotdash._kind
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._config_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hotdash._queue
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._config_changed();

CREATE TYPE hotdash.claimed_job AS (
	id bigint,
	token bigint,
	kind text,
	payload jsonb,
	queue text,
	attempt int,
	max_attempts int,
	tenant text,
	order_key text,
	traceparent text,
	lease_expires timestamptz,
	tags text[]
);
COMMENT ON TYPE hotdash.claimed_job IS 'A job that was claimed; token is needed to end the claim';

CREATE FUNCTION hotdash._job_kind_hash(kind text) RETURNS int
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_kind_hash' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._job_kind_hash(text) IS 'Hash by which shared memory knows a kind';
REVOKE ALL ON FUNCTION hotdash._job_kind_hash(text) FROM PUBLIC;

CREATE FUNCTION hotdash.job_kind_set(kind text, handler regprocedure DEFAULT NULL, queue text DEFAULT NULL,
	run_as regrole DEFAULT NULL, max_attempts int DEFAULT NULL, backoff jsonb DEFAULT NULL,
	timeout interval DEFAULT NULL, concurrency int DEFAULT NULL,
	concurrency_per_key int DEFAULT NULL, payload_schema jsonb DEFAULT NULL,
	retention interval DEFAULT NULL, options jsonb DEFAULT NULL)
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_kind_set' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.job_kind_set IS
	'Registers a kind of job, or states it anew: handler, queue, attempts, backoff, timeout';
REVOKE ALL ON FUNCTION hotdash.job_kind_set FROM PUBLIC;

CREATE FUNCTION hotdash.queue_set(queue text, concurrency int DEFAULT NULL, rate int DEFAULT NULL,
	rate_period interval DEFAULT NULL, alert_at int DEFAULT NULL, escalate_at int DEFAULT NULL,
	notify bool DEFAULT NULL, options jsonb DEFAULT NULL)
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_queue_set' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.queue_set IS
	'Creates a queue, or states it anew';
REVOKE ALL ON FUNCTION hotdash.queue_set FROM PUBLIC;

CREATE FUNCTION hotdash.queue_pause(queue text)
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_queue_pause' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.queue_pause IS
	'Claims pass over the queue until it is resumed; running jobs go on';
REVOKE ALL ON FUNCTION hotdash.queue_pause FROM PUBLIC;

CREATE FUNCTION hotdash.queue_resume(queue text)
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_queue_resume' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.queue_resume IS
	'Ends a pause of the queue';
REVOKE ALL ON FUNCTION hotdash.queue_resume FROM PUBLIC;

CREATE FUNCTION hotdash.job_enqueue(kind text, payload jsonb DEFAULT NULL, queue text DEFAULT NULL,
	priority int DEFAULT NULL, run_at timestamptz DEFAULT NULL, max_attempts int DEFAULT NULL,
	unique_key text DEFAULT NULL, if_exists text DEFAULT NULL, order_key text DEFAULT NULL,
	tenant text DEFAULT NULL, after bigint[] DEFAULT NULL, needs_approval bool DEFAULT NULL,
	tags text[] DEFAULT NULL, options jsonb DEFAULT NULL)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_enqueue' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.job_enqueue IS
	'Enqueues a job in the current transaction; returns its id';
REVOKE ALL ON FUNCTION hotdash.job_enqueue FROM PUBLIC;

CREATE FUNCTION hotdash.job_enqueue_many(kind text, payloads jsonb[], queue text DEFAULT NULL,
	priority int DEFAULT NULL, run_at timestamptz DEFAULT NULL, max_attempts int DEFAULT NULL,
	unique_keys text[] DEFAULT NULL, order_keys text[] DEFAULT NULL, tenant text DEFAULT NULL,
	tags text[] DEFAULT NULL, options jsonb DEFAULT NULL)
	RETURNS bigint[]
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_enqueue_many' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.job_enqueue_many IS
	'Enqueues one job per payload; returns their ids in the same order';
REVOKE ALL ON FUNCTION hotdash.job_enqueue_many FROM PUBLIC;

CREATE FUNCTION hotdash.job_claim(queues text[] DEFAULT NULL, batch int DEFAULT NULL, worker text DEFAULT NULL,
	lease interval DEFAULT NULL, kinds text[] DEFAULT NULL, session_bound bool DEFAULT NULL)
	RETURNS SETOF hotdash.claimed_job
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_claim' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.job_claim IS
	'Claims ready jobs, first by priority and then by age; never blocks';
REVOKE ALL ON FUNCTION hotdash.job_claim FROM PUBLIC;

CREATE FUNCTION hotdash.job_next(id bigint, token bigint, result jsonb DEFAULT NULL, queues text[] DEFAULT NULL,
	lease interval DEFAULT NULL)
	RETURNS SETOF hotdash.claimed_job
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_next' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.job_next IS
	'Completes one job and claims the next';
REVOKE ALL ON FUNCTION hotdash.job_next FROM PUBLIC;

CREATE FUNCTION hotdash.job_complete(id bigint, token bigint, result jsonb DEFAULT NULL)
	RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_complete' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.job_complete IS
	'Completes a claimed job; false when the token is stale';
REVOKE ALL ON FUNCTION hotdash.job_complete FROM PUBLIC;

CREATE FUNCTION hotdash.job_complete_many(ids bigint[], tokens bigint[], results jsonb[] DEFAULT NULL)
	RETURNS TABLE (id bigint, accepted bool)
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_complete_many' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.job_complete_many IS
	'Completes claimed jobs; accepted is false where the token is stale';
REVOKE ALL ON FUNCTION hotdash.job_complete_many FROM PUBLIC;

CREATE FUNCTION hotdash.job_fail(id bigint, token bigint, error text, retry_in interval DEFAULT NULL,
	final bool DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_fail' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.job_fail IS
	'Fails a claimed job; returns scheduled, dead, or lost when the token is stale';
REVOKE ALL ON FUNCTION hotdash.job_fail FROM PUBLIC;

CREATE FUNCTION hotdash.job_fail_many(ids bigint[], tokens bigint[], errors text[],
	retry_ins interval[] DEFAULT NULL, finals bool[] DEFAULT NULL)
	RETURNS TABLE (id bigint, state text)
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_fail_many' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.job_fail_many IS
	'Fails claimed jobs; states as job_fail';
REVOKE ALL ON FUNCTION hotdash.job_fail_many FROM PUBLIC;

CREATE FUNCTION hotdash.job_snooze(id bigint, token bigint, delay interval)
	RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_snooze' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.job_snooze IS
	'Puts a claimed job off without charging the attempt; false when the token is stale';
REVOKE ALL ON FUNCTION hotdash.job_snooze FROM PUBLIC;

CREATE FUNCTION hotdash.job_renew(ids bigint[], tokens bigint[], lease interval DEFAULT NULL)
	RETURNS TABLE (id bigint, state text, lease_expires timestamptz)
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_renew' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.job_renew IS
	'Prolongs leases at once, whatever the transaction does; state renewed or lost';
REVOKE ALL ON FUNCTION hotdash.job_renew FROM PUBLIC;

CREATE FUNCTION hotdash.job_cancel(id bigint)
	RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_cancel' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.job_cancel IS
	'Cancels a job that waits; false when it is running or has ended';
REVOKE ALL ON FUNCTION hotdash.job_cancel FROM PUBLIC;

CREATE PROCEDURE hotdash.job_wait(queues text[] DEFAULT NULL, wait interval DEFAULT NULL,
	INOUT ready bool DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_wait' LANGUAGE C;
COMMENT ON PROCEDURE hotdash.job_wait IS
	'Returns when there is something to claim or the time is up; holds no snapshot';
REVOKE ALL ON PROCEDURE hotdash.job_wait FROM PUBLIC;

CREATE PROCEDURE hotdash.job_work(queues text[] DEFAULT NULL, max_runtime interval DEFAULT NULL,
	until_empty bool DEFAULT NULL)
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_work' LANGUAGE C;
COMMENT ON PROCEDURE hotdash.job_work IS
	'Runs SQL handlers, each job in a transaction of its own';
REVOKE ALL ON PROCEDURE hotdash.job_work FROM PUBLIC;

CREATE PROCEDURE hotdash._tick()
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_tick' LANGUAGE C;
COMMENT ON PROCEDURE hotdash._tick IS
	'Periodic work: ends leases that ran out, and tidies up';
REVOKE ALL ON PROCEDURE hotdash._tick FROM PUBLIC;

-- For the other modules and for operators.

CREATE FUNCTION hotdash._job_snooze_many(ids bigint[], tokens bigint[], delays interval[])
	RETURNS TABLE (id bigint, accepted bool)
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_snooze_many' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_snooze_many IS
	'Puts claimed jobs off without charging the attempt';
REVOKE ALL ON FUNCTION hotdash._job_snooze_many FROM PUBLIC;

CREATE FUNCTION hotdash._job_release_many(ids bigint[], tokens bigint[])
	RETURNS TABLE (id bigint, accepted bool)
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_release_many' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_release_many IS
	'Gives claimed jobs back at once without charging the attempt';
REVOKE ALL ON FUNCTION hotdash._job_release_many FROM PUBLIC;

CREATE FUNCTION hotdash._job_reschedule(ids bigint[], at timestamptz)
	RETURNS int
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_reschedule' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_reschedule IS
	'Moves waiting jobs to another time; infinity parks them';
REVOKE ALL ON FUNCTION hotdash._job_reschedule FROM PUBLIC;

CREATE FUNCTION hotdash._job_reload()
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_reload' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_reload IS
	'Looks for jobs that came in by COPY or a restore at the next claim';
REVOKE ALL ON FUNCTION hotdash._job_reload FROM PUBLIC;

CREATE FUNCTION hotdash._job_announce(id bigint)
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_announce' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_announce IS
	'Tells the list that this transaction wrote the row of a job that waits in a line itself';
REVOKE ALL ON FUNCTION hotdash._job_announce FROM PUBLIC;

CREATE FUNCTION hotdash._job_line(queue text, priority smallint, kind text, tenant text,
	order_key text, per_key int)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_line' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._job_line IS
	'Number of the line in which a job waits; per_key is its kind''s concurrency_per_key';
REVOKE ALL ON FUNCTION hotdash._job_line FROM PUBLIC;

CREATE FUNCTION hotdash._backoff_delay(backoff jsonb, attempt int DEFAULT 1)
	RETURNS interval
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_backoff_delay' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._backoff_delay IS
	'Delay that a policy gives after an attempt; raises 22023 for a policy that is not valid';
REVOKE ALL ON FUNCTION hotdash._backoff_delay FROM PUBLIC;

CREATE FUNCTION hotdash._name_check(name text, what text)
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_name_check' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._name_check IS
	'Raises 22023 unless a name is fit for a kind or queue';
REVOKE ALL ON FUNCTION hotdash._name_check FROM PUBLIC;

CREATE FUNCTION hotdash._job_running()
	RETURNS TABLE (id bigint, attempt int, started_at timestamptz, lease_expires timestamptz,
		worker text)
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_running' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION hotdash._job_running IS
	'Jobs of this database that are claimed, from shared memory';
REVOKE ALL ON FUNCTION hotdash._job_running FROM PUBLIC;

CREATE FUNCTION hotdash._job_lanes()
	RETURNS TABLE (queue text, priority int, listed int, more bool, running int,
		asked_at timestamptz)
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_lanes' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION hotdash._job_lanes IS
	'What shared memory knows of each lane of this database';
REVOKE ALL ON FUNCTION hotdash._job_lanes FROM PUBLIC;

CREATE FUNCTION hotdash._job_memory()
	RETURNS TABLE (part text, slots bigint, used bigint, running bigint)
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_memory' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 6;
COMMENT ON FUNCTION hotdash._job_memory IS
	'How much of the shared memory for jobs is in use, and what it counts as running';
REVOKE ALL ON FUNCTION hotdash._job_memory FROM PUBLIC;

CREATE FUNCTION hotdash._job_removed() RETURNS trigger
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_removed' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_removed() IS
	'Makes claims look again once rows were deleted by hand: others may have waited for them';
REVOKE ALL ON FUNCTION hotdash._job_removed() FROM PUBLIC;
CREATE TRIGGER removed AFTER DELETE OR TRUNCATE ON hotdash._job
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._job_removed();

-- Dead jobs come back under their id, with all attempts before them.
CREATE FUNCTION hotdash._job_revive(ids bigint[]) RETURNS bigint
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	now_at timestamptz := hotdash._now();
	dead hotdash._job_dead;
	per_key int;
	revived bigint := 0;
	-- Far from the fences of its life before, so that no token of then is good.
	new_fence int := extract(epoch FROM now_at)::bigint % 65536;
BEGIN
	FOR dead IN DELETE FROM hotdash._job_dead
			WHERE id = ANY (ids) AND hotdash._tenant_sees(tenant) RETURNING *
	LOOP
		-- A successor may have the key by now; then this one runs without it.
		IF dead.unique_key IS NOT NULL THEN
			INSERT INTO hotdash._job_unique (kind, tenant, unique_key, id)
			VALUES (dead.kind, dead.tenant, dead.unique_key, dead.id)
			ON CONFLICT DO NOTHING;
			IF NOT FOUND THEN
				dead.unique_key := NULL;
			END IF;
		END IF;
		per_key := (SELECT k.concurrency_per_key FROM hotdash._kind k WHERE k.kind = dead.kind);
		INSERT INTO hotdash._job (id, at, enqueued_at, fence, priority, attempt, max_attempts,
			shelf, queue, kind, tenant, line, line_at, timeout_ms, unique_key, order_key,
			backoff, tags, last_error, payload)
		VALUES (dead.id, now_at, dead.enqueued_at, new_fence, dead.priority, 0,
			dead.max_attempts, true, dead.queue, dead.kind, dead.tenant,
			hotdash._job_line(dead.queue, dead.priority, dead.kind, dead.tenant, dead.order_key,
				per_key),
			CASE WHEN dead.order_key IS NULL OR per_key IS NOT NULL THEN now_at END,
			dead.timeout_ms, dead.unique_key, dead.order_key,
			dead.backoff, dead.tags, dead.last_error, dead.payload);
		PERFORM hotdash._job_announce(dead.id);
		revived := revived + 1;
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
	IF id IS NULL THEN
		RAISE EXCEPTION 'argument "id" must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
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

/*
 * Views. The policies are for whoever reads them: the functions act as the
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

CREATE VIEW hotdash.jobs WITH (security_invoker = true) AS
	SELECT j.id, j.kind, j.queue,
		CASE WHEN r.id IS NOT NULL THEN 'running'
			WHEN j.at = 'infinity' THEN 'blocked'
			WHEN j.at > hotdash._now() THEN 'scheduled'
			ELSE 'ready' END AS state,
		j.priority::int AS priority,
		(j.attempt + (r.id IS NOT NULL)::int)::int AS attempt,
		j.max_attempts::int AS max_attempts,
		j.at AS run_at, j.enqueued_at, r.started_at, NULL::timestamptz AS finished_at, r.worker,
		j.last_error, j.tenant, j.unique_key, j.order_key, j.tags, j.payload,
		NULL::jsonb AS result, NULL::jsonb AS progress
	FROM hotdash._job j LEFT JOIN hotdash._job_running() r ON r.id = j.id
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
	SELECT job_id, attempt::int AS attempt, outcome, started_at, finished_at, worker, error
	FROM hotdash._job_attempt;
COMMENT ON VIEW hotdash.job_attempts IS 'Attempts that failed, with their errors';

CREATE VIEW hotdash.dead_jobs WITH (security_invoker = true) AS
	SELECT id, kind, queue, reason, attempt::int AS attempt, max_attempts::int AS max_attempts,
		enqueued_at, died_at, last_error, tenant, unique_key, tags, payload
	FROM hotdash._job_dead;
COMMENT ON VIEW hotdash.dead_jobs IS 'Jobs that gave up, with the reason';

CREATE VIEW hotdash.queues WITH (security_invoker = true) AS
	WITH names AS (
		SELECT queue, paused FROM hotdash._queue
		UNION ALL
		SELECT 'default', false
		WHERE NOT EXISTS (SELECT FROM hotdash._queue WHERE queue = 'default')
	), live AS (
		SELECT j.queue, count(*) AS all_jobs,
			count(*) FILTER (WHERE j.at > hotdash._now()) AS scheduled,
			count(r.id) AS running,
			min(j.at) FILTER (WHERE r.id IS NULL AND j.at <= hotdash._now()) AS oldest
		FROM hotdash._job j LEFT JOIN hotdash._job_running() r ON r.id = j.id
		GROUP BY j.queue
	), dead AS (
		SELECT d.queue, count(*) AS dead FROM hotdash._job_dead d GROUP BY d.queue
	)
	SELECT n.queue,
		coalesce(l.all_jobs - l.scheduled - l.running, 0) AS ready,
		coalesce(l.scheduled, 0) AS scheduled,
		coalesce(l.running, 0) AS running,
		coalesce(d.dead, 0) AS dead,
		hotdash._now() - l.oldest AS oldest_ready_age,
		n.paused
	FROM names n LEFT JOIN live l USING (queue) LEFT JOIN dead d USING (queue);
COMMENT ON VIEW hotdash.queues IS 'Queues with the numbers of their jobs';

CREATE VIEW hotdash.workers WITH (security_invoker = true) AS
	SELECT worker, count(*) AS running, min(started_at) AS oldest_started_at,
		min(lease_expires) AS next_lease_expires
	FROM hotdash._job_running()
	GROUP BY worker;
COMMENT ON VIEW hotdash.workers IS 'Workers that hold jobs now';

CREATE FUNCTION hotdash.job_get(id bigint) RETURNS jsonb
	LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT to_jsonb(j) || jsonb_build_object('id', j.id::text)
		FROM hotdash.jobs j WHERE j.id = $1 AND hotdash._tenant_sees(j.tenant)
	$$;
COMMENT ON FUNCTION hotdash.job_get(bigint) IS 'One job as JSON, null when it is not known';
REVOKE ALL ON FUNCTION hotdash.job_get(bigint) FROM PUBLIC;

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
	IF job_explain.id IS NULL THEN
		RAISE EXCEPTION 'argument "id" must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	SELECT * INTO job FROM hotdash.jobs j
		WHERE j.id = job_explain.id AND hotdash._tenant_sees(j.tenant);
	attempts := format('attempt %s of %s', job.attempt, job.max_attempts);
	IF job.id IS NULL THEN
		code := 'unknown';
		why := 'There is no such job; its history may have been dropped.';
	ELSIF job.state = 'running' THEN
		code := 'running';
		why := format('It is running since %s by %s, %s.', job.started_at, job.worker, attempts);
	ELSIF job.state IN ('completed', 'cancelled') THEN
		code := job.state;
		why := format('It was %s at %s.', job.state, job.finished_at);
	ELSIF job.state = 'dead' THEN
		code := 'dead';
		why := format('It gave up at %s after %s: %s. job_retry(%s) brings it back.',
			job.finished_at, attempts,
			(SELECT d.reason FROM hotdash._job_dead d WHERE d.id = job_explain.id), job.id);
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
		code := 'ready';
		why := format('It is ready since %s and waits for a worker of queue %s.', job.run_at,
			job.queue);
	END IF;
	RETURN jsonb_strip_nulls(jsonb_build_object('id', job_explain.id::text, 'code', code,
		'why', why, 'state', job.state, 'run_at', job.run_at, 'last_error', job.last_error));
END
$$;
COMMENT ON FUNCTION hotdash.job_explain(bigint) IS
	'Why a job is not running: a code and a sentence';
REVOKE ALL ON FUNCTION hotdash.job_explain(bigint) FROM PUBLIC;

/*
 * Schedules
 */

CREATE TABLE hotdash._schedule (
	tenant text COLLATE "C" NOT NULL,
	name text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	cron text COLLATE "C" NOT NULL,
	time_zone text COLLATE "C" NOT NULL,
	missed text COLLATE "C" NOT NULL,
	overlap text COLLATE "C" NOT NULL,
	paused bool NOT NULL,
	next_at timestamptz,
	last_at timestamptz,
	skipped_at timestamptz,
	failed_at timestamptz,
	last_job_id bigint,
	last_error text,
	options jsonb,
	payload jsonb,
	PRIMARY KEY (tenant, name)
);
CREATE INDEX _schedule_next ON hotdash._schedule (next_at);
COMMENT ON TABLE hotdash._schedule IS 'Schedules made by schedule_set';
COMMENT ON COLUMN hotdash._schedule.next_at IS
	'Due then; null while paused, infinity when there is no further time';
COMMENT ON COLUMN hotdash._schedule.last_at IS 'Latest planned time for which a job was enqueued';
COMMENT ON COLUMN hotdash._schedule.skipped_at IS
	'Latest planned time that was passed over, by missed or overlap';
COMMENT ON COLUMN hotdash._schedule.failed_at IS 'Latest planned time at which enqueueing failed';
COMMENT ON COLUMN hotdash._schedule.last_error IS 'Why it failed; null once it went well again';
SELECT pg_catalog.pg_extension_config_dump('hotdash._schedule', '');

ALTER TABLE hotdash._schedule ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._schedule USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._schedule IS 'A session bound to a tenant sees that tenant alone';

CREATE FUNCTION hotdash.schedule_set(name text, cron text, kind text, payload jsonb DEFAULT NULL,
	time_zone text DEFAULT NULL, missed text DEFAULT NULL, overlap text DEFAULT NULL,
	options jsonb DEFAULT NULL)
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_schedule_set' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.schedule_set IS
	'Enqueues a job at the times of a cron expression, or states anew when';
REVOKE ALL ON FUNCTION hotdash.schedule_set FROM PUBLIC;

CREATE FUNCTION hotdash.schedule_delete(name text)
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_schedule_delete' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.schedule_delete IS
	'Removes a schedule; jobs that it enqueued go on';
REVOKE ALL ON FUNCTION hotdash.schedule_delete FROM PUBLIC;

CREATE FUNCTION hotdash._cron_next(cron text, time_zone text, after timestamptz, n int)
	RETURNS SETOF timestamptz
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_cron_next' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._cron_next IS
	'The next n times of a cron expression after an instant';
REVOKE ALL ON FUNCTION hotdash._cron_next FROM PUBLIC;

CREATE VIEW hotdash.schedules WITH (security_invoker = true) AS
	SELECT name, cron, time_zone, kind, payload, missed, overlap, next_at, last_at, last_job_id,
		skipped_at, failed_at, last_error, paused, tenant, options
	FROM hotdash._schedule;
COMMENT ON VIEW hotdash.schedules IS 'Schedules: when they are due, and how it went last';

CREATE FUNCTION hotdash._jobs_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT l, o FROM unnest(ARRAY['producer', 'worker', 'operator', 'admin']) AS l,
			unnest(ARRAY[
				'hotdash.job_enqueue(text, jsonb, text, int, timestamptz, int, text, text, text, text, bigint[], bool, text[], jsonb)',
				'hotdash.job_enqueue_many(text, jsonb[], text, int, timestamptz, int, text[], text[], text, text[], jsonb)',
				'hotdash.job_get(bigint)', 'hotdash.job_explain(bigint)',
				'hotdash.job_cancel(bigint)']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['worker', 'operator', 'admin']) AS l,
			unnest(ARRAY[
				'hotdash.job_claim(text[], int, text, interval, text[], bool)',
				'hotdash.job_next(bigint, bigint, jsonb, text[], interval)',
				'hotdash.job_complete(bigint, bigint, jsonb)',
				'hotdash.job_complete_many(bigint[], bigint[], jsonb[])',
				'hotdash.job_fail(bigint, bigint, text, interval, bool)',
				'hotdash.job_fail_many(bigint[], bigint[], text[], interval[], bool[])',
				'hotdash.job_snooze(bigint, bigint, interval)',
				'hotdash.job_renew(bigint[], bigint[], interval)',
				'hotdash.job_wait(text[], interval, bool)',
				'hotdash.job_work(text[], interval, bool)', 'hotdash._tick()']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['operator', 'admin']) AS l,
			unnest(ARRAY[
				'hotdash.queue_pause(text)', 'hotdash.queue_resume(text)',
				'hotdash.job_retry(bigint)',
				'hotdash.dead_retry(text, text, timestamptz, int)',
				'hotdash.schedule_set(text, text, text, jsonb, text, text, text, jsonb)',
				'hotdash.schedule_delete(text)']) AS o
		UNION ALL
		SELECT 'admin', o FROM unnest(ARRAY[
			'hotdash.job_kind_set(text, regprocedure, text, regrole, int, jsonb, interval, int, int, jsonb, interval, jsonb)',
			'hotdash.queue_set(text, int, int, interval, int, int, bool, jsonb)']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['viewer', 'operator', 'admin']) AS l,
			unnest(ARRAY['view:jobs', 'view:job_attempts', 'view:dead_jobs', 'view:queues',
				'view:workers', 'view:schedules', 'hotdash.job_get(bigint)', 'hotdash.job_explain(bigint)']) AS o
	$$;
COMMENT ON FUNCTION hotdash._jobs_rights() IS 'What each access level may use of the jobs';
REVOKE ALL ON FUNCTION hotdash._jobs_rights() FROM PUBLIC;

