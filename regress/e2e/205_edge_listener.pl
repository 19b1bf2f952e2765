
# The edge's listener: health, metrics and inbound webhooks; strangers at their worst; the database
# away; and the sender, which notices none of it.

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(hmac_sha256_hex);
use FindBin;
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Time::HiRes qw(time);

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('main', conf => "track_functions = all\n");
my $db = $node->create_db_with_extension('app');
my $secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

# ---- what the database has; a version without the functions gets them from here ----

sub missing { return $node->safe_psql($db, "SELECT to_regprocedure('hotdash.$_[0]') IS NULL") eq 't' }

my $no_metrics = missing('metrics()');

if (missing('inbound_receive(text,jsonb,bytea)'))
{
	$node->safe_psql($db, qq(
		CREATE FUNCTION hotdash.inbound_receive(source text, headers jsonb, body bytea,
			OUT accepted bool, OUT status int, OUT message_id text, OUT reason text)
			LANGUAGE plpgsql SECURITY DEFINER AS \$\$
		BEGIN
			accepted := source = 'shop' AND hotdash.webhook_verify('standard', '$secret', headers, body);
			status := CASE WHEN accepted THEN 202 WHEN source = 'shop' THEN 401 ELSE 404 END;
			message_id := headers ->> 'webhook-id';
			reason := CASE WHEN NOT accepted THEN 'refused' END;
		END \$\$));
}
else
{
	$node->safe_psql($db, "SELECT hotdash.inbound_set('shop', 'standard', '$secret')");
}

# The sender and the listener have a role each, and the listener no more than it needs.
$node->safe_psql($db, q(
	CREATE ROLE sender LOGIN;
	CREATE ROLE doorkeeper LOGIN;
	SELECT hotdash.access_grant('sender', 'edge');
	SELECT hotdash.access_grant('doorkeeper', 'viewer');
	GRANT EXECUTE ON FUNCTION hotdash.inbound_receive(text, jsonb, bytea) TO doorkeeper));

my %setting = (
	listen => '0',
	listen_database => $node->connstr($db) . ' user=doorkeeper',
	listen_timeout => '1s',
	listen_connections => 100,
	listen_connections_per_address => 40,
	listen_memory => '1MB',
	allow_addresses => '127.0.0.0/8');
my $edge = $node->start_edge($db, \%setting, connstr => $node->connstr($db) . ' user=sender');
my $place = poll_until(sub { $edge->log =~ /listening on (127\.0\.0\.1:\d+)/ && $1 }, 30, 'the listener');
my $url = "http://$place";
my $http = HTTP::Tiny->new(timeout => 20);

poll_until(sub { $edge->log =~ /listener connection: ready/ }, 30, "the listener's connection");
pass('a port alone is on the loopback');

# ---- help ----

sub get { return $http->get($url . $_[0]) }

# Sends bytes as they are, waits until the other side closes, returns what it said.
sub raw
{
	my ($bytes) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => $place, Timeout => 10) or die "cannot connect: $!";
	my $answer = '';

	local $SIG{PIPE} = 'IGNORE';
	syswrite($socket, $bytes);
	while (IO::Select->new($socket)->can_read(20) && sysread($socket, my $piece, 65536)) { $answer .= $piece }
	return $answer;
}

sub status_of { return $_[0] =~ m{^HTTP/1.1 (\d+)} ? $1 : 'nothing' }

# The three headers of Standard Webhooks, signed by the database.
sub signed
{
	my ($id, $body) = @_;
	my $hex = unpack('H*', $body);
	my ($stamp, $signature) = split /\|/, $node->safe_psql($db,
		"SELECT extract(epoch FROM at)::bigint, hotdash.webhook_sign('$secret', '$id', at, '\\x$hex') "
		. "FROM date_trunc('second', hotdash._now()) AS at");

	return ('Webhook-Id' => $id, 'webhook-timestamp' => $stamp, 'webhook-signature' => $signature);
}

