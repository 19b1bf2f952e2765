/*
 * jobs.sql: the job engine's tables, functions and views.
 *
 * A job is one row of _job while it lives. Rows that are due at once and fit
 * into the list in shared memory have the primary key as their only index
 * entry; the others stand on the shelf (shelf = true), in the order in which
 * they become due. Ended jobs are in _job_history or _job_dead.
 *
 * extension/jobs/table.h numbers the columns of _job and _job_history: keep them in step.
 */

CREATE SEQUENCE hotdash._job_id AS bigint MAXVALUE 4503599627370495;
COMMENT ON SEQUENCE hotdash._job_id IS 'Low 52 bits of job ids; the high bits are hotdash.node_id';

CREATE TABLE hotdash._queue (
	queue text COLLATE "C" NOT NULL PRIMARY KEY,
	paused bool NOT NULL
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
	retention interval
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
	timeout_ms int,
	unique_key text COLLATE "C",
	backoff jsonb,
	tags text[],
	traceparent text,
	last_error text,
	payload jsonb
);
CREATE INDEX _job_shelf ON hotdash._job (queue, priority, at, id) WHERE shelf;
COMMENT ON TABLE hotdash._job IS 'Jobs that have not ended';
COMMENT ON COLUMN hotdash._job.at IS 'Due from then on; orders jobs of one queue and priority';
COMMENT ON COLUMN hotdash._job.fence IS 'Raised by each change that makes earlier claims stale';
COMMENT ON COLUMN hotdash._job.attempt IS 'Attempts charged so far';
COMMENT ON COLUMN hotdash._job.shelf IS 'Found through index _job_shelf, not listed at enqueue';

CREATE TABLE hotdash._job_unique (
	kind text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	unique_key text COLLATE "C" NOT NULL,
	id bigint NOT NULL,
	PRIMARY KEY (kind, tenant, unique_key)
);
COMMENT ON TABLE hotdash._job_unique IS 'Which job has a unique key; only jobs that ask have a row';

/*
 * The history. Rows of ended jobs and of attempts lie in numbered parts, a table of each for one
 * number. A part takes the rows of one class of retention until it is closed; when the youngest of
 * them is old enough, the part is dropped as a whole. Part 0 is the extension's own, for rows of a
 * class that has no part yet. extension/jobs/history.h says how, and why it is done like that.
 */

