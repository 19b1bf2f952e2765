# Every connection is taken, by workers and by sessions that wait: newcomers are told, the work goes on, the
# launcher and the background worker come back by themselves, and sessions that end while they wait, however
# they end, leave neither a place behind nor a job.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

my $CONNECTIONS = 24;
my $RESERVED = 3;
my $WORKERS = 4;
my $ROUNDS = 6;

my $node = HotDash->cluster('main',
	conf => "max_connections = $CONNECTIONS\nsuperuser_reserved_connections = $RESERVED\nhotdash.worker_role = 'hd_worker'\nhotdash.databases = 'app'\n");
$node->safe_psql('postgres', 'CREATE ROLE hd_worker LOGIN; CREATE ROLE client LOGIN; CREATE ROLE low');
$node->create_db_with_extension('app');
$node->safe_psql('app', <<'SQL');
SELECT hotdash.access_grant('hd_worker', 'worker'), hotdash.access_grant('client', 'worker'), hotdash.access_grant('client', 'producer');
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO client, low;
CREATE TABLE app.effect (job bigint);
CREATE TABLE app.wanted (id bigint, kind text);
GRANT INSERT ON app.effect TO low;
GRANT INSERT ON app.wanted TO client;
CREATE FUNCTION app.work(job jsonb) RETURNS jsonb LANGUAGE sql AS $$ INSERT INTO app.effect VALUES ((job ->> 'id')::bigint) RETURNING NULL::jsonb $$;
SELECT hotdash.queue_set('outside'), hotdash.queue_set('inside'), hotdash.queue_set('nothing');
SELECT hotdash.job_kind_set('outside', queue => 'outside');
SELECT hotdash.job_kind_set('work', handler => 'app.work(jsonb)', run_as => 'low', queue => 'inside');
CREATE PROCEDURE app.serve() LANGUAGE plpgsql AS $$ DECLARE ready bool; BEGIN LOOP
	CALL hotdash.job_wait(ARRAY['outside'], '10 minutes', ready);
	PERFORM hotdash.job_complete(c.id, c.token) FROM hotdash.job_claim(ARRAY['outside']) AS c;
	COMMIT;
END LOOP; END $$;
CREATE PROCEDURE app.enqueue(n int) LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1 .. n LOOP
	INSERT INTO app.wanted SELECT hotdash.job_enqueue(k), k FROM unnest(ARRAY['outside', 'work']) AS k;
	COMMIT;
END LOOP; END $$;
SELECT count(*) FROM hotdash.job_claim();
SQL

my $url = $node->connstr('app') . ' user=client';
my $sessions = 0;

# A session of its own, which has its connection when nobody gets one.
my $admin = $node->session('app');

sub sql { return scalar $admin->query(shift) }

# A client of its own that runs a statement as its name says.
sub client
{
	my ($name, $sql) = @_;
	my $full = $name . ++$sessions;

	return HotDash::Process->start($full, undef, 'psql', '-Xq', '-d', "$url application_name=$full", '-c', $sql);
}

sub server { return map { [ split /\|/, $_, -1 ] } split /\n/, sql("SELECT application_name, pid, coalesce(wait_event_type, '') FROM pg_stat_activity WHERE usename = 'client' AND application_name ~ '^$_[0]'") }

sub asleep { return scalar grep { $_->[2] eq 'Extension' } server($_[0]) }

sub left { return sql(q{SELECT count(*) FROM app.wanted AS w WHERE NOT EXISTS (SELECT FROM hotdash._job_history AS h WHERE h.id = w.id)}) }

sub all_done { my ($what) = @_; poll_until(sub { left() eq '0' }, 60, $what); return pass($what) }

sub background { return sql("SELECT coalesce(max(pid), 0) FROM pg_stat_activity WHERE backend_type = 'hotdash $_[0]'") }

poll_until(sub { sql('SELECT worker_pid FROM hotdash._worker_status()') ne '' }, 60, 'the background worker');
my $producer = $node->background_psql('app', on_error_stop => 0, extra_params => [ '-U', 'client' ]);
my @workers = map { client('serve', 'CALL app.serve()') } 1 .. $WORKERS;
poll_until(sub { asleep('serve') == $WORKERS }, 60, 'the workers to wait');

