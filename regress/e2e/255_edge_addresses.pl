
# Where the edge never connects to: a corpus of ways to spell and to reach this machine and its
# network, names that resolve to something else each time, redirects, and connections that are open
# already. A canary listens where all of them lead. Names come from a name server of our own.

use strict;
use warnings FATAL => 'all';
use utf8;

use Encode qw(encode_utf8);
use FindBin;
use IO::Select;
use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Socket;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;
use Names;

my $node = HotDash->cluster('main', conf => "hotdash.worker_role = 'worker'\n");
$node->safe_psql('postgres', 'CREATE ROLE worker LOGIN');
my $db = $node->create_db_with_extension('app');

# ---- the canary on loopback, and a receiver that may be reached on the same port of its neighbour ----

my $canary = IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.1', LocalPort => 0) or die "cannot listen: $!";
my $port = $canary->sockport;

sub visits
{
	my $visits = 0;
	while (IO::Select->new($canary)->can_read(0)) { $canary->accept; $visits++ }
	return $visits;
}

# Answers /to/HOST with a redirect there, /turn with a 200 on a connection of its own, all else with a
# 200; says what it was asked for.
my $receiver = HotDash::Process->start('receiver', undef, 'perl', '-e', <<'RECEIVER', $port);
	use strict; use IO::Socket::INET; use IO::Select;
	my $listener = IO::Socket::INET->new(Listen => 128, LocalAddr => '127.0.0.2', LocalPort => $ARGV[0], ReuseAddr => 1) or die $!;
	my $all = IO::Select->new($listener);
	my %read;
	print STDERR "receiving\n";
	for (;;) {
		foreach my $socket ($all->can_read(1)) {
			if ($socket == $listener) { $all->add(scalar $listener->accept); print STDERR "connection\n"; next }
			if (!sysread($socket, $read{$socket}, 65536, length($read{$socket} // ''))) {
				delete $read{$socket}; $all->remove($socket); close($socket); next;
			}
			while ($read{$socket} =~ s{\A(\S+) (\S+) HTTP/1.1\r\n(.*?)\r\n\r\n}{}s) {
				my ($path, $head) = ($2, $3);
				my $length = $head =~ /^Content-Length: (\d+)/mi ? $1 : 0;
				substr($read{$socket}, 0, $length) = '';
				print STDERR "request $path\n";
				syswrite($socket, $path =~ m{^/to/(.*)} ? "HTTP/1.1 302 Found\r\nLocation: http://$1/\r\nContent-Length: 0\r\n\r\n"
					: "HTTP/1.1 200 OK\r\n" . ($path eq '/turn' ? "Connection: close\r\n" : '') . "Content-Length: 2\r\n\r\nok");
			}
		}
	}
RECEIVER
poll_until(sub { $receiver->log =~ /receiving/ }, 30, 'the receiver');

# ---- names whose answers are good for no time at all ----

# turn.test says the permitted neighbour and the canary in turn; both.test says both.
my $names = Names->start(
	'canary.test' => '127.0.0.1', 'both.test' => '127.0.0.1 127.0.0.2', 'turn.test' => 'turn 127.0.0.2 127.0.0.1',
	'meta.test' => '169.254.169.254', 'zero.test' => '0.0.0.0', 'ten.test' => '10.0.0.1', 'good.test' => '127.0.0.2',
	'six.test' => '::1', 'mapped.test' => '::ffff:127.0.0.1', 'nat64.test' => '64:ff9b::127.0.0.1', 'local.test' => 'fe80::1',
	'compat.test' => '::127.0.0.1', 'sixtofour.test' => '2002:7f00:1::1', 'teredo.test' => '2001:0:7f00:1::1');
my $edge = $node->start_edge($db, { allow_addresses => '127.0.0.2/32', resolver_ttl => 0, resolver_negative_ttl => 0 },
	env => $names->env);

# ---- help ----

# Behind the database's checks, which the edge must not depend on.
sub endpoint
{
	my ($url, $events, $more) = @_;
	my $id = $node->safe_psql($db,
		"SELECT hotdash.endpoint_create('http://example.com/', events => '{$events}', timeout => '5 seconds'" . ($more // ', max_attempts => 1') . ')');
	my $text = encode_utf8($url) =~ s/'/''/gr;
	$node->safe_psql($db, "UPDATE hotdash._endpoint SET url = '$text' WHERE id = $id");
	return $id;
}

sub attempts
{
	my ($what, $endpoint) = @_;
	return $node->safe_psql($db, "SELECT $what FROM hotdash.delivery_attempts WHERE endpoint_id = $endpoint");
}

# ---- spellings ----

my @hosts = (
	# this machine
	qw(127.0.0.1 127.0.0.1. 2130706433 017700000001 0x7f000001 0x7F000001 0x7f.1 0x7f.0x0.0x0.0x1 127.1 127.0.1 0177.0.0.1
	  0177.0.0.01 00000177.0.0.1 127.000.000.001 localhost localhost. LOCALHOST [::1] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1]
	  [::ffff:7f00:1] [0:0:0:0:0:ffff:127.0.0.1] [::127.0.0.1] [::7f00:1] 0 0x0 0.0.0.0 00 [::] [::ffff:0.0.0.0]),
	# by way of a translation or a tunnel
	qw([64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b:1::7f00:1] [2002:7f00:1::] [2002:7f00:1::1] [2001:0:7f00:1::80ff:fffe]
	  [2001::1]),
	# this network, and what clouds keep in it
	qw(10.0.0.1 0xa.1 172.16.0.1 172.31.255.255 192.168.0.1 3232235521 100.64.0.1 100.127.255.254 169.254.169.254 0xa9fea9fe
	  2852039166 0251.0376.0251.0376 [::ffff:169.254.169.254] [fd00:ec2::254] 100.100.100.200 168.63.129.16 192.0.0.192
	  [fe80::1] [fe80::1%25lo] [fe80::1%lo] [::1%25lo] [::1%251] [fc00::1] [fd12:3456::1] 224.0.0.1 255.255.255.255 [ff02::1]
	  198.18.0.1 192.0.2.1 203.0.113.1 240.0.0.1),
	# letters that are digits somewhere
	"\x{ff11}\x{ff12}\x{ff17}.\x{ff10}.\x{ff10}.\x{ff11}", "127\x{3002}0\x{3002}0\x{3002}1", "\x{2460}\x{2461}\x{2466}.0.0.1",
	"127.0.0.\x{0661}", "loc\x{0430}lhost", "\x{24db}ocalhost", 'xn--127-0-0-1',
	# a host that is not where it seems to be
	'example.com@127.0.0.1', 'a:b@127.0.0.1', '127.0.0.1%00.example.com', '127.0.0.1%2eexample.com', "127.0.0.1\t", ' 127.0.0.1',
	'127.0.0.1\\@example.com', '1.1.1.1 &@127.0.0.1', 'example.com#@127.0.0.1', "[::1]x", '[127.0.0.1]', '[::1', '::1', '[v1.x]',
	'%31%32%37.0.0.1', '127%2e0%2e0%2e1', '0x7f.0.0.1%0d%0aX:y', '1e3', '127.0.0.1.', '999.999.999.999', '4294967296', '0x100000000',
	# names
	qw(canary.test canary.test. CANARY.test six.test mapped.test nat64.test compat.test sixtofour.test teredo.test local.test
	  meta.test zero.test ten.test nothing.test));
my %where = map { endpoint("http://$_:$port/", "spelt") => $_ } @hosts;

$node->safe_psql($db, q(SELECT hotdash.event_publish('spelt', '{}')));
poll_until(sub { $node->safe_psql($db, 'SELECT count(*) FROM hotdash.delivery_attempts') >= @hosts }, 90, 'an attempt for each spelling');
is($node->safe_psql($db, 'SELECT count(*) FROM hotdash.delivery_attempts WHERE sent'), '0', 'nothing was sent anywhere');
my @odd = grep { attempts('error_class', $_) !~ /^(blocked|invalid|dns)$/ } keys %where;
is_deeply([ map { encode_utf8("$where{$_}: " . attempts('error_class', $_)) } @odd ], [],
	scalar(@hosts) . ' spellings are blocked, invalid or no names at all');
is(visits(), 0, 'nobody came to the canary');
cmp_ok(scalar(grep { attempts('error_class', $_) eq 'blocked' } keys %where), '>=', 75, 'most of them by their address');

# ---- names that change their mind ----

# One delivery after another; how often they ended in which way.
sub outcomes
{
	my ($path, $rounds) = @_;
	my $endpoint = endpoint("http://turn.test:$port/$path", $path);

	foreach my $round (1 .. $rounds)
	{
		$node->safe_psql($db, "SELECT hotdash.event_publish('$path', '{}')");
		poll_until(sub { attempts('count(*)', $endpoint) >= $round }, 30, "round $round of $path");
	}
	return { map { split /\|/ } split /\n/,
		$node->safe_psql($db, "SELECT error_class, count(*) FROM hotdash.delivery_attempts WHERE endpoint_id = $endpoint GROUP BY 1") };
}

is_deeply(outcomes('turn', 40), { http => 20, blocked => 20 }, 'a name is delivered to while it says what is permitted');
is($names->asked('turn.test'), 40, 'it was asked for each time');
is(visits(), 0, 'the canary was not connected to');

# Where a connection is open, it goes on to whom it was opened; a name that has turned opens none.
is_deeply(outcomes('stay', 20), { http => 20 }, 'an open connection is used while it is permitted');
is(visits(), 0, 'the canary was not connected to');

my $both = endpoint("http://both.test:$port/both", 'both');
$node->safe_psql($db, q(SELECT hotdash.event_publish('both', '{}')));
is(poll_until(sub { attempts('error_class', $both) }, 30, 'an attempt'), 'http', 'of two addresses the permitted one is taken');
is(visits(), 0, 'and not the other');

# ---- redirects ----

my @redirects = map { endpoint("http://good.test:$port/to/$_", 'redirected') } "127.0.0.1:$port", "localhost:$port", "canary.test:$port";
$node->safe_psql($db, q(SELECT hotdash.event_publish('redirected', '{}')));
poll_until(sub { attempts('count(*)', $_) }, 30, 'a redirect') foreach @redirects;
is(join(' ', map { attempts('status', $_) } @redirects), '302 302 302', 'a redirect is an answer');
is(visits(), 0, 'which nobody follows');

# ---- a connection that is open already is judged again ----

# The permission goes away while the connection stays: a new edge without it, and the old one's are closed.
my $before = () = $receiver->log =~ /^request/mg;
is($edge->stop, 0, 'the edge ends');
my $strict = $node->start_edge($db, { resolver_ttl => 0 }, name => 'strict',
	env => $names->env);
my $good = endpoint("http://good.test:$port/good", 'good');
$node->safe_psql($db, q(SELECT hotdash.event_publish('good', '{}')));
is(poll_until(sub { attempts('error_class', $good) }, 30, 'an attempt'), 'blocked', 'without the list even the neighbour is blocked');
is(scalar(() = $receiver->log =~ /^request/mg), $before, 'and sees nothing');
is(visits(), 0, 'nor does the canary');
is($strict->stop, 0, 'the strict edge ends');

done_testing();
