#!/usr/bin/perl
#
# Steps of SLA clocks: each once, as a row and as a job, whatever is killed and whichever way the clock is turned; after
# downtime in due order; with the worker at once. What is told is counted by the jobs that actions enqueue.
#
# HOTDASH_KILLS (12) says how often scanners are killed.

use strict;
use warnings FATAL => 'all';

use HotDash;
use IPC::Run ();
use List::Util qw(min);
use Test::More;

my $KILLS = $ENV{HOTDASH_KILLS} // 12;
my $SCANNERS = 8;
my $CLOCKS = 3000;
my $STEPS = 3;

# Without fsync the server's crashes are those of processes, which lose nothing that was committed.
my $node = HotDash->cluster('main', conf => "hotdash.worker_role = 'hd_worker'\nhotdash.databases = 'worked'\n");
$node->safe_psql('postgres', 'CREATE ROLE hd_worker LOGIN');

sub sql { return $node->sql_through('app', shift) }

# A warning, the breach and an escalation, each of which enqueues a job that says which step it was.
sub set_policies
{
	my ($database) = @_;

	return $node->safe_psql($database, <<'SQL');
SELECT hotdash.queue_set('told'), hotdash.job_kind_set('told', queue => 'told');
SELECT hotdash.calendar_set(c, jsonb_build_object('time_zone', zone, 'hours',
	(SELECT jsonb_object_agg(day, '[["00:00","24:00"]]'::jsonb) FROM unnest('{mon,tue,wed,thu,fri,sat,sun}'::text[]) AS day)))
	FROM (VALUES ('east', 'Asia/Tokyo'), ('west', 'America/Los_Angeles')) AS v (c, zone);
SELECT hotdash.sla_policy_set(policy, jsonb_strip_nulls(jsonb_build_object('calendar', calendar, 'metrics', jsonb_build_object('answer',
		jsonb_build_object('target', '10 minutes',
			'warnings', jsonb_build_array(jsonb_build_object('at', '5 minutes', 'actions', told)),
			'breach', jsonb_build_object('actions', told),
			'escalations', jsonb_build_array(jsonb_build_object('after', '10 minutes', 'actions', told)))))))
	FROM (VALUES ('wall', NULL), ('east', 'east'), ('west', 'west')) AS v (policy, calendar),
		(SELECT '[{"job":{"kind":"told"}}]'::jsonb AS told) AS t;
SELECT hotdash.sla_policy_set('quick', '{"metrics":{"answer":{"target":"1 second"}}}');
SELECT hotdash.sla_policy_set('broken', '{"metrics":{"answer":{"target":"1 second","breach":{"actions":[
	{"job":{"kind":"nobody_made_it"}},{"job":{"kind":"told"}}]}}}}');
SQL
}

# Clocks of all three policies, due within an hour from now, in no order of their ids.
sub start_clocks
{
	my ($database, $n, $prefix) = @_;

	return $node->safe_psql($database, qq{
		SELECT count(hotdash.sla_start((ARRAY['wall', 'east', 'west'])[i % 3 + 1], '$prefix' || i, 'answer',
			at => hotdash._now() + i * 7919 % 3600 * interval '1 second'))
		FROM generate_series(1, $n) AS i});
}

