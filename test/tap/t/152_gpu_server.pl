# The processes of GPUs come with the server and never outlive it; what they leave is swept.

use strict;
use warnings;

use GpuTesting;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting qw(wait_for_query);

my $node = gpu_node('main', "shared_preload_libraries = 'dlent'\nrestart_after_crash = on\ndlent.gpu_idle_timeout = 1s\n");
order('devices=2');
$node->start;
my $files = $node->data_dir . '/base/pgsql_tmp/pgsql_tmp_dlentgpu_*';

# All processes of the server; background workers without a database are in no view.
sub children
{
    my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
    return split ' ', slurp_file("/proc/$postmaster/task/$postmaster/children");
}
sub supervisors { return grep { (eval { slurp_file("/proc/$_/cmdline") } // '') =~ /dlent GPU supervisor/ } children() }

sub pids { return map { gpu_pid($node, $_) } 0, 1 }
sub gone { my ($what, @pids) = @_; ok(wait_until("$what: gone", sub { !grep { alive($_) } @pids }), "$what: no process is left") }
sub ready
{
    my ($what) = @_;
    ok(wait_until("$what: ready", sub { $node->safe_psql('postgres', q{SELECT count(pid) FROM dlent.gpus}) eq '2' }), "$what: both run");
}
sub trains
{
    my ($what) = @_;
    like($node->safe_psql('postgres', q{SELECT device FROM dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": 1, "device": "cuda"}')}),
        qr/^fake:/, "$what: a device trains");
}

# ---- preloaded: they are there from the start, as children of the supervisor
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS SELECT i % 100 AS x, i % 100 > 50 AS z FROM generate_series(1, 300) AS i;
});
ready('start');
is(scalar(supervisors()), 1, 'a supervisor is there');
trains('start');
my @pids = pids();
is(parent_of($_), (supervisors())[0], 'a child of the supervisor') for @pids;

# ---- idle after work: the process is exchanged for one that holds nothing of the card
my $used = $node->safe_psql('postgres', q{SELECT pid FROM dlent.gpus WHERE jobs_done > 0});
ok(wait_until('idle', sub { $node->safe_psql('postgres', 'SELECT count(*) FROM dlent.gpus'); !alive($used) }, 30),
    'after idle time the process gives the card back, however often one asks how it is');
ready('idle');
trains('idle');

# ---- a supervisor that dies takes them along, and comes again; the server restarts as for any of its processes
@pids = pids();
signal_process('KILL', supervisors());
gone('supervisor killed', @pids);
ok(wait_for_query($node, 'the server', 'SELECT true'), 'the server comes back');
ready('supervisor killed');
trains('supervisor killed');

# ---- a backend that crashes: the whole server starts again, and so do they
@pids = pids();
my $victim = $node->background_psql('postgres', on_error_stop => 0);
signal_process('KILL', scalar $victim->query('SELECT pg_backend_pid()'));
gone('crash', @pids);
ok(wait_for_query($node, 'the server', 'SELECT true'), 'the server comes back');
$victim->{run}->kill_kill;
ready('crash');
trains('crash');

# ---- every way to stop a server, with a job under way
for my $mode ('smart', 'fast', 'immediate') {
    order('devices=2', 'slow=2000');
    my ($session, $pid) = start_session($node, q{SELECT dlent_train('long', 'point', 'z', '{"preset": "fast", "epochs": 100000, "device": "cuda"}')});
    ok(wait_until('a job runs', sub { $node->safe_psql('postgres', 'SELECT sum(jobs) FROM dlent.gpus') eq '1' }), "$mode: a job runs");
    @pids = pids();
    $node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)") if $mode eq 'smart';
    $node->stop($mode);
    gone($mode, @pids);
    $session->{run}->kill_kill;
    order('devices=2');
    $node->start;
    ready($mode);
    trains($mode);
}
@pids = pids();
$node->stop;
gone('end', @pids);
is(scalar(grep { /_\d+$/ && -S $_ } glob($files)), 0, 'no socket is left');

# ---- not preloaded: they come on demand and go when idle
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->start;
is(scalar(supervisors()), 0, 'nothing runs before it is wanted');
trains('on demand');
is(scalar(supervisors()), 1, 'now there is a supervisor');
@pids = grep { $_ } pids();
cmp_ok(scalar(@pids), '>', 0, 'and a process');

# ---- a process that went while another works comes when it is wanted again
order('devices=2', 'slow=2000');
my ($busy, $busy_pid) = start_session($node, q{SELECT dlent_train('busy', 'point', 'z', '{"preset": "fast", "epochs": 100000, "device": "cuda:0"}')});
my $unused = gpu_pid($node, 1);
ok(wait_until('the other one goes', sub { !alive($unused) }, 30), 'a process without work goes while another works');
is($node->safe_psql('postgres', q{SELECT string_agg(state, ',' ORDER BY gpu) FROM dlent.gpus}), 'ready,stopped', 'and stays away');
order('devices=2');
is($node->safe_psql('postgres', q{SELECT device FROM dlent_train('second', 'point', 'z', '{"preset": "fast", "epochs": 1, "device": "cuda:1"}')}),
    'fake:1', 'and comes when its device is named');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($busy_pid)");
$busy->{run}->kill_kill;
@pids = grep { $_ } pids();
ok(wait_until('idle', sub { !supervisors() && !grep { alive($_) } @pids }, 30), 'idle, all of them go');
trains('again');

# ---- the postmaster is killed; the last of the test, since its remains may bar a new one's way for a while
order('slow=2000');
my ($session) = start_session($node, q{SELECT dlent_train('long', 'point', 'z', '{"preset": "fast", "epochs": 100000, "device": "cuda"}')});
ok(wait_until('a job runs', sub { $node->safe_psql('postgres', 'SELECT sum(jobs) FROM dlent.gpus') eq '1' }), 'kill -9: a job runs');
@pids = (children(), grep { $_ } pids());
$node->kill9;
gone('kill -9', @pids);
$session->{run}->kill_kill;

done_testing();
