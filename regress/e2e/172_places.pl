# Places of limits: 64 sessions take and give back at random while they terminate one another; never do more hold one than
# may, and in the end all are free. Then the ways in which a session ends, a crash, an area that is full, another
# database, another user, a standby, a server without the library.
#
# The witness: who has a place of a key takes an advisory lock on one of as many numbers as the key has places,
# and finds one free unless too many hold one. A session that dies gives up its locks before its places.

use strict;
use warnings FATAL => 'all';

use HotDash;
use IPC::Run;
use Test::More;

my $CLIENTS = 64;
my $ROUNDS = $ENV{HOTDASH_ROUNDS} // 8;

my $node = HotDash->cluster('main', streaming => 1, conf => "max_connections = 150\nhotdash.databases = 'none'");
$node->create_db_with_extension('app');
$node->safe_psql('app', <<'SQL');
CREATE TABLE key (n int PRIMARY KEY, places int);
INSERT INTO key VALUES (1, 1), (2, 3), (3, 20), (4, 40);
SELECT hotdash.limit_set('w' || n, places, NULL, algorithm => 'concurrency') FROM key;
SELECT hotdash.limit_set('two', 2, NULL, algorithm => 'concurrency');
CREATE SEQUENCE taken;
CREATE SEQUENCE refused;
CREATE SEQUENCE too_many;
CREATE SEQUENCE lost;
CREATE SEQUENCE terminated;

