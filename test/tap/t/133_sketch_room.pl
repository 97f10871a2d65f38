# More models are counted than there is shared memory for: who was first is counted, the others are not until somebody has been idle for a
# minute; nothing that was counted is lost, and every answer is given.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Waiting;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'dlent'
dlent.progress_messages = off
dlent.sketch_memory = '16kB'
dlent.sketch_window = '1s'
dlent.sketch_interval = 1
CONF
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }
sql(q{
    CREATE EXTENSION dlent;
    CREATE TABLE spot AS SELECT (i * 7919 % 1000) / 10.0 AS x, i % 13 AS y, (i * 7919 % 1000) > 500 AS z FROM generate_series(1, 200) AS i;
    SELECT dlent_train(m, 'spot', 'z', '{"preset": "fast", "epochs": 1}'), dlent_observe(m, '{"sample": 0}') FROM unnest(ARRAY['first', 'second', 'third']) AS m;
});
sub answers { my ($model) = @_; return sql("SELECT count(dlent_predict('$model', s)) FROM spot AS s") }
sub counted { my ($model) = @_; return sql("SELECT coalesce(sum(rows), 0) FROM dlent.sketches WHERE model = '$model'") }

is(answers('first'), '200', 'a model answers');
is(counted('first'), '200', 'and is counted');
is(answers($_), '200', "the $_ answers") for 'second', 'third';
is(counted($_), '0', "but has no place: it is not in dlent.sketches") for 'second', 'third';
is(answers('first'), '200', 'the first goes on');
is(counted('first'), '400', 'being counted');
is(sql('SELECT coalesce(sum(dropped), 0) FROM dlent.prediction_log'), '0', 'distributions have no share in what records lose');

# a window's end does not give up the place
ok(wait_until('a stored window', sub { return sql(q{SELECT bool_and(stored) FROM dlent.sketches WHERE model = 'first'}) eq 't' }, 30), 'the window is stored');
is(answers('second'), '200', 'the second asks again');
is(counted('second'), '0', 'too soon');

# who is idle for a minute gives way to who asks next, to one of the two
my $asked = 0;
ok(wait_until('a place', sub { $asked += answers('second'); return counted('second') > 0 }, 150), 'a place for the second');
is(answers('third'), '200', 'the third answers');
is(counted('third'), '0', 'and finds none');
is(answers('first'), '200', 'nor does the first');
is(counted('first'), '400', 'of whom what was counted is kept');
cmp_ok(counted('second'), '<', $asked, 'what was not counted of the second is lost');
$asked = counted('second');
is(answers('second'), '200', 'from now on');
is(counted('second'), $asked + 200, 'all of it is counted');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'nothing died');
done_testing();
