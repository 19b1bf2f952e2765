# The workers that docs/jobs.md shows, run as they stand there, with handlers of the test's own: they work
# through what is there, wake for what comes, fail what fails, renew what takes longer than its lease, and
# finish what they hold when they are told to end. What is the edge's they leave alone.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

my $HERE = "$ENV{HOTDASH_TREE}/regress/e2e/workers";
my $LONGEST = 40;
my $worker;

my $page = slurp_file("$ENV{HOTDASH_TREE}/docs/jobs.md");
my $node = HotDash->cluster('main', conf => "hotdash.databases = 'none'");
my $url = 'postgresql:///app?host=' . $node->host . '&port=' . $node->port . '&user=' . getpwuid($>);
$node->create_db_with_extension('app');
$node->safe_psql('app', <<'SQL');
SELECT hotdash.job_kind_set('good'), hotdash.job_kind_set('long'), hotdash.job_kind_set('bad', max_attempts => 1);
SELECT count(*) FROM hotdash.job_claim();
SQL

# A delivery, older than all that the workers will do. Only who names queue webhooks gets it.
my $receiver = HotDash->start_receiver;
$node->safe_psql('app', "SELECT hotdash.endpoint_create('@{[ $receiver->url ]}/healthy')");
$node->safe_psql('app', q{SELECT hotdash.event_publish('order.created', '{}')});
my $delivery = $node->safe_psql('app', 'SELECT id FROM hotdash.deliveries');

