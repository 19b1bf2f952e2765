#!/usr/bin/perl
#
# meta.pl FILE: check FILE against what PGXN Meta Spec 1.0.0 requires. One line for each violation.

use strict;
use warnings;
use JSON::PP;

my $SEMVER = qr/^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$/;
my $TERM = qr/^[^\s\/\\\x00-\x1f]{2,}$/;
my %LICENSE = map { $_ => 1 } qw(agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd gfdl_1_2
  gfdl_1_3 gpl_1 gpl_2 gpl_3 lgpl_2_1 lgpl_3_0 mit mozilla_1_0 mozilla_1_1 openssl perl_5 postgresql
  qpl_1_0 ssleay sun zlib open_source restricted unrestricted unknown);
my %PHASE = map { $_ => 1 } qw(configure build test runtime develop);
my %RELATION = map { $_ => 1 } qw(requires recommends suggests conflicts);

my $bad = 0;

# The prototype keeps a pattern match in scalar context.
sub check($$)
{
	my ($right, $message) = @_;

	return if $right;
	print "META.json: $message\n";
	$bad = 1;
	return;
}

my $text = do { local (@ARGV, $/) = ($ARGV[0]); <> };
my $meta = eval { decode_json($text) } or do { print "META.json: no JSON: $@"; exit 1 };

check(defined $meta->{$_}, "$_ is required")
  foreach qw(name version abstract maintainer license provides meta-spec);
check(($meta->{name} // '') =~ $TERM, 'name is no term');
check(($meta->{version} // '') =~ $SEMVER, 'version is no semantic version');
check(length($meta->{abstract} // ''), 'abstract is empty');
check(($meta->{'meta-spec'}{version} // '') =~ /^1\.0\.\d+$/, 'meta-spec.version is not 1.0.x');

my $maintainers = ref $meta->{maintainer} ? $meta->{maintainer} : [ $meta->{maintainer} ];
check(length($_ // ''), 'a maintainer is empty') foreach @$maintainers;
if (ref($meta->{license}) eq 'HASH')
{
	check($meta->{license}{$_} =~ m{^https?://}, "license $_ has no URL") foreach keys %{ $meta->{license} };
}
else
{
	my $licenses = ref $meta->{license} ? $meta->{license} : [ $meta->{license} // '' ];
	check($LICENSE{$_}, "license \"$_\" is not in the list") foreach @$licenses;
}
check(!defined $meta->{release_status} || $meta->{release_status} =~ /^(stable|testing|unstable)$/,
	'release_status is not stable, testing or unstable');

foreach my $name (sort keys %{ $meta->{provides} // {} })
{
	my $provided = $meta->{provides}{$name};
	check(($provided->{version} // '') =~ $SEMVER, "provides.$name.version is no semantic version");
	check(length($provided->{file} // ''), "provides.$name.file is required");
	check(!defined $provided->{docfile} || -e $provided->{docfile},
		"provides.$name.docfile does not exist: " . ($provided->{docfile} // ''));
}
foreach my $phase (sort keys %{ $meta->{prereqs} // {} })
{
	check($PHASE{$phase}, "prereqs.$phase is no phase");
	foreach my $relation (sort keys %{ $meta->{prereqs}{$phase} })
	{
		check($RELATION{$relation}, "prereqs.$phase.$relation is no relation");
		my $needs = $meta->{prereqs}{$phase}{$relation};
		check($needs->{$_} eq '0' || $needs->{$_} =~ /^(?:[<>=!]=?\s*)?\d+\.\d+\.\d+/,
			"prereqs.$phase.$relation.$_ is no version range") foreach keys %$needs;
	}
}
check(ref($meta->{tags} // []) eq 'ARRAY', 'tags is no list');
check(length($_) <= 256, "the tag $_ is too long") foreach @{ $meta->{tags} // [] };

exit $bad;
