// Package lpm finds the longest prefix that contains an address. It does not allocate
// for a look-up, on any processor.
//
// Table and Set are bart's tries where these do not allocate. A trie calls
// netip.Addr.AsSlice, whose result stays off the heap only where the compiler inlines
// the call. It does so only for processors on which it merges the byte stores of
// encoding/binary (CanMergeLoads in cmd/internal/sys). On all others, such as riscv64,
// loong64, mips and 32-bit arm, Table and Set have a hash table for each prefix
// length.
package lpm
