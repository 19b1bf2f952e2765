/*
 * jobs.sql: the job engine: jobs, kinds, queues, their history, and the functions that workers and producers call.
 *
 * A job is one row of _job while it lives. Rows that are due at once, have no
 * key and fit into the list in shared memory have the primary key as their
 * only index entry; the others wait in a line as well, and those that are
 * scheduled are also found by their time (shelf = true). Ended jobs are in
 * _job_history or _job_dead.
 *
 * extension/jobs/table.h numbers the columns of _job and _job_history, tally_tx.c the queue of _job_dead:
 * keep them in step.
 */

CREATE SEQUENCE hotdash._job_id AS bigint MAXVALUE 4503599627370495;
COMMENT ON SEQUENCE hotdash._job_id IS 'Low 52 bits of job ids; the high bits are hotdash.node_id';

CREATE TABLE hotdash._queue (
	queue text COLLATE "C" NOT NULL PRIMARY KEY,
	paused bool NOT NULL,
	notify bool NOT NULL,
	concurrency int,
	rate int,
	rate_period interval,
	alert_at int,
	escalate_at int
);
COMMENT ON TABLE hotdash._queue IS 'Queues made by queue_set; queue default exists without a row';
COMMENT ON COLUMN hotdash._queue.alert_at IS 'An alert is raised at so many ready jobs; NULL: none';
COMMENT ON COLUMN hotdash._queue.escalate_at IS 'It becomes critical at so many; NULL: never';

CREATE TABLE hotdash._kind (
	kind text COLLATE "C" NOT NULL PRIMARY KEY,
	handler text,
	queue text COLLATE "C" NOT NULL,
	run_as regrole,
	max_attempts smallint NOT NULL,
	backoff jsonb,
	timeout interval,
	concurrency int,
	concurrency_per_key int,
	payload_schema jsonb,
	retention interval
);
COMMENT ON TABLE hotdash._kind IS 'Kinds of jobs made by job_kind_set';
COMMENT ON COLUMN hotdash._kind.handler IS 'Qualified signature, resolved when a job runs';
COMMENT ON COLUMN hotdash._kind.payload_schema IS
	'JSON Schema that payloads are held against when they are enqueued; NULL: any payload';

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
	awaited bool,
	batch bigint,
	unique_key text COLLATE "C",
	order_key text COLLATE "C",
	flow text COLLATE "C",
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
COMMENT ON COLUMN hotdash._job.hold IS
	'Not to be claimed yet: 1 approval, 2 other jobs, 4 a batch that is open, 8 a batch or behind one; NULL: none';
COMMENT ON COLUMN hotdash._job.awaited IS 'Other jobs wait, or waited, for this one: its end looks for them';
COMMENT ON COLUMN hotdash._job.batch IS 'The batch it is a member of';
COMMENT ON COLUMN hotdash._job.flow IS 'What shares its limits in _job_flow; NULL: no flow';

CREATE TABLE hotdash._job_unique (
	kind text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	unique_key text COLLATE "C" NOT NULL,
	id bigint NOT NULL,
	PRIMARY KEY (kind, tenant, unique_key)
);
COMMENT ON TABLE hotdash._job_unique IS 'Which job has a unique key; only jobs that ask have a row';

CREATE TABLE hotdash._job_horizon (
	ends_at timestamptz NOT NULL
);
COMMENT ON TABLE hotdash._job_horizon IS
	'The leases of jobs with a key or a concurrency end before the latest of these';

/*
 * The history. Rows of ended jobs and of attempts lie in numbered parts, a table of each for one
 * number: family jobs of core_parts.sql, with a class of retention for each kind.
 */

CREATE TABLE hotdash._job_history (
	id bigint NOT NULL,
	enqueued_at timestamptz NOT NULL,
	started_at timestamptz,
	finished_at timestamptz NOT NULL,
	cpu_us bigint,
	wal_bytes bigint,
	part smallint NOT NULL,
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
) PARTITION BY LIST (part);
COMMENT ON TABLE hotdash._job_history IS 'Jobs that were completed or cancelled';
COMMENT ON COLUMN hotdash._job_history.cpu_us IS 'Of the last attempt, where its handler ran in the server';
COMMENT ON COLUMN hotdash._job_history.wal_bytes IS 'Likewise';

