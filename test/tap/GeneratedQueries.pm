# Generated queries that score rows in every place of a statement, and the comparison of their answers with and without batches.

package GeneratedQueries;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use Test::More;

our @EXPORT = qw(new_server create_tables train_models compare_answers);

# A server that plans in parallel whatever it can, with the extension; further arguments are those of init().
sub new_server {
    my ($name, %init) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name);
    $node->init(%init);
    $node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'dlent'
dlent.progress_messages = off
client_min_messages = error
max_parallel_workers_per_gather = 2
parallel_setup_cost = 0
parallel_tuple_cost = 0
min_parallel_table_scan_size = 0
CONF
    $node->start;
    $node->safe_psql('postgres', 'CREATE EXTENSION dlent');
    return $node;
}

# Small tables with NULLs in every feature, whole rows that are missing (outer joins), several physical layouts.
sub create_tables {
    my ($node) = @_;
    $node->safe_psql('postgres', q{
        CREATE TABLE plain (id int PRIMARY KEY, grp int, a float8, b real, n numeric, d int, c text, f boolean, at timestamptz);
        INSERT INTO plain
        SELECT i, i % 7, CASE WHEN i % 11 <> 0 THEN (i * 7919 % 1000) / 10.0 END, CASE WHEN i % 13 <> 0 THEN (i * 31 % 97) / 7.0 END,
               CASE WHEN i % 17 <> 0 THEN (i * 104729 % 601) / 3.0 END, CASE WHEN i % 5 <> 0 THEN i % 23 END,
               CASE WHEN i % 19 <> 0 THEN (ARRAY['red', 'green', 'blue', 'grey'])[1 + i % 4] END, CASE WHEN i % 6 <> 0 THEN i % 2 = 0 END,
               CASE WHEN i % 29 <> 0 THEN timestamptz '2025-01-01 00:00+00' + i * interval '7 hours' END
        FROM generate_series(1, 900) AS i ORDER BY hashint4(i);
        CREATE TABLE parted (id int, grp int, a float8, b real, n numeric, d int, c text, f boolean, at timestamptz) PARTITION BY RANGE (id);
        CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (300);
        CREATE TABLE parted_2 (at timestamptz, junk int, f boolean, c text, d int, n numeric, b real, a float8, grp int, id int);
        ALTER TABLE parted_2 DROP COLUMN junk;
        ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (300) TO (MAXVALUE);
        INSERT INTO parted SELECT * FROM plain;
        CREATE TABLE altered (id int, gone int, grp int, a float8, b real, n numeric, d int);
        INSERT INTO altered SELECT id, 0, grp, a, b, n, d FROM plain;
        ALTER TABLE altered DROP COLUMN gone, ADD COLUMN c text DEFAULT 'blue', ADD COLUMN f boolean, ADD COLUMN at timestamptz;
        CREATE VIEW seen AS SELECT * FROM plain WHERE grp <> 3;
        CREATE VIEW guarded WITH (security_barrier) AS SELECT * FROM plain WHERE id % 2 = 0;
        CREATE INDEX ON plain (grp);
        CREATE TABLE empty_table (LIKE plain);
    });
}

# Versions of models "number", "two", "three" and "dense" of these tables; each entry is what dlent_train() takes as options.
sub train_models {
    my ($node, %options) = @_;
    my %columns = (
        number => ['a, b, n, d, c, f, at, y', 'y'],
        two => ['a, d, c, f, won', 'won'],
        three => ['a, b, d, c, tier', 'tier'],
        dense => ['a, b, n, d, y', 'y'],
    );
    my $script = q{
        CREATE TEMP TABLE target AS
        SELECT p.*, coalesce(a, 3) * 2 + coalesce(d, 4) + length(coalesce(c, '')) AS y, coalesce(a, 50) + coalesce(d, 0) > 55 AS won,
               (ARRAY['low', 'mid', 'high'])[1 + width_bucket(coalesce(a, 1), 33, 67, 1)] AS tier FROM plain AS p;
    };
    for my $model (sort keys %options) {
        my ($columns, $target) = @{ $columns{$model} };
        $script .= "SELECT dlent_train('$model', 'SELECT $columns FROM target', '$target', '$_');\n" for @{ $options{$model} };
    }
    $node->safe_psql('postgres', $script . 'ANALYZE;');
}

