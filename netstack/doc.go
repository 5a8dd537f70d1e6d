// Package netstack gives a program sockets on a tstun.Wrapper without any
// right on the system: a TCP/IP stack in the program (gVisor's) takes the
// place of the operating system's.
//
// New binds a Stack to a Wrapper. Packets from peers to the stack's addresses
// that the main filter lets through are taken by the stack, so that the
// device behind the Wrapper never sees them; what the stack sends goes out as
// injected packets, which open state in the filter, so that replies come in.
// TCP leaves the stack in super-packets of up to 64 KiB, which the Wrapper
// cuts into segments.
//
// With a device behind the Wrapper whose host is to talk to the stack too,
// Config.Host says which addresses are the host's.
//
// # Checksums
//
// The stack verifies the checksums of all packets that it takes. WireGuard
// authenticates what one peer sent, but the packet may have been made or
// forwarded by something else behind that peer, and the checksum is the
// only one that knows. It costs about one part in a hundred.
package netstack
