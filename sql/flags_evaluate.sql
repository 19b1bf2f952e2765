/*
 * flags_evaluate.sql: asking flags.
 *
 * None of these functions writes, and none raises for a bad flag or a bad context: the default comes back, and
 * flag_evaluate says why. They are STABLE: within a statement the same question has the same answer, and the next
 * statement sees what has been committed before it (extension/flags/cache.h). They run as their caller and read the
 * flags directly, so nobody needs rights on tables.
 */

CREATE TYPE hotdash.flag_result AS (
	value jsonb,
	variant text,
	reason text,
	error_code text,
	error_message text,
	metadata jsonb
);
COMMENT ON TYPE hotdash.flag_result IS
	'What a flag answers: OpenFeature''s value, variant, reason, error code and metadata';

CREATE TYPE hotdash.flag_key_result AS (
	key text,
	value jsonb,
	variant text,
	reason text,
	error_code text,
	error_message text,
	metadata jsonb
);
COMMENT ON TYPE hotdash.flag_key_result IS 'What one of several flags answers';

CREATE FUNCTION hotdash.flag_enabled(key text, context jsonb DEFAULT NULL, default_value bool DEFAULT NULL)
	RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_flags_sql_enabled' LANGUAGE C STABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hotdash.flag_enabled(text, jsonb, bool) IS
	'Whether a flag is on in a context; the default (false) where it is missing, disabled or no boolean';
REVOKE ALL ON FUNCTION hotdash.flag_enabled(text, jsonb, bool) FROM PUBLIC;

CREATE FUNCTION hotdash.flag_enabled_for(key text, targeting_key text)
	RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_flags_sql_enabled_for' LANGUAGE C STABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hotdash.flag_enabled_for(text, text) IS
	'Whether a flag is on for a unit: flag_enabled with a context of nothing but the targetingKey, and faster';
