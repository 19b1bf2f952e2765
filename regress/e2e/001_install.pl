#!/usr/bin/perl
#
# CREATE EXTENSION and DROP EXTENSION, preloaded and not: what they leave, what they refuse, and that a
# dump of a database with the extension restores.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

# Every catalog's number of rows: what an extension leaves behind must show in one of them.
# pg_statistic is filled by autovacuum at times of its own.
my $CATALOG_ROWS = q{
	SELECT c.relname, (xpath('/row/n/text()',
		query_to_xml(format('SELECT count(*) AS n FROM pg_catalog.%I', c.relname), false, true, '')))[1]
	FROM pg_catalog.pg_class c
	WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r'
		AND c.relname NOT LIKE 'pg_statistic%'
	ORDER BY 1};

# Members by kind; the schema itself and what has no schema (a cast, say) are named without one.
my $STRAY_MEMBERS = q{
	SELECT o.type, o.identity
	FROM pg_catalog.pg_depend d
	CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) o
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		AND d.refobjid = (SELECT oid FROM pg_catalog.pg_extension WHERE extname = 'hotdash')
		AND o.schema IS DISTINCT FROM 'hotdash'
		AND (o.type, o.identity) <> ('schema', 'hotdash')};

# What the script created in the schema but the extension does not own would survive a drop.
my $UNOWNED = q{
	SELECT c.oid::regclass::text FROM pg_catalog.pg_class c
	WHERE c.relnamespace = 'hotdash'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
			WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'i', 'a'))};

sub test_create_and_drop
{
	my ($node, $how) = @_;

	$node->safe_psql('postgres', 'CREATE DATABASE app');
	my $before = $node->safe_psql('app', $CATALOG_ROWS);

	$node->psql_ok('app', 'CREATE EXTENSION hotdash', "$how: CREATE EXTENSION");
	is($node->safe_psql('app', $STRAY_MEMBERS), '', "$how: no member outside schema hotdash");
	is($node->safe_psql('app', $UNOWNED), '', "$how: nothing in the schema that is no member");
	isnt($node->safe_psql('app', $CATALOG_ROWS), $before, "$how: the catalogs show it");

	$node->psql_ok('app', 'DROP EXTENSION hotdash', "$how: DROP EXTENSION");
	is($node->safe_psql('app', $CATALOG_ROWS), $before, "$how: which leaves nothing behind");

	$node->psql_ok('app', 'CREATE EXTENSION hotdash', "$how: and again");
	$node->psql_ok('postgres', 'CREATE DATABASE copy TEMPLATE app', "$how: usable as a template");
	$node->psql_ok('postgres', "DROP DATABASE $_", "$how: DROP DATABASE $_") foreach qw(copy app);
	return;
}

sub test_refusals
{
	my ($node) = @_;

	$node->safe_psql('postgres', 'CREATE DATABASE planted');
	$node->safe_psql('planted', 'CREATE SCHEMA hotdash');
	is($node->sqlstate('planted', 'CREATE EXTENSION hotdash'),
		'42P06', 'a schema planted beforehand is an error');
	is($node->sqlstate('planted', 'CREATE EXTENSION hotdash SCHEMA public'),
		'0A000', 'another schema is refused');
	is($node->safe_psql('planted', q{SELECT count(*) FROM pg_extension WHERE extname = 'hotdash'}),
		'0', 'and nothing is half installed');

	$node->safe_psql('postgres',
		q{CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});
	is($node->sqlstate('latin', 'CREATE EXTENSION hotdash'), '0A000', 'only UTF-8 databases');

	$node->safe_psql('postgres', 'CREATE DATABASE other; CREATE ROLE owner LOGIN;
		ALTER DATABASE other OWNER TO owner');
	is($node->sqlstate('other', 'SET ROLE owner; CREATE EXTENSION hotdash'),
		'42501', 'the owner of a database who is no superuser cannot install it');

	$node->safe_psql('other', 'CREATE EXTENSION hotdash; CREATE SCHEMA elsewhere');
	is($node->sqlstate('other', 'ALTER EXTENSION hotdash SET SCHEMA elsewhere'),
		'0A000', 'it cannot be moved');
	return;
}

# Rows of every table that the extension marked for dumping, as text, in order.
sub dumped_rows
{
	my ($node, $database) = @_;
	my @tables = split /\n/, $node->safe_psql($database, q{
		SELECT c.oid::regclass
		FROM pg_catalog.pg_extension e
		CROSS JOIN LATERAL unnest(e.extconfig) AS t(oid)
		JOIN pg_catalog.pg_class c ON c.oid = t.oid AND c.relkind IN ('r', 'p')
		WHERE e.extname = 'hotdash' ORDER BY 1});

	return map { ($_ => $node->safe_psql($database, "SELECT t::text FROM $_ t ORDER BY 1")) } @tables;
}

sub test_dump_and_restore
{
	my ($node) = @_;
	my $dump = PostgreSQL::Test::Utils::tempdir() . '/app.dump';

	$node->create_db_with_extension('app');
	$node->safe_psql('app', q{
		CREATE FUNCTION public.handler(job hotdash.claimed_job) RETURNS void LANGUAGE sql AS '';
		SELECT hotdash.job_kind_set('send-email');
		SELECT hotdash.queue_set('mail');
		SELECT hotdash.job_enqueue('send-email', jsonb_build_object('n', n), queue => 'mail')
		FROM generate_series(1, 3) AS n;});
	my %before = dumped_rows($node, 'app');
	isnt(join('', values %before), '', 'there are rows to be dumped');

	$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'app' ], 'pg_dump');
	$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
	$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'restored', $dump ], 'pg_restore');

	my %after = dumped_rows($node, 'restored');
	is_deeply(\%after, \%before, 'every table that holds user data came back');
	is($node->safe_psql('restored', $STRAY_MEMBERS), '', 'as members of the extension');
	return;
}

my $node = HotDash->cluster('preloaded');
test_create_and_drop($node, 'preloaded');
test_refusals($node);
test_dump_and_restore($node);
$node->stop;

$node = HotDash->cluster('plain', preload => 0);
test_create_and_drop($node, 'not preloaded');
$node->stop;

done_testing();