CREATE TABLE hotdash._history_part (
	part smallint NOT NULL CONSTRAINT _history_part_pkey PRIMARY KEY,
	days smallint NOT NULL,
	opened_at timestamptz NOT NULL,
	closed_at timestamptz
);
CREATE UNIQUE INDEX _history_part_open ON hotdash._history_part (days) WHERE closed_at IS NULL;
COMMENT ON TABLE hotdash._history_part IS 'Parts of the history: from when to when each took rows';
COMMENT ON COLUMN hotdash._history_part.days IS 'Class of retention: how long rows are kept after closed_at';
COMMENT ON COLUMN hotdash._history_part.closed_at IS 'NULL while rows of the class go there';

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
	unique_key text COLLATE "C",
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
SELECT pg_catalog.pg_extension_config_dump('hotdash._history_part', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_history_0', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_attempt_0', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_dead', '');

CREATE FUNCTION hotdash._config_changed() RETURNS trigger
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_config_changed' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._config_changed() IS 'Tells every session at commit that kinds or queues changed';
REVOKE ALL ON FUNCTION hotdash._config_changed() FROM PUBLIC;
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hotdash._kind
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._config_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hotdash._queue
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._config_changed();

-- History: which part takes a row, and what the tick does to the parts.

CREATE FUNCTION hotdash._history_changed() RETURNS trigger
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_history_changed' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._history_changed() IS 'Tells every session at commit that parts of the history changed';
REVOKE ALL ON FUNCTION hotdash._history_changed() FROM PUBLIC;
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hotdash._history_part
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._history_changed();

CREATE FUNCTION hotdash._history_days(retention interval) RETURNS smallint
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT min(d)::smallint FROM unnest(ARRAY[1, 3, 7, 14, 30, 90, 365]) AS d
		WHERE make_interval(days => d) >= coalesce(retention, current_setting('hotdash.job_retention')::interval)
	$$;
COMMENT ON FUNCTION hotdash._history_days(interval) IS
	'Class of a retention: days, rounded up; NULL stands for hotdash.job_retention, and for longer than the longest';
REVOKE ALL ON FUNCTION hotdash._history_days(interval) FROM PUBLIC;

CREATE FUNCTION hotdash._history_part_of(kind text) RETURNS smallint
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT coalesce((SELECT p.part FROM hotdash._history_part p
			WHERE p.closed_at IS NULL AND p.days = hotdash._history_days(
				(SELECT k.retention FROM hotdash._kind k WHERE k.kind = $1))), 0::smallint)
	$$;
COMMENT ON FUNCTION hotdash._history_part_of(text) IS 'Part of the history that takes the rows of a kind now';
REVOKE ALL ON FUNCTION hotdash._history_part_of(text) FROM PUBLIC;

CREATE FUNCTION hotdash._history_open(days smallint) RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	number CONSTANT int := (SELECT min(n) FROM generate_series(1, (SELECT count(*) + 1 FROM hotdash._history_part)) AS n
		WHERE NOT EXISTS (SELECT FROM hotdash._history_part p WHERE p.part = n));
	parent text;
BEGIN
	FOREACH parent IN ARRAY ARRAY['_job_history', '_job_attempt'] LOOP
		EXECUTE format('CREATE TABLE hotdash.%1$s_%2$s (LIKE hotdash.%1$s)', parent, number);
		-- Nobody gets at the rows but through the parent: no policy lets none through.
		EXECUTE format('ALTER TABLE hotdash.%s_%s ENABLE ROW LEVEL SECURITY', parent, number);
		EXECUTE format('ALTER TABLE hotdash.%1$s ATTACH PARTITION hotdash.%1$s_%2$s FOR VALUES IN (%2$s)',
			parent, number);
	END LOOP;
	EXECUTE format('CREATE INDEX _job_history_%1$s_id ON hotdash._job_history_%1$s USING brin (id) WITH (autosummarize = on)',
		number);
	EXECUTE format('CREATE INDEX _job_attempt_%1$s_job ON hotdash._job_attempt_%1$s (job_id)', number);
	INSERT INTO hotdash._history_part (part, days, opened_at) VALUES (number, days, hotdash._now());
END
$$;
COMMENT ON FUNCTION hotdash._history_open(smallint) IS 'Makes a part of the history that takes the rows of a class';
REVOKE ALL ON FUNCTION hotdash._history_open(smallint) FROM PUBLIC;

CREATE FUNCTION hotdash._history_drop(part smallint) RETURNS bool
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	SET lock_timeout = '100ms'
	AS $$
#variable_conflict use_variable
BEGIN
	-- Whoever waits for such a lock holds up all who come after: take it at once or not at all.
	EXECUTE format('LOCK TABLE ONLY hotdash._job_history, ONLY hotdash._job_attempt,
		hotdash._job_history_%1$s, hotdash._job_attempt_%1$s IN ACCESS EXCLUSIVE MODE NOWAIT', part);
	EXECUTE format(CASE part WHEN 0 THEN 'TRUNCATE' ELSE 'DROP TABLE' END
		|| ' hotdash._job_history_%1$s, hotdash._job_attempt_%1$s', part);
	DELETE FROM hotdash._history_part p WHERE p.part = part;
	RETURN true;
EXCEPTION WHEN lock_not_available OR object_in_use THEN
	RETURN false;
END
$$;
COMMENT ON FUNCTION hotdash._history_drop(smallint) IS
	'Drops a part of the history, empties part 0; false when somebody is using it';
REVOKE ALL ON FUNCTION hotdash._history_drop(smallint) FROM PUBLIC;

CREATE FUNCTION hotdash._history_has_rows(part smallint) RETURNS bool
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	result bool;
BEGIN
	EXECUTE format('SELECT EXISTS (SELECT FROM hotdash._job_history_%1$s)
		OR EXISTS (SELECT FROM hotdash._job_attempt_%1$s)', part) INTO result;
	RETURN result;
END
$$;
COMMENT ON FUNCTION hotdash._history_has_rows(smallint) IS 'Whether a part of the history has rows';
REVOKE ALL ON FUNCTION hotdash._history_has_rows(smallint) FROM PUBLIC;

CREATE FUNCTION hotdash._history_keep() RETURNS bool
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	SET lock_timeout = '100ms'
	AS $$
DECLARE
	now_at CONSTANT timestamptz := hotdash._now();
	wanted CONSTANT smallint[] := ARRAY(SELECT hotdash._history_days(k.retention) FROM hotdash._kind k
		UNION SELECT hotdash._history_days(NULL) ORDER BY 1);
	old hotdash._history_part;
	class smallint;
	done bool := true;
BEGIN
	LOCK TABLE hotdash._history_part IN SHARE ROW EXCLUSIVE MODE NOWAIT;
	-- A clock that was ahead for a while must not keep parts for ever.
	UPDATE hotdash._history_part p
	SET opened_at = least(p.opened_at, now_at), closed_at = CASE WHEN p.closed_at > now_at THEN now_at ELSE p.closed_at END
	WHERE greatest(p.opened_at, p.closed_at) > now_at;
	FOR old IN SELECT * FROM hotdash._history_part p
		WHERE p.closed_at + make_interval(days => p.days) <= now_at
	LOOP
		done := hotdash._history_drop(old.part) AND done;
	END LOOP;

	-- A part takes rows for an eighth of the time that they are kept, so rows stay that much longer.
	FOR old IN SELECT * FROM hotdash._history_part p
		WHERE p.closed_at IS NULL AND p.opened_at + interval '3 hours' * p.days <= now_at
	LOOP
		IF old.days = ANY (wanted) AND NOT hotdash._history_has_rows(old.part) THEN
			UPDATE hotdash._history_part p SET opened_at = now_at WHERE p.part = old.part;
			CONTINUE;
		END IF;
		UPDATE hotdash._history_part p SET closed_at = now_at WHERE p.part = old.part;
		PERFORM brin_summarize_new_values(format('hotdash._job_history_%s_id', old.part)::regclass);
		IF old.days = ANY (wanted) THEN
			PERFORM hotdash._history_open(old.days);
		END IF;
	END LOOP;

	FOR class IN SELECT w FROM unnest(wanted) AS w
		WHERE NOT EXISTS (SELECT FROM hotdash._history_part p WHERE p.days = w AND p.closed_at IS NULL)
	LOOP
		PERFORM hotdash._history_open(class);
		-- Until now its rows went to part 0.
		UPDATE hotdash._history_part p SET closed_at = now_at, days = greatest(p.days, class) WHERE p.part = 0;
	END LOOP;
	IF NOT EXISTS (SELECT FROM hotdash._history_part p WHERE p.part = 0) AND hotdash._history_has_rows(0::smallint) THEN
		INSERT INTO hotdash._history_part (part, days, opened_at, closed_at)
		VALUES (0, (SELECT max(w) FROM unnest(wanted) AS w), now_at, now_at);
	END IF;
	RETURN done;
EXCEPTION WHEN lock_not_available THEN
	RETURN false;
END
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
	'job_work for pg_cron: goes on until the next run has begun';
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

CREATE FUNCTION hotdash._job_reload()
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_reload' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_reload IS
	'Looks for jobs that came in by COPY or a restore at the next claim';
REVOKE ALL ON FUNCTION hotdash._job_reload FROM PUBLIC;

CREATE FUNCTION hotdash._job_note_shelf(queue text, priority smallint, at timestamptz, id bigint)
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_note_shelf' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_note_shelf IS
	'Tells the list that this transaction wrote a shelved row itself';
REVOKE ALL ON FUNCTION hotdash._job_note_shelf FROM PUBLIC;

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

CREATE FUNCTION hotdash._job_lanes()
	RETURNS TABLE (queue text, priority int, listed int, shelved bool, next_due timestamptz,
		running int)
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_lanes' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION hotdash._job_lanes IS
	'What shared memory knows of each queue and priority of this database';
REVOKE ALL ON FUNCTION hotdash._job_lanes FROM PUBLIC;
-- Dead jobs come back under their id, with all attempts before them.
CREATE FUNCTION hotdash._job_revive(ids bigint[]) RETURNS bigint
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	now_at timestamptz := hotdash._now();
	dead hotdash._job_dead;
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
		INSERT INTO hotdash._job (id, at, enqueued_at, fence, priority, attempt, max_attempts,
			shelf, queue, kind, tenant, timeout_ms, unique_key, backoff, tags, last_error, payload)
		VALUES (dead.id, now_at, dead.enqueued_at, new_fence, dead.priority, 0,
			dead.max_attempts,
			true, dead.queue, dead.kind, dead.tenant, dead.timeout_ms, dead.unique_key,
			dead.backoff, dead.tags, dead.last_error, dead.payload);
		PERFORM hotdash._job_note_shelf(dead.queue, dead.priority, now_at, dead.id);
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
		j.last_error, j.tenant, j.unique_key, NULL::text AS order_key, j.tags, j.payload,
		NULL::jsonb AS result, NULL::jsonb AS progress
	FROM hotdash._job j LEFT JOIN hotdash._job_running() r ON r.id = j.id
	UNION ALL
	SELECT h.id, h.kind, h.queue, h.state, h.priority, h.attempt, h.max_attempts, NULL,
		h.enqueued_at, h.started_at, h.finished_at, h.worker, NULL, h.tenant, h.unique_key, NULL,
		h.tags, NULL, h.result, NULL
	FROM hotdash._job_history h
	UNION ALL
	SELECT d.id, d.kind, d.queue, 'dead', d.priority, d.attempt, d.max_attempts, NULL,
		d.enqueued_at, NULL, d.died_at, NULL, d.last_error, d.tenant, d.unique_key, NULL,
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
	ELSIF job.state = 'running' AND EXISTS (SELECT FROM hotdash._job_running() r
			WHERE r.id = job.id AND r.cancelled) THEN
		code := 'cancelling';
		why := format('It is to be cancelled; %s, which runs it, has not ended it yet.', job.worker);
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
				'hotdash.job_work(text[], interval, bool)', 'hotdash._work_relay()',
				'hotdash._tick()']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['operator', 'admin']) AS l,
			unnest(ARRAY[
				'hotdash.queue_pause(text)', 'hotdash.queue_resume(text)',
				'hotdash.job_retry(bigint)',
				'hotdash.dead_retry(text, text, timestamptz, int)']) AS o
		UNION ALL
		SELECT 'admin', o FROM unnest(ARRAY[
			'hotdash.job_kind_set(text, regprocedure, text, regrole, int, jsonb, interval, int, int, jsonb, interval, jsonb)',
			'hotdash.queue_set(text, int, int, interval, int, int, bool, jsonb)']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['viewer', 'operator', 'admin']) AS l,
			unnest(ARRAY['view:jobs', 'view:job_attempts', 'view:dead_jobs', 'view:queues',
				'view:workers', 'hotdash.job_get(bigint)', 'hotdash.job_explain(bigint)']) AS o
	$$;
COMMENT ON FUNCTION hotdash._jobs_rights() IS 'What each access level may use of the jobs';
REVOKE ALL ON FUNCTION hotdash._jobs_rights() FROM PUBLIC;

