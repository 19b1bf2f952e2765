# The log of refusals: exact under a flood from eight sessions that overwrites rows all the time, with readers and
# terminated sessions in between; nothing written to disk; in read-only transactions, on a standby, after a crash; and
# what health says when limits cannot be asked.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;
use IPC::Run ();

# wal_level = minimal: nothing but what sessions write reaches the WAL
my $node = HotDash->cluster('main', conf => "wal_level = minimal\nmax_wal_senders = 0\nautovacuum = off\nhotdash.limit_violations = 64\nhotdash.limit_slots = 262144");
$node->create_db_with_extension('app');
my $once = "1, '20000 days'";
$node->safe_psql('app', "SELECT hotdash.limit_set(n, $once) FROM unnest('{flood,ended,quiet,spare}'::text[]) AS n");

sub value { return $node->safe_psql('app', $_[0]) }

# Arguments of pgbench: eight sessions run a script.
sub sessions
{
	my ($run, $sql) = @_;
	my $file = $node->basedir . "/$run.pgbench";

	open(my $handle, '>', $file) or die $!;
	print $handle $sql;
	close $handle;
	return ('-n', '-M', 'prepared', '-c', '8', '-j', '2', '-f', $file, $node->connstr('app'));
}

# A thousand calls in a statement: each of five keys and of one that costs two gets a fixed number, the rest go to many keys
sub script
{
	my ($name) = @_;

	return sessions($name, "SELECT count(hotdash.limit_allow('$name', CASE WHEN i <= 400 THEN 'hot' WHEN i <= 600 THEN 'warm' || i % 4 "
		  . "WHEN i <= 700 THEN 'dear' ELSE 'cold' || (random() * 20000)::int END, CASE WHEN i BETWEEN 601 AND 700 THEN 2 ELSE 1 END)) "
		  . "FROM generate_series(1, 1000) AS i;\n");
}

sub sums
{
	my ($name) = @_;

	return value(qq{SELECT concat_ws(' ', denied - logged - unlogged - overwritten, allowed + denied) FROM hotdash.limit_stats WHERE name = '$name'});
}

# 1,000,000 calls
my @args = script('flood');
my $pgbench = IPC::Run::start([ 'pgbench', '-t', '125', @args ], '>', \my $out, '2>', \my $err);
my $reads = 0;
while ($pgbench->pumpable)
{
	$pgbench->pump_nb;
	value('SELECT count(*) FROM hotdash.limit_violations, (SELECT count(*) FROM hotdash.limit_top_denied) AS t, (SELECT count(*) FROM hotdash.limit_stats) AS s');
	$reads++;
}
ok($pgbench->finish, "eight sessions made a million calls while somebody read $reads times") or diag $err;
is(sums('flood'), '0 1000000', 'every refusal is in a row, among the others or in a row that was overwritten');
# each key is allowed its first; 'dear', which never fits, none
is(value(q{SELECT d.units + (SELECT sum(s.forgotten_units + s.others_units) FROM hotdash._limit_denied_sums() AS s WHERE s.name = 'flood')
		- (SELECT denied FROM hotdash.limit_stats WHERE name = 'flood')
	FROM (SELECT sum(units) AS units FROM hotdash._limit_denied() WHERE name = 'flood') AS d}), '100000', 'and every unit that was asked for');
is(value(q{SELECT count(*) FROM hotdash.limit_top_denied AS t
	JOIN (VALUES ('hot', 399999), ('dear', 100000), ('warm0', 49999), ('warm1', 49999), ('warm2', 49999), ('warm3', 49999)) AS v (key, denied) USING (key)
	WHERE t.name = 'flood' AND v.denied BETWEEN t.at_least AND t.at_most}), '6', 'the keys that are refused most are told, within their bounds');
is(value(q{SELECT string_agg(key, ' ') FROM (SELECT key FROM hotdash.limit_top_denied WHERE name = 'flood' LIMIT 2) AS t}), 'hot dear', 'in their order');

