package netstack

import (
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// TCPWrites is how often TCP wrote to the link: super-packets count once.
func (s *Stack) TCPWrites() uint64 { return s.ip.Stats().TCP.SegmentsSent.Value() }

// IsIdle reports whether all that came was handed over.
func (s *Stack) IsIdle() bool {
	b := &s.link.inbox
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting) == 0 && !b.busy
}

// MemoryUsed is what peers make the stack hold, exactly.
func (s *Stack) MemoryUsed() int64 {
	for !s.memory.sweep() {
		time.Sleep(time.Millisecond)
	}
	return s.memory.total.Load()
}

// Endpoints is how many connections and sockets the stack has.
func (s *Stack) Endpoints() int {
	return len(s.ip.RegisteredEndpoints()) + len(s.ip.CleanupEndpoints())
}

// SetMinRTO sets the least time after which TCP sends again (200 ms, as Linux).
func (s *Stack) SetMinRTO(d time.Duration) {
	least := tcpip.TCPMinRTOOption(d)
	if err := s.ip.SetTransportProtocolOption(tcp.ProtocolNumber, &least); err != nil {
		panic(err)
	}
}

// Settings are those of a connection that can only be seen in the stack.
type Settings struct {
	KeepAlive      bool
	Idle, Interval time.Duration
	Count          int
	NoDelay        bool
}

// Settings returns those that c has.
func (c *TCPConn) Settings() Settings {
	var idle tcpip.KeepaliveIdleOption
	var interval tcpip.KeepaliveIntervalOption
	c.ep.GetSockOpt(&idle)
	c.ep.GetSockOpt(&interval)
	count, _ := c.ep.GetSockOptInt(tcpip.KeepaliveCountOption)
	o := c.ep.SocketOptions()
	return Settings{o.GetKeepAlive(), time.Duration(idle), time.Duration(interval), count, !o.GetDelayOption()}
}

// Resets is how many connections were reset by the other side.
func (s *Stack) Resets() uint64 { return s.ip.Stats().TCP.ResetsReceived.Value() }

// Accounts is how many peers hold something, as far as is known.
func (s *Stack) Accounts() int {
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	return len(s.memory.byPeer)
}

// SetTimeWait sets how long TCP remembers a connection that has ended here
// first (60 s, as Linux).
func (s *Stack) SetTimeWait(d time.Duration) {
	wait := tcpip.TCPTimeWaitTimeoutOption(d)
	if err := s.ip.SetTransportProtocolOption(tcp.ProtocolNumber, &wait); err != nil {
		panic(err)
	}
}

// IsCharged reports whether a sweep knows the account that c was charged to last.
func (c *TCPConn) IsCharged() bool {
	c.s.memory.mu.Lock()
	defer c.s.memory.mu.Unlock()
	for _, a := range c.s.memory.byPeer {
		if a == c.account.Load() {
			return true
		}
	}
	return false
}

// Buffers are the sizes of the receive and the send buffer.
func (c *TCPConn) Buffers() (in, out int64) {
	o := c.ep.SocketOptions()
	return o.GetReceiveBufferSize(), o.GetSendBufferSize()
}
