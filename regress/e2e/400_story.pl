#!/usr/bin/perl
#
# The demo's story: it comes true; a receiver that does not count honestly is found out; and a story
# that is interrupted takes all of its processes and files with it.

use strict;
use warnings FATAL => 'all';

use HotDash;
use PostgreSQL::Test::Utils;
use Test::More;

my $DEMO = "$ENV{HOTDASH_TREE}/regress/demo";

# A server of its own for each story: it creates roles and changes settings.
sub server
{
	my ($name) = @_;
	my $node = HotDash->cluster($name, cron_db => 'shop');

	$node->safe_psql('postgres', q(CREATE DATABASE shop ENCODING 'UTF8' TEMPLATE template0));
	mkdir "$ENV{TESTDIR}/$name" or die "cannot create $ENV{TESTDIR}/$name: $!";
	return $node;
}

# Starts the program DEMO/run, which finds its surroundings in the environment.
sub begin
{
	my ($node, $demo) = @_;
	my $folder = "$ENV{TESTDIR}/" . $node->name;

	return HotDash::Process->start(
		'story_' . $node->name,
		{
			PGHOST => $node->host,
			PGPORT => $node->port,
			PGDATABASE => 'shop',
			TMPDIR => $folder,
			HOTDASH_RUN => $folder,
			HOTDASH_NO_PACKAGES => 1,
		},
		"$demo/run");
}

sub wait_for_end
{
	my ($story) = @_;

	poll_until(sub { !$story->is_running }, 300, 'the end of the story');
	return $story->{status};
}

# Its folder, its edge and its receiver are gone.
sub nothing_is_left
{
	my ($node, $story, $what) = @_;
	my $folder = "$ENV{TESTDIR}/" . $node->name;
	my ($url) = $story->log =~ m{http://([\d.]+:\d+)};

	is(join(' ', glob("$folder/demo.*")), '', "$what: no file is left");
	poll_until(
		sub {
			$node->safe_psql('postgres',
				q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'shop_edge'}) eq '0';
		},
		30, 'the edge to be gone');
	ok(defined $url, "$what: the receiver listened");
	ok(!IO::Socket::INET->new(PeerAddr => $url), "$what: and does no longer");
	$node->stop;
	return;
}

sub test_it_comes_true
{
	my $node = server('honest');
	my $story = begin($node, $DEMO);

	is(wait_for_end($story), 0, 'the story comes true') or diag($story->log);
	like($story->log, qr/the receiver's count and the database's agree/, 'and says so');
	like($story->log, qr/^accounting +200 +1001 +1001 /m, 'accounting was told of every order');
	like($story->log, qr/^loyalty .* 25$/m, 'what loyalty refused is dead');
	like($story->log, qr/^advanced-analytics +f +f +\d\d+$/m, 'a flag is on for some');
	like($story->log, qr/^performance-monitoring +t +t +1001$/m, 'one for all');
	like($story->log, qr/^(live-chat-widget|picker-payments) +t +f +0$/m, 'two by context');
	like($story->log, qr/^seo-pulse-refinement +f +f +0$/m, 'and one for nobody, since that was rolled back');
	nothing_is_left($node, $story, 'told');
	return;
}

# One message in about thirty is forgotten, and one request in all counted as wrongly signed.
sub test_a_lie_is_found_out
{
	my $node = server('liar');
	my $demo = "$ENV{TESTDIR}/liar/demo";
	my $receiver = slurp_file("$DEMO/receiver.mjs");

	$receiver =~ s/message\.accepted\+\+;/{ if (!headers['webhook-id'].endsWith('0')) message.accepted++; }/
	  or die 'the receiver has changed';
	$receiver =~ s/refused: 0,/refused: name === '\/busy' ? 1 : 0,/ or die 'the receiver has changed';
	mkdir $demo or die "cannot create $demo: $!";
	foreach my $file (glob("$DEMO/*"))
	{
		my $name = $file =~ s{.*/}{}r;
		my $text = $name eq 'receiver.mjs' ? $receiver : slurp_file($file);

		open(my $out, '>', "$demo/$name") or die "cannot write $demo/$name: $!";
		print $out $text;
		close($out) or die "cannot write $demo/$name: $!";
	}
	chmod 0755, "$demo/run";

	my $story = begin($node, $demo);
	is(wait_for_end($story) >> 8, 1, 'a receiver that does not count honestly fails the demo');
	like($story->log, qr/no +\d+ deliveries that are completed here and were not accepted there/,
		'which says what differs');
	like($story->log, qr/no +1 requests whose signature was wrong/, 'in each respect');
	nothing_is_left($node, $story, 'found out');
	return;
}

sub test_interrupted
{
	my $node = server('interrupted');
	my $story = begin($node, $DEMO);

	poll_until(
		sub {
			die $story->log unless $story->is_running;
			return $story->log =~ /half way/;
		},
		120, 'the middle of the story');
	is($story->stop >> 8, 143, 'a story can be interrupted');
	nothing_is_left($node, $story, 'interrupted');
	return;
}

test_it_comes_true();
test_a_lie_is_found_out();
test_interrupted();

done_testing();
