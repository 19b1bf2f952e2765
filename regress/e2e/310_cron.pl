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
		join("\n", map { "hotdash $_ home|home|$superuser|t" } 'tick', 'work'), 'two jobs');

	is($node->sqlstate('home', q{SELECT hotdash.cron_install('ticker')}),
		'42501', 'a role that may not call them is refused');
	is($node->sqlstate('home', q{SELECT hotdash.cron_install('nologin')}),
		'22023', 'so is one that cannot log in');
	$node->safe_psql('home', q{SELECT hotdash.access_grant('ticker', 'worker')});
	$node->safe_psql('home', q{SELECT hotdash.cron_install('ticker')}) foreach 1 .. 2;
	is($node->safe_psql('home', $SCHEDULE),
		join("\n", map { "hotdash $_ home|home|ticker|t" } 'tick', 'work'),
		'again, for another role: two jobs still, and hers');
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
	is(scalar(split(/\n/, $statements)), 3, 'in another database: the statements to run, one of which takes off what is not wanted');
	is($node->safe_psql('home', 'SELECT count(*) FROM cron.job'), '2', 'and nothing is scheduled yet');

	$node->safe_psql('home', $statements);
	is($node->safe_psql('home', q{SELECT jobname, database FROM cron.job WHERE database <> 'home' ORDER BY 1}),
		join("\n", map { "hotdash $_ $name|$name" } 'tick', 'work'), 'they schedule for that database');
	is($node->safe_psql($name, q{SELECT hotdash.health() #>> '{checks,cron,state}'}),
		'elsewhere', 'health() does not claim to see it');
	return $name;
}

# Results of a database's calls of a routine that have ended.
sub results
{
	my ($node, $database, $routine) = @_;

	return $node->safe_psql('home', qq{
		SELECT string_agg(DISTINCT status, ',') FROM cron.job_run_details
		WHERE database = \$\$$database\$\$ AND end_time IS NOT NULL AND command LIKE '%$routine%'});
}

# How many runs are at work.
sub runs
{
	my ($node, $database) = @_;

	return $node->safe_psql('postgres', qq{SELECT count(*) FROM pg_stat_activity
		WHERE datname = \$\$$database\$\$ AND backend_type = 'hotdash work'});
}

# The one test that waits for minutes to begin: pg_cron has no finer grain on Debian 12. No background
# worker of ours runs. One job after the other is enqueued, each when the one before has ended, until a
# minute has begun and the next run has taken over. Meanwhile pg_cron, which in this version starts
# nothing while something that it has started is at work, is to be free for others.
sub test_runs_without_a_gap
{
	my ($node, $other) = @_;
	my $log = -s $node->logfile;
	my $greet = q{SELECT hotdash.job_enqueue('greet')};

	$node->safe_psql('home', q{
		CREATE FUNCTION public.greet(job jsonb) RETURNS jsonb LANGUAGE sql
			AS $$ SELECT jsonb_build_object('by', current_user, 'session', session_user) $$;
		SELECT hotdash.job_kind_set('greet', handler => 'public.greet(jsonb)', run_as => 'ticker');
		SELECT cron.schedule('theirs', '* * * * *', 'SELECT 1')});
	$node->safe_psql($other, 'DROP EXTENSION hotdash');
	$node->safe_psql('home', $greet);
	poll_until(
		sub {
			# pg_cron overlooks a change that comes while it is taking in another, until there is a third.
			$node->safe_psql('home', q{SELECT cron.unschedule(cron.schedule('nudge', '0 0 1 1 *', 'SELECT 1'))});
			return $node->safe_psql('home', q{SELECT count(*) FROM hotdash.jobs WHERE state = 'completed'}) eq '1';
		},
		90, 'the first run');
	is($node->safe_psql('home', q{SELECT state, result FROM hotdash.jobs}),
		'completed|{"by": "ticker", "session": "ticker"}', 'a job that waited is done, as a role without further rights');

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
	poll_until(sub { runs($node, 'home') eq '1' }, 30, 'the run before to end');
	pass('and the run before has ended');
	$session->quit;

	foreach my $call (['home', '_tick'], ['home', '_work_relay'], ['home', 'SELECT 1'], [$other, '_tick'], [$other, '_work_relay'])
	{
		poll_until(sub { results($node, @$call) ne '' }, 30, "@$call");
		is(results($node, @$call), 'succeeded', "$call->[1] in $call->[0]: a run keeps pg_cron from nothing");
	}
	is($node->safe_psql('home', q{SELECT max(extract(epoch FROM start_time)::numeric % 60) < 5 FROM cron.job_run_details WHERE command = 'SELECT 1'}),
		't', 'nor late');
	is(runs($node, $other), '0', 'after DROP EXTENSION what pg_cron calls there does nothing');
	unlike(slurp_file($node->logfile, $log), qr/ERROR|FATAL/, 'no error in the log');
	$node->safe_psql('home', q{SELECT cron.unschedule('theirs')});
	is($node->safe_psql('home', 'SELECT count(*) FROM cron.job'), '4', 'the schedule is as it was');
	return;
}

# What pg_cron calls, by hand.
sub call
{
	my ($node) = @_;

	$node->safe_psql('hand', 'CALL hotdash._work_relay()');
	return;
}

sub processes
{
	my ($node) = @_;

	return $node->safe_psql('postgres', q{SELECT string_agg(pid::text, ' ' ORDER BY backend_start) FROM pg_stat_activity
		WHERE datname = 'hand' AND backend_type = 'hotdash work'});
}

# Without waiting for pg_cron's minutes: the younger takes over.
sub test_runs_by_hand
{
	my ($node) = @_;

	$node->create_db_with_extension('hand');
	call($node);
	is(runs($node, 'hand'), '0', 'where nothing has a SQL handler none is started');

	$node->safe_psql('hand', q{
		CREATE FUNCTION public.greet(job jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT job';
		CREATE ROLE greeter;
		SELECT hotdash.job_kind_set('greet', handler => 'public.greet(jsonb)', run_as => 'greeter')});
	is($node->sqlstate('hand', 'BEGIN; CALL hotdash._work_relay()'), '2D000', 'not inside a transaction block');
	call($node);
	poll_until(sub { runs($node, 'hand') eq '1' }, 60, 'a run to begin');
	my $older = processes($node);
	call($node);
	poll_until(sub { runs($node, 'hand') eq '1' && processes($node) ne $older }, 60, 'a younger run to take over');
	pass('the older run ends when the younger has begun, which goes on');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'hand' AND backend_xmin IS NOT NULL}),
		'0', 'without a snapshot');

	# A role that may not log in can have no process: the call works itself.
	$node->safe_psql('hand', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'hotdash work' AND datname = 'hand';
		CREATE ROLE closed; SELECT hotdash.access_grant('closed', 'worker')});
	poll_until(sub { runs($node, 'hand') eq '0' }, 30, 'the run to be terminated');
	$node->safe_psql('hand', q{SELECT hotdash.job_enqueue('greet')});
	$node->safe_psql('hand', 'SET ROLE closed; CALL hotdash._work_relay()');
	is($node->safe_psql('hand', q{SELECT state FROM hotdash.jobs}), 'completed', 'where no process can be had the call does what there is to do');
	is(runs($node, 'hand'), '0', 'and starts none');
	return;
}

