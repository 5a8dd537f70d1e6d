// Package lpm finds the longest prefix that holds an address without
// allocating, on every processor.
//
// Table and Set are bart's tries where these do not allocate. They ask each
// address for its bytes as a slice (netip.Addr.AsSlice), which stays off the
// heap only where the compiler inlines that call; and it inlines it only for
// processors on which it merges the byte stores of encoding/binary
// (CanMergeLoads in cmd/internal/sys). On the others, riscv64, loong64, mips
// and 32-bit arm among them, Table and Set ask a hash table for each prefix
// length that there is.
package lpm
