# Jobs through pgbouncer in transaction mode: every call may run on another server connection than the one
# before. All of a job's life works, a wait wakes in milliseconds and can be cancelled, and many clients
# share few connections. What a pooler takes away is tested too: claims bound to a session, named statements.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

my $POOL_SIZE = 5;
my $CLIENTS = 10; # workers, and as many producers
my $JOBS = 100;   # of each producer

my $node = HotDash->cluster('main', conf => "hotdash.databases = 'none'");
$node->create_db_with_extension('app');
$node->safe_psql('app', <<'SQL');
CREATE ROLE pooled SUPERUSER LOGIN;
SELECT hotdash.queue_set(q) FROM unnest(ARRAY['one', 'fast', 'many', 'inside']) AS q;
SELECT hotdash.job_kind_set(q, queue => q) FROM unnest(ARRAY['one', 'fast', 'many']) AS q;
CREATE FUNCTION public.double(job jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(2 * (job ->> 'payload')::int) $$;
SELECT hotdash.job_kind_set('inside', handler => 'public.double(jsonb)', queue => 'inside', run_as => 'pooled');
SELECT count(*) FROM hotdash.job_claim();
SQL

my ($pooler, $pooled) = start_pooler();

sub start_pooler
{
	my $folder = PostgreSQL::Test::Utils::tempdir_short();
	my $port = free_port();
	my ($host, $server) = ($node->host, $node->port);

	append_to_file("$folder/users", qq("pooled" ""\n));
	append_to_file("$folder/pgbouncer.ini", <<"INI");
[databases]
app = host=$host port=$server dbname=app
[pgbouncer]
listen_port = $port
unix_socket_dir = $folder
auth_type = trust
auth_file = $folder/users
admin_users = pooled
pool_mode = transaction
default_pool_size = $POOL_SIZE
INI
	my $process = HotDash::Process->start('pgbouncer', undef, '/usr/sbin/pgbouncer', "$folder/pgbouncer.ini");
	my $connstr = "host=$folder port=$port user=pooled";
	poll_until(
		sub {
			die 'pgbouncer ended: ' . $process->log unless $process->is_running;
			my ($status) = $node->psql('app', 'SELECT 1', connstr => "$connstr dbname=app");
			return $status == 0;
		}, 30, 'pgbouncer to answer');
	return ($process, $connstr);
}

# Each in a session of its own, hence on any of the server connections.
sub through
{
	my ($sql) = @_;

	return $node->safe_psql('app', $sql, connstr => "$pooled dbname=app");
}

sub session_through
{
	return $node->background_psql('app', on_error_stop => 0, extra_params => [ '-d', "$pooled dbname=app" ]);
}

sub direct { return $node->safe_psql('app', $_[0]) }

sub sleeping { return direct(q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'pooled' AND wait_event_type = 'Extension'}) }

# A job's life, call by call
my $id = through(q{SELECT hotdash.job_enqueue('one', '1')});
is(through(q{CALL hotdash.job_wait(ARRAY['one'], '30 s')}), 't', 'job_wait');
my $token = through(q{SELECT token FROM hotdash.job_claim(ARRAY['one'], lease => '1 minute')});
is(through(qq{SELECT state FROM hotdash.job_renew(ARRAY[$id], ARRAY[$token], '2 minutes')}), 'renewed', 'job_renew');
is(through(qq{SELECT hotdash.job_snooze($id, $token, '0 s')}), 't', 'job_snooze');
$token = through(q{SELECT token FROM hotdash.job_claim(ARRAY['one'])});
is(through(qq{SELECT hotdash.job_fail($id, $token, 'no', retry_in => '0 s')}), 'scheduled', 'job_fail');
$token = through(q{SELECT token FROM hotdash.job_claim(ARRAY['one'])});
through(q{SELECT hotdash.job_enqueue_many('one', ARRAY['2', '3']::jsonb[])});
my ($next, $next_token) = split /\|/, through(qq{SELECT id, token FROM hotdash.job_next($id, $token, NULL, ARRAY['one'])});
is(through("SELECT payload FROM hotdash.jobs WHERE id = $next"), '2', 'job_next claims another');
is(through("SELECT state FROM hotdash.jobs WHERE id = $id"), 'completed', 'and completes the one before');
is(through(qq{SELECT hotdash.job_complete($next, $next_token)}), 't', 'job_complete');
is(through(qq{SELECT hotdash.job_complete($next, $next_token)}), 'f', 'once');
through(q{SELECT hotdash.job_enqueue('inside', '21')});
through(q{CALL hotdash.job_work(ARRAY['inside'], until_empty => true)});
is(through(q{SELECT result FROM hotdash.jobs WHERE kind = 'inside'}), '42', 'job_work');

# Errors undo what the transaction claimed, and the connection is good for others
my $session = session_through();
$session->query('BEGIN');
is($session->query(q{SELECT payload FROM hotdash.job_claim(ARRAY['one'])}), '3', 'claimed in a transaction');
$session->query(q{SELECT hotdash.job_enqueue('nobody knows this')});
like($session->{stderr}, qr/ERROR:.*nobody knows this/, 'that fails');
$session->{stderr} = '';
$session->query('ROLLBACK');
is(through(q{SELECT payload, attempt FROM hotdash.job_claim(ARRAY['one'])}), '3|1', 'and gives the job back, uncharged');
$session->query(q{BEGIN});
$session->query(q{CALL hotdash.job_wait(ARRAY['one'], '30 s')});
like($session->{stderr}, qr/not possible inside a transaction block/, 'job_wait inside a transaction block');
$session->{stderr} = '';
$session->query('ROLLBACK');

