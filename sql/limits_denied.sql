/*
 * limits_denied.sql: what limits refused, and why one refuses.
 *
 * Refusals are logged in shared memory (extension/limits/denied.h). Where hotdash.limit_violation_retention says so, the
 * tick copies the log to _limit_violation; a row that is in both is shown from memory. A key may be an address or a name,
 * so nothing is copied unless somebody wants that, and what shows keys is for operators; viewers have the numbers. Sessions
 * that are bound to a tenant see neither, since a limit counts for all tenants.
 */

CREATE TABLE hotdash._limit_violation (
	id bigint NOT NULL,
	first_at timestamptz NOT NULL,
	last_at timestamptz NOT NULL,
	name text COLLATE "C" NOT NULL,
	key text NOT NULL,
	key_hash bigint,
	kind text NOT NULL,
	role text NOT NULL,
	denials bigint NOT NULL,
	units bigint NOT NULL,
	PRIMARY KEY (id, first_at)
) WITH (fillfactor = 70);
CREATE INDEX _limit_violation_at ON hotdash._limit_violation (last_at);
COMMENT ON TABLE hotdash._limit_violation IS 'The log of refusals by rate limits, as the tick copied it';
COMMENT ON COLUMN hotdash._limit_violation.id IS 'Of the row in memory; another server may use it again';
COMMENT ON COLUMN hotdash._limit_violation.role IS 'Name, then, of who was refused first';
SELECT pg_catalog.pg_extension_config_dump('hotdash._limit_violation', '');
REVOKE ALL ON hotdash._limit_violation FROM PUBLIC;
ALTER TABLE hotdash._limit_violation ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._limit_violation
	USING (coalesce(pg_catalog.current_setting('hotdash.tenant', true), '') OPERATOR(pg_catalog.=) '');
COMMENT ON POLICY tenant ON hotdash._limit_violation IS 'A session bound to a tenant sees nothing';

CREATE FUNCTION hotdash._limit_denied(OUT name text, OUT key text, OUT key_hash bigint, OUT kind text, OUT id bigint,
		OUT moved bool, OUT role oid, OUT first_at timestamptz, OUT last_at timestamptz, OUT denials bigint, OUT units bigint) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'hd_limits_sql_denied' LANGUAGE C VOLATILE PARALLEL SAFE ROWS 100;
COMMENT ON FUNCTION hotdash._limit_denied() IS
	'The log of refusals in this database, as it is in memory; key_hash, where the key is cut, is hashtextextended(key, 0); moved: by a session whose clock was stopped';
REVOKE ALL ON FUNCTION hotdash._limit_denied() FROM PUBLIC;

CREATE FUNCTION hotdash._limit_denied_sums(OUT name text, OUT kind text, OUT kept bigint, OUT others bigint,
		OUT others_units bigint, OUT forgotten bigint, OUT forgotten_units bigint, OUT last_at timestamptz)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'hd_limits_sql_denied_sums' LANGUAGE C VOLATILE PARALLEL SAFE ROWS 10;
COMMENT ON FUNCTION hotdash._limit_denied_sums() IS
	'Refusals of each limit since the server started: in rows of the log, in none, and in rows that were overwritten';
REVOKE ALL ON FUNCTION hotdash._limit_denied_sums() FROM PUBLIC;

