# Order keys, caps and flows under stress: eight workers that fail, roll back, lose their leases, change
# limits and are terminated, a backend and the postmaster killed in between, and a ready set a hundred times the list in
# memory. Nothing is lost, nothing ends twice, never do more run at once than may, and the order of strict
# keys holds.
#
# A worker draws a number from a sequence after its claim and another before the end of it commits; so two
# jobs that were held at once have overlapping numbers, and none that were held one after the other.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;

my $JOBS = $ENV{HOTDASH_JOBS} // 25600;
my $WORKERS = 8;

my $node = HotDash->cluster('main', conf => "hotdash.job_slots = 256\nhotdash.databases = 'none'");
$node->create_db_with_extension('app');
$node->safe_psql('app', <<'SQL');
SELECT hotdash.job_kind_set(k, max_attempts => 1000, backoff => '{"type":"fixed","base":"0s","jitter":"none"}') FROM unnest(ARRAY['strict', 'plain']) AS k;
SELECT hotdash.job_kind_set('keyed', max_attempts => 1000, concurrency_per_key => 3, backoff => '{"type":"fixed","base":"10 ms","jitter":"none"}');
SELECT hotdash.job_kind_set('capped', max_attempts => 1000, concurrency => 2, backoff => '{"type":"fixed","base":"0s","jitter":"none"}');
SELECT hotdash.queue_set('narrow', concurrency => 2);
CREATE SEQUENCE tick;
INSERT INTO hotdash._job_flow (hash, flow, concurrency)
	SELECT hotdash._job_flow_hash(f), f, 2 FROM unnest(ARRAY['f0', 'f1', 'f2', 'f3']) AS f;
CREATE TABLE wanted (id bigint, kind text, queue text, key text, flow text);
CREATE TABLE held (id bigint, token bigint PRIMARY KEY, began bigint, ended bigint, outcome text);

CREATE PROCEDURE fill(n int) LANGUAGE plpgsql AS $$
DECLARE
	k text;
	q text;
	key text;
	flow text;
	r float8;
BEGIN
	FOR i IN 1 .. n LOOP
		r := random();
		k := CASE WHEN r < 0.3 THEN 'strict' WHEN r < 0.7 THEN 'keyed' WHEN r < 0.75 THEN 'capped' ELSE 'plain' END;
		q := CASE WHEN k = 'plain' AND random() < 0.2 THEN 'narrow' ELSE 'default' END;
		-- Zipf over 300 keys: the first takes about a sixth of all
		key := CASE WHEN k IN ('strict', 'keyed') THEN 'key' || floor(exp(random() * ln(300)))::int END;
		flow := CASE WHEN k = 'plain' AND q = 'default' AND random() < 0.5 THEN 'f' || floor(random() * 4) END;
		INSERT INTO wanted SELECT hotdash.job_enqueue(k, queue => q, priority => floor(random() * 3)::int, order_key => key,
			run_at => CASE WHEN random() < 0.1 THEN clock_timestamp() + random() * interval '5 s' END,
			options => CASE WHEN flow IS NOT NULL THEN jsonb_build_object('flow', flow) END), k, q, key, flow;
		IF random() < 0.05 THEN COMMIT; ELSIF random() < 0.01 THEN ROLLBACK; END IF;
	END LOOP;
END $$;

CREATE PROCEDURE work() LANGUAGE plpgsql AS $$
DECLARE
	mine bigint[];
	h held;
	r float8;
BEGIN
	LOOP
		WITH c AS MATERIALIZED (SELECT id, token FROM hotdash.job_claim(batch => 1 + floor(random() * 8)::int, lease => '2 s')),
			i AS (INSERT INTO held SELECT c.id, c.token, nextval('tick') FROM c RETURNING token)
		SELECT array_agg(token) INTO mine FROM i;
		IF mine IS NULL THEN
			COMMIT;
			EXIT WHEN NOT EXISTS (SELECT FROM hotdash._job);
			PERFORM pg_sleep(0.005);	-- busy: nothing to claim at the moment
			CONTINUE;
		END IF;
		IF random() < 0.02 THEN
			-- Before or after its own claims, kept or undone: the limits change, the concurrency stays what it is.
			UPDATE hotdash._job_flow AS f
				SET held_until = CASE WHEN random() < 0.5 THEN clock_timestamp() + interval '20 ms' END,
					rate = r.rate, rate_period_us = CASE WHEN r.rate IS NOT NULL THEN 100000 END
				FROM (SELECT CASE WHEN random() < 0.5 THEN 20 END AS rate) AS r
				WHERE f.flow = 'f' || floor(random() * 4);
		END IF;
		IF random() < 0.05 THEN
			ROLLBACK;
			CONTINUE;
		END IF;
		COMMIT;
		FOREACH h.token IN ARRAY mine LOOP
			SELECT * INTO h FROM held WHERE token = h.token;
			r := random();
			IF r < 0.03 THEN
				PERFORM hotdash.job_complete(h.id, h.token);
				ROLLBACK;
			END IF;
			h.ended := nextval('tick');
			IF r < 0.1 THEN
				h.outcome := hotdash.job_fail(h.id, h.token, 'no');
			ELSIF r < 0.12 THEN
				h.outcome := CASE WHEN hotdash.job_snooze(h.id, h.token, '10 ms') THEN 'snoozed' ELSE 'lost' END;
			ELSE
				h.outcome := CASE WHEN hotdash.job_complete(h.id, h.token) THEN 'completed' ELSE 'lost' END;
			END IF;
			UPDATE held SET ended = h.ended, outcome = h.outcome WHERE token = h.token;
			COMMIT;
		END LOOP;
	END LOOP;
