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
// # Sockets
//
// A TCPConn, TCPListener or UDPConn is to a program what package net's type of
// that name is, a Dialer and ListenConfig too: the same defaults, methods and
// errors, but for what needs a file descriptor. Config.Memory bounds what peers
// can make the stack hold, and gives each a share.
//
// # The host beside
//
// With a device behind the Wrapper whose host is to talk to the stack too,
// Config.Host says which addresses are the host's.
//
// # Forwarding
//
// With Config.Forward, what peers send to other addresses goes to handlers of
// the program: a gateway without routes, rules or rights. A TCP handler gets a
// request before the peer has an answer, so that it can dial beyond first;
// RelayTCP and RelayUDP are handlers that do. Packets that no rule covers, and
// those to the host's addresses, go to the device as they would without a
// stack.
//
// # Counters
//
// To the Wrapper, a packet that the stack took was delivered. What became of it
// is in Stack.Counters: what died in the stack is there under its Reason.
//
// # Checksums
//
// The stack verifies the checksums of all packets that it takes. WireGuard
// authenticates what one peer sent, but the packet may have been made or
// forwarded by something else behind that peer, and the checksum is the
// only one that knows. It costs about one part in a hundred.
//
// # Names
//
// Config.Resolver looks names up through the stack: it has the methods of
// net.Resolver, asks the DNS servers that the program gives it, and knows the
// program's own names and search domains. A net.Resolver whose Dial is the
// stack's would still read the system's files and send what is in them, such as
// the search domains, to those servers.
package netstack
