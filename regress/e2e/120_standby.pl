# Standbys: a hot standby refuses claims, goes on with the queue once it is promoted, honours tokens of the
# primary; with a synchronous standby nothing that was committed is lost when the primary dies under load.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;

my $primary = HotDash->cluster('primary', streaming => 1);
$primary->create_db_with_extension('app');
$primary->safe_psql('app', q{
	SELECT hotdash.job_kind_set('outside', max_attempts => 100, backoff => '{"type":"fixed","base":"0s","jitter":"none"}');
	CREATE TABLE wanted (job bigint)});
$primary->backup('base');

my $standby = HotDash->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->append_conf('postgresql.conf', "synchronous_standby_names = 'standby'");
$primary->reload;
poll_until(sub { $primary->safe_psql('postgres', "SELECT sync_state FROM pg_stat_replication") eq 'sync' }, 60, 'the standby to be synchronous');

# some state: one job waits, one is held, one is scheduled, one has a unique key
$primary->safe_psql('app', q{SELECT hotdash.job_enqueue('outside', '"held"')});
my ($id, $token) = split /\|/, $primary->safe_psql('app', q{SELECT id, token FROM hotdash.job_claim(lease => '1 hour')});
$primary->safe_psql('app', q{
	SELECT hotdash.job_enqueue('outside', '"waits"', unique_key => 'k'), hotdash.job_enqueue('outside', '"later"', run_at => hotdash._now() + '1 hour')});
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
is($standby->sqlstate('app', 'SELECT * FROM hotdash.job_claim()'), '25006', 'a standby refuses claims');
is($standby->sqlstate('app', "SELECT hotdash.job_enqueue('outside')"), '25006', 'and enqueueing');
is($standby->sqlstate('app', 'CALL hotdash.job_wait()'), '25006', 'and waiting');
is($standby->sqlstate('app', 'CALL hotdash._tick()'), '25006', 'and ticks');
is($standby->safe_psql('app', q{SELECT granted FROM hotdash._limit_take('k', 5, '1 hour', 'log', 9)}), '5', 'a rate limit works there');
is($primary->safe_psql('app', q{SELECT granted FROM hotdash._limit_take('k', 5, '1 hour', 'log', 9)}), '5', 'by itself');
is($standby->safe_psql('app', q{SELECT string_agg(payload #>> '{}' || ' ' || state, ', ' ORDER BY id) FROM hotdash.jobs}),
	'held ready, waits ready, later scheduled', 'but shows what it knows');
is($standby->sqlstate('app', 'SELECT hotdash.sla_scan()'), '25006', 'it looks for no steps of clocks');
is($standby->safe_psql('app', q{SELECT string_agg(key, ', ') FROM jsonb_each(hotdash.health() -> 'checks') WHERE value ? 'sqlstate'}), '', 'and no check of health() fails');

# load: two producers that note what was committed to them, outside the database
my $dir = $primary->basedir;
my @producers;
foreach my $n (1 .. 2)
{
	my $child = fork() // die "fork: $!";
	if ($child == 0)
	{
		open STDERR, '>', '/dev/null';
		open my $out, '>', "$dir/committed$n" or die $!;
		$out->autoflush(1);
		for (;;)
		{
			my ($status, $got) = eval { $primary->psql('app', q{WITH e AS (SELECT hotdash.job_enqueue('outside', '"load"') AS id), w AS (INSERT INTO wanted SELECT id FROM e) SELECT id FROM e}) };
			last if !defined $status || $status != 0;
			print $out "$got\n";
		}
		close $out;
		require POSIX;
		POSIX::_exit(0);
	}
	push @producers, $child;
}
poll_until(sub { $primary->safe_psql('app', 'SELECT count(*) FROM wanted') > 30 }, 60, 'load');
$primary->kill9;
waitpid $_, 0 foreach @producers;
my @committed = map { chomp; $_ } map { open my $in, '<', "$dir/committed$_" or die $!; <$in> } 1 .. 2;
cmp_ok(scalar @committed, '>', 30, scalar(@committed) . ' jobs were committed to their producers');

$standby->promote;
poll_until(sub { $standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 'f' }, 60, 'the promotion');
is($standby->safe_psql('app', "SELECT hotdash.job_complete($id, $token)"), 't', 'a token of the primary is honoured');
is($standby->safe_psql('app', "SELECT hotdash.job_complete($id, $token)"), 'f', 'once');
is($standby->safe_psql('app', q{SELECT payload FROM hotdash.job_claim()}), '"waits"', 'the queue goes on where it was');
is($standby->safe_psql('app', 'SELECT hotdash.job_enqueue(\'outside\', unique_key => \'k\') = (SELECT id FROM hotdash._job_unique)'), 't', 'unique keys hold');
my $have = $standby->safe_psql('app', 'SELECT count(*) FROM hotdash._job WHERE id IN (' . join(',', @committed) . ')');
is($have, scalar @committed, 'nothing that was committed is lost');
is($standby->safe_psql('app', q{SELECT count(*) FROM hotdash._job AS j FULL JOIN wanted ON job = id WHERE payload = '"load"' AND (job IS NULL OR id IS NULL)}), '0', 'and no half of a transaction is there');
my $claimed = $standby->safe_psql('app', q{SELECT count(*) FROM hotdash.job_claim(batch => 10000)});
is($claimed, $standby->safe_psql('app', 'SELECT count(*) FROM wanted'), 'all of it can be claimed');
is($standby->safe_psql('app', q{SELECT hotdash.job_enqueue('outside') > (SELECT max(job) FROM wanted)}), 't', 'ids go on behind those of the primary');
is($standby->safe_psql('app', 'SELECT hotdash._instance_state()'), 'ours', 'a promoted standby is no copy');

$standby->stop;
done_testing();
