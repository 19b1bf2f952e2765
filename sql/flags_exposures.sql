/*
 * flags_exposures.sql: who was shown which variant of a flag.
 *
 * An exposure is (flag, unit, variant), recorded by flag_expose (flags/expose.c) alone, in the caller's transaction and at
 * most once; one that is there already costs a look and writes nothing. The unit is the targetingKey of the merged context: a text, or
 * a number as text; without one there is nobody to record. What has no variant is no exposure: errors, flags that are
 * disabled, the caller's default. The answer is always that of flag_evaluate.
 *
 * Nobody waits. Two transactions that expose the same thing must not wait for one another: they are ordinary requests of
 * one user that ask for flags in different orders, and would lock each other out. So who is the first to record takes
 * an advisory lock (of a class of its own) for it; who does not get that at once, or has taken many in this
 * transaction, or whose snapshot is that of its transaction, files it in _flag_exposure_late, which has no unique index. The view
 * shows each once, the tick moves what is late to the others. Nothing is lost when the quicker one rolls back.
 *
 * Exposures older than hotdash.flag_exposure_retention go with the tick; whoever is exposed after that is recorded
 * anew. Units belong to the tenant of the session, '' where there is none.
 */

CREATE TABLE hotdash._flag_exposure (
	key text COLLATE "C" NOT NULL,
	unit text COLLATE "C" NOT NULL,
	variant text COLLATE "C" NOT NULL,
	tenant text COLLATE "C" NOT NULL,
	exposed_at timestamptz NOT NULL,
	version int NOT NULL,
	PRIMARY KEY (key, unit, variant, tenant)
);
CREATE INDEX _flag_exposure_at ON hotdash._flag_exposure (exposed_at);
COMMENT ON TABLE hotdash._flag_exposure IS 'Who was shown which variant of a flag, first';
COMMENT ON COLUMN hotdash._flag_exposure.version IS 'Of the flag, then';
SELECT pg_catalog.pg_extension_config_dump('hotdash._flag_exposure', '');

CREATE TABLE hotdash._flag_exposure_late (LIKE hotdash._flag_exposure);
CREATE INDEX _flag_exposure_late_unit ON hotdash._flag_exposure_late (key, unit, variant, tenant);
COMMENT ON TABLE hotdash._flag_exposure_late IS
	'Exposures that were recorded while another transaction was at the same one; some are there twice';
SELECT pg_catalog.pg_extension_config_dump('hotdash._flag_exposure_late', '');

CREATE FUNCTION hotdash._exposure_here(key text, unit text, variant text, tenant text, up_to int) RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_flags_sql_exposure_here' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._exposure_here(text, text, text, text, int) IS
	'Takes the lock of an exposure until the transaction ends; false when it is not to be had, the transaction has up_to of them, or an old snapshot';
REVOKE ALL ON FUNCTION hotdash._exposure_here(text, text, text, text, int) FROM PUBLIC;

CREATE FUNCTION hotdash.flag_expose(key text, default_value jsonb, context jsonb DEFAULT NULL) RETURNS hotdash.flag_result
	AS 'MODULE_PATHNAME', 'hd_flags_sql_expose' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10;
COMMENT ON FUNCTION hotdash.flag_expose(text, jsonb, jsonb) IS
	'As flag_evaluate, and records once that the unit (targetingKey) was shown the variant';
REVOKE ALL ON FUNCTION hotdash.flag_expose(text, jsonb, jsonb) FROM PUBLIC;

/*
 * The tick
 */

CREATE FUNCTION hotdash._exposures_settle(up_to int) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		moved int;
		looked int;
	BEGIN
		WITH late AS MATERIALIZED (
			SELECT l.ctid AS place, l.* FROM hotdash._flag_exposure_late AS l LIMIT up_to FOR UPDATE SKIP LOCKED
		), free AS MATERIALIZED (
			SELECT l.key, l.unit, l.variant, l.tenant, min(l.exposed_at) AS exposed_at, min(l.version) AS version
			FROM late AS l GROUP BY l.key, l.unit, l.variant, l.tenant
			HAVING hotdash._exposure_here(l.key, l.unit, l.variant, l.tenant, up_to)
		), gone AS (
			DELETE FROM hotdash._flag_exposure_late AS x
			WHERE x.ctid = ANY (ARRAY(SELECT l.place FROM late AS l JOIN free AS f USING (key, unit, variant, tenant)))
			RETURNING 1
		), come AS (
			INSERT INTO hotdash._flag_exposure (key, unit, variant, tenant, exposed_at, version)
			SELECT f.key, f.unit, f.variant, f.tenant, f.exposed_at, f.version FROM free AS f
			ON CONFLICT DO NOTHING
		)
		SELECT (SELECT count(*) FROM late), (SELECT count(*) FROM gone) INTO looked, moved;
		RETURN looked = up_to AND moved > 0;
	END
	$$;
COMMENT ON FUNCTION hotdash._exposures_settle(int) IS
	'Moves exposures that were late to the others, but for those that somebody is at; true when there may be more';
REVOKE ALL ON FUNCTION hotdash._exposures_settle(int) FROM PUBLIC;

CREATE FUNCTION hotdash._exposures_sweep(up_to int) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		retention constant interval := current_setting('hotdash.flag_exposure_retention');
		gone int;
	BEGIN
		IF retention = interval '0' THEN
			RETURN false;
		END IF;
		DELETE FROM hotdash._flag_exposure AS e
			WHERE e.ctid = ANY (ARRAY(SELECT x.ctid FROM hotdash._flag_exposure AS x
				WHERE x.exposed_at <= hotdash._now() - retention
				ORDER BY x.exposed_at LIMIT up_to FOR UPDATE SKIP LOCKED));
		GET DIAGNOSTICS gone = ROW_COUNT;
		RETURN gone = up_to;
	END
	$$;
COMMENT ON FUNCTION hotdash._exposures_sweep(int) IS
	'Deletes exposures older than hotdash.flag_exposure_retention; true when that may not be all';
REVOKE ALL ON FUNCTION hotdash._exposures_sweep(int) FROM PUBLIC;

/*
 * The view
 */

ALTER TABLE hotdash._flag_exposure ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._flag_exposure USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._flag_exposure IS 'A session bound to a tenant sees that tenant alone';
ALTER TABLE hotdash._flag_exposure_late ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._flag_exposure_late USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._flag_exposure_late IS 'A session bound to a tenant sees that tenant alone';

CREATE VIEW hotdash.flag_exposures WITH (security_invoker = true) AS
	SELECT e.key, e.unit, e.variant, e.exposed_at, e.version, e.tenant
	FROM hotdash._flag_exposure AS e
	WHERE hotdash._tenant_sees(e.tenant)
	UNION ALL
	SELECT l.key, l.unit, l.variant, min(l.exposed_at), min(l.version), l.tenant
	FROM hotdash._flag_exposure_late AS l
	WHERE hotdash._tenant_sees(l.tenant)
		AND NOT EXISTS (SELECT FROM hotdash._flag_exposure AS e
			WHERE e.key = l.key AND e.unit = l.unit AND e.variant = l.variant AND e.tenant = l.tenant)
	GROUP BY l.key, l.unit, l.variant, l.tenant;
COMMENT ON VIEW hotdash.flag_exposures IS
	'Who was shown which variant of a flag, each once, with the time and the flag''s version of the first';
