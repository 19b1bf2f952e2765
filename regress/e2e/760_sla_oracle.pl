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

# One round in a database of its own; how many differences.
sub compare
{
	my ($database, $of_seed, $count) = @_;
	my $made = `'$folder/oracle' -z '$tzdata' -s $of_seed -n $count -o '$folder' <'$folder/zones'`;

	$? == 0 or BAIL_OUT('the oracle has failed');
	note($made);
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
	$node->safe_psql($database, q{CREATE VIEW difference AS SELECT * FROM answer
		WHERE (got_time::text, got_instant, got_open) IS DISTINCT FROM (wanted_time::text, wanted_instant, wanted_open)});
	my $differences = $node->safe_psql($database, 'SELECT count(*) FROM difference');
	is($differences, 0, "seed $of_seed: no difference") or diag($node->safe_psql($database, q{
		SELECT format(E'case %s: %s in "%s", from_ts %s, to_ts %s, amount %s, at_close %s, days %s: wanted %s, got %s\n%s', number, asked, zone, from_ts, to_ts,
			amount, at_close, days, coalesce(wanted_time::text, wanted_instant::text, wanted_open::text), coalesce(got_time::text, got_instant::text, got_open::text), c.definition)
		FROM difference AS d JOIN calendar AS c ON c.name = d.calendar ORDER BY length(c.definition::text) LIMIT 5}));
	return $differences;
}

my ($done, $differ, $rounds) = (0, 0, 0);
while ($done < $cases)
{
	my $count = $cases - $done < $ROUND ? $cases - $done : $ROUND;

	$node->safe_psql('postgres', "DROP DATABASE round$rounds") if $rounds > 0;
	$rounds++;
	$differ += compare("round$rounds", $seed + $rounds - 1, $count);
	$done += $count;
}
note("cases $done, from seed $seed on, $differ differences");

# ---- laws, over some calendars of the last round and spans of up to decades ----

my $last = "round$rounds";
$node->safe_psql($last, q{
	SELECT setseed(0.5);
	-- what mentions the row is computed for each
	CREATE TABLE span AS
		SELECT name AS calendar, p[1] AS a, p[2] AS b, p[3] AS c, make_interval(secs => 1e6 * random() ^ 3) AS x, make_interval(secs => 1e5 * random() ^ 3) AS y
		FROM (SELECT name FROM calendar ORDER BY md5(name) LIMIT 200) AS k
		CROSS JOIN generate_series(1, 50) AS n,
		LATERAL (SELECT array_agg(p ORDER BY p) AS p
			FROM (SELECT '1990-01-01Z'::timestamptz + make_interval(secs => 48 * 365.25 * 86400 * random()) AS p FROM generate_series(n, n + 2)) AS r) AS points;
});

my @laws = (
	'elapsed is additive' => 'business_time_between(calendar, a, b) + business_time_between(calendar, b, c) = business_time_between(calendar, a, c)',
	'reversed it is 0' => q{business_time_between(calendar, b, a) = '0' AND business_time_between(calendar, a, a) = '0'},
	'elapsed until due is what was added' => 'business_time_between(calendar, a, business_time_add(calendar, a, x)) = x',
	'so it is to the next opening' => q{business_time_between(calendar, a, business_time_add(calendar, a, x, 'open')) = x},
	'and back' => 'business_time_between(calendar, business_time_add(calendar, b, -x), b) = x',
	'due is the first instant' => q{x = '0' OR business_time_between(calendar, a, business_time_add(calendar, a, x) - interval '1 microsecond') < x},
	'with open the last' => q{business_time_between(calendar, a, business_time_add(calendar, a, x, 'open') + interval '1 microsecond') > x},
	'back too' => q{x = '0' OR business_time_between(calendar, business_time_add(calendar, b, -x) + interval '1 microsecond', b) < x},
	'due is monotonic in the start' => 'business_time_add(calendar, a, x) <= business_time_add(calendar, b, x)',
	'and in the amount' => 'business_time_add(calendar, a, least(x, y)) <= business_time_add(calendar, a, greatest(x, y))',
	'elapsed is monotonic' => 'business_time_between(calendar, a, b) <= business_time_between(calendar, a, c)',
	'two steps are one' => 'business_time_add(calendar, business_time_add(calendar, a, x), y) = business_time_add(calendar, a, x + y)',
	'the next opening is open' => q{business_open(calendar, business_time_add(calendar, a, '0', 'open'))},
	'what is open passes' => q{business_open(calendar, a) = (business_time_between(calendar, a, a + interval '1 microsecond') > '0')},
);
my %condition = @laws;
my @names = @laws[ grep { $_ % 2 == 0 } 0 .. $#laws ];
my @broken = split /\|/, $node->safe_psql($last, 'SET search_path = hotdash, pg_catalog, public; SELECT count(*), '
	  . join(', ', map { "count(*) FILTER (WHERE ($condition{$_}) IS NOT TRUE)" } @names) . ' FROM span');
is(shift @broken, 10000, '10000 spans');
is(shift @broken, 0, $_) foreach @names;

# An hour before and after an end of the hours
is($node->safe_psql($last, q{
	SET search_path = hotdash, pg_catalog, public;
	SELECT count(*), count(*) FILTER (WHERE s.open <> extract(epoch FROM business_time_between(calendar, start, start + interval '2 hours')))
	FROM (SELECT DISTINCT ON (calendar) calendar, date_trunc('second', business_time_add(calendar, a, '10 h', 'open')) - interval '1 hour' AS start FROM span ORDER BY calendar, a) AS k,
		LATERAL (SELECT count(*) FILTER (WHERE business_open(calendar, at)) AS open FROM generate_series(start, start + interval '7199 s', '1 s') AS at) AS s}),
	'200|0', 'the seconds that are open are the time elapsed');
is($node->safe_psql($last, q{
	SET search_path = hotdash, pg_catalog, public;
	SELECT count(*), count(*) FILTER (WHERE business_time_between(calendar, a, a + interval '700 days') <> s.open)
	FROM (SELECT DISTINCT ON (calendar) calendar, a FROM span ORDER BY calendar) AS k,
		LATERAL (SELECT sum(business_time_between(calendar, a + n * interval '1 day', a + (n + 1) * interval '1 day')) AS open FROM generate_series(0, 699) AS n) AS s}),
	'200|0', 'the days of two years add up');

done_testing();
