# Flags and rules at random: what decides never raises, all ways to ask agree with each other and with the
# explanation, and the classic operators give what an interpreter of its own gives (Rules.pm).
#
# The same numbers each time. HOTDASH_FUZZ_SECONDS runs it for longer, HOTDASH_FUZZ_SEED with other numbers; a
# failure names the seed of its round, with which it is the first.

use strict;
use warnings FATAL => 'all';
use utf8;

use FindBin;
use Test::More;
use Time::HiRes qw(time);

use lib $FindBin::RealBin;
use HotDash;
use Rules;

my $seconds = $ENV{HOTDASH_FUZZ_SECONDS} // 0;
my $seed = $ENV{HOTDASH_FUZZ_SEED} // 1;
my ($rules, $flags, $contexts) = (4000, 150, 40);

my $node = HotDash->cluster('main');
$node->create_db_with_extension('app');
$node->safe_psql('app', q{
	CREATE TABLE rule (rule jsonb, data jsonb, wanted jsonb);
	CREATE TABLE definition (key text, definition jsonb);
	CREATE TABLE context (context jsonb);
	CREATE TABLE wrong (what text, key text, context jsonb, got text);

	CREATE FUNCTION ask(rule jsonb, data jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN
		RETURN hotdash.jsonlogic(rule, data, 'js');
	EXCEPTION WHEN OTHERS THEN
		RETURN jsonb_build_object('state', SQLSTATE, 'message', SQLERRM);
	END
	$$;

	-- A definition may be refused, clearly.
	CREATE FUNCTION set_all() RETURNS bigint LANGUAGE plpgsql AS $$
	DECLARE
		one record;
		taken bigint := 0;
	BEGIN
		FOR one IN SELECT * FROM definition LOOP
			BEGIN
				PERFORM hotdash.flag_set(one.key, one.definition);
				taken := taken + 1;
			EXCEPTION
				WHEN invalid_parameter_value OR program_limit_exceeded OR statement_too_complex THEN NULL;
				WHEN OTHERS THEN INSERT INTO wrong VALUES ('set', one.key, NULL, SQLSTATE || ' ' || SQLERRM);
			END;
		END LOOP;
		RETURN taken;
	END
	$$;

	-- One flag in one context, by all ways.
	CREATE FUNCTION examine(of_key text, given jsonb, listed hotdash.flag_result) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		result hotdash.flag_result;
		typed hotdash.flag_result;
		explained jsonb;
		began timestamptz := clock_timestamp();
		unit text := given ->> 'targetingKey';
	BEGIN
		result := hotdash.flag_evaluate(of_key, 'null', given);
		IF clock_timestamp() - began > '5 s' THEN
			INSERT INTO wrong VALUES ('slow', of_key, given, clock_timestamp() - began);
		END IF;
		explained := hotdash.flag_explain(of_key, given);
		IF (explained ->> 'variant', explained ->> 'reason', explained ->> 'error_code', coalesce(explained -> 'value', 'null'))
			IS DISTINCT FROM (result.variant, result.reason, result.error_code, coalesce(result.value, 'null')) THEN
			INSERT INTO wrong VALUES ('explain', of_key, given, format('%s, but %s', result, explained));
		END IF;
		IF to_jsonb(listed) IS DISTINCT FROM to_jsonb(result) THEN
			INSERT INTO wrong VALUES ('evaluate_all', of_key, given, format('%s, but %s', result, listed));
		END IF;
		typed := hotdash.flag_evaluate(of_key, 'true', given);
		IF hotdash.flag_enabled(of_key, given, true) IS DISTINCT FROM (typed.value)::bool THEN
			INSERT INTO wrong VALUES ('enabled', of_key, given, typed);
		END IF;
		typed := hotdash.flag_evaluate(of_key, '"x"', given);
		IF hotdash.flag_text(of_key, 'x', given) IS DISTINCT FROM typed.value #>> '{}' THEN
			INSERT INTO wrong VALUES ('text', of_key, given, typed);
		END IF;
		typed := hotdash.flag_evaluate(of_key, '7', given);
		IF to_jsonb(hotdash.flag_number(of_key, 7, given)) IS DISTINCT FROM typed.value THEN
			INSERT INTO wrong VALUES ('number', of_key, given, typed);
		END IF;
		typed := hotdash.flag_evaluate(of_key, '{"x": 1}', given);
		IF hotdash.flag_json(of_key, '{"x": 1}', given) IS DISTINCT FROM typed.value THEN
			INSERT INTO wrong VALUES ('json', of_key, given, typed);
		END IF;
		typed := hotdash.flag_evaluate(of_key, 'false', jsonb_build_object('targetingKey', unit));
		IF unit IS NOT NULL AND hotdash.flag_enabled_for(of_key, unit) IS DISTINCT FROM (typed.value)::bool THEN
			INSERT INTO wrong VALUES ('enabled_for', of_key, given, typed);
		END IF;
	EXCEPTION WHEN OTHERS THEN
		-- cancelled or out of some resource is no answer, all else has to be one
		IF SQLSTATE !~ '^(57014|54|53)' THEN
			INSERT INTO wrong VALUES ('raised', of_key, given, SQLSTATE || ' ' || SQLERRM);
		END IF;
	END
	$$;
	CREATE FUNCTION examine_all() RETURNS bigint LANGUAGE plpgsql AS $$
	DECLARE
		given jsonb;
		listed record;
		answers bigint := 0;
	BEGIN
		FOR given IN SELECT context FROM context LOOP
			FOR listed IN SELECT a.key, (a.value, a.variant, a.reason, a.error_code, a.error_message, a.metadata)::hotdash.flag_result AS result
				FROM hotdash.flag_evaluate_all(given) AS a LOOP
				PERFORM examine(listed.key, given, listed.result);
				answers := answers + 1;
			END LOOP;
		END LOOP;
		RETURN answers;
	END
	$$;
	DO $$ BEGIN PERFORM hotdash.segment_add('some', ARRAY['u1', 'a', U&'\00e9', '1']); END $$});

# load TABLE, ROWS: rows of JSON texts, through a file
sub load
{
	my ($table, @rows) = @_;
	my $file = $node->basedir . "/$table.copy";

	open(my $out, '>:utf8', $file) or die $!;
	print $out join("\t", map { s/\\/\\\\/gr } @$_), "\n" foreach @rows;
	close $out or die $!;
	$node->safe_psql('app', "TRUNCATE $table; COPY $table FROM '$file'");
	return;
}

# ---- against the interpreter ----

sub compare
{
	my @rows;

	while (@rows < $rules)
	{
		my ($rule, $data) = (Rules::random_rule(1 + int rand 4), Rules::random_data(2));
		my ($known, $wanted) = Rules::evaluate($rule, $data);
		push @rows, [ map { Rules::json($_) } $rule, $data, $wanted ] if $known;
	}
	load('rule', @rows);
	return $node->safe_psql('app', q{SELECT format(E'%s\n on %s\n wanted %s, got %s', rule, data, wanted, got)
		FROM (SELECT *, ask(rule, data) AS got FROM rule) AS r WHERE got IS DISTINCT FROM wanted ORDER BY length(rule::text) LIMIT 5});
}

# ---- flags of all operators ----

sub word { return [ 's', $_[0] ] }

sub some { my ($least, $most, $code) = @_; return map { $code->() } 1 .. $least + rand($most - $least + 1) }

# What fits mostly, and sometimes anything.
sub fit
{
	my ($depth, @values) = @_;

	return rand(5) < 1 ? Rules::random_rule($depth - 1, extras()) : Rules::one_of(@values);
}

sub attribute { return Rules::rule('var', word($_[0])) }

my @units = map { word($_) } 'u1', 'u2', 'a', 'é', '', 'ejOoVL', '6LvT0', "\x{1f600}";
my @variants = map { word($_) } qw(on off some none), '';
my @versions = map { word($_) } qw(1 1.2 v1.2.3 1.2.3-alpha.1 1.2.3+build 01.2 1.2.3.4 999999999999999999999.0.0 -1 x), '';
my @addresses = map { word($_) } qw(10.0.0.1 10.0.0.0/8 ::1 2001:db8::/32 ::ffff:10.0.0.1 300.1.1.1 10.0.0.0/33 1.2.3), '';
my @times = ((map { word($_) } '2026-01-01', '2026-02-30', '2026-01-01T00:00:00Z', '2026-01-01T12:00:00.5+02:00', 'now', 'infinity', 'epoch', '99999-01-01', ''),
	map { [ 'n', $_ ] } 0, -1, 1767225600, 1e18, 0.5);
my @patterns = map { word($_) } '^a', 'b$', '(a+)+$', '(a|aa)+$', '[', '(?i)A', '\b', '(.)\1', '(?=a)', '.*.*.*x', 'a{1,255}{1,255}', '\d+', "\x{e9}", '';
my @flags_of_it = map { word("fuzz$_") } 1 .. $flags, 'missing';
my %extra = (
	fractional => sub { my $d = shift; Rules::rule('fractional', (rand(2) < 1 ? fit($d, attribute('targetingKey'), @units) : ()),
		some(1, 4, sub { [ 'a', [ fit($d, @variants), rand(4) < 1 ? () : fit($d, map { [ 'n', $_ ] } 0, 1, 25, 50, -1, 0.5, 2147483647, 1e18) ] ] })) },
	sem_ver => sub { my $d = shift; Rules::rule('sem_ver', fit($d, attribute('version'), @versions), fit($d, map { word($_) } qw(= != < <= > >= ^ ~ ===)), fit($d, @versions)) },
	starts_with => sub { my $d = shift; Rules::rule(Rules::one_of('starts_with', 'ends_with'), fit($d, attribute('email'), @units), fit($d, @units)) },
	regex => sub { my $d = shift; Rules::rule('hd_regex', fit($d, attribute('email'), attribute('long')), fit($d, @patterns), rand(3) < 1 ? fit($d, map { word($_) } 'i', 's', 'x?', '') : ()) },
	cidr => sub { my $d = shift; Rules::rule('hd_cidr', fit($d, attribute('ip'), @addresses), rand(2) < 1 ? fit($d, @addresses) : [ 'a', [ some(0, 4, sub { fit($d, @addresses) }) ] ]) },
	time => sub { my $d = shift; my $name = Rules::one_of('hd_before', 'hd_after', 'hd_between'); Rules::rule($name, map { fit($d, attribute('$flagd.timestamp'), @times) } 1 .. ($name eq 'hd_between' ? 3 : 2)) },
	segment => sub { my $d = shift; Rules::rule('hd_segment', fit($d, word('some'), word('none')), rand(2) < 1 ? () : fit($d, @units)) },
	flag => sub { my $d = shift; Rules::rule(Rules::one_of('hd_flag', 'hd_variant'), Rules::one_of(@flags_of_it)) },
	group => sub { my $d = shift; Rules::rule('hd_group', fit($d, @units), (map { fit($d, map { [ 'n', $_ ] } 0, 10, 50, 99.9, 100, -1) } 1, 2), rand(2) < 1 ? () : fit($d, @units)) },
	environment => sub { my $d = shift; Rules::rule('hd_environment', some(1, 3, sub { fit($d, map { word($_) } 'dev', 'staging', 'production') })) },
	val => sub { my $d = shift; Rules::rule(Rules::one_of('val', 'exists'), some(1, 3, sub { fit($d, Rules::random_path(), [ 'a', [ [ 'n', int rand 3 ] ] ]) })) },
	try => sub { my $d = shift; Rules::rule(Rules::one_of('try', '??'), some(1, 3, sub { Rules::random_rule($d - 1, extras()) })) },
	throw => sub { Rules::rule('throw', word('of its own')) },
	unknown => sub { Rules::rule(Rules::one_of('no_such', '$ref', 'hd_none', 'log', 'method', 'constructor', '__proto__'), some(0, 2, sub { Rules::random_value(1) })) },
	one_alone => sub { my $d = shift; Rules::rule(Rules::one_of(qw(hd_regex hd_cidr hd_before hd_between hd_segment hd_group hd_environment fractional sem_ver starts_with if and var reduce map missing_some substr)),
		some(0, 2, sub { Rules::random_rule($d - 1, extras()) })) },
);

sub extras { return map { $extra{$_} } sort keys %extra }

sub random_definition
{
	my %variant = map { $_->[1] => Rules::one_of([ 'b', rand(2) < 1 ], [ 'b', rand(2) < 1 ], Rules::random_value(2)) } grep { rand(4) < 3 } @variants;
	my %definition = (state => word(rand(12) < 1 ? 'DISABLED' : 'ENABLED'), variants => [ 'o', \%variant ]);

	$definition{defaultVariant} = Rules::one_of(['z'], (map { word($_) } keys %variant ? (sort keys %variant)[ rand keys %variant ] : ()), rand(20) < 1 ? word('not there') : ()) if rand(6) > 1;
	$definition{metadata} = [ 'o', { map { $_ => Rules::random_value(0) } grep { rand(2) < 1 } 'a', 'b' } ] if rand(3) < 1;
	$definition{bucketing} = word(Rules::one_of(qw(flagd-v1 flagd-v2 flagd-v3))) if rand(2) < 1;
	my $depth = rand(40) < 1 ? 12 : 1 + int rand 5;
	my $rule = Rules::random_rule($depth, extras());
	$definition{targeting} = Rules::one_of($rule, Rules::rule('if', $rule, Rules::one_of(@variants), Rules::one_of(@variants)),
		Rules::rule('if', $rule, Rules::one_of(@variants)), $extra{fractional}->($depth)) if rand(12) > 1;
	return Rules::json([ 'o', \%definition ]);
}

# Attributes of every kind, and what numbers and nesting JSON allows
my @odd = map { [ 'raw', $_ ] } '1e400', '-1e400', '1e-400', '-0', '-0.0', '123456789012345678901234567890', '0.1000000000000000055511151231257827', '1e5000', '4.94e-324',
  '[' x 500 . ']' x 500, '{"a":' x 200 . '1' . '}' x 200, '[' . join(',', 1 .. 2000) . ']', '"' . 'a' x 5000 . '"', '"\ud83d\ude00"', '"\u202e\u0001"', '{"": {"": 0}}';

sub random_context
{
	my %context = %{ Rules::random_data(2)->[1] };
	my %known = (targetingKey => \@units, version => \@versions, ip => \@addresses, email => \@units, environment => [ map { word($_) } 'dev', 'production', '' ],
		long => [ map { word($_) } 'a' x 40, 'a' x 40 . 'b', 'ab' x 500 ]);

	foreach (sort keys %known)
	{
		$context{$_} = rand(8) < 1 ? Rules::random_value(1) : Rules::one_of(@{ $known{$_} }) if rand(4) < 3;
	}
	$context{ Rules::one_of('a', 'list', 'user', 'targetingKey', 'version', '$flagd') } = Rules::one_of(@odd) if rand(4) < 1;
	return Rules::json([ 'o', \%context ]);
}

sub agree
{
	load('definition', map { [ "fuzz$_", random_definition() ] } 1 .. $flags);
	load('context', map { [ random_context() ] } 1 .. $contexts);
	my $taken = $node->safe_psql('app', q{TRUNCATE wrong; DELETE FROM hotdash._flag; DELETE FROM hotdash._flag_history; SELECT set_all()});
	my $answers = $node->safe_psql('app', q{SELECT examine_all()});
	my $wrong = $node->safe_psql('app', q{SELECT format(E'%s (%s alike): %s\n on %s: %s', what, count, definition, context, left(got, 3000))
		FROM (SELECT DISTINCT ON (what) *, count(*) OVER (PARTITION BY what) AS count FROM wrong ORDER BY what, length(context::text)) AS w LEFT JOIN definition USING (key)});

	return ($taken, $answers, $wrong);
}

# ---- rounds ----

my ($compared, $taken, $answers, $rounds) = (0, 0, 0, 0);
my $until = time + $seconds;
do
{
	srand($seed);
	my $differs = compare();
	is($differs, '', "seed $seed: classic operators") if $differs ne '';
	my ($of, $given, $wrong) = agree();
	is($wrong, '', "seed $seed: all ways to ask agree, and none raises") if $wrong ne '';
	$compared += $rules;
	$taken += $of;
	$answers += $given;
	$seed++;
	$rounds++;
} while (($seconds == 0 && $rounds < 2) || ($seconds > 0 && time < $until));
cmp_ok($compared, '>=', $rules, "$compared rules were compared");
cmp_ok($taken, '>=', $rounds * $flags / 2, "$taken flags of " . $rounds * $flags . ' were taken');
cmp_ok($answers, '==', $taken * $contexts, "$answers decisions were explained");

# ---- hostile definitions: bounded, or refused with a reason ----

my %hostile = (
	'nested operators' => '{"!":' x 5000 . '1' . '}' x 5000,
	'nested arrays' => '[' x 5000 . ']' x 5000,
	'nested conditions' => '{"if":[' x 3000 . '1' . ']}' x 3000,
	'very many nodes' => '{"+":[' . join(',', ('{"var":"a"}') x 200_000) . ']}',
	'loops in loops' => '{"reduce":[{"var":"many"},{"+":[{"var":"accumulator"},{"reduce":[{"var":"current.many"},{"+":[{"var":"accumulator"},{"var":"current"}]},0]}]},0]}',
	'doubling' => '{"reduce":[{"var":"list"},{"merge":[{"var":"accumulator"},{"var":"accumulator"}]},[1,2,3,4]]}',
	'doubling text' => '{"reduce":[{"var":"list"},{"cat":[{"var":"accumulator"},{"var":"accumulator"}]},"text"]}',
	'a pattern that is slow' => '{"hd_regex":[{"var":"text"},"^(a+)+$"]}',
	'a pattern that is large' => '{"hd_regex":[{"var":"text"},"((a{1,100}){1,100}){1,100}$"]}',
	'a pattern that looks back' => '{"hd_regex":[{"var":"text"},"^(.*)(.*)(.*)\\\\1\\\\2\\\\3x$"]}',
);
my $context = '{"many": [' . join(',', ('{"many": [' . join(',', 1 .. 1100) . ']}') x 1000) . '], "list": [' . join(',', 1 .. 60) . '], "text": "' . 'a' x 3000 . 'b", "targetingKey": "u"}';
load('definition', map { [ $_, qq({"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off", "targeting": $hostile{$_}}) ] } sort keys %hostile);
load('context', [$context]);
is($node->safe_psql('app', q{SET statement_timeout = '120 s'; TRUNCATE wrong; DELETE FROM hotdash._flag; SELECT set_all() BETWEEN 1 AND 10}), 't', 'hostile definitions are taken or refused');
my $began = time;
$node->safe_psql('app', q{SET statement_timeout = '120 s'; SELECT examine_all()});
is($node->safe_psql('app', q{SELECT format('%s %s: %s', what, key, left(got, 1000)) FROM wrong}), '', 'and decided, within bounds');
cmp_ok(time - $began, '<', 100, sprintf('in %.1f s', time - $began));
foreach my $key (grep { /nested|many nodes/ } sort keys %hostile)
{
	is($node->sqlstate('app', "SELECT hotdash.flag_set(key, definition) FROM definition WHERE key = '$key'"), '54000', "$key: refused");
}

$node->stop;
done_testing();
