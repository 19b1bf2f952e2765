#!/usr/bin/perl
#
# The launcher and the workers: who they run as, where they start, when they make way, and how they come
# back.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# Less than the 5 s for which DROP DATABASE itself waits before it fails, more than a busy machine needs.
my $QUICK = 4;

# Longer than the time for which a worker keeps away after it made way.
my $BACK = 60;

# Pids of the workers as "database pid" lines.
sub workers
{
	my ($node) = @_;

	return $node->safe_psql('postgres', q{
		SELECT datname, pid FROM pg_stat_activity WHERE backend_type = 'hotdash worker' ORDER BY 1});
}

# The pid of a database's worker once it works; undef while none does.
sub settled_worker
{
	my ($node, $database) = @_;
	my $pid = $node->safe_psql($database, 'SELECT worker_pid FROM hotdash._worker_status()');

	return $pid eq '' ? undef : $pid;
}

sub wait_for_worker
{
	my ($node, $database, $not) = @_;

	return poll_until(
		sub {
			my $pid = settled_worker($node, $database);
			return defined $pid && $pid ne ($not // '') ? $pid : undef;
		},
		$BACK, "the worker of $database");
}

sub worker_check
{
	my ($node, $database, $key) = @_;

	return $node->safe_psql($database,
		"SELECT hotdash.health() #>> '{checks,worker,$key}'");
}

sub set
{
	my ($node, $name, $value) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET hotdash.$name = '$value'");
	$node->reload;
	return;
}

# How long a statement takes, in seconds.
sub timed
{
	my ($node, $database, $sql, $testname) = @_;
	my $start = time;

	$node->psql_ok($database, $sql, $testname);
	return time - $start;
}

sub test_starts_only_for_a_fit_role
{
	my ($node) = @_;
	my $log = -s $node->logfile;

	is(workers($node), '', 'no worker while hotdash.worker_role is empty');
	is(worker_check($node, 'app', 'state'), 'not configured', 'and health() says so');
	is($node->safe_psql('postgres', q{
			SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'hotdash launcher'}),
		'1', 'the launcher is there');

	foreach my $case (
		[ 'nobody', qr/role "nobody" does not exist/, 'names no role' ],
		[ $node->safe_psql('postgres', 'SELECT current_user'), qr/is a superuser/, 'names a superuser' ],
		[ 'nologin', qr/role "nologin" is not permitted to log in/, 'cannot log in' ])
	{
		my ($role, $message, $detail) = @$case;

		set($node, 'worker_role', $role);
		poll_until(sub { worker_check($node, 'app', 'detail') =~ $detail }, 30, "health(): $detail");
		ok($node->log_contains($message, $log), "the log: $message");
		is(workers($node), '', "no worker: the role $detail");
	}

	set($node, 'worker_role', 'worker');
	my $pid = wait_for_worker($node, 'app');
	is($node->safe_psql('postgres', "SELECT usename FROM pg_stat_activity WHERE pid = $pid"),
		'worker', 'the worker runs as the role that was set');
	is($node->safe_psql('postgres', q{SELECT rolsuper FROM pg_roles WHERE rolname = 'worker'}),
		'f', 'which is no superuser');
	is(worker_check($node, 'app', 'state'), 'running', 'health() shows it');

	my $warnings = () = slurp_file($node->logfile, $log) =~ /is a superuser/g;
	is($warnings, 1, 'a refused role is logged once');
	return;
}

sub test_one_worker_a_database
{
	my ($node) = @_;

	$node->create_db_with_extension('second');
	my $second = wait_for_worker($node, 'second');
	isnt($second, settled_worker($node, 'app'), 'two databases have two workers');
	is(scalar(split(/\n/, workers($node))), 2, 'and no database without the extension has one');

	set($node, 'databases', 'app, other');
	poll_until(sub { workers($node) !~ /second/ }, 30, 'the worker of an unlisted database to leave');
	like(workers($node), qr/^app\|/, 'a listed one keeps its own');

	set($node, 'databases', '*');
	ok(wait_for_worker($node, 'second'), 'listed again, it has one again');

	$node->safe_psql('postgres', 'CREATE ROLE worker2 LOGIN');
	set($node, 'worker_role', 'worker2');
	poll_until(
		sub {
			'worker2' eq $node->safe_psql('postgres', q{
				SELECT string_agg(DISTINCT usename, ',') FROM pg_stat_activity
				WHERE backend_type = 'hotdash worker' HAVING count(*) = 2});
		},
		$BACK, 'workers to change to another role');
	set($node, 'worker_role', 'worker');
	wait_for_worker($node, $_) foreach qw(app second);

	$node->safe_psql('postgres', 'ALTER ROLE worker SUPERUSER');
	poll_until(sub { workers($node) eq '' }, 60, 'workers to leave when their role becomes a superuser');
	$node->safe_psql('postgres', 'ALTER ROLE worker NOSUPERUSER');
	$node->reload;
	wait_for_worker($node, $_) foreach qw(app second);
	pass('and to come back when it is one no more');
	return;
}

# A command is quick, and the worker is another one afterwards.
sub makes_way
{
	my ($node, $database, $sql, $after) = @_;
	my $pid = wait_for_worker($node, $database);
	my ($in) = $sql =~ /EXTENSION/ ? $database : 'postgres';

	cmp_ok(timed($node, $in, $sql, $sql), '<', $QUICK, 'is quick beside a worker');
	wait_for_worker($node, $after // $database, $pid);
	return;
}

sub test_makes_way
{
	my ($node) = @_;

	makes_way($node, 'second', 'CREATE DATABASE copy TEMPLATE second');
	wait_for_worker($node, 'copy');
	pass('original and copy have workers then');
	cmp_ok(timed($node, 'postgres', 'DROP DATABASE copy', 'DROP DATABASE'),
		'<', $QUICK, 'is quick beside a worker');

	makes_way($node, 'second', 'ALTER DATABASE second RENAME TO third', 'third');
	makes_way($node, 'third', 'ALTER DATABASE third SET TABLESPACE elsewhere');
	makes_way($node, 'third', 'ALTER EXTENSION hotdash UPDATE');
	return;
}

sub test_only_for_who_may
{
	my ($node) = @_;
	my $pid = wait_for_worker($node, 'third');

	foreach my $case ([ 'postgres', 'DROP DATABASE third' ], [ 'third', 'DROP EXTENSION hotdash' ])
	{
		my ($database, $sql) = @$case;

		is($node->sqlstate($database, "SET ROLE worker; $sql"), '42501', "$sql: not for everybody");
	}
	is(settled_worker($node, 'third'), $pid, 'who may not cannot send the worker away');
	return;
}

# Make a kind of job that is handled by a statement.
sub make_handler
{
	my ($node, $database, $kind, $statement) = @_;

	$node->safe_psql($database, qq{
		CREATE FUNCTION public.handle_$kind(job jsonb) RETURNS jsonb LANGUAGE sql
			AS \$\$ $statement; SELECT '{}'::jsonb \$\$;
		SELECT hotdash.job_kind_set('$kind', handler => 'public.handle_$kind(jsonb)', run_as => 'worker')});
	return;
}

sub test_drops_extension_under_a_handler
{
	my ($node) = @_;

	make_handler($node, 'third', 'slow', 'SELECT pg_sleep(300)');	# busy: until it is interrupted
	$node->safe_psql('third', q{SELECT hotdash.job_enqueue('slow')});
	$node->poll_query_until('postgres', q{
		SELECT count(*) = 1 FROM pg_stat_activity
		WHERE backend_type = 'hotdash worker' AND datname = 'third' AND wait_event = 'PgSleep'})
	  or die 'the handler did not start';
	cmp_ok(timed($node, 'third', 'DROP EXTENSION hotdash', 'DROP EXTENSION under a handler that runs'),
		'<', $QUICK, 'interrupts it');
	poll_until(sub { workers($node) !~ /third/ }, 30, 'the worker to leave with the extension');

	my $start = time;
	$node->safe_psql('third', 'CREATE EXTENSION hotdash');
	wait_for_worker($node, 'third');
	cmp_ok(time - $start, '<', 8, 'CREATE EXTENSION brings it at once, although a hold was on');
	$node->safe_psql('postgres', 'DROP DATABASE third');
	return;
}

sub test_survives_an_error
{
	my ($node) = @_;

	$node->safe_psql('postgres', q{ALTER ROLE worker SET lock_timeout = '50ms'});
	$node->safe_psql('postgres', 'SELECT pg_terminate_backend(' . wait_for_worker($node, 'app') . ')');
	my $pid = wait_for_worker($node, 'app');
	my $log = -s $node->logfile;

	make_handler($node, 'app', 'quick', 'SELECT 1');
	$node->safe_psql('app', q{
		SELECT hotdash.queue_set('held');
		SELECT hotdash.queue_pause('held');
		SELECT hotdash.job_enqueue('quick', queue => 'held')});
	my $session = $node->session('app');
	$session->query('BEGIN; LOCK TABLE hotdash._job');
	$node->safe_psql('app', q{SELECT hotdash.queue_resume('held')});
	poll_until(
		sub {
			slurp_file($node->logfile, $log) =~
			  /ERROR:  canceling statement due to lock timeout\n[^\n]*background task "hotdash: /;
		},
		90, 'a task to fail');
	$session->query('COMMIT');
	$session->quit;
	$node->poll_query_until('app', q{SELECT state = 'completed' FROM hotdash.jobs WHERE queue = 'held'})
	  or die 'the job was not done';
	is(settled_worker($node, 'app'), $pid, 'a worker outlives an error in a task, and tries again');
	$node->safe_psql('postgres', 'ALTER ROLE worker RESET lock_timeout');
	return;
}

sub test_comes_back
{
	my ($node) = @_;
	my $pid = wait_for_worker($node, 'app');
	my $launcher = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'hotdash launcher'};

	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	my $next = wait_for_worker($node, 'app', $pid);
	pass('a terminated worker is replaced');

	$pid = $node->safe_psql('postgres', $launcher);
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	poll_until(sub { $node->safe_psql('postgres', $launcher) !~ /^($pid|)$/ }, 30, 'the launcher');
	is(settled_worker($node, 'app'), $next, 'a new launcher leaves the worker that runs alone');

	kill 'KILL', $next;
	poll_until(
		sub {
			my ($status, $out) = $node->psql('app', 'SELECT worker_pid FROM hotdash._worker_status()');
			return $status == 0 && $out ne '' && $out ne $next;
		},
		$BACK, 'a worker after kill -9');
	pass('kill -9 of a worker restarts the server, and the worker with it');

	$node->restart;
	ok(wait_for_worker($node, 'app'), 'so does a restart');
	return;
}

sub test_standby
{
	my ($node) = @_;

	$node->backup('base');
	my $standby = HotDash->new('standby');
	$standby->init_from_backup($node, 'base', has_streaming => 1);
	$standby->start;
	$node->wait_for_catchup($standby);

	is($standby->safe_psql('postgres',
			q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'hotdash%'}),
		'0', 'a standby has neither launcher nor worker');
	is(worker_check($standby, 'app', 'state'), 'none in recovery', 'and health() says so');

	$node->stop('immediate');
	$standby->promote;
	ok(wait_for_worker($standby, 'app'), 'both come with promotion');
	is($standby->safe_psql('app', q{SELECT hotdash.health() #>> '{checks,instance,status}'}),
		'healthy', 'a promoted standby is the live copy');
	$standby->stop;
	return;
}

my $node = HotDash->cluster('main', streaming => 1);
$node->safe_psql('postgres', 'CREATE ROLE worker LOGIN; CREATE ROLE nologin; CREATE DATABASE other');
$node->append_conf('postgresql.conf', "allow_in_place_tablespaces = on\n");
$node->reload;
$node->safe_psql('postgres', q{CREATE TABLESPACE elsewhere LOCATION ''});
$node->create_db_with_extension('app');

test_starts_only_for_a_fit_role($node);
test_one_worker_a_database($node);
test_makes_way($node);
test_only_for_who_may($node);
test_drops_extension_under_a_handler($node);
test_survives_an_error($node);
test_comes_back($node);
test_standby($node);

done_testing();
