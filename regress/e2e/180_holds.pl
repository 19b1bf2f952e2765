# Jobs that wait for each other, while backends and the postmaster are killed in the middle of their ends:
# in the end each has run once, none before what it waited for, each batch's callback exactly once and with
# the right numbers, and nothing is left behind.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;

my $KILLS = $ENV{HOTDASH_KILLS} // 18;

my $node = HotDash->cluster('main', conf => "hotdash.databases = 'none'");
$node->create_db_with_extension('app');
$node->safe_psql('app', <<'SQL');
CREATE SCHEMA app;
CREATE TABLE app.wanted (id bigint, needs bigint[]);
CREATE TABLE app.early (id bigint);
SELECT hotdash.job_kind_set('node', max_attempts => 1000, backoff => '{"type":"fixed","base":"0s","jitter":"none"}');
SELECT hotdash.job_kind_set('done', max_attempts => 1000, backoff => '{"type":"fixed","base":"0s","jitter":"none"}');

-- A batch of: one job, ten after it, one after those ten. In three transactions, so that the ends of the
-- first meet the arrival of those that wait for them.
CREATE PROCEDURE app.produce() LANGUAGE plpgsql AS $$
DECLARE
	batch bigint := hotdash.batch_create('done');
	member CONSTANT jsonb := jsonb_build_object('batch', batch);
	root bigint := hotdash.job_enqueue('node', options => member);
	middle bigint[] := '{}';
	last bigint;
BEGIN
	INSERT INTO app.wanted VALUES (root, '{}');
	COMMIT;
	FOR i IN 1 .. 10 LOOP
		middle := middle || hotdash.job_enqueue('node', after => ARRAY[root], options => member);
	END LOOP;
	INSERT INTO app.wanted SELECT m, ARRAY[root] FROM unnest(middle) AS m;
	COMMIT;
	last := hotdash.job_enqueue('node', after => middle, options => member);
	INSERT INTO app.wanted VALUES (last, middle), (batch, middle || root || last);
	PERFORM hotdash.batch_close(batch);
	COMMIT;
END $$;

CREATE PROCEDURE app.work() LANGUAGE plpgsql AS $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT * FROM hotdash.job_claim(batch => 1 + (random() * 4)::int, lease => '500 ms') LOOP
		INSERT INTO app.early SELECT c.id FROM app.wanted AS w, unnest(w.needs) AS n
		WHERE w.id = c.id AND NOT EXISTS (SELECT FROM hotdash._job_history AS h WHERE h.id = n);
		IF random() < 0.1 THEN
			PERFORM hotdash.job_fail(c.id, c.token, 'no');
		ELSE
			PERFORM hotdash.job_progress(c.id, c.token, 100), hotdash.job_complete(c.id, c.token);
		END IF;
		IF random() < 0.3 THEN
			COMMIT;
		END IF;
	END LOOP;
	COMMIT;
END $$;
SQL

sub wait_until_up
{
	poll_until(sub { my ($status, $out) = $node->psql('app', 'SELECT 1'); $status == 0 && $out eq '1' }, 60, 'the server to be up again');
}

sub kill_postmaster
{
	my $postmaster = $node->{_pid};

	$node->kill9;
	poll_until(sub { !kill 0, $postmaster }, 60, 'the postmaster to die');
	poll_until(sub { $node->start(fail_ok => 1) }, 60, 'the server to start');
}

# Like safe_psql, but across a restart of the server.
sub sql
{
	my ($sql) = @_;

	return poll_until(sub { my ($status, $out) = eval { $node->psql('app', $sql) }; defined $status && $status == 0 ? [$out] : undef }, 60, $sql)->[0];
}

# Processes of their own, each running SQL again and again until the flag is there.
my $stop = $node->basedir . '/stop';
my @children;