-- A free number of a key, locked until it is unlocked.
CREATE FUNCTION witness(k int, places int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. places LOOP
		IF pg_try_advisory_lock(k, i) THEN
			RETURN i;
		END IF;
	END LOOP;
	PERFORM nextval('too_many');
	RETURN NULL;
END
$$;

-- Each session holds at most one place of each key, but of several keys at once.
CREATE FUNCTION work(steps int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	held int[] := '{0, 0, 0, 0}';
	k int;
BEGIN
	FOR i IN 1 .. steps LOOP
		k := 1 + floor(random() * 4);
		IF held[k] > 0 THEN
			PERFORM pg_advisory_unlock(k, held[k]);
			held[k] := 0;
			IF NOT hotdash.limit_release('w' || k, 'key') THEN
				PERFORM nextval('lost');
			END IF;
		ELSIF hotdash.limit_acquire('w' || k, 'key') THEN
			PERFORM nextval('taken');
			held[k] := witness(k, (SELECT places FROM key WHERE n = k));
		ELSE
			PERFORM nextval('refused');
		END IF;
		IF random() < 0.0005 THEN
			PERFORM nextval('terminated'), pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity
				WHERE application_name = 'client' ORDER BY random() LIMIT 1) AS victim;
		END IF;
	END LOOP;
	FOR k IN 1 .. 4 LOOP
		IF held[k] > 0 THEN
			PERFORM pg_advisory_unlock(k, held[k]);
			PERFORM nextval('lost') WHERE NOT hotdash.limit_release('w' || k, 'key');
		END IF;
	END LOOP;
END
$$;
SQL

sub held { return $node->safe_psql('app', "SELECT count(*) FROM hotdash.limit_places WHERE name ~ '" . ($_[0] // '') . "'") }
sub count_of { return $node->safe_psql('app', "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM $_[0]") }
sub get { return ($_[0]->query("SELECT hotdash.limit_acquire('" . ($_[1] // 'two') . "', 'k')")) =~ /t/ ? 1 : 0 }
sub give { return ($_[0]->query("SELECT hotdash.limit_release('" . ($_[1] // 'two') . "', 'k')")) =~ /t/ ? 1 : 0 }
sub pid_of { return ($_[0]->query('SELECT pg_backend_pid()')) =~ /(\d+)/ ? $1 : die 'no pid' }
sub get_once { return $node->safe_psql('app', "SELECT hotdash.limit_acquire('two', 'k')") }

# In transactions that commit and in such that do not. A client that is terminated ends, and the others go on; the
# program itself is killed in some of the rounds.
sub script
{
	my ($name, $sql) = @_;
	my $file = $node->basedir . "/$name.sql";

	PostgreSQL::Test::Utils::append_to_file($file, $sql);
	return $file;
}
my @scripts = map { ('-f', $_) } script('kept', 'SELECT work(300);'), script('undone', "BEGIN;\nSELECT work(300);\nROLLBACK;\n");
for my $round (1 .. $ROUNDS)
{
	my ($out, $err) = ('', '');
	my $pgbench = IPC::Run::start([ 'pgbench', '-n', '-c', $CLIENTS, '-j', '2', '-t', '8', @scripts, $node->connstr('app') . ' application_name=client' ],
		'<', \undef, '>', \$out, '2>', \$err);
	if ($round % 4 == 0)
	{
		my $before = count_of('taken');
		poll_until(sub { count_of('taken') > $before + 1000 || !$pgbench->pumpable }, 60, 'the round to be under way');
		$pgbench->kill_kill(grace => 0);
	}
	eval { $pgbench->finish };
	poll_until(sub { $node->safe_psql('app', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'client'") eq '0' }, 60, 'the sessions to end');
}
is(count_of('too_many'), '0', 'never did more sessions hold a place than there are');
is(count_of('lost'), '0', 'nobody gave back another session\'s');
poll_until(sub { held() eq '0' }, 60, 'the places of the last ones to be free');
is($node->safe_psql('app', q{SELECT string_agg(places || ' of ' || (SELECT count(*) FROM generate_series(1, 50) WHERE hotdash.limit_acquire('w' || n, 'key')), ', ' ORDER BY n) FROM key}),
	'1 of 1, 3 of 3, 20 of 20, 40 of 40', 'all of them are free in the end, and no more');
cmp_ok(count_of('terminated'), '>=', 10, 'of ' . count_of('taken') . ' takings and ' . count_of('refused') . ' refusals, while sessions were terminated');
cmp_ok(count_of('taken'), '>', 5000, 'enough to tell');
cmp_ok(count_of('refused'), '>', 1000, 'and refused');

# The ways in which a session ends
my $first = $node->session('app');
my $second = $node->session('app');
is(get($first) . get($first) . get($second), '110', 'one session has both places');
$node->safe_psql('app', 'SELECT pg_terminate_backend(' . pid_of($first) . ')');
poll_until(sub { get($second) }, 60, 'a place of a session that was terminated');
is(held('two'), '1', 'terminated: both are free, and one is taken again');
$first->{run}->finish;

$first = $node->session('app');
$first->query('BEGIN');
is(get($first) . get($first), '10', 'taken in a transaction');
$first->{run}->kill_kill(grace => 0);
poll_until(sub { held('two') eq '1' }, 60, 'the place of a client that has gone');
is(get_once(), 't', 'a client is gone: its place is free');

$first = $node->session('app');
is(get($first), 1, 'one place');
$first->query('BEGIN; CREATE TEMPORARY TABLE t (); ROLLBACK; BEGIN');
is(get($first, 'w1'), 1, 'and another limit\'s in a transaction');
$first->query("PREPARE TRANSACTION 'p'");
$first->quit;
poll_until(sub { held() eq '1' }, 60, 'the places of a session that quit');
is(held('w1'), '0', 'a prepared transaction keeps none');
$node->safe_psql('app', "COMMIT PREPARED 'p'");

# Another user's are not given back, neither is another database's taken
$node->safe_psql('app', q{CREATE ROLE other LOGIN; SELECT hotdash.access_grant('other', 'producer')});
is($node->safe_psql('app', "SELECT hotdash.limit_acquire('two', 'k'), hotdash.limit_release('two', 'k'), hotdash.limit_release('two', 'k')", connstr => $node->connstr('app') . ' user=other'),
	't|t|f', 'a producer holds places, and gives back no superuser\'s');
$node->create_db_with_extension('next');
$node->safe_psql('next', q{SELECT hotdash.limit_set('two', 2, NULL, algorithm => 'concurrency')});
is($node->safe_psql('next', q{SELECT count(*) FROM generate_series(1, 5) WHERE hotdash.limit_acquire('two', 'k')}), '2', 'a key in one database is another in the next');
is($node->safe_psql('next', 'SELECT count(*) FROM hotdash.limit_places'), '0', 'which does not see the first one\'s');
my $next = $node->session('next');
is(get($next) . get($next) . get($next), '110', 'held');
$next->query(q{DROP EXTENSION hotdash; CREATE EXTENSION hotdash; SELECT hotdash.limit_set('two', 2, NULL, algorithm => 'concurrency')});
is($next->query('SELECT count(*) FROM hotdash.limit_places'), '0', 'after CREATE EXTENSION there are none of them');
is(get($next) . get($next) . get($next), '110', 'and all are free');
$next->quit;
is(held('two'), '1', 'none of which is seen in the first');

# A standby has its own
$node->backup('base');
my $standby = HotDash->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
is($standby->safe_psql('app', q{SELECT count(*) FROM generate_series(1, 5) WHERE hotdash.limit_acquire('two', 'k')}), '2', 'a standby has places');
is($standby->safe_psql('app', q{SELECT hotdash.limit_acquire('two', 'k'), hotdash.limit_release('two', 'k'), (SELECT count(*) FROM hotdash.limit_places)}), 't|t|0',
	'which are given back there');
$standby->stop;

# kill -9 of a backend and of the postmaster
is(get_once() . held('two'), 't1', 'one place is held before a crash');
$node->kill_backend('app');
is(held(), '0', 'none after it');
$second->{run}->finish;
$second = $node->session('app');
is(get($second) . get($second) . get($second), '110', 'a session after it has them');
$second->{run}->kill_kill(grace => 0);
$node->kill_postmaster;
is(held(), '0', 'none after the postmaster\'s end');

# Sixteen places
$node->append_conf('postgresql.conf', 'hotdash.limit_places = 16');
$node->restart;
is($node->safe_psql('app', q{SELECT count(*) FROM generate_series(1, 20) WHERE hotdash.limit_acquire('w4', 'k')}), '20', 'beyond the memory that there is, all go on');
is($node->safe_psql('app', q{SELECT hotdash.health() #>> '{checks,limits,places_full}'}), '4', 'which is counted');
is($node->safe_psql('app', q{SELECT allowed, failed FROM hotdash._limit_counts() WHERE name = 'w4'}), '20|4', 'of the limit too');
is($node->safe_psql('app', q{SET hotdash.limit_on_failure = 'closed'; SELECT count(*) FROM generate_series(1, 20) AS i WHERE hotdash.limit_acquire('w4', 'k' || i)}), '16', 'or none, as the setting says');
is($node->safe_psql('app', q{SELECT hotdash.limit_set('own', 40, NULL, algorithm => 'concurrency', options => '{"on_failure": "closed"}');
	SELECT count(*) FROM generate_series(1, 20) AS i WHERE hotdash.limit_acquire('own', 'k')}) =~ /(\d+)/ ? $1 : '', '16', 'or the limit');
is($node->safe_psql('app', q{SELECT count(*) FROM generate_series(1, 1000) AS i WHERE hotdash.limit_acquire('two', 'k' || i) AND hotdash.limit_release('two', 'k' || i)}), '1000', 'a thousand keys, one after the other');
is($node->safe_psql('app', q{SELECT hotdash.health() #>> '{checks,limits,places_full}'}), '12', 'need no more');

# Without the library
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is($node->safe_psql('app', q{SELECT hotdash.limit_acquire('two', 'k'), hotdash.limit_release('two', 'k'), hotdash.limit_headers('two', 'k') ->> 'X-RateLimit-Remaining', (SELECT count(*) FROM hotdash.limit_places)}),
	't|f|2|0', 'unpreloaded: all go on, and nobody holds anything');
is($node->safe_psql('app', q{LOAD 'hotdash'; SET hotdash.limit_on_failure = 'closed'; SELECT hotdash.limit_acquire('two', 'k')}), 'f', 'or nobody does');
is($node->sqlstate('app', q{SELECT hotdash.limit_release('no such limit', 'k')}), '42704', 'a limit that is not there is an error all the same');
is($node->safe_psql('app', q{SELECT hotdash.client_key('1.2.3.4')}), '1.2.3.4', 'clients have keys');

done_testing();
