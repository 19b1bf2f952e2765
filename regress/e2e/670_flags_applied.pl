# Flags and segments that come by logical replication: what the worker of a subscription applies is seen by the next
# statement of the sessions there, as what a session has changed itself.

use strict;
use warnings FATAL => 'all';

use FindBin;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $publisher = HotDash->cluster('publisher', init => { allows_streaming => 'logical' });
my $subscriber = HotDash->cluster('subscriber');

$_->create_db_with_extension('app') foreach $publisher, $subscriber;
$publisher->safe_psql('app', q{
	CREATE FUNCTION turn(key text, variant text, rule jsonb DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM hotdash.flag_set(key, jsonb_build_object('state', 'ENABLED', 'variants', '{"on": true, "off": false}'::jsonb, 'defaultVariant', variant)
			|| CASE WHEN rule IS NULL THEN '{}' ELSE jsonb_build_object('targeting', rule) END);
	END
	$$;
	DO $$
	BEGIN
		PERFORM turn('f', 'off'), turn('r', 'off', '{"$ref": "shared"}'), turn('s', 'off', '{"if": [{"hd_segment": ["some"]}, "on", "off"]}');
		PERFORM hotdash.flags_import('{"flags": {}, "$evaluators": {"shared": {"if": [false, "on", "off"]}}}'), hotdash.segment_add('some', '{u1}');
	END
	$$;
	CREATE PUBLICATION flags FOR TABLE hotdash._flag, hotdash._segment, hotdash._segment_member;
});

# f, r, a flag that is not there yet, and two units of a segment
my $look = q{SELECT concat_ws(' ', hotdash.flag_enabled('f'), hotdash.flag_enabled('r'), coalesce((hotdash.flag_evaluate('n', 'null')).error_code, 'there'), hotdash.flag_enabled_for('s', 'u1'), hotdash.flag_enabled_for('s', 'u2'));};

# Sessions that have looked before anything came.
my $idle = $subscriber->session('app');
my $open = $subscriber->session('app');
my $held = $subscriber->session('app');
$open->query('BEGIN;');
is($_->query($look), 'f f FLAG_NOT_FOUND f f', 'nothing is there') foreach $idle, $open;

sub follow
{
	$publisher->safe_psql('app', $_[0]);
	$publisher->wait_for_catchup('flags');
	return;
}

# What is there already comes as a copy.
my $connstr = $publisher->connstr . ' dbname=app';
$subscriber->safe_psql('app', qq{CREATE SUBSCRIPTION flags CONNECTION '$connstr' PUBLICATION flags});
$subscriber->wait_for_subscription_sync($publisher, 'flags', 'app');
is($_->query($look), 'f f FLAG_NOT_FOUND t f', 'the rows of the first copy are seen') foreach $idle, $open;
is($held->query("BEGIN ISOLATION LEVEL REPEATABLE READ; $look"), 'f f FLAG_NOT_FOUND t f', 'a snapshot is taken');

follow(q{SELECT turn('f', 'on')});
is($_->query($look), 't f FLAG_NOT_FOUND t f', 'a flag that was changed') foreach $idle, $open;
follow(q{SELECT turn('n', 'on')});
is($_->query($look), 't f there t f', 'one that is new') foreach $idle, $open;
follow(q{SELECT hotdash.flags_import('{"flags": {}, "$evaluators": {"shared": {"if": [true, "on", "off"]}}}')});
is($_->query($look), 't t there t f', 'an evaluator') foreach $idle, $open;
follow(q{SELECT hotdash.segment_add('some', '{u2}'), hotdash.segment_remove('some', '{u1}')});
is($_->query($look), 't t there f t', 'members of a segment, come and gone') foreach $idle, $open;
follow(q{SELECT hotdash.flag_delete('n')});
is($_->query($look), 't t FLAG_NOT_FOUND f t', 'a flag that was deleted') foreach $idle, $open;
follow(q{BEGIN; SELECT turn('f', 'off'); SAVEPOINT s; SELECT turn('f', 'on', '{"if": [{"==": [{"var": "targetingKey"}, "u1"]}, "on", "off"]}'); ROLLBACK TO s; SELECT turn('n', 'on'); COMMIT});
is($_->query($look), 'f t there f t', 'a transaction as its savepoints left it') foreach $idle, $open;
is($held->query($look), 'f f FLAG_NOT_FOUND t f', 'and none of it by the older snapshot');
is($held->query("COMMIT; $look"), 'f t there f t', 'before that ends');

# A segment that goes and comes again has another number, which sessions have to forget.
follow(q{DELETE FROM hotdash._segment_member; DELETE FROM hotdash._segment; SELECT hotdash.segment_add('some', '{u1}')});
is($_->query($look), 'f t there t f', 'a segment that was made anew') foreach $idle, $open;
follow(q{TRUNCATE hotdash._flag});
is($_->query($look), 'f f FLAG_NOT_FOUND f f', 'a table that was emptied') foreach $idle, $open;

# What a subscriber changes itself counts there, as ever.
$subscriber->safe_psql('app', q{SELECT hotdash.flag_set('n', '{"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"}')});
is($_->query($look), 'f f there f f', 'a change on the subscriber') foreach $idle, $open;

$_->quit foreach $idle, $open, $held;
$subscriber->safe_psql('app', 'DROP SUBSCRIPTION flags');
$_->stop foreach $subscriber, $publisher;
done_testing();
