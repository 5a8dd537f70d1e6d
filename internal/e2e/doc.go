// Package e2e holds tests only, of what no single package shows: whole tunnels,
// real kernels as host and as peer, rules that change in mid-transfer,
// mixed traffic for as long as one likes, and hostile peers. Those in files called *_linux_test.go
// need root, and are skipped with the reason where rights are missing; each has
// network namespaces of its own. kernels.sh runs them, and those of other packages
// that need Linux, on other kernels than this machine's.
package e2e
