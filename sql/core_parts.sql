/*
 * core_parts.sql: tables that are kept for a time, in numbered parts that are dropped as a whole.
 *
 * A family is one or more tables, partitioned by the list of a column part, whose parts are made, closed and
 * dropped together. A part takes the rows of one class of retention (1, 3, 7, 14, 30, 90 or 365 days) until the
 * tick closes it, after an eighth of that time; when the class's time has passed since then, the tick drops it.
 * Part 0 is a member of the extension. It takes what has no part yet (until the first tick after CREATE EXTENSION,
 * or after somebody asked for a new class), is emptied as a whole when all of it has expired, and is the
 * model of the others: they get its columns and indexes.
 *
 * Why numbers and not ranges of time: a range needs its partition in time, or a DEFAULT partition, which has to be
 * locked and searched for each new one. Here a part that was not replaced, since nobody ticks, just goes on taking
 * rows; a clock that jumps puts no row where it cannot go; and rows that a transaction files late are kept no
 * shorter.
 *
 * Rows go straight into a part's table, and not through the parent: whoever writes through the parent locks all
 * parts, and under steady load none could ever be dropped. So dropping a part has to wait for readers only. It does
 * not wait for them either: it takes its locks at once or tries again at the next tick. Where readers never cease it
 * may be told to be patient, and then waits a twentieth of a second for each of its locks, while others wait behind it.
 *
 * A family of one class asks for _part_open and leaves the class to the tick. What must outlive its part, its module
 * moves to another (_part_move) before the part is dropped: it has _part_keep spare the part until then. A mark tells
 * it where to look (hd_parts_file says why it holds).
 *
 * Parts other than 0 are not members of the extension. A dump therefore has them as tables of their own, and a
 * restore makes and attaches them; DROP EXTENSION drops them with their parents. Indexes are the parts' own: one of
 * the parent would be made twice by a restore, when the dump attaches a part that has it already.
 */

CREATE TABLE hotdash._part (
	family text COLLATE "C" NOT NULL,
	part smallint NOT NULL,
	days smallint NOT NULL,
	opened_at timestamptz NOT NULL,
	closed_at timestamptz,
	mark bigint,
	CONSTRAINT _part_pkey PRIMARY KEY (family, part)
);
CREATE UNIQUE INDEX _part_open ON hotdash._part (family, days) WHERE closed_at IS NULL;
COMMENT ON TABLE hotdash._part IS 'Parts of tables that are kept for a time: from when to when each took rows';
COMMENT ON COLUMN hotdash._part.days IS 'Class of retention: how long rows are kept after closed_at';
COMMENT ON COLUMN hotdash._part.closed_at IS 'NULL while rows of the class go there';
COMMENT ON COLUMN hotdash._part.mark IS
	'Where the module takes one, after closed_at: ids of what refers to the rows are no higher';
SELECT pg_catalog.pg_extension_config_dump('hotdash._part', '');

CREATE FUNCTION hotdash._part_changed() RETURNS trigger
	AS 'MODULE_PATHNAME', 'hd_parts_sql_changed' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._part_changed() IS 'Tells every session at commit that parts were made, closed or dropped';
REVOKE ALL ON FUNCTION hotdash._part_changed() FROM PUBLIC;
-- For each row: a statement that changes none must not tell anybody, least of all the tick, which would look again.
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON hotdash._part
	FOR EACH ROW EXECUTE FUNCTION hotdash._part_changed();
CREATE TRIGGER emptied AFTER TRUNCATE ON hotdash._part
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._part_changed();

CREATE FUNCTION hotdash._part_days(retention interval) RETURNS smallint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT min(d)::smallint FROM unnest(ARRAY[1, 3, 7, 14, 30, 90, 365]) AS d
		WHERE make_interval(days => d) >= retention
	$$;
COMMENT ON FUNCTION hotdash._part_days(interval) IS
	'Class of a retention: days, rounded up; NULL for longer than the longest';
REVOKE ALL ON FUNCTION hotdash._part_days(interval) FROM PUBLIC;

CREATE FUNCTION hotdash._part_current(family text, days smallint) RETURNS smallint
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT coalesce((SELECT p.part FROM hotdash._part AS p
			WHERE p.family = _part_current.family AND p.days = _part_current.days AND p.closed_at IS NULL),
			0::smallint)
	$$;
COMMENT ON FUNCTION hotdash._part_current(text, smallint) IS 'Part of a family that takes the rows of a class now';
REVOKE ALL ON FUNCTION hotdash._part_current(text, smallint) FROM PUBLIC;

