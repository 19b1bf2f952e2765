/*
 * webhooks_health.sql: how endpoints do: pauses, circuit breaker, and what makes one be switched off.
 *
 * Model. What may be sent to an endpoint now is its flow in the job engine (extension/jobs/flows.h), named
 * endpoint:<id>: at most so many at once, at most so many in a period, nothing before a time. _endpoint_flow computes
 * these from what the endpoint asks for and from its health, and nothing else writes them. So a pause, an open breaker
 * or a limit costs no attempt and no claim, however many deliveries wait.
 *
 * The breaker. Three failures within five minutes with no success in between open it: nothing is sent for 30 seconds,
 * then one delivery at a time. A failure then opens it again, for twice as long, five minutes at most; a success
 * closes it. Failures of requests that were under way when it opened change nothing, however late they come: they are
 * known by when they were sent, report minus duration.
 *
 * The pace, and how many may be under way at once where the endpoint does not say: webhooks_pace.sql.
 *
 * Refusals (other 4xx, redirects, addresses that the edge refuses) say nothing of whether a receiver is up, so the
 * breaker does not count them. But a receiver that moved refuses everything, and all of it dies: so a run of them
 * raises the alert, and 404 counts for the days of failures after which an endpoint is disabled.
 *
 * Alerts. Alert endpoint:<id> says that an endpoint does not do well: a warning at the first TLS connection that
 * fails, when its breaker opens, and when it has refused in a row three times with 401 or 403 or ten times at all;
 * critical when it is disabled. A success ends it, or endpoint_enable. What outcomes of telling others about
 * endpoints bring about is recorded and not told (echo).
 *
 * A row of _endpoint_health exists only for an endpoint of which there is something bad to remember.
 *
 * Locks: jobs, then the rows of endpoints that may be switched off (_endpoints_hold), then _endpoint_health, each in
 * the order of ids, then _job_flow.
 * What is past its max_age is ended with its endpoint locked, against the order of webhooks.sql: a late report may hold
 * the job and want the endpoint. Whoever loses comes again.
 */

CREATE TABLE hotdash._endpoint_health (
	endpoint_id bigint PRIMARY KEY REFERENCES hotdash._endpoint ON DELETE CASCADE,
	failed_at timestamptz[] NOT NULL DEFAULT '{}',  -- the last failures since the last success, three at most
	failing_since timestamptz,                      -- the first of all of them, or of answers 404
	opened int NOT NULL DEFAULT 0,                  -- how often the breaker opened since the last success
	probe_at timestamptz,                           -- the breaker is open until then, and half open from then on
	paused_until timestamptz,                       -- a receiver asked for it
	unauthorized int NOT NULL DEFAULT 0,            -- answers 401 and 403 since the last success
	rejected int NOT NULL DEFAULT 0,                -- refusals since then, those among them
	pace float8,                                    -- requests a second; NULL: no 429 without Retry-After of late
	pace_step float8,                               -- what a second adds to it; NULL: as much again
	pace_at timestamptz,                            -- when it changed
	refused_at timestamptz,                         -- the last such 429 that counted
	refusals int NOT NULL DEFAULT 0                 -- how many of those, since a request was taken
) WITH (fillfactor = 50);
COMMENT ON TABLE hotdash._endpoint_health IS 'What is to be remembered of endpoints that do not do well';
SELECT pg_catalog.pg_extension_config_dump('hotdash._endpoint_health', '');

CREATE FUNCTION hotdash._endpoint_flow_name(id bigint) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	-- Part of the query that calls it, for each delivery, which a SET clause would prevent.
	AS $$ SELECT 'endpoint:' OPERATOR(pg_catalog.||) id::pg_catalog.text $$;
