/*
 * webhooks_views.sql: what can be seen of endpoints, messages and deliveries, by tenant.
 */

ALTER TABLE hotdash._endpoint ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._endpoint USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._endpoint IS 'A session bound to a tenant sees that tenant alone';

ALTER TABLE hotdash._endpoint_key ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._endpoint_key
	USING (EXISTS (SELECT FROM hotdash._endpoint AS e WHERE e.id = endpoint_id AND hotdash._tenant_sees(e.tenant)));
COMMENT ON POLICY tenant ON hotdash._endpoint_key IS 'A session bound to a tenant sees that tenant alone';

ALTER TABLE hotdash._endpoint_health ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._endpoint_health
	USING (EXISTS (SELECT FROM hotdash._endpoint AS e WHERE e.id = endpoint_id AND hotdash._tenant_sees(e.tenant)));
COMMENT ON POLICY tenant ON hotdash._endpoint_health IS 'A session bound to a tenant sees that tenant alone';

ALTER TABLE hotdash._endpoint_option ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._endpoint_option
	USING (EXISTS (SELECT FROM hotdash._endpoint AS e WHERE e.id = endpoint_id AND hotdash._tenant_sees(e.tenant)));
COMMENT ON POLICY tenant ON hotdash._endpoint_option IS 'A session bound to a tenant sees that tenant alone';

ALTER TABLE hotdash._message ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._message USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._message IS 'A session bound to a tenant sees that tenant alone';
ALTER TABLE hotdash._delivery ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._delivery USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._delivery IS 'A session bound to a tenant sees that tenant alone';
ALTER TABLE hotdash._delivery_attempt ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON hotdash._delivery_attempt USING (hotdash._tenant_sees(tenant));
COMMENT ON POLICY tenant ON hotdash._delivery_attempt IS 'A session bound to a tenant sees that tenant alone';

CREATE VIEW hotdash.endpoints WITH (security_invoker = true) AS
	SELECT e.id, e.tenant, e.url, e.events, e.header_names, e.timeout, e.max_attempts, e.max_age, e.backoff, e.filter,
		e.retry_statuses, e.rate, e.rate_period, e.concurrency, e.ordered, e.enabled, e.disabled_reason, e.disabled_at,
		CASE WHEN h.paused_until > hotdash._now() THEN h.paused_until END AS paused_until,
		CASE WHEN h.probe_at IS NULL THEN 'closed' WHEN h.probe_at > hotdash._now() THEN 'open' ELSE 'half_open' END AS breaker,
		h.probe_at, h.failing_since,
		k.signing, k.public_key, k.created_at AS secret_created_at, e.created_at, e.updated_at,
		o.proxy, o.cert_subject AS client_cert_subject, o.cert_not_after AS client_cert_not_after,
		o.cert_fingerprint AS client_cert_fingerprint,
		o.cert_not_after <= hotdash._now() + interval '14 days' AS client_cert_expires_soon,
		o.consent, o.consent_at, o.consent_rate, round(h.pace::numeric, 3) AS paced_rate, h.refused_at
	FROM hotdash._endpoint AS e
	LEFT JOIN hotdash._endpoint_key AS k ON k.endpoint_id = e.id AND k.retires_at IS NULL
	LEFT JOIN hotdash._endpoint_health AS h ON h.endpoint_id = e.id
	LEFT JOIN hotdash._endpoint_option AS o ON o.endpoint_id = e.id
	WHERE hotdash._tenant_sees(e.tenant);
COMMENT ON VIEW hotdash.endpoints IS
	'Receivers of webhooks; no secret but the public key, of headers the names alone, of a proxy host and port';

CREATE VIEW hotdash.messages WITH (security_invoker = true) AS
	SELECT m.id, m.tenant, m.event_type, m.content_type, m.bytes, m.idempotency_key, m.order_key, m.traceparent, m.created_at,
		hotdash._message_expires(m.created_at) AS kept_until
	FROM hotdash._message AS m
	WHERE hotdash._tenant_sees(m.tenant);
COMMENT ON VIEW hotdash.messages IS
	'Published events; message_body() shows what was sent; kept_until: at least, null: for good';

CREATE VIEW hotdash.delivery_attempts WITH (security_invoker = true) AS
	SELECT a.delivery_id, d.message_id, d.endpoint_id, a.tenant, a.attempt, a.outcome, a.reason, a.status, a.error_class,
		a.error, a.finished_at - coalesce(a.total_us, 0) * interval '1 microsecond' AS started_at, a.finished_at,
		round(a.dns_us / 1000.0, 3) AS dns_ms, round(a.connect_us / 1000.0, 3) AS connect_ms,
		round(a.tls_us / 1000.0, 3) AS tls_ms, round(a.ttfb_us / 1000.0, 3) AS ttfb_ms,
		round(a.total_us / 1000.0, 3) AS total_ms, a.remote_ip, a.reused, a.sent, a.late, a.retry_after, a.edge,
		a.response_excerpt, a.truncated, a.sent_at, a.traceparent, substr(a.traceparent, 4, 32) AS trace_id
	FROM hotdash._delivery_attempt AS a
	-- Whose part may go before that of its last attempt.
	LEFT JOIN hotdash._delivery AS d ON d.id = a.delivery_id
	WHERE hotdash._tenant_sees(a.tenant);
