# Alerts under load and over failures: many sessions at the same alerts, in any order and isolation level, none of
# which waits or fails; each crossing told once, whatever is rolled back, killed or prepared. The background worker does
# what is left to it: ends of silences, the depth of queues. A copy does nothing.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = HotDash->cluster('main', conf => "deadlock_timeout = '100ms'\n");

sub sql
{
	my ($query, $database) = @_;

	return $node->safe_psql($database // 'app', $query);
}

# How often each change of a name was told, and how many alerts there were of it.
my $TOLD = q{
	SELECT m.name, count(*) FILTER (WHERE m.event_type LIKE '%raised') AS raised, count(*) FILTER (WHERE m.event_type LIKE '%cleared') AS cleared,
		(SELECT count(*) FROM hotdash.alerts a WHERE a.name = m.name) AS alerts,
		(SELECT count(*) FROM hotdash.alerts a WHERE a.name = m.name AND a.state = 'cleared') AS closed
	FROM (SELECT event_type, convert_from(body, 'UTF8')::jsonb ->> 'name' AS name FROM hotdash._message WHERE event_type LIKE 'hotdash.%') m
	GROUP BY m.name};

sub storm_script
{
	my ($name, $body) = @_;
	my $file = $node->basedir . "/$name.pgbench";

	append_to_file($file, $body);
	return $file;
}

sub quiet { return poll_until(sub { sql('SELECT count(*) FROM hotdash._alert_signal') eq '0' }, 60, 'the worker to apply what was left') }

$node->create_db_with_extension('app');
sql(q{CREATE ROLE worker LOGIN; SELECT hotdash.access_grant('worker', 'worker')});
$node->append_conf('postgresql.conf', "hotdash.worker_role = 'worker'");
$node->reload;
sql(q{SELECT hotdash.endpoint_create('http://127.0.0.1:1/', events => '{hotdash.*}')});

# A storm of raises, each transaction of three names in an order of its own, a third of them rolled back
my $raise = join '', map { "SELECT hotdash.alert_raise('storm' || (:first + $_) % 3, 'warning', 'm');\n" } 0 .. 2;
my $commit = storm_script('commit', "\\set first random(0, 2)\nBEGIN;\n${raise}COMMIT;\n");
my $rollback = storm_script('rollback', "\\set first random(0, 2)\nBEGIN;\n${raise}ROLLBACK;\n");
my $old = storm_script('old', "\\set first random(0, 2)\nBEGIN ISOLATION LEVEL REPEATABLE READ;\n${raise}COMMIT;\n");
my @pgbench = ('pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', '8', '-j', '2');
my ($out, $err) = run_command([ @pgbench, '-t', '150', '-f', $commit, '-f', $rollback, '-f', $old, 'app' ]);
like($out, qr{number of transactions actually processed: 1200/1200}, 'a storm: no raise fails') or diag($err);
quiet();
is(sql("SELECT string_agg(name || ' ' || state, ', ' ORDER BY name) FROM hotdash.alerts"), 'storm0 open, storm1 open, storm2 open', 'one alert of each name');
is(sql("SELECT string_agg(raised || ' ' || cleared, ', ') FROM ($TOLD) t"), '1 0, 1 0, 1 0', 'told once');
cmp_ok(sql('SELECT pg_stat_force_next_flush(); SELECT n_tup_ins + n_tup_upd FROM pg_stat_all_tables WHERE relid = \'hotdash._alert\'::regclass') =~ s/\s//gr,
	'<', 100, 'and 3600 raises wrote few row versions');

# Raised and cleared by all
my $both = storm_script('both', "\\set n random(0, 2)\n\\set clear random(0, 1)\n\\if :clear\nSELECT hotdash.alert_clear('storm' || :n);\n\\else\n"
	. "SELECT hotdash.alert_raise('storm' || :n, 'warning', 'm');\n\\endif\n");
($out, $err) = run_command([ @pgbench, '-t', '150', '-f', $both, 'app' ]);
like($out, qr{1200/1200}, 'raised and cleared by eight sessions') or diag($err);
quiet();
is(sql("SELECT count(*) FROM ($TOLD) t WHERE raised <> alerts OR cleared <> closed"), '0', 'each crossing and each end was told once');
cmp_ok(sql("SELECT sum(raised) FROM ($TOLD) t"), '>', 10, 'and there were some');

# Killed in the middle of it, with all who share its memory; then the server
foreach my $how ('backend', 'server')
{
	my $pgbench = IPC::Run::start([ @pgbench, '-T', '60', '-f', $both, '-f', $commit, '-f', $rollback, 'app' ], '>', \my $log, '2>', \my $errors);
	my $before = sql("SELECT sum(raised) FROM ($TOLD) t");
	poll_until(sub { sql("SELECT sum(raised) FROM ($TOLD) t") > $before + 5 }, 60, 'the storm');
	if ($how eq 'server')
	{
		$node->kill_postmaster;
	}
	else
	{
		kill 'KILL', sql(q{SELECT pid FROM pg_stat_activity WHERE datname = 'app' AND backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1});
	}
	$pgbench->finish;
	$node->sql_through('app', q{SELECT hotdash.alert_raise('storm' || g, 'warning', 'after') FROM generate_series(0, 2) g});
	quiet();
	is(sql("SELECT count(*) FROM ($TOLD) t WHERE raised <> alerts OR cleared <> closed"), '0', "a $how is killed: each crossing is told once all the same");
	is(sql(q{SELECT count(*) FROM hotdash.alerts WHERE name LIKE 'storm%' AND state = 'open'}), '3', 'and alerts go on being raised');
}

# A prepared transaction is at the alert
sql(q{BEGIN; SELECT hotdash.alert_raise('prepared', 'warning', 'm'); PREPARE TRANSACTION 'p'});
sql(q{SELECT hotdash.alert_raise('prepared', 'critical', 'other')});
is(sql(q{SELECT verb || ' ' || name FROM hotdash._alert_signal}), 'raise prepared', 'a raise beside a prepared one is left');
sql(q{ROLLBACK PREPARED 'p'});
quiet();
is(sql(q{SELECT severity || ' ' || message FROM hotdash.alerts WHERE name = 'prepared'}), 'critical other', 'and counts when that is rolled back');

# The application's own advisory locks are others, whatever their keys
my $keys = sql(q{BEGIN; SELECT hotdash.alert_raise('lock', 'info', 'm') \g /dev/null
	SELECT classid::int8::bit(32)::int || ',' || objid::int8::bit(32)::int FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()});
like($keys, qr/^-?\d+,-?\d+$/, 'a raise takes one advisory lock');
my $session = $node->session('app');
$session->query("SELECT pg_advisory_lock($keys)");
$session->query("SELECT pg_advisory_lock((l.classid::int8 << 32) | l.objid::int8) FROM pg_locks l WHERE locktype = 'advisory' AND pid = pg_backend_pid()");
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), '2', 'the application holds locks of the same keys');
is(sql(q{BEGIN; SELECT hotdash.alert_raise('lock', 'info', 'm') \g /dev/null
	SELECT count(*) FROM hotdash._alert_signal}), '0', 'which are in nobody\'s way');
