/*
 * jobs_hold.sql: what holds jobs back: approvals, other jobs, batches (extension/jobs/hold.h, after.h).
 *
 * Only jobs that ask have rows here.
 *
 * A batch is a job, its callback, that waits for its members; so its id is the
 * callback's, and members are dependencies like any other (on_failure 3).
 */

CREATE TABLE hotdash._job_dependency (
	job_id bigint NOT NULL,
	after_id bigint NOT NULL,
	on_failure smallint NOT NULL,
	CONSTRAINT _job_dependency_pkey PRIMARY KEY (job_id, after_id)
);
CREATE INDEX _job_dependency_after ON hotdash._job_dependency (after_id);
COMMENT ON TABLE hotdash._job_dependency IS 'Which jobs a held job still waits for';
COMMENT ON COLUMN hotdash._job_dependency.on_failure IS
	'When the other one ends badly: 0 wait, 1 cancel, 2 run; 3: it is a member of the batch job_id';

CREATE TABLE hotdash._job_recheck (
	job_id bigint NOT NULL
);
COMMENT ON TABLE hotdash._job_recheck IS
	'Held jobs whose last dependencies ended side by side: the tick decides whether they may run';

CREATE TABLE hotdash._job_deadline (
	job_id bigint NOT NULL PRIMARY KEY,
	expires_at timestamptz NOT NULL
);
CREATE INDEX _job_deadline_expires ON hotdash._job_deadline (expires_at);
COMMENT ON TABLE hotdash._job_deadline IS 'Held jobs that expire: the tick ends them';

CREATE TABLE hotdash._job_approval (
	job_id bigint NOT NULL PRIMARY KEY,
	requested_at timestamptz NOT NULL,
	decided_at timestamptz,
	confidence float8,
	tenant text COLLATE "C" NOT NULL,
	decision text COLLATE "C",
	decided_by text,
	decided_role name,
	note text,
	why text,
	sources jsonb,
	payload_before jsonb
);
CREATE INDEX _job_approval_open ON hotdash._job_approval (requested_at) WHERE decided_at IS NULL;
COMMENT ON TABLE hotdash._job_approval IS 'Approvals asked for, and what became of them';
COMMENT ON COLUMN hotdash._job_approval.decision IS 'approved, rejected, cancelled or expired; NULL: open';
COMMENT ON COLUMN hotdash._job_approval.decided_role IS 'The session''s role, beside the name it gave';
COMMENT ON COLUMN hotdash._job_approval.payload_before IS 'Payload that the approval replaced';

CREATE TABLE hotdash._batch (
	id bigint NOT NULL PRIMARY KEY,
	created_at timestamptz NOT NULL,
	closed_at timestamptz,
	ended_at timestamptz,
	completed bigint,
	dead bigint,
	cancelled bigint,
	tenant text COLLATE "C" NOT NULL
);
COMMENT ON TABLE hotdash._batch IS 'Batches; the numbers are filled in when the last member has ended';

CREATE TABLE hotdash._batch_tally (
	batch bigint NOT NULL,
	completed int NOT NULL,
	dead int NOT NULL,
	cancelled int NOT NULL
);
CREATE INDEX _batch_tally_batch ON hotdash._batch_tally (batch);
COMMENT ON TABLE hotdash._batch_tally IS
	'How many members ended how, one row a call that ended some; summed up when the batch ends';

