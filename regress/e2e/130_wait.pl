# job_wait: what must not wake it, how many it wakes, that it holds nothing while it sleeps, and that who is
# woken and does not claim takes no job's wake-up with it. What must wake it is in isolation/specs/jobs-wait.spec.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;
use Time::HiRes qw(time);

my $node = HotDash->cluster('main');
$node->create_db_with_extension('app');
$node->safe_psql('app', q{SELECT hotdash.queue_set('q'), hotdash.job_kind_set('k'); CREATE TABLE watched (a int)});
$node->safe_psql('app', 'SELECT count(*) FROM hotdash.job_claim()');

# Sleepers: sessions that run CALL job_wait and print their answer.
my $sleepers = 0;

sub sleeper
{
	my ($arguments) = @_;
	my $name = 'sleeper' . ++$sleepers;
	my $session = $node->session('app');

	$session->query("SET application_name = '$name'");
	$session->query_until(qr/asleep/, "\\echo asleep\nCALL hotdash.job_wait($arguments);\n");
	poll_until(sub { is_asleep($name) }, 30, "$name to sleep");
	return { name => $name, session => $session };
}

sub is_asleep
{
	return $node->safe_psql('app', "SELECT count(*) FROM pg_stat_activity WHERE application_name = '$_[0]' AND wait_event_type = 'Extension'") eq '1';
}

# Its answer, and that it came within ten seconds.
sub woken
{
	my ($sleeper, $what) = @_;
	my $started = time;

	poll_until(sub { $node->safe_psql('app', "SELECT state FROM pg_stat_activity WHERE application_name = '$sleeper->{name}'") eq 'idle' }, 60, "$sleeper->{name} to wake");
	cmp_ok(time - $started, '<', 10, $what);
	$sleeper->{session}->query('SELECT 1');
	$sleeper->{session}->quit;
}

# That it has not moved: it still sleeps in the same statement after others did something.
sub still_asleep
{
	my ($sleeper, $what) = @_;

	is($node->safe_psql('app', "SELECT state || ' ' || (query LIKE '%job_wait%') FROM pg_stat_activity WHERE application_name = '$sleeper->{name}'"), 'active true', $what);
	poll_until(sub { is_asleep($sleeper->{name}) }, 30, "$sleeper->{name} to sleep on");
}

# Holds nothing
my $one = sleeper("NULL, '60 s'");
is($node->safe_psql('app', "SELECT backend_xmin IS NULL, backend_xid IS NULL FROM pg_stat_activity WHERE application_name = '$one->{name}'"), 't|t', 'a sleeper has neither snapshot nor transaction id');
is($node->safe_psql('app', "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = '$one->{name}' AND relation = 'hotdash._job'::regclass"), '0', 'and no lock on the jobs');
$node->safe_psql('app', 'INSERT INTO watched VALUES (1); DELETE FROM watched');
like(($node->psql('app', 'VACUUM (VERBOSE) watched'))[2], qr/1 removed|tuples: 1 removed/, 'vacuum is not held back');

# What is not for it
$node->safe_psql('app', q{BEGIN; SELECT hotdash.job_enqueue('k'); ROLLBACK});
still_asleep($one, 'not woken by a rollback');
$node->safe_psql('app', q{BEGIN; SAVEPOINT s; SELECT hotdash.job_enqueue('k'); ROLLBACK TO s; COMMIT});
still_asleep($one, 'nor by a rollback to a savepoint');
$node->safe_psql('app', q{SELECT hotdash.job_enqueue('k', run_at => 'infinity')});
still_asleep($one, 'nor by a job that is parked');
my $open = $node->session('app');
$open->query(q{BEGIN});
$open->query(q{SELECT hotdash.job_enqueue('k')});
still_asleep($one, 'nor by an open transaction');
$open->query('COMMIT');
woken($one, 'but by its commit');
$node->safe_psql('app', 'SELECT hotdash.job_claim()');

my $q = sleeper("ARRAY['q'], '60 s'");
$node->safe_psql('app', q{SELECT hotdash.job_enqueue('k')});
still_asleep($q, 'not woken by another queue');
$node->safe_psql('app', q{SELECT hotdash.queue_pause('q'); SELECT hotdash.job_enqueue('k', queue => 'q')});
still_asleep($q, 'nor by its own while that is paused');
$node->safe_psql('app', q{SELECT hotdash.queue_resume('q')});
woken($q, 'but by its end');
$node->safe_psql('app', 'SELECT hotdash.job_claim(batch => 10)');

