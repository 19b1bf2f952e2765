/*
 * limits.sql: rate limits: where they are defined, and the functions that ask them.
 *
 * A limit is a row of _limit; what it has granted is in shared memory (extension/limits) and in no table. The presets
 * are rows of the same name that a user's row goes before, so that a dump holds only what users defined, and deleting
 * that brings the preset back. Limits belong to the installation and to no tenant.
 */

/*
 * Tables
 */

CREATE TABLE hotdash._limit (
	name text COLLATE "C" NOT NULL,
	preset bool NOT NULL DEFAULT false,
	count int NOT NULL,
	period interval,
	burst int,
	algorithm text NOT NULL,
	shadow bool NOT NULL,
	durability text NOT NULL,
	time_zone text,
	options jsonb NOT NULL,
	changed_at timestamptz,
	changed_by text,
	PRIMARY KEY (name, preset)
);
COMMENT ON TABLE hotdash._limit IS 'Rate limits';
COMMENT ON COLUMN hotdash._limit.preset IS 'Came with the extension; a row of the same name without this goes before it';
COMMENT ON COLUMN hotdash._limit.count IS 'Units in a period';
COMMENT ON COLUMN hotdash._limit.period IS 'Null with algorithm concurrency: places are held, not taken';
COMMENT ON COLUMN hotdash._limit.burst IS 'Units that fit at once, of gcra; null: count';
COMMENT ON COLUMN hotdash._limit.shadow IS 'Counts what it would refuse, and refuses nothing';
COMMENT ON COLUMN hotdash._limit.time_zone IS 'Whose calendar the windows follow; null: UTC';
COMMENT ON COLUMN hotdash._limit.changed_at IS 'Null: never, as of presets';
COMMENT ON COLUMN hotdash._limit.options IS 'strict, on_failure: see limit_set';
SELECT pg_catalog.pg_extension_config_dump('hotdash._limit', 'WHERE NOT preset');
REVOKE ALL ON hotdash._limit FROM PUBLIC;

CREATE FUNCTION hotdash._limits_changed() RETURNS trigger
	AS 'MODULE_PATHNAME', 'hd_limits_sql_changed' LANGUAGE C;
COMMENT ON FUNCTION hotdash._limits_changed() IS 'Trigger: what sessions know of limits is old';
REVOKE ALL ON FUNCTION hotdash._limits_changed() FROM PUBLIC;

CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON hotdash._limit
	FOR EACH ROW EXECUTE FUNCTION hotdash._limits_changed();
CREATE TRIGGER emptied AFTER TRUNCATE ON hotdash._limit
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._limits_changed();
ALTER TABLE hotdash._limit ENABLE ALWAYS TRIGGER changed;
ALTER TABLE hotdash._limit ENABLE ALWAYS TRIGGER emptied;

INSERT INTO hotdash._limit (name, preset, count, period, burst, algorithm, shadow, durability, time_zone, options) VALUES
	('api', true, 100, '1 minute', NULL, 'gcra', false, 'snapshot', NULL, '{}'),
	('auth', true, 5, '1 minute', NULL, 'log', false, 'snapshot', NULL, '{}');

/*
 * Definition
 */

CREATE FUNCTION hotdash._limit_check(count int, period interval, burst int, algorithm text, shadow bool, durability text,
		time_zone text, options jsonb) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_limits_sql_check' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._limit_check(int, interval, int, text, bool, text, text, jsonb) IS
	'Raises 22023, 22015 or 22003 for what is no limit; no argument but period, burst and time_zone may be null';
