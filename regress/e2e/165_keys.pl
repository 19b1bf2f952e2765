# Order keys and caps through crashes, hand edits, a moved clock and memory that is far too small: a key is
# blocked as long as its lease and no longer, whoever floods a queue delays nobody else, and when all is
# done nothing is left in memory.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;
use Time::HiRes qw(time);

my $node = HotDash->cluster('main', conf => "hotdash.job_slots = 1024\nhotdash.job_queues = 8\nhotdash.databases = 'none'");
$node->create_db_with_extension('app');
$node->safe_psql('app', q{
	SELECT hotdash.job_kind_set('k', max_attempts => 1000, backoff => '{"type":"fixed","base":"0s","jitter":"none"}');
	SELECT hotdash.job_kind_set('one', concurrency => 1);
	SELECT hotdash.queue_set('q' || i) FROM generate_series(1, 12) AS i;
	CREATE TABLE run (n serial, id bigint, tenant text, order_key text)});

sub sql { return $node->sql_through('app', shift) }

sub claim { return [ split /\|/, sql('SELECT id, token, lease_expires FROM hotdash.job_claim(lease => ' . "'" . ($_[0] // '1 hour') . "')") ] }
sub complete { my ($job) = @_; return sql("SELECT hotdash.job_complete($job->[0], $job->[1])") }
sub enqueue { return sql("SELECT hotdash.job_enqueue('k', order_key => '$_[0]')") }

# Claim and complete until nothing comes; what was claimed goes to table run, in order.
sub drain
{
	my ($batch, $limit) = @_;
	$limit //= 1000000;

	$node->safe_psql('app', "DO \$\$
	DECLARE c record; n int; total int := 0; BEGIN
		LOOP
			n := 0;
			FOR c IN SELECT * FROM hotdash.job_claim(batch => $batch) LOOP
				INSERT INTO run (id, tenant, order_key) VALUES (c.id, c.tenant, c.order_key);
				PERFORM hotdash.job_complete(c.id, c.token);
				n := n + 1;
			END LOOP;
			COMMIT;
			total := total + n;
			EXIT WHEN n = 0 OR total >= $limit;
		END LOOP;
	END \$\$");
}

sub forget { $node->safe_psql('app', 'TRUNCATE run RESTART IDENTITY') }

my $leftovers = q{SELECT coalesce(string_agg(part || ' ' || used || ' ' || running, ', '), 'none') FROM hotdash._job_memory() WHERE used > 0 OR running <> 0};

# Claims look once more, so that lines whose last rows ended are noticed.
sub is_empty
{
	my ($what) = @_;

	drain(10);
	is($node->safe_psql('app', $leftovers), 'none', "$what: nothing is left in memory");
	forget();
}

# A leased key stays blocked through crashes, until its end under the old token
my @ids = map { enqueue('a') } 1 .. 3;
my $first = claim();
is($first->[0], $ids[0], 'the first of a key');
$node->kill_backend('app');
is_deeply(claim(), [], 'a killed backend does not free the key');
$node->kill_postmaster;
is_deeply(claim(), [], 'nor does a killed postmaster');
is(complete($first), 't', 'the old token ends the claim');
my $second = claim('1 second');
is($second->[0], $ids[1], 'and the next of the key goes on');

# A lease that runs out frees the key then and not before; the job that was lost comes first
$node->kill_postmaster;
my $again = poll_until(sub { sql('CALL hotdash._tick()'); my $job = claim(); @$job ? $job : undef }, 60, 'the lease to end');
is($again->[0], $ids[1], 'the lost job itself is the next of its key');
is(sql("SELECT started_at >= '$second->[2]' FROM hotdash.jobs WHERE id = $again->[0]"), 't', 'and not before its lease had ended');
is(complete($second), 'f', 'whose token is stale');
is(complete($again), 't', 'the new one is not');
is(complete(claim()), 't', 'the last of the key');
is_empty('crashes');

# A claim bound to a session ends with it: without a worker, whoever claims next frees it
foreach my $how ('quits', 'is terminated')
{
	my @pair = map { enqueue('bound') } 1 .. 2;
	my $owner = $node->session('app');
	my $watcher = $node->session('app');
	my ($pid) = $owner->query('SELECT pg_backend_pid()');
	is($owner->query(q{SELECT id FROM hotdash.job_claim(lease => '1 hour', session_bound => true)}), $pair[0], 'claimed for the session');
	is($watcher->query('SELECT count(*) FROM hotdash.job_claim()'), '0', 'its key is blocked');
	my $began = time;
	$how eq 'quits' ? $owner->quit : $watcher->query("SELECT pg_terminate_backend($pid, 10000)");
	my $job = poll_until(sub { [ split /\|/, $watcher->query('SELECT id, token FROM hotdash.job_claim()') ]->[0] ? 1 : undef }, 20, 'the claim to be freed');
	my $taken = time - $began;
	note sprintf('freed within %.0f ms', $taken * 1000);
	cmp_ok($taken, '<', 2, "when the session $how the job is free");
	is($node->safe_psql('app', "SELECT string_agg(id || ' ' || attempt, ',') FROM hotdash.jobs WHERE state = 'running'"), "$pair[0] 2", 'and is charged, and keeps its place');
	$node->safe_psql('app', 'DELETE FROM hotdash._job');
	$node->safe_psql('app', q{SET hotdash.now_override = '2100-01-01'; CALL hotdash._tick()});
	$watcher->quit;
}
is_empty('bound claims');

# Rows behind a gate are deleted by hand
my $head = sql(q{SELECT hotdash.job_enqueue('k', order_key => 'a', run_at => 'infinity')});
enqueue('a') for 1 .. 3;
is_deeply(claim(), [], 'a head that is not due holds up its key');
sql("DELETE FROM hotdash._job WHERE id = $head");
is(complete(claim()), 't', 'deleted by hand it does not');
my $running = claim();
sql("DELETE FROM hotdash._job WHERE id = $running->[0]");
is(complete($running), 'f', 'a running one that is deleted cannot be completed');
is(complete(claim()), 't', 'and its key goes on');
sql(q{SELECT hotdash.job_enqueue('k', order_key => 'a', run_at => 'infinity')});
enqueue('a');
is_deeply(claim(), [], 'another head that is not due');
sql('TRUNCATE hotdash._job');
my $fresh = enqueue('a');
is(claim()->[0], $fresh, 'after TRUNCATE the key starts anew');
sql('DELETE FROM hotdash._job');
sql(q{SET hotdash.now_override = '2100-01-01'; CALL hotdash._tick()});
is_empty('hand edits');

# Scheduled jobs of keys come due; the clock is set back an hour with leases live
my @later = map { sql("SELECT hotdash.job_enqueue('k', order_key => 's$_', run_at => hotdash._now() + interval '10 minutes')") } 1 .. 3;
my @behind = map { enqueue("s$_") } 1 .. 3;
is_deeply(claim(), [], 'scheduled heads hold up their keys');
$node->set_clock(660);
my $due = claim();
is($due->[0], $later[0], 'until they are due');
$node->set_clock(-2940);
is(sql("SELECT state FROM hotdash.job_renew(ARRAY[$due->[0]], ARRAY[$due->[1]], '1 hour')"), 'renewed', 'an hour earlier its lease is live');
is(complete($due), 't', 'and it is completed');
is(claim()->[0], $behind[0], 'the next of its key is due, as it was enqueued for at once');
is(sql('SELECT count(*) FROM hotdash.job_claim(batch => 10)'), '0', 'the other keys wait for their heads once more');
my $now = enqueue('now');
is(claim()->[0], $now, 'a job that is enqueued now is due now');
$node->set_clock(660);
is(sql('SELECT array_agg(id ORDER BY id) FROM hotdash.job_claim(batch => 10)'), "{$later[1],$later[2]}", 'and come due again');
sql('DELETE FROM hotdash._job');
sql(q{SET hotdash.now_override = '2100-01-01'; CALL hotdash._tick()});
$node->set_clock(0);
is_empty('the clock');

# Fairness: a flood of one tenant, in memory for a hundredth of it; then memory is lost
my $flood = q{SELECT count(*) FROM unnest(hotdash.job_enqueue_many('k', array_fill(NULL::jsonb, ARRAY[100000]), tenant => 'flood'))};
my $singles = q{SELECT count(hotdash.job_enqueue('k', tenant => 'small' || i)) FROM generate_series(1, 20) AS i};
is(sql($flood), '100000', 'a tenant floods the queue');
drain(1, 5);
forget();
sql($singles);
drain(1, 42);
is(sql(q{SELECT count(*) FROM run WHERE tenant <> 'flood'}), '20', 'single jobs of twenty others are served within two turns');
forget();
sql($singles);
$node->kill_postmaster;
drain(1, 42);
is(sql(q{SELECT count(*) FROM run WHERE tenant <> 'flood'}), '20', 'also after memory was lost');
sql('TRUNCATE hotdash._job');
is_empty('a flood');

# More floods than memory has room for: everybody has a turn
sql(q{SELECT count(hotdash.job_enqueue('k', tenant => 'flood' || t)) FROM generate_series(1, 200) AS t, generate_series(1, 60)});
drain(1, 600);
is(sql('SELECT count(DISTINCT tenant) FROM run'), '200', 'two hundred tenants that flood all have a turn');
drain(100);
is(sql('SELECT count(*), count(DISTINCT id) FROM run'), '12000|12000', 'and each job ran, once');
is_empty('floods');

# What waits behind blocked keys costs the others nothing: a claim reads as few blocks as before
sub blocks_of_claim
{
	return sql(q{
		SELECT hotdash.job_enqueue('k', queue => 'q1');
		CREATE TEMP TABLE plan (j json);
		DO $$ DECLARE p json; BEGIN
			FOR i IN 1 .. 3 LOOP
				EXECUTE $q$EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT * FROM hotdash.job_claim(ARRAY['q1', 'default'])$q$ INTO p;
			END LOOP;
			INSERT INTO plan VALUES (p);
		END $$;
		SELECT (j -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::int + (j -> 0 -> 'Plan' ->> 'Shared Read Blocks')::int FROM plan}) =~ /(\d+)\s*$/ ? $1 : die;
}
my $before = blocks_of_claim();
sql(q{SELECT count(*) FROM unnest(hotdash.job_enqueue_many('k', array_fill(NULL::jsonb, ARRAY[100000]), order_keys => array_fill('x'::text, ARRAY[100000])))});
my $holder = claim();
cmp_ok(blocks_of_claim(), '<=', $before + 2, '100,000 jobs behind one running job');
sql("SELECT hotdash.job_fail($holder->[0], $holder->[1], 'no', retry_in => '1 hour')");
cmp_ok(blocks_of_claim(), '<=', $before + 2, '100,000 jobs behind one that waits for its retry');
sql(q{SELECT count(*) FROM unnest(hotdash.job_enqueue_many('k', array_fill(NULL::jsonb, ARRAY[20000]), run_at => 'infinity', order_keys => (SELECT array_agg('y' || i) FROM generate_series(1, 20000) AS i)))});
sql(q{SELECT count(*) FROM unnest(hotdash.job_enqueue_many('k', array_fill(NULL::jsonb, ARRAY[20000]), order_keys => (SELECT array_agg('y' || i) FROM generate_series(1, 20000) AS i)))});
poll_until(sub { blocks_of_claim() <= $before + 2 }, 30, 'the blocked keys to be known as such');
pass('20,000 keys, each behind a job for later');
sql('TRUNCATE hotdash._job');
sql(q{SET hotdash.now_override = '2100-01-01'; CALL hotdash._tick()});
is_empty('blocked keys');

# Keyed jobs of more queues than there are slots, all of them held up: another queue finds room
sql(q{SELECT count(hotdash.job_enqueue('k', queue => 'q' || i, order_key => 'a', run_at => r)) FROM generate_series(1, 8) AS i, unnest(ARRAY['infinity', NULL]::timestamptz[]) AS r});
is(sql('SELECT count(*) FROM hotdash.job_claim(batch => 10)'), '0', 'eight queues of keys that are held up');
my $ninth = sql(q{SELECT hotdash.job_enqueue('k', queue => 'q9')});
is(sql(q{SELECT id FROM hotdash.job_claim(ARRAY['q9'])}), $ninth, 'leave room for a ninth');
my $keyed = sql(q{SELECT hotdash.job_enqueue('k', queue => 'q10', order_key => 'a')});
is(sql(q{SELECT id FROM hotdash.job_claim(ARRAY['q10'])}), $keyed, 'and a tenth');
sql('DELETE FROM hotdash._job');
sql(q{SET hotdash.now_override = '2100-01-01'; CALL hotdash._tick()});
is_empty('held queues');

# The cap of a kind is shared by its queues: who waits for one is woken by an end in another
my $capped = sql(q{SELECT hotdash.job_enqueue('one', queue => 'q1')});
sql(q{SELECT hotdash.job_enqueue('one', queue => 'q2')});
my $token = sql(q{SELECT token FROM hotdash.job_claim(ARRAY['q1'], lease => '1 hour')});
my $waiter = $node->session('app');
$waiter->query_until(qr/waiting/, "\\echo waiting\nCALL hotdash.job_wait(ARRAY['q2'], '50 s');\n");
poll_until(sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL hotdash.job_wait%' AND wait_event = 'Extension'}) eq '1' }, 30, 'the session to wait');
my $began = time;
sql("SELECT hotdash.job_complete($capped, $token)");
like($waiter->query(q{SELECT 'asked'}), qr/^t\b/, 'a waiter for another queue of a capped kind is woken');
cmp_ok(time - $began, '<', 20, 'and not by the end of its time');
$waiter->quit;
is_empty('the cap of a kind');

# 20,000 tenants and 300 kinds in memory for 256 lanes and 32 kinds, and claims that are interrupted
sql(q{SELECT count(hotdash.job_kind_set('kind' || i)) FROM generate_series(1, 300) AS i});
sql(q{SELECT count(hotdash.job_enqueue('k', tenant => 't' || i)) FROM generate_series(1, 20000) AS i});
sql(q{SELECT count(hotdash.job_enqueue('kind' || i, order_key => nullif(i % 3, 0)::text)) FROM generate_series(1, 300) AS i, generate_series(1, 5)});
my %states;
poll_until(sub { $states{ $node->sqlstate('app', q{SET statement_timeout = '3 ms'; BEGIN; SELECT count(*) FROM hotdash.job_claim(batch => 1000); ROLLBACK}) }++; ($states{57014} // 0) >= 20 }, 60, 'claims to be interrupted');
drain(50);
is(sql('SELECT count(*), count(DISTINCT id) FROM run'), '21500|21500', 'many tenants and kinds: each job ran, once');
sql('DELETE FROM hotdash._job');
sql(q{SET hotdash.now_override = '2100-01-01'; CALL hotdash._tick()});
is_empty('many tenants and kinds');

done_testing();
