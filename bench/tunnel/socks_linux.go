package tunnel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	wgnetstack "golang.zx2c4.com/wireguard/tun/netstack"
)

const (
	echoPort     = 7 // UDP
	sourcePort   = 9 // TCP
	socksAddress = "127.0.0.1:1080"
	fetchBuffer  = 256 << 10 // bytes, of who downloads
	sourceBuffer = 1 << 20   // bytes, of who is downloaded from
)

// throughSOCKS connects through the SOCKS5 server (RFC 1928), without a
// password. The connection fails after a time.
func throughSOCKS(to netip.AddrPort, within time.Duration) (net.Conn, error) {
	c, err := net.Dial("tcp", socksAddress)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(within))
	if err := handshake(c, to); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func handshake(c net.Conn, to netip.AddrPort) error {
	ip := to.Addr().As4()
	request := append([]byte{5, 1, 0, 5, 1, 0, 1}, ip[:]...)
	if _, err := c.Write(binary.BigEndian.AppendUint16(request, to.Port())); err != nil {
		return err
	}
	var reply [2 + 10]byte
	if _, err := io.ReadFull(c, reply[:]); err != nil {
		return err
	}
	if reply[1] != 0 || reply[3] != 0 {
		return fmt.Errorf("the SOCKS5 server answers % x", reply)
	}
	return nil
}

// fetch downloads through the SOCKS5 server for a time.
func fetch(req request) (r reply, err error) {
	c, err := throughSOCKS(req.To, req.For+endWait)
	if err != nil {
		return r, err
	}
	defer c.Close()
	buf := make([]byte, fetchBuffer)
	if _, err := io.ReadFull(c, buf); err != nil { // it is under way
		return r, err
	}
	for start := time.Now(); r.Took < req.For; r.Took = time.Since(start) {
		n, err := c.Read(buf)
		if err != nil {
			return r, err
		}
		r.Bytes += int64(n)
	}
	return r, nil
}

// endless sends to who connects, until stop.
type endless struct {
	listener net.Listener
	running  sync.WaitGroup
}

func source(req request) (*endless, error) {
	l, err := net.Listen("tcp4", req.To.String())
	if err != nil {
		return nil, err
	}
	e := &endless{listener: l}
	e.running.Go(func() { acceptAll(l, &e.running, flood) })
	return e, nil
}

// flood writes until c fails: its reader went away.
func flood(c net.Conn) {
	for b := make([]byte, sourceBuffer); ; {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// acceptAll serves each connection in a goroutine until l is closed.
func acceptAll(l net.Listener, running *sync.WaitGroup, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		running.Go(func() {
			defer c.Close()
			serve(c)
		})
	}
}

func (e *endless) stop() (reply, error) {
	err := e.listener.Close()
	e.running.Wait()
	return reply{}, err
}

// makeCopying is a SOCKS5 server as others are: wireguard-go's network stack
// and io.Copy.
func (n *node) makeCopying() error {
	dev, stack, err := wgnetstack.CreateNetTUN([]netip.Addr{n.spec.Address.Addr()}, nil, n.spec.MTU)
	if err != nil {
		return err
	}
	n.engine = device.NewDevice(dev, conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	l, err := net.Listen("tcp4", socksAddress)
	if err != nil {
		return err
	}
	go acceptAll(l, new(sync.WaitGroup), func(c net.Conn) { copySOCKS(stack, c) })
	return nil
}

// copySOCKS serves a client that behaves as throughSOCKS does.
func copySOCKS(stack *wgnetstack.Net, c net.Conn) {
	var request [3 + 10]byte
	if _, err := io.ReadFull(c, request[:]); err != nil {
		return
	}
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte(request[7:11])), binary.BigEndian.Uint16(request[11:]))
	remote, err := stack.DialTCPAddrPort(to)
	if err != nil {
		return
	}
	defer remote.Close()
	if _, err := c.Write([]byte{5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
		return
	}
	go io.Copy(remote, c)
	io.Copy(c, remote)
}
