/*
 * core_secrets.sql: secrets at rest (extension/core/secret.h). Nothing here takes or returns one in the open.
 */

CREATE FUNCTION hotdash._secret_reseal(stored bytea, place text) RETURNS bytea
	AS 'MODULE_PATHNAME', 'hd_secret_sql_reseal' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._secret_reseal(bytea, text) IS 'A stored secret encrypted anew with the newest key';
REVOKE ALL ON FUNCTION hotdash._secret_reseal(bytea, text) FROM PUBLIC;

CREATE FUNCTION hotdash._secret_key_id(stored bytea) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_secret_sql_key_id' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._secret_key_id(bytea) IS
	'Id of the key that a stored secret is encrypted with; NULL for one that is not encrypted';
REVOKE ALL ON FUNCTION hotdash._secret_key_id(bytea) FROM PUBLIC;

CREATE FUNCTION hotdash._secret_newest_key() RETURNS text
	AS 'MODULE_PATHNAME', 'hd_secret_sql_newest' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._secret_newest_key() IS
	'Id of the key that encrypts; NULL where no key file is configured, 55000 where it cannot be used';
REVOKE ALL ON FUNCTION hotdash._secret_newest_key() FROM PUBLIC;

CREATE FUNCTION hotdash._secret_problem() RETURNS text
	AS 'MODULE_PATHNAME', 'hd_secret_sql_problem' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._secret_problem() IS
	'Why the file of hotdash.secret_key_file cannot be used; NULL when it can, or none is configured';
REVOKE ALL ON FUNCTION hotdash._secret_problem() FROM PUBLIC;

CREATE FUNCTION hotdash._secret_state(stored bytea, place text) RETURNS text
	AS 'MODULE_PATHNAME', 'hd_secret_sql_state' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hotdash._secret_state(bytea, text) IS
	'plain, sealed (with the newest key), old (with another), missing (its key is not there) or damaged';
REVOKE ALL ON FUNCTION hotdash._secret_state(bytea, text) FROM PUBLIC;

