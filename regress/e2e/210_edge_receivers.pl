
# Receivers at their worst: each is told from the others, bounded in time and memory, and holds nobody up.

use strict;
use warnings FATAL => 'all';

use FindBin;
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('main');
my $db = $node->create_db_with_extension('app');
my $receiver =
  HotDash::Process->start('receiver', undef, 'node', "$ENV{HOTDASH_TREE}/edge/test/receiver.mjs");
my $url = poll_until(sub { $receiver->log =~ m{(http://\S+)} && $1 }, 30, 'the receiver');
my $closed = 'http://127.0.0.1:' . free_port();

# A watcher's own memory says nothing about the edge's, and it makes all of them slow.
my $watched = edge_is_watched();
my $timeout = $watched ? 20 : 5;

# What each does, and what the attempt must say: outcome, class, status, sent, truncated. One attempt, so many
# seconds. "completed" for an endless or dripping 200: a body never undoes a success.
my @cases = (
	[ "$url/ok", 'completed|http|200|t|f' ],
	[ "$url/status/404", 'dead|http|404|t|f' ],
	[ "$url/status/503", 'dead|http|503|t|f' ],
	[ "$url/hang", 'dead|timeout||t|f' ],
	[ "$url/drip", 'completed|http|200|t|t' ],
	[ "$url/dripheaders", 'dead|timeout||t|f' ],
	[ "$url/huge", 'completed|http|200|t|t' ],
	[ "$url/hugeheaders", 'dead|protocol||t|t' ],
	[ "$url/interim", 'dead|protocol||t|t' ],
	[ "$url/trailers", 'completed|http|200|t|t' ],
	[ "$url/afterthought", 'completed|http|200|t|f' ],
	[ "$url/chunks", 'completed|http|200|t|t' ],
	[ "$url/line", qr/^dead\|(reset|protocol)\|\|t\|f$/ ],    # depends on the version of libcurl
	[ "$url/bigheaders", 'dead|protocol||t|t' ],
	[ "$url/bomb", 'completed|http|200|t|f' ],
	[ "$url/trickle", 'completed|http|200|t|t' ],
	[ "$url/early", 'completed|http|200|t|t' ],
	[ "$url/cut", 'completed|http|200|t|t' ],
	[ "$url/unasked", 'completed|http|200|t|f' ],
	[ "$url/reset", 'dead|reset||t|f' ],
	[ "$url/garbage", 'dead|protocol||t|f' ],
	[ "$url/redirect", 'dead|http|302|t|f' ],
	[ $closed, 'dead|connect||f|f' ],
	[ 'http://does-not-exist.invalid/', 'dead|dns||f|f' ],
);

$node->safe_psql($db, join ';', map {
	"SELECT hotdash.endpoint_create('$_->[0]', events => '{storm}', timeout => '$timeout seconds', max_attempts => 1)"
} @cases);

my $edge = $node->start_edge($db, { allow_addresses => '127.0.0.0/8', max_in_flight => 128 });
my $rounds = 5;

sub memory
{
	my ($what) = @_;
	my ($kilobytes) = slurp_file('/proc/' . $edge->pid . '/status') =~ /$what:\s+(\d+)/;
	return $kilobytes;
}

poll_until(sub { $edge->log =~ /claim connection: ready/ && $edge->log =~ /report connection: ready/ }, 30, 'the edge');
my $idle = memory('VmRSS');

$node->safe_psql($db, "SELECT hotdash.event_publish('storm', '{}') FROM generate_series(1, $rounds)");
poll_until(
	sub { $node->safe_psql($db, 'SELECT count(*) FROM hotdash.delivery_attempts') >= $rounds * @cases },
	120, 'an attempt for every delivery');

foreach my $case (@cases)
{
	like( $node->safe_psql($db,
			'SELECT DISTINCT a.outcome, a.error_class, a.status, a.sent, a.truncated FROM hotdash.delivery_attempts a '
			. "JOIN hotdash.endpoints e ON e.id = a.endpoint_id WHERE e.url = '$case->[0]'"),
		ref $case->[1] ? $case->[1] : qr/^\Q$case->[1]\E$/, $case->[0] =~ s/:\d+//r);
}
is($node->safe_psql($db, 'SELECT count(*) FROM hotdash.delivery_attempts'), $rounds * @cases, 'none was tried twice');
is( $node->safe_psql($db,
		"SELECT count(*) FROM hotdash.delivery_attempts WHERE error_class = 'timeout'
			AND total_ms - 1000 * $timeout NOT BETWEEN -10 AND 2500"),
	'0', 'the deadline covers all of the request, and is kept');

my $seen = decode_json(HTTP::Tiny->new->get("$url/_seen")->{content});
is(scalar(grep { $_->{path} eq '/redirected' } @$seen), 0, 'no redirect was followed');

SKIP:
{
	skip 'memory is not measured under a watcher', 1 if $watched;
	my $each = (memory('VmHWM') - $idle) / ($rounds * @cases);
	cmp_ok($each, '<', 256, sprintf 'endless answers are bounded: %.0f kB each, on top of %d kB', $each, $idle);
}

# A header that would end the header: put there behind the database's checks, it goes no further than the edge.
my $smuggler = $node->safe_psql($db,
	"SELECT hotdash.endpoint_create('$url/smuggled', events => '{smuggle}', max_attempts => 1)");
$node->safe_psql($db,
	q(UPDATE hotdash._endpoint SET headers = '{"X-Bad": "1\r\nX-Smuggled: 1"}' WHERE id = ) . $smuggler);
$node->safe_psql($db, q(SELECT hotdash.event_publish('smuggle', '{}')));
poll_until(
	sub { $node->safe_psql($db, "SELECT count(*) FROM hotdash.delivery_attempts WHERE endpoint_id = $smuggler") },
	30, 'the smuggler');
is( $node->safe_psql($db,
		"SELECT outcome, error_class, sent FROM hotdash.delivery_attempts WHERE endpoint_id = $smuggler"),
	'dead|invalid|f', 'a header with CR and LF is not sent');
is(scalar(grep { $_->{path} eq '/smuggled' } @{ decode_json(HTTP::Tiny->new->get("$url/_seen")->{content}) }),
	0, 'the receiver was not bothered with it');

is($edge->stop, 0, 'the edge has survived them all');

done_testing();
