/*
 * sla_report.sql: what is told of the counts of clocks: view sla_summary, reports, and who may see them.
 *
 * Adherence is the share of clocks met in time among those decided: met in time, or breached, each counted once and at
 * the moment when that was decided. A clock that breaches and is met later is a breach; one that was canceled in time
 * is neither.
 *
 * Days are those of the time zone of the policy's calendar, UTC where it has none; a bucket belongs to the day in which
 * it begins.
 */

CREATE FUNCTION hotdash._sla_adherence(met numeric, breached numeric) RETURNS numeric
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- One breach among many is not 100 %.
		SELECT CASE WHEN met + breached > 0 THEN least(round(100 * met / (met + breached), 2),
			CASE WHEN breached > 0 THEN 99.99 END) END
	$$;
COMMENT ON FUNCTION hotdash._sla_adherence(numeric, numeric) IS 'Percent met in time of those decided; NULL: none was';
REVOKE ALL ON FUNCTION hotdash._sla_adherence(numeric, numeric) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_zones() RETURNS TABLE (policy int, name text, zone text, today date)
	LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER ROWS 10
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT z.id, z.name, z.zone, (hotdash._now() AT TIME ZONE z.zone)::date
		FROM (SELECT p.id, p.name, coalesce(x.definition ->> 'time_zone', 'UTC') AS zone
			FROM hotdash._sla_policy AS p
			JOIN hotdash._sla_policy_version AS v ON v.id = p.version_id
			LEFT JOIN hotdash._calendar AS c ON c.id = v.calendar
			LEFT JOIN hotdash._calendar_version AS x ON x.calendar = c.id AND x.version = c.version) AS z
	$$;
COMMENT ON FUNCTION hotdash._sla_zones() IS 'Policies with their time zones, and what day it is there';
REVOKE ALL ON FUNCTION hotdash._sla_zones() FROM PUBLIC;

CREATE VIEW hotdash.sla_summary WITH (security_invoker = true) AS
	-- What is folded in sums, what is not yet, and the buckets that may be of today: no day begins more than 25 hours ago, or ends
	-- more than 25 hours from now.
	WITH part AS (
		SELECT t.policy, t.metric, t.tenant, t.priority, NULL::timestamptz AS bucket, t.started, t.met, t.late, t.breached, t.canceled,
			t.canceled_late, t.paused, 0 AS resolved
		FROM hotdash._sla_tally AS t
		WHERE t.bucket = '-infinity'
		UNION ALL
		SELECT d.policy, d.metric, d.tenant, d.priority, d.bucket, coalesce(d.started, 0), coalesce(d.met, 0), coalesce(d.late, 0),
			coalesce(d.breached, 0), coalesce(d.canceled, 0), coalesce(d.canceled_late, 0), coalesce(d.paused, 0),
			coalesce(d.met, 0) + coalesce(d.late, 0)
		FROM hotdash._sla_delta AS d
		UNION ALL
		SELECT t.policy, t.metric, t.tenant, t.priority, t.bucket, 0, 0, 0, 0, 0, 0, 0, t.met + t.late
		FROM hotdash._sla_tally AS t
		WHERE t.bucket > (SELECT hotdash._now() - interval '26 hours') AND t.bucket < (SELECT hotdash._now() + interval '26 hours')
	)
	SELECT z.name AS policy, p.metric, p.tenant, p.priority,
		sum(p.started - p.met - p.late - p.canceled)::bigint AS pending, sum(p.paused)::bigint AS paused,
		sum(p.breached - p.late - p.canceled_late)::bigint AS overdue, sum(p.started)::bigint AS started, sum(p.met)::bigint AS met,
		sum(p.breached)::bigint AS breached, hotdash._sla_adherence(sum(p.met), sum(p.breached)) AS adherence_pct,
		coalesce(sum(p.resolved) FILTER (WHERE (p.bucket AT TIME ZONE z.zone)::date = z.today), 0)::bigint AS resolved_today
	FROM part AS p
	JOIN hotdash._sla_zones() AS z ON z.policy = p.policy
	GROUP BY z.name, p.metric, p.tenant, p.priority
	HAVING sum(p.started) <> 0;
