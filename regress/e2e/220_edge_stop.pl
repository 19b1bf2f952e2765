
# How an edge ends: SIGTERM finishes what is in flight and gives back what is not sent; SIGKILL loses
# nothing, since the lease ends and the same message goes out under the same id.

use strict;
use warnings FATAL => 'all';

use FindBin;
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use Socket;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

# A worker finds the leases that have run out.
my $node = HotDash->cluster('main', conf => "hotdash.worker_role = 'worker'\n");
$node->safe_psql('postgres', 'CREATE ROLE worker LOGIN');
my $db = $node->create_db_with_extension('app');
my %setting = (allow_addresses => '127.0.0.0/8');
my $receivers = 0;

sub start_bad_receiver
{
	my $process = HotDash::Process->start('receiver' . ++$receivers, undef,
		'node', "$ENV{HOTDASH_TREE}/edge/test/receiver.mjs");

	return poll_until(sub { $process->log =~ m{(http://\S+)} && $1 }, 30, 'the receiver');
}

sub seen
{
	my ($url) = @_;
	return map { $_->{id} } @{ decode_json(HTTP::Tiny->new->get("$url/_seen")->{content}) };
}

sub count
{
	my ($from) = @_;
	return $node->safe_psql($db, "SELECT count(*) FROM hotdash.$from");
}

sub publish
{
	my ($event, $times) = @_;
	return split /\n/,
	  $node->safe_psql($db, "SELECT hotdash.event_publish('$event', '{}') FROM generate_series(1, $times)");
}

# ---- SIGKILL ----

# First of all, since the lease follows the longest timeout of any endpoint: two seconds and ten.
my $url = start_bad_receiver();
$node->safe_psql($db,
	"SELECT hotdash.endpoint_create('$url/gate', events => '{gate}', timeout => '2 seconds', max_attempts => 5)");
my $edge = $node->start_edge($db, \%setting, name => 'killed');
my @ids = publish('gate', 20);

poll_until(sub { seen($url) == 20 }, 30, 'all requests to be in flight');
$edge->kill;
is(count('delivery_attempts'), 0, 'nothing was reported when the edge was killed');
HTTP::Tiny->new->get("$url/_open");
$edge = $node->start_edge($db, \%setting, name => 'heir');
poll_until(sub { count("deliveries WHERE state = 'completed'") == 20 }, 120, 'the leases to end and all to be delivered');

my %times;
$times{$_}++ foreach seen($url);
is_deeply([ sort keys %times ], [ sort @ids ], 'every message came, under its own id');
is_deeply([ grep { $times{$_} != 2 } keys %times ], [], 'each twice: once for either edge');
is($edge->stop, 0, 'the second edge ends');

# ---- SIGTERM ----

$url = start_bad_receiver();
$node->safe_psql($db,
	"SELECT hotdash.endpoint_create('$url/gate', events => '{slow}', timeout => '30 seconds')");
$edge = $node->start_edge($db, \%setting, name => 'asked');
publish('slow', 5);
poll_until(sub { seen($url) == 5 }, 30, 'five requests to be in flight');
$edge->signal('TERM');
poll_until(sub { $edge->log =~ /stopping: 5 requests in flight/ }, 30, 'the edge to hear');
my ($late) = publish('slow', 1);
ok($edge->is_running, 'it waits for the answers');
HTTP::Tiny->new->get("$url/_open");
poll_until(sub { !$edge->is_running }, 30, 'the edge to end');
is($edge->{status}, 0, 'and ends with code 0');
is(count("deliveries WHERE state = 'completed'"), 25, 'all five were reported');
is((grep { $_ eq $late } seen($url)), 0, 'what was published after the signal was left');
is(count("deliveries WHERE state = 'ready'"), 1, 'for the next edge');

# ---- SIGTERM with a request that is not sent ----

# A listener that accepts nobody: once its backlog is full, connecting takes for ever.
my $full = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "cannot listen: $!";
my @fillers = map {
	IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $full->sockport, Blocking => 0)
} 1 .. 8;
my $stuck = $node->safe_psql($db, "SELECT hotdash.endpoint_create('http://127.0.0.1:" . $full->sockport
	  . "/', events => '{stuck}', timeout => '30 seconds')");

$edge = $node->start_edge($db, \%setting, name => 'connecting');
poll_until(sub { count("deliveries WHERE state = 'completed'") == 26 }, 30, 'the one that was left');
publish('stuck', 3);
poll_until(sub { count("deliveries WHERE endpoint_id = $stuck AND state = 'running'") == 3 }, 30, 'the claim');
is($edge->stop(20), 0, 'a request that is not sent holds up nobody');
is($node->safe_psql($db, "SELECT DISTINCT state, attempt FROM hotdash.deliveries WHERE endpoint_id = $stuck"),
	'ready|0', 'it is given back, uncharged');
$node->safe_psql($db, "SELECT hotdash.endpoint_disable($stuck)");

# ---- when grace is over, and the second signal ----

my $hang = $node->safe_psql($db,
	"SELECT hotdash.endpoint_create('$url/hang', events => '{hang}', timeout => '60 seconds')");
foreach my $case ([ { shutdown_grace => '100ms' }, 1, 'when the grace is over' ],
	[ { shutdown_grace => '10min' }, 2, 'at the second signal' ])
{
	my ($more, $signals, $when) = @$case;
	my $before = seen($url);

	$edge = $node->start_edge($db, { %setting, %$more }, name => "hanging$signals");
	publish('hang', 1);
	poll_until(sub { seen($url) > $before }, 30, 'a request that hangs');
	foreach my $signal (1 .. $signals)
	{
		ok($edge->is_running, "the edge runs before signal $signal");
		$edge->signal('TERM');
		poll_until(sub { $edge->log =~ /stopping: / || !$edge->is_running }, 30, 'the edge to hear');
	}
	poll_until(sub { !$edge->is_running }, 30, 'the edge to end');
	is($edge->{status} >> 8, 4, "$when the edge ends with code 4");
}
is(count("deliveries WHERE endpoint_id = $hang AND state = 'running'"), 2, 'what hung is left to its lease');

done_testing();
