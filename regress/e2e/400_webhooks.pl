#!/usr/bin/perl
#
# What follows from the outcome of a delivery, with this test as the edge: it claims over SQL, and reports
# whatever it wants to have happened. Also what needs more than one session: rights, and a prepared publish.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = HotDash->cluster('webhooks');
$node->create_db_with_extension('app');
$node->safe_psql('app', q{SELECT hotdash.edge_hello(1, 'test', '0')});

sub sql { return $node->safe_psql('app', shift) }

# A new endpoint of a tenant of its own, so that the parts of this test do not meet.
my $tenants = 0;

sub endpoint
{
	my ($arguments) = @_;

	my $tenant = 't' . ++$tenants;
	$arguments = defined $arguments ? ", $arguments" : '';
	return ($tenant, sql("SELECT hotdash.endpoint_create('http://127.0.0.1:1/', tenant => '$tenant'$arguments)"));
}

sub publish
{
	my ($tenant, $n) = @_;

	sql("SELECT hotdash.event_publish('a', to_jsonb(g), tenant => '$tenant') FROM generate_series(1, " . ($n // 1) . ') g');
	return;
}

# Claim all there is: a list of [id, token].
sub claim
{
	return map { [ split /\|/ ] } split /\n/, sql(q{SELECT id, token FROM hotdash.edge_claim('test', 512) ORDER BY id});
}

# Report one outcome for all of the claims; returns the states.
sub report
{
	my ($claims, $outcome) = @_;

	my $results = join ', ', map { qq({"id":"$_->[0]","token":"$_->[1]",$outcome}) } @$claims;
	return sql("SELECT string_agg(state, ' ') FROM hotdash.edge_report('test', '[$results]')");
}

sub http { my ($status, $more) = @_; return qq("class":"http","status":$status,"sent":true) . ($more // '') }

sub states
{
	my ($tenant) = @_;

	return sql("SELECT string_agg(state || ' ' || attempt, ', ' ORDER BY id) FROM hotdash.deliveries WHERE tenant = '$tenant'");
}

subtest 'success, and replay of what succeeded' => sub {
	my ($tenant) = endpoint();
	publish($tenant);
	is(states($tenant), 'ready 0', 'published');
	my @claims = claim();
	is(states($tenant), 'running 1', 'claimed');
	is(report(\@claims, http(204, q(,"excerpt":"aGkACf8=","remote_ip":"127.0.0.1\\u0007","total_us":1500))), 'completed', 'reported');
	is(states($tenant), 'completed 1', 'completed');
	is(sql("SELECT response_excerpt || remote_ip || total_ms FROM hotdash.delivery_attempts WHERE tenant = '$tenant'"),
		"hi  \x{fffd}127.0.0.1 1.500" =~ s/\x{fffd}/\xef\xbf\xbd/r, 'texts from outside are cleaned');
	like(sql("SELECT traceparent || ' ' || (trace_id = substr(traceparent, 4, 32)) FROM hotdash.delivery_attempts WHERE tenant = '$tenant'"),
		qr/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-9a-f] true$/, 'the trace that was sent is shown');
	is(sql("SELECT hotdash.delivery_replay($claims[0][0])"), 't', 'replayed');
	is(states($tenant), 'completed 1, ready 0', 'as a delivery of its own');
	is(report([claim()], http(200)), 'completed', 'which completes too');
	is($node->sqlstate('app', 'SELECT hotdash.delivery_replay(-1)'), '42704', 'an unknown one cannot be replayed');
};

subtest 'attempts run out; dead; replay' => sub {
	my ($tenant, $id) = endpoint(q(max_attempts => 2, backoff => '{"type":"fixed","base":"0.2s","jitter":"none"}'));
	publish($tenant);
	is(report([claim()], http(500)), 'scheduled', 'the first failure is retried');
	my @claims = poll_until(sub { my @c = claim(); return @c ? \@c : undef }, 30, 'the retry')->@*;
	is(sql(q{SELECT hotdash.delivery_replay(} . $claims[0][0] . ')'), 'f', 'no replay while it goes on');
	is(report(\@claims, http(500)), 'dead', 'the second is the last');
	is(sql("SELECT reason, last_status, last_reason, last_error FROM hotdash.dead_deliveries WHERE tenant = '$tenant'"),
		'attempts|500|server_error|HTTP 500: server_error', 'dead, with the reason');
	is(sql("SELECT hotdash.endpoint_replay($id, now() - interval '1 hour', now() - interval '30 minutes')"), 0, 'nothing from then');
	is(sql("SELECT hotdash.endpoint_replay($id, now() - interval '1 hour')"), 1, 'the endpoint is replayed');
	is(sql("SELECT hotdash.endpoint_replay($id, now() - interval '1 hour')"), 0, 'once');
	is(report([claim()], http(404)), 'dead', '404 is final');
	is(sql("SELECT string_agg(attempt || ' ' || outcome || ' ' || reason, ', ' ORDER BY finished_at) FROM hotdash.delivery_attempts WHERE tenant = '$tenant'"),
		'1 scheduled server_error, 2 dead server_error, 1 dead not_found', 'all of it is in the log');
};

subtest '429 pauses the endpoint, not only the delivery' => sub {
	my ($tenant) = endpoint();
	publish($tenant, 3);
	my @claims = claim();
	is(report([ $claims[0] ], http(429, ',"retry_after":"2"')), 'scheduled', 'refused');
	is(sql("SELECT paused_until > now() + interval '1 second' FROM hotdash.endpoints WHERE tenant = '$tenant'"), 't', 'paused');
	is(report([ $claims[1] ], http(200)), 'completed', 'what is under way may end well');
	is(sql(qq{SELECT hotdash.edge_release('test', '{$claims[2][0]}', '{$claims[2][1]}')}), 1, 'what was not sent is given back');
	is(scalar(claim()), 0, 'and not sent while the pause lasts');
	is(states($tenant), 'scheduled 1, completed 1, scheduled 0', 'without costing an attempt');
	my @after;
	poll_until(sub { push @after, claim(); return @after == 2 }, 30, 'the end of the pause');
	is(sql("SELECT paused_until IS NULL FROM hotdash.endpoints WHERE tenant = '$tenant'"), 't', 'nothing goes out before the pause has ended');
	is(report(\@after, http(200)), 'completed completed', 'then all do');
};

subtest '410 disables the endpoint and parks its queue' => sub {
	my ($tenant, $id) = endpoint();
	publish($tenant, 2);
	my @claims = claim();
	is(report([ $claims[0] ], http(410)), 'parked', 'gone');
	is(sql("SELECT enabled, disabled_reason FROM hotdash.endpoints WHERE id = $id"), 'f|the receiver answered 410 Gone', 'disabled');
	sql(qq{SELECT hotdash.edge_release('test', '{$claims[1][0]}', '{$claims[1][1]}')});
	is(scalar(claim()), 0, 'nothing is sent');
	is(states($tenant), 'parked 0, parked 0', 'both are parked, without costing an attempt');
	publish($tenant);
	is(states($tenant), 'parked 0, parked 0', 'new events are not for it');
	sql("SELECT hotdash.endpoint_enable($id)");
	is(states($tenant), 'ready 0, ready 0', 'enabled again');
	is(report([claim()], http(200)), 'completed completed', 'both go out');
};

subtest 'stale tokens' => sub {
	my ($tenant) = endpoint();
	publish($tenant, 2);
	my @claims = claim();
	sql(qq{SELECT hotdash.edge_release('test', '{$claims[0][0]}', '{$claims[0][1]}')});
	is(report([ $claims[0] ], http(500)), 'lost', 'a late failure');
	is(states($tenant), 'ready 0, running 1', 'changes nothing');
	is(report([ $claims[0] ], http(200)), 'lost', 'a late success');
	is(states($tenant), 'completed 1, running 1', 'ends the retry');
	is(sql("SELECT state FROM hotdash.jobs WHERE id = $claims[0][0]"), 'completed', 'which is not needed');
	is(scalar(claim()), 0, 'so nothing is sent again');
	is(sql("SELECT count(*) FROM hotdash.delivery_attempts WHERE tenant = '$tenant' AND late"), 2, 'both are in the log as late');
	my $stale = $claims[1];
	sql(qq{SELECT hotdash.edge_release('test', '{$stale->[0]}', '{$stale->[1]}')});
	my ($fresh) = claim();
	is(report([ $stale, $fresh ], http(200)), 'lost completed', 'one delivery twice in a report, under two tokens');
};

subtest 'a success after death' => sub {
	my ($tenant, $id) = endpoint();
	publish($tenant, 2);
	my @claims = claim();
	sql(qq{SELECT hotdash.edge_release('test', ARRAY[$claims[0][0], $claims[1][0]], ARRAY[$claims[0][1], $claims[1][1]])});
	sql(q{SELECT hotdash.job_kind_set('follows')});
	my $after = sql("SELECT hotdash.job_enqueue('follows', tenant => '$tenant', after => ARRAY[$claims[0][0]])");
	is(report([claim()], http(404)), 'dead dead', 'two have died');
	is(report([ $claims[0] ], http(200)), 'lost', 'one was delivered after all');
	is(states($tenant), 'completed 1, dead 1', 'and counts as completed');
	is(sql("SELECT state FROM hotdash.jobs WHERE id = $claims[0][0]"), 'completed', 'as a job too');
	is(sql("SELECT string_agg(id::text, ' ') FROM hotdash.dead_deliveries WHERE tenant = '$tenant'"), $claims[1][0], 'it is dead no more');
	is(sql("SELECT state FROM hotdash.jobs WHERE id = $after"), 'ready', 'what waits for it goes on');
	is(sql("SET hotdash.tenant = '$tenant'; SELECT hotdash.dead_retry(kind => 'webhook.delivery') || ' ' || hotdash.endpoint_replay($id, '-infinity')"), '1 0', 'nobody brings it back');
	is(scalar(my @again = claim()), 1, 'nor is it sent again');
	is(report([ $claims[1] ], http(200)), 'lost', 'one that is being sent again');
	is(report(\@again, http(500)), 'cancelled', 'is not tried once more');
	is(states($tenant), 'completed 1, completed 1', 'both were delivered');
	sql("SELECT hotdash.job_cancel($after)");
};

subtest 'nothing half-done' => sub {
	my ($tenant) = endpoint();
	publish($tenant, 2);
	my @claims = claim();
	my $good = qq({"id":"$claims[0][0]","token":"$claims[0][1]",) . http(200) . '}';
	foreach my $bad ('"class":"tea"', '"class":"http","status":"x"', '"class":"http","status":200,"excerpt":"*"', '"class":null', '"class":"http","sent":"maybe"')
	{
		like($node->sqlstate('app', qq{SELECT hotdash.edge_report('test', '[$good, {"id":"$claims[1][0]","token":"$claims[1][1]",$bad}]')}),
			qr/^22/, "refused: $bad");
	}
	is(states($tenant), 'running 1, running 1', 'both are as they were');
	is(sql("SELECT count(*) FROM hotdash.delivery_attempts WHERE tenant = '$tenant'"), 0, 'and nothing is in the log');
	is(report(\@claims, http(200)), 'completed completed', 'a good report still counts');
};

subtest 'what cannot be sent any more' => sub {
	my ($tenant, $id) = endpoint();
	publish($tenant);
	sql("DELETE FROM hotdash._message WHERE tenant = '$tenant'");
	is(scalar(claim()), 0, 'a delivery without its message');
	like(sql("SELECT reason, last_error FROM hotdash.dead_deliveries WHERE tenant = '$tenant'"),
		qr/^final\|message msg_\w+ does not exist any more: /, 'is dead, with the reason');
	publish($tenant);
	sql("DELETE FROM hotdash._endpoint WHERE id = $id");
	is(scalar(claim()), 0, 'nor one without its endpoint');
	is(sql("SELECT count(*) FROM hotdash.dead_deliveries WHERE tenant = '$tenant'"), 2, 'the same');
};

subtest 'a batch has a size in bytes' => sub {
	my ($tenant) = endpoint();
	sql("SELECT hotdash.event_publish_raw('a', convert_to(repeat('x', 1024 * 1024), 'UTF8'), tenant => '$tenant') FROM generate_series(1, 10)");
	my @first = claim();
	is(scalar(@first), 8, 'eight of a megabyte each');
	is(states($tenant), join(', ', ('running 1') x 8, ('ready 0') x 2), 'the others are given back');
	is(report([ @first, claim() ], http(200)), join(' ', ('completed') x 10), 'and come with the next');
};

subtest 'an idempotency key held by a prepared transaction' => sub {
	sql(q{BEGIN; SELECT hotdash.event_publish('a', '1', 'key'); PREPARE TRANSACTION 'first'});
	my $session = $node->session('app');
	$session->query_until(qr/started/, "\\echo started\nSELECT hotdash.event_publish('a', '2', 'key');\n");
	poll_until(sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid'}) }, 30, 'the second to wait');
	sql(q{COMMIT PREPARED 'first'});
	$session->quit;
	is(sql(q{SELECT string_agg(convert_from(hotdash.message_body(id), 'UTF8'), ',') FROM hotdash.messages WHERE idempotency_key = 'key'}),
		'1', 'the second waited, and published nothing');
};

subtest 'waiting' => sub {
	is($node->sqlstate('app', q{BEGIN; CALL hotdash.edge_wait('1 s'); COMMIT}), '2D000', 'not inside a transaction block');
	is($node->sqlstate('app', q{CALL hotdash.edge_wait('-1 s')}), '22023', 'not for a negative time');
	is(sql(q{CALL hotdash.edge_wait('0')}), 'f', 'nothing is ready');
	my ($tenant) = endpoint();
	publish($tenant);
	is(sql(q{CALL hotdash.edge_wait('60 s')}), 't', 'something is');
	is(report([claim()], http(200)), 'completed', 'and is claimed');
};

subtest 'rights' => sub {
	sql("CREATE ROLE hd_$_ LOGIN; SELECT hotdash.access_grant('hd_$_', '$_')") foreach qw(viewer producer edge operator admin);
	my $as = sub { my ($role, $statement) = @_; return $node->sqlstate('app', "SET ROLE hd_$role; $statement;") };
	my ($tenant, $id) = endpoint(q(headers => '{"X-Key":"s3cr3t"}'));

	is($as->('viewer', "SELECT * FROM hotdash.$_"), '00000', "viewer reads $_") foreach qw(endpoints messages deliveries delivery_attempts dead_deliveries inbound_sources inbound_messages);
	is($as->('viewer', "SELECT $_"), '42501', "viewer may not read $_")
	  foreach ('key FROM hotdash._endpoint_key', 'headers FROM hotdash._endpoint', 'body FROM hotdash._message', q{hotdash.message_body('x')}, "hotdash.endpoint_secret($id)",
		'secret FROM hotdash._inbound_key', q{hotdash.inbound_receive('shop', '{}', '')});
	is($as->('producer', q{SELECT hotdash.event_publish('a', '1')}), '00000', 'producer publishes');
	is($as->('producer', "SELECT $_"), '42501', "producer may not: $_") foreach ("hotdash.endpoint_create('http://a')", q{* FROM hotdash.edge_claim('x', 1)}, '* FROM hotdash.messages');
	is($as->('edge', $_), '00000', "edge: $_")
	  foreach (q{SELECT hotdash.edge_hello(1, 'x', '0')}, q{SELECT * FROM hotdash.edge_claim('x', 1)}, q{SELECT * FROM hotdash.edge_report('x', '[]')}, q{CALL hotdash.edge_wait('0')});
	is($as->('edge', "SELECT $_"), '42501', "edge may not: $_")
	  foreach (q{hotdash.event_publish('a', '1')}, '* FROM hotdash.endpoints', q{* FROM hotdash.job_claim()}, "hotdash.endpoint_secret($id)", '1 FROM hotdash._endpoint_key');
	is($as->('edge', q{SELECT * FROM hotdash.inbound_receive('shop', '{}', '')}), '00000', 'edge takes webhooks');
	is($as->('edge', "SELECT hotdash.$_"), '42501', "edge may not: $_")
	  foreach (q{inbound_set('shop', 'github', 'mine')}, q{inbound_rotate_secret('shop', 'mine')}, q{_inbound_seal('a', 'github', 'b')}, q{secret_reseal()}, "endpoint_rotate_secret($id)");
	is($as->('operator', "SELECT hotdash.endpoint_rotate_secret($id)"), '42501', 'operator may not replace a secret');
	is($as->('admin', "SELECT hotdash.endpoint_rotate_secret($id), hotdash.inbound_set('shop', 'github', 's'), hotdash.inbound_rotate_secret('shop', 't'), hotdash.secret_reseal()"), '00000', 'admin may');
	is($as->('operator', "SELECT hotdash.endpoint_disable($id), hotdash.endpoint_enable($id)"), '00000', 'operator switches endpoints');
	is($as->('operator', "SELECT hotdash.endpoint_secret($id)"), '42501', 'operator may not see a secret');
	is($as->('admin', "SELECT hotdash.endpoint_secret($id)"), '00000', 'admin may');
	is($node->sqlstate('app', "SET hotdash.tenant = 'other'; SET ROLE hd_viewer; SELECT 1 / count(*) FROM hotdash.endpoints"), '22012',
		'a session bound to a tenant sees no other');
	is($node->sqlstate('app', "SET hotdash.tenant = 'other'; SET ROLE hd_viewer; SELECT 1 / count(*) FROM (SELECT $_) AS t"), '22012', "nor by the table: $_")
	  foreach ('endpoint_id FROM hotdash._endpoint_key', 'source FROM hotdash._inbound', 'source, created_at FROM hotdash._inbound_key');
	sql('CREATE ROLE hd_nobody LOGIN');
	is($as->('nobody', q{SELECT hotdash.webhook_sign('whsec_YQ==', 'a', now(), '')}), '42501', 'PUBLIC has nothing');
};

done_testing();
