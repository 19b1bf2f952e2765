#!/usr/bin/perl
#
# The limits of http_request: how many go to one host at once, the pause that it asks for, its pace, its breaker, each for
# one tenant. By the rules, with this test as the edge and the clock moved; then with a real edge beside hosts that hang.

use strict;
use warnings FATAL => 'all';

use FindBin;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('hosts');
my $db = $node->create_db_with_extension('app');
$node->safe_psql($db, q{SELECT hotdash.edge_hello(1, 'test', '0')});

sub sql { return $node->safe_psql($db, shift) }

# So many requests to a URL, for a tenant; one second apart when they are tried again.
sub ask
{
	my ($n, $url, $tenant) = @_;

	my $options = q({"backoff": {"type": "fixed", "base": "1s", "jitter": "none"}, "tenant": ") . ($tenant // '') . q("});
	return split /\n/, sql("SELECT hotdash.http_request('$url', max_attempts => 50, options => '$options') FROM generate_series(1, $n)");
}

# What there is to claim: id, token, host.
sub claim
{
	return map { [ split /\|/ ] } split /\n/,
	  sql(q{SELECT id, token, substring(url FROM '//([^/]*)') FROM hotdash.edge_claim('test', 512)});
}

sub claim_all
{
	my @all;

	while (my @claims = claim()) { push @all, @claims }
	return @all;
}

