//go:build !unix

package up

// noCores does nothing: Windows, for one, writes no dump of a process unless its
// administrator asks for that.
func noCores() error { return nil }
