use strict;
use warnings;
use Test::More;
use Versions 'parse';

is_deeply([parse('1.2.3')], [1, 2, 3], 'three numbers');
is_deeply([parse('v4')], [4], 'a leading v');
for my $bad ('', '1.', '.1', '1..2', '1.x', "1\n") {
    ok(!eval { parse($bad); 1 }, "'$bad' is none");
}
done_testing();