CREATE TABLE hotdash._job_attempt (
	job_id bigint NOT NULL,
	started_at timestamptz,
	finished_at timestamptz NOT NULL,
	cpu_us bigint,
	wal_bytes bigint,
	part smallint NOT NULL,
	attempt smallint NOT NULL,
	outcome text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	worker text,
	traceparent text,
	error text
) PARTITION BY LIST (part);
COMMENT ON TABLE hotdash._job_attempt IS
	'Attempts that did not complete: failed, lost (lease ran out), crashed, cancelled';

-- Indexes are the parts' own: one of the parent would be made twice by a restore, when the dump
-- attaches a part that has it already.
CREATE TABLE hotdash._job_history_0 PARTITION OF hotdash._job_history FOR VALUES IN (0);
CREATE INDEX _job_history_0_id ON hotdash._job_history_0 USING brin (id) WITH (autosummarize = on);
ALTER TABLE hotdash._job_history_0 ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE hotdash._job_history_0 IS 'Part 0 of the history of jobs';
CREATE TABLE hotdash._job_attempt_0 PARTITION OF hotdash._job_attempt FOR VALUES IN (0);
CREATE INDEX _job_attempt_0_job ON hotdash._job_attempt_0 (job_id);
ALTER TABLE hotdash._job_attempt_0 ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE hotdash._job_attempt_0 IS 'Part 0 of the attempts';

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
	batch bigint,
	unique_key text COLLATE "C",
	order_key text COLLATE "C",
	flow text COLLATE "C",
	backoff jsonb,
	tags text[],
	last_error text,
	payload jsonb
);
COMMENT ON TABLE hotdash._job_dead IS
	'Jobs that gave up: attempts, final, expired; job_retry brings one back';

CREATE TABLE hotdash._job_progress (
	job_id bigint NOT NULL PRIMARY KEY,
	reported_at timestamptz NOT NULL,
	percent float8,
	attempt smallint NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	note text
) WITH (fillfactor = 50);
COMMENT ON TABLE hotdash._job_progress IS
	'What running jobs last reported; the tick sweeps out the rows of jobs that have ended';

SELECT pg_catalog.pg_extension_config_dump('hotdash._job_id', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._queue', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._kind', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_unique', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_horizon', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_history', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_attempt', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_history_0', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_attempt_0', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_dead', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_progress', '');

CREATE FUNCTION hotdash._config_changed() RETURNS trigger
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_config_changed' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._config_changed() IS 'Tells every session at commit that kinds or queues changed';
REVOKE ALL ON FUNCTION hotdash._config_changed() FROM PUBLIC;
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hotdash._kind
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._config_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hotdash._queue
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._config_changed();

-- History: which part takes a row, and what the tick does to the parts.

CREATE FUNCTION hotdash._history_days(retention interval) RETURNS smallint
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT hotdash._part_days(coalesce(retention, current_setting('hotdash.job_retention')::interval))
	$$;
COMMENT ON FUNCTION hotdash._history_days(interval) IS
	'Class of a retention; NULL stands for hotdash.job_retention';
REVOKE ALL ON FUNCTION hotdash._history_days(interval) FROM PUBLIC;

CREATE FUNCTION hotdash._history_part_of(kind text) RETURNS smallint
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT hotdash._part_current('jobs', hotdash._history_days(
			(SELECT k.retention FROM hotdash._kind k WHERE k.kind = $1)))
	$$;
COMMENT ON FUNCTION hotdash._history_part_of(text) IS 'Part of the history that takes the rows of a kind now';
REVOKE ALL ON FUNCTION hotdash._history_part_of(text) FROM PUBLIC;

CREATE FUNCTION hotdash._history_keep() RETURNS bool
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT hotdash._part_keep('jobs', ARRAY['_job_history', '_job_attempt'],
			ARRAY(SELECT hotdash._history_days(k.retention) FROM hotdash._kind k
				UNION SELECT hotdash._history_days(NULL) ORDER BY 1))
	$$;
COMMENT ON FUNCTION hotdash._history_keep() IS
	'Closes, makes and drops parts of the history as their time has come; false when a lock was not to be had';
REVOKE ALL ON FUNCTION hotdash._history_keep() FROM PUBLIC;

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

CREATE FUNCTION hotdash._job_payload_check(kind text, payload jsonb) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_payload_check' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_payload_check(text, jsonb) IS
	'Raises 22023 unless the payload fits the schema of its kind';
