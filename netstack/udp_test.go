package netstack_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"tstun/netstack"
)

func TestUDPIsIntact(t *testing.T) {
	for _, path := range nets {
		for _, version := range []string{"udp4", "udp6"} {
			t.Run(path.name+"/"+version, func(t *testing.T) {
				a, b := path.build(t)
				to := b.v4
				if version == "udp6" {
					to = b.v6
				}
				echoUDP(t, b, version, b.on(to, 7))
				c := mustDial(t, a.s, version, b.on(to, 7))
				for _, size := range []int{1, 2, 1200, 1201, 1253, 9001, 40000} { // the last ones in fragments
					roundTrip(t, c, size)
				}
			})
		}
	}
}

// echoUDP answers until the test ends.
func echoUDP(t *testing.T, n *node, network, address string) {
	t.Helper()
	pc, err := n.s.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	echoDatagrams(t, pc)
}

// echoDatagrams answers on pc until the test ends, which closes it.
func echoDatagrams(t *testing.T, pc net.PacketConn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 65535)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			pc.WriteTo(buf[:n], from)
		}
	}()
	t.Cleanup(func() {
		pc.Close()
		<-done
	})
}

func roundTrip(t *testing.T, c net.Conn, size int) {
	t.Helper()
	want, got := make([]byte, size), make([]byte, 65535)
	io.ReadFull(pattern(uint64(size)), want)
	if _, err := c.Write(want); err != nil {
		t.Fatalf("%d bytes: %v", size, err)
	}
	n, err := c.Read(got)
	if err != nil || !bytes.Equal(got[:n], want) {
		t.Errorf("%d bytes: %d came back, %v", size, n, err)
	}
}

func TestUDPErrors(t *testing.T) {
	a, b := backToBack(t)
	pc, err := a.s.ListenPacket("udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	for _, to := range []net.Addr{nil, &net.TCPAddr{}, &net.UDPAddr{}, (*net.UDPAddr)(nil)} {
		if _, err := pc.WriteTo([]byte("x"), to); err == nil {
			t.Errorf("wrote to %#v", to)
		}
	}
	to := &net.UDPAddr{IP: b.v4.AsSlice(), Port: 9}
	if _, err := pc.WriteTo(make([]byte, 70000), to); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("70,000 bytes: %v", err)
	}
	c := mustDial(t, a.s, "udp", b.on(b.v4, 9))
	err = nil
	for err == nil { // the refusal comes back after one write and shows at a later one
		_, err = c.Write([]byte("to a port where nobody listens"))
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("writing to a closed port: %v", err)
	}
	c.Close()
	if _, err := c.Read(make([]byte, 10)); !isClosed(err) {
		t.Errorf("read after Close: %v", err)
	}
}

// A writer that is faster than the tunnel waits: nothing is lost on the way
// out.
func TestUDPWriterWaitsForTheTunnel(t *testing.T) {
	a, b := newNode(t, 0), newNode(t, 1)
	a.start(t)
	c := mustDial(t, a.s, "udp", b.on(b.v4, 9))
	payload := make([]byte, 1000)
	c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	var err error
	for err == nil { // nobody reads from the Wrapper
		_, err = c.Write(payload)
	}
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("writing failed with %v, not with a timeout", err)
	}
	if n := a.w.Counters().QueueOverflows; n != 0 {
		t.Errorf("%d packets were lost", n)
	}
}

// The smallest datagrams overflow the Wrapper's queue before they fill a
// socket's buffer, unless that is small.
func TestUDPSmallDatagramsAtTheQueue(t *testing.T) {
	for _, buffer := range []int{0, 16 << 10} {
		a, b := newNode(t, 0), newNode(t, 1)
		a.start(t)
		c := mustDial(t, a.s, "udp", b.on(b.v4, 9)).(*netstack.UDPConn)
		if buffer > 0 {
			c.SetWriteBuffer(buffer)
			c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)) // it waits for good
		}
		var err error
		for range 2000 { // nobody reads from the Wrapper
			if _, err = c.Write(nil); err != nil {
				break
			}
		}
		lost := a.w.Counters().QueueOverflows
		if waited := err != nil; waited != (buffer > 0) || waited != (lost == 0) {
			t.Errorf("buffer of %d: %v, %d packets were lost", buffer, err, lost)
		}
	}
}

// What was sent is released: a socket can send more than its buffer holds.
func TestUDPMemoryIsGivenBack(t *testing.T) {
	a, b := backToBack(t)
	pc, err := b.s.ListenPacket("udp", ":9") // takes what fits its buffer
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	for _, to := range b.addrs() {
		c := mustDial(t, a.s, "udp", b.on(to, 9))
		payload := make([]byte, 1000)
		for i := range 2000 {
			if _, err := c.Write(payload); err != nil {
				t.Fatalf("write %d: %v", i, err)
			}
		}
	}
	if n := a.w.Counters().QueueOverflows; n != 0 {
		t.Errorf("%d packets were lost", n)
	}
}
