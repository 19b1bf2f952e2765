# Databases and the extension come and go under the one list: entries are kept apart, leases of a dropped
# extension or database mean nothing to the next, a copy does not act, and jobs that were enqueued while
# hotdash was not preloaded are found when it is.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;

# Unpreloaded first
my $node = HotDash->cluster('main', preload => 0);
$node->create_db_with_extension('app');
$node->safe_psql('app', q{
	SELECT hotdash.job_kind_set('k', max_attempts => 3, backoff => '{"type":"fixed","base":"0s","jitter":"none"}'), hotdash.queue_set('q');
	SELECT hotdash.job_enqueue('k', '"early"'), hotdash.job_enqueue('k', '"key"', unique_key => 'u'),
		hotdash.job_enqueue('k', '"key2"', unique_key => 'u', if_exists => 'replace'),
		hotdash.job_enqueue('k', '"cancelled"'), hotdash.job_enqueue('k', '"first"', priority => 0)});
is($node->safe_psql('app', q{SELECT hotdash.job_cancel(id) FROM hotdash._job WHERE payload = '"cancelled"'}), 't', 'unpreloaded: cancel works');
is($node->safe_psql('app', q{SELECT string_agg(payload #>> '{}' || ' ' || state, ', ' ORDER BY id) FROM hotdash.jobs WHERE state <> 'cancelled'}),
	'early ready, key2 ready, first ready', 'unpreloaded: enqueue works, and the views');
foreach my $call ('SELECT hotdash.job_claim()', 'SELECT hotdash.job_next(1, 1)', 'SELECT hotdash.job_complete(1, 1)', q{SELECT hotdash.job_fail(1, 1, 'x')},
	q{SELECT hotdash.job_snooze(1, 1, '1 s')}, q{SELECT hotdash.job_renew('{1}', '{1}')}, q{SELECT hotdash.job_complete_many('{1}', '{1}')},
	'CALL hotdash.job_wait()', 'CALL hotdash.job_work()', 'CALL hotdash._tick()')
{
	is($node->sqlstate('app', $call), '55000', "unpreloaded: $call");
}
like(($node->psql('app', 'SELECT hotdash.job_claim()'))[2], qr/HINT:.*shared_preload_libraries/, 'the hint names the setting');
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_cron,hotdash'\ncron.database_name = 'postgres'\nhotdash.node_id = 3");
$node->restart;
is($node->safe_psql('app', q{SELECT string_agg(payload #>> '{}', ' ') FROM hotdash.job_claim(batch => 10, lease => '1 hour')}), 'first early key2', 'preloaded: found, in order');
my $big = $node->safe_psql('app', q{SELECT hotdash.job_enqueue('k')});
cmp_ok($big, '>', 2**53, 'an id of node 3 is beyond 2^53');
is($node->safe_psql('app', "SELECT hotdash.job_get($big) ->> 'id'"), $big, 'and is exact, as a string, in JSON');
is($node->safe_psql('app', "SELECT id FROM hotdash.job_claim()"), $big, 'and in a claim');

# Two databases with the same ids
$node->append_conf('postgresql.conf', 'hotdash.node_id = 0');
$node->reload;
my %lease;
foreach my $db ('one', 'two')
{
	$node->create_db_with_extension($db);
	$node->safe_psql($db, qq{SELECT hotdash.job_kind_set('k'); SELECT hotdash.job_enqueue('k', '"$db"'), hotdash.job_enqueue('k', '"$db later"')});
}
is($node->safe_psql('one', 'SELECT min(id) FROM hotdash._job'), $node->safe_psql('two', 'SELECT min(id) FROM hotdash._job'), 'two databases have jobs of the same ids');
$lease{$_} = [ split /\|/, $node->safe_psql($_, q{SELECT id, token, payload FROM hotdash.job_claim(lease => '1 hour')}) ] foreach 'one', 'two';
is("$lease{one}[2] $lease{two}[2]", '"one" "two"', 'each gets its own');
is($node->safe_psql('two', "SELECT hotdash.job_complete($lease{one}[0], $lease{one}[1])"), 'f', 'a token of one is nothing in the other');
is($node->safe_psql('one', "SELECT hotdash.job_complete($lease{one}[0], $lease{one}[1])"), 't', 'but in its own');
is($node->safe_psql('two', 'SELECT count(*) FROM hotdash.jobs WHERE state = \'running\''), '1', 'views show their own database');

# A rolled-back DROP and CREATE EXTENSION, and one that commits, with a lease live
$node->safe_psql('two', q{BEGIN; DROP EXTENSION hotdash; CREATE EXTENSION hotdash; SELECT hotdash.job_kind_set('k'); SELECT hotdash.job_enqueue('k', '"ghost"'); ROLLBACK});
is($node->safe_psql('two', "SELECT accepted FROM hotdash.job_complete_many(ARRAY[$lease{two}[0]], ARRAY[$lease{two}[1]])"), 't', 'a rolled-back DROP EXTENSION costs no lease');
is($node->safe_psql('two', q{SELECT string_agg(payload #>> '{}', ' ') FROM hotdash.job_claim(batch => 10, lease => '1 hour')}), 'two later', 'and no job, and leaves none behind');
my $session = $node->session('two');
$session->query('SELECT count(*) FROM hotdash.jobs');
$node->safe_psql('two', 'DROP EXTENSION hotdash');
$node->safe_psql('two', q{CREATE EXTENSION hotdash; SELECT hotdash.job_kind_set('k')});
is($node->safe_psql('two', 'SELECT count(*) FROM hotdash._job_running()'), '0', 'a new extension starts without leases');
$node->safe_psql('two', q{SELECT hotdash.job_enqueue('k', '"new"')});
is($session->query(q{SELECT payload FROM hotdash.job_claim(lease => '1 hour')}), '"new"', 'also in a session that knew the old one');
is($node->safe_psql('one', q{SELECT payload FROM hotdash.job_claim()}), '"one later"', 'the other database did not notice');
$node->safe_psql('two', 'CALL hotdash._tick()');
is($node->safe_psql('two', 'SELECT count(*) FROM hotdash._job_running()'), '1', 'a tick that forgets the old one leaves the new one alone');
for my $n (1 .. 70)
{
	$node->safe_psql('two', 'DROP EXTENSION hotdash; CREATE EXTENSION hotdash');
	$node->safe_psql('two', q{CALL hotdash._tick()});
}
is($node->safe_psql('two', q{SELECT hotdash.job_kind_set('k'); SELECT hotdash.job_enqueue('k') > 0; SELECT count(*) FROM hotdash.job_claim()}), "\nt\n1", 'seventy extensions later there is still room');
$session->quit;

# A database that is dropped and made again
$node->safe_psql('postgres', 'DROP DATABASE two');
$node->create_db_with_extension('two');
$node->safe_psql('two', q{SELECT hotdash.job_kind_set('k'); SELECT hotdash.job_enqueue('k', '"third life"')});
is($node->safe_psql('two', 'SELECT payload FROM hotdash.job_claim()'), '"third life"', 'a database of the same name begins anew');
$node->safe_psql('app', 'CALL hotdash._tick()');
$node->restart;
is($node->safe_psql('two', q{SELECT count(*) FROM hotdash._job_running()}), '1', 'a restart with leases of several databases');

# A copy
$node->safe_psql('two', q{SELECT hotdash.job_enqueue('k', '"copied"')});
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE two');
is($node->safe_psql('copy', 'SELECT hotdash._instance_state()'), 'copy', 'a template copy knows that it is one');
is($node->safe_psql('copy', 'SELECT count(*) FROM hotdash.job_claim(batch => 10)'), '0', 'and claims nothing');
is($node->safe_psql('copy', "SELECT hotdash.job_enqueue('k', '\"more\"') > 0"), 't', 'but takes jobs in');
is($node->safe_psql('two', 'SELECT payload FROM hotdash.job_claim(batch => 10)'), '"copied"', 'the original goes on');
$node->safe_psql('copy', 'SELECT hotdash.instance_adopt()');
is($node->safe_psql('copy', q{SELECT string_agg(payload #>> '{}', ' ') FROM hotdash.job_claim(batch => 10)}), 'third life copied more', 'adopted, it runs what was copied and what came since');

# A restore into a database whose extension was already there, known and empty
$node->safe_psql('one', q{DELETE FROM hotdash._job; SELECT count(*) FROM hotdash.job_claim(); SELECT hotdash.job_enqueue('k', '"restored"')});
is($node->safe_psql('one', 'SELECT shelf FROM hotdash._job'), 'f', 'a job that is in the list alone');
$node->create_db_with_extension('restored');
$node->safe_psql('restored', 'CALL hotdash._tick()');
$node->command_ok([ 'pg_dump', '-f', $node->basedir . '/one.sql', $node->connstr('one') ], 'pg_dump');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $node->basedir . '/one.sql', $node->connstr('restored') ], 'restore');
is($node->safe_psql('restored', 'SELECT count(*) FROM hotdash.job_claim(batch => 10)'), '0', 'a restored copy claims nothing');
$node->safe_psql('restored', 'SELECT hotdash.instance_adopt()');
is($node->safe_psql('restored', 'SELECT payload FROM hotdash.job_claim(batch => 10)'), '"restored"', 'adopted, it runs what was restored');

$node->stop;
done_testing();