REVOKE ALL ON FUNCTION hotdash._job_payload_check(text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.job_kind_set(kind text, handler regprocedure DEFAULT NULL, queue text DEFAULT NULL,
	run_as regrole DEFAULT NULL, max_attempts int DEFAULT NULL, backoff jsonb DEFAULT NULL,
	timeout interval DEFAULT NULL, concurrency int DEFAULT NULL,
	concurrency_per_key int DEFAULT NULL, payload_schema jsonb DEFAULT NULL,
	retention interval DEFAULT NULL, options jsonb DEFAULT NULL)
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_kind_set' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.job_kind_set IS
	'Registers a kind of job, or states it anew: handler, queue, attempts, backoff, timeout, concurrency, schema';
REVOKE ALL ON FUNCTION hotdash.job_kind_set FROM PUBLIC;

CREATE FUNCTION hotdash.queue_set(queue text, concurrency int DEFAULT NULL, rate int DEFAULT NULL,
	rate_period interval DEFAULT NULL, alert_at int DEFAULT NULL, escalate_at int DEFAULT NULL,
	notify bool DEFAULT NULL, options jsonb DEFAULT NULL)
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_queue_set' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.queue_set IS
	'Creates a queue, or states it anew: concurrency, rate, alerts, notifications';
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
	'Claims ready jobs, first by priority and then by age, of all queues but the server''s own where none is named; never blocks';
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
	'Fails a claimed job; returns scheduled, dead, cancelled where that was asked for, or lost when the token is stale';
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
	'Prolongs leases at once, whatever the transaction does; state renewed, cancelled or lost';
REVOKE ALL ON FUNCTION hotdash.job_renew FROM PUBLIC;

CREATE FUNCTION hotdash.job_cancel(id bigint)
	RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_cancel' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.job_cancel IS
	'Cancels a job that waits, asks for the end of one that runs; false when it has ended or is just being claimed or ended';
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

CREATE PROCEDURE hotdash._work_relay()
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_relay' LANGUAGE C;
COMMENT ON PROCEDURE hotdash._work_relay IS
	'What pg_cron calls each minute: starts a process that runs SQL handlers until the next one has begun';
REVOKE ALL ON PROCEDURE hotdash._work_relay FROM PUBLIC;

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

CREATE FUNCTION hotdash._job_cancel_many(ids bigint[])
	RETURNS int
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_cancel_many' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_cancel_many IS
	'job_cancel of many; returns for how many it would be true';
REVOKE ALL ON FUNCTION hotdash._job_cancel_many FROM PUBLIC;

CREATE FUNCTION hotdash._job_done_many(ids bigint[])
	RETURNS int
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_done_many' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_done_many IS
	'Completes waiting jobs whose work was done by other means; of running ones no further attempt follows; returns how many';
REVOKE ALL ON FUNCTION hotdash._job_done_many FROM PUBLIC;

CREATE FUNCTION hotdash._job_expire(ids bigint[])
	RETURNS int
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_expire' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_expire IS
	'Ends waiting jobs that are past their time, which a claim would do; returns how many';
REVOKE ALL ON FUNCTION hotdash._job_expire FROM PUBLIC;

CREATE FUNCTION hotdash._job_at_once() RETURNS int
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	-- A quarter of what a full list keeps free (hd_jobs_list_has_room), for there are several who end so many in the
	-- transaction of one tick; without preload there is none.
	AS $$ SELECT greatest(least(current_setting('hotdash.job_slots', true)::int / 128, 1000), 1) $$;
COMMENT ON FUNCTION hotdash._job_at_once() IS
	'How many waiting jobs one step of the tick may end, for which memory may have no room';
REVOKE ALL ON FUNCTION hotdash._job_at_once() FROM PUBLIC;

CREATE FUNCTION hotdash._job_reload()
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_reload' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_reload IS
	'Looks for jobs that came in by COPY or a restore at the next claim';
REVOKE ALL ON FUNCTION hotdash._job_reload FROM PUBLIC;

CREATE FUNCTION hotdash._job_announce(ids bigint[])
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_announce' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_announce IS
	'Tells the list that this transaction wrote the rows of jobs that wait in a line itself';
REVOKE ALL ON FUNCTION hotdash._job_announce FROM PUBLIC;

CREATE FUNCTION hotdash._job_line(queue text, priority smallint, kind text, tenant text,
	flow text, order_key text, per_key int)
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
		worker text, cancelled bool)
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_running' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION hotdash._job_running IS
	'Jobs of this database that are claimed, from shared memory';
REVOKE ALL ON FUNCTION hotdash._job_running FROM PUBLIC;

