# A GPU that dies, hangs, is full, is not there or is of another version costs one statement a warning or an error, and the server
# nothing.

use strict;
use warnings;

use GpuTesting;
use PostgreSQL::Test::Utils;
use Socket qw(PF_UNIX SOCK_SEQPACKET pack_sockaddr_un SOMAXCONN);
use Test::More;

my $node = gpu_node('main', "dlent.gpu_hang_timeout = 2s\nclient_min_messages = warning\n");
order();
$node->start;
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS
    SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z FROM generate_series(1, 500) AS i;
});
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
my $number = 0;

sub train_sql
{
    my ($policy, $epochs, $more) = @_;
    ++$number;
    my $options = join ', ', '"preset": "fast"', qq{"epochs": $epochs}, '"device": "cuda"', $more // ();
    return "SET dlent.gpu = $policy; SELECT device FROM dlent_train('m$number', 'point', 'z', '{$options}')";
}

# What the policies make of a failure that is there when a training, with some more options, begins.
sub both_policies
{
    my ($what, $pattern, @more) = @_;
    my ($out, $err) = ('', '');
    is($node->psql('postgres', train_sql('try', 2, @more), stdout => \$out, stderr => \$err), 0, "$what: try goes on");
    is($out, 'cpu', "$what: on the CPU");
    like($err, qr/WARNING:  the model is trained on the CPU: $pattern/s, "$what: and says why");
    isnt($node->psql('postgres', train_sql('require', 2, @more), stderr => \$err), 0, "$what: require does not");
    like($err, qr/ERROR:  the model was not trained on a GPU: $pattern/s, "$what: and says why");
    is($node->safe_psql('postgres', "SELECT count(*) FROM dlent.models WHERE model = 'm$number'"), '0', "$what: nothing is left");
    is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, "$what: the server did not restart");
}

sub works_again
{
    my ($what) = @_;
    ok(wait_until('it works', sub { $node->safe_psql('postgres', train_sql('try', 1)) eq 'fake:0' }), "$what: the device works again");
}

# ---- killed while it trains
for my $policy ('try', 'require') {
    order('slow=2000');
    my ($session) = start_session($node, train_sql($policy, 300));
    ok(wait_until('the job runs', sub { $node->safe_psql('postgres', 'SELECT jobs FROM dlent.gpus') eq '1' }), "$policy: a job runs");
    order();
    signal_process('KILL', gpu_pid($node));
    my $answer = $session->query('SELECT 1');
    like($answer, $policy eq 'try' ? qr/^cpu\n1$/ : qr/^1$/, "$policy: kill -9 of its process");
    like($session->{stderr}, $policy eq 'try' ? qr/WARNING:  the model is trained on the CPU: the GPU process ended/
        : qr/ERROR:  the model was not trained on a GPU: the GPU process ended/, "$policy: and says so");
    $session->quit;
    works_again("$policy: killed");
}

# ---- hung: the watchdog ends it
order('hang');
both_policies('hang', 'the GPU process ended');
like($node->safe_psql('postgres', q{SELECT pg_read_file(current_setting('data_directory') || '/' || 'PG_VERSION')}), qr{^\d+$}, 'the server answers');
order();
works_again('hung');

# ---- out of memory: the limit of all jobs, which leaves no room for what any job needs, or for a large network
for my $limit (1, 4) {
    $node->append_conf('postgresql.conf', "dlent.gpu_memory = ${limit}MB\n");
    $node->restart;
    $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
    both_policies("$limit MB", "out of memory on the GPU.*Jobs may hold $limit MB of \"fake device 0", '"hidden": [512, 512]');
    is($node->safe_psql('postgres', 'SELECT jobs, memory_used FROM dlent.gpus'), '0|0', "$limit MB: all of it is free again");
}
$node->append_conf('postgresql.conf', "dlent.gpu_memory = 0\n");

# ---- no driver, no plugin, another plugin
order('no_driver');
$node->restart;
$started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
both_policies('no driver', 'there is no usable GPU.*no driver is installed');
is($node->safe_psql('postgres', 'SELECT gpu, state, detail FROM dlent.gpus'), '|unavailable|there is no usable GPU: no driver is installed.', 'the view says so');
order();
$node->append_conf('postgresql.conf', "dlent.gpu_plugin = 'dlent_fake_gpu_old'\n");
$node->restart;
$started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
both_policies('another ABI', 'GPU plugin "dlent_fake_gpu_old" cannot be used.*It has ABI 0, and dlent-gpud needs 2');
$node->append_conf('postgresql.conf', "dlent.gpu_plugin = 'dlent_no_such'\n");
$node->reload;
both_policies('no plugin', 'no GPU plugin is installed');
$node->append_conf('postgresql.conf', "dlent.gpu_plugin = 'dlent_fake_gpu'\n");
$node->restart;
$started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
works_again('the right plugin');

# ---- what speaks another version, or nonsense, is refused on either side
my $path = $node->data_dir . '/base/pgsql_tmp/pgsql_tmp_dlentgpu_0';
chdir $node->data_dir or die $!;
my $short = 'base/pgsql_tmp/pgsql_tmp_dlentgpu_0';
sub greet
{
    my ($bytes) = @_;
    socket(my $socket, PF_UNIX, SOCK_SEQPACKET, 0) or die $!;
    connect($socket, pack_sockaddr_un($short)) or die "$short: $!";
    send($socket, $bytes, 0);
    my $answer = '';
    recv($socket, $answer, 65536, 0);
    return $answer;
}
my $hello = sub { my ($version, $body) = @_; return pack('LSSL', 0x54474c44, $version, 1, length $body) . $body };
like(greet($hello->(99, '{"build":"1.0"}')), qr/version 99 where this build speaks version 3/, 'another version of the protocol');
like(greet($hello->(3, '{"build":"0.1"}')), qr/the session's library is dlent 0\.1/, 'another build');
like(greet('nonsense'), qr/not a message/, 'nonsense');
like(greet(pack('LSSL', 0x54474c44, 3, 6, 2) . '{}'), qr/does not begin with a greeting/, 'a job without a greeting');
is((stat $path)[2] & 07777, 0700, 'nobody else can connect');
works_again('nonsense');

# A process of another version in the place of ours.
my $gpud = gpu_pid($node);
my $supervisor = parent_of($gpud);
signal_process('STOP', $supervisor);
signal_process('KILL', $gpud);
ok(wait_until('it is gone', sub { unlink $path; !-e $path }), 'an impostor takes its place');
socket(my $server, PF_UNIX, SOCK_SEQPACKET, 0) or die $!;
bind($server, pack_sockaddr_un($short)) or die $!;
listen($server, SOMAXCONN) or die $!;
my $impostor = fork();
if ($impostor == 0) {
    for (1 .. 2) {
        accept(my $client, $server) or last;
        my $greeting;
        recv($client, $greeting, 65536, 0);
        send($client, pack('LSSL', 0x54474c44, 1, 2, 2) . '{}', 0);
        recv($client, $greeting, 65536, 0);
    }
    require POSIX;
    POSIX::_exit(0);
}
close $server;
both_policies('an impostor', 'GPU protocol version 1 where this build speaks version 3');
waitpid($impostor, 0);
unlink $path;
signal_process('CONT', $supervisor);
works_again('no impostor');

$node->stop;
done_testing();
