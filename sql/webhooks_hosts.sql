/*
 * webhooks_hosts.sql: how hosts do that http_request sends to: pauses, circuit breaker, pace, requests at once.
 *
 * Model. What webhooks_health.sql and webhooks_pace.sql say of endpoints holds for the hosts of requests, by the same
 * functions, with two differences: nobody has set a host up, so nothing switches it off and no alert tells of it; and
 * there is no row that lasts. What goes to one host for one tenant is a flow, host:<host>/<tenant>, of which the engine
 * knows by its name alone that it has a soft concurrency of 64 (extension/jobs/flows.h). _http_host has a row only while
 * there is something bad to remember, an hour from the last report that said so at most, and until a hold is over;
 * _job_flow has one while that changes what may be sent. So there is never more to remember than hosts that failed in
 * the last hour.
 *
 * Host and tenant, not the host alone: else the requests of one tenant to a URL of his choice could hold up those of
 * another, and job_explain would tell the one how the other's do. The price is that a host which asks for a pause is
 * asked once by each tenant.
 *
 * Locks: after those on _endpoint_health, _http_host in the order of flows, then _job_flow. Who forgets skips what is locked.
 */

CREATE TABLE hotdash._http_host (
	flow text COLLATE "C" PRIMARY KEY,
	keep_until timestamptz NOT NULL,        -- then it is forgotten
	health jsonb NOT NULL                   -- a row of _endpoint_health, by the names of its columns
) WITH (fillfactor = 50);
CREATE INDEX _http_host_keep ON hotdash._http_host (keep_until);
COMMENT ON TABLE hotdash._http_host IS 'What is to be remembered of hosts of requests that do not do well, each for one tenant';
SELECT pg_catalog.pg_extension_config_dump('hotdash._http_host', '');