COMMENT ON FUNCTION hotdash._endpoint_flow_name(bigint) IS 'Name of the flow of an endpoint''s deliveries';
REVOKE ALL ON FUNCTION hotdash._endpoint_flow_name(bigint) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_slack(period interval) RETURNS interval
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	/*
	 * A rate holds for the times at which requests are sent, and is paid for when they are claimed. Between the two
	 * lie at most this long: an edge gives back what it could not send in time. So no window of a period of the one
	 * can hold more than a window of a period and this of the other.
	 */
	AS $$ SELECT least(greatest(period / 20, interval '50 milliseconds'), interval '1 second') $$;
COMMENT ON FUNCTION hotdash._endpoint_slack(interval) IS 'Longest time between claim and send where an endpoint has a rate';
REVOKE ALL ON FUNCTION hotdash._endpoint_slack(interval) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_flow(ids bigint[]) RETURNS void
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		INSERT INTO hotdash._job_flow AS f (hash, flow, concurrency, soft, rate, rate_period_us, rate_reason, held_until,
				held_reason)
			SELECT hotdash._job_flow_hash(n.flow), n.flow,
				CASE WHEN h.probe_at IS NOT NULL THEN 1 ELSE coalesce(e.concurrency, 64) END,
				h.probe_at IS NULL AND e.concurrency IS NULL, p.rate, p.period_us,
				CASE WHEN p.paced THEN format('the receiver of endpoint %s answered 429, last at %s (%s a second are tried)',
					e.id, h.refused_at, round(h.pace::numeric, 2)) END,
				CASE WHEN NOT e.enabled OR o.consent <> 'granted' THEN 'infinity' ELSE greatest(h.paused_until, h.probe_at) END,
				CASE WHEN NOT e.enabled THEN 'endpoint ' || e.id || ' is disabled: ' || e.disabled_reason
					WHEN o.consent <> 'granted' THEN 'endpoint ' || e.id || ' waits for the consent of its receiver'
					WHEN h.paused_until >= h.probe_at OR h.probe_at IS NULL AND h.paused_until IS NOT NULL
						THEN 'the receiver of endpoint ' || e.id || ' asked for a pause'
					WHEN h.probe_at IS NOT NULL
						THEN 'the breaker of endpoint ' || e.id || ' is open after ' || cardinality(h.failed_at) || ' failures'
					END
			FROM hotdash._endpoint AS e
			LEFT JOIN hotdash._endpoint_health AS h ON h.endpoint_id = e.id
			LEFT JOIN hotdash._endpoint_option AS o ON o.endpoint_id = e.id
			CROSS JOIN LATERAL hotdash._endpoint_rate(e.rate, e.rate_period, o.consent_rate) AS r
			CROSS JOIN LATERAL hotdash._endpoint_pace_rate(h.pace, r.rate, r.period) AS p
			CROSS JOIN LATERAL hotdash._endpoint_flow_name(e.id) AS n (flow)
			WHERE e.id = ANY (ids)
			ORDER BY 1
			ON CONFLICT (hash) DO UPDATE SET concurrency = excluded.concurrency, soft = excluded.soft, rate = excluded.rate,
				rate_period_us = excluded.rate_period_us, rate_reason = excluded.rate_reason,
				held_until = excluded.held_until, held_reason = excluded.held_reason
			WHERE (f.concurrency, f.soft, f.rate, f.rate_period_us, f.rate_reason, f.held_until, f.held_reason)
				IS DISTINCT FROM (excluded.concurrency, excluded.soft, excluded.rate, excluded.rate_period_us,
					excluded.rate_reason, excluded.held_until, excluded.held_reason)
	$$;
COMMENT ON FUNCTION hotdash._endpoint_flow(bigint[]) IS
	'Brings the limits of endpoints'' deliveries up to date with the endpoints and their health';