REVOKE ALL ON FUNCTION hotdash.flag_enabled_for(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash.flag_require(key text, context jsonb DEFAULT NULL)
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_flags_sql_require' LANGUAGE C STABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hotdash.flag_require(text, jsonb) IS 'Raises XD201 unless a flag is on in a context';
REVOKE ALL ON FUNCTION hotdash.flag_require(text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.flag_text(key text, default_value text, context jsonb DEFAULT NULL)
	RETURNS text
	AS 'MODULE_PATHNAME', 'hd_flags_sql_text' LANGUAGE C STABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hotdash.flag_text(text, text, jsonb) IS 'A flag''s string, else the default';
REVOKE ALL ON FUNCTION hotdash.flag_text(text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.flag_number(key text, default_value float8, context jsonb DEFAULT NULL)
	RETURNS float8
	AS 'MODULE_PATHNAME', 'hd_flags_sql_number' LANGUAGE C STABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hotdash.flag_number(text, float8, jsonb) IS 'A flag''s number, else the default';
REVOKE ALL ON FUNCTION hotdash.flag_number(text, float8, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.flag_json(key text, default_value jsonb, context jsonb DEFAULT NULL)
	RETURNS jsonb
	AS 'MODULE_PATHNAME', 'hd_flags_sql_json' LANGUAGE C STABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hotdash.flag_json(text, jsonb, jsonb) IS
	'A flag''s value, where it is of the default''s type, else the default; a default of null fits any';
REVOKE ALL ON FUNCTION hotdash.flag_json(text, jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.flag_evaluate(key text, default_value jsonb, context jsonb DEFAULT NULL)
	RETURNS hotdash.flag_result
	AS 'MODULE_PATHNAME', 'hd_flags_sql_evaluate' LANGUAGE C STABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hotdash.flag_evaluate(text, jsonb, jsonb) IS
	'A flag''s value with variant, reason and error code; a default of null fits any type';
REVOKE ALL ON FUNCTION hotdash.flag_evaluate(text, jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.flag_evaluate_all(context jsonb DEFAULT NULL)
	RETURNS SETOF hotdash.flag_key_result
	AS 'MODULE_PATHNAME', 'hd_flags_sql_evaluate_all' LANGUAGE C STABLE PARALLEL SAFE COST 100 ROWS 100;
COMMENT ON FUNCTION hotdash.flag_evaluate_all(jsonb) IS 'All flags in a context, in the order of their keys';
REVOKE ALL ON FUNCTION hotdash.flag_evaluate_all(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.flag_evaluate_at(key text, at timestamptz, default_value jsonb, context jsonb DEFAULT NULL)
	RETURNS hotdash.flag_result
	AS 'MODULE_PATHNAME', 'hd_flags_sql_evaluate_at' LANGUAGE C STABLE PARALLEL UNSAFE COST 1000;
COMMENT ON FUNCTION hotdash.flag_evaluate_at(text, timestamptz, jsonb, jsonb) IS
	'What flag_evaluate would have answered at a time: flags, evaluators and segments as they were, the context as given';
REVOKE ALL ON FUNCTION hotdash.flag_evaluate_at(text, timestamptz, jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.flag_explain(key text, context jsonb DEFAULT NULL)
	RETURNS jsonb
	AS 'MODULE_PATHNAME', 'hd_flags_sql_explain' LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION hotdash.flag_explain(text, jsonb) IS
	'Why a flag answers what it answers: what decided, the attributes read, hash and bucket, the context as merged';
REVOKE ALL ON FUNCTION hotdash.flag_explain(text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._flag_place(definition jsonb, targeting_key text, context jsonb)
	RETURNS int
	AS 'MODULE_PATHNAME', 'hd_flags_sql_place' LANGUAGE C STABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hotdash._flag_place(jsonb, text, jsonb) IS
	'The variant that a definition gives a unit, by its place among their names; 0: the caller''s default, -1: an error';
REVOKE ALL ON FUNCTION hotdash._flag_place(jsonb, text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.flag_audience(definition jsonb, relation regclass, key_column name, context_columns jsonb DEFAULT NULL)
	RETURNS TABLE (variant text, units bigint)
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	#variable_conflict use_column
	DECLARE
		context text := 'NULL';
	BEGIN
		PERFORM hotdash._require_arg(definition, 'definition');
		PERFORM hotdash._require_arg(relation, 'relation');
		PERFORM hotdash._require_arg(key_column, 'key_column');
		PERFORM hotdash._flag_check('', definition);
		IF jsonb_typeof(context_columns) IS NOT NULL THEN
			IF jsonb_typeof(context_columns) <> 'object' THEN
				RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
					MESSAGE = 'context_columns is not an object',
					HINT = 'Name an attribute and its column: {"plan": "plan_name"}.';
			END IF;
			SELECT format('jsonb_build_object(%s)', string_agg(format('%L, x.%I', c.key, c.value), ', ')) INTO context
				FROM jsonb_each_text(context_columns) AS c;
		END IF;
		RETURN QUERY EXECUTE format(
			'WITH counted AS MATERIALIZED (
				SELECT hotdash._flag_place($1, x.%1$I::text, %2$s) AS place, count(*) AS units FROM %3$s AS x GROUP BY 1
			)
			SELECT CASE WHEN c.place > 0 THEN v.name END, sum(c.units)::bigint
			FROM counted AS c
			LEFT JOIN jsonb_object_keys($1 -> ''variants'') WITH ORDINALITY AS v (name, place) ON v.place = c.place
			GROUP BY 1 ORDER BY 1', key_column, coalesce(context, 'NULL'), relation) USING definition;
	END
	$$;
COMMENT ON FUNCTION hotdash.flag_audience(jsonb, regclass, name, jsonb) IS
	'How many rows of a relation would get which variant of a definition, NULL for none; "key" in the definition is the flag''s';
REVOKE ALL ON FUNCTION hotdash.flag_audience(jsonb, regclass, name, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.flag_bucket(algorithm text, salt text, unit text)
	RETURNS float8
	AS 'MODULE_PATHNAME', 'hd_flags_sql_bucket' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hotdash.flag_bucket(text, text, text) IS
	'Where a unit falls in [0, 1), by one of the bucketings: salt is flag key, group or seed';
REVOKE ALL ON FUNCTION hotdash.flag_bucket(text, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash.jsonlogic(rule jsonb, data jsonb, dialect text DEFAULT NULL)
	RETURNS jsonb
	AS 'MODULE_PATHNAME', 'hd_flags_sql_jsonlogic' LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hotdash.jsonlogic(jsonb, jsonb, text) IS
	'What a JsonLogic rule gives for data; what it throws is 22023, with the error''s type as message';
REVOKE ALL ON FUNCTION hotdash.jsonlogic(jsonb, jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._flag_check(key text, definition jsonb)
	RETURNS jsonb
	AS 'MODULE_PATHNAME', 'hd_flags_sql_check' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._flag_check(text, jsonb) IS
	'What a definition asks for: flags, needs, segments, refs, problems; 22023 or 54000 when it is none';
REVOKE ALL ON FUNCTION hotdash._flag_check(text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._flags_changed()
	RETURNS trigger
	AS 'MODULE_PATHNAME', 'hd_flags_sql_changed' LANGUAGE C;
COMMENT ON FUNCTION hotdash._flags_changed() IS 'Tells all sessions that flags have changed';
REVOKE ALL ON FUNCTION hotdash._flags_changed() FROM PUBLIC;

CREATE FUNCTION hotdash._flags_evaluate_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT l, o FROM unnest(ARRAY['viewer', 'producer', 'worker', 'operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.flag_enabled(text, jsonb, bool)', 'hotdash.flag_enabled_for(text, text)',
				'hotdash.flag_require(text, jsonb)', 'hotdash.flag_text(text, text, jsonb)',
				'hotdash.flag_number(text, float8, jsonb)', 'hotdash.flag_json(text, jsonb, jsonb)',
				'hotdash.flag_evaluate(text, jsonb, jsonb)', 'hotdash.flag_evaluate_all(jsonb)',
				'hotdash.flag_bucket(text, text, text)', 'hotdash.jsonlogic(jsonb, jsonb, text)']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['viewer', 'operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.flag_evaluate_at(text, timestamptz, jsonb, jsonb)',
				'hotdash.flag_explain(text, jsonb)', 'hotdash.flag_audience(jsonb, regclass, name, jsonb)',
				'hotdash._flag_place(jsonb, text, jsonb)', 'hotdash._flag_check(text, jsonb)']) AS o
	$$;
COMMENT ON FUNCTION hotdash._flags_evaluate_rights() IS 'What each access level may ask of the flags';
REVOKE ALL ON FUNCTION hotdash._flags_evaluate_rights() FROM PUBLIC;