sub any { return $_[int(rand(@_))]; }
sub chance { return rand() < $_[0]; }

my %features = (
    number => [qw(a b n d c f at)],
    two => [qw(a d c f)],
    three => [qw(a b d c)],
    dense => [qw(a b n d)],
);
my %digest;

# How the features of row $r reach the model.
sub arguments {
    my ($model, $r) = @_;
    my @columns = map { "$r.$_" } @{ $features{$model} };
    my $form = rand();
    return $r if $form < 0.5;
    return join(', ', @columns) if $form < 0.7;
    return "to_jsonb($r)" if $form < 0.8;
    return "ARRAY[" . join(', ', map { "$_\::float8" } @columns) . "]" if $model eq 'dense' && $form < 0.9;
    my @changed = map { /\.a$/ && chance(0.5) ? "$_ + 1" : /\.d$/ && chance(0.3) ? "3" : /\.c$/ && chance(0.3) ? "upper($_)" : $_ } @columns;
    return join(', ', @changed);
}

sub number {
    my ($r) = @_;
    my $model = any(qw(number number two dense));
    my $arguments = arguments($model, $r);
    return "dlent_predict_version('number', " . any(1, 2) . ", $arguments)" if $model eq 'number' && chance(0.3);
    return "dlent_score('" . $digest{"$model\@1"} . "', $arguments)" if chance(0.2);
    my $name = $model eq 'number' && chance(0.2) ? 'number@2' : $model;
    return "dlent_predict('$name', $arguments)";
}

sub label {
    my ($r) = @_;
    my $model = any(qw(two three));
    return "dlent_classify('$model', " . arguments($model, $r) . ")";
}

sub probabilities {
    my ($r) = @_;
    my $model = any(qw(two three));
    return "dlent_probabilities('$model', " . arguments($model, $r) . ")";
}

sub score { return any(\&number, \&number, \&number, \&label, \&probabilities)->(@_); }

sub expression {
    my ($r) = @_;
    my $kind = rand();
    return score($r) if $kind < 0.5;
    return number($r) . " * 2 + coalesce($r.a, 0)" if $kind < 0.6;
    return "CASE WHEN $r.grp > 2 THEN " . number($r) . " ELSE 0 END" if $kind < 0.7;
    return "CASE WHEN " . number($r) . " > 10 THEN 1 / ($r.grp + 1) ELSE $r.grp END" if $kind < 0.8;
    return "coalesce(" . number($r) . ", " . number($r) . ")" if $kind < 0.9;
    return "round(" . number($r) . "::numeric, 3)";
}

sub condition {
    my ($r) = @_;
    my $kind = rand();
    return number($r) . " > " . any(0.3, 5, 60) if $kind < 0.4;
    return "$r.grp <> 2 AND " . number($r) . " < 80" if $kind < 0.6;
    return number($r) . " > 1 AND " . label($r) . " IS NOT NULL" if $kind < 0.75;
    return "($r.grp = 1 OR " . number($r) . " > 20)" if $kind < 0.85;
    return label($r) . " IN ('true', 'low', 'high')";
}

sub source { return any('plain', 'plain', 'parted', 'altered', 'seen', 'guarded', 'empty_table'); }

