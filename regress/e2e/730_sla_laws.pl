#!/usr/bin/perl
#
# 730_sla_laws.pl: a clock's state is a function of its log.
#
# Random stories of many subjects, over calendars in several zones, are told three times: in order, in order with scans
# between, and shuffled with scans between. All three must come to the same clocks; and computing any of them anew from its
# log must change nothing. The seed is printed; HOTDASH_SEED repeats a run.

use strict;
use warnings;

use HotDash;
use Test::More;

my $seed = $ENV{HOTDASH_SEED} // time;
srand($seed);
note("seed $seed");

my $node = HotDash->cluster('laws', conf => "hotdash.databases = ''");
$node->create_db_with_extension('app');

# Before the stories end, so that some clocks are open; all of it is long ago.
my $epoch = 1_700_000_000;
my $days = 12;
my $now = $epoch + $days * 86400;
my @events = qw(customer_message agent_reply pending open on_hold solved reopened update deleted);
my @weights = (20, 20, 10, 12, 4, 6, 6, 3, 1);
my $stories = 250;

sub pick
{
	my $at = rand(eval { my $sum = 0; $sum += $_ for @weights; $sum });

	for my $i (0 .. $#weights)
	{
		return $events[$i] if ($at -= $weights[$i]) < 0;
	}
	return $events[0];
}

# A story: the start, then events at different microseconds.
sub story
{
	my $start = int(rand($days * 86400 * 0.7) * 1e6);
	my $n = int(rand(14));
	my %at;

	$at{ $start + 1 + int(rand($days * 86400 * 1e6 - $start - 1)) } = pick() for 1 .. $n;
	return { start => $start, events => [ map { [ $_, $at{$_} ] } sort { $a <=> $b } keys %at ] };
}

sub shuffled
{
	my @list = @_;

	for my $i (reverse 1 .. $#list)
	{
		my $j = int(rand($i + 1));
		@list[ $i, $j ] = @list[ $j, $i ];
	}
	return @list;
}

sub instant
{
	my ($us) = @_;

	return sprintf("to_timestamp(%d) + interval '%d microseconds'", $epoch, $us);
}

sub clock_set
{
	my ($us) = @_;

	return sprintf("SELECT set_config('hotdash.now_override', (%s)::text, false);\n", instant($us));
}

$node->safe_psql('app', <<'SQL');
SELECT hotdash.calendar_set('berlin', '{"time_zone": "Europe/Berlin", "hours": {"mon": [["08:00", "12:00"], ["13:00", "17:00"]],
	"tue": [["08:00", "17:00"]], "wed": [["08:00", "17:00"]], "thu": [["22:00", "06:00"]], "sat": [["10:00", "24:00"]]},
	"holidays": ["2023-11-21"], "breaks": {"2023-11-20": [["09:30", "10:15"]]}}');
SELECT hotdash.calendar_set('lord', '{"time_zone": "Australia/Lord_Howe", "hours": {"mon": [["00:00", "24:00"]],
	"wed": [["09:00", "09:30"], ["09:31", "18:00"]], "fri": [["18:00", "02:00"]], "sun": [["12:00", "13:00"]]}}');
SELECT hotdash.sla_policy_set('p0', '{"metrics": {
	"first_response": {"target": "3 hours", "warnings": [{"at": "50%"}]}, "next_response": {"target": "2 hours"},
	"resolution": {"target": "20 hours", "escalations": [{"after": "1 hour"}]}, "periodic_update": {"target": "8 hours"}}}');
