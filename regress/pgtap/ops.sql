-- Operations: access levels, the identity of a copy, health, what goes on pg_cron.

BEGIN;
SET LOCAL client_min_messages = warning;
SELECT plan(43);

SELECT is(hotdash.version(), (SELECT extversion FROM pg_extension WHERE extname = 'hotdash'),
	'version() is that of the extension');

/*
 * The lists of rights
 */

SELECT is_empty(
	$$SELECT level, object FROM hotdash._access_rights()
		WHERE object NOT LIKE 'view:%' AND to_regprocedure(object) IS NULL
			OR object LIKE 'view:%' AND NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c
				WHERE c.oid = to_regclass('hotdash.' || quote_ident(substr(object, 6)))
					AND c.relkind = 'v')$$,
	'every object that a level lists exists');
SELECT set_eq(
	'SELECT DISTINCT level FROM hotdash._access_rights()',
	ARRAY['viewer', 'producer', 'worker', 'edge', 'operator', 'admin'],
	'the levels are the six that there are');
SELECT is_empty(
	$$SELECT p.oid::regprocedure FROM pg_catalog.pg_proc AS p
		WHERE p.pronamespace = 'hotdash'::regnamespace AND p.proname NOT LIKE '\_%'
			AND NOT EXISTS (SELECT FROM hotdash._access_rights()
				WHERE object NOT LIKE 'view:%' AND to_regprocedure(object) = p.oid)$$,
	'every public function belongs to a level');
SELECT is_empty(
	$$SELECT object FROM hotdash._access_rights()
		WHERE level = 'edge'
			AND object !~ '^hotdash\.(edge_|inbound_receive\(|trace_|_now\(|version\(|health\()'$$,
	'level edge may use edge_*, inbound_receive and nothing that reads or writes otherwise');
SELECT is_empty(
	$$SELECT level, object FROM hotdash._access_rights()
		WHERE level <> 'admin' AND object ~ 'access_|cron_'$$,
	'only level admin gives rights and touches pg_cron');

/*
 * access_grant: what it refuses
 */

CREATE ROLE "hotdash test ""viewer""";
CREATE ROLE hotdash_test_worker;
CREATE ROLE hotdash_test_admin;
CREATE ROLE hotdash_test_super SUPERUSER;

SELECT throws_ok($$SELECT hotdash.access_grant('hotdash_test_worker', 'root')$$, '22023',
	'access level "root" does not exist', 'an unknown level');
SELECT throws_ok($$SELECT hotdash.access_grant('hotdash_test_worker', NULL)$$, '22004',
	'argument "level" must not be null', 'no level');
SELECT throws_ok($$SELECT hotdash.access_grant(NULL, 'viewer')$$, '22004',
	'argument "role" must not be null', 'no role');
SELECT throws_ok($$SELECT hotdash.access_grant('hotdash_test_nobody', 'viewer')$$, '42704',
	NULL, 'a role that does not exist');
SELECT throws_ok($$SELECT hotdash.access_grant(4294967295::oid::regrole, 'viewer')$$, '42704',
	NULL, 'an oid that is no role');
SELECT throws_ok($$SELECT hotdash.access_grant('hotdash_test_super', 'viewer')$$, '22023',
	'role "hotdash_test_super" is a superuser', 'a superuser');
SELECT throws_ok($$SELECT hotdash.access_revoke(NULL)$$, '22004',
	'argument "role" must not be null', 'access_revoke: no role');

/*
 * access_grant and access_revoke: exactly what they say
 */

-- What others than the owner hold; the owner's own rights get written out with the first grant.
CREATE TEMPORARY VIEW acl AS
	SELECT p.oid::regprocedure::text AS object, e.grantee, e.privilege_type
	FROM pg_catalog.pg_proc AS p, pg_catalog.aclexplode(p.proacl) AS e
	WHERE p.pronamespace = 'hotdash'::regnamespace AND e.grantee <> p.proowner
	UNION ALL
	SELECT c.oid::regclass::text, e.grantee, e.privilege_type
	FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS e
	WHERE c.relnamespace = 'hotdash'::regnamespace AND e.grantee <> c.relowner
	UNION ALL
	SELECT c.oid::regclass::text || '.' || a.attname, e.grantee, e.privilege_type
	FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid,
		pg_catalog.aclexplode(a.attacl) AS e
	WHERE c.relnamespace = 'hotdash'::regnamespace
	UNION ALL
	SELECT n.nspname, e.grantee, e.privilege_type
	FROM pg_catalog.pg_namespace AS n, pg_catalog.aclexplode(n.nspacl) AS e
	WHERE n.nspname = 'hotdash' AND e.grantee <> n.nspowner;

-- Given by hand, by somebody else: not ours to take.
GRANT EXECUTE ON FUNCTION hotdash.version() TO hotdash_test_worker;
CREATE TEMPORARY TABLE acl_before AS TABLE acl;

SELECT lives_ok($$SELECT hotdash.access_grant('"hotdash test ""viewer"""', 'viewer', 'acme')$$,
	'a role whose name needs quoting');
SELECT lives_ok($$SELECT hotdash.access_grant('hotdash_test_worker', 'worker')$$, 'level worker');
SELECT lives_ok($$SELECT hotdash.access_grant('hotdash_test_worker', 'producer')$$, 'and producer');

CREATE TEMPORARY TABLE acl_granted AS TABLE acl;
SELECT isnt_empty('TABLE acl_granted EXCEPT TABLE acl_before', 'that gave rights');
SELECT lives_ok($$SELECT hotdash.access_grant('hotdash_test_worker', 'producer')$$, 'once more');
SELECT set_eq('TABLE acl', 'TABLE acl_granted', 'which changes nothing');
SELECT hotdash._access_reapply();
SELECT set_eq('TABLE acl', 'TABLE acl_granted', 'as does applying all of them again');

