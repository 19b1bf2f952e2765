/*
 * ops_cron.sql: the periodic work on pg_cron: what is scheduled, by whom, and whether it is.
 *
 * pg_cron keeps one schedule for the whole server, in one database. Where that is not this one, nothing of it can be
 * seen or changed from here: cron_install and cron_remove then return the statements to run there, and _cron_state
 * says no more than that.
 *
 * Two jobs run each minute. A third looks for steps of SLA clocks each hotdash.cron_seconds, where pg_cron counts in
 * seconds; without it, and without a worker, they are found within the minute.
 */

CREATE FUNCTION hotdash._cron_seconds() RETURNS int
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	-- Where the library is not loaded there is no such setting, and a text at best.
	AS $$ SELECT coalesce(substring(current_setting('hotdash.cron_seconds', true) FROM '^ *(\d{1,2})s? *$')::int, 0) $$;
COMMENT ON FUNCTION hotdash._cron_seconds() IS 'How often pg_cron is to look for steps of SLA clocks; 0: each minute';
REVOKE ALL ON FUNCTION hotdash._cron_seconds() FROM PUBLIC;

CREATE FUNCTION hotdash._cron_jobs() RETURNS TABLE (name text, schedule text, command text, routine text)
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
		-- The command looks before it calls: after DROP EXTENSION it does nothing, rather than fail every
		-- minute for ever. No trigger could unschedule it, since an extension's own event trigger is gone
		-- when it is dropped, and the schedule may be in another database. pg_cron's names end at 63 bytes.
		-- A job without a schedule is not wanted now, and may be there from before.
		SELECT CASE WHEN octet_length(label || current_database()) < 64 THEN label || current_database()
				ELSE label || md5(current_database()) END,
			schedule,
			format('DO $hotdash$BEGIN IF pg_catalog.to_regproc(%L) IS NOT NULL THEN CALL %s; END IF; END$hotdash$',
				routine, call),
			routine
		FROM (VALUES
			('hotdash tick ', '* * * * *', 'hotdash._tick', 'hotdash._tick()'),
			('hotdash work ', '* * * * *', 'hotdash._work_relay', 'hotdash._work_relay()'),
			('hotdash scan ', nullif(hotdash._cron_seconds(), 0) || ' seconds', 'hotdash._sla_scan_tick',
				'hotdash._sla_scan_tick()')
		) AS job (label, schedule, routine, call)
	$$;
COMMENT ON FUNCTION hotdash._cron_jobs() IS
	'What cron_install schedules for this database; what has no schedule it takes off';
REVOKE ALL ON FUNCTION hotdash._cron_jobs() FROM PUBLIC;

CREATE FUNCTION hotdash._cron_database() RETURNS text
	LANGUAGE sql STABLE PARALLEL SAFE
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$
		-- Without pg_cron the line in postgresql.conf makes a placeholder, which anybody could set.
		SELECT setting FROM pg_settings WHERE name = 'cron.database_name' AND context = 'postmaster'
	$$;
COMMENT ON FUNCTION hotdash._cron_database() IS
	'Database in which pg_cron keeps its schedule; NULL when pg_cron is not loaded';
REVOKE ALL ON FUNCTION hotdash._cron_database() FROM PUBLIC;

CREATE FUNCTION hotdash._cron_require() RETURNS text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	home CONSTANT text := hotdash._cron_database();
	major CONSTANT int := current_setting('server_version_num')::int / 10000;
BEGIN
	IF home IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'pg_cron is not loaded',
			HINT = CASE
				WHEN EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_cron') THEN ''
				ELSE format('Install it (on Debian, package postgresql-%s-cron). ', major) END
				|| 'Add pg_cron to shared_preload_libraries and restart the server.';
	END IF;
	IF home = current_database() AND NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'pg_cron is not installed in this database',
			HINT = 'Run CREATE EXTENSION pg_cron.';
	END IF;
	RETURN home;
END
$$;
COMMENT ON FUNCTION hotdash._cron_require() IS
	'Database of pg_cron''s schedule; raises 55000 saying what is missing';
REVOKE ALL ON FUNCTION hotdash._cron_require() FROM PUBLIC;

CREATE FUNCTION hotdash._cron_require_seconds() RETURNS void
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	installed CONSTANT text := (SELECT default_version FROM pg_available_extensions WHERE name = 'pg_cron');
	numbers CONSTANT text[] := regexp_match(installed, '^(\d+)\.(\d+)');
BEGIN
	-- What cannot be told is left to pg_cron, which refuses a schedule that it cannot read.
	IF hotdash._cron_seconds() > 0 AND (numbers[1]::int, numbers[2]::int) < (1, 5) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('pg_cron %s cannot run jobs each few seconds', installed),
			HINT = 'Install pg_cron 1.5 or later, or set hotdash.cron_seconds to 0.';
	END IF;
END
$$;
COMMENT ON FUNCTION hotdash._cron_require_seconds() IS
	'Raises 55000 where hotdash.cron_seconds asks for more than the installed pg_cron can';
REVOKE ALL ON FUNCTION hotdash._cron_require_seconds() FROM PUBLIC;

