// Package up holds tests only, of the program "tstun up" as people run it: the
// binary itself, on hosts that are network namespaces with /run and
// /etc/resolv.conf of their own, against itself and against other programs.
package up