REVOKE ALL ON FUNCTION hotdash._limit_check(int, interval, int, text, bool, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.limit_set(name text, count int, period interval, burst int DEFAULT NULL, algorithm text DEFAULT NULL,
		shadow bool DEFAULT NULL, durability text DEFAULT NULL, time_zone text DEFAULT NULL, options jsonb DEFAULT NULL)
	RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	#variable_conflict use_column
	BEGIN
		PERFORM hotdash._require_arg(name, 'name');
		PERFORM hotdash._require_arg(count, 'count');
		IF name = '' OR octet_length(name) > 63 OR name ~ '[[:cntrl:]]' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'invalid name of a rate limit',
				DETAIL = 'It has 1 to 63 bytes and no control characters.';
		END IF;
		algorithm := coalesce(algorithm, 'gcra');
		shadow := coalesce(shadow, false);
		durability := coalesce(durability, CASE algorithm WHEN 'concurrency' THEN 'none' ELSE 'snapshot' END);
		options := coalesce(options, '{}');
		PERFORM hotdash._limit_check(count, period, burst, algorithm, shadow, durability, time_zone, options);
		PERFORM hotdash._instance_use();
		INSERT INTO hotdash._limit AS l
		VALUES (name, false, count, period, burst, algorithm, shadow, durability, time_zone, options, hotdash._now(),
			hotdash._acting_role())
		ON CONFLICT ON CONSTRAINT _limit_pkey DO UPDATE SET count = excluded.count, period = excluded.period,
			burst = excluded.burst, algorithm = excluded.algorithm, shadow = excluded.shadow,
			durability = excluded.durability, time_zone = excluded.time_zone, options = excluded.options,
			changed_at = excluded.changed_at, changed_by = excluded.changed_by;
	END
	$$;
COMMENT ON FUNCTION hotdash.limit_set(text, int, interval, int, text, bool, text, text, jsonb) IS
	'Defines a rate limit, or defines it anew: count units a period by algorithm gcra, log or window, or with concurrency and no period count places for limit_acquire; in force with the next call after COMMIT, and what keys have used is kept';
REVOKE ALL ON FUNCTION hotdash.limit_set(text, int, interval, int, text, bool, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.limit_delete(name text) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(name, 'name');
		DELETE FROM hotdash._limit AS l WHERE l.name = limit_delete.name AND NOT l.preset;
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object',
				MESSAGE = format('rate limit "%s" does not exist', left(name, 63)),
				HINT = 'Presets cannot be deleted; limit_set defines one of the same name that goes before it.';
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash.limit_delete(text) IS
	'Deletes a rate limit; calls on it raise 42704 from then on, unless there is a preset of the same name';
REVOKE ALL ON FUNCTION hotdash.limit_delete(text) FROM PUBLIC;

/*
 * Asking. Nothing here is undone by ROLLBACK.
 */

CREATE FUNCTION hotdash.limit_allow(name text, key text, cost int DEFAULT 1) RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_limits_sql_allow' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash.limit_allow(text, text, int) IS
	'Takes cost units from the key''s bucket if they fit, and says whether; cost 0 looks whether one would';
REVOKE ALL ON FUNCTION hotdash.limit_allow(text, text, int) FROM PUBLIC;

CREATE FUNCTION hotdash.limit_take(name text, key text, cost int DEFAULT 1,
		OUT allowed bool, OUT quota int, OUT remaining int, OUT retry_after float8, OUT reset_after float8)
	AS 'MODULE_PATHNAME', 'hd_limits_sql_take_stored' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash.limit_take(text, text, int) IS
	'limit_allow with what is left, and seconds until the cost fits (0 when allowed, null when it never can) and until the bucket is full; cost 0 looks without taking';
REVOKE ALL ON FUNCTION hotdash.limit_take(text, text, int) FROM PUBLIC;

CREATE FUNCTION hotdash.limit_take_with(key text, count int, period interval, burst int DEFAULT NULL, cost int DEFAULT 1,
		algorithm text DEFAULT NULL,
		OUT allowed bool, OUT quota int, OUT remaining int, OUT retry_after float8, OUT reset_after float8)
	AS 'MODULE_PATHNAME', 'hd_limits_sql_take_with' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash.limit_take_with(text, int, interval, int, int, text) IS
	'limit_take with a limit that is given here and stored nowhere; algorithm gcra or log. Calls with the same key share a bucket';
REVOKE ALL ON FUNCTION hotdash.limit_take_with(text, int, interval, int, int, text) FROM PUBLIC;

CREATE FUNCTION hotdash.limit_take_many(name text, keys text[], cost int DEFAULT 1) RETURNS bool[]
	AS 'MODULE_PATHNAME', 'hd_limits_sql_take_many' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash.limit_take_many(text, text[], int) IS
	'limit_allow for each of the keys, one after another; the answers in their order';
REVOKE ALL ON FUNCTION hotdash.limit_take_many(text, text[], int) FROM PUBLIC;

CREATE FUNCTION hotdash.limit_take_all(names text[], key text, cost int DEFAULT 1) RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_limits_sql_take_all' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash.limit_take_all(text[], text, int) IS
	'Takes cost units from the key''s buckets of up to eight limits, from all of them or from none, in one step';
REVOKE ALL ON FUNCTION hotdash.limit_take_all(text[], text, int) FROM PUBLIC;

CREATE FUNCTION hotdash.limit_refund(name text, key text, cost int) RETURNS int
	AS 'MODULE_PATHNAME', 'hd_limits_sql_refund_stored' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash.limit_refund(text, text, int) IS
	'Gives units back that were taken and not used, the last ones first, never above full; how many the bucket took back';
REVOKE ALL ON FUNCTION hotdash.limit_refund(text, text, int) FROM PUBLIC;

CREATE FUNCTION hotdash.limit_reset(name text, key text) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_limits_sql_reset' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash.limit_reset(text, text) IS 'Makes the key''s bucket full again';
REVOKE ALL ON FUNCTION hotdash.limit_reset(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._limit_counts(OUT name text, OUT allowed bigint, OUT denied bigint, OUT shadowed bigint,
		OUT near bigint, OUT failed bigint) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'hd_limits_sql_counts' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._limit_counts() IS
	'What the limits of this database decided since the server started; the name is empty for limit_take_with';
REVOKE ALL ON FUNCTION hotdash._limit_counts() FROM PUBLIC;

/*
 * Limits without a name, for the other modules' tests
 */

CREATE FUNCTION hotdash._limit_take(key text, count int, period interval, algorithm text, want int,
		whole bool DEFAULT false, OUT granted bigint, OUT remaining bigint, OUT retry_at timestamptz,
		OUT next_at timestamptz, OUT reset_at timestamptz)
	AS 'MODULE_PATHNAME', 'hd_limits_sql_take' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash._limit_take(text, int, interval, text, int, bool) IS
	'Take up to want units from a bucket, or all of them or none; algorithm gcra, log, or null: never more than count in any window. When want units fit, one more, all';
REVOKE ALL ON FUNCTION hotdash._limit_take(text, int, interval, text, int, bool) FROM PUBLIC;

CREATE FUNCTION hotdash._limit_refund(key text, count int, period interval, algorithm text, n int,
		taken_at timestamptz) RETURNS bigint
	AS 'MODULE_PATHNAME', 'hd_limits_sql_refund' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION hotdash._limit_refund(text, int, interval, text, int, timestamptz) IS
	'Give back units that were taken and not used; how many the bucket took back';
REVOKE ALL ON FUNCTION hotdash._limit_refund(text, int, interval, text, int, timestamptz) FROM PUBLIC;


CREATE FUNCTION hotdash._limits_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT l, o FROM unnest(ARRAY['producer', 'worker', 'operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.limit_allow(text, text, int)', 'hotdash.limit_take(text, text, int)',
				'hotdash.limit_take_with(text, int, interval, int, int, text)',
				'hotdash.limit_take_many(text, text[], int)', 'hotdash.limit_take_all(text[], text, int)',
				'hotdash.limit_refund(text, text, int)']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.limit_set(text, int, interval, int, text, bool, text, text, jsonb)',
				'hotdash.limit_reset(text, text)']) AS o
		UNION ALL
		SELECT l, 'view:limits' FROM unnest(ARRAY['viewer', 'producer', 'worker', 'operator', 'admin']) AS l
		UNION ALL
		SELECT l, 'view:limit_stats' FROM unnest(ARRAY['viewer', 'operator', 'admin']) AS l
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['operator', 'admin']) AS l,
			unnest(ARRAY['view:limit_violations', 'view:limit_top_denied', 'hotdash.limit_explain(text, text)']) AS o
		UNION ALL
		SELECT 'admin', 'hotdash.limit_delete(text)'
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['producer', 'worker', 'operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.limit_acquire(text, text)', 'hotdash.limit_release(text, text)',
				'hotdash.limit_headers(text, text, text)', 'hotdash.limit_enforce(text, text, int)',
				'hotdash.client_key(text, int)']) AS o
		UNION ALL
		SELECT l, 'view:limit_places' FROM unnest(ARRAY['operator', 'admin']) AS l
	$$;
COMMENT ON FUNCTION hotdash._limits_rights() IS 'What each access level may use of rate limits';
REVOKE ALL ON FUNCTION hotdash._limits_rights() FROM PUBLIC;
