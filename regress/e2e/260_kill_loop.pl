
# The kill loop: while events are published and delivered, the edge, backends, the background worker and
# the postmaster are killed in turn, again and again. In the end every message is matched by its id: what
# was committed has arrived, what was not never did, and whatever came twice was in flight at a kill.
#
# HOTDASH_KILLS (51) says how many, HOTDASH_VICTIMS ("edge backend worker postmaster") who takes turns; "edge*20"
# is the edge twenty times.

use strict;
use warnings FATAL => 'all';

use FindBin;
use HTTP::Tiny;
use JSON::PP;
use List::Util qw(sum);
use Test::More;
use Time::HiRes qw(time);

use lib $FindBin::RealBin;
use HotDash;

my $KILLS = $ENV{HOTDASH_KILLS} // 51;
my ($MAX_IN_FLIGHT, $REPORT_BATCH) = (32, 8);
my $IN_HANDS = $MAX_IN_FLIGHT + 2 * $REPORT_BATCH;    # an edge claims no more: the second are results on their way
my $started = time;

my $node = HotDash->cluster('main', conf => "hotdash.worker_role = 'worker'\nhotdash.databases = 'app'\n");
$node->safe_psql('postgres', 'CREATE ROLE worker LOGIN');
my $db = $node->create_db_with_extension('app');

# Answers take a while, so that something is in flight whenever the edge is killed; but by far not the
# second that a request may take, since a lease outlasts that by ten more.
my $secret = 'whsec_' . 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=';
my $receiver = HotDash->start_receiver('--secret', $secret);
my $url = $receiver->url;
$node->safe_psql($db, <<"SQL");
CREATE SCHEMA app;
CREATE TABLE app.wanted (message text PRIMARY KEY, n bigint GENERATED ALWAYS AS IDENTITY UNIQUE);
SELECT hotdash.endpoint_create('$url/shaky?delay=30', secret => '$secret', timeout => '1 second', max_attempts => 100,
	backoff => '{"type":"fixed","base":"100ms","jitter":"none"}');
SQL

# The lines of the answer, also across a restart of the server.
sub sql { return split /\n/, $node->sql_through($db, shift) }

sub start_edge
{
	return $node->start_edge($db,
		{ allow_addresses => '127.0.0.0/8', max_in_flight => $MAX_IN_FLIGHT, report_batch => $REPORT_BATCH });
}

# ---- the publisher ----

# A process of its own, and its log is the record: of five transactions one is rolled back; the id of each
# message is written down as kept once its COMMIT is acknowledged, as undone before its ROLLBACK.
my $stop = $node->basedir . '/stop';
my $script = $node->basedir . '/publish.sql';
my $publish = qq(BEGIN;\nINSERT INTO app.wanted (message) SELECT hotdash.event_publish('order.created', '{"total": 42}')\n)
  . qq(\tRETURNING message \\gset\n);

# At most 500 events a second, so that what waits in the end is not more than can be sent while one waits for it:
# in the end each script is busy until its 80 ms are over.
PostgreSQL::Test::Utils::append_to_file($script,
	"SELECT clock_timestamp() + interval '80 ms' AS pace \\gset\n"
	  . ("${publish}COMMIT;\n\\echo kept :message\n" x 4 . "$publish\\echo undone :message\nROLLBACK;\n") x 10
	  . "SELECT pg_sleep(greatest(0, extract(epoch FROM :'pace'::timestamptz - clock_timestamp()))) \\g /dev/null\n");    # busy: the pace