# The program NAME of the page, in a folder with handlers beside it.
sub place
{
	my ($name, $handlers, $text) = @_;
	my ($program) = $page =~ /^<!-- tested: \Q$name\E -->\n```\w+\n(.*?)^```$/ms;

	ok(defined $program, "docs/jobs.md shows $name") or return;
	cmp_ok($program =~ tr/\n//, '<', $LONGEST, "$name: under $LONGEST lines");
	my $folder = $node->basedir . "/$name";
	mkdir $folder or die "$folder: $!";
	append_to_file("$folder/$name", $program);
	append_to_file("$folder/$handlers", $text =~ s/FOLDER/$folder/gr);
	return $folder;
}

# pg comes from npm and stays in the work folder. Says why it cannot be had, or nothing.
sub install_pg
{
	my ($folder) = @_;
	my $library = "$ENV{HOTDASH_RUN}/workers";

	return 'HOTDASH_NO_PACKAGES is set' if $ENV{HOTDASH_NO_PACKAGES} && !-d "$library/node_modules/pg";
	foreach my $tool ('node', 'npm')
	{
		return "there is no $tool" if system("command -v $tool >/dev/null") != 0;
	}
	mkdir $library;
	system('cp', "$HERE/package.json", "$HERE/package-lock.json", $library) == 0 or die 'cp failed';
	my $npm = 'npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --fetch-retries=1 --fetch-timeout=20000';
	system("cd '$library' && { test -d node_modules/pg || timeout 60 $npm --cache '$library/cache'; } >npm.log 2>&1") == 0
	  or return 'npm could not fetch pg: ' . slurp_file("$library/npm.log");
	symlink("$library/node_modules", "$folder/node_modules") or die "symlink: $!";
	return;
}

sub enqueue { return $node->safe_psql('app', "SELECT hotdash.job_enqueue('$_[0]', '$_[1]')") }
sub job { return $node->safe_psql('app', "SELECT $_[1] FROM hotdash.jobs WHERE id = $_[0]") }

sub reach
{
	my ($id, $state, $what) = @_;

	poll_until(
		sub {
			die 'the worker ended: ' . $worker->log unless $worker->is_running || $worker->{status} == 0;
			return job($id, 'state') eq $state;
		}, 30, "job $id to be $state");
	return pass($what);
}

# Calls that wait: whoever runs there sleeps.
sub sleeping
{
	return $node->safe_psql('app', q{SELECT count(*) FROM pg_stat_activity
		WHERE query LIKE 'CALL hotdash.job_wait%' AND wait_event_type = 'Extension'}) > 0;
}

sub test_worker
{
	my ($name, $folder, @command) = @_;
	my @before = map { enqueue('good', qq({"n": $_})) } 1 .. 25;

	$worker = HotDash::Process->start($name, { LEASE => 1 }, @command, "$folder/$name", $url);

	reach($_, 'completed', "$name: job $_, there before it started") foreach @before[ 0, 9, 10, 24 ];
	is(job($before[4], 'result'), '{"twice": 10}', "$name: the result is kept");
	poll_until(\&sleeping, 30, "$name to wait");
	reach(enqueue('good', '{"n": 1}'), 'completed', "$name: wakes for a job");

	my $bad = enqueue('bad', '{}');
	reach($bad, 'dead', "$name: a failing job ends");
	like(job($bad, 'last_error'), qr/no such thing/, "$name: with its error");

	# A job of three leases: its handler goes on until there is a file of the job's name
	my $long = enqueue('long', '{"file": "go"}');
	reach($long, 'running', "$name: begins a long job");
	my $first = $node->safe_psql('app', "SELECT lease_expires FROM hotdash._job_running() WHERE id = $long");
	poll_until(sub { $node->safe_psql('app', "SELECT hotdash._now() > timestamptz '$first' + interval '2 s'") eq 't' }, 30, 'leases to pass');
	is(job($long, 'state'), 'running', "$name: renews what takes longer than its lease");

	$worker->signal('TERM');
	append_to_file("$folder/go", '');
	reach($long, 'completed', "$name: finishes it after SIGTERM");
	is(job($long, 'attempt'), 1, "$name: in its first attempt");
	is($worker->stop(30), 0, "$name: and ends well");
	my $after = enqueue('good', '{"n": 1}');
	is(job($after, 'state'), 'ready', "$name: is gone");
	$node->safe_psql('app', "SELECT hotdash.job_cancel($after)");
	return;
}

my $python = place('worker.py', 'handlers.py', <<'PYTHON');
import os, time

def handle(kind, payload):
    if kind == 'bad':
        raise RuntimeError('no such thing')
    while kind == 'long' and not os.path.exists('FOLDER/' + payload['file']):
        time.sleep(0.02)  # busy: polls for the file
    return {'twice': 2 * payload.get('n', 0)}
PYTHON
test_worker('worker.py', $python, '/usr/bin/python3');

my $javascript = place('worker.mjs', 'handlers.mjs', <<'JAVASCRIPT');
import { existsSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';

export async function handle(kind, payload) {
	if (kind === 'bad') throw new Error('no such thing');
	while (kind === 'long' && !existsSync('FOLDER/' + payload.file)) await setImmediate();
	return { twice: 2 * (payload.n ?? 0) };
}
JAVASCRIPT
SKIP:
{
	my $reason = install_pg($javascript);

	skip($reason, 14) if defined $reason;
	test_worker('worker.mjs', $javascript, 'node');
}

is(job($delivery, 'state || attempt'), 'ready0', 'the delivery is as it was');
is($node->safe_psql('app', q{BEGIN; SELECT count(*) FROM hotdash.job_claim(); SELECT count(*) FROM hotdash.job_claim('{webhooks}'); ROLLBACK}), "0\n1", 'a claim gets it by the name of its queue');
is($node->safe_psql('app', q{CALL hotdash.job_wait(wait => '0')}) . $node->safe_psql('app', q{CALL hotdash.job_wait('{webhooks}', '0')}), 'ft', 'and so with a wait');
my $last = enqueue('good', '{"n": 1}');
is($node->safe_psql('app', "SELECT count(*) FROM hotdash.job_claim(worker => 'x') AS c, hotdash.job_next(c.id, c.token)"), 0, 'the next job is none of it either');
my $edge = $node->start_edge('app', { allow_addresses => '127.0.0.0/8' });
poll_until(sub { job($delivery, 'state') eq 'completed' }, 30, 'the edge to send it');
$edge->stop(30);

$node->stop;
done_testing();
