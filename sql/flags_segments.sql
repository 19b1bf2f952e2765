/*
 * flags_segments.sql: segments: named sets of ids, of any size, that rules ask by hd_segment.
 *
 * A member is a row, found by one probe of the primary key (extension/flags/segments.c), and belongs to the transaction
 * that adds or removes it. Who was a member until when stays in _segment_past for hotdash.segment_history_retention, so
 * that a flag can be evaluated as of a time.
 *
 * Numbers of members are sums of what each call has changed (_segment_change), so that no two calls meet at a counter;
 * the tick makes one row out of many. As long as rows are written by these functions alone they are exact.
 *
 * Locks: members of a call in the order of the primary key, so calls that have members in common wait for one another
 * and never in a circle. Two transactions that each make several calls may: then one gets 40P01.
 *
 * Segments belong to the installation and to no tenant, as flags do.
 */

CREATE SEQUENCE hotdash._segment_id AS int;
COMMENT ON SEQUENCE hotdash._segment_id IS 'Numbers of segments';
SELECT pg_catalog.pg_extension_config_dump('hotdash._segment_id', '');

CREATE TABLE hotdash._segment (
	id int PRIMARY KEY,
	name text COLLATE "C" NOT NULL UNIQUE,
	created_at timestamptz NOT NULL
);
COMMENT ON TABLE hotdash._segment IS 'Segments by name';
SELECT pg_catalog.pg_extension_config_dump('hotdash._segment', '');
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hotdash._segment
	FOR EACH STATEMENT EXECUTE FUNCTION hotdash._flags_changed();
ALTER TABLE hotdash._segment ENABLE ALWAYS TRIGGER changed;
CREATE TRIGGER applied AFTER INSERT OR UPDATE OR DELETE ON hotdash._segment
	FOR EACH ROW EXECUTE FUNCTION hotdash._flags_changed();
ALTER TABLE hotdash._segment ENABLE REPLICA TRIGGER applied;

CREATE FUNCTION hotdash._segment_place(segment_id int, member text) RETURNS bigint
	AS 'MODULE_PATHNAME', 'hd_flags_sql_segment_place' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hotdash._segment_place(int, text) IS
	'What the key of a member begins with: the number of its segment, and a hash of 32 bits that is the same on all machines';
REVOKE ALL ON FUNCTION hotdash._segment_place(int, text) FROM PUBLIC;

CREATE TABLE hotdash._segment_member (
	place bigint NOT NULL,
	member text COLLATE "C" NOT NULL,
	added_at timestamptz NOT NULL,
	PRIMARY KEY (place, member),
	CONSTRAINT _segment_member_place CHECK (place = hotdash._segment_place((place >> 32)::int, member))
);
COMMENT ON TABLE hotdash._segment_member IS 'Members of segments';
COMMENT ON COLUMN hotdash._segment_member.place IS
	'Number of the segment, and below it a hash of the member: to find one among millions numbers are compared and not texts';
COMMENT ON CONSTRAINT _segment_member_place ON hotdash._segment_member IS 'A member at another place would not be found';
SELECT pg_catalog.pg_extension_config_dump('hotdash._segment_member', '');

CREATE TABLE hotdash._segment_past (
	segment_id int NOT NULL,
	member text COLLATE "C" NOT NULL,
	added_at timestamptz NOT NULL,
	removed_at timestamptz NOT NULL
);
CREATE INDEX _segment_past_member ON hotdash._segment_past (segment_id, member, removed_at);
CREATE INDEX _segment_past_removed ON hotdash._segment_past (removed_at);
COMMENT ON TABLE hotdash._segment_past IS 'Who was a member of a segment, and no longer is: from added_at until before removed_at';
SELECT pg_catalog.pg_extension_config_dump('hotdash._segment_past', '');

CREATE TABLE hotdash._segment_change (
	segment_id int NOT NULL,
	members bigint NOT NULL,
	changed_at timestamptz NOT NULL
);
CREATE INDEX _segment_change_segment ON hotdash._segment_change (segment_id);
COMMENT ON TABLE hotdash._segment_change IS 'Numbers of members that came and went; their sum is how many there are';
SELECT pg_catalog.pg_extension_config_dump('hotdash._segment_change', '');

CREATE FUNCTION hotdash._segment_check(segment text, members text[]) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(segment, 'segment');
		PERFORM hotdash._require_arg(members, 'members');
		PERFORM hotdash._flag_check_name(segment, 'name of a segment');
		IF array_position(members, NULL) IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'members must not contain null';
		END IF;
		IF EXISTS (SELECT FROM unnest(members) AS m WHERE octet_length(m) > 1000) THEN
			RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
				MESSAGE = 'a member of a segment must not be longer than 1000 bytes';
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._segment_check(text, text[]) IS 'Raises 22004, 22023 or 54000 for what cannot be a segment or its member';
REVOKE ALL ON FUNCTION hotdash._segment_check(text, text[]) FROM PUBLIC;

CREATE FUNCTION hotdash._segment_get(segment text) RETURNS int
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		id int;
	BEGIN
		LOOP
			SELECT s.id INTO id FROM hotdash._segment AS s WHERE s.name = segment;
			EXIT WHEN FOUND;
			PERFORM hotdash._instance_use();
			INSERT INTO hotdash._segment (id, name, created_at) VALUES (nextval('hotdash._segment_id'), segment, hotdash._now())
				ON CONFLICT (name) DO NOTHING;
		END LOOP;
		RETURN id;
	END
	$$;
