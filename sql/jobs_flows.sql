/*
 * jobs_flows.sql: flows, jobs that share limits of their own (extension/jobs/flows.h).
 */

CREATE FUNCTION hotdash._job_flow_hash(flow text)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_flow_hash' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._job_flow_hash IS 'Number by which the list knows a flow';
REVOKE ALL ON FUNCTION hotdash._job_flow_hash FROM PUBLIC;

CREATE TABLE hotdash._job_flow (
	hash bigint NOT NULL PRIMARY KEY,
	flow text COLLATE "C" NOT NULL,
	concurrency int CHECK (concurrency > 0),
	rate int CHECK (rate > 0),
	rate_period_us bigint CHECK (rate_period_us > 0),
	soft bool NOT NULL DEFAULT false,
	held_until timestamptz,
	held_reason text,
	rate_reason text,
	CHECK (hash = hotdash._job_flow_hash(flow)),
	CHECK ((rate IS NULL) = (rate_period_us IS NULL))
) WITH (fillfactor = 70);
COMMENT ON TABLE hotdash._job_flow IS 'Limits of flows; without a row host:… has a soft concurrency of 64, any other none';
COMMENT ON COLUMN hotdash._job_flow.soft IS
	'The concurrency is for fairness and no promise: it gets wider and narrower (extension/jobs/lend.h), and where leases were lost, nobody waits for them to end';
COMMENT ON COLUMN hotdash._job_flow.rate_reason IS 'Whose rate it is, for explanations; NULL: as it was asked for';
COMMENT ON COLUMN hotdash._job_flow.held_until IS 'None of its jobs begins before; infinity: until that is changed';
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_flow', '');

CREATE FUNCTION hotdash._job_flow_changed()
	RETURNS trigger
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_flow_changed' LANGUAGE C;
COMMENT ON FUNCTION hotdash._job_flow_changed IS 'Tells the list that the limits of a flow have changed';
REVOKE ALL ON FUNCTION hotdash._job_flow_changed FROM PUBLIC;

CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON hotdash._job_flow
	FOR EACH ROW EXECUTE FUNCTION hotdash._job_flow_changed();
CREATE TRIGGER changed_truncate AFTER TRUNCATE ON hotdash._job_flow
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._job_flow_changed();

CREATE FUNCTION hotdash._job_flow_state(flow text, OUT running int, OUT shut bool, OUT opens_at timestamptz, OUT width int,
		OUT soft int)
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_flow_state' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash._job_flow_state IS
	'What memory knows of a flow: how many of its jobs run, whether it is shut, when it opens by itself, how many may run at once, and the soft concurrency that this came of';
REVOKE ALL ON FUNCTION hotdash._job_flow_state FROM PUBLIC;

CREATE FUNCTION hotdash._job_flow_grade(flows text[], grades int[]) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_flow_grade' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_flow_grade IS
	'How jobs did that are ended, one grade a flow: 1 fast, 0 well, -1 slow or some failed, -2 most failed; a soft concurrency follows';
REVOKE ALL ON FUNCTION hotdash._job_flow_grade FROM PUBLIC;
