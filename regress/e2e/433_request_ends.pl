#!/usr/bin/perl
#
# However a request of http_request ends, its row, which holds its headers and body, goes when the answer has been kept for
# long enough, and not before; its attempts stay. Dead ones can be retried. This test is the edge, and the clock is moved.

use strict;
use warnings FATAL => 'all';

use FindBin;
use MIME::Base64 qw(encode_base64);
use Test::More;

use lib $FindBin::RealBin;
use HotDash;

my $node = HotDash->cluster('ends');
my $db = $node->create_db_with_extension('app');
$node->safe_psql($db, q{SELECT hotdash.edge_hello(1, 'test', '0')});

sub sql { return $node->safe_psql($db, shift) }

my $hosts = 0;

# To a host of its own, so that no breaker is in the way.
sub ask
{
	my ($arguments, %options) = @_;

	my $options = join ', ', map { qq("$_": "$options{$_}") } sort keys %options;
	$hosts++;
	return sql(qq[SELECT hotdash.http_request('http://h$hosts.test/', headers => '{"Authorization": "s3cr3t"}', options => '{$options}'$arguments)]);
}

sub claim { return map { [ split /\|/ ] } split /\n/, sql(q{SELECT id, token FROM hotdash.edge_claim('test', 512)}) }

# Nobody tells what became of what is claimed; it is tried again when its lease has ended.
sub lose_leases
{
	$node->pass_time(200);
	sql('CALL hotdash._tick()');
	return;
}

sub claim_again
{
	lose_leases();
	$node->pass_time(200);
	return claim();
}

# Reports are pairs of a claim and how it ended.
sub report
{
	my @results;

	while (my ($claim, $more) = splice @_, 0, 2) { push @results, qq({"id":"$claim->[0]","token":"$claim->[1]","sent":true,"total_us":5000,$more}) }
	return sql("SELECT string_agg(state, ' ') FROM hotdash.edge_report('test', '[" . join(',', @results) . "]')");
}

