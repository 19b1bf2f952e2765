# The disk is full: of data files, of WAL, and for the file of leases, under enqueue, claim, completion, failure,
# handlers and ticks. Statements fail with 53100 and undo what they did, in the table as in memory; tokens stay
# good; a server that has no room for WAL stops and comes back with its leases. In the end every job that was
# committed has ended once.
#
# The server runs with regress/fault/diskfull.c in LD_PRELOAD: what would grow a file below the folders that a
# list names fails with ENOSPC, from one call to the next.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

my $ROUNDS = 8;
my $FAILURES = 25;

my $folder = "$ENV{TESTDIR}/fault";
system('make', '-s', '-C', "$ENV{HOTDASH_TREE}/regress/fault", "BUILD=$folder") == 0 or BAIL_OUT('cannot build diskfull.so');
my $list = "$folder/full";
$ENV{HOTDASH_FULL} = $list;

my $node = HotDash->cluster('main', start => 0, init => { extra => ['--wal-segsize=1'] },
	conf => "hotdash.worker_role = 'hd_worker'\nhotdash.databases = 'app'\nhotdash.job_slots = 4096\nautovacuum = off\nmax_wal_size = 16MB\nmin_wal_size = 2MB\n");
my $data = $node->data_dir;

# Before others in LD_PRELOAD, which a sanitizer must be.
sub start
{
	local $ENV{LD_PRELOAD} = join ':', grep { defined } $ENV{LD_PRELOAD}, "$folder/diskfull.so";

	return $node->start(fail_ok => 1);
}

# From the next call on nothing grows below these.
sub fill_disk
{
	append_to_file("$list.new", join '', map { "$_\n" } @_);
	rename "$list.new", $list or die "$list: $!";
}

sub empty_disk { unlink $list or die "$list: $!" }

sub logged { my ($what) = @_; my $n = () = slurp_file($node->logfile) =~ /$what/g; return $n }

sub sql { return $node->sql_through('app', shift) }

sub entries { return sql(q{SELECT used FROM hotdash._job_memory() WHERE part = 'entries'}) }

ok(start(), 'the server runs with a disk that can be filled');
$node->safe_psql('postgres', 'CREATE ROLE hd_worker LOGIN; CREATE ROLE low');
$node->create_db_with_extension('app');
$node->safe_psql('app', <<'SQL');
SELECT hotdash.access_grant('hd_worker', 'worker');
CREATE TABLE effect (job bigint, filler text);
CREATE TABLE wanted (id bigint);
GRANT INSERT ON effect TO low;
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO low;
CREATE FUNCTION app.work(job jsonb) RETURNS jsonb LANGUAGE sql AS
	$$ INSERT INTO public.effect VALUES ((job ->> 'id')::bigint, repeat(md5(random()::text), 60)) RETURNING NULL::jsonb $$;
CREATE FUNCTION app.slow(job jsonb) RETURNS jsonb LANGUAGE plpgsql AS
	$$ BEGIN PERFORM pg_sleep(CASE WHEN job ->> 'attempt' = '1' THEN 600 ELSE 0 END); RETURN NULL; END $$;	-- busy: running when the server stops
SELECT hotdash.queue_set(q) FROM unnest(ARRAY['outside', 'inside', 'slow']) AS q;
SELECT hotdash.job_kind_set('outside', queue => 'outside', max_attempts => 1000, backoff => '{"type":"fixed","base":"0s","jitter":"none"}');
SELECT hotdash.job_kind_set('work', handler => 'app.work(jsonb)', run_as => 'low', queue => 'inside', max_attempts => 1000,
	backoff => '{"type":"fixed","base":"0s","jitter":"none"}');
SELECT hotdash.job_kind_set('slow', handler => 'app.slow(jsonb)', run_as => 'low', queue => 'slow', max_attempts => 5,
	backoff => '{"type":"fixed","base":"0s","jitter":"none"}');
