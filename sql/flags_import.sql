/*
 * flags_import.sql: whole sets of flags, in and out.
 *
 * An import is one change: all of the document or none of it, visible in its own transaction at once. Flags that are as
 * the document has them get no new version, so the same document can be imported every minute. Evaluators and metadata
 * go first: the flags are checked against those that come with them.
 *
 * Replacing deletes what the document does not have: in format flagd everything, in another what came from there.
 *
 * Locks: as flags.sql says; evaluators and metadata come before flags there too.
 */

CREATE FUNCTION hotdash._flags_check_options(options jsonb, format text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Those of a format of its own are checked by who reads it. */
	DECLARE
		types constant jsonb := '{"by": "string", "dry_run": "boolean", "replace": "boolean", "strict": "boolean"}';
		wrong record;
	BEGIN
		IF jsonb_typeof(options) <> 'object' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'options must be a JSON object';
		END IF;
		SELECT o.key, types ->> o.key AS type INTO wrong FROM jsonb_each(options) AS o
			WHERE CASE WHEN types ? o.key THEN jsonb_typeof(o.value) NOT IN ('null', types ->> o.key) ELSE format = 'flagd' END
			ORDER BY o.key LIMIT 1;
		IF wrong.type IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('option "%s" must be a JSON %s', wrong.key, wrong.type);
		ELSIF wrong.key IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('unrecognized option "%s"', wrong.key),
				DETAIL = 'Known are by, dry_run, replace, strict.';
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._flags_check_options(jsonb, text) IS
	'Raises 22023 for options that flags_import does not have';
REVOKE ALL ON FUNCTION hotdash._flags_check_options(jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._flags_check_format(format text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		IF format <> ALL (ARRAY['flagd', 'growthbook', 'unleash']) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('unrecognized format of flags "%s"', left(format, 100)),
				DETAIL = 'Known are flagd, growthbook, unleash.';
		END IF;
		RETURN coalesce(format, 'flagd');
	END
	$$;
COMMENT ON FUNCTION hotdash._flags_check_format(text) IS 'The format, flagd where none is given, or 22023';
REVOKE ALL ON FUNCTION hotdash._flags_check_format(text) FROM PUBLIC;

CREATE FUNCTION hotdash._flags_from_flagd(document jsonb) RETURNS TABLE (kind "char", key text, definition jsonb)
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Flags are an object by key, or an array of flags that have their keys in them. */
	DECLARE
		wrong text;
	BEGIN
		IF jsonb_typeof(document) <> 'object' OR NOT document ?| ARRAY['flags', '$evaluators', 'metadata'] THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'a document of flags must be a JSON object with flags';
		END IF;
		SELECT min(x) INTO wrong FROM jsonb_object_keys(document) AS x
			WHERE x <> ALL (ARRAY['flags', '$evaluators', 'metadata', '$schema']);
		IF wrong IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('unrecognized member "%s" in a document of flags', left(wrong, 100)),
				DETAIL = 'Known are flags, $evaluators, metadata, $schema.';
		END IF;
		wrong := CASE WHEN jsonb_typeof(document -> 'flags') NOT IN ('object', 'array', 'null') THEN 'flags'
			WHEN jsonb_typeof(document -> '$evaluators') NOT IN ('object', 'null') THEN '$evaluators'
			WHEN jsonb_typeof(document -> 'metadata') NOT IN ('object', 'null') THEN 'metadata' END;
		IF wrong IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('"%s" in a document of flags must be a JSON object', wrong);
		END IF;

		RETURN QUERY SELECT 'e'::"char", e.key, e.value FROM jsonb_each(nullif(document -> '$evaluators', 'null')) AS e;
		RETURN QUERY SELECT 'm'::"char", '', document -> 'metadata' WHERE jsonb_typeof(document -> 'metadata') = 'object';
		IF jsonb_typeof(document -> 'flags') = 'array' THEN
			IF EXISTS (SELECT FROM jsonb_array_elements(document -> 'flags') AS f
					WHERE jsonb_typeof(f -> 'key') IS DISTINCT FROM 'string') THEN
				RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
					MESSAGE = 'flags in an array must be JSON objects with a "key"';
			END IF;
			SELECT min(f ->> 'key') INTO wrong FROM jsonb_array_elements(document -> 'flags') AS f
				GROUP BY f -> 'key' HAVING count(*) > 1;
			IF wrong IS NOT NULL THEN
				RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('flag "%s" is given twice', left(wrong, 255));
			END IF;
			RETURN QUERY SELECT 'f'::"char", f ->> 'key', f - 'key' FROM jsonb_array_elements(document -> 'flags') AS f;
		ELSE
			RETURN QUERY SELECT 'f'::"char", f.key, f.value FROM jsonb_each(nullif(document -> 'flags', 'null')) AS f;
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._flags_from_flagd(jsonb) IS 'What a document of flagd has, or 22023';
REVOKE ALL ON FUNCTION hotdash._flags_from_flagd(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._flags_absent(items hotdash._flag[], format text, by text) RETURNS hotdash._flag[]
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT coalesce(array_agg(hotdash._flag_item(f.kind, f.key, NULL, by)), '{}')
		FROM hotdash._flag AS f
		WHERE (format = 'flagd' OR f.kind = 'f' AND f.definition -> 'targeting' ? ('hd_' || format))
			AND NOT EXISTS (SELECT FROM unnest(items) AS i WHERE i.kind = f.kind AND i.key = f.key)
	$$;
COMMENT ON FUNCTION hotdash._flags_absent(hotdash._flag[], text, text) IS
	'Deletions of all that a document does not have and would have, were it there';
REVOKE ALL ON FUNCTION hotdash._flags_absent(hotdash._flag[], text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._flags_import(document jsonb, format text, options jsonb) RETURNS int
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		who constant text := hotdash._flag_by(options ->> 'by');
		note constant text := 'import of ' || format;
		demanding constant bool := coalesce((options ->> 'strict')::bool, false);
		replacing constant bool := coalesce((options ->> 'replace')::bool, false);
		items hotdash._flag[] := '{}';
		given int;
		asking bool := false;
	BEGIN
		IF format = 'flagd' THEN
			items := ARRAY(SELECT hotdash._flag_item(d.kind, d.key, d.definition, who, demanding)
				FROM hotdash._flags_from_flagd(document) AS d WHERE d.kind <> 'f' ORDER BY d.kind, d.key);
			IF hotdash._flags_differ(items) <> '{}' THEN
				PERFORM hotdash._flags_lock_asks();
				asking := hotdash._flags_write(items, note, true);
			END IF;
			items := items || ARRAY(SELECT hotdash._flag_item(d.kind, d.key, d.definition, who, demanding)
				FROM hotdash._flags_from_flagd(document) AS d WHERE d.kind = 'f' ORDER BY d.key);
		ELSIF format = 'unleash' THEN
			items := ARRAY(SELECT hotdash._flag_item('f', d.key, d.definition, who, demanding)
				FROM hotdash._flags_from_unleash(document, options - '{by,dry_run,replace,strict}'::text[]) AS d ORDER BY d.key);
		ELSE
			items := ARRAY(SELECT hotdash._flag_item('f', d.key, d.definition, who, demanding)
				FROM hotdash._flags_from_growthbook(document, options - '{by,dry_run,replace,strict}'::text[]) AS d ORDER BY d.key);
		END IF;
		given := count(*) FROM unnest(items) AS i WHERE i.kind = 'f';
		IF replacing THEN
			items := items || hotdash._flags_absent(items, format, who);
		END IF;
		asking := hotdash._flags_write(items, note, true) OR asking;
		IF asking THEN
			PERFORM hotdash._flags_check_deleted(
				ARRAY(SELECT i.key FROM unnest(items) AS i WHERE i.kind = 'f' AND i.definition IS NULL), true);
			PERFORM hotdash._flags_check_asks();
		END IF;
		RETURN given;
	END
	$$;
COMMENT ON FUNCTION hotdash._flags_import(jsonb, text, jsonb) IS 'Imports a document whose format and options were checked';
REVOKE ALL ON FUNCTION hotdash._flags_import(jsonb, text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._flags_try_import(document jsonb, format text, options jsonb) RETURNS int
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Done, counted and undone: so it fails where the import would. */
	DECLARE
		before constant jsonb := (SELECT coalesce(jsonb_object_agg(f.key, f.version), '{}') FROM hotdash._flag AS f WHERE f.kind = 'f');
		given int;
		told text;
	BEGIN
		BEGIN
			given := hotdash._flags_import(document, format, options);
			SELECT format('flags: %s new, %s changed, %s deleted, %s as they were',
					count(*) FILTER (WHERE b.key IS NULL), count(*) FILTER (WHERE f.version <> b.value::int),
					count(*) FILTER (WHERE f.key IS NULL), count(*) FILTER (WHERE f.version = b.value::int))
				INTO told
				FROM (SELECT x.key, x.version FROM hotdash._flag AS x WHERE x.kind = 'f') AS f
				FULL JOIN jsonb_each(before) AS b ON b.key = f.key;
			RAISE EXCEPTION USING ERRCODE = 'XD001';
		EXCEPTION WHEN SQLSTATE 'XD001' THEN
			RAISE NOTICE USING MESSAGE = told;
		END;
		RETURN given;
	END
	$$;
COMMENT ON FUNCTION hotdash._flags_try_import(jsonb, text, jsonb) IS
	'Imports a document and undoes it; a notice says what it would have changed';
REVOKE ALL ON FUNCTION hotdash._flags_try_import(jsonb, text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.flags_import(document jsonb, format text DEFAULT NULL, options jsonb DEFAULT NULL) RETURNS int
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(document, 'document');
		format := hotdash._flags_check_format(format);
		options := coalesce(options, '{}');
		PERFORM hotdash._flags_check_options(options, format);
		IF (options ->> 'dry_run')::bool THEN
			RETURN hotdash._flags_try_import(document, format, options);
		END IF;
		RETURN hotdash._flags_import(document, format, options);
	END
	$$;
COMMENT ON FUNCTION hotdash.flags_import(jsonb, text, jsonb) IS
	'Sets all flags of a document (flagd, unleash, growthbook) and returns their number; options by, dry_run, replace, strict';
REVOKE ALL ON FUNCTION hotdash.flags_import(jsonb, text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.flags_export(format text DEFAULT NULL) RETURNS jsonb
	LANGUAGE plpgsql STABLE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		CASE hotdash._flags_check_format(format)
			WHEN 'unleash' THEN RETURN hotdash._flags_to_unleash();
			WHEN 'growthbook' THEN RETURN hotdash._flags_to_growthbook();
			ELSE
				RETURN (SELECT jsonb_build_object('flags', coalesce(jsonb_object_agg(f.key, f.definition) FILTER (WHERE f.kind = 'f'), '{}'))
						|| CASE WHEN bool_or(f.kind = 'e') THEN
							jsonb_build_object('$evaluators', jsonb_object_agg(f.key, f.definition) FILTER (WHERE f.kind = 'e'))
							ELSE '{}' END
						|| CASE WHEN bool_or(f.kind = 'm') THEN
							jsonb_build_object('metadata', jsonb_agg(f.definition) FILTER (WHERE f.kind = 'm') -> 0)
							ELSE '{}' END
					FROM hotdash._flag AS f);
		END CASE;
	END
	$$;
COMMENT ON FUNCTION hotdash.flags_export(text) IS
	'All flags as one document of flagd, the default; as unleash or growthbook those that were imported from there';
REVOKE ALL ON FUNCTION hotdash.flags_export(text) FROM PUBLIC;
