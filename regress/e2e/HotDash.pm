
=pod

=head1 NAME

HotDash - clusters, edges and receivers for the end-to-end tests

=head1 SYNOPSIS

  use HotDash;
  use Test::More;

  my $node = HotDash->cluster('main', conf => "hotdash.worker_role = 'postgres'");
  $node->create_db_with_extension('app');

  my $receiver = HotDash->start_receiver;
  my $edge = $node->start_edge('app', { allow_addresses => '127.0.0.0/8' });
  $node->psql_ok('app', 'SELECT hotdash.event_publish(...)', 'published');
  poll_until(sub { $node->safe_psql('app', '...') eq '0' }, 60, 'the queue to drain');
  $edge->kill;

  is($node->sqlstate('app', 'SELECT 1/0'), '22012', 'division by zero');
  done_testing();

=head1 DESCRIPTION

A HotDash object is a PostgreSQL::Test::Cluster with all of its methods (start, stop, restart, kill9,
safe_psql, background_psql, backup, init_from_backup ...) and those below. Whatever was started is
stopped when the test ends, however it ends.

The environment comes from regress/check: HOTDASH_EDGE is the edge's program, HOTDASH_TREE the tree,
TESTDIR a folder for data and logs, and PATH begins with the private copy of PostgreSQL. No test
waits for a time to pass: it waits with poll_until for something to become true.

=cut

package HotDash;

use strict;
use warnings FATAL => 'all';

use Carp;
use Exporter 'import';
use File::Basename qw(basename);
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();
use Test::More import => [qw(ok diag)]; # what is imported here hides a method of that name
use Time::HiRes qw(sleep time);

our @ISA = ('PostgreSQL::Test::Cluster', 'Exporter');
our @EXPORT = qw(poll_until free_port edge_is_watched);

my $DEADLINE = $PostgreSQL::Test::Utils::timeout_default;

# Lets the server accept the cluster-wide test clock. Set here, so that every server has it.
$ENV{HOTDASH_TEST_CLUSTER} = 1;

=pod

=head1 FUNCTIONS

=over

=item poll_until(CODE, SECONDS, WHAT)

Call CODE until it returns something true, and return that; die with "timed out waiting for WHAT" when
SECONDS (default: PG_TEST_TIMEOUT_DEFAULT, 180) have passed.

=cut

