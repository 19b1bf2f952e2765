/*
 * flags_usage.sql: how often flags are used, which are stale, and who may do what with flags.
 *
 * Evaluations write nothing: each session counts, shared memory sums up (flags/usage.h), the tick moves that into
 * _flag_use about once a minute. So counts need the library to be preloaded; uses on a standby are not among them;
 * and a crash loses those since the last tick.
 *
 * What is counted is the variant that was answered; '' stands for none: the flag is disabled, has no default variant or
 * failed, and the caller's default was the answer. A flag that another asks counts as used when that one is.
 *
 * A flag is stale after hotdash.flag_stale_after:
 *		never_evaluated		it was made that long ago, uses have been counted since then, and there is none;
 *		not_evaluated		the last use is that long ago;
 *		same_answer			it is used, but everybody has been getting the same variant for that long, and nobody
 *							changed it.
 * Nothing is said of the time before uses were counted, which _flag_counting knows.
 */

CREATE TABLE hotdash._flag_use (
	key text COLLATE "C" NOT NULL,
	variant text COLLATE "C" NOT NULL,
	uses bigint NOT NULL,
	first_used timestamptz NOT NULL,
	last_used timestamptz NOT NULL,
	PRIMARY KEY (key, variant)
) WITH (fillfactor = 50);
COMMENT ON TABLE hotdash._flag_use IS 'How often flags answered which variant, and when';
COMMENT ON COLUMN hotdash._flag_use.variant IS 'Empty: none, the answer was the caller''s default';
SELECT pg_catalog.pg_extension_config_dump('hotdash._flag_use', '');

CREATE TABLE hotdash._flag_counting (
	since timestamptz NOT NULL
);
COMMENT ON TABLE hotdash._flag_counting IS
	'Since when uses of flags are counted: the earliest row; sessions that find none write one each, and do not wait';
SELECT pg_catalog.pg_extension_config_dump('hotdash._flag_counting', '');

CREATE FUNCTION hotdash._flag_use_live()
	RETURNS TABLE (key text, variant text, uses bigint, first_used timestamptz, last_used timestamptz)
	AS 'MODULE_PATHNAME', 'hd_flags_sql_use_live' LANGUAGE C VOLATILE PARALLEL RESTRICTED ROWS 100;
COMMENT ON FUNCTION hotdash._flag_use_live() IS 'Uses that are counted in memory and not yet in the table';
REVOKE ALL ON FUNCTION hotdash._flag_use_live() FROM PUBLIC;

CREATE FUNCTION hotdash._flag_use_take()
	RETURNS TABLE (key text, variant text, uses bigint, first_used timestamptz, last_used timestamptz)
	AS 'MODULE_PATHNAME', 'hd_flags_sql_use_take' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION hotdash._flag_use_take() IS
	'The same, and takes them out of memory; they come back if the transaction rolls back';
REVOKE ALL ON FUNCTION hotdash._flag_use_take() FROM PUBLIC;

CREATE FUNCTION hotdash._flag_use_begin() RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		INSERT INTO hotdash._flag_counting (since)
			SELECT hotdash._now()
			WHERE NOT EXISTS (SELECT FROM hotdash._flag_counting) AND EXISTS (SELECT FROM hotdash._counters());
	END
	$$;
COMMENT ON FUNCTION hotdash._flag_use_begin() IS 'Notes that uses are counted from now on, where they are and nobody did';
REVOKE ALL ON FUNCTION hotdash._flag_use_begin() FROM PUBLIC;

CREATE FUNCTION hotdash._flag_use_keep(up_to int) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		gone int;
	BEGIN
		PERFORM hotdash._flag_use_begin();
		-- A key that is no flag is not remembered: anybody may ask for anything.
		INSERT INTO hotdash._flag_use AS u (key, variant, uses, first_used, last_used)
			SELECT t.key, t.variant, t.uses, t.first_used, t.last_used FROM hotdash._flag_use_take() AS t
			WHERE EXISTS (SELECT FROM hotdash._flag AS f WHERE f.kind = 'f' AND f.key = t.key)
			ORDER BY t.key COLLATE "C", t.variant COLLATE "C"
			ON CONFLICT (key, variant) DO UPDATE
			SET uses = u.uses + excluded.uses, first_used = least(u.first_used, excluded.first_used),
				last_used = greatest(u.last_used, excluded.last_used);
		DELETE FROM hotdash._flag_use AS u WHERE (u.key, u.variant) IN (
			SELECT x.key, x.variant FROM hotdash._flag_use AS x
			WHERE NOT EXISTS (SELECT FROM hotdash._flag AS f WHERE f.kind = 'f' AND f.key = x.key)
			LIMIT up_to FOR UPDATE SKIP LOCKED);
		GET DIAGNOSTICS gone = ROW_COUNT;
		RETURN gone = up_to;
	END
	$$;
COMMENT ON FUNCTION hotdash._flag_use_keep(int) IS
	'Adds what memory has counted to the table, forgets flags that are gone; true when that may not be all';
REVOKE ALL ON FUNCTION hotdash._flag_use_keep(int) FROM PUBLIC;

/*
 * Stale flags
 */

