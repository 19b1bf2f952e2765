# Buckets over restarts and crashes by their file: a restart loses nothing, of any algorithm, with other settings; a
# crash what was taken since the last file; a file that is torn, foreign or made up is moved aside.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;
use Time::HiRes qw(time);

my $ROUNDS = $ENV{HOTDASH_LIMIT_KILLS} // 5;
my $INTERVAL = 0.2;
my $WRITING = 0.5; # how long a file may take, on a busy machine

my $node = HotDash->cluster('main', conf => "hotdash.limit_snapshot_interval = 0\n");
my $file = $node->data_dir . '/hotdash.limits';
$node->create_db_with_extension('app');
sub sql { return $node->safe_psql('app', shift) }
sub remaining { my ($limit, $key) = @_; return sql("SELECT remaining FROM hotdash.limit_take('$limit', '$key', 0)") }
sub slurp { open my $in, '<:raw', $file or die "$file: $!"; local $/; return scalar <$in> }
sub write_file { open my $out, '>:raw', $file or die $!; print $out $_[0] or die $!; close $out or die $! }

sql(q{
	SELECT hotdash.limit_set('steady', 100, '36500 days'), hotdash.limit_set('exact', 7, '1 hour', algorithm => 'log'),
		hotdash.limit_set('many', 500, '36500 days', algorithm => 'log'), hotdash.limit_set('window', 9, '1000 days', algorithm => 'window'),
		hotdash.limit_set('gone', 5, '1 day', durability => 'none'), hotdash.limit_set('minute', 1, '1 minute'),
		hotdash.limit_set('load', 10000000, '36500 days')});

# What all of the keys have left
my $all = q{SELECT md5(string_agg(i || ' ' || (hotdash.limit_take('steady', 'k' || i, 0)).remaining || ' '
	|| (hotdash.limit_take('window', 'k' || i, 0)).remaining, ',' ORDER BY i)) FROM generate_series(1, 500) AS i};
sql(q{SELECT count(*) FILTER (WHERE hotdash.limit_allow('steady', 'k' || i, i % 90)), count(*) FILTER (WHERE hotdash.limit_allow('window', 'k' || i, i % 9))
	FROM generate_series(1, 500) AS i});
my $before = sql($all);
sql(q{SELECT hotdash.limit_allow('many', 'k') FROM generate_series(1, 300)});
is(sql(q{SELECT hotdash.limit_allow('exact', 'k', 2), hotdash.limit_allow('gone', 'k', 5)}), 't|t', 'taken');
$node->pass_time(100);
is(sql(q{SELECT hotdash.limit_allow('exact', 'k', 3)}), 't', 'and more, later');

# A restart, with more and fewer slots
foreach my $slots (65536, 4096, 200000)
{
	$node->append_conf('postgresql.conf', "hotdash.limit_slots = $slots");
	$node->restart;
	is(sql($all), $before, "$slots slots: a restart keeps buckets and windows");
	is(remaining('exact', 'k'), 2, "$slots slots: and logs");
	is(remaining('many', 'k'), 200, "$slots slots: long ones too");
	is(remaining('gone', 'k'), 5, "$slots slots: but not what says none");
}
$node->pass_time(3450);
is(remaining('exact', 'k'), 2, 'every unit of a log counts as long as it would have');
$node->pass_time(60);
is(remaining('exact', 'k'), 4, 'and no longer');
$node->pass_time(100);
is(remaining('exact', 'k'), 7, 'until all have gone');

# The clock is set back while the server is down
is(sql(q{SELECT hotdash.limit_allow('minute', 'k')}), 't', 'taken');
$node->stop;
$node->set_clock(0);
is(sql(q{SELECT allowed, retry_after > 3600 FROM hotdash.limit_take('minute', 'k')}), 'f|t', 'time does not go back over a restart');

# A process crashes
sub writes_again
{
	my $last = (stat $file)[9] . (stat _)[1];

	sql(q{SELECT hotdash.limit_allow('load', 'anything')});
	poll_until(sub { my $now = (stat $file)[9] . (stat _)[1]; $now ne $last }, 60, 'a file');
	return;
}
$node->append_conf('postgresql.conf', 'hotdash.limit_snapshot_interval = 100ms');
$node->reload;
writes_again();
sql(q{SELECT hotdash.limit_allow('window', 'crash', 4), hotdash.limit_allow('steady', 'crash', 60), hotdash.limit_allow('exact', 'crash', 6)});
writes_again() for 1 .. 2;
$node->kill_backend('app');
is(remaining('window', 'crash') . ' ' . remaining('steady', 'crash') . ' ' . remaining('exact', 'crash'), '5 40 1', 'a crashed process costs nothing that is in the file');
my $stamp = sub { return join ' ', (stat $file)[1, 9] };
writes_again();
my $still = $stamp->();
my $since = time;
poll_until(sub { my $now = $stamp->(); ($still, $since) = ($now, time) if $now ne $still; time - $since > 0.5 }, 60, 'five intervals without a file');
ok(1, 'where nothing changes, nothing is written');

