/*
 * webhooks.sql: endpoints, events and deliveries.
 *
 * Model. An event is published in the caller's transaction: one row in _message, and per endpoint that wants it
 * one delivery, which is a job of kind webhook.delivery in queue webhooks. The edge claims deliveries as complete
 * signed requests, sends them, and reports what happened; what follows from an outcome is decided here, by
 * _webhook_classify. Retries, leases, expiry and death are the job engine's.
 *
 * Rows that are written once: _message, _delivery, _delivery_attempt. They are kept for a time, in parts that are
 * dropped as a whole: webhooks_retention.sql. Rows that change: _endpoint (rarely), and what webhooks_health.sql keeps.
 *
 * Locks: jobs first, then the row of the endpoint, in the order of ids.
 *
 * Here are the tables, what all pieces webhooks_*.sql stand on, and the rights.
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
	moved_at timestamptz,                   -- when it got another url; NULL: never
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
	id text COLLATE "C" NOT NULL,
	tenant text NOT NULL,
	event_type text NOT NULL,
	content_type text NOT NULL,
	created_at timestamptz NOT NULL,
	bytes int NOT NULL,
	part smallint NOT NULL,
	idempotency_key text,
	order_key text,
	traceparent text,
	body bytea NOT NULL                     -- the bytes that are signed and sent, the same on each attempt
) PARTITION BY LIST (part);
COMMENT ON TABLE hotdash._message IS 'Published events';
SELECT pg_catalog.pg_extension_config_dump('hotdash._message', '');

CREATE TABLE hotdash._message_0 PARTITION OF hotdash._message FOR VALUES IN (0);
ALTER TABLE hotdash._message_0 ADD CONSTRAINT _message_0_pkey PRIMARY KEY (id);
ALTER TABLE hotdash._message_0 ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE hotdash._message_0 IS 'Part 0 of the published events';
SELECT pg_catalog.pg_extension_config_dump('hotdash._message_0', '');

CREATE TABLE hotdash._message_key (
	tenant text NOT NULL,
	key text COLLATE "C" NOT NULL,
	message_id text COLLATE "C" NOT NULL,
	created_at timestamptz NOT NULL,
	PRIMARY KEY (tenant, key)
);
CREATE INDEX _message_key_created ON hotdash._message_key (created_at);
COMMENT ON TABLE hotdash._message_key IS 'Idempotency keys of published events';
SELECT pg_catalog.pg_extension_config_dump('hotdash._message_key', '');

CREATE TABLE hotdash._delivery (
	id bigint NOT NULL,                     -- the job's id
	endpoint_id bigint,                     -- NULL: a request of its own, see webhooks_request.sql
	created_at timestamptz NOT NULL,
	part smallint NOT NULL,
	tenant text NOT NULL,
	message_id text COLLATE "C",
	event_type text                         -- the message may be gone before the delivery
) PARTITION BY LIST (part);
COMMENT ON TABLE hotdash._delivery IS 'One message on its way to one endpoint';
SELECT pg_catalog.pg_extension_config_dump('hotdash._delivery', '');

CREATE TABLE hotdash._delivery_0 PARTITION OF hotdash._delivery FOR VALUES IN (0);
ALTER TABLE hotdash._delivery_0 ADD CONSTRAINT _delivery_0_pkey PRIMARY KEY (id);
CREATE INDEX _delivery_0_endpoint ON hotdash._delivery_0 (endpoint_id, created_at) WHERE endpoint_id IS NOT NULL;
CREATE INDEX _delivery_0_message ON hotdash._delivery_0 (message_id) WHERE message_id IS NOT NULL;
ALTER TABLE hotdash._delivery_0 ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE hotdash._delivery_0 IS 'Part 0 of the deliveries';
SELECT pg_catalog.pg_extension_config_dump('hotdash._delivery_0', '');

CREATE TABLE hotdash._delivery_attempt (
	delivery_id bigint NOT NULL,
	token bigint NOT NULL,                  -- of its claim: no two attempts have the same
	finished_at timestamptz NOT NULL,
	attempt int NOT NULL,
	dns_us int,
	connect_us int,
	tls_us int,
	ttfb_us int,
	total_us int,
	status int,
	part smallint NOT NULL,
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
	sent_at timestamptz,                    -- by the edge's clock; NULL: nothing was sent, or nobody knows
	response_excerpt text,
	traceparent text COLLATE "C",           -- as it was sent: the attempt is a span of its own
	parent_id text COLLATE "C"              -- of the span that this one is below
) PARTITION BY LIST (part);
COMMENT ON TABLE hotdash._delivery_attempt IS 'What happened each time a delivery was sent';
SELECT pg_catalog.pg_extension_config_dump('hotdash._delivery_attempt', '');

CREATE TABLE hotdash._delivery_attempt_0 PARTITION OF hotdash._delivery_attempt FOR VALUES IN (0);
CREATE INDEX _delivery_attempt_0_delivery ON hotdash._delivery_attempt_0 (delivery_id, finished_at);
-- To find the attempts of a trace. A B-tree would have 37 times the size, and write to a page at random each time.
CREATE INDEX _delivery_attempt_0_trace ON hotdash._delivery_attempt_0
	USING brin (substr(traceparent, 4, 32) text_bloom_ops, finished_at timestamptz_minmax_ops) WITH (autosummarize = on);
ALTER TABLE hotdash._delivery_attempt_0 ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE hotdash._delivery_attempt_0 IS 'Part 0 of the attempts of deliveries';
SELECT pg_catalog.pg_extension_config_dump('hotdash._delivery_attempt_0', '');

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

CREATE FUNCTION hotdash._webhook_check_header_room(headers jsonb) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* The edge takes 256 lines, ours among them, and libcurl 1 MB of all that stands before a body. */
	BEGIN
		IF (SELECT count(*) > 200 OR sum(octet_length(h.key) + octet_length(h.value)) > 262144
				FROM jsonb_each_text(headers) AS h) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'headers must be at most 200, of at most 262144 bytes together';
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._webhook_check_header_room(jsonb) IS
	'Raises 22023 for an object of more headers than one request can be sent with';
