# The shared files of packed models: damage, directories that cannot be written, versions that go while they are used.

use strict;
use warnings;

use File::Copy qw(copy);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "dlent.progress_messages = off\nautovacuum = off\n");
$node->start;
my $directory = $node->data_dir . '/base/pgsql_tmp';
my $training = 'SELECT x, y, z FROM point WHERE id <= 500';

$node->safe_psql('postgres', qq{
    CREATE EXTENSION dlent;
    CREATE TABLE point AS
    SELECT i AS id, (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) + (i * 104729 % 601) > 800 AS z
    FROM generate_series(1, 5000) AS i;
    SELECT dlent_train('m', '$training', 'z', '{"preset": "fast", "epochs": 2, "seed": 1}');
    SELECT dlent_train('m', '$training', 'z', '{"preset": "fast", "epochs": 2, "seed": 2}');
});

sub files { my @files = sort glob("$directory/pgsql_tmp_dlent_*"); return @files }
sub scores { return "SELECT md5(string_agg(dlent_predict('m\@$_[0]', x, y)::text, ',' ORDER BY id)) FROM point" }
sub bytes_of { return slurp_file($_[0]) }

sub write_bytes
{
    my ($path, $bytes) = @_;
    open my $out, '>:raw', $path or die "$path: $!";
    print $out $bytes;
    close $out;
}

# The file of version 1, and what it says.
my @expected = (undef, map { $node->safe_psql('postgres', scores($_)) } 1, 2);
isnt($expected[1], $expected[2], 'the versions answer differently');
is(scalar(my @two = files()), 2, 'a file each');
my $digest = $node->safe_psql('postgres', q{SELECT replace(digest::text, '-', '') FROM dlent.versions WHERE version = 1});
my ($file) = grep { /_${digest}_/ } files();
my $whole = bytes_of($file);
is((stat $file)[2] & 07777, 0600, 'nobody else can read it');

# ---- a damaged file is noticed when it is mapped, replaced by a good one, and no wrong score is given
my $size = length $whole;
my %damage = (
    'empty' => '',
    'one byte' => substr($whole, 0, 1),
    'cut in the header' => substr($whole, 0, 63),
    'nothing but the header' => substr($whole, 0, 64),
    'cut in half' => substr($whole, 0, $size / 2),
    'cut by a byte' => substr($whole, 0, $size - 1),
    'a byte too long' => $whole . "\0",
    'a page too long' => $whole . "\0" x 4096,
    'zeros' => "\0" x $size,
    'noise' => join('', map { chr(($_ * 7919) & 255) } 1 .. $size));
for my $place (0, 8, 12, 16, 23, 24, 40, 64, 65, int($size / 3), $size - 1)
{
    my $flipped = $whole;
    substr($flipped, $place, 1) ^= "\x10";
    $damage{"bit flipped in byte $place"} = $flipped;
}
for my $what (sort keys %damage)
{
    my $log = -s $node->logfile;
    write_bytes($file, $damage{$what});
    is($node->safe_psql('postgres', scores(1)), $expected[1], "$what: the scores are right");
    ok(bytes_of($file) eq $whole, "$what: the file is good again");
    like(slurp_file($node->logfile, $log), qr/LOG:  model cache file "[^"]*" is damaged/, "$what: the log says so");
}
{
    # of another digest, whole in itself
    my ($other) = grep { !/_${digest}_/ } files();
    copy($other, $file) or die $!;
    is($node->safe_psql('postgres', scores(1)), $expected[1], 'the file of another model: the scores are right');
    ok(bytes_of($file) eq $whole, 'the file of another model: replaced');
    unlink $file or die $!;
    mkdir $file or die $!;
    my ($status, $out, $err) = $node->psql('postgres', scores(1));
    is($out, $expected[1], 'a directory in its place: the scores are right');
    like($err, qr/WARNING:  could not (?:map|rename) model cache file/, 'a directory in its place: the user is told');
    rmdir $file or die $!;
}
is(scalar(grep { /\.\d+\.\d+$/ } files()), 0, 'no file is left half written');

