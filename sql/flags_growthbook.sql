/*
 * flags_growthbook.sql: documents of GrowthBook, in and out.
 *
 * A feature becomes a flag whose rule is the operator hd_growthbook with the feature as it came; docs/flags_growthbook.md
 * tells what becomes of what. So an export has but to collect what was kept, and refuses what was changed by hand since,
 * because GrowthBook would not know of it.
 */

CREATE FUNCTION hotdash._flag_from_growthbook(key text, kind text, body jsonb, saved_groups jsonb, bandits jsonb) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'hd_flags_sql_from_growthbook' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._flag_from_growthbook(text, text, jsonb, jsonb, jsonb) IS
	'The definition of a flag that evaluates a feature or an experiment of GrowthBook; 22023 for one that cannot be carried over';
REVOKE ALL ON FUNCTION hotdash._flag_from_growthbook(text, text, jsonb, jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._growthbook_check(document jsonb, options jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* What the document as a whole must be; its features and experiments are looked at one by one. */
	DECLARE
		types constant jsonb := '{"features": "object", "experiments": "array", "savedGroups": "object", "contextualBandits": "object"}';
		wrong text;
	BEGIN
		SELECT o.key INTO wrong FROM jsonb_each(options) AS o
			WHERE o.key <> 'experiments' OR jsonb_typeof(o.value) NOT IN ('boolean', 'null') LIMIT 1;
		IF wrong IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = CASE wrong WHEN 'experiments' THEN 'option "experiments" must be a JSON boolean'
					ELSE format('unrecognized option "%s"', wrong) END,
				DETAIL = 'Known for GrowthBook are by, dry_run, experiments, replace, strict.';
		END IF;
		IF jsonb_typeof(document) <> 'object' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a GrowthBook document must be a JSON object';
		END IF;
		SELECT d.key INTO wrong FROM jsonb_each(document) AS d
			WHERE d.key LIKE 'encrypted%' AND d.value <> '""' AND d.value <> 'null' ORDER BY d.key LIMIT 1;
		IF wrong IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('"%s" of a GrowthBook document cannot be imported', wrong),
				DETAIL = 'An encrypted document would need its key in a statement, where logs would keep it.',
				HINT = 'Decrypt it first, or use an SDK connection without encryption.';
		END IF;
		SELECT t.key INTO wrong FROM jsonb_each_text(types) AS t
			WHERE document ? t.key AND jsonb_typeof(document -> t.key) NOT IN ('null', t.value) ORDER BY t.key LIMIT 1;
		IF wrong IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('"%s" of a GrowthBook document must be a JSON %s', wrong, types ->> wrong);
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._growthbook_check(jsonb, jsonb) IS 'Raises 22023 for what is no document of GrowthBook, and for options that its import does not have';
REVOKE ALL ON FUNCTION hotdash._growthbook_check(jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._growthbook_experiments(document jsonb, options jsonb) RETURNS TABLE (key text, body jsonb)
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* An experiment outside of features is a flag under its own key, which must be nobody else's. */
	DECLARE
		listed constant jsonb := CASE WHEN coalesce((options ->> 'experiments')::bool, true) THEN nullif(document -> 'experiments', 'null') END;
		nameless bigint;
		taken text;
	BEGIN
		nameless := min(e.n) FROM jsonb_array_elements(listed) WITH ORDINALITY AS e (body, n)
			WHERE jsonb_typeof(e.body -> 'key') IS DISTINCT FROM 'string';
		IF nameless IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('experiment %s of a GrowthBook document has no key', nameless);
		END IF;
		SELECT e.body ->> 'key' INTO taken FROM jsonb_array_elements(listed) AS e (body)
			GROUP BY 1 HAVING count(*) > 1 OR (document -> 'features' ? (e.body ->> 'key')) IS TRUE ORDER BY 1 LIMIT 1;
		IF taken IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('experiment "%s" of GrowthBook cannot be imported', left(taken, 100)),
				DETAIL = 'Another experiment or a feature has the same key.',
				HINT = 'The option {"experiments": false} imports features alone.';
		END IF;
		RETURN QUERY SELECT e.body ->> 'key', e.body FROM jsonb_array_elements(listed) AS e (body);
	END
	$$;
COMMENT ON FUNCTION hotdash._growthbook_experiments(jsonb, jsonb) IS 'The experiments of a GrowthBook document by their keys';
REVOKE ALL ON FUNCTION hotdash._growthbook_experiments(jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._flags_from_growthbook(document jsonb, options jsonb) RETURNS TABLE (key text, definition jsonb)
	LANGUAGE plpgsql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		groups constant jsonb := nullif(document -> 'savedGroups', 'null');
		bandits constant jsonb := nullif(document -> 'contextualBandits', 'null');
	BEGIN
		PERFORM hotdash._growthbook_check(document, options);
		RETURN QUERY SELECT f.key, hotdash._flag_from_growthbook(f.key, 'feature', f.value, groups, bandits)
			FROM jsonb_each(nullif(document -> 'features', 'null')) AS f;
		RETURN QUERY SELECT e.key, hotdash._flag_from_growthbook(e.key, 'experiment', e.body, groups, bandits)
			FROM hotdash._growthbook_experiments(document, options) AS e;
	END
	$$;
COMMENT ON FUNCTION hotdash._flags_from_growthbook(jsonb, jsonb) IS 'The flags that a document of GrowthBook makes';
REVOKE ALL ON FUNCTION hotdash._flags_from_growthbook(jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._growthbook_kept(key text, definition jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* What a flag was made from, if that would make the same flag again. Metadata does not count: GrowthBook has none. */
	DECLARE
		kept constant jsonb := definition #> '{targeting,hd_growthbook}';
		kind constant text := CASE WHEN kept ? 'feature' THEN 'feature' ELSE 'experiment' END;
	BEGIN
		IF kept IS NULL OR kept ->> 'key' <> key OR definition - 'metadata' <> hotdash._flag_from_growthbook(key, kind,
				kept -> kind, kept -> 'savedGroups', kept -> 'contextualBandits') THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('flag "%s" cannot be told to GrowthBook', left(key, 100)),
				DETAIL = CASE WHEN kept IS NULL THEN 'It was not imported from there.' ELSE 'It was changed after it was imported from there.' END;
		END IF;
		RETURN kept || jsonb_build_object('kind', kind);
	END
	$$;
COMMENT ON FUNCTION hotdash._growthbook_kept(text, jsonb) IS 'What a flag keeps of GrowthBook; 22023 where its definition says more than that';
REVOKE ALL ON FUNCTION hotdash._growthbook_kept(text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._growthbook_shared(parts jsonb, name text) RETURNS jsonb
	LANGUAGE plpgsql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* One name has one meaning in a document; flags imported at different times may have kept two. */
	DECLARE
		torn text;
	BEGIN
		SELECT e.key INTO torn FROM jsonb_array_elements(parts) AS p, jsonb_each(p -> name) AS e
			GROUP BY e.key HAVING count(DISTINCT e.value) > 1 ORDER BY e.key LIMIT 1;
		IF torn IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('"%s" of %s differs between flags imported from GrowthBook', left(torn, 100), name),
				HINT = 'Import the whole document again.';
		END IF;
		RETURN coalesce((SELECT jsonb_build_object(name, jsonb_object_agg(e.key, e.value))
			FROM jsonb_array_elements(parts) AS p, jsonb_each(p -> name) AS e HAVING count(*) > 0), '{}');
	END
	$$;
COMMENT ON FUNCTION hotdash._growthbook_shared(jsonb, text) IS 'The saved groups or the bandits that flags kept, as a member of a document, where there are any';
REVOKE ALL ON FUNCTION hotdash._growthbook_shared(jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._flags_to_growthbook() RETURNS jsonb
	LANGUAGE plpgsql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		parts jsonb;
		shared text;
		document jsonb;
	BEGIN
		SELECT coalesce(jsonb_agg(hotdash._growthbook_kept(f.key, f.definition) ORDER BY f.key), '[]') INTO parts
			FROM hotdash._flag AS f WHERE f.kind = 'f' AND f.definition -> 'targeting' ? 'hd_growthbook';
		document := jsonb_build_object('features', coalesce((SELECT jsonb_object_agg(p ->> 'key', p -> 'feature')
			FROM jsonb_array_elements(parts) AS p WHERE p ->> 'kind' = 'feature'), '{}'));
		IF jsonb_path_exists(parts, '$[*].experiment') THEN
			document := document || jsonb_build_object('experiments', jsonb_path_query_array(parts, '$[*].experiment'));
		END IF;
		FOREACH shared IN ARRAY ARRAY['savedGroups', 'contextualBandits'] LOOP
			document := document || hotdash._growthbook_shared(parts, shared);
		END LOOP;
		RETURN document;
	END
	$$;
COMMENT ON FUNCTION hotdash._flags_to_growthbook() IS 'The flags that were imported from GrowthBook as its document; 22023 where one was changed since';
REVOKE ALL ON FUNCTION hotdash._flags_to_growthbook() FROM PUBLIC;
