// Package e2e holds tests of the whole, against programs and kernels that others
// wrote. kernels.sh runs them, and those of other packages that need Linux, on
// other kernels than this machine's.
package e2e
