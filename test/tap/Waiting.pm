# Waits for what other processes do: a test that gives up fails, and goes on.
package Waiting;

use strict;
use warnings;

use Exporter 'import';
use IPC::Run ();
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(try_query wait_until wait_for_query wait_for_end kill_backend);

# What a query answers, or undef: it failed, or the server is away. The query is not written to psql's standard input, as the cluster's own psql() does:
# one that finds no server may have left before it is written, and the broken pipe would end the test.
sub try_query
{
    my ($node, $query, $database) = @_;
    my ($out, $err) = ('', '');
    my $succeeded = IPC::Run::run([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr($database // 'postgres'), '-c', $query ], '<', \'', '>', \$out, '2>', \$err);
    chomp $out;
    return $succeeded ? $out : undef;
}

# Until a function says so; true, or a failed test after so many seconds (60).
sub wait_until
{
    my ($what, $test, $seconds) = @_;
    $seconds //= 60;
    my $until = time() + $seconds;
    while (time() < $until) {
        return 1 if $test->();
        usleep(5000);
    }
    fail("$what within $seconds seconds");
    return 0;
}

# Until a query answers true. A server that is away, or starting, is asked again.
sub wait_for_query
{
    my ($node, $what, $query, $database, $seconds) = @_;
    return wait_until($what, sub { return (try_query($node, $query, $database) // '') eq 't' }, $seconds);
}

# Until a killed backend is gone. Its postmaster has then seen it die, and takes no new connection before the server is up again.
sub wait_for_end
{
    my ($pid) = @_;
    return wait_until("the end of process $pid", sub { !kill 0, $pid });
}

sub kill_backend
{
    my ($pid) = @_;
    kill 'KILL', $pid;
    return wait_for_end($pid);
}

1;
