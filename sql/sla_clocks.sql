/*
 * sla_clocks.sql: starting clocks, and telling them what happens (extension/sla/clocks.c).
 */

CREATE FUNCTION hotdash.sla_start(policy text, subject text, metric text DEFAULT NULL, priority text DEFAULT NULL,
		at timestamptz DEFAULT NULL, attributes jsonb DEFAULT NULL, tenant text DEFAULT NULL) RETURNS bigint
	AS 'MODULE_PATHNAME', 'hd_sla_sql_start' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.sla_start(text, text, text, text, timestamptz, jsonb, text) IS
	'Starts the clock of a metric of a subject, or, without a metric, those of all metrics that begin with the subject; returns the first clock''s id. Where one is open already, that is returned';
REVOKE ALL ON FUNCTION hotdash.sla_start(text, text, text, text, timestamptz, jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash.sla_pause(clock bigint, at timestamptz DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_sla_sql_pause' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.sla_pause(bigint, timestamptz) IS
	'Pauses a clock; what remains of its target is kept. Nothing happens when it is paused; 55000 when it was met or canceled before';
REVOKE ALL ON FUNCTION hotdash.sla_pause(bigint, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash.sla_resume(clock bigint, at timestamptz DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_sla_sql_resume' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.sla_resume(bigint, timestamptz) IS
	'Has a paused clock go on. Nothing happens when it runs; 55000 when it was met or canceled before';
REVOKE ALL ON FUNCTION hotdash.sla_resume(bigint, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash.sla_meet(clock bigint, at timestamptz DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_sla_sql_meet' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.sla_meet(bigint, timestamptz) IS
	'What the clock asks for was done: in time when not later than its due point. Nothing happens when it was met before';
REVOKE ALL ON FUNCTION hotdash.sla_meet(bigint, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash.sla_cancel(clock bigint) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_sla_sql_cancel' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.sla_cancel(bigint) IS 'Ends a clock that nothing is asked of any more; 55000 when it was met';
REVOKE ALL ON FUNCTION hotdash.sla_cancel(bigint) FROM PUBLIC;

CREATE FUNCTION hotdash.sla_event(subject text, event text, at timestamptz DEFAULT NULL, attributes jsonb DEFAULT NULL,
		tenant text DEFAULT NULL) RETURNS int
	AS 'MODULE_PATHNAME', 'hd_sla_sql_event' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.sla_event(text, text, timestamptz, jsonb, text) IS
	'Something happened to a subject: its clocks start, pause, go on, are met, reopened or canceled as their policies say; returns how many it concerned';
REVOKE ALL ON FUNCTION hotdash.sla_event(text, text, timestamptz, jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash.sla_retarget(clock bigint, policy text DEFAULT NULL, priority text DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_sla_sql_retarget' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.sla_retarget(bigint, text, text) IS
	'Holds an open clock to another policy, priority, or to what its policy says now; elapsed time and pauses are kept';
REVOKE ALL ON FUNCTION hotdash.sla_retarget(bigint, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_replay(clock bigint) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_sla_sql_replay' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._sla_replay(bigint) IS
	'Computes a clock, with those of the same metric of its subject, anew from the log; what is shown stays as it is';
REVOKE ALL ON FUNCTION hotdash._sla_replay(bigint) FROM PUBLIC;

/*
 * Calendars that change. A clock whose calendar has another past than when its coordinates were computed is computed
 * anew in the new ones, and so is one that begins later than the change.
 */

CREATE FUNCTION hotdash._sla_rebase(calendar int, up_to int DEFAULT 10000) RETURNS int
	AS 'MODULE_PATHNAME', 'hd_sla_sql_rebase' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._sla_rebase(int, int) IS
	'Computes clocks anew that a change of their calendar concerns (NULL: of all calendars), up to so many; returns how many';
REVOKE ALL ON FUNCTION hotdash._sla_rebase(int, int) FROM PUBLIC;
