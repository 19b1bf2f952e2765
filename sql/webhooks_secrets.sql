/*
 * webhooks_secrets.sql: replacing secrets, of endpoints and of sources, and the keys that they are sealed with.
 */

CREATE FUNCTION hotdash._secret_check_room(owner text, running bigint) RETURNS void
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		most constant int := 5;				-- of an endpoint each makes the header 48 bytes longer, or 93
	BEGIN
		IF running >= most THEN
			RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
				MESSAGE = format('%s has %s secrets that overlap', owner, most),
				HINT = 'A shorter overlap ends those before it too; 0 leaves the new one alone.';
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._secret_check_room(text, bigint) IS
	'Raises 54000 where so many secrets run already that there must be no further one';
REVOKE ALL ON FUNCTION hotdash._secret_check_room(text, bigint) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_key_replace(id bigint, secret text, signing text, overlap interval) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/*
	 * The caller holds the endpoint's row. An overlap shortens those that run already: with 0 the new key is the only
	 * one, at once.
	 */
	DECLARE
		now constant timestamptz := hotdash._now();
		made record;
	BEGIN
		made := hotdash._endpoint_key_make(id, secret, signing);
		UPDATE hotdash._endpoint_key AS k SET retires_at = least(k.retires_at, now + overlap) WHERE k.endpoint_id = id;
		DELETE FROM hotdash._endpoint_key AS k WHERE k.endpoint_id = id AND k.retires_at <= now;
		PERFORM hotdash._secret_check_room(format('endpoint %s', id), count(*))
			FROM hotdash._endpoint_key AS k WHERE k.endpoint_id = id;
		INSERT INTO hotdash._endpoint_key (endpoint_id, version, created_at, signing, public_key, key)
			SELECT id, coalesce(max(k.version), 0) + 1, now, _endpoint_key_replace.signing, made.public_key, made.key
			FROM hotdash._endpoint_key AS k WHERE k.endpoint_id = id;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_key_replace(bigint, text, text, interval) IS
	'A new key for an endpoint, given or random; the ones before go on signing for the overlap';
REVOKE ALL ON FUNCTION hotdash._endpoint_key_replace(bigint, text, text, interval) FROM PUBLIC;

CREATE FUNCTION hotdash._secret_overlap(overlap interval) RETURNS interval
	LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
	BEGIN
		PERFORM hotdash._webhook_check_duration('overlap', overlap, '0', '7 days');
		RETURN coalesce(overlap, interval '24 hours');
	END
	$$;
COMMENT ON FUNCTION hotdash._secret_overlap(interval) IS 'Overlap that an argument means, or 22023';
REVOKE ALL ON FUNCTION hotdash._secret_overlap(interval) FROM PUBLIC;

