package netstack

import (
	"net"
	"net/netip"
	"runtime"
)

// Read implements net.Conn. With an empty b it takes no datagram.
func (c *UDPConn) Read(b []byte) (int, error) {
	if len(b) == 0 && !c.isClosed() { // whatever the deadline is
		return 0, nil
	}
	n, _, err := c.read(b, "read")
	return min(n, len(b)), c.opError("read", c.RemoteAddr(), err)
}

// ReadFrom implements net.PacketConn. The address is a *net.UDPAddr.
func (c *UDPConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromUDP(b)
	if from == nil {
		return n, nil, err
	}
	return n, from, err
}

// ReadFromUDP is ReadFrom with its own type of address.
func (c *UDPConn) ReadFromUDP(b []byte) (int, *net.UDPAddr, error) {
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// ReadFromUDPAddrPort is ReadFrom without allocation.
func (c *UDPConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n, from, err := c.read(b, "recvfrom")
	return min(n, len(b)), from, c.opError("read", c.RemoteAddr(), err)
}

// ReadMsgUDP is ReadFrom, and says in flags whether what was read is only a part
// of the datagram: by syscall.MSG_TRUNC, where the operating system has it.
// There are no control messages: oobn is 0.
func (c *UDPConn) ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	n, oobn, flags, from, err := c.ReadMsgUDPAddrPort(b, oob)
	if err == nil {
		addr = net.UDPAddrFromAddrPort(from)
	}
	return n, oobn, flags, addr, err
}

// ReadMsgUDPAddrPort is ReadMsgUDP without allocation.
func (c *UDPConn) ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, addr netip.AddrPort, err error) {
	n, addr, err = c.read(b, "recvmsg")
	if n > len(b) {
		n, flags = len(b), truncatedFlag
	}
	return n, 0, flags, addr, c.opError("read", c.RemoteAddr(), err)
}

// truncatedFlag is MSG_TRUNC of the operating system.
var truncatedFlag = func() int {
	switch runtime.GOOS {
	case "linux", "android":
		return 0x20 // linux/socket.h
	case "windows":
		return 0x100 // ws2def.h
	}
	return 0x10 // BSD's sys/socket.h
}()

// read takes the next datagram, and returns its length. What does not fit into
// b is lost.
func (c *UDPConn) read(b []byte, call string) (int, netip.AddrPort, error) {
	c.rd.turn.Lock()
	defer c.rd.turn.Unlock()
	for {
		if err := c.check(&c.rd, call); err != nil {
			return 0, netip.AddrPort{}, err
		}
		if n, from, ok := c.queue.take(b); ok {
			return n, from, nil
		}
		c.rd.wait()
	}
}