CREATE FUNCTION hotdash._part_open(family text) RETURNS smallint
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT coalesce((SELECT p.part FROM hotdash._part AS p
			WHERE p.family = _part_open.family AND p.closed_at IS NULL ORDER BY p.opened_at DESC LIMIT 1), 0::smallint)
	$$;
COMMENT ON FUNCTION hotdash._part_open(text) IS 'Part of a family with one class that takes rows now';
REVOKE ALL ON FUNCTION hotdash._part_open(text) FROM PUBLIC;

CREATE FUNCTION hotdash._part_make(family text, parents text[], days smallint) RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	number CONSTANT int := (
		SELECT min(n) FROM generate_series(1, (SELECT count(*) + 1 FROM hotdash._part)) AS n
		WHERE NOT EXISTS (SELECT FROM hotdash._part AS p WHERE p.family = _part_make.family AND p.part = n));
	parent text;
BEGIN
	FOREACH parent IN ARRAY parents LOOP
		EXECUTE format('CREATE TABLE hotdash.%1$s_%2$s (LIKE hotdash.%1$s_0 INCLUDING INDEXES INCLUDING STORAGE)',
			parent, number);
		-- Nobody gets at the rows but through the parent: no policy lets none through.
		EXECUTE format('ALTER TABLE hotdash.%s_%s ENABLE ROW LEVEL SECURITY', parent, number);
		EXECUTE format('ALTER TABLE hotdash.%1$s ATTACH PARTITION hotdash.%1$s_%2$s FOR VALUES IN (%2$s)',
			parent, number);
	END LOOP;
	INSERT INTO hotdash._part (family, part, days, opened_at) VALUES (family, number, days, hotdash._now());
END
$$;
COMMENT ON FUNCTION hotdash._part_make(text, text[], smallint) IS 'Makes a part that takes the rows of a class';
REVOKE ALL ON FUNCTION hotdash._part_make(text, text[], smallint) FROM PUBLIC;

CREATE FUNCTION hotdash._part_summarize(parents text[], part smallint) RETURNS void
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- No row comes any more: what is not summed up by now would be read at each look.
		SELECT brin_summarize_new_values(c.oid)
		FROM unnest(parents) AS parent
		JOIN pg_index AS i ON i.indrelid = format('hotdash.%s_%s', parent, part)::regclass
		JOIN pg_class AS c ON c.oid = i.indexrelid
		JOIN pg_am AS m ON m.oid = c.relam AND m.amname = 'brin'
	$$;
COMMENT ON FUNCTION hotdash._part_summarize(text[], smallint) IS 'Sums up the BRIN indexes of a part that was closed';
REVOKE ALL ON FUNCTION hotdash._part_summarize(text[], smallint) FROM PUBLIC;

CREATE FUNCTION hotdash._part_drop(family text, parents text[], part smallint, patient bool DEFAULT false) RETURNS bool
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	SET lock_timeout = '50ms'
	AS $$
DECLARE
	tables CONSTANT text := (SELECT string_agg(format('hotdash.%s_%s', p, part), ', ') FROM unnest(parents) AS p);
BEGIN
	-- Whoever waits for such a lock holds up all who come after: take it at once or not at all.
	EXECUTE format('LOCK TABLE %s, %s IN ACCESS EXCLUSIVE MODE%s',
		(SELECT string_agg('ONLY hotdash.' || p, ', ') FROM unnest(parents) AS p), tables,
		CASE WHEN patient THEN '' ELSE ' NOWAIT' END);
	EXECUTE CASE part WHEN 0 THEN 'TRUNCATE ' ELSE 'DROP TABLE ' END || tables;
	DELETE FROM hotdash._part AS p WHERE p.family = _part_drop.family AND p.part = _part_drop.part;
	RETURN true;
EXCEPTION WHEN lock_not_available OR object_in_use OR deadlock_detected THEN
	RETURN false;
END
$$;
COMMENT ON FUNCTION hotdash._part_drop(text, text[], smallint, bool) IS
	'Drops a part, empties part 0; false when somebody is using it, patient: still after a twentieth of a second';
REVOKE ALL ON FUNCTION hotdash._part_drop(text, text[], smallint, bool) FROM PUBLIC;

CREATE FUNCTION hotdash._part_move(family text, parent text, part smallint, ids anyarray) RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	columns CONSTANT text := (SELECT string_agg(quote_ident(a.attname), ', ') FROM pg_attribute AS a
		WHERE a.attrelid = format('hotdash.%s', parent)::regclass AND a.attnum > 0 AND NOT a.attisdropped
			AND a.attname <> 'part');
