
# TLS: a certificate must be for the host and from an authority that is trusted; a connection that is
# open is used again without another handshake.

use strict;
use warnings FATAL => 'all';

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('main');
my $db = $node->create_db_with_extension('app');

# A certificate for "localhost" and for no address, which is its own authority.
my $dir = PostgreSQL::Test::Utils::tempdir();
PostgreSQL::Test::Utils::system_or_bail(
	'openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes',
	'-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-days', '2',
	'-keyout', "$dir/key.pem", '-out', "$dir/cert.pem");

my $receiver = HotDash::Process->start('receiver', undef,
	'node', "$ENV{HOTDASH_TREE}/edge/test/receiver.mjs", "$dir/key.pem", "$dir/cert.pem");
my $port = poll_until(sub { $receiver->log =~ m{https://\S+:(\d+)} && $1 }, 30, 'the receiver');

sub deliver
{
	my ($event, $url, $times) = @_;
	my $endpoint = $node->safe_psql($db,
		"SELECT hotdash.endpoint_create('$url', events => '{$event}', max_attempts => 1)");

	foreach my $n (1 .. $times)
	{
		$node->safe_psql($db, "SELECT hotdash.event_publish('$event', '{}')");
		poll_until(
			sub {
				$n == $node->safe_psql($db,
					"SELECT count(*) FROM hotdash.delivery_attempts WHERE endpoint_id = $endpoint");
			},
			60, "attempt $n at $url");
	}
	return $node->safe_psql($db, 'SELECT error_class, status, sent, reused, tls_ms > 0 FROM '
		. "hotdash.delivery_attempts WHERE endpoint_id = $endpoint ORDER BY finished_at");
}

my $edge = $node->start_edge($db, { allow_addresses => '127.0.0.0/8, ::1' }, name => 'wary');
is(deliver('unknown', "https://localhost:$port/ok", 1), 'tls||f|f|f', 'an unknown authority is not trusted');
is($edge->stop, 0, 'the edge ends');

$edge = $node->start_edge($db, { allow_addresses => '127.0.0.0/8, ::1', ca_file => "$dir/cert.pem" }, name => 'trusting');
is(deliver('known', "https://localhost:$port/ok", 2), "http|200|t|f|t\nhttp|200|t|t|f",
	'a known one is, and the handshake is made once');
is(deliver('misnamed', "https://127.0.0.1:$port/ok", 1), 'tls||f|f|f', 'a certificate for another name is not');
is($edge->stop, 0, 'the edge ends');

done_testing();