-- What does not compress, so that it takes its pages.
CREATE FUNCTION filler(n int) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(string_agg(md5(random()::text), '')) FROM generate_series(1, n) $$;
CREATE PROCEDURE produce() LANGUAGE plpgsql AS $$ BEGIN LOOP
	INSERT INTO wanted SELECT hotdash.job_enqueue(k, filler(20)) FROM unnest(ARRAY['work', 'outside']) AS k;
	COMMIT;
END LOOP; END $$;
CREATE PROCEDURE work() LANGUAGE plpgsql AS $$ DECLARE c record; BEGIN LOOP
	FOR c IN SELECT * FROM hotdash.job_claim(ARRAY['outside'], 3, lease => '500 ms') LOOP
		IF random() < 0.2 THEN PERFORM hotdash.job_fail(c.id, c.token, filler(10)::text); ELSE PERFORM hotdash.job_complete(c.id, c.token, filler(20)); END IF;
		IF random() < 0.5 THEN COMMIT; END IF;
	END LOOP;
	COMMIT;
END LOOP; END $$;
SELECT count(*) FROM hotdash.job_claim();
SELECT hotdash.queue_pause('inside');
SQL

# Enqueueing: nothing of it stays, in the table or in memory
sql(q{INSERT INTO wanted SELECT hotdash.job_enqueue('outside', filler(20)) FROM generate_series(1, 40)});
is(entries(), '40', 'forty jobs in memory');
fill_disk("$data/base");
is($node->sqlstate('app', q{SELECT hotdash.job_enqueue('outside', filler(20)) FROM generate_series(1, 1000)}), '53100', 'job_enqueue says that the disk is full');
is($node->sqlstate('app', q{SELECT hotdash.job_enqueue_many('outside', array_agg(filler(20))) FROM generate_series(1, 1000)}), '53100', 'and so does job_enqueue_many');
is(sql('SELECT count(*) FROM hotdash._job'), '40', 'none was enqueued');
is(entries(), '40', 'and none is in memory');

# A claim writes nothing. Its end does: what fails with it is undone, and what was claimed before stays claimed
is($node->sqlstate('app', q{DO $$ DECLARE c record; BEGIN FOR c IN SELECT * FROM hotdash.job_claim(ARRAY['outside'], 20) LOOP
	PERFORM hotdash.job_complete(c.id, c.token, filler(400)); END LOOP; END $$}), '53100', 'claim and completion in one transaction fail');
is(sql(q{SELECT count(*) || ' ' || count(*) FILTER (WHERE state = 'ready' AND attempt = 0) FROM hotdash.jobs}), '40 40', 'a claimed batch returns to the list, uncharged');
is(sql(q{SELECT string_agg(DISTINCT (SELECT code FROM hotdash._job_barrier(j.id)), ' ') FROM hotdash.jobs AS j}), 'ready', 'and nothing is in its way');
my @held = map { [ split /\|/ ] } split /\n/, sql(q{SELECT id, token FROM hotdash.job_claim(ARRAY['outside'], 6, lease => '1 hour')});
is(scalar @held, 6, 'a claim needs no room');

sub ids { return 'ARRAY[' . join(',', map { $held[$_][0] } @_) . ']' }
sub tokens { return 'ARRAY[' . join(',', map { $held[$_][1] } @_) . ']::bigint[]' }
my %end = (
	job_complete => "SELECT hotdash.job_complete($held[0][0], $held[0][1], filler(400))",
	job_complete_many => 'SELECT * FROM hotdash.job_complete_many(' . ids(0 .. 2) . ', ' . tokens(0 .. 2) . ', ARRAY[filler(400), filler(400), filler(400)])',
	job_fail => "SELECT hotdash.job_fail($held[1][0], $held[1][1], filler(400)::text)",
	job_next => "SELECT * FROM hotdash.job_next($held[2][0], $held[2][1], filler(400), ARRAY['outside'])");
