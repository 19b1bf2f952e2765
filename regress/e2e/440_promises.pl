#!/usr/bin/perl
#
# What is promised without exception, through real edges and by the receiver's log: Retry-After is never undercut, rate
# and concurrency are never exceeded by two edges, and order keys are kept while edges are killed. The benchmarks
# count the same for longer.

use strict;
use warnings FATAL => 'all';

use FindBin;
use HTTP::Tiny;
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

# What is asked for beyond two seconds is cut to that. The worker ends the leases of edges that were killed.
my $CAP = 2;
my $node = HotDash->cluster('promises',
	conf => "hotdash.webhook_retry_after_max = '${CAP}s'\nhotdash.worker_role = 'worker'\nhotdash.databases = 'app'\n");
$node->safe_psql('postgres', 'CREATE ROLE worker LOGIN');
my $db = $node->create_db_with_extension('app');

sub sql { return $node->safe_psql($db, shift) }

sub start_edge { my ($name) = @_; return $node->start_edge($db, { allow_addresses => '127.0.0.0/8' }, name => $name) }

sub await_end
{
	my ($seconds) = @_;

	poll_until(sub { sql(q{SELECT count(*) FROM hotdash._job WHERE queue = 'webhooks'}) eq '0' }, $seconds, 'the last delivery');
	return;
}

subtest 'Retry-After' => sub {
	my $receiver = $node->start_witness;
	my @edges = map { start_edge($_) } qw(one two);
	my $retry = q(backoff => '{"type":"fixed","base":"0.05s","jitter":"none"}');

	# 503 three times at most: at the third failure the breaker opens, for longer than any answer asks.
	sql("SELECT hotdash.endpoint_create('$receiver->{url}/retry-after/' || status || '/' || i || '?cap=$CAP', events => ARRAY['r'], "
		  . "max_attempts => CASE status WHEN 503 THEN 3 ELSE 100 END, $retry) FROM unnest('{429,413}'::int[]) AS status, generate_series(1, 2) AS i");
	sql("SELECT hotdash.endpoint_create('$receiver->{url}/retry-after/503/' || i || '?cap=$CAP', events => ARRAY['once'], "
		  . "max_attempts => 3, $retry) FROM generate_series(1, 40) AS i");
	sql(q{SELECT count(hotdash.event_publish('r', to_jsonb(i))) FROM generate_series(1, 50) AS i; SELECT hotdash.event_publish('once', '{}')});
	await_end(120);
	my @seen = $node->witnessed($receiver);

	my (%last, %forms);
	my ($again, @early, @paused) = (0);
	foreach my $request (@seen)
	{
		my $before = $last{"$request->{message} $request->{path}"};
		if ($before && $before->{form} ne '-')
		{
			$again++;
			push @early, "$before->{form}, $before->{status}" if $request->{begun} < $before->{not_before};
		}
		$last{"$request->{message} $request->{path}"} = $request;
		$forms{ $request->{form} }++;

		# What was on its way when the pause was asked for may still come; a second is plenty.
		push @paused, $request->{path} if $request->{path} =~ m{/429/} && grep {
			$_->{path} eq $request->{path} && $_->{ended} + 1_000_000 < $request->{begun} && $request->{begun} < $_->{not_before}
		} @seen;
	}
	is(keys %forms, 11, 'all forms were drawn: ' . join ', ', map { "$_ $forms{$_}" } sort keys %forms);
	cmp_ok($again, '>', 100, "$again requests came after an answer with Retry-After");
	is_deeply(\@early, [], 'none of them early');
	is_deeply(\@paused, [], 'and an endpoint that asked for a pause had one');
	$_->stop foreach @edges;
};

