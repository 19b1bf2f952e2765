# Rate limits under 64 sessions at once, a third of which are terminated in the middle of their calls: what was granted
# is what the model allows, to the unit. The witnesses are sequences, which no rollback undoes either.
# HOTDASH_LIMIT_ROUNDS (2): seeded rounds.

use strict;
use warnings FATAL => 'all';

use HotDash;
use List::Util qw(sum);
use Test::More;

my $SESSIONS = 64;
my $KEYS = 4;
my $ROUNDS = $ENV{HOTDASH_LIMIT_ROUNDS} // 2;
my %COUNT = (gcra => 50000, log => 900, window => 40000);

my $node = HotDash->cluster('main', conf => "max_connections = 120\nhotdash.limit_slots = 256");
$node->create_db_with_extension('app');
# A unit takes longer to come back than the test takes to run, and the window is a year.
$node->safe_psql('app', qq{
	SELECT hotdash.limit_set('gcra', $COUNT{gcra}, '30000 days');
	SELECT hotdash.limit_set('log', $COUNT{log}, '1 day', algorithm => 'log');
	SELECT hotdash.limit_set('window', $COUNT{window}, '10 years', algorithm => 'window')});

sub sql { return $node->safe_psql('app', shift) }

# Clients of their own, which begin all at once, when they are there.
my $runs = 0;

