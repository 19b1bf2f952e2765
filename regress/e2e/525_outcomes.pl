# What becomes of deliveries without a report, and of reports that come again: dead deliveries are told of once, whatever
# the way; attempts that nobody ended have their row; a report that is sent twice counts once. And Retry-After with
# nothing to wait for. This test is the edge, over SQL; the clock of the server is moved where time has to pass.

use strict;
use warnings FATAL => 'all';

use HotDash;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = HotDash->cluster('outcomes');
$node->create_db_with_extension('app');
$node->safe_psql('app', q{SELECT hotdash.edge_hello(1, 'test', '0')});

sub sql { return $node->safe_psql('app', shift) }

my $tenants = 0;

# A tenant of its own with an endpoint that gets all of the application's events.
sub endpoint
{
	my ($arguments) = @_;

	my $tenant = 't' . ++$tenants;
	$arguments = defined $arguments ? ", $arguments" : '';
	return ($tenant, sql("SELECT hotdash.endpoint_create('http://127.0.0.1:1/', tenant => '$tenant'$arguments)"));
}

sub listener
{
	my ($tenant, $events) = @_;

	return sql("SELECT hotdash.endpoint_create('http://127.0.0.1:2/', '{$events}', tenant => '$tenant', max_attempts => 1)");
}

sub publish { my ($tenant) = @_; return sql("SELECT hotdash.event_publish('a', '1', tenant => '$tenant')") }
sub tick { return sql('CALL hotdash._tick()') }

# Of one endpoint, or of all.
sub claim
{
	my ($id) = @_;
	my @claims = map { [ split /\|/ ] } split /\n/, sql(q{SELECT c.id, c.token, d.endpoint_id FROM hotdash.edge_claim('test', 512) c LEFT JOIN hotdash._delivery d USING (id)});
	my @others = grep { defined $id && $_->[2] ne $id } @claims;

	sql(sprintf(q{SELECT hotdash.edge_release('test', '{%s}', '{%s}')}, join(',', map { $_->[0] } @others), join(',', map { $_->[1] } @others))) if @others;
	return grep { !defined $id || $_->[2] eq $id } @claims;
}

