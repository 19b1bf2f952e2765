# Memory: millions of decisions in one statement, and thousands of statements in one session, and not a byte more.
#
# HOTDASH_FLAG_EVALUATIONS says how many there are, of all kinds together; 100000000 is what is promised.

use strict;
use warnings FATAL => 'all';

use FindBin;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('main');
$node->create_db_with_extension('app');
$node->safe_psql('app', q{
	CREATE FUNCTION turn(key text, rule jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM hotdash.flag_set(key, jsonb_build_object('state', 'ENABLED', 'variants', '{"on": true, "off": false}'::jsonb, 'defaultVariant', 'off', 'metadata', '{"owner": "shop"}'::jsonb)
			|| CASE WHEN rule IS NULL THEN '{}' ELSE jsonb_build_object('targeting', rule) END);
	END
	$$;
	DO $$
	BEGIN
		PERFORM turn('static', NULL), turn('tenth', '{"fractional": [["on", 10], ["off", 90]]}'),
			turn('two', '{"if": [{"and": [{"==": [{"var": "shop"}, "s7"]}, {">=": [{"var": "age"}, 18]}]}, "on", "off"]}'),
			turn('texts', '{"if": [{"in": ["7-", {"cat": [{"var": "age"}, "-", {"substr": [{"var": "shop"}, 1]}]}]}, "on", "off"]}'),
			turn('lists', '{"if": [{"<": [10, {"reduce": [{"map": [{"merge": [{"var": "list"}, {"var": "age"}]}, {"*": [{"var": ""}, 2]}]}, {"+": [{"var": "current"}, {"var": "accumulator"}]}, 0]}]}, "on", "off"]}'),
			turn('matches', '{"if": [{"or": [{"hd_regex": [{"var": "shop"}, "^s[0-4]+$"]}, {"hd_cidr": [{"var": "ip"}, ["10.0.0.0/8", "2001:db8::/32"]]}, {"sem_ver": [{"var": "version"}, ">=", "1.2.0"]}, {"hd_before": ["now", "2020-01-01"]}]}, "on", "off"]}'),
			turn('odd', '{"if": [{"fractional": [{"var": "shop"}, ["on", {"var": "age"}], [{"cat": ["o", "ff"]}, 5]]}, "on", {"var": "nothing"}]}'),
			turn('wrong', '{"throw": "wrong"}'), turn('asks', '{"if": [{"hd_flag": ["two"]}, "on", "off"]}'), turn('segment', '{"if": [{"hd_segment": ["some"]}, "on", "off"]}'),
			hotdash.segment_add('some', ARRAY['s1', 's2']);
	END
	$$});

my $context = q{jsonb_build_object('targetingKey', 's' || b % 50, 'shop', 's' || b % 50, 'age', b % 40, 'list', '[1, 2, 3]'::jsonb, 'ip', '10.0.0.' || b % 256, 'version', '1.' || b % 5)};
my %decision = (
	(map { $_ => "hotdash.flag_enabled('$_', $context)" } qw(static tenth two texts lists matches odd wrong asks segment missing)),
	'fast path' => q{hotdash.flag_enabled_for('tenth', 's' || b)},
	'any key' => q{hotdash.flag_enabled_for(CASE b % 4 WHEN 0 THEN 'static' WHEN 1 THEN 'tenth' WHEN 2 THEN 'two' ELSE 'no such' END, 's' || b)},
	details => "hotdash.flag_evaluate('two', 'false', $context)",
	'details of a mismatch' => "hotdash.flag_evaluate('two', '7', $context)",
	json => "hotdash.flag_json('tenth', 'null', $context)",
	bare => q{hotdash.jsonlogic('{"cat": [{"var": "a"}, {"map": [{"var": "b"}, {"+": [{"var": ""}, 1]}]}]}', jsonb_build_object('a', b, 'b', '[1, 2]'::jsonb))},
	bucket => q{hotdash.flag_bucket('growthbook-2', 'salt', 'u' || b)},
);

# Of each kind as many, and ten times so many thousands.
my $kinds = keys %decision;
my $times = 10_000 * int((($ENV{HOTDASH_FLAG_EVALUATIONS} // 5_400_000) + 10_000 * $kinds - 1) / (10_000 * $kinds));
note("$times decisions of each of $kinds kinds, ", $times * $kinds, ' in all');

# All rows are decided; ten of them are printed, each with the memory of the session then. The series are of two, and
# kept in tuplestores that are full when the first is printed.
sub statement
{
	my ($decision, $n) = @_;
	my $outer = $n / 1000;

	return "SELECT (SELECT sum(total_bytes - free_bytes) || ' ' || sum(total_bytes) FROM pg_backend_memory_contexts WHERE a + b > 0) FROM generate_series(1, $outer) AS a, generate_series(1, 1000) AS b"
	  . " WHERE CASE WHEN $decision IS NULL THEN b < 0 ELSE b = 1000 AND a % ($outer / 10) = 0 END";
}

foreach my $name (sort keys %decision)
{
	my @seen = split /\n/, $node->safe_psql('app', 'SET max_parallel_workers_per_gather = 0; SET jit = off; ' . statement($decision{$name}, $times));

	is(scalar @seen, 10, "$name: $times decisions in one statement");
	is($seen[9], $seen[1], 'which take no memory with them');
}

# Statement after statement, with flags that change and come and go in between
my $session = $node->session('app');
my $rounds = 40;
my $round = join "\n", (map { "SELECT count($decision{$_}) FROM generate_series(1, 100) AS b;" } sort keys %decision),
  q{SELECT turn('tenth', '{"fractional": [["on", 20], ["off", 80]]}');},
  q{BEGIN; SELECT turn('other', NULL); SELECT hotdash.flag_enabled('other'); ROLLBACK;}, q{SELECT hotdash.flag_enabled('other');};
my $memory = 'SELECT sum(total_bytes - free_bytes) FROM pg_backend_memory_contexts;';
my @seen;
foreach (1 .. $rounds)
{
	$session->query($round);
	push @seen, $session->query($memory) =~ /(\d+)/;
}
# the server's own caches come to rest in the first rounds, but for a few bytes; one for each decision would be far more
cmp_ok($seen[-1] - $seen[ $rounds / 4 ], '<', 1024, "the session's memory is at rest: $seen[$rounds / 4], then $seen[-1]");
$session->quit;

$node->stop;
done_testing();