$session->quit;

# The end of a silence
sql(q{SELECT hotdash.alert_silence('hush', hotdash._now() + interval '1 second', 'anna'); SELECT hotdash.alert_raise('hush', 'critical', 'm')});
poll_until(sub { sql("SELECT raised FROM ($TOLD) t WHERE name = 'hush'") eq '1' }, 60, 'the silence to end');
cmp_ok(sql(q{SELECT extract(epoch FROM m.created_at - a.raised_at) FROM hotdash.alerts a, hotdash._message m WHERE a.name = 'hush'
	AND convert_from(m.body, 'UTF8')::jsonb ->> 'name' = 'hush'}), '>', 0.9, 'the worker tells what a silence kept back, when it ends');

# The depth of a queue
sql(q{SELECT hotdash.queue_set('deep', alert_at => 50, escalate_at => 100); SELECT hotdash.job_kind_set('deep', queue => 'deep')});
sub depth { my ($wanted) = @_; return poll_until(sub { sql(q{SELECT coalesce(string_agg(state || ' ' || severity, ', ' ORDER BY id), 'none') FROM hotdash.alerts WHERE name = 'queue:deep'}) eq $wanted }, 60, "the alert to be $wanted") }
sql(q{SELECT hotdash.job_enqueue('deep') FROM generate_series(1, 60)});
ok(depth('open warning'), 'the worker sees that a queue is deep');
sql(q{SELECT hotdash.job_enqueue('deep') FROM generate_series(1, 60)});
ok(depth('open critical'), 'deeper');
sql(q{SELECT hotdash.job_complete(id, token) FROM hotdash.job_claim(ARRAY['deep'], 100)});
ok(depth('cleared critical'), 'and that it is not any more');
is(sql("SELECT raised || ' ' || cleared FROM ($TOLD) t WHERE name = 'queue:deep'"), '1 1', 'told once each');

