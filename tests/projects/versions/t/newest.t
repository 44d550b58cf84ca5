use strict;
use warnings;
use Test::More;

my $newest = qx(printf '1.2\\n1.3\\n1.1\\n' | $^X bin/newest);
is($newest, "1.3\n", 'the newest of three');
done_testing();
