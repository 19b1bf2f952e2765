# Rates of queues over sessions and restarts, deadlines of attempts, notifications, and what has a key or a
# concurrency after the leases were lost.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;

my $node = HotDash->cluster('main');
$node->create_db_with_extension('app');
$node->safe_psql('app', q{
	SELECT hotdash.job_kind_set('k');
	SELECT hotdash.queue_set('slow', rate => 20, rate_period => '1 second');
	CREATE TABLE began (earliest timestamptz, latest timestamptz)});

# Six sessions claim as fast as they can. No window of a second begins more than 20 jobs, and nearly all of
# them are used. A job begins at some time between the two that the session reads around its claim, so only
# what lies between two such times for certain counts against the rate.
my $claims = q{SET statement_timeout = '60 s'; DO $$
	DECLARE before timestamptz; n int; deadline timestamptz := clock_timestamp() + '4 s';
	BEGIN
		WHILE clock_timestamp() < deadline LOOP
			before := clock_timestamp();
			SELECT count(*) INTO n FROM hotdash.job_claim(ARRAY['slow'], 7);
			INSERT INTO began SELECT before, clock_timestamp() FROM generate_series(1, n);
			COMMIT;
		END LOOP;
	END $$};
$node->safe_psql('app', q{SELECT count(hotdash.job_enqueue('k', queue => 'slow')) FROM generate_series(1, 200)});
my @sessions = map { $node->session('app') } 1 .. 6;
$_->query_until(qr/begun/, "\\echo begun\n$claims;\n\\echo done\n") for @sessions;
$_->query_until(qr/done/, '') for @sessions;
$_->quit for @sessions;
my $most = $node->safe_psql('app', q{SELECT max((SELECT count(*) FROM began AS b WHERE b.earliest >= a.earliest AND b.latest < a.earliest + interval '1 s')) FROM began AS a});
cmp_ok($most, '<=', 20, 'no second began more jobs than the rate');
cmp_ok($node->safe_psql('app', 'SELECT count(*) FROM began'), '>=', 76, 'and 95 % of it was used');

# A claim that rolls back has been paid for; other queues are not held up; without a rate all go at once
$node->safe_psql('app', q{SELECT hotdash.queue_set('slow', rate => 5, rate_period => '1 hour')});
$node->safe_psql('app', q{BEGIN; SELECT count(*) FROM hotdash.job_claim(ARRAY['slow'], 3); ROLLBACK});
cmp_ok($node->safe_psql('app', q{SELECT count(*) FROM hotdash.job_claim(ARRAY['slow'], 100)}), '<=', 5, 'a rollback gives no more than the rate');
is($node->safe_psql('app', q{SELECT hotdash.job_explain(min(id)) ->> 'code' FROM hotdash.jobs WHERE state = 'ready'}), 'rate', 'explain: rate');
is($node->safe_psql('app', q{SELECT hotdash.job_enqueue('k') > 0; SELECT queue FROM hotdash.job_claim(batch => 10)}), "t\ndefault", 'a queue at its rate holds no other up');
$node->safe_psql('app', q{SELECT hotdash.queue_set('slow')});
cmp_ok($node->safe_psql('app', q{SELECT count(*) FROM hotdash.job_claim(ARRAY['slow'], 1000)}), '>', 50, 'without a rate all are claimed at once');
is($node->sqlstate('app', "SELECT hotdash.queue_set('slow', $_)"), '22023', "22023: $_")
	for 'rate => 0', 'rate => -1', "rate_period => '1 s'", "rate => 1, rate_period => '0 s'", "rate => 1, rate_period => '1 month'", 'concurrency => 0';

# The deadline of an attempt bounds its lease, and renewing does not move it
$node->safe_psql('app', q{SELECT hotdash.job_kind_set('short', timeout => '20 s'), hotdash.job_enqueue('short')});
my ($id, $token, $short) = split /\|/, $node->safe_psql('app', q{SELECT id, token, lease_expires <= clock_timestamp() + interval '20 s' FROM hotdash.job_claim(kinds => '{short}', lease => '1 hour')});
is($short, 't', 'a lease ends with the attempt');
is($node->safe_psql('app', "SELECT state, lease_expires <= clock_timestamp() + interval '20 s' FROM hotdash.job_renew('{$id}', '{$token}', '1 hour')"), 'renewed|t', 'renewing does not prolong the attempt');
$node->set_clock(21);
is($node->safe_psql('app', "SELECT state FROM hotdash.job_renew('{$id}', '{$token}', '1 hour')"), 'lost', 'after the deadline the lease is lost');
$node->safe_psql('app', 'CALL hotdash._tick()');
is($node->safe_psql('app', "SELECT state, last_error FROM hotdash.jobs WHERE id = $id"), 'scheduled|the lease ran out', 'and the attempt is charged');
$node->set_clock(0);

# Listeners are told at commit, by queues that want it
my $listener = $node->session('app');
$node->safe_psql('app', q{SELECT hotdash.queue_set('told', notify => true)});
$listener->query('LISTEN hotdash_jobs');
$node->safe_psql('app', q{BEGIN; SELECT hotdash.job_enqueue('k', queue => 'told'); ROLLBACK});
$node->safe_psql('app', q{SELECT hotdash.job_enqueue('k', queue => 'slow')});
unlike($listener->query('SELECT 1'), qr/notification/, 'a rollback and other queues tell nobody');
$node->safe_psql('app', q{SELECT hotdash.job_enqueue('k', queue => 'told'), hotdash.job_enqueue('k', queue => 'told')});
like($listener->query('SELECT 1'), qr/"hotdash_jobs" with payload "told"/, 'a commit tells which queue');
$listener->quit;

# The leases are lost with the machine: what a key or a concurrency limits waits until none can be out
$node->safe_psql('app', q{
	SELECT hotdash.queue_set('capped', concurrency => 1), hotdash.job_kind_set('few', concurrency => 1, queue => 'slow');
	SELECT hotdash.job_enqueue('k', order_key => 'a') FROM generate_series(1, 2);
	SELECT hotdash.job_enqueue('k', queue => 'capped') FROM generate_series(1, 2);
	SELECT hotdash.job_enqueue('few') FROM generate_series(1, 2)});
is($node->safe_psql('app', q{SELECT count(*) FROM hotdash.job_claim(ARRAY['default', 'capped', 'slow'], 100, lease => '10 minutes') AS c WHERE order_key = 'a' OR queue = 'capped' OR kind = 'few'}), '3', 'one of each runs');
$node->stop('immediate');
unlink $node->data_dir . '/hotdash.leases' or die "the ledger is not there: $!";
$node->start;
$node->safe_psql('app', q{SELECT hotdash.job_enqueue('k')});
is($node->safe_psql('app', q{SELECT count(*) FILTER (WHERE order_key = 'a' OR queue = 'capped' OR kind = 'few'), count(*) > 0 FROM hotdash.job_claim(batch => 1000)}), '0|t', 'limited jobs wait, others do not');
is($node->safe_psql('app', q{SELECT hotdash.job_explain(min(id)) ->> 'code' FROM hotdash.jobs WHERE queue = 'capped'}), 'lost_leases', 'explain: lost_leases');
$node->set_clock(720);
is($node->safe_psql('app', q{SELECT count(*) FROM hotdash.job_claim(batch => 1000) WHERE order_key = 'a' OR queue = 'capped' OR kind = 'few'}), '3', 'until the longest lease of before has ended');

done_testing();
