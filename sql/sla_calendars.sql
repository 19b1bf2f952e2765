/*
 * sla_calendars.sql: calendars: when it is business time, how much of it lies between two instants, and what calendars
 * said before.
 *
 * Versions. Each calendar_set that changes something makes a version; its row never changes, so what a clock was
 * judged by can always be told. A definition governs all time, also what is past, unless it has "from": the dates
 * before that stay as another version (before) had them. A deletion is a version without a definition; the row of the
 * calendar stays, without a name.
 *
 * Epochs. B(t), the open time from 2000 to an instant, is a coordinate that clocks keep. As long as versions are open at
 * the same times up to the instant at which they are set, their coordinates mean the same: they are versions of one
 * epoch, whose last one counts. A version that changes what is past begins another epoch, and the clocks of the former go
 * on in it until they are moved over (_sla_rebase). The past ends an hour after the clock's now: others may have seen
 * the former version as late as this transaction commits, and events may come a minute early.
 *
 * A lane is twice an epoch, and one more for clocks whose due point at closing time means the next opening. Epoch 0 is
 * the wall clock.
 *
 * Locks: the row of _calendar, by who changes it, and by who refers to it in a policy. Two who make a calendar of one name
 * wait for each other at its unique index.
 */

/*
 * Tables
 */

CREATE SEQUENCE hotdash._calendar_seq AS int;
COMMENT ON SEQUENCE hotdash._calendar_seq IS 'Numbers of calendars';
SELECT pg_catalog.pg_extension_config_dump('hotdash._calendar_seq', '');

CREATE SEQUENCE hotdash._calendar_epoch_seq AS int MAXVALUE 1073741823;
COMMENT ON SEQUENCE hotdash._calendar_epoch_seq IS 'Numbers of epochs; twice one is a lane';
SELECT pg_catalog.pg_extension_config_dump('hotdash._calendar_epoch_seq', '');

CREATE TABLE hotdash._calendar (
	id int PRIMARY KEY,
	name text COLLATE "C" UNIQUE,
	version int NOT NULL,
	epoch int NOT NULL
) WITH (fillfactor = 70);
COMMENT ON TABLE hotdash._calendar IS 'Calendars, each with the version that holds now';
COMMENT ON COLUMN hotdash._calendar.name IS 'NULL: it was deleted';
COMMENT ON COLUMN hotdash._calendar.epoch IS 'In which the version''s business time is counted';
SELECT pg_catalog.pg_extension_config_dump('hotdash._calendar', '');

CREATE TABLE hotdash._calendar_version (
	calendar int NOT NULL,
	version int NOT NULL,
	before int,
	definition jsonb,
	epoch int NOT NULL,
	changed_at timestamptz NOT NULL,
	changed_by text NOT NULL,
	PRIMARY KEY (calendar, version)
);
COMMENT ON TABLE hotdash._calendar_version IS 'Every version of every calendar';
COMMENT ON COLUMN hotdash._calendar_version.before IS 'The version that governs the dates before "from"; NULL: none does';
COMMENT ON COLUMN hotdash._calendar_version.definition IS 'As it was given; NULL: this version was a deletion';
SELECT pg_catalog.pg_extension_config_dump('hotdash._calendar_version', '');

