# Business time against a count second by second (regress/oracle), by the same tzdata that the server has, in every zone it
# lists, from 1990 to 2037; and the laws that hold for all calendars.
#
# The same cases each time. HOTDASH_ORACLE_SEED asks for others, HOTDASH_ORACLE_CASES for more than 100000. A difference is
# told with the calendar and the question; `oracle -s SEED` and the number of the case give it again.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

my $ROUND = 100_000;

my $cases = $ENV{HOTDASH_ORACLE_CASES} // $ROUND;
my $seed = $ENV{HOTDASH_ORACLE_SEED} // 1;

my $folder = "$ENV{TESTDIR}/oracle";
system('make', '-s', '-C', "$ENV{HOTDASH_TREE}/regress/oracle", "BUILD=$folder") == 0 or BAIL_OUT('cannot build the oracle');

# The system's, or its own
my ($configured) = PostgreSQL::Test::Utils::run_command([ 'pg_config', '--configure' ]);
my ($share) = PostgreSQL::Test::Utils::run_command([ 'pg_config', '--sharedir' ]);
my $tzdata = $configured =~ /--with-system-tzdata=([^' ]+)/ ? $1 : "$share/timezone";

my $node = HotDash->cluster('main');
# posix/ holds the same files again
$node->safe_psql('postgres', "COPY (SELECT name FROM pg_timezone_names WHERE name NOT LIKE 'posix/%' ORDER BY name COLLATE \"C\") TO '$folder/zones'");

# One round in a database of its own; the differences.
sub compare
{
	my ($database, $of_seed, $count) = @_;
	my $made = `'$folder/oracle' -z '$tzdata' -s $of_seed -n $count -o '$folder' <'$folder/zones'`;

	$? == 0 or BAIL_OUT('the oracle has failed');
	print map { "# $_\n" } split /\n/, $made;
	unlike($made, qr/^no zone: /m, 'every zone of the server could be read');
	$node->create_db_with_extension($database);
	$node->safe_psql($database, qq{
		CREATE TABLE calendar (name text PRIMARY KEY, definition jsonb, zone text);
		CREATE TABLE question (number bigint PRIMARY KEY, calendar text, asked text, from_ts timestamptz, to_ts timestamptz, amount interval,
			at_close text, days int, wanted_time interval, wanted_instant timestamptz, wanted_open bool);
		COPY calendar FROM '$folder/calendars.copy';
		COPY question FROM '$folder/cases.copy';
		SELECT count(hotdash.calendar_set(name, definition)) FROM calendar;
		CREATE TABLE answer AS SELECT q.*,
			CASE WHEN asked = 'between' THEN hotdash.business_time_between(calendar, from_ts, to_ts) END AS got_time,
			CASE asked WHEN 'add' THEN hotdash.business_time_add(calendar, from_ts, amount, at_close)
				WHEN 'days' THEN hotdash.business_days_add(calendar, from_ts, days) END AS got_instant,
			CASE WHEN asked = 'open' THEN hotdash.business_open(calendar, from_ts) END AS got_open
			FROM question AS q;
	});
	is($node->safe_psql($database, 'SELECT count(*) FROM answer'), $count, "seed $of_seed: $count answers");
	# as text, since a day is not 24 hours here
	return $node->safe_psql($database, q{
		SELECT format(E'case %s: %s in "%s", from_ts %s, to_ts %s, amount %s, at_close %s, days %s: wanted %s, got %s\n%s', number, asked, zone, from_ts, to_ts,
			amount, at_close, days, coalesce(wanted_time::text, wanted_instant::text, wanted_open::text), coalesce(got_time::text, got_instant::text, got_open::text), definition)
		FROM answer JOIN calendar ON calendar.name = answer.calendar
		WHERE (got_time::text, got_instant, got_open) IS DISTINCT FROM (wanted_time::text, wanted_instant, wanted_open)
		ORDER BY length(definition::text) LIMIT 5});
}

my ($done, $rounds) = (0, 0);
while ($done < $cases)
{
	my $count = $cases - $done < $ROUND ? $cases - $done : $ROUND;
	my $database = 'round' . ++$rounds;

	is(compare($database, $seed + $rounds - 1, $count), '', 'seed ' . ($seed + $rounds - 1) . ': no difference');
	$done += $count;
	$node->safe_psql('postgres', "DROP DATABASE $database") if $done < $cases;
}
print "# oracle: $done cases from seed $seed on, differences are told above\n";

# ---- laws, over the calendars of the last round and spans of up to decades ----

my $last = "round$rounds";
$node->safe_psql($last, q{
	SELECT setseed(0.5);
	CREATE TABLE span AS
		SELECT name AS calendar, a, b, c, x, y
		FROM (SELECT name, '1990-01-01Z'::timestamptz AS base, 48 * 365.25 * 86400 AS width FROM calendar) AS k
		CROSS JOIN generate_series(1, 10),
		-- mentions the calendar, so that each has numbers of its own
		LATERAL (SELECT array_agg(p ORDER BY p) AS p FROM (SELECT base + make_interval(secs => width * random()) AS p FROM generate_series(1, 3) WHERE name <> '') AS r) AS points,
		LATERAL (SELECT p[1], p[2], p[3]) AS abc (a, b, c),
		LATERAL (SELECT make_interval(secs => 1e6 * random() ^ 3 + length(left(name, 0))), make_interval(secs => 1e5 * random() ^ 3 + length(left(name, 0)))) AS xy (x, y);
	ANALYZE span;
});

# law WHAT, COUNT, CONDITION: how often it is broken
sub law
{
	my ($what, $condition) = @_;

	is($node->safe_psql($last, qq{
		SET search_path = hotdash, pg_catalog, public;
		SELECT count(*) > 10000, count(*) FILTER (WHERE ($condition) IS NOT TRUE) FROM span}), 't|0', $what);
	return;
}

law('elapsed is additive', 'business_time_between(calendar, a, b) + business_time_between(calendar, b, c) = business_time_between(calendar, a, c)');
law('reversed it is 0', q{business_time_between(calendar, b, a) = '0' AND business_time_between(calendar, a, a) = '0'});
law('elapsed until due is what was added', 'business_time_between(calendar, a, business_time_add(calendar, a, x)) = x');
law('so it is to the next opening', q{business_time_between(calendar, a, business_time_add(calendar, a, x, 'open')) = x});
law('and back', 'business_time_between(calendar, business_time_add(calendar, b, -x), b) = x');
law('due is the first instant', q{x = '0' OR business_time_between(calendar, a, business_time_add(calendar, a, x) - interval '1 microsecond') < x});
law('with open the last', q{business_time_between(calendar, a, business_time_add(calendar, a, x, 'open') + interval '1 microsecond') > x});
law('back too', q{x = '0' OR business_time_between(calendar, business_time_add(calendar, b, -x) + interval '1 microsecond', b) < x});
law('due is monotonic in the start', 'business_time_add(calendar, a, x) <= business_time_add(calendar, b, x)');
law('and in the amount', 'business_time_add(calendar, a, least(x, y)) <= business_time_add(calendar, a, greatest(x, y))');
law('elapsed is monotonic', 'business_time_between(calendar, a, b) <= business_time_between(calendar, a, c)');
law('two steps are one', 'business_time_add(calendar, business_time_add(calendar, a, x), y) = business_time_add(calendar, a, x + y)');
law('the next opening is open', q{business_open(calendar, business_time_add(calendar, a, '0', 'open'))});
law('what is open passes', q{business_open(calendar, a) = (business_time_between(calendar, a, a + interval '1 microsecond') > '0')});

is($node->safe_psql($last, q{
	SET search_path = hotdash, pg_catalog, public;
	SELECT count(*) > 300, count(*) FILTER (WHERE s.open <> extract(epoch FROM business_time_between(calendar, date_trunc('minute', a), date_trunc('minute', a) + interval '3 hours')))
	FROM (SELECT DISTINCT ON (calendar) calendar, business_time_add(calendar, a, x) AS a FROM span ORDER BY calendar, a LIMIT 500) AS k,
		LATERAL (SELECT count(*) FILTER (WHERE business_open(calendar, at)) AS open
			FROM generate_series(date_trunc('minute', a), date_trunc('minute', a) + interval '10799 s', '1 s') AS at) AS s}),
	't|0', 'the seconds that are open are the time elapsed');
is($node->safe_psql($last, q{
	SET search_path = hotdash, pg_catalog, public;
	SELECT count(*) > 50, count(*) FILTER (WHERE business_time_between(calendar, a, a + interval '700 days') <> s.open)
	FROM (SELECT DISTINCT ON (calendar) calendar, a FROM span ORDER BY calendar LIMIT 100) AS k,
		LATERAL (SELECT sum(business_time_between(calendar, a + n * interval '1 day', a + (n + 1) * interval '1 day')) AS open FROM generate_series(0, 699) AS n) AS s}),
	't|0', 'the days of two years add up');

done_testing();
