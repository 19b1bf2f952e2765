# Spans: those of deliveries have the ids that the receiver got; parts of the table come and go while spans are
# being written, without a wait or an error; what is kept survives dump and restore.

use strict;
use warnings FATAL => 'all';

use HotDash;
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $TRACE = '0af7651916cd43dd8448eb211c80319c';
my $node = HotDash->cluster('main');

sub sql
{
	my ($query, $database) = @_;

	return $node->safe_psql($database // 'app', $query);
}

# Tick as if it were some time later than now.
sub tick_in
{
	my ($delay, $database) = @_;

	return sql("SELECT set_config('hotdash.now_override', (hotdash._now() + interval '$delay')::text, false);
		CALL hotdash._tick()", $database);
}

sub parts
{
	return sql(q{SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
		WHERE i.inhparent = 'hotdash._span'::regclass}, shift);
}

$node->create_db_with_extension('app');

# Before anybody ticks
sql(q{SELECT hotdash.span_end(hotdash.span_start('early'))});
is(sql(q{SELECT tableoid::regclass FROM hotdash._span}), 'hotdash._span_0', 'before the first tick spans go to part 0');
tick_in('0');
is(parts(), '_span_0 _span_1', 'which makes a part');
my $session = $node->session('app');
my $span = q{SELECT hotdash.span_end(hotdash.span_start('session')) \g /dev/null
	SELECT max(part) FROM hotdash._span WHERE started_at = (SELECT max(started_at) FROM hotdash._span)};
is($session->query($span), '1', 'and then there');

# Deliveries are spans
my $receiver = HotDash::Process->start('receiver', undef, 'node', "$ENV{HOTDASH_TREE}/edge/test/receiver.mjs");
my $url = poll_until(sub { $receiver->log =~ m{(http://\S+)} ? $1 : undef }, 30, 'the receiver');
sql("SELECT hotdash.endpoint_create('$url/ok', events => '{traced}');
	SELECT hotdash.endpoint_create('$url/status/503', events => '{untraced}', max_attempts => 3, backoff => '{\"type\":\"list\",\"delays\":[\"10ms\"]}')");
sql(qq{BEGIN; SELECT hotdash.trace_set('00-$TRACE-b7ad6b7169203331-01'); SELECT hotdash.event_publish('traced', '1'); COMMIT;
	SELECT hotdash.event_publish('untraced', '2');
	SELECT hotdash.http_request('$url/ok', options => '{"traceparent": "00-${TRACE}-b7ad6b7169203332-01"}');
	SELECT hotdash.http_request('$url/ok', headers => '{"Traceparent": "00-11111111111111111111111111111111-2222222222222222-01"}')});
my $edge = $node->start_edge('app', { allow_addresses => '127.0.0.0/8' });
poll_until(sub { sql('SELECT count(*) FROM hotdash._delivery_attempt') eq '6' }, 60, 'six attempts');
$edge->stop;
my $seen = decode_json(HTTP::Tiny->new->get("$url/_seen")->{content});
my @sent = sort map { $_->{headers}{traceparent} } @$seen;
is(scalar @sent, 6, 'every request carries a traceparent');
@sent = grep { !/^00-1111/ } @sent;
is(scalar @sent, 5, 'one of them the caller\'s own');
is(sql(q{SELECT string_agg(format('00-%s-%s-0%s', trace_id, span_id, CASE WHEN trace_id ^@ '0af' THEN 1 ELSE 3 END), ' ' ORDER BY trace_id, span_id)
	FROM hotdash.spans WHERE name IN ('webhook.delivery', 'http.request')}), join(' ', sort @sent), 'and each other attempt is a span under exactly those ids');
is(sql(qq{SELECT trace_id || ' ' || parent_id || ' ' || kind || ' ' || ok || ' ' || (attributes ->> 'attempt') FROM hotdash.spans
	WHERE attributes ->> 'event_type' = 'traced'}), "$TRACE b7ad6b7169203331 client true 1", 'below the span that published it');
is(sql(q{SELECT trace_id || ' ' || parent_id || ' ' || ok FROM hotdash.spans WHERE name = 'http.request'}), "$TRACE b7ad6b7169203332 true",
	'a request likewise');
is(sql(q{SELECT count(DISTINCT trace_id) || ' ' || count(DISTINCT span_id) || ' ' || count(parent_id) || ' ' || bool_or(ok) FROM hotdash.spans
	WHERE attributes ->> 'event_type' = 'untraced'}), '1 3 0 false', 'of no trace: the attempts are of one, each its own span');
is(sql(q{SELECT string_agg((attributes ->> 'http.response.status_code') || (duration > '0'), ' ') FROM hotdash.spans
	WHERE attributes ->> 'event_type' = 'untraced'}), '503true 503true 503true', 'with status and duration');
$receiver->stop;

# Parts change while eight sessions write
my $script = $node->basedir . '/spans.pgbench';
append_to_file($script, "BEGIN;\nSELECT hotdash.span_start('load') AS span \\gset\nSELECT hotdash.span_end(':span');\nCOMMIT;\n");
my $pgbench = IPC::Run::start([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, '-c', '8', '-j', '2', '-T', '600', '-f', $script, 'app' ],
	'>', \my $out, '2>', \my $err);
poll_until(sub { sql(q{SELECT count(*) FROM hotdash._span WHERE name = 'load'}) > 100 }, 60, 'the load');
tick_in('22 hours');
is(sql(q{SELECT part FROM hotdash._part WHERE family = 'spans' AND closed_at IS NULL}), '2', 'a part is closed after an eighth of the retention, under load');
poll_until(sub { sql(q{SELECT count(*) FROM hotdash._span_2}) > 100 }, 60, 'rows in the next part');
poll_until(sub { tick_in('9 days'); sql(q{SELECT count(*) FROM hotdash.spans WHERE name = 'session'}) eq '0' }, 60, 'the part to be dropped');
my $written = sql(q{SELECT count(*) FROM hotdash._span WHERE name = 'load'});
ok(poll_until(sub { sql(q{SELECT count(*) FROM hotdash._span WHERE name = 'load'}) > $written }, 60, 'more of it'),
	'and dropped when its time has come, while others write');
$pgbench->signal('INT');
$pgbench->finish;
unlike($err, qr/error|aborted/i, 'no writer failed');
is(sql('SELECT count(*) FROM hotdash._span_open'), '0', 'and none of their spans is open');
is($session->query($span), sql(q{SELECT part FROM hotdash._part WHERE family = 'spans' AND closed_at IS NULL}),
	'a session that has written before goes on in the part of now');
$session->quit;

# A reader is not waited for, nor does anybody wait behind the tick
my $reader = $node->session('app');
$reader->query('BEGIN; SELECT count(*) FROM hotdash.spans');
my $before = parts();
tick_in('20 days');
tick_in('30 days');
like(parts(), qr/^\Q$before\E/, 'a reader keeps parts from being dropped');
is(sql('SELECT count(*) FROM pg_locks WHERE NOT granted'), '0', 'and nobody waits');
$reader->query('COMMIT');
$reader->quit;

# Dump and restore
sql(q{SELECT hotdash.span_start('open'); SELECT hotdash.span_end(hotdash.span_start('closed'))});
my $all = q{SELECT string_agg(s::text, chr(10) ORDER BY span_id) FROM hotdash.spans s};
my $dump = PostgreSQL::Test::Utils::tempdir() . '/app.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'app' ], 'pg_dump');
sql('CREATE DATABASE restored TEMPLATE template0', 'postgres');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'pg_restore without an error');
is(sql($all, 'restored'), sql($all), 'all spans are there');
is(parts('restored'), parts(), 'in the same parts');
is(sql(q{SELECT string_agg(DISTINCT amname, ',') FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
	WHERE i.indrelid::regclass::text LIKE 'hotdash.\_span\__'}, 'restored'), 'brin', 'with their indexes');
my $was = parts('restored');
tick_in('400 days', 'restored');
is(parts('restored'), $was, 'a copy drops nothing while it is paused');

# Going away
is($node->psql('app', 'DROP EXTENSION hotdash'), 0, 'DROP EXTENSION needs no CASCADE');
is(sql(q{SELECT count(*) FROM pg_class WHERE relname LIKE '\_span%'}), '0', 'and takes the parts along');
is($node->psql('app', q{CREATE EXTENSION hotdash; SELECT hotdash.span_end(hotdash.span_start('again'))}), 0, 'it can be created again');

$node->stop;
done_testing();
