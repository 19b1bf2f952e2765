# Buckets of durability 'wal': over kill -9 nothing is granted twice, and less only by the stated reserve; ROLLBACK, read-only
# transactions, locks of others, VACUUM FULL and TRUNCATE, full pages, standbys and their promotion, copies.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;
use Time::HiRes qw(time);

my $ROUNDS = $ENV{HOTDASH_LIMIT_KILLS} // 5;
my $CLIENTS = 4;

my $node = HotDash->cluster('main', streaming => 1, conf => "hotdash.limit_snapshot_interval = 100ms\nhotdash.limit_on_failure = closed\n");
$node->create_db_with_extension('app');
sub sql { return $node->safe_psql('app', shift) }
sub remaining { my ($limit, $key) = @_; return sql("SELECT remaining FROM hotdash.limit_take('$limit', '$key', 0)") }
sub pages { return sql("SELECT count(*) FROM hotdash._limit_state WHERE name = '$_[0]'") }

sql(q{
	SELECT hotdash.limit_set('bucket', 80, '36500 days', durability => 'wal'), hotdash.limit_set('other', 80, '36500 days', durability => 'wal'),
		hotdash.limit_set('exact', 7, '1 hour', algorithm => 'log', durability => 'wal'),
		hotdash.limit_set('window', 40, '1000 days', algorithm => 'window', durability => 'wal'),
		hotdash.limit_set('plain', 80, '36500 days'),
		hotdash.limit_set('load', 8000, '36500 days', durability => 'wal'),
		hotdash.limit_set('few', 20, '100 days', algorithm => 'log', durability => 'wal')});
cmp_ok(pages('bucket'), '>', 50, 'a limit has pages');

# Crash after crash, a bucket owes no less, and at most an eighth more
is(sql(q{SELECT hotdash.limit_allow('bucket', 'k', 33), hotdash.limit_allow('exact', 'k', 2), hotdash.limit_allow('window', 'k', 17)}), 't|t|t', 'taken');
is(remaining('bucket', 'k') . ' ' . remaining('exact', 'k') . ' ' . remaining('window', 'k'), '47 5 23', 'as much as that');
$node->pass_time(100);
is(sql(q{BEGIN READ ONLY; SELECT hotdash.limit_allow('exact', 'k', 3), hotdash.limit_allow('bucket', 'k', 4); ROLLBACK}), 't|t', 'in a read-only transaction that is rolled back too');
is(remaining('bucket', 'k'), 43, 'which undoes nothing');
$node->kill_postmaster();
is(remaining('bucket', 'k') . ' ' . remaining('exact', 'k') . ' ' . remaining('window', 'k'), '37 2 18', 'a crash costs a bucket and a window the reserve that was written ahead, a log nothing');
$node->kill_postmaster();
is(remaining('bucket', 'k') . ' ' . remaining('exact', 'k') . ' ' . remaining('window', 'k'), '37 2 18', 'another one nothing');
$node->restart;
is(remaining('bucket', 'k') . ' ' . remaining('exact', 'k') . ' ' . remaining('window', 'k'), '37 2 18', 'nor does a restart');
$node->pass_time(3450);
is(remaining('exact', 'k'), 2, 'every unit of a log counts as long as it would have');
$node->pass_time(60);
is(remaining('exact', 'k'), 4, 'and no longer');