sub answer { my ($status, $body) = @_; return qq("class":"http","status":$status,"excerpt":") . encode_base64($body // 'a', '') . '"' }
my $TIMEOUT = q("class":"timeout");

sub response { my ($id) = @_; return sql("SELECT state, status, convert_from(body, 'UTF8') FROM hotdash.http_response($id)") }
sub kept { my ($id) = @_; return sql("SELECT count(*) FROM hotdash._http_request WHERE id = $id") }
sub job_state { my ($id) = @_; return sql("SELECT state FROM hotdash.jobs WHERE id = $id") }

# What an hour of ticks does.
sub settle { sql('SELECT count(hotdash._http_settle(i)) FROM generate_series(0, 59) AS i'); return }
sub tidy { sql('SELECT hotdash._webhooks_tidy()'); return }

# The row is there for all of its time, and then it is not.
sub goes
{
	my ($id, $what) = @_;

	settle();
	$node->pass_time(86390);
	tidy();
	is(kept($id), 1, "$what: kept");
	$node->pass_time(20);
	tidy();
	is(kept($id), 0, "$what: and gone");
	is($node->sqlstate($db, "SELECT hotdash.http_response($id)"), '42704', "$what: 42704");
	return;
}

subtest 'cancelled' => sub {
	my $id = ask('');
	is(sql("SELECT hotdash.job_cancel($id)"), 't', 'cancelled');
	is(response($id), 'cancelled||', 'as its state says');
	goes($id, 'cancelled');
};

subtest 'found by the ticks of an hour' => sub {
	my $id = ask('', keep => '1s');
	sql("SELECT hotdash.job_cancel($id)");
	my $minute = sql(q{SELECT extract(minute FROM hotdash._now())::int});
	$node->pass_time((($id % 60 - $minute) % 60) * 60);
	tidy();
	$node->pass_time(2);
	tidy();
	is(kept($id), 0, 'in its minute');
};

subtest 'past its time behind a host that asked for a pause' => sub {
	my $first = ask('', max_age => '2 hours');
	my ($claim) = claim();
	is(report($claim, answer(429) . ',"retry_after":"80000"'), 'scheduled', 'a day of pause');
	my $second = sql("SELECT hotdash.http_request('http://h$hosts.test/', options => '{\"max_age\": \"1 hour\"}')");
	$node->pass_time(3500);
	settle();
	is(response($second), 'ready||', 'not before its time');
	$node->pass_time(200);
	settle();
	is(response($second), 'dead||', 'then it is dead');
	is(sql("SELECT reason FROM hotdash.dead_jobs WHERE id = $second"), 'expired', 'with the reason');
	$node->pass_time(4000);
	settle();
	is(job_state($first), 'dead', 'so is the one that waited to be tried again');
	is(response($first), 'dead|429|a', 'its answer is there');
	goes($first, 'expired');
};

subtest 'its edge is killed once too often' => sub {
	my $id = ask(', max_attempts => 1');
	my @lost = claim();
	is(scalar(@lost), 1, 'claimed');
	lose_leases();
	is(job_state($id), 'dead', 'dead with its lease');
	is(response($id), 'dead||', 'without an answer');
	isnt(sql("SELECT error FROM hotdash.http_response($id)"), '', 'but with a reason');
	goes($id, 'lease lost');
};

subtest 'an answer that comes late' => sub {
	my $dead = ask(', max_attempts => 1');
	my ($late) = claim();
	lose_leases();
	is(response($dead), 'dead||', 'after it was given up');
	is(report($late, answer(200, 'late')), 'lost', 'a success');
	is(response($dead), 'completed|200|late', 'is the answer');
	is(report($late, answer(503, 'no')), 'lost', 'nothing that is no success');
	is(response($dead), 'completed|200|late', 'takes its place');
	is(report($late, answer(404, 'gone')), 'lost', 'nor does another answer');
	is(response($dead), 'completed|200|late', 'that would have completed it');
	goes($dead, 'late after death');

	my $retried = ask('');
	($late) = claim();
	is(scalar(claim_again()), 1, 'while it is tried again');
	is(report($late, answer(503, 'no')), 'lost', 'a failure');
	is(response($retried), 'running|503|no', 'is kept');
	is(report($late, answer(200, 'yes')), 'lost', 'a success');
	is(response($retried), 'running|200|yes', 'takes its place');
	lose_leases();
	is(report($late, answer(200, 'yes')), 'lost', 'and ends it');
	is(job_state($retried), 'cancelled', 'before it is tried a third time');
	is(response($retried), 'completed|200|yes', 'with that answer');
	goes($retried, 'late before a retry');

	my $twice = ask('');
	($late) = claim();
	my ($again) = claim_again();
	is(report($again, answer(200, 'first'), $late, answer(500, 'second')), 'completed lost', 'two in one report');
	is(response($twice), 'completed|200|first', 'the one that completed it stays');
	goes($twice, 'reported twice');
};

subtest 'retried when it was dead' => sub {
	my $id = ask(', max_attempts => 1');
	report(claim(), answer(503, 'down'));
	is(response($id), 'dead|503|down', 'dead');
	$node->pass_time(86000);
	is(sql("SELECT hotdash.job_retry($id)"), 't', 'brought back before it goes');
	$node->pass_time(1000);
	tidy();
	is(kept($id), 1, 'it does not go while it waits');
	is(response($id), 'ready|503|down', 'the last answer is there');
	my ($claim) = claim();
	is($claim->[0], $id, 'it is sent');
	$node->pass_time(60);
	tidy();
	is(kept($id), 1, 'nor while it is sent');
	is(report($claim, answer(200, 'up')), 'completed', 'and answered');
	is(response($id), 'completed|200|up', 'with its answer');
	goes($id, 'retried');
	is(sql("SELECT count(*) FROM hotdash.delivery_attempts WHERE delivery_id = $id"), 2, 'its attempts stay');

	my $forgotten = ask(', max_attempts => 1');
	report(claim(), answer(503));
	goes($forgotten, 'dead');
	is($node->sqlstate($db, "SELECT hotdash.delivery_replay($forgotten)"), '42704', 'what is gone cannot be replayed');
	is(sql("SELECT hotdash.job_retry($forgotten)"), 't', 'its job can be retried');
	is(scalar(claim()), 0, 'but not sent');
	is(sql("SELECT state, last_error ~ 'not kept any more' FROM hotdash.jobs WHERE id = $forgotten"), 'dead|t', 'it is dead again, and says why');
	is(sql(q{SELECT count(*) FROM hotdash._job_running()}), 0, 'nothing is left claimed');
	my $replayed = ask(', max_attempts => 1');
	report(claim(), answer(503));
	is(sql("SELECT hotdash.delivery_replay($replayed)"), 't', 'one that is kept can be replayed');
	is(report(claim(), answer(204)), 'completed', 'and is sent');
};

subtest 'attempts are kept as long as those of deliveries' => sub {
	my $id = ask('', keep => '1s');
	report(claim(), answer(200));
	$node->pass_time(2);
	tidy();
	is(kept($id), 0, 'the row is gone');
	is(sql("SELECT status, attempt FROM hotdash.delivery_attempts WHERE delivery_id = $id"), '200|1', 'the attempt is there');
	$node->pass_time(80 * 86400);
	poll_until(sub { sql('SELECT hotdash._webhooks_keep()') eq 'f' }, 60, 'retention');
	is(sql("SELECT count(*) FROM hotdash.delivery_attempts WHERE delivery_id = $id"), 1, 'for 80 days');
	sql("DELETE FROM hotdash._delivery WHERE id = $id");
	is(sql("SELECT status FROM hotdash.delivery_attempts WHERE delivery_id = $id"), 200, 'also when what it was an attempt of has had its time');
};

subtest 'a body that is not whole' => sub {
	my $id = ask('');
	report(claim(), answer(200, '12') . q(,"truncated":true,"error":"longer than wanted"));
	is(sql("SELECT state, status, convert_from(body, 'UTF8'), error FROM hotdash.http_response($id)"),
		'completed|200|12|the body is not whole: longer than wanted', 'says so');
	is(sql("SELECT hotdash.http_response_json($id) IS NULL, hotdash.http_response_text($id)"), 't|12', 'and is not taken for JSON');
	my $broken = ask('');
	report(claim(), answer(200, '[]') . q(,"truncated":true));
	is(sql("SELECT error FROM hotdash.http_response($broken)"), 'the body is not whole', 'without a text of the edge');
	my $whole = ask('');
	report(claim(), answer(200, '[1]'));
	is(sql("SELECT error IS NULL, hotdash.http_response_json($whole) FROM hotdash.http_response($whole)"), 't|[1]', 'one that is whole has no error');
};

is(sql(q{SELECT count(*) FROM hotdash._http_request AS q WHERE gone_at = 'infinity' AND NOT EXISTS (SELECT FROM hotdash._job AS j WHERE j.id = q.id)}), 0, 'none is left open');
done_testing();
