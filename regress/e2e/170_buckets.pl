# Buckets of rate limits in shared memory: exact under contention and under pg_terminate_backend, untouched by
# rollback, bounded and honest when full, full again after a crash and never more than that.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;
use IPC::Run ();
use Time::HiRes qw(time);

my $node = HotDash->cluster('main');
$node->create_db_with_extension('app');
$node->safe_psql('app', 'CREATE TABLE got (run text, n bigint)');

my $long = "'20000 days'";

sub take
{
	my ($key, $count, $algorithm, $want, %option) = @_;
	my $period = $option{period} // $long;

	return $node->safe_psql($option{db} // 'app', "SELECT granted FROM hotdash._limit_take('$key', $count, $period, $algorithm, $want)");
}

sub counter { return $node->safe_psql('app', "SELECT value FROM hotdash._counters() WHERE name = '$_[0]'") }

sub got { return $node->safe_psql('app', "SELECT coalesce(sum(n), 0) FROM got WHERE run = '$_[0]'") }

# Arguments of pgbench: eight sessions run a script.
sub sessions
{
	my ($run, $sql) = @_;
	my $file = $node->basedir . "/$run.pgbench";

	open(my $handle, '>', $file) or die $!;
	print $handle $sql;
	close $handle;
	return ($node->connstr('app'), '-n', '-c', '8', '-j', '2', '-f', $file);
}

# A hundred takes from one bucket in each statement.
sub script
{
	my ($run, $count, $algorithm, $period) = @_;

	return sessions($run, "INSERT INTO got SELECT '$run', sum(granted) FROM generate_series(1, 100) AS i, "
		  . "LATERAL hotdash._limit_take('$run', $count, $period, $algorithm, 1 + i % 3);\n");
}

foreach my $case ([ 'gcra', 100_000, q{'gcra'} ], [ 'log', 997, q{'log'} ], [ 'window', 90_000, 'NULL' ], [ 'small', 1000, 'NULL' ])
{
	my ($run, $count, $algorithm) = @$case;

	my $fits = $run eq 'window' ? 3600 : $count;
	PostgreSQL::Test::Utils::system_or_bail('pgbench', '-t', '100', script($run, $count, $algorithm, $long), '-M', 'prepared');
	is(got($run), $fits, "$run: eight sessions at once got all there is and no more");
	is(take($run, $count, $algorithm, 1), '0', "$run: and there is none left");
}

# While time passes: never more than the windows that were touched, and most of it
foreach my $case ([ 'flow_log', 500 ], [ 'flow_gcra', 20_000 ])
{
	my ($run, $count) = @$case;
	my $began = time;

	PostgreSQL::Test::Utils::system_or_bail('pgbench', '-T', '3', script($run, $count, 'NULL', "'500 ms'"));
	my $windows = (time - $began) / 0.5;
	cmp_ok(got($run), '<=', $count * (int($windows) + 1), "$run: no window held more than its count");
	cmp_ok(got($run), '>=', 0.95 * $count * 4, "$run: and they were used");
}

# Sessions end in the middle
my $killed = 0;
foreach my $run ('ended_gcra', 'ended_log')
{
	my ($count, $algorithm) = $run eq 'ended_log' ? (1000, q{'log'}) : (50_000_000, q{'gcra'});
	my $pgbench = IPC::Run::start([ 'pgbench', '-T', '20', script($run, $count, $algorithm, $long) ], '>', \my $out, '2>', \my $err);

	foreach my $n (1 .. 8)
	{
		$killed += poll_until(sub { $node->safe_psql('app', q{SELECT count(pg_terminate_backend(pid)) FROM
			(SELECT pid FROM pg_stat_activity WHERE query LIKE 'INSERT INTO got%' AND state = 'active' LIMIT 1) AS a}) }, 30, 'a session to end');
	}
	$pgbench->finish;
	my $rest = take($run, $count, $algorithm, $count);
	cmp_ok(got($run) + $rest, '<=', $count, "$run: sessions that ended in the middle cost something at most");
	is(take($run, $count, $algorithm, 1), '0', "$run: and hold nothing up");
}
is($killed, 16, 'sixteen sessions were ended');

# Transactions
$node->safe_psql('app', "BEGIN; SELECT hotdash._limit_take('back', 5, $long, 'gcra', 3); ROLLBACK");
is(take('back', 5, q{'gcra'}, 9), '2', 'what was taken survives a rollback');
is($node->safe_psql('app', "BEGIN READ ONLY; SELECT granted FROM hotdash._limit_take('read', 5, $long, 'log', 3); COMMIT"), '3', 'a read-only transaction takes');
my $open = $node->session('app');
$open->query("BEGIN; SELECT hotdash._limit_take('open', 5, $long, 'log', 3);");
is(take('open', 5, q{'log'}, 9), '2', 'an open transaction keeps nobody waiting');
like($open->query(q{SELECT now() < hotdash._now(), granted FROM hotdash._limit_take('frozen', 1, '1 us', 'log', 1)}), qr/^t\|1/m, 'its frozen clock is not the one');
$open->quit;

# Databases and extensions
$node->create_db_with_extension('other');
is(take('both', 5, q{'log'}, 4), '4', 'a key in one database');
is(take('both', 5, q{'log'}, 9, db => 'other'), '5', 'is another in the next');
$node->safe_psql('other', 'DROP EXTENSION hotdash; CREATE EXTENSION hotdash');
is(take('both', 5, q{'log'}, 9, db => 'other'), '5', 'and after CREATE EXTENSION');

# The clock of the cluster, forth and back
is(take('clock', 4, q{'log'}, 4, period => q{'1 h'}), '4', 'four in an hour');
is(take('steady', 4, q{'gcra'}, 4, period => q{'1 h'}), '4', 'of each algorithm');
$node->set_clock(3600);
is(take('clock', 4, q{'log'}, 2, period => q{'1 h'}), '2', 'an hour later there is more');
is(take('steady', 4, q{'gcra'}, 2, period => q{'1 h'}), '2', 'of each algorithm');
$node->set_clock(0);
is(take('clock', 4, q{'log'}, 4, period => q{'1 h'}), '2', 'the clock goes back: the rest is there, and no more');
is(take('steady', 4, q{'gcra'}, 4, period => q{'1 h'}), '2', 'of each algorithm');
is(take('new', 4, q{'gcra'}, 4, period => q{'1 h'}), '4', 'and a new key has its own');
is(take('clock', 4, q{'log'}, 1, period => q{'1 h'}) + take('steady', 4, q{'gcra'}, 1, period => q{'1 h'}), 0, 'nothing comes back before time has caught up');
is($node->safe_psql('app', "SET hotdash.now_override = '2100-01-01'; SELECT granted FROM hotdash._limit_take('steady', 4, '1 h', 'gcra', 9)"), '4', 'a session with a stopped clock has buckets of its own');

# kill -9: each bucket is full again, once
is(take('crash', 100, q{'gcra'}, 60) + take('crashlog', 100, q{'log'}, 60), 120, 'partly used');
$node->kill_backend('app');
is(take('crash', 100, q{'gcra'}, 999), '100', 'after a crash a bucket is full, and no more than that');
is(take('crashlog', 100, q{'log'}, 999), '100', 'and a log');
is(take('crash', 100, q{'gcra'}, 1) + take('crashlog', 100, q{'log'}, 1), 0, 'once');

# Sixteen slots
$node->append_conf('postgresql.conf', 'hotdash.limit_slots = 16');
$node->stop;
unlink $node->data_dir . '/hotdash.limits' or die "the file of buckets is not there: $!";
$node->start;
is($node->safe_psql('app', "SELECT sum(granted) FROM generate_series(1, 16) AS i, LATERAL hotdash._limit_take('s' || i, 5, '1 day', NULL, 4)"), '64', 'sixteen strict keys in sixteen slots');
is(take('s17', 5, 'NULL', 4), '0', 'the seventeenth is refused');
is(counter('limits_no_room'), '1', 'and counted');
is(take('g', 5, q{'gcra'}, 1), '0', 'one that is not strict likewise');
is($node->safe_psql('app', "SET hotdash.now_override = '2100-01-01'; SELECT granted FROM hotdash._limit_take('m', 5, '1 day', 'gcra', 1)"), '0', 'a stopped clock takes nobody\'s slot');
is($node->safe_psql('app', "SELECT sum(granted) FROM generate_series(1, 16) AS i, LATERAL hotdash._limit_take('s' || i, 5, '1 day', NULL, 4)"), '16', 'none of the sixteen lost what it knew');
is(counter('limits_evicted'), '0', 'nothing was given up');
$node->set_clock(2 * 86400);
is($node->safe_psql('app', "SELECT sum(granted) FROM generate_series(1, 1000) AS i, LATERAL hotdash._limit_take('g' || i, 5, '1 day', 'gcra', 5)"), '5000', 'drained slots are taken over, by a thousand keys');
is(counter('limits_evicted'), '984', 'each bucket given up in debt is counted');
is(take('s18', 5, 'NULL', 4), '4', 'a strict key finds room among them');
is($node->safe_psql('app', "SELECT sum(granted) FROM generate_series(1, 2400) AS i, LATERAL hotdash._limit_take('l' || i % 6, 300, '1 day', 'log', 1)"), '1800', 'six logs without memory for what they grant: none grants more, none less');
cmp_ok(counter('limits_coarse'), '>', 0, 'what counts too long for it is counted');

# Strict keys while thousands of others come and go through the same sixteen slots
PostgreSQL::Test::Utils::system_or_bail('pgbench', '-t', '50', sessions('churn', "INSERT INTO got
	SELECT 'strict' || i % 8, sum(strict.granted) FROM generate_series(1, 400) AS i,
		LATERAL hotdash._limit_take('strict' || i % 8, CASE WHEN i % 2 = 0 THEN 1000 ELSE 62500 END, $long, NULL, 1) AS strict,
		LATERAL hotdash._limit_take('churn' || i % 100, 3, (CASE WHEN i % 3 = 0 THEN $long ELSE '1 us' END)::interval, 'gcra', 1) AS churn,
		LATERAL hotdash._limit_take('churn' || i * 7 % 100, 3, $long, 'log', 1) AS logs
	GROUP BY 1;\n" =~ s/\n(?=.)/ /gr));
is($node->safe_psql('app', q{SELECT string_agg(format('%s %s', run, n), ', ' ORDER BY run) FROM (SELECT run, sum(n) AS n FROM got WHERE run LIKE 'strict%' GROUP BY run) AS r}),
	join(', ', map { "strict$_ " . ($_ % 2 ? 2500 : 1000) } 0 .. 7), 'strict keys stay exact while others come and go around them');
cmp_ok($node->safe_psql('app', q{SELECT hotdash.health() #>> '{checks,limits,evicted}'}), '>', 984, 'health() shows what was given up');

# Without preload
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is($node->sqlstate('app', "SELECT hotdash._limit_take('k', 5, '1 s', 'gcra', 1)"), '55000', 'unpreloaded: an error that says so');

$node->stop;
done_testing();