# Rows that are overwritten: more limits than there are rows, each of which may begin sixteen a second
$node->safe_psql('app', "SELECT hotdash.limit_set('many' || n, $once) FROM generate_series(1, 100) AS n");
@args = sessions('many', "SELECT count(hotdash.limit_allow('many' || 1 + (i * 7 + :client_id) % 100, 'k' || i % 3, 1 + i % 2)) FROM generate_series(1, 1000) AS i;\n");
PostgreSQL::Test::Utils::system_or_bail('pgbench', '-t', '100', @args);
is(value(q{SELECT concat_ws(' ', sum(allowed), sum(denied), sum(denied - logged - unlogged - overwritten), count(*) FILTER (WHERE denied <> logged + unlogged + overwritten))
	FROM hotdash.limit_stats WHERE name LIKE 'many%'}), '300 799700 0 0', 'rows that are overwritten while others count in them lose nothing');
cmp_ok(value(q{SELECT sum(overwritten) FROM hotdash.limit_stats WHERE name LIKE 'many%'}), '>', 1000, 'and so they were');
is(value(q{SELECT count(*) FROM hotdash._limit_denied()}), '64', 'the log has as many rows as it is told to');

# Sessions end in the middle
@args = script('ended');
$pgbench = IPC::Run::start([ 'pgbench', '-T', '30', @args ], '>', \$out, '2>', \$err);
my $killed = 0;
foreach my $n (1 .. 8)
{
	$killed += poll_until(sub { value(q{SELECT count(pg_terminate_backend(pid)) FROM
		(SELECT pid FROM pg_stat_activity WHERE query LIKE '%limit_allow(''ended''%' AND state = 'active' AND pid <> pg_backend_pid() LIMIT 1) AS a}) }, 30, 'a session to end');
}
$pgbench->finish;
is($killed, 8, 'eight sessions were ended');
like(sums('ended'), qr/^0 /, 'and lost nothing either');

# Nothing is written
my $session = $node->background_psql('app');
my $flood = q{SELECT count(*) FILTER (WHERE NOT hotdash.limit_allow('quiet', CASE WHEN i % 2 = 0 THEN 'k' ELSE 'k' || i % 30000 END)) FROM generate_series(1, 100000) AS i};
$session->query_safe("$flood; SELECT pg_current_wal_insert_lsn(); CHECKPOINT");
my $before = $session->query_safe('SELECT pg_current_wal_insert_lsn()');
$session->query_safe('BEGIN READ ONLY');
is($session->query_safe($flood), '100000', '100,000 calls are refused in a read-only transaction');
$session->query_safe('ROLLBACK');
is($session->query_safe("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$before')"), '0', 'and write 0 bytes of WAL');
like($session->query_safe('SELECT pg_current_xact_id_if_assigned() IS NULL'), qr/^t$/, 'nor take a transaction id');

# Nor where every unit that is taken is written
$flood = q{SELECT count(*) FILTER (WHERE NOT hotdash.limit_allow('kept', 'k' || i % 10)) FROM generate_series(1, 100000) AS i};
$session->query_safe("SELECT hotdash.limit_set('kept', $once, durability => 'wal')");
$session->query_safe("$flood; SELECT pg_current_wal_insert_lsn()");
$before = $session->query_safe('SELECT pg_current_wal_insert_lsn()');
is($session->query_safe($flood), '100000', '100,000 calls on a limit of durability wal are refused');
is($session->query_safe("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$before')"), '0', 'and write 0 bytes, too');
$session->quit;
like(sums('quiet'), qr/^0 200000$/, 'which stay noted after the rollback');

# Another database, and another extension in this one
$node->create_db_with_extension('other');
is($node->safe_psql('other', 'SELECT count(*) FROM hotdash.limit_violations'), '0', 'another database sees none of it');
is($node->safe_psql('other', 'SELECT count(*) FROM hotdash.limit_top_denied'), '0', 'no keys');
$node->safe_psql('other', "SELECT hotdash.limit_set('flood', $once); SELECT hotdash.limit_allow('flood', 'hot') FROM generate_series(1, 5)");
is($node->safe_psql('other', "SELECT string_agg(key || denials, ' ') FROM hotdash.limit_violations"), 'hot4', 'and has its own');
$node->safe_psql('other', 'DROP EXTENSION hotdash; CREATE EXTENSION hotdash');
is($node->safe_psql('other', 'SELECT count(*) FROM hotdash.limit_violations'), '0', 'which go with the extension');