REVOKE ALL ON FUNCTION hotdash._webhook_check_header_room(jsonb) FROM PUBLIC;

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

CREATE FUNCTION hotdash._path_first(document jsonb, path jsonpath) RETURNS jsonb
	LANGUAGE plpgsql IMMUTABLE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * Silence covers what a document lacks, but not all that it can have: a time without a zone held against one
	 * with, a variable, a pattern that takes too much. Of that the publisher knows nothing, so it is not told.
	 */
	BEGIN
		RETURN jsonb_path_query_first(document, path, '{}', true);
	EXCEPTION WHEN data_exception OR feature_not_supported OR undefined_object OR program_limit_exceeded THEN
		RETURN NULL;
	END
	$$;
COMMENT ON FUNCTION hotdash._path_first(jsonb, jsonpath) IS
	'The first item that a path yields; NULL when there is none, or the path cannot be followed';
REVOKE ALL ON FUNCTION hotdash._path_first(jsonb, jsonpath) FROM PUBLIC;

CREATE FUNCTION hotdash._filter_accepts(document jsonb, filter jsonpath) RETURNS bool
	LANGUAGE sql IMMUTABLE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- A predicate yields true or false, a path yields items: the first decides.
		SELECT coalesce(hotdash._path_first(document, filter) NOT IN ('false', 'null'), false)
	$$;
COMMENT ON FUNCTION hotdash._filter_accepts(jsonb, jsonpath) IS
	'Whether the first item that the path yields is neither false nor null';
REVOKE ALL ON FUNCTION hotdash._filter_accepts(jsonb, jsonpath) FROM PUBLIC;

/*
 * Helpers
 */

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

CREATE FUNCTION hotdash._webhook_check_duration(name text, value interval, lowest interval, highest interval)
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
COMMENT ON FUNCTION hotdash._webhook_check_duration(text, interval, interval, interval) IS
	'Raises 22023 for a duration out of range; NULL is in range';
REVOKE ALL ON FUNCTION hotdash._webhook_check_duration(text, interval, interval, interval) FROM PUBLIC;

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

CREATE FUNCTION hotdash._webhook_read(given text, name text, missing anyelement) RETURNS anyelement
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* A cast would do, but for the SQLSTATE: each type has one of its own. */
	DECLARE
		value ALIAS FOR $0;
	BEGIN
		IF given IS NULL THEN
			RETURN missing;
		END IF;
		value := given;
		RETURN value;
	EXCEPTION WHEN data_exception OR syntax_error THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('malformed %s: "%s"', name, left(given, 100)), DETAIL = SQLERRM || '.';
	END
	$$;
COMMENT ON FUNCTION hotdash._webhook_read(text, text, anyelement) IS
	'A text as a value of the type of the last argument, which is returned where there is none; 22023 for one that is malformed';
REVOKE ALL ON FUNCTION hotdash._webhook_read(text, text, anyelement) FROM PUBLIC;

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
			'hotdash.endpoint_update(bigint, jsonb)', 'hotdash.endpoint_delete(bigint)', 'hotdash.endpoint_secret(bigint)']) AS o
	$$;
COMMENT ON FUNCTION hotdash._webhooks_rights() IS 'What each access level may use of the webhooks';
REVOKE ALL ON FUNCTION hotdash._webhooks_rights() FROM PUBLIC;
