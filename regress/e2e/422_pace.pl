#!/usr/bin/perl
#
# How many requests at once an endpoint gets that does not say, and how many a second one that answers 429: by the
# rules, with this test as the edge and the clock moved; then with real edges, by the log of a receiver that has a limit,
# and beside endpoints that were fast and begin to hang.

use strict;
use warnings FATAL => 'all';

use FindBin;
use List::Util qw(max);
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('pace');
my $db = $node->create_db_with_extension('app');
$node->safe_psql($db, q{SELECT hotdash.edge_hello(1, 'test', '0')});

my $RETRY = q(max_attempts => 50, backoff => '{"type":"fixed","base":"1s","jitter":"none"}');

sub sql { return $node->safe_psql($db, shift) }

my $events = 0;

# An endpoint with a type of event of its own, of which so many are published.
sub endpoint
{
	my ($n, $arguments, $url) = @_;

	my $type = 'e' . ++$events;
	my $id = sql("SELECT hotdash.endpoint_create('" . ($url // 'http://127.0.0.1:1/') . "', events => '{$type}'" . ($arguments ? ", $arguments" : '') . ')');
	sql("SELECT count(hotdash.event_publish('$type', jsonb_build_object('n', i))) FROM generate_series(1, $n) AS i");
	return $id;
}

sub claim { return map { [ split /\|/ ] } split /\n/, sql(q{SELECT id, token FROM hotdash.edge_claim('test', 512)}) }

# Report claims as answered so, in so many milliseconds.
sub report
{
	my ($claims, $status, $ms) = @_;

	my $us = 1000 * ($ms // 5);
	my $results = join ', ', map { qq({"id":"$_->[0]","token":"$_->[1]","class":"http","status":$status,"sent":true,"total_us":$us}) } @$claims;
	sql("SELECT count(*) FROM hotdash.edge_report('test', '[$results]')");
	return;
}

# The rest is not to be met by those that come after.
sub finish
{
	my ($id) = @_;

	sql("SELECT hotdash.endpoint_disable($id)");
	sql("SELECT count(hotdash.job_cancel(id)) FROM hotdash.deliveries WHERE endpoint_id = $id AND state IN ('ready', 'scheduled', 'parked')");
	return;
}

sub why { my ($id, $what) = @_; return sql("SELECT hotdash.job_explain(min(id)) ->> '$what' FROM hotdash.deliveries WHERE endpoint_id = $id AND state IN ('ready', 'scheduled') AND last_status IS NULL") }

subtest 'fast answers' => sub {
	my $id = endpoint(2000);
	my $wrote = sub { sql("SELECT xmin FROM hotdash._job_flow WHERE flow = 'endpoint:$id'") };
	my $before = $wrote->();
	my @under_way = claim();

	is(scalar(@under_way), 64, 'who says nothing has 64 at once');
	like(why($id, 'why'), qr/ is 64, and used up\. It is 64, more /, 'job_explain says so');
	foreach my $width (128, 256, 256)
	{
		report([ splice @under_way, 0, 10 ], 200);
		push @under_way, claim();
		is(scalar(@under_way), $width, "answered fast: $width");
	}
	like(why($id, 'why'), qr/ is 256, and used up\. It is 64, more /, 'job_explain says so');
	is($wrote->(), $before, 'nothing of it was written');

	report([ splice @under_way, 0, 10 ], 200, 900);
	push @under_way, claim();
	is(scalar(@under_way), 256, 'slower answers leave it');
	report([ splice @under_way, 0, 1 ], 200, 1001);
	is(scalar(claim()), 0, 'one that took more than a second does not');
	report([ splice @under_way, 0, 200 ], 200);
	push @under_way, claim();
	is(scalar(@under_way), 64, 'it is 64 again');
	report([ splice @under_way, 0, 10 ], 200);
	push @under_way, claim();
	is(scalar(@under_way), 64, 'fast answers do not change that at once');
	$node->pass_time(31);
	report([ splice @under_way, 0, 10 ], 200);
	push @under_way, claim();
	is(scalar(@under_way), 128, 'but half a minute later');

	$node->kill_backend($db);
	report([ splice @under_way, 0, 100 ], 200);
	push @under_way, claim();
	is(scalar(@under_way), 64, 'a crash forgets that it is fast');
	report(\@under_way, 200);
	finish($id);
};

subtest 'not the limit, and not ours to change' => sub {
	my $few = endpoint(20);
	my @claims = claim();
	report(\@claims, 200);
	is(sql("SELECT coalesce(width, 64) FROM hotdash._job_flow_state('endpoint:$few')"), 64, 'what does not use up its 64 keeps them');

	my $stated = endpoint(500, 'concurrency => 20');
	my @under_way = claim();
	for (1 .. 3)
	{
		report([ splice @under_way, 0, 10 ], 200);
		push @under_way, claim();
	}
	is(scalar(@under_way), 20, 'a concurrency that was stated stays, answered fast');
	report([ splice @under_way, 0, 5 ], 200, 5000);
	push @under_way, claim();
	is(scalar(@under_way), 20, 'and slowly');
	unlike(why($stated, 'why'), qr/It is/, 'job_explain says no more than that');
	report(\@under_way, 200);
	finish($stated);
};

subtest 'failures' => sub {
	my $id = endpoint(500, $RETRY);
	my @under_way = claim();

	# A success at the end keeps the breaker closed.
	foreach my $width (32, 16, 8, 8)
	{
		my @batch = splice @under_way, 0, 5;
		my $results = join ', ', map { qq({"id":"$_->[0]","token":"$_->[1]","class":"timeout","sent":true,"total_us":15000000}) } @batch[ 0 .. 3 ];
		$results .= qq(, {"id":"$batch[4][0]","token":"$batch[4][1]","class":"http","status":200,"sent":true,"total_us":1000});
		sql("SELECT count(*) FROM hotdash.edge_report('test', '[$results]')");
		is(sql("SELECT width FROM hotdash._job_flow_state('endpoint:$id')"), $width, "four of five time out: $width");
	}
	report([ splice @under_way, 0, @under_way - 8 ], 404);
	is(scalar(@under_way), 8, 'eight are out');
	my $width = sql("SELECT width FROM hotdash._job_flow_state('endpoint:$id')");
	is($width, 16, 'which was used up, and answered');
	foreach (32, 64, 64)
	{
		push @under_way, claim();
		report([ splice @under_way, 0, 2 ], 200, 600);
		is(sql("SELECT width FROM hotdash._job_flow_state('endpoint:$id')"), $_, "slow but sound: $_");
	}
	report(\@under_way, 200);
	finish($id);
};

subtest 'all endpoints together' => sub {
	my @ids = map { endpoint(2000) } 1 .. 4;
	my %under_way = map { $_ => [] } @ids;
	my $out = sub { return map { scalar @{ $under_way{$_} } } @ids };
	my $take = sub {
		while (my @rows = split /\n/, sql(q{SELECT c.id, c.token, d.endpoint_id FROM hotdash.edge_claim('test', 512) AS c JOIN hotdash._delivery AS d USING (id)}))
		{
			foreach (@rows) { my ($job, $token, $endpoint) = split /\|/; push @{ $under_way{$endpoint} }, [ $job, $token ] }
		}
	};
	my $fill = sub {
		foreach (1 .. 4)
		{
			report([ splice @{ $under_way{$_} }, 0, 1 ], 200) foreach @ids;
			$take->();
		}
		my $beyond = 0;
		$beyond += $_ - 64 foreach $out->();
		is($beyond, 384, 'beyond their 64 there are 384 for all of them: ' . join ' ', $out->());
		cmp_ok(max($out->()), '<=', 256, 'and no more than 256 for one');
	};

	$take->();
	is_deeply([ $out->() ], [ 64, 64, 64, 64 ], '64 each');
	$fill->();
	my $fifth = endpoint(100);
	is(scalar(my @claims = claim()), 64, 'another has its 64 all the same');
	report(\@claims, 200);
	finish($fifth);
	$node->kill_backend($db);
	report([ splice @{ $under_way{$_} }, 0, 100 ], 200) foreach @ids;
	$take->();
	is_deeply([ $out->() ], [ 64, 64, 64, 64 ], 'a crash does not lose count of what is out');
	$fill->();
	report($under_way{$_}, 200) foreach @ids;
	finish($_) foreach @ids;
	is(sql(q{SELECT sum(running) FROM hotdash._job_memory() WHERE part = 'flows'}), 0, 'nothing is out');
};

subtest 'while the breaker is open' => sub {
	my $id = endpoint(300, $RETRY);
	my @under_way = claim();

	report([ splice @under_way, 0, 10 ], 200);
	push @under_way, claim();
	is(scalar(@under_way), 128, 'it was fast');
	report([ splice @under_way, 0, 3 ], 500);
	is(sql("SELECT breaker FROM hotdash.endpoints WHERE id = $id"), 'open', 'three failures');
	$node->pass_time(31);
	report([ splice @under_way, 0, 60 ], 404);
	is(scalar(claim()), 0, 'half open it has one, which is not widened');
	report(\@under_way, 200);
	finish($id);
};

subtest '429, by the rules' => sub {
	my $id = endpoint(300, $RETRY);
	my $pace = sub { sql("SELECT paced_rate, extract(epoch FROM paused_until - hotdash._now()) > 0 FROM hotdash.endpoints WHERE id = $id") };
	my @under_way = claim();

	my @taken = splice @under_way, 0, 3;
	my $results = join ', ', map { qq({"id":"$under_way[$_][0]","token":"$under_way[$_][1]","class":"http","status":429,"sent":true,"total_us":5000}) } 0 .. 3;
	$results .= join '', map { qq(, {"id":"$_->[0]","token":"$_->[1]","class":"http","status":200,"sent":true,"total_us":5000}) } @taken;
	splice @under_way, 0, 4;
	sql("SELECT count(*) FROM hotdash.edge_report('test', '[$results]')");
	is($pace->(), '3.000|t', 'as many a second as were taken, and a pause');
	like(why($id, 'why'), qr/asked for a pause/, 'job_explain says so');
	report(\@under_way, 429);
	is($pace->(), '3.000|t', 'what was under way meanwhile says nothing new');

	$node->pass_time(3);
	my ($next, $more, $why) = split /\n/, sql("SELECT string_agg(id || '|' || token, ' ') FROM hotdash.edge_claim('test', 512); "
		. "SELECT count(*) FROM hotdash.edge_claim('test', 512); "
		. "SELECT hotdash.job_explain(min(id)) FROM hotdash.deliveries WHERE endpoint_id = $id AND last_status IS NULL AND state = 'ready'");
	my @next = map { [ split /\|/ ] } split / /, $next;
	is(@next . " $more", '1 0', 'then a few at a time');
	like($why, qr/"flow_rate"/, 'job_explain names the rate');
	like($why, qr/ is 1 in 00:00:00\.33333\d, since the receiver of endpoint $id answered 429, last at .*\(3\.00 a second are tried\)/, 'and whence it is');
	report(\@next, 200, 0);
	is($pace->(), '6.000|', 'a second passed: doubled');
	$node->kill_backend($db);
	is($pace->(), '6.000|', 'a crash forgets nothing of it');
	$node->pass_time(1);
	@next = claim();
	report(\@next, 429, 0);
	is($pace->(), '3.000|t', 'refused again: half');
	$node->pass_time(2);
	@next = claim();
	report(\@next, 429, 0);
	is($pace->(), '3.000|t', 'refused after the pause: it is not halved again');
	$node->pass_time(1);
	is(scalar(claim()), 0, 'but the pause is longer');
	$node->pass_time(2);
	@next = claim();
	report(\@next, 200, 0);
	like($pace->(), qr/^3\.[1-5]\d+\|$/, 'taken: a fortieth more for each second');
	$node->pass_time(1);
	@next = claim();
	my ($was) = split /\|/, $pace->();
	report(\@next, 429, 0);
	is($pace->(), sprintf('%.3f|t', $was * 0.8), 'refused: four fifths');
	$node->pass_time(301);
	@next = claim();
	report(\@next, 200, 0);
	is($pace->(), '|', 'five minutes later it is forgotten');
	is(sql("SELECT count(*) FROM hotdash._endpoint_health WHERE endpoint_id = $id"), 0, 'with the row');
	finish($id);
};

sub start_edge { my ($name) = @_; return $node->start_edge($db, { allow_addresses => '127.0.0.0/8' }, name => $name) }

subtest '429, by a receiver with a limit' => sub {
	my $rate = 100;
	my $receiver = $node->start_witness;
	my @edges = map { start_edge($_) } qw(one two);
	my $id = endpoint(2500, $RETRY, "$receiver->{url}/limit?rate=$rate&burst=20");

	poll_until(sub { sql("SELECT count(*) < 300 FROM hotdash._job WHERE queue = 'webhooks'") eq 't' }, 120, 'most of it to be delivered');
	$_->stop foreach @edges;
	my @seen = $node->witnessed($receiver);
	my $begin = $seen[0]{begun} + 8_000_000;
	my @late = grep { $_->{begun} >= $begin } @seen;
	my $refused = grep { $_->{status} == 429 } @late;
	my $seconds = ($late[-1]{begun} - $begin) / 1e6;
	my $throughput = (@late - $refused) / $seconds;
	my $first = grep { $_->{status} == 429 && $_->{begun} < $begin } @seen;

	diag(sprintf '%d refused in the first 8 s; then in %.1f s %d taken, %.1f a second of %d, and %d refused',
		$first, $seconds, @late - $refused, $throughput, $rate, $refused);
	cmp_ok($seconds, '>', 10, 'it was looked at for long enough');
	cmp_ok($refused / @late, '<', 0.03, 'after the first seconds few are refused');
	cmp_ok($throughput, '>', 0.7 * $rate, 'and most of the limit is used');
	finish($id);
};

subtest 'those that were fast begin to hang' => sub {
	my $receiver = $node->start_witness;
	my @hanging = map { endpoint(1500, q(timeout => '2 s'), "$receiver->{url}/hang/$_?after=2500") } 1 .. 3;
	my $sound = endpoint(0, '', "$receiver->{url}/ok");
	my $edge = start_edge('one');
	my $published = 0;

	poll_until(sub {
		sql("SELECT hotdash.event_publish('e$events', '{}')");
		$published++;
		return sql(q{SELECT count(*) = 3 FROM hotdash.endpoints WHERE breaker = 'open'}) eq 't';
	}, 60, 'the breakers to open');
	poll_until(sub { sql("SELECT count(*) FROM hotdash.deliveries WHERE endpoint_id = $sound AND state <> 'completed'") eq '0' }, 30, 'the others to be delivered');
	$edge->stop;
	# The edge does not know how far the clock was moved.
	my $slowest = $node->pass_time(0) + sql("SELECT max(extract(epoch FROM a.sent_at - d.created_at)) FROM hotdash.delivery_attempts AS a JOIN hotdash.deliveries AS d ON d.id = a.delivery_id WHERE d.endpoint_id = $sound");
	my %hung;
	$hung{ $_->{path} }++ foreach grep { $_->{path} =~ /hang/ && $_->{status} == 0 } $node->witnessed($receiver);
	my $hung = 0;
	$hung += $_ foreach values %hung;
	diag("hung: $hung, " . join(' ', map { "$_ $hung{$_}" } sort keys %hung) . "; $published events beside them, the slowest sent after $slowest s");
	cmp_ok($hung, '>', 192, 'they had more than their 64');
	cmp_ok($hung, '<=', 192 + 384, 'and no more than is lent');
	# a watcher makes the edge slow
	cmp_ok($slowest, '<', edge_is_watched() ? 5 : 1, 'another endpoint is sent to meanwhile');
	finish($_) foreach @hanging, $sound;
};

done_testing();
