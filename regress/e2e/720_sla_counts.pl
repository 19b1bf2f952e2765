# Counts of SLA clocks. Sessions do everything to clocks that can be done, by the functions and by hand, with savepoints and
# rollbacks; backends are terminated and killed, deltas are folded by three at once, old clocks are deleted: in every
# snapshot that anybody takes meanwhile, the counts are those of the clocks. And after a restore, and in a report.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;

my $ROUNDS = $ENV{HOTDASH_ROUNDS} // 3;
my $STEPS = $ENV{HOTDASH_STEPS} // 400;

my $node = HotDash->cluster('main', conf => "hotdash.databases = 'none'");
$node->create_db_with_extension('app');

sub sql { return $node->sql_through('app', shift) }

$node->safe_psql('app', <<'SQL');
SELECT hotdash.calendar_set('ny', '{"time_zone": "America/New_York", "hours": {"mon": [["00:00", "24:00"]], "tue": [["00:00", "24:00"]],
	"wed": [["00:00", "24:00"]], "thu": [["00:00", "24:00"]], "fri": [["00:00", "24:00"]], "sat": [["00:00", "24:00"]], "sun": [["00:00", "24:00"]]}}');
SELECT hotdash.sla_policy_set(p, jsonb_build_object('calendar', c, 'metrics', jsonb_build_object(
		'first_response', '{"target": "30 seconds", "targets": {"urgent": "10 seconds"}, "warnings": [{"at": "50%"}], "reopen": "continue"}'::jsonb,
		'resolution', '{"target": "1 minute", "reopen": "restart"}'::jsonb)))
	FROM (VALUES ('ny', 'ny'), ('wall', NULL)) AS v (p, c);
SELECT hotdash.job_kind_set('any'), hotdash.job_enqueue('any');	-- the installation is in use

CREATE PROCEDURE one_step() LANGUAGE plpgsql AS $$
DECLARE
	what CONSTANT int := floor(random() * 16);
	subject CONSTANT text := 's' || floor(random() * 200);
	-- some of the past, so that they are late when they come
	at CONSTANT timestamptz := hotdash._now() - CASE WHEN random() < 0.3 THEN random() * interval '50 minutes' ELSE '0' END;
	victim CONSTANT bigint := (SELECT id FROM hotdash._sla_clock OFFSET floor(random() * 300) LIMIT 1);
BEGIN
	CASE
		WHEN what < 5 OR victim IS NULL THEN
			PERFORM hotdash.sla_start((ARRAY['ny', 'wall'])[1 + floor(random() * 2)::int], subject, (ARRAY['first_response', 'resolution'])[1 + floor(random() * 2)::int],
				(ARRAY['urgent', 'low'])[1 + floor(random() * 2)::int], at => at, tenant => 't' || floor(random() * 3));
		WHEN what < 7 THEN
			PERFORM hotdash.sla_meet(victim, at);
		WHEN what = 7 THEN
			PERFORM hotdash.sla_pause(victim, at);
		WHEN what = 8 THEN
			PERFORM hotdash.sla_resume(victim, at);
		WHEN what = 9 THEN
			PERFORM hotdash.sla_cancel(victim);
		WHEN what = 10 THEN
			PERFORM hotdash.sla_retarget(victim, CASE WHEN random() < 0.5 THEN 'wall' END, (ARRAY['urgent', 'low'])[1 + floor(random() * 2)::int]);
		WHEN what < 13 THEN
			PERFORM hotdash.sla_scan(1 + floor(random() * 20)::int);
		WHEN what = 13 THEN
			DELETE FROM hotdash._sla_clock WHERE id = victim;
		WHEN what = 14 THEN
			UPDATE hotdash._sla_clock SET priority = 'hand', started_at = at WHERE id IN (SELECT id FROM hotdash._sla_clock LIMIT 5 FOR UPDATE SKIP LOCKED);
		ELSE
			-- long ago: the tick deletes it
			UPDATE hotdash._sla_clock SET closed_at = closed_at - interval '500 days', started_at = started_at - interval '500 days'
				WHERE id IN (SELECT id FROM hotdash._sla_clock WHERE state = 'met' LIMIT 2 FOR UPDATE SKIP LOCKED);
	END CASE;
END $$;

CREATE PROCEDURE churn(n int) LANGUAGE plpgsql AS $$
DECLARE
	failed int := 0;
BEGIN
	FOR i IN 1 .. n LOOP
		BEGIN
			CALL one_step();
			BEGIN
				CALL one_step();
				IF random() < 0.3 THEN
					RAISE EXCEPTION 'back';
				END IF;
			EXCEPTION WHEN OTHERS THEN
				failed := failed + (SQLERRM <> 'back')::int;
			END;
			IF random() < 0.1 THEN
				RAISE EXCEPTION 'back';
			END IF;
		EXCEPTION WHEN OTHERS THEN
			failed := failed + (SQLERRM <> 'back')::int;
		END;
		IF random() < 0.2 THEN
			ROLLBACK;
		ELSIF random() < 0.6 THEN
			COMMIT;
		END IF;
	END LOOP;
	RAISE LOG 'churn: % of % refused', failed, 2 * n;
END $$;

CREATE PROCEDURE fold() LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		PERFORM hotdash._sla_counts_tick();
		IF random() < 0.1 THEN
			ROLLBACK;
		ELSE
			COMMIT;
		END IF;
		EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'churn');
	END LOOP;
END $$;

-- Every statement is a snapshot; and one that lasts, while all is folded under it.
CREATE TABLE audit (wrong text);
CREATE PROCEDURE look() LANGUAGE plpgsql AS $$
DECLARE
	looks int := 0;
	wrong text;
