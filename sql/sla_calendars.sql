/*
 * sla_calendars.sql: calendars: when it is business time, and how much of it lies between two instants.
 */

/*
 * Business time by lane: private, for clocks
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
