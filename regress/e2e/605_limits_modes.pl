# Rate limits where not everything is there: on a standby and after its promotion, without the library in memory, with
# more limits than the book has room for, and in a copy of the database.

use strict;
use warnings FATAL => 'all';

use HotDash;
use Test::More;

my $node = HotDash->cluster('main', streaming => 1, conf => "hotdash.limit_policies = 16\nmax_prepared_transactions = 5");
$node->create_db_with_extension('app');
$node->safe_psql('app', q{
	CREATE ROLE asker LOGIN; SELECT hotdash.access_grant('asker', 'producer');
	SELECT hotdash.limit_set('day', 3, '1 day')});

sub ask { my ($where, $key, $limit) = @_; $limit //= 'day'; return $where->safe_psql('app', "SELECT concat_ws(' ', allowed, quota, remaining) FROM hotdash.limit_take('$limit', '$key')") }

# A standby has buckets of its own, and the primary's limits
$node->backup('b');
my $standby = HotDash->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
my $reader = $standby->background_psql('app');
is(join(' ', map { ask($node, 'k') =~ /^(.)/ } 1 .. 4), 't t t f', 'the primary grants three');
is(join(' ', map { scalar $reader->query(q{SELECT hotdash.limit_allow('day', 'k')}) } 1 .. 4), 't t t f', 'so does a standby, which cannot write');
$node->safe_psql('app', q{SELECT hotdash.limit_set('day', 5, '1 day')});
$node->wait_for_catchup($standby, 'replay');
is($reader->query(q{SELECT quota || ' ' || remaining FROM hotdash.limit_take('day', 'k')}), '5 1', 'a change reaches a session there once it is replayed');
$node->safe_psql('app', q{SELECT hotdash.limit_set('new', 1, '1 day')});
$node->wait_for_catchup($standby, 'replay');
is(ask($standby, 'k', 'new'), 't 1 0', 'and a limit that is new');
$node->safe_psql('app', q{SELECT hotdash.limit_delete('new')});
$node->wait_for_catchup($standby, 'replay');
is($standby->sqlstate('app', q{SELECT hotdash.limit_allow('new', 'k')}), '42704', 'or gone');
is($standby->sqlstate('app', q{SELECT hotdash.limit_set('x', 1, '1 day')}), '25006', 'limits are defined on the primary');
$standby->promote;
poll_until(sub { $standby->safe_psql('app', 'SELECT pg_is_in_recovery()') eq 'f' }, 60, 'the promotion');
is(ask($standby, 'k'), 't 5 0', 'promoted, it goes on with what it granted');
$standby->safe_psql('app', q{SELECT hotdash.limit_set('day', 7, '1 day')});
is($reader->query(q{SELECT quota FROM hotdash.limit_take('day', 'k')}), '7', 'and a session of before sees what changes');
$reader->quit;
$standby->stop;

# More limits than the book holds: the others are read and kept by each session, and counted together
$node->safe_psql('app', q{SELECT hotdash.limit_set('l' || i, i, '1 day') FROM generate_series(1, 40) AS i});
is($node->safe_psql('app', q{SELECT count(*) FILTER (WHERE quota = i AND remaining = i - 1) FROM generate_series(1, 40) AS i, hotdash.limit_take('l' || i, 'k')}), '40', '40 limits in a book of 16');
is($node->safe_psql('app', q{SELECT count(*) FROM hotdash._limit_counts()}), '16', 'which counts those that it has');
my $session = $node->session('app');
is($session->query(q{SELECT quota FROM hotdash.limit_take('l39', 'k')}), '39', 'one that it has not');
$node->safe_psql('app', q{SELECT hotdash.limit_set('l39', 390, '1 day')});
is($session->query(q{SELECT quota FROM hotdash.limit_take('l39', 'k')}), '390', 'changes for other sessions');
is($session->query(q{SET ROLE asker; SELECT quota FROM hotdash.limit_take('l40', 'k')}), '40', 'a role that may only ask needs no right to the table');
is($node->sqlstate('app', q{SET ROLE asker; SELECT hotdash.limit_set('mine', 1, '1 s')}), '42501', 'nor has it any');

# Changes in the middle of a statement
my $asked = q{SELECT allowed FROM hotdash._limit_counts() WHERE name = 'day'};
my $before = $node->safe_psql('app', $asked);
$session->query_until(qr/begun/, qq{\\echo begun\nRESET ROLE; SELECT count(DISTINCT quota) FROM (SELECT (hotdash.limit_take('day', 'k' || i)).quota FROM generate_series(1, 5000000) AS i) AS s;\n});
poll_until(sub { $node->safe_psql('app', $asked) > $before }, 60, 'the statement to ask');
$node->safe_psql('app', q{SELECT hotdash.limit_set('day', 6, '1 day')});
is($session->query(''), '2', 'a change counts from the next call on, in a statement that runs already');
$session->quit;

# A copy of the database has the limits, and presets that were not changed come from the extension
$node->safe_psql('app', q{SELECT hotdash.limit_set('api', 7, '1 min')});
my $dump = $node->basedir . '/app.sql';
PostgreSQL::Test::Utils::system_or_bail('pg_dump', '-f', $dump, $node->connstr('app'));
$node->safe_psql('postgres', 'CREATE DATABASE copy');
PostgreSQL::Test::Utils::system_or_bail('psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', $dump, $node->connstr('copy'));
is($node->safe_psql('copy', q{SELECT string_agg(quota::text, ' ') FROM unnest('{api,auth,l39}'::text[]) AS n, hotdash.limit_take(n, 'k')}), '7 5 390', 'a copy has the same limits');

# The clock of the machine is set back, and forward
$node->safe_psql('app', q{SELECT hotdash.limit_set(l, 2, '1 h', algorithm => a) FROM (VALUES ('c gcra', 'gcra'), ('c log', 'log'), ('c window', 'window')) AS v (l, a)});
my $each = q{SELECT string_agg((SELECT string_agg(left((hotdash.limit_allow(l, 'k', 1 + 0 * i))::text, 1), '') FROM generate_series(1, 3) AS i), ' ') FROM unnest('{c gcra,c log,c window}'::text[]) AS l};
is($node->safe_psql('app', $each), 'ttf ttf ttf', 'two of each');
$node->set_clock(-7200);
is($node->safe_psql('app', $each), 'fff fff fff', 'two hours back: nothing is granted again');
is($node->safe_psql('app', q{SELECT count(*) FROM unnest('{c gcra,c log,c window}'::text[]) AS l, hotdash.limit_take(l, 'k') WHERE retry_after > 7200 AND retry_after <= 10800}), '3', 'and the waits reckon with it');
is($node->safe_psql('app', q{SELECT string_agg(hotdash.limit_allow(l, 'fresh')::text, ' ') FROM unnest('{c gcra,c log,c window}'::text[]) AS l}), 'true true true', 'new keys are served');
$node->set_clock(3600);
is($node->safe_psql('app', $each), 'ttf ttf ttf', 'an hour ahead: two of each');
$node->set_clock(0);

# Without the library in memory
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
is(join(', ', map { ask($node, 'k', $_) } qw(l5 auth)), 't 5 5, t 5 5', 'without it all is allowed');
is($node->safe_psql('app', q{SELECT concat_ws(' ', hotdash.limit_take_all('{l5,auth}', 'k'), hotdash.limit_take_many('l5', '{a,b}'), hotdash.limit_refund('l5', 'k', 1), hotdash.limit_reset('l5', 'k'))}), 't {t,t} 0 ', 'in all ways to ask');
is($node->sqlstate('app', q{SELECT hotdash.limit_allow('nobody', 'k')}), '42704', 'but for a limit that is not there');
is($node->safe_psql('app', q{SET hotdash.limit_on_failure = closed; SELECT concat_ws(' ', allowed, remaining, retry_after > 0) FROM hotdash.limit_take('l5', 'k')}), 'f 0 t', 'or nothing, as the setting says');
$node->safe_psql('app', q{SELECT hotdash.limit_set('l5', 5, '1 day', options => '{"on_failure": "closed"}'), hotdash.limit_set('l6', 5, '1 day', options => '{"on_failure": "open"}')});
is($node->safe_psql('app', q{SELECT concat_ws(' ', hotdash.limit_allow('l5', 'k'), hotdash.limit_allow('l6', 'k'), hotdash.limit_take_all('{l6,l5}', 'k'))}), 'f t f', 'or as the limit does');
is($node->safe_psql('app', q{SET hotdash.limit_on_failure = closed; SELECT allowed FROM hotdash.limit_take_with('k', 1, '1 s')}), 'f', 'one that nobody stored too');

$node->stop;
done_testing();
