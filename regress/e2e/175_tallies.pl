# The numbers of view queues come from memory. Four sessions do everything that can be done to jobs, by the
# functions and by hand, with savepoints and rollbacks, while others read the view, the clock goes back and
# forth, backends are terminated and killed: whenever nobody is at work the numbers are those of the tables.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;

my $ROUNDS = $ENV{HOTDASH_ROUNDS} // 4;
my $STEPS = $ENV{HOTDASH_STEPS} // 250;

my $node = HotDash->cluster('main', conf => "hotdash.job_slots = 512\nhotdash.databases = 'none'");
$node->create_db_with_extension('app');

sub sql { return $node->sql_through('app', shift) }

sub counter { return sql("SELECT value FROM hotdash._counters() WHERE name = '$_[0]'") }

# Where the numbers are wrong, at one time for both; memory must know them.
sub problems
{
	sql('CALL hotdash._tick()');
	return sql(q{SET hotdash.now_override = '} . sql('SELECT clock_timestamp()') . q{';
		SELECT string_agg(queue || ': ' || problem, E'\n') FROM hotdash._queue_tally_check()});
}

$node->safe_psql('app', <<'SQL');
SELECT hotdash.queue_set(q) FROM unnest(ARRAY['a', 'b', 'c', 'other']) AS q;
SELECT hotdash.job_kind_set('plain', max_attempts => 3, backoff => '{"type":"fixed","base":"1s","jitter":"none"}');
SELECT hotdash.job_kind_set('keyed', max_attempts => 2, concurrency_per_key => 2);

CREATE PROCEDURE one_step() LANGUAGE plpgsql AS $$
DECLARE
	what CONSTANT int := floor(random() * 24);
	q CONSTANT text := (ARRAY['a', 'b', 'c'])[1 + floor(random() * 3)::int];
	-- most of them due while this runs
	later CONSTANT timestamptz := clock_timestamp() + random() * interval '40 s';
	far CONSTANT timestamptz := clock_timestamp() + interval '1 day' + random() * interval '1 day';
	victim bigint := (SELECT id FROM hotdash._job ORDER BY random() LIMIT 1);
	ids bigint[];
	tokens bigint[];
