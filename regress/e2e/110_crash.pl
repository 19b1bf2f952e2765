# Crashes: backends and the postmaster are killed in the middle of work, again and again, and the counts
# must agree in the end: what was committed exists once, SQL handlers took effect once, tokens hold.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;
use Time::HiRes qw(time);

my $KILLS = $ENV{HOTDASH_KILLS} // 51;

# Workers connect as a role of their own, so that a worker backend can be told from the others.
my $node = HotDash->cluster('main', conf => "hotdash.worker_role = 'hd_worker'\nhotdash.databases = 'none'");
$node->create_db_with_extension('app');
$node->safe_psql('app', <<'SQL');
CREATE ROLE hd_worker LOGIN;
CREATE ROLE low;
GRANT pg_execute_server_program TO low;
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO PUBLIC;
CREATE TABLE app.effect (job bigint);
CREATE TABLE app.wanted (job bigint);
GRANT INSERT ON app.effect TO low;
CREATE FUNCTION app.work(job jsonb) RETURNS jsonb LANGUAGE plpgsql AS
	$$ BEGIN INSERT INTO app.effect VALUES ((job ->> 'id')::bigint); PERFORM pg_sleep(0.002); RETURN NULL; END $$;	-- busy: something to be killed in
CREATE FUNCTION app.poison(job jsonb) RETURNS jsonb LANGUAGE plpgsql AS
	$$ BEGIN EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', 'kill -9 ' || pg_backend_pid()); PERFORM pg_sleep(60); RETURN NULL; END $$;	-- busy: until the kill arrives
SELECT hotdash.queue_set('outside'), hotdash.queue_set('inside');
SELECT hotdash.job_kind_set('outside', queue => 'outside', max_attempts => 1000,
	backoff => '{"type":"fixed","base":"0s","jitter":"none"}');
SELECT hotdash.job_kind_set('work', handler => 'app.work(jsonb)', run_as => 'low', queue => 'inside', max_attempts => 1000,
	backoff => '{"type":"fixed","base":"0s","jitter":"none"}');
SELECT hotdash.job_kind_set('poison', handler => 'app.poison(jsonb)', run_as => 'low', max_attempts => 3,
	backoff => '{"type":"fixed","base":"0s","jitter":"none"}');
SQL

sub sql { return $node->sql_through('app', shift) }

sub claim { return split /\|/, sql("SELECT id, token, attempt FROM hotdash.job_claim(ARRAY['outside'], lease => '1 hour')") }

# A lease survives a crashed backend, a crashed postmaster and an orderly restart
sql(q{SELECT hotdash.job_enqueue('outside') FROM generate_series(1, 6)});
my @held = map { [ claim() ] } 1 .. 5;
sql('SELECT 1');
$node->kill_backend('app');
is(sql("SELECT hotdash.job_complete($held[0][0], $held[0][1])"), 't', 'a token holds after a backend was killed');
$node->kill_postmaster();
is(sql("SELECT hotdash.job_complete($held[1][0], $held[1][1])"), 't', 'and after the postmaster was');
is(sql("SELECT count(*) FROM hotdash.jobs WHERE state = 'running'"), '3', 'the other leases are there');
is(sql("SELECT count(*) FROM hotdash.job_claim(ARRAY['outside'], 10, lease => '1 hour')"), '1', 'nobody claims what is leased');
$node->restart;
is(sql("SELECT r.state FROM hotdash.job_renew(ARRAY[$held[2][0]], ARRAY[$held[2][1]], '1 hour') AS r"), 'renewed', 'a restart keeps it too');
is(sql("SELECT hotdash.job_complete($held[2][0], $held[2][1])"), 't', 'and the token');
is(sql("SELECT hotdash.job_complete($held[2][0], $held[2][1])"), 'f', 'once');

# The ledger is lost, cut short or damaged while the server is down: tokens of before are good until their
# job is claimed again
my $ledger = $node->data_dir . '/hotdash.leases';
my %damage = (
	'removed' => sub { unlink $ledger or die $! },
	'empty' => sub { truncate $ledger, 0 or die $! },
	'cut short' => sub { truncate $ledger, 5000 or die $! },
	'garbage' => sub { write_ledger("\xff" x 20000) },
	'with a torn slot' => sub { my $all = slurp_ledger(); $all =~ s/outside/outsidf/ or die 'no lease'; write_ledger($all) });

sub slurp_ledger
{
	open my $file, '<:raw', $ledger or die $!;
	local $/;
	return scalar <$file>;
}

