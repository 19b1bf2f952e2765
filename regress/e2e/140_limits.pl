# Shared memory that is far too small: 100 times as many jobs as slots, 5 times as many queues. Nothing is
# lost, refused or run twice, and order holds within each queue and priority. Then the server is started
# with other sizes, and rows are changed by hand under the list.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;

my $node = HotDash->cluster('main', conf => "hotdash.job_slots = 64\nhotdash.job_queues = 8");
$node->create_db_with_extension('app');
$node->safe_psql('app', q{
	SELECT hotdash.job_kind_set('k');
	SELECT hotdash.queue_set('q' || lpad(i::text, 2, '0')) FROM generate_series(1, 40) AS i;
	CREATE TABLE run (n serial, id bigint, queue text, priority int)});

# Claim in batches until nothing comes; how often the batch of a size was not full is of no interest.
sub drain
{
	my ($batch, $queues) = @_;
	$queues //= 'NULL';
	$node->safe_psql('app', "SET statement_timeout = '120 s'; DO \$\$
	DECLARE c record; n int; BEGIN
		LOOP
			n := 0;
			FOR c IN SELECT * FROM hotdash.job_claim($queues, $batch) LOOP
				INSERT INTO run (id, queue, priority) SELECT id, j.queue, j.priority FROM hotdash._job AS j WHERE id = c.id;
				PERFORM hotdash.job_complete(c.id, c.token);
				n := n + 1;
			END LOOP;
			COMMIT;
			EXIT WHEN n = 0;
		END LOOP;
	END \$\$");
}

# Out of order: a job that ran after one of its queue and priority that was enqueued later.
my $disorder = q{SELECT count(*) FROM (SELECT id, lag(id) OVER (PARTITION BY queue, priority ORDER BY n) AS before FROM run) AS r WHERE id < before};

sub check_run
{
	my ($expected, $what) = @_;

	is($node->safe_psql('app', 'SELECT count(*), count(DISTINCT id) FROM run'), "$expected|$expected", "$what: each ran, once");
	is($node->safe_psql('app', $disorder), '0', "$what: in order");
	is($node->safe_psql('app', 'SELECT count(*) FROM hotdash._job'), '0', "$what: nothing is left");
	$node->safe_psql('app', 'TRUNCATE run RESTART IDENTITY');
}

# 6,400 jobs in 64 slots, three queues, several priorities, three transactions
$node->safe_psql('app', q{SELECT count(hotdash.job_enqueue('k', queue => 'q0' || 1 + i % 3, priority => i % 4)) FROM generate_series(1, 2000) AS i}) for 1 .. 2;
$node->safe_psql('app', q{SELECT hotdash.job_enqueue_many('k', array_agg(to_jsonb(i)), queue => 'q01') FROM generate_series(1, 2400) AS i});
is($node->safe_psql('app', q{SELECT string_agg(DISTINCT priority::text, '') FROM hotdash.job_claim(batch => 20) JOIN hotdash._job USING (id)}), '0', 'the first priority first, also from the shelf');
$node->safe_psql('app', q{SELECT hotdash._job_release_many(array_agg(r.id), array_agg(token)) FROM (SELECT 1) AS x, LATERAL (SELECT * FROM hotdash.job_claim(batch => 1)) AS r});
$node->safe_psql('app', q{SET hotdash.now_override = '2100-01-01'; CALL hotdash._tick()});
$node->safe_psql('app', q{UPDATE hotdash._job SET at = enqueued_at; SELECT hotdash._job_reload()});
drain(25);
is($node->safe_psql('app', 'SELECT count(DISTINCT id), count(*) FROM run'), '6400|6400', '100 times the slots: each ran, once');
$node->safe_psql('app', 'TRUNCATE run RESTART IDENTITY');

$node->safe_psql('app', q{SELECT count(hotdash.job_enqueue('k', queue => 'q0' || 1 + i % 3, priority => i % 4)) FROM generate_series(1, 3200) AS i});
$node->safe_psql('app', q{SELECT count(hotdash.job_enqueue('k', queue => 'q0' || 1 + i % 3, priority => i % 4)) FROM generate_series(1, 3200) AS i});
drain(7);
check_run(6400, '6,400 jobs in 64 slots');

# 40 queues in 8 slots
$node->safe_psql('app', q{SELECT count(hotdash.job_enqueue('k', queue => 'q' || lpad((1 + i % 40)::text, 2, '0'), priority => i % 3)) FROM generate_series(1, 2000) AS i});
drain(10);
check_run(2000, '40 queues in 8 slots');

# one queue at a time gets its own jobs and no others
$node->safe_psql('app', q{SELECT count(hotdash.job_enqueue('k', queue => 'q' || lpad((1 + i % 40)::text, 2, '0'))) FROM generate_series(1, 400) AS i});
is($node->safe_psql('app', q{SELECT count(*), count(*) FILTER (WHERE c.queue <> q.queue), count(*) FILTER (WHERE j.queue <> q.queue)
	FROM hotdash.queues AS q, LATERAL hotdash.job_claim(ARRAY[q.queue], 2) AS c JOIN hotdash._job AS j USING (id)
	WHERE q.queue <= 'q08' OR q.queue > 'q35'}) =~ /^\d+\|0\|0$/ ? 1 : 0, 1, 'a claim from one queue never brings another\'s');
$node->safe_psql('app', q{DELETE FROM hotdash._job});
$node->safe_psql('app', 'SELECT count(*) FROM hotdash.job_claim(batch => 1000)');

# A paused backlog shuts nobody out
$node->safe_psql('app', q{SET hotdash.now_override = '2200-01-01'; CALL hotdash._tick()});
$node->safe_psql('app', q{SELECT hotdash.queue_pause('q01')});
$node->safe_psql('app', q{SELECT count(hotdash.job_enqueue('k', queue => 'q01')) FROM generate_series(1, 500)});
$node->safe_psql('app', q{SELECT count(hotdash.job_enqueue('k', queue => 'q02')) FROM generate_series(1, 100)});
drain(5, "ARRAY['q02']");
check_run_queue('q02', 100, 'a paused backlog');
$node->safe_psql('app', q{SELECT hotdash.queue_resume('q01')});
drain(50);
check_run(500, 'the backlog, resumed');

sub check_run_queue
{
	my ($queue, $expected, $what) = @_;

	is($node->safe_psql('app', "SELECT count(*) FROM run WHERE queue = '$queue'"), $expected, "$what does not shut others out");
	$node->safe_psql('app', 'TRUNCATE run RESTART IDENTITY');
}

# Many that are changed at once: an error, not a silent half
$node->safe_psql('app', q{SELECT count(hotdash.job_enqueue('k', queue => 'q03', run_at => 'infinity')) FROM generate_series(1, 300)});
is($node->sqlstate('app', q{SELECT hotdash.job_cancel(id) FROM hotdash._job}), '54000', 'more ends in one transaction than slots are refused');
is($node->safe_psql('app', 'SELECT count(*) FROM hotdash._job'), '300', 'and none of it happened');
$node->safe_psql('app', 'SELECT hotdash.job_cancel(id) FROM hotdash._job LIMIT 20');
is($node->safe_psql('app', 'SELECT count(*) FROM hotdash._job'), '280', 'fewer are cancelled');
$node->safe_psql('app', 'DELETE FROM hotdash._job');

# The tick ends no more in a transaction than that, and goes on: deliveries behind an endpoint that is disabled, of one
# instant and of many, while the list is full of other jobs.
sub expired { return $node->safe_psql('app', q{SELECT count(*) FROM hotdash.dead_deliveries WHERE reason = 'expired'}) }
my $endpoint = $node->safe_psql('app', q{SELECT hotdash.endpoint_create('http://127.0.0.1:1/', max_age => '1 hour')});
$node->safe_psql('app', q{SELECT count(hotdash.event_publish('a', to_jsonb(i))) FROM generate_series(1, 150) AS i});
$node->safe_psql('app', q{SELECT count(hotdash.event_publish('a', to_jsonb(i))) FROM generate_series(1, 150) AS i});
$node->safe_psql('app', q{UPDATE hotdash._delivery AS d SET created_at = x.first
	FROM (SELECT min(created_at) AS first FROM hotdash._delivery) AS x WHERE d.id % 2 = 0});
$node->safe_psql('app', "SELECT hotdash.endpoint_disable($endpoint)");
$node->safe_psql('app', q{SELECT count(hotdash.job_enqueue('k', queue => 'q03')) FROM generate_series(1, 300)});
$node->safe_psql('app', q{SELECT count(*) FROM hotdash.job_claim()});
$node->pass_time(7200);
poll_until(sub { $node->safe_psql('app', 'CALL hotdash._tick()'); expired() >= 300 }, 60, 'what waited too long to be dead');
is(expired(), 300, 'all that waited too long are ended, a few at a time');
$node->set_clock(0);
$node->safe_psql('app', "SELECT hotdash.endpoint_delete($endpoint)");
$node->safe_psql('app', 'DELETE FROM hotdash._job');

# Fewer and more slots after a restart; the first claim is rolled back
$node->append_conf('postgresql.conf', 'hotdash.job_slots = 4096');
$node->restart;
$node->safe_psql('app', 'SELECT count(*) FROM hotdash.job_claim()');
$node->safe_psql('app', q{SELECT count(hotdash.job_enqueue('k', queue => 'q0' || 1 + i % 3, priority => i % 4)) FROM generate_series(1, 1500) AS i});
cmp_ok($node->safe_psql('app', 'SELECT count(*) FROM hotdash._job WHERE NOT shelf'), '>', 500, 'more of them are only in the list than fit later');
my ($id, $token) = split /\|/, $node->safe_psql('app', q{SELECT id, token FROM hotdash.job_claim(lease => '1 hour')});
my @more = map { (split /\|/, $node->safe_psql('app', q{SELECT id, token FROM hotdash.job_claim(lease => '1 hour')}))[0] } 1 .. 2;
$node->append_conf('postgresql.conf', 'hotdash.job_slots = 64');
$node->restart;
is($node->safe_psql('app', q{BEGIN; SELECT count(*) FROM hotdash.job_claim(); ROLLBACK}), '1', 'the first claim after a restart with fewer slots is rolled back');
is($node->safe_psql('app', "SELECT hotdash.job_complete($id, $token)"), 't', 'a lease of before holds');
drain(100);
is($node->safe_psql('app', 'SELECT count(*), count(DISTINCT id) FROM run'), '1497|1497', 'fewer slots: the rest ran, each once');
is($node->safe_psql('app', 'SELECT count(*) FROM hotdash._job'), '2', 'but for what others hold');
is($node->safe_psql('app', $disorder), '0', 'in order');
$node->safe_psql('app', 'TRUNCATE run RESTART IDENTITY; DELETE FROM hotdash._job');

# Rows changed by hand under the list
$node->append_conf('postgresql.conf', "hotdash.job_slots = 4096\nmax_prepared_transactions = 5");
$node->restart;
$node->safe_psql('app', 'SELECT count(*) FROM hotdash.job_claim()');
sub fill { $node->safe_psql('app', q{SELECT count(hotdash.job_enqueue('k', to_jsonb(i), queue => 'q01')) FROM generate_series(1, 100) AS i}) }
fill();
$node->safe_psql('app', q{DELETE FROM hotdash._job WHERE payload::int % 2 = 0});
is($node->safe_psql('app', q{SELECT count(*), count(*) FILTER (WHERE payload::int % 2 = 0) FROM hotdash.job_claim(batch => 30)}), '30|0', 'deleted rows are passed over');
drain(100);
$node->safe_psql('app', q{DELETE FROM hotdash._job; TRUNCATE run});
fill();
$node->safe_psql('app', q{UPDATE hotdash._job SET payload = '"changed"'});
$node->safe_psql('app', 'VACUUM FULL hotdash._job');
is($node->safe_psql('app', q{SELECT count(*) FROM hotdash.job_claim(batch => 10) WHERE payload = '"changed"'}), '10', 'updated and rewritten rows are found');
$node->safe_psql('app', 'TRUNCATE hotdash._job');
is($node->safe_psql('app', 'SELECT count(*) FROM hotdash.job_claim(batch => 1000)'), '0', 'a truncated table holds nothing');
fill();
$node->safe_psql('app', q{UPDATE hotdash._job SET at = 'infinity', shelf = true WHERE payload::int > 50});
is($node->safe_psql('app', q{SELECT count(*), max(payload::int) FROM hotdash.job_claim(batch => 1000)}), '50|50', 'a row that was put off by hand is not claimed');
$node->safe_psql('app', q{TRUNCATE hotdash._job});
$node->safe_psql('app', q{INSERT INTO hotdash._job (id, at, enqueued_at, fence, priority, attempt, max_attempts, shelf, queue, kind, tenant)
	SELECT nextval('hotdash._job_id'), now(), now(), 0, 5, 0, 5, false, 'q01', 'k', '' FROM generate_series(1, 10)});
is($node->safe_psql('app', 'SELECT count(*) FROM hotdash.job_claim(batch => 1000)'), '0', 'rows that came in by hand');
$node->safe_psql('app', 'SELECT hotdash._job_reload()');
is($node->safe_psql('app', 'SELECT count(*) FROM hotdash.job_claim(batch => 1000)'), '10', 'are found after _job_reload');

# The clock goes back
$node->safe_psql('app', 'TRUNCATE hotdash._job');
$node->safe_psql('app', 'SELECT count(*) FROM hotdash.job_claim(batch => 1000)');
$node->safe_psql('app', q{SELECT hotdash.job_enqueue('k')});
is($node->safe_psql('app', 'SELECT shelf FROM hotdash._job'), 'f', 'a job that is in the list alone');
is($node->safe_psql('app', q{SET hotdash.now_override = '2000-01-01';
	SELECT j.state, hotdash.job_explain(j.id) ->> 'state', hotdash.job_explain(j.id) ->> 'code' = 'scheduled' FROM hotdash._job JOIN hotdash.jobs AS j USING (id)}),
	'ready|ready|f', 'and was not scheduled, even if the clock went back');
$node->safe_psql('app', q{SET hotdash.now_override = '2000-01-01'; SELECT count(*) FROM hotdash.job_claim(); });
is($node->safe_psql('app', q{SELECT count(*) FROM hotdash._job_running() JOIN hotdash._job USING (id)}), '1', 'was due and stays due, even if the clock went back');

# A scheduled job keeps its place while others come: it is older than they are
$node->safe_psql('app', 'TRUNCATE hotdash._job');
$node->safe_psql('app', q{SELECT hotdash.job_enqueue('k', '"other"') FROM generate_series(1, 3); SELECT payload FROM hotdash.job_claim()});
$node->safe_psql('app', q{SELECT hotdash.job_enqueue('k', '"scheduled"', run_at => hotdash._now() + '100 ms')});
poll_until(sub { $node->safe_psql('app', q{SELECT state FROM hotdash.jobs WHERE payload = '"scheduled"'}) eq 'ready' }, 30, 'the scheduled job to be due');
$node->safe_psql('app', q{SELECT hotdash.job_enqueue('k', '"younger"') FROM generate_series(1, 3)});
is($node->safe_psql('app', q{SELECT string_agg(payload #>> '{}', ' ') FROM hotdash.job_claim() UNION ALL SELECT string_agg(payload #>> '{}', ' ') FROM hotdash.job_claim() UNION ALL SELECT string_agg(payload #>> '{}', ' ') FROM hotdash.job_claim() UNION ALL SELECT string_agg(payload #>> '{}', ' ') FROM hotdash.job_claim()}),
	"other\nother\nscheduled\nyounger", 'a scheduled job runs in its place, though claims of one never empty the list');

# A prepared transaction survives a crash
$node->safe_psql('app', 'TRUNCATE hotdash._job');
$node->safe_psql('app', q{BEGIN; SELECT hotdash.job_enqueue('k', '"prepared"'); PREPARE TRANSACTION 'p'});
$node->safe_psql('app', q{BEGIN; SELECT hotdash.job_enqueue('k', '"undone"'); PREPARE TRANSACTION 'u'});
$node->stop('immediate');
$node->start;
is($node->safe_psql('app', 'SELECT count(*) FROM hotdash.job_claim()'), '0', 'a prepared job waits for its commit over a crash');
$node->safe_psql('app', "ROLLBACK PREPARED 'u'");
$node->safe_psql('app', "COMMIT PREPARED 'p'");
is($node->safe_psql('app', 'SELECT payload FROM hotdash.job_claim(batch => 5)'), '"prepared"', 'and is claimed after it');

$node->stop;
done_testing();