BEGIN
	EXECUTE format('WITH moved AS (DELETE FROM hotdash.%1$s_%2$s WHERE id = ANY ($1) RETURNING *)
		INSERT INTO hotdash.%1$s_%3$s (part, %4$s) SELECT %3$s, %4$s FROM moved',
		parent, part, hotdash._part_open(family), columns) USING ids;
END
$$;
COMMENT ON FUNCTION hotdash._part_move(text, text, smallint, anyarray) IS
	'Moves rows, by their id, out of a part of a table into the one that takes rows now';
REVOKE ALL ON FUNCTION hotdash._part_move(text, text, smallint, anyarray) FROM PUBLIC;

CREATE FUNCTION hotdash._part_has_rows(parents text[], part smallint) RETURNS bool
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	result bool;
BEGIN
	EXECUTE (SELECT 'SELECT ' || string_agg(format('EXISTS (SELECT FROM hotdash.%s_%s)', p, part), ' OR ')
		FROM unnest(parents) AS p) INTO result;
	RETURN result;
END
$$;
COMMENT ON FUNCTION hotdash._part_has_rows(text[], smallint) IS 'Whether a part has rows';
REVOKE ALL ON FUNCTION hotdash._part_has_rows(text[], smallint) FROM PUBLIC;

CREATE FUNCTION hotdash._part_keep(family text, parents text[], wanted smallint[], spared smallint[] DEFAULT '{}',
		patient bool DEFAULT false)
	RETURNS bool
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	SET lock_timeout = '100ms'
	AS $$
#variable_conflict use_column
DECLARE
	now_at CONSTANT timestamptz := hotdash._now();
	kin CONSTANT text := family;
	old hotdash._part;
	class smallint;
	done bool := true;
BEGIN
	LOCK TABLE hotdash._part IN SHARE ROW EXCLUSIVE MODE NOWAIT;
	-- A clock that was ahead for a while must not keep parts for ever.
	UPDATE hotdash._part AS p
	SET opened_at = least(p.opened_at, now_at), closed_at = CASE WHEN p.closed_at > now_at THEN now_at ELSE p.closed_at END
	WHERE p.family = kin AND greatest(p.opened_at, p.closed_at) > now_at;
	FOR old IN SELECT * FROM hotdash._part AS p
		WHERE p.family = kin AND p.closed_at + make_interval(days => p.days) <= now_at AND p.part <> ALL (spared)
	LOOP
		done := hotdash._part_drop(kin, parents, old.part, patient) AND done;
	END LOOP;

	-- A part takes rows for an eighth of the time that they are kept, so rows stay that much longer.
	FOR old IN SELECT * FROM hotdash._part AS p
		WHERE p.family = kin AND p.closed_at IS NULL AND p.opened_at + interval '3 hours' * p.days <= now_at
	LOOP
		IF old.days = ANY (wanted) AND NOT hotdash._part_has_rows(parents, old.part) THEN
			UPDATE hotdash._part AS p SET opened_at = now_at WHERE p.family = kin AND p.part = old.part;
			CONTINUE;
		END IF;
		UPDATE hotdash._part AS p SET closed_at = now_at WHERE p.family = kin AND p.part = old.part;
		PERFORM hotdash._part_summarize(parents, old.part);
		IF old.days = ANY (wanted) THEN
			PERFORM hotdash._part_make(kin, parents, old.days);
		END IF;
	END LOOP;

	FOR class IN SELECT w FROM unnest(wanted) AS w
		WHERE NOT EXISTS (SELECT FROM hotdash._part AS p
			WHERE p.family = kin AND p.days = w AND p.closed_at IS NULL)
	LOOP
		PERFORM hotdash._part_make(kin, parents, class);
		-- Until now its rows went to part 0.
		UPDATE hotdash._part AS p SET closed_at = now_at, days = greatest(p.days, class)
			WHERE p.family = kin AND p.part = 0;
	END LOOP;
	IF NOT EXISTS (SELECT FROM hotdash._part AS p WHERE p.family = kin AND p.part = 0)
		AND hotdash._part_has_rows(parents, 0::smallint)
	THEN
		INSERT INTO hotdash._part (family, part, days, opened_at, closed_at)
		VALUES (kin, 0, (SELECT max(w) FROM unnest(wanted) AS w), now_at, now_at);
	END IF;
	RETURN done;
EXCEPTION WHEN lock_not_available THEN
	RETURN false;
END
$$;
COMMENT ON FUNCTION hotdash._part_keep(text, text[], smallint[], smallint[], bool) IS
	'Closes, makes and drops parts of a family as their time has come, but for those to be spared; false when a lock was not to be had';
REVOKE ALL ON FUNCTION hotdash._part_keep(text, text[], smallint[], smallint[], bool) FROM PUBLIC;
