# A hot standby scores, with parallel workers too, and follows promotions as it replays them.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "dlent.progress_messages = off\nclient_min_messages = warning\n");
$primary->start;
$primary->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS
    SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z FROM generate_series(1, 500) AS i ORDER BY hashint4(i);
    SELECT dlent_expect('m', 'rows', 'count(*) = 500'), dlent_expect('m', 'answers', 'prediction BETWEEN 0 AND 1');
    SELECT dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": 2, "seed": 1}');
});
$primary->backup('base');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

my $scores = q{SELECT md5(string_agg(dlent_predict('m', p)::text, ',' ORDER BY x, y)) FROM point AS p};
my $first = $primary->safe_psql('postgres', $scores);
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $scores), $first, 'the standby scores like the primary');
my $parallel = $standby->safe_psql('postgres', q{SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')});
is($standby->safe_psql('postgres', "SET $parallel = on; $scores"), $first, 'with parallel workers as well');
is($standby->safe_psql('postgres', q{SELECT model || ' ' || champion FROM dlent.models}), 'm 1', 'views are there');
is($standby->safe_psql('postgres', q{SELECT dlent_evaluate('m', 'point') -> 'rows'}), '500', 'it evaluates');

is($standby->safe_psql('postgres', q{SELECT count(*) FROM dlent_drift('m', 'point', '{"performance": false, "prediction": false}') WHERE NOT drifted}), '3', 'it measures drift');
is($standby->safe_psql('postgres', q{SELECT string_agg(name || ' ' || status, ',' ORDER BY name) FROM dlent_check('m', 'point')}), 'answers pass,rows pass', 'it checks expectations');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM dlent_profile('point')}), '3', 'it profiles');

# One connection stays open, with the model cached, while the primary trains and promotes.
my $session = $standby->background_psql('postgres');
is($session->query_safe($scores), $first, 'a session has the model cached');
$primary->safe_psql('postgres', q{SELECT dlent_train('m', 'point', 'z', '{"preset": "fast", "epochs": 2, "seed": 2}')});
$primary->wait_for_catchup($standby);
is($session->query_safe($scores), $first, 'a candidate does not answer');
$primary->safe_psql('postgres', q{SELECT dlent_promote('m', 2)});
$primary->wait_for_catchup($standby);
my $second = $primary->safe_psql('postgres', $scores);
isnt($second, $first, 'the promoted version answers differently');
is($session->query_safe($scores), $second, 'the standby session follows the promotion');
$primary->safe_psql('postgres', q{SELECT dlent_rollback('m')});
$primary->wait_for_catchup($standby);
is($session->query_safe($scores), $first, 'and the rollback');
$session->quit;

# What writes is refused, and says so.
for my $statement (
    q{SELECT dlent_train('n', 'point', 'z')}, q{SELECT dlent_promote('m', 2)}, q{SELECT dlent_rollback('m')},
    q{SELECT dlent_drop_model('m')}, q{SELECT dlent_drift('m', 'point', '{"store": true}')}, q{SELECT dlent_grant('m', 'predict', '-')})
{
    my ($status, $out, $err) = $standby->psql('postgres', "\\set VERBOSITY verbose\n$statement");
    like($err, qr/25006/, "refused on a standby: $statement");
}

$standby->promote;
is($standby->safe_psql('postgres', q{SELECT dlent_promote('m', 2)}), '1', 'after its own promotion the standby manages models');
is($standby->safe_psql('postgres', $scores), $second, 'and scores with what it promoted');

done_testing();
