#!/usr/bin/perl
#
# What is kept about flags: exposures agree with what the application committed, also over crashes; planted stale flags
# are found and no others; a dump brings all of it along; without preload flags work, and nothing is said about uses.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

my $ON = q('{"variants": {"on": true, "off": false}, "defaultVariant": "on"}');
my $DAY = 86400;

# Two sessions show the same units at the same time, each with a row of the application's own in the same transaction,
# some of which is taken back; then a process is killed.
sub test_exposures
{
	my ($node) = @_;

	$node->safe_psql('app', qq{
		CREATE TABLE shown (unit text, session int);
		SELECT hotdash.flag_set('checkout', $ON)});
	foreach my $round (1 .. 3)
	{
		my $from = $round * 1000000;
		my @sessions = map { $node->session('app') } 1 .. 2;

		foreach my $n (0 .. 1)
		{
			# From either end of a hundred units, then the next hundred.
			$sessions[$n]->query_until(qr/begun/, qq{\\echo begun
				DO \$\$ DECLARE u text; BEGIN
					FOR i IN 0 .. 999999 LOOP
						u := $from + i / 100 * 100 + CASE $n WHEN 0 THEN i % 100 ELSE 99 - i % 100 END;
						INSERT INTO shown VALUES (u, $n);
						PERFORM hotdash.flag_expose('checkout', 'null', jsonb_build_object('targetingKey', u));
						IF i % 7 = $n THEN ROLLBACK; ELSE COMMIT; END IF;
					END LOOP;
				END \$\$;\n});
		}
		poll_until(sub { $node->safe_psql('app', "SELECT count(*) > 2000 FROM shown WHERE unit::int >= $from") eq 't' }, 60, 'both to be at work');
		$node->kill_backend('app');
		$_->{run}->finish foreach @sessions;
		is($node->safe_psql('app', q{
			SELECT count(*) FROM (SELECT DISTINCT unit FROM shown) AS s FULL JOIN hotdash.flag_exposures AS e ON e.unit = s.unit
			WHERE s.unit IS NULL OR e.unit IS NULL}), '0', "crash $round: exposures are those of what was committed");
		is($node->safe_psql('app', q{SELECT count(*) FROM (SELECT FROM hotdash.flag_exposures GROUP BY key, unit, variant HAVING count(*) > 1) AS x}), '0', 'each once');
	}
	$node->safe_psql('app', 'CALL hotdash._tick()');
	is($node->safe_psql('app', q{SELECT count(*) FROM hotdash._flag_exposure_late}), '0', 'the tick has moved those that were late');
	is($node->safe_psql('app', q{
		SELECT count(*) FROM (SELECT DISTINCT unit FROM shown) AS s FULL JOIN hotdash._flag_exposure AS e ON e.unit = s.unit
		WHERE s.unit IS NULL OR e.unit IS NULL}), '0', 'and they are the same');
	return;
}

