/*
 * limits_durable.sql: pages of limits of durability 'wal'.
 *
 * A row is one page; what is in it is changed in place by the library, outside of transactions (extension/limits/pages.h).
 * It is no part of a dump: defining the limit in the copy makes pages anew, and a trigger does that also when rows of
 * _limit are restored.
 */

CREATE TABLE hotdash._limit_state (
	name text COLLATE "C" NOT NULL,
	page int NOT NULL,
	cells bytea NOT NULL,
	PRIMARY KEY (name, page)
);
ALTER TABLE hotdash._limit_state ALTER COLUMN cells SET STORAGE PLAIN;
COMMENT ON TABLE hotdash._limit_state IS 'What keys have used of rate limits of durability wal; rows are changed in place, and UPDATE would lose what is';
COMMENT ON COLUMN hotdash._limit_state.cells IS 'A page of cells, see extension/limits/pages.h';
REVOKE ALL ON hotdash._limit_state FROM PUBLIC;

CREATE FUNCTION hotdash._limit_pages(count int, period interval, algorithm text, options jsonb, OUT page int, OUT cells bytea)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'hd_limits_sql_pages' LANGUAGE C VOLATILE STRICT;
COMMENT ON FUNCTION hotdash._limit_pages(int, interval, text, jsonb) IS 'Empty pages of a limit of durability wal';
REVOKE ALL ON FUNCTION hotdash._limit_pages(int, interval, text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._limit_pages_fit(cells bytea, pages bigint, count int, period interval, algorithm text, options jsonb) RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_limits_sql_pages_fit' LANGUAGE C STABLE STRICT;
COMMENT ON FUNCTION hotdash._limit_pages_fit(bytea, bigint, int, interval, text, jsonb) IS
	'Whether so many pages, one of which is given, are those that a limit has';
REVOKE ALL ON FUNCTION hotdash._limit_pages_fit(bytea, bigint, int, interval, text, jsonb) FROM PUBLIC;

-- Pages that are still of the right shape stay, with all that is on them.
CREATE FUNCTION hotdash._limit_repage() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		pages bigint;
		sample bytea;
	BEGIN
		IF TG_OP <> 'DELETE' AND NEW.durability = 'wal' THEN
			SELECT count(*) INTO pages FROM hotdash._limit_state AS s WHERE s.name = NEW.name;
			SELECT s.cells INTO sample FROM hotdash._limit_state AS s WHERE s.name = NEW.name AND s.page = 0;
			IF hotdash._limit_pages_fit(sample, pages, NEW.count, NEW.period, NEW.algorithm, NEW.options) THEN
				RETURN NULL;
			END IF;
		END IF;
		IF TG_OP <> 'INSERT' THEN
			DELETE FROM hotdash._limit_state AS s WHERE s.name = OLD.name;
		END IF;
		IF TG_OP <> 'DELETE' THEN
			DELETE FROM hotdash._limit_state AS s WHERE s.name = NEW.name;
			IF NEW.durability = 'wal' THEN
				INSERT INTO hotdash._limit_state
				SELECT NEW.name, p.page, p.cells FROM hotdash._limit_pages(NEW.count, NEW.period, NEW.algorithm, NEW.options) AS p;
			END IF;
		END IF;
		RETURN NULL;
	END
	$$;
COMMENT ON FUNCTION hotdash._limit_repage() IS 'Trigger: pages of a limit of durability wal come and go with it';
REVOKE ALL ON FUNCTION hotdash._limit_repage() FROM PUBLIC;

CREATE TRIGGER paged AFTER INSERT OR UPDATE ON hotdash._limit
	FOR EACH ROW WHEN (NOT NEW.preset) EXECUTE FUNCTION hotdash._limit_repage();
CREATE TRIGGER unpaged AFTER DELETE ON hotdash._limit
	FOR EACH ROW WHEN (NOT OLD.preset) EXECUTE FUNCTION hotdash._limit_repage();
ALTER TABLE hotdash._limit ENABLE ALWAYS TRIGGER paged;
ALTER TABLE hotdash._limit ENABLE ALWAYS TRIGGER unpaged;