sub loop
{
	my ($sql) = @_;
	my $child = fork() // die "fork: $!";

	if ($child == 0)
	{
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		until (-e $stop)
		{
			system('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('app'), '-c', $sql);
		}
		require POSIX;
		POSIX::_exit(0);
	}
	push @children, $child;
}

loop('CALL app.produce()') for 1 .. 2;
loop('DO $$ BEGIN FOR i IN 1 .. 50 LOOP CALL app.work(); END LOOP; END $$') for 1 .. 3;
loop('CALL hotdash._tick()');

my $kills = 0;
while ($kills < $KILLS)
{
	my $done = sql('SELECT count(*) FROM hotdash._job_history');
	poll_until(sub { sql('SELECT count(*) FROM hotdash._job_history') > $done + 20 }, 60, 'work to go on');
	if ($kills % 3 == 0)
	{
		kill_postmaster();
	}
	else
	{
		my ($status, $out) = $node->psql('app', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'
			AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1});
		next if $status != 0 || $out eq '' || !kill('KILL', $out);
	}
	$kills++;
}
open my $flag, '>', $stop or die $!;
close $flag;
waitpid $_, 0 foreach @children;
wait_until_up();
is($kills, $KILLS, "$kills kills");

# Producers that were killed left batches open.
sql(q{SELECT hotdash.batch_close(id) FROM hotdash.batches WHERE state = 'open'});
poll_until(
	sub {
		sql('CALL hotdash._tick()');
		$node->psql('app', 'CALL app.work()') for 1 .. 20;
		return sql('SELECT count(*) FROM hotdash._job') eq '0';
	}, 120, 'all jobs to end');

cmp_ok(sql('SELECT count(*) FROM hotdash.batches'), '>', 20, 'there was work: ' . sql('SELECT count(*) FROM app.wanted') . ' jobs');
is(sql('SELECT count(*) FROM app.early'), '0', 'none ran before what it waited for');
is(sql(q{SELECT count(*) FROM app.wanted AS w WHERE NOT EXISTS (SELECT FROM hotdash._job_history AS h WHERE h.id = w.id)}), '0', 'every committed job ended');
is(sql(q{SELECT count(*) FROM (SELECT id FROM hotdash._job_history GROUP BY id HAVING count(*) > 1) AS twice}), '0', 'none ended twice');
is(sql(q{SELECT count(*) FROM hotdash._job_history WHERE state <> 'completed'}), '0', 'and all completed');
is(sql(q{SELECT count(*) FROM hotdash.batches AS b LEFT JOIN hotdash._job_history AS h ON h.id = b.id
	WHERE b.state <> 'ended' OR h.id IS NULL}), '0', 'each batch ended, and its callback ran');
is(sql(q{SELECT count(*) FROM hotdash.batches AS b JOIN app.wanted AS w ON w.id = b.id WHERE b.completed <> cardinality(w.needs)}), '0', 'with the right numbers');
is(sql('SELECT count(*) FROM hotdash._job_dependency'), '0', 'no dependency is left over');
is(sql('SELECT count(*) FROM hotdash._batch_tally'), '0', 'no tally');
sql('CALL hotdash._tick()');
is(sql('SELECT count(*) FROM hotdash._job_recheck'), '0', 'nothing undecided');
is(sql('SELECT count(*) FROM hotdash._job_progress'), '0', 'and no progress');

# What waits survives a crash: it is neither forgotten nor let go.
my $first = sql(q{SELECT hotdash.job_enqueue('node')});
my $second = sql("SELECT hotdash.job_enqueue('node', after => ARRAY[$first])");
my $asked = sql(q{SELECT hotdash.job_enqueue('node', needs_approval => true)});
kill_postmaster();
is(sql(q{SELECT string_agg(id::text, ',') FROM hotdash.job_claim(batch => 10, lease => '1 hour')}), $first, 'after a crash only what waits for nothing is claimed');
is(sql("SELECT string_agg(state, ',' ORDER BY id) FROM hotdash.jobs WHERE id IN ($second, $asked)"), 'blocked,waiting_approval', 'the others wait as before');
is(sql("SELECT hotdash.job_approve($asked, 'ann')"), 't', 'and go on when they are let go');
is(sql(q{SELECT string_agg(id::text, ',') FROM hotdash.job_claim(batch => 10)}), $asked, 'at once');

$node->stop;
done_testing();
