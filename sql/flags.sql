/*
 * flags.sql: feature flags: where they are kept, how they change, what they were.
 *
 * Three kinds of things have a definition and versions: flags ('f'), evaluators ('e', rules that flags share by $ref)
 * and the metadata of the whole set ('m', of which there is one, without a key). _flag has what holds now, a row each,
 * which every session compiles when it first needs it; _flag_history has every version, the last one of what was
 * deleted without a definition. Flags belong to the installation and to no tenant.
 *
 * Versions. Each change is one, numbered from 1 without gaps, also over a deletion: _flag_version has a row for
 * each key that ever was, which outlives the flag, and whose lock a change takes first. What changes nothing makes no
 * version. Times do not fall: where the clock went back, a version has the time of the one before.
 *
 * Locks, in this order: the row of _flag_version of kind 'g', which stands for what flags ask of each other; then the
 * rows of the keys, sorted. Only who may bring about a cycle takes the first: a change whose definition asks a flag or an
 * evaluator, and every deletion. It is updated, not just locked: so a transaction whose snapshot is older than another's
 * change gets 40001 instead of not seeing half of a cycle.
 *
 * Prerequisites. A flag may ask one that is not there (documents come in any order); evaluation then says so. A cycle is
 * refused, and so is a chain of more than 32, which bounds the depth of an evaluation. A flag that others ask for cannot
 * be deleted: 2BP01, with their names. Unleash and GrowthBook say what a cycle or a missing flag means, so documents of
 * theirs may have both.
 */

/*
 * Tables
 */

CREATE TABLE hotdash._flag (
	kind "char" NOT NULL,
	key text COLLATE "C" NOT NULL,
	version int NOT NULL,
	definition jsonb NOT NULL,
	changed_at timestamptz NOT NULL,
	changed_by text NOT NULL,
	asks text[] COLLATE "C" NOT NULL,
	needs text[] COLLATE "C" NOT NULL,
	refs text[] COLLATE "C" NOT NULL,
	PRIMARY KEY (kind, key)
) WITH (fillfactor = 70);
CREATE INDEX _flag_asking ON hotdash._flag (kind, key) WHERE asks <> '{}' OR refs <> '{}';
COMMENT ON TABLE hotdash._flag IS 'Feature flags, their shared evaluators and metadata, as they are';
COMMENT ON COLUMN hotdash._flag.kind IS 'f: flag, e: evaluator, m: metadata of the set';
COMMENT ON COLUMN hotdash._flag.asks IS 'Flags that it asks itself';
COMMENT ON COLUMN hotdash._flag.needs IS
	'Those among them that must not ask for it in turn: all but those of rules of another system, which say what that means';
COMMENT ON COLUMN hotdash._flag.refs IS 'Evaluators that it refers to itself';
SELECT pg_catalog.pg_extension_config_dump('hotdash._flag', '');

CREATE TABLE hotdash._flag_version (
	kind "char" NOT NULL,
	key text COLLATE "C" NOT NULL,
	version int NOT NULL,
	PRIMARY KEY (kind, key)
) WITH (fillfactor = 50);
COMMENT ON TABLE hotdash._flag_version IS 'Last version of each flag that is or was; its rows are locked by who changes it';
COMMENT ON COLUMN hotdash._flag_version.kind IS 'As in _flag; g: what flags ask of each other';
SELECT pg_catalog.pg_extension_config_dump('hotdash._flag_version', '');

CREATE TABLE hotdash._flag_history (
	kind "char" NOT NULL,
	key text COLLATE "C" NOT NULL,
	version int NOT NULL,
	definition jsonb,
	changed_at timestamptz NOT NULL,
	changed_by text NOT NULL,
	changed_role name NOT NULL,
	note text,
	PRIMARY KEY (kind, key, version)
);
COMMENT ON TABLE hotdash._flag_history IS 'Every version of flags, evaluators and metadata';
COMMENT ON COLUMN hotdash._flag_history.definition IS 'NULL: this version was a deletion';
COMMENT ON COLUMN hotdash._flag_history.changed_role IS 'The session''s role, beside the name it gave';
COMMENT ON COLUMN hotdash._flag_history.note IS 'How it came about, where that was not flag_set';
SELECT pg_catalog.pg_extension_config_dump('hotdash._flag_history', '');

