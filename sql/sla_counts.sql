/*
 * sla_counts.sql: how many clocks there are, by what became of them and when.
 *
 * What a clock counts as, for its policy, metric, tenant and priority:
 *		started			in the quarter of an hour in which it began
 *		met				met in time: when it was met
 *		late			met, but late: when it was met
 *		breached		its due point passed while it was open: at that, whenever that was found
 *		canceled		when it was; canceled_late: of these, breached before
 *		paused			as long as it is; at no time
 * All follow from its row. So do the open clocks: those that started and were neither met nor canceled; and those of
 * them that are overdue: breached, and neither met late nor canceled late. That holds for any moment of the past too.
 *
 * An event of the past, a breach that was withdrawn, a clock that goes on or gets another priority or policy move counts
 * from where they were to where they belong. How the counts are kept is said in extension/sla/counts.h.
 *
 * Buckets are quarters of an hour in UTC: days of all time zones of today begin with one. There is a row of _sla_tally
 * for a bucket in which something happened, so never more rows than clocks; they are not merged into longer ones,
 * since days of one time zone cannot be told from days of another. The bucket -infinity holds the sums of all.
 */

CREATE TABLE hotdash._sla_delta (
	bucket timestamptz,
	started bigint,
	met bigint,
	late bigint,
	breached bigint,
	canceled bigint,
	canceled_late bigint,
	paused bigint,
	policy int NOT NULL,
	gone bool NOT NULL,
	metric text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	priority text COLLATE "C" NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
	autovacuum_vacuum_insert_threshold = -1);
COMMENT ON TABLE hotdash._sla_delta IS 'Changes of counts of clocks that are yet to be added to _sla_tally; NULL: none';
COMMENT ON COLUMN hotdash._sla_delta.bucket IS 'Quarter of an hour, by its beginning; NULL: of none';
COMMENT ON COLUMN hotdash._sla_delta.gone IS 'Of clocks that retention has deleted';
SELECT pg_catalog.pg_extension_config_dump('hotdash._sla_delta', 'WHERE gone');

CREATE TABLE hotdash._sla_tally (
	bucket timestamptz NOT NULL,
	started bigint NOT NULL,
	met bigint NOT NULL,
	late bigint NOT NULL,
	breached bigint NOT NULL,
	canceled bigint NOT NULL,
	canceled_late bigint NOT NULL,
	paused bigint NOT NULL,
	policy int NOT NULL,
	gone bool NOT NULL,
	metric text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	priority text COLLATE "C" NOT NULL,
	PRIMARY KEY (bucket, policy, metric, tenant, priority, gone)
) WITH (fillfactor = 70);
COMMENT ON TABLE hotdash._sla_tally IS 'Counts of clocks in quarters of an hour; the bucket -infinity has the sums';
COMMENT ON COLUMN hotdash._sla_tally.gone IS
	'Of clocks that retention has deleted; only these are dumped, the others are counted when clocks are restored';
SELECT pg_catalog.pg_extension_config_dump('hotdash._sla_tally', 'WHERE gone');