# A database whose transactions are REPEATABLE READ by default: everything is left, and the worker applies it
$node->create_db_with_extension('strict');
sql(q{ALTER DATABASE strict SET default_transaction_isolation = 'repeatable read'}, 'postgres');
sql(q{SELECT hotdash.alert_raise('a', 'warning', 'm')}, 'strict');
poll_until(sub { sql(q{SELECT count(*) FROM hotdash.alerts WHERE name = 'a' AND state = 'open'}, 'strict') eq '1' }, 60, 'the worker of database strict');
sql(q{SELECT hotdash.alert_clear('a')}, 'strict');
ok(poll_until(sub { sql(q{SELECT count(*) FROM hotdash.alerts WHERE state = 'cleared'}, 'strict') eq '1' }, 60, 'the clear'), 'also where snapshots are old by default');

# A tick by a role of a tenant looks after all
sql(q{CREATE ROLE ticker LOGIN; SELECT hotdash.access_grant('ticker', 'worker', 'acme')}, 'app');
$node->append_conf('postgresql.conf', "hotdash.worker_role = ''");
$node->reload;
poll_until(sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'hotdash worker%'}) eq '0' }, 60, 'the workers to leave');
sql(q{INSERT INTO hotdash._alert_signal (id, at, quiet, tenant, name, verb, severity, message) VALUES (-1, hotdash._now(), false, 'other', 'x', 'raise', 2, 'm'),
	(-2, hotdash._now(), false, '', 'x', 'raise', 2, 'm')});
is($node->psql('app', 'CALL hotdash._tick()', extra_params => [ '-U', 'ticker' ]), 0, 'a tick by a role of a tenant');
is(sql(q{SELECT string_agg(tenant, ',' ORDER BY tenant) FROM hotdash.alerts WHERE name = 'x'}), ',other', 'is for all tenants');

# A copy does nothing until it is adopted, and then what the original would have done
sql(q{INSERT INTO hotdash._alert_signal (id, at, quiet, tenant, name, verb, severity, message) VALUES (-1, hotdash._now(), false, '', 'copied', 'raise', 2, 'm')});
my $dump = PostgreSQL::Test::Utils::tempdir() . '/app.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'app' ], 'pg_dump');
sql('CREATE DATABASE restored TEMPLATE template0', 'postgres');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'pg_restore without an error');
my $alerts = 'SELECT string_agg(a::text, chr(10) ORDER BY id) FROM hotdash._alert a';
is(sql($alerts, 'restored'), sql($alerts), 'with all alerts');
sql('CALL hotdash._tick()', 'restored');
is(sql('SELECT count(*) FROM hotdash._alert_signal', 'restored'), '1', 'a copy leaves alone what is left');
sql('SELECT hotdash.instance_adopt(); CALL hotdash._tick()', 'restored');
is(sql(q{SELECT state FROM hotdash.alerts WHERE name = 'copied'}, 'restored'), 'open', 'until it is the live one');

$node->stop;

# Without shared memory
my $plain = HotDash->cluster('plain', preload => 0);
$plain->create_db_with_extension('app');
is($plain->safe_psql('app', q{SELECT hotdash.endpoint_create('http://127.0.0.1:1/') \g /dev/null
	SELECT hotdash.alert_raise('a', 'warning', 'm'); SELECT hotdash.alert_clear('a'); SELECT hotdash.span_end(hotdash.span_start('a'))
	\g /dev/null
	SELECT (SELECT state FROM hotdash.alerts), (SELECT count(*) FROM hotdash.deliveries), (SELECT count(*) FROM hotdash.spans)}) =~ s/^\n+//r,
	'cleared|2|1', 'without preload alerts are raised, cleared and published, and spans kept');
$plain->stop;
done_testing();