# What is on the page before is not written again; what is refused writes nothing
sub wal
{
	my ($session, $calls, $times) = @_;
	my $sql = "SELECT $calls FROM generate_series(1, ";

	$session->query("${sql}0)"); # catalogs are read, which may set hint bits
	my $from = $session->query('SELECT pg_current_wal_insert_lsn()');

	$session->query("$sql$times)");
	return $session->query("SELECT pg_current_wal_insert_lsn() - '$from'");
}
$node->append_conf('postgresql.conf', "autovacuum = off\nbgwriter_lru_maxpages = 0\ncheckpoint_timeout = 1h");
$node->restart;
my $writer = $node->session('app');
$writer->query(q{SELECT hotdash.limit_allow('bucket', 'w', 1), hotdash.limit_allow('window', 'w', 1)});
is(wal($writer, q{hotdash.limit_allow('bucket', 'w') AND hotdash.limit_allow('window', 'w')}, 4), 0, 'up to the reserve nothing is written');
$writer->query(q{SELECT hotdash.limit_allow('bucket', 'w', 75), hotdash.limit_allow('window', 'w', 35), hotdash.limit_allow('exact', 'w', 7)});
is(wal($writer, q{hotdash.limit_allow('bucket', 'w') OR hotdash.limit_allow('window', 'w') OR hotdash.limit_allow('exact', 'w')}, 1000), 0, 'nor for what is refused');

$writer->quit;

# Refund, reset, several at once
is(sql(q{SELECT hotdash.limit_refund('bucket', 'w', 30), hotdash.limit_refund('exact', 'w', 3)}), '30|3', 'given back');
is(remaining('bucket', 'w') . ' ' . remaining('exact', 'w'), '30 3', 'and to be had');
sql(q{SELECT hotdash.limit_allow('bucket', 'r', 80), hotdash.limit_allow('window', 'r', 40), hotdash.limit_allow('exact', 'r', 7)});
sql(q{SELECT hotdash.limit_reset('bucket', 'r'), hotdash.limit_reset('window', 'r'), hotdash.limit_reset('exact', 'r')});
is(sql(q{SELECT hotdash.limit_take_all('{bucket,plain,exact,window,other}', 'all', 5)}), 't', 'from several at once');
is(sql(q{SELECT hotdash.limit_take_all('{bucket,plain,exact,window,other}', 'all', 5)}), 'f', 'or from none');
sql(q{SELECT hotdash.limit_take_many('bucket', ARRAY['m1', 'm2', 'm1'], 20)});
$node->kill_postmaster();
is(remaining('exact', 'w'), 3, 'a refund to a log outlives a crash');
cmp_ok(remaining('bucket', 'w'), '<=', 30, 'one to a bucket need not');
is(remaining('bucket', 'r') . ' ' . remaining('window', 'r') . ' ' . remaining('exact', 'r'), '80 40 7', 'a reset does');
is(join(' ', map { remaining($_, 'all') } qw(bucket other window exact)), '65 65 30 2', 'and all that was taken at once');
is(remaining('bucket', 'm1') . ' ' . remaining('bucket', 'm2'), '30 50', 'or of many keys');

