// Package inject holds packets that a program injects until they are sent: a
// bounded queue, the cutting of super-packets, and the share that each peer has
// of what is injected in reply to it.
package inject
