# The history: rows of ended jobs lie in parts, one class of retention each; a part is dropped as a whole
# when its time has come, never waits for a reader and never deletes a row. What is kept survives dump
# and restore into another month, and DROP EXTENSION takes everything along.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = HotDash->cluster('main');
my $PARTS = q{SELECT string_agg(format('%s: %s', c.relname, (SELECT days FROM hotdash._part p WHERE p.family = 'jobs' AND c.relname LIKE '%\_' || p.part)),
	', ' ORDER BY c.relname) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid WHERE i.inhparent = 'hotdash._job_history'::regclass};

sub sql
{
	my ($query, $database) = @_;

	return $node->safe_psql($database // 'app', $query);
}

# Tick as if it were some time later than now. One tick closes a part, a later one drops it.
sub tick_in
{
	my ($delay, $database) = @_;

	return sql("SELECT set_config('hotdash.now_override', (hotdash._now() + interval '$delay')::text, false);
		CALL hotdash._tick()", $database);
}

# A job of a kind, ended one way or the other: its id.
sub ended
{
	my ($kind, $how) = @_;

	return sql("SELECT hotdash.job_enqueue('$kind') AS id \\gset
		SELECT token FROM hotdash.job_claim(kinds => ARRAY['$kind']) \\gset
		SELECT $how \\g /dev/null
		SELECT :id");
}

sub kept
{
	my ($database) = @_;

	return sql(q{SELECT coalesce(string_agg(kind, ',' ORDER BY kind), '') FROM hotdash.jobs WHERE state = 'completed'}, $database);
}

$node->create_db_with_extension('app');
sql(q{
	CREATE ROLE reader LOGIN;
	SELECT hotdash.access_grant('reader', 'viewer', 'acme');
	SELECT hotdash.job_kind_set('day', retention => '1 day', max_attempts => 2);
	SELECT hotdash.job_kind_set('week');
	SELECT hotdash.job_kind_set('month', retention => '20 days')});

# Before anybody ticks
is(sql($PARTS), '_job_history_0: ', 'the script makes one part');
ended($_, 'hotdash.job_complete(:id, :token)') foreach qw(day week month);
is(sql('SELECT count(*) FROM hotdash._job_history_0'), '3', 'which takes everything until somebody ticks');
is(kept(), 'day,month,week', 'and jobs shows it');

# A part for each class
tick_in('0');
is(sql($PARTS), '_job_history_0: 30, _job_history_1: 1, _job_history_2: 7, _job_history_3: 30', 'the tick makes a part for each class in use');
ended($_, 'hotdash.job_complete(:id, :token)') foreach qw(day week month);
my $failed = ended('day', q{hotdash.job_fail(:id, :token, 'no', final => true)});
is(sql(q{SELECT string_agg(tableoid::regclass || ' ' || kind, ', ' ORDER BY kind) FROM hotdash._job_history WHERE part > 0}),
	'hotdash._job_history_1 day, hotdash._job_history_3 month, hotdash._job_history_2 week', 'and rows go to that of their kind');
is(sql("SELECT tableoid::regclass FROM hotdash._job_attempt WHERE job_id = $failed"), 'hotdash._job_attempt_1', 'attempts too');
is(sql("SELECT hotdash.job_get(id) ->> 'state' FROM hotdash._job_history WHERE kind = 'week' AND part > 0"), 'completed', 'job_get finds them');

# A session that has filed rows before notices that its part was closed
my $session = $node->session('app');
my $end = q{SELECT hotdash.job_enqueue('week') AS id \gset
	SELECT token FROM hotdash.job_claim(kinds => ARRAY['week']) \gset
	SELECT hotdash.job_complete(:id, :token) \g /dev/null
	SELECT part FROM hotdash._job_history WHERE id = :id};
is($session->query($end), '2', 'a session files into a part');
tick_in('1 day');
is($session->query($end), sql(q{SELECT part FROM hotdash._part WHERE family = 'jobs' AND days = 7 AND closed_at IS NULL}), 'and into the next once that is closed');
isnt(sql(q{SELECT part FROM hotdash._part WHERE family = 'jobs' AND days = 7 AND closed_at IS NULL}), '2', 'which is another');

# Rows of a class go together, and none before its time
tick_in('25 hours');
is(kept(), 'day,day,month,month,week,week,week,week', 'nothing is dropped before its time');
tick_in('49 hours');
is(kept(), 'day,month,month,week,week,week,week', 'a part goes when its class has passed since it was closed');
is(sql("SELECT count(*) FROM hotdash.job_attempts WHERE job_id = $failed"), '0', 'with its attempts');

# A reader is not waited for, nor does anybody wait behind the tick
$session->query(q{BEGIN; SELECT count(*) FROM hotdash.jobs});
tick_in('9 days');
is(kept(), 'day,month,month,week,week,week,week', 'a reader of the history keeps it from being dropped');
is(sql(q{SELECT count(*) FROM pg_locks WHERE NOT granted}), '0', 'and nobody waits for a lock');
is(ended('day', 'hotdash.job_complete(:id, :token)') > 0, 1, 'completions go on');
$session->query('COMMIT');
tick_in('9 days');
like(kept(), qr/^day,day,month,month,week,week$/, 'the next tick drops it');
is(sql(q{SELECT sum(n_tup_del) FROM pg_stat_all_tables WHERE relname LIKE '\_job\_history%' OR relname LIKE '\_job\_attempt%'}), '0', 'no row was deleted');
$session->quit;

# Parts are nobody's but the owner's
is($node->sqlstate('app', 'SET ROLE reader; SELECT * FROM hotdash._job_history_0'), '42501', 'a reader has no right on a part');
sql('GRANT SELECT ON ALL TABLES IN SCHEMA hotdash TO reader');
is(sql('SET ROLE reader; SELECT count(*) FROM hotdash._job_history_0'), '0', 'and with it would see no row');
is(sql(q{SELECT count(*) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
	WHERE i.inhparent IN ('hotdash._job_history'::regclass, 'hotdash._job_attempt'::regclass) AND NOT relrowsecurity}), '0', 'of any part');
sql('REVOKE SELECT ON ALL TABLES IN SCHEMA hotdash FROM reader');

# Dump and restore
my $before = sql('SELECT string_agg(h::text, chr(10) ORDER BY id) FROM hotdash._job_history h');
my $dump = PostgreSQL::Test::Utils::tempdir() . '/app.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'app' ], 'pg_dump');
sql('CREATE DATABASE restored TEMPLATE template0', 'postgres');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'pg_restore without an error');
is(sql('SELECT string_agg(h::text, chr(10) ORDER BY id) FROM hotdash._job_history h', 'restored'), $before, 'the history is there');
is(sql($PARTS, 'restored'), sql($PARTS), 'in the same parts');
my $was = kept();
tick_in('40 days', 'restored');
is(kept('restored'), $was, 'a copy drops nothing while it is paused');
sql('SELECT hotdash.instance_adopt()', 'restored');
tick_in('40 days', 'restored');
tick_in('80 days', 'restored');
is(kept('restored'), '', 'restored into another month: everything has had its time');
sql(q{SELECT hotdash.job_enqueue('day') AS id \gset
	SELECT token FROM hotdash.job_claim(kinds => ARRAY['day']) \gset
	SELECT hotdash.job_complete(:id, :token)}, 'restored');
is(kept('restored'), 'day', 'and new jobs are filed');

# Going away
is($node->psql('app', 'DROP EXTENSION hotdash'), 0, 'DROP EXTENSION needs no CASCADE');
is(sql(q{SELECT count(*) FROM pg_class WHERE relname LIKE '\_job\_%'}), '0', 'and takes the parts along');
is($node->psql('app', 'CREATE EXTENSION hotdash'), 0, 'it can be created again');

# A kind's retention is changed: what is filed from then on is kept by the new one
sql(q{SELECT hotdash.job_kind_set('a'); SELECT hotdash.job_enqueue('a') AS id \gset
	SELECT hotdash.job_cancel(:id)});
tick_in('0');
sql(q{SELECT hotdash.job_kind_set('a', retention => '1 day')});
tick_in('0');
ended('a', 'hotdash.job_complete(:id, :token)');
is(sql(q{SELECT p.days FROM hotdash._job_history h JOIN hotdash._part p USING (part) WHERE family = 'jobs' AND state = 'completed'}), '1', 'a new retention holds at once');

# A transaction whose snapshot is older than the part files into the part of now, or its rows would go too early
my $waiting = sql(q{SELECT hotdash.job_enqueue('a')});
my $old = $node->session('app');
$old->query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class');
tick_in('4 hours');
$old->query("SELECT hotdash.job_cancel($waiting); COMMIT");
is(sql("SELECT part FROM hotdash._job_history WHERE id = $waiting"),
	sql(q{SELECT part FROM hotdash._part WHERE family = 'jobs' AND days = 1 AND closed_at IS NULL}), 'an old snapshot does not lead to a closed part');
$old->quit;

$node->append_conf('postgresql.conf', "hotdash.job_retention = '90d'");
$node->reload;
poll_until(sub { sql('SHOW hotdash.job_retention') eq '90d' }, 60, 'the setting');
tick_in('0');
is(sql(q{SELECT count(*) FROM hotdash._part WHERE family = 'jobs' AND days = 90 AND closed_at IS NULL}), '1', 'so does a new default');
tick_in('2 days');
is(sql(q{SELECT count(*) FROM hotdash._part WHERE family = 'jobs' AND days = 7 AND closed_at IS NULL}), '0', 'and the class that nobody asks for takes no more rows');

# A clock that was ahead for a while
tick_in('400 days');
tick_in('0');
is(sql('SELECT count(*) FROM hotdash._part WHERE greatest(opened_at, closed_at) > hotdash._now()'), '0', 'a clock that was ahead leaves no part for ever');

$node->stop;
done_testing();