my $EVENTS = q{FROM hotdash._sla_event AS e JOIN hotdash._sla_clock AS c ON c.id = e.clock WHERE e.step IS NOT NULL};
my $JOBS = q{FROM hotdash._job AS j WHERE j.kind = 'told'};
my $TOLD = q{(j.payload #>> '{sla,clock}')::bigint, (j.payload #>> '{sla,step}')::int};

sub test_catching_up_in_due_order
{
	is(start_clocks('app', 60, 'late'), '60', '60 clocks of three calendars');
	is(sql('SELECT hotdash.sla_scan()'), '0', 'nothing is due yet');
	$node->stop;
	$node->pass_time(2 * 3600);

	# Small batches: what the next one fires must not have been due before what this one has.
	my $calls = 0;
	$calls++ while sql('SELECT hotdash.sla_scan(7)') eq '7';
	is($calls, int(60 * $STEPS / 7), 'after two hours of downtime all is found, batch by batch');
	is(sql("SELECT count(*), count(DISTINCT (e.clock, e.step)), count(DISTINCT c.lane) $EVENTS"),
		60 * $STEPS . '|' . 60 * $STEPS . '|3', 'each step once, in three lanes');
	is(sql("SELECT count(*) FROM (SELECT (e.at, e.clock) < lag((e.at, e.clock)) OVER (ORDER BY e.id) AS back $EVENTS) AS x WHERE back"),
		'0', 'in the order in which they were due, over all lanes, ties by clock');
	is(sql("SELECT count(*) FROM (SELECT (j.payload #>> '{sla,at}')::timestamptz < lag((j.payload #>> '{sla,at}')::timestamptz) OVER (ORDER BY j.id) AS back $JOBS) AS x WHERE back"),
		'0', 'and told in that order');
	is(sql(qq{SELECT count(*) $EVENTS AND NOT EXISTS (SELECT $JOBS AND ($TOLD) = (e.clock, e.step)
		AND j.id::text = e.detail #>> '{actions,0,id}' AND (j.payload #>> '{sla,at}')::timestamptz = e.at)}),
		'0', 'each row names the job that tells of it');
	is(sql(q{SELECT count(*) FROM hotdash._sla_clock WHERE breached_at = started_at + interval '10 minutes' AND due_at = breached_at AND next_b IS NULL}),
		'60', 'the breach is where it was due, not when it was found');
	return;
}

# Whatever moves the system's clock: a step that was fired is not fired again, one that was not is not lost.
sub test_clock_is_turned
{
	my $mine = "$EVENTS AND c.subject LIKE 'turned%'";

	is(start_clocks('app', 3, 'turned'), '3', 'three clocks');
	$node->pass_time(-3600);
	is(sql('SELECT hotdash.sla_scan()'), '0', 'an hour back: nothing is due');
	$node->pass_time(3600 + 7200);
	is(sql('SELECT hotdash.sla_scan()'), 3 * $STEPS, 'ahead: all is');
	foreach my $turn (-3600, -3600, 3600, 3600, 3600, -3600)
	{
		$node->pass_time($turn);
		is(sql('SELECT hotdash.sla_scan()'), '0', "$turn s: nothing again");
	}
	is(sql("SELECT count(*) $mine"), 3 * $STEPS, 'each step once');
	return;
}

sub start_scanners
{
	my ($script) = @_;

	return IPC::Run::start([ 'pgbench', '-n', '-c', $SCANNERS, '-j', '2', '-T', '600', '-f', $script, $node->connstr('app') . ' application_name=scanner' ],
		'>', \my $out, '2>', \my $errors);
}

# Eight scanners, which are killed together with the server they run in, while clocks are told something by others.
sub test_scanners_are_killed
{
	my $script = $node->basedir . '/scan.sql';
	my $fired = "SELECT count(*) $EVENTS AND c.subject LIKE 'storm%'";
	my $expected = $CLOCKS * $STEPS;
	my @victims = map { $_ % 6 == 5 ? 'postmaster' : 'backend' } 0 .. $KILLS - 1;
	my $kills = 0;

	# Whoever tells a clock something fires what was due before: the same steps by another way.
	PostgreSQL::Test::Utils::append_to_file($script, "\\set i random(1, $CLOCKS)\nSELECT hotdash.sla_scan(3);\n"
		  . "SELECT hotdash.sla_resume(id) FROM hotdash._sla_clock WHERE tenant = '' AND subject = 'storm' || :i;\n");
	start_clocks('app', $CLOCKS, 'storm');
	$node->pass_time(2 * 3600);
	while ($kills < @victims)
	{
		my $before = sql($fired);
		my $scanners = start_scanners($script);

		# In the midst of it, unless it is over.
		my $now;
		poll_until(sub { $now = sql($fired); $now >= min($before + 50, $expected) }, 60, 'steps to be fired');
		if ($now == $expected)
		{
			$scanners->kill_kill(grace => 0);
			last;
		}
		if ($victims[ $kills++ ] eq 'postmaster')
		{
			$node->kill_postmaster;
		}
		else
		{
			my $pid = sql(q{SELECT pid FROM pg_stat_activity WHERE application_name = 'scanner' ORDER BY state LIMIT 1});
			$node->crash('app', sub { kill 'KILL', $pid });
		}
		$scanners->kill_kill(grace => 0);
	}
	cmp_ok($kills, '>=', $KILLS / 2, "$kills kills amid scans");
	poll_until(sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'scanner'}) eq '0' }, 60, 'the last scanners to go');
	1 while sql('SELECT hotdash.sla_scan(10000)') > 0;
	is(sql("SELECT count(*), count(DISTINCT (e.clock, e.step)) $EVENTS AND c.subject LIKE 'storm%'"), "$expected|$expected", 'each step once, as a row');
	is(sql("SELECT count(*), count(DISTINCT ($TOLD)) $JOBS AND j.payload #>> '{sla,subject}' LIKE 'storm%'"), "$expected|$expected", 'and as a job');
	is(sql(q{SELECT count(*) FROM hotdash._sla_clock WHERE subject LIKE 'storm%' AND next_b IS NULL AND next_step = 3 AND breached_at IS NOT NULL}),
		$CLOCKS, 'and the clocks say so');
	return;
}

sub test_failing_actions
{
	my $broken = "$EVENTS AND c.subject = 'broken'";

	is(sql(q{SELECT hotdash.health() #>> '{checks,sla,status}'}), 'healthy', 'health(): steps are found');
	sql(q{SELECT hotdash.sla_start('broken', 'broken', 'answer', at => hotdash._now() - interval '1 minute'),
		hotdash.sla_start('quick', 'sound', 'answer', at => hotdash._now() - interval '1 minute')});
	sql('SELECT hotdash.sla_scan()');
	is(sql("SELECT e.step, e.detail #>> '{actions,0,sqlstate}', e.detail #>> '{actions,0,message}', e.detail #>> '{actions,1,action}', e.detail #>> '{actions,1,id}' IS NOT NULL $broken"),
		'0|42704|job kind "nobody_made_it" does not exist|job|t', 'an action that fails is recorded, and undoes neither the row nor the next');
	is(sql("SELECT count(*) $EVENTS AND c.subject = 'sound'"), '1', 'nor anything of another clock');
	is(sql(q{SELECT (h ->> 'status', h ->> 'failed_actions') FROM (SELECT hotdash.health() #> '{checks,sla}' AS h) AS x}), '(degraded,1)', 'health() counts it');
	$node->pass_time(3601);
	is(sql(q{SELECT hotdash.health() #>> '{checks,sla,status}'}), 'healthy', 'for an hour');
	return;
}

sub test_nobody_scans
{
	is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'scanner'}), '0', 'no scanner is left');
	sql(q{SELECT hotdash.sla_start('quick', 'forgotten', 'answer')});
	$node->pass_time(180);
	like(sql(q{SELECT h ->> 'status', h ->> 'late_seconds' FROM (SELECT hotdash.health() #> '{checks,sla}' AS h) AS x}), qr/^degraded\|1[78]\d$/,
		'health(): a step that nobody looks for');
	sql('CALL hotdash._tick()');
	is(sql("SELECT count(*) $EVENTS AND c.subject = 'forgotten'"), '1', 'the tick finds it');
	is(sql(q{SELECT hotdash.health() #>> '{checks,sla,status}'}), 'healthy', 'and all is well');

	# More than a batch, which commits in between; and in a transaction, where it cannot.
	my $many = q{SELECT count(hotdash.sla_start('quick', 'many' || i, 'answer', at => hotdash._now() - interval '1 minute')) FROM generate_series(1, 2500) AS i};
	sql($many);
	sql('CALL hotdash._sla_scan_tick()');
	is(sql("SELECT count(*), count(DISTINCT e.xmin::text) > 2 $EVENTS AND c.subject LIKE 'many%'"), '2500|t', 'and so does the procedure for pg_cron, in batches');
	sql("BEGIN; $many; ROLLBACK");
	sql('BEGIN; CALL hotdash._sla_scan_tick(); COMMIT');
	pass('also in a transaction');
	return;
}

sub test_copy_does_nothing
{
	sql(q{SELECT hotdash.sla_start('wall', 'copied', 'answer')});
	$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE app');
	$node->pass_time(2 * 3600);
	is($node->safe_psql('copy', 'SELECT hotdash.sla_scan()'), '0', 'a copy fires nothing');
	$node->safe_psql('copy', 'CALL hotdash._tick(); CALL hotdash._sla_scan_tick()');
	is($node->safe_psql('copy', "SELECT count(*) $EVENTS AND c.subject = 'copied'"), '0', 'by no way');
	is(sql('SELECT hotdash.sla_scan()'), $STEPS, 'the original does');
	$node->safe_psql('copy', 'SELECT hotdash.instance_adopt()');
	is($node->safe_psql('copy', 'SELECT hotdash.sla_scan()'), $STEPS, 'and the copy, once it is adopted');
	return;
}

# The worker sleeps to the instant, and a clock that is due sooner wakes it. The bounds leave room for a busy machine:
# what it takes on a quiet one the benchmark tells.
sub test_worker
{
	my $late = q{SELECT round(1000 * extract(epoch FROM percentile_disc(f) WITHIN GROUP (ORDER BY e.recorded_at - e.at)))
		FROM hotdash._sla_event AS e JOIN hotdash._sla_clock AS c ON c.id = e.clock, unnest('{0.5,1}'::float8[]) AS f WHERE e.step = 0 AND c.subject LIKE '%s%%' GROUP BY f ORDER BY f};
	my $count = q{SELECT count(*) FROM hotdash._sla_event AS e JOIN hotdash._sla_clock AS c ON c.id = e.clock WHERE e.step = 0 AND c.subject LIKE '%s%%'};

	$node->create_db_with_extension('worked');
	set_policies('worked');
	poll_until(sub { $node->safe_psql('worked', q{SELECT (hotdash._worker_status()).worker_pid IS NOT NULL}) eq 't' }, 60, 'the worker');

	# Due from half a second to three from now, by the start and thus before anything else could wake it.
	$node->safe_psql('worked', q{SELECT count(hotdash.sla_start('quick', 'spread' || i, 'answer', at => hotdash._now() + i * interval '25 ms' - interval '500 ms'))
		FROM generate_series(1, 100) AS i});
	poll_until(sub { $node->safe_psql('worked', sprintf $count, 'spread') eq '100' }, 60, 'the breaches');
	my ($median, $worst) = split /\n/, $node->safe_psql('worked', sprintf $late, 'spread');
	cmp_ok($median, '<=', 50, "found $median ms after the instant, in the median");
	cmp_ok($worst, '<=', 1000, "and $worst ms at worst");

	# While it sleeps, another session starts one that is due in the middle of its sleep.
	foreach my $i (1 .. 10)
	{
		$node->safe_psql('worked', "SELECT hotdash.sla_start('quick', 'woken$i', 'answer', at => hotdash._now() - interval '700 ms')");
		poll_until(sub { $node->safe_psql('worked', sprintf $count, "woken$i") ne '0' }, 60, 'the breach');
	}
	($median, $worst) = split /\n/, $node->safe_psql('worked', sprintf $late, 'woken');
	cmp_ok($median, '<=', 100, "a clock wakes the worker that is due before it would look: $median ms in the median");
	return;
}

$node->create_db_with_extension('app');
set_policies('app');
test_catching_up_in_due_order();
test_clock_is_turned();
test_scanners_are_killed();
test_failing_actions();
test_nobody_scans();
test_copy_does_nothing();
test_worker();
$node->stop;

done_testing();