# As many as there are jobs
my @many = map { sleeper("NULL, '60 s'") } 1 .. 4;
$node->safe_psql('app', q{SELECT hotdash.job_enqueue_many('k', ARRAY['1', '2']::jsonb[])});
poll_until(sub { (grep { !is_asleep($_->{name}) } @many) == 2 }, 30, 'two to wake');
my @asleep = grep { is_asleep($_->{name}) } @many;
is(scalar @asleep, 2, 'two jobs wake two of four');
$node->safe_psql('app', 'SELECT hotdash.job_claim(batch => 10)');
$node->safe_psql('app', q{SELECT hotdash.job_enqueue_many('k', array_agg('1'::jsonb)) FROM generate_series(1, 50)});
woken($_, 'fifty jobs wake the other two') foreach @asleep;
$node->safe_psql('app', 'SELECT hotdash.job_claim(batch => 100)');

# A prepared transaction: no callback tells of its second phase, but the next tick does
my $two = sleeper("NULL, '60 s'");
$node->safe_psql('app', q{BEGIN; SELECT hotdash.job_enqueue('k'); PREPARE TRANSACTION 'two'});
still_asleep($two, 'not woken by PREPARE');
$node->safe_psql('app', q{COMMIT PREPARED 'two'});
$node->safe_psql('app', 'CALL hotdash._tick()');
woken($two, 'by the tick after COMMIT PREPARED');
$node->safe_psql('app', 'SELECT hotdash.job_claim()');