REVOKE ALL ON FUNCTION hotdash._endpoint_flow(bigint[]) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_alert(id bigint, severity text, message text, echo bool) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		name constant text := 'endpoint:' || id;
		owner constant text := (SELECT e.tenant FROM hotdash._endpoint AS e WHERE e.id = _endpoint_alert.id);
	BEGIN
		IF severity IS NULL THEN
			PERFORM hotdash._alert_clear(name, owner, echo);
		ELSE
			PERFORM hotdash._alert_raise(name, severity, message, jsonb_build_object('endpoint', id::text), owner,
				about => id, quiet => echo, rule => 'endpoint');
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_alert(bigint, text, text, bool) IS
	'Raises the alert of an endpoint, or clears it, if severity is null; echo: nobody is told';
REVOKE ALL ON FUNCTION hotdash._endpoint_alert(bigint, text, text, bool) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_switch_off(ids bigint[], reason text, severity text, echo bool) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		e hotdash._endpoint;
	BEGIN
		FOR e IN
			UPDATE hotdash._endpoint AS x
			SET enabled = false, disabled_reason = hotdash._clean_text(reason, 500),
				disabled_at = hotdash._now(), updated_at = hotdash._now()
			WHERE x.id = ANY (ids) AND x.enabled
			RETURNING x.*
		LOOP
			PERFORM hotdash._endpoint_alert(e.id, severity, format('endpoint %s is disabled: %s', e.id, e.disabled_reason),
				echo);
			PERFORM hotdash._event_operational('hotdash.endpoint.disabled', jsonb_build_object('endpoint', e.id::text,
					'tenant', e.tenant, 'reason', e.disabled_reason, 'disabled_at', e.disabled_at),
				'hotdash.alert/endpoint:' || e.id, e.tenant, e.id)
				WHERE NOT echo;
		END LOOP;
		PERFORM hotdash._endpoint_flow(ids);
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_switch_off(bigint[], text, text, bool) IS
	'Disables endpoints; what waits for them is not sent until they are enabled';
REVOKE ALL ON FUNCTION hotdash._endpoint_switch_off(bigint[], text, text, bool) FROM PUBLIC;

CREATE FUNCTION hotdash._breaker_delay(opened int) RETURNS interval
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$ SELECT least(interval '30 seconds' * 2 ^ least(opened - 1, 10), interval '5 minutes') $$;
COMMENT ON FUNCTION hotdash._breaker_delay(int) IS 'How long a breaker stays open, the how-manieth time in a row';
REVOKE ALL ON FUNCTION hotdash._breaker_delay(int) FROM PUBLIC;

CREATE TYPE hotdash._endpoint_news AS (
	endpoint_id bigint,
	failures int,               -- since the last success, as all up to failed_us
	unauthorized int,           -- 401 and 403
	rejected int,               -- refusals, those among them
	missing bool,               -- 404 among them
	refusal text,               -- the last of them
	tls_failed bool,
	failed_us int,              -- the fastest of the failures
	paused_until timestamptz,   -- as the receiver asked
	gone bool,
	echo bool,                  -- all of it is about telling how endpoints do
	flow text,
	answers int,                -- results of any kind
	failed int,                 -- failures, whenever
	slowest_us int,
	taken int,                  -- successes
	taken_us int,               -- the fastest of them
	refused_us int              -- the fastest 429 without Retry-After
);
COMMENT ON TYPE hotdash._endpoint_news IS 'What a report says of an endpoint';

