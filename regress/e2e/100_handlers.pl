# SQL handlers: they run as their role and cannot get out of it, leave nothing behind in the session,
# and end in a recorded state whatever they do.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;

my $node = HotDash->cluster('main');
$node->create_db_with_extension('app');
my $work = "CALL hotdash.job_work(until_empty => true, max_runtime => '20 s')";

$node->safe_psql('app', <<'SQL');
CREATE ROLE low;
CREATE ROLE other;
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO PUBLIC;
CREATE TABLE app.seen (job bigint, who text, how text, at timestamptz DEFAULT clock_timestamp());
GRANT SELECT, INSERT ON app.seen TO PUBLIC;
CREATE FUNCTION app.note(how text) RETURNS int LANGUAGE sql AS
	$$ INSERT INTO app.seen (who, how) VALUES (current_user, how) RETURNING 1 $$;
CREATE TABLE app.deferred (n int);
GRANT SELECT, INSERT ON app.deferred TO PUBLIC;
CREATE FUNCTION app.again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM app.note('trigger ' || NEW.n);
	IF NEW.n < 3 THEN
		INSERT INTO app.deferred VALUES (NEW.n + 1);
	END IF;
	RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER again AFTER INSERT ON app.deferred DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION app.again();

-- one handler that does what its payload says
CREATE FUNCTION app.handle(job jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO app.seen (job, who, how) VALUES ((job ->> 'id')::bigint, current_user, 'start');
	EXECUTE job -> 'payload' ->> 'sql';
	RETURN jsonb_build_object('attempt', job -> 'attempt', 'user', current_user);
END $$;
SELECT hotdash.job_kind_set('handle', handler => 'app.handle(jsonb)', run_as => 'low', max_attempts => 1);
SQL

# Enqueue a handler that runs SQL, work, and return its job as "state|error".
sub run_handler
{
	my ($sql, %option) = @_;
	my $options = $option{options} // 'NULL';
	my $id = $node->safe_psql('app', qq{
		SELECT hotdash.job_enqueue('handle', jsonb_build_object('sql', \$sql\$$sql\$sql\$), options => $options)});

	$node->safe_psql('app', "TRUNCATE app.seen, app.deferred");
	$node->safe_psql('app', $work);
	return $node->safe_psql('app', qq{
		SELECT state || '|' || coalesce(split_part(last_error, E'\\n', 1), '') FROM hotdash.jobs WHERE id = $id});
}

sub seen
{
	return $node->safe_psql('app', "SELECT string_agg(DISTINCT who || ' ' || how, ', ') FROM app.seen");
}

# The result, and the role
is(run_handler('SELECT 1'), 'completed|', 'a handler completes its job');
is($node->safe_psql('app', "SELECT result ->> 'user' || (result ->> 'attempt') FROM hotdash.jobs WHERE state = 'completed'"),
	'low1', 'with its result, as its role');

# Ways out
is(run_handler('INSERT INTO app.deferred VALUES (1)'), 'completed|', 'a deferred trigger that defers again');
is(seen(), 'low start, low trigger 1, low trigger 2, low trigger 3', 'runs as the role, to the last round');
like(run_handler('RESET ROLE'), qr/^dead\|42501/, 'RESET ROLE is refused');
like(run_handler('SET ROLE other'), qr/^dead\|42501/, 'SET ROLE is refused');
like(run_handler('SET SESSION AUTHORIZATION postgres'), qr/^dead\|42501/, 'SET SESSION AUTHORIZATION is refused');
like(run_handler(q{SELECT set_config('role', 'postgres', false)}), qr/^dead\|42501/, 'set_config of the role is refused');
like(run_handler('DELETE FROM hotdash._job'), qr/^dead\|42501/, 'the engine\'s tables are out of reach');
like(run_handler('COMMIT'), qr/^dead\|/, 'COMMIT is refused');
like(run_handler(q{INSERT INTO app.deferred VALUES (1); DROP TABLE app.deferred}), qr/^dead\|/, 'what fails at the end fails the attempt');
is(run_handler(q{DECLARE esc CURSOR WITH HOLD FOR SELECT app.note('cursor')}), 'completed|', 'a cursor WITH HOLD');
is(seen(), 'low start', 'does not run at commit');

# What stays in the session
my $session = $node->session('app');
$session->query("SET work_mem = '5MB'");
foreach my $sql (
	q{SET search_path = pg_temp, app},
	q{SET work_mem = '64kB'},
	q{SELECT set_config('app.planted', 'x', false)},
	q{CREATE TEMP TABLE pg_class AS SELECT 1 AS planted},
	q{CREATE TEMP TABLE seen (job bigint, who text, how text)},
	q{DECLARE left_open CURSOR WITH HOLD FOR SELECT 1})
{
	$node->safe_psql('app', qq{SELECT hotdash.job_enqueue('handle', jsonb_build_object('sql', \$sql\$$sql\$sql\$))});
}
$session->query($work);
is($session->query("SELECT count(*) FROM hotdash.jobs WHERE state IN ('ready', 'running')"), '0', 'all of these ran in one session');
is($session->query('SHOW search_path'), '"$user", public', 'search_path is as it was');
is($session->query('SHOW work_mem'), '5MB', 'so is another setting, also the session\'s own');
is($session->query("SELECT coalesce(current_setting('app.planted', true), '')"), '', 'and a made-up one');
is($session->query("SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r'"),
	'0', 'no temporary table is left to shadow anything');
is($session->query('SELECT count(*) FROM pg_cursors WHERE is_holdable'), '0', 'no cursor is left open');
is($session->query('SELECT current_user'), $node->safe_psql('app', 'SELECT current_user'), 'and the session is who it was');

# From PL/pgSQL with a cursor of its own
$node->safe_psql('app', qq{SELECT hotdash.job_enqueue('handle', '{"sql":"SELECT 1"}') FROM generate_series(1, 3)});
$node->psql_ok('app', "DO \$\$ DECLARE r record; BEGIN FOR r IN SELECT generate_series(1, 2) LOOP $work; END LOOP; END \$\$", 'job_work inside a loop over a query');
is($node->safe_psql('app', "SELECT count(*) FROM hotdash.jobs WHERE state NOT IN ('completed', 'dead')"), '0', 'works');

# Failures
like(run_handler(q{INSERT INTO app.seen (how) VALUES ('effect'); SELECT 1/0}), qr/^dead\|22012: division by zero/, 'an error is recorded');
is(seen(), '', 'and its effects are gone');
like(run_handler('SELECT pg_sleep(60)', options => q{'{"timeout":"200ms"}'}), qr/^dead\|57014: the handler ran longer than its timeout of 200 ms/, 'timeout');	# busy: until it is ended
like(run_handler(q{DO $do$ BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END $do$}, options => q{'{"timeout":"200ms"}'}),	# busy: until it is ended
	qr/^dead\|57014/, 'a handler that swallows its timeout has failed all the same');
like(run_handler(q{DO $do$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '57014'; END $do$}), qr/^dead\|57014: x/, 'raising the SQLSTATE of a cancel is a failure');
is(run_handler('SELECT 1'), 'completed|', 'and the next job is not hit by any of it');
$node->safe_psql('app', q{CREATE FUNCTION app.null(job jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
	SELECT hotdash.job_kind_set('null', handler => 'app.null(jsonb)', run_as => 'low');
	SELECT hotdash.job_enqueue('null')});
$node->safe_psql('app', $work);
is($node->safe_psql('app', "SELECT state, result IS NULL FROM hotdash.jobs WHERE kind = 'null'"), 'completed|t', 'a null result');

# Gone meanwhile
$node->safe_psql('app', q{
	CREATE FUNCTION app.gone(job jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT job';
	CREATE FUNCTION app.revoked(job jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT job';
	CREATE FUNCTION app.roleless(job jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT job';
	SELECT hotdash.job_kind_set('gone', handler => 'app.gone(jsonb)', run_as => 'low', max_attempts => 1);
	SELECT hotdash.job_kind_set('revoked', handler => 'app.revoked(jsonb)', run_as => 'low', max_attempts => 1);
	SELECT hotdash.job_kind_set('roleless', handler => 'app.roleless(jsonb)', run_as => 'other', max_attempts => 1);
	SELECT hotdash.job_enqueue(k) FROM unnest(ARRAY['gone', 'revoked', 'roleless']) AS k;
	DROP FUNCTION app.gone(jsonb);
	REVOKE ALL ON FUNCTION app.revoked(jsonb) FROM PUBLIC;
	DROP ROLE other});
$node->psql_ok('app', $work, 'handlers that are not there any more do not stop the others');
is($node->safe_psql('app', "SELECT kind, left(last_error, 5) FROM hotdash.dead_jobs WHERE kind IN ('gone', 'revoked', 'roleless') ORDER BY kind"),
	"gone|42883\nrevoked|42501\nroleless|42704", 'each is recorded with its SQLSTATE') or diag($node->safe_psql('app', "SELECT kind, state, last_error FROM hotdash.jobs WHERE kind IN ('gone', 'revoked', 'roleless')"));

# Cancelling job_work gives the job back, uncharged, and leaves a usable session
my $id = $node->safe_psql('app', q{SELECT hotdash.job_enqueue('handle', '{"sql":"SELECT pg_sleep(120)"}')});	# busy: until it is ended
$session->query("SET application_name = 'victim'");
$session->query_until(qr/go/, "\\echo go\n$work;\n");
poll_until(sub { $node->safe_psql('app', "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE application_name = 'victim'") eq 't' }, 60, 'the handler to run');
is($node->safe_psql('app', "SELECT state FROM hotdash.jobs WHERE id = $id"), 'running', 'it runs');
$node->safe_psql('app', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'");
poll_until(sub { $node->safe_psql('app', "SELECT state FROM pg_stat_activity WHERE application_name = 'victim'") eq 'idle' }, 60, 'the cancel');
is($node->safe_psql('app', "SELECT state, attempt FROM hotdash.jobs WHERE id = $id"), 'ready|0', 'a cancelled job_work gives its job back, uncharged');
is($session->query('SELECT 1'), '1', 'and the session goes on');
$node->safe_psql('app', "SELECT hotdash.job_cancel($id)");
$session->quit;

$node->stop;
done_testing();