CREATE FUNCTION hotdash._http_flow(url text, tenant text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* No host has a slash, so no two pairs have one name. A flow's name may have 255 bytes. */
	DECLARE
		host constant text := regexp_replace(substring(lower(url) FROM '^https?://([^/?#]*)'),
			CASE WHEN lower(url) ^@ 'https:' THEN ':443$' ELSE ':80$' END, '');
		name constant text := 'host:' || host || '/' || tenant;
	BEGIN
		IF octet_length(name) > 255 THEN
			RETURN 'host:' || left(host, 180) || '/' || encode(sha256(convert_to(name, 'UTF8')), 'hex');
		END IF;
		RETURN name;
	END
	$$;
COMMENT ON FUNCTION hotdash._http_flow(text, text) IS 'Name of the flow of a tenant''s requests to the host of a URL';
REVOKE ALL ON FUNCTION hotdash._http_flow(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._http_host_flow(flow text, h hotdash._endpoint_health, at timestamptz) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	#variable_conflict use_column
	DECLARE
		host constant text := split_part(substr(flow, 6), '/', 1);
		width constant int := CASE WHEN h.probe_at IS NULL THEN 64 ELSE 1 END;
		held_until constant timestamptz := greatest(h.paused_until, h.probe_at);
		p record;
	BEGIN
		p := hotdash._endpoint_pace_rate(h.pace, NULL, NULL);
		IF h.probe_at IS NULL AND h.pace IS NULL AND coalesce(held_until <= at, true) THEN
			DELETE FROM hotdash._job_flow AS f WHERE f.hash = hotdash._job_flow_hash(_http_host_flow.flow);
			RETURN;
		END IF;
		INSERT INTO hotdash._job_flow AS f (hash, flow, concurrency, soft, rate, rate_period_us, rate_reason, held_until,
				held_reason)
			VALUES (hotdash._job_flow_hash(_http_host_flow.flow), _http_host_flow.flow, width, h.probe_at IS NULL, p.rate,
				p.period_us, CASE WHEN p.paced THEN format('%s answered 429, last at %s (%s a second are tried)', host,
					h.refused_at, round(h.pace::numeric, 2)) END, held_until,
				CASE WHEN h.probe_at IS NULL OR h.paused_until >= h.probe_at THEN host || ' asked for a pause'
					ELSE 'the breaker of ' || host || ' is open after ' || cardinality(h.failed_at) || ' failures' END)
			ON CONFLICT (hash) DO UPDATE SET concurrency = excluded.concurrency, soft = excluded.soft, rate = excluded.rate,
				rate_period_us = excluded.rate_period_us, rate_reason = excluded.rate_reason,
				held_until = excluded.held_until, held_reason = excluded.held_reason
			WHERE (f.concurrency, f.soft, f.rate, f.rate_period_us, f.rate_reason, f.held_until, f.held_reason)
				IS DISTINCT FROM (excluded.concurrency, excluded.soft, excluded.rate, excluded.rate_period_us,
					excluded.rate_reason, excluded.held_until, excluded.held_reason);
	END
	$$;
COMMENT ON FUNCTION hotdash._http_host_flow(text, hotdash._endpoint_health, timestamptz) IS
	'Brings the limits of requests to a host up to date with how it does; those that every host has need no row';
REVOKE ALL ON FUNCTION hotdash._http_host_flow(text, hotdash._endpoint_health, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._http_host_react(news hotdash._endpoint_news, at timestamptz) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* The row is made first and locked, so that two reports on one host count both; a success may delete it in between. */
	DECLARE
		was jsonb;
		h hotdash._endpoint_health;
	BEGIN
		LOOP
			INSERT INTO hotdash._http_host (flow, keep_until, health)
				VALUES (news.flow, at, '{"failed_at": [], "opened": 0, "unauthorized": 0, "rejected": 0, "refusals": 0}')
				ON CONFLICT DO NOTHING;
			SELECT x.health INTO was FROM hotdash._http_host AS x WHERE x.flow = news.flow FOR UPDATE;
			EXIT WHEN FOUND;
		END LOOP;
		h := hotdash._endpoint_after(jsonb_populate_record(NULL::hotdash._endpoint_health, was), news, at);
		IF h.failed_at = '{}' AND h.pace IS NULL AND coalesce(h.paused_until <= at, true) THEN
			DELETE FROM hotdash._http_host AS x WHERE x.flow = news.flow;
		ELSE
			UPDATE hotdash._http_host AS x
				SET health = to_jsonb(h), keep_until = greatest(at + interval '1 hour', h.paused_until, h.probe_at)
				WHERE x.flow = news.flow;
		END IF;
		PERFORM hotdash._http_host_flow(news.flow, h, at);
	END
	$$;
COMMENT ON FUNCTION hotdash._http_host_react(hotdash._endpoint_news, timestamptz) IS
	'Draws the consequences of a report for one host of requests: pause, pace, breaker';
REVOKE ALL ON FUNCTION hotdash._http_host_react(hotdash._endpoint_news, timestamptz) FROM PUBLIC;

CREATE FUNCTION hotdash._http_hosts_forget() RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		at_once constant int := 1000;
		flows text[];
	BEGIN
		flows := ARRAY(SELECT x.flow FROM hotdash._http_host AS x WHERE x.keep_until <= hotdash._now()
			ORDER BY x.keep_until LIMIT at_once FOR UPDATE SKIP LOCKED);
		DELETE FROM hotdash._http_host AS x WHERE x.flow = ANY (flows);
		DELETE FROM hotdash._job_flow AS f
			WHERE f.hash IN (SELECT hotdash._job_flow_hash(u.flow) FROM unnest(flows) AS u (flow));
		RETURN cardinality(flows) = at_once;
	END
	$$;
COMMENT ON FUNCTION hotdash._http_hosts_forget() IS
	'Deletes what is remembered of hosts of which nothing was heard for an hour; true when there may be more';
REVOKE ALL ON FUNCTION hotdash._http_hosts_forget() FROM PUBLIC;