sub result
{
	my ($claim, $status, $ms, $retry_after) = @_;

	my $us = 1000 * ($ms // 5);
	my $class = $status ? qq("class":"http","status":$status) : q("class":"timeout");
	my $after = defined $retry_after ? qq(,"retry_after":"$retry_after") : '';
	return qq({"id":"$claim->[0]","token":"$claim->[1]",$class,"sent":true,"total_us":$us$after});
}

sub report
{
	my ($claims, @how) = @_;

	my $results = join ', ', map { result($_, @how) } @$claims;
	return sql("SELECT string_agg(state, ' ' ORDER BY id) FROM hotdash.edge_report('test', '[$results]')");
}

sub why { my ($id, $what) = @_; return sql("SELECT hotdash.job_explain($id) ->> '$what'") }
sub width { my ($flow) = @_; return sql("SELECT width FROM hotdash._job_flow_state('$flow')") }
sub remembered { return sql(q{SELECT (SELECT count(*) FROM hotdash._http_host) || ' ' || (SELECT count(*) FROM hotdash._job_flow WHERE flow ^@ 'host:')}) }

# The rest is not to be met by those that come after.
sub finish
{
	sql(q{SELECT count(hotdash.job_cancel(id)) FROM hotdash._job WHERE kind = 'http.request'});
	return;
}

subtest 'one host, one tenant' => sub {
	my %same = ('https://Shop.Test/x' => 'https://shop.test:443', 'http://shop.test' => 'http://shop.test:80/?', 'http://[::1]:80/' => 'http://[::1]/');
	foreach my $url (sort keys %same)
	{
		is(sql("SELECT hotdash._http_flow('$url', 'a')"), sql("SELECT hotdash._http_flow('$same{$url}', 'a')"), "$url and $same{$url}");
	}
	isnt(sql("SELECT hotdash._http_flow('http://shop.test', 'a')"), sql("SELECT hotdash._http_flow('http://shop.test', 'b')"), 'not two tenants');
	isnt(sql("SELECT hotdash._http_flow('http://shop.test', 'a')"), sql("SELECT hotdash._http_flow('http://shop.test:8080', 'a')"), 'nor two ports');
	my $long = join '.', ('a' x 60) x 4;
	is(sql("SELECT octet_length(hotdash._http_flow('http://$long/', repeat('ü', 300))) < 256, hotdash._http_flow('http://$long/', repeat('ü', 300)) <> hotdash._http_flow('http://$long/', repeat('ü', 301))"), 't|t', 'however long');
};

subtest 'at once' => sub {
	my @ids = ask(700, 'http://wide.test/');
	my @under_way = claim_all();

	is(scalar(@under_way), 64, 'a host has 64 at once');
	is(why($ids[-1], 'code'), 'flow_cap', 'job_explain says so');
	like(why($ids[-1], 'why'), qr{^The concurrency of flow host:wide.test/ is 64, and used up\. It is 64, more }, 'and why');
	ask(10, 'http://other.test/');
	my @others = claim_all();
	is(scalar(@others), 10, 'another is not held up');
	report(\@others, 200);
	foreach my $width (128, 256, 256)
	{
		report([ splice @under_way, 0, 10 ], 200);
		push @under_way, claim_all();
		is(scalar(@under_way), $width, "answered fast: $width");
	}
	report([ splice @under_way, 0, 1 ], 200, 1001);
	is(width('host:wide.test/'), 64, 'slow: 64 again');
	report([ splice @under_way, 0, 200 ], 404);
	is(width('host:wide.test/'), 64, '404 is an answer');
	$node->kill_backend($db);
	push @under_way, claim_all();
	is(scalar(@under_way), 64, 'a crash forgets neither the 64 nor what is out');
	is(remembered(), '0 0', 'nothing was written for that');
	report([ splice(@under_way, 0, 40) ], 200);
	report(\@under_way, 200);
	finish();

	# A success at the end keeps the breaker closed.
	ask(100, 'http://narrow.test/');
	my @claims = claim_all();
	foreach my $narrow (32, 16, 8, 8)
	{
		my @batch = splice @claims, 0, 5;
		my $results = join ', ', (map { result($_, 0, 15000) } @batch[ 0 .. 3 ]), result($batch[4], 200);
		sql("SELECT count(*) FROM hotdash.edge_report('test', '[$results]')");
		is(width('host:narrow.test/'), $narrow, "four of five time out: $narrow");
	}
	report(\@claims, 200);
	finish();
};

subtest 'the pause that it asks for' => sub {
	my @ids = ask(300, 'http://pause.test/a');
	my @mine = claim();
	my ($theirs) = ask(1, 'http://pause.test/a', 'b');
	my ($next) = ask(1, 'http://pause.test/b');

	report([ shift @mine ], 429, 5, 600);
	is(remembered(), '1 1', 'is remembered');
	my @claims = claim();
	is(scalar(@claims), 1, 'holds what goes to that host');
	is($claims[0][0], $theirs, 'for that tenant, and for no other');
	like(why($next, 'why'), qr{^Nothing of flow host:pause.test/ begins before .*: pause.test asked for a pause\.$}, 'job_explain says so');
	is(why($next, 'code'), 'flow_held', 'by a code');
	is(sql("SET hotdash.tenant = 'b'; SELECT hotdash.job_explain($theirs)::text ~ 'pause'"), 'f', 'another tenant is told nothing of it');
	report(\@claims, 200);
	$node->kill_backend($db);
	is(scalar(claim()), 0, 'a crash does not end it');
	$node->pass_time(480);
	is(scalar(claim()), 0, 'it is not cut short');
	$node->pass_time(121);
	@claims = claim();
	cmp_ok(scalar(@claims), '>', 0, 'then it is over');
	report([ @mine, @claims ], 200);
	is(remembered(), '0 0', 'and forgotten with the next success');
	finish();
};

subtest '429 without a time' => sub {
	foreach my $header (undef, '0', 'Thu, 01 Jan 1970 00:00:00 GMT')
	{
		my $name = $header // 'none';
		my $host = 'pace' . length($name) . '.test';
		my @ids = ask(300, "http://$host/");
		my @claims = claim();

		report([ shift @claims ], 429, 5, $header);
		is(sql("SELECT round((health ->> 'pace')::numeric, 3) FROM hotdash._http_host"), '1.000', "Retry-After $name: one a second");
		like(why($ids[-1], 'why'), qr/asked for a pause/, 'after a pause');
		report(\@claims, 200, 60000);
		$node->pass_time(2);
		my ($claimed, $none, $explained) = split /\n/, sql(qq{SELECT id || '|' || token FROM hotdash.edge_claim('test', 512); SELECT count(*) FROM hotdash.edge_claim('test', 512);
			SELECT hotdash.job_explain($ids[-1])});
		is($none, '0', 'one at a time');
		like($explained, qr{since $host answered 429, last at .*\(1\.00 a second are tried\).*"flow_rate"}, 'job_explain names the pace') or diag($explained);
		report([ [ split /\|/, $claimed ] ], 404);
		$node->pass_time(3601);
		sql('SELECT hotdash._webhooks_tidy()');
		is(remembered(), '0 0', 'an hour later it is forgotten');
		finish();
	}
};

subtest 'the breaker' => sub {
	my @ids = ask(40, 'http://down.test/');
	my @claims = claim();
	my ($theirs) = ask(1, 'http://down.test/', 'b');

	report([ splice @claims, 0, 3 ], 500);
	is(scalar(my @others = claim()), 1, 'three failures open it for the tenant alone');
	report(\@others, 200);
	my ($next) = ask(1, 'http://down.test/');
	like(why($next, 'why'), qr/: the breaker of down.test is open after 3 failures\./, 'job_explain says so');
	report(\@claims, 500);
	$node->pass_time(31);
	my @probe = claim();
	is(scalar(@probe), 1, 'half open: one');
	is(scalar(claim()), 0, 'and no more');
	report(\@probe, 0, 15000);
	$node->pass_time(31);
	is(scalar(claim()), 0, 'it failed: open for longer');
	$node->pass_time(30);
	@probe = claim();
	is(scalar(@probe), 1, 'one again');
	report(\@probe, 404);
	is(remembered(), '0 0', 'an answer closes it, whatever it says');
	my @rest = claim();
	cmp_ok(scalar(@rest), '>', 1, 'and lets the rest go');
	report(\@rest, 200);
	finish();
};

subtest 'what is remembered is bounded' => sub {
	sql(q{SELECT count(hotdash.http_request('http://h' || i || '.test/', max_attempts => 1)) FROM generate_series(1, 300) AS i});
	while (my @claims = claim()) { report(\@claims, 0, 100) }
	is(remembered(), '300 0', 'a row for each host that failed, and no limits');
	$node->pass_time(3601);
	sql('SELECT hotdash._webhooks_tidy()');
	is(remembered(), '0 0', 'for an hour');
	is(sql(q{SELECT sum(used) FROM hotdash._job_memory() WHERE part = 'flows'}), 0, 'and memory has none');
};

subtest 'hosts that hang' => sub {
	my $receiver = $node->start_witness;
	my $sound = $node->start_witness;
	my $endpoint = sql("SELECT hotdash.endpoint_create('$sound->{url}/ok', events => '{e}')");
	sql("SELECT count(hotdash.http_request('$receiver->{url}/hang', timeout => '20s', max_attempts => 1)) FROM generate_series(1, 1100)");
	my $edge = $node->start_edge($db, { allow_addresses => '127.0.0.0/8' });

	poll_until(sub { sql(q{SELECT count(*) FROM hotdash._job_running()}) == 64 }, 60, 'requests to hang');
	sql(q{SELECT count(hotdash.event_publish('e', '{}')) FROM generate_series(1, 50)});
	poll_until(sub { sql("SELECT count(*) FROM hotdash.deliveries WHERE endpoint_id = $endpoint AND state = 'completed'") == 50 }, 15, 'deliveries beside them');
	is(sql(q{SELECT count(*) FROM hotdash._job_running()}), 64, 'no more than 64 hang');
	my ($waiting) = split /\n/, sql(q{SELECT max(id) FROM hotdash.jobs WHERE kind = 'http.request' AND state = 'ready'});
	is(why($waiting, 'code'), 'flow_cap', 'the rest knows why it waits');
	$edge->kill;
};

done_testing();
