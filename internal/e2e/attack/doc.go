// Package attack holds tests only, which need root on Linux: nmap and scapy
// attack a host behind a Wrapper through real TUNs, and the kernel's own
// connection tracking judges the same random traffic as package filter. Where
// rights or programs are missing, the tests are skipped with the reason.
package attack
