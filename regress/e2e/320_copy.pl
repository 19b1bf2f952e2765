#!/usr/bin/perl
#
# A copy of the data must not act: restored from a dump or made with CREATE DATABASE ... TEMPLATE, it
# pauses until instance_adopt(), while the original goes on.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

my $CLAIM = q{SELECT count(*) FROM hotdash.job_claim(batch => 10)};
my $STATE = q{SELECT hotdash.health() #>> '{checks,instance,state}'};

sub make_original
{
	my ($node) = @_;

	$node->create_db_with_extension('app');
	is($node->safe_psql('app', $STATE), 'fresh', 'a new installation is fresh');
	is($node->safe_psql('app', $CLAIM), '0', 'there is nothing to claim');
	is($node->safe_psql('app', $STATE), 'fresh', 'and whoever looks for work is no first use');

	$node->safe_psql('app', q{
		SELECT hotdash.job_kind_set('send');
		BEGIN; SELECT hotdash.job_enqueue('send'); ROLLBACK});
	is($node->safe_psql('app', $STATE), 'fresh', 'nor is a use that was rolled back');
	$node->safe_psql('app', q{SELECT hotdash.job_enqueue('send')});
	is($node->safe_psql('app', $STATE), 'ours', 'enqueueing is');
	$node->safe_psql('app', q{SELECT hotdash.access_grant('reader', 'viewer', 'acme')});
	return;
}

# Many sessions at once may be the first: none waits for another, and all are right.
sub test_concurrent_first_use
{
	my ($node) = @_;

	$node->create_db_with_extension('crowd');
	$node->safe_psql('crowd', q{SELECT hotdash.job_kind_set('send')});
	my @sessions = map { $node->session('crowd') } 1 .. 3;
	$_->query(q{BEGIN; SELECT hotdash.job_enqueue('send')}) foreach @sessions;
	$_->query('COMMIT') foreach @sessions;
	$_->quit foreach @sessions;
	is($node->safe_psql('crowd', $STATE), 'ours', 'three first uses at once');
	is($node->safe_psql('crowd', $CLAIM), '3', 'lose nothing');
	return;
}

# Paused, then adopted; $who runs the statements that follow the restore.
sub check_copy
{
	my ($node, $database, $what) = @_;

	is($node->safe_psql($database, q{SELECT count(*) FROM hotdash.jobs WHERE state = 'ready'}),
		'1', "$what: the job is there");
	is($node->safe_psql($database, $CLAIM), '0', "$what: but is not handed out");
	is($node->safe_psql($database, $STATE), 'restored copy: paused', "$what: health() says why");
	$node->safe_psql($database, q{SELECT hotdash.job_enqueue('send')});
	is($node->safe_psql($database, $CLAIM), '0', "$what: new work waits too");
	$node->safe_psql($database, 'SELECT hotdash.instance_adopt()');
	is($node->safe_psql($database, $STATE), 'ours', "$what: adopted");
	is($node->safe_psql($database, $CLAIM), '2', "$what: and everything is handed out");
	return;
}

# A worker that is running while the dump is loaded must not take the copy for a fresh installation.
sub test_restore
{
	my ($node) = @_;
	my $dump = PostgreSQL::Test::Utils::tempdir() . '/app.dump';

	$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'app' ], 'pg_dump');
	$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
	$node->safe_psql('restored', 'CREATE EXTENSION hotdash');
	poll_until(sub { $node->safe_psql('restored', 'SELECT worker_pid FROM hotdash._worker_status()') ne '' },
		60, 'a worker in the database that is to be restored');
	$node->safe_psql('restored', 'CALL hotdash._tick()');
	is($node->safe_psql('restored', 'SELECT count(*) FROM hotdash._instance'),
		'0', 'neither worker nor tick writes a name');

	$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'restored', $dump ], 'pg_restore');
	check_copy($node, 'restored', 'dump and restore');
	is($node->safe_psql('restored', q{SELECT has_table_privilege('reader', 'hotdash.endpoints', 'SELECT')}),
		't', 'access levels came along');
	is($node->safe_psql('restored', q{SELECT count(*) FROM hotdash._access_right WHERE role = 'reader'::regrole}),
		$node->safe_psql('app', q{SELECT count(*) FROM hotdash._access_right WHERE role = 'reader'::regrole}),
		'with what they consist of');
	$node->safe_psql('restored', 'SELECT hotdash._access_reapply()');
	is($node->safe_psql('restored', q{
			SELECT setconfig FROM pg_db_role_setting
			WHERE setrole = 'reader'::regrole
				AND setdatabase = (SELECT oid FROM pg_database WHERE datname = 'restored')}),
		'{hotdash.tenant=acme}', 'and _access_reapply() sets the tenant here');
	return;
}

my $node = HotDash->cluster('main', conf => "hotdash.worker_role = 'worker'\n");
$node->safe_psql('postgres', 'CREATE ROLE worker LOGIN; CREATE ROLE reader LOGIN');

make_original($node);
test_concurrent_first_use($node);

$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE app');
check_copy($node, 'copied', 'CREATE DATABASE TEMPLATE');
test_restore($node);

is($node->safe_psql('app', $STATE), 'ours', 'the original was not touched');
is($node->safe_psql('app', $CLAIM), '1', 'and goes on');
$node->stop;

done_testing();