END $$;
SQL

# Jobs that nobody has claimed yet are in the table by far, not in memory; more come while it is worked on.
$node->safe_psql('app', 'CALL fill(' . int($JOBS * 0.8) . ')');

sub start { return HotDash::Process->start("worker$_[0]", undef, 'psql', '-Xq', '-d', $node->connstr('app') . ' application_name=stress', '-c', 'CALL work()') }

my @workers = map { start($_) } 1 .. $WORKERS;
my $filler = HotDash::Process->start('filler', undef, 'psql', '-Xq', '-d', $node->connstr('app'), '-c', 'CALL fill(' . int($JOBS * 0.2) . ')');
my $rounds = 0;
my $killed = 0;

# Leases that ran out are ended; several times a second somebody is terminated; whoever is not running any more is started again.
poll_until(
	sub {
		my ($status, $left) = eval { $node->psql('app', 'CALL hotdash._tick(); SELECT count(*) FROM hotdash._job') };
		return 0 unless defined $status && $status == 0;
		return 1 if $left eq '0' && !$filler->is_running;
		$rounds++;
		eval { $node->psql('app', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'stress' ORDER BY random() LIMIT 1}) } if $rounds % 3 == 0;
		if ($rounds == 12)
		{
			my ($ok, $pid) = $node->psql('app', q{SELECT pid FROM pg_stat_activity WHERE application_name = 'stress' LIMIT 1});
			$killed += kill 'KILL', $pid if $pid;
		}
		if ($rounds == 25)
		{
			$node->kill_postmaster;
			$killed++;
		}
		foreach my $i (0 .. $#workers)
		{
			$workers[$i] = start($i + 1) unless $workers[$i]->is_running;
		}
		select(undef, undef, undef, 0.08);
		return 0;
	},
	300, 'all jobs to end');
$_->stop foreach @workers;
$_->is_running && $_->stop foreach $filler;
note "$rounds rounds, $killed killed; " . $node->safe_psql('app', q{SELECT string_agg(coalesce(outcome, 'interrupted') || ' ' || n, ', ') FROM (SELECT outcome, count(*) AS n FROM held GROUP BY 1) AS o});

is($node->safe_psql('app', 'SELECT count(*) FROM wanted WHERE id NOT IN (SELECT id FROM hotdash._job_history)'), '0', 'nothing is lost');
is($node->safe_psql('app', q{SELECT count(*) - count(DISTINCT id) FROM held WHERE outcome = 'completed'}), '0', 'nothing ended twice');
is($node->safe_psql('app', q{SELECT count(*) FROM hotdash._job_history WHERE id NOT IN (SELECT id FROM wanted)}), '0', 'nothing was rolled back and ran');

# How many of a group were held at once, at most; what was lost or interrupted had no end of its own.
sub at_once
{
	my ($group, $where) = @_;

	return $node->safe_psql('app', qq{
		SELECT coalesce(max(n), 0) FROM (
			SELECT sum(step) OVER (PARTITION BY g ORDER BY at) AS n FROM (
				SELECT $group AS g, began AS at, 1 AS step FROM held JOIN wanted USING (id) WHERE outcome <> 'lost' AND $where
				UNION ALL
				SELECT $group, ended, -1 FROM held JOIN wanted USING (id) WHERE outcome <> 'lost' AND $where) AS steps) AS sums});
}
is(at_once('key', "kind = 'strict'"), '1', 'one of a strict key at once');
is(at_once('key', "kind = 'keyed'"), '3', 'up to three of a key whose kind says so');
is(at_once('kind', "kind = 'capped'"), '2', 'two of a capped kind');
is(at_once('queue', "queue = 'narrow'"), '2', 'two of a capped queue');
is(at_once('flow', 'flow IS NOT NULL'), '2', 'two of a flow');
is($node->safe_psql('app', q{
	SELECT count(*) FROM (SELECT id, lag(id) OVER (PARTITION BY key ORDER BY ended) AS before
		FROM held JOIN wanted USING (id) WHERE outcome = 'completed' AND kind = 'strict') AS o WHERE id < before}), '0', 'strict keys ended in order');
poll_until(sub { $node->safe_psql('app', q{CALL hotdash._tick()}); $node->safe_psql('app', 'SELECT count(*) FROM hotdash.job_claim()'); $node->safe_psql('app', q{SELECT count(*) FROM hotdash._job_memory() WHERE used > 0 OR running <> 0}) eq '0' }, 30, 'memory to be empty');
pass('nothing is left in memory');

done_testing();
