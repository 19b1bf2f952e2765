/*
 * ops_alerts.sql: alerts: raised once when a threshold is crossed, cleared once, told as webhooks.
 *
 * States. An alert is a row of _alert from one crossing to its end, and open from raised_at to cleared_at:
 *
 *		(none) -- raise --> open -- acknowledge --> acknowledged -- clear --> cleared
 *		open or acknowledged -- raise with a higher severity --> open, escalated
 *		open or acknowledged -- clear --> cleared
 *		critical -- ease --> warning (level rules only)
 *
 * At most one alert of a tenant and name is open; a raise after a clear is a new crossing, a new row. A raise that
 * changes nothing is noted (last_seen_at, times_seen, message) at most once in ten seconds: a storm of raises costs
 * one look at an index each, and no row version.
 *
 * Signals and locks. Whatever happens to an alert is a signal: raise, clear, ease, acknowledge, silence. Signals of one
 * name are applied one at a time, under an advisory lock of the transaction (a class of its own, so it meets none of
 * the application's). Nobody ever waits for that lock. Who does not get it, or whose snapshot is older than the
 * statement (REPEATABLE READ and above), leaves the signal in _alert_signal; whoever has the lock next, at the latest
 * the tick, applies what lies there first, in order. So no two transactions raise one alert twice, no raise is lost
 * when the transaction that was quicker rolls back, none waits for another to end, and there can be no deadlock,
 * whatever the order in which transactions raise several alerts. Only the holder of the lock writes to the rows of a
 * name in _alert and _alert_silence; the sweep of the tick deletes rows that nobody looks at any more.
 *
 * Telling. What receivers get is an event hotdash.alert.raised, .escalated, .acknowledged or .cleared, published in the
 * transaction of the change, so it is sent if and only if the change is committed, and once. _alert.told remembers
 * which severity they know of. While a silence lasts nothing is told, and tell_at says when to look again: an
 * alert that is still open is told then, one that receivers know of and that was cleared meanwhile as well; what
 * came and went unheard never is.
 *
 * No loops. A delivery of such an event can fail, which may be the reason for the next alert. Three rules make sure
 * that this ends: an alert about an endpoint does not go to that endpoint (_alert.about); a change that the outcome of
 * delivering an event about endpoints, or about queue webhooks, brought about is recorded and not told
 * (_alert_signal.quiet, _event_echoes), so each such event that is sent has a cause outside; and the end of an alert
 * about queue webhooks is not told, since these events go through that queue: the clear could fill it up again.
 *
 * A failure between any two steps rolls all of them back: there are no steps outside the transaction. Without a tick
 * signals that were left, and ends of silences, wait until there is one.
 */

/*
 * Tables
 */

CREATE SEQUENCE hotdash._alert_id AS bigint MAXVALUE 4503599627370495;
COMMENT ON SEQUENCE hotdash._alert_id IS 'Low 52 bits of the ids of alerts and of their signals';
SELECT pg_catalog.pg_extension_config_dump('hotdash._alert_id', '');

