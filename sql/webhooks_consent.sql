/*
 * webhooks_consent.sql: asking a receiver whether it wants to be sent to.
 *
 * Model. The handshake of "HTTP 1.1 Web Hooks for Event Delivery" (CloudEvents), chapter 4: an OPTIONS request to the
 * endpoint's url names us in WebHook-Request-Origin; the receiver grants by naming us, or anybody, in
 * WebHook-Allowed-Origin, and may bound the rate by WebHook-Allowed-Rate, in requests a minute. A status alone grants
 * nothing. Until then the endpoint's flow is held (_endpoint_flow), so its deliveries wait without an attempt.
 *
 * The handshake is an HTTP request like any other (webhooks_request.sql), on the endpoint's way: its proxy, its
 * certificate. The job engine tries it again until it was granted; when it dies the endpoint is disabled. Only the last
 * handshake of an endpoint counts: the answer to one before it changes nothing.
 *
 * Locks: jobs first, then _endpoint (_endpoints_hold), then _endpoint_option, each in the order of endpoints, then
 * _job_flow. Who holds an endpoint and asks anew adds a job, and cancels the one before without waiting for it.
 */

CREATE FUNCTION hotdash._consent_drop(endpoint bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		request bigint;
	BEGIN
		-- Whoever holds it is reporting it, and may be about to wait for this endpoint.
		SELECT q.id INTO request
			FROM hotdash._endpoint_option AS o
			JOIN hotdash._http_request AS q ON q.id = o.consent_request
			JOIN hotdash._job AS j ON j.id = q.id
			WHERE o.endpoint_id = endpoint
			FOR UPDATE OF q, j SKIP LOCKED;
		IF FOUND THEN
			PERFORM hotdash.job_cancel(request);
			UPDATE hotdash._http_request AS q SET gone_at = hotdash._now() + q.keep WHERE q.id = request;
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._consent_drop(bigint) IS 'Cancels the handshake with an endpoint''s receiver, if one waits';
REVOKE ALL ON FUNCTION hotdash._consent_drop(bigint) FROM PUBLIC;

CREATE FUNCTION hotdash._consent_ask(e hotdash._endpoint) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		origin constant text := current_setting('hotdash.webhook_origin');
		request bigint;
	BEGIN
		PERFORM hotdash._consent_drop(e.id);
		request := hotdash.http_request(e.url, 'OPTIONS',
			headers => jsonb_strip_nulls(jsonb_build_object('WebHook-Request-Origin', origin,
				'WebHook-Request-Rate', CASE WHEN e.rate IS NOT NULL THEN
					greatest(floor(e.rate * 60 / extract(epoch FROM e.rate_period)), 1)::text END)),
			timeout => e.timeout, max_attempts => 5,
			options => jsonb_build_object('tenant', e.tenant, 'max_age', '1 day', 'keep', '1 day',
				'backoff', '{"type":"exponential","base":"1min","factor":6,"cap":"12h","jitter":"equal"}'::jsonb));
		UPDATE hotdash._endpoint_option AS o
			SET consent = 'pending', consent_origin = origin, consent_request = request, consent_rate = NULL,
				consent_at = hotdash._now()
			WHERE o.endpoint_id = e.id;
	END
	$$;
COMMENT ON FUNCTION hotdash._consent_ask(hotdash._endpoint) IS
	'Begins the handshake with an endpoint''s receiver; nothing is sent until it ends well';
REVOKE ALL ON FUNCTION hotdash._consent_ask(hotdash._endpoint) FROM PUBLIC;

CREATE FUNCTION hotdash._consent_answer(status int, headers text, origin text, OUT granted bool, OUT rate int)
	RETURNS record
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* A rate that cannot be read is no consent: nobody knows to what. One that is not there is no bound. */
	DECLARE
		h constant jsonb := hotdash._http_parse_headers(decode(headers, 'base64'));
		allowed constant text := coalesce(h ->> 'webhook-allowed-rate', '*');
	BEGIN
		granted := coalesce(status BETWEEN 200 AND 299 AND allowed ~ '^(\*|[1-9][0-9]{0,5})$'
			AND lower(h ->> 'webhook-allowed-origin') IN ('*', lower(origin)), false);
		IF granted AND allowed <> '*' THEN
			rate := allowed::int;
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._consent_answer(int, text, text) IS
	'Whether an answer is a consent, and to how many requests a minute; NULL: any number';
REVOKE ALL ON FUNCTION hotdash._consent_answer(int, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._consent_verdict(status int, headers text, origin text, usual_action text, usual_reason text,
		OUT action text, OUT reason text)
	RETURNS record
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		action := CASE WHEN (hotdash._consent_answer(status, headers, origin)).granted THEN 'complete' ELSE 'retry' END;
		reason := CASE WHEN action = 'complete' THEN 'consent_granted'
			WHEN usual_action = 'retry' THEN usual_reason ELSE 'consent_refused' END;
	END
	$$;
COMMENT ON FUNCTION hotdash._consent_verdict(int, text, text, text, text) IS
	'What follows from the answer to a handshake: complete when it is a consent, else another try';
REVOKE ALL ON FUNCTION hotdash._consent_verdict(int, text, text, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._consent_refuse(ids bigint[], why text) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		UPDATE hotdash._endpoint_option AS o
			SET consent = 'refused', consent_request = NULL, consent_at = hotdash._now()
			WHERE o.endpoint_id = ANY (ids);
		PERFORM hotdash._endpoint_switch_off(ids, 'no consent of the receiver: ' || why, 'critical', false);
	END
	$$;
COMMENT ON FUNCTION hotdash._consent_refuse(bigint[], text) IS 'Disables endpoints whose receivers do not consent';
REVOKE ALL ON FUNCTION hotdash._consent_refuse(bigint[], text) FROM PUBLIC;

CREATE FUNCTION hotdash._consent_settle(results hotdash._edge_result[], verdicts hotdash._edge_verdict[], states text[],
		at timestamptz)
	RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* A consent counts even when it is reported late; that a handshake has died counts once, when it does. */
	DECLARE
		c record;
	BEGIN
		FOR c IN
			SELECT o.endpoint_id, v.reason = 'consent_granted' AS granted, v.error, states[v.ordinality] AS state,
				(hotdash._consent_answer(r.status, r.headers, o.consent_origin)).rate
			FROM unnest(verdicts) WITH ORDINALITY AS v
			JOIN unnest(results) WITH ORDINALITY AS r ON r.ordinality = v.result
			JOIN hotdash._endpoint_option AS o ON o.consent_request = v.id
			WHERE v.endpoint_id IS NULL
			ORDER BY o.endpoint_id
			FOR UPDATE OF o
		LOOP
			IF c.granted THEN
				UPDATE hotdash._endpoint_option AS o
					SET consent = 'granted', consent_request = NULL, consent_rate = c.rate, consent_at = at
					WHERE o.endpoint_id = c.endpoint_id;
				PERFORM hotdash._endpoint_flow(ARRAY[c.endpoint_id]);
			ELSIF c.state = 'dead' THEN
				PERFORM hotdash._consent_refuse(ARRAY[c.endpoint_id], c.error);
			END IF;
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash._consent_settle(hotdash._edge_result[], hotdash._edge_verdict[], text[], timestamptz) IS
	'Lets go what waits for a consent that was given; disables endpoints whose handshake has died';
REVOKE ALL ON FUNCTION hotdash._consent_settle(hotdash._edge_result[], hotdash._edge_verdict[], text[], timestamptz)
	FROM PUBLIC;

CREATE FUNCTION hotdash._consent_tidy() RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * A handshake that was cancelled, expired or died with its edge ends without a report. The endpoints are locked
	 * first and looked at by a later statement: one that is being asked anew is skipped, or seen with its new job.
	 */
	DECLARE
		pending constant bigint[] := ARRAY(SELECT e.id FROM hotdash._endpoint AS e
			JOIN hotdash._endpoint_option AS o ON o.endpoint_id = e.id
			WHERE o.consent = 'pending' ORDER BY e.id FOR NO KEY UPDATE OF e SKIP LOCKED);
		ended bigint[];
	BEGIN
		ended := ARRAY(SELECT o.endpoint_id FROM hotdash._endpoint_option AS o
			WHERE o.endpoint_id = ANY (pending) AND o.consent = 'pending'
				AND NOT EXISTS (SELECT FROM hotdash._job AS j WHERE j.id = o.consent_request));
		IF cardinality(ended) > 0 THEN
			PERFORM hotdash._consent_refuse(ended, 'the handshake ended without an answer');
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._consent_tidy() IS 'Disables endpoints whose handshake ended without a report';
REVOKE ALL ON FUNCTION hotdash._consent_tidy() FROM PUBLIC;
