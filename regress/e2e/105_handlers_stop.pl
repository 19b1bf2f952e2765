# SQL handlers that are stopped, by their timeout or since their job is cancelled; what an attempt leaves
# on record; and several sessions that share the work.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = HotDash->cluster('main');
$node->create_db_with_extension('app');
my $work = "CALL hotdash.job_work(until_empty => true, max_runtime => '60 s')";

sub sql
{
	my ($query) = @_;

	return $node->safe_psql('app', $query);
}

sql(<<'SQL');
CREATE ROLE low;
CREATE ROLE ticker LOGIN;
SELECT hotdash.access_grant('ticker', 'worker');
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO PUBLIC;
CREATE TABLE app.effect (job bigint, n int);
GRANT SELECT, INSERT ON app.effect TO PUBLIC;
-- a handler that does what its payload says
CREATE FUNCTION app.handle(job jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO app.effect VALUES ((job ->> 'id')::bigint, 0);
	EXECUTE job -> 'payload' ->> 'sql';
	RETURN '{}';
END $$;
SELECT hotdash.job_kind_set('handle', handler => 'app.handle(jsonb)', run_as => 'low', max_attempts => 2);
SELECT hotdash.job_kind_set('brief', handler => 'app.handle(jsonb)', run_as => 'low', max_attempts => 1, timeout => '200 ms');
SELECT hotdash.job_kind_set('patient', handler => 'app.handle(jsonb)', run_as => 'low', max_attempts => 1, timeout => '1 hour');
SQL

# Enqueue a handler of a kind that runs SQL: its job's id.
sub enqueue
{
	my ($kind, $statement, $options) = @_;

	return sql(sprintf q{SELECT hotdash.job_enqueue('%s', jsonb_build_object('sql', $sql$%s$sql$), options => '%s')},
		$kind, $statement, $options // '{}');
}

sub job
{
	my ($id, $columns) = @_;

	return sql("SELECT $columns FROM hotdash.jobs WHERE id = $id");
}

sub attempts
{
	my ($id, $columns) = @_;

	return sql("SELECT $columns FROM hotdash.job_attempts WHERE job_id = $id ORDER BY attempt");
}

my $SLEEP = 'SELECT pg_sleep(120)';	# busy: until it is stopped

# Timeouts: the kind's, and the job's own before it
my $brief = enqueue('brief', $SLEEP);
my $own = enqueue('patient', $SLEEP, '{"timeout": "100 ms"}');
sql($work);
like(job($brief, 'state, last_error'), qr/^dead\|57014: the handler ran longer than its timeout of 200 ms/, 'the timeout of a kind');
like(job($own, 'state, last_error'), qr/^dead\|57014: the handler ran longer than its timeout of 100 ms/, 'a job has its own');

# On record
my $TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
my $heavy = enqueue('handle', 'INSERT INTO app.effect SELECT 0, n FROM generate_series(1, 20000) AS n');
my $light = enqueue('handle', 'SELECT 1');
my $fails = enqueue('brief', 'SELECT 1/0', qq({"traceparent": "$TRACE"}));
sql($work);
is(attempts($heavy, q{outcome, worker ~ '^job_work pid', duration > '0' AND duration = finished_at - started_at, cpu > '0', wal_bytes > 20000 * 50, error IS NULL}),
	'completed|t|t|t|t|t', 'what an attempt took');
is(attempts($light, 'outcome, wal_bytes BETWEEN 1 AND 2000'), 'completed|t', 'is its own alone');
like(attempts($fails, 'error'), qr/^22012: division by zero\nCONTEXT: .*SQL statement "SELECT 1\/0"\nPL\/pgSQL function app\.handle/s,
	'an error with SQLSTATE and context');
is(attempts($fails, qq{outcome, cpu IS NOT NULL, wal_bytes >= 0, traceparent = '$TRACE'}), 'failed|t|t|t', 'with trace and cost');

# Cancelled while it runs
my $session = $node->session('app');
$session->query("SET application_name = 'victim'");

sub start_work
{
	$session->query_until(qr/go/, "\\echo go\n$work;\n");
	poll_until(sub { sql("SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE application_name = 'victim'") eq 't' }, 60, 'the handler to run');
	return;
}

sub wait_for_work
{
	poll_until(sub { sql("SELECT state FROM pg_stat_activity WHERE application_name = 'victim'") eq 'idle' }, 60, 'job_work to end');
	return;
}

my $slow = enqueue('handle', $SLEEP);
my $next = enqueue('handle', 'SELECT 1');
start_work();
is(sql("BEGIN; SELECT hotdash.job_cancel($slow); ROLLBACK"), 't', 'cancelled, but that is rolled back');
is(sql("SELECT hotdash.job_explain($slow) ->> 'code'"), 'running', 'so it runs on');
is(sql("SELECT hotdash.job_cancel($slow)"), 't', 'cancelled');
wait_for_work();
is(job($slow, 'state, attempt'), 'cancelled|1', 'a handler is interrupted, and its job is cancelled');
is(attempts($slow, 'outcome, error, cpu IS NOT NULL'), 'cancelled|the job was cancelled while it ran|t', 'which is on record');
is(sql("SELECT count(*) FROM app.effect WHERE job = $slow"), '0', 'its effects are gone');
is(job($next, 'state'), 'completed', 'and job_work went on with the next');
is(sql("SELECT hotdash.job_cancel($slow)"), 'f', 'what has ended cannot be cancelled');

my $deaf = enqueue('handle', qq{DO \$do\$ BEGIN $SLEEP; EXCEPTION WHEN query_canceled THEN NULL; END \$do\$} =~ s/SELECT pg_sleep/PERFORM pg_sleep/r);	# busy: until it is stopped
start_work();
sql("SELECT hotdash.job_cancel($deaf)");
wait_for_work();
is(job($deaf, 'state'), 'cancelled', 'a handler that swallows the interrupt is cancelled all the same');
is(sql("SELECT count(*) FROM app.effect WHERE job = $deaf"), '0', 'without effect');

# job_work itself cancelled, while its job is to be cancelled too: the tick ends what was given back
my $both = enqueue('handle', $SLEEP);
start_work();
sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'");
wait_for_work();
is(job($both, 'state, attempt'), 'ready|0', 'who cancels job_work cancels no job');
sql("SELECT hotdash.job_cancel($both)");
is(job($both, 'state, attempt'), 'cancelled|0', 'job_cancel does');
$session->quit;

# A crash does not forget the request
my $doomed = sql(q{SELECT hotdash.job_kind_set('outside', max_attempts => 9); SELECT hotdash.job_enqueue('outside')}) =~ s/\s//gr;
sql(q{SELECT count(*) FROM hotdash.job_claim(kinds => '{outside}', lease => '1 hour')});
sql("SELECT hotdash.job_cancel($doomed)");
$node->kill_backend('app');
is(sql("SELECT hotdash.job_explain($doomed) ->> 'code'"), 'cancelling', 'after a crash the job is still to be cancelled');
sql("SET hotdash.now_override = '2100-01-01 00:00:00+00'; CALL hotdash._tick()");
is(job($doomed, 'state'), 'cancelled', 'and is when its lease runs out');

# Several sessions share the work
sql(q{TRUNCATE app.effect});
enqueue('handle', 'SELECT pg_sleep(0.003)') foreach 1 .. 4;	# busy: so that others come in
sql(q{SELECT count(hotdash.job_enqueue('handle', '{"sql": "SELECT pg_sleep(0.003)"}')) FROM generate_series(1, 400)});	# busy: so that others come in
my @workers = map { $node->session('app') } 1 .. 4;
$_->query_until(qr/go/, "\\echo go\n$work;\n") foreach @workers;
poll_until(sub { sql(q{SELECT count(*) FROM hotdash.jobs WHERE state IN ('ready', 'running')}) eq '0' }, 60, 'all jobs to be done');
is(sql('SELECT count(*), count(DISTINCT job) FROM app.effect'), '404|404', 'each job is done once');
cmp_ok(sql(q{SELECT count(DISTINCT worker) FROM hotdash.jobs JOIN app.effect ON job = id}), '>', 1, 'by more than one');
$_->quit foreach @workers;

# The background worker's handlers are stopped in the same way, and it goes on
$node->append_conf('postgresql.conf', "hotdash.worker_role = 'ticker'");
$node->reload;
my $in_worker = enqueue('handle', $SLEEP);
poll_until(sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'hotdash worker' AND wait_event = 'PgSleep'}) eq '1' }, 60, 'the worker to run it');
my $worker = sql('SELECT worker_pid FROM hotdash._worker_status()');
is(sql("SELECT hotdash.job_cancel($in_worker)"), 't', 'a handler in the background worker');
poll_until(sub { job($in_worker, 'state') eq 'cancelled' }, 60, 'it to be cancelled');
my $after = enqueue('handle', 'SELECT 1');
poll_until(sub { job($after, 'state') eq 'completed' }, 60, 'the next job');
is(sql('SELECT worker_pid FROM hotdash._worker_status()'), $worker, 'is interrupted, and the worker goes on');

# Cancelled itself, it gives the job back, uncharged, and goes on too
my $log = -s $node->logfile;
my $twice = enqueue('handle', $SLEEP);
my $runs = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'hotdash worker' AND wait_event = 'PgSleep'};
poll_until(sub { sql($runs) eq '1' }, 60, 'the worker to run it');
sql("SELECT pg_cancel_backend($worker)");
poll_until(sub { slurp_file($node->logfile, $log) =~ /canceling statement due to user request/ }, 60, 'the worker to be cancelled');
poll_until(sub { sql($runs) eq '1' }, 60, 'the worker to run it again');
sql("SELECT hotdash.job_cancel($twice)");
poll_until(sub { job($twice, 'state') eq 'cancelled' }, 60, 'it to be cancelled');
is(attempts($twice, 'attempt, outcome'), '1|cancelled', 'a background worker that is cancelled gives its job back, uncharged');
is(sql('SELECT worker_pid FROM hotdash._worker_status()'), $worker, 'and goes on');

$node->stop;
done_testing();