CREATE TABLE hotdash._alert (
	id bigint PRIMARY KEY,
	raised_at timestamptz NOT NULL,
	last_seen_at timestamptz NOT NULL,
	escalated_at timestamptz,
	acknowledged_at timestamptz,
	cleared_at timestamptz,
	tell_at timestamptz,                    -- something was kept back until then; NULL: nothing is
	times_seen bigint NOT NULL,
	about bigint,                           -- endpoint that must not be told
	severity smallint NOT NULL,             -- 1 info, 2 warning, 3 critical
	told smallint,                          -- severity that receivers know of; NULL: they know of no open alert
	tenant text COLLATE "C" NOT NULL,
	name text COLLATE "C" NOT NULL,
	rule text,                              -- what watches the level; NULL: raised by alert_raise
	acknowledged_by text,
	message text NOT NULL,
	fields jsonb
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX _alert_open ON hotdash._alert (tenant, name) WHERE cleared_at IS NULL;
CREATE INDEX _alert_cleared ON hotdash._alert (cleared_at) WHERE cleared_at IS NOT NULL;
CREATE INDEX _alert_tell ON hotdash._alert (tell_at) WHERE tell_at IS NOT NULL;
COMMENT ON TABLE hotdash._alert IS 'Alerts, a row from each crossing to its end';
SELECT pg_catalog.pg_extension_config_dump('hotdash._alert', '');

CREATE TABLE hotdash._alert_silence (
	tenant text COLLATE "C" NOT NULL,
	name text COLLATE "C" NOT NULL,
	until_ts timestamptz NOT NULL,
	silenced_at timestamptz NOT NULL,
	silenced_by text NOT NULL,
	PRIMARY KEY (tenant, name)
);
COMMENT ON TABLE hotdash._alert_silence IS 'Names whose alerts are recorded and not told until then';
SELECT pg_catalog.pg_extension_config_dump('hotdash._alert_silence', '');

CREATE TABLE hotdash._alert_signal (
	id bigint PRIMARY KEY,
	at timestamptz NOT NULL,
	until_ts timestamptz,                   -- of a silence
	alert_id bigint,                        -- of an acknowledgement: that alert and no later one
	about bigint,
	severity smallint,
	quiet bool NOT NULL,                    -- recorded, not told
	tenant text COLLATE "C" NOT NULL,
	name text COLLATE "C" NOT NULL,
	verb text COLLATE "C" NOT NULL,         -- raise, clear, ease, acknowledge, silence
	rule text,
	by_whom text,
	message text,
	fields jsonb
);
CREATE INDEX _alert_signal_name ON hotdash._alert_signal (tenant, name, id);
COMMENT ON TABLE hotdash._alert_signal IS
	'What could not be applied at once, since another transaction was at the same alert';
SELECT pg_catalog.pg_extension_config_dump('hotdash._alert_signal', '');

/*
 * What may be said of an alert
 */

CREATE FUNCTION hotdash._alert_severity(rank smallint) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$ SELECT ('{info,warning,critical}'::text[])[rank] $$;
COMMENT ON FUNCTION hotdash._alert_severity(smallint) IS 'Name of a severity';
REVOKE ALL ON FUNCTION hotdash._alert_severity(smallint) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_rank(severity text) RETURNS smallint
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		rank constant smallint := array_position('{info,warning,critical}', severity);
	BEGIN
		IF rank IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'unrecognized severity of an alert',
				HINT = 'Severities are info, warning and critical.';
		END IF;
		RETURN rank;
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_rank(text) IS 'Number of a severity, the higher the worse; 22023 for what is none';
REVOKE ALL ON FUNCTION hotdash._alert_rank(text) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_check_name(name text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(name, 'name');
		IF name !~ '^[a-zA-Z0-9_.:/-]{1,128}$' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'invalid name of an alert',
				DETAIL = 'It has 1 to 128 letters, digits and characters _ - . : /.';
		END IF;
		RETURN name;
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_check_name(text) IS 'The name, or 22004 or 22023';
REVOKE ALL ON FUNCTION hotdash._alert_check_name(text) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_check_fields(fields jsonb) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		IF jsonb_typeof(fields) <> 'object' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'fields must be a JSON object';
		END IF;
		IF octet_length(fields::text) > 16384 THEN
			RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
				MESSAGE = 'fields of an alert must not be longer than 16 kB';
		END IF;
		RETURN fields;
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_check_fields(jsonb) IS 'The fields, or 22023 or 54000';
REVOKE ALL ON FUNCTION hotdash._alert_check_fields(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_check_by(by text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(by, 'by');
		IF btrim(by) = '' OR octet_length(by) > 200 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'argument "by" must name somebody, in at most 200 bytes';
		END IF;
		RETURN hotdash._clean_text(by, 200);
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_check_by(text) IS 'Who it is, or 22004 or 22023';
REVOKE ALL ON FUNCTION hotdash._alert_check_by(text) FROM PUBLIC;

/*
 * Telling
 */

CREATE FUNCTION hotdash._alert_publish(a hotdash._alert, what text) RETURNS void
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT hotdash._event_operational('hotdash.alert.' || what,
			jsonb_strip_nulls(jsonb_build_object('id', a.id::text, 'tenant', a.tenant, 'name', a.name,
				'severity', hotdash._alert_severity(a.severity), 'message', a.message, 'times_seen', a.times_seen,
				'raised_at', a.raised_at, 'last_seen_at', a.last_seen_at, 'escalated_at', a.escalated_at,
				'acknowledged_at', a.acknowledged_at, 'acknowledged_by', a.acknowledged_by, 'cleared_at', a.cleared_at))
				|| jsonb_build_object('fields', coalesce(a.fields, '{}')),
			'hotdash.alert/' || a.name, a.tenant, a.about)
	$$;
COMMENT ON FUNCTION hotdash._alert_publish(hotdash._alert, text) IS 'Publishes the event of a change of an alert';
REVOKE ALL ON FUNCTION hotdash._alert_publish(hotdash._alert, text) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_hush(tenant text, name text) RETURNS timestamptz
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT s.until_ts FROM hotdash._alert_silence AS s
		WHERE s.tenant = _alert_hush.tenant AND s.name = _alert_hush.name AND s.until_ts > hotdash._now()
	$$;
COMMENT ON FUNCTION hotdash._alert_hush(text, text) IS 'End of the silence over a name; NULL when there is none';
REVOKE ALL ON FUNCTION hotdash._alert_hush(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_tell(id bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * Tells receivers what they do not know of an alert, or puts it off to the end of a silence. The caller holds
	 * the lock of its name.
	 */
	DECLARE
		a hotdash._alert;
		hush timestamptz;
	BEGIN
		SELECT * INTO a FROM hotdash._alert AS x WHERE x.id = _alert_tell.id;
		hush := hotdash._alert_hush(a.tenant, a.name);
		IF hush IS NULL AND a.cleared_at IS NOT NULL THEN
			PERFORM hotdash._alert_publish(a, 'cleared') WHERE a.told IS NOT NULL;
		ELSIF hush IS NULL AND a.severity > coalesce(a.told, 0) THEN
			PERFORM hotdash._alert_publish(a, CASE WHEN a.told IS NULL THEN 'raised' ELSE 'escalated' END);
		END IF;
		UPDATE hotdash._alert AS x
			SET tell_at = hush,
				told = CASE WHEN hush IS NOT NULL THEN a.told WHEN a.cleared_at IS NULL THEN a.severity END
			WHERE x.id = a.id;
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_tell(bigint) IS 'Tells what is to be told of an alert, now or after a silence';
REVOKE ALL ON FUNCTION hotdash._alert_tell(bigint) FROM PUBLIC;

/*
 * Signals: what each does to the alert of its name. The caller holds the lock of the name.
 */

CREATE FUNCTION hotdash._alert_open(s hotdash._alert_signal) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		id constant bigint := current_setting('hotdash.node_id')::bigint << 52 | nextval('hotdash._alert_id');
	BEGIN
		INSERT INTO hotdash._alert (id, raised_at, last_seen_at, times_seen, about, severity, tenant, name, rule, message,
				fields)
			VALUES (id, s.at, s.at, 1, s.about, s.severity, s.tenant, s.name, s.rule, s.message, s.fields);
		IF NOT s.quiet THEN
			PERFORM hotdash._alert_tell(id);
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_open(hotdash._alert_signal) IS 'A raise where no alert of the name is open';
REVOKE ALL ON FUNCTION hotdash._alert_open(hotdash._alert_signal) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_see(a hotdash._alert, s hotdash._alert_signal) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		worse constant bool := s.severity > a.severity;
		-- One that was raised quietly gets told with the first raise that is not.
		news constant bool := NOT s.quiet AND a.tell_at IS NULL
			AND greatest(a.severity, s.severity) > coalesce(a.told, 0);
	BEGIN
		IF NOT worse AND NOT news AND a.last_seen_at > s.at - interval '10 seconds' THEN
			RETURN;
		END IF;
		UPDATE hotdash._alert AS x
			SET last_seen_at = greatest(a.last_seen_at, s.at), times_seen = a.times_seen + 1, message = s.message,
				fields = s.fields, severity = greatest(a.severity, s.severity),
				escalated_at = CASE WHEN worse THEN s.at ELSE a.escalated_at END,
				-- What was acknowledged was less than this.
				acknowledged_at = CASE WHEN NOT worse THEN a.acknowledged_at END,
				acknowledged_by = CASE WHEN NOT worse THEN a.acknowledged_by END
			WHERE x.id = a.id;
		IF news THEN
			PERFORM hotdash._alert_tell(a.id);
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_see(hotdash._alert, hotdash._alert_signal) IS 'A raise of an alert that is open';
REVOKE ALL ON FUNCTION hotdash._alert_see(hotdash._alert, hotdash._alert_signal) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_close(a hotdash._alert, s hotdash._alert_signal) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		UPDATE hotdash._alert AS x SET cleared_at = greatest(s.at, a.raised_at), tell_at = NULL WHERE x.id = a.id;
		IF a.told IS NOT NULL AND NOT s.quiet THEN
			PERFORM hotdash._alert_tell(a.id);
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_close(hotdash._alert, hotdash._alert_signal) IS 'A clear of an alert that is open';
REVOKE ALL ON FUNCTION hotdash._alert_close(hotdash._alert, hotdash._alert_signal) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_acknowledge(a hotdash._alert, s hotdash._alert_signal) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		b hotdash._alert;
	BEGIN
		UPDATE hotdash._alert AS x SET acknowledged_at = s.at, acknowledged_by = s.by_whom
			WHERE x.id = a.id AND x.id = s.alert_id AND x.acknowledged_at IS NULL
			RETURNING * INTO b;
		IF b.told IS NOT NULL AND hotdash._alert_hush(b.tenant, b.name) IS NULL THEN
			PERFORM hotdash._alert_publish(b, 'acknowledged');
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_acknowledge(hotdash._alert, hotdash._alert_signal) IS
	'Somebody looks after an alert that is open';
REVOKE ALL ON FUNCTION hotdash._alert_acknowledge(hotdash._alert, hotdash._alert_signal) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_hush_set(s hotdash._alert_signal) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		INSERT INTO hotdash._alert_silence AS x (tenant, name, until_ts, silenced_at, silenced_by)
			VALUES (s.tenant, s.name, s.until_ts, s.at, s.by_whom)
			ON CONFLICT (tenant, name) DO UPDATE
			SET until_ts = excluded.until_ts, silenced_at = excluded.silenced_at, silenced_by = excluded.silenced_by;
		UPDATE hotdash._alert AS x SET tell_at = s.until_ts
			WHERE x.tell_at IS NOT NULL AND x.tenant = s.tenant AND x.name = s.name;
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_hush_set(hotdash._alert_signal) IS
	'Keeps back what is to be told of a name until then; a time that is over ends it';
REVOKE ALL ON FUNCTION hotdash._alert_hush_set(hotdash._alert_signal) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_apply(s hotdash._alert_signal) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		a hotdash._alert;
	BEGIN
		SELECT * INTO a FROM hotdash._alert AS x
			WHERE x.tenant = s.tenant AND x.name = s.name AND x.cleared_at IS NULL;
		IF s.verb = 'silence' THEN
			PERFORM hotdash._alert_hush_set(s);
		ELSIF s.verb = 'raise' AND a.id IS NULL THEN
			PERFORM hotdash._alert_open(s);
		ELSIF s.verb = 'raise' THEN
			PERFORM hotdash._alert_see(a, s);
		ELSIF a.id IS NULL THEN
			RETURN;
		ELSIF s.verb = 'clear' THEN
			PERFORM hotdash._alert_close(a, s);
		ELSIF s.verb = 'acknowledge' THEN
			PERFORM hotdash._alert_acknowledge(a, s);
		ELSIF s.verb = 'ease' THEN
			-- Not told, but when it gets worse again that is.
			UPDATE hotdash._alert AS x SET severity = s.severity, told = least(a.told, s.severity)
				WHERE x.id = a.id AND x.severity > s.severity;
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_apply(hotdash._alert_signal) IS 'What a signal does to the alert of its name';
REVOKE ALL ON FUNCTION hotdash._alert_apply(hotdash._alert_signal) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_here(tenant text, name text) RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_ops_sql_alert_here' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._alert_here(text, text) IS
	'Takes the lock of a name until the transaction ends; false when it is not to be had, or this snapshot is too old';
REVOKE ALL ON FUNCTION hotdash._alert_here(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_known(tenant text, name text, severity smallint) RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_ops_sql_alert_known' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._alert_known(text, text, smallint) IS
	'Whether a raise would change nothing, or a clear, if severity is null';
REVOKE ALL ON FUNCTION hotdash._alert_known(text, text, smallint) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_drain(tenant text, name text) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		s hotdash._alert_signal;
	BEGIN
		FOR s IN
			WITH gone AS (
				DELETE FROM hotdash._alert_signal AS x
				WHERE x.tenant = _alert_drain.tenant AND x.name = _alert_drain.name
				RETURNING x.*
			)
			SELECT * FROM gone ORDER BY id
		LOOP
			PERFORM hotdash._alert_apply(s);
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_drain(text, text) IS 'Applies the signals that were left for a name, in order';
REVOKE ALL ON FUNCTION hotdash._alert_drain(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_submit(s hotdash._alert_signal) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		s.at := hotdash._now();
		s.quiet := coalesce(s.quiet, false);
		IF hotdash._alert_here(s.tenant, s.name) THEN
			PERFORM hotdash._alert_drain(s.tenant, s.name);
			PERFORM hotdash._alert_apply(s);
		ELSE
			s.id := nextval('hotdash._alert_id');
			INSERT INTO hotdash._alert_signal VALUES (s.*);
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_submit(hotdash._alert_signal) IS
	'Applies a signal, or leaves it for whoever is at the alert next; never waits';
REVOKE ALL ON FUNCTION hotdash._alert_submit(hotdash._alert_signal) FROM PUBLIC;

/*
 * For rules and other modules
 */

CREATE FUNCTION hotdash._alert_raise(name text, severity text, message text, fields jsonb DEFAULT NULL,
		tenant text DEFAULT '', about bigint DEFAULT NULL, quiet bool DEFAULT false, rule text DEFAULT NULL)
	RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		s hotdash._alert_signal;
	BEGIN
		s.severity := hotdash._alert_rank(severity);
		IF hotdash._alert_known(tenant, name, s.severity) THEN
			RETURN;
		END IF;
		s.verb := 'raise';
		s.tenant := tenant;
		s.name := name;
		s.message := hotdash._clean_text(message, 1000);
		s.fields := fields;
		s.about := about;
		s.quiet := quiet;
		s.rule := rule;
		PERFORM hotdash._alert_submit(s);
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_raise(text, text, text, jsonb, text, bigint, bool, text) IS
	'Raises an alert; about: an endpoint that is not told; quiet: nobody is, since delivering an operational event led to it';
REVOKE ALL ON FUNCTION hotdash._alert_raise(text, text, text, jsonb, text, bigint, bool, text) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_clear(name text, tenant text DEFAULT '', quiet bool DEFAULT false) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		s hotdash._alert_signal;
	BEGIN
		IF hotdash._alert_known(tenant, name, NULL) THEN
			RETURN;
		END IF;
		s.verb := 'clear';
		s.tenant := tenant;
		s.name := name;
		s.quiet := quiet;
		PERFORM hotdash._alert_submit(s);
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_clear(text, text, bool) IS
	'Clears an alert; quiet: nobody is told, since delivering an operational event led to it';
REVOKE ALL ON FUNCTION hotdash._alert_clear(text, text, bool) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_ease(name text, severity text, tenant text DEFAULT '') RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		s hotdash._alert_signal;
	BEGIN
		s.verb := 'ease';
		s.tenant := tenant;
		s.name := name;
		s.severity := hotdash._alert_rank(severity);
		PERFORM hotdash._alert_submit(s);
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_ease(text, text, text) IS 'Lowers the severity of an alert that stays open';
REVOKE ALL ON FUNCTION hotdash._alert_ease(text, text, text) FROM PUBLIC;

CREATE TYPE hotdash._alert_bounds AS (
	warn_at float8,
	clear_below float8,
	critical_at float8,
	ease_below float8
);
COMMENT ON TYPE hotdash._alert_bounds IS
	'Of a level rule: raised from warn_at on, cleared below clear_below; critical from critical_at on, eased below ease_below';

CREATE FUNCTION hotdash._alert_level(name text, value float8, bounds hotdash._alert_bounds, message text, fields jsonb,
		rule text, tenant text DEFAULT '', quiet_clear bool DEFAULT false)
	RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * A value that was measured, against its bounds. Between a bound and the one that ends it nothing changes: that is
	 * what keeps a value that trembles about a bound from raising the alert again and again.
	 */
	DECLARE
		at constant smallint := (SELECT a.severity FROM hotdash._alert AS a
			WHERE a.tenant = _alert_level.tenant AND a.name = _alert_level.name AND a.cleared_at IS NULL);
	BEGIN
		IF value < bounds.clear_below THEN
			IF at IS NOT NULL THEN
				PERFORM hotdash._alert_clear(name, tenant, quiet_clear);
			END IF;
			RETURN;
		END IF;
		IF at = 3 AND value < bounds.ease_below THEN
			PERFORM hotdash._alert_ease(name, 'warning', tenant);
		END IF;
		IF value >= bounds.critical_at THEN
			PERFORM hotdash._alert_raise(name, 'critical', message, fields, tenant, rule => rule);
		ELSIF value >= bounds.warn_at OR at IS NOT NULL THEN
			PERFORM hotdash._alert_raise(name, 'warning', message, fields, tenant, rule => rule);
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_level(text, float8, hotdash._alert_bounds, text, jsonb, text, text, bool) IS
	'Raises, escalates, eases or clears an alert as a value has crossed its bounds';
REVOKE ALL ON FUNCTION hotdash._alert_level(text, float8, hotdash._alert_bounds, text, jsonb, text, text, bool) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_queues() RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Ready jobs against what queue_set says. Each bound ends at four fifths of it: raised at 50, cleared below 40. */
	BEGIN
		IF EXISTS (SELECT FROM hotdash._queue AS q WHERE q.alert_at IS NOT NULL) THEN
			PERFORM hotdash._alert_level('queue:' || c.queue, q.ready,
					ROW(c.alert_at, c.alert_at * 0.8, c.escalate_at, c.escalate_at * 0.8),
					format('%s jobs are ready in queue %s', q.ready, c.queue),
					jsonb_strip_nulls(jsonb_build_object('queue', c.queue, 'depth', q.ready, 'alert_at', c.alert_at,
						'escalate_at', c.escalate_at)),
					'queue', quiet_clear => c.queue = 'webhooks')
				FROM (SELECT queue, ready FROM hotdash.queues) AS q
				JOIN hotdash._queue AS c ON c.queue = q.queue AND c.alert_at IS NOT NULL;
		END IF;
		PERFORM hotdash._alert_clear(a.name)
			FROM hotdash._alert AS a
			WHERE a.tenant = '' AND a.name ^@ 'queue:' AND a.rule = 'queue' AND a.cleared_at IS NULL
				AND NOT EXISTS (SELECT FROM hotdash._queue AS c
					WHERE c.queue = substr(a.name, length('queue:') + 1) AND c.alert_at IS NOT NULL);
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_queues() IS 'Alerts queue:…: the depth of queues that have an alert_at';
REVOKE ALL ON FUNCTION hotdash._alert_queues() FROM PUBLIC;

/*
 * The tick
 */

CREATE FUNCTION hotdash._alert_catch_up(up_to int) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Signals that were left, and silences that have ended; names that somebody is at are left for the next time. */
	DECLARE
		now_at constant timestamptz := hotdash._now();
		done int := 0;
		due record;
	BEGIN
		FOR due IN
			SELECT s.tenant, s.name FROM hotdash._alert_signal AS s
			UNION SELECT a.tenant, a.name FROM hotdash._alert AS a WHERE a.tell_at <= now_at
		LOOP
			EXIT WHEN done >= up_to;
			CONTINUE WHEN NOT hotdash._alert_here(due.tenant, due.name);
			PERFORM hotdash._alert_drain(due.tenant, due.name);
			PERFORM hotdash._alert_tell(t.id)
				FROM (SELECT a.id FROM hotdash._alert AS a
					WHERE a.tell_at <= now_at AND a.tenant = due.tenant AND a.name = due.name ORDER BY a.id) AS t;
			done := done + 1;
		END LOOP;
		RETURN done >= up_to;
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_catch_up(int) IS
	'Does for up to so many names what had to wait; true when that may not have been all';
REVOKE ALL ON FUNCTION hotdash._alert_catch_up(int) FROM PUBLIC;

CREATE FUNCTION hotdash._alert_sweep(up_to int) RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		now_at constant timestamptz := hotdash._now();
		gone int;
	BEGIN
		DELETE FROM hotdash._alert AS a WHERE a.id IN (
			SELECT x.id FROM hotdash._alert AS x
			WHERE x.cleared_at < now_at - current_setting('hotdash.alert_retention')::interval AND x.tell_at IS NULL
			ORDER BY x.cleared_at LIMIT up_to FOR UPDATE SKIP LOCKED);
		GET DIAGNOSTICS gone = ROW_COUNT;
		DELETE FROM hotdash._alert_silence AS s WHERE (s.tenant, s.name) IN (
			SELECT x.tenant, x.name FROM hotdash._alert_silence AS x
			WHERE x.until_ts <= now_at LIMIT up_to FOR UPDATE SKIP LOCKED);
		RETURN gone = up_to;
	END
	$$;
COMMENT ON FUNCTION hotdash._alert_sweep(int) IS
	'Deletes cleared alerts older than hotdash.alert_retention, and silences that are over; true when that may not be all';
REVOKE ALL ON FUNCTION hotdash._alert_sweep(int) FROM PUBLIC;

/*
 * For everybody
 */

CREATE FUNCTION hotdash.alert_raise(name text, severity text, message text, fields jsonb DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._alert_check_name(name);
		PERFORM hotdash._require_arg(severity, 'severity');
		PERFORM hotdash._require_arg(message, 'message');
		PERFORM hotdash._alert_check_fields(fields);
		PERFORM hotdash._alert_raise(name, severity, message, fields, hotdash._webhook_tenant(NULL));
	END
	$$;
COMMENT ON FUNCTION hotdash.alert_raise(text, text, text, jsonb) IS
	'Raises an alert (info, warning, critical), or escalates the open one of that name; once per crossing';
REVOKE ALL ON FUNCTION hotdash.alert_raise(text, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.alert_clear(name text) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._alert_check_name(name);
		PERFORM hotdash._alert_clear(name, hotdash._webhook_tenant(NULL));
	END
	$$;
COMMENT ON FUNCTION hotdash.alert_clear(text) IS 'Clears the open alert of that name, if there is one';
REVOKE ALL ON FUNCTION hotdash.alert_clear(text) FROM PUBLIC;

CREATE FUNCTION hotdash.alert_ack(id bigint, by text) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		s hotdash._alert_signal;
	BEGIN
		PERFORM hotdash._require_arg(id, 'id');
		s.by_whom := hotdash._alert_check_by(by);
		SELECT a.tenant, a.name INTO s.tenant, s.name FROM hotdash._alert AS a
			WHERE a.id = alert_ack.id AND hotdash._tenant_sees(a.tenant);
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('alert %s does not exist', id);
		END IF;
		s.verb := 'acknowledge';
		s.alert_id := id;
		PERFORM hotdash._alert_submit(s);
	END
	$$;
COMMENT ON FUNCTION hotdash.alert_ack(bigint, text) IS
	'Somebody looks after an alert; nothing happens when somebody does already, or it was cleared';
REVOKE ALL ON FUNCTION hotdash.alert_ack(bigint, text) FROM PUBLIC;

CREATE FUNCTION hotdash.alert_silence(name text, until_ts timestamptz, by text) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		s hotdash._alert_signal;
	BEGIN
		s.name := hotdash._alert_check_name(name);
		PERFORM hotdash._require_arg(until_ts, 'until_ts');
		s.by_whom := hotdash._alert_check_by(by);
		s.verb := 'silence';
		s.tenant := hotdash._webhook_tenant(NULL);
		s.until_ts := until_ts;
		PERFORM hotdash._alert_submit(s);
	END
	$$;
COMMENT ON FUNCTION hotdash.alert_silence(text, timestamptz, text) IS
	'Alerts of that name are recorded and not told until then; a time that is over ends the silence';
REVOKE ALL ON FUNCTION hotdash.alert_silence(text, timestamptz, text) FROM PUBLIC;

ALTER TABLE hotdash._alert ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._alert USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._alert IS 'A session bound to a tenant sees that tenant alone';
ALTER TABLE hotdash._alert_silence ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._alert_silence USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._alert_silence IS 'A session bound to a tenant sees that tenant alone';

CREATE VIEW hotdash.alerts WITH (security_invoker = true) AS
	SELECT a.id, a.tenant, a.name,
		CASE WHEN a.cleared_at IS NOT NULL THEN 'cleared' WHEN a.acknowledged_at IS NOT NULL THEN 'acknowledged'
			ELSE 'open' END AS state,
		hotdash._alert_severity(a.severity) AS severity, a.message, a.fields, a.rule, a.times_seen, a.raised_at,
		a.last_seen_at, a.escalated_at, a.acknowledged_at, a.acknowledged_by, a.cleared_at,
		CASE WHEN a.cleared_at IS NULL THEN s.until_ts END AS silenced_until,
		CASE WHEN a.cleared_at IS NULL THEN s.silenced_by END AS silenced_by
	FROM hotdash._alert AS a
	LEFT JOIN hotdash._alert_silence AS s
		ON s.tenant = a.tenant AND s.name = a.name AND s.until_ts > hotdash._now()
	WHERE hotdash._tenant_sees(a.tenant);
COMMENT ON VIEW hotdash.alerts IS 'Alerts: open, acknowledged and cleared; last_seen_at is true to ten seconds';