# kill -9 of the server, again and again under load: what a key had granted before the last file was begun stays granted
$node->append_conf('postgresql.conf', 'hotdash.limit_snapshot_interval = ' . $INTERVAL * 1000 . 'ms');
$node->reload;
my ($granted, $lost, $wrong, $most) = (0, 0, 0, 0);
foreach my $round (1 .. $ROUNDS)
{
	my $out = $node->basedir . '/granted';
	my $script = $node->basedir . '/takes.sql';

	open my $takes, '>', $script or die $!;
	print $takes qq{SELECT extract(epoch FROM clock_timestamp()) FROM hotdash.limit_take('load', 'k') WHERE allowed;\n} x 100000;
	close $takes or die $!;
	my $client = fork() // die "fork: $!";
	if ($client == 0)
	{
		open STDERR, '>', '/dev/null';
		exec 'psql', '-XAtq', '-d', $node->connstr('app'), '-f', $script, '-o', $out;
	}
	my $until = time + $INTERVAL + $WRITING + 0.5 + rand;
	poll_until(sub { time > $until && -s $out }, 60, 'load');
	my $killed_after = time - $INTERVAL - $WRITING;
	$node->kill_postmaster();
	waitpid $client, 0;
	open my $in, '<', $out or die $!;
	my @times = map { chomp; $_ } grep { /^[0-9.]+$/ } <$in>;
	close $in;
	my $certain = grep { $_ < $killed_after } @times;
	my $used = 10000000 - remaining('load', 'k');
	$wrong++ if $used < $granted - $lost + $certain || $used > $granted - $lost + @times + 1;
	$granted += @times;
	$most = $granted - $used - $lost if $granted - $used - $lost > $most;
	$lost = $granted - $used;
	note("round $round: " . scalar(@times) . " granted, $certain of them for certain in the file, $used known now");
}
cmp_ok($granted, '>', 100 * $ROUNDS, "$granted granted in $ROUNDS crashes of the server");
is($wrong, 0, "none lost more than what was granted since the last file, $most at the most");

# Files that are no such
my %damage = (
	'empty' => sub { '' },
	'cut short' => sub { substr $_[0], 0, length($_[0]) - 1 },
	'longer' => sub { $_[0] . 'x' },
	'garbage' => sub { "\xff" x length $_[0] },
	'with a bit changed' => sub { my $all = $_[0]; substr($all, -20, 1) ^= "\x01"; $all },
	'of another cluster' => sub { my $all = $_[0]; substr($all, 16, 8) ^= "\x01"; header_sum($all) },
	'of another version' => sub { my $all = $_[0]; substr($all, 8, 1) ^= "\x7f"; header_sum($all) },
	'with a length that is not' => sub { my $all = $_[0]; substr($all, 56, 8) = pack 'Q', 1 << 60; header_sum($all) });
my $HEADER = 72; # bytes; its own checksum are the last four

sub crc32c
{
	my ($bytes) = @_;
	my $crc = 0xffffffff;

	foreach my $byte (unpack 'C*', $bytes)
	{
		$crc ^= $byte;
		$crc = $crc & 1 ? ($crc >> 1) ^ 0x82f63b78 : $crc >> 1 for 1 .. 8;
	}
	return $crc ^ 0xffffffff;
}

sub header_sum
{
	my ($all) = @_;

	substr($all, $HEADER - 4, 4) = pack 'L', crc32c(substr $all, 0, $HEADER - 4);
	return $all;
}

$node->append_conf('postgresql.conf', 'hotdash.limit_snapshot_interval = 0');
foreach my $what (sort keys %damage)
{
	sql(q{SELECT hotdash.limit_reset('steady', 'torn')});
	is(sql(q{SELECT hotdash.limit_allow('steady', 'torn', 60)}), 't', "a file $what:");
	$node->stop;
	my $offset = -s $node->logfile;
	write_file($damage{$what}->(slurp()));
	$node->start;
	is(remaining('steady', 'torn'), 100, 'all buckets are full');
	ok($node->log_contains('file "hotdash.limits" is not used', $offset), 'the log says so');
	ok(-e "$file.bad", 'and the file is kept');
	unlink "$file.bad" or die $!;
}

# One that has all its checksums, and images in it that cannot be
$node->stop;
my $head = substr slurp(), 0, $HEADER;
my @images = (
	pack('QQqqlSCC', 1, 2, 1 << 62, 1, 1, 65535, 1, 1), # more runs than there are
	pack('QQqqlSCC', 1, 2, 1 << 62, 0, 0, 0, 0, 1), # no emission interval
	pack('QQqqlSCC', 1, 2, 1 << 62, 1, 0, 0, 77, 1), # no such algorithm
	pack('QQqqlSCC', 1, 2, -5, 1, 0, 0, 0, 1),
	pack('QQqqlSCC', 1, 2, 1 << 62, 1, 9, 2, 1, 1) . pack('QQ', 5 << 10 | 4, 4 << 10 | 5)); # runs that go back
foreach my $image (@images)
{
	substr($head, 48, 8) = pack 'Q', 1;
	substr($head, 56, 8) = pack 'Q', length $image;
	substr($head, 64, 4) = pack 'L', crc32c($image);
	write_file(header_sum($head . $image));
	my $offset = -s $node->logfile;
	$node->start;
	ok($node->log_contains('1 of 1 rate limit buckets found no room, or made no sense', $offset), 'an image that cannot be is left out');
	$node->stop;
}
$node->start;
is(sql(q{SELECT hotdash.limit_allow('steady', 'torn', 60)}), 't', 'and all goes on');

$node->stop;
done_testing();
