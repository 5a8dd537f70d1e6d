//go:build 386 || amd64 || arm64 || ppc64 || ppc64le || s390x

package lpm

import "github.com/gaissmai/bart"

// Table holds a value for each of its prefixes.
type Table[V any] = bart.Table[V]

// Set is a set of prefixes.
type Set = bart.Lite

const trieAllocates = false
