# What networks cost makes no plan be compiled (JIT), which cannot make them faster; what else a plan costs does.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dlent'\nclient_min_messages = warning\nmax_parallel_workers_per_gather = 0\n");
$node->start;
if ($node->safe_psql('postgres', 'SELECT pg_jit_available()') ne 't')
{
    plan skip_all => 'this server cannot compile plans';
}
$node->safe_psql('postgres', q{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS
    SELECT i AS id, (i * 7919 % 1000) / 10.0::float8 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z
    FROM generate_series(1, 20000) AS i;
    ANALYZE point;
    SELECT dlent_train('m', 'SELECT x, y, z FROM point WHERE id <= 600', 'z', '{"preset": "fast", "epochs": 2, "seed": 1}');
});

# How a statement would be compiled when plans of this cost are: the line of EXPLAIN, or nothing.
sub compiled
{
    my ($statement, $above, $settings) = @_;
    my $plan = $node->safe_psql('postgres', "SET jit_above_cost = $above; SET jit_inline_above_cost = $above; SET jit_optimize_above_cost = $above; "
          . ($settings // '') . " EXPLAIN $statement");
    return $plan =~ /^JIT:\n\s*Functions.*\n\s*Options: (.*)$/m ? $1 : '';
}

sub cost
{
    my ($statement, $settings) = @_;
    return $node->safe_psql('postgres', ($settings // '') . " EXPLAIN $statement") =~ /cost=[\d.]+\.\.([\d.]+)/ ? $1 : die "no cost";
}

my $scan = cost('SELECT count(x) FROM point');
my $score = 'SELECT count(dlent_predict(\'m\', point)) FROM point';
my $whole = cost($score);
cmp_ok($whole, '>', 2 * $scan, 'the planner knows that a network costs more than reading its rows');

my $between = ($scan + $whole) / 2;
is(compiled($score, $between), '', 'a statement whose network alone is dear is not compiled');
like(compiled($score, $between, 'SET dlent.batch = off;'), qr/Inlining true/, 'where its calls are not batched, PostgreSQL decides');
like(compiled($score, $scan / 2), qr/Inlining true, Optimization true/, 'one that is dear without its network is');

for my $other (
    "SELECT id, dlent_predict('m', point) FROM point",
    "SELECT id FROM point WHERE dlent_predict('m', point) > 0.5",
    "SELECT id, dlent_predict('m', x, y) AS p, dlent_classify('m', x, y) FROM point ORDER BY p")
{
    my $without = cost($other =~ s/dlent_predict\([^)]*\)/x/r =~ s/dlent_classify\([^)]*\)/x/r);
    is(compiled($other, ($without + cost($other)) / 2), '', "neither is: $other");
}
like(compiled("SELECT max(dlent_predict('m', point)) FROM point JOIN point AS p ON p.y < point.y", $whole), qr/Inlining true/,
    'a join that is dear is compiled');

$node->stop;
done_testing();
