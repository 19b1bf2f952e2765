# Eight sessions that change a flag and ask it all the time: no statement that starts after COMMIT has returned sees
# an older value, none sees one that was rolled back. The order is the clients' own (regress/bench/flips.c); its longer
# run is `make bench`.

use strict;
use warnings FATAL => 'all';

use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $sessions = 8;
my $flips = $ENV{HOTDASH_FLIPS} // 100;
my $node = HotDash->cluster('main');
my $program = $node->basedir . '/flips';

$node->create_db_with_extension('app');
system_or_bail('sh', '-c', "cc -O2 -Wall -Wextra -o '$program' '$ENV{HOTDASH_TREE}/regress/bench/flips.c' \$(pkg-config --cflags --libs libpq) -lpthread");
my ($host, $port) = ($node->host, $node->port);
my ($out) = run_command([ 'env', "PGHOST=$host", "PGPORT=$port", 'PGDATABASE=app', $program, $sessions, $flips, 30 ]);
my ($asked, $committed, $old, $never, $torn, $seconds) = split ' ', $out;

is($asked, $sessions * $flips * 30, "$asked questions in $seconds s");
is($committed, $sessions * $flips * 3 / 4, "during $committed flips");
is($old, 0, 'no answer is older than what had been committed before the question');
is($never, 0, 'none was never committed');
is($torn, 0, 'and a row and a flag that one transaction changed are seen together');

$node->stop;
done_testing();