CREATE FUNCTION hotdash._limit_denied_top(OUT name text, OUT key text, OUT key_hash bigint, OUT kind text,
		OUT at_least bigint, OUT at_most bigint, OUT last_at timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'hd_limits_sql_denied_top' LANGUAGE C VOLATILE PARALLEL SAFE ROWS 100;
COMMENT ON FUNCTION hotdash._limit_denied_top() IS
	'Keys that were refused most in this hour and the one before, with bounds of how often';
REVOKE ALL ON FUNCTION hotdash._limit_denied_top() FROM PUBLIC;

CREATE FUNCTION hotdash._limit_state(OUT loaded bool, OUT failed_at timestamptz)
	AS 'MODULE_PATHNAME', 'hd_limits_sql_state' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._limit_state() IS
	'Whether there is memory for buckets, and when a call was last decided by the setting for failures';
REVOKE ALL ON FUNCTION hotdash._limit_state() FROM PUBLIC;

CREATE FUNCTION hotdash._limit_look(name text, key text, OUT held bool, OUT allowed bool, OUT quota int,
		OUT remaining int, OUT next_after float8, OUT reset_after float8, OUT places int)
	AS 'MODULE_PATHNAME', 'hd_limits_sql_look' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash._limit_look(text, text) IS
	'What a key''s bucket has, or its places, without taking; held: it is in memory. Seconds until one more unit fits, and until it is full; places that are held';
REVOKE ALL ON FUNCTION hotdash._limit_look(text, text) FROM PUBLIC;

/*
 * Views
 */

CREATE VIEW hotdash.limits WITH (security_invoker = true) AS
	SELECT l.name, l.count, l.period, coalesce(l.burst, l.count) AS burst, l.algorithm, l.shadow, l.durability,
		CASE WHEN l.algorithm = 'window' THEN coalesce(l.time_zone, 'UTC') END AS time_zone, l.options, l.preset,
		l.changed_at, l.changed_by
	FROM hotdash._limit AS l
	WHERE NOT l.preset OR NOT EXISTS (SELECT FROM hotdash._limit AS o WHERE o.name = l.name AND NOT o.preset);
COMMENT ON VIEW hotdash.limits IS 'Rate limits in force: those that were defined, and presets that nobody defined anew';

CREATE VIEW hotdash.limit_stats WITH (security_invoker = true) AS
	WITH denied AS (
		SELECT s.name, max(s.last_at) FILTER (WHERE s.kind <> 'shadow') AS last_denied_at, sum(s.kept)::bigint AS kept,
			sum(s.others)::bigint AS others, sum(s.forgotten)::bigint AS forgotten
		FROM hotdash._limit_denied_sums() AS s GROUP BY s.name
	)
	SELECT coalesce(c.name, l.name) COLLATE "C" AS name, coalesce(c.allowed, 0) AS allowed, coalesce(c.denied, 0) AS denied,
		coalesce(c.shadowed, 0) AS shadowed, coalesce(c.near, 0) AS near, coalesce(c.failed, 0) AS failed,
		d.last_denied_at, coalesce(d.kept, 0) AS logged, coalesce(d.others, 0) AS unlogged,
		coalesce(d.forgotten, 0) AS overwritten
	FROM (SELECT DISTINCT o.name FROM hotdash._limit AS o) AS l
	FULL JOIN hotdash._limit_counts() AS c ON c.name = l.name COLLATE "C"
	LEFT JOIN denied AS d ON d.name = c.name;
COMMENT ON VIEW hotdash.limit_stats IS
	'What each limit decided since the server started; logged + unlogged + overwritten = denied + shadowed. The name is empty for limit_take_with';

CREATE VIEW hotdash.limit_violations WITH (security_invoker = true) AS
	WITH live AS MATERIALIZED (
		SELECT d.id, d.name COLLATE "C" AS name, d.key, d.key_hash, d.kind, pg_get_userbyid(d.role)::text AS role, d.first_at,
			d.last_at, d.denials, d.units
		FROM hotdash._limit_denied() AS d
	)
	SELECT l.name, l.key, l.key_hash, l.kind, l.role, l.first_at, l.last_at, l.denials, l.units FROM live AS l
	UNION ALL
	SELECT s.name COLLATE "C", NULL, NULL, s.kind, NULL, NULL, s.last_at, s.others, s.others_units
	FROM hotdash._limit_denied_sums() AS s WHERE s.others > 0
	UNION ALL
	SELECT v.name, v.key, v.key_hash, v.kind, v.role, v.first_at, v.last_at, v.denials, v.units
	FROM hotdash._limit_violation AS v
	WHERE NOT EXISTS (SELECT FROM live AS l WHERE l.id = v.id AND l.first_at = v.first_at)
	ORDER BY last_at DESC;
COMMENT ON VIEW hotdash.limit_violations IS
	'Recent refusals, newest first: a row for a key and a minute. kind: refused, shadow (would have been) or no_room; key null: all that found no row';

CREATE VIEW hotdash.limit_top_denied WITH (security_invoker = true) AS
	SELECT t.name COLLATE "C" AS name, t.key, t.key_hash, t.kind, t.at_least, t.at_most, t.last_at
	FROM hotdash._limit_denied_top() AS t
	ORDER BY t.at_least DESC, t.at_most DESC, t.last_at DESC;
COMMENT ON VIEW hotdash.limit_top_denied IS
	'Keys that were refused most in this hour and the one before: so often at least, and so often at most';

/*
 * The copy. Two ticks at once may both bring a row: the second one waits for the first, and has nothing to add.
 */

CREATE FUNCTION hotdash._limit_violations_keep(up_to int) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		retention constant interval := current_setting('hotdash.limit_violation_retention');
		-- with 0, all of it is too old
		since constant timestamptz := hotdash._now() - retention;
		gone int;
	BEGIN
		IF retention > interval '0' THEN
			INSERT INTO hotdash._limit_violation AS v (id, first_at, last_at, name, key, key_hash, kind, role, denials, units)
			SELECT d.id, d.first_at, d.last_at, d.name, d.key, d.key_hash, d.kind, pg_get_userbyid(d.role), d.denials, d.units
			FROM hotdash._limit_denied() AS d
			WHERE NOT d.moved AND d.last_at >= since
				AND NOT EXISTS (SELECT FROM hotdash._limit_violation AS o
					WHERE o.id = d.id AND o.first_at = d.first_at AND o.denials >= d.denials)
			ORDER BY d.id
			ON CONFLICT (id, first_at) DO UPDATE
			SET last_at = excluded.last_at, denials = excluded.denials, units = excluded.units
			WHERE v.denials < excluded.denials;
		END IF;
		DELETE FROM hotdash._limit_violation AS v WHERE v.ctid IN (
			SELECT o.ctid FROM hotdash._limit_violation AS o
			WHERE o.last_at < since OR retention = interval '0' ORDER BY o.last_at LIMIT up_to FOR UPDATE SKIP LOCKED);
		GET DIAGNOSTICS gone = ROW_COUNT;
		RETURN gone = up_to;
	END
	$$;
COMMENT ON FUNCTION hotdash._limit_violations_keep(int) IS
	'Copies the log of refusals to the table and deletes what is older than hotdash.limit_violation_retention; true when that may not be all';
REVOKE ALL ON FUNCTION hotdash._limit_violations_keep(int) FROM PUBLIC;

/*
 * Why is this key refused?
 */

CREATE FUNCTION hotdash.limit_explain(name text, key text) RETURNS jsonb
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	#variable_conflict use_column
	DECLARE
		definition record;
		look record;
		denied record;
		loaded bool;
		on_failure text;
		why text;
	BEGIN
		PERFORM hotdash._require_arg(name, 'name');
		PERFORM hotdash._require_arg(key, 'key');
		SELECT * INTO look FROM hotdash._limit_look(limit_explain.name, limit_explain.key);
		SELECT * INTO definition FROM hotdash.limits AS l WHERE l.name = limit_explain.name;
		SELECT s.loaded INTO loaded FROM hotdash._limit_state() AS s;
		SELECT coalesce(sum(d.denials), 0) AS denials, max(d.last_at) AS last_at INTO denied
		FROM hotdash._limit_denied() AS d
		WHERE d.name = limit_explain.name
			AND coalesce(d.key_hash, hashtextextended(d.key, 0)) = hashtextextended(limit_explain.key, 0);
		on_failure := coalesce(definition.options ->> 'on_failure', current_setting('hotdash.limit_on_failure', true), 'open');
		why := CASE
			WHEN NOT loaded THEN
				format('hotdash is not in shared_preload_libraries, so there are no buckets: on_failure = %s decides.', on_failure)
			WHEN look.remaining > 0 THEN
				format('%s of %s %s.', look.remaining, look.quota,
					CASE WHEN definition.algorithm = 'concurrency' THEN 'places are free' ELSE 'units are left' END)
			WHEN definition.shadow THEN
				'Nothing is left, and the limit is in shadow mode: it counts what it would refuse and allows it.'
			WHEN definition.algorithm = 'concurrency' THEN
				format('All %s places are held; view limit_places says by whom.', look.quota)
			ELSE format('All %s units are used; one more fits in %s s.', look.quota, look.next_after) END;
		RETURN jsonb_build_object('name', definition.name, 'key', limit_explain.key, 'allowed', look.allowed, 'why', why,
			'quota', look.quota, 'used', look.quota - look.remaining, 'remaining', look.remaining,
			'next_after', look.next_after, 'next_at', hotdash._now() + look.next_after * interval '1 second',
			'reset_after', look.reset_after, 'reset_at', hotdash._now() + look.reset_after * interval '1 second',
			'places_held', look.places, 'in_memory', look.held, 'loaded', loaded, 'on_failure', on_failure, 'shadow', definition.shadow,
			'definition', to_jsonb(definition) - 'name' - 'shadow',
			'denials', jsonb_build_object('count', denied.denials, 'last_at', denied.last_at));
	END
	$$;
COMMENT ON FUNCTION hotdash.limit_explain(text, text) IS
	'Why a key is refused or not: the limit, what is used, when more fits, whether the bucket is in memory, refusals in the log; takes nothing';
REVOKE ALL ON FUNCTION hotdash.limit_explain(text, text) FROM PUBLIC;