sub poll_until
{
	my ($code, $seconds, $what) = @_;
	my $deadline = time + ($seconds // $DEADLINE);

	for (;;)
	{
		my $answer = $code->();
		return $answer if $answer;
		croak 'timed out waiting for ' . ($what // 'a condition') if time >= $deadline;
		sleep(0.02);
	}
}

=pod

=item free_port()

A TCP port that is free on 127.0.0.1 now. A program that can listen on port 0 and say which one it
got should do that instead.

=cut

sub free_port
{
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0)
	  or croak "no free port: $!";

	return $socket->sockport;
}

=pod

=item edge_is_watched()

Whether the edge under test runs under a watcher of memory (make check-asan, check-valgrind), which makes it slow and
its memory no measure of its own.

=cut

sub edge_is_watched { return $ENV{HOTDASH_EDGE} =~ /asan|valgrind/ }

=pod

=back

=head1 CLUSTERS

=over

=item HotDash->cluster(NAME, OPTION => VALUE, ...)

Create and start a cluster. Options:

  preload    => 0     leave hotdash and pg_cron out of shared_preload_libraries (default 1)
  fsync      => 1     flush for real (default 0; needed by nothing but timing, since kill -9 keeps
                      what was handed to the kernel)
  cron_db    => NAME  the database pg_cron works in (default postgres)
  conf       => TEXT  further lines for postgresql.conf; the last word
  streaming  => 1     ready to be backed up and followed by a standby
  start      => 0     only initialise
  init       => {}    further arguments of PostgreSQL::Test::Cluster::init

=cut

sub cluster
{
	my ($class, $name, %option) = @_;
	my $node = $class->new($name);
	my %init = %{ $option{init} // {} };

	$init{extra} = [ '-E', 'UTF8', '--locale=C.UTF-8', @{ $init{extra} // [] } ];
	$init{allows_streaming} = 1 if $option{streaming};
	$node->init(%init);
	$node->append_conf('postgresql.conf', _settings(%option));
	$node->start unless defined $option{start} && !$option{start};
	return $node;
}

# A crash of one process restarts the server, as in production; PostgreSQL's own tests turn that off.
sub _settings
{
	my (%option) = @_;
	my $conf = "restart_after_crash = on\n"
	  . "max_connections = 100\n"
	  . "max_worker_processes = 32\n"
	  . "max_prepared_transactions = 20\n"
	  . "shared_buffers = 32MB\n"
	  . "jit = off\n"
	  . "timezone = 'UTC'\n"
	  . "log_statement = none\n";

	$conf .= 'fsync = ' . ($option{fsync} ? 'on' : 'off') . "\n";
	if ($option{preload} // 1)
	{
		$conf .= "shared_preload_libraries = 'pg_cron,hotdash'\n"
		  . "cron.database_name = '" . ($option{cron_db} // 'postgres') . "'\n"
		  . "cron.use_background_workers = on\n";
	}
	return $conf . ($option{conf} // '');
}

=pod

=item $node->create_db_with_extension(NAME, EXTENSION...)

Create a UTF-8 database with hotdash, and with the other extensions that are named.

=cut

sub create_db_with_extension
{
	my ($self, $name, @others) = @_;

	$self->safe_psql('postgres', qq(CREATE DATABASE "$name" ENCODING 'UTF8' TEMPLATE template0));
	$self->safe_psql($name, qq(CREATE EXTENSION "$_")) foreach (@others, 'hotdash');
	return $name;
}

=pod

=item $node->psql(DATABASE, SQL, ...)

As PostgreSQL::Test::Cluster has it, also where psql is refused so soon that nobody reads the statement: that is
status 2, as of every client that cannot connect.

=cut

sub psql
{
	my ($self, $database, $sql, %option) = @_;
	my @answer = eval { $self->SUPER::psql($database, $sql, %option) };

	if ($@)
	{
		die $@ if $option{on_error_die} || $@ !~ /Broken pipe/;
		@answer = (2, '', '');
	}
	return wantarray ? @answer : $answer[0];
}

=pod

=item $node->sqlstate(DATABASE, SQL)

Run SQL and return the SQLSTATE of the first error, or 00000.

=cut

sub sqlstate
{
	my ($self, $database, $sql) = @_;
	my ($status, $out, $err) = $self->psql($database, "\\set VERBOSITY sqlstate\n$sql");

	return '00000' if $status == 0;
	return $1 if $err =~ /ERROR:\s+([0-9A-Z]{5})$/m;
	croak "no SQLSTATE in: $err";
}

=pod

=item $node->psql_ok(DATABASE, SQL, TESTNAME)

One test: SQL runs without an error. Returns its output.

=cut

sub psql_ok
{
	my ($self, $database, $sql, $testname) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($status, $out, $err) = $self->psql($database, $sql);

	ok($status == 0, $testname) or diag($err);
	return $out;
}

=pod

=item $node->sql_through(DATABASE, SQL)

Like safe_psql, but tried again for a minute while the server crashes and restarts.

=cut

sub sql_through
{
	my ($self, $database, $sql) = @_;
	my $answer = poll_until(
		sub { my ($status, $out) = eval { $self->psql($database, $sql) }; defined $status && $status == 0 ? [$out] : undef }, 60, $sql);

	return $answer->[0];
}

=pod

=item $node->kill_postmaster(DAMAGE)

SIGKILL the server, wait until the last of its children has let go of the data directory, call DAMAGE
if it is given, and start the server again.

=cut

sub kill_postmaster
{
	my ($self, $damage) = @_;
	my $postmaster = $self->{_pid};

	$self->kill9;
	poll_until(sub { !kill 0, $postmaster }, 60, 'the postmaster to die');
	$damage->() if $damage;
	poll_until(sub { $self->start(fail_ok => 1) }, 60, 'the server to start');
	return;
}

=pod

=item $node->crash(DATABASE, KILL)

Call KILL, which is to SIGKILL a process of the server, and wait until the server has noticed and is up again:
until then it answers as if nothing had happened. DATABASE is where it is asked.

=item $node->kill_backend(DATABASE)

The same with a session of DATABASE, idle and begun for that.

=cut

sub crash
{
	my ($self, $database, $kill) = @_;

	# All processes are restarted, and this is one that is always there.
	my $checkpointer = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'};
	my $before = $self->sql_through($database, $checkpointer);

	$kill->();
	poll_until(sub { my $now = $self->sql_through($database, $checkpointer); $now ne '' && $now ne $before }, 60, 'the server to restart');
	return;
}

sub kill_backend
{
	my ($self, $database) = @_;
	my $victim = $self->session($database);
	my ($pid) = $victim->query('SELECT pg_backend_pid()') =~ /(\d+)/;

	$self->crash($database, sub { kill 'KILL', $pid });
	$victim->{run}->finish;
	return;
}

=pod

=item $node->session(DATABASE)

A psql session that stays open (PostgreSQL::Test::BackgroundPsql) and survives errors. query(SQL)
waits for the answer; query_until(qr/started/, "\\echo started\nSQL;\n") does not.

=cut

sub session
{
	my ($self, $database) = @_;

	return $self->background_psql($database, on_error_stop => 0);
}

=pod

=item $node->set_clock(SECONDS)

=item $node->pass_time(SECONDS)

Have the cluster's clock show the time in SECONDS from now; or SECONDS later than it shows already. A server
that is stopped is started with it. Returns how far it is ahead.

=cut

sub set_clock
{
	my ($self, $offset) = @_;
	my $shown = q{SELECT setting FROM pg_settings WHERE name = 'hotdash.test_clock_offset'};

	$self->append_conf('postgresql.conf', "hotdash.test_clock_offset = $offset");
	defined $self->{_pid} ? $self->reload : $self->start;
	poll_until(sub { $self->safe_psql('postgres', "LOAD 'hotdash'; $shown") eq $offset }, 30, 'the clock to be set');
	return $self->{hotdash_clock} = $offset;
}

sub pass_time
{
	my ($self, $seconds) = @_;

	return $self->set_clock(($self->{hotdash_clock} // 0) + $seconds);
}

=pod

=item $node->start_edge(DATABASE, SETTINGS, OPTION => VALUE, ...)

Start an edge that serves DATABASE. SETTINGS is a hash of the edge's settings, passed as flags.
Options: name (default edge; also names the log), connstr (instead of this node's, for several hosts),
env (a hash). Returns a HotDash::Process.

=cut

sub start_edge
{
	my ($self, $database, $settings, %option) = @_;
	my $name = $option{name} // 'edge';
	my $connstr = $option{connstr} // $self->connstr($database);
	my %flag = (database => $connstr, name => $name, %{ $settings // {} });

	croak 'HOTDASH_EDGE does not name the edge' unless -x ($ENV{HOTDASH_EDGE} // '');
	return HotDash::Process->start($name, $option{env}, $ENV{HOTDASH_EDGE},
		map { "--$_=$flag{$_}" } sort keys %flag);
}

=pod

=item HotDash->start_receiver(ARGUMENT...)

Start regress/demo/receiver.mjs, an HTTP server that receives webhooks, and wait until it says on which
port it listens. Returns a HotDash::Process with url set.

=cut

my $receivers = 0;

sub start_receiver
{
	my ($class, @arguments) = @_;
	my $process = HotDash::Process->start('receiver' . ++$receivers, undef,
		'node', "$ENV{HOTDASH_TREE}/regress/demo/receiver.mjs", @arguments);

	$process->{url} = poll_until(
		sub {
			croak "the receiver ended: " . $process->log unless $process->is_running;
			return $process->log =~ m{(https?://[\w.:\[\]]+:\d+)} ? $1 : undef;
		},
		30, 'the receiver to listen');
	return $process;
}

=pod

=item $node->start_witness(PORT)

Start regress/bench/receiver.c, which behaves as the path says; its head describes that. It chooses a port
unless it is given one. Returns a HotDash::Process with url set.

=item $node->witnessed(PROCESS)

End it, and return its log: hashes, in the order in which requests began to arrive.

=cut

sub start_witness
{
	my ($self, $port) = @_;
	my $number = ++$receivers;
	my $program = $self->basedir . '/witness';
	my $log = $self->basedir . "/witnessed$number";

	PostgreSQL::Test::Utils::system_or_bail('cc', '-O2', '-Wall', '-Wextra', '-o', $program, "$ENV{HOTDASH_TREE}/regress/bench/receiver.c")
	  unless -x $program;
	my $process = HotDash::Process->start("witness$number", undef, $program, $log, $$, $port // 0);
	$process->{url} = 'http://127.0.0.1:' . poll_until(sub { $process->log =~ /^(\d+)\n/ && $1 }, 30, 'the receiver');
	$process->{seen} = $log;
	return $process;
}

sub witnessed
{
	my ($self, $process) = @_;
	my @seen;

	$process->stop;
	foreach (split /\n/, PostgreSQL::Test::Utils::slurp_file($process->{seen}))
	{
		my %request;
		@request{qw(message path key n status begun ended not_before form)} = split /\t/;
		push @seen, \%request;
	}
	return sort { $a->{begun} <=> $b->{begun} } @seen;
}

=pod

=back

=head1 PROCESSES

What start_edge, start_receiver and start_witness return.

=over

=cut

package HotDash::Process;

use strict;
use warnings FATAL => 'all';

use Carp;
use POSIX qw(WNOHANG);

my @processes;

# The child stays in our process group, so whoever ends the test by signal reaches it too. Its output
# goes to a log of its own. A preloaded sanitizer is for the server and the edge; node cannot take it.
sub start
{
	my ($class, $name, $env, @command) = @_;
	my $self = bless {
		name => $name,
		logfile => "$PostgreSQL::Test::Utils::log_path/$name.log",
		status => undef,
	}, $class;

	$self->{pid} = fork();
	croak "cannot fork: $!" unless defined $self->{pid};
	if ($self->{pid} == 0)
	{
		%ENV = (%ENV, %{ $env // {} });
		delete $ENV{LD_PRELOAD} if $command[0] eq 'node';
		$SIG{$_} = 'DEFAULT' foreach qw(INT TERM PIPE);
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>>', $self->{logfile});
		open(STDERR, '>&', \*STDOUT);
		{ no warnings; exec { $command[0] } @command; }
		print STDERR "cannot run $command[0]: $!\n";
		POSIX::_exit(127);
	}
	push @processes, $self;
	return $self;
}

=pod

=item $process->pid, $process->url, $process->log

The process id; a receiver's base URL; everything it has written so far.

=cut

sub pid { return $_[0]{pid} }
sub url { return $_[0]{url} }

sub log
{
	my ($self) = @_;

	return -e $self->{logfile} ? PostgreSQL::Test::Utils::slurp_file($self->{logfile}) : '';
}

=pod

=item $process->is_running

True until the process has ended; its wait status is then in $process->{status}.

=cut

sub is_running
{
	my ($self) = @_;

	if (!defined $self->{status} && waitpid($self->{pid}, WNOHANG) == $self->{pid})
	{
		$self->{status} = $?;
	}
	return !defined $self->{status};
}

=pod

=item $process->signal(NAME)

Send a signal and return at once.

=item $process->stop(SECONDS)

Ask with SIGTERM, wait until it has ended (default 60 s, then die), return the wait status.

=item $process->kill

SIGKILL, and wait.

=back

=cut

sub signal
{
	my ($self, $name) = @_;

	return $self->is_running && CORE::kill($name, $self->{pid});
}

sub stop
{
	my ($self, $seconds) = @_;

	$self->signal('TERM');
	HotDash::poll_until(sub { !$self->is_running }, $seconds // 60, "$self->{name} to end");
	return $self->{status};
}

sub kill
{
	my ($self) = @_;

	$self->signal('KILL');
	HotDash::poll_until(sub { !$self->is_running }, 60, "$self->{name} to die");
	return $self->{status};
}

# Before the servers go, since Perl runs the last END first and this one is compiled last.
END
{
	my $status = $?;

	foreach my $process (@processes)
	{
		$process->kill if $process->is_running;
	}
	$? = $status;
}

1;
