# kill -9 of a server as a whole, as when the machine goes down.

package KillServer;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(postmaster_of processes kill_server);

sub postmaster_of { my ($on) = @_; my ($pid) = slurp_file($on->data_dir . '/postmaster.pid') =~ /^(\d+)/; return $pid }
# Processes of the server by what they are: pid => title
sub processes {
    my ($postmaster) = @_;
    my %processes;
    for my $file (glob '/proc/[0-9]*/stat') {
        open my $stat, '<', $file or next;
        my $line = <$stat> // next;
        my ($pid, $parent) = $line =~ /^(\d+) \(.*\) [^Z] (\d+)/ or next;
        next if $parent != $postmaster;
        open my $command, '<', "/proc/$pid/cmdline" or next;
        my $title = <$command> // next;
        $processes{$pid} = $title =~ s/\0.*//sr;
    }
    return %processes;
}

# Kills all of a server's processes and starts it again. Returns whether the postmaster was there, and what the others were.
sub kill_server {
    my ($node) = @_;
    my $postmaster = postmaster_of($node);
    # while it is stopped there are no new children, it does not see them die, nor do they see it: one that is left
    # behind might wait for a dead one's lock for ever, in shared memory that the next server wants
    my $alive = kill 'STOP', $postmaster;
    my %children = processes($postmaster);
    my @killed = map { $children{$_} } grep { kill 'KILL', $_ } keys %children;
    $node->kill9;
    my $until = time() + 30;
    # until the last of the old processes has left the shared memory
    until (system('pg_ctl', '-w', '-s', '-D', $node->data_dir, '-l', $node->logfile, 'start') == 0)
    {
        die 'the server does not come back' if time() > $until;
        usleep(100_000);
    }
    $node->_update_pid(1);
    return ($alive, @killed);
}

1;
