/*
 * sla_scan.sql: finding the steps that are due. How it is done is in extension/sla/scan.h and due.h.
 */

CREATE FUNCTION hotdash.sla_scan(up_to int DEFAULT 1000) RETURNS int
	AS 'MODULE_PATHNAME', 'hd_sla_sql_scan' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.sla_scan(int) IS
	'Fires up to so many steps of clocks that are due, the earliest first; returns how many';
REVOKE ALL ON FUNCTION hotdash.sla_scan(int) FROM PUBLIC;

CREATE PROCEDURE hotdash._sla_scan_tick()
	AS 'MODULE_PATHNAME', 'hd_sla_sql_scan_tick' LANGUAGE C;
COMMENT ON PROCEDURE hotdash._sla_scan_tick() IS
	'Fires all steps of clocks that are due, with a commit after each batch: what pg_cron does each few seconds';
REVOKE ALL ON PROCEDURE hotdash._sla_scan_tick() FROM PUBLIC;

CREATE FUNCTION hotdash._sla_scan_first() RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'hd_sla_sql_scan_first' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._sla_scan_first() IS 'When the earliest step is due that was not reached yet; NULL when none is to come';
REVOKE ALL ON FUNCTION hotdash._sla_scan_first() FROM PUBLIC;

CREATE FUNCTION hotdash._health_sla() RETURNS jsonb
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- A session bound to a tenant learns nothing of the others' numbers. Failures are counted to 1000.
		SELECT jsonb_build_object('status', CASE WHEN n.failed > 0 OR s.late > interval '2 minutes' THEN 'degraded'
				ELSE 'healthy' END)
			|| CASE WHEN coalesce(current_setting('hotdash.tenant', true), '') <> '' THEN '{}' ELSE
				jsonb_build_object('failed_actions', least(n.failed, 1000), 'failed_more', n.failed > 1000,
					'late_seconds', round(extract(epoch FROM s.late))) END
		FROM (SELECT count(*) AS failed FROM (
				SELECT FROM hotdash._sla_event AS e
				WHERE e.detail @? '$.actions[*].sqlstate' AND e.recorded_at > hotdash._now() - interval '1 hour'
				LIMIT 1001) AS e) AS n,
			(SELECT greatest(hotdash._now() - hotdash._sla_scan_first(), interval '0') AS late) AS s
	$$;
COMMENT ON FUNCTION hotdash._health_sla() IS
	'Health check: steps of clocks are found in time, and none had an action that failed within the hour';
REVOKE ALL ON FUNCTION hotdash._health_sla() FROM PUBLIC;

/*
 * Rights
 */

CREATE FUNCTION hotdash._sla_scan_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT l, o FROM unnest(ARRAY['worker', 'operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.sla_scan(int)', 'hotdash._sla_scan_tick()']) AS o
	$$;
COMMENT ON FUNCTION hotdash._sla_scan_rights() IS 'What each access level may use to find steps that are due';
REVOKE ALL ON FUNCTION hotdash._sla_scan_rights() FROM PUBLIC;