# Of a hundred flags of each kind, those that are stale, by reason.
sub test_stale
{
	my ($node) = @_;
	my $found = q{SELECT string_agg(line, E'\n' ORDER BY line) FROM (
		SELECT concat_ws(' ', regexp_replace(key, '-\d+$', ''), reason, variant, count(*)) AS line FROM hotdash.stale_flags
		WHERE key ~ '-\d+$' GROUP BY regexp_replace(key, '-\d+$', ''), reason, variant) AS l};
	my $use = sub {
		my ($kind, $context) = @_;
		$node->safe_psql('app', "SELECT count(hotdash.flag_enabled('$kind-' || i, '$context')) FROM generate_series(1, 100) AS i");
	};

	$node->safe_psql('app', qq{
		SELECT hotdash.flag_set(kind || '-' || i, $ON || CASE kind
			WHEN 'split' THEN '{"targeting": {"if": [{"var": "pro"}, "on", "off"]}}'::jsonb
			WHEN 'asking' THEN jsonb_build_object('targeting', jsonb_build_object('if', ARRAY[jsonb_build_object('hd_flag', ARRAY['asked-' || i]), '"on"', '"off"']))
			ELSE '{}' END)
		FROM unnest('{never,once,same,split,asked,asking,changed}'::text[]) AS kind, generate_series(1, 100) AS i});
	is($node->safe_psql('app', $found), '', 'what is new is not stale');
	$use->($_, '{}') foreach qw(once same split asking changed);
	$node->safe_psql('app', 'CALL hotdash._tick()');
	is($node->safe_psql('app', q{SELECT count(*) FROM hotdash._flag_use WHERE key LIKE 'once-%' AND uses = 1}), '100', 'the tick writes down what sessions have counted');
	$node->kill_backend('app');
	$node->set_clock(20 * $DAY);
	$use->($_, '{}') foreach qw(same changed);
	$use->('split', '{"pro": true}');
	$node->safe_psql('app', q{SELECT hotdash.flag_set(key, definition || '{"metadata": {"n": 1}}') FROM hotdash.flags WHERE key LIKE 'changed-%'});
	$node->set_clock(31 * $DAY);
	$use->($_, '{}') foreach qw(same changed asking);
	is($node->safe_psql('app', $found), "asked same_answer on 100\nasking same_answer on 100\nnever never_evaluated 100\nonce not_evaluated 100\nsame same_answer on 100",
		'those that were planted are found, and no others, before the tick has seen the latest uses');
	$node->safe_psql('app', 'CALL hotdash._tick()');
	is($node->safe_psql('app', $found), "asked same_answer on 100\nasking same_answer on 100\nnever never_evaluated 100\nonce not_evaluated 100\nsame same_answer on 100", 'and after it');
	is($node->safe_psql('app', q{SELECT hotdash.health() #>> '{checks,flags,uses_lost}'}), '0', 'no use was lost');
	return;
}

# What a session has counted is known to others when its transaction ends, and all of it when it goes.
sub test_sessions
{
	my ($node) = @_;
	my $uses = q{SELECT string_agg(concat(key, ' ', uses), ', ' ORDER BY key) FROM hotdash._flag_use_live() WHERE key LIKE 'seen-%'};
	my $session = $node->session('app');

	$node->safe_psql('app', qq{SELECT hotdash.flag_set('seen-' || x, $ON) FROM unnest('{a,b}'::text[]) AS x; CALL hotdash._tick()});
	$session->query(qq{SELECT hotdash.flag_enabled('seen-a');});
	$session->query(qq{SELECT hotdash.flag_enabled('seen-b');});
	is($node->safe_psql('app', $uses), 'seen-a 1, seen-b 1', 'a flag that was used is known to be, also right after another');
	$session->query(qq{SELECT hotdash.flag_enabled('seen-b');}) foreach 1 .. 10;
	$session->quit;
	poll_until(sub { $node->safe_psql('app', $uses) eq 'seen-a 1, seen-b 11' }, 60, 'the rest, with the end of the session');
	pass('a session that ends hands over what it has');
	return;
}

sub test_restore
{
	my ($node) = @_;
	my $dump = PostgreSQL::Test::Utils::tempdir() . '/app.dump';
	my @same = (
		q{SELECT hotdash.flags_export()}, q{SELECT md5(string_agg(h::text, '|' ORDER BY kind, key, version)) FROM hotdash.flag_history AS h},
		q{SELECT segment, members FROM hotdash.segments ORDER BY segment}, q{SELECT count(*), md5(string_agg(e::text, '|' ORDER BY key, unit, variant)) FROM hotdash.flag_exposures AS e},
		q{SELECT key, reason, since FROM hotdash.stale_flags WHERE reason <> 'never_evaluated' ORDER BY key},
		q{SELECT hotdash.flag_evaluate('beta', 'null', '{"targetingKey": "u2"}'), hotdash.flag_evaluate('beta', 'null', '{"targetingKey": "u1"}')});

	$node->safe_psql('app', q{
		SELECT hotdash.flags_import('{"flags": {"beta": {"variants": {"on": true, "off": false}, "defaultVariant": "off", "targeting": {"if": [{"$ref": "in"}, "on", "off"]}}},
			"$evaluators": {"in": {"hd_segment": ["beta"]}}, "metadata": {"set": "main"}}');
		SELECT hotdash.segment_add('beta', '{u1,u2,u3}');
		SELECT hotdash.segment_remove('beta', '{u1}');
		CALL hotdash._tick()});
	$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'app' ], 'pg_dump');
	$node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
	$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'restored', $dump ], 'pg_restore');
	is($node->safe_psql('restored', $_), $node->safe_psql('app', $_), "restored: $_") foreach @same;
	is($node->safe_psql('restored', q{SELECT hotdash.flag_delete('beta'); SELECT hotdash.flag_rollback('beta', 1); SELECT max(version) FROM hotdash.flag_history WHERE key = 'beta'}) =~ s/\s//gr,
		'3', 'versions go on');
	is($node->safe_psql('restored', q{SELECT hotdash.segment_add('new', '{u9}'); SELECT segment, members FROM hotdash.segments ORDER BY segment}) =~ s/^\s+//r, "beta|2\nnew|1", 'so do segments');
	return;
}

sub test_not_preloaded
{
	my $node = HotDash->cluster('plain', preload => 0);

	$node->create_db_with_extension('app');
	is($node->safe_psql('app', qq{
		SELECT hotdash.flag_set('f', $ON);
		SELECT hotdash.segment_add('s', '{a}');
		SELECT hotdash.flag_enabled('f'), (hotdash.flag_expose('f', 'null', '{"targetingKey": "u"}')).variant;
		SELECT count(*) FROM hotdash.flag_exposures;
		SET hotdash.now_override = '2100-01-01';
		SELECT count(*) FROM hotdash.stale_flags;
		SELECT hotdash._flag_use_keep(100) OR hotdash._exposures_sweep(100) OR hotdash._segments_keep(100);
		SELECT count(*) FROM hotdash.flag_exposures}) =~ s/^\s+//r, "t|on\n1\n0\nf\n0", 'without preload flags work, and nobody says that they are stale');
	$node->stop;
	return;
}

my $node = HotDash->cluster('main');
$node->create_db_with_extension('app');
test_exposures($node);
test_stale($node);
test_sessions($node);
test_restore($node);
$node->stop;
test_not_preloaded();

done_testing();
