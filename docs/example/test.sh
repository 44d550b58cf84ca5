sum=$(sh sum.sh 2 3)
echo "2 + 3 is $sum"
test "$sum" = 5