BEGIN
	IF victim IS NULL THEN
		PERFORM hotdash.job_enqueue('plain', queue => q);
		RETURN;
	END IF;
	CASE
		WHEN what < 3 THEN
			PERFORM hotdash.job_enqueue('plain', queue => q, priority => floor(random() * 2)::int);
		WHEN what = 3 THEN
			PERFORM hotdash.job_enqueue('plain', queue => q, run_at => later) FROM generate_series(1, 5);
		WHEN what = 4 THEN
			PERFORM hotdash.job_enqueue('plain', queue => q, run_at => far);
		WHEN what = 5 THEN
			PERFORM hotdash.job_enqueue_many('plain', ARRAY(SELECT to_jsonb(i) FROM generate_series(1, 20) AS i), queue => q,
				run_at => CASE WHEN random() < 0.5 THEN later END);
		WHEN what = 6 THEN
			PERFORM hotdash.job_enqueue('keyed', queue => q, order_key => 'k' || floor(random() * 5),
				run_at => CASE WHEN random() < 0.3 THEN later END);
		WHEN what = 7 THEN
			PERFORM hotdash.job_enqueue('plain', queue => q, run_at => later, unique_key => 'u' || floor(random() * 6),
				if_exists => (ARRAY['keep', 'replace', 'throttle'])[1 + floor(random() * 3)::int]);
		WHEN what = 8 THEN
			PERFORM hotdash.job_enqueue('plain', queue => q, needs_approval => true);
		WHEN what = 9 THEN
			PERFORM hotdash.job_enqueue('plain', queue => q, after => ARRAY[victim]);
		WHEN what = 10 THEN
			victim := (SELECT job_id FROM hotdash._job_approval WHERE decided_at IS NULL ORDER BY random() LIMIT 1);
			IF victim IS NULL THEN
				RETURN;
			ELSIF random() < 0.5 THEN
				PERFORM hotdash.job_approve(victim, 'tester');
			ELSE
				PERFORM hotdash.job_reject(victim, 'tester');
			END IF;
		WHEN what < 17 THEN
			SELECT array_agg(id), array_agg(token) INTO ids, tokens
				FROM hotdash.job_claim(ARRAY['a', 'b', 'c', 'other'], 1 + floor(random() * 10)::int, lease => CASE WHEN random() < 0.1 THEN '1 hour' ELSE '3 s' END::interval);
			IF ids IS NULL THEN
				RETURN;
			ELSIF what < 13 THEN
				PERFORM hotdash.job_complete_many(ids, tokens);
			ELSIF what = 13 THEN
				PERFORM hotdash.job_fail_many(ids, tokens, array_fill('no'::text, ARRAY[cardinality(ids)]),
					finals => array_fill(random() < 0.5, ARRAY[cardinality(ids)]));
			ELSIF what = 14 THEN
				PERFORM hotdash._job_snooze_many(ids, tokens, array_fill('5 s'::interval, ARRAY[cardinality(ids)]));
			ELSIF what = 15 THEN
				PERFORM hotdash._job_release_many(ids, tokens);
			END IF;
		WHEN what = 17 THEN
			PERFORM hotdash.job_cancel(victim);
		WHEN what = 18 THEN
			PERFORM hotdash.dead_retry(queue => 'a', up_to => 2);
		WHEN what = 19 THEN
			PERFORM hotdash._job_reschedule(ARRAY[victim], CASE WHEN random() < 0.5 THEN later ELSE 'infinity' END);
		WHEN what = 20 THEN
			-- by hand, those that nobody can be running
			DELETE FROM hotdash._job WHERE id IN (SELECT id FROM hotdash._job
				WHERE at BETWEEN clock_timestamp() + interval '12 hours' AND '9999-01-01' OR hold = 1 LIMIT 2 FOR UPDATE SKIP LOCKED);
		WHEN what = 21 THEN
			UPDATE hotdash._job SET at = at + interval '1 minute', queue = (ARRAY['a', 'b', 'other'])[1 + floor(random() * 3)::int]
				WHERE id IN (SELECT id FROM hotdash._job WHERE at BETWEEN clock_timestamp() + interval '12 hours' AND '9999-01-01'
					LIMIT 2 FOR UPDATE SKIP LOCKED);
		WHEN what = 22 THEN
			DELETE FROM hotdash._job_dead WHERE id IN (SELECT id FROM hotdash._job_dead ORDER BY random() LIMIT 1);
		ELSE
			PERFORM * FROM hotdash.queues;
	END CASE;
END $$;

CREATE PROCEDURE churn(n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. n LOOP
		BEGIN
			CALL one_step();
			BEGIN
				CALL one_step();
				IF random() < 0.2 THEN
					RAISE EXCEPTION 'back';
				END IF;
			EXCEPTION WHEN OTHERS THEN
				RAISE LOG 'churn: %', SQLERRM;
			END;
			IF random() < 0.1 THEN
				RAISE EXCEPTION 'back';
			END IF;
		EXCEPTION WHEN OTHERS THEN
			RAISE LOG 'churn: %', SQLERRM;
		END;
		IF random() < 0.15 THEN
			ROLLBACK;
		ELSIF random() < 0.6 THEN
			COMMIT;
		END IF;
	END LOOP;
END $$;
SQL

sub churn { return HotDash::Process->start($_[0], undef, 'psql', '-Xq', '-d', $node->connstr('app') . ' application_name=churn', '-c', "CALL churn($STEPS)") }

is(problems(), '', 'nothing is counted in an empty database');
my $counted = counter('jobs_counted');
my $moved = 0;
my $terminated = 0;

for my $round (1 .. $ROUNDS)
{
	my @sessions = map { churn("churn$_") } 1 .. 4;
	my $turn = 0;

	poll_until(
		sub {
			$turn++;
			eval { $node->set_clock(int(rand(30))) } if $turn % 4 == 0;
			# in the second half, memory forgets, and all rows are counted in the middle of it
			eval { $node->psql('app', 'SELECT hotdash._job_reload()') } if $round > $ROUNDS / 2 && $turn % 3 == 0;
			eval { $node->psql('app', 'CALL hotdash._tick(); SELECT * FROM hotdash.queues') };
			if ($round % 2 == 0 && $turn % 5 == 0)
			{
				$terminated++;
				eval { $node->psql('app', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'churn' ORDER BY random() LIMIT 1}) };
			}
			return !grep { $_->is_running } @sessions;
		},
		120, 'the sessions to end');
	$_->stop foreach @sessions;
	$node->set_clock(0);
	is(problems(), '', "round $round: the numbers are true");
	is(counter('jobs_counted'), $counted, 'and all rows were counted only once') if $round == int($ROUNDS / 2);
}
$moved = counter('jobs_cut_moved');
note "counted $counted, then " . counter('jobs_counted') . " times, cut moved $moved times, $terminated terminated; "
  . sql('SELECT string_agg(format(\'%s\', q), E\'\n\') FROM hotdash._queue_tally() AS q');