SELECT is_empty(
	$$SELECT r.object FROM hotdash._access_rights() AS r
		WHERE r.level IN ('worker', 'producer') AND r.object NOT LIKE 'view:%'
			AND NOT has_function_privilege('hotdash_test_worker', r.object, 'EXECUTE')$$,
	'a role has the rights of all its levels');
SELECT ok(NOT has_function_privilege('hotdash_test_worker', 'hotdash.access_grant(regrole, text, text)', 'EXECUTE'),
	'and of no other');

SET LOCAL ROLE "hotdash test ""viewer""";
SELECT is_empty($$SELECT * FROM hotdash.endpoints$$, 'a viewer reads views');
SELECT throws_ok('SELECT * FROM hotdash._access', '42501', NULL, 'but not the tables behind others');
SELECT throws_ok($$SELECT hotdash.access_grant('hotdash_test_worker', 'admin')$$, '42501',
	NULL, 'and gives nobody rights');
RESET ROLE;

SELECT hotdash.access_grant('hotdash_test_admin', 'admin');
SET LOCAL ROLE hotdash_test_admin;
SELECT lives_ok($$SELECT hotdash.access_grant('hotdash_test_admin', 'operator')$$,
	'an admin gives rights without being a superuser');
RESET ROLE;
SELECT hotdash.access_revoke('hotdash_test_admin');

SELECT is(
	(SELECT setconfig FROM pg_catalog.pg_db_role_setting AS s
		JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase AND d.datname = current_database()
		WHERE s.setrole = '"hotdash test ""viewer"""'::regrole),
	ARRAY['hotdash.tenant=acme'], 'the tenant is set for the role, in this database');

SELECT hotdash.access_revoke('hotdash_test_worker');
SELECT hotdash.access_revoke('"hotdash test ""viewer"""');
SELECT set_eq('TABLE acl', 'TABLE acl_before', 'access_revoke takes exactly what was given');
SELECT is_empty(
	$$SELECT FROM pg_catalog.pg_db_role_setting WHERE setrole = '"hotdash test ""viewer"""'::regrole$$,
	'and the tenant');
SELECT is_empty($$SELECT * FROM hotdash._access_right
		WHERE role IN ('hotdash_test_worker'::regrole, '"hotdash test ""viewer"""'::regrole)$$,
	'and keeps nothing in mind');
SELECT lives_ok($$SELECT hotdash.access_revoke('hotdash_test_worker')$$, 'and can be called again');

/*
 * A role that is dropped
 */

SELECT hotdash.access_grant('hotdash_test_admin', 'viewer');
DROP OWNED BY hotdash_test_admin;
DROP ROLE hotdash_test_admin;
SELECT isnt_empty(
	$$SELECT FROM hotdash._access AS a WHERE NOT EXISTS (SELECT FROM pg_roles WHERE oid = a.role)$$,
	'a dropped role leaves its oid behind');
SELECT lives_ok('SELECT hotdash._access_reapply()', 'which disturbs nobody');
SELECT is_empty(
	$$SELECT FROM hotdash._access AS a WHERE NOT EXISTS (SELECT FROM pg_roles WHERE oid = a.role)
		UNION ALL
		SELECT FROM hotdash._access_right AS a WHERE NOT EXISTS (SELECT FROM pg_roles WHERE oid = a.role)$$,
	'and is swept away');

/*
 * Tenants: the tables behind the views filter too
 */

SELECT hotdash.endpoint_create('https://a.example/hook', tenant => 'a');
SELECT hotdash.endpoint_create('https://b.example/hook', tenant => 'b');
SELECT hotdash.access_grant('hotdash_test_worker', 'viewer');
SET LOCAL hotdash.tenant = 'a';
SET LOCAL ROLE hotdash_test_worker;
SELECT set_eq($$SELECT tenant FROM hotdash.endpoints WHERE tenant IN ('a', 'b')$$, ARRAY['a'],
	'a session bound to a tenant sees that tenant''s rows in a view');
SELECT set_eq($$SELECT tenant FROM hotdash._endpoint WHERE tenant IN ('a', 'b')$$, ARRAY['a'],
	'and in the table behind it');
SELECT throws_ok($$SET hotdash.tenant = 'b'$$, '42501', NULL, 'and cannot become another');
RESET ROLE;
RESET hotdash.tenant;

/*
 * The identity of a copy
 */

DELETE FROM hotdash._instance;
SELECT is(hotdash._instance_state(), 'fresh', 'where nothing was put in, the copy is fresh');
INSERT INTO hotdash._instance VALUES (1, 1, '2001-01-01', false);
SELECT is(hotdash.health() #>> '{checks,instance,state}', 'restored copy: paused',
	'with the name of another server, it is paused');
SELECT isnt(hotdash.health() ->> 'status', 'healthy', 'which is not healthy');
INSERT INTO hotdash._instance VALUES (1, 1, '2999-01-01', true);
SELECT hotdash.instance_adopt();
SELECT is(hotdash._instance_state(), 'ours',
	'instance_adopt() makes it the live one, also where the clock is behind');
SELECT hotdash.instance_adopt();
SELECT is((SELECT count(*) FROM hotdash._instance), 3::bigint, 'once is enough');

/*
 * Health
 */

SELECT is_empty(
	$$SELECT key, value FROM jsonb_each(hotdash.health() -> 'checks')
		WHERE value ->> 'status' NOT IN ('healthy', 'degraded', 'unhealthy')
			OR jsonb_typeof(value -> 'duration_ms') <> 'number'$$,
	'every check of health() has a status and says how long it took');

SELECT * FROM finish();
ROLLBACK;
