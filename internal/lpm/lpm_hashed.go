//go:build !(386 || amd64 || arm64 || ppc64 || ppc64le || s390x)

package lpm

// Table holds a value for each of its prefixes.
type Table[V any] = hashedTable[V]

// Set is a set of prefixes.
type Set = hashedSet

const trieAllocates = true
