#!/usr/bin/perl
#
# Many listeners take the same messages at the same time, while one of their sessions and then the whole server are
# killed: every message becomes one job, and whatever was answered with 200 is there.

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(hmac_sha256_hex);
use HotDash;
use IPC::Run qw(start);
use PostgreSQL::Test::Utils;
use Test::More;

my $IDS = 300;
my $node = HotDash->cluster('inbound');
$node->create_db_with_extension('app');

sub sql { return $node->safe_psql('app', shift) }

sql(q{SELECT hotdash.inbound_set('shop', 'github', 'hush'); CREATE ROLE listener LOGIN; SELECT hotdash.access_grant('listener', 'edge')});

# The signature is of the body alone, so that pgbench can choose the id.
my $signature = hmac_sha256_hex('{}', 'hush');
my $script = $node->basedir . '/receive.pgbench';
append_to_file($script, <<"SQL");
\\set n random(1, $IDS)
SELECT 1 / (status = 200)::int FROM hotdash.inbound_receive('shop', jsonb_build_object('X-GitHub-Delivery', 'd' || :n,
	'X-GitHub-Event', 'push', 'X-Hub-Signature-256', 'sha256=$signature'), '{}'::bytea);
SQL

# Eight listeners, until they are stopped or have done so many each; a session that dies does not stop the others.
sub listeners
{
	my ($transactions) = @_;

	return start([ 'pgbench', '-n', '-f', $script, '-c', 8, '-t', $transactions, '-h', $node->host, '-p', $node->port, '-U', 'listener', 'app' ],
		'>', \my $out, '2>', \my $err);
}

# Committed jobs, messages, and ids that have more than one job.
sub tally
{
	return sql(q{SELECT count(*), count(DISTINCT payload ->> 'message_id'), (SELECT count(*) FROM hotdash.inbound_messages),
		(SELECT count(*) FROM hotdash.inbound_messages AS m JOIN hotdash._job AS j ON j.id = m.job_id AND j.payload ->> 'message_id' = m.message_id)
		FROM hotdash._job});
}

sub exact
{
	my ($what) = @_;
	my ($jobs, $ids, $messages, $joined) = split /\|/, tally();

	is($ids, $jobs, "$what: no message has two jobs");
	is($messages, $jobs, "$what: as many messages as jobs");
	is($joined, $jobs, "$what: each with its own");
	return $jobs;
}

subtest 'a session is killed' => sub {
	my $run = listeners(1_000_000);
	poll_until(sub { sql('SELECT count(*) >= 20 FROM hotdash._inbound_message') eq 't' }, 60, 'messages');
	my $pid = sql(q{SELECT pid FROM pg_stat_activity WHERE usename = 'listener' LIMIT 1});
	$node->crash('app', sub { kill 'KILL', $pid or die "cannot kill $pid: $!" });
	eval { $run->finish };
	cmp_ok(exact('after the crash'), '>=', 20, 'what was committed is there');
};

subtest 'the server is killed' => sub {
	sql('TRUNCATE hotdash._inbound_message, hotdash._job; SELECT hotdash._job_reload()');
	my $run = listeners(1_000_000);
	poll_until(sub { sql('SELECT count(*) >= 20 FROM hotdash._inbound_message') eq 't' }, 60, 'messages');
	my $before = sql('SELECT count(*) FROM hotdash._inbound_message');
	$node->kill_postmaster;
	eval { $run->finish };
	cmp_ok(exact('after the restart'), '>=', $before, 'what was committed is there');
};

subtest 'all of them, again and again' => sub {
	my $run = listeners(1000);
	ok($run->finish, 'every request was answered with 200');
	is(exact('at the end'), $IDS, 'every message was taken');
	is(sql(q{SELECT count(*) FROM hotdash.job_claim(batch => 10000)}), $IDS, 'and can be worked off');
};

done_testing();
