#!/usr/bin/perl
#
# http_request through a real edge: what is sent, what is kept of the answer and for how long, and what
# happens without one.

use strict;
use warnings FATAL => 'all';

use FindBin;
use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('requests');
$node->create_db_with_extension('app');
my $receiver =
  HotDash::Process->start('receiver', undef, 'node', '--max-http-header-size=1048576', "$ENV{HOTDASH_TREE}/edge/test/receiver.mjs");
my $url = poll_until(sub { $receiver->log =~ m{(http://\S+)} && $1 }, 30, 'the receiver');

sub sql { return $node->safe_psql('app', shift) }
sub state_of { my ($id) = @_; return sql("SELECT (hotdash.http_response($id)).state") }

# Ask, and wait for the end.
sub ask
{
	my ($arguments) = @_;

	my $id = sql("SELECT hotdash.http_request($arguments)");
	poll_until(sub { state_of($id) =~ /completed|dead/ }, 60, "the end of $arguments");
	return $id;
}

my $early = sql("SELECT hotdash.http_request('$url/ok')");
is(state_of($early), 'ready', 'it waits for an edge');
my $rolled = sql("BEGIN; SELECT hotdash.http_request('$url/rolled'); ROLLBACK");
my $edge = $node->start_edge('app', { allow_addresses => '127.0.0.0/8', 'max_response_bytes' => '2MB' });
poll_until(sub { state_of($early) eq 'completed' }, 60, 'the first answer');
is(sql("SELECT status, convert_from(body, 'UTF8'), error IS NULL, duration_ms > 0 FROM hotdash.http_response($early)"), '200|ok|t|t', 'with its answer');

subtest 'what is sent' => sub {
	my $id = ask("'$url/json/x?a=%20b', headers => '{\"X-Key\": \"s3cr3t\", \"Content-Type\": \"text/x\"}', body => '\\x0001ff', options => '{\"traceparent\": \"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"}'");
	my ($seen) = grep { $_->{path} eq '/json/x?a=%20b' } @{ decode_json(HTTP::Tiny->new->get("$url/_seen")->{content}) };
	is($seen->{method}, 'POST', 'a body makes it a POST');
	is($seen->{body}, 'AAH/', 'sent byte for byte');
	is($seen->{headers}{'x-key'} . $seen->{headers}{'content-type'}, 's3cr3ttext/x', 'with its headers');
	like($seen->{headers}{traceparent}, qr/^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-01$/, 'in its trace, under an id of its own');
	is(sql("SELECT hotdash.http_response_json($id) -> 'n' ->> 1"), 2, 'the answer as JSON');
	is(sql("SELECT headers ->> 'content-type', headers ->> 'x-twice', headers ->> 'set-cookie' FROM hotdash.http_response($id)"),
		"application/json|a, b|c=1\nd=2", 'and its headers');
	is(sql("SELECT count(*) FROM hotdash.delivery_attempts WHERE delivery_id = $id AND remote_ip = '127.0.0.1' AND sent_at <= finished_at"), 1, 'the attempt is in the log');
	# The most that may be asked for, in number and in bytes: so much the edge can send.
	foreach my $most ([ 200, 1000 ], [ 32, 8180 ])
	{
		my ($count, $length) = @$most;
		my $id = ask("'$url/json/most$count', headers => (SELECT jsonb_object_agg('X-' || i, repeat('v', $length)) FROM generate_series(1, $count) AS i)");
		is(sql("SELECT state, status FROM hotdash.http_response($id)"), 'completed|200', "$count headers of $length bytes");
		my ($seen) = grep { $_->{path} eq "/json/most$count" } @{ decode_json(HTTP::Tiny->new->get("$url/_seen")->{content}) };
		is(length(join '', map { $seen->{headers}{"x-$_"} } 1 .. $count), $count * $length, 'all of them');
	}
	my $other = ask("'$url/ok', 'delete'");
	is(scalar(grep { $_->{method} eq 'DELETE' } @{ decode_json(HTTP::Tiny->new->get("$url/_seen")->{content}) }), 1, 'any method');
	is(ask("'$url/ok', 'HEAD'") && 'ended', 'ended', 'HEAD has no body to wait for');
	is(scalar(grep { $_->{path} eq '/rolled' } @{ decode_json(HTTP::Tiny->new->get("$url/_seen")->{content}) }), 0, 'what was rolled back was not sent');
};

subtest 'answers' => sub {
	is(sql('SELECT state, status FROM hotdash.http_response(' . ask("'$url/status/404'") . ')'), 'completed|404', '404 is an answer');
	is(sql('SELECT state, status FROM hotdash.http_response(' . ask("'$url/status/410'") . ')'), 'completed|410', 'so is 410');
	is(sql('SELECT state, status FROM hotdash.http_response(' . ask("'$url/redirect'") . ')'), 'completed|302', 'a redirect is not followed');
	is(sql('SELECT state, status FROM hotdash.http_response(' . ask("'$url/status/503', max_attempts => 2, options => '{\"backoff\": {\"type\": \"fixed\", \"base\": \"0.1s\"}}'") . ')'),
		'dead|503', '503 is tried again, and kept when the attempts are used up');
	my $big = ask("'$url/big/300000', options => '{\"max_response\": 200000}'");
	is(sql("SELECT error FROM hotdash.http_response($big)"), q(the body is not whole: the answer's body is longer than the request wanted), 'which the answer says');
	is(sql("SELECT octet_length(body), (SELECT truncated FROM hotdash.delivery_attempts WHERE delivery_id = $big) FROM hotdash.http_response($big)"), '200000|t', 'a body is cut where asked');
	is(sql("SELECT error FROM hotdash.delivery_attempts WHERE delivery_id = $big"), q(the answer's body is longer than the request wanted), 'and not for what a setting of the edge says');
	is(sql('SELECT octet_length(body) FROM hotdash.http_response(' . ask("'$url/big/1000000', options => '{\"max_response\": 1048576}'") . ')'), 1000000, 'a megabyte comes whole');
	is(sql('SELECT octet_length(body) FROM hotdash.http_response(' . ask("'$url/big/0'") . ')'), 0, 'an empty body is one');
	is(sql('SELECT hotdash.http_response_json(' . ask("'$url/ok'") . ') IS NULL'), 't', 'what is no JSON is none');
	my @many = map { sql("SELECT hotdash.http_request('$url/big/100000', options => '{\"max_response\": 100000}')") } 1 .. 60;
	poll_until(sub { sql("SELECT count(*) FROM hotdash._http_request WHERE octet_length(answer_body) = 100000") == 60 }, 60, 'sixty large answers at once');
};

subtest 'no answer' => sub {
	my $id = ask("'http://127.0.0.1:" . free_port() . "/', max_attempts => 1");
	is(sql("SELECT state, status, body IS NULL, error LIKE 'connect: %' FROM hotdash.http_response($id)"), 'dead||t|t', 'dead, with the reason');
	is(sql('SELECT state, error FROM hotdash.http_response(' . ask("'http://10.0.0.1/', max_attempts => 1") . ')') =~ s/:.*//r, 'dead|blocked', 'private addresses are refused');
};

subtest 'kept for a time' => sub {
	my $id = ask("'$url/ok', options => '{\"keep\": \"1s\"}'");
	my $kept = ask("'$url/ok'");
	poll_until(sub { sql('CALL hotdash._tick()'); $node->sqlstate('app', "SELECT hotdash.http_response($id)") eq '42704' }, 60, 'the end of what is kept for a second');
	is(state_of($kept), 'completed', 'what is kept for a day is there');
	is(sql("SELECT count(*) FROM hotdash._http_request WHERE id = $id"), 0, 'nothing is left of the other');
	is(sql("SELECT status FROM hotdash.delivery_attempts WHERE delivery_id = $id"), 200, 'but its attempt');
};

subtest 'refused' => sub {
	my @cases = (
		[ q(NULL), '22004' ], [ q('ftp://x/'), '22023' ], [ q('http://u:p@x/'), '22023' ], [ q('http://x/', 'BREW'), '22023' ],
		[ q('http://x/', 'GET', body => 'x'), '22023' ], [ q('http://x/', headers => '[]'), '22023' ], [ q('http://x/', headers => '{"Host": "y"}'), '22023' ],
		[ q('http://x/', headers => '{"A b": "y"}'), '22023' ], [ q('http://x/', headers => '{"A": "y\r\nB: z"}'), '22023' ], [ q('http://x/', headers => '{"A": 1}'), '22023' ],
		[ q('http://x/', headers => (SELECT jsonb_object_agg('X-' || i, '') FROM generate_series(1, 201) AS i)), '22023' ],
		[ q('http://x/', headers => (SELECT jsonb_object_agg('X-' || i, repeat('v', 8000)) FROM generate_series(1, 33) AS i)), '22023' ],
		[ q('http://x/', headers => '{"A": "1", "a": "2"}'), '22023' ], [ q('http://x/', timeout => '61 s'), '22023' ], [ q('http://x/', timeout => '0'), '22023' ],
		[ q('http://x/', max_attempts => 0), '22023' ], [ q('http://x/', options => '{"x": 1}'), '22023' ], [ q('http://x/', options => '{"keep": "-1 s"}'), '22023' ],
		[ q('http://x/', options => '{"max_response": 0}'), '22023' ], [ q('http://x/', options => '{"retry_statuses": [200]}'), '22023' ],
		[ q('http://x/', body => decode(repeat('00', 1024 * 1024 + 1), 'hex')), '54000' ]);
	is($node->sqlstate('app', "SELECT hotdash.http_request($_->[0])"), $_->[1], $_->[0]) foreach @cases;
	is($node->sqlstate('app', 'SELECT hotdash.http_response(-1)'), '42704', 'an unknown request');
	my $theirs = sql("SELECT hotdash.http_request('$url/ok', options => '{\"tenant\": \"a\"}')");
	is($node->sqlstate('app', "SET hotdash.tenant = 'b'; SELECT hotdash.http_response($theirs)"), '42704', 'nor that of another tenant');
};

is($edge->stop, 0, 'the edge stops in order');
done_testing();
