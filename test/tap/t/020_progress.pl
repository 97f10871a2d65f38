# dlent.progress shows a training to those who may see it while it runs, and no longer; without preloading it is empty.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "dlent.progress_messages = off\nclient_min_messages = error\n");
$node->start;
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE wide AS SELECT random() AS a, random() AS b, random() AS y FROM generate_series(1, 60000) AS i;
    CREATE ROLE trainer LOGIN;
    CREATE ROLE stranger LOGIN;
    GRANT SELECT ON wide TO trainer;
});

# Runs a long training as the role, and calls back while it is in its epochs.
sub while_training {
    my ($role, $check) = @_;
    my $session = $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', $role ]);
    my $pid = $session->query('SELECT pg_backend_pid()');
    $session->query_until(qr/started/, qq{\\echo started\nSELECT dlent_train('m', 'wide', 'y', '{"preset": "best", "epochs": 3000}');\n});
    my $until = time() + 60;
    usleep(10000) while time() < $until && $node->safe_psql('postgres', "SELECT state FROM pg_stat_activity WHERE pid = $pid") ne 'active';
    $check->($pid);
    $node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
    $session->query('SELECT 1');
    $session->quit;
}

while_training('trainer', sub {
    usleep(1500000);
    is($node->safe_psql('postgres', 'SELECT count(*) FROM dlent.progress'), '0', 'without preloading there is nothing to see');
});

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dlent'\n");
$node->restart;
while_training('trainer', sub {
    my ($pid) = @_;
    my $until = time() + 60;
    my $row = '';
    my $columns = q{database, role, model, phase, rows_read, member, members, epoch > 0, epochs, train_loss > 0, validation_loss > 0, rows_per_second > 0, started_at <= now(), seconds_left > 0};
    while (time() < $until && $row eq '') {
        $row = $node->safe_psql('postgres', "SELECT $columns FROM dlent.progress WHERE pid = $pid AND phase = 'training' AND epoch > 0 AND validation_loss > 0");
        usleep(10000);
    }
    is($row, 'postgres|trainer|m|training|60000|1|10|t|3000|t|t|t|t|t', 'a superuser sees all of it');
    my $epoch = "SELECT epoch + 3000 * member FROM dlent.progress WHERE pid = $pid";
    my $before = $node->safe_psql('postgres', $epoch);
    my $after = $before;
    while (time() < $until && $after == $before) {
        usleep(10000);
        $after = $node->safe_psql('postgres', $epoch);
    }
    cmp_ok($after, '>', $before, 'it moves');
    is($node->safe_psql('postgres', "SELECT model FROM dlent.progress", extra_params => [ '-U', 'trainer' ]), 'm', 'its role sees it');
    is($node->safe_psql('postgres', "SELECT coalesce(model, 'hidden') FROM dlent.progress UNION ALL SELECT 'hidden' LIMIT 1", extra_params => [ '-U', 'stranger' ]), 'hidden', 'a stranger does not');
});
is($node->safe_psql('postgres', 'SELECT count(*) FROM dlent.progress'), '0', 'gone after a cancel');
$node->psql('postgres', q{SELECT dlent_train('m', 'SELECT a, 1 / (a - a) AS b, y FROM wide', 'y')});
is($node->safe_psql('postgres', 'SELECT count(*) FROM dlent.progress'), '0', 'gone after an error');
$node->safe_psql('postgres', q{SELECT dlent_train('m', 'SELECT * FROM wide LIMIT 100', 'y', '{"epochs": 1, "preset": "fast"}')});
is($node->safe_psql('postgres', 'SELECT count(*) FROM dlent.progress'), '0', 'gone at the end');

$node->stop;
done_testing();