cmp_ok(counter('jobs_counted'), '>', $counted, 'then they were counted while others changed them');
cmp_ok($moved, '>', 0, 'and the cut was moved');
is(sql('SELECT min(n) > 0 FROM (SELECT unnest(ARRAY[sum(ready), sum(scheduled), sum(running), sum(dead), sum(held)]) AS n FROM hotdash._queue_tally()) AS t'), 't', 'there was something to count');

# A crash: what was known is gone, and found again
my @sessions = map { churn("crash$_") } 1 .. 3;
poll_until(sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'churn' AND state = 'active'}) > 0 }, 60, 'work to begin');
my $pid = sql(q{SELECT pid FROM pg_stat_activity WHERE application_name = 'churn' LIMIT 1});
$node->crash('app', sub { kill 'KILL', $pid });
$_->stop foreach @sessions;
is(problems(), '', 'after the crash of a backend');
is(counter('jobs_counted'), '1', 'counted anew');
$node->restart;
is(problems(), '', 'after a restart');

# Numbers of one queue, and whether they are from memory
sub numbers
{
	my ($queue, $database) = @_;

	return $node->safe_psql($database // 'app',
		"SELECT format('%s %s %s %s %s %s', ready, scheduled, running, dead, held, live) FROM hotdash._queue_tally() WHERE queue = '$queue'");
}

# What is prepared tells nobody when it commits: until then everybody counts
sql(q{SELECT hotdash.queue_set('p')});
sql(q{SELECT hotdash.job_enqueue('plain', queue => 'p')});
is(numbers('p'), '1 0 0 0 0 t', 'before PREPARE TRANSACTION');
sql(q{BEGIN; SELECT hotdash.job_enqueue('plain', queue => 'p') FROM generate_series(1, 3); PREPARE TRANSACTION 'one'});
is(numbers('p'), '1 0 0 0 0 f', 'what is prepared is not counted');
sql(q{BEGIN; INSERT INTO hotdash._job_dead SELECT 4503599627370495, now(), now(), 5, 1, 1, 'final', 'p', 'plain', ''; PREPARE TRANSACTION 'two'});
sql(q{COMMIT PREPARED 'one'});
is(numbers('p'), '4 0 0 0 0 f', 'the first is committed, the other not yet');
$node->restart;
sql('CALL hotdash._tick()');
is(numbers('p'), '4 0 0 0 0 f', 'nor after a restart');
sql(q{COMMIT PREPARED 'two'});
is(numbers('p'), '4 0 0 1 0 t', 'all are committed: memory knows them again');

# TRUNCATE, also rolled back
is(sql(q{BEGIN; TRUNCATE hotdash._job_dead; SELECT dead, live FROM hotdash._queue_tally() WHERE queue = 'p'; ROLLBACK}), '0|f', 'whoever truncates counts');
is(numbers('p'), '4 0 0 1 0 t', 'a rollback changes nothing');
$node->set_clock(7200);
sql('CALL hotdash._tick()');
$node->set_clock(0);
sql('TRUNCATE hotdash._job, hotdash._job_dead');
is(numbers('p'), '', 'TRUNCATE');
is(problems(), '', 'the numbers are true after it');

# Triggers that are switched off, as a restore of data alone does; COPY
sql(q{SET session_replication_role = replica; INSERT INTO hotdash._job (id, at, enqueued_at, fence, priority, attempt, max_attempts, shelf, queue, kind, tenant)
	SELECT i, now(), now(), 0, 5, 0, 3, false, 'p', 'plain', '' FROM generate_series(4503599627370000, 4503599627370009) AS i});
