#!/usr/bin/perl
#
# A receiver is away for ten minutes while a thousand deliveries wait for it, with a real edge and the clock moved: how many
# requests that costs, and how the queue drains when it is back, by its own log. Two endpoints: one keeps the order of its
# events, the other asks for ten requests at once; both for no more than 50 a second.

use strict;
use warnings FATAL => 'all';

use FindBin;
use List::Util qw(max);
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $N = 1000;
my $RATE = 50;
my $OUTAGE = 600;

my $node = HotDash->cluster('outage');
my $db = $node->create_db_with_extension('app');
my $port = free_port();

sub sql { return $node->safe_psql($db, shift) }

sub endpoint
{
	my ($name, $arguments) = @_;

	return sql("SELECT hotdash.endpoint_create('http://127.0.0.1:$port/ok/$name', events => '{$name}', rate => $RATE, $arguments, "
		  . q{max_attempts => 50, backoff => '{"type":"fixed","base":"1s","jitter":"none"}')});
}

my %id = (ordered => endpoint('ordered', 'ordered => true'), parallel => endpoint('parallel', 'concurrency => 10'));
foreach (sort keys %id)
{
	sql("SELECT count(hotdash.event_publish('$_', jsonb_build_object('key', 1, 'n', i), order_key => 'key')) FROM generate_series(1, $N) AS i");
}

# How often each was tried, and how many breakers are in that state.
sub tried { my ($name) = @_; return sql("SELECT count(*) FROM hotdash.delivery_attempts WHERE endpoint_id = $id{$name}") }
sub breakers { my ($state) = @_; return sql("SELECT count(*) FROM hotdash.endpoints WHERE breaker = '$state'") }

# The edge does not see the clock moved, so it looks often.
my $edge = $node->start_edge($db, { allow_addresses => '127.0.0.0/8', backstop => '250ms' }, name => 'one');
poll_until(sub { breakers('open') == 2 }, 60, 'the breakers to open');
# From probe to probe, so that each is made that such a time has room for.
my $passed = 0;
while (1)
{
	my $seconds = sql(q{SELECT ceil(extract(epoch FROM min(probe_at) - hotdash._now())) FROM hotdash.endpoints});
	last if $passed + $seconds > $OUTAGE;
	$node->pass_time($seconds);
	$passed += $seconds;
	poll_until(sub { sql('SELECT bool_and(probe_at > hotdash._now()) FROM hotdash.endpoints') eq 't' }, 60, 'the probes to be answered');
	diag("after $passed s");
}
$node->pass_time($OUTAGE - $passed);

foreach (sort keys %id)
{
	my $tried = tried($_);
	cmp_ok($tried, '<=', 15, "$_: $OUTAGE s without a receiver cost $tried requests");
	is(sql("SELECT count(*) FROM hotdash.deliveries WHERE endpoint_id = $id{$_} AND state = 'scheduled'"), $N, "$_: and no delivery");
}

my $receiver = $node->start_witness($port);
poll_until(
	sub {
		$node->pass_time(30) if breakers('open') > 0;
		return breakers('closed') == 2;
	},
	60, 'the breakers to close');
poll_until(sub { sql(q{SELECT count(*) FROM hotdash._job WHERE queue = 'webhooks'}) eq '0' }, 180, 'the queue to drain');
$edge->stop;
my @seen = $node->witnessed($receiver);

foreach my $name (sort keys %id)
{
	my @of = grep { $_->{path} =~ /$name/ } @seen;
	my %times;
	$times{ $_->{n} }++ foreach @of;
	is(scalar(@of) . ' ' . keys %times, "$N $N", "$name: each came once");

	my $most = sql("SELECT max(many) FROM (SELECT count(*) OVER (ORDER BY sent_at RANGE BETWEEN CURRENT ROW AND interval '999999 microseconds' FOLLOWING) AS many "
		  . "FROM hotdash.delivery_attempts WHERE endpoint_id = $id{$name} AND reason = 'delivered') AS w");
	cmp_ok($most, '<=', $RATE, "$name: in no second were more than $RATE sent: $most");
	my $seconds = ($of[-1]{begun} - $of[0]{begun}) / 1e6;
	cmp_ok($N / $seconds, '>', 0.5 * $RATE, sprintf('%s: and not much fewer, %.0f a second on average', $name, $N / $seconds));
}

my @order = map { $_->{n} } grep { $_->{path} =~ /ordered/ } @seen;
is_deeply(\@order, [ 1 .. $N ], 'ordered: in the order of publishing');

# Ten at once may overtake each other; those that were tried during the outage come when their retry is due.
my $latest = 0;
my $behind = 0;
foreach (map { $_->{n} } grep { $_->{path} =~ /parallel/ } @seen)
{
	$latest = max($latest, $_);
	$behind++ if $latest - $_ >= $RATE;
}
cmp_ok($behind, '<=', 15, "parallel: in their turn, but for $behind of those that had been tried");

done_testing();
