-- What the benchmarks compare with: a table of a job's columns, one of its history's, and the least that a
-- handler without a queue would do.
CREATE SCHEMA IF NOT EXISTS bench;

CREATE TABLE IF NOT EXISTS bench.plain (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
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

CREATE TABLE IF NOT EXISTS bench.history (LIKE hotdash._job_history);
ALTER TABLE bench.history ALTER part SET DEFAULT 0;

-- Delete, history and commit, for each of its own range of ids
CREATE OR REPLACE PROCEDURE bench.work(first bigint, last bigint) LANGUAGE plpgsql AS $$
DECLARE
	job bench.plain;
BEGIN
	FOR i IN first .. last LOOP
		DELETE FROM bench.plain WHERE id = i RETURNING * INTO STRICT job;
		INSERT INTO bench.history (id, enqueued_at, started_at, finished_at, priority, attempt, max_attempts,
			state, kind, queue, tenant, worker)
		VALUES (job.id, job.enqueued_at, clock_timestamp(), clock_timestamp(), job.priority, job.attempt + 1,
			job.max_attempts, 'completed', job.kind, job.queue, job.tenant, 'worker');
		COMMIT;
	END LOOP;
END $$;

CREATE OR REPLACE FUNCTION bench.nothing(job jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;

-- When the commit of a producer was over, by the server's clock
CREATE UNLOGGED TABLE IF NOT EXISTS bench.stamp (id bigint NOT NULL, at timestamptz NOT NULL);