COMMENT ON VIEW hotdash.sla_summary IS
	'Clocks in numbers: pending, paused and overdue now; started, met in time and breached ever; met today, late or not';

/*
 * Windows
 */

CREATE FUNCTION hotdash._sla_edge(at timestamptz) RETURNS timestamptz
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT CASE WHEN EXISTS (SELECT FROM hotdash._sla_tally AS t WHERE t.bucket = b.bucket AND t.gone)
				OR EXISTS (SELECT FROM hotdash._sla_delta AS d WHERE d.bucket = b.bucket AND d.gone) THEN b.bucket
			ELSE at END
		FROM (SELECT date_bin('15 minutes', at, '2000-01-01 00:00:00+00') AS bucket) AS b
	$$;
COMMENT ON FUNCTION hotdash._sla_edge(timestamptz) IS
	'Where a window can begin or end: there, or with its quarter when clocks of that are gone';
REVOKE ALL ON FUNCTION hotdash._sla_edge(timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_counts_rows(from_ts timestamptz, to_ts timestamptz, of_tenant text)
	RETURNS TABLE (policy int, metric text, tenant text, priority text, bucket timestamptz, started bigint, met bigint,
		late bigint, breached bigint, canceled bigint, canceled_late bigint)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	AS $$
	#variable_conflict use_column
	DECLARE
		own_bucket constant timestamptz := date_bin('15 minutes', from_ts, '2000-01-01 00:00:00+00');
	BEGIN
		RETURN QUERY SELECT c.policy, c.metric, c.tenant, c.priority, own_bucket,
				count(*) FILTER (WHERE c.what = 's'), count(*) FILTER (WHERE c.what = 'm' AND NOT c.late),
				count(*) FILTER (WHERE c.what = 'm' AND c.late), count(*) FILTER (WHERE c.what = 'b'),
				count(*) FILTER (WHERE c.what = 'c'), count(*) FILTER (WHERE c.what = 'c' AND c.late)
			FROM (SELECT k.policy, k.metric, k.tenant, k.priority, 's' AS what, false AS late
				FROM hotdash._sla_clock AS k WHERE k.started_at >= from_ts AND k.started_at < to_ts
				UNION ALL
				SELECT k.policy, k.metric, k.tenant, k.priority, 'b', true
				FROM hotdash._sla_clock AS k WHERE k.breached_at >= from_ts AND k.breached_at < to_ts
				UNION ALL
				SELECT k.policy, k.metric, k.tenant, k.priority, left(k.state, 1), k.breached_at IS NOT NULL
				FROM hotdash._sla_clock AS k WHERE k.closed_at >= from_ts AND k.closed_at < to_ts) AS c
			WHERE c.tenant = coalesce(of_tenant, c.tenant)
			GROUP BY c.policy, c.metric, c.tenant, c.priority;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_counts_rows(timestamptz, timestamptz, text) IS
	'Counts of a part of a quarter, from the clocks themselves';
REVOKE ALL ON FUNCTION hotdash._sla_counts_rows(timestamptz, timestamptz, text) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_counts_between(from_ts timestamptz, to_ts timestamptz, of_tenant text)
	RETURNS TABLE (policy int, metric text, tenant text, priority text, bucket timestamptz, started bigint, met bigint,
		late bigint, breached bigint, canceled bigint, canceled_late bigint)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1000
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	AS $$
	#variable_conflict use_column
	DECLARE
		-- The buckets that lie within, and what is left on both sides.
		last_bucket constant timestamptz := date_bin('15 minutes', to_ts, '2000-01-01 00:00:00+00');
		first_bucket timestamptz := date_bin('15 minutes', from_ts, '2000-01-01 00:00:00+00');
	BEGIN
		IF first_bucket < from_ts THEN
			first_bucket := first_bucket + interval '15 minutes';
		END IF;
		IF from_ts < first_bucket THEN
			RETURN QUERY SELECT * FROM hotdash._sla_counts_rows(from_ts, least(first_bucket, to_ts), of_tenant);
		END IF;
		IF last_bucket < to_ts AND first_bucket <= last_bucket THEN
			RETURN QUERY SELECT * FROM hotdash._sla_counts_rows(last_bucket, to_ts, of_tenant);
		END IF;
		RETURN QUERY SELECT t.policy, t.metric, t.tenant, t.priority, t.bucket, t.started, t.met, t.late, t.breached, t.canceled,
				t.canceled_late
			FROM hotdash._sla_tally AS t
			WHERE t.bucket >= first_bucket AND t.bucket < last_bucket AND t.bucket > '-infinity'
				AND t.tenant = coalesce(of_tenant, t.tenant);
		RETURN QUERY SELECT d.policy, d.metric, d.tenant, d.priority, d.bucket, coalesce(d.started, 0), coalesce(d.met, 0),
				coalesce(d.late, 0), coalesce(d.breached, 0), coalesce(d.canceled, 0), coalesce(d.canceled_late, 0)
			FROM hotdash._sla_delta AS d
			WHERE d.bucket >= first_bucket AND d.bucket < last_bucket AND d.tenant = coalesce(of_tenant, d.tenant);
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_counts_between(timestamptz, timestamptz, text) IS
	'What happened from one time until before another; some rows for the same, to be added up';
REVOKE ALL ON FUNCTION hotdash._sla_counts_between(timestamptz, timestamptz, text) FROM PUBLIC;

/*
 * Reports
 */

CREATE FUNCTION hotdash._sla_times_taken(from_ts timestamptz, to_ts timestamptz, of_tenant text)
	RETURNS TABLE (metric text, median_seconds numeric, p90_seconds numeric)
	LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	AS $$
	#variable_conflict use_column
	/* From the clocks, so not of too many, and only where none of them is gone. */
	DECLARE
		most constant int := 100000;
	BEGIN
		IF most < (SELECT sum(t.met + t.late) FROM hotdash._sla_tally AS t WHERE t.bucket >= from_ts AND t.bucket < to_ts)
			OR EXISTS (SELECT FROM hotdash._sla_tally AS t WHERE t.bucket > '-infinity' AND t.gone AND t.met + t.late > 0
				AND t.bucket >= date_bin('15 minutes', from_ts, '2000-01-01 00:00:00+00') AND t.bucket < to_ts)
			OR EXISTS (SELECT FROM hotdash._sla_delta AS d WHERE d.gone) THEN
			RETURN;
		END IF;
		RETURN QUERY SELECT c.metric, round(percentile_disc(0.5) WITHIN GROUP (ORDER BY c.target - c.remaining) / 1000000.0, 3),
				round(percentile_disc(0.9) WITHIN GROUP (ORDER BY c.target - c.remaining) / 1000000.0, 3)
			FROM hotdash._sla_clock AS c
			WHERE c.closed_at >= from_ts AND c.closed_at < to_ts AND c.state = 'met'
				AND c.tenant = coalesce(of_tenant, c.tenant)
			GROUP BY c.metric;
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_times_taken(timestamptz, timestamptz, text) IS
	'Business time that clocks took which were met in a window; nothing where these are too many, or deleted';
REVOKE ALL ON FUNCTION hotdash._sla_times_taken(timestamptz, timestamptz, text) FROM PUBLIC;

CREATE TYPE hotdash._sla_numbers AS (
	policy text,
	metric text,
	priority text,
	tenant text,
	day date,
	level int,
	started numeric,
	met numeric,
	late numeric,
	breached numeric,
	canceled numeric,
	pending numeric,
	overdue numeric
);
COMMENT ON TYPE hotdash._sla_numbers IS 'Counts of a window, of all or by one of the first columns, which level tells';

CREATE FUNCTION hotdash._sla_numbers_between(from_ts timestamptz, to_ts timestamptz, of_tenant text)
	RETURNS SETOF hotdash._sla_numbers
	LANGUAGE sql STABLE PARALLEL SAFE ROWS 100
	SET search_path = pg_catalog, pg_temp
	AS $$
		/* What is pending at the end of a window is what is now, taken back by all that happened since. */
		WITH zone AS MATERIALIZED (
			SELECT z.policy, z.name, z.zone FROM hotdash._sla_zones() AS z
		), part AS (
			SELECT b.policy, b.metric, b.tenant, b.priority, b.bucket, b.started, b.met, b.late, b.breached, b.canceled,
				0 AS pending, 0 AS overdue
			FROM hotdash._sla_counts_between(from_ts, to_ts, of_tenant) AS b
			UNION ALL
			SELECT b.policy, b.metric, b.tenant, b.priority, NULL, 0, 0, 0, 0, 0,
				sum(b.met + b.late + b.canceled - b.started), sum(b.late + b.canceled_late - b.breached)
			FROM hotdash._sla_counts_between(to_ts, 'infinity', of_tenant) AS b
			GROUP BY b.policy, b.metric, b.tenant, b.priority
			UNION ALL
			SELECT t.policy, t.metric, t.tenant, t.priority, NULL, 0, 0, 0, 0, 0,
				t.started - t.met - t.late - t.canceled, t.breached - t.late - t.canceled_late
			FROM hotdash._sla_tally AS t
			WHERE t.bucket = '-infinity' AND t.tenant = coalesce(of_tenant, t.tenant)
			UNION ALL
			SELECT d.policy, d.metric, d.tenant, d.priority, NULL, 0, 0, 0, 0, 0,
				coalesce(d.started, 0) - coalesce(d.met, 0) - coalesce(d.late, 0) - coalesce(d.canceled, 0),
				coalesce(d.breached, 0) - coalesce(d.late, 0) - coalesce(d.canceled_late, 0)
			FROM hotdash._sla_delta AS d
			WHERE d.tenant = coalesce(of_tenant, d.tenant)
		)
		SELECT z.name, p.metric, p.priority, p.tenant, (p.bucket AT TIME ZONE z.zone)::date AS day,
			GROUPING(z.name, p.metric, p.priority, p.tenant, (p.bucket AT TIME ZONE z.zone)::date),
			sum(p.started), sum(p.met), sum(p.late), sum(p.breached), sum(p.canceled), sum(p.pending), sum(p.overdue)
		FROM part AS p JOIN zone AS z ON z.policy = p.policy
		GROUP BY GROUPING SETS ((), (z.name), (p.metric), (p.priority), (p.tenant), ((p.bucket AT TIME ZONE z.zone)::date))
		-- What was counted and moved elsewhere is nothing.
		HAVING GROUPING(z.name, p.metric, p.priority, p.tenant, (p.bucket AT TIME ZONE z.zone)::date) = 31
			OR ROW(sum(p.started), sum(p.met), sum(p.late), sum(p.breached), sum(p.canceled), sum(p.pending), sum(p.overdue))
				<> ROW(0, 0, 0, 0, 0, 0, 0)
	$$;
COMMENT ON FUNCTION hotdash._sla_numbers_between(timestamptz, timestamptz, text) IS
	'Counts of a window: 31 all, 15 by policy, 23 by metric, 27 by priority, 29 by tenant, 30 by day';
REVOKE ALL ON FUNCTION hotdash._sla_numbers_between(timestamptz, timestamptz, text) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_numbers_json(n hotdash._sla_numbers) RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT jsonb_build_object('started', coalesce(n.started, 0), 'met', coalesce(n.met, 0), 'met_late', coalesce(n.late, 0),
				'resolved', coalesce(n.met + n.late, 0), 'breached', coalesce(n.breached, 0), 'canceled', coalesce(n.canceled, 0),
				'adherence_pct', hotdash._sla_adherence(n.met, n.breached))
			-- What was pending at the end is no number of a day.
			|| CASE WHEN n.level = 30 THEN '{}' ELSE jsonb_build_object('pending', coalesce(n.pending, 0), 'overdue', coalesce(n.overdue, 0)) END
	$$;
COMMENT ON FUNCTION hotdash._sla_numbers_json(hotdash._sla_numbers) IS 'The counts of a report';
REVOKE ALL ON FUNCTION hotdash._sla_numbers_json(hotdash._sla_numbers) FROM PUBLIC;

CREATE FUNCTION hotdash.sla_report(from_ts timestamptz, to_ts timestamptz, tenant text DEFAULT NULL) RETURNS jsonb
	LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	SET jit = off
	AS $$
	/* STABLE, so that all of it sees one snapshot. */
	DECLARE
		own constant text := nullif(current_setting('hotdash.tenant', true), '');
		of_tenant constant text := coalesce(sla_report.tenant, own);
		tenants_told constant int := 100;
		first timestamptz;
		last timestamptz;
		report jsonb;
	BEGIN
		IF from_ts IS NULL OR to_ts IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
				MESSAGE = format('argument "%s" must not be null', CASE WHEN from_ts IS NULL THEN 'from_ts' ELSE 'to_ts' END);
		END IF;
		IF NOT isfinite(from_ts) OR NOT isfinite(to_ts) OR from_ts >= to_ts THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('cannot report from %s to %s', from_ts, to_ts),
				DETAIL = 'A window is finite and ends after it begins.';
		END IF;
		IF own <> of_tenant THEN
			RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = 'permission denied for another tenant';
		END IF;

		first := hotdash._sla_edge(from_ts);
		last := hotdash._sla_edge(to_ts);
		WITH n AS MATERIALIZED (
			SELECT x AS numbers, x.*
			FROM hotdash._sla_numbers_between(first, last, of_tenant) AS x
		), tenants AS (
			SELECT n.tenant, n.numbers, row_number() OVER () AS place
			FROM (SELECT n.* FROM n WHERE n.level = 29 ORDER BY n.breached DESC, n.met + n.late DESC, n.tenant LIMIT tenants_told) AS n
		), taken AS (
			SELECT t.* FROM hotdash._sla_times_taken(first, last, of_tenant) AS t
		)
		SELECT jsonb_build_object('from', first, 'to', last, 'tenant', of_tenant,
			'totals', (SELECT hotdash._sla_numbers_json(n.numbers) FROM n WHERE n.level = 31),
			'by_policy', (SELECT coalesce(jsonb_agg(jsonb_build_object('policy', n.policy) || hotdash._sla_numbers_json(n.numbers)
				ORDER BY n.policy), '[]') FROM n WHERE n.level = 15),
			'by_metric', (SELECT coalesce(jsonb_agg(jsonb_build_object('metric', n.metric, 'median_seconds', t.median_seconds,
					'p90_seconds', t.p90_seconds) || hotdash._sla_numbers_json(n.numbers) ORDER BY n.metric), '[]')
				FROM n LEFT JOIN taken AS t ON t.metric = n.metric WHERE n.level = 23),
			'by_priority', (SELECT coalesce(jsonb_agg(jsonb_build_object('priority', n.priority) || hotdash._sla_numbers_json(n.numbers)
				ORDER BY n.priority), '[]') FROM n WHERE n.level = 27),
			'by_tenant', (SELECT coalesce(jsonb_agg(jsonb_build_object('tenant', t.tenant) || hotdash._sla_numbers_json(t.numbers)
				ORDER BY t.place), '[]') FROM tenants AS t),
			'tenants', (SELECT count(*) FROM n WHERE n.level = 29),
			'by_day', (SELECT coalesce(jsonb_agg(jsonb_build_object('day', n.day) || hotdash._sla_numbers_json(n.numbers)
				ORDER BY n.day), '[]') FROM n WHERE n.level = 30 AND n.day IS NOT NULL))
		INTO report;
		RETURN report;
	END
	$$;
COMMENT ON FUNCTION hotdash.sla_report(timestamptz, timestamptz, text) IS
	'What became of clocks in a window: in all, by policy, metric, priority, tenant and day';
REVOKE ALL ON FUNCTION hotdash.sla_report(timestamptz, timestamptz, text) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_markdown(head text, list jsonb, name text) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- Names are anybody's: none may end its cell.
		SELECT format(E'| %s | Resolved | In time | Breached | Adherence | Pending |\n| --- | ---: | ---: | ---: | ---: | ---: |\n', head)
			|| string_agg(format(E'| %s | %s | %s | %s | %s | %s |\n',
				coalesce(nullif(regexp_replace(regexp_replace(x.item ->> name, '[[:cntrl:]]', ' ', 'g'), '([\\|`*_<>\[\]])', '\\\1', 'g'), ''), '(none)'),
				x.item ->> 'resolved', x.item ->> 'met', x.item ->> 'breached',
				coalesce((x.item ->> 'adherence_pct') || ' %', 'none decided'), x.item ->> 'pending'), '' ORDER BY x.place)
		FROM jsonb_array_elements(list) WITH ORDINALITY AS x (item, place)
	$$;
COMMENT ON FUNCTION hotdash._sla_markdown(text, jsonb, text) IS 'A table of a part of a report; NULL when it is empty';
REVOKE ALL ON FUNCTION hotdash._sla_markdown(text, jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._sla_report_section(kind text, period_end timestamptz) RETURNS jsonb
	LANGUAGE plpgsql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Of a period alone, whenever it is asked for: what was pending is as of its end. */
	DECLARE
		days constant int := CASE kind WHEN 'daily' THEN 1 WHEN 'weekly' THEN 7 END;
		report jsonb;
		totals jsonb;
	BEGIN
		IF days IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('unknown kind of report: %s', coalesce(kind, 'null')), HINT = 'Known kinds are daily and weekly.';
		END IF;
		report := hotdash.sla_report(period_end - days * interval '24 hours', period_end);
		totals := report -> 'totals';
		RETURN jsonb_build_object('title', 'Service levels', 'data', report, 'markdown', concat(
			E'## Service levels\n\n',
			format(E'%s clocks met, %s of them in time; %s breached%s; %s pending at the end, %s of them overdue.\n',
				totals ->> 'resolved', totals ->> 'met', totals ->> 'breached',
				coalesce(format(' (adherence %s %%)', totals ->> 'adherence_pct'), ''), totals ->> 'pending', totals ->> 'overdue'),
			E'\n' || hotdash._sla_markdown('Policy', report -> 'by_policy', 'policy'),
			E'\n' || hotdash._sla_markdown('Metric', report -> 'by_metric', 'metric'),
			E'\n' || hotdash._sla_markdown('Priority', report -> 'by_priority', 'priority'),
			CASE WHEN (report ->> 'tenants')::int > 1 THEN E'\n' || hotdash._sla_markdown('Tenant', report -> 'by_tenant', 'tenant') END));
	END
	$$;
COMMENT ON FUNCTION hotdash._sla_report_section(text, timestamptz) IS
	'The service levels in a daily or weekly report: JSON, and the same as Markdown';
REVOKE ALL ON FUNCTION hotdash._sla_report_section(text, timestamptz) FROM PUBLIC;

/*
 * Rights
 */

CREATE FUNCTION hotdash._sla_counts_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT l, o FROM unnest(ARRAY['viewer', 'operator', 'admin']) AS l,
			unnest(ARRAY['view:sla_summary', 'hotdash.sla_report(timestamptz, timestamptz, text)']) AS o
	$$;
COMMENT ON FUNCTION hotdash._sla_counts_rights() IS 'What each access level may see of the counts of SLA clocks';
REVOKE ALL ON FUNCTION hotdash._sla_counts_rights() FROM PUBLIC;