sub write_ledger
{
	open my $file, '+<:raw', $ledger or die $!;
	print $file $_[0] or die $!;
	close $file or die $!;
}

foreach my $what (sort keys %damage)
{
	sql("DELETE FROM hotdash._job WHERE queue = 'outside'");
	sql(q{SELECT hotdash.job_enqueue('outside') FROM generate_series(1, 4)});
	my @before = map { [ claim() ] } 1 .. 4;
	$node->kill_postmaster($damage{$what});
	is(sql("SELECT hotdash.job_complete($before[0][0], $before[0][1])"), 't', "ledger $what: a token of before is honoured");
	is(sql("SELECT hotdash.job_fail($before[1][0], $before[1][1], 'x', final => true)"), 'dead', "ledger $what: for a failure too");
	is(sql("SELECT accepted FROM hotdash._job_release_many(ARRAY[$before[2][0]], ARRAY[$before[2][1]])"), 't', "ledger $what: and for giving back");
	my $again = sql(q{SELECT count(*), coalesce(string_agg(id::text, ','), '') FROM (SELECT * FROM hotdash.job_claim(ARRAY['outside'], 10, lease => '1 hour') ORDER BY id) AS c});
	my $expected = $what eq 'with a torn slot' ? qr/^[12]\|.*\b$before[2][0]\b/ : qr/^2\|$before[2][0],$before[3][0]$/;
	like($again, $expected, "ledger $what: the rest is claimed again, what was given back as well");
	is(sql("SELECT hotdash.job_complete($before[2][0], $before[2][1])"), 'f', "ledger $what: from then on the old token is stale");
	is(sql("SELECT hotdash.job_retry($before[1][0])"), 't', "ledger $what: the dead job is brought back");
	is(sql("SELECT hotdash.job_complete($before[1][0], $before[1][1])"), 'f', "ledger $what: where the token of its life before is worth nothing");
}

# A bound lease ends with its session, also when a transaction was open
foreach my $open (0, 1)
{
	sql("DELETE FROM hotdash._job WHERE queue = 'outside'");
	sql(q{SELECT hotdash.job_enqueue('outside')});
	my $session = $node->session('app');
	my ($id, $token) = split /\|/, $session->query("SELECT id, token FROM hotdash.job_claim(ARRAY['outside'], lease => '1 hour', session_bound => true)");
	if ($open)
	{
		$session->query('BEGIN');
		is($session->query("SELECT hotdash.job_complete($id, $token)"), 't', 'completed, but not committed');
	}
	$session->quit;
	poll_until(sub { sql('CALL hotdash._tick()'); sql("SELECT state FROM hotdash.jobs WHERE id = $id") eq 'ready' }, 30, 'the bound lease to end');
	is(sql("SELECT attempt FROM hotdash.jobs WHERE id = $id"), '1', 'a bound lease ends with its session' . ($open ? ', open transaction or not' : ''));
}
sql("DELETE FROM hotdash._job");

# A job that takes its backend down ends dead, and not in a loop
my $poison = sql(q{SELECT hotdash.job_enqueue('poison')});
my $runs = 0;
poll_until(
	sub {
		$node->psql('app', "CALL hotdash.job_work(until_empty => true, max_runtime => '20 s')");
		$runs++;
		sql('SELECT 1');
		sql('CALL hotdash._tick()');
		return sql("SELECT state FROM hotdash.jobs WHERE id = $poison") eq 'dead';
	}, 90, 'the poisonous job to be given up');
is($runs, 3, 'a job that kills its backend is tried as often as it may');
is(sql("SELECT string_agg(outcome, ',') FROM hotdash.job_attempts WHERE job_id = $poison"), 'crashed,crashed,crashed', 'each attempt is on record');

# The loop. Producers, outside workers and handlers run in processes of their own; a third of the kills
# hits the postmaster, the others a random backend.
my $stop = $node->basedir . '/stop';
my @children;

sub child
{
	my ($code) = @_;
	my $child = fork() // die "fork: $!";

	if ($child == 0)
	{
		# the tests are the parent's, and so is the server
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		until (-e $stop)
		{
			eval { $code->(); };
		}
		require POSIX;
		POSIX::_exit(0);
	}
	push @children, $child;
}