CREATE FUNCTION hotdash._endpoint_set_signing(id bigint, options jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Another way to sign takes another key; the receiver has the usual overlap to learn it. */
	DECLARE
		wanted constant text := coalesce(options ->> 'signing', 'hmac');
	BEGIN
		IF options ? 'signing' AND NOT EXISTS (SELECT FROM hotdash._endpoint_key AS k
				WHERE k.endpoint_id = id AND k.retires_at IS NULL AND k.signing = wanted) THEN
			PERFORM hotdash._endpoint_key_replace(id, NULL, wanted, hotdash._secret_overlap(NULL));
		END IF;
	END
	$$;
COMMENT ON FUNCTION hotdash._endpoint_set_signing(bigint, jsonb) IS
	'Gives an endpoint a key that signs as its options say, unless it has one';
REVOKE ALL ON FUNCTION hotdash._endpoint_set_signing(bigint, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.endpoint_rotate_secret(id bigint, overlap interval DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	DECLARE
		e hotdash._endpoint := hotdash._endpoint_get(id);
	BEGIN
		PERFORM hotdash._endpoint_key_replace(e.id, NULL, k.signing, hotdash._secret_overlap(overlap))
			FROM hotdash._endpoint_key AS k WHERE k.endpoint_id = e.id AND k.retires_at IS NULL;
		RETURN hotdash.endpoint_secret(id);
	END
	$$;
COMMENT ON FUNCTION hotdash.endpoint_rotate_secret(bigint, interval) IS
	'A new random secret, returned (of ed25519 the public key); the old one signs beside it for the overlap, a day';
REVOKE ALL ON FUNCTION hotdash.endpoint_rotate_secret(bigint, interval) FROM PUBLIC;

CREATE FUNCTION hotdash._edge_await_key(claimed hotdash.claimed_job[], at timestamptz) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* A minute, uncharged: whoever brings the key back need not look for what died of it. */
	BEGIN
		PERFORM hotdash._job_snooze_many(array_agg(j.id), array_agg(j.token), array_agg(interval '1 minute'))
			FROM unnest(claimed) AS j
			WHERE EXISTS (SELECT FROM hotdash._endpoint_key AS k
				WHERE k.endpoint_id = hotdash._delivery_endpoint(j.payload) AND (k.retires_at IS NULL OR k.retires_at > at)
					AND hotdash._secret_state(k.key, 'endpoint/' || k.endpoint_id) IN ('missing', 'damaged'))
				OR EXISTS (SELECT FROM hotdash._endpoint_option AS o, hotdash._endpoint_option_secrets(o) AS x
					WHERE (o.endpoint_id = hotdash._delivery_endpoint(j.payload) OR o.consent_request = j.id)
						AND hotdash._secret_state(x.stored, x.place) IN ('missing', 'damaged'))
			HAVING count(*) > 0;
	END
	$$;
COMMENT ON FUNCTION hotdash._edge_await_key(hotdash.claimed_job[], timestamptz) IS
	'Puts off claimed deliveries of whose endpoint a secret cannot be decrypted';
REVOKE ALL ON FUNCTION hotdash._edge_await_key(hotdash.claimed_job[], timestamptz) FROM PUBLIC;

/*
 * The keys that seal
 */

CREATE FUNCTION hotdash.secret_reseal() RETURNS bigint
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* One that cannot be opened stops it all: the key that is missing must come back before it is forgotten. */
	DECLARE
		newest constant text := hotdash._secret_newest_key();
		endpoints bigint;
		options bigint;
		sources bigint;
	BEGIN
		UPDATE hotdash._endpoint_key AS k SET key = hotdash._secret_reseal(k.key, 'endpoint/' || k.endpoint_id)
			WHERE hotdash._secret_key_id(k.key) IS DISTINCT FROM newest;
		GET DIAGNOSTICS endpoints = ROW_COUNT;
		UPDATE hotdash._endpoint_option AS o
			SET proxy_login = hotdash._secret_reseal(o.proxy_login, 'endpoint-proxy/' || o.endpoint_id),
				cert = hotdash._secret_reseal(o.cert, 'endpoint-cert/' || o.endpoint_id)
			WHERE EXISTS (SELECT FROM hotdash._endpoint_option_secrets(o) AS x
				WHERE hotdash._secret_key_id(x.stored) IS DISTINCT FROM newest);
		GET DIAGNOSTICS options = ROW_COUNT;
		UPDATE hotdash._inbound_key AS k SET secret = hotdash._secret_reseal(k.secret, 'inbound/' || k.source)
			WHERE hotdash._secret_key_id(k.secret) IS DISTINCT FROM newest;
		GET DIAGNOSTICS sources = ROW_COUNT;
		RETURN endpoints + options + sources;
	END
	$$;
COMMENT ON FUNCTION hotdash.secret_reseal() IS
	'Encrypts with the newest key all secrets that are not encrypted with it; returns how many';
REVOKE ALL ON FUNCTION hotdash.secret_reseal() FROM PUBLIC;

CREATE FUNCTION hotdash._health_secrets() RETURNS jsonb
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- Secrets without encryption are a choice, not a failure: whoever asks whether to send traffic here must not
		-- be told no.
		SELECT jsonb_strip_nulls(jsonb_build_object(
			'status', CASE WHEN p.problem IS NOT NULL OR n.lost > 0 THEN 'degraded' ELSE 'healthy' END,
			'state', CASE WHEN p.problem IS NOT NULL THEN 'key file cannot be used'
				WHEN n.lost > 0 THEN 'some cannot be decrypted'
				WHEN hotdash._secret_newest_key() IS NULL THEN 'not encrypted'
				WHEN n.behind > 0 THEN 'some not encrypted with the newest key'
				ELSE 'encrypted' END,
			'detail', CASE WHEN p.problem IS NOT NULL THEN p.problem
				WHEN n.lost > 0 THEN 'What they sign or check waits until their key is in the file of hotdash.secret_key_file.'
				WHEN hotdash._secret_newest_key() IS NULL THEN
					'Name a key file with hotdash.secret_key_file, reload, and SELECT hotdash.secret_reseal().'
				WHEN n.behind > 0 THEN 'SELECT hotdash.secret_reseal().' END)
			|| CASE WHEN coalesce(current_setting('hotdash.tenant', true), '') <> '' THEN '{}'
				ELSE jsonb_build_object('secrets', n.secrets, 'not_newest', n.behind, 'lost', n.lost,
					'keys_missing', n.keys_missing) END)
		FROM (SELECT hotdash._secret_problem() AS problem) AS p,
			(SELECT count(*) AS secrets, count(*) FILTER (WHERE s.state IN ('plain', 'old')) AS behind,
				count(*) FILTER (WHERE s.state IN ('missing', 'damaged')) AS lost,
				coalesce(jsonb_agg(DISTINCT s.key_id) FILTER (WHERE s.state = 'missing'), '[]') AS keys_missing
			FROM (SELECT hotdash._secret_state(k.key, 'endpoint/' || k.endpoint_id) AS state,
					hotdash._secret_key_id(k.key) AS key_id FROM hotdash._endpoint_key AS k
				UNION ALL
				SELECT hotdash._secret_state(x.stored, x.place), hotdash._secret_key_id(x.stored)
				FROM hotdash._endpoint_option AS o, hotdash._endpoint_option_secrets(o) AS x
				UNION ALL
				SELECT hotdash._secret_state(k.secret, 'inbound/' || k.source), hotdash._secret_key_id(k.secret)
				FROM hotdash._inbound_key AS k) AS s) AS n
	$$;
COMMENT ON FUNCTION hotdash._health_secrets() IS 'Health check: secrets are encrypted, and can be decrypted';
REVOKE ALL ON FUNCTION hotdash._health_secrets() FROM PUBLIC;

/*
 * Periodic work
 */

CREATE FUNCTION hotdash._webhooks_tidy() RETURNS bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
	/* Waits for nobody: what somebody else holds is there in a minute too. */
	DECLARE
		now constant timestamptz := hotdash._now();
		more bool;
	BEGIN
		DELETE FROM hotdash._endpoint_key AS k WHERE (k.endpoint_id, k.version) IN (
			SELECT x.endpoint_id, x.version FROM hotdash._endpoint_key AS x WHERE x.retires_at <= now
			FOR UPDATE SKIP LOCKED);
		DELETE FROM hotdash._inbound_key AS k WHERE (k.source, k.version) IN (
			SELECT x.source, x.version FROM hotdash._inbound_key AS x WHERE x.retires_at <= now FOR UPDATE SKIP LOCKED);
		PERFORM hotdash._inbound_sweep(20000);
		PERFORM hotdash._consent_tidy();
		more := hotdash._deliveries_expire();
		more := hotdash._messages_forget_keys() OR more;
		more := hotdash._http_hosts_forget() OR more;
		more := hotdash._endpoints_sweep() OR more;
		more := hotdash._http_settle(extract(minute FROM now)::int) OR more;
		RETURN hotdash._http_sweep() OR more;
	END
	$$;
COMMENT ON FUNCTION hotdash._webhooks_tidy() IS
	'Each minute: deletes what was kept long enough, ends deliveries that waited too long and handshakes that came to no end; true when there is more to do at once';
REVOKE ALL ON FUNCTION hotdash._webhooks_tidy() FROM PUBLIC;

CREATE FUNCTION hotdash._secrets_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT 'admin', o FROM unnest(ARRAY['hotdash.endpoint_rotate_secret(bigint, interval)',
			'hotdash.secret_reseal()']) AS o
	$$;
COMMENT ON FUNCTION hotdash._secrets_rights() IS 'What each access level may use of the secrets';
REVOKE ALL ON FUNCTION hotdash._secrets_rights() FROM PUBLIC;