CREATE TABLE hotdash._calendar_epoch (
	id int PRIMARY KEY,
	calendar int NOT NULL,
	version int NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX _calendar_epoch_calendar ON hotdash._calendar_epoch (calendar);
COMMENT ON TABLE hotdash._calendar_epoch IS 'Epochs of calendars, in which points of business time can be compared';
COMMENT ON COLUMN hotdash._calendar_epoch.version IS 'Its last version, which counts';
SELECT pg_catalog.pg_extension_config_dump('hotdash._calendar_epoch', '');

REVOKE ALL ON hotdash._calendar, hotdash._calendar_version, hotdash._calendar_epoch FROM PUBLIC;
REVOKE ALL ON SEQUENCE hotdash._calendar_seq, hotdash._calendar_epoch_seq FROM PUBLIC;

CREATE FUNCTION hotdash._calendars_changed() RETURNS trigger
	AS 'MODULE_PATHNAME', 'hd_sla_sql_calendars_changed' LANGUAGE C;
COMMENT ON FUNCTION hotdash._calendars_changed() IS 'Tells all sessions that calendars have changed';
REVOKE ALL ON FUNCTION hotdash._calendars_changed() FROM PUBLIC;

-- A subscription applies rows, and no statements: the triggers of rows are fired for it alone.
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hotdash._calendar
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._calendars_changed();
ALTER TABLE hotdash._calendar ENABLE ALWAYS TRIGGER changed;
CREATE TRIGGER applied AFTER INSERT OR UPDATE OR DELETE ON hotdash._calendar
	FOR EACH ROW EXECUTE FUNCTION hotdash._calendars_changed();
ALTER TABLE hotdash._calendar ENABLE REPLICA TRIGGER applied;
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hotdash._calendar_epoch
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._calendars_changed();
ALTER TABLE hotdash._calendar_epoch ENABLE ALWAYS TRIGGER changed;
CREATE TRIGGER applied AFTER INSERT OR UPDATE OR DELETE ON hotdash._calendar_epoch
	FOR EACH ROW EXECUTE FUNCTION hotdash._calendars_changed();
ALTER TABLE hotdash._calendar_epoch ENABLE REPLICA TRIGGER applied;

/*
 * Business time by name
 */

CREATE FUNCTION hotdash.business_time_between(calendar text, from_ts timestamptz, to_ts timestamptz) RETURNS interval
	AS 'MODULE_PATHNAME', 'hd_sla_sql_business_time_between' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash.business_time_between(text, timestamptz, timestamptz) IS
	'How much open time of a calendar lies between two instants, in hours, minutes and seconds; 0 where the second is not later';
REVOKE ALL ON FUNCTION hotdash.business_time_between(text, timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash.business_time_add(calendar text, from_ts timestamptz, amount interval, at_close text DEFAULT 'close')
	RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'hd_sla_sql_business_time_add' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash.business_time_add(text, timestamptz, interval, text) IS
	'When so much open time of a calendar has passed: at a close that very instant, or with at_close => ''open'' the next opening; a negative amount goes back to the latest such instant';
REVOKE ALL ON FUNCTION hotdash.business_time_add(text, timestamptz, interval, text) FROM PUBLIC;

CREATE FUNCTION hotdash.business_open(calendar text, at timestamptz) RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_sla_sql_business_open' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash.business_open(text, timestamptz) IS
	'Whether a calendar is open at an instant; at the close it is not';
REVOKE ALL ON FUNCTION hotdash.business_open(text, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash.business_days_add(calendar text, from_ts timestamptz, days int) RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'hd_sla_sql_business_days_add' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash.business_days_add(text, timestamptz, int) IS
	'The same local time so many days with open time later, or earlier where the number is negative';
REVOKE ALL ON FUNCTION hotdash.business_days_add(text, timestamptz, int) FROM PUBLIC;

/*
 * Business time by lane, for clocks
 */

CREATE FUNCTION hotdash._business_at(lane int, at timestamptz) RETURNS bigint
	AS 'MODULE_PATHNAME', 'hd_sla_sql_business_at' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._business_at(int, timestamptz) IS 'Where an instant lies in the business time of a lane';
REVOKE ALL ON FUNCTION hotdash._business_at(int, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._business_instant(lane int, b bigint) RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'hd_sla_sql_business_instant' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._business_instant(int, bigint) IS
	'The instant of a point in the business time of a lane: the first, or, of a lane whose points at closing time mean the next opening, the last; infinity where none is before 2400';
REVOKE ALL ON FUNCTION hotdash._business_instant(int, bigint) FROM PUBLIC;

CREATE FUNCTION hotdash._business_past(lane int, now timestamptz) RETURNS bigint
	AS 'MODULE_PATHNAME', 'hd_sla_sql_business_past' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._business_past(int, timestamptz) IS
	'The last point in the business time of a lane whose instant has passed';
REVOKE ALL ON FUNCTION hotdash._business_past(int, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._business_days(calendar int, version int, from_ts timestamptz, to_ts timestamptz)
	RETURNS TABLE (day date, rule text, note text, opens timestamptz, closes timestamptz)
	AS 'MODULE_PATHNAME', 'hd_sla_sql_business_days' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._business_days(int, int, timestamptz, timestamptz) IS
	'What governs each date of a span, and when it is open within the span: rule hours (note: the weekday) or shift, a row for each open stretch, without times where there is none; closed (note: the weekday), holiday (note: its name), skipped; and break beside these';
REVOKE ALL ON FUNCTION hotdash._business_days(int, int, timestamptz, timestamptz) FROM PUBLIC;

/*
 * Definition
 */

CREATE FUNCTION hotdash._calendar_check(definition jsonb) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_sla_sql_calendar_check' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._calendar_check(jsonb) IS 'Raises 22023 for what defines no calendar, 54000 for what is too large';
REVOKE ALL ON FUNCTION hotdash._calendar_check(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._calendar_same(calendar int, version int, definition jsonb, before int, until_ts timestamptz) RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_sla_sql_calendar_same' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._calendar_same(int, int, jsonb, int, timestamptz) IS
	'Whether a definition is open when a version is, up to an instant; before: the version for what is before its "from", 0: none';
REVOKE ALL ON FUNCTION hotdash._calendar_same(int, int, jsonb, int, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._calendar_before(calendar int, version int, definition jsonb) RETURNS int
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- Versions that begin no earlier than this one would govern nothing any more, but for the first of all.
		WITH RECURSIVE past AS (
			SELECT v.before, v.version, v.definition ->> 'from' AS start
			FROM hotdash._calendar_version AS v
			WHERE v.calendar = _calendar_before.calendar AND v.version = _calendar_before.version
				AND _calendar_before.definition ? 'from'
			UNION ALL
			SELECT v.before, v.version, v.definition ->> 'from'
			FROM past AS p
			JOIN hotdash._calendar_version AS v ON v.calendar = _calendar_before.calendar AND v.version = p.before
			WHERE p.start >= _calendar_before.definition ->> 'from'
		)
		SELECT min(p.version) FROM past AS p
	$$;
COMMENT ON FUNCTION hotdash._calendar_before(int, int, jsonb) IS
	'The version that governs the dates before a definition''s "from", of those up to a version; NULL: none does';
REVOKE ALL ON FUNCTION hotdash._calendar_before(int, int, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._calendar_lock(name text) RETURNS hotdash._calendar
	LANGUAGE plpgsql VOLATILE STRICT
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		k hotdash._calendar;
	BEGIN
		LOOP
			SELECT * INTO k FROM hotdash._calendar AS c WHERE c.name = _calendar_lock.name FOR NO KEY UPDATE;
			EXIT WHEN FOUND;
			-- Whoever makes one of the same name is waited for.
			INSERT INTO hotdash._calendar AS c VALUES (nextval('hotdash._calendar_seq'), name, 0, 0) ON CONFLICT DO NOTHING;
		END LOOP;
		RETURN k;
	END
	$$;
COMMENT ON FUNCTION hotdash._calendar_lock(text) IS
	'The row of a calendar, locked; version 0: it was made for this';
REVOKE ALL ON FUNCTION hotdash._calendar_lock(text) FROM PUBLIC;

CREATE FUNCTION hotdash._calendar_put(k hotdash._calendar, definition jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		past constant int := hotdash._calendar_before(k.id, k.version, definition);
		next constant int := k.version + 1;
		epoch_id int := k.epoch;
		same bool := false;
	BEGIN
		IF k.version > 0 THEN
			same := hotdash._calendar_same(k.id, k.version, definition, coalesce(past, 0),
				hotdash._now() + interval '1 hour');
		END IF;
		IF NOT same THEN
			epoch_id := nextval('hotdash._calendar_epoch_seq');
		END IF;
		INSERT INTO hotdash._calendar_version (calendar, version, before, definition, epoch, changed_at, changed_by)
		VALUES (k.id, next, past, definition, epoch_id, hotdash._now(), hotdash._acting_role());
		INSERT INTO hotdash._calendar_epoch AS e (id, calendar, version) VALUES (epoch_id, k.id, next)
		ON CONFLICT ON CONSTRAINT _calendar_epoch_pkey DO UPDATE SET version = excluded.version;
		UPDATE hotdash._calendar AS c SET version = next, epoch = epoch_id WHERE c.id = k.id;
	END
	$$;
COMMENT ON FUNCTION hotdash._calendar_put(hotdash._calendar, jsonb) IS 'Makes the next version of a calendar that is locked';
REVOKE ALL ON FUNCTION hotdash._calendar_put(hotdash._calendar, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._calendar_says(name text, definition jsonb) RETURNS bool
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT EXISTS (SELECT FROM hotdash._calendar AS c
			JOIN hotdash._calendar_version AS v ON v.calendar = c.id AND v.version = c.version
			WHERE c.name = _calendar_says.name AND v.definition = _calendar_says.definition)
	$$;
COMMENT ON FUNCTION hotdash._calendar_says(text, jsonb) IS 'Whether a calendar has that definition';
REVOKE ALL ON FUNCTION hotdash._calendar_says(text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.calendar_set(name text, definition jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		k hotdash._calendar;
	BEGIN
		PERFORM hotdash._require_arg(name, 'name');
		PERFORM hotdash._require_arg(definition, 'definition');
		IF name = '' OR octet_length(name) > 63 OR name ~ '[[:cntrl:]]' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'invalid name of a calendar',
				DETAIL = 'It has 1 to 63 bytes and no control characters.';
		END IF;
		PERFORM hotdash._calendar_check(definition);
		IF hotdash._calendar_says(name, definition) THEN
			RETURN;
		END IF;
		PERFORM hotdash._instance_use();
		k := hotdash._calendar_lock(name);
		-- Another may have said the same while this one waited.
		IF NOT hotdash._calendar_says(name, definition) THEN
			PERFORM hotdash._calendar_put(k, definition);
			PERFORM hotdash._sla_rebase(k.id);
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash.calendar_set(text, jsonb) IS
	'Defines a calendar, or defines it anew, for all time or from a date on; a change of what is to come changes no clock, one of the past moves clocks over';
REVOKE ALL ON FUNCTION hotdash.calendar_set(text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._calendar_in_use(calendar int) RETURNS text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		policy text;
	BEGIN
		SELECT p.name INTO policy FROM hotdash._sla_policy AS p JOIN hotdash._sla_policy_version AS v ON v.id = p.version_id
			WHERE v.calendar = _calendar_in_use.calendar ORDER BY p.name LIMIT 1;
		IF FOUND THEN
			RETURN format('SLA policy "%s" counts by it.', policy);
		END IF;
		IF EXISTS (SELECT FROM hotdash._calendar_epoch AS e CROSS JOIN generate_series(0, 1) AS rule (at_open)
			JOIN hotdash._sla_clock AS c ON c.lane = e.id * 2 + rule.at_open AND c.closed_at IS NULL
			WHERE e.calendar = _calendar_in_use.calendar)
		THEN
			RETURN 'SLA clocks that are open count by it.';
		END IF;
		RETURN NULL;
	END
	$$;
COMMENT ON FUNCTION hotdash._calendar_in_use(int) IS 'What a calendar cannot be deleted for, as a sentence; NULL: nothing';
REVOKE ALL ON FUNCTION hotdash._calendar_in_use(int) FROM PUBLIC;

CREATE FUNCTION hotdash._calendar_fail_missing(name text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('calendar "%s" does not exist', left(name, 63)),
			HINT = 'View calendars lists those there are; calendar_set defines one.';
	END
	$$;
COMMENT ON FUNCTION hotdash._calendar_fail_missing(text) IS 'Raises 42704';
REVOKE ALL ON FUNCTION hotdash._calendar_fail_missing(text) FROM PUBLIC;

CREATE FUNCTION hotdash.calendar_delete(name text) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		k hotdash._calendar;
		use text;
	BEGIN
		PERFORM hotdash._require_arg(name, 'name');
		SELECT * INTO k FROM hotdash._calendar AS c WHERE c.name = calendar_delete.name FOR UPDATE;
		IF NOT FOUND THEN
			PERFORM hotdash._calendar_fail_missing(name);
		END IF;
		use := hotdash._calendar_in_use(k.id);
		IF use IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'dependent_objects_still_exist',
				MESSAGE = format('calendar "%s" is in use', name), DETAIL = use;
		END IF;
		INSERT INTO hotdash._calendar_version (calendar, version, epoch, changed_at, changed_by)
		VALUES (k.id, k.version + 1, k.epoch, hotdash._now(), hotdash._acting_role());
		UPDATE hotdash._calendar AS c SET name = NULL, version = k.version + 1 WHERE c.id = k.id;
	END
	$$;
COMMENT ON FUNCTION hotdash.calendar_delete(text) IS
	'Deletes a calendar that nothing counts by: 2BP01 while a policy or an open clock does. Its versions stay, for clocks that are closed';
REVOKE ALL ON FUNCTION hotdash.calendar_delete(text) FROM PUBLIC;

CREATE FUNCTION hotdash._calendar_id(name text) RETURNS int
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		id int;
	BEGIN
		-- Locked, so that it is not deleted before what refers to it is there.
		SELECT c.id INTO id FROM hotdash._calendar AS c WHERE c.name = _calendar_id.name FOR KEY SHARE;
		IF NOT FOUND THEN
			PERFORM hotdash._calendar_fail_missing(name);
		END IF;
		RETURN id;
	END
	$$;
COMMENT ON FUNCTION hotdash._calendar_id(text) IS 'The number of a calendar, for a row that refers to it; 42704 when there is none';
REVOKE ALL ON FUNCTION hotdash._calendar_id(text) FROM PUBLIC;

CREATE VIEW hotdash.calendars WITH (security_invoker = true) AS
	SELECT c.name, v.definition ->> 'time_zone' AS time_zone, c.version, v.changed_at, v.changed_by, v.definition
	FROM hotdash._calendar AS c
	JOIN hotdash._calendar_version AS v ON v.calendar = c.id AND v.version = c.version
	WHERE c.name IS NOT NULL;
COMMENT ON VIEW hotdash.calendars IS 'Calendars as they are';
REVOKE ALL ON hotdash.calendars FROM PUBLIC;

CREATE FUNCTION hotdash._calendars_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT l, o FROM unnest(ARRAY['viewer', 'producer', 'worker', 'operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.business_time_between(text, timestamptz, timestamptz)',
				'hotdash.business_time_add(text, timestamptz, interval, text)', 'hotdash.business_open(text, timestamptz)',
				'hotdash.business_days_add(text, timestamptz, int)']) AS o
		UNION ALL
		SELECT l, 'view:calendars' FROM unnest(ARRAY['viewer', 'operator', 'admin']) AS l
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.calendar_set(text, jsonb)', 'hotdash.calendar_delete(text)', 'hotdash.calendar_import_ics(text, text)']) AS o
	$$;
COMMENT ON FUNCTION hotdash._calendars_rights() IS 'What each access level may use of calendars';
REVOKE ALL ON FUNCTION hotdash._calendars_rights() FROM PUBLIC;