sub start_publisher
{
	return HotDash::Process->start('publisher', undef, 'sh', '-c', 'until [ -e "$0" ]; do psql "$@"; done', $stop,
		'-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $script, '-d', $node->connstr($db) . ' application_name=publisher');
}

# ---- the kills ----

my $edge = start_edge();
my $publisher = start_publisher();
my %in_flight;    # message => { attempt => 1 }: what an edge had in its hands when it was killed

# SIGSTOP, and true once the process stands still; false if it has ended. What stands still cannot end by
# itself before it is killed, as a backend does whose client has gone.
sub freeze
{
	my ($pid) = @_;
	my $state;

	kill 'STOP', $pid;
	poll_until(
		sub {
			my $stat = eval { PostgreSQL::Test::Utils::slurp_file("/proc/$pid/stat") } // '';
			($state) = $stat =~ /\) ([TZX]) /;
			return $state || $stat eq '';
		}, 60, "process $pid to stand still");
	return ($state // '') eq 'T';
}

# Stopped first, and only then asked after: a stopped edge sends nothing, so what it has sent and not
# reported is leased now. What is leased for other reasons (its answer is on the way, or the lease of
# an edge before it is not over) is noted too, once.
sub kill_edge
{
	freeze($edge->pid) or die 'the edge has ended by itself';
	foreach my $line (sql(q{SELECT d.message_id, r.attempt FROM hotdash._job_running() AS r JOIN hotdash._delivery AS d USING (id)}))
	{
		my ($message, $attempt) = split /\|/, $line;
		$in_flight{$message}{$attempt} = 1;
	}
	$edge->kill;
	$edge = start_edge();
	return;
}

# Kills a process of the server that WHERE selects.
sub kill_server_process
{
	my ($where) = @_;

	$node->crash($db, sub {
		poll_until(
			sub {
				my ($pid) = sql("SELECT pid FROM pg_stat_activity WHERE $where ORDER BY random() LIMIT 1");
				return $pid && freeze($pid) && kill 'KILL', $pid;
			}, 60, "a process with $where");
	});
	return;
}

my %kill = (
	edge => \&kill_edge,
	backend => sub { kill_server_process("datname = '$db' AND application_name IN ('hotdash-edge', 'publisher')") },
	worker => sub { kill_server_process("datname = '$db' AND backend_type = 'hotdash worker'") },
	postmaster => sub { $node->kill_postmaster });
my @turns = map { /^(\w+)\*(\d+)$/ ? ($1) x $2 : $_ } split ' ', $ENV{HOTDASH_VICTIMS} // 'edge backend worker postmaster';

my %kills = map { $_ => 0 } keys %kill;

# What was published last, and the youngest delivery that was sent; of millions as cheap as of ten.
sub progress
{
	return split /\|/, (sql(q{SELECT (SELECT coalesce(max(n), 0) FROM app.wanted),
		(SELECT coalesce(max(delivery_id), 0) FROM hotdash._delivery_attempt)}))[0];
}

foreach my $turn (0 .. $KILLS - 1)
{
	my $victim = $turns[ $turn % @turns ];
	my @before = progress();

	# not before the last kill is over and work goes on
	poll_until(sub { my @now = progress(); $now[0] > $before[0] && $now[1] > $before[1] }, 60, "work to go on before kill $turn");
	$kill{$victim}->();
	$kills{$victim}++;
}

PostgreSQL::Test::Utils::append_to_file($stop, '');
poll_until(sub { !$publisher->is_running }, 60, 'the publisher to end');
is($kills{edge} + $kills{backend} + $kills{worker} + $kills{postmaster}, $KILLS, join ', ', map { "$_ $kills{$_}" } sort keys %kills);

# The longest wait is for the leases of the last edge that was killed, or for what has piled up: leases of dead edges
# take up the endpoint's places meanwhile.
sub left { return (sql('SELECT count(*) FROM hotdash._job'))[0] }
poll_until(sub { left() == 0 }, 120 + left() / 100, 'all to be delivered');
is($edge->stop, 0, 'the last edge ends in order');

# ---- the reckoning ----

sub differing
{
	my ($these, $those) = @_;
	return [ grep { !exists $those->{$_} } sort keys %$these ];
}

my %wanted = map { $_ => 1 } sql('SELECT message FROM app.wanted');
my %stored = map { $_ => 1 } sql('SELECT id FROM hotdash.messages');
my %completed = map { $_ => 1 } sql(q{SELECT message_id FROM hotdash.deliveries WHERE state = 'completed'});
my (%kept, %undone);
$kept{$_} = 1 foreach $publisher->log =~ /^kept (\w+)$/mg;
$undone{$_} = 1 foreach $publisher->log =~ /^undone (\w+)$/mg;

my $http = HTTP::Tiny->new;
my %accepted;    # message => how often it was answered 200
foreach (split /\n/, $http->get("$url/log")->{content})
{
	my (undef, $message, undef, $times) = split /\t/;
	$accepted{$message} = $times;
}
my %arrived = map { $_ => 1 } grep { $accepted{$_} } keys %accepted;
my $stats = decode_json($http->get("$url/stats")->{content})->{total};

cmp_ok(scalar keys %wanted, '>', 10 * $KILLS, 'there was work: ' . keys(%wanted) . ' messages');
cmp_ok($stats->{requests}, '>', sum(values %accepted), 'some were answered 503');
is_deeply(differing(\%undone, \%kept), [ sort keys %undone ], 'what was undone was not kept');
is_deeply(differing(\%kept, \%wanted), [], 'every commit that was acknowledged has survived');
is_deeply(differing(\%wanted, \%stored), [], 'the messages are those of the application');
is_deeply(differing(\%stored, \%wanted), [], 'and no others');

is_deeply(my $lost = differing(\%wanted, \%arrived), [], 'every message that was committed has arrived');
is_deeply(differing(\%accepted, \%wanted), [], 'and nothing under any other id');
cmp_ok(scalar keys %undone, '>', $KILLS, 'many were rolled back: ' . keys %undone);
is_deeply([ grep { exists $accepted{$_} } keys %undone ], [], 'none of those was sent');
is("$stats->{refused} $stats->{unchecked}", '0 0', 'every signature was right');

is_deeply(differing(\%wanted, \%completed), [], 'every delivery is completed');
is((sql('SELECT count(*) FROM hotdash.deliveries'))[0], scalar keys %wanted, 'as many as messages');
is((sql('SELECT count(*) FROM hotdash._job_dead'))[0], 0, 'none is dead');
is((sql('SELECT count(*) FROM hotdash._job_running()'))[0], 0, 'no lease is left over');

# Each attempt is sent once. One that is answered 200 is reported, which completes the delivery so that no
# other follows; or it is reported too late, which is on record; or never, and then its edge was killed
# with the attempt in its hands. So a message comes no oftener again than it was late or in such hands.
# A crash of the database alone excuses nothing: leases survive it, and the edge reports when it is back.
my %late = map { split /\|/ } sql('SELECT message_id, count(*) FROM hotdash.delivery_attempts WHERE late GROUP BY 1');
my ($duplicates, $in_hands, $reported_late) = (0, 0, 0);
my @unexcused;
foreach my $message (keys %arrived)
{
	my $again = $accepted{$message} - 1;
	my $hands = keys %{ $in_flight{$message} // {} };

	$duplicates += $again;
	$in_hands += $hands;
	$reported_late += $late{$message} // 0;
	push @unexcused, "$message: $again again" if $again > $hands + ($late{$message} // 0);
}
is_deeply(\@unexcused, [], 'nothing came twice that was not in flight at a kill');
cmp_ok($in_hands, '>', 0, "$in_hands were in flight when an edge was killed, $duplicates came again");
# A claim whose answer was lost with a backend is leased too, and in nobody's hands: hence all kills.
cmp_ok($in_hands, '<=', $IN_HANDS * $KILLS, 'no more than edges may claim');
cmp_ok($reported_late, '<=', $IN_HANDS * ($KILLS - $kills{edge}), "$reported_late were reported late");

note(sprintf 'kills %d, messages %d, lost %d, duplicates %d, seconds %.0f',
	$KILLS, scalar keys %wanted, scalar @$lost, $duplicates, time - $started);
$node->stop;
done_testing();
