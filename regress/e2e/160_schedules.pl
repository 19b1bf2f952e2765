#!/usr/bin/perl
#
# Schedules on a running server: how soon the worker fires, what happens over a change of the clock, after a
# time without a server and with a clock that is set back, that a copy keeps still, and that every time
# leads to one job while schedulers are killed in the middle of firing.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;
use Time::HiRes qw(time);
use Time::Local qw(timegm);

my $KILLS = $ENV{HOTDASH_KILLS} // 12;

my $node = HotDash->cluster('main', conf => "hotdash.worker_role = 'hd_worker'\n");
$node->safe_psql('postgres', 'CREATE ROLE hd_worker LOGIN; CREATE ROLE low');
$node->create_db_with_extension('app');
$node->safe_psql('app', q{SELECT hotdash.job_kind_set('run')});

sub sql { return $node->sql_through('app', shift) }

# The planned times of a schedule's jobs.
sub runs
{
	my ($name) = @_;

	return sql(qq{SELECT coalesce(string_agg(payload ->> 'scheduled_for', ' ' ORDER BY id), '') FROM hotdash._job WHERE tags \@> ARRAY['schedule:$name']});
}

sub clear { sql('SELECT hotdash.schedule_delete(name) FROM hotdash.schedules; SELECT hotdash.job_cancel(id) FROM hotdash._job') }

# Moves the clock of the whole cluster so that it shows a time of UTC; a stopped server starts with it.
sub set_time
{
	my ($shown) = @_;
	my ($year, $month, $day, $hour, $minute, $second) = $shown =~ /^(\d+)-(\d+)-(\d+) (\d+):(\d+):(\d+)$/ or die $shown;

	$node->set_clock(timegm($second, $minute, $hour, $day, $month - 1, $year) - int(time));
	return;
}

