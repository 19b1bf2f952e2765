/*
 * webhooks_egress.sql: what few endpoints ask for: a proxy on the way, a client certificate, a receiver's consent.
 *
 * Model. A row of _endpoint_option exists only for an endpoint that asks for one of these. Logins of proxies and client
 * certificates are sealed (extension/webhooks/egress.c) and opened in edge_claim alone. Consent is in
 * webhooks_consent.sql.
 *
 * Locks: the row of the endpoint, then its row here.
 */

CREATE TABLE hotdash._endpoint_option (
	endpoint_id bigint PRIMARY KEY REFERENCES hotdash._endpoint ON DELETE CASCADE,
	proxy text,                             -- scheme, host and port; NULL: whatever the edge is set to
	proxy_login bytea,                      -- user:password, sealed
	cert bytea,                             -- client certificate, its chain and its key, sealed
	cert_subject text,
	cert_not_after timestamptz,
	cert_fingerprint text,                  -- SHA-256
	consent text,                           -- pending, granted, refused; NULL: not asked for
	consent_origin text,                    -- what we were called when it was asked for
	consent_request bigint,                 -- the handshake, while it is pending
	consent_rate int,                       -- requests a minute that were granted; NULL: any number
	consent_at timestamptz                  -- since when it is as it is
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX _endpoint_option_consent_request ON hotdash._endpoint_option (consent_request);
COMMENT ON TABLE hotdash._endpoint_option IS 'Proxies, client certificates and consent of the endpoints that have one';
SELECT pg_catalog.pg_extension_config_dump('hotdash._endpoint_option', '');

CREATE FUNCTION hotdash._endpoint_proxy_make(endpoint bigint, url text, OUT proxy text, OUT login bytea) RETURNS record
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_proxy_make' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._endpoint_proxy_make(bigint, text) IS
	'What may be shown of a proxy''s URL, and its login, sealed; 22023 for what is no such URL';
REVOKE ALL ON FUNCTION hotdash._endpoint_proxy_make(bigint, text) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_cert_make(endpoint bigint, pem text, OUT cert bytea, OUT subject text,
		OUT not_after timestamptz, OUT fingerprint text) RETURNS record
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_cert_make' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._endpoint_cert_make(bigint, text) IS
	'A client certificate with its key, sealed, and what may be shown of it; 22023 for one that cannot be used';
REVOKE ALL ON FUNCTION hotdash._endpoint_cert_make(bigint, text) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_egress_open(endpoint bigint, what text, stored bytea) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_webhooks_sql_egress_open' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._endpoint_egress_open(bigint, text, bytea) IS
	'For the edge: a proxy''s login or a client certificate; NULL when it cannot be opened';
REVOKE ALL ON FUNCTION hotdash._endpoint_egress_open(bigint, text, bytea) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_option_secrets(o hotdash._endpoint_option) RETURNS TABLE (stored bytea, place text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT s.stored, s.place
		FROM (VALUES (o.proxy_login, 'endpoint-proxy/' || o.endpoint_id), (o.cert, 'endpoint-cert/' || o.endpoint_id))
			AS s (stored, place)
		WHERE s.stored IS NOT NULL
	$$;
COMMENT ON FUNCTION hotdash._endpoint_option_secrets(hotdash._endpoint_option) IS
	'Sealed secrets in a row, and the places that they are bound to';
REVOKE ALL ON FUNCTION hotdash._endpoint_option_secrets(hotdash._endpoint_option) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_set_options(e hotdash._endpoint, options jsonb, moved bool) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * The caller holds the endpoint's row. An option that is not named keeps its value, null takes it away. A receiver
	 * that has moved is asked for its consent again: another one may live there.
	 */
	DECLARE
		o hotdash._endpoint_option;
		consent constant bool := (options ->> 'consent')::bool;
	BEGIN
		SELECT * INTO o FROM hotdash._endpoint_option AS x WHERE x.endpoint_id = e.id FOR UPDATE;
		IF NOT FOUND AND NOT coalesce(options ?| '{client_cert,consent,proxy}', false) THEN
			RETURN;
		END IF;
		o.endpoint_id := e.id;
		IF options ? 'proxy' THEN
			SELECT p.proxy, p.login INTO o.proxy, o.proxy_login
				FROM hotdash._endpoint_proxy_make(e.id, options ->> 'proxy') AS p;
		END IF;
		IF options ? 'client_cert' THEN
			SELECT c.cert, c.subject, c.not_after, c.fingerprint
				INTO o.cert, o.cert_subject, o.cert_not_after, o.cert_fingerprint
				FROM hotdash._endpoint_cert_make(e.id, options ->> 'client_cert') AS c;
		END IF;
		IF options ? 'consent' AND NOT coalesce(consent, false) THEN
			o.consent := NULL;
			o.consent_origin := NULL;
			o.consent_request := NULL;
			o.consent_rate := NULL;
			o.consent_at := NULL;
		END IF;
		moved := moved AND o.consent IS NOT NULL OR coalesce(consent, false) AND o.consent IS NULL;
		DELETE FROM hotdash._endpoint_option AS x WHERE x.endpoint_id = e.id;
		IF num_nonnulls(o.proxy, o.cert, o.consent) > 0 OR moved THEN
			INSERT INTO hotdash._endpoint_option VALUES (o.*);
		END IF;
		IF moved THEN
			PERFORM hotdash._consent_ask(e);
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_set_options(hotdash._endpoint, jsonb, bool) IS
	'Proxy, client certificate and consent of an endpoint, as its options say';
REVOKE ALL ON FUNCTION hotdash._endpoint_set_options(hotdash._endpoint, jsonb, bool) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_rate(own_rate int, own_period interval, granted int, OUT rate int, OUT period interval)
	RETURNS record
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * One rate that keeps both: what the endpoint asks for, and so many a minute. A window of the longer period is
	 * covered by k windows of the shorter; where that leaves less than one each, the longer period has them all.
	 */
	DECLARE
		minute constant interval := '1 minute';
		k int;
	BEGIN
		rate := own_rate;
		period := own_period;
		IF granted IS NULL THEN
			RETURN;
		ELSIF own_rate IS NULL THEN
			rate := granted;
			period := minute;
		ELSIF own_period <= minute THEN
			k := ceil(extract(epoch FROM minute) / extract(epoch FROM own_period));
			rate := least(own_rate, granted / k);
			IF rate = 0 THEN
				rate := least(own_rate, granted);
				period := minute;
			END IF;
		ELSE
			k := ceil(extract(epoch FROM own_period) / extract(epoch FROM minute));
			rate := least(granted, own_rate / k);
			period := minute;
			IF own_rate <= granted OR rate = 0 THEN
				rate := least(own_rate, granted);
				period := own_period;
			END IF;
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_rate(int, interval, int) IS
	'The rate of an endpoint whose receiver grants so many requests a minute';
REVOKE ALL ON FUNCTION hotdash._endpoint_rate(int, interval, int) FROM PUBLIC;