sub run_clients
{
	my ($statement, $meanwhile) = @_;

	# a session of its own for each, since it has a time to live
	my $gate = $node->session('app');

	$runs++;
	$gate->query('SELECT pg_advisory_lock(1)');
	my @clients = map { HotDash::Process->start("client${runs}_$_", undef, 'psql', '-XAtq', '-d', $node->connstr('app') . " application_name=client$_",
			'-c', 'SELECT FROM pg_advisory_lock_shared(1)', '-c', $statement->($_)) } 1 .. $SESSIONS;
	poll_until(sub { $gate->query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") =~ /^$SESSIONS$/m }, 60, 'the clients to be there');
	$gate->query('SELECT pg_advisory_unlock(1)');
	$gate->query($meanwhile) if $meanwhile;
	poll_until(sub { !grep { $_->is_running } @clients }, 120, 'the clients to end');
	$gate->quit;
	return @clients;
}

# End a third of the clients, one after another, with so many calls of the limits between two of them.
my $end_some = q{DO $$ DECLARE victim record; BEGIN
	FOR victim IN SELECT pid FROM pg_stat_activity WHERE application_name ~ '^client' ORDER BY random() LIMIT 21 LOOP
		PERFORM hotdash.limit_allow('window', 'between' || i % 100, 0) FROM generate_series(1, (random() * 2000)::int) AS i;
		PERFORM pg_terminate_backend(victim.pid);
	END LOOP;
END $$};

my ($kills, $grants) = (0, 0);
foreach my $round (1 .. $ROUNDS)
{
	my $seed = 4711 + $round;
	srand($seed);
	sql("CREATE SEQUENCE granted_${_}_$round") foreach map { my $limit = $_; map { "${limit}_$_" } 1 .. $KEYS } keys %COUNT;

	# Every limit by turns; where one grants, its witness counts before anything can interrupt.
	my @clients = run_clients(
		sub {
			my ($n) = @_;
			my $witness = join ' ', map { my $limit = $_; map { "WHEN name = '$limit' AND key = $_ THEN CASE WHEN hotdash.limit_allow('$limit', '$round:' || key) THEN nextval('granted_${limit}_${_}_$round') END" } 1 .. $KEYS } sort keys %COUNT;
			return "SELECT setseed(" . (($seed * 31 + $n) % 1000) / 1000 . "); SELECT count(CASE $witness END) FROM (SELECT (ARRAY['gcra', 'log', 'window'])[1 + (random() * 2.999)::int % 3] AS name, 1 + (random() * $KEYS)::int % $KEYS AS key FROM generate_series(1, 40000) OFFSET 0) AS call";
		},
		$end_some);
	my $terminated = grep { $_->log =~ /terminating connection/ } @clients;
	$kills += $terminated;
	cmp_ok($terminated, '>=', 1, "round $round: $terminated sessions were terminated in their calls");
	is(scalar(grep { $_->log !~ /terminating connection|^\d+$/m } @clients), 0, 'and all others came to their end');

	# Whoever was not terminated asks for the rest, so that every bucket is empty.
	sql("SELECT count(CASE WHEN hotdash.limit_allow('$_', '$round:' || k) THEN nextval(format('granted_%s_%s_%s', '$_', k, $round)) END) FROM generate_series(1, $KEYS) AS k, generate_series(1, $COUNT{$_} + 10)") foreach sort keys %COUNT;
	is(sql("SELECT value FROM hotdash._counters() WHERE name = 'limits_evicted'"), '0', 'and no bucket made room for another');
	foreach my $limit (sort keys %COUNT)
	{
		$grants += sql('SELECT ' . join(' + ', map { "(SELECT last_value FROM granted_${limit}_${_}_$round)" } 1 .. $KEYS));
		is(sql("SELECT string_agg(last_value::text, ' ') FROM (" . join(' UNION ALL ', map { "SELECT last_value FROM granted_${limit}_${_}_$round" } 1 .. $KEYS) . ") AS s"),
			join(' ', ($COUNT{$limit}) x $KEYS), "$limit: each of $KEYS keys granted $COUNT{$limit}, not one more or less");
		sql("SELECT hotdash.limit_reset('$limit', '$round:' || k) FROM generate_series(1, $KEYS) AS k");
	}
}
is(sql(q{SELECT string_agg(name || ' ' || allowed, ' ' ORDER BY name) FROM hotdash._limit_counts()}),
	join(' ', map { "$_ " . $COUNT{$_} * $KEYS * $ROUNDS } sort keys %COUNT), 'and so say the counts');
note("kills $kills, granted $grants in $ROUNDS rounds, the model ", sum(values %COUNT) * $KEYS * $ROUNDS);

# Costs and refunds: what is left is what was not taken, or given back
my $taken = 0;
foreach my $client (run_clients(sub { my ($n) = @_; return qq{SELECT setseed($n / 100.0);
	SELECT sum(CASE WHEN cost > 0 THEN CASE WHEN hotdash.limit_allow('gcra', 'both', cost) THEN cost ELSE 0 END ELSE -hotdash.limit_refund('gcra', 'both', -cost) END)
	FROM (SELECT -4 + (random() * 11)::int AS cost FROM generate_series(1, 2000) OFFSET 0) AS c}}))
{
	$taken += ($client->log =~ /(-?\d+)\s*$/)[0];
}
is(sql(q{SELECT remaining FROM hotdash.limit_take('gcra', 'both', 0)}), $COUNT{gcra} - $taken, "64 sessions that take and give back: $taken are taken");

# All or none of eight
my @eight = map { [ "all$_", 500 + 100 * $_ ] } 1 .. 8;
sql("SELECT hotdash.limit_set('$_->[0]', $_->[1], '30000 days')") foreach @eight;
sql("SELECT hotdash.limit_set('all3', 500, '1 day', algorithm => 'log')");
my $names = '{' . join(',', map { $_->[0] } @eight) . '}';
my $turned = '{' . join(',', map { $_->[0] } reverse @eight) . '}';
$eight[2][1] = 500;
my $granted = 0;
foreach my $client (run_clients(sub { my ($n) = @_; my $order = $n % 2 ? $names : $turned; return qq{SELECT count(*) FILTER (WHERE hotdash.limit_take_all('$order', 'all', 1 + i % 3)) FROM generate_series(1, 300) AS i} }))
{
	$granted += ($client->log =~ /(\d+)\s*$/)[0];
}
my %left = map { split /\|/ } split /\n/, sql("SELECT n, remaining FROM unnest('$names'::text[]) AS n, hotdash.limit_take(n, 'all', 0)");
my %used = map { $_->[1] - $left{$_->[0]} => 1 } @eight;
is(keys %used, 1, 'all or none of eight: all have granted the same');
is((keys %used)[0], 500, "as many units as the smallest has, in $granted calls");

# One that gets nothing never charges the others, not for an instant: who asks for one alone is never refused.
sql("SELECT hotdash.limit_set('narrow', 1, '30000 days'), hotdash.limit_set('wide', 100000, '30000 days'), hotdash.limit_allow('narrow', 'k')");
sql(q{SELECT hotdash.limit_allow('wide', 'k', 99999)});
my @refused = map { $_->log =~ /(\d+)\s*$/ } run_clients(sub { my ($n) = @_; return $n % 8
	? q{SELECT count(*) FILTER (WHERE hotdash.limit_take_all('{narrow,wide}', 'k')) FROM generate_series(1, 3000)}
	: q{SELECT count(*) FILTER (WHERE NOT hotdash.limit_allow('wide', 'k', 0)) FROM generate_series(1, 3000)} });
is(eval join('+', @refused), 0, 'a part of a call that is refused as a whole is never seen');

# More keys than there is room for: who is in debt and made room is counted, so nothing is granted twice unseen
sql("SELECT hotdash.limit_set('single', 1, '30000 days')");
my $before = sql("SELECT value FROM hotdash._counters() WHERE name = 'limits_evicted'");
is(sql(q{SELECT count(*) FILTER (WHERE hotdash.limit_allow('single', i::text)) FROM generate_series(1, 2000) AS i}), 2000, '2,000 keys in 256 places');
my $again = sql(q{SELECT count(*) FILTER (WHERE hotdash.limit_allow('single', i::text)) FROM generate_series(2000, 1, -1) AS i});
my $evicted = sql("SELECT value FROM hotdash._counters() WHERE name = 'limits_evicted'") - $before;
cmp_ok($again, '>', 1000, 'most of them are forgotten');
cmp_ok($evicted, '>=', $again, "each that was granted twice ($again) made room for another ($evicted)");

$node->stop;
done_testing();