# ---- sessions that are using a file do not care what becomes of it
$node->safe_psql('postgres', scores(1));
my $session = $node->background_psql('postgres');
is($session->query_safe(scores(1)), $expected[1], 'a session maps the file');
unlink $file or die $!;
is($session->query_safe(scores(1)), $expected[1], 'and scores on when it is gone');
write_bytes("$file.damaged", 'nonsense');
rename "$file.damaged", $file or die $!;
is($session->query_safe(scores(1)), $expected[1], 'or replaced');
is($node->safe_psql('postgres', scores(1)), $expected[1], 'another session makes a good one');
$session->quit;

# ---- many sessions that all miss a file
unlink files();
my @crowd = map { $node->background_psql('postgres') } 1 .. 12;
$crowd[$_]->{stdin} .= scores(1 + $_ % 2) . ";\n\\echo done\n" for 0 .. $#crowd;
my %answers;
for my $one (@crowd)
{
    $one->{run}->pump until $one->{stdout} =~ /done\n/;
    $answers{$1}++ while $one->{stdout} =~ /([0-9a-f]{32})/g;
    $one->quit;
}
is_deeply([ sort values %answers ], [ 6, 6 ], 'a crowd agrees on the scores') or diag(explain(\%answers));
is(scalar(@two = files()), 2, 'and makes one file of each version');

# ---- where no file can be written, scoring goes on, and the user is told once
sub told_once
{
    my ($what, $message) = @_;
    my ($status, $out, $err) = $node->psql('postgres', join(';', scores(1), scores(2), scores(1)));
    is($out, join("\n", @expected[ 1, 2, 1 ]), "$what: the scores are right");
    my @told = $err =~ /WARNING:  ($message)/g;
    is(scalar(@told), 1, "$what: told once") or diag($err);
    my @warnings = $err =~ /WARNING/g;
    is(scalar(@warnings), 1, "$what: and nothing else") or diag($err);
}
unlink files();
chmod 0500, $directory or die $!;
told_once('a directory without write permission', 'could not create model cache file');
like($node->safe_psql('postgres', q{SET client_min_messages = error; SELECT dlent_predict('m', 1.0, 2) IS NOT NULL;
    SELECT bytes IS NULL AND created_at IS NULL AND NOT mapped AND private_bytes > 0 FROM dlent.model_cache}),
    qr/^t\nt$/, 'the view says that the model is the session\'s own');
chmod 0000, $directory or die $!;
told_once('a directory without any permission', 'could not (?:open|create) model cache file');
chmod 0700, $directory or die $!;
rename $directory, "$directory.away" or die $!;
write_bytes($directory, 'no directory');
told_once('a file in place of the directory', 'could not (?:open|create) model cache file');
unlink $directory or die $!;
is($node->safe_psql('postgres', scores(1)), $expected[1], 'without the directory');
is(scalar(my @one = files()), 1, 'it is made');

# ---- a version that is dropped, or is no longer the champion, answers the scans that run to their end
sub read_rows
{
    my ($scan, $loop) = @_;
    $scan->query_safe("DO \$\$DECLARE r refcursor := 'c'; s float8; BEGIN $loop END\$\$");
}
my $some_rows = 'FOR i IN 1..1000 LOOP FETCH r INTO s; INSERT INTO seen VALUES (s); END LOOP;';
my $all_rows = 'LOOP FETCH r INTO s; EXIT WHEN NOT FOUND; INSERT INTO seen VALUES (s); END LOOP;';
$node->safe_psql('postgres', q{SELECT dlent_promote('m', 2)});
for my $batch ('on', 'off')
{
    $node->safe_psql('postgres', qq{SELECT dlent_train('m', '$training', 'z', '{"preset": "fast", "epochs": 2, "seed": 3}')});
    my $version = $node->safe_psql('postgres', q{SELECT max(version) FROM dlent.versions});
    my $sum = 'count(*), round(sum(score)::numeric, 9)';
    my $right = $node->safe_psql('postgres', "SELECT $sum FROM (SELECT dlent_predict('m\@$version', x, y) AS score FROM point) AS t");
    my $scan = $node->background_psql('postgres');
    $scan->query_safe("SET dlent.batch = $batch");
    $scan->query_safe('CREATE TEMP TABLE seen (score float8)');
    $scan->query_safe('BEGIN');
    $scan->query_safe("DECLARE c CURSOR FOR SELECT dlent_predict('m\@$version', x, y) AS score FROM point");
    read_rows($scan, $some_rows);
    $node->safe_psql('postgres', "SELECT dlent_drop_model('m', $version)");
    my ($gone) = $node->psql('postgres', scores($version));
    isnt($gone, 0, "batch $batch: new statements know of the drop");
    read_rows($scan, $all_rows);
    is($scan->query_safe("SELECT $sum FROM seen"), $right, "batch $batch: the running scan ends with the dropped version's scores");
    $scan->query_safe('COMMIT');

    my $champion = "SELECT $sum FROM (SELECT dlent_predict('m', x, y) AS score FROM point) AS t";
    $right = $node->safe_psql('postgres', $champion);
    $scan->query_safe('TRUNCATE seen');
    $scan->query_safe('BEGIN');
    $scan->query_safe("DECLARE c CURSOR FOR SELECT dlent_predict('m', x, y) AS score FROM point");
    read_rows($scan, $some_rows);
    $node->safe_psql('postgres', q{SELECT dlent_promote('m', 1)});
    read_rows($scan, $all_rows);
    is($scan->query_safe("SELECT $sum FROM seen"), $right, "batch $batch: a promotion does not reach a running scan");
    $scan->query_safe('COMMIT');
    isnt($scan->query_safe($champion), $right, "batch $batch: the next one sees it");
    $scan->quit;
    $node->safe_psql('postgres', q{SELECT dlent_promote('m', 2)});
}

