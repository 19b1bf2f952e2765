#!/usr/bin/perl
#
# cron_install and cron_remove on a real pg_cron: what they say when something is missing, what they
# schedule, that the schedule runs, and that it does no harm once the extension is gone.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

my $SCHEDULE = q{SELECT jobname, database, username, active FROM cron.job ORDER BY 1, 2};

sub test_not_loaded
{
	my $node = HotDash->cluster('bare', preload => 0, conf => "cron.database_name = 'postgres'\n");
	my ($status, undef, $error);

	$node->create_db_with_extension('app');
	($status, undef, $error) = $node->psql('app', 'SELECT hotdash.cron_install()');
	isnt($status, 0, 'without pg_cron in the server: an error');
	like($error, qr/pg_cron is not loaded.*Add pg_cron to shared_preload_libraries/s, 'that says what to do');
	is($node->sqlstate('app', 'SELECT hotdash.cron_install()'), '55000', 'with SQLSTATE 55000');
	is($node->safe_psql('app', q{SELECT hotdash.health() #>> '{checks,cron,status}'}),
		'degraded', 'health(): nobody does the periodic work');
	$node->stop;
	return;
}

sub test_missing_in_its_own_database
{
	my ($node) = @_;
	my ($status, undef, $error) = $node->psql('home', 'SELECT hotdash.cron_install()');

	like($error, qr/pg_cron is not installed in this database.*CREATE EXTENSION pg_cron/s,
		'without CREATE EXTENSION pg_cron: an error that says what to do');
	is($node->sqlstate('home', 'SELECT hotdash.cron_remove()'), '55000', 'from cron_remove too');
	$node->safe_psql('home', 'CREATE EXTENSION pg_cron');
	return;
}

sub test_install
{
	my ($node) = @_;
	my $superuser = $node->safe_psql('home', 'SELECT current_user');
	my ($status, $out, $error) = $node->psql('home', 'SELECT hotdash.cron_install()');

	is("$status$out", '0', 'in its own database nothing remains to be run');
	like($error, qr/runs as superuser/, 'a superuser is told that a lesser role would do');
	is($node->safe_psql('home', $SCHEDULE),
		join("\n", map { "hotdash $_ home|home|$superuser|t" } 'tick', 'work even', 'work odd'), 'three jobs');

	is($node->sqlstate('home', q{SELECT hotdash.cron_install('ticker')}),
		'42501', 'a role that may not call them is refused');
	is($node->sqlstate('home', q{SELECT hotdash.cron_install('nologin')}),
		'22023', 'so is one that cannot log in');
	$node->safe_psql('home', q{SELECT hotdash.access_grant('ticker', 'worker')});
	$node->safe_psql('home', q{SELECT hotdash.cron_install('ticker')}) foreach 1 .. 2;
	is($node->safe_psql('home', $SCHEDULE),
		join("\n", map { "hotdash $_ home|home|ticker|t" } 'tick', 'work even', 'work odd'),
		'again, for another role: three jobs still, and hers');
	is($node->safe_psql('home', q{SELECT hotdash.health() #>> '{checks,cron,state}'}),
		'installed', 'health() shows it');
	return;
}

sub test_other_database
{
	my ($node) = @_;
	my $name = q{it's "other"};

	$node->safe_psql('postgres', qq{CREATE DATABASE "it's ""other"""});
	$node->safe_psql($name, 'CREATE EXTENSION hotdash');
	$node->safe_psql($name, q{SELECT hotdash.access_grant('ticker', 'worker')});
	my $statements = $node->safe_psql($name, q{SELECT hotdash.cron_install('ticker')});
	is(scalar(split(/\n/, $statements)), 3, 'in another database: the statements to run');
	is($node->safe_psql('home', 'SELECT count(*) FROM cron.job'), '3', 'and nothing is scheduled yet');

	$node->safe_psql('home', $statements);
	is($node->safe_psql('home', q{SELECT jobname, database FROM cron.job WHERE database <> 'home' ORDER BY 1}),
		join("\n", map { "hotdash $_ $name|$name" } 'tick', 'work even', 'work odd'), 'they schedule for that database');
	is($node->safe_psql($name, q{SELECT hotdash.health() #>> '{checks,cron,state}'}),
		'elsewhere', 'health() does not claim to see it');
	return $name;
}

# Results of the ticks of a database that have ended.
sub ticks
{
	my ($node, $database) = @_;

	return $node->safe_psql('home', qq{
		SELECT string_agg(DISTINCT status, ',') FROM cron.job_run_details
		WHERE database = \$\$$database\$\$ AND end_time IS NOT NULL AND command LIKE '%_tick%'});
}

# How many runs that stay are at work.
sub relays
{
	my ($node, $database) = @_;

	return $node->safe_psql('home', qq{SELECT count(*) FROM pg_stat_activity
		WHERE datname = \$\$$database\$\$ AND query LIKE '%_work_relay%' AND pid <> pg_backend_pid()});
}

# The one test that waits for minutes to begin: pg_cron has no finer grain on Debian 12. No background
# worker runs. One job after the other is enqueued, each when the one before has ended, until a minute
# has begun and the next run has taken over.
sub test_runs_without_a_gap
{
	my ($node, $other) = @_;
	my $log = -s $node->logfile;
	my $greet = q{SELECT hotdash.job_enqueue('greet')};

	$node->safe_psql('home', q{
		CREATE FUNCTION public.greet(job jsonb) RETURNS jsonb LANGUAGE sql
			AS $$ SELECT jsonb_build_object('by', current_user) $$;
		SELECT hotdash.job_kind_set('greet', handler => 'public.greet(jsonb)', run_as => 'ticker')});
	$node->safe_psql($other, 'DROP EXTENSION hotdash');
	$node->safe_psql('home', $greet);
	poll_until(sub { $node->safe_psql('home', q{SELECT count(*) FROM hotdash.jobs WHERE state = 'completed'}) eq '1' }, 90,
		'the first run');
	is($node->safe_psql('home', q{SELECT state, result FROM hotdash.jobs}),
		'completed|{"by": "ticker"}', 'a job that waited is done, as a role without further rights');

	my $first = $node->safe_psql('home', q{SELECT worker FROM hotdash.jobs});
	my $session = $node->session('home');
	my $last;
	my $after = 0;
	poll_until(
		sub {
			my $id = $session->query($greet);
			poll_until(sub { ($last = $session->query("SELECT worker FROM hotdash.jobs WHERE id = $id AND state = 'completed'")) ne '' },
				90, 'a job to be done');
			$after++ if $last ne $first;
			return $after > 100;
		},
		120, 'another run to take over');
	isnt($last, $first, 'a minute later another run does the work');
	cmp_ok($session->query('SELECT extract(epoch FROM max(finished_at - enqueued_at)) FROM hotdash.jobs WHERE id > 1'),
		'<', 1, 'no job waited a second meanwhile');
	poll_until(sub { relays($node, 'home') eq '1' }, 30, 'the run before to end');
	pass('and the run before has ended');
	$session->quit;

	# In the other database by hand: pg_cron 1.4 does not get round to every job while a run of ours is at work.
	poll_until(sub { ticks($node, 'home') ne '' }, 90, 'a tick');
	is(ticks($node, 'home'), 'succeeded', 'the tick succeeds');
	my @commands = split /\n/, $node->safe_psql('home', q{SELECT command FROM cron.job WHERE database <> 'home'});
	is(scalar(grep { $node->sqlstate($other, "SET ROLE ticker; $_") eq '00000' } @commands), 3, 'after DROP EXTENSION what pg_cron runs there does nothing');
	is(relays($node, $other), '0', 'nobody stays there');
	unlike(slurp_file($node->logfile, $log), qr/ERROR/, 'no error in the log');
	is($node->safe_psql('home', 'SELECT count(*) FROM cron.job'), '6', 'the schedule is as it was');
	return;
}

# Runs as pg_cron starts them, without waiting for its minutes: the younger takes over.
sub test_runs_by_hand
{
	my ($node) = @_;
	my @call = ('psql', '-XAtq', '-d', $node->connstr('hand'), '-c', 'CALL hotdash._work_relay()');

	$node->create_db_with_extension('hand');
	my $idle = HotDash::Process->start('relay0', undef, @call);
	poll_until(sub { !$idle->is_running }, 60, 'a run to end');
	is($idle->{status}, 0, 'without a SQL handler a run ends at once');

	$node->safe_psql('hand', q{
		CREATE FUNCTION public.greet(job jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT job';
		CREATE ROLE greeter;
		SELECT hotdash.job_kind_set('greet', handler => 'public.greet(jsonb)', run_as => 'greeter')});
	my $older = HotDash::Process->start('relay1', undef, @call);
	poll_until(sub { relays($node, 'hand') eq '1' }, 60, 'a run to begin');
	my $younger = HotDash::Process->start('relay2', undef, @call);
	poll_until(sub { !$older->is_running }, 30, 'the older run to end');
	is($older->{status}, 0, 'the older run ends when the younger has begun');
	ok($younger->is_running, 'which goes on');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'hand' AND backend_xmin IS NOT NULL}),
		'0', 'without a snapshot');

	# A handler that lasts keeps it, and another follows: for what that does see the end of this.
	$node->safe_psql('hand', q{
		CREATE FUNCTION public.last(job jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT pg_sleep(900); SELECT job';	-- busy: until it is cancelled
		SELECT hotdash.job_kind_set('last', handler => 'public.last(jsonb)', run_as => 'greeter');
		SELECT hotdash.job_enqueue('last')});
	poll_until(sub { $node->safe_psql('hand', q{SELECT count(*) FROM hotdash.jobs WHERE state = 'running'}) eq '1' }, 60, 'a handler to run');
	my $third = HotDash::Process->start('relay3', undef, @call);
	poll_until(sub { relays($node, 'hand') eq '2' }, 60, 'the third run to begin');
	return ($younger, $third);
}

# More than a minute later.
sub test_kept_by_a_handler
{
	my ($node, $kept, $after) = @_;

	ok($kept->is_running && $after->is_running, 'while a handler keeps a run, the one after it stays');
	$node->safe_psql('hand', q{SELECT hotdash.job_enqueue('greet')});
	poll_until(sub { $node->safe_psql('hand', q{SELECT count(*) FROM hotdash.jobs WHERE state = 'completed'}) eq '1' }, 30, 'a job to be done');
	pass('and works');
	$node->safe_psql('hand', q{SELECT hotdash.job_cancel(id) FROM hotdash.jobs WHERE kind = 'last'});
	poll_until(sub { !$kept->is_running && !$after->is_running }, 30, 'both runs to end');
	is("$kept->{status} $after->{status}", '0 0', 'both end with the handler');

	my $last = HotDash::Process->start('relay4', undef, 'psql', '-XAtq', '-d', $node->connstr('hand'), '-c', 'CALL hotdash._work_relay()');
	poll_until(sub { relays($node, 'hand') eq '1' }, 60, 'a run to begin');
	is($node->psql('home', 'DROP DATABASE hand'), 0, 'the database can be dropped under a run');
	poll_until(sub { !$last->is_running }, 30, 'the run to end');
	is($last->{status}, 0, 'which ends well');
	return;
}

# Who needs the database to himself gets it.
sub test_leaves_for_a_drop
{
	my ($node) = @_;

	cmp_ok(relays($node, 'home'), '>=', 1, 'a run is at work');
	$node->safe_psql('home', 'DROP EXTENSION hotdash');
	poll_until(sub { relays($node, 'home') eq '0' }, 30, 'the run to end');
	pass('it ends when the extension is dropped');
	$node->safe_psql('home', 'CREATE EXTENSION hotdash');
	return;
}

sub test_remove
{
	my ($node, $other) = @_;

	$node->safe_psql($other, 'CREATE EXTENSION hotdash');
	$node->safe_psql('home', $node->safe_psql($other, 'SELECT hotdash.cron_remove()'));
	is($node->safe_psql('home', q{SELECT count(*) FROM cron.job WHERE database <> 'home'}),
		'0', 'cron_remove, from another database');
	is($node->safe_psql('home', 'SELECT hotdash.cron_remove()'), '', 'cron_remove in its own');
	is($node->safe_psql('home', 'SELECT count(*) FROM cron.job'), '0', 'leaves nothing');
	is($node->safe_psql('home', 'SELECT hotdash.cron_remove()'), '', 'and can be called again');
	is($node->safe_psql('home', q{SELECT hotdash.health() #>> '{checks,cron,state}'}),
		'not installed', 'health() shows it');
	return;
}

test_not_loaded();

my $node = HotDash->cluster('main', cron_db => 'home');
$node->safe_psql('postgres', 'CREATE ROLE ticker LOGIN; CREATE ROLE nologin');
$node->create_db_with_extension('home');
test_missing_in_its_own_database($node);
my @by_hand = test_runs_by_hand($node);
test_install($node);
my $other = test_other_database($node);
test_runs_without_a_gap($node, $other);
test_kept_by_a_handler($node, @by_hand);
test_leaves_for_a_drop($node);
test_remove($node, $other);
$node->stop;

done_testing();