# A handler that lasts keeps its run; the next works beside it, and no third is started.
sub test_kept_by_a_handler
{
	my ($node) = @_;
	my $running = q{SELECT count(*) FROM hotdash.jobs WHERE state = 'running'};

	call($node);
	poll_until(sub { runs($node, 'hand') eq '1' }, 60, 'a run to begin');
	$node->safe_psql('hand', q{
		CREATE FUNCTION public.last(job jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT pg_sleep(900); SELECT job';	-- busy: until it is cancelled
		SELECT hotdash.job_kind_set('last', handler => 'public.last(jsonb)', run_as => 'greeter');
		SELECT hotdash.job_enqueue('last')});
	poll_until(sub { $node->safe_psql('hand', $running) eq '1' }, 60, 'a handler to run');
	my $kept = processes($node);
	call($node);
	poll_until(sub { runs($node, 'hand') eq '2' }, 60, 'another run to begin');
	my $both = processes($node);
	like($both, qr/^$kept /, 'while a handler keeps a run, the next is at work beside it');
	call($node) foreach 1 .. 3;
	$node->safe_psql('hand', q{SELECT hotdash.job_enqueue('greet')});
	poll_until(sub { $node->safe_psql('hand', q{SELECT count(*) FROM hotdash.jobs WHERE state = 'completed'}) eq '2' }, 30, 'a job to be done');
	is(processes($node), $both, 'and works, and no third is started');
	$node->safe_psql('hand', q{SELECT hotdash.job_cancel(id) FROM hotdash.jobs WHERE kind = 'last'});
	poll_until(sub { runs($node, 'hand') eq '1' }, 30, 'the kept run to end');
	is("$kept " . processes($node), $both, 'it ends with its handler; the other stays');
	return;
}

sub test_leaves_for_a_drop_of_the_database
{
	my ($node) = @_;

	is(runs($node, 'hand'), '1', 'a run is at work');
	is($node->psql('home', 'DROP DATABASE hand'), 0, 'the database can be dropped under it');
	poll_until(sub { runs($node, 'hand') eq '0' }, 30, 'the run to end');
	return;
}

# Who needs the database to himself gets it.
sub test_leaves_for_a_drop
{
	my ($node) = @_;

	is(runs($node, 'home'), '1', 'a run is at work');
	$node->safe_psql('home', 'DROP EXTENSION hotdash');
	poll_until(sub { runs($node, 'home') eq '0' }, 30, 'the run to end');
	pass('it ends when the extension is dropped');
	$node->safe_psql('home', 'CREATE EXTENSION hotdash');
	return;
}

# pg_cron's own version, as a number that can be compared.
sub cron_version
{
	my ($node) = @_;
	my $version = $node->safe_psql('home', q{SELECT default_version FROM pg_available_extensions WHERE name = 'pg_cron'});

	return $version =~ /^(\d+)\.(\d+)/ ? $1 * 100 + $2 : die "pg_cron $version";
}

sub set_seconds
{
	my ($node, $seconds) = @_;

	$node->append_conf('postgresql.conf', "hotdash.cron_seconds = $seconds");
	$node->reload;
	poll_until(sub { $node->safe_psql('home', 'SELECT hotdash._cron_seconds()') eq $seconds }, 30, 'the setting');
	return;
}

# How late steps of SLA clocks are found by pg_cron alone: half a second to the next look, and what that takes.
sub test_scan_each_second
{
	my ($node) = @_;

	set_seconds($node, 1);
	if (cron_version($node) < 105)
	{
		my (undef, undef, $error) = $node->psql('home', q{SELECT hotdash.cron_install('ticker')});
		like($error, qr/cannot run jobs each few seconds.*Install pg_cron 1\.5/s, 'pg_cron before 1.5 cannot look each second, and that is said');
		is($node->sqlstate('home', q{SELECT hotdash.cron_install('ticker')}), '55000', 'with SQLSTATE 55000');
		is($node->safe_psql('home', 'SELECT count(*) FROM cron.job'), '4', 'and nothing is changed');
		set_seconds($node, 0);
		return;
	}
	$node->safe_psql('home', q{SELECT hotdash.cron_install('ticker')});
	is($node->safe_psql('home', q{SELECT schedule, username FROM cron.job WHERE jobname = 'hotdash scan home'}), '1 seconds|ticker', 'a third job, each second');
	poll_until(
		sub {
			$node->safe_psql('home', q{SELECT cron.unschedule(cron.schedule('nudge', '0 0 1 1 *', 'SELECT 1'))});
			return $node->safe_psql('home', q{SELECT count(*) > 2 FROM cron.job_run_details WHERE database = 'home' AND command LIKE '%_sla_scan_tick%' AND status = 'succeeded'}) eq 't';
		},
		90, 'pg_cron to take in its schedule');
	my $found = q{SELECT count(*) FROM hotdash._sla_event WHERE step = 0};
	$node->safe_psql('home', q{SELECT hotdash.sla_policy_set('quick', '{"metrics":{"answer":{"target":"1 second"}}}')});
	$node->safe_psql('home', q{SELECT count(hotdash.sla_start('quick', 'spread' || i, 'answer', at => hotdash._now() + i * interval '50 ms')) FROM generate_series(1, 200) AS i});
	poll_until(sub { $node->safe_psql('home', $found) eq '200' }, 60, 'the breaches');
	cmp_ok($node->safe_psql('home', q{SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM e.recorded_at - e.at))
			FROM hotdash._sla_event AS e JOIN hotdash._sla_clock AS c ON c.id = e.clock WHERE e.step = 0 AND c.subject LIKE 'spread%'}),
		'<=', 1.1, 'breaches are found within 1.1 s');
	set_seconds($node, 0);
	$node->safe_psql('home', q{SELECT hotdash.cron_install('ticker')});
	is($node->safe_psql('home', q{SELECT count(*) FROM cron.job WHERE jobname = 'hotdash scan home'}), '0', 'switched off, the third job is gone');
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
test_runs_by_hand($node);
test_kept_by_a_handler($node);
test_leaves_for_a_drop_of_the_database($node);
test_install($node);
my $other = test_other_database($node);
test_runs_without_a_gap($node, $other);
test_scan_each_second($node);
test_leaves_for_a_drop($node);
test_remove($node, $other);
$node->stop;

done_testing();