CREATE FUNCTION hotdash._job_queue_state(queue text, OUT asked_at timestamptz, OUT waiting int,
	OUT rate_at timestamptz, OUT horizon timestamptz)
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_queue_state' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash._job_queue_state(text) IS
	'When a queue was last asked for jobs, who waits for them, what else holds its jobs up';
REVOKE ALL ON FUNCTION hotdash._job_queue_state(text) FROM PUBLIC;

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

-- Also in a session whose session_replication_role keeps other triggers from firing.
CREATE FUNCTION hotdash._job_tallied() RETURNS trigger
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_job_tallied' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_tallied() IS
	'Tells the numbers of the queues, at commit, which jobs came and went by SQL';
REVOKE ALL ON FUNCTION hotdash._job_tallied() FROM PUBLIC;
CREATE TRIGGER tallied AFTER INSERT OR DELETE ON hotdash._job
	FOR EACH ROW EXECUTE FUNCTION hotdash._job_tallied();
CREATE TRIGGER tallied_update AFTER UPDATE ON hotdash._job FOR EACH ROW
	WHEN (OLD.at <> NEW.at OR OLD.shelf <> NEW.shelf OR OLD.queue <> NEW.queue
		OR OLD.hold IS DISTINCT FROM NEW.hold)
	EXECUTE FUNCTION hotdash._job_tallied();
CREATE TRIGGER tallied_truncate AFTER TRUNCATE ON hotdash._job
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._job_tallied();
ALTER TABLE hotdash._job ENABLE ALWAYS TRIGGER tallied, ENABLE ALWAYS TRIGGER tallied_update,
	ENABLE ALWAYS TRIGGER tallied_truncate;

CREATE FUNCTION hotdash._job_dead_tallied() RETURNS trigger
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_dead_tallied' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_dead_tallied() IS 'The same of dead jobs';
REVOKE ALL ON FUNCTION hotdash._job_dead_tallied() FROM PUBLIC;
CREATE TRIGGER tallied AFTER INSERT OR DELETE ON hotdash._job_dead
	FOR EACH ROW EXECUTE FUNCTION hotdash._job_dead_tallied();
CREATE TRIGGER tallied_update AFTER UPDATE ON hotdash._job_dead
	FOR EACH ROW WHEN (OLD.queue <> NEW.queue) EXECUTE FUNCTION hotdash._job_dead_tallied();
CREATE TRIGGER tallied_truncate AFTER TRUNCATE ON hotdash._job_dead
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._job_dead_tallied();
ALTER TABLE hotdash._job_dead ENABLE ALWAYS TRIGGER tallied, ENABLE ALWAYS TRIGGER tallied_update,
	ENABLE ALWAYS TRIGGER tallied_truncate;

/*
 * Rights
 */

CREATE FUNCTION hotdash._jobs_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT l, o FROM unnest(ARRAY['producer', 'worker', 'operator', 'admin']) AS l,
			unnest(ARRAY[
				'hotdash.job_enqueue(text, jsonb, text, int, timestamptz, int, text, text, text, text, bigint[], bool, text[], jsonb)',
				'hotdash.job_enqueue_many(text, jsonb[], text, int, timestamptz, int, text[], text[], text, text[], jsonb)',
				'hotdash.job_get(bigint)', 'hotdash.job_explain(bigint)',
				'hotdash.batch_create(text, jsonb, jsonb)', 'hotdash.batch_close(bigint)',
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
				'hotdash.job_progress(bigint, bigint, float8, text)',
				'hotdash.job_wait(text[], interval, bool)',
				'hotdash.job_work(text[], interval, bool)', 'hotdash._work_relay()',
				'hotdash._tick()']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['operator', 'admin']) AS l,
			unnest(ARRAY[
				'hotdash.queue_pause(text)', 'hotdash.queue_resume(text)',
				'hotdash.job_retry(bigint)',
				'hotdash.job_approve(bigint, text, text, jsonb)',
				'hotdash.job_reject(bigint, text, text)',
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
				'view:workers', 'view:schedules', 'view:approvals', 'view:batches',
				'hotdash.job_get(bigint)', 'hotdash.job_explain(bigint)']) AS o
	$$;
COMMENT ON FUNCTION hotdash._jobs_rights() IS 'What each access level may use of the jobs';
REVOKE ALL ON FUNCTION hotdash._jobs_rights() FROM PUBLIC;