CREATE FUNCTION hotdash._endpoint_after(h hotdash._endpoint_health, news hotdash._endpoint_news, at timestamptz)
	RETURNS hotdash._endpoint_health
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		opens bool;
	BEGIN
		h := hotdash._endpoint_pace_after(h, news, at);
		IF news.taken > 0 THEN
			h.failed_at := '{}';
			h.failing_since := NULL;
			h.opened := 0;
			h.probe_at := NULL;
			h.unauthorized := 0;
			h.rejected := 0;
		END IF;
		h.paused_until := greatest(h.paused_until, news.paused_until);
		h.unauthorized := h.unauthorized + news.unauthorized;
		h.rejected := h.rejected + coalesce(news.rejected, 0);
		IF news.failures > 0 OR news.missing THEN
			h.failing_since := coalesce(h.failing_since, at);
		END IF;
		IF news.failures = 0 THEN
			RETURN h;
		END IF;
		h.failed_at := h.failed_at || array_fill(at, ARRAY[least(news.failures, 3)]);
		h.failed_at := h.failed_at[greatest(cardinality(h.failed_at) - 2, 1):];
		opens := CASE WHEN h.probe_at IS NULL THEN cardinality(h.failed_at) = 3 AND h.failed_at[1] > at - interval '5 minutes'
			-- Half open, and it was the probe, not one from before it opened.
			ELSE h.probe_at <= at AND at - coalesce(news.failed_us, 0) * interval '1 microsecond'
				>= h.probe_at - hotdash._breaker_delay(h.opened) END;
		IF opens THEN
			h.opened := h.opened + 1;
			h.probe_at := at + hotdash._breaker_delay(h.opened);
		END IF;
		RETURN h;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_after(hotdash._endpoint_health, hotdash._endpoint_news, timestamptz) IS
	'The health of an endpoint after a report';
