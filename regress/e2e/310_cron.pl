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
		"hotdash tick home|home|$superuser|t\nhotdash work home|home|$superuser|t", 'two jobs');

	is($node->sqlstate('home', q{SELECT hotdash.cron_install('ticker')}),
		'42501', 'a role that may not call them is refused');
	is($node->sqlstate('home', q{SELECT hotdash.cron_install('nologin')}),
		'22023', 'so is one that cannot log in');
	$node->safe_psql('home', q{SELECT hotdash.access_grant('ticker', 'worker')});
	$node->safe_psql('home', q{SELECT hotdash.cron_install('ticker')}) foreach 1 .. 2;
	is($node->safe_psql('home', $SCHEDULE),
		"hotdash tick home|home|ticker|t\nhotdash work home|home|ticker|t",
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
	is(scalar(split(/\n/, $statements)), 2, 'in another database: the statements to run');
	is($node->safe_psql('home', 'SELECT count(*) FROM cron.job'), '2', 'and nothing is scheduled yet');

	$node->safe_psql('home', $statements);
	is($node->safe_psql('home', q{SELECT jobname, database FROM cron.job WHERE database <> 'home' ORDER BY 1}),
		"hotdash tick $name|$name\nhotdash work $name|$name", 'they schedule for that database');
	is($node->safe_psql($name, q{SELECT hotdash.health() #>> '{checks,cron,state}'}),
		'elsewhere', 'health() does not claim to see it');
	return $name;
}

# Results of runs that began after a run number, by database.
sub runs
{
	my ($node, $after, $database) = @_;

	return $node->safe_psql('home', qq{
		SELECT string_agg(DISTINCT status, ',') FROM cron.job_run_details
		WHERE runid > $after AND database = \$\$$database\$\$ AND end_time IS NOT NULL
		HAVING count(DISTINCT jobid) = 2});
}

# The one test that waits for minutes to begin: pg_cron has no finer grain on Debian 12.
sub test_runs_and_survives_a_drop
{
	my ($node, $other) = @_;
	my $log = -s $node->logfile;

	$node->safe_psql('home', q{
		CREATE FUNCTION public.greet(job jsonb) RETURNS jsonb LANGUAGE sql
			AS $$ SELECT jsonb_build_object('by', current_user) $$;
		SELECT hotdash.job_kind_set('greet', handler => 'public.greet(jsonb)', run_as => 'ticker');
		SELECT hotdash.job_enqueue('greet')});
	$node->safe_psql($other, 'DROP EXTENSION hotdash');
	poll_until(sub { runs($node, 0, 'home') ne '' && runs($node, 0, $other) ne '' }, 90,
		'both jobs of both databases to run');
	is(runs($node, 0, 'home'), 'succeeded', 'the jobs run, as a role without further rights');
	is($node->safe_psql('home', q{SELECT state, result FROM hotdash.jobs}),
		'completed|{"by": "ticker"}', 'and did the job that waited, without any worker');
	is(runs($node, 0, $other), 'succeeded', 'after DROP EXTENSION they run too, and do nothing');
	unlike(slurp_file($node->logfile, $log), qr/ERROR/, 'no error in the log');
	is($node->safe_psql('home', 'SELECT count(*) FROM cron.job'), '4', 'the schedule is as it was');
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
test_install($node);
my $other = test_other_database($node);
test_runs_and_survives_a_drop($node, $other);
test_remove($node, $other);
$node->stop;

done_testing();
