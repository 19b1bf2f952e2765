#!/usr/bin/perl
#
# The consent of receivers: through a real edge and a receiver that grants or refuses; then its schedule, its
# end, and what comes late, with this test as the edge and the clock of the server moved.

use strict;
use warnings FATAL => 'all';

use FindBin;
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('consent', conf => "hotdash.webhook_origin = 'Events.example.com'\n");
$node->create_db_with_extension('app');
my $receiver = HotDash::Process->start('receiver', undef, 'node', "$ENV{HOTDASH_TREE}/edge/test/receiver.mjs");
my $url = poll_until(sub { $receiver->log =~ m{(http://\S+)} && $1 }, 30, 'the receiver');

sub sql { return $node->safe_psql('app', shift) }
sub consents { my ($answer) = @_; HTTP::Tiny->new->get("$url/_consent/$answer"); return }
sub seen { my ($path) = @_; return grep { $_->{path} eq $path } @{ decode_json(HTTP::Tiny->new->get("$url/_seen")->{content}) } }

my $events = 0;

sub endpoint
{
	my ($address, $more) = @_;
	my $event = 'e' . ++$events;
	return ($event, sql("SELECT hotdash.endpoint_create('$address', events => '{$event}', options => '{\"consent\": true}'" . ($more // '') . ')'));
}

sub column { my ($id, $what) = @_; return sql("SELECT $what FROM hotdash.endpoints WHERE id = $id") }
sub wait_for { my ($id, $what, $value) = @_; poll_until(sub { column($id, $what) eq $value }, 60, "$what = $value of endpoint $id"); return }
sub delivery { my ($id) = @_; return sql("SELECT string_agg(state || ' ' || attempt, ', ' ORDER BY id) FROM hotdash.deliveries WHERE endpoint_id = $id") }
sub handshakes { my ($reason) = @_; return sql("SELECT count(*) FROM hotdash.delivery_attempts WHERE endpoint_id IS NULL AND reason = '$reason'") }

subtest 'through the edge' => sub {
	my $edge = $node->start_edge('app', { allow_addresses => '127.0.0.0/8' });
	my ($event, $id) = endpoint("$url/consent/a", ', rate => 5');

	sql("SELECT hotdash.event_publish('$event', '{}')");
	poll_until(sub { handshakes('consent_refused') == 1 }, 60, 'the first handshake');
	my @calls = seen('/consent/a');
	is(scalar(@calls), 1, 'one request');
	is("$calls[0]{method} $calls[0]{headers}{'webhook-request-origin'} $calls[0]{headers}{'webhook-request-rate'}", 'OPTIONS Events.example.com 300', 'who asks, for how many a minute');
	is(column($id, 'consent'), 'pending', 'a status alone is no consent');
	is(delivery($id), 'parked 0', 'so nothing is sent');
	like(sql("SELECT hotdash.job_explain(min(id)) ->> 'why' FROM hotdash.deliveries WHERE endpoint_id = $id"), qr/waits for the consent of its receiver/, 'and job_explain says why');

	consents('other.example.com');
	sql("SELECT hotdash.endpoint_enable($id)");
	poll_until(sub { handshakes('consent_refused') == 2 }, 60, 'the second handshake');
	is(column($id, 'consent'), 'pending', 'a consent for somebody else is none');
	consents('events.EXAMPLE.com/many');
	sql("SELECT hotdash.endpoint_enable($id)");
	poll_until(sub { handshakes('consent_refused') == 3 }, 60, 'the third handshake');
	is(column($id, 'consent'), 'pending', 'one to a rate that cannot be read is none');
	consents('events.EXAMPLE.com/120');
	sql("SELECT hotdash.endpoint_enable($id)");
	wait_for($id, 'consent', 'granted');
	is(column($id, 'consent_rate'), 120, 'one for us, to a rate');
	poll_until(sub { delivery($id) eq 'completed 1' }, 60, 'the delivery');
	my ($post) = grep { $_->{method} eq 'POST' } seen('/consent/a');
	is($post->{headers}{'webhook-request-origin'}, 'Events.example.com', 'deliveries say who sends');

	consents('');
	sql(qq{SELECT hotdash.endpoint_update($id, '{"url": "$url/consent/b", "timeout": "5 s"}'); SELECT hotdash.event_publish('$event', '{}')});
	poll_until(sub { seen('/consent/b') == 1 && handshakes('consent_refused') == 4 }, 60, 'the handshake with another url');
	is(column($id, 'consent') . ' ' . delivery($id), 'pending completed 1, parked 0', 'who has moved is asked again');
	consents('*');
	sql("SELECT hotdash.endpoint_enable($id)");
	wait_for($id, 'consent', 'granted');
	is(column($id, 'consent_rate IS NULL'), 't', 'to anybody, without a bound');
	poll_until(sub { delivery($id) eq 'completed 1, completed 1' }, 60, 'the delivery');
	my $n = seen('/consent/b');
	sql("SELECT hotdash.endpoint_enable($id)");
	sql(qq{SELECT hotdash.endpoint_update($id, '{"url": "$url/consent/b", "options": {"consent": true}}')});
	is(column($id, 'consent'), 'granted', 'what changes nothing asks nobody');
	sql("SELECT hotdash.endpoint_disable($id); SELECT hotdash.endpoint_enable($id)");
	poll_until(sub { seen('/consent/b') == $n + 1 }, 60, 'another handshake');
	wait_for($id, 'consent', 'granted');
	is($edge->stop, 0, 'the edge ends');
};

# From here on this test is the edge.
sub claim { return map { [ split /\|/ ] } split /\n/, sql(q{SELECT id, token, method, url, keep_bytes FROM hotdash.edge_claim('test', 512)}) }

sub report
{
	my ($claim, $status, $headers, $class) = @_;
	my $outcome = qq("class":"http","status":$status,"sent":true);

	$outcome = qq("class":"$class","sent":false) if $class;
	$outcome .= ',"headers":"' . encode_base64("HTTP/1.1 $status X\r\n$headers\r\n", '') . '"' if defined $headers;
	return sql(qq{SELECT state FROM hotdash.edge_report('test', '[{"id":"$claim->[0]","token":"$claim->[1]",$outcome}]')});
}

my $grant = "WebHook-Allowed-Origin: *\r\nWebHook-Allowed-Rate: 60\r\n";

subtest 'refused until the end' => sub {
	my ($event, $id) = endpoint('http://127.0.0.1:1/refused');
	sql("SELECT hotdash.event_publish('$event', '{}')");
	my @outcomes = ([ 405 ], [ 200, "WebHook-Allowed-Origin: x\r\n" ], [ 503 ], [ 0, undef, 'timeout' ], [ 410, "WebHook-Allowed-Origin: *\r\n" ]);
	foreach my $n (1 .. 5)
	{
		my @claims = claim();
		is(scalar(@claims), 1, "handshake $n, and nothing else");
		is("$claims[0][2] $claims[0][3]", 'OPTIONS http://127.0.0.1:1/refused', 'is an OPTIONS');
		is(report($claims[0], @{ $outcomes[ $n - 1 ] }), $n < 5 ? 'scheduled' : 'dead', 'refused');
		is(column($id, 'consent || enabled'), $n < 5 ? 'pendingtrue' : 'refusedfalse', $n < 5 ? 'it is tried again' : 'then the endpoint is disabled');
		is(scalar(claim()), 0, 'not at once');
		$node->pass_time(60 * 6**($n - 1) + 1);
	}
	is(column($id, 'disabled_reason'), 'no consent of the receiver: HTTP 410: consent_refused', 'with the reason');
	is(delivery($id), 'parked 0', 'what waits goes on waiting');
	sql("SELECT hotdash.endpoint_enable($id)");
	my @claims = claim();
	is("@{ $claims[0] }[2,3]", 'OPTIONS http://127.0.0.1:1/refused', 'enabled, it is asked again');
	is(report($claims[0], 200, $grant), 'completed', 'granted at last');
	my ($post) = claim();
	is($post->[2], 'POST', 'what waited goes out');
	is(report($post, 200), 'completed', 'and arrives');
};

subtest 'the rate' => sub {
	my ($event, $id) = endpoint('http://127.0.0.1:1/rate');
	sql("SELECT hotdash.event_publish('$event', '{}') FROM generate_series(1, 10)");
	my ($ask) = claim();
	report($ask, 204, "WebHook-Allowed-Origin: Events.example.com\r\nWebHook-Allowed-Rate: 3\r\n");
	my @claims = claim();
	is(scalar(@claims), 3, 'three are sent');
	report($_, 200) foreach @claims;
	$node->pass_time(55);
	is(scalar(claim()), 0, 'no more within a minute');
	$node->pass_time(7);
	@claims = claim();
	is(scalar(@claims), 3, 'then three again');
	report($_, 200) foreach @claims;
	sql(qq{SELECT hotdash.endpoint_update($id, '{"options": {"consent": false}}')});
	is(column($id, 'consent IS NULL'), 't', 'without the option');
	@claims = claim();
	is(scalar(@claims), 4, 'there is no bound');
	report($_, 200) foreach @claims;
};

subtest 'what comes late, or twice, or not at all' => sub {
	my ($event, $id) = endpoint('http://127.0.0.1:1/late');
	my ($old) = claim();
	sql(qq{SELECT hotdash.endpoint_update($id, '{"url": "http://127.0.0.1:1/new"}')});
	is(report($old, 200, $grant), 'completed', 'the old url grants');
	is(column($id, 'consent'), 'pending', 'which says nothing of the new one');
	my ($new) = claim();
	is($new->[3], 'http://127.0.0.1:1/new', 'that is asked too');
	my $results = qq([{"id":"$new->[0]","token":"$new->[1]","class":"http","status":200,"headers":"@{[ encode_base64("HTTP/1.1 200 X\r\n$grant\r\n", '') ]}"}]);
	sql("BEGIN; SELECT FROM hotdash.edge_report('test', '$results'); ROLLBACK");
	is(column($id, 'consent'), 'pending', 'a report that is rolled back grants nothing');
	$node->pass_time(300);
	poll_until(sub { sql('CALL hotdash._tick()'); sql("SELECT count(*) FROM hotdash._job_running() WHERE id = $new->[0]") eq '0' }, 30, 'the lease to end');
	is(report($new, 200, $grant), 'lost', 'one after the lease');
	is(column($id, 'consent'), 'granted', 'grants');
	$node->pass_time(100);
	is(scalar(claim()), 0, 'and ends the retry');

	my ($event2, $lost) = endpoint('http://127.0.0.1:1/lost');
	is(sql("SELECT hotdash._webhooks_tidy(); SELECT consent FROM hotdash.endpoints WHERE id = $lost"), "f\npending", 'one that is under way is let be');
	sql("SELECT hotdash.job_cancel(consent_request) FROM hotdash._endpoint_option WHERE endpoint_id = $lost");
	sql('SELECT hotdash._webhooks_tidy()');
	is(column($lost, "consent || ' ' || disabled_reason"), 'refused no consent of the receiver: the handshake ended without an answer', 'one that was cancelled ends without a report');

	my ($event3, $crashed) = endpoint('http://127.0.0.1:1/crashed');
	my ($claim) = claim();
	$node->kill_postmaster;
	is(report($claim, 200, $grant), 'completed', 'a crash in between');
	is(column($crashed, 'consent'), 'granted', 'changes nothing');

	my $rolled = sql("BEGIN; SELECT hotdash.endpoint_create('http://127.0.0.1:1/rolled', options => '{\"consent\": true}'); ROLLBACK");
	is(scalar(claim()), 0, 'nobody is asked for what was rolled back');
};

done_testing();