REVOKE ALL ON FUNCTION hotdash._endpoint_after(hotdash._endpoint_health, hotdash._endpoint_news, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_react(news hotdash._endpoint_news, at timestamptz) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * The row is made first and locked, so that two reports on one endpoint count both. Where it could come to
	 * _endpoint_switch_off, the caller holds the endpoint already (_endpoints_hold).
	 */
	DECLARE
		patience constant interval := current_setting('hotdash.webhook_disable_after')::interval;
		h hotdash._endpoint_health;
		was hotdash._endpoint_health;
		enough_unauthorized constant int := 3;
		enough_rejected constant int := 10;
		warning text;
	BEGIN
		INSERT INTO hotdash._endpoint_health (endpoint_id)
			SELECT e.id FROM hotdash._endpoint AS e
			WHERE e.id = news.endpoint_id
				AND NOT EXISTS (SELECT FROM hotdash._endpoint_health AS x WHERE x.endpoint_id = e.id)
			FOR KEY SHARE
			ON CONFLICT DO NOTHING;
		SELECT * INTO was FROM hotdash._endpoint_health AS x WHERE x.endpoint_id = news.endpoint_id FOR UPDATE;
		IF NOT FOUND THEN
			RETURN;
		END IF;
		h := hotdash._endpoint_after(was, news, at);
		IF h.failed_at = '{}' AND h.rejected = 0 AND h.pace IS NULL AND coalesce(h.paused_until <= at, true) THEN
			DELETE FROM hotdash._endpoint_health AS x WHERE x.endpoint_id = h.endpoint_id;
		ELSE
			UPDATE hotdash._endpoint_health AS x
				SET failed_at = h.failed_at, failing_since = h.failing_since, opened = h.opened, probe_at = h.probe_at,
					paused_until = h.paused_until, unauthorized = h.unauthorized, rejected = h.rejected, pace = h.pace, pace_step = h.pace_step,
					pace_at = h.pace_at, refused_at = h.refused_at, refusals = h.refusals
				WHERE x.endpoint_id = h.endpoint_id;
		END IF;
		IF news.gone THEN
			PERFORM hotdash._endpoint_switch_off(ARRAY[h.endpoint_id], 'the receiver answered 410 Gone', 'critical', news.echo);
		ELSIF patience > interval '0' AND h.failing_since <= at - patience THEN
			PERFORM hotdash._endpoint_switch_off(ARRAY[h.endpoint_id], 'nothing but failures since ' || h.failing_since,
				'critical', news.echo);
		ELSE
			PERFORM hotdash._endpoint_flow(ARRAY[h.endpoint_id]);
			warning := CASE
				WHEN news.tls_failed THEN
					format('no TLS connection to endpoint %s can be made: its certificate, or ours, is refused', h.endpoint_id)
				WHEN h.opened > was.opened THEN
					format('the breaker of endpoint %s is open after %s failures', h.endpoint_id, cardinality(h.failed_at))
				WHEN h.unauthorized >= enough_unauthorized
					AND (was.unauthorized < enough_unauthorized OR news.taken > 0) THEN
					format('endpoint %s refuses what is sent to it: 401 or 403', h.endpoint_id)
				WHEN h.rejected >= enough_rejected AND (was.rejected < enough_rejected OR news.taken > 0) THEN
					format('endpoint %s refuses what is sent to it: %s times in a row, the last with %s', h.endpoint_id,
						h.rejected, news.refusal)
				END;
			IF warning IS NOT NULL THEN
				PERFORM hotdash._endpoint_alert(h.endpoint_id, 'warning', warning, news.echo);
			ELSIF news.taken > 0 AND h.probe_at IS NULL AND h.unauthorized < enough_unauthorized
				AND h.rejected < enough_rejected
			THEN
				PERFORM hotdash._endpoint_alert(e.id, NULL, NULL, news.echo) FROM hotdash._endpoint AS e
					WHERE e.id = h.endpoint_id AND e.enabled;
			END IF;
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_react(hotdash._endpoint_news, timestamptz) IS
	'Draws the consequences of a report for one endpoint: pause, breaker, disabling';
REVOKE ALL ON FUNCTION hotdash._endpoint_react(hotdash._endpoint_news, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._deliveries_expire() RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * Deliveries are ended by the claim that finds them past their max_age. What is behind an endpoint that is held back
	 * is not claimed, so it is looked through here, in the order in which it was published and each once: up to where, is
	 * kept with the endpoint. Of one instant there may be more than one transaction may end.
	 */
	DECLARE
		now constant timestamptz := hotdash._now();
		at_once constant int := hotdash._job_at_once();
		room int := at_once;
		more bool := false;
		e record;
		d record;
		late bigint[];
		ended int;
	BEGIN
		FOR e IN
			SELECT x.id, x.max_age, greatest(x.expired_to, coalesce(x.disabled_at, h.failing_since, o.consent_at, now) - x.max_age)
				AS since
			FROM hotdash._endpoint AS x
			LEFT JOIN hotdash._endpoint_health AS h ON h.endpoint_id = x.id
			LEFT JOIN hotdash._endpoint_option AS o ON o.endpoint_id = x.id AND o.consent <> 'granted'
			WHERE NOT x.enabled OR greatest(h.paused_until, h.probe_at) > now OR o.endpoint_id IS NOT NULL
			ORDER BY x.id
			FOR NO KEY UPDATE OF x SKIP LOCKED
		LOOP
			IF room = 0 THEN
				RETURN true;
			END IF;
			SELECT array_agg(x.id) AS ids, max(x.created_at) AS last, count(*) AS n INTO d
				FROM (SELECT y.id, y.created_at FROM hotdash._delivery AS y
					WHERE y.endpoint_id = e.id AND y.created_at >= e.since AND y.created_at <= now - e.max_age
					ORDER BY y.created_at FETCH FIRST at_once ROWS WITH TIES) AS x;
			CONTINUE WHEN d.n = 0;
			late := ARRAY(SELECT j.id FROM hotdash._job AS j WHERE j.id = ANY (d.ids) AND j.expires_at <= now);
			ended := hotdash._job_expire(late[:room]);
			-- What others hold does not end here, and is no reason to come back.
			IF cardinality(late) > room AND ended > 0 THEN
				RETURN true;
			END IF;
			room := room - ended;
			more := more OR d.n >= at_once;
			UPDATE hotdash._endpoint AS x SET expired_to = d.last + interval '1 microsecond' WHERE x.id = e.id;
		END LOOP;
		RETURN more;
	END
	$$;
COMMENT ON FUNCTION hotdash._deliveries_expire() IS
	'Ends deliveries that are past their max_age behind endpoints that are held back; true when there may be more';
REVOKE ALL ON FUNCTION hotdash._deliveries_expire() FROM PUBLIC;
