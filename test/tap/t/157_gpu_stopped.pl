# A GPU process that does not run any more (stopped here; stuck in its driver elsewhere), so that its own watchdog does not either: the supervisor sees no
# sign of life and kills it, which its sessions see as a crash. One that was stopped together with who watches it goes on.

use strict;
use warnings;

use GpuTesting qw(:DEFAULT create_points);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $node = gpu_node('main', "dlent.gpu_hang_timeout = 1s\ndlent.gpu_idle_timeout = 0\nclient_min_messages = warning\n");
order();
$node->start;
create_points($node);
$node->safe_psql('postgres', q{SELECT dlent_train('scored', 'point', 'z', '{"preset": "fast", "epochs": 1}')});
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');

sub train { my ($policy, $epochs) = @_; return qq{SET dlent.gpu = $policy; SELECT device FROM dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": $epochs, "device": "cuda"}')} }
sub score { my ($policy) = @_; return qq{SET dlent.gpu = $policy; SET dlent.scoring_device = cuda; SELECT dlent_evaluate('scored', 'SELECT * FROM point, generate_series(1, 1000)') ->> 'device'} }

# A statement that the process works on; the process.
sub under_way
{
    my ($what, $statement, $progress) = @_;
    my $before = $node->safe_psql('postgres', "SELECT $progress FROM dlent.gpus");
    my ($session) = start_session($node, $statement);
    ok(wait_until($what, sub { $node->safe_psql('postgres', "SELECT $progress FROM dlent.gpus") > $before }), "$what: it is under way");
    return ($session, gpu_pid($node));
}

sub works_again
{
    my ($what, $stopped) = @_;
    ok(wait_until('it is gone', sub { !alive($stopped) }), "$what: the process is gone");
    ok(wait_until('it works', sub { $node->safe_psql('postgres', train('try', 1)) eq 'fake:0' }), "$what: another one trains");
    isnt(gpu_pid($node), $stopped, "$what: as another process");
    is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, "$what: the server did not restart");
}

my @cases = (
    [ 'training', train('try', 100000), 'jobs', 'slow=2000', qr/WARNING:  the model is trained on the CPU: the GPU process ended while it trained/ ],
    [ 'training', train('require', 100000), 'jobs', 'slow=2000', qr/ERROR:  the model was not trained on a GPU: the GPU process ended while it trained/ ],
    [ 'scoring', score('try'), 'rows_scored', 'slow=100000', qr/WARNING:  rows are scored on the CPU: the GPU process ended while it scored/ ],
    [ 'scoring', score('require'), 'rows_scored', 'slow=100000', qr/ERROR:  rows were not scored on a GPU: the GPU process ended while it scored/ ],
);
for my $case (@cases) {
    my ($does, $statement, $progress, $slow, $message) = @$case;
    my ($policy) = $statement =~ /dlent\.gpu = (\w+)/;
    order($slow);
    my ($session, $pid) = under_way("$policy, $does", $statement, $progress);
    order();
    signal_process('STOP', $pid);
    # the CPU would train for very long: that it has begun is enough
    if ($does eq 'training' && $policy eq 'try') {
        ok(wait_until('the warning', sub { $session->{run}->pump_nb; $session->{stderr} =~ $message }), "$policy, $does: a process that is stopped");
        $node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%100000%' AND pid <> pg_backend_pid()});
        like($session->query('SELECT 1'), qr/^1$/, "$policy, $does: the CPU has begun anew");
    } else {
        like($session->query('SELECT 1'), $policy eq 'try' ? qr/^cpu\n1$/ : qr/^1$/, "$policy, $does: a process that is stopped");
        like($session->{stderr}, $message, "$policy, $does: and who waited for it is told");
    }
    $session->quit;
    works_again("$policy, $does", $pid);
}
ok($node->log_contains(qr/GPU process \d+ of device 0 has shown no sign of life for \d+ ms; it is killed/), 'the log says why');

# ---- one that nobody waits for is exchanged as well
my $idle = gpu_pid($node);
signal_process('STOP', $idle);
works_again('idle', $idle);

# ---- stopped with its supervisor, as with the whole machine, and for longer than any limit: nobody is to blame
order('slow=20000');
my ($session, $pid) = under_way('together', train('require', 200), 'jobs');
my @together = (parent_of($pid), $pid);
signal_process('STOP', @together);
sleep 5;
signal_process('CONT', @together);
like($session->query('SELECT 1'), qr/^fake:0\n1$/, 'a job goes on where all have stood still');
is(gpu_pid($node), $pid, 'in the same process');
$session->quit;
order();

$node->stop;
ok(wait_until('it ends', sub { !alive($pid) }), 'no process outlives the server');
done_testing();
