#!/usr/bin/perl
#
# What the README and the other pages show runs as it stands there: the SQL blocks marked with
# <!-- tested --> on the line before, in order, each page in a fresh database. A line that ends in
# "-- => value" promises what its statement answers. The README's settings are those of the library.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

# The marked blocks of a page, joined.
sub marked_sql
{
	my ($page) = @_;

	return join("\n", $page =~ /^<!-- tested -->\n```sql\n(.*?)^```$/msg);
}

# Each promise is checked by a line that psql prints after the statement which ends there.
sub promises
{
	my ($sql) = @_;
	my (@lines, @promised);

	foreach my $line (split /\n/, $sql)
	{
		if ($line =~ /^(.*?;)\s*-- => (.*?)\s*$/)
		{
			push @promised, { statement => $1, answer => $2 };
			push @lines, $1, '\echo promise ' . $#promised;
		}
		else
		{
			push @lines, $line;
		}
	}
	return (join("\n", @lines) . "\n", @promised);
}

# What was printed last before the line of a promise.
sub answer_before
{
	my ($out, $number) = @_;

	return $out =~ /^(?:.*\n)*?(.*)\npromise $number$/m ? $1 : undef;
}

sub test_page
{
	my ($node, $name, $page) = @_;
	my ($sql, @promised) = promises(marked_sql($page));
	my $database = lc($name =~ s/\W/_/gr);
	my $out = '';

	$node->safe_psql('postgres', qq(CREATE DATABASE "$database" ENCODING 'UTF8' TEMPLATE template0));
	$node->safe_psql($database, 'CREATE EXTENSION hotdash') if $sql !~ /^CREATE EXTENSION hotdash/m;
	my $status = $node->psql($database, $sql, stdout => \$out, stderr => \my $err, on_error_stop => 1);
	is($status, 0, "$name: the SQL runs") or diag($err);
	is(answer_before($out, $_), $promised[$_]->{answer}, "$name: $promised[$_]->{statement}")
	  foreach 0 .. $#promised;
	return scalar @promised;
}

# hotdash.test_clock_offset exists on test servers only.
sub test_settings
{
	my ($node, $readme) = @_;
	my @named = $readme =~ /^\| `(hotdash\.\w+)` \|/mg;

	is(join("\n", sort @named), $node->safe_psql('readme_md', q{
			LOAD 'hotdash';
			SELECT name FROM pg_settings WHERE name LIKE 'hotdash.%' AND name <> 'hotdash.test_clock_offset'
			ORDER BY name COLLATE "C"}),
		'the README lists every setting');
	return;
}

my $node = HotDash->cluster('main');
my $readme = slurp_file("$ENV{HOTDASH_TREE}/README.md");
my $tested = test_page($node, 'README.md', $readme);
cmp_ok($tested, '>=', 10, 'the README promises something');
test_settings($node, $readme);

foreach my $path (sort glob("$ENV{HOTDASH_TREE}/docs/*.md"))
{
	my $page = slurp_file($path);
	test_page($node, $path =~ s{.*/}{}r, $page) if marked_sql($page) ne '';
}
$node->stop;

done_testing();
