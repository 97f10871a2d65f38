# Drift reports and results of expectations end with their retention; the newest of each model and of each expectation stay.

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
CONF
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql(q{
    CREATE EXTENSION dlent;
    CREATE TABLE spot AS SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) > 500 AS z FROM generate_series(1, 200) AS i;
    SELECT dlent_train(m, 'spot', 'z', '{"preset": "fast", "epochs": 1}'), dlent_expect(m, 'known', 'x IS NOT NULL'), dlent_expect(m, 'small', 'y < 20') FROM unnest(ARRAY['a', 'b']) AS m;
});
for (1 .. 3)
{
    sql(qq{SELECT count(*) FROM unnest(ARRAY['a', 'b']) AS m, dlent_drift(m, 'spot', '{"store": true}') AS d; SELECT count(*) FROM unnest(ARRAY['a', 'b']) AS m, dlent_check(m, 'spot', '{"store": true}') AS c});
}
sql(q{SELECT count(*) FROM dlent_check('a', 'spot', '{"store": true, "names": ["known"]}')});
# a has a fresh report, and of one expectation; b has none, and is not watched any more
sql(q{
    UPDATE dlent.drift_report SET created_at = now() - interval '2 days'
    WHERE report <> (SELECT max(r.report) FROM dlent.drift_reports AS r WHERE model = 'a');
    UPDATE dlent.expectation_result SET created_at = now() - interval '2 days'
    WHERE "check" <> (SELECT max(r."check") FROM dlent.expectation_results AS r WHERE model = 'a');
    -- more than one batch
    INSERT INTO dlent.drift_report (report, line, model_id, version_id, version, created_at, source, profile, feature, kind, statistic, details, role)
    SELECT -i, r.line, r.model_id, r.version_id, r.version, r.created_at, r.source, r.profile, r.feature, r.kind, r.statistic, r.details, r.role
    FROM dlent.drift_report AS r, generate_series(1, 250) AS i WHERE r.report = (SELECT min(report) FROM dlent.drift_report);
    INSERT INTO dlent.expectation_result ("check", model_id, created_at, source, name, predicate, status, severity, rows, tolerance, role)
    SELECT -i, r.model_id, r.created_at, r.source, r.name, r.predicate, r.status, r.severity, r.rows, r.tolerance, r.role
    FROM dlent.expectation_result AS r, generate_series(1, 6000) AS i WHERE r."check" = (SELECT min("check") FROM dlent.expectation_result);
});
my $kept = sub { return sql('SELECT (SELECT count(DISTINCT report) FROM dlent.drift_reports), (SELECT count(*) FROM dlent.expectation_results)') };
is($kept->(), '256|12013', 'reports and results');
is(sql('SHOW dlent.report_retention'), '90d', 'are kept for a quarter of a year');
$node->append_conf('postgresql.conf', "dlent.report_retention = '1d'\n");
$node->restart;
my $until = time() + 60;
usleep(50_000) until $kept->() eq '2|4' || time() > $until;
is(sql(q{SELECT string_agg(concat_ws(' ', model, n, fresh), ', ' ORDER BY model) FROM (SELECT model, count(DISTINCT report) AS n, max(created_at) > now() - interval '1 day' AS fresh FROM dlent.drift_reports GROUP BY 1) AS r}),
    'a 1 t, b 1 f', 'the newest report of each model stays, whole and however old');
is(sql(q{SELECT count(*) FROM dlent.drift_report}), sql(q{SELECT 2 * count(*) FROM dlent.drift_reports WHERE model = 'b'}), 'with all its lines');
is(sql(q{SELECT string_agg(concat_ws(' ', model, name, n, fresh), ', ' ORDER BY model, name) FROM (SELECT model, name, count(*) AS n, max(created_at) > now() - interval '1 day' AS fresh FROM dlent.expectation_results GROUP BY 1, 2) AS r}),
    'a known 1 t, a small 1 f, b known 1 f, b small 1 f', 'and the newest result of each expectation');
$node->stop;
done_testing();