SELECT hotdash.sla_policy_set(p, jsonb_build_object('calendar', k, 'at_close', c, 'metrics', '{
	"first_response": {"target": "2 hours", "pause": ["pending", "on_hold"], "resume": ["open"], "warnings": [{"at": "80%"}]},
	"next_response": {"target": "1 hour", "reopen": "restart", "reopens": ["reopened"]},
	"resolution": {"target": "10 hours", "reopen": "restart", "escalations": [{"after": "30 minutes"}]},
	"periodic_update": {"target": "4 hours"}}'::jsonb))
	FROM (VALUES ('p1', 'berlin', 'close'), ('p2', 'lord', 'close'), ('p3', 'berlin', 'open')) AS x (p, k, c);
SQL

my @stories = map { story() } 1 .. $stories;
my $sql = '';

# In order, each told when it happens; without a scan, and with one now and then.
for my $way ('plain', 'scanned')
{
	for my $i (0 .. $#stories)
	{
		my $s = $stories[$i];

		$sql .= clock_set($s->{start}) . sprintf("SELECT hotdash.sla_start('p%d', '%s/%d');\n", $i % 4, $way, $i);
		for my $e (@{ $s->{events} })
		{
			$sql .= clock_set($e->[0]);
			$sql .= "SELECT hotdash.sla_scan(100000);\n" if $way eq 'scanned' && rand() < 0.3;
			$sql .= sprintf("SELECT hotdash.sla_event('%s/%d', '%s');\n", $way, $i, $e->[1]);
		}
	}
}

# Told in any order, when all is over, with scans between.
$sql .= clock_set($days * 86400 * 1e6);
for my $i (0 .. $#stories)
{
	my $s = $stories[$i];

	$sql .= sprintf("SELECT hotdash.sla_start('p%d', 'shuffled/%d', at => %s);\n", $i % 4, $i, instant($s->{start}));
	for my $e (shuffled(@{ $s->{events} }))
	{
		$sql .= sprintf("SELECT hotdash.sla_event('shuffled/%d', '%s', %s);\n", $i, $e->[1], instant($e->[0]));
		$sql .= "SELECT hotdash.sla_scan(100000);\n" if rand() < 0.1;
	}
}
$sql .= "SELECT hotdash.sla_scan(100000);\n" x 3;
$node->safe_psql('app', $sql);

# Retries of a scan find nothing more.
my $moved = sprintf("SET hotdash.now_override = '%s';\n",
	$node->safe_psql('app', 'SELECT ' . instant($days * 86400 * 1e6)));
is($node->safe_psql('app', $moved . 'SELECT hotdash.sla_scan(100000)'), '0', 'nothing is due after the scans');

my $shape = <<'SQL';
CREATE TEMP VIEW shape AS SELECT split_part(subject, '/', 1) AS way, split_part(subject, '/', 2)::int AS story, metric, cycle, state,
	breached, started_at, due_at, closed_at, breached_at, elapsed, remaining, next_step, next_step_at FROM hotdash.sla_clocks;
SQL
my $differences = <<'SQL';
SELECT count(*) FROM (
	(SELECT story, metric, cycle, state, breached, started_at, due_at, closed_at, breached_at, elapsed, remaining, next_step, next_step_at
		FROM shape WHERE way = 'plain'
	EXCEPT SELECT story, metric, cycle, state, breached, started_at, due_at, closed_at, breached_at, elapsed, remaining, next_step, next_step_at
		FROM shape WHERE way = 'WAY')
	UNION ALL
	(SELECT story, metric, cycle, state, breached, started_at, due_at, closed_at, breached_at, elapsed, remaining, next_step, next_step_at
		FROM shape WHERE way = 'WAY'
	EXCEPT SELECT story, metric, cycle, state, breached, started_at, due_at, closed_at, breached_at, elapsed, remaining, next_step, next_step_at
		FROM shape WHERE way = 'plain')) AS d;
SQL
for my $way ('scanned', 'shuffled')
{
	(my $query = $differences) =~ s/WAY/$way/g;
	is($node->safe_psql('app', $moved . $shape . $query), '0', "$stories stories, $way: the same clocks as in order")
		or diag($node->safe_psql('app', $moved . $shape
			. "SELECT * FROM shape AS s WHERE way IN ('plain', '$way') AND EXISTS (SELECT FROM (SELECT story FROM (SELECT story, metric, cycle, state, breached, due_at, closed_at FROM shape WHERE way = 'plain' EXCEPT SELECT story, metric, cycle, state, breached, due_at, closed_at FROM shape WHERE way = '$way') AS y LIMIT 1) AS x WHERE x.story = s.story) ORDER BY story, metric, cycle, way")
		. "\nseed $seed");
}

is($node->safe_psql('app', $moved . <<'SQL'), '', 'computing all anew from their logs changes nothing');
CREATE TEMP TABLE before AS SELECT * FROM hotdash._sla_clock;
SELECT count(hotdash._sla_replay(id)) FROM before WHERE cycle = 1 \g /dev/null
(SELECT 'before', b.* FROM (TABLE before EXCEPT TABLE hotdash._sla_clock) AS b)
	UNION ALL (SELECT 'after', a.* FROM (TABLE hotdash._sla_clock EXCEPT TABLE before) AS a) ORDER BY 2, 1 DESC LIMIT 4;
SQL
cmp_ok($node->safe_psql('app', 'SELECT count(*) FROM hotdash.sla_clocks'), '>', $stories * 6, 'they were many');
is($node->safe_psql('app', 'SELECT count(*) FROM (SELECT FROM hotdash._sla_event WHERE step IS NOT NULL GROUP BY clock, step HAVING count(*) > 1) AS x'),
	'0', 'no step twice');

$node->stop;
done_testing();
