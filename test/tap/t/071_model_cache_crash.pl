# The shared files of packed models: a full disk, kill -9 at any moment of their making, a crash of the server.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "dlent.progress_messages = off\nrestart_after_crash = on\nautovacuum = off\nshared_buffers = 64MB\n");
$node->start;
my $directory = $node->data_dir . '/base/pgsql_tmp';

# A network of 11 MB: making its file takes long enough to be met.
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS
    SELECT i AS id, (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z
    FROM generate_series(1, 200) AS i;
    SELECT dlent_train('m', 'SELECT x, y, z FROM point', 'z', '{"preset": "fast", "epochs": 1, "hidden": [1700, 1600]}');
    VACUUM FREEZE;
});
my $scores = q{SELECT md5(string_agg(dlent_predict('m', x, y)::text, ',' ORDER BY id)) FROM point};

sub files { my @files = sort glob("$directory/pgsql_tmp_dlent_*"); return @files }
sub half_written { return grep { /\.\d+\.\d+$/ } files() }
sub wait_for_server { wait_for_query($node, 'the server', 'SELECT true') or die 'the server does not come back' }

# ---- a full disk: the server may write files of 8 MB at most, which is less than the model's
my $expected = $node->safe_psql('postgres', $scores);
my ($file) = files();
cmp_ok(-s $file, '>', 9 << 20, 'a large file');
$node->safe_psql('postgres', 'CHECKPOINT');
$node->stop;
my $start = "ulimit -f 8192 && exec pg_ctl -w -s -D '" . $node->data_dir . "' -l '" . $node->logfile . "' start";
is(system('bash', '-c', $start), 0, 'the server starts on a disk that will be full');
my ($status, $out, $err) = $node->psql('postgres', "$scores;$scores");
is($out, "$expected\n$expected", 'full disk: the scores are right');
like($err, qr/WARNING:  could not write model cache file "[^"]*": File too large/, 'full disk: the user is told');
is(scalar(my @left = files()), 0, 'full disk: nothing is left behind');
is(system('pg_ctl', '-w', '-s', '-D', $node->data_dir, '-m', 'fast', 'stop'), 0, 'the server stops');
$node->_update_pid(0);
$node->start;
is($node->safe_psql('postgres', $scores), $expected, 'with room again');
is(scalar(@left = files()), 1, 'there is a file again');

# ---- kill -9 while the file is being made, or read
for my $cleaned ('on', 'off')
{
    $node->append_conf('postgresql.conf', "remove_temp_files_after_crash = $cleaned\n");
    $node->reload;
    my $half = 0;
    for my $round (1 .. 8)
    {
        unlink files();
        my $victim = $node->background_psql('postgres', on_error_stop => 0);
        my $pid = $victim->query_safe('SELECT pg_backend_pid()');
        $victim->{stdin} .= "$scores;\n";
        $victim->{run}->pump_nb;
        # by time, and in every other round as soon as a file begins to grow
        if ($round % 2 == 0)
        {
            for (1 .. 100_000) { last if files() }
        }
        else
        {
            usleep(4_000 * $round);
        }
        kill 'KILL', $pid;
        $half++ if half_written();
        wait_for_end($pid);
        eval { $victim->{run}->finish };
        wait_for_server();
        is($node->safe_psql('postgres', $scores), $expected, "killed, files after a crash removed $cleaned, round $round: the scores are right");
    }
    note("$half of 8 left a file half written");
    # a dead writer's files go with the next sweep, or have gone when the server came back
    unlink grep { !/\.\d+\.\d+$/ } files();
    is($node->safe_psql('postgres', $scores), $expected, 'a session makes the file');
    is(scalar(half_written()), 0, "nothing half written is left, files after a crash removed $cleaned");
}

# ---- a crash of the whole server, with the file in use
my $session = $node->background_psql('postgres', on_error_stop => 0);
is($session->query_safe($scores), $expected, 'a session scores');
$node->stop('immediate');
eval { $session->{run}->finish };
$node->start;
is(scalar(@left = files()), 0, 'recovery removes the files');
is($node->safe_psql('postgres', $scores), $expected, 'and they are made again');
unlike(slurp_file($node->logfile), qr/PANIC|server process.*was terminated by signal (?!9)/, 'nothing died but what was killed');
$node->stop;
done_testing();
