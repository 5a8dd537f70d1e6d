package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"
)

// patience bounds what takes milliseconds on an idle machine.
const patience = time.Minute

// dial connects from the end's namespace.
func (e *end) dial(network string, to netip.AddrPort, within time.Duration) (c net.Conn, err error) {
	err = e.NS.Do(func() (err error) {
		c, err = net.DialTimeout(network, to.String(), within)
		return err
	})
	return c, err
}

// moveTCP moves random bytes from one end to the other, and compares their
// hashes.
func moveTCP(t *testing.T, from, to *end, addr netip.Addr) {
	t.Helper()
	const length = 4 << 20
	at := netip.AddrPortFrom(addr, portTCP)
	l := to.ListenTCP(t, at)
	type result struct {
		sum [sha256.Size]byte
		err error
	}
	received := make(chan result, 1)
	go func() {
		var r result
		r.sum, r.err = receive(l)
		received <- r
	}()
	c, err := from.dial("tcp", at, patience)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	err = c.SetDeadline(time.Now().Add(patience))
	if err == nil {
		_, err = io.Copy(io.MultiWriter(c, hash), io.LimitReader(rand.NewChaCha8([32]byte{1}), length))
	}
	if err = errors.Join(err, c.Close()); err != nil {
		t.Fatalf("TCP: %v", err)
	}
	if got := <-received; got.err != nil || got.sum != [sha256.Size]byte(hash.Sum(nil)) {
		t.Errorf("TCP: other bytes arrived: %v", got.err)
	}
}

func receive(l net.Listener) (sum [sha256.Size]byte, err error) {
	c, err := l.Accept()
	if err != nil {
		return sum, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return sum, err
	}
	hash := sha256.New()
	_, err = io.Copy(hash, c)
	return [sha256.Size]byte(hash.Sum(nil)), err
}

// echoUDP sends datagrams of all sizes up to one that IP must cut into
// fragments, and wants each back.
func echoUDP(t *testing.T, from, to *end, addr netip.Addr) {
	t.Helper()
	at := netip.AddrPortFrom(addr, portUDP)
	server := to.ListenUDP(t, at)
	go func() { // until the test ends
		buf := make([]byte, 1<<16)
		for {
			n, peer, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteToUDPAddrPort(buf[:n], peer)
		}
	}()
	c, err := from.dial("udp", at, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	r, buf := rand.NewChaCha8([32]byte{2}), make([]byte, 1<<16)
	for i := range 100 {
		sent := make([]byte, 1+i*40)
		r.Read(sent)
		if _, err := c.Write(sent); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(buf)
		if err != nil || !bytes.Equal(buf[:n], sent) {
			t.Fatalf("UDP: of %d bytes %d came back, or other ones: %v", len(sent), n, err)
		}
	}
}
