/*
 * webhooks_publish.sql: an event becomes a message, and a delivery for each endpoint that wants it.
 */

CREATE FUNCTION hotdash._message_insert(event_type text, body bytea, content_type text, idempotency_key text,
		order_key text, tenant text, traceparent text)
	RETURNS hotdash._message
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * Returns the new message, or NULL and nothing new when the key was used already. A key that an open transaction
	 * holds is waited for: its end decides which of the two it is. One that has had its time is taken over, by whoever
	 * comes first, whether or not the tick has been there.
	 */
	DECLARE
		now constant timestamptz := hotdash._now();
		m hotdash._message;
	BEGIN
		m := ROW(hotdash._message_new_id(), tenant, event_type, content_type, now, octet_length(body), 0, idempotency_key,
			order_key, traceparent, body);
		IF idempotency_key IS NOT NULL THEN
			IF octet_length(idempotency_key) NOT BETWEEN 1 AND 255 THEN
				RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
					MESSAGE = 'idempotency_key must be 1 to 255 bytes long';
			END IF;
			INSERT INTO hotdash._message_key AS k (tenant, key, message_id, created_at)
				VALUES (tenant, idempotency_key, m.id, now)
				ON CONFLICT DO NOTHING;
			IF NOT FOUND THEN
				UPDATE hotdash._message_key AS k SET message_id = m.id, created_at = now
					WHERE k.tenant = m.tenant AND k.key = m.idempotency_key AND hotdash._message_expires(k.created_at) <= now;
				IF NOT FOUND THEN
					RETURN NULL;
				END IF;
			END IF;
		END IF;
		m.part := hotdash._webhook_file(ARRAY[m]);
		RETURN m;
	END
	$$;
COMMENT ON FUNCTION hotdash._message_insert(text, bytea, text, text, text, text, text) IS
	'Writes a message, unless its idempotency key was used already and is still remembered';
