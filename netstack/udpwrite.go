package netstack

import (
	"net"
	"net/netip"
	"os"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// Write implements net.Conn.
func (c *UDPConn) Write(b []byte) (int, error) {
	n, err := c.write(b, nil, "write")
	return n, c.opError("write", c.RemoteAddr(), err)
}

// WriteTo implements net.PacketConn. addr is a *net.UDPAddr.
func (c *UDPConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	u, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, c.opError("write", addr, syscall.EINVAL)
	}
	return c.WriteToUDP(b, u)
}

// WriteToUDP is WriteTo with its own type of address.
func (c *UDPConn) WriteToUDP(b []byte, addr *net.UDPAddr) (int, error) {
	n, err := c.writeTo(b, addrPortOf(addr), "sendto")
	return n, c.writeError(addr, err)
}

// WriteToUDPAddrPort is WriteTo without allocation.
func (c *UDPConn) WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	n, err := c.writeTo(b, addr, "sendto")
	if err != nil {
		return n, c.opError("write", udpAddrPort{addr}, err)
	}
	return n, nil
}

// WriteMsgUDP is WriteTo, or Write if addr is nil. There are no control
// messages: with an oob, the error is errors.ErrUnsupported.
func (c *UDPConn) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	n, err = c.writeMsg(b, oob, addrPortOf(addr), addr != nil)
	return n, 0, c.writeError(addr, err)
}

// WriteMsgUDPAddrPort is WriteMsgUDP without allocation. An addr that is not
// valid is none.
func (c *UDPConn) WriteMsgUDPAddrPort(b, oob []byte, addr netip.AddrPort) (n, oobn int, err error) {
	n, err = c.writeMsg(b, oob, addr, addr.IsValid())
	if err != nil {
		return n, 0, c.opError("write", udpAddrPort{addr}, err)
	}
	return n, 0, nil
}

// writeError is opError for an address that may be nil.
func (c *UDPConn) writeError(to *net.UDPAddr, err error) error {
	if to == nil {
		return c.opError("write", nil, err)
	}
	return c.opError("write", to, err)
}

func addrPortOf(a *net.UDPAddr) netip.AddrPort {
	if a == nil {
		return netip.AddrPort{}
	}
	return a.AddrPort()
}

// udpAddrPort is the address in an error of a call that has it so.
type udpAddrPort struct{ netip.AddrPort }

func (udpAddrPort) Network() string { return string(overUDP) }

func (c *UDPConn) writeMsg(b, oob []byte, addr netip.AddrPort, hasAddr bool) (int, error) {
	switch {
	case len(oob) > 0:
		return 0, syscall.EOPNOTSUPP
	case c.remote != nil && !hasAddr:
		return c.write(b, nil, "sendmsg")
	}
	return c.writeTo(b, addr, "sendmsg")
}

func (c *UDPConn) writeTo(b []byte, addr netip.AddrPort, call string) (int, error) {
	ip := addr.Addr().Unmap()
	switch {
	case c.remote != nil:
		return 0, net.ErrWriteToConnected
	case !ip.IsValid() || ip.IsUnspecified():
		return 0, errMissingAddress
	case c.at.proto == protocol4 && ip.Is6():
		return 0, &net.AddrError{Err: "non-IPv4 address", Addr: ip.String()}
	}
	if err := c.s.link.reach(ip); err != nil {
		return 0, os.NewSyscallError(call, err)
	}
	if c.at.takes4() && c.at.takes6() && ip.Is4() {
		ip = netip.AddrFrom16(ip.As16()) // as the stack wants it
	}
	to := fullAddress(netip.AddrPortFrom(ip, addr.Port()))
	return c.write(b, &to, call)
}

func (c *UDPConn) write(b []byte, to *tcpip.FullAddress, call string) (int, error) {
	c.wr.turn.Lock()
	defer c.wr.turn.Unlock()
	for {
		if err := c.check(&c.wr, call); err != nil {
			return 0, err
		}
		c.source.Reset(b)
		n, err := c.ep.Write(&c.source, tcpip.WriteOptions{To: to})
		switch err.(type) {
		case nil:
			c.source.Reset(nil)
			c.session.touch()
			return int(n), nil
		case *tcpip.ErrWouldBlock:
			c.wr.wait()
		default:
			return 0, socketError(c, call, err)
		}
	}
}
