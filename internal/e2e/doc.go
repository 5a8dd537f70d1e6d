// Package e2e holds tests only, which need root on Linux: whole tunnels, each
// end a process of its own in a network namespace of its own, against programs
// and kernels that others wrote. Where rights are missing, the tests are skipped
// with the reason. kernels.sh runs them, and those of other packages that need
// Linux, on other kernels than this machine's.
package e2e