# Statements prepared by name stay with the server connection on which they were
$session->query(q{PREPARE claim AS SELECT count(*) FROM hotdash.job_claim(ARRAY['one'])});
my $other = session_through();
$other->query('BEGIN');
$session->query('EXECUTE claim');
like($session->{stderr}, qr/prepared statement "claim" does not exist/, 'a named statement is elsewhere');
$session->{stderr} = '';
is($session->query(q{SELECT count(*) FROM hotdash.job_claim(ARRAY['one'])}), '0', 'which harms nothing');
$other->query('COMMIT');
$other->quit;
$session->quit;

# Cancel of a waiting call, by the client's own request
my $waiter = session_through();
$waiter->query_until(qr/asleep/, "\\echo asleep\nCALL hotdash.job_wait(ARRAY['one'], '10 minutes');\n");
poll_until(sub { sleeping() eq '1' }, 30, 'the call to wait');
$waiter->{run}->signal('INT');
poll_until(sub { sleeping() eq '0' }, 30, 'the call to end');
pass('a waiting call is cancelled');
$waiter->{run}->finish;
like($waiter->{stderr}, qr/canceling statement due to user request/, 'and says so');

# A bound claim belongs to the server connection: it outlives its client, and ends with the connection
$id = through(q{SELECT hotdash.job_enqueue('one', '4')});
through(q{SELECT id FROM hotdash.job_claim(ARRAY['one'], lease => '1 hour', session_bound => true)});
is(direct("SELECT state FROM hotdash.jobs WHERE id = $id"), 'running', 'a bound claim outlives its client');
$node->safe_psql('app', 'RECONNECT', connstr => "$pooled dbname=pgbouncer");
poll_until(sub { direct('CALL hotdash._tick()'); direct("SELECT state FROM hotdash.jobs WHERE id = $id") ne 'running' }, 30, 'the bound claim to end');
pass('and ends when the pooler closes the connection');

# Runs pgbench through the pooler in the background, with unnamed statements.
sub pgbench
{
	my ($name, $script, $connstr, @arguments) = @_;
	my $file = $node->basedir . "/$name.sql";

	append_to_file($file, $script);
	return HotDash::Process->start("pgbench-$name", undef, 'pgbench', '-n', '-M', 'extended', '-f', $file, @arguments, "$connstr dbname=app");
}

sub finished
{
	my ($process) = @_;

	poll_until(sub { !$process->is_running }, 120, "$process->{name} to end");
	return is($process->{status}, 0, "$process->{name} ran without an error") || diag($process->log);
}

my $work = <<'SQL';
CALL hotdash.job_wait(ARRAY['QUEUE'], '50 ms');
SELECT coalesce(array_agg(id), '{}') AS ids, coalesce(array_agg(token), '{}') AS tokens FROM hotdash.job_claim(ARRAY['QUEUE'], 10) \gset
SELECT count(*) FROM hotdash.job_complete_many(:ids, :tokens);
SQL

# From enqueue to claim, by the server's clock: an idle worker is woken, it does not look now and then
my $fast = pgbench('fast', ($work =~ s/QUEUE/fast/gr) =~ s/50 ms/30 s/r, $pooled, '-t', 50);
poll_until(sub { sleeping() eq '1' }, 30, 'the worker to wait');
for my $n (1 .. 50)
{
	direct(q{SELECT hotdash.job_enqueue('fast')});
	poll_until(
		sub {
			die 'the worker ended: ' . $fast->log unless $fast->is_running || $n == 50;
			return direct(q{SELECT count(*) FROM hotdash._job_history WHERE queue = 'fast'}) eq $n;
		}, 30, 'the job to end');
	poll_until(sub { sleeping() eq '1' }, 30, 'the worker to wait') if $n < 50;
}
finished($fast);
my $wake = direct(q{SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - enqueued_at) * 1000)
	FROM hotdash._job_history WHERE queue = 'fast'});
cmp_ok($wake, '<', 100, 'half of the wake-ups are faster than 100 ms');
note("median $wake ms");

# Many clients over few connections
my @benches = (
	pgbench('many', ($work =~ s/QUEUE/many/gr) =~ s/50 ms/10 ms/r, $pooled, '-c', $CLIENTS, '-t', 2 * $JOBS),
	pgbench('produce', q{SELECT hotdash.job_enqueue('many');}, $pooled, '-c', $CLIENTS, '-t', $JOBS));
my $most = 0;
poll_until(
	sub {
		my $now = direct(q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'pooled'});
		$most = $now if $now > $most;
		return !grep { $_->is_running } @benches;
	}, 120, 'the clients to end');
finished($_) foreach @benches;
cmp_ok($most, '<=', $POOL_SIZE, 2 * $CLIENTS . " clients over $most server connections");
cmp_ok($most, '>', 1, 'which is more than one');
cmp_ok(direct(q{SELECT count(*) FROM hotdash._job_history WHERE queue = 'many'}), '>', 0, 'the workers had work');
through(q{SELECT hotdash.job_complete(id, token) FROM hotdash.job_claim(ARRAY['many'], 10000)}); # what came after they ended
is(direct(q{SELECT count(*) || ' ' || count(DISTINCT id) FROM hotdash._job_history WHERE queue = 'many'}),
	join(' ', ($CLIENTS * $JOBS) x 2), 'every job ended once');
is(direct(q{SELECT count(*) FROM hotdash._job WHERE queue = 'many'}), '0', 'and none is left');

$pooler->stop;
$node->stop;
done_testing();
