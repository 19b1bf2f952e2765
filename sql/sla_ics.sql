/*
 * sla_ics.sql: holidays of calendars from iCalendar text.
 *
 * An import adds dates to the holidays of a calendar's definition and takes none away; what is a holiday already, as a
 * date or as a day of every year, stays as it is. So a feed can be imported again and again.
 *
 * Locks: as sla_calendars.sql says; the row of the calendar first, so that two imports at once add up.
 */

CREATE FUNCTION hotdash._calendar_ics(ics text, time_zone text) RETURNS TABLE (day date, name text)
	AS 'MODULE_PATHNAME', 'hd_sla_sql_calendar_ics' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._calendar_ics(text, text) IS
	'The whole days of a zone that the events of an iCalendar text cover, in the order of the text, with what they are called';
REVOKE ALL ON FUNCTION hotdash._calendar_ics(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._calendar_new_holidays(definition jsonb, ics text) RETURNS jsonb
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
		WITH known AS (
			SELECT coalesce(h ->> 'date', h #>> '{}') AS date FROM jsonb_array_elements(definition -> 'holidays') AS h
		), given AS (
			SELECT DISTINCT ON (d.day) to_char(d.day, 'YYYY-MM-DD') AS date, to_char(d.day, 'MM-DD') AS yearly, d.name
			FROM ROWS FROM (hotdash._calendar_ics(ics, definition ->> 'time_zone')) WITH ORDINALITY AS d (day, name, place)
			ORDER BY d.day, d.place
		)
		SELECT coalesce(jsonb_agg(CASE WHEN g.name IS NULL THEN to_jsonb(g.date)
			ELSE jsonb_build_object('date', g.date, 'name', g.name) END ORDER BY g.date), '[]')
		FROM given AS g
		-- NOT IN, which is hashed whatever the planner guesses of functions
		WHERE g.date NOT IN (SELECT k.date FROM known AS k) AND g.yearly NOT IN (SELECT k.date FROM known AS k)
	$$;
COMMENT ON FUNCTION hotdash._calendar_new_holidays(jsonb, text) IS
	'The holidays of an iCalendar text that a calendar''s definition has not, as a definition has them';
REVOKE ALL ON FUNCTION hotdash._calendar_new_holidays(jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash.calendar_import_ics(name text, ics text) RETURNS int
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		k hotdash._calendar;
		definition jsonb;
		added jsonb;
	BEGIN
		PERFORM hotdash._require_arg(name, 'name');
		PERFORM hotdash._require_arg(ics, 'ics');
		SELECT * INTO k FROM hotdash._calendar AS c WHERE c.name = calendar_import_ics.name FOR NO KEY UPDATE;
		IF NOT FOUND THEN
			PERFORM hotdash._calendar_fail_missing(name);
		END IF;
		SELECT v.definition INTO definition FROM hotdash._calendar_version AS v
			WHERE v.calendar = k.id AND v.version = k.version;
		added := hotdash._calendar_new_holidays(definition, ics);
		IF added <> '[]' THEN
			PERFORM hotdash.calendar_set(name, jsonb_set(definition, '{holidays}',
				coalesce(definition -> 'holidays', '[]') || added));
		END IF;
		RETURN jsonb_array_length(added);
	END
	$$;
COMMENT ON FUNCTION hotdash.calendar_import_ics(text, text) IS
	'Adds the whole days that the events of an iCalendar text cover to the holidays of a calendar; how many dates are new. Events that repeat do so from 1970 to 2099';
REVOKE ALL ON FUNCTION hotdash.calendar_import_ics(text, text) FROM PUBLIC;