-- For the quarters in which a window begins and ends. Clocks begin about when their rows come, and each index that changes are
-- entered into costs all of them; this one takes next to nothing.
CREATE INDEX _sla_clock_started ON hotdash._sla_clock USING brin (started_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX _sla_clock_breached ON hotdash._sla_clock (breached_at) WHERE breached_at IS NOT NULL;

ALTER TABLE hotdash._sla_delta ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._sla_delta USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._sla_delta IS 'A session bound to a tenant sees that tenant alone';
ALTER TABLE hotdash._sla_tally ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._sla_tally USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._sla_tally IS 'A session bound to a tenant sees that tenant alone';
REVOKE ALL ON hotdash._sla_delta, hotdash._sla_tally FROM PUBLIC;

CREATE FUNCTION hotdash._sla_counted() RETURNS trigger
	AS 'MODULE_PATHNAME', 'hd_sla_sql_counted' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._sla_counted() IS 'Trigger: clocks have changed, so have their counts';
REVOKE ALL ON FUNCTION hotdash._sla_counted() FROM PUBLIC;
CREATE TRIGGER _sla_counted_row AFTER INSERT OR UPDATE OR DELETE ON hotdash._sla_clock
	FOR EACH ROW EXECUTE FUNCTION hotdash._sla_counted();
CREATE TRIGGER _sla_counted_statement AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hotdash._sla_clock
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._sla_counted();
COMMENT ON TRIGGER _sla_counted_row ON hotdash._sla_clock IS 'Sums up what the statement changes';
COMMENT ON TRIGGER _sla_counted_statement ON hotdash._sla_clock IS 'Writes it to _sla_delta';

/*
 * Keeping them
 */

CREATE FUNCTION hotdash._sla_fold(from_place tid, to_place tid) RETURNS bigint
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		folded bigint;
	BEGIN
		WITH d AS (
			DELETE FROM hotdash._sla_delta AS x WHERE x.ctid >= from_place AND x.ctid < to_place RETURNING x.*
		), sums AS (
			INSERT INTO hotdash._sla_tally AS t (bucket, policy, metric, tenant, priority, gone, started, met, late, breached,
				canceled, canceled_late, paused)
			SELECT b.bucket, d.policy, d.metric, d.tenant, d.priority, d.gone, coalesce(sum(d.started), 0),
				coalesce(sum(d.met), 0), coalesce(sum(d.late), 0), coalesce(sum(d.breached), 0), coalesce(sum(d.canceled), 0),
				coalesce(sum(d.canceled_late), 0), coalesce(sum(d.paused), 0)
			FROM d CROSS JOIN LATERAL (VALUES (d.bucket), ('-infinity')) AS b (bucket)
			WHERE b.bucket IS NOT NULL
			GROUP BY b.bucket, d.policy, d.metric, d.tenant, d.priority, d.gone
			ON CONFLICT (bucket, policy, metric, tenant, priority, gone) DO UPDATE
			SET started = t.started + excluded.started, met = t.met + excluded.met, late = t.late + excluded.late,
				breached = t.breached + excluded.breached, canceled = t.canceled + excluded.canceled,
				canceled_late = t.canceled_late + excluded.canceled_late, paused = t.paused + excluded.paused
		)
		SELECT count(*) INTO folded FROM d;
		RETURN folded;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_fold(tid, tid) IS
	'Adds deltas in a range of places to the tally, for one session at a time; returns how many';
REVOKE ALL ON FUNCTION hotdash._sla_fold(tid, tid) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_retire(before timestamptz, up_to int) RETURNS bigint
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		ids constant bigint[] := ARRAY(SELECT c.id FROM hotdash._sla_clock AS c WHERE c.closed_at < before
			ORDER BY c.closed_at LIMIT up_to FOR UPDATE SKIP LOCKED);
	BEGIN
		IF ids <> '{}' THEN
			DELETE FROM hotdash._sla_event AS e WHERE e.clock = ANY (ids);
			DELETE FROM hotdash._sla_clock AS c WHERE c.id = ANY (ids);
		END IF;
		RETURN cardinality(ids);
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_retire(timestamptz, int) IS
	'Deletes clocks that were met or canceled before a time, with their events; returns how many';
REVOKE ALL ON FUNCTION hotdash._sla_retire(timestamptz, int) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_counts_tick() RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_sla_sql_counts_tick' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._sla_counts_tick() IS
	'Deletes clocks that have been kept long enough, folds deltas; true when there may be more';
REVOKE ALL ON FUNCTION hotdash._sla_counts_tick() FROM PUBLIC;

CREATE FUNCTION hotdash._sla_counts_live()
	RETURNS TABLE (policy int, metric text, tenant text, priority text, bucket timestamptz, started bigint, met bigint,
		late bigint, breached bigint, canceled bigint, canceled_late bigint, paused bigint)
	LANGUAGE sql STABLE PARALLEL SAFE ROWS 1000
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT c.policy, c.metric, c.tenant, c.priority, c.bucket, coalesce(sum(c.started), 0)::bigint,
			coalesce(sum(c.met), 0)::bigint, coalesce(sum(c.late), 0)::bigint, coalesce(sum(c.breached), 0)::bigint,
			coalesce(sum(c.canceled), 0)::bigint, coalesce(sum(c.canceled_late), 0)::bigint, coalesce(sum(c.paused), 0)::bigint
		FROM (SELECT t.policy, t.metric, t.tenant, t.priority, t.bucket, t.started, t.met, t.late,
				t.breached, t.canceled, t.canceled_late, 0
			FROM hotdash._sla_tally AS t WHERE t.bucket > '-infinity' AND NOT t.gone
			UNION ALL
			SELECT t.policy, t.metric, t.tenant, t.priority, NULL, 0, 0, 0, 0, 0, 0, t.paused
			FROM hotdash._sla_tally AS t WHERE t.bucket = '-infinity' AND NOT t.gone
			UNION ALL
			SELECT d.policy, d.metric, d.tenant, d.priority, d.bucket, d.started, d.met, d.late, d.breached, d.canceled,
				d.canceled_late, d.paused
			FROM hotdash._sla_delta AS d WHERE NOT d.gone
			) AS c (policy, metric, tenant, priority, bucket, started, met, late, breached, canceled, canceled_late, paused)
		GROUP BY c.policy, c.metric, c.tenant, c.priority, c.bucket
	$$;
COMMENT ON FUNCTION hotdash._sla_counts_live() IS 'What has been counted of the clocks that are there; the bucket NULL has the paused ones';
REVOKE ALL ON FUNCTION hotdash._sla_counts_live() FROM PUBLIC;

CREATE FUNCTION hotdash._sla_counts_found()
	RETURNS TABLE (policy int, metric text, tenant text, priority text, bucket timestamptz, started bigint, met bigint,
		late bigint, breached bigint, canceled bigint, canceled_late bigint, paused bigint)
	LANGUAGE sql STABLE PARALLEL SAFE ROWS 1000
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = on
	AS $$
		SELECT c.policy, c.metric, c.tenant, c.priority, date_bin('15 minutes', x.at, '2000-01-01 00:00:00+00'),
			count(*) FILTER (WHERE x.what = 'started'),
			count(*) FILTER (WHERE x.what = 'closed' AND c.state = 'met' AND c.breached_at IS NULL),
			count(*) FILTER (WHERE x.what = 'closed' AND c.state = 'met' AND c.breached_at IS NOT NULL),
			count(*) FILTER (WHERE x.what = 'breached'),
			count(*) FILTER (WHERE x.what = 'closed' AND c.state = 'canceled'),
			count(*) FILTER (WHERE x.what = 'closed' AND c.state = 'canceled' AND c.breached_at IS NOT NULL),
			count(*) FILTER (WHERE x.what = 'paused')
		FROM hotdash._sla_clock AS c
		CROSS JOIN LATERAL (VALUES ('started', c.started_at), ('closed', c.closed_at), ('breached', c.breached_at),
			(CASE c.state WHEN 'paused' THEN 'paused' END, NULL)) AS x (what, at)
		WHERE x.at IS NOT NULL OR x.what = 'paused'
		GROUP BY 1, 2, 3, 4, 5
	$$;
COMMENT ON FUNCTION hotdash._sla_counts_found() IS 'The same, by counting all clocks';
REVOKE ALL ON FUNCTION hotdash._sla_counts_found() FROM PUBLIC;

CREATE FUNCTION hotdash._sla_counts_audit()
	RETURNS TABLE (policy int, metric text, tenant text, priority text, bucket timestamptz, counted bigint[], found bigint[])
	LANGUAGE sql STABLE PARALLEL SAFE ROWS 10
	SET search_path = pg_catalog, pg_temp
	AS $$
		WITH counted AS (
			SELECT c.policy, c.metric, c.tenant, c.priority, coalesce(c.bucket, 'infinity') AS place,
				ARRAY[c.started, c.met, c.late, c.breached, c.canceled, c.canceled_late, c.paused] AS n
			FROM hotdash._sla_counts_live() AS c
		), found AS (
			SELECT f.policy, f.metric, f.tenant, f.priority, coalesce(f.bucket, 'infinity') AS place,
				ARRAY[f.started, f.met, f.late, f.breached, f.canceled, f.canceled_late, f.paused] AS n
			FROM hotdash._sla_counts_found() AS f
		), pair AS (
			SELECT policy, metric, tenant, priority, nullif(place, 'infinity') AS bucket,
				coalesce(c.n, '{0,0,0,0,0,0,0}') AS counted, coalesce(f.n, '{0,0,0,0,0,0,0}') AS found
			FROM counted AS c FULL JOIN found AS f USING (policy, metric, tenant, priority, place)
			UNION ALL
			-- The sums of what has been folded.
			SELECT t.policy, t.metric, t.tenant, t.priority, '-infinity',
				ARRAY[sum(t.started) FILTER (WHERE t.bucket = '-infinity'), sum(t.met) FILTER (WHERE t.bucket = '-infinity'),
					sum(t.late) FILTER (WHERE t.bucket = '-infinity'), sum(t.breached) FILTER (WHERE t.bucket = '-infinity'),
					sum(t.canceled) FILTER (WHERE t.bucket = '-infinity'),
					sum(t.canceled_late) FILTER (WHERE t.bucket = '-infinity')]::bigint[],
				ARRAY[sum(t.started) FILTER (WHERE t.bucket > '-infinity'), sum(t.met) FILTER (WHERE t.bucket > '-infinity'),
					sum(t.late) FILTER (WHERE t.bucket > '-infinity'), sum(t.breached) FILTER (WHERE t.bucket > '-infinity'),
					sum(t.canceled) FILTER (WHERE t.bucket > '-infinity'),
					sum(t.canceled_late) FILTER (WHERE t.bucket > '-infinity')]::bigint[]
			FROM hotdash._sla_tally AS t
			GROUP BY t.policy, t.metric, t.tenant, t.priority
			HAVING bool_or(t.bucket > '-infinity')
		)
		SELECT p.policy, p.metric, p.tenant, p.priority, p.bucket, p.counted, p.found FROM pair AS p
		WHERE p.counted IS DISTINCT FROM p.found
	$$;
COMMENT ON FUNCTION hotdash._sla_counts_audit() IS
	'Where counts differ from a count of all clocks, or their sums from them: there is no such place';
REVOKE ALL ON FUNCTION hotdash._sla_counts_audit() FROM PUBLIC;

CREATE FUNCTION hotdash._sla_recount() RETURNS bigint
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		wrong bigint;
	BEGIN
		LOCK TABLE hotdash._sla_clock IN SHARE MODE;
		INSERT INTO hotdash._sla_delta (bucket, started, met, late, breached, canceled, canceled_late, paused,
				policy, gone, metric, tenant, priority)
			SELECT a.bucket, a.found[1] - a.counted[1], a.found[2] - a.counted[2], a.found[3] - a.counted[3],
				a.found[4] - a.counted[4], a.found[5] - a.counted[5], a.found[6] - a.counted[6], a.found[7] - a.counted[7],
				a.policy, false, a.metric, a.tenant, a.priority
			FROM hotdash._sla_counts_audit() AS a
			WHERE a.bucket IS NULL OR a.bucket > '-infinity';
		GET DIAGNOSTICS wrong = ROW_COUNT;
		RETURN wrong;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_recount() IS
	'Counts all clocks anew, for when rows were written with triggers disabled; returns how many counts were wrong';
REVOKE ALL ON FUNCTION hotdash._sla_recount() FROM PUBLIC;