# kill -9 of the server under load, from several sessions: what was answered counts
my ($granted, $over, $under) = (0, 0, 0);
foreach my $round (1 .. $ROUNDS)
{
	my $script = $node->basedir . '/takes.sql';
	my (@clients, @outs);

	open my $takes, '>', $script or die $!;
	print $takes qq{SELECT 'bucket' FROM hotdash.limit_take('load', 'k$round') WHERE allowed;\nSELECT 'log' || i FROM generate_series(1, 20) AS i WHERE hotdash.limit_allow('few', '$round-' || i);\n} x 4000;
	close $takes or die $!;
	foreach my $n (1 .. $CLIENTS)
	{
		my $out = $node->basedir . "/granted$n";
		my $client = fork() // die "fork: $!";
		if ($client == 0)
		{
			open STDERR, '>', '/dev/null';
			exec 'psql', '-XAtq', '-d', $node->connstr('app'), '-f', $script, '-o', $out;
		}
		push @clients, $client;
		push @outs, $out;
	}
	my $until = time + 0.2 + rand;
	poll_until(sub { time > $until && -s $outs[0] }, 60, 'load');
	$node->kill_postmaster();
	waitpid $_, 0 foreach @clients;

	my %got;
	foreach my $out (@outs)
	{
		open my $in, '<', $out or die $!;
		while (<$in>) { chomp; $got{$_}++ if /^(bucket|log\d+)$/ }
	}
	my $before = $got{bucket};
	my $after = sql("SELECT count(*) FILTER (WHERE hotdash.limit_allow('load', 'k$round')) FROM generate_series(1, 8100)");
	$granted += $before + $after;
	$over++ if $before + $after > 8000;
	$under = 8000 - $before - $after if $before < 8000 && 8000 - $before - $after > $under;
	foreach my $i (1 .. 20)
	{
		my $more = sql("SELECT count(*) FILTER (WHERE hotdash.limit_allow('few', '$round-$i')) FROM generate_series(1, 25)");
		$over++ if ($got{"log$i"} // 0) + $more > 20;
		$granted += ($got{"log$i"} // 0) + $more;
	}
	note("round $round: $before granted before, $after after");
}
is($over, 0, "$granted granted in $ROUNDS crashes, never one too many");
cmp_ok($under, '<=', 1000 + $CLIENTS, "at most $under too few, with a reserve of 1000 and what was not answered");

# Locks of others: nobody waits, and the answer is that of a limit that cannot be asked
my $locker = $node->session('app');
$locker->query('BEGIN; LOCK TABLE hotdash._limit_state');
is(sql(q{SET statement_timeout = '20 s'; SELECT hotdash.limit_allow('bucket', 'new'), hotdash.limit_take_all('{plain,bucket}', 'new')}), 'f|f', 'a locked table is as one without room');
is(sql(q{SELECT failed >= 2 FROM hotdash._limit_counts() WHERE name = 'bucket'}), 't', 'which is counted');
is(sql(q{SET hotdash.limit_on_failure = open; SELECT hotdash.limit_allow('bucket', 'new')}), 't', 'and may be allowed');
is(remaining('plain', 'new'), 80, 'what was to be taken with it was not');
$locker->query('ROLLBACK');
is(remaining('bucket', 'new'), 80, 'afterwards it is asked again');
my $idle = $node->session('app');
$idle->query(q{BEGIN; SELECT hotdash.limit_allow('bucket', 'idle', 30), hotdash.limit_allow('exact', 'idle', 3)});
$node->psql_ok('app', q{SET lock_timeout = '5 s'; VACUUM FULL hotdash._limit_state; VACUUM (FREEZE) hotdash._limit_state}, 'an open transaction that has taken keeps nobody from VACUUM FULL');
is($idle->query(q{SELECT hotdash.limit_allow('bucket', 'idle', 30), hotdash.limit_allow('exact', 'idle', 3)}), 't|t', 'which finds its pages again');
$idle->query('ROLLBACK');
$node->kill_postmaster();
is(remaining('bucket', 'idle') . ' ' . remaining('exact', 'idle'), '10 1', 'and so does the next life');
sql('TRUNCATE hotdash._limit_state');
is(sql(q{SELECT hotdash.limit_allow('bucket', 'truncated')}), 'f', 'without pages a limit cannot be asked');
sql(q{SELECT hotdash.limit_set('bucket', 80, '36500 days', durability => 'wal'),
	hotdash.limit_set('exact', 7, '1 hour', algorithm => 'log', durability => 'wal'),
	hotdash.limit_set('window', 40, '1000 days', algorithm => 'window', durability => 'wal')});
is(sql(q{SELECT hotdash.limit_allow('bucket', 'truncated')}), 't', 'until it is defined again');
is(remaining('exact', 'idle'), 1, 'what memory knows is not lost');

# Definitions
my $was = pages('bucket');
sql(q{SELECT hotdash.limit_allow('bucket', 'def', 40); SELECT hotdash.limit_set('bucket', 160, '36500 days', durability => 'wal')});
is(remaining('bucket', 'def'), 120, 'another rate keeps what was used');
$node->kill_postmaster();
like(remaining('bucket', 'def'), qr/^1(1\d|0[0-9]|20)$/, 'over a crash as well');
is(pages('bucket'), $was, 'and its pages');
sql(q{BEGIN; SELECT hotdash.limit_set('bucket', 5, '1 day', algorithm => 'log', durability => 'wal'); SELECT hotdash.limit_allow('bucket', 'def'); ROLLBACK});
is(pages('bucket'), $was, 'a definition that is rolled back leaves them');
is(sql(q{SELECT hotdash.limit_allow('bucket', 'def', 1)}), 't', 'and the limit as it was');
sql(q{SELECT hotdash.limit_set('bucket', 80, '36500 days')});
is(pages('bucket'), 0, 'with another durability the pages go');
sql(q{SELECT hotdash.limit_set('bucket', 80, '36500 days', durability => 'wal'), hotdash.limit_delete('other')});
is(pages('other'), 0, 'as with the limit');

# A page that is full, and cells that have drained
sql(q{SELECT hotdash.limit_set('small', 1, '1 minute', durability => 'wal', options => '{"keys": 1}')});
is(pages('small'), 1, 'room for few keys is one page');
my $fit = sql(q{SELECT count(*) FILTER (WHERE hotdash.limit_allow('small', 'k' || i)) FROM generate_series(1, 500) AS i});
cmp_ok($fit, '<', 500, "where no more keys fit ($fit did) they are refused");
is(sql(q{SELECT failed FROM hotdash._limit_counts() WHERE name = 'small'}), 500 - $fit, 'and counted');
$node->pass_time(180);
is(sql(q{SELECT count(*) FILTER (WHERE hotdash.limit_allow('small', 'n' || i)) FROM generate_series(1, 500) AS i}), $fit, 'what has drained makes room');

# A standby has its own memory; promoted it goes on from the pages
$node->backup('b');
my $standby = HotDash->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
sql(q{SELECT hotdash.limit_allow('bucket', 'st', 50), hotdash.limit_allow('exact', 'st', 5), hotdash.limit_allow('window', 'st', 20)});
$node->wait_for_catchup($standby, 'replay', $node->lsn('flush'));
is($standby->safe_psql('app', q{SELECT hotdash.limit_allow('bucket', 'st', 30), hotdash.limit_allow('exact', 'st', 2), hotdash.limit_allow('window', 'st', 3)}), 't|t|t', 'a standby counts by itself');
$node->stop;
$standby->promote;
poll_until(sub { $standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 'f' }, 60, 'the promotion');
is($standby->safe_psql('app', q{SELECT hotdash.limit_allow('bucket', 'st', 21), hotdash.limit_allow('exact', 'st', 3), hotdash.limit_allow('window', 'st', 16)}), 'f|f|f', 'a promoted one goes on from what its primary had granted');
is($standby->safe_psql('app', q{SELECT hotdash.limit_allow('bucket', 'st', 20), hotdash.limit_allow('exact', 'st', 2), hotdash.limit_allow('window', 'st', 15)}), 't|t|t', 'and grants the rest');
$standby->stop;

# A dump brings the definition and no state
$node->start;
sql(q{SELECT hotdash.limit_allow('bucket', 'dumped', 80)});
my $dump = $node->basedir . '/dump';
$node->command_ok(['pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('app')], 'dumped');
$node->safe_psql('postgres', q{CREATE DATABASE copy TEMPLATE template0 ENCODING 'UTF8'});
$node->command_ok(['pg_restore', '--exit-on-error', '-d', $node->connstr('copy'), $dump], 'restored');
is($node->safe_psql('copy', q{SELECT hotdash.limit_allow('bucket', 'dumped', 80)}), 't', 'in a copy the limit is there, and its buckets are full');
$node->psql_ok('copy', 'DROP EXTENSION hotdash CASCADE; CREATE EXTENSION hotdash', 'the extension goes and comes');
is($node->safe_psql('copy', q{SELECT hotdash.limit_set('bucket', 8, '1 day', durability => 'wal'); SELECT hotdash.limit_allow('bucket', 'dumped', 8)}), "\nt", 'and starts anew');

$node->stop;
done_testing();