COMMENT ON VIEW hotdash.delivery_attempts IS 'What happened each time a delivery, or another request, was sent';

CREATE VIEW hotdash.deliveries WITH (security_invoker = true) AS
	SELECT d.id, d.message_id, d.endpoint_id, d.tenant,
		CASE
			WHEN r.id IS NOT NULL THEN 'running'
			WHEN j.id IS NOT NULL AND (e.enabled IS NOT TRUE OR o.consent <> 'granted') THEN 'parked'
			WHEN j.id IS NOT NULL AND greatest(j.at, h.paused_until, h.probe_at) > hotdash._now() THEN 'scheduled'
			WHEN j.id IS NOT NULL THEN 'ready'
			WHEN a.reason = 'delivered' THEN 'completed'
			WHEN x.id IS NOT NULL THEN 'dead'
			ELSE 'cancelled'
		END AS state,
		coalesce(j.attempt + (r.id IS NOT NULL)::int, x.attempt, a.attempt, 0) AS attempt,
		CASE WHEN j.id IS NOT NULL AND r.id IS NULL AND e.enabled AND coalesce(o.consent, 'granted') = 'granted'
			THEN greatest(j.at, h.paused_until, h.probe_at)
			END AS next_attempt_at,
		a.status AS last_status, a.reason AS last_reason, coalesce(j.last_error, x.last_error, a.error) AS last_error,
		a.finished_at AS last_attempt_at, d.created_at, d.event_type,
		EXISTS (SELECT FROM hotdash._message AS m WHERE m.id = d.message_id) AS body_kept
	FROM hotdash._delivery AS d
	LEFT JOIN hotdash._endpoint AS e ON e.id = d.endpoint_id
	LEFT JOIN hotdash._endpoint_health AS h ON h.endpoint_id = d.endpoint_id
	LEFT JOIN hotdash._endpoint_option AS o ON o.endpoint_id = d.endpoint_id
	LEFT JOIN hotdash._job AS j ON j.id = d.id
	LEFT JOIN hotdash._job_running() AS r ON r.id = d.id
	LEFT JOIN hotdash._job_dead AS x ON x.id = d.id
	LEFT JOIN LATERAL (
		SELECT y.attempt, y.status, y.reason, y.error, y.finished_at
		FROM hotdash._delivery_attempt AS y
		WHERE y.delivery_id = d.id
		ORDER BY y.reason = 'delivered' DESC, y.finished_at DESC
		LIMIT 1) AS a ON true
	WHERE d.endpoint_id IS NOT NULL AND hotdash._tenant_sees(d.tenant);
COMMENT ON VIEW hotdash.deliveries IS
	'Each message on its way to each endpoint: ready, scheduled, running, parked, completed, dead or cancelled; body_kept: it can be replayed';

CREATE VIEW hotdash.dead_deliveries WITH (security_invoker = true) AS
	SELECT d.id, d.message_id, d.endpoint_id, d.tenant, x.reason, x.attempt::int AS attempt, x.died_at, x.last_error,
		a.status AS last_status, a.reason AS last_reason, d.created_at, d.event_type,
		EXISTS (SELECT FROM hotdash._message AS m WHERE m.id = d.message_id) AS body_kept
	FROM hotdash._job_dead AS x
	JOIN hotdash._delivery AS d ON d.id = x.id
	LEFT JOIN LATERAL (
		SELECT y.status, y.reason
		FROM hotdash._delivery_attempt AS y
		WHERE y.delivery_id = d.id
		ORDER BY y.reason = 'delivered' DESC, y.finished_at DESC
		LIMIT 1) AS a ON true
	WHERE a.reason IS DISTINCT FROM 'delivered' AND hotdash._tenant_sees(d.tenant);
COMMENT ON VIEW hotdash.dead_deliveries IS
	'Deliveries that were given up, with the reason; delivery_replay() starts them again while their bodies are kept';

CREATE FUNCTION hotdash.message_body(id text) RETURNS bytea
	LANGUAGE plpgsql STABLE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._require_arg(id, 'id');
		RETURN (SELECT m.body FROM hotdash._message AS m
			WHERE m.id = message_body.id AND hotdash._tenant_sees(m.tenant));
	END
	$$;
COMMENT ON FUNCTION hotdash.message_body(text) IS 'The bytes of a published event; NULL when there is none of that id, or none any more';
REVOKE ALL ON FUNCTION hotdash.message_body(text) FROM PUBLIC;
