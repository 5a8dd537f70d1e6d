package netstack

import (
	"net"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// Keep-alive as package net sets it where nothing else is asked for.
const (
	defaultKeepAlive      = 15 * time.Second
	defaultKeepAliveCount = 9
)

// SetNoDelay sets whether a small segment is sent at once, which is the
// default, or waits for the acknowledgement of the one before (RFC 896).
func (c *TCPConn) SetNoDelay(noDelay bool) error {
	return c.set(func() tcpip.Error {
		c.ep.SocketOptions().SetDelayOption(!noDelay)
		return nil
	})
}

// SetLinger sets what Close does with data that is not acknowledged yet. Less
// than 0, the default: it is sent in the background. 0: it is dropped, and the
// other side is reset. More: it is sent in the background for that many
// seconds.
func (c *TCPConn) SetLinger(sec int) error {
	return c.set(func() tcpip.Error {
		c.setLinger(sec)
		return nil
	})
}

func (c *TCPConn) setLinger(sec int) {
	c.ep.SocketOptions().SetLinger(tcpip.LingerOption{Enabled: sec >= 0, Timeout: time.Duration(max(sec, 0)) * time.Second})
}

// SetKeepAlive sets whether probes ask an idle other side whether it is there.
func (c *TCPConn) SetKeepAlive(on bool) error {
	return c.set(func() tcpip.Error {
		c.ep.SocketOptions().SetKeepAlive(on)
		return nil
	})
}

// SetKeepAlivePeriod sets how long the connection is idle before the first
// probe.
func (c *TCPConn) SetKeepAlivePeriod(d time.Duration) error {
	return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: c.ep.SocketOptions().GetKeepAlive(), Idle: d, Interval: -1, Count: -1})
}

// SetKeepAliveConfig sets when probes are sent and how many remain without an
// answer before the connection ends. A field that is 0 is set to package net's
// default, 15 s, 15 s and 9; one below 0 stays as it is.
func (c *TCPConn) SetKeepAliveConfig(k net.KeepAliveConfig) error {
	return c.set(func() tcpip.Error { return setKeepAlive(c.ep, k) })
}

// Bounds of Linux' (include/net/tcp.h, MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL and
// MAX_TCP_KEEPCNT).
const (
	maxKeepAlive      = 32767 * time.Second
	maxKeepAliveCount = 127
)

func setKeepAlive(ep tcpip.Endpoint, k net.KeepAliveConfig) tcpip.Error {
	ep.SocketOptions().SetKeepAlive(k.Enable)
	if k.Idle > maxKeepAlive || k.Interval > maxKeepAlive || k.Count > maxKeepAliveCount {
		return &tcpip.ErrInvalidOptionValue{}
	}
	if k.Idle >= 0 {
		idle := tcpip.KeepaliveIdleOption(orDefault(k.Idle, defaultKeepAlive))
		if err := ep.SetSockOpt(&idle); err != nil {
			return err
		}
	}
	if k.Interval >= 0 {
		interval := tcpip.KeepaliveIntervalOption(orDefault(k.Interval, defaultKeepAlive))
		if err := ep.SetSockOpt(&interval); err != nil {
			return err
		}
	}
	if k.Count >= 0 {
		return ep.SetSockOptInt(tcpip.KeepaliveCountOption, orDefault(k.Count, defaultKeepAliveCount))
	}
	return nil
}

func orDefault[T int | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// keepAlive returns the settings that net.Dialer and net.ListenConfig make of
// their two fields.
func keepAlive(period time.Duration, k net.KeepAliveConfig) net.KeepAliveConfig {
	if k.Enable {
		return k
	}
	return net.KeepAliveConfig{Enable: period >= 0, Idle: max(period, 0)}
}

// SetReadBuffer sets how many bytes the stack holds that nobody has read yet.
// Without it, the buffer grows as the program reads.
func (c *TCPConn) SetReadBuffer(bytes int) error {
	return c.setOwn(func() {
		size := bufferSize(bytes, maxTCPBuffer)
		c.readBuffer.Store(int64(size))
		c.ep.SocketOptions().SetReceiveBufferSize(int64(size), true)
	})
}

// SetWriteBuffer sets how many bytes the stack holds that the other side has
// not acknowledged yet. Without it, the buffer grows with the speed of the
// path.
func (c *TCPConn) SetWriteBuffer(bytes int) error {
	return c.setOwn(func() { setWriteBuffer(c.ep, bytes, maxTCPBuffer) })
}

func setWriteBuffer(ep tcpip.Endpoint, bytes, most int) {
	ep.SocketOptions().SetSendBufferSize(int64(bufferSize(bytes, most)), true)
}

// bufferSize keeps to the bounds as Linux does (sock_setsockopt): a value
// outside of them is no error, and one below 0 is a large one.
func bufferSize(bytes, most int) int {
	if bytes < 0 {
		return most
	}
	return min(max(bytes, minBuffer), most)
}