sub results { my ($claims, $outcome) = @_; return join ', ', map { qq({"id":"$_->[0]","token":"$_->[1]",$outcome}) } @$claims }
sub http { my ($status, $more) = @_; return qq("class":"http","status":$status,"sent":true) . ($more // '') }

sub report
{
	my ($claims, $outcome, $around) = @_;

	return sql(sprintf($around // '%s', "SELECT string_agg(state, ' ') FROM hotdash.edge_report('test', '[" . results($claims, $outcome) . "]');"));
}

# What an endpoint was told of dead deliveries, in order.
sub told
{
	my ($id) = @_;

	return map { decode_json($_) } split /\n/, sql(qq{SELECT convert_from(m.body, 'UTF8') FROM hotdash._delivery d JOIN hotdash._message m ON m.id = d.message_id
		WHERE d.endpoint_id = $id AND m.event_type = 'hotdash.delivery.dead' ORDER BY d.id});
}

sub attempts
{
	my ($id) = @_;

	return sql("SELECT string_agg(concat_ws(' ', attempt, reason, outcome, CASE WHEN late THEN 'late' END), ', ' ORDER BY finished_at) FROM hotdash.delivery_attempts WHERE delivery_id = $id");
}

subtest 'dead deliveries are told of, whatever the way' => sub {
	my ($tenant, $id) = endpoint(q(max_attempts => 2, max_age => '1 hour', backoff => '{"type":"list","delays":["1s"]}'));
	my $listener = listener($tenant, 'hotdash.delivery.dead');
	my ($other) = endpoint();
	my $stranger = listener($other, 'hotdash.*');
	my ($delivery, $message);
	my $published = sub {
		$message = publish($tenant);
		return $delivery = sql("SELECT id FROM hotdash._delivery WHERE message_id = '$message'");
	};
	my $expect = sub {
		my ($n, $reason, $attempt, $error, $what) = @_;
		my @told = told($listener);
		my $last = $told[-1] // {};

		is(scalar(@told), $n, "$what: told once");
		is_deeply([ @$last{qw(delivery message endpoint event_type tenant reason attempt)} ], [ $delivery, $message, $id, 'a', $tenant, $reason, $attempt ], 'which, whose and why');
		like($last->{last_error} // '', $error, 'the error');
		return;
	};

	$published->();
	my @claims = claim($id);
	is(report(\@claims, http(404), 'BEGIN; %s ROLLBACK'), 'dead', 'a report that is rolled back');
	is(scalar(told($listener)), 0, 'tells nothing');
	is(report(\@claims, http(404)), 'dead', 'a final answer');
	$expect->(1, 'final', 1, qr/HTTP 404: not_found/, 'final');

	$published->();
	report([ claim($id) ], http(500));
	$node->pass_time(5);
	is(report([ claim($id) ], http(500)), 'dead', 'attempts are used up');
	$expect->(2, 'attempts', 2, qr/HTTP 500: server_error/, 'attempts');

	$published->();
	$node->pass_time(3700);
	claim($id);
	is(sql("SELECT reason FROM hotdash._job_dead WHERE id = $delivery"), 'expired', 'a claim finds it too old');
	is(scalar(told($listener)), 2, 'and leaves a note');
	tick();
	$expect->(3, 'expired', 0, qr/^$/, 'expired at a claim');

	$published->();
	my ($first) = claim($id);
	report([$first], http(500));
	$node->pass_time(3700);
	claim($id);
	is(sql("SELECT count(*) FROM hotdash._delivery_death WHERE id = $delivery"), 1, 'a note');
	report([$first], http(200));
	tick();
	is(scalar(told($listener)), 3, 'is not told when it was delivered after all');
	is(sql("SELECT state FROM hotdash.deliveries WHERE id = $delivery"), 'completed', 'which it is');

	$published->();
	sql("SELECT hotdash.endpoint_disable($id)");
	$node->pass_time(3700);
	poll_until(sub { tick(); sql("SELECT count(*) FROM hotdash._job_dead WHERE id = $delivery") }, 30, 'what is parked to expire');
	tick();
	$expect->(4, 'expired', 0, qr/^$/, 'expired while it was parked');
	sql("SELECT hotdash.endpoint_enable($id)");

	$published->();
	for my $try (1, 2)
	{
		is(scalar(my @held = claim($id)), 1, "try $try");
		$node->pass_time(100);
		tick();
		$node->pass_time(5);
	}
	tick();
	$expect->(5, 'attempts', 2, qr/the lease ran out/, 'lost');
	is(attempts($delivery), '1 lost scheduled, 2 lost dead', 'with a row for each attempt');

	$published->();
	sql("DELETE FROM hotdash._message WHERE id = '$message'");
	claim($id);
	tick();
	$expect->(6, 'final', 1, qr/does not exist any more/, 'without its message');

	sql("SELECT hotdash.delivery_replay(x.id) FROM hotdash._job_dead x WHERE x.tenant = '$tenant' AND x.last_error LIKE 'HTTP 404%'");
	$delivery = told($listener) ? (told($listener))[0]{delivery} : 0;
	$message = (told($listener))[0]{message};
	is(report([ claim($id) ], http(404)), 'dead', 'one that was replayed dies again');
	$expect->(7, 'final', 1, qr/HTTP 404/, 'replayed');

	is(scalar(told($stranger)), 0, 'another tenant is told nothing');
	is(sql('SELECT count(*) FROM hotdash._delivery_death'), 0, 'no note is left');
};

subtest 'who is told, and what is not told' => sub {
	my ($tenant, $id) = endpoint();
	my ($left, $right) = (listener($tenant, 'hotdash.delivery.*'), listener($tenant, 'hotdash.*'));
	my $all = sql("SELECT hotdash.endpoint_create('http://127.0.0.1:2/', tenant => '$tenant', filter => '\$.none')");

	publish($tenant);
	report([ claim($id) ], http(400));
	is(scalar(told($left)) . scalar(told($right)) . scalar(told($id)) . scalar(told($all)), '1100', 'those who ask for it');
	is(report([ claim($left), claim($right) ], http(400)), 'dead dead', 'both refuse to hear it');
	tick();
	is(scalar(told($left)) . scalar(told($right)), '11', 'which nobody is told');
	sql("SELECT hotdash.endpoint_disable($id)");
	my @disabled = claim($right);
	is(scalar(@disabled), 2, 'an event about an endpoint, and its alert');
	report(\@disabled, http(400));
	tick();
	is(scalar(told($left)), 1, 'may die untold, too');
	sql("SELECT hotdash.alert_raise('unrelated', 'warning', 'm')");
	sql("BEGIN; SET LOCAL hotdash.tenant = '$tenant'; SELECT hotdash.alert_raise('unrelated', 'warning', 'm'); COMMIT");
	report([ claim($right) ], http(400));
	tick();
	is((told($left))[-1]{event_type}, 'hotdash.alert.raised', 'other operational events are like those of the application');
	tick();
	is(scalar(told($right)), 1, 'but not to the endpoint itself');

	sql("SELECT hotdash.endpoint_disable($left), hotdash.endpoint_disable($right), hotdash.endpoint_enable($id)");
	publish($tenant);
	is(report([ claim($id) ], http(400), 'BEGIN; %s SELECT count(*) FROM hotdash._delivery_death; COMMIT'), "dead\n0", 'nobody asks: no note');
};

subtest 'many at once' => sub {
	my ($tenant, $id) = endpoint(q(max_age => '1 hour'));
	my $listener = listener($tenant, 'hotdash.delivery.dead');

	sql("SELECT count(hotdash.event_publish('a', to_jsonb(g), tenant => '$tenant')) FROM generate_series(1, 2500) g");
	sql("SELECT hotdash.endpoint_disable($id)");
	$node->pass_time(3700);
	poll_until(sub { tick(); sql("SELECT count(*) FROM hotdash._job_dead WHERE tenant = '$tenant'") eq '2500' }, 60, 'them to die');
	tick();
	is(sql("SELECT count(*), count(DISTINCT convert_from(m.body, 'UTF8')::jsonb ->> 'delivery') FROM hotdash._delivery d JOIN hotdash._message m ON m.id = d.message_id WHERE d.endpoint_id = $listener"),
		'2500|2500', 'each is told of once');
	sql("DELETE FROM hotdash._job WHERE tenant = '$tenant'");
};

subtest 'attempts that nobody ended' => sub {
	my ($tenant, $id) = endpoint(q(max_attempts => 9, backoff => '{"type":"list","delays":["1s"]}'));

	publish($tenant);
	my ($first) = claim($id);
	my $delivery = $first->[0];
	is(attempts($delivery), '', 'while it lasts there is no row');
	$node->pass_time(100);
	tick();
	is(attempts($delivery), '1 lost scheduled', 'then there is');
	is(sql("SELECT edge, error_class, error, sent, late, status IS NULL, finished_at - started_at > '60 s', response_excerpt IS NULL FROM hotdash.delivery_attempts WHERE delivery_id = $delivery"),
		'test|lost|the lease ran out|t|f|t|t|t', 'what is known of it');
	is(sql("SELECT last_reason, breaker, failing_since IS NULL FROM hotdash.deliveries d JOIN hotdash.endpoints e ON e.id = d.endpoint_id WHERE d.id = $delivery"), 'lost|closed|t', 'it says nothing of the endpoint');
	is(sql("SELECT count(*), min(name), bool_or(ok), min(attributes ->> 'reason'), bool_and(span_id = substr(hotdash._trace_attempt(NULL, attributes ->> 'message_id', $delivery, $first->[1]), 37, 16))
		FROM hotdash.spans WHERE attributes ->> 'delivery_id' = '$delivery'"), '1|webhook.delivery|f|lost|t', 'a span, by the id that was sent');

	$node->pass_time(5);
	my ($second) = claim($id);
	is(report([$first], http(500)), 'lost', 'its report comes after all');
	is(attempts($delivery), '1 server_error lost late', 'and takes its place');
	is(sql("SELECT count(*) FROM hotdash.spans WHERE attributes ->> 'delivery_id' = '$delivery'"), '1', 'one attempt, one span');
	is(report([$first], http(500)), 'lost', 'once more');
	is(attempts($delivery), '1 server_error lost late', 'which is none');
	is(report([$second], http(200)), 'completed', 'the second goes on');
	is(attempts($delivery), '1 server_error lost late, 2 delivered completed', 'under its own number');

	publish($tenant);
	my ($crashed) = claim($id);
	my $request = sql(q{SELECT hotdash.http_request('http://127.0.0.1:3/')});
	claim();
	$node->kill_backend('app');
	tick();
	is(attempts($crashed->[0]), '', 'a crash does not end the lease of an edge');
	$node->pass_time(100);
	tick();
	is(attempts($crashed->[0]), '1 lost scheduled', 'its end does');
	is(attempts($request), '1 lost scheduled', 'of requests of any kind, too');
	is(sql("SELECT count(*) FROM hotdash.spans WHERE attributes ->> 'delivery_id' = '$request' AND name = 'http.request'"), '1', 'with a span');
	$node->pass_time(100);
	report([ claim() ], http(200));
	is(sql("SELECT string_agg(last_reason, ' ') FROM hotdash.deliveries WHERE tenant = '$tenant'"), 'delivered delivered', 'both arrive');

	publish($tenant);
	my ($cancelled) = claim($id);
	sql("SELECT hotdash.job_cancel($cancelled->[0])");
	$node->pass_time(100);
	tick();
	is(attempts($cancelled->[0]), '1 lost cancelled', 'one that was cancelled meanwhile');

	sql("INSERT INTO hotdash._job (id, at, enqueued_at, fence, priority, attempt, max_attempts, shelf, queue, kind, tenant, payload)
		SELECT -7, hotdash._now(), hotdash._now(), 0, 100, 0, 1, true, 'webhooks', 'webhook.delivery', '', '{\"endpoint\":\"x\",\"message\":[1]}';
		SELECT hotdash._job_reload()");
	sql(q{SELECT count(*) FROM hotdash.job_claim('{webhooks}', 10, 'somebody', '10 s')});
	$node->pass_time(100);
	tick();
	is(sql('SELECT reason FROM hotdash._job_dead WHERE id = -7'), 'attempts', 'a job that is no delivery ends all the same');
};

subtest 'a report that comes again' => sub {
	my ($tenant, $id) = endpoint(q(max_attempts => 9, backoff => '{"type":"list","delays":["1h"]}'));
	my $health = sub { return sql("SELECT coalesce((SELECT cardinality(failed_at) || ' ' || rejected FROM hotdash._endpoint_health WHERE endpoint_id = $id), 'none')") };

	publish($tenant) foreach 1 .. 4;
	my @claims = claim($id);
	is(report([ @claims[ 0, 1 ] ], http(500)), 'scheduled scheduled', 'two failures');
	is(report([ @claims[ 0, 1 ] ], http(500)), 'scheduled scheduled', 'come again, and are answered as before');
	is(report([ @claims[ 0, 0, 1 ] ], http(500)), 'scheduled scheduled scheduled', 'as often as they come');
	is($health->(), '2 0', 'they count once');
	is(attempts($claims[0][0]), '1 server_error scheduled', 'and are in the log once');
	is(report([ @claims[ 2, 2 ] ], http(422)), 'dead dead', 'twice in one report');
	is($health->(), '2 1', 'counts once');
	is(attempts($claims[2][0]), '1 rejected dead', 'is logged once');
	is(report([ @claims[ 2, 3 ] ], http(422)), 'dead dead', 'one that is new beside one that is not');
	is($health->(), '2 2', 'counts');
	publish($tenant);
	my @success = claim($id);
	is(report(\@success, http(200)), 'completed', 'a success');
	is(report(\@success, http(200)), 'completed', 'that comes again');
	is(sql("SELECT count(*) FROM hotdash._delivery_attempt WHERE tenant = '$tenant'"), '5', 'a row for each');
	is(report([ $claims[0] ], http(200)), 'lost', 'one that says otherwise is late');
	is(attempts($claims[0][0]), '1 server_error scheduled, 1 delivered lost late', 'and in the log');
	is(report([ [ $claims[0][0], 1 ] ], http(200)), 'lost', 'a token that nobody knows');
};

subtest 'answers of a receiver that is not asked any more' => sub {
	my ($tenant, $id) = endpoint(q(max_attempts => 9, backoff => '{"type":"list","delays":["1s"]}'));
	my $state = sub { return sql("SELECT concat_ws(' ', enabled, breaker, failing_since, paused_until) FROM hotdash.endpoints WHERE id = $id") };
	my $before = '"total_us":60000000';

	publish($tenant) foreach 1 .. 6;
	my @claims = claim($id);
	sql("SELECT hotdash.endpoint_update($id, '{\"url\":\"http://127.0.0.1:4/\"}')");
	is(report([ @claims[ 0 .. 2 ] ], http(503, ",$before")), 'scheduled scheduled scheduled', 'failures of what was sent to the url before');
	is(report([ $claims[3] ], http(429, qq(,"retry_after":"600",$before))), 'scheduled', 'a pause that was asked for there');
	is(report([ $claims[4] ], http(410, ",$before")), 'parked', 'and that it is gone');
	is($state->(), 't closed', 'say nothing of the endpoint');
	is(report([ claim($id) ], http(200)), 'completed', 'what was parked goes to the new one');
	is(report([ $claims[5] ], http(410, ',"total_us":1')), 'parked', 'which may be gone itself');
	is($state->(), 'f closed', 'and is then disabled');
};

subtest 'Retry-After with nothing to wait for' => sub {
	my ($waiting, $id) = endpoint();
	publish($waiting);
	$node->pass_time(1000);
	my $date = sql(q{SELECT to_char((hotdash._now() + interval '100 s') AT TIME ZONE 'UTC', 'Dy, DD Mon YYYY HH24:MI:SS "GMT"')});
	report([ claim($id) ], http(429, qq(,"retry_after":"$date")));
	cmp_ok(sql("SELECT extract(epoch FROM paused_until - hotdash._now()) FROM hotdash.endpoints WHERE id = $id"), '<=', 101, 'a date counts from the answer, however long the delivery had waited');

	foreach my $header ('0', 'Sun, 06 Nov 1994 08:49:37 GMT')
	{
		my ($tenant, $id) = endpoint();
		my ($plain, $same) = endpoint();
		my $look = sub {
			my ($endpoint) = @_;
			return sql("SELECT h.pace, h.paused_until - h.refused_at, j.at - h.refused_at BETWEEN '60 s' AND '62 s' FROM hotdash._endpoint_health h
				JOIN hotdash._delivery d USING (endpoint_id) JOIN hotdash._job j ON j.id = d.id WHERE endpoint_id = $endpoint");
		};

		publish($_) foreach ($tenant, $plain);
		report([ claim($id) ], http(429, qq(,"retry_after":"$header")));
		report([ claim($same) ], http(429));
		is($look->($id), '1|00:00:01|t', "$header: paced, paused and put off");
		is($look->($same), $look->($id), 'as without it');
		is(sql("SELECT retry_after FROM hotdash.delivery_attempts WHERE endpoint_id = $id"), '00:00:00', 'and in the log');

		publish($tenant);
		$node->pass_time(5);
		report([ claim($id) ], http(503, qq(,"retry_after":"$header")));
		is(sql("SELECT paused_until IS NULL FROM hotdash.endpoints WHERE id = $id"), 't', '503 with it does not pause');
		my ($large, $too) = endpoint();
		publish($large) foreach 1 .. 2;
		my ($with, $without) = claim($too);
		is(report([$with], http(413, qq(,"retry_after":"$header"))), 'scheduled', '413 with it is tried again');
		is(report([$without], http(413)), 'dead', 'without it is not');
	}
};

$node->stop;
done_testing();