CREATE FUNCTION hotdash._cron_role(run_as regrole) RETURNS name
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	chosen CONSTANT text := coalesce(
		(SELECT rolname FROM pg_roles WHERE oid = run_as),
		nullif(current_setting('hotdash.worker_role', true), ''),
		current_user);
	denied text;
BEGIN
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = chosen AND rolcanlogin) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('role "%s" does not exist or cannot log in', chosen),
			HINT = 'pg_cron connects as the role that runs the job.';
	END IF;
	SELECT j.routine INTO denied
	FROM hotdash._cron_jobs() AS j
	WHERE NOT has_function_privilege(chosen, to_regproc(j.routine)::oid, 'EXECUTE');
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = format('role "%s" may not call %s', chosen, denied),
			HINT = format('Run SELECT hotdash.access_grant(%L, ''worker'').', quote_ident(chosen));
	END IF;
	IF (SELECT rolsuper FROM pg_roles WHERE rolname = chosen) THEN
		RAISE NOTICE USING
			MESSAGE = format('the periodic work runs as superuser "%s"', chosen),
			HINT = 'A role with access level worker is enough: name it with run_as.';
	END IF;
	RETURN chosen;
END
$$;
COMMENT ON FUNCTION hotdash._cron_role(regrole) IS
	'Who runs the cron jobs: the role given, else hotdash.worker_role, else the caller; checks that it can';
REVOKE ALL ON FUNCTION hotdash._cron_role(regrole) FROM PUBLIC;

CREATE FUNCTION hotdash.cron_install(run_as regrole DEFAULT NULL) RETURNS SETOF text
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	home CONSTANT text := hotdash._cron_require();
	who CONSTANT name := hotdash._cron_role(run_as);
	job record;
BEGIN
	PERFORM hotdash._cron_require_seconds();
	FOR job IN SELECT * FROM hotdash._cron_jobs() LOOP
		IF home <> current_database() AND job.schedule IS NULL THEN
			RETURN NEXT format('SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = %L AND database = %L;',
				job.name, current_database());
			CONTINUE;
		ELSIF home <> current_database() THEN
			RETURN NEXT format('SELECT cron.schedule_in_database(%L, %L, %L, %L, %L);',
				job.name, job.schedule, job.command, current_database(), who);
			CONTINUE;
		END IF;
		-- pg_cron's names are unique per role only.
		PERFORM cron.unschedule(c.jobid) FROM cron.job AS c
		WHERE c.jobname = job.name AND c.database = current_database() AND (c.username <> who OR job.schedule IS NULL);
		CONTINUE WHEN job.schedule IS NULL;
		IF who = current_user THEN
			PERFORM cron.schedule(job.name, job.schedule, job.command);
		ELSE
			PERFORM cron.schedule_in_database(job.name, job.schedule, job.command,
				current_database()::text, who::text);
		END IF;
	END LOOP;
	IF home <> current_database() THEN
		RAISE NOTICE USING
			MESSAGE = format('pg_cron keeps its schedule in database "%s"', home),
			HINT = 'Run the statements that this call returns there, as a superuser.';
	END IF;
END
$$;
COMMENT ON FUNCTION hotdash.cron_install(regrole) IS
	'Put the periodic work on pg_cron; returns the statements that remain to be run in pg_cron''s own database, none if this is it';
REVOKE ALL ON FUNCTION hotdash.cron_install(regrole) FROM PUBLIC;

CREATE FUNCTION hotdash.cron_remove() RETURNS SETOF text
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	home CONSTANT text := hotdash._cron_require();
BEGIN
	IF home <> current_database() THEN
		RETURN QUERY
		SELECT format('SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = %L AND database = %L;',
			j.name, current_database())
		FROM hotdash._cron_jobs() AS j;
		RETURN;
	END IF;
	PERFORM cron.unschedule(c.jobid)
	FROM cron.job AS c JOIN hotdash._cron_jobs() AS j ON c.jobname = j.name
	WHERE c.database = current_database();
END
$$;
COMMENT ON FUNCTION hotdash.cron_remove() IS
	'Take the periodic work off pg_cron; returns the statements that remain to be run in pg_cron''s own database, none if this is it';
REVOKE ALL ON FUNCTION hotdash.cron_remove() FROM PUBLIC;

CREATE FUNCTION hotdash._cron_state() RETURNS text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	home CONSTANT text := hotdash._cron_database();
	missing boolean;
BEGIN
	IF home IS NULL THEN
		RETURN 'not loaded';
	ELSIF home <> current_database() THEN
		RETURN 'elsewhere';
	ELSIF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
		RETURN 'not installed';
	END IF;
	SELECT bool_or(c.jobid IS NULL) INTO missing
	FROM hotdash._cron_jobs() AS j
	LEFT JOIN cron.job AS c
		ON c.jobname = j.name AND c.database = current_database() AND c.active
	WHERE j.schedule IS NOT NULL;
	RETURN CASE WHEN missing THEN 'not installed' ELSE 'installed' END;
END
$$;
COMMENT ON FUNCTION hotdash._cron_state() IS
	'Whether pg_cron drives this database: installed, not installed, not loaded, or elsewhere (its schedule is in another database and cannot be seen from here)';
REVOKE ALL ON FUNCTION hotdash._cron_state() FROM PUBLIC;
