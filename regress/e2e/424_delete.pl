#!/usr/bin/perl
#
# An endpoint is deleted while deliveries wait for it and others are under way: what is sent, what is recorded, what is
# cancelled and when; beside publishers, other tenants, a crash and a rollback. This test is the edge, over SQL.

use strict;
use warnings FATAL => 'all';

use FindBin;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('delete');
my $db = $node->create_db_with_extension('app');
$node->safe_psql($db, q{SELECT hotdash.edge_hello(1, 'test', '0')});

sub sql { return $node->safe_psql($db, shift) }

my $tenants = 0;

sub endpoint
{
	my ($arguments) = @_;

	my $tenant = 't' . ++$tenants;
	return ($tenant, sql("SELECT hotdash.endpoint_create('http://127.0.0.1:1/', tenant => '$tenant'" . (defined $arguments ? ", $arguments" : '') . ')'));
}

sub publish
{
	my ($tenant, $n) = @_;

	sql("SELECT count(hotdash.event_publish('a', to_jsonb(g), order_key => 'k' || g % 100, tenant => '$tenant')) FROM generate_series(1, $n) AS g");
	return;
}

sub claim { my ($n) = @_; return map { [ split /\|/ ] } split /\n/, sql(q{SELECT id, token FROM hotdash.edge_claim('test', } . ($n // 512) . ')') }

sub report
{
	my ($claims, $status) = @_;

	my $results = join ', ', map { qq({"id":"$_->[0]","token":"$_->[1]","class":"http","status":$status,"sent":true}) } @$claims;
	return sql("SELECT string_agg(state, ' ') FROM hotdash.edge_report('test', '[$results]')");
}

# How many deliveries of a tenant are in which state.
sub states { my ($tenant) = @_; return sql("SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM (SELECT state, count(*) AS n FROM hotdash.deliveries WHERE tenant = '$tenant' GROUP BY 1) AS x") }

sub tick { sql('CALL hotdash._tick()'); return }

sub unfinished { return sql('SELECT count(*) FROM hotdash._endpoint_deleted') }

# Kill a backend, which restarts all of them.
subtest 'with a backlog' => sub {
	my ($tenant, $id) = endpoint(q(ordered => true, concurrency => 100, max_attempts => 5));
	publish($tenant, 25_000);
	my @claims = claim(5);
	report([ $claims[4] ], 500);
	is(states($tenant), 'ready 24995, running 4, scheduled 1', 'waiting, under way, put off');

	my $written = q{SELECT pg_stat_get_xact_tuples_inserted(c) + pg_stat_get_xact_tuples_updated(c) + pg_stat_get_xact_tuples_deleted(c) FROM CAST('hotdash._job' AS regclass) AS c};
	is(sql("BEGIN; SELECT hotdash.endpoint_delete($id); $written; COMMIT") =~ s/\s//gr, '0', 'deleting touches no delivery');
	is(sql("SELECT count(*) FROM hotdash.endpoints WHERE id = $id"), 0, 'the endpoint is gone');
	is(sql("SELECT count(*) FROM hotdash._endpoint_key WHERE endpoint_id = $id"), 0, 'and its secret');
	is(states($tenant), 'parked 24996, running 4', 'nothing goes out any more');
	is(scalar(claim()), 0, 'to nobody');
	my $why = sub { my ($what) = @_; return sql("SELECT hotdash.job_explain((array_agg(id ORDER BY id))[50]) ->> '$what' FROM hotdash.deliveries WHERE tenant = '$tenant'") };
	is($why->('code'), 'flow_held', 'it is held');
	like($why->('why'), qr/endpoint $id was deleted/, 'job_explain says why');
	is(report([ $claims[0] ], 200), 'completed', 'what was under way may end well');
	is(report([ $claims[1] ], 503), 'scheduled', 'or not');

	is(sql('SELECT hotdash._endpoints_sweep()'), 't', 'the tick takes some');
	# The first so many, but for the one that is completed and two that are under way.
	my $cancelled = sql('SELECT hotdash._job_at_once()') - 3;
	is(states($tenant), "cancelled $cancelled, completed 1, parked @{[ 24_997 - $cancelled ]}, running 2", 'no more than there is room for');
	$node->kill_backend($db);
	tick();
	is(states($tenant), 'cancelled 24997, completed 1, running 2', 'after a crash the rest');
	is(unfinished(), 1, 'it is not done while some are under way');
	is(report([ $claims[2] ], 500), 'cancelled', 'a failure is recorded, and not followed by another attempt');
	is(report([ $claims[3] ], 410), 'parked', 'nor is 410');
	tick();
	is(states($tenant), 'cancelled 24999, completed 1', 'all have ended');
	is(unfinished(), 0, 'and nothing is left to do');
	is(sql("SELECT count(*) FROM hotdash._job_flow WHERE flow = 'endpoint:$id'"), 0, 'not even its limits');
	is(sql("SELECT string_agg(outcome || ' ' || status, ', ' ORDER BY finished_at) FROM hotdash.delivery_attempts WHERE endpoint_id = $id"),
		'scheduled 500, completed 200, scheduled 503, cancelled 500, parked 410', 'the history is all there');
	is(sql("SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM (SELECT state, count(*) AS n FROM hotdash.jobs WHERE tenant = '$tenant' GROUP BY 1) AS x"),
		'cancelled 24999, completed 1', 'that of the jobs too');
	is(sql("SELECT count(*) FROM hotdash.dead_jobs WHERE tenant = '$tenant'"), 0, 'none is dead');
};

subtest 'a lease that ends' => sub {
	my ($tenant, $id) = endpoint();
	publish($tenant, 1);
	claim();
	sql("SELECT hotdash.endpoint_delete($id)");
	tick();
	is(states($tenant), 'running 1', 'its edge has died');
	$node->pass_time(100);
	tick();
	is(states($tenant), 'cancelled 1', 'the delivery is not given to another');
	tick();
	is(unfinished(), 0, 'which is the end of it');
};

subtest 'a publisher that commits afterwards' => sub {
	my ($tenant, $id) = endpoint();
	my $publisher = $node->session($db);
	$publisher->query("BEGIN; SELECT hotdash.event_publish('a', '1', tenant => '$tenant')");
	sql("SELECT hotdash.endpoint_delete($id)");
	tick();
	is(unfinished(), 0, 'waits for nobody, and nobody waits for it');
	$publisher->query('COMMIT');
	$publisher->quit;
	is(states($tenant), 'parked 1', 'its delivery comes too late');
	is(scalar(claim()), 0, 'and is not sent');
	is(sql("SELECT reason, last_error FROM hotdash.dead_deliveries WHERE tenant = '$tenant'"), 'final|the endpoint does not exist any more', 'but dead, with the reason');
	is(sql("SELECT hotdash.dead_retry(queue => 'webhooks')"), 1, 'brought back');
	is(scalar(claim()), 0, 'it is');
	is(states($tenant), 'dead 1', 'dead again, and not claimed for ever');
	is($node->sqlstate($db, "SELECT hotdash.delivery_replay(id) FROM hotdash.deliveries WHERE tenant = '$tenant'"), '42704', 'delivery_replay says so');
	is($node->sqlstate($db, "SELECT hotdash.endpoint_replay($id, '-infinity')"), '42704', 'and endpoint_replay');
};

subtest 'taken back, twice, and by others' => sub {
	my ($tenant, $id) = endpoint();
	publish($tenant, 2);
	sql("BEGIN; SELECT hotdash.endpoint_delete($id); ROLLBACK");
	is(unfinished(), 0, 'rolled back');
	is(report([claim()], 200), 'completed completed', 'all goes on');
	sql("CREATE ROLE hd_$_ LOGIN; SELECT hotdash.access_grant('hd_$_', '$_')") foreach qw(operator admin);
	is($node->sqlstate($db, "SET ROLE hd_operator; SELECT hotdash.endpoint_delete($id)"), '42501', 'an operator may not');
	is($node->sqlstate($db, "SET hotdash.tenant = 'other'; SELECT hotdash.endpoint_delete($id)"), '42704', 'another tenant does not know it');
	is($node->sqlstate($db, "SET hotdash.tenant = '$tenant'; SET ROLE hd_admin; SELECT hotdash.endpoint_delete($id)"), '00000', 'an admin may');
	is($node->sqlstate($db, "SELECT hotdash.endpoint_delete($id)"), '42704', 'once');
	tick();
};

subtest 'with an alert, a handshake and somebody who listens' => sub {
	my ($tenant, $id) = endpoint();
	sql("SELECT hotdash.endpoint_create('http://127.0.0.1:1/watch', '{hotdash.*}', tenant => '$tenant')");
	publish($tenant, 3);
	report([claim()], 500);
	is(sql("SELECT count(*) FROM hotdash.alerts WHERE name = 'endpoint:$id' AND cleared_at IS NULL"), 1, 'it does badly');
	sql("SELECT hotdash.endpoint_delete($id)");
	is(sql("SELECT count(*) FROM hotdash.alerts WHERE name = 'endpoint:$id' AND cleared_at IS NULL"), 0, 'its alert is over');
	is(sql("SELECT convert_from(hotdash.message_body(id), 'UTF8')::jsonb ->> 'endpoint' FROM hotdash.messages WHERE tenant = '$tenant' AND event_type = 'hotdash.endpoint.deleted'"),
		$id, 'others are told');
	tick();
	report([claim()], 200);

	my ($asked_tenant, $asked) = endpoint(q(options => '{"consent":true}'));
	my $request = sql("SELECT consent_request FROM hotdash._endpoint_option WHERE endpoint_id = $asked");
	sql("SELECT hotdash.endpoint_delete($asked)");
	is(sql("SELECT state FROM hotdash.http_response($request)"), 'cancelled', 'a handshake that waits is cancelled');

	($asked_tenant, $asked) = endpoint(q(options => '{"consent":true}'));
	my @handshake = claim();
	sql("SELECT hotdash.endpoint_delete($asked)");
	is(report(\@handshake, 200), 'completed', 'one that is under way ends as any request');
	tick();
	is(unfinished(), 0, 'nothing is left to do');
};

done_testing();