sub run_client
{
	my ($sql) = @_;

	system('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('app'), '-c', $sql);
	select(undef, undef, undef, 0.02) if $?;
}

sql(q{TRUNCATE app.effect, app.wanted, hotdash._job_history, hotdash._job_dead, hotdash._job_attempt, hotdash._job});
sql('SELECT hotdash._job_reload()');
child(sub { run_client(q{DO $$ BEGIN FOR i IN 1 .. 20 LOOP
	INSERT INTO app.wanted SELECT hotdash.job_enqueue(k, run_at => hotdash._now() + CASE WHEN random() < 0.2 THEN '50 ms'::interval END)
		FROM unnest(ARRAY['work', 'outside']) AS k; COMMIT; END LOOP; END $$}) }) for 1 .. 2;
child(sub { run_client(q{DO $$ DECLARE c record; BEGIN FOR i IN 1 .. 20 LOOP
	FOR c IN SELECT * FROM hotdash.job_claim(ARRAY['outside'], 3, lease => '500 ms') LOOP
		IF random() < 0.2 THEN PERFORM hotdash.job_fail(c.id, c.token, 'no'); ELSE PERFORM hotdash.job_complete(c.id, c.token); END IF;
		IF random() < 0.5 THEN COMMIT; END IF;
	END LOOP; COMMIT; END LOOP; END $$}) }) for 1 .. 2;
child(sub { run_client(q{CALL hotdash.job_work(ARRAY['inside'], '2 s')}) }) for 1 .. 2;
child(sub { run_client(q{CALL hotdash._tick()}); select(undef, undef, undef, 0.1) });

my $started = time;
my $kills = 0;
while ($kills < $KILLS)
{
	# not before the last crash is over and work goes on
	my $done = sql('SELECT count(*) FROM hotdash._job_history');
	poll_until(sub { sql('SELECT count(*) FROM hotdash._job_history') > $done }, 60, 'work to go on');
	if ($kills % 3 == 0)
	{
		$node->kill_postmaster();
	}
	else
	{
		my ($status, $out) = eval { $node->psql('app', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'
			AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1}) };
		next if !defined $status || $status != 0 || $out eq '' || !kill('KILL', $out);
	}
	$kills++;
}
open my $flag, '>', $stop or die $!;
close $flag;
waitpid $_, 0 foreach @children;
is($kills, $KILLS, "$kills kills");
sql('SELECT 1');

# drain
poll_until(
	sub {
		sql('CALL hotdash._tick()');
		$node->psql('app', "CALL hotdash.job_work(ARRAY['inside'], '20 s', true)");
		$node->psql('app', q{SELECT hotdash.job_complete(id, token) FROM hotdash.job_claim(ARRAY['outside'], 1000)});
		return sql('SELECT count(*) FROM hotdash._job') eq '0';
	}, 120, 'the queue to drain');

cmp_ok(sql('SELECT count(*) FROM app.wanted'), '>', 100, 'there was work: ' . sql('SELECT count(*) FROM app.wanted') . ' jobs');
is(sql(q{SELECT count(*) FROM app.wanted AS w WHERE NOT EXISTS (SELECT FROM hotdash._job_history AS h WHERE h.id = w.job)}), '0', 'every committed job ended');
is(sql(q{SELECT count(*) FROM (SELECT id FROM hotdash._job_history GROUP BY id HAVING count(*) > 1) AS twice}), '0', 'none ended twice');
is(sql(q{SELECT count(*) FROM hotdash._job_history AS h WHERE NOT EXISTS (SELECT FROM app.wanted AS w WHERE h.id = w.job)}), '0', 'none ended that was not committed');
is(sql('SELECT count(*) FROM hotdash._job_dead'), '0', 'none is dead');
is(sql(q{SELECT count(*) FROM app.effect}), sql(q{SELECT count(*) FROM hotdash._job_history WHERE kind = 'work'}), 'effects of SQL handlers: as many as jobs');
is(sql(q{SELECT count(*) FROM (SELECT job FROM app.effect GROUP BY job HAVING count(*) > 1) AS twice}), '0', 'and each once');
is(sql('SELECT count(*) FROM hotdash._job_running() JOIN app.wanted ON job = id'), '0', 'no lease is left over');

# for the benchmarks
note(sprintf 'kills %d, jobs %d, lost %d, duplicates %d, seconds %.0f', $kills, sql('SELECT count(*) FROM app.wanted'),
	sql('SELECT count(*) FROM app.wanted AS w WHERE NOT EXISTS (SELECT FROM hotdash._job_history AS h WHERE h.id = w.job)'),
	sql('SELECT count(*) - count(DISTINCT id) FROM hotdash._job_history'), time - $started);

$node->stop;
done_testing();
