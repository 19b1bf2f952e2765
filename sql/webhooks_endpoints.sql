/*
 * webhooks_endpoints.sql: receivers of webhooks: made, changed, switched on and off.
 *
 * Locks: who changes an endpoint holds its row until the transaction ends (_endpoint_get).
 */

CREATE FUNCTION hotdash._endpoint_check_headers(headers jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		header record;
	BEGIN
		IF jsonb_typeof(headers) <> 'object' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'headers must be a JSON object of names and texts';
		END IF;
		PERFORM hotdash._webhook_check_header_room(headers);
		FOR header IN SELECT h.key, h.value, jsonb_typeof(h.value) AS type FROM jsonb_each(headers) AS h LOOP
			IF header.type <> 'string' THEN
				RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
					MESSAGE = 'headers must be a JSON object of names and texts';
			END IF;
			PERFORM hotdash._webhook_check_header(header.key, header.value #>> '{}');
		END LOOP;
		IF EXISTS (SELECT FROM jsonb_object_keys(headers) AS h GROUP BY lower(h) HAVING count(*) > 1) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'a header is given twice';
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_check_headers(jsonb) IS 'Raises 22023 unless all headers can be sent';
REVOKE ALL ON FUNCTION hotdash._endpoint_check_headers(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_check(e hotdash._endpoint) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._webhook_check_url(e.url);
		IF cardinality(e.events) = 0 OR array_position(e.events, NULL) IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'events must hold at least one pattern and no null';
		END IF;
		PERFORM hotdash._webhook_check_pattern(p) FROM unnest(e.events) AS p;
		PERFORM hotdash._endpoint_check_headers(e.headers);
		PERFORM hotdash._webhook_check_duration('timeout', e.timeout, '1 second', '60 seconds');
		PERFORM hotdash._webhook_check_duration('max_age', e.max_age, '1 second', '365 days');
		IF e.max_attempts NOT BETWEEN 1 AND 100 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'max_attempts must be between 1 and 100';
		END IF;
		IF e.backoff IS NOT NULL THEN
			PERFORM hotdash._backoff_delay(e.backoff, 1);
		END IF;
		IF e.rate NOT BETWEEN 1 AND 1000000 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'rate must be between 1 and 1000000';
		END IF;
		IF e.rate IS NULL AND e.rate_period IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'rate_period needs a rate';
		END IF;
		PERFORM hotdash._webhook_check_duration('rate_period', e.rate_period, '1 second', '1 day');
		IF e.concurrency NOT BETWEEN 1 AND 10000 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'concurrency must be between 1 and 10000';
		END IF;
		IF EXISTS (SELECT FROM unnest(e.retry_statuses) AS s
				WHERE s IS NULL OR s NOT BETWEEN 300 AND 599 OR s = 410) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'retry_statuses must be between 300 and 599, and not 410',
				DETAIL = '410 says that the endpoint is gone, and disables it.';
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_check(hotdash._endpoint) IS 'Raises 22023 for what an endpoint may not be';
REVOKE ALL ON FUNCTION hotdash._endpoint_check(hotdash._endpoint) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_check_options(options jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		types constant jsonb := '{"client_cert": "string", "consent": "boolean", "proxy": "string", "signing": "string"}';
		o record;
	BEGIN
		PERFORM hotdash._webhook_check_options(options, ARRAY['client_cert', 'consent', 'proxy', 'signing']);
		FOR o IN SELECT x.key, types ->> x.key AS type FROM jsonb_each(options) AS x
			WHERE jsonb_typeof(x.value) NOT IN ('null', types ->> x.key) LOOP
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('option "%s" must be a JSON %s', o.key, o.type);
		END LOOP;
		IF coalesce(options ->> 'signing', 'hmac') NOT IN ('hmac', 'ed25519') THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'option "signing" must be hmac or ed25519';
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_check_options(jsonb) IS 'Raises 22023 for options that an endpoint cannot have';
REVOKE ALL ON FUNCTION hotdash._endpoint_check_options(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.endpoint_create(
		url text,
		events text[] DEFAULT NULL,
		secret text DEFAULT NULL,
		tenant text DEFAULT NULL,
		headers jsonb DEFAULT NULL,
		timeout interval DEFAULT NULL,
		max_attempts int DEFAULT NULL,
		max_age interval DEFAULT NULL,
		backoff jsonb DEFAULT NULL,
		rate int DEFAULT NULL,
		rate_period interval DEFAULT NULL,
		concurrency int DEFAULT NULL,
		ordered bool DEFAULT NULL,
		filter jsonpath DEFAULT NULL,
		retry_statuses int[] DEFAULT NULL,
		options jsonb DEFAULT NULL)
	RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		now constant timestamptz := hotdash._now();
		e hotdash._endpoint;
	BEGIN
		PERFORM hotdash._require_arg(url, 'url');
		PERFORM hotdash._endpoint_check_options(options);
		e.tenant := hotdash._webhook_tenant(tenant);
		e.url := url;
		e.events := coalesce(events, '{*}');
		e.headers := coalesce(headers, '{}');
		e.header_names := hotdash._json_keys(e.headers);
		e.timeout := coalesce(timeout, '15 seconds');
		e.max_attempts := coalesce(max_attempts, 5);
		e.max_age := coalesce(max_age, '3 days');
		e.backoff := backoff;
		e.filter := filter;
		e.retry_statuses := retry_statuses;
		e.rate := rate;
		e.rate_period := coalesce(rate_period, CASE WHEN rate IS NOT NULL THEN interval '1 second' END);
		e.concurrency := concurrency;
		e.ordered := coalesce(ordered, false);
		PERFORM hotdash._endpoint_check(e);

		PERFORM hotdash._webhook_register();
		e.id := current_setting('hotdash.node_id')::bigint << 52 | nextval('hotdash._endpoint_id');
		e.enabled := true;
		e.created_at := now;
		e.updated_at := now;
		INSERT INTO hotdash._endpoint VALUES (e.*);
		PERFORM hotdash._endpoint_key_replace(e.id, secret, coalesce(options ->> 'signing', 'hmac'), '0');
		PERFORM hotdash._endpoint_set_options(e, options, false);
		PERFORM hotdash._endpoint_flow(ARRAY[e.id]);
		RETURN e.id;
	END
	$$;
COMMENT ON FUNCTION hotdash.endpoint_create(text, text[], text, text, jsonb, interval, int, interval, jsonb, int,
	interval, int, bool, jsonpath, int[], jsonb) IS 'A new receiver of webhooks; returns its id';
REVOKE ALL ON FUNCTION hotdash.endpoint_create(text, text[], text, text, jsonb, interval, int, interval, jsonb, int,
	interval, int, bool, jsonpath, int[], jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_get(id bigint) RETURNS hotdash._endpoint
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		own text := hotdash._webhook_tenant(NULL);
		e hotdash._endpoint;
	BEGIN
		PERFORM hotdash._require_arg(id, 'id');
		SELECT * INTO e FROM hotdash._endpoint AS x
			WHERE x.id = _endpoint_get.id AND (own = '' OR x.tenant = own)
			FOR NO KEY UPDATE;
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('endpoint %s does not exist', id);
		END IF;
		RETURN e;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_get(bigint) IS 'Locks an endpoint that this session may see, or 42704';
REVOKE ALL ON FUNCTION hotdash._endpoint_get(bigint) FROM PUBLIC;

CREATE FUNCTION hotdash.endpoint_update(id bigint, changes jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * The keys of changes are the argument names of endpoint_create; null means that argument's default, a key that
	 * is not there keeps its value.
	 */
	DECLARE
		known constant text[] := ARRAY['backoff', 'concurrency', 'events', 'filter', 'headers', 'max_age',
			'max_attempts', 'options', 'ordered', 'rate', 'rate_period', 'retry_statuses', 'timeout', 'url'];
		e hotdash._endpoint := hotdash._endpoint_get(id);
		url_before constant text := e.url;
		options jsonb := '{}';
		change record;
	BEGIN
		PERFORM hotdash._require_arg(changes, 'changes');
		PERFORM hotdash._webhook_check_options(changes, known);
		FOR change IN SELECT c.key, nullif(c.value, 'null') AS value, c.value #>> '{}' AS text
			FROM jsonb_each(changes) AS c LOOP
			CASE change.key
				WHEN 'url' THEN
					PERFORM hotdash._require_arg(change.text, 'url');
					e.url := change.text;
				WHEN 'events' THEN
					e.events := coalesce(hotdash._json_texts(change.value, 'events'), '{*}');
				WHEN 'headers' THEN e.headers := coalesce(change.value, '{}');
				WHEN 'timeout' THEN e.timeout := hotdash._webhook_read(change.text, 'timeout', interval '15 seconds');
				WHEN 'max_attempts' THEN e.max_attempts := hotdash._webhook_read(change.text, 'max_attempts', 5);
				WHEN 'max_age' THEN e.max_age := hotdash._webhook_read(change.text, 'max_age', interval '3 days');
				WHEN 'backoff' THEN e.backoff := change.value;
				WHEN 'filter' THEN e.filter := hotdash._webhook_read(change.text, 'filter', NULL::jsonpath);
				WHEN 'retry_statuses' THEN
					e.retry_statuses := hotdash._webhook_read(hotdash._json_texts(change.value, 'retry_statuses')::text,
						'retry_statuses', NULL::int[]);
				WHEN 'options' THEN
					PERFORM hotdash._endpoint_check_options(change.value);
					PERFORM hotdash._endpoint_set_signing(e.id, change.value);
					options := coalesce(change.value, '{"client_cert": null, "consent": null, "proxy": null}');
				WHEN 'rate' THEN e.rate := hotdash._webhook_read(change.text, 'rate', NULL::int);
				WHEN 'rate_period' THEN e.rate_period := hotdash._webhook_read(change.text, 'rate_period', NULL::interval);
				WHEN 'concurrency' THEN e.concurrency := hotdash._webhook_read(change.text, 'concurrency', NULL::int);
				WHEN 'ordered' THEN e.ordered := hotdash._webhook_read(change.text, 'ordered', false);
			END CASE;
		END LOOP;
		e.rate_period := CASE WHEN e.rate IS NOT NULL OR changes ? 'rate_period'
			THEN coalesce(e.rate_period, CASE WHEN e.rate IS NOT NULL THEN interval '1 second' END) END;
		e.header_names := hotdash._json_keys(e.headers);
		PERFORM hotdash._endpoint_check(e);
		UPDATE hotdash._endpoint AS x
			SET url = e.url, events = e.events, headers = e.headers, header_names = e.header_names,
				timeout = e.timeout, max_attempts = e.max_attempts, max_age = e.max_age, backoff = e.backoff, filter = e.filter,
				retry_statuses = e.retry_statuses, rate = e.rate, rate_period = e.rate_period, concurrency = e.concurrency,
				ordered = e.ordered, updated_at = hotdash._now(),
				moved_at = CASE WHEN e.url <> url_before THEN hotdash._now() ELSE x.moved_at END
			WHERE x.id = e.id;
		PERFORM hotdash._endpoint_set_options(e, options, e.url <> url_before);
		IF e.url <> url_before THEN
			-- It was another receiver that failed, asked for a pause or was too slow; see _edge_react for what it still says.
			DELETE FROM hotdash._endpoint_health AS h WHERE h.endpoint_id = e.id;
			PERFORM hotdash._endpoint_alert(e.id, NULL, NULL, false) WHERE e.enabled;
		END IF;
		PERFORM hotdash._endpoint_flow(ARRAY[e.id]);
	END
	$$;
COMMENT ON FUNCTION hotdash.endpoint_update(bigint, jsonb) IS
	'Changes what is named; deliveries that are waiting go by the new url, headers and timeout; another url forgets how the receiver did';
REVOKE ALL ON FUNCTION hotdash.endpoint_update(bigint, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.endpoint_enable(id bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		e hotdash._endpoint := hotdash._endpoint_get(id);
	BEGIN
		UPDATE hotdash._endpoint AS x
			SET enabled = true, disabled_reason = NULL, disabled_at = NULL, updated_at = hotdash._now()
			WHERE x.id = e.id;
		DELETE FROM hotdash._endpoint_health AS h WHERE h.endpoint_id = e.id;
		PERFORM hotdash._consent_ask(e) FROM hotdash._endpoint_option AS o
			WHERE o.endpoint_id = e.id AND (o.consent <> 'granted' OR o.consent IS NOT NULL AND NOT e.enabled);
		PERFORM hotdash._endpoint_flow(ARRAY[e.id]);
		PERFORM hotdash._endpoint_alert(e.id, NULL, NULL, false);
	END
	$$;
COMMENT ON FUNCTION hotdash.endpoint_enable(bigint) IS
	'Switches an endpoint on, forgets its failures, ends its pause, and lets go what was parked for it, once its receiver consents if it is to be asked';
REVOKE ALL ON FUNCTION hotdash.endpoint_enable(bigint) FROM PUBLIC;

CREATE FUNCTION hotdash.endpoint_disable(id bigint, reason text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		e hotdash._endpoint := hotdash._endpoint_get(id);
	BEGIN
		PERFORM hotdash._endpoint_switch_off(ARRAY[e.id], coalesce(reason, 'by hand'), 'info', false);
	END
	$$;
COMMENT ON FUNCTION hotdash.endpoint_disable(bigint, text) IS
	'Switches an endpoint off: it gets no new deliveries, and those that are waiting are not sent until it is enabled';
REVOKE ALL ON FUNCTION hotdash.endpoint_disable(bigint, text) FROM PUBLIC;

CREATE FUNCTION hotdash.endpoint_secret(id bigint) RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		e hotdash._endpoint := hotdash._endpoint_get(id);
	BEGIN
		RETURN hotdash._endpoint_key_text(e.id, k.key)
			FROM hotdash._endpoint_key AS k
			WHERE k.endpoint_id = e.id AND k.retires_at IS NULL;
	END
	$$;
COMMENT ON FUNCTION hotdash.endpoint_secret(bigint) IS
	'What the receiver needs to check signatures: the current secret, or the public key; for admins only';
REVOKE ALL ON FUNCTION hotdash.endpoint_secret(bigint) FROM PUBLIC;
