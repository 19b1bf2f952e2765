/*
 * jobs_schedule.sql: schedules (extension/jobs/schedule.h).
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
