
# Names that hang beside names that answer: deliveries to the latter do not notice. How long what was
# looked up is used, what ends that earlier, and what is not the receiver's fault. The name server is one of
# our own; a lookup that it does not answer takes the C library ten seconds.

use strict;
use warnings FATAL => 'all';

use FindBin;
use HTTP::Tiny;
use Test::More;
use Time::HiRes qw(time);

use lib $FindBin::RealBin;
use HotDash;
use Names;

my $watched = edge_is_watched();
my $node = HotDash->cluster('main');
my $db = $node->create_db_with_extension('app');
my $receiver =
  HotDash::Process->start('receiver', undef, 'node', "$ENV{HOTDASH_TREE}/edge/test/receiver.mjs");
my $port = poll_until(sub { $receiver->log =~ m{http://127\.0\.0\.1:(\d+)} && $1 }, 30, 'the receiver');
my $names = Names->start('*.good.test' => '127.0.0.1', '*.hang.test' => 'hang');
my ($edge, $place);

sub sql { return $node->safe_psql($db, shift) }

sub start_edge
{
	my ($name, %setting) = @_;

	$edge = $node->start_edge($db, { allow_addresses => '127.0.0.1/32', listen => '0', %setting }, name => $name, env => $names->env);
	$place = poll_until(sub { $edge->log =~ /listening on (\S+)/ && $1 }, 30, 'the listener');
	poll_until(sub { $edge->log =~ /claim connection: ready/ }, 30, 'the edge');
}

sub metrics { return HTTP::Tiny->new->get("http://$place/metrics")->{content} }

sub lookups
{
	my ($result) = @_;
	return metrics() =~ /^hotdash_edge_resolver_lookups_total\{result="$result"\} (\d+)$/m ? $1 : die 'no such metric';
}

# An endpoint for each name, all for one event; its id, or their number.
sub endpoints
{
	my ($event, $more, @hosts) = @_;

	return sql("SELECT max(hotdash.endpoint_create('http://' || host || ':$port/ok/$event', events => '{$event}'$more)) FROM unnest('{"
			. join(',', @hosts) . "}'::text[]) AS host");
}

sub publish { return sql("SELECT hotdash.event_publish('$_[0]', '{}')") }
sub attempts { return sql("SELECT count(*) FROM hotdash.delivery_attempts AS a JOIN hotdash.endpoints AS e ON e.id = a.endpoint_id WHERE $_[0]") }

# Publishes and waits until all endpoints of the event have had their attempt more.
sub deliver
{
	my ($event, $count) = @_;
	my $before = attempts("'$event' = ANY (e.events)");

	publish($event);
	poll_until(sub { attempts("'$event' = ANY (e.events)") >= $before + $count }, 30, "deliveries of $event");
}

# ---- fifty that hang ----

# Addresses are good for so short that each delivery is a lookup.
start_edge('short', resolver_ttl => '10ms', resolver_negative_ttl => 0);
endpoints('good', '', map { "$_.good.test" } 1 .. 20);
endpoints('hang', ", timeout => '30 s', max_attempts => 2, backoff => '{\"type\":\"fixed\",\"base\":\"1s\"}'", map { "$_.hang.test" } 1 .. 50);
deliver('good', 20);
publish('hang');
poll_until(sub { $names->asked(qr/\d+\.hang\.test/) >= 24 }, 30, 'lookups that hang');

# First nothing is known of them, then that they are slow.
foreach my $phase ('unknown', 'slow')
{
	my ($began, $since, $rounds) = (time, sql('SELECT clock_timestamp()'), 0);
	my $slow = lookups('slow');
	my $asked = lookups('asked');

	do { deliver('good', 20); $rounds++ } until lookups('slow') >= $slow + 20 || time - $began > 120;
	my ($n, $other, $p95, $most) = split /\|/, sql("
		SELECT count(*), count(*) FILTER (WHERE a.error_class <> 'http'), percentile_disc(0.95) WITHIN GROUP (ORDER BY a.dns_ms), max(a.dns_ms)
		FROM hotdash.delivery_attempts AS a JOIN hotdash.endpoints AS e ON e.id = a.endpoint_id
		WHERE 'good' = ANY (e.events) AND a.finished_at >= '$since'");
	cmp_ok($n, '>=', 100, sprintf '%d deliveries in %.0f s beside fifty that are %s', $n, time - $began, $phase);
	is($other, 0, 'all of them arrived');
	cmp_ok(lookups('asked') - $asked, '>=', 0.5 * $n, 'for which names were looked up');
	note("lookups took $p95 ms at the 95th percentile, $most ms at most");
	cmp_ok($p95, '<', $watched ? 500 : 50, 'within tens of milliseconds');
	cmp_ok($most, '<', $watched ? 5000 : 1000, 'none of them behind one that hangs');
}
my $text = metrics();
my %rounds = $text =~ /^hotdash_edge_loop_round_seconds_bucket\{loop="sender",le="([^"]+)"\} (\d+)$/mg;
SKIP:
{
	skip 'under a watcher everything takes long', 1 if $watched;
	is($rounds{0.2}, $rounds{'+Inf'}, 'the loop was never held up');
}
note('rounds of the loop: ' . join(', ', map { "<= $_ s: $rounds{$_}" } sort { ($a eq '+Inf') <=> ($b eq '+Inf') || $a <=> $b } keys %rounds));

# ---- the end while lookups hang ----

publish('hang');
poll_until(sub { metrics() =~ /^hotdash_edge_in_flight [1-9]/m }, 30, 'requests that wait for names');
my $began = time;
is($edge->stop, 0, 'an edge ends while lookups hang');
cmp_ok(time - $began, '<', $watched ? 20 : 5, sprintf 'in %.1f s', time - $began);
is(sql("SELECT count(*) FROM hotdash.jobs WHERE queue = 'webhooks' AND state = 'running'"), 0, 'having given back what had to wait');
sql("SELECT hotdash.endpoint_disable(id) FROM hotdash.endpoints; SELECT hotdash.job_cancel(id) FROM hotdash.jobs WHERE queue = 'webhooks'");

# ---- memory ----

start_edge('usual', resolver_ttl => '3s');

# Many at once for one name, and again for one that does not exist.
endpoints('together', '', ('one.good.test') x 20);
deliver('together', 20);
is($names->asked('one.good.test'), 1, 'twenty wait for one lookup');
endpoints('nowhere', ', max_attempts => 1', ('nothing.test') x 10);
deliver('nowhere', 10) foreach 1 .. 2;
is($names->asked('nothing.test'), 1, 'that there is no such name is remembered');

# What an event's endpoint ends with, one delivery after another, until it is something else; and how long that took.
sub until_not
{
	my ($event, $class) = @_;
	my ($began, $now) = (time);

	do
	{
		deliver($event, 1);
		$now = sql("SELECT a.error_class FROM hotdash.delivery_attempts AS a JOIN hotdash.endpoints AS e ON e.id = a.endpoint_id
			WHERE '$event' = ANY (e.events) ORDER BY a.finished_at DESC LIMIT 1");
	} while ($now eq $class && time - $began < 60);
	return ($now, time - $began);
}

endpoints('outage', ", timeout => '1 s', max_attempts => 1", 'outage.good.test');
deliver('outage', 1);
my $stale = lookups('stale');
$names->set('outage.good.test' => 'hang');
my ($class, $took) = until_not('outage', 'http');
is($class, 'timeout', 'a name server that hangs is noticed');
cmp_ok($took, '>=', 5, sprintf 'when the address has been stale for as long as it was fresh: after %.1f s', $took);
cmp_ok(lookups('stale') - $stale, '>=', 5, 'until then it was used');
cmp_ok($names->asked('outage.good.test') - 1, '<=', 2, 'while one lookup was out, which asks twice');

endpoints('gone', ', max_attempts => 1', 'gone.good.test');
$names->set('gone.good.test' => '127.0.0.1');
deliver('gone', 1);
$names->set('*.good.test' => undef, 'gone.good.test' => undef);
($class, $took) = until_not('gone', 'http');
is($class, 'dns', 'a name that is gone');
cmp_ok($took, '<', $watched ? 30 : 5, sprintf 'is gone with the first answer that says so: after %.1f s', $took);
$names->set('*.good.test' => '127.0.0.1');

# ---- what we lack ----

$names->shortage('short.good.test', 1);
endpoints('short', ', max_attempts => 1', 'short.good.test');
publish('short');
poll_until(sub { $edge->log =~ /could not be sent from here and is given back/ }, 30, 'the edge to give it back');
is(attempts("'short' = ANY (e.events)"), 0, 'no memory for a lookup is no attempt');
$names->shortage('short.good.test', 0);
poll_until(sub { attempts("'short' = ANY (e.events)") }, 30, 'the attempt');
is(sql("SELECT d.state, d.attempt FROM hotdash.deliveries AS d JOIN hotdash.endpoints AS e ON e.id = d.endpoint_id WHERE 'short' = ANY (e.events)"),
	'completed|1', 'when there is some again it is delivered, at the one attempt that it has');

is($edge->stop, 0, 'the edge ends');
done_testing();