BEGIN
	LOOP
		wrong := (SELECT string_agg(format('%s', a), E'\n') FROM hotdash._sla_counts_audit() AS a);
		looks := looks + 1;
		IF wrong IS NOT NULL THEN
			INSERT INTO audit VALUES (wrong);
		END IF;
		COMMIT;
		EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'churn');
	END LOOP;
	INSERT INTO audit VALUES ('looked ' || looks);
END $$;
SQL

sub run { return HotDash::Process->start($_[0], undef, 'psql', '-Xq', '-d', $node->connstr('app') . " application_name=$_[1]", '-c', $_[2]) }

sub wrong { return sql(q{SELECT string_agg(format('%s', a), E'\n') FROM hotdash._sla_counts_audit() AS a}) }

sub settle { sql('DO $$ BEGIN WHILE hotdash._sla_counts_tick() LOOP NULL; END LOOP; END $$'); return sql('SELECT count(*) FROM hotdash._sla_delta') }

is(wrong(), '', 'nothing is counted in an empty database');
my $terminated = 0;

for my $round (1 .. $ROUNDS)
{
	my @sessions = map { run("churn$_", 'churn', "CALL churn($STEPS)") } 1 .. 3;
	poll_until(sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'churn'}) > 0 }, 60, 'work to begin');
	my @others = ((map { run("fold$_", 'fold', 'CALL fold()') } 1 .. 3), (map { run("look$_", 'look', 'CALL look()') } 1 .. 2));
	my $snapshot = $node->session('app');
	$snapshot->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
	my $seen = $snapshot->query_safe('SELECT sum(started) FROM hotdash.sla_summary');
	my $turn = 0;

	poll_until(
		sub {
			$turn++;
			if ($round > 1 && $turn % 3 == 0)
			{
				$terminated++;
				eval { $node->psql('app', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name IN ('churn', 'fold') ORDER BY random() LIMIT 1}) };
			}
			return !grep { $_->is_running } @sessions;
		},
		180, 'the sessions to end');
	is($snapshot->query_safe('SELECT count(*) FROM hotdash._sla_counts_audit()'), '0', "round $round: an old snapshot finds what it should");
	is($snapshot->query_safe('SELECT sum(started) FROM hotdash.sla_summary'), $seen, 'the same as when it was young');
	$snapshot->quit;
	poll_until(sub { !grep { $_->is_running } @others }, 60, 'the others to end');
	is(wrong(), '', "round $round: the counts are those of the clocks");
	is(sql(q{SELECT string_agg(wrong, E'\n') FROM audit WHERE wrong NOT LIKE 'looked %'}), '', 'and were whenever somebody looked');
	note sql('SELECT string_agg(wrong, \', \') FROM audit') . ", $terminated terminated so far";
}
cmp_ok(sql(q{SELECT sum(substr(wrong, 8)::int) FROM audit}), '>', 5, 'which was often');
my ($met, $breached, $paused, $gone) = split /\|/, sql(q{SELECT sum(met) > 0, sum(breached) > 0, sum(canceled_late) > 0, bool_or(gone) FROM hotdash._sla_tally});
is("$met $breached $paused $gone", 't t t t', 'there was everything to count, some of it gone');
is(settle(), 0, 'all is folded in the end');
is(wrong(), '', 'which changes nothing');

# A crash in the middle: of work that would go on for much longer
my $long = 50 * $STEPS;
my @sessions = map { run("crash$_", 'churn', "CALL churn($long)") } 1 .. 3;
poll_until(sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'churn' AND state = 'active'}) > 1 }, 60, 'work to begin');
my $folder = run('foldcrash', 'fold', 'CALL fold()');
my $pid = sql(q{SELECT pid FROM pg_stat_activity WHERE application_name = 'churn' AND state = 'active' LIMIT 1});
$node->crash('app', sub { kill 'KILL', $pid });
$_->stop foreach @sessions, $folder;
is(wrong(), '', 'after the crash of a backend');

# The tick folds, too, as cron calls it
sql(q{SELECT hotdash.sla_start('wall', 'tick', 'first_response')});
sql('CALL hotdash._tick()');
is(sql('SELECT count(*) FROM hotdash._sla_delta'), 0, 'the tick folds');

# A report of what happened, before and after a restore
my $report = q{SELECT hotdash.sla_report('2020-01-01', '2200-01-01') - 'to'};
my $summary = q{SELECT string_agg(s::text, E'\n' ORDER BY policy, metric, tenant, priority) FROM hotdash.sla_summary AS s};
sql(q{UPDATE hotdash._sla_clock SET priority = 'delta' WHERE id = (SELECT max(id) FROM hotdash._sla_clock)});
my ($told, $summed) = (sql($report), sql($summary));
my $dump = $node->basedir . '/app.dump';
$node->command_ok(['pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('app')], 'dumped');
$node->safe_psql('postgres', q{CREATE DATABASE copy TEMPLATE template0 ENCODING 'UTF8'});
$node->command_ok(['pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), $dump], 'restored');
is($node->safe_psql('copy', 'SELECT count(*) FROM hotdash._sla_counts_audit()'), '0', 'in a restored copy the counts are those of the clocks');
is($node->safe_psql('copy', $summary), $summed, 'so is the summary');
is($node->safe_psql('copy', $report), $told, 'and what retention had deleted is still in reports');

# What is prepared counts when it commits
sql(q{BEGIN; SELECT hotdash.sla_start('wall', 'prepared', 'first_response'); PREPARE TRANSACTION 'one'});
is(sql($summary), $summed, 'a prepared transaction is not seen');
settle();
sql(q{COMMIT PREPARED 'one'});
isnt(sql($summary), $summed, 'until it commits');
is(wrong(), '', 'and then is counted');

$node->stop;
done_testing();
