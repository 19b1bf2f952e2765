
# The edge and the database: what is published arrives, byte for byte and signed, at once and without
# polling; addresses that are not public are refused before a packet leaves.

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(hmac_sha256);
use FindBin;
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('main');
my $db = $node->create_db_with_extension('app');
my $receiver = start_bad_receiver();
my $url = $receiver->{url};

# The edge needs no more than the rights of its level.
$node->safe_psql($db, q(CREATE ROLE sender LOGIN; SELECT hotdash.access_grant('sender', 'edge')));
my $connstr = $node->connstr($db) . ' user=sender';

# A backstop of an hour: whatever arrives in time was not found by polling.
my $edge = $node->start_edge($db, { allow_addresses => '127.0.0.0/8, ::1', backstop => '1h' }, connstr => $connstr);

# Starts the receiver that the edge's tests share and waits until it names its address.
sub start_bad_receiver
{
	my $process =
	  HotDash::Process->start('receiver', undef, 'node', "$ENV{HOTDASH_TREE}/edge/test/receiver.mjs");

	poll_until(sub { $process->log =~ m{(http://\S+)} and $process->{url} = $1 }, 30, 'the receiver');
	return $process;
}

sub ask { return HTTP::Tiny->new->get("$url/$_[0]")->{content} }

sub seen
{
	my ($path) = @_;
	return grep { $_->{path} eq $path } @{ decode_json(ask('_seen')) };
}

sub endpoint
{
	my ($target, $event, $more) = @_;
	return $node->safe_psql($db,
		"SELECT hotdash.endpoint_create('$target', events => '{$event}'" . ($more // '') . ')');
}

sub attempts
{
	my ($endpoint, $columns) = @_;
	return $node->safe_psql($db,
		"SELECT $columns FROM hotdash.delivery_attempts WHERE endpoint_id = $endpoint ORDER BY finished_at");
}

sub await_attempts
{
	my ($endpoint, $count) = @_;
	poll_until(
		sub {
			$node->safe_psql($db,
				"SELECT count(*) FROM hotdash.delivery_attempts WHERE endpoint_id = $endpoint") >= $count;
		},
		60,
		"$count attempts at endpoint $endpoint");
	return;
}

# ---- one event, from commit to receiver ----

my $plain = endpoint("$url/plain", 'order.created', q(, headers => '{"X-Shop": "one"}'));
my $secret = $node->safe_psql($db, "SELECT hotdash.endpoint_secret($plain)");
my $body = "\x00\xff{\"b\": 1,  \"a\":2}\r\n";
my $id = $node->safe_psql($db,
	"SELECT hotdash.event_publish_raw('order.created', decode('" . unpack('H*', $body) . "', 'hex'), 'application/x-own')");

await_attempts($plain, 1);
my ($got, @others) = seen('/plain');
is(scalar @others, 0, 'the event arrived once');
is($got->{method}, 'POST', 'as a POST');
is($got->{id}, $id, 'under the id that publishing returned');
is(decode_base64($got->{body}), $body, 'the body is the bytes that were published');
is($got->{headers}{'content-type'}, 'application/x-own', 'with its content type');
is($got->{headers}{'x-shop'}, 'one', "and the endpoint's header");
is_deeply([ grep { exists $got->{headers}{$_} } qw(expect accept accept-encoding) ],
	[], 'libcurl added no header of its own');

my $stamp = $got->{headers}{'webhook-timestamp'};
my $key = decode_base64($secret =~ s/^whsec_//r);
is( $got->{headers}{'webhook-signature'},
	'v1,' . encode_base64(hmac_sha256("$id.$stamp.$body", $key), ''),
	'the signature is what Digest::SHA computes');

is(attempts($plain, 'outcome, status, error_class, remote_ip, sent, response_excerpt'),
	'completed|200|http|127.0.0.1|t|ok', 'the attempt is recorded');
is(attempts($plain, 'total_ms >= ttfb_ms AND ttfb_ms > 0 AND connect_ms >= 0'), 't', 'with its times');

# ---- rollback, reuse, names ----

$node->safe_psql($db, "BEGIN; SELECT hotdash.event_publish('order.created', '{\"n\": 1}'); ROLLBACK");
$node->safe_psql($db, "SELECT hotdash.event_publish('order.created', '{\"n\": 2}')");
await_attempts($plain, 2);
is(join(' ', map { decode_base64($_->{body}) } (seen('/plain'))[1]), '{"n": 2}', 'what was rolled back is not sent');
is(attempts($plain, 'reused'), "f\nt", 'the second request used the connection of the first');

my $named = endpoint($url =~ s/127\.0\.0\.1/localhost/r . '/named', 'named');
$node->safe_psql($db, "SELECT hotdash.event_publish('named', '{}')");
await_attempts($named, 1);
is(attempts($named, 'status, dns_ms IS NOT NULL'), '200|t', 'a name is looked up');

# ---- idle ----

my $waiting = "SELECT query_start FROM pg_stat_activity WHERE query LIKE 'CALL hotdash.edge_wait%' AND state = 'active'";

# All is reported and the claim connection waits: this statement is the one that must outlast the rest.
poll_until(sub { $node->safe_psql($db, $waiting) }, 30, 'the edge to wait');
my $since = $node->safe_psql($db, $waiting);
$node->safe_psql($db, q(SELECT hotdash.job_kind_set('unrelated'); SELECT hotdash.queue_set('elsewhere')));
$node->safe_psql($db, q(SELECT hotdash.job_enqueue('unrelated', queue => 'elsewhere'))) foreach 1 .. 50;
is($node->safe_psql($db, $waiting), $since, '50 commits that are none of its business do not wake the edge');
is($node->safe_psql($db, "SELECT count(backend_xmin) + count(backend_xid) FROM pg_stat_activity WHERE query LIKE 'CALL hotdash.edge_wait%'"),
	'0', 'waiting holds neither snapshot nor transaction id');

# ---- addresses ----

my $metadata = endpoint('http://169.254.169.254/latest', 'metadata');
my $mapped = endpoint('http://[::ffff:169.254.169.254]/', 'mapped');
$node->safe_psql($db, "SELECT hotdash.event_publish(e, '{}') FROM unnest('{metadata,mapped}'::text[]) AS e");
await_attempts($_, 1) foreach $metadata, $mapped;
is(attempts($_, 'outcome, error_class, sent, status IS NULL'), 'dead|blocked|f|t', 'a metadata address is refused, for good')
  foreach $metadata, $mapped;

is($edge->stop, 0, 'the edge ends with code 0 when asked to');

# Without the permission loopback is refused too, however it is spelt, and nobody ever connects.
my $before = ask('_connections');
my $strict = $node->start_edge($db, {}, name => 'strict', connstr => $connstr);
my ($port) = $url =~ /:(\d+)$/;

# The database refuses the odd spellings by itself; the edge must not depend on that.
sub smuggle
{
	my $endpoint = endpoint('http://example.com/canary', 'canary');
	$node->safe_psql($db,
		"UPDATE hotdash._endpoint SET url = 'http://$_[0]:$port/canary' WHERE id = $endpoint");
	return $endpoint;
}

my @spellings = map { smuggle($_) }
  qw(127.0.0.1 localhost 2130706433 0x7f.1 127.1 0177.0.0.1 [::ffff:127.0.0.1] [::ffff:7f00:1]);
$node->safe_psql($db, "SELECT hotdash.event_publish('canary', '{}')");
await_attempts($_, 1) foreach @spellings;
is(join(' ', map { attempts($_, 'error_class') } @spellings), join(' ', ('blocked') x @spellings),
	'every spelling of loopback is refused');

# Each question to the receiver is a connection of its own; there must be no others.
is(ask('_connections') - $before, 1, 'and the receiver was not connected to');
is(scalar seen('/canary'), 0, 'nor did it see a request');
is($strict->stop, 0, 'the strict edge ends too');

# ---- what the log may say ----

my $log = $edge->log . $strict->log;
unlike($log, qr/canary|latest|X-Shop|\Q$secret\E/, 'no path, header or secret is in the log');

done_testing();
