// Package interop holds tests only, of the program tstun beside the kernel's own
// WireGuard, which has the other end of the tunnel, and beside wg-quick(8),
// which does on the same host what tstun does. They need root, and a kernel with
// WireGuard: kernels.sh, in the directory above, boots one.
package interop