is(numbers('p'), '10 0 0 0 0 t', 'rows that came in as a replica');
sql(q{COPY (SELECT * FROM hotdash._job) TO '} . $node->data_dir . q{/jobs'; DELETE FROM hotdash._job});
is(numbers('p'), '', 'rows that were deleted by hand');
sql(q{COPY hotdash._job FROM '} . $node->data_dir . q{/jobs'});
is(numbers('p'), '10 0 0 0 0 t', 'rows that came in by COPY');
sql(q{ALTER TABLE hotdash._job DISABLE TRIGGER ALL; DELETE FROM hotdash._job; ALTER TABLE hotdash._job ENABLE TRIGGER ALL});
is(numbers('p'), '10 0 0 0 0 t', 'who switches triggers off is not noticed');
sql('SELECT hotdash._job_reload()');
is(numbers('p'), '', 'until _job_reload()');
is(problems(), '', 'which has everything counted');

# A session that is bound to a tenant learns of its own rows alone
sql(q{SELECT hotdash.job_enqueue('plain', queue => 'p', tenant => t) FROM unnest(ARRAY['x', 'x', 'y']) AS t});
is(numbers('p'), '3 0 0 0 0 t', 'jobs of two tenants');
is(sql(q{SET hotdash.tenant = 'x'; SELECT ready, live FROM hotdash._queue_tally() WHERE queue = 'p'}), '2|f', 'a tenant sees its own');

# Another database, and the extension once more
$node->create_db_with_extension('other');
$node->safe_psql('other', q{SELECT hotdash.queue_set('p'); SELECT hotdash.job_kind_set('plain'); SELECT hotdash.job_enqueue('plain', queue => 'p'); CALL hotdash._tick()});
is(numbers('p', 'other'), '1 0 0 0 0 t', 'another database has its own numbers');
is(numbers('p'), '3 0 0 0 0 t', 'and leaves the first alone');
$node->safe_psql('other', 'DROP EXTENSION hotdash; CREATE EXTENSION hotdash');
$node->safe_psql('other', q{SELECT hotdash.queue_set('p'); SELECT hotdash.job_kind_set('plain'); SELECT hotdash.job_enqueue('plain', queue => 'p') FROM generate_series(1, 2); CALL hotdash._tick()});
is(numbers('p', 'other'), '2 0 0 0 0 t', 'an extension that was created again begins anew');
is($node->safe_psql('other', q{BEGIN; SELECT hotdash.job_enqueue('plain', queue => 'p'); DROP EXTENSION hotdash; ROLLBACK; SELECT ready, live FROM hotdash._queue_tally() WHERE queue = 'p'}) =~ s/.*\n//sr, '2|t', 'DROP EXTENSION rolled back');
$node->safe_psql('other', q{BEGIN; SELECT hotdash.job_enqueue('plain', queue => 'p'); DROP EXTENSION hotdash; CREATE EXTENSION hotdash;
	SELECT hotdash.queue_set('p'); SELECT hotdash.job_kind_set('plain'); SELECT hotdash.job_enqueue('plain', queue => 'p'); COMMIT; CALL hotdash._tick()});
is(numbers('p', 'other'), '1 0 0 0 0 t', 'both in one transaction that has jobs');

# More queues than there is room for
$node->append_conf('postgresql.conf', 'hotdash.job_queues = 8');
$node->restart;
sql('CALL hotdash._tick()');
sql(q{SELECT hotdash.queue_set('q' || i), hotdash.job_enqueue('plain', queue => 'q' || i) FROM generate_series(1, 9) AS i});
is(numbers('q9'), '1 0 0 0 0 f', 'more queues than memory has room for are counted');
sql(q{DELETE FROM hotdash._job WHERE queue IN ('q1', 'q2', 'q3')});
is(numbers('q9'), '1 0 0 0 0 t', 'fewer are known again');
sql(q{SELECT hotdash.job_enqueue('plain', queue => 'q' || i) FROM generate_series(1, 3) AS i});
is(numbers('q3'), '1 0 0 0 0 f', 'and one too many is noticed');

done_testing();
