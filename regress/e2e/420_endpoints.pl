#!/usr/bin/perl
#
# What endpoints ask for, and how they do: concurrency, rate, order, the circuit breaker, and being switched
# off. This test is the edge, over SQL; the clock of the server is moved where time has to pass.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = HotDash->cluster('endpoints');
$node->create_db_with_extension('app');
$node->safe_psql('app', q{SELECT hotdash.edge_hello(1, 'test', '0')});

my $RETRY = q(max_attempts => 50, backoff => '{"type":"fixed","base":"0.05s","jitter":"none"}');

sub sql { return $node->safe_psql('app', shift) }

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
	my ($tenant, $n, $key) = @_;

	$key = defined $key ? "'$key'" : 'NULL';
	sql("SELECT hotdash.event_publish('a', to_jsonb(g), order_key => $key, tenant => '$tenant') FROM generate_series(1, $n) g");
	return;
}

sub claim { my ($n) = @_; $n //= 512; return map { [ split /\|/ ] } split /\n/, sql("SELECT id, token FROM hotdash.edge_claim('test', $n)") }

sub report
{
	my ($claims, $outcome) = @_;

	my $results = join ', ', map { qq({"id":"$_->[0]","token":"$_->[1]",$outcome}) } @$claims;
	return sql("SELECT string_agg(state, ' ') FROM hotdash.edge_report('test', '[$results]')");
}

sub http { my ($status) = @_; return qq("class":"http","status":$status,"sent":true) }

# Claim what is due within some seconds, until there are as many.
sub gather
{
	my ($n, $what) = @_;

	my @got;
	poll_until(sub { push @got, claim($n - @got); return @got >= $n }, 30, $what);
	return @got;
}

sub why { my ($tenant) = @_; return sql("SELECT hotdash.job_explain(min(id)) ->> 'code' FROM hotdash.deliveries WHERE tenant = '$tenant' AND state IN ('ready', 'scheduled', 'parked')") }
sub breaker { my ($id) = @_; return sql("SELECT breaker FROM hotdash.endpoints WHERE id = $id") }

subtest 'concurrency' => sub {
	my ($tenant, $id) = endpoint('concurrency => 3');
	publish($tenant, 10);
	my @claims = claim();
	is(scalar(@claims), 3, 'three at once');
	is(scalar(claim()), 0, 'and no more');
	is(why($tenant), 'flow_cap', 'job_explain says so');
	is(report([ shift @claims ], http(200)), 'completed', 'one ends');
	push @claims, claim();
	is(scalar(@claims), 3, 'another takes its place');
	sql(qq{SELECT hotdash.endpoint_update($id, '{"concurrency": 5}')});
	push @claims, claim();
	is(scalar(@claims), 5, 'a change counts at once');
	is(sql(qq{BEGIN; SELECT hotdash.endpoint_update($id, '{"concurrency": 9}'); ROLLBACK; SELECT count(*) FROM hotdash.edge_claim('test', 512)}) =~ s/\n//r,
		0, 'one that is rolled back does not');

	$node->kill_backend('app');
	is(scalar(claim()), 0, 'after a crash those that are out still count');
	is(report(\@claims, http(200)), join(' ', ('completed') x 5), 'their tokens hold');
	is(scalar(claim()), 4, 'and the rest goes out');
};

subtest 'rate' => sub {
	my ($tenant, $id) = endpoint(q(rate => 5, rate_period => '2 s'));
	my @stamps;
	my $look = sub { push @stamps, split /\n/, sql(q{SELECT extract(epoch FROM clock_timestamp()) FROM hotdash.edge_claim('test', 512)}) };

	publish($tenant, 17);
	$look->();
	is(scalar(@stamps), 5, 'five at once');
	is(why($tenant), 'flow_rate', 'job_explain says so');
	while (@stamps < 17)
	{
		is(sql(q{CALL hotdash.edge_wait('20 s')}), 't', 'a wait ends when the next may go');
		$look->();
	}
	my @close = grep { $stamps[ $_ + 5 ] - $stamps[$_] < 2 } 0 .. $#stamps - 5;
	is_deeply(\@close, [], 'in no two seconds more than five') or diag("@stamps");
	cmp_ok($stamps[-1] - $stamps[0], '<', 20, 'and not much fewer');
};

subtest 'order' => sub {
	my ($tenant, $id) = endpoint("ordered => true, $RETRY");
	my ($other) = endpoint();

	publish($tenant, 3, 'k');
	publish($tenant, 1, 'l');
	publish($tenant, 2);
	publish($other, 2, 'k');
	my @claims = claim();
	is(scalar(@claims), 6, 'the first of each key, all without a key, and all of an endpoint that keeps no order');
	is(why($tenant), 'key_blocked', 'job_explain names the key');
	my ($first) = sort { $a->[0] <=> $b->[0] } @claims;
	is(report([$first], http(503)), 'scheduled', 'the first of its key fails');
	is(report([ grep { $_ != $first } @claims ], http(200)), join(' ', ('completed') x 5), 'the others do not');
	my ($again) = gather(1, 'the retry');
	is($again->[0], $first->[0], 'the same comes again, before the next of its key');
	is(scalar(claim()), 0, 'alone');
	is(report([$again], http(404)), 'dead', 'it is refused for good');
	for my $n (2, 3)
	{
		my @next = claim();
		is(scalar(@next), 1, "number $n");
		cmp_ok($next[0][0], '>', $first->[0], 'is a later one');
		report(\@next, http(200));
	}
};

subtest 'the breaker' => sub {
	my ($tenant, $id) = endpoint($RETRY);

	publish($tenant, 20);
	my @claims = claim(3);
	is(report([ @claims[0, 1] ], http(500)), 'scheduled scheduled', 'two failures');
	is(breaker($id), 'closed', 'are not enough');
	is(report([ $claims[2] ], http(500)), 'scheduled', 'the third');
	is(breaker($id), 'open', 'opens it');
	is(scalar(claim()), 0, 'nothing goes out');
	is(why($tenant), 'flow_held', 'job_explain says so');
	is(sql("SELECT max(attempt) FILTER (WHERE last_status IS NULL), bool_and(state = 'scheduled') FROM hotdash.deliveries WHERE tenant = '$tenant'"),
		'0|t', 'and no attempt is used up');
	$node->pass_time(20);
	is(scalar(claim()), 0, 'for thirty seconds');
	$node->pass_time(11);
	is(breaker($id), 'half_open', 'then');
	my @probe = claim();
	is(scalar(@probe), 1, 'one');
	is(scalar(claim()), 0, 'exactly one');
	is(report(\@probe, http(502)), 'scheduled', 'it fails');
	$node->pass_time(50);
	is(scalar(claim()), 0, 'so it is open for a minute');
	$node->kill_backend('app');
	is(scalar(claim()), 0, 'a crash of the server does not close it');
	$node->pass_time(12);
	@probe = claim();
	is(scalar(@probe), 1, 'the next probe');
	is(report(\@probe, http(204)), 'completed', 'succeeds');
	is(breaker($id), 'closed', 'it is closed');
	is(scalar(my @rest = claim()), 19, 'and all goes out');
	is(report(\@rest, http(200)), join(' ', ('completed') x 19), 'and arrives');
	is(sql("SELECT count(*) FROM hotdash._endpoint_health WHERE endpoint_id = $id"), 0, 'nothing is remembered');
};

subtest 'what does not open the breaker' => sub {
	my ($tenant, $id) = endpoint($RETRY);

	publish($tenant, 12);
	my @claims = claim();
	report([ splice @claims, 0, 2 ], http(500));
	report([ splice @claims, 0, 1 ], http(200));
	report([ splice @claims, 0, 2 ], http(500));
	is(breaker($id), 'closed', 'failures with a success between them');
	report([ splice @claims, 0, 3 ], http(404));
	is(breaker($id), 'closed', 'answers that say nothing of the receiver');
	report([ splice @claims, 0, 1 ], http(200));
	report([ splice @claims, 0, 2 ], http(500));
	$node->pass_time(301);
	my @more = gather(1, 'a retry');
	report([ splice @more, 0, 1 ], http(500));
	is(breaker($id), 'closed', 'three failures in more than five minutes');
};

subtest 'requests under way when it opens' => sub {
	my ($tenant, $id) = endpoint($RETRY);

	publish($tenant, 8);
	my @claims = claim();
	report([ splice @claims, 0, 3 ], http(500));
	my $until = sql("SELECT probe_at FROM hotdash.endpoints WHERE id = $id");
	report([ splice @claims, 0, 3 ], http(500));
	is(sql("SELECT probe_at FROM hotdash.endpoints WHERE id = $id"), $until, 'their failures change nothing');
	report(\@claims, http(200));
	is(breaker($id), 'closed', 'their success closes it');
};

subtest 'one batch, both outcomes' => sub {
	my ($tenant, $id) = endpoint($RETRY);

	publish($tenant, 8);
	my @claims = claim();
	my $mixed = join ', ', map { qq({"id":"$claims[$_][0]","token":"$claims[$_][1]","class":"http","sent":true,"status":) . ($_ == 4 ? 200 : 500) . '}' } 0 .. 7;
	sql("SELECT count(*) FROM hotdash.edge_report('test', '[$mixed]')");
	is(breaker($id), 'open', 'three failures after the last success');
};

subtest 'nothing but failures for days' => sub {
	my ($tenant, $id) = endpoint("$RETRY, max_age => '30 days'");

	publish($tenant, 3);
	report([claim()], http(500));
	$node->pass_time(4 * 86400);
	report([ gather(1, 'a probe') ], http(500));
	is(sql("SELECT enabled FROM hotdash.endpoints WHERE id = $id"), 't', 'after four days it is still enabled');
	$node->pass_time(86400 + 600);
	report([ gather(1, 'another probe') ], http(500));
	is(sql("SELECT enabled, disabled_reason LIKE 'nothing but failures since %' FROM hotdash.endpoints WHERE id = $id"), 'f|t', 'after five it is disabled');
	is(why($tenant), 'flow_held', 'what waits says so');
	sql("SELECT hotdash.endpoint_enable($id)");
	is(report([ gather(3, 'the retries') ], http(200)), 'completed completed completed', 'enabled, it starts anew');
};

subtest 'waiting too long behind an endpoint that is held back' => sub {
	my ($tenant, $id) = endpoint("max_age => '1 hour'");
	my ($other, $enabled) = endpoint("max_age => '1 hour'");

	publish($tenant, 2);
	publish($other, 1);
	sql("SELECT hotdash.endpoint_disable($id)");
	$node->pass_time(3000);
	publish($other, 1);
	sql('CALL hotdash._tick()');
	is(sql("SELECT string_agg(state, ' ' ORDER BY id) FROM hotdash.deliveries WHERE tenant = '$tenant'"), 'parked parked', 'not yet');
	$node->pass_time(700);
	poll_until(sub { sql('CALL hotdash._tick()'); sql("SELECT count(*) FROM hotdash.dead_deliveries WHERE tenant = '$tenant' AND reason = 'expired'") eq '2' },
		30, 'what waited to be dead');
	sql('CALL hotdash._tick()');
	is(sql("SELECT count(*) FROM hotdash.dead_deliveries WHERE tenant = '$other'"), 0, 'others are left to whoever claims them');
	is(scalar(claim()), 1, 'which finds the one in time');
	is(sql("SELECT count(*) FROM hotdash.dead_deliveries WHERE tenant = '$other'"), 1, 'and ends the other');
};

subtest 'turns' => sub {
	my ($flooded) = endpoint();
	my ($quiet) = endpoint();

	publish($flooded, 1000);
	publish($quiet, 1);
	my @claims = claim(2);
	is(sql("SELECT count(*) FROM hotdash.deliveries WHERE tenant = '$quiet' AND state = 'running'"), 1,
		'a thousand deliveries to one endpoint do not delay another\'s');
	report(\@claims, http(200));
	report([claim()], http(200)) for 1 .. 20;
};

subtest 'ten thousand endpoints' => sub {
	sql(q{SELECT count(hotdash.endpoint_create('http://127.0.0.1:1/', tenant => 'many', rate => 1 + g % 3, concurrency => 1 + g % 5)) FROM generate_series(1, 10000) g});
	publish('many', 1);
	my $claimed = 0;
	while (my @claims = claim())
	{
		$claimed += @claims;
		report(\@claims, http(200));
	}
	is($claimed, 10000, 'each gets its own');
	is(sql(q{SELECT count(*) FROM hotdash.deliveries WHERE tenant = 'many' AND state = 'completed'}), 10000, 'once');
};

done_testing();
