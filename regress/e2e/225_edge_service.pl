
# The edge under a service manager: what it tells on NOTIFY_SOCKET, by path and by abstract name, and
# what it tells no more when its loop hangs.

use strict;
use warnings FATAL => 'all';

use FindBin;
use IO::Select;
use IO::Socket::UNIX;
use PostgreSQL::Test::Utils;
use Socket;
use Test::More;
use Time::HiRes qw(time);

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('main');
my $db = $node->create_db_with_extension('app');
my $folder = PostgreSQL::Test::Utils::tempdir_short();

sub manager
{
	my ($name) = @_;
	return IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $name) || die "cannot bind: $!";
}

# All that has come within so many seconds, or until a text has.
sub told
{
	my ($socket, $seconds, $until) = @_;
	my $deadline = time + $seconds;
	my @texts;

	while ((my $left = $deadline - time) > 0)
	{
		next unless IO::Select->new($socket)->can_read($left);
		recv($socket, my $text, 4096, 0);
		push @texts, $text;
		last if defined $until && $text =~ $until;
	}
	return @texts;
}

foreach my $case ([ 'a path', "$folder/notify", "$folder/notify" ], [ 'an abstract name', "\0hotdash-test-$$", "\@hotdash-test-$$" ])
{
	my ($what, $address, $variable) = @$case;
	my $socket = manager($address);
	my $edge = $node->start_edge($db, {}, name => 'told' . length($address),
		env => { NOTIFY_SOCKET => $variable, WATCHDOG_USEC => 600_000 });
	my @texts = told($socket, 30, qr/STATUS=serving/);

	is($texts[0], 'READY=1', "$what: first of all that it is ready");
	like($texts[-1], qr/\AWATCHDOG=1\nSTATUS=serving: 0 in flight, 0 unreported, 0 ended\z/, 'then how it is');
	@texts = told($socket, 2);
	cmp_ok(scalar(grep { /^WATCHDOG=1$/m } @texts), '>=', 5, 'the watchdog is told three times in its time');

	# A process that is stopped is a loop that hangs.
	$edge->signal('STOP');
	told($socket, 0.3);
	is_deeply([ told($socket, 1) ], [], 'a loop that hangs tells nothing');
	$edge->signal('CONT');
	ok(told($socket, 10, qr/WATCHDOG=1/), 'and goes on when it does');

	$edge->signal('TERM');
	like(join('|', told($socket, 30, qr/STOPPING=1/)), qr/STOPPING=1\z/, 'it says that it stops');
	is($edge->stop, 0, 'and does');
}

# Ready without its database; and a watchdog that is meant for another process is not ours.
my $socket = manager("$folder/alone");
my $alone = $node->start_edge($db, {}, name => 'alone', connstr => "host=$folder port=1 dbname=none",
	env => { NOTIFY_SOCKET => "$folder/alone", WATCHDOG_USEC => 300_000, WATCHDOG_PID => 1 });
my @texts = told($socket, 30, qr/STATUS/);
is($texts[0], 'READY=1', 'a database that is away does not keep it from being ready');
like($texts[-1], qr/STATUS=without its database/, 'but it says so');
is_deeply([ told($socket, 1) ], [], "somebody else's watchdog is not fed");
is($alone->stop, 0, 'it ends');

my $number = 0;
foreach my $nonsense ("relative", '@', '/' . 'x' x 200, "$folder/nobody")
{
	my $edge = $node->start_edge($db, {}, name => 'nonsense' . ++$number, env => { NOTIFY_SOCKET => $nonsense });
	poll_until(sub { $edge->log =~ /claim connection: ready/ }, 30, 'the edge');
	like($edge->log, qr/cannot tell the service manager/, 'a socket that is none is a warning') if $nonsense eq 'relative';
	is($edge->stop, 0, 'and nothing more: ' . substr($nonsense =~ s/^\Q$folder\E//r, 0, 10));
}

# Without this line systemd leaves a service that failed five times in ten seconds for good.
my ($unit) = PostgreSQL::Test::Utils::slurp_file("$ENV{HOTDASH_TREE}/edge/hotdash-edge\@.service") =~ /^\[Unit\]\n(.*?)^\[/ms;
like($unit, qr/^StartLimitIntervalSec=0$/m, 'the unit never gives up');

done_testing();