is($node->sqlstate('app', $end{$_}), '53100', "$_ says that the disk is full") foreach sort keys %end;
is(sql("SELECT count(*) FROM hotdash.job_renew(" . ids(0 .. 5) . ', ' . tokens(0 .. 5) . ", '1 hour') AS r WHERE r.state = 'renewed'"), '6', 'all six are held as before, and renewed');
is(entries(), '40', 'memory has what the table has');
empty_disk();
is(sql($end{job_complete}), 't', 'once there is room the token is good');
is(sql($end{job_complete}), 'f', 'once');
is(sql($end{job_fail}), 'scheduled', 'for a failure too');
is(sql("SELECT count(*) FROM hotdash._job_attempt WHERE job_id = $held[1][0]"), '1', 'of which one attempt is on record');

# A handler's effect and the end of its job are one
sql(q{INSERT INTO wanted SELECT hotdash.job_enqueue('work') FROM generate_series(1, 30)});
fill_disk("$data/base");
sql(q{SELECT hotdash.queue_resume('inside')});
my $before = logged('No space left on device');
poll_until(sub { $node->psql('app', q{CALL hotdash.job_work(ARRAY['inside'], '1 s', true)}); logged('No space left on device') > $before + 5 }, 60, 'handlers to fail');
empty_disk();
poll_until(sub { $node->psql('app', q{CALL hotdash.job_work(ARRAY['inside'], '10 s', true)}); sql(q{SELECT count(*) FROM hotdash._job_history WHERE kind = 'work'}) eq '30' }, 60, 'handlers to be done');
is(sql('SELECT count(*) || \' \' || count(DISTINCT job) FROM effect'), '30 30', 'each handler took effect once');

# Producers, workers, handlers and the background worker go on while the disk fills up and empties again
my %program = (produce1 => 'CALL produce()', produce2 => 'CALL produce()', work1 => 'CALL work()', work2 => 'CALL work()', handle1 => q{CALL hotdash.job_work(ARRAY['inside'])});
my %process;

sub keep_running
{
	foreach my $name (@_)
	{
		next if $process{$name} && $process{$name}->is_running;
		$process{$name} = HotDash::Process->start($name, undef, 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('app') . ' application_name=program', '-c', $program{$name});
	}
}

# psql ends at once, its server at the end of a loop that has none. A server that has stopped has no sessions.
sub stop_all
{
	$_->is_running && $_->stop foreach values %process;
	poll_until(
		sub {
			my ($status, $left) = eval { $node->psql('app', q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'program'}) };
			return !defined $status || $status != 0 || $left eq '0';
		}, 60, 'the sessions to end');
}

sub done { return sql('SELECT count(*) FROM hotdash._job_history') }

foreach my $round (1 .. $ROUNDS)
{
	my $worked = done();

	poll_until(sub { keep_running(keys %program); done() > $worked + 20 }, 60, 'work to go on');
	my $failed = logged('No space left on device');
	fill_disk("$data/base");
	poll_until(sub { keep_running(keys %program); logged('No space left on device') >= $failed + $FAILURES }, 60, 'the disk to be felt');
	empty_disk();
}
stop_all();

# Work off what nobody holds; so many are held.
sub drain
{
	my ($held) = @_;

	poll_until(
		sub {
			sql('CALL hotdash._tick()');
			$node->psql('app', q{CALL hotdash.job_work(until_empty => true)});
			$node->psql('app', q{SELECT hotdash.job_complete(id, token) FROM hotdash.job_claim(ARRAY['outside'], 1000)});
			return sql('SELECT count(*) FROM hotdash._job') eq $held;
		}, 120, 'the queue to drain');
}

# Every job that a producer knows of has ended once, and no other.
sub reconcile
{
	my ($when, $held) = @_;

	cmp_ok(sql('SELECT count(*) FROM wanted'), '>', 100, "$when: there was work: " . sql('SELECT count(*) FROM wanted') . ' jobs');
	is(sql('SELECT count(*) FROM wanted AS w WHERE NOT EXISTS (SELECT FROM hotdash._job_history AS h WHERE h.id = w.id)'), $held, "$when: every committed job ended, but those that are held");
	is(sql('SELECT count(*) - count(DISTINCT id) FROM hotdash._job_history'), '0', "$when: none ended twice");
	is(sql('SELECT count(*) FROM hotdash._job_history AS h WHERE NOT EXISTS (SELECT FROM wanted AS w WHERE h.id = w.id)'), '0', "$when: none ended that was not committed");
	is(sql(q{SELECT count(*) FROM hotdash._job_dead}), '0', "$when: none is dead");
	is(sql(q{SELECT count(*) || ' ' || count(DISTINCT job) FROM effect}), sql(q{SELECT count(*) || ' ' || count(*) FROM hotdash._job_history WHERE kind = 'work'}), "$when: handlers took effect once");
}
drain(4);
reconcile('data files', 4);
is(entries(), '4', 'data files: memory has what the table has');