subtest 'rate and concurrency' => sub {
	my $receiver = $node->start_witness;
	my @edges = map { start_edge($_) } qw(one two);
	my $n = 200;

	my $id = sql("SELECT hotdash.endpoint_create('$receiver->{url}/ok?spread=400', events => '{a}', rate => 50, concurrency => 10)");
	sql("SELECT count(hotdash.event_publish('a', to_jsonb(i))) FROM generate_series(1, $n) AS i");
	await_end(60);
	$_->stop foreach @edges;

	is(sql("SELECT count(DISTINCT edge) FROM hotdash.delivery_attempts WHERE endpoint_id = $id"), 2, 'two edges sent');
	my $most = sql(q{SELECT max(many) FROM (SELECT count(*)
		OVER (ORDER BY sent_at RANGE BETWEEN CURRENT ROW AND interval '999999 microseconds' FOLLOWING) AS many
		FROM hotdash.delivery_attempts WHERE endpoint_id = } . "$id) AS w");
	cmp_ok($most, '<=', 50, "no second with more than 50 requests: $most");
	cmp_ok($most, '>', 40, 'nor with many less');

	my ($now, $at_once) = (0, 0);
	my @seen = $node->witnessed($receiver);
	foreach (sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] } map { ([ $_->{begun}, 1 ], [ $_->{ended}, -1 ]) } @seen)
	{
		$now += $_->[1];
		$at_once = max($at_once, $now);
	}
	is(scalar(@seen), $n, 'all came, once');
	is($at_once, 10, 'ten at once were the most');
};

subtest 'order' => sub {
	my $receiver = $node->start_witness;
	my $edge = start_edge('one');
	my ($keys, $events, $kills) = (40, 25, 2);

	# A lease outlasts the longest timeout of all endpoints.
	sql('SELECT count(hotdash.endpoint_disable(id)) FROM hotdash.endpoints');
	my $id = sql("SELECT hotdash.endpoint_create('$receiver->{url}/status/503?p=0.2&delay=10', events => '{b}', ordered => true, timeout => '1 s', "
		  . q{max_attempts => 100, backoff => '{"type":"fixed","base":"0.02s","jitter":"none"}')});
	sql("SELECT count(hotdash.event_publish('b', jsonb_build_object('key', k, 'n', i), order_key => 'key ' || k)) "
		  . "FROM (SELECT k, i FROM generate_series(1, $events) AS i, generate_series(1, $keys) AS k ORDER BY i, k) AS x");

	# Three failures in a row open the breaker for half a minute, which adds nothing here: close it.
	my $delivered = sub {
		sql("SELECT count(hotdash.endpoint_enable(id)) FROM hotdash.endpoints WHERE id = $id AND breaker <> 'closed'");
		return sql("SELECT count(*) FROM hotdash.delivery_attempts WHERE endpoint_id = $id AND reason = 'delivered'");
	};
	foreach my $kill (1 .. $kills)
	{
		poll_until(sub { $delivered->() >= $kill * $keys * $events / ($kills + 1) }, 60, "some of it before kill $kill");
		$edge->kill;
		$edge = start_edge('one');
	}
	poll_until(sub { $delivered->() >= $keys * $events }, 120, 'all of it');
	$edge->stop;

	# No event begins to arrive before all earlier ones of its key were accepted, none comes again after a later one.
	my (%accepted, %latest);
	my @inversions;
	foreach ($node->witnessed($receiver))
	{
		my ($key, $n) = @$_{qw(key n)};

		push @inversions, "key $key: $n" if $n < ($latest{$key} // 1) || ($n > 1 && !$accepted{$key}{ $n - 1 });
		push @inversions, "key $key: $n before the answer" if $n > 1 && $accepted{$key}{ $n - 1 } && $_->{begun} < $accepted{$key}{ $n - 1 };
		$latest{$key} = max($latest{$key} // 1, $n);
		$accepted{$key}{$n} //= $_->{ended} if $_->{status} == 204;
	}
	is_deeply(\@inversions, [], 'no inversion');
	is(scalar(grep { scalar(keys %{ $accepted{$_} }) == $events } keys %accepted), $keys, 'and none is missing');
};

done_testing();