COMMENT ON FUNCTION hotdash._segment_get(text) IS 'Number of a segment, which is made where there is none';
REVOKE ALL ON FUNCTION hotdash._segment_get(text) FROM PUBLIC;

CREATE FUNCTION hotdash.segment_add(segment text, members text[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		now_at constant timestamptz := hotdash._now();
		id int;
		n bigint;
	BEGIN
		PERFORM hotdash._segment_check(segment, members);
		id := hotdash._segment_get(segment);
		INSERT INTO hotdash._segment_member (place, member, added_at)
			SELECT hotdash._segment_place(id, x.m) AS place, x.m, now_at FROM (SELECT DISTINCT m COLLATE "C" AS m FROM unnest(members) AS m) AS x
			ORDER BY place, x.m
			ON CONFLICT (place, member) DO NOTHING;
		GET DIAGNOSTICS n = ROW_COUNT;
		INSERT INTO hotdash._segment_change (segment_id, members, changed_at) SELECT id, n, now_at WHERE n > 0;
	END
	$$;
COMMENT ON FUNCTION hotdash.segment_add(text, text[]) IS
	'Adds ids to a segment, which is made where there is none; those that are in it already stay as they are';
REVOKE ALL ON FUNCTION hotdash.segment_add(text, text[]) FROM PUBLIC;

CREATE FUNCTION hotdash.segment_remove(segment text, members text[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	AS $$
	DECLARE
		now_at constant timestamptz := hotdash._now();
		id int;
		n bigint;
	BEGIN
		PERFORM hotdash._segment_check(segment, members);
		SELECT s.id INTO id FROM hotdash._segment AS s WHERE s.name = segment;
		IF NOT FOUND THEN
			RETURN;
		END IF;
		PERFORM FROM hotdash._segment_member AS s
			JOIN (SELECT DISTINCT m COLLATE "C" AS m FROM unnest(members) AS m) AS x
			ON s.place = hotdash._segment_place(id, x.m) AND s.member = x.m
			ORDER BY s.place, s.member FOR UPDATE OF s;
		WITH gone AS (
			DELETE FROM hotdash._segment_member AS s USING (SELECT DISTINCT m COLLATE "C" AS m FROM unnest(members) AS m) AS x
			WHERE s.place = hotdash._segment_place(id, x.m) AND s.member = x.m
			RETURNING s.member, s.added_at
		), past AS (
			-- What came and went within a moment never was; neither was what the clock says it was not.
			INSERT INTO hotdash._segment_past (segment_id, member, added_at, removed_at)
			SELECT id, g.member, g.added_at, now_at FROM gone AS g WHERE g.added_at < now_at
		)
		SELECT count(*) INTO n FROM gone;
		INSERT INTO hotdash._segment_change (segment_id, members, changed_at) SELECT id, -n, now_at WHERE n > 0;
	END
	$$;
COMMENT ON FUNCTION hotdash.segment_remove(text, text[]) IS
	'Removes ids from a segment; those that are not in it, and a segment that is not there, are passed over';
REVOKE ALL ON FUNCTION hotdash.segment_remove(text, text[]) FROM PUBLIC;

CREATE FUNCTION hotdash._segments_keep(up_to int) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		retention constant interval := current_setting('hotdash.segment_history_retention');
		gone int := 0;
	BEGIN
		-- Many rows of a segment become one; who reads meanwhile sees either.
		WITH many AS (
			SELECT c.segment_id FROM hotdash._segment_change AS c GROUP BY c.segment_id HAVING count(*) > 1
		), folded AS (
			DELETE FROM hotdash._segment_change AS c
			WHERE c.ctid = ANY (ARRAY(SELECT x.ctid FROM hotdash._segment_change AS x
				WHERE x.segment_id IN (SELECT m.segment_id FROM many AS m) FOR UPDATE SKIP LOCKED))
			RETURNING c.segment_id, c.members, c.changed_at
		)
		INSERT INTO hotdash._segment_change (segment_id, members, changed_at)
			SELECT f.segment_id, sum(f.members), max(f.changed_at) FROM folded AS f GROUP BY f.segment_id;
		IF retention > interval '0' THEN
			DELETE FROM hotdash._segment_past AS p
			WHERE p.ctid = ANY (ARRAY(SELECT x.ctid FROM hotdash._segment_past AS x
				WHERE x.removed_at <= hotdash._now() - retention
				ORDER BY x.removed_at LIMIT up_to FOR UPDATE SKIP LOCKED));
			GET DIAGNOSTICS gone = ROW_COUNT;
		END IF;
		RETURN gone = up_to;
	END
	$$;
COMMENT ON FUNCTION hotdash._segments_keep(int) IS
	'Sums up the numbers of segments, forgets who was a member longer ago than is kept; true when that may not be all';
REVOKE ALL ON FUNCTION hotdash._segments_keep(int) FROM PUBLIC;

CREATE VIEW hotdash.segments WITH (security_invoker = true) AS
	SELECT s.name AS segment, coalesce(c.members, 0)::bigint AS members, s.created_at, c.changed_at
	FROM hotdash._segment AS s
	LEFT JOIN LATERAL (
		SELECT sum(x.members) AS members, max(x.changed_at) AS changed_at
		FROM hotdash._segment_change AS x WHERE x.segment_id = s.id) AS c ON true;
COMMENT ON VIEW hotdash.segments IS 'Segments with the number of their members, exact, at little cost however many there are';
