/*
 * ops.sql: access, the identity of this copy, health.
 *
 * Comes last: health and access look at what the other pieces made.
 */

/*
 * Tables
 */

CREATE TABLE hotdash._access (
	role regrole NOT NULL,
	level text NOT NULL,
	tenant text,
	granted_at timestamptz NOT NULL,
	PRIMARY KEY (role, level)
);
REVOKE ALL ON TABLE hotdash._access FROM PUBLIC;
COMMENT ON TABLE hotdash._access IS
	'Access levels that access_grant gave; what update scripts apply again';
COMMENT ON COLUMN hotdash._access.tenant IS
	'What hotdash.tenant was set to for the role; NULL: not touched';

CREATE TABLE hotdash._access_right (
	role regrole NOT NULL,
	kind text NOT NULL,
	object text NOT NULL,
	PRIMARY KEY (role, kind, object)
);
REVOKE ALL ON TABLE hotdash._access_right FROM PUBLIC;
COMMENT ON TABLE hotdash._access_right IS
	'Single privileges that the levels brought a role, so that exactly these can be taken back';
COMMENT ON COLUMN hotdash._access_right.kind IS 'schema, function, relation or column';

CREATE TABLE hotdash._instance (
	system_identifier bigint NOT NULL,
	database_oid oid NOT NULL,
	since timestamptz NOT NULL,
	adopted boolean NOT NULL
);
REVOKE ALL ON TABLE hotdash._instance FROM PUBLIC;
COMMENT ON TABLE hotdash._instance IS
	'Servers and databases in which these data lived; a copy that finds another name than its own pauses';
COMMENT ON COLUMN hotdash._instance.adopted IS
	'True for instance_adopt(), false for the first use of a fresh installation';