sub median { my @sorted = sort { $a <=> $b } @_; return $sorted[ $#sorted / 2 ] }

# Milliseconds by which the jobs of a schedule were late, latest first.
sub lateness
{
	my ($name, $n) = @_;

	return split /\n/, sql(qq{SELECT round(extract(epoch FROM enqueued_at - (payload ->> 'scheduled_for')::timestamptz) * 1000, 1)
		FROM hotdash._job WHERE tags \@> ARRAY['schedule:$name'] ORDER BY id DESC LIMIT $n});
}

sub test_worker_is_on_time
{
	sql(q{SELECT hotdash.schedule_set('second', '* * * * * *', 'run', missed => 'all')});
	poll_until(sub { scalar(split(/ /, runs('second'))) >= 7 }, 60, 'seven fires');
	my @late = lateness('second', 6);
	note("late by @late ms");
	cmp_ok(median(@late), '<', 50, 'the worker fires within 50 ms of the time');
	cmp_ok((sort { $a <=> $b } @late)[0], '>=', 0, 'and never before');
	cmp_ok((lateness('second', 1000))[-1], '<', 2000, 'the first as well: a new schedule wakes it');

	# A worker that is busy with handlers lets the schedules have their turn between two of them.
	sql(q{
		CREATE FUNCTION public.busy(job jsonb) RETURNS jsonb LANGUAGE plpgsql AS
			$$ BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END $$;	-- busy: a handler that takes its time
		SELECT hotdash.job_kind_set('busy', handler => 'public.busy(jsonb)', run_as => 'low');
		SELECT count(hotdash.job_enqueue('busy')) FROM generate_series(1, 400)});
	my $before = scalar(split / /, runs('second'));
	poll_until(sub { scalar(split(/ /, runs('second'))) >= $before + 5 }, 60, 'five more');
	cmp_ok(sql(q{SELECT count(*) FROM hotdash._job WHERE kind = 'busy'}), '>', 0, 'handlers are still running');
	@late = lateness('second', 4);
	note("beside handlers late by @late ms");
	cmp_ok(median(@late), '<', 200, 'also while it runs handlers');
	clear();
	return;
}

# With a worker: the clock goes from before the change over it.
sub test_change_of_the_clock
{
	set_time('2027-03-28 00:10:00');
	sql(q{SELECT hotdash.schedule_set('named', '30 2 * * *', 'run', time_zone => 'Europe/Berlin', missed => 'skip');
		SELECT hotdash.schedule_set('any', '30 * * * *', 'run', time_zone => 'Europe/Berlin', missed => 'all')});
	is(sql(q{SELECT string_agg(name || ' ' || (next_at AT TIME ZONE 'UTC')::text, ', ' ORDER BY name) FROM hotdash.schedules}),
		'any 2027-03-28 00:30:00, named 2027-03-28 01:30:00', 'before the change in spring');
	set_time('2027-03-28 01:30:00');
	poll_until(sub { runs('named') ne '' && runs('any') =~ / / }, 30, 'the worker to fire');
	is(runs('named'), '2027-03-28T01:30:00Z', 'half past two is half past three');
	is(runs('any'), '2027-03-28T00:30:00Z 2027-03-28T01:30:00Z', 'every hour stays every hour');
	clear();

	set_time('2027-10-30 23:50:00');
	sql(q{SELECT hotdash.schedule_set('named', '30 2 * * *', 'run', time_zone => 'Europe/Berlin', missed => 'all');
		SELECT hotdash.schedule_set('any', '30 * * * *', 'run', time_zone => 'Europe/Berlin', missed => 'all')});
	set_time('2027-10-31 02:00:00');
	poll_until(sub { runs('named') ne '' && runs('any') =~ / / }, 30, 'the worker to fire');
	is(runs('named'), '2027-10-31T00:30:00Z', 'in autumn half past two comes once');
	is(runs('any'), '2027-10-31T00:30:00Z 2027-10-31T01:30:00Z', 'and the hour that comes twice has two of every hour');

	# set back an hour, and on again
	set_time('2027-10-31 00:20:00');
	sql(q{CALL hotdash._tick()});
	set_time('2027-10-31 02:10:00');
	sql(q{CALL hotdash._tick()});
	is(runs('named') . ' ' . runs('any'), '2027-10-31T00:30:00Z 2027-10-31T00:30:00Z 2027-10-31T01:30:00Z', 'a clock that is set back repeats nothing');
	clear();
	return;
}

sub test_downtime
{
	set_time('2028-01-01 12:00:00');
	sql(q{SELECT hotdash.schedule_set('one', '0 9 * * *', 'run', missed => 'one');
		SELECT hotdash.schedule_set('skip', '0 9 * * *', 'run', missed => 'skip');
		SELECT hotdash.schedule_set('all', '0 9 * * *', 'run', missed => 'all');
		SELECT hotdash.schedule_set('bound', '0 9 * * *', 'run', missed => 'all', options => '{"max_missed": 2}')});
	$node->stop;
	set_time('2028-01-05 12:00:00');
	poll_until(sub { sql(q{SELECT count(*) FROM hotdash.schedules WHERE next_at > hotdash._now()}) eq '4' }, 60, 'the worker to catch up');
	is(runs('one'), '2028-01-05T09:00:00Z', 'four days down, one');
	is(runs('skip'), '', 'skip');
	is(runs('all'), join(' ', map { "2028-01-0${_}T09:00:00Z" } 2 .. 5), 'all');
	is(runs('bound'), join(' ', map { "2028-01-0${_}T09:00:00Z" } 4 .. 5), 'all, bounded');
	clear();
	return;
}

sub test_copy
{
	sql(q{SELECT hotdash.schedule_set('due', '* * * * * *', 'run', missed => 'one')});
	$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE app');
	my $before = $node->safe_psql('copied', 'SELECT count(*) FROM hotdash._job');
	poll_until(sub { $node->safe_psql('copied', q{SELECT next_at < hotdash._now() FROM hotdash.schedules}) eq 't' }, 30, 'the copy to have a time that is due');
	$node->safe_psql('copied', 'CALL hotdash._tick()');
	is($node->safe_psql('copied', 'SELECT count(*) FROM hotdash._job'), $before, 'a copy does not fire');
	$node->safe_psql('copied', 'SELECT hotdash.instance_adopt(); CALL hotdash._tick()');
	poll_until(sub { $node->safe_psql('copied', 'SELECT count(*) FROM hotdash._job') > $before }, 30, 'the copy to fire once it is adopted');
	$node->safe_psql('postgres', 'DROP DATABASE copied');
	clear();
	return;
}

# Three sessions and the worker fire twenty schedules for every second while backends and the postmaster are
# killed. In the end each has one job for each second from its first to its last.
sub test_kills
{
	my $stop = $node->basedir . '/stop';
	my @children;

	sql(q{SELECT hotdash.schedule_set('k' || n, '* * * * * *', 'run', missed => 'all', options => '{"max_missed": 1000}') FROM generate_series(1, 20) AS n});
	foreach (1 .. 3)
	{
		my $child = fork() // die "fork: $!";

		if ($child == 0)
		{
			open STDOUT, '>', '/dev/null';
			open STDERR, '>', '/dev/null';
			system('psql', '-XAtq', '-d', $node->connstr('app'), '-c', q{CALL hotdash._tick()}) until -e $stop;
			require POSIX;
			POSIX::_exit(0);
		}
		push @children, $child;
	}
	for (my $kills = 0; $kills < $KILLS;)
	{
		my $last = sql('SELECT max(last_at) FROM hotdash.schedules');
		poll_until(sub { sql('SELECT max(last_at) FROM hotdash.schedules') gt $last }, 60, 'a fire after the last kill');
		if ($kills % 4 == 3)
		{
			$node->kill_postmaster;
		}
		else
		{
			my ($status, $out) = $node->psql('app', q{SELECT pid FROM pg_stat_activity
				WHERE query LIKE '%\_tick%' AND pid <> pg_backend_pid() OR backend_type = 'hotdash worker' AND datname = 'app'
				ORDER BY random() LIMIT 1});
			next if $status != 0 || $out eq '' || !kill('KILL', $out);
		}
		$kills++;
	}
	open my $flag, '>', $stop or die $!;
	close $flag;
	waitpid $_, 0 foreach @children;
	poll_until(sub { sql(q{SELECT bool_and(next_at > hotdash._now()) FROM hotdash.schedules}) eq 't' }, 60, 'all to be fired');
	sql(q{SELECT hotdash.schedule_set(name, cron, kind, options => '{"paused": true}') FROM hotdash.schedules});

	my ($jobs, $schedules, $twice, $left_out) = split /\|/, sql(q{
		WITH run AS (SELECT tags[1] AS schedule, (payload ->> 'scheduled_for')::timestamptz AS at FROM hotdash._job)
		SELECT count(*), count(DISTINCT schedule), count(*) - count(DISTINCT (schedule, at)),
			(SELECT sum(extract(epoch FROM last - first) + 1 - n) FROM (SELECT min(at) AS first, max(at) AS last, count(DISTINCT at) AS n FROM run GROUP BY schedule) AS s)
		FROM run});
	note("$jobs jobs, $KILLS kills");
	is($schedules, '20', "every schedule fired: $jobs jobs, $KILLS kills");
	is($twice, '0', 'no time was fired twice');
	cmp_ok($left_out, '==', 0, 'none was left out');
	is(sql(q{SELECT count(*) FROM hotdash.schedules WHERE last_error IS NOT NULL}), '0', 'a kill is nobody\'s error');
	return;
}

# Without the library preloaded a schedule can be stated; who would fire it says what is missing.
sub test_without_preload
{
	my $bare = HotDash->cluster('bare', preload => 0);

	$bare->create_db_with_extension('app');
	$bare->psql_ok('app', q{SELECT hotdash.job_kind_set('run'); SELECT hotdash.schedule_set('s', '@hourly', 'run')}, 'without preload: stated');
	is($bare->safe_psql('app', 'SELECT count(*) FROM hotdash.schedules WHERE next_at > hotdash._now()'), '1', 'and there');
	is($bare->sqlstate('app', 'CALL hotdash._tick()'), '55000', 'but not fired');
	$bare->stop;
	return;
}

test_without_preload();
test_worker_is_on_time();
test_change_of_the_clock();
test_downtime();
test_copy();
test_kills();
$node->stop;

done_testing();
