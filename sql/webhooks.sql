/*
 * webhooks.sql: endpoints, events and deliveries.
 *
 * Model. An event is published in the caller's transaction: one row in _message, and per endpoint that wants it
 * one delivery, which is a job of kind webhook.delivery in queue webhooks. The edge claims deliveries as complete
 * signed requests, sends them, and reports what happened; what follows from an outcome is decided here, by
 * _webhook_classify. Retries, leases, expiry and death are the job engine's.
 *
 * Rows that are written once: _message, _message_key, _delivery, _delivery_attempt. Rows that change: _endpoint
 * (rarely), and what webhooks_health.sql keeps.
 *
 * Locks: jobs first, then the row of the endpoint, in the order of ids.
 */

/*
 * Tables
 */

CREATE SEQUENCE hotdash._endpoint_id AS bigint MAXVALUE 4503599627370495;
COMMENT ON SEQUENCE hotdash._endpoint_id IS 'Low 52 bits of the ids of endpoints';
SELECT pg_catalog.pg_extension_config_dump('hotdash._endpoint_id', '');

CREATE TABLE hotdash._endpoint (
	id bigint PRIMARY KEY,
	tenant text NOT NULL,
	url text NOT NULL,
	events text[] NOT NULL,                 -- patterns; a message matches when one of its own patterns is here
	headers jsonb NOT NULL,                 -- names and values; values may be secret, so never shown
	header_names text[] NOT NULL,
	timeout interval NOT NULL,
	max_attempts int NOT NULL,
	max_age interval NOT NULL,
	backoff jsonb,                          -- NULL: the module's own schedule, with its floors
	filter jsonpath,                        -- NULL: every event
	retry_statuses int[],                   -- answers to try again besides the usual ones
	rate int,                               -- requests per rate_period; NULL: any number
	rate_period interval,
	concurrency int,                        -- requests at once; NULL: see webhooks_pace.sql
	ordered bool NOT NULL DEFAULT false,    -- deliveries with one order key go one after the other
	enabled bool NOT NULL DEFAULT true,
	disabled_reason text,
	disabled_at timestamptz,
	expired_to timestamptz,                 -- deliveries of before were looked through, see _deliveries_expire
	created_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX _endpoint_tenant ON hotdash._endpoint (tenant, id);
CREATE INDEX _endpoint_timeout ON hotdash._endpoint (timeout) WHERE enabled;
COMMENT ON TABLE hotdash._endpoint IS 'Receivers of webhooks';
SELECT pg_catalog.pg_extension_config_dump('hotdash._endpoint', '');

CREATE TABLE hotdash._endpoint_key (
	endpoint_id bigint NOT NULL REFERENCES hotdash._endpoint ON DELETE CASCADE,
	version int NOT NULL,                   -- from 1
	created_at timestamptz NOT NULL,
	retires_at timestamptz,                 -- NULL: current, one per endpoint
	signing text NOT NULL,                  -- hmac or ed25519
	public_key text,                        -- of ed25519
	key bytea NOT NULL,                     -- sealed (extension/core/secret.h); readable by the owner only
	PRIMARY KEY (endpoint_id, version)
);
COMMENT ON TABLE hotdash._endpoint_key IS 'Signing keys of endpoints; several while one replaces another';
SELECT pg_catalog.pg_extension_config_dump('hotdash._endpoint_key', '');

CREATE TABLE hotdash._message (
	id text COLLATE "C" PRIMARY KEY,
	tenant text NOT NULL,
	event_type text NOT NULL,
	content_type text NOT NULL,
	created_at timestamptz NOT NULL,
	bytes int NOT NULL,
	idempotency_key text,
	order_key text,
	traceparent text,
	body bytea NOT NULL                     -- the bytes that are signed and sent, the same on each attempt
);
COMMENT ON TABLE hotdash._message IS 'Published events';
SELECT pg_catalog.pg_extension_config_dump('hotdash._message', '');

CREATE TABLE hotdash._message_key (
	tenant text NOT NULL,
	key text COLLATE "C" NOT NULL,
	message_id text COLLATE "C" NOT NULL,
	PRIMARY KEY (tenant, key)
);
COMMENT ON TABLE hotdash._message_key IS 'Idempotency keys of published events';
SELECT pg_catalog.pg_extension_config_dump('hotdash._message_key', '');

CREATE TABLE hotdash._delivery (
	id bigint PRIMARY KEY,                  -- the job's id
	endpoint_id bigint,                     -- NULL: a request of its own, see webhooks_request.sql
	created_at timestamptz NOT NULL,
	tenant text NOT NULL,
	message_id text COLLATE "C"
);
CREATE INDEX _delivery_endpoint ON hotdash._delivery (endpoint_id, created_at) WHERE endpoint_id IS NOT NULL;
CREATE INDEX _delivery_message ON hotdash._delivery (message_id) WHERE message_id IS NOT NULL;
COMMENT ON TABLE hotdash._delivery IS 'One message on its way to one endpoint';
SELECT pg_catalog.pg_extension_config_dump('hotdash._delivery', '');

CREATE TABLE hotdash._delivery_attempt (
	delivery_id bigint NOT NULL,
	finished_at timestamptz NOT NULL,
	attempt int NOT NULL,
	dns_us int,
	connect_us int,
	tls_us int,
	ttfb_us int,
	total_us int,
	status int,
	sent bool NOT NULL,                     -- a byte of the request may have left
	reused bool NOT NULL,                   -- connection
	truncated bool NOT NULL,                -- body of the answer
	late bool NOT NULL,                     -- reported after its lease had ended
	outcome text NOT NULL,                  -- state of the delivery that followed
	reason text NOT NULL,                   -- code of the outcome matrix
	tenant text NOT NULL,
	edge text NOT NULL,
	error_class text NOT NULL,
	error text,
	remote_ip text,
	retry_after interval,                   -- what the receiver asked for
	sent_at timestamptz,                    -- by the edge's clock; NULL: nothing was sent
	response_excerpt text,
	traceparent text COLLATE "C",           -- as it was sent: the attempt is a span of its own
	parent_id text COLLATE "C"              -- of the span that this one is below
);
CREATE INDEX _delivery_attempt_delivery ON hotdash._delivery_attempt (delivery_id, finished_at);
-- To find the attempts of a trace. A B-tree would have 37 times the size, and write to a page at random each time.
CREATE INDEX _delivery_attempt_trace ON hotdash._delivery_attempt
	USING brin (substr(traceparent, 4, 32) text_bloom_ops, finished_at timestamptz_minmax_ops) WITH (autosummarize = on);
COMMENT ON TABLE hotdash._delivery_attempt IS 'What happened each time a delivery was sent';
SELECT pg_catalog.pg_extension_config_dump('hotdash._delivery_attempt', '');

/*
 * Pure functions
 */

CREATE FUNCTION hotdash.webhook_sign(secret text, message_id text, at timestamptz, body bytea) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_sign' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash.webhook_sign(text, text, timestamptz, bytea) IS
	'Standard Webhooks signature of a body: v1 with a secret whsec_, v1a with a private key whsk_';
REVOKE ALL ON FUNCTION hotdash.webhook_sign(text, text, timestamptz, bytea) FROM PUBLIC;

CREATE FUNCTION hotdash.webhook_verify(scheme text, secret text, headers jsonb, body bytea,
		tolerance interval DEFAULT NULL) RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_verify' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash.webhook_verify(text, text, jsonb, bytea, interval) IS
	'Whether a webhook that came in is signed with the secret; schemes standard stripe github slack shopify chatwoot';
REVOKE ALL ON FUNCTION hotdash.webhook_verify(text, text, jsonb, bytea, interval) FROM PUBLIC;

CREATE FUNCTION hotdash.webhook_verify_detail(scheme text, secret text, headers jsonb, body bytea,
		tolerance interval DEFAULT NULL, OUT ok bool, OUT reason text) RETURNS record
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_verify_detail' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash.webhook_verify_detail(text, text, jsonb, bytea, interval) IS
	'The same with a reason: bad_secret missing_header malformed_header too_old too_new mismatch';
REVOKE ALL ON FUNCTION hotdash.webhook_verify_detail(text, text, jsonb, bytea, interval) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_key_make(endpoint bigint, secret text, signing text,
		OUT key bytea, OUT public_key text) RETURNS record
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_key_make' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._endpoint_key_make(bigint, text, text) IS
	'A key to store for an endpoint, sealed: from a secret, or random; 22023 for what is no secret';
REVOKE ALL ON FUNCTION hotdash._endpoint_key_make(bigint, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_key_text(endpoint bigint, key bytea) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_key_text' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._endpoint_key_text(bigint, bytea) IS
	'What the receiver needs of a stored key: the secret, or the public half of an ed25519 key';
REVOKE ALL ON FUNCTION hotdash._endpoint_key_text(bigint, bytea) FROM PUBLIC;

CREATE FUNCTION hotdash._webhook_header_lines(endpoint bigint, keys bytea[], message_id text, at timestamptz,
		body bytea, content_type text, traceparent text, headers jsonb) RETURNS text[]
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_header_lines' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._webhook_header_lines(bigint, bytea[], text, timestamptz, bytea, text, text, jsonb) IS
	'Header lines of one attempt, signed by all keys; NULL when one cannot be opened';
REVOKE ALL ON FUNCTION hotdash._webhook_header_lines(bigint, bytea[], text, timestamptz, bytea, text, text, jsonb)
	FROM PUBLIC;

CREATE FUNCTION hotdash._webhook_header(headers jsonb, name text) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_header' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._webhook_header(jsonb, text) IS
	'Value of a header, its name in lower case here and any case there; NULL unless there exactly once, as a text';
REVOKE ALL ON FUNCTION hotdash._webhook_header(jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash._webhook_classify(status int, class text, attempt int, sent bool, total_us int,
		has_retry_after bool, retry_statuses int[],
		OUT action text, OUT reason text, OUT floor interval, OUT pause bool, OUT health text) RETURNS record
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_classify' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._webhook_classify(int, text, int, bool, int, bool, int[]) IS
	'What follows from the outcome of an attempt: the matrix of docs/webhooks.md';
REVOKE ALL ON FUNCTION hotdash._webhook_classify(int, text, int, bool, int, bool, int[]) FROM PUBLIC;

CREATE FUNCTION hotdash._retry_after(header text, at timestamptz, date_header text) RETURNS interval
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_retry_after' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._retry_after(text, timestamptz, text) IS
	'Time to wait that a Retry-After header asks for; NULL when there is none that can be read';
REVOKE ALL ON FUNCTION hotdash._retry_after(text, timestamptz, text) FROM PUBLIC;

CREATE FUNCTION hotdash._webhook_check_url(url text) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_check_url' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._webhook_check_url(text) IS 'Raises 22023 unless the URL can be sent to';
REVOKE ALL ON FUNCTION hotdash._webhook_check_url(text) FROM PUBLIC;

CREATE FUNCTION hotdash._webhook_check_header(name text, value text) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_check_header' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._webhook_check_header(text, text) IS 'Raises 22023 unless the header can be sent';
REVOKE ALL ON FUNCTION hotdash._webhook_check_header(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._webhook_check_pattern(pattern text) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_check_pattern' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._webhook_check_pattern(text) IS
	'Raises 22023 unless it is an event type, * or a prefix like order.*';
REVOKE ALL ON FUNCTION hotdash._webhook_check_pattern(text) FROM PUBLIC;

CREATE FUNCTION hotdash._event_patterns(event_type text) RETURNS text[]
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_event_patterns' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._event_patterns(text) IS 'All patterns that an event type matches';
REVOKE ALL ON FUNCTION hotdash._event_patterns(text) FROM PUBLIC;

CREATE FUNCTION hotdash._message_check(event_type text, bytes int) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_check_event' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._message_check(text, int) IS
	'Raises 22023 for a malformed event type, 54000 for a body over hotdash.webhook_max_payload';
REVOKE ALL ON FUNCTION hotdash._message_check(text, int) FROM PUBLIC;

CREATE FUNCTION hotdash._message_new_id() RETURNS text
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_new_message_id' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._message_new_id() IS 'msg_ and 26 digits that sort by time and never come twice';
REVOKE ALL ON FUNCTION hotdash._message_new_id() FROM PUBLIC;

CREATE FUNCTION hotdash._clean_text(bytes bytea, up_to int) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_clean_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._clean_text(bytea, int) IS
	'Bytes from outside as text without control characters, at most so many bytes of it';
REVOKE ALL ON FUNCTION hotdash._clean_text(bytea, int) FROM PUBLIC;

-- In a UTF-8 database, and others are refused, a text is the same bytes.
CREATE FUNCTION hotdash._clean_text(dirty text, up_to int) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_clean_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._clean_text(text, int) IS
	'A text from outside without control characters, at most so many bytes of it';
REVOKE ALL ON FUNCTION hotdash._clean_text(text, int) FROM PUBLIC;

CREATE FUNCTION hotdash._filter_accepts(document jsonb, filter jsonpath) RETURNS bool
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- A predicate yields true or false, a path yields items: the first decides, errors mean no.
		SELECT coalesce(jsonb_path_query_first(document, filter, '{}', true) NOT IN ('false', 'null'), false)
	$$;
COMMENT ON FUNCTION hotdash._filter_accepts(jsonb, jsonpath) IS
	'Whether the first item that the path yields is neither false nor null';
REVOKE ALL ON FUNCTION hotdash._filter_accepts(jsonb, jsonpath) FROM PUBLIC;

/*
 * Helpers
 */

CREATE FUNCTION hotdash._webhook_require(value anyelement, name text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		IF value IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed',
				MESSAGE = format('argument "%s" must not be null', name);
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._webhook_require(anyelement, text) IS 'Raises 22004 for a required argument that is NULL';
REVOKE ALL ON FUNCTION hotdash._webhook_require(anyelement, text) FROM PUBLIC;

CREATE FUNCTION hotdash._webhook_tenant(tenant text) RETURNS text
	LANGUAGE plpgsql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		own text := coalesce(current_setting('hotdash.tenant', true), '');
	BEGIN
		IF own <> '' AND tenant <> own THEN
			RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
				MESSAGE = 'permission denied for another tenant';
		END IF;
		RETURN coalesce(tenant, own);
	END
	$$;
COMMENT ON FUNCTION hotdash._webhook_tenant(text) IS
	'Tenant that an argument means; a session bound to one by hotdash.tenant may name no other';
REVOKE ALL ON FUNCTION hotdash._webhook_tenant(text) FROM PUBLIC;

CREATE FUNCTION hotdash._webhook_check_options(options jsonb, known text[]) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		unknown text;
	BEGIN
		IF options IS NULL THEN
			RETURN;
		END IF;
		IF jsonb_typeof(options) <> 'object' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'options must be a JSON object';
		END IF;
		SELECT o INTO unknown FROM jsonb_object_keys(options) AS o WHERE o <> ALL (known) ORDER BY o LIMIT 1;
		IF FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('unrecognized option "%s"', unknown),
				DETAIL = format('Known are %s.', array_to_string(known, ', '));
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._webhook_check_options(jsonb, text[]) IS
	'Raises 22023 that lists the known options, for one that is not';
REVOKE ALL ON FUNCTION hotdash._webhook_check_options(jsonb, text[]) FROM PUBLIC;

CREATE FUNCTION hotdash._webhook_register() RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * The queue and the kinds are rows of dumped tables, which the install script must not insert; so the first
	 * endpoint or the first edge does it. An operator's changes to either stay.
	 */
	BEGIN
		IF NOT EXISTS (SELECT FROM hotdash._queue AS q WHERE q.queue = 'webhooks') THEN
			PERFORM hotdash.queue_set('webhooks');
		END IF;
		IF NOT EXISTS (SELECT FROM hotdash._kind AS k WHERE k.kind = 'webhook.delivery') THEN
			PERFORM hotdash.job_kind_set('webhook.delivery', queue => 'webhooks');
		END IF;
		IF NOT EXISTS (SELECT FROM hotdash._kind AS k WHERE k.kind = 'http.request') THEN
			PERFORM hotdash.job_kind_set('http.request', queue => 'webhooks');
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._webhook_register() IS 'Makes the queue and the kinds of what the edge sends, once';
REVOKE ALL ON FUNCTION hotdash._webhook_register() FROM PUBLIC;

CREATE FUNCTION hotdash._json_keys(object jsonb) RETURNS text[]
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT CASE WHEN jsonb_typeof(object) = 'object' THEN ARRAY(SELECT jsonb_object_keys(object)) ELSE '{}' END
	$$;
COMMENT ON FUNCTION hotdash._json_keys(jsonb) IS 'Keys of a JSON object, none for other JSON';
REVOKE ALL ON FUNCTION hotdash._json_keys(jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._json_texts(value jsonb, name text) RETURNS text[]
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		IF jsonb_typeof(value) <> 'array' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('%s must be a JSON array', name);
		END IF;
		RETURN CASE WHEN value IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(value)) END;
	END
	$$;
COMMENT ON FUNCTION hotdash._json_texts(jsonb, text) IS 'Elements of a JSON array as text; NULL for NULL';
REVOKE ALL ON FUNCTION hotdash._json_texts(jsonb, text) FROM PUBLIC;

/*
 * Endpoints
 */

CREATE FUNCTION hotdash._endpoint_check_duration(name text, value interval, lowest interval, highest interval)
	RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		IF extract(year FROM value) <> 0 OR extract(month FROM value) <> 0 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('%s must not contain months or years', name);
		END IF;
		IF value < lowest OR value > highest THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('%s must be between %s and %s', name, lowest, highest);
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_check_duration(text, interval, interval, interval) IS
	'Raises 22023 for a duration out of range';
REVOKE ALL ON FUNCTION hotdash._endpoint_check_duration(text, interval, interval, interval) FROM PUBLIC;

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
		PERFORM hotdash._endpoint_check_duration('timeout', e.timeout, '1 second', '60 seconds');
		PERFORM hotdash._endpoint_check_duration('max_age', e.max_age, '1 second', '365 days');
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
		PERFORM hotdash._endpoint_check_duration('rate_period', e.rate_period, '1 second', '1 day')
			WHERE e.rate_period IS NOT NULL;
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
		PERFORM hotdash._webhook_require(url, 'url');
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
		PERFORM hotdash._webhook_require(id, 'id');
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
		PERFORM hotdash._webhook_require(changes, 'changes');
		PERFORM hotdash._webhook_check_options(changes, known);
		FOR change IN SELECT c.key, nullif(c.value, 'null') AS value, c.value #>> '{}' AS text
			FROM jsonb_each(changes) AS c LOOP
			CASE change.key
				WHEN 'url' THEN
					PERFORM hotdash._webhook_require(change.text, 'url');
					e.url := change.text;
				WHEN 'events' THEN
					e.events := coalesce(hotdash._json_texts(change.value, 'events'), '{*}');
				WHEN 'headers' THEN e.headers := coalesce(change.value, '{}');
				WHEN 'timeout' THEN e.timeout := coalesce(change.text::interval, '15 seconds');
				WHEN 'max_attempts' THEN e.max_attempts := coalesce(change.text::int, 5);
				WHEN 'max_age' THEN e.max_age := coalesce(change.text::interval, '3 days');
				WHEN 'backoff' THEN e.backoff := change.value;
				WHEN 'filter' THEN e.filter := change.text::jsonpath;
				WHEN 'retry_statuses' THEN
					e.retry_statuses := hotdash._json_texts(change.value, 'retry_statuses')::int[];
				WHEN 'options' THEN
					PERFORM hotdash._endpoint_check_options(change.value);
					PERFORM hotdash._endpoint_set_signing(e.id, change.value);
					options := coalesce(change.value, '{"client_cert": null, "consent": null, "proxy": null}');
				WHEN 'rate' THEN e.rate := change.text::int;
				WHEN 'rate_period' THEN e.rate_period := change.text::interval;
				WHEN 'concurrency' THEN e.concurrency := change.text::int;
				WHEN 'ordered' THEN e.ordered := coalesce(change.text::bool, false);
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
				ordered = e.ordered, updated_at = hotdash._now()
			WHERE x.id = e.id;
		PERFORM hotdash._endpoint_set_options(e, options, e.url <> url_before);
		PERFORM hotdash._endpoint_flow(ARRAY[e.id]);
	END
	$$;
COMMENT ON FUNCTION hotdash.endpoint_update(bigint, jsonb) IS
	'Changes what is named; deliveries that are waiting go by the new url, headers and timeout';
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

/*
 * Publishing
 */

CREATE FUNCTION hotdash._message_insert(event_type text, body bytea, content_type text, idempotency_key text,
		order_key text, tenant text, traceparent text)
	RETURNS text
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * Returns the id of a new message, or NULL and nothing new when the key was used already. A key that an open
	 * transaction holds is waited for: its end decides which of the two it is.
	 */
	DECLARE
		id constant text := hotdash._message_new_id();
	BEGIN
		IF idempotency_key IS NOT NULL THEN
			IF octet_length(idempotency_key) NOT BETWEEN 1 AND 255 THEN
				RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
					MESSAGE = 'idempotency_key must be 1 to 255 bytes long';
			END IF;
			INSERT INTO hotdash._message_key AS k (tenant, key, message_id) VALUES (tenant, idempotency_key, id)
				ON CONFLICT DO NOTHING;
			IF NOT FOUND THEN
				RETURN NULL;
			END IF;
		END IF;
		INSERT INTO hotdash._message (id, tenant, event_type, content_type, created_at, bytes, idempotency_key, order_key,
				traceparent, body)
			VALUES (id, tenant, event_type, content_type, hotdash._now(), octet_length(body), idempotency_key, order_key,
				traceparent, body);
		RETURN id;
	END
	$$;
COMMENT ON FUNCTION hotdash._message_insert(text, bytea, text, text, text, text, text) IS
	'Writes a message, unless its idempotency key was used already';
REVOKE ALL ON FUNCTION hotdash._message_insert(text, bytea, text, text, text, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._delivery_backoff() RETURNS jsonb
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	AS $$ SELECT '{"type":"exponential","base":"10s","factor":6,"cap":"12h","jitter":"equal"}'::jsonb $$;
COMMENT ON FUNCTION hotdash._delivery_backoff() IS 'Schedule of an endpoint that states none: 10 s, 1 min, 6 min, 36 min';
REVOKE ALL ON FUNCTION hotdash._delivery_backoff() FROM PUBLIC;

CREATE FUNCTION hotdash._deliver(message_id text, tenant text, order_key text, traceparent text, endpoints bigint[])
	RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * One statement for all endpoints. Jobs of one call share their options, so endpoints with the same ones go
	 * together.
	 */
	BEGIN
		INSERT INTO hotdash._delivery (id, endpoint_id, created_at, tenant, message_id)
		SELECT d.job_id, d.endpoint_id, hotdash._now(), _deliver.tenant, _deliver.message_id
		FROM (
			SELECT array_agg(e.id ORDER BY e.id) AS endpoints,
				hotdash.job_enqueue_many('webhook.delivery',
					array_agg(jsonb_build_object('message', _deliver.message_id, 'endpoint', e.id::text) ORDER BY e.id),
					queue => 'webhooks',
					max_attempts => e.max_attempts,
					order_keys => array_agg(CASE WHEN e.ordered THEN e.id || '/' || _deliver.order_key END ORDER BY e.id),
					tenant => _deliver.tenant,
					options => jsonb_strip_nulls(jsonb_build_object(
						'backoff', coalesce(e.backoff, hotdash._delivery_backoff()),
						'expires_at', hotdash._now() + e.max_age,
						'traceparent', _deliver.traceparent,
						'flows', jsonb_agg(hotdash._endpoint_flow_name(e.id) ORDER BY e.id)))) AS jobs
			FROM hotdash._endpoint AS e
			WHERE e.id = ANY (_deliver.endpoints)
			GROUP BY e.max_attempts, e.backoff, e.max_age
		) AS batch, unnest(batch.jobs, batch.endpoints) AS d (job_id, endpoint_id);
	END
	$$;
COMMENT ON FUNCTION hotdash._deliver(text, text, text, text, bigint[]) IS 'A delivery of a message to each of the endpoints';
REVOKE ALL ON FUNCTION hotdash._deliver(text, text, text, text, bigint[]) FROM PUBLIC;

CREATE FUNCTION hotdash._publish(event_type text, body bytea, content_type text, document jsonb, idempotency_key text,
		order_key text, tenant text, options jsonb)
	RETURNS text
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		owner constant text := hotdash._webhook_tenant(tenant);
		traceparent constant text := coalesce(options ->> 'traceparent', hotdash.trace_current());
		endpoints bigint[];
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
			id := hotdash._message_insert(event_type, body, content_type, idempotency_key, order_key, owner, traceparent);
			IF id IS NOT NULL THEN
				endpoints := ARRAY(
					SELECT e.id FROM hotdash._endpoint AS e
					WHERE e.tenant = owner AND e.enabled AND e.events && hotdash._event_patterns(event_type)
						AND (e.filter IS NULL OR hotdash._filter_accepts(document, e.filter)));
				IF cardinality(endpoints) > 0 THEN
					PERFORM hotdash._deliver(id, owner, order_key, traceparent, endpoints);
				END IF;
				RETURN id;
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
		PERFORM hotdash._webhook_require(event_type, 'event_type');
		PERFORM hotdash._webhook_require(payload, 'payload');
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
	 */
	DECLARE
		traceparent constant text := hotdash.trace_current();
		endpoints constant bigint[] := ARRAY(
			SELECT e.id FROM hotdash._endpoint AS e
			WHERE e.tenant = _event_operational.tenant AND e.enabled AND e.id IS DISTINCT FROM about
				AND e.events && hotdash._event_patterns(event_type)
				AND (e.filter IS NULL OR hotdash._filter_accepts(payload, e.filter)));
		id text;
	BEGIN
		IF cardinality(endpoints) > 0 THEN
			id := hotdash._message_insert(event_type, convert_to(payload::text, 'UTF8'), 'application/json', NULL, order_key,
				tenant, traceparent);
			PERFORM hotdash._deliver(id, tenant, order_key, traceparent, endpoints);
		END IF;
		RETURN id;
	END
	$$;
COMMENT ON FUNCTION hotdash._event_operational(text, jsonb, text, text, bigint) IS
	'Publishes an event hotdash.* to the endpoints of a tenant, but for the one it is about; NULL when none wants it';
REVOKE ALL ON FUNCTION hotdash._event_operational(text, jsonb, text, text, bigint) FROM PUBLIC;

CREATE FUNCTION hotdash._event_echoes(event_type text, order_key text) RETURNS bool
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT event_type ^@ 'hotdash.'
			AND coalesce(order_key ^@ 'hotdash.alert/endpoint:' OR order_key = 'hotdash.alert/queue:webhooks', false)
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
		PERFORM hotdash._webhook_require(event_type, 'event_type');
		PERFORM hotdash._webhook_require(body, 'body');
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

/*
 * Replay
 */

CREATE FUNCTION hotdash.delivery_replay(id bigint) RETURNS bool
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* A dead delivery goes on under its id; one that was completed or cancelled is followed by another. */
	DECLARE
		d hotdash._delivery;
		m record;
	BEGIN
		PERFORM hotdash._webhook_require(id, 'id');
		SELECT * INTO d FROM hotdash._delivery AS x
			WHERE x.id = delivery_replay.id AND hotdash._tenant_sees(x.tenant);
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('delivery %s does not exist', id);
		END IF;
		IF EXISTS (SELECT FROM hotdash._job AS j WHERE j.id = d.id) THEN
			RETURN false;
		END IF;
		IF hotdash._job_revive(ARRAY[d.id]) = 1 THEN
			RETURN true;
		END IF;
		SELECT x.id, x.order_key, x.traceparent INTO m FROM hotdash._message AS x WHERE x.id = d.message_id;
		IF NOT FOUND THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object',
				MESSAGE = format('message of delivery %s does not exist any more', id);
		END IF;
		PERFORM hotdash._deliver(m.id, d.tenant, m.order_key, m.traceparent, ARRAY[d.endpoint_id]);
		RETURN true;
	END
	$$;
COMMENT ON FUNCTION hotdash.delivery_replay(bigint) IS 'Sends a delivery that has ended once more; false when it has not ended';
REVOKE ALL ON FUNCTION hotdash.delivery_replay(bigint) FROM PUBLIC;

CREATE FUNCTION hotdash.endpoint_replay(id bigint, since timestamptz, until_ts timestamptz DEFAULT NULL) RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		e hotdash._endpoint := hotdash._endpoint_get(id);
	BEGIN
		PERFORM hotdash._webhook_require(since, 'since');
		RETURN hotdash._job_revive(ARRAY(
			SELECT d.id FROM hotdash._delivery AS d JOIN hotdash._job_dead AS x ON x.id = d.id
			WHERE d.endpoint_id = e.id AND d.created_at >= since AND d.created_at < coalesce(until_ts, 'infinity')
				AND NOT EXISTS (SELECT FROM hotdash._delivery_attempt AS a
					WHERE a.delivery_id = d.id AND a.reason = 'delivered')
			ORDER BY d.created_at, d.id
			FOR UPDATE OF x SKIP LOCKED));
	END
	$$;
COMMENT ON FUNCTION hotdash.endpoint_replay(bigint, timestamptz, timestamptz) IS
	'Starts again the dead deliveries to an endpoint of events published since then; returns how many';
REVOKE ALL ON FUNCTION hotdash.endpoint_replay(bigint, timestamptz, timestamptz) FROM PUBLIC;

/*
 * Rights
 */

CREATE FUNCTION hotdash._webhooks_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT l, o FROM unnest(ARRAY['viewer', 'operator', 'admin']) AS l,
			unnest(ARRAY['view:endpoints', 'view:messages', 'view:deliveries', 'view:delivery_attempts',
				'view:dead_deliveries']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['producer', 'operator', 'admin']) AS l,
			unnest(ARRAY[
				'hotdash.event_publish(text, jsonb, text, text, text, jsonb)',
				'hotdash.event_publish_raw(text, bytea, text, text, text, text, jsonb)',
				'hotdash.http_request(text, text, jsonb, bytea, interval, int, jsonb)', 'hotdash.http_response(bigint)',
				'hotdash.http_response_text(bigint)', 'hotdash.http_response_json(bigint)']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['producer', 'worker', 'operator', 'admin']) AS l,
			unnest(ARRAY[
				'hotdash.webhook_sign(text, text, timestamptz, bytea)',
				'hotdash.webhook_verify(text, text, jsonb, bytea, interval)',
				'hotdash.webhook_verify_detail(text, text, jsonb, bytea, interval)']) AS o
		UNION ALL
		SELECT 'edge', o FROM unnest(ARRAY[
			'hotdash.edge_hello(int, text, text)', 'hotdash.edge_claim(text, int)', 'hotdash.edge_report(text, jsonb)',
			'hotdash.edge_renew(text, bigint[], bigint[], int)', 'hotdash.edge_release(text, bigint[], bigint[])',
			'hotdash.edge_wait(interval, bool)']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['operator', 'admin']) AS l,
			unnest(ARRAY[
				'hotdash.endpoint_enable(bigint)', 'hotdash.endpoint_disable(bigint, text)', 'hotdash.message_body(text)',
				'hotdash.delivery_replay(bigint)', 'hotdash.endpoint_replay(bigint, timestamptz, timestamptz)']) AS o
		UNION ALL
		SELECT 'admin', o FROM unnest(ARRAY[
			'hotdash.endpoint_create(text, text[], text, text, jsonb, interval, int, interval, jsonb, int, interval, int, bool, jsonpath, int[], jsonb)',
			'hotdash.endpoint_update(bigint, jsonb)', 'hotdash.endpoint_secret(bigint)']) AS o
	$$;
COMMENT ON FUNCTION hotdash._webhooks_rights() IS 'What each access level may use of the webhooks';
REVOKE ALL ON FUNCTION hotdash._webhooks_rights() FROM PUBLIC;
