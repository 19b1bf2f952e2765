/*
 * flags_unleash.sql: flags of Unleash, in and out.
 *
 * Documents are what Unleash's clients get: a state, {"features": [...], "segments": [...]}, or a delta, {"events": [...]}.
 * Each feature becomes a flag whose rule has the feature as it stands there, beside the segments that its strategies
 * name:
 *
 *	{"state": "ENABLED", "bucketing": "unleash", "defaultVariant": "disabled",
 *	 "variants": {"enabled": true, "disabled": false, and each of its variants: the payload, or true},
 *	 "targeting": {"hd_unleash": {"feature": {...}, "segments": [...], "json": {...}}}, "metadata": {...}}
 *
 * The operator evaluates it as Unleash's clients do (extension/flags/unleash.c). The variants are for people and for
 * hotdash.flag_overrides; two strategies may have variants of one name with different payloads, which only the feature
 * can say. json has the payloads of that type, parsed, by their text. The state is ENABLED also where Unleash's is not:
 * what is not enabled there is off, for everybody, whereas DISABLED would leave it to the caller.
 *
 * Segments come once and are used by many, and a delta names them without repeating them. So they are kept in
 * _flag_unleash_segment as well; a delta that changes one also changes the flags that have it, in the same import. A state
 * says what segments there are from then on, and changes no flag that it does not have.
 *
 * What a document says that makes no sense is refused, 22023 with the name of the flag; nothing of it is imported then.
 */

CREATE TABLE hotdash._flag_unleash_segment (
	id bigint PRIMARY KEY,
	segment jsonb NOT NULL
);
COMMENT ON TABLE hotdash._flag_unleash_segment IS 'Segments of Unleash as the last documents had them, for deltas to come';
SELECT pg_catalog.pg_extension_config_dump('hotdash._flag_unleash_segment', '');