SELECT pg_catalog.pg_extension_config_dump('hotdash._job_dependency', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_recheck', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_deadline', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._job_approval', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._batch', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._batch_tally', '');

CREATE FUNCTION hotdash._job_unhold(ids bigint[], reason smallint) RETURNS int
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_unhold' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_unhold(bigint[], smallint) IS
	'Takes a reason to be held from jobs; those that have none left may be claimed. Returns how many had it';
REVOKE ALL ON FUNCTION hotdash._job_unhold(bigint[], smallint) FROM PUBLIC;

CREATE FUNCTION hotdash._job_cancel_held(id bigint, result jsonb) RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_cancel_held' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._job_cancel_held(bigint, jsonb) IS
	'Cancels a job that is held, with a result; false when it is not';
REVOKE ALL ON FUNCTION hotdash._job_cancel_held(bigint, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash._batch_try_end(id bigint) RETURNS bool
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_batch_try_end' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._batch_try_end(bigint) IS
	'Lets the callback of a closed batch go if every member has certainly ended';
REVOKE ALL ON FUNCTION hotdash._batch_try_end(bigint) FROM PUBLIC;

CREATE FUNCTION hotdash._batch_open(kind text, payload jsonb DEFAULT NULL, queue text DEFAULT NULL,
	priority int DEFAULT NULL, run_at timestamptz DEFAULT NULL, max_attempts int DEFAULT NULL,
	unique_key text DEFAULT NULL, if_exists text DEFAULT NULL, order_key text DEFAULT NULL,
	tenant text DEFAULT NULL, after bigint[] DEFAULT NULL, needs_approval bool DEFAULT NULL,
	tags text[] DEFAULT NULL, options jsonb DEFAULT NULL)
	RETURNS bigint
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_batch_open' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._batch_open IS
	'job_enqueue of a job that is the callback of a new batch';
REVOKE ALL ON FUNCTION hotdash._batch_open FROM PUBLIC;

-- Dead members that come back before the callback ran are waited for again; afterwards they are not.
CREATE FUNCTION hotdash._batch_rejoin(members bigint[]) RETURNS void
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		WITH waiting AS MATERIALIZED (
			-- The lock keeps the callback from being let go meanwhile.
			SELECT x.id FROM hotdash._job AS x
			WHERE x.id IN (SELECT j.batch FROM hotdash._job AS j WHERE j.id = ANY (members)) AND x.hold IS NOT NULL
			ORDER BY x.id FOR NO KEY UPDATE
		), again AS (
			INSERT INTO hotdash._job_dependency (job_id, after_id, on_failure)
			SELECT w.id, j.id, 3 FROM hotdash._job AS j JOIN waiting AS w ON w.id = j.batch
			WHERE j.id = ANY (members)
			ON CONFLICT DO NOTHING
			RETURNING job_id
		)
		INSERT INTO hotdash._batch_tally (batch, completed, dead, cancelled)
		SELECT job_id, 0, -count(*), 0 FROM again GROUP BY job_id
	$$;
COMMENT ON FUNCTION hotdash._batch_rejoin(bigint[]) IS 'Makes batches wait again for members that were dead';
REVOKE ALL ON FUNCTION hotdash._batch_rejoin(bigint[]) FROM PUBLIC;

-- Checks that approving and rejecting share; true when the job is there and waits, and is locked.
CREATE FUNCTION hotdash._job_approval_lock(id bigint, by_whom text) RETURNS bool
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	PERFORM hotdash._require_arg(id, 'id');
	PERFORM hotdash._require_arg(by_whom, 'by');
	IF btrim(by_whom) = '' THEN
		RAISE EXCEPTION 'by must name who decides' USING ERRCODE = 'invalid_parameter_value';
	END IF;

	-- The job before its approval: whoever ends it takes them in this order too.
	PERFORM FROM hotdash._job AS j
		WHERE j.id = _job_approval_lock.id AND j.hold & 1 <> 0 AND hotdash._tenant_sees(j.tenant)
		FOR UPDATE;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION hotdash._job_approval_lock(bigint, text) IS
	'Locks a job that waits for approval; false when it does not';
REVOKE ALL ON FUNCTION hotdash._job_approval_lock(bigint, text) FROM PUBLIC;

CREATE FUNCTION hotdash._job_approval_decide(id bigint, decision text, by_whom text, note text, before jsonb)
	RETURNS void
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		UPDATE hotdash._job_approval AS a SET decided_at = hotdash._now(), decision = $2, decided_by = $3,
			decided_role = session_user, note = $4, payload_before = $5
		WHERE a.job_id = $1
	$$;
COMMENT ON FUNCTION hotdash._job_approval_decide(bigint, text, text, text, jsonb) IS 'Writes down who decided what';
REVOKE ALL ON FUNCTION hotdash._job_approval_decide(bigint, text, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.job_approve(id bigint, by text, note text DEFAULT NULL, payload jsonb DEFAULT NULL)
	RETURNS bool
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	size_limit bigint := pg_size_bytes(current_setting('hotdash.job_max_payload'));
	before jsonb;
BEGIN
	IF octet_length(job_approve.payload::text) > size_limit THEN
		RAISE EXCEPTION 'payload of a job is larger than % kB', size_limit / 1024
			USING ERRCODE = 'program_limit_exceeded';
	ELSIF NOT hotdash._job_approval_lock(id, by) THEN
		RETURN false;
	END IF;
	IF job_approve.payload IS NOT NULL THEN
		PERFORM hotdash._job_payload_check(j.kind, job_approve.payload) FROM hotdash._job AS j WHERE j.id = job_approve.id;
		SELECT j.payload INTO before FROM hotdash._job AS j WHERE j.id = job_approve.id;
		UPDATE hotdash._job AS j SET payload = job_approve.payload WHERE j.id = job_approve.id;
	END IF;
	PERFORM hotdash._job_approval_decide(id, 'approved', by, note, before);
	RETURN hotdash._job_unhold(ARRAY[id], 1::smallint) = 1;
END
$$;
COMMENT ON FUNCTION hotdash.job_approve(bigint, text, text, jsonb) IS
	'Lets a job go that waits for approval, with another payload if one is given; false when it does not wait for one';
REVOKE ALL ON FUNCTION hotdash.job_approve(bigint, text, text, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.job_reject(id bigint, by text, note text DEFAULT NULL)
	RETURNS bool
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	IF NOT hotdash._job_approval_lock(id, by) THEN
		RETURN false;
	END IF;
	PERFORM hotdash._job_approval_decide(id, 'rejected', by, note, NULL);
	RETURN hotdash._job_cancel_held(id, jsonb_build_object('rejected',
		jsonb_strip_nulls(jsonb_build_object('by', by, 'note', note))));
END
$$;
COMMENT ON FUNCTION hotdash.job_reject(bigint, text, text) IS
	'Cancels a job that waits for approval; false when it does not wait for one';
REVOKE ALL ON FUNCTION hotdash.job_reject(bigint, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash.batch_create(callback_kind text, callback_payload jsonb DEFAULT NULL, options jsonb DEFAULT NULL)
	RETURNS bigint
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	own CONSTANT text[] := ARRAY['queue', 'priority', 'max_attempts', 'tenant', 'needs_approval', 'tags'];
	wrong text;
BEGIN
	PERFORM hotdash._require_arg(callback_kind, 'callback_kind');
	IF jsonb_typeof(callback_payload) <> 'object' THEN
		RAISE EXCEPTION 'callback_payload must be a JSON object' USING ERRCODE = 'invalid_parameter_value',
			DETAIL = 'The numbers of the batch are added to it under the key "batch".';
	ELSIF jsonb_typeof(options) <> 'object' THEN
		RAISE EXCEPTION 'options must be a JSON object' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	SELECT o.key INTO wrong FROM jsonb_each(options) AS o
		WHERE jsonb_typeof(o.value) <> CASE o.key WHEN 'queue' THEN 'string' WHEN 'tenant' THEN 'string'
			WHEN 'priority' THEN 'number' WHEN 'max_attempts' THEN 'number' WHEN 'tags' THEN 'array'
			WHEN 'needs_approval' THEN 'boolean' ELSE jsonb_typeof(o.value) END;
	IF FOUND THEN
		RAISE EXCEPTION 'option "%" has a value of the wrong type', wrong USING ERRCODE = 'invalid_parameter_value';
	END IF;
	RETURN hotdash._batch_open(callback_kind, callback_payload, queue => options ->> 'queue',
		priority => (options ->> 'priority')::numeric::int, max_attempts => (options ->> 'max_attempts')::numeric::int,
		tenant => options ->> 'tenant', needs_approval => (options ->> 'needs_approval')::bool,
		tags => CASE WHEN options ? 'tags' THEN ARRAY(SELECT jsonb_array_elements_text(options -> 'tags')) END,
		options => options - own);
END
$$;
COMMENT ON FUNCTION hotdash.batch_create(text, jsonb, jsonb) IS
	'Opens a batch: a job that runs when the batch is closed and all members have ended; returns its id';
REVOKE ALL ON FUNCTION hotdash.batch_create(text, jsonb, jsonb) FROM PUBLIC;

CREATE FUNCTION hotdash.batch_close(id bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	closed boolean;
BEGIN
	PERFORM hotdash._require_arg(batch_close.id, 'id');

	-- Waits for open transactions that are adding members, and lets no other begin.
	PERFORM FROM hotdash._job AS j
		WHERE j.id = batch_close.id AND j.hold & 4 <> 0 AND hotdash._tenant_sees(j.tenant) FOR UPDATE;
	SELECT b.closed_at IS NOT NULL INTO closed FROM hotdash._batch AS b
		WHERE b.id = batch_close.id AND hotdash._tenant_sees(b.tenant);
	IF closed IS NULL THEN
		RAISE EXCEPTION 'batch % does not exist', batch_close.id USING ERRCODE = 'undefined_object';
	ELSIF closed THEN
		RETURN;
	END IF;
	UPDATE hotdash._batch AS b SET closed_at = hotdash._now() WHERE b.id = batch_close.id;
	UPDATE hotdash._job AS j SET hold = (j.hold & ~4) | 2 WHERE j.id = batch_close.id AND j.hold & 4 <> 0;

	-- Members that end before this is committed see the batch open, and leave it to the note.
	IF FOUND AND NOT hotdash._batch_try_end(batch_close.id) THEN
		INSERT INTO hotdash._job_recheck (job_id) VALUES (batch_close.id);
	END IF;
END
$$;
COMMENT ON FUNCTION hotdash.batch_close(bigint) IS
	'Says that no more members come; closing a closed batch changes nothing';
REVOKE ALL ON FUNCTION hotdash.batch_close(bigint) FROM PUBLIC;

CREATE FUNCTION hotdash.job_progress(id bigint, token bigint, percent float8 DEFAULT NULL, note text DEFAULT NULL)
	RETURNS void
	AS 'MODULE_PATHNAME', 'hd_jobs_sql_progress' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash.job_progress(bigint, bigint, float8, text) IS
	'Says how far a running job is; a stale token changes nothing';
REVOKE ALL ON FUNCTION hotdash.job_progress(bigint, bigint, float8, text) FROM PUBLIC;

CREATE FUNCTION hotdash._batch_counts(batch bigint)
	RETURNS TABLE (pending bigint, completed bigint, dead bigint, cancelled bigint)
	LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT (SELECT count(*) FROM hotdash._job_dependency AS d WHERE d.job_id = b.id AND d.on_failure = 3),
			coalesce(b.completed, 0) + t.completed, coalesce(b.dead, 0) + t.dead,
			coalesce(b.cancelled, 0) + t.cancelled
		FROM hotdash._batch AS b
		CROSS JOIN LATERAL (
			SELECT coalesce(sum(s.completed), 0) AS completed, coalesce(sum(s.dead), 0) AS dead,
				coalesce(sum(s.cancelled), 0) AS cancelled
			FROM hotdash._batch_tally AS s WHERE s.batch = b.id) AS t
		WHERE b.id = $1 AND hotdash._tenant_sees(b.tenant)
	$$;
COMMENT ON FUNCTION hotdash._batch_counts(bigint) IS 'Members of a batch by what became of them';
REVOKE ALL ON FUNCTION hotdash._batch_counts(bigint) FROM PUBLIC;

-- For job_explain: the sentence of a job that is held; empty when it is not.
CREATE FUNCTION hotdash._job_explain_hold(id bigint) RETURNS TABLE (code text, why text)
	LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	held smallint;
	closed timestamptz;
	waits text[];
	dead bigint;
	total bigint;
BEGIN
	SELECT j.hold INTO held FROM hotdash._job AS j WHERE j.id = _job_explain_hold.id;
	IF held IS NULL THEN
		RETURN;
	END IF;
	IF held & 1 <> 0 THEN
		code := 'waiting_approval';
		SELECT format('It waits for approval since %s; job_approve(%s, ...) lets it go.', a.requested_at, a.job_id)
			INTO why FROM hotdash._job_approval AS a WHERE a.job_id = _job_explain_hold.id;
		RETURN NEXT;
		RETURN;
	END IF;
	SELECT array_agg(s.after_id::text ORDER BY s.after_id) INTO waits FROM (
		SELECT d.after_id FROM hotdash._job_dependency AS d WHERE d.job_id = _job_explain_hold.id
		ORDER BY d.after_id LIMIT 10) AS s;
	SELECT count(*) INTO total FROM hotdash._job_dependency AS d WHERE d.job_id = _job_explain_hold.id;
	SELECT b.closed_at INTO closed FROM hotdash._batch AS b WHERE b.id = _job_explain_hold.id;
	IF FOUND THEN
		code := 'waiting_for_batch';
		why := format('It is the callback of a batch that is %s; %s of its members have not ended%s.',
			CASE WHEN closed IS NULL THEN 'open' ELSE 'closed' END, total,
			coalesce(': ' || array_to_string(waits, ', ') || CASE WHEN total > 10 THEN ' ...' ELSE '' END, ''));
	ELSIF total = 0 THEN
		code := 'waiting_for_jobs';
		why := 'All that it waited for has ended; the next tick lets it go.';
	ELSE
		SELECT min(d.after_id) INTO dead FROM hotdash._job_dependency AS d JOIN hotdash._job_dead AS x ON x.id = d.after_id
			WHERE d.job_id = _job_explain_hold.id;
		code := 'waiting_for_jobs';
		why := format('It waits for %s %s%s.%s', CASE WHEN total > 1 THEN 'jobs' ELSE 'job' END, array_to_string(waits, ', '),
			CASE WHEN total > 10 THEN format(' and %s more', total - 10) ELSE '' END,
			CASE WHEN dead IS NOT NULL
				THEN format(' Job %s is dead: job_retry(%s) brings it back.', dead, dead) ELSE '' END);
	END IF;
	RETURN NEXT;
END
$$;
COMMENT ON FUNCTION hotdash._job_explain_hold(bigint) IS 'What holds a job back';
REVOKE ALL ON FUNCTION hotdash._job_explain_hold(bigint) FROM PUBLIC;
