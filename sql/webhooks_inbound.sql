/*
 * webhooks_inbound.sql: webhooks that others send us.
 *
 * Model. A source is a name in a URL: who sends there, how it is signed, and which kind of job each type of event
 * becomes. inbound_receive checks one request and enqueues its job in the same transaction: both or neither. The id of
 * a message is written before its job, so a unique index decides which of two that come at once is the first; the
 * other waits for its end.
 *
 * Nothing is written for a request that is refused, so strangers cannot fill a table, and what was refused for its
 * payload may be sent again once the contract was corrected.
 */

CREATE TABLE hotdash._inbound (
	source text COLLATE "C" PRIMARY KEY,
	tenant text NOT NULL,
	scheme text NOT NULL,
	enabled bool NOT NULL,
	routes jsonb NOT NULL,                  -- pattern of event types to {kind, queue, priority, order_key}, or null
	payload_schema jsonb,
	tolerance interval NOT NULL,            -- of the signed time, where the scheme has one
	keep interval NOT NULL,                 -- ids of messages, so long at least
	max_payload int NOT NULL,               -- bytes
	dedupe text NOT NULL,                   -- id or body
	event_header text,                      -- where the event type is, instead of where the scheme has it
	event_path jsonpath,
	headers text[] NOT NULL,                -- that are handed to the job
	created_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL
);
COMMENT ON TABLE hotdash._inbound IS 'Who may send webhooks to us, and what becomes of them';
SELECT pg_catalog.pg_extension_config_dump('hotdash._inbound', '');

CREATE TABLE hotdash._inbound_key (
	source text COLLATE "C" NOT NULL REFERENCES hotdash._inbound ON DELETE CASCADE,
	version int NOT NULL,                   -- from 1
	created_at timestamptz NOT NULL,
	retires_at timestamptz,                 -- NULL: current, one per source
	secret bytea NOT NULL,                  -- sealed (extension/core/secret.h); readable by the owner only
	PRIMARY KEY (source, version)
);
COMMENT ON TABLE hotdash._inbound_key IS 'Secrets of sources; several while one replaces another';
SELECT pg_catalog.pg_extension_config_dump('hotdash._inbound_key', '');

CREATE TABLE hotdash._inbound_message (
	source text COLLATE "C" NOT NULL,
	message_id text COLLATE "C" NOT NULL,
	tenant text NOT NULL,
	received_at timestamptz NOT NULL,
	expires_at timestamptz NOT NULL,
	job_id bigint,
	event_type text,
	PRIMARY KEY (source, message_id)
) WITH (fillfactor = 80);
CREATE INDEX _inbound_message_expires ON hotdash._inbound_message (expires_at);
COMMENT ON TABLE hotdash._inbound_message IS 'Messages that were taken: what comes again is known by its id';
SELECT pg_catalog.pg_extension_config_dump('hotdash._inbound_message', '');

/*
 * In C
 */

CREATE FUNCTION hotdash._inbound_seal(source text, scheme text, secret text) RETURNS bytea
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_inbound_seal' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._inbound_seal(text, text, text) IS
	'A secret as it is stored; 22023 when it cannot be one of the scheme';
