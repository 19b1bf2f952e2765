# Escalation rules under load and over failures: many sessions at the same subjects, some rolled back, some killed; each
# time that a rule turns true its actions are performed once. The depth of a queue and of open clocks is seen by the worker
# and by CALL _tick(). A step that the scan fires reaches the clocks that another transaction is at. Rules, presets and
# dictionaries come back from a dump.

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

sub script
{
	my ($name, $body) = @_;
	my $file = $node->basedir . "/$name.pgbench";

	append_to_file($file, $body);
	return $file;
}

sub quiet { return poll_until(sub { sql('SELECT count(*) FROM hotdash._escalation_left') eq '0' }, 60, 'the worker to apply what was left') }

# Escalations whose action is not there exactly once
my $WRONG = q{
	SELECT count(*) FROM hotdash.escalations AS e
	WHERE (SELECT count(*) FROM hotdash._job AS j WHERE j.id = (e.outcome #>> '{0,id}')::bigint AND j.payload #>> '{sla,subject}' = e.subject) <> 1};
my $COUNTS = q{SELECT (SELECT count(*) FROM hotdash.escalations) = (SELECT count(*) FROM hotdash._job WHERE kind = 'act')};

$node->create_db_with_extension('app');
sql(q{CREATE ROLE worker LOGIN; SELECT hotdash.access_grant('worker', 'worker')});
$node->append_conf('postgresql.conf', "hotdash.worker_role = 'worker'");
$node->reload;
sql(q{SELECT hotdash.queue_set('act'); SELECT hotdash.job_kind_set('act', queue => 'act');
	SELECT hotdash.escalation_rule_set('hot', '{"var": "attributes.hot"}', '{"job": {"kind": "act"}}')});

# A storm of events at five subjects, in all orders, a part of it rolled back, or with an old snapshot
my $events = join '', map { "\\set s$_ random(1, 5)\n\\set hot$_ random(0, 1)\nSELECT hotdash.sla_event('s' || :s$_, 'note', attributes => jsonb_build_object('hot', :hot$_ = 1));\n" } 1 .. 3;
my $sets = join '', $events =~ /^\\set.*\n/mg;
my $calls = $events =~ s/^\\set.*\n//mgr;
my @storm = map { ('-f', $_) } (script('commit', "${sets}BEGIN;\n${calls}COMMIT;\n"), script('rollback', "${sets}BEGIN;\n${calls}ROLLBACK;\n"),
	script('old', "${sets}BEGIN ISOLATION LEVEL REPEATABLE READ;\n${calls}COMMIT;\n"), script('single', $events));
my @pgbench = ('pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', '8', '-j', '2', @storm);
my ($out, $err) = run_command([ @pgbench, '-t', '60', 'app' ]);
like($out, qr{number of transactions actually processed: 480/480}, 'a storm: no event fails') or diag($err);
quiet();
is(sql($WRONG), '0', 'the action of each escalation was performed once');
is(sql($COUNTS), 't', 'and no other');
cmp_ok(sql('SELECT count(*) FROM hotdash.escalations'), '>', 20, 'there were many');
is(sql('SELECT count(*) FROM hotdash._escalation_failure'), '0', 'nothing failed');
sql(q{SELECT hotdash.sla_event('s' || g, 'note', attributes => '{"hot": true}') FROM generate_series(1, 5) g});
is(sql(q{SELECT count(*) FROM hotdash.escalations WHERE state = 'raised'}), '5', 'and what is true in the end is raised');

# Killed in the middle of it, with all who share its memory; then the server
foreach my $how ('backend', 'server')
{
	my $pgbench = IPC::Run::start([ @pgbench, '-T', '60', 'app' ], '>', \my $log, '2>', \my $errors);
	my $before = sql('SELECT count(*) FROM hotdash.escalations');

	poll_until(sub { sql('SELECT count(*) FROM hotdash.escalations') > $before + 10 }, 60, 'the storm');
	if ($how eq 'server')
	{
		$node->kill_postmaster;
	}
	else
	{
		kill 'KILL', sql(q{SELECT pid FROM pg_stat_activity WHERE datname = 'app' AND backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1});
	}
	$pgbench->finish;
	$node->sql_through('app', q{SELECT hotdash.sla_event('s' || g, 'note', attributes => '{"hot": true}') FROM generate_series(1, 5) g});
	quiet();
	is(sql($WRONG), '0', "a $how is killed: actions were performed once all the same");
	is(sql($COUNTS), 't', 'and no other');
	is(sql(q{SELECT count(*) FROM hotdash.escalations WHERE state = 'raised'}), '5', 'and what is true is raised');
}

# A step reaches the other clocks of its subject, also those that a transaction is at: when that has ended
sql(q{SELECT hotdash.sla_policy_set('two', '{"metrics": {
		"first_response": {"target": "1 second", "targets": {"urgent": "1 second"}},
		"resolution": {"target": "1 day", "targets": {"urgent": "1 hour"}}}}');
	SELECT hotdash.escalation_rule_set('late', '{"var": "breached"}', '[{"retarget": {"priority": "urgent"}}, {"job": {"kind": "act"}}]');
	SELECT hotdash.sla_start('two', 'late', 'resolution')});
my $session = $node->session('app');
$session->query(q{BEGIN; SELECT hotdash.sla_pause(id) FROM hotdash.sla_clocks WHERE subject = 'late' AND metric = 'resolution'});
sql(q{SELECT hotdash.sla_start('two', 'late', 'first_response')});
poll_until(sub { sql(q{SELECT count(*) FROM hotdash._escalation_left WHERE rule = 'late'}) eq '1' }, 60, 'the breach to be found');
is(sql(q{SELECT count(*) FROM hotdash.escalations WHERE rule = 'late'}), '0', 'a breach does not wait for a clock that somebody is at');
$session->query('COMMIT');
$session->quit;
poll_until(sub { sql(q{SELECT priority FROM hotdash.sla_clocks WHERE subject = 'late' AND metric = 'resolution'}) eq 'urgent' }, 60, 'the clock to be retargeted');
quiet();
is(sql(q{SELECT state || ' ' || (outcome -> 0 ->> 'action') FROM hotdash.escalations WHERE rule = 'late'}), 'raised retarget', 'it is done when that has ended');
is(sql($WRONG =~ s/\{0,id\}/{1,id}/r =~ s/WHERE \(/WHERE e.rule = 'late' AND (/r), '0', 'with all its actions, once');

# The depth of a queue, as the worker sees it
my $DEPTH = q{SELECT coalesce(string_agg(a.state || ' ' || a.severity, ', ' ORDER BY a.id), 'none') FROM hotdash.alerts AS a WHERE a.name = 'sla:%s'};
sub depth { my ($rule, $wanted) = @_; return poll_until(sub { sql(sprintf $DEPTH, $rule) eq $wanted }, 60, "alert sla:$rule to be $wanted") }
sql(q{SELECT hotdash.queue_set('deep'), hotdash.queue_set('help'); SELECT hotdash.job_kind_set('deep', queue => 'deep'), hotdash.job_kind_set('help', queue => 'help');
	SELECT hotdash.escalation_rule_set('deep', '{"depth": {"queue": "deep"}}', '{"job": {"kind": "help"}}')});
sql(q{SELECT hotdash.job_enqueue('deep') FROM generate_series(1, 60)});
ok(depth('deep', 'open warning'), 'the worker sees that a queue is deep');
is(sql(q{SELECT count(*) FROM hotdash._job WHERE kind = 'help'}), '0', 'which is no escalation yet');
sql(q{SELECT hotdash.job_enqueue('deep') FROM generate_series(1, 60)});
ok(depth('deep', 'open critical'), 'deeper');
poll_until(sub { sql(q{SELECT count(*) FROM hotdash._job WHERE kind = 'help'}) eq '1' }, 60, 'the action');
sql(q{SELECT hotdash.job_complete(id, token) FROM hotdash.job_claim(ARRAY['deep'], 100)});
ok(depth('deep', 'cleared critical'), 'and that it is not any more');
is(sql(q{SELECT count(*) FROM hotdash._job WHERE kind = 'help'}), '1', 'its action was performed once');

# Open clocks, as CALL _tick() sees them; each session looks every ten seconds, a new one at once
$node->append_conf('postgresql.conf', "hotdash.worker_role = ''");
$node->reload;
poll_until(sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'hotdash worker%'}) eq '0' }, 60, 'the workers to leave');
sql(q{SELECT hotdash.escalation_rule_set('waiting', '{"depth": {"policy": "two", "tenant": "acme", "alert_at": 10}}', '{"job": {"kind": "help"}}');
	SELECT hotdash.sla_start('two', 'w' || g, 'resolution', tenant => 'acme') FROM generate_series(1, 12) g});
sql('CALL hotdash._tick()');
is(sql(sprintf $DEPTH, 'waiting'), 'open warning', 'a tick sees how many clocks are open');
sql(q{SELECT hotdash.sla_start('two', 'x' || g, 'resolution', tenant => 'acme') FROM generate_series(1, 12) g});
sql('CALL hotdash._tick()') for 1 .. 3;
is(sql(sprintf $DEPTH, 'waiting'), 'open critical', 'and that there are more');
is(sql(q{SELECT string_agg(tenant, ',' ORDER BY id) FROM hotdash._job WHERE kind = 'help'}), ',acme', 'the action is the tenant\'s, and performed once');

# Who may what
sql(q{CREATE ROLE anna LOGIN; CREATE ROLE otto LOGIN; CREATE ROLE vera LOGIN;
	SELECT hotdash.access_grant('anna', 'producer'), hotdash.access_grant('otto', 'operator'), hotdash.access_grant('vera', 'viewer', 'acme')});
sub as { my ($role, $query) = @_; return $node->psql('app', $query, extra_params => [ '-U', $role ]) }
is(as('anna', q{SELECT hotdash.escalation_language('unacceptable')}), 0, 'a producer asks how a message sounds');
isnt(as('anna', q{SELECT hotdash.escalation_rule_enable('vip')}), 0, 'and sets no rule');
is(as('otto', q{SELECT hotdash.escalation_rule_enable('vip'); SELECT hotdash.escalation_phrase_set('en', 'meh', 0.5)}), 0, 'an operator does');
isnt(as('otto', q{SELECT hotdash.escalation_rule_delete('hot')}), 0, 'and deletes none');
is(as('vera', q{SELECT count(*) FROM hotdash.escalations, hotdash.escalation_rules, hotdash.escalation_phrases}), 0, 'a viewer sees');
is($node->safe_psql('app', q{SELECT string_agg(DISTINCT tenant, ',') FROM hotdash.escalations}, extra_params => [ '-U', 'vera' ]), 'acme', 'what is its tenant\'s');

# A dump brings back what was set, and what is raised
my $dump = PostgreSQL::Test::Utils::tempdir() . '/app.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'app' ], 'pg_dump');
sql('CREATE DATABASE restored TEMPLATE template0', 'postgres');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'pg_restore without an error');
foreach my $of ('name || enabled || preset || condition || action FROM hotdash.escalation_rules', 'e::text FROM hotdash.escalations AS e',
	'p::text FROM hotdash.escalation_phrases AS p WHERE changed_at IS NOT NULL')
{
	is(sql("SELECT $of ORDER BY 1", 'restored'), sql("SELECT $of ORDER BY 1"), 'the same: ' . $of =~ s/.*hotdash\.(\w+).*/$1/r);
}
sql('SELECT hotdash.instance_adopt()', 'restored');
sql(q{SELECT hotdash.sla_event('s1', 'note', attributes => '{"hot": true}')}, 'restored');
is(sql(q{SELECT count(*) FROM hotdash.escalations WHERE rule = 'hot' AND subject = 's1' AND state = 'raised'}, 'restored'), '1', 'and what is raised is not raised again');
$node->stop;

# Without shared memory
my $plain = HotDash->cluster('plain', preload => 0);
$plain->create_db_with_extension('app');
is($plain->safe_psql('app', q{SELECT hotdash.job_kind_set('act') \g /dev/null
	SELECT hotdash.escalation_rule_set('hot', '{"var": "attributes.hot"}', '{"job": {"kind": "act"}}') \g /dev/null
	SELECT hotdash.escalation_rule_enable('pending') \g /dev/null
	SELECT hotdash.sla_event('s', 'note', attributes => '{"hot": true}') \g /dev/null
	SELECT hotdash._escalation_depths() \g /dev/null
	SELECT (SELECT state FROM hotdash.escalations), (SELECT count(*) FROM hotdash._job), (SELECT count(*) FROM hotdash._escalation_failure)}) =~ s/^\n+//r,
	'raised|1|0', 'without preload rules do what they do');
$plain->stop;
done_testing();
