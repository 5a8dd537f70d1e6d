package proxy

import "time"

// Limits bound what clients can take. Where a field is 0, its default holds.
// What is open may be idle without end: TCP keep-alives find dead clients.
type Limits struct {
	// Connections is how many clients are served at once. One more is reset.
	// Default: 4096.
	Connections int
	// Datagrams is how many UDP associations (SOCKS5), or clients of one
	// forwarded UDP port, are served at once. Default: 512.
	Datagrams int
	// Handshake is how long a client may take to say what it wants.
	// Default: 10 s.
	Handshake time.Duration
	// Dial is how long a name is resolved and a connection opened.
	// Default: 30 s.
	Dial time.Duration
	// IdleUDP is how long an association, or the client of a forwarded port,
	// is remembered after its last datagram either way.
	// Default: 5 min (RFC 4787 §4.3, REQ-5 c).
	IdleUDP time.Duration
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Connections: orDefault(l.Connections, 4096),
		Datagrams:   orDefault(l.Datagrams, 512),
		Handshake:   orDefault(l.Handshake, 10*time.Second),
		Dial:        orDefault(l.Dial, 30*time.Second),
		IdleUDP:     orDefault(l.IdleUDP, 5*time.Minute),
	}
}

func orDefault[T int | time.Duration](v, other T) T {
	if v <= 0 {
		return other
	}
	return v
}