# Sessions that wait for what never comes take what is left, up to what is reserved
my @idle = map { client('idle', q{CALL hotdash.job_wait(ARRAY['nothing'], '10 minutes')}) } 1 .. $CONNECTIONS;
poll_until(sub { my @running = grep { $_->is_running } @idle; asleep('idle') == @running }, 60, 'the rest to be refused');
my @refused = grep { !$_->is_running } @idle;
cmp_ok(scalar @refused, '>=', $RESERVED + $WORKERS, scalar(@refused) . ' newcomers are refused');
# Those that are being refused have a place meanwhile, so that one may find none at all.
is(scalar(grep { $_->log !~ /FATAL:  (?:remaining connection slots are reserved|sorry, too many clients already)/ } @refused), 0, 'and told why');
is(sql("SELECT backend_type FROM pg_stat_activity WHERE pid = " . background('worker')), 'hotdash worker', 'the background worker runs');

$producer->query('CALL app.enqueue(200)');
all_done('who is there goes on: 400 jobs enqueued and ended');

# The reserved ones are taken too: nobody gets in. Launcher and worker need none of them, and come back when they end
my $taken = sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'});
my @superusers = map { $node->session('app') } $taken + 1 .. $CONNECTIONS;
# not through psql's input, which nobody reads once it is refused
my ($answer, $error) = run_command([ 'psql', '-Xq', '-d', $node->connstr('app'), '-c', 'SELECT 1' ]);
is($answer, '', 'a superuser is refused as well');
like($error, qr/FATAL:  sorry, too many clients already/, 'and told why');
my %before = map { $_ => background($_) } qw(launcher worker);
sql("SELECT pg_terminate_backend($before{$_})") foreach qw(worker launcher);
poll_until(sub { my $now = background($_); $now && $now != $before{$_} }, 60, "the $_ to come back") foreach qw(launcher worker);
pass('launcher and background worker come back while there is no connection to be had');
$producer->query('CALL app.enqueue(50)');
all_done('and everything goes on');

# Room again
$_->quit foreach @superusers;
$_->is_running && $_->kill foreach @idle;
poll_until(sub { !server('idle') }, 60, 'their sessions to end');
is($node->safe_psql('app', 'SELECT 1'), '1', 'there is room when sessions that wait have ended');

# Sessions end while they wait and while they are woken, by all that can end them
foreach my $round (1 .. $ROUNDS)
{
	my @passing = map { client('passing', q{CALL hotdash.job_wait(ARRAY['outside'], '10 minutes')}) } 1 .. 12;

	poll_until(sub { asleep('passing') == 12 }, 60, 'twelve more to wait');
	$producer->query_until(qr/begun/, "\\echo begun\nCALL app.enqueue(60);\n");
	foreach my $i (0 .. 11)
	{
		if ($i % 4 == 0) { $passing[$i]->signal('KILL') }
		elsif ($i % 4 == 1) { $passing[$i]->signal('INT') }
		else { sql("SELECT pg_" . ($i % 4 == 2 ? 'terminate' : 'cancel') . "_backend(pid) FROM pg_stat_activity WHERE application_name = '$passing[$i]{name}'") }
	}
	$producer->query('SELECT 1');
	poll_until(sub { !grep { $_->is_running } @passing }, 60, 'all twelve to be gone');
	poll_until(sub { !server('passing') }, 60, 'and their sessions');
	all_done("round $round: nothing is left lying");
}
poll_until(sub { asleep('serve') == $WORKERS }, 60, 'the workers to wait');
is(sql(q{SELECT waiting FROM hotdash._job_queue_state('outside')}), $WORKERS + 1, 'they and the background worker count as waiting, and nobody else');
is(scalar(grep { !$_->is_running } @workers), 0, 'the workers have been there all along');

is(sql('SELECT count(*) - count(DISTINCT id) FROM hotdash._job_history'), '0', 'nothing ended twice');
is(sql(q{SELECT count(*) || ' ' || count(DISTINCT job) FROM app.effect}), sql(q{SELECT count(*) || ' ' || count(*) FROM app.wanted WHERE kind = 'work'}), 'handlers took effect once');
is(sql('SELECT count(*) FROM hotdash._job_dead'), '0', 'none is dead');
poll_until(sub { sql('CALL hotdash._tick()'); sql(q{SELECT count(*) FROM hotdash._job_memory() WHERE used > 0 OR running <> 0}) eq '0' }, 60, 'memory to be empty');
pass('nothing is left in memory');

$_->quit foreach $producer, $admin;
$_->kill foreach @workers;
$node->stop;
done_testing();