REVOKE ALL ON FUNCTION hotdash._inbound_seal(text, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_verify(source text, scheme text, secrets bytea[], headers jsonb, body bytea,
		tolerance int) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_inbound_verify' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._inbound_verify(text, text, bytea[], jsonb, bytea, int) IS
	'NULL when a request is signed by one of the secrets, else why not; as slow where there is no such source';
REVOKE ALL ON FUNCTION hotdash._inbound_verify(text, text, bytea[], jsonb, bytea, int) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_trace(headers jsonb) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_inbound_trace' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._inbound_trace(jsonb) IS
	'The traceparent of a request, or a new one where it has none that is valid';
REVOKE ALL ON FUNCTION hotdash._inbound_trace(jsonb) FROM PUBLIC;

/*
 * Sources
 */

CREATE FUNCTION hotdash._inbound_check_route(pattern text, route jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._webhook_check_pattern(pattern);
		IF jsonb_typeof(route) = 'string' THEN
			route := jsonb_build_object('kind', route);
		ELSIF jsonb_typeof(route) = 'null' THEN
			RETURN route;
		ELSIF jsonb_typeof(route) <> 'object' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('route "%s" must be a kind, an object or null', pattern);
		END IF;
		PERFORM hotdash._webhook_check_options(route, ARRAY['kind', 'order_key', 'priority', 'queue']);
		IF coalesce(route ->> 'kind', '') = '' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('route "%s" names no kind', pattern);
		END IF;
		IF hotdash._webhook_read(route ->> 'priority', 'priority', 0) NOT BETWEEN 0 AND 9 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('priority of route "%s" must be between 0 and 9', pattern);
		END IF;
		PERFORM hotdash._webhook_read(route ->> 'order_key', 'order_key', NULL::jsonpath);
		RETURN route;
	END
	$$;
COMMENT ON FUNCTION hotdash._inbound_check_route(text, jsonb) IS 'A route as it is stored, or 22023';
REVOKE ALL ON FUNCTION hotdash._inbound_check_route(text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_check_routes(routes jsonb) RETURNS jsonb
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		IF routes IS NULL THEN
			RETURN '{"*": {"kind": "process-webhook"}}';
		END IF;
		IF jsonb_typeof(routes) <> 'object' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'routes must be a JSON object of event patterns and kinds';
		END IF;
		RETURN coalesce((SELECT jsonb_object_agg(r.key, hotdash._inbound_check_route(r.key, r.value))
			FROM jsonb_each(routes) AS r), '{}');
	END
	$$;
COMMENT ON FUNCTION hotdash._inbound_check_routes(jsonb) IS
	'Routes as they are stored, or 22023; by default all events become jobs of kind process-webhook';
REVOKE ALL ON FUNCTION hotdash._inbound_check_routes(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_check(i hotdash._inbound) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		IF i.source !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'source must be 1 to 64 letters, digits, dots, underscores and dashes',
				DETAIL = 'It is a part of the URL that the sender is given.';
		END IF;
		PERFORM hotdash._webhook_check_duration('tolerance', i.tolerance, '1 second', '1 day');
		PERFORM hotdash._webhook_check_duration('keep', i.keep, '1 minute', '365 days');
		-- A message must not come again by its age after its id was forgotten.
		IF i.keep < 2 * i.tolerance THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'keep must be at least twice the tolerance';
		END IF;
		IF i.max_payload NOT BETWEEN 1 AND 64 * 1024 * 1024 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'max_payload must be between 1 and 67108864 bytes';
		END IF;
		IF i.dedupe NOT IN ('id', 'body') THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'dedupe must be id or body';
		END IF;
		IF i.payload_schema IS NOT NULL THEN
			PERFORM hotdash.validate(i.payload_schema, 'null');
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._inbound_check(hotdash._inbound) IS 'Raises 22023 for what a source may not be';
REVOKE ALL ON FUNCTION hotdash._inbound_check(hotdash._inbound) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_get(source text) RETURNS hotdash._inbound
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		i hotdash._inbound;
	BEGIN
		PERFORM hotdash._require_arg(source, 'source');
		SELECT * INTO i FROM hotdash._inbound AS x
			WHERE x.source = _inbound_get.source AND hotdash._tenant_sees(x.tenant)
			FOR NO KEY UPDATE;
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('source "%s" does not exist', source);
		END IF;
		RETURN i;
	END
	$$;
COMMENT ON FUNCTION hotdash._inbound_get(text) IS 'Locks a source that this session may see, or 42704';
REVOKE ALL ON FUNCTION hotdash._inbound_get(text) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_key_replace(source text, sealed bytea, overlap interval) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* The caller holds the source's row. An overlap shortens those that run already. */
	DECLARE
		now constant timestamptz := hotdash._now();
	BEGIN
		UPDATE hotdash._inbound_key AS k SET retires_at = least(k.retires_at, now + overlap)
			WHERE k.source = _inbound_key_replace.source;
		DELETE FROM hotdash._inbound_key AS k WHERE k.source = _inbound_key_replace.source AND k.retires_at <= now;
		PERFORM hotdash._secret_check_room(format('source "%s"', _inbound_key_replace.source), count(*))
			FROM hotdash._inbound_key AS k WHERE k.source = _inbound_key_replace.source;
		INSERT INTO hotdash._inbound_key (source, version, created_at, secret)
			SELECT _inbound_key_replace.source, coalesce(max(k.version), 0) + 1, now, sealed
			FROM hotdash._inbound_key AS k WHERE k.source = _inbound_key_replace.source;
	END
	$$;
COMMENT ON FUNCTION hotdash._inbound_key_replace(text, bytea, interval) IS
	'A new secret for a source; the ones before go on being accepted for the overlap';
REVOKE ALL ON FUNCTION hotdash._inbound_key_replace(text, bytea, interval) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_row(source text, scheme text, routes jsonb, payload_schema jsonb, options jsonb)
	RETURNS hotdash._inbound
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		i hotdash._inbound;
	BEGIN
		PERFORM hotdash._webhook_check_options(options, ARRAY['dedupe', 'enabled', 'event_header', 'event_path', 'headers',
			'keep', 'max_payload', 'tenant', 'tolerance']);
		i.source := source;
		i.tenant := hotdash._webhook_tenant(options ->> 'tenant');
		i.scheme := scheme;
		i.enabled := hotdash._webhook_read(options ->> 'enabled', 'enabled', true);
		i.routes := hotdash._inbound_check_routes(routes);
		i.payload_schema := payload_schema;
		i.tolerance := hotdash._webhook_read(options ->> 'tolerance', 'tolerance', interval '5 minutes');
		i.keep := hotdash._webhook_read(options ->> 'keep', 'keep', interval '7 days');
		i.max_payload := hotdash._webhook_read(options ->> 'max_payload', 'max_payload',
			pg_size_bytes(current_setting('hotdash.webhook_max_payload'))::int);
		i.dedupe := coalesce(options ->> 'dedupe', 'id');
		i.event_header := lower(options ->> 'event_header');
		i.event_path := hotdash._webhook_read(options ->> 'event_path', 'event_path', NULL::jsonpath);
		i.headers := coalesce((SELECT array_agg(lower(h)) FROM unnest(hotdash._json_texts(options -> 'headers', 'headers'))
			AS h), '{}');
		i.created_at := hotdash._now();
		i.updated_at := i.created_at;
		PERFORM hotdash._inbound_check(i);
		RETURN i;
	END
	$$;
COMMENT ON FUNCTION hotdash._inbound_row(text, text, jsonb, jsonb, jsonb) IS
	'A source as the arguments of inbound_set state it, or 22023';
REVOKE ALL ON FUNCTION hotdash._inbound_row(text, text, jsonb, jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_check_kinds(routes jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Told here, and not to the sender when the first message comes. */
	DECLARE
		missing text;
	BEGIN
		PERFORM hotdash._job_refuse_own(r.value ->> 'kind', r.value ->> 'queue') FROM jsonb_each(routes) AS r;
		IF routes = hotdash._inbound_check_routes(NULL)
			AND NOT EXISTS (SELECT FROM hotdash._kind AS k WHERE k.kind = 'process-webhook') THEN
			PERFORM hotdash.job_kind_set('process-webhook');
		END IF;
		SELECT r.value ->> 'kind' INTO missing FROM jsonb_each(routes) AS r
			WHERE r.value ? 'kind' AND NOT EXISTS (SELECT FROM hotdash._kind AS k WHERE k.kind = r.value ->> 'kind')
			ORDER BY 1 LIMIT 1;
		IF FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('job kind "%s" does not exist', missing),
				HINT = format('Register it with hotdash.job_kind_set(%L).', missing);
		END IF;
		SELECT r.value ->> 'queue' INTO missing FROM jsonb_each(routes) AS r
			WHERE r.value ->> 'queue' IS NOT NULL
				AND NOT EXISTS (SELECT FROM hotdash._queue AS q WHERE q.queue = r.value ->> 'queue')
			ORDER BY 1 LIMIT 1;
		IF FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('queue "%s" does not exist', missing),
				HINT = format('Make it with hotdash.queue_set(%L).', missing);
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._inbound_check_kinds(jsonb) IS
	'Raises 42704 for a route to a kind or queue that is not there, 42501 for the server''s own; makes kind process-webhook, once';
REVOKE ALL ON FUNCTION hotdash._inbound_check_kinds(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.inbound_set(source text, scheme text, secret text, routes jsonb DEFAULT NULL,
		payload_schema jsonb DEFAULT NULL, options jsonb DEFAULT NULL)
	RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		i hotdash._inbound;
		sealed bytea;
	BEGIN
		PERFORM hotdash._require_arg(source, 'source');
		PERFORM hotdash._require_arg(scheme, 'scheme');
		PERFORM hotdash._require_arg(secret, 'secret');
		sealed := hotdash._inbound_seal(source, scheme, secret);
		i := hotdash._inbound_row(source, scheme, routes, payload_schema, options);
		PERFORM hotdash._inbound_check_kinds(i.routes);
		INSERT INTO hotdash._inbound AS x VALUES (i.*)
			ON CONFLICT ON CONSTRAINT _inbound_pkey DO UPDATE
			SET scheme = i.scheme, enabled = i.enabled, routes = i.routes, payload_schema = i.payload_schema,
				tolerance = i.tolerance, keep = i.keep, max_payload = i.max_payload, dedupe = i.dedupe,
				event_header = i.event_header, event_path = i.event_path, headers = i.headers, updated_at = i.updated_at
			WHERE x.tenant = i.tenant;
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
				MESSAGE = format('source "%s" belongs to another tenant', source);
		END IF;
		PERFORM hotdash._inbound_key_replace(source, sealed, '0');
	END
	$$;
COMMENT ON FUNCTION hotdash.inbound_set(text, text, text, jsonb, jsonb, jsonb) IS
	'Who may send webhooks under a name, how they are signed, and which kind of job each becomes';
REVOKE ALL ON FUNCTION hotdash.inbound_set(text, text, text, jsonb, jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.inbound_rotate_secret(source text, new_secret text, overlap interval DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		i hotdash._inbound := hotdash._inbound_get(source);
		sealed bytea;
	BEGIN
		PERFORM hotdash._require_arg(new_secret, 'new_secret');
		sealed := hotdash._inbound_seal(i.source, i.scheme, new_secret);
		PERFORM hotdash._inbound_key_replace(i.source, sealed, hotdash._secret_overlap(overlap));
	END
	$$;
COMMENT ON FUNCTION hotdash.inbound_rotate_secret(text, text, interval) IS
	'Another secret of a source; what is signed by the old one is accepted for the overlap, a day';
REVOKE ALL ON FUNCTION hotdash.inbound_rotate_secret(text, text, interval) FROM PUBLIC;

CREATE FUNCTION hotdash.inbound_delete(source text) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		i hotdash._inbound := hotdash._inbound_get(source);
	BEGIN
		-- Ids of messages stay their time: a source of the same name must not take them again.
		DELETE FROM hotdash._inbound AS x WHERE x.source = i.source;
	END
	$$;
COMMENT ON FUNCTION hotdash.inbound_delete(text) IS 'Forgets a source and its secrets';
REVOKE ALL ON FUNCTION hotdash.inbound_delete(text) FROM PUBLIC;

/*
 * Receiving
 */

CREATE FUNCTION hotdash._inbound_event_type(i hotdash._inbound, headers jsonb, document jsonb) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		type text;
	BEGIN
		type := CASE
			WHEN i.event_header IS NOT NULL THEN hotdash._webhook_header(headers, i.event_header)
			WHEN i.event_path IS NOT NULL THEN hotdash._path_first(document, i.event_path) #>> '{}'
			WHEN i.scheme = 'github' THEN
				hotdash._webhook_header(headers, 'x-github-event') || coalesce('.' || (document ->> 'action'), '')
			WHEN i.scheme = 'shopify' THEN replace(hotdash._webhook_header(headers, 'x-shopify-topic'), '/', '.')
			WHEN i.scheme = 'chatwoot' THEN document ->> 'event'
			WHEN i.scheme = 'slack' AND document ->> 'type' = 'event_callback' THEN document #>> '{event,type}'
			ELSE document ->> 'type'
		END;
		RETURN CASE WHEN type ~ '^[A-Za-z0-9._-]{1,128}$' THEN type END;
	END
	$$;
COMMENT ON FUNCTION hotdash._inbound_event_type(hotdash._inbound, jsonb, jsonb) IS
	'Type of the event that a request brings; NULL where none can be read';
REVOKE ALL ON FUNCTION hotdash._inbound_event_type(hotdash._inbound, jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_message_id(i hotdash._inbound, headers jsonb, document jsonb, body bytea) RETURNS text
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Slack's retries bear a new time; its events have an id, what else it sends is never retried. */
	DECLARE
		id text;
	BEGIN
		id := CASE
			WHEN i.dedupe = 'body' THEN 'sha256:' || encode(sha256(body), 'hex')
			WHEN i.scheme = 'standard' THEN hotdash._webhook_header(headers, 'webhook-id')
			WHEN i.scheme = 'stripe' THEN document ->> 'id'
			WHEN i.scheme = 'github' THEN hotdash._webhook_header(headers, 'x-github-delivery')
			WHEN i.scheme = 'shopify' THEN hotdash._webhook_header(headers, 'x-shopify-webhook-id')
			WHEN i.scheme = 'chatwoot' THEN hotdash._webhook_header(headers, 'x-chatwoot-delivery')
			ELSE coalesce(document ->> 'event_id', 'sha256:' || encode(sha256(convert_to(
				hotdash._webhook_header(headers, 'x-slack-request-timestamp') || ':', 'UTF8') || body), 'hex'))
		END;
		RETURN CASE WHEN id ~ '^[!-~]{1,255}$' THEN id END;
	END
	$$;
COMMENT ON FUNCTION hotdash._inbound_message_id(hotdash._inbound, jsonb, jsonb, bytea) IS
	'What a message is known by when it comes again; NULL where the request has no such thing';
REVOKE ALL ON FUNCTION hotdash._inbound_message_id(hotdash._inbound, jsonb, jsonb, bytea) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_route(routes jsonb, event_type text) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		patterns constant text[] := coalesce(hotdash._event_patterns(event_type), '{}');
	BEGIN
		-- The type, *, and prefixes, the longest last.
		IF routes ? event_type THEN
			RETURN nullif(routes -> event_type, 'null');
		END IF;
		FOR p IN REVERSE cardinality(patterns) .. 3 LOOP
			IF routes ? patterns[p] THEN
				RETURN nullif(routes -> patterns[p], 'null');
			END IF;
		END LOOP;
		RETURN nullif(routes -> '*', 'null');
	END
	$$;
COMMENT ON FUNCTION hotdash._inbound_route(jsonb, text) IS
	'The route of an event type: its own, else the longest prefix, else *; NULL when there is none';
REVOKE ALL ON FUNCTION hotdash._inbound_route(jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_breach(schema jsonb, document jsonb) RETURNS text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT CASE WHEN document IS NULL THEN 'not JSON'
			ELSE (SELECT left(string_agg(concat_ws(' ', nullif(v.path, ''), v.rule), ', '), 500)
				FROM (SELECT x.path, x.rule FROM hotdash.validate(schema, document) AS x LIMIT 10) AS v) END
	$$;
COMMENT ON FUNCTION hotdash._inbound_breach(jsonb, jsonb) IS
	'Paths and rules of the contract that a payload breaks, up to ten; NULL when none';
REVOKE ALL ON FUNCTION hotdash._inbound_breach(jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_payload(i hotdash._inbound, message_id text, event_type text, headers jsonb,
		document jsonb, body bytea)
	RETURNS jsonb
	LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* The body is under payload where it is JSON, under text where it is UTF-8, else under base64. */
	DECLARE
		made jsonb := jsonb_build_object('source', i.source, 'message_id', message_id, 'event_type', event_type,
			'content_type', hotdash._webhook_header(headers, 'content-type'));
	BEGIN
		IF cardinality(i.headers) > 0 THEN
			made := made || jsonb_build_object('headers', (SELECT jsonb_object_agg(n, hotdash._webhook_header(headers, n))
				FROM unnest(i.headers) AS n));
		END IF;
		IF document IS NOT NULL THEN
			RETURN made || jsonb_build_object('payload', document);
		END IF;
		BEGIN
			RETURN made || jsonb_build_object('text', convert_from(body, 'UTF8'));
		EXCEPTION WHEN character_not_in_repertoire THEN
			RETURN made || jsonb_build_object('base64', translate(encode(body, 'base64'), E'\n', ''));
		END;
	END
	$$;
COMMENT ON FUNCTION hotdash._inbound_payload(hotdash._inbound, text, text, jsonb, jsonb, bytea) IS
	'Payload of the job that an inbound message becomes';
REVOKE ALL ON FUNCTION hotdash._inbound_payload(hotdash._inbound, text, text, jsonb, jsonb, bytea) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_enqueue(i hotdash._inbound, message_id text, event_type text, route jsonb,
		headers jsonb, document jsonb, body bytea)
	RETURNS text
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		now constant timestamptz := hotdash._now();
		payload constant jsonb := hotdash._inbound_payload(i, message_id, event_type, headers, document, body);
		key constant text := nullif(hotdash._path_first(document, (route ->> 'order_key')::jsonpath) #>> '{}', '');
	BEGIN
		-- As JSON it can be several times its size on the wire.
		IF pg_column_size(payload) > pg_size_bytes(current_setting('hotdash.job_max_payload')) THEN
			RETURN 'too_large';
		END IF;
		INSERT INTO hotdash._inbound_message AS m (source, message_id, tenant, received_at, expires_at, event_type)
			VALUES (i.source, message_id, i.tenant, now, now + i.keep, event_type)
			ON CONFLICT DO NOTHING;
		IF NOT FOUND THEN
			RETURN 'duplicate';
		END IF;
		UPDATE hotdash._inbound_message AS m
			SET job_id = hotdash.job_enqueue(route ->> 'kind', payload, queue => route ->> 'queue',
				priority => (route ->> 'priority')::int,
				order_key => CASE WHEN octet_length(key) > 255 THEN 'sha256:' || encode(sha256(convert_to(key, 'UTF8')), 'hex')
					ELSE key END,
				tenant => i.tenant,
				options => jsonb_build_object('traceparent', hotdash._inbound_trace(headers)))
			WHERE m.source = i.source AND m.message_id = _inbound_enqueue.message_id;
		RETURN 'enqueued';
	END
	$$;
COMMENT ON FUNCTION hotdash._inbound_enqueue(hotdash._inbound, text, text, jsonb, jsonb, jsonb, bytea) IS
	'Makes a job of a message that comes for the first time: enqueued, duplicate or too_large';
REVOKE ALL ON FUNCTION hotdash._inbound_enqueue(hotdash._inbound, text, text, jsonb, jsonb, jsonb, bytea) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_take(i hotdash._inbound, headers jsonb, body bytea, OUT reason text,
		OUT message_id text)
	RETURNS record
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* A request whose signature holds. */
	DECLARE
		document constant jsonb := hotdash._json_or_null(body);
		event_type constant text := hotdash._inbound_event_type(i, headers, document);
		route jsonb;
		breach text;
	BEGIN
		IF i.scheme = 'slack' AND document ->> 'type' = 'url_verification' THEN
			message_id := document ->> 'challenge';
			IF length(message_id) <= 1024 AND message_id ~ '^[ -~]+$' THEN
				reason := 'challenge';
			ELSE
				reason := 'missing_id';
				message_id := NULL;
			END IF;
			RETURN;
		END IF;
		message_id := hotdash._inbound_message_id(i, headers, document, body);
		IF message_id IS NULL THEN
			reason := 'missing_id';
		ELSIF i.scheme = 'github' AND event_type = 'ping' AND NOT i.routes ? 'ping' THEN
			reason := 'ping';
		ELSIF EXISTS (SELECT FROM hotdash._inbound_message AS m
				WHERE m.source = i.source AND m.message_id = _inbound_take.message_id) THEN
			reason := 'duplicate';
		ELSE
			route := hotdash._inbound_route(i.routes, event_type);
			IF route IS NULL THEN
				reason := 'ignored';
				RETURN;
			END IF;
			breach := CASE WHEN i.payload_schema IS NOT NULL THEN hotdash._inbound_breach(i.payload_schema, document) END;
			reason := coalesce('invalid_payload: ' || breach,
				hotdash._inbound_enqueue(i, message_id, event_type, route, headers, document, body));
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._inbound_take(hotdash._inbound, jsonb, bytea) IS
	'What becomes of a request that is signed as it should be';
REVOKE ALL ON FUNCTION hotdash._inbound_take(hotdash._inbound, jsonb, bytea) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_status(reason text) RETURNS int
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		RETURN CASE split_part(reason, ':', 1)
			WHEN 'enqueued' THEN 200 WHEN 'duplicate' THEN 200 WHEN 'ignored' THEN 200 WHEN 'ping' THEN 200
			WHEN 'challenge' THEN 200
			WHEN 'missing_id' THEN 400
			WHEN 'disabled' THEN 403
			WHEN 'unknown_source' THEN 404
			WHEN 'too_large' THEN 413
			WHEN 'invalid_payload' THEN 422
			WHEN 'no_key' THEN 503
			ELSE 401 END;
	END
	$$;
COMMENT ON FUNCTION hotdash._inbound_status(text) IS 'HTTP status of a reason of inbound_receive';
REVOKE ALL ON FUNCTION hotdash._inbound_status(text) FROM PUBLIC;

CREATE FUNCTION hotdash.inbound_receive(source text, headers jsonb, body bytea,
		OUT accepted bool, OUT status int, OUT message_id text, OUT reason text)
	RETURNS record
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	-- A plan kept from a time when the tables were empty must not scan them when they are full.
	SET enable_seqscan = off
	SET jit = off
	AS $$
	DECLARE
		now constant timestamptz := hotdash._now();
		i hotdash._inbound;
		secrets bytea[];
	BEGIN
		IF source IS NULL OR headers IS NULL OR body IS NULL THEN
			PERFORM hotdash._require_arg(source, 'source');
			PERFORM hotdash._require_arg(headers, 'headers');
			PERFORM hotdash._require_arg(body, 'body');
		END IF;
		IF jsonb_typeof(headers) <> 'object' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'headers must be a JSON object of names and texts';
		END IF;
		SELECT * INTO i FROM hotdash._inbound AS x
			WHERE x.source = inbound_receive.source AND hotdash._tenant_sees(x.tenant);
		IF octet_length(body) > coalesce(i.max_payload, pg_size_bytes(current_setting('hotdash.webhook_max_payload'))) THEN
			reason := 'too_large';
		ELSE
			secrets := ARRAY(SELECT k.secret FROM hotdash._inbound_key AS k
				WHERE k.source = i.source AND (k.retires_at IS NULL OR k.retires_at > now)
				ORDER BY k.version DESC);
			reason := hotdash._inbound_verify(i.source, i.scheme, secrets, headers, body,
				extract(epoch FROM i.tolerance)::int);
			IF i.source IS NULL THEN
				reason := 'unknown_source';
			ELSIF reason IS NULL AND NOT i.enabled THEN
				reason := 'disabled';
			ELSIF reason IS NULL THEN
				SELECT t.reason, t.message_id INTO reason, message_id FROM hotdash._inbound_take(i, headers, body) AS t;
			END IF;
		END IF;
		status := hotdash._inbound_status(reason);
		accepted := status = 200;
	END
	$$;
COMMENT ON FUNCTION hotdash.inbound_receive(text, jsonb, bytea) IS
	'Takes one webhook: checks it and enqueues its job; the HTTP status to answer with, and why';
REVOKE ALL ON FUNCTION hotdash.inbound_receive(text, jsonb, bytea) FROM PUBLIC;

CREATE FUNCTION hotdash._inbound_sweep(up_to int) RETURNS bigint
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		n bigint;
	BEGIN
		DELETE FROM hotdash._inbound_message AS m WHERE (m.source, m.message_id) IN (
			SELECT x.source, x.message_id FROM hotdash._inbound_message AS x WHERE x.expires_at <= hotdash._now()
			ORDER BY x.expires_at LIMIT up_to FOR UPDATE SKIP LOCKED);
		GET DIAGNOSTICS n = ROW_COUNT;
		RETURN n;
	END
	$$;
COMMENT ON FUNCTION hotdash._inbound_sweep(int) IS
	'Forgets messages that were kept long enough, the oldest first, at most so many; returns how many';
REVOKE ALL ON FUNCTION hotdash._inbound_sweep(int) FROM PUBLIC;

/*
 * Views and rights
 */

ALTER TABLE hotdash._inbound ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._inbound USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._inbound IS 'A session bound to a tenant sees that tenant alone';
ALTER TABLE hotdash._inbound_key ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._inbound_key
	USING (EXISTS (SELECT FROM hotdash._inbound AS i
		WHERE i.source = _inbound_key.source AND hotdash._tenant_sees(i.tenant)));
COMMENT ON POLICY tenant ON hotdash._inbound_key IS 'A session bound to a tenant sees that tenant alone';
ALTER TABLE hotdash._inbound_message ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._inbound_message USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._inbound_message IS 'A session bound to a tenant sees that tenant alone';

CREATE VIEW hotdash.inbound_sources WITH (security_invoker = true) AS
	SELECT i.source, i.tenant, i.scheme, i.enabled, i.routes, i.payload_schema, i.tolerance, i.keep, i.max_payload,
		i.dedupe, i.event_header, i.event_path, i.headers, k.created_at AS secret_created_at,
		(SELECT max(o.retires_at) FROM hotdash._inbound_key AS o WHERE o.source = i.source) AS overlap_until,
		i.created_at, i.updated_at
	FROM hotdash._inbound AS i
	LEFT JOIN hotdash._inbound_key AS k ON k.source = i.source AND k.retires_at IS NULL
	WHERE hotdash._tenant_sees(i.tenant);
COMMENT ON VIEW hotdash.inbound_sources IS 'Who may send webhooks to us; no secret';

CREATE VIEW hotdash.inbound_messages WITH (security_invoker = true) AS
	SELECT m.source, m.message_id, m.tenant, m.event_type, m.job_id, m.received_at, m.expires_at
	FROM hotdash._inbound_message AS m
	WHERE hotdash._tenant_sees(m.tenant);
COMMENT ON VIEW hotdash.inbound_messages IS 'Webhooks that were taken, and the job that each became, until expires_at';

CREATE FUNCTION hotdash._inbound_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT 'edge', 'hotdash.inbound_receive(text, jsonb, bytea)'
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['viewer', 'operator', 'admin']) AS l,
			unnest(ARRAY['view:inbound_sources', 'view:inbound_messages']) AS o
		UNION ALL
		SELECT 'admin', o FROM unnest(ARRAY['hotdash.inbound_set(text, text, text, jsonb, jsonb, jsonb)',
			'hotdash.inbound_rotate_secret(text, text, interval)', 'hotdash.inbound_delete(text)']) AS o
	$$;
COMMENT ON FUNCTION hotdash._inbound_rights() IS 'What each access level may use of inbound webhooks';
REVOKE ALL ON FUNCTION hotdash._inbound_rights() FROM PUBLIC;
