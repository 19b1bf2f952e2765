
# The edge without its database: results wait in memory, connections come back, a hung server is
# noticed, and what cannot work says so once and with its own exit code.

use strict;
use warnings FATAL => 'all';

use FindBin;
use HTTP::Tiny;
use JSON::PP;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('main');
my $db = 'app';
my $receiver =
  HotDash::Process->start('receiver', undef, 'node', "$ENV{HOTDASH_TREE}/edge/test/receiver.mjs");
my $url = poll_until(sub { $receiver->log =~ m{(http://\S+)} && $1 }, 30, 'the receiver');

sub seen
{
	my ($path) = @_;
	return grep { $_->{path} eq $path } @{ decode_json(HTTP::Tiny->new->get("$url/_seen")->{content}) };
}

sub completed
{
	return $node->safe_psql($db, "SELECT count(*) FROM hotdash.deliveries WHERE state = 'completed'");
}

sub publish
{
	my ($event, $times) = @_;
	$node->safe_psql($db, "SELECT hotdash.event_publish('$event', '{}') FROM generate_series(1, $times)");
	return;
}

# ---- before there is an extension ----

$node->safe_psql('postgres', "CREATE DATABASE $db ENCODING 'UTF8' TEMPLATE template0");
my $edge = $node->start_edge($db, { allow_addresses => '127.0.0.0/8', query_timeout => '2s' });
poll_until(sub { $edge->log =~ /SQLSTATE 3F000/ }, 30, 'the edge to miss the schema');
$node->safe_psql($db, 'CREATE EXTENSION hotdash');
$node->safe_psql($db, qq(
	SELECT hotdash.endpoint_create('$url/plain', events => '{plain}');
	SELECT hotdash.endpoint_create('$url/gate', events => '{gate}')));
publish('plain', 1);
poll_until(sub { completed() == 1 }, 60, 'the edge to find the extension');
pass('an edge that was there first serves the extension once it is created');

# ---- a restart in mid-flight ----

publish('gate', 20);
poll_until(sub { seen('/gate') == 20 }, 30, 'all requests to be in flight');
$node->stop('immediate');
poll_until(sub { $edge->log =~ /claim connection: .*trying again/ && $edge->log =~ /report connection: .*trying again/ },
	30, 'the edge to notice');
HTTP::Tiny->new->get("$url/_open");
$node->start;
poll_until(sub { completed() == 21 }, 90, 'the results to be reported');
ok($edge->is_running, 'the edge outlives its database');

my %times;
$times{ $_->{id} }++ foreach seen('/gate');
is(scalar keys %times, 20, 'nothing was lost');
is_deeply([ grep { $times{$_} > 2 } keys %times ], [], 'and what was in flight was sent again at most once');

# ---- connections that end, and one that falls silent ----

sub server_process { return ($edge->log =~ /$_[0] connection: ready on server process (\d+)/g)[-1] }

my @before = map { server_process($_) } qw(claim report);
$node->safe_psql($db, "SELECT pg_terminate_backend($_)") foreach @before;
publish('plain', 1);
poll_until(sub { completed() == 22 }, 60, 'the edge to come back');
isnt(server_process('claim'), $before[0], 'terminated connections are replaced');

# Stopped, not ended: no packet says that anything is wrong.
my $silent = server_process('report');
kill 'STOP', $silent;
publish('plain', 1);
poll_until(sub { $edge->log =~ /report connection: the database did not answer in time/ }, 60, 'the edge to lose patience');
poll_until(sub { completed() == 23 }, 60, 'the report on another connection');
kill 'CONT', $silent;
isnt(server_process('report'), $silent, 'a silent connection is given up');
is(scalar seen('/plain'), 3, 'and nothing was sent twice for it');

# The statement that the silent process had in its socket buffer runs now, with a token that is not good any more.
poll_until(sub { !$node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $silent") },
	60, 'the silent process to end');
is(completed(), 23, 'a report that comes late changes nothing');
is($edge->stop, 0, 'the edge ends');

# ---- what cannot work ----

sub exit_code
{
	my ($process) = @_;
	poll_until(sub { !$process->is_running }, 30, 'the edge to give up');
	return $process->{status} >> 8;
}

$node->safe_psql($db, q(
	CREATE OR REPLACE FUNCTION hotdash.edge_hello(protocol int, edge text, version text) RETURNS jsonb
		LANGUAGE sql AS $$ SELECT '{"protocol": 2}'::jsonb $$));
my $stranger = $node->start_edge($db, {}, name => 'stranger');
is(exit_code($stranger), 3, 'another protocol ends the edge with code 3');
like($stranger->log, qr/does not speak edge protocol 1/, 'which it explains');

my $secret = 'geheim' . $$;
my $wrong = $node->start_edge($db, { max_inflight => 5 }, name => 'wrong', connstr => "host=nowhere password=$secret");
is(exit_code($wrong), 2, 'an unknown setting ends it with code 2');
like($wrong->log, qr/closest is "max_in_flight"/, 'naming the closest');
my $malformed = $node->start_edge($db, {}, name => 'malformed', connstr => "host=nowhere password '$secret");
is(exit_code($malformed), 2, 'so does a malformed connection string');
unlike($malformed->log, qr/$secret/, 'which is not repeated in the log');

done_testing();