SELECT pg_catalog.pg_extension_config_dump('hotdash._access', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._access_right', '');
SELECT pg_catalog.pg_extension_config_dump('hotdash._instance', '');

/*
 * Version
 */

CREATE FUNCTION hotdash.version() RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$ SELECT extversion FROM pg_extension WHERE extname = 'hotdash' $$;
COMMENT ON FUNCTION hotdash.version() IS 'Version of the extension as installed in this database';
REVOKE ALL ON FUNCTION hotdash.version() FROM PUBLIC;

/*
 * Access: a level is a list of objects, which each module states in its _…_rights(). The privileges of a
 * role are brought in line with its levels by _access_reconcile, the only place that grants and revokes.
 */

CREATE FUNCTION hotdash._access_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT r.level, r.object FROM hotdash._core_rights() AS r
		UNION SELECT r.level, r.object FROM hotdash._jobs_rights() AS r
		UNION SELECT r.level, r.object FROM hotdash._webhooks_rights() AS r
		UNION SELECT r.level, r.object FROM hotdash._inbound_rights() AS r
		UNION SELECT r.level, r.object FROM hotdash._secrets_rights() AS r
		UNION SELECT r.level, r.object FROM hotdash._flags_evaluate_rights() AS r
		UNION SELECT r.level, r.object FROM hotdash._flags_rights() AS r
		UNION SELECT r.level, r.object FROM hotdash._limits_rights() AS r
		UNION SELECT r.level, r.object FROM hotdash._calendars_rights() AS r
		UNION SELECT r.level, r.object FROM hotdash._sla_rights() AS r
		UNION SELECT r.level, r.object FROM hotdash._sla_scan_rights() AS r
		UNION SELECT r.level, r.object FROM hotdash._sla_counts_rights() AS r
		UNION SELECT r.level, r.object FROM hotdash._sla_rules_rights() AS r
		UNION SELECT r.level, r.object FROM hotdash._ops_rights() AS r
	$$;
COMMENT ON FUNCTION hotdash._access_rights() IS 'What each access level may use, of all modules';
REVOKE ALL ON FUNCTION hotdash._access_rights() FROM PUBLIC;

CREATE FUNCTION hotdash._access_view_needs(view regclass) RETURNS TABLE (kind text, object text)
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- Views are security_invoker: who reads one needs the columns and functions it uses, and no more.
		WITH RECURSIVE used (classid, objid, column_number) AS (
			SELECT 'pg_class'::regclass::oid, view::oid, 0
			UNION
			SELECT d.refclassid, d.refobjid, d.refobjsubid
			FROM used AS u
			JOIN pg_class AS v ON u.classid = 'pg_class'::regclass AND v.oid = u.objid AND v.relkind = 'v'
			JOIN pg_rewrite AS w ON w.ev_class = v.oid
			JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
			WHERE d.refclassid IN ('pg_class'::regclass, 'pg_proc'::regclass) AND d.refobjid <> v.oid
		)
		SELECT 'relation', view::text
		UNION
		SELECT 'column', format('hotdash.%I.%I', c.relname, a.attname)
		FROM used AS u
		JOIN pg_class AS c ON u.classid = 'pg_class'::regclass AND c.oid = u.objid
		JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = u.column_number
		WHERE c.relnamespace = 'hotdash'::regnamespace AND u.column_number > 0
		UNION
		SELECT 'function', p.oid::regprocedure::text
		FROM used AS u
		JOIN pg_proc AS p ON u.classid = 'pg_proc'::regclass AND p.oid = u.objid
		WHERE p.pronamespace = 'hotdash'::regnamespace
	$$;
COMMENT ON FUNCTION hotdash._access_view_needs(regclass) IS
	'What reading a view takes: the view, the columns and the functions behind it';
REVOKE ALL ON FUNCTION hotdash._access_view_needs(regclass) FROM PUBLIC;

CREATE FUNCTION hotdash._access_wanted(role regrole) RETURNS TABLE (kind text, object text)
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		WITH rights AS (
			SELECT DISTINCT r.object
			FROM hotdash._access AS a JOIN hotdash._access_rights() AS r ON r.level = a.level
			WHERE a.role = _access_wanted.role
		)
		SELECT 'schema', 'hotdash' WHERE EXISTS (SELECT FROM rights)
		UNION
		SELECT 'function', r.object::regprocedure::text FROM rights AS r WHERE r.object NOT LIKE 'view:%'
		UNION
		SELECT n.kind, n.object
		FROM rights AS r
		CROSS JOIN LATERAL hotdash._access_view_needs(
			format('hotdash.%I', substr(r.object, length('view:') + 1))::regclass) AS n
		WHERE r.object LIKE 'view:%'
	$$;
COMMENT ON FUNCTION hotdash._access_wanted(regrole) IS 'Privileges that the levels of a role stand for';
REVOKE ALL ON FUNCTION hotdash._access_wanted(regrole) FROM PUBLIC;

CREATE FUNCTION hotdash._access_acl(kind text, object text) RETURNS aclitem[]
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT CASE kind
			WHEN 'schema' THEN
				(SELECT coalesce(nspacl, acldefault('n', nspowner))
				FROM pg_namespace WHERE oid = to_regnamespace(object))
			WHEN 'function' THEN
				(SELECT coalesce(proacl, acldefault('f', proowner))
				FROM pg_proc WHERE oid = to_regprocedure(object))
			WHEN 'relation' THEN
				(SELECT coalesce(relacl, acldefault('r', relowner))
				FROM pg_class WHERE oid = to_regclass(object))
			WHEN 'column' THEN
				(SELECT coalesce(a.attacl, acldefault('c', c.relowner))
				FROM parse_ident(object) AS path
				JOIN pg_class AS c
					ON c.relnamespace = to_regnamespace(quote_ident(path[1])) AND c.relname = path[2]
				JOIN pg_attribute AS a
					ON a.attrelid = c.oid AND a.attname = path[3] AND NOT a.attisdropped)
		END
	$$;
COMMENT ON FUNCTION hotdash._access_acl(text, text) IS
	'Access list of an object as _access_right names it; NULL when there is no such object';
REVOKE ALL ON FUNCTION hotdash._access_acl(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._access_holds(role regrole, kind text, object text) RETURNS boolean
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT EXISTS (
			SELECT FROM aclexplode(hotdash._access_acl(kind, object)) AS e
			WHERE e.grantee = role::oid
				AND e.privilege_type = CASE kind
					WHEN 'schema' THEN 'USAGE' WHEN 'function' THEN 'EXECUTE' ELSE 'SELECT' END)
	$$;
COMMENT ON FUNCTION hotdash._access_holds(regrole, text, text) IS
	'Whether a role holds a privilege in its own name, not through another role';
REVOKE ALL ON FUNCTION hotdash._access_holds(regrole, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._access_clause(kind text, object text) RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT CASE kind
			WHEN 'schema' THEN format('USAGE ON SCHEMA %I', object)
			WHEN 'function' THEN format('EXECUTE ON ROUTINE %s', object::regprocedure)
			WHEN 'relation' THEN format('SELECT ON TABLE %s', object::regclass)
			WHEN 'column' THEN
				(SELECT format('SELECT (%I) ON TABLE %I.%I', path[3], path[1], path[2])
				FROM parse_ident(object) AS path)
		END
	$$;
COMMENT ON FUNCTION hotdash._access_clause(text, text) IS
	'What stands between GRANT or REVOKE and the role, for a privilege';
REVOKE ALL ON FUNCTION hotdash._access_clause(text, text) FROM PUBLIC;

CREATE FUNCTION hotdash._access_reconcile(role regrole) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_column
DECLARE
	item record;
BEGIN
	FOR item IN
		DELETE FROM hotdash._access_right AS r
		WHERE r.role = _access_reconcile.role
			AND NOT EXISTS (SELECT FROM hotdash._access_wanted(_access_reconcile.role) AS w
				WHERE w.kind = r.kind AND w.object = r.object)
		RETURNING r.kind, r.object
	LOOP
		IF hotdash._access_acl(item.kind, item.object) IS NOT NULL THEN
			EXECUTE format('REVOKE %s FROM %s', hotdash._access_clause(item.kind, item.object),
				_access_reconcile.role);
		END IF;
	END LOOP;

	-- What the role holds already was given by somebody else, and stays theirs to take.
	FOR item IN
		SELECT w.kind, w.object
		FROM hotdash._access_wanted(_access_reconcile.role) AS w
		WHERE NOT hotdash._access_holds(_access_reconcile.role, w.kind, w.object)
	LOOP
		EXECUTE format('GRANT %s TO %s', hotdash._access_clause(item.kind, item.object),
			_access_reconcile.role);
		INSERT INTO hotdash._access_right AS r (role, kind, object)
		VALUES (_access_reconcile.role, item.kind, item.object)
		ON CONFLICT DO NOTHING;
	END LOOP;
END
$$;
COMMENT ON FUNCTION hotdash._access_reconcile(regrole) IS
	'Bring the privileges of a role in line with its levels; touches only what access_grant gave';
REVOKE ALL ON FUNCTION hotdash._access_reconcile(regrole) FROM PUBLIC;

CREATE FUNCTION hotdash._access_forget_dropped() RETURNS void
	LANGUAGE sql VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$
		DELETE FROM hotdash._access AS a
		WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = a.role::oid);
		DELETE FROM hotdash._access_right AS a
		WHERE NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = a.role::oid);
	$$;
COMMENT ON FUNCTION hotdash._access_forget_dropped() IS
	'Delete what is remembered of roles that were dropped since';
REVOKE ALL ON FUNCTION hotdash._access_forget_dropped() FROM PUBLIC;

CREATE FUNCTION hotdash._access_set_tenant(role regrole, tenant text) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	IF tenant IS NULL THEN
		EXECUTE format('ALTER ROLE %s IN DATABASE %I RESET hotdash.tenant', role, current_database());
	ELSE
		EXECUTE format('ALTER ROLE %s IN DATABASE %I SET hotdash.tenant = %L', role, current_database(),
			tenant);
	END IF;
END
$$;
COMMENT ON FUNCTION hotdash._access_set_tenant(regrole, text) IS
	'Set the tenant of a role in this database, or with NULL unset it; from its next session on';
REVOKE ALL ON FUNCTION hotdash._access_set_tenant(regrole, text) FROM PUBLIC;

CREATE FUNCTION hotdash.access_grant(role regrole, level text, tenant text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_column
DECLARE
	levels CONSTANT text[] := ARRAY['viewer', 'producer', 'worker', 'edge', 'operator', 'admin'];
	is_superuser boolean;
BEGIN
	PERFORM hotdash._require_arg(access_grant.role, 'role');
	PERFORM hotdash._require_arg(access_grant.level, 'level');
	IF access_grant.level <> ALL (levels) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('access level "%s" does not exist', access_grant.level),
			HINT = format('Levels are %s.', array_to_string(levels, ', '));
	END IF;
	SELECT r.rolsuper INTO is_superuser FROM pg_roles AS r WHERE r.oid = access_grant.role::oid;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('role with OID %s does not exist', access_grant.role::oid);
	END IF;
	IF is_superuser THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('role "%s" is a superuser', access_grant.role),
			HINT = 'A superuser may do everything without a level.';
	END IF;

	PERFORM hotdash._access_forget_dropped();
	INSERT INTO hotdash._access AS a (role, level, tenant, granted_at)
	VALUES (access_grant.role, access_grant.level,
		(SELECT min(o.tenant) FROM hotdash._access AS o WHERE o.role = access_grant.role), hotdash._now())
	ON CONFLICT DO NOTHING;
	PERFORM hotdash._access_reconcile(access_grant.role);

	-- A role has one tenant, whatever its levels.
	IF access_grant.tenant IS NOT NULL THEN
		UPDATE hotdash._access AS a SET tenant = access_grant.tenant WHERE a.role = access_grant.role;
		PERFORM hotdash._access_set_tenant(access_grant.role, access_grant.tenant);
	END IF;
END
$$;
COMMENT ON FUNCTION hotdash.access_grant(regrole, text, text) IS
	'Give a role an access level (viewer, producer, worker, edge, operator, admin), and its sessions in this database a tenant';
REVOKE ALL ON FUNCTION hotdash.access_grant(regrole, text, text) FROM PUBLIC;

CREATE FUNCTION hotdash.access_revoke(role regrole) RETURNS void
	LANGUAGE plpgsql VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_column
DECLARE
	had_tenant boolean;
BEGIN
	PERFORM hotdash._require_arg(access_revoke.role, 'role');
	PERFORM hotdash._access_forget_dropped();
	WITH gone AS (
		DELETE FROM hotdash._access AS a WHERE a.role = access_revoke.role RETURNING a.tenant
	)
	SELECT bool_or(g.tenant IS NOT NULL) INTO had_tenant FROM gone AS g;
	PERFORM hotdash._access_reconcile(access_revoke.role);
	IF had_tenant THEN
		PERFORM hotdash._access_set_tenant(access_revoke.role, NULL);
	END IF;
END
$$;
COMMENT ON FUNCTION hotdash.access_revoke(regrole) IS
	'Take all access levels from a role: exactly the privileges that access_grant gave it, and its tenant';
REVOKE ALL ON FUNCTION hotdash.access_revoke(regrole) FROM PUBLIC;

CREATE FUNCTION hotdash._access_reapply() RETURNS void
	LANGUAGE plpgsql VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	item record;
BEGIN
	PERFORM hotdash._access_forget_dropped();
	FOR item IN
		SELECT a.role, min(a.tenant) AS tenant FROM hotdash._access AS a GROUP BY a.role
	LOOP
		PERFORM hotdash._access_reconcile(item.role);
		IF item.tenant IS NOT NULL THEN
			PERFORM hotdash._access_set_tenant(item.role, item.tenant);
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION hotdash._access_reapply() IS
	'Bring all roles in line with their levels: the last line of an update script, and after a restore';
REVOKE ALL ON FUNCTION hotdash._access_reapply() FROM PUBLIC;

/*
 * This copy of the data
 */

CREATE FUNCTION hotdash._instance_state() RETURNS text
	AS 'MODULE_PATHNAME', 'hd_instance_sql_state' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._instance_state() IS
	'fresh: nothing was ever put in; ours: the live copy; copy: restored or copied, and paused';
REVOKE ALL ON FUNCTION hotdash._instance_state() FROM PUBLIC;

CREATE FUNCTION hotdash._instance_use() RETURNS void
	AS 'MODULE_PATHNAME', 'hd_instance_sql_use' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hotdash._instance_use() IS 'Notes that something is put in: the first time makes this the live copy';
REVOKE ALL ON FUNCTION hotdash._instance_use() FROM PUBLIC;

CREATE FUNCTION hotdash._instance_identifier() RETURNS bigint
	AS 'MODULE_PATHNAME', 'hd_instance_sql_identifier' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._instance_identifier() IS 'System identifier of this cluster';
REVOKE ALL ON FUNCTION hotdash._instance_identifier() FROM PUBLIC;

CREATE FUNCTION hotdash.instance_adopt() RETURNS void
	LANGUAGE sql VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$
		-- Later than every other row, also where this server's clock is behind theirs.
		INSERT INTO hotdash._instance (system_identifier, database_oid, since, adopted)
		SELECT hotdash._instance_identifier(),
			(SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()),
			greatest(hotdash._now(),
				(SELECT max(i.since) FROM hotdash._instance AS i) + interval '1 microsecond'),
			true
		WHERE hotdash._instance_state() <> 'ours';

		-- A restore's rows came in by COPY, perhaps after the table was found empty and known.
		SELECT hotdash._job_reload();
	$$;
COMMENT ON FUNCTION hotdash.instance_adopt() IS
	'Say that this copy of the data is the live one: work goes on here, and must not go on elsewhere';
REVOKE ALL ON FUNCTION hotdash.instance_adopt() FROM PUBLIC;

/*
 * Health: one function a check, each returning an object with its status.
 */

CREATE FUNCTION hotdash._worker_status(
		OUT preloaded boolean, OUT launcher_pid int, OUT problem text, OUT worker_pid int,
		OUT started_at timestamptz)
	AS 'MODULE_PATHNAME', 'hd_worker_sql_status' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._worker_status() IS
	'Launcher of the cluster and worker of this database; problem says why workers do not start';
REVOKE ALL ON FUNCTION hotdash._worker_status() FROM PUBLIC;

CREATE FUNCTION hotdash._health_database() RETURNS jsonb
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT jsonb_build_object('status', 'healthy', 'in_recovery', pg_is_in_recovery(),
			'up_since', pg_postmaster_start_time())
	$$;
COMMENT ON FUNCTION hotdash._health_database() IS 'Health check: the server answers';
REVOKE ALL ON FUNCTION hotdash._health_database() FROM PUBLIC;

CREATE FUNCTION hotdash._health_preload() RETURNS jsonb
	LANGUAGE sql VOLATILE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT CASE WHEN w.preloaded THEN jsonb_build_object('status', 'healthy')
			ELSE jsonb_build_object('status', 'degraded', 'detail',
				'hotdash is not in shared_preload_libraries: jobs cannot be claimed') END
		FROM hotdash._worker_status() AS w
	$$;
COMMENT ON FUNCTION hotdash._health_preload() IS 'Health check: shared memory is there';
REVOKE ALL ON FUNCTION hotdash._health_preload() FROM PUBLIC;

CREATE FUNCTION hotdash._health_worker() RETURNS jsonb
	LANGUAGE sql VOLATILE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT CASE
			WHEN w.worker_pid IS NOT NULL THEN
				jsonb_build_object('status', 'healthy', 'state', 'running', 'pid', w.worker_pid,
					'since', w.started_at)
			WHEN current_setting('hotdash.worker_role', true) IS NULL
				OR current_setting('hotdash.worker_role', true) = '' OR NOT w.preloaded THEN
				jsonb_build_object('status', 'healthy', 'state', 'not configured')
			WHEN pg_is_in_recovery() THEN
				jsonb_build_object('status', 'healthy', 'state', 'none in recovery')
			ELSE
				jsonb_build_object('status', 'degraded', 'state', 'not running', 'detail', w.problem)
		END
		FROM hotdash._worker_status() AS w
	$$;
COMMENT ON FUNCTION hotdash._health_worker() IS
	'Health check: the background worker of this database, where one is switched on';
REVOKE ALL ON FUNCTION hotdash._health_worker() FROM PUBLIC;

CREATE FUNCTION hotdash._health_cron() RETURNS jsonb
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- A worker does all that pg_cron would do.
		SELECT CASE
			WHEN s.state IN ('installed', 'elsewhere') OR w.worker_pid IS NOT NULL THEN
				jsonb_build_object('status', 'healthy', 'state', s.state)
			ELSE
				jsonb_build_object('status', 'degraded', 'state', s.state, 'detail',
					'neither pg_cron nor a worker does the periodic work')
		END
		FROM hotdash._cron_state() AS s (state), hotdash._worker_status() AS w
	$$;
COMMENT ON FUNCTION hotdash._health_cron() IS 'Health check: somebody does the periodic work';
REVOKE ALL ON FUNCTION hotdash._health_cron() FROM PUBLIC;

CREATE FUNCTION hotdash._health_instance() RETURNS jsonb
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT CASE s.state
			WHEN 'copy' THEN
				jsonb_build_object('status', 'degraded', 'state', 'restored copy: paused', 'detail',
					'Nothing is claimed or sent until SELECT hotdash.instance_adopt().')
			ELSE jsonb_build_object('status', 'healthy', 'state', s.state)
		END
		FROM hotdash._instance_state() AS s (state)
	$$;
COMMENT ON FUNCTION hotdash._health_instance() IS 'Health check: this is the live copy of the data';
REVOKE ALL ON FUNCTION hotdash._health_instance() FROM PUBLIC;

CREATE FUNCTION hotdash._health_jobs() RETURNS jsonb
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- A session bound to a tenant learns nothing of the others' numbers. Dead jobs are counted to 1000.
		SELECT jsonb_build_object('status', 'healthy')
			|| CASE WHEN coalesce(current_setting('hotdash.tenant', true), '') <> '' THEN '{}' ELSE
				(SELECT jsonb_build_object('dead', least(count(*), 1000), 'dead_more', count(*) > 1000)
					FROM (SELECT FROM hotdash._job_dead LIMIT 1001) AS d)
				|| (SELECT jsonb_build_object('running', count(*)) FROM hotdash._job_running())
				|| (SELECT coalesce(jsonb_object_agg(substr(c.name, length('jobs_') + 1), c.value), '{}')
					FROM hotdash._counters() AS c WHERE c.name IN ('jobs_list_full', 'jobs_queues_full'))
			END
	$$;
COMMENT ON FUNCTION hotdash._health_jobs() IS
	'Health check: jobs running and dead, and how often the lists in memory were full';
REVOKE ALL ON FUNCTION hotdash._health_jobs() FROM PUBLIC;

CREATE FUNCTION hotdash._health_schedules() RETURNS jsonb
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT jsonb_build_object('failed', n.failed, 'overdue', n.overdue, 'status',
			CASE WHEN n.failed + n.overdue > 0 THEN 'degraded' ELSE 'healthy' END)
		FROM (
			SELECT count(*) FILTER (WHERE s.last_error IS NOT NULL) AS failed,
				count(*) FILTER (WHERE s.next_at < hotdash._now() - interval '2 minutes') AS overdue
			FROM hotdash._schedule AS s
			WHERE hotdash._tenant_sees(s.tenant)
		) AS n
	$$;
COMMENT ON FUNCTION hotdash._health_schedules() IS 'Health check: schedules are fired, and without error';
REVOKE ALL ON FUNCTION hotdash._health_schedules() FROM PUBLIC;

CREATE FUNCTION hotdash._health_limits() RETURNS jsonb
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT jsonb_build_object('loaded', s.loaded, 'on_failure', f.answer)
			|| CASE WHEN coalesce(current_setting('hotdash.tenant', true), '') <> '' THEN '{}' ELSE
				(SELECT coalesce(jsonb_object_agg(substr(c.name, length('limits_') + 1), c.value), '{}')
					FROM hotdash._counters() AS c WHERE c.name LIKE 'limits\_%')
				|| jsonb_build_object('failed', (SELECT coalesce(sum(n.failed), 0) FROM hotdash._limit_counts() AS n))
			END
			|| CASE
				WHEN NOT s.loaded THEN jsonb_build_object('status', 'degraded', 'detail',
					format('hotdash is not in shared_preload_libraries: limits answer as on_failure says, %s', f.answer))
				WHEN s.failed_at > hotdash._now() - interval '5 minutes' THEN
					jsonb_build_object('status', 'degraded', 'detail', format(
						'limits could not be asked and answered as on_failure says, %s, last at %s; no_room and places_full tell what lacked room',
						f.answer, s.failed_at))
				ELSE jsonb_build_object('status', 'healthy')
			END
		FROM hotdash._limit_state() AS s
		CROSS JOIN coalesce(current_setting('hotdash.limit_on_failure', true), 'open') AS f (answer)
	$$;
COMMENT ON FUNCTION hotdash._health_limits() IS
	'Health check: there is memory for the buckets of rate limits, how often it lacked room, and what they answer then';
REVOKE ALL ON FUNCTION hotdash._health_limits() FROM PUBLIC;

CREATE FUNCTION hotdash._health_flags() RETURNS jsonb
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT coalesce(jsonb_object_agg(substr(c.name, length('flags_') + 1), c.value), '{}')
			|| jsonb_build_object('status', 'healthy', 'flags', (SELECT count(*) FROM hotdash._flag AS f WHERE f.kind = 'f'))
		FROM hotdash._counters() AS c
		WHERE c.name LIKE 'flags\_%'
	$$;
COMMENT ON FUNCTION hotdash._health_flags() IS
	'Health check: how many flags there are, and whether their uses could be counted';
REVOKE ALL ON FUNCTION hotdash._health_flags() FROM PUBLIC;

CREATE FUNCTION hotdash.health() RETURNS jsonb
	LANGUAGE plpgsql VOLATILE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	names CONSTANT text[] := ARRAY['database', 'preload', 'worker', 'cron', 'instance', 'jobs',
		'schedules', 'limits', 'flags', 'sla', 'escalations', 'secrets', 'certificates', 'retention'];
	checks jsonb := '{}';
	name text;
	began timestamptz;
	result jsonb;
BEGIN
	FOREACH name IN ARRAY names LOOP
		began := hotdash._now_real();
		BEGIN
			EXECUTE format('SELECT hotdash.%I()', '_health_' || name) INTO STRICT result;
		EXCEPTION WHEN OTHERS THEN
			result := jsonb_build_object('status', 'unhealthy', 'sqlstate', SQLSTATE);
		END;
		checks := checks || jsonb_build_object(name, result || jsonb_build_object('duration_ms',
			round((extract(epoch FROM hotdash._now_real() - began) * 1000)::numeric, 3)));
	END LOOP;
	RETURN jsonb_build_object(
		'status', (SELECT CASE
				WHEN bool_or(c.value ->> 'status' = 'unhealthy') THEN 'unhealthy'
				WHEN bool_or(c.value ->> 'status' = 'degraded') THEN 'degraded'
				ELSE 'healthy' END
			FROM jsonb_each(checks) AS c),
		'checks', checks);
END
$$;
COMMENT ON FUNCTION hotdash.health() IS
	'State of hotdash in this database: {"status":"healthy"|"degraded"|"unhealthy","checks":{…}}';
REVOKE ALL ON FUNCTION hotdash.health() FROM PUBLIC;

/*
 * Validation
 */

CREATE FUNCTION hotdash.validate(schema jsonb, value jsonb)
	RETURNS TABLE (path text, rule text, message text)
	AS 'MODULE_PATHNAME', 'hd_schema_sql_validate' LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 10;
COMMENT ON FUNCTION hotdash.validate(jsonb, jsonb) IS
	'What is wrong with a value by a JSON Schema: no rows when it fits';
REVOKE ALL ON FUNCTION hotdash.validate(jsonb, jsonb) FROM PUBLIC;

/*
 * Rights
 */

CREATE FUNCTION hotdash._ops_rights() RETURNS TABLE (level text, object text)
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		SELECT l, 'hotdash.version()'
		FROM unnest(ARRAY['viewer', 'producer', 'worker', 'edge', 'operator', 'admin']) AS l
		UNION ALL
		SELECT l, 'hotdash.validate(jsonb, jsonb)'
		FROM unnest(ARRAY['viewer', 'producer', 'worker', 'operator', 'admin']) AS l
		UNION ALL
		SELECT l, 'hotdash.health()' FROM unnest(ARRAY['viewer', 'edge', 'operator', 'admin']) AS l
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['producer', 'worker', 'operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.alert_raise(text, text, text, jsonb)', 'hotdash.alert_clear(text)',
				'hotdash.span_start(text, jsonb)', 'hotdash.span_end(text, bool, jsonb)']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['operator', 'admin']) AS l,
			unnest(ARRAY['hotdash.alert_ack(bigint, text)', 'hotdash.alert_silence(text, timestamptz, text)']) AS o
		UNION ALL
		SELECT l, o FROM unnest(ARRAY['viewer', 'operator', 'admin']) AS l,
			unnest(ARRAY['view:alerts', 'view:spans']) AS o
		UNION ALL
		SELECT l, 'hotdash.instance_adopt()' FROM unnest(ARRAY['operator', 'admin']) AS l
		UNION ALL
		SELECT 'admin', o
		FROM unnest(ARRAY[
			'hotdash.access_grant(regrole, text, text)', 'hotdash.access_revoke(regrole)',
			'hotdash.cron_install(regrole)', 'hotdash.cron_remove()', 'hotdash._cron_jobs()',
			'hotdash._cron_database()', 'hotdash._cron_require()', 'hotdash._cron_role(regrole)',
			'hotdash._cron_seconds()', 'hotdash._cron_require_seconds()']) AS o
	$$;
COMMENT ON FUNCTION hotdash._ops_rights() IS 'What each access level may use of operations';
REVOKE ALL ON FUNCTION hotdash._ops_rights() FROM PUBLIC;
