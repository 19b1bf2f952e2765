
# A primary dies and its standby is promoted: the edge finds the server that takes writes, by itself.

use strict;
use warnings FATAL => 'all';

use FindBin;
use HTTP::Tiny;
use JSON::PP;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $primary = HotDash->cluster('primary', streaming => 1);
my $db = $primary->create_db_with_extension('app');
my $receiver =
  HotDash::Process->start('receiver', undef, 'node', "$ENV{HOTDASH_TREE}/edge/test/receiver.mjs");
my $url = poll_until(sub { $receiver->log =~ m{(http://\S+)} && $1 }, 30, 'the receiver');

$primary->safe_psql($db, "SELECT hotdash.endpoint_create('$url/ok', events => '{order}', timeout => '5 seconds')");
$primary->backup('base');
my $standby = HotDash->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

# With a synchronous standby, what publish has confirmed is on both.
$primary->append_conf('postgresql.conf', "synchronous_standby_names = '*'\n");
$primary->reload;
poll_until(sub { $primary->safe_psql('postgres', 'SELECT sync_state FROM pg_stat_replication') eq 'sync' },
	60, 'the standby to be synchronous');

# The standby stands first: target_session_attrs, which the edge adds, must pass it over.
my $connstr = join ' ', 'host=' . $standby->host . ',' . $primary->host,
  'port=' . $standby->port . ',' . $primary->port, "dbname=$db";
my $edge = $primary->start_edge($db, { allow_addresses => '127.0.0.0/8' }, connstr => $connstr);
my @ids;

sub publish
{
	my ($node, $times) = @_;
	push @ids, split /\n/,
	  $node->safe_psql($db, "SELECT hotdash.event_publish('order', '{}') FROM generate_series(1, $times)");
	return;
}

sub completed
{
	my ($node) = @_;
	return $node->safe_psql($db, "SELECT count(*) FROM hotdash.deliveries WHERE state = 'completed'");
}

publish($primary, 20);
poll_until(sub { completed($primary) == 20 }, 60, 'the first events');
pass('the edge passes a standby over');

# Some of these are sent, some reported, some neither, when the primary goes.
publish($primary, 200);
$primary->stop('immediate');
$standby->promote;
$standby->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = ''");
$standby->reload;
publish($standby, 20);
poll_until(sub { completed($standby) == 240 }, 120, 'everything to be delivered by way of the new primary');
pass('the edge follows to the new primary');

my %times;
$times{ $_->{id} }++ foreach @{ decode_json(HTTP::Tiny->new->get("$url/_seen")->{content}) };
is_deeply([ sort keys %times ], [ sort @ids ], 'every event that was confirmed has arrived');
is($edge->stop, 0, 'the edge ends with code 0');

done_testing();