REVOKE ALL ON FUNCTION hotdash._message_insert(text, bytea, text, text, text, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._delivery_backoff() RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	AS $$ SELECT '{"type":"exponential","base":"10s","factor":6,"cap":"12h","jitter":"equal"}'::jsonb $$;
COMMENT ON FUNCTION hotdash._delivery_backoff() IS 'Schedule of an endpoint that states none: 10 s, 1 min, 6 min, 36 min';
REVOKE ALL ON FUNCTION hotdash._delivery_backoff() FROM PUBLIC;

CREATE FUNCTION hotdash._deliver(m hotdash._message, endpoints bigint[]) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	-- What is gained by knowing how many endpoints there are costs more: a plan for each call.
	SET plan_cache_mode = force_generic_plan
	AS $$
	/*
	 * One statement for all endpoints. Jobs of one call share their options, so endpoints with the same ones go
	 * together. The part in the payload is where to look for the message first.
	 */
	DECLARE
		now constant timestamptz := hotdash._now();
	BEGIN
		PERFORM hotdash._webhook_file(array_agg(
			ROW(d.job_id, d.endpoint_id, now, 0, m.tenant, m.id, m.event_type)::hotdash._delivery))
		FROM (
			SELECT array_agg(e.id ORDER BY e.id) AS endpoints,
				hotdash._job_enqueue_many('webhook.delivery',
					array_agg(jsonb_build_object('message', m.id, 'part', m.part, 'endpoint', e.id::text) ORDER BY e.id),
					queue => 'webhooks',
					max_attempts => e.max_attempts,
					order_keys => array_agg(CASE WHEN e.ordered THEN e.id || '/' || m.order_key END ORDER BY e.id),
					tenant => m.tenant,
					options => jsonb_strip_nulls(jsonb_build_object(
						'backoff', coalesce(e.backoff, hotdash._delivery_backoff()),
						'expires_at', now + e.max_age,
						'traceparent', m.traceparent,
						'flows', jsonb_agg(hotdash._endpoint_flow_name(e.id) ORDER BY e.id)))) AS jobs
			FROM hotdash._endpoint AS e
			WHERE e.id = ANY (_deliver.endpoints)
			GROUP BY e.max_attempts, e.backoff, e.max_age
		) AS batch, unnest(batch.jobs, batch.endpoints) AS d (job_id, endpoint_id);
	END
	$$;
COMMENT ON FUNCTION hotdash._deliver(hotdash._message, bigint[]) IS 'A delivery of a message to each of the endpoints';
REVOKE ALL ON FUNCTION hotdash._deliver(hotdash._message, bigint[]) FROM PUBLIC;

CREATE FUNCTION hotdash._publish(event_type text, body bytea, content_type text, document jsonb, idempotency_key text,
		order_key text, tenant text, options jsonb)
	RETURNS text
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		owner constant text := hotdash._webhook_tenant(tenant);
		traceparent constant text := coalesce(hotdash._trace_check(options ->> 'traceparent'), hotdash.trace_current());
		endpoints bigint[];
		m hotdash._message;
		id text;
	BEGIN
		PERFORM hotdash._message_check(event_type, octet_length(body));
		PERFORM hotdash._webhook_check_options(options, '{traceparent}');
		IF event_type ^@ 'hotdash.' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'event types that begin with "hotdash." are reserved';
		END IF;
		IF octet_length(order_key) NOT BETWEEN 1 AND 255 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'order_key must be 1 to 255 bytes long';
		END IF;
		LOOP
			m := hotdash._message_insert(event_type, body, content_type, idempotency_key, order_key, owner, traceparent);
			IF m.id IS NOT NULL THEN
				endpoints := ARRAY(
					SELECT e.id FROM hotdash._endpoint AS e
					WHERE e.tenant = owner AND e.enabled AND e.events && hotdash._event_patterns(event_type)
						AND (e.filter IS NULL OR hotdash._filter_accepts(document, e.filter)));
				IF cardinality(endpoints) > 0 THEN
					PERFORM hotdash._deliver(m, endpoints);
				END IF;
				RETURN m.id;
			END IF;
			SELECT k.message_id INTO id FROM hotdash._message_key AS k
				WHERE k.tenant = owner AND k.key = idempotency_key;
			IF FOUND THEN
				RETURN id;
			END IF;
			-- The key went away between the two statements: it is free again.
		END LOOP;
	END
	$$;
COMMENT ON FUNCTION hotdash._publish(text, bytea, text, jsonb, text, text, text, jsonb) IS
	'Common part of event_publish and event_publish_raw';
REVOKE ALL ON FUNCTION hotdash._publish(text, bytea, text, jsonb, text, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.event_publish(event_type text, payload jsonb, idempotency_key text DEFAULT NULL,
		order_key text DEFAULT NULL, tenant text DEFAULT NULL, options jsonb DEFAULT NULL)
	RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(event_type, 'event_type');
		PERFORM hotdash._require_arg(payload, 'payload');
		RETURN hotdash._publish(event_type, convert_to(payload::text, 'UTF8'), 'application/json', payload,
			idempotency_key, order_key, tenant, options);
	END
	$$;
COMMENT ON FUNCTION hotdash.event_publish(text, jsonb, text, text, text, jsonb) IS
	'Publishes an event to all endpoints that want it, when the transaction commits; returns the message id';
REVOKE ALL ON FUNCTION hotdash.event_publish(text, jsonb, text, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._event_operational(event_type text, payload jsonb, order_key text, tenant text,
		about bigint DEFAULT NULL)
	RETURNS text
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * An event of hotdash's own, which endpoints ask for like any other. The endpoint that it is about does not get
	 * it. No limit of events applies: what it tells of must not fail because of it. Nobody wants it: nothing is written.
	 * Of dead deliveries there may be so many that * does not ask for them.
	 */
	DECLARE
		patterns constant text[] := array_remove(hotdash._event_patterns(event_type),
			CASE WHEN event_type = 'hotdash.delivery.dead' THEN '*' END);
		traceparent constant text := hotdash.trace_current();
		endpoints constant bigint[] := ARRAY(
			SELECT e.id FROM hotdash._endpoint AS e
			WHERE e.tenant = _event_operational.tenant AND e.enabled AND e.id IS DISTINCT FROM about
				AND e.events && patterns
				AND (e.filter IS NULL OR hotdash._filter_accepts(payload, e.filter)));
		m hotdash._message;
	BEGIN
		IF cardinality(endpoints) > 0 THEN
			m := hotdash._message_insert(event_type, convert_to(payload::text, 'UTF8'), 'application/json', NULL, order_key,
				tenant, traceparent);
			PERFORM hotdash._deliver(m, endpoints);
		END IF;
		RETURN m.id;
	END
	$$;
COMMENT ON FUNCTION hotdash._event_operational(text, jsonb, text, text, bigint) IS
	'Publishes an event hotdash.* to the endpoints of a tenant, but for the one it is about; NULL when none wants it';
REVOKE ALL ON FUNCTION hotdash._event_operational(text, jsonb, text, text, bigint) FROM PUBLIC;

CREATE FUNCTION hotdash._event_echoes(event_type text, order_key text) RETURNS bool
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	-- Part of the query that calls it, for each result, which a SET clause would prevent.
	AS $$
		SELECT event_type OPERATOR(pg_catalog.^@) 'hotdash.'
			AND (event_type OPERATOR(pg_catalog.=) 'hotdash.delivery.dead'
				OR coalesce(order_key OPERATOR(pg_catalog.^@) 'hotdash.alert/endpoint:'
					OR order_key OPERATOR(pg_catalog.=) 'hotdash.alert/queue:webhooks', false))
	$$;
COMMENT ON FUNCTION hotdash._event_echoes(text, text) IS
	'Whether an event tells how deliveries do: what delivering it brings about must not be told, or it would never end';
REVOKE ALL ON FUNCTION hotdash._event_echoes(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._json_or_null(body bytea) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL RESTRICTED
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RETURN convert_from(body, 'UTF8')::jsonb;
	EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
		RETURN NULL;
	END
	$$;
COMMENT ON FUNCTION hotdash._json_or_null(bytea) IS 'Bytes as JSON, NULL when they are none';
REVOKE ALL ON FUNCTION hotdash._json_or_null(bytea) FROM PUBLIC;

CREATE FUNCTION hotdash.event_publish_raw(event_type text, body bytea, content_type text DEFAULT NULL,
		idempotency_key text DEFAULT NULL, order_key text DEFAULT NULL, tenant text DEFAULT NULL,
		options jsonb DEFAULT NULL)
	RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		type constant text := coalesce(content_type, 'application/octet-stream');
		document jsonb;
	BEGIN
		PERFORM hotdash._require_arg(event_type, 'event_type');
		PERFORM hotdash._require_arg(body, 'body');
		IF type !~ '^[a-zA-Z0-9!#$&^_.+-]+/[a-zA-Z0-9!#$&^_.+-]+([ \t]*;[ -~\t]*)?$' OR length(type) > 200 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'malformed content_type';
		END IF;
		-- Parsed only where a filter has to look into it: bytes are bytes.
		IF EXISTS (SELECT FROM hotdash._endpoint AS e
				WHERE e.tenant = hotdash._webhook_tenant(event_publish_raw.tenant) AND e.enabled
					AND e.filter IS NOT NULL) THEN
			document := hotdash._json_or_null(body);
		END IF;
		RETURN hotdash._publish(event_type, body, type, document, idempotency_key, order_key, tenant, options);
	END
	$$;
COMMENT ON FUNCTION hotdash.event_publish_raw(text, bytea, text, text, text, text, jsonb) IS
	'The same for a body of any type, sent byte for byte; endpoints with a filter get it only if it is JSON';
REVOKE ALL ON FUNCTION hotdash.event_publish_raw(text, bytea, text, text, text, text, jsonb) FROM PUBLIC;
