
# Silence and company: a network between edge and server that swallows everything, each of the edge's
# connections in turn, and several edges of which one dies.

use strict;
use warnings FATAL => 'all';

use FindBin;
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('main', conf => "listen_addresses = '127.0.0.1'\nhotdash.worker_role = 'worker'\n");
$node->safe_psql('postgres', 'CREATE ROLE worker LOGIN');
my $db = $node->create_db_with_extension('app');
my $receiver =
  HotDash::Process->start('receiver', undef, 'node', "$ENV{HOTDASH_TREE}/edge/test/receiver.mjs");
my $url = poll_until(sub { $receiver->log =~ m{(http://\S+)} && $1 }, 30, 'the receiver');

sub seen { return @{ decode_json(HTTP::Tiny->new->get("$url/_seen")->{content}) } }

sub completed { return $node->safe_psql($db, "SELECT count(*) FROM hotdash.deliveries WHERE state = 'completed'") }

sub publish
{
	my ($event, $times) = @_;
	return split /\n/,
	  $node->safe_psql($db, "SELECT hotdash.event_publish('$event', '{}') FROM generate_series(1, $times)");
}

# ---- a relay that can fall silent: it goes on reading and acknowledging, and passes nothing on ----

# SIGUSR1: every connection that is open now is silent for ever. Later ones work.
my $port = free_port();
my $relay = HotDash::Process->start('relay', undef, 'perl', '-e', <<'RELAY', $port, $node->port);
	use strict; use IO::Socket::INET; use IO::Select;
	my ($port, $server) = @ARGV;
	my $listener = IO::Socket::INET->new(Listen => 20, LocalAddr => '127.0.0.1', LocalPort => $port, ReuseAddr => 1) or die $!;
	my $all = IO::Select->new($listener);
	my (%other, %silent);
	$SIG{USR1} = sub { %silent = map { $_ => 1 } keys %other; print STDERR "silent\n" };
	print STDERR "relaying\n";
	for (;;) {
		foreach my $socket ($all->can_read(0.5)) {
			if ($socket == $listener) {
				my $in = $listener->accept;
				my $out = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server) or next;
				@other{$in, $out} = ($out, $in);
				$all->add($in, $out);
				next;
			}
			my $got = sysread($socket, my $bytes, 65536);
			if (!$got) {
				$all->remove($socket);
				next if $silent{$socket};
				my $peer = delete $other{$socket};
				$all->remove($peer), close($peer) if $peer;
				close($socket);
			} elsif (!$silent{$socket}) {
				syswrite($other{$socket}, $bytes);
			}
		}
	}
RELAY
poll_until(sub { $relay->log =~ /relaying/ }, 30, 'the relay');

my $edge = $node->start_edge($db, { allow_addresses => '127.0.0.0/8', backstop => '1s', query_timeout => '2s',
		listen => '0', listen_timeout => '1s' },
	connstr => "host=127.0.0.1 port=$port dbname=$db user=" . $node->safe_psql($db, 'SELECT current_user'));
my $place = poll_until(sub { $edge->log =~ /listening on (\S+)/ && $1 }, 30, 'the listener');
my @names = qw(claim report listener);
poll_until(sub { @names == grep { $edge->log =~ /$_ connection: ready/ } @names }, 30, 'all three connections');

$node->safe_psql($db, "SELECT hotdash.endpoint_create('$url/ok', events => '{order}', timeout => '5 seconds')");
publish('order', 5);
poll_until(sub { completed() == 5 }, 30, 'deliveries by way of the relay');

# The edge is idle: its claim waits in edge_wait, the other two have nothing to ask.
$relay->signal('USR1');
poll_until(sub { $relay->log =~ /silent/ }, 30, 'the silence');
my $began = time;
publish('order', 5);
poll_until(sub { completed() == 10 }, 60, 'deliveries in spite of the silence');
cmp_ok(time - $began, '<', 15, sprintf 'silence costs no more than the deadlines: %.1f s', time - $began);
my $health = poll_until(
	sub { my $r = HTTP::Tiny->new(timeout => 10)->get("http://$place/health"); $r->{status} == 200 ? $r : undef }, 30, 'the health');
ok($health, 'the listener has come back, too');
like($edge->log, qr/claim connection: the database did not answer in time/, 'the wait had a deadline of its own');
my %times;
$times{ $_->{id} }++ foreach seen();
is_deeply([ grep { $times{$_} > 1 } keys %times ], [], 'nothing was sent twice for it');

# What the silent side had begun on the server ends as well, or its leases would bind requests for long.
poll_until(
	sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hotdash-edge'") <= 6 },
	30, 'no more sessions than twice the connections');
is($edge->stop, 0, 'the edge ends');
$relay->kill;

# ---- several edges, of which one dies ----

my @edges = map {
	$node->start_edge($db, { allow_addresses => '127.0.0.0/8', max_in_flight => 50 }, name => "edge$_")
} 1 .. 2;
foreach my $one (@edges)
{
	poll_until(sub { $one->log =~ /report connection: ready/ }, 30, 'an edge');
}
# Timeouts bound the lease: two seconds and ten.
$node->safe_psql($db, q(UPDATE hotdash._endpoint SET timeout = '2 seconds'));
$node->safe_psql($db, "SELECT hotdash.endpoint_create('$url/gate', events => '{gate}', timeout => '2 seconds', max_attempts => 5)");
my @gate = publish('gate', 80);
my @orders = publish('order', 400);
poll_until(sub { scalar(grep { $_->{path} eq '/gate' } seen()) >= 60 }, 30, 'both edges to be busy');
$edges[0]->kill;
HTTP::Tiny->new->get("$url/_open");
poll_until(sub { completed() == 490 }, 120, 'the other edge to do it all');
pass('an edge that dies leaves its work to the other');

%times = ();
$times{ $_->{id} }++ foreach seen();
is(scalar(grep { $times{$_} } @gate, @orders), 480, 'nothing was lost');
is_deeply([ grep { ($times{$_} // 0) > 3 } @gate, @orders ], [], 'and what was in flight went again, under the same id');
is($edges[1]->stop, 0, 'the other edge ends');

# ---- a version that does not fit, beside one that does ----

is($node->sqlstate($db, q(SELECT hotdash.edge_hello(2, 'next', '9.9'))), '0A000', 'a later protocol is refused by the database');
my ($code, $out, $err) = $node->psql($db, q(SELECT hotdash.edge_hello(2, 'next', '9.9')));
like($err, qr/protocol 2 of the edge is not supported/, 'which names it');
like($err, qr/HINT:.*server speaks protocol 1.*install an edge of the server's version/, 'and says what to do');
my $fitting = $node->start_edge($db, { allow_addresses => '127.0.0.0/8' }, name => 'fitting');
publish('order', 1);
poll_until(sub { completed() == 491 }, 30, 'the edge that fits');
is($fitting->stop, 0, 'an edge that fits is not troubled');

done_testing();
