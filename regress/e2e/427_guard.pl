#!/usr/bin/perl
#
# A producer attacks: the queue, the kinds and the flows that are the server's own, by every road that leads to a job;
# an edge of one tenant reports on another's deliveries; and payloads that nobody should be able to write, written all
# the same, hold up no delivery.

use strict;
use warnings FATAL => 'all';

use FindBin;
use HTTP::Tiny;
use JSON::PP;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('guard');
my $db = $node->create_db_with_extension('app');
my $receiver = HotDash::Process->start('receiver', undef, 'node', "$ENV{HOTDASH_TREE}/edge/test/receiver.mjs");
my $url = poll_until(sub { $receiver->log =~ m{(http://\S+)} && $1 }, 30, 'the receiver');

sub sql { return $node->safe_psql($db, shift) }

# The state that a call of a role ends in, and its message and hint.
sub refused
{
	my ($role, $call) = @_;
	my ($status, $out, $error) = $node->psql($db, "\\set VERBOSITY verbose\n$call;", extra_params => [ '-U', $role ]);
	my ($state) = $error =~ /ERROR:\s+(\w{5}):/;
	return ($state // 'accepted', $error);
}

# Two tenants with an endpoint each, and roles of tenant a at each level that may ask for jobs or report on them.
sql(<<"SQL");
CREATE ROLE producer_a LOGIN; CREATE ROLE worker_a LOGIN; CREATE ROLE operator_a LOGIN; CREATE ROLE admin_a LOGIN; CREATE ROLE edge_a LOGIN;
SELECT hotdash.access_grant((l || '_a')::regrole, l, tenant => 'a') FROM unnest('{producer,worker,operator,admin,edge}'::text[]) AS l;
SELECT hotdash.job_kind_set('mine'), hotdash.queue_set('mine');
SQL
my ($of_a, $of_b) = map { sql("SELECT hotdash.endpoint_create('$url/ok/$_', tenant => '$_')") } qw(a b);
my $message = $node->safe_psql($db, q{SELECT hotdash.event_publish('order.created', '{}')}, extra_params => [ '-U', 'producer_a' ]);
my $jobs = sub { sql('SELECT count(*) FROM hotdash._job') };
my $there = $jobs->();

my $forged = qq('{"message": "$message", "part": 0, "endpoint": "$of_b"}');
my @roads = (
	[ 'producer', 'event_publish', "SELECT hotdash.job_enqueue('webhook.delivery', $forged)" ],
	[ 'producer', 'event_publish', "SELECT hotdash.job_enqueue('webhook.delivery', $forged, queue => 'webhooks')" ],
	[ 'producer', 'event_publish', "SELECT hotdash.job_enqueue('webhook.delivery', $forged, queue => 'default', needs_approval => true)" ],
	[ 'producer', 'event_publish', "SELECT hotdash.job_enqueue('webhook.delivery', $forged, unique_key => 'k', if_exists => 'replace')" ],
	[ 'producer', 'event_publish', "SELECT hotdash.job_enqueue_many('webhook.delivery', ARRAY[$forged]::jsonb[])" ],
	[ 'producer', 'event_publish', "SELECT hotdash.job_enqueue_many('webhook.delivery', '{}')" ],
	[ 'worker', 'event_publish', "SELECT hotdash.job_enqueue('webhook.delivery', $forged)" ],
	[ 'producer', 'http_request', "SELECT hotdash.job_enqueue('http.request', '{}')" ],
	[ 'producer', 'http_request', "SELECT hotdash.job_enqueue('mine', '{}', queue => 'webhooks')" ],
	[ 'producer', 'http_request', "SELECT hotdash.job_enqueue_many('mine', '{\"{}\"}', queue => 'webhooks')" ],
	[ 'producer', 'event_publish', "SELECT hotdash.batch_create('webhook.delivery', $forged)" ],
	[ 'producer', 'http_request', "SELECT hotdash.batch_create('mine', '{}', '{\"queue\": \"webhooks\"}')" ],
	[ 'producer', 'endpoint:', qq{SELECT hotdash.job_enqueue('mine', options => '{"flow": "endpoint:$of_b"}')} ],
	[ 'producer', 'host:', q{SELECT hotdash.job_enqueue('mine', options => '{"flow": "host:example.com"}')} ],
	[ 'producer', 'endpoint:', qq{SELECT hotdash.job_enqueue_many('mine', '{"{}","{}"}', options => '{"flows": ["mine", "endpoint:$of_b"]}')} ],
	[ 'operator', 'event_publish', "SELECT hotdash.schedule_set('s', '* * * * * *', 'webhook.delivery', $forged)" ],
	[ 'operator', 'http_request', "SELECT hotdash.schedule_set('s', '* * * * * *', 'mine', options => '{\"queue\": \"webhooks\"}')" ],
	[ 'admin', 'event_publish', qq{SELECT hotdash.inbound_set('s', 'github', 'x', '{"*": "webhook.delivery"}')} ],
	[ 'admin', 'http_request', q{SELECT hotdash.inbound_set('s', 'github', 'x', '{"*": {"kind": "mine", "queue": "webhooks"}}')} ],
	[ 'admin', 'http_request', "SELECT hotdash.job_kind_set('mine', queue => 'webhooks')" ],
	[ 'admin', 'own', "SELECT hotdash.job_kind_set('http.request', queue => 'mine')" ],
	[ 'admin', 'own', "SELECT hotdash.job_kind_set('webhook.delivery', handler => 'pg_catalog.jsonb_strip_nulls(jsonb)', run_as => 'admin_a')" ],
	[ 'admin', 'own', "SELECT hotdash.job_kind_set('webhook.delivery', payload_schema => 'false')" ],
	[ 'producer', 'denied', "SELECT hotdash._job_enqueue('webhook.delivery', $forged)" ],
	[ 'admin', 'denied', "SELECT hotdash._job_enqueue_many('webhook.delivery', '{}')" ],
);
foreach my $road (@roads)
{
	my ($level, $says, $call) = @$road;
	my ($state, $error) = refused("${level}_a", $call);
	is($state, '42501', "$level: $call");
	like($error, qr/\Q$says\E/, 'and is told why, or what to call');
}
is($jobs->(), $there, 'no job was made');
is(sql("SELECT count(*) FROM hotdash._schedule") . sql("SELECT count(*) FROM hotdash._inbound"), '00', 'nor what would make one');
is((refused('producer_a', q{SELECT hotdash.job_enqueue('mine', options => '{"flow": "endpoint"}'), hotdash.job_enqueue('mine', queue => 'mine')}))[0], 'accepted', 'what is like it by name alone is not meant');
is((refused('admin_a', q{SELECT hotdash.job_kind_set('webhook.delivery', retention => '1 day', concurrency => 500)}))[0], 'accepted', 'limits and retention of such a kind are the operator\'s');
is(sql("SELECT queue FROM hotdash._kind WHERE kind = 'webhook.delivery'"), 'webhooks', 'which stays in its queue');
sql("SELECT hotdash.job_kind_set('webhook.delivery')");

subtest 'a report of what one may not see' => sub {
	my $as_edge = sub { $node->safe_psql($db, shift, extra_params => [ '-U', 'edge_a' ]) };
	my $id = sql(q{SELECT hotdash.event_publish('order.created', '{}', tenant => 'b')}) && sql("SELECT max(id) FROM hotdash.deliveries WHERE tenant = 'b'");
	my ($own) = sql("SELECT max(id) FROM hotdash.deliveries WHERE tenant = 'a'");
	my $gone = '"class":"http","status":410,"sent":true';
	my $report = sub { my ($what, $token) = @_; return $as_edge->(qq{SELECT state FROM hotdash.edge_report('x', '[{"id":"$what","token":"$token",$gone}]')}) };
	my %token = map { split / / } split /\n/, sql("SELECT id || ' ' || token FROM hotdash.edge_claim('sys', 10)");
	my $token = delete $token{$id};
	sql("SELECT hotdash.edge_release('sys', '{$_}', '{$token{$_}}')") foreach keys %token;

	is($report->($id, $token), 'lost', 'the very token of another tenant\'s claim');
	is(sql("SELECT state FROM hotdash.deliveries WHERE id = $id"), 'running', 'changes nothing');
	sql(qq{SELECT hotdash.edge_report('sys', '[{"id":"$id","token":"$token","class":"http","status":200,"sent":true}]')});
	is(sql("SELECT state FROM hotdash.deliveries WHERE id = $id"), 'completed', 'its own edge reports');
	is($report->($id, $token), 'lost', 'nor when it has ended');
	is(sql("SELECT bool_and(enabled) FROM hotdash.endpoints"), 't', '410 disables nothing');

	sql("SELECT hotdash.event_publish('order.created', '{}', tenant => 'a')");
	my $never = sql("SELECT max(id) FROM hotdash.deliveries WHERE tenant = 'a'");
	isnt($never, $own, 'a delivery that was never claimed');
	is($report->($never, $_), 'lost', "token $_ was not given out") foreach 0, -1, 1, 4711, ($token & ~0xffffffff) + (($token + 100000) & 0xffffffff);
	is(sql("SELECT bool_and(enabled) FROM hotdash.endpoints"), 't', 'again nothing is disabled');
	is(sql("SELECT count(*) FROM hotdash.delivery_attempts WHERE delivery_id = $never"), 0, 'nothing is in the log');
	is(sql("SELECT state || attempt FROM hotdash.deliveries WHERE id = $never"), 'ready0', 'and it waits as before');
};

# Who can write tables can write anything; whatever it is, deliveries beside it go on.
subtest 'payloads of any kind' => sub {
	my @bad = ('NULL', map { "'$_'" } 'null', '7', '"x"', '[]', '[1]', '{}', '{"endpoint":"x"}', '{"endpoint":""}', '{"endpoint":"-1"}', '{"endpoint":" 1"}', '{"endpoint":"1.0"}', '{"endpoint":[1]}',
		'{"endpoint":"9223372036854775808"}', '{"endpoint":"99999999999999999999999"}', '{"endpoint":1e300}', '{"endpoint":null,"message":null}',
		qq({"message":"$message","endpoint":"$of_a","part":"x","endpoint":"0x10"}), qq({"message":["$message"],"endpoint":{"id":"$of_a"}}));
	my %bad;
	$bad{ sql("SELECT hotdash._job_enqueue('webhook.delivery', $_, queue => 'webhooks', tenant => 'a')") } = $_ foreach @bad;

	# Each part fits, but not together.
	my $bs = sql(q{SELECT hotdash.event_publish('order.created', '{"secret": "of b"}', tenant => 'b')});
	$bad{ sql("SELECT hotdash._job_enqueue('webhook.delivery', '$_->[1]', queue => 'webhooks', tenant => '$_->[0]')") } = $_->[1]
	  foreach [ 'a', qq({"message":"$message","endpoint":"$of_b"}) ], [ 'a', qq({"message":"$bs","endpoint":"$of_a"}) ], [ 'a', qq({"message":"$bs","endpoint":"$of_b"}) ], [ '', qq({"message":"$message","endpoint":"$of_a"}) ];
	$bad{ sql(q{SELECT hotdash._job_enqueue('mine', '{}', queue => 'webhooks')}) } = 'another kind';
	my $part = sql(qq{SELECT hotdash._job_enqueue('webhook.delivery', '{"message":"$message","endpoint":"$of_a","part":99999}', queue => 'webhooks', tenant => 'a')});
	my $good = sql(q{SELECT hotdash.event_publish('order.created', '{"n": 1}', tenant => 'a')});

	my $edge = $node->start_edge($db, { allow_addresses => '127.0.0.0/8' });
	poll_until(sub { sql("SELECT count(*) FROM hotdash._job WHERE queue = 'webhooks'") eq '0' }, 60, 'the queue to be empty');
	is(sql("SELECT string_agg(DISTINCT state, ' ') FROM hotdash.deliveries WHERE message_id = '$good'"), 'completed', 'what is sound is delivered');
	is(sql("SELECT state FROM hotdash.jobs WHERE id = $part"), 'completed', 'a wrong part is only a hint');
	is(sql("SELECT state FROM hotdash.jobs WHERE id = $_"), 'dead', "dead: $bad{$_}") foreach sort { $a <=> $b } keys %bad;
	is($edge->stop(30), 0, 'the edge has had no trouble');
	unlike($edge->log, qr/SQLSTATE|22P02|22003|ERROR/, 'none at all');
	my %seen = map { join(' ', $_->{path}, $_->{headers}{'webhook-id'}) => 1 } @{ decode_json(HTTP::Tiny->new->get("$url/_seen")->{content}) };
	ok($seen{"/ok/a $good"} && $seen{"/ok/b $bs"}, 'both tenants have theirs');
	ok(!$seen{"/ok/b $message"} && !$seen{"/ok/a $bs"}, 'and none what is the other\'s');
};

$node->stop;
done_testing();