sub post
{
	my ($id, $body, %more) = @_;

	return $http->post("$url/in/" . ($more{source} // 'shop'),
		{ content => $body, headers => { signed($id, $body), %{ $more{headers} // {} } } });
}

sub metric
{
	my ($name) = @_;
	return get('/metrics')->{content} =~ /^\Q$name\E (\S+)$/m ? $1 : undef;
}

sub health_calls
{
	return $node->safe_psql($db,
		"SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions WHERE schemaname = 'hotdash' AND funcname = 'health'");
}

# ---- health ----

my $health = get('/health');
is($health->{status}, 200, 'a healthy database answers 200');
is(decode_json($health->{content})->{status}, 'healthy', 'with what health() says');
is($health->{headers}{'cache-control'}, 'no-store', 'which nobody may keep');
is($http->head("$url/health")->{status}, 200, 'HEAD works, too');

poll_until(sub { health_calls() >= 1 }, 30, 'the statistics');
my ($before, $started) = (health_calls(), time);
get('/health') foreach 1 .. 500;
my $seconds = time - $started;
# Statistics come when the session is idle: one more probe, a second later, brings them.
poll_until(sub { get('/health'); health_calls() > $before }, 30, 'the statistics');
cmp_ok(health_calls() - $before, '<=', time - $started + 1, 'a flood of probes costs the server one statement a second');
note(sprintf '500 probes, one after another: %.0f/s', 500 / $seconds);

my $definition = $node->safe_psql($db, "SELECT pg_get_functiondef('hotdash.health()'::regprocedure)");
foreach my $case ([ 'degraded', 200 ], [ 'unhealthy', 503 ])
{
	$node->safe_psql($db,
		"CREATE OR REPLACE FUNCTION hotdash.health() RETURNS jsonb LANGUAGE sql SECURITY DEFINER AS "
		. "'SELECT ''{\"status\": \"$case->[0]\"}''::jsonb'");
	my $answer = poll_until(
		sub { my $r = get('/health'); $r->{content} =~ /"$case->[0]"/ ? $r : undef }, 30, $case->[0]);
	is($answer->{status}, $case->[1], "$case->[0] is a $case->[1]");
}
$node->safe_psql($db, $definition);

# ---- metrics ----

my $metrics = get('/metrics');
is($metrics->{status}, 200, 'metrics are told');
like($metrics->{headers}{'content-type'}, qr{^text/plain; version=0\.0\.4}, 'as Prometheus wants them');
my @odd = grep {
	!/^# (HELP|TYPE) [a-z_]+ \S/ && !/^[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[0-9.e+-]+$/
} split /\n/, $metrics->{content};
is_deeply(\@odd, [], 'every line has the form of one');
my %types;
$types{$_}++ foreach $metrics->{content} =~ /^# TYPE (\S+)/mg;
is_deeply([ grep { $types{$_} > 1 } keys %types ], [], 'no family is told twice');
cmp_ok(metric('hotdash_edge_listener_requests_total{route="health",class="2xx"}'), '>', 500, 'the probes were counted');
is(metric('hotdash_edge_database_up{connection="listener"}'), 1, 'so is the connection');

SKIP:
{
	skip 'the extension has metrics of its own', 1 unless $no_metrics;
	unlike($edge->log, qr/metrics failed/, 'a missing metrics() is no error');
}

# ---- inbound ----

my $all_bytes = join('', map { chr } 0 .. 255) x 16;
my $accepted = post('msg_1', $all_bytes);
like($accepted->{status}, qr/^2\d\d$/, 'a signed message is accepted');
is_deeply([ @{ decode_json($accepted->{content}) }{qw(accepted message_id)} ], [ JSON::PP::true, 'msg_1' ], 'and named');
like(post('msg_2', '')->{status}, qr/^2\d\d$/, 'an empty body is a body');
like(post('msg_3', 'y' x 900_000)->{status}, qr/^2\d\d$/, 'so is one of 900 kB');

my $refused = post('msg_4', 'x', headers => { 'webhook-signature' => 'v1,' . 'A' x 43 . '=' });
like($refused->{status}, qr/^4\d\d$/, 'a wrong signature is refused');
ok(!decode_json($refused->{content})->{accepted}, 'in so many words');
like(post('msg_5', 'x', headers => { 'webhook-signature' => [ 'v1,' . 'A' x 43 . '=', 'v1,' . 'B' x 43 . '=' ] })->{status},
	qr/^4\d\d$/, 'two headers of one name cannot hide one another');
$node->safe_psql($db, "SELECT hotdash.inbound_set(repeat('s', 64), 'standard', '$secret')");
like(post('msg_9', 'x', source => 's' x 64)->{status}, qr/^2\d\d$/, 'a source with the longest name that it may have');
like(post('msg_6', 'x', source => 'nobody')->{status}, qr/^4\d\d$/, 'an unknown source is refused');
# Slack takes a URL only when it is told, as text, what it said; and only Slack is told.
$node->safe_psql($db, q(SELECT hotdash.inbound_set('chat', 'slack', 'hush')));
my $challenge = '{"type":"url_verification","token":"x","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}';
foreach my $case ([ 'hush', '200 text/plain; charset=utf-8 3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P' ],
	[ 'hash', '401 application/json {"accepted":false,"reason":"mismatch"}' ])
{
	my $at = int(time);
	my $answer = $http->post("$url/in/chat", { content => $challenge,
		headers => { 'X-Slack-Request-Timestamp' => $at, 'X-Slack-Signature' => 'v0=' . hmac_sha256_hex("v0:$at:$challenge", $case->[0]) } });
	is("$answer->{status} $answer->{headers}{'content-type'} $answer->{content}", $case->[1], "Slack's challenge under the secret $case->[0]");
}

# A client that does not let itself be stopped from sending such a thing is needed for it.
my %odd = signed('msg_7', 'x');
my $lines = join '', map { "$_: $odd{$_}\r\n" } keys %odd;
is( status_of(raw("POST /in/shop HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${lines}X-Latin: caf\xe9\r\nX-Utf8: caf\xc3\xa9\r\n"
			. "Content-Length: 1\r\n\r\nx")) =~ s/\d\d$/xx/r,
	'2xx', 'headers in Latin-1 and UTF-8 do no harm');

# ---- what is refused before the database hears of it ----

my $host = "Host: $place\r\nConnection: close\r\n";
my @cases = (
	[ "GET /nothing HTTP/1.1\r\n$host\r\n", 404, 'an unknown path' ],
	[ "GET /health/ HTTP/1.1\r\n$host\r\n", 404, 'a path that is nearly right' ],
	[ "POST /in/ HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\n", 404, 'no source' ],
	[ "POST /in/a/b HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\n", 404, 'a source with a slash' ],
	[ "POST /in/a%2fb HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\n", 404, 'the same in disguise' ],
	[ "POST /in/a%00b HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\n", qr/^40[04]$/, 'a source with a NUL' ],
	[ 'POST /in/' . 'a' x 65 . " HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\n", 404, 'a source that is too long' ],
	[ "GET /in/shop HTTP/1.1\r\n$host\r\n", 405, 'GET of a source' ],
	[ "DELETE /health HTTP/1.1\r\n$host\r\n", 405, 'DELETE of the health' ],
	[ "GET /health HTTP/1.1\r\n${host}Content-Length: 5\r\n\r\nhello", 413, 'a probe with a body' ],
	[ "POST /in/shop HTTP/1.1\r\n${host}Content-Length: 2000000\r\n\r\n", 413, 'a body too large by its length' ],
	[ "POST /in/shop HTTP/1.1\r\n${host}Content-Length: 99999999999999999999999\r\n\r\n", qr/^4\d\d$/, 'a length beyond numbers' ],
	[ "POST /in/shop HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n" . "10000\r\n" . 'z' x 65536 . "\r\n" x 1
		  . ("10000\r\n" . 'z' x 65536 . "\r\n") x 16 . "0\r\n\r\n", 413, 'a body too large in chunks' ],
	[ "POST /in/shop HTTP/1.1\r\n${host}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", qr/^400$/, 'two lengths' ],    # libmicrohttpd 1.0 answers itself, here and next
	[ "POST /in/shop HTTP/1.1\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", qr/^400$/, 'a length and chunks' ],
	[ "POST /in/shop HTTP/1.1\r\n${host}Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", 415, 'a compressed body' ],
	[ "GET /health HTTP/1.1\r\n$host" . "X-A: b\r\n" x 70 . "\r\n", 431, 'too many headers' ],
	[ "GET /health HTTP/1.1\r\n${host}X-A: " . 'b' x 20000 . "\r\n\r\n", 431, 'too large headers' ],
	[ "GET /health HTTP/1.1\r\n${host}X-A: " . 'b' x 2_000_000 . "\r\n\r\n", 431, 'headers without measure' ],
	[ 'GET /' . 'a' x 40000 . " HTTP/1.1\r\n$host\r\n", qr/^4(04|14|31)$/, 'a line without measure' ],
	[ "good day to you\r\n\r\n", qr/^(4\d\d|nothing)$/, 'something else altogether' ],
	[ "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . "\0" x 200 . "\r\n\r\n", qr/^(4\d\d|nothing)$/, 'a TLS handshake' ],
);

foreach my $case (@cases)
{
	my $answer = raw($case->[0]);
	like(status_of($answer), ref $case->[1] ? $case->[1] : qr/^$case->[1]$/, "$case->[2]: $case->[1]");
	like($answer, qr/\r\n\r\n\{"error":"[^"]+"\}\n?$/, '... which is explained') if !ref $case->[1] && length $case->[0] < 50000;
}
like(raw("DELETE /health HTTP/1.1\r\n$host\r\n"), qr/^Allow: GET, HEAD\r$/m, 'a 405 tells what is allowed');
like(raw("GET /in/shop HTTP/1.1\r\n$host\r\n"), qr/^Allow: POST\r$/m, 'for each path');

# ---- strangers who take their time ----

# A byte each 100 ms, for as long as they are let: in the first line, in a header, in the body.
my %slow = (
	line => [ 'GET /hea', 'l', 'nothing' ],
	header => [ "GET /health HTTP/1.1\r\nX-Slow: ", 'a', 408 ],
	body => [ "POST /in/shop HTTP/1.1\r\n${host}Content-Length: 1000\r\n\r\n", 'b', 408 ],
	silent => [ '', '', 'nothing' ]);

foreach my $what (sort keys %slow)
{
	my ($head, $byte, $expected) = @{ $slow{$what} };
	my $socket = IO::Socket::INET->new(PeerAddr => $place) or die "cannot connect: $!";
	my ($answer, $ended, $began) = ('', 0, time);

	local $SIG{PIPE} = 'IGNORE';
	syswrite($socket, $head);
	while (!$ended && time - $began < 20)
	{
		syswrite($socket, $byte) if $byte ne '';
		if (IO::Select->new($socket)->can_read(0.1))
		{
			$ended = !sysread($socket, my $piece, 4096);
			$answer .= $piece if defined $piece;
		}
	}
	my $took = time - $began;
	ok($ended && $took >= 0.9 && $took < 5, sprintf 'a slow %s is cut after %.1f s', $what, $took);
	is(status_of($answer), $expected, "... and told $expected");
}

# ---- too many at once ----

my @crowd = map { IO::Socket::INET->new(PeerAddr => $place) } 1 .. 60;
poll_until(
	sub { grep { IO::Select->new($_)->can_read(0) && !sysread($_, my $byte, 1) } @crowd }, 30, 'the surplus to be closed');
poll_until(sub { my $r = $http->get("$url/metrics"); $r->{status} == 200 }, 30, 'room again');
cmp_ok(metric('hotdash_edge_listener_connections'), '<=', 40, 'an address has its limit of connections');
undef @crowd;
poll_until(sub { metric('hotdash_edge_listener_connections') <= 2 }, 30, 'the crowd to go');

# Bodies of 600 kB, not finished: the second would be more than all bodies may take together.
my $big = "POST /in/shop HTTP/1.1\r\n${host}Content-Length: 700000\r\n\r\n" . 'x' x 600_000;
my $first = IO::Socket::INET->new(PeerAddr => $place);
syswrite($first, $big);
poll_until(sub { metric('hotdash_edge_listener_body_bytes') >= 600_000 }, 30, 'the first body');
is(status_of(raw($big . 'x' x 100_000)), 503, 'bodies have a limit together');
like(raw($big . 'x' x 100_000), qr/^Retry-After: \d+\r$/m, 'which is said to pass');
undef $first;
poll_until(sub { metric('hotdash_edge_listener_body_bytes') == 0 }, 30, 'the memory to come back');

# ---- the sender meanwhile ----

my $receiver =
  HotDash::Process->start('receiver', undef, 'node', "$ENV{HOTDASH_TREE}/edge/test/receiver.mjs");
my $ok = poll_until(sub { $receiver->log =~ m{(http://\S+)} && $1 }, 30, 'the receiver');
$node->safe_psql($db, "SELECT hotdash.endpoint_create('$ok/ok', events => '{order}')");
$node->safe_psql($db, "SELECT hotdash.event_publish('order', '{}') FROM generate_series(1, 500)");
my $floods = 0;
poll_until(
	sub {
		raw("GET /health HTTP/1.1\r\n$host\r\n"), raw("POST /in/shop HTTP/1.1\r\n${host}Content-Length: 300000\r\n\r\n" . 'x' x 300_000)
		  foreach 1 .. 10;
		$floods++;
		return $node->safe_psql($db, "SELECT count(*) FROM hotdash.deliveries WHERE state = 'completed'") == 500;
	},
	60, 'the deliveries');
my $text = get('/metrics')->{content};
my %rounds = $text =~ /^hotdash_edge_loop_round_seconds_bucket\{loop="sender",le="([^"]+)"\} (\d+)$/mg;
# Wall time: a process that has no CPU for a while has long rounds, too, and one that is watched is slow.
SKIP:
{
	skip 'under a watcher everything takes long', 1 if edge_is_watched();
	is($rounds{0.2}, $rounds{'+Inf'}, "the sender's loop was never held up");
}
note("rounds of the sender's loop: " . join(', ', map { "<= $_ s: $rounds{$_}" } sort { ($a eq '+Inf') <=> ($b eq '+Inf') || $a <=> $b } keys %rounds));
is(metric('hotdash_edge_answers_total{class="2xx"}'), 500, 'its answers are counted');
is(metric('hotdash_edge_requests_total{outcome="http"}'), 500, 'and its outcomes');
is(metric('hotdash_edge_in_flight'), 0, 'nothing is in flight');

# ---- the database busy ----

# Two statements take longer than the third caller may wait for his turn.
$definition = $node->safe_psql($db, "SELECT pg_get_functiondef('hotdash.inbound_receive(text,jsonb,bytea)'::regprocedure)");
$node->safe_psql($db, q(
	CREATE OR REPLACE FUNCTION hotdash.inbound_receive(source text, headers jsonb, body bytea,
		OUT accepted bool, OUT status int, OUT message_id text, OUT reason text)
		LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		PERFORM pg_sleep(0.6); -- busy: longer than half of listen_timeout
		accepted := true;
		status := 202;
	END $$));
my @callers = map { IO::Socket::INET->new(PeerAddr => $place) // die "cannot connect: $!" } 1 .. 3;
my %told;
syswrite($_, "POST /in/shop HTTP/1.1\r\n${host}Content-Length: 1\r\n\r\nx") foreach @callers;
foreach my $caller (@callers)
{
	my $answer = '';
	while (IO::Select->new($caller)->can_read(20) && sysread($caller, my $piece, 4096)) { $answer .= $piece }
	$told{ status_of($answer) }++;
}
is_deeply(\%told, { 202 => 2, 503 => 1 }, 'who waits too long for his turn is told so');
$node->safe_psql($db, $definition);

# ---- the database away ----

# Stopped, not ended: no packet says that anything is wrong.
my ($silent) = ($edge->log =~ /listener connection: ready on server process (\d+)/g)[-1];
kill 'STOP', $silent;
my $asked = time;
my $lost = poll_until(sub { my $r = get('/health'); $r->{status} == 503 ? $r : undef }, 30, 'the listener to notice');
cmp_ok(time - $asked, '<', 5, sprintf 'a silent server is noticed within %.1f s', time - $asked);
is($lost->{headers}{'retry-after'}, 5, 'and it is said when to come back');
poll_until(sub { get('/health')->{status} == 200 }, 30, 'another connection');
kill 'CONT', $silent;

$node->stop('immediate');
poll_until(sub { get('/health')->{status} == 503 }, 30, 'the health to be bad');
my $away = $http->post("$url/in/shop", { content => 'x' });
is("$away->{status} $away->{headers}{'retry-after'}", '503 5', 'without its database the listener takes nothing in');
is(metric('hotdash_edge_database_up{connection="listener"}'), 0, 'and its metrics are there to say so');
$node->start;
poll_until(sub { get('/health')->{status} == 200 }, 60, 'the health to come back');
cmp_ok(metric('hotdash_edge_database_connects_total{connection="listener"}'), '>=', 3, 'the connections were counted');
like(post('msg_8', 'x')->{status}, qr/^2\d\d$/, 'and messages are taken in again');

# ---- the end ----

is($edge->stop, 0, 'the edge ends');
unlike($edge->log, qr/msg_|MfKQ9|webhook-signature|café/, 'its log tells nothing of what came in');

my $quiet = $node->start_edge($db, {}, name => 'quiet');
poll_until(sub { $quiet->log =~ /claim connection: ready/ }, 30, 'an edge without a listener');
unlike($quiet->log, qr/listen/, 'which listens only where it is told to');
is($quiet->stop, 0, 'it ends, too');

my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "cannot listen: $!";
my $second = $node->start_edge($db, { listen => '127.0.0.1:' . $taken->sockport }, name => 'second');
poll_until(sub { !$second->is_running }, 30, 'the edge to give up');
is($second->{status} >> 8, 1, 'a place that is taken ends it');
like($second->log, qr/cannot listen on 127\.0\.0\.1:\d+: Address already in use/, 'which is said');

done_testing();
