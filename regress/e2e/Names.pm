
=pod

=head1 NAME

Names - a name server of a test's own, and what makes an edge ask it

=head1 SYNOPSIS

  my $names = Names->start('a.test' => '127.0.0.2', '*.slow.test' => 'hang');
  my $edge = $node->start_edge($db, {}, env => $names->env);
  $names->set('a.test' => '127.0.0.3');

=head1 DESCRIPTION

What a name stands for is a text: addresses, of either family, separated by blanks; C<turn> and two
addresses, each said every other time; C<hang>: no answer; C<fail>: the server's failure. A name that is not
there does not exist; C<*.x> stands for all names one part longer than C<x>. Answers are good for no time.

=cut

package Names;

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;

# Reads what names stand for with each question, so that a test may change it.
my $server = <<'SERVER';
	use strict; use IO::Socket::INET; use Socket qw(inet_aton inet_pton AF_INET6);
	my $socket = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1', LocalPort => 0) or die $!;
	my $turn = 0;
	print STDERR 'serving ', $socket->sockport, "\n";
	while (my $from = recv($socket, my $query, 512, 0)) {
		my ($id, $flags) = unpack('nn', $query);
		my ($at, @labels) = (12);
		while (my $length = ord(substr($query, $at, 1))) { push @labels, substr($query, $at + 1, $length); $at += $length + 1 }
		my $question = substr($query, 12, $at + 5 - 12);
		my $type = unpack('n', substr($query, $at + 1, 2));
		my $name = lc join '.', @labels;
		open(my $file, '<', $ARGV[0]) or die $!;
		my %zone = map { /^(\S+) (.*)$/ } <$file>;
		my $said = $zone{$name} // $zone{ $name =~ s/^[^.]*/*/r };
		my @words = split / /, $said // '';
		print STDERR "asked $name\n" if $type == 1;
		next if @words && $words[0] eq 'hang';
		@words = $type == 1 ? $words[ 1 + $turn++ % 2 ] : () if @words && $words[0] eq 'turn';
		my @data = $type == 1 ? map { inet_aton($_) } grep { /^[0-9.]+$/ } @words
			: $type == 28 ? map { inet_pton(AF_INET6, $_) } grep { /:/ } @words : ();
		my $code = !defined $said ? 3 : $said eq 'fail' ? 2 : 0;
		my $answer = pack('n6', $id, 0x8180 | $code, 1, scalar @data, 0, 0) . $question;
		$answer .= pack('nnnNn/a*', 0xc00c, $type, 1, 0, $_) foreach @data;
		send($socket, $answer, 0, $from);
	}
SERVER

# The C library's resolver takes a name server's port from no setting, so a shim tells each thread. It has no
# memory for a name of which there is a file.
my $shim = <<'SHIM';
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **list)
{
	int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", getenv("TEST_DNS_SHORTAGES"), node);
	if (access(path, F_OK) == 0)
		return EAI_MEMORY;
	res_init();
	_res.nscount = 1;
	_res.nsaddr_list[0].sin_family = AF_INET;
	_res.nsaddr_list[0].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	_res.nsaddr_list[0].sin_port = htons(atoi(getenv("TEST_DNS_PORT")));
	_res.options &= ~(RES_DNSRCH | RES_DEFNAMES);
	return next(node, service, hints, list);
}
SHIM

=pod

=head1 METHODS

=over

=item Names->start(NAME => WHAT, ...)

=item $names->set(NAME => WHAT, ...)

Changes what is named; undef takes a name away.

=item $names->env

The environment of an edge that asks this server.

=item $names->asked(NAME)

How often the address of NAME, a text or a pattern, was asked for.

=item $names->shortage(NAME, BOOL)

From now on there is no memory to look NAME up with, or there is again.

=back

=cut

sub start
{
	my ($class, %zone) = @_;
	my $self = bless { folder => PostgreSQL::Test::Utils::tempdir(), zone => {} }, $class;

	mkdir("$self->{folder}/shortages") or die "cannot make a folder: $!";
	_write("$self->{folder}/shim.c", $shim);
	PostgreSQL::Test::Utils::system_or_bail('gcc', '-shared', '-fPIC', '-o', "$self->{folder}/shim.so", "$self->{folder}/shim.c", '-ldl', '-lresolv');
	$self->set(%zone);
	$self->{process} = HotDash::Process->start('dns', undef, 'perl', '-e', $server, "$self->{folder}/zone");
	$self->{port} = HotDash::poll_until(sub { $self->{process}->log =~ /serving (\d+)/ && $1 }, 30, 'the name server');
	return $self;
}

sub _write
{
	my ($path, $text) = @_;

	open(my $file, '>', $path) or die "cannot write $path: $!";
	print $file $text;
	close($file) or die "cannot write $path: $!";
}

sub set
{
	my ($self, %zone) = @_;
	my $known = $self->{zone} = { %{ $self->{zone} }, %zone };

	_write("$self->{folder}/zone.new", join '', map { "$_ $known->{$_}\n" } grep { defined $known->{$_} } sort keys %$known);
	rename("$self->{folder}/zone.new", "$self->{folder}/zone") or die "cannot rename: $!";
}

sub env
{
	my ($self) = @_;

	return { LD_PRELOAD => join(':', grep { defined && $_ ne '' } $ENV{LD_PRELOAD}, "$self->{folder}/shim.so"),
		TEST_DNS_PORT => $self->{port}, TEST_DNS_SHORTAGES => "$self->{folder}/shortages" };
}

sub asked
{
	my ($self, $name) = @_;

	$name = quotemeta($name) unless ref $name;
	return scalar(() = $self->{process}->log =~ /^asked $name$/mg);
}

sub shortage
{
	my ($self, $name, $short) = @_;
	my $path = "$self->{folder}/shortages/$name";

	$short ? _write($path, '') : unlink($path);
}

1;
