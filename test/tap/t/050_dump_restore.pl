# pg_dump and restore bring models back, which score the same; and the restored extension can be managed and dropped.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "dlent.progress_messages = off\nclient_min_messages = warning\n");
$node->start;

$node->safe_psql('postgres', 'CREATE ROLE owner; CREATE ROLE friend; CREATE ROLE gone; CREATE DATABASE source; CREATE DATABASE target; CREATE DATABASE archive');
$node->safe_psql('source', q{
    CREATE SCHEMA elsewhere;
    CREATE EXTENSION dlent SCHEMA elsewhere;
    SET search_path = public, elsewhere;
    CREATE TABLE "Odd Point" AS
    SELECT (i * 7919 % 1000) / 10.0 AS "X", i % 13 AS y, (ARRAY['Bonn', 'Köln'])[1 + i % 2] AS c, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z
    FROM generate_series(1, 500) AS i ORDER BY hashint4(i);
    GRANT SELECT ON "Odd Point" TO owner;
    GRANT USAGE ON SCHEMA elsewhere TO owner, friend;
    SET ROLE owner;
    SELECT dlent_train('m', '"Odd Point"', 'z', '{"preset": "fast", "epochs": 2, "hidden": [300, 300]}');
    SELECT dlent_train('m', 'SELECT "X" + 1 AS more, z FROM "Odd Point" WHERE y > 2', 'z', '{"preset": "fast", "epochs": 2}');
    SELECT dlent_train('two', '"Odd Point"', 'z', '{"preset": "fast", "epochs": 1, "score_precision": "int8"}');
    SELECT dlent_expect('two', 'answers', 'prediction >= 0', '{"tolerance": 0.1}');
    SELECT dlent_check('two', '"Odd Point"', '{"store": true}');
    SELECT dlent_drift('two', '"Odd Point"', '{"store": true}');
    SELECT dlent_promote('m', 2, 'a reason');
    SELECT dlent_rollback('m');
    SELECT dlent_grant('m', 'predict', 'friend');
    SELECT dlent_grant('m', 'predict', '-');
    SELECT dlent_grant('m', 'manage', 'gone');
    RESET ROLE;
    DROP ROLE gone;
    ALTER TABLE "Odd Point" RENAME COLUMN "X" TO price;
});
is($node->safe_psql('source', q{SELECT count(*) > 1 FROM dlent.weight_chunk WHERE version_id = 1}), 't', 'weights of several chunks');

my $scores = q{SET search_path = public, elsewhere;
    SELECT md5(string_agg(dlent_predict('m', p)::text || dlent_predict_version('two', 1, p) || dlent_score((SELECT digest FROM dlent.versions WHERE model = 'two'), p) || dlent_predict('m@2', price + 1), ',' ORDER BY price, y))
    FROM "Odd Point" AS p};
my $state = q{SELECT (SELECT json_agg(m ORDER BY model) FROM dlent.models AS m), (SELECT json_agg(v.model || v.version || v.status || v.source || v.weights_sha256 || v.digest || v.score_precision || v.contract || v.reference ORDER BY model, version) FROM dlent.versions AS v),
    (SELECT json_agg(l ORDER BY model, version, step) FROM dlent.training_log AS l), (SELECT json_agg(e ORDER BY id) FROM dlent.events AS e),
    (SELECT json_agg(g ORDER BY model, grantee) FROM dlent.grants AS g WHERE grantee NOT LIKE 'unknown%'),
    (SELECT json_agg(d ORDER BY report, feature, kind) FROM dlent.drift_reports AS d), (SELECT json_agg(x) FROM dlent.expectations AS x), (SELECT json_agg(r) FROM dlent.expectation_results AS r)};
my $contracts = q{SELECT string_agg(viewname || viewowner || definition, ',' ORDER BY viewname) FROM pg_views WHERE schemaname = 'dlent' AND viewname LIKE 'contract%'};
my $before = $node->safe_psql('source', $scores);
my $state_before = $node->safe_psql('source', $state);
my $contracts_before = $node->safe_psql('source', $contracts);

my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, 'source' ], 'pg_dump');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'target', '-f', $dump ], 'restore as a script');
my $archive = $node->basedir . '/dump.custom';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $archive, 'source' ], 'pg_dump -Fc');
$node->command_ok([ 'pg_restore', '-e', '-j', '2', '-d', 'archive', $archive ], 'pg_restore with two jobs');

for my $database ('target', 'archive')
{
    is($node->safe_psql($database, $scores), $before, "$database: the scores are the same, also of rows with a renamed column");
    is($node->safe_psql($database, $state), $state_before, "$database: models, versions, log, events and grants are the same");
    is($node->safe_psql($database, $contracts), $contracts_before, "$database: contract views are the same");
    is($node->safe_psql($database, q{SELECT count(*) FROM dlent.grants WHERE grantee LIKE 'unknown%'}), '0', "$database: a grant to a role that is gone is not restored");
    my ($status, $out, $err) = $node->psql($database, 'ALTER TABLE "Odd Point" DROP COLUMN price');
    like($err, qr/cannot drop column price .* because other objects depend on it/, "$database: contracts hold");

    is($node->safe_psql($database, 'BEGIN; DROP EXTENSION dlent; SELECT count(*) FROM pg_namespace WHERE nspname = $$dlent$$; ROLLBACK'), '0', "$database: DROP EXTENSION takes restored contracts along");

    # numbers go on, contracts belong to the extension again
    is($node->safe_psql($database, q{SET search_path = public, elsewhere; SET ROLE owner;
        SELECT version FROM dlent_train('m', '"Odd Point"', 'z', '{"preset": "fast", "epochs": 1}')}), '3', "$database: the next version");
    is($node->safe_psql($database, q{SET search_path = public, elsewhere; SET ROLE owner;
        SELECT version FROM dlent_train('new', '"Odd Point"', 'z', '{"preset": "fast", "epochs": 1}')}), '1', "$database: a new model");
    $node->safe_psql($database, 'DROP EXTENSION dlent');
    is($node->safe_psql($database, q{SELECT count(*) FROM pg_namespace WHERE nspname = 'dlent'}), '0', "$database: DROP EXTENSION leaves nothing");
}

done_testing();
