# Where a changed flag is seen that an isolation spec cannot look into: in parallel workers, and on a hot standby,
# before and after it is promoted.

use strict;
use warnings FATAL => 'all';

use FindBin;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $primary = HotDash->cluster('primary', streaming => 1);
$primary->create_db_with_extension('app');
$primary->safe_psql('app', q{
	CREATE FUNCTION turn(key text, variant text, rule jsonb DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM hotdash.flag_set(key, jsonb_build_object('state', 'ENABLED', 'variants', '{"on": true, "off": false}'::jsonb, 'defaultVariant', variant)
			|| CASE WHEN rule IS NULL THEN '{}' ELSE jsonb_build_object('targeting', rule) END);
	END
	$$;
	CREATE TABLE shop AS SELECT 'shop' || i AS name, jsonb_build_object('targetingKey', 'shop' || i, 'plan', i % 2) AS context FROM generate_series(1, 20000) AS i;
	ANALYZE shop;
	DO $$
	BEGIN
		PERFORM turn('f', 'off'), turn('g', 'off', '{"if": [{"hd_flag": ["f"]}, "on", "off"]}'),
			turn('s', 'off', '{"if": [{"hd_segment": ["some"]}, "on", "off"]}'), hotdash.segment_add('some', '{shop1}');
	END
	$$});

# ---- parallel workers: the leader counts none itself ----

my $parallel = q{SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;};
my $count = q{SELECT count(*) FILTER (WHERE hotdash.flag_enabled_for('f', name)) || ' ' || count(*) FILTER (WHERE hotdash.flag_enabled('f', context)) || ' ' || count(*) FILTER (WHERE hotdash.flag_enabled('g', context))
	|| ' ' || count(*) FILTER (WHERE (hotdash.flag_evaluate('f', 'null', context)).variant = 'on') || ' ' || count(*) FILTER (WHERE hotdash.flag_enabled('s', context)) FROM shop;};
my ($none, $all) = ('0 0 0 0 1', '20000 20000 20000 20000 1');

like($primary->safe_psql('app', "$parallel EXPLAIN (ANALYZE, COSTS off, TIMING off) $count"), qr/Workers Launched: [12]/, 'decisions run in parallel workers');
is($primary->safe_psql('app', "$parallel $count"), $none, 'all of them off');

# answers of one session, a line each
sub answers { my ($sql) = @_; return $primary->safe_psql('app', "\\o /dev/null\n$parallel " . ($sql =~ s/LOOK/\n\\o\n$count\n\\o \/dev\/null\n/gr)) }

is(answers(q{LOOK BEGIN; SELECT turn('f', 'on'); LOOK ROLLBACK; LOOK}), "$none\n$all\n$none", 'workers see what their leader has changed, and no longer after its ROLLBACK');
is(answers(q{BEGIN; LOOK SAVEPOINT s; SELECT turn('f', 'on'); LOOK ROLLBACK TO s; LOOK SAVEPOINT t; SELECT turn('f', 'on'); RELEASE t; LOOK ROLLBACK;}), "$none\n$all\n$none\n$all", 'or ROLLBACK TO');
is(answers(q{BEGIN; SELECT hotdash.segment_add('some', ARRAY(SELECT name FROM shop)); LOOK ROLLBACK; LOOK}), "0 0 0 0 20000\n$none", 'a segment likewise');
is(answers(q{BEGIN; SET LOCAL hotdash.flag_context = '{"targetingKey": "shop1"}'; SELECT turn('f', 'off', '{"if": [{"==": [{"var": "color"}, "red"]}, "on"]}'); LOOK SET LOCAL hotdash.flag_context = '{"color": "red"}'; LOOK ROLLBACK;}),
	"$none\n$all", 'and the context of the session');

my $reader = $primary->session('app');
my $keeper = $primary->session('app');
$reader->query("$parallel BEGIN;");
$keeper->query("$parallel BEGIN ISOLATION LEVEL REPEATABLE READ;");
is($reader->query($count), $none, 'an open transaction');
is($keeper->query($count), $none, 'another with a snapshot');
$primary->safe_psql('app', q{SELECT turn('f', 'on')});
is($reader->query($count), $all, 'the workers of its next statement see what was committed');
is($keeper->query($count), $none, 'those of the snapshot what it saw');
is($keeper->query("COMMIT; $count"), $all, 'until it ends');
$_->quit foreach $reader, $keeper;

# ---- a hot standby ----

$primary->safe_psql('app', q{SELECT turn('f', 'off')});
$primary->backup('base');
my $standby = HotDash->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = -1');
$standby->start;

sub follow
{
	$primary->safe_psql('app', $_[0]);
	$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));
	return;
}

my $look = q{SELECT hotdash.flag_enabled('f') || ' ' || hotdash.flag_enabled('g') || ' ' || hotdash.flag_enabled_for('f', 'u') || ' ' || hotdash.flag_enabled_for('s', 'shop2') || ' ' || coalesce((hotdash.flag_evaluate('n', 'null')).error_code, 'there');};
my $open = $standby->session('app');
my $held = $standby->session('app');
my $idle = $standby->session('app');
is($idle->query($look), 'false false false false FLAG_NOT_FOUND', 'the standby decides as the primary does');
$open->query('BEGIN READ ONLY;');
$held->query('BEGIN ISOLATION LEVEL REPEATABLE READ;');
is($open->query($look), 'false false false false FLAG_NOT_FOUND', 'in a transaction');
is($held->query($look), 'false false false false FLAG_NOT_FOUND', 'and with a snapshot');

follow(q{SELECT turn('f', 'on')});
is($_->query($look), 'true true true false FLAG_NOT_FOUND', 'what is replayed is seen by the next statement') foreach $idle, $open;
is($held->query($look), 'false false false false FLAG_NOT_FOUND', 'but for the snapshot');
follow(q{SELECT hotdash.segment_add('some', '{shop2}'), turn('n', 'on')});
is($_->query($look), 'true true true true there', 'a segment and a new flag too') foreach $idle, $open;
is($held->query($look), 'false false false false FLAG_NOT_FOUND', 'but for the snapshot');
follow(q{BEGIN; SELECT turn('f', 'off'); PREPARE TRANSACTION 'flags'});
is($open->query($look), 'true true true true there', 'a prepared transaction is not seen');
follow(q{COMMIT PREPARED 'flags'});
is($_->query($look), 'false false false true there', 'before it is committed') foreach $idle, $open;
follow(q{BEGIN; SELECT turn('f', 'on'); SAVEPOINT s; SELECT turn('f', 'off'); ROLLBACK TO s; COMMIT});
is($_->query($look), 'true true true true there', 'a transaction as its last savepoint left it') foreach $idle, $open;
is($held->query("COMMIT; $look"), 'true true true true there', 'and all of it after the snapshot');
is($standby->sqlstate('app', q{SELECT hotdash.flag_expose('f', 'null', '{"targetingKey": "u"}')}), '25006', 'nothing is recorded there');

$open->query('COMMIT;');
follow(q{SELECT 1});
$primary->stop;
$standby->promote;
poll_until(sub { $standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()') eq 'f' }, 60, 'the promotion');
$standby->safe_psql('app', q{SELECT turn('f', 'off')});
is($_->query($look), 'false false false true there', 'a session from before the promotion sees changes from after it') foreach $idle, $open;
$_->quit foreach $open, $held, $idle;

$standby->stop;
done_testing();