CREATE FUNCTION hotdash._flag_unleash_refuse(what text, detail text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		IF detail IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = what;
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = what, DETAIL = detail;
	END
	$$;
COMMENT ON FUNCTION hotdash._flag_unleash_refuse(text, text) IS 'Raises 22023';
REVOKE ALL ON FUNCTION hotdash._flag_unleash_refuse(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._flag_unleash_json(source text) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RETURN source::jsonb;
	EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
		RETURN NULL;
	END
	$$;
COMMENT ON FUNCTION hotdash._flag_unleash_json(text) IS 'The JSON that a payload is, null where it is none';
REVOKE ALL ON FUNCTION hotdash._flag_unleash_json(text) FROM PUBLIC;

CREATE FUNCTION hotdash._flag_unleash_segment_ids(feature jsonb) RETURNS SETOF bigint
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT DISTINCT id::bigint FROM jsonb_path_query(feature, '$.strategies[*].segments[*]') AS id
		WHERE jsonb_typeof(id) = 'number' AND id::text ~ '^-?[0-9]{1,18}$'
	$$;
COMMENT ON FUNCTION hotdash._flag_unleash_segment_ids(jsonb) IS 'The segments that a feature''s strategies name';
REVOKE ALL ON FUNCTION hotdash._flag_unleash_segment_ids(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._flag_from_unleash(feature jsonb, segments jsonb) RETURNS jsonb
	LANGUAGE sql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
		WITH variant AS (
			SELECT v.value AS variant, v.ordinality AS place
			FROM jsonb_path_query(feature, '$.strategies[*].variants[*]') WITH ORDINALITY AS v (value, ordinality)
			UNION ALL
			SELECT v.value, v.ordinality + 1000000
			FROM jsonb_path_query(feature, '$.variants[*]') WITH ORDINALITY AS v (value, ordinality)
		), named AS (
			SELECT DISTINCT ON (v.variant ->> 'name') v.variant ->> 'name' AS name,
				CASE jsonb_typeof(v.variant -> 'payload') WHEN 'object' THEN v.variant -> 'payload' ELSE 'true' END AS payload
			FROM variant AS v WHERE jsonb_typeof(v.variant -> 'name') = 'string'
			ORDER BY v.variant ->> 'name', v.place
		), parsed AS (
			SELECT p.value, hotdash._flag_unleash_json(p.value) AS json
			FROM (SELECT DISTINCT v.variant -> 'payload' ->> 'value' AS value FROM variant AS v
				WHERE v.variant -> 'payload' ->> 'type' = 'json') AS p
		), told AS (
			SELECT m.name, feature -> m.name AS value
			FROM unnest(ARRAY['description', 'impressionData', 'project', 'stale', 'type']) AS m (name)
			WHERE jsonb_typeof(feature -> m.name) IN ('string', 'number', 'boolean')
		)
		SELECT jsonb_build_object('state', 'ENABLED', 'bucketing', 'unleash', 'defaultVariant', 'disabled',
			'variants', jsonb_build_object('enabled', true, 'disabled', false)
				|| coalesce((SELECT jsonb_object_agg(n.name, n.payload) FROM named AS n), '{}'),
			'targeting', jsonb_build_object('hd_unleash', jsonb_build_object('feature', feature,
				'segments', coalesce((SELECT jsonb_agg(segments -> id::text ORDER BY id)
					FROM hotdash._flag_unleash_segment_ids(feature) AS id WHERE segments ? id::text), '[]'))
				|| coalesce((SELECT jsonb_build_object('json', jsonb_object_agg(p.value, p.json))
					FROM parsed AS p WHERE p.json IS NOT NULL HAVING count(*) > 0), '{}')))
			|| coalesce((SELECT jsonb_build_object('metadata', jsonb_object_agg(t.name, t.value))
				FROM told AS t HAVING count(*) > 0), '{}')
	$$;
COMMENT ON FUNCTION hotdash._flag_from_unleash(jsonb, jsonb) IS
	'The definition of a flag for a feature and an object of segments by their ids';
REVOKE ALL ON FUNCTION hotdash._flag_from_unleash(jsonb, jsonb) FROM PUBLIC;

/*
 * Reading documents
 */

CREATE FUNCTION hotdash._flag_unleash_features(list jsonb) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		twice text;
	BEGIN
		IF jsonb_typeof(list) IS DISTINCT FROM 'array'
			OR EXISTS (SELECT FROM jsonb_array_elements(list) AS f WHERE jsonb_typeof(f -> 'name') IS DISTINCT FROM 'string') THEN
			PERFORM hotdash._flag_unleash_refuse('features of Unleash must be an array of JSON objects with a "name"');
		END IF;
		SELECT min(f ->> 'name') INTO twice FROM jsonb_array_elements(list) AS f
			GROUP BY f -> 'name' HAVING count(DISTINCT f) > 1 ORDER BY 1 LIMIT 1;
		IF twice IS NOT NULL THEN
			PERFORM hotdash._flag_unleash_refuse(format('flag "%s" is given twice, and not the same', left(twice, 255)));
		END IF;
		RETURN (SELECT coalesce(jsonb_object_agg(f ->> 'name', f), '{}') FROM jsonb_array_elements(list) AS f);
	END
	$$;
COMMENT ON FUNCTION hotdash._flag_unleash_features(jsonb) IS 'An array of features as an object by their names, or 22023';
REVOKE ALL ON FUNCTION hotdash._flag_unleash_features(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._flag_unleash_segments(list jsonb) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		IF list IS NULL OR list = 'null' THEN
			RETURN '{}';
		END IF;
		IF jsonb_typeof(list) <> 'array'
			OR EXISTS (SELECT FROM jsonb_array_elements(list) AS s
				WHERE jsonb_typeof(s -> 'id') IS DISTINCT FROM 'number' OR s ->> 'id' !~ '^-?[0-9]{1,18}$') THEN
			PERFORM hotdash._flag_unleash_refuse('segments of Unleash must be an array of JSON objects with a whole number "id"');
		END IF;
		RETURN (SELECT coalesce(jsonb_object_agg(s ->> 'id', s), '{}') FROM jsonb_array_elements(list) AS s);
	END
	$$;
COMMENT ON FUNCTION hotdash._flag_unleash_segments(jsonb) IS 'An array of segments as an object by their ids, or 22023';
REVOKE ALL ON FUNCTION hotdash._flag_unleash_segments(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._flags_unleash_check_events(events jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		event jsonb;
		wrong text;
	BEGIN
		IF jsonb_typeof(events) <> 'array' THEN
			PERFORM hotdash._flag_unleash_refuse('events of Unleash must be a JSON array');
		END IF;
		FOR event IN SELECT e FROM jsonb_array_elements(events) AS e LOOP
			CASE event ->> 'type'
				WHEN 'hydration' THEN
					PERFORM hotdash._flag_unleash_features(event -> 'features'), hotdash._flag_unleash_segments(event -> 'segments');
				WHEN 'feature-updated' THEN
					PERFORM hotdash._flag_unleash_features(jsonb_build_array(event -> 'feature'));
				WHEN 'segment-updated' THEN
					PERFORM hotdash._flag_unleash_segments(jsonb_build_array(event -> 'segment'));
				WHEN 'feature-removed' THEN
					wrong := CASE WHEN jsonb_typeof(event -> 'featureName') IS DISTINCT FROM 'string' THEN 'featureName' END;
				WHEN 'segment-removed' THEN
					wrong := CASE WHEN jsonb_typeof(event -> 'segmentId') IS DISTINCT FROM 'number' THEN 'segmentId' END;
				ELSE
					PERFORM hotdash._flag_unleash_refuse(
						format('unrecognized event "%s" of Unleash', left(coalesce(event ->> 'type', ''), 100)),
						'Known are hydration, feature-updated, feature-removed, segment-updated, segment-removed.');
			END CASE;
			IF wrong IS NOT NULL THEN
				PERFORM hotdash._flag_unleash_refuse(format('an event %s of Unleash has no "%s"', event ->> 'type', wrong));
			END IF;
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash._flags_unleash_check_events(jsonb) IS 'Raises 22023 for what is no delta';
REVOKE ALL ON FUNCTION hotdash._flags_unleash_check_events(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._flags_unleash_events(events jsonb, INOUT segments jsonb, OUT features jsonb, OUT changed jsonb)
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * A hydration is a state, and nothing before the last one counts. Of what came after it the last word on each feature
	 * and each segment does; null is for what was removed.
	 */
	DECLARE
		begin_at constant bigint := coalesce((SELECT max(e.ordinality) FROM jsonb_array_elements(events) WITH ORDINALITY AS e
			WHERE e.value ->> 'type' = 'hydration'), 0);
		state constant jsonb := events -> (begin_at - 1)::int;
	BEGIN
		features := '{}';
		IF begin_at > 0 THEN
			features := hotdash._flag_unleash_features(state -> 'features');
			segments := hotdash._flag_unleash_segments(state -> 'segments');
		END IF;
		SELECT features || coalesce(jsonb_object_agg(l.name, l.feature), '{}') INTO features FROM (
			SELECT DISTINCT ON (n.name) n.name, e.value -> 'feature' AS feature
			FROM jsonb_array_elements(events) WITH ORDINALITY AS e
			CROSS JOIN LATERAL (SELECT coalesce(e.value -> 'feature' ->> 'name', e.value ->> 'featureName') COLLATE "C" AS name) AS n
			WHERE e.ordinality > begin_at AND e.value ->> 'type' IN ('feature-updated', 'feature-removed')
			ORDER BY n.name, e.ordinality DESC) AS l;
		SELECT coalesce(jsonb_object_agg(l.id, l.segment), '{}') INTO changed FROM (
			SELECT DISTINCT ON (n.id) n.id, e.value -> 'segment' AS segment
			FROM jsonb_array_elements(events) WITH ORDINALITY AS e
			CROSS JOIN LATERAL (SELECT coalesce(e.value -> 'segment' ->> 'id', e.value ->> 'segmentId') COLLATE "C" AS id) AS n
			WHERE e.ordinality > begin_at AND e.value ->> 'type' IN ('segment-updated', 'segment-removed')
			ORDER BY n.id, e.ordinality DESC) AS l;
		SELECT coalesce(jsonb_object_agg(s.key, s.value), '{}') INTO segments
			FROM jsonb_each(segments || changed) AS s WHERE s.value <> 'null';
	END
	$$;
COMMENT ON FUNCTION hotdash._flags_unleash_events(jsonb, jsonb) IS
	'What a delta makes of features and segments, both as objects, and which segments it changed';
REVOKE ALL ON FUNCTION hotdash._flags_unleash_events(jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._flags_unleash_keep(segments jsonb) RETURNS void
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		DELETE FROM hotdash._flag_unleash_segment AS s WHERE NOT segments ? s.id::text;
		INSERT INTO hotdash._flag_unleash_segment AS s (id, segment)
			SELECT n.key::bigint, n.value FROM jsonb_each(segments) AS n ORDER BY n.key::bigint
			ON CONFLICT (id) DO UPDATE SET segment = excluded.segment WHERE s.segment <> excluded.segment
	$$;
COMMENT ON FUNCTION hotdash._flags_unleash_keep(jsonb) IS 'Makes these the segments that are known, and no others';
REVOKE ALL ON FUNCTION hotdash._flags_unleash_keep(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._flags_unleash_users(segments jsonb) RETURNS jsonb
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT coalesce(jsonb_object_agg(f.key, f.definition -> 'targeting' -> 'hd_unleash' -> 'feature'), '{}')
		FROM hotdash._flag AS f
		WHERE f.kind = 'f' AND f.definition -> 'targeting' ? 'hd_unleash'
			AND EXISTS (SELECT FROM hotdash._flag_unleash_segment_ids(f.definition -> 'targeting' -> 'hd_unleash' -> 'feature') AS id
				WHERE segments ? id::text)
	$$;
COMMENT ON FUNCTION hotdash._flags_unleash_users(jsonb) IS 'Features of flags here that name one of these segments, by their names';
REVOKE ALL ON FUNCTION hotdash._flags_unleash_users(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._flags_from_unleash(document jsonb, options jsonb) RETURNS TABLE (key text, definition jsonb)
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		features jsonb;
		segments jsonb;
		changed jsonb := '{}';
		problem text;
	BEGIN
		IF options <> '{}' THEN
			PERFORM hotdash._flag_unleash_refuse(
				format('unrecognized option "%s"', (SELECT min(o) FROM jsonb_object_keys(options) AS o)),
				'Known are by, dry_run, replace, strict.');
		END IF;
		IF jsonb_typeof(document) <> 'object' OR NOT document ?| ARRAY['features', 'events'] THEN
			PERFORM hotdash._flag_unleash_refuse('a document of Unleash must be a JSON object with features or with events');
		END IF;
		LOCK TABLE hotdash._flag_unleash_segment IN SHARE ROW EXCLUSIVE MODE;
		IF document ? 'features' THEN
			features := hotdash._flag_unleash_features(document -> 'features');
			segments := hotdash._flag_unleash_segments(document -> 'segments');
		ELSE
			PERFORM hotdash._flags_unleash_check_events(document -> 'events');
			segments := coalesce((SELECT jsonb_object_agg(s.id, s.segment) FROM hotdash._flag_unleash_segment AS s), '{}');
			SELECT e.segments, e.features, e.changed INTO segments, features, changed
				FROM hotdash._flags_unleash_events(document -> 'events', segments) AS e;
		END IF;
		PERFORM hotdash._flags_unleash_keep(segments);

		FOR key, definition IN
			SELECT f.key, CASE WHEN f.value <> 'null' THEN hotdash._flag_from_unleash(f.value, segments) END
			FROM jsonb_each(hotdash._flags_unleash_users(changed) || features) AS f
			WHERE f.value <> 'null' OR EXISTS (SELECT FROM hotdash._flag AS x WHERE x.kind = 'f' AND x.key = f.key)
			ORDER BY f.key
		LOOP
			IF definition IS NOT NULL THEN
				problem := hotdash._flag_check(key, definition) -> 'problems' ->> 0;
			END IF;
			IF problem IS NOT NULL THEN
				PERFORM hotdash._flag_unleash_refuse(format('flag "%s" cannot be imported from Unleash', left(key, 255)), problem);
			END IF;
			RETURN NEXT;
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash._flags_from_unleash(jsonb, jsonb) IS
	'The flags that a document of Unleash makes, without a definition those that it removes; keeps its segments; 22023';
REVOKE ALL ON FUNCTION hotdash._flags_from_unleash(jsonb, jsonb) FROM PUBLIC;

/*
 * Writing documents
 */

CREATE FUNCTION hotdash._flags_to_unleash() RETURNS jsonb
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		features jsonb;
		segments jsonb;
		twice text;
	BEGIN
		SELECT coalesce(jsonb_agg(f.definition -> 'targeting' -> 'hd_unleash' -> 'feature' ORDER BY f.key), '[]') INTO features
			FROM hotdash._flag AS f WHERE f.kind = 'f' AND f.definition -> 'targeting' ? 'hd_unleash';
		WITH used AS (
			SELECT s AS segment FROM hotdash._flag AS f
			CROSS JOIN LATERAL jsonb_array_elements(f.definition -> 'targeting' -> 'hd_unleash' -> 'segments') AS s
			WHERE f.kind = 'f' AND f.definition -> 'targeting' ? 'hd_unleash'
			UNION
			SELECT k.segment FROM hotdash._flag_unleash_segment AS k
		)
		SELECT coalesce(jsonb_agg(u.segment ORDER BY (u.segment ->> 'id')::bigint), '[]'), min(u.twice) INTO segments, twice
			FROM (SELECT x.segment, CASE WHEN count(*) OVER (PARTITION BY x.segment -> 'id') > 1 THEN x.segment ->> 'id' END AS twice
				FROM used AS x) AS u;
		IF twice IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('segment %s is not the same in all flags from Unleash', twice),
				HINT = 'Import a state that has all of these flags, or delete those that are of an older one.';
		END IF;
		RETURN jsonb_build_object('version', 2, 'features', features, 'segments', segments);
	END
	$$;
COMMENT ON FUNCTION hotdash._flags_to_unleash() IS 'All flags that came from Unleash as the state that they came from';
REVOKE ALL ON FUNCTION hotdash._flags_to_unleash() FROM PUBLIC;