# ---- sweeps: what writers that are gone left, and databases that are gone
my $database = $node->safe_psql('postgres', q{SELECT oid FROM pg_database WHERE datname = 'postgres'});
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', q{
    CREATE EXTENSION dlent;
    SELECT dlent_train('n', 'SELECT i % 97 AS x, i % 97 * 2 AS y FROM generate_series(1, 300) AS i', 'y', '{"preset": "fast", "epochs": 1}');
    SELECT dlent_predict('n', 1);
});
my $other = $node->safe_psql('postgres', q{SELECT oid FROM pg_database WHERE datname = 'other'});
is(scalar(grep { /_dlent_${other}_/ } files()), 1, 'a database has files of its own');
my $resident = $node->background_psql('postgres');
my $pid = $resident->query_safe('SELECT pg_backend_pid()');
my $dead = "$directory/pgsql_tmp_dlent_${database}_${digest}_1.999999.1";
my $alive = "$directory/pgsql_tmp_dlent_${database}_${digest}_1.$pid.1";
my $unknown = "$directory/pgsql_tmp_dlent_${database}_" . '0' x 32 . '_1';
my @foreign = map { "$directory/$_" }
  'pgsql_tmp_dlent_', "pgsql_tmp_dlent_${database}_xyz_1", "pgsql_tmp_dlent_${database}_${digest}_1.999999", 'pgsql_tmp999999.0';
write_bytes($_, 'x') for $dead, $alive, $unknown, @foreign;
unlink grep { /_${digest}_1$/ } files();
is($node->safe_psql('postgres', scores(1)), $expected[1], 'a file is made');
ok(!-e $dead, 'what a dead writer left is swept');
ok(-e $alive, 'what a living one writes is not');
ok(!-e $unknown, 'the file of a digest that no version has is swept');
is(scalar(grep { -e } @foreign), scalar(@foreign), 'what only looks like one is left alone');
is(scalar(grep { /_dlent_${other}_/ } files()), 1, 'and so are files of other databases');
$resident->quit;
unlink $alive, @foreign;
$node->safe_psql('postgres', 'DROP DATABASE other');
unlink grep { /_${digest}_1$/ } files();
is($node->safe_psql('postgres', scores(1)), $expected[1], 'a file is made again');
is(scalar(grep { /_dlent_${other}_/ } files()), 0, 'files of a dropped database are swept');

$node->stop;
my @warnings = grep { /WARNING/ && !/model cache file/ } split /\n/, slurp_file($node->logfile);
is(scalar(@warnings), 0, 'the log has no other warnings') or diag(join("\n", @warnings));
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'and no process died');
$node->start;
is(scalar(my @none = files()), 0, 'a start of the server removes the files');
is($node->safe_psql('postgres', scores(1)), $expected[1], 'and they are made again');
done_testing();
