// Package proxy lets programs that know nothing of a tunnel use it: a SOCKS5
// server, an HTTP proxy, forwarded ports, and one connection on standard input
// and output.
//
// What is reached through a Network, the host's or a tunnel's, is dialled by
// address: the package resolves names with that Network, and a server judges
// the address that is dialled and never its spelling. SOCKS5, HTTP and Connect
// refuse the host itself (see ErrDestination).
//
// A Serve function runs until its context ends. When it returns, its listener,
// its connections and its goroutines are gone.
package proxy
