# A training or an evaluation can be cancelled in every phase; nothing of it is left, and the session goes on.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'dlent'
dlent.progress_messages = off
client_min_messages = error
CONF
$node->start;
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE wide AS
    SELECT random() AS a, random() AS b, random() * 100 AS c, md5((i % 3000)::text) AS d, random() AS y FROM generate_series(1, 400000) AS i;
    CREATE TABLE small AS SELECT a, b, c, d, a + b AS y FROM wide LIMIT 300;
    SELECT dlent_train('judge', 'small', 'y', '{"preset": "fast", "epochs": 1}');
});

# Waits until a query answers true.
sub wait_for {
    my ($what, $query) = @_;
    my $until = time() + 60;
    while (time() < $until) {
        return 1 if $node->safe_psql('postgres', $query) eq 't';
        usleep(2000);
    }
    fail("$what within a minute");
    return 0;
}

my $slow = q{{"preset": "best", "epochs": 2000}};
my $nothing_left = q{
    SELECT (SELECT count(*) FROM dlent.models WHERE model = 'victim') || ' models, ' ||
           (SELECT count(*) FROM dlent.progress) || ' progressing, ' ||
           (SELECT count(*) FROM pg_locks WHERE relation = 'wide'::regclass) || ' locks, ' ||
           (SELECT count(*) FROM pg_class WHERE relnamespace = 'dlent'::regnamespace AND relkind = 'v' AND relname LIKE 'contract%') || ' contract'
};
my @cases = (
    [ 'reading', qq{SELECT dlent_train('victim', 'SELECT w.a, w.b, w.c, w.d, v.y FROM wide AS w, wide AS v', 'y')}, q{phase = 'reading' AND rows_read > 10000} ],
    [ 'preparing', qq{SELECT dlent_train('victim', 'wide', 'y', '$slow')}, q{phase = 'preparing'} ],
    [ 'training', qq{SELECT dlent_train('victim', 'wide', 'y', '$slow')}, q{phase = 'training' AND rows_per_second > 0} ],
);
for my $case (@cases) {
    my ($phase, $statement, $there) = @$case;
    my $session = $node->background_psql('postgres', on_error_stop => 0);
    my $pid = $session->query('SELECT pg_backend_pid()');
    $session->query_until(qr/started/, "\\echo started\n$statement;\n");
    wait_for($phase, "SELECT EXISTS (SELECT FROM dlent.progress WHERE pid = $pid AND $there)");
    my $start = time();
    $node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
    wait_for("$phase ends", "SELECT state <> 'active' FROM pg_stat_activity WHERE pid = $pid");
    cmp_ok(time() - $start, '<', 5, "cancelled while $phase");
    is($session->query('SELECT 1'), 1, 'the session goes on');
    like($session->{stderr}, qr/canceling statement due to user request/, 'and was told why');
    is($node->safe_psql('postgres', $nothing_left), '0 models, 0 progressing, 0 locks, 1 contract', 'nothing is left');
    $session->{stderr} = '';
    is($session->query(q{SELECT version FROM dlent_train('victim', 'small', 'y', '{"preset": "fast", "epochs": 1}')}), 1, 'it trains again');
    $session->query(q{SELECT dlent_drop_model('victim')});
    $session->quit;
}

# A time limit is a cancel too, in evaluation, scoring and explanation as well.
for my $statement (
    q{SELECT dlent_evaluate('judge', 'SELECT w.a, w.b, w.c, w.d, v.y FROM wide AS w, wide AS v')},
    q{SELECT sum(dlent_predict('judge', w.a, w.b, w.c)) FROM wide AS w, wide AS v},
    q{SET dlent.batch = off; SELECT sum(dlent_predict('judge', w.a, w.b, w.c)) FROM wide AS w, wide AS v},
    q{SELECT count(*) FROM dlent_explain_global('judge', 'wide', '{"rows": 400000}')},
    q{SELECT count(*) FROM dlent_permutation_importance('judge', 'wide', '{"rows": 400000, "repeats": 1000}')},
    q{SELECT count(*) FROM dlent_partial_dependence('judge', 'a', 'wide', '{"rows": 400000, "points": 1000}')},
    q{SELECT count(dlent_explain('judge', w, '{"counterfactuals": 5, "threshold": 1.9}')) FROM wide AS w},
    qq{SELECT dlent_train('victim', 'wide', 'y', '$slow')},
) {
    my ($out, $err) = ('', '');
    my $start = time();
    $node->psql('postgres', "SET statement_timeout = 700; $statement", stdout => \$out, stderr => \$err);
    like($err, qr/canceling statement due to statement timeout/, "a time limit ends it: $statement");
    cmp_ok(time() - $start, '<', 6, 'soon');
}

# A session that is terminated takes its training along.
my $session = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $session->query('SELECT pg_backend_pid()');
$session->query_until(qr/started/, "\\echo started\nSELECT dlent_train('victim', 'wide', 'y', '$slow');\n");
wait_for('training', "SELECT EXISTS (SELECT FROM dlent.progress WHERE pid = $pid AND phase = 'training')");
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
ok(wait_for('it is gone', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid)"), 'terminated');
is($node->safe_psql('postgres', $nothing_left), '0 models, 0 progressing, 0 locks, 1 contract', 'nothing is left');
$session->{run}->kill_kill;

$node->stop;
done_testing();