-- A subscription applies rows, and no statements: their trigger is fired for it alone.
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hotdash._flag
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._flags_changed();
ALTER TABLE hotdash._flag ENABLE ALWAYS TRIGGER changed;
CREATE TRIGGER applied AFTER INSERT OR UPDATE OR DELETE ON hotdash._flag
	FOR EACH ROW EXECUTE FUNCTION hotdash._flags_changed();
ALTER TABLE hotdash._flag ENABLE REPLICA TRIGGER applied;

/*
 * What may be said
 */

CREATE FUNCTION hotdash._flag_check_name(name text, what text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		IF name = '' OR octet_length(name) > 255 OR name ~ '[[:cntrl:]]' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('invalid %s', what),
				DETAIL = 'It has 1 to 255 bytes and no control characters.';
		END IF;
		RETURN name;
	END
	$$;
COMMENT ON FUNCTION hotdash._flag_check_name(text, text) IS
	'A name of what it is, or 22023';
REVOKE ALL ON FUNCTION hotdash._flag_check_name(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._flag_by(by text) RETURNS text
	LANGUAGE plpgsql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RETURN CASE WHEN by IS NULL THEN hotdash._acting_role()::text ELSE hotdash._alert_check_by(by) END;
	END
	$$;
COMMENT ON FUNCTION hotdash._flag_by(text) IS 'Who changes something: the name given, else the role; 22023 for what names nobody';
REVOKE ALL ON FUNCTION hotdash._flag_by(text) FROM PUBLIC;

CREATE FUNCTION hotdash._flag_item(kind "char", key text, definition jsonb, by text, strict bool DEFAULT false)
	RETURNS hotdash._flag
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Rules that fail when they are evaluated are let in; without a definition it is a deletion. */
	DECLARE
		what constant text := CASE kind WHEN 'f' THEN format('flag "%s"', left(key, 255))
			WHEN 'e' THEN format('evaluator "%s"', left(key, 255)) ELSE 'metadata' END;
		-- within another it is not compressed, as a column may be
		size constant int := pg_column_size(jsonb_build_array(definition));
		item hotdash._flag;
		found jsonb := '{}';
	BEGIN
		item.kind := kind;
		item.key := key;
		item.definition := definition;
		item.changed_by := by;
		item.asks := '{}';
		item.needs := '{}';
		item.refs := '{}';
		IF definition IS NULL THEN
			RETURN item;
		END IF;
		IF kind <> 'm' THEN
			PERFORM hotdash._flag_check_name(key, CASE kind WHEN 'f' THEN 'key of a flag' ELSE 'name of an evaluator' END);
		END IF;
		IF size > 1048576 THEN
			RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
				MESSAGE = format('definition of %s is too large', what),
				DETAIL = format('It has %s kB; at most 1024 kB are allowed.', size / 1024),
				HINT = CASE kind WHEN 'f' THEN 'Long lists of ids belong into a segment: segment_add().' END;
		END IF;
		CASE kind
			WHEN 'f' THEN found := hotdash._flag_check(key, definition);
			WHEN 'e' THEN found := hotdash._flag_check(key, jsonb_build_object('state', 'ENABLED',
				'variants', '{"on": true}'::jsonb, 'defaultVariant', 'on', 'targeting', definition));
			ELSE
				IF jsonb_typeof(definition) <> 'object' THEN
					RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'metadata must be a JSON object';
				END IF;
		END CASE;
		IF jsonb_array_length(found -> 'problems') > 0 THEN
			IF strict THEN
				RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('%s cannot be evaluated as it is', what),
					DETAIL = found -> 'problems' ->> 0;
			END IF;
			RAISE WARNING USING MESSAGE = format('%s cannot be evaluated as it is', what),
				DETAIL = found -> 'problems' ->> 0;
		END IF;
		item.asks := ARRAY(SELECT DISTINCT x FROM jsonb_array_elements_text(found -> 'flags') AS x ORDER BY x);
		item.needs := ARRAY(SELECT DISTINCT x FROM jsonb_array_elements_text(found -> 'needs') AS x ORDER BY x);
		item.refs := ARRAY(SELECT DISTINCT x FROM jsonb_array_elements_text(found -> 'refs') AS x ORDER BY x);
		RETURN item;
	END
	$$;
COMMENT ON FUNCTION hotdash._flag_item("char", text, jsonb, text, bool) IS
	'The row that a definition makes, but for its version: 22023, 54000; a rule that cannot be evaluated is a warning, strict: 22023';
REVOKE ALL ON FUNCTION hotdash._flag_item("char", text, jsonb, text, bool) FROM PUBLIC;

/*
 * What flags ask of each other
 */

CREATE FUNCTION hotdash._flag_asks() RETURNS TABLE (flag text, asks text, firm bool)
	LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
		WITH RECURSIVE asking AS MATERIALIZED (
			SELECT f.kind, f.key, f.asks, f.needs, f.refs FROM hotdash._flag AS f WHERE f.asks <> '{}' OR f.refs <> '{}'
		), via (flag, kind, key) AS (
			SELECT a.key, a.kind, a.key FROM asking AS a WHERE a.kind = 'f'
			UNION
			SELECT v.flag, 'e'::"char", r FROM via AS v JOIN asking AS a ON a.kind = v.kind AND a.key = v.key CROSS JOIN unnest(a.refs) AS r
		)
		SELECT v.flag, x, bool_or(x = ANY (a.needs))
		FROM via AS v JOIN asking AS a ON a.kind = v.kind AND a.key = v.key CROSS JOIN unnest(a.asks) AS x
		GROUP BY v.flag, x
	$$;
COMMENT ON FUNCTION hotdash._flag_asks() IS
	'Which flag asks which, itself or through evaluators; firm: the other must not be deleted, nor ask for it in turn';
REVOKE ALL ON FUNCTION hotdash._flag_asks() FROM PUBLIC;

CREATE FUNCTION hotdash._flags_lock_asks() RETURNS void
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		INSERT INTO hotdash._flag_version AS v (kind, key, version) VALUES ('g', '', 1)
			ON CONFLICT (kind, key) DO UPDATE SET version = v.version + 1
	$$;
COMMENT ON FUNCTION hotdash._flags_lock_asks() IS
	'Lets one transaction at a time change what flags ask; 40001 for one that does not see what the last has changed';
REVOKE ALL ON FUNCTION hotdash._flags_lock_asks() FROM PUBLIC;

CREATE FUNCTION hotdash._flags_check_asks() RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * On a cycle one can go for ever, so at any depth there is one of its flags: those at the bound are looked at.
	 */
	DECLARE
		most constant int := 32;
		deep text[];
		cycle text[];
	BEGIN
		WITH RECURSIVE edge AS MATERIALIZED (SELECT a.flag, a.asks FROM hotdash._flag_asks() AS a WHERE a.firm),
		walk (flag, depth) AS (
			SELECT e.flag, 0 FROM edge AS e
			UNION
			SELECT e.asks, w.depth + 1 FROM walk AS w JOIN edge AS e ON e.flag = w.flag WHERE w.depth <= most
		)
		SELECT array_agg(w.flag ORDER BY w.flag COLLATE "C") INTO deep FROM walk AS w WHERE w.depth > most;
		IF deep IS NULL THEN
			RETURN;
		END IF;

		WITH RECURSIVE edge AS MATERIALIZED (SELECT a.flag, a.asks FROM hotdash._flag_asks() AS a WHERE a.firm),
		onward (start, flag) AS (
			SELECT e.flag, e.asks FROM edge AS e WHERE e.flag = ANY (deep)
			UNION
			SELECT o.start, e.asks FROM onward AS o JOIN edge AS e ON e.flag = o.flag
		), ring AS (
			SELECT min(o.start COLLATE "C") AS start FROM onward AS o WHERE o.flag = o.start
		), back (flag) AS (
			SELECT e.flag FROM edge AS e JOIN ring AS r ON e.asks = r.start
			UNION
			SELECT e.flag FROM back AS b JOIN edge AS e ON e.asks = b.flag
		)
		SELECT array_agg(DISTINCT o.flag COLLATE "C") INTO cycle
			FROM onward AS o JOIN ring AS r ON r.start = o.start
			WHERE o.flag IN (SELECT b.flag FROM back AS b);
		IF cycle IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('flag "%s" would ask for itself', cycle[1]),
				DETAIL = format('A cycle goes through: %s.', array_to_string(cycle[:10], ', '));
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
			MESSAGE = format('flags must not ask each other more than %s deep', most),
			DETAIL = format('A longer chain ends at flag "%s".', deep[1]);
	END
	$$;
COMMENT ON FUNCTION hotdash._flags_check_asks() IS
	'Raises 22023 when a flag would ask for itself, 54000 when the chain of those that are asked is too long';
REVOKE ALL ON FUNCTION hotdash._flags_check_asks() FROM PUBLIC;

/*
 * Changes
 */

CREATE FUNCTION hotdash._flags_differ(items hotdash._flag[]) RETURNS hotdash._flag[]
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RETURN (SELECT coalesce(array_agg(ROW(i.*)::hotdash._flag ORDER BY i.kind, i.key), '{}')
			FROM unnest(items) AS i LEFT JOIN hotdash._flag AS f ON f.kind = i.kind AND f.key = i.key
			WHERE i.definition IS DISTINCT FROM f.definition);
	END
	$$;
COMMENT ON FUNCTION hotdash._flags_differ(hotdash._flag[]) IS 'Those that are not as they are to be, sorted';
REVOKE ALL ON FUNCTION hotdash._flags_differ(hotdash._flag[]) FROM PUBLIC;

CREATE FUNCTION hotdash._flags_write(items hotdash._flag[], note text DEFAULT NULL, whole_set bool DEFAULT false) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * Items without a definition are deleted. The caller checks afterwards what flags ask, when this says so. A flag
	 * that is set waits for whoever is changing it, even if it is as wanted; a whole set, which is mostly as it was,
	 * looks first.
	 */
	DECLARE
		now_at constant timestamptz := hotdash._now();
		asking bool;
	BEGIN
		IF whole_set THEN
			items := hotdash._flags_differ(items);
			IF items = '{}' THEN
				RETURN false;
			END IF;
		END IF;
		PERFORM hotdash._instance_use();
		PERFORM hotdash._flag_use_begin();
		asking := EXISTS (SELECT FROM unnest(items) AS i WHERE i.definition IS NULL OR i.asks <> '{}' OR i.refs <> '{}');
		IF asking THEN
			PERFORM hotdash._flags_lock_asks();
		END IF;
		INSERT INTO hotdash._flag_version (kind, key, version)
			SELECT i.kind, i.key, 0 FROM unnest(items) AS i ORDER BY i.kind, i.key
			ON CONFLICT DO NOTHING;
		PERFORM FROM unnest(items) AS i JOIN hotdash._flag_version AS v ON v.kind = i.kind AND v.key = i.key
			ORDER BY v.kind, v.key FOR UPDATE OF v;
		-- Whoever was waited for may have done the same.
		items := hotdash._flags_differ(items);
		IF items = '{}' THEN
			RETURN false;
		END IF;

		WITH next AS (
			UPDATE hotdash._flag_version AS v SET version = v.version + 1
			FROM unnest(items) AS i WHERE v.kind = i.kind AND v.key = i.key
			RETURNING v.kind, v.key, v.version, i.definition, i.changed_by, i.asks, i.needs, i.refs
		), version AS (
			INSERT INTO hotdash._flag_history AS h (kind, key, version, definition, changed_at, changed_by, changed_role, note)
			SELECT n.kind, n.key, n.version, n.definition, greatest(now_at, b.changed_at), n.changed_by, hotdash._acting_role(),
				_flags_write.note
			FROM next AS n
			LEFT JOIN hotdash._flag_history AS b ON b.kind = n.kind AND b.key = n.key AND b.version = n.version - 1
			RETURNING h.kind, h.key, h.changed_at
		), gone AS (
			DELETE FROM hotdash._flag AS f USING next AS n WHERE n.definition IS NULL AND f.kind = n.kind AND f.key = n.key
		)
		INSERT INTO hotdash._flag AS f (kind, key, version, definition, changed_at, changed_by, asks, needs, refs)
			SELECT n.kind, n.key, n.version, n.definition, v.changed_at, n.changed_by, n.asks, n.needs, n.refs
			FROM next AS n JOIN version AS v ON v.kind = n.kind AND v.key = n.key
			WHERE n.definition IS NOT NULL
			ON CONFLICT (kind, key) DO UPDATE
			SET version = excluded.version, definition = excluded.definition, changed_at = excluded.changed_at,
				changed_by = excluded.changed_by, asks = excluded.asks, needs = excluded.needs, refs = excluded.refs;
		RETURN asking;
	END
	$$;
COMMENT ON FUNCTION hotdash._flags_write(hotdash._flag[], text, bool) IS
	'Makes a new version of those that are not as given; true when what flags ask of each other may have changed';
REVOKE ALL ON FUNCTION hotdash._flags_write(hotdash._flag[], text, bool) FROM PUBLIC;

CREATE FUNCTION hotdash._flags_check_deleted(keys text[], firm bool) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* After they were deleted, under the lock of what flags ask. */
	DECLARE
		asked record;
	BEGIN
		SELECT a.asks AS key, array_agg(a.flag ORDER BY a.flag COLLATE "C") AS askers INTO asked
			FROM hotdash._flag_asks() AS a
			WHERE a.asks = ANY (keys) AND a.firm >= _flags_check_deleted.firm GROUP BY a.asks ORDER BY a.asks COLLATE "C" LIMIT 1;
		IF FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'dependent_objects_still_exist',
				MESSAGE = format('cannot delete flag "%s" because other flags ask for it', asked.key),
				DETAIL = format('It is asked for by: %s%s.', array_to_string(asked.askers[:10], ', '),
					CASE WHEN cardinality(asked.askers) > 10 THEN format(' and %s more', cardinality(asked.askers) - 10) ELSE '' END),
				HINT = 'Change or delete these first, or switch it off: a flag with state DISABLED keeps its key.';
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._flags_check_deleted(text[], bool) IS
	'Raises 2BP01 when flags that are there ask for one of these; firm: but for those that know what that means';
REVOKE ALL ON FUNCTION hotdash._flags_check_deleted(text[], bool) FROM PUBLIC;

CREATE FUNCTION hotdash.flag_set(key text, definition jsonb, by text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(key, 'key');
		PERFORM hotdash._require_arg(definition, 'definition');
		IF hotdash._flags_write(ARRAY[hotdash._flag_item('f', key, definition, hotdash._flag_by(by))]) THEN
			PERFORM hotdash._flags_check_asks();
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash.flag_set(text, jsonb, text) IS
	'Makes a flag, or a new version of it when the definition is another; by: who, else the role';
REVOKE ALL ON FUNCTION hotdash.flag_set(text, jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash.flag_delete(key text, by text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(key, 'key');
		IF NOT hotdash._flags_write(ARRAY[hotdash._flag_item('f', key, NULL, hotdash._flag_by(by))]) THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('flag "%s" does not exist', left(key, 255));
		END IF;
		PERFORM hotdash._flags_check_deleted(ARRAY[key], false);
	END
	$$;
COMMENT ON FUNCTION hotdash.flag_delete(text, text) IS
	'Deletes a flag; its versions stay, and flag_rollback brings one back; 2BP01 while other flags ask for it';
REVOKE ALL ON FUNCTION hotdash.flag_delete(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash.flag_rollback(key text, version int, by text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		then_it_was jsonb;
	BEGIN
		PERFORM hotdash._require_arg(key, 'key');
		PERFORM hotdash._require_arg(version, 'version');
		SELECT h.definition INTO then_it_was FROM hotdash._flag_history AS h
			WHERE h.kind = 'f' AND h.key = flag_rollback.key AND h.version = flag_rollback.version;
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object',
				MESSAGE = format('flag "%s" has no version %s', left(key, 255), version);
		END IF;
		IF then_it_was IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('version %s of flag "%s" is its deletion', version, key),
				HINT = 'flag_delete() deletes a flag.';
		END IF;
		IF hotdash._flags_write(ARRAY[hotdash._flag_item('f', key, then_it_was, hotdash._flag_by(by))],
				format('rollback to version %s', version)) THEN
			PERFORM hotdash._flags_check_asks();
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash.flag_rollback(text, int, text) IS
	'A new version of a flag with the definition of an earlier one, also after it was deleted';
REVOKE ALL ON FUNCTION hotdash.flag_rollback(text, int, text) FROM PUBLIC;

/*
 * Views
 */

CREATE FUNCTION hotdash._flag_diff(before jsonb, after jsonb, path text DEFAULT '') RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Objects member by member, arrays of one length element by element; all else is as a whole, and what is deep within. */
	DECLARE
		within constant bool := length(path) - length(replace(path, '/', '')) < 64;
		names text[];
	BEGIN
		IF before IS NOT DISTINCT FROM after THEN
			RETURN '[]';
		END IF;
		IF within AND jsonb_typeof(before) = 'object' AND jsonb_typeof(after) = 'object' THEN
			names := ARRAY(SELECT jsonb_object_keys(before || after));
			RETURN coalesce((SELECT jsonb_agg(d.change ORDER BY n COLLATE "C", d.place)
				FROM unnest(names) AS n
				CROSS JOIN LATERAL jsonb_array_elements(hotdash._flag_diff(before -> n, after -> n,
					path || '/' || replace(replace(n, '~', '~0'), '/', '~1'))) WITH ORDINALITY AS d (change, place)), '[]');
		END IF;
		IF within AND jsonb_typeof(before) = 'array' AND jsonb_typeof(after) = 'array'
			AND jsonb_array_length(before) = jsonb_array_length(after) THEN
			RETURN coalesce((SELECT jsonb_agg(d.change ORDER BY i, d.place)
				FROM generate_series(0, jsonb_array_length(before) - 1) AS i
				CROSS JOIN LATERAL jsonb_array_elements(hotdash._flag_diff(before -> i, after -> i, path || '/' || i))
					WITH ORDINALITY AS d (change, place)), '[]');
		END IF;
		RETURN jsonb_build_array(jsonb_build_object('path', path)
			|| CASE WHEN before IS NULL THEN '{}' ELSE jsonb_build_object('before', before) END
			|| CASE WHEN after IS NULL THEN '{}' ELSE jsonb_build_object('after', after) END);
	END
	$$;
COMMENT ON FUNCTION hotdash._flag_diff(jsonb, jsonb, text) IS
	'What is different: [{"path": JSON pointer, "before": …, "after": …}], without before or after where there was none';
REVOKE ALL ON FUNCTION hotdash._flag_diff(jsonb, jsonb, text) FROM PUBLIC;

CREATE VIEW hotdash.flags WITH (security_invoker = true) AS
	SELECT f.key, coalesce(f.definition ->> 'state', 'ENABLED') AS state, f.definition ->> 'defaultVariant' AS default_variant,
		f.definition -> 'variants' AS variants, f.definition -> 'targeting' AS targeting,
		coalesce(f.definition ->> 'bucketing', nullif(current_setting('hotdash.flag_bucketing', true), ''), 'flagd-v2') AS bucketing,
		coalesce(f.definition ->> 'dialect', 'js') AS dialect, f.asks AS needs, f.refs,
		f.definition -> 'metadata' ->> 'description' AS description, f.definition -> 'metadata' AS metadata,
		f.version, f.changed_at, f.changed_by, f.definition
	FROM hotdash._flag AS f
	WHERE f.kind = 'f';
COMMENT ON VIEW hotdash.flags IS
	'Feature flags; needs: flags that it asks; bucketing: its own, else what hotdash.flag_bucketing says in this session';

CREATE VIEW hotdash.flag_history WITH (security_invoker = true) AS
	SELECT h.key, h.version, h.definition, hotdash._flag_diff(b.definition, h.definition) AS changes,
		h.changed_at, h.changed_by, h.changed_role, h.note,
		CASE h.kind WHEN 'f' THEN 'flag' WHEN 'e' THEN 'evaluator' ELSE 'metadata' END AS kind
	FROM hotdash._flag_history AS h
	LEFT JOIN hotdash._flag_history AS b ON b.kind = h.kind AND b.key = h.key AND b.version = h.version - 1;
COMMENT ON VIEW hotdash.flag_history IS
	'Every version of flags, evaluators and metadata, with what it changed; definition is null where it was deleted';
