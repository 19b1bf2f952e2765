# Where a changed calendar is seen that an isolation spec cannot look into: in parallel workers, on a hot standby, before
# and after it is promoted, on a subscriber, and after the extension was dropped and created again.

use strict;
use warnings FATAL => 'all';

use FindBin;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $set = q{
	CREATE FUNCTION put(closes text, more jsonb DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM hotdash.calendar_set('c', jsonb_build_object('time_zone', 'UTC', 'hours', jsonb_build_object('mon', jsonb_build_array(jsonb_build_array('09:00', closes)))) || more);
	END
	$$;};
my $primary = HotDash->cluster('primary', init => { allows_streaming => 'logical' });
$primary->create_db_with_extension('app');
$primary->safe_psql('app', $set . q{
	CREATE TABLE ticket AS SELECT i FROM generate_series(1, 20000) AS i;
	ANALYZE ticket;
	SELECT put('17:00');
	CREATE PUBLICATION calendars FOR TABLE hotdash._calendar, hotdash._calendar_version, hotdash._calendar_epoch;
});

# a week that is past, by name, and one to come, by the lane of the first epoch
my $look = q{SELECT extract(hour FROM hotdash.business_time_between('c', '2024-01-01Z', '2024-01-08Z')) || ' ' ||
	(hotdash._business_at(2, '2200-01-13Z') - hotdash._business_at(2, '2200-01-06Z')) / 3600000000;};

# ---- parallel workers: the leader counts none itself ----

my $parallel = q{SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;};
my $count = q{SELECT sum(extract(hour FROM hotdash.business_time_between('c', '2024-01-01Z', '2024-01-08Z')) + i - i) || ' '
	|| sum((hotdash._business_at(2, '2200-01-13Z') - hotdash._business_at(2, '2200-01-06Z')) / 3600000000 + i - i) FROM ticket;};
like($primary->safe_psql('app', "$parallel EXPLAIN (ANALYZE, COSTS off, TIMING off) $count"), qr/Workers Launched: [12]/, 'calendars are asked in parallel workers');
is($primary->safe_psql('app', "$parallel $count"), '160000 160000', 'eight hours each');

# answers of one session, a line each
sub answers { my ($sql) = @_; return $primary->safe_psql('app', "\\o /dev/null\n$parallel " . ($sql =~ s/LOOK/\n\\o\n$count\n\\o \/dev\/null\n/gr)) }

is(answers(q{LOOK BEGIN; SELECT put('18:00'); LOOK ROLLBACK; LOOK}), "160000 160000\n180000 160000\n160000 160000", 'workers see what their leader has changed, and no longer after its ROLLBACK');
is(answers(q{BEGIN; LOOK SAVEPOINT s; SELECT put('17:00', '{"holidays": ["2200-01-06"]}'); LOOK ROLLBACK TO s; LOOK ROLLBACK;}), "160000 160000\n160000 0\n160000 160000", 'or ROLLBACK TO');
my $keeper = $primary->session('app');
is($keeper->query("$parallel BEGIN ISOLATION LEVEL REPEATABLE READ; $count"), '160000 160000', 'a snapshot');
$primary->safe_psql('app', q{SELECT put('18:00'), put('17:00')});
is($keeper->query($count), '160000 160000', 'whose workers see what it saw');
$keeper->query('COMMIT;');
$keeper->quit;

# ---- a hot standby and a subscriber ----

$primary->backup('base');
my $standby = HotDash->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = -1');
$standby->start;
my $subscriber = HotDash->cluster('subscriber');
$subscriber->create_db_with_extension('app');
my $copy = $subscriber->session('app');
is($subscriber->sqlstate('app', $look), '42704', 'nothing is there');
my $connstr = $primary->connstr . ' dbname=app';
$subscriber->safe_psql('app', qq{CREATE SUBSCRIPTION calendars CONNECTION '$connstr' PUBLICATION calendars});
$subscriber->wait_for_subscription_sync($primary, 'calendars', 'app');

sub follow
{
	$primary->safe_psql('app', $_[0]);
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
	$primary->wait_for_catchup('calendars');
	return;
}

follow(q{SELECT 1});
my $idle = $standby->session('app');
my $open = $standby->session('app');
my $held = $standby->session('app');
$open->query('BEGIN READ ONLY;');
$held->query('BEGIN ISOLATION LEVEL REPEATABLE READ;');
is($_->query($look), '8 8', 'a standby and a subscriber count as the primary does') foreach $idle, $open, $held, $copy;
follow(q{SELECT put('19:00')});
is($_->query($look), '10 8', 'what is replayed or applied is seen by the next statement') foreach $idle, $open, $copy;
is($held->query($look), '8 8', 'but for a snapshot');
follow(q{BEGIN; SELECT put('20:00'); PREPARE TRANSACTION 'calendars'});
is($_->query($look), '10 8', 'a prepared transaction is not seen') foreach $idle, $open, $copy;
follow(q{COMMIT PREPARED 'calendars'});
is($_->query($look), '11 8', 'before it is committed') foreach $idle, $open, $copy;
follow(q{BEGIN; SELECT put('18:00'); SAVEPOINT s; SELECT put('21:00'); ROLLBACK TO s; COMMIT});
is($_->query($look), '9 8', 'a transaction as its last savepoint left it') foreach $idle, $open, $copy;
is($held->query("COMMIT; $look"), '9 8', 'and all of it after the snapshot');
is($standby->sqlstate('app', q{SELECT put('12:00')}), '25006', 'nothing is defined there');

$subscriber->safe_psql('app', 'DROP SUBSCRIPTION calendars');
$copy->quit;
$subscriber->stop;
$open->query('COMMIT;');
$primary->stop;
$standby->promote;
poll_until(sub { $standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 'f' }, 60, 'the promotion');
$standby->safe_psql('app', q{SELECT put('12:00')});
is($_->query($look), '3 8', 'a session from before the promotion sees changes from after it') foreach $idle, $open;

# ---- another extension of the same name ----

$standby->safe_psql('app', 'DROP EXTENSION hotdash CASCADE; CREATE EXTENSION hotdash;');
$standby->safe_psql('app', q{SELECT put('13:00')});
is($_->query($look), '4 4', 'a session counts by what the extension that is there now has') foreach $idle, $open;
$_->quit foreach $open, $held, $idle;

$standby->stop;
done_testing();