# A crash
$node->kill_backend('app');
poll_until(sub { $node->psql('app', 'SELECT 1') == 0 }, 60, 'the server to be back');
is(value('SELECT count(*) FROM hotdash._limit_denied()'), '0', 'a crash empties the log');
is(value('SELECT coalesce(sum(allowed + denied + logged + unlogged + overwritten), 0) FROM hotdash.limit_stats'), '0', 'and the counts');
$node->safe_psql('app', q{SELECT hotdash.limit_allow('flood', 'hot') FROM generate_series(1, 3)});
is(sums('flood'), '0 3', 'which go on from there');

# Where there is no room
is(value(q{SELECT hotdash.health() #>> '{checks,limits,status}'}), 'healthy', 'health has nothing to say');
$node->append_conf('postgresql.conf', "wal_level = replica\nmax_wal_senders = 4\nhotdash.limit_slots = 16\nhotdash.limit_on_failure = closed");
$node->restart;
$node->safe_psql('app', q{SELECT hotdash.limit_set('strict', 1, '1 day', durability => 'none', options => '{"strict": true}')});
is(value(q{SELECT count(*) FROM generate_series(1, 20) AS i WHERE hotdash.limit_allow('strict', 'k' || i)}), '16', 'where strict buckets leave no room, closed refuses');
is(value(q{SELECT string_agg(DISTINCT kind, ' ') || ' ' || sum(denials) FROM hotdash.limit_violations WHERE name = 'strict'}), 'no_room 4', 'the log says why');
is(value(q{SELECT concat_ws(' ', h ->> 'status', h ->> 'on_failure', h ->> 'failed', h ->> 'no_room') FROM (SELECT hotdash.health() #> '{checks,limits}' AS h) AS s}),
	'degraded closed 4 4', 'and so does health');
is(value(q{SELECT string_agg(DISTINCT kind, ' ') || ' ' || sum(at_least) FROM hotdash.limit_top_denied}), 'no_room 4', 'and the keys');
$node->safe_psql('postgres', q{ALTER SYSTEM SET hotdash.limit_on_failure = 'open'});
$node->reload;
poll_until(sub { value('SHOW hotdash.limit_on_failure') eq 'open' }, 60, 'the setting');
is(value(q{SELECT count(*) FROM generate_series(17, 20) AS i WHERE hotdash.limit_allow('strict', 'k' || i)}), '4', 'open allows');
is(value(q{SELECT sum(denials) FROM hotdash.limit_violations WHERE name = 'strict'}), '4', 'which is no refusal');
like(value(q{SELECT hotdash.health() #>> '{checks,limits,detail}'}), qr/answered as on_failure says, open, last at .*no_room/, 'but health tells it');

# The copy in a table
sub copied { return value(q{SELECT concat_ws(' ', count(*), sum(denials)) FROM hotdash._limit_violation}) }

sub shown { return value(q{SELECT concat_ws(' ', count(*), sum(denials)) FROM hotdash.limit_violations WHERE name = 'spare' AND key IS NOT NULL}) }

value('CALL hotdash._tick()');
is(copied(), '0', 'nobody asked for a copy');
$node->append_conf('postgresql.conf', "hotdash.limit_slots = 65536\nhotdash.limit_violation_retention = 2d");
$node->restart;
$node->safe_psql('app', q{SELECT hotdash.limit_allow('spare', 'k' || i % 3) FROM generate_series(0, 11) AS i;
	SELECT hotdash.limit_allow('spare', repeat('ä', 100)) FROM generate_series(1, 2)});
$node->safe_psql('app', q{SET hotdash.now_override = '2040-01-01'; SELECT hotdash.limit_allow('spare', 'moved') FROM generate_series(1, 2)});
value('CALL hotdash._tick()');
is(copied(), '4 10', 'the tick copies the log, but for sessions whose clock is stopped');
is(shown(), '5 11', 'each row is shown once');
$node->safe_psql('app', q{SELECT hotdash.limit_allow('spare', 'k1') FROM generate_series(1, 5)});
is(shown(), '5 16', 'with what it counts since');
value('CALL hotdash._tick()');
is(copied(), '4 15', 'which the next tick brings');
value('CALL hotdash._tick()');
is(copied(), '4 15', 'once');
$session = $node->background_psql('app');
$session->query_safe('BEGIN; SELECT hotdash._limit_violations_keep(1000)');
$node->psql_ok('app', q{SET lock_timeout = '1s'; SELECT hotdash._limit_violations_keep(1000)}, 'two ticks with nothing to add do not meet');
$session->query_safe('ROLLBACK');
$session->quit;
$node->restart;
is(copied(), '4 15', 'a restart leaves the copy');
is(shown(), '4 15', 'which is shown where memory has none');
is(value(q{SELECT key || ' ' || (key_hash = hashtextextended(repeat('ä', 100), 0)) || ' ' || role FROM hotdash.limit_violations WHERE key LIKE 'ä%'}),
	('ä' x 46) . ' true ' . value('SELECT current_user'), 'with all it has');
$node->safe_psql('app', q{CREATE ROLE watcher; SELECT hotdash.access_grant('watcher', 'operator')});
is(value(q{SET ROLE watcher; SELECT count(*) FROM hotdash.limit_violations}), '4', 'an operator sees it');
is(value(q{SET hotdash.tenant = 'acme'; SET ROLE watcher; SELECT count(*) FROM hotdash.limit_violations}), '0', 'unless bound to a tenant');
$node->set_clock(2 * 86400 - 60);
value('CALL hotdash._tick()');
is(copied(), '4 15', 'it stays for its time');
$node->set_clock(2 * 86400 + 60);
value('CALL hotdash._tick()');
is(copied(), '0', 'and no longer');
$node->safe_psql('app', q{SELECT hotdash.limit_allow('spare', 'k') FROM generate_series(1, 2)});
value('CALL hotdash._tick()');
is(copied(), '1 1', 'what is new is copied');
$node->append_conf('postgresql.conf', 'hotdash.limit_violation_retention = 0');
$node->reload;
poll_until(sub { value('SHOW hotdash.limit_violation_retention') eq '0' }, 60, 'the setting');
value('CALL hotdash._tick()');
is(copied(), '0', 'and goes when nobody wants it any more');

# A standby has a log of its own
$node->backup('base');
my $standby = HotDash->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
is($standby->safe_psql('app', q{SELECT count(*) FROM generate_series(1, 5) WHERE NOT hotdash.limit_allow('flood', 's')}), '4', 'a standby refuses');
is($standby->safe_psql('app', q{SELECT string_agg(key || denials, ' ') FROM hotdash.limit_violations}), 's4', 'and notes it');
is($standby->safe_psql('app', q{SELECT key || at_least FROM hotdash.limit_top_denied}), 's4', 'with its keys');
is($standby->safe_psql('app', q{SELECT hotdash.limit_explain('flood', 's') #>> '{denials,count}'}), '4', 'and explains it');
$standby->stop;

# Without preload
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is(value(q{SELECT concat_ws(' ', h ->> 'status', h ->> 'loaded', h ->> 'on_failure') FROM (SELECT hotdash.health() #> '{checks,limits}' AS h) AS s}),
	'degraded false open', 'without preload health says what limits answer');
is(value(q{SELECT count(*) FROM hotdash.limit_violations, hotdash.limit_top_denied}), '0', 'there is no log');
is(value(q{SELECT count(*) FILTER (WHERE allowed = 0) = count(*) FROM hotdash.limit_stats}), 't', 'and no counts');
like(value(q{SELECT hotdash.limit_explain('flood', 'k') ->> 'why'}), qr/shared_preload_libraries.*on_failure = open/, 'an explanation says so');
$node->stop;

done_testing();
