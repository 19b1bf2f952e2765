
=pod

=head1 NAME

Suite - what the runners of public suites share

=head1 SYNOPSIS

  use Suite;

  my $suite = Suite->new('jsonlogic-strict', $folder);
  $suite->sql("SELECT ...");
  foreach my $line ($suite->answers) { ... }
  $suite->passed('if.json');
  $suite->failed('if.json', 'the third case', 'wanted true, got false');
  exit $suite->report;

=head1 DESCRIPTION

A runner reads a folder of public cases, asks one server all of them in one psql session, and counts. It knows
nothing of the server but SQL, so it can be pointed at any: psql finds it by PGHOST, PGDATABASE and so on.
The session is one transaction that is rolled back, so a runner leaves nothing behind.

=cut

package Suite;

use strict;
use warnings FATAL => 'all';

use File::Temp ();
use JSON::PP   ();

sub new
{
	my ($class, $name, $folder) = @_;

	die "$name: there is no folder \"$folder\"\n" unless -d $folder;
	my $self = bless { name => $name, folder => $folder, script => File::Temp->new(SUFFIX => '.sql'), passed => {}, failed => {}, files => [] }, $class;
	$self->sql('BEGIN;');
	return $self;
}

=pod

=over

=item $suite->slurp(FILE)

A file of the folder, as bytes.

=cut

sub slurp
{
	my ($self, $file) = @_;

	open(my $in, '<:raw', "$self->{folder}/$file") or die "$self->{folder}/$file: $!\n";
	local $/ = undef;
	return scalar <$in>;
}

=pod

=item Suite::quote(TEXT), Suite::json(TEXT)

Text as a constant of SQL, and as a string of JSON.

=cut

sub quote
{
	my ($text) = @_;
	my $n = 0;

	$n++ while index($text, "\$q$n\$") >= 0;
	return "\$q$n\$$text\$q$n\$";
}

sub json { return JSON::PP->new->allow_nonref->encode($_[0]) }

=pod

=item $suite->sql(TEXT)

Add to what the session will do.

=item $suite->answers

Run the session; what it printed, as lines. Dies when it ended with an error.

=cut

sub sql
{
	my ($self, $text) = @_;

	print { $self->{script} } "$text\n";
	return;
}

sub answers
{
	my ($self) = @_;

	$self->sql('ROLLBACK;');
	$self->{script}->flush;
	open(my $psql, '-|', 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', $self->{script}->filename)
	  or die "psql: $!\n";
	my @lines = <$psql>;
	close $psql or die "$self->{name}: psql ended with an error\n";
	chomp @lines;
	return @lines;
}

=pod

=item $suite->passed(FILE), $suite->failed(FILE, CASE, WHY)

Count a case.

=cut

sub _count
{
	my ($self, $kind, $file) = @_;

	push @{ $self->{files} }, $file unless exists $self->{passed}{$file} || exists $self->{failed}{$file};
	$self->{$kind}{$file}++;
	return;
}

sub passed
{
	my ($self, $file) = @_;

	return $self->_count('passed', $file);
}

sub failed
{
	my ($self, $file, $case, $why) = @_;

	print "not ok: $file: $case\n", map { "    $_\n" } split /\n/, $why;
	return $self->_count('failed', $file);
}

=pod

=item $suite->report

Print a line a file and the total; returns the exit status. That there was nothing to run is a failure.

=back

=cut

sub report
{
	my ($self) = @_;
	my ($passed, $all) = (0, 0);

	foreach my $file (@{ $self->{files} })
	{
		my $good = $self->{passed}{$file} // 0;
		my $bad = $self->{failed}{$file} // 0;
		printf "%-6s  %-44s %4d of %4d\n", $bad ? 'FAILED' : 'ok', $file, $good, $good + $bad;
		$passed += $good;
		$all += $good + $bad;
	}
	print "total: $passed of $all cases of $self->{name} passed\n";
	return $all > 0 && $passed == $all ? 0 : 1;
}

1;