sub query {
    my $source = source();
    my $kind = int(rand(16));
    my $where = chance(0.4) ? 'WHERE ' . condition('t') : '';
    return "SELECT t.id, " . expression('t') . " FROM $source AS t $where" if $kind == 0;
    return "SELECT " . expression('t') . ", " . expression('t') . ", t.c FROM $source AS t $where" if $kind == 1;
    return "SELECT t.id FROM $source AS t WHERE " . condition('t') if $kind == 2;
    return "SELECT t.id, " . number('t') . " AS s FROM $source AS t $where ORDER BY s DESC NULLS LAST, t.id LIMIT " . any(1, 3, 50) if $kind == 3;
    return "SELECT t.id, " . expression('t') . " FROM $source AS t $where ORDER BY t.id LIMIT " . any(1, 7, 300) . " OFFSET " . any(0, 2) if $kind == 4;
    return "SELECT t.grp, min(" . number('t') . "), max(" . number('t') . "), count(" . label('t') . ") FROM $source AS t $where GROUP BY t.grp" if $kind == 5;
    return "SELECT count(*) FILTER (WHERE " . number('t') . " > 5), max(" . number('t') . ") FROM $source AS t $where" if $kind == 6;
    return "SELECT " . label('t') . " AS l, count(*), max(" . number('t') . ") FROM $source AS t $where GROUP BY 1" if $kind == 7;
    return "SELECT t.id, max(" . number('t') . ") OVER (PARTITION BY t.grp ORDER BY t.id), rank() OVER (ORDER BY " . number('t') . ", t.id) FROM $source AS t $where" if $kind == 8;
    return "SELECT t.id, u.id, " . expression('t') . ", " . number('u') . " FROM $source AS t JOIN plain AS u ON u.id = t.id + 1 $where" if $kind == 9;
    return "SELECT t.id, u.id, " . number('u') . " FROM $source AS t LEFT JOIN plain AS u ON u.id = t.id * 2 $where" if $kind == 10;
    return "SELECT t.id, (SELECT max(" . number('u') . ") FROM parted AS u WHERE u.grp = t.grp AND u.id < 40) FROM $source AS t WHERE t.id < 30" if $kind == 11;
    return "SELECT t.id FROM $source AS t WHERE EXISTS (SELECT FROM plain AS u WHERE u.id = t.id AND " . condition('u') . ")" if $kind == 12;
    return "WITH s AS MATERIALIZED (SELECT t.id, " . score('t') . " AS v FROM $source AS t) SELECT count(*), min(v::text), max(v::text) FROM s" if $kind == 13;
    return "SELECT " . number('t') . " FROM $source AS t UNION ALL SELECT " . number('u') . " FROM plain AS u WHERE " . condition('u') if $kind == 14;
    return "SELECT DISTINCT t.grp, " . label('t') . " FROM $source AS t CROSS JOIN LATERAL (SELECT " . number('t') . " AS z) AS l WHERE z > 1";
}

my @toggles = qw(enable_hashjoin enable_mergejoin enable_nestloop enable_hashagg enable_sort enable_seqscan enable_bitmapscan
    enable_indexscan enable_memoize enable_material enable_partitionwise_aggregate enable_incremental_sort);

# Runs so many queries, each with and without batches: the answers have the same bits.
sub compare_answers {
    my ($node, $queries, $seed, $name) = @_;
    srand($seed);
    %digest = map { split /\|/ } split /\n/,
      $node->safe_psql('postgres', q{SELECT model || '@' || version, digest FROM dlent.versions});

    my @texts;
    my $script = '';
    for my $i (1 .. $queries) {
        my $query = query();
        push @texts, $query;
        my $settings = "RESET ALL;\n";
        $settings .= "SET $_ = " . any('on', 'off') . ";\n" for grep { chance(0.2) } @toggles;
        $settings .= "SET max_parallel_workers_per_gather = 0;\n" if chance(0.5);
        $settings .= "SET work_mem = '64kB';\n" if chance(0.2);
        $script .= $settings;
        for my $batch ('on', 'off') {
            $script .= "SET dlent.batch = $batch;\n\\echo == $i $batch\n$query;\n";
        }
        $script .= "SET dlent.batch = on;\n\\echo == $i plan\nEXPLAIN (COSTS OFF) $query;\n";
    }

    my ($out, $err) = ('', '');
    $node->psql('postgres', $script, stdout => \$out, stderr => \$err, on_error_stop => 0);
    is($err, '', "$name: no query fails");

    my (%answers, $at);
    for my $line (split /\n/, $out) {
        if ($line =~ /^== (\d+ \w+)$/) { $at = $1; $answers{$at} = []; }
        else { push @{ $answers{$at} }, $line; }
    }
    my ($different, $batched, $rows) = (0, 0, 0);
    for my $i (1 .. $queries) {
        my ($on, $off) = map { join("\n", sort @{ $answers{"$i $_"} || ['missing'] }) } ('on', 'off');
        $batched++ if grep { /DlentScore/ } @{ $answers{"$i plan"} };
        $rows += @{ $answers{"$i off"} || [] };
        if ($on ne $off) {
            diag("seed $seed, query $i differs: $texts[$i - 1]") if $different++ < 5;
        }
    }
    is($different, 0, "$name: $queries queries ($rows rows) give the same bits with and without batches");
    cmp_ok($batched, '>', 0.9 * $queries, "$name: $batched of them run batched");
}

1;
