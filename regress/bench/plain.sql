-- What the benchmarks compare with: a table of a job's columns, and plain tables for the storage
-- designs that were weighed.
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
	timeout_ms int,
	unique_key text COLLATE "C",
	backoff jsonb,
	tags text[],
	traceparent text,
	last_error text,
	payload jsonb
);
