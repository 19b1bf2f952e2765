/*
 * ops_spans.sql: spans: what happened when, within which trace.
 *
 * A span that was started and has not ended is a row of _span_open; its end moves it to _span. Other modules write
 * finished spans at once, with _span_add. A delivery attempt needs no row here: its own row says all that a span does,
 * and the view shows it as one. Its span id is the parent id that was sent to the receiver, so what the receiver does
 * hangs below it.
 *
 * Why open spans have a table of their own: _span is kept in numbered parts (core_parts.sql), and an update would
 * have to look for the row in all of them and lock each, so that under load none could be dropped.
 *
 * All of it belongs to the caller's transaction. Spans of a trace that is not sampled are not kept: span_start then
 * passes the trace on and writes nothing. A span that never ends goes with the tick when it is older than
 * hotdash.span_retention.
 *
 * Two sessions that end one span: the second waits for the first, finds nothing, and does nothing.
 */

CREATE TABLE hotdash._span_open (
	started_at timestamptz NOT NULL,
	trace_id text COLLATE "C" NOT NULL,
	span_id text COLLATE "C" NOT NULL,
	parent_id text COLLATE "C",
	tenant text COLLATE "C" NOT NULL,
	name text NOT NULL,
	attributes jsonb,
	PRIMARY KEY (span_id, trace_id)
);
CREATE INDEX _span_open_started ON hotdash._span_open (started_at);
COMMENT ON TABLE hotdash._span_open IS 'Spans that were started and have not ended';
SELECT pg_catalog.pg_extension_config_dump('hotdash._span_open', '');

CREATE TABLE hotdash._span (
	started_at timestamptz NOT NULL,
	ended_at timestamptz NOT NULL,
	part smallint NOT NULL,
	ok bool,
	trace_id text COLLATE "C" NOT NULL,
	span_id text COLLATE "C" NOT NULL,
	parent_id text COLLATE "C",
	tenant text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	name text NOT NULL,
	attributes jsonb
) PARTITION BY LIST (part);
COMMENT ON TABLE hotdash._span IS 'Spans that have ended';
SELECT pg_catalog.pg_extension_config_dump('hotdash._span', '');

CREATE TABLE hotdash._span_0 PARTITION OF hotdash._span FOR VALUES IN (0);
CREATE INDEX _span_0_trace ON hotdash._span_0
	USING brin (trace_id text_bloom_ops, started_at timestamptz_minmax_ops) WITH (autosummarize = on);
ALTER TABLE hotdash._span_0 ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE hotdash._span_0 IS 'Part 0 of the spans';
SELECT pg_catalog.pg_extension_config_dump('hotdash._span_0', '');

CREATE FUNCTION hotdash._span_keep() RETURNS bool
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		DELETE FROM hotdash._span_open AS o WHERE (o.span_id, o.trace_id) IN (
			SELECT x.span_id, x.trace_id FROM hotdash._span_open AS x
			WHERE x.started_at < hotdash._now() - current_setting('hotdash.span_retention')::interval
			LIMIT 1000 FOR UPDATE SKIP LOCKED);
		SELECT hotdash._part_keep('spans', ARRAY['_span'],
			ARRAY[hotdash._part_days(current_setting('hotdash.span_retention')::interval)])
	$$;
COMMENT ON FUNCTION hotdash._span_keep() IS
	'Forgets spans that never ended; closes, makes and drops parts; false when a lock was not to be had';
REVOKE ALL ON FUNCTION hotdash._span_keep() FROM PUBLIC;

CREATE FUNCTION hotdash._span_add(traceparent text, parent_id text, name text, kind text, started_at timestamptz,
		ended_at timestamptz, ok bool, attributes jsonb, tenant text)
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_ops_sql_span_add' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._span_add(text, text, text, text, timestamptz, timestamptz, bool, jsonb, text) IS
	'Writes a span that has ended: traceparent has its trace and its own id; does nothing when that is not sampled';
REVOKE ALL ON FUNCTION hotdash._span_add(text, text, text, text, timestamptz, timestamptz, bool, jsonb, text) FROM PUBLIC;

CREATE FUNCTION hotdash.span_start(name text, attributes jsonb DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_ops_sql_span_start' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.span_start(text, jsonb) IS
	'Starts a span below trace_current(), or a new trace; returns its traceparent and makes it the current one';
REVOKE ALL ON FUNCTION hotdash.span_start(text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.span_end(span text, ok bool DEFAULT NULL, attributes jsonb DEFAULT NULL) RETURNS void
	AS 'MODULE_PATHNAME', 'hd_ops_sql_span_end' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.span_end(text, bool, jsonb) IS
	'Ends a span: ok unless said otherwise; attributes are added; where it is the current one its parent is again';
REVOKE ALL ON FUNCTION hotdash.span_end(text, bool, jsonb) FROM PUBLIC;

ALTER TABLE hotdash._span ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._span USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._span IS 'A session bound to a tenant sees that tenant alone';
ALTER TABLE hotdash._span_open ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._span_open USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._span_open IS 'A session bound to a tenant sees that tenant alone';

CREATE VIEW hotdash.spans WITH (security_invoker = true) AS
	SELECT s.trace_id, s.span_id, s.parent_id, s.name, s.kind, s.started_at, s.ended_at,
		s.ended_at - s.started_at AS duration, s.ok, s.attributes, s.tenant
	FROM hotdash._span AS s
	WHERE hotdash._tenant_sees(s.tenant)
	UNION ALL
	SELECT o.trace_id, o.span_id, o.parent_id, o.name, 'internal', o.started_at, NULL, NULL, NULL, o.attributes, o.tenant
	FROM hotdash._span_open AS o
	WHERE hotdash._tenant_sees(o.tenant)
	UNION ALL
	SELECT substr(a.traceparent, 4, 32), substr(a.traceparent, 37, 16), a.parent_id,
		CASE WHEN d.id IS NOT NULL AND d.endpoint_id IS NULL THEN 'http.request' ELSE 'webhook.delivery' END, 'client',
		a.finished_at - coalesce(a.total_us, 0) * interval '1 microsecond', a.finished_at,
		coalesce(a.total_us, 0) * interval '1 microsecond', a.outcome = 'completed' OR a.reason = 'delivered',
		jsonb_strip_nulls(jsonb_build_object('delivery_id', a.delivery_id::text, 'message_id', d.message_id,
			'endpoint_id', d.endpoint_id::text, 'event_type', d.event_type, 'attempt', a.attempt, 'reason', a.reason,
			'http.response.status_code', a.status, 'error.type', nullif(a.error_class, 'http'),
			'network.peer.address', a.remote_ip)),
		a.tenant
	FROM hotdash._delivery_attempt AS a
	LEFT JOIN hotdash._delivery AS d ON d.id = a.delivery_id
	WHERE a.traceparent IS NOT NULL AND hotdash._tenant_sees(a.tenant);
COMMENT ON VIEW hotdash.spans IS
	'Spans: what span_start and span_end measured, and each attempt of a delivery; ended_at is null while one is open';