# No room for WAL: the server stops in the middle of all that and comes back when there is some
my $slow = sql(q{INSERT INTO wanted SELECT hotdash.job_enqueue('slow') RETURNING id});
poll_until(sub { sql("SELECT state FROM hotdash.jobs WHERE id = $slow") eq 'running' }, 60, 'the slow handler to run');
my $worked = done();
poll_until(sub { keep_running(keys %program); done() > $worked + 20 }, 60, 'work to go on');
fill_disk("$data/pg_wal");
poll_until(sub { logged('PANIC:  could not write to file "pg_wal/xlogtemp') }, 120, 'the WAL to be full');
stop_all();
empty_disk();
poll_until(
	sub {
		if (!kill 0, $node->{_pid})
		{
			$node->{_pid} = undef;
			return start();
		}
		my ($status) = eval { $node->psql('app', 'SELECT 1') };
		return defined $status && $status == 0;
	}, 120, 'the server to come back');
is(sql("SELECT hotdash.job_complete($held[2][0], $held[2][1])"), 't', 'WAL: a token of before is good');
poll_until(sub { sql('CALL hotdash._tick()'); $node->psql('app', q{CALL hotdash.job_work(until_empty => true)}); sql("SELECT state FROM hotdash.jobs WHERE id = $slow") eq 'completed' }, 60, 'the slow job to end');
like(sql("SELECT string_agg(outcome, ',' ORDER BY attempt) FROM hotdash.job_attempts WHERE job_id = $slow"), qr/^crashed,completed$/, 'WAL: the handler that ran was charged');
drain(3);
reconcile('WAL', 3);

# The file of leases: without room to grow, or where it cannot be written, the server says so and does not start;
# nothing is forgotten by that. What it has it may use.
sub refuses
{
	my ($what, $why) = @_;
	my $was = logged($why);

	ok(!start(), "$what: the server does not start");
	is(logged($why), $was + 1, "$what: and says why");
}

my $ledger = "$data/hotdash.leases";
$node->stop;
fill_disk($ledger);
ok(start(), 'leases: a file that need not grow needs no room');
is(sql("SELECT hotdash.job_complete($held[3][0], $held[3][1])"), 't', 'leases: the token is good');
$node->append_conf('postgresql.conf', 'hotdash.job_slots = 8192');
$node->stop;
refuses('leases without room', 'FATAL:  could not allocate \d+ bytes for file "hotdash.leases": No space left on device');
empty_disk();
chmod 0400, $ledger or die $!;
refuses('leases read-only', 'FATAL:  could not open file "hotdash.leases": Permission denied');
chmod 0600, $ledger or die $!;
ok(start(), 'leases: it does when it can');
is(sql(q{SELECT count(*) FROM hotdash.job_claim(ARRAY['outside'], 10)}), '0', 'leases: what was claimed is not claimed again');
is(sql("SELECT hotdash.job_complete($held[4][0], $held[4][1])"), 't', 'leases: the token is good after all');
is(sql("SELECT hotdash.job_fail($held[5][0], $held[5][1], 'no', final => true)"), 'dead', 'leases: and the last one');
sql("SELECT hotdash.job_retry($held[5][0])");
drain(0);
reconcile('in the end', 0);
poll_until(sub { sql('CALL hotdash._tick()'); sql('SELECT count(*) FROM hotdash.job_claim()'); sql(q{SELECT count(*) FROM hotdash._job_memory() WHERE used > 0 OR running <> 0}) eq '0' }, 60, 'memory to be empty');
pass('nothing is left in memory');

$node->stop;
done_testing();