CREATE VIEW hotdash.stale_flags WITH (security_invoker = true) AS
	WITH RECURSIVE bound AS (
		SELECT hotdash._now() - current_setting('hotdash.flag_stale_after')::interval AS at,
			(SELECT min(c.since) FROM hotdash._flag_counting AS c) AS counting_since
	), flag AS (
		SELECT f.key, f.version, f.changed_at, f.changed_by, f.definition -> 'metadata' ->> 'description' AS description,
			(SELECT min(h.changed_at) FROM hotdash._flag_history AS h
			WHERE h.kind = 'f' AND h.key = f.key AND h.version > coalesce((SELECT max(d.version) FROM hotdash._flag_history AS d
				WHERE d.kind = 'f' AND d.key = f.key AND d.definition IS NULL), 0)) AS made_at
		FROM hotdash._flag AS f
		WHERE f.kind = 'f'
	), used AS (
		SELECT u.key, u.variant, sum(u.uses)::bigint AS uses, min(u.first_used) AS first_used, max(u.last_used) AS last_used
		FROM (SELECT t.key, t.variant, t.uses, t.first_used, t.last_used FROM hotdash._flag_use AS t
			UNION ALL
			SELECT l.key, l.variant, l.uses, l.first_used, l.last_used FROM hotdash._flag_use_live() AS l) AS u
		JOIN flag AS f ON f.key = u.key AND u.last_used >= f.made_at
		GROUP BY u.key, u.variant
	), edge AS MATERIALIZED (
		SELECT a.asks, a.flag FROM hotdash._flag_asks() AS a
	), asked (key, by) AS (
		SELECT e.asks, e.flag FROM edge AS e
		UNION
		SELECT a.key, e.flag FROM asked AS a JOIN edge AS e ON e.asks = a.by
	), asked_use AS (
		SELECT a.key, max(u.last_used) AS last_used FROM asked AS a JOIN used AS u ON u.key = a.by GROUP BY a.key
	), own_use AS (
		SELECT u.key, sum(u.uses)::bigint AS uses, max(u.last_used) AS last_used,
			(array_agg(u.variant ORDER BY u.last_used DESC, u.uses DESC))[1] AS latest
		FROM used AS u GROUP BY u.key
	), judged AS (
		SELECT f.*, coalesce(o.uses, 0) AS uses, greatest(o.last_used, a.last_used) AS used_at, o.last_used, o.latest,
			greatest(f.changed_at, b.counting_since, (SELECT min(u.first_used) FROM used AS u WHERE u.key = f.key AND u.variant = o.latest),
				(SELECT max(u.last_used) FROM used AS u WHERE u.key = f.key AND u.variant <> o.latest)) AS same_since,
			b.at, b.counting_since
		FROM flag AS f
		CROSS JOIN bound AS b
		LEFT JOIN own_use AS o ON o.key = f.key
		LEFT JOIN asked_use AS a ON a.key = f.key
	), stale AS (
		SELECT j.*, CASE
			WHEN j.used_at IS NULL AND greatest(j.made_at, j.counting_since) <= j.at THEN 'never_evaluated'
			WHEN j.used_at <= j.at THEN 'not_evaluated'
			WHEN j.last_used > j.at AND j.same_since <= j.at THEN 'same_answer' END AS reason
		FROM judged AS j
		WHERE j.counting_since IS NOT NULL
	)
	SELECT s.key, s.reason,
		CASE s.reason WHEN 'never_evaluated' THEN greatest(s.made_at, s.counting_since) WHEN 'not_evaluated' THEN s.used_at
			ELSE s.same_since END AS since,
		CASE s.reason WHEN 'same_answer' THEN nullif(s.latest, '') END AS variant, s.uses, s.last_used,
		CASE s.reason
			WHEN 'never_evaluated' THEN format('Nobody has asked for it since %s.', greatest(s.made_at, s.counting_since))
			WHEN 'not_evaluated' THEN format('Nobody has asked for it since %s; it had been used %s times.', s.used_at, s.uses)
			ELSE format('Everybody has been getting %s since %s; it has been used %s times, last at %s.',
				CASE s.latest WHEN '' THEN 'the caller''s default' ELSE format('variant "%s"', s.latest) END,
				s.same_since, s.uses, s.last_used)
		END AS evidence,
		s.version, s.changed_at, s.changed_by, s.description
	FROM stale AS s
	WHERE s.reason IS NOT NULL;
COMMENT ON VIEW hotdash.stale_flags IS
	'Flags that nobody has asked for, or that have answered the same to all, for hotdash.flag_stale_after, with the evidence';

/*
 * Rights
 */

CREATE FUNCTION hotdash._flags_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT l, o FROM unnest(ARRAY['viewer', 'operator', 'admin']) AS l,
			unnest(ARRAY['view:flags', 'view:flag_history', 'view:flag_exposures', 'view:stale_flags', 'view:segments',
				'hotdash.flags_export(text)']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['producer', 'worker', 'operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.flag_expose(text, jsonb, jsonb)']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.flag_set(text, jsonb, text)', 'hotdash.flag_rollback(text, int, text)',
				'hotdash.segment_add(text, text[])', 'hotdash.segment_remove(text, text[])']) AS o
		UNION ALL
		SELECT 'admin', o FROM unnest(ARRAY['hotdash.flag_delete(text, text)', 'hotdash.flags_import(jsonb, text, jsonb)']) AS o
	$$;
COMMENT ON FUNCTION hotdash._flags_rights() IS 'What each access level may use of the flags, but for their evaluation';
REVOKE ALL ON FUNCTION hotdash._flags_rights() FROM PUBLIC;
