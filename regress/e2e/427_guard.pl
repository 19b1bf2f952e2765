#!/usr/bin/perl
#
# A producer attacks: the queue, the kinds and the flows that are the server's own, by every road that leads to a job.

use strict;
use warnings FATAL => 'all';

use FindBin;
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

$node->stop;
done_testing();
