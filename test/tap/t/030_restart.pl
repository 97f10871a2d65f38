# What was committed survives a crash, and scores the same; what was not was never there.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "dlent.progress_messages = off\nclient_min_messages = warning\nrestart_after_crash = on\n");
$node->start;

$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS
    SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z FROM generate_series(1, 500) AS i ORDER BY hashint4(i);
    SELECT dlent_train('kept', 'point', 'z', '{"preset": "fast", "epochs": 2, "seed": 1}');
    SELECT dlent_train('kept', 'point', 'z', '{"preset": "fast", "epochs": 2, "seed": 2}');
});
my $scores = q{SELECT md5(string_agg(dlent_predict('kept', p)::text, ',' ORDER BY x, y)) FROM point AS p};
my $before = $node->safe_psql('postgres', $scores);
like($before, qr/^[0-9a-f]{32}$/, 'the model scores');

# Work in progress: a new model, a promotion of the old, and no commit.
my $session = $node->background_psql('postgres');
$session->query_safe(q{BEGIN});
$session->query_safe(q{SELECT dlent_train('lost', 'point', 'z', '{"preset": "fast", "epochs": 2}')});
$session->query_safe(q{SELECT dlent_promote('kept', 2)});
isnt($session->query_safe($scores), $before, 'the open transaction sees its promotion');
is($node->safe_psql('postgres', $scores), $before, 'others do not');

$node->stop('immediate');
$node->start;
$session->{run}->kill_kill;

is($node->safe_psql('postgres', $scores), $before, 'after a crash the committed champion answers as before');
is($node->safe_psql('postgres', q{SELECT string_agg(model || ' ' || champion, ',') FROM dlent.models}), 'kept 1', 'nothing else is there');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname LIKE 'contract\_%'}), '2', 'nor are contract views');
is($node->safe_psql('postgres', q{SELECT string_agg(version::text, ',') FROM dlent_train('kept', 'point', 'z', '{"preset": "fast", "epochs": 1}')}),
    '3', 'the next version gets the next number');

# A backend that dies takes no committed model with it, and the others come back.
my $victim = $node->background_psql('postgres', on_error_stop => 0);
my $pid = $victim->query_safe('SELECT pg_backend_pid()');
$victim->query_safe(q{BEGIN});
$victim->query_safe(q{SELECT dlent_promote('kept', 3)});
kill_backend($pid);
wait_for_query($node, 'the server', 'SELECT NOT pg_is_in_recovery()') or die 'the server does not come back';
is($node->safe_psql('postgres', $scores), $before, 'after kill -9 of a backend the champion is what it was');
$victim->{run}->kill_kill;

$node->stop;
done_testing();