# A queue that did not exist, and a sleeper that goes away
my $all = sleeper("NULL, '60 s'");
$node->safe_psql('app', q{SELECT hotdash.queue_set('fresh')});
poll_until(sub { is_asleep($all->{name}) }, 30, 'the sleeper to sleep on');
$node->safe_psql('app', q{SELECT hotdash.job_enqueue('k', queue => 'fresh')});
woken($all, 'woken by a queue that was made while it slept');
$node->safe_psql('app', 'SELECT hotdash.job_claim()');
my @gone = map { sleeper("NULL, '60 s'") } 1 .. 2;
$node->safe_psql('app', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '$gone[0]{name}'");
poll_until(sub { $node->safe_psql('app', "SELECT count(*) FROM pg_stat_activity WHERE application_name = '$gone[0]{name}'") eq '0' }, 30, 'the first to go');
$node->safe_psql('app', q{SELECT hotdash.job_enqueue('k')});
woken($gone[1], 'a sleeper that was terminated takes nobody\'s place');

# A client that is gone without a word: its session ends at once, and takes no wake-up with it
$node->safe_psql('app', 'SELECT hotdash.job_claim()');
my $silent = sleeper("NULL, '10 minutes'");
my $waiting = sleeper("NULL, '60 s'");
kill 'KILL', $silent->{session}{run}{KIDS}[0]{PID} or die "no psql: $!";
poll_until(sub { $node->safe_psql('app', "SELECT count(*) FROM pg_stat_activity WHERE application_name = '$silent->{name}'") eq '0' }, 30, 'the session to end');
$node->safe_psql('app', q{SELECT hotdash.job_enqueue('k')});
woken($waiting, 'woken although another waiter\'s client had gone');
$node->safe_psql('app', 'SELECT hotdash.job_claim()');

# Two sleep and one is woken; what it does instead of claiming must not leave the job lying while the other sleeps.
# A backend that is stopped has been woken and has not looked yet. No worker ticks here.
sub two_asleep { return map { sleeper("NULL, '10 minutes'") } 1 .. 2 }

sub backend
{
	return $node->safe_psql('app', "SELECT pid FROM pg_stat_activity WHERE application_name = '$_[0]{name}'");
}

# psql ends by itself when its server goes in the middle of a statement.
sub quit_if_there
{
	eval { $_[0]{session}->quit };
	return;
}

sub enqueue_and_split
{
	my (@two) = @_;

	$node->safe_psql('app', q{SELECT hotdash.job_enqueue('k')});
	poll_until(sub { grep { !is_asleep($_->{name}) } @two }, 30, 'one to wake');
	my ($called) = grep { !is_asleep($_->{name}) } @two;
	my ($other) = grep { $_ != $called } @two;
	still_asleep($other, 'one job wakes one of two');
	poll_until(sub { $node->safe_psql('app', "SELECT state FROM pg_stat_activity WHERE application_name = '$called->{name}'") eq 'idle' }, 30, 'its wait to end');
	return ($called, $other);
}

# The first of two is stopped in its sleep, so that it is called and cannot look.
sub call_while_stopped
{
	my ($what, $then) = @_;
	my ($first, $other) = two_asleep();
	my $pid = backend($first);

	kill 'STOP', $pid or die "no backend: $!";
	$node->safe_psql('app', q{SELECT hotdash.job_enqueue('k')});
	still_asleep($other, "$what: the other sleeps on");
	$node->safe_psql('app', "SELECT $then($pid)");
	kill 'CONT', $pid or die "no backend: $!";
	woken($other, "$what before it looked: the other is woken");
	quit_if_there($first);
	$node->safe_psql('app', 'SELECT hotdash.job_claim()');
}

call_while_stopped('cancelled', 'pg_cancel_backend');
call_while_stopped('terminated', 'pg_terminate_backend');

my %instead = (
	'its client leaves' => sub { $_[0]{session}->quit },
	'it is terminated' => sub { $node->safe_psql('app', 'SELECT pg_terminate_backend(' . backend($_[0]) . ')') },
	'it waits for something else' => sub { $_[0]{session}->query(q{CALL hotdash.job_wait(ARRAY['q'], '0 s')}) },
	'it claims something else' => sub { $_[0]{session}->query(q{SELECT count(*) FROM hotdash.job_claim(ARRAY['q'])}) },
	'its client is stuck, and somebody ticks' => sub {
		my ($called, $other) = @_;

		poll_until(sub { $node->safe_psql('app', 'CALL hotdash._tick()'); !is_asleep($other->{name}) }, 30, 'a tick to pass it on');
	});

foreach my $what (sort keys %instead)
{
	my ($called, $other) = enqueue_and_split(two_asleep());

	$instead{$what}->($called, $other);
	woken($other, "$what: the other is woken");
	quit_if_there($called);
	$node->safe_psql('app', 'SELECT hotdash.job_claim()');
}

# One that does claim has answered, and what it does then wakes nobody
my ($claimed, $idle) = enqueue_and_split(two_asleep());
$claimed->{session}->query('SELECT hotdash.job_claim()');
$claimed->{session}->quit;
$node->safe_psql('app', 'CALL hotdash._tick()');
still_asleep($idle, 'not woken when the job was claimed');
$node->safe_psql('app', q{SELECT hotdash.job_enqueue('k')});
woken($idle, 'but by the next job');
$node->safe_psql('app', 'SELECT hotdash.job_claim()');

# The extension goes while sessions wait: they hold nothing that would stop it, and end with an error
$node->create_db_with_extension('brief');
my @orphans = map { $node->session('brief') } 1 .. 2;
$_->query_until(qr/asleep/, "\\echo asleep\nCALL hotdash.job_wait(NULL, '60 s');\n") foreach @orphans;
my $brief = q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'brief' AND query LIKE '%job_wait%' AND pid <> pg_backend_pid()};
poll_until(sub { $node->safe_psql('postgres', "$brief AND wait_event_type = 'Extension'") eq '2' }, 30, 'two to sleep');
is($node->psql('brief', q{SET statement_timeout = '30 s'; DROP EXTENSION hotdash}), 0, 'DROP EXTENSION does not wait for those who wait');
poll_until(sub { $node->safe_psql('postgres', "$brief AND state = 'active'") eq '0' }, 90, 'their waits to end');
is($node->safe_psql('brief', 'CREATE EXTENSION hotdash; SELECT hotdash.job_kind_set(\'k\'); SELECT hotdash.job_enqueue(\'k\') > 0'), "\nt", 'and it can be made again');
$_->quit foreach @orphans;

$open->quit;
$node->stop;
done_testing();
