// Package e2e holds tests only, which need root on Linux: whole tunnels, each
// end a process of its own in a network namespace of its own. Where rights are
// missing, the tests are skipped with the reason.
package e2e
